//! The catalog's promises: later versions win, tombstones keep what was known, key and header go with their content. It is
//! long because all of them are about rows that the same few functions make.

use super::*;
use crate::folder::reconcile::{Base, Deleted, Direction, DiskId, Remote, Synced};
use crate::folder::scan::Stat;
use crate::library::AlbumRule;
use crate::library::selection::Reach;
use darkslide_crypto::ContentHash;
use darkslide_crypto::keys::PublicKey;
use darkslide_protocol::collection::CollectionType;
use darkslide_protocol::{AccountId, CollectionId, FileId, ObjectKey, Opaque, Version};
use std::slice;

pub(super) const OWNER: AccountId = AccountId(7);

pub(super) async fn catalog() -> (tempfile::TempDir, Catalog) {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&folder.path().join("deep/catalog.db")).await.unwrap();
    (folder, catalog)
}

pub(super) fn collection(id: i64, name: &str, version: i64) -> CollectionRow {
    CollectionRow {
        id: CollectionId(id),
        owner: OWNER,
        name: name.into(),
        kind: CollectionType::Album,
        encrypted_key: Opaque("key".into()),
        key_nonce: Some(Opaque("nonce".into())),
        version: Version(version),
        deleted: false,
    }
}

pub(super) fn file(id: i64, collection: i64, version: i64) -> FileRow {
    FileRow {
        id: FileId(id),
        collection: CollectionId(collection),
        owner: OWNER,
        encrypted_key: Opaque("key".into()),
        key_nonce: Opaque("nonce".into()),
        title: Some("a.jpg".into()),
        content_hash: Some(ContentHash::of(b"a")),
        kind: 0,
        taken: 5,
        modified: 6,
        object_size: 100,
        thumbnail_size: 10,
        object_header: Opaque("header".into()),
        thumbnail_header: Opaque("header".into()),
        metadata: Some("{}".into()),
        public_metadata: None,
        private_metadata: None,
        version: Version(version),
        deleted: false,
    }
}

fn trashed(id: i64, version: i64) -> TrashRow {
    TrashRow {
        file: FileId(id),
        collection: CollectionId(1),
        encrypted_key: Opaque("key".into()),
        key_nonce: Opaque("nonce".into()),
        title: None,
        content_hash: None,
        object_size: 0,
        trashed_at: 50,
        delete_by: 80,
        restored: false,
        purged: true,
        version: Version(version),
    }
}

fn asset(path: &[u8], state: AssetState) -> AssetRow {
    AssetRow {
        root: b"/pictures".to_vec(),
        path: path.to_vec(),
        fingerprint: Fingerprint { size: u64::MAX, modified_ns: -1, inode: 1 << 63 },
        motion: Some((b"caf\xe9.mov".to_vec(), Fingerprint { size: 1, modified_ns: 2, inode: 3 })),
        album: DeviceAlbumKey { root: b"/pictures".to_vec(), folder: b"x".to_vec() },
        content_hash: Some(ContentHash::of(b"a")),
        file: Some(FileId(1)),
        state,
        reason: None,
        first_seen: 10,
        last_seen: 20,
        failing: None,
    }
}

#[tokio::test]
async fn a_page_and_its_cursor_are_written_together() {
    let (_folder, catalog) = catalog().await;
    for feed in [Feed::Collections, Feed::Trash, Feed::Files(CollectionId(1))] {
        assert_eq!(catalog.cursor(feed).await.unwrap(), Version(0));
    }
    catalog.apply_collections(&[collection(1, "One", 3)], Version(3)).await.unwrap();
    catalog.apply_files(CollectionId(1), &[file(1, 1, 4)], Version(4)).await.unwrap();
    catalog.apply_trash(&[trashed(2, 5)], Version(5)).await.unwrap();
    catalog.set_cursor(Feed::Trash, Version(6)).await.unwrap();
    for (feed, version) in [(Feed::Collections, 3), (Feed::Files(CollectionId(1)), 4), (Feed::Trash, 6)] {
        assert_eq!(catalog.cursor(feed).await.unwrap(), Version(version));
    }
    assert_eq!(catalog.cursor(Feed::Files(CollectionId(2))).await.unwrap(), Version(0));
    assert_eq!(catalog.collections().await.unwrap(), [collection(1, "One", 3)]);
    assert_eq!(catalog.files(&FileFilter::default()).await.unwrap(), [file(1, 1, 4)]);
}

