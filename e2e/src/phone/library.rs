//! The media library of a simulated phone.

use super::print;
use super::state::State;
use darkslide_client::catalog::DeviceAlbumKey;
use darkslide_client::library::device::{AssetId, AssetKind, DeviceAsset, Locality, Motion};
use darkslide_client::library::{DeviceAlbum, Library, LibraryChanges, LibraryError, Part};
use darkslide_crypto::ContentHash;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What lies on the phone, and in its library's cloud.
pub(crate) struct Shelf {
    pub(crate) assets: BTreeMap<AssetId, DeviceAsset>,
    /// What each is called now, by what it was called first.
    pub(crate) albums: BTreeMap<String, String>,
    pub(crate) fetches: BTreeMap<AssetId, u32>,
    pub(crate) cloud_failures: u32,
    /// Whether the cloud gives no videos of Live Photos.
    pub(crate) holds_motions_back: bool,
    /// How often all assets were listed, and how many were told in all.
    pub(crate) listings: u32,
    pub(crate) assets_told: usize,
    /// What was told with which token. The library forgets, as PhotoKit and MediaStore do.
    told: BTreeMap<u64, BTreeMap<AssetId, DeviceAsset>>,
    contents: BTreeMap<AssetId, (u64, usize)>,
    /// What adjusted pictures were taken as: the system keeps that beside what it shows.
    originals: BTreeMap<AssetId, (u64, usize)>,
    next: u64,
    folder: PathBuf,
}

/// Tokens that the library remembers.
const TOLD_KEPT: usize = 8;

/// Bytes that begin like a file of their kind and are unlike those of any other seed.
fn content(kind: AssetKind, seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = match kind {
        AssetKind::Video => b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom".to_vec(),
        AssetKind::Photo | AssetKind::LivePhoto => vec![0xff, 0xd8, 0xff, 0xe0],
    };
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 16).to_le_bytes()[..6]);
    }
    bytes.truncate(length.max(32));
    bytes
}

/// Bytes of a Live Photo's video.
fn motion(seed: u64) -> Vec<u8> {
    let mut bytes = b"\0\0\0\x14ftypqt  \0\0\0\0qt  ".to_vec();
    bytes.extend(content(AssetKind::Photo, seed + 1_000_000, 3000));
    bytes
}

impl Shelf {
    pub(crate) fn new(folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        Self {
            assets: BTreeMap::new(),
            albums: BTreeMap::new(),
            fetches: BTreeMap::new(),
            cloud_failures: 0,
            holds_motions_back: false,
            listings: 0,
            assets_told: 0,
            told: BTreeMap::new(),
            contents: BTreeMap::new(),
            originals: BTreeMap::new(),
            next: u64::from(std::process::id()) << 32,
            folder,
        }
    }

    /// Adds an asset of bytes that nobody else has.
    pub(crate) fn add(&mut self, kind: AssetKind, length: usize, now: i64) -> AssetId {
        let seed = NEXT_SEED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.add_content(kind, (seed, length), now)
    }

    /// Adds an asset of these bytes.
    pub(crate) fn add_content(&mut self, kind: AssetKind, content: (u64, usize), now: i64) -> AssetId {
        self.next += 1;
        let extension = if kind == AssetKind::Video { "MP4" } else { "JPG" };
        let id = AssetId::new(&format!("asset-{}", self.next));
        let number = self.next & 0xffff;
        let asset = DeviceAsset {
            id: id.clone(),
            name: format!("IMG_{number:04}.{extension}"),
            kind,
            fingerprint: print(0, now, 1),
            taken: now,
            albums: BTreeSet::new(),
            favourite: false,
            locality: Locality::Here,
            motion: if kind == AssetKind::LivePhoto { Motion::Here } else { Motion::None },
        };
        self.assets.insert(id.clone(), asset);
        self.contents.insert(id.clone(), content);
        self.write(&id, now, 1);
        id
    }

    pub(crate) fn copy_of(&mut self, other: &AssetId, now: i64) -> AssetId {
        let (kind, content) = (self.assets[other].kind, self.contents[other]);
        self.add_content(kind, content, now)
    }

    pub(crate) fn edit(&mut self, id: &AssetId, length: usize, now: i64) {
        let seed = NEXT_SEED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.contents.insert(id.clone(), (seed, length));
        let token = self.assets[id].fingerprint.inode + 1;
        self.write(id, now, token);
    }

