//! Sealed device names, which the server keeps and could exchange: what opens is the name that was sealed, for its device.
#![no_main]

use darkslide_crypto::device_name::{DEVICE_ID_LEN, derive_device_name_key};
use darkslide_crypto::keys::MasterKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, [u8; DEVICE_ID_LEN], String)| {
    let (sealed, device, name) = input;
    let key = derive_device_name_key(&MasterKey::take([7; 32]));
    assert!(key.open(&device, &sealed).is_err(), "nobody guesses a name that opens");
    if let Ok(sealed) = key.seal(&device, &name) {
        assert_eq!(key.open(&device, &sealed).as_deref(), Ok(name.as_str()));
    }
});
