//! From plaintext on disk to ciphertext in pieces, starting at any chunk, in constant memory.
//!
//! A [`Source`] gives the same bytes as often as it is opened or says that it cannot; a [`Seal`] binds it to one
//! file key and one stream header, which never meet other content.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;
use darkslide_crypto::ContentHash;
use darkslide_crypto::keys::FileKey;
use darkslide_crypto::stream::{
    CHUNK_LEN, EncryptingReader, SEALED_CHUNK_LEN, StreamHeader, StreamPosition, ciphertext_len,
};
use md5::{Digest as _, Md5};

use super::sums::{Compared, Sums};
use crate::catalog::Fingerprint;
use crate::library::archive::Stretches;
use crate::library::folder::fingerprint;

/// Ciphertext bytes of every chunk but the last.
const SEALED_CHUNK: u64 = SEALED_CHUNK_LEN as u64;

/// Ciphertext bytes handed on at once.
pub(super) const PIECE_LEN: usize = 256 * 1024;

/// One stretch of a source.
#[derive(Clone, Debug)]
pub enum Segment {
    /// Bytes in memory.
    Bytes(Bytes),
    /// A whole file.
    File {
        /// Where it is.
        path: PathBuf,
        /// What it must still be.
        fingerprint: Fingerprint,
        /// What its bytes were.
        bytes: Expected,
    },
    /// A whole entry of an archive, and what its bytes were.
    Entry(Stretches, Expected),
}

/// What the bytes of a file were when they were hashed.
#[derive(Clone, Debug)]
pub enum Expected {
    /// Chunk by chunk.
    Sums(Sums),
    /// All of a file that is no longer than a chunk.
    Content(ContentHash),
}

impl Expected {
    /// The bytes from `offset` on of a file of `len` bytes, as long as they are those.
    fn open_at<R: Read + Send + 'static>(
        &self,
        offset: u64,
        len: u64,
        open: impl FnOnce(u64) -> io::Result<R>,
    ) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Self::Sums(sums) => Ok(Box::new(Compared::open_at(offset, len, sums, open)?)),
            Self::Content(content) => {
                let mut bytes = Vec::new();
                open(0)?.take(CHUNK_LEN as u64 + 1).read_to_end(&mut bytes)?;
                if ContentHash::of_each(&[&bytes]) != [*content] {
                    return Err(changed());
                }
                let mut bytes = io::Cursor::new(bytes);
                bytes.set_position(offset);
                Ok(Box::new(bytes))
            }
        }
    }
}

impl Segment {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { fingerprint, .. } => fingerprint.size,
            Self::Entry(stretches, _) => stretches.entry().fingerprint().size,
        }
    }

    /// Its bytes from `offset` on.
    fn open_at(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                Ok(Box::new(io::Cursor::new(bytes.slice(start..))))
            }
            Self::File { path, fingerprint: expected, bytes } => {
                bytes.open_at(offset, expected.size, |start| {
                    let mut file = File::open(path)?;
                    if fingerprint(&file.metadata()?) != *expected {
                        return Err(changed());
                    }
                    file.seek(SeekFrom::Start(start))?;
                    Ok(file.take(expected.size.saturating_sub(start)))
                })
            }
            Self::Entry(stretches, bytes) => {
                bytes.open_at(offset, self.len(), |start| stretches.open_at(start))
            }
        }
    }

    fn is_unchanged(&self) -> bool {
        match self {
            Self::Bytes(_) => true,
            Self::File { path, fingerprint: expected, .. } => {
                path.metadata().is_ok_and(|metadata| fingerprint(&metadata) == *expected)
            }
            Self::Entry(stretches, _) => stretches.entry().is_unchanged(),
        }
    }
}

/// The plaintext of one object.
#[derive(Clone, Debug)]
pub struct Source {
    segments: Vec<Segment>,
    len: u64,
}

impl Source {
    /// These segments, one after the other.
    pub fn new(segments: Vec<Segment>) -> Self {
        let len = segments.iter().map(Segment::len).sum();
        Self { segments, len }
    }

    /// Plaintext bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Ciphertext bytes; `None` beyond what 64 bits can count.
    pub fn sealed_len(&self) -> Option<u64> {
        ciphertext_len(self.len)
    }

    /// The bytes, when all of them are in memory.
    pub fn in_memory(&self) -> Option<&Bytes> {
        match self.segments.as_slice() {
            [Segment::Bytes(bytes)] => Some(bytes),
            _ => None,
        }
    }

    /// Whether its files are still what they were.
    pub fn is_unchanged(&self) -> bool {
        self.segments.iter().all(Segment::is_unchanged)
    }

    /// The bytes from `offset` on. Fails if a file is not what it was.
    pub fn open_at(&self, mut offset: u64) -> io::Result<impl Read + Send + use<>> {
        let mut readers = Vec::new();
        for segment in &self.segments {
            let skipped = offset.min(segment.len());
            offset -= skipped;
            if skipped < segment.len() {
                readers.push(segment.open_at(skipped)?);
            }
        }
        Ok(InTurn { readers: readers.into_iter().collect() })
    }
}

