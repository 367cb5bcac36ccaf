//! Collections, files and trash over HTTP, as stock clients use them; most tests bear the number of the trap that they guard against.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_server::jobs::expire::{expire, sweep_orphans};
use darkslide_server::store::change::ChangeError;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::TestServer;
use support::vault::{Vault, commit_body, file_keys, keys, noise};

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
async fn trap_01_json_is_parsed_whatever_its_content_type() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    for kind in ["text/plain;charset=UTF-8", "application/json", "application/octet-stream", ""] {
        let body = json!({ "collectionID": album, "encryptedName": "bg==", "nameDecryptionNonce": "bg==" });
        let request = server.request(Method::POST, "/collections/rename").body(body.to_string());
        let request = request.header("X-Auth-Token", &vault.person.token).header("Content-Type", kind);
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK, "{kind}");
    }
    let broken = server.request(Method::POST, "/collections").header("X-Auth-Token", &vault.person.token);
    support::Answer::of(broken.body("{")).await.failed(400, None);
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
async fn trap_21_and_22_magic_metadata_starts_at_any_version_and_grows_by_one() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let file = vault.file(album, 1).await;
    let magic = |version: i64, count: i64| json!({ "version": version, "count": count, "data": "ZA==", "header": "aA==" });
    let list = |magic: Value| json!({ "metadataList": [{ "id": file, "magicMetadata": magic }] });
    assert_eq!(vault.diff(album, 0).await[0]["pubMagicMetadata"]["version"], 1, "not raised by the commit");
    for (path, field, bodies) in [
        ("/files/magic-metadata", "magicMetadata", [(0, 1, 1), (1, 1, 2), (2, 5, 3)]),
        ("/files/public-magic-metadata", "pubMagicMetadata", [(1, 3, 2), (2, 3, 3), (3, 5, 4)]),
    ] {
        for (version, count, stored) in bodies {
            vault.put(path, list(magic(version, count))).await.ok();
            assert_eq!(vault.diff(album, 0).await[0][field]["version"], stored);
        }
        vault.put(path, list(magic(1, 5))).await.failed(409, None);
        vault.put(path, list(magic(bodies[2].2, 2))).await.failed(409, None);
        vault.put(path, list(magic(bodies[2].2, 0))).await.failed(400, Some("BAD_REQUEST"));
    }
    let before = time(&vault.collection(album).await);
    let mut silent = list(magic(3, 5));
    silent["skipVersion"] = json!(true);
    vault.put("/files/magic-metadata", silent).await.ok();
    assert_eq!(time(&vault.collection(album).await), before);
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
async fn trap_27_a_repeated_commit_is_answered_and_makes_no_second_file() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let body = vault.stored_pair(album, b"file", b"thumb").await;
    let bodies = futures_util::future::join_all((0..8).map(|_| vault.post("/files", body.clone()))).await;
    let first = bodies[0].ok();
    assert!(bodies.iter().all(|answer| answer.ok() == first));
    assert_eq!(vault.live(album).await.len(), 1);
    assert_eq!(vault.usage().await, 9);
    for (pointer, value) in [
        ("/metadata/encryptedData", json!("b3RoZXI=")),
        ("/file/size", json!(5)),
        ("/file/decryptionHeader", json!("b3RoZXI=")),
        ("/thumbnail/objectKey", json!(format!("{}/00000000-0000-4000-8000-000000000000", vault.person.id))),
        ("/collectionID", json!(vault.album().await)),
    ] {
        let mut other = body.clone();
        *other.pointer_mut(pointer).unwrap() = value;
        assert_eq!(vault.post("/files", other).await.status, 400, "{pointer}");
    }
    // A thumbnail that belongs to a file cannot be another's.
    let mut stolen = vault.stored_pair(album, b"other", b"other thumb").await;
    stolen["thumbnail"]["objectKey"] = body["thumbnail"]["objectKey"].clone();
    stolen["thumbnail"]["size"] = json!(5);
    assert_eq!(vault.post("/files", stolen).await.status, 400);
}

#[tokio::test]
async fn trap_28_a_commit_answers_the_whole_file() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let body = vault.stored_pair(album, b"file", b"thumb").await;
    let file = vault.post("/files", body.clone()).await.ok();
    for field in
        ["collectionID", "encryptedKey", "keyDecryptionNonce", "file", "thumbnail", "pubMagicMetadata"]
    {
        assert_eq!(file[field], body[field], "{field}");
    }
    assert_eq!(file["metadata"]["encryptedData"], body["metadata"]["encryptedData"]);
    assert_eq!((&file["ownerID"], &file["isDeleted"]), (&json!(vault.person.id.0), &json!(false)));
    assert_eq!(file["info"], json!({ "fileSize": 4, "thumbSize": 5 }));
    assert_eq!(file["updationTime"], vault.diff(album, 0).await[0]["updationTime"]);
}

