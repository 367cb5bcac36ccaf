//! A sync folder on a disk that fails: reading a file, listing a folder, asking for a file, moving one. strace (from Debian) lets the system calls of
//! the real process answer EIO, one path and one kind of call at a time.

#![expect(
    clippy::indexing_slicing,
    reason = "an answer without what a test looks for fails the test right there"
)]

use crate::machine::{Machine, jpeg, write};
use crate::sync::{Agent, give, is_root, until};
use darkslide_e2e::strace;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Settled at once, missed at once, and not waited for.
const AT_ONCE: [&str; 9] = [
    "--settle-photos",
    "0",
    "--settle-videos",
    "0",
    "--settle-incomplete",
    "0",
    "--absence",
    "0",
    "--no-wait",
];

const LISTING: &str = "getdents64";
const LOOKING: &str = "statx,newfstatat";
const MOVING: &str = "rename,renameat,renameat2,link,linkat,unlink,unlinkat";
const READING: &str = "read,pread64,readv,preadv";

/// What cannot be tested without strace.
const TESTED: &str = "what a failing disk does";

/// What makes one pass over the folder.
fn pass_command(machine: &Machine) -> Command {
    machine.command(&[&["sync", "run", "--json"], &AT_ONCE[..]].concat())
}

/// One pass over the folder, on a healthy disk.
fn pass(machine: &Machine) -> Value {
    report(pass_command(machine))
}

/// The same, where these calls fail at this path.
fn pass_while(machine: &Machine, calls: &str, path: &Path) -> Value {
    let (inject, path) = (format!("--inject={calls}:error=EIO"), path.to_str().unwrap());
    let (report, log) = pass_under_strace(machine, calls, &["-P", path, &inject]);
    assert!(log.contains("(INJECTED)"), "nothing failed: {log}");
    report
}

/// One pass, and the log of these calls of it.
fn pass_under_strace(machine: &Machine, calls: &str, further: &[&str]) -> (Value, String) {
    let log = machine.path("strace.log");
    let healthy = pass_command(machine);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(&log).arg(format!("--trace={calls}")).args(further);
    command.arg(healthy.get_program()).args(healthy.get_args()).current_dir(machine.folder.path());
    for (name, value) in healthy.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    (report(command), fs::read_to_string(log).unwrap())
}

fn report(mut command: Command) -> Value {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let answer: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {text}"));
    answer[0]["report"].clone()
}

/// What a report says of a path's failure.
fn failure(report: &Value, path: &Path) -> String {
    let failed = report["failed"].as_array().unwrap();
    let of_it = failed.iter().map(Value::to_string).find(|one| one.contains(path.to_str().unwrap()));
    of_it.unwrap_or_else(|| panic!("{} is not in {report}", path.display()))
}

