//! Files that lie aside: in the folder still, under a name that is passed over, as of something unfinished (`.pending-…`, `*.part`, `.syncthing.*`) or
//! hidden (a folder that begins with a dot). Whoever renamed a picture so did not delete it; nothing is concluded until it has another name.
//!
//! Bins are no such place ([`Ignored::is_deletion`]): a file that Syncthing moves into `.stversions`, or Android calls `.trashed-…`, was deleted.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use darkslide_media::names::{Ignored, ignored_file, ignored_folder};
use walkdir::{DirEntry, WalkDir};

use super::reconcile::DiskId;
use super::scan::Stat;
use crate::library::{PassReason, PassedOver};

/// Which of the missing files lie aside, by what they were. Costs a `stat` for every file that was passed over, and nothing where nothing is missed.
pub(super) fn find(passed_over: &[PassedOver], missing: &HashMap<DiskId, Stat>) -> HashSet<DiskId> {
    if missing.is_empty() {
        return HashSet::new();
    }
    let places = passed_over.iter().filter(|passed| match &passed.reason {
        PassReason::Ignored(ignored) => may_hold_pictures(*ignored),
        // Where it may be read.
        PassReason::LostAndFound => true,
        _ => false,
    });
    among(places.flat_map(|place| below(&place.path)), missing).collect()
}

/// Which of the missing files are among these.
pub(super) fn among(
    found: impl Iterator<Item = Stat>,
    missing: &HashMap<DiskId, Stat>,
) -> impl Iterator<Item = DiskId> {
    let is_missing = |there: &Stat| missing.get(&there.disk).is_some_and(|was| is_same(was, there));
    found.filter(is_missing).map(|there| there.disk)
}

/// Whether the file with a missing one's id is that one. A number without a time of birth may be another's by now: then what a rename leaves alone must
/// be the same.
fn is_same(was: &Stat, there: &Stat) -> bool {
    there.disk.born_ns != 0 || (was.size, was.modified_ns) == (there.size, there.modified_ns)
}

/// Whether pictures may be put there by people. Of a NAS's own folders nothing is expected, and they are large.
fn may_hold_pictures(ignored: Ignored) -> bool {
    !ignored.is_deletion() && ignored != Ignored::SystemFolder
}

/// A file that was passed over, or those in a folder that was. What cannot be read holds nothing that anybody moved there.
fn below(path: &Path) -> impl Iterator<Item = Stat> {
    let is_entered = |entry: &DirEntry| {
        let name = entry.file_name();
        let ignored = if entry.file_type().is_dir() { ignored_folder(name) } else { ignored_file(name) };
        ignored.is_none_or(may_hold_pictures)
    };
    let entries = WalkDir::new(path).follow_links(false).same_file_system(true).into_iter();
    let files = entries.filter_entry(is_entered).flatten().filter(|entry| entry.file_type().is_file());
    files.filter_map(|entry| Some(Stat::of(&entry.metadata().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::folder::walk;
    use crate::library::selection::Selection;
    use std::fs;

    #[test]
    fn what_is_hidden_or_unfinished_lies_aside_and_what_is_in_a_bin_does_not() {
        for (name, lies_aside) in [
            (".pending-1798495200-a.jpg", true),
            ("a.jpg.part", true),
            ("deep/.syncthing.a.jpg.tmp", true),
            (".hidden/2024/a.jpg", true),
            (".hidden/a.jpg.crdownload", true),
            ("a.jpg", false),
            (".trashed-1798495200-a.jpg", false),
            (".stversions/a~20261129-080000.jpg", false),
            (".Trash-1000/files/a.jpg", false),
            (".hidden/.Trash/a.jpg", false),
            ("deep/#recycle/a.jpg", false),
            (".dtrash/files/a.jpg", false),
            (".sync/Archive/a.jpg", false),
            ("deep/.Recycle.Bin/a.jpg", false),
            ("@eaDir/a.jpg", false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, b"picture").unwrap();
            fs::write(folder.path().join("other.part"), b"other").unwrap();
            let passed = walk(folder.path(), &Selection::default(), |_| ()).unwrap();
            let stat = Stat::of(&path.symlink_metadata().unwrap());
            let expected: HashSet<_> = lies_aside.then_some(stat.disk).into_iter().collect();
            assert_eq!(find(&passed, &HashMap::from([(stat.disk, stat)])), expected, "{name}");
            assert_eq!(find(&passed, &HashMap::new()), HashSet::new());
        }
    }

    #[test]
    fn a_number_alone_may_be_anothers() {
        let disk = |born_ns| DiskId { inode: 7, born_ns };
        let stat = |born_ns, size| Stat { size, disk: disk(born_ns), modified_ns: 5, changed_ns: 6 };
        assert!(is_same(&stat(0, 10), &Stat { changed_ns: 9, ..stat(0, 10) }));
        assert!(!is_same(&stat(0, 10), &stat(0, 11)));
        assert!(!is_same(&stat(0, 10), &Stat { modified_ns: 6, ..stat(0, 10) }));
        assert!(is_same(&stat(1, 10), &stat(1, 11)), "it is being written to");
    }
}
