//! Roots that are renamed or away, and what else has a name in them.

use crate::gate::{Gate, Oddity};
use crate::scene::{Scene, tree_of};
use darkslide_client::folder::{ReadoptError, SyncError, marker, readopt};
use futures_util::FutureExt as _;
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

/// It would be downloaded at every pass, to find its place taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_that_is_called_like_a_folder_comes_beside_it() {
    let mut scene = Scene::new().await;
    scene.add_to("Tablet", "Phone").await;
    scene.write("Phone/Ski.jpg/b.jpg", 2);
    fs::create_dir(scene.path("Phone/Empty.jpg")).unwrap();
    scene.settle().await;
    for (name, number) in [("ski.jpg", 1), ("Empty.jpg", 3)] {
        scene.write(&format!("Tablet/{name}"), number);
    }
    scene.settle_over("Tablet").await;
    let report = scene.settle().await;
    assert_eq!((report.materialised, report.failed_count, report.in_step), (2, 0, 3), "{report:?}");
    assert_eq!(
        scene.tree("Phone"),
        tree_of([("Empty (1).jpg", 3), ("Ski.jpg/b.jpg", 2), ("ski (1).jpg", 1)])
    );
    // What comes back to a place that a folder has now says so, and is not downloaded for it.
    let file = scene.trash_elsewhere("Empty.jpg").await;
    scene.settle().await;
    fs::remove_dir_all(scene.row("Phone").await.folder.trash).unwrap();
    fs::create_dir(scene.path("Phone/Empty (1).jpg")).unwrap();
    scene.restore_elsewhere(file).await;
    let path = format!("/files/download/{}", file.0);
    let gate = Gate::start(&scene.server.base(), path.leak(), Oddity::Twice).await;
    let session = scene.through(&gate.base());
    let report = scene.pass_with(&session, "Phone").await.unwrap();
    assert_eq!((report.materialised, report.failed_count, gate.calls()), (0, 1, 0), "{report:?}");
    fs::remove_dir(scene.path("Phone/Empty (1).jpg")).unwrap();
    let report = scene.pass_with(&session, "Phone").await.unwrap();
    assert_eq!((report.materialised, gate.calls()), (1, 1), "{report:?}");
}

/// Taken over as it is while a pass sends: what that pass notes afterwards is what the folder was before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_deleted_where_a_folder_is_taken_over_in_the_middle_of_a_pass() {
    let mut scene = Scene::new().await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2), ("Phone/c.jpg", 3)] {
        scene.write(path, number);
    }
    let (catalog, folder) = (scene.catalog.clone(), scene.row("Phone").await);
    let take_over = move || {
        let (catalog, folder) = (catalog.clone(), folder.clone());
        async move {
            let id = marker::new_id();
            catalog.readopt_sync_folder(folder.id, &id).await.unwrap();
            marker::write(&folder.folder.path, &id).unwrap();
            fs::remove_file(folder.folder.path.join("a.jpg")).unwrap();
        }
        .boxed()
    };
    let gate = Gate::start(&scene.server.base(), "/v1/batch", Oddity::Before(0, Box::new(take_over))).await;
    let session = scene.through(&gate.base());
    let passed = scene.pass_with(&session, "Phone").await;
    assert!(gate.calls() > 0);
    if let Err(error) = passed {
        assert!(matches!(error, SyncError::Unhealthy(_)), "{error}");
    }
    let report = scene.settle().await;
    assert_eq!((report.trashed_remote, report.trashed_local), (0, 0), "{report:?}");
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3)]));
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (3, 0));
}

/// Who takes a folder over is told that nothing is deleted: while a pass removes what it has planned before, nobody is told so yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_taken_over_before_a_removal_or_after_it() {
    let mut scene = Scene::new().await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2), ("Phone/c.jpg", 3)] {
        scene.write(path, number);
    }
    scene.settle().await;
    scene.trash_elsewhere("a.jpg").await;
    let (catalog, row) = (scene.catalog.clone(), scene.row("Phone").await);
    let take_over = move || {
        let (catalog, row) = (catalog.clone(), row.clone());
        async move {
            let taken = readopt(&catalog, &row, &marker::new_id()).await;
            assert!(matches!(taken, Err(ReadoptError::Busy)), "{taken:?}");
        }
        .boxed()
    };
    let gate =
        Gate::start(&scene.server.base(), "/v1/receipts", Oddity::Before(0, Box::new(take_over))).await;
    let session = scene.through(&gate.base());
    assert_eq!(scene.pass_with(&session, "Phone").await.unwrap().trashed_local, 1);
    assert_eq!(gate.calls(), 1);
    readopt(&scene.catalog, &scene.row("Phone").await, &marker::new_id()).await.unwrap();
    let report = scene.settle().await;
    assert_eq!((report.trashed_remote, report.trashed_local), (0, 0), "{report:?}");
    assert_eq!((scene.tree("Phone").len(), scene.vault().await.len()), (2, 2));
}

/// Taken over while a pass looks, and the marker not written yet, as where that needs somebody else: the pass still finds its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_that_looked_before_a_folder_was_taken_over_removes_nothing() {
    let mut scene = Scene::new().await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2), ("Phone/c.jpg", 3)] {
        scene.write(path, number);
    }
    scene.settle().await;
    scene.trash_elsewhere("a.jpg").await;
    scene.remove("Phone/b.jpg");
    let row = scene.row("Phone").await;
    let (catalog, id) = (scene.catalog.clone(), marker::new_id());
    let name = id.clone();
    let take_over = move || {
        let (catalog, name) = (catalog.clone(), name.clone());
        async move { catalog.readopt_sync_folder(row.id, &name).await.unwrap() }.boxed()
    };
    let gate = Gate::start(&scene.server.base(), "/v1/changes", Oddity::Before(0, Box::new(take_over))).await;
    let session = scene.through(&gate.base());
    let report = scene.pass_with(&session, "Phone").await.unwrap();
    assert!(gate.calls() > 0);
    assert_eq!((report.trashed_remote, report.trashed_local), (0, 0), "{report:?}");
    marker::write(&scene.row("Phone").await.folder.path, &id).unwrap();
    let report = scene.settle().await;
    assert_eq!((report.trashed_remote, report.trashed_local), (0, 0), "{report:?}");
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3)]));
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (3, 0));
}
