//! From a password to keys: Argon2id makes the key-encryption key, and a sub-key of that signs the account in.
//!
//! The password is taken as typed: its UTF-8 bytes, not trimmed, not normalised. Argon2id (RFC 9106) version
//! 0x13 with one lane, a 16-byte salt and 32 bytes out: `m = mem_limit / 1024` KiB, `t = ops_limit`.
//! The server sees the login key's verifier and never the key-encryption key.

use argon2::{Algorithm, Argon2, Params, Version};
use dryoc::classic::crypto_kdf::crypto_kdf_derive_from_key;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::error::{LengthError, exactly};
use crate::keys::{KeyEncryptionKey, LoginKey};
use crate::secret::{Secret, fill_random};

/// Length of a salt in bytes.
pub const SALT_LEN: usize = 16;

/// What `mem_limit · ops_limit` is for every account.
pub const ACCOUNT_PRODUCT: u64 = 4_294_967_296;

/// The least memory for a new password: 128 MiB.
pub const ACCOUNT_MEMORY_FLOOR: u64 = 128 << 20;

/// The most memory that a stored strength may ask for: 1 GiB, the oldest accounts' setting.
pub const MEMORY_CEILING: u64 = 1 << 30;

/// The least memory with which Argon2 is defined for one lane: 8 KiB.
const MEMORY_MINIMUM: u64 = 8 << 10;

/// A stored strength may ask for at most four times an account's work, so that a hostile server cannot hold a
/// device busy for hours.
const PRODUCT_CEILING: u64 = 4 * ACCOUNT_PRODUCT;

/// Passes are bounded even where memory is tiny, for the same reason.
const OPS_CEILING: u64 = 1 << 16;

/// The sub-key's number and context in `crypto_kdf`.
const LOGIN_SUBKEY_ID: u64 = 1;
const LOGIN_CONTEXT: [u8; 8] = *b"loginctx";

/// Why no key came out.
#[derive(Debug, Error)]
pub enum KdfError {
    /// Too weak for a new password: see [`PasswordStrength::for_account`].
    #[error("a new password needs at least 128 MiB of memory and memory times passes of 2^32")]
    TooWeak,
    /// Nothing that an account ever used, or more than this program is willing to spend.
    #[error("the stored password strength is out of bounds: {mem_limit} bytes, {ops_limit} passes")]
    OutOfBounds {
        /// Bytes.
        mem_limit: u64,
        /// Passes.
        ops_limit: u64,
    },
    /// The machine did not give the memory.
    #[error("not enough memory to derive the key: {mem_limit} bytes are needed")]
    OutOfMemory {
        /// Bytes.
        mem_limit: u64,
    },
    /// Argon2 refused its input (a password of 4 GiB, say).
    #[error("the password cannot be derived from")]
    Refused(#[source] argon2::Error),
}

/// How hard a password is to try: the two numbers stored beside the salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordStrength {
    mem_limit: u64,
    ops_limit: u64,
}

impl PasswordStrength {
    /// A new account or password: 256 MiB, 16 passes.
    pub const ACCOUNT: Self = Self { mem_limit: 256 << 20, ops_limit: 16 };
    /// The same work on a machine with little memory: 128 MiB, 32 passes.
    pub const ACCOUNT_LOW_MEMORY: Self = Self { mem_limit: 128 << 20, ops_limit: 32 };
    /// What older accounts have: 1 GiB, 4 passes.
    pub const SENSITIVE: Self = Self { mem_limit: 1 << 30, ops_limit: 4 };
    /// A gate opened often: 256 MiB, 3 passes. Not enough for an account.
    pub const MODERATE: Self = Self { mem_limit: 256 << 20, ops_limit: 3 };
    /// The password of a public link: 64 MiB, 2 passes. Not enough for an account.
    pub const INTERACTIVE: Self = Self { mem_limit: 64 << 20, ops_limit: 2 };

    /// A strength for a **new** password: at least [`ACCOUNT_MEMORY_FLOOR`], and the product of both numbers
    /// exactly [`ACCOUNT_PRODUCT`]; servers refuse anything else.
    pub fn for_account(mem_limit: u64, ops_limit: u64) -> Result<Self, KdfError> {
        let strength = Self::stored(mem_limit, ops_limit)?;
        if strength.is_enough_for_account() { Ok(strength) } else { Err(KdfError::TooWeak) }
    }

    /// A strength that came from the server, for signing in: whatever is stored is used, within bounds.
    ///
    /// Bounds: 8 KiB to 1 GiB of memory, 1 to 65,536 passes, and a product of at most 2^34, four times an
    /// account's. Beyond these lies no account that ever was, only a device kept busy. *Weaker than an account's*
    /// is accepted here: see [`is_enough_for_account`](Self::is_enough_for_account).
    pub fn stored(mem_limit: u64, ops_limit: u64) -> Result<Self, KdfError> {
        let within = (MEMORY_MINIMUM..=MEMORY_CEILING).contains(&mem_limit)
            && (1..=OPS_CEILING).contains(&ops_limit)
            && mem_limit.saturating_mul(ops_limit) <= PRODUCT_CEILING;
        if within {
            Ok(Self { mem_limit, ops_limit })
        } else {
            Err(KdfError::OutOfBounds { mem_limit, ops_limit })
        }
    }

    /// Whether a new password could have this strength.
    ///
    /// Signing in with less tells a hostile server enough to try passwords cheaply, as the proof of login depends
    /// on the derived key. A caller that knows better than to trust its server asks this first.
    pub fn is_enough_for_account(self) -> bool {
        self.mem_limit >= ACCOUNT_MEMORY_FLOOR
            && self.mem_limit.saturating_mul(self.ops_limit) == ACCOUNT_PRODUCT
    }

