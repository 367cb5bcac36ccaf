//! What the files of one folder are: media or not, which two are a Live Photo, and what they say of themselves.
//!
//! Reads the beginnings of files only. Decides nothing about the vault.

use std::fs::File;
use std::io::{self, Read as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use darkslide_crypto::ContentHash;
use darkslide_media::dates::{Circumstances, ZoneRule};
use darkslide_media::file_type::{FileType, HEAD_LEN, MediaKind, MediaType, NotMedia, classify};
use darkslide_media::pairing::{self, Item};
use darkslide_media::place::Place;
use darkslide_media::probe::{Probe, ProbeError, ReadSeek, probe_reader};

use super::claims::Ticket;
use super::temporary::TemporaryCopy;
use crate::buffers::{Buffer, Buffers};
use crate::catalog::{AssetPlace, Fingerprint};
use crate::library::archive::{Archives, Entry};
use crate::library::device::AssetKind;
use crate::library::folder;
use crate::library::opened::Opened;
use crate::library::{DeviceAlbum, raw, text_of};
use crate::thumbnail::Subject;
use bytes::Bytes;
use darkslide_protocol::{FileId, Version};
use tokio::sync::mpsc;

/// Larger files are identified by their beginnings, and read when their turn comes.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// Bytes of files that are kept of one group, beside a byte for each: those behind are read again.
const KEPT_AT_ONCE: usize = 2 << 20;

/// One file on disk or in an archive, as it was when it was identified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its whole path.
    pub path: PathBuf,
    /// Its path under the root.
    pub relative: PathBuf,
    /// What it was.
    pub fingerprint: Fingerprint,
    /// What it is.
    pub media: MediaType,
    /// Where its bytes are, if not in a file of their own.
    pub entry: Option<Entry>,
    /// All its bytes, if they were read already, and it was then what the fingerprint says.
    pub kept: Option<Kept>,
}

/// A file's bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept(pub(super) Bytes);

impl std::fmt::Debug for Kept {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "[{} bytes]", self.0.len())
    }
}

/// A small file that was read before it was looked at.
#[derive(Debug)]
pub(crate) struct Whole {
    fingerprint: Fingerprint,
    bytes: Bytes,
}

/// Reads those of some files that are small, into one buffer as far as it goes: each is opened once. One answer each, in their order; none
/// for what is not small, has changed meanwhile or cannot be read, which is found out when it is looked at.
pub(crate) fn read_small(paths: impl Iterator<Item = PathBuf>, buffers: &Buffers) -> Vec<Option<Whole>> {
    let mut shelf = None;
    let places: Vec<_> = paths.map(|path| read_onto(&mut shelf, &path, buffers).ok().flatten()).collect();
    let all = Bytes::from(shelf.unwrap_or_else(|| buffers.take(0)));
    let whole = |(fingerprint, place)| Whole { fingerprint, bytes: all.slice(place) };
    places.into_iter().map(|place| place.map(whole)).collect()
}

/// What a file is, and where on the shelf its bytes are.
fn read_onto(
    shelf: &mut Option<Buffer>,
    path: &Path,
    buffers: &Buffers,
) -> io::Result<Option<(Fingerprint, Range<usize>)>> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let fingerprint = folder::fingerprint(&metadata);
    let size = usize::try_from(fingerprint.size).unwrap_or(usize::MAX);
    let taken = shelf.as_ref().map_or(0, |shelf| shelf.len());
    // One more than there should be: a file that grew is noticed without reading it all.
    if !metadata.is_file() || size > KEPT_BYTES_MAX || taken + size + 1 > KEPT_AT_ONCE {
        return Ok(None);
    }
    let shelf = shelf.get_or_insert_with(|| buffers.take(KEPT_AT_ONCE));
    let is_whole = matches!(append_up_to(&mut file, size + 1, shelf), Ok(count) if count == size);
    if is_whole && folder::fingerprint(&file.metadata()?) == fingerprint {
        return Ok(Some((fingerprint, taken..taken + size)));
    }
    shelf.truncate(taken);
    Ok(None)
}

