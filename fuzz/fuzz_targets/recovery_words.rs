//! Recovery phrases as people type them. Whatever is accepted must come back as the same key.
#![no_main]

use darkslide_crypto::recovery;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some(key) = input.first_chunk::<32>() {
        let key = darkslide_crypto::keys::RecoveryKey::take(*key);
        assert_eq!(recovery::parse(&recovery::to_phrase(&key)), Ok(key));
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(key) = recovery::parse(text) {
        assert_eq!(recovery::parse(&recovery::to_phrase(&key)), Ok(key));
    }
});
