//! A damaged file at a full quota: its content may come again, and nothing else may.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test needs and does not get fails the test"
)]

mod support;

use darkslide_protocol::batch::{FrameKind, object_key};
use darkslide_server::operator;
use serde_json::{Value, json};
use support::batch::{Batch, Picture, send};
use support::damage::{Harm, blobs_of, keys_of};
use support::tus::Tus;
use support::vault::{Vault, commit_body, noise};
use support::{Answer, TestServer};
use uuid::Uuid;

const EMAIL: &str = "anna@example.org";

/// Bytes of an original.
const LENGTH: usize = 300_000;

/// The tag of a content.
fn tag(of: u8) -> String {
    darkslide_protocol::Opaque::encode([of; 32]).0
}

/// An account with two files that are tagged, of which the second is damaged where the server knows it, and no room for a byte more.
struct Full<'s> {
    vault: Vault<'s>,
    tus: Tus<'s>,
    album: i64,
    files: [i64; 2],
    usage: Value,
}

impl<'s> Full<'s> {
    async fn new(server: &'s TestServer) -> Self {
        let vault = Vault::new(server, EMAIL).await;
        let tus = Tus { server, token: vault.person.token.clone(), account: vault.person.id };
        let album = vault.album().await;
        let mut files = [0; 2];
        for (seed, file) in (1..).zip(&mut files) {
            let mut body = vault.stored_pair(album, &noise(seed.into(), LENGTH), b"tiny").await;
            body["contentTag"] = json!(tag(seed));
            *file = vault.post("/files", body).await.ok()["id"].as_i64().unwrap();
        }
        let [original, _] = keys_of(&server.shared.store, vault.person.id, files[1]).await;
        Harm::FlipByte.do_to(&blobs_of(server.folder(), &original)[0]);
        operator::set_quota(&server.shared.store, EMAIL, Some(1)).await.unwrap();
        let usage = vault.get("/users/details/v2").await.ok()["usage"].clone();
        Self { vault, tus, album, files, usage }
    }

    async fn verdicts(&self) -> Vec<Value> {
        let said = self.vault.post("/v1/receipts", json!({ "fileIDs": self.files })).await.ok();
        said["receipts"].as_array().unwrap().iter().map(|receipt| receipt["verdict"].clone()).collect()
    }

    /// Sends an object by tus, and gives its key; the refusal where it is not let in.
    async fn upload(&self, bytes: &[u8]) -> Result<String, Answer> {
        let begun = Answer::of(self.tus.creation(bytes.len())).await;
        if begun.status != 201 {
            return Err(begun);
        }
        assert_eq!(self.tus.append(begun.header("location"), 0, bytes).await.status, 204);
        Ok(begun.header("darkslide-object-key").to_owned())
    }

    /// Sends objects in a batch, and gives their keys.
    async fn batch(&self, objects: &[&[u8]]) -> Result<Vec<String>, Answer> {
        let (mut batch, mut keys) = (Batch::default(), Vec::new());
        for object in objects {
            let id = Uuid::new_v4();
            batch = batch.object(id, object);
            keys.push(object_key(self.vault.person.id, id.as_bytes()).0);
        }
        let answer = send(&self.vault, batch).await;
        if answer.status == 200 { Ok(keys) } else { Err(answer) }
    }

    /// New contents of a file.
    async fn update(&self, file: i64, [original, thumbnail]: [&str; 2], of: u8) -> Answer {
        let mut body = commit_body(self.album, (original, LENGTH), (thumbnail, 4));
        (body["id"], body["contentTag"]) = (json!(file), json!(tag(of)));
        self.vault.put("/files/update", body).await
    }

    async fn usage_is_the_same(&self) {
        assert_eq!(self.vault.get("/users/details/v2").await.ok()["usage"], self.usage);
    }
}

fn is_full(answer: &Answer) -> bool {
    answer.status == 426
}

/// It could not be mended until its owner had deleted something else.
#[tokio::test]
async fn a_damaged_file_is_mended_at_a_full_quota() {
    for is_batched in [false, true] {
        let server = TestServer::start().await;
        let full = Full::new(&server).await;
        let again = noise(3, LENGTH);
        // Nobody knows of the damage yet.
        assert!(is_full(&full.upload(&again).await.unwrap_err()));
        assert!(is_full(&full.batch(&[&again, b"tiny"]).await.unwrap_err()));
        assert_eq!(full.verdicts().await, ["verified", "damaged"]);
        let keys = if is_batched {
            full.batch(&[&again, b"tiny"]).await.unwrap()
        } else {
            let original = full.upload(&again).await.unwrap();
            [vec![original], full.batch(&[b"tiny"]).await.unwrap()].concat()
        };
        full.update(full.files[1], [&keys[0], &keys[1]], 2).await.ok();
        assert_eq!(full.verdicts().await, ["verified", "verified"]);
        assert_eq!(full.vault.download(full.files[1]).await, again);
        full.usage_is_the_same().await;
        // There is nothing to be mended any more.
        assert!(is_full(&full.upload(&again).await.unwrap_err()));
        assert!(is_full(&full.batch(&[&again, b"tiny"]).await.unwrap_err()));
    }
}