    /// Other bytes are shown from now on; what it was taken as stays beside them.
    pub(crate) fn adjust(&mut self, id: &AssetId, length: usize, now: i64) {
        let taken_as = self.contents[id];
        self.originals.entry(id.clone()).or_insert(taken_as);
        self.edit(id, length, now);
    }

    /// What it was taken as is shown again. The library tells that as one more change.
    pub(crate) fn revert(&mut self, id: &AssetId, now: i64) {
        let taken_as = self.originals.remove(id).expect("it was adjusted");
        self.contents.insert(id.clone(), taken_as);
        let token = self.assets[id].fingerprint.inode + 1;
        self.write(id, now, token);
    }

    fn write(&mut self, id: &AssetId, now: i64, token: u64) {
        let bytes = self.bytes(id);
        std::fs::write(self.path(id), &bytes).unwrap();
        let motion = motion(self.contents[id].0).len();
        let motion = if self.asset(id).kind == AssetKind::LivePhoto { motion } else { 0 };
        self.asset(id).fingerprint = print((bytes.len() + motion) as u64, now, token);
    }

    pub(crate) fn remove(&mut self, id: &AssetId) {
        self.assets.remove(id);
        // One in the cloud has no file here.
        let _ = std::fs::remove_file(self.path(id));
    }

    pub(crate) fn lose_file(&self, id: &AssetId) {
        std::fs::remove_file(self.path(id)).unwrap();
    }

    /// Whether the library has an asset whose file is not there.
    pub(crate) fn is_lost(&self, id: &AssetId) -> bool {
        !self.path(id).exists()
    }

    /// What changed since a token was given. Where an original lies is no change: PhotoKit tells none.
    fn changes(&mut self, since: Option<&[u8]>) -> LibraryChanges {
        let before = since.and_then(|token| self.told.get(&u64::from_le_bytes(token.try_into().ok()?)));
        let is_known = |asset: &DeviceAsset| {
            let known = before.and_then(|before| before.get(&asset.id));
            known.is_some_and(|known| DeviceAsset { locality: asset.locality, ..known.clone() } == *asset)
        };
        let changed: Vec<_> = self.assets.values().filter(|asset| !is_known(asset)).cloned().collect();
        let gone = before.into_iter().flat_map(BTreeMap::keys).filter(|id| !self.assets.contains_key(*id));
        let gone = gone.cloned().collect();
        let is_everything = before.is_none();
        self.listings += u32::from(is_everything);
        self.assets_told += changed.len();
        let token = self.told.last_key_value().map_or(1, |(token, _)| token + 1);
        self.told.insert(token, self.assets.clone());
        while self.told.len() > TOLD_KEPT {
            self.told.pop_first();
        }
        LibraryChanges { changed, gone, is_everything, token: token.to_le_bytes().to_vec() }
    }

    /// Whether something changed since it was last asked for that.
    fn has_news(&self) -> bool {
        let told = self.told.last_key_value().map(|(_, told)| told);
        let is_known = |asset: &DeviceAsset| {
            let known = told.and_then(|told| told.get(&asset.id));
            known.is_some_and(|known| DeviceAsset { locality: asset.locality, ..known.clone() } == *asset)
        };
        told.is_none_or(|told| told.len() != self.assets.len()) || !self.assets.values().all(is_known)
    }

    /// No token that was given is known any more.
    pub(crate) fn forget_changes(&mut self) {
        let latest = self.told.last_key_value().map_or(0, |(token, _)| *token);
        self.told = BTreeMap::from([(latest + 1, BTreeMap::new())]);
    }

    pub(crate) fn asset(&mut self, id: &AssetId) -> &mut DeviceAsset {
        self.assets.get_mut(id).unwrap()
    }

    pub(crate) fn content(&self, id: &AssetId) -> (u64, usize) {
        self.contents[id]
    }

    fn bytes(&self, id: &AssetId) -> Vec<u8> {
        let (seed, length) = self.contents[id];
        content(self.assets[id].kind, seed, length)
    }

    fn path(&self, id: &AssetId) -> PathBuf {
        self.folder.join(format!("{}.bin", String::from_utf8_lossy(&id.0)))
    }

