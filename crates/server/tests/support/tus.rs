//! Somebody who sends by tus 1.0, as a client would, and looks at what is on the disk then.

use super::vault::Vault;
use super::{Answer, TestServer};
use darkslide_protocol::AccountId;
use darkslide_server::store::resumable::Upload;
use darkslide_server::store::uploads::ObjectAddress;
use reqwest::{Method, RequestBuilder};
use sqlx::Row as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

pub const OFFSET_STREAM: &str = "application/offset+octet-stream";

/// Somebody who speaks tus, on a server.
pub struct Tus<'s> {
    pub server: &'s TestServer,
    pub token: String,
    pub account: AccountId,
}

impl<'s> Tus<'s> {
    pub async fn new(server: &'s TestServer, email: &str) -> Self {
        let vault = Vault::new(server, email).await;
        Self { server, token: vault.person.token.clone(), account: vault.person.id }
    }

    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.server
            .http
            .request(method, url)
            .header("Tus-Resumable", "1.0.0")
            .header("X-Auth-Token", &self.token)
    }

    pub fn creation(&self, length: impl std::fmt::Display) -> RequestBuilder {
        let url = self.server.url("/v1/uploads");
        self.request(Method::POST, &url).header("Upload-Length", length.to_string())
    }

    pub async fn begin(&self, length: usize) -> String {
        let answer = Answer::of(self.creation(length)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.header("location").to_owned()
    }

    pub fn patch(&self, url: &str, offset: usize, bytes: &[u8]) -> RequestBuilder {
        self.request(Method::PATCH, url)
            .header("Content-Type", OFFSET_STREAM)
            .header("Upload-Offset", offset.to_string())
            .body(bytes.to_vec())
    }

    pub async fn append(&self, url: &str, offset: usize, bytes: &[u8]) -> Answer {
        Answer::of(self.patch(url, offset, bytes)).await
    }

    pub async fn head(&self, url: &str) -> Answer {
        Answer::of(self.request(Method::HEAD, url)).await
    }

    pub async fn offset(&self, url: &str) -> usize {
        let answer = self.head(url).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.header("upload-offset").parse().unwrap()
    }

    pub async fn delete(&self, url: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, url)).await
    }

    /// A `PATCH` on a connection of its own, whose body stops after `sent` of `declared` bytes. The connection stays open.
    pub async fn patch_partly(&self, url: &str, offset: usize, declared: usize, sent: &[u8]) -> TcpStream {
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

    pub fn at(&self, url: &str) -> ObjectAddress {
        let id = url.rsplit('/').next().unwrap();
        ObjectAddress { account: self.account, object: uuid::Uuid::parse_str(id).unwrap() }
    }

    pub async fn row(&self, url: &str) -> Upload {
        self.server.shared.store.upload(self.at(url)).await.unwrap().unwrap()
    }

    /// What is stored of an object, by its key.
    pub async fn object(&self, url: &str) -> Option<Vec<u8>> {
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

    pub fn file(&self, url: &str) -> std::path::PathBuf {
        self.server.folder().join("uploads").join(self.at(url).object.to_string())
    }
}

pub async fn database(server: &TestServer) -> sqlx::AnyPool {
    let url = server.shared.config.effective_database_url();
    sqlx::any::AnyPoolOptions::new().max_connections(1).connect(url.expose()).await.unwrap()
}

pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// Waits until a condition holds that something under way brings about.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let patience = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_mins(1), patience).await.is_ok(), "never came: {what}");
}
