//! The local trash of a sync folder: outside the folder, an entry a picture, for 30 days.
//!
//! An entry is a folder with a note (`entry.json`) and the file under its own name, so that a person with nothing but a file manager finds it.
//! The note is written first; an entry without its file is one that a crash left behind, and goes when it is as old as others. If a file cannot be
//! moved here, it stays where it was. Nothing goes that was not put here: a folder that only looks like an entry, or has anything else in it, stays.
//!
//! A clock may be wrong by years. So an entry only goes once 30 days have passed by two that know nothing of each other: this computer's, and the
//! server's ([`Moment`]). Where the server's is not known, nothing goes.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use darkslide_crypto::ContentHash;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use uuid::Uuid;

use super::names;
use super::reconcile::Cause;
use super::scan::Stat;
use super::within::Entered;
use crate::library::{path_of, raw};
use crate::restore::place::{self, content_of, content_of_file, sync_folder};

/// How long an entry is kept.
pub const KEPT: Duration = Duration::from_hours(30 * 24);

const NOTE: &str = "entry.json";

/// In an entry that was made without knowing it: what the server's clock said when the entry was first looked at with that.
const SEEN: &str = "seen";

/// A moment, as this computer's clock tells it and as the server's does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// µs since the epoch, by this computer.
    pub here: i64,
    /// The same by the server, as far as it told: it may be later there by now. None where it was not asked.
    pub there: Option<i64>,
}

/// What a file is called between its copy on another disk and its removal: what is removed is what was looked at, whatever has its name by
/// then. Synchronisers and scans pass it over; the entry's id follows.
const LEAVING: &str = ".syncthing.darkslide-leaving-";

/// What is written down of a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    /// Where it was below the root, for people.
    path: String,
    /// The same byte for byte, as base64.
    raw_path: String,
    content_hash: String,
    /// The root that it was below, byte for byte, as base64.
    #[serde(default)]
    raw_root: Option<String>,
    /// µs since the epoch.
    trashed_at: i64,
    /// The same by the server's clock.
    #[serde(default)]
    server_time: Option<i64>,
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
    /// The root that it was below: one trash may be that of several. None in entries that were made before that was written down.
    #[serde(skip)]
    pub root: Option<PathBuf>,
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
    now: Moment,
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
    let entry = trash.join(format!("{}-{}", now.here, Uuid::new_v4().simple()));
    let note = Note {
        path: below.display().to_string(),
        raw_path: STANDARD.encode(relative),
        content_hash: content.to_string(),
        raw_root: Some(STANDARD.encode(raw(root))),
        trashed_at: now.here,
        server_time: now.there,
        cause: cause.to_string(),
    };
    let file = entry.join(kept_name(&whole));
    let moved = begin(&entry, &note).and_then(|()| move_in(&whole, &file, stat, content));
    if let Err(error) = moved {
        // Whatever is in it all the same stays, with its note.
        if file.symlink_metadata().is_err() {
            let _later_otherwise = fs::remove_file(entry.join(NOTE)).and_then(|()| fs::remove_dir(&entry));
        }
        let is_changed = error.kind() == io::ErrorKind::InvalidData;
        return Err(if is_changed { TrashError::Changed } else { refused(error) });
    }
    sync_folder(&entry).and_then(|()| sync_folder(trash)).map_err(refused)?;
    sync_folder(whole.parent().unwrap_or(root)).map_err(refused)
}

/// A picture's name in its entry.
fn kept_name(path: &Path) -> OsString {
    let name = path.file_name().unwrap_or_default();
    match name.to_str() {
        Some(NOTE) => "picture.json".into(),
        Some(SEEN) => "seen.picture".into(),
        _ => name.to_owned(),
    }
}

fn begin(entry: &Path, note: &Note) -> io::Result<()> {
    fs::create_dir(entry)?;
    let mut file = File::create_new(entry.join(NOTE))?;
    file.write_all(&serde_json::to_vec_pretty(note).expect("text and numbers are JSON"))?;
    file.sync_all()
}

/// Fails with `InvalidData` if it is not what it was: then it is where it was.
fn move_in(from: &Path, to: &Path, stat: Stat, content: ContentHash) -> io::Result<()> {
    match fs::rename(from, to) {
        // Whatever was written between the look and the move goes back to where it belongs.
        Ok(()) if is_seen(to, stat)? => Ok(()),
        Ok(()) => give_back(to, from).and(Err(io::ErrorKind::InvalidData.into())),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let copy = copy_into(from, to.parent().unwrap_or(Path::new("")), content)?;
            copy.persist_noclobber(to).map_err(|error| error.error)?;
            sync_folder(to.parent().unwrap_or(Path::new("")))?;
            let leaving = leaving(from, to);
            remove_seen(from, &leaving, stat).inspect_err(|_| {
                // Where the file has its name again, the copy is one too many. Otherwise the next run finds both by the entry.
                if leaving.symlink_metadata().is_err() {
                    let _listed_otherwise = fs::remove_file(to);
                }
            })
        }
        Err(error) => Err(error),
    }
}

