//! Collections over HTTP, as stock clients use them: listed, filled, emptied, deleted, told apart.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_protocol::Opaque;
use serde_json::{Value, json};
use support::TestServer;
use support::vault::{Vault, file_keys, keys};

fn time(value: &Value) -> i64 {
    value["updationTime"].as_i64().unwrap()
}

/// The newest version in a diff.
fn newest(diff: &[Value]) -> i64 {
    diff.iter().map(time).max().unwrap_or(0)
}

#[tokio::test]
async fn trap_38_an_empty_library_is_told_so_in_full() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    for path in ["/collections/v2?sinceTime=0&source=fg", "/collections", "/collections/v2?sinceTime=x"] {
        assert_eq!(vault.get(path).await.ok(), json!({ "collections": [] }), "{path}");
    }
    let empty = json!({ "diff": [], "hasMore": false });
    assert_eq!(vault.get("/trash/v2/diff?sinceTime=0").await.ok(), empty);
    assert_eq!(vault.get("/trash/v2/diff").await.ok(), empty);
    assert_eq!(vault.get("/trash/diff").await.ok(), empty);
    assert_eq!(vault.get("/collection-actions/pending-remove").await.ok(), json!({ "actions": [] }));
    assert_eq!(vault.get("/collections/v3").await.ok(), json!({ "owned": [], "shared": [] }));
    assert_eq!(vault.get("/files/duplicates").await.ok(), json!({ "duplicates": [] }));
    vault.get("/files/upload-eligibility").await.ok();
}

#[tokio::test]
async fn trap_11_times_are_microseconds() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.create("album").await;
    let micros = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap();
    assert!((micros - time(&album)).abs() < 60_000_000, "{album}");
}

#[tokio::test]
async fn trap_12_nothing_that_phones_dereference_is_null() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let file = vault.file(album, 1).await;
    let listed = vault.collection(album).await;
    assert_eq!(listed["attributes"], json!({ "version": 0 }));
    assert_eq!(listed["owner"]["email"], "");
    assert_eq!(listed["owner"]["id"], vault.person.id.0);
    assert_eq!((&listed["sharees"], &listed["publicURLs"]), (&json!([]), &json!([])));
    assert_eq!(listed["isDeleted"], false);
    let read = vault.get(&format!("/collections/{album}")).await.ok()["collection"].clone();
    assert_eq!(read["owner"]["email"], "a@example.org");
    let entry = &vault.diff(album, 0).await[0];
    assert_eq!(entry["isDeleted"], false);
    assert_eq!(entry["collectionOwnerID"], vault.person.id.0);
    vault.trash(&[(file, album)]).await.ok();
    let item = &vault.trash_diff(0).await[0];
    for field in ["isDeleted", "isRestored", "deleteBy", "createdAt", "updatedAt", "file"] {
        assert!(!item[field].is_null(), "{field}");
    }
    assert_eq!(item["file"]["isDeleted"], false);
    assert_eq!(item["file"]["collectionID"], album);
    assert_eq!(item["file"]["encryptedKey"], "a2V5");
}

#[tokio::test]
async fn a_folder_keeps_the_device_path_that_it_came_with() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let attributes = json!({ "encryptedPath": "cGF0aA==", "pathDecryptionNonce": "cG4=", "version": 1 });
    let body = json!({
        "encryptedKey": darkslide_protocol::Opaque::encode([1; 48]),
        "keyDecryptionNonce": darkslide_protocol::Opaque::encode([2; 24]),
        "encryptedName": "bg==", "nameDecryptionNonce": "bg==", "type": "CollectionType.folder",
        "attributes": attributes, "magicMetadata": { "version": 1, "count": 1, "data": "ZA==", "header": "aA==" },
    });
    let made = vault.post("/collections", body.clone()).await.ok()["collection"].clone();
    assert_eq!(made["attributes"], attributes);
    assert_eq!(made["type"], "folder");
    assert_eq!(made["magicMetadata"]["version"], 1);
    for (field, value) in
        [("encryptedKey", json!("AAAA")), ("keyDecryptionNonce", json!("!")), ("type", json!("pile"))]
    {
        let mut bad = body.clone();
        bad[field] = value;
        assert_eq!(vault.post("/collections", bad).await.status, 400, "{field}");
    }
}

