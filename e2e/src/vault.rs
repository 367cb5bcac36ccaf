//! The cryptography that every stock client does alike: accounts, collections, files.
//!
//! It goes through the `crypto` crate alone. Stretching a password honestly takes seconds; where a test is about
//! something else, [`Stretching::Quick`] puts a hash in its place, which no server can tell from the real thing.

use crate::fields::Fields;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use darkslide_crypto::account::{AccountKeys, EncodedKeyAttributes, KeyAttributes, NewAccount, NewPassword};
use darkslide_crypto::kdf::{PasswordStrength, Salt, derive_key_encryption_key, derive_login_key};
use darkslide_crypto::keys::{CollectionKey, FileKey, KeyEncryptionKey, WrappedKey, Wraps as _};
use darkslide_crypto::secret_box::{self, Nonce};
use darkslide_crypto::stream::{DecryptingReader, EncryptingReader, StreamHeader, blob};
use darkslide_crypto::{ContentHash, recovery};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::io::Read as _;
use uuid::Uuid;

/// How a password becomes a key in a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stretching {
    /// Argon2id as strong as every account has it.
    Real,
    /// One hash.
    Quick,
}

impl Stretching {
    /// The key that a password stands for.
    pub fn derive(self, password: &str, salt: &Salt, strength: PasswordStrength) -> KeyEncryptionKey {
        match self {
            Self::Real => derive_key_encryption_key(password, salt, strength).unwrap(),
            Self::Quick => {
                let hash = Sha256::new_with_prefix(salt.as_bytes()).chain_update(password).finalize();
                KeyEncryptionKey::take(hash.into())
            }
        }
    }

    /// Everything that a client makes at sign-up.
    pub fn new_account(self, password: &str) -> NewAccount {
        let salt = Salt::generate();
        let key = self.derive(password, &salt, PasswordStrength::ACCOUNT);
        AccountKeys::generate_under(&key, salt, PasswordStrength::ACCOUNT)
    }

    /// The same master key under another password.
    pub fn new_password(self, keys: &AccountKeys, password: &str) -> NewPassword {
        let salt = Salt::generate();
        let key = self.derive(password, &salt, PasswordStrength::ACCOUNT);
        NewPassword {
            attributes: keys.password_attributes(&key, salt, PasswordStrength::ACCOUNT),
            login_key: derive_login_key(&key),
        }
    }
}

/// Key attributes as they are sent.
pub fn attributes_to_json(attributes: &KeyAttributes) -> Value {
    let encoded = EncodedKeyAttributes::from(attributes);
    json!({
        "kekSalt": encoded.kek_salt, "memLimit": encoded.mem_limit, "opsLimit": encoded.ops_limit,
        "encryptedKey": encoded.encrypted_key, "keyDecryptionNonce": encoded.key_decryption_nonce,
        "publicKey": encoded.public_key, "encryptedSecretKey": encoded.encrypted_secret_key,
        "secretKeyDecryptionNonce": encoded.secret_key_decryption_nonce,
        "masterKeyEncryptedWithRecoveryKey": encoded.master_key_encrypted_with_recovery_key,
        "masterKeyDecryptionNonce": encoded.master_key_decryption_nonce,
        "recoveryKeyEncryptedWithMasterKey": encoded.recovery_key_encrypted_with_master_key,
        "recoveryKeyDecryptionNonce": encoded.recovery_key_decryption_nonce,
    })
}

/// Reads key attributes as strictly as a client does: twelve members, each of its length.
pub fn read_attributes(fields: &Fields<'_>) -> KeyAttributes {
    fields.bytes("kekSalt", 16);
    for (name, length) in [("encryptedKey", 48), ("publicKey", 32), ("encryptedSecretKey", 48)] {
        fields.bytes(name, length);
    }
    let limit = |name| u64::try_from(fields.integer(name)).unwrap();
    let text = |name| fields.words(name).to_owned();
    let encoded = EncodedKeyAttributes {
        kek_salt: text("kekSalt"),
        mem_limit: limit("memLimit"),
        ops_limit: limit("opsLimit"),
        encrypted_key: text("encryptedKey"),
        key_decryption_nonce: text("keyDecryptionNonce"),
        public_key: text("publicKey"),
        encrypted_secret_key: text("encryptedSecretKey"),
        secret_key_decryption_nonce: text("secretKeyDecryptionNonce"),
        master_key_encrypted_with_recovery_key: text("masterKeyEncryptedWithRecoveryKey"),
        master_key_decryption_nonce: text("masterKeyDecryptionNonce"),
        recovery_key_encrypted_with_master_key: text("recoveryKeyEncryptedWithMasterKey"),
        recovery_key_decryption_nonce: text("recoveryKeyDecryptionNonce"),
    };
    encoded.decode().unwrap()
}

/// The 24 words of a new account.
pub fn recovery_words(account: &NewAccount) -> String {
    recovery::to_phrase(&account.recovery_key).to_string()
}

/// A picture or video as its owner sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// The file's bytes.
    pub content: Vec<u8>,
    /// A small JPEG; the server cannot tell what it is.
    pub thumbnail: Vec<u8>,
    /// Name, date, place, hash.
    pub metadata: Value,
}

