//! What the server is told to do: flag over environment over TOML file over default.
//!
//! A pure function makes a [`Config`] from the three layers; it reads neither the environment nor a file itself.

mod layers;
mod raw;

pub use layers::{Layers, Source};
pub use raw::{ByteSize, LogFormat, RawConfig, RawConfigError, SecretText, flag_of, variable_of};

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

/// No limit, told as a quota: 1 PiB, which every client can show and JavaScript can count.
pub const QUOTA_UNLIMITED: u64 = 1 << 50;

/// The largest body of a call that is not a blob.
pub const JSON_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes a second that the scrub reads, unless it is told otherwise: 8 MiB, a twentieth of what a slow disk gives; a terabyte
/// takes 35 hours.
const SCRUB_RATE: u64 = 8 * 1024 * 1024;

/// Settings that do not go together, or mean nothing.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A layer could not be read.
    #[error(transparent)]
    Raw(#[from] RawConfigError),
    /// One of two files that are needed together is missing.
    #[error("tls_certificate and tls_key must be given together")]
    HalfTls,
    /// One of two mail settings that are needed together is missing.
    #[error("smtp_url and smtp_from must be given together")]
    HalfMail,
    /// Not `http://host…` or `https://host…`.
    #[error("public_url must be an http:// or https:// URL with a host, without a query")]
    PublicUrl,
    /// Zero where at least one is needed.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// More than clients can count.
    #[error("default_quota must be at most 1 PiB")]
    QuotaTooLarge,
}

/// Who may sign up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Anybody.
    Open,
    /// The first account, and the addresses that the operator invites.
    FirstAndInvited,
}

/// Files of the server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// How mail goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailSettings {
    /// `smtp://` or `smtps://` with everything the connection needs.
    pub url: SecretText,
    /// The sender.
    pub from: String,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// How a line looks.
    pub format: LogFormat,
    /// A filter in the syntax of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

/// Bounds on time and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections served at once; further ones wait to be accepted.
    pub connections: usize,
    /// In which a request's headers must have arrived.
    pub header_timeout: Duration,
    /// How long a body may stand still, either way. Not how long it may take: phones hold one upload for 50 minutes.
    pub idle_timeout: Duration,
    /// How long requests under way may take to finish at shutdown.
    pub shutdown_timeout: Duration,
    /// Calls a minute to each sign-in route, from one address or account.
    pub sign_in_rate: u32,
    /// Calls a minute for upload URLs, from one account.
    pub upload_url_rate: u32,
}

/// The server's settings, complete and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the API is served.
    pub listen: SocketAddr,
    /// Where metrics are served, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// What clients reach the server by; when absent, each request says.
    pub public_url: Option<Url>,
    /// Folder of the objects and of a SQLite database.
    pub data_dir: PathBuf,
    /// `sqlite:…` or `postgres://…`; absent means a SQLite file in the data folder.
    pub database_url: Option<SecretText>,
    /// HTTPS, when given.
    pub tls: Option<TlsFiles>,
    /// Whether forwarding headers are believed.
    pub trust_proxy: bool,
    /// Who may sign up.
    pub registration: Registration,
    /// Bytes for each account without a quota of its own.
    pub default_quota: u64,
    /// Bytes that must be free for the server to call itself ready; absent means a share of the disk.
    pub free_space_floor: Option<u64>,
    /// How one-time codes are mailed; absent means they are printed.
    pub mail: Option<MailSettings>,
    /// What is logged.
    pub log: LogSettings,
    /// Bounds on time and number.
    pub limits: Limits,
    /// Bytes a second at which stored objects are read back and verified; 0 for not at all.
    pub scrub_rate: u64,
    /// Whether devices may be woken through private addresses, and over plain HTTP.
    pub push_allow_private: bool,
}

impl Config {
    /// Makes the settings from the three layers, highest first.
    pub fn from_layers(
        flags: RawConfig,
        environment: RawConfig,
        file: RawConfig,
    ) -> Result<Self, ConfigError> {
        Layers { flags, environment, file }.config()
    }

    /// Makes the settings from all that was said.
    fn from_raw(raw: RawConfig) -> Result<Self, ConfigError> {
        let config = Self {
            listen: raw.listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
            metrics_listen: raw.metrics_listen,
            public_url: raw.public_url.as_deref().map(parse_public_url).transpose()?,
            tls: both(raw.tls_certificate, raw.tls_key)
                .map_err(|Half| ConfigError::HalfTls)?
                .map(|(certificate, key)| TlsFiles { certificate, key }),
            mail: both(raw.smtp_url, raw.smtp_from)
                .map_err(|Half| ConfigError::HalfMail)?
                .map(|(url, from)| MailSettings { url, from }),
            data_dir: raw.data_dir.unwrap_or_else(|| PathBuf::from("darkslide-data")),
            database_url: raw.database_url,
            trust_proxy: raw.trust_proxy.unwrap_or(false),
            registration: match raw.open_registration {
                Some(true) => Registration::Open,
                _ => Registration::FirstAndInvited,
            },
            default_quota: quota(raw.default_quota)?,
            free_space_floor: raw.free_space_floor.map(|size| size.0),
            log: LogSettings {
                format: raw.log_format.unwrap_or_default(),
                filter: raw.log_level.unwrap_or_else(|| "info".to_owned()),
            },
            limits: Limits {
                connections: positive("max_connections", raw.max_connections, 1024)? as usize,
                header_timeout: seconds("header_timeout", raw.header_timeout, 20)?,
                idle_timeout: seconds("idle_timeout", raw.idle_timeout, 60)?,
                shutdown_timeout: seconds("shutdown_timeout", raw.shutdown_timeout, 30)?,
                sign_in_rate: positive("sign_in_rate", raw.sign_in_rate, 10)?,
                upload_url_rate: positive("upload_url_rate", raw.upload_url_rate, 500)?,
            },
            scrub_rate: raw.scrub_rate.map_or(SCRUB_RATE, |size| size.0),
            push_allow_private: raw.push_allow_private.unwrap_or(false),
        };
        Ok(config)
    }

