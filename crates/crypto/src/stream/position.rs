//! Where in a stream an encryptor stands, so that an interrupted upload goes on without its ciphertext.
//!
//! Byte for byte: `chunk index (4, little-endian) ‖ inner nonce (8)`. Public: it is a function of the header and
//! of ciphertext that was sent, and opens nothing.

use crate::error::LengthError;
use crate::error::exactly;

use super::{CHUNK, SEALED_CHUNK, StreamHeader};

/// Length of a stored position in bytes.
pub const POSITION_LEN: usize = 12;

/// The state of the cipher *before* one chunk.
///
/// With the same key and header, [`StreamEncryptor::resume`](super::StreamEncryptor::resume) goes on from here and
/// makes the same ciphertext that the first run made or would have made.
///
/// **Key, header and position are pinned to one content, which its content hash names.** Before resuming, the
/// caller must know that the file still has the hash that it had when the header was made. Other bytes at the
/// same position would be encrypted with a keystream already used, and whoever holds both ciphertexts could
/// subtract one from the other. For other content: a fresh key, a fresh header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPosition {
    chunk_index: u32,
    inner_nonce: [u8; 8],
}

impl StreamPosition {
    /// Before the first chunk.
    pub fn start(header: &StreamHeader) -> Self {
        Self { chunk_index: 0, inner_nonce: *header.nonce_half() }
    }

    /// After a chunk whose sealed bytes end in `mac`: the start of its MAC is mixed into the nonce.
    pub(super) fn after(self, mac: &[u8; 16]) -> Self {
        let mut inner_nonce = self.inner_nonce;
        for (byte, mixed_in) in inner_nonce.iter_mut().zip(mac) {
            *byte ^= mixed_in;
        }
        Self { chunk_index: self.chunk_index + 1, inner_nonce }
    }

    /// The chunk that comes next, counted from 0.
    pub fn chunk_index(self) -> u32 {
        self.chunk_index
    }

    /// Where that chunk starts in the file, in bytes.
    pub fn plaintext_offset(self) -> u64 {
        u64::from(self.chunk_index) * CHUNK
    }

    /// Where that chunk starts in the ciphertext, in bytes.
    pub fn ciphertext_offset(self) -> u64 {
        u64::from(self.chunk_index) * SEALED_CHUNK
    }

    /// The bytes to store.
    pub fn to_bytes(self) -> [u8; POSITION_LEN] {
        let mut bytes = [0; POSITION_LEN];
        let (index, nonce) = bytes.split_at_mut(4);
        index.copy_from_slice(&self.chunk_index.to_le_bytes());
        nonce.copy_from_slice(&self.inner_nonce);
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, LengthError> {
        let bytes: [u8; POSITION_LEN] = exactly("a stream position", bytes)?;
        let index = bytes.first_chunk().expect("12 is more than 4");
        let inner_nonce = *bytes.last_chunk().expect("12 is more than 8");
        Ok(Self { chunk_index: u32::from_le_bytes(*index), inner_nonce })
    }

    /// The cipher's nonce for the next chunk: `counter (4, little-endian, from 1) ‖ inner nonce (8)`.
    pub(super) fn nonce(self) -> [u8; 12] {
        let mut nonce = [0; 12];
        let (counter, inner) = nonce.split_at_mut(4);
        counter.copy_from_slice(&(self.chunk_index + 1).to_le_bytes());
        inner.copy_from_slice(&self.inner_nonce);
        nonce
    }
}
