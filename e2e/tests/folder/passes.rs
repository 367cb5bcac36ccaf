//! What is done on one side is done on the other.

use crate::scene::{Scene, picture, tree_of};
use darkslide_client::backup;
use darkslide_client::event::Events;
use darkslide_client::folder::breaker::Hold;
use darkslide_client::folder::reconcile::Direction;
use darkslide_client::folder::{Memories, Share, restore_from_trash};
use darkslide_client::versions::{list_versions, restore_version};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

/// Shows S1, S2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_added_and_deleted_in_the_folder_is_in_the_vault() {
    let mut scene = Scene::new().await;
    scene.write("Phone/a.jpg", 1);
    scene.write("Phone/2024/b.jpg", 2);
    let report = scene.settle().await;
    assert_eq!((report.uploaded, report.in_step), (2, 2));
    assert_eq!(scene.vault().await, ["a.jpg", "b.jpg"]);

    scene.remove("Phone/a.jpg");
    let first = scene.pass_over("Phone").await.unwrap();
    assert!(!first.did_something() && first.look_again.is_some(), "one look is none");
    assert_eq!(scene.settle().await.trashed_remote, 1);
    assert_eq!(
        (scene.vault().await, scene.vault_trash().await),
        (vec!["b.jpg".into()], vec!["a.jpg".into()])
    );
    let quiet = scene.pass_over("Phone").await.unwrap();
    assert!(quiet.is_in_step() && !quiet.did_something());
}

/// Shows S3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_trashed_elsewhere_leaves_the_folder_and_comes_back_with_it() {
    let mut scene = Scene::new().await;
    scene.write("Phone/2024/a.jpg", 1);
    scene.write("Phone/b.jpg", 2);
    scene.settle().await;

    let file = scene.trash_elsewhere("a.jpg").await;
    assert_eq!(scene.settle().await.trashed_local, 1);
    assert_eq!(scene.tree("Phone"), tree_of([("b.jpg", 2)]));
    let trashed = scene.local_trash("Phone").await;
    assert_eq!((trashed.len(), fs::read(&trashed[0].file).unwrap()), (1, picture(1)));

    scene.restore_elsewhere(file).await;
    assert_eq!(scene.settle().await.materialised, 1);
    assert_eq!(scene.tree("Phone"), tree_of([("2024/a.jpg", 1), ("b.jpg", 2)]));
    assert!(scene.local_trash("Phone").await.is_empty(), "it came from there, and nothing was downloaded");

    // Without the local trash it comes from the vault.
    let file = scene.trash_elsewhere("a.jpg").await;
    scene.settle().await;
    fs::remove_dir_all(scene.row("Phone").await.folder.trash).unwrap();
    scene.restore_elsewhere(file).await;
    scene.settle().await;
    assert_eq!(scene.tree("Phone"), tree_of([("2024/a.jpg", 1), ("b.jpg", 2)]));
}

/// Shows S3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_purged_elsewhere_leaves_the_folder_for_the_local_trash() {
    let mut scene = Scene::new().await;
    scene.write("Phone/a.jpg", 1);
    scene.write("Phone/b.jpg", 2);
    scene.settle().await;
    let file = scene.trash_elsewhere("a.jpg").await;
    scene.purge_elsewhere(file).await;
    assert_eq!(scene.settle().await.trashed_local, 1);
    assert_eq!(scene.local_trash("Phone").await.len(), 1);
    // Whoever puts it back wants it back.
    scene.write("Phone/a.jpg", 1);
    let report = scene.settle().await;
    assert_eq!(report.uploaded, 1);
    assert_eq!(scene.vault().await, ["a.jpg", "b.jpg"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_is_a_new_version_and_beats_a_deletion() {
    let mut scene = Scene::new().await;
    scene.write("Phone/a.jpg", 1);
    scene.write("Phone/b.jpg", 2);
    scene.settle().await;
    let before = scene.file("a.jpg").await;
    scene.write("Phone/a.jpg", 3);
    assert_eq!(scene.settle().await.uploaded, 1);
    assert_eq!(scene.file("a.jpg").await, before, "the same file");
    let versions = list_versions(&scene.session, &scene.catalog, before).await.unwrap();
    assert_eq!(versions.len(), 1, "what it was can be brought back");

    scene.trash_elsewhere("b.jpg").await;
    scene.write("Phone/b.jpg", 4);
    scene.settle().await;
    assert_eq!(scene.vault().await, ["a.jpg", "b.jpg"]);
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 3), ("b.jpg", 4)]));
    assert_eq!(scene.vault_trash().await, ["b.jpg"]);
}

