//! Edits that are taken back.

use crate::scene::{Scene, tree_of};
use darkslide_client::FileId;
use darkslide_client::versions::{list_versions, restore_version};

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
    // The name is that of what was deleted.
    assert_eq!(scene.tree("Phone"), tree_of([("a (1).jpg", 1), ("b.jpg", 2), ("c.jpg", 3)]));
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