/// Whether what is at a path is the file that was looked at, whatever it is called now.
fn is_seen(path: &Path, stat: Stat) -> io::Result<bool> {
    let now = Stat::of(&path.symlink_metadata()?);
    Ok((now.disk, now.size, now.modified_ns) == (stat.disk, stat.size, stat.modified_ns))
}

/// What a file of a folder is called while it leaves for this place in an entry.
fn leaving(from: &Path, to: &Path) -> PathBuf {
    let entry = to.parent().and_then(Path::file_name).unwrap_or_default();
    let mut name = OsString::from(LEAVING);
    name.push(entry);
    from.with_file_name(name)
}

/// Removes the file that was looked at, and no other that has its name by now.
fn remove_seen(from: &Path, leaving: &Path, stat: Stat) -> io::Result<()> {
    rename_free(from, leaving)?;
    if is_seen(leaving, stat)? {
        return fs::remove_file(leaving).inspect_err(|_| {
            let _by_the_next_run = give_back(leaving, from);
        });
    }
    give_back(leaving, from).and(Err(io::ErrorKind::InvalidData.into()))
}

/// Gives a file its name again, or one beside it if that is taken by now.
fn give_back(from: &Path, to: &Path) -> io::Result<()> {
    let name = to.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Its own name first, which need not be text.
    let beside = names::candidates(name).skip(1).map(|name| to.with_file_name(name));
    for to in std::iter::once(to.to_owned()).chain(beside) {
        match rename_free(from, &to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other,
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Deals with what a process that was killed left of files on their way into the trash: those that the trash has go, others get their names
/// back.
pub fn recover(trash: &Path, root: &Path) -> io::Result<()> {
    for trashed in list(trash)? {
        let path = root.join(&trashed.path);
        let left = leaving(&path, &trashed.file);
        if left.symlink_metadata().is_err() {
            continue;
        }
        if content_of(&left)? == trashed.content && content_of(&trashed.file)? == trashed.content {
            fs::remove_file(&left)?;
        } else {
            give_back(&left, &path)?;
        }
    }
    Ok(())
}

/// Copies a file to another disk, into a folder there: all of it, durable, compared, with its time; still without a name.
fn copy_into(from: &Path, folder: &Path, content: ContentHash) -> io::Result<NamedTempFile> {
    let mut copy = place::temporary(folder, place::ARRIVING)?;
    let mut source = File::open(from)?;
    io::copy(&mut source, copy.as_file_mut())?;
    place::settle(&copy, source.metadata()?.modified()?)?;
    if content_of(copy.path())? != content {
        return Err(io::Error::other("the copy is not what was to be copied"));
    }
    Ok(copy)
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

/// Brings a picture back into a folder, to a name that is free; the entry goes with it. Says what `stat` says of that very file.
/// None, and nothing is done, if the file is not what it should be: it may be damaged, or somebody's edit.
pub(super) fn take(trashed: &TrashedFile, to: &Entered, name: &OsStr) -> io::Result<Option<Stat>> {
    let mut file = File::open(&trashed.file)?;
    let before = Stat::of(&file.metadata()?);
    if content_of_file(&mut file)? != trashed.content {
        return Ok(None);
    }
    match to.take_in(&trashed.file, name) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            file = to.persist(copy_into(&trashed.file, to.path(), trashed.content)?, name)?;
            to.sync()?;
            fs::remove_file(&trashed.file)?;
        }
        other => other?,
    }
    let now = Stat::of(&file.metadata()?);
    to.sync()?;
    let entry = trashed.file.parent().unwrap_or(Path::new(""));
    match fs::remove_file(entry.join(SEEN)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::remove_file(entry.join(NOTE)).and_then(|()| fs::remove_dir(entry))?;
    if (now.size, now.modified_ns) != (before.size, before.modified_ns) {
        return Err(io::Error::other("somebody wrote to it while it was brought back"));
    }
    Ok(Some(now))
}

/// What is in a trash, the latest first. What is no entry is passed over.
pub fn list(trash: &Path) -> io::Result<Vec<TrashedFile>> {
    let mut list: Vec<TrashedFile> = entries(trash)?.iter().filter_map(|entry| read(entry)).collect();
    list.sort_by(|one, other| other.trashed_at.cmp(&one.trashed_at).then(one.id.cmp(&other.id)));
    Ok(list)
}

/// The same of what was below one root: several may have one trash, also of several accounts, and what is another's may be its last copy.
pub fn list_of(trash: &Path, root: &Path) -> io::Result<Vec<TrashedFile>> {
    let mut list = list(trash)?;
    list.retain(|trashed| trashed.root.as_deref() == Some(root));
    Ok(list)
}

fn entries(trash: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(trash) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other?.map(|entry| Ok(entry?.path())).collect(),
    }
}

/// When an entry was made, by its name: µs since the epoch, a hyphen, 32 hexadecimal digits. Nothing else is an entry.
fn began(entry: &Path) -> Option<i64> {
    let (since, id) = entry.file_name()?.to_str()?.split_once('-')?;
    let is_id = id.len() == 32 && id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    since.parse().ok().filter(|number: &i64| is_id && number.to_string() == since)
}

/// Whether a folder may become a trash: it is not there, or holds nothing but entries. What else somebody keeps there is not to lie among them.
pub fn is_free(trash: &Path) -> io::Result<bool> {
    let is_entry = |path: &PathBuf| began(path).is_some() && is_folder(path);
    Ok(entries(trash)?.iter().all(is_entry))
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

fn note_of(entry: &Path) -> Option<Note> {
    serde_json::from_slice(&fs::read(entry.join(NOTE)).ok()?).ok()
}

fn read(entry: &Path) -> Option<TrashedFile> {
    let note = note_of(entry)?;
    let path = path_of(&STANDARD.decode(note.raw_path).ok()?);
    let file = entry.join(kept_name(&path));
    let bytes = file.symlink_metadata().ok()?.len();
    let kept = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
    Some(TrashedFile {
        id: entry.file_name()?.to_str()?.to_owned(),
        path,
        root: note.raw_root.and_then(|root| STANDARD.decode(root).ok()).map(|root| path_of(&root)),
        content: note.content_hash.parse().ok()?,
        bytes,
        trashed_at: note.trashed_at,
        kept_until: note.trashed_at.saturating_add(kept),
        cause: note.cause,
        file,
    })
}

/// What may go of an entry.
struct Removable {
    /// When it was made, by this computer's clock.
    since: i64,
    /// The same by the server's, where that was asked.
    since_there: Option<i64>,
    /// All that is in it, the note last: what is left after a crash is an entry still.
    files: Vec<PathBuf>,
}

/// What is in an entry, if all of that was made here: its note with the picture that it names, or what a crash left of it. None where anything
/// else is in it, or it is none.
fn removable(entry: &Path) -> io::Result<Option<Removable>> {
    let Some(since) = began(entry).filter(|_| is_folder(entry)) else { return Ok(None) };
    let note = note_of(entry);
    // A picture is moved once its note is durable: without one there is none.
    let picture = match &note {
        Some(note) => STANDARD.decode(&note.raw_path).ok().map(|raw| kept_name(&path_of(&raw))),
        None => None,
    };
    let (mut files, mut has_note) = (Vec::new(), false);
    for found in fs::read_dir(entry)? {
        let found = found?;
        let name = found.file_name();
        let is_ours = name == SEEN
            || picture.as_ref() == Some(&name)
            || (note.is_some() && place::ARRIVING.is_name(&name));
        match name == NOTE {
            _ if !found.file_type()?.is_file() => return Ok(None),
            true => has_note = true,
            false if is_ours => files.push(found.path()),
            false => return Ok(None),
        }
    }
    files.extend(has_note.then(|| entry.join(NOTE)));
    let since = note.as_ref().map_or(since, |note| since.max(note.trashed_at));
    Ok(Some(Removable { since, since_there: note.and_then(|note| note.server_time), files }))
}

/// Removes entries that were kept for long enough by both clocks, whole or left by a crash. An entry from the future is kept. What is no entry, or
/// has anything in it that was not put there from here, is left alone; so is what cannot be removed, until the next time.
pub fn expire(trash: &Path, now: Moment) -> io::Result<u64> {
    let Some(there) = now.there else { return Ok(0) };
    let mut removed = 0;
    for entry in entries(trash)? {
        match expire_one(&entry, now.here, there) {
            Ok(is_removed) => removed += u64::from(is_removed),
            // Another process does the same.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, entry = %entry.display(), "an entry of a local trash cannot be removed");
            }
        }
    }
    Ok(removed)
}

fn expire_one(entry: &Path, here: i64, there: i64) -> io::Result<bool> {
    let kept = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
    let is_over = |since: i64, now: i64| since.saturating_add(kept) < now;
    let Some(Removable { since, since_there, files }) = removable(entry)? else {
        if began(entry).is_some_and(|since| is_over(since, here)) {
            tracing::info!(entry = %entry.display(), "left alone in a local trash: it holds something else");
        }
        return Ok(false);
    };
    let since_there = match since_there {
        Some(since) => since,
        None => seen_first(entry, there)?,
    };
    if !is_over(since, here) || !is_over(since_there, there) {
        return Ok(false);
    }
    // By their names, and the folder only once it is empty: what somebody puts there meanwhile stays.
    for file in files {
        fs::remove_file(file)?;
    }
    fs::remove_dir(entry)?;
    Ok(true)
}

/// What the server's clock said when an entry was first looked at with that, which may be now.
fn seen_first(entry: &Path, now: i64) -> io::Result<i64> {
    let path = entry.join(SEEN);
    match fs::read_to_string(&path) {
        Ok(text) => {
            if let Ok(seen) = text.trim().parse() {
                return Ok(seen);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::write(&path, now.to_string())?;
    Ok(now)
}

fn make_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(test)]
#[path = "trash_tests.rs"]
mod tests;