pub(crate) fn names(machine: &Machine) -> Vec<String> {
    let listed = machine.json(&["list", "files"]);
    let files = listed["files"].as_array().unwrap();
    let mut names: Vec<_> = files.iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Whatever the disk answers, nothing is concluded from it: only once all is seen again, what was deleted is, and what was edited is sent.
#[test]
fn a_disk_that_fails_is_no_deletion_and_loses_nothing() {
    if !strace::is_there(TESTED) {
        return;
    }
    let machine = Machine::new();
    let _server = machine.with_account();
    let folder = machine.path("Phone").join("2024");
    for (name, seed) in [("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3)] {
        write(&folder.join(name), &jpeg(seed));
    }
    machine.says(&["sync", "add", "Phone"]);
    assert_eq!(pass(&machine)["uploaded"], 3);
    let path = |name: &str| folder.canonicalize().unwrap().join(name);
    let nothing_is_gone = |report: &Value| {
        assert_eq!((&report["trashedRemote"], &report["trashedLocal"]), (&0.into(), &0.into()), "{report}");
        assert_eq!(names(&machine), ["a.jpg", "b.jpg", "c.jpg"]);
    };
    // Edited, and it cannot be read.
    write(&path("a.jpg"), &jpeg(4));
    let told = pass_while(&machine, READING, &path("a.jpg"));
    assert!(failure(&told, &path("a.jpg")).contains("Input/output error"), "{told}");
    nothing_is_gone(&told);
    // The disk does not say whether one is there, or which there are, while another is deleted.
    fs::remove_file(path("c.jpg")).unwrap();
    for (calls, at) in [(LOOKING, path("b.jpg")), (LISTING, folder.canonicalize().unwrap())] {
        for _ in 0..2 {
            let told = pass_while(&machine, calls, &at);
            assert!(failure(&told, &at).contains("Input/output error"), "{told}");
            nothing_is_gone(&told);
        }
    }
    pass(&machine);
    pass(&machine);
    assert_eq!(names(&machine), ["a.jpg", "b.jpg"], "what was seen to be gone is gone");
    assert!(path("b.jpg").exists());
    let edited = machine.json(&["list", "files", "--name", "a.jpg"]);
    let restored = machine.path("restored");
    let file = edited["files"][0]["id"].to_string();
    machine.says(&["restore", &file, "--to", restored.to_str().unwrap()]);
    assert_eq!(fs::read(restored.join("a.jpg")).unwrap(), jpeg(4));
}

/// What cannot be moved into the local trash stays where it is, and what cannot be brought comes later.
#[test]
fn a_disk_that_moves_nothing_loses_nothing() {
    if !strace::is_there(TESTED) {
        return;
    }
    let machine = Machine::new();
    let _server = machine.with_account();
    let folder = machine.path("Phone");
    write(&folder.join("a.jpg"), &jpeg(1));
    write(&folder.join("b.jpg"), &jpeg(2));
    machine.says(&["sync", "add", "Phone"]);
    assert_eq!(pass(&machine)["uploaded"], 2);
    let place = folder.canonicalize().unwrap().join("a.jpg");
    let listed = machine.json(&["list", "files", "--name", "a.jpg"]);
    let file = listed["files"][0]["id"].to_string();
    machine.says(&["trash", "add", &file]);
    let told = pass_while(&machine, MOVING, &place);
    let said = failure(&told, Path::new("a.jpg"));
    assert!(said.contains("nothing was deleted") && said.contains("Input/output error"), "{said}");
    assert_eq!(fs::read(&place).unwrap(), jpeg(1));
    assert_eq!(pass(&machine)["trashedLocal"], 1);
    assert!(!place.exists());
    machine.says(&["trash", "restore", &file]);
    // It gets its name in the folder as it was entered.
    let told = pass_while(&machine, MOVING, &folder.canonicalize().unwrap());
    assert!(failure(&told, Path::new("a.jpg")).contains("Input/output error"), "{told}");
    let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!place.exists() && left.len() == 2, "the marker and b.jpg: {left:?}");
    assert_eq!(pass(&machine)["materialised"], 1);
    assert_eq!(fs::read(&place).unwrap(), jpeg(1));
    assert_eq!(names(&machine), ["a.jpg", "b.jpg"]);
}

/// What a power cut could take: bytes are flushed before they have their name, no name is taken from another file, and then the name is flushed.
#[test]
fn what_comes_into_the_folder_is_flushed_before_it_has_its_name_and_so_is_that() {
    if !strace::is_there("the order of flushes") {
        return;
    }
    let machine = Machine::new();
    let _server = machine.with_account();
    write(&machine.path("Phone/a.jpg"), &jpeg(1));
    write(&machine.path("Phone/b.jpg"), &jpeg(2));
    machine.says(&["sync", "add", "Phone", "--local-trash", "bin"]);
    assert_eq!(pass(&machine)["uploaded"], 2);
    let listed = machine.json(&["list", "files", "--name", "a.jpg"]);
    let file = listed["files"][0]["id"].to_string();
    machine.says(&["trash", "add", &file]);
    assert_eq!(pass(&machine)["trashedLocal"], 1);
    fs::remove_dir_all(machine.path("bin")).unwrap();
    machine.says(&["trash", "restore", &file]);
    let (report, log) = pass_under_strace(&machine, &format!("{MOVING},fsync,fdatasync"), &["-y"]);
    assert_eq!(report["materialised"], 1, "{report}");
    let find = |words: &[&str]| {
        let found = log.lines().position(|call| words.iter().all(|word| call.contains(word)));
        found.unwrap_or_else(|| panic!("no call with {words:?}: {log}"))
    };
    let bytes = find(&["sync(", ".syncthing.darkslide-"]);
    let named = find(&["renameat2(", ".syncthing.darkslide-", "a.jpg", "RENAME_NOREPLACE"]);
    let flushed = find(&["sync(", "/Phone>"]);
    assert!(bytes < named && named < flushed, "{log}");
}

/// Once, the pass waited for it, and so did every other folder. What is deleted waits; what comes does not.
#[test]
fn a_network_disk_that_does_not_answer_holds_no_pass_up_and_is_no_deletion() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let folder = machine.path("Phone");
    for (name, seed) in [("a.jpg", 1), ("b.jpg", 2), ("nas/c.jpg", 3)] {
        write(&folder.join(name), &jpeg(seed));
    }
    machine.says(&["sync", "add", "Phone"]);
    assert_eq!(pass(&machine)["uploaded"], 3);
    let folder = folder.canonicalize().unwrap();
    let nas = folder.join("nas");
    let Some(silent) = Disk::silent(&nas) else { return };
    fs::remove_file(folder.join("a.jpg")).unwrap();
    write(&folder.join("d.jpg"), &jpeg(4));
    for uploaded in [1, 0] {
        let told = pass(&machine);
        assert_eq!((&told["uploaded"], &told["trashedRemote"]), (&uploaded.into(), &0.into()), "{told}");
        assert!(failure(&told, &nas).contains("does not answer"), "{told}");
    }
    assert_eq!(names(&machine), ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]);
    drop(silent);
    pass(&machine);
    pass(&machine);
    assert_eq!(names(&machine), ["b.jpg", "c.jpg", "d.jpg"]);
    // The disk of the whole folder.
    let Some(_silent) = Disk::silent(&folder) else { return };
    let told = pass(&machine);
    assert!(told["unhealthy"].to_string().contains("does not answer"), "{told}");
    assert_eq!(names(&machine), ["b.jpg", "c.jpg", "d.jpg"]);
}

