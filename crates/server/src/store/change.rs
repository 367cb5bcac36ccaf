//! What changes of files and collections have in common: why they are refused, who may see them, and how they are numbered.
//!
//! Each changed row gets a version of its own, and each collection that it is in a later one, in the same transaction; so a page
//! of a diff may end at any row, and a collection is never older than what is in it.

use super::sql::{LIST_MAX, list, padded, padded_list, padded_statement, statement};
use super::{Store, StoreError, Tx};
use darkslide_protocol::error::VersionConflict;
use darkslide_protocol::limits::QUOTA_GRACE_BYTES;
use darkslide_protocol::receipt::Damage;
use darkslide_protocol::{AccountId, CollectionId, FileId, Version};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
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
    /// A thumbnail of something else than what the file is by now.
    #[error("the file's original is not the one that the thumbnail is of")]
    OtherOriginal,
    /// Files are not as the client of a conditional call has seen them: all such, with their versions.
    #[error("files have changed since the client saw them")]
    Unseen(Vec<VersionConflict>),
    /// An object that is named is not stored.
    #[error("an object is not stored")]
    ObjectMissing,
    /// An earlier version is not brought back, for its bytes are known not to be whole.
    #[error("the bytes of that version are {}", .0.name())]
    VersionDamaged(Damage),
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

/// What an account may do with a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Owner,
    /// See it, share it with others, and add own files.
    Admin,
    /// See it, and add own files.
    Collaborator,
    /// See it.
    Viewer,
}

impl Role {
    /// The word on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "OWNER",
            Self::Admin => "ADMIN",
            Self::Collaborator => "COLLABORATOR",
            Self::Viewer => "VIEWER",
        }
    }

    /// The role that a word names which an owner can give.
    pub fn parse_given(word: &str) -> Option<Self> {
        [Self::Admin, Self::Collaborator, Self::Viewer].into_iter().find(|role| role.as_str() == word)
    }

    /// Whether it may put files of its own into the collection.
    pub fn may_add(self) -> bool {
        self != Self::Viewer
    }

    /// Whether it may say who else sees the collection.
    pub fn may_share(self) -> bool {
        matches!(self, Self::Owner | Self::Admin)
    }
}

/// What checks need to know of a collection.
#[derive(Clone, Copy, Debug)]
pub(super) struct CollectionState {
    pub(super) owner: AccountId,
    pub(super) is_deleted: bool,
    /// What the account that asks may do with it; `None` for nothing.
    pub(super) role: Option<Role>,
}

impl CollectionState {
    /// Refuses unless the account that asks owns it and it is not a tombstone.
    pub(super) fn must_be_owned_and_live(self) -> Result<(), ChangeError> {
        self.must_be_live_for(|role| role == Role::Owner)
    }

    /// Refuses unless the account that asks has a role that may, and it is not a tombstone.
    pub(super) fn must_be_live_for(self, may: impl Fn(Role) -> bool) -> Result<(), ChangeError> {
        match self.role {
            Some(role) if !may(role) => Err(ChangeError::NotOwner),
            None => Err(ChangeError::NotOwner),
            Some(_) if self.is_deleted => Err(ChangeError::CollectionDeleted),
            Some(_) => Ok(()),
        }
    }
}

/// The columns of a collection, joined with the share of the account that asks, from which [`state_of`] reads.
const STATE_COLUMNS: &str = "collections.id, collections.owner_id, collections.is_deleted, shares.role";

/// What joins them; the account comes first.
const WITH_SHARE: &str = "collections LEFT JOIN shares ON shares.collection_id = collections.id
    AND shares.account_id = $1 AND shares.is_deleted = 0";