/// A file that looked whole was sent, and then the rest of it came: what it was is no version that anybody wants back, and yet no byte of it goes before
/// its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_goes_on_supersedes_its_beginning_silently() {
    for more in [10, 6 << 20] {
        let mut scene = Scene::new().await;
        scene.write("Phone/a.jpg", 1);
        scene.write("Phone/b.jpg", 2);
        scene.settle().await;
        let mut tablet = scene.second_device("Tablet", "Phone").await;
        tablet.settle(&scene).await;
        let file = scene.file("a.jpg").await;
        // As many bytes again, and more than are kept in memory.
        for length in [more, 2 * more] {
            let mut longer = fs::read(scene.path("Phone/a.jpg")).unwrap();
            longer.extend(vec![7; length]);
            longer.extend([0xff, 0xfe, 0, 3, 1, 0xff, 0xd9]);
            fs::write(scene.path("Phone/a.jpg"), longer).unwrap();
            assert_eq!(scene.settle().await.uploaded, 1);
        }
        assert_eq!(scene.file("a.jpg").await, file, "the same file");
        assert_eq!(list_versions(&scene.session, &scene.catalog, file).await.unwrap(), []);
        let kept = scene.session.api.earlier_versions(file).await.unwrap().versions;
        assert_eq!(kept.len(), 2, "the server has them, for as long as any other");
        // Another device that has the beginning lets go of it as of whatever was edited.
        tablet.settle(&scene).await;
        assert_eq!(scene.tree("Tablet"), tree_of([("a.jpg", 1), ("b.jpg", 2)]));
        assert_eq!(
            fs::read(scene.path("Tablet/a.jpg")).unwrap(),
            fs::read(scene.path("Phone/a.jpg")).unwrap()
        );
        // Anything else is an edit, and can be brought back.
        scene.write("Phone/a.jpg", 3);
        scene.settle().await;
        assert_eq!(list_versions(&scene.session, &scene.catalog, file).await.unwrap().len(), 1);
        assert!(scene.vault_trash().await.is_empty());
    }
}

/// Shows S6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_rename_nor_a_copy_trashes_anything() {
    let mut scene = Scene::new().await;
    scene.write("Phone/a.jpg", 1);
    scene.write("Phone/b.jpg", 2);
    scene.settle().await;
    let before = scene.file("a.jpg").await;

    scene.rename("Phone/a.jpg", "Phone/2024/c.jpg");
    let report = scene.settle().await;
    assert_eq!((report.renamed, report.uploaded, report.trashed_remote), (1, 0, 0));
    // A synchroniser's rename is a copy and a deletion.
    fs::copy(scene.path("Phone/b.jpg"), scene.path("Phone/d.jpg")).unwrap();
    scene.remove("Phone/b.jpg");
    let report = scene.settle().await;
    assert_eq!((report.trashed_remote, report.uploaded, report.in_step), (0, 0, 2));
    assert!(scene.vault_trash().await.is_empty());
    assert_eq!(scene.file("a.jpg").await, before);
    // An edit of what was renamed is still one of the same file.
    scene.write("Phone/2024/c.jpg", 3);
    scene.settle().await;
    assert_eq!(scene.file("c.jpg").await, before);
    assert_eq!(scene.vault().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_that_moves_into_another_sync_folder_is_not_deleted() {
    let mut scene = Scene::new().await;
    scene.add("Tablet", Direction::Both, None).await;
    scene.write("Phone/a.jpg", 1);
    scene.write("Phone/b.jpg", 2);
    scene.settle().await;
    scene.settle_over("Tablet").await;
    scene.rename("Phone/a.jpg", "Tablet/a.jpg");
    scene.pass_over("Phone").await.unwrap();
    scene.settle_over("Tablet").await;
    scene.settle().await;
    scene.settle_over("Tablet").await;
    assert_eq!(scene.tree("Phone"), tree_of([("b.jpg", 2)]));
    assert_eq!(scene.tree("Tablet"), tree_of([("a.jpg", 1)]));
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (2, 0));
}

