//! Thumbnails follow their pictures, also those of which it is noted already that both sides have them: what this client does to a file itself
//! neither restores it nor edits it, and whatever comes in between, each picture gets its thumbnail in the end.

use crate::gate::{Gate, Oddity};
use crate::scene::{Scene, picture};
use darkslide_client::FileId;
use darkslide_client::catalog::{Catalog, FileFilter, FileRow};
use darkslide_client::feed;
use darkslide_client::folder::reconcile::Direction;
use darkslide_client::folder::{Memories, Share};
use darkslide_client::thumbnail::Thumbnailer;
use darkslide_client::versions::{list_versions, restore_version};
use darkslide_e2e::bitmap::bitmap;
use std::fs;
use std::time::Duration;

/// Bytes of the ciphertext of what stands in for a thumbnail.
const PLACEHOLDER_SIZE: i64 = 890;

/// What does not happen by then does not happen.
const PATIENCE: Duration = Duration::from_mins(1);

/// Pixels of a picture's side.
pub(crate) const SIDE: u32 = 120;

/// Waits until so many pictures are noted.
async fn noted(catalog: Catalog, folder: i64, count: usize) {
    let noted = async {
        while catalog.sync_counts(folder).await.unwrap().0 < i64::try_from(count).unwrap() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, noted).await.expect("it is noted while thumbnails are made");
}

impl Scene {
    /// A folder whose pictures get thumbnails, and one picture that is in step, thumbnail and all.
    async fn with_thumbnails(direction: Direction) -> Self {
        let mut scene = Self::bare().await;
        scene.add("Phone", direction, None).await;
        scene.settings.sending.thumbnailer = Thumbnailer::without_tools();
        scene.paint("old.bmp", 1);
        assert_eq!(scene.settle().await.in_step, 1);
        assert_eq!(scene.due().await, Vec::<String>::new());
        scene.settings.share = Share { news: Duration::from_millis(1), ..Share::default() };
        scene
    }

    fn paint(&self, name: &str, colour: u8) {
        fs::write(self.path(&format!("Phone/{name}")), bitmap(SIDE, colour)).unwrap();
    }

    fn has(&self, name: &str) -> bool {
        self.path(&format!("Phone/{name}")).exists()
    }

    /// The paths that wait for a thumbnail.
    async fn due(&self) -> Vec<String> {
        let due = self.catalog.thumbnails_due(0, 1000).await.unwrap();
        due.into_iter().map(|row| String::from_utf8(row.path).unwrap()).collect()
    }

    /// One pass, in which a call of a path, counted from 0, waits until so many pictures are noted.
    async fn pass_noting(&mut self, path: &str, call: u64, count: usize) {
        let (folder, catalog) = (self.row("Phone").await.id, self.catalog.clone());
        let happens = Box::new(move || Box::pin(noted(catalog.clone(), folder, count)) as _);
        let gate = Gate::start(&self.server.base(), path, Oddity::Before(call, happens)).await;
        let session = self.through(&gate.base());
        self.pass_with(&session, "Phone").await.unwrap();
        assert!(gate.calls() > call, "it was to wait for that");
    }

    /// One pass that sends one picture, and is killed when it has noted so many, before the new one has its thumbnail.
    async fn pass_killed_before_thumbnails(&mut self, count: usize) {
        let never = Box::new(|| Box::pin(std::future::pending()) as _);
        let gate = Gate::start(&self.server.base(), "/v1/batch", Oddity::Before(1, never)).await;
        let (session, folder) = (self.through(&gate.base()), self.row("Phone").await.id);
        let noted = noted(self.catalog.clone(), folder, count);
        tokio::select! {
            report = self.pass_with(&session, "Phone") => panic!("it waits for the thumbnail: {report:?}"),
            () = noted => {}
        }
        // As after an agent that ended there.
        self.memories = Memories::default();
    }

    async fn rows(&self) -> Vec<FileRow> {
        feed::pull(&self.session, &self.elsewhere()).await.unwrap();
        self.elsewhere().files(&FileFilter::default()).await.unwrap()
    }

    /// Each file of the vault has a thumbnail of its own, and none is said to have none.
    async fn all_have_thumbnails(&self) {
        for row in self.rows().await {
            assert_ne!(row.thumbnail_size, PLACEHOLDER_SIZE, "{row:?}");
            let is_marked = row.public_metadata.as_deref().is_some_and(|text| text.contains("noThumb"));
            assert!(!is_marked, "{row:?}");
        }
    }

    async fn version(&self, file: FileId) -> i64 {
        self.rows().await.into_iter().find(|row| row.id == file).unwrap().version.0
    }
}

