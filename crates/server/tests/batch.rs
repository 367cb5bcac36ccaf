//! `POST /v1/batch`: objects and commits in one request, replays, content tags, what is refused, and what purging leaves.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_protocol::FileId;
use darkslide_protocol::batch::{FrameKind, object_head, object_key, record_head};
use darkslide_protocol::limits::DAY_MICROS;
use darkslide_server::jobs::expire;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row as _;
use support::batch::{Batch, Picture, send};
use support::damage::{execute, keys_of};
use support::tus::{database, now};
use support::vault::{Vault, file_keys, noise};
use support::{Answer, TestServer};
use uuid::Uuid;

async fn download(vault: &Vault<'_>, file: i64) -> Vec<u8> {
    let redirect = vault.get(&format!("/files/download/{file}")).await;
    vault.server.http.get(redirect.header("location")).send().await.unwrap().bytes().await.unwrap().to_vec()
}

fn outcomes(answer: &Value) -> Vec<&str> {
    answer["commits"].as_array().unwrap().iter().map(|one| one["outcome"].as_str().unwrap()).collect()
}

fn blobs(server: &TestServer) -> usize {
    let shards = std::fs::read_dir(server.folder().join("objects")).unwrap();
    shards.map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
}

#[tokio::test]
async fn many_pictures_go_in_with_one_request_and_one_file_on_disk() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "anna@example.org").await;
    let (album, other) = (vault.album().await, vault.album().await);
    let pictures: Vec<Picture> =
        (0..40).map(|seed| Picture::new(if seed % 3 == 0 { other } else { album }, seed)).collect();
    let batch = pictures.iter().fold(Batch::default(), |batch, picture| batch.picture(&vault, picture));
    let answer = send(&vault, batch).await.ok();
    assert_eq!(outcomes(&answer), vec!["created"; 40]);
    assert_eq!(blobs(&server), 1);
    let mut seen = Vec::new();
    for collection in [album, other] {
        let diff =
            vault.get(&format!("/collections/v2/diff?collectionID={collection}&sinceTime=0")).await.ok();
        seen.extend(
            diff["diff"].as_array().unwrap().iter().map(|file| file["updationTime"].as_i64().unwrap()),
        );
    }
    let mut said: Vec<i64> = answer["commits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["updationTime"].as_i64().unwrap())
        .collect();
    assert!(said.is_sorted(), "versions are in the order of the commits");
    let span = ["after", "until"].map(|end| answer["span"][end].as_i64().unwrap());
    let feed = vault.get(&format!("/v1/changes?after={}&limit=1000", span[0])).await.ok();
    assert_eq!(feed["next"], json!(span[1]));
    assert_eq!(feed["changes"].as_array().unwrap().len(), 42, "the files, and their albums");
    seen.sort_unstable();
    said.sort_unstable();
    assert_eq!(seen, said);
    for (picture, committed) in pictures.iter().zip(answer["commits"].as_array().unwrap()) {
        assert_eq!(download(&vault, committed["id"].as_i64().unwrap()).await, picture.bytes);
    }
    let details = vault.get("/users/details/v2").await.ok();
    assert_eq!(details["usage"], json!(40 * 5004));
}

#[tokio::test]
async fn a_batch_whose_answer_was_lost_is_answered_as_the_first_time() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "anna@example.org").await;
    let album = vault.album().await;
    let pictures = [Picture::new(album, 1), Picture::new(album, 2).tagged(2)];
    let batch = pictures.iter().fold(Batch::default(), |batch, picture| batch.picture(&vault, picture));
    let first = send(&vault, batch.clone()).await.ok();
    let second = send(&vault, batch.clone()).await.ok();
    assert_eq!(first["commits"], second["commits"]);
    assert!(first["span"].is_object() && second.get("span").is_none(), "what was there before is not new");
    assert_eq!(blobs(&server), 1, "the second copy of the bytes is gone");
    // And a batch that has something new beside what was there.
    let third = send(&vault, batch.picture(&vault, &Picture::new(album, 3))).await.ok();
    assert_eq!(third["commits"][0], first["commits"][0]);
    assert_eq!(outcomes(&third), ["created"; 3]);
    let details = vault.get("/users/details/v2").await.ok();
    assert_eq!(details["usage"], json!(3 * 5004));
}

