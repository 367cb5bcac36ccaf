//! Names that are one elsewhere, that are no text, or that are as long as they can be; and names that are passed over.

use crate::scene::{Scene, picture, tree_of};
use darkslide_client::catalog::{BaseChanges, NewSyncFolder};
use darkslide_client::folder::Memories;
use darkslide_client::folder::reconcile::Direction;
use darkslide_client::library::raw;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_would_collide_are_suspended_and_told() {
    let mut scene = Scene::new().await;
    scene.write("Phone/IMG_1.jpg", 1);
    scene.write("Phone/img_1.JPG", 2);
    scene.write("Phone/e\u{301}.jpg", 3);
    scene.write("Phone/\u{e9}.jpg", 4);
    scene.write("Phone/c.jpg", 5);
    let report = scene.settle().await;
    assert_eq!((report.uploaded, report.waiting_count), (1, 4), "{report:?}");
    assert!(report.waiting.iter().all(|told| told.reason.contains("rename")), "{report:?}");
    assert_eq!(scene.vault().await, ["c.jpg"]);
    scene.remove("Phone/img_1.JPG");
    scene.rename("Phone/\u{e9}.jpg", "Phone/other.jpg");
    scene.settle().await;
    assert_eq!(scene.vault().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_may_be_long_and_no_text() {
    let mut scene = Scene::new().await;
    let long = format!("{}.jpg", "x".repeat(251));
    scene.write(&format!("Phone/{long}"), 1);
    let odd = scene.path("Phone").join(OsStr::from_bytes(b"caf\xe9.jpg"));
    fs::write(&odd, picture(2)).unwrap();
    scene.write("Phone/b.jpg", 3);
    assert_eq!(scene.settle().await.in_step, 3);

    let file = scene.trash_elsewhere(&long).await;
    scene.settle().await;
    assert!(!scene.path(&format!("Phone/{long}")).exists());
    scene.restore_elsewhere(file).await;
    scene.settle().await;
    assert!(scene.path(&format!("Phone/{long}")).exists());
    fs::remove_file(&odd).unwrap();
    assert_eq!(scene.settle().await.trashed_remote, 1);
    assert_eq!(scene.vault_trash().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_to_others_is_passed_over() {
    let mut scene = Scene::new().await;
    for name in [".syncthing.a.jpg.tmp", "~syncthing~a.jpg.tmp", "a.jpg.part", ".pending-1-a.jpg", ".nomedia"]
    {
        scene.write(&format!("Phone/{name}"), 1);
    }
    for folder in [".stversions", ".stfolder", "@eaDir", ".hidden"] {
        scene.write(&format!("Phone/{folder}/a.jpg"), 2);
    }
    scene.write("Phone/a.jpg", 3);
    scene.write("Phone/b.jpg", 4);
    assert_eq!(scene.settle().await.in_step, 2);
    // Android's own trash is a deletion.
    scene.rename("Phone/a.jpg", "Phone/.trashed-1790000000-a.jpg");
    assert_eq!(scene.settle().await.trashed_remote, 1);
    assert_eq!(scene.vault().await, ["b.jpg"]);
    // What is hidden from now on is not.
    scene.rename("Phone/b.jpg", "Phone/2024/b.jpg");
    scene.settle().await;
    fs::rename(scene.path("Phone/2024"), scene.path("Phone/.2024")).unwrap();
    let report = scene.settle().await;
    assert!(!report.did_something() && report.waiting[0].reason.contains("passed over"), "{report:?}");
    assert_eq!(scene.vault().await, ["b.jpg"]);
    fs::rename(scene.path("Phone/.2024"), scene.path("Phone/2024")).unwrap();
    let report = scene.settle().await;
    assert!(!report.did_something() && report.is_in_step(), "{report:?}");
    assert_eq!(scene.vault().await, ["b.jpg"]);
    assert_eq!(scene.tree("Phone").get("2024/b.jpg"), tree_of([("b", 4)]).get("b"));
}

/// Syncthing and cameras give a picture another name for a moment, or for as long as they were killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_passed_over_is_no_deletion() {
    let mut scene = Scene::new().await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2), ("Phone/c.jpg", 3)] {
        scene.write(path, number);
    }
    scene.settle().await;
    for aside in [".pending-1790000000-a.jpg", "a.jpg.part", ".syncthing.a.jpg.tmp", "deep/.hidden/a.jpg"] {
        let aside = format!("Phone/{aside}");
        scene.rename("Phone/a.jpg", &aside);
        let report = scene.settle().await;
        assert!(!report.did_something() && report.waiting_count == 1, "{aside}: {report:?}");
        scene.rename(&aside, "Phone/a.jpg");
        assert!(scene.settle().await.is_in_step(), "{aside}");
    }
    // What is deleted meanwhile is, though it is as long.
    scene.rename("Phone/a.jpg", "Phone/a.jpg.part");
    scene.remove("Phone/b.jpg");
    assert_eq!(scene.settle().await.trashed_remote, 1);
    assert_eq!(scene.vault().await, ["a.jpg", "c.jpg"]);
    scene.rename("Phone/a.jpg.part", "Phone/d.jpg");
    assert_eq!(scene.settle().await.renamed, 1);
    scene.rename("Phone/d.jpg", "Phone/.pending-1790000000-d.jpg");
    scene.settle().await;
    scene.remove("Phone/.pending-1790000000-d.jpg");
    assert_eq!(scene.settle().await.trashed_remote, 1);
    assert_eq!(scene.vault().await, ["c.jpg"]);
}

/// Syncthing with versions, desktops, NAS and Android move what is deleted, and it stays the same file.
/// Its bytes say nothing, so under another name it is no picture: it is still there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_its_name_made_a_picture_is_not_deleted_by_another_name() {
    let mut scene = Scene::new().await;
    fs::write(scene.path("Phone/a.jpg"), b"damaged from its first byte on").unwrap();
    scene.write("Phone/b.jpg", 2);
    assert_eq!(scene.settle().await.in_step, 2);
    scene.rename("Phone/a.jpg", "Phone/a.jpg.bad");
    let report = scene.settle().await;
    assert_eq!((report.trashed_remote, scene.vault_trash().await.len()), (0, 0), "{report:?}");
    scene.remove("Phone/a.jpg.bad");
    scene.settle().await;
    assert_eq!(scene.vault_trash().await, ["a.jpg"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_moved_into_a_bin_is_deleted() {
    let mut scene = Scene::new().await;
    let bins = [".stversions/0~20261129.jpg", ".Trash-1000/files/1.jpg", "#recycle/2.jpg", "@Recycle/3.jpg"];
    for number in 0..6 {
        scene.write(&format!("Phone/{number}.jpg"), number);
    }
    scene.settle().await;
    for (number, bin) in bins.into_iter().chain([".trashed-1790000000-4.jpg"]).enumerate() {
        scene.rename(&format!("Phone/{number}.jpg"), &format!("Phone/{bin}"));
        assert_eq!(scene.settle().await.trashed_remote, 1, "{bin}");
    }
    assert_eq!(scene.vault().await, ["5.jpg"]);
}

/// Names that are as long as they can be, or that are taken, get numbers that can be told apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_of_one_name_come_side_by_side() {
    let mut scene = Scene::new().await;
    let long = format!("{}.jpg", "n".repeat(251));
    for (folder, number) in [("one", 1), ("two", 2)] {
        scene.write(&format!("Phone/{folder}/{long}"), number);
        scene.write(&format!("Phone/{folder}/a.jpg"), number + 2);
    }
    scene.settle().await;
    // Another folder with the same album, as on another device.
    let row = scene.add("Phone-b", Direction::Both, None).await;
    scene.catalog.remove_sync_folder(row.id).await.unwrap();
    let folder = NewSyncFolder { album: "Phone".to_owned(), ..row.folder };
    scene.catalog.add_sync_folder(&folder, 0).await.unwrap();
    scene.settle_over("Phone-b").await;
    let there: Vec<String> = scene.tree("Phone-b").into_keys().collect();
    assert_eq!(there.len(), 4, "{there:?}");
    assert!(there.contains(&"a.jpg".to_owned()) && there.contains(&"a (1).jpg".to_owned()), "{there:?}");
    assert!(there.contains(&format!("{} (1).jpg", "n".repeat(247))), "{there:?}");
}

/// Whatever is brought in, or into which folder, when the next one looks for the first time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_left_is_gone_after_the_next_ones_first_pass() {
    let mut scene = Scene::new().await;
    scene.write("Phone/2024/a.jpg", 1);
    scene.settle().await;
    let half = scene.path("Phone/2024/.syncthing.darkslide-a1B2c3.tmp");
    let probe = scene.path("Phone/.darkslide-probe-0123456789abcdef0123456789abcdef");
    let others = scene.path("Phone/2024/.syncthing.b.jpg.tmp");
    for path in [&half, &probe, &others] {
        fs::write(path, picture(9)).unwrap();
    }
    scene.memories = Memories::default();
    scene.pass_over("Phone").await.unwrap();
    assert!(!half.exists() && !probe.exists() && others.exists());
    assert_eq!(scene.vault().await, ["a.jpg"]);
}

/// Of a folder of its own, or of a picture: it is said what it is, and that nothing but its owner ends that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_a_link_is_told_and_is_no_deletion() {
    let mut scene = Scene::new().await;
    scene.write("Phone/2024/a.jpg", 1);
    scene.write("Phone/b.jpg", 2);
    scene.settle().await;
    scene.rename("Phone/2024", "elsewhere");
    std::os::unix::fs::symlink(scene.path("elsewhere"), scene.path("Phone/2024")).unwrap();
    let report = scene.settle().await;
    assert_eq!((report.waiting_count, report.lasting_count), (1, 1), "{report:?}");
    let told = &report.waiting[0].reason;
    assert!(told.contains("2024 is a link now") && told.contains("sync add"), "{told}");
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (2, 0));
}

