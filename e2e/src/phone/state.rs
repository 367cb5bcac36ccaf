//! All that is true of a phone at one moment, and how time passes on it: as bytes go over its network.

use super::SECOND;
use super::library::Shelf;
use darkslide_client::backup::rules::conditions::{App, Conditions, Grant, Network, Permissions};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// How long after the end of a background grant the system ends an app that still runs, µs: iOS calls the expiration handler and Android
/// `onStopJob`, and both leave a few seconds to put things down.
const GRACE: i64 = 5 * SECOND;

/// What happens when so many more bytes have been sent.
type Surprise = Box<dyn FnOnce(&mut State) + Send>;

/// One moment.
pub(crate) struct State {
    pub(crate) now: i64,
    /// Bytes a second, either way.
    pub(crate) rate: u64,
    pub(crate) conditions: Conditions,
    pub(crate) permissions: Permissions,
    pub(crate) shelf: Shelf,
    /// Ciphertext bytes that were handed to each network.
    pub(super) sent: HashMap<Network, u64>,
    /// Bytes of originals that each network brought from the library's cloud.
    pub(super) fetched: HashMap<Network, u64>,
    pub(super) surprises: BTreeMap<u64, Surprise>,
    pub(super) told: watch::Sender<Conditions>,
    pub(super) killed: CancellationToken,
    /// Told when something may have changed in the library.
    pub(crate) news: Arc<Notify>,
    /// When the system locks the screen, unless the app keeps it on.
    pub(super) locks_at: Option<i64>,
    pub(super) screen_stays_on: bool,
    /// When the system takes back what it granted, whatever it said.
    pub(super) ends_at: Option<i64>,
    /// Whether the last run that had a network could reach the server.
    pub(super) server_answered: bool,
    /// What the owner was told of a full vault, each time.
    pub(super) told_full: Vec<String>,
    /// The most bytes that copies of originals ever took.
    pub(super) peak_cache: u64,
    /// How many assets are being worked on, and how many ever were at once.
    pub(super) under_way: usize,
    pub(super) most_at_once: usize,
    cache: PathBuf,
}

impl State {
    /// At this moment, at home, with copies of originals in this folder.
    pub(super) fn new(now: i64, shelf: Shelf, cache: PathBuf) -> Self {
        let conditions = Conditions { battery_level: Some(80), ..Conditions::HOME };
        Self {
            now,
            rate: 4_000_000,
            conditions,
            permissions: Permissions::default(),
            shelf,
            sent: HashMap::new(),
            fetched: HashMap::new(),
            surprises: BTreeMap::new(),
            told: watch::channel(conditions).0,
            killed: CancellationToken::new(),
            news: Arc::default(),
            locks_at: None,
            screen_stays_on: false,
            ends_at: None,
            server_answered: true,
            told_full: Vec::new(),
            peak_cache: 0,
            under_way: 0,
            most_at_once: 0,
            cache,
        }
    }

    /// A part is about to be sent: time passes, and what was to happen by then happens.
    pub(super) fn part(&mut self, bytes: u64) {
        *self.sent.entry(self.conditions.network).or_default() += bytes;
        self.carry(bytes);
        let total = self.sent.values().sum::<u64>();
        while let Some(entry) = self.surprises.first_entry().filter(|entry| *entry.key() <= total) {
            let surprise = entry.remove();
            surprise(self);
        }
        self.told.send_replace(self.conditions);
    }

    /// The library's cloud delivered an original of so many bytes.
    pub(super) fn fetch(&mut self, bytes: u64) {
        *self.fetched.entry(self.conditions.network).or_default() += bytes;
        self.carry(bytes);
        self.told.send_replace(self.conditions);
    }

    /// The network carries so many bytes, either way. That takes its time, in which the system does as it must.
    fn carry(&mut self, bytes: u64) {
        let rate = self.rate.max(1);
        self.now += i64::try_from(bytes.saturating_mul(1_000_000) / rate).unwrap();
        if self.locks_at.is_some_and(|at| at <= self.now) && !self.screen_stays_on {
            self.lock_screen();
        }
        self.look_at_cache();
        let is_taken_back = self.ends_at.take_if(|at| *at <= self.now).is_some();
        if is_taken_back || self.is_overdue() {
            self.kill();
        }
    }

    /// Work on an asset begins.
    pub(super) fn begun(&mut self) {
        self.under_way += 1;
        self.most_at_once = self.most_at_once.max(self.under_way);
    }

    /// Work on an asset has ended. Some ends before it is said to begin.
    pub(super) fn ended(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Notes how much copies take now.
    pub(super) fn look_at_cache(&mut self) {
        self.peak_cache = self.peak_cache.max(bytes_below(&self.cache));
    }

    /// Whether the app still runs in the background though its time is over.
    fn is_overdue(&self) -> bool {
        let is_behind = self.conditions.app == App::Background;
        matches!(self.conditions.grant, Grant::Until(until) if is_behind && self.now > until + GRACE)
    }

    /// The app goes to the background, and may finish there what it can in half a minute.
    fn lock_screen(&mut self) {
        if let Some(at) = self.locks_at.take() {
            self.conditions.app = App::Background;
            self.conditions.grant = Grant::Until(at + 30 * SECOND);
        }
    }

    /// Power goes, or the system ends the process without a word.
    pub(crate) fn kill(&mut self) {
        self.killed.cancel();
    }
}

/// Bytes of all files below a folder.
pub(super) fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |path: &Path| match path.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(path),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(|entry| size(&entry.path())).sum()
}
