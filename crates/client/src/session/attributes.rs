//! Key attributes between the wire and their meaning: the same fields, twice, because neither side may know the other.

use super::SessionError;
use darkslide_crypto::account::{EncodedKeyAttributes, KeyAttributes, PasswordAttributes};
use darkslide_crypto::kdf::{PasswordStrength, Salt};
use darkslide_protocol::Opaque;
use darkslide_protocol::account::{
    KeyAttributes as WireAttributes, RecoveryAttributes as WireRecovery, SrpAttributes, UpdatedKeyAttributes,
};

/// Reads what the server stores of an account's keys.
pub(super) fn from_wire(wire: &WireAttributes) -> Result<KeyAttributes, SessionError> {
    let encoded = EncodedKeyAttributes {
        kek_salt: wire.kek_salt.0.clone(),
        mem_limit: unsigned(wire.mem_limit),
        ops_limit: unsigned(wire.ops_limit),
        encrypted_key: wire.encrypted_key.0.clone(),
        key_decryption_nonce: wire.key_decryption_nonce.0.clone(),
        public_key: wire.public_key.0.clone(),
        encrypted_secret_key: wire.encrypted_secret_key.0.clone(),
        secret_key_decryption_nonce: wire.secret_key_decryption_nonce.0.clone(),
        master_key_encrypted_with_recovery_key: wire
            .recovery
            .master_key_encrypted_with_recovery_key
            .0
            .clone(),
        master_key_decryption_nonce: wire.recovery.master_key_decryption_nonce.0.clone(),
        recovery_key_encrypted_with_master_key: wire
            .recovery
            .recovery_key_encrypted_with_master_key
            .0
            .clone(),
        recovery_key_decryption_nonce: wire.recovery.recovery_key_decryption_nonce.0.clone(),
    };
    Ok(encoded.decode()?)
}

/// Writes what the server shall store of a new account's keys.
pub(super) fn to_wire(attributes: &KeyAttributes) -> WireAttributes {
    let encoded = EncodedKeyAttributes::from(attributes);
    WireAttributes {
        kek_salt: Opaque(encoded.kek_salt),
        mem_limit: signed(encoded.mem_limit),
        ops_limit: signed(encoded.ops_limit),
        encrypted_key: Opaque(encoded.encrypted_key),
        key_decryption_nonce: Opaque(encoded.key_decryption_nonce),
        public_key: Opaque(encoded.public_key),
        encrypted_secret_key: Opaque(encoded.encrypted_secret_key),
        secret_key_decryption_nonce: Opaque(encoded.secret_key_decryption_nonce),
        recovery: WireRecovery {
            master_key_encrypted_with_recovery_key: Opaque(encoded.master_key_encrypted_with_recovery_key),
            master_key_decryption_nonce: Opaque(encoded.master_key_decryption_nonce),
            recovery_key_encrypted_with_master_key: Opaque(encoded.recovery_key_encrypted_with_master_key),
            recovery_key_decryption_nonce: Opaque(encoded.recovery_key_decryption_nonce),
        },
    }
}

/// The five fields that a new password changes.
pub(super) fn to_wire_update(attributes: &PasswordAttributes) -> UpdatedKeyAttributes {
    UpdatedKeyAttributes {
        kek_salt: Opaque::encode(attributes.salt.as_bytes()),
        encrypted_key: Opaque::encode(attributes.master_key.ciphertext),
        key_decryption_nonce: Opaque::encode(attributes.master_key.nonce.as_bytes()),
        mem_limit: signed(attributes.strength.mem_limit()),
        ops_limit: signed(attributes.strength.ops_limit()),
    }
}

/// How the password is to be derived for signing in, as the server says; refused when weaker than any account's.
pub(super) fn derivation(wire: &SrpAttributes) -> Result<(Salt, PasswordStrength), SessionError> {
    let salt = wire.kek_salt.decode_array::<16>().map_err(|_| SessionError::Answer("salt"))?;
    let salt = Salt::from_slice(&salt).map_err(|_| SessionError::Answer("salt"))?;
    let strength = PasswordStrength::stored(unsigned(wire.mem_limit), unsigned(wire.ops_limit))?;
    if strength.is_enough_for_account() {
        Ok((salt, strength))
    } else {
        Err(SessionError::WeakPasswordProtection)
    }
}

/// Negative limits become one that is out of bounds.
fn unsigned(limit: i64) -> u64 {
    u64::try_from(limit).unwrap_or(0)
}

fn signed(limit: u64) -> i64 {
    i64::try_from(limit).expect("a password's strength is far below 2^63")
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkslide_crypto::account::AccountKeys;
    use darkslide_crypto::keys::KeyEncryptionKey;

    #[test]
    fn attributes_survive_the_wire() {
        let key = KeyEncryptionKey::take([7; 32]);
        let account = AccountKeys::generate_under(&key, Salt::generate(), PasswordStrength::ACCOUNT);
        let wire = to_wire(&account.attributes);
        assert_eq!(from_wire(&wire).unwrap(), account.attributes);
        assert_eq!((wire.mem_limit, wire.ops_limit), (268_435_456, 16));
    }

    #[test]
    fn a_server_cannot_ask_for_a_weak_derivation() {
        let ask = |mem_limit, ops_limit| {
            let salt = Opaque::encode([0; 16]);
            derivation(&SrpAttributes { kek_salt: salt, mem_limit, ops_limit, ..SrpAttributes::default() })
        };
        assert!(ask(268_435_456, 16).is_ok());
        assert!(ask(1 << 30, 4).is_ok());
        assert!(matches!(ask(268_435_456, 1), Err(SessionError::WeakPasswordProtection)));
        assert!(matches!(ask(8192, 1), Err(SessionError::WeakPasswordProtection)));
        assert!(matches!(ask(-1, 16), Err(SessionError::Derivation(_))));
    }
}
