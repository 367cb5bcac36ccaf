//! Edits that are taken back.

use crate::gate::{Gate, Oddity};
use crate::scene::{Device, Scene, tree_of};
use darkslide_client::FileId;
use darkslide_client::folder::reconcile::Direction;
use darkslide_client::versions::{list_versions, restore_version};
use std::fs;
use std::time::Duration;

impl Scene {
    /// `a.jpg` was edited in the folder. Which file it is.
    async fn with_an_edit() -> (Self, FileId) {
        let mut scene = Self::new().await;
        for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2), ("Phone/c.jpg", 3)] {
            scene.write(path, number);
        }
        scene.settle().await;
        scene.write("Phone/a.jpg", 9);
        assert_eq!(scene.settle().await.uploaded, 1);
        let file = scene.file("a.jpg").await;
        (scene, file)
    }

    /// `a.jpg` was edited on another device, and the folder has what it was.
    async fn with_an_edit_elsewhere() -> (Self, Device) {
        let (scene, mut tablet) = Box::pin(Self::with_two_on_both()).await;
        scene.write("Tablet/a.jpg", 3);
        tablet.settle(&scene).await;
        assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 1), ("b.jpg", 2)]));
        (scene, tablet)
    }

    /// Turns bytes of the one earlier original on the server's disk over; once more, and they are what they were.
    async fn turn_earlier_bytes(&self) {
        let pool = sqlx::SqlitePool::connect(self.server.database_url()).await.unwrap();
        let text = "SELECT blob, blob_offset, length FROM objects WHERE key = (SELECT file_object FROM file_versions)";
        let (blob, offset, length): (String, i64, i64) = sqlx::query_as(text).fetch_one(&pool).await.unwrap();
        let path = self.server.data_dir().join("objects").join(&blob[..2]).join(&blob);
        let mut bytes = fs::read(&path).unwrap();
        let middle = usize::try_from(offset + length / 2).unwrap();
        bytes[middle..middle + 4].iter_mut().for_each(|byte| *byte = !*byte);
        fs::write(path, bytes).unwrap();
    }

    /// Another client takes the edit back.
    async fn revert_elsewhere(&self, file: FileId) {
        let earlier = list_versions(&self.session, &self.elsewhere(), file).await.unwrap()[0].version;
        restore_version(&self.session, file, earlier).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_edited_here_and_reverted_there_is_what_it_was() {
    let (mut scene, file) = Scene::with_an_edit().await;
    scene.revert_elsewhere(file).await;
    scene.settle().await;
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3)]));
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (3, 0));
}

/// The folder has the edited one twice, and keeps both; the other one is the album's all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_reverted_there_comes_where_the_edited_one_is_at_two_places() {
    let (mut scene, file) = Scene::with_an_edit().await;
    scene.write("Phone/again.jpg", 9);
    scene.settle().await;
    scene.revert_elsewhere(file).await;
    scene.settle().await;
    let has = scene.tree("Phone");
    assert!([1, 2, 3, 9].iter().all(|number| has.values().any(|has| has == number)), "{has:?}");
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (4, 0));
}

/// The edited one is deleted here; there it is taken out of the trash, and is what it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_reverted_there_comes_after_the_edited_one_was_deleted_here() {
    let (mut scene, file) = Scene::with_an_edit().await;
    scene.remove("Phone/a.jpg");
    assert_eq!(scene.settle().await.trashed_remote, 1);
    scene.restore_elsewhere(file).await;
    scene.revert_elsewhere(file).await;
    scene.settle().await;
    // The name was that of what was deleted, and is free.
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3)]));
}

/// What stays in the vault for its age stays out of the folder, whatever is written about it there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_folder_let_go_of_does_not_come_back_for_its_details() {
    let (mut scene, file) = Scene::with_an_edit().await;
    // Its content has another file, and what it was is in the album still.
    scene.write("Phone/b.jpg", 9);
    scene.settle().await;
    let album = darkslide_client::albums::find_album(&scene.session, &scene.catalog, "Phone").await.unwrap();
    let b = scene.file("b.jpg").await;
    darkslide_client::albums::add_to_album(&scene.session, &scene.catalog, &album, &[b, file]).await.unwrap();
    scene.settle().await;
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 9), ("b.jpg", 9), ("c.jpg", 3)]));
    assert_eq!(scene.vault().await, ["a.jpg", "b.jpg", "c.jpg"]);
}

/// Edited on another device. The vault's copy of what it was is damaged, and the folder's is the last one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_edited_there_stays_while_the_vault_has_what_it_was_damaged() {
    let (mut scene, _tablet) = Scene::with_an_edit_elsewhere().await;
    scene.turn_earlier_bytes().await;
    let report = scene.settle().await;
    assert_eq!((report.trashed_local, report.materialised), (0, 0), "{report:?}");
    let told = &report.failed[0];
    assert_eq!(
        (&*told.path, &*told.reason),
        ("a.jpg", "the vault's copy is damaged, so that this one stays")
    );
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 1), ("b.jpg", 2)]));
    assert_eq!(scene.local_trash("Phone").await.len(), 0);
    // The blob is back from a backup.
    scene.turn_earlier_bytes().await;
    let report = scene.settle().await;
    assert_eq!((report.trashed_local, report.materialised, report.failed_count), (1, 1, 0), "{report:?}");
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 3), ("b.jpg", 2)]));
    assert_eq!(scene.local_trash("Phone").await.len(), 1);
}

