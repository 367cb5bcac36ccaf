//! A folder tree as a [`Library`]: for programs that embed the engine, and for pictures that must obey the owner's rules.
//!
//! The command line and the agent do not go this way: `backup/survey.rs` is faster and remembers across processes. Here every folder with
//! pictures in it is an album, and a picture is known by its place: by the bytes of its path under the root, for device and inode are others in
//! every copy of a tree. So an id says where a picture is, not which one it is, and the engine is told that
//! ([`Library::ids_are_places`]).
//!
//! A look at an unchanged tree costs one `stat` a file. Files are looked into when they are new or changed, and all of them once in the life
//! of the process, for what was seen is kept in memory alone. A root that is not itself is an error: its pictures are not gone. Nor are those of
//! a disk that was mounted below the root when the same process saw them, and is not now.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use darkslide_media::dates::ZoneRule;
use darkslide_media::probe::micros_of;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use super::archive::Archives;
use super::device::{AssetId, AssetKind, Locality};
use super::folder;
use super::folder_listing::{Listing, Look, device_of_token};
use super::settle::Settling;
use super::{AlbumRule, DeviceAlbum, Library, LibraryChanges, LibraryError, Part, path_of};
use crate::backup::identify::{Surroundings, subject_of};
use crate::catalog::{Catalog, DeviceAlbumKey, Fingerprint};
use crate::folder::mounts;
use crate::library::selection::Exclusions;
use crate::thumbnail::Thumbnailer;
use crate::watch::health::{self, Health, Known, Offline, Seen};
use crate::watch::{Removals, Watcher};

/// Known pictures that are looked for on a disk with another number.
const SAMPLE: usize = 64;

/// What tells the present.
pub type PresentTime = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// How a tree is looked at.
#[derive(Clone)]
pub struct FolderSettings {
    /// The zone of dates that name none.
    pub zone: Arc<ZoneRule>,
    /// How long files are left alone after they arrived or changed; none where nobody writes meanwhile.
    pub settling: Option<Settling>,
    /// The present, by which files settle.
    pub now: PresentTime,
    /// Who makes the thumbnails: a folder has none of its own.
    pub thumbnailer: Thumbnailer,
}

impl Default for FolderSettings {
    fn default() -> Self {
        Self {
            zone: Arc::new(darkslide_media::dates::utc),
            settling: Some(Settling::default()),
            now: Arc::new(SystemTime::now),
            thumbnailer: Thumbnailer::new(),
        }
    }
}

impl fmt::Debug for FolderSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FolderSettings").field("settling", &self.settling).finish_non_exhaustive()
    }
}

/// A folder tree.
#[derive(Debug)]
pub struct FolderLibrary {
    id: Vec<u8>,
    root: PathBuf,
    settings: FolderSettings,
    catalog: Catalog,
    /// Held by whoever looks.
    looking: tokio::sync::Mutex<()>,
    listing: Mutex<Option<Arc<Listing>>>,
    watched: Mutex<Watched>,
    news: Arc<Notify>,
}

/// What is known of changes.
#[derive(Debug, Default)]
struct Watched {
    /// Begun by whoever first waits for changes.
    watcher: Option<Watcher>,
    /// Whether what happened before there was a watcher has been looked for.
    is_caught_up: bool,
    has_news: bool,
    /// How far was told what changed.
    told: Option<u64>,
}

impl Watched {
    /// Whether something changed since that was last told.
    fn has_news(&mut self) -> bool {
        let is_dirty = self.watcher.as_mut().is_some_and(|watcher| !watcher.take().is_clean());
        self.has_news |= is_dirty;
        self.has_news
    }

    /// The same; until something else happens, it is no news any more.
    fn take_news(&mut self) -> bool {
        let had_news = self.has_news();
        self.has_news = false;
        had_news
    }
}

/// What is known of the tree from before a look.
struct Past {
    health: Known,
    /// Some of the pictures, and the bytes of those that are one file.
    sample: Vec<(PathBuf, Option<u64>)>,
}

impl Past {
    fn is_familiar(&self, root: &Path) -> bool {
        let is_there = |(path, size): &(PathBuf, Option<u64>)| {
            let now = root.join(path).metadata();
            now.is_ok_and(|now| size.is_none_or(|size| now.len() == size))
        };
        self.sample.iter().any(is_there)
    }
}

impl FolderLibrary {
    /// The tree below `root`, which need not be there now. It is filed under `name` for ever, wherever its disk is mounted then; a tree with
    /// other pictures gets another name. `catalog` keeps what the engine was told of it.
    pub fn new(catalog: Catalog, name: &str, root: PathBuf, settings: FolderSettings) -> Self {
        Self {
            // No root that is backed up as a folder is called so.
            id: format!("folder:{name}").into_bytes(),
            root,
            settings,
            catalog,
            looking: tokio::sync::Mutex::default(),
            listing: Mutex::default(),
            watched: Mutex::default(),
            news: Arc::default(),
        }
    }