/// Only what lies in the folder, or was deleted and is in the vault all the same, keeps others from their names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_of_what_was_deleted_is_given_again() {
    let (mut scene, mut tablet) = Box::pin(Scene::with_two_on_both()).await;
    let file = scene.trash_elsewhere("a.jpg").await;
    scene.settle().await;
    tablet.settle(&scene).await;
    scene.write("Phone/a.jpg", 3);
    scene.settle().await;
    tablet.settle(&scene).await;
    let both = tree_of([("a.jpg", 3), ("b.jpg", 2)]);
    assert_eq!((scene.tree("Tablet"), scene.tree("Phone")), (both.clone(), both));
    // The first one has it no more.
    scene.restore_elsewhere(file).await;
    for _ in 0..2 {
        scene.settle().await;
        tablet.settle(&scene).await;
        let all = tree_of([("a (1).jpg", 1), ("a.jpg", 3), ("b.jpg", 2)]);
        assert_eq!((scene.tree("Tablet"), scene.tree("Phone")), (all.clone(), all));
    }
    // Under another way to write it nobody is suspended.
    scene.remove("Phone/a.jpg");
    scene.settle().await;
    tablet.settle(&scene).await;
    scene.write("Phone/A.JPG", 4);
    scene.settle().await;
    tablet.settle(&scene).await;
    assert_eq!(scene.tree("Tablet"), tree_of([("A (2).JPG", 4), ("a (1).jpg", 1), ("b.jpg", 2)]));
}

