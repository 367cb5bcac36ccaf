//! Carrying a plan out: what adds first, then what removes; the effect, then its durable acknowledgement, then the note of it.
//!
//! Adding takes long, so that a pass that adds removes nothing: the next one does, after a look of its own and before it adds anything more.
//!
//! Nothing is believed because it was planned. Before each step its preconditions are asked again, of the disk and of the vault; a step that no
//! longer holds is left to the next pass. A crash anywhere leaves effects without their notes, which the next pass finds as they are.

mod bringing;
mod mending;
mod removals;
mod sending;
mod thumbnails;
mod vouching;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use darkslide_crypto::ContentHash;
use darkslide_protocol::{FileId, Version};
use tokio_util::sync::CancellationToken;

use super::breaker::HeldList;
use super::marker::{self, Unhealthy};
use super::news::News;
use super::reconcile::{Action, Base, Cause, Deleted, DiskId, RelativePath, Remote, Step, Synced};
use super::report::PassReport;
use super::scan::{Scan, Stat, is_absent};
use super::{SyncError, while_answered};
use crate::backup::Settings;
use crate::catalog::{BaseChanges, BaseRow, Catalog, SyncFolderRow};
use crate::download::blocking;
use crate::event::Events;
use crate::feed;
use crate::library::{path_of, raw};
use crate::session::Session;
pub(super) use sending::cut;

/// How much is sent, or brought, before the folder is looked at again, so that deletions are not late, and a large folder is not looked at all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Files that are sent, or brought, in one go.
    pub files: usize,
    /// Their bytes, of one file at least.
    pub bytes: u64,
    /// A pass goes on with the next ones until it has sent, or brought, for so many times as long as it had looked.
    pub looks: u32,
    /// How often it is asked, while new files are read, or something is sent or brought, what others have trashed: that does not wait for all of it. As
    /// often it is noted what was sent.
    pub news: Duration,
    /// How long thumbnails that were left over are made, at least, before the folder is looked at again.
    pub thumbnails: Duration,
}

impl Share {
    /// Whether so many files of so many bytes are as much as goes in one go.
    fn is_reached(&self, files: usize, bytes: u64) -> bool {
        files >= self.files || bytes >= self.bytes
    }
}

impl Default for Share {
    fn default() -> Self {
        Self {
            files: 5_000,
            bytes: 512 << 20,
            looks: 4,
            news: Duration::from_secs(2),
            thumbnails: Duration::from_secs(10),
        }
    }
}

/// The version of what the vault had, and has no more as it was: any that it gets is another one.
const UNSEEN: Version = Version(0);

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
    /// How far the vault had been read then.
    pub(super) vault: Version,
    /// When it had looked.
    pub(super) looked_at: Instant,
    /// The last pass put removals off, and added what it had: now they come first.
    pub(super) is_removal_due: bool,
    /// This one puts some off.
    pub(super) is_put_off: bool,
    /// What was sent has its thumbnails, and what waited for one before, as far as they can be made.
    pub(super) has_thumbnails: bool,
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
        // It only reads from the folder.
        let root = self.root().to_owned();
        while_answered(&root, Box::pin(self.send(sent))).await??;
        self.bring(brought).await?;
        if self.mend().await? && !(remote.is_empty() && local.is_empty()) {
            self.put_off();
            (remote, local) = (Vec::new(), Vec::new());
        }
        if !noted.is_empty() {
            self.must_be_healthy().await?;
        }
        self.note(noted).await?;
        removed?;
        self.remove(remote, local).await?;
        self.make_thumbnails().await
    }

    /// Where it is asked what others trash meanwhile.
    fn news(&self) -> News {
        let (session, catalog) = (Arc::clone(self.session), self.catalog.clone());
        News { session, catalog, since: self.vault, every: self.share.news }
    }

    /// How long a pass goes on adding once it has added as much as goes in one go.
    fn time_to_add(&self) -> Duration {
        self.looked_for.saturating_mul(self.share.looks)
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

    /// What is to be mended of the root, or of the folder of a path in it, where files cannot be made and removed there.
    async fn what_is_closed(&self, path: &RelativePath) -> Option<Unhealthy> {
        let (root, whole) = (self.root().to_owned(), self.whole(path));
        blocking(move || {
            let folders = [root.as_path(), whole.parent().unwrap_or(&root)];
            folders.into_iter().find_map(|folder| marker::may_be_changed(folder).err())
        })
        .await
    }

    async fn record(&self, changes: &BaseChanges) -> Result<(), SyncError> {
        let folder = (self.row.id, self.row.folder.marker.as_str());
        Ok(self.catalog.record_sync(folder, &raw(self.root()), changes).await?)
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
        let detached = steps.iter().filter(|step| matches!(step.action, Action::Detach { .. }));
        let detached: Vec<_> = detached.map(|step| step.path.clone()).collect();
        let detached = self.catalog.sync_base_at(self.row.id, &detached).await?;
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
                    if let Some(Base::Synced(agreed)) = detached.get(&step.path).map(|row| row.base) {
                        changes.detached_files.insert(agreed.file, content);
                    }
                    changes.dropped.insert(step.path);
                    changes.detached.insert(content);
                }
                _ => {}
            }
        }
        self.record(&changes).await
    }
}

/// Whether the folder still has the file that was seen, and the vault that version of its own.
fn both_have(agreed: &Synced, here: Option<DiskId>, there: Option<&Remote>) -> bool {
    let is_there = matches!(there, Some(Remote::Live { file, version, .. })
        if (*file, *version) == (agreed.file, agreed.version));
    is_there && here == Some(agreed.disk)
}

/// As which file, at which version, both sides had what was just sent or brought. What others trashed, purged or edited since is noted too: that is
/// a change of what both had, and not something new in the folder.
pub(super) fn as_agreed(there: Option<&Remote>, file: FileId) -> (FileId, Version) {
    match there {
        Some(Remote::Live { file, version, .. }) => (*file, *version),
        Some(Remote::Trash { file, .. }) => (*file, UNSEEN),
        Some(Remote::Purged) | None => (file, UNSEEN),
    }
}

/// The file of what was agreed on at a path before, where another one is there now and that one stays in the vault as it is. What it became, by this or by
/// others, is for the folder.
fn left_as_it_is(before: Option<&BaseRow>, there: Option<&Remote>, now: FileId) -> Option<FileId> {
    let Some(BaseRow { base: Base::Synced(agreed), .. }) = before else { return None };
    let is_there = matches!(there, Some(Remote::Live { file, .. }) if *file == agreed.file);
    (is_there && agreed.file != now).then_some(agreed.file)
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
