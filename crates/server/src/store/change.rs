//! What changes of files and collections have in common: why they are refused, who may see them, and how they are numbered.
//!
//! Each changed row gets a version of its own, and each collection that it is in a later one, in the same transaction; so a page
//! of a diff may end at any row, and a collection is never older than what is in it.

use super::sql::{LIST_MAX, list, statement};
use super::{Store, StoreError, Tx};
use darkslide_protocol::error::VersionConflict;
use darkslide_protocol::limits::QUOTA_GRACE_BYTES;
use darkslide_protocol::{AccountId, CollectionId, FileId, Version};
use sqlx::Row as _;
use std::collections::{BTreeSet, HashMap};

/// Why a change was not made. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The request contradicts itself, or names what was never there.
    #[error("the request is malformed: {0}")]
    Malformed(&'static str),
    /// There is no such thing, as far as the caller may know.
    #[error("there is no such thing")]
    NotFound,
    /// The collection is a tombstone.
    #[error("the collection is deleted")]
    CollectionDeleted,
    /// It is there, and it is somebody else's.
    #[error("it belongs to somebody else")]
    NotOwner,
    /// The file is in the trash, or was purged from it.
    #[error("the file is in the trash")]
    FileInTrash,
    /// The collection was to be deleted and its files kept, but it has files.
    #[error("the collection is not empty")]
    CollectionNotEmpty,
    /// Another device changed it first.
    #[error("the version that the client saw is not the stored one")]
    VersionConflict,
    /// Files are not as the client of a conditional call has seen them: all such, with their versions.
    #[error("files have changed since the client saw them")]
    Unseen(Vec<VersionConflict>),
    /// An object that is named is not stored.
    #[error("an object is not stored")]
    ObjectMissing,
    /// The object is larger than any may be.
    #[error("the object is too large")]
    TooLarge,
    /// The account's quota is used up.
    #[error("the quota is used up")]
    QuotaExceeded,
}

impl From<sqlx::Error> for ChangeError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What an account may do with a collection. Accounts that it is shared with will have lesser ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Owner,
}

/// What checks need to know of a collection.
#[derive(Clone, Copy, Debug)]
pub(super) struct CollectionState {
    pub(super) owner: AccountId,
    pub(super) is_deleted: bool,
}

impl CollectionState {
    /// What the account may do with it; `None` for nothing.
    pub(super) fn role_of(self, account: AccountId) -> Option<Role> {
        (self.owner == account).then_some(Role::Owner)
    }

    /// Refuses unless the account owns it and it is not a tombstone.
    pub(super) fn must_be_owned_and_live(self, account: AccountId) -> Result<(), ChangeError> {
        match self.role_of(account) {
            None => Err(ChangeError::NotOwner),
            Some(Role::Owner) if self.is_deleted => Err(ChangeError::CollectionDeleted),
            Some(Role::Owner) => Ok(()),
        }
    }
}

/// An account's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of ciphertext stored, trash included.
    pub used: i64,
    /// The account's own limit; `None` for the server's default.
    pub quota: Option<i64>,
}

impl Usage {
    /// Whether nothing more may be begun: the check without a size.
    pub fn is_exceeded(self, default_quota: i64) -> bool {
        self.used > self.quota.unwrap_or(default_quota)
    }

    /// Whether so many more bytes fit, with the grace that clients assume.
    pub fn has_room_for(self, more: i64, default_quota: i64) -> bool {
        let limit = self.quota.unwrap_or(default_quota).saturating_add(QUOTA_GRACE_BYTES);
        self.used.saturating_add(more) <= limit
    }
}

/// A collection as it is now, inside a transaction.
pub(super) async fn collection_state(
    tx: &mut Tx,
    collection: CollectionId,
) -> Result<CollectionState, ChangeError> {
    let row = sqlx::query("SELECT owner_id, is_deleted FROM collections WHERE id = $1")
        .bind(collection.0)
        .fetch_optional(&mut **tx)
        .await?
        .ok_or(ChangeError::NotFound)?;
    Ok(CollectionState { owner: AccountId(row.try_get(0)?), is_deleted: row.try_get::<i64, _>(1)? != 0 })
}

