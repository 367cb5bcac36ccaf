//! Roots that are renamed or away, and what else has a name in them.

use crate::scene::{Scene, tree_of};
use std::fs;

/// It is in the list twice, under the name that it had and under the one that it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_was_renamed_and_added_again_is_no_second_one() {
    let mut scene = Scene::new().await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2), ("Phone/c.jpg", 3)] {
        scene.write(path, number);
    }
    scene.settle().await;
    fs::rename(scene.path("Phone"), scene.path("Pixel")).unwrap();
    scene.add_to("Pixel", "Phone").await;
    assert_eq!(scene.settle_over("Pixel").await.in_step, 3);
    scene.remove("Pixel/a.jpg");
    assert_eq!(scene.settle_over("Pixel").await.trashed_remote, 1);
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await), (2, vec!["a.jpg".to_owned()]));
    // Another folder lies where it was.
    fs::create_dir(scene.path("Phone")).unwrap();
    scene.remove("Pixel/b.jpg");
    assert_eq!(scene.settle_over("Pixel").await.trashed_remote, 1);
}

/// The same pictures, and files of its own: whoever deletes one here says nothing of a disk in a drawer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_away_has_its_pictures_still() {
    let mut scene = Scene::new().await;
    scene.add_to("Disk", "Phone").await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2)] {
        scene.write(path, number);
    }
    scene.settle().await;
    assert_eq!(scene.settle_over("Disk").await.materialised, 2);
    fs::rename(scene.path("Disk"), scene.path("drawer")).unwrap();
    scene.remove("Phone/a.jpg");
    assert_eq!(scene.settle().await.trashed_remote, 0);
    fs::rename(scene.path("drawer"), scene.path("Disk")).unwrap();
    scene.settle_over("Disk").await;
    assert_eq!(scene.tree("Disk"), tree_of([("a.jpg", 1), ("b.jpg", 2)]));
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (2, 0));
}
