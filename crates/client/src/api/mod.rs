//! The server's API as typed calls: paths, headers, time limits, retries.
//!
//! It knows no keys and decrypts nothing: what it carries is what `darkslide_protocol` names. It follows no
//! redirect by itself, so that the session token is never sent to an address that a server made up; the URLs of
//! objects get no token at all.

mod accounts;
mod batch;
mod between;
mod call;
mod changes;
mod collections;
mod downloads;
mod failure;
mod files;
mod lookup;
mod receipts;
mod server;
mod told_time;
mod trash;
mod tus;
mod uploads;

pub use changes::NewsStream;
pub use downloads::{Located, ObjectBody, ObjectKind};
pub use failure::{ApiFailure, Reason, Refusal};
use told_time::ToldTime;
pub use tus::{BegunUpload, Standing, StandingChunk};
pub use uploads::{AcknowledgedPart, ETag};

use darkslide_crypto::keys::SessionToken;
use darkslide_protocol::server::ServerInfo;
use http::HeaderValue;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::OnceCell;
use url::Url;

/// What stock servers tell apps apart by; anything that is not theirs counts as the photos app.
const CLIENT_PACKAGE: &str = "io.darkslide";

/// Shown in the list of sessions.
const USER_AGENT: &str = concat!("darkslide/", env!("CARGO_PKG_VERSION"));

/// Where a server is: `http` or `https`, a host, perhaps a port and a path prefix.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerUrl(Url);

/// Text that is not a server's address.
#[derive(Debug, Error)]
pub enum ServerUrlError {
    /// Not an URL at all.
    #[error("{text:?} is not a server's address; write it like https://photos.example.org")]
    NotAnUrl {
        /// What was given.
        text: String,
        /// What the parser missed.
        #[source]
        source: url::ParseError,
    },
    /// An URL that cannot be a server's: another scheme, no host, or a query, fragment, user name or password.
    #[error("{text:?} is not a server's address; it must be http:// or https://, a host, and at most a path")]
    NotAServer {
        /// What was given.
        text: String,
    },
}

impl ServerUrl {
    /// Reads what a person typed. Without a scheme `https` is meant, except for this machine's own addresses.
    pub fn parse(text: &str) -> Result<Self, ServerUrlError> {
        let text = text.trim();
        let mut url = Url::parse(&with_scheme(text))
            .map_err(|source| ServerUrlError::NotAnUrl { text: text.to_owned(), source })?;
        let plain = url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        let reachable = matches!(url.scheme(), "http" | "https") && url.has_host();
        if plain && anonymous && reachable {
            let path = url.path().trim_end_matches('/').to_owned();
            url.set_path(&path);
            Ok(Self(url))
        } else {
            Err(ServerUrlError::NotAServer { text: text.to_owned() })
        }
    }

    /// The URL, without a slash at its end unless it has no path at all.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// Host, and port where one was given: how messages name the server.
    pub fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Whether passwords' proofs and names of accounts travel in the clear to somewhere else than this machine.
    pub fn is_unprotected(&self) -> bool {
        let local = match self.0.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        self.0.scheme() == "http" && !local
    }

    /// The address of one route; `path` begins with a slash.
    pub(crate) fn at(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}{path}"));
        url
    }
}

fn with_scheme(text: &str) -> String {
    if text.contains("://") {
        return text.to_owned();
    }
    let local = ["localhost", "127.", "[::1]"].iter().any(|start| text.starts_with(start));
    format!("{}://{text}", if local { "http" } else { "https" })
}

impl std::fmt::Display for ServerUrl {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl std::str::FromStr for ServerUrl {
    type Err = ServerUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for ServerUrl {
    type Error = ServerUrlError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ServerUrl> for String {
    fn from(server: ServerUrl) -> Self {
        server.to_string()
    }
}

/// How patient a connection is, and whom it trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To establish a connection, TLS included.
    pub connect: Duration,
    /// Between two pieces of an answer. There is no limit on the whole: large files take their time.
    pub read_idle: Duration,
    /// How often a call that may be repeated is repeated after transient failures.
    pub retries: usize,
    /// Before the first repetition; doubles each time, with jitter.
    pub first_delay: Duration,
    /// The longest wait between two repetitions.
    pub longest_delay: Duration,
    /// How long a server that says nothing of itself is taken for one without extensions.
    pub unknown_for: Duration,
    /// A PEM file of certificate authorities to trust besides the system's: for servers at home that signed
    /// their own certificate.
    pub extra_authorities: Option<PathBuf>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            read_idle: Duration::from_mins(1),
            retries: 4,
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_secs(20),
            unknown_for: Duration::from_mins(1),
            extra_authorities: None,
        }
    }
}

/// Why no connection could even be prepared.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// The file of certificate authorities cannot be read.
    #[error("cannot read the certificate authorities in {path}: {source}")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file of certificate authorities holds something else.
    #[error("{path} is not a PEM file of certificates")]
    NotAuthorities {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// TLS could not be set up on this machine.
    #[error("secure connections cannot be set up on this machine")]
    Tls(#[source] reqwest::Error),
}

/// A server, and who is calling. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Api(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    server: ServerUrl,
    http: reqwest::Client,
    /// For bodies that take their time to go up: no answer is expected before all of them went.
    uploads: reqwest::Client,
    token: Option<HeaderValue>,
    limits: Limits,
    /// What the server said of itself.
    info: OnceCell<ServerInfo>,
    /// When it last said nothing of itself.
    said_nothing: Mutex<Option<Instant>>,
    /// Since when it answers, while something on the way says that what is asked for is not there.
    answers_since: Mutex<Option<Instant>>,
    /// What its clock said in its latest answer.
    time: Arc<Mutex<Option<ToldTime>>>,
}

