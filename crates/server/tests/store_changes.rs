//! The ordered feed on both engines: whoever writes meanwhile, a reader that pages from any cursor misses nothing and sees nothing
//! out of order.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_protocol::batch::ThumbnailRequest;
use darkslide_protocol::change::{Change, Span};
use darkslide_protocol::collection::{CollectionType, CreateCollectionRequest, RenameRequest};
use darkslide_protocol::file::{FileKey, UpdateRequest};
use darkslide_protocol::upload::ObjectReference;
use darkslide_protocol::{AccountId, CollectionId, ContentTag, FileId, Opaque, Version};
use darkslide_server::objects::{BlobName, Digest};
use darkslide_server::store::Store;
use darkslide_server::store::batch::{BatchRequest, Committed, NewObject};
use darkslide_server::store::change::ChangeError;
use darkslide_server::store::magic::Envelope;
use darkslide_server::store::uploads::ObjectAddress;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use support::mirror::Mirror;
use support::reader::Reader;
use support::stored::{
    QUOTA, account, album, commit_of, file, key, magic, metadata, new_collection, new_file, object,
    share_with,
};
use support::stores;

/// A family, whose members share albums with each other.
const FAMILY: [&str; 3] = ["a@example.org", "b@example.org", "c@example.org"];

/// Writers of one account, all at once.
const WRITERS: usize = 2;

/// What each of them does before it stops.
const STEPS: usize = 32;

/// Numbers that look random and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % below.max(1)
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.throw(of.len())).copied()
    }
}

/// What the writers of a family share: they tread on each other's toes.
struct Shelf {
    accounts: Vec<AccountId>,
    collections: Mutex<Vec<(AccountId, CollectionId)>>,
    files: Mutex<Vec<(AccountId, FileId)>>,
    writing: AtomicUsize,
}

impl Shelf {
    async fn new(store: &Store) -> Arc<Self> {
        let (mut accounts, mut collections) = (Vec::new(), Vec::new());
        for email in FAMILY {
            let account = account(store, email).await;
            accounts.push(account);
            collections.push((account, album(store, account).await));
            collections.push((account, album(store, account).await));
        }
        let writing = AtomicUsize::new(accounts.len() * WRITERS);
        Arc::new(Self { accounts, collections: Mutex::new(collections), files: Mutex::default(), writing })
    }

    /// Mostly one of the account's own.
    fn collection(&self, account: AccountId, dice: &mut Dice) -> CollectionId {
        mostly_own(&self.collections.lock().unwrap(), account, dice).unwrap()
    }

    /// Mostly one of its own files, or one that never was.
    fn file(&self, account: AccountId, dice: &mut Dice) -> FileId {
        mostly_own(&self.files.lock().unwrap(), account, dice).unwrap_or(FileId(1 << 40))
    }

    fn some_files(&self, account: AccountId, dice: &mut Dice) -> Vec<FileId> {
        let mut files: Vec<FileId> = (0..=dice.throw(3)).map(|_| self.file(account, dice)).collect();
        files.sort_unstable();
        files.dedup();
        files
    }

    async fn write(&self, store: &Store, account: AccountId, seed: u64) {
        let mut dice = Dice(seed | 1);
        for _ in 0..STEPS {
            // Refusals are part of it: nobody knows what the others have just done.
            if let Err(ChangeError::Store(error)) = self.step(store, account, &mut dice).await {
                panic!("{error:?}");
            }
        }
        self.writing.fetch_sub(1, Ordering::SeqCst);
    }

