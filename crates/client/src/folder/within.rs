//! The way to a place below a root, entered folder by folder. A link on it leads out of the sync folder, and what is not a folder leads nowhere: nothing is
//! written there. What gets its name gets it in the folder that was entered, whatever has the path of that by then.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use tempfile::NamedTempFile;

#[cfg(not(unix))]
use crate::restore::place::sync_folder;

/// Why there is no way to a place.
#[derive(Debug, thiserror::Error)]
pub enum NoWay {
    /// A link, wherever it leads.
    #[error(
        "{0} is a link now, and nothing is written behind links: what is to come there needs a folder in its place"
    )]
    Link(PathBuf),
    /// A file, or something else.
    #[error("{0} is no folder now, and what is to come belongs into one: give what is there another name")]
    NotAFolder(PathBuf),
    /// The system refused.
    #[error(transparent)]
    Refused(#[from] io::Error),
}

impl NoWay {
    /// What is in the way at a path below the root, of which `path` is told.
    fn at(whole: &Path, path: &Path) -> Option<Self> {
        let metadata = whole.symlink_metadata().ok()?;
        if metadata.is_symlink() {
            return Some(Self::Link(path.to_owned()));
        }
        (!metadata.is_dir()).then(|| Self::NotAFolder(path.to_owned()))
    }
}

/// A folder that was entered.
#[derive(Debug)]
pub(super) struct Entered {
    path: PathBuf,
    #[cfg(unix)]
    folder: File,
}

impl Entered {
    /// Where it was when it was entered.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives a file a name in it that is free. `from` must lie on the same disk.
    pub(super) fn take_in(&self, from: &Path, name: &OsStr) -> io::Result<()> {
        #[cfg(unix)]
        {
            use rustix::fs::{AtFlags, CWD, linkat};
            #[cfg(any(target_os = "linux", target_os = "macos"))]
            {
                use rustix::fs::{RenameFlags, renameat_with};
                match renameat_with(CWD, from, &self.folder, name, RenameFlags::NOREPLACE) {
                    // Some file systems cannot.
                    Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {}
                    other => return Ok(other?),
                }
            }
            linkat(CWD, from, &self.folder, name, AtFlags::empty())?;
        }
        #[cfg(not(unix))]
        fs::hard_link(from, self.path.join(name))?;
        fs::remove_file(from)
    }

    /// The same of a temporary file. Gives it, open.
    pub(super) fn persist(&self, staged: NamedTempFile, name: &OsStr) -> io::Result<File> {
        #[cfg(unix)]
        {
            let (file, path) = staged.into_parts();
            self.take_in(&path, name)?;
            Ok(file)
        }
        #[cfg(not(unix))]
        staged.persist_noclobber(self.path.join(name)).map_err(|error| error.error)
    }

    /// Makes its names durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        #[cfg(unix)]
        {
            self.folder.sync_all()
        }
        #[cfg(not(unix))]
        {
            sync_folder(&self.path)
        }
    }

    fn root(root: &Path) -> io::Result<Self> {
        #[cfg(unix)]
        let folder = File::open(root)?;
        Ok(Self {
            path: root.to_owned(),
            #[cfg(unix)]
            folder,
        })
    }

    /// The folder of this name in it, made if it is missing: durable, and as open as this one.
    fn enter(&self, name: &OsStr) -> io::Result<Self> {
        let path = self.path.join(name);
        #[cfg(unix)]
        {
            use rustix::fs::{Mode, OFlags, mkdirat, openat};
            let is_new = match mkdirat(&self.folder, name, Mode::from_raw_mode(0o777)) {
                Err(rustix::io::Errno::EXIST) => false,
                made => made.map(|()| true)?,
            };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let folder = File::from(openat(&self.folder, name, flags, Mode::empty())?);
            if is_new {
                open_as(&self.folder, &folder)?;
                self.sync()?;
            }
            Ok(Self { path, folder })
        }
        #[cfg(not(unix))]
        {
            match fs::create_dir(&path) {
                Ok(()) => self.sync()?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            if !path.symlink_metadata()?.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            Ok(Self { path })
        }
    }
}