/// Collections as they are now, inside a transaction; those that are not there are left out.
pub(super) async fn collection_states(
    tx: &mut Tx,
    collections: &[CollectionId],
) -> Result<HashMap<CollectionId, CollectionState>, StoreError> {
    let mut states = HashMap::new();
    for chunk in collections.chunks(LIST_MAX) {
        let text = format!(
            "SELECT id, owner_id, is_deleted FROM collections WHERE id IN ({})",
            list(1, chunk.len())
        );
        let query = chunk.iter().fold(statement(text), |query, id| query.bind(id.0));
        for row in query.fetch_all(&mut **tx).await? {
            let state = CollectionState {
                owner: AccountId(row.try_get(1)?),
                is_deleted: row.try_get::<i64, _>(2)? != 0,
            };
            states.insert(CollectionId(row.try_get(0)?), state);
        }
    }
    Ok(states)
}

/// Locks the account and tells its usage, which stays true until the transaction ends. An account that was deleted since the
/// request was let in is not found, so that nothing is committed that nobody would ever purge.
pub(super) async fn lock_usage(tx: &mut Tx, account: AccountId) -> Result<Usage, ChangeError> {
    let row = sqlx::query(
        "UPDATE accounts SET version = version WHERE id = $1 AND status <> 'deleted' RETURNING usage, quota",
    )
    .bind(account.0)
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(ChangeError::NotFound)?;
    Ok(Usage { used: row.try_get(0)?, quota: row.try_get(1)? })
}

/// Adds to the account's usage, or takes from it.
pub(super) async fn change_usage(tx: &mut Tx, account: AccountId, by: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE accounts SET usage = usage + $1 WHERE id = $2")
        .bind(by)
        .bind(account.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Refuses lists that name something twice.
pub(super) fn must_be_distinct(ids: &[FileId]) -> Result<(), ChangeError> {
    let distinct: BTreeSet<FileId> = ids.iter().copied().collect();
    if distinct.len() == ids.len() { Ok(()) } else { Err(ChangeError::Malformed("a file is named twice")) }
}

/// Refuses unless all these files are there and the account's.
pub(super) async fn must_own_files(
    tx: &mut Tx,
    account: AccountId,
    files: &[FileId],
) -> Result<(), ChangeError> {
    let (mut known, mut owned) = (0, 0);
    for chunk in files.chunks(LIST_MAX) {
        let text = format!("SELECT owner_id FROM files WHERE id IN ({})", list(1, chunk.len()));
        let query = chunk.iter().fold(statement(text), |query, file| query.bind(file.0));
        for row in query.fetch_all(&mut **tx).await? {
            known += 1;
            owned += usize::from(row.try_get::<i64, _>(0)? == account.0);
        }
    }
    if owned < known {
        return Err(ChangeError::NotOwner);
    }
    if known < files.len() { Err(ChangeError::Malformed("there is no such file")) } else { Ok(()) }
}

/// Refuses when any of these files is in the trash, or purged.
pub(super) async fn must_not_be_in_trash(tx: &mut Tx, files: &[FileId]) -> Result<(), ChangeError> {
    for chunk in files.chunks(LIST_MAX) {
        let text = format!(
            "SELECT file_id FROM trash WHERE is_restored = 0 AND file_id IN ({}) LIMIT 1",
            list(1, chunk.len())
        );
        let query = chunk.iter().fold(statement(text), |query, file| query.bind(file.0));
        if query.fetch_optional(&mut **tx).await?.is_some() {
            return Err(ChangeError::FileInTrash);
        }
    }
    Ok(())
}

/// Which live memberships a change touches.
#[derive(Clone, Copy, Debug)]
pub(super) enum Where {
    /// In all collections.
    Everywhere,
    /// In one.
    In(CollectionId),
}

/// What becomes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    /// They are shown again, for their file has changed.
    Bump,
    /// They become tombstones.
    Remove,
}

impl Store {
    /// Numbers the live memberships of files anew, and the collections that they are in. Returns the last version, or `None` when
    /// there was no such membership. The account must be the owner of all those collections, and is locked by this.
    pub(super) async fn touch_memberships(
        &self,
        tx: &mut Tx,
        account: AccountId,
        files: &[FileId],
        scope: Where,
        touch: Touch,
    ) -> Result<Option<Version>, StoreError> {
        self.lock_account(tx, account).await?;
        let mut collections = BTreeSet::new();
        let mut last = None;
        for chunk in files.chunks(LIST_MAX) {
            let touched = touched_collections(tx, chunk, scope).await?;
            if touched.is_empty() {
                continue;
            }
            let first = self.allocate_versions(tx, account, touched.len()).await?;
            renumber_memberships(tx, chunk, scope, touch, first).await?;
            collections.extend(touched);
            last = Some(first);
        }
        if last.is_some() {
            last = Some(self.bump_collections(tx, account, &collections).await?);
        }
        Ok(last)
    }

    /// Gives each of these collections a version of its own, later than all. Returns the last.
    pub(super) async fn bump_collections(
        &self,
        tx: &mut Tx,
        account: AccountId,
        collections: &BTreeSet<CollectionId>,
    ) -> Result<Version, StoreError> {
        let first = self.allocate_versions(tx, account, collections.len()).await?;
        let ids: Vec<CollectionId> = collections.iter().copied().collect();
        let mut next = first.0;
        for chunk in ids.chunks(LIST_MAX) {
            let text = format!(
                "UPDATE collections SET version = $1 + numbered.n
                 FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM collections WHERE id IN ({}))
                      AS numbered
                 WHERE collections.id = numbered.id",
                list(2, chunk.len())
            );
            let query = chunk.iter().fold(statement(text).bind(next), |query, id| query.bind(id.0));
            query.execute(&mut **tx).await?;
            next += i64::try_from(chunk.len()).expect("a list is short");
        }
        Ok(Version(next.max(first.0 + 1) - 1))
    }
}

