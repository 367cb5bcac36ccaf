//! The accounts' clocks: whose rows a change locks, and the versions that it gives.
//!
//! A change of a shared collection is seen by its owner and by everybody whom it is shared with, each of whom reads by a clock of
//! their own. So it locks the rows of all of them, in the order of their ids, takes versions later than the latest of their clocks,
//! and sets every clock to the last: one number is right in every feed, and none of them has passed it. Who sees a collection changes
//! under the same locks, so it is looked up again once they are held, and the transaction begun anew when others have come.

use super::sessions::must_be_signed_in;
use super::sql::{LIST_MAX, list, padded, padded_list, padded_statement, statement};
use super::{Engine, Store, StoreError, Tx, Undo};
use darkslide_protocol::{AccountId, CollectionId, FileId, Version};
use sqlx::Row as _;
use std::collections::BTreeSet;

/// What a change is going to touch, besides what its account alone sees.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reach<'r> {
    /// These collections.
    pub(super) collections: &'r [CollectionId],
    /// All collections that these files are in.
    pub(super) files: &'r [FileId],
    /// All collections that this one's files are in.
    pub(super) contents_of: Option<CollectionId>,
    /// All collections that the account shares, and all that are shared with it.
    pub(super) all_shared: bool,
    /// Another account, whatever it sees.
    pub(super) also: Option<AccountId>,
}

impl<'r> Reach<'r> {
    pub(super) fn collections(collections: &'r [CollectionId]) -> Self {
        Self { collections, ..Self::default() }
    }

    pub(super) fn files(files: &'r [FileId]) -> Self {
        Self { files, ..Self::default() }
    }
}

impl Store {
    /// Begins a transaction that writes for an account, with the rows of all locked who see what it reaches. Collections that the
    /// account itself does not see are not reached: naming them holds nobody up. Refused when the request's session has ended.
    pub(super) async fn begin_for(&self, account: AccountId, reach: Reach<'_>) -> Result<Tx, StoreError> {
        self.begin_as(account, reach, Undo::OnDisk).await
    }

    /// The same for statements of a bounded number of rows.
    pub(super) async fn begin_rows_for(
        &self,
        account: AccountId,
        reach: Reach<'_>,
    ) -> Result<Tx, StoreError> {
        self.begin_as(account, reach, Undo::InMemory).await
    }

    /// Begins a transaction that writes what no feed tells: an account's settings, its keys, and how it is signed in to. Refused when
    /// the request's session has ended.
    pub(super) async fn begin_quietly_for(&self, account: AccountId) -> Result<Tx, StoreError> {
        let mut tx = self.begin().await?;
        tx.lock(account).await?;
        must_be_signed_in(&mut tx).await?;
        Ok(tx)
    }

    async fn begin_as(&self, account: AccountId, reach: Reach<'_>, undo: Undo) -> Result<Tx, StoreError> {
        loop {
            let mut tx = self.begin_with(undo).await?;
            for participant in participants(&mut tx, account, reach).await? {
                tx.lock(participant).await?;
            }
            // On SQLite nobody else has written since the transaction began.
            if self.engine() == Engine::Sqlite
                || participants(&mut tx, account, reach).await?.is_subset(tx.locked())
            {
                must_be_signed_in(&mut tx).await?;
                return Ok(tx);
            }
            tx.undo().await?;
        }
    }

    /// Allocates `count` (at least 1) consecutive versions that are later than all that the locked accounts have seen, and sets
    /// their clocks to the last, `first + count - 1`. Returns the first.
    pub(super) async fn allocate_versions(&self, tx: &mut Tx, count: usize) -> Result<Version, StoreError> {
        let first = self.now().max(tx.clock().0 + 1);
        let last = first + i64::try_from(count).unwrap_or(i64::MAX).max(1) - 1;
        let accounts: Vec<AccountId> = tx.locked().iter().copied().collect();
        for chunk in accounts.chunks(LIST_MAX) {
            let text = format!("UPDATE accounts SET version = $1 WHERE id IN ({})", padded_list(2, chunk));
            let query = padded_statement(text).bind(last);
            let query = padded(chunk).fold(query, |query, account| query.bind(account.0));
            query.execute(&mut **tx).await?;
        }
        tx.allocated(Version(first), Version(last));
        Ok(Version(first))
    }
}

