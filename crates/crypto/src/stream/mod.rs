//! Files and records under a key: libsodium's `crypto_secretstream_xchacha20poly1305`, without associated data.
//!
//! ```text
//! file object = message_0 ‖ message_1 ‖ … ‖ message_last        header (24 bytes) kept elsewhere
//! message_i   = encrypted tag (1) ‖ ciphertext (n) ‖ MAC (16)   n = 4,194,304 except in the last message
//! tag         = 0 (MESSAGE) except in the last message: 3 (FINAL)
//! ```
//!
//! A file of `n` bytes has `max(1, ceil(n / 4 MiB))` chunks of ciphertext and `n + 17 · chunks` bytes. An exact
//! multiple of 4 MiB has no empty chunk at its end; an empty file is one final message of 17 bytes. A [`blob`] is
//! one final message of any length.
//!
//! Each message's nonce depends on the MAC of every message before it, so that nothing can be left out, put in or
//! moved. Refused: a stream that ends without FINAL, and anything at all after FINAL.

pub mod blob;

mod chunk;
mod decrypt;
mod encrypt;
mod position;
mod read;

pub use decrypt::{ChunkKind, StreamDecryptor};
pub use encrypt::{StreamEncryptor, seal_whole};
pub use position::{POSITION_LEN, StreamPosition};
pub use read::{DecryptingReader, EncryptingReader};

use thiserror::Error;

use crate::error::{LengthError, OpenError, exactly};
use crate::secret::fill_random;

/// Plaintext bytes in every chunk but the last: 4 MiB.
pub const CHUNK_LEN: usize = 4 << 20;

/// Bytes that a message is longer than its plaintext: one of tag, 16 of authentication.
pub const OVERHEAD: usize = 17;

/// Ciphertext bytes of every chunk but the last.
pub const SEALED_CHUNK_LEN: usize = CHUNK_LEN + OVERHEAD;

/// Length of a stream's header in bytes.
pub const HEADER_LEN: usize = 24;

/// The same lengths, for arithmetic on sizes of files.
const CHUNK: u64 = CHUNK_LEN as u64;
const SEALED_CHUNK: u64 = SEALED_CHUNK_LEN as u64;

/// Tag of every message but the last.
const TAG_MESSAGE: u8 = 0;
/// Tag of the last message.
const TAG_FINAL: u8 = 3;

/// Chunks that one stream may have. One more and the cipher's 32-bit counter would come round, for which
/// libsodium changes the key; 16 PiB of one file are not missed.
pub const MAX_CHUNKS: u32 = u32::MAX - 2;

/// The public bytes that open a stream, together with the key. Never used twice with a key, unless for the very
/// same plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamHeader([u8; HEADER_LEN]);

impl StreamHeader {
    /// A fresh one: 24 random bytes.
    pub fn generate() -> Self {
        let mut bytes = [0; HEADER_LEN];
        fill_random(&mut bytes);
        Self(bytes)
    }

    /// Reads a stored one: 24 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, LengthError> {
        exactly("a stream header", bytes).map(Self)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8; HEADER_LEN] {
        &self.0
    }

    /// The first half, from which the stream's own key is derived.
    fn key_half(&self) -> &[u8; 16] {
        self.0.first_chunk().expect("24 is more than 16")
    }

    /// The second half, where the nonces start.
    fn nonce_half(&self) -> &[u8; 8] {
        self.0.last_chunk().expect("24 is more than 8")
    }
}

/// Why a stream was not written or not read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum StreamError {
    /// The caller cut the file wrongly: every chunk but the last has [`CHUNK_LEN`] bytes, the last at most that.
    #[error("a chunk of {actual} bytes does not belong here")]
    ChunkLength {
        /// Bytes given.
        actual: usize,
    },
    /// More than [`MAX_CHUNKS`].
    #[error("the file is too long for one stream")]
    TooLong,
    /// A chunk did not open: wrong key or header, altered, or not the one that belongs here.
    #[error("chunk {index} is damaged")]
    Damaged {
        /// Counted from 0.
        index: u32,
        /// Opaque.
        #[source]
        source: OpenError,
    },
    /// The stream ended before its final chunk: the file was cut short.
    #[error("the file is cut short")]
    Truncated,
    /// There are bytes after the final chunk.
    #[error("there are bytes after the end of the file")]
    TrailingData,
}

/// Chunks of a file of `plaintext_len` bytes: at least one.
pub const fn chunk_count(plaintext_len: u64) -> u64 {
    if plaintext_len == 0 { 1 } else { plaintext_len.div_ceil(CHUNK) }
}

/// Ciphertext bytes of a file of `plaintext_len` bytes, or `None` beyond what 64 bits can count.
pub const fn ciphertext_len(plaintext_len: u64) -> Option<u64> {
    plaintext_len.checked_add(chunk_count(plaintext_len) * OVERHEAD as u64)
}

/// File bytes in `ciphertext_len` bytes of ciphertext; `None` if no file has that many.
pub const fn plaintext_len(ciphertext_len: u64) -> Option<u64> {
    let whole = ciphertext_len / SEALED_CHUNK;
    let rest = ciphertext_len % SEALED_CHUNK;
    let overhead = OVERHEAD as u64;
    match (whole, rest) {
        (_, 0) => {
            if whole == 0 {
                None
            } else {
                Some(whole * CHUNK)
            }
        }
        (0, rest) => rest.checked_sub(overhead),
        (whole, rest) if rest > overhead => Some(whole * CHUNK + rest - overhead),
        _ => None,
    }
}
