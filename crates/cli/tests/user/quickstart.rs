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
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = machine.pictures();
    let error = machine.fails(&["quickstart", folder.to_str().unwrap(), "--yes", "--listen", &address]);
    assert!(
        error.contains("choose another address with --listen") || error.contains("Choose another"),
        "{error}"
    );
}
