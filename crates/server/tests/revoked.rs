//! A device that is revoked while its request is still sending: nothing of that request happens.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test needs and does not get fails the test"
)]

mod support;

use darkslide_protocol::batch::{BATCH, FrameKind, object_head, object_key, record_head};
use darkslide_server::auth::session::{Device, hash_of};
use serde_json::{Value, json};
use sqlx::Row as _;
use support::TestServer;
use support::damage::{execute, keys_of};
use support::tus::{Tus, database, until};
use support::vault::{Vault, commit_body, noise};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

const LOST: &str = "a phone that was lost";

/// A request of the lost phone's whose body stands still half-way, once the server has let it in and wants the body.
async fn half_sent(server: &TestServer, call: &str, kind: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "{call} HTTP/1.1\r\nHost: {}\r\nX-Auth-Token: {LOST}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\nConnection: close\r\n\r\n",
        server.address,
        body.len(),
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut leave = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut leave).await.unwrap();
    assert!(leave.starts_with(b"HTTP/1.1 100 "));
    stream.write_all(&body[..body.len() / 2]).await.unwrap();
    stream
}

/// Sends the rest, and says what is answered.
async fn finish(mut stream: TcpStream, body: &[u8]) -> String {
    stream.write_all(&body[body.len() / 2..]).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    said
}

/// The lost phone's session.
async fn lost_phone(vault: &Vault<'_>) {
    let device = Device { ip: "192.0.2.7".to_owned(), user_agent: "phone".to_owned() };
    let store = &vault.server.shared.store;
    assert!(store.insert_session(vault.person.id, "photos", &hash_of(LOST), &device).await.unwrap());
}

async fn revoke(vault: &Vault<'_>) {
    let list = vault.get("/v1/devices").await.ok();
    let lost = list["devices"].as_array().unwrap().iter().find(|device| device["isThis"] == false);
    let path = format!("/v1/devices/{}", lost.unwrap()["id"].as_str().unwrap());
    assert_eq!(vault.delete(&path).await.status, 204);
}

fn blobs(server: &TestServer) -> usize {
    let shards = std::fs::read_dir(server.folder().join("objects")).unwrap();
    shards.map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
}

fn batch(vault: &Vault<'_>, album: i64) -> Vec<u8> {
    let (file, thumbnail) = (Uuid::new_v4(), Uuid::new_v4());
    let bytes = noise(1, 300_000);
    let key = |id: &Uuid| object_key(vault.person.id, id.as_bytes()).0;
    let commit = commit_body(album, (&key(&file), bytes.len()), (&key(&thumbnail), 4)).to_string();
    let mut body = object_head(file.as_bytes(), bytes.len() as u64).to_vec();
    body.extend(&bytes);
    body.extend(object_head(thumbnail.as_bytes(), 4));
    body.extend(b"tiny");
    body.extend(record_head(FrameKind::Commit, commit.len() as u64));
    body.extend(commit.as_bytes());
    body
}

fn collections() -> Vec<u8> {
    let collection = |number: u8| {
        let bytes = |length| darkslide_protocol::Opaque::encode(vec![number; length]).0;
        json!({
            "type": "album", "encryptedKey": bytes(48), "keyDecryptionNonce": bytes(24),
            "encryptedName": "bmFtZQ==", "nameDecryptionNonce": "bm9uY2U=",
        })
    };
    let all: Vec<Value> = (0..10).map(collection).collect();
    json!({ "collections": all }).to_string().into_bytes()
}

/// What the account has: its feed, its bytes, the server's blobs, and what no feed tells.
async fn standing(vault: &Vault<'_>) -> (Value, Value, usize, String) {
    let feed = vault.get("/v1/changes?after=0").await.ok();
    let usage = vault.get("/users/details/v2").await.ok()["usage"].clone();
    let text = "SELECT (SELECT COUNT(*) FROM remote_settings) || ' settings, ' || (SELECT COUNT(*) FROM entity_keys) || ' keys, '
                    || (SELECT COUNT(*) FROM srp_setups) || ' passwords begun, codes: ' || (SELECT SUM(email_mfa) FROM accounts)";
    let row = sqlx::query(text).fetch_one(&database(vault.server).await).await.unwrap();
    (feed, usage, blobs(vault.server), row.get(0))
}

