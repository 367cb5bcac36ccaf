//! The keys, each a type of its own so that none can stand in for another, and which may wrap which.
//!
//! ```text
//! password ── Argon2id ──► KeyEncryptionKey ──► MasterKey ◄──► RecoveryKey (24 words)
//!                              │                   ├──► SecretKey (X25519) ──► SessionToken, shared collections
//!                              └─► LoginKey        ├──► CollectionKey ──► FileKey ──► object, thumbnail, metadata
//!                                                  ├──► EntityKey ──► small synced records
//!                                                  ├─► ContentTagKey (derived) ──► content tags
//!                                                  └─► DeviceNameKey (derived) ──► names of devices
//! ```
//!
//! A wrapped key is a [`secret_box`] of 32 bytes. A box says nothing about what it is for: a server can offer one
//! wrapped key in place of another that the same key wrapped. [`KeyAttributes`](crate::account::KeyAttributes)
//! therefore checks the secret key against the public one, and data under a swapped key simply do not open.

use dryoc::classic::crypto_core::crypto_scalarmult_base;
use zeroize::Zeroizing;

use crate::encoding::{EncodingError, from_base64url, to_base64url};
use crate::error::{LengthError, OpenError, exactly};
use crate::sealed_box;
use crate::secret::Secret;
use crate::secret_box::{self, Nonce};

/// Length of a wrapped key in bytes: 32 of key, 16 of authentication.
pub const WRAPPED_LEN: usize = 32 + secret_box::OVERHEAD;

mod private {
    pub trait Sealed {}
}

/// A key under which a short message may be put in a [`secret_box`]. Implemented here only.
pub trait BoxKey: private::Sealed {
    /// The cipher's key.
    #[doc(hidden)]
    fn box_key(&self) -> &Secret<32>;
}

/// A key under which a one-message [`blob`](crate::stream::blob) may be sealed. Implemented here only.
pub trait BlobKey: private::Sealed {
    /// The cipher's key.
    #[doc(hidden)]
    fn blob_key(&self) -> &Secret<32>;
}

/// A key that another key may wrap. Implemented here only.
pub trait Wrappable: private::Sealed + Sized {
    /// What is wrapped.
    #[doc(hidden)]
    fn inner(&self) -> &Secret<32>;
    /// What was unwrapped.
    #[doc(hidden)]
    fn from_inner(secret: Secret<32>) -> Self;
}

/// The relation *this key wraps keys of kind `K`*. Exists only for the pairs in the picture above.
pub trait Wraps<K: Wrappable>: BoxKey {
    /// Wraps `key` under a fresh nonce.
    fn wrap_key(&self, key: &K) -> WrappedKey
    where
        Self: Sized,
    {
        let sealed = secret_box::seal(self, key.inner().expose());
        WrappedKey { ciphertext: wrapped_bytes(&sealed.ciphertext), nonce: sealed.nonce }
    }

    /// The key inside, if it was wrapped by this key and not altered since.
    fn unwrap_key(&self, wrapped: &WrappedKey) -> Result<K, OpenError>
    where
        Self: Sized,
    {
        let bytes = secret_box::open(self, &wrapped.ciphertext, &wrapped.nonce)?;
        let secret = Secret::from_slice("a key", &bytes).map_err(|_| OpenError)?;
        Ok(K::from_inner(secret))
    }
}

fn wrapped_bytes(ciphertext: &[u8]) -> [u8; WRAPPED_LEN] {
    ciphertext.try_into().expect("a box of 32 bytes has 48")
}

/// A key under another key: what is stored, and of no use to whoever stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// `MAC (16) ‖ ciphertext (32)`.
    pub ciphertext: [u8; WRAPPED_LEN],
    /// The nonce stored beside it.
    pub nonce: Nonce,
}

impl WrappedKey {
    /// From the two stored fields: 48 and 24 bytes.
    pub fn from_parts(ciphertext: &[u8], nonce: &[u8]) -> Result<Self, LengthError> {
        Ok(Self { ciphertext: exactly("a wrapped key", ciphertext)?, nonce: Nonce::from_slice(nonce)? })
    }
}

/// Declares a key of its own type over `$length` secret bytes.
macro_rules! key {
    ($(#[$doc:meta])* $name:ident, $length:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, PartialEq, Eq)]
        pub struct $name(Secret<$length>);

        impl $name {
            /// Takes over the bytes and wipes the argument.
            pub fn take(bytes: [u8; $length]) -> Self {
                Self(Secret::take(bytes))
            }

            /// Copies a slice, which must have the key's length.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, LengthError> {
                Secret::from_slice($what, bytes).map(Self)
            }

            /// The bytes, for storing in a keychain or feeding to a cipher. Think twice.
            pub fn expose(&self) -> &[u8; $length] {
                self.0.expose()
            }
        }

        impl private::Sealed for $name {}
    };
}

/// Declares that a key is made by the generator, not derived.
macro_rules! generated {
    ($($name:ident)*) => {$(
        impl $name {
            /// A fresh random one.
            pub fn generate() -> Self {
                Self(Secret::generate())
            }
        }
    )*};
}

/// Declares which keys close boxes.
macro_rules! box_keys {
    ($($name:ident)*) => {$(
        impl BoxKey for $name {
            fn box_key(&self) -> &Secret<32> {
                &self.0
            }
        }
    )*};
}