#[tokio::test]
async fn nothing_else_comes_in_where_a_file_is_damaged() {
    let server = TestServer::start().await;
    let full = Full::new(&server).await;
    assert_eq!(full.verdicts().await, ["verified", "damaged"]);
    // Other lengths than the one that was lost, and more than one request of it needs.
    for length in [LENGTH - 1, LENGTH + 1] {
        assert!(is_full(&full.upload(&noise(4, length)).await.unwrap_err()), "{length}");
    }
    assert!(is_full(&full.batch(&[&noise(4, LENGTH), b"tinier"]).await.unwrap_err()));
    // A new file, in the batch or after it, though it is within the grace: it was let in for one thing.
    let picture = Picture::new(full.album, 5);
    let answer = send(&full.vault, Batch::default().picture(&full.vault, &picture)).await;
    assert!(is_full(&answer), "{answer:?}");
    let lost = full.upload(&noise(6, LENGTH)).await.unwrap();
    let small = full.batch(&[b"tiny"]).await.unwrap().remove(0);
    let commit = commit_body(full.album, (&lost, LENGTH), (&small, 4));
    assert!(is_full(&full.vault.post("/files", commit.clone()).await));
    let answer = send(&full.vault, Batch::default().record(FrameKind::Commit, &commit)).await.ok();
    assert_eq!(answer["commits"][0]["problem"]["code"], "QUOTA_EXCEEDED", "{answer}");
    // Other contents of the damaged file, and any of another one.
    for (file, of) in [(full.files[1], 9), (full.files[0], 2), (full.files[0], 1)] {
        assert!(is_full(&full.update(file, [&lost, &small], of).await), "{file} {of}");
    }
    let thumbnail = json!({ "objectKey": small, "decryptionHeader": "aA==", "size": 4 });
    let body = json!({ "fileID": full.files[0], "thumbnail": thumbnail });
    assert!(is_full(&full.vault.put("/files/thumbnail", body).await));
    full.usage_is_the_same().await;
    // What it was let in for, it may become.
    full.update(full.files[1], [&lost, &small], 2).await.ok();
    full.usage_is_the_same().await;
}

/// A new picture that happened to be as long as the one that was lost was let in and never committed, whatever room there was by then: its client
/// found the bytes there each time, until they expired.
#[tokio::test]
async fn what_was_let_in_is_anything_once_there_is_room() {
    for is_batched in [false, true] {
        let server = TestServer::start().await;
        let full = Full::new(&server).await;
        assert_eq!(full.verdicts().await, ["verified", "damaged"]);
        let bytes = noise(6, LENGTH);
        let original = full.upload(&bytes).await.unwrap();
        let again = full.upload(&bytes).await.unwrap();
        assert!(is_full(&full.batch(&[b"tiny", b"mini", b"thin"]).await.unwrap_err()), "more than it needs");
        let mut small = full.batch(&[b"tiny", b"mini"]).await.unwrap();
        small.extend(full.batch(&[b"thin"]).await.unwrap());
        let commit = commit_body(full.album, (&original, LENGTH), (&small[0], 4));
        assert!(is_full(&full.vault.post("/files", commit.clone()).await));
        operator::set_quota(&server.shared.store, EMAIL, Some(1 << 30)).await.unwrap();
        if is_batched {
            let batch = Batch::default().record(FrameKind::Commit, &commit);
            let answer = send(&full.vault, batch).await.ok();
            assert!(answer["commits"][0]["problem"].is_null(), "{answer}");
        } else {
            full.vault.post("/files", commit).await.ok();
        }
        let thumbnail = json!({ "objectKey": small[1], "decryptionHeader": "aA==", "size": 4 });
        let body = json!({ "fileID": full.files[0], "thumbnail": thumbnail });
        full.vault.put("/files/thumbnail", body).await.ok();
        full.update(full.files[0], [&again, &small[2]], 9).await.ok();
        assert_eq!(full.vault.download(full.files[0]).await, bytes);
    }
}
