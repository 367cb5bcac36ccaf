//! Which file goes where: a pure decision from the catalog's rows. It touches neither the disk nor the network.
//!
//! A file goes to `<album>/<folder below the album>/<name>`, once for every album that it is in. Names are as they
//! were; only what the file system of this machine cannot hold is replaced, and files of one name in one folder are
//! numbered in the order in which they were taken. Names that differ only in letter case or in how an accent is
//! written stay as they are: where the file system takes them for one, putting them in place finds out.

use crate::appearance::{Appearance, appearances, first};
use crate::catalog::{CollectionRow, FileRow};
use darkslide_media::metadata::FileKind;
use darkslide_media::names::{self, Rules};
use darkslide_protocol::{AccountId, CollectionId, FileId};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Folders below an album that are made at most; deeper ones end up in the deepest.
const FOLDER_DEPTH_MAX: usize = 64;

/// What is to be restored.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RestorePlan {
    pub(super) files: Vec<PlannedFile>,
}

/// One file of the vault and the places that it goes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PlannedFile {
    /// The membership whose collection opens it.
    pub(super) row: FileRow,
    /// At least one, all with as many parts.
    pub(super) places: Vec<Place>,
}

/// One place for a file: a folder, names and times, and the first number to try for the names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Relative to the folder that is restored into.
    pub(super) folder: PathBuf,
    /// One part, or two for a Live Photo: the still, then the video.
    pub(super) parts: Vec<PlannedPart>,
    /// 0 is the name itself, 1 is `name (1).ext`.
    pub(super) number: u32,
}

/// One file on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlannedPart {
    pub(super) name: PartName,
    pub(super) modified: SystemTime,
}

/// A name as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartName {
    /// The name as text.
    pub(super) title: String,
    /// Its bytes, where they are not UTF-8.
    raw: Option<Vec<u8>>,
    /// Where the name of a Live Photo's video is not known: the extension comes from the container.
    pub(super) extension_unknown: bool,
}

/// Plans the rows of a listing, which must be live memberships. A file that appears in several albums, or that was
/// backed up under several names, is one planned file with several places. With `flat` everything goes to the folder
/// itself, under its first name.
pub(super) fn plan(
    rows: Vec<FileRow>,
    collections: &[CollectionRow],
    account: AccountId,
    flat: bool,
) -> RestorePlan {
    let folders = album_folders(&rows, collections, account);
    let own: HashSet<CollectionId> =
        collections.iter().filter(|row| row.owner == account).map(|row| row.id).collect();
    let mut taken: HashMap<PathBuf, HashSet<OsString>> = HashMap::new();
    let mut files: BTreeMap<FileId, PlannedFile> = BTreeMap::new();
    let mut order = Vec::new();
    for row in rows {
        let mut places = Vec::new();
        for appearance in if flat { vec![first(&row)] } else { appearances(&row) } {
            let folder = if flat { PathBuf::new() } else { folder_of(&row, &folders, &appearance) };
            let parts = parts_of(&row, appearance);
            let number = first_number(taken.entry(folder.clone()).or_default(), &parts);
            places.push(Place { folder, parts, number });
        }
        if let Some(planned) = files.get_mut(&row.id) {
            planned.places.extend(places);
            // A key that somebody else gave is not relied on where there is one of one's own.
            if own.contains(&row.collection) && !own.contains(&planned.row.collection) {
                planned.row = row;
            }
        } else {
            order.push(row.id);
            files.insert(row.id, PlannedFile { row, places });
        }
    }
    RestorePlan { files: order.into_iter().filter_map(|id| files.remove(&id)).collect() }
}

/// A folder for each album; albums of one name are numbered by age, others' after one's own.
fn album_folders(
    rows: &[FileRow],
    collections: &[CollectionRow],
    account: AccountId,
) -> HashMap<CollectionId, String> {
    let wanted: HashSet<CollectionId> = rows.iter().map(|row| row.collection).collect();
    let mut albums: Vec<&CollectionRow> = collections.iter().filter(|row| wanted.contains(&row.id)).collect();
    albums.sort_by_key(|album| (album.owner != account, album.id));
    let mut taken = HashSet::new();
    let name = |album: &CollectionRow, taken: &mut HashSet<String>| {
        let name = names::restored(&album.name, Rules::HERE);
        let mut candidates = (0..u32::MAX).map(|number| numbered(&name, number));
        let free = candidates.find(|name| taken.insert(name.clone()));
        free.expect("numbers do not run out")
    };
    albums.into_iter().map(|album| (album.id, name(album, &mut taken))).collect()
}

