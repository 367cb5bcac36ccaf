//! The conformance suite of collections, files, trash and objects in the database: the same on SQLite and on PostgreSQL.
//!
//! What a reader relies on is checked from a reader's side: whatever was done, and whenever it looked, paging from its cursor
//! brings it to the same picture as reading everything afresh.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what a test needs and does not get fails the test"
)]

mod support;

use darkslide_protocol::collection::CollectionType;
use darkslide_protocol::file::{FileKey, FileMagic};
use darkslide_protocol::{AccountId, CollectionId, FileId, Version};
use darkslide_server::store::Store;
use darkslide_server::store::change::ChangeError;
use darkslide_server::store::magic::Envelope;
use darkslide_server::store::uploads::{Completed, Kept, ObjectAddress};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use support::reader::Reader;
use support::stored::{
    QUOTA, account, album, body, file, key, magic, new_collection, new_file, object, update_of,
};
use support::stores;

/// One thing that somebody does. The numbers choose among what there is, also among what is somebody else's.
#[derive(Clone, Debug)]
enum Step {
    Create(usize),
    Commit(usize, usize),
    Add(usize, usize, Vec<usize>),
    Move(usize, usize, usize, Vec<usize>),
    Remove(usize, usize, Vec<usize>),
    Trash(usize, Vec<(usize, usize)>),
    Restore(usize, usize, Vec<usize>),
    Purge(usize, Vec<usize>),
    Empty(usize),
    Delete(usize, usize, bool),
    Update(usize, usize),
    Magic(usize, Vec<usize>, i64),
    Read(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..2_usize;
    let one = 0..12_usize;
    let some = prop::collection::vec(0..12_usize, 0..4);
    let pairs = prop::collection::vec((0..12_usize, 0..12_usize), 0..4);
    prop_oneof![
        2 => (who.clone()).prop_map(Step::Create),
        6 => (who.clone(), one.clone()).prop_map(|(w, c)| Step::Commit(w, c)),
        3 => (who.clone(), one.clone(), some.clone()).prop_map(|(w, c, f)| Step::Add(w, c, f)),
        3 => (who.clone(), one.clone(), one.clone(), some.clone()).prop_map(|(w, a, b, f)| Step::Move(w, a, b, f)),
        1 => (who.clone(), one.clone(), some.clone()).prop_map(|(w, c, f)| Step::Remove(w, c, f)),
        3 => (who.clone(), pairs).prop_map(|(w, items)| Step::Trash(w, items)),
        3 => (who.clone(), one.clone(), some.clone()).prop_map(|(w, c, f)| Step::Restore(w, c, f)),
        1 => (who.clone(), some.clone()).prop_map(|(w, f)| Step::Purge(w, f)),
        1 => who.clone().prop_map(Step::Empty),
        1 => (who.clone(), one.clone(), any::<bool>()).prop_map(|(w, c, keep)| Step::Delete(w, c, keep)),
        1 => (who.clone(), one).prop_map(|(w, f)| Step::Update(w, f)),
        1 => (who.clone(), some, 0..3_i64).prop_map(|(w, f, v)| Step::Magic(w, f, v)),
        4 => who.prop_map(Step::Read),
    ]
}

/// Two accounts, what they made, and a reader of each.
struct World {
    accounts: [AccountId; 2],
    readers: [Reader; 2],
    collections: Vec<CollectionId>,
    files: Vec<FileId>,
}

impl World {
    async fn new(store: &Store) -> Self {
        let accounts = [account(store, "a@example.org").await, account(store, "b@example.org").await];
        Self {
            accounts,
            readers: [Reader::new(accounts[0], 1), Reader::new(accounts[1], 3)],
            collections: vec![album(store, accounts[0]).await, album(store, accounts[1]).await],
            files: Vec::new(),
        }
    }

    fn collection(&self, number: usize) -> CollectionId {
        self.collections[number % self.collections.len()]
    }

    fn file(&self, number: usize) -> FileId {
        // One that never was, as long as there is none.
        self.files.get(number % self.files.len().max(1)).copied().unwrap_or(FileId(1 << 40))
    }

    fn ids(&self, numbers: &[usize]) -> Vec<FileId> {
        numbers.iter().map(|number| self.file(*number)).collect()
    }

    fn keys(&self, numbers: &[usize]) -> Vec<FileKey> {
        self.ids(numbers).into_iter().map(key).collect()
    }