#[tokio::test]
async fn trap_50_objects_may_arrive_in_any_order() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    for thumbnail_first in [true, false] {
        let (one, two) = (vault.store(b"1234").await, vault.store(b"4321").await);
        let (file, thumbnail) = if thumbnail_first { (two, one) } else { (one, two) };
        vault.post("/files", commit_body(album, (&file, 4), (&thumbnail, 4))).await.ok();
    }
}

#[tokio::test]
async fn commits_are_checked_in_the_order_that_clients_expect() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let other = Vault::new(&server, "b@example.org").await;
    let album = vault.album().await;
    let body = vault.stored_pair(album, b"file", b"thumb").await;
    let with = |pointer: &str, value: Value| {
        let mut changed = body.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        changed
    };
    let foreign_key = other.store(b"x").await;
    let deleted = vault.album().await;
    vault.delete(&format!("/collections/v3/{deleted}?collectionID={deleted}&keepFiles=true")).await.ok();
    for (changed, status, code) in [
        (with("/file/objectKey", json!(foreign_key)), 400, Some("BAD_REQUEST")),
        (with("/file/objectKey", body["thumbnail"]["objectKey"].clone()), 400, Some("BAD_REQUEST")),
        (with("/file/objectKey", json!("nonsense")), 400, Some("BAD_REQUEST")),
        (with("/encryptedKey", json!("")), 400, Some("BAD_REQUEST")),
        (with("/file/decryptionHeader", json!("")), 400, Some("BAD_REQUEST")),
        (with("/metadata/encryptedData", json!("")), 400, Some("BAD_REQUEST")),
        (with("/pubMagicMetadata/count", json!(0)), 400, Some("BAD_REQUEST")),
        (with("/collectionID", json!(999_999)), 404, None),
        (with("/collectionID", json!(other.album().await)), 403, None),
        (with("/collectionID", json!(deleted)), 404, Some("COLLECTION_DELETED")),
        (with("/thumbnail/size", json!(6)), 400, Some("BAD_REQUEST")),
    ] {
        vault.post("/files", changed).await.failed(status, code);
    }
    assert_eq!(vault.usage().await, 0);
    let mut unsized_body = with("/file/size", json!(0));
    unsized_body["thumbnail"].as_object_mut().unwrap().remove("size");
    vault.post("/files", unsized_body).await.ok();
}

#[tokio::test]
async fn trap_32_sizes_are_those_of_the_ciphertext() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let file = vault.file(album, 1).await;
    let info = vault.post("/files/info", json!({ "fileIDs": [file] })).await.ok();
    assert_eq!(
        info,
        json!({ "filesInfo": [{ "id": file, "fileInfo": { "fileSize": 1000, "thumbSize": 100 } }] })
    );
    assert_eq!(vault.post("/files/size", json!({ "fileIDs": [file] })).await.ok(), json!({ "size": 1000 }));
    assert_eq!(vault.post("/files/info", json!({ "fileIDs": [file, 999_999] })).await.status, 400);
    let twin = vault.file(album, 2).await;
    let duplicates = vault.get("/files/duplicates").await.ok();
    assert_eq!(duplicates, json!({ "duplicates": [{ "fileIDs": [file, twin], "size": 1000 }] }));
    let large = vault.get("/files/large-thumbnails?threshold=100").await.ok();
    assert_eq!(large, json!({ "largeThumbnailFiles": [file, twin] }));
    assert_eq!(server.get("/files/count", "").await.ok(), json!({ "count": 2 }));
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
async fn batches_are_bounded_and_name_nothing_twice() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let file = vault.file(album, 1).await;
    let many: Vec<i64> = (0..1001).collect();
    let magic = json!({ "version": 1, "count": 1, "data": "ZA==", "header": "aA==" });
    let list: Vec<Value> = many.iter().map(|id| json!({ "id": id, "magicMetadata": magic })).collect();
    for (path, body) in [
        ("/collections/add-files", keys(album, &many)),
        ("/collections/restore-files", keys(album, &many)),
        ("/collections/v3/remove-files", json!({ "collectionID": album, "fileIDs": many })),
        ("/files/info", json!({ "fileIDs": many })),
        ("/trash/delete", json!({ "fileIDs": (0..2501).collect::<Vec<i64>>() })),
        (
            "/files/trash",
            json!({ "items": many.iter().map(|id| json!({ "fileID": id, "collectionID": album })).collect::<Vec<_>>() }),
        ),
    ] {
        vault.post(path, body).await.failed(413, None);
    }
    vault.put("/files/magic-metadata", json!({ "metadataList": list })).await.failed(413, None);
    assert_eq!(vault.post("/collections/add-files", keys(album, &[file, file])).await.status, 400);
    assert_eq!(vault.trash(&[(file, album), (file, album)]).await.status, 400);
    assert_eq!(vault.post("/collections/add-files", keys(album, &[999_999])).await.status, 400);
    vault.post("/collections/add-files", keys(album, &[])).await.ok();
}

