//! Answers that are lost, that come twice or in another order, and refusals because somebody else was first.

use crate::gate::{Gate, Oddity};
use crate::scene::{Scene, tree_of};
use darkslide_client::FileId;
use darkslide_client::feed;
use darkslide_client::folder::reconcile::Direction;
use darkslide_client::trash::{restore_from_trash, trash_files};
use darkslide_e2e::engine;
use std::fs;
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
    let gate = Gate::start(&scene.server.base(), "/files/trash", Oddity::Before(0, happens)).await;
    let session = scene.through(&gate.base());
    let report = scene.pass_with(&session, "Phone").await.unwrap();
    assert_eq!((report.trashed_remote, report.has_more, gate.calls()), (1, true, 2), "{report:?}");
    assert_eq!(scene.vault().await, ["a.jpg", "c.jpg"]);
    // What somebody changed since is not deleted: it comes back.
    scene.settle().await;
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 1), ("c.jpg", 3)]));
}

/// Two copies are one file of the vault, which goes in one call. What somebody restores before this device hears that it went comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_restored_before_it_is_noted_that_it_was_trashed_comes_back() {
    let mut scene = Scene::new().await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/copy.jpg", 1), ("Phone/b.jpg", 2)] {
        scene.write(path, number);
    }
    scene.settle().await;
    scene.remove("Phone/a.jpg");
    scene.remove("Phone/copy.jpg");
    scene.pass_over("Phone").await.unwrap();
    let file = scene.file("a.jpg").await;
    let gate = Gate::start(&scene.server.base(), "/files/trash", Oddity::Held).await;
    let (session, elsewhere) = (Arc::clone(&scene.session), scene.elsewhere());
    let meanwhile = async {
        gate.first_was_answered().await;
        feed::pull(&session, &elsewhere).await.unwrap();
        restore_from_trash(&session, &elsewhere, &[file], None).await.unwrap();
        gate.release();
    };
    let through = scene.through(&gate.base());
    let (report, ()) = tokio::join!(scene.pass_with(&through, "Phone"), meanwhile);
    assert_eq!((report.unwrap().trashed_remote, gate.calls()), (2, 1));
    let whole = scene.settle().await;
    assert_eq!((whole.materialised, whole.trashed_remote), (1, 0), "{whole:?}");
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 1), ("b.jpg", 2)]));
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (2, 0));
}

/// Another folder gets the picture once it was looked for there: the deletion arrives, and that folder's own pass takes it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_into_another_folder_while_it_is_trashed_is_restored() {
    let mut scene = Scene::new().await;
    scene.add("Other", Direction::Both, None).await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2), ("kept.jpg", 1)] {
        scene.write(path, number);
    }
    scene.settle().await;
    scene.remove("Phone/a.jpg");
    scene.pass_over("Phone").await.unwrap();
    let (from, to) = (scene.path("kept.jpg"), scene.path("Other/a.jpg"));
    let happens = Box::new(move || {
        fs::rename(&from, &to).unwrap();
        Box::pin(std::future::ready(())) as _
    });
    let gate = Gate::start(&scene.server.base(), "/files/trash", Oddity::Before(0, happens)).await;
    let through = scene.through(&gate.base());
    let report = scene.pass_with(&through, "Phone").await.unwrap();
    assert_eq!((report.trashed_remote, scene.vault_trash().await.len()), (1, 1), "{report:?}");
    assert_eq!(scene.settle_over("Other").await.restored, 1);
    scene.settle().await;
    scene.settle_over("Other").await;
    assert_eq!(scene.tree("Other"), tree_of([("a.jpg", 1)]));
    assert_eq!(
        (scene.vault().await, scene.vault_trash().await.len()),
        (vec!["a.jpg".into(), "b.jpg".into()], 0)
    );
}

/// Another client takes a file out of the trash and deletes it once more, between the plan and the restoration: that deletion was not seen, and is not
/// undone before it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restoration_of_what_was_deleted_again_meanwhile_is_refused() {
    let mut scene = Scene::new().await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2)] {
        scene.write(path, number);
    }
    scene.settle().await;
    let file = scene.trash_elsewhere("a.jpg").await;
    scene.settle().await;
    scene.write("Phone/a.jpg", 1);
    let (session, elsewhere) = (Arc::clone(&scene.session), scene.elsewhere());
    let happens = Box::new(move || {
        let (session, elsewhere) = (Arc::clone(&session), elsewhere.clone());
        let there_and_back = async move {
            feed::pull(&session, &elsewhere).await.unwrap();
            restore_from_trash(&session, &elsewhere, &[file], None).await.unwrap();
            trash_files(&session, &elsewhere, &[file]).await.unwrap();
        };
        Box::pin(there_and_back) as _
    });
    let restoring = "/collections/restore-files";
    let gate = Gate::start(&scene.server.base(), restoring, Oddity::Before(0, happens)).await;
    let session = scene.through(&gate.base());
    let report = scene.pass_with(&session, "Phone").await.unwrap();
    let was_refused = (report.restored, report.failed_count, report.has_more, gate.calls());
    assert_eq!(was_refused, (0, 0, true, 1), "{report:?}");
    assert_eq!(scene.vault_trash().await, ["a.jpg"]);
    // The next pass has seen it, and the picture is in the folder all the same.
    assert_eq!(scene.settle().await.restored, 1);
    assert_eq!(scene.vault().await, ["a.jpg", "b.jpg"]);
}

