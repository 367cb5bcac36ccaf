//! One message of a stream sealed at any position: what libsodium's `push` does inside.
//!
//! dryoc's own state can only start at a header, so going on in the middle needs this. With `k` the stream's key
//! (HChaCha20 of the file key and the header's first 16 bytes), `nonce` as in [`StreamPosition::nonce`] and `n` the
//! plaintext's length:
//!
//! ```text
//! block 0 of ChaCha20(k, nonce)  → the one-time Poly1305 key: its first 32 bytes
//! block 1                        → XOR (tag ‖ 0⁶³) = tag block; its first byte is stored
//! blocks 2…                      → XOR plaintext   = ciphertext
//! MAC = Poly1305(tag block ‖ ciphertext ‖ 0^(n mod 16) ‖ LE64(0) ‖ LE64(64 + n))
//! ```
//!
//! The padding of `n mod 16` zero bytes (rather than as many as fill the block) is libsodium's, for ever.
//!
//! Blocks 1 and on are also where RFC 8439's ChaCha20-Poly1305 encrypts, so `tag block ‖ ciphertext` is what it
//! makes of `tag ‖ 0⁶³ ‖ plaintext`: the library's fast AEAD does the work, and only the MAC, padded differently, is
//! made here.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use dryoc::classic::crypto_aead_chacha20poly1305_ietf::crypto_aead_chacha20poly1305_ietf_encrypt_detached_inplace as aead_encrypt;
use dryoc::classic::crypto_core::crypto_core_hchacha20;
use dryoc::classic::crypto_onetimeauth::{
    crypto_onetimeauth_final, crypto_onetimeauth_init, crypto_onetimeauth_update,
};
use zeroize::Zeroizing;

use crate::keys::FileKey;
use crate::secret::Secret;

use super::{StreamHeader, StreamPosition};

/// Length of a ChaCha20 block, and so of the tag block.
const BLOCK: usize = 64;

/// The key of one stream.
pub(super) fn derive_stream_key(key: &FileKey, header: &StreamHeader) -> Secret<32> {
    let mut derived = Secret::zeroed();
    crypto_core_hchacha20(derived.expose_mut(), header.key_half(), key.expose(), None);
    derived
}

/// Appends `message`, sealed, to `sealed`, which needs 63 bytes of room more than stay. Returns the MAC.
pub(super) fn seal(
    stream_key: &Secret<32>,
    position: StreamPosition,
    tag: u8,
    message: &[u8],
    sealed: &mut Vec<u8>,
) -> [u8; 16] {
    let start = sealed.len();
    let nonce = position.nonce();
    sealed.reserve(BLOCK + message.len() + 16);
    sealed.push(tag);
    sealed.resize(start + BLOCK, 0);
    sealed.extend_from_slice(message);
    let (_, blocks) = sealed.split_at_mut(start);
    aead_encrypt(blocks, &mut [0; 16], None, &nonce, stream_key.expose())
        .expect("a chunk is shorter than the cipher's limit");
    let mac = authenticate(&one_time_key(stream_key, &nonce), blocks);
    // Of the tag block only the first byte is stored.
    sealed.drain(start + 1..start + BLOCK);
    sealed.extend_from_slice(&mac);
    mac
}

/// The first half of keystream block 0.
fn one_time_key(stream_key: &Secret<32>, nonce: &[u8; 12]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    ChaCha20::new(stream_key.expose().into(), nonce.into()).apply_keystream(key.as_mut_slice());
    key
}

/// The MAC over `tag block ‖ ciphertext`.
fn authenticate(key: &[u8; 32], blocks: &[u8]) -> [u8; 16] {
    let mut state = crypto_onetimeauth_init(key);
    crypto_onetimeauth_update(&mut state, blocks);
    // The tag block is whole, so this is `n mod 16`.
    let padding = [0_u8; 16];
    let (padding, _) = padding.split_at(blocks.len() % 16);
    crypto_onetimeauth_update(&mut state, padding);
    crypto_onetimeauth_update(&mut state, &0_u64.to_le_bytes());
    crypto_onetimeauth_update(&mut state, &(blocks.len() as u64).to_le_bytes());
    let mut mac = [0; 16];
    crypto_onetimeauth_final(state, &mut mac);
    mac
}
