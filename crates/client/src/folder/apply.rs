//! Carrying a plan out: what adds first, then what removes; the effect, then its durable acknowledgement, then the note of it.
//!
//! Adding takes long, so that a pass that adds removes nothing: the next one does, after a look of its own and before it adds anything more.
//!
//! Nothing is believed because it was planned. Before each step its preconditions are asked again, of the disk and of the vault; a step that no
//! longer holds is left to the next pass. A crash anywhere leaves an effect without its note, which the next pass finds as it is.

mod removals;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use darkslide_crypto::ContentHash;
use darkslide_protocol::Version;
use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::breaker::HeldList;
use super::fetch::{FetchError, fetch, tidy};
use super::reconcile::{Action, Base, Cause, Deleted, DiskId, RelativePath, Remote, Step, Synced};
use super::report::PassReport;
use super::scan::{Scan, Stat, is_absent};
use super::trash::{self, TrashedFile};
use super::{SyncError, marker};
use crate::backup::offer::{Offer, offer};
use crate::backup::{BackupReport, Settings};
use crate::catalog::{BaseChanges, BaseRow, Catalog, SyncFolderRow};
use crate::download::{ContentError, blocking};
use crate::error::VaultError;
use crate::event::Events;
use crate::feed;
use crate::library::{path_of, raw};
use crate::session::Session;

/// Files that one pass sends at most ([`cut`]): of others nobody has to remember until the next.
const SENT_MAX: usize = 20_000;

/// How much is sent before the folder is looked at again, so that deletions are not late, and a large folder is not looked at all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Files that are sent in one go.
    pub files: usize,
    /// Their bytes, of one file at least.
    pub bytes: u64,
    /// A pass goes on with the next ones until it has sent for so many times as long as it had looked.
    pub looks: u32,
}

impl Default for Share {
    fn default() -> Self {
        Self { files: 5_000, bytes: 512 << 20, looks: 4 }
    }
}

/// Files that are brought at once.
const FETCHED_AT_ONCE: usize = 4;

/// What carries a plan out.
pub(super) struct Hands<'a> {
    pub(super) session: &'a Arc<Session>,
    pub(super) catalog: &'a Catalog,
    pub(super) row: &'a SyncFolderRow,
    pub(super) scan: &'a Scan,
    pub(super) settings: &'a Settings,
    pub(super) events: &'a Events,
    pub(super) stop: &'a CancellationToken,
    /// How much is sent.
    pub(super) share: Share,
    /// How long it took to look.
    pub(super) looked_for: Duration,
    /// When it had looked.
    pub(super) looked_at: Instant,
    /// The last pass put removals off, and added what it had: now they come first.
    pub(super) is_removal_due: bool,
    /// This one puts some off.
    pub(super) is_put_off: bool,
    /// How many pictures are agreed on.
    pub(super) agreed: usize,
    /// What the owner was asked about, and wants.
    pub(super) approved: Option<&'a HeldList>,
    pub(super) report: PassReport,
}

