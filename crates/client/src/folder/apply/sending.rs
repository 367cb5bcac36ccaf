//! What the vault gets of a folder, a piece at a time.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use darkslide_crypto::ContentHash;
use darkslide_media::probe::micros_of;
use tokio_util::sync::CancellationToken;

use super::{Hands, as_agreed, content_of, left_as_it_is};
use crate::backup::offer::{Offer, offer};
use crate::backup::{AssetError, BackupReport};
use crate::catalog::{AssetRow, BaseChanges, BaseRow};
use crate::feed;
use crate::folder::SyncError;
use crate::folder::reconcile::{Action, Base, RelativePath, Remote, Step, Synced};
use crate::folder::scan::Stat;
use crate::library::{path_of, raw};

/// Files that one pass sends at most, and as many that it brings ([`cut`]): of others nobody has to remember until the next.
const ADDED_MAX: usize = 20_000;

/// What is sent in one go.
struct Piece {
    /// What is not noted yet.
    steps: Vec<Step>,
    stats: HashMap<RelativePath, Stat>,
    /// When that began, µs since the epoch.
    since: i64,
}

impl Hands<'_> {
    /// What the vault gets: sent, linked or restored.
    pub(super) async fn send(&mut self, steps: Vec<Step>) -> Result<(), SyncError> {
        let began = Instant::now();
        let mut left = VecDeque::from(steps);
        let mut is_first = true;
        while !left.is_empty() && !self.is_stopped() {
            if !is_first && began.elapsed() >= self.time_to_add() {
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
            Offer { path: path_of(&step.path), replaces, restores, mends: false }
        });
        let offers = offers.collect();
        let (session, catalog, row) = (Arc::clone(self.session), self.catalog.clone(), self.row);
        let hurry = self.stop.child_token();
        let mut piece = Piece { steps, stats, since: micros_of(SystemTime::now()) };
        let (settings, events, offers) = (self.settings, self.events, offers);
        let sending = Box::pin(offer(session, catalog, &row.folder.path, offers, settings, events, &hurry));
        let sent = tokio::select! {
            sent = sending => sent,
            never = self.keep_noting(&mut piece, &hurry) => match never {},
        };
        let assets = self.sent_so_far(&piece).await?;
        let pulled = feed::pull(self.session, self.catalog).await;
        // Also where the line is down: whoever deletes any of it from now on deletes what both sides had.
        self.note_sent(&mut piece, assets).await?;
        let mut done = sent?;
        self.has_thumbnails = !hurry.is_cancelled();
        self.report.has_more |= done.interrupted.is_some();
        pulled?;
        if hurry.is_cancelled() && !self.stop.is_cancelled() {
            done = unharmed(done);
        }
        let is_trashed = hurry.is_cancelled() || self.news().is_trashed().await?;
        if is_trashed {
            self.put_off();
        }
        let goes_on = !is_trashed && done.interrupted.is_none() && done.storage_full.is_none();
        self.tell(done);
        Ok(goes_on)
    }

    /// Notes, while a piece is sent, what of it the vault has, so that an agent that is killed knows it. What is trashed on another client meanwhile
    /// does not wait for all of it: sending ends then with what is on its way, and the next pass begins with the removal.
    async fn keep_noting(&mut self, piece: &mut Piece, hurry: &CancellationToken) -> Infallible {
        loop {
            tokio::time::sleep(self.share.news).await;
            match self.note_so_far(piece).await {
                Ok(true) => hurry.cancel(),
                Ok(false) => {}
                // Whoever sends hears of a line that is down.
                Err(error) => tracing::debug!(%error, "what was sent so far is noted later"),
            }
        }
    }

    /// Says whether something was trashed.
    async fn note_so_far(&mut self, piece: &mut Piece) -> Result<bool, SyncError> {
        let assets = self.sent_so_far(piece).await?;
        feed::pull(self.session, self.catalog).await?;
        self.note_sent(piece, assets).await?;
        self.news().is_trashed().await
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

    /// What the vault has of a piece, and is not noted yet. The feed that is pulled after that has all of it.
    async fn sent_so_far(&self, piece: &Piece) -> Result<HashMap<RelativePath, AssetRow>, SyncError> {
        let paths: Vec<_> = piece.steps.iter().map(|step| step.path.clone()).collect();
        let assets = self.catalog.assets_at(&raw(self.root()), &paths).await?;
        // What was recorded before that is not in this album for it.
        let sent = assets.into_iter().filter(|row| row.is_backed_up() && row.last_seen >= piece.since);
        Ok(sent.map(|row| (row.path.clone(), row)).collect())
    }

    /// Notes it, and takes it out of the piece: deleted by somebody since, it is deleted like anything that both sides had.
    async fn note_sent(
        &mut self,
        piece: &mut Piece,
        assets: HashMap<RelativePath, AssetRow>,
    ) -> Result<(), SyncError> {
        if assets.is_empty() {
            return Ok(());
        }
        let edited = || piece.steps.iter().filter(|step| step.lets_go.is_some());
        let contents = assets.values().filter_map(|row| row.content_hash);
        let contents = contents.chain(edited().filter_map(|step| step.lets_go)).collect::<BTreeSet<_>>();
        let remotes = self.remotes(contents).await?;
        let paths: Vec<_> = edited().map(|step| step.path.clone()).collect();
        let before = self.catalog.sync_base_at(self.row.id, &paths).await?;
        let mut changes = BaseChanges::default();
        for step in &piece.steps {
            let (Some(asset), Some(stat)) = (assets.get(&step.path), piece.stats.get(&step.path)) else {
                continue;
            };
            let is_as_seen = asset.fingerprint.size == stat.size
                && asset.fingerprint.modified_ns == stat.modified_ns
                && asset.fingerprint.inode == stat.disk.inode;
            // What was sent is what was seen, or it is for the next pass.
            let content =
                asset.content_hash.filter(|content| is_as_seen && Some(*content) == content_of(step));
            let (Some(content), Some(file)) = (content, asset.file) else { continue };
            let (file, version) = as_agreed(remotes.get(&content), file);
            let agreed =
                Synced { content, disk: stat.disk, size: stat.size, file, version, absent_since: None };
            changes.put.insert(step.path.clone(), BaseRow { base: Base::Synced(agreed), stat: *stat });
            if let Some(old) = step.lets_go {
                changes.detached.insert(old);
                let left = left_as_it_is(before.get(&step.path), remotes.get(&old), file);
                changes.detached_files.extend(left.map(|file| (file, old)));
            }
        }
        self.record(&changes).await?;
        let is_noted = |step: &mut Step| changes.put.contains_key(&step.path);
        for step in piece.steps.extract_if(.., is_noted).filter(Step::is_reappearance) {
            self.report.notes(path_of(&step.path).display().to_string(), &step.cause);
        }
        Ok(())
    }

    pub(super) fn tell(&mut self, done: BackupReport) {
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

/// Of a run that was told to end with what was on its way: nothing went wrong for that.
pub(super) fn unharmed(done: BackupReport) -> BackupReport {
    let is_wrong = |reason: &String| *reason != AssetError::Stopped.to_string();
    BackupReport { interrupted: done.interrupted.filter(is_wrong), ..done }
}

/// Leaves out what one pass does not send, or bring, anyway, and says whether there was any: the next pass plans it anew, and until then nobody has to
/// remember it.
pub(in crate::folder) fn cut(steps: &mut Vec<Step>) -> bool {
    let (before, mut sent, mut brought) = (steps.len(), 0, 0);
    steps.retain(|step| {
        let count = match step.action {
            Action::Send { .. } | Action::Link { .. } | Action::Restore { .. } => &mut sent,
            Action::Materialise { .. } => &mut brought,
            _ => return true,
        };
        *count += 1;
        *count <= ADDED_MAX
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
            (0..ADDED_MAX + 2).map(send).chain((ADDED_MAX + 2..ADDED_MAX + 5).map(forget)).collect();
        let mut steps = planned.clone();
        assert!(cut(&mut steps));
        assert_eq!(steps.len(), ADDED_MAX + 3);
        assert_eq!(
            (&steps[..ADDED_MAX], &steps[ADDED_MAX..]),
            (&planned[..ADDED_MAX], &planned[ADDED_MAX + 2..])
        );
        assert!(steps.capacity() < planned.len());
        assert!(!cut(&mut steps), "all of that is for one pass");
    }
}