#[tokio::test]
async fn a_commit_with_an_id_is_no_new_file() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "anna@example.org").await;
    let album = vault.album().await;
    let file = vault.file(album, 1).await;
    let picture = Picture::new(album, 2);
    let mut commit = picture.commit(&vault);
    commit["id"] = json!(file);
    let objects = Batch::default().object(picture.file, &picture.bytes).object(picture.thumbnail, b"tiny");
    let answer = send(&vault, objects.record(FrameKind::Commit, &commit)).await.ok();
    assert_eq!(answer["commits"][0]["problem"]["code"], "BAD_REQUEST");
    assert!(answer.to_string().contains("PUT /files/update"), "{answer}");
    assert_eq!(vault.diff(album, 0).await.len(), 1);
    assert_eq!(download(&vault, file).await, noise(1, 1000));
    // 0 is none, as in the base API.
    commit["id"] = json!(0);
    let answer = send(&vault, Batch::default().record(FrameKind::Commit, &commit)).await.ok();
    assert_eq!(outcomes(&answer), ["created"]);
}

#[tokio::test]
async fn objects_that_were_given_up_are_new_when_they_come_again() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "anna@example.org").await;
    let (album, gone) = (vault.album().await, vault.album().await);
    assert!(vault.delete(&format!("/collections/v3/{gone}?keepFiles=true")).await.status.is_success());
    let store = &server.shared.store;
    // The album was deleted meanwhile, so there is no file; and then the objects' time is up.
    let first = Picture::new(gone, 1);
    assert_eq!(outcomes(&send(&vault, Batch::default().picture(&vault, &first)).await.ok()), ["refused"]);
    assert_eq!(store.give_up_overdue(i64::MAX).await.unwrap(), 2);
    // The reaper has looked, and is about to remove.
    let due = store.due_garbage(i64::MAX).await.unwrap();
    assert_eq!((due.keys.len(), due.blobs.len()), (2, 1));
    let again = Picture { album, ..first };
    let batch = Batch::default().picture(&vault, &again);
    let answer = send(&vault, batch.clone()).await.ok();
    assert_eq!(outcomes(&answer), ["created"]);
    server.shared.objects.remove(due.blobs.clone()).await.unwrap();
    store.forget_garbage(&due).await.unwrap();
    assert_eq!(expire::remove_garbage(&server.shared, i64::MAX / 2).await.unwrap(), 0);
    let file = answer["commits"][0]["id"].as_i64().unwrap();
    assert_eq!(download(&vault, file).await, again.bytes);
    assert_eq!(blobs(&server), 1);
    assert_eq!(send(&vault, batch.clone()).await.ok()["commits"], answer["commits"]);
    // What was a file's and was purged does not come back that way.
    vault.trash(&[(file, album)]).await.ok();
    store.purge_files(vault.person.id, &[FileId(file)]).await.unwrap();
    assert_eq!(outcomes(&send(&vault, batch.clone()).await.ok()), ["refused"]);
    assert_eq!(blobs(&server), 1, "the old bytes, until they are reaped");
}

