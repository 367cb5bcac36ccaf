//! The JSON that only the owner can read: what is said of a file and of a collection, inside its encryption.
//!
//! Field names and meanings are those that stock clients write (`docs/format.md`). Reading is lenient, because old
//! clients wrote captions as numbers and integers as `1.0`: a value of the wrong type is passed over rather than
//! making the whole unreadable, and keys that are not known here are kept and written back. Integers are written
//! as integers. Encryption, and the versions of the envelope around this, are not here.

use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde::{Serialize, Serializer};
use serde_json::{Map, Number, Value};

use crate::place::Place;

/// Keys that this version does not know, kept as they came.
pub type UnknownKeys = Map<String, Value>;

/// What a file is, in the numbers of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// 0.
    Image,
    /// 1.
    Video,
    /// 2: a picture and its video in one container.
    LivePhoto,
    /// Any other number; phones may write 3.
    Other(i64),
}

impl FileKind {
    /// Its number.
    pub fn number(self) -> i64 {
        match self {
            FileKind::Image => 0,
            FileKind::Video => 1,
            FileKind::LivePhoto => 2,
            FileKind::Other(number) => number,
        }
    }

    /// From its number.
    pub fn from_number(number: i64) -> Self {
        match number {
            0 => FileKind::Image,
            1 => FileKind::Video,
            2 => FileKind::LivePhoto,
            other => FileKind::Other(other),
        }
    }
}

impl Serialize for FileKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.number())
    }
}

impl<'de> Deserialize<'de> for FileKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(Self::from_number(integer(&value).unwrap_or(3)))
    }
}

/// Why decrypted bytes are not the JSON that was expected.
#[derive(Debug, thiserror::Error)]
#[error("the decrypted {what} cannot be read")]
pub struct MetadataError {
    what: &'static str,
    #[source]
    source: serde_json::Error,
}

/// A number as an integer: `3`, `3.0`, `"3"`.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "within 2^53, and the fraction is what is dropped")]
    (number.abs() <= EXACT).then_some(number.trunc() as i64)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn decimal(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}

fn truth(value: &Value) -> Option<bool> {
    value.as_bool().or_else(|| integer(value).map(|number| number != 0))
}

/// A type that a JSON value may be read as, leniently.
trait Lenient: Sized {
    fn read(value: &Value) -> Option<Self>;
}

impl Lenient for i64 {
    fn read(value: &Value) -> Option<Self> {
        integer(value)
    }
}

impl Lenient for String {
    fn read(value: &Value) -> Option<Self> {
        text(value)
    }
}

impl Lenient for bool {
    fn read(value: &Value) -> Option<Self> {
        truth(value)
    }
}

/// A decimal number that is written without a fraction when it has none, and exactly as it was read.
#[derive(Clone, PartialEq)]
pub struct Decimal(Number);

impl Decimal {
    /// From a finite number.
    pub fn new(value: f64) -> Option<Self> {
        Number::from_f64(value).map(Self)
    }

    /// Its value.
    pub fn value(&self) -> f64 {
        self.0.as_f64().unwrap_or_default()
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl Lenient for Decimal {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => Some(Self(number.clone())),
            other => Self::new(decimal(other)?),
        }
    }
}

fn lenient<'de, D: Deserializer<'de>, T: Lenient>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(T::read(&Value::deserialize(deserializer)?))
}

fn required<'de, D: Deserializer<'de>, T: Lenient>(deserializer: D) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    T::read(&value).ok_or_else(|| serde::de::Error::custom("a required field has a value of the wrong type"))
}

