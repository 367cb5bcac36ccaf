//! Waking devices, seen from a push service: a real one on a port of its own, which reads what it gets with other people's
//! implementations of P-256, ECDSA and RFC 8291.
//!
//! Not tested: HTTPS to a push service, whose certificate would have to be one that the system trusts.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod support;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use darkslide_protocol::Opaque;
use darkslide_server::auth::session::{Device, hash_of};
use darkslide_server::config::RawConfig;
use darkslide_server::push::Pace;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeSet, VecDeque};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{TestServer, raw_config, vault::Vault};
use tokio::sync::mpsc;
use web_push_native::p256::elliptic_curve::sec1::ToEncodedPoint as _;
use web_push_native::{Auth, decrypt};

const LAPTOP: &str = "6a3c8f5e-0000-4000-8000-000000000001";
const PHONE: &str = "6a3c8f5e-0000-4000-8000-000000000002";
const TABLET: &str = "6a3c8f5e-0000-4000-8000-000000000003";

/// Fast, so that nobody waits a minute.
const PACE: Pace = Pace {
    apart: Duration::from_millis(400),
    gather: Duration::from_millis(10),
    retry: Duration::from_millis(50),
};

/// The secret of the authentication in RFC 8291.
const AUTH: [u8; 16] = [7; 16];

/// What a push service got.
#[derive(Debug)]
struct Wake {
    path: String,
    headers: HeaderMap,
    body: Bytes,
    at: Instant,
}