/// Readers one after the other; each is closed when it is done with.
struct InTurn {
    readers: std::collections::VecDeque<Box<dyn Read + Send>>,
}

impl Read for InTurn {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(reader) = self.readers.front_mut() {
            let count = reader.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.readers.pop_front();
        }
        Ok(0)
    }
}

pub(super) fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the file changed while it was read")
}

/// Whether an error of reading says that the file is no longer what was hashed.
pub fn is_change(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// One content with the key and header that are its own.
#[derive(Debug)]
pub struct Seal {
    /// The plaintext.
    pub source: Source,
    /// The file's key.
    pub key: FileKey,
    /// The original's stream header.
    pub header: StreamHeader,
}

/// What sealing a range left behind.
#[derive(Clone, Copy, Debug)]
pub struct Sealed {
    /// MD5 of the range's ciphertext: what the server's `ETag` must say.
    pub md5: [u8; 16],
    /// Where the cipher stands behind the range; none at the end of the object.
    pub after: Option<StreamPosition>,
}

/// What sealing a stretch left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretched {
    /// BLAKE3 of the stretch's ciphertext.
    pub digest: [u8; 32],
    /// Where the cipher stood before the chunk that the next byte belongs to.
    pub position: StreamPosition,
}

impl Seal {
    /// Seals the bytes of ciphertext in `stretch`, handing them to `send` in pieces until it says that nobody wants more.
    /// `position` is before the chunk that they begin in, or before an earlier one: what lies in front of them is sealed and
    /// forgotten. Blocks.
    pub fn seal_stretch(
        &self,
        position: StreamPosition,
        stretch: Range<u64>,
        mut send: impl FnMut(Bytes) -> bool,
    ) -> io::Result<Stretched> {
        let (plain_offset, mut at) = (position.plaintext_offset(), position.ciphertext_offset());
        let plain = self.source.open_at(plain_offset)?;
        let remaining = self.source.len().checked_sub(plain_offset).ok_or_else(changed)?;
        let mut reader = EncryptingReader::resume(plain, remaining, &self.key, &self.header, position);
        let (mut digest, mut position) = (blake3::Hasher::new(), position);
        while at < stretch.end {
            let border = (at / SEALED_CHUNK + 1) * SEALED_CHUNK;
            let goal = if at < stretch.start { stretch.start } else { stretch.end };
            let wanted = goal.min(border).min(at + PIECE_LEN as u64) - at;
            let mut piece = Vec::with_capacity(PIECE_LEN);
            if (&mut reader).take(wanted).read_to_end(&mut piece)? as u64 != wanted {
                return Err(changed());
            }
            let is_wanted = at >= stretch.start;
            at += wanted;
            if let (true, Some(border)) = (at == border, reader.position()) {
                position = border;
            }
            if is_wanted {
                digest.update(&piece);
                if !send(piece.into()) {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            }
        }
        Ok(Stretched { digest: *digest.finalize().as_bytes(), position })
    }

    /// Seals `len` bytes of ciphertext from `position` on, handing them to `send` in pieces until it says that
    /// nobody wants more. `len` ends at a chunk's border or at the object's end. Blocks.
    pub fn seal_range(
        &self,
        position: StreamPosition,
        len: u64,
        mut send: impl FnMut(Bytes) -> bool,
    ) -> io::Result<Sealed> {
        let offset = position.plaintext_offset();
        let plain = self.source.open_at(offset)?;
        let remaining = self.source.len().checked_sub(offset).ok_or_else(changed)?;
        let mut reader = EncryptingReader::resume(plain, remaining, &self.key, &self.header, position);
        let mut md5 = Md5::new();
        let mut left = len;
        while left > 0 {
            let mut piece = Vec::with_capacity(PIECE_LEN);
            let wanted = left.min(PIECE_LEN as u64);
            let count = (&mut reader).take(wanted).read_to_end(&mut piece)?;
            if count as u64 != wanted {
                return Err(changed());
            }
            left -= wanted;
            md5.update(&piece);
            if !send(piece.into()) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        Ok(Sealed { md5: md5.finalize().into(), after: reader.position() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::sums::Summing;

    fn all(seal: &Seal, position: StreamPosition, len: u64) -> (Vec<u8>, Sealed) {
        let mut bytes = Vec::new();
        let sealed = seal.seal_range(position, len, |piece| {
            bytes.extend_from_slice(&piece);
            true
        });
        (bytes, sealed.unwrap())
    }

    fn file(folder: &std::path::Path, name: &str, bytes: &[u8]) -> Segment {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        let fingerprint = fingerprint(&path.metadata().unwrap());
        let mut sums = Summing::default();
        sums.update(bytes);
        Segment::File { path, fingerprint, bytes: Expected::Sums(sums.finish()) }
    }

    #[test]
    fn ranges_join_to_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let picture: Vec<u8> = (0..2 * CHUNK_LEN + 1000).map(|at| at.to_le_bytes()[0]).collect();
        let segments = vec![
            Segment::Bytes(Bytes::from_static(b"header")),
            file(folder.path(), "a", &picture),
            Segment::Bytes(Bytes::from_static(b"trailer")),
        ];
        let (key, header) = (FileKey::generate(), StreamHeader::generate());
        let seal = Seal { source: Source::new(segments), key, header };
        let len = seal.source.sealed_len().unwrap();
        let start = StreamPosition::start(&seal.header);
        let (whole, sealed) = all(&seal, start, len);
        assert!(sealed.after.is_none());
        assert_eq!(whole.len() as u64, len);
        let first_len = SEALED_CHUNK_LEN as u64;
        let (mut joined, first) = all(&seal, start, first_len);
        let (rest, last) = all(&seal, first.after.unwrap(), len - first_len);
        joined.extend(rest);
        assert!(joined == whole);
        assert!(last.after.is_none());
    }

    #[test]
    fn a_stretch_is_the_same_from_whichever_chunk_it_is_made() {
        let plain: Vec<u8> = (0..3 * CHUNK_LEN + 1000).map(|at| at.to_le_bytes()[0]).collect();
        let source = Source::new(vec![Segment::Bytes(plain.into())]);
        let seal = Seal { source, key: FileKey::generate(), header: StreamHeader::generate() };
        let len = seal.source.sealed_len().unwrap();
        let start = StreamPosition::start(&seal.header);
        let (whole, _) = all(&seal, start, len);
        let stretch = |position, range: Range<u64>| {
            let mut bytes = Vec::new();
            let take = |piece: Bytes| {
                bytes.extend_from_slice(&piece);
                true
            };
            let stretched = seal.seal_stretch(position, range, take).unwrap();
            assert_eq!(stretched.digest, *blake3::hash(&bytes).as_bytes());
            (bytes, stretched.position)
        };
        for (from, to) in [
            (0, 0),
            (0, 1),
            (0, SEALED_CHUNK),
            (1, SEALED_CHUNK + 1),
            (SEALED_CHUNK - 1, 2 * SEALED_CHUNK),
            (SEALED_CHUNK + 7, len),
            (len - 1, len),
        ] {
            let (bytes, position) = stretch(start, from..to);
            let within = usize::try_from(from).unwrap()..usize::try_from(to).unwrap();
            assert!(bytes == whole[within], "{from}..{to}");
            assert_eq!(u64::from(position.chunk_index()), to / SEALED_CHUNK, "{from}..{to}");
            let (rest, _) = stretch(position, to..len);
            assert!(rest == whole[usize::try_from(to).unwrap()..], "{to}..");
        }
    }

    /// Written in place, and its time set back: only its bytes tell.
    #[test]
    fn a_file_that_changed_without_a_trace_is_not_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = vec![7; 3 * CHUNK_LEN];
        let segment = file(folder.path(), "a", &bytes);
        let path = folder.path().join("a");
        let modified = path.metadata().unwrap().modified().unwrap();
        let content = ContentHash::of_each(&[b"small"])[0];
        let small = folder.path().join("b");
        std::fs::write(&small, b"small").unwrap();
        let kept = Segment::File {
            fingerprint: fingerprint(&small.metadata().unwrap()),
            path: small.clone(),
            bytes: Expected::Content(content),
        };
        let small_modified = small.metadata().unwrap().modified().unwrap();
        let seal = |segment: &Segment| {
            let source = Source::new(vec![segment.clone()]);
            let seal = Seal { source, key: FileKey::generate(), header: StreamHeader::generate() };
            let len = seal.source.sealed_len().unwrap();
            seal.seal_range(StreamPosition::start(&seal.header), len, |_| true).map(drop)
        };
        seal(&segment).unwrap();
        seal(&kept).unwrap();
        bytes[2 * CHUNK_LEN + 5] ^= 1;
        for (path, bytes, modified) in
            [(&path, bytes.as_slice(), modified), (&small, b"smell", small_modified)]
        {
            let mut file = File::options().write(true).open(path).unwrap();
            std::io::Write::write_all(&mut file, bytes).unwrap();
            file.set_modified(modified).unwrap();
        }
        for segment in [segment, kept] {
            assert!(segment.is_unchanged(), "nothing else tells");
            assert!(is_change(&seal(&segment).unwrap_err()));
        }
    }

    #[test]
    fn a_file_that_changed_is_not_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let source = Source::new(vec![file(folder.path(), "a", b"before")]);
        std::fs::write(folder.path().join("a"), b"after that").unwrap();
        assert!(!source.is_unchanged());
        let seal = Seal { source, key: FileKey::generate(), header: StreamHeader::generate() };
        let len = seal.source.sealed_len().unwrap();
        let error = seal.seal_range(StreamPosition::start(&seal.header), len, |_| true).unwrap_err();
        assert!(is_change(&error), "{error}");
    }
}
