//! The content hash of an asset, from one reading of its bytes, and the source that gives the same bytes again.
//!
//! A fingerprint taken from the open file before and after proves, as far as a file system can, that nothing
//! changed in between; an asset that changed is dropped here and planned again in the next run.

use std::io::{self, Read};
use std::ops::Deref;
use std::sync::mpsc;

use bytes::Bytes;
use darkslide_crypto::stream::CHUNK_LEN;
use darkslide_crypto::{ContentHash, ContentHasher};
use darkslide_media::live_container::{Content, LayoutError, LiveContainer};

use super::encrypt::{Expected, Segment, Source};
use super::identify::{Asset, Component, Kept};
use super::sums::{Summing, Sums};
use crate::buffers::{Buffer, Buffers};
use crate::library::archive::Stretches;
use crate::library::opened::Opened;

/// Bytes read at once.
const READ_LEN: usize = 256 * 1024;

/// Pieces that are read ahead of the hash.
const READ_AHEAD: usize = 4;

/// Files of so many bytes are read ahead: for smaller ones a thread is not worth its while.
const READ_AHEAD_MIN: u64 = 16 << 20;

/// What hashing found.
#[derive(Debug)]
pub struct Hashed {
    /// The content's name.
    pub content: ContentHash,
    /// The plaintext that becomes the object: the file itself, or a Live Photo's container.
    pub source: Source,
}

/// Why an asset has no content hash.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// It is gone, or may not be read, or the disk failed.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is being written.
    #[error("it changed while it was read; the next run takes it up again")]
    Changed,
    /// The two halves of a Live Photo fit into no container.
    #[error("it cannot be stored as a Live Photo: {0}")]
    Layout(#[from] LayoutError),
}

/// Reads an asset once. Blocks.
pub fn hash(asset: &mut Asset) -> Result<Hashed, HashError> {
    match &asset.motion {
        None if is_kept(asset) => hash_kept(std::slice::from_mut(asset), &Buffers::default()).remove(0),
        None => {
            let (content, sums) = read(&asset.main, |_| ())?;
            Ok(Hashed { content, source: Source::new(vec![file_segment(&asset.main, Expected::Sums(sums))]) })
        }
        Some(motion) => hash_live(&asset.main, motion),
    }
}

/// Whether an asset is kept in memory from its hash to its upload.
pub(super) fn is_kept(asset: &Asset) -> bool {
    asset.motion.is_none() && asset.main.fingerprint.size <= CHUNK_LEN as u64
}

/// Reads assets that are [kept](is_kept), each once if it was not read before, and hashes them side by side. They are kept as they were read, so that the bytes
/// that are sent are the bytes that were hashed, whatever becomes of the files meanwhile. One answer each, in their order. Blocks.
pub(super) fn hash_kept(assets: &mut [Asset], buffers: &Buffers) -> Vec<Result<Hashed, HashError>> {
    let bytes = |asset: &mut Asset| match asset.main.kept.take() {
        Some(Kept(bytes)) => Ok(bytes),
        None => read_whole(&asset.main, buffers).map(Bytes::from),
    };
    let read: Vec<_> = assets.iter_mut().map(bytes).collect();
    let whole: Vec<&[u8]> = read.iter().flatten().map(|kept| &**kept).collect();
    let mut contents = ContentHash::of_each(&whole).into_iter();
    let mut with_hash = |kept: Bytes| Hashed {
        content: contents.next().expect("each that was read has a hash"),
        source: Source::new(vec![Segment::Bytes(kept)]),
    };
    read.into_iter().map(|read| read.map(&mut with_hash)).collect()
}

/// The source that reads a file again which was [kept](is_kept) until now.
pub(super) fn on_disk(component: &Component, content: ContentHash) -> Source {
    Source::new(vec![file_segment(component, Expected::Content(content))])
}