#[tokio::test]
async fn a_thousand_files_are_one_batch() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let (one, two) = (vault.album().await, vault.album().await);
    let mut files = Vec::new();
    for seed in 0..12 {
        files.push(vault.file(one, seed).await);
    }
    vault.post("/collections/add-files", keys(two, &files)).await.ok();
    let items: Vec<(i64, i64)> = files.iter().map(|file| (*file, one)).collect();
    vault.trash(&items).await.ok();
    assert_eq!(vault.trash_diff(0).await.len(), 12);
    vault.post("/collections/restore-files", keys(two, &files)).await.ok();
    let times: Vec<i64> = vault.diff(two, 0).await.iter().map(time).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "each row has a version of its own: {times:?}");
    assert!(time(&vault.collection(two).await) > *times.last().unwrap());
}

#[tokio::test]
async fn an_update_replaces_the_contents_and_keeps_the_earlier_ones() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let file = vault.file(album, 1).await;
    let old_url = vault.location(&format!("/files/download/{file}")).await;
    let pair = vault.stored_pair(0, &noise(7, 500), &noise(8, 50)).await;
    let body = json!({ "id": file, "file": pair["file"], "thumbnail": pair["thumbnail"], "metadata": pair["metadata"] });
    let first = vault.put("/files/update", body.clone()).await.ok();
    assert_eq!(first["id"], file);
    assert_eq!(vault.put("/files/update", body.clone()).await.ok(), first, "a repetition");
    assert_eq!(vault.download(file).await, noise(7, 500));
    assert_eq!(vault.usage().await, 550);
    assert_eq!(
        server.http.get(&old_url).send().await.unwrap().bytes().await.unwrap(),
        noise(1, 1000),
        "kept"
    );
    let now = first["updationTime"].as_i64().unwrap();
    let month = 30 * 24 * 3600 * 1_000_000_i64;
    assert_eq!(expire(&server.shared, now + month - 3_600_000_000).await.unwrap().objects, 0);
    assert_eq!(expire(&server.shared, now + month + 3_600_000_000).await.unwrap().objects, 2);
    assert_eq!(server.http.get(&old_url).send().await.unwrap().status(), 404);
    assert_eq!(vault.download(file).await, noise(7, 500));
    // A commit with an id is an update as well.
    let mut pair = vault.stored_pair(album, &noise(9, 400), &noise(10, 50)).await;
    pair["id"] = json!(file);
    assert_eq!(vault.post("/files", pair).await.ok()["id"], file);
    assert_eq!(vault.download(file).await, noise(9, 400));
}

#[tokio::test]
async fn a_thumbnail_may_be_replaced_by_a_smaller_one() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let file = vault.file(album, 1).await;
    let body = async |length| {
        let key = vault.store(&noise(5, length)).await;
        json!({ "fileID": file, "thumbnail": { "objectKey": key, "decryptionHeader": "aA==", "size": length } })
    };
    assert_eq!(vault.put("/files/thumbnail", body(101).await).await.status, 400);
    vault.put("/files/thumbnail", body(60).await).await.ok();
    assert_eq!(vault.usage().await, 1060);
    let url = vault.location(&format!("/files/preview/{file}")).await;
    assert_eq!(server.http.get(url).send().await.unwrap().bytes().await.unwrap(), noise(5, 60));
}