    async fn step(&self, store: &Store, account: AccountId, dice: &mut Dice) -> Result<(), ChangeError> {
        let (here, there) = (self.collection(account, dice), self.collection(account, dice));
        let files = self.some_files(account, dice);
        let keys: Vec<FileKey> = files.iter().copied().map(key).collect();
        match dice.throw(31) {
            0 => {
                let made = store.create_collection(account, &new_collection(CollectionType::Album)).await?;
                self.collections.lock().unwrap().push((account, made.id));
            }
            1..=4 => {
                let made =
                    store.commit_file(account, &new_file(store, account, here, 10).await, QUOTA).await?;
                self.files.lock().unwrap().push((account, made.id));
            }
            5 | 6 => store.add_files(account, here, &keys).await?,
            7 | 8 => store.move_files(account, here, there, &keys).await?,
            9 => {
                let items: Vec<_> = files.iter().map(|file| (*file, here)).collect();
                store.trash_files(account, &items).await?;
            }
            10 => store.restore_files(account, here, &keys).await?,
            11 => drop(store.purge_files(account, &files).await?),
            12 => store.rename_collection(account, &rename(here, dice)).await?,
            13 => {
                let updates: Vec<_> = files.iter().map(|file| magic(*file, 1)).collect();
                store.update_magic(account, Envelope::Public, &updates, true).await?;
            }
            14 => {
                let envelope = magic(FileId(0), 1).magic_metadata;
                store.update_collection_magic(account, here, Envelope::Private, &envelope).await?;
            }
            15 => {
                let (new, thumbnail) = (object(store, account, 20).await, object(store, account, 2).await);
                let update = UpdateRequest {
                    id: self.file(account, dice),
                    file: new,
                    thumbnail,
                    metadata: metadata(),
                    content_tag: None,
                    if_version: None,
                };
                store.update_file(account, &update, QUOTA).await?;
            }
            16..=18 => {
                let role = dice.one(&["VIEWER", "COLLABORATOR", "ADMIN"]).unwrap();
                let email = dice.one(&FAMILY).unwrap();
                store.share_collection(account, &share_with(here, email, role)).await?;
            }
            19 => drop(store.unshare_collection(account, here, dice.one(&FAMILY).unwrap()).await?),
            20 => {
                let others = self.collections.lock().unwrap().clone();
                store.leave_collection(account, dice.one(&others).unwrap().1).await?;
            }
            21 => {
                let others = self.collections.lock().unwrap().clone();
                let envelope = magic(FileId(0), 1).magic_metadata;
                store.update_shared_magic(account, dice.one(&others).unwrap().1, &envelope).await?;
            }
            22 => store.remove_files(account, here, &files).await?,
            23..=26 => self.send_batch(store, account, dice).await?,
            27 => self.make_several(store, account, dice).await?,
            28 => {
                let file = self.file(account, dice);
                let kept = store.earlier_versions(account, file).await?.versions;
                if let Some(earlier) = kept.first() {
                    store.restore_version(account, file, earlier.version, QUOTA).await?;
                }
            }
            _ if dice.throw(3) == 0 => store.delete_collection(account, here, false).await?,
            _ => drop(store.empty_trash(account, Version(i64::MAX / 2)).await?),
        }
        Ok(())
    }

    /// Pictures with bytes of their own, some with a tag that others have, and thumbnails for files that are there.
    async fn send_batch(
        &self,
        store: &Store,
        account: AccountId,
        dice: &mut Dice,
    ) -> Result<(), ChangeError> {
        let blob = BlobName::generate(uuid::Uuid::new_v4(), 0);
        let (mut objects, mut commits, mut thumbnails) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..dice.throw(4) {
            let file = packed(account, &blob, 10, &mut objects);
            let small = packed(account, &blob, 1, &mut objects);
            let mut commit = commit_of(self.collection(account, dice), file, small);
            if dice.throw(2) == 0 {
                let tag = [u8::try_from(dice.throw(8)).unwrap(); 32];
                commit.content_tag = Some(ContentTag::encode(tag));
            }
            commits.push(commit);
        }
        for _ in 0..dice.throw(3) {
            let thumbnail = packed(account, &blob, 2, &mut objects);
            thumbnails.push(ThumbnailRequest { file_id: self.file(account, dice), thumbnail });
        }
        let request = BatchRequest { objects: &objects, commits: &commits, thumbnails: &thumbnails };
        let done = store.commit_batch(account, request, QUOTA).await?;
        let mut told: BTreeSet<FileId> = BTreeSet::new();
        for committed in done.commits.into_iter().flatten() {
            if let Committed::Created(created) = committed {
                self.files.lock().unwrap().push((account, created.id));
                told.insert(created.id);
            }
        }
        let replaced = thumbnails.iter().zip(&done.thumbnails).filter(|(_, done)| done.is_ok());
        told.extend(replaced.map(|(request, _)| request.file_id));
        if let Some(span) = done.span {
            must_tell_only(store, account, span, &told).await;
        }
        Ok(())
    }