#[tokio::test]
async fn a_page_of_the_ordered_feed_is_written_whole_and_vouches_for_every_feed() {
    let (_folder, catalog) = catalog().await;
    // More than one statement writes, and not a multiple of that.
    let files: Vec<FileRow> = (1..=230).map(|id| file(id, 1, 10 + id)).collect();
    let rows = ChangedRows {
        collections: vec![collection(1, "One", 300)],
        files: files.clone(),
        trash: vec![trashed(230, 301), trashed(999, 302)],
    };
    for _ in 0..2 {
        catalog.apply_changes(&rows, Feed::Account, Version(302)).await.unwrap();
        assert_eq!(catalog.files(&FileFilter::default()).await.unwrap(), files);
        let purged = catalog.trashed_with_content(&ContentHash::of(b"a")).await.unwrap();
        let named: Vec<_> = purged.iter().map(|row| (row.file, row.title.as_deref())).collect();
        assert_eq!(named, [(FileId(230), Some("a.jpg"))], "a purged file's name is its membership's");
    }
    for feed in [Feed::Account, Feed::Collections, Feed::Trash, Feed::Files(CollectionId(1))] {
        assert_eq!(catalog.cursor(feed).await.unwrap(), Version(302));
    }
    catalog.set_cursor(Feed::Trash, Version(400)).await.unwrap();
    assert_eq!(catalog.cursor(Feed::Trash).await.unwrap(), Version(400));
    assert_eq!(catalog.cursor(Feed::Account).await.unwrap(), Version(302), "but none for it");
}

#[tokio::test]
async fn an_earlier_version_never_replaces_a_later_one() {
    let (_folder, catalog) = catalog().await;
    for row in [collection(1, "new", 5), collection(1, "old", 4)] {
        catalog.put_collection(&row).await.unwrap();
    }
    for row in [file(1, 1, 5), FileRow { deleted: true, ..file(1, 1, 4) }] {
        catalog.put_file(&row).await.unwrap();
    }
    assert_eq!(catalog.collection(CollectionId(1)).await.unwrap().unwrap().name, "new");
    assert!(!catalog.memberships(FileId(1)).await.unwrap()[0].deleted);
}

/// An answer that was lost came at last, and another device had deleted meanwhile what it tells of.
#[tokio::test]
async fn what_was_made_does_not_undo_a_tombstone_of_the_same_version() {
    let (_folder, catalog) = catalog().await;
    let gone = FileRow { deleted: true, ..file(1, 1, 4) };
    let made = || UploadedRows { files: vec![file(1, 1, 4)], ..UploadedRows::default() };
    let deleted = async || catalog.memberships(FileId(1)).await.unwrap()[0].deleted;
    catalog.apply_files(CollectionId(1), slice::from_ref(&gone), Version(4)).await.unwrap();
    catalog.record_uploads(&made(), &mut Spans::default()).await.unwrap();
    assert!(deleted().await, "the feed came first");
    let (_folder, catalog) = self::catalog().await;
    let deleted = async || catalog.memberships(FileId(1)).await.unwrap()[0].deleted;
    catalog.record_uploads(&made(), &mut Spans::default()).await.unwrap();
    assert!(!deleted().await);
    catalog.apply_files(CollectionId(1), &[gone], Version(4)).await.unwrap();
    assert!(deleted().await, "the answer came first");
}

#[tokio::test]
async fn tombstones_keep_what_was_known() {
    let (_folder, catalog) = catalog().await;
    let content = ContentHash::of(b"a");
    catalog.put_file(&file(1, 1, 4)).await.unwrap();
    let gone = FileRow { title: None, content_hash: None, metadata: None, deleted: true, ..file(1, 1, 5) };
    catalog.put_file(&gone).await.unwrap();
    catalog.apply_trash(&[trashed(1, 6)], Version(6)).await.unwrap();
    let membership = &catalog.files_with_content(OWNER, &content).await.unwrap()[0];
    assert_eq!((membership.title.as_deref(), membership.deleted), (Some("a.jpg"), true));
    let trashed = &catalog.trashed_with_content(&content).await.unwrap()[0];
    assert_eq!((trashed.title.as_deref(), trashed.purged), (Some("a.jpg"), true));
    assert_eq!(catalog.trash().await.unwrap(), []);
    catalog.mark_untrashed(FileId(1)).await.unwrap();
    assert_eq!(catalog.trashed_with_content(&content).await.unwrap(), []);
}

#[tokio::test]
async fn what_a_deleted_collection_held_counts_as_tombstones() {
    let (_folder, catalog) = catalog().await;
    catalog.put_collection(&CollectionRow { deleted: true, ..collection(1, "One", 3) }).await.unwrap();
    catalog.put_file(&file(1, 1, 2)).await.unwrap();
    assert!(catalog.files_with_content(OWNER, &ContentHash::of(b"a")).await.unwrap()[0].deleted);
    assert_eq!(catalog.files(&FileFilter::default()).await.unwrap(), []);
    assert_eq!(catalog.files_with_content(AccountId(8), &ContentHash::of(b"a")).await.unwrap(), []);
}

