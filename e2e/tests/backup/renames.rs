//! One album a folder, and folders that get other names: the album goes with the folder where nothing speaks against it.
//!
//! Shown here run by run: nothing of a run is in memory in the next, so a rename while nobody runs is a rename like any other.

#![cfg(unix)]

use crate::scene::{Scene, copy_tree, picture, settings};
use darkslide_client::albums::{find_album, rename_album};
use darkslide_client::backup::BackupReport;
use darkslide_client::catalog::FileFilter;
use darkslide_client::feed;
use darkslide_client::library::AlbumRule;
use darkslide_protocol::CollectionId;
use std::fs;

async fn back_up(scene: &Scene) -> BackupReport {
    scene.back_up_with(&settings(AlbumRule::PerFolder)).await.unwrap()
}

/// The live albums by name, and how many files are in each.
async fn albums(scene: &Scene) -> Vec<(String, usize)> {
    feed::pull(&scene.session, &scene.catalog).await.unwrap();
    let mut albums = Vec::new();
    for row in scene.catalog.collections().await.unwrap().into_iter().filter(|row| !row.deleted) {
        let filter = FileFilter { collection: Some(row.id), ..FileFilter::default() };
        albums.push((row.name, scene.catalog.files(&filter).await.unwrap().len()));
    }
    albums
}

async fn id_of(scene: &Scene, album: &str) -> CollectionId {
    find_album(&scene.session, &scene.catalog, album).await.unwrap().id
}

fn expected(albums: &[(&str, usize)]) -> Vec<(String, usize)> {
    albums.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// Two pictures in `Paris`, backed up.
async fn paris() -> Scene {
    let scene = Scene::new().await;
    scene.write("Paris/a.jpg", &picture(1, 5000));
    scene.write("Paris/b.jpg", &picture(2, 5000));
    assert_eq!(back_up(&scene).await.uploaded, 2);
    assert_eq!(albums(&scene).await, expected(&[("Paris", 2)]));
    scene
}

fn rename(scene: &Scene, from: &str, to: &str) {
    fs::rename(scene.pictures().join(from), scene.pictures().join(to)).unwrap();
}

/// Shows E5, M5.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_renamed_keeps_its_album() {
    let scene = paris().await;
    scene.write("2019/Ski/c.jpg", &picture(3, 5000));
    back_up(&scene).await;
    let album = id_of(&scene, "Paris").await;
    rename(&scene, "Paris", "Rome");
    rename(&scene, "2019", "2020");
    let report = back_up(&scene).await;
    assert_eq!((report.uploaded, report.bytes_sent), (0, 0), "{report:?}");
    assert_eq!(albums(&scene).await, expected(&[("2020/Ski", 1), ("Rome", 2)]));
    assert_eq!(id_of(&scene, "Rome").await, album);
    // A new folder that gets the old name is another one.
    scene.write("Paris/d.jpg", &picture(4, 5000));
    scene.write("Rome/e.jpg", &picture(5, 5000));
    back_up(&scene).await;
    assert_eq!(albums(&scene).await, expected(&[("2020/Ski", 1), ("Paris", 1), ("Rome", 3)]));
    // And again, also into another folder.
    rename(&scene, "Rome", "2020/Rome");
    back_up(&scene).await;
    assert_eq!(albums(&scene).await, expected(&[("2020/Rome", 3), ("2020/Ski", 1), ("Paris", 1)]));
    assert_eq!(id_of(&scene, "2020/Rome").await, album);
}

/// The name that its owner gave it in the vault is not taken from it.
#[tokio::test(flavor = "multi_thread")]
async fn an_album_that_was_renamed_in_the_vault_keeps_that_name() {
    let scene = paris().await;
    let album = find_album(&scene.session, &scene.catalog, "Paris").await.unwrap();
    rename_album(&scene.session, &scene.catalog, &album, "Holiday").await.unwrap();
    rename(&scene, "Paris", "Rome");
    scene.write("Rome/c.jpg", &picture(3, 5000));
    back_up(&scene).await;
    assert_eq!(albums(&scene).await, expected(&[("Holiday", 3)]));
}

/// The old path is there again before anybody looks: whose album it is cannot be known, so the link stays where it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_by_the_old_name_keeps_the_album_that_is_linked_there() {
    let scene = paris().await;
    rename(&scene, "Paris", "Rome");
    scene.write("Paris/c.jpg", &picture(3, 5000));
    back_up(&scene).await;
    assert_eq!(albums(&scene).await, expected(&[("Paris", 3), ("Rome", 2)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_folder_is_an_album_of_its_own() {
    let scene = paris().await;
    copy_tree(&scene.pictures().join("Paris"), &scene.pictures().join("Rome"));
    back_up(&scene).await;
    assert_eq!(albums(&scene).await, expected(&[("Paris", 2), ("Rome", 2)]));
    // Copied, and then the first one deleted, between two looks.
    copy_tree(&scene.pictures().join("Rome"), &scene.pictures().join("Oslo"));
    fs::remove_dir_all(scene.pictures().join("Rome")).unwrap();
    back_up(&scene).await;
    assert_eq!(albums(&scene).await, expected(&[("Oslo", 2), ("Paris", 2), ("Rome", 2)]));
}

/// Disks give the numbers of deleted folders to the next ones.
#[tokio::test(flavor = "multi_thread")]
async fn another_folder_with_the_same_number_is_another_folder() {
    let scene = paris().await;
    fs::remove_dir_all(scene.pictures().join("Paris")).unwrap();
    for (number, name) in ["Rome", "Oslo", "Kyiv"].into_iter().enumerate() {
        let seed = u8::try_from(number).unwrap() + 10;
        scene.write(&format!("{name}/a.jpg"), &picture(seed, 5000));
    }
    back_up(&scene).await;
    assert_eq!(albums(&scene).await, expected(&[("Kyiv", 1), ("Oslo", 1), ("Paris", 2), ("Rome", 1)]));
}

/// Killed after the mirror got its new name and before that was written down, the next run goes on there.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_killed_between_name_and_link_is_finished_by_the_next() {
    let scene = paris().await;
    let album = find_album(&scene.session, &scene.catalog, "Paris").await.unwrap();
    rename(&scene, "Paris", "Rome");
    rename_album(&scene.session, &scene.catalog, &album, "Rome").await.unwrap();
    back_up(&scene).await;
    assert_eq!(albums(&scene).await, expected(&[("Rome", 2)]));
    assert_eq!(id_of(&scene, "Rome").await, album.id);
}
