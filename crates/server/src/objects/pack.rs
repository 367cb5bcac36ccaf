//! Many small objects on their way into one file: a *pack*, which is a blob whose objects have offsets.
//!
//! They come in one request and share its one flush; from then on a pack is a blob like any other, written once and never
//! again. It is removed when nothing names a part of it; what a purge leaves in it is moved together by `jobs/compact`.

use super::incoming::{NewFile, TemporaryFile, blocking};
use super::{Digest, ObjectError, Objects};
use bytes::Bytes;
use std::path::PathBuf;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// How many bytes are gathered before they go to a blocking thread.
const GATHERED_BYTES: usize = 512 * 1024;

/// One object in a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// What the client calls it.
    pub id: Uuid,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Of its bytes.
    pub digest: Digest,
}

/// A pack that has arrived whole and is flushed, under a temporary name. Dropped, it is removed.
#[derive(Debug)]
pub struct IncomingPack {
    /// Its objects, in order.
    pub objects: Vec<Packed>,
    pub(super) file: TemporaryFile,
}

/// What goes into the file, in order.
enum Piece {
    Begin(Uuid),
    Bytes(Bytes),
    End,
}

/// The file, and the object that is being written. Moves between blocking threads.
struct Disk {
    file: NewFile,
    length: u64,
    open: Option<(Uuid, u64, blake3::Hasher)>,
    objects: Vec<Packed>,
}

impl Disk {
    fn take(&mut self, pieces: &[Piece]) -> Result<(), ObjectError> {
        let mut batch = Vec::with_capacity(pieces.len());
        for piece in pieces {
            match piece {
                Piece::Begin(id) => self.open = Some((*id, self.length, blake3::Hasher::new())),
                Piece::Bytes(bytes) => {
                    if let Some((_, _, hasher)) = &mut self.open {
                        hasher.update(bytes);
                    }
                    self.length += bytes.len() as u64;
                    batch.push(bytes);
                }
                Piece::End => self.close_object(),
            }
        }
        self.file.append(&batch)
    }

    fn close_object(&mut self) {
        if let Some((id, offset, hasher)) = self.open.take() {
            let digest = Digest::Blake3(hasher.finalize().into());
            self.objects.push(Packed { id, offset, length: self.length - offset, digest });
        }
    }

    fn finish(self) -> Result<IncomingPack, ObjectError> {
        // A pack of empty objects is a file all the same.
        let file = self.file.finish()?;
        Ok(IncomingPack { objects: self.objects, file })
    }
}

/// Writes one pack. While one batch of pieces is hashed and written, the next is gathered, and no third is begun.
pub struct PackWriter<'o> {
    objects: &'o Objects,
    writing: JoinHandle<Result<Disk, ObjectError>>,
    gathered: Vec<Piece>,
    bytes: usize,
}

impl std::fmt::Debug for PackWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackWriter").field("gathered", &self.bytes).finish_non_exhaustive()
    }
}

impl<'o> PackWriter<'o> {
    fn new(objects: &'o Objects, path: PathBuf) -> Self {
        let disk = Disk { file: NewFile::new(path), length: 0, open: None, objects: Vec::new() };
        Self { objects, writing: tokio::spawn(async move { Ok(disk) }), gathered: Vec::new(), bytes: 0 }
    }

    /// Begins an object; the one before it must have ended.
    pub fn begin(&mut self, id: Uuid) {
        self.gathered.push(Piece::Begin(id));
    }

    /// Ends the object.
    pub fn end(&mut self) {
        self.gathered.push(Piece::End);
    }

    /// Bytes of the object.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), ObjectError> {
        self.bytes += bytes.len();
        self.gathered.push(Piece::Bytes(bytes));
        if self.bytes >= GATHERED_BYTES {
            let pieces = std::mem::take(&mut self.gathered);
            self.bytes = 0;
            let mut disk = self.written().await?;
            self.writing = tokio::task::spawn_blocking(move || {
                disk.take(&pieces)?;
                Ok(disk)
            });
        }
        Ok(())
    }

    /// Flushes the pack.
    pub async fn finish(mut self) -> Result<IncomingPack, ObjectError> {
        let pieces = std::mem::take(&mut self.gathered);
        let mut disk = self.written().await?;
        let _turn = self.objects.flushes.acquire().await.map_err(|_| ObjectError::Stopping)?;
        blocking(move || {
            disk.take(&pieces)?;
            disk.finish()
        })
        .await?
    }

    async fn written(&mut self) -> Result<Disk, ObjectError> {
        (&mut self.writing).await.map_err(|_| ObjectError::Stopping)?
    }
}

impl Objects {
    /// Begins a pack.
    pub fn pack(&self) -> PackWriter<'_> {
        PackWriter::new(self, self.temporary_path())
    }
}
