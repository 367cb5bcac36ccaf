//! Stopped, cut off, changed underfoot: nothing acknowledged is sent again, nothing half is committed.

use crate::scene::{Scene, picture, settings};
use darkslide_client::backup::{BackupReport, Settings, backup};
use darkslide_client::catalog::{AssetRow, Failing, ResumableRow};
use darkslide_client::event::{Event, Events};
use darkslide_client::library::{AlbumRule, raw};
use darkslide_client::session::Session;
use darkslide_crypto::ContentHash;
use darkslide_crypto::stream::{SEALED_CHUNK_LEN, ciphertext_len};
use darkslide_e2e::proxy::Proxy;
use darkslide_protocol::Opaque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const PART_LEN: u64 = 5 * SEALED_CHUNK_LEN as u64;

/// Three whole parts and a short one.
const LARGE: usize = 64_000_000;

/// Waits until so many bytes of originals were moved.
pub(crate) async fn moved(events: &mut tokio::sync::mpsc::Receiver<Event>, enough: u64) {
    let mut total = 0;
    while total < enough {
        let event = events.recv().await.expect("the run goes on until it is stopped");
        if let Event::Moved { bytes, .. } = event {
            total += bytes;
        }
    }
}

pub(crate) async fn drain(mut events: tokio::sync::mpsc::Receiver<Event>) {
    while events.recv().await.is_some() {}
}

/// A proxy that only counts, and the account seen through it.
pub(crate) async fn counting(scene: &Scene) -> (Proxy, Arc<Session>) {
    let proxy = Proxy::start(&scene.server.base(), u64::MAX, 0).await;
    let session = scene.through(&proxy.base());
    (proxy, session)
}

pub(crate) async fn run(
    scene: &Scene,
    session: &Arc<Session>,
    events: &Events,
    stop: &CancellationToken,
) -> BackupReport {
    let (roots, settings) = ([scene.pictures()], settings(AlbumRule::PerRoot));
    backup(Arc::clone(session), scene.catalog.clone(), &roots, &settings, events, stop).await.unwrap()
}

/// A connection that is cut costs what was in its buffers; the headers of all calls are far less.
pub(crate) const SENT_TWICE_MAX: u64 = 1 << 20;

/// The run after one that was interrupted, over one file of so many bytes: what both sent is hardly more than there is.
pub(crate) async fn check_that_little_is_sent_twice(
    scene: &Scene,
    proxy: &Proxy,
    session: &Arc<Session>,
    bytes: usize,
) -> BackupReport {
    let report = run(scene, session, &Events::silent(), &CancellationToken::new()).await;
    assert_eq!((report.uploaded, report.failed.len()), (1, 0), "{report:?}");
    let (up, len) = (proxy.bytes_up(), ciphertext_len(bytes as u64).unwrap());
    assert!(up < len + SENT_TWICE_MAX, "{up} bytes went up of {len}");
    scene.verify_all(1).await;
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_upload_goes_on_from_the_last_byte() {
    let scene = Scene::new().await;
    scene.write("large.jpg", &picture(1, LARGE));
    let (proxy, session) = counting(&scene).await;
    let report = stopped_after(&scene, &session, 40_000_000).await;
    assert_eq!((report.uploaded, report.failed.len()), (0, 0), "{report:?}");
    assert!(report.interrupted.is_some() && !report.is_complete());
    assert_eq!(scene.titles().await, [""; 0]);
    check_that_little_is_sent_twice(&scene, &proxy, &session, LARGE).await;
}

/// Shows E4.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_vanished_goes_on_from_the_last_byte() {
    let scene = Scene::new().await;
    scene.write("large.jpg", &picture(1, LARGE));
    let (proxy, session) = counting(&scene).await;
    vanish_after(&scene, &session, 40_000_000).await;
    check_that_little_is_sent_twice(&scene, &proxy, &session, LARGE).await;
}

