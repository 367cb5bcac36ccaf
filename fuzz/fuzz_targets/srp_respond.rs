//! The server's number and proof in a sign-in, of any length and value. No forged proof may pass.
#![no_main]

use arbitrary::Arbitrary;
use darkslide_crypto::keys::LoginKey;
use darkslide_crypto::secret::Secret;
use darkslide_crypto::srp::{SrpClient, SrpIdentity};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    user_id: String,
    salt: Vec<u8>,
    server_public: Vec<u8>,
    server_proof: Vec<u8>,
}

fuzz_target!(|input: Input| {
    let identity = SrpIdentity { user_id: input.user_id, salt: input.salt };
    let login_key = LoginKey::take([8; 16]);
    let client = SrpClient::with_ephemeral(&identity, &login_key, &Secret::take([9; 32]));
    if let Ok(proof) = client.respond(&input.server_public) {
        assert!(proof.verify_server(&input.server_proof).is_err(), "a forged proof passed");
    }
});
