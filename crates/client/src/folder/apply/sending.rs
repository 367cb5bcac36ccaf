//! What the vault gets of a folder, a piece at a time.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use darkslide_crypto::ContentHash;
use darkslide_protocol::Version;
use tokio_util::sync::CancellationToken;

use super::{Hands, content_of};
use crate::backup::offer::{Offer, offer};
use crate::backup::{AssetError, BackupReport};
use crate::catalog::{BaseChanges, BaseRow};
use crate::feed;
use crate::folder::SyncError;
use crate::folder::reconcile::{Action, Base, Direction, RelativePath, Remote, Step, Synced};
use crate::folder::scan::Stat;
use crate::library::{path_of, raw};

/// Files that one pass sends at most ([`cut`]): of others nobody has to remember until the next.
const SENT_MAX: usize = 20_000;

impl Hands<'_> {
    /// What the vault gets: sent, linked or restored.
    pub(super) async fn send(&mut self, steps: Vec<Step>) -> Result<(), SyncError> {
        let began = Instant::now();
        let enough = self.looked_for.saturating_mul(self.share.looks);
        let mut left = VecDeque::from(steps);
        let mut is_first = true;
        while !left.is_empty() && !self.is_stopped() {
            if !is_first && began.elapsed() >= enough {
                break;
            }
            match self.send_some(&mut left).await {
                Ok(true) => {}
                Ok(false) => break,
                // Whoever backs something up between two pieces has a turn.
                Err(error) if !is_first && error.is_busy() => break,
                Err(error) => return Err(error),
            }
            is_first = false;
        }
        self.report.has_more |= !left.is_empty();
        Ok(())
    }

    /// Sends the first of these. Says whether others can be sent.
    async fn send_some(&mut self, left: &mut VecDeque<Step>) -> Result<bool, SyncError> {
        self.must_be_healthy().await?;
        let files = left.len().min(self.share.files.max(1));
        let stats = self.stats_of(left.iter().take(files).map(|step| &step.path)).await?;
        let mut bytes = 0;
        let fits = |step: &&Step| {
            bytes += stats.get(&step.path).map_or(0, |stat| stat.size);
            bytes <= self.share.bytes
        };
        let count = left.iter().take(files).take_while(fits).count().max(1);
        let mut steps: Vec<Step> = left.drain(..count).collect();
        self.keep_as_planned(&mut steps).await?;
        if steps.is_empty() {
            return Ok(true);
        }
        let offers = steps.iter().map(|step| {
            let replaces = match step.action {
                Action::Send { replaces, .. } => replaces.zip(step.lets_go),
                _ => None,
            };
            let restores = match step.action {
                Action::Restore { file, version, .. } => Some((file, version)),
                _ => None,
            };
            Offer { path: path_of(&step.path), replaces, restores }
        });
        let (session, catalog) = (Arc::clone(self.session), self.catalog.clone());
        let hurry = self.stop.child_token();
        let (root, offers) = (self.root(), offers.collect());
        let sending = Box::pin(offer(session, catalog, root, offers, self.settings, self.events, &hurry));
        let mut done = self.until_trashed(sending, &hurry).await?;
        feed::pull(self.session, self.catalog).await?;
        self.record_sent(steps, &stats, &done).await?;
        if hurry.is_cancelled() && !self.stop.is_cancelled() {
            // Nothing went wrong.
            done.interrupted = done.interrupted.filter(|reason| *reason != AssetError::Stopped.to_string());
        }
        let is_trashed = hurry.is_cancelled() || self.is_trashed_since().await?;
        if is_trashed {
            self.put_off();
        }
        let goes_on = !is_trashed && done.interrupted.is_none() && done.storage_full.is_none();
        self.tell(done);
        Ok(goes_on)
    }

    /// What is trashed on another client meanwhile does not wait for all of it: sending ends then with what is on its way, and the next pass begins
    /// with the removal.
    async fn until_trashed<T>(
        &self,
        mut sending: impl Future<Output = T> + Unpin,
        hurry: &CancellationToken,
    ) -> T {
        let trashed = async {
            loop {
                tokio::time::sleep(self.share.news).await;
                let asked = async {
                    feed::pull(self.session, self.catalog).await?;
                    self.is_trashed_since().await
                };
                // Whoever sends hears of a line that is down.
                if asked.await.unwrap_or(false) {
                    break;
                }
            }
        };
        tokio::select! {
            done = &mut sending => return done,
            () = trashed => hurry.cancel(),
        }
        sending.await
    }

    /// Whether something that was agreed on was trashed, or purged, in the vault since it was looked at. What was trashed before that is in the
    /// plan, or waits for something else.
    async fn is_trashed_since(&self) -> Result<bool, SyncError> {
        // A server without an order of what happens gives no versions to compare.
        if self.row.folder.direction == Direction::Up || self.vault == Version(0) {
            return Ok(false);
        }
        Ok(self.catalog.is_agreed_trashed_since(self.row.id, self.vault).await?)
    }

    /// Takes out what the vault has changed since it was planned: that is for the next pass.
    async fn keep_as_planned(&mut self, steps: &mut Vec<Step>) -> Result<(), SyncError> {
        feed::pull(self.session, self.catalog).await?;
        let contents: BTreeSet<ContentHash> = steps.iter().filter_map(content_of).collect();
        let remotes = self.remotes(contents).await?;
        let before = steps.len();
        steps.retain(|step| {
            let remote = content_of(step).and_then(|content| remotes.get(&content));
            match (&step.action, remote) {
                (Action::Send { .. }, None | Some(Remote::Purged))
                | (Action::Link { .. }, Some(Remote::Live { .. })) => true,
                (
                    Action::Restore { file, version, .. },
                    Some(Remote::Trash { file: now, version: deleted }),
                ) => (file, version) == (now, deleted),
                _ => false,
            }
        });
        self.report.has_more |= steps.len() < before;
        Ok(())
    }

    async fn record_sent(
        &mut self,
        steps: Vec<Step>,
        stats: &HashMap<RelativePath, Stat>,
        done: &BackupReport,
    ) -> Result<(), SyncError> {
        let root = raw(self.root());
        let paths: Vec<_> = steps.iter().map(|step| step.path.clone()).collect();
        let assets = self.catalog.assets_at(&root, &paths).await?;
        let assets: HashMap<_, _> = assets.into_iter().map(|row| (row.path.clone(), row)).collect();
        let contents: BTreeSet<ContentHash> = assets.values().filter_map(|row| row.content_hash).collect();
        let remotes = self.remotes(contents).await?;
        let mut changes = BaseChanges::default();
        for step in steps {
            let (Some(asset), Some(stat)) = (assets.get(&step.path), stats.get(&step.path)) else {
                continue;
            };
            let is_as_seen = asset.is_backed_up()
                && asset.fingerprint.size == stat.size
                && asset.fingerprint.modified_ns == stat.modified_ns
                && asset.fingerprint.inode == stat.disk.inode;
            // What was sent is what was seen, or it is for the next pass.
            let content =
                asset.content_hash.filter(|content| is_as_seen && Some(*content) == content_of(&step));
            let Some(content) = content else { continue };
            let (file, version) = match (remotes.get(&content), &step.action) {
                (Some(Remote::Live { file, version, .. }), _) => (*file, *version),
                // Deleted by somebody since it was sent, a moment ago: both sides had it, so that it is a deletion like any other.
                (Some(Remote::Trash { file, .. }), Action::Send { .. } | Action::Link { .. }) => {
                    (*file, Version(0))
                }
                _ => continue,
            };
            let agreed =
                Synced { content, disk: stat.disk, size: stat.size, file, version, absent_since: None };
            let told = path_of(&step.path).display().to_string();
            if step.is_reappearance() {
                self.report.notes(told, &step.cause);
            }
            changes.put.insert(step.path, BaseRow { base: Base::Synced(agreed), stat: *stat });
            changes.detached.extend(step.lets_go);
        }
        self.report.has_more |= done.interrupted.is_some();
        self.record(&changes).await
    }

    fn tell(&mut self, done: BackupReport) {
        self.report.uploaded += done.uploaded;
        self.report.linked += done.linked;
        self.report.restored += done.untrashed;
        self.report.has_more |= done.overtaken > 0;
        let root = self.root().display().to_string();
        for failed in done.failed {
            let below =
                failed.path.strip_prefix(&root).unwrap_or(&failed.path).trim_start_matches('/').to_owned();
            self.report.fails(below, &failed.reason);
        }
        if let Some(reason) = done.storage_full {
            self.report.fails("", &format!("the vault takes no more: {reason}"));
        }
        if let Some(reason) = done.interrupted {
            self.report.fails("", &reason);
        }
    }
}

