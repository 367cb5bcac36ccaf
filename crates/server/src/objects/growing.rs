//! Files that grow over several requests, until they are whole and become blobs.
//!
//! One writer a file, held by a lock that ends with its process. What lies behind the offset that the database recorded is not
//! trusted: it is cut off before more is written. Nor is what lies before it, which a disk may have damaged: whoever goes on without
//! the hash of what was sent so far reads it all again, and it must have the digest that was recorded with the offset. So whatever
//! happened in between, the digest of a whole upload is that of the bytes that were sent. Nothing here decides which offset that is.
//!
//! Beside each lies its *mark*: how far the newest request's bytes are written, and their hash. It is written after them and flushed by
//! nobody, so a killed process leaves it, and a power cut may leave anything. Bytes behind the recorded offset count again when they
//! have the hash that the mark says: then they are what was sent, whatever happened. But for one thing: bytes that the disk refused are still
//! in memory, have that hash, and would be flushed again with success and without being written ([`flush`](super::flush)). So the mark goes
//! as soon as a flush has failed: what it spoke of is sent again, and cut off before.
//!
//! ```text
//! mark = from (LE64) ‖ to (LE64) ‖ BLAKE3 of the bytes from `from` to `to` (32) ‖ BLAKE3 of all bytes before `to` (32)
//! ```

use super::checksum::Announced;
use super::disk::remove_file;
use super::flush::{Folder, sync_data, sync_folder};
use super::incoming::blocking;
use super::read_back::{FOLIO_BYTES_MAX, forget_cached, is_shortage};
use super::{BlobName, ObjectError, Objects};
use bytes::Bytes;
use darkslide_disk::Writer;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How far an upload is recorded.
#[derive(Clone, Debug)]
pub struct Reached {
    /// Bytes that are flushed.
    pub offset: u64,
    /// BLAKE3 of them, as they were sent; `None` where nothing was recorded yet, and where an earlier version recorded without one.
    pub digest: Option<[u8; 32]>,
    /// The hash of them, or of as many as were read again before somebody stopped: kept between requests so that these need not be read again.
    pub running: Option<blake3::Hasher>,
}

/// A file that is open for one request's bytes. Dropped, it is unlocked and stays.
#[derive(Debug)]
pub struct Growing {
    path: PathBuf,
    file: Writer,
    offset: u64,
    whole: blake3::Hasher,
    /// Of this request's bytes, where these are not the whole.
    chunk: Option<blake3::Hasher>,
    behind: Arc<FlushBehind>,
    announced: Option<Announced>,
    /// Where this request's bytes begin.
    began: u64,
    /// `None` where it could not be opened, which makes a kill cost more, and where bytes count only together.
    mark: Option<File>,
}

/// Bytes behind the recorded offset that are what was sent, and flushed by now. The file stays locked for as long as this is kept.
#[derive(Debug)]
pub struct Recovered {
    /// Where the bytes of the request that they came with begin.
    pub from: u64,
    /// Where they end.
    pub to: u64,
    /// BLAKE3 of these bytes.
    pub chunk_digest: [u8; 32],
    /// BLAKE3 of all bytes up to there, as they were sent.
    pub digest: [u8; 32],
    _locked: File,
}

/// What became of opening a file.
#[derive(Debug)]
pub enum Opening {
    /// It is open.
    Open(Box<Growing>),
    /// Nobody waits for it any more. This is the hash of what was read of it until then, for whoever comes next.
    Stopped(Box<blake3::Hasher>),
}

