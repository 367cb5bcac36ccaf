//! What others do to pictures that are on their way just then, and lines that are cut meanwhile: what has arrived, both sides have.

use crate::gate::{Gate, Oddity};
use crate::scene::{Device, Scene, tree_of};
use darkslide_client::feed;
use darkslide_client::folder::Share;
use std::ops::Range;
use std::time::Duration;

/// Of what the server gives, the originals.
const DOWNLOADS: &str = "/files/download/";

/// What does not happen by then does not happen.
const PATIENCE: Duration = Duration::from_mins(1);

impl Scene {
    /// Two pictures that the tablet has, and others, each called after its number, that it is to get.
    async fn with_some_to_come(coming: Range<u8>) -> (Self, Device) {
        let (mut scene, tablet) = Box::pin(Self::with_two_on_both()).await;
        for number in coming {
            scene.write(&format!("Phone/{number}.jpg"), number);
        }
        scene.settle().await;
        (scene, tablet)
    }
}

/// Something else on this device reads the feed meanwhile: the backup of a watch folder, or a command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_do_to_a_picture_while_it_is_brought_is_done_to_it_here() {
    for change in ["trash", "purge", "edit"] {
        let (mut scene, mut tablet) = Scene::with_some_to_come(10..11).await;
        let file = scene.file("10.jpg").await;
        let gate = Gate::start(&scene.server.base(), DOWNLOADS, Oddity::Held).await;
        let (session, settings) = (scene.through(&gate.base()), scene.settings.clone());
        let catalog = tablet.catalog();
        let others = async {
            gate.first_was_answered().await;
            if change == "edit" {
                scene.write("Phone/10.jpg", 99);
                scene.settle().await;
            } else {
                scene.trash_elsewhere("10.jpg").await;
            }
            if change == "purge" {
                scene.purge_elsewhere(file).await;
            }
            feed::pull(&scene.session, &catalog).await.unwrap();
            gate.release();
        };
        let (report, ()) = tokio::join!(tablet.pass_with(&session, &settings), others);
        let report = report.unwrap();
        assert_eq!((report.materialised, report.has_more), (1, true), "{change}: {report:?}");
        tablet.settle(&scene).await;
        scene.settle().await;
        let (tree, vault, trash): (_, &[&str], &[&str]) = match change {
            "edit" => {
                (tree_of([("10.jpg", 99), ("a.jpg", 1), ("b.jpg", 2)]), &["10.jpg", "a.jpg", "b.jpg"], &[])
            }
            "trash" => (tree_of([("a.jpg", 1), ("b.jpg", 2)]), &["a.jpg", "b.jpg"], &["10.jpg"]),
            _ => (tree_of([("a.jpg", 1), ("b.jpg", 2)]), &["a.jpg", "b.jpg"], &[]),
        };
        assert_eq!((scene.tree("Tablet"), scene.tree("Phone")), (tree.clone(), tree), "{change}");
        assert_eq!(scene.vault().await, vault, "{change}");
        assert_eq!(scene.vault_trash().await, trash, "{change}");
    }
}

/// One of them does not come, and the server is not to be reached any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_before_the_line_was_cut_can_be_deleted() {
    let (mut scene, mut tablet) = Scene::with_some_to_come(10..13).await;
    let last = format!("{DOWNLOADS}{}", scene.file("12.jpg").await);
    let gate = Gate::start(&scene.server.base(), last, Oddity::LostAnswers(u64::MAX)).await;
    let session = scene.through(&gate.base());
    tablet.pass_with(&session, &scene.settings).await.unwrap_err();
    assert_eq!(scene.tree("Tablet"), tree_of([("10.jpg", 10), ("11.jpg", 11), ("a.jpg", 1), ("b.jpg", 2)]));
    scene.trash_elsewhere("10.jpg").await;
    scene.remove("Tablet/11.jpg");
    tablet.settle(&scene).await;
    scene.settle().await;
    let tree = tree_of([("12.jpg", 12), ("a.jpg", 1), ("b.jpg", 2)]);
    assert_eq!((scene.tree("Tablet"), scene.tree("Phone")), (tree.clone(), tree));
    assert_eq!(scene.vault_trash().await, ["10.jpg", "11.jpg"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_the_line_was_cut_can_be_deleted_and_edited() {
    let mut scene = Scene::new().await;
    for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2)] {
        scene.write(path, number);
    }
    scene.settle().await;
    for number in 10..30 {
        scene.write(&format!("Phone/{number}.jpg"), number);
    }
    let gate = Gate::start(&scene.server.base(), "/v1/batch", Oddity::AwayAfter(1)).await;
    let session = scene.through(&gate.base());
    scene.pass_with(&session, "Phone").await.unwrap_err();
    let sent: Vec<_> = scene.vault().await.into_iter().filter(|title| title.len() > 5).collect();
    let [trashed, deleted, edited, ..] = &*sent else { panic!("too few: {sent:?}") };
    scene.trash_elsewhere(trashed).await;
    scene.remove(&format!("Phone/{deleted}"));
    scene.write(&format!("Phone/{edited}"), 99);
    scene.settle().await;
    let (tree, mut gone) = (scene.tree("Phone"), [trashed.clone(), deleted.clone()]);
    gone.sort();
    assert_eq!(scene.vault_trash().await, gone);
    assert_eq!((tree.get(trashed), tree.get(deleted), tree.get(edited)), (None, None, Some(&99)));
    assert_eq!((tree.len(), scene.vault().await.len()), (20, 20), "the edited one is no file of its own");
}

