//! Wrong, replayed and altered messages of a sign-in.

use crate::scene::{PASSWORD, fresh_email, new_web, normal, on_each_engine, on_sqlite};
use darkslide_crypto::kdf::derive_login_key;
use darkslide_crypto::keys::LoginKey;
use darkslide_crypto::recovery;
use darkslide_e2e::process::ServerProcess;
use darkslide_e2e::stock::mobile::ANDROID;
use darkslide_e2e::stock::web::{self, WEB};
use darkslide_e2e::stock::{Device, SignedIn};
use darkslide_e2e::vault::{attributes_to_json, to_text};
use reqwest::Method;
use serde_json::json;

/// A stranger who knows an address, and what its password would make.
async fn stranger(server: &ServerProcess, password: &str) -> (Device, SignedIn, LoginKey) {
    let owner = new_web(server).await;
    let device = Device::new(&server.base(), WEB);
    let attributes = device.srp_attributes(&owner.account().email).await.unwrap();
    let key = device.stretching.derive(password, &attributes.salt, attributes.strength);
    (device, attributes, derive_login_key(&key))
}

#[tokio::test]
async fn a_wrong_password() {
    on_each_engine(async |server: &mut ServerProcess| {
        let (device, attributes, key) = stranger(server, "wrong").await;
        let (session, proof) = device.create_srp_session(&attributes.identity, &key).await;
        let answer = device.verify_srp_session(&attributes.identity, &session, proof.client_proof()).await;
        answer.refused(401);
        assert!(!String::from_utf8_lossy(&answer.body).contains("srpM2"), "the server proves nothing");
    })
    .await;
}

#[tokio::test]
async fn a_session_takes_five_wrong_proofs_and_then_no_right_one() {
    on_each_engine(async |server: &mut ServerProcess| {
        let (device, attributes, key) = stranger(server, PASSWORD).await;
        let (session, proof) = device.create_srp_session(&attributes.identity, &key).await;
        for bit in 0..5 {
            let mut altered = *proof.client_proof();
            altered[bit] ^= 1;
            device.verify_srp_session(&attributes.identity, &session, &altered).await.refused(401);
        }
        let answer = device.verify_srp_session(&attributes.identity, &session, proof.client_proof()).await;
        answer.refused_with(410, "TOO_MANY_WRONG_ATTEMPTS");
        // Another session is not affected.
        device.srp_log_in(&attributes, &key).await;
    })
    .await;
}

#[tokio::test]
async fn a_replayed_proof() {
    on_each_engine(async |server: &mut ServerProcess| {
        let (device, attributes, key) = stranger(server, PASSWORD).await;
        let identity = &attributes.identity;
        let (first, proof) = device.create_srp_session(identity, &key).await;
        let (second, _) = device.create_srp_session(identity, &key).await;
        device.verify_srp_session(identity, &second, proof.client_proof()).await.refused(401);
        device.verify_srp_session(identity, &first, proof.client_proof()).await.ok();
        let again = device.verify_srp_session(identity, &first, proof.client_proof()).await;
        again.refused_with(410, "SESSION_ALREADY_VERIFIED");
    })
    .await;
}

#[tokio::test]
async fn a_session_of_somebody_else() {
    on_each_engine(async |server: &mut ServerProcess| {
        let (device, attributes, key) = stranger(server, PASSWORD).await;
        let (_, other, _) = stranger(server, PASSWORD).await;
        let (session, proof) = device.create_srp_session(&attributes.identity, &key).await;
        let answer = device.verify_srp_session(&other.identity, &session, proof.client_proof()).await;
        assert!([400, 401, 404].contains(&answer.status), "{answer:?}");
        let unknown = uuid::Uuid::new_v4().to_string();
        let answer = device.verify_srp_session(&attributes.identity, &unknown, proof.client_proof()).await;
        assert!([400, 401, 404, 410].contains(&answer.status), "{answer:?}");
        device.verify_srp_session(&attributes.identity, &session, proof.client_proof()).await.ok();
    })
    .await;
}

/// Numbers with which an exchange proves nothing: 0, N, and whatever has another length.
#[tokio::test]
async fn degenerate_numbers() {
    let server = on_sqlite().await;
    let (device, attributes, _) = stranger(&server, PASSWORD).await;
    let mut modulus = vec![0xff_u8; 512];
    modulus.copy_from_slice(&group_modulus());
    for number in [vec![0; 512], modulus, vec![1; 513], Vec::new()] {
        let body = json!({"srpUserID": attributes.identity.user_id, "srpA": to_text(&number)});
        let answer = device.http.call(Method::POST, "/users/srp/create-session", Some(&body)).await;
        assert_eq!(answer.status, 400, "{} bytes: {answer:?}", number.len());
    }
}

