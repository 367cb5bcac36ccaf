//! Removals while something is sent: that takes long, and what was missed before it may be back by then.

use crate::gate::{Gate, Oddity};
use crate::scene::{Scene, tree_of};
use darkslide_client::feed;
use darkslide_client::folder::breaker::Hold;
use darkslide_client::folder::reconcile::Direction;
use darkslide_client::folder::{Memories, Share};
use std::time::Duration;

impl Scene {
    /// Three pictures that are in step, of which `a.jpg` is missed twice, and lies beside the folder.
    async fn with_one_away(direction: Direction) -> Self {
        let mut scene = Self::bare().await;
        scene.add("Phone", direction, None).await;
        for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2), ("Phone/c.jpg", 3)] {
            scene.write(path, number);
        }
        assert_eq!(scene.settle().await.in_step, 3);
        scene.rename("Phone/a.jpg", "away/a.jpg");
        scene.pass_over("Phone").await.unwrap();
        scene
    }

    /// How many removals the breaker counts.
    async fn counted(&self) -> usize {
        let row = self.row("Phone").await;
        self.catalog.sync_removed(row.id).await.unwrap().iter().map(|removed| removed.count).sum()
    }
}

/// A folder that only goes up would not have it back from there by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_back_elsewhere_while_others_are_sent_is_not_trashed() {
    for direction in [Direction::Both, Direction::Up] {
        let mut scene = Scene::with_one_away(direction).await;
        let file = scene.file("a.jpg").await;
        scene.write("Phone/d.jpg", 4);
        let (from, to) = (scene.path("away/a.jpg"), scene.path("Phone/again.jpg"));
        let happens = Box::new(move || {
            std::fs::rename(&from, &to).unwrap();
            Box::pin(async {}) as _
        });
        let gate = Gate::start(&scene.server.base(), "/v1/batch", Oddity::Before(0, happens)).await;
        let session = scene.through(&gate.base());
        let report = scene.pass_with(&session, "Phone").await.unwrap();
        assert_eq!((report.uploaded, report.trashed_remote, report.has_more), (1, 0, true), "{report:?}");
        let report = scene.settle().await;
        assert_eq!((report.trashed_remote, report.restored, report.uploaded), (0, 0, 0), "{report:?}");
        assert_eq!((scene.vault_trash().await.len(), scene.file("a.jpg").await), (0, file));
        assert_eq!(
            scene.tree("Phone"),
            tree_of([("again.jpg", 1), ("b.jpg", 2), ("c.jpg", 3), ("d.jpg", 4)])
        );
    }
}

/// However much is new each time, and wherever the deletion was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_stream_keeps_removals_waiting_for_one_pass_and_they_keep_nothing_waiting() {
    let mut scene = Scene::with_one_away(Direction::Both).await;
    scene.trash_elsewhere("b.jpg").await;
    // A piece each time, and never all of it.
    scene.settings.share = Share { files: 1, looks: 0, ..scene.settings.share };
    for number in 10..20 {
        scene.write(&format!("Phone/{number}.jpg"), number);
    }
    let first = scene.pass_over("Phone").await.unwrap();
    assert_eq!((first.uploaded, first.trashed_remote, first.trashed_local), (1, 0, 0), "{first:?}");
    assert_eq!(scene.counted().await, 0, "what is put off is not counted");
    let second = scene.pass_over("Phone").await.unwrap();
    assert_eq!((second.uploaded, second.trashed_remote, second.trashed_local), (1, 1, 1), "{second:?}");
    assert_eq!(scene.counted().await, 2, "what is done is, once");
    // Whoever ends in between does not know that it was put off, and it is once more.
    scene.trash_elsewhere("c.jpg").await;
    for (passes, removed) in [(1, 0), (1, 0), (2, 1)] {
        scene.memories = Memories::default();
        let mut local = 0;
        for _ in 0..passes {
            local += scene.pass_over("Phone").await.unwrap().trashed_local;
        }
        assert_eq!(local, removed, "{passes}");
    }
    scene.settings.share = Share::default();
    scene.settle().await;
    assert_eq!((scene.tree("Phone").len(), scene.vault().await.len()), (10, 10));
    assert_eq!(scene.vault_trash().await, ["a.jpg", "b.jpg", "c.jpg"]);
}

