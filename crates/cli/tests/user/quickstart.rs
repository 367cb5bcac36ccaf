//! The first command of the README.

use crate::machine::{Machine, tree};
use std::net::TcpListener;

fn free_address() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("127.0.0.1:{port}")
}

#[test]
fn one_command_backs_a_folder_up_and_the_same_one_goes_on() {
    let machine = Machine::new();
    let folder = machine.pictures();
    let listen = free_address();
    let words = ["quickstart", folder.to_str().unwrap(), "--yes", "--once", "--listen", &listen];

    let first = machine.json(&words);
    assert_eq!(first["backup"]["uploaded"], 3, "{first}");
    assert_eq!(first["account"]["recoveryPhrase"].as_str().unwrap().split(' ').count(), 24);
    assert!(first["account"]["password"].as_str().unwrap().len() > 20);
    assert!(machine.path("darkslide-data").is_dir(), "the server's data lies beside it");

    let second = machine.json(&words);
    assert_eq!(
        (&second["backup"]["uploaded"], &second["backup"]["unchanged"]),
        (&0.into(), &3.into()),
        "{second}"
    );
    assert!(second["account"].is_null(), "no second account");

    let report = machine.says(&["quickstart", folder.to_str().unwrap(), "--once", "--listen", &listen]);
    assert!(report.contains("0 files uploaded, 3 unchanged"), "{report}");
}

/// A run that was killed between making the account and keeping its keys: what the server has stays, what the profile has is gone.
fn forget_the_account(machine: &Machine) {
    for name in ["config.toml", "keys", "keys.key"] {
        std::fs::remove_file(machine.path("home/quickstart").join(name)).unwrap();
    }
}

#[test]
fn a_run_that_was_cut_off_while_it_made_the_account_is_taken_up_again() {
    let machine = Machine::new();
    let folder = machine.pictures();
    let listen = free_address();
    let words = ["quickstart", folder.to_str().unwrap(), "--yes", "--once", "--listen", &listen];
    let first = machine.json(&words);
    let password = first["account"]["password"].as_str().unwrap();
    let kept = machine.path("home/quickstart/quickstart-password");
    assert!(!kept.exists(), "the password is kept no longer than it is needed");

    forget_the_account(&machine);
    let error = machine.fails(&words);
    assert!(error.contains("give its password"), "{error}");
    std::fs::write(&kept, password).unwrap();
    let again = machine.json(&words);
    assert_eq!(again["account"], first["account"], "the same account, password and words");
    assert_eq!(
        (&again["backup"]["uploaded"], again["backup"]["failed"].as_array()),
        (&0.into(), Some(&vec![]))
    );
    assert!(!kept.exists());

    // The same with a password that somebody chose.
    forget_the_account(&machine);
    std::fs::write(machine.path("password"), password).unwrap();
    let words = [&words[..2], &["--once", "--listen", &listen, "--email", "me@darkslide.local"]].concat();
    let again = machine.json(&[&words[..], &["--password-file", "password"]].concat());
    assert_eq!(again["account"]["recoveryPhrase"], first["account"]["recoveryPhrase"]);
}

#[test]
fn what_it_stored_can_be_restored_by_the_profile_that_it_made() {
    let machine = Machine::new();
    let folder = machine.pictures();
    machine.json(&["quickstart", folder.to_str().unwrap(), "--yes", "--once", "--listen", &free_address()]);
    let config = std::fs::read_to_string(machine.path("home/quickstart/config.toml")).unwrap();
    let port = config
        .split("127.0.0.1:")
        .nth(1)
        .unwrap()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect::<String>();
    let listen = format!("127.0.0.1:{port}");
    let mut server = machine
        .command(&["serve", "--data-dir", "darkslide-data", "--listen", &listen])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.take().unwrap()), &mut line)
        .unwrap();
    let summary = machine.json(&["--profile", "quickstart", "restore", "--to", "back"]);
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(summary["restored"], 3, "{summary}");
    assert_eq!(tree(&machine.path("back")).len(), 3);
}

#[test]
fn a_missing_folder_and_an_address_in_use_are_explained() {
    let machine = Machine::new();
    let error = machine.fails(&["quickstart", "nowhere", "--yes"]);
    assert!(error.contains("nowhere is not there"), "{error}");
    let folder = machine.pictures();
    let error = machine.fails(&["quickstart", folder.to_str().unwrap(), "--yes", "--listen", "127.0.0.1:0"]);
    assert!(error.contains("port of its own"), "{error}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = machine.fails(&["quickstart", folder.to_str().unwrap(), "--yes", "--listen", &address]);
    assert!(
        error.contains("choose another address with --listen") || error.contains("Choose another"),
        "{error}"
    );
}