#[tokio::test]
async fn other_bytes_do_not_take_the_place_of_given_up_ones() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "anna@example.org").await;
    let album = vault.album().await;
    let first = Picture::new(album, 1);
    let objects = |picture: &Picture| {
        Batch::default().object(picture.file, &picture.bytes).object(picture.thumbnail, b"tiny")
    };
    send(&vault, objects(&first)).await.ok();
    server.shared.store.give_up_overdue(i64::MAX).await.unwrap();
    let other = Picture { bytes: noise(2, 5000), ..first };
    let answer = send(&vault, Batch::default().picture(&vault, &other)).await.ok();
    assert_eq!(answer["commits"][0]["problem"]["code"], "OBJECT_SIZE_FETCH_FAILED");
    // Once they are removed, the place is free.
    expire::remove_garbage(&server.shared, i64::MAX).await.unwrap();
    let answer = send(&vault, Batch::default().picture(&vault, &other)).await.ok();
    assert_eq!(outcomes(&answer), ["created"]);
    assert_eq!(download(&vault, answer["commits"][0]["id"].as_i64().unwrap()).await, other.bytes);
}

#[tokio::test]
async fn one_refused_commit_does_not_touch_the_others() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "anna@example.org").await;
    let stranger = Vault::new(&server, "bert@example.org").await;
    let (album, theirs) = (vault.album().await, stranger.album().await);
    let mut wrong_size = Picture::new(album, 3).commit(&vault);
    wrong_size["file"]["size"] = json!(7);
    let absent = Picture::new(album, 4);
    let good = Picture::new(album, 5);
    let mut foreign = Picture::new(album, 6).commit(&vault);
    foreign["file"]["objectKey"] = json!(object_key(stranger.person.id, Uuid::new_v4().as_bytes()).0);
    let batch = Batch::default()
        .picture(&vault, &Picture::new(album, 1))
        .picture(&vault, &Picture::new(theirs, 2))
        .record(FrameKind::Commit, &wrong_size)
        .record(FrameKind::Commit, &absent.commit(&vault))
        .record(FrameKind::Commit, &foreign)
        .picture(&vault, &Picture::new(999_999, 7))
        .picture(&vault, &good)
        .record(FrameKind::Commit, &good.commit(&vault));
    let answer = send(&vault, batch).await.ok();
    let said: Vec<String> = answer["commits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{} {}", one["outcome"].as_str().unwrap(), one["problem"]["status"]))
        .collect();
    let expected = [
        "created null",
        "refused 403",
        "refused 503",
        "refused 503",
        "refused 400",
        "refused 404",
        "created null",
        "refused 400",
    ];
    assert_eq!(said, expected);
}

#[tokio::test]
async fn what_is_no_batch_is_refused_whole_and_leaves_nothing() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "anna@example.org").await;
    let album = vault.album().await;
    let good = Batch::default().picture(&vault, &Picture::new(album, 1));
    let twice = Uuid::new_v4();
    let with = |tail: &[u8]| Batch([good.0.as_slice(), tail].concat());
    for (batch, status) in [
        (with(&[9]), 400),
        (with(&[1, 2, 3]), 400),
        (with(&object_head(&[1; 16], 10)), 400),
        (with(&record_head(FrameKind::Commit, 2_000_000)), 413),
        (good.clone().record(FrameKind::Commit, &json!([])), 400),
        (good.clone().object(twice, b"a").object(twice, b"b"), 400),
        (Batch(vec![0; 65 * 1024 * 1024]), 413),
    ] {
        let answer = send(&vault, batch).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        assert_eq!(answer.json()["status"], json!(status));
    }
    let request = server.request(Method::POST, "/v1/batch").header("X-Auth-Token", &vault.person.token);
    assert_eq!(Answer::of(request.body(good.0)).await.status.as_u16(), 415);
    assert_eq!(send(&vault, Batch::default()).await.ok(), json!({ "commits": [], "thumbnails": [] }));
    assert_eq!(blobs(&server), 0);
    let diff = vault.get(&format!("/collections/v2/diff?collectionID={album}&sinceTime=0")).await.ok();
    assert_eq!(diff["diff"], json!([]));
}

