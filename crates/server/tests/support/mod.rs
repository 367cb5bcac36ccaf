//! What tests of the server share: a running one, databases of both engines, and a person who signs up and in.
//!
//! The person has the client's half of SRP, written here once more from the formulas, for this crate must not depend on
//! the one that encrypts.

#![expect(dead_code, reason = "each test program uses its own part of this")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test needs and does not get fails the test"
)]
#![expect(unreachable_pub, reason = "test programs have no public interface")]

pub mod batch;
pub mod checked;
pub mod damage;
pub mod family;
pub mod mirror;
pub mod person;
pub mod reader;
pub mod shelf;
pub mod stored;
pub mod tus;
pub mod vault;

use darkslide_server::config::{ByteSize, Config, RawConfig};
use darkslide_server::listen::serve_opened;
use darkslide_server::push::Pace;
use darkslide_server::store::Store;
use darkslide_server::{Server, Shared};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use std::net::{SocketAddr, TcpListener};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A server on a port of its own, with a folder of its own.
pub struct TestServer {
    pub address: SocketAddr,
    pub shared: Shared,
    pub http: reqwest::Client,
    folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

/// Settings that tests need: rates high enough not to be met by chance, and no scrub that comes first.
pub fn raw_config() -> RawConfig {
    RawConfig {
        sign_in_rate: Some(100_000),
        upload_url_rate: Some(100_000),
        scrub_rate: Some(ByteSize(0)),
        ..RawConfig::default()
    }
}

impl TestServer {
    pub async fn start() -> Self {
        Self::start_with(raw_config()).await
    }

    pub async fn start_with(raw: RawConfig) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), raw).await
    }

    /// Starts on a folder, perhaps one that an earlier server has left.
    pub async fn start_in(folder: TempDir, raw: RawConfig) -> Self {
        Self::open_in(folder, raw, Pace::default()).await
    }

    /// Starts a server that wakes devices at this pace.
    pub async fn start_at_pace(raw: RawConfig, pace: Pace) -> Self {
        Self::open_in(tempfile::tempdir().unwrap(), raw, pace).await
    }

    async fn open_in(folder: TempDir, raw: RawConfig, pace: Pace) -> Self {
        let raw = RawConfig { data_dir: Some(folder.path().to_owned()), ..raw };
        let config = Config::from_layers(raw, RawConfig::default(), RawConfig::default()).unwrap();
        let mut shared = Server::open(config).await.unwrap();
        std::sync::Arc::get_mut(&mut shared).unwrap().pace = pace;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = shared.clone();
        let task = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            serve_opened(server, listener, shutdown).await.unwrap();
        });
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { address, shared, http, folder, stop: Some(stop), task: Some(task) }
    }

    /// Stops the server and gives its folder back.
    pub async fn stop(mut self) -> TempDir {
        drop(self.http);
        self.stop.take().unwrap().send(()).unwrap();
        self.task.take().unwrap().await.unwrap();
        self.folder
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).header("X-Auth-Token", token)).await
    }

    pub async fn send(&self, method: Method, path: &str, token: &str, body: &Value) -> Answer {
        let mut request = self.request(method, path).body(body.to_string());
        if !token.is_empty() {
            request = request.header("X-Auth-Token", token);
        }
        Answer::of(request).await
    }

    pub async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, token, body).await
    }
}

/// A path with one query parameter, form-encoded.
pub fn with_query(path: &str, name: &str, value: &str) -> String {
    let query: String =
        url::form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
    format!("{path}?{query}")
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body of an answer that must be 200.
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// That it failed so, with a body that is a JSON object.
    pub fn failed(&self, status: u16, code: Option<&str>) {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        let body = self.json();
        assert!(body.is_object(), "{self:?}");
        assert_eq!(body.get("code").and_then(Value::as_str), code, "{self:?}");
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Empty databases on both engines, each with what keeps it alive. PostgreSQL only when `DARKSLIDE_TEST_POSTGRES` names
/// a cluster where databases may be made; on CI it must.
pub async fn stores() -> Vec<(TempDir, Store)> {
    let mut stores = Vec::new();
    for url in database_urls().await {
        let folder = tempfile::tempdir().unwrap();
        let url = url.unwrap_or_else(|| Store::sqlite_url(&folder.path().join("db")));
        stores.push((folder, Store::open(&url).await.unwrap()));
    }
    stores
}

/// The URLs of empty databases; `None` is SQLite in a folder.
pub async fn database_urls() -> Vec<Option<String>> {
    let mut urls = vec![None];
    match std::env::var("DARKSLIDE_TEST_POSTGRES") {
        Ok(admin) => urls.push(Some(create_database(&admin).await)),
        Err(_) => assert!(std::env::var_os("CI").is_none(), "CI must set DARKSLIDE_TEST_POSTGRES"),
    }
    urls
}

/// A database with its tables as they were before a migration.
pub async fn database_before(url: &str, version: i64) -> sqlx::AnyPool {
    sqlx::any::install_default_drivers();
    let mode = if url.starts_with("sqlite") { "?mode=rwc" } else { "" };
    let pool = sqlx::AnyPool::connect(&format!("{url}{mode}")).await.unwrap();
    let all = sqlx::migrate!("./migrations");
    let earlier: Vec<_> =
        all.migrations.iter().filter(|migration| migration.version < version).cloned().collect();
    let migrator = sqlx::migrate::Migrator { migrations: earlier.into(), ..sqlx::migrate::Migrator::DEFAULT };
    migrator.run(&pool).await.unwrap();
    pool
}

/// Makes a database with a name of its own in the cluster.
async fn create_database(admin: &str) -> String {
    use sqlx::Connection as _;
    sqlx::any::install_default_drivers();
    let name = format!("test_{}", uuid::Uuid::new_v4().simple());
    let mut connection = sqlx::AnyConnection::connect(admin).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let mut url = url::Url::parse(admin).unwrap();
    url.set_path(&name);
    url.to_string()
}
