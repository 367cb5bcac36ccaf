//! Watch folders: folders that are kept backed up, one way, as they change.
//!
//! Here is what can be told without a process around it: which folders may be watched, what the system's notices mean, whether
//! a folder is there or only its mount point is. Nothing here backs anything up, and nothing here can delete anything: a folder
//! that is gone is *offline*, never *empty*.

pub mod dirty;
pub mod disks;
pub mod file_system;
pub mod health;
#[cfg(target_os = "linux")]
mod inotify;
mod notices;
#[cfg(not(target_os = "linux"))]
mod recursive;
mod root;
mod watcher;

use std::io;
use std::path::{Path, PathBuf};

pub use dirty::Dirty;
pub use root::Root;
pub use watcher::{How, Removals, Watcher, Why};

use crate::catalog::{SyncFolderRow, WatchFolderRow};
use crate::folder::identities::Folders;

/// Why a folder cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// It is not there, or may not be read.
    #[error("{path} cannot be watched: {source}")]
    Unusable {
        /// As it was given.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file, or something else.
    #[error("{0} is not a folder; `darkslide backup` takes single files")]
    NotAFolder(PathBuf),
    /// It is in the list.
    #[error("{0} is watched already")]
    Already(PathBuf),
    /// It lies in one that is in the list.
    #[error("{path} lies in {watched}, which is watched with all that is in it; nothing needs to be done")]
    Inside {
        /// The new one.
        path: PathBuf,
        /// The one around it.
        watched: PathBuf,
    },
    /// One that is in the list lies in it.
    #[error(
        "{watched} lies in {path} and is watched already, and no picture may be in two watch folders: remove that one first \
         (`darkslide watch remove`); what was backed up of it is not sent again"
    )]
    Around {
        /// The new one.
        path: PathBuf,
        /// The one in it.
        watched: PathBuf,
    },
    /// A sync folder is there.
    #[error(
        "{path} and the sync folder {other} lie in each other. A watch folder never deletes and a sync folder does, so it can be only one: remove \
         that one first with `darkslide sync remove`"
    )]
    InStep {
        /// The new one.
        path: PathBuf,
        /// The sync folder.
        other: PathBuf,
    },
    /// A sync folder's local trash is there.
    #[error(
        "{path} lies in the local trash {trash} of a sync folder: what was deleted would be backed up again, and come back. `darkslide sync trash \
         list` shows what there is, and `darkslide sync trash restore` brings it back"
    )]
    Trash {
        /// The new one.
        path: PathBuf,
        /// The trash.
        trash: PathBuf,
    },
    /// Not in the list.
    #[error("{0} is not watched; `darkslide watch list` shows what is")]
    NotWatched(PathBuf),
}

/// The path under which a new folder is watched: it must be there, readable, and apart from all others.
pub fn admit(
    path: &Path,
    watched: &[WatchFolderRow],
    in_step: &[SyncFolderRow],
) -> Result<PathBuf, WatchError> {
    let unusable = |source| WatchError::Unusable { path: path.to_owned(), source };
    let whole = path.canonicalize().map_err(unusable)?;
    if !whole.is_dir() {
        return Err(WatchError::NotAFolder(path.to_owned()));
    }
    whole.read_dir().map_err(unusable)?;
    let mut others = in_step.iter().map(|row| &row.folder.path);
    // What is mounted at a second place has a path there that says nothing.
    let folders = if in_step.is_empty() { Folders::default() } else { Folders::of(&whole) };
    let lies_in = |other: &&PathBuf| {
        whole.starts_with(other) || other.starts_with(&whole) || folders.meet(&Folders::of(other))
    };
    if let Some(other) = others.find(lies_in) {
        return Err(WatchError::InStep { path: whole, other: other.clone() });
    }
    outside_trashes(&whole, in_step)?;
    apart(whole, watched.iter().map(|row| row.path.as_path()))
}

/// Refuses a folder or file, links resolved, that lies in the local trash of a sync folder.
pub fn outside_trashes(whole: &Path, in_step: &[SyncFolderRow]) -> Result<(), WatchError> {
    // The trash need not be there yet.
    let lies_in = |trash: &&PathBuf| {
        let there = trash.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
        let resolved = there.and_then(|(above, real)| Some(real.join(trash.strip_prefix(above).ok()?)));
        whole.starts_with(resolved.as_ref().unwrap_or(trash))
    };
    match in_step.iter().map(|row| &row.folder.trash).find(lies_in) {
        Some(trash) => Err(WatchError::Trash { trash: trash.clone(), path: whole.to_owned() }),
        None => Ok(()),
    }
}

fn apart<'a>(path: PathBuf, watched: impl Iterator<Item = &'a Path>) -> Result<PathBuf, WatchError> {
    for other in watched {
        if path == other {
            return Err(WatchError::Already(path));
        }
        let watched = other.to_owned();
        if path.starts_with(other) {
            return Err(WatchError::Inside { path, watched });
        }
        if other.starts_with(&path) {
            return Err(WatchError::Around { path, watched });
        }
    }
    Ok(path)
}

/// The watch folder that somebody means by a path, which need not be there any more.
pub fn find<'a>(path: &Path, watched: &'a [WatchFolderRow]) -> Result<&'a WatchFolderRow, WatchError> {
    let named = |path: PathBuf| watched.iter().find(|row| row.path == path);
    // As the list has it first: its disk may not answer.
    let found = std::path::absolute(path).ok().and_then(named);
    let found = found.or_else(|| path.canonicalize().ok().and_then(named));
    found.ok_or_else(|| WatchError::NotWatched(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watch_folders_are_apart_from_each_other() {
        let watched = ["/home/me/Pictures", "/mnt/card/DCIM"].map(Path::new);
        let check = |path: &str| apart(path.into(), watched.into_iter()).map_err(|error| error.to_string());
        assert_eq!(check("/home/me/Pictures2").unwrap(), Path::new("/home/me/Pictures2"));
        assert!(check("/home/me/Pictures").unwrap_err().contains("already"));
        assert!(check("/home/me/Pictures/2024").unwrap_err().contains("lies in /home/me/Pictures"));
        assert!(check("/mnt").unwrap_err().contains("/mnt/card/DCIM lies in /mnt"));
    }

    #[test]
    fn what_is_no_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.jpg"), b"x").unwrap();
        assert!(matches!(admit(&folder.path().join("a.jpg"), &[], &[]), Err(WatchError::NotAFolder(_))));
        assert!(matches!(admit(&folder.path().join("gone"), &[], &[]), Err(WatchError::Unusable { .. })));
        assert_eq!(admit(folder.path(), &[], &[]).unwrap(), folder.path().canonicalize().unwrap());
        assert!(matches!(find(Path::new("/nowhere"), &[]), Err(WatchError::NotWatched(_))));
    }
}