#[tokio::test]
async fn two_devices_that_race_with_one_picture_end_with_one_file() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "anna@example.org").await;
    for round in 0..20 {
        let (album, other) = (vault.album().await, vault.album().await);
        let pictures = [album, other].map(|album| Picture::new(album, 1).tagged(round));
        let [one, two] = pictures.each_ref().map(|picture| Batch::default().picture(&vault, picture));
        let (one, two) = tokio::join!(send(&vault, one), send(&vault, two));
        let (one, two) = (one.ok(), two.ok());
        let mut both = [outcomes(&one), outcomes(&two)].concat();
        both.sort_unstable();
        assert_eq!(both, ["created", "existing"]);
        let [made, found] = if outcomes(&one) == ["created"] { [one, two] } else { [two, one] };
        assert_eq!(made["commits"][0]["id"], found["commits"][0]["file"]["id"]);
        // The file is where the commit that made it said, as the answer to the other one shows it; in the other album is nothing.
        let (full, empty) = (vault.diff(album, 0).await, vault.diff(other, 0).await);
        let (full, empty) = if full.is_empty() { (empty, full) } else { (full, empty) };
        assert_eq!((full.len(), empty.len()), (1, 0));
        let shown = &found["commits"][0]["file"];
        assert_eq!((&full[0]["id"], full[0]["isDeleted"] == true), (&shown["id"], false));
        assert_eq!(full[0]["collectionID"], shown["collectionID"]);
        assert_eq!(full[0]["updationTime"], made["commits"][0]["updationTime"]);
    }
    let live = vault.get("/v1/changes?after=0&limit=5000").await.ok();
    let memberships = live["changes"].as_array().unwrap().iter().filter(|one| one["kind"] == "membership");
    assert_eq!(memberships.count(), 20, "one membership a round, and no tombstone of a second");
    assert_eq!(vault.get("/users/details/v2").await.ok()["usage"], json!(20 * 5004));
}

#[tokio::test]
async fn a_tag_is_free_again_when_its_file_is_trashed_and_holds_within_a_batch_and_for_the_base_call() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "anna@example.org").await;
    let album = vault.album().await;
    let first = Picture::new(album, 1).tagged(7);
    let same = Picture::new(album, 2).tagged(7);
    let answer = send(&vault, Batch::default().picture(&vault, &first).picture(&vault, &same)).await.ok();
    assert_eq!(outcomes(&answer), ["created", "existing"]);
    let id = answer["commits"][0]["id"].as_i64().unwrap();
    let mut base = vault.stored_pair(album, &noise(3, 100), b"thumb").await;
    base["contentTag"] = json!(first.tag);
    let existing = vault.post("/files", base).await.ok();
    assert_eq!(existing["id"], json!(id));
    vault.post("/files/trash", json!({ "items": [{ "fileID": id, "collectionID": album }] })).await.ok();
    let again = send(&vault, Batch::default().picture(&vault, &Picture::new(album, 4).tagged(7))).await.ok();
    assert_eq!(outcomes(&again), ["created"]);
    // Another account's tags are its own.
    let stranger = Vault::new(&server, "bert@example.org").await;
    let theirs = Picture::new(stranger.album().await, 5).tagged(7);
    assert_eq!(
        outcomes(&send(&stranger, Batch::default().picture(&stranger, &theirs)).await.ok()),
        ["created"]
    );
}

/// What is stored already and named by several commits belongs to the one that became a file.
#[tokio::test]
async fn a_commit_that_makes_nothing_takes_no_object_from_one_that_does() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "anna@example.org").await;
    let album = vault.album().await;
    let bytes = noise(1, 5000);
    let mut body = vault.stored_pair(album, &bytes, b"tiny").await;
    body["contentTag"] = json!(Picture::new(album, 1).tagged(7).tag);
    let twice = Batch::default().record(FrameKind::Commit, &body).record(FrameKind::Commit, &body);
    let answer = send(&vault, twice.clone()).await.ok();
    assert_eq!(outcomes(&answer), ["created", "existing"]);
    let id = answer["commits"][0]["id"].as_i64().unwrap();
    // One that has the tag of a file, and names another one's thumbnail.
    let other = Picture::new(album, 2).tagged(7);
    let mut borrowed = other.commit(&vault);
    borrowed["thumbnail"] = body["thumbnail"].clone();
    let batch = Batch::default().object(other.file, &other.bytes).record(FrameKind::Commit, &borrowed);
    assert_eq!(outcomes(&send(&vault, batch).await.ok()), ["existing"]);
    assert_eq!(
        outcomes(&send(&vault, twice).await.ok()),
        ["created", "created"],
        "it is answered as the first time"
    );
    expire::remove_garbage(&server.shared, i64::MAX / 2).await.unwrap();
    assert_eq!(download(&vault, id).await, bytes);
    let receipt = vault.post("/v1/receipts", json!({ "fileIDs": [id] })).await.ok();
    assert_eq!(receipt["receipts"][0]["verdict"], json!("verified"), "{receipt}");
}

