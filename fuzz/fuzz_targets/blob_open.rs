//! Encrypted metadata and thumbnails from a hostile server. The first 24 bytes are the header.
#![no_main]

use darkslide_crypto::keys::FileKey;
use darkslide_crypto::stream::{StreamHeader, blob};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((header, rest)) = input.split_at_checked(24) else { return };
    let key = FileKey::take([5; 32]);
    let header = StreamHeader::from_slice(header).expect("24 bytes");
    assert!(blob::open(&key, rest, &header).is_err(), "a forged blob opened");
    let sealed = blob::seal_with_header(&key, &header, rest);
    assert_eq!(*blob::open(&key, &sealed.ciphertext, &header).expect("it was just sealed"), rest);
});
