//! Traps of uploads and commits.

use crate::scene::{album, another, new_phone, new_web, on_each_engine, on_sqlite, small_picture, upload};
use darkslide_e2e::engine::Engine;
use darkslide_e2e::fields::Fields;
use darkslide_e2e::http::Outgoing;
use darkslide_e2e::process::ServerProcess;
use darkslide_e2e::stock::mobile::{self, ANDROID};
use darkslide_e2e::stock::web;
use darkslide_e2e::vault::{Picture, seal_picture};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn trap_01_bodies_are_read_whatever_they_are_called() {
    on_each_engine(async |server: &mut ServerProcess| {
        let device = new_web(server).await;
        for kind in [None, Some("text/plain;charset=UTF-8"), Some("application/json"), Some("a/b")] {
            let body = device.collection_body("Album", darkslide_e2e::stock::CollectionKind::Album);
            let mut request = device.http.api_request(Method::POST, "/collections", Some(&body));
            request.headers.retain(|(name, _)| *name != "content-type");
            request.headers.extend(kind.map(|kind| ("content-type", kind.to_owned())));
            device.http.send(request).await.unwrap().ok();
        }
    })
    .await;
}

#[tokio::test]
async fn trap_04_upload_urls_do_not_look_like_commits() {
    on_each_engine(async |server: &mut ServerProcess| {
        let device = new_web(server).await;
        // Every mint checks its URLs: absolute, distinct, without "/files".
        device.mint(&[1; 100], "?ts=1").await;
        device.mint_legacy(50).await;
        device.mint_parts(&[1; 100], 100, "").await;
        device.mint_parts_legacy(3, 100).await;
    })
    .await;
}

/// ETags arrive with quotes (web), without (phones), and mixed; a wrong one is refused.
#[tokio::test]
async fn trap_07_etags_are_compared_without_quotes() {
    on_each_engine(async |server: &mut ServerProcess| {
        let device = new_web(server).await;
        let bytes = Picture::generate("a", 11 << 20).content;
        let mut session = device.mint_parts(&bytes, 6 << 20, "").await;
        for (index, part) in bytes.chunks(6 << 20).enumerate() {
            let answer = device.put(&session.part_urls[index], part, &[]).await;
            session.etags[index] = Some(device.etag_of(&answer));
        }
        let right = session.etags.clone();
        session.etags[0] = Some("\"00000000000000000000000000000000\"".to_owned());
        let answer = device.post_xml(&session.complete_url, &web::complete_xml(&session)).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        session.etags = right;
        session.etags[1] = session.etags[1].as_ref().map(|etag| etag.replace('"', ""));
        device.post_xml(&session.complete_url, &web::complete_xml(&session)).await.accepted();
        // Trap 26: and once more, as a phone does that was killed before it wrote the answer down.
        device.post_xml(&session.complete_url, &mobile::complete_xml(&session)).await.accepted();
    })
    .await;
}

/// Parts in any order, one of them twice; the list in reverse; a list with a hole is refused.
#[tokio::test]
async fn trap_24_parts_and_their_list_come_in_any_order() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        let album = album(&mut device, "Parts").await;
        let picture = Picture::generate("a.mov", 14 << 20);
        let sealed = seal_picture(&device.collection_key(album), &picture);
        let mut session = device.mint_parts(&sealed.file.bytes, 6 << 20, "").await;
        for index in [2, 0, 1, 0] {
            let part = sealed.file.bytes.chunks(6 << 20).nth(index).unwrap();
            let answer = device.put(&session.part_urls[index], part, &[]).await;
            session.etags[index] = Some(device.etag_of(&answer));
        }
        let part = |index: usize| {
            let etag = session.etags[index].as_ref().unwrap();
            format!("<Part><ETag>{etag}</ETag><PartNumber>{}</PartNumber></Part>", index + 1)
        };
        let list = |parts: &[usize]| {
            let parts: String = parts.iter().map(|index| part(*index)).collect();
            format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
        };
        device.post_xml(&session.complete_url, &list(&[0, 2])).await.refused(400);
        device.post_xml(&session.complete_url, &list(&[2, 0, 1])).await.accepted();
        let thumbnail = web::put_whole(&device, &sealed.thumbnail).await;
        let body = device.commit_body(album, &sealed, &session.key, &thumbnail);
        let row = device.commit(body).await.row;
        web::pull(&mut device).await;
        assert_eq!(web::download(&device, &row).await.content, picture.content);
    })
    .await;
}