impl Picture {
    /// A picture of `length` bytes that no other test has.
    pub fn generate(title: &str, length: usize) -> Self {
        let seed = *Uuid::new_v4().as_bytes();
        let mut content = Vec::with_capacity(length);
        content.extend_from_slice(&seed[..length.min(16)]);
        content.extend((content.len()..length).map(|index| (index % 251) as u8));
        Self::of(title, content)
    }

    /// A picture of these bytes, with the metadata that clients write.
    pub fn of(title: &str, content: Vec<u8>) -> Self {
        let metadata = json!({
            "title": title, "fileType": 0, "creationTime": 1_700_000_000_000_000_i64,
            "modificationTime": 1_700_000_001_000_000_i64, "latitude": 47.3769, "longitude": 8.5417,
            "hash": ContentHash::of(&content).to_string(),
        });
        let thumbnail = [b"\xff\xd8\xff\xe0", Sha256::digest(&content).as_slice(), title.as_bytes()].concat();
        Self { content, thumbnail, metadata }
    }
}

/// Encrypted bytes and the header that opens them.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// Ciphertext.
    pub bytes: Vec<u8>,
    /// The stream's header in base64.
    pub header: String,
}

/// A picture as it leaves a device.
#[derive(Clone, Debug)]
pub struct SealedPicture {
    /// The file's key under its collection's.
    pub encrypted_key: String,
    /// Its nonce.
    pub key_nonce: String,
    /// The original.
    pub file: Sealed,
    /// The thumbnail.
    pub thumbnail: Sealed,
    /// The metadata.
    pub metadata: Sealed,
}

/// Encrypts a picture under a fresh key of its own.
pub fn seal_picture(collection: &CollectionKey, picture: &Picture) -> SealedPicture {
    seal_picture_under(&FileKey::generate(), collection, picture)
}

/// Encrypts a picture under a key that exists: how an edited picture is sent.
pub fn seal_picture_under(key: &FileKey, collection: &CollectionKey, picture: &Picture) -> SealedPicture {
    let (encrypted_key, key_nonce) = wrapped_to_text(&collection.wrap_key(key));
    let metadata = serde_json::to_vec(&picture.metadata).unwrap();
    SealedPicture {
        encrypted_key,
        key_nonce,
        file: seal_stream(key, &picture.content),
        thumbnail: seal_blob(key, &picture.thumbnail),
        metadata: seal_blob(key, &metadata),
    }
}

/// Encrypts a file's bytes in chunks.
pub fn seal_stream(key: &FileKey, content: &[u8]) -> Sealed {
    let header = StreamHeader::generate();
    let mut bytes = Vec::new();
    EncryptingReader::new(content, content.len() as u64, key, &header).read_to_end(&mut bytes).unwrap();
    Sealed { bytes, header: to_text(header.as_bytes()) }
}

/// Decrypts a file's bytes; anything missing, moved or altered fails.
pub fn open_stream(key: &FileKey, header: &[u8], ciphertext: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    let header = StreamHeader::from_slice(header).unwrap();
    DecryptingReader::new(ciphertext, key, &header).read_to_end(&mut content).unwrap();
    content
}

/// Encrypts a record of a file.
pub fn seal_blob(key: &FileKey, record: &[u8]) -> Sealed {
    let sealed = blob::seal(key, record);
    Sealed { bytes: sealed.ciphertext, header: to_text(sealed.header.as_bytes()) }
}

/// Decrypts a record of a file.
pub fn open_blob(key: &FileKey, header: &[u8], ciphertext: &[u8]) -> Vec<u8> {
    blob::open(key, ciphertext, &StreamHeader::from_slice(header).unwrap()).unwrap().to_vec()
}

/// Mutable metadata in the envelope that is sent; `version` is the one last seen.
pub fn seal_magic(key: &FileKey, version: i64, keys: &Value) -> Value {
    let sealed = seal_blob(key, &serde_json::to_vec(keys).unwrap());
    let count = keys.as_object().unwrap().len();
    json!({"version": version, "count": count, "data": to_text(&sealed.bytes), "header": sealed.header})
}

/// A name under its collection's key: ciphertext and nonce.
pub fn seal_name(key: &CollectionKey, name: &str) -> (String, String) {
    let sealed = secret_box::seal(key, name.as_bytes());
    (to_text(&sealed.ciphertext), to_text(sealed.nonce.as_bytes()))
}

/// A collection's name.
pub fn open_name(key: &CollectionKey, ciphertext: &[u8], nonce: &[u8]) -> String {
    let name = secret_box::open(key, ciphertext, &Nonce::from_slice(nonce).unwrap()).unwrap();
    String::from_utf8(name.to_vec()).unwrap()
}

/// A wrapped key as its two fields.
pub fn wrapped_to_text(wrapped: &WrappedKey) -> (String, String) {
    (to_text(wrapped.ciphertext), to_text(wrapped.nonce.as_bytes()))
}

/// A wrapped key from its two fields.
pub fn read_wrapped(fields: &Fields<'_>, key: &str, nonce: &str) -> WrappedKey {
    WrappedKey::from_parts(&fields.bytes(key, 48), &fields.bytes(nonce, 24)).unwrap()
}

/// Standard base64.
pub fn to_text(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// The content hash of a picture.
pub fn content_hash(bytes: &[u8]) -> ContentHash {
    ContentHash::of(bytes)
}

/// The MD5 of some bytes, in base64 as uploads announce it.
pub fn md5(bytes: &[u8]) -> String {
    to_text(md5::Md5::digest(bytes))
}
