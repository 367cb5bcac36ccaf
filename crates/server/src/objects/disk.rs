//! The folder that blobs lie in: `objects/<two hex digits>/<name>`, `incoming/<process>/<number>` for those on their way, and
//! `uploads/<id>` for those that come in several requests.
//!
//! Several processes may share it: each has its own folder below `incoming`, held by a lock that ends with the process, and the
//! next process to start removes the folders whose lock nobody holds.

use super::flush::{Flusher, sync_folder};
use super::incoming::{Incoming, blocking};
use super::{BlobName, IncomingPack, ObjectError};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

/// How many folders blobs are spread over: 256, one for each value of a name's first two hex digits.
pub const SHARDS: u16 = 256;

/// The most files that are flushed at the same moment: more would only fill the pool of blocking threads.
const FLUSHES_AT_ONCE: usize = 64;

/// The most objects that are read back for receipts at the same moment: more would only make the disk seek, and uploads wait.
const READINGS_AT_ONCE: usize = 2;

/// How long a process may take between making its folder and locking it.
const STARTING_AT_MOST: Duration = Duration::from_hours(1);

/// The lock's name inside a process's folder.
const LOCK: &str = "lock";

/// The blobs of one server.
#[derive(Debug)]
pub struct Objects {
    folder: PathBuf,
    incoming: PathBuf,
    pub(super) growing: PathBuf,
    number: AtomicU64,
    pub(super) flushes: Semaphore,
    readings: Semaphore,
    /// Packs that are being received.
    pub(super) packs: AtomicUsize,
    flusher: Flusher,
    /// Held as long as this process may have files in `incoming`.
    _lock: File,
}

impl Objects {
    /// Opens the objects of a data folder, creating it when needed, and removes what earlier processes left half-way.
    pub fn open(data: &Path) -> Result<Self, ObjectError> {
        let folder = data.join("objects");
        for shard in 0..SHARDS {
            let path = folder.join(format!("{shard:02x}"));
            fs::create_dir_all(&path).map_err(ObjectError::disk("create", &path))?;
        }
        let all_incoming = data.join("incoming");
        let growing = data.join("uploads");
        for path in [&all_incoming, &growing] {
            fs::create_dir_all(path).map_err(ObjectError::disk("create", path))?;
        }
        sync_folder(&folder)?;
        sync_folder(data)?;
        remove_abandoned(&all_incoming)?;
        let incoming = all_incoming.join(Uuid::new_v4().to_string());
        let lock = claim(&incoming)?;
        Ok(Self {
            folder,
            incoming,
            growing,
            number: AtomicU64::new(0),
            flushes: Semaphore::new(FLUSHES_AT_ONCE),
            readings: Semaphore::new(READINGS_AT_ONCE),
            packs: AtomicUsize::new(0),
            flusher: Flusher::start()?,
            _lock: lock,
        })
    }

    /// Gives a received body its place. When this returns, the blob survives a power cut.
    pub async fn place(&self, incoming: Incoming, name: &BlobName) -> Result<(), ObjectError> {
        self.flusher.place(incoming.file, self.path_of(name)).await
    }

    /// The same for a pack.
    pub async fn place_pack(&self, pack: IncomingPack, name: &BlobName) -> Result<(), ObjectError> {
        self.flusher.place(pack.file, self.path_of(name)).await
    }

    /// Removes blobs. Those that are gone already do not matter: a removal may be repeated.
    pub async fn remove(&self, names: Vec<BlobName>) -> Result<(), ObjectError> {
        let paths: Vec<PathBuf> = names.iter().map(|name| self.path_of(name)).collect();
        blocking(move || paths.iter().try_for_each(|path| remove_file(path))).await?
    }

