//! One record under a key: metadata, thumbnails, synced entities.
//!
//! A stream of one FINAL message, of any length: `encrypted tag (1) ‖ ciphertext (n) ‖ MAC (16)`, header beside it.

use dryoc::classic::crypto_secretstream_xchacha20poly1305::{
    State, crypto_secretstream_xchacha20poly1305_init_pull as start_at_header,
    crypto_secretstream_xchacha20poly1305_pull as pull, crypto_secretstream_xchacha20poly1305_push as push,
};
use zeroize::Zeroizing;

use crate::error::OpenError;
use crate::keys::BlobKey;

use super::{OVERHEAD, StreamHeader, TAG_FINAL};

/// A sealed record and its header: the two fields that are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// [`OVERHEAD`] bytes more than the record.
    pub ciphertext: Vec<u8>,
    /// Stored beside the ciphertext.
    pub header: StreamHeader,
}

/// Seals `record` under a fresh header.
pub fn seal(key: &impl BlobKey, record: &[u8]) -> Blob {
    seal_with_header(key, &StreamHeader::generate(), record)
}

/// Seals `record` under a given header, so that a repetition gives the same bytes.
///
/// The header must never have been used with this key for any other record: two records under one header can be
/// subtracted from each other.
pub fn seal_with_header(key: &impl BlobKey, header: &StreamHeader, record: &[u8]) -> Blob {
    let mut state = start(key, header);
    let mut ciphertext = vec![0; record.len() + OVERHEAD];
    push(&mut state, &mut ciphertext, record, None, TAG_FINAL)
        .expect("the buffer has the length that the record needs");
    Blob { ciphertext, header: *header }
}

/// Opens a record. Refuses what is not one final message. The record is wiped when dropped.
pub fn open(
    key: &impl BlobKey,
    ciphertext: &[u8],
    header: &StreamHeader,
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let length = ciphertext.len().checked_sub(OVERHEAD).ok_or(OpenError)?;
    let mut record = Zeroizing::new(vec![0; length]);
    let mut tag = 0;
    pull(&mut start(key, header), &mut record, &mut tag, ciphertext, None).map_err(|_| OpenError)?;
    if tag == TAG_FINAL { Ok(record) } else { Err(OpenError) }
}

fn start(key: &impl BlobKey, header: &StreamHeader) -> State {
    let mut state = State::new();
    start_at_header(&mut state, header.as_bytes(), key.blob_key().expose());
    state
}
