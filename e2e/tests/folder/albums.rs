//! The album of a folder, where several devices have it.

use crate::gate::{Gate, Oddity};
use crate::scene::{Scene, tree_of};
use darkslide_client::albums::{create_album, find_album};
use futures_util::FutureExt as _;
use std::sync::Arc;

/// Both look, both find none, and both make one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_devices_that_make_an_album_at_the_same_moment_have_one() {
    let mut scene = Scene::new().await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2)] {
        scene.write(path, number);
    }
    let (session, elsewhere) = (Arc::clone(&scene.session), scene.elsewhere());
    let make_one = move || {
        let (session, elsewhere) = (Arc::clone(&session), elsewhere.clone());
        async move { drop(create_album(&session, &elsewhere, "Phone").await.unwrap()) }.boxed()
    };
    let gate =
        Gate::start(&scene.server.base(), "/v1/collections", Oddity::Before(0, Box::new(make_one))).await;
    let session = scene.through(&gate.base());
    assert_eq!(scene.pass_with(&session, "Phone").await.unwrap().uploaded, 2);
    assert!(gate.calls() > 0);
    scene.settle().await;
    assert_eq!(scene.vault().await, ["a.jpg", "b.jpg"]);
    let rows = scene.elsewhere().collections().await.unwrap();
    let albums: Vec<_> = rows.iter().filter(|row| row.name == "Phone" && !row.deleted).collect();
    assert_eq!(albums.len(), 1, "{rows:?}");
    let theirs = find_album(&scene.session, &scene.elsewhere(), "Phone").await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.name == "Phone").map(|row| row.id).min(), Some(theirs.id));
    // Whoever made the one that stays gets what is in it.
    let mut tablet = scene.second_device("Tablet", "Phone").await;
    tablet.settle(&scene).await;
    scene.write("Tablet/c.jpg", 3);
    tablet.settle(&scene).await;
    scene.settle().await;
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3)]));
    assert_eq!(scene.tree("Tablet"), scene.tree("Phone"));
}
