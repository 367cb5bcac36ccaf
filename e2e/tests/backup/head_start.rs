//! Large new files are sent while they are hashed, and no key meets two contents for it.

use crate::interrupted::{
    SENT_TWICE_MAX, check_that_little_is_sent_twice, counting, drain, moved, run, stopped_after, vanish_after,
};
use crate::scene::{Scene, picture, settings};
use darkslide_client::backup::backup;
use darkslide_client::catalog::{AssetPlace, HeadStart};
use darkslide_client::event::Events;
use darkslide_client::library::AlbumRule;
use darkslide_crypto::ContentHash;
use darkslide_crypto::stream::{CHUNK_LEN, ciphertext_len};
use darkslide_e2e::proxy::Proxy;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Enough for a head start, in whole chunks and a rest.
const LARGE: usize = 150_000_000;

/// The head start of `large.mp4`.
async fn head_start(scene: &Scene) -> Option<HeadStart> {
    let root = scene.pictures().as_os_str().as_bytes().to_vec();
    scene.catalog.head_start(&AssetPlace { root, path: b"large.mp4".to_vec() }).await.unwrap()
}

/// A video, and a run over it that is gone once some of it was sent.
async fn begun(scene: &Scene) -> (Vec<u8>, HeadStart) {
    let bytes = picture(1, LARGE);
    scene.write("large.mp4", &bytes);
    vanish_after(scene, &scene.session, 20_000_000).await;
    let start = head_start(scene).await.expect("it was sent before it was hashed to its end");
    assert_eq!(scene.catalog.resumable_upload(&ContentHash::of(&bytes)).await.unwrap(), None);
    let pinned = usize::try_from(start.pinned).unwrap();
    assert!((20_000_000..LARGE).contains(&pinned) && pinned % CHUNK_LEN == 0, "{pinned}");
    assert_eq!(ContentHash::of(&bytes[..pinned]), start.upload.content_hash);
    (bytes, start)
}

/// The next run takes it to its end. Tells whether it did so under the key of the first.
async fn check_the_rest(scene: &Scene, bytes: &[u8], start: &HeadStart) -> bool {
    let report = scene.back_up().await;
    assert_eq!((report.uploaded, report.failed.len()), (1, 0), "{report:?}");
    assert_eq!(head_start(scene).await, None);
    let content = ContentHash::of(bytes);
    assert_eq!(scene.catalog.resumable_upload(&content).await.unwrap(), None);
    let file = &scene.vault().await[0];
    assert_eq!(file.content_hash, Some(content));
    scene.verify_all(1).await;
    let is_same = file.object_header == start.upload.header;
    if !is_same {
        let gone = scene.session.api.standing(&start.upload.upload).await.unwrap_err();
        assert!(gone.is_missing(), "{gone}");
    }
    is_same
}

