//! Live Photos beside sync folders: a path is a file there, so the two halves of one are two files, and the vault's Live Photos are none of the
//! folder's. Nothing of either is ever lost by that; it is stored twice where it comes both ways.

use crate::scene::{Scene, picture};
use darkslide_client::backup;
use darkslide_client::event::Events;
use darkslide_client::library::AlbumRule;
use std::fs;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A film that is whole for whoever looks for its end, and as long as that of a Live Photo.
fn film(number: u8) -> Vec<u8> {
    let mut bytes = b"\0\0\0\x18ftypqt  \0\0\0\0qt  qt  \0\0\0\x74moov\0\0\0\x6cmvhd".to_vec();
    let mut header = [0; 100];
    // 1000 a second, and 3 seconds of them.
    header[12..20].copy_from_slice(b"\0\0\x03\xe8\0\0\x0b\xb8");
    bytes.extend(header);
    bytes.extend(b"\0\0\x01\0mdat");
    bytes.extend([number; 248]);
    bytes
}

impl Scene {
    fn write_pair(&self, stem: &str, number: u8) {
        self.write(&format!("{stem}.jpg"), number);
        fs::write(self.path(&format!("{stem}.mov")), film(number)).unwrap();
    }

    fn has_pair(&self, stem: &str) -> bool {
        let is_whole = |end: &str, bytes: Vec<u8>| {
            fs::read(self.path(&format!("{stem}.{end}"))).is_ok_and(|there| there == bytes)
        };
        is_whole("jpg", picture(1)) && is_whole("mov", film(1))
    }
}

/// As a phone backs it up: one file of two halves, in the album that the folder is kept in step with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_photos_of_the_album_stay_out_of_the_folder_and_nothing_is_lost() {
    let mut scene = Scene::new().await;
    scene.write("Phone/other.jpg", 9);
    scene.settle().await;
    scene.write_pair("Camera/live", 1);
    let sending =
        backup::Settings { albums: AlbumRule::Named("Phone".into()), ..scene.settings.sending.clone() };
    let (session, catalog) = (Arc::clone(&scene.session), scene.catalog.clone());
    let (roots, events, stop) = ([scene.path("Camera")], Events::silent(), CancellationToken::new());
    let sent = backup::backup(session, catalog, &roots, &sending, &events, &stop).await.unwrap();
    assert_eq!(sent.uploaded, 1, "{sent:?}");
    assert_eq!(scene.settle().await.materialised, 0);
    assert!(!scene.path("Phone/live.jpg").exists() && !scene.path("Phone/live.mov").exists());

    // Its halves are put into the folder: they are two pictures of their own.
    scene.write_pair("Phone/live", 1);
    assert_eq!(scene.settle().await.uploaded, 2);
    assert_eq!(scene.vault().await, ["live.jpg", "live.jpg", "live.mov", "other.jpg"]);
    // One of them is deleted: the other, and the Live Photo, are what they were.
    scene.remove("Phone/live.mov");
    assert_eq!(scene.settle().await.trashed_remote, 1);
    assert_eq!(scene.vault().await, ["live.jpg", "live.jpg", "other.jpg"]);
    assert_eq!(
        (scene.vault_trash().await, scene.path("Phone/live.jpg").exists()),
        (vec!["live.mov".to_owned()], true)
    );
    // So is the other.
    scene.remove("Phone/live.jpg");
    assert_eq!(scene.settle().await.trashed_remote, 1);
    assert_eq!(scene.vault().await, ["live.jpg", "other.jpg"], "the Live Photo");
    assert!(scene.has_pair("Camera/live"));

    // The Live Photo is deleted by another client: that says nothing of its halves in the folder.
    scene.write_pair("Phone/live", 1);
    assert_eq!(scene.settle().await.restored, 2);
    let kinds = |kind: i64| {
        let elsewhere = scene.elsewhere();
        async move {
            let rows = elsewhere.files(&darkslide_client::catalog::FileFilter::default()).await.unwrap();
            rows.into_iter().filter(|row| row.kind == kind).map(|row| row.id).collect::<Vec<_>>()
        }
    };
    assert_eq!(scene.vault().await.len(), 4);
    let live = kinds(2).await;
    assert_eq!(live.len(), 1);
    darkslide_client::trash::trash_files(&scene.session, &scene.elsewhere(), &live).await.unwrap();
    let report = scene.settle().await;
    assert!(!report.did_something() && scene.has_pair("Phone/live"), "{report:?}");
    assert_eq!(scene.vault().await, ["live.jpg", "live.mov", "other.jpg"]);
}

/// A pair in the folder alone: two files, each with a fate of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_halves_of_a_live_photo_in_the_folder_are_two_files() {
    let mut scene = Scene::new().await;
    scene.write("Phone/other.jpg", 9);
    scene.write_pair("Phone/live", 1);
    assert_eq!(scene.settle().await.uploaded, 3);
    // One is trashed by another client: it leaves, the other stays, and both come back.
    let film = scene.trash_elsewhere("live.mov").await;
    assert_eq!(scene.settle().await.trashed_local, 1);
    assert!(scene.path("Phone/live.jpg").exists() && !scene.path("Phone/live.mov").exists());
    scene.restore_elsewhere(film).await;
    assert_eq!(scene.settle().await.materialised, 1);
    assert!(scene.has_pair("Phone/live"));
    for end in ["jpg", "mov"] {
        scene.remove(&format!("Phone/live.{end}"));
    }
    assert_eq!(scene.settle().await.trashed_remote, 2);
    assert_eq!(scene.vault_trash().await, ["live.jpg", "live.mov"]);
}