/// With nothing to be sent there is nothing to wait for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_sends_nothing_removes_at_once() {
    let mut scene = Scene::with_one_away(Direction::Both).await;
    scene.trash_elsewhere("b.jpg").await;
    let report = scene.pass_over("Phone").await.unwrap();
    assert_eq!((report.trashed_remote, report.trashed_local, report.has_more), (1, 1, false), "{report:?}");
}

/// What is approved, and put off, is approved until it is done; and what would be too much by then is too much.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_put_off_is_judged_again_and_stays_approved() {
    let mut scene = Scene::new().await;
    for number in 0..60 {
        scene.write(&format!("Phone/{number}.jpg"), number);
    }
    scene.settle().await;
    let remove = |scene: &Scene, numbers: std::ops::Range<u8>| {
        numbers.for_each(|number| scene.remove(&format!("Phone/{number}.jpg")));
    };
    // Few, until others are missed as well.
    remove(&scene, 0..20);
    scene.pass_over("Phone").await.unwrap();
    scene.write("Phone/new.jpg", 100);
    remove(&scene, 20..25);
    let first = scene.pass_over("Phone").await.unwrap();
    assert_eq!((first.uploaded, first.trashed_remote, first.hold), (1, 0, None), "{first:?}");
    let second = scene.pass_over("Phone").await.unwrap();
    assert_eq!(second.trashed_remote, 0, "{second:?}");
    assert_eq!(second.hold, Some(Hold::Removals { local: 0, remote: 25, allowed: 20, lately: 0 }));
    let row = scene.row("Phone").await;
    scene.catalog.approve_sync_folder(row.id, &row.held.unwrap()).await.unwrap();
    scene.write("Phone/newer.jpg", 101);
    let third = scene.pass_over("Phone").await.unwrap();
    assert_eq!((third.uploaded, third.trashed_remote, third.hold), (1, 0, None), "{third:?}");
    assert!(scene.row("Phone").await.approval.is_some());
    // As after an agent that ended there.
    scene.memories = Memories::default();
    let report = scene.settle().await;
    assert_eq!((report.trashed_remote, report.hold), (25, None), "{report:?}");
    assert_eq!((scene.counted().await, scene.row("Phone").await.approval), (0, None));
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (37, 25));
}

/// It would otherwise wait for all that is new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_trashed_elsewhere_while_others_are_sent_leaves_the_folder_before_all_is_sent() {
    for files in [1, 100] {
        let mut scene = Scene::new().await;
        for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2), ("Phone/c.jpg", 3)] {
            scene.write(path, number);
        }
        scene.settle().await;
        for number in 10..15 {
            scene.write(&format!("Phone/{number}.jpg"), number);
        }
        let news = Duration::from_millis(1);
        scene.settings.share = Share { files, looks: u32::MAX, news, ..Share::default() };
        let file = scene.file("b.jpg").await;
        let gate =
            Gate::start(&scene.server.base(), "/v1/batch", Oddity::Before(0, scene.trashes(file))).await;
        let session = scene.through(&gate.base());
        let first = scene.pass_with(&session, "Phone").await.unwrap();
        assert_eq!((first.trashed_local, first.failed_count, first.has_more), (0, 0, true), "{first:?}");
        assert!(first.uploaded <= files as u64, "the others wait: {first:?}");
        let second = scene.pass_with(&session, "Phone").await.unwrap();
        assert_eq!((second.trashed_local, second.has_more), (1, false), "{second:?}");
        assert_eq!((scene.tree("Phone").len(), scene.vault().await.len()), (7, 7));
    }
}

