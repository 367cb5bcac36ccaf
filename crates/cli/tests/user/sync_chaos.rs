//! Agent and server killed at any moment, while both sides change. Afterwards whatever nobody deleted or edited is on both sides, both sides are
//! the same, and whatever was deleted once the vault had it is in a trash, if it did not come back.
//!
//! `DARKSLIDE_CHAOS_SECONDS` is for how long (15), `DARKSLIDE_CHAOS_SEED` for which days.

#![expect(
    clippy::indexing_slicing,
    reason = "an answer without what a test looks for fails the test right there"
)]

use crate::chance::Chance;
use crate::machine::{EMAIL, Machine, Server, jpeg, tree};
use darkslide_client::catalog::Catalog;
use darkslide_client::folder::reconcile::Base;
use darkslide_e2e::vault::content_hash;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const QUICK: [&str; 8] =
    ["--settle-photos", "100", "--settle-videos", "100", "--settle-incomplete", "300", "--absence", "100"];

/// A process that is killed with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

struct Day {
    machine: Machine,
    chance: Chance,
    address: String,
    server: Option<Killed>,
    agent: Option<Killed>,
    number: u32,
    /// What nobody deleted or edited.
    kept: BTreeSet<u32>,
    /// What was deleted from the folder when both sides had it, and what was deleted elsewhere.
    deleted: BTreeSet<u32>,
    /// What both sides had, as the agent noted it.
    catalog: Catalog,
    runtime: Runtime,
    /// What was ever under a name.
    history: BTreeMap<String, BTreeSet<u32>>,
    deeds: BTreeMap<&'static str, u32>,
}

fn picture(number: u32) -> Vec<u8> {
    let mut bytes = jpeg(0);
    let end = bytes.len() - 2;
    bytes.splice(end..end, format!("<{number}>").into_bytes());
    bytes
}

fn number_of(bytes: &[u8]) -> u32 {
    let text = String::from_utf8_lossy(bytes.get(bytes.len() - 16..).unwrap());
    text.rsplit('<').next().unwrap().split('>').next().unwrap().parse().unwrap()
}

fn contents(files: BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)>) -> BTreeSet<u32> {
    let pictures =
        files.into_iter().filter(|(path, _)| path.extension().is_some_and(|extension| extension == "jpg"));
    pictures.map(|(_, (bytes, _))| number_of(&bytes)).collect()
}

impl Day {
    fn new(seed: u64) -> Self {
        let machine = Machine::new();
        fs::create_dir(machine.path("Phone")).unwrap();
        let server: Server = machine.with_account();
        let address = server.url.trim_start_matches("http://").to_owned();
        let words = ["--profile", "web", "login", &server.url, "--email", EMAIL];
        machine.says(&[&words[..], &["--password-file", "password", "--keys", "key-file"]].concat());
        machine.says(&["sync", "add", "Phone"]);
        drop(server);
        let runtime = Runtime::new().unwrap();
        let catalog = runtime.block_on(Catalog::open(&machine.path("home/default/catalog.sqlite"))).unwrap();
        let mut day = Self {
            machine,
            chance: Chance(seed),
            address,
            server: None,
            agent: None,
            number: 0,
            kept: BTreeSet::new(),
            deleted: BTreeSet::new(),
            catalog,
            runtime,
            history: BTreeMap::new(),
            deeds: BTreeMap::new(),
        };
        day.start_server();
        day.start_agent();
        day
    }

