//! The decisions of a backup, as pure functions: what a run does with each file of a scan, and what it does with
//! content once that is known. Nothing here reads a disk, a clock or the network.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use darkslide_crypto::ContentHash;
use darkslide_media::file_type::{MediaKind, classify};
use darkslide_media::names::{comparison_key, split_extension};
use darkslide_protocol::{CollectionId, FileId};

use crate::catalog::{AlbumMark, AssetRow, AssetState, FileRow, Fingerprint, SettledRow, TrashRow};
use crate::library::{AlbumRule, Found, raw};
use crate::local_time::day;

/// Why a file has to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// It was never seen.
    New,
    /// It is not what it was.
    Changed,
    /// The last attempt did not work.
    Retry,
    /// A file arrived beside it that may be the other half of a Live Photo.
    Companion,
}

/// What is done with one asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Its content is in the vault and in its album; it cost one `stat`.
    Unchanged,
    /// It was looked at before, and is neither a picture nor a video, for this reason.
    NotMedia(String),
    /// Its content is known and need not be read; where that is in the vault, and in which albums, is looked up.
    Recheck(ContentHash),
    /// It must be read.
    Read(Why),
}

/// One asset of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The file, under the root.
    pub path: PathBuf,
    /// What the scan saw.
    pub fingerprint: Fingerprint,
    /// A Live Photo's video, where the asset is known to be one and both halves are what they were. Files that are
    /// read are paired anew.
    pub motion: Option<(PathBuf, Fingerprint)>,
    /// What is done.
    pub decision: Decision,
}

/// What a run does with one root: every scanned file is in exactly one step, as itself or as a Live Photo's video.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupPlan {
    /// In the order of the paths' bytes.
    pub steps: Vec<Step>,
}

/// Plans a run over one root: what was found there, what the catalog knows of it, which files are no longer what this device has of them, which
/// albums are wanted.
pub fn plan(
    root: &Path,
    files: &[Found],
    known: &[AssetRow],
    displaced: &BTreeSet<FileId>,
    rule: &AlbumRule,
) -> BackupPlan {
    // Of a folder that was never seen nothing is looked up.
    let looked_up = if known.is_empty() { &[] } else { files };
    let found: HashMap<Vec<u8>, &Found> = looked_up.iter().map(|file| (raw(&file.path), file)).collect();
    let rows: HashMap<&[u8], &AssetRow> = known.iter().map(|row| (row.path.as_slice(), row)).collect();
    let videos = videos_of_intact_units(&found, &rows);
    let mut steps = Vec::with_capacity(files.len());
    for file in files {
        let path = raw(&file.path);
        if videos.contains(&path) {
            continue;
        }
        let row = rows.get(path.as_slice()).copied();
        let (decision, motion) = decide_file(root, file, row, &found, rule);
        let decision = match (decision, row.and_then(|row| row.content_hash)) {
            // It is what it was, and the vault is not.
            (Decision::Unchanged, Some(content)) if is_displaced(row, displaced) => {
                Decision::Recheck(content)
            }
            (decision, _) => decision,
        };
        steps.push(Step { path: file.path.clone(), fingerprint: file.fingerprint, motion, decision });
    }
    let bytes = |step: &'_ Step| raw(&step.path);
    if !steps.is_sorted_by(|one, other| bytes(one) <= bytes(other)) {
        steps.sort_by_cached_key(bytes);
    }
    read_companions(&mut steps, |step| kin_of(&step.path));
    BackupPlan { steps }
}

/// Whether a file is what the catalog says, and that is in the vault and in its album: what [`plan`] would call unchanged.
pub(super) fn is_settled(
    row: &SettledRow,
    found: &Found,
    displaced: &BTreeSet<FileId>,
    album: &AlbumMark,
) -> bool {
    row.fingerprint == found.fingerprint && row.album == *album && !displaced.contains(&row.file)
}

fn is_displaced(row: Option<&AssetRow>, displaced: &BTreeSet<FileId>) -> bool {
    row.and_then(|row| row.file).is_some_and(|file| displaced.contains(&file))
}

