//! Keys in an encrypted file, for machines without a keyring.
//!
//! Byte for byte:
//!
//! ```text
//! "DSKEYS1\n" (8) ‖ protection (1): 0 key file, 1 passphrase
//! ‖ Argon2id memory in bytes (8, little-endian) ‖ passes (8, little-endian) ‖ salt (16)     zeros for a key file
//! ‖ nonce (24) ‖ secretbox of the record (97 + 16)
//! ```
//!
//! With a passphrase the box's key is `Argon2id(passphrase, salt, memory, passes)`. Without one it is the 32 random
//! bytes of `<name>.key` beside it, which keeps the keys out of copies of the one file without the other and out of
//! the sight of other users, and from nobody else: whoever can read this user's files can read the vault.

use super::{Keychain, KeychainError, RECORD_LEN, StoredKeys};
use darkslide_crypto::kdf::{PasswordStrength, Salt, derive_key_encryption_key};
use darkslide_crypto::keys::KeyEncryptionKey;
use darkslide_crypto::secret_box::{self, NONCE_LEN, Nonce, SecretBox};
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const MAGIC: &[u8; 8] = b"DSKEYS1\n";
const SALT_LEN: usize = 16;
const FILE_LEN: usize = 8 + 1 + 8 + 8 + SALT_LEN + NONCE_LEN + RECORD_LEN + secret_box::OVERHEAD;

/// Opened once a command: a quarter of a second, 256 MiB.
const PASSPHRASE_STRENGTH: PasswordStrength = PasswordStrength::MODERATE;

/// What keeps the file closed.
pub enum Protection {
    /// 32 random bytes in a file beside it, readable by this user alone.
    KeyFile,
    /// A passphrase.
    Passphrase(Zeroizing<String>),
}

impl fmt::Debug for Protection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::KeyFile => "KeyFile",
            Self::Passphrase(_) => "Passphrase",
        })
    }
}

/// One profile's encrypted file.
#[derive(Debug)]
pub struct FileKeychain {
    path: PathBuf,
    protection: Protection,
}

/// How the key of a file is found again.
struct Protected {
    with_passphrase: bool,
    strength: (u64, u64),
    salt: [u8; SALT_LEN],
}

impl FileKeychain {
    /// The file at `path`, which need not be there yet. Its folder must be the user's alone.
    pub fn new(path: PathBuf, protection: Protection) -> Self {
        Self { path, protection }
    }

    /// Whether the file at `path` wants a passphrase; `None` if there is no such file.
    pub fn wants_passphrase(path: &Path) -> Result<Option<bool>, KeychainError> {
        let Some(bytes) = read(path)? else { return Ok(None) };
        let (by, _, _) = split(&bytes).ok_or_else(|| KeychainError::Format(path.to_owned()))?;
        Ok(Some(by.with_passphrase))
    }

    fn key_path(&self) -> PathBuf {
        self.path.with_extension("key")
    }

    fn open_key(&self, by: &Protected) -> Result<KeyEncryptionKey, KeychainError> {
        if !by.with_passphrase {
            let path = self.key_path();
            let key = read(&path)?.ok_or_else(|| missing(&path))?;
            return KeyEncryptionKey::from_slice(&key).map_err(|_| KeychainError::Format(path));
        }
        let Protection::Passphrase(passphrase) = &self.protection else {
            return Err(KeychainError::PassphraseNeeded(self.path.clone()));
        };
        let (memory, passes) = by.strength;
        let strength = PasswordStrength::stored(memory, passes)?;
        let salt = Salt::from_slice(&by.salt).map_err(|_| KeychainError::Format(self.path.clone()))?;
        Ok(derive_key_encryption_key(passphrase, &salt, strength)?)
    }

    /// The key file's key. One that is there is kept: were it replaced and the run killed, the old keys would be lost.
    fn own_key(&self) -> Result<KeyEncryptionKey, KeychainError> {
        let path = self.key_path();
        if let Some(key) = read(&path)?.and_then(|key| KeyEncryptionKey::from_slice(&key).ok()) {
            return Ok(key);
        }
        let mut bytes = Zeroizing::new([0_u8; 32]);
        getrandom::fill(&mut *bytes).expect("the operating system's random generator works");
        write(&path, &*bytes)?;
        Ok(KeyEncryptionKey::take(*bytes))
    }

    /// A key for a new file, and how it is found again.
    fn new_key(&self) -> Result<(KeyEncryptionKey, Protected), KeychainError> {
        match &self.protection {
            Protection::KeyFile => {
                let key = self.own_key()?;
                let by = Protected { with_passphrase: false, strength: (0, 0), salt: [0; SALT_LEN] };
                Ok((key, by))
            }
            Protection::Passphrase(passphrase) => {
                let (salt, strength) = (Salt::generate(), PASSPHRASE_STRENGTH);
                let key = derive_key_encryption_key(passphrase, &salt, strength)?;
                let strength = (strength.mem_limit(), strength.ops_limit());
                Ok((key, Protected { with_passphrase: true, strength, salt: *salt.as_bytes() }))
            }
        }
    }
}

