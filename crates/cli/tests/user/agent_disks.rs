//! The agent and disks: one that another takes the place of, one that is full, and folders on them that may not be entered.

use crate::agent::{Agent, picture};
use crate::machine::{Machine, write};
use crate::roots::Ends;
use crate::sync::{give, is_root, until};
use crate::sync_faults::{Disk, names};
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The system gives the number of a disk to the next one. Once, what was on that was sent unasked.
#[test]
fn another_disk_with_the_same_number_is_another_disk() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let disk = machine.path("disk");
    let Some(first) = Disk::mount(&disk) else { return };
    write(&disk.join("a.jpg"), &picture(1));
    machine.says(&["watch", "add", disk.to_str().unwrap()]);
    let agent = Agent::start(&machine, &[]);
    agent.until_done(1, 0);
    let is_offline = |status: &Value, why: &str| {
        let because = status["folders"][0]["because"].as_str();
        status["folders"][0]["state"] == "offline" && because.is_some_and(|because| because.contains(why))
    };
    let is_back = |status: &Value| status["state"] == "idle" && status["folders"][0]["state"] == "watched";
    drop(first);
    machine.says(&["agent", "scan"]);
    agent.until("it is away", |status| is_offline(status, "it is empty"));
    let second = Disk::mount(&disk).unwrap();
    write(&disk.join("other.jpg"), &picture(2));
    machine.says(&["agent", "scan"]);
    agent.until("it is another one", |status| is_offline(status, "another disk"));
    drop(second);
    // The same as before, and something new on it.
    let first = Disk::mount(&disk).unwrap();
    write(&disk.join("a.jpg"), &picture(1));
    write(&disk.join("b.jpg"), &picture(3));
    machine.says(&["agent", "scan"]);
    agent.until("it is back", |status| is_back(status) && status["done"]["uploaded"] == 2);
    // Another one again, and so fast that nobody has seen that the place was empty.
    drop(first);
    let _third = Disk::mount(&disk).unwrap();
    write(&disk.join("third.jpg"), &picture(4));
    machine.says(&["agent", "scan"]);
    agent.until("it is another one again", |status| is_offline(status, "another disk"));
    machine.says(&["watch", "resume", disk.to_str().unwrap()]);
    agent.until("its owner says it is right", |status| is_back(status) && status["done"]["uploaded"] == 3);
}

/// Moves the home to a small disk of its own; none where nothing may be mounted.
fn home_on_a_disk(machine: &Machine) -> Option<Disk> {
    fs::rename(machine.path("home"), machine.path("moved")).unwrap();
    let disk = Disk::mount(&machine.path("home"))?;
    let mut copying = Command::new("cp");
    copying.arg("-a").args([machine.path("moved/."), machine.path("home")]);
    assert!(copying.status().unwrap().success());
    Some(disk)
}

/// Fills the home's disk, with a file of which this is the path.
fn fill_home(machine: &Machine) -> PathBuf {
    let filling = machine.path("home/filling");
    let mut file = fs::File::create(&filling).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    filling
}

