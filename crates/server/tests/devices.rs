//! Devices over HTTP: said, listed, revoked at once.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_server::auth::session::Device;
use reqwest::Method;
use serde_json::{Value, json};
use support::damage::execute;
use support::{TestServer, vault::Vault};

const LAPTOP: &str = "6a3c8f5e-0000-4000-8000-000000000001";

const PHONE: &str = "6a3c8f5e-0000-4000-8000-000000000002";
const TABLET: &str = "6a3c8f5e-0000-4000-8000-000000000003";

const P256DH: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";

fn laptop() -> Value {
    json!({
        "id": LAPTOP, "sealedName": "bmFtZQ==", "platform": "linux",
        "push": { "endpoint": "https://push.example.org/abc", "p256dh": P256DH, "auth": "BTBZMqHH6r4Tts7J_aSIgg" },
    })
}

/// A second session of the same account, as another app would have it.
async fn another_session(vault: &Vault<'_>, user_agent: &str) -> String {
    let token = format!("token of {user_agent}");
    let device = Device { ip: "192.0.2.7".to_owned(), user_agent: user_agent.to_owned() };
    let store = &vault.server.shared.store;
    let hash = darkslide_server::auth::session::hash_of(&token);
    assert!(store.insert_session(vault.person.id, "photos", &hash, &device).await.unwrap());
    token
}

#[tokio::test]
async fn devices_are_said_listed_and_revoked_at_once() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let stock = another_session(&vault, "ente/4.0 Android").await;
    let put = server.send(Method::PUT, "/v1/devices/self", &stock, &laptop()).await;
    assert_eq!((put.status.as_u16(), put.text.as_str()), (204, ""));
    let mut list = vault.get("/v1/devices").await.ok();
    let devices = list["devices"].as_array_mut().unwrap();
    assert_eq!(devices.len(), 2);
    devices.sort_by_key(|device| device["isThis"] == true);
    assert_eq!((&devices[0]["id"], &devices[0]["canBeWoken"]), (&json!(LAPTOP), &json!(true)));
    assert!(!list.to_string().contains("push.example.org"), "the endpoint is the server's to use");
    let own = list["devices"][1]["id"].clone();
    for device in list["devices"].as_array_mut().unwrap() {
        for member in ["createdAt", "lastSeenAt"] {
            assert!(device[member].as_i64().unwrap() > 1_700_000_000_000_000);
            device[member] = "(µs)".into();
        }
    }
    list["devices"][1]["id"] = "(id of the session)".into();
    list["devices"][1]["address"] = "(address)".into();
    insta::assert_json_snapshot!(list);
    for is_there in [true, false] {
        let answer = vault.delete(&format!("/v1/devices/{LAPTOP}")).await;
        if is_there {
            assert_eq!(answer.status, 204);
        } else {
            answer.failed(404, Some("DEVICE_NOT_FOUND"));
        }
        server.get("/v1/devices", &stock).await.failed(401, Some("UNAUTHORIZED"));
        server.get("/collections/v2?sinceTime=0", &stock).await.failed(401, None);
    }
    server.send(Method::PUT, "/v1/devices/self", &stock, &laptop()).await.failed(401, Some("UNAUTHORIZED"));
    assert_eq!(vault.get("/v1/devices").await.ok()["devices"].as_array().unwrap().len(), 1);
    // One's own, by the session's id.
    assert_eq!(vault.delete(&format!("/v1/devices/{}", own.as_str().unwrap())).await.status, 204);
    vault.get("/v1/devices").await.failed(401, Some("UNAUTHORIZED"));
}

/// It moved on to another device when it saw that it was listed, or behind the owner's own entry.
#[tokio::test]
async fn a_session_cannot_move_out_of_the_way_of_its_revocation() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let thief = another_session(&vault, "thief").await;
    let say = async |token: &str, id: &str| {
        let mut device = laptop();
        device["id"] = json!(id);
        server.send(Method::PUT, "/v1/devices/self", token, &device).await
    };
    let list = async |token: &str| {
        let list = server.get("/v1/devices", token).await.ok();
        let entry = |device: &Value| (device["id"].as_str().unwrap().to_owned(), device["isThis"] == true);
        list["devices"].as_array().unwrap().iter().map(entry).collect::<Vec<_>>()
    };
    assert_eq!(say(&vault.person.token, LAPTOP).await.status, 204);
    let listed = list(&vault.person.token).await.into_iter().find(|(_, is_this)| !is_this).unwrap().0;
    // What the owner has listed is revoked, whatever it says it is by then.
    assert_eq!(say(&thief, TABLET).await.status, 204);
    say(&thief, PHONE).await.failed(409, Some("CONFLICT"));
    assert_eq!(vault.delete(&format!("/v1/devices/{listed}")).await.status, 204);
    server.get("/v1/devices", &thief).await.failed(401, Some("UNAUTHORIZED"));
    // Nor is it taken for a session that never said what it is on.
    let (stock, thief) =
        (another_session(&vault, "ente").await, another_session(&vault, "thief again").await);
    for id in list(&vault.person.token).await.into_iter().map(|(id, _)| id).filter(|id| id != LAPTOP) {
        say(&thief, &id).await.failed(409, Some("CONFLICT"));
    }
    assert_eq!(list(&stock).await.len(), 3);
    // Whoever takes the owner's own id does not share it: the owner sees that he is signed out, signs in again, and is alone.
    assert_eq!(say(&thief, LAPTOP).await.status, 204);
    vault.get("/v1/devices").await.failed(401, Some("UNAUTHORIZED"));
    let again = another_session(&vault, "darkslide").await;
    let mut device = laptop();
    device["push"] = Value::Null;
    assert_eq!(server.send(Method::PUT, "/v1/devices/self", &again, &device).await.status, 204);
    server.get("/v1/devices", &thief).await.failed(401, Some("UNAUTHORIZED"));
    let devices = server.get("/v1/devices", &again).await.ok();
    let own = devices["devices"].as_array().unwrap().iter().find(|device| device["isThis"] == true).unwrap();
    assert_eq!(
        (&own["id"], &own["canBeWoken"]),
        (&json!(LAPTOP), &json!(false)),
        "nothing of the thief's is left"
    );
}

