//! Places in a folder that are empty for a while, and pictures that move: what is another picture, and what is the same one.

use crate::edits::{edit, taken};
use crate::scene::{Scene, picture, settings};
use darkslide_client::backup::standing::Agent;
use darkslide_client::backup::{backup, explain};
use darkslide_client::event::Events;
use darkslide_client::library::{AlbumRule, raw};
use darkslide_client::trash::trash_files;
use darkslide_client::versions::list_versions;
use darkslide_crypto::ContentHash;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Backs one place up by itself.
async fn back_up_only(scene: &Scene, path: PathBuf) {
    let (events, stop, settings) = (Events::silent(), CancellationToken::new(), settings(AlbumRule::PerRoot));
    let (session, catalog) = (Arc::clone(&scene.session), scene.catalog.clone());
    let report = backup(session, catalog, &[path], &settings, &events, &stop).await.unwrap();
    assert_eq!(report.failed.len(), 0, "{report:?}");
}

/// That the vault has exactly these contents, each as it is now.
async fn has(scene: &Scene, contents: &[&[u8]]) {
    let have: BTreeSet<_> = scene.vault().await.into_iter().filter_map(|row| row.content_hash).collect();
    assert_eq!(have, contents.iter().map(|content| ContentHash::of(content)).collect());
}

/// That the last of these is what the one before became: one file, with one earlier version.
async fn is_edited(scene: &Scene, now: &[u8]) {
    has(scene, &[now]).await;
    let file = scene.vault().await[0].id;
    assert_eq!(list_versions(&scene.session, &scene.catalog, file).await.unwrap().len(), 1);
    let again = scene.back_up().await;
    assert_eq!((again.bytes_sent, again.bytes_hashed), (0, 0), "{again:?}");
}

/// A picture of another phone comes to a place that was freed: what was there has no other copy than the vault's.
/// Shows E11.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_freed_keeps_its_place_in_the_vault() {
    let scene = Scene::new().await;
    let path = scene.write("a.jpg", &taken(18, 1));
    scene.back_up().await;
    let root = raw(&scene.pictures().canonicalize().unwrap());
    scene.catalog.mark_freed(&root, &[b"a.jpg".to_vec()]).await.unwrap();
    fs::remove_file(&path).unwrap();
    // Also where it found no room at first.
    scene.set_quota(1).await;
    edit(&scene.write("a.jpg", &taken(18, 2)), 120);
    assert_eq!(scene.back_up().await.without_room, 1);
    scene.set_quota(100_000_000).await;
    assert_eq!(scene.back_up().await.uploaded, 1);
    has(&scene, &[&taken(18, 1), &taken(18, 2)]).await;
    // That one is here now, and may be edited.
    edit(&scene.write("a.jpg", &taken(18, 3)), 240);
    scene.back_up().await;
    has(&scene, &[&taken(18, 1), &taken(18, 3)]).await;
}

/// The same where it was deleted here, and a run saw that.
/// Shows E9.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_here_keeps_its_place_in_the_vault() {
    for is_refused_first in [false, true] {
        let scene = Scene::new().await;
        let path = scene.write("x/a.jpg", &taken(18, 1));
        scene.write("x/b.jpg", &taken(19, 5));
        scene.back_up().await;
        fs::remove_file(&path).unwrap();
        scene.back_up().await;
        edit(&scene.write("x/a.jpg", &taken(18, 2)), 120);
        if is_refused_first {
            scene.set_quota(1).await;
            assert_eq!(scene.back_up().await.without_room, 1);
            scene.set_quota(100_000_000).await;
        }
        assert_eq!(scene.back_up().await.uploaded, 1);
        has(&scene, &[&taken(18, 1), &taken(18, 2), &taken(19, 5)]).await;
    }
}

/// Many programs save by writing a new file and giving it the old one's name; and a disk that was away brings what it had.
/// Shows E2.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_under_the_old_name_is_an_edit() {
    let scene = Scene::new().await;
    let path = scene.write("x/a.jpg", &taken(18, 1));
    scene.back_up().await;
    fs::rename(scene.pictures().join("x"), scene.pictures().with_file_name("away")).unwrap();
    scene.back_up().await;
    fs::rename(scene.pictures().with_file_name("away"), scene.pictures().join("x")).unwrap();
    let report = scene.back_up().await;
    assert_eq!((report.unchanged, report.bytes_hashed), (1, 0), "it is as it was: {report:?}");
    let new = scene.write("x/a.tmp", &taken(18, 2));
    edit(&new, 120);
    fs::rename(&new, &path).unwrap();
    assert_eq!(scene.back_up().await.uploaded, 1);
    is_edited(&scene, &taken(18, 2)).await;
}

