//! A phone, a home with an agent, a server and the web: one of each, with one account.

use crate::machine::{EMAIL, Machine, Server, jpeg};
use darkslide_e2e::syncthing::{Instance, Pair};
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// How often both sides are asked to look at their folders while something is waited for: their watchers let deletions wait for long.
const SCAN_EVERY: Duration = Duration::from_secs(2);

/// What arrives, and what is missed, is believed sooner than people's is.
const IMPATIENT: [&str; 6] = ["--settle-photos", "300", "--settle-videos", "600", "--absence", "300"];

/// What is not complete is waited for, but not for as long as people wait.
const PATIENT_ENOUGH: [&str; 2] = ["--settle-incomplete", "3000"];

/// What stays in a folder without being a picture.
const FURNITURE: [&str; 3] = [".darkslide-folder", ".stfolder", ".stversions"];

/// Bytes of the smallest [`picture`].
const SMALLEST: i64 = 3000;

/// A JPEG that is told from all others by its length, so that lists tell which it is.
pub(crate) fn picture(number: i64) -> Vec<u8> {
    let mut bytes = jpeg(number.to_le_bytes()[0]);
    let (length, end) = (usize::try_from(SMALLEST + number).unwrap(), bytes.len() - 2);
    bytes.splice(end..end, std::iter::repeat_n(0x20, length - bytes.len()));
    bytes
}

/// Which picture has so many bytes; what is shorter than all of them is none, and not the end of one either.
fn number_of(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap() - SMALLEST
}

/// Everything that there is.
pub(crate) struct World {
    pub(crate) machine: Machine,
    pub(crate) pair: Pair,
    pub(crate) url: String,
    server: Option<Server>,
    agent: RefCell<Option<Child>>,
    /// Every file that the vault was ever seen to have.
    seen: RefCell<BTreeSet<i64>>,
    /// What it came to last.
    state: RefCell<State>,
    scanned: Cell<Option<Instant>>,
}

/// Where pictures are, by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// In both folders, by name.
    pub(crate) files: BTreeMap<String, i64>,
    /// Live in the vault.
    pub(crate) live: BTreeSet<i64>,
    /// In the vault's trash.
    pub(crate) trash: BTreeSet<i64>,
}

/// A folder with these files, with all of them live in the vault and nothing else in it. Hidden ones are not.
pub(crate) fn files(list: &[(&str, i64)]) -> State {
    let files: BTreeMap<String, i64> =
        list.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
    let live = files.iter().filter(|(name, _)| !is_hidden(name)).map(|(_, number)| *number).collect();
    State { files, live, trash: BTreeSet::new() }
}

/// Whether a file is none that is synchronised.
fn is_hidden(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|name| name.starts_with('.'))
}

impl State {
    /// With these in the vault's trash.
    pub(crate) fn trash(mut self, numbers: impl IntoIterator<Item = i64>) -> Self {
        self.trash.extend(numbers);
        self
    }

    /// With these in the vault and in no folder.
    pub(crate) fn vault_alone(mut self, numbers: impl IntoIterator<Item = i64>) -> Self {
        self.live.extend(numbers);
        self
    }

    /// With these in the folders and not in the vault.
    pub(crate) fn folders_alone(mut self, numbers: impl IntoIterator<Item = i64>) -> Self {
        for number in numbers {
            self.live.remove(&number);
        }
        self
    }
}

impl World {
    /// With an empty folder, and the agent running.
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// The same, with the folder added as these flags say.
    pub(crate) fn with(flags: &[&str]) -> Self {
        let world = Self::before_sync();
        world.add_folder(flags);
        world.start_agent();
        world
    }

    /// Everything but the sync folder and the agent.
    pub(crate) fn before_sync() -> Self {
        let machine = Machine::new();
        let server = machine.with_account();
        let folder = machine.path("sync/owner/Camera");
        fs::create_dir_all(&folder).unwrap();
        let world = Self {
            pair: Pair::start_at(&folder),
            url: server.url.clone(),
            server: Some(server),
            agent: RefCell::new(None),
            seen: RefCell::default(),
            state: RefCell::default(),
            scanned: Cell::new(None),
            machine,
        };
        world.sign_in("web");
        world
    }

    /// Another client of the account, or the same one after it has lost everything.
    pub(crate) fn sign_in(&self, profile: &str) {
        let words = ["login", &self.url, "--email", EMAIL, "--password-file", "password"];
        self.machine.says(&[&words[..], &["--keys", "key-file", "--profile", profile]].concat());
    }