/// All bytes of a small file, in a buffer of just that length.
fn read_whole(component: &Component, buffers: &Buffers) -> Result<Buffer, HashError> {
    let size = usize::try_from(component.fingerprint.size).map_err(|_| HashError::Changed)?;
    let mut file = open_unchanged(component)?;
    // One more than there should be: a file that grew is noticed without reading it all.
    let mut kept = buffers.take(size + 1);
    file.append_to(&mut kept, size as u64 + 1)?;
    if kept.len() != size || file.fingerprint()? != component.fingerprint {
        return Err(HashError::Changed);
    }
    Ok(kept)
}

pub(super) fn open_unchanged(component: &Component) -> Result<Opened, HashError> {
    let file = Opened::open(&component.path, component.entry.as_ref())?;
    if file.fingerprint()? == component.fingerprint { Ok(file) } else { Err(HashError::Changed) }
}

fn hash_live(still: &Component, video: &Component) -> Result<Hashed, HashError> {
    let (still_hash, still_size, still_sums) = read_half(still)?;
    let (video_hash, video_size, video_sums) = read_half(video)?;
    let content =
        ContentHash::live_photo(still_hash, video_hash).expect("a file's hash is that of a single content");
    let container = LiveContainer::new(&extension(still), still_size, &extension(video), video_size)?;
    let around = |bytes: &[u8]| Segment::Bytes(Bytes::copy_from_slice(bytes));
    let source = Source::new(vec![
        around(container.header()),
        file_segment(still, Expected::Sums(still_sums)),
        around(container.middle()),
        file_segment(video, Expected::Sums(video_sums)),
        around(container.trailer()),
    ]);
    Ok(Hashed { content, source })
}

/// The hash of a Live Photo's half, and what its container says of it.
fn read_half(component: &Component) -> Result<(ContentHash, Content, Sums), HashError> {
    let mut checksum = crc32fast::Hasher::new();
    let (hash, sums) = read(component, |bytes| checksum.update(bytes))?;
    Ok((hash, Content { len: component.fingerprint.size, crc32: checksum.finalize() }, sums))
}

/// In lower case: what is sealed under a key that was pinned to a content must not depend on how a name is written.
fn extension(component: &Component) -> String {
    component.path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

fn file_segment(component: &Component, bytes: Expected) -> Segment {
    match &component.entry {
        Some(entry) => Segment::Entry(Stretches::new(entry.clone()), bytes),
        None => Segment::File { path: component.path.clone(), fingerprint: component.fingerprint, bytes },
    }
}

/// Reads a single file once, so many bytes at a time. `take` gets these, with how many there are up to their end and the content hash of all,
/// and says whether to go on. Blocks.
pub(super) fn hash_in_chunks(
    asset: &Asset,
    at_once: usize,
    mut take: impl FnMut(Piece, u64, ContentHash) -> bool,
) -> Result<Hashed, HashError> {
    let mut sums = Summing::default();
    let content = read_checked(&asset.main, |file, hasher| {
        let size = asset.main.fingerprint.size;
        let mut len = 0;
        read_ahead(file, (at_once, read_full), &mut |chunk| {
            hasher.update(&chunk);
            sums.update(&chunk);
            len += chunk.len() as u64;
            len <= size && take(chunk, len, hasher.finish())
        })?;
        Ok(len)
    })?;
    let bytes = Expected::Sums(sums.finish());
    Ok(Hashed { content, source: Source::new(vec![file_segment(&asset.main, bytes)]) })
}

/// Reads a file once: its content hash, and its checksums. `also` sees every byte. Blocks.
fn read(component: &Component, mut also: impl FnMut(&[u8])) -> Result<(ContentHash, Sums), HashError> {
    let mut sums = Summing::default();
    let content = read_checked(component, |file, hasher| {
        let size = component.fingerprint.size;
        let mut len = 0;
        let mut take = |bytes: &[u8]| {
            hasher.update(bytes);
            sums.update(bytes);
            also(bytes);
            len += bytes.len() as u64;
            len <= size
        };
        if size < READ_AHEAD_MIN {
            read_pieces(file, &mut take)?;
        } else {
            read_ahead(file, (READ_LEN, read_some), &mut |piece| take(&piece))?;
        }
        Ok(len)
    })?;
    Ok((content, sums.finish()))
}

/// The content hash of a file that stays what it was while `read` hashes it and says how many bytes it had.
fn read_checked(
    component: &Component,
    read: impl FnOnce(&mut Opened, &mut ContentHasher) -> io::Result<u64>,
) -> Result<ContentHash, HashError> {
    let mut file = open_unchanged(component)?;
    let mut hasher = ContentHasher::new();
    let len = read(&mut file, &mut hasher)?;
    if len != component.fingerprint.size || file.fingerprint()? != component.fingerprint {
        return Err(HashError::Changed);
    }
    Ok(hasher.finish())
}

/// Hands on all bytes, until they are not wanted.
pub(super) fn read_pieces(file: &mut impl Read, take: &mut impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    let mut buffer = vec![0; READ_LEN];
    loop {
        let count = read_some(file, &mut buffer)?;
        if count == 0 || !take(buffer.get(..count).unwrap_or_default()) {
            return Ok(());
        }
    }
}

/// Bytes of a file. Their buffer is filled anew once they are dropped.
#[derive(Debug)]
pub(super) struct Piece {
    buffer: Vec<u8>,
    count: usize,
    give_back: mpsc::SyncSender<Vec<u8>>,
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.buffer.get(..self.count).unwrap_or_default()
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // There is room for all of them; the reader may have ended.
        let _ = self.give_back.try_send(std::mem::take(&mut self.buffer));
    }
}

