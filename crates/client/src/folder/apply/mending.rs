//! What the server is known to have damaged, and the folder has as both agreed on it, is sent again.
//!
//! Each file is read first: what is something else by now is nobody's replacement, and what changed is for the plan. What others have deleted or edited
//! meanwhile is not sent.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use darkslide_crypto::ContentHash;

use super::Hands;
use super::sending::unharmed;
use crate::backup::offer::{Offer, offer};
use crate::download::blocking;
use crate::feed;
use crate::folder::SyncError;
use crate::folder::news::until_enough;
use crate::folder::reading::content_of;
use crate::folder::reconcile::{Base, RelativePath};
use crate::folder::scan::Stat;
use crate::library::path_of;
use crate::watch::disks;

impl Hands<'_> {
    /// Sends it again, as the same files, until others trash something: then the next pass goes on. Says whether there was any.
    pub(super) async fn mend(&mut self) -> Result<bool, SyncError> {
        let damaged = self.catalog.damaged_in_folder(self.row.id).await?;
        if damaged.is_empty() || self.is_stopped() {
            return Ok(false);
        }
        self.must_be_healthy().await?;
        let (mut offers, mut contents) = (Vec::new(), HashSet::new());
        for (path, row) in self.catalog.sync_base_at(self.row.id, &damaged).await? {
            let Base::Synced(agreed) = row.base else { continue };
            // One copy is enough.
            if contents.contains(&agreed.content) {
                continue;
            }
            let whole = self.whole(&path);
            if disks::asked().owes(&whole) {
                continue;
            }
            let read = blocking(move || read_as_agreed(&whole, &row.stat)).await;
            match read {
                Ok(Some(content)) if content == agreed.content => {
                    contents.insert(content);
                    offers.push(Offer { path: path_of(&path), replaces: None, restores: None, mends: true });
                }
                Ok(Some(_)) => self.is_no_replacement(&path, "it is not what it was when it was sent"),
                // It changed: the plan deals with that.
                Ok(None) => {}
                Err(error) => self.is_no_replacement(&path, &error.to_string()),
            }
        }
        if offers.is_empty() {
            return Ok(false);
        }
        feed::pull(self.session, self.catalog).await?;
        let (session, catalog, news) = (Arc::clone(self.session), self.catalog.clone(), self.news());
        let (root, enough) = (&self.row.folder.path, self.stop.child_token());
        let sending = Box::pin(offer(session, catalog, root, offers, self.settings, self.events, &enough));
        let mut done = until_enough(sending, news.trashed(), &enough).await?;
        feed::pull(self.session, self.catalog).await?;
        if enough.is_cancelled() && !self.is_stopped() {
            self.put_off();
            done = unharmed(done);
        }
        self.tell(done);
        Ok(true)
    }

    fn is_no_replacement(&mut self, path: &RelativePath, why: &str) {
        let reason = format!("the server's copy is damaged, and this one cannot be sent again: {why}");
        self.report.fails(path_of(path).display().to_string(), &reason);
    }
}

/// What is in a file that still is as it was when both sides agreed on it; none where it is not.
fn read_as_agreed(path: &Path, agreed: &Stat) -> io::Result<Option<ContentHash>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let before = file.metadata()?;
    let is_as_agreed = before.is_file() && Stat::of(&before) == *agreed;
    if is_as_agreed { content_of(&mut file, &before, |_| {}) } else { Ok(None) }
}
