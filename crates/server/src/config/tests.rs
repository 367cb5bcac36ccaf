//! The layers' meaning: defaults, pairs, refusals, and that a printed configuration reads back.

use super::*;

fn config(toml: &str) -> Result<Config, ConfigError> {
    Config::from_layers(RawConfig::default(), RawConfig::default(), RawConfig::from_toml(toml)?)
}

#[test]
fn defaults() {
    insta::assert_snapshot!(config("").unwrap().print());
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    let check = |toml: &str, message: &str| {
        let error = config(toml).unwrap_err().to_string();
        assert!(error.contains(message), "{toml}: {error}");
    };
    check("tls_key = 'a'", "tls_certificate and tls_key");
    check("smtp_url = 'smtp://h'", "smtp_url and smtp_from");
    check("public_url = 'ftp://h'", "public_url");
    check("public_url = 'nonsense'", "public_url");
    check("public_url = 'https://h/?a=b'", "public_url");
    check("max_connections = 0", "max_connections must be at least 1");
    check("idle_timeout = 0", "idle_timeout must be at least 1");
    check("default_quota = '2PiB'", "at most 1 PiB");
    check("listen = 'nowhere'", "not valid");
}

#[test]
fn what_is_printed_reads_back_as_the_same_settings() {
    let everything = config(
        "listen = '0.0.0.0:1'\nmetrics_listen = '127.0.0.1:2'\npublic_url = 'https://h/photos'\ndata_dir = '/d'
         tls_certificate = 'c'\ntls_key = 'k'\ntrust_proxy = true\nopen_registration = true\ndefault_quota = '1GiB'
         log_format = 'json'\nlog_level = 'debug'\nmax_connections = 3\nheader_timeout = 4\nidle_timeout = 5
         shutdown_timeout = 6\nsign_in_rate = 7\nupload_url_rate = 8",
    )
    .unwrap();
    assert_eq!(config(&everything.print()).unwrap(), everything);
    assert_eq!(everything.public_url.as_ref().unwrap().as_str(), "https://h/photos/");
}

#[test]
fn secrets_are_neither_printed_nor_debugged() {
    let config = config(
        "database_url = 'postgres://u:hunter2@h/d'\nsmtp_url = 'smtp://u:hunter2@h'\nsmtp_from = 'a@b.c'",
    )
    .unwrap();
    assert!(!format!("{}{config:?}", config.print()).contains("hunter2"));
}

#[test]
fn the_operations_guide_lists_every_setting() {
    let guide = include_str!("../../../../docs/operations.md");
    for name in RawConfig::NAMES {
        assert!(guide.contains(&format!("`{name}`")), "docs/operations.md does not explain `{name}`");
    }
}
