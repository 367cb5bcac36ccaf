//! The root of a watched folder, as it was when the watch began: whether what the system tells is still told of what lies at its path.
//!
//! A watch follows the folder that it was begun for, wherever that goes, and sees nothing of what takes its place: another folder, or another
//! disk. The library that hears the system's notices does not tell that a disk was unmounted. So the root, and each place below it where a
//! disk is mounted, have watches of their own here, for nothing but their end; and what lies at the path is compared with what lay there.

use std::path::{Path, PathBuf};

use darkslide_media::names::ignored_folder;

use super::file_system::untold_kind;
use crate::mount_points::{MountPoint, mount_points};

/// The root of one watch.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    seen: Option<Seen>,
    #[cfg(target_os = "linux")]
    ends: ends::Ends,
}

/// What lay at the path.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// Disk and number on it, where the system tells them.
    place: (u64, u64),
    /// What is mounted there and below.
    mounts: Vec<MountPoint>,
}

impl Seen {
    /// Network disks are not touched: one that does not answer keeps whoever does that. That one is gone is seen in the list.
    #[cfg(target_os = "linux")]
    fn mounts_of_this_machine(&self) -> impl Iterator<Item = &MountPoint> {
        self.mounts.iter().filter(|mount| untold_kind(&mount.kind).is_none())
    }
}

