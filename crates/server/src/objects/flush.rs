//! The flusher: one thread that moves received files to their places and flushes the folders they moved into.
//!
//! Uploads that end while it works wait together and share the next round, so many small objects cost few flushes of a folder.
//! Nothing is answered before its folder is flushed.
//!
//! A flush that failed is never made good by another one: the system says of a failure once to each descriptor that was open then, keeps the
//! bytes in memory as if the disk had them, and tells who opens it later that all is well. So a file and a folder are opened before
//! they change, and what could not be flushed is written anew, or given up.

use super::ObjectError;
use super::incoming::TemporaryFile;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
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

/// Those who wait for a folder to be flushed.
type Waiting = Vec<oneshot::Sender<Result<(), ObjectError>>>;

fn flush_round(round: Vec<Move>) {
    let mut moved: BTreeMap<PathBuf, (Folder, Waiting)> = BTreeMap::new();
    for Move { from, to, done } in round {
        let named = open_in(&mut moved, to.parent().expect("a blob lies in a folder")).and_then(|waiting| {
            fs::rename(from.path(), &to).map_err(ObjectError::disk("move a blob to", &to))?;
            Ok(waiting)
        });
        match named {
            Ok(waiting) => {
                from.moved_away();
                waiting.push(done);
            }
            // Who waited may have gone away; then nobody needs the answer.
            Err(error) => drop(done.send(Err(error))),
        }
    }
    for (folder, waiting) in moved.into_values() {
        // Asked once. What lies there unflushed has a name that nobody will know.
        let result = folder.sync();
        for done in waiting {
            let answer = result.as_ref().map(|&()| ()).map_err(copy);
            drop(done.send(answer.map_err(ObjectError::disk("flush the folder", &folder.path))));
        }
    }
}

/// Who waits for a folder, which is open from here on.
fn open_in<'m>(
    moved: &'m mut BTreeMap<PathBuf, (Folder, Waiting)>,
    folder: &Path,
) -> Result<&'m mut Waiting, ObjectError> {
    let (_, waiting) = match moved.entry(folder.to_owned()) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => new.insert((Folder::open(folder)?, Waiting::new())),
    };
    Ok(waiting)
}

/// The same error again, for each who waited.
fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

/// A folder that is open before anything in it changes, and so hears of every failure to write it from then on.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    open: File,
}

impl Folder {
    /// The folder that a file lies in.
    pub(super) fn of(path: &Path) -> Result<Self, ObjectError> {
        Self::open(path.parent().expect("a file lies in a folder"))
    }

    pub(super) fn open(path: &Path) -> Result<Self, ObjectError> {
        let open = File::open(path).map_err(ObjectError::disk("open", path))?;
        Ok(Self { path: path.to_owned(), open })
    }

    /// Makes its entries survive a power cut. To be asked once.
    pub(super) fn flush(&self) -> Result<(), ObjectError> {
        self.sync().map_err(ObjectError::disk("flush the folder", &self.path))
    }

    fn sync(&self) -> io::Result<()> {
        #[cfg(test)]
        faults::strike(&self.path)?;
        self.open.sync_all()
    }
}

/// Makes the entries of a folder survive a power cut, of which none was to be flushed before.
pub(super) fn sync_folder(folder: &Path) -> Result<(), ObjectError> {
    Folder::open(folder)?.flush()
}

/// Makes the bytes of a file survive a power cut. It was open before they were written, and is asked no more when it has failed.
pub(super) fn sync_data(file: &File, path: &Path) -> Result<(), ObjectError> {
    #[cfg(test)]
    faults::strike(path).map_err(ObjectError::disk("flush", path))?;
    file.sync_data().map_err(ObjectError::disk("flush", path))
}

/// Flushes that fail, as those of a disk that breaks.
#[cfg(test)]
pub(super) mod faults {
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, PoisonError};

    static DUE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

    /// The next flush of this file or folder fails, and the one after it says that all is well.
    pub(in crate::objects) fn fail_next(path: &Path) {
        DUE.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
    }

    pub(super) fn strike(path: &Path) -> io::Result<()> {
        let mut due = DUE.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = due.iter().position(|due| due == path) else { return Ok(()) };
        due.swap_remove(at);
        Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()))
    }
}
