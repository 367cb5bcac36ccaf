//! Reading a stretch of a large file without filling the page cache with it.

use crate::block::{BLOCK_LEN, Block};
use crate::direct::Mode;
use crate::{DIRECT_MIN, SECTOR};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;

/// Bytes that are read at once where it goes through the page cache.
const CACHED_LEN: usize = 256 << 10;

/// Reads a stretch of a file from front to back.
#[derive(Debug)]
pub struct Reader {
    file: File,
    left: Range<u64>,
    mode: Mode,
}

/// Bytes that were read.
#[derive(Debug)]
pub struct Piece(Memory);

#[derive(Debug)]
enum Memory {
    Block(Block, Range<usize>),
    Own(Vec<u8>),
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            Memory::Block(block, range) => block.bytes().get(range.clone()).unwrap_or_default(),
            Memory::Own(bytes) => bytes,
        }
    }
}

impl Reader {
    /// Reads these bytes. The file's cursor is nobody else's.
    pub fn new(file: File, stretch: Range<u64>) -> Self {
        Self { file, left: stretch, mode: Mode::default() }
    }

    /// Whether all of the stretch was read.
    pub fn is_over(&self) -> bool {
        self.left.is_empty()
    }

    /// The next bytes; none at the end of the stretch, or of the file if that comes first. Blocks.
    pub fn next_piece(&mut self) -> io::Result<Option<Piece>> {
        let length = self.left.end.saturating_sub(self.left.start);
        if length == 0 {
            return Ok(None);
        }
        let is_large = length >= DIRECT_MIN as u64 && self.mode.may_be_direct();
        let memory = match is_large.then(Block::take).flatten() {
            Some(block) => self.read_direct(block, length)?,
            None => None,
        };
        let memory = match memory {
            Some(memory) => memory,
            None => Memory::Own(self.read_cached(length)?),
        };
        let piece = Piece(memory);
        self.left.start += piece.as_ref().len() as u64;
        Ok(Some(piece).filter(|piece| !piece.as_ref().is_empty()))
    }

    /// Reads the sectors that the next bytes lie in; none if the file system knows no such thing.
    fn read_direct(&mut self, mut block: Block, length: u64) -> io::Result<Option<Memory>> {
        if !self.mode.set_direct(&self.file) {
            return Ok(None);
        }
        let sector = SECTOR as u64;
        let from = self.left.start / sector * sector;
        let before = usize::try_from(self.left.start - from).expect("less than a sector");
        let wanted = usize::try_from(length).map_or(BLOCK_LEN, |length| (before + length).min(BLOCK_LEN));
        self.file.seek(SeekFrom::Start(from))?;
        match block.read(&self.file, wanted.next_multiple_of(SECTOR)) {
            Ok(()) => {
                let read = block.bytes().len().min(wanted);
                Ok(Some(Memory::Block(block, before.min(read)..read)))
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.mode.never(&self.file)?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn read_cached(&mut self, length: u64) -> io::Result<Vec<u8>> {
        self.mode.set_cached(&self.file)?;
        self.file.seek(SeekFrom::Start(self.left.start))?;
        let wanted = usize::try_from(length).map_or(CACHED_LEN, |length| length.min(CACHED_LEN));
        let mut bytes = Vec::with_capacity(wanted);
        (&self.file).take(wanted as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &std::path::Path, stretch: Range<u64>) -> Vec<u8> {
        let mut reader = Reader::new(File::open(path).unwrap(), stretch);
        let mut all = Vec::new();
        while let Some(piece) = reader.next_piece().unwrap() {
            all.extend_from_slice(piece.as_ref());
        }
        assert!(reader.next_piece().unwrap().is_none());
        all
    }

    #[test]
    fn every_stretch_is_what_lies_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let all = crate::tests::bytes(3 * BLOCK_LEN + 777);
        std::fs::write(&path, &all).unwrap();
        let end = all.len();
        for range in [
            0..end,
            0..0,
            5..5,
            1..end,
            SECTOR..end - SECTOR,
            SECTOR - 1..BLOCK_LEN + 1,
            BLOCK_LEN..2 * BLOCK_LEN,
            BLOCK_LEN - 3..BLOCK_LEN + 3,
            end - 1..end,
            end - DIRECT_MIN..end,
        ] {
            let stretch = range.start as u64..range.end as u64;
            assert!(read(&path, stretch) == all[range.clone()], "{range:?}");
        }
        assert!(read(&path, 9..end as u64 + 5_000_000) == all[9..], "the file ends before the stretch");
        assert!(read(&path, end as u64..end as u64 + 5_000_000).is_empty());
    }

    /// Whoever keeps what was read leaves no blocks to others.
    #[test]
    fn pieces_may_be_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let all = crate::tests::bytes(20 * BLOCK_LEN);
        std::fs::write(&path, &all).unwrap();
        let mut reader = Reader::new(File::open(&path).unwrap(), 0..all.len() as u64);
        let mut pieces = Vec::new();
        while let Some(piece) = reader.next_piece().unwrap() {
            pieces.push(piece);
        }
        assert!(pieces.iter().map(|piece| piece.as_ref().to_vec()).collect::<Vec<_>>().concat() == all);
        assert!(pieces.iter().any(|piece| matches!(piece.0, Memory::Own(_))));
    }
}
