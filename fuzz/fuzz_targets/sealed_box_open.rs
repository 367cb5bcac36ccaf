//! Messages sealed to an account by anybody: session tokens, keys of shared collections.
//!
//! Anyone can seal, so opening may succeed; it must not panic, and only exact lengths become keys.
#![no_main]

use darkslide_crypto::keys::{KeyPair, PublicKey, SecretKey};
use darkslide_crypto::sealed_box;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let pair = KeyPair::from_secret_key(SecretKey::take([6; 32]));
    let opened = sealed_box::open(&pair, input);
    let length = opened.as_ref().map_or(0, |message| message.len());
    assert_eq!(pair.open_session_token(input).is_ok(), opened.is_ok() && length == 32);
    assert_eq!(pair.open_collection_key(input).is_ok(), opened.is_ok() && length == 32);
    if let Some((public, message)) = input.split_at_checked(32) {
        let public = PublicKey::from_slice(public).expect("32 bytes");
        let _ = sealed_box::seal(&public, message);
    }
});