impl Hands<'_> {
    fn root(&self) -> &Path {
        &self.row.folder.path
    }

    fn whole(&self, path: &RelativePath) -> PathBuf {
        self.root().join(path_of(path))
    }

    /// Carries all steps out, as far as the world still is what it was.
    pub(super) async fn carry_out(&mut self, steps: Vec<Step>) -> Result<(), SyncError> {
        let (mut noted, mut sent, mut brought, mut local, mut remote) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for step in steps {
            match step.action {
                Action::Agree(_)
                | Action::Move(_)
                | Action::Miss(_)
                | Action::Forget
                | Action::Bury(_)
                | Action::Detach { .. } => noted.push(step),
                Action::Send { .. } | Action::Link { .. } | Action::Restore { .. } => sent.push(step),
                Action::Materialise { .. } => brought.push(step),
                Action::TrashLocal { .. } => local.push(step),
                Action::TrashRemote { .. } => remote.push(step),
            }
        }
        // Before anything is sent: a rename that is not noted would look like a new file.
        let (moved, noted): (Vec<_>, Vec<_>) =
            noted.into_iter().partition(|step| matches!(step.action, Action::Agree(_) | Action::Move(_)));
        self.agree(moved).await?;
        let is_adding = !sent.is_empty() || !brought.is_empty();
        let is_removing = !remote.is_empty() || !local.is_empty();
        let mut removed = Ok(());
        if self.is_removal_due {
            // Whatever fails there keeps nothing from being sent.
            removed = self.remove(std::mem::take(&mut remote), std::mem::take(&mut local)).await;
        } else if is_adding && is_removing {
            // What was missed may be back, or elsewhere, by the time that all of it is sent.
            self.put_off();
            (remote, local) = (Vec::new(), Vec::new());
        }
        self.send(sent).await?;
        self.bring(brought).await?;
        if !noted.is_empty() {
            self.must_be_healthy().await?;
        }
        self.note(noted).await?;
        removed?;
        self.remove(remote, local).await
    }

    /// Leaves removals to the next pass, which begins with them.
    fn put_off(&mut self) {
        self.is_put_off = true;
        self.report.has_more = true;
    }

    fn is_stopped(&mut self) -> bool {
        let is_stopped = self.stop.is_cancelled();
        self.report.has_more |= is_stopped;
        is_stopped
    }

    /// Whether the root still is the one that was looked at.
    async fn must_be_healthy(&self) -> Result<(), SyncError> {
        let (root, id) = (self.root().to_owned(), self.row.folder.marker.clone());
        Ok(blocking(move || marker::check(&root, &id)).await?)
    }

    async fn record(&self, changes: &BaseChanges) -> Result<(), SyncError> {
        Ok(self.catalog.record_sync(self.row.id, &raw(self.root()), changes).await?)
    }

    /// What the scan's `stat` said of whole files: what was agreed on, where it said nothing else.
    async fn stats_of(
        &self,
        paths: impl Iterator<Item = &RelativePath>,
    ) -> Result<HashMap<RelativePath, Stat>, SyncError> {
        let (mut stats, mut as_agreed) = (HashMap::new(), Vec::new());
        for path in paths {
            match self.scan.stats.get(path) {
                Some(stat) => drop(stats.insert(path.clone(), *stat)),
                None => as_agreed.push(path.clone()),
            }
        }
        let rows = self.catalog.sync_base_at(self.row.id, &as_agreed).await?;
        let synced = rows.into_iter().filter(|(_, row)| matches!(row.base, Base::Synced(_)));
        stats.extend(synced.map(|(path, row)| (path, row.stat)));
        Ok(stats)
    }

    /// What the vault has of these contents, as far as it was read.
    async fn remotes(
        &self,
        contents: BTreeSet<ContentHash>,
    ) -> Result<HashMap<ContentHash, Remote>, SyncError> {
        Ok(self.catalog.remotes(self.session.account, self.row.id, contents).await?)
    }

    /// What both sides have, where they have it: written down unless it is not so any more. Otherwise nobody would know what both did have,
    /// and what was deleted of that.
    async fn agree(&mut self, mut steps: Vec<Step>) -> Result<(), SyncError> {
        if steps.is_empty() {
            return Ok(());
        }
        self.must_be_healthy().await?;
        let agreed = |step: &Step| match step.action {
            Action::Agree(agreed) => Some(agreed.content),
            _ => None,
        };
        let contents: BTreeSet<ContentHash> = steps.iter().filter_map(agreed).collect();
        if !contents.is_empty() {
            feed::pull(self.session, self.catalog).await?;
            let remotes = self.remotes(contents).await?;
            let before = steps.len();
            steps.retain(|step| match step.action {
                Action::Agree(agreed) => {
                    let here = self.whole(&step.path).symlink_metadata().ok();
                    let here = here.map(|metadata| Stat::of(&metadata).disk);
                    both_have(&agreed, here, remotes.get(&agreed.content))
                }
                _ => true,
            });
            self.report.has_more |= steps.len() < before;
        }
        self.note(steps).await
    }

    /// What is only written down.
    async fn note(&mut self, steps: Vec<Step>) -> Result<(), SyncError> {
        let stats = self.stats_of(steps.iter().map(|step| &step.path)).await?;
        let mut changes = BaseChanges::default();
        for step in steps {
            let is_absence = matches!(
                step.action,
                Action::Miss(_) | Action::Forget | Action::Bury(_) | Action::Detach { .. }
            );
            if is_absence && !is_absent(&self.whole(&step.path)) {
                continue;
            }
            match step.action {
                Action::Agree(agreed) | Action::Miss(agreed) => {
                    let stat = stats.get(&step.path).copied().unwrap_or_default();
                    changes.put.insert(step.path, BaseRow { base: Base::Synced(agreed), stat });
                }
                Action::Move(agreed) => {
                    let stat = stats.get(&step.path).copied().unwrap_or_default();
                    if let Some(from) = step.from {
                        changes.dropped.insert(from.clone());
                        changes.moved.insert(step.path.clone(), from);
                    }
                    changes.put.insert(step.path, BaseRow { base: Base::Synced(agreed), stat });
                    self.report.renamed += 1;
                }
                Action::Forget => {
                    changes.dropped.insert(step.path);
                }
                Action::Bury(buried) => {
                    if step.cause == Cause::Lost {
                        self.report.notes(path_of(&step.path).display().to_string(), &step.cause);
                    }
                    changes.put.insert(step.path, tombstone(buried));
                }
                Action::Detach { content } => {
                    changes.dropped.insert(step.path);
                    changes.detached.insert(content);
                }
                _ => {}
            }
        }
        self.record(&changes).await
    }

    /// What the vault gets: sent, linked or restored.
    async fn send(&mut self, steps: Vec<Step>) -> Result<(), SyncError> {
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
        let done =
            offer(session, catalog, self.root(), offers.collect(), self.settings, self.events, self.stop)
                .await?;
        feed::pull(self.session, self.catalog).await?;
        self.record_sent(steps, &stats, &done).await?;
        let goes_on = done.interrupted.is_none() && done.storage_full.is_none();
        self.tell(done);
        Ok(goes_on)
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

    /// What the folder gets.
    async fn bring(&mut self, steps: Vec<Step>) -> Result<(), SyncError> {
        if steps.is_empty() || self.is_stopped() {
            return Ok(());
        }
        self.must_be_healthy().await?;
        feed::pull(self.session, self.catalog).await?;
        let targets: Vec<PathBuf> = steps.iter().map(|step| self.whole(&step.path)).collect();
        if let Err(error) = blocking(move || tidy(&targets)).await {
            tracing::warn!(%error, "what an earlier run left of files on their way cannot be removed");
        }
        let trash = self.row.folder.trash.clone();
        let listed = blocking(move || trash::list(&trash)).await.unwrap_or_default();
        let mut trashed: HashMap<ContentHash, TrashedFile> =
            listed.into_iter().map(|trashed| (trashed.content, trashed)).collect();
        let jobs: Vec<_> = steps
            .into_iter()
            .filter_map(|step| match step.action {
                // Each entry of the trash comes back once.
                Action::Materialise { content, file } => {
                    Some((trashed.remove(&content), step, content, file))
                }
                _ => None,
            })
            .collect();
        let (session, catalog, events, root) =
            (self.session, self.catalog, self.events, self.root().to_owned());
        let stop = self.stop.clone();
        let mut running = futures_util::stream::iter(jobs)
            .take_while(|_| std::future::ready(!stop.is_cancelled()))
            .map(|(trashed, step, content, file)| {
                let (target, root) = (root.join(path_of(&step.path)), &root);
                async move {
                    let fetched =
                        fetch(session, catalog, (file, content), root, &target, trashed, events).await;
                    (step, content, fetched)
                }
            })
            .buffer_unordered(FETCHED_AT_ONCE);
        let mut done = Vec::new();
        while let Some(fetched) = running.next().await {
            done.push(fetched);
            if done.len() >= FETCHED_AT_ONCE {
                self.record_brought(std::mem::take(&mut done)).await?;
            }
        }
        drop(running);
        self.record_brought(done).await?;
        let _told = self.is_stopped();
        Ok(())
    }

    async fn record_brought(
        &mut self,
        brought: Vec<(Step, ContentHash, Result<Stat, FetchError>)>,
    ) -> Result<(), SyncError> {
        if brought.is_empty() {
            return Ok(());
        }
        // What came into the place of a disk that went away meanwhile did not come into the folder.
        self.must_be_healthy().await?;
        let contents = brought.iter().map(|(_, content, _)| *content);
        let remotes = self.remotes(contents.collect::<BTreeSet<_>>()).await?;
        let mut changes = BaseChanges::default();
        for (step, content, fetched) in brought {
            let told = path_of(&step.path).display().to_string();
            let stat = match fetched {
                Ok(stat) => stat,
                Err(FetchError::Vault(error)) => return Err((*error).into()),
                Err(FetchError::Content(error)) => match *error {
                    ContentError::Api(failure) if failure.is_transient() || failure.is_signed_out() => {
                        return Err(VaultError::from(failure).into());
                    }
                    error => {
                        self.report.fails(told, &error);
                        continue;
                    }
                },
                Err(error) => {
                    self.report.fails(told, &error);
                    continue;
                }
            };
            self.report.materialised += 1;
            if let Some(Remote::Live { file, version, .. }) = remotes.get(&content) {
                let (file, version) = (*file, *version);
                let agreed =
                    Synced { content, disk: stat.disk, size: stat.size, file, version, absent_since: None };
                changes.put.insert(step.path, BaseRow { base: Base::Synced(agreed), stat });
            }
        }
        self.record(&changes).await
    }
}

