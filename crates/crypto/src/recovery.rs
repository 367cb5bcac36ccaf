//! The recovery phrase: 32 bytes as 24 English words (BIP-39), for a person to write down.
//!
//! Word `i` carries bits `11·i .. 11·i+11` of `key ‖ first 8 bits of SHA-256(key)`. The phrase *is* the key: no
//! passphrase and none of BIP-39's stretching applies. Errors name positions, never words.

use bip39::{Language, Mnemonic};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::keys::{PublicKey, RecoveryKey};

/// Words in a phrase.
pub const WORD_COUNT: usize = 24;

/// Hexadecimal digits in the other form that is accepted.
const HEX_LEN: usize = 64;

/// The words by which BIP-39 fails on a length that it does not have: 32 bytes always make 24 words.
const ALWAYS_24_WORDS: &str = "32 bytes make 24 words";

/// Why a typed phrase is not a recovery key.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RecoveryError {
    /// Neither 24 words nor 64 hexadecimal digits.
    #[error("a recovery phrase has 24 words; this has {words}")]
    WordCount {
        /// How many were given.
        words: usize,
    },
    /// A word that is not in the list; usually misspelt.
    #[error("word {position} is not one of the recovery phrase's words")]
    UnknownWord {
        /// Counted from 1.
        position: usize,
    },
    /// All words exist, but not together: one is wrong, or two changed places.
    #[error("the words do not belong together: one of them is wrong or out of place")]
    Checksum,
}

/// The phrase to show: 24 lower-case words with single spaces between. Wiped when dropped.
pub fn to_phrase(key: &RecoveryKey) -> Zeroizing<String> {
    Zeroizing::new(words_of(key.expose()))
}

/// Reads a phrase as people type it (any case, any white space), or 64 hexadecimal digits.
pub fn parse(text: &str) -> Result<RecoveryKey, RecoveryError> {
    if let Some(key) = parse_hex(text.trim()) {
        return Ok(key);
    }
    let normal = normalize(text);
    let words = normal.split_whitespace().count();
    if words != WORD_COUNT {
        return Err(RecoveryError::WordCount { words });
    }
    let mnemonic = Mnemonic::parse_in_normalized(Language::English, &normal).map_err(explain)?;
    let (entropy, _) = mnemonic.to_entropy_array();
    let entropy = Zeroizing::new(entropy);
    let bytes = entropy.first_chunk::<32>().expect(ALWAYS_24_WORDS);
    Ok(RecoveryKey::take(*bytes))
}

/// What two people compare aloud before one shares with the other: SHA-256 of the public key, as 24 words.
pub fn verification_id(public_key: &PublicKey) -> String {
    words_of(&Sha256::digest(public_key.as_bytes()).into())
}

fn words_of(bytes: &[u8; 32]) -> String {
    Mnemonic::from_entropy_in(Language::English, bytes).expect(ALWAYS_24_WORDS).to_string()
}

/// Lower case, one space between words. The buffer has room from the start, so that growing leaves no copies.
fn normalize(text: &str) -> Zeroizing<String> {
    let mut normal = Zeroizing::new(String::with_capacity(text.len() + 1));
    for word in text.split_whitespace() {
        if !normal.is_empty() {
            normal.push(' ');
        }
        normal.extend(word.chars().map(|letter| letter.to_ascii_lowercase()));
    }
    normal
}

fn parse_hex(text: &str) -> Option<RecoveryKey> {
    if text.len() != HEX_LEN {
        return None;
    }
    let mut bytes = Zeroizing::new([0_u8; 32]);
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
    }
    Some(RecoveryKey::take(*bytes))
}

fn hex_digit(letter: u8) -> Option<u8> {
    let digit = char::from(letter).to_digit(16)?;
    u8::try_from(digit).ok()
}

fn explain(error: bip39::Error) -> RecoveryError {
    match error {
        bip39::Error::UnknownWord(index) => RecoveryError::UnknownWord { position: index + 1 },
        bip39::Error::BadWordCount(words) => RecoveryError::WordCount { words },
        bip39::Error::BadEntropyBitCount(_)
        | bip39::Error::InvalidChecksum
        | bip39::Error::AmbiguousLanguages(_) => RecoveryError::Checksum,
    }
}