/// A new folder may be used by whoever may use the one that it is in, as a synchroniser's group, whatever the umask.
#[cfg(unix)]
fn open_as(above: &File, new: &File) -> io::Result<()> {
    match new.set_permissions(above.metadata()?.permissions()) {
        // Some file systems know of no modes.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Enters a folder below a root, and makes what is missing on the way; never the root itself.
pub(super) fn make_folders(root: &Path, folder: &Path) -> Result<Entered, NoWay> {
    let below = folder.strip_prefix(root).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut entered = Entered::root(root)?;
    for part in below.components() {
        let Component::Normal(name) = part else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
        };
        entered = entered.enter(name).map_err(|error| {
            let whole = entered.path.join(name);
            NoWay::at(&whole, whole.strip_prefix(root).unwrap_or(&whole)).unwrap_or(NoWay::Refused(error))
        })?;
    }
    Ok(entered)
}

/// What is in the way to a folder below a root, as far as that is there. Changes nothing.
pub(super) fn look(root: &Path, folder: &Path) -> Result<(), NoWay> {
    let below = folder.strip_prefix(root).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut path = PathBuf::new();
    below.components().try_for_each(|part| {
        path.push(part);
        NoWay::at(&root.join(&path), &path).map_or(Ok(()), Err)
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// As a group that shares a folder needs it, whatever this process's umask is.
    #[test]
    fn new_folders_are_as_open_as_those_that_they_are_in() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        for wanted in [0o2775, 0o700, 0o777] {
            let root = folder.path().join(format!("{wanted:o}"));
            fs::create_dir(&root).unwrap();
            fs::set_permissions(&root, fs::Permissions::from_mode(wanted)).unwrap();
            make_folders(&root, &root.join("2024/Ski")).unwrap();
            assert_eq!([mode(&root.join("2024")), mode(&root.join("2024/Ski"))], [wanted; 2], "{wanted:o}");
        }
    }

    #[test]
    fn what_is_in_the_way_is_named_and_nothing_is_made_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let (root, out) = (folder.path().join("root"), folder.path().join("out"));
        fs::create_dir_all(root.join("2024")).unwrap();
        fs::create_dir(&out).unwrap();
        fs::write(root.join("file"), b"").unwrap();
        std::os::unix::fs::symlink(&out, root.join("2024/link")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("broken")).unwrap();
        for (below, said) in [
            ("2024/link/deep", "2024/link is a link now"),
            ("2024/link", "2024/link is a link now"),
            ("broken/deep", "broken is a link now"),
            ("file/deep", "file is no folder now"),
        ] {
            let error = make_folders(&root, &root.join(below)).unwrap_err().to_string();
            assert!(error.starts_with(said), "{below}: {error}");
            assert_eq!(look(&root, &root.join(below)).unwrap_err().to_string(), error);
        }
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
        for below in ["2024/missing/deep", ""] {
            look(&root, &root.join(below)).unwrap();
        }
    }

    /// The folder that was entered was renamed, and a link has its name.
    #[test]
    fn a_file_gets_its_name_in_the_folder_that_was_entered() {
        let folder = tempfile::tempdir().unwrap();
        let (root, out) = (folder.path().join("root"), folder.path().join("out"));
        for path in [&root, &out] {
            fs::create_dir(path).unwrap();
        }
        let entered = make_folders(&root, &root.join("s")).unwrap();
        fs::rename(root.join("s"), root.join("t")).unwrap();
        std::os::unix::fs::symlink(&out, root.join("s")).unwrap();
        fs::write(folder.path().join("file"), b"picture").unwrap();
        entered.take_in(&folder.path().join("file"), OsStr::new("1.jpg")).unwrap();
        assert_eq!(fs::read(root.join("t/1.jpg")).unwrap(), b"picture");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
        fs::write(folder.path().join("file"), b"other").unwrap();
        let taken = entered.take_in(&folder.path().join("file"), OsStr::new("1.jpg")).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
    }
}
