//! The lock of the one run that may back a profile up, and its owner's heartbeat.
//!
//! The lock is the system's and ends with its process, so nothing has to be cleaned up behind a crash. The heartbeat is the time of the lock's
//! file: it tells an owner that works from one that is suspended or hangs. Nobody takes a lock away because of it: two engines at once are worse
//! than one that waits.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime};

use super::CatalogError;

/// How often the owner says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How long it may be silent before that is worth a word.
const SILENCE: Duration = Duration::from_mins(1);

/// Held by the run; released when dropped, or when its process dies.
#[derive(Debug)]
pub struct RunLock {
    #[expect(dead_code, reason = "kept open: closing it is what unlocks")]
    file: File,
    #[expect(dead_code, reason = "dropped, it ends the heartbeat")]
    alive: Sender<()>,
}

/// Who has the lock, as far as it said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// Its process.
    pub process: Option<u32>,
    /// How long it has said nothing.
    pub silent_for: Option<Duration>,
}

pub(super) fn take(path: PathBuf) -> Result<RunLock, CatalogError> {
    let io = |source| CatalogError::Io { path: path.clone(), source };
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(CatalogError::Busy(owner_of(&path))),
        Err(TryLockError::Error(source)) => return Err(io(source)),
    }
    // For whoever finds it locked.
    file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(io)?;
    let (alive, ended) = channel();
    let beating = std::thread::Builder::new().name("heartbeat".to_owned()).spawn(move || {
        while ended.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
            if let Err(error) = beat(&path) {
                tracing::debug!(%error, "the run's heartbeat is not seen");
            }
        }
    });
    beating.map_err(|source| CatalogError::Io { path: PathBuf::from("heartbeat"), source })?;
    Ok(RunLock { file, alive })
}

/// Through a handle of its own: the lock must end with the run's, whatever this thread is doing.
fn beat(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.set_modified(SystemTime::now())
}

fn owner_of(path: &Path) -> Owner {
    let modified = path.metadata().and_then(|metadata| metadata.modified());
    Owner {
        process: std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()),
        silent_for: modified.ok().and_then(|at| at.elapsed().ok()),
    }
}

pub(super) fn described(owner: &Owner) -> String {
    let process = owner.process.map(|process| format!(" (process {process})")).unwrap_or_default();
    match owner.silent_for.filter(|silent| *silent >= SILENCE) {
        Some(silent) => {
            let minutes = silent.as_secs() / 60;
            format!("{process}, and has shown no sign of life for {minutes} min: it is suspended, or hangs")
        }
        None => format!("{process}; wait until it is done"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_told_with_its_last_sign_of_life() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.lock");
        let lock = take(path.clone()).unwrap();
        let owner = |result: Result<RunLock, CatalogError>| match result {
            Err(CatalogError::Busy(owner)) => owner,
            other => panic!("{other:?}"),
        };
        let own = Some(std::process::id());
        assert_eq!(owner(take(path.clone())).process, own);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(200)).unwrap();
        let silent = owner(take(path.clone()));
        assert!(silent.silent_for.unwrap() >= Duration::from_secs(199), "{silent:?}");
        beat(&path).unwrap();
        assert!(owner(take(path.clone())).silent_for.unwrap() < Duration::from_secs(100));
        drop(lock);
        drop(take(path).unwrap());
        for (process, silent_for, expected) in [
            (None, None, "; wait until it is done"),
            (Some(7), Some(Duration::from_secs(59)), " (process 7); wait until it is done"),
            (
                Some(7),
                Some(Duration::from_secs(185)),
                " (process 7), and has shown no sign of life for 3 min: it is suspended, or hangs",
            ),
        ] {
            assert_eq!(described(&Owner { process, silent_for }), expected);
        }
    }
}