fn folder_of(row: &FileRow, folders: &HashMap<CollectionId, String>, appearance: &Appearance) -> PathBuf {
    let album = folders.get(&row.collection).map_or("_", String::as_str);
    let below = appearance.folder.as_deref().unwrap_or_default();
    let below = below.split('/').filter(|name| !name.is_empty()).take(FOLDER_DEPTH_MAX);
    let below = below.map(|name| names::restored(name, Rules::HERE));
    Path::new(album).join(below.collect::<PathBuf>())
}

/// The first number with which none of the names is taken in this folder; it is taken from now on.
fn first_number(taken: &mut HashSet<OsString>, parts: &[PlannedPart]) -> u32 {
    let names = |number: u32| parts.iter().map(move |part| part.name.candidate(number));
    let number = (0..u32::MAX).find(|number| names(*number).all(|name| !taken.contains(&name)));
    let number = number.expect("numbers do not run out");
    taken.extend(names(number));
    number
}

fn numbered(name: &str, number: u32) -> String {
    if number == 0 { name.to_owned() } else { names::numbered(name, number) }
}

impl PartName {
    pub(super) fn new(title: String, raw: Option<Vec<u8>>) -> Self {
        Self { title, raw: raw.filter(|raw| is_one_component(raw)), extension_unknown: false }
    }

    /// A Live Photo's video whose name was not kept: the still's, with the usual extension until the container says
    /// another.
    fn of_video(still: &str) -> Self {
        let (stem, extension) = names::split_extension(still);
        let extension = if extension.contains(char::is_lowercase) { "mov" } else { "MOV" };
        Self { title: format!("{stem}.{extension}"), raw: None, extension_unknown: true }
    }

    /// The name on disk with this number.
    pub(super) fn candidate(&self, number: u32) -> OsString {
        match &self.raw {
            Some(raw) if number == 0 && cfg!(unix) => raw_name(raw),
            _ => numbered(&names::restored(&self.title, Rules::HERE), number).into(),
        }
    }

    /// Whether the name on disk with this number is exactly the name that it had.
    pub(super) fn is_kept(&self, number: u32) -> bool {
        let exact = match &self.raw {
            Some(raw) => raw.as_slice(),
            None => self.title.as_bytes(),
        };
        self.candidate(number).as_encoded_bytes() == exact
    }

    /// Gives the video of a Live Photo the extension that its container says.
    pub(super) fn with_extension(mut self, extension: &str) -> Self {
        if self.extension_unknown && !extension.is_empty() {
            let (stem, _) = names::split_extension(&self.title);
            self.title = format!("{stem}.{extension}");
        }
        self
    }
}

#[cfg(unix)]
fn raw_name(raw: &[u8]) -> OsString {
    use std::os::unix::ffi::OsStringExt as _;
    OsString::from_vec(raw.to_vec())
}

#[cfg(not(unix))]
fn raw_name(raw: &[u8]) -> OsString {
    String::from_utf8_lossy(raw).into_owned().into()
}

fn is_one_component(raw: &[u8]) -> bool {
    let reserved = raw.is_empty() || raw == b"." || raw == b"..";
    !reserved && raw.len() <= names::MAX_LEN && !raw.contains(&b'/') && !raw.contains(&0)
}

/// Reads `%XX`; anything else stands for itself.
fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let (high, low) = (rest.next()?, rest.next()?);
            let digit = |byte: u8| char::from(byte).to_digit(16);
            bytes.push(u8::try_from(digit(high)? * 16 + digit(low)?).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

fn parts_of(row: &FileRow, appearance: Appearance) -> Vec<PlannedPart> {
    let raw = |text: Option<String>| text.as_deref().and_then(percent_decoded);
    let modified = time_of(appearance.modification_time, appearance.modification_time_nanos);
    let title = appearance.title;
    let first = PlannedPart { name: PartName::new(title.clone(), raw(appearance.raw_title)), modified };
    if FileKind::from_number(row.kind) != FileKind::LivePhoto {
        return vec![first];
    }
    let name = match appearance.video_title {
        Some(video) => PartName::new(video, raw(appearance.raw_video_title)),
        None => PartName::of_video(&title),
    };
    let nanos = appearance.video_modification_time_nanos;
    let modified = appearance.video_modification_time.map_or(modified, |micros| time_of(micros, nanos));
    vec![first, PlannedPart { name, modified }]
}

/// Microseconds since the epoch, and the nanoseconds within that second where they were kept.
pub(crate) fn time_of(micros: i64, nanos: Option<u64>) -> SystemTime {
    let seconds = micros.div_euclid(1_000_000);
    let within = u64::try_from(micros.rem_euclid(1_000_000)).unwrap_or_default() * 1000;
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let second = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)
    };
    let second = second.unwrap_or(SystemTime::UNIX_EPOCH);
    second + Duration::from_nanos(nanos.filter(|nanos| *nanos < 1_000_000_000).unwrap_or(within))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
