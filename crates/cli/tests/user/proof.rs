//! What a server is asked to prove, what it keeps of edits, and which devices it knows: all from the command line.

use crate::corpus::corpus;
use crate::machine::{EMAIL, Machine, jpeg, tree, write};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;

/// The one answer of a command that ends with status 1.
fn incomplete(machine: &Machine, arguments: &[&str]) -> Value {
    let output = machine.run(&[arguments, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn blobs(machine: &Machine) -> Vec<PathBuf> {
    let objects = machine.path("server").join("objects");
    tree(&objects).into_keys().map(|name| objects.join(name)).collect()
}

#[test]
fn the_server_proves_what_it_holds_and_admits_what_it_lost() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let folder = machine.pictures();
    machine.json(&["backup", folder.to_str().unwrap()]);
    let status = ["server", "status", "--data-dir", "server"];
    let proof = machine.json(&["verify", "--server"]);
    assert_eq!((&proof["proof"], &proof["vouchedFor"]), (&"serverReceipt".into(), &3.into()), "{proof}");
    let photo = folder.join("a.jpg");
    let explain = || machine.says(&["explain", photo.to_str().unwrap()]);
    assert!(explain().contains("the server read it back whole on"), "{}", explain());
    let text = machine.says(&["verify", "--server"]);
    assert!(text.contains("3 files") && text.contains("the server's word"), "{text}");
    let health = machine.json(&status);
    assert_eq!(
        (&health["accounts"], &health["files"], &health["database"]),
        (&1.into(), &3.into(), &"sqlite".into())
    );
    assert_eq!(health["objects"]["verifiedObjects"], health["objects"]["objects"], "{health}");
    assert!(machine.says(&status).contains("Nothing is known to be damaged"));

    let blobs = blobs(&machine);
    let whole: Vec<Vec<u8>> = blobs.iter().map(|blob| std::fs::read(blob).unwrap()).collect();
    for (blob, bytes) in blobs.iter().zip(&whole) {
        let mut bytes = bytes.clone();
        // Something of every object, wherever it lies in its blob.
        bytes.iter_mut().step_by(100).for_each(|byte| *byte ^= 1);
        std::fs::write(blob, bytes).unwrap();
    }
    let lost = incomplete(&machine, &["verify", "--server"]);
    let failed = lost["failed"].as_array().unwrap();
    assert!(!failed.is_empty() && failed.iter().all(|file| file["damaged"] == true), "{lost}");
    assert!(lost.to_string().contains("altered"), "{lost}");
    assert!(explain().contains("the server's copy was found to be damaged"), "{}", explain());
    let damaged = |machine: &Machine| machine.json(&["status"])["damaged"].as_array().unwrap().clone();
    let known = damaged(&machine);
    assert!(!known.is_empty() && known.iter().all(|file| file["isHere"] == true), "{known:?}");
    assert!(machine.says(&["status"]).contains("sent again by the next backup"));
    let health = incomplete(&machine, &status);
    assert!(health["objects"]["damaged"].as_i64().unwrap() >= 1, "{health}");
    assert_eq!(health["notWhole"][0]["damage"], "altered");
    // Whoever reads the table is told to bring the blob back, and so which it is.
    let table = machine.run(&status).stdout;
    let blob = health["notWhole"][0]["blob"].as_str().unwrap();
    assert!(blobs.iter().any(|path| path.ends_with(blob)));
    assert!(String::from_utf8_lossy(&table).contains(blob), "{}", String::from_utf8_lossy(&table));
    for blob in &blobs {
        std::fs::remove_file(blob).unwrap();
    }
    let lost = incomplete(&machine, &["verify", "--server"]);
    assert_eq!((lost["failed"].as_array().unwrap().len(), &lost["vouchedFor"]), (3, &0.into()), "{lost}");
    let health = incomplete(&machine, &status);
    assert_eq!(health["objects"]["missing"], health["objects"]["objects"], "{health}");

    for (blob, bytes) in blobs.iter().zip(&whole) {
        std::fs::write(blob, bytes).unwrap();
    }
    machine.says(&["verify", "--server"]);
    machine.says(&status);
    assert_eq!(damaged(&machine), [Value::Null; 0], "what is whole again is known to be");
    let error = machine.fails(&["server", "status", "--data-dir", "nowhere"]);
    assert!(error.contains("nowhere") && !machine.path("nowhere").exists(), "{error}");
}

#[test]
fn versions_are_asked_for_by_name_or_number() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let folder = machine.pictures();
    machine.json(&["backup", folder.to_str().unwrap()]);
    let list = machine.json(&["versions", "a.jpg"]);
    assert_eq!(list["versions"], Value::Array(Vec::new()), "{list}");
    let number = list["file"].to_string();
    let told = machine.says(&["explain", &number]);
    assert!(told.contains("backed up on 20") && told.contains(", in pictures"), "{told}");
    let text = machine.says(&["versions", &number]);
    assert!(text.contains(&number) && text.contains("was not edited"), "{text}");
    let error = machine.fails(&["versions", "a.jpg", "--restore", "7"]);
    assert!(error.contains("no earlier version 7"), "{error}");
    assert!(machine.fails(&["versions", "no such.jpg"]).contains("no such.jpg"));
    // Another content under the same name is another file.
    write(&folder.join("trip/a.jpg"), &jpeg(9));
    machine.json(&["backup", folder.to_str().unwrap()]);
    let error = machine.fails(&["versions", "a.jpg"]);
    assert!(error.contains("several files") && error.contains(&number), "{error}");
}

#[test]
fn devices_know_each_other_by_name_and_the_server_does_not() {
    let machine = Machine::new();
    let server = machine.with_account();
    let login = ["login", &server.url, "--email", EMAIL, "--password-file", "password"];
    machine.says(&[&login[..], &["--keys", "key-file", "--profile", "second"]].concat());
    machine.says(&["devices", "rename", "Laptop of a secret agent", "--profile", "second"]);
    let list = machine.json(&["devices"]);
    let devices = list["devices"].as_array().unwrap();
    assert_eq!((devices.len(), &devices[0]["isThis"]), (2, &true.into()), "{list}");
    assert!(devices[0]["name"].is_string(), "named when it signed in: {list}");
    assert_eq!(devices[1]["name"], "Laptop of a secret agent");
    assert_eq!(devices[1]["platform"], std::env::consts::OS);
    let id = devices[1]["id"].as_str().unwrap();
    assert!(machine.says(&["devices", "list"]).contains("Laptop of a secret agent"));
    for (path, (bytes, _)) in tree(&machine.path("server")) {
        let has_name = bytes.windows(12).any(|window| window == b"secret agent");
        assert!(!has_name, "{} has a device's name", path.display());
    }
    // Signing in again, it is still the same device with the same name.
    machine.says(&[&login[..], &["--keys", "key-file", "--profile", "second"]].concat());
    let again = machine.json(&["devices"]);
    assert_eq!(again["devices"].as_array().unwrap().len(), 2, "{again}");
    assert_eq!((&again["devices"][1]["id"], &again["devices"][1]["name"]), (&id.into(), &devices[1]["name"]));
    // Nor where it has forgotten which it is: its session has not.
    let forgotten = machine.path("home/second/device.toml");
    std::fs::remove_file(&forgotten).unwrap();
    machine.says(&["devices", "rename", "Laptop of a spy", "--profile", "second"]);
    let again = machine.json(&["devices"]);
    assert_eq!(
        (&again["devices"][1]["id"], &again["devices"][1]["name"]),
        (&id.into(), &"Laptop of a spy".into())
    );
    assert!(std::fs::read_to_string(&forgotten).unwrap().contains(id));
    machine.says(&["devices", "revoke", id]);
    for gone in [id, "6a3c8f5e-0000-4000-8000-000000000001", "no such device"] {
        let error = machine.fails(&["devices", "revoke", gone]);
        assert!(error.contains("no device has that id (any more)"), "{gone}: {error}");
    }
    machine.fails(&["whoami", "--profile", "second"]);
    machine.says(&["whoami"]);
    assert_eq!(machine.json(&["devices"])["devices"].as_array().unwrap().len(), 1);
    let error = machine.fails(&["devices", "rename", ""]);
    assert!(error.contains("device's name"), "{error}");
}

/// Shows E11.
#[test]
fn only_what_the_server_has_just_proved_to_hold_may_go() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let folder = machine.pictures();
    std::fs::remove_file(folder.join("notes.txt")).unwrap();
    let path = folder.to_str().unwrap();
    let nothing = machine.json(&["free-up", path, "--older-than", "0d"]);
    assert_eq!(nothing["plan"]["candidates"], Value::Array(Vec::new()), "nothing is backed up yet");
    machine.json(&["backup", path]);
    assert!(machine.says(&["free-up", path, "--older-than", "20y"]).contains("Nothing may go"));
    // One changes after its backup, and one is damaged on the server: both stay.
    let before = tree(&folder);
    let changed = before.keys().next().unwrap().clone();
    std::fs::write(folder.join(&changed), b"something else").unwrap();
    let plan = machine.json(&["free-up", path, "--older-than", "0d"]);
    let count = before.len() - 1;
    assert_eq!(plan["plan"]["candidates"].as_array().unwrap().len(), count, "{plan}");
    assert!(!plan.to_string().contains(&*changed.to_string_lossy()), "{plan}");
    let blobs = blobs(&machine);
    let whole: Vec<Vec<u8>> = blobs.iter().map(|blob| std::fs::read(blob).unwrap()).collect();
    for (blob, bytes) in blobs.iter().zip(&whole) {
        std::fs::write(blob, vec![0; bytes.len()]).unwrap();
    }
    let refused = incomplete(&machine, &["free-up", path, "--older-than", "0d", "--remove", "--yes"]);
    assert_eq!((&refused["removed"], tree(&folder).len()), (&0.into(), before.len()), "{refused}");
    for (blob, bytes) in blobs.iter().zip(&whole) {
        std::fs::write(blob, bytes).unwrap();
    }
    let freed = machine.json(&["free-up", path, "--older-than", "0d", "--remove", "--yes"]);
    assert_eq!(freed["removed"], count, "{freed}");
    assert_eq!(tree(&folder).into_keys().collect::<Vec<_>>(), [changed]);
    let gone = before.keys().nth(1).unwrap();
    let told = machine.says(&["explain", folder.join(gone).to_str().unwrap()]);
    assert!(told.contains("to free space") && told.contains("Backed up"), "{told}");
    // Their absence means nothing: the vault keeps them, and they come back.
    machine.json(&["backup", path]);
    machine.json(&["restore", "--to", "back"]);
    let back = tree(&machine.path("back"));
    for bytes in before.values() {
        assert!(back.values().any(|restored| restored == bytes));
    }
}