/// What is new in one comes into the other, and what is deleted in one stays in the vault for as long as the other has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_folders_may_have_one_album() {
    let mut scene = Scene::new().await;
    scene.add_to("Tablet", "Phone").await;
    for (path, number) in [
        ("Phone/a.jpg", 1),
        ("Phone/b.jpg", 2),
        ("Tablet/c.jpg", 3),
        ("Tablet/d.jpg", 4),
        ("Tablet/e.jpg", 6),
    ] {
        scene.write(path, number);
    }
    let all = tree_of([("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3), ("d.jpg", 4), ("e.jpg", 6)]);
    for _ in 0..2 {
        scene.settle().await;
        scene.settle_over("Tablet").await;
    }
    assert_eq!([scene.tree("Phone"), scene.tree("Tablet")], [all.clone(), all]);
    assert_eq!(scene.vault().await.len(), 5);
    // Deleted in one of them, in either, renamed, and edited.
    scene.remove("Phone/a.jpg");
    scene.remove("Tablet/b.jpg");
    scene.rename("Phone/c.jpg", "Phone/2024/c.jpg");
    scene.write("Tablet/d.jpg", 5);
    for _ in 0..2 {
        scene.settle().await;
        scene.settle_over("Tablet").await;
    }
    assert_eq!(scene.tree("Phone"), tree_of([("2024/c.jpg", 3), ("b.jpg", 2), ("d.jpg", 5), ("e.jpg", 6)]));
    assert_eq!(scene.tree("Tablet"), tree_of([("a.jpg", 1), ("c.jpg", 3), ("d.jpg", 5), ("e.jpg", 6)]));
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (5, 0));
    // And then in the other one; at once in both; elsewhere.
    scene.remove("Tablet/a.jpg");
    scene.remove("Phone/2024/c.jpg");
    scene.remove("Tablet/c.jpg");
    scene.trash_elsewhere("d.jpg").await;
    for _ in 0..2 {
        scene.settle_over("Tablet").await;
        scene.settle().await;
    }
    assert_eq!(scene.tree("Phone"), tree_of([("b.jpg", 2), ("e.jpg", 6)]));
    assert_eq!(scene.tree("Tablet"), tree_of([("e.jpg", 6)]));
    assert_eq!(scene.vault().await, ["b.jpg", "e.jpg"]);
    assert_eq!(scene.vault_trash().await, ["a.jpg", "c.jpg", "d.jpg"]);
}

/// Another device edits a picture: it is the same file with a new version, here too, and not a second one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_on_another_device_comes_to_the_same_place() {
    let mut scene = Scene::new().await;
    for (path, number) in [("Phone/2024/a.jpg", 1), ("Phone/b.jpg", 2)] {
        scene.write(path, number);
    }
    scene.settle().await;
    let mut tablet = scene.second_device("Tablet", "Phone").await;
    tablet.settle(&scene).await;
    assert_eq!(scene.tree("Tablet"), tree_of([("a.jpg", 1), ("b.jpg", 2)]));
    scene.write("Tablet/a.jpg", 3);
    tablet.settle(&scene).await;
    let report = scene.settle().await;
    assert_eq!((report.uploaded, report.trashed_local, report.materialised), (0, 1, 1), "{report:?}");
    assert_eq!(scene.tree("Phone"), tree_of([("2024/a.jpg", 3), ("b.jpg", 2)]));
    assert_eq!(scene.local_trash("Phone").await[0].path, Path::new("2024/a.jpg"));
    tablet.settle(&scene).await;
    assert_eq!(scene.tree("Tablet"), tree_of([("a.jpg", 3), ("b.jpg", 2)]));
    assert_eq!(scene.vault().await, ["a.jpg", "b.jpg"]);
    // What it was is brought back elsewhere, and so again.
    let file = scene.file("a.jpg").await;
    for number in [1, 3] {
        let earlier = list_versions(&scene.session, &scene.catalog, file).await.unwrap()[0].version;
        restore_version(&scene.session, file, earlier).await.unwrap();
        scene.settle().await;
        assert_eq!(scene.tree("Phone"), tree_of([("2024/a.jpg", number), ("b.jpg", 2)]));
    }
    tablet.settle(&scene).await;
    // Deleted here and edited there at once: the edit comes.
    scene.remove("Phone/b.jpg");
    scene.write("Tablet/b.jpg", 4);
    tablet.settle(&scene).await;
    scene.settle().await;
    assert_eq!(scene.tree("Phone"), tree_of([("2024/a.jpg", 3), ("b.jpg", 4)]));
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (2, 0));
}

