//! Many small objects on their way into one file: a *pack*, which is a blob whose objects have offsets.
//!
//! They come in one request and share its one flush; from then on a pack is a blob like any other, written once and never
//! again. It is removed when nothing names a part of it; what a purge leaves in it is moved together by `jobs/compact`.

use super::incoming::{NewFile, TemporaryFile, blocking};
use super::{Digest, ObjectError, Objects};
use bytes::Bytes;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// How many bytes are gathered at most before they go to a blocking thread.
const GATHERED_BYTES_MAX: usize = 512 * 1024;

/// How many are gathered at least, however many packs there are.
const GATHERED_BYTES_MIN: usize = 128 * 1024;

/// How many all packs that are under way gather together, and as many again may be on their way to the disk: where many come at once,
/// each goes in smaller steps, and none waits for another.
const GATHERED_BYTES_TOGETHER: usize = 16 * 1024 * 1024;

/// How much one of so many packs gathers, in bytes.
fn share_of(packs: usize) -> usize {
    (GATHERED_BYTES_TOGETHER / packs.max(1)).clamp(GATHERED_BYTES_MIN, GATHERED_BYTES_MAX)
}

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
        objects.packs.fetch_add(1, Ordering::Relaxed);
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
        if self.bytes >= share_of(self.objects.packs.load(Ordering::Relaxed)) {
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

impl Drop for PackWriter<'_> {
    fn drop(&mut self) {
        self.objects.packs.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Objects {
    /// Begins a pack.
    pub fn pack(&self) -> PackWriter<'_> {
        PackWriter::new(self, self.temporary_path())
    }
}

#[cfg(test)]
mod tests {
    use super::super::BlobName;
    use super::super::flush::faults::fail_next;
    use super::*;

    #[test]
    fn many_packs_gather_no_more_than_a_few() {
        assert_eq!([1, 32, 64, 1000].map(share_of), [512, 512, 256, 128].map(|kib| kib * 1024));
    }

    async fn packed(objects: &Objects) -> PackWriter<'_> {
        let mut pack = objects.pack();
        pack.begin(Uuid::nil());
        pack.write(Bytes::from_static(b"bytes")).await.unwrap();
        pack.end();
        pack
    }

    /// A batch that comes again is another file with another name: nothing vouches for the one that could not be flushed.
    #[tokio::test]
    async fn a_pack_that_could_not_be_flushed_is_neither_placed_nor_placed_again() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(folder.path()).unwrap();
        let name = BlobName::generate(Uuid::new_v4(), 0);
        // Its bytes.
        let pack = packed(&objects).await;
        let next = objects.temporary_path();
        let number: u64 = next.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let path = next.with_file_name((number - 1).to_string());
        fail_next(&path);
        pack.finish().await.unwrap_err();
        assert!(!path.exists());
        // Its name.
        let pack = packed(&objects).await.finish().await.unwrap();
        fail_next(objects.path_of(&name).parent().unwrap());
        objects.place_pack(pack, &name).await.unwrap_err();
        let again = BlobName::generate(Uuid::new_v4(), 0);
        let pack = packed(&objects).await.finish().await.unwrap();
        objects.place_pack(pack, &again).await.unwrap();
        assert_eq!(std::fs::read(objects.path_of(&again)).unwrap(), b"bytes");
    }

    #[tokio::test]
    async fn a_pack_counts_until_it_is_finished_or_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(folder.path()).unwrap();
        let count = || objects.packs.load(Ordering::Relaxed);
        let (one, other) = (objects.pack(), objects.pack());
        assert_eq!(count(), 2);
        drop(one);
        assert_eq!(count(), 1);
        drop(other.finish().await.unwrap());
        assert_eq!(count(), 0);
    }
}