#[tokio::test]
async fn filters() {
    let (_folder, catalog) = catalog().await;
    for id in [1, 2] {
        catalog.put_collection(&collection(id, "One", 3)).await.unwrap();
    }
    let late = FileRow { title: Some("Beach.JPG".into()), taken: 9, ..file(2, 2, 2) };
    for row in [file(1, 1, 2), late] {
        catalog.put_file(&row).await.unwrap();
    }
    let all = FileFilter::default;
    for (filter, expected) in [
        (all(), vec![1, 2]),
        (FileFilter { collection: Some(CollectionId(2)), ..all() }, vec![2]),
        (FileFilter { file: Some(FileId(1)), ..all() }, vec![1]),
        (FileFilter { taken_from: Some(9), ..all() }, vec![2]),
        (FileFilter { taken_until: Some(9), ..all() }, vec![1]),
        (FileFilter { title_contains: Some("beach".into()), ..all() }, vec![2]),
        (FileFilter { title_contains: Some("%".into()), ..all() }, vec![]),
    ] {
        let found: Vec<_> = catalog.files(&filter).await.unwrap().iter().map(|row| row.id.0).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn assets_come_back_as_they_went() {
    let (_folder, catalog) = catalog().await;
    let row = asset(b"caf\xe9.heic", AssetState::BackedUp);
    catalog.put_asset(&asset(b"caf\xe9.heic", AssetState::Blocked)).await.unwrap();
    catalog.put_asset(&row).await.unwrap();
    assert_eq!(catalog.assets(b"/pictures").await.unwrap(), std::slice::from_ref(&row));
    for path in [&b"caf\xe9.heic"[..], b"caf\xe9.mov"] {
        assert_eq!(catalog.asset(b"/pictures", path).await.unwrap().as_ref(), Some(&row));
    }
    assert_eq!(catalog.asset(b"/elsewhere", b"caf\xe9.heic").await.unwrap(), None);
    assert_eq!(catalog.asset_roots().await.unwrap(), [b"/pictures"]);
    assert_eq!(catalog.asset_counts().await.unwrap(), [(AssetState::BackedUp, 1)]);
    // A file that was renamed is no second one.
    catalog.put_asset(&asset(b"tea.heic", AssetState::BackedUp)).await.unwrap();
    for path in [&b"first.heic"[..], b"second.heic"] {
        catalog.put_asset(&asset(path, AssetState::Blocked)).await.unwrap();
    }
    let counts = catalog.asset_counts().await.unwrap();
    assert_eq!(counts, [(AssetState::BackedUp, 1), (AssetState::Blocked, 2)]);
    // What is gone is not on this device, whatever the vault has of it.
    let gone = [b"first.heic".to_vec(), b"tea.heic".to_vec()];
    catalog.mark_absent(b"/pictures", &gone, 20).await.unwrap();
    let counts = catalog.asset_counts().await.unwrap();
    assert_eq!(counts, [(AssetState::BackedUp, 1), (AssetState::Blocked, 1)]);
    catalog.mark_absent(b"/pictures", &[b"caf\xe9.heic".to_vec()], 20).await.unwrap();
    assert_eq!(catalog.asset_counts().await.unwrap(), [(AssetState::Blocked, 1)]);
}

#[tokio::test]
async fn an_unreadable_moment_does_not_make_an_old_picture_a_new_one() {
    let (_folder, catalog) = catalog().await;
    let row = asset(b"a.heic", AssetState::BackedUp);
    catalog.put_asset(&row).await.unwrap();
    let unread =
        AssetRow { content_hash: None, file: None, first_seen: 30, ..asset(b"a.heic", AssetState::Blocked) };
    for _ in 0..2 {
        catalog.put_asset(&unread).await.unwrap();
    }
    let content = row.content_hash.unwrap();
    let nowhere = Fingerprint { inode: 0, ..row.fingerprint };
    let seen =
        catalog.first_seen(&content, b"/pictures", b"a.heic", &nowhere, Came::default()).await.unwrap();
    assert_eq!(seen, Some(10));
    assert_eq!(catalog.first_had(&content).await.unwrap(), Some(10));
    assert_eq!(catalog.first_had(&ContentHash::of(b"b")).await.unwrap(), None);
    let kept = catalog.asset(b"/pictures", b"a.heic").await.unwrap().unwrap();
    assert_eq!((kept.state, kept.file), (AssetState::Blocked, row.file));
    // Other content at the same path is another picture.
    let edited = AssetRow { content_hash: Some(ContentHash::of(b"b")), first_seen: 40, ..row };
    catalog.put_asset(&edited).await.unwrap();
    assert_eq!(catalog.asset(b"/pictures", b"a.heic").await.unwrap(), Some(edited));
}

#[tokio::test]
async fn what_fails_as_it_is_fails_since_it_did_first() {
    let (_folder, catalog) = catalog().await;
    let plain = AssetRow { motion: None, ..asset(b"a.heic", AssetState::Blocked) };
    let failed = |at: i64| AssetRow { failing: Some(Failing { since: at, last: at }), ..plain.clone() };
    let edited = |at| AssetRow { fingerprint: Fingerprint { size: 5, ..plain.fingerprint }, ..failed(at) };
    let touched =
        |at| AssetRow { fingerprint: Fingerprint { modified_ns: 5, ..plain.fingerprint }, ..failed(at) };
    let another = |at| AssetRow { fingerprint: Fingerprint { inode: 5, ..plain.fingerprint }, ..failed(at) };
    for (row, expected) in [
        (failed(1), Some(1)),
        (failed(2), Some(1)),
        (edited(3), Some(3)),
        (edited(4), Some(3)),
        (failed(5), Some(5)),
        (touched(6), Some(6)),
        (failed(7), Some(7)),
        (another(8), Some(8)),
        // Something else came between.
        (AssetRow { failing: None, ..another(9) }, None),
        (another(10), Some(10)),
    ] {
        catalog.put_asset(&row).await.unwrap();
        let kept = catalog.asset(b"/pictures", b"a.heic").await.unwrap().unwrap();
        let last = row.failing.map(|failing| failing.last);
        assert_eq!(kept.failing, expected.map(|since| Failing { since, last: last.unwrap() }));
    }
}

#[tokio::test]
async fn what_finds_no_room_keeps_what_it_was_in_the_vault() {
    let (_folder, catalog) = catalog().await;
    let in_vault = async || catalog.in_vault(b"/pictures", b"a.heic").await.unwrap();
    assert_eq!(in_vault().await, None);
    let row = asset(b"a.heic", AssetState::BackedUp);
    let edit = AssetRow {
        content_hash: Some(ContentHash::of(b"b")),
        fingerprint: Fingerprint { size: 77, modified_ns: 88, inode: 9 },
        motion: None,
        file: None,
        ..asset(b"a.heic", AssetState::NoRoom)
    };
    // Never in the vault: it is no edit of anything.
    catalog.put_asset(&edit).await.unwrap();
    assert_eq!(in_vault().await, None);
    catalog.put_asset(&row).await.unwrap();
    let was = in_vault().await.unwrap();
    let expected = (row.file.unwrap(), row.content_hash.unwrap(), row.fingerprint.modified_ns);
    assert_eq!((was.file, was.content, was.modified_ns), expected);
    assert_eq!((was.size, was.is_live), (row.fingerprint.size, row.motion.is_some()));
    // Twice no room, and once unreadable in between.
    let unread = AssetRow { content_hash: None, state: AssetState::Blocked, ..edit.clone() };
    for state in [&edit, &unread, &edit] {
        catalog.put_asset(state).await.unwrap();
        assert_eq!(in_vault().await, Some(InVault { motion_modified_ns: None, ..was }));
    }
    catalog
        .put_asset(&AssetRow { file: row.file, state: AssetState::BackedUp, ..edit.clone() })
        .await
        .unwrap();
    assert_eq!(in_vault().await.unwrap().content, ContentHash::of(b"b"));
    // Deleted from the vault, it is nothing there.
    catalog.put_asset(&AssetRow { state: AssetState::Skipped, ..edit.clone() }).await.unwrap();
    catalog.put_asset(&edit).await.unwrap();
    assert_eq!(in_vault().await, None);
}

#[tokio::test]
async fn a_moved_file_was_first_seen_where_it_was_before() {
    let (_folder, catalog) = catalog().await;
    let row = asset(b"a.heic", AssetState::BackedUp);
    catalog.put_asset(&row).await.unwrap();
    let content = row.content_hash.unwrap();
    let copied = Fingerprint { inode: 99, ..row.fingerprint };
    let first_seen = async |content: &ContentHash, path: &[u8], print: &Fingerprint| {
        catalog.first_seen(content, b"/pictures", path, print, Came::default()).await.unwrap()
    };
    assert_eq!(first_seen(&content, b"a.heic", &copied).await, Some(10));
    assert_eq!(first_seen(&content, b"moved.heic", &row.fingerprint).await, Some(10));
    assert_eq!(first_seen(&content, b"copied.heic", &copied).await, None);
    assert_eq!(first_seen(&ContentHash::of(b"b"), b"a.heic", &row.fingerprint).await, None);
}

#[tokio::test]
async fn an_upload_belongs_to_its_content_alone() {
    let (_folder, catalog) = catalog().await;
    let content = ContentHash::of(b"large");
    let row = UploadRow {
        content_hash: content,
        server: "http://a".into(),
        collection: CollectionId(1),
        encrypted_key: Opaque("key".into()),
        key_nonce: Opaque("nonce".into()),
        header: Opaque("header".into()),
        object_key: ObjectKey("7/a".into()),
        part_urls: vec!["http://a/1".into(), "http://a/2".into()],
        complete_url: "http://a/done".into(),
        part_chunks: 5,
        length: 30_000_000,
        began: 1,
    };
    let part = |number| PartRow { number, etag: format!("e{number}"), position: "p".into() };
    catalog.begin_upload(&row).await.unwrap();
    for number in [2, 1] {
        catalog.acknowledge_part(&content, &part(number)).await.unwrap();
    }
    assert_eq!(catalog.upload(&content).await.unwrap(), Some((row.clone(), vec![part(1), part(2)])));
    assert_eq!(catalog.upload(&ContentHash::of(b"other")).await.unwrap(), None);
    // Begun anew: nothing of the earlier session is left.
    catalog.begin_upload(&row).await.unwrap();
    assert_eq!(catalog.upload(&content).await.unwrap(), Some((row, Vec::new())));
    catalog.end_upload(&content).await.unwrap();
    assert_eq!(catalog.upload(&content).await.unwrap(), None);
}

#[tokio::test]
async fn a_resumable_upload_belongs_to_its_content_alone_and_replaces_one_in_parts() {
    let (_folder, catalog) = catalog().await;
    let content = ContentHash::of(b"large");
    let row = ResumableRow {
        content_hash: content,
        server: "http://a".into(),
        collection: CollectionId(1),
        encrypted_key: Opaque("key".into()),
        key_nonce: Opaque("nonce".into()),
        header: Opaque("header".into()),
        object_key: ObjectKey("7/a".into()),
        upload: "a".into(),
        length: 30_000_000,
        began: 1,
        checked: 0,
        position: Opaque("start".into()),
    };
    let parts = UploadRow {
        content_hash: content,
        server: row.server.clone(),
        collection: row.collection,
        encrypted_key: row.encrypted_key.clone(),
        key_nonce: row.key_nonce.clone(),
        header: row.header.clone(),
        object_key: row.object_key.clone(),
        part_urls: vec!["http://a/1".into()],
        complete_url: "http://a/done".into(),
        part_chunks: 5,
        length: row.length,
        began: 1,
    };
    catalog.begin_upload(&parts).await.unwrap();
    catalog.begin_resumable_upload(&row).await.unwrap();
    assert_eq!(catalog.upload(&content).await.unwrap(), None);
    let position = Opaque("later".into());
    catalog.advance_resumable_upload(&content, 7, &position).await.unwrap();
    let advanced = ResumableRow { checked: 7, position, ..row.clone() };
    assert_eq!(catalog.resumable_upload(&content).await.unwrap(), Some(advanced));
    assert_eq!(catalog.resumable_upload(&ContentHash::of(b"other")).await.unwrap(), None);
    let anew = ResumableRow { upload: "b".into(), header: Opaque("another".into()), ..row };
    catalog.begin_resumable_upload(&anew).await.unwrap();
    assert_eq!(catalog.resumable_upload(&content).await.unwrap(), Some(anew));
    catalog.end_upload(&content).await.unwrap();
    assert_eq!(catalog.resumable_upload(&content).await.unwrap(), None);
}

#[tokio::test]
async fn albums_are_linked_by_id() {
    let (_folder, catalog) = catalog().await;
    let key = DeviceAlbumKey { root: b"/pictures".to_vec(), folder: Vec::new() };
    for row in [collection(1, "One", 1), collection(2, "One", 1), collection(3, "Three", 1)] {
        catalog.put_collection(&row).await.unwrap();
    }
    assert_eq!(catalog.collection_named(OWNER, "One").await.unwrap().unwrap().id, CollectionId(1));
    assert_eq!(catalog.collection_named(AccountId(8), "One").await.unwrap(), None);
    assert_eq!(catalog.linked_collection(&key).await.unwrap(), None);
    catalog.link_album(&key, CollectionId(1)).await.unwrap();
    catalog.link_album(&key, CollectionId(3)).await.unwrap();
    assert_eq!(catalog.linked_collection(&key).await.unwrap().unwrap().id, CollectionId(3));
}

#[tokio::test]
async fn one_run_at_a_time() {
    let (_folder, catalog) = catalog().await;
    let account = PublicKey::from_slice(&[1; 32]).unwrap();
    let lock = catalog.lock_run(&account).unwrap();
    let refused = catalog.lock_run(&account);
    assert!(matches!(refused, Err(CatalogError::Busy(owner)) if owner.process == Some(std::process::id())));
    drop(lock);
    assert!(catalog.lock_run(&account).is_ok());
}

#[tokio::test]
async fn watch_folders_are_kept_as_they_were_given() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&folder.path().join("catalog")).await.unwrap();
    for (path, albums) in
        [("/a", AlbumRule::PerRoot), ("/b", AlbumRule::PerFolder), ("/c", AlbumRule::Named("Ski".to_owned()))]
    {
        let new =
            NewWatchFolder { path: path.into(), albums, exclude: vec!["*.png".to_owned(), "\"".to_owned()] };
        catalog.add_watch_folder(&new, 7).await.unwrap();
        let row = catalog.watch_folders().await.unwrap().pop().unwrap();
        assert_eq!((row.path, row.albums, row.exclude), (new.path, new.albums, new.exclude));
        assert_eq!(
            (row.added, row.paused, row.device, row.offline_since, row.last_scan),
            (7, false, None, None, None)
        );
    }
    let only = |rows: Vec<WatchFolderRow>| rows.into_iter().find(|row| row.path == Path::new("/b")).unwrap();
    let id = only(catalog.watch_folders().await.unwrap()).id;
    catalog.watch_folder_online(id, u64::MAX).await.unwrap();
    catalog.watch_folder_offline(id, 8).await.unwrap();
    catalog.watch_folder_offline(id, 9).await.unwrap();
    catalog.watch_folder_scanned(id, 10).await.unwrap();
    catalog.pause_watch_folder(id, true).await.unwrap();
    let row = only(catalog.watch_folders().await.unwrap());
    assert_eq!(
        (row.paused, row.device, row.offline_since, row.last_scan),
        (true, Some(u64::MAX), Some(8), Some(10))
    );
    catalog.pause_watch_folder(id, false).await.unwrap();
    assert_eq!(
        only(catalog.watch_folders().await.unwrap()).device,
        None,
        "whatever is there now is the right disk"
    );
    catalog.remove_watch_folder(id).await.unwrap();
    assert_eq!(catalog.watch_folders().await.unwrap().len(), 2);
}

