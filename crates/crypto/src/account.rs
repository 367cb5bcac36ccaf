//! An account's keys, from sign-up through every unlocking to a change of password.
//!
//! What the server keeps are [`KeyAttributes`]: wrapped keys, a salt, a strength, a public key. The password, the
//! recovery phrase and the keys themselves never leave the device; this module hands out nothing else to send.

use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::encoding::{EncodingError, from_base64, to_base64};
use crate::error::{LengthError, OpenError};
use crate::kdf::{
    KdfError, PasswordStrength, Salt, derive_for_new_password, derive_key_encryption_key, derive_login_key,
};
use crate::keys::{
    KeyEncryptionKey, KeyPair, LoginKey, MasterKey, PublicKey, RecoveryKey, SecretKey, WrappedKey, Wraps,
};

/// The keys of an unlocked account.
#[derive(Debug, PartialEq, Eq)]
pub struct AccountKeys {
    /// Wraps the keys of collections.
    pub master_key: MasterKey,
    /// Opens what others sealed to this account.
    pub key_pair: KeyPair,
}

/// Everything that sign-up makes.
#[derive(Debug)]
pub struct NewAccount {
    /// The keys, unlocked.
    pub keys: AccountKeys,
    /// To be stored by the server.
    pub attributes: KeyAttributes,
    /// To be shown once, as 24 words.
    pub recovery_key: RecoveryKey,
    /// To register SRP with.
    pub login_key: LoginKey,
}

/// What a change of password replaces. All else stays: master key, key pair, recovery key.
#[derive(Debug)]
pub struct NewPassword {
    /// The five attributes to replace.
    pub attributes: PasswordAttributes,
    /// To register SRP with, anew.
    pub login_key: LoginKey,
}

/// The attributes that depend on the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordAttributes {
    /// Of the key-encryption key (`kekSalt`).
    pub salt: Salt,
    /// Of the key-encryption key (`memLimit`, `opsLimit`).
    pub strength: PasswordStrength,
    /// The master key under the key-encryption key (`encryptedKey`, `keyDecryptionNonce`).
    pub master_key: WrappedKey,
}

/// The attributes by which a forgotten password is survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryAttributes {
    /// The master key under the recovery key (`masterKeyEncryptedWithRecoveryKey`, `masterKeyDecryptionNonce`).
    pub master_key: WrappedKey,
    /// The recovery key under the master key (`recoveryKeyEncryptedWithMasterKey`, `recoveryKeyDecryptionNonce`).
    pub recovery_key: WrappedKey,
}

/// All that a server stores of an account's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAttributes {
    /// The way in by password.
    pub password: PasswordAttributes,
    /// Others seal to it (`publicKey`).
    pub public_key: PublicKey,
    /// The secret key under the master key (`encryptedSecretKey`, `secretKeyDecryptionNonce`).
    pub secret_key: WrappedKey,
    /// The way in by recovery phrase; the very oldest accounts have none.
    pub recovery: Option<RecoveryAttributes>,
}

