//! What a picture is brought back from, and the way to its place.

use crate::scene::{Scene, tree_of};
use darkslide_client::FileId;
use darkslide_client::folder::report::PassReport;
use darkslide_client::folder::restore_from_trash;
use std::fs;

/// Of what was trashed from `Phone/s`, and what has that folder's name.
struct Restored {
    scene: Scene,
    file: FileId,
}

impl Restored {
    /// `Phone/s/1.jpg` was trashed on another device, and the folder that it was in is gone.
    async fn new() -> Self {
        let mut scene = Scene::new().await;
        for (path, number) in [("Phone/s/1.jpg", 1), ("Phone/2.jpg", 2), ("Phone/3.jpg", 3)] {
            scene.write(path, number);
        }
        scene.settle().await;
        let file = scene.trash_elsewhere("1.jpg").await;
        assert_eq!(scene.settle().await.trashed_local, 1);
        fs::remove_dir(scene.path("Phone/s")).unwrap();
        Self { scene, file }
    }

    /// By hand, from the local trash: what is said.
    async fn by_hand(&self) -> String {
        let id = self.scene.local_trash("Phone").await.remove(0).id;
        let row = self.scene.row("Phone").await;
        restore_from_trash(&self.scene.catalog, &row, &id).await.unwrap_err().to_string()
    }

    /// It comes back in the vault, and waits with what is said.
    async fn waits(&mut self, said: &str) {
        self.scene.restore_elsewhere(self.file).await;
        for _ in 0..2 {
            let report = self.scene.pass_over("Phone").await.unwrap();
            let PassReport { materialised, failed_count, lasting_count, .. } = report;
            assert_eq!((materialised, failed_count, lasting_count), (0, 0, 1), "{report:?}");
            let told = &report.waiting[0];
            assert!(told.path == "s/1.jpg" && told.reason.starts_with(said), "{told:?}");
        }
    }
}

/// What is behind a link is not in the folder, whatever has the link's name in the vault.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_brought_to_what_lies_behind_a_link() {
    for has_local_trash in [true, false] {
        let mut restored = Restored::new().await;
        let out = restored.scene.path("out");
        fs::create_dir(&out).unwrap();
        std::os::unix::fs::symlink(&out, restored.scene.path("Phone/s")).unwrap();
        let said = restored.by_hand().await;
        assert!(said.starts_with("s is a link now"), "{said}");
        if !has_local_trash {
            fs::remove_dir_all(restored.scene.row("Phone").await.folder.trash).unwrap();
        }
        restored.waits("s is a link now").await;
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
        fs::remove_file(restored.scene.path("Phone/s")).unwrap();
        restored.scene.settle().await;
        assert_eq!(restored.scene.tree("Phone"), tree_of([("2.jpg", 2), ("3.jpg", 3), ("s/1.jpg", 1)]));
    }
}

/// Whoever is told to `chmod` a picture gets no further.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_into_a_folder_waits_while_a_file_has_its_name() {
    let mut restored = Restored::new().await;
    restored.scene.write("Phone/s", 4);
    restored.scene.settle().await;
    let said = restored.by_hand().await;
    assert!(said.starts_with("s is no folder now"), "{said}");
    restored.waits("s is no folder now").await;
    restored.scene.rename("Phone/s", "Phone/4.jpg");
    restored.scene.settle().await;
    assert_eq!(
        restored.scene.tree("Phone"),
        tree_of([("2.jpg", 2), ("3.jpg", 3), ("4.jpg", 4), ("s/1.jpg", 1)])
    );
}

/// The trash is that of two profiles, and what the one has there may be its last copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_profile_has_in_its_local_trash_stays_there() {
    let mut scene = Scene::new().await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2), ("Phone/c.jpg", 3)] {
        scene.write(path, number);
    }
    scene.settle().await;
    let mut other = scene.second_device_with_trash("Tablet", "Phone", "trash-Phone").await;
    other.settle(&scene).await;
    scene.remove("Tablet/a.jpg");
    let file = scene.file("a.jpg").await;
    other.settle(&scene).await;
    assert_eq!(scene.settle().await.trashed_local, 1);
    scene.restore_elsewhere(file).await;
    other.settle(&scene).await;
    assert_eq!(scene.tree("Tablet"), tree_of([("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3)]));
    assert_eq!(scene.local_trash("Phone").await.len(), 1, "it was this one's");
    // Whose it is takes it.
    scene.settle().await;
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3)]));
    assert_eq!(scene.local_trash("Phone").await.len(), 0);
}
