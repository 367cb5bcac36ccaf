//! What the operator of a server sees and does.

use crate::machine::{EMAIL, Machine, jpeg, write};

#[test]
fn settings_are_flags_over_environment_over_file_over_defaults() {
    let machine = Machine::new();
    std::fs::write(
        machine.path("config.toml"),
        "idle_timeout = 5\nheader_timeout = 6\nmax_connections = 7\n",
    )
    .unwrap();
    let output = machine
        .command(&["serve", "--print-config", "--json", "--config", "config.toml", "--idle-timeout", "3"])
        .env("DARKSLIDE_IDLE_TIMEOUT", "4")
        .env("DARKSLIDE_HEADER_TIMEOUT", "4")
        .output()
        .unwrap();
    let settings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let seen = ["idle_timeout", "header_timeout", "max_connections", "shutdown_timeout"]
        .map(|name| settings[name].as_u64());
    assert_eq!(seen, [Some(3), Some(4), Some(7), Some(30)], "{settings}");
    let text = machine.says(&["serve", "--print-config", "--config", "config.toml", "--idle-timeout", "3"]);
    for line in [
        "idle_timeout = 3 # flag --idle-timeout",
        "max_connections = 7 # file",
        "sign_in_rate = 10 # default",
    ] {
        assert!(text.lines().any(|printed| printed == line), "{line} is not in\n{text}");
    }
    std::fs::write(machine.path("again.toml"), &text).unwrap();
    let again = machine.json(&["serve", "--print-config", "--config", "again.toml"]);
    assert_eq!(again["idle_timeout"], 3, "what is printed is a configuration file");
    std::fs::write(machine.path("config.toml"), "no_such_setting = 1\n").unwrap();
    let error = machine.fails(&["serve", "--print-config", "--config", "config.toml"]);
    assert!(error.contains("config.toml") && error.contains("no_such_setting"), "{error}");
}

#[test]
fn accounts_are_invited_listed_shut_out_and_removed() {
    let machine = Machine::new();
    let server = machine.serve(&[]);
    machine.sign_up(&server, "first@example.org", "default");
    let of = |email: &str| {
        let list = machine.json(&["account", "--data-dir", "server", "list"]);
        list["accounts"].as_array().unwrap().iter().find(|account| account["email"] == email).cloned()
    };
    machine.says(&["account", "--data-dir", "server", "add", "second@example.org", "--quota", "5GB"]);
    assert_eq!(of("second@example.org").unwrap()["standing"], "invited");
    // The settings may also stand behind the action.
    machine.says(&["account", "add", "second@example.org", "--quota", "6GB", "--data-dir", "server"]);
    assert_eq!(of("second@example.org").unwrap()["quota"], 6_000_000_000u64);
    machine.says(&["account", "--data-dir", "server", "quota", "first@example.org", "7GB"]);
    assert_eq!(of("first@example.org").unwrap()["quota"], 7_000_000_000u64);
    machine.says(&["account", "--data-dir", "server", "disable", "first@example.org"]);
    machine.fails(&["whoami"]);
    machine.says(&["account", "--data-dir", "server", "enable", "first@example.org"]);
    let error = machine.fails(&["account", "--data-dir", "server", "remove", "first@example.org"]);
    assert!(error.contains("--yes"), "{error}");
    machine.says(&["account", "--data-dir", "server", "remove", "first@example.org", "--yes"]);
    assert_eq!(of("first@example.org"), None);
    let error = machine.fails(&["account", "--data-dir", "server", "disable", "nobody@example.org"]);
    assert!(error.contains("nobody@example.org"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_data_folder_is_made_for_its_user_alone_and_never_by_a_question() {
    use std::os::unix::fs::PermissionsExt as _;
    let machine = Machine::new();
    let folder = machine.pictures();
    for words in
        [&["account", "--data-dir", "nowhere", "list"][..], &["server", "--data-dir", "nowhere", "status"]]
    {
        assert!(machine.fails(words).contains("there is no server's data in nowhere"));
        assert!(!machine.path("nowhere").exists());
    }
    // It makes the folder before it finds that the port will not do.
    let words = ["quickstart", folder.to_str().unwrap(), "--yes", "--data-dir", "by quickstart"];
    machine.fails(&[&words[..], &["--listen", "127.0.0.1:0"]].concat());
    let mode = std::fs::metadata(machine.path("by quickstart")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn completions_and_manual_pages_are_made_for_every_command() {
    let machine = Machine::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = machine.says(&["completions", shell]);
        assert!(script.contains("quickstart") && script.contains("recovery-phrase"), "{shell}");
    }
    machine.says(&["man-pages", "man"]);
    for page in ["darkslide.1", "darkslide-backup.1", "darkslide-trash-empty.1"] {
        assert!(machine.path("man").join(page).is_file(), "{page}");
    }
}

#[test]
fn over_quota_nothing_is_sent() {
    let machine = Machine::new();
    let server = machine.serve(&[]);
    machine.sign_up(&server, "full@example.org", "default");
    machine.says(&["account", "--data-dir", "server", "quota", "full@example.org", "1MB"]);
    // One megabyte and the grace of 50 MiB have no room for this.
    let folder = machine.path("pictures");
    std::fs::create_dir_all(&folder).unwrap();
    let file = std::fs::File::create(folder.join("long.mov")).unwrap();
    file.set_len(80_000_000).unwrap();
    let output = machine.run(&["backup", folder.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["bytesSent"], 0, "{report}");
    assert!(report["storageFull"].as_str().unwrap().contains("no room"), "{report}");
    assert_eq!((report["withoutRoom"].as_u64(), report["failed"].as_array().unwrap().len()), (Some(1), 0));
}

/// Forty pictures, and room for one: whoever backs them up reads one number and one sentence, not forty names.
#[test]
fn a_full_vault_is_told_once_however_many_pictures_wait() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let folder = machine.path("pictures");
    write(&folder.join("first.jpg"), &jpeg(0));
    machine.says(&["backup", folder.to_str().unwrap()]);
    machine.says(&["account", "--data-dir", "server", "quota", EMAIL, "1KB"]);
    for seed in 1..40 {
        write(&folder.join(format!("{seed}.jpg")), &jpeg(seed));
    }
    for _ in 0..2 {
        let output = machine.run(&["backup", folder.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        let (told, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(told.contains("39 without room in the vault") && told.contains("free some space"), "{told}");
        assert!(!said.contains(".jpg") && !told.contains(".jpg"), "{said}{told}");
    }
    let status = machine.says(&["status"]);
    assert_eq!(status.matches("room").count(), 2, "one sentence: {status}");
    assert!(status.contains("Waiting for room: 39 files: there is no room left"), "{status}");
    assert!(!status.contains(".jpg") && !status.contains("blocked"), "{status}");
}
