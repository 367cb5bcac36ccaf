//! Encrypts a file chunk by chunk into the caller's buffer. It reads nothing and remembers no plaintext.

use dryoc::classic::crypto_secretstream_xchacha20poly1305::{
    State, crypto_secretstream_xchacha20poly1305_init_pull as start_at_header,
    crypto_secretstream_xchacha20poly1305_push as push,
};

use crate::keys::FileKey;
use crate::secret::Secret;

use super::chunk::{derive_stream_key, seal};
use super::{
    CHUNK_LEN, MAX_CHUNKS, OVERHEAD, StreamError, StreamHeader, StreamPosition, TAG_FINAL, TAG_MESSAGE,
};

/// The writing end of one stream.
///
/// **The pair of key and header belongs to one content for ever** (see [`StreamPosition`]): it may encrypt that
/// content again, which gives the same ciphertext, and never any other.
pub struct StreamEncryptor {
    cipher: Cipher,
    position: StreamPosition,
}

/// A stream from its start uses the library's state; the library cannot start in the middle.
enum Cipher {
    FromStart(State),
    FromPosition(Secret<32>),
}

impl StreamEncryptor {
    /// At the start of the stream that `header` opens.
    pub fn new(key: &FileKey, header: &StreamHeader) -> Self {
        let mut state = State::new();
        start_at_header(&mut state, header.as_bytes(), key.expose());
        Self { cipher: Cipher::FromStart(state), position: StreamPosition::start(header) }
    }

    /// In the middle: the next chunk is [`StreamPosition::chunk_index`], of the same content as ever.
    pub fn resume(key: &FileKey, header: &StreamHeader, position: StreamPosition) -> Self {
        if position == StreamPosition::start(header) {
            return Self::new(key, header);
        }
        Self { cipher: Cipher::FromPosition(derive_stream_key(key, header)), position }
    }

    /// Before the chunk that comes next.
    pub fn position(&self) -> StreamPosition {
        self.position
    }

    /// Seals a chunk that is not the last, of exactly [`CHUNK_LEN`] bytes, and appends it to `sealed`.
    ///
    /// The buffer grows only if its capacity is less than it needs: [`SEALED_CHUNK_LEN`](super::SEALED_CHUNK_LEN),
    /// and 63 bytes more after [`resume`](Self::resume). After an error nothing has changed.
    pub fn encrypt_chunk(&mut self, chunk: &[u8], sealed: &mut Vec<u8>) -> Result<(), StreamError> {
        if chunk.len() != CHUNK_LEN {
            return Err(StreamError::ChunkLength { actual: chunk.len() });
        }
        self.append(TAG_MESSAGE, chunk, sealed)
    }

    /// Seals the last chunk and appends it to `sealed`: 1 to [`CHUNK_LEN`] bytes, or none in an empty file.
    pub fn finish(mut self, chunk: &[u8], sealed: &mut Vec<u8>) -> Result<(), StreamError> {
        let misplaced_empty = chunk.is_empty() && self.position.chunk_index() > 0;
        if chunk.len() > CHUNK_LEN || misplaced_empty {
            return Err(StreamError::ChunkLength { actual: chunk.len() });
        }
        self.append(TAG_FINAL, chunk, sealed)
    }

    fn append(&mut self, tag: u8, chunk: &[u8], sealed: &mut Vec<u8>) -> Result<(), StreamError> {
        if self.position.chunk_index() >= MAX_CHUNKS {
            return Err(StreamError::TooLong);
        }
        let mac = self.cipher.seal(self.position, tag, chunk, sealed);
        self.position = self.position.after(&mac);
        Ok(())
    }
}

impl Cipher {
    fn seal(&mut self, position: StreamPosition, tag: u8, chunk: &[u8], sealed: &mut Vec<u8>) -> [u8; 16] {
        match self {
            Self::FromStart(state) => push_onto(state, tag, chunk, sealed),
            Self::FromPosition(key) => seal(key, position, tag, chunk, sealed),
        }
    }
}

fn push_onto(state: &mut State, tag: u8, chunk: &[u8], sealed: &mut Vec<u8>) -> [u8; 16] {
    let start = sealed.len();
    sealed.resize(start + chunk.len() + OVERHEAD, 0);
    let (_, target) = sealed.split_at_mut(start);
    push_over(state, tag, chunk, target);
    *target.last_chunk().expect("a sealed chunk ends in its MAC")
}

/// `target` has [`OVERHEAD`] bytes more than the chunk.
fn push_over(state: &mut State, tag: u8, chunk: &[u8], target: &mut [u8]) {
    push(state, target, chunk, None, tag).expect("the memory has the length that the chunk needs");
}

/// Seals a whole content of at most [`CHUNK_LEN`] bytes over `target`, whatever is in it: [`OVERHEAD`] bytes more than the content has. It is
/// what a [`StreamEncryptor`] appends, where there is memory that need not be filled with zeros first.
pub fn seal_whole(
    key: &FileKey,
    header: &StreamHeader,
    content: &[u8],
    target: &mut [u8],
) -> Result<(), StreamError> {
    if content.len() > CHUNK_LEN || target.len() != content.len() + OVERHEAD {
        return Err(StreamError::ChunkLength { actual: content.len() });
    }
    let mut state = State::new();
    start_at_header(&mut state, header.as_bytes(), key.expose());
    push_over(&mut state, TAG_FINAL, content, target);
    Ok(())
}

impl std::fmt::Debug for StreamEncryptor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("StreamEncryptor").field("position", &self.position).finish_non_exhaustive()
    }
}
