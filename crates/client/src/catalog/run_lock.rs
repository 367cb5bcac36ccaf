//! The lock of the one run that may back a profile up, and an account on this machine, and its owner's heartbeat.
//!
//! There is one for the profile, beside its catalog, and one for the account in each of the folders that all programs of this user share
//! ([`Machine`]): one account may have several profiles. It is named by the hash of the account's public key, which is the same whatever
//! address its server has. The profile's is taken first, so that whoever finds the account's taken knows that it is another profile's.
//!
//! ```text
//! <process>\n<since, µs since the epoch>\n<the folder of its profile>
//! ```
//!
//! A pass over a sync folder has a lock of its own, beside the catalog, with the same text in it.
//!
//! The lock is the system's and ends with its process, so nothing has to be cleaned up behind a crash. The heartbeat is the time of the lock's
//! file: it tells an owner that works from one that is suspended or hangs. Nobody takes a lock away because of it: two engines at once are worse
//! than one that waits.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime};

use darkslide_crypto::keys::PublicKey;
use darkslide_media::probe::micros_of;

use super::CatalogError;
use crate::library::ours;
use crate::local_time::minute;
use crate::machine::Machine;

/// How often the owner says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How long it may be silent before that is worth a word.
const SILENCE: Duration = Duration::from_mins(1);

/// Held by the run; released when dropped, or when its process dies.
#[derive(Debug)]
pub struct RunLock {
    /// Kept: dropping them is what unlocks.
    files: Vec<Locked>,
    #[expect(dead_code, reason = "dropped, it ends the heartbeat")]
    alive: Sender<()>,
}

impl Drop for RunLock {
    /// The account's go before the profile's: whoever finds one taken whose own profile is free would take it for another profile's.
    fn drop(&mut self) {
        while let Some(file) = self.files.pop() {
            drop(file);
        }
    }
}

/// Who has the lock, as far as it said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// Its process.
    pub process: Option<u32>,
    /// Since when it has it, µs since the epoch.
    pub since: Option<i64>,
    /// The folder of its profile.
    pub profile: Option<PathBuf>,
    /// How long it has said nothing.
    pub silent_for: Option<Duration>,
}

/// Takes the lock of the profile at `path`, and the account's on this machine.
pub(super) fn take(path: PathBuf, machine: &Machine, account: &PublicKey) -> Result<RunLock, CatalogError> {
    let io = |source| CatalogError::Io { path: path.clone(), source };
    let own = text_of(&path);
    let mut files = match locked(&path) {
        Ok(file) => vec![signed(file, &own).map_err(io)?],
        Err(TryLockError::WouldBlock) => return Err(CatalogError::Busy(owner_of(&path))),
        Err(TryLockError::Error(source)) => return Err(io(source)),
    };
    let name = ours::lock_name(&blake3::hash(account.as_bytes()).to_hex());
    let mut paths = vec![path];
    for path in machine.places().map(|place| place.join(&name)) {
        match locked(&path).and_then(|file| signed(file, &own).map_err(TryLockError::Error)) {
            Ok(file) => files.push(file),
            Err(TryLockError::WouldBlock) => return Err(CatalogError::BusyElsewhere(owner_of(&path))),
            // A full or broken temporary folder is no reason to leave pictures where they are.
            Err(TryLockError::Error(error)) => {
                tracing::warn!(path = %path.display(), %error, "other profiles of this account are not kept waiting");
                continue;
            }
        }
        paths.push(path);
    }
    let (alive, ended) = channel();
    let beating = std::thread::Builder::new().name("heartbeat".to_owned()).spawn(move || {
        while ended.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
            for path in &paths {
                if let Err(error) = beat(path) {
                    tracing::debug!(%error, "the run's heartbeat is not seen");
                }
            }
        }
    });
    beating.map_err(|source| CatalogError::Io { path: PathBuf::from("heartbeat"), source })?;
    Ok(RunLock { files, alive })
}

/// Takes the lock of one pass over a sync folder, at a path of its own. It has no heartbeat.
pub(super) fn take_one(path: &Path) -> Result<Locked, CatalogError> {
    let mut file = match locked(path) {
        Ok(file) => file,
        Err(TryLockError::WouldBlock) => {
            return Err(CatalogError::BusyPassing(Owner { silent_for: None, ..owner_of(path) }));
        }
        Err(TryLockError::Error(source)) => return Err(CatalogError::Io { path: path.to_owned(), source }),
    };
    // On a full disk nobody is told who has it, and it is locked all the same.
    if let Err(error) = sign(&mut file, &text_of(path)) {
        tracing::debug!(path = %path.display(), %error, "nobody is told who has this lock");
    }
    Ok(file)
}