#[tokio::test]
async fn what_a_revoked_device_had_half_sent_does_not_happen() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let (_, setup) = vault.person.setup();
    let json = |body: Value| body.to_string().into_bytes();
    let mut before = standing(&vault).await;
    for (call, kind, body, writes) in [
        ("POST /v1/batch", BATCH, batch(&vault, album), true),
        ("POST /v1/collections", "application/json", collections(), true),
        ("PUT /users/email-mfa", "application/json", json(json!({ "isEnabled": true })), true),
        (
            "POST /remote-store/update",
            "application/json",
            json(json!({ "key": "mapEnabled", "value": "true" })),
            true,
        ),
        (
            "POST /user-entity/key",
            "application/json",
            json(json!({ "type": "location", "encryptedKey": "a2V5", "header": "aA==" })),
            true,
        ),
        ("POST /users/srp/setup", "application/json", json(setup), true),
        // An object of the account's could be put there for a week.
        (
            "POST /files/upload-url",
            "application/json",
            json(json!({ "contentLength": 10, "contentMD5": "1B2M2Y8AsgTpgAmY7PhCfg==" })),
            false,
        ),
        ("POST /v1/receipts", "application/json", json(json!({ "fileIDs": [1, 2, 3] })), false),
        ("POST /v1/lookup", "application/json", json(json!({ "tags": [] })), false),
    ] {
        lost_phone(&vault).await;
        let request = half_sent(&server, call, kind, &body).await;
        revoke(&vault).await;
        let said = finish(request, &body).await;
        assert!(said.starts_with("HTTP/1.1 401 "), "{call}: {said}");
        assert_eq!(standing(&vault).await, before, "{call}");
        // The same from a device that is not revoked.
        lost_phone(&vault).await;
        let said = finish(half_sent(&server, call, kind, &body).await, &body).await;
        assert!(said.starts_with("HTTP/1.1 200 "), "{call}: {said}");
        execute(&server, &format!("DELETE FROM sessions WHERE token_hash = '{}'", hash_of(LOST))).await;
        let after = standing(&vault).await;
        assert_eq!(after != before, writes, "{call}");
        before = after;
    }
}

#[tokio::test]
async fn a_revoked_device_makes_no_object_and_is_not_answered() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let account = vault.person.id;
    let tus = Tus { server: &server, token: vault.person.token.clone(), account };
    let phone = Tus { server: &server, token: LOST.to_owned(), account };
    let bytes = noise(2, 300_000);
    for sends_the_rest in [true, false] {
        let url = tus.begin(bytes.len()).await;
        lost_phone(&vault).await;
        let mut stream = phone.patch_partly(&url, 0, bytes.len(), &bytes[..200_000]).await;
        until("it is at work", async || tus.file(&url).exists()).await;
        revoke(&vault).await;
        if sends_the_rest {
            let _ = stream.write_all(&bytes[200_000..]).await;
        }
        let mut said = Vec::new();
        // The server may close what it has not read to its end.
        let _ = stream.read_to_end(&mut said).await;
        let said = String::from_utf8(said).unwrap();
        assert!(
            said.starts_with("HTTP/1.1 401 ") && said.contains("UNAUTHORIZED"),
            "{sends_the_rest}: {said}"
        );
        assert!(tus.object(&url).await.is_none());
        // What came is the account's, for a device that may.
        let offset = tus.offset(&url).await;
        assert!(offset > 0);
        assert_eq!(tus.append(&url, offset, &bytes[offset..]).await.status, 204);
        assert_eq!(tus.object(&url).await.unwrap(), bytes);
    }
}

/// It was answered 200.
#[cfg(unix)]
#[tokio::test]
async fn receipts_are_not_told_to_a_device_that_was_revoked_while_they_were_read() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let file = vault.file(vault.album().await, 1).await;
    lost_phone(&vault).await;
    // Pipes in place of the bytes: to open one waits until somebody opens its other end.
    let mut pipes = Vec::new();
    for key in keys_of(&server.shared.store, vault.person.id, file).await {
        let row = sqlx::query("SELECT blob FROM objects WHERE key = $1").bind(key.0);
        let blob: String = row.fetch_one(&database(&server).await).await.unwrap().get(0);
        let path = server.folder().join("objects").join(&blob[..2]).join(&blob);
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        pipes.push(path);
    }
    let open = async |path: &std::path::PathBuf| {
        let path = path.clone();
        let opening = move || std::fs::File::options().write(true).open(path).unwrap();
        tokio::task::spawn_blocking(opening).await.unwrap()
    };
    let body = json!({ "fileIDs": [file] }).to_string();
    let asking = half_sent(&server, "POST /v1/receipts", "application/json", body.as_bytes()).await;
    let answer = tokio::spawn(async move { finish(asking, body.as_bytes()).await });
    let _original = open(&pipes[0]).await;
    revoke(&vault).await;
    let _thumbnail = open(&pipes[1]).await;
    let said = answer.await.unwrap();
    assert!(said.starts_with("HTTP/1.1 401 "), "{said}");
}