    async fn make_several(
        &self,
        store: &Store,
        account: AccountId,
        dice: &mut Dice,
    ) -> Result<(), ChangeError> {
        // A key is drawn for each; what comes twice is the same call once more.
        let one = || CreateCollectionRequest {
            encrypted_key: Opaque::encode([uuid::Uuid::new_v4().into_bytes(); 3].concat()),
            ..new_collection(CollectionType::Album)
        };
        let requests: Vec<_> = (0..=dice.throw(3)).map(|_| one()).collect();
        for _ in 0..=dice.throw(2) {
            let made = store.create_collections(account, &requests).await?;
            if let Some(span) = made.span {
                must_tell_only(store, account, span, &BTreeSet::new()).await;
                let ids = made.collections.iter().map(|one| (account, one.id));
                self.collections.lock().unwrap().extend(ids);
            }
        }
        Ok(())
    }

    /// Reads in small pages as long as anybody writes, and then to the end.
    async fn read(&self, store: &Store, mut mirror: Mirror, seed: u64) {
        let mut dice = Dice(seed | 1);
        while self.writing.load(Ordering::SeqCst) > 0 {
            let has_more = mirror.read(store, u16::try_from(1 + dice.throw(9)).unwrap()).await;
            if !has_more {
                tokio::task::yield_now().await;
            }
        }
        while mirror.read(store, 7).await {}
        mirror.must_be_complete(store).await;
        if mirror.start == Version(0) {
            mirror.must_be_what_the_base_says(store).await;
        }
    }
}

impl Shelf {
    /// Reads as stock clients do, which have no ordered feed.
    async fn read_as_stock(&self, store: &Store, account: AccountId) {
        let mut reader = Reader::new(account, 3);
        while self.writing.load(Ordering::SeqCst) > 0 {
            reader.sync(store).await;
            tokio::task::yield_now().await;
        }
        reader.must_be_up_to_date(store).await;
    }
}

/// An object of a batch, as its commit names it.
fn packed(account: AccountId, blob: &BlobName, length: i64, objects: &mut Vec<NewObject>) -> ObjectReference {
    let at = ObjectAddress::generate(account);
    let digest = Digest::of(at.object.as_bytes());
    let offset = objects.iter().map(|object| object.length).sum();
    let etag = digest.etag();
    objects.push(NewObject { at, blob: blob.clone(), offset, length, digest: digest.to_string(), etag });
    ObjectReference { object_key: at.key(), decryption_header: Opaque("aA==".into()), size: Some(length) }
}

/// That a span of the feed has nothing but these files and collections, whatever others have done since: rows that they touched have
/// moved out of it.
async fn must_tell_only(store: &Store, account: AccountId, span: Span, files: &BTreeSet<FileId>) {
    let page = store.changes(account, span.after, u16::MAX).await.unwrap();
    for change in page.changes.into_iter().filter(|change| change.version().unwrap() <= span.until) {
        match change {
            Change::Membership { file, .. } => assert!(files.contains(&file.id), "{file:?} in {span:?}"),
            Change::Collection { .. } => {}
            other => panic!("{other:?} in {span:?}"),
        }
    }
}

fn mostly_own<T: Copy>(all: &[(AccountId, T)], account: AccountId, dice: &mut Dice) -> Option<T> {
    let own: Vec<_> = all.iter().filter(|(owner, _)| *owner == account).copied().collect();
    let from = if dice.throw(4) == 0 || own.is_empty() { all } else { &own };
    dice.one(from).map(|(_, one)| one)
}

