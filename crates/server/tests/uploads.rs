//! Uploads and downloads over HTTP: what clients send to signed URLs, and what comes back byte for byte.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test needs and does not get fails the test"
)]

mod support;

use darkslide_protocol::Opaque;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::Row as _;
use support::tus::database;
use support::vault::{Vault, commit_body, md5_of, noise};
use support::{Answer, TestServer, raw_config};

/// Part lengths must be at least this when there are several.
const PART: usize = 5 * 1024 * 1024;

async fn mint_parts(vault: &Vault<'_>, bytes: &[u8], part: usize) -> Value {
    let md5s: Vec<String> = bytes.chunks(part).map(md5_of).collect();
    let body = json!({ "contentLength": bytes.len(), "partLength": part, "partMd5s": md5s });
    vault.post("/files/multipart-upload-url", body).await.ok()
}

fn part_urls(minted: &Value) -> Vec<&str> {
    minted["partURLs"].as_array().unwrap().iter().map(|url| url.as_str().unwrap()).collect()
}

fn part_list(etags: &[String]) -> String {
    let parts = etags.iter().enumerate().map(|(index, etag)| {
        format!("<Part>\n<PartNumber>{}</PartNumber>\n<ETag>{etag}</ETag>\n</Part>\n", index + 1)
    });
    format!("<CompleteMultipartUpload>\n{}</CompleteMultipartUpload>", parts.collect::<String>())
}

async fn complete(vault: &Vault<'_>, minted: &Value, body: String) -> Answer {
    let url = minted["completeURL"].as_str().unwrap();
    Answer::of(vault.server.http.post(url).header("Content-Type", "text/xml").body(body)).await
}

/// Sends all parts and returns their ETags.
async fn send_parts(vault: &Vault<'_>, minted: &Value, bytes: &[u8], part: usize) -> Vec<String> {
    let mut etags = Vec::new();
    for (url, part) in part_urls(minted).iter().zip(bytes.chunks(part)) {
        let answer = vault.put_bytes(url, part).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        etags.push(answer.header("etag").to_owned());
    }
    etags
}

/// Stores an object in parts and returns its key.
async fn store_in_parts(vault: &Vault<'_>, bytes: &[u8]) -> String {
    let minted = mint_parts(vault, bytes, PART).await;
    let etags = send_parts(vault, &minted, bytes, PART).await;
    assert_eq!(complete(vault, &minted, part_list(&etags)).await.status, 200);
    minted["objectKey"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_picture_goes_in_and_comes_back_byte_for_byte() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let (picture, thumbnail) = (noise(1, 3_000_017), noise(2, 40_000));
    let file = vault.commit(album, &picture, &thumbnail).await;
    let id = file["id"].as_i64().unwrap();
    assert_eq!(vault.download(id).await, picture);
    let url = vault.location(&format!("/files/preview/{id}")).await;
    assert_eq!(server.http.get(url).send().await.unwrap().bytes().await.unwrap(), thumbnail);
    let diff = vault.diff(album, 0).await;
    assert_eq!(diff.len(), 1);
    assert_eq!(diff[0]["id"], id);
    assert_eq!(diff[0]["info"], json!({ "fileSize": 3_000_017, "thumbSize": 40_000 }));
    assert_eq!(vault.usage().await, 3_040_017);
}

#[tokio::test]
async fn a_video_in_parts_is_one_object_and_survives_a_restart() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let video = noise(3, 2 * PART + 1_234_567);
    let (key, thumbnail) = (store_in_parts(&vault, &video).await, vault.store(b"thumb").await);
    let body = commit_body(album, (&key, video.len()), (&thumbnail, 5));
    let id = vault.post("/files", body).await.ok()["id"].as_i64().unwrap();
    let token = vault.person.token.clone();
    drop(vault);
    let server = TestServer::start_in(server.stop().await, raw_config()).await;
    let answer = server.get(&format!("/files/download/{id}"), &token).await;
    let url = answer.header("location").to_owned();
    assert_eq!(server.http.get(&url).send().await.unwrap().bytes().await.unwrap(), video);
    for range in [0..1, PART - 1..PART + 1, PART / 2..2 * PART + 7, video.len() - 1..video.len()] {
        let header = format!("bytes={}-{}", range.start, range.end - 1);
        let response = server.http.get(&url).header("Range", &header).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
        let expected = format!("bytes {}-{}/{}", range.start, range.end - 1, video.len());
        assert_eq!(response.headers()["content-range"], expected.as_str());
        assert_eq!(response.headers()["content-length"], range.len().to_string().as_str());
        assert_eq!(response.bytes().await.unwrap(), video[range]);
    }
}

