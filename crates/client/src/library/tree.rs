//! What lies below a folder, listed one folder after the other.
//!
//! No folder is opened before it is known that it is to be entered, and what is on a disk that does not answer is left out: it would keep whoever
//! does that. Links are not followed.

use std::fs::{FileType, ReadDir};
use std::path::{Path, PathBuf};

use crate::watch::disks;

/// Something in a folder, as its list says it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) kind: FileType,
}

/// All of it, in no order, but for the folders that are not entered. What cannot be listed has nothing in it.
pub(crate) fn below(folder: &Path, enters: impl Fn(&Path) -> bool) -> impl Iterator<Item = Entry> {
    let silent = disks::asked().owing_below(folder);
    let start = Some(folder.to_owned()).filter(|folder| !disks::asked().owes(folder));
    let (mut folders, mut list) = (Vec::from_iter(start), None::<ReadDir>);
    std::iter::from_fn(move || {
        loop {
            let Some(entry) = list.as_mut().and_then(Iterator::next) else {
                list = folders.pop()?.read_dir().ok();
                continue;
            };
            let seen = entry.and_then(|entry| Ok(Entry { kind: entry.file_type()?, path: entry.path() }));
            let Ok(entry) = seen else { continue };
            if entry.kind.is_dir() {
                if silent.contains(&entry.path) || !enters(&entry.path) {
                    continue;
                }
                folders.push(entry.path.clone());
            }
            return Some(entry);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn folders_are_entered_that_are_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for inside in ["a/deep", "b/deep"] {
            fs::create_dir_all(root.join(inside)).unwrap();
            fs::write(root.join(inside).join("1.jpg"), b"x").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(root.join("b"), root.join("a/link")).unwrap();
        let listed = below(root, |folder| !folder.ends_with("b"));
        let mut paths: Vec<_> =
            listed.map(|entry| entry.path.strip_prefix(root).unwrap().to_owned()).collect();
        paths.sort();
        paths.retain(|path| !path.ends_with("link"));
        assert_eq!(paths, ["a", "a/deep", "a/deep/1.jpg"].map(PathBuf::from));
        assert_eq!(below(&root.join("gone"), |_| true).count(), 0);
    }
}
