//! Copies of originals that a library had to fetch or export to be read: once each, bounded in bytes, and gone when nobody needs them
//! any more, also after a crash.
//!
//! What was fetched whole and was not sent before the run ended is kept for the next one: under a name that says of what it is a copy, given when
//! all of it is on the disk. It takes its room as any copy does, and gives it up to whoever needs it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::opening::KeptCopies;
use super::rules::conditions::{cache_bound, largest_copy};
use crate::disk_space::Space;
use crate::library::Part;
use crate::library::device::{AssetKind, DeviceAsset};

/// Before the names of what is kept from run to run.
const KEPT: &str = "kept-";

/// Behind the key of a Live Photo's video. Before it stands that of its still.
const MOTION: &str = "-motion";

/// A folder that holds nothing else.
#[derive(Debug)]
pub struct TemporaryCache {
    folder: PathBuf,
    photos: Room,
    videos: Room,
    /// What was kept, by its key, until somebody takes it.
    kept: Mutex<HashMap<String, TemporaryCopy>>,
    /// The keys of those whose other half could not be had in this run.
    halves: Mutex<HashSet<String>>,
    /// Told when something is kept again: it may give up its room.
    returned: Notify,
}

#[derive(Debug)]
struct Room {
    bytes: u64,
    left: Arc<Semaphore>,
}

impl Room {
    fn new(bytes: u64) -> Self {
        let permits = usize::try_from(bytes).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { bytes: permits as u64, left: Arc::new(Semaphore::new(permits)) }
    }

    fn try_take(&self, bytes: u64) -> Option<TakenRoom> {
        let permits = u32::try_from(bytes).ok()?;
        let taken = Arc::clone(&self.left).try_acquire_many_owned(permits).ok()?;
        Some(TakenRoom(Arc::new(taken)))
    }
}

/// How much the cache in a folder may hold: by what the system says is free, or else the folder's disk, whether or not it is there yet.
pub fn room_in(folder: &Path, told_free: Option<u64>) -> u64 {
    let free = told_free.or_else(|| Space::around(folder).map(|space| space.bytes));
    cache_bound(free.unwrap_or(u64::MAX))
}

/// Of what something is a copy: the part of an asset of a library, as it is now.
pub fn key_of(library: &[u8], asset: &DeviceAsset, part: Part) -> String {
    let mut hasher = blake3::Hasher::new();
    for bytes in [library, &asset.id.0] {
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    }
    let print = asset.fingerprint;
    hasher.update(&print.size.to_le_bytes()).update(&print.modified_ns.to_le_bytes());
    hasher.update(&print.inode.to_le_bytes());
    let of_asset = hasher.finalize().to_hex();
    match part {
        Part::Main => of_asset.to_string(),
        Part::Motion => format!("{of_asset}{MOTION}"),
    }
}

/// What the keys of both halves of a Live Photo begin with.
fn asset_of(key: &str) -> &str {
    key.strip_suffix(MOTION).unwrap_or(key)
}

/// The keys of what is kept in a folder.
pub fn kept_in(folder: &Path) -> HashSet<String> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| Some(name.to_str()?.strip_prefix(KEPT)?.to_owned())).collect()
}

/// The one file in a folder, and its bytes.
fn only_file(folder: &Path) -> Option<(PathBuf, u64)> {
    let mut entries = fs::read_dir(folder).ok()?;
    let (entry, rest) = (entries.next()?.ok()?, entries.next());
    let metadata = entry.metadata().ok().filter(|metadata| metadata.is_file() && rest.is_none())?;
    Some((entry.path(), metadata.len()))
}

/// One file of it. Dropped, it is removed, unless it is kept.
#[derive(Debug)]
pub struct TemporaryCopy {
    path: PathBuf,
    room: TakenRoom,
    /// The folder that it is kept as, if it may be.
    stays_as: Option<PathBuf>,
    is_kept: AtomicBool,
}