    fn start_server(&mut self) {
        self.server = None;
        let words = ["serve", "--listen", &self.address, "--data-dir", "server"];
        let mut command = self.machine.command(&words);
        self.server = Some(Killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()));
    }

    fn start_agent(&mut self) {
        self.agent = None;
        let words = [&["agent", "run", "--no-notifications"], &QUICK[..]].concat();
        let mut command = self.machine.command(&words);
        self.agent = Some(Killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()));
    }

    fn folder(&self) -> PathBuf {
        self.machine.path("Phone")
    }

    /// A picture in the folder, by chance.
    fn some(&mut self) -> Option<(String, u32)> {
        // The agent may take one away between two looks.
        let read =
            |entry: fs::DirEntry| Some((entry.file_name().into_string().ok()?, fs::read(entry.path()).ok()?));
        let mut files: Vec<_> = fs::read_dir(self.folder())
            .unwrap()
            .filter_map(|entry| read(entry.unwrap()))
            .filter(|(name, _)| !name.starts_with('.'))
            .collect();
        files.sort();
        let count = files.len();
        // So few that never all of them are gone.
        if count < 12 {
            return None;
        }
        let (name, bytes) = &files[self.chance.below(count)];
        Some((name.clone(), number_of(bytes)))
    }

    /// Puts a new picture under a name, whole at once.
    fn put(&mut self, name: &str) {
        self.number += 1;
        let staged = self.folder().join(".syncthing.staged.tmp");
        fs::write(&staged, picture(self.number)).unwrap();
        fs::rename(&staged, self.folder().join(name)).unwrap();
        self.kept.insert(self.number);
        self.history.entry(name.to_owned()).or_default().insert(self.number);
    }

    fn deed(&mut self) {
        let deed = match (self.chance.below(20), self.some()) {
            (0..=8, _) | (_, None) => {
                let name = format!("{}.jpg", self.number + 1);
                self.put(&name);
                "added"
            }
            (9, Some((name, number))) => {
                self.kept.remove(&number);
                self.deleted.remove(&number);
                self.put(&name);
                "edited"
            }
            (10..=11, Some((name, number))) => {
                let to = format!("renamed {} {number}.jpg", self.chance.below(1000));
                // The agent may have taken it away in this very moment.
                if fs::rename(self.folder().join(&name), self.folder().join(&to)).is_ok() {
                    self.history.entry(to).or_default().insert(number);
                }
                "renamed"
            }
            (12, Some((name, number))) => {
                self.kept.remove(&number);
                if self.both_have(number) {
                    self.deleted.insert(number);
                }
                let _gone_already = fs::remove_file(self.folder().join(name));
                "deleted in the folder"
            }
            (13, Some(_)) => {
                self.delete_elsewhere();
                "deleted elsewhere"
            }
            (14..=16, Some(_)) => {
                // So many go within the hour that the owner is asked.
                let _held_or_not = self.machine.run(&["sync", "approve", "Phone", "--yes"]);
                self.start_agent();
                "agents killed"
            }
            (_, Some(_)) => {
                self.server = None;
                std::thread::sleep(Duration::from_millis(self.chance.below(300) as u64));
                self.start_server();
                "servers killed"
            }
        };
        *self.deeds.entry(deed).or_default() += 1;
    }

    fn delete_elsewhere(&mut self) {
        let output = self.machine.run(&["--profile", "web", "list", "files", "--json"]);
        let Ok(listed) = serde_json::from_slice::<serde_json::Value>(&output.stdout) else { return };
        let Some(files) = listed["files"].as_array().filter(|files| files.len() > 12) else { return };
        let file = &files[self.chance.below(files.len())];
        // Whether it was done, nobody knows when the server is killed meanwhile.
        let name = file["name"].as_str().unwrap();
        let numbers = self.history.get(name).cloned().unwrap_or_default();
        // Which picture it is, is known where the name never had another one.
        self.deleted.extend(numbers.iter().filter(|number| numbers.len() == 1 && self.kept.contains(number)));
        self.kept.retain(|number| !numbers.contains(number));
        let _done_or_not = self.machine.run(&["--profile", "web", "trash", "add", &file["id"].to_string()]);
    }

    /// Whether it was written down that folder and vault have a picture.
    fn both_have(&self, number: u32) -> bool {
        let content = content_hash(&picture(number));
        let folders = self.runtime.block_on(self.catalog.sync_folders()).unwrap();
        let base = self.runtime.block_on(self.catalog.sync_base(folders[0].id)).unwrap();
        base.values().any(|row| matches!(row.base, Base::Synced(agreed) if agreed.content == content))
    }

    /// What is in the vault's trash or in the local one, which is empty afterwards: the vault's goes back into the vault.
    fn in_trashes(&self) -> BTreeSet<u32> {
        let local = self.machine.json(&["sync", "trash", "list"]);
        let local = local.as_array().unwrap().iter().map(|told| told["entry"]["file"].as_str().unwrap());
        let mut found: BTreeSet<u32> = local.map(|file| number_of(&fs::read(file).unwrap())).collect();
        let vault = self.machine.json(&["--profile", "web", "trash", "list"]);
        let ids: Vec<String> =
            vault["trash"].as_array().unwrap().iter().map(|file| file["id"].to_string()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        for ids in ids.chunks(100) {
            self.machine.says(&[&["--profile", "web", "trash", "restore"], ids].concat());
        }
        self.machine.says(&["--profile", "web", "restore", "--to", "out of the trash"]);
        found.extend(contents(tree(&self.machine.path("out of the trash"))));
        found
    }

    /// Lets both sides come to rest.
    fn rest(&mut self) {
        self.agent = None;
        self.start_server();
        let words = [&["sync", "run", "--json"], &QUICK[..]].concat();
        for _ in 0..20 {
            let output = self.machine.run(&words);
            let Ok(answer) = serde_json::from_slice::<serde_json::Value>(&output.stdout) else {
                // The server is not there yet.
                std::thread::sleep(Duration::from_millis(200));
                continue;
            };
            let report = &answer[0]["report"];
            if !report["hold"].is_null() {
                self.machine.says(&["sync", "approve", "Phone", "--yes"]);
                continue;
            }
            let done = [
                "uploaded",
                "linked",
                "restored",
                "materialised",
                "trashedLocal",
                "trashedRemote",
                "renamed",
            ];
            if output.status.success() && done.iter().all(|what| report[*what] == 0) {
                return;
            }
        }
        panic!("it does not come to rest");
    }
}

/// Shows S6.
#[test]
#[expect(clippy::print_stderr, reason = "figures, for whoever runs it for long")]
fn whoever_is_killed_at_whatever_moment_nothing_is_lost() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seconds = number("DARKSLIDE_CHAOS_SECONDS").unwrap_or(15);
    let mut day = Day::new(number("DARKSLIDE_CHAOS_SEED").unwrap_or(1));
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(seconds) {
        day.deed();
        let pause = day.chance.below(400) as u64;
        std::thread::sleep(Duration::from_millis(pause));
    }
    day.rest();
    let here = contents(tree(&day.folder()));
    day.machine.says(&["--profile", "web", "restore", "--to", "out"]);
    let there = contents(tree(&day.machine.path("out")));
    eprintln!("{seconds} s: {:?}; {} pictures at the end, {} kept", day.deeds, here.len(), day.kept.len());
    let lost: Vec<_> =
        day.kept.iter().filter(|number| !here.contains(number) || !there.contains(number)).collect();
    assert!(lost.is_empty(), "{lost:?} of {:?}", day.deeds);
    assert_eq!(here, there);
    let trashed = day.in_trashes();
    let gone: Vec<_> =
        day.deleted.iter().filter(|number| !here.contains(number) && !trashed.contains(number)).collect();
    assert!(gone.is_empty(), "{gone:?} of {:?}", day.deleted);
}
