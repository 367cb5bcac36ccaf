//! What somebody asks for by its paths, and which network disks of it do not answer: it is done without these, and says so.

use anyhow::Result;
use darkslide_client::backup::Named;
use darkslide_client::library::selection::Selection;
use darkslide_client::watch::disks;
use std::path::{Path, PathBuf};

/// Paths, looked at before anything else asks a disk.
pub(crate) struct Asked {
    /// Those that can be looked at.
    pub(crate) paths: Vec<PathBuf>,
    /// The others, and why.
    pub(crate) left_out: Vec<Named>,
    /// Disks below the former that do not answer.
    silent: Vec<PathBuf>,
}

impl Asked {
    pub(crate) async fn for_paths(paths: &[PathBuf]) -> Self {
        let mut asked = Self { paths: Vec::new(), left_out: Vec::new(), silent: Vec::new() };
        for path in paths {
            if let Some(silent) = disks::asked().silent_at(path, disks::TO_WAKE).await {
                asked.left_out.push(left_out(path, &silent.disk));
                continue;
            }
            // One that is not there is the backup's to tell.
            if let Ok(whole) = path.canonicalize() {
                asked.silent.extend(disks::asked().silent_below(&whole, disks::TO_WAKE).await);
            }
            asked.paths.push(path.clone());
        }
        asked
    }

    /// Whether nothing can be looked at.
    pub(crate) fn is_nothing(&self) -> bool {
        self.paths.is_empty()
    }

    /// The same selection without the disks that do not answer.
    pub(crate) fn within(&self, selection: &Selection) -> Selection {
        let exclude = selection.exclude.clone().and_silent(self.silent.clone());
        Selection { exclude, scope: selection.scope.clone() }
    }

    /// All that is left out: paths, and disks below others.
    pub(crate) fn all_left_out(self) -> Vec<Named> {
        let below = self.silent.iter().map(|disk| left_out(disk, disk));
        self.left_out.into_iter().chain(below).collect()
    }

    /// Works, unless another disk of these falls silent: the work would wait for it, for whoever knows how long.
    pub(crate) async fn while_answered<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T>
    where
        anyhow::Error: From<E>,
    {
        tokio::select! {
            done = work => Ok(done?),
            silent = self.falls_silent() => Err(silent),
        }
    }

    /// Waits until another disk of these does not answer any more, for ever where none does: what is to be said then.
    async fn falls_silent(&self) -> anyhow::Error {
        let roots: Vec<PathBuf> = self.paths.iter().filter_map(|path| path.canonicalize().ok()).collect();
        let disks = disks::asked();
        let disk = disks.falls_silent(&roots, &self.silent, disks::ASKED_EVERY, disks::TO_WAKE).await;
        anyhow::anyhow!(
            "{} any more. What was done so far is safe; run it again to go on, without that disk until it answers",
            does_not_answer(&disk)
        )
    }
}

fn left_out(path: &Path, disk: &Path) -> Named {
    Named { path: path.display().to_string(), reason: does_not_answer(disk) }
}

fn does_not_answer(disk: &Path) -> String {
    format!("the disk at {} does not answer", disk.display())
}