    async fn take(&mut self, store: &Store, step: &Step) {
        let result = match step {
            Step::Create(who) => {
                let kinds = [CollectionType::Album, CollectionType::Favorites, CollectionType::Uncategorized];
                let kind = kinds[self.collections.len() % 3];
                let made = store.create_collection(self.accounts[*who], &new_collection(kind)).await;
                made.map(|made| self.collections.push(made.id))
            }
            Step::Commit(who, collection) => {
                let request = new_file(store, self.accounts[*who], self.collection(*collection), 10).await;
                let made = store.commit_file(self.accounts[*who], &request, QUOTA).await;
                made.map(|file| self.files.push(file.id))
            }
            Step::Add(who, collection, files) => {
                store.add_files(self.accounts[*who], self.collection(*collection), &self.keys(files)).await
            }
            Step::Move(who, from, to, files) => {
                let (from, to) = (self.collection(*from), self.collection(*to));
                store.move_files(self.accounts[*who], from, to, &self.keys(files)).await
            }
            Step::Remove(who, collection, files) => {
                store.remove_files(self.accounts[*who], self.collection(*collection), &self.ids(files)).await
            }
            Step::Trash(who, items) => {
                let items: Vec<_> = items.iter().map(|(f, c)| (self.file(*f), self.collection(*c))).collect();
                store.trash_files(self.accounts[*who], &items).await
            }
            Step::Restore(who, collection, files) => {
                store
                    .restore_files(self.accounts[*who], self.collection(*collection), &self.keys(files))
                    .await
            }
            Step::Purge(who, files) => {
                store.purge_files(self.accounts[*who], &self.ids(files)).await.map(|_| ())
            }
            Step::Empty(who) => {
                store.empty_trash(self.accounts[*who], self.readers[*who].trash_cursor).await.map(|_| ())
            }
            Step::Delete(who, collection, keep) => {
                store.delete_collection(self.accounts[*who], self.collection(*collection), *keep).await
            }
            Step::Update(who, file) => {
                let account = self.accounts[*who];
                let (new, thumbnail) = (object(store, account, 20).await, object(store, account, 2).await);
                let update = update_of(self.file(*file), new, thumbnail);
                store.update_file(account, &update, QUOTA).await.map(|_| ())
            }
            Step::Magic(who, files, version) => {
                let updates: Vec<_> = self.ids(files).into_iter().map(|id| magic(id, *version)).collect();
                store.update_magic(self.accounts[*who], Envelope::Private, &updates, true).await
            }
            Step::Read(who) => {
                self.readers[*who].sync(store).await;
                Ok(())
            }
        };
        if let Err(ChangeError::Store(error)) = result {
            panic!("{step:?}: {error:?}");
        }
    }