/// Appends what there is to a buffer that has room for `most` bytes. More may be read of what has more; how many it was.
#[cfg(unix)]
fn append_up_to(file: &mut File, most: usize, shelf: &mut Vec<u8>) -> io::Result<usize> {
    let before = shelf.len();
    while shelf.len() - before < most {
        // Into what was never written: filling it first would cost as much as reading.
        match rustix::io::read(&*file, rustix::buffer::spare_capacity(shelf)) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(shelf.len() - before)
}

/// Appends what there is, and at most so many bytes; how many it was.
#[cfg(not(unix))]
fn append_up_to(file: &mut File, most: usize, shelf: &mut Vec<u8>) -> io::Result<usize> {
    io::Read::read_to_end(&mut io::Read::take(file, most as u64), shelf)
}

/// One unit of backup: a picture, a video, or a Live Photo.
#[derive(Clone, Debug)]
pub struct Asset {
    /// The library's root.
    pub root: Arc<Path>,
    /// The picture or video; of a Live Photo the still.
    pub main: Component,
    /// A Live Photo's video.
    pub motion: Option<Component>,
    /// What the main component says of itself.
    pub probe: Probe,
    /// Where it belongs on the device.
    pub album: DeviceAlbum,
    /// What else is said of it, by somebody else.
    pub told: Option<Box<Told>>,
    /// Whether the same place held something else before, or half of it: then it may be a new version of that.
    pub is_changed: bool,
    /// How the device's own library knows it, if it is of one: then `root` and the paths are those of a copy.
    pub library: Option<Arc<InLibrary>>,
    /// Set where it was decided already that the vault gets it: see [`offer`](super::offer).
    pub offered: Option<Offered>,
    /// Its place among those that it may be equal to, where that decides anything, until its content is claimed.
    pub ticket: Option<Arc<Ticket>>,
}

/// A picture of a folder that is kept in step with the vault. What was deleted before is restored, or sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The file of which it is a new version, as long as that has this content.
    pub replaces: Option<(FileId, ContentHash)>,
    /// The file that is taken out of the trash, as long as this is the version of its deletion.
    pub restores: Option<(FileId, Version)>,
    /// It is a file of the vault, and goes there as that one, or not at all.
    pub mends: bool,
}

/// How a device's own library knows an asset.
#[derive(Debug)]
pub struct InLibrary {
    /// The library, as the catalog files its assets.
    pub library: PathBuf,
    /// The asset.
    pub id: PathBuf,
    /// What it was when it was planned.
    pub fingerprint: Fingerprint,
    /// What it is.
    pub kind: AssetKind,
    /// Whether its id says where it is, not which one it is.
    pub is_place: bool,
    /// Copies that were made to be read, and go when nobody needs them any more.
    pub copies: Vec<TemporaryCopy>,
    /// Held for as long as something is done with it.
    pub busy: mpsc::Sender<()>,
}

/// What the owner said of a picture elsewhere, in a program that it comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// The name that it had there, where it is not the file's.
    pub name: Option<String>,
    /// The description.
    pub caption: Option<String>,
    /// The corrected capture time, µs since the epoch.
    pub taken: Option<i64>,
    /// Whether it was said at all when it was taken, corrected or not.
    pub dated: bool,
    /// The corrected place.
    pub place: Option<Place>,
    /// Kept out of the main view.
    pub archived: bool,
    /// One of the favourites.
    pub favourite: bool,
}

impl Asset {
    /// How people call it: the whole path of its main component, or its name in the device's library.
    pub fn name(&self) -> Arc<Path> {
        if self.library.is_some() {
            self.main.relative.as_path().into()
        } else {
            self.main.path.as_path().into()
        }
    }

    /// What it is, as far as the rules tell.
    pub fn kind(&self) -> AssetKind {
        match (&self.library, &self.motion, self.main.media.kind) {
            (Some(known), ..) => known.kind,
            (None, Some(_), _) => AssetKind::LivePhoto,
            (None, None, MediaKind::Image) => AssetKind::Photo,
            (None, None, MediaKind::Video) => AssetKind::Video,
        }
    }

    /// Plaintext bytes of its components.
    pub fn size(&self) -> u64 {
        self.main.fingerprint.size + self.motion.as_ref().map_or(0, |motion| motion.fingerprint.size)
    }