    /// A blob's bytes on the disk; `None` when it is not there.
    pub async fn length_of(&self, name: &BlobName) -> Result<Option<u64>, ObjectError> {
        let path = self.path_of(name);
        blocking(move || match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ObjectError::disk("look at", &path)(error)),
        })
        .await?
    }

    /// Waits for a turn to read an object back for somebody who waits for it.
    pub async fn reading_turn(&self) -> Result<SemaphorePermit<'_>, ObjectError> {
        self.readings.acquire().await.map_err(|_| ObjectError::Stopping)
    }

    /// The lock of the one process that scrubs; `None` when another one has it. It ends with the process.
    pub fn try_scrub_lock(&self) -> Result<Option<File>, ObjectError> {
        let path = self.folder.with_file_name("scrub-lock");
        let open = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = open.map_err(ObjectError::disk("open", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(ObjectError::disk("lock", &path)(error)),
        }
    }

    /// The blobs of one shard (0 to 255) that were written before a moment.
    pub async fn older_than(&self, shard: u16, moment: SystemTime) -> Result<Vec<BlobName>, ObjectError> {
        let folder = self.folder.join(format!("{shard:02x}"));
        blocking(move || list_older(&folder, moment)).await?
    }

    pub(super) fn path_of(&self, name: &BlobName) -> PathBuf {
        self.folder.join(name.shard()).join(name.as_str())
    }

    pub(super) fn temporary_path(&self) -> PathBuf {
        self.incoming.join(self.number.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // What is still arriving has nobody left to answer to. What cannot be removed, the next process removes.
        let _ = remove_folder(&self.incoming);
    }
}

/// Makes a folder for this process. Its lock is held before it has the name by which others judge.
fn claim(folder: &Path) -> Result<File, ObjectError> {
    fs::create_dir(folder).map_err(ObjectError::disk("create", folder))?;
    let path = folder.join("new-lock");
    let lock = File::create_new(&path).map_err(ObjectError::disk("create", &path))?;
    lock.lock().map_err(ObjectError::disk("lock", &path))?;
    fs::rename(&path, folder.join(LOCK)).map_err(ObjectError::disk("rename", &path))?;
    Ok(lock)
}

/// Removes the folders of processes that are gone.
fn remove_abandoned(all: &Path) -> Result<(), ObjectError> {
    let entries = fs::read_dir(all).map_err(ObjectError::disk("list", all))?;
    for entry in entries {
        let path = entry.map_err(ObjectError::disk("list", all))?.path();
        if is_abandoned(&path)? {
            remove_folder(&path)?;
        }
    }
    Ok(())
}

/// Removes a process's folder, its lock last: by the lock the next process knows what a killed removal has left. Two processes that
/// start together may both try.
fn remove_folder(folder: &Path) -> Result<(), ObjectError> {
    let entries: Vec<_> = match fs::read_dir(folder).and_then(Iterator::collect) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ObjectError::disk("list", folder)(error)),
    };
    for entry in entries {
        if entry.file_name() != LOCK {
            remove_file(&entry.path())?;
        }
    }
    remove_file(&folder.join(LOCK))?;
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ObjectError::disk("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

/// Whether nobody holds the folder's lock. One without a lock belongs to a process that is just starting, or that died there.
fn is_abandoned(folder: &Path) -> Result<bool, ObjectError> {
    let path = folder.join(LOCK);
    let Ok(lock) = File::open(&path) else { return Ok(is_old(folder)) };
    match lock.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(ObjectError::disk("lock", &path)(error)),
    }
}

/// Whether a folder was last changed more than an hour ago. One that is gone is not old: another process removed it.
fn is_old(folder: &Path) -> bool {
    let changed = fs::metadata(folder).and_then(|metadata| metadata.modified());
    changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > STARTING_AT_MOST))
}