/// The version that was noted is older than the thumbnail, or than what says that there will be none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_of_what_got_its_thumbnail_after_it_was_noted_arrives() {
    for direction in [Direction::Both, Direction::Up] {
        let mut scene = Scene::with_thumbnails(direction).await;
        scene.paint("a.bmp", 2);
        scene.pass_noting("/v1/batch", 1, 2).await;
        // Nobody decodes this one.
        fs::write(scene.path("Phone/b.jpg"), picture(9)).unwrap();
        scene.pass_noting("/files/public-magic-metadata", 0, 3).await;
        assert!(scene.due().await.is_empty());
        for name in ["a.bmp", "b.jpg"] {
            scene.remove(&format!("Phone/{name}"));
        }
        let report = scene.settle().await;
        assert_eq!((report.trashed_remote, report.materialised), (2, 0), "{direction:?}: {report:?}");
        assert_eq!(scene.vault_trash().await, ["a.bmp", "b.jpg"], "{direction:?}");
        assert_eq!((scene.has("a.bmp"), scene.has("b.jpg"), scene.has("old.bmp")), (false, false, true));
    }
}

/// What is missed gets none, nor is it said that it has none; the others get theirs, whatever their names are now, although nothing is sent with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_thumbnail_when_the_agent_is_killed_can_be_deleted_and_renamed() {
    for is_sending in [true, false] {
        let mut scene = Scene::with_thumbnails(Direction::Both).await;
        for (count, name) in (2..).zip(["a.bmp", "b.bmp", "c.bmp", "d.bmp"]) {
            scene.paint(name, 10 + count);
            scene.pass_killed_before_thumbnails(count.into()).await;
        }
        assert_eq!(scene.due().await.len(), 4);
        let file = scene.file("a.bmp").await;
        let before = scene.version(file).await;
        scene.remove("Phone/a.bmp");
        scene.rename("Phone/b.bmp", "Phone/sorted/b.bmp");
        if is_sending {
            scene.paint("new.bmp", 20);
            // A copy, and then the first one goes.
            fs::copy(scene.path("Phone/c.bmp"), scene.path("Phone/copy.bmp")).unwrap();
            scene.remove("Phone/c.bmp");
        }
        let first = scene.pass_over("Phone").await.unwrap();
        assert_eq!(scene.version(file).await, before, "nobody has touched it: {first:?}");
        let report = scene.settle().await;
        assert_eq!((report.trashed_remote, report.materialised), (1, 0), "{report:?}");
        assert_eq!(scene.vault_trash().await, ["a.bmp"]);
        assert_eq!(scene.due().await, ["a.bmp"], "it may come back out of the trash");
        scene.all_have_thumbnails().await;
    }
}

/// What is trashed elsewhere while thumbnails are made leaves the folder, and they are made all the same, though nothing is sent with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trash_elsewhere_ends_no_thumbnail() {
    let mut scene = Scene::with_thumbnails(Direction::Both).await;
    scene.paint("a.bmp", 2);
    scene.pass_killed_before_thumbnails(2).await;
    let file = scene.file("old.bmp").await;
    let gate = Gate::start(&scene.server.base(), "/v1/batch", Oddity::Before(0, scene.trashes(file))).await;
    let session = scene.through(&gate.base());
    let first = scene.pass_with(&session, "Phone").await.unwrap();
    assert_eq!((first.uploaded, first.failed_count, gate.calls()), (0, 0, 1), "{first:?}");
    let report = scene.settle().await;
    assert_eq!((report.trashed_local, report.failed_count), (1, 0), "{report:?}");
    assert_eq!((scene.due().await.len(), scene.has("old.bmp")), (0, false));
    scene.all_have_thumbnails().await;
}

/// Others who take it out of the trash, or edit it, want it, and be it what it was before in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_restored_or_edited_elsewhere_comes_back_whatever_thumbnails_did() {
    for change in ["restore", "edit"] {
        let mut scene = Scene::with_thumbnails(Direction::Both).await;
        scene.paint("a.bmp", 2);
        scene.pass_noting("/v1/batch", 1, 2).await;
        let file = scene.file("a.bmp").await;
        let mut tablet = scene.second_device("Tablet", "Phone").await;
        tablet.settle(&scene).await;
        scene.remove("Phone/a.bmp");
        if change == "restore" {
            scene.trash_elsewhere("a.bmp").await;
            scene.restore_elsewhere(file).await;
        } else {
            fs::write(scene.path("Tablet/a.bmp"), bitmap(SIDE, 7)).unwrap();
            tablet.settle(&scene).await;
            let earlier = list_versions(&scene.session, &scene.elsewhere(), file).await.unwrap()[0].version;
            restore_version(&scene.session, file, earlier).await.unwrap();
        }
        let report = scene.settle().await;
        assert_eq!((report.trashed_remote, report.materialised), (0, 1), "{change}: {report:?}");
        assert_eq!(fs::read(scene.path("Phone/a.bmp")).unwrap(), bitmap(SIDE, 2), "{change}");
        assert!(scene.vault_trash().await.is_empty(), "{change}");
    }
}

/// However little time there is for them between two looks, and however long one takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thumbnails_that_were_left_over_are_made_although_there_is_no_time() {
    let mut scene = Scene::with_thumbnails(Direction::Both).await;
    scene.paint("a.bmp", 2);
    scene.pass_killed_before_thumbnails(2).await;
    let news = Duration::from_hours(1);
    scene.settings.share = Share { looks: 0, thumbnails: Duration::ZERO, news, ..Share::default() };
    assert_eq!(scene.due().await, ["a.bmp"]);
    scene.settle().await;
    assert!(scene.due().await.is_empty());
    scene.all_have_thumbnails().await;
}