/// Bytes of a video: `DARKSLIDE_TEST_VIDEO_BYTES`, or of one that a test build is soon through with. From 128 MiB on it is sent while it is hashed.
fn video_bytes() -> usize {
    let said = std::env::var("DARKSLIDE_TEST_VIDEO_BYTES").ok();
    said.map_or(LARGE, |said| said.parse().expect("DARKSLIDE_TEST_VIDEO_BYTES is a number"))
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "of one of another size the figures are what is asked for")]
async fn a_video_that_is_cut_at_its_end_is_not_sent_again() {
    let scene = Scene::new().await;
    let bytes = video_bytes();
    scene.write("large.mp4", &picture(1, bytes));
    let len = ciphertext_len(bytes as u64).unwrap();
    let proxy = Proxy::start(&scene.server.base(), len / 10 * 9, 1).await;
    let session = scene.through(&proxy.base());
    check_that_little_is_sent_twice(&scene, &proxy, &session, bytes).await;
    assert_eq!(proxy.cuts_left(), 0);
    let more = proxy.bytes_up() - len;
    eprintln!(
        "a video of {bytes} bytes, cut at 90 %: {len} bytes of ciphertext, and {more} bytes more went up"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_goes_on_from_what_it_had_recorded() {
    // What a server has not written, and what is in the buffers of a line that is faster than its disk.
    let scene = Scene::new().await;
    let proxy = Proxy::start(&scene.server.base(), u64::MAX, 0).await;
    check_a_kill(scene, proxy, LARGE, 24 << 20).await;
}

/// Most lines up are slower than any disk: then nothing waits in their buffers.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_behind_a_slow_line_costs_next_to_nothing() {
    let scene = Scene::new().await;
    let proxy = Proxy::slow(&scene.server.base(), 8_000).await;
    check_a_kill(scene, proxy, LARGE / 4, SENT_TWICE_MAX).await;
}

/// The server is killed when most of a file of so many bytes was handed to the line, which then carried so many bytes twice at most.
async fn check_a_kill(mut scene: Scene, proxy: Proxy, bytes: usize, twice_most: u64) {
    scene.write("large.jpg", &picture(1, bytes));
    let session = scene.through(&proxy.base());
    let (events, mut told) = Events::channel();
    let (catalog, roots) = (scene.catalog.clone(), [scene.pictures()]);
    let running = tokio::spawn(async move {
        let settings = settings(AlbumRule::PerRoot);
        backup(session, catalog, &roots, &settings, &events, &CancellationToken::new()).await
    });
    moved(&mut told, bytes as u64 / 8 * 5).await;
    scene.server.kill();
    scene.server.restart();
    drain(told).await;
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.uploaded, report.failed.len()), (1, 0), "{report:?}");
    let (up, len) = (proxy.bytes_up(), ciphertext_len(bytes as u64).unwrap());
    assert!(up < len + twice_most, "{up} bytes went up of {len}");
    scene.verify_all(1).await;
}

