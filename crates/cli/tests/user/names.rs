//! Names that are not text: whatever bytes a file system allows, no command stumbles over them.

use crate::agent::Agent;
use crate::machine::{Machine, jpeg, write};
use serde_json::Value;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

fn named(folder: &Path, name: &[u8]) -> PathBuf {
    folder.join(OsStr::from_bytes(name))
}

/// What a command says that must succeed, with a path behind its words.
fn says(machine: &Machine, words: &[&str], path: &Path) -> String {
    let output = machine.command(words).arg(path).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(machine: &Machine, words: &[&str], path: &Path) -> Value {
    serde_json::from_str(&says(machine, words, path)).unwrap()
}

/// Once, such a folder made the agent hang up on whoever asked for its status, and so on every command that does.
#[test]
fn a_watch_folder_whose_name_is_not_text_is_told_of() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let folder = named(machine.folder.path(), b"caf\xe9");
    write(&folder.join("a.jpg"), &jpeg(1));
    says(&machine, &["watch", "add"], &folder);
    let shown = |told: &Value| told.as_str().is_some_and(|path| path.ends_with("caf\u{fffd}"));
    assert!(shown(&machine.json(&["watch", "list"])[0]["path"]));
    let agent = Agent::start(&machine, &[]);
    let status = agent.until_done(1, 0);
    assert!(shown(&status["folders"][0]["path"]), "{status}");
    assert!(shown(&machine.json(&["status"])["folders"][0]["path"]));
    assert!(machine.says(&["status"]).contains("caf\u{fffd}: watched"));
    let told = json(&machine, &["explain", "--json"], &folder.join("a.jpg"));
    assert!(told[0]["explanation"].as_str().unwrap().starts_with("Backed up"), "{told}");
    machine.says(&["agent", "pause"]);
    says(&machine, &["watch", "remove"], &folder);
    agent.stop();
}

/// Once, this list ended in a panic.
#[test]
fn a_picture_whose_name_is_not_text_may_go() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let folder = machine.path("pictures");
    let picture = named(&folder, b"caf\xe9.jpg");
    write(&picture, &jpeg(1));
    let long_ago = UNIX_EPOCH + Duration::from_hours(400_000);
    std::fs::File::options().write(true).open(&picture).unwrap().set_modified(long_ago).unwrap();
    says(&machine, &["backup"], &folder);
    let told = json(&machine, &["explain", "--json"], &picture);
    assert!(told[0]["path"].as_str().unwrap().ends_with("caf\u{fffd}.jpg"), "{told}");
    let words = ["free-up", "--json", "--older-than", "0d"];
    let plan = json(&machine, &words, &folder);
    let path = &plan["plan"]["candidates"][0]["paths"][0];
    assert!(path.as_str().unwrap().ends_with("caf\u{fffd}.jpg"), "{plan}");
    let freed = json(&machine, &[&words[..], &["--remove", "--yes"]].concat(), &folder);
    assert_eq!((&freed["removed"], picture.exists()), (&1.into(), false), "{freed}");
}
