//! Lists, albums, trash, explanations: what an owner does with a vault.

use crate::machine::{Machine, jpeg, tree, write};
use serde_json::Value;

fn files(list: &Value) -> Vec<(i64, String)> {
    let entry = |file: &Value| (file["id"].as_i64().unwrap(), file["name"].as_str().unwrap().to_owned());
    let mut files: Vec<_> = list["files"].as_array().unwrap().iter().map(entry).collect();
    files.sort_by(|one, other| one.1.cmp(&other.1));
    files
}

#[test]
fn albums_and_trash_keep_every_file_until_it_is_purged_on_purpose() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let folder = machine.pictures();
    machine.json(&["backup", folder.to_str().unwrap(), "--album-per-folder"]);
    let albums = machine.json(&["list", "albums"]);
    let mut names: Vec<&str> =
        albums["albums"].as_array().unwrap().iter().map(|album| album["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["pictures", "trip"]);

    let all = files(&machine.json(&["list"]));
    assert_eq!(all.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), ["a.jpg", "b.jpg", "ü 1.jpg"]);
    assert_eq!(files(&machine.json(&["list", "--name", "ü"])).len(), 1);
    assert_eq!(files(&machine.json(&["list", "--album", "trip"])).len(), 2);
    assert_eq!(files(&machine.json(&["list", "--kind", "video"])).len(), 0);
    assert_eq!(files(&machine.json(&["list", "--before", "1980-01-01"])).len(), 0);

    let first = all[0].0.to_string();
    machine.says(&["album", "create", "Best"]);
    machine.says(&["album", "add", "Best", &first]);
    machine.says(&["album", "rename", "Best", "Bester"]);
    assert_eq!(files(&machine.json(&["list", "--album", "Bester"])).len(), 1);
    machine.says(&["album", "remove", "Bester", &first]);
    machine.says(&["album", "delete", "trip"]);
    assert_eq!(files(&machine.json(&["list"])).len(), 3, "an album's end is not its files' end");

    machine.says(&["trash", "add", &first]);
    assert_eq!(files(&machine.json(&["list"])).len(), 2);
    assert_eq!(machine.json(&["trash", "list"])["trash"].as_array().unwrap().len(), 1);
    let report = machine.json(&["backup", folder.to_str().unwrap(), "--album-per-folder"]);
    assert_eq!(report["uploaded"], 0, "what was deleted from the vault is not put back: {report}");
    machine.says(&["trash", "restore"]);
    assert_eq!(files(&machine.json(&["list"])).len(), 3);
    machine.says(&["trash", "add", &first]);
    let error = machine.fails(&["trash", "empty"]);
    assert!(error.contains("--yes"), "{error}");
    assert_eq!(machine.json(&["trash", "empty", "--yes"])["purged"], 1);
    assert_eq!(machine.json(&["trash", "list"])["trash"].as_array().unwrap().len(), 0);
}

/// What was backed up into one album goes into those of its folders, without being sent; what its owner takes out stays out.
/// Shows M5.
#[test]
fn what_was_backed_up_is_filed_into_the_albums_of_its_folders() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let folder = machine.pictures();
    let folder = folder.to_str().unwrap();
    machine.json(&["backup", folder, "--album", "All"]);
    write(&machine.path("pictures/trip/new.jpg"), &jpeg(9));
    let reorganise = ["reorganise", folder, "--album-per-folder"];
    let report = machine.json(&reorganise);
    assert_eq!((&report["filed"], &report["inPlace"], &report["left"]), (&3.into(), &0.into(), &1.into()));
    let trip = files(&machine.json(&["list", "--album", "trip"]));
    assert_eq!(trip.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), ["b.jpg", "ü 1.jpg"]);
    assert_eq!(files(&machine.json(&["list", "--album", "All"])).len(), 3, "and stays where it was");
    machine.says(&["album", "remove", "trip", &trip[0].0.to_string()]);
    let report = machine.json(&reorganise);
    assert_eq!((&report["filed"], &report["inPlace"], &report["left"]), (&0.into(), &3.into(), &1.into()));
    machine.json(&["backup", folder, "--album", "All"]);
    let said = machine.says(&reorganise);
    assert!(said.contains("4 files filed, 0 where they belong."), "{said}");
    assert_eq!(
        files(&machine.json(&["list", "--album", "trip"])).len(),
        2,
        "what was taken out is not put back"
    );
}

#[test]
fn restore_never_overwrites_a_different_file() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let folder = machine.pictures();
    machine.json(&["backup", folder.to_str().unwrap(), "--album", "All"]);
    write(&machine.path("back/All/a.jpg"), b"something else that was here first");
    let summary = machine.json(&["restore", "--to", "back"]);
    assert_eq!(summary["renamed"].as_array().unwrap().len(), 1, "{summary}");
    let back = tree(&machine.path("back/All"));
    assert_eq!(back[std::path::Path::new("a.jpg")].0, b"something else that was here first");
    assert_eq!(back[std::path::Path::new("a (1).jpg")].0, jpeg(1));
}

#[test]
fn every_file_has_an_explanation_and_status_tells_the_whole() {
    let machine = Machine::new();
    let server = machine.with_account();
    let folder = machine.pictures();
    machine.json(&["backup", folder.to_str().unwrap()]);
    let explain = |name: &str| {
        let answer = machine.json(&["explain", folder.join(name).to_str().unwrap()]);
        answer[0]["explanation"].as_str().unwrap().to_owned()
    };
    assert!(explain("a.jpg").starts_with("Backed up on "));
    let versions = machine.says(&["versions", folder.join("a.jpg").to_str().unwrap()]);
    assert!(versions.contains("was not edited"), "{versions}");
    assert!(explain("notes.txt").starts_with("Not backed up: "));
    write(&folder.join("new.jpg"), &jpeg(9));
    assert!(explain("new.jpg").contains("`darkslide backup` sends it"));
    write(&folder.join("a.jpg"), &jpeg(10));
    assert!(explain("a.jpg").starts_with("Not backed up as it is now: "));
    assert!(explain("trip").contains("It is a folder"));
    let status = machine.json(&["status"]);
    assert_eq!((status["backedUp"].as_i64(), status["notMedia"].as_i64()), (Some(3), Some(1)), "{status}");
    drop(server);
    let output = machine.run(&["status", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(status["unreachable"].as_str().unwrap().contains("does not answer"), "{status}");
}

/// Once, sentences said the day in Greenwich, beside lists that said it where their reader is.
#[test]
fn days_are_told_in_the_zone_of_the_machine() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let picture = machine.pictures().join("a.jpg");
    let picture = picture.to_str().unwrap();
    machine.says(&["backup", picture]);
    let day = |zone: &str| {
        let output = machine.command(&["explain", picture]).env("TZ", zone).output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        told.split_once("Backed up on ").unwrap().1.get(..10).unwrap().to_owned()
    };
    // It is never the same day in both.
    let (west, east) = (day("<-12>12"), day("<+14>-14"));
    assert!(west < east, "{west} {east}");
}