/// As after an upgrade to a release that passes over more: of what was in step under such names that says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_passed_over_from_now_on_was_not_deleted() {
    let mut scene = Scene::new().await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/2024/b.jpg", 2), ("Phone/c.jpg", 3)] {
        scene.write(path, number);
    }
    scene.settle().await;
    let row = scene.row("Phone").await;
    let base = scene.catalog.sync_base(row.id).await.unwrap();
    let mut changes = BaseChanges::default();
    for (before, now) in [("a.jpg", "a.jpg.part"), ("2024/b.jpg", ".2024/b.jpg")] {
        scene.rename(&format!("Phone/{before}"), &format!("Phone/{now}"));
        changes.dropped.insert(before.into());
        changes.put.insert(now.into(), base[before.as_bytes()]);
    }
    let owner = (row.id, row.folder.marker.as_str());
    scene.catalog.record_sync(owner, &raw(&row.folder.path), &changes).await.unwrap();
    for _ in 0..3 {
        let report = scene.pass_over("Phone").await.unwrap();
        assert!(!report.did_something() && report.waiting_count == 2, "{report:?}");
    }
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (3, 0));
    scene.rename("Phone/a.jpg.part", "Phone/a.jpg");
    fs::rename(scene.path("Phone/.2024"), scene.path("Phone/2024")).unwrap();
    assert_eq!(scene.settle().await.renamed, 2);
}