/// Once, the video counted twice, and was said to have changed by the one who had just removed it.
#[test]
fn a_video_that_was_alone_for_a_while_goes_once() {
    let machine = Machine::new();
    let corpus = corpus(&machine).join("live-photo");
    if !corpus.is_dir() {
        eprintln!("\n\nNOT TESTED: freeing a Live Photo, for want of the corpus.\n\n");
        return;
    }
    let _server = machine.with_account();
    let folder = machine.path("live");
    let [still, video] = ["train.jpg", "train.mov"].map(|name| {
        write(&folder.join(name), &std::fs::read(corpus.join(name)).unwrap());
        folder.join(name)
    });
    let path = folder.to_str().unwrap();
    machine.json(&["backup", path]);
    let away = machine.path("away.jpg");
    std::fs::rename(&still, &away).unwrap();
    machine.json(&["backup", path]);
    std::fs::rename(&away, &still).unwrap();
    let bytes: u64 = [&still, &video].map(|path| path.metadata().unwrap().len()).iter().sum();
    let plan = machine.json(&["free-up", path, "--older-than", "0d"]);
    assert_eq!(
        (&plan["bytes"], plan["plan"]["candidates"].as_array().unwrap().len()),
        (&bytes.into(), 1),
        "{plan}"
    );
    let freed = machine.json(&["free-up", path, "--older-than", "0d", "--remove", "--yes"]);
    assert_eq!((&freed["removed"], &freed["bytes"]), (&1.into(), &bytes.into()), "{freed}");
    assert!(tree(&folder).is_empty(), "{freed}");
    // Nothing of it is missed, and nothing is known of it that is not so.
    let plan = machine.json(&["free-up", path, "--older-than", "0d"]);
    assert_eq!(plan["plan"]["candidates"], Value::Array(Vec::new()), "{plan}");
}