    /// Bytes (not KiB).
    pub fn mem_limit(self) -> u64 {
        self.mem_limit
    }

    /// Passes over the memory.
    pub fn ops_limit(self) -> u64 {
        self.ops_limit
    }

    /// Half the memory for twice the passes; `None` below the floor.
    fn with_less_memory(self) -> Option<Self> {
        let less = Self { mem_limit: self.mem_limit / 2, ops_limit: self.ops_limit * 2 };
        less.is_enough_for_account().then_some(less)
    }
}

/// The salt beside a wrapped master key. Public, random, new with every password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt([u8; SALT_LEN]);

impl Salt {
    /// A fresh one.
    pub fn generate() -> Self {
        let mut bytes = [0; SALT_LEN];
        fill_random(&mut bytes);
        Self(bytes)
    }

    /// Reads a stored one: 16 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, LengthError> {
        exactly("a salt", bytes).map(Self)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8; SALT_LEN] {
        &self.0
    }
}

/// The key that a password stands for. Takes a second or so, and `strength.mem_limit()` bytes of memory.
pub fn derive_key_encryption_key(
    password: &str,
    salt: &Salt,
    strength: PasswordStrength,
) -> Result<KeyEncryptionKey, KdfError> {
    let mut key = Secret::<32>::zeroed();
    argon2id(strength)?.hash_password_into(password.as_bytes(), salt.as_bytes(), key.expose_mut()).map_err(
        |error| match error {
            argon2::Error::OutOfMemory => KdfError::OutOfMemory { mem_limit: strength.mem_limit },
            refused => KdfError::Refused(refused),
        },
    )?;
    Ok(KeyEncryptionKey::from_secret(key))
}

/// A key for a new password, and the strength that the machine could bear: starting from `strength`, memory is
/// halved and passes doubled while the memory cannot be had, down to [`ACCOUNT_MEMORY_FLOOR`].
pub fn derive_for_new_password(
    password: &str,
    salt: &Salt,
    strength: PasswordStrength,
) -> Result<(KeyEncryptionKey, PasswordStrength), KdfError> {
    let mut strength = PasswordStrength::for_account(strength.mem_limit, strength.ops_limit)?;
    loop {
        match derive_key_encryption_key(password, salt, strength) {
            Ok(key) => return Ok((key, strength)),
            Err(KdfError::OutOfMemory { mem_limit }) => {
                strength = strength.with_less_memory().ok_or(KdfError::OutOfMemory { mem_limit })?;
            }
            Err(other) => return Err(other),
        }
    }
}

/// What proves to the server that the password is known: the first 16 bytes of
/// `crypto_kdf(32 bytes, id 1, context "loginctx", key-encryption key)`.
///
/// It tells nothing about the key that it came from.
pub fn derive_login_key(key: &KeyEncryptionKey) -> LoginKey {
    let mut subkey = Zeroizing::new([0_u8; 32]);
    crypto_kdf_derive_from_key(subkey.as_mut_slice(), LOGIN_SUBKEY_ID, &LOGIN_CONTEXT, key.expose())
        .expect("32 bytes are a valid sub-key length");
    let half = subkey.first_chunk::<16>().expect("16 is less than 32");
    LoginKey::take(*half)
}

fn argon2id(strength: PasswordStrength) -> Result<Argon2<'static>, KdfError> {
    let PasswordStrength { mem_limit, ops_limit } = strength;
    let out_of_bounds = || KdfError::OutOfBounds { mem_limit, ops_limit };
    let kibibytes = u32::try_from(mem_limit / 1024).map_err(|_| out_of_bounds())?;
    let passes = u32::try_from(ops_limit).map_err(|_| out_of_bounds())?;
    let params = Params::new(kibibytes, passes, 1, Some(32)).map_err(KdfError::Refused)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::{KdfError, PasswordStrength};

    #[test]
    fn a_new_password_is_never_weak() {
        for (mem, ops, accepted) in [
            (256 << 20, 16, true),
            (128 << 20, 32, true),
            (1 << 30, 4, true),
            (64 << 20, 64, false),
            (256 << 20, 15, false),
            (256 << 20, 17, false),
            (64 << 20, 2, false),
        ] {
            let strength = PasswordStrength::for_account(mem, ops);
            assert_eq!(strength.is_ok(), accepted, "{mem} bytes, {ops} passes");
        }
    }

    #[test]
    fn a_stored_strength_is_used_unless_it_is_absurd() {
        for (mem, ops, accepted) in [
            (8192, 1, true),
            (64 << 20, 2, true),
            (1 << 30, 4, true),
            (1 << 30, 16, true),
            (1 << 30, 17, false),
            ((1 << 30) + 1, 1, false),
            (8191, 1, false),
            (8192, 0, false),
            (8192, 65_537, false),
            (u64::MAX, u64::MAX, false),
        ] {
            let strength = PasswordStrength::stored(mem, ops);
            assert_eq!(strength.is_ok(), accepted, "{mem} bytes, {ops} passes");
        }
    }

    #[test]
    fn less_memory_means_more_passes_down_to_the_floor() {
        let less = PasswordStrength::ACCOUNT.with_less_memory();
        assert_eq!(less, Some(PasswordStrength::ACCOUNT_LOW_MEMORY));
        assert_eq!(PasswordStrength::ACCOUNT_LOW_MEMORY.with_less_memory(), None);
    }

    #[test]
    fn weak_is_told_from_absurd() {
        assert!(matches!(PasswordStrength::for_account(64 << 20, 2), Err(KdfError::TooWeak)));
        assert!(matches!(PasswordStrength::for_account(0, 0), Err(KdfError::OutOfBounds { .. })));
    }
}
