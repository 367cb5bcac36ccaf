//! Writing and reading large files without filling the page cache with them.
//!
//! Pictures are written once, read by nobody for a long time, and then once by each device. Through the page cache each byte would be copied once more, would cost a page
//! (which on a virtual machine may have to be fetched from its host) and would drive out what is needed; a flush would then wait for all of them. So
//! what comes in large batches goes to the disk and from it directly (`O_DIRECT`, open(2)) where the system and the file system do that, and everywhere
//! else as usual. Direct or not, what is written is durable only when it was flushed.

mod block;
mod direct;
mod read;

pub use read::{Piece, Reader};

use block::{BLOCK_LEN, Block};
use std::borrow::Borrow;
use std::fs::File;
use std::io::{self, IoSlice, Write as _};

/// Offsets, lengths and addresses of direct writes are multiples of this: no disk has larger sectors.
const SECTOR: usize = 4096;

/// Batches of fewer bytes are left to the page cache, which makes few writes of many small ones.
const DIRECT_MIN: usize = 256 << 10;

/// A file that is written from front to back, in batches.
#[derive(Debug)]
pub struct Writer<F = File> {
    file: F,
    /// Where the next byte goes.
    position: u64,
    /// The beginning of a sector, to be written with the rest of it.
    rest: Vec<u8>,
    mode: direct::Mode,
}

impl<F: Borrow<File>> Writer<F> {
    /// Goes on at the file's cursor, which is at `position`.
    pub fn new(file: F, position: u64) -> Self {
        Self { file, position, rest: Vec::new(), mode: direct::Mode::default() }
    }

    /// The file. Its length is that of what was written.
    pub fn file(&self) -> &File {
        self.file.borrow()
    }

    /// Bytes of the file that were written: those of the last batch may be up to a sector fewer until it is [ended](Self::end).
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Writes a batch; what begins a sector may wait for the next one. `written` is called with all that was written, in order, as soon as it
    /// is. After a failure nothing more may be written. Blocks.
    pub fn append<B: AsRef<[u8]>>(&mut self, batch: &[B], written: impl FnMut(&[u8])) -> io::Result<()> {
        self.put(batch, false, written)
    }

    /// Writes the last batch: nothing waits any more. Whoever else writes the file does it as usual again.
    pub fn end<B: AsRef<[u8]>>(&mut self, batch: &[B], written: impl FnMut(&[u8])) -> io::Result<()> {
        self.put(batch, true, written)?;
        self.mode.set_cached(self.file.borrow())
    }

    fn put<B: AsRef<[u8]>>(
        &mut self,
        batch: &[B],
        is_end: bool,
        mut written: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let rest = std::mem::take(&mut self.rest);
        let pieces: Vec<&[u8]> =
            std::iter::once(rest.as_slice()).chain(batch.iter().map(AsRef::as_ref)).collect();
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let block = (length >= DIRECT_MIN && self.mode.may_be_direct()).then(Block::take).flatten();
        let Some(mut block) = block else {
            return self.write_cached(&pieces, &mut written);
        };
        let mut head = self.until_sector();
        for piece in pieces {
            let (before, mut piece) = piece.split_at(head.min(piece.len()));
            self.write_cached(&[before], &mut written)?;
            head -= before.len();
            while !piece.is_empty() {
                piece = block.fill(piece);
                if block.bytes().len() == BLOCK_LEN {
                    self.write_direct(block.bytes(), &mut written)?;
                    block.clear();
                }
            }
        }
        let whole = block.bytes().len() / SECTOR * SECTOR;
        let (whole, rest) = block.bytes().split_at(whole);
        self.write_direct(whole, &mut written)?;
        if is_end {
            return self.write_cached(&[rest], &mut written);
        }
        self.rest.extend_from_slice(rest);
        Ok(())
    }

    /// Bytes from here to the border of a sector.
    fn until_sector(&self) -> usize {
        let sector = SECTOR as u64;
        usize::try_from(self.position.next_multiple_of(sector) - self.position).expect("less than a sector")
    }

