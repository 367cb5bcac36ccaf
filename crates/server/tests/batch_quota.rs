//! A batch at a full quota: what is in the vault is answered as ever, and nothing that is new comes in.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test needs and does not get fails the test"
)]

mod support;

use darkslide_protocol::batch::{BATCH, FrameKind, object_key};
use darkslide_server::jobs::expire;
use darkslide_server::operator;
use reqwest::{Body, Method};
use serde_json::{Value, json};
use support::batch::{Batch, Picture, send};
use support::tus::Tus;
use support::vault::{Vault, bytes_below, commit_body, noise};
use support::{Answer, TestServer};
use uuid::Uuid;

const EMAIL: &str = "anna@example.org";

/// What an account may have more than its quota says.
const GRACE: usize = 50 << 20;

async fn set_quota(server: &TestServer, bytes: u64) {
    operator::set_quota(&server.shared.store, EMAIL, Some(bytes)).await.unwrap();
}

/// What became of each commit: `created`, `existing`, or the status of the refusal.
fn outcomes(answer: &Value) -> Vec<String> {
    let one = |one: &Value| match one["problem"]["status"].as_u64() {
        Some(status) => status.to_string(),
        None => one["outcome"].as_str().unwrap().to_owned(),
    };
    ["commits", "thumbnails"].iter().flat_map(|kind| answer[kind].as_array().unwrap()).map(one).collect()
}

fn on_disk(server: &TestServer) -> u64 {
    bytes_below(&server.folder().join("objects")) + bytes_below(&server.folder().join("incoming"))
}

fn batch_of(vault: &Vault<'_>, pictures: &[&Picture]) -> Batch {
    pictures.iter().fold(Batch::default(), |batch, picture| batch.picture(vault, picture))
}

/// It was 426 as a whole, and the client said that there was no room for what was in the vault.
#[tokio::test]
async fn a_batch_that_is_repeated_is_answered_as_the_first_time() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, EMAIL).await;
    let album = vault.album().await;
    let one = Picture::new(album, 1).tagged(1);
    let (two, copy) = (Picture::new(album, 2), Picture::new(album, 3).tagged(1));
    let batch = batch_of(&vault, &[&one, &two, &copy]);
    let first = send(&vault, batch.clone()).await.ok();
    assert_eq!(outcomes(&first), ["created", "created", "existing"]);
    let (usage, bytes) = (vault.usage().await, on_disk(&server));
    set_quota(&server, 1).await;
    let again = async |batch: &Batch| {
        assert_eq!(send(&vault, batch.clone()).await.ok()["commits"], first["commits"]);
        assert_eq!((vault.usage().await, on_disk(&server)), (usage, bytes));
    };
    again(&batch).await;
    // What was not needed is gone, and is not needed now.
    expire::remove_garbage(&server.shared, i64::MAX / 2).await.unwrap();
    again(&batch).await;
    // A thumbnail that was replaced, and whose own row is gone.
    set_quota(&server, 1 << 30).await;
    let id = first["commits"][1]["id"].as_i64().unwrap();
    let key = vault.store(b"drawn").await;
    let drawn = json!({ "objectKey": key, "decryptionHeader": "aA==", "size": 5 });
    vault.put("/files/thumbnail", json!({ "fileID": id, "thumbnail": drawn })).await.ok();
    expire::remove_garbage(&server.shared, i64::MAX / 2).await.unwrap();
    set_quota(&server, 1).await;
    let answer = send(&vault, batch_of(&vault, &[&two])).await.ok();
    assert_eq!(
        (&answer["commits"][0]["outcome"], &answer["commits"][0]["id"]),
        (&json!("created"), &json!(id))
    );
}

#[tokio::test]
async fn beside_what_is_in_the_vault_what_is_new_is_refused_by_itself() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, EMAIL).await;
    let album = vault.album().await;
    let (known, new, tagged) =
        (Picture::new(album, 1).tagged(1), Picture::new(album, 2), Picture::new(album, 3).tagged(1));
    let first = send(&vault, batch_of(&vault, &[&known])).await.ok();
    let (usage, bytes) = (vault.usage().await, on_disk(&server));
    set_quota(&server, 1).await;
    let thumbnail = Uuid::new_v4();
    let key = object_key(vault.person.id, thumbnail.as_bytes()).0;
    let drawn = json!({ "objectKey": key, "decryptionHeader": "aA==", "size": 3 });
    let batch = batch_of(&vault, &[&known, &new, &tagged])
        .object(thumbnail, b"new")
        .record(FrameKind::Thumbnail, &json!({ "fileID": first["commits"][0]["id"], "thumbnail": drawn }));
    let answer = send(&vault, batch.clone()).await.ok();
    assert_eq!(outcomes(&answer), ["created", "426", "existing", "426"]);
    assert_eq!(answer["commits"][1]["problem"]["code"], "QUOTA_EXCEEDED");
    assert_eq!((vault.usage().await, on_disk(&server)), (usage, bytes), "nothing of it is kept");
    // Other bytes under a key that is known are other bytes still.
    let other = Picture { bytes: noise(9, 5000), ..Picture::new(album, 1) };
    let other = Picture { file: known.file, thumbnail: known.thumbnail, ..other };
    let mut commit = other.commit(&vault);
    commit["file"]["size"] = json!(4999);
    let wrong = Batch::default().object(other.file, &noise(9, 4999)).record(FrameKind::Commit, &commit);
    assert_eq!(outcomes(&send(&vault, wrong).await.ok()), ["400"]);
    // With room again, it is the same batch.
    set_quota(&server, 1 << 30).await;
    assert_eq!(outcomes(&send(&vault, batch).await.ok()), ["created", "created", "existing", "replaced"]);
}