/// A copy that was backed up from somewhere else, and is still there, was not deleted by whoever deletes this one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_was_backed_up_elsewhere_keeps_the_picture() {
    let mut scene = Scene::new().await;
    for (path, number) in
        [("Pictures/holiday.jpg", 1), ("Phone/a.jpg", 1), ("Phone/b.jpg", 2), ("Phone/c.jpg", 3)]
    {
        scene.write(path, number);
    }
    let roots = [scene.path("Pictures")];
    let (events, stop) = (Events::silent(), CancellationToken::new());
    let (session, sending) = (Arc::clone(&scene.session), scene.settings.sending.clone());
    backup::backup(session, scene.catalog.clone(), &roots, &sending, &events, &stop).await.unwrap();
    scene.settle().await;
    scene.remove("Phone/a.jpg");
    let report = scene.settle().await;
    assert_eq!((report.trashed_remote, scene.vault().await.len()), (0, 3), "{report:?}");
    // One that is gone there, too, keeps nothing.
    scene.write("Phone/a.jpg", 1);
    scene.settle().await;
    scene.remove("Pictures/holiday.jpg");
    scene.remove("Phone/a.jpg");
    assert_eq!(scene.settle().await.trashed_remote, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_new_in_the_album_comes_and_what_others_hold_does_not() {
    let mut scene = Scene::new().await;
    scene.add("Tablet", Direction::Both, None).await;
    scene.write("Phone/a.jpg", 1);
    scene.settle().await;
    scene.write("Tablet/b.jpg", 2);
    scene.settle_over("Tablet").await;
    scene.settle().await;
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 1)]));
    // Somebody puts it into the phone's album as well.
    let file = scene.file("b.jpg").await;
    let album = darkslide_client::albums::find_album(&scene.session, &scene.catalog, "Phone").await.unwrap();
    darkslide_client::albums::add_to_album(&scene.session, &scene.catalog, &album, &[file]).await.unwrap();
    assert_eq!(scene.settle().await.materialised, 1);
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 1), ("b.jpg", 2)]));
}

