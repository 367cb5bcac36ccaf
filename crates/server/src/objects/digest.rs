//! What is remembered of bytes that were stored, so that they can be compared when they are read back.
//!
//! New digests are BLAKE3, written `b3:<64 hex digits>`: at several GB/s a core, reading back costs the disk and little else. Digests
//! without a prefix are the BLAKE2b-256 of earlier versions, and still count. A digest tells damage; it is no protection against
//! whoever can write to both the disk and the database: the owner's keys are.

use crate::auth::session::hex;
use std::fmt;

/// A digest as the database has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// What this version takes.
    Blake3([u8; 32]),
    /// What earlier versions took.
    Blake2b([u8; 32]),
}

impl Digest {
    /// The digest of bytes at hand, of the kind that is taken now.
    pub fn of(bytes: &[u8]) -> Self {
        Self::Blake3(blake3::hash(bytes).into())
    }

    /// The digest that a database row holds; `None` for what no version of the server writes.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("b3:") {
            Some(digits) => parse_hex(digits).map(Self::Blake3),
            None => parse_hex(text).map(Self::Blake2b),
        }
    }

    /// What HTTP calls the version of an object that has it, without quotes: its first half, in hex.
    pub fn etag(&self) -> String {
        let (Self::Blake3(bytes) | Self::Blake2b(bytes)) = self;
        hex(bytes.split_at(bytes.len() / 2).0)
    }

    /// What computes a digest of this one's kind.
    pub fn hasher(&self) -> Hasher {
        match self {
            Self::Blake3(_) => Hasher::new(),
            Self::Blake2b(_) => {
                let state = blake2b_simd::Params::new().hash_length(32).to_state();
                Hasher::Blake2b(Box::new(state))
            }
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blake3(bytes) => write!(f, "b3:{}", hex(bytes)),
            Self::Blake2b(bytes) => f.write_str(&hex(bytes)),
        }
    }
}

/// A digest under way.
#[derive(Clone, Debug)]
pub enum Hasher {
    /// Of the kind that is taken now.
    Blake3(Box<blake3::Hasher>),
    /// Of the kind that earlier versions took.
    Blake2b(Box<blake2b_simd::State>),
}

impl Hasher {
    /// Begins a digest of the kind that is taken now.
    pub fn new() -> Self {
        Self::Blake3(Box::new(blake3::Hasher::new()))
    }

    /// Goes on with these bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Blake3(hasher) => drop(hasher.update(bytes)),
            Self::Blake2b(state) => drop(state.update(bytes)),
        }
    }

    /// The digest of all bytes so far.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Blake3(hasher) => Digest::Blake3(hasher.finalize().into()),
            Self::Blake2b(state) => {
                let hash = state.finalize();
                Digest::Blake2b(*hash.as_bytes().first_chunk().expect("the hash was asked for 32 bytes"))
            }
        }
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

/// The 32 bytes of 64 lower-case hex digits.
fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 64 || !text.bytes().all(is_digit) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BLAKE3 and BLAKE2b-256 of nothing, from their own test vectors and from libsodium.
    const BLAKE3_OF_NOTHING: &str = "b3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    const BLAKE2B_OF_NOTHING: &str = "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8";

    #[test]
    fn both_kinds_are_read_written_and_computed() {
        for text in [BLAKE3_OF_NOTHING, BLAKE2B_OF_NOTHING] {
            let digest = Digest::parse(text).unwrap();
            assert_eq!(digest.to_string(), text);
            assert_eq!(digest.hasher().digest(), digest);
        }
        assert_eq!(Digest::of(b""), Digest::parse(BLAKE3_OF_NOTHING).unwrap());
        let mut hasher = Hasher::new();
        hasher.update(b"a");
        hasher.update(b"b");
        assert_eq!(hasher.digest(), Digest::of(b"ab"));
        assert_ne!(Digest::of(b"ab"), Digest::of(b"ac"));
    }

    #[test]
    fn nothing_else_is_a_digest() {
        let digits = "a".repeat(64);
        for text in
            ["", "b3:", &digits[1..], &format!("b4:{digits}"), &digits.to_uppercase(), &"+a".repeat(32)]
        {
            assert_eq!(Digest::parse(text), None, "{text}");
        }
    }
}