/// The condition that selects memberships; `$1` and what follows are the files, after them the collection.
fn condition(scope: Where, first: usize, count: usize) -> String {
    let files = format!("is_deleted = 0 AND file_id IN ({})", list(first, count));
    match scope {
        Where::Everywhere => files,
        Where::In(_) => format!("{files} AND collection_id = ${}", first + count),
    }
}

/// The collection of each live membership of the files: one entry a membership.
async fn touched_collections(
    tx: &mut Tx,
    files: &[FileId],
    scope: Where,
) -> Result<Vec<CollectionId>, StoreError> {
    let text = format!("SELECT collection_id FROM memberships WHERE {}", condition(scope, 1, files.len()));
    let mut query = files.iter().fold(statement(text), |query, file| query.bind(file.0));
    if let Where::In(collection) = scope {
        query = query.bind(collection.0);
    }
    let rows = query.fetch_all(&mut **tx).await?;
    rows.iter().map(|row| Ok(CollectionId(row.try_get(0)?))).collect()
}

async fn renumber_memberships(
    tx: &mut Tx,
    files: &[FileId],
    scope: Where,
    touch: Touch,
    first: Version,
) -> Result<(), StoreError> {
    let text = format!(
        "UPDATE memberships SET version = $1 + numbered.n, is_deleted = $2
         FROM (SELECT collection_id, file_id, row_number() OVER (ORDER BY collection_id, file_id) - 1 AS n
               FROM memberships WHERE {}) AS numbered
         WHERE memberships.collection_id = numbered.collection_id AND memberships.file_id = numbered.file_id",
        condition(scope, 3, files.len())
    );
    let query = statement(text).bind(first.0).bind(i64::from(touch == Touch::Remove));
    let mut query = files.iter().fold(query, |query, file| query.bind(file.0));
    if let Where::In(collection) = scope {
        query = query.bind(collection.0);
    }
    query.execute(&mut **tx).await?;
    Ok(())
}

impl Store {
    /// An account's usage and quota as they are now.
    pub async fn usage_of(&self, account: AccountId) -> Result<Usage, StoreError> {
        let row = sqlx::query("SELECT usage, quota FROM accounts WHERE id = $1")
            .bind(account.0)
            .fetch_one(self.reader())
            .await?;
        Ok(Usage { used: row.try_get(0)?, quota: row.try_get(1)? })
    }
}
