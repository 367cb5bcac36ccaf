//! The feed into the catalog: one pass, page by page, from servers that have one ordered feed and from those that have not.

use crate::world::{BrokenLine, OpenLine, Person, Picture, StockLine, World};
use darkslide_client::albums::{FilesOfDeleted, create_album, delete_album, remove_from_album, rename_album};
use darkslide_client::catalog::{Catalog, CollectionRow, Feed, FileRow, TrashRow};
use darkslide_client::feed::live::News;
use darkslide_client::feed::{FeedSummary, pull};
use darkslide_client::keys::{collection_key, wrap_file_key};
use darkslide_client::session::Session;
use darkslide_client::trash::{purge_files, restore_from_trash, trash_files};
use darkslide_crypto::keys::FileKey;
use darkslide_crypto::stream::{StreamHeader, blob};
use darkslide_protocol::file::{CommitRequest, Metadata};
use darkslide_protocol::upload::ObjectReference;
use darkslide_protocol::{FileId, Opaque, Version};
use darkslide_server::config::RawConfig;
use darkslide_server::objects::BlobName;
use darkslide_server::store::batch::{BatchRequest, NewObject};
use darkslide_server::store::uploads::ObjectAddress;
use std::collections::BTreeMap;

/// All that a catalog mirrors.
type Mirror = (Vec<CollectionRow>, BTreeMap<(i64, i64), FileRow>, Vec<TrashRow>);

async fn mirror(catalog: &Catalog, files: &[FileId]) -> Mirror {
    let mut rows = BTreeMap::new();
    for file in files {
        for row in catalog.memberships(*file).await.unwrap() {
            rows.insert((row.id.0, row.collection.0), row);
        }
    }
    (catalog.collections().await.unwrap(), rows, catalog.trash().await.unwrap())
}

impl World {
    async fn catalog(&self, name: &str) -> Catalog {
        Catalog::open(&self.folder.path().join(format!("{name}.sqlite"))).await.unwrap()
    }

    /// Records files whose bytes nobody will ask for, a thousand at a time, each with a caption of so many letters.
    pub(crate) async fn record(
        &self,
        person: &Person,
        album: &CollectionRow,
        count: usize,
        caption: usize,
    ) -> Vec<FileId> {
        let key = collection_key(&person.session.keys, album).unwrap();
        let mut ids = Vec::new();
        let mut left = count;
        while left > 0 {
            let (mut objects, mut commits) = (Vec::new(), Vec::new());
            for _ in 0..left.min(1000) {
                let number = ids.len() + commits.len();
                let (original, thumbnail) = (new_object(person, 1000), new_object(person, 100));
                let request = recorded(album, &key, number, caption, &original, &thumbnail);
                objects.extend([original, thumbnail]);
                commits.push(request);
            }
            left -= commits.len();
            let batch = BatchRequest { objects: &objects, commits: &commits, thumbnails: &[] };
            let done = self.server.store.commit_batch(person.session.account, batch, i64::MAX / 2).await;
            for outcome in done.unwrap().commits {
                let darkslide_server::store::batch::Committed::Created(created) = outcome.unwrap() else {
                    panic!("every file is another")
                };
                ids.push(created.id);
            }
        }
        ids
    }
}

fn new_object(person: &Person, length: i64) -> NewObject {
    let at = ObjectAddress::generate(person.session.account);
    let blob = BlobName::generate(at.object, 0);
    NewObject {
        at,
        is_kept: true,
        blob,
        offset: 0,
        length,
        digest: "b3:00".to_owned(),
        etag: "00".to_owned(),
        mends: None,
    }
}