    /// The content hash as the vault knows it, with a Live Photo's video or without.
    pub(crate) fn content_hash(&self, id: &AssetId, with_motion: bool) -> String {
        let still = ContentHash::of(&self.bytes(id));
        if with_motion && self.assets[id].kind == AssetKind::LivePhoto {
            let video = ContentHash::of(&motion(self.contents[id].0));
            return ContentHash::live_photo(still, video).unwrap().to_string();
        }
        still.to_string()
    }

    /// What is here is read where it lies. Videos of Live Photos are exported to be read, as PhotoKit does.
    fn open(&mut self, id: &AssetId, part: Part, copy: &Path) -> Result<Opened, LibraryError> {
        let asset = self.assets.get(id).ok_or(LibraryError::Gone)?;
        let is_here = asset.locality == Locality::Here;
        if is_here && part == Part::Main {
            return Ok(Opened::InPlace(self.path(id)));
        }
        if !is_here && self.cloud_failures > 0 {
            self.cloud_failures -= 1;
            return Err(LibraryError::Unavailable("iCloud does not answer".to_owned()));
        }
        if !is_here && part == Part::Motion && self.holds_motions_back {
            return Err(LibraryError::Unavailable("iCloud does not have the video".to_owned()));
        }
        let bytes = match part {
            Part::Main => self.bytes(id),
            Part::Motion => motion(self.contents[id].0),
        };
        std::fs::write(copy, &bytes)?;
        if part == Part::Main {
            *self.fetches.entry(id.clone()).or_default() += 1;
        }
        Ok(Opened::Copied { fetched: if is_here { 0 } else { bytes.len() as u64 } })
    }
}

/// How an original was made readable.
enum Opened {
    InPlace(PathBuf),
    /// As a copy, of which so many bytes came from the cloud.
    Copied {
        fetched: u64,
    },
}

static NEXT_SEED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);

/// The library as the engine sees it.
pub(crate) struct SimulatedLibrary {
    id: Vec<u8>,
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for SimulatedLibrary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SimulatedLibrary").finish_non_exhaustive()
    }
}

impl SimulatedLibrary {
    pub(crate) fn new(name: &str, state: Arc<Mutex<State>>) -> Self {
        Self { id: format!("library:{name}").into_bytes(), state }
    }

    pub(crate) fn key(&self, album: &str) -> DeviceAlbumKey {
        DeviceAlbumKey { root: self.id.clone(), folder: album.as_bytes().to_vec() }
    }
}

impl Library for SimulatedLibrary {
    fn id(&self) -> &[u8] {
        &self.id
    }

    fn albums(&self) -> BoxFuture<'_, Result<Vec<DeviceAlbum>, LibraryError>> {
        let names = self.state.lock().unwrap().shelf.albums.clone();
        let album = |(first, name): (String, String)| DeviceAlbum { key: self.key(&first), name };
        let albums = names.into_iter().map(album).collect();
        async move { Ok(albums) }.boxed()
    }

    fn changes<'l>(&'l self, since: Option<&'l [u8]>) -> BoxFuture<'l, Result<LibraryChanges, LibraryError>> {
        let changes = self.state.lock().unwrap().shelf.changes(since);
        async move { Ok(changes) }.boxed()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        let news = Arc::clone(&self.state.lock().unwrap().news);
        async move {
            while !self.state.lock().unwrap().shelf.has_news() {
                news.notified().await;
            }
        }
        .boxed()
    }

    fn locality<'l>(&'l self, asset: &'l AssetId) -> BoxFuture<'l, Result<Locality, LibraryError>> {
        let state = self.state.lock().unwrap();
        let locality = state.shelf.assets.get(asset).map(|asset| asset.locality).ok_or(LibraryError::Gone);
        async move { locality }.boxed()
    }

    fn open<'l>(
        &'l self,
        asset: &'l AssetId,
        part: Part,
        copy: &'l Path,
    ) -> BoxFuture<'l, Result<Option<PathBuf>, LibraryError>> {
        let mut state = self.state.lock().unwrap();
        let opened = state.shelf.open(asset, part, copy).map(|opened| match opened {
            Opened::InPlace(path) => Some(path),
            Opened::Copied { fetched } => {
                state.fetch(fetched);
                None
            }
        });
        async move { opened }.boxed()
    }

    fn thumbnail<'l>(&'l self, _asset: &'l AssetId) -> BoxFuture<'l, Option<Vec<u8>>> {
        async move { Some(b"\xff\xd8\xff\xd9".to_vec()) }.boxed()
    }
}
