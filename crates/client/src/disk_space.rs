//! What is left on a disk.

use std::path::Path;

/// What is left on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    /// Bytes that this user may still write.
    pub(crate) bytes: u64,
    /// Whether it takes more files.
    pub(crate) takes_files: bool,
}

impl Space {
    /// Of the disk that a path is on, or will be on once it is made; none where it cannot be asked.
    pub(crate) fn around(path: &Path) -> Option<Self> {
        path.ancestors().find_map(Self::at)
    }

    #[cfg(unix)]
    fn at(path: &Path) -> Option<Self> {
        let space = rustix::fs::statvfs(path).ok()?;
        Some(Self {
            bytes: space.f_bavail.saturating_mul(space.f_frsize),
            // Where there is no number of files, there is no bound.
            takes_files: space.f_files == 0 || space.f_favail > 0,
        })
    }

    #[cfg(not(unix))]
    fn at(_: &Path) -> Option<Self> {
        None
    }
}