/// Shows S6, X6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_removals_wait_for_the_owner() {
    let mut scene = Scene::new().await;
    for number in 0..30 {
        scene.write(&format!("Phone/{number}.jpg"), number);
    }
    scene.settle().await;
    for number in 0..25 {
        scene.remove(&format!("Phone/{number}.jpg"));
    }
    scene.write("Phone/new.jpg", 99);
    let report = scene.settle().await;
    assert_eq!(report.hold, Some(Hold::Removals { local: 0, remote: 25, allowed: 20, lately: 0 }));
    assert_eq!((report.trashed_remote, report.uploaded), (0, 1), "what is new is sent all the same");
    assert_eq!(scene.vault().await.len(), 31);

    let row = scene.row("Phone").await;
    let shown = row.held.unwrap();
    let list = scene.catalog.held_list(row.id, &shown).await.unwrap();
    assert_eq!((list.pictures().count(), list.name()), (25, shown.clone()));
    // One is put back and another one is deleted, which is only known for sure after it was approved: they are as many, and others.
    scene.write("Phone/0.jpg", 0);
    scene.remove("Phone/29.jpg");
    scene.pass_over("Phone").await.unwrap();
    let fewer = scene.row("Phone").await.held.unwrap();
    assert_eq!(scene.catalog.held_list(row.id, &fewer).await.unwrap().pictures().count(), 24);
    scene.catalog.approve_sync_folder(row.id, &fewer).await.unwrap();
    let report = scene.settle().await;
    assert_eq!((report.trashed_remote, report.hold.is_some()), (0, true), "{report:?}");
    let row = scene.row("Phone").await;
    let now = row.held.clone().unwrap();
    assert!(row.approval.is_none() && now != fewer && now != shown, "what was approved is over");
    // That list is approved; of it one is put back.
    scene.catalog.approve_sync_folder(row.id, &row.held.unwrap()).await.unwrap();
    scene.write("Phone/1.jpg", 1);
    let report = scene.settle().await;
    assert_eq!((report.trashed_remote, report.hold), (24, None));
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (7, 24));
    assert_eq!(scene.row("Phone").await.approval, None, "it was for this once");
}

/// Picture by picture, as something does that goes through a folder: each of them is few. That is remembered by whoever goes on, until the owner was
/// asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removals_that_trickle_in_wait_for_the_owner() {
    let mut scene = Scene::new().await;
    for number in 0..40 {
        scene.write(&format!("Phone/{number}.jpg"), number);
    }
    scene.settle().await;
    let mut last = None;
    for number in 0..24 {
        scene.remove(&format!("Phone/{number}.jpg"));
        scene.memories = Memories::default();
        scene.pass_over("Phone").await.unwrap();
        last = scene.pass_over("Phone").await.unwrap().hold;
        assert_eq!(last.is_some(), number >= 20, "{number} {last:?}");
    }
    assert_eq!(last, Some(Hold::Removals { local: 0, remote: 4, allowed: 20, lately: 20 }));
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (20, 20));
    let row = scene.row("Phone").await;
    scene.catalog.approve_sync_folder(row.id, &row.held.unwrap()).await.unwrap();
    let report = scene.settle().await;
    assert_eq!((report.trashed_remote, report.hold), (4, None));
    // It begins anew.
    scene.remove("Phone/30.jpg");
    assert_eq!(scene.settle().await.trashed_remote, 1);
}

/// Nothing is said of a list that is not on hold (any more).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_the_owner_is_approved_by_name() {
    let mut scene = Scene::new().await;
    for number in 0..30 {
        scene.write(&format!("Phone/{number}.jpg"), number);
    }
    scene.settle().await;
    for number in 0..25 {
        scene.remove(&format!("Phone/{number}.jpg"));
    }
    scene.settle().await;
    let row = scene.row("Phone").await;
    for list in ["", "another"] {
        scene.catalog.approve_sync_folder(row.id, list).await.unwrap();
        assert!(scene.settle().await.hold.is_some());
    }
    scene.catalog.approve_sync_folder(row.id, &row.held.unwrap()).await.unwrap();
    let report = scene.settle().await;
    assert_eq!((report.trashed_remote, report.hold), (25, None));
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (5, 25));
    assert_eq!(scene.row("Phone").await.approval, None, "it was for this once");
}

