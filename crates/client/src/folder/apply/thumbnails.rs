//! Thumbnails that pictures of the folder still wait for, where nothing is sent any more that they would go along with: sending was ended for what others
//! trashed, or the agent was killed. Nothing here keeps a removal waiting.

use std::sync::Arc;
use std::time::Duration;

use super::Hands;
use crate::backup::AssetError;
use crate::backup::offer::offer;
use crate::folder::SyncError;
use crate::folder::reconcile::Direction;
use crate::library::raw;

/// How long they are made before the folder is looked at again, if looking takes no time.
const AT_LEAST: Duration = Duration::from_secs(10);

impl Hands<'_> {
    /// Makes them, until others trash something, or the folder is to be looked at again: then the next pass goes on.
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
        let (enough, time) = (self.stop.child_token(), self.time_to_add().max(AT_LEAST));
        let asking = async {
            tokio::select! {
                () = tokio::time::sleep(time) => {}
                () = news.trashed() => {}
            }
            enough.cancel();
            std::future::pending::<()>().await;
        };
        let (root, none) = (&self.row.folder.path, Vec::new());
        let making = Box::pin(offer(session, catalog, root, none, self.settings, self.events, &enough));
        let made = tokio::select! {
            made = making => made,
            () = asking => return Ok(()),
        };
        let mut done = match made.map_err(SyncError::from) {
            // Whoever backs something up makes them, too.
            Err(error) if error.is_busy() => return Ok(()),
            made => made?,
        };
        if enough.is_cancelled() {
            self.report.has_more = true;
            // Nothing went wrong.
            done.interrupted = done.interrupted.filter(|reason| *reason != AssetError::Stopped.to_string());
        }
        self.tell(done);
        Ok(())
    }
}