/// The videos that belong to Live Photos of which both halves are what they were.
fn videos_of_intact_units(
    found: &HashMap<Vec<u8>, &Found>,
    rows: &HashMap<&[u8], &AssetRow>,
) -> HashSet<Vec<u8>> {
    let intact = |row: &&&AssetRow| found.get(&row.path).is_some_and(|file| is_intact(file, row, found));
    let video = |row: &AssetRow| row.motion.as_ref().map(|(path, _)| path.clone());
    // The still of one Live Photo is never left out as the video of another.
    let is_still = |path: &Vec<u8>| rows.get(path.as_slice()).is_some_and(|row| row.motion.is_some());
    rows.values().filter(intact).filter_map(|row| video(row).filter(|path| !is_still(path))).collect()
}

/// Whether an asset is what the catalog says it was, both halves of a Live Photo included.
fn is_intact(file: &Found, row: &AssetRow, found: &HashMap<Vec<u8>, &Found>) -> bool {
    let motion_is = |(path, fingerprint): &(Vec<u8>, Fingerprint)| {
        found.get(path).is_some_and(|video| video.fingerprint == *fingerprint)
    };
    file.fingerprint == row.fingerprint && row.motion.as_ref().is_none_or(motion_is)
}

fn decide_file(
    root: &Path,
    file: &Found,
    row: Option<&AssetRow>,
    found: &HashMap<Vec<u8>, &Found>,
    rule: &AlbumRule,
) -> (Decision, Option<(PathBuf, Fingerprint)>) {
    let Some(row) = row else { return (Decision::Read(Why::New), None) };
    if !is_intact(file, row, found) {
        return (Decision::Read(Why::Changed), None);
    }
    let decision = match (row.state, row.content_hash) {
        (AssetState::NotMedia, _) => Decision::NotMedia(row.reason.clone().unwrap_or_default()),
        (AssetState::BackedUp, Some(_)) if row.album == rule.album_of(root, &file.path).key => {
            Decision::Unchanged
        }
        (AssetState::BackedUp | AssetState::Skipped | AssetState::Freed, Some(content)) => {
            Decision::Recheck(content)
        }
        _ => Decision::Read(Why::Retry),
    };
    let motion = motion_of(row, found);
    (decision, motion)
}

fn motion_of(row: &AssetRow, found: &HashMap<Vec<u8>, &Found>) -> Option<(PathBuf, Fingerprint)> {
    let (path, fingerprint) = row.motion.as_ref()?;
    found.get(path).map(|video| (video.path.clone(), *fingerprint))
}

/// A still that is known alone is read again when a new video of its name stands beside it, and the other way
/// round: together they may be a Live Photo.
pub(crate) fn read_companions(steps: &mut [Step], kin: impl Fn(&Step) -> Option<Kin>) {
    if steps.iter().all(|step| matches!(step.decision, Decision::Read(_))) {
        return;
    }
    let arrived: HashSet<Kin> = steps
        .iter()
        .filter(|step| matches!(step.decision, Decision::Read(Why::New | Why::Changed)))
        .filter_map(&kin)
        .collect();
    if arrived.is_empty() {
        return;
    }
    for step in steps {
        let known_alone =
            step.motion.is_none() && matches!(step.decision, Decision::Unchanged | Decision::Recheck(_));
        let other_half = Some(&*step).filter(|_| known_alone).and_then(&kin).map(Kin::other_half);
        if other_half.is_some_and(|other| arrived.contains(&other)) {
            step.decision = Decision::Read(Why::Companion);
        }
    }
}

/// What the two halves of a Live Photo have in common, and which of the two a file would be, as far as its name tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kin {
    pub(super) folder: PathBuf,
    stem: String,
    pub(super) kind: MediaKind,
}

impl Kin {
    /// What the other half would be.
    pub(super) fn other_half(self) -> Self {
        let kind = match self.kind {
            MediaKind::Image => MediaKind::Video,
            MediaKind::Video => MediaKind::Image,
        };
        Self { kind, ..self }
    }
}