impl Wake {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

type Answers = Arc<Mutex<VecDeque<(StatusCode, HeaderMap)>>>;

/// A push service. It answers as it is told, and else 201.
struct PushService {
    address: SocketAddr,
    wakes: mpsc::UnboundedReceiver<Wake>,
    answers: Answers,
}

impl PushService {
    async fn start() -> Self {
        let (told, wakes) = mpsc::unbounded_channel();
        let answers = Answers::default();
        let take = async |State((told, answers)): State<(mpsc::UnboundedSender<Wake>, Answers)>,
                          uri: Uri,
                          headers: HeaderMap,
                          body: Bytes| {
            let _ = told.send(Wake { path: uri.path().to_owned(), headers, body, at: Instant::now() });
            answers.lock().unwrap().pop_front().unwrap_or((StatusCode::CREATED, HeaderMap::new()))
        };
        let router = Router::new().fallback(take).with_state((told, answers.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, wakes, answers }
    }

    fn will_answer(&self, status: u16, headers: &[(&'static str, &str)]) {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        self.answers.lock().unwrap().push_back((StatusCode::from_u16(status).unwrap(), headers.collect()));
    }

    async fn next(&mut self) -> Wake {
        let waiting = tokio::time::timeout(Duration::from_secs(20), self.wakes.recv());
        waiting.await.expect("a device is woken").unwrap()
    }
}

/// A server that may wake devices on this machine.
async fn server() -> TestServer {
    let raw = RawConfig { push_allow_private: Some(true), ..raw_config() };
    TestServer::start_at_pace(raw, PACE).await
}

/// A session on a device that can be woken there.
async fn device(vault: &Vault<'_>, id: &str, push: Value) -> String {
    let token = format!("token of {id}");
    let device = Device { ip: "192.0.2.7".to_owned(), user_agent: "darkslide".to_owned() };
    let store = &vault.server.shared.store;
    assert!(store.insert_session(vault.person.id, "photos", &hash_of(&token), &device).await.unwrap());
    let body = json!({ "id": id, "sealedName": "bmFtZQ==", "platform": "android", "push": push });
    let answer = vault.server.send(Method::PUT, "/v1/devices/self", &token, &body).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    token
}

/// Changes the account in this session.
async fn change(vault: &Vault<'_>, token: &str) {
    let body = json!({
        "encryptedKey": Opaque::encode([1; 48]), "keyDecryptionNonce": Opaque::encode([2; 24]),
        "encryptedName": "bmFtZQ==", "nameDecryptionNonce": "bm4=", "type": "album",
    });
    vault.server.post("/collections", token, &body).await.ok();
}

fn can_be_woken(list: &Value, id: &str) -> bool {
    list["devices"]
        .as_array()
        .unwrap()
        .iter()
        .any(|device| device["id"] == id && device["canBeWoken"] == true)
}

/// How often an outcome was counted. Those of other tests in this process count too.
fn counted(outcome: &str) -> u64 {
    let line = format!("darkslide_wakes_total{{outcome=\"{outcome}\"}} ");
    let text = darkslide_server::meter::start().render();
    text.lines().find_map(|text| text.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
}

/// Waits until an outcome was counted.
async fn until_counted(outcome: &str, before: u64) {
    let until = Instant::now() + Duration::from_secs(20);
    while counted(outcome) == before {
        assert!(Instant::now() < until, "no wake was counted as {outcome}");
        tokio::task::yield_now().await;
    }
}

/// What a VAPID token claims, once its signature is checked against the key that the server tells.
fn claims(authorization: &str, public_key: &str) -> Value {
    let (token, key) = authorization.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
    assert_eq!(key, public_key);
    let key = VerifyingKey::from_sec1_bytes(&URL_SAFE_NO_PAD.decode(key).unwrap()).unwrap();
    let (said, signature) = token.rsplit_once('.').unwrap();
    let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    key.verify(said.as_bytes(), &signature).unwrap();
    let (header, claims) = said.split_once('.').unwrap();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    assert_eq!(header, json!({ "typ": "JWT", "alg": "ES256" }));
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

#[tokio::test]
async fn other_devices_are_woken_and_learn_nothing() {
    let (server, mut service) = (server().await, PushService::start().await);
    let vault = Vault::new(&server, "a@example.org").await;
    let secret = web_push_native::p256::SecretKey::from_slice(&[9; 32]).unwrap();
    let at = |path: &str| format!("http://{}/{path}", service.address);
    let keys = json!({
        "endpoint": at("phone"), "auth": URL_SAFE_NO_PAD.encode(AUTH),
        "p256dh": URL_SAFE_NO_PAD.encode(secret.public_key().to_encoded_point(false).as_bytes()),
    });
    let laptop = device(&vault, LAPTOP, json!({ "endpoint": at("laptop") })).await;
    let phone = device(&vault, PHONE, keys).await;
    device(&vault, TABLET, json!({ "endpoint": at("tablet") })).await;
    let info = server.get("/v1/server", "").await.ok();
    let public_key = info["vapidPublicKey"].as_str().unwrap();
    change(&vault, &laptop).await;
    let (first, second) = (service.next().await, service.next().await);
    let (on_phone, on_tablet) = if first.path == "/phone" { (first, second) } else { (second, first) };
    assert_eq!((on_phone.path.as_str(), on_tablet.path.as_str()), ("/phone", "/tablet"));
    for wake in [&on_phone, &on_tablet] {
        assert_eq!(
            (wake.header("ttl"), wake.header("urgency"), wake.header("topic")),
            ("86400", "normal", "darkslide")
        );
        let claims = claims(wake.header("authorization"), public_key);
        assert_eq!(claims["aud"], format!("http://{}", service.address));
        let expires = claims["exp"].as_i64().unwrap() - time::OffsetDateTime::now_utc().unix_timestamp();
        assert!((3600..=24 * 3600).contains(&expires), "{claims}");
    }
    assert!(on_tablet.body.is_empty() && on_tablet.header("content-encoding").is_empty());
    assert_eq!(on_phone.header("content-encoding"), "aes128gcm");
    assert_eq!(on_phone.body.len(), 86 + 4 + 17, "always as long");
    let auth = Auth::from(AUTH);
    assert_eq!(decrypt(on_phone.body.to_vec(), &secret, &auth).unwrap(), b"wake");
    // What the phone changes wakes the laptop, which was not woken yet.
    change(&vault, &phone).await;
    assert_eq!(service.next().await.path, "/laptop");
    assert_eq!(service.next().await.path, "/tablet", "later: it was woken just now");
    // A session that is on none of them: nobody is left out.
    change(&vault, &vault.person.token).await;
    let woken = [service.next().await.path, service.next().await.path, service.next().await.path];
    assert_eq!(
        BTreeSet::from(woken.each_ref().map(String::as_str)),
        BTreeSet::from(["/laptop", "/phone", "/tablet"])
    );
    assert!(service.wakes.try_recv().is_err());
}

#[tokio::test]
async fn many_changes_are_two_wakes_and_the_last_change_is_followed_by_one() {
    let (server, mut service) = (server().await, PushService::start().await);
    let vault = Vault::new(&server, "a@example.org").await;
    device(&vault, PHONE, json!({ "endpoint": format!("http://{}/", service.address) })).await;
    change(&vault, &vault.person.token).await;
    let first = service.next().await;
    for _ in 0..5 {
        change(&vault, &vault.person.token).await;
    }
    let last_change = Instant::now();
    let mut latest = first.at;
    // On a slow machine the changes may take longer than the pause.
    while latest < last_change {
        let wake = service.next().await;
        assert!(wake.at - latest >= PACE.apart.mul_f32(0.9), "not sooner");
        latest = wake.at;
    }
    let phone = format!("token of {PHONE}");
    device(&vault, TABLET, json!({ "endpoint": format!("http://{}/tablet", service.address) })).await;
    change(&vault, &phone).await;
    // The last change may have been heard of just after a wake; more than that is not left of them.
    let mut woken = service.next().await.path;
    if woken == "/" {
        woken = service.next().await.path;
    }
    assert_eq!(woken, "/tablet");
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_forgotten() {
    for status in [404, 410] {
        let (server, mut service) = (server().await, PushService::start().await);
        let vault = Vault::new(&server, "a@example.org").await;
        device(&vault, PHONE, json!({ "endpoint": format!("http://{}/", service.address) })).await;
        service.will_answer(status, &[]);
        assert!(can_be_woken(&vault.get("/v1/devices").await.ok(), PHONE));
        change(&vault, &vault.person.token).await;
        service.next().await;
        let until = Instant::now() + Duration::from_secs(20);
        while can_be_woken(&vault.get("/v1/devices").await.ok(), PHONE) {
            assert!(Instant::now() < until, "it is never forgotten");
        }
    }
}

#[tokio::test]
async fn a_push_service_in_trouble_is_asked_again_when_it_says() {
    let (server, mut service) = (server().await, PushService::start().await);
    let vault = Vault::new(&server, "a@example.org").await;
    device(&vault, PHONE, json!({ "endpoint": format!("http://{}/", service.address) })).await;
    service.will_answer(503, &[]);
    service.will_answer(429, &[("retry-after", "1")]);
    change(&vault, &vault.person.token).await;
    let (first, second, third) = (service.next().await, service.next().await, service.next().await);
    assert!(second.at - first.at >= PACE.retry, "not at once");
    assert!(third.at - second.at >= Duration::from_millis(950), "it asked for a second");
    assert!(can_be_woken(&vault.get("/v1/devices").await.ok(), PHONE));
}

/// Neither for what changes from then on, nor for what it was still owed.
#[tokio::test]
async fn a_revoked_device_is_not_woken_and_signed_out_at_once() {
    let (server, mut service) = (server().await, PushService::start().await);
    let vault = Vault::new(&server, "a@example.org").await;
    let address = service.address;
    let at = |path: &str| json!({ "endpoint": format!("http://{address}/{path}") });
    let phone = device(&vault, PHONE, at("phone")).await;
    let mut live =
        server.request(Method::GET, "/v1/changes/live").header("X-Auth-Token", &phone).send().await.unwrap();
    assert_eq!(live.status(), 200);
    // Its wake is to be tried again in two seconds.
    service.will_answer(429, &[("retry-after", "2")]);
    change(&vault, &vault.person.token).await;
    assert_eq!(service.next().await.path, "/phone");
    device(&vault, TABLET, at("tablet")).await;
    assert_eq!(vault.delete(&format!("/v1/devices/{PHONE}")).await.status, 204);
    let revoked = Instant::now();
    for path in ["/v1/changes?after=0", "/v1/devices", "/collections/v2?sinceTime=0"] {
        assert_eq!(server.get(path, &phone).await.status, 401, "{path}");
    }
    while live.chunk().await.unwrap().is_some() {
        assert!(revoked.elapsed() < Duration::from_secs(20), "its stream goes on");
    }
    // The other one is woken again and again, until these are long over.
    while revoked.elapsed() < Duration::from_millis(3500) {
        change(&vault, &vault.person.token).await;
        assert_eq!(service.next().await.path, "/tablet");
    }
    assert!(service.wakes.try_recv().is_err());
    assert!(!can_be_woken(&vault.get("/v1/devices").await.ok(), PHONE));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (server, mut service) = (server().await, PushService::start().await);
    let mut elsewhere = PushService::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    device(&vault, PHONE, json!({ "endpoint": format!("http://{}/", service.address) })).await;
    let before = counted("refused");
    service.will_answer(307, &[("location", &format!("http://{}/", elsewhere.address))]);
    change(&vault, &vault.person.token).await;
    service.next().await;
    until_counted("refused", before).await;
    assert!(elsewhere.wakes.try_recv().is_err());
}

#[tokio::test]
async fn no_device_leads_into_the_servers_own_network() {
    let server = TestServer::start_at_pace(raw_config(), PACE).await;
    let vault = Vault::new(&server, "a@example.org").await;
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let port = trap.local_addr().unwrap().port();
    for (id, host) in [(LAPTOP, "127.0.0.1"), (PHONE, "[::ffff:127.0.0.1]"), (TABLET, "localhost")] {
        let before = counted("forbidden");
        device(&vault, id, json!({ "endpoint": format!("https://{host}:{port}/") })).await;
        change(&vault, &vault.person.token).await;
        until_counted("forbidden", before).await;
        assert!(trap.accept().is_err(), "{host}");
        vault.delete(&format!("/v1/devices/{id}")).await;
    }
    let body = json!({
        "id": PHONE, "sealedName": "bmFtZQ==", "platform": "android", "push": { "endpoint": "http://push.example.org/" },
    });
    assert_eq!(vault.put("/v1/devices/self", body).await.status, 400, "and never without TLS");
}

#[tokio::test]
async fn the_key_is_the_same_after_a_restart() {
    let key = async |server: &TestServer| server.get("/v1/server", "").await.ok()["vapidPublicKey"].clone();
    let server = TestServer::start().await;
    let first = key(&server).await;
    assert_eq!(URL_SAFE_NO_PAD.decode(first.as_str().unwrap()).unwrap().len(), 65);
    let again = TestServer::start_in(server.stop().await, raw_config()).await;
    assert_eq!(key(&again).await, first);
    assert_ne!(key(&TestServer::start().await).await, first, "another server has another");
}