impl Growing {
    fn open(
        path: PathBuf,
        reached: Reached,
        announced: Option<Announced>,
        stop: &CancellationToken,
    ) -> Result<Opening, ObjectError> {
        let offset = reached.offset;
        let folder = (offset == 0).then(|| Folder::of(&path)).transpose()?;
        let mut options = File::options();
        let opened = options.read(true).write(true).create(offset == 0).truncate(false).open(&path);
        let mut file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if offset > 0 => ObjectError::Lost(path.clone()),
            _ => ObjectError::disk("open", &path)(error),
        })?;
        lock(&file, &path)?;
        let length = file.metadata().map_err(ObjectError::disk("look at", &path))?.len();
        if length < offset {
            return Err(ObjectError::Lost(path));
        }
        let whole = match hash_before(reached, &mut file, &path, stop)? {
            Hashed::All(whole) => whole,
            Hashed::Stopped(part) => return Ok(Opening::Stopped(Box::new(part))),
        };
        file.seek(SeekFrom::Start(offset)).map_err(ObjectError::disk("seek in", &path))?;
        let chunk = (offset > 0).then(blake3::Hasher::new);
        let behind = Arc::new(FlushBehind::open(&path, folder)?);
        let file = Writer::new(file, offset);
        let began = offset;
        let growing = Self { path, file, offset, whole, chunk, behind, announced, began, mark: None };
        Ok(Opening::Open(Box::new(growing)))
    }

    /// Cuts off what lies behind the offset, and begins a mark. To be done once it is sure that the offset is the recorded one: while the
    /// file is locked, nobody else moves it.
    pub async fn cut(mut self) -> Result<Self, ObjectError> {
        blocking(move || {
            self.file.file().set_len(self.offset).map_err(ObjectError::disk("cut", &self.path))?;
            self.mark = self.announced.is_none().then(|| File::create(mark_of(&self.path)).ok()).flatten();
            Ok(self)
        })
        .await?
    }

    /// Bytes of the whole upload that are written.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// BLAKE3 of what this request brought so far.
    pub fn chunk_digest(&self) -> [u8; 32] {
        *self.chunk.as_ref().unwrap_or(&self.whole).finalize().as_bytes()
    }

    /// BLAKE3 of the whole upload so far, as it was sent.
    pub fn digest(&self) -> [u8; 32] {
        *self.whole.finalize().as_bytes()
    }

    /// The hash so far.
    pub fn running(&self) -> blake3::Hasher {
        self.whole.clone()
    }

    /// Whether a hash was announced for this request's bytes: then they count only together.
    pub fn is_announced(&self) -> bool {
        self.announced.is_some()
    }

    /// Whether this request's bytes are those that were announced, if any were.
    pub fn is_as_announced(&self) -> bool {
        self.announced.as_ref().is_none_or(Announced::is_met)
    }

    /// Writes bytes behind those that are there; up to a sector of them may wait for the next, unless they are the last. After a failure,
    /// the offset is that of what was written whole, and nothing more can be written.
    fn append(&mut self, batch: &[Bytes], is_last: bool) -> Result<(), ObjectError> {
        let Self { file, offset, whole, chunk, announced, .. } = self;
        let written = |bytes: &[u8]| {
            *offset += bytes.len() as u64;
            for hasher in std::iter::once(&mut *whole).chain(chunk.iter_mut()) {
                hasher.update(bytes);
            }
            if let Some(announced) = announced.as_mut() {
                announced.update(bytes);
            }
        };
        let appended = if is_last { file.end(batch, written) } else { file.append(batch, written) };
        appended.map_err(ObjectError::disk("write", &self.path))
    }

    /// Says how far it is.
    fn mark(&mut self) {
        let (began, offset) = (self.began.to_le_bytes(), self.offset.to_le_bytes());
        let text = [&began[..], &offset, &self.chunk_digest(), &self.digest()].concat();
        let Some(mark) = &mut self.mark else { return };
        if mark.seek(SeekFrom::Start(0)).and_then(|_| mark.write_all(&text)).is_err() {
            self.mark = None;
        }
    }

    /// What makes all that is written until it is asked survive a power cut, also while more is written.
    pub fn flush_behind(&self) -> Arc<FlushBehind> {
        Arc::clone(&self.behind)
    }

    /// Whether a flush has failed: then nobody knows what the disk has of what was not recorded, nor of the sector where that begins.
    pub fn is_doubtful(&self) -> bool {
        self.behind.is_doubtful.load(Ordering::Acquire)
    }

    /// Writes bytes on a thread that may wait. The file comes back whatever became of them.
    pub async fn append_batch(
        mut self,
        batch: Vec<Bytes>,
        is_last: bool,
    ) -> Result<(Self, Result<(), ObjectError>), ObjectError> {
        if batch.is_empty() && !is_last {
            return Ok((self, Ok(())));
        }
        blocking(move || {
            let appended = self.append(&batch, is_last);
            self.mark();
            (self, appended)
        })
        .await
    }
}

/// A file that is open once more, without the lock: what is written is flushed through it, while more is written too.
#[derive(Debug)]
pub struct FlushBehind {
    path: PathBuf,
    file: File,
    /// Where the file's name in it may not be flushed.
    folder: Option<Folder>,
    is_named: AtomicBool,
    is_doubtful: AtomicBool,
}