/// An older server reads back what a file is, and says nothing of what it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_edited_there_stays_while_the_server_cannot_vouch_for_what_it_was() {
    let (mut scene, _tablet) = Scene::with_an_edit_elsewhere().await;
    let gate = Gate::start(&scene.server.base(), "/v1/receipts", Oddity::Without("earlier")).await;
    let session = scene.through(&gate.base());
    for _ in 0..2 {
        let report = scene.pass_with(&session, "Phone").await.unwrap();
        assert!(!report.did_something() && report.failed_count == 0, "{report:?}");
        let told = &report.waiting[0];
        assert_eq!((&*told.path, &*told.reason), ("a.jpg", "the vault could not be asked for its copy yet"));
    }
    assert!(gate.calls() > 0);
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 1), ("b.jpg", 2)]));
    // Now it can.
    assert_eq!(scene.settle().await.trashed_local, 1);
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 3), ("b.jpg", 2)]));
}

/// It is in the vault's album of the first folder still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_moved_into_another_folder_and_edited_there_stays_out_of_the_first() {
    let mut scene = Scene::new().await;
    scene.add("Camera", Direction::Both, None).await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2), ("Camera/c.jpg", 3)] {
        scene.write(path, number);
    }
    scene.settle().await;
    scene.settle_over("Camera").await;
    scene.rename("Phone/a.jpg", "Camera/a.jpg");
    scene.settle_over("Camera").await;
    scene.settle().await;
    let edit = async |scene: &mut Scene, number| {
        scene.write("Camera/a.jpg", number);
        scene.settle_over("Camera").await;
        scene.settle().await;
        assert_eq!(scene.tree("Phone"), tree_of([("b.jpg", 2)]), "{number}");
        assert_eq!(scene.tree("Camera"), tree_of([("a.jpg", number), ("c.jpg", 3)]));
        assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (3, 0));
    };
    edit(&mut scene, 8).await;
    edit(&mut scene, 9).await;
    // Back in the first one, it is that one's again.
    scene.rename("Camera/a.jpg", "Phone/a.jpg");
    scene.settle().await;
    scene.settle_over("Camera").await;
    let file = scene.trash_elsewhere("a.jpg").await;
    scene.settle().await;
    scene.restore_elsewhere(file).await;
    scene.settle().await;
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 9), ("b.jpg", 2)]));
}

/// It was deleted in the folder, and kept in the vault for its age.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_for_its_age_stays_out_of_the_folder_when_another_device_edits_it() {
    let mut scene = Scene::bare().await;
    scene.add("Phone", Direction::Both, Some(Duration::from_micros(1))).await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2)] {
        scene.write(path, number);
    }
    scene.settle().await;
    let mut tablet = scene.second_device("Tablet", "Phone").await;
    tablet.settle(&scene).await;
    scene.remove("Phone/a.jpg");
    assert_eq!(scene.settle().await.trashed_remote, 0);
    scene.write("Tablet/a.jpg", 9);
    tablet.settle(&scene).await;
    scene.settle().await;
    assert_eq!(scene.tree("Phone"), tree_of([("b.jpg", 2)]));
    assert_eq!(
        (scene.vault().await, scene.vault_trash().await.len()),
        (vec!["a.jpg".into(), "b.jpg".into()], 0)
    );
}

/// Nobody said that it is to be deleted: it stays in the vault and in the other folder, and out of this one whatever it becomes, until it is copied into it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_picture_was_renamed_over_stays_out_of_the_folder_when_it_is_edited_elsewhere() {
    let (mut scene, mut tablet) = Box::pin(Scene::with_two_on_both()).await;
    scene.rename("Phone/a.jpg", "Phone/b.jpg");
    scene.settle().await;
    tablet.settle(&scene).await;
    scene.write("Tablet/b.jpg", 9);
    tablet.settle(&scene).await;
    scene.settle().await;
    assert_eq!(scene.tree("Phone"), tree_of([("b.jpg", 1)]));
    assert_eq!(scene.tree("Tablet"), tree_of([("a.jpg", 1), ("b.jpg", 9)]));
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (2, 0));
    scene.write("Phone/c.jpg", 9);
    scene.settle().await;
    scene.write("Tablet/b.jpg", 8);
    tablet.settle(&scene).await;
    scene.settle().await;
    assert_eq!(scene.tree("Phone"), tree_of([("b.jpg", 1), ("c.jpg", 8)]));
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (2, 0));
}

/// Neither replaces the other, and whoever edits lets nothing go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_edited_on_both_sides_is_two_pictures_in_both_folders() {
    let (mut scene, mut tablet) = Box::pin(Scene::with_two_on_both()).await;
    scene.write("Tablet/a.jpg", 9);
    tablet.settle(&scene).await;
    scene.write("Phone/a.jpg", 8);
    scene.settle().await;
    tablet.settle(&scene).await;
    for folder in ["Phone", "Tablet"] {
        let has = scene.tree(folder);
        let mut has: Vec<u8> = has.into_values().collect();
        has.sort_unstable();
        assert_eq!(has, [2, 8, 9], "{folder}");
    }
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (3, 0));
}
