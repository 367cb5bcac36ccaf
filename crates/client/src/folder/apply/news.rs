//! What others trash while something is sent or brought: that does not wait for all of it.

use std::sync::Arc;
use std::time::Duration;

use darkslide_protocol::Version;

use super::Hands;
use crate::catalog::{Catalog, SyncFolderRow};
use crate::feed;
use crate::folder::SyncError;
use crate::folder::reconcile::Direction;
use crate::session::Session;

/// Where that is asked for.
#[derive(Clone, Copy)]
pub(super) struct News<'a> {
    session: &'a Arc<Session>,
    catalog: &'a Catalog,
    row: &'a SyncFolderRow,
    /// How far the vault had been read when it was looked at.
    vault: Version,
    every: Duration,
}

impl<'a> Hands<'a> {
    pub(super) fn news(&self) -> News<'a> {
        let Self { session, catalog, row, vault, .. } = *self;
        News { session, catalog, row, vault, every: self.share.news }
    }
}

impl News<'_> {
    /// Whether something that was agreed on was trashed, or purged, in the vault since it was looked at, as far as the catalog knows. What was
    /// trashed before that is in the plan, or waits for something else.
    pub(super) async fn is_trashed(&self) -> Result<bool, SyncError> {
        // A server without an order of what happens gives no versions to compare.
        if self.row.folder.direction == Direction::Up || self.vault == Version(0) {
            return Ok(false);
        }
        Ok(self.catalog.is_agreed_trashed_since(self.row.id, self.vault).await?)
    }

    /// Waits until that is so.
    pub(super) async fn trashed(&self) {
        loop {
            tokio::time::sleep(self.every).await;
            let asked = async {
                feed::pull(self.session, self.catalog).await?;
                self.is_trashed().await
            };
            // Whoever waits for it hears of a line that is down otherwise.
            if asked.await.unwrap_or(false) {
                return;
            }
        }
    }
}