impl TemporaryCache {
    /// Opens the cache, with room for so many bytes, and removes what a run left behind that did not end, and what is kept beyond the room.
    pub fn open(folder: &Path, bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let for_all = largest_copy(bytes);
        let (photos, videos) = (Room::new(bytes - for_all), Room::new(for_all));
        let cache = Self {
            folder: folder.to_owned(),
            photos,
            videos,
            kept: Mutex::default(),
            halves: Mutex::default(),
            returned: Notify::new(),
        };
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if let Some((key, copy)) = cache.kept_at(&path) {
                cache.kept().insert(key, copy);
            } else if path.is_dir() {
                fs::remove_dir_all(path)?;
            } else {
                fs::remove_file(path)?;
            }
        }
        Ok(cache)
    }

    /// What is kept in a folder of the cache, if that is so and there is room for it.
    fn kept_at(&self, path: &Path) -> Option<(String, TemporaryCopy)> {
        let key = path.file_name()?.to_str()?.strip_prefix(KEPT)?.to_owned();
        let (file, bytes) = only_file(path)?;
        let room = self.videos.try_take(bytes).or_else(|| self.photos.try_take(bytes))?;
        let is_kept = AtomicBool::new(true);
        Some((key, TemporaryCopy { path: file, room, stays_as: Some(path.to_owned()), is_kept }))
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<String, TemporaryCopy>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is kept.
    pub fn has(&self, key: &str) -> bool {
        self.kept().contains_key(key)
    }

    /// Takes out what is kept. It is kept on unless it is [let go of](TemporaryCopy::let_go).
    pub fn take(&self, key: &str) -> Option<TemporaryCopy> {
        self.kept().remove(key)
    }

    /// Gives back what was taken.
    pub fn put_back(&self, copy: TemporaryCopy) {
        if let Some(key) = copy.key() {
            self.kept().insert(key, copy);
            self.returned.notify_waiters();
        }
    }

    /// Gives back what could be had of something of which the other half could not: it waits here for that, as long as nobody needs its room.
    pub fn put_half_back(&self, copy: TemporaryCopy) {
        copy.keep_on();
        self.halves().extend(copy.key());
        self.put_back(copy);
    }

    /// Everything had its turn: lets go of all but what waits for another half.
    pub fn keep_halves_only(&self) {
        let halves = std::mem::take(&mut *self.halves());
        self.keep_only(|key| halves.contains(key));
    }

    fn halves(&self) -> MutexGuard<'_, HashSet<String>> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of everything that is kept but these.
    pub fn keep_only(&self, is_wanted: impl Fn(&str) -> bool) {
        let gone: Vec<_> = self.kept().extract_if(|key, _| !is_wanted(key)).collect();
        for (_, copy) in &gone {
            copy.let_go();
        }
    }

    /// Lets go of one asset's copies that are kept in this room, if there are any. Half a Live Photo serves nobody.
    fn make_room(&self, room: &Room) -> bool {
        let mut kept = self.kept();
        let key = kept.iter().find(|(_, copy)| copy.room.is_of(room)).map(|(key, _)| key.clone());
        let Some(key) = key else { return false };
        kept.extract_if(|other, _| asset_of(other) == asset_of(&key)).for_each(|(_, copy)| copy.let_go());
        true
    }

    /// The folder that a copy is kept as.
    pub fn place_of(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{KEPT}{key}"))
    }

    /// Bytes that it may hold.
    pub fn bytes(&self) -> u64 {
        self.photos.bytes + self.videos.bytes
    }

    /// Room for all copies of one asset, of so many bytes in all. Waits for it; `None` where there never is so much. Photos that are too large
    /// for the room that is theirs take it from the videos'.
    pub async fn room(&self, bytes: u64, kind: AssetKind) -> Option<TakenRoom> {
        let room = self.room_for(bytes, kind);
        let permits = u32::try_from(bytes).ok().filter(|_| bytes <= room.bytes)?;
        let taken = loop {
            let returned = self.returned.notified();
            while room.left.available_permits() < permits as usize && self.make_room(room) {}
            tokio::select! {
                taken = Arc::clone(&room.left).acquire_many_owned(permits) => break taken,
                () = returned => {}
            }
        };
        Some(TakenRoom(Arc::new(taken.expect("the semaphore is never closed"))))
    }

    /// The same where some of the copies are there already: room for the others. These are let go of, and all is fetched anew, where the rest
    /// cannot be had at once: two that waited with a half in hand might wait for each other for ever.
    pub async fn room_beside(&self, kept: &mut KeptCopies, bytes: u64, kind: AssetKind) -> Option<TakenRoom> {
        if !kept.is_empty() {
            let there: u64 = kept.iter().map(|(_, copy)| copy.bytes()).sum();
            if let Some(room) = self.room_at_once(bytes.saturating_sub(there), kind) {
                return Some(room);
            }
            for (_, copy) in kept.drain(..) {
                copy.let_go();
            }
        }
        self.room(bytes, kind).await
    }

    fn room_at_once(&self, bytes: u64, kind: AssetKind) -> Option<TakenRoom> {
        let room = self.room_for(bytes, kind);
        loop {
            let taken = room.try_take(bytes);
            if taken.is_some() || bytes > room.bytes || !self.make_room(room) {
                return taken;
            }
        }
    }

    fn room_for(&self, bytes: u64, kind: AssetKind) -> &Room {
        let is_small = kind != AssetKind::Video && bytes <= self.photos.bytes;
        if is_small { &self.photos } else { &self.videos }
    }

    /// A place for a copy under a name of its own that ends with `name`, in room that was taken for it.
    pub fn place(&self, name: &str, room: &TakenRoom) -> io::Result<TemporaryCopy> {
        let folder = self.folder.join(uuid::Uuid::new_v4().to_string());
        fs::create_dir(&folder)?;
        let name = Path::new(name).file_name().unwrap_or_else(|| "original".as_ref());
        let path = folder.join(name);
        Ok(TemporaryCopy { path, room: room.clone(), stays_as: None, is_kept: AtomicBool::new(false) })
    }
}