/// A disk that is mounted until this is dropped.
pub(crate) struct Disk(PathBuf, Option<fs::File>);

impl Disk {
    /// A small and empty one. `None` where nobody may mount.
    pub(crate) fn mount(at: &Path) -> Option<Self> {
        Self::by(&["-t", "tmpfs", "-o", "size=4m", "tmpfs"].map(Path::new), at, None)
    }

    /// A network disk that does not answer: whoever asks it anything waits until this is dropped. `None` where nobody may mount.
    pub(crate) fn silent(at: &Path) -> Option<Self> {
        let options = "fd=0,rootmode=40000,user_id=0,group_id=0,allow_other";
        let words = ["-i", "-t", "fuse", "-o", options, "silent"].map(Path::new);
        // Who would answer has it, and does not.
        Self::by(&words, at, fs::File::options().read(true).write(true).open("/dev/fuse").ok())
    }

    /// A folder at a second place. `None` where nobody may mount.
    fn bind(folder: &Path, at: &Path) -> Option<Self> {
        Self::by(&[Path::new("--bind"), folder], at, None)
    }

    #[expect(clippy::print_stderr, reason = "what is not tested must be seen")]
    fn by(words: &[&Path], at: &Path, behind: Option<fs::File>) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let input = behind.as_ref().map_or(Stdio::null(), |file| file.try_clone().unwrap().into());
        let mounted = Command::new("mount").args(words).arg(at).stdin(input).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            assert!(std::env::var_os("CI").is_none(), "CI may mount, and must");
            eprintln!("no right to mount: what is told of a disk of its own was NOT tested");
            return None;
        }
        Some(Self(at.to_owned(), behind))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever waits for an answer waits no longer.
        drop(self.1.take());
        let _gone_with_the_namespace = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The folder is the root of a disk, on which the system keeps a place that nobody else may enter.
