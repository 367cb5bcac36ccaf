//! What a device's own library says of its pictures: the values that the rules judge. They are facts, told by MediaStore, PhotoKit or a
//! simulated phone; nothing is read for them.

use std::collections::BTreeSet;

use crate::catalog::{DeviceAlbumKey, Fingerprint};

/// What the library calls an asset, for as long as the asset is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AssetId(pub Vec<u8>);

impl AssetId {
    /// From the library's own text.
    pub fn new(id: &str) -> Self {
        Self(id.as_bytes().to_vec())
    }
}

/// What an asset is, as far as the rules tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AssetKind {
    /// A still picture, or a motion photo in one file.
    Photo,
    /// A video.
    Video,
    /// A still and a video that are one unit.
    LivePhoto,
}

/// Where an original lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Locality {
    /// On the device.
    Here,
    /// In the library's cloud: reading it fetches it first.
    Cloud,
}

/// What is known of a Live Photo's video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Motion {
    /// There is none: the asset is no Live Photo, or its video is in the same file.
    None,
    /// It can be read.
    Here,
    /// The library will deliver it.
    Promised {
        /// Until when that is worth waiting for, µs since the epoch.
        until: i64,
    },
}

/// One asset as the library lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAsset {
    /// What the library calls it.
    pub id: AssetId,
    /// The name of its file, or of the still's.
    pub name: String,
    /// What it is.
    pub kind: AssetKind,
    /// Bytes of all its components, modification time and the library's version token, which stands for the inode.
    pub fingerprint: Fingerprint,
    /// When it was taken, or recorded, µs since the epoch.
    pub taken: i64,
    /// All albums that it is in.
    pub albums: BTreeSet<DeviceAlbumKey>,
    /// The owner marked it.
    pub favourite: bool,
    /// Where the original lies.
    pub locality: Locality,
    /// Its video, if it is a Live Photo.
    pub motion: Motion,
}

impl DeviceAsset {
    /// Bytes of the copies that are made to read it, at most: what lies in a cloud is fetched, and the video of a Live Photo is exported
    /// wherever it lies.
    pub fn copied_bytes(&self) -> u64 {
        let is_copied = self.locality == Locality::Cloud || self.motion == Motion::Here;
        if is_copied { self.fingerprint.size } else { 0 }
    }
}

/// What the owner chose for a device album. Who chose nothing has neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlbumChoice {
    /// Its pictures are backed up.
    Selected,
    /// Its pictures are not, whatever other albums they are in.
    Excluded,
}
