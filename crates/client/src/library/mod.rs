//! Where pictures come from: what a scan of a device finds, before anything has been read.
//!
//! Three kinds: the [`folder`], whose scan costs one `stat` a file, opens nothing and decides nothing; the [`archive`] that another program
//! exported, whose directory is all that is read; and a device's own [`Library`], which knows its assets by ids and puts them into albums.

pub mod archive;
pub mod device;
pub mod folder;
pub mod folder_library;
mod folder_listing;
pub mod opened;
pub mod ours;
pub mod selection;
pub mod settle;
pub(crate) mod tree;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use darkslide_media::names::Ignored;

use futures_util::future::BoxFuture;

use crate::catalog::{DeviceAlbumKey, Fingerprint};
use device::{AssetId, DeviceAsset, Locality};

/// What an asset is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The picture or video; of a Live Photo the still.
    Main,
    /// A Live Photo's video.
    Motion,
}

/// Why a library does not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// It is no longer there: the next look at the library says what became of it.
    #[error("it is no longer in the device's library")]
    Gone,
    /// Its cloud does not deliver it now.
    #[error("the device's library does not deliver it now: {0}")]
    Unavailable(String),
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] std::io::Error),
}

/// What changed in a library since it was last looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LibraryChanges {
    /// Assets that came or changed, as they are now.
    pub changed: Vec<DeviceAsset>,
    /// Assets that are no longer there.
    pub gone: Vec<AssetId>,
    /// Whether these are all assets there are, since nothing is known of what was before.
    pub is_everything: bool,
    /// What to ask with the next time; empty if the library cannot tell what changes.
    pub token: Vec<u8>,
}

/// A device's own library of pictures, as MediaStore, PhotoKit, simulated phones and a
/// [folder tree](folder_library::FolderLibrary) are one. It tells facts; what is done with them
/// is for the [rules](crate::backup::rules).
pub trait Library: Send + Sync + std::fmt::Debug {
    /// What the catalog files its assets under, for ever.
    fn id(&self) -> &[u8];

    /// Whether an asset's id says where it is, not which one it is: then other bytes under the same id are an edit only if the picture itself
    /// says so.
    fn ids_are_places(&self) -> bool {
        false
    }

    /// All albums: what each is known by, and its name.
    fn albums(&self) -> BoxFuture<'_, Result<Vec<DeviceAlbum>, LibraryError>>;

    /// What changed since the token was given; everything, where there is none or the library no longer knows it. That an original went to
    /// the cloud, or came from there, need not be told.
    fn changes<'l>(&'l self, since: Option<&'l [u8]>) -> BoxFuture<'l, Result<LibraryChanges, LibraryError>>;

    /// Waits until something changed since [`changes`](Self::changes) was last asked for; for ever, where the system tells no such thing.
    fn changed(&self) -> BoxFuture<'_, ()>;

    /// Where an original lies at this moment.
    fn locality<'l>(&'l self, asset: &'l AssetId) -> BoxFuture<'l, Result<Locality, LibraryError>>;

    /// Makes an original readable: where it lies on the device as a file, or as a copy at `copy`, which it may have to fetch for that.
    fn open<'l>(
        &'l self,
        asset: &'l AssetId,
        part: Part,
        copy: &'l Path,
    ) -> BoxFuture<'l, Result<Option<PathBuf>, LibraryError>>;

    /// The system's own small picture of it, as a JPEG; none where it has none.
    fn thumbnail<'l>(&'l self, asset: &'l AssetId) -> BoxFuture<'l, Option<Vec<u8>>>;
}

/// One file that a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its path under the root.
    pub path: PathBuf,
    /// What one `stat` says of it.
    pub fingerprint: Fingerprint,
}

/// Something that a scan passed over.
#[derive(Debug)]
pub struct PassedOver {
    /// The file or folder: its whole path.
    pub path: PathBuf,
    /// Why.
    pub reason: PassReason,
}

/// Why a scan passed something over.
#[derive(Debug, thiserror::Error)]
pub enum PassReason {
    /// Its name says so.
    #[error("{0}")]
    Ignored(Ignored),
    /// Its owner said so.
    #[error("the watch folder excludes {0:?}")]
    Excluded(String),
    /// A folder of ours.
    #[error("Darkslide keeps there what it knows itself")]
    Own,
    /// The folder of a server, of this computer's or another's.
    #[error("a Darkslide server keeps its data there")]
    ServerData,
    /// A file called like a database of ours: see [`ours`].
    #[error("it is called as a database of Darkslide is, and those are never opened")]
    Database,
    /// Links are not followed: what they point to may lie outside, or be found twice, or contain the link.
    #[error("it is a symbolic link, and links are not followed")]
    Link,
    /// `lost+found` at the root of a disk, which nobody but the system may enter.
    #[error("a check of the disk puts there what it finds")]
    LostAndFound,
    /// A socket, pipe or device.
    #[error("it is not a file")]
    NotAFile,
    /// The system refused. What lies inside an unreadable folder is unknown, which is not the same as absent.
    #[error("it cannot be read: {0}")]
    Unreadable(std::io::Error),
}