#[tokio::test]
async fn assets_are_found_by_their_folders() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&folder.path().join("catalog")).await.unwrap();
    let paths = ["0.jpg", "a/1.jpg", "a/x/2.jpg", "a.jpg", "a0/3.jpg", "ab/4.jpg"];
    for path in paths {
        catalog.put_asset(&asset(path.as_bytes(), AssetState::Skipped)).await.unwrap();
    }
    for (folder, reach, expected) in [
        ("", Reach::Itself, "0.jpg a.jpg"),
        ("", Reach::Below, "0.jpg a.jpg a/1.jpg a/x/2.jpg a0/3.jpg ab/4.jpg"),
        ("a", Reach::Itself, "a/1.jpg"),
        ("a", Reach::Below, "a/1.jpg a/x/2.jpg"),
    ] {
        let mut found = Vec::new();
        let keep = |row: AssetRow| found.push(String::from_utf8(row.path).unwrap());
        catalog.each_asset_of(b"/pictures", Path::new(folder), reach, keep).await.unwrap();
        found.sort();
        assert_eq!(found.join(" "), expected, "{reach:?} of {folder:?}");
    }
}

#[tokio::test]
async fn what_is_looked_for_is_found_through_an_index() {
    let (_folder, catalog) = catalog().await;
    let stills_of = format!("{}(?, ?)", assets::STILLS_OF);
    for (text, index) in [
        (albums::NAMED, "collections_by_name (owner=? AND name=?)"),
        (thumbnails::MEMBERSHIPS_OF_DUE, "thumbnails_due USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        (thumbnails::MEMBERSHIPS_OF_DUE, "files_by_file (file=?)"),
        (thumbnails::MEMBERSHIPS_OF_DUE, "collections USING INTEGER PRIMARY KEY (rowid=?)"),
        (files::WITH_CONTENT, "files_by_content"),
        (absent::FIRST_SEEN, "assets_by_content"),
        (in_vault::BEFORE_MOVE, "assets_by_content"),
        (assets::AT_PATH, "assets_by_motion_path"),
        (assets::AT_PATH, "sqlite_autoindex_assets_1 (root=? AND path=?)"),
        (assets::SETTLED, "assets_by_motion_path"),
        (&stills_of, "assets_by_motion_path"),
        (libraries::DELETED_CONTENTS, "files_by_content"),
        (&sync_base::live_text(2), "sync_base_by_content (folder=? AND content=?)"),
        (&sync_base::live_text(2), "files_by_content"),
    ] {
        let text = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
        let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(text).fetch_all(&catalog.pool).await.unwrap();
        assert!(plan.iter().any(|(.., step)| step.contains(index)), "{index}: {plan:?}");
    }
}

#[tokio::test]
async fn contents_whose_hashes_begin_alike_are_told_apart() {
    let (_folder, catalog) = catalog().await;
    let mut bytes = [7; 64];
    let one = ContentHash::Single(bytes);
    bytes[63] = 8;
    let other = ContentHash::Single(bytes);
    catalog.put_file(&FileRow { content_hash: Some(one), ..file(1, 1, 1) }).await.unwrap();
    catalog.put_file(&FileRow { content_hash: Some(other), ..file(2, 1, 2) }).await.unwrap();
    let found = catalog.files_with_content(OWNER, &other).await.unwrap();
    assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), [FileId(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_catalog_may_be_opened_by_many_at_once() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let opening = (0..6).map(|_| {
            let path = path.clone();
            tokio::spawn(async move { Catalog::open(&path).await })
        });
        for opened in futures_util::future::join_all(opening).await {
            opened.unwrap().unwrap();
        }
    }
}

/// The server was set back, and gave the number of a lost file to another one. What it lost is to be sent again; what was deleted for good stays
/// deleted, and nothing that was known of the lost file is told of the other.
#[tokio::test]
async fn a_mirror_that_is_read_anew_forgets_what_the_server_lost() {
    let (_folder, catalog) = catalog().await;
    let content = |number: u8| Some(ContentHash::of(&[number]));
    let numbered = |id: i64, number: u8, version| FileRow {
        content_hash: content(number),
        encrypted_key: Opaque(format!("key {number}")),
        ..file(id, 1, version)
    };
    let purged = |id, number, version| TrashRow { content_hash: content(number), ..trashed(id, version) };
    let kept = [numbered(1, 1, 11), FileRow { deleted: true, ..numbered(5, 5, 12) }];
    let before = ChangedRows {
        collections: vec![collection(1, "One", 30), collection(2, "Lost", 31)],
        files: [&kept[..], &[numbered(2, 2, 21), numbered(3, 3, 22), numbered(4, 4, 23)]].concat(),
        trash: vec![
            purged(8, 8, 24),
            purged(6, 6, 20),
            TrashRow { purged: false, ..purged(9, 9, 25) },
            purged(5, 5, 12),
        ],
    };
    catalog.apply_changes(&before, Feed::Account, Version(31)).await.unwrap();
    let assets: Vec<AssetRow> = (1..=4)
        .map(|number: u8| AssetRow {
            content_hash: content(number),
            file: Some(FileId(number.into())),
            motion: None,
            ..asset(&[number], if number == 4 { AssetState::Freed } else { AssetState::BackedUp })
        })
        .collect();
    catalog.put_assets(&assets).await.unwrap();
    let newest = catalog.witnesses(OWNER, Version(24)).await.unwrap();
    let places: Vec<_> = newest.iter().map(|witness| witness.place).collect();
    let place = |id| Place::Membership(CollectionId(1), FileId(id));
    assert_eq!(places, [Place::Trash(FileId(8)), place(4), place(3), place(2)]);
    assert_eq!(
        catalog.witnesses(AccountId(8), Version(24)).await.unwrap().len(),
        3,
        "the trash is one's own"
    );

    catalog.begin_anew().await.unwrap();
    let after = ChangedRows {
        collections: vec![collection(1, "One", 40)],
        files: vec![kept[0].clone(), FileRow { content_hash: None, ..kept[1].clone() }],
        trash: vec![trashed(5, 12)],
    };
    catalog.apply_changes(&after, Feed::Anew, Version(12)).await.unwrap();
    catalog.begin_anew().await.unwrap();
    assert_eq!(catalog.read_anew_to().await.unwrap(), Some(Version(12)));
    let another =
        ChangedRows { files: vec![numbered(2, 7, 41), numbered(6, 6, 42)], ..ChangedRows::default() };
    catalog.apply_changes(&another, Feed::Anew, Version(42)).await.unwrap();
    let told = catalog.end_anew(OWNER, Version(42), 1_000).await.unwrap();
    assert_eq!(told, Some(SetBack { noticed: 1_000, lost: 3, here: 2, undone: 1 }));
    assert_eq!(catalog.end_anew(OWNER, Version(42), 1_001).await.unwrap(), None);
    assert_eq!(catalog.last_set_back(1_000).await.unwrap(), told);
    assert_eq!(catalog.last_set_back(1_001).await.unwrap(), None);
    assert_eq!(
        (catalog.cursor(Feed::Account).await.unwrap(), catalog.read_anew_to().await.unwrap()),
        (Version(42), None)
    );

    let rows = catalog.assets(b"/pictures").await.unwrap();
    let states: Vec<_> = rows.iter().map(|row| (row.path[0], row.state, row.file)).collect();
    let expected = [
        (1, AssetState::BackedUp, Some(FileId(1))),
        (2, AssetState::Blocked, None),
        (3, AssetState::Blocked, None),
        (4, AssetState::Freed, Some(FileId(4))),
    ];
    assert_eq!(states, expected);
    assert!(rows[1].reason.as_deref().unwrap().contains("set back"));
    let remotes = catalog.remotes(OWNER, 0, (1..=9).filter_map(content)).await.unwrap();
    let of = |number| remotes.get(&content(number).unwrap()).copied();
    assert!(matches!(of(1), Some(Remote::Live { .. })) && matches!(of(7), Some(Remote::Live { .. })));
    // What was only in the trash is not there, and was not deleted for good.
    assert_eq!([of(2), of(3), of(4), of(9)], [None; 4]);
    assert_eq!([of(5), of(8)], [Some(Remote::Purged); 2]);
    assert!(catalog.memberships(FileId(3)).await.unwrap().is_empty());
    assert!(catalog.collection(CollectionId(2)).await.unwrap().is_none());
    let deletions = catalog.deletions([content(8).unwrap(), content(5).unwrap()]).await.unwrap();
    assert_eq!(deletions[&content(8).unwrap()], Version(24));
}

/// What the owner purges is deleted then; what the trash gives up when its time is up was deleted when it came there.
#[tokio::test]
async fn the_end_of_the_trash_is_nobodys_decision() {
    let (_folder, catalog) = catalog().await;
    let content = ContentHash::of(b"h");
    for (id, version, deleted) in [(2, 81, 50), (1, 70, 70), (3, 95, 70)] {
        let row = TrashRow { content_hash: Some(content), ..trashed(id, version) };
        let rows = ChangedRows { trash: vec![row], ..ChangedRows::default() };
        catalog.apply_changes(&rows, Feed::Account, Version(version)).await.unwrap();
        assert_eq!(catalog.deletions([content]).await.unwrap()[&content], Version(deleted));
    }
}

/// An edit on another client made a second live file of a content: a folder that agreed on one of them is told of that one.
#[tokio::test]
async fn of_several_live_files_a_folder_is_told_of_its_own() {
    let (_folder, catalog) = catalog().await;
    let content = ContentHash::of(b"a");
    catalog.put_collection(&collection(1, "One", 1)).await.unwrap();
    for id in 1..=4 {
        catalog.put_file(&file(id, 1, id)).await.unwrap();
    }
    let new = NewSyncFolder {
        path: "/sync".into(),
        marker: "marker".into(),
        album: "One".into(),
        keep_older_than: None,
        direction: Direction::Both,
        trash: "/trash".into(),
    };
    let folder = catalog.add_sync_folder(&new, 0).await.unwrap();
    let other = NewSyncFolder { path: "/other".into(), marker: "other".into(), ..new };
    let other = catalog.add_sync_folder(&other, 0).await.unwrap();
    let (folder, other) = ((folder, "marker"), (other, "other"));
    let synced = |content, file| {
        let (disk, version) = (DiskId::default(), Version(1));
        Base::Synced(Synced { content, disk, size: 1, file: FileId(file), version, absent_since: None })
    };
    let deleted = |file| Base::Deleted(Deleted { content, size: 1, file: FileId(file), version: Version(1) });
    let told = async |folder: (i64, &str), path: &[u8], base| {
        let put = [(path.to_vec(), BaseRow { base, stat: Stat::default() })].into();
        let changes = BaseChanges { put, ..BaseChanges::default() };
        catalog.record_sync(folder, b"/sync", &changes).await.unwrap();
        match catalog.remotes(OWNER, folder.0, [content]).await.unwrap().get(&content) {
            Some(Remote::Live { file, .. }) => file.0,
            remote => panic!("{remote:?}"),
        }
    };
    assert_eq!(told(folder, b"of another content", synced(ContentHash::of(b"b"), 3)).await, 1);
    assert_eq!(told(folder, b"a tombstone", deleted(4)).await, 4);
    assert_eq!(told(folder, b"agreed on", synced(content, 3)).await, 3);
    assert_eq!(told(folder, b"agreed on as well", synced(content, 2)).await, 2);
    assert_eq!(told(other, b"in another folder", synced(content, 4)).await, 4);
    assert_eq!(told(folder, b"unknown", synced(content, 7)).await, 2);
}
