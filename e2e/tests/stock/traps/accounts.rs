//! Traps of the account part.

use crate::scene::{PASSWORD, another, fresh_email, new_phone, new_web, normal, on_each_engine, on_sqlite};
use darkslide_e2e::engine::Engine;
use darkslide_e2e::fields::Fields;
use darkslide_e2e::process::ServerProcess;
use darkslide_e2e::stock::mobile::{self, ANDROID};
use darkslide_e2e::stock::web::{self, WEB};
use darkslide_e2e::stock::{Device, Padding};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn trap_account_01_every_error_is_a_json_object_with_cors() {
    let server = on_sqlite().await;
    let device = Device::new(&server.base(), WEB);
    // `call` checks shape, content type and CORS of whatever comes back.
    for (method, path, status) in [
        (Method::GET, "/collections/v2", 401),
        (Method::GET, "/no/such/thing", 404),
        (Method::GET, "/users/srp/attributes?email=nobody%40example.org", 404),
        (Method::POST, "/users/ott", 400),
        (Method::DELETE, "/users/delete", 401),
    ] {
        device.http.call(method, path, None).await.refused(status);
    }
    let broken = device.http.call(Method::POST, "/users/verify-email", Some(&json!([1]))).await;
    broken.refused(400);
}

#[tokio::test]
async fn trap_account_03_srp_and_attributes_come_in_either_order() {
    on_each_engine(async |server: &mut ServerProcess| {
        for attributes_first in [true, false] {
            let email = normal(&fresh_email());
            let mut device = Device::new(&server.base(), WEB);
            device.ask_for_code(&email, Some("signup")).await.ok();
            device.http.token = device.verify_email(&email, &server.code_for(&email)).await.token;
            let new = device.stretching.new_account(PASSWORD);
            assert!(device.srp_attributes(&email).await.is_none());
            if attributes_first {
                device.put_attributes(&new.attributes).await;
                assert!(device.srp_attributes(&email).await.is_none(), "404 until both are there");
                device.register_srp(&new.login_key, Padding::Full).await;
            } else {
                device.register_srp(&new.login_key, Padding::Minimal).await;
                device.put_attributes(&new.attributes).await;
            }
            assert!(device.srp_attributes(&email).await.is_some());
            device.log_in_with_password(&email, PASSWORD).await;
        }
    })
    .await;
}

/// Accounts §7, trap 8 and files §10, trap 52.
#[tokio::test]
async fn trap_52_what_an_account_is_told_does_not_change_by_itself() {
    let server = on_sqlite().await;
    let device = new_web(&server).await;
    let details = async || device.http.call(Method::GET, "/users/details/v2", None).await.ok();
    let first = details().await;
    assert_eq!(first, details().await);
    assert_eq!(first["usage"], 0);
}

#[tokio::test]
async fn trap_10_phones_are_told_that_they_may_resume() {
    let server = on_sqlite().await;
    let device = new_web(&server).await;
    let flags = device.http.call(Method::GET, "/remote-store/feature-flags", None).await.ok();
    assert_eq!(flags["enableMobMultiPart"], true);
    assert_eq!(flags["disableCFWorker"], true);
    assert_eq!(flags["serverApiFlag"], 1, "checksums; neither comments nor streaming");
}

#[tokio::test]
async fn trap_account_09_settings_that_a_client_cannot_start_without() {
    on_each_engine(async |server: &mut ServerProcess| {
        let device = new_web(server).await;
        let body = json!({"key": "mapEnabled", "value": "true"});
        device.http.call(Method::POST, "/remote-store/update", Some(&body)).await.ok();
        let flags = device.http.call(Method::GET, "/remote-store/feature-flags", None).await.ok();
        assert_eq!(flags["mapEnabled"], true, "what was written shows up");
        let body = json!({"key": "internalUser", "value": "true"});
        device.http.call(Method::POST, "/remote-store/update", Some(&body)).await.refused(400);
        let path = "/remote-store?key=mapEnabled&defaultValue=false";
        let answer = device.http.call(Method::GET, path, None).await.ok();
        assert_eq!(Fields::of("setting", &answer).text("value"), "true");
        device.http.call(Method::GET, "/remote-store?key=faceSearchEnabled", None).await.refused(404);
    })
    .await;
}

#[tokio::test]
async fn trap_account_10_trailing_and_doubled_slashes() {
    let server = on_sqlite().await;
    let phone = new_phone(&server).await;
    for path in ["/billing/user-plans/", "//billing/user-plans", "/users/details/v2/?memoryCount=false"] {
        phone.http.call(Method::GET, path, None).await.ok();
    }
    let mut slashed = Device::new(&format!("{}/", server.base()), ANDROID);
    slashed.ping().await;
    slashed.log_in_with_password(&phone.account().email, PASSWORD).await;
}

