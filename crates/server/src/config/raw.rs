//! Settings as they are written: on the command line, in the environment, in a TOML file. All three have the same members.
//!
//! Nothing is checked against anything else here, and nothing has a default: that is [`super::Config`]'s.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use zeroize::Zeroizing;

/// A setting that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RawConfigError {
    /// An environment variable holds something else than its setting takes.
    #[error("the environment variable {variable} is not valid: {reason}")]
    Environment {
        /// Its name.
        variable: String,
        /// What is wrong with it; never its value, which may be secret.
        reason: String,
    },
    /// The file is not TOML, or has members that are no settings.
    #[error("the configuration file is not valid")]
    File(#[from] toml::de::Error),
}

macro_rules! settings {
    ($( $(#[$meta:meta])* $name:ident: $kind:ty, )*) => {
        /// One layer of settings. A member that is `None` is left to the layer below.
        #[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct RawConfig {
            $(
                $(#[$meta])*
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $name: Option<$kind>,
            )*
        }

        impl RawConfig {
            /// Every setting's name, as it stands in the TOML file. The flag has `-` for `_`; the environment variable is
            /// `DARKSLIDE_` and the name in capitals.
            pub const NAMES: &[&str] = &[$(stringify!($name)),*];

            /// These settings, and where they are silent, those of the `lower` layer.
            pub fn or(self, lower: Self) -> Self {
                Self { $($name: self.$name.or(lower.$name)),* }
            }

            /// Whether this layer says anything about a setting; `false` for a name that is none.
            pub fn gives(&self, name: &str) -> bool {
                match name {
                    $(stringify!($name) => self.$name.is_some(),)*
                    _ => false,
                }
            }

            /// The layer of the environment; `get` looks a variable up.
            pub fn from_environment(get: impl Fn(&str) -> Option<String>) -> Result<Self, RawConfigError> {
                Ok(Self { $($name: parse_variable(stringify!($name), &get)?),* })
            }
        }
    };
}

settings! {
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Address and port to serve Prometheus metrics on; none are served when this is not given
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: SocketAddr,
    /// The URL that clients reach this server by; without it, each request's own host is used
    #[arg(long, value_name = "URL")]
    public_url: String,
    /// Folder of the objects and, unless --database-url is given, of the database [default: darkslide-data]
    #[arg(long, value_name = "FOLDER")]
    data_dir: PathBuf,
    /// Database: sqlite:PATH or postgres://… [default: a SQLite file in the data folder]
    #[arg(long, value_name = "URL", hide_env_values = true)]
    database_url: SecretText,
    /// Certificate chain in PEM; with --tls-key, the server speaks HTTPS
    #[arg(long, value_name = "FILE")]
    tls_certificate: PathBuf,
    /// Private key in PEM
    #[arg(long, value_name = "FILE")]
    tls_key: PathBuf,
    /// Believe X-Forwarded-For, -Proto and -Host: only behind a proxy that sets them itself
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    trust_proxy: bool,
    /// Let anybody sign up; otherwise only the first account and invited addresses may
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    open_registration: bool,
    /// Storage for each account that has no quota of its own, such as 200GiB [default: 1 PiB, which means no limit]
    #[arg(long, value_name = "SIZE")]
    default_quota: ByteSize,
    /// Free space on the data folder's disk below which /readyz says 503, such as 2GiB [default: 1 % of the disk, 256 MiB
    /// at most]
    #[arg(long, value_name = "SIZE")]
    free_space_floor: ByteSize,
    /// Mail server for one-time codes: smtp://user:password@host:port?tls=required or smtps://…; without it codes are
    /// printed on the terminal
    #[arg(long, value_name = "URL", hide_env_values = true)]
    smtp_url: SecretText,
    /// Sender of the mails, such as "Darkslide <darkslide@example.org>"
    #[arg(long, value_name = "ADDRESS")]
    smtp_from: String,
    /// How log lines look: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, or a filter such as info,darkslide_server=debug [default: info]
    #[arg(long, value_name = "FILTER")]
    log_level: String,
    /// Connections served at once; further ones wait [default: 1024]
    #[arg(long, value_name = "COUNT")]
    max_connections: u32,
    /// Seconds in which a request's headers must have arrived [default: 20]
    #[arg(long, value_name = "SECONDS")]
    header_timeout: u32,
    /// Seconds that an upload or a download may stand still before it is broken off [default: 60]
    #[arg(long, value_name = "SECONDS")]
    idle_timeout: u32,
    /// Seconds that requests under way get to finish when the server is told to stop [default: 30]
    #[arg(long, value_name = "SECONDS")]
    shutdown_timeout: u32,
    /// Calls a minute to each sign-in route, from one address or account [default: 10]
    #[arg(long, value_name = "COUNT")]
    sign_in_rate: u32,
    /// Calls a minute for upload URLs, from one account [default: 500]
    #[arg(long, value_name = "COUNT")]
    upload_url_rate: u32,
    /// Bytes a second at which stored objects are read back and verified; 0 turns it off [default: 8MiB]
    #[arg(long, value_name = "SIZE")]
    scrub_rate: ByteSize,
    /// Wake devices also by push services in private networks, and over plain HTTP: for a UnifiedPush distributor at home
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    push_allow_private: bool,
}

impl RawConfig {
    /// The layer of a TOML file's text.
    pub fn from_toml(text: &str) -> Result<Self, RawConfigError> {
        Ok(toml::from_str(text)?)
    }

    /// As members of a TOML file, by name; secrets are blanked out, so they are for people to read.
    pub fn to_table(&self) -> Result<toml::Table, toml::ser::Error> {
        toml::Table::try_from(self)
    }
}

/// The flag of a setting.
pub fn flag_of(name: &str) -> String {
    format!("--{}", name.replace('_', "-"))
}

/// The environment variable of a setting.
pub fn variable_of(name: &str) -> String {
    format!("DARKSLIDE_{}", name.to_uppercase())
}

/// One variable's value. An empty one counts as not set.
fn parse_variable<T: FromStr<Err: fmt::Display>>(
    name: &str,
    get: impl Fn(&str) -> Option<String>,
) -> Result<Option<T>, RawConfigError> {
    let variable = variable_of(name);
    match get(&variable).filter(|value| !value.is_empty()) {
        None => Ok(None),
        Some(value) => value
            .parse()
            .map(Some)
            .map_err(|error: T::Err| RawConfigError::Environment { variable, reason: error.to_string() }),
    }
}

/// Text with a password in it: wiped from memory, never shown and never serialized.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, for the library that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl FromStr for SecretText {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text))
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(secret)")
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Neither `text` nor `json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be text or json")]
pub struct UnknownLogFormat;

impl FromStr for LogFormat {
    type Err = UnknownLogFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(UnknownLogFormat),
        }
    }
}

/// A number of bytes: `1048576`, `200GiB`, `1.5TB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// Not a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a size such as 500MB, 200GiB or 1073741824")]
pub struct NotASize;

/// Suffixes and their bytes. Binary ones first, so that `GiB` is not taken for `B`.
const UNITS: [(&str, u64); 10] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("pib", 1 << 50),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("b", 1),
];

impl FromStr for ByteSize {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim().to_lowercase();
        let (number, unit) = UNITS
            .iter()
            .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|number| (number.trim(), *unit)))
            .unwrap_or((text.as_str(), 1));
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(unit).map(Self).ok_or(NotASize);
        }
        let (whole, fraction) = number.split_once('.').ok_or(NotASize)?;
        let scale =
            10_u64.checked_pow(u32::try_from(fraction.len()).map_err(|_| NotASize)?).ok_or(NotASize)?;
        let whole: u64 = whole.parse().map_err(|_| NotASize)?;
        let part: u64 = fraction.parse().map_err(|_| NotASize)?;
        let part =
            u64::try_from(u128::from(part) * u128::from(unit) / u128::from(scale)).map_err(|_| NotASize)?;
        whole.checked_mul(unit).and_then(|bytes| bytes.checked_add(part)).map(Self).ok_or(NotASize)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Bytes(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Bytes(bytes) => Ok(Self(bytes)),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let check = |text: &str, bytes: Option<u64>| {
            assert_eq!(text.parse::<ByteSize>().ok().map(|size| size.0), bytes, "{text}");
        };
        check("0", Some(0));
        check("1073741824", Some(1 << 30));
        check("200GiB", Some(200 << 30));
        check("200 gib", Some(200 << 30));
        check("1.5TB", Some(1_500_000_000_000));
        check("0.5KiB", Some(512));
        check("12b", Some(12));
        check("", None);
        check("GiB", None);
        check("-1", None);
        check("1e9", None);
        check("1.", None);
        check("20000PiB", None);
    }

    #[test]
    fn a_higher_layer_wins_and_a_silent_one_does_not() {
        let flag = RawConfig { max_connections: Some(1), ..RawConfig::default() };
        let environment = RawConfig::from_environment(|name| match name {
            "DARKSLIDE_MAX_CONNECTIONS" => Some("2".to_owned()),
            "DARKSLIDE_HEADER_TIMEOUT" => Some("3".to_owned()),
            "DARKSLIDE_LOG_LEVEL" => Some(String::new()),
            _ => None,
        })
        .unwrap();
        let file =
            RawConfig::from_toml("max_connections = 4\nheader_timeout = 5\nlog_level = 'debug'").unwrap();
        let merged = flag.or(environment).or(file);
        assert_eq!(merged.max_connections, Some(1));
        assert_eq!(merged.header_timeout, Some(3));
        assert_eq!(merged.log_level.as_deref(), Some("debug"), "an empty variable counts as not set");
    }

    #[test]
    fn a_bad_variable_is_named_without_its_value() {
        let error =
            RawConfig::from_environment(|name| (name == "DARKSLIDE_LISTEN").then(|| "hunter2".to_owned()))
                .unwrap_err()
                .to_string();
        assert!(error.contains("DARKSLIDE_LISTEN"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_misspelt_member_of_the_file_is_an_error() {
        assert!(RawConfig::from_toml("max_conections = 4").is_err());
    }

    #[test]
    fn secrets_are_blanked_out() {
        let raw = RawConfig { smtp_url: Some(SecretText::new("smtp://u:hunter2@h")), ..RawConfig::default() };
        assert!(!format!("{raw:?}{}", raw.to_table().unwrap()).contains("hunter2"));
    }
}
