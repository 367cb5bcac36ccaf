//! Sync folders as a person has them: added, looked at, held, taken over; kept in step by the agent, for one account and for several.
//!
//! The agent looks at everything once an hour: what comes sooner here was told, by the system or by the server.

#![expect(
    clippy::indexing_slicing,
    reason = "an answer without what a test looks for fails the test right there"
)]

use crate::machine::{EMAIL, Machine, jpeg, write};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// How long an agent may take to come to what a test waits for.
const PATIENCE: Duration = Duration::from_mins(1);

/// From one question to the next.
const PAUSE: Duration = Duration::from_millis(50);

/// Settled at once, and missed at once.
const QUICK: [&str; 8] =
    ["--settle-photos", "100", "--settle-videos", "100", "--settle-incomplete", "300", "--absence", "100"];

pub(crate) struct Agent(Child);

impl Agent {
    pub(crate) fn start(machine: &Machine, further: &[&str]) -> Self {
        let words = [&["agent", "run", "--no-notifications"], &QUICK[..], further].concat();
        let log = fs::File::create(machine.path("agent.log")).unwrap();
        Self(machine.command(&words).stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// Asks again and again until it is so.
pub(crate) fn until(what: &str, machine: &Machine, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        let log = || fs::read_to_string(machine.path("agent.log")).unwrap_or_default();
        assert!(begin.elapsed() < PATIENCE, "{what} never came: {}", log());
        std::thread::sleep(PAUSE);
    }
}

fn names(machine: &Machine, profile: &str) -> Vec<String> {
    let listed = machine.json(&["--profile", profile, "list", "files"]);
    let files = listed["files"].as_array().unwrap();
    let mut names: Vec<_> = files.iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

pub(crate) fn run(machine: &Machine) -> Value {
    let words = [&["sync", "run", "--json"], &QUICK[..]].concat();
    let output = machine.run(&words);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Shows S4.
#[test]
fn a_server_keeps_the_folders_of_several_accounts_in_step() {
    let machine = Machine::new();
    let server = machine.serve(&[]);
    for name in ["anna", "bernd"] {
        machine.sign_up(&server, &format!("{name}@example.org"), name);
    }
    let root = machine.path("root");
    write(&root.join("anna/Phone/a.jpg"), &jpeg(1));
    write(&root.join("anna/Camera/b.jpg"), &jpeg(2));
    write(&root.join("bernd/Phone/c.jpg"), &jpeg(3));
    write(&root.join("bernd/Phone/f.jpg"), &jpeg(6));
    write(&root.join("carla/Phone/d.jpg"), &jpeg(4));
    let _agent = Agent::start(&machine, &["--sync-root", root.to_str().unwrap()]);
    until("everybody's pictures", &machine, || {
        names(&machine, "anna") == ["a.jpg", "b.jpg"] && names(&machine, "bernd") == ["c.jpg", "f.jpg"]
    });
    let albums = machine.says(&["--profile", "anna", "list", "albums"]);
    assert!(albums.contains("Phone") && albums.contains("Camera"), "{albums}");
    until("what keeps Carla from it", &machine, || {
        let log = fs::read_to_string(machine.path("agent.log")).unwrap();
        log.contains("darkslide --profile carla login --keys key-file")
    });
    // Deleted elsewhere, it leaves the folder; new folders are found.
    let listed = machine.json(&["--profile", "bernd", "list", "files", "--name", "c.jpg"]);
    let file = listed["files"][0]["id"].to_string();
    machine.says(&["--profile", "bernd", "trash", "add", &file]);
    until("Bernd's picture to leave", &machine, || !root.join("bernd/Phone/c.jpg").exists());
    write(&root.join("bernd/Scans/e.jpg"), &jpeg(5));
    until("Bernd's new folder", &machine, || names(&machine, "bernd") == ["e.jpg", "f.jpg"]);
    assert!(root.join("anna/Phone/a.jpg").exists() && root.join("carla/Phone/d.jpg").exists());
    // What a command changes is heard of without a socket.
    for number in 0..30_u8 {
        write(&root.join(format!("anna/Camera/{number}.jpg")), &jpeg(100 + number));
    }
    until("thirty more", &machine, || names(&machine, "anna").len() == 32);
    for number in 0..25 {
        fs::remove_file(root.join(format!("anna/Camera/{number}.jpg"))).unwrap();
    }
    let camera = root.join("anna/Camera");
    let camera = camera.to_str().unwrap();
    let is_held = || machine.run(&["--profile", "anna", "sync", "approve", camera, "--yes"]).status.success();
    until("what is held", &machine, is_held);
    until("what was approved", &machine, || names(&machine, "anna").len() == 7);
    // Nobody needs a profile of the agent's own for that.
    let log = fs::read_to_string(machine.path("agent.log")).unwrap();
    assert!(!log.contains("the profile default"), "{log}");
}

/// Shows S1, S2, S3.
#[test]
fn the_agent_hears_of_changes_on_both_sides() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let folder = machine.path("Phone");
    fs::create_dir(&folder).unwrap();
    machine.says(&["sync", "add", "Phone"]);
    let _agent = Agent::start(&machine, &[]);
    write(&folder.join("a.jpg"), &jpeg(1));
    write(&folder.join("2024/b.jpg"), &jpeg(2));
    until("both pictures", &machine, || names(&machine, "default") == ["a.jpg", "b.jpg"]);
    let listed = machine.json(&["list", "files", "--name", "b.jpg"]);
    let file = listed["files"][0]["id"].to_string();
    machine.says(&["trash", "add", &file]);
    until("it to leave the folder", &machine, || !folder.join("2024/b.jpg").exists());
    machine.says(&["trash", "restore", &file]);
    until("it to come back", &machine, || folder.join("2024/b.jpg").exists());
    fs::remove_file(folder.join("a.jpg")).unwrap();
    until("it to be in the trash", &machine, || names(&machine, "default") == ["b.jpg"]);
    let trash = machine.json(&["trash", "list"]);
    assert_eq!(trash.to_string().matches("a.jpg").count(), 1, "{trash}");
    let status = machine.json(&["sync", "status"]);
    assert_eq!(status[0]["inStep"], 1, "{status}");
}

/// Another client's deletion comes by the server's events alone, and a new picture, once it has settled, goes by the system's: the agent looks at
/// everything once a day.
///
/// Shows S1, S3.
#[test]
fn another_client_is_heard_of_by_events_alone() {
    let machine = Machine::new();
    let server = machine.with_account();
    let words = ["--profile", "web", "login", &server.url, "--email", EMAIL];
    machine.says(&[&words[..], &["--password-file", "password", "--keys", "key-file"]].concat());
    for (name, seed) in [("a.jpg", 1), ("b.jpg", 2)] {
        write(&machine.path("Phone").join(name), &jpeg(seed));
    }
    machine.says(&["sync", "add", "Phone"]);
    let _agent = Agent::start(&machine, &["--rescan", "86400000"]);
    until("both pictures", &machine, || names(&machine, "web") == ["a.jpg", "b.jpg"]);
    for (number, name) in [(3, "c.jpg"), (4, "d.jpg")] {
        let listed = machine.json(&["--profile", "web", "list", "files", "--name", "a.jpg"]);
        let file = listed["files"][0]["id"].to_string();
        machine.says(&["--profile", "web", "trash", "add", &file]);
        until("it to leave the folder", &machine, || !machine.path("Phone/a.jpg").exists());
        write(&machine.path("Phone").join(name), &jpeg(number));
        until("the new one", &machine, || names(&machine, "web").contains(&name.to_owned()));
        machine.says(&["--profile", "web", "trash", "restore", &file]);
        until("it to come back", &machine, || machine.path("Phone/a.jpg").exists());
    }
}

#[test]
fn a_watch_folder_that_is_being_sent_does_not_keep_a_sync_folder_waiting() {
    let machine = Machine::new();
    let _server = machine.with_account();
    for number in 0..200_u8 {
        write(&machine.path("pictures").join(format!("{number}.jpg")), &jpeg(number));
    }
    write(&machine.path("Phone/new.jpg"), &jpeg(250));
    machine.says(&["watch", "add", "pictures"]);
    machine.says(&["sync", "add", "Phone"]);
    let _agent = Agent::start(&machine, &[]);
    until("everything", &machine, || names(&machine, "default").len() == 201);
}

/// Shows S6, X6.
#[test]
fn what_is_on_hold_waits_for_its_owner() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let folder = machine.path("Phone");
    for number in 0..30_u8 {
        write(&folder.join(format!("{number}.jpg")), &jpeg(number));
    }
    // What has not settled would wait, and so it is told.
    let waits = machine.says(&["sync", "add", "Phone", "--dry-run", "--settle-photos", "3600000"]);
    assert_eq!(waits.matches("wait: ").count(), 30, "{waits}");
    assert!(waits.contains("7.jpg: it arrived or changed a moment ago"), "{waits}");
    let planned = machine.json(&["sync", "add", "Phone", "--dry-run", "--settle-photos", "0"]);
    assert_eq!(planned[0]["steps"].as_array().unwrap().len(), 30, "{planned}");
    assert_eq!(planned[0]["steps"][0]["action"], "send");
    assert!(!folder.join(".darkslide-folder").exists(), "nothing was changed");
    assert_eq!(machine.json(&["sync", "list"]), Value::Array(Vec::new()));

    machine.says(&["sync", "add", "Phone", "--album", "Pictures of the phone"]);
    assert_eq!(run(&machine)[0]["report"]["uploaded"], 30);
    for number in 0..25 {
        fs::remove_file(folder.join(format!("{number}.jpg"))).unwrap();
    }
    let held = run(&machine);
    assert_eq!(held[0]["report"]["hold"]["remote"], 25, "{held}");
    assert_eq!(names(&machine, "default").len(), 30);
    let output = machine.run(&["sync", "status"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && said.contains("darkslide sync approve"), "{said}");
    let dry = machine.says(&[&["sync", "run", "--dry-run"], &QUICK[..]].concat());
    assert!(
        dry.contains("put into the vault's trash") && dry.contains("it was deleted in the folder"),
        "{dry}"
    );
    let held = machine.json(&["sync", "approve", "Phone", "--dry-run"]);
    assert_eq!(
        (held["pictures"].as_array().unwrap().len(), &held["pictures"][0]["fate"]),
        (25, &"remote".into())
    );
    let list = held["list"].as_str().unwrap();
    assert!(said.contains(list) && dry.contains(list), "{said}{dry}");
    let shown = machine.says(&["sync", "approve", "Phone", "--dry-run"]);
    assert!(shown.contains("24.jpg: into the vault's trash") && shown.contains(list), "{shown}");
    let other = machine.fails(&["sync", "approve", "Phone", "--list", "another", "--yes"]);
    assert!(other.contains(list) && other.contains("--dry-run"), "{other}");
    // The agent's own command is the same.
    assert_eq!(machine.json(&["agent", "approve", "Phone", "--dry-run"]), held);
    machine.says(&["agent", "approve", "Phone", "--list", list, "--yes"]);
    assert_eq!(run(&machine)[0]["report"]["trashedRemote"], 25);
    assert_eq!(names(&machine, "default").len(), 5);
    assert!(machine.fails(&["sync", "approve", "Phone", "--yes"]).contains("nothing is on hold"));
}

#[test]
fn the_list_is_kept_and_explains_itself() {
    let machine = Machine::new();
    let _server = machine.with_account();
    write(&machine.path("Phone/a.jpg"), &jpeg(1));
    write(&machine.path("Phone/b.jpg"), &jpeg(2));
    fs::create_dir(machine.path("Watched")).unwrap();
    machine.says(&["watch", "add", "Watched"]);
    assert!(machine.fails(&["sync", "add", "Watched"]).contains("watch remove"));
    assert!(machine.fails(&["sync", "add", "gone"]).contains("gone cannot be kept in step"));
    assert!(machine.fails(&["sync", "add", "Phone/a.jpg"]).contains("is not a folder"));
    assert!(machine.fails(&["sync", "add", "Phone", "--local-trash", "Phone/trash"]).contains("outside"));
    machine.says(&["sync", "add", "Phone", "--keep-deleted-older-than", "2y", "--local-trash", "bin"]);
    assert!(machine.fails(&["sync", "add", "Phone"]).contains("already"));
    assert!(machine.fails(&["sync", "add", "."]).contains("lie in each other"));
    assert!(machine.fails(&["watch", "add", "Phone"]).contains("sync remove"));
    let listed = machine.json(&["sync", "list"]);
    assert_eq!((&listed[0]["keepDeletedOlderThan"], &listed[0]["album"]), (&730.into(), &"Phone".into()));
    run(&machine);

    // Nothing is freed where that would be a deletion.
    let freed = machine.json(&["free-up", "Phone", "--older-than", "0d", "--remove", "--yes"]);
    assert_eq!(freed["removed"], 0, "{freed}");
    // Nor where a folder above it was backed up by hand, before or after.
    machine.says(&["backup", "."]);
    let freed = machine.json(&["free-up", "Phone", "--older-than", "0d", "--remove", "--yes"]);
    assert_eq!((&freed["removed"], freed["inStep"].as_array().unwrap().len()), (&0.into(), 2), "{freed}");
    assert!(machine.path("Phone/a.jpg").exists());

    let listed = machine.json(&["list", "files", "--name", "a.jpg"]);
    machine.says(&["trash", "add", &listed["files"][0]["id"].to_string()]);
    machine.says(&["sync", "pause", "Phone"]);
    assert_eq!(run(&machine), Value::Array(Vec::new()));
    machine.says(&["sync", "resume", "Phone"]);
    assert_eq!(run(&machine)[0]["report"]["trashedLocal"], 1);
    let trashed = machine.json(&["sync", "trash", "list"]);
    let id = trashed[0]["entry"]["id"].as_str().unwrap();
    assert!(machine.path("bin").join(id).join("a.jpg").exists());
    assert!(machine.fails(&["sync", "trash", "restore", "nothing"]).contains("sync trash list"));
    machine.says(&["sync", "trash", "restore", id]);
    assert_eq!(run(&machine)[0]["report"]["restored"], 1);
    assert_eq!(names(&machine, "default"), ["a.jpg", "b.jpg"]);

    // Somebody cleans up.
    fs::rename(machine.path("Phone"), machine.path("elsewhere")).unwrap();
    let left = run(&machine)[0]["report"]["unhealthy"].as_str().unwrap().to_owned();
    for told in [left, machine.fails(&["sync", "readopt", "Phone"])] {
        assert!(told.contains("/Phone cannot be read"), "{told}");
    }
    fs::rename(machine.path("elsewhere"), machine.path("Phone")).unwrap();
    fs::remove_file(machine.path("Phone/.darkslide-folder")).unwrap();
    fs::remove_file(machine.path("Phone/b.jpg")).unwrap();
    let left = run(&machine);
    assert!(left[0]["report"]["unhealthy"].as_str().unwrap().contains("sync readopt"), "{left}");
    machine.says(&["sync", "readopt", "Phone"]);
    assert_eq!(run(&machine)[0]["report"]["materialised"], 1, "a merge deletes nothing");
    assert!(machine.path("Phone/b.jpg").exists());

    machine.says(&["sync", "remove", "Phone"]);
    assert!(!machine.path("Phone/.darkslide-folder").exists() && machine.path("Phone/a.jpg").exists());
    assert!(machine.fails(&["sync", "pause", "Phone"]).contains("sync list"));
}

/// Shows S5.
#[test]
fn rights_that_are_missing_are_told_with_what_mends_them() {
    let machine = Machine::new();
    let server = machine.with_account();
    write(&machine.path("Phone/2024/a.jpg"), &jpeg(1));
    let folder = machine.path("Phone/2024");
    let said = if is_root() {
        // Root may do anything: somebody else runs it, in a home of their own.
        const NOBODY: u32 = 65_534;
        fs::set_permissions(machine.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for path in ["home", "Phone"] {
            give(&machine.path(path), NOBODY);
        }
        chown(&folder, Some(0), Some(0)).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let output = machine.command(&["sync", "add", "Phone"]).uid(NOBODY).gid(NOBODY).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    } else {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
        let said = machine.fails(&["sync", "add", "Phone"]);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        said
    };
    for part in [
        folder.canonicalize().unwrap().to_str().unwrap(),
        "with mode 0",
        if is_root() { "sudo groupadd photos" } else { "chmod -R u+rwX" },
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    drop(server);
}

/// A folder below a healthy root that may not be read any more: nothing in it, nor anywhere else, counts as deleted while that lasts, and whoever
/// asks hears where, who and what to do. The agent has looked at everything before; a command looks at it for the first time.
#[test]
fn what_may_not_be_read_is_no_deletion() {
    // Root may read anything: somebody else runs it, in a home of their own.
    const NOBODY: u32 = 65_534;
    let machine = Machine::new();
    let _server = machine.with_account();
    for (name, seed) in [("2024/a.jpg", 1), ("2024/b.jpg", 2), ("c.jpg", 3), ("d.jpg", 4)] {
        write(&machine.path("Phone").join(name), &jpeg(seed));
    }
    let (folder, lone) = (machine.path("Phone/2024"), machine.path("Phone/d.jpg"));
    if is_root() {
        fs::set_permissions(machine.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for path in ["home", "Phone"] {
            give(&machine.path(path), NOBODY);
        }
    }
    let command = |words: &[&str]| {
        let mut command = machine.command(words);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    };
    let json = |words: &[&str]| -> Value {
        let output = command(&[words, &["--json"]].concat()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{words:?}: {error}: {told}"))
    };
    let pass = || json(&[&["sync", "run"], &QUICK[..]].concat())[0]["report"].clone();
    let count = |words: &[&str]| json(words)["files"].as_array().map_or(0, Vec::len);
    assert!(command(&["sync", "add", "Phone"]).output().unwrap().status.success());
    assert_eq!(pass()["uploaded"], 4);
    let may_read = |may: bool| {
        for (path, mode) in [(&folder, 0o755), (&lone, 0o644)] {
            if is_root() {
                let owner = Some(if may { NOBODY } else { 0 });
                chown(path, owner, owner).unwrap();
            }
            let mode = if may { mode } else { 0 };
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    let is_told = || {
        let output = command(&["sync", "status"]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let who = if is_root() { "nobody may not" } else { " may not" };
        let remedy = if is_root() { "sudo groupadd photos" } else { "chmod -R u+rwX" };
        !output.status.success() && ["2024", who, remedy].iter().all(|part| said.contains(part))
    };
    {
        let words = [&["agent", "run", "--no-notifications"], &QUICK[..]].concat();
        let log = fs::File::create(machine.path("agent.log")).unwrap();
        let _agent = Agent(command(&words).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        write(&machine.path("Phone/e.jpg"), &jpeg(5));
        until("what is new", &machine, || count(&["list", "files"]) == 5);
        may_read(false);
        fs::remove_file(machine.path("Phone/c.jpg")).unwrap();
        until("what may not be read", &machine, is_told);
        write(&machine.path("Phone/f.jpg"), &jpeg(6));
        until("what is new all the same", &machine, || count(&["list", "files"]) == 6);
        assert_eq!(count(&["list", "files", "--name", "c.jpg"]), 1, "nothing is gone while not all is seen");
    }
    let report = pass();
    assert_eq!((&report["trashedRemote"], &report["trashedLocal"]), (&0.into(), &0.into()), "{report}");
    assert!(is_told());
    assert_eq!(count(&["list", "files"]), 6);
    may_read(true);
    let report = pass();
    assert_eq!((&report["trashedRemote"], &report["inStep"]), (&1.into(), &5.into()), "{report}");
    assert_eq!(count(&["list", "files"]), 5);
}

/// What does not work is told by every status, until it works.
#[test]
fn a_server_that_is_away_is_told() {
    let machine = Machine::new();
    let server = machine.with_account();
    write(&machine.path("Phone/a.jpg"), &jpeg(1));
    write(&machine.path("Phone/b.jpg"), &jpeg(2));
    machine.says(&["sync", "add", "Phone"]);
    run(&machine);
    assert!(machine.says(&["sync", "status"]).contains("Phone: in step"));
    drop(server);
    write(&machine.path("Phone/c.jpg"), &jpeg(3));
    assert!(machine.fails(&["sync", "run"]).contains("is not in step"));
    let output = machine.command(&["sync", "status"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && said.contains("Phone: not in step since"), "{said}");
    assert!(said.contains("The last pass ended early:"), "{said}");
}

/// A root that was copied with its marker is another folder, and no trash lies in a folder that is kept in step.
#[test]
fn folders_are_kept_apart() {
    let machine = Machine::new();
    let _server = machine.with_account();
    write(&machine.path("One/a.jpg"), &jpeg(1));
    write(&machine.path("Three/a.jpg"), &jpeg(1));
    machine.says(&["sync", "add", "One", "--local-trash", "bins/one"]);
    fs::create_dir(machine.path("Two")).unwrap();
    fs::copy(machine.path("One/.darkslide-folder"), machine.path("Two/.darkslide-folder")).unwrap();
    machine.says(&["sync", "add", "Two"]);
    let listed = machine.json(&["sync", "list"]);
    assert_ne!(listed[0]["localTrash"], listed[1]["localTrash"]);
    let marker = |folder: &str| fs::read_to_string(machine.path(folder).join(".darkslide-folder")).unwrap();
    assert_ne!(marker("One").lines().next(), marker("Two").lines().next());
    assert!(
        machine.fails(&["sync", "add", "Three", "--local-trash", "Two/bin"]).contains("outside every other")
    );
    fs::create_dir_all(machine.path("bins/one")).unwrap();
    assert!(machine.fails(&["sync", "add", "bins"]).contains("holds the local trash"));
    assert!(machine.fails(&["agent", "approve", "One", "--yes"]).contains("nothing is on hold"));
}

/// What was in a folder's local trash can be found when the folder is not in the list any more.
#[test]
fn the_trash_of_a_removed_folder_is_listed() {
    let machine = Machine::new();
    let _server = machine.with_account();
    write(&machine.path("Phone/a.jpg"), &jpeg(1));
    write(&machine.path("Phone/b.jpg"), &jpeg(2));
    machine.says(&["sync", "add", "Phone"]);
    run(&machine);
    let listed = machine.json(&["list", "files", "--name", "a.jpg"]);
    machine.says(&["trash", "add", &listed["files"][0]["id"].to_string()]);
    run(&machine);
    machine.says(&["sync", "remove", "Phone"]);
    let trashed = machine.json(&["sync", "trash", "list"]);
    let (id, file) =
        (trashed[0]["entry"]["id"].as_str().unwrap(), trashed[0]["entry"]["file"].as_str().unwrap());
    assert_eq!(fs::read(file).unwrap(), jpeg(1));
    assert!(machine.fails(&["sync", "trash", "restore", id]).contains(file));
}

pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0)
}

pub(crate) fn give(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), user);
        }
    }
}

/// Also when that one has not had its turn, is paused, or sends nothing: what is on its disk is not deleted.
#[test]
fn a_picture_that_moves_into_another_sync_folder_stays_in_the_vault() {
    let machine = Machine::new();
    let _server = machine.with_account();
    for (name, seed) in [("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3), ("d.jpg", 4), ("e.jpg", 5)] {
        write(&machine.path("Phone").join(name), &jpeg(seed));
    }
    machine.says(&["sync", "add", "Phone"]);
    for (folder, direction) in [("Second", "both"), ("Third", "down")] {
        fs::create_dir(machine.path(folder)).unwrap();
        machine.says(&["sync", "add", folder, "--direction", direction]);
    }
    run(&machine);
    assert_eq!(names(&machine, "default").len(), 5);
    let trashed = || machine.json(&["trash", "list"])["trash"].as_array().unwrap().len();
    let moves = |name: &str, to: &str| {
        fs::rename(machine.path("Phone").join(name), machine.path(to).join(name)).unwrap();
    };
    let pass_over = |words: &[&str]| machine.run(&[&["sync", "run"], words, &QUICK[..]].concat());
    moves("a.jpg", "Second");
    for _ in 0..2 {
        pass_over(&["Phone"]);
        assert_eq!(trashed(), 0, "Second has had no turn");
    }
    let reports = run(&machine);
    assert!(machine.path("Second/a.jpg").exists() && !machine.path("Phone/a.jpg").exists(), "{reports}");
    machine.says(&["sync", "pause", "Second"]);
    moves("b.jpg", "Second");
    moves("c.jpg", "Third");
    for _ in 0..2 {
        pass_over(&[]);
        assert_eq!(trashed(), 0, "Second is paused, and Third sends nothing");
    }
    machine.says(&["sync", "resume", "Second"]);
    // What is nowhere any more is deleted all the same.
    fs::remove_file(machine.path("Phone/d.jpg")).unwrap();
    pass_over(&[]);
    pass_over(&[]);
    assert_eq!(names(&machine, "default"), ["a.jpg", "b.jpg", "c.jpg", "e.jpg"]);
    assert_eq!(trashed(), 1);
    for (path, is_there) in [("Second/b.jpg", true), ("Third/c.jpg", true), ("Phone/b.jpg", false)] {
        assert_eq!(machine.path(path).exists(), is_there, "{path}");
    }
}

/// What lies in one folder's local trash comes back, whatever became of another folder's disk.
#[test]
fn a_local_trash_gives_back_while_another_folder_is_away() {
    let machine = Machine::new();
    let _server = machine.with_account();
    for folder in ["Away", "Phone"] {
        write(&machine.path(folder).join("a.jpg"), &jpeg(folder.len() as u8));
        machine.says(&["sync", "add", folder]);
    }
    write(&machine.path("Phone/b.jpg"), &jpeg(9));
    run(&machine);
    let listed = machine.json(&["list", "files", "--album", "Phone", "--name", "a.jpg"]);
    machine.says(&["trash", "add", &listed["files"][0]["id"].to_string()]);
    run(&machine);
    assert!(!machine.path("Phone/a.jpg").exists());
    fs::remove_file(machine.path("Away/.darkslide-folder")).unwrap();
    let trash = machine.json(&["sync", "trash", "list"]);
    let id = trash[0]["entry"]["id"].as_str().unwrap();
    machine.says(&["sync", "trash", "restore", id]);
    assert_eq!(fs::read(machine.path("Phone/a.jpg")).unwrap(), jpeg(5));
}
