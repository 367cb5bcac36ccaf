//! Answers that are lost, that come twice or in another order, and refusals because somebody else was first.

use crate::gate::{Gate, Oddity};
use crate::scene::{Scene, tree_of};
use darkslide_client::feed;
use darkslide_client::trash::{restore_from_trash, trash_files};
use std::sync::Arc;

/// Another client changes a file between the plan and the deletion: the server refuses that one, and does the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_of_what_was_changed_meanwhile_is_refused() {
    let mut scene = Scene::new().await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2), ("Phone/c.jpg", 3)] {
        scene.write(path, number);
    }
    scene.settle().await;
    scene.remove("Phone/a.jpg");
    scene.remove("Phone/b.jpg");
    scene.pass_over("Phone").await.unwrap();
    let file = scene.file("a.jpg").await;
    let (session, elsewhere) = (Arc::clone(&scene.session), scene.elsewhere());
    let happens = Box::new(move || {
        let (session, elsewhere) = (Arc::clone(&session), elsewhere.clone());
        let there_and_back = async move {
            trash_files(&session, &elsewhere, &[file]).await.unwrap();
            feed::pull(&session, &elsewhere).await.unwrap();
            restore_from_trash(&session, &elsewhere, &[file], None).await.unwrap();
        };
        Box::pin(there_and_back) as _
    });
    let gate = Gate::start(&scene.server.base(), "/files/trash", Oddity::Before(happens)).await;
    let session = scene.through(&gate.base());
    let report = scene.pass_with(&session, "Phone").await.unwrap();
    assert_eq!((report.trashed_remote, report.has_more, gate.calls()), (1, true, 2), "{report:?}");
    assert_eq!(scene.vault().await, ["a.jpg", "c.jpg"]);
    // What somebody changed since is not deleted: it comes back.
    scene.settle().await;
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 1), ("c.jpg", 3)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_repeated_and_swapped_answers_change_nothing() {
    for (path, make) in [
        ("/v1/batch", Oddity::LostAnswers(2)),
        ("/v1/batch", Oddity::Twice),
        ("/v1/batch", Oddity::Swapped),
        ("/files/trash", Oddity::LostAnswers(1)),
        ("/files/trash", Oddity::Twice),
    ] {
        let mut scene = Scene::new().await;
        // More than go in one batch.
        for number in 0..=200 {
            scene.write(&format!("Phone/{number}.jpg"), number);
        }
        let gate = Gate::start(&scene.server.base(), path, make).await;
        let session = scene.through(&gate.base());
        for turn in 0..12 {
            if turn == 4 {
                for number in 0..5 {
                    scene.remove(&format!("Phone/{number}.jpg"));
                }
            }
            let _passed_or_not = scene.pass_with(&session, "Phone").await;
        }
        assert!(gate.calls() > 0, "{path}");
        scene.settle().await;
        assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (196, 5), "{path}");
        assert_eq!(scene.tree("Phone").len(), 196, "{path}");
    }
}
