//! Resumable uploads over HTTP: every header that tus 1.0 asks for, every way to be cut, and what is durable when.
//! It is long because each way in which an upload can be cut is a test of its own.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod support;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use darkslide_protocol::AccountId;
use darkslide_protocol::limits::{DAY_MICROS, OBJECT_BYTES_MAX};
use darkslide_protocol::tus::chunk_digest;
use darkslide_server::config::RawConfig;
use darkslide_server::jobs::expire::{expire, sweep_orphans};
use darkslide_server::objects::Objects;
use darkslide_server::operator;
use darkslide_server::store::resumable::Upload;
use darkslide_server::store::uploads::ObjectAddress;
use reqwest::{Method, RequestBuilder};
use sha1::{Digest as _, Sha1};
use sqlx::Row as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::vault::{Vault, commit_body, noise};
use support::{Answer, TestServer, raw_config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const OFFSET_STREAM: &str = "application/offset+octet-stream";

/// Somebody who speaks tus, on a server.
struct Tus<'s> {
    server: &'s TestServer,
    token: String,
    account: AccountId,
}

impl<'s> Tus<'s> {
    async fn new(server: &'s TestServer, email: &str) -> Self {
        let vault = Vault::new(server, email).await;
        Self { server, token: vault.person.token.clone(), account: vault.person.id }
    }

    fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.server
            .http
            .request(method, url)
            .header("Tus-Resumable", "1.0.0")
            .header("X-Auth-Token", &self.token)
    }

    fn creation(&self, length: impl std::fmt::Display) -> RequestBuilder {
        let url = self.server.url("/v1/uploads");
        self.request(Method::POST, &url).header("Upload-Length", length.to_string())
    }

    async fn begin(&self, length: usize) -> String {
        let answer = Answer::of(self.creation(length)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.header("location").to_owned()
    }

    fn patch(&self, url: &str, offset: usize, bytes: &[u8]) -> RequestBuilder {
        self.request(Method::PATCH, url)
            .header("Content-Type", OFFSET_STREAM)
            .header("Upload-Offset", offset.to_string())
            .body(bytes.to_vec())
    }

    async fn append(&self, url: &str, offset: usize, bytes: &[u8]) -> Answer {
        Answer::of(self.patch(url, offset, bytes)).await
    }

    async fn head(&self, url: &str) -> Answer {
        Answer::of(self.request(Method::HEAD, url)).await
    }

    async fn offset(&self, url: &str) -> usize {
        let answer = self.head(url).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.header("upload-offset").parse().unwrap()
    }

    async fn delete(&self, url: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, url)).await
    }

    /// A `PATCH` on a connection of its own, whose body stops after `sent` of `declared` bytes. The connection stays open.
    async fn patch_partly(&self, url: &str, offset: usize, declared: usize, sent: &[u8]) -> TcpStream {
        let url = url::Url::parse(url).unwrap();
        let mut stream = TcpStream::connect(self.server.address).await.unwrap();
        let head = format!(
            "PATCH {} HTTP/1.1\r\nHost: {}\r\nTus-Resumable: 1.0.0\r\nX-Auth-Token: {}\r\nContent-Type: {OFFSET_STREAM}\r\n\
             Upload-Offset: {offset}\r\nContent-Length: {declared}\r\nConnection: close\r\n\r\n",
            url.path(),
            self.server.address,
            self.token,
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(sent).await.unwrap();
        stream
    }

    fn at(&self, url: &str) -> ObjectAddress {
        let id = url.rsplit('/').next().unwrap();
        ObjectAddress { account: self.account, object: uuid::Uuid::parse_str(id).unwrap() }
    }

    async fn row(&self, url: &str) -> Upload {
        self.server.shared.store.upload(self.at(url)).await.unwrap().unwrap()
    }

    /// What is stored of an object, by its key.
    async fn object(&self, url: &str) -> Option<Vec<u8>> {
        let row =
            sqlx::query("SELECT blob, length, etag, digest FROM objects WHERE key = $1 AND state = 'stored'")
                .bind(self.at(url).key().0)
                .fetch_optional(&database(self.server).await)
                .await
                .unwrap()?;
        let blob: String = row.get("blob");
        let bytes = std::fs::read(self.server.folder().join("objects").join(&blob[..2]).join(&blob)).unwrap();
        let hex = blake3::hash(&bytes).to_hex();
        assert_eq!(usize::try_from(row.get::<i64, _>("length")).unwrap(), bytes.len());
        assert_eq!(row.get::<String, _>("digest"), format!("b3:{hex}"));
        assert_eq!(row.get::<String, _>("etag"), hex[..32]);
        Some(bytes)
    }

    fn file(&self, url: &str) -> std::path::PathBuf {
        self.server.folder().join("uploads").join(self.at(url).object.to_string())
    }
}