    /// Pieces as they lie in memory, in as few calls as the system takes.
    fn write_cached(&mut self, pieces: &[&[u8]], written: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut left = slices.as_mut_slice();
        // The empty ones in front would look like the end of the disk.
        IoSlice::advance_slices(&mut left, 0);
        if left.is_empty() {
            return Ok(());
        }
        self.mode.set_cached(self.file.borrow())?;
        let mut done = 0;
        let outcome = loop {
            if left.is_empty() {
                break Ok(());
            }
            match self.file.borrow().write_vectored(left) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    done += count;
                    IoSlice::advance_slices(&mut left, count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        // Also where the disk was full in the middle: what was written whole counts.
        for piece in pieces {
            let Some(rest) = done.checked_sub(piece.len()) else { break };
            done = rest;
            self.position += piece.len() as u64;
            written(piece);
        }
        outcome
    }

    /// Whole sectors, from and to where they must lie.
    fn write_direct(&mut self, bytes: &[u8], written: &mut impl FnMut(&[u8])) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.mode.write_all(self.file.borrow(), bytes)?;
        self.position += bytes.len() as u64;
        written(bytes);
        Ok(())
    }
}

/// Each call is a batch: see [`Writer::append`]. What waits is written by [`Writer::end`] alone.
impl<F: Borrow<File>> io::Write for Writer<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(&[bytes], |_| ())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a new file from one piece of memory. Blocks.
pub fn write_whole(file: &File, bytes: &[u8]) -> io::Result<()> {
    Writer::new(file, 0).end(&[bytes], |_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unlike at every place.
    pub(crate) fn bytes(length: usize) -> Vec<u8> {
        (0_u64..)
            .flat_map(|number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())
            .take(length)
            .collect()
    }

    /// Appends batches of these lengths, and says what was told at each.
    fn played(folder: &std::path::Path, lengths: &[usize]) {
        let all = bytes(lengths.iter().sum());
        let file = File::create_new(folder.join("f")).unwrap();
        let mut writer = Writer::new(file, 0);
        let (mut told, mut at) = (Vec::new(), 0);
        for (number, length) in lengths.iter().enumerate() {
            let batch: Vec<&[u8]> = all[at..at + length].chunks(70_000).collect();
            at += length;
            if number + 1 == lengths.len() {
                writer.end(&batch, |bytes| told.extend_from_slice(bytes)).unwrap();
            } else {
                writer.append(&batch, |bytes| told.extend_from_slice(bytes)).unwrap();
                assert!(told.len() <= at && at - told.len() < SECTOR, "{at} {}", told.len());
            }
            assert_eq!(writer.position(), told.len() as u64);
            assert_eq!(writer.file().metadata().unwrap().len(), told.len() as u64);
        }
        assert!(told == all, "{lengths:?}");
        assert!(std::fs::read(folder.join("f")).unwrap() == all, "{lengths:?}");
        std::fs::remove_file(folder.join("f")).unwrap();
    }

    #[test]
    fn all_bytes_are_there_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let large = 3 * BLOCK_LEN + 17;
        for lengths in [
            &[0][..],
            &[1],
            &[large],
            &[large, large, 0],
            &[100, large, 100, large],
            &[DIRECT_MIN, DIRECT_MIN - 1, DIRECT_MIN + 1, 5],
            &[BLOCK_LEN, BLOCK_LEN],
            &[100, large, large, large, 5],
            &[SECTOR - 1, DIRECT_MIN + 1, 0, DIRECT_MIN + SECTOR],
        ] {
            played(folder.path(), lengths);
        }
    }

    /// More at once than there are blocks: those without one write as usual.
    #[test]
    fn many_write_at_once() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for number in 0..24 {
                let own = folder.path().join(number.to_string());
                std::fs::create_dir(&own).unwrap();
                scope.spawn(move || played(&own, &[2 * BLOCK_LEN + number, 300_000, 7, 4 * BLOCK_LEN]));
            }
        });
    }

    #[test]
    fn it_goes_on_where_another_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let all = bytes(4 * BLOCK_LEN);
        for stopped in [1, SECTOR, BLOCK_LEN + 5] {
            let path = folder.path().join(stopped.to_string());
            std::fs::write(&path, &all[..stopped]).unwrap();
            let mut file = File::options().append(false).write(true).open(&path).unwrap();
            std::io::Seek::seek(&mut file, io::SeekFrom::End(0)).unwrap();
            Writer::new(file, stopped as u64).end(&[&all[stopped..]], |_| ()).unwrap();
            assert!(std::fs::read(&path).unwrap() == all);
        }
    }

    /// A file system that knows nothing of it, and one that is full.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_cannot_be_written_is_told() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut told = 0;
        let error =
            Writer::new(full, 0).end(&[bytes(2 * BLOCK_LEN)], |bytes| told += bytes.len()).unwrap_err();
        assert_eq!((error.kind(), told), (io::ErrorKind::StorageFull, 0));
        let null = File::options().write(true).open("/dev/null").unwrap();
        Writer::new(null, 0).end(&[bytes(2 * BLOCK_LEN)], |bytes| told += bytes.len()).unwrap();
        assert_eq!(told, 2 * BLOCK_LEN);
    }
}