#[tokio::test]
async fn what_is_somebody_elses_is_not_there_or_forbidden() {
    let server = TestServer::start().await;
    let owner = Vault::new(&server, "a@example.org").await;
    let thief = Vault::new(&server, "b@example.org").await;
    let album = owner.album().await;
    let file = owner.file(album, 1).await;
    let own_album = thief.album().await;
    let own_file = thief.file(own_album, 2).await;
    let magic = json!({ "version": 1, "count": 1, "data": "ZA==", "header": "aA==" });
    let pair = thief.stored_pair(own_album, b"f", b"t").await;
    let update = json!({ "id": file, "file": pair["file"], "thumbnail": pair["thumbnail"], "metadata": pair["metadata"] });
    for (path, status) in [
        (format!("/collections/{album}"), 404),
        (format!("/collections/v2/diff?collectionID={album}&sinceTime=0"), 404),
        (format!("/collections/file?collectionID={album}&fileID={file}"), 404),
        (format!("/collections/sharees?collectionID={album}"), 404),
        (format!("/files/download/{file}"), 404),
        (format!("/files/preview/{file}"), 404),
    ] {
        assert_eq!(thief.get(&path).await.status, status, "{path}");
    }
    let from_to = |from, to, files: &[i64]| json!({ "fromCollectionID": from, "toCollectionID": to, "files": file_keys(files) });
    for (path, body, status) in [
        ("/files/info", json!({ "fileIDs": [file] }), 403),
        ("/files/size", json!({ "fileIDs": [file] }), 403),
        ("/collections/add-files", keys(own_album, &[file]), 403),
        ("/collections/add-files", keys(album, &[own_file]), 403),
        ("/collections/move-files", from_to(album, own_album, &[file]), 403),
        ("/collections/move-files", from_to(own_album, album, &[own_file]), 403),
        ("/collections/restore-files", keys(album, &[own_file]), 403),
        ("/collections/restore-files", keys(own_album, &[file]), 403),
        ("/collections/v3/remove-files", json!({ "collectionID": album, "fileIDs": [file] }), 403),
        ("/files/trash", json!({ "items": [{ "fileID": file, "collectionID": album }] }), 403),
        ("/files/trash", json!({ "items": [{ "fileID": own_file, "collectionID": album }] }), 403),
        (
            "/collections/rename",
            json!({ "collectionID": album, "encryptedName": "bg==", "nameDecryptionNonce": "bg==" }),
            403,
        ),
    ] {
        assert_eq!(thief.post(path, body.clone()).await.status, status, "{path} {body}");
    }
    for (path, body) in [
        ("/files/update", update),
        ("/files/magic-metadata", json!({ "metadataList": [{ "id": file, "magicMetadata": magic }] })),
        ("/collections/magic-metadata", json!({ "id": album, "magicMetadata": magic })),
        ("/files/thumbnail", json!({ "fileID": file, "thumbnail": pair["thumbnail"] })),
    ] {
        thief.put(path, body).await.failed(403, None);
    }
    thief
        .delete(&format!("/collections/v3/{album}?collectionID={album}&keepFiles=false"))
        .await
        .failed(403, None);
    owner.trash(&[(file, album)]).await.ok();
    thief.post("/trash/delete", json!({ "fileIDs": [file] })).await.ok();
    thief.post("/trash/empty", json!({ "lastUpdatedAt": i64::MAX })).await.ok();
    assert!(thief.trash_diff(0).await.is_empty());
    assert_eq!(owner.trash_diff(0).await[0]["isDeleted"], false, "untouched");
    assert_eq!(owner.download(file).await, noise(1, 1000));
    for path in
        ["/collections/v2", "/trash/v2/diff", "/files/upload-eligibility", "/files/upload-urls?count=1"]
    {
        assert_eq!(server.get(path, "").await.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(server.get(path, "bm90aGluZw==").await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
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

#[tokio::test]
async fn sharing_is_answered_though_it_is_not_offered() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    assert_eq!(
        vault.get(&format!("/collections/sharees?collectionID={album}")).await.ok(),
        json!({ "sharees": [] })
    );
    for path in [
        "/collections/share",
        "/collections/unshare",
        "/collections/leave/1",
        "/collections/share-url",
        "/files/copy",
    ] {
        vault.post(path, json!({})).await.failed(501, None);
    }
    vault.put("/collections/share-url", json!({})).await.failed(501, None);
    vault.delete("/collections/share-url/1").await.failed(501, None);
    server.get("/public-collection/info", "").await.failed(501, None);
    assert_eq!(vault.get("/collection-actions/delete-suggestions").await.ok(), json!({ "actions": [] }));
    vault.post("/collection-actions/reject-delete-suggestions", json!({ "fileIDs": [] })).await.ok();
}
