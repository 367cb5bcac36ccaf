//! The ordered feed and the news of it over HTTP: pages, limits, streams that begin and end as they should.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test needs and does not get fails the test"
)]

mod support;

use darkslide_protocol::Version;
use darkslide_protocol::change::{Changes, Newest};
use darkslide_protocol::problem::PROBLEM_JSON;
use darkslide_server::config::RawConfig;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use support::mirror::Mirror;
use support::vault::{Vault, keys};
use support::{Answer, TestServer, raw_config};

/// An album with three files, of which one is in the trash.
async fn filled(vault: &Vault<'_>) -> i64 {
    let album = vault.album().await;
    for seed in 1..=3 {
        vault.file(album, seed).await;
    }
    let first = vault.live(album).await[0];
    vault.trash(&[(first, album)]).await.ok();
    album
}

async fn page(vault: &Vault<'_>, query: &str) -> Changes {
    serde_json::from_value(vault.get(&format!("/v1/changes{query}")).await.ok()).unwrap()
}

/// Times and versions are another each time.
fn scrubbed(value: Value) -> Value {
    match value {
        Value::Number(number) if number.as_i64().is_some_and(|number| number > 1 << 40) => json!("µs"),
        Value::Array(values) => values.into_iter().map(scrubbed).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, scrubbed(value))).collect(),
        other => other,
    }
}

#[tokio::test]
async fn a_page_has_each_kind_of_change() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "ada@example.org").await;
    filled(&vault).await;
    insta::assert_json_snapshot!(scrubbed(vault.get("/v1/changes").await.ok()));
    insta::assert_json_snapshot!(scrubbed(vault.get("/v1/changes?limit=1").await.ok()));
}

#[tokio::test]
async fn pages_over_http_make_the_mirror_that_the_base_api_makes() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "ada@example.org").await;
    let album = filled(&vault).await;
    let mut mirror = Mirror::after(vault.person.id, Version(0));
    while mirror.take(page(&vault, &format!("?limit=2&after={}", mirror.cursor)).await, 2) {}
    mirror.must_be_what_the_base_says(&server.shared.store).await;
    let end = page(&vault, &format!("?after={}", mirror.cursor)).await;
    assert_eq!((end.changes.len(), end.next, end.has_more), (0, mirror.cursor, false));
    let trashed = *mirror.trash.keys().next().unwrap();
    vault.post("/collections/restore-files", keys(album, &[trashed.0])).await.ok();
    assert!(!mirror.take(page(&vault, &format!("?after={}", mirror.cursor)).await, 2500));
    mirror.must_be_what_the_base_says(&server.shared.store).await;
}

#[tokio::test]
async fn a_limit_beyond_the_largest_is_the_largest_and_nonsense_is_refused() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "ada@example.org").await;
    filled(&vault).await;
    for limit in ["99999999", "99999999999999999999"] {
        assert_eq!(page(&vault, &format!("?limit={limit}")).await.changes.len(), 5, "{limit}");
    }
    assert_eq!(page(&vault, "?after=0&limit=4&ts=1").await.changes.len(), 4);
    for query in ["?limit=0", "?limit=x", "?limit=-1", "?after=x", "?after="] {
        let answer = vault.get(&format!("/v1/changes{query}")).await;
        answer.failed(400, Some("BAD_REQUEST"));
        assert_eq!(answer.header("content-type"), PROBLEM_JSON);
    }
}

#[tokio::test]
async fn both_calls_need_a_session() {
    let server = TestServer::start().await;
    for path in ["/v1/changes", "/v1/changes/live"] {
        server.get(path, "nonsense").await.failed(401, Some("UNAUTHORIZED"));
        let request = server.request(Method::GET, path);
        Answer::of(request.header("X-Client-Package", "io.ente.auth"))
            .await
            .failed(401, Some("UNAUTHORIZED"));
    }
}

/// A stream of news, read line by line.
struct News {
    response: Response,
    text: String,
}