/// What its owner edited may look as it did from outside: size, time and number on the disk are what they were.
#[test]
fn what_was_edited_in_place_does_not_go() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let folder = machine.path("pictures");
    let (one, other) = (folder.join("one.jpg"), folder.join("other.jpg"));
    write(&one, &jpeg(1));
    write(&other, &jpeg(2));
    let path = folder.to_str().unwrap();
    machine.json(&["backup", path]);
    let mut edited = jpeg(1);
    edited.iter_mut().rev().nth(2).into_iter().for_each(|byte| *byte ^= 1);
    let before = one.metadata().unwrap();
    let mut file = std::fs::OpenOptions::new().write(true).open(&one).unwrap();
    std::io::Write::write_all(&mut file, &edited).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    drop(file);

    let remove = ["free-up", path, "--older-than", "0d", "--remove", "--yes"];
    let freed = incomplete(&machine, &remove);
    assert_eq!(freed["removed"], 1, "{freed}");
    assert!(freed["failed"][0].as_str().unwrap().contains("one.jpg changed since its backup"), "{freed}");
    assert!(one.exists() && !other.exists());
    let told = machine.says(&["explain", one.to_str().unwrap()]);
    assert!(told.contains("it changed since"), "{told}");
    // The next backup sends it, and then it may go.
    let sent = machine.json(&["backup", path]);
    assert_eq!(sent["uploaded"].as_i64().unwrap() + sent["updated"].as_i64().unwrap_or(0), 1, "{sent}");
    assert_eq!(machine.json(&remove)["removed"], 1);
    machine.json(&["restore", "--to", "back"]);
    assert!(tree(&machine.path("back")).values().any(|(bytes, _)| *bytes == edited));
}

/// What is known here is shown while the server is still being asked: this one takes every call and never answers.
#[test]
fn the_status_does_not_wait_for_the_server() {
    let machine = Machine::new();
    let server = machine.with_account();
    let address = server.url.trim_start_matches("http://").to_owned();
    drop(server);
    let _silent = TcpListener::bind(&address).unwrap();
    let mut status =
        machine.command(&["status", "--watch", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(status.stdout.take().unwrap()).read_line(&mut first).unwrap();
    status.kill().unwrap();
    status.wait().unwrap();
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!((&first["backedUp"], &first["account"]), (&0.into(), &Value::Null), "{first}");
    assert_eq!(first["unreachable"], Value::Null, "it is not over yet: {first}");
}