#[tokio::test]
async fn trap_15_deleted_collections_stay_listed_with_their_keys() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let file = vault.file(album, 1).await;
    let before = time(&vault.collection(album).await);
    let path = format!("/collections/v3/{album}?collectionID={album}&keepFiles=false");
    for _ in 0..2 {
        vault.delete(&path).await.ok();
    }
    let listed = vault.collections(before).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["isDeleted"], true);
    assert_eq!(listed[0]["encryptedKey"], darkslide_protocol::Opaque::encode([1; 48]).0);
    let read = vault.get(&format!("/collections/{album}")).await.ok();
    assert_eq!(read["collection"]["isDeleted"], true);
    let item = vault.trash_diff(0).await.remove(0);
    assert_eq!((&item["file"]["id"], &item["file"]["collectionID"]), (&json!(file), &json!(album)));
    vault.get(&format!("/collections/v2/diff?collectionID={album}")).await.failed(404, None);
    // What was in it can be restored to another.
    vault
        .post("/collections/restore-files", keys(album, &[file]))
        .await
        .failed(404, Some("COLLECTION_DELETED"));
    let other = vault.album().await;
    vault.post("/collections/restore-files", keys(other, &[file])).await.ok();
    assert_eq!(vault.live(other).await, [file]);
}

#[tokio::test]
async fn trap_16_and_17_pages_ascend_and_the_last_one_says_so() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    for seed in 0..5 {
        vault.file(album, seed).await;
    }
    let times: Vec<i64> = vault.diff(album, 0).await.iter().map(time).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    let last = *times.last().unwrap();
    assert!(vault.diff(album, last).await.is_empty());
    assert_eq!(vault.diff(album, times[1]).await.len(), 3);
}

#[tokio::test]
async fn trap_19_and_20_every_change_raises_the_membership_and_its_collection() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let (one, two) = (vault.album().await, vault.album().await);
    let file = vault.file(one, 1).await;
    vault.post("/collections/add-files", keys(two, &[file])).await.ok();
    let magic = |version: i64| json!({ "metadataList": [{ "id": file, "magicMetadata": { "version": version, "count": 1, "data": "ZA==", "header": "aA==" } }] });
    let update = vault.stored_pair(0, b"new", b"t").await;
    let update = json!({ "id": file, "file": update["file"], "thumbnail": update["thumbnail"], "metadata": update["metadata"] });
    let mut seen = 0;
    for (path, body) in [
        ("/files/magic-metadata", magic(0)),
        ("/files/public-magic-metadata", magic(1)),
        ("/files/update", update),
    ] {
        vault.put(path, body).await.ok();
        for album in [one, two] {
            let diff = vault.diff(album, seen).await;
            assert_eq!(diff.len(), 1, "{path}");
            let listed = time(&vault.collection(album).await);
            assert!(listed >= newest(&diff), "{path}: {listed} < {}", newest(&diff));
        }
        seen = vault.collections(0).await.iter().map(time).max().unwrap();
    }
    for restore in [false, true] {
        let answer = if restore {
            vault.post("/collections/restore-files", keys(one, &[file])).await
        } else {
            vault.trash(&[(file, one)]).await
        };
        answer.ok();
        assert_eq!(vault.diff(one, seen).await.len(), 1);
        assert!(time(&vault.collection(one).await) >= newest(&vault.diff(one, 0).await));
        seen = vault.collections(0).await.iter().map(time).max().unwrap();
    }
}

