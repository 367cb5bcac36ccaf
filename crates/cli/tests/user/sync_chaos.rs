//! Agent and server killed at any moment, while both sides change. Now and then all is let come to rest, and each picture must be where what was done to
//! it says ([`Ledger`]): what was deleted has reached the other side, or stands on hold and does so once that is approved; what nobody deleted is on both
//! sides, as it was edited last; and what both sides once had can be brought back.
//!
//! `DARKSLIDE_CHAOS_SECONDS` is for how long (15), `DARKSLIDE_CHAOS_SEED` for which days.

#![expect(
    clippy::indexing_slicing,
    reason = "an answer without what a test looks for fails the test right there"
)]

use crate::chance::Chance;
use crate::machine::{EMAIL, Machine, Server, jpeg, tree};
use crate::sync_ledger::{Expected, Ledger, Number, Side};
use darkslide_e2e::vault::content_hash;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const QUICK: [&str; 8] =
    ["--settle-photos", "100", "--settle-videos", "100", "--settle-incomplete", "300", "--absence", "100"];

/// Pictures that both sides have when the day begins.
const FIRST: usize = 40;

/// So many go at once at the end of it that the owner is asked.
const AT_ONCE: usize = 24;

/// So many stay that never all of them are gone.
const LEFT: usize = 12;

/// Runs until all must be at rest.
const RUNS_MAX: usize = 40;

/// Bytes of pictures: each has a length of its own, by which lists name it.
const LENGTHS: u32 = 1 << 14;

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
    ledger: Ledger,
    /// Names are used once.
    names: u32,
    /// What was taken out of the folder: where it is, and the name that it had.
    taken: BTreeMap<Number, (PathBuf, String)>,
    /// What others were edited to.
    edits: BTreeSet<Number>,
    /// The pictures of the other client's own disk, each by its path there.
    elsewhere: BTreeMap<String, Number>,
    deeds: BTreeMap<&'static str, u32>,
}

fn length_of(number: Number) -> u64 {
    // Later ones are not longer: a length says nothing of an age.
    u64::from(4096 + number.wrapping_mul(7919) % LENGTHS)
}

/// All were taken at one moment: what is written to a place later counts as an edit of what was there.
fn picture(number: Number) -> Vec<u8> {
    let entry = |tag: u16, kind: u16, count: u32, value: u32| {
        let [tag, kind] = [tag, kind].map(u16::to_le_bytes);
        [&1_u16.to_le_bytes()[..], &tag, &kind, &count.to_le_bytes(), &value.to_le_bytes(), &[0; 4]].concat()
    };
    let (directory, date) = (entry(0x8769, 4, 1, 26), entry(0x9003, 2, 20, 44));
    let exif = [b"Exif\0\0II*\0\x08\0\0\0", &directory[..], &date, b"2019:07:20 16:17:18\0"].concat();
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    let (plain, said) = (jpeg(0), format!("<{number}>"));
    let (whole, end) = plain.split_at(plain.len() - 2);
    let mut bytes = [&whole[..2], &[0xff, 0xe1], &length, &exif, &whole[2..]].concat();
    bytes.resize(usize::try_from(length_of(number)).unwrap() - said.len() - end.len(), 7);
    [&bytes, said.as_bytes(), end].concat()
}

/// Which picture these bytes are, all of them.
fn number_of(bytes: &[u8]) -> Number {
    let text = String::from_utf8_lossy(bytes.get(bytes.len() - 16..).unwrap());
    let number = text.rsplit('<').next().unwrap().split('>').next().unwrap().parse().unwrap();
    assert!(bytes == picture(number), "picture {number} is not what it was");
    number
}

fn is_picture(name: &str) -> bool {
    name.strip_suffix(".jpg").is_some_and(|stem| !stem.starts_with('.'))
}