/// Who would rather have the bytes than their URL gets them at once, if they are few; everybody else gets the redirect.
#[tokio::test]
async fn small_objects_are_sent_at_once_to_those_who_prefer_that() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let (picture, video) = (noise(7, 100_000), noise(8, 17 << 20));
    let mut files = Vec::new();
    for (key, length) in
        [(vault.store(&picture).await, picture.len()), (store_in_parts(&vault, &video).await, video.len())]
    {
        let thumbnail = vault.store(b"thumb").await;
        let body = commit_body(album, (&key, length), (&thumbnail, 5));
        files.push(vault.post("/files", body).await.ok()["id"].as_i64().unwrap());
    }
    let ask = async |path: String, prefer: &'static str, token: &str| {
        let request =
            server.request(Method::GET, &path).header("X-Auth-Token", token).header("Prefer", prefer);
        request.send().await.unwrap()
    };
    let token = vault.person.token.as_str();
    let original = |at: usize| format!("/files/download/{}", files[at]);
    for prefer in ["return=representation", "respond-async, Return=Representation"] {
        let response = ask(original(0), prefer, token).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["preference-applied"], "return=representation");
        assert_eq!(response.bytes().await.unwrap(), picture);
    }
    let preview = ask(format!("/files/preview/{}", files[0]), "return=representation", token).await;
    assert_eq!(preview.bytes().await.unwrap(), b"thumb".as_slice());
    assert_eq!(ask(original(0), "return=minimal", token).await.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(
        ask(original(1), "return=representation", token).await.status(),
        StatusCode::TEMPORARY_REDIRECT
    );
    let other = Vault::new(&server, "b@example.org").await;
    let foreign = ask(original(0), "return=representation", &other.person.token).await;
    assert_eq!(foreign.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_interrupted_upload_in_parts_goes_on_where_it_was() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let bytes = noise(4, 2 * PART + 100);
    let minted = mint_parts(&vault, &bytes, PART).await;
    let urls = part_urls(&minted);
    let first = vault.put_bytes(urls[0], &bytes[..PART]).await;
    complete(&vault, &minted, part_list(&[first.header("etag").to_owned()])).await;
    let person = vault.person;
    let folder = server.stop().await;
    let server = TestServer::start_in(folder, raw_config()).await;
    let vault = Vault { server: &server, person };
    // The port is another one; a phone would have kept the host.
    let moved = |url: &str| server.url(&url[url.find("/blob/").unwrap()..]);
    let mut etags = vec![first.header("etag").to_owned()];
    for (url, part) in urls.iter().zip(bytes.chunks(PART)).skip(1) {
        etags.push(vault.put_bytes(&moved(url), part).await.header("etag").to_owned());
    }
    let minted = json!({ "completeURL": moved(minted["completeURL"].as_str().unwrap()) });
    assert_eq!(complete(&vault, &minted, part_list(&etags)).await.status, 200);
}

#[tokio::test]
async fn trap_02_download_redirects_and_never_streams() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let id = vault.file(vault.album().await, 1).await;
    for path in ["download", "preview"] {
        let answer = vault.get(&format!("/files/{path}/{id}")).await;
        assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(answer.header("cache-control"), "", "the redirect may be kept");
    }
}

#[tokio::test]
async fn trap_03_location_is_absolute() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let id = vault.file(vault.album().await, 1).await;
    let location = vault.location(&format!("/files/download/{id}")).await;
    assert!(location.starts_with(&server.url("/blob/")), "{location}");
}

#[tokio::test]
async fn trap_05_unknown_expired_and_altered_urls_are_404() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let minted = vault.mint(b"x").await;
    let url = minted["url"].as_str().unwrap();
    let past = url.replace("expires=", "expires=-");
    let bad_signature = format!("{}AAAA", &url[..url.len() - 4]);
    let root = server.url("/blob/1/00000000-0000-4000-8000-000000000000");
    for (method, url) in [
        (Method::PUT, past.clone()),
        (Method::GET, past),
        (Method::PUT, bad_signature),
        (Method::PUT, root.clone()),
        (Method::GET, root.clone()),
        (Method::POST, format!("{root}/complete")),
        (Method::PUT, server.url("/blob/x")),
    ] {
        // A body larger than what fits into buffers: the refusal must be heard all the same.
        let body = if method == Method::PUT { noise(1, 12_000_000) } else { Vec::new() };
        let answer = Answer::of(server.http.request(method.clone(), &url).body(body)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {url}");
        assert!(answer.text.contains("NoSuchUpload"), "{answer:?}");
    }
}

