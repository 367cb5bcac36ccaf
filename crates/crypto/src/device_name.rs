//! A device's name, so that the account's other devices can read it and its server cannot.
//!
//! ```text
//! name key = crypto_kdf(32 bytes, id 2, context "drkslide", master key)
//! message  = device id (16) ‖ name (UTF-8, 1 to 200 bytes) ‖ 00 … to a multiple of 32
//! sealed   = nonce (24) ‖ secret_box(name key, nonce, message)
//! ```
//!
//! The id in front lets nobody give one device another's name; the padding hides how long a short name is.

use dryoc::classic::crypto_kdf::crypto_kdf_derive_from_key;

use crate::account::AccountKeys;
use crate::error::OpenError;
use crate::keys::{DeviceNameKey, MasterKey};
use crate::secret::Secret;
use crate::secret_box::{self, NONCE_LEN, Nonce};

/// Length of a device's id in bytes: a UUID.
pub const DEVICE_ID_LEN: usize = 16;

/// The longest name in bytes of UTF-8.
pub const NAME_LEN_MAX: usize = 200;

/// What the message's length is a multiple of.
const PADDED_TO: usize = 32;

/// The sub-key's number and context in `crypto_kdf`.
const SUBKEY_ID: u64 = 2;
const CONTEXT: [u8; 8] = *b"drkslide";

/// A name that is empty, too long, or has a zero byte in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a device's name has 1 to {NAME_LEN_MAX} bytes, none of them zero")]
pub struct NotADeviceName;

/// The key of an account's device names, the same for the account's whole life as the master key is.
pub fn derive_device_name_key(master_key: &MasterKey) -> DeviceNameKey {
    let mut key = Secret::<32>::zeroed();
    crypto_kdf_derive_from_key(key.expose_mut(), SUBKEY_ID, &CONTEXT, master_key.expose())
        .expect("32 bytes are a valid sub-key length");
    DeviceNameKey::from_secret(key)
}

impl DeviceNameKey {
    /// Seals a device's name under a fresh nonce.
    pub fn seal(&self, device: &[u8; DEVICE_ID_LEN], name: &str) -> Result<Vec<u8>, NotADeviceName> {
        if name.is_empty() || name.len() > NAME_LEN_MAX || name.contains('\0') {
            return Err(NotADeviceName);
        }
        let mut message = [device.as_slice(), name.as_bytes()].concat();
        message.resize(message.len().next_multiple_of(PADDED_TO), 0);
        let sealed = secret_box::seal(self, &message);
        Ok([sealed.nonce.as_bytes().as_slice(), &sealed.ciphertext].concat())
    }

    /// The name that was sealed for this device.
    pub fn open(&self, device: &[u8; DEVICE_ID_LEN], sealed: &[u8]) -> Result<String, OpenError> {
        let (nonce, ciphertext) = sealed.split_at_checked(NONCE_LEN).ok_or(OpenError)?;
        let nonce = Nonce::from_slice(nonce).map_err(|_| OpenError)?;
        let message = secret_box::open(self, ciphertext, &nonce)?;
        let name = message.strip_prefix(device.as_slice()).ok_or(OpenError)?;
        let name = str::from_utf8(name).map_err(|_| OpenError)?.trim_end_matches('\0');
        Ok(name.to_owned())
    }
}

impl AccountKeys {
    /// The key of this account's device names. Derived anew each time, for the price of one hash.
    pub fn device_name_key(&self) -> DeviceNameKey {
        derive_device_name_key(&self.master_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_opens_for_its_device_and_its_account_only() {
        let (key, other) =
            (derive_device_name_key(&MasterKey::generate()), derive_device_name_key(&MasterKey::generate()));
        for name in ["x", "Ada's laptop", &"ü".repeat(100), " leading and trailing "] {
            let sealed = key.seal(&[1; 16], name).unwrap();
            assert_eq!(key.open(&[1; 16], &sealed).unwrap(), name);
            assert_eq!(key.open(&[2; 16], &sealed), Err(OpenError), "another device");
            assert_eq!(other.open(&[1; 16], &sealed), Err(OpenError), "another account");
            let mut altered = sealed.clone();
            altered[30] ^= 1;
            assert_eq!(key.open(&[1; 16], &altered), Err(OpenError));
            assert_eq!(key.open(&[1; 16], &sealed[..20]), Err(OpenError));
        }
        let lengths = ["a", "a laptop"].map(|name| key.seal(&[1; 16], name).unwrap().len());
        assert_eq!(lengths[0], lengths[1], "short names are alike");
    }

    #[test]
    fn what_is_no_name_is_not_sealed() {
        let key = derive_device_name_key(&MasterKey::generate());
        for name in ["", "a\0b", &"x".repeat(201)] {
            assert_eq!(key.seal(&[1; 16], name), Err(NotADeviceName), "{name:?}");
        }
    }
}
