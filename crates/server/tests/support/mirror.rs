//! A client that reads the ordered feed and nothing else, and says at every page whether the feed keeps its word.

use darkslide_protocol::change::{Change, Changes};
use darkslide_protocol::collection::Collection;
use darkslide_protocol::file::File;
use darkslide_protocol::trash::TrashItem;
use darkslide_protocol::{AccountId, CollectionId, FileId, Version};
use darkslide_server::store::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

/// What a client shows of one item of the trash.
type ShownItem<'m> = (Version, bool, bool, i64, Option<&'m File>);

/// What a client has made of the feed.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    pub account: AccountId,
    pub start: Version,
    pub cursor: Version,
    pub collections: BTreeMap<CollectionId, Collection>,
    pub files: BTreeMap<(CollectionId, FileId), File>,
    pub trash: BTreeMap<FileId, TrashItem>,
}

impl Mirror {
    /// One that begins to read after `start`.
    pub fn after(account: AccountId, start: Version) -> Self {
        let (collections, files, trash) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { account, start, cursor: start, collections, files, trash }
    }

    /// Everything there is now, in the largest pages.
    pub async fn of_everything(store: &Store, account: AccountId) -> Self {
        let mut mirror = Self::after(account, Version(0));
        while mirror.read(store, u16::MAX).await {}
        mirror
    }

    /// Reads a page. Returns whether another follows.
    pub async fn read(&mut self, store: &Store, limit: u16) -> bool {
        let page = store.changes(self.account, self.cursor, limit).await.unwrap();
        self.take(page, usize::from(limit))
    }

    /// Takes a page that was asked for with this cursor.
    pub fn take(&mut self, page: Changes, limit: usize) -> bool {
        assert!(page.changes.len() <= limit, "every version here is of one row");
        assert!(page.next >= self.cursor, "cursors never go back");
        assert!(!page.has_more || !page.changes.is_empty(), "a page that is not the last has changes");
        self.must_know_collections(&page);
        for change in page.changes {
            let version = change.version().unwrap();
            assert!(version > self.cursor, "{version} comes after {}", self.cursor);
            self.cursor = version;
            self.apply(change);
        }
        assert!(self.cursor <= page.next, "nothing in a page is beyond its end");
        assert!(!page.has_more || self.cursor == page.next, "a full page ends at its last change");
        self.cursor = page.next;
        page.has_more
    }

    /// Who has read from the beginning has the key of every file as soon as the file is met.
    fn must_know_collections(&self, page: &Changes) {
        let ahead: BTreeSet<CollectionId> = page.ahead.iter().map(|collection| collection.id).collect();
        assert!(page.ahead.iter().all(|collection| collection.updation_time > page.next));
        let here = |id| {
            let is = |change: &Change| matches!(change, Change::Collection { collection, .. } if collection.id == id);
            page.changes.iter().any(is)
        };
        for change in &page.changes {
            if let Change::Membership { file, .. } = change {
                let id = file.collection_id;
                let known = ahead.contains(&id) || here(id) || self.collections.contains_key(&id);
                assert!(known || self.start != Version(0), "the key of {id} is missing");
            }
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Collection { version, collection } => {
                assert_eq!(version, collection.updation_time);
                let is_own = collection.owner.id == self.account;
                assert_eq!(collection.shared_at.is_none(), is_own);
                assert_eq!(collection.key_decryption_nonce.is_some(), is_own);
                if !is_own && collection.is_deleted {
                    // It is shared no longer, and its files went with it.
                    self.files.retain(|(of, _), _| *of != collection.id);
                }
                self.collections.insert(collection.id, collection);
            }
            Change::Membership { version, file } => {
                assert_eq!(version, file.updation_time);
                self.files.insert((file.collection_id, file.id), file);
            }
            Change::Trash { version, item } => {
                assert_eq!(version, item.updated_at);
                self.trash.insert(item.file.id, item);
            }
            Change::Unknown => panic!("a kind that this server does not have"),
        }
    }

    /// That what it has seen since it began is all that has changed since.
    pub async fn must_be_complete(&self, store: &Store) {
        let mut expected = Self::of_everything(store, self.account).await;
        assert_eq!(self.cursor, expected.cursor);
        expected.collections.retain(|_, collection| collection.updation_time > self.start);
        expected.files.retain(|_, file| file.updation_time > self.start);
        expected.trash.retain(|_, item| item.updated_at > self.start);
        must_be_same(&self.collections, &expected.collections);
        must_be_same(&shown_files(&self.files), &shown_files(&expected.files));
        must_be_same(&shown_items(&self.trash), &shown_items(&expected.trash));
    }

    /// That it is what the three feeds of the base API say, each of which reads one table.
    pub async fn must_be_what_the_base_says(&self, store: &Store) {
        let collections = store.all_collections_since(self.account, Version(0)).await.unwrap();
        let listed: BTreeMap<_, _> = collections.iter().map(|one| (one.id, one.clone())).collect();
        must_be_same(&self.collections, &listed);
        let mut files = BTreeMap::new();
        for collection in collections.iter().filter(|collection| !collection.is_deleted) {
            let diff =
                store.collection_diff_page(self.account, collection.id, Version(0), 1 << 40).await.unwrap();
            files.extend(diff.diff.into_iter().map(|file| ((collection.id, file.id), file)));
        }
        let mut here = self.files.clone();
        here.retain(|(of, _), file| {
            let is_gone = self.collections[of].is_deleted;
            assert!(!is_gone || file.is_deleted, "nothing lives in a deleted collection");
            !is_gone
        });
        must_be_same(&shown_files(&here), &shown_files(&files));
        let trash = store.trash_diff_page(self.account, Version(0), true, 1 << 40).await.unwrap();
        let trash = trash.diff.into_iter().map(|item| (item.file.id, item)).collect();
        must_be_same(&shown_items(&self.trash), &shown_items(&trash));
    }
}

/// What a client shows of memberships: of a tombstone nothing but that it is one, for its file may be purged without it.
fn shown_files(files: &BTreeMap<(CollectionId, FileId), File>) -> BTreeMap<String, (Version, Option<&File>)> {
    let shown = |file| Some(file).filter(|file: &&File| !file.is_deleted);
    files
        .iter()
        .map(|((of, id), file)| (format!("{id} in {of}"), (file.updation_time, shown(file))))
        .collect()
}

/// What a client shows of the trash: of what was restored or purged nothing but that.
fn shown_items(items: &BTreeMap<FileId, TrashItem>) -> BTreeMap<FileId, ShownItem<'_>> {
    fn state(item: &TrashItem) -> ShownItem<'_> {
        let shown = Some(&item.file).filter(|_| !item.is_deleted && !item.is_restored);
        (item.updated_at, item.is_deleted, item.is_restored, item.delete_by, shown)
    }
    items.iter().map(|(id, item)| (*id, state(item))).collect()
}

fn must_be_same<K: Ord + Debug, V: PartialEq + Debug>(seen: &BTreeMap<K, V>, stored: &BTreeMap<K, V>) {
    let keys: BTreeSet<&K> = seen.keys().chain(stored.keys()).collect();
    for key in keys {
        assert_eq!(seen.get(key), stored.get(key), "{key:?}");
    }
}
