//! What the folder gets of the vault.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use darkslide_crypto::ContentHash;
use futures_util::StreamExt as _;

use super::Hands;
use crate::catalog::{BaseChanges, BaseRow};
use crate::download::{ContentError, blocking};
use crate::error::VaultError;
use crate::feed;
use crate::folder::SyncError;
use crate::folder::fetch::{FetchError, fetch, tidy};
use crate::folder::reconcile::{Action, Base, Remote, Step, Synced};
use crate::folder::scan::Stat;
use crate::folder::trash::{self, TrashedFile};
use crate::library::path_of;

/// Files that are brought at once.
const FETCHED_AT_ONCE: usize = 4;

impl Hands<'_> {
    /// What the folder gets.
    pub(super) async fn bring(&mut self, steps: Vec<Step>) -> Result<(), SyncError> {
        if steps.is_empty() || self.is_stopped() {
            return Ok(());
        }
        self.must_be_healthy().await?;
        feed::pull(self.session, self.catalog).await?;
        let targets: Vec<PathBuf> = steps.iter().map(|step| self.whole(&step.path)).collect();
        let root = self.root().to_owned();
        if let Err(error) = blocking(move || tidy(&root, &targets)).await {
            tracing::warn!(%error, "what an earlier run left of files on their way cannot be removed");
        }
        let (trash, own) = (self.row.folder.trash.clone(), self.root().to_owned());
        let listed = blocking(move || trash::list_of(&trash, &own)).await.unwrap_or_default();
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