    /// The id of a folder's album.
    pub fn album_key(&self, folder: &Path) -> DeviceAlbumKey {
        album(&self.id, &self.root, folder).key
    }

    fn known(&self) -> Option<Arc<Listing>> {
        lock(&self.listing).clone()
    }

    async fn listing(&self) -> Result<Arc<Listing>, LibraryError> {
        match self.known() {
            Some(listing) => Ok(listing),
            None => self.look().await,
        }
    }

    /// Looks at the tree.
    async fn look(&self) -> Result<Arc<Listing>, LibraryError> {
        let _turn = self.looking.lock().await;
        let before = self.known();
        let past = match &before {
            Some(before) => past_of(before),
            None => self.past_of_catalog().await?,
        };
        let (id, root, settings) = (self.id.clone(), self.root.clone(), self.settings.clone());
        let looking = tokio::task::spawn_blocking(move || {
            let device = online(&root, past.health, || past.is_familiar(&root))?;
            let look = Look { id: &id, root: &root, settings: &settings };
            let whole = root.canonicalize()?;
            let listing = look.at_tree(before.as_deref(), device, || mounts::below(&whole))?;
            // A disk that went away meanwhile took nothing with it that was ever told.
            let has_assets = past.health.has_assets || listing.assets().next().is_some();
            online(&root, Known { device: Some(device), has_assets }, || false)?;
            Ok::<_, LibraryError>(Arc::new(listing))
        });
        let listing = looking.await.expect("a look does not panic")?;
        *lock(&self.listing) = Some(Arc::clone(&listing));
        Ok(listing)
    }

    /// What an earlier process told of it.
    async fn past_of_catalog(&self) -> Result<Past, LibraryError> {
        let unreadable = |error| LibraryError::Read(io::Error::other(error));
        let token = self.catalog.library_token(&self.id).await.map_err(unreadable)?;
        let assets = self.catalog.library_assets(&self.id).await.map_err(unreadable)?;
        let device = token.and_then(|token| device_of_token(&token.token));
        let health = Known { device, has_assets: !assets.is_empty() };
        let sample = assets.iter().step_by(assets.len() / SAMPLE + 1).map(|asset| {
            let size = (asset.kind != AssetKind::LivePhoto).then_some(asset.fingerprint.size);
            (path_of(&asset.id.0), size)
        });
        Ok(Past { health, sample: sample.collect() })
    }

    /// Where a part of an asset lies, and what it was; none of what was not told, or has no such part.
    fn place_of(listing: &Listing, asset: &AssetId, part: Part) -> Option<(PathBuf, Fingerprint)> {
        let path = path_of(&asset.0);
        let (name, fingerprint) = listing.component(&path, part)?;
        Some((path.with_file_name(name), fingerprint))
    }

    /// Begins to watch, if nobody has, and says whether something happened before that was not told.
    async fn catch_up(&self) -> bool {
        if lock(&self.watched).watcher.is_none() {
            let (root, news) = (self.root.clone(), Arc::clone(&self.news));
            let begin = move || Watcher::begin(&root, Removals::Matter, Exclusions::default(), news);
            let begun = tokio::task::spawn_blocking(begin).await.expect("watching does not panic");
            lock(&self.watched).watcher.get_or_insert(begun);
        }
        if lock(&self.watched).is_caught_up {
            return false;
        }
        let Ok(listing) = self.look().await else { return false };
        let mut watched = lock(&self.watched);
        watched.is_caught_up = true;
        watched.told != Some(listing.generation())
    }

    /// Waits until something has settled; for ever, where nothing is waited for.
    async fn something_settled(&self) {
        let until = self.known().and_then(|listing| listing.settles());
        match until {
            Some(until) => {
                let left = until.duration_since((self.settings.now)()).unwrap_or(Duration::ZERO);
                tokio::time::sleep(left).await;
            }
            None => std::future::pending().await,
        }
    }
}

impl Library for FolderLibrary {
    fn id(&self) -> &[u8] {
        &self.id
    }

    fn ids_are_places(&self) -> bool {
        true
    }

