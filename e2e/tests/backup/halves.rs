//! Halves of a Live Photo that come, go and get other names, where only their names say that they are one.

use crate::edits::{edit, taken};
use crate::scene::{Scene, clip, clip_of};
use darkslide_client::backup::explain;
use darkslide_client::backup::standing::Agent;
use darkslide_client::trash::trash_files;
use darkslide_client::versions::list_versions;
use darkslide_crypto::ContentHash;
use std::fs;

async fn delete_all(scene: &Scene) {
    let files: Vec<_> = scene.vault().await.iter().map(|row| row.id).collect();
    trash_files(&scene.session, &scene.catalog, &files).await.unwrap();
}

async fn told(scene: &Scene, name: &str) -> String {
    explain(&scene.catalog, &scene.pictures().join(name), &Agent::Works).await.unwrap().to_string()
}

fn rename(scene: &Scene, from: &str, to: &str) {
    fs::rename(scene.pictures().join(from), scene.pictures().join(to)).unwrap();
}

/// That two runs send nothing and leave the vault as it is.
async fn sends_nothing(scene: &Scene) {
    let files = async || scene.vault().await.iter().map(|row| (row.id, row.content_hash)).collect::<Vec<_>>();
    let before = files().await;
    for run in 0..2 {
        let report = scene.back_up().await;
        assert_eq!(
            (report.uploaded, report.untrashed, report.bytes_sent, report.failed.len()),
            (0, 0, 0, 0),
            "{report:?}"
        );
        assert!(run == 0 || report.linked == 0, "{report:?}");
    }
    assert_eq!(files().await, before);
}

/// Once it was never backed up, and was said to have been deleted.
/// Shows E8.
#[tokio::test(flavor = "multi_thread")]
async fn a_clip_that_comes_beside_a_still_that_was_deleted_is_backed_up() {
    let scene = Scene::new().await;
    scene.write("1.jpg", &taken(18, 1));
    scene.back_up().await;
    delete_all(&scene).await;
    scene.back_up().await;
    scene.write("1.mov", &clip(2));
    assert_eq!(scene.back_up().await.uploaded, 1);
    sends_nothing(&scene).await;
    let vault = scene.vault().await;
    assert_eq!(vault[0].content_hash, Some(ContentHash::of(&clip(2))), "{vault:?}");
    assert_eq!(vault.len(), 1);
    assert!(told(&scene, "1.mov").await.starts_with("Backed up"), "{}", told(&scene, "1.mov").await);
    assert!(told(&scene, "1.jpg").await.contains("you deleted it"), "{}", told(&scene, "1.jpg").await);
    // Deleted itself, it stays so.
    delete_all(&scene).await;
    sends_nothing(&scene).await;
    assert_eq!(scene.vault().await.len(), 0);
}

/// Once the video came back as a file of its own.
/// Shows E9.
#[tokio::test(flavor = "multi_thread")]
async fn a_video_stays_deleted_with_its_live_photo_whatever_becomes_of_the_still() {
    for renames in
        [&[][..], &[("1.jpg", "2.jpg")], &[("1.mov", "2.mov")], &[("1.jpg", "2.jpg"), ("1.mov", "2.mov")]]
    {
        for runs_between in [false, true] {
            let scene = Scene::new().await;
            scene.write("1.jpg", &taken(18, 1));
            scene.write("1.mov", &clip(2));
            assert_eq!(scene.back_up().await.uploaded, 1);
            delete_all(&scene).await;
            if renames.is_empty() {
                fs::remove_file(scene.pictures().join("1.jpg")).unwrap();
            }
            for (from, to) in renames {
                rename(&scene, from, to);
                if runs_between {
                    sends_nothing(&scene).await;
                }
            }
            sends_nothing(&scene).await;
            assert_eq!(scene.vault().await.len(), 0, "{renames:?}");
            if renames.is_empty() {
                let told = told(&scene, "1.mov").await;
                assert!(told.contains("you deleted 1.jpg, whose video this is, from the vault on"), "{told}");
            }
        }
    }
}

