//! Whether what a walk did not meet was nowhere, although a walk takes its time.
//!
//! What moves meanwhile from a folder that the walk has not come to yet into one that it has left is met nowhere, and is not gone. So before anything is
//! called absent, the tree is walked once more, and no folder may have changed from the time that the first walk had its list until the second was over:
//! then the second saw what was there at one moment.
//!
//! One folder may have, so that a camera that uploads, or a program that writes a file anew all the time, does not put deletions off for ever. It is listed
//! once more, while nothing in it comes or goes and all the others are what they were. At that moment a file that is below the root is in one of those,
//! which have been searched and into which nothing came since, or is in this one's new list. So that list is all that is to be known besides.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};

use super::scan::Stat;
use crate::library::PassedOver;
use crate::library::folder::{Met, walk_tree};
use crate::library::selection::{Exclusions, Reach, Scope, Selection};

/// How often a folder is listed in which something comes or goes.
const LISTS_MAX: usize = 4;

/// What a walk met: the folders as they were, by their paths below the root.
#[derive(Debug, Default)]
pub(super) struct Tree {
    folders: HashMap<PathBuf, Folder>,
}

/// One of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Folder {
    /// None where it was gone by then.
    stat: Option<Stat>,
    /// Of the paths and the ids of its files, in their order.
    files: u64,
}

/// What is in the one folder in which something came or went since a walk; nothing where there is none.
#[derive(Debug, Default)]
pub(super) struct Since {
    /// Which, by its path below the root.
    pub(super) folder: Option<PathBuf>,
    /// Its files, by their paths below the root.
    pub(super) files: Vec<(PathBuf, Stat)>,
    /// What was passed over in it.
    pub(super) passed_over: Vec<PassedOver>,
}

impl Tree {
    /// Walks a root. `each` sees every file.
    pub(super) fn walk(root: &Path, each: impl FnMut(PathBuf, Stat)) -> io::Result<(Self, Vec<PassedOver>)> {
        Self::walk_part(root, Scope::Everything, each)
    }

    fn walk_part(
        root: &Path,
        scope: Scope,
        mut each: impl FnMut(PathBuf, Stat),
    ) -> io::Result<(Self, Vec<PassedOver>)> {
        let root = root.canonicalize()?;
        let mut tree = Self::default();
        let part = Selection { scope, exclude: Exclusions::silent_below(&root) };
        let passed_over = walk_tree(&root, &part, |met| match met {
            Met::Folder(folder) => {
                let below = folder.strip_prefix(&root).unwrap_or(folder).to_owned();
                tree.folders.entry(below).or_default().stat = stat(folder);
            }
            Met::File(path, metadata) => {
                let stat = Stat::of(metadata);
                if let Some(folder) = path.parent().and_then(|folder| tree.folders.get_mut(folder)) {
                    folder.add(&path, &stat);
                }
                each(path, stat);
            }
        })?;
        Ok((tree, passed_over))
    }

    /// What is to be known beside this walk, so that a file that is in neither was nowhere below the root at one moment since; none where that cannot
    /// be told.
    pub(super) fn since(&self, root: &Path) -> Option<Since> {
        let (now, passed_over) = Self::walk(root, |_, _| ()).ok()?;
        let has_moved = |(path, folder): &(&PathBuf, &Folder)| {
            now.folders.get(*path) != Some(*folder) || stat(&root.join(path)) != folder.stat
        };
        let mut moved = self.folders.iter().filter(has_moved).map(|(path, _)| path.as_path());
        let (busy, other) = (moved.next(), moved.next());
        let are_there = self.folders.values().all(|folder| folder.stat.is_some());
        if other.is_some() || !are_there || now.folders.len() != self.folders.len() {
            return None;
        }
        // What goes while it is looked at is no matter in the one that is looked at again.
        let is_of_it = |path: &Path| busy.is_some_and(|busy| path.parent() == Some(&root.join(busy)));
        if passed_over.iter().any(|passed| passed.reason.is_gone() && !is_of_it(&passed.path)) {
            return None;
        }
        let Some(busy) = busy else { return Some(Since::default()) };
        let since = (0..LISTS_MAX).find_map(|_| self.list_again(root, busy))?;
        // None of the others is where a file has gone, or come from, that the list has not.
        let mut others = self.folders.iter().filter(|(path, _)| *path != busy);
        others.all(|(path, folder)| stat(&root.join(path)) == folder.stat).then_some(since)
    }

