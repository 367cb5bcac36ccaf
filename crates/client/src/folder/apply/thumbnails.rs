//! Thumbnails that pictures of the folder still wait for, where nothing is sent any more that they would go along with: sending was ended for what others
//! trashed, or the agent was killed. Nothing here keeps a removal waiting that others want; and however long the next one takes, or all that go together, it
//! is made and sent before anything is looked at again: what is cut off begins anew.

use std::sync::Arc;
use std::time::Duration;

use super::Hands;
use super::sending::unharmed;
use crate::backup::offer::offer;
use crate::catalog::Catalog;
use crate::folder::SyncError;
use crate::folder::news::until_enough;
use crate::folder::reconcile::Direction;
use crate::library::raw;

/// How often it is seen whether one was settled, once the time is over.
const PAUSE: Duration = Duration::from_millis(250);

impl Hands<'_> {
    /// Makes them, until others trash something, or the folder is to be looked at again and one was settled: then the next pass goes on.
    pub(super) async fn make_thumbnails(&mut self) -> Result<(), SyncError> {
        let is_wanted = self.settings.thumbnailer.is_on() && self.row.folder.direction != Direction::Down;
        // Whatever is put off comes first.
        if !is_wanted || self.has_thumbnails || self.is_put_off || self.is_stopped() {
            return Ok(());
        }
        if !self.catalog.are_thumbnails_due_in(self.row.id, &raw(self.root())).await? {
            return Ok(());
        }
        let (session, catalog, news) = (Arc::clone(self.session), self.catalog.clone(), self.news());
        let (enough, time) = (self.stop.child_token(), self.time_to_add().max(self.share.thumbnails));
        let before = self.catalog.count_thumbnails_due().await?;
        let one_is_settled = async {
            tokio::time::sleep(time).await;
            settled_since(self.catalog, before).await;
        };
        let is_so = async {
            tokio::select! {
                () = one_is_settled => {}
                () = news.trashed() => {}
            }
        };
        let (root, none) = (&self.row.folder.path, Vec::new());
        let making = Box::pin(offer(session, catalog, root, none, self.settings, self.events, &enough));
        let mut done = match until_enough(making, is_so, &enough).await.map_err(SyncError::from) {
            // Whoever backs something up makes them, too.
            Err(error) if error.is_busy() => return Ok(()),
            made => made?,
        };
        if enough.is_cancelled() {
            self.report.has_more = true;
            done = unharmed(done);
        }
        self.tell(done);
        Ok(())
    }
}

/// Waits until fewer are due. Where that cannot be told, there is nothing to wait for.
async fn settled_since(catalog: &Catalog, before: u64) {
    while catalog.count_thumbnails_due().await.is_ok_and(|now| now >= before) {
        tokio::time::sleep(PAUSE).await;
    }
}
