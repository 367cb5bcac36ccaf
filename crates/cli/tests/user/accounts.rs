//! Signing up, in and out; wrong passwords, wrong words; several profiles on one machine.

use crate::machine::{Machine, PASSWORD};

#[test]
fn an_account_lives_its_life() {
    let machine = Machine::new();
    let server = machine.serve(&[]);
    let made = machine.sign_up(&server, "life@example.org", "default");
    let words = made["recoveryPhrase"].as_str().unwrap();
    assert_eq!(words.split(' ').count(), 24);

    let me = machine.json(&["whoami"]);
    assert_eq!((me["email"].as_str(), me["files"].as_u64()), (Some("life@example.org"), Some(0)));

    // The same account from a second profile: another device.
    let login =
        ["login", &server.url, "--email", "life@example.org", "--keys", "key-file", "--profile", "second"];
    std::fs::write(machine.path("wrong"), "not the password\n").unwrap();
    let error = machine.fails(&[&login[..], &["--password-file", "wrong"]].concat());
    assert!(error.contains("the password is wrong"), "{error}");
    machine.says(&[&login[..], &["--password-file", "password"]].concat());
    let devices = machine.json(&["sessions"]);
    assert_eq!(devices["sessions"].as_array().unwrap().len(), 2, "{devices}");
    let other =
        devices["sessions"].as_array().unwrap().iter().find_map(|device| device["id"].as_str()).unwrap();
    machine.says(&["sessions", "--revoke", other]);
    let error = machine.fails(&["whoami", "--profile", "second"]);
    assert!(error.contains("not signed in"), "{error}");

    let shown = machine.json(&["recovery-phrase", "--password-file", "password"]);
    assert_eq!(shown["recoveryPhrase"].as_str().unwrap(), words);
    machine.says(&["logout"]);
    let error = machine.fails(&["whoami"]);
    assert!(error.contains("darkslide login"), "{error}");
}

#[test]
fn a_forgotten_password_is_replaced_with_the_words_and_with_nothing_else() {
    let machine = Machine::new();
    let server = machine.serve(&[]);
    let made = machine.sign_up(&server, "forgot@example.org", "default");
    let folder = machine.pictures();
    machine.json(&["backup", folder.to_str().unwrap()]);
    std::fs::write(machine.path("new"), "another fine password\n").unwrap();
    let recover = |words_file: &str| {
        let code = machine.says(&["account", "--data-dir", "server", "code", "forgot@example.org"]);
        let words = ["recover", &server.url, "--email", "forgot@example.org", "--words-file", words_file];
        let rest =
            ["--password-file", "new", "--code", code.trim(), "--keys", "key-file", "--profile", "again"];
        machine.run(&[&words[..], &rest].concat())
    };
    let abandon = format!("{}art", "abandon ".repeat(23));
    for (name, words) in [("others", abandon.as_str()), ("none", "these are no words")] {
        std::fs::write(machine.path(name), words).unwrap();
        let output = recover(name);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    }
    std::fs::write(machine.path("words"), made["recoveryPhrase"].as_str().unwrap()).unwrap();
    let output = recover("words");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let restored = machine.json(&["restore", "--to", "back", "--profile", "again"]);
    assert_eq!(restored["restored"], 3);
    assert_ne!(PASSWORD, "another fine password");
    let login =
        ["login", &server.url, "--email", "forgot@example.org", "--keys", "key-file", "--profile", "third"];
    machine.fails(&[&login[..], &["--password-file", "password"]].concat());
    machine.says(&[&login[..], &["--password-file", "new"]].concat());
}

#[test]
fn a_closed_server_sends_uninvited_people_to_its_operator() {
    let machine = Machine::new();
    let server = machine.serve(&[]);
    machine.sign_up(&server, "first@example.org", "default");
    let words = ["signup", &server.url, "--email", "late@example.org", "--password-file", "password"];
    for further in [&["--code", "123456"][..], &[]] {
        let error = machine.fails(&[&words[..], further, &["--profile", "late"]].concat());
        assert!(error.contains("invitation") && !error.contains("expired"), "{error}");
    }
}

#[test]
fn questions_without_a_terminal_name_the_flag() {
    let machine = Machine::new();
    let server = machine.serve(&[]);
    let error = machine.fails(&["login", &server.url]);
    assert!(error.contains("--email"), "{error}");
    let error = machine.fails(&["login", &server.url, "--email", "a@example.org"]);
    assert!(error.contains("--password-file"), "{error}");
}

#[test]
fn a_passphrase_that_nobody_gives_leaves_no_account_behind() {
    let machine = Machine::new();
    let server = machine.serve(&[]);
    let code = machine.says(&["account", "--data-dir", "server", "code", "early@example.org"]);
    let words =
        ["signup", &server.url, "--email", "early@example.org", "--password-file", "password", "--code"];
    let error = machine.fails(&[&words[..], &[code.trim(), "--keys", "passphrase"]].concat());
    assert!(error.contains("DARKSLIDE_PASSPHRASE"), "{error}");
    let made = machine.sign_up(&server, "early@example.org", "default");
    assert!(made["recoveryPhrase"].is_string(), "the address is still free: {made}");
}
