//! Whether a tree stayed what it was while it was looked at.
//!
//! A walk takes its time. What moves meanwhile from a folder that it has not come to yet into one that it has left is met nowhere, and is not gone. So
//! before anything is called absent, the tree is walked once more: both walks must have met the same, and no folder may have changed from the time
//! that the first had its list until the second was over. Then the second saw what was there at one moment.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};

use super::scan::Stat;
use crate::library::PassedOver;
use crate::library::folder::{Met, walk_tree};
use crate::library::selection::Selection;

/// What a walk met: the folders as they were, and which files.
#[derive(Debug, Default)]
pub(super) struct Tree {
    folders: HashMap<PathBuf, Option<Stat>>,
    /// Of the paths and the ids of all files, in their order.
    files: DefaultHasher,
}

impl Tree {
    /// Walks a root. `each` sees every file.
    pub(super) fn walk(
        root: &Path,
        mut each: impl FnMut(PathBuf, Stat),
    ) -> io::Result<(Self, Vec<PassedOver>)> {
        let mut tree = Self::default();
        let passed_over = walk_tree(root, &Selection::default(), |met| match met {
            Met::Folder(folder) => drop(tree.folders.insert(folder.to_owned(), stat(folder))),
            Met::File(path, metadata) => {
                let stat = Stat::of(metadata);
                (&path, stat.disk.inode, stat.disk.born_ns).hash(&mut tree.files);
                each(path, stat);
            }
        })?;
        Ok((tree, passed_over))
    }

    /// Whether nothing has come or gone since, nor while it was walked.
    pub(super) fn is_still(&self, root: &Path) -> bool {
        let Ok((now, passed_over)) = Self::walk(root, |_, _| ()) else { return false };
        let is_whole = passed_over.iter().all(|passed| !passed.reason.is_gone());
        let are_same = now.files.finish() == self.files.finish() && now.folders == self.folders;
        is_whole && are_same && self.folders.iter().all(|(folder, was)| was.is_some() && stat(folder) == *was)
    }
}

fn stat(folder: &Path) -> Option<Stat> {
    folder.symlink_metadata().ok().map(|metadata| Stat::of(&metadata))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn whatever_comes_or_goes_is_noticed() {
        type Change = fn(&Path);
        let changes: [(Change, bool); 7] = [
            (|_| (), true),
            (|root| fs::rename(root.join("Inbox/Trip"), root.join("2025/Trip")).unwrap(), false),
            (|root| fs::rename(root.join("Inbox/Trip/a.jpg"), root.join("2025/a.jpg")).unwrap(), false),
            (|root| fs::remove_file(root.join("2025/b.jpg")).unwrap(), false),
            (|root| fs::create_dir(root.join("new")).unwrap(), false),
            // There and back again.
            (
                |root| {
                    fs::rename(root.join("2025"), root.join("2026")).unwrap();
                    fs::rename(root.join("2026"), root.join("2025")).unwrap();
                },
                false,
            ),
            // What is in a file is no matter of its folder.
            (|root| fs::write(root.join("2025/b.jpg"), b"other").unwrap(), true),
        ];
        for (number, (change, is_still)) in changes.into_iter().enumerate() {
            let folder = tempfile::tempdir().unwrap();
            for name in ["Inbox/Trip/a.jpg", "2025/b.jpg"] {
                let path = folder.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, b"picture").unwrap();
            }
            let (tree, _) = Tree::walk(folder.path(), |_, _| ()).unwrap();
            // The clock of a file system ticks a few hundred times a second.
            std::thread::sleep(std::time::Duration::from_millis(20));
            change(folder.path());
            assert_eq!(tree.is_still(folder.path()), is_still, "{number}");
        }
    }
}
