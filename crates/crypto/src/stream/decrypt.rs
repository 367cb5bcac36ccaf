//! Decrypts a file chunk by chunk into the caller's buffer; gives out no byte that is not authentic.

use dryoc::classic::crypto_secretstream_xchacha20poly1305::{
    State, crypto_secretstream_xchacha20poly1305_init_pull as start_at_header,
    crypto_secretstream_xchacha20poly1305_pull as pull,
};

use crate::error::OpenError;
use crate::keys::FileKey;

use super::{OVERHEAD, SEALED_CHUNK_LEN, StreamError, StreamHeader, TAG_FINAL, TAG_MESSAGE};

/// Whether more must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkKind {
    /// The file goes on.
    Middle,
    /// The file is complete.
    Last,
}

/// The reading end of one stream.
///
/// Feed it the ciphertext in pieces of [`SEALED_CHUNK_LEN`] (the last one shorter, as it comes), then call
/// [`finish`](Self::finish). Only then is the file known to be whole: until then, what was decrypted is authentic
/// but may be a beginning. After an error nothing has changed, and another copy of the chunk may be tried.
///
/// Read generously in one point: an empty final chunk after full ones, which no writer should make, is accepted.
pub struct StreamDecryptor {
    state: State,
    index: u32,
    complete: bool,
}

impl StreamDecryptor {
    /// At the start of the stream that `header` opens.
    pub fn new(key: &FileKey, header: &StreamHeader) -> Self {
        let mut state = State::new();
        start_at_header(&mut state, header.as_bytes(), key.expose());
        Self { state, index: 0, complete: false }
    }

    /// Opens the next chunk and appends its plaintext to `plain`.
    pub fn decrypt_chunk(&mut self, sealed: &[u8], plain: &mut Vec<u8>) -> Result<ChunkKind, StreamError> {
        if self.complete {
            return Err(StreamError::TrailingData);
        }
        let start = plain.len();
        let opened = self.open(sealed, plain);
        if opened.is_err() {
            plain.truncate(start);
        }
        opened
    }

    /// Whether the final chunk has been opened.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The end of the ciphertext was reached: was it the end of the file?
    pub fn finish(self) -> Result<(), StreamError> {
        if self.complete { Ok(()) } else { Err(StreamError::Truncated) }
    }

    fn open(&mut self, sealed: &[u8], plain: &mut Vec<u8>) -> Result<ChunkKind, StreamError> {
        let length = sealed.len().checked_sub(OVERHEAD).ok_or(StreamError::Truncated)?;
        if sealed.len() > SEALED_CHUNK_LEN {
            return Err(StreamError::ChunkLength { actual: sealed.len() });
        }
        let start = plain.len();
        plain.resize(start + length, 0);
        let (_, target) = plain.split_at_mut(start);
        let damaged = StreamError::Damaged { index: self.index, source: OpenError };
        let mut state = self.state.clone();
        let mut tag = 0;
        pull(&mut state, target, &mut tag, sealed, None).map_err(|_| damaged)?;
        let kind = match tag {
            TAG_FINAL => ChunkKind::Last,
            TAG_MESSAGE if sealed.len() == SEALED_CHUNK_LEN => ChunkKind::Middle,
            _ => return Err(damaged),
        };
        self.advance(state, kind)?;
        Ok(kind)
    }

    fn advance(&mut self, state: State, kind: ChunkKind) -> Result<(), StreamError> {
        self.index = self.index.checked_add(1).ok_or(StreamError::TooLong)?;
        self.state = state;
        self.complete = kind == ChunkKind::Last;
        Ok(())
    }
}

impl std::fmt::Debug for StreamDecryptor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StreamDecryptor")
            .field("index", &self.index)
            .field("complete", &self.complete)
            .finish_non_exhaustive()
    }
}
