//! The flusher: one thread that moves received files to their places and flushes the folders they moved into.
//!
//! Uploads that end while it works wait together and share the next round, so many small objects cost few flushes of a folder.
//! Nothing is answered before its folder is flushed.

use super::ObjectError;
use super::incoming::TemporaryFile;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use tokio::sync::{mpsc, oneshot};

/// The most files that one round moves.
const ROUND_FILES: usize = 1024;

/// One flushed file that waits to be moved.
struct Move {
    from: TemporaryFile,
    to: PathBuf,
    done: oneshot::Sender<Result<(), ObjectError>>,
}

/// The flusher's end that uploads hold. The thread ends when it is dropped.
#[derive(Debug)]
pub(super) struct Flusher(mpsc::UnboundedSender<Move>);

impl Flusher {
    /// Starts the thread.
    pub(super) fn start() -> Result<Self, ObjectError> {
        let (sender, receiver) = mpsc::unbounded_channel();
        std::thread::Builder::new()
            .name("flusher".to_owned())
            .spawn(move || run(receiver))
            .map_err(ObjectError::disk("start the flusher of", Path::new("objects")))?;
        Ok(Self(sender))
    }

    /// Moves a file to its place, durably. `to` must not exist.
    pub(super) async fn place(&self, from: TemporaryFile, to: PathBuf) -> Result<(), ObjectError> {
        let (done, answer) = oneshot::channel();
        self.0.send(Move { from, to, done }).map_err(|_| ObjectError::Stopping)?;
        answer.await.map_err(|_| ObjectError::Stopping)?
    }
}

fn run(mut waiting: mpsc::UnboundedReceiver<Move>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut round = vec![first];
        while round.len() < ROUND_FILES
            && let Ok(next) = waiting.try_recv()
        {
            round.push(next);
        }
        flush_round(round);
    }
}

fn flush_round(round: Vec<Move>) {
    let mut folders = BTreeSet::new();
    let mut moved = Vec::new();
    for Move { from, to, done } in round {
        match fs::rename(from.path(), &to).map_err(ObjectError::disk("move a blob to", &to)) {
            Ok(()) => {
                from.moved_away();
                folders.extend(to.parent().map(Path::to_owned));
                moved.push((to, done));
            }
            // Who waited may have gone away; then nobody needs the answer.
            Err(error) => drop(done.send(Err(error))),
        }
    }
    let flushed: BTreeMap<PathBuf, Result<(), ObjectError>> =
        folders.into_iter().map(|folder| (folder.clone(), sync_folder(&folder))).collect();
    for (to, done) in moved {
        let result = match to.parent().and_then(|folder| flushed.get(folder)) {
            Some(Err(_)) => sync_folder(to.parent().expect("it was found by its folder")),
            _ => Ok(()),
        };
        drop(done.send(result));
    }
}

/// Makes the entries of a folder survive a power cut.
pub(super) fn sync_folder(folder: &Path) -> Result<(), ObjectError> {
    File::open(folder).and_then(|open| open.sync_all()).map_err(ObjectError::disk("flush the folder", folder))
}
