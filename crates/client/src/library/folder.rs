//! The folder library: a root on disk, walked to its leaves.
//!
//! It follows no links, crosses into no folder whose name says that it holds no pictures, and never stops for a
//! file or folder that it may not read: that is reported, and the walk goes on.

use std::cmp::Ordering;
use std::ffi::OsString;
use std::fs::{DirEntry, FileType, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::vec;

use darkslide_media::names::{ignored_file, ignored_folder};

use super::selection::{Exclusions, Reach, Selection};
use super::{Found, PassReason, PassedOver, Scan, ours};
use crate::catalog::Fingerprint;
use crate::watch::health::Offline;

/// The root that is walked when this path is given: absolute, links resolved. That of a single file is its folder.
pub fn root_of(path: &Path) -> io::Result<PathBuf> {
    let path = path.canonicalize()?;
    if path.metadata()?.is_dir() {
        return Ok(path);
    }
    path.parent().map(Path::to_owned).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Walks a root, which may also be a single file: its folder is then the root, with nothing else in it.
/// `progress` is told how many files were found so far, at every one.
///
/// Fails only if the root itself is not there or may not be read.
pub fn scan(root: &Path, mut progress: impl FnMut(u64)) -> io::Result<Scan> {
    let mut files = Vec::new();
    let passed_over = walk(root, &Selection::default(), |found| {
        files.push(found);
        progress(files.len() as u64);
    })?;
    Ok(Scan { root: root_of(root)?, files, passed_over })
}

/// The same, file by file, and of the part that is selected. Where that is everything, `each` is called in the order of the paths' bytes. A
/// folder of the scope that is gone, or is not one that a walk from the root would come to, has nothing in it. Gives what was passed over.
pub fn walk(path: &Path, selection: &Selection, mut each: impl FnMut(Found)) -> io::Result<Vec<PassedOver>> {
    walk_files(path, selection, |path, metadata| each(Found { path, fingerprint: fingerprint(metadata) }))
}

/// The same, with all that one `stat` says of each file.
pub fn walk_files(
    path: &Path,
    selection: &Selection,
    mut each: impl FnMut(PathBuf, &Metadata),
) -> io::Result<Vec<PassedOver>> {
    walk_tree(path, selection, |met| match met {
        Met::Folder(_) => {}
        Met::File(path, metadata) => each(path, metadata),
    })
}

/// What a walk meets.
pub enum Met<'a> {
    /// A folder, the root among them, whose list it has just read.
    Folder(&'a Path),
    /// A file, by its path below the root.
    File(PathBuf, &'a Metadata),
}

/// The same, with the folders that are entered.
pub fn walk_tree(
    path: &Path,
    selection: &Selection,
    mut each: impl FnMut(Met<'_>),
) -> io::Result<Vec<PassedOver>> {
    let path = path.canonicalize()?;
    let metadata = path.metadata()?;
    if !metadata.is_dir() {
        return walk_single(&path, &metadata, |path, metadata| each(Met::File(path, metadata)));
    }
    let root = path;
    // Whoever may not list the root must hear of it, not be told that there is nothing in it.
    root.read_dir()?;
    let mut passed = Vec::new();
    for (folder, reach) in selection.scope.starts() {
        if is_walked(&root, folder, &selection.exclude) {
            walk_from(&root, folder, reach, &selection.exclude, &mut each, &mut passed);
        }
    }
    Ok(passed)
}

/// Whether a walk from the root would enter this folder.
fn is_walked(root: &Path, folder: &Path, exclude: &Exclusions) -> bool {
    let above = folder.ancestors().filter(|above| !above.as_os_str().is_empty());
    let enters = |above: &Path| {
        let is_ignored = above.file_name().is_none_or(|name| ignored_folder(name).is_some());
        // One that may not be looked at is walked, so that it is told.
        let is_gone = || match root.join(above).symlink_metadata() {
            Ok(metadata) => !metadata.is_dir(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        !is_ignored && !is_gone() && ours::data_folder(&root.join(above)).is_none()
    };
    let whole = root.join(folder);
    !exclude.is_silent(&whole)
        && !exclude.is_own(&whole)
        && exclude.matching(folder).is_none()
        && above.into_iter().all(enters)
}

fn walk_from(
    root: &Path,
    folder: &Path,
    reach: Reach,
    exclude: &Exclusions,
    each: &mut impl FnMut(Met<'_>),
    passed: &mut Vec<PassedOver>,
) {
    let start = List::of(root.join(folder));
    each(Met::Folder(&start.folder));
    let mut open = vec![start];
    while let Some(list) = open.last_mut() {
        let Some(entry) = list.entries.next() else {
            open.pop();
            continue;
        };
        // What goes wrong in the middle of a folder's list comes right behind the folder.
        let seen = entry
            .map(|Named { name, kind }| Entry { path: list.folder.join(name), kind })
            .map_err(|error| unreadable(&list.folder, error));
        match seen.and_then(|entry| admit(root, entry, exclude)).and_then(look_at) {
            Ok(Seen::Folder(path)) if reach == Reach::Below => {
                let list = List::of(path);
                each(Met::Folder(&list.folder));
                open.push(list);
            }
            Ok(Seen::Folder(path)) => each(Met::Folder(&path)),
            Ok(Seen::File(path, metadata)) => {
                let path = path.strip_prefix(root).expect("the walk stays under its root").to_owned();
                each(Met::File(path, &metadata));
            }
            Err(passed_over) => passed.push(passed_over),
        }
    }
}

/// What a folder has, in the order of the paths' bytes, as its list said it. No folder is opened before it is known that it is to be entered: a disk
/// that does not answer would keep whoever does that.
struct List {
    folder: PathBuf,
    entries: vec::IntoIter<io::Result<Named>>,
}

/// What the list of a folder says of one thing in it.
struct Named {
    name: OsString,
    kind: FileType,
}

/// The same, with where it is.
struct Entry {
    path: PathBuf,
    kind: FileType,
}

impl List {
    fn of(folder: PathBuf) -> Self {
        let named = |entry: DirEntry| Ok(Named { kind: entry.file_type()?, name: entry.file_name() });
        let mut entries: Vec<io::Result<Named>> = match folder.read_dir() {
            Ok(list) => list.map(|one| one.and_then(named)).collect(),
            Err(error) => vec![Err(error)],
        };
        entries.sort_by(|one, other| match (one, other) {
            (Ok(one), Ok(other)) => by_bytes_of_paths(one, other),
            (one, other) => one.is_ok().cmp(&other.is_ok()),
        });
        Self { folder, entries: entries.into_iter() }
    }
}

/// Stops at what is ours, at what does not answer, and at what its owner excluded.
fn admit(root: &Path, entry: Entry, exclude: &Exclusions) -> Result<Entry, PassedOver> {
    let relative = || entry.path.strip_prefix(root).unwrap_or(&entry.path);
    // Most often there are none, and no path is taken apart.
    let pattern = if exclude.patterns().is_empty() { None } else { exclude.matching(relative()) };
    let reason = match pattern {
        _ if exclude.is_own(&entry.path) => PassReason::Own,
        _ if exclude.is_silent(&entry.path) => {
            PassReason::Unreadable(io::Error::new(io::ErrorKind::TimedOut, Offline::Silent))
        }
        Some(pattern) => PassReason::Excluded(pattern.to_owned()),
        None => return Ok(entry),
    };
    Err(PassedOver { path: entry.path, reason })
}

/// What is in a folder follows its name and a separator, so that is how folders are compared.
fn by_bytes_of_paths(one: &Named, other: &Named) -> Ordering {
    let separator = |named: &Named| named.kind.is_dir().then_some(std::path::MAIN_SEPARATOR as u8);
    let (name, other_name) = (one.name.as_encoded_bytes(), other.name.as_encoded_bytes());
    let common = name.len().min(other_name.len());
    let ((start, rest), (other_start, other_rest)) = (name.split_at(common), other_name.split_at(common));
    start.cmp(other_start).then_with(|| {
        let rest = rest.iter().copied().chain(separator(one));
        rest.cmp(other_rest.iter().copied().chain(separator(other)))
    })
}

fn walk_single(
    file: &Path,
    metadata: &Metadata,
    mut each: impl FnMut(PathBuf, &Metadata),
) -> io::Result<Vec<PassedOver>> {
    let name = file.file_name().ok_or(io::ErrorKind::NotFound)?;
    let reason = if metadata.is_file() {
        ours::own_file(file).or_else(|| ignored_file(name).map(PassReason::Ignored))
    } else {
        Some(PassReason::NotAFile)
    };
    match reason {
        None => {
            each(PathBuf::from(name), metadata);
            Ok(Vec::new())
        }
        Some(reason) => Ok(vec![PassedOver { path: file.to_owned(), reason }]),
    }
}

enum Seen {
    Folder(PathBuf),
    File(PathBuf, Metadata),
}

fn look_at(Entry { path, kind }: Entry) -> Result<Seen, PassedOver> {
    let name = path.file_name().unwrap_or_default();
    let reason = if kind.is_symlink() {
        PassReason::Link
    } else if kind.is_dir() {
        match ignored_folder(name) {
            Some(ignored) => PassReason::Ignored(ignored),
            None if is_lost_and_found(&path) => PassReason::LostAndFound,
            None => match ours::data_folder(&path) {
                Some(ours) => ours,
                None => return Ok(Seen::Folder(path)),
            },
        }
    } else if !kind.is_file() {
        PassReason::NotAFile
    } else if let Some(ours) = ours::own_file(&path) {
        ours
    } else if let Some(ignored) = ignored_file(name) {
        PassReason::Ignored(ignored)
    } else {
        match path.symlink_metadata() {
            Ok(metadata) => return Ok(Seen::File(path, metadata)),
            Err(error) => PassReason::Unreadable(error),
        }
    };
    Err(PassedOver { path, reason })
}

/// Whether a folder is the one at the root of a disk where a check of it puts what it finds: of that name, the system's, and closed to everybody else.
#[cfg(unix)]
pub(crate) fn is_lost_and_found(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    if folder.file_name().is_none_or(|name| name != "lost+found") {
        return false;
    }
    let (Ok(it), Some(disk)) = (folder.symlink_metadata(), folder.parent()) else { return false };
    // What is above the root of a disk is on another one, or nothing.
    let is_root = match (disk.metadata(), disk.join("..").metadata()) {
        (Ok(disk), Ok(above)) => disk.dev() != above.dev() || disk.ino() == above.ino(),
        _ => false,
    };
    is_root && it.is_dir() && it.uid() == 0 && it.mode() & 0o7777 == 0o700
}

#[cfg(not(unix))]
pub(crate) fn is_lost_and_found(_folder: &Path) -> bool {
    false
}

fn unreadable(listed: &Path, error: io::Error) -> PassedOver {
    PassedOver { path: listed.to_owned(), reason: PassReason::Unreadable(error) }
}

/// The fingerprint of a file that was just looked at.
pub fn fingerprint(metadata: &Metadata) -> Fingerprint {
    Fingerprint { size: metadata.len(), modified_ns: modified_ns(metadata), inode: inode(metadata) }
}

fn modified_ns(metadata: &Metadata) -> i64 {
    metadata.modified().map_or(0, nanoseconds)
}

/// Nanoseconds since the epoch; the ends of the range for times before 1677 and after 2262.
pub(crate) fn nanoseconds(time: std::time::SystemTime) -> i64 {
    match time.duration_since(std::time::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_metadata: &Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::super::selection::Scope;
    use super::*;
    use std::fs;

    fn selected(root: &Path, selection: &Selection) -> Scan {
        let mut files = Vec::new();
        let passed_over = walk(root, selection, |found| files.push(found)).unwrap();
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Scan { root: root.to_owned(), files, passed_over }
    }

    fn names(scan: &Scan) -> Vec<String> {
        scan.files.iter().map(|file| file.path.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn finds_files_and_reports_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in ["b/c/1.jpg", "a.jpg", "@eaDir/x.jpg", ".hidden/y.jpg", "z.part", ".stfolder/marker"] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
        let scan = scan(root, |_| ()).unwrap();
        assert_eq!(names(&scan), ["a.jpg", "b/c/1.jpg"]);
        let mut passed: Vec<_> =
            scan.passed_over.iter().map(|passed| passed.path.file_name().unwrap().to_owned()).collect();
        passed.sort();
        assert_eq!(passed, [".hidden", ".stfolder", "@eaDir", "z.part"]);
        assert!(scan.passed_over.iter().all(|passed| !passed.reason.is_failure()));
    }

    #[test]
    fn the_order_is_that_of_the_paths_bytes() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["a/x", "a b/x", "a.jpg", "a0", "a/b/y", "a/b.jpg", "A/z"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
        let mut paths = Vec::new();
        walk(folder.path(), &Selection::default(), |found| paths.push(super::super::raw(&found.path)))
            .unwrap();
        assert!(paths.len() == 7 && paths.is_sorted(), "{paths:?}");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed_and_names_need_not_be_utf8() {
        use std::os::unix::ffi::OsStrExt as _;
        let folder = tempfile::tempdir().unwrap();
        let odd = Path::new(std::ffi::OsStr::from_bytes(b"caf\xe9.jpg"));
        fs::write(folder.path().join(odd), b"x").unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
        let scan = scan(folder.path(), |_| ()).unwrap();
        assert_eq!(scan.files.len(), 1);
        assert_eq!(super::super::path_of(&super::super::raw(&scan.files[0].path)), odd);
        assert!(matches!(scan.passed_over[0].reason, PassReason::Link));
    }

    #[test]
    fn a_root_may_be_one_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.jpg"), b"abc").unwrap();
        fs::write(folder.path().join("b.jpg"), b"abc").unwrap();
        let scan = scan(&folder.path().join("a.jpg"), |_| ()).unwrap();
        assert_eq!(scan.root, folder.path().canonicalize().unwrap());
        assert_eq!(names(&scan), ["a.jpg"]);
        assert_eq!(scan.files[0].fingerprint.size, 3);
    }

    #[test]
    fn a_selection_is_walked_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in ["0.jpg", "a/1.jpg", "a/x/2.jpg", "b/3.jpg", "b/x/4.jpg", "b/y/5.png", ".hidden/6.jpg"] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
        let check = |folders: &[(&str, Reach)], exclude: &str, expected: &[&str], passed: usize| {
            let folders = folders.iter().map(|(path, reach)| (PathBuf::from(path), *reach)).collect();
            let exclude = Exclusions::parse(&[exclude.to_owned()]).unwrap();
            let selection = Selection { scope: Scope::Folders(folders), exclude };
            let scan = selected(root, &selection);
            assert_eq!(
                (names(&scan), scan.passed_over.len()),
                (expected.iter().map(ToString::to_string).collect(), passed)
            );
        };
        check(&[("", Reach::Itself)], "none", &["0.jpg"], 1);
        check(
            &[("a", Reach::Itself), ("b", Reach::Below)],
            "none",
            &["a/1.jpg", "b/3.jpg", "b/x/4.jpg", "b/y/5.png"],
            0,
        );
        check(&[("b", Reach::Below)], "*.png", &["b/3.jpg", "b/x/4.jpg"], 1);
        check(&[("b", Reach::Below)], "b/x", &["b/3.jpg", "b/y/5.png"], 1);
        check(&[("b/x", Reach::Below)], "/b", &[], 0);
        check(&[(".hidden", Reach::Itself), ("gone", Reach::Below), ("0.jpg", Reach::Below)], "none", &[], 0);
    }

    #[test]
    fn what_is_ours_is_not_walked() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for path in ["1.jpg", "ours/2.jpg", "ours/deep/3.jpg", "ours too/4.jpg"] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
        let own = vec![root.join("ours")];
        let of = |scope| {
            let selection = Selection { scope, exclude: Exclusions::default().and_own(own.clone()) };
            selected(&root, &selection)
        };
        let all = of(Scope::Everything);
        assert_eq!(names(&all), ["1.jpg", "ours too/4.jpg"]);
        assert!(matches!(&*all.passed_over, [PassedOver { reason: PassReason::Own, .. }]), "{all:?}");
        for inside in ["ours", "ours/deep"] {
            let scan = of(Scope::Folders([(inside.into(), Reach::Below)].into()));
            assert!(names(&scan).is_empty() && scan.passed_over.is_empty(), "{inside}");
        }
    }

    /// Whoever asks, and whatever else is chosen: a descriptor of a database that is closed drops the locks of who has it open.
    #[test]
    fn databases_and_data_folders_of_ours_are_passed_over_by_every_walk() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let databases = ["darkslide.db", "darkslide.db-wal", "catalog.sqlite-shm"];
        for path in ["1.jpg", "data/darkslide.db", "data/incoming/2.jpg", "a/3.jpg"].iter().chain(&databases)
        {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
        let all = scan(&root, |_| ()).unwrap();
        assert_eq!(names(&all), ["1.jpg", "a/3.jpg"]);
        let why: Vec<_> = all.passed_over.iter().map(|passed| &passed.reason).collect();
        assert_eq!(why.iter().filter(|why| matches!(why, PassReason::Database)).count(), 3, "{why:?}");
        assert_eq!(why.iter().filter(|why| matches!(why, PassReason::ServerData)).count(), 1, "{why:?}");
        for inside in ["data", "data/incoming"] {
            let scope = Scope::Folders([(inside.into(), Reach::Below)].into());
            let scan = selected(&root, &Selection { scope, exclude: Exclusions::default() });
            assert!(names(&scan).is_empty(), "{inside}");
        }
        for name in databases {
            let alone = scan(&root.join(name), |_| ()).unwrap();
            assert!(alone.files.is_empty() && alone.passed_over.len() == 1, "{name}");
        }
    }

    #[test]
    fn a_root_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(scan(&folder.path().join("gone"), |_| ()).is_err());
    }
}