/// The collections that an account shares, and those that are shared with it.
pub(super) const SHARED_EITHER_WAY: &str =
    "SELECT collection_id FROM shares WHERE account_id = $1 AND is_deleted = 0
     UNION SELECT collections.id FROM collections
     JOIN shares ON shares.collection_id = collections.id AND shares.is_deleted = 0
     WHERE collections.owner_id = $1";

/// The account, and all who see what it reaches.
async fn participants(
    tx: &mut Tx,
    account: AccountId,
    reach: Reach<'_>,
) -> Result<BTreeSet<AccountId>, StoreError> {
    let mut accounts = BTreeSet::from([account]);
    accounts.extend(reach.also);
    let collections: Vec<CollectionId> = reached(tx, account, reach).await?.into_iter().collect();
    for chunk in collections.chunks(LIST_MAX) {
        let text = format!(
            "SELECT collections.owner_id, shares.account_id
             FROM shares JOIN collections ON collections.id = shares.collection_id
             WHERE shares.is_deleted = 0 AND shares.collection_id IN ({})
               AND (collections.owner_id = $1
                    OR EXISTS (SELECT 1 FROM shares AS own WHERE own.collection_id = shares.collection_id
                               AND own.account_id = $1 AND own.is_deleted = 0))",
            padded_list(2, chunk)
        );
        let query = padded_statement(text).bind(account.0);
        let query = padded(chunk).fold(query, |query, id| query.bind(id.0));
        for row in query.fetch_all(&mut **tx).await? {
            accounts.extend([AccountId(row.try_get(0)?), AccountId(row.try_get(1)?)]);
        }
    }
    Ok(accounts)
}

/// The collections that are reached.
async fn reached(
    tx: &mut Tx,
    account: AccountId,
    reach: Reach<'_>,
) -> Result<BTreeSet<CollectionId>, StoreError> {
    let mut collections: BTreeSet<CollectionId> = reach.collections.iter().copied().collect();
    let mut queries = Vec::new();
    for chunk in reach.files.chunks(LIST_MAX) {
        let text = format!(
            "SELECT collection_id FROM memberships WHERE is_deleted = 0 AND file_id IN ({})",
            list(1, chunk.len())
        );
        queries.push(chunk.iter().fold(statement(text), |query, file| query.bind(file.0)));
    }
    if let Some(collection) = reach.contents_of {
        let text = "SELECT DISTINCT elsewhere.collection_id FROM memberships AS here
                    JOIN memberships AS elsewhere ON elsewhere.file_id = here.file_id
                    WHERE here.collection_id = $1 AND here.is_deleted = 0 AND elsewhere.is_deleted = 0";
        collections.insert(collection);
        queries.push(statement(text.to_owned()).bind(collection.0));
    }
    if reach.all_shared {
        queries.push(statement(SHARED_EITHER_WAY.to_owned()).bind(account.0));
    }
    for query in queries {
        for row in query.fetch_all(&mut **tx).await? {
            collections.insert(CollectionId(row.try_get(0)?));
        }
    }
    Ok(collections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn versions_increase_even_when_the_clock_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Store::sqlite_url(&folder.path().join("db"))).await.unwrap();
        let account = AccountId(store.next_id().await.unwrap());
        let mut tx = store.begin().await.unwrap();
        sqlx::query("INSERT INTO accounts (id, status, version, usage, email_mfa, created_at) VALUES ($1, 'active', $2, 0, 0, 0)")
            .bind(account.0)
            .bind(i64::MAX / 2)
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let mut tx = store.begin_for(account, Reach::default()).await.unwrap();
        let first = store.allocate_versions(&mut tx, 3).await.unwrap();
        let second = store.allocate_versions(&mut tx, 1).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(first, Version(i64::MAX / 2 + 1));
        assert_eq!(second, Version(i64::MAX / 2 + 4));
        assert_eq!(store.version_of(account).await.unwrap(), second);
    }
}