impl Day {
    fn new(seed: u64) -> Self {
        let machine = Machine::new();
        for folder in ["Phone", "taken", "elsewhere"] {
            fs::create_dir(machine.path(folder)).unwrap();
        }
        let server: Server = machine.with_account();
        let address = server.url.trim_start_matches("http://").to_owned();
        let words = ["--profile", "web", "login", &server.url, "--email", EMAIL];
        machine.says(&[&words[..], &["--password-file", "password", "--keys", "key-file"]].concat());
        machine.says(&["sync", "add", "Phone"]);
        drop(server);
        let mut day = Self {
            machine,
            chance: Chance(seed),
            address,
            server: None,
            agent: None,
            ledger: Ledger::default(),
            names: 0,
            taken: BTreeMap::new(),
            edits: BTreeSet::new(),
            elsewhere: BTreeMap::new(),
            deeds: BTreeMap::new(),
        };
        for _ in 0..FIRST {
            day.add();
        }
        day.rest();
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

    fn new_number(&self) -> Number {
        let number = u32::try_from(self.ledger.len()).unwrap() + 1;
        assert!(number < LENGTHS, "so many have no length of their own");
        number
    }

    /// A name that nothing ever had.
    fn new_name(&mut self, what: &str) -> String {
        self.names += 1;
        format!("{what} {}.jpg", self.names)
    }

    /// The name of a picture in the folder, by chance.
    fn some(&mut self) -> Option<String> {
        let entries = fs::read_dir(self.folder()).unwrap().map(Result::unwrap);
        let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|name| is_picture(name));
        names.sort();
        if names.len() < LEFT { None } else { self.chance.one_of(&names).cloned() }
    }

    /// Puts the file of a new picture where only a rename leads from, whole.
    fn stage(&self, number: Number) -> PathBuf {
        let staged = self.folder().join(".syncthing.staged.tmp");
        fs::write(&staged, picture(number)).unwrap();
        staged
    }

    fn add(&mut self) {
        let (number, name) = (self.new_number(), self.new_name("added"));
        fs::rename(self.stage(number), self.folder().join(name)).unwrap();
        self.ledger.added(number);
    }

    /// Another picture under the name of one that is there.
    fn edit(&mut self, name: &str) {
        // The agent may take it away, or bring another one, in this very moment.
        let Ok(mut before) = File::open(self.folder().join(name)) else { return };
        let mut bytes = Vec::new();
        before.read_to_end(&mut bytes).unwrap();
        let (from, to) = (number_of(&bytes), self.new_number());
        fs::rename(self.stage(to), self.folder().join(name)).unwrap();
        let is_replaced = before.metadata().unwrap().nlink() == 0;
        self.ledger.edited(Side::Folder, from, to);
        self.edits.insert(to);
        if !is_replaced {
            // What had the name, if anything, is one that came from the other client.
            let all: Vec<_> = self.elsewhere.values().copied().collect();
            for number in all {
                self.ledger.doubted(number);
            }
            self.ledger.doubted(from);
        }
    }

    /// A deletion, after which it is known what was deleted.
    fn take(&mut self, name: &str) {
        let to = self.machine.path("taken").join(self.new_name("taken"));
        if fs::rename(self.folder().join(name), &to).is_ok() {
            let number = number_of(&fs::read(&to).unwrap());
            self.ledger.deleted(Side::Folder, number);
            self.taken.insert(number, (to, name.to_owned()));
        }
    }

    fn rename(&mut self, name: &str) {
        let to = self.new_name("renamed");
        // What is renamed is a picture as before, whichever it was.
        let _gone_already = fs::rename(self.folder().join(name), self.folder().join(to));
    }

    /// A deletion is taken back, under its name or another one.
    fn put_back(&mut self) {
        let numbers: Vec<_> = self.taken.keys().copied().collect();
        let Some(number) = self.chance.one_of(&numbers).copied() else { return };
        let (from, name) = self.taken.remove(&number).unwrap();
        let is_new = self.chance.below(2) == 0 || self.folder().join(&name).exists();
        let to = if is_new { self.new_name("back") } else { name.clone() };
        // What the agent brings to that name in this very moment stays.
        if fs::hard_link(&from, self.folder().join(to)).is_ok() {
            fs::remove_file(from).unwrap();
            self.ledger.put_back(number);
        } else {
            self.taken.insert(number, (from, name));
        }
    }

