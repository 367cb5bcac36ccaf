//! Folders whose place something else takes: what the system tells is always told of the folder that is there.

use crate::agent::{Agent, picture};
use crate::machine::{Machine, write};
use crate::sync::{give, is_root, until};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};

/// Once, the agent went on hearing of the folder that was moved away, and said that the new one was watched.
#[test]
fn a_watch_folder_that_is_replaced_is_watched_as_before() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let folder = machine.path("pictures");
    write(&folder.join("0.jpg"), &picture(0));
    machine.says(&["watch", "add", folder.to_str().unwrap()]);
    let agent = Agent::start(&machine, &[]);
    agent.until_done(1, 0);
    let mut sent = 1;
    for replace in [move_away, remove] {
        let new = machine.path("new");
        write(&new.join("0.jpg"), &picture(0));
        write(&new.join(format!("with{sent}.jpg")), &picture(sent));
        let before = machine.json(&["agent", "status"]);
        let scans = before["agent"]["done"]["fullScans"].as_u64().unwrap();
        replace(&folder);
        fs::rename(&new, &folder).unwrap();
        sent += 1;
        // Looked at in full since it is watched anew, and at rest: what comes now is told by the system alone.
        agent.until("the new folder is looked at", |status| {
            status["state"] == "idle"
                && status["done"]["uploaded"] == sent
                && status["done"]["fullScans"].as_u64().unwrap() > scans
        });
        write(&folder.join(format!("after{sent}.jpg")), &picture(sent));
        sent += 1;
        agent.until("what comes into the new folder is sent", |status| {
            status["state"] == "idle" && status["done"]["uploaded"] == sent
        });
    }
    agent.stop();
}

/// The same of a sync folder.
#[test]
fn a_sync_folder_that_is_replaced_is_watched_as_before() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let folder = machine.path("pictures");
    for number in 0..9 {
        write(&folder.join(format!("{number}.jpg")), &picture(number));
    }
    machine.says(&["sync", "add", folder.to_str().unwrap()]);
    let agent = Agent::start(&machine, &["--rescan", "86400000"]);
    let has = |count: usize| machine.json(&["list"])["files"].as_array().unwrap().len() == count;
    until("the folder is in step", &machine, || has(9));
    let new = machine.path("new");
    let copied = std::process::Command::new("cp").arg("-a").args([&folder, &new]).status().unwrap();
    assert!(copied.success());
    write(&new.join("with.jpg"), &picture(100));
    move_away(&folder);
    fs::rename(&new, &folder).unwrap();
    until("what came with the new folder is sent", &machine, || has(10));
    write(&folder.join("after.jpg"), &picture(101));
    until("what comes into the new folder is sent", &machine, || has(11));
    agent.stop();
}

fn move_away(folder: &Path) {
    let _before = fs::remove_dir_all(folder.with_extension("old"));
    fs::rename(folder, folder.with_extension("old")).unwrap();
}

fn remove(folder: &Path) {
    fs::remove_dir_all(folder).unwrap();
}

/// A root around our own folders: what lies there is no picture of anybody's, whatever it looks like.
#[test]
fn what_lies_in_the_profiles_folders_is_not_backed_up() {
    let machine = Machine::new();
    machine.pictures();
    let _server = machine.with_account();
    let ours = machine.path("home/default/cover.jpg");
    write(&ours, &picture(7));
    let report = machine.json(&["backup", "."]);
    assert_eq!((&report["uploaded"], &report["failed"]), (&3.into(), &serde_json::json!([])), "{report}");
    machine.says(&["watch", "add", "."]);
    let told = machine.says(&["explain", ours.to_str().unwrap()]);
    assert!(told.contains("Darkslide keeps there what it knows itself"), "{told}");
    let agent = Agent::start(&machine, &[]);
    agent.until("it has looked at everything", |status| {
        status["state"] == "idle" && status["done"]["fullScans"].as_u64() > Some(0)
    });
    assert_eq!(machine.json(&["list"])["files"].as_array().unwrap().len(), 3);
}

/// A process that ends with the test.
pub(crate) struct Ends(pub(crate) Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _waited = self.0.wait();
    }
}

/// What lies in a folder that may not be read is not safe, and not gone either.
#[test]
fn a_folder_that_may_not_be_read_is_told_with_what_to_do() {
    // Root may read anything: somebody else runs it, in a home of their own.
    const NOBODY: u32 = 65_534;
    let machine = Machine::new();
    let _server = machine.with_account();
    let (folder, closed) = (machine.path("pictures"), machine.path("pictures/closed"));
    write(&folder.join("0.jpg"), &picture(0));
    write(&closed.join("1.jpg"), &picture(1));
    machine.says(&["watch", "add", folder.to_str().unwrap()]);
    if is_root() {
        fs::set_permissions(machine.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        give(&machine.path("home"), NOBODY);
        give(&folder, NOBODY);
    }
    let command = |words: &[&str]| {
        let mut command = machine.command(words);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    };
    let says = |words: &[&str]| String::from_utf8(command(words).output().unwrap().stdout).unwrap();
    let status = || -> Value { serde_json::from_str(&says(&["status", "--json"])).unwrap_or_default() };
    let words = ["agent", "run", "--no-notifications", "--settle-photos", "100", "--settle-videos", "200"];
    let log = fs::File::create(machine.path("agent.log")).unwrap();
    let _agent = Ends(command(&words).stdout(Stdio::null()).stderr(log).spawn().unwrap());
    until("all is safe", &machine, || status()["backedUp"] == 2);
    let may_read = |mode| fs::set_permissions(&closed, fs::Permissions::from_mode(mode)).unwrap();

    may_read(0);
    until("what may not be read", &machine, || status()["unreadable"] == 1);
    let told = says(&["status"]);
    for part in
        ["but for what lies in 1 place that cannot be read", "Blocked:", "may not read it", "chmod -R u+rX"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = says(&["agent", "status"]);
    assert!(told.contains("1 place that cannot be read"), "{told}");
    let told = says(&["explain", closed.join("1.jpg").to_str().unwrap()]);
    for part in ["It cannot be looked at now", "chmod -R u+rX", "Backed up on"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = says(&["explain", closed.join("2.jpg").to_str().unwrap()]);
    assert!(told.contains("Blocked on") && told.contains("may not read it"), "{told}");

    // Whoever looks at what has come beside it has not looked into it.
    write(&folder.join("3.jpg"), &picture(3));
    if is_root() {
        give(&folder.join("3.jpg"), NOBODY);
    }
    until("what came beside it is safe", &machine, || status()["backedUp"] == 3);
    until("the run has ended", &machine, || says(&["agent", "status"]).contains("cannot be read"));
    assert_eq!(status()["unreadable"], 1, "{}", says(&["status"]));

    may_read(0o755);
    until("it may be read again", &machine, || status()["unreadable"] == 0);
    let told = says(&["explain", closed.join("1.jpg").to_str().unwrap()]);
    assert!(told.contains("Backed up on") && !told.contains("cannot"), "{told}");
}
