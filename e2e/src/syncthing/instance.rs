//! One Syncthing: a process with keys, a database and a folder of its own, which can go away and come back.

use super::config::{FOLDER, Itself, LISTEN, config};
use super::rest::Rest;
use crate::process::terminate;
use reqwest::Method;
use serde_json::{Value, json};
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long a process may take to answer, or to end.
const START_OR_END: Duration = Duration::from_secs(30);

/// How often it is asked meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// A Syncthing, running or not.
pub struct Instance {
    name: &'static str,
    /// Keys, configuration, database, the socket of the REST API, and the log.
    home: TempDir,
    folder: PathBuf,
    device: String,
    rest: Rest,
    runtime: Rc<Runtime>,
    child: Option<Child>,
    /// The last event that was heard of.
    heard: Cell<u64>,
}

impl Instance {
    /// Makes keys. `folder` is what it keeps alike with another.
    pub(super) fn generate(name: &'static str, folder: &Path, runtime: &Rc<Runtime>) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let home = tempfile::Builder::new().prefix("darkslide-syncthing-").tempdir().unwrap();
        run(&["generate", "--no-default-folder", "--home"], home.path());
        let device = run(&["serve", "--device-id", "--home"], home.path()).trim().to_owned();
        let rest = Rest::new(&home.path().join("rest"));
        let (folder, runtime) = (folder.to_owned(), Rc::clone(runtime));
        Self { name, home, folder, device, rest, runtime, child: None, heard: Cell::new(0) }
    }

    /// Says with whom it shares the folder.
    pub(super) fn configure(&self, other: &Self) {
        let socket = self.home.path().join("rest");
        let itself = Itself { name: self.name, device: &self.device, socket: &socket, folder: &self.folder };
        std::fs::write(self.home.path().join("config.xml"), config(&itself, &other.device)).unwrap();
    }

    /// What is kept alike.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether a process runs.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Starts the process and waits until it answers and has looked at its folder.
    ///
    /// `STMONITORED` makes it one process: without that it is the child of another, and would survive it. `STHASHING` spares it
    /// the comparison of two ways to hash, which takes longer than all the rest of the start.
    pub(super) fn start(&mut self) {
        assert!(self.child.is_none(), "one process at a time");
        // What a process that was killed left behind.
        let _absent = std::fs::remove_file(self.home.path().join("rest"));
        let log = || OpenOptions::new().create(true).append(true).open(self.home.path().join("log")).unwrap();
        let log: [File; 2] = [log(), log()];
        let [out, err] = log;
        let child = Command::new("syncthing")
            .args(["serve", "--no-browser", "--no-restart", "--no-upgrade", "--no-default-folder", "--home"])
            .arg(self.home.path())
            .env("STMONITORED", "yes")
            .env("STHASHING", "minio")
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn();
        self.child = Some(child.expect("syncthing starts"));
        self.heard.set(0);
        self.until("answers", |instance| instance.ask("system/ping").is_ok());
        self.until("has looked at its folder", |instance| {
            let status = instance.status();
            status["state"] == "idle" && status["error"].as_str().is_none_or(str::is_empty)
        });
    }

