//! Watch folders and the agent: real notices of the system, real processes, killed and started again.
//!
//! Nothing here sleeps: what is waited for is told by the agent itself, through its status.

use crate::machine::{EMAIL, Machine, Server, jpeg, tree, write};
use crate::takeout::export;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long an agent may take to come to what a test waits for.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running agent, killed with the test.
pub(crate) struct Agent<'a> {
    machine: &'a Machine,
    child: Child,
}

impl<'a> Agent<'a> {
    pub(crate) fn start(machine: &'a Machine, further: &[&str]) -> Self {
        Self::start_with(machine, further, &std::env::var("PATH").unwrap())
    }

    /// The same, with programs from these folders.
    pub(crate) fn start_with(machine: &'a Machine, further: &[&str], programs: &str) -> Self {
        let words =
            ["agent", "run", "--no-notifications", "--settle-photos", "100", "--settle-videos", "200"];
        let mut command = machine.command(&[&words[..], further].concat());
        command.env("PATH", programs);
        Self::begin(machine, command)
    }

    /// One that was told all that it needs.
    pub(crate) fn begin(machine: &'a Machine, mut command: Command) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let agent = Self { machine, child };
        agent.until("it answers", |_| true);
        agent
    }

    /// Its status, once it is as wanted. `status --watch` follows the agent: it ends with what it was waited for.
    pub(crate) fn until(&self, what: &str, is_there: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            assert!(
                begin.elapsed() < PATIENCE,
                "{what} never came: {}",
                self.machine.says(&["agent", "logs"])
            );
            let mut following = Following::start(self.machine);
            let mut last = Value::Null;
            while let Some(status) = following.next() {
                if is_there(&status) {
                    return status;
                }
                last = status;
                assert!(begin.elapsed() < PATIENCE, "{what} never came: {last}");
            }
            assert!(begin.elapsed() < PATIENCE, "{what} never came: {last}");
        }
    }

    /// Its status, once it has sent and linked so much and has nothing left to do.
    pub(crate) fn until_done(&self, uploaded: u64, linked: u64) -> Value {
        self.until(&format!("{uploaded} sent and {linked} linked"), |status| {
            let done = &status["done"];
            status["state"] == "idle" && done["uploaded"] == uploaded && done["linked"] == linked
        })
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn stop(mut self) {
        assert_eq!(self.machine.json(&["agent", "stop"]), json!({ "state": "ended" }));
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// The agent's status, line by line.
struct Following {
    child: Child,
    lines: Receiver<String>,
}

impl Following {
    fn start(machine: &Machine) -> Self {
        let mut command: Command = machine.command(&["agent", "status", "--watch", "--json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let from = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || from.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// None when no agent is there (any more), or nothing has changed for long.
    fn next(&mut self) -> Option<Value> {
        let line = self.lines.recv_timeout(PATIENCE).ok()?;
        let answer: Value = serde_json::from_str(&line).unwrap();
        answer.get("agent").filter(|agent| !agent.is_null()).cloned()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// A picture like no other.
pub(crate) fn picture(number: u32) -> Vec<u8> {
    let mut bytes = jpeg(0);
    let end = bytes.len() - 2;
    bytes.splice(end..end, number.to_be_bytes().map(|byte| byte & 0x7f));
    bytes
}

fn restored(machine: &Machine, name: &str) -> Vec<Vec<u8>> {
    machine.json(&["restore", "--to", name]);
    let mut contents: Vec<Vec<u8>> =
        tree(&machine.path(name)).into_values().map(|(bytes, _)| bytes).collect();
    contents.sort();
    contents
}

/// A folder is renamed while the agent looks, and again while none is there: its album goes with it both times, and what is new goes there.
/// Shows E5, M5.
#[test]
fn a_folder_that_is_renamed_takes_its_album_along() {
    let machine = Machine::new();
    let folder = machine.path("pictures");
    let at = |name: &str| folder.join(name);
    for number in 0..3 {
        write(&at(&format!("Paris/{number}.jpg")), &picture(number));
    }
    let _server = machine.with_account();
    machine.says(&["watch", "add", folder.to_str().unwrap(), "--album-per-folder"]);
    let albums = || {
        let listed = machine.json(&["list", "albums"]);
        let albums = listed["albums"].as_array().unwrap().iter();
        let named = albums.map(|album| (album["name"].as_str().unwrap().to_owned(), album["id"].clone()));
        named.collect::<Vec<_>>()
    };
    let agent = Agent::start(&machine, &[]);
    agent.until_done(3, 0);
    let [(name, album)] = albums().try_into().unwrap();
    assert_eq!(name, "Paris");
    fs::rename(at("Paris"), at("Rome")).unwrap();
    agent.until_done(3, 3);
    assert_eq!(albums(), [("Rome".to_owned(), album.clone())]);
    agent.kill();
    fs::rename(at("Rome"), at("Oslo")).unwrap();
    write(&at("Oslo/3.jpg"), &picture(3));
    let agent = Agent::start(&machine, &[]);
    agent.until_done(1, 3);
    assert_eq!(albums(), [("Oslo".to_owned(), album)]);
    agent.stop();
}

/// Shows E5, E9.
#[test]
fn what_happens_in_a_watched_folder_is_in_the_vault_once_and_stays_there() {
    let machine = Machine::new();
    let folder = machine.path("pictures");
    let at = |name: &str| folder.join(name);
    for number in 0..20 {
        write(&at(&format!("old/{number}.jpg")), &picture(number));
    }
    let _server = machine.with_account();
    machine.says(&["watch", "add", folder.to_str().unwrap(), "--exclude", "*.png"]);

    let agent = Agent::start(&machine, &[]);
    agent.until_done(20, 0);
    // Copied in, into folders that were not there, and something that is excluded.
    for number in 20..40 {
        write(&at(&format!("new/deep/{number}.jpg")), &picture(number));
    }
    write(&at("new/excluded.png"), b"\x89PNG\r\n\x1a\n");
    agent.until_done(40, 0);
    // Renamed and moved: nothing is sent.
    fs::rename(at("old/0.jpg"), at("renamed.jpg")).unwrap();
    fs::rename(at("new/deep"), at("moved")).unwrap();
    let status = agent.until_done(40, 21);
    assert_eq!(status["folders"][0]["safe"], 40);
    let sent = status["done"]["bytesSent"].as_u64().unwrap();
    // Edited: one picture more. Deleted: nothing, ever.
    write(&at("old/1.jpg"), &picture(100));
    fs::remove_file(at("old/2.jpg")).unwrap();
    fs::remove_dir_all(at("moved")).unwrap();
    let status = agent.until_done(41, 21);
    assert!(status["done"]["bytesSent"].as_u64().unwrap() - sent < 20_000, "one picture was sent: {status}");
    // Killed while more arrives.
    for number in 40..60 {
        write(&at(&format!("old/{number}.jpg")), &picture(number));
    }
    agent.kill();
    fs::rename(at("old/3.jpg"), at("while nobody looked.jpg")).unwrap();

    let agent = Agent::start(&machine, &[]);
    let status =
        agent.until("everything", |status| status["state"] == "idle" && status["folders"][0]["safe"] == 60);
    assert_eq!(status["folders"][0]["skipped"], 1, "what is excluded is counted");
    agent.stop();
    let agent = Agent::start(&machine, &[]);
    let status =
        agent.until("a full scan", |status| status["state"] == "idle" && status["done"]["fullScans"] == 1);
    assert_eq!(
        (&status["done"]["bytesSent"], &status["done"]["uploaded"]),
        (&0.into(), &0.into()),
        "{status}"
    );
    agent.stop();

    let mut expected: Vec<Vec<u8>> = (0..60).chain([100]).map(picture).collect();
    expected.sort();
    let mut contents = restored(&machine, "back");
    contents.dedup();
    assert_eq!(contents, expected, "everything that ever was there came back, deleted or not");
    assert_eq!(machine.json(&["list"])["files"].as_array().unwrap().len(), 61, "and is in the vault once");
    let why = machine.says(&["explain", at("new/excluded.png").to_str().unwrap()]);
    assert!(why.contains("excludes \"*.png\""), "{why}");
    write(&machine.path("elsewhere.jpg"), &picture(200));
    std::os::unix::fs::symlink(machine.path("elsewhere.jpg"), at("new/link.jpg")).unwrap();
    let why = machine.says(&["explain", at("new/link.jpg").to_str().unwrap()]);
    assert!(why.contains("links are not followed"), "{why}");
}

#[test]
fn half_a_picture_waits_for_its_other_half() {
    let machine = Machine::new();
    let folder = machine.path("pictures");
    fs::create_dir(&folder).unwrap();
    let _server = machine.with_account();
    machine.says(&["watch", "add", folder.to_str().unwrap()]);
    let agent = Agent::start(&machine, &["--settle-incomplete", "3600000"]);
    let whole = picture(1);
    write(&folder.join("a.jpg"), &whole[..1000]);
    let status = agent.until("half a picture", |status| {
        status["folders"][0]["waitingFor"][0].as_str().is_some_and(|what| what.contains("not complete"))
    });
    assert_eq!((&status["state"], &status["done"]["uploaded"]), (&"waiting".into(), &0.into()));
    let mut file = fs::OpenOptions::new().append(true).open(folder.join("a.jpg")).unwrap();
    std::io::Write::write_all(&mut file, &whole[1000..]).unwrap();
    drop(file);
    agent.until_done(1, 0);
    assert_eq!(restored(&machine, "back"), [whole]);
}

/// A program in the place of ffmpeg that ends when the file `go` is there. Gives what to search programs in.
fn thumbnails_that_wait(machine: &Machine) -> String {
    let tool = machine.path("tools/ffmpeg");
    write(
        &tool,
        format!("#!/bin/sh\nuntil [ -e '{}' ]; do sleep 0.1; done\n", machine.path("go").display())
            .as_bytes(),
    );
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:/usr/bin:/bin", machine.path("tools").display())
}

/// What settles while a run is at thumbnails, its own or left by others, is backed up then, and the status says what is safe meanwhile.
#[test]
fn thumbnails_hold_nothing_up() {
    let machine = Machine::new();
    let programs = thumbnails_that_wait(&machine);
    let folder = machine.path("pictures");
    write(&folder.join("a.jpg"), &picture(1));
    let _server = machine.with_account();
    machine.says(&["watch", "add", folder.to_str().unwrap()]);
    // Taken as it is after a while, of which no notice of the system tells.
    write(&folder.join("b.jpg"), &picture(2)[..1000]);
    let agent = Agent::start_with(&machine, &["--settle-incomplete", "3000"], &programs);
    let status = agent.until("both are safe", |status| status["folders"][0]["safe"] == 2);
    assert_eq!(status["folders"][0]["waiting"], 0);
    agent.until("thumbnails are left", |status| status["run"]["thumbnailsLeft"] == 2);
    agent.kill();
    // Nor do they keep back what is said of a command's words.
    let begin = Instant::now();
    for (words, named) in
        [(&["backup", "/dev/null"][..], "/dev/null"), (&["import", "takeout", "nosuch.zip"], "nosuch.zip")]
    {
        let output = machine.command(words).env("PATH", &programs).output().unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(told.contains(named), "{told}");
    }
    assert!(begin.elapsed() < PATIENCE, "a thumbnail that waits takes minutes");
    write(&machine.path("go"), b"");
}

/// A watch folder with three pictures, and an agent that has backed them up.
pub(crate) fn at_rest(machine: &Machine) -> (PathBuf, Server, Agent<'_>) {
    let folder = machine.pictures();
    let server = machine.with_account();
    machine.says(&["watch", "add", folder.to_str().unwrap()]);
    let agent = Agent::start(machine, &[]);
    agent.until_done(3, 0);
    (folder, server, agent)
}

/// A watch folder with one picture, and an agent in the middle of its run: its thumbnail waits for the file `go`.
pub(crate) fn at_a_thumbnail(machine: &Machine) -> (PathBuf, Server, Agent<'_>) {
    let programs = thumbnails_that_wait(machine);
    let folder = machine.path("pictures");
    write(&folder.join("a.jpg"), &picture(1));
    let server = machine.with_account();
    machine.says(&["watch", "add", folder.to_str().unwrap()]);
    let agent = Agent::start_with(machine, &[], &programs);
    agent.until("it is at a thumbnail", |status| {
        status.pointer("/run/thumbnailsLeft").is_some_and(|left| *left == 1)
    });
    (folder, server, agent)
}

/// An agent in the middle of a run stands back for an import as it does for a backup, and goes on afterwards.
#[test]
fn an_import_has_its_turn_while_the_agent_works() {
    let machine = Machine::new();
    let (folder, _server, agent) = at_a_thumbnail(&machine);
    let [first, second] = export(&machine);
    let report = machine.json(&["import", "takeout", first, second, "--no-thumbnails"]);
    assert_eq!(report["uploaded"], 2, "{report}");
    write(&machine.path("go"), b"");
    write(&folder.join("b.jpg"), &picture(2));
    agent.until("it goes on", |status| status["state"] == "idle" && status["folders"][0]["safe"] == 2);
}

/// Shows E5.
#[test]
fn a_folder_whose_disk_is_gone_is_offline_and_nothing_else_happens() {
    let machine = Machine::new();
    let (folder, _server, agent) = at_rest(&machine);
    // What an unmounted disk leaves behind: first nothing, then an empty folder.
    let disk = machine.path("disk");
    fs::rename(&folder, &disk).unwrap();
    machine.says(&["agent", "scan"]);
    let is_offline = |status: &Value| status["folders"][0]["state"] == "offline";
    agent.until("gone is offline", is_offline);
    fs::create_dir(&folder).unwrap();
    machine.says(&["agent", "scan"]);
    let told = machine.says(&["explain", folder.join("a.jpg").to_str().unwrap()]);
    assert!(told.contains("Its folder is offline: it is empty"), "{told}");
    let is_empty = |status: &Value| {
        is_offline(status)
            && status["folders"][0]["because"].as_str().is_some_and(|why| why.contains("it is empty"))
    };
    agent.until("empty is offline", is_empty);
    assert_eq!(machine.json(&["list"])["files"].as_array().unwrap().len(), 3);
    // It comes back, with something new on it.
    fs::remove_dir(&folder).unwrap();
    write(&disk.join("c.jpg"), &picture(9));
    fs::rename(&disk, &folder).unwrap();
    machine.says(&["agent", "scan"]);
    let status = agent.until_done(4, 0);
    assert_eq!(status["folders"][0]["state"], "watched");
    // And is watched as before.
    write(&folder.join("d.jpg"), &picture(10));
    agent.until_done(5, 0);
}

#[test]
fn a_server_that_is_away_is_waited_for() {
    let machine = Machine::new();
    let folder = machine.pictures();
    let server = machine.with_account();
    machine.says(&["watch", "add", folder.to_str().unwrap()]);
    let address = server.url.trim_start_matches("http://").to_owned();
    drop(server);
    let agent = Agent::start(&machine, &[]);
    let status = agent.until("it tries again", |status| status["state"] == "retrying");
    assert!(status["problem"]["what"].as_str().unwrap().contains("does not answer"), "{status}");
    // New, and settled: what keeps it from being sent is not that nobody has seen it.
    write(&folder.join("new.jpg"), &picture(9));
    let why = || machine.says(&["explain", folder.join("new.jpg").to_str().unwrap()]);
    let begin = Instant::now();
    while why().contains("moment ago") {
        assert!(begin.elapsed() < PATIENCE);
    }
    assert!(why().contains("does not answer") && why().contains("tries again"), "{}", why());
    assert!(!why().contains("error sending request"), "one sentence: {}", why());
    // Also at the moment of another try it waits.
    let next_try = |status: &Value| status["problem"]["nextTry"].clone();
    agent.until("it has tried once more", |now| {
        assert_ne!(now["folders"][0]["changedFolders"], 0, "{now}");
        now["state"] == "retrying" && next_try(now) != next_try(&status)
    });
    let arguments = ["serve", "--listen", &address, "--data-dir", "server"];
    let mut again = machine.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    agent.until_done(4, 0);
    again.kill().unwrap();
    again.wait().unwrap();
}

#[test]
fn commands_and_the_agent_share_one_profile() {
    let machine = Machine::new();
    let (folder, _server, agent) = at_rest(&machine);
    let error = machine.fails(&["agent", "run"]);
    assert!(error.contains("running already"), "{error}");
    // Paused, it leaves what arrives alone; a backup by hand does not mind.
    assert_eq!(machine.json(&["agent", "pause"]), json!({ "state": "paused" }));
    write(&folder.join("c.jpg"), &picture(9));
    assert_eq!(agent.until("paused", |status| status["state"] == "paused")["done"]["uploaded"], 3);
    let report = machine.json(&["backup", folder.to_str().unwrap()]);
    assert_eq!((&report["uploaded"], &report["unchanged"]), (&1.into(), &3.into()));
    let resumed = machine.json(&["agent", "resume"]);
    assert!(["idle", "waiting", "backing-up"].iter().any(|state| resumed["state"] == *state), "{resumed}");
    assert!(machine.json(&["agent", "scan"])["state"].is_string());
    assert_eq!(machine.says(&["agent", "scan"]), "", "to people it is no news");
    write(&folder.join("d.jpg"), &picture(10));
    agent.until_done(4, 0);
    // A folder that is added is backed up without another word, and one that is removed is not.
    write(&machine.path("more/e.jpg"), &picture(11));
    machine.says(&["watch", "add", "more"]);
    agent.until_done(5, 0);
    machine.says(&["watch", "remove", "more"]);
    let status = agent.until("one folder", |status| status["folders"].as_array().map(Vec::len) == Some(1));
    assert_eq!(status["state"], "idle");
    agent.stop();
    assert!(machine.fails(&["agent", "scan"]).contains("no agent is running"));
}

/// A path that no socket may have is no reason to fail: the agent is talked to all the same.
#[cfg(target_os = "linux")]
#[test]
fn a_profile_far_from_the_root_has_an_agent_too() {
    let folder = tempfile::Builder::new().prefix(&"far".repeat(40)).tempdir().unwrap();
    let machine = Machine::within(folder);
    let pictures = machine.pictures();
    let _server = machine.with_account();
    machine.says(&["watch", "add", pictures.to_str().unwrap()]);
    let agent = Agent::start(&machine, &[]);
    agent.until_done(3, 0);
    assert_eq!(machine.json(&["backup", pictures.to_str().unwrap()])["unchanged"], 3);
    assert!(machine.says(&["explain", pictures.join("a.jpg").to_str().unwrap()]).contains("Backed up"));
    agent.stop();
    assert!(machine.fails(&["agent", "scan"]).contains("no agent is running"));
}

#[test]
fn whoever_signs_out_is_told_and_goes_on_after_signing_in() {
    let machine = Machine::new();
    let (folder, server, agent) = at_rest(&machine);
    machine.says(&["logout"]);
    write(&folder.join("c.jpg"), &picture(9));
    let status = agent.until("signed out", |status| status["state"] == "signed-out");
    assert!(status["problem"]["advice"].as_str().unwrap().contains("darkslide login"), "{status}");
    let words = ["login", &server.url, "--email", EMAIL, "--password-file", "password"];
    machine.says(&[&words[..], &["--keys", "key-file"]].concat());
    agent.until_done(4, 0);
}

/// Over a connection without a session of its own, systemd does not answer its user.
#[cfg(target_os = "linux")]
#[test]
fn a_service_that_cannot_be_started_leaves_nothing_behind() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let units = machine.path("config/systemd/user");
    let (unit, link) =
        ("darkslide-agent-default.service", "default.target.wants/darkslide-agent-default.service");
    let install = |systemctl: &str| {
        let programs = machine.path("programs");
        write(&programs.join("systemctl"), format!("#!/bin/sh\n{systemctl}\n").as_bytes());
        fs::set_permissions(programs.join("systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
        let path = std::env::join_paths([programs, "/usr/bin".into(), "/bin".into()]).unwrap();
        let mut command = machine.command(&["agent", "install"]);
        command.env("PATH", path).env("XDG_CONFIG_HOME", machine.path("config"));
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let links = format!("mkdir -p {0}/default.target.wants; ln -sf {0}/{unit} {0}/{link}", units.display());
    let no_bus = "echo 'Failed to connect to bus: No medium found' >&2; exit 1";
    for systemctl in [no_bus.to_owned(), format!("[ $2 = enable ] && {{ {links}; exit 0; }}\n{no_bus}")] {
        let (is_done, said) = install(&systemctl);
        assert!(!is_done && said.contains("No medium found"), "{said}");
        assert!(said.contains("is not installed; what was written for it is removed again"), "{said}");
        assert!(!units.join(unit).exists() && units.join(link).symlink_metadata().is_err(), "{systemctl}");
    }
    // What was installed before stays as it was.
    let (is_done, said) = install(&format!("[ $2 = enable ] && {{ {links}; }}\nexit 0"));
    assert!(is_done && units.join(link).exists(), "{said}");
    write(&units.join(unit), b"as it was");
    let (is_done, said) = install(no_bus);
    assert!(!is_done && said.contains("stays installed as it was"), "{said}");
    assert_eq!(fs::read(units.join(link)).unwrap(), b"as it was");
}

#[test]
fn a_list_of_watch_folders_makes_sense() {
    let machine = Machine::new();
    let folder = machine.pictures();
    let path = folder.to_str().unwrap();
    assert!(machine.fails(&["watch", "add", "nowhere"]).contains("nowhere cannot be watched"));
    assert!(machine.fails(&["watch", "add", "password"]).contains("is not a folder"));
    assert!(machine.fails(&["watch", "add", path, "--exclude", "["]).contains("is not a pattern"));
    assert!(machine.fails(&["watch", "add", path, "--album", " "]).contains("needs a name"));
    machine.says(&["watch", "add", path, "--album", "Ski", "--exclude", "*.png", "--exclude", "drafts/"]);
    assert!(machine.fails(&["watch", "add", path]).contains("is watched already"));
    assert!(machine.fails(&["watch", "add", &format!("{path}/trip")]).contains("lies in"));
    assert!(machine.fails(&["watch", "add", "."]).contains("remove that one first"));
    let list = machine.json(&["watch", "pause", path]);
    assert_eq!((&list[0]["paused"], &list[0]["album"]), (&true.into(), &"Ski".into()), "{list}");
    assert_eq!(list[0]["exclude"], serde_json::json!(["*.png", "drafts/"]));
    assert_eq!(machine.json(&["watch", "resume", path])[0]["paused"], false);
    // What is gone can still be named.
    fs::rename(&folder, machine.path("elsewhere")).unwrap();
    assert_eq!(machine.json(&["watch", "remove", path]).as_array().unwrap().len(), 0);
    assert!(machine.fails(&["watch", "remove", path]).contains("is not watched"));
}

#[test]
fn the_service_manager_is_told_that_it_watches_and_lives() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let path = machine.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let hear = || {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let mut command = machine.command(&["agent", "run", "--no-notifications"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000");
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let agent = Agent { machine: &machine, child };
    assert_eq!(hear().trim(), "READY=1");
    assert_eq!((hear().trim(), hear().trim()), ("WATCHDOG=1", "WATCHDOG=1"));
    agent.stop();
    let told = std::iter::repeat_with(hear).find(|told| told.trim() != "WATCHDOG=1");
    assert_eq!(told.unwrap().trim(), "STOPPING=1");
}

#[test]
fn a_stranger_gets_no_word_out_of_the_agent() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    let machine = Machine::new();
    fs::create_dir(machine.path("pictures")).unwrap();
    let _server = machine.with_account();
    let _agent = Agent::start(&machine, &[]);
    let socket = machine.path("home/default/agent.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    // Doors open by mistake: the system still says who calls. Only root can play a stranger.
    let is_root = Path::new("/root").read_dir().is_ok();
    for path in [machine.folder.path(), &machine.path("home"), &machine.path("home/default")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
    let script = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b'{\"do\":\"status\"}\\n'); \
                  sys.stdout.write(s.makefile().readline())";
    let ask = |user: Option<u32>| {
        let mut command = Command::new("python3");
        command
            .args(["-c", script, socket.to_str().unwrap()])
            .current_dir("/")
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(user) = user {
            command.uid(user);
        }
        let mut answer = String::new();
        command.spawn().unwrap().stdout.take().unwrap().read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask(None).starts_with("{\"ok\":"), "its owner is answered");
    if is_root {
        assert_eq!(ask(Some(65534)), "");
    }
}
