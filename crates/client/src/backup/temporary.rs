//! Copies of originals that a library had to fetch or export to be read: once each, bounded in bytes, and gone when nobody needs them
//! any more, also after a crash.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::library::device::AssetKind;

/// Bytes that one unit of room in the cache stands for.
const UNIT: u64 = 64 * 1024;

/// The part of the room that photos have for themselves, so that no video keeps them waiting.
const FOR_PHOTOS: u32 = 8;

/// A folder that holds nothing else.
#[derive(Debug)]
pub struct TemporaryCache {
    folder: PathBuf,
    photos: Room,
    videos: Room,
}

#[derive(Debug)]
struct Room {
    units: u32,
    left: Arc<Semaphore>,
}

impl Room {
    fn new(units: u32) -> Self {
        Self { units, left: Arc::new(Semaphore::new(units as usize)) }
    }
}

/// The largest original that a cache with so many bytes has room for.
pub fn largest(cache_room: u64) -> u64 {
    cache_room - cache_room / u64::from(FOR_PHOTOS)
}

/// One file of it. Dropped, it is removed.
#[derive(Debug)]
pub struct TemporaryCopy {
    path: PathBuf,
    _room: TakenRoom,
}

impl TemporaryCache {
    /// Opens the cache, with room for so many bytes, and removes what a run left behind that did not end.
    pub fn open(folder: &Path, bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
        let units = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).clamp(2, 1 << 28);
        let for_photos = (units / FOR_PHOTOS).max(1);
        let (photos, videos) = (Room::new(for_photos), Room::new(units - for_photos));
        Ok(Self { folder: folder.to_owned(), photos, videos })
    }

    /// Room for all copies of one asset, of so many bytes in all. Waits for it; no more than there is in all is ever waited for.
    pub async fn room(&self, bytes: u64, kind: AssetKind) -> io::Result<TakenRoom> {
        let room = if kind == AssetKind::Video { &self.videos } else { &self.photos };
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, room.units);
        let taken = Arc::clone(&room.left).acquire_many_owned(units).await;
        Ok(TakenRoom(Arc::new(taken.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?)))
    }

    /// A place for a copy under a name of its own that ends with `name`, in room that was taken for it.
    pub fn place(&self, name: &str, room: &TakenRoom) -> io::Result<TemporaryCopy> {
        let folder = self.folder.join(uuid::Uuid::new_v4().to_string());
        fs::create_dir(&folder)?;
        let name = Path::new(name).file_name().unwrap_or_else(|| "original".as_ref());
        Ok(TemporaryCopy { path: folder.join(name), _room: room.clone() })
    }
}

/// Room in the cache, which is free again when the last who has it is gone.
#[derive(Clone, Debug)]
pub struct TakenRoom(
    #[expect(dead_code, reason = "held, and let go of when it is dropped")] Arc<OwnedSemaphorePermit>,
);

impl TemporaryCopy {
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

    #[tokio::test]
    async fn copies_go_and_so_does_what_a_killed_run_left() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("cache");
        let cache = TemporaryCache::open(&folder, 1 << 20).unwrap();
        let room = cache.room(10, AssetKind::LivePhoto).await.unwrap();
        let copy = cache.place("../IMG_1.HEIC", &room).unwrap();
        let video = cache.place("IMG_1.MOV", &room).unwrap();
        assert!(copy.path().starts_with(&folder) && copy.path().ends_with("IMG_1.HEIC"));
        fs::write(copy.path(), b"x").unwrap();
        drop(room);
        let other = cache.room(u64::MAX, AssetKind::Photo);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), other).await.is_err(), "no room");
        drop(video);
        drop(copy);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        cache.room(u64::MAX, AssetKind::Photo).await.unwrap();
        let room = cache.room(1 << 30, AssetKind::Video).await.unwrap();
        let left = cache.place("b.mov", &room).unwrap();
        std::mem::forget(left);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        TemporaryCache::open(&folder, 0).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
}
