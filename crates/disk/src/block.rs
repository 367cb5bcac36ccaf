//! Memory that is written and read directly: at addresses that disks take, and bounded for the whole process.

use crate::SECTOR;
use std::fs::File;
use std::io::{self, Read as _};
use std::sync::{Mutex, PoisonError};

/// Bytes that are written at once, at most: from here on, more make no disk faster.
pub(crate) const BLOCK_LEN: usize = 1 << 20;

/// Blocks of one process: whoever finds none goes through the page cache.
const BLOCKS_MAX: usize = 8;

static BLOCKS: Mutex<Blocks> = Mutex::new(Blocks { free: Vec::new(), made: 0 });

struct Blocks {
    free: Vec<Vec<u8>>,
    made: usize,
}

/// One block. Dropped, it is free for another.
pub(crate) struct Block {
    memory: Vec<u8>,
    /// Where in the memory the aligned bytes begin.
    start: usize,
    filled: usize,
}

impl Block {
    /// An empty one; none if all are in use.
    pub(crate) fn take() -> Option<Self> {
        let mut blocks = BLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = match blocks.free.pop() {
            Some(memory) => memory,
            None if blocks.made < BLOCKS_MAX => {
                blocks.made += 1;
                vec![0; BLOCK_LEN + SECTOR]
            }
            None => return None,
        };
        let start = memory.as_ptr().align_offset(SECTOR);
        Some(Self { memory, start, filled: 0 })
    }

    /// What is in it.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..self.start + self.filled).unwrap_or_default()
    }

    /// Takes as many bytes as there is room for, and gives the others back.
    pub(crate) fn fill<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let (taken, others) = bytes.split_at(bytes.len().min(BLOCK_LEN - self.filled));
        let from = self.start + self.filled;
        if let Some(room) = self.memory.get_mut(from..from + taken.len()) {
            room.copy_from_slice(taken);
        }
        self.filled += taken.len();
        others
    }

    /// Reads so many bytes into it, or as many as one call gives.
    pub(crate) fn read(&mut self, mut from: &File, length: usize) -> io::Result<()> {
        let room = self.memory.get_mut(self.start..self.start + length.min(BLOCK_LEN)).unwrap_or_default();
        self.filled = loop {
            match from.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        self.filled = 0;
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "[{} bytes]", self.filled)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        BLOCKS.lock().unwrap_or_else(PoisonError::into_inner).free.push(memory);
    }
}
