//! Resumable uploads over HTTP: what tus 1.0 asks for, what is refused, and when an upload is over.

mod support;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use darkslide_protocol::limits::{DAY_MICROS, OBJECT_BYTES_MAX};
use darkslide_protocol::tus::chunk_digest;
use darkslide_server::config::RawConfig;
use darkslide_server::jobs::expire::{expire, sweep_orphans};
use darkslide_server::operator;
use reqwest::{Method, RequestBuilder};
use sha1::{Digest as _, Sha1};
use sqlx::Row as _;
use support::damage::execute;
use support::tus::{OFFSET_STREAM, Tus, database, now, until};
use support::vault::{Vault, commit_body, noise};
use support::{Answer, TestServer, raw_config};

#[tokio::test]
async fn an_upload_in_pieces_becomes_an_object_that_can_be_committed() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "tus@example.org").await;
    let tus = Tus { server: &server, token: vault.person.token.clone(), account: vault.person.id };
    let bytes = noise(1, 3_000_000);
    let answer =
        Answer::of(tus.creation(bytes.len()).header("Upload-Metadata", "filename c2VjcmV0LmpwZw==")).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let url = answer.header("location").to_owned();
    assert!(url.starts_with(&server.url("/v1/uploads/")) && !url.contains("/files"), "{url}");
    let key = answer.header("darkslide-object-key").to_owned();
    assert!(!answer.header("upload-expires").is_empty() && answer.header("upload-offset").is_empty());
    for (start, end) in [(0, 1_000_000), (1_000_000, 1_000_001), (1_000_001, 3_000_000)] {
        assert_eq!(tus.offset(&url).await, start);
        let answer = tus.append(&url, start, &bytes[start..end]).await;
        assert_eq!((answer.status.as_u16(), answer.header("upload-offset")), (204, end.to_string().as_str()));
        let digest = chunk_digest(blake3::hash(&bytes[start..end]).as_bytes());
        assert_eq!(answer.header("darkslide-chunk-digest"), digest);
        assert!(answer.header("upload-expires").ends_with(" GMT"), "{answer:?}");
        let head = tus.head(&url).await;
        assert_eq!(head.header("darkslide-chunk-digest"), digest);
        assert_eq!(head.header("darkslide-chunk-offset"), start.to_string());
        assert_eq!(head.header("darkslide-object-key"), key);
        assert_eq!((head.header("upload-length"), head.header("cache-control")), ("3000000", "no-store"));
    }
    assert_eq!(tus.object(&url).await.unwrap(), bytes);
    assert!(!tus.file(&url).exists());
    let metadata = sqlx::query("SELECT * FROM uploads").fetch_one(&database(&server).await).await.unwrap();
    let told: Vec<String> =
        (0..metadata.len()).filter_map(|i| metadata.try_get::<String, _>(i).ok()).collect();
    assert!(told.len() > 2 && told.iter().all(|text| !text.contains("c2VjcmV0")), "{told:?}");
    assert_eq!(tus.head(&url).await.header("upload-metadata"), "filename c2VjcmV0LmpwZw==");
    // The end again, as after an answer that was lost; and the beginning again, which is refused.
    let again = tus.append(&url, bytes.len(), &[]).await;
    assert_eq!((again.status.as_u16(), again.header("upload-offset")), (204, "3000000"));
    tus.append(&url, 0, &bytes[..10]).await.failed(409, Some("CONFLICT"));
    let thumbnail = vault.store(&noise(2, 100)).await;
    let album = vault.album().await;
    let file = vault.post("/files", commit_body(album, (&key, bytes.len()), (&thumbnail, 100))).await.ok();
    assert_eq!(vault.download(file["id"].as_i64().unwrap()).await, bytes);
    // Termination comes too late, and harms nothing.
    assert_eq!(tus.delete(&url).await.status, 204);
    assert_eq!(tus.head(&url).await.status, 404);
    assert_eq!(vault.download(file["id"].as_i64().unwrap()).await, bytes);
}

