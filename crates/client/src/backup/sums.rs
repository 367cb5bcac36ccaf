//! What the chunks of a file were when it was hashed. A large file is read once more when it is sealed, and other bytes must not go into the vault
//! under the name of these: a disk or a memory may err, and a program may write without a trace, through a mapping or with the time set back.
//!
//! A checksum finds what happens by chance, and costs next to nothing beside the hash.

use std::io::{self, Read};
use std::sync::Arc;

use darkslide_crypto::stream::CHUNK_LEN;

use super::encrypt::changed;

/// The CRC-32 of each chunk; the last one may be short.
pub(super) type Sums = Arc<[u32]>;

/// Sums up a file as it is read.
#[derive(Default)]
pub(super) struct Summing {
    done: Vec<u32>,
    chunk: crc32fast::Hasher,
    /// Bytes of the chunk so far.
    len: usize,
}

impl Summing {
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(CHUNK_LEN - self.len));
            self.chunk.update(now);
            self.len += now.len();
            if self.len == CHUNK_LEN {
                self.close();
            }
            bytes = rest;
        }
    }

    fn close(&mut self) {
        self.done.push(std::mem::take(&mut self.chunk).finalize());
        self.len = 0;
    }

    pub(super) fn finish(mut self) -> Sums {
        if self.len > 0 {
            self.close();
        }
        self.done.into()
    }
}

/// A file that is read once more. No chunk is given to its end that is not what it was.
pub(super) struct Compared<R> {
    file: R,
    sums: Sums,
    /// The chunk that is read now, and how much of it was.
    number: usize,
    chunk: crc32fast::Hasher,
    len: usize,
    /// Bytes of the file that are not read yet.
    left: u64,
}

impl<R: Read> Compared<R> {
    /// The bytes from `offset` on of a file of `len` bytes. `open` opens it at an offset, which is where a chunk begins.
    pub(super) fn open_at(
        offset: u64,
        len: u64,
        sums: &Sums,
        open: impl FnOnce(u64) -> io::Result<R>,
    ) -> io::Result<Self> {
        let number = offset / CHUNK_LEN as u64;
        let start = number * CHUNK_LEN as u64;
        let mut file = Self {
            file: open(start)?,
            sums: Arc::clone(sums),
            number: usize::try_from(number).map_err(|_| changed())?,
            chunk: crc32fast::Hasher::new(),
            len: 0,
            left: len.saturating_sub(start),
        };
        io::copy(&mut (&mut file).take(offset - start), &mut io::sink())?;
        Ok(file)
    }
}

impl<R: Read> Read for Compared<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(CHUNK_LEN - self.len);
        let Some(buffer) = buffer.get_mut(..room).filter(|room| !room.is_empty()) else { return Ok(0) };
        let count = self.file.read(buffer)?;
        self.chunk.update(buffer.get(..count).unwrap_or_default());
        self.len += count;
        self.left = self.left.saturating_sub(count as u64);
        let is_whole = self.len == CHUNK_LEN || (self.left == 0 && self.len > 0);
        if is_whole {
            let sum = std::mem::take(&mut self.chunk).finalize();
            if self.sums.get(self.number) != Some(&sum) {
                return Err(changed());
            }
            (self.number, self.len) = (self.number + 1, 0);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LEN: usize = 2 * CHUNK_LEN + 1000;

    fn plain() -> Vec<u8> {
        (0..LEN).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect()
    }

    fn sums_of(bytes: &[u8], at_once: usize) -> Sums {
        let mut summing = Summing::default();
        bytes.chunks(at_once).for_each(|some| summing.update(some));
        summing.finish()
    }

    fn read_from(offset: usize, bytes: &[u8], sums: &Sums) -> io::Result<Vec<u8>> {
        let open = |start| {
            let mut file = io::Cursor::new(bytes);
            file.set_position(start);
            Ok(file)
        };
        let mut read = Vec::new();
        // As much as was asked for, and no further: whoever seals knows how much there is.
        let left = (LEN - offset) as u64;
        Compared::open_at(offset as u64, LEN as u64, sums, open)?.take(left).read_to_end(&mut read)?;
        Ok(read)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Whatever is read, from wherever, is what was hashed, or it is noticed.
        #[test]
        fn other_bytes_are_never_given_to_their_end(offset in 0..LEN, altered in 0..LEN, at_once in 1..3 * CHUNK_LEN) {
            let mut bytes = plain();
            let sums = sums_of(&bytes, at_once);
            prop_assert!(read_from(offset, &bytes, &sums).unwrap() == bytes[offset..]);
            bytes[altered] ^= 4;
            let first = offset / CHUNK_LEN * CHUNK_LEN;
            let read = read_from(offset, &bytes, &sums);
            prop_assert_eq!(read.is_err(), altered >= first);
        }
    }

    #[test]
    fn a_file_that_is_shorter_or_empty() {
        let bytes = plain();
        let sums = sums_of(&bytes, LEN);
        assert_eq!(read_from(0, &bytes[..LEN - 1], &sums).unwrap().len(), LEN - 1, "whoever counts notices");
        assert!(sums_of(&[], 1).is_empty());
        let nothing = Compared::open_at(0, 0, &sums_of(&[], 1), |_| Ok(io::empty()));
        assert_eq!(nothing.unwrap().read(&mut [0; 9]).unwrap(), 0);
    }
}
