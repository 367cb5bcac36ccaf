//! The halves of a Live Photo that come into a folder one after the other, as a synchroniser brings them: one file of the vault, of
//! which the half that came first is an earlier version.

use crate::corpus::corpus;
use crate::edits::edit;
use crate::scene::Scene;
use darkslide_client::backup::explain;
use darkslide_client::backup::standing::Agent;
use darkslide_client::catalog::FileRow;
use darkslide_client::trash::trash_files;
use darkslide_client::versions::list_versions;
use std::fs;
use std::path::PathBuf;

/// A real pair; without the corpus there is none, and nothing is tested.
fn pair() -> Option<[PathBuf; 2]> {
    let Some(corpus) = corpus() else {
        eprintln!("\n\nNOT TESTED: Live Photos in a folder, for want of the corpus.\n\n");
        return None;
    };
    Some(["train.jpg", "train.mov"].map(|name| corpus.join("live-photo").join(name)))
}

fn bring(scene: &Scene, half: &PathBuf, name: &str) {
    scene.write(name, &fs::read(half).unwrap());
}

const IMAGE: i64 = 0;
const VIDEO: i64 = 1;
const LIVE_PHOTO: i64 = 2;

/// That the vault has one Live Photo, whose only earlier version is the half that was there before, and that nothing is left to do.
async fn is_one_live_photo(scene: &Scene, before: &FileRow) {
    let after = scene.vault().await;
    assert_eq!(after.len(), 1, "{after:?}");
    assert_eq!((after[0].id, after[0].kind), (before.id, LIVE_PHOTO));
    assert_ne!(after[0].content_hash, before.content_hash);
    assert_eq!(after[0].title.as_deref(), Some("train.jpg"));
    assert_eq!(list_versions(&scene.session, &scene.catalog, before.id).await.unwrap().len(), 1);
    scene.verify_all(1).await;
    let again = scene.back_up().await;
    assert_eq!((again.bytes_sent, again.bytes_hashed, again.unchanged), (0, 0, 1), "{again:?}");
}

/// Shows E8.
#[tokio::test(flavor = "multi_thread")]
async fn a_video_that_comes_later_completes_the_still() {
    let Some([still, video]) = pair() else { return };
    let scene = Scene::new().await;
    bring(&scene, &still, "train.jpg");
    scene.back_up().await;
    let before = scene.vault().await.remove(0);
    assert_eq!(before.kind, IMAGE);
    bring(&scene, &video, "train.mov");
    let report = scene.back_up().await;
    assert_eq!(report.uploaded, 1, "{report:?}");
    is_one_live_photo(&scene, &before).await;
}

/// Shows E8.
#[tokio::test(flavor = "multi_thread")]
async fn a_still_that_comes_later_completes_the_video() {
    let Some([still, video]) = pair() else { return };
    let scene = Scene::new().await;
    bring(&scene, &video, "train.mov");
    scene.back_up().await;
    let before = scene.vault().await.remove(0);
    assert_eq!(before.kind, VIDEO);
    bring(&scene, &still, "train.jpg");
    let report = scene.back_up().await;
    assert_eq!(report.uploaded, 1, "{report:?}");
    is_one_live_photo(&scene, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_for_which_there_was_no_room_completes_the_still_later() {
    let Some([still, video]) = pair() else { return };
    let scene = Scene::new().await;
    bring(&scene, &still, "train.jpg");
    scene.back_up().await;
    let before = scene.vault().await.remove(0);
    scene.set_quota(1).await;
    bring(&scene, &video, "train.mov");
    for _ in 0..2 {
        assert_eq!(scene.back_up().await.uploaded, 0);
    }
    scene.set_quota(1_000_000_000).await;
    assert_eq!(scene.back_up().await.uploaded, 1);
    is_one_live_photo(&scene, &before).await;
}

/// What another copy relies on stays what it is, and so does a still beside a video that is not its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_still_stays_what_it_is_where_that_is_needed() {
    let Some([still, video]) = pair() else { return };
    let scene = Scene::new().await;
    bring(&scene, &still, "train.jpg");
    bring(&scene, &still, "copy.jpg");
    scene.back_up().await;
    let before = scene.vault().await.remove(0);
    bring(&scene, &video, "train.mov");
    scene.back_up().await;
    let after = scene.vault().await;
    assert_eq!(after.len(), 2, "{after:?}");
    let same = after.iter().find(|row| row.id == before.id).unwrap();
    assert_eq!(same.content_hash, before.content_hash);

    let scene = Scene::new().await;
    bring(&scene, &still, "train.jpg");
    scene.back_up().await;
    bring(&scene, &video.with_file_name("IMG_7001.MOV"), "train.mov");
    scene.back_up().await;
    let mut kinds: Vec<_> = scene.vault().await.iter().map(|row| row.kind).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [IMAGE, VIDEO]);
}