pub(super) fn remove_file(path: &Path) -> Result<(), ObjectError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ObjectError::disk("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn list_older(folder: &Path, moment: SystemTime) -> Result<Vec<BlobName>, ObjectError> {
    let mut older = Vec::new();
    for entry in fs::read_dir(folder).map_err(ObjectError::disk("list", folder))? {
        let entry = entry.map_err(ObjectError::disk("list", folder))?;
        let name = entry.file_name().to_str().and_then(BlobName::parse);
        // A blob that is removed meanwhile has no modification time, and needs none.
        let written = entry.metadata().and_then(|metadata| metadata.modified());
        if let (Some(name), Ok(written)) = (name, written)
            && written < moment
        {
            older.push(name);
        }
    }
    Ok(older)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{Digest, ReceiveLimits, Segment};
    use bytes::Bytes;
    use futures_util::{StreamExt as _, TryStreamExt as _, stream};
    use std::convert::Infallible;

    const LIMITS: ReceiveLimits = ReceiveLimits { longest: 10_000_000, idle: Duration::from_secs(5) };

    fn body(bytes: &[u8]) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> + Unpin + use<> {
        let frames: Vec<_> = bytes.chunks(100_000).map(|frame| Ok(Bytes::copy_from_slice(frame))).collect();
        stream::iter(frames)
    }

    async fn store(objects: &Objects, bytes: &[u8]) -> BlobName {
        let incoming = objects.receive(body(bytes), LIMITS).await.unwrap();
        assert_eq!(incoming.length, bytes.len() as u64);
        assert_eq!(incoming.digest, Digest::of(bytes));
        let name = BlobName::generate(Uuid::new_v4(), 0);
        objects.place(incoming, &name).await.unwrap();
        name
    }

    fn files_below(folder: &Path) -> usize {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
    }

    #[tokio::test]
    async fn ranges_span_blobs() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(folder.path()).unwrap();
        let bytes: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut segments = Vec::new();
        for part in bytes.chunks(1_500_000) {
            segments.push(Segment {
                name: store(&objects, part).await,
                offset: 0,
                length: part.len() as u64,
            });
        }
        for range in
            [0..4_000_000, 0..1, 1_499_999..1_500_001, 1_400_000..3_100_000, 3_999_999..4_000_000, 5..5]
        {
            let parts: Vec<Bytes> =
                objects.read(&segments, range.clone()).await.unwrap().try_collect().await.unwrap();
            let within = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            assert_eq!(parts.concat(), bytes[within], "{range:?}");
        }
    }

    #[tokio::test]
    async fn what_is_refused_or_dropped_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(folder.path()).unwrap();
        let before = files_below(folder.path());
        let short = ReceiveLimits { longest: 999_999, ..LIMITS };
        let error = objects.receive(body(&vec![1; 1_000_000]), short).await.unwrap_err();
        assert!(matches!(error, ObjectError::TooLong(999_999)));
        let broken = body(&vec![1; 1_000_000]).map(|item| item.map_err(|never| match never {}));
        let broken = broken.chain(stream::iter([Err(std::io::Error::other("reset"))]));
        let error = objects.receive(Box::pin(broken), LIMITS).await.unwrap_err();
        assert!(matches!(error, ObjectError::BrokenOff(_)));
        let stalled = body(&vec![1; 1_000_000]).chain(stream::pending());
        let brief = ReceiveLimits { idle: Duration::from_millis(10), ..LIMITS };
        let error = objects.receive(Box::pin(stalled), brief).await.unwrap_err();
        assert!(matches!(error, ObjectError::Stalled(_)));
        drop(objects.receive(body(&[2; 10]), LIMITS).await.unwrap());
        // A writer that was still on its blocking thread when its upload ended is dropped there.
        while files_below(folder.path()) > before {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn many_small_blobs_at_once_are_all_there() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(folder.path()).unwrap();
        let contents: Vec<Vec<u8>> = (0..200u8).map(|n| vec![n; 1000 + usize::from(n)]).collect();
        let names =
            futures_util::future::join_all(contents.iter().map(|content| store(&objects, content))).await;
        for (name, content) in names.iter().zip(&contents) {
            assert_eq!(&fs::read(objects.path_of(name)).unwrap(), content);
        }
        objects.remove(names.clone()).await.unwrap();
        objects.remove(names).await.unwrap();
    }

    #[tokio::test]
    async fn the_next_process_removes_what_a_dead_one_left_and_not_what_a_live_one_has() {
        let folder = tempfile::tempdir().unwrap();
        let alive = Objects::open(folder.path()).unwrap();
        let arriving = alive.receive(body(&[3; 10]), LIMITS).await.unwrap();
        let dead = folder.path().join("incoming").join("dead");
        drop(claim(&dead).unwrap());
        fs::write(dead.join("7"), "half").unwrap();
        let dying = folder.path().join("incoming").join("dying");
        fs::create_dir(&dying).unwrap();
        let starting = folder.path().join("incoming").join("starting");
        fs::create_dir(&starting).unwrap();
        File::open(&dying).unwrap().set_modified(SystemTime::now() - Duration::from_hours(2)).unwrap();
        let second = Objects::open(folder.path()).unwrap();
        assert!(!dead.exists() && !dying.exists() && starting.exists());
        let name = BlobName::generate(Uuid::new_v4(), 0);
        alive.place(arriving, &name).await.unwrap();
        drop(second);
        assert_eq!(fs::read(alive.path_of(&name)).unwrap(), [3; 10]);
    }

    /// Whatever order the file system lists a folder in, a file is never left without the lock that tells of it.
    #[test]
    fn a_removal_that_stops_half_way_keeps_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let dead = folder.path().join("dead");
        drop(claim(&dead).unwrap());
        for number in 0..50 {
            fs::write(dead.join(number.to_string()), "half").unwrap();
        }
        // Not a file: the removal stops at it.
        fs::create_dir(dead.join("stone")).unwrap();
        remove_folder(&dead).unwrap_err();
        assert!(is_abandoned(&dead).unwrap(), "the next process removes the rest");
        fs::remove_dir(dead.join("stone")).unwrap();
        remove_folder(&dead).unwrap();
        assert!(!dead.exists());
        remove_folder(&dead).unwrap();
    }

    #[tokio::test]
    async fn age_is_judged_by_the_moment_that_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(folder.path()).unwrap();
        let name = store(&objects, b"x").await;
        let shard = u16::from_str_radix(name.shard(), 16).unwrap();
        let now = SystemTime::now();
        assert_eq!(objects.older_than(shard, now - Duration::from_mins(1)).await.unwrap(), []);
        assert_eq!(objects.older_than(shard, now + Duration::from_mins(1)).await.unwrap(), [name]);
    }
}
