//! One message of a stream sealed at any position: what libsodium's `push` does inside.
//!
//! dryoc's own state can only start at a header, so going on in the middle needs this. With `k` the stream's key
//! (HChaCha20 of the file key and the header's first 16 bytes) and `nonce` as in
//! [`StreamPosition::nonce`]:
//!
//! ```text
//! block 0 of ChaCha20(k, nonce)  → the one-time Poly1305 key: its first 32 bytes
//! block 1                        → XOR (tag ‖ 0⁶³) = tag block; its first byte is stored
//! blocks 2…                      → XOR plaintext   = ciphertext
//! MAC = Poly1305(tag block ‖ ciphertext ‖ 0^(n mod 16) ‖ LE64(0) ‖ LE64(64 + n))
//! ```
//!
//! The padding of `n mod 16` zero bytes (rather than as many as fill the block) is libsodium's, for ever.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use dryoc::classic::crypto_core::crypto_core_hchacha20;
use dryoc::classic::crypto_onetimeauth::{
    OnetimeauthState, crypto_onetimeauth_final, crypto_onetimeauth_init, crypto_onetimeauth_update,
};
use zeroize::Zeroizing;

use crate::keys::FileKey;
use crate::secret::Secret;

use super::{StreamHeader, StreamPosition};

/// Bytes encrypted and then authenticated while they are still in the nearest cache.
const STRIDE: usize = 16 << 10;

/// Length of a ChaCha20 block.
const BLOCK: usize = 64;

/// The key of one stream.
pub(super) fn derive_stream_key(key: &FileKey, header: &StreamHeader) -> Secret<32> {
    let mut derived = Secret::zeroed();
    crypto_core_hchacha20(derived.expose_mut(), header.key_half(), key.expose(), None);
    derived
}

/// Seals `message` into `sealed`, which is [`OVERHEAD`](super::OVERHEAD) bytes longer. Returns the MAC.
pub(super) fn seal(
    stream_key: &Secret<32>,
    position: StreamPosition,
    tag: u8,
    message: &[u8],
    sealed: &mut [u8],
) -> [u8; 16] {
    let mut cipher = ChaCha20::new(stream_key.expose().into(), &position.nonce().into());
    let mut mac = start_mac(&mut cipher);
    let tag_block = encrypt_tag(&mut cipher, tag);
    crypto_onetimeauth_update(&mut mac, tag_block.as_slice());

    let (stored_tag, rest) = sealed.split_first_mut().expect("the buffer has room for the tag");
    let (ciphertext, stored_mac) =
        rest.split_last_chunk_mut::<16>().expect("the buffer has room for the MAC");
    [*stored_tag, ..] = *tag_block;
    for (plain, cipher_text) in message.chunks(STRIDE).zip(ciphertext.chunks_mut(STRIDE)) {
        cipher.apply_keystream_b2b(plain, cipher_text);
        crypto_onetimeauth_update(&mut mac, cipher_text);
    }
    *stored_mac = finish_mac(mac, message.len());
    *stored_mac
}

/// The whole block is authenticated, its first byte stored.
fn encrypt_tag(cipher: &mut ChaCha20, tag: u8) -> Zeroizing<[u8; BLOCK]> {
    let mut block = Zeroizing::new([0; BLOCK]);
    let [first, ..] = &mut *block;
    *first = tag;
    cipher.apply_keystream(block.as_mut_slice());
    block
}

fn start_mac(cipher: &mut ChaCha20) -> OnetimeauthState {
    let mut block = Zeroizing::new([0_u8; BLOCK]);
    cipher.apply_keystream(block.as_mut_slice());
    crypto_onetimeauth_init(block.first_chunk().expect("64 is more than 32"))
}

fn finish_mac(mut mac: OnetimeauthState, length: usize) -> [u8; 16] {
    let padding = [0_u8; 16];
    let (padding, _) = padding.split_at(length % 16);
    crypto_onetimeauth_update(&mut mac, padding);
    crypto_onetimeauth_update(&mut mac, &0_u64.to_le_bytes());
    crypto_onetimeauth_update(&mut mac, &((BLOCK + length) as u64).to_le_bytes());
    let mut tag = [0; 16];
    crypto_onetimeauth_final(mac, &mut tag);
    tag
}
