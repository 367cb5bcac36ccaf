//! The trash: files leave all their collections, wait, and are restored or purged.
//!
//! A trashed file is in no collection; a purged one is a tombstone without contents, whose bytes are garbage from the same
//! transaction on.

use super::batch::lock_objects;
use super::change::{ChangeError, Touch, Where, change_usage, must_be_distinct, must_own_files};
use super::clocks::Reach;
use super::conditions::{Conditions, due_for_purge, due_for_trash, file_versions};
use super::files::{FILE_COLUMNS, PAGE, cut, file_of};
use super::sql::{LIST_MAX, list, rows, statement};
use super::{Store, StoreError, Tx};
use darkslide_protocol::file::{File, Metadata};
use darkslide_protocol::limits::TRASH_RETENTION_MICROS;
use darkslide_protocol::trash::{TrashDiff, TrashItem};
use darkslide_protocol::{AccountId, CollectionId, FileId, Version};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use std::collections::{BTreeMap, BTreeSet};

/// How many files one transaction purges at most.
const PURGE_AT_ONCE: i64 = 1000;

/// The statement up to its condition that reads what [`item_of`] makes items of.
pub(super) fn trash_items() -> String {
    format!(
        "SELECT {FILE_COLUMNS}, trash.is_restored, trash.is_purged AS trash_purged, trash.delete_by,
                trash.created_at AS trashed_at, trash.version AS trash_version
         FROM trash
         JOIN files ON files.id = trash.file_id
         JOIN collections ON collections.id = trash.collection_id
         JOIN memberships ON memberships.file_id = trash.file_id
                         AND memberships.collection_id = trash.collection_id"
    )
}

impl Store {
    /// Trashes files of the account's. Each is remembered with one of its collections, of the account's too.
    pub async fn trash_files(
        &self,
        account: AccountId,
        items: &[(FileId, CollectionId)],
    ) -> Result<(), ChangeError> {
        self.trash_files_if(account, items, &Conditions::new()).await
    }