#[tokio::test]
async fn creation_may_bring_the_first_bytes() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(3, 100_000);
    for first in [40_000, 100_000] {
        let request =
            tus.creation(bytes.len()).header("Content-Type", OFFSET_STREAM).body(bytes[..first].to_vec());
        let answer = Answer::of(request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("upload-offset")),
            (201, first.to_string().as_str())
        );
        let digest = chunk_digest(blake3::hash(&bytes[..first]).as_bytes());
        assert_eq!(answer.header("darkslide-chunk-digest"), digest);
        let url = answer.header("location");
        if first < bytes.len() {
            assert_eq!(tus.append(url, first, &bytes[first..]).await.status, 204);
        }
        assert_eq!(tus.object(url).await.unwrap(), bytes);
    }
    // A body that is refused leaves nothing behind: nobody has heard of its upload.
    let wrong = tus.creation(10).header("Content-Type", OFFSET_STREAM).body(vec![1; 11]);
    Answer::of(wrong).await.failed(413, Some("TOO_LARGE"));
    let hash = format!("sha1 {}", STANDARD.encode([0; 20]));
    let wrong = tus
        .creation(10)
        .header("Content-Type", OFFSET_STREAM)
        .header("Upload-Checksum", hash)
        .body(vec![1; 9]);
    Answer::of(wrong).await.failed(460, Some("CHECKSUM_MISMATCH"));
    let rows: i64 = sqlx::query("SELECT COUNT(*) FROM uploads WHERE state = 'open'")
        .fetch_one(&database(&server).await)
        .await
        .unwrap()
        .get(0);
    assert_eq!(rows, 0);
    assert_eq!(std::fs::read_dir(server.folder().join("uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn every_answer_says_which_tus_is_spoken() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let url = tus.begin(10).await;
    for path in [server.url("/v1/uploads"), url.clone()] {
        let options = Answer::of(server.http.request(Method::OPTIONS, &path)).await;
        assert_eq!(options.status, 200);
        for (name, value) in [
            ("tus-resumable", "1.0.0"),
            ("tus-version", "1.0.0"),
            ("tus-extension", "creation,creation-with-upload,checksum,expiration,termination"),
            ("tus-checksum-algorithm", "sha1,sha256,md5,blake3"),
            ("tus-max-size", "10737418240"),
        ] {
            assert_eq!(options.header(name), value);
        }
        let allowed = options.header("access-control-allow-headers").to_lowercase();
        let exposed = options.header("access-control-expose-headers").to_lowercase();
        assert!(allowed.contains("tus-resumable") && exposed.contains("upload-offset"), "{options:?}");
    }
    // Another version, or none: nothing is done, whoever asks.
    for version in [None, Some("0.2.2")] {
        for (method, path) in [
            (Method::POST, server.url("/v1/uploads")),
            (Method::PATCH, url.clone()),
            (Method::DELETE, url.clone()),
        ] {
            let mut request = server.http.request(method, path).header("X-Auth-Token", &tus.token);
            if let Some(version) = version {
                request = request.header("Tus-Resumable", version);
            }
            let answer = Answer::of(request.header("Upload-Length", "5").header("Upload-Offset", "0")).await;
            answer.failed(412, Some("PRECONDITION_FAILED"));
            assert_eq!((answer.header("tus-version"), answer.header("tus-resumable")), ("1.0.0", "1.0.0"));
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_changes_nothing() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let url = tus.begin(10).await;
    let check = async |request: RequestBuilder, status: u16, code: &str| {
        let answer = Answer::of(request).await;
        answer.failed(status, Some(code));
        assert_eq!(answer.header("tus-resumable"), "1.0.0");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    };
    let uploads = server.url("/v1/uploads");
    check(tus.request(Method::POST, &uploads), 400, "BAD_REQUEST").await;
    check(tus.creation(0), 400, "BAD_REQUEST").await;
    check(tus.creation("ten"), 400, "BAD_REQUEST").await;
    check(tus.creation(OBJECT_BYTES_MAX + 1), 413, "TOO_LARGE").await;
    check(tus.creation(5).header("Upload-Defer-Length", "1"), 400, "BAD_REQUEST").await;
    check(tus.creation(5).header("Upload-Concat", "partial"), 400, "BAD_REQUEST").await;
    check(tus.creation(5).body("hello"), 415, "UNSUPPORTED_MEDIA_TYPE").await;
    let stranger = Tus { server: &server, token: "x".to_owned(), account: tus.account };
    check(stranger.creation(5), 401, "UNAUTHORIZED").await;
    let typed = |kind: &str| {
        let request = tus.request(Method::PATCH, &url).header("Content-Type", kind.to_owned());
        request.header("Upload-Offset", "0").body("hello")
    };
    check(typed("application/octet-stream"), 415, "UNSUPPORTED_MEDIA_TYPE").await;
    check(
        tus.request(Method::PATCH, &url).header("Content-Type", OFFSET_STREAM).body("hello"),
        400,
        "BAD_REQUEST",
    )
    .await;
    check(tus.patch(&url, 5, b"hello"), 409, "CONFLICT").await;
    check(tus.patch(&url, 0, &[0; 11]), 413, "TOO_LARGE").await;
    check(tus.patch(&url, 0, b"x").header("Upload-Checksum", "crc32 AAAAAA=="), 400, "BAD_REQUEST").await;
    for id in ["nothing", "00000000-0000-4000-8000-000000000000"] {
        let unknown = format!("{uploads}/{id}");
        check(tus.patch(&unknown, 0, b"hello"), 404, "NOT_FOUND").await;
        check(tus.request(Method::DELETE, &unknown), 404, "NOT_FOUND").await;
        assert_eq!(tus.head(&unknown).await.status, 404);
    }
    check(tus.request(Method::PUT, &url), 405, "METHOD_NOT_ALLOWED").await;
    assert_eq!(tus.offset(&url).await, 0);
    // A client that can only POST says what it means.
    let meant = tus.patch(&url, 0, b"hello").build().unwrap();
    let post = server
        .http
        .post(&url)
        .headers(meant.headers().clone())
        .header("X-HTTP-Method-Override", "PATCH")
        .body("hello");
    assert_eq!(Answer::of(post).await.status, 204);
    assert_eq!(tus.offset(&url).await, 5);
}

#[tokio::test]
async fn nobody_sees_the_uploads_of_others() {
    let server = TestServer::start().await;
    let (anna, bert) =
        (Tus::new(&server, "anna@example.org").await, Tus::new(&server, "bert@example.org").await);
    let url = anna.begin(5).await;
    assert_eq!(bert.head(&url).await.status, 404);
    bert.append(&url, 0, b"hello").await.failed(404, Some("NOT_FOUND"));
    bert.delete(&url).await.failed(404, Some("NOT_FOUND"));
    assert_eq!(anna.append(&url, 0, b"hello").await.status, 204);
}

/// One of the algorithms that are offered.
type Hash = fn(&[u8]) -> Vec<u8>;

#[tokio::test]
async fn a_body_with_another_hash_is_forgotten() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(4, 1_500_000);
    let url = tus.begin(bytes.len()).await;
    let hashes: [(&str, Hash); 4] = [
        ("sha1", |bytes| Sha1::digest(bytes).to_vec()),
        ("sha256", |bytes| sha2::Sha256::digest(bytes).to_vec()),
        ("md5", |bytes| md5::Md5::digest(bytes).to_vec()),
        ("blake3", |bytes| blake3::hash(bytes).as_bytes().to_vec()),
    ];
    for (index, piece) in bytes.chunks(375_000).enumerate() {
        let (name, hash) = hashes[index];
        let offset = index * 375_000;
        let announced = format!("{name} {}", STANDARD.encode(hash(piece)));
        let mut damaged = piece.to_vec();
        damaged[1000] ^= 1;
        let request = tus.patch(&url, offset, &damaged).header("Upload-Checksum", &announced);
        Answer::of(request).await.failed(460, Some("CHECKSUM_MISMATCH"));
        assert_eq!(tus.offset(&url).await, offset, "{name}");
        let request = tus.patch(&url, offset, piece).header("Upload-Checksum", &announced);
        assert_eq!(Answer::of(request).await.status, 204, "{name}");
    }
    assert_eq!(tus.object(&url).await.unwrap(), bytes);
}

#[tokio::test]
async fn termination_removes_the_row_and_the_file_also_while_bytes_come() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    for busy in [false, true] {
        let url = tus.begin(1_000_000).await;
        assert_eq!(tus.append(&url, 0, &[7; 1000]).await.status, 204);
        let stream =
            if busy { Some(tus.patch_partly(&url, 1000, 999_000, &vec![7; 600_000]).await) } else { None };
        if busy {
            until("it is at work", async || tus.file(&url).metadata().unwrap().len() > 1000).await;
        }
        let answer = tus.delete(&url).await;
        assert_eq!(answer.status, 204, "{answer:?}");
        drop(stream);
        assert!(!tus.file(&url).exists());
        assert_eq!(tus.head(&url).await.status, 404);
        tus.append(&url, 1000, &[7; 10]).await.failed(404, Some("NOT_FOUND"));
        tus.delete(&url).await.failed(404, Some("NOT_FOUND"));
    }
}

/// It was 410, while `HEAD` was 200.
#[tokio::test]
async fn termination_gives_up_an_object_that_no_commit_has_named() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "tus@example.org").await;
    let tus = Tus { server: &server, token: vault.person.token.clone(), account: vault.person.id };
    let url = tus.begin(5).await;
    assert_eq!(tus.append(&url, 0, b"hello").await.status, 204);
    let (key, blob) = (tus.at(&url).key().0, tus.row(&url).await.blob);
    let place = server.folder().join("objects").join(&blob.as_str()[..2]).join(blob.as_str());
    assert!(place.exists());
    assert_eq!(tus.delete(&url).await.status, 204);
    assert_eq!(tus.head(&url).await.status, 404);
    tus.append(&url, 5, b"").await.failed(404, Some("NOT_FOUND"));
    tus.delete(&url).await.failed(404, Some("NOT_FOUND"));
    let album = vault.album().await;
    let thumbnail = vault.store(&noise(2, 100)).await;
    let commit = vault.post("/files", commit_body(album, (&key, 5), (&thumbnail, 100))).await;
    assert_eq!(commit.status, 503, "{commit:?}");
    assert_eq!(expire(&server.shared, now()).await.unwrap().objects, 1);
    assert!(!place.exists());
}

