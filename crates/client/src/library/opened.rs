//! The open bytes of a picture, wherever they lie: in a file, or in an archive.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::archive::{Entry, EntryReader};
use super::folder;
use crate::catalog::Fingerprint;

/// An open file, or an open entry.
#[derive(Debug)]
pub enum Opened {
    /// A file of its own.
    File(File),
    /// An entry of an archive.
    Entry(EntryReader),
}

impl Opened {
    /// Opens the entry, or where there is none the file at `path`.
    pub fn open(path: &Path, entry: Option<&Entry>) -> io::Result<Self> {
        match entry {
            Some(entry) => entry.open().map(Self::Entry),
            None => File::open(path).map(Self::File),
        }
    }

    /// Appends what is left of it, at most so many bytes. Room that is there already is not filled with anything first.
    pub fn append_to(&mut self, into: &mut Vec<u8>, most: u64) -> io::Result<usize> {
        match self {
            Self::File(file) => file.take(most).read_to_end(into),
            Self::Entry(reader) => reader.take(most).read_to_end(into),
        }
    }

    /// What it is now. An archive that has changed since it was listed says so as an error of kind `InvalidData`.
    pub fn fingerprint(&self) -> io::Result<Fingerprint> {
        match self {
            Self::File(file) => Ok(folder::fingerprint(&file.metadata()?)),
            Self::Entry(reader) => reader.fingerprint(),
        }
    }
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Entry(reader) => reader.read(buffer),
        }
    }
}

impl Seek for Opened {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.seek(to),
            Self::Entry(reader) => reader.seek(to),
        }
    }
}