#[tokio::test]
async fn trap_account_11_a_missing_entity_key_is_404_and_another_one_409() {
    on_each_engine(async |server: &mut ServerProcess| {
        let device = new_web(server).await;
        let path = "/user-entity/key?type=cgroup";
        device.http.call(Method::GET, path, None).await.refused(404);
        let key = |text: &str| json!({"type": "cgroup", "encryptedKey": text, "header": "bm9uY2U="});
        let post = async |text| device.http.call(Method::POST, "/user-entity/key", Some(&key(text))).await;
        post("b25l").await.ok();
        post("b25l").await.ok();
        post("dHdv").await.refused_with(409, "ALREADY_EXISTS");
        assert_eq!(device.http.call(Method::GET, path, None).await.ok()["encryptedKey"], "b25l");
    })
    .await;
}

/// As it is set when nobody sets it: ten a minute and route, and the eleventh is told so.
#[tokio::test]
async fn trap_account_12_rates_let_a_sign_up_and_a_login_through() {
    let server = ServerProcess::start_with(&Engine::Sqlite, &["--sign-in-rate=10"]).await;
    let email = normal(&fresh_email());
    web::sign_up(&server, WEB, &email, PASSWORD).await;
    let mut device = Device::new(&server.base(), WEB);
    device.log_in_with_password(&email, PASSWORD).await;
    let stranger = Device::new(&server.base(), ANDROID);
    let mut statuses = Vec::new();
    for _ in 0..12 {
        let answer = stranger.ask_for_code(&email, Some("login")).await;
        if answer.status == 429 {
            Fields::of("limit", &answer.json()).words("error");
        }
        statuses.push(answer.status);
    }
    assert!(statuses.starts_with(&[200; 9]), "{statuses:?}");
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
}

#[tokio::test]
async fn trap_account_13_stored_text_comes_back_byte_for_byte() {
    on_each_engine(async |server: &mut ServerProcess| {
        let first = new_phone(server).await;
        let second = another(server, &first, WEB).await;
        // Reading compares every member with what was sent.
        assert_eq!(second.account().attributes, first.account().attributes);
        web::check_session(&second).await;
    })
    .await;
}

/// A broken database is not a reason to log a phone out. (A missing or revoked token is, and at once: account 15.)
#[tokio::test]
async fn trap_account_14_401_is_for_tokens_alone() {
    let server = on_sqlite().await;
    let mut phone = new_phone(&server).await;
    phone.http.call(Method::GET, "/collections/v2?sinceTime=0", None).await.ok();
    phone
        .http
        .call(Method::GET, "/collections/v2/diff?collectionID=999999&sinceTime=0", None)
        .await
        .refused(404);
    phone.http.call(Method::GET, "/collections/v2?sinceTime=nonsense", None).await.ok();
    phone.http.token = Some("AAAA".to_owned());
    phone.http.call(Method::GET, "/collections/v2?sinceTime=0", None).await.refused(401);
}

#[tokio::test]
async fn trap_account_16_a_plus_in_an_address_is_a_plus() {
    let server = on_sqlite().await;
    let email = "Plus+Sign@Example.org";
    mobile::sign_up(&server, ANDROID, email.to_lowercase().as_str(), PASSWORD).await;
    let device = Device::new(&server.base(), WEB);
    assert!(device.srp_attributes(email).await.is_some());
    let spaced =
        device.http.call(Method::GET, "/users/srp/attributes?email=plus+sign@example.org", None).await;
    spaced.refused(404);
}

#[tokio::test]
async fn trap_account_17_sign_up_is_told_by_a_null() {
    // `read_authorization` holds that; here the raw text, as phones see it.
    let server = on_sqlite().await;
    let email = normal(&fresh_email());
    let device = Device::new(&server.base(), ANDROID);
    device.ask_for_code(&email, Some("signup")).await.ok();
    let body = json!({"email": email, "ott": format!(" {} ", server.code_for(&email))});
    let answer = device.http.call(Method::POST, "/users/verify-email", Some(&body)).await.ok();
    assert!(answer.get("encryptedToken").is_none_or(serde_json::Value::is_null), "{answer}");
    let token = answer["token"].as_str().unwrap();
    assert_eq!(token.len(), 44);
    assert!(token.ends_with('=') && !token.contains(['+', '/']), "padded, for URLs: {token}");
}