    pub(crate) fn add_folder(&self, flags: &[&str]) {
        let folder = self.folder();
        let words = ["sync", "add", folder.to_str().unwrap()];
        self.machine.says(&[&words[..], flags].concat());
    }

    /// The folder at home.
    pub(crate) fn folder(&self) -> PathBuf {
        self.machine.path("sync/owner/Camera")
    }

    /// Starts the agent with the tests' patience.
    pub(crate) fn start_agent(&self) {
        self.start_agent_with(&PATIENT_ENOUGH);
    }

    pub(crate) fn start_agent_with(&self, flags: &[&str]) {
        let words = [&["agent", "run", "--no-notifications"], &IMPATIENT[..], flags].concat();
        let mut command = self.machine.command(&words);
        let terminal = File::options().create(true).append(true).open(self.machine.path("terminal")).unwrap();
        let child = command.stdout(Stdio::null()).stderr(terminal).spawn().unwrap();
        assert!(self.agent.replace(Some(child)).is_none(), "one agent at a time");
    }

    /// Ends the agent, and waits until it has.
    pub(crate) fn stop_agent(&self) {
        let mut child = self.agent.take().expect("the agent runs");
        self.machine.says(&["agent", "stop"]);
        assert!(child.wait().unwrap().success());
    }

    /// kill -9.
    pub(crate) fn kill_agent(&self) {
        let mut child = self.agent.take().expect("the agent runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Takes the server away.
    pub(crate) fn stop_server(&mut self) {
        drop(self.server.take().expect("the server runs"));
    }

    /// Starts it again where it was.
    pub(crate) fn start_server(&mut self) {
        let address = self.url.trim_start_matches("http://").to_owned();
        self.server = Some(self.machine.serve_at(&address));
    }

    /// What another client answers.
    pub(crate) fn web(&self, words: &[&str]) -> Value {
        self.machine.json(&[words, &["--profile", "web"]].concat())
    }

    /// Moves a picture into the trash, as a person does in the web app.
    pub(crate) fn web_deletes(&self, number: i64) {
        let file = self.file_of(number);
        self.web(&["trash", "add", &file.to_string()]);
    }

    /// Moves several there at once.
    pub(crate) fn web_deletes_all(&self, numbers: impl IntoIterator<Item = i64>) {
        let files: Vec<String> = numbers.into_iter().map(|number| self.file_of(number).to_string()).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        self.web(&[&["trash", "add"], &files[..]].concat());
    }

    /// Takes it out again.
    pub(crate) fn web_restores(&self, number: i64) {
        let trash = self.listed(&["trash", "list"], "trash");
        let file = trash.get(&number).unwrap_or_else(|| panic!("{number} is not in the trash: {trash:?}"));
        self.web(&["trash", "restore", &file.to_string()]);
    }

    /// Which file of the vault a picture is.
    pub(crate) fn file_of(&self, number: i64) -> i64 {
        let files = self.listed(&["list"], "files");
        *files.get(&number).unwrap_or_else(|| panic!("{number} is not in the vault: {files:?}"))
    }

    /// Files by the numbers of their pictures, as another client sees them. No picture is there twice.
    fn listed(&self, words: &[&str], member: &str) -> BTreeMap<i64, i64> {
        let answer = self.web(words);
        let mut files = BTreeMap::new();
        for entry in answer[member].as_array().unwrap() {
            let (bytes, id) = (entry["bytes"].as_u64().unwrap(), entry["id"].as_i64().unwrap());
            self.seen.borrow_mut().insert(id);
            let before = files.insert(number_of(bytes), id);
            assert_eq!(before, None, "a picture is there twice: {answer}");
        }
        files
    }

    /// What there is: the phone's files, home's, and the vault.
    fn look(&self, expected: &State) -> Result<(), String> {
        for side in [&self.pair.phone, &self.pair.home] {
            let found = tree(side);
            if found != expected.files {
                return Err(format!(
                    "{} has {found:?} and not {:?}",
                    side.folder().display(),
                    expected.files
                ));
            }
        }
        let (live, trash) = self.vault();
        if (&live, &trash) != (&expected.live, &expected.trash) {
            return Err(format!(
                "the vault has {live:?} with {trash:?} in its trash, and not {:?} with {:?}",
                expected.live, expected.trash
            ));
        }
        Ok(())
    }

    /// Waits until both folders and the vault are as they should be, and the agent, if it runs, has written that down: what it has not
    /// is nothing that both sides had, and would come back if it were deleted while no agent runs.
    pub(crate) fn comes_to(&self, what: &str, expected: &State) {
        self.scanned.set(None);
        self.pair.until(what, || {
            self.scan_now_and_then();
            let looked = self.look(expected).and_then(|()| self.look_at_agreement(expected));
            looked.map_err(|instead| format!("{instead}; the agent says: {}", self.agent_says()))
        });
        self.state.replace(expected.clone());
    }

    fn look_at_agreement(&self, expected: &State) -> Result<(), String> {
        if self.agent.borrow().is_none() {
            return Ok(());
        }
        let is_agreed = |name: &str, number: &i64| !is_hidden(name) && expected.live.contains(number);
        let wanted = expected.files.iter().filter(|(name, number)| is_agreed(name, number)).count() as u64;
        let status = self.sync_status();
        let has_all = status[0]["inStep"].as_u64().is_some_and(|in_step| in_step >= wanted);
        has_all.then_some(()).ok_or_else(|| format!("{wanted} are not in step: {status}"))
    }

    /// Waits until both folders have the same, and the vault what they have. Says what that is.
    pub(crate) fn comes_to_rest(&self, deeds: &[String]) -> State {
        self.scanned.set(None);
        let found = self.pair.until("rest", || {
            self.scan_now_and_then();
            let files = tree(&self.pair.home);
            let (live, trash) = self.vault();
            let found = State { live: files.values().copied().collect(), trash, files };
            let is_at_rest = found.live == live && self.sync_status()[0]["lastPass"]["waitingCount"] == 0;
            let instead = || format!("{found:?}, live {live:?}, after {deeds:#?}; {}", self.agent_says());
            if !is_at_rest {
                return Err(instead());
            }
            self.look(&found).map(|()| found.clone()).map_err(|what| format!("{what}; {}", instead()))
        });
        self.state.replace(found.clone());
        found
    }

    /// What the vault has: live, and in its trash.
    pub(crate) fn vault(&self) -> (BTreeSet<i64>, BTreeSet<i64>) {
        let numbers = |words: &[&str], member: &str| self.listed(words, member).into_keys().collect();
        (numbers(&["list"], "files"), numbers(&["trash", "list"], "trash"))
    }

    /// Deletes what is in `list`, or restores what is in `trash`; somebody else may have been faster.
    pub(crate) fn web_tries(&self, from: &str, number: i64) -> bool {
        let (words, member, verb): (&[&str], _, _) = match from {
            "trash" => (&["trash", "list"], "trash", "restore"),
            _ => (&["list"], "files", "add"),
        };
        let Some(file) = self.listed(words, member).remove(&number) else { return false };
        let output = self.machine.run(&["trash", verb, &file.to_string(), "--profile", "web"]);
        output.status.success()
    }

    /// Waits until the vault has these and no others, and home has as many.
    pub(crate) fn until_live(&self, what: &str, numbers: &[i64]) {
        let expected: BTreeSet<i64> = numbers.iter().copied().collect();
        self.pair.until(what, || {
            let live: BTreeSet<i64> = self.listed(&["list"], "files").into_keys().collect();
            let home: BTreeSet<i64> = tree(&self.pair.home).into_values().collect();
            let is_there = live == expected && home == expected;
            is_there.then_some(()).ok_or_else(|| format!("the vault has {live:?}, home has {home:?}"))
        });
    }

    /// Empties the trash, as its owner may; what was in it is not missed at the end.
    pub(crate) fn purge_trash(&self) {
        let purged = self.listed(&["trash", "list"], "trash");
        self.web(&["trash", "empty", "--yes"]);
        self.seen.borrow_mut().retain(|id| !purged.values().any(|other| other == id));
    }

    /// Names and numbers of what is at home.
    pub(crate) fn names_at_home(&self) -> Vec<(String, i64)> {
        tree(&self.pair.home).into_iter().collect()
    }

    fn scan_now_and_then(&self) {
        if self.scanned.get().is_some_and(|at| at.elapsed() < SCAN_EVERY) {
            return;
        }
        for side in [&self.pair.phone, &self.pair.home].into_iter().filter(|side| side.is_running()) {
            side.scan();
        }
        self.scanned.set(Some(Instant::now()));
    }

    /// Waits for something that the list of sync folders says of this one.
    pub(crate) fn until_status(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        self.pair.until(what, || {
            let status = self.sync_status();
            if is_so(&status) { Ok(status) } else { Err(format!("{status}; {}", self.agent_says())) }
        })
    }

    /// What `sync status` says.
    pub(crate) fn sync_status(&self) -> Value {
        self.answer(&["sync", "status"])
    }

    fn agent_says(&self) -> String {
        let output = self.machine.run(&["agent", "logs"]);
        let terminal = fs::read_to_string(self.machine.path("terminal")).unwrap_or_default();
        format!("{}{terminal}", String::from_utf8_lossy(&output.stdout))
    }

    /// One pass without the agent.
    pub(crate) fn pass(&self) -> Value {
        self.answer(&[&["sync", "run"], &IMPATIENT[..], &PATIENT_ENOUGH].concat())
    }

    /// What a command answers whose exit status says how things stand.
    fn answer(&self, words: &[&str]) -> Value {
        let output = self.machine.run(&[words, &["--json"]].concat());
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{words:?}: {error}: {out}{err}"))
    }

    /// What is in the local trash.
    pub(crate) fn local_trash(&self) -> BTreeSet<i64> {
        let list = self.machine.json(&["sync", "trash", "list"]);
        let bytes = |told: &Value| told["entry"]["bytes"].as_u64().unwrap();
        list.as_array().unwrap().iter().map(|told| number_of(bytes(told))).collect()
    }

    /// What must hold at the end of every story: it is as it came to be last, and stays so; every byte is right; nothing was purged;
    /// and one more pass does nothing.
    pub(crate) fn ends(&self) {
        self.pair.in_step();
        if self.agent.borrow().is_some() {
            self.stop_agent();
        }
        let expected = self.state.borrow().clone();
        let passes: Vec<Value> = (0..2).map(|_| self.pass()).collect();
        self.pair.in_step();
        self.look(&expected).unwrap_or_else(|instead| panic!("it did not stay: {instead}; {passes:?}"));
        assert_quiet(&passes[1]);
        self.look_at_contents(&expected);
        let there: BTreeSet<i64> = [(&["list"][..], "files"), (&["trash", "list"], "trash")]
            .iter()
            .flat_map(|(words, member)| self.listed(words, member).into_values())
            .collect();
        let purged: Vec<i64> = self.seen.borrow().difference(&there).copied().collect();
        assert!(purged.is_empty(), "files {purged:?} were purged");
    }

    fn look_at_contents(&self, expected: &State) {
        for side in [&self.pair.phone, &self.pair.home] {
            for (name, number) in &expected.files {
                let content = fs::read(side.folder().join(name)).unwrap();
                assert!(content == picture(*number), "{name} is altered in {}", side.folder().display());
            }
        }
        let back = self.machine.path("back");
        self.web(&["restore", "--to", back.to_str().unwrap()]);
        let contents: BTreeSet<Vec<u8>> =
            crate::machine::tree(&back).into_values().map(|(content, _)| content).collect();
        let wanted: BTreeSet<Vec<u8>> = expected.live.iter().map(|number| picture(*number)).collect();
        assert!(contents == wanted, "what comes back from the vault is not what was put into it");
        fs::remove_dir_all(back).unwrap_or_default();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut child) = self.agent.take() {
            let _gone = child.kill();
            let _gone = child.wait();
        }
    }
}

/// Whether a pass changed nothing, anywhere, and has nothing left to do.
pub(crate) fn assert_quiet(answer: &Value) {
    for folder in answer.as_array().unwrap() {
        let report = &folder["report"];
        for done in
            ["uploaded", "linked", "restored", "materialised", "trashedLocal", "trashedRemote", "renamed"]
        {
            assert_eq!(report[done], 0, "a further pass did something: {answer}");
        }
    }
}

/// Whether it is what Syncthing has received of a file so far. Where the file changed meanwhile, that may lie there for a day.
fn is_part(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(".syncthing.") && name.ends_with(".tmp")
}

/// Pictures in a folder and in the folders there, by name.
pub(crate) fn tree(side: &Instance) -> BTreeMap<String, i64> {
    let mut found = BTreeMap::new();
    let mut folders = vec![side.folder().to_owned()];
    while let Some(folder) = folders.pop() {
        // What goes away meanwhile is not there.
        for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
            let path = entry.path();
            let name = path.strip_prefix(side.folder()).unwrap().to_str().unwrap().to_owned();
            if FURNITURE.contains(&name.as_str()) || is_part(&path) {
                continue;
            }
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(path);
            } else {
                found.insert(name, number_of(metadata.len()));
            }
        }
    }
    found
}

/// What a person does on one side.
pub(crate) trait Hands {
    fn folder_path(&self) -> &Path;

    /// Puts a picture there, or in the place of another.
    fn put(&self, name: &str, number: i64) {
        let path = self.folder_path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, picture(number)).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        let to = self.folder_path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::rename(self.folder_path().join(from), to).unwrap();
    }

    fn delete(&self, name: &str) {
        fs::remove_file(self.folder_path().join(name)).unwrap();
    }
}

impl Hands for Instance {
    fn folder_path(&self) -> &Path {
        self.folder()
    }
}