#[tokio::test]
async fn collections_magic_metadata_has_no_version_check() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    for (path, field) in [("magic-metadata", "magicMetadata"), ("public-magic-metadata", "pubMagicMetadata")]
    {
        for version in [7, 1] {
            let magic = json!({ "version": version, "count": 1, "data": "ZA==", "header": "aA==" });
            let before = time(&vault.collection(album).await);
            vault
                .put(&format!("/collections/{path}"), json!({ "id": album, "magicMetadata": magic }))
                .await
                .ok();
            let listed = vault.collection(album).await;
            assert_eq!(listed[field]["version"], version + 1);
            assert!(time(&listed) > before);
        }
        let magic = json!({ "version": 0, "count": 1, "data": "ZA==", "header": "aA==" });
        let answer =
            vault.put(&format!("/collections/{path}"), json!({ "id": album, "magicMetadata": magic })).await;
        assert_eq!(answer.status, 400);
    }
}

#[tokio::test]
async fn trap_34_own_files_are_moved_out_of_albums_and_not_removed() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let (album, rest) = (vault.album().await, vault.create("uncategorized").await["id"].as_i64().unwrap());
    let file = vault.file(album, 1).await;
    let removal = json!({ "collectionID": album, "fileIDs": [file] });
    vault.post("/collections/v3/remove-files", removal.clone()).await.failed(400, Some("BAD_REQUEST"));
    let movement = json!({ "fromCollectionID": album, "toCollectionID": rest, "files": file_keys(&[file]) });
    for _ in 0..2 {
        vault.post("/collections/move-files", movement.clone()).await.ok();
    }
    assert_eq!((vault.live(album).await.len(), vault.live(rest).await), (0, vec![file]));
    vault.post("/collections/v3/remove-files", removal).await.ok();
    let never = json!({ "collectionID": rest, "fileIDs": [999_999] });
    assert_eq!(vault.post("/collections/v3/remove-files", never).await.status, 400);
    let same = json!({ "fromCollectionID": rest, "toCollectionID": rest, "files": file_keys(&[file]) });
    assert_eq!(vault.post("/collections/move-files", same).await.status, 400);
}

#[tokio::test]
async fn trap_35_an_album_whose_files_are_to_be_kept_must_be_empty() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    vault.file(album, 1).await;
    let path = |keep: &str| format!("/collections/v3/{album}?collectionID={album}&keepFiles={keep}");
    vault.delete(&path("true")).await.failed(409, Some("COLLECTION_NOT_EMPTY"));
    vault.delete(&path("")).await.failed(400, None);
    assert_eq!(vault.live(album).await.len(), 1);
    for kind in ["favorites", "uncategorized"] {
        let id = vault.create(kind).await["id"].clone();
        assert_eq!(
            vault.delete(&format!("/collections/v3/{id}?collectionID={id}&keepFiles=true")).await.status,
            400
        );
    }
}

#[tokio::test]
async fn trap_37_favorites_and_uncategorized_exist_once() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let other = Vault::new(&server, "b@example.org").await;
    for kind in ["favorites", "uncategorized"] {
        let made = futures_util::future::join_all((0..8).map(|_| vault.create(kind))).await;
        assert!(made.iter().all(|collection| collection["id"] == made[0]["id"]));
        assert_ne!(other.create(kind).await["id"], made[0]["id"]);
    }
    assert_eq!(vault.collections(0).await.len(), 2);
}

#[tokio::test]
async fn adding_and_removing_and_adding_again_keeps_the_first_key() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let (one, two) = (vault.album().await, vault.album().await);
    let file = vault.file(one, 1).await;
    vault
        .post(
            "/collections/move-files",
            json!({ "fromCollectionID": one, "toCollectionID": two, "files": file_keys(&[file]) }),
        )
        .await
        .ok();
    let tombstone = vault.diff(one, 0).await.remove(0);
    assert_eq!((&tombstone["isDeleted"], &tombstone["encryptedKey"]), (&json!(true), &json!("a2V5")));
    vault.post("/collections/add-files", keys(one, &[file])).await.ok();
    let again = vault.diff(one, time(&tombstone)).await.remove(0);
    assert_eq!((&again["isDeleted"], &again["encryptedKey"]), (&json!(false), &json!("a2V5")));
    assert!(again["collectionAddedAt"].as_i64() > tombstone["collectionAddedAt"].as_i64());
    let seen = time(&vault.collection(one).await);
    vault.post("/collections/add-files", keys(one, &[file])).await.ok();
    assert_eq!(time(&vault.collection(one).await), seen, "what is there already changes nothing");
    let found = vault.get(&format!("/collections/file?collectionID={one}&fileID={file}")).await.ok();
    assert_eq!(found["file"]["id"], file);
    let path = format!("/collections/file?collectionID={two}&fileID=1");
    vault.get(&path).await.failed(404, Some("FILE_NOT_FOUND_IN_ALBUM"));
}

