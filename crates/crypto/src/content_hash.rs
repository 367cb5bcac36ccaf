//! The name of a picture's bytes: BLAKE2b-512 of the plaintext, by which duplicates are recognised.
//!
//! It identifies the picture to anyone who has a copy, so it lives only inside encrypted metadata and in the
//! client's own catalog; it never reaches a server in the clear.

use std::fmt;
use std::str::FromStr;

use blake2b_simd::many::{HashManyJob, hash_many};
use blake2b_simd::{Params, State};
use thiserror::Error;

use crate::encoding::{from_base64, to_base64};

/// Length of one digest in bytes.
pub const DIGEST_LEN: usize = 64;

/// Files that are hashed side by side where the processor has registers of 256 bits.
const LANES: usize = 4;

/// BLAKE2b-512 (RFC 7693, unkeyed) of one sequence of bytes.
pub type Digest = [u8; DIGEST_LEN];

/// The content hash of a file in the vault. A Live Photo is one file with two contents.
///
/// Written as standard base64: 88 characters, or `image:video` (177) for a Live Photo.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ContentHash {
    /// A picture or a video.
    Single(Digest),
    /// A Live Photo: the hash of each component, not of the container that stores them.
    LivePhoto {
        /// The still image's bytes.
        image: Digest,
        /// The video's bytes.
        video: Digest,
    },
}

/// Text that is not a content hash.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not a content hash: expected 88 characters of base64, or two of these joined by a colon")]
pub struct ContentHashError;

impl ContentHash {
    /// The hash of bytes that are all in memory.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = ContentHasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The hashes of several files that are all in memory. One after the other would use one lane of the processor; together
    /// they use all, and it pays most when they are about as long as each other.
    pub fn of_each(files: &[&[u8]]) -> Vec<Self> {
        let params = Params::new();
        // Three that are left over would take two turns. A fourth, which nobody asked for, makes it one.
        let idle = files.last().filter(|_| files.len() % LANES == LANES - 1);
        let mut jobs: Vec<HashManyJob<'_>> =
            files.iter().chain(idle).map(|bytes| HashManyJob::new(&params, bytes)).collect();
        hash_many(jobs.iter_mut());
        jobs.iter().take(files.len()).map(|job| Self::Single(*job.to_hash().as_array())).collect()
    }

    /// The hash of a Live Photo from those of its components. `None` if either is itself a Live Photo's.
    pub fn live_photo(image: Self, video: Self) -> Option<Self> {
        match (image, video) {
            (Self::Single(image), Self::Single(video)) => Some(Self::LivePhoto { image, video }),
            _ => None,
        }
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(digest) => formatter.write_str(&to_base64(digest)),
            Self::LivePhoto { image, video } => {
                write!(formatter, "{}:{}", to_base64(image), to_base64(video))
            }
        }
    }
}

/// Shows the first eight characters: enough to tell two apart in a test, useless for looking a picture up.
impl fmt::Debug for ContentHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ContentHash({:.8}…)", self.to_string())
    }
}

impl FromStr for ContentHash {
    type Err = ContentHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None => digest(text).map(Self::Single),
            Some((image, video)) => Ok(Self::LivePhoto { image: digest(image)?, video: digest(video)? }),
        }
    }
}

fn digest(text: &str) -> Result<Digest, ContentHashError> {
    let bytes = from_base64(text).map_err(|_| ContentHashError)?;
    bytes.try_into().map_err(|_| ContentHashError)
}

/// Hashes a file as it is read; how it is cut into pieces does not matter.
#[derive(Clone)]
pub struct ContentHasher(State);

impl ContentHasher {
    /// Nothing hashed yet.
    pub fn new() -> Self {
        Self(State::new())
    }

    /// Appends the file's next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of everything so far.
    pub fn finish(&self) -> ContentHash {
        ContentHash::Single(*self.0.finalize().as_array())
    }
}

impl Default for ContentHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ContentHasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ContentHasher")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn together_and_alone_are_the_same() {
        let bytes: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
        let lengths = [0, 1, 127, 128, 129, 4096, 39_999, 40_000, 5, 40_000];
        let files: Vec<&[u8]> = lengths.iter().map(|length| &bytes[..*length]).collect();
        for count in 0..=files.len() {
            let alone: Vec<ContentHash> = files[..count].iter().map(|file| ContentHash::of(file)).collect();
            assert_eq!(ContentHash::of_each(&files[..count]), alone);
        }
    }
}
