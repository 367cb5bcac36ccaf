//! A short message to a public key, from nobody in particular: libsodium's `crypto_box_seal` (X25519).
//!
//! Layout: `ephemeral public key (32) ‖ MAC (16) ‖ ciphertext (n)`; the nonce is
//! `BLAKE2b-192(ephemeral public key ‖ recipient's public key)`. It proves nothing about the sender.

use dryoc::classic::crypto_box::{crypto_box_seal, crypto_box_seal_open};
use zeroize::Zeroizing;

use crate::error::OpenError;
use crate::keys::{KeyPair, PublicKey};

/// Bytes that a sealed box is longer than its message.
pub const OVERHEAD: usize = 48;

/// Seals `message` so that only the owner of `recipient` can read it.
///
/// Fails for the handful of public keys with which every shared secret would be zero.
pub fn seal(recipient: &PublicKey, message: &[u8]) -> Result<Vec<u8>, OpenError> {
    let mut sealed = vec![0; message.len() + OVERHEAD];
    crypto_box_seal(&mut sealed, message, recipient.as_bytes()).map_err(|_| OpenError)?;
    Ok(sealed)
}

/// Opens what was sealed to this key pair. The message is wiped when dropped.
pub fn open(recipient: &KeyPair, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let length = sealed.len().checked_sub(OVERHEAD).ok_or(OpenError)?;
    let mut message = Zeroizing::new(vec![0; length]);
    crypto_box_seal_open(
        &mut message,
        sealed,
        recipient.public_key().as_bytes(),
        recipient.secret_key().expose(),
    )
    .map_err(|_| OpenError)?;
    Ok(message)
}