#[tokio::test]
async fn links_are_answered_though_they_are_not_offered() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    assert_eq!(
        vault.get(&format!("/collections/sharees?collectionID={album}")).await.ok(),
        json!({ "sharees": [] })
    );
    for path in ["/collections/join-link", "/collections/share-url", "/files/copy"] {
        vault.post(path, json!({})).await.failed(501, None);
    }
    vault.put("/collections/share-url", json!({})).await.failed(501, None);
    vault.delete("/collections/share-url/1").await.failed(501, None);
    server.get("/public-collection/info", "").await.failed(501, None);
    assert_eq!(vault.get("/collection-actions/delete-suggestions").await.ok(), json!({ "actions": [] }));
    vault.post("/collection-actions/reject-delete-suggestions", json!({ "fileIDs": [] })).await.ok();
}

/// Several at once come with what the feed says of them, which need not be read. The same call once more makes nothing, and is answered with
/// what is there.
#[tokio::test]
async fn collections_that_are_made_together_come_with_their_span_and_are_made_once() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    vault.album().await;
    let before = vault.get("/v1/changes").await.ok()["next"].clone();
    let numbered = |number: u8| {
        let mut request = Vault::new_collection("album");
        request["encryptedKey"] = json!(Opaque::encode([number; 48]));
        request
    };
    let request = json!({ "collections": [numbered(3), numbered(4), numbered(5)] });
    let made = vault.post("/v1/collections", request.clone()).await.ok();
    let keys = |answer: &Value| -> Vec<Value> {
        answer["collections"].as_array().unwrap().iter().map(|made| made["encryptedKey"].clone()).collect()
    };
    assert_eq!(keys(&made), [3, 4, 5].map(|number| json!(Opaque::encode([number; 48]))), "in their order");
    let last = &made["collections"][2]["updationTime"];
    assert_eq!(made["span"], json!({ "after": before, "until": last }));
    let feed = vault.get(&format!("/v1/changes?after={before}")).await.ok();
    assert_eq!((&feed["next"], feed["changes"].as_array().unwrap().len()), (last, 3), "{feed}");

    let again = vault.post("/v1/collections", request).await.ok();
    assert_eq!((&again["collections"], again.get("span")), (&made["collections"], None));
    let more = json!({ "collections": [numbered(4), numbered(6)] });
    let more = vault.post("/v1/collections", more).await.ok();
    assert_eq!(more["collections"][0], made["collections"][1]);
    assert_eq!(more.get("span"), None, "the feed is to be read: not all of it is told here");
    assert_eq!(vault.get("/v1/changes").await.ok()["changes"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn collections_are_made_all_or_none() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let before = vault.get("/v1/changes").await.ok();
    let good = Vault::new_collection("album");
    let short = json!({ "encryptedKey": "AAAA", "keyDecryptionNonce": "AAAA", "type": "album" });
    let singular = Vault::new_collection("favorites");
    for other in [short, singular, good.clone()] {
        let request = json!({ "collections": [good, other] });
        vault.post("/v1/collections", request).await.failed(400, Some("BAD_REQUEST"));
    }
    let many: Vec<Value> = (0..101).map(|_| Vault::new_collection("album")).collect();
    vault.post("/v1/collections", json!({ "collections": many })).await.failed(413, Some("TOO_LARGE"));
    assert_eq!(
        vault.post("/v1/collections", json!({ "collections": [] })).await.ok(),
        json!({ "collections": [] })
    );
    assert_eq!(vault.get("/v1/changes").await.ok(), before);
}