    /// The same, on conditions: all, or none when one of them does not hold. What was trashed from those versions before stays as
    /// it is.
    pub async fn trash_files_if(
        &self,
        account: AccountId,
        items: &[(FileId, CollectionId)],
        conditions: &Conditions,
    ) -> Result<(), ChangeError> {
        let files: Vec<FileId> = items.iter().map(|(file, _)| *file).collect();
        must_be_distinct(&files)?;
        if items.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin_for(account, Reach::files(&files)).await?;
        must_own_files(&mut tx, account, &files).await?;
        must_own_collections(&mut tx, account, items).await?;
        must_have_been_in(&mut tx, items).await?;
        let due = due_for_trash(&mut tx, conditions).await?;
        let is_due = |file: &FileId| due.binary_search(file).is_ok() || !conditions.contains_key(file);
        let items: Vec<_> = items.iter().filter(|(file, _)| is_due(file)).copied().collect();
        self.trash_in(&mut tx, account, &items).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The same inside a transaction, for files that are known to be the account's and in those collections.
    pub(super) async fn trash_in(
        &self,
        tx: &mut Tx,
        account: AccountId,
        items: &[(FileId, CollectionId)],
    ) -> Result<(), ChangeError> {
        let now = self.now();
        for chunk in items.chunks(LIST_MAX) {
            let files: Vec<FileId> = chunk.iter().map(|(file, _)| *file).collect();
            let from = file_versions(tx, &files).await?;
            self.touch_memberships(tx, &files, Where::Everywhere, Touch::Remove).await?;
            let first = self.allocate_versions(tx, chunk.len()).await?;
            insert_trash(tx, account, chunk, &from, first, now).await?;
        }
        Ok(())
    }

    /// A page of the trash feed: what changed after `since`, oldest change first. What a purged file was is left out when `strip`.
    pub async fn trash_diff(
        &self,
        account: AccountId,
        since: Version,
        strip: bool,
    ) -> Result<TrashDiff, StoreError> {
        self.trash_diff_page(account, since, strip, PAGE).await
    }

    /// The same with pages of another length.
    pub async fn trash_diff_page(
        &self,
        account: AccountId,
        since: Version,
        strip: bool,
        page: i64,
    ) -> Result<TrashDiff, StoreError> {
        let text = format!(
            "{} WHERE trash.account_id = $1 AND trash.version > $2 ORDER BY trash.version LIMIT $3",
            trash_items()
        );
        let query = statement(text).bind(account.0).bind(since.0).bind(page + 1);
        let rows = query.fetch_all(self.reader()).await?;
        let (diff, has_more) = cut(&rows, page, |row| item_of(row, account, strip))?;
        Ok(TrashDiff { diff, has_more })
    }

    /// Purges those of the files that are in the account's trash. Returns how many.
    pub async fn purge_files(&self, account: AccountId, files: &[FileId]) -> Result<usize, ChangeError> {
        self.purge_files_if(account, files, &Conditions::new()).await
    }

    /// The same, and further files on conditions: all, or none when one of them does not hold. What is purged already stays so.
    pub async fn purge_files_if(
        &self,
        account: AccountId,
        files: &[FileId],
        conditions: &Conditions,
    ) -> Result<usize, ChangeError> {
        let mut distinct: BTreeSet<FileId> = files.iter().copied().collect();
        if conditions.keys().any(|file| distinct.contains(file)) {
            return Err(ChangeError::Malformed("a file is named with and without a condition"));
        }
        let conditional: Vec<FileId> = conditions.keys().copied().collect();
        let mut tx = self.begin_for(account, Reach::default()).await?;
        must_own_files(&mut tx, account, &conditional).await?;
        distinct.extend(due_for_purge(&mut tx, conditions).await?);
        let files: Vec<FileId> = distinct.into_iter().collect();
        let mut purged = 0;
        for chunk in files.chunks(LIST_MAX) {
            let due = in_trash_of(&mut tx, account, chunk, i64::MAX).await?;
            self.purge_in(&mut tx, account, &due).await?;
            purged += due.len();
        }
        tx.commit().await?;
        Ok(purged)
    }

    /// Purges those of the files whose time is up at `now` (µs since the epoch). One that has been restored and trashed again since they were
    /// [listed](Self::overdue_trash) has its time before it. Returns how many.
    pub async fn purge_files_due(
        &self,
        account: AccountId,
        files: &[FileId],
        now: i64,
    ) -> Result<usize, ChangeError> {
        let mut purged = 0;
        let mut tx = self.begin_for(account, Reach::default()).await?;
        for chunk in files.chunks(LIST_MAX) {
            let due = in_trash_of(&mut tx, account, chunk, now).await?;
            self.purge_in(&mut tx, account, &due).await?;
            purged += due.len();
        }
        tx.commit().await?;
        Ok(purged)
    }

    /// Purges what is in the account's trash and no newer than `until`: what the client has seen. Returns how many.
    pub async fn empty_trash(&self, account: AccountId, until: Version) -> Result<usize, ChangeError> {
        let mut purged = 0;
        loop {
            let mut tx = self.begin_for(account, Reach::default()).await?;
            let rows = sqlx::query(
                "SELECT file_id FROM trash WHERE account_id = $1 AND version <= $2
                 AND is_restored = 0 AND is_purged = 0 ORDER BY version LIMIT $3",
            )
            .bind(account.0)
            .bind(until.0)
            .bind(PURGE_AT_ONCE)
            .fetch_all(&mut *tx)
            .await?;
            let due = file_ids(&rows)?;
            if due.is_empty() {
                return Ok(purged);
            }
            self.purge_in(&mut tx, account, &due).await?;
            tx.commit().await?;
            purged += due.len();
        }
    }

    /// Numbers those of the files that wait in the trash anew, for they have changed there: a client that shows the trash decrypts them
    /// with what the feed says. Returns the last version.
    pub(super) async fn touch_trash(
        &self,
        tx: &mut Tx,
        files: &[FileId],
    ) -> Result<Option<Version>, ChangeError> {
        let trashed = in_trash(tx, files).await?;
        if trashed.is_empty() {
            return Ok(None);
        }
        let first = self.allocate_versions(tx, trashed.len()).await?;
        renumber_trash(tx, &trashed, first, "is_restored = 0").await?;
        Ok(Some(Version(first.0 + i64::try_from(trashed.len()).expect("a list is short") - 1)))
    }

    /// Turns files into tombstones. They must be the account's and in its trash.
    async fn purge_in(&self, tx: &mut Tx, account: AccountId, files: &[FileId]) -> Result<(), ChangeError> {
        if files.is_empty() {
            return Ok(());
        }
        let first = self.allocate_versions(tx, files.len()).await?;
        let freed = purge_contents(tx, files).await?;
        mark_purged(tx, files, first).await?;
        discard_objects(tx, files, self.now()).await?;
        change_usage(tx, account, -freed).await?;
        Ok(())
    }
}

fn file_ids(rows: &[AnyRow]) -> Result<Vec<FileId>, StoreError> {
    rows.iter().map(|row| Ok(FileId(row.try_get(0)?))).collect()
}

/// Those of the files that wait in the trash.
pub(super) async fn in_trash(tx: &mut Tx, files: &[FileId]) -> Result<Vec<FileId>, ChangeError> {
    let mut found = Vec::new();
    for chunk in files.chunks(LIST_MAX) {
        let text = format!(
            "SELECT file_id FROM trash WHERE is_restored = 0 AND is_purged = 0 AND file_id IN ({})",
            list(1, chunk.len())
        );
        let query = chunk.iter().fold(statement(text), |query, file| query.bind(file.0));
        found.extend(file_ids(&query.fetch_all(&mut **tx).await?)?);
    }
    found.sort_unstable();
    Ok(found)
}

/// Those of the files that wait in the account's trash and are to be purged until then (µs since the epoch).
async fn in_trash_of(
    tx: &mut Tx,
    account: AccountId,
    files: &[FileId],
    until: i64,
) -> Result<Vec<FileId>, ChangeError> {
    let text = format!(
        "SELECT file_id FROM trash WHERE account_id = $1 AND delete_by <= $2 AND is_restored = 0
         AND is_purged = 0 AND file_id IN ({})",
        list(3, files.len())
    );
    let query = statement(text).bind(account.0).bind(until);
    let query = files.iter().fold(query, |query, file| query.bind(file.0));
    Ok(file_ids(&query.fetch_all(&mut **tx).await?)?)
}

async fn must_own_collections(
    tx: &mut Tx,
    account: AccountId,
    items: &[(FileId, CollectionId)],
) -> Result<(), ChangeError> {
    let collections: BTreeSet<i64> = items.iter().map(|(_, collection)| collection.0).collect();
    let text = format!(
        "SELECT count(*) FROM collections WHERE owner_id = $1 AND id IN ({})",
        list(2, collections.len())
    );
    let query = collections.iter().fold(statement(text).bind(account.0), |query, id| query.bind(*id));
    let owned: i64 = query.fetch_one(&mut **tx).await?.try_get(0)?;
    if usize::try_from(owned) == Ok(collections.len()) { Ok(()) } else { Err(ChangeError::NotOwner) }
}

/// A trash item shows the key pair of the membership that it is remembered with, so there must be, or have been, one.
async fn must_have_been_in(tx: &mut Tx, items: &[(FileId, CollectionId)]) -> Result<(), ChangeError> {
    let mut found = 0;
    for chunk in items.chunks(LIST_MAX) {
        let text = format!(
            "WITH named (file_id, collection_id) AS (VALUES {})
             SELECT count(*) FROM named JOIN memberships ON memberships.file_id = named.file_id
                                     AND memberships.collection_id = named.collection_id",
            rows(1, chunk.len(), 2)
        );
        let query = chunk
            .iter()
            .fold(statement(text), |query, (file, collection)| query.bind(file.0).bind(collection.0));
        found += query.fetch_one(&mut **tx).await?.try_get::<i64, _>(0)?;
    }
    if usize::try_from(found) == Ok(items.len()) {
        Ok(())
    } else {
        Err(ChangeError::Malformed("a file was never in the collection that it is named with"))
    }
}

async fn insert_trash(
    tx: &mut Tx,
    account: AccountId,
    items: &[(FileId, CollectionId)],
    from: &BTreeMap<FileId, Version>,
    first: Version,
    now: i64,
) -> Result<(), ChangeError> {
    let text = format!(
        "INSERT INTO trash (file_id, account_id, collection_id, is_restored, is_purged, delete_by, created_at,
                            version, trashed_from)
         VALUES {} ON CONFLICT (file_id)
         DO UPDATE SET collection_id = excluded.collection_id, is_restored = 0, delete_by = excluded.delete_by,
                       created_at = CASE WHEN trash.is_restored = 1 THEN excluded.created_at
                                         ELSE trash.created_at END,
                       trashed_from = CASE WHEN trash.is_restored = 1 THEN excluded.trashed_from
                                           ELSE trash.trashed_from END,
                       version = excluded.version
         WHERE trash.is_purged = 0",
        rows(1, items.len(), 9)
    );
    let mut query = statement(text);
    for ((file, collection), version) in items.iter().zip(first.0..) {
        query = query
            .bind(file.0)
            .bind(account.0)
            .bind(collection.0)
            .bind(0_i64)
            .bind(0_i64)
            .bind(now + TRASH_RETENTION_MICROS)
            .bind(now)
            .bind(version)
            .bind(from.get(file).map(|version| version.0));
    }
    query.execute(&mut **tx).await?;
    Ok(())
}

