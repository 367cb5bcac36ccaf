//! What a plan removes: from the folder into the local trash, or into the vault's. Each of it only while its cause still holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use darkslide_crypto::ContentHash;
use darkslide_media::probe::micros_of;
use darkslide_protocol::FileId;
use darkslide_protocol::receipt::{EarlierId, Verdict};
use darkslide_protocol::server::Extension;
use darkslide_protocol::trash::{TrashRequest, TrashRequestItem};

use super::{Hands, content_of, tombstone};
use crate::catalog::{BaseChanges, SyncFolderRow};
use crate::download::blocking;
use crate::error::VaultError;
use crate::feed;
use crate::folder::breaker::Removed;
use crate::folder::reconcile::{Action, Cause, Deleted, RelativePath, Remote, Step};
use crate::folder::scan::is_absent;
use crate::folder::turn::{self, Turn};
use crate::folder::{SyncError, trash};
use crate::library::path_of;
use crate::versions::versions_with;

/// Files that are trashed in one call.
const CALL_MAX: usize = 100;

/// How long after a look something is trashed in the vault for what it missed, if the look itself did not take longer.
const LOOK_HOLDS: Duration = Duration::from_secs(10);

/// A file that goes into the vault's trash, and the paths that had it.
type Deletion = (TrashRequestItem, Vec<(RelativePath, Deleted)>);