fn recorded(
    album: &CollectionRow,
    key: &darkslide_crypto::keys::CollectionKey,
    number: usize,
    caption: usize,
    original: &NewObject,
    thumbnail: &NewObject,
) -> CommitRequest {
    let file_key = FileKey::generate();
    let picture = Picture::new(&format!("IMG_{number:06}.jpg"), 3);
    let picture = picture.with("caption", "c".repeat(caption).into());
    let metadata = blob::seal(&file_key, picture.metadata.to_string().as_bytes());
    let wrapped = wrap_file_key(key, FileId(0), &file_key);
    let reference = |object: &NewObject| ObjectReference {
        object_key: object.at.key(),
        decryption_header: Opaque::encode(StreamHeader::generate().as_bytes()),
        size: None,
    };
    CommitRequest {
        id: None,
        collection_id: album.id,
        encrypted_key: wrapped.encrypted_key,
        key_decryption_nonce: wrapped.key_decryption_nonce,
        file: reference(original),
        thumbnail: reference(thumbnail),
        metadata: Metadata {
            encrypted_data: Some(Opaque::encode(metadata.ciphertext)),
            decryption_header: Opaque::encode(metadata.header.as_bytes()),
            size: 0,
        },
        magic_metadata: None,
        pub_magic_metadata: None,
        content_tag: None,
    }
}

fn counts(summary: &FeedSummary) -> (u64, u64, u64) {
    (summary.collections, summary.files, summary.trash)
}

/// The life of a small vault: albums made, renamed and deleted, files moved, trashed, restored and purged.
async fn live_a_little(world: &World, person: &Person, round: usize) -> Vec<FileId> {
    let (session, catalog) = (&person.session, &person.catalog);
    let mut files = Vec::new();
    for number in 0..4 {
        let picture = Picture::new(&format!("{round}-{number}.jpg"), 100 + number);
        files.push(person.put(&person.album, &picture).await);
    }
    let other = create_album(session, catalog, &format!("Album {round}")).await.unwrap();
    files.push(person.put(&other, &Picture::new(&format!("{round} other.jpg"), 50)).await);
    person.pull().await;
    rename_album(session, catalog, &person.album, &format!("Holidays {round}")).await.unwrap();
    remove_from_album(session, catalog, &person.album, &[files[0]]).await.unwrap();
    trash_files(session, catalog, &files[1..4]).await.unwrap();
    restore_from_trash(session, catalog, &files[1..2], None).await.unwrap();
    purge_files(session, catalog, &files[2..3]).await.unwrap();
    delete_album(session, catalog, &other, FilesOfDeleted::Trash).await.unwrap();
    assert!(world.server.store.version_of(session.account).await.unwrap() > Version(0));
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn both_feeds_make_the_same_catalog_and_either_goes_on_where_the_other_was() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let stock = ada.over(StockLine::start(world.address).await);
    let changing = world.catalog("changing").await;
    let mut files = Vec::new();
    for (round, session) in [&ada.session, &stock, &ada.session, &stock].into_iter().enumerate() {
        files.extend(live_a_little(&world, &ada, round).await);
        pull(session, &changing).await.unwrap();
        let (ordered, base) =
            (world.catalog(&format!("ordered {round}")).await, world.catalog(&format!("base {round}")).await);
        assert_eq!(pull(&ada.session, &ordered).await.unwrap().damaged, []);
        assert_eq!(pull(&stock, &base).await.unwrap().damaged, []);
        let expected = shown(mirror(&ordered, &files).await);
        assert_eq!(expected.2.len(), 2 * (round + 1));
        assert_eq!(shown(mirror(&base, &files).await), expected, "round {round}");
        assert_eq!(shown(mirror(&changing, &files).await), expected, "round {round}");
        assert_eq!(
            base.cursor(Feed::Account).await.unwrap(),
            Version(0),
            "the stock line hides the ordered feed"
        );
        assert_eq!(counts(&pull(session, &changing).await.unwrap()), (0, 0, 0));
    }
}

/// What a client shows. The base feed does not list what was in a deleted album, and a tombstone says no more than that.
fn shown((collections, mut files, trash): Mirror) -> Mirror {
    files.retain(|_, row| !row.deleted);
    (collections, files, trash)
}

