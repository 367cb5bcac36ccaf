//! Seals what only the holder of an account's keys may read: session tokens and deletion challenges.
//!
//! libsodium's `crypto_box_seal`: `ephemeral public key 32 ‖ MAC 16 ‖ ciphertext`. The server cannot undo it. It encrypts nothing else, but for
//! what clients tell of uploads (`routes/v1/uploads/metadata.rs`).

use darkslide_protocol::Opaque;
use dryoc::classic::crypto_box::crypto_box_seal;

/// What a sealed box adds to its message, in bytes.
const OVERHEAD: usize = 48;

/// The account's public key is not a usable X25519 key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the account's public key is not usable")]
pub struct BadPublicKey;

/// Seals `message` to an account's public key, as the API carries both.
pub fn seal(message: &[u8], public_key: &Opaque) -> Result<Opaque, BadPublicKey> {
    let key: [u8; 32] = public_key.decode_array().map_err(|_| BadPublicKey)?;
    let mut sealed = vec![0; message.len() + OVERHEAD];
    crypto_box_seal(&mut sealed, message, &key).map_err(|_| BadPublicKey)?;
    Ok(Opaque::encode(sealed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dryoc::classic::crypto_box::{crypto_box_keypair, crypto_box_seal_open};

    #[test]
    fn only_the_key_s_holder_opens_it() {
        let (public, secret) = crypto_box_keypair();
        let sealed = seal(&[7; 32], &Opaque::encode(public)).unwrap().decode().unwrap();
        assert_eq!(sealed.len(), 80);
        let mut opened = [0; 32];
        crypto_box_seal_open(&mut opened, &sealed, &public, &secret).unwrap();
        assert_eq!(opened, [7; 32]);
        assert!(seal(&[7; 32], &Opaque::encode([1; 31])).is_err());
    }
}