fn rename(collection_id: CollectionId, dice: &mut Dice) -> RenameRequest {
    let encrypted_name = Opaque::encode(dice.throw(1000).to_be_bytes());
    RenameRequest { collection_id, encrypted_name, name_decryption_nonce: Opaque("bm4=".into()) }
}

/// Sets the accounts' clocks ahead of the wall, each by another time, as they are when that was set back.
async fn set_clocks_ahead(url: &str) {
    let pool = sqlx::AnyPool::connect(url).await.unwrap();
    let text = "UPDATE accounts SET version = version + 1000000000 * (4 - id % 3)";
    sqlx::query(text).execute(&pool).await.unwrap();
    pool.close().await;
}

/// Writers and readers of a family, all at the same time. Some readers begin where others have been already.
async fn check(seed: u64) {
    for url in support::database_urls().await {
        let folder = tempfile::tempdir().unwrap();
        let url = url.unwrap_or_else(|| Store::sqlite_url(&folder.path().join("db")));
        let store = Arc::new(Store::open(&url).await.unwrap());
        let mut tasks = Vec::new();
        let mut dice = Dice(seed | 1);
        let shelf = Shelf::new(&store).await;
        set_clocks_ahead(&url).await;
        for account in shelf.accounts.clone() {
            let middle = store.version_of(account).await.unwrap();
            for start in [Version(0), middle] {
                let (shelf, store, seed) = (shelf.clone(), store.clone(), dice.throw(1 << 30) as u64);
                let mirror = Mirror::after(account, start);
                tasks.push(tokio::spawn(async move { shelf.read(&store, mirror, seed).await }));
            }
            let (reading, from) = (shelf.clone(), store.clone());
            tasks.push(tokio::spawn(async move { reading.read_as_stock(&from, account).await }));
            for _ in 0..WRITERS {
                let (shelf, store, seed) = (shelf.clone(), store.clone(), dice.throw(1 << 30) as u64);
                tasks.push(tokio::spawn(async move { shelf.write(&store, account, seed).await }));
            }
        }
        for task in tasks {
            task.await.unwrap();
        }
        store.close().await;
    }
}

#[test]
fn beside_any_writers_no_change_is_skipped_and_none_is_seen_out_of_order() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    // What happens when is not the seed's to say, so a failure cannot be shrunk.
    let config = ProptestConfig {
        cases: 3,
        failure_persistence: None,
        max_shrink_iters: 0,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&any::<u64>(), |seed| {
            let outcome = runtime.block_on(async { tokio::spawn(check(seed)).await });
            outcome.map_err(|panic| TestCaseError::fail(panic.to_string()))
        })
        .unwrap();
}

#[tokio::test]
async fn a_new_device_is_complete_after_one_pass_and_an_idle_one_reads_nothing() {
    for (_folder, store) in stores().await {
        let owner = account(&store, "a@example.org").await;
        let (one, two) = (album(&store, owner).await, album(&store, owner).await);
        let mut files = Vec::new();
        for round in 0..30 {
            files.push(file(&store, owner, if round % 2 == 0 { one } else { two }).await);
        }
        store.trash_files(owner, &[(files[0], one), (files[2], one), (files[4], one)]).await.unwrap();
        store.restore_files(owner, two, &[key(files[2])]).await.unwrap();
        store.purge_files(owner, &[files[4]]).await.unwrap();
        for limit in [1, 2, 7, 5000] {
            let mut mirror = Mirror::after(owner, Version(0));
            while mirror.read(&store, limit).await {}
            mirror.must_be_what_the_base_says(&store).await;
            let end = store.changes(owner, mirror.cursor, limit).await.unwrap();
            assert_eq!(
                (end.changes, end.ahead, end.next, end.has_more),
                (vec![], vec![], mirror.cursor, false)
            );
        }
        let all = store.changes(owner, Version(0), 5000).await.unwrap();
        // 2 collections, 31 memberships, 3 places in the trash.
        assert_eq!((all.changes.len(), all.ahead.len()), (36, 0));
        let purged = all.changes.iter().find_map(|change| match change {
            Change::Trash { item, .. } if item.is_deleted => Some(item),
            _ => None,
        });
        let purged = purged.unwrap();
        assert_eq!((purged.file.id, &purged.file.metadata.encrypted_data), (files[4], &None));
    }
}