/// Leaves out what one pass does not send anyway, and says whether there was any: the next pass plans it anew, and until then nobody has to
/// remember it.
pub(in crate::folder) fn cut(steps: &mut Vec<Step>) -> bool {
    let (before, mut sent) = (steps.len(), 0);
    steps.retain(|step| {
        let is_sent =
            matches!(step.action, Action::Send { .. } | Action::Link { .. } | Action::Restore { .. });
        sent += usize::from(is_sent);
        !is_sent || sent <= SENT_MAX
    });
    steps.shrink_to_fit();
    steps.len() < before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::reconcile::Cause;

    #[test]
    fn a_pass_remembers_no_more_than_it_sends() {
        let content = ContentHash::of(b"h");
        let step = |number: usize, action, cause| {
            let path = number.to_string().into_bytes();
            Step { path, from: None, action, cause, lets_go: None }
        };
        let send = |number| step(number, Action::Send { content, replaces: None }, Cause::New);
        let forget = |number| step(number, Action::Forget, Cause::Elsewhere);
        let planned: Vec<Step> =
            (0..SENT_MAX + 2).map(send).chain((SENT_MAX + 2..SENT_MAX + 5).map(forget)).collect();
        let mut steps = planned.clone();
        assert!(cut(&mut steps));
        assert_eq!(steps.len(), SENT_MAX + 3);
        assert_eq!(
            (&steps[..SENT_MAX], &steps[SENT_MAX..]),
            (&planned[..SENT_MAX], &planned[SENT_MAX + 2..])
        );
        assert!(steps.capacity() < planned.len());
        assert!(!cut(&mut steps), "all of that is for one pass");
    }
}
