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
        let mut buffer = self.take_used(length);
        buffer.clear();
        buffer
    }

    /// A buffer with room for so many bytes, to be written over: what was in it before is not filled with zeros.
    pub(crate) fn take_slate(&self, length: usize) -> Slate {
        Slate { buffer: self.take_used(length), end: 0 }
    }

    fn take_used(&self, length: usize) -> Buffer {
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

    fn keep(&self, bytes: Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let already: usize = kept.iter().map(Vec::capacity).sum();
        if bytes.capacity() <= POOLED_MOST && already + bytes.capacity() <= KEPT_BYTES_MAX {
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

/// A buffer that is written from front to back, over what was in it.
#[derive(Debug)]
pub(crate) struct Slate {
    buffer: Buffer,
    end: usize,
}

impl Slate {
    /// Bytes that were written.
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// The next so many, all of which are to be written: what is in them means nothing.
    pub(crate) fn next(&mut self, count: usize) -> &mut [u8] {
        let start = self.end;
        self.end += count;
        if self.buffer.len() < self.end {
            self.buffer.resize(self.end, 0);
        }
        self.buffer.get_mut(start..self.end).expect("it is that long now")
    }

    /// Writes these.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.next(bytes.len()).copy_from_slice(bytes);
    }
}

impl From<Slate> for Bytes {
    /// What was written.
    fn from(Slate { buffer, end }: Slate) -> Self {
        Self::from(buffer).slice(..end)
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
    fn of_a_slate_only_what_was_written_is_given_on() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take(POOLED_LEAST);
        buffer.resize(1000, 7);
        let place = buffer.as_ptr();
        drop(buffer);
        let mut slate = buffers.take_slate(POOLED_LEAST);
        slate.append(b"abc");
        slate.next(2).copy_from_slice(b"de");
        assert_eq!(slate.end(), 5);
        let written = Bytes::from(slate);
        assert_eq!((written.as_ref(), written.as_ptr()), (b"abcde".as_slice(), place));
        drop(written);
        assert!(buffers.take(POOLED_LEAST).is_empty(), "nobody reads what was there before");
        let mut slate = buffers.take_slate(10);
        slate.append(&[1; 2000]);
        assert_eq!(Bytes::from(slate), vec![1; 2000], "also where there was less room");
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
