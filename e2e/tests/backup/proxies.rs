//! Behind a proxy that takes small requests only: pictures go in smaller batches, and what alone is too large for one in pieces.

use crate::edits::{edit, taken};
use crate::scene::{Scene, picture, settings};
use darkslide_client::backup::standing::Agent;
use darkslide_client::backup::{BackupReport, backup, explain};
use darkslide_client::event::Events;
use darkslide_client::library::AlbumRule;
use darkslide_client::thumbnail::Thumbnailer;
use darkslide_client::trash::trash_files;
use darkslide_client::versions::list_versions;
use darkslide_e2e::bitmap::bitmap;
use darkslide_e2e::narrow::NarrowProxy;
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

/// Passes everything on, and writes the date of every answer anew.
async fn carry(mut client: TcpStream, mut server: TcpStream) {
    const MARK: &[u8] = b"\r\ndate: ";
    const DATE: &[u8] = b"Thu, 01 Jan 2099 00:00:00 GMT";
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let up = tokio::io::copy(&mut from_client, &mut to_server);
    let down = async {
        let mut answer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from_server.read(&mut answer).await {
            let bytes = &mut answer[..count];
            let at = bytes.windows(MARK.len()).position(|window| window.eq_ignore_ascii_case(MARK));
            if let Some(at) = at {
                bytes[at + MARK.len()..][..DATE.len()].copy_from_slice(DATE);
            }
            if to_client.write_all(bytes).await.is_err() {
                break;
            }
        }
    };
    tokio::select! { _ = up => {}, () = down => {} }
}

/// Once, what was deleted came back where a proxy's clock was ahead.
/// Shows E9.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_s_clock_brings_nothing_back_that_was_deleted() {
    let scene = Scene::new().await;
    let server = scene.server.base().strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let session = scene.through(&format!("http://{}", listener.local_addr().unwrap()));
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            connections.spawn(carry(client, TcpStream::connect(&server).await.unwrap()));
        }
    });
    let back_up = async || {
        let (session, roots) = (std::sync::Arc::clone(&session), [scene.pictures()]);
        let (events, stop) = (Events::silent(), CancellationToken::new());
        let settings = settings(AlbumRule::PerRoot);
        backup(session, scene.catalog.clone(), &roots, &settings, &events, &stop).await.unwrap()
    };
    scene.write("a.jpg", &picture(1, 5000));
    assert_eq!(back_up().await.uploaded, 1);
    let file = scene.vault().await[0].id;
    trash_files(&scene.session, &scene.catalog, &[file]).await.unwrap();
    for _ in 0..2 {
        let report = back_up().await;
        assert_eq!((report.uploaded, report.untrashed, report.skipped.len()), (0, 0, 1), "{report:?}");
    }
}