/// Room in the cache, which is free again when the last who has it is gone.
#[derive(Clone, Debug)]
pub struct TakenRoom(Arc<OwnedSemaphorePermit>);

impl TakenRoom {
    fn is_of(&self, room: &Room) -> bool {
        Arc::ptr_eq(self.0.semaphore(), &room.left)
    }
}

impl TemporaryCopy {
    /// What it is a copy of, if it may be kept.
    fn key(&self) -> Option<String> {
        let name = self.stays_as.as_ref()?.file_name()?.to_str()?;
        name.strip_prefix(KEPT).map(str::to_owned)
    }

    /// It takes this room, and no other.
    pub fn keep(&mut self, room: TakenRoom) {
        self.room = room;
    }

    /// All of it is on the disk: it may be kept under this name.
    pub fn may_stay_as(&mut self, place: PathBuf) {
        self.stays_as = Some(place);
    }

    /// It is kept for the next run, if it may be.
    pub fn keep_on(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
    }

    /// Nobody needs it any more.
    pub fn let_go(&self) {
        self.is_kept.store(false, Ordering::Relaxed);
    }

    /// Bytes of what is there of it.
    fn bytes(&self) -> u64 {
        self.path.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Where it is, or is to be.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryCopy {
    fn drop(&mut self) {
        let Some(folder) = self.path.parent() else { return };
        if *self.is_kept.get_mut()
            && let Some(place) = &self.stays_as
            && (place == folder || fs::rename(folder, place).is_ok())
        {
            return;
        }
        // What cannot be removed now is removed when the cache is opened again.
        if let Err(error) = fs::remove_dir_all(folder) {
            tracing::debug!(%error, "a temporary copy stays until the next run");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Fingerprint;
    use crate::library::device::{AssetId, Locality, Motion};
    use std::collections::BTreeSet;
    use std::time::Duration;
    use tokio::time::timeout;

    const MIB: u64 = 1 << 20;

    #[tokio::test]
    async fn copies_go_and_so_does_what_a_killed_run_left() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("cache");
        let cache = TemporaryCache::open(&folder, MIB).unwrap();
        let room = cache.room(MIB / 8, AssetKind::LivePhoto).await.unwrap();
        let copy = cache.place("../IMG_1.HEIC", &room).unwrap();
        let video = cache.place("IMG_1.MOV", &room).unwrap();
        assert!(copy.path().starts_with(&folder) && copy.path().ends_with("IMG_1.HEIC"));
        fs::write(copy.path(), b"x").unwrap();
        drop(room);
        let other = cache.room(1, AssetKind::Photo);
        assert!(timeout(Duration::from_millis(20), other).await.is_err(), "no room");
        drop(video);
        drop(copy);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        cache.room(1, AssetKind::Photo).await.unwrap();
        let room = cache.room(MIB / 2, AssetKind::Video).await.unwrap();
        let left = cache.place("b.mov", &room).unwrap();
        std::mem::forget(left);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        TemporaryCache::open(&folder, 0).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn nothing_gets_more_room_than_there_is() {
        let home = tempfile::tempdir().unwrap();
        let cache = TemporaryCache::open(home.path(), 8 * MIB).unwrap();
        for kind in [AssetKind::Photo, AssetKind::LivePhoto, AssetKind::Video] {
            assert!(cache.room(7 * MIB + 1, kind).await.is_none());
            assert!(cache.room(7 * MIB, kind).await.is_some());
        }
        let film = cache.room(5 * MIB, AssetKind::Video).await.unwrap();
        let small = cache.room(MIB, AssetKind::Photo).await.unwrap();
        let large = cache.room(2 * MIB, AssetKind::Photo).await.unwrap();
        let waits =
            async |bytes, kind| timeout(Duration::from_millis(20), cache.room(bytes, kind)).await.is_err();
        assert!(waits(2 * MIB, AssetKind::Photo).await && waits(1, AssetKind::Photo).await);
        assert!(waits(1, AssetKind::Video).await);
        drop((film, small));
        assert!(!waits(5 * MIB, AssetKind::LivePhoto).await);
        drop(large);
    }

    /// A copy that was fetched whole, of so many bytes, as a run would leave it.
    async fn fetched(cache: &TemporaryCache, key: &str, bytes: u64) -> TemporaryCopy {
        let room = cache.room(bytes, AssetKind::Video).await.unwrap();
        let mut copy = cache.place("a.mov", &room).unwrap();
        fs::write(copy.path(), vec![7; usize::try_from(bytes).unwrap()]).unwrap();
        copy.may_stay_as(cache.place_of(key));
        copy
    }

    #[tokio::test]
    async fn what_was_fetched_and_not_sent_is_kept_within_the_room_that_there_is() {
        let home = tempfile::tempdir().unwrap();
        let open = |bytes| TemporaryCache::open(home.path(), bytes).unwrap();
        let keys = || {
            let mut keys: Vec<_> = kept_in(home.path()).into_iter().collect();
            keys.sort();
            keys.join(" ")
        };
        let cache = open(8 * MIB);
        for key in ["a", "b"] {
            fetched(&cache, key, 3 * MIB).await.keep_on();
        }
        drop(fetched(&cache, "sent", MIB).await);
        let regretted = fetched(&cache, "regretted", MIB).await;
        regretted.keep_on();
        regretted.let_go();
        drop((regretted, cache));
        assert_eq!(keys(), "a b");
        // It stays until somebody takes it and lets go of it.
        for _ in 0..2 {
            let cache = open(8 * MIB);
            assert!(cache.has("a") && cache.has("b") && !cache.has("c"));
            let copy = cache.take("a").unwrap();
            assert!(!cache.has("a") && cache.take("a").is_none());
            cache.put_back(copy);
            let copy = cache.take("a").unwrap();
            assert_eq!(fs::read(copy.path()).unwrap().len() as u64, 3 * MIB);
            let third = fetched(&cache, "c", MIB).await;
            assert!(cache.has("b"), "there is room for three");
            drop((copy, third));
        }
        // What needs its room has it; what is in use is not taken away.
        let cache = open(8 * MIB);
        let in_use = cache.take("a").unwrap();
        let other = cache.room(4 * MIB, AssetKind::Video).await.unwrap();
        assert!(!cache.has("b") && in_use.path().exists());
        drop((in_use, other, cache));
        assert_eq!(keys(), "a");
        // Who waits has it when it is given back.
        let cache = open(8 * MIB);
        let in_use = cache.take("a").unwrap();
        {
            let mut waiting = std::pin::pin!(cache.room(7 * MIB, AssetKind::Video));
            assert!(futures_util::poll!(waiting.as_mut()).is_pending());
            cache.put_back(in_use);
            assert!(waiting.await.is_some() && !cache.has("a"));
        }
        fetched(&cache, "a", 3 * MIB).await.keep_on();
        drop(cache);
        // Photos have room of their own, and take none from what is kept elsewhere.
        let cache = open(8 * MIB);
        let one = cache.room(MIB, AssetKind::Photo).await.unwrap();
        let waits = timeout(Duration::from_millis(20), cache.room(MIB, AssetKind::Photo)).await;
        assert!(waits.is_err() && cache.has("a"));
        drop(one);
        cache.keep_only(|key| key == "a");
        assert!(cache.has("a"));
        cache.keep_only(|key| key == "b");
        drop(cache);
        assert_eq!(keys(), "");
        let cache = open(8 * MIB);
        fetched(&cache, "a", 3 * MIB).await.keep_on();
        drop(cache);
        drop(open(3 * MIB));
        assert_eq!(keys(), "", "there is less room now");
        // Half a copy is none.
        fs::create_dir(home.path().join("kept-empty")).unwrap();
        fs::write(home.path().join("kept-file"), b"x").unwrap();
        drop(open(8 * MIB));
        assert_eq!(keys(), "");
    }

    #[tokio::test]
    async fn nobody_waits_with_half_a_live_photo_in_hand() {
        let home = tempfile::tempdir().unwrap();
        let cache = TemporaryCache::open(home.path(), 8 * MIB).unwrap();
        // Alone, what is missing is all that is taken.
        let mut kept = vec![(Part::Main, fetched(&cache, "a", 3 * MIB).await)];
        let room = cache.room_beside(&mut kept, 7 * MIB, AssetKind::LivePhoto).await.unwrap();
        assert_eq!((kept.len(), cache.videos.left.available_permits()), (1, 0));
        drop((room, kept));
        // Of two of which there is a half each, one waits for the other, and not the other for it.
        let mut a = vec![(Part::Main, fetched(&cache, "a", 3 * MIB).await)];
        let mut b = vec![(Part::Main, fetched(&cache, "b", 3 * MIB).await)];
        a.iter().chain(&b).for_each(|(_, copy)| copy.keep_on());
        {
            let mut first = std::pin::pin!(cache.room_beside(&mut a, 6 * MIB, AssetKind::LivePhoto));
            let mut second = std::pin::pin!(cache.room_beside(&mut b, 6 * MIB, AssetKind::LivePhoto));
            assert!(futures_util::poll!(first.as_mut()).is_pending());
            assert!(futures_util::poll!(second.as_mut()).is_pending());
            let std::task::Poll::Ready(room) = futures_util::poll!(first.as_mut()) else {
                panic!("the second holds what the first waits for");
            };
            drop(room);
            assert!(second.await.is_some());
        }
        assert!(a.is_empty() && b.is_empty() && kept_in(home.path()).is_empty());
    }

    #[tokio::test]
    async fn the_halves_of_a_live_photo_give_up_their_room_together() {
        let home = tempfile::tempdir().unwrap();
        let asset = DeviceAsset {
            id: AssetId::new("a"),
            name: "a.heic".to_owned(),
            kind: AssetKind::LivePhoto,
            fingerprint: Fingerprint { size: 4 * MIB, modified_ns: 1, inode: 1 },
            taken: 1,
            albums: BTreeSet::new(),
            favourite: false,
            locality: Locality::Cloud,
            motion: Motion::Here,
        };
        let keys = [Part::Main, Part::Motion].map(|part| key_of(b"library", &asset, part));
        let cache = TemporaryCache::open(home.path(), 8 * MIB).unwrap();
        for key in &keys {
            fetched(&cache, key, 2 * MIB).await.keep_on();
        }
        drop(cache);
        let cache = TemporaryCache::open(home.path(), 8 * MIB).unwrap();
        assert!(keys.iter().all(|key| cache.has(key)));
        let room = cache.room(4 * MIB, AssetKind::Video).await;
        assert!(room.is_some() && !keys.iter().any(|key| cache.has(key)));
        assert!(kept_in(home.path()).is_empty());
    }

    #[test]
    fn the_bound_follows_what_is_free() {
        let home = tempfile::tempdir().unwrap();
        let not_there = home.path().join("a/b");
        assert_eq!(room_in(&not_there, Some(50 * MIB)), 5 * MIB);
        let told = room_in(&not_there, None);
        assert!(told > 0 && told <= 2 << 30, "{told}");
    }
}
