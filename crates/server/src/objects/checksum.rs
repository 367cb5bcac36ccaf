//! Hashes as clients write them: MD5 in base64 or hex, and `Upload-Checksum`'s `<algorithm> <base64>`.
//!
//! They tell damage from delivery, and are no protection against malice: the bytes are authenticated by their owner's keys.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::Md5;
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

/// The 16 bytes of an MD5 in base64 (as in `Content-MD5`) or in hex.
pub(crate) fn parse_md5(text: &str) -> Option<[u8; 16]> {
    let text = text.trim();
    parse_hex(text).or_else(|| STANDARD.decode(text).ok()?.try_into().ok())
}

/// The 16 bytes of 32 hex digits.
pub(crate) fn parse_hex(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}

/// A hash that a body must have, and the hash of what has come of it.
#[derive(Clone, Debug)]
pub struct Announced {
    expected: Vec<u8>,
    seen: Hashing,
}

#[derive(Clone, Debug)]
enum Hashing {
    Sha1(Sha1),
    Sha256(Sha256),
    Md5(Md5),
    Blake3(Box<blake3::Hasher>),
}

impl Announced {
    /// Reads `<algorithm> <base64>`; `None` when the algorithm is unknown, or this is no hash of it.
    pub fn parse(text: &str) -> Option<Self> {
        let (algorithm, hash) = text.trim().split_once(' ')?;
        let (seen, length) = match algorithm {
            "sha1" => (Hashing::Sha1(Sha1::new()), 20),
            "sha256" => (Hashing::Sha256(Sha256::new()), 32),
            "md5" => (Hashing::Md5(Md5::new()), 16),
            "blake3" => (Hashing::Blake3(Box::new(blake3::Hasher::new())), 32),
            _ => return None,
        };
        let expected = STANDARD.decode(hash).ok().filter(|hash| hash.len() == length)?;
        Some(Self { expected, seen })
    }

    /// More of the body.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match &mut self.seen {
            Hashing::Sha1(hash) => hash.update(bytes),
            Hashing::Sha256(hash) => hash.update(bytes),
            Hashing::Md5(hash) => hash.update(bytes),
            Hashing::Blake3(hash) => {
                hash.update(bytes);
            }
        }
    }

    /// Whether what has come is what was announced.
    pub fn is_met(&self) -> bool {
        let seen = match &self.seen {
            Hashing::Sha1(hash) => hash.clone().finalize().to_vec(),
            Hashing::Sha256(hash) => hash.clone().finalize().to_vec(),
            Hashing::Md5(hash) => hash.clone().finalize().to_vec(),
            Hashing::Blake3(hash) => hash.finalize().as_bytes().to_vec(),
        };
        seen == self.expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_spellings_of_the_same_md5_are_the_same() {
        let expected = Some([
            0xd4, 0x1d, 0x8c, 0xd9, 0x8f, 0x00, 0xb2, 0x04, 0xe9, 0x80, 0x09, 0x98, 0xec, 0xf8, 0x42, 0x7e,
        ]);
        assert_eq!(parse_md5("d41d8cd98f00b204e9800998ecf8427e"), expected);
        assert_eq!(parse_md5("1B2M2Y8AsgTpgAmY7PhCfg=="), expected);
        for text in [
            "",
            "1B2M2Y8AsgTpgAmY7PhCfg",
            "d41d8cd98f00b204e9800998ecf8427",
            "+1d8cd98f00b204e9800998ecf8427e0",
        ] {
            assert_eq!(parse_md5(text), None, "{text}");
        }
    }

    /// Hashes of `abc`, from their specifications' test vectors.
    #[test]
    fn a_body_is_held_to_what_was_announced() {
        for text in [
            "sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=",
            "sha256 ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
            "md5 kAFQmDzST7DWlj99KOF/cg==",
            "blake3 ZDezrDhGUTP/tjt1JzqNtUjFWEZdedsD/TWcbNW9nYU=",
        ] {
            let mut announced = Announced::parse(text).expect(text);
            announced.update(b"a");
            assert!(!announced.is_met(), "{text}");
            announced.update(b"bc");
            assert!(announced.is_met(), "{text}");
        }
    }

    #[test]
    fn what_is_no_announcement_is_refused() {
        for text in [
            "",
            "sha1",
            "sha1 ",
            "sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0",
            "sha1 kAFQmDzST7DWlj99KOF/cg==",
            "SHA1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=",
            "crc32 AAAAAA==",
            "sha1  qZk+NkcGgWq6PiVxeFDCbJzQ2J0=",
        ] {
            assert!(Announced::parse(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_announcement_is_read_or_refused(text in ".*", hash in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Announced::parse(&text);
            for (algorithm, length) in [("sha1", 20), ("sha256", 32), ("md5", 16), ("blake3", 32)] {
                let read = Announced::parse(&format!("{algorithm} {}", STANDARD.encode(&hash)));
                prop_assert_eq!(read.is_some(), hash.len() == length);
            }
        }
    }
}