#[tokio::test]
async fn trap_06_etag_is_sent_and_exposed_and_is_the_quoted_md5() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let bytes = noise(1, PART + 1);
    let minted = mint_parts(&vault, &bytes, PART).await;
    let request = server
        .http
        .put(part_urls(&minted)[1])
        .header("Origin", "https://web.example")
        .body(bytes[PART..].to_vec());
    let answer = Answer::of(request).await;
    let md5 = Opaque(md5_of(&bytes[PART..])).decode_array::<16>().unwrap();
    let hex = format!("{:032x}", u128::from_be_bytes(md5));
    assert_eq!(answer.header("etag"), format!("\"{hex}\""));
    assert!(answer.header("access-control-expose-headers").to_lowercase().contains("etag"), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), "https://web.example");
    let minted = vault.mint(b"whole").await;
    let answer = vault.put_bytes(minted["url"].as_str().unwrap(), b"whole").await;
    assert_eq!(answer.header("etag").len(), 34);
}

#[tokio::test]
async fn trap_07_etags_count_with_and_without_quotes() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let bytes = noise(1, PART + 1);
    let quote = |etag: &String| format!("&quot;{}&quot;", etag.replace('"', ""));
    let bare = |etag: &String| etag.replace('"', "");
    let as_sent = |etag: &String| etag.clone();
    for write in [&quote as &dyn Fn(&String) -> String, &bare, &as_sent] {
        let minted = mint_parts(&vault, &bytes, PART).await;
        let etags = send_parts(&vault, &minted, &bytes, PART).await;
        let list = part_list(&etags.iter().map(write).collect::<Vec<_>>());
        assert_eq!(complete(&vault, &minted, list).await.status, 200);
    }
}

#[tokio::test]
async fn trap_08_and_09_preflight_of_blobs_is_200_and_allows_what_clients_send() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let minted = vault.mint(b"x").await;
    let request = server
        .http
        .request(Method::OPTIONS, minted["url"].as_str().unwrap())
        .header("Origin", "ente://app")
        .header("Access-Control-Request-Method", "PUT")
        .header("Access-Control-Request-Headers", "content-md5,x-client-package,x-client-version");
    let answer = Answer::of(request).await;
    assert_eq!(answer.status, StatusCode::OK);
    let allowed = answer.header("access-control-allow-headers").to_lowercase();
    for name in ["content-md5", "x-client-package", "x-client-version", "content-type", "range"] {
        assert!(allowed.contains(name), "{name} in {allowed}");
    }
    assert_eq!(answer.header("access-control-allow-origin"), "ente://app");
}

#[tokio::test]
async fn trap_23_current_mints_are_bare_and_legacy_ones_wrapped() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let minted = vault.mint(b"x").await;
    assert!(minted["objectKey"].is_string() && minted["url"].is_string(), "{minted}");
    let minted = mint_parts(&vault, &noise(1, PART + 1), PART).await;
    assert!(minted["partURLs"].is_array() && minted["completeURL"].is_string(), "{minted}");
    let legacy = vault.get("/files/upload-urls?count=77&ts=1").await.ok();
    let urls = legacy["urls"].as_array().unwrap();
    assert_eq!(urls.len(), 50);
    let distinct: std::collections::BTreeSet<&str> =
        urls.iter().map(|url| url["url"].as_str().unwrap()).collect();
    assert_eq!(distinct.len(), 50);
    let legacy = vault.get("/files/multipart-upload-urls?count=3").await.ok();
    assert_eq!(legacy["urls"]["partURLs"].as_array().unwrap().len(), 3);
    for count in ["0", "10001", "x"] {
        vault.get(&format!("/files/multipart-upload-urls?count={count}")).await.failed(400, None);
    }
}