/// An agent that says what it does in `agent.log`.
fn logged_agent(machine: &Machine) -> Ends {
    let log = fs::File::create(machine.path("agent.log")).unwrap();
    let mut command = machine.command(&["agent", "run", "--no-notifications", "--settle-photos", "100"]);
    Ends(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

/// Once, it ended, and `agent logs` said nothing.
#[test]
fn an_agent_whose_disk_is_full_waits_for_room() {
    let machine = Machine::new();
    let folder = machine.pictures();
    let _server = machine.with_account();
    let Some(_disk) = home_on_a_disk(&machine) else { return };
    machine.says(&["watch", "add", folder.to_str().unwrap()]);
    let filling = fill_home(&machine);
    let mut agent = logged_agent(&machine);
    let said = || fs::read_to_string(machine.path("agent.log")).unwrap();
    until("it says why it waits", &machine, || said().contains("is full"));
    assert!(said().contains("goes on by itself when there is room"), "{}", said());
    assert!(agent.0.try_wait().unwrap().is_none(), "it has ended: {}", said());
    fs::remove_file(&filling).unwrap();
    until("all is safe", &machine, || machine.json(&["list"])["files"].as_array().unwrap().len() == 3);
    assert_eq!(said().matches("is full").count(), 1, "once: {}", said());
}

/// Once, it went on with the first room there was, and after every start.
#[test]
fn a_pause_outlasts_a_full_disk_and_a_restart() {
    let machine = Machine::new();
    let folder = machine.pictures();
    let _server = machine.with_account();
    let Some(_disk) = home_on_a_disk(&machine) else { return };
    machine.says(&["watch", "add", folder.to_str().unwrap()]);
    write(&machine.path("Phone/a.jpg"), &picture(90));
    machine.says(&["sync", "add", "Phone"]);
    let agent = Agent::start(&machine, &[]);
    agent.until_done(3, 0);
    machine.says(&["agent", "pause"]);
    write(&folder.join("new.jpg"), &picture(91));
    agent.kill();
    // The last one that closes the catalog takes what lies beside it away, for which there is no room afterwards.
    fs::create_dir(machine.path("more")).unwrap();
    machine.says(&["watch", "add", "more"]);
    let filling = fill_home(&machine);
    let _agent = logged_agent(&machine);
    let said = || fs::read_to_string(machine.path("agent.log")).unwrap();
    let has_started = || said().contains("the agent has started");
    // A log of the database that somebody left behind has room for it to start.
    until("it says why it waits, or does not", &machine, || said().contains("is full") || has_started());
    fs::remove_file(&filling).unwrap();
    until("it has started", &machine, has_started);
    assert!(said().contains("the agent has started, and is paused"), "{}", said());
    let told = machine.json(&["agent", "status"]);
    assert_eq!(told["agent"]["state"], "paused", "{told}");
    // It stays so until it is told otherwise, and then goes on.
    machine.says(&["agent", "scan"]);
    assert_eq!(machine.json(&["agent", "status"])["agent"]["state"], "paused");
    machine.says(&["agent", "resume"]);
    until("all is safe", &machine, || machine.json(&["list"])["files"].as_array().unwrap().len() == 5);
    machine.says(&["agent", "stop"]);
    let agent = Agent::start(&machine, &[]);
    agent.until("what was resumed is not paused", |status| status["state"] == "idle");
}

/// Once, one such folder had all of it looked at every five minutes in place of being watched, for as long as the agent lived.
#[test]
fn a_folder_that_may_not_be_entered_keeps_no_other_from_being_watched() {
    const NOBODY: u32 = 65_534;
    let machine = Machine::new();
    let _server = machine.with_account();
    let folder = machine.path("pictures");
    let (closed, excluded) = (folder.join("closed"), folder.join("excluded"));
    for (number, at) in [&folder, &closed, &excluded].into_iter().enumerate() {
        write(&at.join("0.jpg"), &picture(u32::try_from(number).unwrap()));
    }
    machine.says(&["watch", "add", folder.to_str().unwrap(), "--exclude", "excluded"]);
    if is_root() {
        fs::set_permissions(machine.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        give(&machine.path("home"), NOBODY);
        give(&folder, NOBODY);
    }
    let may_enter = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    may_enter(&closed, 0o000);
    may_enter(&excluded, 0o000);
    let command = |words: &[&str]| {
        let mut command = machine.command(words);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    };
    let comes = |number: u32, at: &str| {
        write(&folder.join(at), &picture(number));
        if is_root() {
            give(&folder.join(at), NOBODY);
        }
    };
    let status = || -> Value {
        let output = command(&["agent", "status", "--json"]).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        answer["agent"]["folders"][0].clone()
    };
    let blocked = |status: &Value| status["unreadable"].as_array().map_or(0, Vec::len);
    let words = ["agent", "run", "--no-notifications", "--settle-photos", "100", "--rescan", "86400000"];
    let log = fs::File::create(machine.path("agent.log")).unwrap();
    let _agent = Ends(command(&words).stdout(Stdio::null()).stderr(log).spawn().unwrap());
    until("what may be read is safe", &machine, || status()["safe"] == 1 && blocked(&status()) == 1);
    assert_eq!(status()["state"], "watched", "{}", status());
    comes(10, "1.jpg");
    until("what comes is told", &machine, || status()["safe"] == 2);
    comes(11, "new/2.jpg");
    until("what comes in a new folder is told", &machine, || status()["safe"] == 3);
    assert_eq!(blocked(&status()), 1, "{}", status());
    may_enter(&closed, 0o755);
    until("it may be entered", &machine, || status()["safe"] == 4 && blocked(&status()) == 0);
    comes(12, "closed/3.jpg");
    until("what comes there is told", &machine, || status()["safe"] == 5);
    may_enter(&closed, 0o000);
    may_enter(&excluded, 0o755);
}

/// Once, the agent waited for it, and backed nothing up any more.
/// Shows E5, E12.
#[test]
fn a_network_disk_that_does_not_answer_keeps_nothing_else_waiting() {
    let machine = Machine::new();
    let folder = machine.pictures();
    let _server = machine.with_account();
    let (nas, other) = (folder.join("nas"), machine.path("other"));
    let Some(silent) = Disk::silent(&nas) else { return };
    write(&other.join("b.jpg"), &picture(20));
    for folder in [&folder, &other] {
        machine.says(&["watch", "add", folder.to_str().unwrap()]);
    }
    let agent = Agent::start(&machine, &[]);
    let is_told = |status: &Value| {
        let unreadable = &status["folders"][0]["unreadable"][0];
        unreadable["path"] == nas.to_str().unwrap()
            && unreadable["reason"].to_string().contains("does not answer")
    };
    agent.until("all else is safe", |status| {
        status["state"] == "idle" && status["done"]["uploaded"] == 4 && is_told(status)
    });
    write(&folder.join("new.jpg"), &picture(21));
    agent.until("what comes is told", |status| status["done"]["uploaded"] == 5);
    let explained = machine.says(&[
        "explain",
        nas.join("a.jpg").to_str().unwrap(),
        folder.join("new.jpg").to_str().unwrap(),
    ]);
    assert!(explained.contains("Waiting: its folder is offline: its disk does not answer"), "{explained}");
    assert!(explained.contains("Backed up on 20"), "{explained}");
    let status = machine.json(&["status"]);
    assert_eq!((&status["unreadable"], &status["backedUp"]), (&1.into(), &5.into()), "{status}");
    drop(silent);
    write(&nas.join("a.jpg"), &picture(22));
    machine.says(&["agent", "scan"]);
    agent.until("it is seen that it is gone", |status| {
        status["done"]["uploaded"] == 6
            && status["folders"][0]["unreadable"].as_array().is_none_or(Vec::is_empty)
    });
}

/// Once, whoever named something on it, or a folder that it is mounted in, waited for ever.
/// Shows E5, E12.
#[test]
fn by_hand_a_network_disk_that_does_not_answer_is_left_out_and_named() {
    let machine = Machine::new();
    let folder = machine.pictures();
    let _server = machine.with_account();
    let (nas, link) = (folder.join("nas"), machine.path("link"));
    let Some(silent) = Disk::silent(&nas) else { return };
    std::os::unix::fs::symlink(nas.join("2024"), &link).unwrap();
    let backup = |paths: &[&Path]| -> (Option<i32>, Value) {
        let paths = paths.iter().map(|path| path.to_str().unwrap());
        let words: Vec<_> = ["backup", "--json"].into_iter().chain(paths).collect();
        let output = machine.run(&words);
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
    };
    let failed = |report: &Value, path: &Path, why: &str| {
        let failed = report["failed"].as_array().unwrap();
        let is_it =
            |one: &Value| one["path"] == path.to_str().unwrap() && one["reason"].to_string().contains(why);
        assert!(failed.iter().any(is_it), "{} {why}: {report}", path.display());
        failed.len()
    };
    let on_it = format!("the disk at {} does not answer", nas.display());
    let (code, report) = backup(&[&folder, &link]);
    assert_eq!((code, &report["uploaded"]), (Some(1), &3.into()), "{report}");
    assert_eq!((failed(&report, &link, &on_it), failed(&report, &nas, "does not answer")), (2, 2));
    let (code, report) = backup(&[&link]);
    assert_eq!((code, &report["uploaded"], failed(&report, &link, &on_it)), (Some(1), &0.into(), 1));
    let filed = machine.run(&["reorganise", link.to_str().unwrap()]);
    assert!(
        filed.status.code() == Some(1) && String::from_utf8_lossy(&filed.stdout).contains(&on_it),
        "{filed:?}"
    );
    let explained = machine.says(&["explain", link.join("a.jpg").to_str().unwrap()]);
    assert!(explained.contains("its disk does not answer"), "{explained}");
    drop(silent);
    write(&nas.join("2024/a.jpg"), &picture(30));
    let (code, report) = backup(&[&folder, &link]);
    assert_eq!((code, &report["uploaded"]), (Some(0), &1.into()), "{report}");
}

/// Once, the agent began to watch it, and kept no folder in step any more.
#[test]
fn a_sync_folder_on_a_disk_that_does_not_answer_keeps_no_other_waiting() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let (nas, other) = (machine.path("nas"), machine.path("other"));
    let on_it = nas.join("photos");
    for folder in [&on_it, &other] {
        fs::create_dir_all(folder).unwrap();
        machine.says(&["sync", "add", folder.to_str().unwrap()]);
    }
    let Some(_silent) = Disk::silent(&nas) else { return };
    write(&other.join("a.jpg"), &picture(40));
    let _agent = Agent::start(&machine, &[]);
    let told = || String::from_utf8(machine.run(&["sync", "status", "--json"]).stdout).unwrap();
    until("it is said", &machine, || told().contains("its disk does not answer"));
    until("the other one is in step", &machine, || names(&machine).len() == 1);
    write(&other.join("b.jpg"), &picture(41));
    until("and stays so", &machine, || names(&machine).len() == 2);
    machine.says(&["sync", "pause", on_it.to_str().unwrap()]);
}
