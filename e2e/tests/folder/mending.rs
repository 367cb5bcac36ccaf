//! What the server has damaged is sent again from the folder that has it.

use crate::gate::{Gate, Oddity};
use crate::scene::{Scene, picture, tree_of};
use darkslide_client::catalog::BaseChanges;
use darkslide_client::event::Events;
use darkslide_client::feed;
use darkslide_client::folder::scan::Stat;
use darkslide_client::library::raw;
use darkslide_client::receipt::ask_for_receipts;
use darkslide_client::trash::{purge_files, trash_files};
use darkslide_client::verify::{VerifyScope, verify};
use darkslide_e2e::damage::{Object, flip, forge};
use futures_util::FutureExt as _;
use std::fs;
use std::sync::Arc;

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

/// Its owner gives it up instead, for good. What is sent again for being damaged is no new picture.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_purged_elsewhere_while_it_is_sent_again_does_not_come_back() {
    let (mut scene, _tablet) = Box::pin(Scene::with_two_on_both()).await;
    let file = scene.file("a.jpg").await;
    flip(&scene.server, file, Object::Original).await;
    assert_eq!(scene.vouched_for().await, (1, 1));
    let (session, elsewhere, here) = (Arc::clone(&scene.session), scene.elsewhere(), scene.catalog.clone());
    let purge = move || {
        let (session, elsewhere, here) = (Arc::clone(&session), elsewhere.clone(), here.clone());
        async move {
            trash_files(&session, &elsewhere, &[file]).await.unwrap();
            feed::pull(&session, &elsewhere).await.unwrap();
            purge_files(&session, &elsewhere, &[file]).await.unwrap();
            feed::pull(&session, &here).await.unwrap();
        }
        .boxed()
    };
    let gate = Gate::start(&scene.server.base(), "/v1/receipts", Oddity::Before(0, Box::new(purge))).await;
    let session = scene.through(&gate.base());
    let report = scene.pass_with(&session, "Phone").await.unwrap();
    assert!(gate.calls() > 0);
    assert_eq!((report.uploaded, report.failed_count, report.has_more), (0, 0, true), "{report:?}");
    let report = scene.settle().await;
    assert_eq!((report.uploaded, report.trashed_local), (0, 1), "{report:?}");
    assert_eq!((scene.vault().await, scene.tree("Phone")), (vec!["b.jpg".into()], tree_of([("b.jpg", 2)])));
}

/// That takes long, too: what was missed before may be back by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_back_while_others_are_sent_again_is_not_trashed() {
    let mut scene = Scene::new().await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2), ("Phone/c.jpg", 3)] {
        scene.write(path, number);
    }
    scene.settle().await;
    let file = scene.file("b.jpg").await;
    scene.rename("Phone/a.jpg", "away/a.jpg");
    scene.pass_over("Phone").await.unwrap();
    flip(&scene.server, file, Object::Original).await;
    assert_eq!(scene.vouched_for().await, (2, 1));
    let (from, to) = (scene.path("away/a.jpg"), scene.path("Phone/again.jpg"));
    let happens = Box::new(move || {
        // There are several calls.
        let _there_already = fs::rename(&from, &to);
        Box::pin(async {}) as _
    });
    let gate = Gate::start(&scene.server.base(), "/v1/receipts", Oddity::Before(0, happens)).await;
    let session = scene.through(&gate.base());
    let report = scene.pass_with(&session, "Phone").await.unwrap();
    assert_eq!((report.uploaded, report.trashed_remote, report.has_more), (1, 0, true), "{report:?}");
    let report = scene.settle().await;
    assert_eq!((report.trashed_remote, report.restored), (0, 0), "{report:?}");
    assert_eq!(scene.tree("Phone"), tree_of([("again.jpg", 1), ("b.jpg", 2), ("c.jpg", 3)]));
    assert_eq!(scene.vault_trash().await.len(), 0);
}

/// The server knows of no damage that a download found, and keeps what was damaged as an earlier version. It is deleted in the folder before the next look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_right_behind_what_was_sent_again_arrives() {
    let (mut scene, mut tablet) = Box::pin(Scene::with_two_on_both()).await;
    let file = scene.file("a.jpg").await;
    forge(&scene.server, file).await;
    let verified = verify(&scene.session, &scene.catalog, VerifyScope::Everything, &Events::silent()).await;
    assert_eq!(verified.unwrap().failed.len(), 1);
    let report = scene.pass_over("Phone").await.unwrap();
    assert_eq!((report.uploaded, report.failed_count), (1, 0), "{report:?}");
    scene.remove("Phone/a.jpg");
    let report = scene.settle().await;
    assert_eq!((report.trashed_remote, report.materialised), (1, 0), "{report:?}");
    assert_eq!(
        (scene.vault().await, scene.vault_trash().await),
        (vec!["b.jpg".into()], vec!["a.jpg".into()])
    );
    tablet.settle(&scene).await;
    assert_eq!(
        (scene.tree("Phone"), scene.tree("Tablet")),
        (tree_of([("b.jpg", 2)]), tree_of([("b.jpg", 2)]))
    );
}