/// Declares which keys close blobs.
macro_rules! blob_keys {
    ($($name:ident)*) => {$(
        impl BlobKey for $name {
            fn blob_key(&self) -> &Secret<32> {
                &self.0
            }
        }
    )*};
}

/// Declares which keys are wrapped by which.
macro_rules! wraps {
    ($($outer:ident => $($inner:ident)*;)*) => {$($(
        impl Wraps<$inner> for $outer {}
    )*)*};
}

/// Declares which keys can be wrapped at all.
macro_rules! wrappable {
    ($($name:ident)*) => {$(
        impl Wrappable for $name {
            fn inner(&self) -> &Secret<32> {
                &self.0
            }

            fn from_inner(secret: Secret<32>) -> Self {
                Self(secret)
            }
        }
    )*};
}

key! {
    /// Derived from the password; wraps the master key and nothing else. Never leaves the device.
    KeyEncryptionKey, 32, "a key-encryption key"
}
key! {
    /// The account's root: random, the same for the account's whole life.
    MasterKey, 32, "a master key"
}
key! {
    /// The other way to the master key, for when the password is forgotten; shown as 24 words.
    RecoveryKey, 32, "a recovery key"
}
key! {
    /// The X25519 half that is secret.
    SecretKey, 32, "a secret key"
}
key! {
    /// One per collection; wraps the keys of its files.
    CollectionKey, 32, "a collection key"
}
key! {
    /// One per file; encrypts its object, thumbnail and metadata, each under a header of its own.
    FileKey, 32, "a file key"
}
key! {
    /// One per kind of small synced record (places, people).
    EntityKey, 32, "an entity key"
}
key! {
    /// What SRP takes for the password: the server's verifier is made from it.
    LoginKey, 16, "a login key"
}
key! {
    /// Derived from the master key; makes the tags by which a server recognises equal contents, and wraps nothing.
    ContentTagKey, 32, "a content tag key"
}
key! {
    /// Derived from the master key; seals the names of the account's devices, and wraps nothing.
    DeviceNameKey, 32, "a device name key"
}
key! {
    /// What authenticates requests once signed in: 32 bytes, sent as text.
    SessionToken, 32, "a session token"
}

generated!(MasterKey RecoveryKey SecretKey CollectionKey FileKey EntityKey);
box_keys!(KeyEncryptionKey MasterKey RecoveryKey CollectionKey DeviceNameKey);
blob_keys!(CollectionKey FileKey EntityKey);
wrappable!(MasterKey RecoveryKey SecretKey CollectionKey FileKey EntityKey);
wraps! {
    KeyEncryptionKey => MasterKey;
    MasterKey => SecretKey RecoveryKey CollectionKey EntityKey;
    RecoveryKey => MasterKey;
    CollectionKey => FileKey;
}

/// Declares which keys a derivation makes.
macro_rules! derived {
    ($($name:ident)*) => {$(
        impl $name {
            /// What a derivation made.
            pub(crate) fn from_secret(secret: Secret<32>) -> Self {
                Self(secret)
            }
        }
    )*};
}

derived!(KeyEncryptionKey ContentTagKey DeviceNameKey);

impl SessionToken {
    /// The text of the `X-Auth-Token` header: URL-safe base64 with padding, 44 characters. Wiped when dropped.
    pub fn to_header_value(&self) -> Zeroizing<String> {
        to_base64url(self.expose())
    }

    /// Reads the text form, as a server hands it out before an account has keys.
    pub fn from_header_value(text: &str) -> Result<Self, EncodingError> {
        let bytes = from_base64url(text)?;
        Self::from_slice(&bytes).map_err(|_| EncodingError)
    }
}

/// The X25519 half that anyone may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads a stored one: 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, LengthError> {
        exactly("a public key", bytes).map(Self)
    }

    /// The bytes to publish.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Gives a collection's key to the owner of this public key.
    pub fn seal_collection_key(&self, key: &CollectionKey) -> Result<Vec<u8>, OpenError> {
        sealed_box::seal(self, key.expose())
    }
}

/// Both X25519 halves, which always belong together.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyPair {
    secret: SecretKey,
    public: PublicKey,
}

impl KeyPair {
    /// A fresh random pair.
    pub fn generate() -> Self {
        Self::from_secret_key(SecretKey::generate())
    }

    /// The pair that a secret key belongs to: the public half follows from it.
    pub fn from_secret_key(secret: SecretKey) -> Self {
        let mut public = [0; 32];
        crypto_scalarmult_base(&mut public, secret.expose());
        Self { secret, public: PublicKey(public) }
    }

    /// The half that is published.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The half that is wrapped.
    pub fn secret_key(&self) -> &SecretKey {
        &self.secret
    }

    /// The session token that signing in answers with: 32 bytes sealed to the public key (80 in all). What is
    /// sealed is the token itself, not its text.
    pub fn open_session_token(&self, sealed: &[u8]) -> Result<SessionToken, OpenError> {
        let bytes = sealed_box::open(self, sealed)?;
        SessionToken::from_slice(&bytes).map_err(|_| OpenError)
    }

    /// The key of a collection that somebody shared with this account.
    pub fn open_collection_key(&self, sealed: &[u8]) -> Result<CollectionKey, OpenError> {
        let bytes = sealed_box::open(self, sealed)?;
        CollectionKey::from_slice(&bytes).map_err(|_| OpenError)
    }
}