#[tokio::test]
async fn legacy_urls_take_any_body_and_its_repetition() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let minted = vault.get("/files/upload-urls?count=2").await.ok();
    let url = |index: usize| minted["urls"][index]["url"].as_str().unwrap();
    for bytes in [&b"first"[..], b"second", b"second"] {
        assert_eq!(Answer::of(server.http.put(url(0)).body(bytes.to_vec())).await.status, 200);
    }
    assert_eq!(vault.put_bytes(url(1), b"t").await.status, 200);
    let key = |index: usize| minted["urls"][index]["objectKey"].as_str().unwrap();
    let file = vault.post("/files", commit_body(album, (key(0), 0), (key(1), 0))).await.ok();
    assert_eq!(vault.download(file["id"].as_i64().unwrap()).await, b"second");
    assert_eq!(vault.put_bytes(url(0), b"second").await.status, 200, "the same bytes again");
    assert_eq!(vault.put_bytes(url(0), b"other").await.status, 409, "never overwritten");
    assert_eq!(vault.download(file["id"].as_i64().unwrap()).await, b"second");

    let minted = vault.get("/files/multipart-upload-urls?count=2").await.ok()["urls"].clone();
    let mut etags = Vec::new();
    for (url, bytes) in part_urls(&minted).iter().zip([b"abc", b"def"]) {
        vault.put_bytes(url, b"replaced").await;
        etags.push(vault.put_bytes(url, bytes).await.header("etag").to_owned());
    }
    assert_eq!(complete(&vault, &minted, part_list(&etags[..1])).await.status, 400);
    assert_eq!(complete(&vault, &minted, part_list(&etags)).await.status, 200);
    assert_eq!(vault.put_bytes(part_urls(&minted)[0], b"late").await.status, 409);
}

#[tokio::test]
async fn trap_24_part_urls_are_as_many_as_parts_and_in_order() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let bytes = noise(1, 3 * PART);
    let minted = mint_parts(&vault, &bytes, PART).await;
    let urls = part_urls(&minted);
    assert_eq!(urls.len(), 3);
    for (index, url) in urls.iter().enumerate() {
        assert!(url.contains(&format!("/{}?", index + 1)), "{url}");
    }
}

#[tokio::test]
async fn trap_25_a_single_small_part_is_accepted() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let bytes = noise(1, 1000);
    let minted = mint_parts(&vault, &bytes, bytes.len()).await;
    let etags = send_parts(&vault, &minted, &bytes, bytes.len()).await;
    assert_eq!(complete(&vault, &minted, part_list(&etags)).await.status, 200);
}

#[tokio::test]
async fn trap_26_complete_may_be_repeated_even_after_the_commit() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let bytes = noise(1, PART + 1);
    let minted = mint_parts(&vault, &bytes, PART).await;
    let etags = send_parts(&vault, &minted, &bytes, PART).await;
    for _ in 0..2 {
        assert_eq!(complete(&vault, &minted, part_list(&etags)).await.status, 200);
    }
    let thumbnail = vault.store(b"t").await;
    let body = commit_body(album, (minted["objectKey"].as_str().unwrap(), bytes.len()), (&thumbnail, 1));
    vault.post("/files", body).await.ok();
    assert_eq!(complete(&vault, &minted, part_list(&etags)).await.status, 200);
    send_parts(&vault, &minted, &bytes, PART).await;
    let wrong = vec![etags[0].clone(), etags[0].clone()];
    assert_eq!(complete(&vault, &minted, part_list(&wrong)).await.status, 400);
}

#[tokio::test]
async fn bytes_that_are_not_what_was_announced_are_refused_and_leave_nothing() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let minted = vault.mint(b"right").await;
    let url = minted["url"].as_str().unwrap();
    let put = |md5: Option<&'static str>, body: &'static [u8]| {
        let request = server.http.put(url).body(body);
        Answer::of(match md5 {
            Some(md5) => request.header("Content-MD5", md5),
            None => request,
        })
    };
    let check = |answer: Answer, text: &str| {
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
        assert!(answer.text.contains(text), "{answer:?}");
    };
    check(put(None, b"wrong").await, "BadDigest");
    check(put(Some("!"), b"right").await, "InvalidDigest");
    check(put(Some("1B2M2Y8AsgTpgAmY7PhCfg=="), b"right").await, "BadDigest");
    check(put(None, b"too long").await, "IncompleteBody");
    check(put(None, b"").await, "IncompleteBody");
    let chunked =
        reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>("rig"), Ok("htly")]));
    check(Answer::of(server.http.put(url).body(chunked)).await, "IncompleteBody");
    let album = vault.album().await;
    let key = minted["objectKey"].as_str().unwrap();
    let thumbnail = vault.store(b"t").await;
    let commit = vault.post("/files", commit_body(album, (key, 5), (&thumbnail, 1))).await;
    commit.failed(503, Some("OBJECT_SIZE_FETCH_FAILED"));
    assert_eq!(put(None, b"right").await.status, 200);
    vault.post("/files", commit_body(album, (key, 5), (&thumbnail, 1))).await.ok();
}