/// What is told of an upload is told again to the session that told it, also after a restart, and kept for nobody else to read.
#[tokio::test]
async fn what_is_told_of_an_upload_is_told_again() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let told = "filename c2VjcmV0LmpwZw==,is_confidential";
    let url = Answer::of(tus.creation(5).header("Upload-Metadata", told)).await.header("location").to_owned();
    assert_eq!(tus.head(&url).await.header("upload-metadata"), told);
    let plain = tus.begin(5).await;
    assert_eq!(tus.head(&plain).await.header("upload-metadata"), "");
    let long = "x".repeat(4097);
    Answer::of(tus.creation(5).header("Upload-Metadata", long)).await.failed(400, Some("BAD_REQUEST"));
    let (token, account) = (tus.token.clone(), tus.account);
    let id = url.rsplit('/').next().unwrap().to_owned();
    let server = TestServer::start_in(server.stop().await, raw_config()).await;
    let tus = Tus { server: &server, token, account };
    let url = server.url(&format!("/v1/uploads/{id}"));
    assert_eq!(tus.append(&url, 0, b"hello").await.status, 204);
    assert_eq!(tus.head(&url).await.header("upload-metadata"), told);
}

/// A body that began at the end was neither read nor hashed: 204, whatever it was.
#[tokio::test]
async fn nothing_comes_behind_the_end() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let url = tus.begin(5).await;
    assert_eq!(tus.append(&url, 0, b"hello").await.status, 204);
    // It does not say how long it is.
    let streamed = |bytes: &'static [u8]| {
        let body = reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(bytes)]));
        tus.patch(&url, 5, b"").body(body)
    };
    let sha1 = |bytes: &[u8]| format!("sha1 {}", STANDARD.encode(Sha1::digest(bytes)));
    for announced in [None, Some(sha1(b" world")), Some(sha1(b"other"))] {
        let mut request = streamed(b" world");
        if let Some(announced) = announced {
            request = request.header("Upload-Checksum", announced);
        }
        Answer::of(request).await.failed(413, Some("TOO_LARGE"));
    }
    for request in [streamed(b""), tus.patch(&url, 5, b"")] {
        let request = request.header("Upload-Checksum", sha1(b"other"));
        Answer::of(request).await.failed(460, Some("CHECKSUM_MISMATCH"));
    }
    for request in [streamed(b""), tus.patch(&url, 5, b"")] {
        assert_eq!(Answer::of(request.header("Upload-Checksum", sha1(b""))).await.status, 204);
    }
    assert_eq!(tus.object(&url).await.unwrap(), b"hello");
    // Nor over it, with a hash or without one.
    let url = tus.begin(5).await;
    for announced in ["", "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="] {
        let body = futures_util::stream::iter([Ok::<_, std::io::Error>(&b"hello world"[..])]);
        let mut request = tus.patch(&url, 0, b"").body(reqwest::Body::wrap_stream(body));
        if !announced.is_empty() {
            request = request.header("Upload-Checksum", announced);
        }
        Answer::of(request).await.failed(413, Some("TOO_LARGE"));
        assert_eq!(tus.offset(&url).await, 0);
    }
}