async fn database(server: &TestServer) -> sqlx::AnyPool {
    let url = server.shared.config.effective_database_url();
    sqlx::any::AnyPoolOptions::new().max_connections(1).connect(url.expose()).await.unwrap()
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// Waits until a condition holds that something under way brings about.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let patience = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_mins(1), patience).await.is_ok(), "never came: {what}");
}

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
    // The end again, as after an answer that was lost; and the beginning again, which is refused.
    let again = tus.append(&url, bytes.len(), &[]).await;
    assert_eq!((again.status.as_u16(), again.header("upload-offset")), (204, "3000000"));
    tus.append(&url, 0, &bytes[..10]).await.failed(409, Some("CONFLICT"));
    let thumbnail = vault.store(&noise(2, 100)).await;
    let album = vault.album().await;
    let file = vault.post("/files", commit_body(album, (&key, bytes.len()), (&thumbnail, 100))).await.ok();
    assert_eq!(vault.download(file["id"].as_i64().unwrap()).await, bytes);
    // Termination comes too late, and harms nothing.
    tus.delete(&url).await.failed(410, Some("GONE"));
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
async fn a_cut_connection_loses_nothing_that_came() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(5, 2_000_000);
    let url = tus.begin(bytes.len()).await;
    // Cut after nothing, after one byte, within a batch, beyond it, and just before the end.
    let mut offset = 0;
    for end in [0, 1, 300_000, 1_200_000, 1_999_999] {
        let stream = tus.patch_partly(&url, offset, bytes.len() - offset, &bytes[offset..end]).await;
        drop(stream);
        until("what was sent is recorded", async || tus.row(&url).await.offset == end as u64).await;
        offset = end;
        let head = tus.head(&url).await;
        assert_eq!(head.header("upload-offset"), end.to_string());
    }
    assert_eq!(tus.append(&url, offset, &bytes[offset..]).await.status, 204);
    assert_eq!(tus.object(&url).await.unwrap(), bytes);
}

#[tokio::test]
async fn the_digest_of_what_came_before_a_cut_can_be_asked_for() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(6, 1_000_000);
    let url = tus.begin(bytes.len()).await;
    assert_eq!(tus.append(&url, 0, &bytes[..100_000]).await.status, 204);
    drop(tus.patch_partly(&url, 100_000, 900_000, &bytes[100_000..700_000]).await);
    until("what was sent is recorded", async || tus.row(&url).await.offset == 700_000).await;
    let head = tus.head(&url).await;
    assert_eq!(head.header("darkslide-chunk-offset"), "100000");
    let digest = chunk_digest(blake3::hash(&bytes[100_000..700_000]).as_bytes());
    assert_eq!(head.header("darkslide-chunk-digest"), digest);
}

#[tokio::test]
async fn the_newest_client_wins() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(7, 1_000_000);
    let url = tus.begin(bytes.len()).await;
    // Silent, but connected: a HEAD makes it record what it has and end.
    let mut first = tus.patch_partly(&url, 0, bytes.len(), &bytes[..600_000]).await;
    until("the first is at work", async || tus.file(&url).metadata().is_ok_and(|file| file.len() > 0)).await;
    let offset = tus.offset(&url).await;
    let mut said = String::new();
    first.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 409 "), "{said}");
    // What was still in the network when the HEAD came may be missing.
    assert!((1..=600_000).contains(&offset), "{offset}");
    let mut second = tus.patch_partly(&url, offset, bytes.len() - offset, &bytes[offset..offset + 10]).await;
    until("the second is at work", async || tus.file(&url).metadata().unwrap().len() >= offset as u64).await;
    // A PATCH that goes on from where the second will have stopped: it waits for it, and then goes on or is told to look again.
    let third = loop {
        let offset = tus.offset(&url).await;
        let answer = tus.append(&url, offset, &bytes[offset..]).await;
        if answer.status == 204 {
            break answer;
        }
        answer.failed(409, Some("CONFLICT"));
    };
    assert_eq!(third.header("upload-offset"), "1000000");
    let mut said = String::new();
    second.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 409 "), "{said}");
    assert_eq!(tus.object(&url).await.unwrap(), bytes);
}