    /// What the vault has, by the lengths of what it lists: files and their numbers.
    fn listed(&self, words: &[&str], list: &str) -> Option<BTreeMap<String, Number>> {
        let output = self.machine.run(&[&["--profile", "web"], words, &["--json"]].concat());
        let answer = serde_json::from_slice::<Value>(&output.stdout).ok().filter(|_| output.status.success());
        let answer = answer?;
        let number = |length: u64| (1..self.new_number()).find(|number| length_of(*number) == length);
        let file = |file: &Value| {
            let length = file["bytes"].as_u64().unwrap();
            let number = number(length).unwrap_or_else(|| panic!("nothing has {length} bytes: {file}"));
            (file["id"].to_string(), number)
        };
        let files: Vec<_> = answer[list].as_array().unwrap().iter().map(file).collect();
        Some(files.into_iter().collect())
    }

    fn delete_elsewhere(&mut self) {
        let Some(files) = self.listed(&["list", "files"], "files") else { return };
        let ids: Vec<_> = files.keys().cloned().collect();
        let Some(id) = self.chance.one_of(&ids).filter(|_| ids.len() > LEFT) else { return };
        let is_done = self.machine.run(&["--profile", "web", "trash", "add", id]).status.success();
        // It may have been edited in between.
        let trashed = self.listed(&["trash", "list"], "trash").and_then(|trash| trash.get(id).copied());
        match trashed.filter(|_| is_done) {
            Some(number) => self.ledger.deleted(Side::Vault, number),
            None => {
                // The agent may have put it back; or nothing was done.
                self.ledger.doubted(files[id]);
                let edited =
                    self.listed(&["list", "files"], "files").and_then(|files| files.get(id).copied());
                if let Some(number) = edited {
                    self.ledger.doubted(number);
                }
            }
        }
    }

    fn back_up_elsewhere(&self, path: &str, number: Number) -> bool {
        let whole = self.machine.path("elsewhere").join(path);
        let before = fs::metadata(&whole).and_then(|before| before.modified());
        fs::write(&whole, picture(number)).unwrap();
        if let Ok(before) = before {
            let file = File::options().write(true).open(&whole).unwrap();
            file.set_modified(before + Duration::from_mins(2)).unwrap();
        }
        let words = ["--profile", "web", "backup", whole.to_str().unwrap(), "--album", "Phone"];
        self.machine.run(&words).status.success()
    }

    fn add_elsewhere(&mut self) {
        let (number, path) = (self.new_number(), self.new_name("elsewhere"));
        let is_done = self.back_up_elsewhere(&path, number);
        self.ledger.added(number);
        if is_done {
            self.elsewhere.insert(path, number);
        } else {
            self.ledger.doubted(number);
        }
    }

    /// Of those that nothing was done to in the folder: only then it is known what is replaced.
    fn edit_elsewhere(&mut self) {
        let mut paths: Vec<_> = self.elsewhere.iter().map(|(path, number)| (path.clone(), *number)).collect();
        paths.retain(|(_, number)| self.ledger.is_untouched(*number));
        let Some((path, from)) = self.chance.one_of(&paths).cloned() else { return };
        let to = self.new_number();
        let is_done = self.back_up_elsewhere(&path, to);
        self.ledger.edited(Side::Vault, from, to);
        self.edits.insert(to);
        self.elsewhere.insert(path.clone(), to);
        if !is_done {
            self.ledger.doubted(from);
            self.ledger.doubted(to);
            self.elsewhere.remove(&path);
        }
    }

    fn kill_agent(&mut self) {
        if self.chance.below(2) == 0 {
            // So many go within the hour that the owner is asked.
            let _held_or_not = self.machine.run(&["sync", "approve", "Phone", "--yes"]);
        }
        self.start_agent();
    }

    fn kill_server(&mut self) {
        self.server = None;
        std::thread::sleep(Duration::from_millis(self.chance.below(300) as u64));
        self.start_server();
    }

    fn deed(&mut self) {
        type Do = fn(&mut Day);
        type ToOne = fn(&mut Day, &str);
        let (deed, what): (_, Result<Do, ToOne>) = match self.chance.below(28) {
            0..=7 => ("added", Ok(Self::add)),
            8..=9 => ("added elsewhere", Ok(Self::add_elsewhere)),
            10..=11 => ("edited", Err(Self::edit)),
            12 => ("edited elsewhere", Ok(Self::edit_elsewhere)),
            13..=14 => ("renamed", Err(Self::rename)),
            15..=17 => ("deleted", Err(Self::take)),
            18..=19 => ("deleted elsewhere", Ok(Self::delete_elsewhere)),
            20..=21 => ("put back", Ok(Self::put_back)),
            22..=24 => ("agents killed", Ok(Self::kill_agent)),
            _ => ("servers killed", Ok(Self::kill_server)),
        };
        match what {
            Ok(what) => what(self),
            Err(what) => match self.some() {
                Some(name) => what(self, &name),
                None => self.add(),
            },
        }
        *self.deeds.entry(deed).or_default() += 1;
    }