/// A file that is locked until it is dropped, or its process dies.
#[derive(Debug)]
pub(crate) struct Locked(File);

impl Drop for Locked {
    /// By a word of its own: a process that is being started has the file open, too, until it is another program.
    fn drop(&mut self) {
        // Nobody has it any more. What cannot be written is what a crash leaves, too.
        let _written = self.0.set_len(0);
        if let Err(error) = self.0.unlock() {
            tracing::debug!(%error, "a lock ends when its file is closed");
        }
    }
}

pub(super) fn locked(path: &Path) -> Result<Locked, TryLockError> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(TryLockError::Error)?;
    file.try_lock().map(|()| Locked(file))
}

/// What its owner says of itself, for whoever finds it locked.
fn signed(mut file: Locked, own: &str) -> io::Result<Locked> {
    sign(&mut file, own).map(|()| file)
}

fn sign(Locked(file): &mut Locked, own: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all(own.as_bytes())
}

fn text_of(path: &Path) -> String {
    let profile = path.parent().unwrap_or(Path::new("")).display();
    format!("{}\n{}\n{profile}", std::process::id(), micros_of(SystemTime::now()))
}

/// Through a handle of its own: the lock must end with the run's, whatever this thread is doing.
fn beat(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.set_modified(SystemTime::now())
}

/// The process that has the lock at this path, as far as it said, and when it last showed that it is alive. That of one that was killed is told
/// until another takes it.
pub(super) fn sign_of_life(path: &Path) -> Option<(u32, SystemTime)> {
    let process = owner_of(path).process?;
    Some((process, path.metadata().and_then(|metadata| metadata.modified()).ok()?))
}

/// Whether somebody has the lock at this path. It is tried only where somebody has signed it: whoever is about to take a free one is not kept from that.
pub(super) fn is_taken(path: &Path) -> bool {
    let is_signed = path.metadata().is_ok_and(|metadata| metadata.len() > 0);
    let tried = || File::open(path).map(|file| file.try_lock_shared());
    is_signed && matches!(tried(), Ok(Err(TryLockError::WouldBlock)))
}

fn owner_of(path: &Path) -> Owner {
    let modified = path.metadata().and_then(|metadata| metadata.modified());
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut told = text.splitn(3, '\n');
    Owner {
        process: told.next().and_then(|text| text.trim().parse().ok()),
        since: told.next().and_then(|text| text.parse().ok()),
        profile: told.next().filter(|text| !text.is_empty()).map(PathBuf::from),
        silent_for: modified.ok().and_then(|at| at.elapsed().ok()),
    }
}

