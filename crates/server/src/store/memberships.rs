//! Which files are in which collections: added, moved, removed, and brought back from the trash.
//!
//! A membership that was removed stays as a tombstone with its keys; adding the file again makes it live again with the keys that
//! it had.

use super::change::{
    ChangeError, CollectionState, Role, Touch, Where, collection_state, must_be_distinct,
    must_not_be_in_trash, must_own_files,
};
use super::clocks::Reach;
use super::collections::must_own;
use super::conditions::{Conditions, must_be_restorable};
use super::sql::{list, rows, statement};
use super::{Store, Tx};
use darkslide_protocol::file::FileKey;
use darkslide_protocol::{AccountId, CollectionId, FileId};
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet};

/// How many memberships one statement writes.
const ROWS: usize = 500;

/// What checks need to know of a membership.
struct Membership {
    owner: AccountId,
    is_deleted: bool,
}

impl Store {
    /// Adds files of the account's to a collection: its own, or one that others let it add to. Those that are in it already stay as they are.
    pub async fn add_files(
        &self,
        account: AccountId,
        collection: CollectionId,
        files: &[FileKey],
    ) -> Result<(), ChangeError> {
        let ids = check_keys(files)?;
        let mut tx = self.begin_for(account, Reach::collections(&[collection])).await?;
        let state = collection_state(&mut tx, account, collection).await?;
        state.must_be_live_for(Role::may_add)?;
        must_own_files(&mut tx, account, &ids).await?;
        must_not_be_in_trash(&mut tx, &ids).await?;
        self.upsert(&mut tx, state.owner, collection, files).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Moves files of the account's from one of its collections to another. They need not be in the first.
    pub async fn move_files(
        &self,
        account: AccountId,
        from: CollectionId,
        to: CollectionId,
        files: &[FileKey],
    ) -> Result<(), ChangeError> {
        if from == to {
            return Err(ChangeError::Malformed("from and to are the same collection"));
        }
        let ids = check_keys(files)?;
        let mut tx = self.begin_for(account, Reach::collections(&[from, to])).await?;
        must_own(&mut tx, account, from).await?;
        must_own(&mut tx, account, to).await?;
        must_own_files(&mut tx, account, &ids).await?;
        must_not_be_in_trash(&mut tx, &ids).await?;
        self.upsert(&mut tx, account, to, files).await?;
        self.touch_memberships(&mut tx, &ids, Where::In(from), Touch::Remove).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Removes files from a collection. Its owner removes others' files so; own ones are moved, never removed. Whom it is shared with
    /// removes own files, and an administrator those of all but the owner.
    pub async fn remove_files(
        &self,
        account: AccountId,
        collection: CollectionId,
        files: &[FileId],
    ) -> Result<(), ChangeError> {
        let mut tx = self.begin_for(account, Reach::collections(&[collection])).await?;
        let state = collection_state(&mut tx, account, collection).await?;
        state.must_be_live_for(|_| true)?;
        let memberships = memberships_of(&mut tx, collection, files).await?;
        for file in files {
            let membership = memberships
                .get(file)
                .ok_or(ChangeError::Malformed("the file was never in the collection"))?;
            if !membership.is_deleted {
                must_be_removable(account, state, membership.owner)?;
            }
        }
        self.touch_memberships(&mut tx, files, Where::In(collection), Touch::Remove).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Brings files back from the trash into a collection, all or none. Those that were brought back there before are passed over.
    pub async fn restore_files(
        &self,
        account: AccountId,
        collection: CollectionId,
        files: &[FileKey],
    ) -> Result<(), ChangeError> {
        self.restore_files_if(account, collection, files, &Conditions::new()).await
    }

    /// The same, on conditions: none when one of them does not hold.
    pub async fn restore_files_if(
        &self,
        account: AccountId,
        collection: CollectionId,
        files: &[FileKey],
        conditions: &Conditions,
    ) -> Result<(), ChangeError> {
        let ids = check_keys(files)?;
        let mut tx = self.begin_for(account, Reach::collections(&[collection])).await?;
        // A deleted collection is as absent here as one that never was.
        must_own(&mut tx, account, collection).await?;
        must_own_files(&mut tx, account, &ids).await?;
        must_be_restorable(&mut tx, conditions, collection).await?;
        let trashed = self.restorable(&mut tx, collection, &ids).await?;
        let first = self.allocate_versions(&mut tx, trashed.len()).await?;
        super::trash::mark_restored(&mut tx, &trashed, first).await?;
        super::lookup::yield_tags(&mut tx, &trashed).await?;
        self.upsert(&mut tx, account, collection, files).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Which of the files are in the trash. Refuses when another is not live in the collection either.
    async fn restorable(
        &self,
        tx: &mut Tx,
        collection: CollectionId,
        files: &[FileId],
    ) -> Result<Vec<FileId>, ChangeError> {
        let trashed = super::trash::in_trash(tx, files).await?;
        if trashed.len() < files.len() {
            let memberships = memberships_of(tx, collection, files).await?;
            let is_live = |file| memberships.get(file).is_some_and(|membership| !membership.is_deleted);
            if !files.iter().all(|file| trashed.contains(file) || is_live(file)) {
                return Err(ChangeError::Malformed("a file is not in the trash"));
            }
        }
        Ok(trashed)
    }

    /// Makes files live in a collection of `owner`'s, each with a version of its own, and moves the collection on, unless all were
    /// already.
    async fn upsert(
        &self,
        tx: &mut Tx,
        owner: AccountId,
        collection: CollectionId,
        files: &[FileKey],
    ) -> Result<(), ChangeError> {
        if files.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let mut version = self.allocate_versions(tx, files.len()).await?.0;
        let mut changed = 0;
        for chunk in files.chunks(ROWS) {
            let text = format!(
                "INSERT INTO memberships (collection_id, file_id, account_id, encrypted_key,
                                          key_decryption_nonce, is_deleted, added_at, version)
                 VALUES {} ON CONFLICT (collection_id, file_id)
                 DO UPDATE SET is_deleted = 0, added_at = excluded.added_at, version = excluded.version
                 WHERE memberships.is_deleted = 1",
                rows(1, chunk.len(), 8)
            );
            let mut query = statement(text);
            for file in chunk {
                query = query
                    .bind(collection.0)
                    .bind(file.id.0)
                    .bind(owner.0)
                    .bind(file.encrypted_key.0.clone())
                    .bind(file.key_decryption_nonce.0.clone())
                    .bind(0_i64)
                    .bind(now)
                    .bind(version);
                version += 1;
            }
            changed += query.execute(&mut **tx).await?.rows_affected();
        }
        if changed > 0 {
            self.bump_collections(tx, &BTreeSet::from([collection])).await?;
        }
        Ok(())
    }
}

/// Refuses unless the account may take a file of `owner`'s out of the collection.
fn must_be_removable(
    account: AccountId,
    collection: CollectionState,
    owner: AccountId,
) -> Result<(), ChangeError> {
    match collection.role {
        Some(Role::Owner) if owner == account => {
            Err(ChangeError::Malformed("own files are moved, not removed"))
        }
        Some(Role::Owner) => Ok(()),
        Some(Role::Admin) if owner != collection.owner => Ok(()),
        _ if owner == account => Ok(()),
        _ => Err(ChangeError::NotOwner),
    }
}

/// The ids of files that come with their keys, none of them twice.
fn check_keys(files: &[FileKey]) -> Result<Vec<FileId>, ChangeError> {
    if files.iter().any(|file| file.encrypted_key.is_empty() || file.key_decryption_nonce.is_empty()) {
        return Err(ChangeError::Malformed("a file's key is missing"));
    }
    let ids: Vec<FileId> = files.iter().map(|file| file.id).collect();
    must_be_distinct(&ids)?;
    Ok(ids)
}

async fn memberships_of(
    tx: &mut Tx,
    collection: CollectionId,
    files: &[FileId],
) -> Result<BTreeMap<FileId, Membership>, ChangeError> {
    let mut memberships = BTreeMap::new();
    for chunk in files.chunks(super::sql::LIST_MAX) {
        let text = format!(
            "SELECT memberships.file_id, files.owner_id, memberships.is_deleted
             FROM memberships JOIN files ON files.id = memberships.file_id
             WHERE memberships.collection_id = $1 AND memberships.file_id IN ({})",
            list(2, chunk.len())
        );
        let query = statement(text).bind(collection.0);
        let query = chunk.iter().fold(query, |query, file| query.bind(file.0));
        for row in query.fetch_all(&mut **tx).await? {
            let membership =
                Membership { owner: AccountId(row.try_get(1)?), is_deleted: row.try_get::<i64, _>(2)? != 0 };
            memberships.insert(FileId(row.try_get(0)?), membership);
        }
    }
    Ok(memberships)
}