/// What is allowed is allowed until it is done, and of each picture until it is back: no longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_approved_and_fails_stays_approved() {
    let mut scene = Scene::new().await;
    for number in 0..3 {
        scene.write(&format!("Phone/{number}.jpg"), number);
    }
    scene.settle().await;
    let mut files = Vec::new();
    for number in 0..3 {
        files.push(scene.trash_elsewhere(&format!("{number}.jpg")).await);
    }
    assert!(scene.settle().await.hold.is_some());
    let row = scene.row("Phone").await;
    scene.catalog.approve_sync_folder(row.id, &row.held.unwrap()).await.unwrap();
    // The local trash takes nothing.
    fs::write(&row.folder.trash, "in its place").unwrap();
    for _ in 0..2 {
        let report = scene.settle().await;
        assert_eq!((report.trashed_local, report.failed_count, report.hold), (0, 3, None), "{report:?}");
    }
    // One of them is in the vault again, and what was approved of it over.
    scene.restore_elsewhere(files[0]).await;
    assert_eq!(scene.settle().await.failed_count, 2);
    scene.trash_elsewhere("0.jpg").await;
    let report = scene.settle().await;
    assert_eq!((report.hold.is_some(), report.failed_count), (true, 2), "what failed is told: {report:?}");
    let row = scene.row("Phone").await;
    assert_eq!(row.approval, None);
    scene.catalog.approve_sync_folder(row.id, &row.held.unwrap()).await.unwrap();
    assert_eq!(scene.settle().await.failed_count, 3);
    fs::remove_file(&row.folder.trash).unwrap();
    let report = scene.settle().await;
    assert_eq!((report.trashed_local, report.failed_count, report.hold), (3, 0, None), "{report:?}");
    assert_eq!(scene.row("Phone").await.approval, None, "it was for this once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_pictures_stay_in_the_vault_where_their_owner_wants_that() {
    let mut scene = Scene::bare().await;
    scene.add("Phone", Direction::Both, Some(Duration::ZERO)).await;
    scene.write("Phone/a.jpg", 1);
    scene.write("Phone/b.jpg", 2);
    scene.settle().await;
    scene.remove("Phone/a.jpg");
    let report = scene.settle().await;
    assert_eq!((report.trashed_remote, report.materialised, report.in_step), (0, 0, 1));
    assert_eq!(scene.vault().await, ["a.jpg", "b.jpg"]);
    // And it does not come back by itself.
    assert_eq!(scene.settle().await.materialised, 0);
    assert_eq!(scene.tree("Phone"), tree_of([("b.jpg", 2)]));
}

