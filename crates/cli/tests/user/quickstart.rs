//! The first command of the README.

use crate::machine::{Machine, jpeg, tree, write};
use crate::roots::Ends;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};

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

/// A server with its data in a folder, when it listens.
fn serve(machine: &Machine, data: &Path, listen: &str) -> Child {
    let words = ["serve", "--data-dir", data.to_str().unwrap(), "--listen", listen];
    let mut server = machine.command(&words).stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    server
}

/// POSIX drops all locks of a process on a file when it closes any descriptor of it: the database of the server that runs in the same process must
/// not be opened by the backup of the folder that it lies in, or the next command would remove its log under it.
#[test]
fn the_data_of_the_server_may_lie_among_the_pictures() {
    let machine = Machine::new();
    let folder = machine.path("here");
    for (name, seed) in [("1.jpg", 1), ("2.jpg", 2), ("trip/3.jpg", 3)] {
        write(&folder.join(name), &jpeg(seed));
    }
    let listen = free_address();
    let words = ["quickstart", ".", "--yes", "--listen", &listen, "--json"];
    let mut command = machine.command(&words);
    let running = command.current_dir(&folder).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut running = Ends(running.unwrap());
    let answers = serde_json::Deserializer::from_reader(running.0.stdout.take().unwrap());
    let report: serde_json::Value = answers.into_iter().next().unwrap().unwrap();
    assert_eq!(report["backup"]["uploaded"], 3, "{report}");
    let skipped = report["backup"]["skipped"].to_string();
    assert!(skipped.contains("a Darkslide server keeps its data there"), "{report}");

    let data = folder.join("darkslide-data");
    machine.says(&["account", "--data-dir", data.to_str().unwrap(), "list"]);
    assert!(data.join("darkslide.db-wal").exists(), "whoever came and went was not alone");
    for (name, seed) in [("4.jpg", 4), ("trip/5.jpg", 5)] {
        write(&folder.join(name), &jpeg(seed));
    }
    let mine = |words: &[&str]| machine.json(&[&["--profile", "quickstart"], words].concat());
    assert_eq!(mine(&["backup", folder.to_str().unwrap()])["uploaded"], 2);
    // As a crash does.
    drop(running);

    let server = Ends(serve(&machine, &data, &listen));
    let summary = mine(&["restore", "--to", "back"]);
    drop(server);
    assert_eq!(summary["restored"], 5, "{summary}");
    let explain = |path: &Path| machine.says(&["--profile", "quickstart", "explain", path.to_str().unwrap()]);
    let database = data.join("darkslide.db");
    assert!(explain(&database).contains("never opened"), "{}", explain(&database));
    write(&data.join("incoming/half.jpg"), &jpeg(6));
    let half = data.join("incoming/half.jpg");
    assert!(explain(&half).contains("a Darkslide server keeps its data there"), "{}", explain(&half));
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
    let mut server = serve(&machine, Path::new("darkslide-data"), &listen);
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
