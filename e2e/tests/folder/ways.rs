//! What a picture is brought back from, and the way to its place.

use crate::scene::{Scene, tree_of};

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