    /// Nobody needs the copies any more that were made to read it.
    pub(super) fn let_go_of_copies(&self) {
        let copies = self.library.iter().flat_map(|known| &known.copies);
        copies.for_each(TemporaryCopy::let_go);
    }

    /// Where the catalog has it.
    pub(super) fn catalogued(&self) -> AssetPlace {
        match &self.library {
            Some(known) => AssetPlace { root: raw(&known.library), path: raw(&known.id) },
            None => AssetPlace { root: raw(&self.root), path: raw(&self.main.relative) },
        }
    }

    /// Where the catalog would have a Live Photo's video if that were an asset of its own: under another root, if it lies in another archive.
    pub(super) fn motion_catalogued(&self) -> Option<AssetPlace> {
        let motion = self.motion.as_ref()?;
        let archive = motion.entry.as_ref().map(Entry::archive).filter(|_| motion.relative.is_absolute());
        let elsewhere = archive.and_then(|root| Some((root, motion.relative.strip_prefix(root).ok()?)));
        Some(match elsewhere {
            Some((root, path)) => AssetPlace { root: raw(root), path: raw(path) },
            None => AssetPlace { root: self.catalogued().root, path: raw(&motion.relative) },
        })
    }

    /// What its thumbnail is made of.
    pub fn subject(&self) -> Subject {
        subject(&self.main, &self.probe)
    }
}

fn subject(main: &Component, probe: &Probe) -> Subject {
    Subject {
        path: main.path.clone(),
        entry: main.entry.clone(),
        format: main.media.format,
        orientation: probe.orientation,
        embedded: probe.embedded_thumbnail,
    }
}

/// What a file turned out to be.
#[derive(Debug)]
pub enum Identified {
    /// Something to back up.
    Asset(Box<Asset>),
    /// Something else.
    NotMedia {
        /// Its path under the root.
        relative: PathBuf,
        /// What it was.
        fingerprint: Fingerprint,
        /// Why it is not media.
        reason: NotMedia,
    },
    /// A picture that its owner does not want.
    LeftAlone {
        /// Its path under the root.
        relative: PathBuf,
        /// What it was.
        fingerprint: Fingerprint,
        /// Why.
        reason: String,
    },
    /// It could not be read.
    Unreadable {
        /// Its path under the root.
        relative: PathBuf,
        /// What it was, as far as that may be known.
        fingerprint: Fingerprint,
        /// Why.
        error: IdentifyError,
    },
}

/// Of a file that may not even be looked at.
pub(crate) const UNKNOWN: Fingerprint = Fingerprint { size: 0, modified_ns: 0, inode: 0 };

/// Why a file could not be identified.
#[derive(Debug, thiserror::Error)]
pub enum IdentifyError {
    /// It is gone, or may not be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Its metadata could not be read from the disk.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// It is neither a picture nor a video.
    #[error("{0}")]
    NotMedia(NotMedia),
}

/// What identification needs besides the files.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The library's root.
    pub root: &'a Arc<Path>,
    /// The zone of dates that name none.
    pub zone: &'a ZoneRule,
    /// The present, µs since the epoch.
    pub now: i64,
}

/// Identifies files of one folder, given by their paths under the root. Every path comes back once, alone or as
/// half of a Live Photo; `album_of` says where an asset belongs.
pub fn identify(
    around: Surroundings<'_>,
    paths: &[PathBuf],
    album_of: impl Fn(&Path) -> DeviceAlbum,
) -> Vec<Identified> {
    identify_into(&Buffers::default(), around, paths, album_of)
}

