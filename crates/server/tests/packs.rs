//! What becomes of a pack when one of its objects comes anew, or goes, while its others are needed.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test needs and does not get fails the test"
)]

mod support;

use serde_json::Value;
use support::TestServer;
use support::batch::{Batch, Picture, send};
use support::vault::{Vault, bytes_below, commit_body, noise};
use uuid::Uuid;

fn ids(answer: &Value) -> Vec<i64> {
    answer["commits"].as_array().unwrap().iter().map(|one| one["id"].as_i64().unwrap()).collect()
}

/// The whole pack was removed, with the pictures in it, and the new bytes were read at the place that the old ones had in it.
#[tokio::test]
async fn a_put_does_not_replace_what_a_batch_brought() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "anna@example.org").await;
    let album = vault.album().await;
    let on_disk = || bytes_below(&server.folder().join("objects"));
    // Alone in its pack, the first in it, and behind others.
    for (before, behind) in [(0, 0), (0, 2), (2, 0)] {
        let minted = vault.get("/files/upload-urls?count=1").await.ok()["urls"][0].clone();
        let (url, key) = (minted["url"].as_str().unwrap(), minted["objectKey"].as_str().unwrap());
        let object = Uuid::parse_str(key.split_once('/').unwrap().1).unwrap();
        let (early, late) = (noise(100, 3000), noise(101, 4000));
        let pictures = |count: u64| (0..count).map(|seed| Picture::new(album, seed)).collect::<Vec<_>>();
        let (first, last) = (pictures(before), pictures(behind));
        let add = |batch: Batch, picture: &Picture| batch.picture(&vault, picture);
        let batch = first.iter().fold(Batch::default(), add).object(object, &early);
        let files = ids(&send(&vault, last.iter().fold(batch, add)).await.ok());
        let stored = on_disk();
        vault.put_bytes(url, &late).await.failed(409, Some("ObjectExists"));
        assert_eq!(vault.put_bytes(url, &early).await.status, 200, "the same may come again");
        assert_eq!(on_disk(), stored);
        for (file, picture) in files.iter().zip(first.iter().chain(&last)) {
            assert_eq!(vault.download(*file).await, picture.bytes);
        }
        let thumbnail = vault.store(b"tiny").await;
        let commit = commit_body(album, (key, early.len()), (&thumbnail, 4));
        let file = vault.post("/files", commit).await.ok()["id"].as_i64().unwrap();
        assert_eq!(vault.download(file).await, early);
    }
}