/// The owner, and what to do: in brackets behind the sentence that says what it does.
pub(super) fn described(owner: &Owner) -> String {
    let process = owner.process.map(|process| format!("process {process}"));
    let profile = owner.profile.as_ref().map(|profile| format!("with the profile in {}", profile.display()));
    let since = owner.since.map(|since| format!("since {}", minute(since)));
    let told: Vec<String> = [process, profile, since].into_iter().flatten().collect();
    let told = if told.is_empty() { String::new() } else { format!(" ({})", told.join(", ")) };
    match owner.silent_for.filter(|silent| *silent >= SILENCE) {
        Some(silent) => {
            let minutes = silent.as_secs() / 60;
            format!("{told}, and has shown no sign of life for {minutes} min: it is suspended, or hangs")
        }
        None => format!("{told}; wait until it is done"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u8) -> PublicKey {
        PublicKey::from_slice(&[number; 32]).unwrap()
    }

    fn busy(result: Result<RunLock, CatalogError>) -> Owner {
        match result {
            Err(CatalogError::Busy(owner)) => owner,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_owner_is_told_with_its_last_sign_of_life() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.lock");
        let again = || take(path.clone(), &Machine::default(), &account(1));
        let before = micros_of(SystemTime::now());
        let lock = again().unwrap();
        let owner = busy(again());
        assert_eq!((owner.process, owner.profile.as_deref()), (Some(std::process::id()), path.parent()));
        assert!(owner.since.unwrap() >= before, "{owner:?}");
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(200)).unwrap();
        let silent = busy(again());
        assert!(silent.silent_for.unwrap() >= Duration::from_secs(199), "{silent:?}");
        let before = sign_of_life(&path).unwrap();
        assert_eq!(before.0, std::process::id());
        beat(&path).unwrap();
        assert!(busy(again()).silent_for.unwrap() < Duration::from_secs(100));
        assert!(sign_of_life(&path).unwrap().1 > before.1);
        drop(lock);
        assert_eq!(sign_of_life(&path), None, "nobody has it");
        drop(again().unwrap());
    }

    #[test]
    fn a_folder_has_one_pass_and_whoever_comes_second_hears_whose() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.folder-1");
        let first = take_one(&path).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(200)).unwrap();
        let refused = take_one(&path).unwrap_err();
        let CatalogError::BusyPassing(owner) = &refused else { panic!("{refused:?}") };
        assert_eq!((owner.process, owner.silent_for), (Some(std::process::id()), None));
        let told = refused.to_string();
        assert!(
            told.starts_with("another program keeps this sync folder in step just now (process "),
            "{told}"
        );
        drop(take_one(&folder.path().join("catalog.folder-2")).unwrap());
        assert!(is_taken(&path));
        drop(first);
        assert!(!is_taken(&path) && !is_taken(&folder.path().join("none")));
        // As one leaves it that is killed.
        std::fs::write(&path, "7\n").unwrap();
        assert!(!is_taken(&path));
        drop(take_one(&path).unwrap());
    }

    #[test]
    fn owners_are_described() {
        let known = Owner { process: Some(7), ..Owner::default() };
        let whole = Owner {
            since: Some(1_700_000_000_000_000),
            profile: Some("/home/me/darkslide/default".into()),
            ..known.clone()
        };
        let silent = |seconds| Some(Duration::from_secs(seconds));
        for (owner, expected) in [
            (Owner::default(), "; wait until it is done"),
            (Owner { silent_for: silent(59), ..known.clone() }, " (process 7); wait until it is done"),
            (
                Owner { silent_for: silent(185), ..known },
                " (process 7), and has shown no sign of life for 3 min: it is suspended, or hangs",
            ),
            (
                whole,
                " (process 7, with the profile in /home/me/darkslide/default, since 2023-11-14 22:13); wait until it is done",
            ),
        ] {
            assert_eq!(described(&owner), expected);
        }
    }

    #[test]
    fn an_account_is_backed_up_by_one_profile_of_a_machine() {
        let folder = tempfile::tempdir().unwrap();
        let profile = |name: &str| {
            let profile = folder.path().join(name);
            std::fs::create_dir_all(&profile).unwrap();
            profile.join("catalog.lock")
        };
        let place = |name: &str| folder.path().join(name);
        let one = Machine::of(vec![place("runtime"), place("temporary")]);
        let lock = take(profile("a"), &one, &account(1)).unwrap();
        // Whichever of its places the other program knows.
        for places in
            [vec![place("runtime")], vec![place("temporary")], vec![place("new"), place("temporary")]]
        {
            let refused = take(profile("b"), &Machine::of(places), &account(1));
            let Err(CatalogError::BusyElsewhere(owner)) = &refused else { panic!("{refused:?}") };
            assert_eq!((owner.process, &owner.profile), (Some(std::process::id()), &Some(place("a"))));
            let told = refused.unwrap_err().to_string();
            assert!(told.starts_with("another program backs this account up (process "), "{told}");
        }
        // It is its own that it finds first.
        busy(take(profile("a"), &one, &account(1)));
        // Another account, another machine, and whoever has nobody to find.
        drop(take(profile("b"), &one, &account(2)).unwrap());
        drop(take(profile("b"), &Machine::of(vec![place("other")]), &account(1)).unwrap());
        drop(take(profile("b"), &Machine::default(), &account(1)).unwrap());
        drop(lock);
        drop(take(profile("b"), &one, &account(1)).unwrap());
    }

    /// Whoever gets only some of the locks keeps none of them.
    #[test]
    fn what_was_taken_in_vain_is_let_go_of() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let lock = |name: &str, places: &[&str]| {
            std::fs::create_dir_all(place(name)).unwrap();
            let places = places.iter().map(|name| place(name)).collect();
            take(place(name).join("catalog.lock"), &Machine::of(places), &account(1))
        };
        let held = lock("a", &["second"]).unwrap();
        lock("b", &["first", "second"]).unwrap_err();
        drop(lock("b", &["first"]).unwrap());
        drop(held);
    }

    #[test]
    fn a_place_that_cannot_be_written_to_keeps_nobody_from_working() {
        let folder = tempfile::tempdir().unwrap();
        let (place, file) = (folder.path().join("place"), folder.path().join("file"));
        std::fs::write(&file, "").unwrap();
        let name = ours::lock_name(&blake3::hash(account(1).as_bytes()).to_hex());
        let machine = Machine::of(vec![place.clone(), file]);
        assert_eq!(machine.places().count(), 1);
        std::fs::create_dir(place.join(name)).unwrap();
        take(folder.path().join("catalog.lock"), &machine, &account(1)).unwrap();
    }
}