    /// All defaults, over a data folder.
    pub fn for_folder(data_dir: &Path) -> Self {
        let flags = RawConfig { data_dir: Some(data_dir.to_owned()), ..RawConfig::default() };
        Self::from_layers(flags, RawConfig::default(), RawConfig::default())
            .expect("the defaults go together")
    }

    /// The settings as one layer, defaults filled in: reading it back gives the same settings.
    pub fn to_raw(&self) -> RawConfig {
        let seconds = |time: Duration| u32::try_from(time.as_secs()).ok();
        RawConfig {
            listen: Some(self.listen),
            metrics_listen: self.metrics_listen,
            public_url: self.public_url.as_ref().map(ToString::to_string),
            data_dir: Some(self.data_dir.clone()),
            database_url: self.database_url.clone(),
            tls_certificate: self.tls.as_ref().map(|tls| tls.certificate.clone()),
            tls_key: self.tls.as_ref().map(|tls| tls.key.clone()),
            trust_proxy: Some(self.trust_proxy),
            open_registration: Some(self.registration == Registration::Open),
            default_quota: Some(ByteSize(self.default_quota)),
            free_space_floor: self.free_space_floor.map(ByteSize),
            smtp_url: self.mail.as_ref().map(|mail| mail.url.clone()),
            smtp_from: self.mail.as_ref().map(|mail| mail.from.clone()),
            log_format: Some(self.log.format),
            log_level: Some(self.log.filter.clone()),
            max_connections: u32::try_from(self.limits.connections).ok(),
            header_timeout: seconds(self.limits.header_timeout),
            idle_timeout: seconds(self.limits.idle_timeout),
            shutdown_timeout: seconds(self.limits.shutdown_timeout),
            sign_in_rate: Some(self.limits.sign_in_rate),
            upload_url_rate: Some(self.limits.upload_url_rate),
            scrub_rate: Some(ByteSize(self.scrub_rate)),
            push_allow_private: Some(self.push_allow_private),
        }
    }

    /// The database's URL, whether given or not.
    pub fn effective_database_url(&self) -> SecretText {
        match &self.database_url {
            Some(url) => url.clone(),
            None => SecretText::new(crate::store::Store::sqlite_url(&self.data_dir.join("darkslide.db"))),
        }
    }

    /// The file of a SQLite database; `None` when the database is elsewhere, or in memory.
    pub fn sqlite_file(&self) -> Option<PathBuf> {
        crate::store::Store::sqlite_path(self.effective_database_url().expose())
    }

    /// Where objects are kept.
    pub fn objects_dir(&self) -> PathBuf {
        self.data_dir.join("objects")
    }
}

/// One of two is missing.
struct Half;

/// Both, or neither.
fn both<A, B>(first: Option<A>, second: Option<B>) -> Result<Option<(A, B)>, Half> {
    match (first, second) {
        (Some(first), Some(second)) => Ok(Some((first, second))),
        (None, None) => Ok(None),
        _ => Err(Half),
    }
}

fn positive(name: &'static str, value: Option<u32>, default: u32) -> Result<u32, ConfigError> {
    match value.unwrap_or(default) {
        0 => Err(ConfigError::Zero(name)),
        value => Ok(value),
    }
}

fn seconds(name: &'static str, value: Option<u32>, default: u32) -> Result<Duration, ConfigError> {
    positive(name, value, default).map(|seconds| Duration::from_secs(u64::from(seconds)))
}

fn quota(size: Option<ByteSize>) -> Result<u64, ConfigError> {
    match size {
        None => Ok(QUOTA_UNLIMITED),
        Some(ByteSize(bytes)) if bytes <= QUOTA_UNLIMITED => Ok(bytes),
        Some(_) => Err(ConfigError::QuotaTooLarge),
    }
}

/// A base for URLs: its path ends in `/`, so that joining appends to it.
fn parse_public_url(text: &str) -> Result<Url, ConfigError> {
    let mut url = Url::parse(text).map_err(|_| ConfigError::PublicUrl)?;
    let fits = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none();
    if !fits {
        return Err(ConfigError::PublicUrl);
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