/// Files of a vault that a new device reads: `DARKSLIDE_TEST_FEED_FILES`, or more than two pages of them.
fn feed_files() -> usize {
    let said = std::env::var("DARKSLIDE_TEST_FEED_FILES").ok();
    said.map_or(5600, |said| said.parse().expect("DARKSLIDE_TEST_FEED_FILES is a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_device_is_complete_in_one_pass_over_many_pages() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let other = create_album(&ada.session, &ada.catalog, "Other").await.unwrap();
    let all = feed_files();
    let mut files = world.record(&ada, &ada.album, all / 2, 0).await;
    files.extend(world.record(&ada, &other, all - all / 2, 0).await);
    let items = [(files[0], ada.album.id), (files[all - 1], other.id)];
    world.server.store.trash_files(ada.session.account, &items).await.unwrap();
    let new = world.catalog("new").await;
    let summary = pull(&ada.session, &new).await.unwrap();
    assert_eq!((counts(&summary), summary.damaged), ((2, all as u64, 2), vec![]));
    let base = world.catalog("base").await;
    pull(&ada.over(StockLine::start(world.address).await), &base).await.unwrap();
    assert_eq!(mirror(&new, &files).await, mirror(&base, &files).await);
    let end = world.server.store.version_of(ada.session.account).await.unwrap();
    assert_eq!(new.cursor(Feed::Account).await.unwrap(), end);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_pass_goes_on_behind_the_last_whole_page() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let mut files = world.record(&ada, &ada.album, 2500, 0).await;
    files.extend(world.record(&ada, &ada.album, 2500, 2000).await);
    // Enough for the first page, and for the second never, however often it is asked for.
    let line = BrokenLine::start(world.address, 4_000_000, 100).await;
    let new = world.catalog("new").await;
    let failure = pull(&ada.over(line.address), &new).await.unwrap_err();
    assert!(failure.is_transient(), "{failure}");
    let reached = new.cursor(Feed::Account).await.unwrap();
    let end = world.server.store.version_of(ada.session.account).await.unwrap();
    assert!(Version(0) < reached && reached < end);
    let rest = pull(&ada.session, &new).await.unwrap();
    assert_eq!(rest.files, 2500);
    let whole = world.catalog("whole").await;
    pull(&ada.session, &whole).await.unwrap();
    assert_eq!(mirror(&new, &files).await, mirror(&whole, &files).await);
}

/// News over this session, after the first, which is said at once.
async fn news(session: &Session) -> (News, Version) {
    let mut news = News::of(session);
    let first = news.next().await.unwrap();
    (news, first)
}

#[tokio::test(flavor = "multi_thread")]
async fn news_comes_with_every_change_of_the_vault() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let (mut news, mut seen) = news(&ada.session).await;
    assert_eq!(seen, world.server.store.version_of(ada.session.account).await.unwrap());
    for number in 0..3 {
        ada.put(&ada.album, &Picture::new(&format!("{number}.jpg"), 10)).await;
        let now = world.server.store.version_of(ada.session.account).await.unwrap();
        while seen < now {
            seen = news.next().await.unwrap();
        }
        assert_eq!(ada.pull().await.files, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn news_goes_on_over_a_line_that_breaks() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    // It breaks within the first answer, again and again, and then holds.
    let line = BrokenLine::start(world.address, 100, 6).await;
    let (mut news, mut seen) = news(&ada.over(line.address)).await;
    assert_eq!(line.breaks_left.load(std::sync::atomic::Ordering::SeqCst), 0);
    create_album(&ada.session, &ada.catalog, "Another").await.unwrap();
    let now = world.server.store.version_of(ada.session.account).await.unwrap();
    while seen < now {
        seen = news.next().await.unwrap();
    }
}

/// Whoever waits for a server hears that it is back, also if nothing has changed there.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_back_is_news() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let line = OpenLine::start(world.address).await;
    let (mut news, first) = news(&ada.over(line.address)).await;
    line.open.send_replace(false);
    let waiting = tokio::spawn(async move { news.next().await.unwrap() });
    line.refused.notified().await;
    line.open.send_replace(true);
    let patience = std::time::Duration::from_mins(1);
    let again = tokio::time::timeout(patience, waiting).await.expect("it is said that it is back").unwrap();
    assert_eq!(again, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn news_ends_with_the_session_and_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start_with(folder, RawConfig { idle_timeout: Some(1), ..RawConfig::default() }).await;
    let ada = world.person("ada").await;
    let mut missing = News::of(&ada.over(StockLine::start(world.address).await));
    assert!(missing.next().await.unwrap_err().is_missing());
    let (mut news, _) = news(&ada.session).await;
    ada.session.log_out().await.unwrap();
    assert!(news.next().await.unwrap_err().is_signed_out());
}
