//! What is said of an asset inside its encryption: name, dates, place, sizes, camera, content hash.
//!
//! The stock keys are those of every client. What they cannot say, and a byte-for-byte restore needs, stands in one
//! object under the key `darkslide`, which stock clients keep and ignore:
//!
//! | key | meaning |
//! |---|---|
//! | `folder` | the folder below the one that the album stands for, `/`-separated; absent when there is none |
//! | `modificationTimeNanos` | nanoseconds within the second of the modification time, where microseconds do not say it all |
//! | `rawTitle` | the name's bytes, percent-encoded, where they are no UTF-8; `title` then replaces what is none |
//! | `videoTitle`, `rawVideoTitle` | a Live Photo's video: its name, likewise |
//! | `videoModificationTime`, `videoModificationTimeNanos` | and its modification time, µs since the epoch |
//! | `dated` | true where the sidecar of an export said when it was taken: no other sidecar of equal content says it again |
//! | `supersedes` | the content hash of what the file was before, where that is the beginning of what it is now |

use std::ffi::OsStr;
use std::path::Path;

use darkslide_crypto::ContentHash;
use darkslide_media::dates::DateSource;
use darkslide_media::file_type::MediaKind;
use darkslide_media::metadata::{Decimal, FileKind, FileMetadata, PrivateMagicMetadata, PublicMagicMetadata};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde_json::{Map, Value};

use super::identify::Asset;
use crate::appearance::{Appearance, DATED, OWN, SUPERSEDES};
use crate::catalog::Fingerprint;
use crate::library::{DeviceAlbum, path_of};

/// Everything but letters, digits and what is common in names.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b' ');

/// `visibility` of what is kept out of the main view.
const ARCHIVED: i64 = 1;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// The immutable metadata.
pub fn metadata(asset: &Asset, content: &ContentHash, placeholder: bool) -> FileMetadata {
    let modified = asset.main.fingerprint.modified_ns.div_euclid(1000);
    let (title, _) = names(&asset.main.relative);
    let mut metadata = FileMetadata::new(title, kind(asset), asset.probe.captured.micros, modified);
    metadata.set_place(asset.probe.place);
    metadata.hash = Some(content.to_string());
    metadata.has_static_thumbnail = placeholder.then_some(true);
    metadata.duration = asset
        .probe
        .duration_millis
        .filter(|_| metadata.kind == FileKind::Video)
        .and_then(|millis| i64::try_from(millis.saturating_add(500) / 1000).ok());
    let mut own = own_keys(asset);
    if asset.told.as_ref().is_some_and(|told| told.dated) {
        own.insert(DATED.to_owned(), Value::Bool(true));
    }
    if !own.is_empty() {
        metadata.unknown.insert(OWN.to_owned(), Value::Object(own));
    }
    metadata
}

/// Says that a file only goes on with what it was.
pub(super) fn supersede(metadata: &mut FileMetadata, before: &ContentHash) {
    let own = metadata.unknown.entry(OWN.to_owned()).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(own) = own {
        own.insert(SUPERSEDES.to_owned(), Value::String(before.to_string()));
    }
}

/// The mutable metadata that everybody with access sees.
pub fn public_metadata(asset: &Asset, placeholder: bool) -> PublicMagicMetadata {
    let probe = &asset.probe;
    let captured = &probe.captured;
    let told = captured.source != DateSource::FileModified;
    let owner = asset.told.as_deref();
    let place = owner.and_then(|owner| owner.place);
    PublicMagicMetadata {
        edited_time: owner.and_then(|owner| owner.taken),
        edited_name: owner.and_then(|owner| owner.name.clone()),
        caption: owner.and_then(|owner| owner.caption.clone()),
        latitude: place.and_then(|place| Decimal::new(place.latitude())),
        longitude: place.and_then(|place| Decimal::new(place.longitude())),
        width: probe.width.map(i64::from),
        height: probe.height.map(i64::from),
        date_time: told.then(|| captured.date_time()),
        offset_time: captured.offset_time().filter(|_| told),
        camera_make: probe.camera_make.clone(),
        camera_model: probe.camera_model.clone(),
        no_thumbnail: placeholder.then_some(true),
        ..PublicMagicMetadata::default()
    }
}

/// The mutable metadata that the owner alone sees.
pub fn private_metadata(asset: &Asset) -> PrivateMagicMetadata {
    let archived = asset.told.as_ref().is_some_and(|told| told.archived);
    PrivateMagicMetadata { visibility: archived.then_some(ARCHIVED), ..PrivateMagicMetadata::default() }
}

fn kind(asset: &Asset) -> FileKind {
    match (asset.motion.is_some(), asset.main.media.kind) {
        (true, _) => FileKind::LivePhoto,
        (false, MediaKind::Image) => FileKind::Image,
        (false, MediaKind::Video) => FileKind::Video,
    }
}

/// What stands under the key `darkslide`: everything of the appearance that the stock keys do not say.
fn own_keys(asset: &Asset) -> Map<String, Value> {
    let motion = asset.motion.as_ref().map(|motion| (motion.relative.as_path(), motion.fingerprint));
    let main = &asset.main;
    let appearance = appearance(&main.relative, main.fingerprint, motion, &asset.album);
    let own = serde_json::to_value(appearance).expect("text and numbers are JSON");
    let stock = |key: &str| matches!(key, "title" | "modificationTime");
    match own {
        Value::Object(own) => own.into_iter().filter(|(key, _)| !stock(key)).collect(),
        _ => Map::new(),
    }
}

/// Where a copy stands below its album, what it is called and when it was modified. Paths are relative to the root.
pub(crate) fn appearance(
    path: &Path,
    fingerprint: Fingerprint,
    motion: Option<(&Path, Fingerprint)>,
    album: &DeviceAlbum,
) -> Appearance {
    let (title, raw_title) = names(path);
    let mut appearance = Appearance {
        folder: folder(path, album),
        title,
        raw_title,
        modification_time: fingerprint.modified_ns.div_euclid(1000),
        modification_time_nanos: nanos(fingerprint),
        ..Appearance::default()
    };
    if let Some((path, fingerprint)) = motion {
        let (title, raw_title) = names(path);
        appearance.video_title = Some(title);
        appearance.raw_video_title = raw_title;
        appearance.video_modification_time = Some(fingerprint.modified_ns.div_euclid(1000));
        appearance.video_modification_time_nanos = nanos(fingerprint);
    }
    appearance
}

/// The name for people, and its bytes where the two differ.
fn names(path: &Path) -> (String, Option<String>) {
    let name = path.file_name().unwrap_or(OsStr::new(""));
    let raw = || percent_encode(name.as_encoded_bytes(), ESCAPED).to_string();
    (name.to_string_lossy().into_owned(), name.to_str().is_none().then(raw))
}

fn nanos(fingerprint: Fingerprint) -> Option<u64> {
    let within = || u64::try_from(fingerprint.modified_ns.rem_euclid(NANOS_PER_SECOND)).ok();
    (fingerprint.modified_ns.rem_euclid(1000) != 0).then(within).flatten()
}

/// An album that was named by hand, or stands for a root, leaves the folders below the root to be said.
fn folder(path: &Path, album: &DeviceAlbum) -> Option<String> {
    let parent = path.parent()?;
    let below = if album.key.root.is_empty() {
        parent
    } else {
        parent.strip_prefix(path_of(&album.key.folder)).ok()?
    };
    let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}
