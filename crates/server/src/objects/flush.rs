//! The flusher: one thread that moves received files to their places and flushes the folders they moved into.
//!
//! Uploads that end while it works wait together and share the next round, so many small objects cost few flushes of a folder.
//! Nothing is answered before its folder is flushed.

use super::ObjectError;
use super::incoming::TemporaryFile;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
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
    let mut moved: BTreeMap<PathBuf, Vec<oneshot::Sender<Result<(), ObjectError>>>> = BTreeMap::new();
    for Move { from, to, done } in round {
        let folder = to.parent().expect("a blob lies in a folder").to_owned();
        match fs::rename(from.path(), &to).map_err(ObjectError::disk("move a blob to", &to)) {
            Ok(()) => {
                from.moved_away();
                moved.entry(folder).or_default().push(done);
            }
            // Who waited may have gone away; then nobody needs the answer.
            Err(error) => drop(done.send(Err(error))),
        }
    }
    for (folder, waiting) in moved {
        // Asked once: a second flush after a failed one may succeed without having written anything.
        let result = File::open(&folder).and_then(|open| open.sync_all());
        for done in waiting {
            let answer = result.as_ref().map(|&()| ()).map_err(copy);
            drop(done.send(answer.map_err(ObjectError::disk("flush the folder", &folder))));
        }
    }
}

/// The same error again, for each who waited.
fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

/// Makes the entries of a folder survive a power cut.
pub(super) fn sync_folder(folder: &Path) -> Result<(), ObjectError> {
    File::open(folder).and_then(|open| open.sync_all()).map_err(ObjectError::disk("flush the folder", folder))
}