    /// Lists a folder, twice over, while nothing comes or goes in it; none where something did, or where other folders are in it by now.
    fn list_again(&self, root: &Path, busy: &Path) -> Option<Since> {
        let (whole, before) = (root.join(busy), self.folders.get(busy)?.stat?);
        let now = stat(&whole).filter(|now| now.disk == before.disk)?;
        let scope = Scope::Folders([(busy.to_owned(), Reach::Itself)].into());
        let mut since = Since { folder: Some(busy.to_owned()), ..Since::default() };
        let (first, _) = Self::walk_part(root, scope.clone(), |_, _| ()).ok()?;
        let (second, passed_over) =
            Self::walk_part(root, scope, |path, stat| since.files.push((path, stat))).ok()?;
        since.passed_over = passed_over;
        let is_whole = since.passed_over.iter().all(|passed| !passed.reason.is_gone());
        let is_in_it = |path: &Path| path == busy || path.parent() == Some(busy);
        let inner = self.folders.keys().filter(|path| is_in_it(path));
        let are_known = second.folders.keys().all(|path| self.folders.contains_key(path));
        let are_same = first.folders == second.folders && are_known && inner.count() == second.folders.len();
        (is_whole && are_same && stat(&whole) == Some(now)).then_some(since)
    }
}

impl Folder {
    fn add(&mut self, path: &Path, stat: &Stat) {
        let mut files = DefaultHasher::new();
        (self.files, path, stat.disk.inode, stat.disk.born_ns).hash(&mut files);
        self.files = files.finish();
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
        let nothing: Option<&[&str]> = None;
        let changes: [(Change, Option<&[&str]>); 11] = [
            (|_| (), Some(&[])),
            (|root| fs::rename(root.join("Inbox/Trip"), root.join("2025/Trip")).unwrap(), nothing),
            (|root| fs::rename(root.join("Inbox/Trip/a.jpg"), root.join("2025/a.jpg")).unwrap(), nothing),
            (|root| fs::create_dir(root.join("new")).unwrap(), nothing),
            (|root| fs::remove_dir_all(root.join("Inbox/Trip")).unwrap(), nothing),
            // There and back again.
            (
                |root| {
                    fs::rename(root.join("2025"), root.join("2026")).unwrap();
                    fs::rename(root.join("2026"), root.join("2025")).unwrap();
                },
                nothing,
            ),
            (
                |root| {
                    fs::write(root.join("2025/new.jpg"), b"new").unwrap();
                    fs::write(root.join("new.jpg"), b"new").unwrap();
                },
                nothing,
            ),
            // What is in a file is no matter of its folder.
            (|root| fs::write(root.join("2025/b.jpg"), b"other").unwrap(), Some(&[])),
            // In one folder alone: what is in it by now is known.
            (|root| fs::remove_file(root.join("2025/b.jpg")).unwrap(), Some(&["2025/c.jpg"])),
            (
                |root| fs::rename(root.join("2025/b.jpg"), root.join("2025/d.jpg")).unwrap(),
                Some(&["2025/c.jpg", "2025/d.jpg"]),
            ),
            (|root| fs::write(root.join("new.jpg"), b"new").unwrap(), Some(&["new.jpg"])),
        ];
        for (number, (change, expected)) in changes.into_iter().enumerate() {
            let folder = tempfile::tempdir().unwrap();
            for name in ["Inbox/Trip/a.jpg", "2025/b.jpg", "2025/c.jpg"] {
                let path = folder.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, b"picture").unwrap();
            }
            let (tree, _) = Tree::walk(folder.path(), |_, _| ()).unwrap();
            // The clock of a file system ticks a few hundred times a second.
            std::thread::sleep(std::time::Duration::from_millis(20));
            change(folder.path());
            let since = tree.since(folder.path());
            let files = since.map(|since| since.files.into_iter().map(|(path, _)| path).collect::<Vec<_>>());
            let expected = expected.map(|paths| paths.iter().map(PathBuf::from).collect::<Vec<_>>());
            assert_eq!(files, expected, "{number}");
        }
    }
}