/// Leaves out what one pass does not send anyway, and says whether there was any: the next pass plans it anew, and until then nobody has to
/// remember it.
pub(super) fn cut(steps: &mut Vec<Step>) -> bool {
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

/// Whether the folder still has the file that was seen, and the vault that version of its own.
fn both_have(agreed: &Synced, here: Option<DiskId>, there: Option<&Remote>) -> bool {
    let is_there = matches!(there, Some(Remote::Live { file, version, .. })
        if (*file, *version) == (agreed.file, agreed.version));
    is_there && here == Some(agreed.disk)
}

fn tombstone(buried: Deleted) -> BaseRow {
    let version = buried.version.max(Version(1));
    let stat = Stat { size: buried.size, ..Stat::default() };
    BaseRow { base: Base::Deleted(Deleted { version, ..buried }), stat }
}

fn content_of(step: &Step) -> Option<ContentHash> {
    match step.action {
        Action::Send { content, .. }
        | Action::Link { content }
        | Action::Restore { content, .. }
        | Action::Materialise { content, .. }
        | Action::TrashLocal { content, .. } => Some(content),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkslide_protocol::FileId;

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

    /// It was noted as the vault's other file of the same content, which was in the trash by then.
    #[test]
    fn an_agreement_is_noted_while_both_sides_have_it() {
        let disk = DiskId { inode: 1, born_ns: 1 };
        let (content, file, version) = (ContentHash::of(b"h"), FileId(1), Version(5));
        let agreed = Synced { content, disk, size: 1, file, version, absent_since: None };
        let live = |file, version| Some(Remote::Live { file, version, taken: 0 });
        for (here, there, holds) in [
            (Some(disk), live(file, version), true),
            (None, live(file, version), false),
            (Some(DiskId { inode: 2, ..disk }), live(file, version), false),
            (Some(disk), live(FileId(2), version), false),
            (Some(disk), live(file, Version(6)), false),
            (Some(disk), Some(Remote::Trash { file, version }), false),
            (Some(disk), Some(Remote::Purged), false),
            (Some(disk), None, false),
        ] {
            assert_eq!(both_have(&agreed, here, there.as_ref()), holds, "{here:?} {there:?}");
        }
    }
}