    /// Asks the process to end, and waits until it did: this side is off.
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        terminate(child.id());
        let begin = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if begin.elapsed() > START_OR_END {
                drop(child.kill());
                panic!("{} did not end in {START_OR_END:?}", self.name);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Forgets all that it knows of versions and of the other side, as after a reinstallation that kept the folder. It must not run.
    ///
    /// A version of a file is the second of its first scan: one that is given again in the same second would be the old one, and what was
    /// deleted after that would stay deleted. So that second is let pass.
    pub fn lose_database(&mut self) {
        assert!(self.child.is_none(), "a database in use cannot be lost");
        std::fs::remove_dir_all(self.home.path().join("index-v0.14.0.db")).unwrap();
        let second = || UNIX_EPOCH.elapsed().expect("it is later than 1970").as_secs();
        let before = second();
        self.until("the second passes", |_| second() > before);
    }

    /// Looks at the whole folder now, and returns when it has.
    pub fn scan(&self) {
        self.send(Method::POST, &format!("db/scan?folder={FOLDER}"), None);
    }

    /// Neither looks nor takes, until [`resume`](Self::resume); the process and its connection stay.
    pub fn pause(&self) {
        self.set_folder(&json!({"paused": true}));
    }

    /// Goes on.
    pub fn resume(&self) {
        self.set_folder(&json!({"paused": false}));
        self.until("goes on", |instance| instance.status()["state"] == "idle");
    }

    /// Keeps what the other side deletes or replaces in `.stversions`.
    pub fn keep_versions(&self) {
        let forever = json!({"type": "trashcan", "params": {"cleanoutDays": "0"}});
        self.set_folder(&json!({"versioning": forever}));
        self.until("keeps versions", |instance| instance.status()["state"] == "idle");
    }

    /// Sends no more than this from now on, in KiB a second.
    pub fn send_slowly(&self, kibibytes: u32) {
        let settings = json!({"maxSendKbps": kibibytes, "limitBandwidthInLan": true});
        self.send(Method::PATCH, "config/options", Some(&settings));
    }

    fn set_folder(&self, settings: &Value) {
        self.send(Method::PATCH, &format!("config/folders/{FOLDER}"), Some(settings));
    }

    /// Where it listens: the port is another one after every start.
    pub(super) fn address(&self) -> String {
        let mut address = None;
        self.until("listens", |instance| {
            let status = instance.get("system/status");
            address =
                status["connectionServiceStatus"][LISTEN]["lanAddresses"][0].as_str().map(str::to_owned);
            address.as_ref().is_some_and(|address| !address.ends_with(":0"))
        });
        address.expect("what was waited for is there")
    }

    /// Says where the other one listens, which is called at once.
    pub(super) fn call_at(&self, other: &Self, address: &str) {
        let settings = json!({"addresses": [address]});
        self.send(Method::PATCH, &format!("config/devices/{}", other.device), Some(&settings));
    }

    /// Hangs up and neither calls the other one nor answers it, or does again.
    pub(super) fn set_apart(&self, other: &Self, is_apart: bool) {
        let verb = if is_apart { "pause" } else { "resume" };
        self.send(Method::POST, &format!("system/{verb}?device={}", other.device), None);
    }

    /// Whether it is connected to the other one.
    pub(super) fn is_connected(&self, other: &Self) -> bool {
        self.get("system/connections")["connections"][&other.device]["connected"] == true
    }

    /// Why it is not done with what it knows of: it still looks, or takes, or lacks something, or believes that the other one does.
    pub(super) fn what_is_left(&self, other: &Self) -> Option<String> {
        let status = self.status();
        if status["state"] != "idle" || status["needTotalItems"] != 0 || status["errors"] != 0 {
            return Some(format!("{}: {status}", self.name));
        }
        let completion = self.get(&format!("db/completion?folder={FOLDER}&device={}", other.device));
        let is_complete = ["needItems", "needDeletes", "needBytes"].iter().all(|what| completion[what] == 0);
        (!is_complete).then(|| format!("{} believes of {}: {completion}", self.name, other.name))
    }

    fn status(&self) -> Value {
        self.ask(&format!("db/status?folder={FOLDER}")).unwrap_or(Value::Null)
    }

    /// Comes when something has happened here; never while no process runs.
    pub(super) async fn news(&self) {
        if self.child.is_none() {
            return std::future::pending().await;
        }
        let Ok(events) = self.rest.get(&format!("events?since={}&timeout=10", self.heard.get())).await else {
            return std::future::pending().await;
        };
        if let Some(last) = events.as_array().and_then(|events| events.last()?["id"].as_u64()) {
            self.heard.set(last);
        }
    }

    /// Waits for something that no event tells.
    fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let begin = Instant::now();
        while !is_so(self) {
            assert!(
                begin.elapsed() < START_OR_END,
                "{}: \"{what}\" did not come in {START_OR_END:?}",
                self.name
            );
            std::thread::sleep(LOOK);
        }
    }

    fn get(&self, path: &str) -> Value {
        self.ask(path).unwrap_or_else(|error| panic!("{} on {path}: {error:?}", self.name))
    }

    fn ask(&self, path: &str) -> Result<Value, reqwest::Error> {
        self.runtime.block_on(self.rest.get(path))
    }

    fn send(&self, method: Method, path: &str, body: Option<&Value>) {
        let answer = self.runtime.block_on(self.rest.call(method, path, body));
        answer.unwrap_or_else(|error| panic!("{} on {path}: {error:?}", self.name));
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
        self.show_what_went_wrong();
    }
}

impl Instance {
    /// A failing test shows what Syncthing had to say.
    #[expect(clippy::print_stderr, reason = "a failing test explains itself on the terminal")]
    fn show_what_went_wrong(&self) {
        if !std::thread::panicking() {
            return;
        }
        let log = std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(40)) {
            eprintln!("{}: {line}", self.name);
        }
    }
}

/// What a command that ends by itself prints.
fn run(arguments: &[&str], home: &Path) -> String {
    let output = Command::new("syncthing").args(arguments).arg(home).stdin(Stdio::null()).output();
    let output = output.expect("syncthing is installed: `cargo xtask test` does that");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