    /// Makes passes until one does nothing any more, and gives what that one reports.
    fn run_to_the_end(&self) -> Value {
        let words = [&["sync", "run", "--json"], &QUICK[..]].concat();
        let done =
            ["uploaded", "linked", "restored", "materialised", "trashedLocal", "trashedRemote", "renamed"];
        let mut last = String::new();
        for _ in 0..RUNS_MAX {
            let output = self.machine.run(&words);
            let Ok(answer) = serde_json::from_slice::<Value>(&output.stdout) else {
                // The server is not there yet.
                last = String::from_utf8_lossy(&output.stderr).into_owned();
                std::thread::sleep(Duration::from_millis(200));
                continue;
            };
            let report = &answer[0]["report"];
            let is_whole = output.status.success() || !report["hold"].is_null();
            if is_whole && done.iter().all(|what| report[*what] == 0) {
                return report.clone();
            }
            last = report.to_string();
        }
        panic!("it does not come to rest: {last}");
    }

    fn here(&self) -> BTreeSet<Number> {
        let files = tree(&self.folder()).into_iter();
        let files = files.filter(|(path, _)| path.to_str().is_some_and(is_picture));
        let all: Vec<_> = files.map(|(_, (bytes, _))| number_of(&bytes)).collect();
        let different: BTreeSet<_> = all.iter().copied().collect();
        assert_eq!(different.len(), all.len(), "the folder has a picture twice: {all:?}");
        different
    }

    fn there(&self) -> BTreeSet<Number> {
        let files = self.listed(&["list", "files"], "files").unwrap();
        let different: BTreeSet<_> = files.values().copied().collect();
        assert_eq!(different.len(), files.len(), "the vault has a picture twice: {files:?}");
        different
    }

    /// What waits for the owner's word.
    fn on_hold(&self) -> BTreeSet<String> {
        let list = self.machine.json(&["sync", "approve", "Phone", "--dry-run"]);
        assert!(!list["hold"].is_null(), "{list}");
        let pictures = list["pictures"].as_array().unwrap().iter();
        pictures.map(|picture| picture["content"].as_str().unwrap().to_owned()).collect()
    }

