//! Earlier contents over HTTP: listed, fetched, brought back.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test needs and does not get fails the test"
)]

mod support;

use serde_json::{Value, json};
use support::TestServer;
use support::damage::{Harm, blobs_of, execute, keys_of};
use support::vault::{Vault, noise};

async fn edit(vault: &Vault<'_>, album: i64, file: i64, original: &[u8], thumbnail: &[u8]) {
    let mut body = vault.stored_pair(album, original, thumbnail).await;
    body["id"] = file.into();
    body["metadata"]["encryptedData"] = "ZWRpdGVk".into();
    vault.put("/files/update", body).await.ok();
}

async fn fetch(vault: &Vault<'_>, path: &str) -> Vec<u8> {
    let url = vault.location(path).await;
    vault.server.http.get(url).send().await.unwrap().bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn an_edited_file_is_listed_fetched_and_brought_back() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let (before, small) = (noise(1, 5000), noise(2, 100));
    let file = vault.commit(album, &before, &small).await["id"].as_i64().unwrap();
    let now = noise(3, 7000);
    edit(&vault, album, file, &now, &noise(4, 200)).await;
    let mut list = vault.get(&format!("/v1/files/{file}/versions")).await.ok();
    let path = format!("/v1/files/{file}/versions/{}", list["versions"][0]["version"]);
    assert_eq!(fetch(&vault, &format!("{path}/original")).await, before);
    assert_eq!(fetch(&vault, &format!("{path}/thumbnail")).await, small);
    assert_eq!(vault.download(file).await, now);
    let restored = vault.post(&format!("{path}/restore"), json!({})).await.ok();
    assert_eq!(vault.post(&format!("{path}/restore"), json!({})).await.ok(), restored);
    assert_eq!(vault.download(file).await, before);
    let entry = vault.diff(album, 0).await.remove(0);
    assert!(entry["updationTime"].as_i64() <= restored["updationTime"].as_i64());
    assert_eq!(
        (&entry["metadata"]["encryptedData"], &entry["info"]["fileSize"]),
        (&json!("bWV0YQ=="), &json!(5000))
    );
    let after = vault.get(&format!("/v1/files/{file}/versions")).await.ok();
    assert_eq!(after["versions"].as_array().unwrap().len(), 1);
    assert_eq!(after["versions"][0]["metadata"]["encryptedData"], "ZWRpdGVk");
    list["fileID"] = "(id)".into();
    for member in ["version", "replacedAt", "expiresAt"] {
        assert!(list["versions"][0][member].is_i64());
        list["versions"][0][member] = Value::from(format!("({member})"));
    }
    insta::assert_json_snapshot!(list);
}

#[tokio::test]
async fn refusals_are_problems() {
    let server = TestServer::start().await;
    let (vault, other) =
        (Vault::new(&server, "a@example.org").await, Vault::new(&server, "b@example.org").await);
    let album = vault.album().await;
    let file = vault.file(album, 1).await;
    edit(&vault, album, file, &noise(3, 700), &noise(4, 20)).await;
    let list = vault.get(&format!("/v1/files/{file}/versions")).await.ok();
    let path = format!("/v1/files/{file}/versions/{}", list["versions"][0]["version"]);
    other.get(&format!("/v1/files/{file}/versions")).await.failed(404, Some("NOT_FOUND"));
    other.get(&format!("{path}/original")).await.failed(404, Some("NOT_FOUND"));
    other.post(&format!("{path}/restore"), json!({})).await.failed(404, Some("NOT_FOUND"));
    vault.get("/v1/files/x/versions").await.failed(400, Some("BAD_REQUEST"));
    vault.get("/v1/files/7/versions").await.failed(404, Some("NOT_FOUND"));
    server.get(&path, "").await.failed(404, Some("NOT_FOUND"));
    server.post(&format!("{path}/restore"), "", &json!({})).await.failed(401, Some("UNAUTHORIZED"));
}

/// Harms an object of an earlier version, is refused, puts it back and is not.
#[tokio::test]
async fn a_version_whose_bytes_are_not_whole_is_not_brought_back() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let store = &server.shared.store;
    for (seed, harm) in (0..).zip(Harm::ALL) {
        for which in [0, 1] {
            let file = vault.file(album, seed * 10 + which).await;
            let keys = keys_of(store, vault.person.id, file).await;
            let now = noise(100 + seed, 7000);
            edit(&vault, album, file, &now, &noise(200 + seed, 200)).await;
            let list = vault.get(&format!("/v1/files/{file}/versions")).await.ok();
            let path = format!("/v1/files/{file}/versions/{}/restore", list["versions"][0]["version"]);
            let blob = blobs_of(server.folder(), &keys[usize::try_from(which).unwrap()])[0].clone();
            let whole = std::fs::read(&blob).unwrap();
            harm.do_to(&blob);
            let refused = vault.post(&path, json!({})).await;
            refused.failed(409, Some("VERSION_DAMAGED"));
            assert!(refused.json()["detail"].as_str().unwrap().contains("from a backup"), "{refused:?}");
            assert_eq!(vault.download(file).await, now, "{harm:?}: the file is what it was");
            let known = store.damaged_objects(10).await.unwrap();
            assert_eq!(known.iter().map(|one| one.damage.name()).collect::<Vec<_>>(), [harm.name()]);
            assert!(known[0].is_earlier);
            std::fs::write(&blob, whole).unwrap();
            vault.post(&path, json!({})).await.ok();
            assert_eq!(store.damaged_objects(10).await.unwrap(), []);
        }
    }
}

#[tokio::test]
async fn a_version_whose_object_nobody_knows_is_missing() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let file = vault.file(album, 1).await;
    let [original, _] = keys_of(&server.shared.store, vault.person.id, file).await;
    edit(&vault, album, file, &noise(3, 700), &noise(4, 20)).await;
    execute(&server, &format!("DELETE FROM objects WHERE key = '{original}'")).await;
    let list = vault.get(&format!("/v1/files/{file}/versions")).await.ok();
    let path = format!("/v1/files/{file}/versions/{}/restore", list["versions"][0]["version"]);
    vault.post(&path, json!({})).await.failed(409, Some("VERSION_DAMAGED"));
    assert_eq!(vault.download(file).await, noise(3, 700));
}