impl Keychain for FileKeychain {
    fn load(&self) -> Result<Option<StoredKeys>, KeychainError> {
        let Some(bytes) = read(&self.path)? else { return Ok(None) };
        let format = || KeychainError::Format(self.path.clone());
        let (by, nonce, sealed) = split(&bytes).ok_or_else(format)?;
        let key = self.open_key(&by)?;
        let record = secret_box::open(&key, sealed, &nonce)
            .map_err(|source| KeychainError::Locked { path: self.path.clone(), source })?;
        StoredKeys::from_record(&record).map(Some).ok_or_else(format)
    }

    fn store(&self, stored: &StoredKeys) -> Result<(), KeychainError> {
        let (key, by) = self.new_key()?;
        let sealed = secret_box::seal(&key, &stored.to_record());
        write(&self.path, &join(&by, &sealed))
    }

    fn forget(&self) -> Result<(), KeychainError> {
        for path in [self.path.clone(), self.key_path()] {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(KeychainError::File { path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let path = self.path.display();
        match &self.protection {
            Protection::Passphrase(_) => {
                format!("The keys are in {path}, encrypted with your passphrase.")
            }
            Protection::KeyFile => format!(
                "This system has no keyring: the keys are in {path}, and what opens them is in {} beside it. \
                 Whoever can read both files can read your pictures; keep this user's files to yourself.",
                self.key_path().display()
            ),
        }
    }
}

fn split(bytes: &[u8]) -> Option<(Protected, Nonce, &[u8])> {
    if bytes.len() != FILE_LEN {
        return None;
    }
    let rest = bytes.strip_prefix(MAGIC)?;
    let (protection, rest) = rest.split_first_chunk::<1>()?;
    let (memory, rest) = rest.split_first_chunk::<8>()?;
    let (passes, rest) = rest.split_first_chunk::<8>()?;
    let (salt, rest) = rest.split_first_chunk::<SALT_LEN>()?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
    let with_passphrase = match protection {
        [0] => false,
        [1] => true,
        _ => return None,
    };
    let strength = (u64::from_le_bytes(*memory), u64::from_le_bytes(*passes));
    let by = Protected { with_passphrase, strength, salt: *salt };
    Some((by, Nonce::from_slice(nonce).ok()?, sealed))
}

fn join(by: &Protected, sealed: &SecretBox) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FILE_LEN);
    bytes.extend_from_slice(MAGIC);
    bytes.push(u8::from(by.with_passphrase));
    bytes.extend_from_slice(&by.strength.0.to_le_bytes());
    bytes.extend_from_slice(&by.strength.1.to_le_bytes());
    bytes.extend_from_slice(&by.salt);
    bytes.extend_from_slice(sealed.nonce.as_bytes());
    bytes.extend_from_slice(&sealed.ciphertext);
    bytes
}

fn missing(path: &Path) -> KeychainError {
    KeychainError::File { path: path.to_owned(), source: io::ErrorKind::NotFound.into() }
}

fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, KeychainError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(KeychainError::File { path: path.to_owned(), source }),
    }
}

/// Replaces a file by a durable one that only this user can read (temporary files are made with mode 0600).
fn write(path: &Path, bytes: &[u8]) -> Result<(), KeychainError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let replace = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map(drop).map_err(|error| error.error)
    };
    replace().map_err(|source| KeychainError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keychain::example;

    fn keychain(folder: &Path, passphrase: Option<&str>) -> FileKeychain {
        let protection = match passphrase {
            None => Protection::KeyFile,
            Some(text) => Protection::Passphrase(Zeroizing::new(text.to_owned())),
        };
        FileKeychain::new(folder.join("keys"), protection)
    }

    #[test]
    fn keys_come_back_from_either_kind_of_file() {
        for passphrase in [None, Some("open sesame")] {
            let folder = tempfile::tempdir().unwrap();
            let chain = keychain(folder.path(), passphrase);
            assert_eq!(chain.load().unwrap(), None);
            assert_eq!(FileKeychain::wants_passphrase(&folder.path().join("keys")).unwrap(), None);
            let stored = example();
            chain.store(&stored).unwrap();
            chain.store(&stored).unwrap();
            assert_eq!(chain.load().unwrap(), Some(stored));
            let wants = FileKeychain::wants_passphrase(&folder.path().join("keys")).unwrap();
            assert_eq!(wants, Some(passphrase.is_some()));
            chain.forget().unwrap();
            chain.forget().unwrap();
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_wrong_passphrase_and_an_altered_file_stay_closed() {
        let folder = tempfile::tempdir().unwrap();
        keychain(folder.path(), Some("right")).store(&example()).unwrap();
        let wrong = keychain(folder.path(), Some("wrong")).load();
        assert!(matches!(wrong, Err(KeychainError::Locked { .. })));
        let none = keychain(folder.path(), None).load();
        assert!(matches!(none, Err(KeychainError::PassphraseNeeded(_))));

        let folder = tempfile::tempdir().unwrap();
        let chain = keychain(folder.path(), None);
        chain.store(&example()).unwrap();
        let path = folder.path().join("keys");
        let whole = fs::read(&path).unwrap();
        for at in [0, 8, whole.len() - 1] {
            let mut altered = whole.clone();
            altered[at] ^= 1;
            fs::write(&path, altered).unwrap();
            assert!(chain.load().is_err(), "byte {at}");
        }
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(matches!(chain.load(), Err(KeychainError::Format(_))));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_user_can_read_them() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        keychain(folder.path(), None).store(&example()).unwrap();
        for name in ["keys", "keys.key"] {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}
