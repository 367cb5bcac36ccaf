//! Stored stream positions of any value: going on from one neither panics nor disturbs the format.
//!
//! That the ciphertext is the right one is the tests' business: the library cannot start there to compare.
#![no_main]

use arbitrary::Arbitrary;
use darkslide_crypto::keys::FileKey;
use darkslide_crypto::stream::{MAX_CHUNKS, OVERHEAD, StreamEncryptor, StreamHeader, StreamPosition};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    position: Vec<u8>,
    plain: Vec<u8>,
}

fuzz_target!(|input: Input| {
    let key = FileKey::take([3; 32]);
    let header = StreamHeader::from_slice(&[4; 24]).expect("24 bytes");
    let Ok(position) = StreamPosition::from_slice(&input.position) else { return };
    assert_eq!(position.to_bytes().as_slice(), input.position);
    let mut sealed = Vec::new();
    let finished = StreamEncryptor::resume(&key, &header, position).finish(&input.plain, &mut sealed);
    let fits = position.chunk_index() < MAX_CHUNKS && (position.chunk_index() == 0 || !input.plain.is_empty());
    assert_eq!(finished.is_ok(), fits);
    if fits {
        assert_eq!(sealed.len(), input.plain.len() + OVERHEAD);
    }
});
