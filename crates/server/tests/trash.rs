//! The trash over HTTP, and what the jobs remove: purged files, overdue ones, and what nobody committed.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_server::jobs::expire::{expire, sweep_orphans};
use darkslide_server::store::change::ChangeError;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::TestServer;
use support::damage::{blobs_of, execute, keys_of};
use support::vault::{Vault, commit_body, keys, noise};

fn time(value: &Value) -> i64 {
    value["updationTime"].as_i64().unwrap()
}

#[tokio::test]
async fn trap_13_headers_are_strings_in_every_tombstone() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let file = vault.file(album, 1).await;
    vault.trash(&[(file, album)]).await.ok();
    vault.post("/trash/delete", json!({ "fileIDs": [file] })).await.ok();
    let item = vault.trash_diff(0).await.remove(0);
    assert_eq!(item["isDeleted"], true);
    assert_eq!(item["file"]["metadata"], json!({ "decryptionHeader": "", "size": 0 }));
    assert!(item["file"].get("info").is_none() && item["file"].get("pubMagicMetadata").is_none(), "{item}");
    let entry = vault.diff(album, 0).await.remove(0);
    assert_eq!(entry["isDeleted"], true);
    assert_eq!(entry["metadata"]["encryptedData"], "-");
    for holder in [&item["file"], &entry] {
        for object in ["file", "thumbnail", "metadata"] {
            assert!(holder[object]["decryptionHeader"].is_string(), "{holder}");
        }
    }
}

#[tokio::test]
async fn trap_14_restored_items_keep_their_metadata() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let file = vault.file(album, 1).await;
    vault.trash(&[(file, album)]).await.ok();
    let seen = vault.trash_diff(0).await[0]["updatedAt"].as_i64().unwrap();
    for _ in 0..2 {
        vault.post("/collections/restore-files", keys(album, &[file])).await.ok();
    }
    let item = vault.trash_diff(seen).await.remove(0);
    assert_eq!((&item["isRestored"], &item["isDeleted"]), (&json!(true), &json!(false)));
    assert_eq!(item["file"]["metadata"]["encryptedData"], "bWV0YQ==");
    assert_eq!(item["file"]["pubMagicMetadata"]["data"], "cHVi");
    assert_eq!(vault.live(album).await, [file]);
    vault.download(file).await;
}

#[tokio::test]
async fn trap_33_trashing_takes_the_file_out_of_all_its_albums() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let (one, two) = (vault.album().await, vault.album().await);
    let file = vault.file(one, 1).await;
    vault.post("/collections/add-files", keys(two, &[file])).await.ok();
    let seen = vault.collections(0).await.iter().map(time).max().unwrap();
    vault.trash(&[(file, two)]).await.ok();
    for album in [one, two] {
        assert!(vault.live(album).await.is_empty());
        assert_eq!(vault.diff(album, seen).await.len(), 1);
    }
    assert_eq!(vault.trash_diff(0).await[0]["file"]["collectionID"], two);
    for path in ["/collections/add-files", "/collections/restore-files"] {
        let again = keys(one, &[file]);
        if path.ends_with("add-files") {
            vault.post(path, again).await.failed(409, Some("FILE_IN_TRASH"));
        } else {
            vault.post(path, again).await.ok();
        }
    }
    assert!(vault.live(two).await.is_empty(), "restored to one album, not to all");
    assert_eq!(vault.live(one).await, [file]);
}

#[tokio::test]
async fn trap_36_trashed_files_can_be_downloaded_until_they_are_purged() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let file = vault.file(album, 1).await;
    vault.trash(&[(file, album)]).await.ok();
    assert_eq!(vault.download(file).await, noise(1, 1000));
    let url = vault.location(&format!("/files/preview/{file}")).await;
    assert_eq!(vault.usage().await, 1100);
    vault.post("/trash/delete", json!({ "fileIDs": [file, 999_999] })).await.ok();
    assert_eq!(vault.usage().await, 0);
    vault.get(&format!("/files/download/{file}")).await.failed(404, None);
    assert_eq!(server.http.get(url).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(walk(&server.folder().join("objects")), 0, "the bytes are gone");
    assert_eq!(vault.post("/collections/restore-files", keys(album, &[file])).await.status, 400);
    vault.trash(&[(file, album)]).await.ok();
    assert_eq!(vault.trash_diff(0).await[0]["isDeleted"], true, "purged stays purged");
    assert_eq!(
        vault.post("/files/info", json!({ "fileIDs": [file] })).await.ok()["filesInfo"][0]["fileInfo"]["fileSize"],
        -1
    );
}