/// The same; the bytes of small files stay in memory, in these buffers.
pub(super) fn identify_into(
    buffers: &Buffers,
    around: Surroundings<'_>,
    paths: &[PathBuf],
    album_of: impl Fn(&Path) -> DeviceAlbum,
) -> Vec<Identified> {
    let mut identified = Vec::new();
    let mut media = Vec::new();
    let whole = read_small(paths.iter().map(|relative| around.root.join(relative)), buffers);
    for (relative, whole) in paths.iter().zip(whole) {
        match look(around, relative, None, whole) {
            Ok(Look::Media(seen)) => media.push(*seen),
            Ok(Look::NotMedia(fingerprint, reason)) => {
                identified.push(Identified::NotMedia { relative: relative.clone(), fingerprint, reason });
            }
            Err(error) => {
                let seen = around.root.join(relative).symlink_metadata();
                let fingerprint = seen.map_or(UNKNOWN, |metadata| folder::fingerprint(&metadata));
                identified.push(Identified::Unreadable { relative: relative.clone(), fingerprint, error });
            }
        }
    }
    identified.extend(paired(media).into_iter().map(|(main, motion, probe)| {
        let album = album_of(&main.relative);
        let root = Arc::clone(around.root);
        Identified::Asset(Box::new(Asset {
            root,
            main,
            motion,
            probe,
            album,
            is_changed: false,
            library: None,
            told: None,
            offered: None,
            ticket: None,
        }))
    }));
    identified
}

/// What the thumbnail of one file is made of, if it still is what the fingerprint says; none if it became something else.
pub fn subject_of(
    around: Surroundings<'_>,
    archives: &Archives,
    relative: &Path,
    expected: &Fingerprint,
) -> io::Result<Option<Subject>> {
    let archive = archives.at(around.root)?;
    let entry = archive.as_ref().and_then(|archive| archive.entry(relative));
    if archive.is_some() && entry.is_none() {
        return Ok(None);
    }
    match look(around, relative, entry, None) {
        Ok(Look::Media(seen)) if seen.0.fingerprint == *expected => Ok(Some(subject(&seen.0, &seen.1))),
        Ok(_) | Err(IdentifyError::Probe(_) | IdentifyError::NotMedia(_)) => Ok(None),
        Err(IdentifyError::Read(error)) => Err(error),
    }
}

/// What one file is and says of itself; an error where it is neither a picture nor a video.
pub(super) fn look_at(
    around: Surroundings<'_>,
    relative: &Path,
) -> Result<(Component, Probe), IdentifyError> {
    match look(around, relative, None, None)? {
        Look::Media(seen) => Ok(*seen),
        Look::NotMedia(_, reason) => Err(IdentifyError::NotMedia(reason)),
    }
}

/// What one file is, looked at alone.
pub(crate) enum Look {
    Media(Box<(Component, Probe)>),
    NotMedia(Fingerprint, NotMedia),
}

/// Looks at one file under the root, or at an entry of the archive that the root is.
pub(crate) fn look(
    around: Surroundings<'_>,
    relative: &Path,
    entry: Option<&Entry>,
    whole: Option<Whole>,
) -> Result<Look, IdentifyError> {
    let path = around.root.join(relative);
    let (mut opened, fingerprint, kept) = match whole {
        Some(Whole { fingerprint, bytes }) => (None, fingerprint, Some(bytes)),
        None => {
            let opened = Opened::open(&path, entry)?;
            let fingerprint = opened.fingerprint()?;
            (Some(opened), fingerprint, None)
        }
    };
    let mut in_memory = io::Cursor::new(kept.as_deref().unwrap_or_default());
    let source: &mut dyn ReadSeek = match &mut opened {
        Some(opened) => opened,
        None => &mut in_memory,
    };
    let mut head = Vec::with_capacity(HEAD_LEN);
    (&mut *source).take(HEAD_LEN as u64).read_to_end(&mut head)?;
    let name = path.file_name().unwrap_or_default();
    let media = match classify(name, &head) {
        FileType::Media(media) => media,
        FileType::NotMedia(reason) => return Ok(Look::NotMedia(fingerprint, reason)),
    };
    source.seek(SeekFrom::Start(0))?;
    let circumstances = Circumstances {
        name: &name.to_string_lossy(),
        modified: fingerprint.modified_ns.div_euclid(1000),
        now: around.now,
        zone: around.zone,
    };
    let probe = probe_reader(source, media, &circumstances)?;
    let (relative, entry, kept) = (relative.to_owned(), entry.cloned(), kept.map(Kept));
    let component = Component { path, relative, fingerprint, media, entry, kept };
    Ok(Look::Media(Box::new((component, probe))))
}