/// Numbers trash rows anew while setting `flags`, a constant of this file.
async fn renumber_trash(
    tx: &mut Tx,
    files: &[FileId],
    first: Version,
    flags: &'static str,
) -> Result<(), ChangeError> {
    let mut next = first.0;
    for chunk in files.chunks(LIST_MAX) {
        let text = format!(
            "UPDATE trash SET {flags}, version = $1 + numbered.n
             FROM (SELECT file_id, row_number() OVER (ORDER BY file_id) - 1 AS n FROM trash
                   WHERE file_id IN ({})) AS numbered
             WHERE trash.file_id = numbered.file_id",
            list(2, chunk.len())
        );
        let query = chunk.iter().fold(statement(text).bind(next), |query, file| query.bind(file.0));
        query.execute(&mut **tx).await?;
        next += i64::try_from(chunk.len()).expect("a list is short");
    }
    Ok(())
}

pub(super) async fn mark_restored(tx: &mut Tx, files: &[FileId], first: Version) -> Result<(), ChangeError> {
    renumber_trash(tx, files, first, "is_restored = 1, restored_from = trash.version").await
}

async fn mark_purged(tx: &mut Tx, files: &[FileId], first: Version) -> Result<(), ChangeError> {
    renumber_trash(tx, files, first, "is_purged = 1").await
}