#[tokio::test]
async fn emptying_the_trash_spares_what_the_client_has_not_seen() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let (seen, unseen) = (vault.file(album, 1).await, vault.file(album, 2).await);
    vault.trash(&[(seen, album)]).await.ok();
    let cursor = vault.trash_diff(0).await[0]["updatedAt"].clone();
    vault.trash(&[(unseen, album)]).await.ok();
    vault.post("/trash/empty", json!({ "lastUpdatedAt": 0 })).await.ok();
    assert!(vault.trash_diff(0).await.iter().all(|item| item["isDeleted"] == false));
    vault.post("/trash/empty", json!({ "lastUpdatedAt": cursor })).await.ok();
    let state = |items: &[Value], id: i64| {
        items.iter().find(|item| item["file"]["id"] == id).unwrap()["isDeleted"].clone()
    };
    let items = vault.trash_diff(0).await;
    assert_eq!((state(&items, seen), state(&items, unseen)), (json!(true), json!(false)));
    assert!(items[1]["updatedAt"].as_i64() > cursor.as_i64(), "a purge moves the cursor");
}

#[tokio::test]
async fn trash_is_purged_when_its_time_is_up_and_what_was_never_committed_is_reaped() {
    const DAY: i64 = 24 * 3600 * 1_000_000;
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let file = vault.file(album, 1).await;
    vault.trash(&[(file, album)]).await.ok();
    let item = vault.trash_diff(0).await.remove(0);
    let due = item["deleteBy"].as_i64().unwrap();
    assert_eq!((due - item["createdAt"].as_i64().unwrap()) / DAY, 30);
    let left = vault.stored_pair(album, b"never", b"committed").await;
    let nothing = expire(&server.shared, due - 17 * DAY).await.unwrap();
    assert_eq!((nothing.files, nothing.objects), (0, 0));
    assert_eq!(expire(&server.shared, due - 15 * DAY).await.unwrap().objects, 2, "14 days uncommitted");
    vault.post("/files", left).await.failed(503, Some("OBJECT_SIZE_FETCH_FAILED"));
    let done = expire(&server.shared, due + 1).await.unwrap();
    assert_eq!((done.files, vault.usage().await), (1, 0));
    assert_eq!(vault.trash_diff(0).await[0]["isDeleted"], true);
}

#[tokio::test]
async fn orphans_are_swept_and_what_is_named_or_young_is_not() {
    const DAY: i64 = 24 * 3600 * 1_000_000;
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let file = vault.file(vault.album().await, 1).await;
    let orphan = server.folder().join("objects/00/00000000-0000-4000-8000-000000000000.00000.00000000");
    let stranger = server.folder().join("objects/00/README");
    std::fs::write(&orphan, "x").unwrap();
    std::fs::write(&stranger, "x").unwrap();
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap();
    let sweep = |now| sweep_orphans(&server.shared, now);
    assert_eq!(sweep(now).await.unwrap().orphans, 0);
    assert_eq!(sweep(now + 2 * DAY).await.unwrap().orphans, 1);
    assert!(!orphan.exists() && stranger.exists());
    assert_eq!(vault.download(file).await, noise(1, 1000));
}

#[tokio::test]
async fn nothing_is_committed_to_an_account_that_was_deleted_meanwhile() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let (file, thumbnail) = (vault.store(b"f").await, vault.store(b"t").await);
    let body = commit_body(album, (&file, 1), (&thumbnail, 1));
    let store = &server.shared.store;
    darkslide_server::operator::remove(store, "a@example.org").await.unwrap();
    vault.post("/files", body.clone()).await.failed(401, None);
    let late = serde_json::from_value(body).unwrap();
    let error = store.commit_file(vault.person.id, &late, i64::MAX).await.unwrap_err();
    assert!(matches!(error, ChangeError::NotFound), "{error}");
    let blobs = || walk(&server.folder().join("objects"));
    assert_eq!(blobs(), 2);
    expire(&server.shared, i64::MAX / 2).await.unwrap();
    assert_eq!(blobs(), 0);
}

fn walk(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { walk(&path) } else { 1 }).sum()
}

/// A row that was altered behind the server's back names no blob: there is nothing to remove, and nothing else waits for it.
#[tokio::test]
async fn a_file_whose_row_makes_no_sense_is_purged_like_any_other() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let (harmed, other) = (vault.file(album, 1).await, vault.file(album, 2).await);
    let [original, _] = keys_of(&server.shared.store, vault.person.id, harmed).await;
    execute(&server, &format!("UPDATE objects SET blob = 'nonsense' WHERE key = '{original}'")).await;
    let [whole, _] = keys_of(&server.shared.store, vault.person.id, other).await;
    vault.trash(&[(harmed, album), (other, album)]).await.ok();
    vault.post("/trash/delete", json!({ "fileIDs": [harmed, other] })).await.ok();
    assert_eq!(server.shared.store.objects_health().await.unwrap().objects, 0);
    assert!(blobs_of(server.folder(), &whole).is_empty());
}