#[tokio::test]
async fn an_album_s_key_comes_with_the_first_page_that_mentions_it() {
    for (_folder, store) in stores().await {
        let owner = account(&store, "a@example.org").await;
        let shelf = album(&store, owner).await;
        for _ in 0..3 {
            file(&store, owner, shelf).await;
        }
        // The album itself is last, for each of its files has moved it on.
        let page = store.changes(owner, Version(0), 3).await.unwrap();
        assert!(
            page.has_more && page.changes.iter().all(|change| matches!(change, Change::Membership { .. }))
        );
        let ahead: Vec<CollectionId> = page.ahead.iter().map(|collection| collection.id).collect();
        assert_eq!(ahead, [shelf]);
        let last = store.changes(owner, page.next, 3).await.unwrap();
        assert_eq!((last.changes.len(), last.ahead.len(), last.has_more), (1, 0, false));
    }
}

#[tokio::test]
async fn nobody_s_feed_has_what_is_somebody_else_s() {
    for (_folder, store) in stores().await {
        let (ada, bob) = (account(&store, "a@example.org").await, account(&store, "b@example.org").await);
        let shelf = album(&store, ada).await;
        file(&store, ada, shelf).await;
        let page = store.changes(bob, Version(0), 10).await.unwrap();
        assert_eq!((page.changes, page.ahead), (vec![], vec![]));
    }
}

#[tokio::test]
async fn a_commit_wakes_who_waits_and_a_rollback_does_not() {
    for (_folder, store) in stores().await {
        let owner = account(&store, "a@example.org").await;
        let seen = store.version_of(owner).await.unwrap();
        let mut watch = store.watch(owner).unwrap();
        let missing = store.move_files(owner, CollectionId(1), CollectionId(2), &[]).await;
        assert!(missing.is_err());
        let shelf = album(&store, owner).await;
        let made = watch.later_than(seen).await.unwrap();
        assert_eq!(made, store.version_of(owner).await.unwrap());
        file(&store, owner, shelf).await;
        assert_eq!(watch.later_than(made).await.unwrap(), store.version_of(owner).await.unwrap());
    }
}

#[tokio::test]
async fn sharing_an_album_moves_what_shows_its_tombstones_in_the_trash() {
    for (_folder, store) in stores().await {
        let (ada, _) = (account(&store, FAMILY[0]).await, account(&store, FAMILY[1]).await);
        let shelf = album(&store, ada).await;
        let trashed = file(&store, ada, shelf).await;
        store.trash_files(ada, &[(trashed, shelf)]).await.unwrap();
        let mut mirror = Mirror::of_everything(&store, ada).await;
        store.share_collection(ada, &share_with(shelf, FAMILY[1], "VIEWER")).await.unwrap();
        while mirror.read(&store, 1).await {}
        mirror.must_be_what_the_base_says(&store).await;
    }
}

#[tokio::test]
async fn a_change_of_a_shared_album_wakes_all_who_see_it_and_nobody_else() {
    for (_folder, store) in stores().await {
        let mut accounts = Vec::new();
        for email in FAMILY {
            accounts.push(account(&store, email).await);
        }
        let (shared, own) = (album(&store, accounts[0]).await, album(&store, accounts[0]).await);
        store.share_collection(accounts[0], &share_with(shared, FAMILY[1], "VIEWER")).await.unwrap();
        let seen = store.version_of(accounts[1]).await.unwrap();
        assert_eq!(seen, store.version_of(accounts[0]).await.unwrap());
        let mut watch = store.watch(accounts[1]).unwrap();
        file(&store, accounts[0], own).await;
        assert_eq!(store.version_of(accounts[1]).await.unwrap(), seen, "what is not shared is no news");
        file(&store, accounts[0], shared).await;
        let version = store.version_of(accounts[0]).await.unwrap();
        assert_eq!(watch.later_than(seen).await, Some(version));
        assert_eq!(store.version_of(accounts[2]).await.unwrap(), Version(0));
    }
}