/// Why an account stayed locked.
#[derive(Debug, Error)]
pub enum UnlockError {
    /// Wrong password or recovery phrase, or the attributes were altered.
    #[error("the password or recovery phrase is wrong, or the account's stored keys were altered")]
    Locked(#[source] OpenError),
    /// The secret key opened but does not belong to the public key: somebody exchanged one of them.
    #[error("the account's stored key pair does not belong together")]
    KeyPairMismatch,
    /// No recovery key was ever made for this account.
    #[error("this account has no recovery phrase")]
    NoRecovery,
    /// The password's key could not be derived.
    #[error("no key could be derived from the password")]
    Derivation(#[source] KdfError),
}

impl AccountKeys {
    /// Makes a new account's keys. Takes as long as deriving a key from the password does.
    ///
    /// `strength` must be an account's ([`PasswordStrength::for_account`]); with too little memory in the machine
    /// an equal amount of work on less is chosen, and stands in the attributes.
    pub fn generate(password: &str, strength: PasswordStrength) -> Result<NewAccount, KdfError> {
        let salt = Salt::generate();
        let (key, strength) = derive_for_new_password(password, &salt, strength)?;
        Ok(Self::generate_under(&key, salt, strength))
    }

    /// As [`generate`](Self::generate), from a key that was derived already with this salt and strength.
    pub fn generate_under(key: &KeyEncryptionKey, salt: Salt, strength: PasswordStrength) -> NewAccount {
        let keys = Self { master_key: MasterKey::generate(), key_pair: KeyPair::generate() };
        let recovery_key = RecoveryKey::generate();
        let attributes = KeyAttributes {
            password: keys.password_attributes(key, salt, strength),
            public_key: *keys.key_pair.public_key(),
            secret_key: keys.master_key.wrap_key(keys.key_pair.secret_key()),
            recovery: Some(RecoveryAttributes {
                master_key: recovery_key.wrap_key(&keys.master_key),
                recovery_key: keys.master_key.wrap_key(&recovery_key),
            }),
        };
        NewAccount { keys, attributes, recovery_key, login_key: derive_login_key(key) }
    }

    /// Wraps the same master key under a new password, with a new salt.
    pub fn change_password(
        &self,
        password: &str,
        strength: PasswordStrength,
    ) -> Result<NewPassword, KdfError> {
        let salt = Salt::generate();
        let (key, strength) = derive_for_new_password(password, &salt, strength)?;
        let attributes = self.password_attributes(&key, salt, strength);
        Ok(NewPassword { attributes, login_key: derive_login_key(&key) })
    }

    /// The attributes that let `key` unlock this account.
    pub fn password_attributes(
        &self,
        key: &KeyEncryptionKey,
        salt: Salt,
        strength: PasswordStrength,
    ) -> PasswordAttributes {
        PasswordAttributes { salt, strength, master_key: key.wrap_key(&self.master_key) }
    }

    /// The recovery key, to show its phrase again.
    pub fn recovery_key(&self, attributes: &KeyAttributes) -> Result<RecoveryKey, UnlockError> {
        let recovery = attributes.recovery.as_ref().ok_or(UnlockError::NoRecovery)?;
        self.master_key.unwrap_key(&recovery.recovery_key).map_err(UnlockError::Locked)
    }

    /// Keys read back from a keychain, checked against each other by `public_key`.
    pub fn from_keys(
        master_key: MasterKey,
        secret_key: SecretKey,
        public_key: &PublicKey,
    ) -> Result<Self, UnlockError> {
        let key_pair = KeyPair::from_secret_key(secret_key);
        let same = key_pair.public_key().as_bytes().ct_eq(public_key.as_bytes());
        if bool::from(same) { Ok(Self { master_key, key_pair }) } else { Err(UnlockError::KeyPairMismatch) }
    }
}

impl KeyAttributes {
    /// Opens the account with the key that was derived for signing in.
    pub fn unlock(&self, key: &KeyEncryptionKey) -> Result<AccountKeys, UnlockError> {
        self.open_with(key.unwrap_key(&self.password.master_key))
    }

    /// Opens the account with the password. Takes as long as deriving a key does.
    pub fn unlock_with_password(&self, password: &str) -> Result<AccountKeys, UnlockError> {
        let key = derive_key_encryption_key(password, &self.password.salt, self.password.strength)
            .map_err(UnlockError::Derivation)?;
        self.unlock(&key)
    }

    /// Opens the account with the recovery key. To be followed by a change of password.
    pub fn unlock_with_recovery_key(&self, key: &RecoveryKey) -> Result<AccountKeys, UnlockError> {
        let recovery = self.recovery.as_ref().ok_or(UnlockError::NoRecovery)?;
        self.open_with(key.unwrap_key(&recovery.master_key))
    }

    fn open_with(&self, master_key: Result<MasterKey, OpenError>) -> Result<AccountKeys, UnlockError> {
        let master_key = master_key.map_err(UnlockError::Locked)?;
        let secret_key = master_key.unwrap_key(&self.secret_key).map_err(UnlockError::Locked)?;
        AccountKeys::from_keys(master_key, secret_key, &self.public_key)
    }
}

/// [`KeyAttributes`] as they travel: the binary fields in base64, under their names in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the wire format and of `KeyAttributes`")]
pub struct EncodedKeyAttributes {
    pub kek_salt: String,
    pub mem_limit: u64,
    pub ops_limit: u64,
    pub encrypted_key: String,
    pub key_decryption_nonce: String,
    pub public_key: String,
    pub encrypted_secret_key: String,
    pub secret_key_decryption_nonce: String,
    /// This field and the next three are all empty where there is no recovery key.
    pub master_key_encrypted_with_recovery_key: String,
    pub master_key_decryption_nonce: String,
    pub recovery_key_encrypted_with_master_key: String,
    pub recovery_key_decryption_nonce: String,
}

/// What is wrong with attributes that a server sent.
#[derive(Debug, Error)]
pub enum AttributesError {
    /// A field is not padded base64.
    #[error("the account's stored keys are not in base64")]
    Encoding(#[from] EncodingError),
    /// A field has the wrong length.
    #[error("the account's stored keys are malformed")]
    Length(#[from] LengthError),
    /// The strength is out of bounds.
    #[error("the account's password strength is unusable")]
    Strength(#[from] KdfError),
}

impl EncodedKeyAttributes {
    /// The meaning of the text; every length is checked.
    pub fn decode(&self) -> Result<KeyAttributes, AttributesError> {
        Ok(KeyAttributes {
            password: PasswordAttributes {
                salt: Salt::from_slice(&from_base64(&self.kek_salt)?)?,
                strength: PasswordStrength::stored(self.mem_limit, self.ops_limit)?,
                master_key: decode_wrapped(&self.encrypted_key, &self.key_decryption_nonce)?,
            },
            public_key: PublicKey::from_slice(&from_base64(&self.public_key)?)?,
            secret_key: decode_wrapped(&self.encrypted_secret_key, &self.secret_key_decryption_nonce)?,
            recovery: self.decode_recovery()?,
        })
    }

    fn decode_recovery(&self) -> Result<Option<RecoveryAttributes>, AttributesError> {
        let absent = self.master_key_encrypted_with_recovery_key.is_empty()
            && self.master_key_decryption_nonce.is_empty()
            && self.recovery_key_encrypted_with_master_key.is_empty()
            && self.recovery_key_decryption_nonce.is_empty();
        if absent {
            return Ok(None);
        }
        Ok(Some(RecoveryAttributes {
            master_key: decode_wrapped(
                &self.master_key_encrypted_with_recovery_key,
                &self.master_key_decryption_nonce,
            )?,
            recovery_key: decode_wrapped(
                &self.recovery_key_encrypted_with_master_key,
                &self.recovery_key_decryption_nonce,
            )?,
        }))
    }
}

impl From<&KeyAttributes> for EncodedKeyAttributes {
    fn from(attributes: &KeyAttributes) -> Self {
        let KeyAttributes { password, public_key, secret_key, recovery } = attributes;
        let encoded = Self {
            kek_salt: to_base64(password.salt.as_bytes()),
            mem_limit: password.strength.mem_limit(),
            ops_limit: password.strength.ops_limit(),
            encrypted_key: to_base64(&password.master_key.ciphertext),
            key_decryption_nonce: to_base64(password.master_key.nonce.as_bytes()),
            public_key: to_base64(public_key.as_bytes()),
            encrypted_secret_key: to_base64(&secret_key.ciphertext),
            secret_key_decryption_nonce: to_base64(secret_key.nonce.as_bytes()),
            ..Self::default()
        };
        let Some(RecoveryAttributes { master_key, recovery_key }) = recovery else { return encoded };
        Self {
            master_key_encrypted_with_recovery_key: to_base64(&master_key.ciphertext),
            master_key_decryption_nonce: to_base64(master_key.nonce.as_bytes()),
            recovery_key_encrypted_with_master_key: to_base64(&recovery_key.ciphertext),
            recovery_key_decryption_nonce: to_base64(recovery_key.nonce.as_bytes()),
            ..encoded
        }
    }
}

fn decode_wrapped(ciphertext: &str, nonce: &str) -> Result<WrappedKey, AttributesError> {
    Ok(WrappedKey::from_parts(&from_base64(ciphertext)?, &from_base64(nonce)?)?)
}
