//! What `darkslide sync trash` says, and does, where a folder goes one way, and where two have one local trash.

#![expect(
    clippy::indexing_slicing,
    reason = "an answer without what a test looks for fails the test right there"
)]

use crate::machine::{Machine, jpeg, write};
use crate::sync::run;
use serde_json::Value;
use std::fs;

/// The number of a file of the vault.
fn file(machine: &Machine, album: &str, name: &str) -> String {
    machine.json(&["list", "files", "--album", album, "--name", name])["files"][0]["id"].to_string()
}

/// What the local trashes have of a folder.
fn entries(machine: &Machine, folder: &str) -> Vec<Value> {
    let listed = machine.json(&["sync", "trash", "list"]);
    let is_its = |row: &&Value| row["folder"].as_str().is_some_and(|path| path.ends_with(folder));
    listed.as_array().unwrap().iter().filter(is_its).map(|row| row["entry"].clone()).collect()
}

#[test]
fn a_trash_of_two_folders_gives_back_to_the_one_that_it_came_from() {
    let machine = Machine::new();
    let _server = machine.with_account();
    for (folder, number) in [("One", 1), ("Two", 2)] {
        write(&machine.path(folder).join("a.jpg"), &jpeg(number));
        write(&machine.path(folder).join("b.jpg"), &jpeg(number + 10));
        machine.says(&["sync", "add", folder, "--local-trash", "bin"]);
    }
    run(&machine);
    machine.says(&["trash", "add", &file(&machine, "Two", "a.jpg")]);
    machine.says(&["trash", "add", &file(&machine, "One", "a.jpg")]);
    run(&machine);
    assert!(!machine.path("One/a.jpg").exists() && !machine.path("Two/a.jpg").exists());
    let [one, two] = ["/One", "/Two"].map(|folder| entries(&machine, folder));
    assert_eq!((one.len(), two.len()), (1, 1), "each in one folder: {one:?} {two:?}");
    machine.says(&["sync", "trash", "restore", two[0]["id"].as_str().unwrap()]);
    assert_eq!(fs::read(machine.path("Two/a.jpg")).unwrap(), jpeg(2));
    assert!(!machine.path("One/a.jpg").exists());

    // Written before it was noted where it was: nobody guesses.
    let entry = machine.path("bin").join(one[0]["id"].as_str().unwrap());
    let mut note: Value = serde_json::from_slice(&fs::read(entry.join("entry.json")).unwrap()).unwrap();
    note.as_object_mut().unwrap().remove("rawRoot").unwrap();
    fs::write(entry.join("entry.json"), note.to_string()).unwrap();
    let told = machine.fails(&["sync", "trash", "restore", one[0]["id"].as_str().unwrap()]);
    assert!(told.contains("bin is the local trash of several") && told.contains("a.jpg"), "{told}");
    assert_eq!(entries(&machine, "(unknown)").len(), 1);
    // Where there is one folder, it is that one's.
    machine.says(&["sync", "remove", "Two"]);
    machine.says(&["sync", "trash", "restore", one[0]["id"].as_str().unwrap()]);
    assert_eq!(fs::read(machine.path("One/a.jpg")).unwrap(), jpeg(1));
}

#[test]
fn what_a_folder_that_only_goes_down_gets_back_stays_in_the_trash_of_the_vault() {
    let machine = Machine::new();
    let _server = machine.with_account();
    for number in [1, 2] {
        write(&machine.path("Phone").join(format!("{number}.jpg")), &jpeg(number));
    }
    fs::create_dir(machine.path("Copy")).unwrap();
    machine.says(&["sync", "add", "Phone"]);
    machine.says(&["sync", "add", "Copy", "--album", "Phone", "--direction", "down"]);
    run(&machine);
    assert!(machine.path("Copy/1.jpg").exists());
    let picture = file(&machine, "Phone", "1.jpg");
    machine.says(&["trash", "add", &picture]);
    run(&machine);
    let id = entries(&machine, "/Copy")[0]["id"].as_str().unwrap().to_owned();
    let said = machine.says(&["sync", "trash", "restore", &id]);
    assert!(
        said.contains("nothing is changed in the vault") && said.contains("darkslide trash restore"),
        "{said}"
    );
    run(&machine);
    assert!(machine.path("Copy/1.jpg").exists() && !machine.path("Phone/1.jpg").exists());
    machine.says(&["trash", "restore", &picture]);
    run(&machine);
    assert!(machine.path("Copy/1.jpg").exists() && machine.path("Phone/1.jpg").exists());
    assert!(!machine.path("Copy/1 (1).jpg").exists());
}

/// It is nothing that is being worked at.
#[test]
fn what_a_folder_that_only_goes_down_has_alone_is_left_out() {
    let machine = Machine::new();
    let _server = machine.with_account();
    write(&machine.path("Copy/own.jpg"), &jpeg(1));
    machine.says(&["sync", "add", "Copy", "--direction", "down"]);
    run(&machine);
    let said = machine.says(&["sync", "status"]);
    assert!(said.contains("1 left out") && !said.contains("at work"), "{said}");
    assert!(said.contains("own.jpg: the folder only goes down") && said.contains("sync remove"), "{said}");
}

/// Neither by a watch folder nor by hand.
#[test]
fn a_local_trash_is_not_backed_up() {
    let machine = Machine::new();
    let _server = machine.with_account();
    for number in [1, 2] {
        write(&machine.path("Phone").join(format!("{number}.jpg")), &jpeg(number));
    }
    machine.says(&["sync", "add", "Phone", "--local-trash", "bin"]);
    run(&machine);
    machine.says(&["trash", "add", &file(&machine, "Phone", "1.jpg")]);
    run(&machine);
    let entry = entries(&machine, "/Phone").remove(0);
    let (id, picture) = (entry["id"].as_str().unwrap(), entry["file"].as_str().unwrap());
    for path in ["bin", &format!("bin/{id}"), picture] {
        let told = machine.fails(&["backup", path]);
        assert!(told.contains("lies in the local trash") && told.contains("sync trash restore"), "{told}");
    }
    assert!(machine.fails(&["watch", "add", "bin"]).contains("lies in the local trash"));
    assert_eq!(machine.json(&["list", "files"])["files"].as_array().unwrap().len(), 1);
    assert!(machine.fails(&["backup", "gone"]).contains("gone"));
}
