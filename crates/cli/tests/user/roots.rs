//! Folders whose place something else takes: what the system tells is always told of the folder that is there.

use crate::agent::{Agent, picture};
use crate::machine::{Machine, write};
use crate::sync::until;
use std::fs;
use std::path::Path;
use std::process::Child;

/// Once, the agent went on hearing of the folder that was moved away, and said that the new one was watched.
#[test]
fn a_watch_folder_that_is_replaced_is_watched_as_before() {
    let machine = Machine::new();
    let _server = machine.with_account("roots@example.org");
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
    let _server = machine.with_account("roots@example.org");
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
    let _server = machine.with_account("ours@example.org");
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