#[test]
fn lost_and_found_at_the_root_of_a_disk_is_passed_over() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let disk = machine.path("Disk");
    let Some(_disk) = Disk::mount(&disk) else { return };
    write(&disk.join("a.jpg"), &jpeg(1));
    let (system, own) = (disk.join("lost+found"), disk.join("2024/lost+found"));
    for folder in [&system, &own] {
        write(&folder.join("b.jpg"), &jpeg(2));
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    }
    // Somebody else runs it, in a home of their own.
    fs::set_permissions(machine.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for path in [machine.path("home"), disk.clone()] {
        give(&path, NOBODY);
    }
    give(&system, 0);
    let output = machine.command(&["sync", "add", "Disk"]).uid(NOBODY).gid(NOBODY).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut command = pass_command(&machine);
    command.uid(NOBODY).gid(NOBODY);
    let first = report(command);
    let told = (&first["uploaded"], &first["failedCount"], &first["waitingCount"]);
    assert_eq!(
        told,
        (&2.into(), &0.into(), &0.into()),
        "a folder that only has its name is one like any other: {first}"
    );
    // One that is closed and is none of the system's is told, as ever.
    give(&own, 0);
    let mut command = pass_command(&machine);
    command.uid(NOBODY).gid(NOBODY);
    let second = report(command);
    assert!(second["failedCount"] == 1 || second["unhealthy"].is_string(), "{second}");
}

/// A folder that is mounted at a second place has another path there, and is the same one; so is what lies in it, and what it lies in.
#[test]
fn what_lies_in_a_sync_folder_through_a_mount_is_no_other_folder() {
    let machine = Machine::new();
    let server = machine.with_account();
    machine.sign_up(&server, "bernd@example.org", "bernd");
    write(&machine.path("Pictures/Phone/2024/a.jpg"), &jpeg(1));
    machine.says(&["sync", "add", "Pictures/Phone"]);
    let part = Disk::bind(&machine.path("Pictures/Phone/2024"), &machine.path("Part"));
    let Some(_part) = part else { return };
    let _whole = Disk::bind(&machine.path("Pictures"), &machine.path("Whole")).unwrap();
    for folder in ["Part", "Whole", "Whole/Phone/2024"] {
        let told = machine.fails(&["sync", "add", folder]);
        assert!(told.contains("lie in each other"), "{folder}: {told}");
        let told = machine.fails(&["--profile", "bernd", "sync", "add", folder]);
        assert!(told.contains("of the profile default"), "{folder}: {told}");
    }
    assert!(machine.fails(&["sync", "add", "Whole/Phone"]).contains("under another path"));
    // Nor one that is watched, or is to be.
    for folder in ["Part", "Whole"] {
        let told = machine.fails(&["watch", "add", folder]);
        assert!(told.contains("lie in each other"), "{folder}: {told}");
    }
    machine.says(&["sync", "remove", "Pictures/Phone"]);
    machine.says(&["watch", "add", "Part"]);
    let told = machine.fails(&["sync", "add", "Pictures/Phone"]);
    assert!(told.contains("/Part lie in each other") && told.contains("watch remove"), "{told}");
    fs::create_dir(machine.path("Camera")).unwrap();
    machine.says(&["sync", "add", "Camera"]);
}

/// Who runs it where root may do anything.
const NOBODY: u32 = 65_534;