impl FlushBehind {
    fn open(path: &Path, folder: Option<Folder>) -> Result<Self, ObjectError> {
        let file = File::open(path).map_err(ObjectError::disk("open", path))?;
        let is_named = AtomicBool::new(folder.is_none());
        Ok(Self { path: path.to_owned(), file, folder, is_named, is_doubtful: AtomicBool::new(false) })
    }

    /// Fails for good once it has failed.
    fn flush(&self) -> Result<(), ObjectError> {
        if self.is_doubtful.load(Ordering::Acquire) {
            let error = io::Error::other("an earlier flush of it has failed");
            return Err(ObjectError::disk("flush", &self.path)(error));
        }
        self.try_flush().inspect_err(|_| self.doubt())
    }

    fn try_flush(&self) -> Result<(), ObjectError> {
        sync_data(&self.file, &self.path)?;
        if let Some(folder) = self.folder.as_ref().filter(|_| !self.is_named.load(Ordering::Acquire)) {
            folder.flush()?;
            self.is_named.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// From here on nobody believes what the memory shows of the file: not this request, nor the next one, nor another process. A file of which
    /// nothing is recorded goes as a whole, and its name is written anew.
    fn doubt(&self) {
        self.is_doubtful.store(true, Ordering::Release);
        let mut removed = remove_file(&mark_of(&self.path));
        if !self.is_named.load(Ordering::Acquire) {
            removed = removed.and(remove_file(&self.path));
        }
        if let Err(error) = removed {
            // On a disk that takes nothing any more, nothing is flushed or recorded either.
            tracing::error!(%error, path = %self.path.display(), "what could not be flushed cannot be removed");
        }
    }
}

impl Objects {
    /// Opens an upload's file where it is recorded to be; at 0 it may not be there yet. Reads all of it, unless its hash is kept: bytes
    /// that are not those that were sent are [lost](ObjectError::Lost). `announced` is what this request's bytes must hash to.
    pub async fn open_growing(
        &self,
        id: Uuid,
        reached: Reached,
        announced: Option<Announced>,
        stop: &CancellationToken,
    ) -> Result<Opening, ObjectError> {
        let (path, stop) = (self.growing_path(id), stop.clone());
        blocking(move || Growing::open(path, reached, announced, &stop)).await?
    }

    /// What of an upload of `length` bytes was written behind the recorded `offset` before its writer was killed, as far as it can be
    /// vouched for. Reads all that the request brought.
    pub async fn recover_growing(
        &self,
        id: Uuid,
        offset: u64,
        length: u64,
    ) -> Result<Option<Recovered>, ObjectError> {
        let path = self.growing_path(id);
        let _turn = self.flushes.acquire().await.map_err(|_| ObjectError::Stopping)?;
        // What cannot be read is not vouched for.
        blocking(move || recover(&path, offset, length).ok().flatten()).await
    }

    /// The path of an upload's file when it does not hold the bytes up to a flushed `offset`: it is gone, or shorter.
    pub async fn lost_growing(&self, id: Uuid, offset: u64) -> Result<Option<PathBuf>, ObjectError> {
        let path = self.growing_path(id);
        blocking(move || {
            let length = match fs::metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                found => found.map_err(ObjectError::disk("look at", &path))?.len(),
            };
            Ok((length < offset).then_some(path))
        })
        .await?
    }

    /// Makes what was written survive a power cut.
    pub async fn flush_growing(
        &self,
        growing: Growing,
    ) -> Result<(Growing, Result<(), ObjectError>), ObjectError> {
        let _turn = self.flushes.acquire().await.map_err(|_| ObjectError::Stopping)?;
        blocking(move || {
            let flushed = growing.behind.flush();
            (growing, flushed)
        })
        .await
    }

    /// Makes what was written until it was asked for survive a power cut.
    pub async fn flush_behind(&self, flush: Arc<FlushBehind>) -> Result<(), ObjectError> {
        let _turn = self.flushes.acquire().await.map_err(|_| ObjectError::Stopping)?;
        blocking(move || flush.flush()).await?
    }

    /// Makes an upload's whole and flushed file a blob. It is not read: its digest is the recorded one, that of what was sent, and one of
    /// which there is none is [lost](ObjectError::Lost). May be repeated, also when the file has become the blob before.
    pub async fn place_growing(
        &self,
        id: Uuid,
        length: u64,
        digest: Option<[u8; 32]>,
        blob: &BlobName,
    ) -> Result<[u8; 32], ObjectError> {
        let (from, to) = (self.growing_path(id), self.path_of(blob));
        blocking(move || {
            let digest = digest.ok_or_else(|| ObjectError::Lost(from.clone()))?;
            let _alone = lock_either(&from, &to)?;
            must_have_length(if from.exists() { &from } else { &to }, length)?;
            move_durably(&from, &to)?;
            remove_file(&mark_of(&from))?;
            Ok(digest)
        })
        .await?
    }

    /// Removes uploads' files. Those that are gone already do not matter.
    pub async fn remove_growing(&self, ids: Vec<Uuid>) -> Result<(), ObjectError> {
        let paths: Vec<PathBuf> = ids.into_iter().map(|id| self.growing_path(id)).collect();
        let remove = |path: &PathBuf| remove_file(path).and_then(|()| remove_file(&mark_of(path)));
        blocking(move || paths.iter().try_for_each(remove)).await?
    }

    /// The uploads whose files were last written before a moment.
    pub async fn growing_older_than(&self, moment: SystemTime) -> Result<Vec<Uuid>, ObjectError> {
        let folder = self.growing.clone();
        blocking(move || list_older(&folder, moment)).await?
    }

    fn growing_path(&self, id: Uuid) -> PathBuf {
        self.growing.join(id.to_string())
    }
}

fn mark_of(path: &Path) -> PathBuf {
    path.with_extension(MARK)
}

/// What the name of a mark ends with.
const MARK: &str = "mark";

fn recover(path: &Path, offset: u64, length: u64) -> io::Result<Option<Recovered>> {
    let mark = match fs::read(mark_of(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let Some((from, to, chunk_digest, digest)) = read_mark(&mark) else { return Ok(None) };
    if from > offset || to <= offset || to > length {
        return Ok(None);
    }
    let mut file = File::options().read(true).write(true).open(path)?;
    // Somebody who still writes it knows better.
    if file.try_lock().is_err() {
        return Ok(None);
    }
    // First, and then the disk is asked: the process may have been killed while a flush was failing.
    let folder = path.parent().expect("an upload lies in a folder");
    if let Err(error) = sync_data(&file, path).and_then(|()| sync_folder(folder)) {
        // It is told once: whoever asks next would hear that all is well.
        let _ = remove_file(&mark_of(path));
        return Err(io::Error::other(error));
    }
    forget_cached(&file, from..to, FOLIO_BYTES_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader((&file).take(to - from))?;
    if hasher.count() != to - from || *hasher.finalize().as_bytes() != chunk_digest {
        return Ok(None);
    }
    Ok(Some(Recovered { from, to, chunk_digest, digest, _locked: file }))
}

fn read_mark(mark: &[u8]) -> Option<(u64, u64, [u8; 32], [u8; 32])> {
    let (from, rest) = mark.split_first_chunk()?;
    let (to, rest) = rest.split_first_chunk()?;
    let (chunk_digest, digest) = rest.split_first_chunk()?;
    Some((u64::from_le_bytes(*from), u64::from_le_bytes(*to), *chunk_digest, digest.try_into().ok()?))
}

/// How many bytes are read and hashed between two looks whether somebody has stopped it: some hundredths of a second on a slow disk.
const HASHED_AT_ONCE: u64 = 4 * 1024 * 1024;

/// The hash of bytes on the disk.
enum Hashed {
    All(blake3::Hasher),
    Stopped(blake3::Hasher),
}

/// The hash of the bytes before the offset, which are those that were sent.
fn hash_before(
    reached: Reached,
    file: &mut File,
    path: &Path,
    stop: &CancellationToken,
) -> Result<Hashed, ObjectError> {
    let Reached { offset, digest, running } = reached;
    if offset > 0 && digest.is_none() {
        // Nothing tells what they were, and reading gigabytes would not either.
        return Err(ObjectError::Lost(path.to_owned()));
    }
    let is_recorded = |hasher: &blake3::Hasher| offset == 0 || Some(*hasher.finalize().as_bytes()) == digest;
    let kept = running.filter(|running| running.count() <= offset);
    // What was kept of other bytes says nothing against those on the disk.
    for mut hasher in kept.into_iter().chain([blake3::Hasher::new()]) {
        if !hash_on(&mut hasher, offset, file, stop).map_err(|error| unreadable(error, path))? {
            return Ok(Hashed::Stopped(hasher));
        }
        if is_recorded(&hasher) {
            return Ok(Hashed::All(hasher));
        }
    }
    Err(ObjectError::Lost(path.to_owned()))
}

/// What a disk cannot read is lost, and is sent anew: it would fail again and again. That this process has run out of something says nothing of
/// the bytes.
fn unreadable(error: io::Error, path: &Path) -> ObjectError {
    if is_shortage(&error) {
        return ObjectError::disk("read", path)(error);
    }
    tracing::error!(%error, path = %path.display(), "an upload's flushed bytes cannot be read");
    ObjectError::Lost(path.to_owned())
}

/// Reads on from where a hash is, up to the offset; false when it was stopped before.
fn hash_on(
    hasher: &mut blake3::Hasher,
    offset: u64,
    file: &mut File,
    stop: &CancellationToken,
) -> io::Result<bool> {
    file.seek(SeekFrom::Start(hasher.count()))?;
    while hasher.count() < offset {
        if stop.is_cancelled() {
            return Ok(false);
        }
        let (before, left) = (hasher.count(), offset - hasher.count());
        hasher.update_reader((&*file).take(left.min(HASHED_AT_ONCE)))?;
        if hasher.count() == before {
            break;
        }
    }
    Ok(true)
}

/// Fails when the bytes of a flushed file are not all there.
fn must_have_length(path: &Path, length: u64) -> Result<(), ObjectError> {
    let found = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ObjectError::Lost(path.to_owned()),
        _ => ObjectError::disk("look at", path)(error),
    })?;
    if found.len() == length { Ok(()) } else { Err(ObjectError::Lost(path.to_owned())) }
}

/// Locks a whole file, in whichever of its two places it is. It may be moved between two looks, and moved back.
fn lock_either(from: &Path, to: &Path) -> Result<File, ObjectError> {
    for path in [from, to, from, to] {
        let file = match File::options().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(ObjectError::disk("open", path))?,
        };
        lock(&file, path)?;
        return Ok(file);
    }
    Err(ObjectError::Lost(from.to_owned()))
}

fn lock(file: &File, path: &Path) -> Result<(), ObjectError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => ObjectError::Locked(path.to_owned()),
        TryLockError::Error(error) => ObjectError::disk("lock", path)(error),
    })
}