/// Other bytes in the middle of the video, and the size that it had.
fn alter(scene: &Scene, bytes: &mut [u8], at: usize) {
    bytes[at..at + 4].copy_from_slice(b"oops");
    let file = std::fs::File::options().write(true).open(scene.pictures().join("large.mp4")).unwrap();
    file.write_all_at(b"oops", at as u64).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_new_file_is_sent_once() {
    let scene = Scene::new().await;
    scene.write("large.mp4", &picture(1, LARGE));
    let (proxy, session) = counting(&scene).await;
    let report = check_that_little_is_sent_twice(&scene, &proxy, &session, LARGE).await;
    assert!(report.bytes_sent >= ciphertext_len(LARGE as u64).unwrap(), "{report:?}");
    assert_eq!(head_start(&scene).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_vanished_goes_on_under_the_same_key() {
    let scene = Scene::new().await;
    let (proxy, session) = counting(&scene).await;
    let bytes = picture(1, LARGE);
    scene.write("large.mp4", &bytes);
    vanish_after(&scene, &session, 100_000_000).await;
    let start = head_start(&scene).await.unwrap();
    check_that_little_is_sent_twice(&scene, &proxy, &session, LARGE).await;
    assert_eq!(scene.vault().await[0].object_header, start.upload.header);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_to_since_meets_another_key() {
    for at in [5_000_000, LARGE - 100] {
        let scene = Scene::new().await;
        let (mut bytes, start) = begun(&scene).await;
        alter(&scene, &mut bytes, at);
        assert!(!check_the_rest(&scene, &bytes, &start).await);
    }
}

/// Behind the back of its times: the hash of what was pinned is what counts.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_pinned_and_is_otherwise_meets_another_key_whatever_its_times_say() {
    for (at, is_same) in [(5_000_000, false), (LARGE - 100, true)] {
        let scene = Scene::new().await;
        let (mut bytes, start) = begun(&scene).await;
        let path = scene.pictures().join("large.mp4");
        let written = path.metadata().unwrap().modified().unwrap();
        alter(&scene, &mut bytes, at);
        std::fs::File::options().write(true).open(path).unwrap().set_modified(written).unwrap();
        assert_eq!(check_the_rest(&scene, &bytes, &start).await, is_same);
    }
}

/// It was hashed to its end, and a part of it is on the server: it does not begin anew.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_its_way_has_no_other_head_start() {
    let scene = Scene::new().await;
    let bytes = picture(1, LARGE);
    scene.write("large.mp4", &bytes);
    let proxy = Proxy::start(&scene.server.base(), 30_000_000, 1).await;
    let session = scene.through(&proxy.base());
    vanish_after(&scene, &session, 100_000_000).await;
    let content = ContentHash::of(&bytes);
    assert!(scene.catalog.resumable_upload(&content).await.unwrap().is_some() && proxy.cuts_left() == 0);
    let sent = proxy.bytes_up();
    let report = run(&scene, &session, &Events::silent(), &CancellationToken::new()).await;
    assert_eq!((report.uploaded, report.failed.len()), (1, 0), "{report:?}");
    let (up, len) = (proxy.bytes_up(), ciphertext_len(LARGE as u64).unwrap());
    assert!(sent < len && up < len + 2 * SENT_TWICE_MAX, "{up} bytes went up of {len}");
    scene.verify_all(1).await;
}

/// One place in work twice.
#[tokio::test(flavor = "multi_thread")]
async fn one_file_under_two_roots_is_sent_once() {
    let scene = Scene::new().await;
    scene.write("large.mp4", &picture(1, LARGE));
    let (roots, settings) = ([scene.pictures(), scene.pictures()], settings(AlbumRule::PerRoot));
    let (session, catalog, stop) =
        (Arc::clone(&scene.session), scene.catalog.clone(), CancellationToken::new());
    let report = backup(session, catalog, &roots, &settings, &Events::silent(), &stop).await.unwrap();
    assert_eq!((report.uploaded, report.failed.len()), (1, 0), "{report:?}");
    assert!(report.bytes_sent < ciphertext_len(LARGE as u64).unwrap() + SENT_TWICE_MAX, "{report:?}");
    scene.verify_all(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_it_at_once_and_it_goes_on() {
    let scene = Scene::new().await;
    scene.write("large.mp4", &picture(1, LARGE));
    let (proxy, session) = counting(&scene).await;
    let report = stopped_after(&scene, &session, 40_000_000).await;
    assert!(report.interrupted.is_some() && report.failed.is_empty(), "{report:?}");
    let start = head_start(&scene).await.unwrap();
    check_that_little_is_sent_twice(&scene, &proxy, &session, LARGE).await;
    assert_eq!(scene.vault().await[0].object_header, start.upload.header);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_length_is_another_file() {
    let scene = Scene::new().await;
    let (mut bytes, start) = begun(&scene).await;
    bytes.push(7);
    scene.write("large.mp4", &bytes);
    assert!(!check_the_rest(&scene, &bytes, &start).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_cut_ends_the_head_start_and_nothing_else() {
    let scene = Scene::new().await;
    scene.write("large.mp4", &picture(1, LARGE));
    let proxy = Proxy::start(&scene.server.base(), 60_000_000, 1).await;
    let session = scene.through(&proxy.base());
    check_that_little_is_sent_twice(&scene, &proxy, &session, LARGE).await;
    assert_eq!(proxy.cuts_left(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_meanwhile_is_not_committed() {
    let scene = Scene::new().await;
    let mut bytes = picture(1, LARGE);
    scene.write("large.mp4", &bytes);
    let (events, mut told) = Events::channel();
    let (session, catalog, roots) = (Arc::clone(&scene.session), scene.catalog.clone(), [scene.pictures()]);
    let running = tokio::spawn(async move {
        let (settings, stop) = (settings(AlbumRule::PerRoot), CancellationToken::new());
        backup(session, catalog, &roots, &settings, &events, &stop).await
    });
    moved(&mut told, 8_000_000).await;
    alter(&scene, &mut bytes, 1_000_000);
    drain(told).await;
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.uploaded, report.failed.len()), (0, 1), "{report:?}");
    assert_eq!(scene.titles().await, [""; 0]);
    assert_eq!(head_start(&scene).await, None);
    let report = scene.back_up().await;
    assert_eq!((report.uploaded, report.failed.len()), (1, 0), "{report:?}");
    assert_eq!(scene.vault().await[0].content_hash, Some(ContentHash::of(&bytes)));
    scene.verify_all(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_in_the_vault_is_hashed_first() {
    let scene = Scene::new().await;
    scene.write("one.mp4", &picture(1, LARGE));
    assert_eq!(scene.back_up().await.uploaded, 1);
    let bytes = picture(2, LARGE);
    scene.write("large.mp4", &bytes);
    vanish_after(&scene, &scene.session, 20_000_000).await;
    assert_eq!(head_start(&scene).await, None);
    assert!(scene.catalog.resumable_upload(&ContentHash::of(&bytes)).await.unwrap().is_some());
    std::fs::copy(scene.pictures().join("one.mp4"), scene.pictures().join("copy.mp4")).unwrap();
    let report = scene.back_up().await;
    assert_eq!(
        (report.uploaded, report.linked + report.unchanged, report.failed.len()),
        (1, 2, 0),
        "{report:?}"
    );
    scene.verify_all(2).await;
}

/// Two of one length may be copies: one of them waits for its hash.
#[tokio::test(flavor = "multi_thread")]
async fn copies_are_sent_once() {
    let scene = Scene::new().await;
    let bytes = picture(1, LARGE);
    scene.write("large.mp4", &bytes);
    scene.write("copy.mp4", &bytes);
    let report = scene.back_up().await;
    assert_eq!((report.uploaded, report.linked, report.failed.len()), (1, 1, 0), "{report:?}");
    let len = ciphertext_len(LARGE as u64).unwrap();
    assert!(report.bytes_sent < len + SENT_TWICE_MAX, "{report:?}");
    scene.verify_all(1).await;
}