/// Of a file's name; none where it is no name of a picture or video.
pub(crate) fn kin_of(path: &Path) -> Option<Kin> {
    let kind = classify(path.file_name().unwrap_or(OsStr::new("")), &[]).media()?.kind;
    let (folder, stem) = unit_of(path);
    Some(Kin { folder, stem, kind })
}

/// Folder and stem of a file: what the halves of a Live Photo share.
pub(crate) fn unit_of(path: &Path) -> (PathBuf, String) {
    let name = path.file_name().unwrap_or(OsStr::new("")).to_string_lossy();
    (path.parent().unwrap_or(Path::new("")).to_owned(), comparison_key(split_extension(&name).0))
}

/// Whether a file, which comes behind another in the order of names, may belong to it: as the other half of a Live Photo, or as what lies between the
/// halves (`a.heic`, `a.heic.xmp`, `a.mov`).
pub(crate) fn is_of_unit(first: &Path, next: &Path) -> bool {
    let (folder, stem) = unit_of(first);
    let name = next.file_name().unwrap_or(OsStr::new("")).to_string_lossy();
    next.parent() == Some(folder.as_path())
        && comparison_key(&name).strip_prefix(stem.as_str()).is_some_and(|rest| rest.starts_with('.'))
}

/// What is done with content that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentDecision {
    /// The vault does not have it.
    Send,
    /// The vault has it, in its album already, or out of it because its owner took it out.
    Present(FileId),
    /// The vault has it, in this membership among others; it goes into the album.
    Link(Box<FileRow>),
    /// It is in the trash and came back after that: it is taken out of the trash.
    Untrash(Box<TrashRow>),
    /// Its owner deleted it from the vault, and this copy was there before.
    Deleted {
        /// When, µs since the epoch.
        at: i64,
    },
    /// Its owner deleted the Live Photo from the vault that this is the video of.
    DeletedWith {
        /// When, µs since the epoch.
        at: i64,
        /// What that is called.
        name: String,
    },
}

/// Decides by what the vault has of this content: its memberships (a membership of a deleted collection counts as
/// a tombstone), its trash entries, the album's collection if there is one yet, and when this device first had it.
pub fn decide_content(
    memberships: &[FileRow],
    trash: &[TrashRow],
    album: Option<CollectionId>,
    first_seen: i64,
) -> ContentDecision {
    let live = || memberships.iter().filter(|row| !row.deleted);
    if let Some(row) = live().find(|row| Some(row.collection) == album) {
        return ContentDecision::Present(row.id);
    }
    if let Some(row) = live().next() {
        let taken_out = memberships.iter().any(|tombstone| {
            tombstone.deleted && tombstone.id == row.id && Some(tombstone.collection) == album
        });
        return if taken_out {
            ContentDecision::Present(row.id)
        } else {
            ContentDecision::Link(Box::new(row.clone()))
        };
    }
    let deletions = || trash.iter().filter(|row| !row.restored);
    match deletions().max_by_key(|row| row.trashed_at) {
        None => ContentDecision::Send,
        Some(latest) if first_seen <= latest.trashed_at => ContentDecision::Deleted { at: latest.trashed_at },
        Some(_) => deletions()
            .find(|row| !row.purged)
            .map_or(ContentDecision::Send, |row| ContentDecision::Untrash(Box::new(row.clone()))),
    }
}

/// What its owner does to have it back.
pub(super) const BACK: &str = "save a copy of it, and it comes back";

/// The sentence for a picture that its owner deleted.
pub fn deleted_reason(at: i64) -> String {
    format!("you deleted it from the vault on {}; {BACK}", day(at))
}

/// The same sentence for the video of a Live Photo, which goes by its still.
pub(super) fn of_video(reason: &str, still: &str) -> String {
    reason.replacen("you deleted it", &format!("you deleted {still}, whose video this is,"), 1)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