/// How a buffer is filled; zero bytes are the end.
type Fill<F> = fn(&mut F, &mut [u8]) -> io::Result<usize>;

/// The same; the next pieces are read while one is taken.
fn read_ahead<F: Read + Send>(
    file: &mut F,
    (len, fill): (usize, Fill<F>),
    take: &mut impl FnMut(Piece) -> bool,
) -> io::Result<()> {
    let (full, pieces) = mpsc::sync_channel(READ_AHEAD);
    let (give_back, empty) = mpsc::sync_channel(READ_AHEAD);
    for _ in 0..READ_AHEAD {
        give_back.send(vec![0; len]).expect("there is room for all of them");
    }
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // The other side lets go when it wants no more.
            while let Ok(mut buffer) = empty.recv() {
                let read = fill(file, &mut buffer);
                let is_last = !matches!(read, Ok(1..));
                if full.send(read.map(|count| (buffer, count))).is_err() || is_last {
                    return;
                }
            }
        });
        let give_back = give_back;
        while let Ok(piece) = pieces.recv() {
            let (buffer, count) = piece?;
            if count == 0 || !take(Piece { buffer, count, give_back: give_back.clone() }) {
                break;
            }
        }
        drop(pieces);
        Ok(())
    })
}

/// Fills a buffer, unless the file ends.
fn read_full(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match read_some(file, rest)? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}

fn read_some(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time, and fails at the end if it should.
    struct Trickle(u32, bool);

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 -= 1;
            match self.0 {
                0 if self.1 => Err(io::ErrorKind::UnexpectedEof.into()),
                0 => Ok(0),
                left if left % 7 == 0 => Err(io::ErrorKind::Interrupted.into()),
                left => {
                    buffer[..4].copy_from_slice(&left.to_le_bytes());
                    Ok(4)
                }
            }
        }
    }

    #[test]
    fn ahead_and_in_turn_are_the_same() {
        let both = |left, fails, most: usize| {
            let (mut in_turn, mut ahead) = (Vec::new(), Vec::new());
            let first = read_pieces(&mut Trickle(left, fails), &mut |bytes| {
                in_turn.extend_from_slice(bytes);
                in_turn.len() < most
            });
            let second = read_ahead(&mut Trickle(left, fails), (READ_LEN, read_some), &mut |piece| {
                ahead.extend_from_slice(&piece);
                ahead.len() < most
            });
            assert_eq!(first.map_err(|error| error.kind()), second.map_err(|error| error.kind()));
            assert_eq!(in_turn, ahead);
            in_turn.len()
        };
        assert_eq!(both(1, false, usize::MAX), 0);
        assert!(both(1000, false, usize::MAX) > 3000);
        both(1000, true, usize::MAX);
        assert_eq!(both(1000, true, 400), 400);
    }
}