/// Whichever folder has it: there is one pass at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_trashed_elsewhere_of_another_folder_does_not_wait_for_all_that_is_sent() {
    let mut scene = Scene::new().await;
    scene.add("Camera", Direction::Both, None).await;
    for (path, number) in [("Phone/a.jpg", 1), ("Camera/b.jpg", 2), ("Camera/c.jpg", 3)] {
        scene.write(path, number);
    }
    scene.settle().await;
    scene.settle_over("Camera").await;
    for number in 10..15 {
        scene.write(&format!("Phone/{number}.jpg"), number);
    }
    let news = Duration::from_millis(1);
    scene.settings.share = Share { files: 1, looks: u32::MAX, news, ..Share::default() };
    let file = scene.file("b.jpg").await;
    let gate = Gate::start(&scene.server.base(), "/v1/batch", Oddity::Before(0, scene.trashes(file))).await;
    let session = scene.through(&gate.base());
    let first = scene.pass_with(&session, "Phone").await.unwrap();
    assert!(first.uploaded <= 1 && first.failed_count == 0 && first.has_more, "{first:?}");
    assert_eq!(scene.pass_over("Camera").await.unwrap().trashed_local, 1);
    scene.settle().await;
    assert_eq!(
        (scene.tree("Phone").len(), scene.tree("Camera"), scene.vault().await.len()),
        (6, tree_of([("c.jpg", 3)]), 7)
    );
}

/// Reading takes long, and what is not read by then is for the next look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_trashed_elsewhere_does_not_wait_for_all_that_is_to_be_read() {
    let mut scene = Scene::new().await;
    scene.add("Camera", Direction::Both, None).await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2), ("Camera/c.jpg", 3), ("Camera/d.jpg", 4)] {
        scene.write(path, number);
    }
    scene.settle().await;
    scene.settle_over("Camera").await;
    scene.pass_over("Phone").await.unwrap();
    for (name, number) in [("b.jpg", 10), ("d.jpg", 11)] {
        scene.trash_elsewhere(name).await;
        feed::pull(&scene.session, &scene.catalog).await.unwrap();
        scene.write(&format!("Phone/{number}.jpg"), number);
        let removed = u64::from(name == "b.jpg");
        let first = scene.pass_over("Phone").await.unwrap();
        assert_eq!((first.trashed_local, first.uploaded, first.has_more), (removed, 0, true), "{first:?}");
        // It is not cut short for the same once more.
        let second = scene.pass_over("Phone").await.unwrap();
        assert_eq!((second.trashed_local, second.uploaded, second.has_more), (0, 1, false), "{second:?}");
    }
    assert_eq!(scene.settle_over("Camera").await.trashed_local, 1);
    assert_eq!(scene.tree("Phone"), tree_of([("10.jpg", 10), ("11.jpg", 11), ("a.jpg", 1)]));
    assert_eq!((scene.tree("Camera"), scene.vault().await.len()), (tree_of([("c.jpg", 3)]), 4));
}

/// What is missed may have been moved into another sync folder. Looking for it there is reading, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_trashed_elsewhere_does_not_wait_for_what_is_read_in_another_folder() {
    let mut scene = Scene::new().await;
    scene.add("Camera", Direction::Both, None).await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2)] {
        scene.write(path, number);
    }
    scene.settle().await;
    scene.rename("Phone/a.jpg", "Camera/a.jpg");
    scene.pass_over("Phone").await.unwrap();
    scene.trash_elsewhere("b.jpg").await;
    feed::pull(&scene.session, &scene.catalog).await.unwrap();
    let first = scene.pass_over("Phone").await.unwrap();
    assert_eq!((first.trashed_local, first.waiting_count, first.has_more), (1, 1, true), "{first:?}");
    let second = scene.pass_over("Phone").await.unwrap();
    assert_eq!((second.trashed_remote, second.waiting_count, second.has_more), (0, 0, false), "{second:?}");
    scene.settle_over("Camera").await;
    assert_eq!((scene.tree("Phone"), scene.tree("Camera")), (tree_of([]), tree_of([("a.jpg", 1)])));
    assert_eq!(
        (scene.vault().await, scene.vault_trash().await),
        (vec!["a.jpg".into()], vec!["b.jpg".into()])
    );
}