#[tokio::test]
async fn two_clients_that_race_for_one_upload_make_one_object() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(8, 3_000_000);
    let url = tus.begin(bytes.len()).await;
    let race = async || loop {
        let head = tus.head(&url).await;
        assert_eq!(head.status, 200);
        let offset: usize = head.header("upload-offset").parse().unwrap();
        if offset == bytes.len() {
            return;
        }
        let end = bytes.len().min(offset + 700_000);
        // A connection that was broken off is as good as a refusal.
        if let Ok(response) = tus.patch(&url, offset, &bytes[offset..end]).send().await {
            assert!([204, 409].contains(&response.status().as_u16()), "{response:?}");
        }
    };
    tokio::join!(race(), race());
    assert_eq!(tus.object(&url).await.unwrap(), bytes);
}

#[tokio::test]
async fn two_processes_over_one_folder_never_write_one_upload_together() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(9, 1_000_000);
    let url = tus.begin(bytes.len()).await;
    let other = Objects::open(server.folder()).unwrap();
    let held = other.open_growing(tus.at(&url).object, 0, None, None).await.unwrap();
    tus.append(&url, 0, &bytes).await.failed(423, Some("LOCKED"));
    drop(held);
    assert_eq!(tus.append(&url, 0, &bytes[..500_000]).await.status, 204);
    let before = writer(&server).await;
    // Another process takes the upload over in the database: the one that is at work may not record any more.
    let mut stale = tus.patch_partly(&url, 500_000, 500_000, &bytes[500_000..800_000]).await;
    until("it has taken the upload", async || writer(&server).await != before).await;
    server.shared.store.take_upload(tus.at(&url), 500_000, uuid::Uuid::new_v4()).await.unwrap();
    stale.write_all(&bytes[800_000..]).await.unwrap();
    let mut said = String::new();
    stale.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 409 "), "{said}");
    assert_eq!(tus.offset(&url).await, 500_000);
    assert_eq!(tus.append(&url, 500_000, &bytes[500_000..]).await.status, 204);
    assert_eq!(tus.object(&url).await.unwrap(), bytes);
}

async fn writer(server: &TestServer) -> Option<String> {
    let pool = database(server).await;
    sqlx::query("SELECT writer FROM uploads").fetch_one(&pool).await.unwrap().get(0)
}

#[tokio::test]
async fn a_restarted_server_goes_on_and_trusts_nothing_that_was_not_recorded() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(10, 2_000_000);
    let url = tus.begin(bytes.len()).await;
    assert_eq!(tus.append(&url, 0, &bytes[..900_000]).await.status, 204);
    let (token, account, path) = (tus.token.clone(), tus.account, tus.file(&url));
    let id = url.rsplit('/').next().unwrap().to_owned();
    // What a kill leaves: bytes behind the recorded offset, which may be anything.
    let mut file = std::fs::read(&path).unwrap();
    file.extend_from_slice(&[0xff; 5000]);
    std::fs::write(&path, file).unwrap();
    let folder = server.stop().await;
    let server = TestServer::start_in(folder, raw_config()).await;
    let tus = Tus { server: &server, token, account };
    let url = server.url(&format!("/v1/uploads/{id}"));
    assert_eq!(tus.offset(&url).await, 900_000);
    assert_eq!(tus.append(&url, 900_000, &bytes[900_000..]).await.status, 204);
    assert_eq!(tus.object(&url).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_stopping_server_records_what_came_and_says_that_it_stops() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(11, 1_000_000);
    let url = tus.begin(bytes.len()).await;
    let mut stream = tus.patch_partly(&url, 0, bytes.len(), &bytes[..700_000]).await;
    // Two batches are in the file when the third is begun.
    until("it is at work", async || tus.file(&url).metadata().is_ok_and(|file| file.len() >= 524_288)).await;
    let (token, account) = (tus.token.clone(), tus.account);
    let id = url.rsplit('/').next().unwrap().to_owned();
    let folder = server.stop().await;
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    let server = TestServer::start_in(folder, raw_config()).await;
    let tus = Tus { server: &server, token, account };
    let url = server.url(&format!("/v1/uploads/{id}"));
    let offset = tus.offset(&url).await;
    assert!((524_288..=700_000).contains(&offset), "{offset}");
    assert_eq!(tus.append(&url, offset, &bytes[offset..]).await.status, 204);
    assert_eq!(tus.object(&url).await.unwrap(), bytes);
}

