//! Streams as readers: the same encryptor and decryptor behind [`Read`], one chunk in memory each way.
//!
//! They open no file and hold no more than a chunk of plaintext and one of ciphertext, whatever the file's size.

use std::io::{self, Read};

use crate::keys::FileKey;

use super::{
    CHUNK_LEN, ChunkKind, SEALED_CHUNK_LEN, StreamDecryptor, StreamEncryptor, StreamError, StreamHeader,
    StreamPosition,
};

/// Reads a file and gives its ciphertext.
///
/// The file's length is said beforehand, for it was hashed beforehand: a file that has become shorter or longer
/// is another content, and reading it fails ([`io::ErrorKind::InvalidData`]) before the final chunk is made.
///
/// After an error every further read fails: where the file stands is no longer known, and encrypting other bytes
/// in a chunk's place would spend its keystream twice. Begin again at a [`StreamPosition`] noted before.
#[derive(Debug)]
pub struct EncryptingReader<R> {
    inner: R,
    encryptor: Option<StreamEncryptor>,
    failed: bool,
    remaining: u64,
    plain: Vec<u8>,
    sealed: Pending,
}

impl<R: Read> EncryptingReader<R> {
    /// The ciphertext of all `length` bytes of `inner`.
    pub fn new(inner: R, length: u64, key: &FileKey, header: &StreamHeader) -> Self {
        Self::with_encryptor(inner, length, StreamEncryptor::new(key, header))
    }

    /// The ciphertext from `position` on. `inner` stands at [`StreamPosition::plaintext_offset`], and `remaining`
    /// bytes follow from there.
    pub fn resume(
        inner: R,
        remaining: u64,
        key: &FileKey,
        header: &StreamHeader,
        position: StreamPosition,
    ) -> Self {
        Self::with_encryptor(inner, remaining, StreamEncryptor::resume(key, header, position))
    }

    fn with_encryptor(inner: R, remaining: u64, encryptor: StreamEncryptor) -> Self {
        Self {
            inner,
            encryptor: Some(encryptor),
            failed: false,
            remaining,
            plain: Vec::new(),
            sealed: Pending::default(),
        }
    }

    /// Before the chunk that will be read from the file next; `None` when the last one was, and after an error.
    pub fn position(&self) -> Option<StreamPosition> {
        self.encryptor.as_ref().map(StreamEncryptor::position)
    }

    fn refill(&mut self) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("reading this file failed before: begin again"));
        }
        let result = self.seal_next();
        self.failed = result.is_err();
        result
    }

    fn seal_next(&mut self) -> io::Result<()> {
        let Some(mut encryptor) = self.encryptor.take() else { return Ok(()) };
        self.read_chunk()?;
        let sealed = self.sealed.start_over();
        if self.remaining == 0 {
            return encryptor.finish(&self.plain, sealed).map_err(invalid);
        }
        encryptor.encrypt_chunk(&self.plain, sealed).map_err(invalid)?;
        self.encryptor = Some(encryptor);
        Ok(())
    }

    /// Fills `plain` with the next chunk, and makes sure that the last one is followed by nothing.
    fn read_chunk(&mut self) -> io::Result<()> {
        let wanted = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(CHUNK_LEN);
        read_up_to(&mut self.inner, wanted, &mut self.plain)?;
        let remaining = self.remaining - self.plain.len() as u64;
        if self.plain.len() < wanted || (remaining == 0 && has_more(&mut self.inner)?) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file changed while it was read"));
        }
        self.remaining = remaining;
        Ok(())
    }
}

impl<R: Read> Read for EncryptingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.sealed.is_empty() && !buffer.is_empty() {
            self.refill()?;
        }
        Ok(self.sealed.take_into(buffer))
    }
}

/// Reads ciphertext and gives the file.
///
/// Whatever comes out is authentic; that it is *all* of the file is known only when `read` has returned `Ok(0)`.
/// A damaged, truncated or overlong stream is an [`io::ErrorKind::InvalidData`] with a [`StreamError`] inside.
#[derive(Debug)]
pub struct DecryptingReader<R> {
    inner: R,
    decryptor: StreamDecryptor,
    sealed: Vec<u8>,
    plain: Pending,
}

impl<R: Read> DecryptingReader<R> {
    /// The file that `inner` is the ciphertext of.
    pub fn new(inner: R, key: &FileKey, header: &StreamHeader) -> Self {
        Self {
            inner,
            decryptor: StreamDecryptor::new(key, header),
            sealed: Vec::new(),
            plain: Pending::default(),
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        while self.plain.is_empty() && !self.decryptor.is_complete() {
            read_up_to(&mut self.inner, SEALED_CHUNK_LEN, &mut self.sealed)?;
            if self.sealed.is_empty() {
                return Err(invalid(StreamError::Truncated));
            }
            let plain = self.plain.start_over();
            if self.decryptor.decrypt_chunk(&self.sealed, plain).map_err(invalid)? == ChunkKind::Last {
                break;
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for DecryptingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.refill()?;
        let given = self.plain.take_into(buffer);
        if given == 0 && has_more(&mut self.inner)? {
            return Err(invalid(StreamError::TrailingData));
        }
        Ok(given)
    }
}

/// Bytes that were made and not yet taken.
#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    taken: usize,
}

impl Pending {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    /// The buffer, emptied, to be filled again.
    fn start_over(&mut self) -> &mut Vec<u8> {
        self.bytes.clear();
        self.taken = 0;
        &mut self.bytes
    }

    fn take_into(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.rest().len().min(buffer.len());
        for (target, byte) in buffer.iter_mut().zip(self.rest()) {
            *target = *byte;
        }
        self.taken += count;
        count
    }
}

/// Replaces `buffer` with the next `wanted` bytes, or with fewer if the reader ends.
fn read_up_to(reader: &mut impl Read, wanted: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    reader.take(wanted as u64).read_to_end(buffer).map(|_| ())
}

fn has_more(reader: &mut impl Read) -> io::Result<bool> {
    loop {
        match reader.read(&mut [0]) {
            Ok(count) => return Ok(count > 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn invalid(error: StreamError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