/// Declares the fields of one JSON object: each optional, read leniently, left out when absent.
macro_rules! json_object {
    (
        $(#[$meta:meta])* $name:ident, $what:literal,
        { $( $(#[$required_meta:meta])* $required:ident $required_key:literal : $required_type:ty ),* $(,)? }
        { $( $(#[$field_meta:meta])* $field:ident $key:literal : $type:ty ),* $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
        pub struct $name {
            $( $(#[$required_meta])*
               #[serde(rename = $required_key, deserialize_with = "required")]
               pub $required: $required_type, )*
            $( $(#[$field_meta])*
               #[serde(rename = $key, default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
               pub $field: Option<$type>, )*
            /// Keys that are not known here.
            #[serde(flatten)]
            pub unknown: UnknownKeys,
        }

        impl $name {
            /// Reads the decrypted bytes.
            pub fn from_json(bytes: &[u8]) -> Result<Self, MetadataError> {
                from_json(bytes, $what)
            }

            /// The bytes to be encrypted.
            pub fn to_json(&self) -> Vec<u8> {
                serde_json::to_vec(self).expect("maps with text keys and finite numbers are always JSON")
            }
        }
    };
}

fn from_json<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, MetadataError> {
    serde_json::from_slice(bytes).map_err(|source| MetadataError { what, source })
}

impl Lenient for FileKind {
    fn read(value: &Value) -> Option<Self> {
        Some(Self::from_number(integer(value).unwrap_or(3)))
    }
}

json_object! {
    /// File metadata: written once, at upload, and never changed.
    FileMetadata, "file metadata",
    {
        /// File name with extension; of a Live Photo the name of its picture.
        title "title": String,
        /// What it is.
        kind "fileType": FileKind,
        /// Capture time, microseconds since 1970.
        creation_time "creationTime": i64,
        /// Modification time, microseconds since 1970.
        modification_time "modificationTime": i64,
    }
    {
        /// Degrees north; with `longitude` or not at all.
        latitude "latitude": Decimal,
        /// Degrees east.
        longitude "longitude": Decimal,
        /// Content hash: base64 of BLAKE2b-512, for a Live Photo of both parts joined by `:`.
        hash "hash": String,
        /// Content hash of a Live Photo's picture, as old clients wrote it.
        image_hash "imageHash": String,
        /// Content hash of a Live Photo's video, as old clients wrote it.
        video_hash "videoHash": String,
        /// Length of a video in whole seconds.
        duration "duration": i64,
        /// The thumbnail is the placeholder.
        has_static_thumbnail "hasStaticThumbnail": bool,
        /// The id of the phone's own library.
        local_id "localID": String,
        /// The phone's album.
        device_folder "deviceFolder": String,
        /// The phone's own sub-type.
        sub_type "subType": i64,
        /// Version of this object, as phones count it; 3 is current.
        version "version": i64,
    }
}

impl FileMetadata {
    /// The content hash, whichever way it was written.
    pub fn content_hash(&self) -> Option<String> {
        let parts = || Some(format!("{}:{}", self.image_hash.as_deref()?, self.video_hash.as_deref()?));
        self.hash.clone().or_else(parts)
    }

    /// The place, if there is one that can be believed.
    pub fn place(&self) -> Option<Place> {
        Place::new(self.latitude.as_ref()?.value(), self.longitude.as_ref()?.value())
    }

    /// Sets both coordinates, or neither.
    pub fn set_place(&mut self, place: Option<Place>) {
        self.latitude = place.and_then(|place| Decimal::new(place.latitude()));
        self.longitude = place.and_then(|place| Decimal::new(place.longitude()));
    }

    /// Metadata with the required fields and nothing else.
    pub fn new(title: String, kind: FileKind, creation_time: i64, modification_time: i64) -> Self {
        Self {
            title,
            kind,
            creation_time,
            modification_time,
            latitude: None,
            longitude: None,
            hash: None,
            image_hash: None,
            video_hash: None,
            duration: None,
            has_static_thumbnail: None,
            local_id: None,
            device_folder: None,
            sub_type: None,
            version: None,
            unknown: UnknownKeys::new(),
        }
    }
}

json_object! {
    /// Private magic metadata of a file: what its owner alone decides.
    #[derive(Default)]
    PrivateMagicMetadata, "private magic metadata of a file",
    {}
    {
        /// 0 visible, 1 archived, 2 hidden.
        visibility "visibility": i64,
    }
}

json_object! {
    /// Public magic metadata of a file: seen by everybody with whom it is shared.
    #[derive(Default)]
    PublicMagicMetadata, "public magic metadata of a file",
    {}
    {
        /// Capture time as corrected by the owner, microseconds since 1970.
        edited_time "editedTime": i64,
        /// Name as changed by the owner.
        edited_name "editedName": String,
        /// Caption; numbers in old data are read as their digits.
        caption "caption": String,
        /// Who added it to a shared album by a link.
        uploader_name "uploaderName": String,
        /// Width in pixels, as displayed.
        width "w": i64,
        /// Height in pixels, as displayed.
        height "h": i64,
        /// Degrees north, as corrected by the owner.
        latitude "lat": Decimal,
        /// Degrees east, as corrected by the owner.
        longitude "long": Decimal,
        /// ISO 8601 local capture time without zone.
        date_time "dateTime": String,
        /// Zone of `date_time`, `±HH:mm`.
        offset_time "offsetTime": String,
        /// Camera maker.
        camera_make "cameraMake": String,
        /// Camera model.
        camera_model "cameraModel": String,
        /// 1: clients do not stream this video.
        streaming_version "sv": i64,
        /// Where the video of a motion photo begins, in bytes.
        motion_video_index "mvi": i64,
        /// There is no real thumbnail.
        no_thumbnail "noThumb": bool,
        /// 1: panorama.
        media_type "mediaType": i64,
    }
}

json_object! {
    /// Private magic metadata of a collection.
    #[derive(Default)]
    PrivateCollectionMetadata, "private magic metadata of a collection",
    {}
    {
        /// 0 visible, 1 archived, 2 hidden.
        visibility "visibility": i64,
        /// 0 none, 1 the default hidden collection, 2 a set shared by a quick link.
        sub_type "subType": i64,
        /// 1: pinned.
        order "order": i64,
    }
}

json_object! {
    /// Public magic metadata of a collection.
    #[derive(Default)]
    PublicCollectionMetadata, "public magic metadata of a collection",
    {}
    {
        /// Oldest first.
        ascending "asc": bool,
        /// The file shown as its cover.
        cover_id "coverID": i64,
        /// How it is laid out; `masonry` if absent.
        layout "layout": String,
    }
}

json_object! {
    /// Magic metadata of a collection that somebody else shares with this account.
    #[derive(Default)]
    ShareeCollectionMetadata, "magic metadata of a shared collection",
    {}
    {
        /// 0 visible, 1 archived, 2 hidden.
        visibility "visibility": i64,
        /// No notices of new files.
        mute "mute": bool,
        /// 1: pinned.
        order "order": i64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_names_and_integers() {
        let mut metadata = FileMetadata::new("a.jpg".into(), FileKind::Image, 1_600_000_000_000_000, 2);
        metadata.set_place(Place::new(48.0, 2.5));
        metadata.duration = Some(3);
        assert_eq!(
            String::from_utf8(metadata.to_json()).unwrap(),
            r#"{"title":"a.jpg","fileType":0,"creationTime":1600000000000000,"modificationTime":2,"latitude":48.0,"longitude":2.5,"duration":3}"#
        );
        let public = PublicMagicMetadata {
            width: Some(4),
            motion_video_index: Some(5),
            no_thumbnail: Some(true),
            ..Default::default()
        };
        assert_eq!(String::from_utf8(public.to_json()).unwrap(), r#"{"w":4,"mvi":5,"noThumb":true}"#);
    }

    #[test]
    fn unknown_keys_and_exact_numbers_come_back() {
        let json = br#"{"title":"a","fileType":7,"creationTime":1,"modificationTime":2,"latitude":0.1,"longitude":-1,"x":{"y":[1,null]}}"#;
        let metadata = FileMetadata::from_json(json).unwrap();
        assert_eq!(metadata.kind, FileKind::Other(7));
        assert_eq!(metadata.unknown.len(), 1);
        assert_eq!(metadata.to_json(), json);
    }

    #[test]
    fn reading_is_lenient() {
        let json = br#"{"title":1234,"fileType":1.0,"creationTime":"5","modificationTime":6.0,"latitude":null,"hash":{},"duration":1.9}"#;
        let metadata = FileMetadata::from_json(json).unwrap();
        assert_eq!((metadata.title.as_str(), metadata.kind), ("1234", FileKind::Video));
        assert_eq!((metadata.creation_time, metadata.modification_time, metadata.duration), (5, 6, Some(1)));
        assert_eq!((metadata.hash, metadata.latitude), (None, None));
        let public =
            PublicMagicMetadata::from_json(br#"{"caption":2021,"noThumb":1,"w":"12","editedName":null}"#)
                .unwrap();
        assert_eq!(
            (public.caption.as_deref(), public.no_thumbnail, public.width),
            (Some("2021"), Some(true), Some(12))
        );
    }

    #[test]
    fn what_is_required_is_required() {
        for json in [
            &b"{}"[..],
            b"[]",
            b"",
            b"{\"title\":\"a\",\"fileType\":0,\"creationTime\":null,\"modificationTime\":2}",
        ] {
            assert!(FileMetadata::from_json(json).is_err());
        }
        assert!(PrivateMagicMetadata::from_json(b"{}").is_ok());
    }

    #[test]
    fn hashes_and_places() {
        let json = br#"{"title":"a","fileType":2,"creationTime":1,"modificationTime":2,"imageHash":"i","videoHash":"v","latitude":0,"longitude":0}"#;
        let metadata = FileMetadata::from_json(json).unwrap();
        assert_eq!(metadata.content_hash().as_deref(), Some("i:v"));
        assert_eq!(metadata.place(), None);
    }
}
