//! Numbers with leading zeros: phones leave these out when they register, one time in 256 for each number.

use crate::scene::{PASSWORD, fresh_email, normal};
use darkslide_crypto::kdf::Salt;
use darkslide_crypto::keys::LoginKey;
use darkslide_crypto::srp::{EphemeralSecret, SrpClient, SrpIdentity, derive_verifier};
use darkslide_e2e::engine::Engine;
use darkslide_e2e::process::ServerProcess;
use darkslide_e2e::stock::mobile::{self, ANDROID};
use darkslide_e2e::stock::{Device, Padding};
use uuid::Uuid;

/// So unlikely to be needed that a test that gets here is wrong.
const TRIES_MAX: usize = 5_000;

/// Accounts §7, trap 2.
#[tokio::test]
async fn trap_account_02_short_a_and_short_verifier() {
    let server = ServerProcess::start(&Engine::Sqlite).await;
    let (mut device, new) = verified(&server).await;
    let identity = identity_with_short_verifier(&new.login_key);
    let ephemeral = ephemeral_with_short_public(&identity, &new.login_key);
    let registration = device.set_up_srp(&identity, &new.login_key, &ephemeral, Padding::Minimal).await;
    device.complete_srp(&registration, Padding::Minimal).await;
    device.put_attributes(&new.attributes).await;
    let email = device.account.take().unwrap_or_else(|| unreachable!("kept by `verified`")).email;
    mobile::log_in(&server, ANDROID, &email, PASSWORD).await;
}

/// Accounts §7, trap 2: the proof depends on the server's number, so a phone registers until it is short.
#[tokio::test]
async fn trap_account_02_short_m1() {
    let server = ServerProcess::start(&Engine::Sqlite).await;
    let (mut device, new) = verified(&server).await;
    let identity = identity();
    let mut tries = 0;
    let registration = loop {
        let ephemeral = EphemeralSecret::generate();
        let registration = device.set_up_srp(&identity, &new.login_key, &ephemeral, Padding::Minimal).await;
        if registration.proof.client_proof()[0] == 0 {
            break registration;
        }
        tries += 1;
        assert!(tries < TRIES_MAX);
    };
    device.complete_srp(&registration, Padding::Minimal).await;
    device.put_attributes(&new.attributes).await;
    let email = device.account.take().unwrap_or_else(|| unreachable!("kept by `verified`")).email;
    mobile::log_in(&server, ANDROID, &email, PASSWORD).await;
}

/// A phone whose address is verified and that has made its keys, not yet sent.
async fn verified(server: &ServerProcess) -> (Device, darkslide_crypto::account::NewAccount) {
    let email = normal(&fresh_email());
    let mut device = Device::new(&server.base(), ANDROID);
    device.ask_for_code(&email, Some("signup")).await.ok();
    let authorization = device.verify_email(&email, &server.code_for(&email)).await;
    device.http.token.clone_from(&authorization.token);
    let new = device.stretching.new_account(PASSWORD);
    let keys = device.stretching.new_account("any");
    device.enter_new(&email, &authorization, keys);
    (device, new)
}

fn identity() -> SrpIdentity {
    SrpIdentity { user_id: Uuid::new_v4().to_string(), salt: Salt::generate().as_bytes().to_vec() }
}

fn identity_with_short_verifier(key: &LoginKey) -> SrpIdentity {
    let mut candidates = std::iter::repeat_with(identity).take(TRIES_MAX);
    candidates.find(|identity| derive_verifier(identity, key)[0] == 0).unwrap()
}

fn ephemeral_with_short_public(identity: &SrpIdentity, key: &LoginKey) -> EphemeralSecret {
    let mut candidates = std::iter::repeat_with(EphemeralSecret::generate).take(TRIES_MAX);
    let short =
        |secret: &EphemeralSecret| SrpClient::with_ephemeral(identity, key, secret).public_key()[0] == 0;
    candidates.find(short).unwrap()
}
