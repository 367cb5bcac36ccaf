//! Names of files: when two would be one on another file system, and what is free beside one that is taken. They are compared by Unicode's canonical composition (NFC) and without case.

use darkslide_media::names::{comparison_key, numbered};

use crate::restore::place::NUMBERS_MAX;

/// What two paths have in common that differ only by case or normalisation. Bytes that are no UTF-8 are compared as they are.
pub(super) fn key(path: &[u8]) -> String {
    match std::str::from_utf8(path) {
        Ok(text) if text.is_ascii() => text.to_ascii_lowercase(),
        Ok(text) => comparison_key(text),
        // No text can hold what stands for these bytes.
        Err(_) => path.iter().map(|byte| char::from(byte.to_ascii_lowercase())).chain(['\0']).collect(),
    }
}

/// `name.ext`, `name (1).ext` …: what a file may be called where its name is taken.
pub(super) fn candidates(name: String) -> impl Iterator<Item = String> {
    let beside = name.clone();
    std::iter::once(name).chain((1..NUMBERS_MAX).map(move |number| numbered(&beside, number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_one_elsewhere_have_one_key() {
        assert_eq!(key(b"DCIM/IMG_1.JPG"), key(b"dcim/img_1.jpg"));
        assert_eq!(key("e\u{301}.jpg".as_bytes()), key("É.jpg".as_bytes()));
        assert_ne!(key(b"caf\xe9.jpg"), key("café.jpg".as_bytes()));
        assert_ne!(key(b"a.jpg"), key(b"b.jpg"));
    }

    #[test]
    fn a_name_that_is_taken_gets_numbers_up_to_a_bound() {
        let mut names = candidates("a.jpg".to_owned());
        assert_eq!(names.by_ref().take(3).collect::<Vec<_>>(), ["a.jpg", "a (1).jpg", "a (2).jpg"]);
        assert_eq!(names.last(), Some(format!("a ({}).jpg", NUMBERS_MAX - 1)));
    }
}