/// Between the plan and the deletion the server is set back, and gives number and version of a picture to another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_another_picture_has_now_is_not_trashed() {
    let mut scene = Scene::new().await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2), ("Phone/c.jpg", 3)] {
        scene.write(path, number);
    }
    scene.settle().await;
    scene.remove("Phone/a.jpg");
    scene.pass_over("Phone").await.unwrap();
    let (a, b) = (scene.file("a.jpg").await, scene.file("b.jpg").await);
    let database = scene.server.database_url().to_owned();
    let happens = Box::new(move || {
        let database = database.clone();
        Box::pin(async move { swap(&database, a, b).await }) as _
    });
    // The first pull is the look's, the second the deletion's.
    let gate = Gate::start(&scene.server.base(), "/v1/changes", Oddity::Before(1, happens)).await;
    let session = scene.through(&gate.base());
    let report = scene.pass_with(&session, "Phone").await.unwrap();
    assert_eq!((report.trashed_remote, report.has_more), (0, true), "{report:?}");
    assert_eq!((scene.file("a.jpg").await, scene.file("b.jpg").await), (b, a));
    assert_eq!(scene.vault().await, ["a.jpg", "b.jpg", "c.jpg"]);
    scene.settle().await;
    assert_eq!((scene.vault_trash().await.len(), scene.tree("Phone").len()), (0, 3));
}

/// Gives each of two files what the other one is, at the versions that they have.
async fn swap(database: &str, one: FileId, other: FileId) {
    let pool = engine::open(database).await;
    for text in [
        "UPDATE files SET file_object = o.file_object, file_header = o.file_header, file_size = o.file_size,
             metadata = o.metadata, metadata_header = o.metadata_header
         FROM files AS o WHERE files.id IN ($1, $2) AND o.id = $1 + $2 - files.id",
        "UPDATE memberships SET encrypted_key = o.encrypted_key, key_decryption_nonce = o.key_decryption_nonce
         FROM memberships AS o WHERE memberships.file_id IN ($1, $2) AND o.file_id = $1 + $2 - memberships.file_id",
    ] {
        sqlx::query(text).bind(one.0).bind(other.0).execute(&pool).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_repeated_and_swapped_answers_change_nothing() {
    for (path, make) in [
        ("/v1/batch", Oddity::LostAnswers(2)),
        ("/v1/batch", Oddity::Twice),
        ("/v1/batch", Oddity::Swapped),
        ("/files/trash", Oddity::LostAnswers(1)),
        ("/files/trash", Oddity::Twice),
        ("/v1/changes", Oddity::LostAnswers(3)),
        ("/v1/changes", Oddity::Twice),
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

/// Two ask what has changed, and who asked first hears last: what was so before is told after what is so now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_comes_after_a_later_one_takes_nothing_back() {
    let mut scene = Scene::new().await;
    for number in 0..5 {
        scene.write(&format!("Phone/{number}.jpg"), number);
    }
    scene.settle().await;
    // Changes that the late answer has, and the others that it has not.
    scene.trash_elsewhere("0.jpg").await;
    let restored = scene.trash_elsewhere("1.jpg").await;
    let gate = Gate::start(&scene.server.base(), "/v1/changes", Oddity::Swapped).await;
    let session = scene.through(&gate.base());
    let late = tokio::spawn({
        let (session, catalog) = (Arc::clone(&session), scene.catalog.clone());
        async move { feed::pull(&session, &catalog).await }
    });
    gate.first_was_answered().await;
    scene.restore_elsewhere(restored).await;
    scene.trash_elsewhere("2.jpg").await;
    scene.remove("Phone/3.jpg");
    scene.pass_with(&session, "Phone").await.unwrap();
    late.await.unwrap().unwrap();
    assert!(gate.calls() > 1);
    scene.settle().await;
    assert_eq!(scene.tree("Phone"), tree_of([("1.jpg", 1), ("4.jpg", 4)]));
    assert_eq!(scene.vault().await, ["1.jpg", "4.jpg"]);
    assert_eq!(scene.vault_trash().await, ["0.jpg", "2.jpg", "3.jpg"]);
}