#[tokio::test]
async fn a_batch_replaces_thumbnails() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "anna@example.org").await;
    let album = vault.album().await;
    let made = send(&vault, Batch::default().picture(&vault, &Picture::new(album, 1))).await.ok();
    let id = made["commits"][0]["id"].as_i64().unwrap();
    let thumbnail = Uuid::new_v4();
    let key = object_key(vault.person.id, thumbnail.as_bytes()).0;
    let request = |file: i64| {
        let reference = json!({ "objectKey": key, "decryptionHeader": "aGVhZA==", "size": 300 });
        json!({ "fileID": file, "thumbnail": reference })
    };
    let batch = Batch::default()
        .object(thumbnail, &noise(9, 300))
        .record(FrameKind::Thumbnail, &request(id))
        .record(FrameKind::Thumbnail, &request(999_999));
    let answer = send(&vault, batch.clone()).await.ok();
    let expected = |answer: &Value| {
        assert_eq!(answer["thumbnails"][0]["outcome"], json!("replaced"));
        assert_eq!(answer["thumbnails"][1]["problem"]["status"], json!(404));
    };
    expected(&answer);
    expected(&send(&vault, batch).await.ok());
    let diff = vault.get(&format!("/collections/v2/diff?collectionID={album}&sinceTime=0")).await.ok();
    assert_eq!(answer["thumbnails"][0]["updationTime"], diff["diff"][0]["updationTime"]);
    assert_eq!(answer["thumbnails"][0]["collectionID"], json!(album));
    assert_eq!(answer["span"]["after"], made["span"]["until"]);
    assert_eq!(diff["diff"][0]["info"]["thumbSize"], json!(300));
    let redirect = vault.get(&format!("/files/preview/{id}")).await;
    let bytes = server.http.get(redirect.header("location")).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(bytes, noise(9, 300));
}