impl Hands<'_> {
    /// What removes, counted for the [breaker](crate::folder::breaker) right before: neither a crash nor a lost answer makes it less. What the owner was asked
    /// about is not counted, nor what comes back as it was edited elsewhere.
    pub(super) async fn remove(&mut self, remote: Vec<Step>, local: Vec<Step>) -> Result<(), SyncError> {
        if remote.is_empty() && local.is_empty() {
            return Ok(());
        }
        let Some(_turn) = self.turn().await? else {
            self.put_off();
            return Ok(());
        };
        let is_counted = |step: &&Step| {
            step.cause != Cause::EditedThere && !self.approved.is_some_and(|list| list.has(step))
        };
        let count = local.iter().chain(&remote).filter(is_counted).count();
        let removed = Removed { at: micros_of(SystemTime::now()), count, agreed: self.agreed };
        if count > 0 {
            self.catalog.record_removed(self.row.id, removed).await?;
        }
        // It hangs on what a look has seen, and the other one on what the vault says now.
        self.trash_remote(remote).await?;
        self.trash_local(local).await?;
        let done =
            usize::try_from(self.report.trashed_local + self.report.trashed_remote).unwrap_or(usize::MAX);
        if done < count {
            self.catalog.record_removed(self.row.id, Removed { count: done, ..removed }).await?;
        }
        Ok(())
    }

    /// The turn to remove. None while somebody else has it, and once the folder was taken over: what was planned is of what it was before.
    async fn turn(&self) -> Result<Option<Turn>, SyncError> {
        let Some(turn) = turn::wait(self.catalog).await? else { return Ok(None) };
        let is_it =
            |known: &SyncFolderRow| known.id == self.row.id && known.folder.marker == self.row.folder.marker;
        Ok(self.catalog.sync_folders().await?.iter().any(is_it).then_some(turn))
    }

    /// From the folder into the local trash, of what the vault has in its trash, whole, or was told to purge.
    async fn trash_local(&mut self, steps: Vec<Step>) -> Result<(), SyncError> {
        if steps.is_empty() || self.is_stopped() {
            return Ok(());
        }
        self.must_be_healthy().await?;
        feed::pull(self.session, self.catalog).await?;
        let contents: BTreeSet<ContentHash> = steps.iter().filter_map(content_of).collect();
        let remotes = self.remotes(contents).await?;
        let in_trash = |content: &ContentHash| match remotes.get(content) {
            Some(Remote::Trash { file, .. }) => Some(*file),
            _ => None,
        };
        let kept = self.kept_as_earlier(&steps, &remotes).await?;
        let trashed = steps.iter().filter_map(content_of).filter_map(|content| in_trash(&content));
        let wanted = trashed.chain(kept.keys().map(|(file, _)| *file)).collect();
        let vouched = self.vouched_for(&wanted, &kept.values().flatten().copied().collect()).await?;
        let stats = self.stats_of(steps.iter().map(|step| &step.path)).await?;
        for step in steps {
            if self.is_stopped() {
                break;
            }
            let Action::TrashLocal { content, disk, buried } = step.action else { continue };
            let told = path_of(&step.path).display().to_string();
            let said = match (in_trash(&content), edited_file(&step)) {
                (Some(file), _) => vouched.of_file(file),
                (None, Some(file)) => {
                    kept.get(&(file, content)).and_then(|earlier| vouched.of_edited(file, earlier))
                }
                // It came back meanwhile.
                (None, None) => None,
            };
            let is_purged = matches!(remotes.get(&content), Some(Remote::Purged));
            if !is_purged && said == Some(Verdict::Damaged) {
                self.report.fails(told, &"the vault's copy is damaged, so that this one stays");
                continue;
            }
            if !is_purged && said != Some(Verdict::Verified) {
                self.report.waits(told, &"the vault could not be asked for its copy yet");
                continue;
            }
            let Some(stat) = stats.get(&step.path).copied().filter(|stat| stat.disk == disk) else {
                continue;
            };
            let (root, trash, path) =
                (self.root().to_owned(), self.row.folder.trash.clone(), step.path.clone());
            let now =
                trash::Moment { here: micros_of(SystemTime::now()), there: self.session.api.server_time() };
            let put =
                blocking(move || trash::put(&trash, &root, &path, (stat, content), step.cause, now)).await;
            match put {
                Ok(()) => {
                    self.report.trashed_local += 1;
                    let put = BTreeMap::from([(step.path, tombstone(buried))]);
                    self.record(&BaseChanges { put, ..BaseChanges::default() }).await?;
                }
                Err(trash::TrashError::Changed) => self.report.waits(told, &trash::TrashError::Changed),
                // One of the two takes nothing: the folder, or the trash.
                Err(error) => match self.what_is_closed(&step.path).await {
                    Some(closed) => self.report.fails(told, &closed),
                    None => self.report.fails(told, &error),
                },
            }
        }
        Ok(())
    }

    /// The earlier versions that keep what leaves the folder because it was edited elsewhere: what the file is must be what was seen.
    async fn kept_as_earlier(
        &self,
        steps: &[Step],
        remotes: &HashMap<ContentHash, Remote>,
    ) -> Result<BTreeMap<(FileId, ContentHash), Vec<EarlierId>>, SyncError> {
        let edited: Vec<FileId> = steps.iter().filter_map(edited_file).collect();
        let now = self.catalog.contents_of_files(self.session.account, &edited).await?;
        let mut kept = BTreeMap::new();
        for step in steps {
            let (Some(file), Action::TrashLocal { content, buried, .. }) = (edited_file(step), &step.action)
            else {
                continue;
            };
            let is_as_seen = now.get(&file) == Some(&buried.content) && !remotes.contains_key(content);
            if is_as_seen && !kept.contains_key(&(file, *content)) {
                let versions = versions_with(self.session, self.catalog, file, *content).await?;
                kept.insert((file, *content), versions);
            }
        }
        Ok(kept)
    }

    /// Into the vault's trash, each file as it was seen.
    async fn trash_remote(&mut self, steps: Vec<Step>) -> Result<(), SyncError> {
        if steps.is_empty() || self.is_stopped() {
            return Ok(());
        }
        if !self.session.api.offers(Extension::Conditions).await.map_err(VaultError::from)? {
            let told = "the server cannot delete on conditions; nothing is deleted there";
            self.report.fails("", &told);
            return Ok(());
        }
        let mut items: BTreeMap<FileId, Deletion> = BTreeMap::new();
        for step in steps {
            let Action::TrashRemote { file, version, buried } = step.action else { continue };
            let memberships = self.catalog.own_memberships(self.session.account, file).await?;
            let Some(membership) = memberships.first() else { continue };
            let (file_id, collection_id) = (file, membership.collection);
            let item = TrashRequestItem { file_id, collection_id, if_version: Some(version) };
            items.entry(file).or_insert((item, Vec::new())).1.push((step.path, buried));
        }
        let items: Vec<_> = items.into_values().collect();
        for (number, chunk) in items.chunks(CALL_MAX).enumerate() {
            if self.is_stopped() {
                return Ok(());
            }
            // Some of it goes each time, however slow the line is.
            if number > 0 && !holds(self.looked_at.elapsed(), self.looked_for) {
                self.put_off();
                return Ok(());
            }
            let there = self.still_there(chunk).await?;
            self.report.has_more |= there.len() < chunk.len();
            // Asked last of all: is it the right disk, and is it still gone?
            self.must_be_healthy().await?;
            let is_gone = |paths: &[(RelativePath, Deleted)]| {
                paths.iter().all(|(path, _)| is_absent(&self.whole(path)))
            };
            let mut chunk: Vec<_> = there.into_iter().filter(|(_, paths)| is_gone(paths)).collect();
            if let Err(failure) = self.ask_to_trash(&chunk).await {
                if failure.conflicts().is_empty() {
                    return Err(VaultError::from(failure).into());
                }
                // Somebody changed some of them: these are for the next pass.
                let differ: BTreeSet<FileId> =
                    failure.conflicts().iter().map(|conflict| conflict.file_id).collect();
                chunk.retain(|(item, _)| !differ.contains(&item.file_id));
                self.report.has_more = true;
                match self.ask_to_trash(&chunk).await {
                    Ok(()) => {}
                    Err(failure) if !failure.conflicts().is_empty() => continue,
                    Err(failure) => return Err(VaultError::from(failure).into()),
                }
            }
            feed::pull(self.session, self.catalog).await?;
            let mut changes = BaseChanges::default();
            for (path, buried) in chunk.iter().flat_map(|(_, paths)| paths) {
                self.report.trashed_remote += 1;
                // What others have sent since that was planned is later than this.
                changes.put.insert(path.clone(), tombstone(*buried));
            }
            self.record(&changes).await?;
        }
        Ok(())
    }

    /// Those of which the vault still has what was planned. The condition on the version is not enough: a server that was set back may have
    /// given number and version to another picture since.
    async fn still_there<'d>(&self, deletions: &'d [Deletion]) -> Result<Vec<&'d Deletion>, SyncError> {
        feed::pull(self.session, self.catalog).await?;
        let contents = deletions.iter().flat_map(|(_, paths)| paths).map(|(_, buried)| buried.content);
        let remotes = self.remotes(contents.collect::<BTreeSet<_>>()).await?;
        let is_there = |item: &TrashRequestItem, buried: &Deleted| {
            matches!(remotes.get(&buried.content), Some(Remote::Live { file, version, .. })
                if *file == item.file_id && Some(*version) == item.if_version)
        };
        Ok(deletions
            .iter()
            .filter(|(item, paths)| paths.iter().all(|(_, buried)| is_there(item, buried)))
            .collect())
    }

    async fn ask_to_trash(&self, items: &[&Deletion]) -> Result<(), crate::api::ApiFailure> {
        if items.is_empty() {
            return Ok(());
        }
        let items = items.iter().map(|(item, _)| *item).collect();
        self.session.api.trash_files(&TrashRequest { items }).await
    }
}

/// Whether a look that took so long still says what is missed, so long after it.
fn holds(since: Duration, looked_for: Duration) -> bool {
    since <= LOOK_HOLDS.max(looked_for)
}

/// The file that was edited elsewhere, where that is why a picture leaves the folder.
fn edited_file(step: &Step) -> Option<FileId> {
    match step.action {
        Action::TrashLocal { buried, .. } if step.cause == Cause::EditedThere => Some(buried.file),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_holds_for_ten_seconds_or_as_long_as_it_took() {
        for (since, looked_for, does) in
            [(0, 0, true), (10, 0, true), (11, 0, false), (11, 60, true), (60, 60, true), (61, 60, false)]
        {
            let seconds = Duration::from_secs;
            assert_eq!(holds(seconds(since), seconds(looked_for)), does, "{since} {looked_for}");
        }
    }
}
