//! Thumbnails that are on their way while other devices change what they are of, or where it is.

use crate::gate::{Gate, Oddity};
use crate::scene::Scene;
use crate::thumbnails::SIDE;
use darkslide_client::FileId;
use darkslide_client::albums::{add_to_album, create_album, find_album, remove_from_album};
use darkslide_client::catalog::{Catalog, FileRow, Spans, UploadedRows};
use darkslide_client::feed;
use darkslide_client::library::raw;
use darkslide_client::session::Session;
use darkslide_client::thumbnail::Thumbnailer;
use darkslide_client::versions::{files_named, list_versions, restore_version};
use darkslide_e2e::bitmap::bitmap;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

/// Where thumbnails go, and what is small enough to go with others.
const BATCHES: &str = "/v1/batch";

/// What another device does, told its own session and catalog.
fn elsewhere<F>(
    scene: &Scene,
    does: impl Fn(Arc<Session>, Catalog) -> F + Send + Sync + 'static,
) -> Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (session, catalog) = (Arc::clone(&scene.session), scene.elsewhere());
    Box::new(move || does(Arc::clone(&session), catalog.clone()).boxed())
}

impl Scene {
    /// With one folder, and thumbnails; another device has an older album beside it.
    async fn with_thumbnails_and_an_album() -> Self {
        let mut scene = Self::new().await;
        create_album(&scene.session, &scene.elsewhere(), "Best").await.unwrap();
        scene.settings.sending.thumbnailer = Thumbnailer::without_tools();
        scene
    }

    fn draw(&self, path: &str, colour: u8) {
        fs::write(self.path(path), bitmap(SIDE, colour)).unwrap();
    }

    /// More of them than are compared with the server in every pull, all newer than what there is.
    async fn draw_others(&mut self) {
        for number in 0..5 {
            self.draw(&format!("Phone/b{number}.bmp"), 100 + number);
        }
        self.settle().await;
    }

    /// `a.bmp`, as another device has just heard of it.
    async fn the_picture(&self) -> FileRow {
        self.there("a.bmp").await
    }

    async fn there(&self, title: &str) -> FileRow {
        let file = self.file(title).await;
        let mut rows = self.elsewhere().memberships(file).await.unwrap();
        rows.retain(|row| !row.deleted);
        let [row] = rows.try_into().unwrap();
        row
    }

    /// The albums that a device has a file in.
    async fn albums(&self, catalog: &Catalog, file: FileId) -> Vec<String> {
        let mut names = Vec::new();
        for row in catalog.memberships(file).await.unwrap().into_iter().filter(|row| !row.deleted) {
            names.push(catalog.collection(row.collection).await.unwrap().unwrap().name);
        }
        names
    }
}

