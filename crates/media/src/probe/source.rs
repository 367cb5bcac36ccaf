//! A file that is read in small pieces, from anywhere, and never more than a budget allows.

use std::io::{self, Read, Seek, SeekFrom};

/// The most that one probe reads of a file, in bytes. Metadata of real files, the table of a 200-megapixel HEIC
/// and the segments of a motion photo included, stays under a tenth of this.
pub const READ_BUDGET: u64 = 4 << 20;

/// What every read is charged beside its bytes, so that millions of tiny reads end as well.
const CHARGE: u64 = 128;

/// What a probe can read from: a file, or a cursor over bytes.
pub trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

/// Readers of formats see `None` for everything that is not there: past the end, over budget, unreadable.
pub(super) struct Source<'a> {
    reader: &'a mut dyn ReadSeek,
    len: u64,
    budget: u64,
    failure: Option<io::Error>,
}

impl<'a> Source<'a> {
    pub(super) fn new(reader: &'a mut dyn ReadSeek) -> io::Result<Self> {
        let len = reader.seek(SeekFrom::End(0))?;
        Ok(Self { reader, len, budget: READ_BUDGET, failure: None })
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Exactly `len` bytes at `at`.
    pub(super) fn bytes(&mut self, at: u64, len: usize) -> Option<Vec<u8>> {
        let end = at.checked_add(len as u64)?;
        if end > self.len || self.failure.is_some() {
            return None;
        }
        self.budget = self.budget.checked_sub(len as u64 + CHARGE)?;
        let mut bytes = vec![0; len];
        match self.reader.seek(SeekFrom::Start(at)).and_then(|_| self.reader.read_exact(&mut bytes)) {
            Ok(()) => Some(bytes),
            // It became shorter while it was read: its end is as good as any other end.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => {
                self.failure = Some(error);
                None
            }
        }
    }

    /// As many bytes as there are, at most `len`.
    pub(super) fn up_to(&mut self, at: u64, len: usize) -> Option<Vec<u8>> {
        let there = usize::try_from(self.len.checked_sub(at)?).unwrap_or(usize::MAX);
        self.bytes(at, len.min(there))
    }

    /// `N` bytes at `at`.
    pub(super) fn array<const N: usize>(&mut self, at: u64) -> Option<[u8; N]> {
        self.bytes(at, N)?.try_into().ok()
    }

    pub(super) fn u32_be(&mut self, at: u64) -> Option<u32> {
        self.array(at).map(u32::from_be_bytes)
    }

    pub(super) fn u32_le(&mut self, at: u64) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    /// The error that ended the reading, if one did.
    pub(super) fn finish(self) -> io::Result<()> {
        self.failure.map_or(Ok(()), Err)
    }
}

/// Integers out of bytes in memory; `None` past their end.
pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|chunk| u16::from_be_bytes(*chunk))
}

pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_be_bytes(*chunk))
}

pub(super) fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_be_bytes(*chunk))
}

pub(super) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|chunk| u16::from_le_bytes(*chunk))
}

pub(super) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}