#[tokio::test]
async fn what_another_process_commits_is_found_by_looking() {
    for url in support::database_urls().await {
        let folder = tempfile::tempdir().unwrap();
        let url = url.unwrap_or_else(|| Store::sqlite_url(&folder.path().join("db")));
        let (here, there) = (Store::open(&url).await.unwrap(), Store::open(&url).await.unwrap());
        let owner = account(&here, "a@example.org").await;
        let seen = here.version_of(owner).await.unwrap();
        let mut watch = here.watch(owner).unwrap();
        album(&there, owner).await;
        here.look_for_changes().await.unwrap();
        assert_eq!(watch.later_than(seen).await.unwrap(), there.version_of(owner).await.unwrap());
        here.close().await;
        there.close().await;
    }
}

/// The tables as they were before a membership said whose it is.
async fn as_it_was(url: &str) -> sqlx::AnyPool {
    sqlx::any::install_default_drivers();
    let mode = if url.starts_with("sqlite") { "?mode=rwc" } else { "" };
    let pool = sqlx::AnyPool::connect(&format!("{url}{mode}")).await.unwrap();
    let all = sqlx::migrate!("./migrations");
    let earlier: Vec<_> = all.migrations.iter().filter(|migration| migration.version < 5).cloned().collect();
    let migrator = sqlx::migrate::Migrator { migrations: earlier.into(), ..sqlx::migrate::Migrator::DEFAULT };
    migrator.run(&pool).await.unwrap();
    pool
}

#[tokio::test]
async fn a_database_of_before_has_its_memberships_in_the_feed() {
    for url in support::database_urls().await {
        let folder = tempfile::tempdir().unwrap();
        let url = url.unwrap_or_else(|| Store::sqlite_url(&folder.path().join("db")));
        let pool = as_it_was(&url).await;
        for text in [
            "INSERT INTO accounts (id, status, version, usage, email_mfa, created_at)
             VALUES (1, 'active', 30, 0, 0, 0), (2, 'active', 30, 0, 0, 0)",
            "INSERT INTO collections (id, owner_id, kind, encrypted_key, key_decryption_nonce, encrypted_name,
                                      name_decryption_nonce, attributes_version, is_deleted, version, created_at)
             VALUES (11, 1, 'album', 'k', 'n', '', '', 0, 0, 21, 0), (12, 2, 'album', 'k', 'n', '', '', 0, 0, 22, 0)",
            "INSERT INTO files (id, owner_id, file_object, file_header, file_size, thumbnail_object,
                                thumbnail_header, thumbnail_size, metadata, metadata_header, is_purged, version,
                                created_at)
             VALUES (101, 1, 'o', 'h', 5, 't', 'h', 1, 'm', 'h', 0, 1, 0), (102, 2, 'p', 'h', 5, 'u', 'h', 1, 'm', 'h', 0, 1, 0)",
            "INSERT INTO memberships (collection_id, file_id, encrypted_key, key_decryption_nonce, is_deleted,
                                      added_at, version)
             VALUES (11, 101, 'key one', 'n', 0, 7, 10), (12, 102, 'key two', 'n', 1, 8, 10)",
        ] {
            sqlx::query(text).execute(&pool).await.unwrap();
        }
        pool.close().await;
        let store = Store::open(&url).await.unwrap();
        for (account, collection, key, is_deleted) in [(1, 11, "key one", false), (2, 12, "key two", true)] {
            let account = AccountId(account);
            let page = store.changes(account, Version(0), 10).await.unwrap();
            let [Change::Membership { version, file }, Change::Collection { .. }] = page.changes.as_slice()
            else {
                panic!("{page:?}");
            };
            assert_eq!((*version, file.collection_id), (Version(10), CollectionId(collection)));
            assert_eq!((file.encrypted_key.0.as_str(), file.is_deleted), (key, is_deleted));
            let mut mirror = Mirror::after(account, Version(0));
            mirror.take(page, 10);
            mirror.must_be_what_the_base_says(&store).await;
        }
        store.close().await;
    }
}