impl News {
    async fn open(vault: &Vault<'_>) -> Result<Self, StatusCode> {
        let request = vault.server.request(Method::GET, "/v1/changes/live");
        let response = request.header("X-Auth-Token", &vault.person.token).send().await.unwrap();
        if response.status() != StatusCode::OK {
            return Err(response.status());
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Ok(Self { response, text: String::new() })
    }

    /// The next line that is not empty; `None` when the server has ended the stream.
    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let (line, rest) = (line.to_owned(), rest.to_owned());
                self.text = rest;
                if !line.is_empty() {
                    return Some(line);
                }
                continue;
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next version, heartbeats passed over.
    async fn version(&mut self) -> Option<Version> {
        loop {
            let line = self.line().await?;
            if let Some(data) = line.strip_prefix("data: ") {
                let newest: Newest = serde_json::from_str(data).unwrap();
                return Some(newest.version);
            }
            assert!(line.starts_with(':'), "{line}");
        }
    }

    /// Waits for news of this version, or of a later one.
    async fn until(&mut self, version: Version) {
        while self.version().await.unwrap() < version {}
    }
}

/// A server whose heart beats three times a second.
async fn lively() -> TestServer {
    let raw = RawConfig { idle_timeout: Some(1), shutdown_timeout: Some(3600), ..raw_config() };
    TestServer::start_with(raw).await
}

async fn version_of(vault: &Vault<'_>) -> Version {
    vault.server.shared.store.version_of(vault.person.id).await.unwrap()
}

#[tokio::test]
async fn a_stream_says_the_newest_version_at_once_and_after_every_change() {
    let server = TestServer::start().await;
    let vault = Vault::new(&server, "ada@example.org").await;
    let other = Vault::new(&server, "bob@example.org").await;
    let mut news = News::open(&vault).await.unwrap();
    assert_eq!(news.version().await, Some(version_of(&vault).await));
    // Somebody else's change is no news here: the next event is of one's own.
    other.album().await;
    let album = vault.album().await;
    assert_eq!(news.version().await, Some(version_of(&vault).await));
    for seed in 1..=3 {
        vault.file(album, seed).await;
        news.until(version_of(&vault).await).await;
    }
    let seen = version_of(&vault).await;
    assert_eq!(page(&vault, &format!("?after={seen}")).await.changes.len(), 0, "news is of what can be read");
}

#[tokio::test]
async fn a_stream_with_no_news_has_heartbeats_and_outlives_the_idle_timeout() {
    let server = lively().await;
    let vault = Vault::new(&server, "ada@example.org").await;
    let mut news = News::open(&vault).await.unwrap();
    news.version().await.unwrap();
    // Six thirds of the idle timeout.
    for _ in 0..6 {
        assert_eq!(news.line().await.as_deref(), Some(": still here"));
    }
    vault.album().await;
    news.until(version_of(&vault).await).await;
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let server = lively().await;
    let vault = Vault::new(&server, "ada@example.org").await;
    let mut news = News::open(&vault).await.unwrap();
    vault.post("/users/logout", json!({})).await.ok();
    while news.version().await.is_some() {}
}

#[tokio::test]
async fn a_stream_ends_when_the_server_stops_which_waits_for_none() {
    let server = lively().await;
    let vault = Vault::new(&server, "ada@example.org").await;
    let mut news = News::open(&vault).await.unwrap();
    news.version().await.unwrap();
    // Within the hour that requests under way would have.
    server.stop().await;
    while news.version().await.is_some() {}
}

#[tokio::test]
async fn an_account_has_sixteen_streams_and_gets_one_back_when_one_goes() {
    let server = lively().await;
    let vault = Vault::new(&server, "ada@example.org").await;
    let other = Vault::new(&server, "bob@example.org").await;
    let mut streams = Vec::new();
    for _ in 0..16 {
        streams.push(News::open(&vault).await.unwrap());
    }
    vault.get("/v1/changes/live").await.failed(429, Some("RATE_LIMITED"));
    assert!(News::open(&other).await.is_ok(), "others have their own");
    streams.pop();
    // The server sees that it is gone at the next heartbeat at the latest.
    while News::open(&vault).await.is_err() {
        streams[0].line().await.unwrap();
    }
}