/// Everything that was in the folder is gone at once: that most of it would stay in the vault for its age makes no difference.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_folder_with_old_pictures_is_held() {
    let mut scene = Scene::bare().await;
    scene.add("Phone", Direction::Both, Some(Duration::from_hours(24))).await;
    for number in 1..=4 {
        scene.write(&format!("Phone/{number}.jpg"), number);
        let age = Duration::from_hours(24) * if number == 1 { 0 } else { 900 };
        let file = fs::File::options().write(true).open(scene.path(&format!("Phone/{number}.jpg"))).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }
    scene.settle().await;
    for number in 1..=4 {
        scene.remove(&format!("Phone/{number}.jpg"));
    }
    let report = scene.settle().await;
    assert!(matches!(report.hold, Some(Hold::Everything { local: 0, remote: 1 })), "{report:?}");
    // Nor does anything that comes meanwhile.
    scene.write("Phone/5.jpg", 5);
    let report = scene.settle().await;
    assert_eq!((report.uploaded, report.trashed_remote, report.hold.is_some()), (1, 0, true), "{report:?}");
    assert_eq!(scene.vault().await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_way_folders_touch_one_side() {
    let mut scene = Scene::bare().await;
    scene.add("Up", Direction::Up, None).await;
    for (name, number) in [("a", 1), ("b", 2), ("c", 3)] {
        scene.write(&format!("Up/{name}.jpg"), number);
    }
    scene.settle_over("Up").await;
    scene.trash_elsewhere("a.jpg").await;
    scene.remove("Up/b.jpg");
    let report = scene.settle_over("Up").await;
    assert!(report.waiting[0].reason.contains("delete it here as well"), "{report:?}");
    assert_eq!((report.waiting_count, report.lasting_count), (1, 1));
    assert_eq!(scene.tree("Up"), tree_of([("a.jpg", 1), ("c.jpg", 3)]), "nothing in it is touched");
    assert_eq!(scene.vault_trash().await, ["a.jpg", "b.jpg"]);

    scene.add("Down", Direction::Down, None).await;
    scene.write("Down/d.jpg", 4);
    scene.settle_over("Down").await;
    assert_eq!(scene.vault().await, ["c.jpg"], "nothing in the vault is touched");
}

/// Shows S6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_base_is_a_merge() {
    let mut scene = Scene::new().await;
    scene.write("Phone/a.jpg", 1);
    scene.write("Phone/b.jpg", 2);
    scene.settle().await;
    scene.remove("Phone/a.jpg");
    let row = scene.row("Phone").await;
    scene.catalog.readopt_sync_folder(row.id, &row.folder.marker).await.unwrap();
    let report = scene.settle().await;
    assert_eq!((report.trashed_remote, report.trashed_local), (0, 0));
    assert_eq!(scene.tree("Phone"), tree_of([("a.jpg", 1), ("b.jpg", 2)]));
    assert_eq!(scene.vault().await, ["a.jpg", "b.jpg"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_local_trash_gives_back_is_restored_in_the_vault() {
    let mut scene = Scene::new().await;
    scene.write("Phone/a.jpg", 1);
    scene.write("Phone/b.jpg", 2);
    scene.settle().await;
    scene.trash_elsewhere("a.jpg").await;
    scene.settle().await;
    let row = scene.row("Phone").await;
    let id = scene.local_trash("Phone").await[0].id.clone();
    restore_from_trash(&scene.catalog, &row, &id).await.unwrap().expect("it is there");
    let report = scene.settle().await;
    assert_eq!(report.restored, 1);
    assert_eq!(scene.vault().await, ["a.jpg", "b.jpg"]);
    assert!(scene.vault_trash().await.is_empty());
}

/// Scans of old photographs have the time of what they show.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_from_before_1970_keeps_its_time() {
    let mut scene = Scene::new().await;
    scene.write("Phone/a.jpg", 1);
    let taken = SystemTime::UNIX_EPOCH - Duration::from_secs(400_000_000);
    fs::File::options().write(true).open(scene.path("Phone/a.jpg")).unwrap().set_modified(taken).unwrap();
    scene.settle().await;
    let mut copy = scene.second_device("Tablet", "Phone").await;
    copy.settle(&scene).await;
    let modified = fs::metadata(scene.path("Tablet/a.jpg")).unwrap().modified().unwrap();
    assert_eq!(modified, taken);
}

/// A large folder goes in pieces, of so many files or so many bytes, one after the other for as long as it took to look; then it is looked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_new_goes_piece_by_piece() {
    let mut scene = Scene::new().await;
    for number in 1..=9 {
        scene.write(&format!("Phone/{number}.jpg"), number);
    }
    let bytes = 2 * picture(1).len() as u64;
    for (files, bytes, looks, sent, has_more) in [
        (2, u64::MAX, 0, 2, true),
        (9, bytes, 0, 2, true),
        (9, 1, 0, 1, true),
        (2, u64::MAX, u32::MAX, 4, false),
    ] {
        scene.settings.share = Share { files, bytes, looks, ..scene.settings.share };
        let report = scene.pass_over("Phone").await.unwrap();
        assert_eq!((report.uploaded, report.has_more), (sent, has_more), "{files} {bytes} {looks}");
    }
    assert_eq!(scene.vault().await.len(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_vault_has_already_is_not_sent_again() {
    let mut scene = Scene::new().await;
    scene.add("Tablet", Direction::Both, None).await;
    scene.write("Phone/a.jpg", 1);
    scene.settle().await;
    scene.write("Tablet/same.jpg", 1);
    let report = scene.settle_over("Tablet").await;
    assert_eq!((report.uploaded, report.linked), (0, 1));
    assert_eq!(scene.vault().await.len(), 1);
    // Deleted in one, it is still wanted in the other.
    scene.remove("Tablet/same.jpg");
    scene.settle_over("Tablet").await;
    assert_eq!((scene.vault().await.len(), scene.tree("Phone").len()), (1, 1));
}
