//! A transaction that writes, and that tells who waits once it is committed.
//!
//! Whatever allocates a version is announced: there is no other way to commit.

use super::Engine;
use super::watch::Watches;
use darkslide_protocol::{AccountId, Version};
use sqlx::{Any, AnyConnection, Transaction};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// One pooled connection that is inside a transaction. Dropped without a commit, it is rolled back.
#[derive(Debug)]
pub(crate) struct Tx {
    transaction: Transaction<'static, Any>,
    engine: Engine,
    watches: Arc<Watches>,
    newest: BTreeMap<AccountId, Version>,
}

impl Tx {
    pub(super) fn new(transaction: Transaction<'static, Any>, engine: Engine, watches: Arc<Watches>) -> Self {
        Self { transaction, engine, watches, newest: BTreeMap::new() }
    }

    /// Which engine it is on.
    pub(super) fn engine(&self) -> Engine {
        self.engine
    }

    /// Remembers the last version that was allocated for an account.
    pub(super) fn allocated(&mut self, account: AccountId, last: Version) {
        self.newest.insert(account, last);
    }

    /// Makes it all durable and visible, and then known. News that is lost because the caller went away in between is found by
    /// who looks at the account: see [`Watches`].
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        self.transaction.commit().await?;
        for (account, version) in self.newest {
            self.watches.announce(account, version);
        }
        Ok(())
    }
}

impl Tx {
    /// Undoes it all.
    pub(super) async fn roll_back(self) -> Result<(), sqlx::Error> {
        self.transaction.rollback().await
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