impl PassReason {
    /// Whether somebody should do something about it.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Unreadable(_))
    }

    /// Whether it went away before it was looked at.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Unreadable(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// What a scan of one root found.
#[derive(Debug)]
pub struct Scan {
    /// The root: absolute, links resolved.
    pub root: PathBuf,
    /// The files, in the order of their paths' bytes.
    pub files: Vec<Found>,
    /// Everything else that was met.
    pub passed_over: Vec<PassedOver>,
}

/// Which device album a file belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlbumRule {
    /// All files into one album of this name, whatever the root.
    Named(String),
    /// One album a root, named after it.
    PerRoot,
    /// One album a folder: named after its path under the root, or after the root for files directly in it.
    PerFolder,
    /// By the whole path of the folder, as an import has found out.
    ByFolder(Arc<FolderAlbums>),
}

/// Which device album each folder belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderAlbums {
    /// By the whole path of the folder.
    pub albums: HashMap<PathBuf, DeviceAlbum>,
    /// For any other.
    pub otherwise: DeviceAlbum,
}

/// A device album: what it is known by, and what its collection is called when one must be made.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceAlbum {
    /// What the catalog links it by.
    pub key: DeviceAlbumKey,
    /// For people. Bytes that are no UTF-8 are replaced here; the key keeps them.
    pub name: String,
}

impl AlbumRule {
    /// The album of the file at `path` under `root`.
    pub fn album_of(&self, root: &Path, path: &Path) -> DeviceAlbum {
        let key = |folder: &Path| DeviceAlbumKey { root: raw(root), folder: raw(folder) };
        let of_root = || DeviceAlbum { key: key(Path::new("")), name: root_name(root) };
        match self {
            Self::Named(name) => DeviceAlbum {
                key: DeviceAlbumKey { root: Vec::new(), folder: name.clone().into_bytes() },
                name: name.clone(),
            },
            Self::PerRoot => of_root(),
            Self::PerFolder => match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                Some(folder) => {
                    DeviceAlbum { key: key(folder), name: folder.to_string_lossy().replace('\\', "/") }
                }
                None => of_root(),
            },
            Self::ByFolder(folders) => {
                let whole = root.join(path);
                let known = whole.parent().and_then(|folder| folders.albums.get(folder));
                known.unwrap_or(&folders.otherwise).clone()
            }
        }
    }
}

fn root_name(root: &Path) -> String {
    root.file_name().map_or_else(|| root.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// A path as the catalog keeps it: its bytes, which need not be UTF-8.
pub fn raw(path: &Path) -> Vec<u8> {
    path.as_os_str().as_encoded_bytes().to_vec()
}

/// A name as text, to be compared and not to be shown: no two names have one text. A byte that is no UTF-8 is a character of its own, of the last ones that
/// Unicode leaves to private use.
pub(crate) fn text_of(name: &OsStr) -> String {
    const BYTES: u32 = 0x0010_ff00;
    let mut text = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|byte| char::from_u32(BYTES | u32::from(*byte))));
    }
    text
}

/// The path that [`raw`] was given.
#[cfg(unix)]
pub fn path_of(raw: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    PathBuf::from(std::ffi::OsStr::from_bytes(raw))
}

/// The path that [`raw`] was given; unpaired surrogates do not survive.
#[cfg(not(unix))]
pub fn path_of(raw: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(raw).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Once, of two names that are no UTF-8 a still and a video were one Live Photo.
    #[test]
    #[cfg(unix)]
    fn no_two_names_are_one_text() {
        let text = |name: &[u8]| text_of(path_of(name).as_os_str());
        assert_eq!(text("caf\u{e9}.jpg".as_bytes()), "caf\u{e9}.jpg");
        let names: [&[u8]; 5] =
            [b"caf\xe9.jpg", b"caf\xe8.jpg", b"caf.jpg", "caf\u{fffd}.jpg".as_bytes(), b"caf\xff.jpg"];
        let texts: std::collections::HashSet<String> = names.iter().map(|name| text(name)).collect();
        assert_eq!(texts.len(), names.len(), "{texts:?}");
        assert!(texts.iter().all(|text| text.starts_with("caf")), "{texts:?}");
    }

    #[test]
    fn albums_by_rule() {
        for (rule, path, folder, name) in [
            (AlbumRule::PerRoot, "a.jpg", "", "Pictures"),
            (AlbumRule::PerRoot, "2019/Paris/a.jpg", "", "Pictures"),
            (AlbumRule::PerFolder, "a.jpg", "", "Pictures"),
            (AlbumRule::PerFolder, "2019/Paris/a.jpg", "2019/Paris", "2019/Paris"),
        ] {
            let album = rule.album_of(Path::new("/home/me/Pictures"), Path::new(path));
            assert_eq!(
                (album.key.folder.as_slice(), album.name.as_str()),
                (folder.as_bytes(), name),
                "{rule:?}"
            );
            assert_eq!(album.key.root, b"/home/me/Pictures");
        }
        let named = AlbumRule::Named("Ski".into());
        let albums = ["/a", "/b"].map(|root| named.album_of(Path::new(root), Path::new("x/y.jpg")));
        assert_eq!(albums[0], albums[1]);
        assert_eq!(albums[0].name, "Ski");
    }
}
