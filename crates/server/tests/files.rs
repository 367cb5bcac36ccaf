//! Files over HTTP, as stock clients use them: committed, edited, asked about, and kept from others.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_server::jobs::expire::expire;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::TestServer;
use support::vault::{Vault, commit_body, file_keys, keys, noise};

fn time(value: &Value) -> i64 {
    value["updationTime"].as_i64().unwrap()
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
async fn a_thumbnail_may_be_replaced() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let file = vault.file(album, 1).await;
    let body = async |length| {
        let key = vault.store(&noise(5, length)).await;
        json!({ "fileID": file, "thumbnail": { "objectKey": key, "decryptionHeader": "aA==", "size": length } })
    };
    vault.put("/files/thumbnail", body(101).await).await.ok();
    assert_eq!(vault.usage().await, 1101);
    vault.put("/files/thumbnail", body(60).await).await.ok();
    assert_eq!(vault.usage().await, 1060);
    let url = vault.location(&format!("/files/preview/{file}")).await;
    assert_eq!(server.http.get(url).send().await.unwrap().bytes().await.unwrap(), noise(5, 60));
    // Of what the file is, and of something else.
    let diff = vault.diff(album, 0).await;
    let mut of = body(70).await;
    of["ifOriginal"] = json!("b3RoZXI=");
    vault.put("/files/thumbnail", of.clone()).await.failed(409, None);
    of["ifOriginal"] = diff[0]["file"]["decryptionHeader"].clone();
    vault.put("/files/thumbnail", of).await.ok();
    assert_eq!(vault.usage().await, 1070);
}

#[tokio::test]
async fn a_commit_repeated_after_its_thumbnail_was_replaced_is_answered_with_the_file_as_it_is() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let commit = vault.stored_pair(album, b"file", b"thumb").await;
    let file = vault.post("/files", commit.clone()).await.ok()["id"].clone();
    let key = vault.store(&noise(5, 60)).await;
    let drawn = json!({ "objectKey": key, "decryptionHeader": "aA==", "size": 60 });
    vault.put("/files/thumbnail", json!({ "fileID": file, "thumbnail": drawn })).await.ok();
    let again = vault.post("/files", commit).await.ok();
    assert_eq!((&again["id"], &again["thumbnail"]["decryptionHeader"]), (&file, &json!("aA==")));
    assert_eq!(again["info"]["thumbSize"], json!(60));
    assert_eq!(vault.live(album).await.len(), 1);
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