/// What is sent is noted while others are on their way: an agent that is killed then knows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_the_agent_was_killed_can_be_deleted() {
    let mut scene = Scene::new().await;
    scene.add("Other", darkslide_client::folder::reconcile::Direction::Both, None).await;
    scene.write("Phone/a.jpg", 1);
    scene.settle().await;
    for number in [10, 11] {
        scene.write(&format!("Other/{number}.jpg"), number);
    }
    scene.settle_over("Other").await;
    for number in [10, 11] {
        scene.write(&format!("Phone/{number}.jpg"), number);
    }
    scene.settings.share = Share { news: Duration::from_millis(1), ..Share::default() };
    let never = Box::new(|| Box::pin(std::future::pending()) as _);
    let gate = Gate::start(&scene.server.base(), "/collections/add-files", Oddity::Before(1, never)).await;
    let (session, row, catalog) =
        (scene.through(&gate.base()), scene.row("Phone").await, scene.catalog.clone());
    let noted = async {
        loop {
            let base = catalog.sync_base(row.id).await.unwrap();
            if let Some(path) = base.into_keys().find(|path| path != b"a.jpg") {
                return String::from_utf8(path).unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    let sent = tokio::select! {
        report = scene.pass_with(&session, "Phone") => panic!("it waits for the other one: {report:?}"),
        sent = tokio::time::timeout(PATIENCE, noted) => sent.expect("it is noted while others are sent"),
    };
    scene.trash_elsewhere(&sent).await;
    scene.settle().await;
    assert_eq!((scene.tree("Phone").get(&sent), scene.tree("Phone").len()), (None, 2));
    assert_eq!(scene.vault_trash().await, [sent]);
}

/// A first pass over a large album takes long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removals_do_not_wait_for_all_that_is_brought() {
    let (mut scene, mut tablet) = Scene::with_some_to_come(10..40).await;
    scene.trash_elsewhere("a.jpg").await;
    scene.remove("Tablet/b.jpg");
    let mut settings = scene.settings.clone();
    settings.share = Share { files: 1, looks: 0, ..settings.share };
    let first = tablet.pass_with(&scene.session, &settings).await.unwrap();
    assert_eq!((first.trashed_local, first.trashed_remote, first.has_more), (0, 0, true), "{first:?}");
    let second = tablet.pass_with(&scene.session, &settings).await.unwrap();
    assert_eq!((second.trashed_local, second.trashed_remote, second.has_more), (1, 1, true), "{second:?}");
    let brought = scene.tree("Tablet").len();
    assert!((2..30).contains(&brought), "each brings some: {brought}");
    tablet.settle(&scene).await;
    scene.settle().await;
    assert_eq!((scene.tree("Tablet").len(), scene.tree("Phone").len()), (30, 30));
    assert_eq!(scene.vault_trash().await, ["a.jpg", "b.jpg"]);
}

/// Neither does a trash wait for pictures that are on their way just then, of which four on a slow line take a quarter of a minute: these come with the next pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_trashed_elsewhere_while_others_are_brought_leaves_the_folder_before_any_other_is_brought() {
    let (mut scene, mut tablet) = Scene::with_some_to_come(10..40).await;
    let mut settings = scene.settings.clone();
    settings.share = Share { news: Duration::from_millis(1), ..Share::default() };
    let gate = Gate::start(&scene.server.base(), DOWNLOADS, Oddity::Held).await;
    let session = scene.through(&gate.base());
    let others = async {
        gate.first_was_answered().await;
        scene.trash_elsewhere("a.jpg").await;
    };
    let passing = async { tokio::join!(tablet.pass_with(&session, &settings), others).0 };
    let first =
        tokio::time::timeout(PATIENCE, Box::pin(passing)).await.expect("it does not wait for them").unwrap();
    assert_eq!((first.materialised, first.failed_count, first.has_more), (0, 0, true), "{first:?}");
    assert_eq!(scene.tree("Tablet"), tree_of([("a.jpg", 1), ("b.jpg", 2)]), "nothing is left behind");
    let second = tablet.pass_with(&scene.session, &settings).await.unwrap();
    assert_eq!((second.trashed_local, second.failed_count), (1, 0), "{second:?}");
    tablet.settle(&scene).await;
    scene.settle().await;
    assert_eq!((scene.tree("Tablet").len(), scene.vault().await.len()), (31, 31));
}

/// As of an agent and of a command: the second one would take what is on its way for what somebody left, and remove it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_has_one_pass_at_a_time() {
    let (scene, mut tablet) = Scene::with_some_to_come(10..12).await;
    let gate = Gate::start(&scene.server.base(), DOWNLOADS, Oddity::Held).await;
    let (session, settings, mut again) =
        (scene.through(&gate.base()), scene.settings.clone(), tablet.again());
    let catalog = tablet.catalog();
    let row = catalog.sync_folders().await.unwrap().remove(0);
    let others = async {
        gate.first_was_answered().await;
        let second = again.pass_with(&scene.session, &settings).await;
        assert!(catalog.is_passing(row.id));
        gate.release();
        second
    };
    assert!(!catalog.is_passing(row.id));
    let (first, second) = tokio::join!(tablet.pass_with(&session, &settings), others);
    assert!(!catalog.is_passing(row.id));
    let refused = second.unwrap_err();
    assert!(refused.is_busy() && refused.is_another_pass(), "{refused:?}");
    let told =
        format!("another program keeps this sync folder in step just now (process {},", std::process::id());
    assert!(refused.to_string().starts_with(&told), "{refused}");
    let first = first.unwrap();
    assert_eq!((first.materialised, first.failed_count), (2, 0), "{first:?}");
    assert!(!again.pass_with(&scene.session, &settings).await.unwrap().did_something());
    assert_eq!(scene.tree("Tablet"), tree_of([("10.jpg", 10), ("11.jpg", 11), ("a.jpg", 1), ("b.jpg", 2)]));
}
