//! The content hash of an asset, from one reading of its bytes, and the source that gives the same bytes again.
//!
//! A fingerprint taken from the open file before and after proves, as far as a file system can, that nothing
//! changed in between; an asset that changed is dropped here and planned again in the next run.

use std::io::{self, Read};

use bytes::Bytes;
use darkslide_crypto::stream::CHUNK_LEN;
use darkslide_crypto::{ContentHash, ContentHasher};
use darkslide_media::live_container::{Content, LayoutError, LiveContainer};

use super::encrypt::{Segment, Source};
use super::identify::{Asset, Component, Kept};
use crate::buffers::{Buffer, Buffers};
use crate::library::archive::Stretches;
use crate::library::opened::Opened;

/// Bytes read at once.
const READ_LEN: usize = 256 * 1024;

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
        None => Ok(Hashed { content: read(&asset.main)?.content, source: on_disk(&asset.main) }),
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

/// The source that reads a file again.
pub(super) fn on_disk(component: &Component) -> Source {
    Source::new(vec![file_segment(component)])
}

/// All bytes of a small file, in a buffer of just that length.
fn read_whole(component: &Component, buffers: &Buffers) -> Result<Buffer, HashError> {
    let size = usize::try_from(component.fingerprint.size).map_err(|_| HashError::Changed)?;
    let mut file = open_unchanged(component)?;
    // One more than there should be: a file that grew is noticed without reading it all.
    let mut kept = buffers.take(size + 1);
    (&mut file).take(size as u64 + 1).read_to_end(&mut kept)?;
    if kept.len() != size || file.fingerprint()? != component.fingerprint {
        return Err(HashError::Changed);
    }
    Ok(kept)
}

fn open_unchanged(component: &Component) -> Result<Opened, HashError> {
    let file = Opened::open(&component.path, component.entry.as_ref())?;
    if file.fingerprint()? == component.fingerprint { Ok(file) } else { Err(HashError::Changed) }
}

fn hash_live(still: &Component, video: &Component) -> Result<Hashed, HashError> {
    let (read_still, read_video) = (read(still)?, read(video)?);
    let content = ContentHash::live_photo(read_still.content, read_video.content)
        .expect("a file's hash is that of a single content");
    let container =
        LiveContainer::new(&extension(still), read_still.size, &extension(video), read_video.size)?;
    let around = |bytes: &[u8]| Segment::Bytes(Bytes::copy_from_slice(bytes));
    let source = Source::new(vec![
        around(container.header()),
        file_segment(still),
        around(container.middle()),
        file_segment(video),
        around(container.trailer()),
    ]);
    Ok(Hashed { content, source })
}

/// In lower case: what is sealed under a key that was pinned to a content must not depend on how a name is written.
fn extension(component: &Component) -> String {
    component.path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

fn file_segment(component: &Component) -> Segment {
    match &component.entry {
        Some(entry) => Segment::Entry(Stretches::new(entry.clone())),
        None => Segment::File { path: component.path.clone(), fingerprint: component.fingerprint },
    }
}

struct ReadOnce {
    content: ContentHash,
    size: Content,
}

fn read(component: &Component) -> Result<ReadOnce, HashError> {
    let mut file = open_unchanged(component)?;
    let mut hasher = ContentHasher::new();
    let mut checksum = crc32fast::Hasher::new();
    let mut len = 0;
    let mut buffer = vec![0; READ_LEN];
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        hasher.update(bytes);
        checksum.update(bytes);
        len += count as u64;
        if len > component.fingerprint.size {
            return Err(HashError::Changed);
        }
    }
    if len != component.fingerprint.size || file.fingerprint()? != component.fingerprint {
        return Err(HashError::Changed);
    }
    Ok(ReadOnce { content: hasher.finish(), size: Content { len, crc32: checksum.finalize() } })
}
