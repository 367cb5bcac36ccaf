//! Tokens that are missing, made up, of another app, or revoked.

use crate::scene::{PASSWORD, album, fresh_email, new_web, normal, on_each_engine, small_picture};
use darkslide_e2e::http::Manners;
use darkslide_e2e::process::ServerProcess;
use darkslide_e2e::stock::mobile::ANDROID;
use darkslide_e2e::stock::web;
use darkslide_e2e::stock::{Device, Padding};
use reqwest::Method;

const AUTHENTICATOR: Manners = Manners { package: Some("io.ente.auth"), ..ANDROID };

/// Routes that only a signed-in caller may use: one of each kind.
const PRIVATE: [(&str, &str); 27] = [
    ("GET", "/collections/v2?sinceTime=0"),
    ("GET", "/collections/v2/diff?collectionID=1&sinceTime=0"),
    ("GET", "/collections/1"),
    ("POST", "/collections"),
    ("POST", "/collections/add-files"),
    ("POST", "/collections/move-files"),
    ("POST", "/collections/restore-files"),
    ("POST", "/collections/v3/remove-files"),
    ("POST", "/collections/rename"),
    ("DELETE", "/collections/v3/1?collectionID=1&keepFiles=false"),
    ("GET", "/files/upload-eligibility"),
    ("POST", "/files/upload-url"),
    ("POST", "/files/multipart-upload-url"),
    ("GET", "/files/upload-urls?count=1"),
    ("GET", "/files/multipart-upload-urls?count=1"),
    ("POST", "/files"),
    ("PUT", "/files/update"),
    ("PUT", "/files/magic-metadata"),
    ("PUT", "/files/public-magic-metadata"),
    ("POST", "/files/trash"),
    ("POST", "/files/info"),
    ("GET", "/files/download/1"),
    ("GET", "/files/preview/1"),
    ("GET", "/trash/v2/diff?sinceTime=0"),
    ("POST", "/trash/delete"),
    ("POST", "/trash/empty"),
    ("GET", "/collection-actions/pending-remove"),
];

/// The account's own, which the authenticator may use too.
const ACCOUNT: [(&str, &str); 8] = [
    ("GET", "/users/details/v2"),
    ("GET", "/users/session-validity/v2"),
    ("GET", "/users/sessions"),
    ("DELETE", "/users/session?token=AAAA"),
    ("PUT", "/users/attributes"),
    ("POST", "/users/srp/setup"),
    ("GET", "/users/delete-challenge"),
    ("DELETE", "/users/delete"),
];

#[tokio::test]
async fn missing_and_made_up_tokens() {
    on_each_engine(async |server: &mut ServerProcess| {
        let made_up = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        for token in [None, Some(""), Some("x"), Some(made_up), Some("täten")] {
            let mut device = Device::new(&server.base(), ANDROID);
            device.http.token = token.map(str::to_owned);
            for (method, path) in PRIVATE.iter().chain(&ACCOUNT) {
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                let answer = device.http.call(method, path, None).await;
                assert_eq!(answer.status, 401, "{token:?} {path}: {answer:?}");
                assert!(answer.json()["error"].is_string(), "{answer:?}");
            }
        }
    })
    .await;
}

/// A token counts for the app that it was made for; and the authenticator's never for pictures.
#[tokio::test]
async fn tokens_of_another_app() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut owner = new_web(server).await;
        let album = album(&mut owner, "Photos").await;
        let (_, row) = small_picture(&mut owner, album, "photo.jpg").await;
        let mut elsewhere = Device::new(&server.base(), AUTHENTICATOR);
        elsewhere.http.token.clone_from(&owner.http.token);
        elsewhere.http.call(Method::GET, "/users/details/v2", None).await.refused(401);
        elsewhere.log_in_with_password(&owner.account().email, PASSWORD).await;
        elsewhere.http.call(Method::GET, "/users/session-validity/v2", None).await.ok();
        for (method, path) in PRIVATE {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = elsewhere.http.call(method, path, None).await;
            assert_eq!(answer.status, 403, "{path}: {answer:?}");
        }
        let path = format!("/files/download/{}", row.id);
        elsewhere.http.call(Method::GET, &path, None).await.refused(403);
        assert_eq!(owner.sessions().await.len(), 1, "each app lists its own sessions");
    })
    .await;
}

/// The token of a sign-up not yet finished counts, but holds no pictures: there is no key to wrap theirs with.
#[tokio::test]
async fn an_account_without_keys_makes_no_collections() {
    on_each_engine(async |server: &mut ServerProcess| {
        let email = normal(&fresh_email());
        let mut device = Device::new(&server.base(), ANDROID);
        device.ask_for_code(&email, Some("signup")).await.ok();
        let authorization = device.verify_email(&email, &server.code_for(&email)).await;
        device.http.token.clone_from(&authorization.token);
        let new = device.stretching.new_account(PASSWORD);
        device.enter_new(&email, &authorization, device.stretching.new_account(PASSWORD));
        let body = device.collection_body("Early", darkslide_e2e::stock::CollectionKind::Album);
        let answer = device.http.call(Method::POST, "/collections", Some(&body)).await;
        assert!((400..500).contains(&answer.status), "{answer:?}");
        device.register_srp(&new.login_key, Padding::Full).await;
        device.put_attributes(&new.attributes).await;
        device.http.call(Method::POST, "/collections", Some(&body)).await.ok();
    })
    .await;
}

/// Sign-up is closed after the first account.
#[tokio::test]
async fn closed_registration() {
    let flags = ["--open-registration=false"];
    let server = ServerProcess::start_with(&darkslide_e2e::engine::Engine::Sqlite, &flags).await;
    let first = new_web(&server).await;
    let email = normal(&fresh_email());
    let second = Device::new(&server.base(), ANDROID);
    second.ask_for_code(&email, Some("signup")).await.refused(403);
    assert!(!server.terminal().contains(&email), "no code was sent");
    web::log_in(&server, darkslide_e2e::stock::web::WEB, &first.account().email, PASSWORD).await;
}