fn state_of(row: &AnyRow, account: AccountId) -> Result<CollectionState, StoreError> {
    let owner = AccountId(row.try_get("owner_id")?);
    let given: Option<String> = row.try_get("role")?;
    let given =
        given.map(|word| Role::parse_given(&word).ok_or(StoreError::Malformed("role"))).transpose()?;
    let role = if owner == account { Some(Role::Owner) } else { given };
    Ok(CollectionState { owner, is_deleted: row.try_get::<i64, _>("is_deleted")? != 0, role })
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

    /// Whether an upload of so many bytes may begin.
    pub fn admits(self, more: i64, default_quota: i64) -> bool {
        !self.is_exceeded(default_quota) && self.has_room_for(more, default_quota)
    }

    /// Whether so many more bytes fit, with the grace that clients assume.
    pub fn has_room_for(self, more: i64, default_quota: i64) -> bool {
        self.used.saturating_add(more) <= self.limit(default_quota)
    }

    /// Whether contents that a file has already may be replaced by some of so many bytes more. What was let in to mend alone must have room to begin.
    pub fn allows_update(self, more: i64, only_mends: bool, default_quota: i64) -> bool {
        if only_mends {
            self.admits(more, default_quota)
        } else {
            more <= 0 || self.has_room_for(more, default_quota)
        }
    }

    /// How many more bytes may be begun.
    pub fn room(self, default_quota: i64) -> i64 {
        if self.is_exceeded(default_quota) {
            return 0;
        }
        self.limit(default_quota).saturating_sub(self.used)
    }

    fn limit(self, default_quota: i64) -> i64 {
        self.quota.unwrap_or(default_quota).saturating_add(QUOTA_GRACE_BYTES)
    }
}

/// A collection as it is now for an account.
pub(super) async fn collection_state(
    connection: &mut AnyConnection,
    account: AccountId,
    collection: CollectionId,
) -> Result<CollectionState, ChangeError> {
    let states = collection_states(connection, account, &[collection]).await?;
    states.get(&collection).copied().ok_or(ChangeError::NotFound)
}

/// Collections as they are now for an account; those that are not there are left out.
pub(super) async fn collection_states(
    connection: &mut AnyConnection,
    account: AccountId,
    collections: &[CollectionId],
) -> Result<HashMap<CollectionId, CollectionState>, StoreError> {
    let mut states = HashMap::new();
    for chunk in collections.chunks(LIST_MAX) {
        let text = format!(
            "SELECT {STATE_COLUMNS} FROM {WITH_SHARE} WHERE collections.id IN ({})",
            padded_list(2, chunk)
        );
        let query = padded_statement(text).bind(account.0);
        let query = padded(chunk).fold(query, |query, id| query.bind(id.0));
        for row in query.fetch_all(&mut *connection).await? {
            states.insert(CollectionId(row.try_get("id")?), state_of(&row, account)?);
        }
    }
    Ok(states)
}

/// The usage of an account whose row is locked, so that it stays true until the transaction ends. An account that was deleted since
/// the request was let in is not found, so that nothing is committed that nobody would ever purge.
pub(super) async fn locked_usage(tx: &mut Tx, account: AccountId) -> Result<Usage, ChangeError> {
    let row = sqlx::query("SELECT usage, quota FROM accounts WHERE id = $1 AND status <> 'deleted'")
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
    /// there was no such membership. The transaction must have been begun with those collections in its reach.
    pub(super) async fn touch_memberships(
        &self,
        tx: &mut Tx,
        files: &[FileId],
        scope: Where,
        touch: Touch,
    ) -> Result<Option<Version>, StoreError> {
        let mut collections = BTreeSet::new();
        for chunk in files.chunks(LIST_MAX) {
            let touched = touched_collections(tx, chunk, scope).await?;
            if touched.is_empty() {
                continue;
            }
            let first = self.allocate_versions(tx, touched.len()).await?;
            renumber_memberships(tx, chunk, scope, touch, first).await?;
            collections.extend(touched);
        }
        if collections.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.bump_collections(tx, &collections).await?))
    }

    /// Gives each of these collections a version of its own, later than all, and brings what others see of them up to date. Returns
    /// the last. It comes after all changes of what is in them.
    pub(super) async fn bump_collections(
        &self,
        tx: &mut Tx,
        collections: &BTreeSet<CollectionId>,
    ) -> Result<Version, StoreError> {
        let first = self.allocate_versions(tx, collections.len()).await?;
        let ids: Vec<CollectionId> = collections.iter().copied().collect();
        let mut next = first.0;
        for chunk in ids.chunks(LIST_MAX) {
            let text = format!(
                "UPDATE collections SET version = $1 + numbered.n
                 FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM collections WHERE id IN ({}))
                      AS numbered
                 WHERE collections.id = numbered.id",
                padded_list(2, chunk)
            );
            let query = padded_statement(text).bind(next);
            let query = padded(chunk).fold(query, |query, id| query.bind(id.0));
            query.execute(&mut **tx).await?;
            next += i64::try_from(chunk.len()).expect("a list is short");
            super::shares::show_changes(tx, chunk).await?;
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
