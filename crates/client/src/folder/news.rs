//! What others trash while a folder is looked at, or something is sent or brought: that does not wait for all of it, whichever sync folder has it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use darkslide_protocol::Version;
use tokio_util::sync::CancellationToken;

use super::SyncError;
use crate::catalog::Catalog;
use crate::feed;
use crate::session::Session;

/// Where that is asked for.
#[derive(Clone, Debug)]
pub(super) struct News {
    pub(super) session: Arc<Session>,
    pub(super) catalog: Catalog,
    /// How far the vault had been read when it was looked at.
    pub(super) since: Version,
    pub(super) every: Duration,
}

impl News {
    /// Whether something that was agreed on in any sync folder was trashed, or purged, in the vault since it was looked at, as far as the catalog knows.
    /// What was trashed before that is in a plan, or waits for something else.
    pub(super) async fn is_trashed(&self) -> Result<bool, SyncError> {
        // A server without an order of what happens gives no versions to compare.
        if self.since == Version(0) {
            return Ok(false);
        }
        Ok(self.catalog.is_agreed_trashed_since(self.since).await?)
    }

    /// Waits until that is so.
    pub(super) async fn trashed(&self) {
        loop {
            tokio::time::sleep(self.every).await;
            let asked = async {
                feed::pull(&self.session, &self.catalog).await?;
                self.is_trashed().await
            };
            // Whoever waits for it hears of a line that is down otherwise.
            if asked.await.unwrap_or(false) {
                return;
            }
        }
    }
}

/// Waits for some work, which is told that it is enough once this is so, and ends by itself then.
pub(super) async fn until_enough<T>(
    work: impl Future<Output = T>,
    is_so: impl Future<Output = ()>,
    enough: &CancellationToken,
) -> T {
    let telling = Box::pin(async {
        is_so.await;
        enough.cancel();
        std::future::pending::<Infallible>().await
    });
    tokio::select! {
        done = work => done,
        never = telling => match never {},
    }
}
