//! What every request meets at the door, and every fixed answer: CORS, error bodies, paths, request ids, stubs.

mod support;

use darkslide_server::config::{Config, RawConfig};
use darkslide_server::operator;
use reqwest::Method;
use serde_json::{Value, json};
use std::fmt::Write as _;
use support::person::Person;
use support::{Answer, TestServer};

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;

#[tokio::test]
async fn options_is_200_anywhere_without_signing_in() {
    let server = TestServer::start().await;
    for path in ["/ping", "/collections/v2", "/no/such/path", "/files/upload-url/"] {
        let request = server.request(Method::OPTIONS, path).header("Origin", "ente://app");
        let answer = Answer::of(request).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "ente://app");
    }
    let answer =
        Answer::of(server.request(Method::OPTIONS, "/ping").header("Origin", "https://web.example")).await;
    let mut listed = String::new();
    for (name, value) in &answer.headers {
        if name.as_str().starts_with("access-control") {
            writeln!(listed, "{name}: {}", value.to_str().unwrap()).unwrap();
        }
    }
    insta::assert_snapshot!(listed);
}

#[tokio::test]
async fn every_failure_is_a_json_object_with_cors() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    let big = "x".repeat(17 * 1024 * 1024);
    let begun = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let begun = i64::try_from(begun.as_micros()).unwrap();
    for (method, path, body, status) in [
        (GET, "/no/such/path", "", 404),
        (GET, "/", "", 404),
        (PUT, "/ping", "", 405),
        (POST, "/users/ott", "no JSON", 400),
        (POST, "/users/ott", "[1]", 400),
        (POST, "/users/ott", r#"{"email":7}"#, 400),
        (POST, "/users/ott", big.as_str(), 413),
        (GET, "/users/details/v2?memoryCount=%ff%00&memoryCount=2", "", 400),
        (GET, "/user-entity/key?type=location", "", 404),
        (GET, "/user-entity/key?type=nonsense", "", 400),
        (POST, "/billing/verify-subscription", r#"{"productID":"gold"}"#, 400),
    ] {
        let request = server
            .request(method.clone(), path)
            .header("Origin", "https://web.example")
            .header("X-Auth-Token", &anna.token)
            .body(body.to_owned());
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert!(answer.json().is_object(), "{method} {path}: {answer:?}");
        assert!(answer.header("content-type").starts_with("application/json"), "{method} {path}");
        assert_eq!(answer.header("access-control-allow-origin"), "https://web.example", "{method} {path}");
        assert!(!answer.header("x-request-id").is_empty(), "{method} {path}");
        assert!(answer.header("darkslide-time").parse::<i64>().unwrap() >= begun, "{method} {path}");
    }
    let unsigned =
        Answer::of(server.request(GET, "/users/details/v2").header("Origin", "https://web.example")).await;
    unsigned.failed(401, None);
    assert_eq!(unsigned.header("access-control-allow-origin"), "https://web.example");
}

#[tokio::test]
async fn a_trailing_slash_and_doubled_slashes_are_forgiven() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    for path in ["//ping", "/ping/", "//billing//user-plans/", "/users/details/v2/?memoryCount=false"] {
        server.get(path, &anna.token).await.ok();
    }
    server.get("/files/data/fetch/?fileID=1&type=vid_preview", &anna.token).await.failed(404, None);
}

#[tokio::test]
async fn request_ids_are_echoed_when_plain_and_made_otherwise() {
    let server = TestServer::start().await;
    let ask = async |id: &str| {
        let answer = Answer::of(server.request(GET, "/ping").header("X-Request-Id", id)).await;
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(ask("ios_1234-abc").await, "ios_1234-abc");
    for odd in ["a b", "<script>", &"x".repeat(200)] {
        assert_eq!(ask(odd).await.len(), 36, "{odd}");
    }
}

#[tokio::test]
async fn json_of_a_get_is_not_to_be_stored() {
    let server = TestServer::start().await;
    let answer = server.get("/ping", "").await;
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.ok()["message"], "pong");
    assert!(answer.ok()["id"].is_string());
}

#[tokio::test]
async fn bodies_are_parsed_whatever_their_type_and_may_have_unknown_members() {
    let server = TestServer::start().await;
    for kind in ["text/plain;charset=UTF-8", "application/json", "application/x-www-form-urlencoded"] {
        let body = json!({ "email": "a@example.org", "purpose": "signup", "mobile": true, "later": [1] });
        let request = server.request(POST, "/users/ott").header("Content-Type", kind).body(body.to_string());
        Answer::of(request).await.ok();
    }
}

