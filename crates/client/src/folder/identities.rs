//! Which folders lie in a tree, by what the system calls them: one that is mounted at a second place, by itself or with what is above it, is the same
//! folder under another path.

use std::collections::HashSet;
use std::path::Path;

use super::marker;
use super::reconcile::DiskId;

/// A root, and the folders below it that a pass looks into. On systems that give folders no numbers there are none, and only paths tell what lies in what.
#[derive(Debug, Default)]
pub(crate) struct Folders(HashSet<Identity>);

/// A disk, and a folder on it.
type Identity = (u64, DiskId);

impl Folders {
    /// As they are now. What cannot be looked at is left out.
    pub(crate) fn of(root: &Path) -> Self {
        Self(marker::folders(root).filter_map(|folder| identity(&folder)).collect())
    }

    /// Whether one folder lies in both trees.
    pub(crate) fn meet(&self, other: &Self) -> bool {
        !self.0.is_disjoint(&other.0)
    }
}

#[cfg(unix)]
fn identity(folder: &Path) -> Option<Identity> {
    let metadata = folder.metadata().ok()?;
    Some((std::os::unix::fs::MetadataExt::dev(&metadata), super::scan::Stat::of(&metadata).disk))
}

#[cfg(not(unix))]
fn identity(_folder: &Path) -> Option<Identity> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn trees_meet_where_a_folder_lies_in_both() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["Phone/2024/Ski", "Camera/2024", ".hidden/2024"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        std::os::unix::fs::symlink(path("Phone"), path("Camera/link")).unwrap();
        for (one, other, do_meet) in [
            ("Phone", "Phone", true),
            ("Phone", "Phone/2024/Ski", true),
            ("Phone/2024", "", true),
            ("Phone", "Camera", false),
            ("Phone/2024", "Camera/2024", false),
            ("missing", "Phone", false),
            ("missing", "missing", false),
        ] {
            let (one, other) = (path(one), path(other));
            assert_eq!(Folders::of(&one).meet(&Folders::of(&other)), do_meet, "{one:?} {other:?}");
        }
    }
}
