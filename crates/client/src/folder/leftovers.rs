//! What a process that was killed left below a root: files on their way into it, and files that only saw whether files can be made.
//!
//! Nothing but files with the names that are given here goes. What was on its way into a local trash has another name, and is dealt with
//! [there](super::trash::recover).

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;

use super::marker::{self, PROBE};
use crate::library::tree::Entry;
use crate::restore::place::{ARRIVING, Temporary};

/// How the latter were called by earlier versions.
const FORMER_PROBE: Temporary = Temporary { prefix: ".darkslide-probe-", suffix: "" };

fn is_left(name: &OsStr) -> bool {
    [ARRIVING, PROBE, FORMER_PROBE].into_iter().any(|temporary| temporary.is_name(name))
}

/// Removes it. Nothing may be on its way: whoever asks makes the one pass over the folder that is under way. What cannot be removed stays until the next
/// time.
pub(super) fn remove(root: &Path) {
    let left = marker::entries(root)
        .filter(|entry| entry.kind.is_file() && entry.path.file_name().is_some_and(is_left));
    for Entry { path, .. } in left {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %path.display(), "what an earlier run left cannot be removed");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("2024/Ski")).unwrap();
        fs::create_dir_all(root.join(".stversions")).unwrap();
        let left = [
            ".syncthing.darkslide-a1B2c3.tmp",
            "2024/Ski/.syncthing.darkslide-Zz0000.tmp",
            ".syncthing.darkslide-probe-a1B2c3.tmp",
            ".syncthing.darkslide-probe-0123456789abcdef0123456789abcdef.tmp",
            "2024/.darkslide-probe-0123456789abcdef0123456789abcdef",
            ".darkslide-probe-a1B2c3",
        ];
        let others = [
            ".darkslide-folder",
            ".syncthing.IMG_1.jpg.tmp",
            // Syncthing's own, of a picture that is called so.
            ".syncthing.darkslide-1.jpg.tmp",
            ".syncthing.darkslide-leaving-1700000000000000-0123456789abcdef0123456789abcdef",
            ".syncthing.darkslide-.tmp",
            ".darkslide-probe-a.jpg",
            ".darkslide-restore-a1B2c3.partial",
            ".stversions/.syncthing.darkslide-a1B2c3.tmp",
            "2024/Ski/a.jpg",
        ];
        for name in left.iter().chain(&others) {
            fs::write(root.join(name), b"x").unwrap();
        }
        // Somebody's folder, whatever it is called.
        fs::create_dir(root.join(".syncthing.darkslide-folder.tmp")).unwrap();
        remove(root);
        for name in left {
            assert!(!root.join(name).exists(), "{name}");
        }
        for name in others.iter().chain(&[".syncthing.darkslide-folder.tmp"]) {
            assert!(root.join(name).exists(), "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_nobodys_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join(".syncthing.darkslide-a1B2c3.tmp");
        std::os::unix::fs::symlink("elsewhere", &link).unwrap();
        remove(folder.path());
        assert!(link.symlink_metadata().is_ok());
    }
}
