//! A short message under a symmetric key: libsodium's `crypto_secretbox_easy` (XSalsa20-Poly1305).
//!
//! Layout: `MAC (16) ‖ ciphertext (n)`, with the 24-byte nonce kept beside it. For keys and names; files and
//! metadata are [`stream`](crate::stream)s. Binds no associated data: what a box is *for* is known only from
//! where it was found, so its contents must be checked against something else where a swap would hurt.

use dryoc::classic::crypto_secretbox::{crypto_secretbox_easy, crypto_secretbox_open_easy};
use zeroize::Zeroizing;

use crate::error::{LengthError, OpenError, exactly};
use crate::keys::BoxKey;
use crate::secret::fill_random;

/// Bytes that a box is longer than its message.
pub const OVERHEAD: usize = 16;

/// Length of a nonce in bytes.
pub const NONCE_LEN: usize = 24;

/// The public, never repeated number beside a box. 24 random bytes: collisions are out of reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce([u8; NONCE_LEN]);

impl Nonce {
    /// A fresh one.
    pub fn generate() -> Self {
        let mut bytes = [0; NONCE_LEN];
        fill_random(&mut bytes);
        Self(bytes)
    }

    /// Reads a stored one: 24 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, LengthError> {
        exactly("a nonce", bytes).map(Self)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8; NONCE_LEN] {
        &self.0
    }
}

/// A sealed message and its nonce: the two fields that are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretBox {
    /// `MAC ‖ ciphertext`: [`OVERHEAD`] bytes more than the message.
    pub ciphertext: Vec<u8>,
    /// Stored beside the ciphertext.
    pub nonce: Nonce,
}

/// Seals `message` under a fresh nonce.
pub fn seal(key: &impl BoxKey, message: &[u8]) -> SecretBox {
    seal_with_nonce(key, message, Nonce::generate())
}

/// Opens a box. Nothing of the message is returned unless all of it is authentic; it is wiped when dropped.
pub fn open(key: &impl BoxKey, ciphertext: &[u8], nonce: &Nonce) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let length = ciphertext.len().checked_sub(OVERHEAD).ok_or(OpenError)?;
    let mut message = Zeroizing::new(vec![0; length]);
    crypto_secretbox_open_easy(&mut message, ciphertext, nonce.as_bytes(), key.box_key().expose())
        .map_err(|_| OpenError)?;
    Ok(message)
}

/// Seals under a given nonce, which must never have been used with this key.
pub(crate) fn seal_with_nonce(key: &impl BoxKey, message: &[u8], nonce: Nonce) -> SecretBox {
    let mut ciphertext = vec![0; message.len() + OVERHEAD];
    crypto_secretbox_easy(&mut ciphertext, message, nonce.as_bytes(), key.box_key().expose())
        .expect("the buffer has the length that the box needs");
    SecretBox { ciphertext, nonce }
}

#[cfg(test)]
mod tests {
    use super::{Nonce, open, seal_with_nonce};
    use crate::OpenError;
    use crate::keys::CollectionKey;

    /// Sealed by libsodium under the nonce.
    #[test]
    fn a_known_box_is_made_and_opened() {
        let key = CollectionKey::take(std::array::from_fn(|i| u8::try_from(i).unwrap()));
        let sealed = seal_with_nonce(&key, "Trip to Zürich".as_bytes(), Nonce([2; 24]));
        let expected = b"\xeb\x5f\xa7\xf0\x11\xfd\xbe\xeb\x34\x4d\xb9\x1f\x4e\x76\x55\x52\
            \xc3\x75\x75\x50\x73\xae\x3e\x90\xc1\x66\x25\x0c\x61\xfe\x66";
        assert_eq!(sealed.ciphertext, expected);
        assert_eq!(*open(&key, expected, &Nonce([2; 24])).unwrap(), "Trip to Zürich".as_bytes());
    }

    #[test]
    fn what_is_too_short_for_a_box_does_not_open() {
        let key = CollectionKey::generate();
        for length in 0..16 {
            assert_eq!(open(&key, &vec![0; length], &Nonce([0; 24])), Err(OpenError), "{length} bytes");
        }
    }
}
