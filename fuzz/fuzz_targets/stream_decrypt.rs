//! Encrypted files from a hostile server: an honest stream, then whatever the fuzzer does to it.
//!
//! Nothing but the whole untouched stream may be taken for a whole file, and what comes out is always a beginning
//! of the plaintext.
#![no_main]

use arbitrary::Arbitrary;
use darkslide_crypto::keys::FileKey;
use darkslide_crypto::stream::{StreamDecryptor, StreamEncryptor, StreamHeader};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    plain: Vec<u8>,
    /// Byte positions to alter and what to XOR them with.
    changes: Vec<(u16, u8)>,
    truncate: Option<u16>,
    append: Vec<u8>,
    /// Pieces that are fed before it.
    before: Vec<Vec<u8>>,
}

fuzz_target!(|input: Input| {
    let key = FileKey::take([3; 32]);
    let header = StreamHeader::from_slice(&[4; 24]).expect("24 bytes");
    let mut honest = Vec::new();
    StreamEncryptor::new(&key, &header).finish(&input.plain, &mut honest).expect("one chunk");

    let mut sealed = honest.clone();
    for (position, change) in &input.changes {
        if let Some(byte) = sealed.get_mut(usize::from(*position)) {
            *byte ^= change;
        }
    }
    if let Some(length) = input.truncate {
        sealed.truncate(usize::from(length));
    }
    sealed.extend(&input.append);

    let mut decryptor = StreamDecryptor::new(&key, &header);
    let mut plain = Vec::new();
    for piece in &input.before {
        if *piece != honest {
            assert!(decryptor.decrypt_chunk(piece, &mut plain).is_err(), "a forged chunk opened");
        }
    }
    assert!(plain.is_empty());
    let opened = decryptor.decrypt_chunk(&sealed, &mut plain);
    assert_eq!(opened.is_ok(), sealed == honest, "an altered chunk opened, or an honest one did not");
    assert_eq!(plain.is_empty(), opened.is_err() || input.plain.is_empty());
    assert_eq!(decryptor.finish().is_ok(), opened.is_ok());
});
