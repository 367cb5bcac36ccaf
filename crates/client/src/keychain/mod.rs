//! Where a session's token and keys rest between two runs: the system's keyring, or a file on machines without one.
//!
//! They are never in the catalog and never in the configuration. What is stored, byte for byte:
//!
//! ```text
//! version (1) = 1 ‖ session token (32) ‖ master key (32) ‖ X25519 secret key (32)          97 bytes
//! ```
//!
//! The record is for its owner's machine alone; it is never sent anywhere.

mod file;
mod system;

pub use file::{FileKeychain, Protection};
pub use system::SystemKeychain;

use darkslide_crypto::OpenError;
use darkslide_crypto::account::AccountKeys;
use darkslide_crypto::kdf::KdfError;
use darkslide_crypto::keys::{KeyPair, MasterKey, SecretKey, SessionToken};
use std::io;
use std::path::PathBuf;
use thiserror::Error;
use zeroize::Zeroizing;

/// First byte of a stored record.
const VERSION: u8 = 1;

/// Length of a stored record in bytes.
const RECORD_LEN: usize = 1 + 3 * 32;

/// What rests in a keychain.
#[derive(Debug, PartialEq, Eq)]
pub struct StoredKeys {
    /// Authenticates calls.
    pub token: SessionToken,
    /// Open the account.
    pub keys: AccountKeys,
}

/// A place for one profile's keys. Calls block, perhaps until a person unlocks something.
pub trait Keychain: Send + Sync {
    /// The stored keys, if there are any.
    fn load(&self) -> Result<Option<StoredKeys>, KeychainError>;

    /// Stores keys in place of what was there.
    fn store(&self, stored: &StoredKeys) -> Result<(), KeychainError>;

    /// Forgets them. Nothing to forget is no error.
    fn forget(&self) -> Result<(), KeychainError>;

    /// Where the keys rest and how they are protected, in a sentence for people.
    fn describe(&self) -> String;
}

/// Why keys were not stored or not found.
#[derive(Debug, Error)]
pub enum KeychainError {
    /// The system has no keyring, or it is locked and nobody is there to unlock it.
    #[error("the system's keyring cannot be used")]
    System(#[source] keyring::Error),
    /// A file cannot be read or written.
    #[error("cannot use {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file of keys is not one, or is of a later version.
    #[error("{0} is not a file of keys that this version can read; log in again")]
    Format(PathBuf),
    /// The passphrase is wrong, or the key file does not belong to it, or a byte was altered.
    #[error("the keys in {path} do not open: wrong passphrase, or another key file")]
    Locked {
        /// The file.
        path: PathBuf,
        /// Opaque.
        #[source]
        source: OpenError,
    },
    /// The file is protected by a passphrase and none was given.
    #[error("the keys in {0} are protected by a passphrase")]
    PassphraseNeeded(PathBuf),
    /// No key could be derived from the passphrase.
    #[error(transparent)]
    Derivation(#[from] KdfError),
    /// A record in the keyring that this version did not write.
    #[error("what the keyring holds is not a record of this version; log in again")]
    Record,
}

impl StoredKeys {
    fn to_record(&self) -> Zeroizing<Vec<u8>> {
        let mut record = Zeroizing::new(Vec::with_capacity(RECORD_LEN));
        record.push(VERSION);
        record.extend_from_slice(self.token.expose());
        record.extend_from_slice(self.keys.master_key.expose());
        record.extend_from_slice(self.keys.key_pair.secret_key().expose());
        record
    }

    fn from_record(record: &[u8]) -> Option<Self> {
        let (version, keys) = record.split_first()?;
        let (token, keys) = keys.split_at_checked(32)?;
        let (master, secret) = keys.split_at_checked(32)?;
        if *version != VERSION {
            return None;
        }
        let key_pair = KeyPair::from_secret_key(SecretKey::from_slice(secret).ok()?);
        let master_key = MasterKey::from_slice(master).ok()?;
        let token = SessionToken::from_slice(token).ok()?;
        Some(Self { token, keys: AccountKeys { master_key, key_pair } })
    }
}

#[cfg(test)]
pub(crate) fn example() -> StoredKeys {
    let keys = AccountKeys { master_key: MasterKey::take([1; 32]), key_pair: KeyPair::generate() };
    StoredKeys { token: SessionToken::take([2; 32]), keys }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_a_foreign_one_does_not() {
        let stored = example();
        let record = stored.to_record();
        assert_eq!(record.len(), RECORD_LEN);
        assert_eq!(StoredKeys::from_record(&record).unwrap(), stored);
        let mut later = record.clone();
        later[0] = 2;
        for foreign in [&later[..], &record[..96], &[], &[record.as_slice(), &[0]].concat()] {
            assert!(StoredKeys::from_record(foreign).is_none());
        }
    }
}
