//! The local trash of a sync folder: outside the folder, an entry a picture, for 30 days.
//!
//! An entry is a folder with a note (`entry.json`) and the file under its own name, so that a person with nothing but a file manager finds it.
//! The note is written first; an entry without its file is one that a crash left behind, and is removed in time. If a file cannot be moved
//! here, it stays where it was.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use darkslide_crypto::ContentHash;
use darkslide_media::probe::micros_of;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::reconcile::Cause;
use super::scan::Stat;
use crate::library::path_of;
use crate::restore::place::{self, content_of, sync_folder};

/// How long an entry is kept.
pub const KEPT: Duration = Duration::from_hours(30 * 24);

const NOTE: &str = "entry.json";

/// What is written down of a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    /// Where it was below the root, for people.
    path: String,
    /// The same byte for byte, as base64.
    raw_path: String,
    content_hash: String,
    /// µs since the epoch.
    trashed_at: i64,
    cause: String,
}

/// One picture in the local trash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrashedFile {
    /// What brings it back.
    pub id: String,
    /// Where it was below the root.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// Its content.
    #[serde(skip)]
    pub content: ContentHash,
    /// Its bytes.
    pub bytes: u64,
    /// When it was moved here, µs since the epoch.
    pub trashed_at: i64,
    /// Until when it is kept, µs since the epoch.
    pub kept_until: i64,
    /// Why.
    pub cause: String,
    /// Where the file is now.
    #[serde(serialize_with = "lossy")]
    pub file: PathBuf,
}

fn lossy<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// Why a picture was not moved.
#[derive(Debug, thiserror::Error)]
pub enum TrashError {
    /// It is not what it was when that was decided.
    #[error("it changed a moment ago")]
    Changed,
    /// The system refused.
    #[error("it cannot be moved into the local trash {trash}: {source}; nothing was deleted", trash = trash.display())]
    Refused {
        /// The trash.
        trash: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Moves a file into the trash if it still is what it was: `stat` is all that was seen of it.
pub fn put(
    trash: &Path,
    root: &Path,
    relative: &[u8],
    (stat, content): (Stat, ContentHash),
    cause: Cause,
    now: i64,
) -> Result<(), TrashError> {
    let refused = |source| TrashError::Refused { trash: trash.to_owned(), source };
    let below = path_of(relative);
    let whole = root.join(&below);
    let is_same =
        |metadata: io::Result<fs::Metadata>| metadata.is_ok_and(|metadata| Stat::of(&metadata) == stat);
    if !is_same(whole.symlink_metadata()) {
        return Err(TrashError::Changed);
    }
    make_private(trash).map_err(refused)?;
    let entry = trash.join(format!("{now}-{}", Uuid::new_v4().simple()));
    let note = Note {
        path: below.display().to_string(),
        raw_path: STANDARD.encode(relative),
        content_hash: content.to_string(),
        trashed_at: now,
        cause: cause.to_string(),
    };
    let file = entry.join(whole.file_name().unwrap_or_default());
    let moved =
        begin(&entry, &note).map_err(refused).and_then(|()| move_in(&whole, &file, stat, content, refused));
    if moved.is_err() {
        // Only if nothing is in it.
        let _kept_otherwise = fs::remove_file(entry.join(NOTE)).and_then(|()| fs::remove_dir(&entry));
        return moved;
    }
    sync_folder(&entry).and_then(|()| sync_folder(trash)).map_err(refused)?;
    sync_folder(whole.parent().unwrap_or(root)).map_err(refused)
}

fn begin(entry: &Path, note: &Note) -> io::Result<()> {
    fs::create_dir(entry)?;
    let mut file = File::create_new(entry.join(NOTE))?;
    file.write_all(&serde_json::to_vec_pretty(note).expect("text and numbers are JSON"))?;
    file.sync_all()
}

fn move_in(
    from: &Path,
    to: &Path,
    stat: Stat,
    content: ContentHash,
    refused: impl Fn(io::Error) -> TrashError,
) -> Result<(), TrashError> {
    match fs::rename(from, to) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy_whole(from, to, content).map_err(&refused)?;
            let is_same = from.symlink_metadata().is_ok_and(|metadata| Stat::of(&metadata) == stat);
            if !is_same {
                fs::remove_file(to).map_err(&refused)?;
                return Err(TrashError::Changed);
            }
            return fs::remove_file(from).map_err(refused);
        }
        Err(error) => return Err(refused(error)),
    }
    // Whatever was written between the look and the move goes back to where it belongs.
    let moved = Stat::of(&to.symlink_metadata().map_err(&refused)?);
    let is_same = (moved.disk, moved.size, moved.modified_ns) == (stat.disk, stat.size, stat.modified_ns);
    if is_same {
        return Ok(());
    }
    rename_free(to, from).map_err(refused)?;
    Err(TrashError::Changed)
}

/// Copies a file to another disk: all of it, durable, compared, with its time.
fn copy_whole(from: &Path, to: &Path, content: ContentHash) -> io::Result<()> {
    let folder = to.parent().unwrap_or(Path::new(""));
    let mut copy = place::temporary(folder, place::ARRIVING)?;
    let mut source = File::open(from)?;
    io::copy(&mut source, copy.as_file_mut())?;
    place::settle(&copy, source.metadata()?.modified()?)?;
    if content_of(copy.path())? != content {
        return Err(io::Error::other("the copy is not what was to be copied"));
    }
    copy.persist_noclobber(to).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Renames unless the name is taken.
pub(super) fn rename_free(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Some file systems cannot.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {}
            other => return Ok(other?),
        }
    }
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

