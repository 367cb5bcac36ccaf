//! A client that reads: it pages from its cursors, as stock clients do, and says whether what it sees is whole and sound.

use darkslide_protocol::collection::Collection;
use darkslide_protocol::file::File;
use darkslide_protocol::trash::TrashItem;
use darkslide_protocol::{AccountId, CollectionId, FileId, Version};
use darkslide_server::store::Store;
use darkslide_server::store::change::ChangeError;
use std::collections::{BTreeMap, BTreeSet};

/// What a client shows of one item of the trash.
type TrashState<'r> = (Version, bool, bool, i64, i64, Option<&'r File>);

/// A client: what it has seen, and how far it has read.
pub struct Reader {
    pub account: AccountId,
    page: i64,
    cursor: Version,
    pub trash_cursor: Version,
    pub collections: BTreeMap<CollectionId, Collection>,
    read_until: BTreeMap<CollectionId, Version>,
    files: BTreeMap<(CollectionId, FileId), File>,
    pub trash: BTreeMap<FileId, TrashItem>,
}

impl Reader {
    pub fn new(account: AccountId, page: i64) -> Self {
        Self {
            account,
            page,
            cursor: Version(0),
            trash_cursor: Version(0),
            collections: BTreeMap::new(),
            read_until: BTreeMap::new(),
            files: BTreeMap::new(),
            trash: BTreeMap::new(),
        }
    }

    /// Reads on, in the order in which stock clients do: collections, what is in them, trash.
    pub async fn sync(&mut self, store: &Store) {
        let changed = store.all_collections_since(self.account, self.cursor).await.unwrap();
        for collection in changed {
            self.cursor = self.cursor.max(collection.updation_time);
            self.collections.insert(collection.id, collection);
        }
        let listed: Vec<Collection> = self.collections.values().cloned().collect();
        for collection in listed {
            if collection.is_deleted {
                self.files.retain(|(of, _), _| *of != collection.id);
            } else if self.read_until.get(&collection.id) != Some(&collection.updation_time) {
                self.read(store, &collection).await;
            }
        }
        self.read_trash(store).await;
    }

    async fn read(&mut self, store: &Store, collection: &Collection) {
        let mut cursor = self.read_until.get(&collection.id).copied().unwrap_or_default();
        loop {
            let page = store.collection_diff_page(self.account, collection.id, cursor, self.page).await;
            let page = match page {
                Ok(page) => page,
                // Deleted since it was listed: the next list says so.
                Err(ChangeError::NotFound) => return,
                Err(error) => panic!("{error}"),
            };
            assert!(!page.has_more || !page.diff.is_empty(), "a page that is not the last has entries");
            for file in page.diff {
                assert!(file.updation_time > cursor, "pages ascend");
                cursor = file.updation_time;
                self.files.insert((collection.id, file.id), file);
            }
            if !page.has_more {
                break;
            }
        }
        self.read_until.insert(collection.id, collection.updation_time);
    }

    async fn read_trash(&mut self, store: &Store) {
        loop {
            let page = store.trash_diff_page(self.account, self.trash_cursor, true, self.page).await.unwrap();
            assert!(!page.has_more || !page.diff.is_empty());
            for item in page.diff {
                assert!(item.updated_at > self.trash_cursor, "pages ascend");
                self.trash_cursor = item.updated_at;
                self.trash.insert(item.file.id, item);
            }
            if !page.has_more {
                return;
            }
        }
    }

    /// That it sees what somebody sees who reads everything now.
    pub async fn must_be_up_to_date(&mut self, store: &Store) {
        self.sync(store).await;
        let mut fresh = Reader::new(self.account, i64::MAX - 1);
        fresh.sync(store).await;
        assert_eq!(self.collections, fresh.collections);
        assert_eq!(self.memberships(), fresh.memberships());
        assert_eq!(self.trash_states(), fresh.trash_states());
    }

    /// What a client shows of memberships: of a tombstone nothing but that it is one.
    fn memberships(&self) -> BTreeMap<(CollectionId, FileId), (Version, Option<&File>)> {
        let shown = |file| Some(file).filter(|file: &&File| !file.is_deleted);
        self.files.iter().map(|(at, file)| (*at, (file.updation_time, shown(file)))).collect()
    }

    /// What a client shows of the trash: of what was restored or purged nothing but that.
    fn trash_states(&self) -> BTreeMap<FileId, TrashState<'_>> {
        fn state(item: &TrashItem) -> TrashState<'_> {
            let TrashItem { file, is_deleted, is_restored, delete_by, created_at, updated_at } = item;
            let shown = Some(file).filter(|_| !is_deleted && !is_restored);
            (*updated_at, *is_deleted, *is_restored, *delete_by, *created_at, shown)
        }
        self.trash.iter().map(|(id, item)| (*id, state(item))).collect()
    }

    pub fn is_live(&self, file: FileId) -> bool {
        self.files.iter().any(|((_, id), membership)| *id == file && !membership.is_deleted)
    }

    /// The invariants that the API promises, of an account that has been read to the end.
    pub async fn must_be_sound(&self, store: &Store) {
        let mut versions = BTreeSet::new();
        for ((collection, _), file) in &self.files {
            assert!(versions.insert(file.updation_time), "every change has a version of its own");
            assert!(file.updation_time <= self.collections[collection].updation_time, "I1");
            assert!(!file.encrypted_key.is_empty() && !file.key_decryption_nonce.is_empty(), "I10");
            assert_eq!(file.owner_id, self.account, "I7");
        }
        for collection in self.collections.values() {
            assert!(versions.insert(collection.updation_time));
            assert_eq!(collection.owner.id, self.account);
            assert!(!collection.encrypted_key.is_empty(), "I9");
        }
        let singular: Vec<&Collection> =
            self.collections.values().filter(|collection| collection.kind.is_singular()).collect();
        assert!(singular.iter().all(|collection| !collection.is_deleted), "I3");
        assert!(singular.len() <= 2, "I2");
        for item in self.trash.values() {
            assert!(versions.insert(item.updated_at));
            assert!(!(item.is_deleted && item.is_restored));
            assert_eq!(self.is_live(item.file.id), item.is_restored, "I5 and I6");
        }
        assert_eq!(store.usage_of(self.account).await.unwrap().used, self.bytes(), "usage");
    }

    /// Bytes of all files that are not purged.
    fn bytes(&self) -> i64 {
        let live = self.files.values().filter(|file| !file.is_deleted);
        let trashed =
            self.trash.values().filter(|item| !item.is_deleted && !item.is_restored).map(|item| &item.file);
        let files = live.chain(trashed);
        let sizes: BTreeMap<FileId, i64> =
            files.filter_map(|file| Some((file.id, file.info?.file_size + file.info?.thumb_size))).collect();
        sizes.values().sum()
    }
}