/// They are written together, and each is answered as if it had come alone, behind those before it.
#[tokio::test]
async fn thumbnails_of_one_batch_do_not_touch_one_another() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "anna@example.org").await;
    let stranger = Vault::new(&server, "bernd@example.org").await;
    let theirs = stranger.file(stranger.album().await, 7).await;
    let (album, second) = (vault.album().await, vault.album().await);
    let pictures: Vec<Picture> = (1..5).map(|seed| Picture::new(album, seed)).collect();
    let batch = pictures.iter().fold(Batch::default(), |batch, picture| batch.picture(&vault, picture));
    let made = send(&vault, batch).await.ok();
    let file = |index: usize| made["commits"][index]["id"].as_i64().unwrap();
    let added = json!({ "collectionID": second, "files": file_keys(&[file(1)]) });
    vault.post("/collections/add-files", added).await.ok();
    vault.trash(&[(file(2), album)]).await.ok();
    let usage = vault.usage().await;

    let drawn: Vec<Uuid> = (0..6).map(|_| Uuid::new_v4()).collect();
    let length = |number: usize| 100 + number;
    let request = |file: i64, number: usize| {
        let key = object_key(vault.person.id, drawn.get(number).unwrap().as_bytes()).0;
        let reference = json!({ "objectKey": key, "decryptionHeader": "aGVhZA==", "size": length(number) });
        json!({ "fileID": file, "thumbnail": reference })
    };
    // The last one never came.
    let objects = drawn.iter().take(5).zip(0..).fold(Batch::default(), |batch, (id, number)| {
        batch.object(*id, &noise(number, length(usize::try_from(number).unwrap())))
    });
    let wanted = [
        (request(file(0), 0), "replaced"),
        (request(file(1), 1), "replaced"),
        (request(theirs, 2), "403"),
        (request(file(2), 2), "replaced"),
        (request(file(3), 5), "503"),
        // Of a file again, and of one with the object of another.
        (request(file(0), 3), "replaced"),
        (request(file(3), 3), "400"),
        (request(file(3), 4), "replaced"),
    ];
    let batch =
        wanted.iter().fold(objects, |batch, (request, _)| batch.record(FrameKind::Thumbnail, request));
    let answer = send(&vault, batch).await.ok();
    for ((request, expected), told) in wanted.iter().zip(answer["thumbnails"].as_array().unwrap()) {
        let is = told["problem"]["status"]
            .as_i64()
            .map_or_else(|| told["outcome"].as_str().unwrap().to_owned(), |status| status.to_string());
        assert_eq!(&is, expected, "{request}: {told}");
    }
    let versions = |index: usize| answer["thumbnails"][index]["updationTime"].as_i64();
    let diff = vault.diff(album, 0).await;
    let version = |file: i64| diff.iter().find(|one| one["id"] == file).unwrap()["updationTime"].as_i64();
    assert!(versions(0) < versions(5), "the second one of a file comes behind the first");
    assert_eq!((versions(5), versions(7)), (version(file(0)), version(file(3))));
    assert_eq!((versions(1), versions(3)), (None, None), "in two albums, and in none");
    assert_eq!(answer.get("span"), None, "which the feed has to tell");
    for (index, number) in [(0, 3), (1, 1), (2, 2), (3, 4)] {
        let location = vault.location(&format!("/files/preview/{}", file(index))).await;
        let bytes = server.http.get(location).send().await.unwrap().bytes().await.unwrap();
        assert_eq!(bytes, noise(number as u64, length(number)));
    }
    let more: usize = [3, 1, 2, 4].map(|number| length(number) - 4).iter().sum();
    assert_eq!(vault.usage().await, usage + i64::try_from(more).unwrap());
}

/// A client that sends a placeholder first has its answer lost, and another device has drawn the picture meanwhile.
#[tokio::test]
async fn a_commit_is_answered_as_the_first_time_after_its_thumbnail_was_replaced() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "anna@example.org").await;
    let album = vault.album().await;
    let (picture, other) = (Picture::new(album, 1), Picture::new(album, 2));
    let batch = Batch::default().picture(&vault, &picture);
    let first = send(&vault, batch.clone()).await.ok();
    send(&vault, Batch::default().picture(&vault, &other)).await.ok();
    let id = first["commits"][0]["id"].as_i64().unwrap();
    let preview = async || {
        let redirect = vault.get(&format!("/files/preview/{id}")).await;
        server.http.get(redirect.header("location")).send().await.unwrap().bytes().await.unwrap()
    };
    let usage = async || vault.get("/users/details/v2").await.ok()["usage"].clone();
    for (in_a_batch, length) in [(false, 300), (true, 400)] {
        let (thumbnail, drawn) = (Uuid::new_v4(), noise(9, length));
        let key = object_key(vault.person.id, thumbnail.as_bytes()).0;
        let key = if in_a_batch { key } else { vault.store(&drawn).await };
        let request = json!({
            "fileID": id, "thumbnail": { "objectKey": key, "decryptionHeader": "aGVhZA==", "size": length },
        });
        if in_a_batch {
            let batch = Batch::default().object(thumbnail, &drawn).record(FrameKind::Thumbnail, &request);
            assert_eq!(send(&vault, batch).await.ok()["thumbnails"][0]["outcome"], json!("replaced"));
        } else {
            vault.put("/files/thumbnail", request).await.ok();
        }
        // While the placeholder is kept for a day, and when it has gone.
        for is_gone in [false, true] {
            if is_gone {
                expire::remove_garbage(&server.shared, i64::MAX / 2).await.unwrap();
            }
            let again = send(&vault, batch.clone()).await.ok();
            assert_eq!(
                (outcomes(&again), &again["commits"][0]["id"]),
                (vec!["created"], &json!(id)),
                "{again}"
            );
            assert!(again.get("span").is_none(), "it changes nothing");
        }
        assert_eq!((preview().await, usage().await), (drawn.into(), json!(5000 + length + 5004)));
    }
    expire::remove_garbage(&server.shared, i64::MAX / 2).await.unwrap();
    assert_eq!(server.shared.store.uncommitted().await.unwrap().objects, 0, "what came again is not kept");
    // Another file's thumbnail never was this one's.
    let mut borrowed = picture.commit(&vault);
    borrowed["thumbnail"] = other.commit(&vault)["thumbnail"].clone();
    let batch = Batch::default().record(FrameKind::Commit, &borrowed);
    assert_eq!(outcomes(&send(&vault, batch).await.ok()), ["refused"]);
}

