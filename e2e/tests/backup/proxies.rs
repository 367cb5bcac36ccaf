//! Behind a proxy that takes small requests only: pictures go in smaller batches, and what alone is too large for one in pieces. And behind one that
//! answers in its server's place.

use crate::edits::{edit, taken};
use crate::interrupted::{SENT_TWICE_MAX, run, stopped_after};
use crate::scene::{Scene, picture, settings};
use darkslide_client::backup::standing::Agent;
use darkslide_client::backup::{BackupReport, backup, explain};
use darkslide_client::event::Events;
use darkslide_client::feed;
use darkslide_client::library::AlbumRule;
use darkslide_client::session::Session;
use darkslide_client::thumbnail::Thumbnailer;
use darkslide_client::trash::trash_files;
use darkslide_client::verify::{VerifyScope, verify};
use darkslide_client::versions::list_versions;
use darkslide_crypto::ContentHash;
use darkslide_crypto::stream::ciphertext_len;
use darkslide_e2e::absent::AbsentProxy;
use darkslide_e2e::bitmap::bitmap;
use darkslide_e2e::narrow::NarrowProxy;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

async fn back_up_behind(scene: &Scene, proxy: &NarrowProxy, thumbnailer: Thumbnailer) -> BackupReport {
    let settings = darkslide_client::backup::Settings { thumbnailer, ..settings(AlbumRule::PerRoot) };
    let (session, roots) = (scene.through(&proxy.base()), [scene.pictures()]);
    let (events, stop) = (Events::silent(), CancellationToken::new());
    backup(session, scene.catalog.clone(), &roots, &settings, &events, &stop).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_with_a_limit_of_its_own_blocks_no_picture() {
    const SMALL: u8 = 24;
    let scene = Scene::new().await;
    for number in 0..SMALL {
        scene.write(&format!("small-{number}.jpg"), &picture(number, 100_000));
    }
    // One that alone is too much for a batch, one that goes ahead of its batch, and one that is sent while it is hashed.
    scene.write("middle.jpg", &picture(100, 3_000_000));
    scene.write("large.jpg", &picture(101, 18_000_000));
    scene.write("film.jpg", &picture(102, 140_000_000));
    let proxy = NarrowProxy::start(&scene.server.base(), 300_000).await;
    let report = back_up_behind(&scene, &proxy, Thumbnailer::off()).await;
    assert_eq!((report.uploaded, report.failed.len()), (u64::from(SMALL) + 3, 0), "{report:?}");
    assert!(report.is_complete() && proxy.refused() > 0);
    scene.verify_all(u64::from(SMALL) + 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_behind_a_proxy_is_a_version() {
    let scene = Scene::new().await;
    let large = |seed| [taken(18, seed), picture(seed, 2_000_000)].concat();
    scene.write("a.jpg", &large(1));
    let proxy = NarrowProxy::start(&scene.server.base(), 300_000).await;
    assert_eq!(back_up_behind(&scene, &proxy, Thumbnailer::off()).await.uploaded, 1);
    edit(&scene.write("a.jpg", &large(2)), 120);
    let report = back_up_behind(&scene, &proxy, Thumbnailer::off()).await;
    assert_eq!((report.uploaded, report.failed.len()), (1, 0), "{report:?}");
    let vault = scene.vault().await;
    assert_eq!(vault.len(), 1);
    let versions = list_versions(&scene.session, &scene.catalog, vault[0].id).await.unwrap();
    assert_eq!(versions.len(), 1);
    scene.verify_all(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thumbnails_go_in_smaller_batches_too() {
    const PICTURES: u8 = 30;
    let scene = Scene::new().await;
    for number in 0..PICTURES {
        scene.write(&format!("{number}.bmp"), &bitmap(40, 100 + number));
    }
    let proxy = NarrowProxy::start(&scene.server.base(), 15_000).await;
    let report = back_up_behind(&scene, &proxy, Thumbnailer::without_tools()).await;
    assert_eq!((report.uploaded, report.failed.len()), (u64::from(PICTURES), 0), "{report:?}");
    assert_eq!((report.thumbnails_left, report.placeholders), (0, 0), "{report:?}");
}

/// What no request is small enough for is blocked alone, and its reason says what to do.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_refuses_in_any_size_is_blocked_alone() {
    let scene = Scene::new().await;
    let blocked = scene.write("blocked.jpg", &picture(1, 200_000));
    scene.write("small.jpg", &picture(2, 2000));
    let proxy = NarrowProxy::start(&scene.server.base(), 30_000).await;
    let report = back_up_behind(&scene, &proxy, Thumbnailer::off()).await;
    assert_eq!((report.uploaded, report.failed.len()), (1, 1), "{report:?}");
    assert_eq!(scene.titles().await, ["small.jpg"]);
    let told = explain(&scene.catalog, &blocked, &Agent::Works).await.unwrap().to_string();
    assert!(told.contains("refused a request of") && told.contains("client_max_body_size"), "{told}");
}

/// Once, what had been sent of a large video was thrown away when a proxy said that there was no such upload, because the server was being started.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_has_lost_its_server_costs_nothing_that_was_sent() {
    const LARGE: usize = 64_000_000;
    let scene = Scene::new().await;
    scene.write("large.jpg", &picture(1, LARGE));
    let proxy = AbsentProxy::start(&scene.server.base(), 40_000_000, 3).await;
    let session = scene.through(&proxy.base());
    let report = run(&scene, &session, &Events::silent(), &CancellationToken::new()).await;
    assert_eq!((report.uploaded, report.failed.len(), proxy.answers_left()), (1, 0, 0), "{report:?}");
    let (up, len) = (proxy.bytes_up(), ciphertext_len(LARGE as u64).unwrap());
    assert!(up < len + SENT_TWICE_MAX, "{up} bytes went up of {len}");
    scene.verify_all(1).await;
}

/// One that writes its own page in the place of each error says what the server says.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_the_server_forgot_is_begun_anew_behind_a_proxy_with_pages_of_its_own() {
    let scene = Scene::new().await;
    let bytes = picture(1, 64_000_000);
    scene.write("large.jpg", &bytes);
    stopped_after(&scene, &scene.session, 20_000_000).await;
    let row = scene.catalog.resumable_upload(&ContentHash::of(&bytes)).await.unwrap().unwrap();
    scene.session.api.terminate_upload(&row.upload).await.unwrap();
    let (session, _proxy) = behind(&scene, rewrite_errors).await;
    let report = run(&scene, &session, &Events::silent(), &CancellationToken::new()).await;
    assert_eq!((report.uploaded, report.failed.len()), (1, 0), "{report:?}");
    scene.verify_all(1).await;
}

/// All pictures were sent again, because a proxy had said that they were not there.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_says_in_its_server_s_place_is_no_damage() {
    let scene = Scene::new().await;
    for seed in 1..4 {
        scene.write(&format!("{seed}.jpg"), &picture(seed, 5000));
    }
    scene.back_up().await;
    let proxy = AbsentProxy::start(&scene.server.base(), u64::MAX, u64::MAX).await;
    let session = scene.through(&proxy.base());
    feed::pull(&session, &scene.catalog).await.unwrap();
    proxy.lose();
    let summary = verify(&session, &scene.catalog, VerifyScope::Everything, &Events::silent()).await.unwrap();
    assert_eq!((summary.intact, summary.failed.len()), (0, 3));
    assert!(summary.failed.iter().all(|failure| !failure.damaged), "{:?}", summary.failed);
    assert_eq!(scene.catalog.damaged_files().await.unwrap(), []);
    assert_eq!(scene.back_up().await.bytes_sent, 0);
}

/// What a proxy does to each piece of an answer. The lengths stay.
type Rewrite = fn(&mut [u8]);

/// Another date in every answer.
fn rewrite_dates(answer: &mut [u8]) {
    replace(answer, b"\r\ndate: ", b"Thu, 01 Jan 2099 00:00:00 GMT");
}

/// What is not there is told in the proxy's own words: neither as JSON, nor with the server's time.
fn rewrite_errors(answer: &mut [u8]) {
    if answer.starts_with(b"HTTP/1.1 404 ") {
        replace(answer, b"content-type: ", b"text/html;x=\"yy\"");
        replace(answer, b"darkslide-tim", b"x");
    }
}

/// Whether an answer to a batch was lost: only one is.
static IS_LOST: AtomicBool = AtomicBool::new(false);

/// The first batch that makes a file is told to have failed.
fn lose_a_batch(answer: &mut [u8]) {
    let mark = b"\"outcome\":\"created\"";
    let is_told = answer.starts_with(b"HTTP/1.1 ") && answer.windows(mark.len()).any(|window| window == mark);
    if is_told && !IS_LOST.swap(true, Ordering::Relaxed) {
        replace(answer, b"HTTP/1.1 ", b"503");
    }
}

/// Writes over what comes behind a mark, in whatever case that is.
fn replace(answer: &mut [u8], mark: &[u8], with: &[u8]) {
    let at = answer.windows(mark.len()).position(|window| window.eq_ignore_ascii_case(mark));
    if let Some(at) = at {
        answer[at + mark.len()..][..with.len()].copy_from_slice(with);
    }
}

/// Passes everything on, and rewrites the answers.
async fn carry(mut client: TcpStream, mut server: TcpStream, rewrite: Rewrite) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let up = tokio::io::copy(&mut from_client, &mut to_server);
    let down = async {
        let mut answer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from_server.read(&mut answer).await {
            rewrite(&mut answer[..count]);
            if to_client.write_all(&answer[..count]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! { _ = up => {}, () = down => {} }
}

/// The account as it is seen through a proxy that rewrites answers, which ends with what comes beside it.
async fn behind(scene: &Scene, rewrite: Rewrite) -> (Arc<Session>, JoinSet<()>) {
    let server = scene.server.base().strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let session = scene.through(&format!("http://{}", listener.local_addr().unwrap()));
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            connections.spawn(carry(client, TcpStream::connect(&server).await.unwrap(), rewrite));
        }
    });
    (session, task)
}