#[tokio::test]
async fn mints_are_validated() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let md5 = md5_of(b"x");
    let hex = "9dd4e461268c8034f5c8564e155c67a6";
    let whole = |length: i64, md5: &str| json!({ "contentLength": length, "contentMD5": md5 });
    vault.post("/files/upload-url", whole(1, hex)).await.ok();
    for body in [
        whole(0, &md5),
        whole(-1, &md5),
        whole(10 * (1 << 30) + 1, &md5),
        whole(1, ""),
        whole(1, "AAAA"),
        json!({ "contentMD5": md5 }),
        json!([]),
    ] {
        let answer = vault.post("/files/upload-url", body.clone()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
    }
    let parts = |length: i64, part: i64, md5s: &[&str]| json!({ "contentLength": length, "partLength": part, "partMd5s": md5s });
    vault.post("/files/multipart-upload-url", parts(10 << 20, 5 << 20, &[&md5, hex])).await.ok();
    for body in [
        parts(10 << 20, 5 << 20, &[&md5]),
        parts(10 << 20, (5 << 20) - 1, &[&md5, &md5, &md5]),
        parts(10 << 20, 0, &[]),
        parts(10 << 20, 5 << 20, &[&md5, "x"]),
        parts(0, 5 << 20, &[]),
    ] {
        let answer = vault.post("/files/multipart-upload-url", body.clone()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
    }
}

#[tokio::test]
async fn trap_29_and_30_quota_is_426_at_mint_and_at_commit() {
    const GRACE: i64 = 50 << 20;
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let body = vault.stored_pair(album, &noise(1, 2000), &noise(2, 100)).await;
    darkslide_server::operator::set_quota(&server.shared.store, "a@example.org", Some(0)).await.unwrap();
    vault.get("/files/upload-eligibility").await.ok();
    let mint = |length: i64| json!({ "contentLength": length, "contentMD5": md5_of(b"") });
    vault.post("/files/upload-url", mint(GRACE)).await.ok();
    vault.post("/files/upload-url", mint(GRACE + 1)).await.failed(426, None);
    // Within the grace one file goes in; then the account is over its quota, and nothing more is begun.
    vault.post("/files", body.clone()).await.ok();
    vault.get("/files/upload-eligibility").await.failed(426, None);
    for path in ["/files/upload-urls?count=1", "/files/multipart-upload-urls?count=1"] {
        vault.get(path).await.failed(426, None);
    }
    vault.post("/files/upload-url", mint(1)).await.failed(426, None);
    vault.post("/files", body).await.ok();
}

#[tokio::test]
async fn a_commit_that_would_overrun_the_quota_is_426_and_changes_nothing() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let body = vault.stored_pair(album, &noise(1, (50 << 20) - 99), &noise(2, 100)).await;
    darkslide_server::operator::set_quota(&server.shared.store, "a@example.org", Some(0)).await.unwrap();
    vault.post("/files", body.clone()).await.failed(426, None);
    assert_eq!(vault.usage().await, 0);
    assert!(vault.diff(album, 0).await.is_empty());
    darkslide_server::operator::set_quota(&server.shared.store, "a@example.org", Some(1)).await.unwrap();
    vault.post("/files", body).await.ok();
}

#[tokio::test]
async fn trap_39_and_43_blobs_have_a_length_no_encoding_and_cors_for_null() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let id = vault.file(vault.album().await, 1).await;
    let url = vault.location(&format!("/files/download/{id}")).await;
    for method in [Method::GET, Method::HEAD] {
        let request = server
            .http
            .request(method.clone(), &url)
            .header("Origin", "null")
            .header("Accept-Encoding", "gzip, br");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let header = |name: &str| answer.headers().get(name).map_or("", |value| value.to_str().unwrap());
        assert_eq!(header("content-length"), "1000", "{method}");
        assert_eq!(header("content-encoding"), "");
        assert_eq!(header("content-type"), "application/octet-stream");
        assert_eq!(header("content-disposition"), "attachment");
        assert_eq!(header("accept-ranges"), "bytes");
        assert_eq!(header("access-control-allow-origin"), "null");
        assert_eq!(header("etag").len(), 34);
    }
    let behind = server.http.get(&url).header("Range", "bytes=1000-").send().await.unwrap();
    assert_eq!(behind.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(behind.headers()["content-range"], "bytes */1000");
}

