//! Two profiles of one account on one computer: it is backed up by one of them at a time. Nobody else is kept waiting.

use crate::agent::Agent;
use crate::machine::{EMAIL, Machine, Server, jpeg, write};
use crate::sync::until;
use serde_json::Value;
use std::fs::{self, DirBuilder};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::process::{Child, Command, Stdio};

/// A backup that waits for a server that never answers, killed with the test.
struct Stuck {
    child: Child,
    _server: TcpListener,
}

impl Stuck {
    /// Of the default profile, whose server is another one from now on; comes back when it has the account. It knows these places of the computer.
    fn begin(machine: &Machine, server: &Server, places: &[&str]) -> Self {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = machine.path("home/default/config.toml");
        let text = fs::read_to_string(&config).unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        fs::write(&config, text.replace(&server.url, &url)).unwrap();
        let mut command = machine.command(&["backup", "pictures"]);
        knows_only(&mut command, machine, places);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let stuck = Self { child, _server: silent };
        let own = format!("{}\n", stuck.child.id());
        until("it to have the account", machine, || {
            owners(machine).iter().any(|owner| owner.starts_with(&own))
        });
        stuck
    }

    /// kill -9.
    fn end(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// What a program is told that is started in another way: `run` is what a login gives, and `temporary` may be one's own.
fn knows_only(command: &mut Command, machine: &Machine, places: &[&str]) {
    for (variable, place) in [("XDG_RUNTIME_DIR", "run"), ("TMPDIR", "temporary")] {
        if !places.contains(&place) {
            let elsewhere = machine.path(&format!("another {place}"));
            DirBuilder::new().recursive(true).mode(0o700).create(&elsewhere).unwrap();
            command.env(variable, elsewhere);
        }
    }
}

/// What is written in the locks of accounts.
fn owners(machine: &Machine) -> Vec<String> {
    let temporary = format!("temporary/darkslide-{}", machine.folder.path().metadata().unwrap().uid());
    let folders = ["run/darkslide", &temporary].map(|folder| machine.path(folder));
    let files = folders.iter().filter_map(|folder| folder.read_dir().ok()).flatten();
    files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

/// The same account once more, in another home of profiles.
fn log_in(machine: &Machine, server: &Server) -> Machine {
    let other = Machine::sharing(machine);
    let words = ["login", &server.url, "--email", EMAIL, "--password-file", "password"];
    other.says(&[&words[..], &["--keys", "key-file"]].concat());
    other
}

/// The account has another address of its server in each profile: it is known by its key.
#[test]
fn an_account_is_backed_up_by_one_profile_at_a_time() {
    let machine = Machine::new();
    let server = machine.with_account();
    let pictures = machine.pictures();
    let other = log_in(&machine, &server);
    machine.sign_up(&server, "bernd@example.org", "bernd");
    let pictures = pictures.to_str().unwrap();
    for places in [&["run", "temporary"][..], &["run"], &["temporary"]] {
        let config = fs::read(machine.path("home/default/config.toml")).unwrap();
        let stuck = Stuck::begin(&machine, &server, places);
        let told = other.fails(&["backup", pictures]);
        for part in [
            "another program backs this account up",
            &format!("(process {}, ", stuck.child.id()),
            &format!("with the profile in {}, since 20", machine.path("home/default").display()),
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
        // Nothing of it keeps others waiting: another account, and what only reads.
        machine.says(&["--profile", "bernd", "backup", pictures]);
        other.says(&["list", "files"]);
        stuck.end();
        fs::write(machine.path("home/default/config.toml"), config).unwrap();
    }
    // It was killed, and the system has let go of what it had.
    assert_eq!(other.json(&["backup", pictures])["uploaded"], 3);
}

#[test]
fn the_agent_of_another_profile_waits_for_the_account() {
    let machine = Machine::new();
    let server = machine.with_account();
    let pictures = machine.pictures();
    let other = log_in(&machine, &server);
    write(&other.path("Phone/z.jpg"), &jpeg(77));
    other.says(&["watch", "add", pictures.to_str().unwrap()]);
    other.says(&["sync", "add", "Phone"]);
    let stuck = Stuck::begin(&machine, &server, &["run", "temporary"]);
    let agent = Agent::start(&other, &[]);
    let is_told = |text: &Value| {
        let process = format!("another program backs this account up (process {}", stuck.child.id());
        text.as_str().is_some_and(|text| text.contains(&process))
    };
    let status = agent.until("it waits", |status| is_told(&status["problem"]["what"]));
    assert_eq!((&status["state"], &status["done"]["uploaded"]), (&"retrying".into(), &0.into()), "{status}");
    // A pass that failed makes the command end with 1.
    let sync_status =
        || -> Value { serde_json::from_slice(&other.run(&["sync", "status", "--json"]).stdout).unwrap() };
    until("the sync folder to say so", &other, || is_told(&sync_status()[0]["lastPass"]["failure"]));
    assert!(other.says(&["status"]).contains("another program backs this account up"));
    stuck.end();
    agent.until("all of it is backed up", |status| {
        status["state"] == "idle" && status["done"]["uploaded"] == 3
    });
    until("the sync folder to be in step", &other, || {
        let status = sync_status();
        status[0]["inStep"] == 1 && status[0]["lastPass"]["failure"].is_null()
    });
    agent.stop();
}