impl Api {
    /// Prepares calls; connects to nothing yet.
    pub fn new(
        server: ServerUrl,
        token: Option<&SessionToken>,
        limits: Limits,
    ) -> Result<Self, ConnectionError> {
        let http = http_client(&limits, Some(limits.read_idle))?;
        let uploads = http_client(&limits, None)?;
        let token = token.map(token_header);
        Ok(Self(Arc::new(Inner {
            server,
            http,
            uploads,
            token,
            limits,
            info: OnceCell::new(),
            said_nothing: Mutex::default(),
            answers_since: Mutex::default(),
            time: Arc::default(),
        })))
    }

    /// The same server and connections, signed in as somebody.
    pub fn with_token(&self, token: &SessionToken) -> Self {
        Self(Arc::new(Inner {
            server: self.0.server.clone(),
            http: self.0.http.clone(),
            uploads: self.0.uploads.clone(),
            token: Some(token_header(token)),
            limits: self.0.limits.clone(),
            info: self.0.info.clone(),
            said_nothing: Mutex::default(),
            answers_since: Mutex::default(),
            time: Arc::clone(&self.0.time),
        }))
    }

    /// What the server's clock said in its latest answer, µs since the epoch: a clock that knows nothing of this computer's. It is later there
    /// by now, by however long that is ago.
    pub fn server_time(&self) -> Option<i64> {
        self.told_time().map(|told| told.time)
    }

    /// Between which times the present lies by the server's clock, µs since the epoch. Nothing where the server has not just said it itself.
    pub(crate) fn server_present(&self) -> Option<RangeInclusive<i64>> {
        self.told_time()?.present()
    }

    /// Whether the server itself has told its time before: one of an earlier release, or of others, does not.
    fn tells_its_time(&self) -> bool {
        self.told_time().is_some_and(|told| told.is_own())
    }

    fn told_time(&self) -> Option<ToldTime> {
        *self.0.time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember_time(&self, told: ToldTime) {
        let mut time = self.0.time.lock().unwrap_or_else(PoisonError::into_inner);
        *time = Some(told.after(*time));
    }

    /// The server that is called.
    pub fn server(&self) -> &ServerUrl {
        &self.0.server
    }
}

fn micros_since(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Marked sensitive, so that no log shows it.
fn token_header(token: &SessionToken) -> HeaderValue {
    let text = token.to_header_value();
    let mut value = HeaderValue::from_str(&text).expect("base64 is visible ASCII");
    value.set_sensitive(true);
    value
}

/// `read_idle` counts from the beginning of a request, also while its body goes up; there is none for what takes its time to go up.
fn http_client(limits: &Limits, read_idle: Option<Duration>) -> Result<reqwest::Client, ConnectionError> {
    let builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(limits.connect)
        .redirect(reqwest::redirect::Policy::none());
    let builder = match read_idle {
        Some(read_idle) => builder.read_timeout(read_idle),
        // A body that fills the line has a connection of its own: as one of several streams it would be cut into frames of 16 KiB, and
        // wait for windows to be opened.
        None => builder.http1_only(),
    };
    // Whoever vanished while a body goes up is noticed by what it no longer acknowledges.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let builder = builder.tcp_user_timeout(limits.read_idle);
    let builder = match &limits.extra_authorities {
        Some(path) => builder.tls_certs_merge(read_authorities(path)?),
        None => builder,
    };
    builder.build().map_err(ConnectionError::Tls)
}

fn read_authorities(path: &Path) -> Result<Vec<reqwest::Certificate>, ConnectionError> {
    let pem = std::fs::read(path)
        .map_err(|source| ConnectionError::Authorities { path: path.to_owned(), source })?;
    reqwest::Certificate::from_pem_bundle(&pem)
        .map_err(|source| ConnectionError::NotAuthorities { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::ServerUrl;

    #[test]
    fn reads_addresses_as_people_type_them() {
        for (typed, meant) in [
            ("https://photos.example.org", "https://photos.example.org"),
            ("https://photos.example.org/", "https://photos.example.org"),
            (" https://photos.example.org:8080/vault// ", "https://photos.example.org:8080/vault"),
            ("photos.example.org", "https://photos.example.org"),
            ("localhost:8080", "http://localhost:8080"),
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://nas.local:8080", "http://nas.local:8080"),
        ] {
            assert_eq!(ServerUrl::parse(typed).unwrap().to_string(), meant, "{typed:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_server() {
        for typed in ["", "ftp://a", "https://a?b", "https://a#b", "https://me@a", "https://", "file:///etc"]
        {
            assert!(ServerUrl::parse(typed).is_err(), "{typed:?}");
        }
    }

    #[test]
    fn routes_stand_below_the_prefix() {
        let at = |server: &str| ServerUrl::parse(server).unwrap().at("/ping").to_string();
        assert_eq!(at("https://a.example"), "https://a.example/ping");
        assert_eq!(at("https://a.example/vault/"), "https://a.example/vault/ping");
    }

    #[test]
    fn clear_text_is_noticed_except_on_this_machine() {
        for (server, unprotected) in [
            ("http://nas.local", true),
            ("https://nas.local", false),
            ("http://127.0.0.1:1", false),
            ("http://[::1]:1", false),
            ("http://localhost", false),
        ] {
            assert_eq!(ServerUrl::parse(server).unwrap().is_unprotected(), unprotected, "{server}");
        }
    }
}