    /// Lets both sides come to rest, and sees what became of each picture. Gives those that both have.
    fn rest(&mut self) -> BTreeSet<Number> {
        self.agent = None;
        self.start_server();
        let mut report = self.run_to_the_end();
        let mut was_held = BTreeSet::new();
        while !report["hold"].is_null() {
            let held = self.on_hold();
            let gone = self.ledger.all(Expected::Gone);
            let (here, there) = (self.here(), self.there());
            let missed: Vec<_> = gone
                .iter()
                .filter(|number| here.contains(number) || there.contains(number))
                .filter(|number| !held.contains(&content_hash(&picture(**number)).to_string()))
                .collect();
            assert!(missed.is_empty(), "{missed:?} are neither deleted nor on hold: {report}");
            assert!(was_held.insert(held.clone()), "what is approved waits again: {held:?}");
            self.machine.says(&["sync", "approve", "Phone", "--yes"]);
            *self.deeds.entry("holds").or_default() += 1;
            report = self.run_to_the_end();
        }
        let (here, there) = (self.here(), self.there());
        let wrong: Vec<_> = self
            .ledger
            .expected()
            .filter(|(number, expected)| {
                let is = (here.contains(number), there.contains(number));
                match expected {
                    Expected::Live => is != (true, true),
                    Expected::Gone => is != (false, false),
                    Expected::Kept | Expected::Either => is.0 != is.1,
                }
            })
            .map(|(number, expected)| {
                let is = (here.contains(&number), there.contains(&number));
                format!(
                    "{number} must be {expected:?}, is here and there {is:?}: {}",
                    self.ledger.told(number)
                )
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        let kept: Vec<_> = self.ledger.all(Expected::Kept).difference(&here).copied().collect();
        self.ledger.begin_round(&here);
        for number in kept {
            self.ledger.must_reach(number);
        }
        here
    }

    /// Brings back what is in a trash, and then what files were before they were edited, until all of these were seen.
    fn bring_back(&self, mut wanted: BTreeSet<Number>) {
        let local = self.machine.json(&["sync", "trash", "list"]);
        for told in local.as_array().unwrap() {
            wanted.remove(&number_of(&fs::read(told["entry"]["file"].as_str().unwrap()).unwrap()));
        }
        let trash = self.listed(&["trash", "list"], "trash").unwrap();
        let ids: Vec<_> = trash.keys().map(String::as_str).collect();
        for ids in ids.chunks(100) {
            self.machine.says(&[&["--profile", "web", "trash", "restore"], ids].concat());
        }
        let files = self.listed(&["list", "files"], "files").unwrap();
        let mut versions: BTreeMap<String, Vec<(Number, String)>> = BTreeMap::new();
        for (id, _) in files.iter().filter(|(_, number)| self.edits.contains(number)) {
            let list = self.machine.json(&["--profile", "web", "versions", id]);
            let earlier = list["versions"].as_array().unwrap().iter().filter_map(|version| {
                let length = version["bytes"].as_u64().unwrap();
                let number = wanted.iter().find(|number| length_of(**number) == length)?;
                Some((*number, version["version"].to_string()))
            });
            versions.insert(id.clone(), earlier.collect());
        }
        for round in 0.. {
            let to = format!("out {round}");
            self.machine.says(&["--profile", "web", "restore", "--to", &to]);
            for (bytes, _) in tree(&self.machine.path(&to)).into_values() {
                // Beside the pictures lies what restoring them needs to go on.
                if bytes.starts_with(b"\xff\xd8") {
                    wanted.remove(&number_of(&bytes));
                }
            }
            let due: Vec<_> = versions
                .iter()
                .filter_map(|(id, all)| Some((id, all.iter().find(|(number, _)| wanted.contains(number))?)))
                .collect();
            if wanted.is_empty() || due.is_empty() {
                break;
            }
            for (id, (_, version)) in due {
                self.machine.says(&["--profile", "web", "versions", id, "--restore", version]);
            }
        }
        assert!(wanted.is_empty(), "{wanted:?} were on both sides, and cannot be brought back");
    }
}

/// Shows S6.
#[test]
#[expect(clippy::print_stderr, reason = "figures, for whoever runs it for long")]
fn whoever_is_killed_at_whatever_moment_nothing_is_lost() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seconds = number("DARKSLIDE_CHAOS_SECONDS").unwrap_or(15);
    let mut day = Day::new(number("DARKSLIDE_CHAOS_SEED").unwrap_or(1));
    let round = Duration::from_secs(if seconds < 60 { 5 } else { 20 });
    let (begin, mut rounds) = (Instant::now(), 0);
    let here = loop {
        let round_began = Instant::now();
        while round_began.elapsed() < round {
            day.deed();
            let pause = day.chance.below(400) as u64;
            std::thread::sleep(Duration::from_millis(pause));
        }
        rounds += 1;
        let is_last = begin.elapsed() >= Duration::from_secs(seconds);
        if is_last {
            for _ in 0..AT_ONCE {
                if let Some(name) = day.some() {
                    day.take(&name);
                }
            }
        }
        let here = day.rest();
        if is_last {
            break here;
        }
        day.start_agent();
    };
    eprintln!("{seconds} s, {rounds} rounds: {:?}; {} pictures at the end", day.deeds, here.len());
    assert!(day.deeds.contains_key("holds"), "so many deletions at once wait for nobody");
    day.machine.says(&["--profile", "web", "restore", "--to", "out"]);
    let out =
        tree(&day.machine.path("out")).into_values().filter(|(bytes, _)| bytes.starts_with(b"\xff\xd8"));
    assert_eq!(out.map(|(bytes, _)| number_of(&bytes)).collect::<BTreeSet<_>>(), here);
    day.bring_back(day.ledger.must_be_reachable(&here));
}