/// N of RFC 5054's 4096-bit group is 2^4096 − 2^4032 − 1 + 2^64·(⌊2^3966·π⌋ + 240904); here as published.
fn group_modulus() -> Vec<u8> {
    let spec = include_str!("group.txt");
    let digits: String = spec.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

#[tokio::test]
async fn a_wrong_recovery_phrase() {
    on_each_engine(async |server: &mut ServerProcess| {
        let (owner, other) = (new_web(server).await, new_web(server).await);
        let phone = Device::new(&server.base(), ANDROID);
        let email = &owner.account().email;
        phone.ask_for_code(email, Some("")).await.ok();
        let authorization = phone.verify_email(email, &server.code_for(email)).await;
        let (attributes, sealed) = authorization.keys.unwrap();
        let wrong = recovery::parse(&other.account().words).unwrap();
        assert!(attributes.unlock_with_recovery_key(&wrong).is_err());
        // And without the keys, what the server answered is of no use.
        assert!(other.account().keys.key_pair.open_session_token(&sealed).is_err());
        let misspelt = owner.account().words.replacen(' ', " wrong ", 1);
        assert!(recovery::parse(&misspelt).is_err());
    })
    .await;
}

#[tokio::test]
async fn one_time_codes_are_used_once_by_their_address_and_app() {
    on_each_engine(async |server: &mut ServerProcess| {
        let email = normal(&fresh_email());
        let device = Device::new(&server.base(), WEB);
        let verify = async |email: &str, code: &str| {
            let body = json!({"email": email, "ott": code});
            device.http.call(Method::POST, "/users/verify-email", Some(&body)).await
        };
        verify(&email, "123456").await.refused(410);
        device.ask_for_code(&email, Some("signup")).await.ok();
        let code = server.code_for(&email);
        let wrong = if code == "000000" { "000001" } else { "000000" };
        verify(&email, wrong).await.refused(401);
        verify("somebody.else@example.org", &code).await.refused(410);
        let mut elsewhere = Device::new(&server.base(), WEB);
        elsewhere.http.manners.package = Some("io.ente.auth");
        let body = json!({"email": email, "ott": code});
        let answer = elsewhere.http.call(Method::POST, "/users/verify-email", Some(&body)).await;
        assert!([401, 410].contains(&answer.status), "{answer:?}");
        verify(&email, &code).await.ok();
        verify(&email, &code).await.refused(410);
    })
    .await;
}

#[tokio::test]
async fn guessing_codes_ends() {
    let server = on_sqlite().await;
    let email = normal(&fresh_email());
    let device = Device::new(&server.base(), WEB);
    device.ask_for_code(&email, Some("signup")).await.ok();
    let code = server.code_for(&email);
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let verify = async |code: &str| {
        let body = json!({"email": email, "ott": code});
        device.http.call(Method::POST, "/users/verify-email", Some(&body)).await.status
    };
    let mut refused = 0;
    while verify(wrong).await == 401 {
        refused += 1;
        assert!(refused <= 20, "nobody may guess for ever");
    }
    assert_eq!(verify(&code).await, 429, "not even with the right one");
}

#[tokio::test]
async fn weak_or_second_keys() {
    on_each_engine(async |server: &mut ServerProcess| {
        let email = normal(&fresh_email());
        let mut device = Device::new(&server.base(), WEB);
        device.ask_for_code(&email, Some("signup")).await.ok();
        device.http.token = device.verify_email(&email, &server.code_for(&email)).await.token;
        let new = device.stretching.new_account(PASSWORD);
        for (memory, passes) in [(268_435_456_i64, 15_i64), (67_108_864, 64), (0, 0)] {
            let mut attributes = attributes_to_json(&new.attributes);
            attributes["memLimit"] = memory.into();
            attributes["opsLimit"] = passes.into();
            let body = json!({"keyAttributes": attributes});
            device.http.call(Method::PUT, "/users/attributes", Some(&body)).await.refused(400);
        }
        device.put_attributes(&new.attributes).await;
        let other = device.stretching.new_account(PASSWORD);
        let body = json!({"keyAttributes": attributes_to_json(&other.attributes)});
        device.http.call(Method::PUT, "/users/attributes", Some(&body)).await.refused(403);
        let answer = device.http.call(Method::GET, "/users/session-validity/v2", None).await.ok();
        assert_eq!(answer["keyAttributes"], attributes_to_json(&new.attributes));
    })
    .await;
}

/// A stolen session alone cannot register itself another password over the old one by half a message.
#[tokio::test]
async fn half_a_change_of_password_changes_nothing() {
    on_each_engine(async |server: &mut ServerProcess| {
        let device = new_web(server).await;
        let email = device.account().email.clone();
        let new = device.stretching.new_password(&device.account().keys, "other");
        let identity = darkslide_crypto::srp::SrpIdentity {
            user_id: uuid::Uuid::new_v4().to_string(),
            salt: vec![7; 16],
        };
        let ephemeral = darkslide_crypto::srp::EphemeralSecret::generate();
        let padding = darkslide_e2e::stock::Padding::Full;
        let registration = device.set_up_srp(&identity, &new.login_key, &ephemeral, padding).await;
        let body = json!({"setupID": registration.setup, "srpM1": to_text([0; 32]), "updatedKeyAttr": {
            "kekSalt": to_text([0; 16]), "encryptedKey": to_text([0; 48]),
            "keyDecryptionNonce": to_text([0; 24]), "memLimit": 268_435_456, "opsLimit": 16,
        }});
        device.http.call(Method::POST, "/users/srp/update", Some(&body)).await.refused(401);
        web::log_in(server, WEB, &email, PASSWORD).await;
        web::check_session(&device).await;
    })
    .await;
}
