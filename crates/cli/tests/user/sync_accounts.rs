//! Sync folders and accounts: whose a folder is, and what becomes of it when the session ends.

use crate::machine::{Machine, jpeg, write};
use std::fs;

/// What one account deletes in a folder, another one that has it would delete as well.
#[test]
fn two_profiles_share_no_folder() {
    let machine = Machine::new();
    let server = machine.with_account("anna@example.org");
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