/// A crash between any two of the steps that make an object of a whole upload.
#[tokio::test]
async fn a_crash_at_the_end_is_put_right_by_whoever_asks_next() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(12, 100_000);
    for (moved, asked_by_head) in [(false, true), (false, false), (true, true), (true, false)] {
        let url = tus.begin(bytes.len()).await;
        assert_eq!(tus.append(&url, 0, &bytes[..50_000]).await.status, 204);
        // The last bytes are flushed and recorded, and there it ended.
        let mut file = std::fs::read(tus.file(&url)).unwrap();
        file.extend_from_slice(&bytes[50_000..]);
        std::fs::write(tus.file(&url), file).unwrap();
        sqlx::query("UPDATE uploads SET durable_offset = length WHERE id = $1")
            .bind(tus.at(&url).object.to_string())
            .execute(&database(&server).await)
            .await
            .unwrap();
        if moved {
            let blob = tus.row(&url).await.blob;
            let place = server.folder().join("objects").join(&blob.as_str()[..2]).join(blob.as_str());
            std::fs::rename(tus.file(&url), &place).unwrap();
            // The sweep of blobs that nothing names knows that this one will be named.
            let swept = sweep_orphans(&server.shared, now() + 2 * DAY_MICROS).await.unwrap();
            assert_eq!(swept.orphans, 0);
        }
        assert!(tus.object(&url).await.is_none());
        if asked_by_head {
            assert_eq!(tus.offset(&url).await, bytes.len());
        } else {
            assert_eq!(tus.append(&url, bytes.len(), &[]).await.status, 204);
        }
        assert_eq!(tus.object(&url).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn lost_bytes_are_told_and_the_upload_is_given_up() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let url = tus.begin(100).await;
    assert_eq!(tus.append(&url, 0, &[1; 50]).await.status, 204);
    std::fs::write(tus.file(&url), [1; 49]).unwrap();
    tus.append(&url, 50, &[1; 50]).await.failed(410, Some("GONE"));
    assert_eq!(tus.head(&url).await.status, 404);
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

#[tokio::test]
async fn quota_and_rate_are_those_of_every_upload() {
    let server = TestServer::start_with(RawConfig { upload_url_rate: Some(4), ..raw_config() }).await;
    let tus = Tus::new(&server, "tus@example.org").await;
    operator::set_quota(&server.shared.store, "tus@example.org", Some(1)).await.unwrap();
    // 50 MiB of grace, as every client is granted.
    Answer::of(tus.creation(60 << 20)).await.failed(426, Some("QUOTA_EXCEEDED"));
    for _ in 0..3 {
        assert_eq!(Answer::of(tus.creation(10)).await.status, 201);
    }
    Answer::of(tus.creation(10)).await.failed(429, Some("RATE_LIMITED"));
}

#[tokio::test]
async fn a_silent_sender_is_let_go_and_what_it_sent_is_kept() {
    let server = TestServer::start_with(RawConfig { idle_timeout: Some(1), ..raw_config() }).await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let url = tus.begin(1000).await;
    let mut stream = tus.patch_partly(&url, 0, 1000, &[5; 400]).await;
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 40"), "{said}");
    assert_eq!(tus.offset(&url).await, 400);
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