/// Brings a picture back to a path that is free, in a folder that is there. The entry goes with it.
pub fn take(trashed: &TrashedFile, to: &Path) -> io::Result<()> {
    let folder = to.parent().unwrap_or(Path::new(""));
    match rename_free(&trashed.file, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy_whole(&trashed.file, to, trashed.content)?;
            fs::remove_file(&trashed.file)?;
        }
        other => other?,
    }
    sync_folder(folder)?;
    let entry = trashed.file.parent().unwrap_or(Path::new(""));
    fs::remove_file(entry.join(NOTE)).and_then(|()| fs::remove_dir(entry))
}

/// What is in a trash, the latest first. What is no entry is passed over.
pub fn list(trash: &Path) -> io::Result<Vec<TrashedFile>> {
    let entries = match fs::read_dir(trash) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut list = Vec::new();
    for entry in entries {
        list.extend(read(&entry?.path()));
    }
    list.sort_by(|one: &TrashedFile, other| {
        other.trashed_at.cmp(&one.trashed_at).then(one.id.cmp(&other.id))
    });
    Ok(list)
}

fn read(entry: &Path) -> Option<TrashedFile> {
    let note: Note = serde_json::from_slice(&fs::read(entry.join(NOTE)).ok()?).ok()?;
    let path = path_of(&STANDARD.decode(note.raw_path).ok()?);
    let file = entry.join(path.file_name()?);
    let bytes = file.symlink_metadata().ok()?.len();
    let kept = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
    Some(TrashedFile {
        id: entry.file_name()?.to_str()?.to_owned(),
        path,
        content: note.content_hash.parse().ok()?,
        bytes,
        trashed_at: note.trashed_at,
        kept_until: note.trashed_at.saturating_add(kept),
        cause: note.cause,
        file,
    })
}

/// Removes entries that were kept for long enough, and what a crash left of others. An entry from the future is kept.
pub fn expire(trash: &Path, now: SystemTime) -> io::Result<u64> {
    let now = micros_of(now);
    let mut removed = 0;
    for trashed in list(trash)? {
        if trashed.kept_until < now
            && let Some(entry) = trashed.file.parent()
        {
            fs::remove_dir_all(entry)?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn make_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(path: &Path) -> Stat {
        Stat::of(&path.symlink_metadata().unwrap())
    }

    #[test]
    fn a_picture_goes_in_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let (root, trash) = (folder.path().join("root"), folder.path().join("trash"));
        fs::create_dir_all(root.join("a")).unwrap();
        let path = root.join("a/1.jpg");
        fs::write(&path, b"one").unwrap();
        let seen = (stat(&path), ContentHash::of(b"one"));
        put(&trash, &root, b"a/1.jpg", seen, Cause::DeletedThere, 7).unwrap();
        assert!(!path.exists());
        let listed = list(&trash).unwrap();
        assert_eq!((listed.len(), listed[0].bytes, listed[0].path.as_path()), (1, 3, Path::new("a/1.jpg")));
        take(&listed[0], &path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(&trash).unwrap().count(), 0);
    }

    #[test]
    fn what_changed_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (root, trash) = (folder.path().join("root"), folder.path().join("trash"));
        fs::create_dir(&root).unwrap();
        let path = root.join("1.jpg");
        fs::write(&path, b"one").unwrap();
        let seen = (stat(&path), ContentHash::of(b"one"));
        fs::write(&path, b"another").unwrap();
        let put = put(&trash, &root, b"1.jpg", seen, Cause::DeletedThere, 7);
        assert!(matches!(put, Err(TrashError::Changed)));
        assert_eq!(fs::read(&path).unwrap(), b"another");
    }

    #[test]
    fn nothing_is_deleted_when_the_trash_takes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (root, trash) = (folder.path().join("root"), folder.path().join("trash"));
        fs::create_dir(&root).unwrap();
        fs::write(&trash, b"a file where a folder should be").unwrap();
        let path = root.join("1.jpg");
        fs::write(&path, b"one").unwrap();
        let seen = (stat(&path), ContentHash::of(b"one"));
        let put = put(&trash, &root, b"1.jpg", seen, Cause::DeletedThere, 7);
        assert!(matches!(put, Err(TrashError::Refused { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"one");
    }

    #[test]
    fn a_name_that_is_taken_is_not_given_away() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("1"), folder.path().join("2"));
        fs::write(&one, b"one").unwrap();
        fs::write(&two, b"two").unwrap();
        assert_eq!(rename_free(&one, &two).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&one).unwrap(), fs::read(&two).unwrap()), (b"one".to_vec(), b"two".to_vec()));
    }

    #[test]
    fn entries_go_after_thirty_days() {
        let folder = tempfile::tempdir().unwrap();
        let (root, trash) = (folder.path().join("root"), folder.path().join("trash"));
        fs::create_dir(&root).unwrap();
        let now = SystemTime::now();
        let day = Duration::from_hours(24);
        for (name, age) in [("old.jpg", 31), ("new.jpg", 29)] {
            let path = root.join(name);
            fs::write(&path, name).unwrap();
            let seen = (stat(&path), ContentHash::of(name.as_bytes()));
            put(&trash, &root, name.as_bytes(), seen, Cause::DeletedThere, micros_of(now - day * age))
                .unwrap();
        }
        assert_eq!(expire(&trash, now).unwrap(), 1);
        assert_eq!(list(&trash).unwrap()[0].path, Path::new("new.jpg"));
    }
}
