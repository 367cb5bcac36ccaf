//! The operating system's keyring: Secret Service over D-Bus, macOS's Keychain, Windows' Credential Manager.

use super::{Keychain, KeychainError, StoredKeys};
use zeroize::Zeroizing;

/// What the entries are filed under.
const SERVICE: &str = "darkslide";

/// One profile's entry in the system's keyring.
#[derive(Clone, Debug)]
pub struct SystemKeychain {
    /// Names the entry: unique for every profile of this user.
    user: String,
}

impl SystemKeychain {
    /// The entry called `user`.
    pub fn new(user: String) -> Self {
        Self { user }
    }

    /// Whether there is a keyring that answers at all. May block while somebody is asked to unlock it.
    pub fn is_available(&self) -> bool {
        match self.entry().and_then(|entry| entry.get_secret().map(Zeroizing::new)) {
            Ok(_) | Err(keyring::Error::NoEntry) => true,
            Err(error) => {
                tracing::debug!(%error, "no usable system keyring");
                false
            }
        }
    }

    fn entry(&self) -> Result<keyring::Entry, keyring::Error> {
        keyring::Entry::new(SERVICE, &self.user)
    }
}

impl Keychain for SystemKeychain {
    fn load(&self) -> Result<Option<StoredKeys>, KeychainError> {
        match self.entry().and_then(|entry| entry.get_secret()) {
            Ok(record) => {
                let record = Zeroizing::new(record);
                StoredKeys::from_record(&record).map(Some).ok_or(KeychainError::Record)
            }
            Err(keyring::Error::NoEntry) => Ok(None),
            Err(error) => Err(KeychainError::System(error)),
        }
    }

    fn store(&self, stored: &StoredKeys) -> Result<(), KeychainError> {
        let record = stored.to_record();
        self.entry().and_then(|entry| entry.set_secret(&record)).map_err(KeychainError::System)
    }

    fn forget(&self) -> Result<(), KeychainError> {
        match self.entry().and_then(|entry| entry.delete_credential()) {
            Ok(()) | Err(keyring::Error::NoEntry) => Ok(()),
            Err(error) => Err(KeychainError::System(error)),
        }
    }

    fn describe(&self) -> String {
        "The keys are in this system's keyring, which opens when you log in to the system.".to_owned()
    }
}
