//! A commit whose answer was lost is asked for again, after other devices have done something to the file: it is answered as the first time,
//! and what has happened since is the feed's to tell.

#![expect(clippy::indexing_slicing, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_protocol::batch::{FrameKind, object_key};
use darkslide_server::jobs::expire;
use serde_json::{Value, json};
use support::TestServer;
use support::batch::{Batch, Picture, send};
use support::vault::{Vault, file_keys};
use uuid::Uuid;

/// What a batch of one says of its commit.
async fn committed(vault: &Vault<'_>, batch: Batch) -> Value {
    let answer = send(vault, batch).await.ok();
    answer["commits"][0].clone()
}

#[tokio::test]
async fn what_has_happened_since_is_never_passed_off_as_what_was_made() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "anna@example.org").await;
    let (album, other) = (vault.album().await, vault.album().await);
    let picture = Picture::new(album, 1);
    let batch = Batch::default().picture(&vault, &picture);
    let first = committed(&vault, batch.clone()).await;
    let id = first["id"].as_i64().unwrap();
    let magic = json!({ "version": 1, "count": 1, "data": "ZA==", "header": "aA==" });
    let restore = |album: i64| json!({ "collectionID": album, "files": file_keys(&[id]) });
    for happened in ["described", "trashed", "restored elsewhere", "trashed again", "restored"] {
        match happened {
            "described" => {
                let list = json!({ "metadataList": [{ "id": id, "magicMetadata": magic }] });
                vault.put("/files/public-magic-metadata", list).await.ok();
            }
            "trashed" => drop(vault.trash(&[(id, album)]).await.ok()),
            "trashed again" => drop(vault.trash(&[(id, other)]).await.ok()),
            "restored elsewhere" => {
                drop(vault.post("/collections/restore-files", restore(other)).await.ok());
            }
            _ => drop(vault.post("/collections/restore-files", restore(album)).await.ok()),
        }
        let again = send(&vault, batch.clone()).await.ok();
        assert_eq!(again["commits"][0], first, "{happened}");
        assert!(again.get("span").is_none(), "{happened}: it changes nothing");
        let file = vault.post("/files", picture.commit(&vault)).await.ok();
        assert_eq!(
            (&file["id"], &file["updationTime"]),
            (&first["id"], &first["updationTime"]),
            "{happened}"
        );
        assert_eq!((&file["collectionID"], &file["isDeleted"]), (&json!(album), &json!(false)), "{happened}");
    }
}

/// Here the file is not as the commit made it, so that its version of then is not known any more: it is an earlier one than that of anything
/// that has happened since.
#[tokio::test]
async fn a_thumbnail_of_another_device_is_not_taken_for_the_one_that_was_sent() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "anna@example.org").await;
    let album = vault.album().await;
    let picture = Picture::new(album, 1);
    let batch = Batch::default().picture(&vault, &picture);
    let first = committed(&vault, batch.clone()).await;
    let id = first["id"].as_i64().unwrap();
    let thumbnail =
        json!({ "objectKey": vault.store(b"drawn").await, "decryptionHeader": "aGVhZA==", "size": 5 });
    vault.put("/files/thumbnail", json!({ "fileID": id, "thumbnail": thumbnail })).await.ok();
    let now = |rows: &[Value]| rows[0]["updationTime"].as_i64().unwrap();
    for is_trashed in [false, true] {
        if is_trashed {
            vault.trash(&[(id, album)]).await.ok();
        }
        let again = committed(&vault, batch.clone()).await;
        assert_eq!((&again["outcome"], &again["id"]), (&json!("created"), &first["id"]));
        assert!(again["updationTime"].as_i64().unwrap() < now(&vault.diff(album, 0).await), "{again}");
        assert_eq!(vault.post("/files", picture.commit(&vault)).await.ok()["id"], first["id"]);
    }
}

#[tokio::test]
async fn the_same_original_with_a_thumbnail_that_was_never_its_is_another_commit() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "anna@example.org").await;
    let album = vault.album().await;
    let picture = Picture::new(album, 1);
    let batch = Batch::default().picture(&vault, &picture);
    let first = committed(&vault, batch.clone()).await;
    let never_there = async || {
        let thumbnail = Uuid::new_v4();
        let mut commit = picture.commit(&vault);
        commit["thumbnail"]["objectKey"] = json!(object_key(vault.person.id, thumbnail.as_bytes()).0);
        let batch = Batch::default().object(thumbnail, b"tiny").record(FrameKind::Commit, &commit);
        committed(&vault, batch).await
    };
    let refused = |answer: &Value| answer["problem"]["code"] == "BAD_REQUEST";
    let answer = never_there().await;
    assert!(refused(&answer), "{answer}");
    for drawn in [b"drawn".as_slice(), b"drawn again"] {
        let thumbnail = json!({
            "objectKey": vault.store(drawn).await, "decryptionHeader": "aGVhZA==", "size": drawn.len(),
        });
        vault.put("/files/thumbnail", json!({ "fileID": first["id"], "thumbnail": thumbnail })).await.ok();
        expire::remove_garbage(&server.shared, i64::MAX / 2).await.unwrap();
        let answer = never_there().await;
        assert!(refused(&answer), "{answer}");
        assert_eq!(
            committed(&vault, batch.clone()).await["id"],
            first["id"],
            "the one that it was made with"
        );
    }
}