#[tokio::test]
async fn a_pack_goes_when_nothing_in_it_is_needed_and_not_before() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "anna@example.org").await;
    let album = vault.album().await;
    let pictures = [Picture::new(album, 1), Picture::new(album, 2), Picture::new(album, 3)];
    let batch = pictures.iter().fold(Batch::default(), |batch, picture| batch.picture(&vault, picture));
    let answer = send(&vault, batch).await.ok();
    let ids: Vec<i64> =
        answer["commits"].as_array().unwrap().iter().map(|one| one["id"].as_i64().unwrap()).collect();
    let purge = async |id: i64| {
        vault.post("/files/trash", json!({ "items": [{ "fileID": id, "collectionID": album }] })).await.ok();
        vault.post("/trash/delete", json!({ "fileIDs": [id] })).await.ok();
    };
    let on_disk = || support::vault::bytes_below(&server.folder().join("objects"));
    assert_eq!(on_disk(), 3 * 5004);
    purge(ids[0]).await;
    assert_eq!(download(&vault, ids[1]).await, pictures[1].bytes);
    purge(ids[1]).await;
    // More than half of the pack was waste: what is left has moved together.
    assert_eq!(on_disk(), 5004);
    assert_eq!(download(&vault, ids[2]).await, pictures[2].bytes);
    purge(ids[2]).await;
    assert_eq!((on_disk(), blobs(&server)), (0, 0));
    let swept = expire::sweep_orphans(&server.shared, i64::MAX / 2).await.unwrap();
    assert_eq!(swept.orphans, 0);
}