/// What its owner deleted stays deleted, whichever half comes or goes since.
/// Shows E9.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_brings_nothing_back_that_was_deleted() {
    let Some([still, video]) = pair() else { return };
    let is_left_alone = async |scene: &Scene| {
        for _ in 0..2 {
            let report = scene.back_up().await;
            assert_eq!((report.uploaded, report.untrashed, report.bytes_sent), (0, 0, 0), "{report:?}");
        }
        let path = scene.pictures().join("train.jpg");
        let told = explain(&scene.catalog, &path, &Agent::Works).await.unwrap().to_string();
        assert!(told.contains("you deleted it from the vault"), "{told}");
        assert_eq!(scene.vault().await.len(), 0);
    };
    let delete = async |scene: &Scene| {
        let file = scene.vault().await.remove(0).id;
        trash_files(&scene.session, &scene.catalog, &[file]).await.unwrap();
    };
    let scene = Scene::new().await;
    bring(&scene, &still, "train.jpg");
    scene.back_up().await;
    delete(&scene).await;
    bring(&scene, &video, "train.mov");
    is_left_alone(&scene).await;

    let scene = Scene::new().await;
    bring(&scene, &still, "train.jpg");
    bring(&scene, &video, "train.mov");
    scene.back_up().await;
    delete(&scene).await;
    fs::remove_file(scene.pictures().join("train.mov")).unwrap();
    is_left_alone(&scene).await;
    // Saved again, it is wanted.
    fs::remove_file(scene.pictures().join("train.jpg")).unwrap();
    scene.back_up().await;
    bring(&scene, &still, "train.jpg");
    assert_eq!(scene.back_up().await.uploaded, 1);
}

/// The vault keeps the Live Photo, and has the still in it.
/// Shows E8.
#[tokio::test(flavor = "multi_thread")]
async fn a_still_that_loses_its_video_is_in_the_vault() {
    let Some([still, video]) = pair() else { return };
    let scene = Scene::new().await;
    bring(&scene, &still, "train.jpg");
    bring(&scene, &video, "train.mov");
    scene.back_up().await;
    let has = async || scene.vault().await.iter().map(|row| (row.id, row.content_hash)).collect::<Vec<_>>();
    let before = has().await;
    let aside = scene.pictures().with_file_name("aside.mov");
    fs::rename(scene.pictures().join("train.mov"), &aside).unwrap();
    let path = scene.pictures().join("train.jpg");
    let is_safe = async |hashes| {
        let report = scene.back_up().await;
        assert_eq!(
            (report.uploaded, report.bytes_sent, report.bytes_hashed > 0),
            (0, 0, hashes),
            "{report:?}"
        );
        let told = explain(&scene.catalog, &path, &Agent::Works).await.unwrap().to_string();
        assert!(told.starts_with("Backed up"), "{told}");
        assert_eq!(has().await, before);
    };
    is_safe(true).await;
    is_safe(false).await;
    fs::rename(&aside, scene.pictures().join("train.mov")).unwrap();
    is_safe(true).await;
    is_safe(false).await;
    // Edited without it, the still is a picture of its own: the video stays where it is.
    fs::remove_file(scene.pictures().join("train.mov")).unwrap();
    scene.back_up().await;
    let mut bytes = fs::read(&still).unwrap();
    bytes.extend_from_slice(b"edited");
    edit(&scene.write("train.jpg", &bytes), 120);
    assert_eq!(scene.back_up().await.uploaded, 1);
    assert_eq!(scene.vault().await.len(), 2);
}

/// Once it became a second Live Photo.
/// Shows E2.
#[tokio::test(flavor = "multi_thread")]
async fn a_video_that_is_edited_is_a_version_of_its_live_photo() {
    let Some([still, video]) = pair() else { return };
    let scene = Scene::new().await;
    bring(&scene, &still, "train.jpg");
    bring(&scene, &video, "train.mov");
    scene.back_up().await;
    let before = scene.vault().await.remove(0);
    let mut bytes = fs::read(&video).unwrap();
    bytes.extend_from_slice(b"\0\0\0\x10freeedited..");
    edit(&scene.write("train.mov", &bytes), 120);
    assert_eq!(scene.back_up().await.uploaded, 1);
    is_one_live_photo(&scene, &before).await;
}