/// Trap 27, 28 and 50: the same body again gives the same whole file; the same objects for other content are refused.
#[tokio::test]
async fn trap_27_a_repeated_commit_is_one_file() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        let album = album(&mut device, "Once").await;
        let (_, first) = upload(&device, album, "once.jpg").await;
        let second = device.commit(first.body.clone()).await;
        assert_eq!(second.row.id, first.row.id);
        let mut other = first.body.clone();
        other["metadata"]["encryptedData"] = "b3RoZXI=".into();
        device.http.call(Method::POST, "/files", Some(&other)).await.refused(400);
        let mut same_twice = first.body.clone();
        same_twice["thumbnail"] = same_twice["file"].clone();
        device.http.call(Method::POST, "/files", Some(&same_twice)).await.refused(400);
        web::pull(&mut device).await;
        assert_eq!(device.mirror.live(album).len(), 1);
    })
    .await;
}

#[tokio::test]
async fn trap_28_what_a_commit_refuses() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        let album = album(&mut device, "Refused").await;
        let picture = Picture::generate("refused.jpg", 1000);
        let sealed = seal_picture(&device.collection_key(album), &picture);
        let (file, thumbnail) =
            (web::put_whole(&device, &sealed.file).await, web::put_whole(&device, &sealed.thumbnail).await);
        let body = device.commit_body(album, &sealed, &file, &thumbnail);
        let with = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut body = body.clone();
            change(&mut body);
            body
        };
        let never_put = device.mint(&[1; 10], "").await.key;
        for (what, body, status) in [
            ("a size that is not the object's", with(&|body| body["file"]["size"] = 7.into()), 400),
            ("no key", with(&|body| body["encryptedKey"] = "".into()), 400),
            ("no header", with(&|body| body["thumbnail"]["decryptionHeader"] = "".into()), 400),
            ("an unknown collection", with(&|body| body["collectionID"] = 999_999.into()), 404),
            (
                "an object never put",
                with(&|body| {
                    body["file"] = json!({"objectKey": never_put, "decryptionHeader": "aGVhZGVy"});
                }),
                503,
            ),
        ] {
            let answer = device.http.call(Method::POST, "/files", Some(&body)).await;
            assert_eq!(answer.status, status, "{what}: {answer:?}");
        }
        device.commit(body).await;
        web::pull(&mut device).await;
        assert_eq!(device.mirror.live(album).len(), 1);
    })
    .await;
}

/// Traps 29 and 30: 426, at the mint and at the commit, with 50 MiB of grace for uploads whose size is known.
#[tokio::test]
async fn trap_29_a_full_account_is_told_426_early_and_late() {
    let server = ServerProcess::start_with(&Engine::Sqlite, &["--default-quota=1MiB"]).await;
    let mut phone = new_phone(&server).await;
    let album = album(&mut phone, "Full").await;
    let legacy = phone.mint_legacy(2).await;
    let large = Picture::generate("large.mov", 52 << 20);
    let sealed = seal_picture(&phone.collection_key(album), &large);
    let refused = json!({"contentLength": sealed.file.bytes.len(), "contentMD5": "1Uis1rgd6g/1FpN17sN64w=="});
    phone.http.call(Method::POST, "/files/upload-url", Some(&refused)).await.refused(426);
    phone.put(&legacy[0].url, &sealed.file.bytes, &[]).await.accepted();
    phone.put(&legacy[1].url, &sealed.thumbnail.bytes, &[]).await.accepted();
    let body = phone.commit_body(album, &sealed, &legacy[0].key, &legacy[1].key);
    phone.http.call(Method::POST, "/files", Some(&body)).await.refused(426);
    // Within the grace; but then the plan is used up.
    let medium = Picture::generate("medium.mov", 10 << 20);
    mobile::upload(&phone, album, &seal_picture(&phone.collection_key(album), &medium)).await;
    mobile::ask_eligibility(&phone).await.refused(426);
    phone.http.call(Method::GET, "/files/upload-urls?count=1", None).await.refused(426);
    let small = json!({"contentLength": 1000, "contentMD5": "1Uis1rgd6g/1FpN17sN64w=="});
    phone.http.call(Method::POST, "/files/upload-url", Some(&small)).await.refused(426);
    mobile::sync(&mut phone).await;
    // Trash counts until it is purged.
    let file = phone.mirror.live(album)[0].id;
    phone.trash(&[(file, album)]).await.ok();
    mobile::ask_eligibility(&phone).await.refused(426);
    phone.purge(&[file]).await.ok();
    mobile::ask_eligibility(&phone).await.ok();
}

