//! MD5 as clients write it, base64 or hex, and as this server writes it: hex.
//!
//! It tells damage from delivery, and is no protection against malice: the bytes are authenticated by their owner's keys.

use base64::{Engine as _, engine::general_purpose::STANDARD};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