/// Renames a file, unless somebody did already, and flushes the folder that it is in now. Where that fails, it is moved back, so that whoever
/// tries next writes the name anew: to flush the folder once more would say that all is well, and write nothing. The file is locked
/// meanwhile: nobody finds it in its place, and makes an object of it, before it is moved back.
fn move_durably(from: &Path, to: &Path) -> Result<(), ObjectError> {
    let folder = Folder::of(to)?;
    let is_moved = match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound || !to.exists() => {
            return Err(ObjectError::disk("move a blob to", to)(error));
        }
        renamed => renamed.is_ok(),
    };
    let flushed = folder.flush();
    if flushed.is_err()
        && is_moved
        && let Err(error) = fs::rename(to, from)
    {
        tracing::error!(%error, path = %to.display(), "a name that could not be flushed cannot be taken back");
    }
    flushed
}

fn list_older(folder: &Path, moment: SystemTime) -> Result<Vec<Uuid>, ObjectError> {
    let mut older = Vec::new();
    for entry in fs::read_dir(folder).map_err(ObjectError::disk("list", folder))? {
        let entry = entry.map_err(ObjectError::disk("list", folder))?;
        let name = entry.file_name();
        // A mark without its file goes as the file would.
        let stem = name
            .to_str()
            .map(|name| name.strip_suffix(MARK).and_then(|stem| stem.strip_suffix('.')).unwrap_or(name));
        let id = stem.and_then(|name| Uuid::try_parse(name).ok());
        let written = entry.metadata().and_then(|metadata| metadata.modified());
        if let (Some(id), Ok(written)) = (id, written)
            && written < moment
        {
            older.push(id);
        }
    }
    older.sort_unstable();
    older.dedup();
    Ok(older)
}

#[cfg(test)]
#[path = "growing_tests.rs"]
mod tests;
