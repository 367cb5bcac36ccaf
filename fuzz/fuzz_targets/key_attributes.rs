//! Key attributes from a hostile server: decoding them, and unlocking what decodes.
#![no_main]

use arbitrary::Arbitrary;
use darkslide_crypto::account::EncodedKeyAttributes;
use darkslide_crypto::encoding::to_base64;
use darkslide_crypto::keys::{KeyEncryptionKey, RecoveryKey};
use libfuzzer_sys::fuzz_target;

/// A binary field: any text, or any bytes in base64, or bytes of a length that may be right.
#[derive(Arbitrary, Debug)]
enum Field {
    Text(String),
    Bytes(Vec<u8>),
    Salt([u8; 16]),
    Nonce([u8; 24]),
    Public([u8; 32]),
    Wrapped([[u8; 16]; 3]),
}

impl Field {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Bytes(bytes) => to_base64(bytes),
            Self::Salt(bytes) => to_base64(bytes),
            Self::Nonce(bytes) => to_base64(bytes),
            Self::Public(bytes) => to_base64(bytes),
            Self::Wrapped(parts) => to_base64(parts.as_flattened()),
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Input {
    fields: [Field; 10],
    mem_limit: u64,
    ops_limit: u64,
    /// Replaces what the fuzzer would rarely find: fields of the right lengths.
    well_formed: Option<[[u8; 16]; 9]>,
}

fn encode(input: &Input) -> EncodedKeyAttributes {
    let [a, b, c, d, e, f, g, h, i, j] = &input.fields;
    EncodedKeyAttributes {
        kek_salt: a.text(),
        mem_limit: input.mem_limit,
        ops_limit: input.ops_limit,
        encrypted_key: b.text(),
        key_decryption_nonce: c.text(),
        public_key: d.text(),
        encrypted_secret_key: e.text(),
        secret_key_decryption_nonce: f.text(),
        master_key_encrypted_with_recovery_key: g.text(),
        master_key_decryption_nonce: h.text(),
        recovery_key_encrypted_with_master_key: i.text(),
        recovery_key_decryption_nonce: j.text(),
    }
}

fn well_formed(parts: &[[u8; 16]; 9], input: &Input) -> EncodedKeyAttributes {
    let bytes = parts.as_flattened();
    let take = |from: usize, length: usize| to_base64(bytes.get(from..from + length).unwrap_or_default());
    EncodedKeyAttributes {
        kek_salt: take(0, 16),
        mem_limit: 8192 + input.mem_limit % 65_536,
        ops_limit: 1 + input.ops_limit % 4,
        encrypted_key: take(16, 48),
        key_decryption_nonce: take(64, 24),
        public_key: take(88, 32),
        encrypted_secret_key: take(90, 48),
        secret_key_decryption_nonce: take(110, 24),
        master_key_encrypted_with_recovery_key: take(3, 48),
        master_key_decryption_nonce: take(5, 24),
        recovery_key_encrypted_with_master_key: take(7, 48),
        recovery_key_decryption_nonce: take(9, 24),
    }
}

fuzz_target!(|input: Input| {
    if let Some(parts) = &input.well_formed {
        let encoded = well_formed(parts, &input);
        let attributes = encoded.decode().expect("every field has its length");
        assert_eq!(EncodedKeyAttributes::from(&attributes), encoded);
        assert!(attributes.unlock(&KeyEncryptionKey::take([1; 32])).is_err(), "forged attributes unlocked");
        assert!(attributes.unlock_with_recovery_key(&RecoveryKey::take([1; 32])).is_err());
        assert!(attributes.unlock_with_password("password").is_err());
    }
    let encoded = encode(&input);
    if let Ok(attributes) = encoded.decode() {
        assert_eq!(EncodedKeyAttributes::from(&attributes), encoded, "decoding is not injective");
        assert!(attributes.unlock(&KeyEncryptionKey::take([1; 32])).is_err(), "forged attributes unlocked");
    }
});