/// Forgets what the files were. Returns the bytes of those that were not purged before.
async fn purge_contents(tx: &mut Tx, files: &[FileId]) -> Result<i64, ChangeError> {
    let mut freed = 0;
    for chunk in files.chunks(LIST_MAX) {
        let ids = list(1, chunk.len());
        let bind = |text: String| chunk.iter().fold(statement(text), |query, file| query.bind(file.0));
        let purged = bind(format!(
            "UPDATE files SET is_purged = 1, metadata = '-', metadata_header = '-', file_header = '-',
                              thumbnail_header = '-', magic_metadata = NULL, pub_magic_metadata = NULL
             WHERE is_purged = 0 AND id IN ({ids}) RETURNING file_size + thumbnail_size"
        ));
        for row in purged.fetch_all(&mut **tx).await? {
            freed += row.try_get::<i64, _>(0)?;
        }
        bind(format!("DELETE FROM file_versions WHERE file_id IN ({ids})")).execute(&mut **tx).await?;
    }
    Ok(freed)
}

/// Everything that the files' contents were made of, earlier ones included, is garbage now.
async fn discard_objects(tx: &mut Tx, files: &[FileId], now: i64) -> Result<(), ChangeError> {
    let mut keys = BTreeSet::new();
    for chunk in files.chunks(LIST_MAX) {
        let text = format!("SELECT key FROM objects WHERE file_id IN ({})", list(1, chunk.len()));
        let query = chunk.iter().fold(statement(text), |query, file| query.bind(file.0));
        for row in query.fetch_all(&mut **tx).await? {
            keys.insert(row.try_get::<String, _>(0)?);
        }
    }
    // All of them before any is changed: who locks some of them in the order of their keys must not wait for this one while this one waits.
    lock_objects(tx, &keys.into_iter().collect::<Vec<_>>()).await?;
    for chunk in files.chunks(LIST_MAX) {
        let text = format!(
            "UPDATE objects SET state = 'garbage', expires_at = $1 WHERE file_id IN ({})",
            list(2, chunk.len())
        );
        let query = chunk.iter().fold(statement(text).bind(now), |query, file| query.bind(file.0));
        query.execute(&mut **tx).await?;
    }
    Ok(())
}

pub(super) fn item_of(row: &AnyRow, account: AccountId, strip: bool) -> Result<TrashItem, StoreError> {
    let is_deleted = row.try_get::<i64, _>("trash_purged")? != 0;
    let file = File { collection_owner_id: None, is_deleted: false, ..file_of(row, account)? };
    Ok(TrashItem {
        file: if is_deleted && strip { stripped(file) } else { file },
        is_deleted,
        is_restored: row.try_get::<i64, _>("is_restored")? != 0,
        delete_by: row.try_get("delete_by")?,
        created_at: row.try_get("trashed_at")?,
        updated_at: Version(row.try_get("trash_version")?),
    })
}

/// What remains of a purged file: ids and keys. Its header fields are still strings, for web refuses the page without them.
pub(super) fn stripped(file: File) -> File {
    File { metadata: Metadata::default(), magic_metadata: None, pub_magic_metadata: None, info: None, ..file }
}
