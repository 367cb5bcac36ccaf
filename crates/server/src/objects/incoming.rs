//! Bytes on their way in: from a request's body to a flushed temporary file, hashed as they pass.
//!
//! Memory stays at two batches an upload, whatever the object's size: while one batch is hashed and written on a blocking thread,
//! the next is read from the network, and no third is begun. What is dropped half-way leaves no file behind.

use super::digest::{Digest, Hasher};
use super::flush::sync_data;
use super::{ObjectError, Objects};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use md5::{Digest as _, Md5};
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How many bytes are gathered before they go to a blocking thread.
const BATCH_BYTES: usize = 512 * 1024;

/// What a sender may do.
#[derive(Clone, Copy, Debug)]
pub struct ReceiveLimits {
    /// The most bytes that it may send.
    pub longest: u64,
    /// How long it may send nothing.
    pub idle: Duration,
}

/// A body that has arrived whole and is flushed, under a temporary name. Dropped, it is removed.
#[derive(Debug)]
pub struct Incoming {
    /// Bytes.
    pub length: u64,
    /// MD5 of the bytes: what clients compare.
    pub md5: [u8; 16],
    /// What is compared when the bytes are read back.
    pub digest: Digest,
    pub(super) file: TemporaryFile,
}

/// A path that is removed when its owner goes, unless it was moved away before.
#[derive(Debug)]
pub(super) struct TemporaryFile(PathBuf);

impl TemporaryFile {
    pub(super) fn path(&self) -> &PathBuf {
        &self.0
    }

    /// The file has another name now.
    pub(super) fn moved_away(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // It may never have been created; what else goes wrong is put right when the next process starts.
            let _ = fs::remove_file(&self.0);
        }
    }
}

/// A file that is made when its first batch comes.
#[derive(Debug)]
pub(super) struct NewFile {
    path: TemporaryFile,
    file: Option<darkslide_disk::Writer>,
}

impl NewFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path: TemporaryFile(path), file: None }
    }

    /// Writes a batch.
    pub(super) fn append<B: AsRef<[u8]>>(&mut self, batch: &[B]) -> Result<(), ObjectError> {
        let written = self.made()?.append(batch, |_| ());
        written.map_err(ObjectError::disk("write", self.path.path()))
    }

    /// Flushes it, with all that was written, if anything was.
    pub(super) fn finish(mut self) -> Result<TemporaryFile, ObjectError> {
        let path = self.path.path().clone();
        let file = self.made()?;
        file.end::<Bytes>(&[], |_| ()).map_err(ObjectError::disk("flush", &path))?;
        sync_data(file.file(), &path)?;
        Ok(self.path)
    }

    fn made(&mut self) -> Result<&mut darkslide_disk::Writer, ObjectError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let path = self.path.path();
                let file = File::create_new(path).map_err(ObjectError::disk("create", path))?;
                darkslide_disk::Writer::new(file, 0)
            }
        };
        Ok(self.file.insert(file))
    }
}

/// The file being written, and the hashes so far. Moves between blocking threads with each batch.
struct Writer {
    file: NewFile,
    length: u64,
    md5: Md5,
    digest: Hasher,
}

impl Writer {
    fn new(path: PathBuf) -> Self {
        Self { file: NewFile::new(path), length: 0, md5: Md5::new(), digest: Hasher::new() }
    }

    fn write(&mut self, batch: &[Bytes]) -> Result<(), ObjectError> {
        for bytes in batch {
            self.length += bytes.len() as u64;
            self.md5.update(bytes);
            self.digest.update(bytes);
        }
        self.file.append(batch)
    }

    fn finish(self) -> Result<Incoming, ObjectError> {
        let file = self.file.finish()?;
        Ok(Incoming {
            length: self.length,
            md5: self.md5.finalize().into(),
            digest: self.digest.digest(),
            file,
        })
    }
}

impl Objects {
    /// Receives a body to its end, into a flushed temporary file.
    pub async fn receive<S, E>(&self, mut body: S, limits: ReceiveLimits) -> Result<Incoming, ObjectError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut gathered = 0;
        let mut writing: JoinHandle<Result<Writer, ObjectError>> = {
            let writer = Writer::new(self.temporary_path());
            tokio::spawn(async move { Ok(writer) })
        };
        loop {
            let (batch, ended) = gather(&mut body, limits, &mut gathered).await?;
            let mut writer = writing.await.map_err(|_| ObjectError::Stopping)??;
            if ended {
                let _turn = self.flushes.acquire().await.map_err(|_| ObjectError::Stopping)?;
                return blocking(move || {
                    writer.write(&batch)?;
                    writer.finish()
                })
                .await?;
            }
            writing = tokio::task::spawn_blocking(move || {
                writer.write(&batch)?;
                Ok(writer)
            });
        }
    }
}

/// Runs what waits for the disk on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ObjectError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ObjectError::Stopping)
}

/// Reads until a batch is full or the body ends, and says which.
async fn gather<S, E>(
    body: &mut S,
    limits: ReceiveLimits,
    gathered: &mut u64,
) -> Result<(Vec<Bytes>, bool), ObjectError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut batch = Vec::new();
    let mut size = 0;
    while size < BATCH_BYTES {
        let next = tokio::time::timeout(limits.idle, body.next());
        let Some(frame) = next.await.map_err(|_| ObjectError::Stalled(limits.idle))? else {
            return Ok((batch, true));
        };
        let bytes = frame.map_err(|error| ObjectError::BrokenOff(error.into()))?;
        size += bytes.len();
        *gathered += bytes.len() as u64;
        if *gathered > limits.longest {
            return Err(ObjectError::TooLong(limits.longest));
        }
        batch.push(bytes);
    }
    Ok((batch, false))
}
