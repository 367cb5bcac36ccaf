//! Whether the agent's owner has paused it: until its owner says otherwise, whatever becomes of the process meanwhile. An empty file in the
//! profile's folder says so to the next one.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use darkslide_client::profile::Profile;

/// The pause of one profile's agent. Clones are of the same one: where the disk has no room for the file, this process still knows.
#[derive(Clone, Debug)]
pub(super) struct Pause {
    path: PathBuf,
    is_set: Arc<AtomicBool>,
}

impl Pause {
    /// As its owner left it.
    pub(super) fn of(profile: &Profile) -> Self {
        Self::at(profile.folder().join("agent.paused"))
    }

    fn at(path: PathBuf) -> Self {
        let is_set = Arc::new(AtomicBool::new(path.exists()));
        Self { path, is_set }
    }

    /// Whether nothing is to be done.
    pub(super) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Relaxed)
    }

    /// Sets it or takes it back. That is done also where this fails: then the next process does not know.
    pub(super) fn set(&self, is_set: bool) -> io::Result<()> {
        self.is_set.store(is_set, Ordering::Relaxed);
        self.record()
    }

    /// Tells the next process, where that was not possible before.
    pub(super) fn record(&self) -> io::Result<()> {
        if self.is_set() {
            return File::create(&self.path).map(drop);
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lasts_until_it_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let next = || Pause::at(folder.path().join("agent.paused"));
        let pause = next();
        assert!(!pause.is_set());
        pause.set(true).unwrap();
        assert!(pause.clone().is_set() && next().is_set());
        pause.set(false).unwrap();
        assert!(!pause.is_set() && !next().is_set());
        pause.set(false).unwrap();
    }

    #[test]
    fn what_cannot_be_written_down_is_known_to_this_process_and_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("away/agent.paused");
        let pause = Pause::at(path.clone());
        let same = pause.clone();
        pause.set(true).unwrap_err();
        assert!(same.is_set() && !Pause::at(path.clone()).is_set());
        fs::create_dir(folder.path().join("away")).unwrap();
        same.record().unwrap();
        assert!(Pause::at(path).is_set());
    }
}