/// Joins the halves of Live Photos; everything else stays alone.
fn paired(media: Vec<(Component, Probe)>) -> Vec<(Component, Option<Component>, Probe)> {
    let names: Vec<String> = media.iter().map(|(component, _)| name_of(component)).collect();
    let items: Vec<Item<'_>> = media
        .iter()
        .zip(&names)
        .map(|((component, probe), name)| Item {
            name,
            format: component.media.format,
            live_identifier: probe.live_identifier.as_deref(),
            duration_millis: probe.duration_millis,
        })
        .collect();
    let pairs = pairing::pair(&items);
    let mut left: Vec<Option<(Component, Probe)>> = media.into_iter().map(Some).collect();
    let mut take = |at: usize| left.get_mut(at).and_then(Option::take);
    let mut assets = Vec::new();
    for pair in pairs {
        let video = take(pair.video).map(|(component, _)| component);
        if let Some((still, probe)) = take(pair.image) {
            // The halves are read one after the other, into their container.
            let without_bytes = |half: Component| Component { kept: None, ..half };
            assets.push((without_bytes(still), video.map(without_bytes), probe));
        }
    }
    assets.extend(left.into_iter().flatten().map(|(component, probe)| (component, None, probe)));
    assets
}

fn name_of(component: &Component) -> String {
    text_of(component.path.file_name().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkslide_media::dates::utc;
    use std::fs;

    #[test]
    fn small_files_are_read_once_and_stay_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let root: Arc<Path> = folder.path().into();
        let picture = |size: usize| [b"\xff\xd8\xff\xe0".as_slice(), &vec![7; size - 4]].concat();
        let sizes = [100, KEPT_BYTES_MAX, KEPT_BYTES_MAX + 1, 5];
        let paths: Vec<PathBuf> = (0..sizes.len()).map(|number| format!("{number}.jpg").into()).collect();
        for (path, size) in paths.iter().zip(sizes) {
            fs::write(root.join(path), picture(size)).unwrap();
        }
        let around = Surroundings { root: &root, zone: &utc, now: 0 };
        let album = |path: &Path| crate::library::AlbumRule::PerRoot.album_of(&root, path);
        let kept = |identified: Vec<Identified>| {
            let of_asset = |identified| match identified {
                Identified::Asset(asset) => asset.main.kept.map(|kept| kept.0.to_vec()),
                other => panic!("{other:?}"),
            };
            identified.into_iter().map(of_asset).collect::<Vec<_>>()
        };
        let seen = kept(identify(around, &paths, album));
        for ((bytes, size), is_kept) in seen.into_iter().zip(sizes).zip([true, true, false, true]) {
            assert_eq!(bytes, is_kept.then(|| picture(size)), "{size}");
        }
        // Of more than there is room for, the first.
        let many = vec![PathBuf::from("1.jpg"); KEPT_AT_ONCE / KEPT_BYTES_MAX + 3];
        let whole = kept(identify(around, &many, album)).iter().flatten().count();
        assert_eq!(whole, KEPT_AT_ONCE / (KEPT_BYTES_MAX + 1));
    }

    #[test]
    fn every_path_comes_back_once() {
        let folder = tempfile::tempdir().unwrap();
        let root: Arc<Path> = folder.path().into();
        fs::write(root.join("a.jpg"), b"\xff\xd8\xff\xe0 not much of a picture").unwrap();
        fs::write(root.join("b.xmp"), b"<x:xmpmeta/>").unwrap();
        let around = Surroundings { root: &root, zone: &utc, now: 0 };
        let paths = ["a.jpg", "b.xmp", "gone.jpg"].map(PathBuf::from);
        let album = |path: &Path| crate::library::AlbumRule::PerRoot.album_of(&root, path);
        let mut seen: Vec<_> = identify(around, &paths, album)
            .into_iter()
            .map(|identified| match identified {
                Identified::Asset(asset) => ("asset", asset.main.relative),
                Identified::NotMedia { relative, .. } => ("not media", relative),
                Identified::LeftAlone { relative, .. } => ("left alone", relative),
                Identified::Unreadable { relative, .. } => ("unreadable", relative),
            })
            .collect();
        seen.sort();
        let expected = [("asset", "a.jpg"), ("not media", "b.xmp"), ("unreadable", "gone.jpg")];
        assert_eq!(seen, expected.map(|(what, path)| (what, PathBuf::from(path))));
    }
}
