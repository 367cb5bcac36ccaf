//! When two names would be one on another file system: compared by Unicode's canonical composition (NFC) and without case.

use darkslide_media::names::comparison_key;

/// What two paths have in common that differ only by case or normalisation. Bytes that are no UTF-8 are compared as they are.
pub(super) fn key(path: &[u8]) -> String {
    match std::str::from_utf8(path) {
        Ok(text) if text.is_ascii() => text.to_ascii_lowercase(),
        Ok(text) => comparison_key(text),
        // No text can hold what stands for these bytes.
        Err(_) => path.iter().map(|byte| char::from(byte.to_ascii_lowercase())).chain(['\0']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn names_that_are_one_elsewhere_have_one_key() {
        assert_eq!(key(b"DCIM/IMG_1.JPG"), key(b"dcim/img_1.jpg"));
        assert_eq!(key("e\u{301}.jpg".as_bytes()), key("É.jpg".as_bytes()));
        assert_ne!(key(b"caf\xe9.jpg"), key("café.jpg".as_bytes()));
        assert_ne!(key(b"a.jpg"), key(b"b.jpg"));
    }
}