fn is_marked(row: &FileRow) -> bool {
    row.public_metadata.as_deref().is_some_and(|text| text.contains(r#""noThumb":true"#))
}

/// Another device moves `a.bmp` from one album to another.
async fn move_away(session: &Session, catalog: &Catalog) {
    feed::pull(session, catalog).await.unwrap();
    let files = files_named(catalog, "a.bmp").await.unwrap();
    let best = find_album(session, catalog, "Best").await.unwrap();
    add_to_album(session, catalog, &best, &files).await.unwrap();
    feed::pull(session, catalog).await.unwrap();
    let phone = find_album(session, catalog, "Phone").await.unwrap();
    remove_from_album(session, catalog, &phone, &files).await.unwrap();
}

async fn revert(session: &Session, catalog: &Catalog) {
    feed::pull(session, catalog).await.unwrap();
    let [file] = files_named(catalog, "a.bmp").await.unwrap().try_into().unwrap();
    let earlier = list_versions(session, catalog, file).await.unwrap()[0].version;
    restore_version(session, file, earlier).await.unwrap();
}

/// The place that it was moved away from is over for this device, too, although that was told at an earlier version than the thumbnail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_that_is_moved_before_its_thumbnail_is_where_it_was_moved_to() {
    let mut scene = Scene::with_thumbnails_and_an_album().await;
    scene.draw("Phone/a.bmp", 1);
    scene.settle().await;
    scene.draw_others().await;
    // As a killed run leaves them.
    let (mut due, mut assets) = (HashMap::new(), Vec::new());
    for asset in scene.catalog.assets(&raw(&scene.path("Phone"))).await.unwrap() {
        let [row] = scene.catalog.memberships(asset.file.unwrap()).await.unwrap().try_into().unwrap();
        due.insert(row.id, row.object_header);
        assets.push(asset);
    }
    let rows = UploadedRows { files: Vec::new(), assets, thumbnails_due: due };
    scene.catalog.record_uploads(&rows, &mut Spans::default()).await.unwrap();
    // No decoder reads this one.
    scene.write("Phone/new.jpg", 9);
    let moves = elsewhere(&scene, |session, catalog| async move { move_away(&session, &catalog).await });
    // The first brings the new one, the second the thumbnails.
    let gate = Gate::start(&scene.server.base(), BATCHES, Oddity::Before(1, moves)).await;
    let session = scene.through(&gate.base());
    assert_eq!(scene.pass_with(&session, "Phone").await.unwrap().uploaded, 1);
    assert_eq!((gate.calls(), scene.catalog.thumbnails_due(0, 9).await.unwrap()), (2, Vec::new()));
    let summary = feed::pull(&scene.session, &scene.catalog).await.unwrap();
    let there = scene.the_picture().await;
    assert_eq!(
        (scene.albums(&scene.catalog, there.id).await, summary.set_back),
        (vec!["Best".to_owned()], None)
    );
    // It has the thumbnail all the same.
    let here = scene.catalog.own_memberships(scene.session.account, there.id).await.unwrap();
    assert_eq!((&here[0].thumbnail_header, here[0].version), (&there.thumbnail_header, there.version));
}

/// Catalogs of an earlier release have places that are over and look newer than their end. Everything is read once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_an_earlier_release_took_for_newer_than_its_end_ends() {
    let mut scene = Scene::with_thumbnails_and_an_album().await;
    scene.draw("Phone/a.bmp", 1);
    scene.settle().await;
    let (file, session) = (scene.file("a.bmp").await, Arc::clone(&scene.session));
    move_away(&session, &scene.elsewhere()).await;
    scene.settle().await;
    // What was heard of last is compared with the server anyway.
    scene.draw_others().await;
    let path = scene.path("catalog.db");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    for text in [
        "UPDATE files SET deleted = 0, version = (SELECT max(version) FROM files AS o WHERE o.file = files.file)
         WHERE deleted = 1",
        "ALTER TABLE thumbnails_due DROP COLUMN original",
        "DELETE FROM _sqlx_migrations WHERE version = 27",
    ] {
        sqlx::query(text).execute(&pool).await.unwrap();
    }
    pool.close().await;
    feed::pull(&session, &scene.catalog).await.unwrap();
    assert_eq!(scene.albums(&scene.catalog, file).await.len(), 2);
    let upgraded = Catalog::open(&path).await.unwrap();
    let summary = feed::pull(&session, &upgraded).await.unwrap();
    assert_eq!((scene.albums(&upgraded, file).await, summary.set_back), (vec!["Best".to_owned()], None));
    scene.the_picture().await;
    let known = async |catalog: &Catalog| {
        let rows = catalog.memberships(file).await.unwrap();
        rows.into_iter().map(|row| (row.collection, row.version, row.deleted)).collect::<Vec<_>>()
    };
    assert_eq!(known(&upgraded).await, known(&scene.elsewhere()).await);
    // Once, and nothing is done in the vault because of it.
    assert_eq!(feed::pull(&session, &upgraded).await.unwrap().set_back, None);
    scene.settle().await;
    assert_eq!((scene.vault().await.len(), scene.vault_trash().await.len()), (6, 0));
}