/// An upload that was stopped in the middle, and what the catalog has of it.
async fn stopped_upload() -> (Scene, ContentHash, ResumableRow) {
    let scene = Scene::new().await;
    let bytes = picture(1, LARGE);
    scene.write("large.jpg", &bytes);
    stopped_after(&scene, &scene.session, 20_000_000).await;
    let content = ContentHash::of(&bytes);
    let row = scene.catalog.resumable_upload(&content).await.unwrap().unwrap();
    (scene, content, row)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_the_server_forgot_is_begun_anew_under_another_key() {
    let (scene, content, row) = stopped_upload().await;
    scene.session.api.terminate_upload(&row.upload).await.unwrap();
    check_that_it_is_begun_anew(&scene, &content, (&row.encrypted_key, &row.header)).await;
}

/// Its disk lost what it had acknowledged: it says so when it is asked how far the upload is.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_bytes_the_server_lost_is_begun_anew_under_another_key() {
    let (scene, content, row) = stopped_upload().await;
    std::fs::remove_file(scene.server.data_dir().join("uploads").join(&row.upload)).unwrap();
    check_that_it_is_begun_anew(&scene, &content, (&row.encrypted_key, &row.header)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_arrived_altered_are_noticed_and_never_committed() {
    let (scene, content, row) = stopped_upload().await;
    // The server tells the digest of what it was sent, and not of what it should have been sent.
    let offset = scene.session.api.standing(&row.upload).await.unwrap().offset;
    let noise = reqwest::Body::from(vec![7; 1000]);
    scene.session.api.append_upload(&row.upload, offset, noise, 1000).await.unwrap();
    check_that_it_is_begun_anew(&scene, &content, (&row.encrypted_key, &row.header)).await;
}

async fn check_that_it_is_begun_anew(scene: &Scene, content: &ContentHash, pinned: (&Opaque, &Opaque)) {
    let report = scene.back_up().await;
    assert_eq!((report.uploaded, report.failed.len()), (1, 0), "{report:?}");
    let file = &scene.vault().await[0];
    assert_ne!((&file.encrypted_key, &file.object_header), pinned);
    assert!(scene.catalog.upload(content).await.unwrap().is_none());
    assert!(scene.catalog.resumable_upload(content).await.unwrap().is_none());
    scene.verify_all(1).await;
}

/// A run that is asked to stop once so many bytes of originals were moved.
pub(crate) async fn stopped_after(scene: &Scene, session: &Arc<Session>, enough: u64) -> BackupReport {
    let (events, mut told) = Events::channel();
    let stop = CancellationToken::new();
    let watching = {
        let stop = stop.clone();
        tokio::spawn(async move {
            moved(&mut told, enough).await;
            stop.cancel();
            drain(told).await;
        })
    };
    let report = run(scene, session, &events, &stop).await;
    drop(events);
    watching.await.unwrap();
    report
}

/// A run that is gone once so many bytes of originals were moved.
pub(crate) async fn vanish_after(scene: &Scene, session: &Arc<Session>, enough: u64) {
    let (events, mut told) = Events::channel();
    let (through, catalog, roots) = (Arc::clone(session), scene.catalog.clone(), [scene.pictures()]);
    let running = tokio::spawn(async move {
        let settings = settings(AlbumRule::PerRoot);
        backup(through, catalog, &roots, &settings, &events, &CancellationToken::new()).await
    });
    moved(&mut told, enough).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    drain(told).await;
}

/// A server without extensions, and the account seen through it.
async fn stock(scene: &Scene) -> (Proxy, Arc<Session>) {
    let proxy = Proxy::hiding(&scene.server.base()).await;
    let session = scene.through(&proxy.base());
    (proxy, session)
}

async fn check_that_the_rest_is_sent(
    scene: &Scene,
    proxy: &Proxy,
    session: &Arc<Session>,
    acknowledged: u64,
) {
    let before = proxy.bytes_up();
    let report = run(scene, session, &Events::silent(), &CancellationToken::new()).await;
    let up = proxy.bytes_up() - before;
    assert_eq!((report.uploaded, report.failed.len()), (1, 0), "{report:?}");
    let rest = ciphertext_len(LARGE as u64).unwrap() - acknowledged * PART_LEN;
    assert!(report.bytes_sent < rest + 100_000, "{report:?}, {rest}");
    // What the run before had put into sockets may still be passing the proxy; an acknowledged part is 20 MiB.
    assert!(up < rest + PART_LEN / 4, "{up} bytes went up, {rest} were missing");
    scene.verify_all(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_upload_goes_on_from_the_last_acknowledged_part() {
    let scene = Scene::new().await;
    scene.write("large.jpg", &picture(1, LARGE));
    let (proxy, session) = stock(&scene).await;
    let report = stopped_after(&scene, &session, 2 * PART_LEN + 1_000_000).await;
    assert_eq!((report.uploaded, report.failed.len()), (0, 0), "{report:?}");
    assert!(report.interrupted.is_some() && !report.is_complete());
    assert_eq!(scene.titles().await, [""; 0]);
    check_that_the_rest_is_sent(&scene, &proxy, &session, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_vanished_goes_on_from_the_last_acknowledged_part() {
    let scene = Scene::new().await;
    scene.write("large.jpg", &picture(1, LARGE));
    let (proxy, session) = stock(&scene).await;
    vanish_after(&scene, &session, PART_LEN + 1_000_000).await;
    check_that_the_rest_is_sent(&scene, &proxy, &session, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_the_server_forgot_are_begun_anew_under_another_key() {
    let scene = Scene::new().await;
    let bytes = picture(1, LARGE);
    scene.write("large.jpg", &bytes);
    let (_proxy, session) = stock(&scene).await;
    stopped_after(&scene, &session, PART_LEN + 1_000_000).await;
    let content = ContentHash::of(&bytes);
    let (mut row, parts) = scene.catalog.upload(&content).await.unwrap().unwrap();
    assert!(!parts.is_empty());
    // An URL of a session that is not there: what a server answers once it has reaped it.
    let gone = |url: &String| url.replacen("/blob/", "/blob/x", 1);
    row.part_urls = row.part_urls.iter().map(gone).collect();
    row.complete_url = gone(&row.complete_url);
    scene.catalog.begin_upload(&row).await.unwrap();
    for part in &parts {
        scene.catalog.acknowledge_part(&content, part).await.unwrap();
    }
    let report = run(&scene, &session, &Events::silent(), &CancellationToken::new()).await;
    assert_eq!((report.uploaded, report.failed.len()), (1, 0), "{report:?}");
    let file = &scene.vault().await[0];
    assert_ne!((&file.encrypted_key, &file.object_header), (&row.encrypted_key, &row.header));
    assert!(scene.catalog.upload(&content).await.unwrap().is_none());
    scene.verify_all(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_are_borne() {
    let scene = Scene::new().await;
    scene.write("large.jpg", &picture(1, LARGE));
    scene.write("medium.jpg", &picture(2, 9_000_000));
    for seed in 3..20 {
        scene.write(&format!("{seed}.jpg"), &picture(seed, 40_000));
    }
    let proxy = Proxy::start(&scene.server.base(), 3_000_000, 6).await;
    let session = scene.through(&proxy.base());
    let settings = settings(AlbumRule::PerRoot);
    let roots = [scene.pictures()];
    let stop = CancellationToken::new();
    let report =
        backup(session, scene.catalog.clone(), &roots, &settings, &Events::silent(), &stop).await.unwrap();
    assert_eq!((report.uploaded, report.failed.len()), (19, 0), "{report:?}");
    assert_eq!(proxy.cuts_left(), 0);
    scene.verify_all(19).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_told_at_once() {
    let scene = Scene::new().await;
    scene.write("a.jpg", &picture(1, 5000));
    let proxy = Proxy::start(&scene.server.base(), 0, 0).await;
    let nowhere = proxy.base();
    drop(proxy);
    let (roots, settings) = ([scene.pictures()], settings(AlbumRule::PerRoot));
    let stop = CancellationToken::new();
    let session = scene.through(&nowhere);
    let events = Events::silent();
    let run = backup(session, scene.catalog.clone(), &roots, &settings, &events, &stop);
    let error = run.await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(scene.back_up().await.uploaded, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_ends_the_run_when_patience_is_over() {
    let scene = Scene::new().await;
    scene.write("large.jpg", &picture(1, LARGE));
    scene.write("small.jpg", &picture(2, 5000));
    let (proxy, session) = counting(&scene).await;
    let (events, mut told) = Events::channel();
    let (catalog, roots) = (scene.catalog.clone(), [scene.pictures()]);
    let running = tokio::spawn(async move {
        let settings = Settings { patience: Duration::from_secs(1), ..settings(AlbumRule::PerRoot) };
        backup(session, catalog, &roots, &settings, &events, &CancellationToken::new()).await
    });
    let (mut small, mut large) = (false, 0);
    while !small || large == 0 {
        match told.recv().await.expect("the run goes on") {
            Event::Finished { name, .. } => small |= name.ends_with("small.jpg"),
            Event::Moved { name, bytes } if name.ends_with("large.jpg") => large += bytes,
            _ => {}
        }
    }
    drop(proxy);
    drain(told).await;
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.uploaded, report.failed.len()), (1, 1), "{report:?}");
    assert!(report.interrupted.is_some() && !report.is_complete(), "{report:?}");
    assert_eq!(scene.titles().await, ["small.jpg"]);
    // Straight to the server, which is another address: what was begun at the first one is not gone on with.
    assert_eq!(scene.back_up().await.uploaded, 1);
    scene.verify_all(2).await;
}

/// Waits for the first bytes of a file's upload, and changes it then.
async fn change_while_sent(scene: &Scene, path: &Path, change: impl FnOnce(&Path)) -> BackupReport {
    let (events, mut told) = Events::channel();
    let settings = settings(AlbumRule::PerRoot);
    let stop = CancellationToken::new();
    let watching = async {
        moved(&mut told, 1).await;
        change(path);
        drain(told).await;
    };
    let run = async {
        let report = scene.run(&settings, &events, &stop).await;
        drop(events);
        report
    };
    let ((), report) = tokio::join!(watching, run);
    report.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_sent_is_not_committed() {
    for length in [9_000_000, LARGE] {
        let scene = Scene::new().await;
        let path = scene.write("a.jpg", &picture(1, length));
        let other = picture(2, length);
        let report = change_while_sent(&scene, &path, |path| std::fs::write(path, &other).unwrap()).await;
        assert_eq!(report.uploaded, 0, "{report:?}");
        assert!(report.failed[0].reason.contains("changed while it was sent"), "{report:?}");
        assert_eq!(scene.titles().await, [""; 0]);
        let report = scene.back_up().await;
        assert_eq!(report.uploaded, 1, "{report:?}");
        assert_eq!(scene.vault().await[0].content_hash, Some(ContentHash::of(&other)));
        scene.verify_all(1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_vault_is_told_once_and_stops_only_what_must_be_sent() {
    let scene = Scene::new().await;
    scene.write("a.jpg", &picture(1, 5000));
    scene.back_up().await;
    scene.set_quota(1).await;
    for seed in 2..8 {
        scene.write(&format!("new/{seed}.jpg"), &picture(seed, 60_000_000 / 4));
    }
    // More than any grace.
    scene.write("new/8.jpg", &picture(8, 60_000_000));
    scene.write("again/a.jpg", &picture(1, 5000));
    let (events, mut told) = Events::channel();
    let stop = CancellationToken::new();
    let listening = async {
        let mut full = 0;
        while let Some(event) = told.recv().await {
            full += u64::from(matches!(event, Event::StorageFull { .. }));
        }
        full
    };
    let settings = settings(AlbumRule::PerRoot);
    let run = async {
        let report = scene.run(&settings, &events, &stop).await.unwrap();
        drop(events);
        report
    };
    let (full, report) = tokio::join!(listening, run);
    assert_eq!(full, 1, "{report:?}");
    assert!(report.storage_full.is_some(), "{report:?}");
    assert_eq!((report.unchanged, report.linked), (1, 1), "{report:?}");
    assert_eq!((report.without_room, report.failed.len()), (7, 0), "{report:?}");
    // While there is no room, what found none is counted again, and not read again.
    let again = scene.back_up().await;
    assert_eq!((again.without_room, again.failed.len()), (7, 0), "{again:?}");
    assert_eq!((again.bytes_hashed, again.bytes_sent), (0, 0), "{again:?}");
    scene.set_quota(1 << 40).await;
    assert_eq!(scene.back_up().await.uploaded, 7);
}

/// What no server takes is named without being read.
#[tokio::test(flavor = "multi_thread")]
async fn a_video_that_is_too_large_is_not_read() {
    let scene = Scene::new().await;
    let path = scene.write("film.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom");
    std::fs::File::options().write(true).open(path).unwrap().set_len(10 << 30).unwrap();
    for _ in 0..2 {
        let report = scene.back_up().await;
        assert_eq!((report.failed.len(), report.bytes_hashed), (1, 0), "{report:?}");
        assert!(report.failed[0].reason.contains("too large"), "{report:?}");
    }
}

/// What would fail again is left alone by runs that nobody asked for, until its pause is over, it changes, or somebody asks.
/// Shows E12.
#[tokio::test(flavor = "multi_thread")]
async fn what_would_fail_again_is_not_tried_in_every_run() {
    let scene = Scene::new().await;
    let path = scene.write("film.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom");
    let resize = |bytes| std::fs::File::options().write(true).open(&path).unwrap().set_len(bytes).unwrap();
    resize(10 << 30);
    let by_itself = Settings { is_asked: false, ..settings(AlbumRule::PerRoot) };
    let run = async || scene.back_up_with(&by_itself).await.unwrap();
    assert_eq!(run().await.failed.len(), 1);
    for _ in 0..2 {
        let report = run().await;
        assert_eq!((report.failed.len(), report.unchanged), (0, 0), "{report:?}");
    }
    assert_eq!(scene.back_up().await.failed.len(), 1, "its owner asked");
    assert_eq!(run().await.failed.len(), 0);
    // A quarter of an hour passes.
    let root = raw(&scene.pictures().canonicalize().unwrap());
    let row = scene.catalog.asset(&root, b"film.mp4").await.unwrap().unwrap();
    let before = row.failing.map(|failing| Failing { last: failing.last - 16 * 60 * 1_000_000, ..failing });
    scene.catalog.put_asset(&AssetRow { failing: before, ..row }).await.unwrap();
    assert_eq!(run().await.failed.len(), 1);
    assert_eq!(run().await.failed.len(), 0);
    resize(1 << 20);
    assert_eq!(run().await.uploaded, 1);
}

/// A file that is moved between being found and being read is no failure, and nothing is kept of where it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_moved_meanwhile_is_found_where_it_is() {
    let scene = Scene::new().await;
    for seed in 0..40 {
        scene.write(&format!("{seed}/a.jpg"), &picture(seed, 5000));
    }
    let (events, mut told) = Events::channel();
    let pictures = scene.pictures();
    let moving = async {
        while let Some(event) = told.recv().await {
            if matches!(event, Event::Planned { .. }) {
                for seed in 0..40 {
                    std::fs::rename(
                        pictures.join(format!("{seed}/a.jpg")),
                        pictures.join(format!("{seed}.jpg")),
                    )
                    .unwrap();
                }
            }
        }
    };
    let (settings, stop) = (settings(AlbumRule::PerRoot), CancellationToken::new());
    let run = async {
        let report = scene.run(&settings, &events, &stop).await.unwrap();
        drop(events);
        report
    };
    let ((), report) = tokio::join!(moving, run);
    assert_eq!(report.failed, [], "{report:?}");
    assert!(report.skipped.iter().all(|named| named.reason.contains("moved")), "{report:?}");
    assert!(report.skipped.len() > 10, "{report:?}");
    let again = scene.back_up().await;
    assert_eq!(again.uploaded + again.linked, 40, "{again:?}");
    assert_eq!(scene.vault().await.len(), 40);
    let root = raw(&pictures.canonicalize().unwrap());
    let rows = scene.catalog.assets(&root).await.unwrap();
    assert!(rows.iter().all(AssetRow::is_backed_up), "{rows:?}");
}
