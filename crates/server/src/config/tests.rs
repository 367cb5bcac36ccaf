//! The layers' meaning: defaults, pairs, refusals, and that a printed configuration reads back.

use super::*;

fn config(toml: &str) -> Result<Config, ConfigError> {
    Config::from_layers(RawConfig::default(), RawConfig::default(), RawConfig::from_toml(toml)?)
}

/// What is printed of a file's settings.
fn printed(toml: &str) -> String {
    Layers { file: RawConfig::from_toml(toml).unwrap(), ..Layers::default() }.print().unwrap()
}

#[test]
fn defaults() {
    insta::assert_snapshot!(printed(""));
}

#[test]
fn what_is_printed_says_where_each_value_comes_from() {
    let layers = Layers {
        flags: RawConfig { idle_timeout: Some(3), ..RawConfig::default() },
        environment: RawConfig::from_environment(|name| match name {
            "DARKSLIDE_IDLE_TIMEOUT" | "DARKSLIDE_HEADER_TIMEOUT" => Some("4".to_owned()),
            "DARKSLIDE_SMTP_URL" => Some("smtp://u:hunter2@h".to_owned()),
            _ => None,
        })
        .unwrap(),
        file: RawConfig::from_toml("header_timeout = 5\nmax_connections = 6\nsmtp_from = '''a\nb # c'''")
            .unwrap(),
    };
    let text = layers.print().unwrap();
    for line in [
        "idle_timeout = 3 # flag --idle-timeout",
        "header_timeout = 4 # environment DARKSLIDE_HEADER_TIMEOUT",
        "max_connections = 6 # file",
        "shutdown_timeout = 30 # default",
        "smtp_url = \"(secret)\" # environment DARKSLIDE_SMTP_URL",
        "# metrics_listen is not set",
    ] {
        assert!(text.lines().any(|printed| printed == line), "{line} is not in\n{text}");
    }
    let read = RawConfig::from_toml(&text).unwrap();
    assert_eq!(read.smtp_from.as_deref(), Some("a\nb # c"), "{text}");
    let again = Layers { file: read, ..Layers::default() };
    assert!(RawConfig::NAMES.iter().all(|name| again.source_of(name) != Source::Flag));
}

#[test]
fn the_file_of_a_database_is_found_in_its_url() {
    let check = |toml: &str, file: Option<&str>| {
        assert_eq!(config(toml).unwrap().sqlite_file().as_deref(), file.map(Path::new), "{toml}");
    };
    check("data_dir = '/d'", Some("/d/darkslide.db"));
    check("database_url = 'sqlite:/x/y.db?mode=rw'", Some("/x/y.db"));
    check("database_url = 'sqlite:///x/y.db'", Some("/x/y.db"));
    check("database_url = 'sqlite::memory:'", None);
    check("database_url = 'postgres://u:p@h/d'", None);
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
    let toml = "listen = '0.0.0.0:1'\nmetrics_listen = '127.0.0.1:2'\npublic_url = 'https://h/photos'\ndata_dir = '/d'
         tls_certificate = 'c'\ntls_key = 'k'\ntrust_proxy = true\nopen_registration = true\ndefault_quota = '1GiB'
         free_space_floor = '2GiB'
         log_format = 'json'\nlog_level = 'debug'\nmax_connections = 3\nheader_timeout = 4\nidle_timeout = 5
         shutdown_timeout = 6\nsign_in_rate = 7\nupload_url_rate = 8\nscrub_rate = '9MiB'\npush_allow_private = true";
    let everything = config(toml).unwrap();
    assert_eq!(config(&printed(toml)).unwrap(), everything);
    assert_eq!(everything.public_url.as_ref().unwrap().as_str(), "https://h/photos/");
}

#[test]
fn secrets_are_neither_printed_nor_debugged() {
    let toml =
        "database_url = 'postgres://u:hunter2@h/d'\nsmtp_url = 'smtp://u:hunter2@h'\nsmtp_from = 'a@b.c'";
    assert!(!format!("{}{:?}", printed(toml), config(toml).unwrap()).contains("hunter2"));
}

#[test]
fn the_operations_guide_lists_every_setting() {
    let guide = include_str!("../../../../docs/operations.md");
    for name in RawConfig::NAMES {
        assert!(guide.contains(&format!("`{name}`")), "docs/operations.md does not explain `{name}`");
    }
}
