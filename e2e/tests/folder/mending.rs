//! What the server has damaged is sent again from the folder that has it.

use crate::scene::{Scene, picture, tree_of};
use darkslide_client::catalog::BaseChanges;
use darkslide_client::event::Events;
use darkslide_client::feed;
use darkslide_client::folder::scan::Stat;
use darkslide_client::library::raw;
use darkslide_client::receipt::ask_for_receipts;
use darkslide_client::verify::VerifyScope;
use darkslide_e2e::damage::{Object, flip};
use std::fs;

impl Scene {
    /// How many files the server vouches for, and how many it does not.
    async fn vouched_for(&self) -> (u64, usize) {
        feed::pull(&self.session, &self.catalog).await.unwrap();
        let scope = VerifyScope::Everything;
        let said = ask_for_receipts(&self.session, &self.catalog, scope, &Events::silent()).await;
        let said = said.unwrap().unwrap();
        (said.vouched_for, said.failed.len())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_there_is_sent_again_from_the_folder() {
    let (mut scene, mut tablet) = Box::pin(Scene::with_two_on_both()).await;
    let file = scene.file("a.jpg").await;
    flip(&scene.server, file, Object::Original).await;
    assert_eq!(scene.vouched_for().await, (1, 1));
    let known = scene.catalog.damaged_files().await.unwrap();
    assert_eq!((known.len(), known[0].file, known[0].is_here), (1, file, true));
    let report = scene.settle().await;
    assert_eq!((report.uploaded, report.failed_count), (1, 0), "{report:?}");
    assert_eq!(scene.vouched_for().await, (2, 0));
    assert_eq!(
        (scene.file("a.jpg").await, scene.vault().await),
        (file, vec!["a.jpg".into(), "b.jpg".into()])
    );
    tablet.settle(&scene).await;
    for folder in ["Phone", "Tablet"] {
        assert_eq!(scene.tree(folder), tree_of([("a.jpg", 1), ("b.jpg", 2)]));
    }
    assert!(!scene.settle().await.did_something());
}

/// What a disk has altered without a trace is no replacement, and is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_there_and_here_is_left_as_it_is() {
    let mut scene = Scene::new().await;
    scene.write("Phone/a.jpg", 1);
    scene.settle().await;
    let file = scene.file("a.jpg").await;
    let folder = scene.row("Phone").await;
    let mut changes =
        BaseChanges { put: scene.catalog.sync_base(folder.id).await.unwrap(), ..Default::default() };
    fs::write(scene.path("Phone/a.jpg"), picture(2)).unwrap();
    for row in changes.put.values_mut() {
        row.stat = Stat::of(&scene.path("Phone/a.jpg").metadata().unwrap());
    }
    let owner = (folder.id, folder.folder.marker.as_str());
    scene.catalog.record_sync(owner, &raw(&folder.folder.path), &changes).await.unwrap();
    flip(&scene.server, file, Object::Original).await;
    assert_eq!(scene.vouched_for().await, (0, 1));
    let report = scene.pass_over("Phone").await.unwrap();
    assert_eq!((report.uploaded, report.failed_count), (0, 1), "{report:?}");
    assert!(report.failed[0].reason.contains("cannot be sent again"), "{report:?}");
    assert_eq!(scene.vault().await, ["a.jpg"]);
}
