//! A server whose folder was put back as it was some time ago, as from a backup of it: what it lost is noticed, told and sent again, and nothing
//! that is in a sync folder is taken for deleted.

#![expect(
    clippy::indexing_slicing,
    reason = "an answer without what a test looks for fails the test right there"
)]

use crate::machine::{EMAIL, Machine, Server, jpeg, write};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// What everybody is told.
const TOLD: &str = "the server was set back to an older state and lost 5 pictures that it had";

/// Settled at once, and missed at once.
const QUICK: [&str; 8] =
    ["--settle-photos", "1", "--settle-videos", "1", "--settle-incomplete", "1", "--absence", "1"];

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn again(machine: &Machine, server: Server, between: impl FnOnce()) -> Server {
    let address = server.url.trim_start_matches("http://").to_owned();
    drop(server);
    between();
    machine.serve_at(&address)
}

fn names(machine: &Machine, words: &[&str]) -> Vec<String> {
    let listed = machine.json(words);
    let files = listed["files"].as_array().unwrap_or_else(|| panic!("{listed}"));
    let mut names: Vec<_> = files.iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn keep_in_step(machine: &Machine) -> Value {
    let output = machine.run(&[&["sync", "run", "--json"], &QUICK[..]].concat());
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    report[0]["report"].clone()
}

fn id_of(machine: &Machine, name: &str) -> String {
    let listed = machine.json(&["list", "files"]);
    let files = listed["files"].as_array().unwrap();
    files.iter().find(|file| file["name"] == name).unwrap()["id"].to_string()
}

/// The server's newest version is earlier than what the client has seen, or is later again, for another device has sent something since: enough to
/// reach the numbers that were given to what was lost.
fn check(has_grown: bool) {
    let machine = Machine::new();
    let server = machine.with_account();
    let sign_in = ["login", &server.url, "--email", EMAIL, "--password-file", "password"];
    machine.says(&[&sign_in[..], &["--keys", "key-file", "--profile", "tablet"]].concat());
    let (pictures, phone, tablet) = (machine.path("pictures"), machine.path("Phone"), machine.path("tablet"));
    write(&pictures.join("a.jpg"), &jpeg(1));
    for (name, seed) in [("deleted-before.jpg", 11), ("put-back.jpg", 12), ("kept.jpg", 13)] {
        write(&phone.join(name), &jpeg(seed));
    }
    machine.says(&["sync", "add", "Phone"]);
    keep_in_step(&machine);
    machine.says(&["backup", "pictures"]);
    machine.says(&["trash", "add", &id_of(&machine, "put-back.jpg")]);
    assert_eq!(keep_in_step(&machine)["trashedLocal"], 1);

    let (data, old) = (machine.path("server"), machine.path("old"));
    let server = again(&machine, server, || copy(&data, &old));
    // More than the block of numbers for files that the old database has to give.
    for number in 0..2 {
        write(&pictures.join(format!("lost-{number}.jpg")), &jpeg(20 + number));
    }
    machine.says(&["backup", "pictures"]);
    for (name, seed) in [("lost.jpg", 30), ("lost-here-too.jpg", 31), ("lost-and-edited.jpg", 32)] {
        write(&phone.join(name), &jpeg(seed));
    }
    let trashed = machine.json(&["sync", "trash", "list"]);
    machine.says(&["sync", "trash", "restore", trashed[0]["entry"]["id"].as_str().unwrap()]);
    keep_in_step(&machine);
    machine.says(&["trash", "add", &id_of(&machine, "kept.jpg")]);
    keep_in_step(&machine);
    assert!(!phone.join("kept.jpg").exists());

    let _server = again(&machine, server, || {
        fs::remove_dir_all(&data).unwrap();
        copy(&old, &data);
    });
    if has_grown {
        for number in 0..9 {
            write(&tablet.join(format!("new-{number}.jpg")), &jpeg(100 + number));
        }
        machine.says(&["--profile", "tablet", "backup", "tablet", "--album", "Phone"]);
    }
    fs::remove_file(phone.join("lost-here-too.jpg")).unwrap();
    write(&phone.join("lost-and-edited.jpg"), &jpeg(33));

    let report = machine.json(&["backup", "pictures"]);
    assert_eq!((&report["uploaded"], &report["setBack"]["lost"]), (&2.into(), &5.into()), "{report}");
    let report = keep_in_step(&machine);
    assert_eq!((&report["trashedLocal"], &report["trashedRemote"]), (&0.into(), &0.into()), "{report}");
    // Both the one and the edited one; what was put back is taken out of the trash again.
    assert_eq!((&report["uploaded"], &report["restored"]), (&2.into(), &1.into()), "{report}");
    let alarm = |told: &Value| told["path"] == "lost-here-too.jpg";
    assert!(report["notices"].as_array().unwrap().iter().any(alarm), "{report}");
    for name in ["deleted-before.jpg", "put-back.jpg", "lost.jpg", "lost-and-edited.jpg"] {
        assert!(phone.join(name).exists(), "{name}");
    }
    // The old server has not heard that this was deleted: it comes back.
    assert!(phone.join("kept.jpg").exists());
    let mut expected: Vec<String> =
        ["a.jpg", "deleted-before.jpg", "kept.jpg", "lost-0.jpg", "lost-1.jpg", "lost-and-edited.jpg"]
            .into_iter()
            .chain(["lost.jpg", "put-back.jpg"])
            .map(str::to_owned)
            .collect();
    if has_grown {
        expected.extend((0..9).map(|number| format!("new-{number}.jpg")));
    }
    expected.sort();
    assert_eq!(names(&machine, &["list", "files"]), expected);
    assert_eq!(names(&machine, &["--profile", "tablet", "list", "files"]), expected);
    for words in [&["status"][..], &["sync", "status"], &["agent", "status"]] {
        let told = String::from_utf8(machine.run(words).stdout).unwrap();
        assert!(told.contains(TOLD), "{words:?}: {told}");
    }
    // Once.
    let report = machine.json(&["backup", "pictures"]);
    assert_eq!((&report["uploaded"], &report["setBack"]), (&0.into(), &Value::Null), "{report}");
    assert_eq!(keep_in_step(&machine)["uploaded"], 0);
    assert!(!machine.says(&["--profile", "tablet", "status"]).contains("set back"));
}

/// All that this device heard of last has a number that was given to something else since, in the same album, at a later version.
#[test]
fn numbers_that_were_given_again_are_told_apart() {
    let machine = Machine::new();
    let server = machine.with_account();
    let sign_in = ["login", &server.url, "--email", EMAIL, "--password-file", "password"];
    machine.says(&[&sign_in[..], &["--keys", "key-file", "--profile", "tablet"]].concat());
    let (pictures, tablet) = (machine.path("pictures"), machine.path("tablet"));
    write(&pictures.join("a.jpg"), &jpeg(1));
    machine.says(&["backup", "pictures"]);
    let (data, old) = (machine.path("server"), machine.path("old"));
    let server = again(&machine, server, || copy(&data, &old));
    let ids = |names: &[&str]| names.iter().map(|name| id_of(&machine, name)).collect::<Vec<_>>();
    for number in 0..4 {
        write(&pictures.join(format!("lost-{number}.jpg")), &jpeg(20 + number));
    }
    machine.says(&["backup", "pictures"]);
    let mut lost = ids(&["lost-0.jpg", "lost-1.jpg", "lost-2.jpg", "lost-3.jpg"]);
    let _server = again(&machine, server, || {
        fs::remove_dir_all(&data).unwrap();
        copy(&old, &data);
    });
    for number in 0..4 {
        write(&tablet.join(format!("new-{number}.jpg")), &jpeg(100 + number));
    }
    machine.says(&["--profile", "tablet", "backup", "tablet", "--album", "pictures"]);
    let report = machine.json(&["backup", "pictures"]);
    assert_eq!((&report["uploaded"], &report["setBack"]["lost"]), (&4.into(), &4.into()), "{report}");
    let mut given = ids(&["new-0.jpg", "new-1.jpg", "new-2.jpg", "new-3.jpg"]);
    lost.sort();
    given.sort();
    assert_eq!(lost, given, "they have the same numbers: that is what this is about");
    assert_eq!(names(&machine, &["list", "files"]).len(), 9);
}

#[test]
fn a_server_that_was_set_back_gets_what_it_lost() {
    check(false);
}

#[test]
fn one_that_has_gone_on_since_gets_it_too() {
    check(true);
}