impl Root {
    /// As it is now. Asks the file system, and so may take as long as a disk takes to answer.
    pub(super) fn look(path: &Path) -> Self {
        let seen = seen(path);
        Self {
            path: path.to_owned(),
            #[cfg(target_os = "linux")]
            ends: ends::Ends::watch(path, seen.iter().flat_map(Seen::mounts_of_this_machine)),
            seen,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The places below it where disks are mounted whose changes are not told, and what these disks are. Those that `is_left_out` are not looked at.
    pub(super) fn untold_below(&self, is_left_out: impl Fn(&Path) -> bool) -> Vec<(PathBuf, &'static str)> {
        let mounts = self.seen.iter().flat_map(|seen| &seen.mounts);
        let below = mounts.filter(|mount| mount.path != self.path && !is_left_out(&mount.path));
        below.filter_map(|mount| Some((mount.path.clone(), untold_kind(&mount.kind)?))).collect()
    }

    /// Whether the disk that it is on was unmounted since, as far as the system has told.
    pub fn is_unmounted(&self) -> bool {
        #[cfg(target_os = "linux")]
        return self.ends.hear().is_unmounted;
        #[cfg(not(target_os = "linux"))]
        return false;
    }

    /// Whether something else lies at its path by now, or something else is mounted there or below: then its watch is deaf and another is to
    /// be begun. Asks the file system, and so may take as long as a disk takes to answer.
    pub fn is_replaced(&self) -> bool {
        #[cfg(target_os = "linux")]
        if self.ends.hear().has_come {
            return true;
        }
        seen(&self.path) != self.seen
    }
}

fn seen(path: &Path) -> Option<Seen> {
    let place = place(&path.metadata().ok()?);
    Some(Seen { place, mounts: mounts(path) })
}

#[cfg(unix)]
fn place(metadata: &std::fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

/// Elsewhere a folder that is watched cannot be moved, or its handle keeps it.
#[cfg(not(unix))]
fn place(_metadata: &std::fs::Metadata) -> (u64, u64) {
    (0, 0)
}

/// What is mounted at a path and below it, where a scan comes to.
fn mounts(path: &Path) -> Vec<MountPoint> {
    let is_seen = |point: &MountPoint| {
        let below = point.path.strip_prefix(path).ok();
        below.is_some_and(|below| !below.iter().any(|name| ignored_folder(name).is_some()))
    };
    mount_points().into_iter().filter(is_seen).collect()
}

#[cfg(target_os = "linux")]
mod ends {
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::path::Path;
    use std::sync::{Mutex, PoisonError};

    use crate::mount_points::MountPoint;
    use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};

    /// Watches of which each notice says that one of them has ended.
    #[derive(Debug)]
    pub(super) struct Ends {
        /// None where the system allows no more: what lies there is compared all the same.
        notices: Option<OwnedFd>,
        /// That of the root.
        root: Option<i32>,
        heard: Mutex<Heard>,
    }

    /// What was told so far.
    #[derive(Clone, Copy, Debug, Default)]
    pub(super) struct Heard {
        pub(super) has_come: bool,
        pub(super) is_unmounted: bool,
    }

    impl Ends {
        pub(super) fn watch<'a>(root: &Path, mounts: impl Iterator<Item = &'a MountPoint>) -> Self {
            let notices = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok();
            let mut of_root = None;
            if let Some(notices) = &notices {
                // That a disk is unmounted and that a watch has ended is told whatever is wanted.
                let wanted = WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF | WatchFlags::ONLYDIR;
                for path in mounts.map(|mount| mount.path.as_path()).chain([root]) {
                    let watched = add_watch(notices, path, wanted);
                    of_root = of_root.or(watched.ok().filter(|_| path == root));
                }
            }
            Self { notices, root: of_root, heard: Mutex::default() }
        }

        pub(super) fn hear(&self) -> Heard {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            let mut buffer = [MaybeUninit::uninit(); 4096];
            if let Some(notices) = &self.notices {
                let mut reader = Reader::new(notices, &mut buffer);
                while let Ok(event) = reader.next() {
                    heard.has_come = true;
                    let is_of_root = self.root == Some(event.wd());
                    heard.is_unmounted |= is_of_root && event.events().contains(ReadFlags::UNMOUNT);
                }
            }
            *heard
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn another_folder_at_the_path_is_told_from_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("pictures"), folder.path().join("other"));
        let begin = || {
            fs::create_dir_all(&path).unwrap();
            let root = Root::look(&path);
            assert!(!root.is_replaced());
            fs::write(path.join("a.jpg"), b"x").unwrap();
            fs::create_dir_all(path.join("below")).unwrap();
            fs::remove_dir(path.join("below")).unwrap();
            assert!(!root.is_replaced(), "what lies in it is another matter");
            root
        };
        let swapped = begin();
        fs::rename(&path, &other).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(swapped.is_replaced() && swapped.is_replaced());
        assert!(!swapped.is_unmounted(), "it is on the same disk");
        // The file system may give it the same number again.
        let anew = begin();
        fs::remove_dir_all(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(anew.is_replaced());
        fs::remove_dir_all(&path).unwrap();
        // The folder around it is another one: nothing is told of that.
        let inner = path.join("inner");
        fs::create_dir_all(&inner).unwrap();
        let around = Root::look(&inner);
        fs::rename(&path, folder.path().join("away")).unwrap();
        fs::create_dir_all(&inner).unwrap();
        assert!(around.is_replaced());
        fs::remove_dir_all(&path).unwrap();
        let gone = Root::look(&path);
        assert!(!gone.is_replaced());
        fs::create_dir(&path).unwrap();
        assert!(gone.is_replaced());
    }

    /// Once, only the root itself was asked what it is on.
    #[test]
    fn a_network_disk_below_the_root_is_known() {
        let mount = |line: &str| crate::mount_points::read(line.as_bytes()).unwrap();
        let mounts = vec![
            mount("1 0 8:1 / /r rw - nfs server:/ rw"),
            mount("2 1 8:2 / /r/card rw - vfat /dev/sdb1 rw"),
            mount("3 1 0:9 / /r/nas rw - nfs4 nas:/photos rw"),
            mount("4 1 0:8 / /r/there rw - fuse.sshfs me@there: rw"),
        ];
        let place = (1, 1);
        let root = Root { seen: Some(Seen { place, mounts }), ..Root::look(Path::new("/r")) };
        let (nas, there) = (("/r/nas".into(), "NFS"), ("/r/there".into(), "FUSE"));
        assert_eq!(root.untold_below(|_| false), [nas, there.clone()]);
        assert_eq!(root.untold_below(|path| path.ends_with("nas")), [there]);
        assert_eq!(root.untold_below(|_| true), []);
        assert_eq!(Root::look(Path::new("/nowhere/at/all")).untold_below(|_| false), []);
        let untouched: Vec<_> = root.seen.iter().flat_map(Seen::mounts_of_this_machine).collect();
        assert_eq!(
            untouched.iter().map(|mount| mount.path.as_path()).collect::<Vec<_>>(),
            [Path::new("/r/card")]
        );
    }

    #[test]
    fn what_is_mounted_there_and_below_is_known() {
        let proc = mounts(Path::new("/proc"));
        assert!(proc.iter().any(|mount| mount.path == Path::new("/proc")));
        assert!(mounts(Path::new("/nowhere/at/all")).is_empty());
    }
}