/// Traps 21 and 22.
#[tokio::test]
async fn trap_22_magic_versions_go_up_by_exactly_one() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        let album = album(&mut device, "Magic").await;
        let (_, row) = small_picture(&mut device, album, "magic.jpg").await;
        let phone = another(server, &device, ANDROID).await;
        // Given at creation: stored as it was sent.
        assert_eq!(row.public_magic.as_ref().unwrap().version, 1);
        let (web, row) = (&device, &row);
        web.set_visibility(row, 0, 1).await.ok();
        for (version, status) in [(0, 409), (2, 409), (1, 200), (2, 200), (2, 409)] {
            let answer = web.set_visibility(row, version, 0).await;
            assert_eq!(answer.status, status, "version {version}: {answer:?}");
        }
        web.set_public(row, 1, &json!({"a": 1, "b": 2, "c": 3, "d": 4})).await.ok();
        web.set_public(row, 2, &json!({"a": 1})).await.refused(409);
        web.set_public(row, 2, &json!({"a": 1, "b": 2})).await.ok();
        drop(phone);
        web::pull(&mut device).await;
        let seen = &device.mirror.live(album)[0];
        assert_eq!(seen.magic.as_ref().unwrap().version, 3);
        assert_eq!(seen.public_magic.as_ref().unwrap().version, 3);
        assert_eq!(device.private_of(seen), json!({"visibility": 0}));
        assert_eq!(device.public_of(seen), json!({"a": 1, "b": 2}));
    })
    .await;
}

#[tokio::test]
async fn trap_23_bare_and_wrapped_mints_have_their_bounds() {
    let server = on_sqlite().await;
    let device = new_web(&server).await;
    // The players check who wraps and who does not. Here: what neither accepts.
    let md5 = "1Uis1rgd6g/1FpN17sN64w==";
    for (path, body) in [
        ("/files/upload-url", json!({"contentLength": 0, "contentMD5": md5})),
        ("/files/upload-url", json!({"contentLength": 10_737_418_241_i64, "contentMD5": md5})),
        ("/files/upload-url", json!({"contentLength": 10, "contentMD5": "c2hvcnQ="})),
        ("/files/multipart-upload-url", json!({"contentLength": 100, "partLength": 0, "partMd5s": [md5]})),
        (
            "/files/multipart-upload-url",
            json!({"contentLength": 100, "partLength": 50, "partMd5s": [md5, md5]}),
        ),
        (
            "/files/multipart-upload-url",
            json!({"contentLength": 100, "partLength": 100, "partMd5s": [md5, md5]}),
        ),
    ] {
        let answer = device.http.call(Method::POST, path, Some(&body)).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
    }
    let hex = json!({"contentLength": 10, "contentMD5": "d548acd6b81dea0ff5169375eec37ae3"});
    device.http.call(Method::POST, "/files/upload-url", Some(&hex)).await.ok();
    let many = device.http.call(Method::GET, "/files/upload-urls?count=80&ts=1", None).await.ok();
    assert_eq!(Fields::of("mints", &many).objects("urls").len(), 50, "capped");
}

/// The URLs lead to the host that the client used, not to the one that the server believes it has.
#[tokio::test]
async fn trap_42_urls_lead_where_the_client_came_from() {
    let server = on_sqlite().await;
    let device = new_phone(&server).await;
    let body = json!({"contentLength": 10, "contentMD5": "1Uis1rgd6g/1FpN17sN64w=="});
    let mut request: Outgoing = device.http.api_request(Method::POST, "/files/upload-url", Some(&body));
    request.headers.push(("host", "photos.lan:8443".to_owned()));
    let answer = device.http.send(request).await.unwrap().ok();
    let url = Fields::of("mint", &answer).words("url").to_owned();
    assert!(url.starts_with("http://photos.lan:8443/"), "{url}");
}