/// They were good for a week.
#[tokio::test]
async fn download_urls_end_with_the_session_that_they_were_given_to() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let file = vault.file(vault.album().await, 1).await;
    let phone = another_session(&vault, "phone").await;
    let location = async |token: &str, path: &str| {
        let answer = server.get(path, token).await;
        assert_eq!(answer.status, 307, "{path}");
        answer.header("location").to_owned()
    };
    let status = async |url: &str| server.http.get(url).send().await.unwrap().status().as_u16();
    let paths = [format!("/files/download/{file}"), format!("/files/preview/{file}")];
    for path in &paths {
        let (own, other) = (location(&vault.person.token, path).await, location(&phone, path).await);
        assert_eq!((status(&own).await, status(&other).await), (200, 200));
        let session = other.split('&').find(|part| part.starts_with("session=")).unwrap();
        assert!(!other.contains(&phone) && session.len() > 40, "{other}");
    }
    let (own, other) = (location(&vault.person.token, &paths[0]).await, location(&phone, &paths[0]).await);
    let listed = vault.get("/v1/devices").await.ok();
    let lost = listed["devices"].as_array().unwrap().iter().find(|device| device["isThis"] == false).unwrap();
    assert_eq!(vault.delete(&format!("/v1/devices/{}", lost["id"].as_str().unwrap())).await.status, 204);
    assert_eq!((status(&own).await, status(&other).await), (200, 404));
    let head = server.http.head(&other).send().await.unwrap();
    assert_eq!(head.status(), 404);
}

#[tokio::test]
async fn a_device_was_last_seen_when_it_was_last_used() {
    const HOUR: i64 = 3_600_000_000;
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let token = another_session(&vault, "darkslide/0.1.0").await;
    server.send(Method::PUT, "/v1/devices/self", &token, &laptop()).await;
    execute(&server, &format!("UPDATE sessions SET last_used_at = last_used_at - {HOUR}")).await;
    let seen = async || {
        let list = vault.get("/v1/devices").await.ok();
        let device =
            list["devices"].as_array().unwrap().iter().find(|device| device["id"] == LAPTOP).cloned();
        device.unwrap()["lastSeenAt"].as_i64().unwrap()
    };
    let before = seen().await;
    assert_eq!(seen().await, before, "others were here meanwhile");
    server.get("/v1/changes", &token).await.ok();
    assert!(seen().await >= before + HOUR);
}

#[tokio::test]
async fn what_is_not_a_device_is_refused() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let with = |member: &str, value: Value| {
        let mut device = laptop();
        device[member] = value;
        device
    };
    for refused in [
        json!({}),
        with("id", "laptop".into()),
        with("id", LAPTOP.to_uppercase().into()),
        with("sealedName", "".into()),
        with("sealedName", "My laptop".into()),
        with("sealedName", "AAAA".repeat(300).into()),
        with("platform", "".into()),
        with("platform", "My Phone".into()),
        with("push", json!({ "endpoint": "http://127.0.0.1/" })),
        with("push", json!({ "endpoint": "https://h/", "auth": "x".repeat(3000) })),
        with("push", json!({ "endpoint": "https://h/", "p256dh": P256DH })),
        with("push", json!({ "endpoint": "https://h/", "p256dh": "cA", "auth": "YQ" })),
    ] {
        let answer = vault.put("/v1/devices/self", refused.clone()).await;
        assert_eq!(answer.status, 400, "{refused}");
        answer.failed(400, Some("BAD_REQUEST"));
    }
    assert_eq!(vault.put("/v1/devices/self", with("push", Value::Null)).await.status, 204);
    assert_eq!(vault.get("/v1/devices").await.ok()["devices"][0]["canBeWoken"], false);
    server.get("/v1/devices", "").await.failed(401, Some("UNAUTHORIZED"));
}