/// Blanks what differs from run to run.
fn blank(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match name.as_str() {
                    "id" | "userID" if value.is_i64() => *value = json!("(id)"),
                    "createdAt" if value.is_i64() => *value = json!("(time)"),
                    _ => blank(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(blank),
        _ => {}
    }
}

const ENTITY_KEY: &str = r#"{"type":"location","encryptedKey":"a2V5","header":"bm9uY2U="}"#;
const OTHER_KEY: &str = r#"{"type":"location","encryptedKey":"b3RoZXI=","header":"bm9uY2U="}"#;

/// Calls that stock clients make, in an order that makes sense: method, path, body.
const START_UP: &[(&str, &str, &str)] = &[
    ("GET", "/users/details/v2", ""),
    ("GET", "/users/details/v2?memoryCount=false", ""),
    ("GET", "/users/details/v2?memoryCount=true", ""),
    ("GET", "/billing/user-plans/", ""),
    ("GET", "/billing/plans/v2", ""),
    ("GET", "/billing/subscription", ""),
    ("GET", "/billing/usage", ""),
    (
        "POST",
        "/billing/verify-subscription",
        r#"{"paymentProvider":"ente","productID":"free","verificationData":""}"#,
    ),
    ("POST", "/billing/stripe/checkout-session", ""),
    ("GET", "/remote-store/feature-flags", ""),
    ("GET", "/remote-store?key=faceSearchEnabled&defaultValue=false", ""),
    ("GET", "/remote-store?key=faceSearchEnabled", ""),
    ("POST", "/remote-store/update", r#"{"key":"mapEnabled","value":"true"}"#),
    ("POST", "/remote-store/update", r#"{"key":"mapEnabled","value":"maybe"}"#),
    ("POST", "/remote-store/update", r#"{"key":"internalUser","value":"true"}"#),
    ("POST", "/remote-store/update", r#"{"key":"customDomain","value":"photos.example.org"}"#),
    ("GET", "/remote-store?key=mapEnabled&defaultValue=false", ""),
    ("GET", "/remote-store/feature-flags", ""),
    ("DELETE", "/remote-store/mapEnabled", ""),
    ("DELETE", "/remote-store/customDomain", ""),
    ("GET", "/user-entity/key?type=location", ""),
    ("POST", "/user-entity/key", ENTITY_KEY),
    ("POST", "/user-entity/key", ENTITY_KEY),
    ("POST", "/user-entity/key", OTHER_KEY),
    ("GET", "/user-entity/key?type=location", ""),
    ("GET", "/user-entity/entity/diff?type=location&sinceTime=0&limit=500", ""),
    ("GET", "/user-entity/entity/diff?type=location&sinceTime=0&limit=5001", ""),
    ("GET", "/user-entity/entity/diff?type=nonsense&sinceTime=0&limit=500", ""),
    ("POST", "/user-entity/entity", "{}"),
    ("PUT", "/user-entity/entity", "{}"),
    ("DELETE", "/user-entity/entity?id=1", ""),
    ("GET", "/comments-reactions/updated-at", ""),
    ("GET", "/comments-reactions/counts", ""),
    ("GET", "/contacts/diff?sinceTime=0", ""),
    ("POST", "/files/data/status-diff", r#"{"lastUpdatedAt":0}"#),
    ("POST", "/files/data/fetch", r#"{"fileIDs":[1],"type":"mldata"}"#),
    ("PUT", "/files/data", "{}"),
    ("PUT", "/files/video-data", "{}"),
    ("GET", "/files/data/preview-upload-url", ""),
    ("GET", "/files/data/preview", ""),
    ("POST", "/push/token", r#"{"fcmToken":"a","apnsToken":"b"}"#),
    ("POST", "/events", "{}"),
    ("POST", "/events/user", "{}"),
    ("POST", "/users/event", "{}"),
    ("GET", "/users/two-factor/status", ""),
    ("GET", "/users/two-factor/recovery-status", ""),
    ("POST", "/users/two-factor/setup", ""),
    ("POST", "/users/two-factor/enable", "{}"),
    ("POST", "/users/two-factor/disable", ""),
    ("POST", "/users/two-factor/verify", "{}"),
    ("GET", "/users/two-factor/recover?sessionID=a&twoFactorType=totp", ""),
    ("POST", "/users/two-factor/remove", "{}"),
    ("POST", "/users/two-factor/passkeys/configure-recovery", "{}"),
    ("GET", "/users/two-factor/passkeys/get-token?sessionID=a", ""),
    ("POST", "/users/two-factor/passkeys/begin", "{}"),
    ("GET", "/users/accounts-token", ""),
    ("GET", "/users/payment-token", ""),
    ("GET", "/users/families-token", ""),
    ("GET", "/users/deletion-summary", ""),
    ("GET", "/users/locker-usage", ""),
    ("GET", "/storage-bonus/details", ""),
    ("GET", "/storage-bonus/referral-view", ""),
    ("POST", "/storage-bonus/referral-claim?code=a", ""),
    ("POST", "/storage-bonus/change-code?code=a", ""),
    ("POST", "/family/create", "{}"),
    ("GET", "/offers/black-friday", ""),
    ("GET", "/discount/any", ""),
    ("GET", "/emergency-contacts/info", ""),
    ("POST", "/emergency-contacts/add", "{}"),
    ("GET", "/legacy-kits", ""),
    ("GET", "/cast/device-info/ABC", ""),
    ("POST", "/cast/cast-data", "{}"),
    ("GET", "/comments", ""),
    ("GET", "/social/diff", ""),
    ("POST", "/memory-share", "{}"),
    ("GET", "/custom-domain", ""),
    ("POST", "/anonymous/feedback", "{}"),
];

/// Every call of the start-up table, the billing table and the optional groups, with its answer.
#[tokio::test]
async fn what_stock_clients_ask_for_at_start_up() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    let mut log = String::new();
    for (method, path, body) in START_UP {
        let request = server
            .request(method.parse().unwrap(), path)
            .header("X-Auth-Token", &anna.token)
            .header("X-Client-Package", "io.ente.photos.web")
            .body(*body);
        let answer = Answer::of(request).await;
        let mut told = if answer.text.is_empty() { Value::Null } else { answer.json() };
        blank(&mut told);
        let told = if told.is_null() { String::new() } else { format!(" {told}") };
        writeln!(log, "{method} {path}\n    {}{told}", answer.status.as_u16()).unwrap();
    }
    insta::assert_snapshot!(log);
}

#[tokio::test]
async fn quotas_show_as_plans_that_never_change_by_themselves() {
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    let one = server.get("/users/details/v2", &anna.token).await.ok();
    let two = server.get("/users/details/v2", &anna.token).await.ok();
    assert_eq!(one, two);
    assert_eq!(one["subscription"]["storage"], json!(1_i64 << 50));
    operator::set_quota(&server.shared.store, &anna.email, Some(123)).await.unwrap();
    assert_eq!(server.get("/users/details/v2", &anna.token).await.ok()["subscription"]["storage"], 123);
}

#[tokio::test]
async fn stubs_for_the_signed_in_want_a_session() {
    let server = TestServer::start().await;
    for (method, path) in [
        (GET, "/users/two-factor/status"),
        (POST, "/files/data/status-diff"),
        (GET, "/remote-store/feature-flags"),
        (GET, "/billing/user-plans"),
        (GET, "/users/details/v2"),
    ] {
        server.send(method, path, "", &json!({})).await.failed(401, None);
    }
    for path in ["/ping", "/offers/black-friday", "/billing/plans/v2", "/healthz", "/readyz"] {
        server.get(path, "").await.ok();
    }
}

#[tokio::test]
async fn urls_are_made_from_what_the_caller_used() {
    use axum::http::{HeaderMap, HeaderName};
    let check = async |raw: RawConfig, pairs: &[(&str, &str)], origin: &str| {
        let folder = tempfile::tempdir().unwrap();
        let raw = RawConfig { data_dir: Some(folder.path().to_owned()), ..raw };
        let config = Config::from_layers(raw, RawConfig::default(), RawConfig::default()).unwrap();
        let server = darkslide_server::Server::open(config).await.unwrap();
        let headers: HeaderMap = pairs
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        assert_eq!(
            darkslide_server::routes::origin::origin_of(&server, &headers).as_str(),
            origin,
            "{pairs:?}"
        );
    };
    let forwarded =
        [("host", "inner:1"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "outer.example")];
    let trusting = || RawConfig { trust_proxy: Some(true), ..RawConfig::default() };
    check(RawConfig::default(), &[("host", "nas.local:8080")], "http://nas.local:8080/").await;
    check(RawConfig::default(), &forwarded, "http://inner:1/").await;
    check(trusting(), &forwarded, "https://outer.example/").await;
    check(RawConfig::default(), &[("host", "evil/path")], "http://127.0.0.1:8080/").await;
    let public = RawConfig { public_url: Some("https://photos.example/p".to_owned()), ..trusting() };
    check(public, &forwarded, "https://photos.example/p/").await;
}