/// Shows E2.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_after_a_rename_or_a_move_is_a_version() {
    for (from, to) in [("a.jpg", "b.jpg"), ("1/a.jpg", "2/a.jpg"), ("Ski/a.jpg", "Snow/a.jpg")] {
        let scene = Scene::new().await;
        scene.write(from, &taken(18, 1));
        scene.back_up().await;
        let place = |path: &str| scene.pictures().join(path);
        if from.starts_with("Ski") {
            fs::rename(place("Ski"), place("Snow")).unwrap();
        } else {
            fs::create_dir_all(place(to).parent().unwrap()).unwrap();
            fs::rename(place(from), place(to)).unwrap();
        }
        scene.back_up().await;
        edit(&scene.write(to, &taken(18, 2)), 120);
        assert_eq!(scene.back_up().await.uploaded, 1);
        is_edited(&scene, &taken(18, 2)).await;
    }
}

/// Shows E2.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_a_version_where_other_copies_are_gone_or_are_itself() {
    let scene = Scene::new().await;
    scene.write("a.jpg", &taken(18, 1));
    let copy = scene.write("copy.jpg", &taken(18, 1));
    scene.back_up().await;
    fs::remove_file(copy).unwrap();
    edit(&scene.write("a.jpg", &taken(18, 2)), 120);
    scene.back_up().await;
    is_edited(&scene, &taken(18, 2)).await;

    // Known under two roots.
    let scene = Scene::new().await;
    let path = scene.write("x/a.jpg", &taken(18, 1));
    back_up_only(&scene, path.clone()).await;
    scene.back_up().await;
    edit(&scene.write("x/a.jpg", &taken(18, 2)), 120);
    scene.back_up().await;
    is_edited(&scene, &taken(18, 2)).await;

    // The root itself has another name since; and again.
    let scene = Scene::new().await;
    let path = scene.write("x/a.jpg", &taken(18, 1));
    back_up_only(&scene, path.parent().unwrap().to_owned()).await;
    fs::rename(scene.pictures().join("x"), scene.pictures().join("y")).unwrap();
    scene.back_up().await;
    for seed in [2, 3] {
        let new = scene.write("new.tmp", &taken(18, seed));
        edit(&new, u64::from(seed) * 120);
        fs::rename(&new, scene.pictures().join("y/a.jpg")).unwrap();
        assert_eq!(scene.back_up().await.uploaded, 1);
        has(&scene, &[&taken(18, seed)]).await;
    }
}

/// Deleted in the vault and here, and saved again: also at the same place, and as it was.
/// Shows E9.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_again_where_it_was_comes_out_of_the_trash() {
    let scene = Scene::new().await;
    let path = scene.write("a.jpg", &picture(1, 5000));
    let modified = path.metadata().unwrap().modified().unwrap();
    scene.write("other.jpg", &picture(2, 5000));
    scene.back_up().await;
    let vault = scene.vault().await;
    let file = vault.iter().find(|row| row.title.as_deref() == Some("a.jpg")).unwrap().id;
    trash_files(&scene.session, &scene.catalog, &[file]).await.unwrap();
    // Out of the folder and back in, it is the one that was deleted.
    let elsewhere = scene.pictures().with_file_name("elsewhere.jpg");
    for _ in 0..2 {
        fs::rename(&path, &elsewhere).unwrap();
        scene.back_up().await;
        fs::rename(&elsewhere, &path).unwrap();
        let report = scene.back_up().await;
        assert_eq!((report.skipped.len(), report.untrashed), (1, 0), "{report:?}");
    }
    fs::remove_file(&path).unwrap();
    scene.back_up().await;
    scene.write("a.jpg", &picture(1, 5000));
    fs::File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
    let report = scene.back_up().await;
    assert_eq!((report.untrashed, report.uploaded, report.skipped.len()), (1, 0, 0), "{report:?}");
    let told = explain(&scene.catalog, &path, &Agent::Works).await.unwrap().to_string();
    assert!(told.starts_with("Backed up"), "{told}");
}
