//! What a client has synced, and the three ways in which clients follow the diffs.
//!
//! The rules differ in when a collection's diff is asked for and what is kept as its cursor; a server that serves one
//! rule only leaves the other clients behind for good.

use super::Device;
use super::reading::{
    CollectionRow, FileRow, TrashRow, read_collections, read_file_diff, read_trash_diff,
    read_wrapped_collection,
};
use crate::vault::{open_blob, open_name, open_stream};
use darkslide_crypto::keys::{CollectionKey, FileKey, Wraps as _};
use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeMap;

/// More pages than any test fills: one more means that a diff never ends.
const PAGES_MAX: usize = 1000;

/// When a collection's diff is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullRule {
    /// Web: unless its time *equals* the stored one.
    Unequal,
    /// Phones: if its time is *later* than the stored one.
    Later,
    /// The command line: as phones, but tombstones are passed over on the first run, and there is no trash.
    Export,
}

/// What a client has synced.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mirror {
    /// Every collection, tombstones included.
    pub collections: BTreeMap<i64, CollectionRow>,
    /// Every membership, tombstones included, by collection and file.
    pub files: BTreeMap<(i64, i64), FileRow>,
    /// Every entry of the trash.
    pub trash: BTreeMap<i64, TrashRow>,
    collections_cursor: i64,
    cursors: BTreeMap<i64, i64>,
    trash_cursor: i64,
}

/// A file, decrypted.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenedFile {
    /// The original.
    pub content: Vec<u8>,
    /// The thumbnail.
    pub thumbnail: Vec<u8>,
    /// The metadata.
    pub metadata: Value,
}

impl Mirror {
    /// The files that are in a collection now.
    pub fn live(&self, collection: i64) -> Vec<&FileRow> {
        let rows = self.files.values();
        rows.filter(|row| row.collection == collection && !row.deleted).collect()
    }

    /// Every collection that a file is in now.
    pub fn albums_of(&self, file: i64) -> Vec<i64> {
        let rows = self.files.values();
        rows.filter(|row| row.id == file && !row.deleted).map(|row| row.collection).collect()
    }

    /// The cursor of the collections' list.
    pub fn collections_cursor(&self) -> i64 {
        self.collections_cursor
    }
}

impl Device {
    /// One pull of collections and files: returns how many diffs were asked for.
    pub async fn pull(&mut self, rule: PullRule, source: Option<&str>) -> usize {
        let since = self.mirror.collections_cursor;
        let source = source.map_or(String::new(), |source| format!("&source={source}"));
        let path = format!("/collections/v2?sinceTime={since}{source}");
        let changed = read_collections(&self.http.call(Method::GET, &path, None).await.ok());
        let mut asked = 0;
        for row in changed {
            assert!(row.time > since, "collection {} is not newer than the cursor", row.id);
            self.mirror.collections_cursor = self.mirror.collections_cursor.max(row.time);
            self.mirror.collections.insert(row.id, row.clone());
            let stored = self.mirror.cursors.get(&row.id).copied().unwrap_or(0);
            let wanted = match rule {
                PullRule::Unequal => stored != row.time,
                PullRule::Later => row.time > stored,
                PullRule::Export => stored != row.time && !(row.deleted && since == 0),
            };
            if wanted && !row.deleted {
                self.pull_collection(row.id, stored).await;
                asked += 1;
            }
            self.mirror.cursors.insert(row.id, row.time);
        }
        asked
    }

    /// Pages through one collection's diff; checks that the collection's time covers every row.
    async fn pull_collection(&mut self, collection: i64, stored: i64) {
        let mut since = stored;
        for _ in 0..PAGES_MAX {
            let path = format!("/collections/v2/diff?collectionID={collection}&sinceTime={since}");
            let (rows, more) = read_file_diff(&self.http.call(Method::GET, &path, None).await.ok());
            for row in rows {
                assert!(row.time > since && row.collection == collection, "{row:?} since {since}");
                self.mirror.files.insert((collection, row.id), row);
            }
            let seen = self.mirror.files.values().filter(|row| row.collection == collection);
            since = seen.map(|row| row.time).max().unwrap_or(since).max(since);
            if !more {
                return;
            }
        }
        panic!("the diff of collection {collection} never ends");
    }

    /// One pull of the trash; collections of trashed files that were never seen are fetched, for their keys.
    pub async fn pull_trash(&mut self) {
        for _ in 0..PAGES_MAX {
            let since = self.mirror.trash_cursor;
            let path = format!("/trash/v2/diff?sinceTime={since}");
            let (rows, more) = read_trash_diff(&self.http.call(Method::GET, &path, None).await.ok());
            for row in rows {
                assert!(row.updated_at > since, "{row:?} since {since}");
                self.mirror.trash_cursor = self.mirror.trash_cursor.max(row.updated_at);
                self.fetch_collection(row.file.collection).await;
                self.mirror.trash.insert(row.file.id, row);
            }
            if !more {
                return;
            }
        }
        panic!("the diff of the trash never ends");
    }

    async fn fetch_collection(&mut self, collection: i64) {
        if self.mirror.collections.contains_key(&collection) {
            return;
        }
        let path = format!("/collections/{collection}");
        let row = read_wrapped_collection(&self.http.call(Method::GET, &path, None).await.ok());
        self.mirror.collections.insert(collection, row);
    }

    /// `GET /collection-actions/pending-remove`.
    pub async fn pull_pending_actions(&self) {
        let answer = self.http.call(Method::GET, "/collection-actions/pending-remove", None).await.ok();
        assert!(crate::fields::Fields::of("pending", &answer).list("actions").is_empty());
    }

    /// A collection's key.
    pub fn collection_key(&self, collection: i64) -> CollectionKey {
        let row = &self.mirror.collections[&collection];
        self.account().keys.master_key.unwrap_key(&row.key).unwrap()
    }

    /// A collection's name.
    pub fn collection_name(&self, collection: i64) -> String {
        let row = &self.mirror.collections[&collection];
        open_name(&self.collection_key(collection), &row.encrypted_name, &row.name_nonce)
    }

    /// A file's key, from one of its memberships.
    pub fn file_key(&self, row: &FileRow) -> FileKey {
        self.collection_key(row.collection).unwrap_key(&row.key).unwrap()
    }

    /// A file's metadata.
    pub fn metadata(&self, row: &FileRow) -> Value {
        let (data, header) = row.metadata.as_ref().expect("the file was not purged");
        serde_json::from_slice(&open_blob(&self.file_key(row), header, data)).unwrap()
    }

    /// A file from its downloaded objects; their lengths must be those that were listed.
    pub fn open_file(&self, row: &FileRow, original: &[u8], thumbnail: &[u8]) -> OpenedFile {
        let sizes = (original.len() as i64, thumbnail.len() as i64);
        assert_eq!(row.sizes, Some(sizes), "the listed sizes are those of the ciphertext");
        let key = self.file_key(row);
        OpenedFile {
            content: open_stream(&key, &row.file_header, original),
            thumbnail: open_blob(&key, &row.thumbnail_header, thumbnail),
            metadata: self.metadata(row),
        }
    }
}