/// `POST /files` made the file of the same objects.
#[tokio::test]
async fn what_was_uploaded_before_is_committed_as_by_itself() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, EMAIL).await;
    let tus = Tus { server: &server, token: vault.person.token.clone(), account: vault.person.id };
    let album = vault.album().await;
    vault.file(album, 1).await;
    let bytes = noise(2, 300_000);
    let begun = Answer::of(tus.creation(bytes.len())).await;
    assert_eq!(tus.append(begun.header("location"), 0, &bytes).await.status, 204);
    let small = Uuid::new_v4();
    send(&vault, Batch::default().object(small, b"tiny")).await.ok();
    set_quota(&server, 1).await;
    let small_key = object_key(vault.person.id, small.as_bytes()).0;
    let commit = commit_body(album, (begun.header("darkslide-object-key"), bytes.len()), (&small_key, 4));
    let batch = Batch::default().object(small, b"tiny").record(FrameKind::Commit, &commit);
    let answer = send(&vault, batch).await.ok();
    assert_eq!(outcomes(&answer), ["created"]);
    assert_eq!(vault.post("/files", commit).await.ok()["id"], answer["commits"][0]["id"]);
    assert_eq!(vault.download(answer["commits"][0]["id"].as_i64().unwrap()).await, bytes);
}

#[tokio::test]
async fn what_is_all_new_is_refused_whole() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, EMAIL).await;
    let album = vault.album().await;
    vault.file(album, 1).await;
    set_quota(&server, 1).await;
    let before = (vault.usage().await, on_disk(&server));
    let picture = batch_of(&vault, &[&Picture::new(album, 2)]);
    let lone = Batch::default().object(Uuid::new_v4(), b"tiny");
    let refused = [picture.clone(), lone, picture.object(Uuid::new_v4(), b"")];
    for batch in refused {
        send(&vault, batch.clone()).await.failed(426, Some("QUOTA_EXCEEDED"));
        // The same by a client that does not say how long it is.
        let pieces: Vec<Result<Vec<u8>, std::io::Error>> =
            batch.0.chunks(1000).map(|piece| Ok(piece.to_vec())).collect();
        let request = server.request(Method::POST, "/v1/batch").header("X-Auth-Token", &vault.person.token);
        let body = Body::wrap_stream(futures_util::stream::iter(pieces));
        Answer::of(request.header("Content-Type", BATCH).body(body))
            .await
            .failed(426, Some("QUOTA_EXCEEDED"));
    }
    assert_eq!((vault.usage().await, on_disk(&server)), before);
    assert_eq!(server.shared.store.uncommitted().await.unwrap().objects, 0);
}

#[tokio::test]
async fn as_much_comes_in_as_there_is_room_for() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, EMAIL).await;
    let album = vault.album().await;
    let sized = |seed, length| Picture { bytes: noise(seed, length), ..Picture::new(album, seed) };
    // What is left to the byte, less the small thumbnails of those that found no room.
    let lengths = [GRACE - 10_008, 10_005, 5000, 4997, 4988, 1];
    let pictures: Vec<Picture> = (1..).zip(lengths).map(|(seed, length)| sized(seed, length)).collect();
    set_quota(&server, 0).await;
    let batch = batch_of(&vault, &pictures.iter().collect::<Vec<_>>());
    let answer = send(&vault, batch.clone()).await.ok();
    assert_eq!(outcomes(&answer), ["created", "426", "created", "426", "created", "426"]);
    assert_eq!(usize::try_from(vault.usage().await).unwrap(), GRACE - 8);
    // It is over its quota now.
    let again = send(&vault, batch).await.ok();
    assert_eq!((outcomes(&again), &again["commits"][0]), (outcomes(&answer), &answer["commits"][0]));
}