/// A machine whose folder belongs to whoever runs what the second one gives.
fn as_somebody(machine: &Machine) -> impl Fn(&[&str]) -> Command {
    if is_root() {
        fs::set_permissions(machine.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for path in ["home", "Phone"] {
            give(&machine.path(path), NOBODY);
        }
    }
    |words: &[&str]| {
        let mut command = machine.command(words);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

/// Nobody but root may change what is in a folder.
fn close(folder: &Path) {
    if is_root() {
        chown(folder, Some(0), Some(0)).unwrap();
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o555)).unwrap();
}

/// As Syncthing makes one, under another user: what it holds is sent, and what would have to be written there is told.
#[test]
fn a_folder_that_may_not_be_written_keeps_nothing_else_from_being_done() {
    let machine = Machine::new();
    let _server = machine.with_account();
    for (name, seed) in [("2024/a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3)] {
        write(&machine.path("Phone").join(name), &jpeg(seed));
    }
    let command = as_somebody(&machine);
    let words = [&["sync", "run", "--json"], &AT_ONCE[..]].concat();
    assert!(command(&["sync", "add", "Phone"]).output().unwrap().status.success());
    assert_eq!(report(command(&words))["uploaded"], 3);
    for (name, seed) in [("2024/d.jpg", 4), ("e.jpg", 5)] {
        write(&machine.path("Phone").join(name), &jpeg(seed));
    }
    let folder = machine.path("Phone/2024");
    close(&folder);
    for name in ["a.jpg", "b.jpg"] {
        let listed = command(&["list", "files", "--name", name, "--json"]).output().unwrap().stdout;
        let listed: Value = serde_json::from_slice(&listed).unwrap();
        let file = listed["files"][0]["id"].to_string();
        assert!(command(&["trash", "add", &file]).output().unwrap().status.success());
    }
    let told = report(command(&words));
    assert_eq!((&told["uploaded"], &told["trashedLocal"]), (&2.into(), &1.into()), "{told}");
    assert!(folder.join("a.jpg").exists() && !machine.path("Phone/b.jpg").exists());
    let said = told["failed"].to_string();
    let remedy = if is_root() { "sudo groupadd photos" } else { "chmod -R u+rwX" };
    for part in [folder.canonicalize().unwrap().to_str().unwrap(), "with mode 0555", remedy] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let owner = is_root().then_some(NOBODY);
    chown(&folder, owner, owner).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let told = report(command(&words));
    assert_eq!((&told["trashedLocal"], &told["failedCount"]), (&1.into(), &0.into()), "{told}");
}

/// Its marker is all that it needs, once.
#[test]
fn a_folder_that_only_goes_up_need_not_be_written() {
    let machine = Machine::new();
    let _server = machine.with_account();
    write(&machine.path("Phone/2024/a.jpg"), &jpeg(1));
    let command = as_somebody(&machine);
    let folder = machine.path("Phone");
    for path in [folder.join("2024"), folder.clone()] {
        close(&path);
    }
    let add = || command(&["sync", "add", "Phone", "--direction", "up"]).output().unwrap();
    let said = String::from_utf8(add().stderr).unwrap();
    let marker = said.split_once("`echo ").and_then(|(_, rest)| rest.split_once(" | sudo tee "));
    let (id, _) = marker.unwrap_or_else(|| panic!("{said}"));
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.join(".darkslide-folder"), format!("{id}\n")).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    let added = add();
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let told = report(command(&[&["sync", "run", "--json"], &AT_ONCE[..]].concat()));
    assert_eq!((&told["uploaded"], &told["failedCount"]), (&1.into(), &0.into()), "{told}");
    for path in [folder.join("2024"), folder] {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// No system tells what comes with a disk that is mounted below the root: all is looked at now and then, whatever is told.
#[test]
fn what_nobody_tells_is_found_when_all_is_looked_at() {
    let machine = Machine::new();
    let _server = machine.with_account();
    write(&machine.path("Phone/a.jpg"), &jpeg(1));
    write(&machine.path("disk/b.jpg"), &jpeg(2));
    let card = machine.path("Phone/DCIM");
    fs::create_dir(&card).unwrap();
    machine.says(&["sync", "add", "Phone"]);
    let _agent = Agent::start(&machine, &["--rescan", "500"]);
    until("the first", &machine, || names(&machine) == ["a.jpg"]);
    let Some(_disk) = Disk::bind(&machine.path("disk"), &card) else { return };
    until("what is on the disk", &machine, || names(&machine) == ["a.jpg", "b.jpg"]);
}