#[tokio::test]
async fn trap_40_one_put_may_be_larger_than_any_json_body() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let bytes = noise(1, 20_971_605);
    vault.store(&bytes).await;
    let pretend = server.http.put(server.url("/file-upload"));
    let minted = vault.mint(&bytes).await;
    let answer = Answer::of(pretend.header("UPLOAD-URL", minted["url"].as_str().unwrap()).body(bytes)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn the_upload_proxys_routes_are_aliases_of_our_own_urls_and_of_no_others() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let bytes = noise(1, 1000);
    let minted = mint_parts(&vault, &bytes, 1000).await;
    let through = |method: Method, path: &str, target: &str| {
        server.request(method, path).header("UPLOAD-URL", target.to_owned())
    };
    let part = through(Method::PUT, "/multipart-upload", part_urls(&minted)[0]).body(bytes.clone());
    let etag = Answer::of(part).await.ok()["etag"].as_str().unwrap().to_owned();
    let list = part_list(&[etag]);
    let complete = through(Method::POST, "/multipart-complete", minted["completeURL"].as_str().unwrap());
    assert_eq!(Answer::of(complete.body(list.clone())).await.status, 200);
    let elsewhere = through(Method::PUT, "/file-upload", "https://storage.example/x").body(bytes.clone());
    assert_eq!(Answer::of(elsewhere).await.status, 400);
    assert_eq!(Answer::of(server.request(Method::PUT, "/file-upload").body(bytes)).await.status, 400);
    assert_eq!(Answer::of(server.request(Method::POST, "/multipart-complete").body(list)).await.status, 400);
}

#[tokio::test]
async fn the_same_part_from_many_at_once_is_stored_once() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let bytes = noise(1, 300_000);
    let minted = mint_parts(&vault, &bytes, bytes.len()).await;
    let url = part_urls(&minted)[0];
    let answers = futures_util::future::join_all((0..16).map(|_| vault.put_bytes(url, &bytes))).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 200 && answer.header("etag") == answers[0].header("etag"))
    );
    let list = part_list(&[answers[0].header("etag").to_owned()]);
    assert_eq!(complete(&vault, &minted, list).await.status, 200);
    let blobs = walk(&server.folder().join("objects"));
    assert_eq!(blobs, 1, "what was not kept is removed");
}

fn walk(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { walk(&path) } else { 1 }).sum()
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let minted = vault.mint(&noise(1, 2_000_000)).await;
    let half = futures_util::stream::iter([Ok(noise(1, 1_000_000)), Err(std::io::Error::other("gone"))]);
    let request = server.http.put(minted["url"].as_str().unwrap()).header("Content-Length", "2000000");
    request.body(reqwest::Body::wrap_stream(half)).send().await.unwrap_err();
    let incoming = server.folder().join("incoming");
    // One file is the process's lock.
    while walk(&incoming) > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(walk(&server.folder().join("objects")), 0);
}

/// The answer broke off, or was 503, and clients tried again and again.
#[tokio::test]
async fn what_the_disk_has_lost_of_a_blob_is_404() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "a@example.org").await;
    let album = vault.album().await;
    let video = noise(3, 2 * PART);
    let (key, thumbnail) = (store_in_parts(&vault, &video).await, vault.store(b"thumb").await);
    let body = commit_body(album, (&key, video.len()), (&thumbnail, 5));
    let id = vault.post("/files", body).await.ok()["id"].as_i64().unwrap();
    let (original, preview) = (format!("/files/download/{id}"), format!("/files/preview/{id}"));
    let texts =
        ["SELECT blob FROM object_parts WHERE part_number = 2", "SELECT blob FROM objects WHERE length = 5"];
    for (text, path, left) in [(texts[0], original, 200_000_u64), (texts[1], preview, 2)] {
        let url = vault.location(&path).await;
        let blob: String = sqlx::query(text).fetch_one(&database(&server).await).await.unwrap().get(0);
        let file = server.folder().join("objects").join(&blob[..2]).join(&blob);
        for left in [left, 0] {
            std::fs::File::options().write(true).open(&file).unwrap().set_len(left).unwrap();
            Answer::of(server.http.get(&url)).await.failed(404, Some("NoSuchUpload"));
        }
    }
    let url = vault.location(&format!("/files/download/{id}")).await;
    let first = server.http.get(&url).header("Range", format!("bytes=0-{}", PART - 1)).send().await.unwrap();
    assert_eq!(first.bytes().await.unwrap(), video[..PART], "what is left of it is sent");
    std::fs::remove_dir_all(server.folder().join("objects")).unwrap();
    Answer::of(server.http.get(url)).await.failed(404, Some("NoSuchUpload"));
}