    /// Every file that was ever made is live, in the trash, or purged; nothing is nowhere.
    fn nothing_is_lost(&self) {
        for file in &self.files {
            let seen = self.readers.iter().any(|reader| {
                reader.is_live(*file) || reader.trash.get(file).is_some_and(|item| !item.is_restored)
            });
            assert!(seen, "I4: {file} is nowhere");
        }
    }
}

async fn check(steps: &[Step]) {
    for (_folder, store) in stores().await {
        let mut world = World::new(&store).await;
        for step in steps {
            world.take(&store, step).await;
        }
        for reader in &mut world.readers {
            reader.must_be_up_to_date(&store).await;
            reader.must_be_sound(&store).await;
        }
        world.nothing_is_lost();
        store.close().await;
    }
}

#[test]
fn whatever_two_accounts_do_the_invariants_hold_and_no_reader_misses_anything() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = ProptestConfig {
        cases: 32,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    };
    let steps = prop::collection::vec(step(), 1..80);
    TestRunner::new(config)
        .run(&steps, |steps| {
            let outcome = runtime.block_on(async { tokio::spawn(async move { check(&steps).await }).await });
            outcome.map_err(|panic| TestCaseError::fail(panic.to_string()))
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trap_18_a_reader_beside_concurrent_writers_misses_nothing() {
    for (_folder, store) in stores().await {
        let store = std::sync::Arc::new(store);
        let owner = account(&store, "a@example.org").await;
        let shelves = [album(&store, owner).await, album(&store, owner).await];
        let writers: Vec<_> = (0..6)
            .map(|number: usize| {
                let store = store.clone();
                tokio::spawn(async move { write_a_while(&store, owner, shelves, number).await })
            })
            .collect();
        let mut reader = Reader::new(owner, 2);
        while writers.iter().any(|writer| !writer.is_finished()) {
            reader.sync(&store).await;
        }
        for writer in writers {
            writer.await.unwrap();
        }
        reader.must_be_up_to_date(&store).await;
        reader.must_be_sound(&store).await;
        assert_eq!(reader.trash.len(), 6 * 5);
    }
}

async fn write_a_while(store: &Store, owner: AccountId, shelves: [CollectionId; 2], number: usize) {
    for round in 0..10 {
        let (here, there) = (shelves[round % 2], shelves[(round + number) % 2]);
        let id = file(store, owner, here).await;
        if here != there {
            store.move_files(owner, here, there, &[key(id)]).await.unwrap();
        }
        store.update_magic(owner, Envelope::Public, &[magic(id, 1)], true).await.unwrap();
        if round % 2 == 0 {
            store.trash_files(owner, &[(id, there)]).await.unwrap();
        }
        if round % 4 == 0 {
            store.restore_files(owner, here, &[key(id)]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_full_batch_is_one_transaction_and_a_page_is_cut_anywhere() {
    for (_folder, store) in stores().await {
        let owner = account(&store, "a@example.org").await;
        let (one, two) = (album(&store, owner).await, album(&store, owner).await);
        let mut files = Vec::new();
        for _ in 0..1000 {
            files.push(file(&store, owner, one).await);
        }
        let keys: Vec<FileKey> = files.iter().copied().map(key).collect();
        store.add_files(owner, two, &keys).await.unwrap();
        let updates: Vec<FileMagic> = files.iter().map(|id| magic(*id, 0)).collect();
        store.update_magic(owner, Envelope::Private, &updates, true).await.unwrap();
        let mut reader = Reader::new(owner, 333);
        reader.must_be_up_to_date(&store).await;
        reader.must_be_sound(&store).await;
        let items: Vec<(FileId, CollectionId)> = files.iter().map(|id| (*id, one)).collect();
        store.trash_files(owner, &items).await.unwrap();
        store.restore_files(owner, one, &keys).await.unwrap();
        store.move_files(owner, one, two, &keys).await.unwrap();
        reader.must_be_up_to_date(&store).await;
        reader.must_be_sound(&store).await;
        store.delete_collection(owner, two, false).await.unwrap();
        reader.sync(&store).await;
        assert_eq!(store.empty_trash(owner, reader.trash_cursor).await.unwrap(), 1000);
        reader.must_be_up_to_date(&store).await;
        reader.must_be_sound(&store).await;
        assert_eq!(store.usage_of(owner).await.unwrap().used, 0);
    }
}

#[tokio::test]
async fn an_object_goes_from_open_to_garbage_and_never_back() {
    for (_folder, store) in stores().await {
        let owner = account(&store, "a@example.org").await;
        let at = ObjectAddress::generate(owner);
        let etag = |md5: u8| format!("{md5:02x}").repeat(16);
        let first = body(at, 1, 5, 1);
        assert_eq!(store.store_part(at, 1, 2, &first).await.unwrap(), Kept::Stored { replaced: None });
        assert_eq!(store.store_part(at, 1, 2, &body(at, 1, 5, 1)).await.unwrap(), Kept::Already);
        let replaced = Kept::Stored { replaced: Some(first.blob) };
        assert_eq!(store.store_part(at, 1, 2, &body(at, 1, 6, 9)).await.unwrap(), replaced);
        assert_eq!(
            store.store_part(at, 2, 3, &body(at, 2, 5, 1)).await.unwrap(),
            Kept::Refused,
            "another count"
        );
        let list = [(1, etag(9)), (2, etag(2))];
        assert_eq!(store.complete(at, &list[..1]).await.unwrap(), Completed::Mismatch);
        store.store_part(at, 2, 2, &body(at, 2, 4, 2)).await.unwrap();
        assert_eq!(store.complete(at, &[(1, etag(1)), (2, etag(2))]).await.unwrap(), Completed::Mismatch);
        let Completed::Whole(whole) = store.complete(at, &list).await.unwrap() else { panic!() };
        assert!(whole.ends_with("-2"), "{whole}");
        assert_eq!(store.complete(at, &list).await.unwrap(), Completed::Whole(whole));
        assert_eq!(store.store_part(at, 1, 2, &body(at, 1, 6, 9)).await.unwrap(), Kept::Already);
        assert_eq!(store.store_part(at, 1, 2, &body(at, 1, 6, 8)).await.unwrap(), Kept::Refused);
        let readable = store.readable_object(at, 0).await.unwrap().unwrap();
        assert_eq!(readable.segments.iter().map(|part| part.length).collect::<Vec<_>>(), [6, 4]);
        assert_eq!(store.give_up_overdue(i64::MAX).await.unwrap(), 1);
        assert_eq!(store.complete(at, &list).await.unwrap(), Completed::Gone);
        assert_eq!(store.store_part(at, 1, 2, &body(at, 1, 6, 9)).await.unwrap(), Kept::Gone);
        let garbage = store.due_garbage(i64::MAX).await.unwrap();
        assert_eq!((garbage.keys.len(), garbage.blobs.len()), (1, 2));
        store.forget_garbage(&garbage).await.unwrap();
        assert_eq!(store.due_garbage(i64::MAX).await.unwrap().keys, []);
        assert_eq!(store.unnamed_blobs(&garbage.blobs).await.unwrap(), garbage.blobs);
        assert_eq!(store.complete(ObjectAddress::generate(owner), &list).await.unwrap(), Completed::Gone);
    }
}

#[tokio::test]
async fn a_committed_object_is_never_replaced() {
    for (_folder, store) in stores().await {
        let owner = account(&store, "a@example.org").await;
        let shelf = album(&store, owner).await;
        let request = new_file(&store, owner, shelf, 10).await;
        let at = ObjectAddress::parse(&request.file.object_key).unwrap();
        let other = body(at, 0, 10, 8);
        assert!(matches!(store.store_whole(at, &other).await.unwrap(), Kept::Stored { replaced: Some(_) }));
        store.commit_file(owner, &request, QUOTA).await.unwrap();
        assert_eq!(store.store_whole(at, &body(at, 0, 10, 7)).await.unwrap(), Kept::Refused);
        assert_eq!(store.store_whole(at, &body(at, 0, 10, 8)).await.unwrap(), Kept::Already);
        let readable = store.readable_object(at, 0).await.unwrap().unwrap();
        assert_eq!(readable.segments[0].name, other.blob);
        assert_eq!(store.give_up_overdue(i64::MAX).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_file_that_is_edited_in_the_trash_shows_in_the_trash_feed() {
    for (_folder, store) in stores().await {
        let owner = account(&store, "a@example.org").await;
        let shelf = album(&store, owner).await;
        let id = file(&store, owner, shelf).await;
        store.trash_files(owner, &[(id, shelf)]).await.unwrap();
        let mut reader = Reader::new(owner, 10);
        reader.sync(&store).await;
        let (file, thumbnail) = (object(&store, owner, 20).await, object(&store, owner, 2).await);
        let update = update_of(id, file, thumbnail);
        store.update_file(owner, &update, QUOTA).await.unwrap();
        reader.sync(&store).await;
        assert_eq!(reader.trash[&id].file.info.unwrap().file_size, 20);
        store.update_magic(owner, Envelope::Private, &[magic(id, 0)], true).await.unwrap();
        reader.must_be_up_to_date(&store).await;
        reader.must_be_sound(&store).await;
    }
}

/// It was purged a month early.
#[tokio::test]
async fn what_is_trashed_again_while_the_trash_is_purged_has_its_time_anew() {
    for (_folder, store) in stores().await {
        let owner = account(&store, "a@example.org").await;
        let shelf = album(&store, owner).await;
        let id = file(&store, owner, shelf).await;
        let delete_by = async || {
            store.trash_files(owner, &[(id, shelf)]).await.unwrap();
            store.trash_diff(owner, Version(0), true).await.unwrap().diff[0].delete_by
        };
        let first = delete_by().await;
        let overdue = store.overdue_trash(first).await.unwrap();
        assert_eq!(overdue[&owner], [id]);
        store.restore_files(owner, shelf, &[key(id)]).await.unwrap();
        assert_eq!(store.purge_files_due(owner, &overdue[&owner], first).await.unwrap(), 0, "restored");
        let second = delete_by().await;
        assert!(second > first);
        assert_eq!(store.purge_files_due(owner, &overdue[&owner], first).await.unwrap(), 0);
        assert_eq!(store.purge_overdue(first).await.unwrap(), 0);
        assert_eq!(store.purge_overdue(second).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn concurrent_commits_never_overrun_the_quota() {
    for (_folder, store) in stores().await {
        let owner = account(&store, "a@example.org").await;
        let shelf = album(&store, owner).await;
        let size = 20 << 20;
        let mut requests = Vec::new();
        for _ in 0..8 {
            requests.push(new_file(&store, owner, shelf, size).await);
        }
        let commits = requests.iter().map(|request| store.commit_file(owner, request, 0));
        let done = futures_util::future::join_all(commits).await;
        let accepted = done.iter().filter(|result| result.is_ok()).count();
        assert_eq!(accepted, 2, "50 MiB of grace hold two files of 20 MiB");
        assert!(done.iter().all(|result| matches!(result, Ok(_) | Err(ChangeError::QuotaExceeded))));
        assert_eq!(store.usage_of(owner).await.unwrap().used, 2 * (size + 1));
    }
}