/// The thumbnail of an edit comes when another device has taken the edit back: the picture keeps the one that it had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thumbnail_of_what_a_picture_is_no_longer_is_refused() {
    let mut scene = Scene::with_thumbnails_and_an_album().await;
    scene.draw("Phone/a.bmp", 1);
    scene.settle().await;
    let before = scene.the_picture().await;
    scene.draw("Phone/a.bmp", 2);
    let reverts = elsewhere(&scene, |session, catalog| async move { revert(&session, &catalog).await });
    let gate = Gate::start(&scene.server.base(), BATCHES, Oddity::Before(1, reverts)).await;
    let session = scene.through(&gate.base());
    assert_eq!(scene.pass_with(&session, "Phone").await.unwrap().uploaded, 1);
    assert_eq!(gate.calls(), 2, "the contents, and the thumbnail");
    let after = scene.the_picture().await;
    assert_eq!((after.id, after.content_hash), (before.id, before.content_hash));
    assert_eq!(after.thumbnail_header, before.thumbnail_header);
    assert!(!is_marked(&after));
    assert_eq!(scene.catalog.thumbnails_due(0, 9).await.unwrap(), []);
}

/// The device does not hear of its own edit before the thumbnail is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_that_the_feed_has_not_told_has_its_thumbnail() {
    let mut scene = Scene::with_thumbnails_and_an_album().await;
    scene.draw("Phone/a.bmp", 1);
    // No decoder reads this one.
    scene.write("Phone/b.jpg", 1);
    scene.settle().await;
    let (before, without) = (scene.the_picture().await, scene.there("b.jpg").await);
    scene.draw("Phone/a.bmp", 2);
    // The first pull is the look's, the second the one before anything is sent, the third the edit's.
    let gate = Gate::start(&scene.server.base(), "/v1/changes", Oddity::AwayFrom(2)).await;
    let session = scene.through(&gate.base());
    drop(scene.pass_with(&session, "Phone").await);
    assert!(gate.calls() > 2);
    let after = scene.the_picture().await;
    assert_eq!((after.id, after.content_hash == before.content_hash), (before.id, false));
    assert!(is_marked(&without) && !is_marked(&after));
    assert_ne!(after.thumbnail_size, without.thumbnail_size, "it has the placeholder");
    scene.settle().await;
    assert_eq!(scene.catalog.thumbnails_due(0, 9).await.unwrap(), []);
}

/// A killed run left a thumbnail due of what another device has made something else since, with a thumbnail of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_device_made_of_a_picture_is_not_marked_as_having_no_thumbnail() {
    let mut scene = Scene::with_thumbnails_and_an_album().await;
    scene.draw("Phone/a.bmp", 1);
    scene.settle().await;
    scene.draw("Phone/a.bmp", 2);
    scene.settle().await;
    let edited = scene.the_picture().await;
    let root = raw(&scene.path("Phone"));
    let asset = scene.catalog.asset(&root, b"a.bmp").await.unwrap().unwrap();
    let due = [(edited.id, edited.object_header.clone())].into();
    let rows = UploadedRows { files: Vec::new(), assets: vec![asset], thumbnails_due: due };
    scene.catalog.record_uploads(&rows, &mut Spans::default()).await.unwrap();
    revert(&scene.session, &scene.elsewhere()).await;
    let before = scene.the_picture().await;
    assert_ne!(before.thumbnail_header, edited.thumbnail_header);
    scene.draw("Phone/b.bmp", 3);
    scene.settle().await;
    let after = scene.the_picture().await;
    assert_eq!((after.thumbnail_header.clone(), is_marked(&after)), (before.thumbnail_header, false));
    assert_eq!(scene.catalog.thumbnails_due(0, 9).await.unwrap(), []);
}