    /// As the last look at the tree saw them.
    fn albums(&self) -> BoxFuture<'_, Result<Vec<DeviceAlbum>, LibraryError>> {
        async move {
            let listing = self.listing().await?;
            Ok(listing.folders_with_assets().map(|folder| album(&self.id, &self.root, folder)).collect())
        }
        .boxed()
    }

    fn changes<'l>(&'l self, since: Option<&'l [u8]>) -> BoxFuture<'l, Result<LibraryChanges, LibraryError>> {
        async move {
            // What happens from here on is news, whether or not the look comes upon it.
            let had_news = lock(&self.watched).take_news();
            let looked = self.look().await;
            let mut watched = lock(&self.watched);
            match looked {
                Ok(listing) => {
                    watched.told = Some(listing.generation());
                    Ok(listing.changes(since))
                }
                Err(error) => {
                    watched.has_news |= had_news;
                    Err(error)
                }
            }
        }
        .boxed()
    }

    /// The system's notices, and that a file has settled. On a disk whose changes the system does not tell, nothing but the latter.
    fn changed(&self) -> BoxFuture<'_, ()> {
        async move {
            if self.catch_up().await {
                return;
            }
            while !lock(&self.watched).has_news() {
                tokio::select! {
                    () = self.news.notified() => {}
                    () = self.something_settled() => return,
                }
            }
        }
        .boxed()
    }

    fn locality<'l>(&'l self, asset: &'l AssetId) -> BoxFuture<'l, Result<Locality, LibraryError>> {
        async move {
            let listing = self.listing().await?;
            let place = Self::place_of(&listing, asset, Part::Main);
            place.map(|_| Locality::Here).ok_or(LibraryError::Gone)
        }
        .boxed()
    }

    /// Where it lies. What is no longer what was told is gone: what is there now is told by the next look.
    fn open<'l>(
        &'l self,
        asset: &'l AssetId,
        part: Part,
        _copy: &'l Path,
    ) -> BoxFuture<'l, Result<Option<PathBuf>, LibraryError>> {
        async move {
            let listing = self.listing().await?;
            let (path, told) = Self::place_of(&listing, asset, part).ok_or(LibraryError::Gone)?;
            let path = self.root.join(path);
            let looking = tokio::task::spawn_blocking(move || is_as_told(&path, told).map(|is| (is, path)));
            match looking.await.expect("a stat does not panic") {
                Ok((true, path)) => Ok(Some(path)),
                Ok((false, _)) => Err(LibraryError::Gone),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(LibraryError::Gone),
                Err(error) => Err(LibraryError::Read(error)),
            }
        }
        .boxed()
    }

    fn thumbnail<'l>(&'l self, asset: &'l AssetId) -> BoxFuture<'l, Option<Vec<u8>>> {
        async move {
            let listing = self.listing().await.ok()?;
            let (path, told) = Self::place_of(&listing, asset, Part::Main)?;
            let (root, settings) = (Arc::<Path>::from(self.root.as_path()), self.settings.clone());
            let whole = root.join(&path);
            let looking = tokio::task::spawn_blocking(move || {
                let now = micros_of((settings.now)());
                let around = Surroundings { root: &root, zone: &*settings.zone, now };
                subject_of(around, &Archives::default(), &path, &told)
            });
            let subject = looking.await.expect("looking at a file does not panic").ok()??;
            let jpeg = self.settings.thumbnailer.make(subject).await?;
            is_as_told(&whole, told).is_ok_and(|is_as_told| is_as_told).then_some(jpeg)
        }
        .boxed()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The album of a folder, called as a backup of folders would call it.
pub(super) fn album(library: &[u8], root: &Path, folder: &Path) -> DeviceAlbum {
    let DeviceAlbum { key, name } = AlbumRule::PerFolder.album_of(root, &folder.join("a picture"));
    DeviceAlbum { key: DeviceAlbumKey { root: library.to_vec(), ..key }, name }
}

fn past_of(before: &Listing) -> Past {
    let count = before.assets().count();
    let sample = before.assets().step_by(count / SAMPLE + 1).filter_map(|asset| {
        let (path, now) = FolderLibrary::place_of(before, &asset.id, Part::Main)?;
        Some((path, Some(now.size)))
    });
    Past { health: Known { device: Some(before.device()), has_assets: count > 0 }, sample: sample.collect() }
}

/// The disk that the root is on, if it is itself. Blocks.
fn online(root: &Path, known: Known, is_familiar: impl FnOnce() -> bool) -> Result<u64, LibraryError> {
    let seen = match health::look(root) {
        Seen::Unusable(error) => return Err(LibraryError::Read(error)),
        seen @ Seen::Folder { .. } => seen,
    };
    match health::judge(known, seen, is_familiar) {
        Health::Online { device } => Ok(device),
        Health::Offline(Offline::OtherDisk) => Err(LibraryError::Read(io::Error::other(
            "it is on another disk than before, with none of the pictures that were on that",
        ))),
        Health::Offline(why) => Err(LibraryError::Read(io::Error::other(why.to_string()))),
    }
}

/// Whether a file is what it was. Blocks.
fn is_as_told(path: &Path, told: Fingerprint) -> io::Result<bool> {
    let now = path.symlink_metadata()?;
    Ok(now.is_file() && folder::fingerprint(&now) == told)
}
