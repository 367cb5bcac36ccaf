//! Large buffers that are used again: taking megabytes from the system for each picture, and giving them back, costs page faults, and what
//! the allocator keeps of them costs memory.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Smaller ones are the allocator's business.
const POOLED_LEAST: usize = 256 << 10;

/// Larger ones, and those that would make it more bytes than this, are given back to the system.
const POOLED_MOST: usize = 8 << 20;
const KEPT_BYTES_MAX: usize = 48 << 20;

/// Capacities are multiples of this, so that a buffer fits the next picture too.
const STEP: usize = 1 << 20;

/// Buffers that nobody needs just now. Cheap to clone; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// An empty buffer with room for so many bytes.
    pub(crate) fn take(&self, length: usize) -> Buffer {
        if length < POOLED_LEAST {
            return Buffer { bytes: Vec::with_capacity(length), home: None };
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = kept.iter().enumerate().filter(|(_, bytes)| bytes.capacity() >= length);
        let best = fitting.min_by_key(|(_, bytes)| bytes.capacity()).map(|(place, _)| place);
        let bytes = match best {
            Some(place) => kept.swap_remove(place),
            None => {
                // One that is too small makes room for one that is not.
                drop(kept.pop());
                Vec::with_capacity(length.next_multiple_of(STEP))
            }
        };
        Buffer { bytes, home: Some(self.clone()) }
    }

    fn keep(&self, mut bytes: Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let already: usize = kept.iter().map(Vec::capacity).sum();
        if bytes.capacity() <= POOLED_MOST && already + bytes.capacity() <= KEPT_BYTES_MAX {
            bytes.clear();
            kept.push(bytes);
        }
    }
}

/// A buffer that goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    home: Option<Buffers>,
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<Buffer> for Bytes {
    /// The buffer goes back when the last of them is dropped.
    fn from(mut buffer: Buffer) -> Self {
        match buffer.home {
            Some(_) => Self::from_owner(buffer),
            None => std::mem::take(&mut buffer.bytes).into(),
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.keep(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_buffer_is_used_again_when_the_last_who_reads_it_has_gone() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take(3_000_000);
        buffer.resize(3_000_000, 7);
        let place = buffer.as_ptr();
        let bytes = Bytes::from(buffer);
        let part = bytes.slice(10..20);
        drop(bytes);
        let other = buffers.take(2_900_000);
        assert_ne!(other.as_ptr(), place, "somebody still reads it");
        drop(part);
        let again = buffers.take(3_100_000);
        assert!(again.is_empty() && again.as_ptr() == place);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let buffers = Buffers::default();
        drop((0..100).map(|_| buffers.take(POOLED_LEAST)).collect::<Vec<_>>());
        drop(buffers.take(POOLED_MOST + 1));
        drop(buffers.take(10));
        let kept = buffers.0.lock().unwrap();
        assert!(kept.iter().all(|bytes| bytes.capacity() <= POOLED_MOST));
        assert!(kept.iter().map(Vec::capacity).sum::<usize>() <= KEPT_BYTES_MAX);
    }
}