/// tus: "in every `PATCH` response if the upload is going to expire".
#[tokio::test]
async fn a_refusal_too_says_until_when_an_upload_lives() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let url = tus.begin(10).await;
    let expires = tus.head(&url).await.header("upload-expires").to_owned();
    assert!(expires.ends_with(" GMT"), "{expires}");
    let hash = format!("sha1 {}", STANDARD.encode([0; 20]));
    for (request, status) in [
        (tus.patch(&url, 5, b"hello"), 409),
        (tus.patch(&url, 0, &[0; 11]), 413),
        (tus.patch(&url, 0, b"hello").header("Upload-Checksum", &hash), 460),
        (tus.patch(&url, 0, b"hello").header("Upload-Checksum", "crc32 AAAAAA=="), 400),
        (tus.request(Method::PATCH, &url).header("Upload-Offset", "0").body("hello"), 415),
    ] {
        let answer = Answer::of(request).await;
        assert_eq!((answer.status.as_u16(), answer.header("upload-expires")), (status, expires.as_str()));
    }
    // Not to whoever may not see it, and not of one that is gone.
    let stranger = Tus::new(&server, "stranger@example.org").await;
    let answer = stranger.append(&url, 5, b"hello").await;
    assert_eq!((answer.status.as_u16(), answer.header("upload-expires")), (404, ""));
}