/// It was looked at once, when its pictures were purged: what was purged stayed for ever where the disk was full then, or the server killed.
#[tokio::test]
async fn a_pack_that_could_not_be_compacted_is_looked_at_again() {
    let server = TestServer::start().await;
    let (vault, store) = (Vault::new(&server, "anna@example.org").await, &server.shared.store);
    let album = vault.album().await;
    let on_disk = || support::vault::bytes_below(&server.folder().join("objects"));
    let trashed = async |seed: u64| {
        let pictures = [0, 1, 2].map(|number| Picture::new(album, seed + number));
        let batch = pictures.iter().fold(Batch::default(), |batch, picture| batch.picture(&vault, picture));
        let answer = send(&vault, batch).await.ok();
        let ids: Vec<_> =
            answer["commits"].as_array().unwrap()[..2].iter().map(|one| one["id"].clone()).collect();
        let items: Vec<_> = ids.iter().map(|id| json!({ "fileID": id, "collectionID": album })).collect();
        vault.post("/files/trash", json!({ "items": items })).await.ok();
        ids
    };
    let now = now();
    // The new pack cannot be written.
    let (incoming, elsewhere) = (server.folder().join("incoming"), server.folder().join("elsewhere"));
    let ids = trashed(10).await;
    std::fs::rename(&incoming, &elsewhere).unwrap();
    vault.post("/trash/delete", json!({ "fileIDs": ids })).await.ok();
    std::fs::rename(&elsewhere, &incoming).unwrap();
    assert_eq!(on_disk(), 3 * 5004);
    expire::expire(&server.shared, now).await.unwrap();
    assert_eq!(on_disk(), 3 * 5004, "not before an hour has gone");
    expire::expire(&server.shared, now + DAY_MICROS / 23).await.unwrap();
    assert_eq!(on_disk(), 5004);
    // The server is killed when it has forgotten what was purged.
    let ids: Vec<_> = trashed(20).await.iter().map(|id| FileId(id.as_i64().unwrap())).collect();
    store.purge_files(vault.person.id, &ids).await.unwrap();
    store.forget_garbage(&store.due_garbage(now + DAY_MICROS).await.unwrap()).await.unwrap();
    expire::expire(&server.shared, now).await.unwrap();
    assert_eq!(on_disk(), 2 * 5004);
    assert_eq!(store.packs_to_compact(i64::MAX, 10).await.unwrap(), []);
}

/// One such pack ended the round: those after it were left as they were, and were not looked at again.
#[tokio::test]
async fn a_pack_that_cannot_be_compacted_stays_and_stops_nothing() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "anna@example.org").await;
    let album = vault.album().await;
    let mut packs = Vec::new();
    for seed in [10, 20, 30, 40] {
        let pictures =
            [Picture::new(album, seed), Picture::new(album, seed + 1), Picture::new(album, seed + 2)];
        let batch = pictures.iter().fold(Batch::default(), |batch, picture| batch.picture(&vault, picture));
        let answer = send(&vault, batch).await.ok();
        let ids: Vec<_> = answer["commits"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
        packs.push((ids, pictures));
    }
    let last =
        async |ids: &[Value]| keys_of(&server.shared.store, vault.person.id, ids[2].as_i64().unwrap()).await;
    let blob_of = async |ids: &[Value]| {
        let [original, _] = last(ids).await;
        let query = sqlx::query("SELECT blob FROM objects WHERE key = $1").bind(original.0);
        query.fetch_one(&database(&server).await).await.unwrap().get::<String, _>(0)
    };
    // The one that is whole comes after the others.
    let mut named = Vec::new();
    for pack in packs {
        named.push((blob_of(&pack.0).await, pack));
    }
    named.sort_by(|one, other| one.0.cmp(&other.0));
    let packs: Vec<_> = named.into_iter().map(|(_, pack)| pack).collect();
    for (pack, nonsense) in packs.iter().zip(["length = -1", "blob_offset = -1", "blob_offset = 1000000"]) {
        let [original, _] = last(&pack.0).await;
        execute(&server, &format!("UPDATE objects SET {nonsense} WHERE key = '{original}'")).await;
    }
    let purged: Vec<_> = packs.iter().flat_map(|(ids, _)| ids[..2].to_vec()).collect();
    let items: Vec<_> = purged.iter().map(|id| json!({ "fileID": id, "collectionID": album })).collect();
    vault.post("/files/trash", json!({ "items": items })).await.ok();
    vault.post("/trash/delete", json!({ "fileIDs": purged })).await.ok();
    // The three stay, but for a thumbnail each that has moved away, and the fourth has moved together.
    assert_eq!(support::vault::bytes_below(&server.folder().join("objects")), 3 * (3 * 5004 + 4) + 5004);
    let whole = &packs[3];
    assert_eq!(download(&vault, whole.0[2].as_i64().unwrap()).await, whole.1[2].bytes);
    assert_eq!(
        server.shared.store.due_garbage(i64::MAX / 2).await.unwrap().keys,
        [],
        "all that was due is gone"
    );
}
