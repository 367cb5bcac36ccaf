//! Sync folders and accounts: whose a folder is, and what becomes of it when the session ends.

use crate::machine::{EMAIL, Machine, jpeg, write};
use crate::sync::{Agent, run, until};
use serde_json::Value;
use std::fs;
use std::time::{Duration, SystemTime};

/// What one account deletes in a folder, another one that has it would delete as well.
#[test]
fn two_profiles_share_no_folder() {
    let machine = Machine::new();
    let server = machine.with_account();
    machine.sign_up(&server, "bernd@example.org", "bernd");
    write(&machine.path("Pictures/Phone/2024/a.jpg"), &jpeg(1));
    machine.says(&["sync", "add", "Pictures/Phone"]);
    let refused = |folder: &str| {
        let told = machine.fails(&["--profile", "bernd", "sync", "add", folder]);
        for part in [folder, "of the profile default", "darkslide --profile default sync remove", "/Phone"] {
            assert!(told.contains(part), "{part} in {told}");
        }
    };
    for folder in ["Pictures/Phone", "Pictures/Phone/2024", "Pictures"] {
        refused(folder);
    }
    let marker = machine.path("Pictures/Phone/.darkslide-folder");
    let before = fs::read(&marker).unwrap();
    // A copy of it is another folder, and moved it is the same one.
    fs::create_dir(machine.path("Copy")).unwrap();
    fs::copy(&marker, machine.path("Copy/.darkslide-folder")).unwrap();
    machine.says(&["--profile", "bernd", "sync", "add", "Copy"]);
    assert_ne!(fs::read(machine.path("Copy/.darkslide-folder")).unwrap(), before);
    fs::rename(machine.path("Pictures"), machine.path("Moved")).unwrap();
    refused("Moved/Phone");
    assert_eq!(fs::read(machine.path("Moved/Phone/.darkslide-folder")).unwrap(), before);
    fs::rename(machine.path("Moved"), machine.path("Pictures")).unwrap();
    machine.says(&["sync", "remove", "Pictures/Phone"]);
    machine.says(&["--profile", "bernd", "sync", "add", "Pictures/Phone"]);
    // Of somebody who has another home there is the marker.
    fs::write(machine.path("Copy/.darkslide-folder"), "another\n").unwrap();
    fs::create_dir(machine.path("Copy/2024")).unwrap();
    let told = machine.fails(&["sync", "add", "Copy/2024"]);
    assert!(told.contains("of the profile bernd"), "{told}");
    machine.says(&["--profile", "bernd", "sync", "remove", "Copy"]);
    let told = machine.fails(&["sync", "add", "Copy/2024"]);
    assert!(told.contains("none of this user's profiles") && told.contains(".darkslide-folder"), "{told}");
}

/// A dry run makes no file in the folder, not for a moment. What another profile has is that one's, in any case: its catalog may be of an earlier
/// version, and be open in an agent.
#[test]
fn a_dry_run_writes_nothing_and_nobody_writes_what_another_profile_has() {
    let machine = Machine::new();
    let server = machine.with_account();
    machine.sign_up(&server, "bernd@example.org", "bernd");
    write(&machine.path("Phone/a.jpg"), &jpeg(1));
    machine.says(&["--profile", "bernd", "sync", "list"]);
    let catalog = |ending: &str| machine.path("home/bernd").join(format!("catalog.{ending}"));
    for ending in ["sqlite", "migrate"] {
        fs::remove_file(catalog(ending)).unwrap();
    }
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
    let folder = fs::File::open(machine.path("Phone")).unwrap();
    folder.set_modified(long_ago).unwrap();
    machine.says(&["sync", "add", "Phone", "--dry-run", "--settle-photos", "0"]);
    assert_eq!(folder.metadata().unwrap().modified().unwrap(), long_ago);
    machine.says(&["sync", "add", "Phone"]);
    assert!(!catalog("sqlite").exists() && !catalog("migrate").exists());
}

/// That is said of every folder, by whoever finds out: the agent, told that there is nothing to listen to any more, or a command.
#[test]
fn a_session_that_has_ended_is_told() {
    let machine = Machine::new();
    let server = machine.with_account();
    for folder in ["Phone", "Tablet"] {
        write(&machine.path(folder).join("a.jpg"), &jpeg(folder.len() as u8));
        machine.says(&["sync", "add", folder]);
    }
    let is_told = || {
        let output = machine.run(&["sync", "status", "--json"]);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let is_over = |folder: &Value| folder["lastPass"]["signedOut"] == true;
        !output.status.success() && told.as_array().unwrap().iter().all(is_over)
    };
    let log_in = |profile: &str| {
        let words = ["--profile", profile, "login", &server.url, "--email", EMAIL];
        machine.says(&[&words[..], &["--password-file", "password", "--keys", "key-file"]].concat());
    };
    // Somewhere else all others are signed out.
    let end = || {
        log_in("web");
        let devices = machine.json(&["--profile", "web", "devices"]);
        for device in devices["devices"].as_array().unwrap().iter().filter(|device| device["isThis"] != true)
        {
            machine.says(&["--profile", "web", "devices", "revoke", device["id"].as_str().unwrap()]);
        }
    };
    run(&machine);
    assert!(machine.says(&["sync", "status"]).contains("Tablet: in step"));
    end();
    machine.fails(&["sync", "run"]);
    assert!(is_told());
    let said = String::from_utf8(machine.run(&["sync", "status"]).stdout).unwrap();
    assert_eq!(said.matches("`darkslide login`").count(), 2, "{said}");
    log_in("default");
    {
        let _agent = Agent::start(&machine, &[]);
        until("both in step", &machine, || machine.run(&["sync", "status"]).status.success());
        end();
        until("the end of the session", &machine, is_told);
        log_in("default");
        until("both in step again", &machine, || machine.run(&["sync", "status"]).status.success());
    }
}

/// A keyring that is locked, or a file that cannot be read, has not ended any session.
#[test]
fn keys_that_cannot_be_read_are_told_as_that() {
    let machine = Machine::new();
    let _server = machine.with_account();
    write(&machine.path("Phone/a.jpg"), &jpeg(1));
    machine.says(&["sync", "add", "Phone"]);
    run(&machine);
    let (key, away) = (machine.path("home/default/keys.key"), machine.path("elsewhere"));
    fs::rename(&key, &away).unwrap();
    let _agent = Agent::start(&machine, &[]);
    let told = |what: &str| String::from_utf8(machine.run(&[what, "status"]).stdout).unwrap();
    let said = || told("sync");
    until("the keys that are missing", &machine, || said().contains("keys.key"));
    assert!(!said().contains("session has ended"), "{}", said());
    assert!(told("agent").contains("agent scan"));
    fs::rename(&away, &key).unwrap();
    machine.says(&["agent", "scan"]);
    until("in step again", &machine, || machine.run(&["sync", "status"]).status.success());
}