/// Once each became a file of its own, beside the Live Photo that has both.
/// Shows E8.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_that_loses_the_other_is_in_the_vault() {
    for renames in [&[][..], &[("1.jpg", "2.jpg")], &[("1.mov", "2.mov")]] {
        let scene = Scene::new().await;
        scene.write("1.jpg", &taken(18, 1));
        scene.write("1.mov", &clip(2));
        assert_eq!(scene.back_up().await.uploaded, 1);
        if renames.is_empty() {
            fs::remove_file(scene.pictures().join("1.jpg")).unwrap();
        }
        for (from, to) in renames {
            rename(&scene, from, to);
        }
        sends_nothing(&scene).await;
        assert_eq!(scene.vault().await.len(), 1, "{renames:?}");
        for name in ["1.jpg", "1.mov", "2.jpg", "2.mov"] {
            if scene.pictures().join(name).exists() {
                let told = told(&scene, name).await;
                assert!(told.starts_with("Backed up"), "{name}: {told}");
            }
        }
        // Deleted then, both stay so.
        delete_all(&scene).await;
        sends_nothing(&scene).await;
        assert_eq!(scene.vault().await.len(), 0, "{renames:?}");
    }
}

/// Once it was left alone for ever, if nothing but the video came back.
/// Shows E9.
#[tokio::test(flavor = "multi_thread")]
async fn a_video_that_is_saved_again_after_its_live_photo_was_deleted_is_backed_up() {
    for is_parted in [false, true] {
        let scene = Scene::new().await;
        scene.write("1.jpg", &taken(18, 1));
        let video = scene.write("1.mov", &clip(2));
        assert_eq!(scene.back_up().await.uploaded, 1);
        delete_all(&scene).await;
        fs::remove_file(scene.pictures().join("1.jpg")).unwrap();
        if is_parted {
            sends_nothing(&scene).await;
        }
        fs::remove_file(&video).unwrap();
        sends_nothing(&scene).await;
        scene.write("1.mov", &clip(2));
        assert_eq!(scene.back_up().await.uploaded, 1, "{is_parted}");
        assert_eq!(scene.vault().await[0].content_hash, Some(ContentHash::of(&clip(2))));
    }
}

/// Once it became a second Live Photo, unless both halves had Apple's identifier.
/// Shows E2.
#[tokio::test(flavor = "multi_thread")]
async fn a_clip_that_is_edited_is_a_version_where_it_was_taken_with_its_still() {
    // Seconds since 1904 of what the still says: 2019-07-20 16:17:18.
    const TAKEN: u32 = 3_646_484_238;
    for (made, files) in [(TAKEN - 2, 1), (TAKEN + 5, 1), (TAKEN + 6, 2), (TAKEN - 86_400, 2), (0, 2)] {
        let scene = Scene::new().await;
        scene.write("1.jpg", &taken(18, 1));
        scene.write("1.mov", &clip_of(TAKEN - 2, 2));
        assert_eq!(scene.back_up().await.uploaded, 1);
        let before = scene.vault().await.remove(0);
        edit(&scene.write("1.mov", &clip_of(made, 3)), 120);
        assert_eq!(scene.back_up().await.uploaded, 1);
        let vault = scene.vault().await;
        assert_eq!(vault.len(), files, "{made}: {vault:?}");
        let versions = list_versions(&scene.session, &scene.catalog, before.id).await.unwrap();
        assert_eq!(versions.len(), 2 - files, "{made}");
        sends_nothing(&scene).await;
    }
    // Written a moment later, it may be of the same burst.
    let scene = Scene::new().await;
    scene.write("1.jpg", &taken(18, 1));
    scene.write("1.mov", &clip_of(TAKEN, 2));
    scene.back_up().await;
    edit(&scene.write("1.mov", &clip_of(TAKEN, 3)), 2);
    scene.back_up().await;
    assert_eq!(scene.vault().await.len(), 2);
}
