//! What the folder gets of the vault.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Instant;

use darkslide_crypto::ContentHash;
use darkslide_protocol::FileId;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::{Hands, UNSEEN, as_agreed};
use crate::catalog::{BaseChanges, BaseRow};
use crate::download::{ContentError, blocking};
use crate::error::VaultError;
use crate::feed;
use crate::folder::SyncError;
use crate::folder::fetch::{FetchError, fetch, tidy};
use crate::folder::news::until_enough;
use crate::folder::reconcile::{Action, Base, Step, Synced};
use crate::folder::scan::Stat;
use crate::folder::trash::{self, TrashedFile};
use crate::library::path_of;

/// Files that are brought at once.
const FETCHED_AT_ONCE: usize = 4;

/// One that is to be brought: from the local trash, if that has it.
type Job = (Option<TrashedFile>, Step, ContentHash, FileId);

/// One that was brought, or was not.
type Brought = (Step, ContentHash, Result<Stat, FetchError>);

impl Hands<'_> {
    /// What the folder gets, as much of it as a pass brings before it is looked at again.
    pub(super) async fn bring(&mut self, steps: Vec<Step>) -> Result<(), SyncError> {
        if steps.is_empty() || self.is_stopped() {
            return Ok(());
        }
        self.must_be_healthy().await?;
        feed::pull(self.session, self.catalog).await?;
        let news = self.news();
        // While something was sent.
        if news.is_trashed().await? {
            self.put_off();
            return Ok(());
        }
        let jobs = self.jobs(steps).await;
        let (session, catalog, events, root) =
            (self.session, self.catalog, self.events, self.root().to_owned());
        let (began, planned, hurry) = (Instant::now(), jobs.len(), self.stop.child_token());
        let enough = hurry.child_token();
        let mut running = futures_util::stream::iter(jobs)
            .take_while(|_| std::future::ready(!enough.is_cancelled()))
            .map(|(trashed, step, content, file)| {
                let (target, root, hurry) = (root.join(path_of(&step.path)), &root, &hurry);
                async move {
                    let (picture, place) = ((file, content), (root.as_path(), target.as_path()));
                    let fetched = fetch(session, catalog, picture, place, trashed, events, hurry).await;
                    (step, content, fetched)
                }
            })
            .buffer_unordered(FETCHED_AT_ONCE);
        // All of it side by side: what is fetched, and whoever asks, may hold what noting waits for.
        let (came, mut coming) = mpsc::unbounded_channel();
        let fetching = async {
            while let Some(brought) = running.next().await {
                if came.send(brought).is_err() {
                    break;
                }
            }
            drop(came);
            Ok(())
        };
        let (mut files, mut bytes, mut ends) = (0, 0, None);
        let noting = async {
            let mut brought = Vec::new();
            while coming.recv_many(&mut brought, FETCHED_AT_ONCE).await > 0 {
                files += brought.len();
                bytes += brought.iter().filter_map(size_of).sum::<u64>();
                // What is on its way comes to its end then.
                if let Some(error) = self.record_brought(std::mem::take(&mut brought)).await? {
                    ends.get_or_insert(error);
                    enough.cancel();
                }
                if self.share.is_reached(files, bytes) && began.elapsed() >= self.time_to_add() {
                    enough.cancel();
                }
            }
            Ok::<_, SyncError>(())
        };
        let bringing = Box::pin(async { tokio::try_join!(fetching, noting) });
        until_enough(bringing, news.trashed(), &hurry).await?;
        self.report.has_more |= files < planned;
        if let Some(error) = ends {
            return Err(error.into());
        }
        if news.is_trashed().await? {
            self.put_off();
        }
        Ok(())
    }

    /// What is fetched, and what the local trash has of it. What an earlier run left on its way is removed first.
    async fn jobs(&self, steps: Vec<Step>) -> Vec<Job> {
        let targets: Vec<PathBuf> = steps.iter().map(|step| self.whole(&step.path)).collect();
        let root = self.root().to_owned();
        if let Err(error) = blocking(move || tidy(&root, &targets)).await {
            tracing::warn!(%error, "what an earlier run left of files on their way cannot be removed");
        }
        let (trash, own) = (self.row.folder.trash.clone(), self.root().to_owned());
        let listed = blocking(move || trash::list_of(&trash, &own)).await.unwrap_or_default();
        let mut trashed: HashMap<ContentHash, TrashedFile> =
            listed.into_iter().map(|trashed| (trashed.content, trashed)).collect();
        steps
            .into_iter()
            .filter_map(|step| match step.action {
                // Each entry of the trash comes back once.
                Action::Materialise { content, file } => {
                    Some((trashed.remove(&content), step, content, file))
                }
                _ => None,
            })
            .collect()
    }

    /// Notes what came, whatever became of the others. Says what keeps all of them from coming.
    async fn record_brought(&mut self, brought: Vec<Brought>) -> Result<Option<VaultError>, SyncError> {
        // What came into the place of a disk that went away meanwhile did not come into the folder.
        self.must_be_healthy().await?;
        let contents = brought.iter().map(|(_, content, _)| *content);
        let remotes = self.remotes(contents.collect::<BTreeSet<_>>()).await?;
        let (mut changes, mut ends) = (BaseChanges::default(), None);
        for (step, content, fetched) in brought {
            let told = path_of(&step.path).display().to_string();
            let stat = match fetched {
                Ok(stat) => stat,
                Err(FetchError::Vault(error)) => {
                    ends.get_or_insert(*error);
                    continue;
                }
                Err(FetchError::Content(error)) => {
                    match *error {
                        ContentError::Api(failure) if failure.is_transient() || failure.is_signed_out() => {
                            ends.get_or_insert(VaultError::from(failure));
                        }
                        error => self.report.fails(told, &error),
                    }
                    continue;
                }
                Err(FetchError::GivenUp) => {
                    self.report.has_more = true;
                    continue;
                }
                // Nothing that is tried again ends that.
                Err(FetchError::NoWay(why)) => {
                    self.report.waits(told, &why);
                    self.report.lasting_count += 1;
                    continue;
                }
                Err(error) => {
                    match self.what_is_closed(&step.path).await {
                        Some(closed) => self.report.fails(told, &closed),
                        None => self.report.fails(told, &error),
                    }
                    continue;
                }
            };
            self.report.materialised += 1;
            let Action::Materialise { file, .. } = step.action else { continue };
            let (file, version) = as_agreed(remotes.get(&content), file);
            // It is something else there by now, which is for the next pass.
            self.report.has_more |= version == UNSEEN;
            let agreed =
                Synced { content, disk: stat.disk, size: stat.size, file, version, absent_since: None };
            changes.put.insert(step.path, BaseRow { base: Base::Synced(agreed), stat });
        }
        self.record(&changes).await?;
        Ok(ends)
    }
}

/// Its bytes, if it came.
fn size_of((_, _, fetched): &Brought) -> Option<u64> {
    Some(fetched.as_ref().ok()?.size)
}
