//! Copies of originals that a library had to fetch or export to be read: once each, bounded in bytes, and gone when nobody needs them
//! any more, also after a crash.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::rules::conditions::{cache_bound, largest_copy};
use crate::disk_space::Space;
use crate::library::device::AssetKind;

/// A folder that holds nothing else.
#[derive(Debug)]
pub struct TemporaryCache {
    folder: PathBuf,
    photos: Room,
    videos: Room,
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
}

/// How much the cache in a folder may hold: by what the system says is free, or else the folder's disk, whether or not it is there yet.
pub fn room_in(folder: &Path, told_free: Option<u64>) -> u64 {
    let free = told_free.or_else(|| Space::around(folder).map(|space| space.bytes));
    cache_bound(free.unwrap_or(u64::MAX))
}

/// One file of it. Dropped, it is removed.
#[derive(Debug)]
pub struct TemporaryCopy {
    path: PathBuf,
    room: TakenRoom,
}

impl TemporaryCache {
    /// Opens the cache, with room for so many bytes, and removes what a run left behind that did not end.
    pub fn open(folder: &Path, bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
        let for_all = largest_copy(bytes);
        let (photos, videos) = (Room::new(bytes - for_all), Room::new(for_all));
        Ok(Self { folder: folder.to_owned(), photos, videos })
    }

    /// Bytes that it may hold.
    pub fn bytes(&self) -> u64 {
        self.photos.bytes + self.videos.bytes
    }

    /// Room for all copies of one asset, of so many bytes in all. Waits for it; `None` where there never is so much. Photos that are too large
    /// for the room that is theirs take it from the videos'.
    pub async fn room(&self, bytes: u64, kind: AssetKind) -> Option<TakenRoom> {
        let is_small = kind != AssetKind::Video && bytes <= self.photos.bytes;
        let room = if is_small { &self.photos } else { &self.videos };
        let permits = u32::try_from(bytes).ok().filter(|_| bytes <= room.bytes)?;
        let taken = Arc::clone(&room.left).acquire_many_owned(permits).await;
        Some(TakenRoom(Arc::new(taken.expect("the semaphore is never closed"))))
    }

    /// A place for a copy under a name of its own that ends with `name`, in room that was taken for it.
    pub fn place(&self, name: &str, room: &TakenRoom) -> io::Result<TemporaryCopy> {
        let folder = self.folder.join(uuid::Uuid::new_v4().to_string());
        fs::create_dir(&folder)?;
        let name = Path::new(name).file_name().unwrap_or_else(|| "original".as_ref());
        Ok(TemporaryCopy { path: folder.join(name), room: room.clone() })
    }
}

/// Room in the cache, which is free again when the last who has it is gone.
#[derive(Clone, Debug)]
pub struct TakenRoom(
    #[expect(dead_code, reason = "held, and let go of when it is dropped")] Arc<OwnedSemaphorePermit>,
);

impl TemporaryCopy {
    /// It takes this room, and no other.
    pub fn keep(&mut self, room: TakenRoom) {
        self.room = room;
    }

    /// Where it is, or is to be.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryCopy {
    fn drop(&mut self) {
        // What cannot be removed now is removed when the cache is opened again.
        if let Some(folder) = self.path.parent()
            && let Err(error) = fs::remove_dir_all(folder)
        {
            tracing::debug!(%error, "a temporary copy stays until the next run");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn the_bound_follows_what_is_free() {
        let home = tempfile::tempdir().unwrap();
        let not_there = home.path().join("a/b");
        assert_eq!(room_in(&not_there, Some(50 * MIB)), 5 * MIB);
        let told = room_in(&not_there, None);
        assert!(told > 0 && told <= 2 << 30, "{told}");
    }
}