/// It was said that there was no room for what was in the vault.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_fills_the_vault_and_whose_answer_is_lost_is_in_it() {
    let scene = Scene::new().await;
    scene.set_quota(1).await;
    scene.write("a.jpg", &picture(1, 5000));
    let (session, _proxy) = behind(&scene, lose_a_batch).await;
    let report = run(&scene, &session, &Events::silent(), &CancellationToken::new()).await;
    assert!(IS_LOST.load(Ordering::Relaxed), "no answer was lost");
    assert_eq!((report.uploaded, report.without_room, report.failed.len()), (1, 0, 0), "{report:?}");
    assert!(report.storage_full.is_none(), "{report:?}");
    scene.verify_all(1).await;
}

/// Once, what was deleted came back where a proxy's clock was ahead.
/// Shows E9.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_s_clock_brings_nothing_back_that_was_deleted() {
    let scene = Scene::new().await;
    let (session, _proxy) = behind(&scene, rewrite_dates).await;
    let back_up = async || run(&scene, &session, &Events::silent(), &CancellationToken::new()).await;
    scene.write("a.jpg", &picture(1, 5000));
    assert_eq!(back_up().await.uploaded, 1);
    let file = scene.vault().await[0].id;
    trash_files(&scene.session, &scene.catalog, &[file]).await.unwrap();
    for _ in 0..2 {
        let report = back_up().await;
        assert_eq!((report.uploaded, report.untrashed, report.skipped.len()), (0, 0, 1), "{report:?}");
    }
}
