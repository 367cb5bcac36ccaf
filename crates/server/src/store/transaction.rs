//! A transaction that writes, and that tells who waits once it is committed.
//!
//! Whatever allocates a version is announced: there is no other way to commit.

use super::Engine;
use super::news::News;
use super::watch::Watches;
use darkslide_protocol::{AccountId, Version};
use sqlx::{Any, AnyConnection, Row as _, Transaction};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// One pooled connection that is inside a transaction. Dropped without a commit, it is rolled back.
#[derive(Debug)]
pub(crate) struct Tx {
    transaction: Transaction<'static, Any>,
    engine: Engine,
    watches: Arc<Watches>,
    news: Arc<News>,
    locked: BTreeSet<AccountId>,
    /// What the clocks of these were before this.
    clocks: BTreeMap<AccountId, Version>,
    clock: Version,
    first: Option<Version>,
}

impl Tx {
    pub(super) fn new(
        transaction: Transaction<'static, Any>,
        engine: Engine,
        watches: Arc<Watches>,
        news: Arc<News>,
    ) -> Self {
        Self {
            transaction,
            engine,
            watches,
            news,
            locked: BTreeSet::new(),
            clocks: BTreeMap::new(),
            clock: Version(0),
            first: None,
        }
    }

    /// Which engine it is on.
    pub(super) fn engine(&self) -> Engine {
        self.engine
    }

    /// Locks an account's row until the transaction ends, so that what it reads next stays true until it commits. Several are
    /// locked in the order of their ids.
    pub(super) async fn lock(&mut self, account: AccountId) -> Result<(), sqlx::Error> {
        let row = sqlx::query("UPDATE accounts SET version = version WHERE id = $1 RETURNING version")
            .bind(account.0)
            .fetch_optional(&mut *self.transaction)
            .await?;
        if let Some(row) = row {
            let version = Version(row.try_get(0)?);
            self.clocks.insert(account, version);
            self.clock = self.clock.max(version);
        }
        self.locked.insert(account);
        Ok(())
    }

    /// The accounts whose rows are locked: all who see what this changes.
    pub(super) fn locked(&self) -> &BTreeSet<AccountId> {
        &self.locked
    }

    /// What the clock of a locked account was before this; `None` for an account that is not there.
    pub(super) fn clock_of(&self, account: AccountId) -> Option<Version> {
        self.clocks.get(&account).copied()
    }

    /// The latest of their clocks.
    pub(super) fn clock(&self) -> Version {
        self.clock
    }

    /// The first version that was allocated here; `None` when none was.
    pub(super) fn first(&self) -> Option<Version> {
        self.first
    }

    /// Remembers versions that were allocated, for all accounts that are locked.
    pub(super) fn allocated(&mut self, first: Version, last: Version) {
        self.first.get_or_insert(first);
        self.clock = last;
    }

    /// Undoes it all, and lets go of the locks before it returns.
    pub(super) async fn undo(self) -> Result<(), sqlx::Error> {
        self.transaction.rollback().await
    }

    /// Makes it all durable and visible, and then known. News that is lost because the caller went away in between is found by
    /// who looks at the account: see [`Watches`].
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        let _note = self.first.is_some().then(|| self.news.note_at_end(&self.locked));
        self.transaction.commit().await?;
        if self.first.is_some() {
            for account in self.locked {
                self.watches.announce(account, self.clock);
            }
        }
        Ok(())
    }
}

impl Deref for Tx {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.transaction
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }
}