#[tokio::test]
async fn uploads_that_nobody_goes_on_with_expire() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let (left, done) = (tus.begin(100).await, tus.begin(5).await);
    assert_eq!(tus.append(&left, 0, &[1; 50]).await.status, 204);
    assert_eq!(tus.append(&done, 0, b"hello").await.status, 204);
    let orphan = server.folder().join("uploads").join(uuid::Uuid::new_v4().to_string());
    std::fs::write(&orphan, b"nobody's").unwrap();
    let week = 7 * DAY_MICROS;
    assert_eq!(expire(&server.shared, now() + week - DAY_MICROS).await.unwrap().uploads, 0);
    assert_eq!(sweep_orphans(&server.shared, now()).await.unwrap().orphans, 0);
    assert_eq!(sweep_orphans(&server.shared, now() + 2 * DAY_MICROS).await.unwrap().orphans, 1);
    assert!(!orphan.exists() && tus.file(&left).exists());
    // Expired, and not yet reaped.
    sqlx::query("UPDATE uploads SET expires_at = 1 WHERE id = $1")
        .bind(tus.at(&left).object.to_string())
        .execute(&database(&server).await)
        .await
        .unwrap();
    tus.append(&left, 50, &[1; 50]).await.failed(410, Some("GONE"));
    tus.delete(&left).await.failed(410, Some("GONE"));
    assert_eq!(tus.head(&left).await.status, 410);
    assert_eq!(expire(&server.shared, now() + week + DAY_MICROS).await.unwrap().uploads, 2);
    assert!(!tus.file(&left).exists());
    assert_eq!(tus.head(&left).await.status, 404);
    assert_eq!(tus.object(&done).await.unwrap(), b"hello");
}

/// `HEAD` called it whole, and no commit of it succeeded ever again.
#[tokio::test]
async fn an_upload_whose_object_was_given_up_is_gone() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let url = tus.begin(5).await;
    assert_eq!(tus.append(&url, 0, b"bytes").await.status, 204);
    assert_eq!(tus.offset(&url).await, 5);
    assert_eq!(tus.append(&url, 5, b"").await.status, 204);
    execute(&server, "UPDATE objects SET expires_at = 1").await;
    expire(&server.shared, now()).await.unwrap();
    assert_eq!(tus.head(&url).await.status, 410);
    tus.append(&url, 5, b"").await.failed(410, Some("GONE"));
    assert_eq!(tus.delete(&url).await.status, 410);
}

#[tokio::test]
async fn quota_and_rate_are_those_of_every_upload() {
    let server = TestServer::start_with(RawConfig { upload_url_rate: Some(1), ..raw_config() }).await;
    let tus = Tus::new(&server, "tus@example.org").await;
    operator::set_quota(&server.shared.store, "tus@example.org", Some(1)).await.unwrap();
    // 50 MiB of grace, as every client is granted.
    Answer::of(tus.creation(60 << 20)).await.failed(426, Some("QUOTA_EXCEEDED"));
    // Twenty may begin for each upload URL; where they are slowly sent, more come into the minute.
    let mut begun = 0;
    let refused = loop {
        let answer = Answer::of(tus.creation(10)).await;
        if answer.status != 201 || begun == 100 {
            break answer;
        }
        begun += 1;
    };
    assert!(begun >= 19, "{begun}");
    refused.failed(429, Some("RATE_LIMITED"));
}

#[tokio::test]
async fn a_deleted_accounts_uploads_are_over() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let url = tus.begin(10).await;
    assert_eq!(tus.append(&url, 0, &[1; 5]).await.status, 204);
    assert!(server.shared.store.delete_account(tus.account).await.unwrap());
    assert_eq!(expire(&server.shared, now()).await.unwrap().uploads, 1);
    assert!(!tus.file(&url).exists());
}
