//! Simulated phones: libraries, systems and networks that obey their published rules, on a clock that only moves when something happens.
//!
//! A phone's originals are made here, its vault is the real server, and its engine is the client's. What is simulated is what no
//! computer has: a media library with albums, a cloud and Live Photos; mobile networks; a battery; and a system that decides when an app may
//! run, and ends it without a word ([`android`], [`iphone`]). Time passes as bytes are sent and fetched, and when a test says so. A day ends
//! with what it came to ([`day`]).

pub mod android;
mod app;
mod check;
pub mod day;
pub mod home;
pub mod iphone;
mod library;
mod state;

pub use app::Ran;

use darkslide_client::backup::rules::conditions::{App, CanRun, Conditions, Grant, Network, Permissions};
use darkslide_client::catalog::{Catalog, DeviceAlbumKey, FileFilter, Fingerprint};
use darkslide_client::event::Events;
use darkslide_client::free_up::{FreeUpRule, plan_free_up_library, record_freed};
use darkslide_client::library::Library;
use darkslide_client::library::device::{AlbumChoice, AssetId, AssetKind, Locality, Motion};
use darkslide_client::session::Session;
use home::Home;
use library::{Shelf, SimulatedLibrary};
use state::{State, bytes_below};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

/// One second, in the clock's unit.
pub const SECOND: i64 = 1_000_000;
/// One minute.
pub const MINUTE: i64 = 60 * SECOND;
/// One hour.
pub const HOUR: i64 = 60 * MINUTE;
/// One day.
pub const DAY: i64 = 24 * HOUR;

/// A phone with one signed-in app.
pub struct Phone {
    pub(crate) state: Arc<Mutex<State>>,
    library: Arc<SimulatedLibrary>,
    session: Arc<Session>,
    catalog: Catalog,
    folder: tempfile::TempDir,
    /// Whether server albums mirror the phone's.
    pub mirror: bool,
}

impl Phone {
    /// A new phone at home, with an empty camera album that is selected.
    pub async fn new(home: &Home, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("catalog.db")).await.unwrap();
        // The server's clock is the real one: a phone's days lie behind it.
        let now = home.now() - 30 * DAY;
        let shelf = Shelf::new(folder.path().join("originals"));
        let state = Arc::new(Mutex::new(State::new(now, shelf, folder.path().join("cache"))));
        let library = Arc::new(SimulatedLibrary::new(name, Arc::clone(&state)));
        let session = home.session();
        let phone = Self { state, library, session, catalog, folder, mirror: false };
        phone.add_album("Camera");
        phone.choose("Camera", Some(AlbumChoice::Selected)).await;
        phone
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The library as an engine sees it.
    pub fn library(&self) -> Arc<dyn Library> {
        Arc::clone(&self.library) as Arc<dyn Library>
    }

    /// The content of an asset that is one file, as it is now.
    pub fn content_of(&self, asset: &AssetId) -> String {
        self.state().shelf.content_hash(asset, false)
    }

    fn library_id(&self) -> &[u8] {
        self.library.id()
    }

    fn key(&self, album: &str) -> DeviceAlbumKey {
        self.library.key(album)
    }

    /// Contents of the vault that its catalog knows of.
    pub async fn knows_of(&self) -> BTreeSet<String> {
        let files = self.catalog.files(&FileFilter::default()).await.unwrap();
        files.iter().filter_map(|row| Some(row.content_hash?.to_string())).collect()
    }

    // The owner.

    /// Makes an empty album.
    pub fn add_album(&self, name: &str) {
        self.state().shelf.albums.insert(name.to_owned(), name.to_owned());
    }

    /// Chooses what is done with an album.
    pub async fn choose(&self, album: &str, choice: Option<AlbumChoice>) {
        self.catalog.choose_album(&self.key(album), album, choice).await.unwrap();
    }

    /// Changes what the app is allowed.
    pub fn allow(&self, change: impl FnOnce(&mut Permissions)) {
        change(&mut self.state().permissions);
    }

    /// Takes pictures of so many bytes, a second apart. Gives their ids.
    pub fn take(&self, count: usize, bytes: usize) -> Vec<AssetId> {
        (0..count).map(|_| self.record(AssetKind::Photo, bytes)).collect()
    }

    /// Takes one picture or video, into the camera's album.
    pub fn record(&self, kind: AssetKind, bytes: usize) -> AssetId {
        let key = self.key("Camera");
        let mut state = self.state();
        state.now += SECOND;
        let now = state.now;
        let id = state.shelf.add(kind, bytes, now);
        state.shelf.asset(&id).albums.insert(key);
        id
    }

    /// Saves the same bytes as another asset once more, under an id of their own.
    pub fn save_again(&self, other: &AssetId) -> AssetId {
        let key = self.key("Camera");
        let mut state = self.state();
        state.now += SECOND;
        let now = state.now;
        let id = state.shelf.copy_of(other, now);
        state.shelf.asset(&id).albums.insert(key);
        id
    }

    /// Takes the bytes of another phone's asset over, as a messenger does.
    pub fn receive(&self, from: &Self, asset: &AssetId) -> AssetId {
        let (content, kind) = {
            let mut other = from.state();
            let kind = other.shelf.asset(asset).kind;
            (other.shelf.content(asset), kind)
        };
        let key = self.key("Camera");
        let mut state = self.state();
        state.now += SECOND;
        let now = state.now;
        let id = state.shelf.add_content(kind, content, now);
        state.shelf.asset(&id).albums.insert(key);
        id
    }

    /// Puts assets into an album.
    pub fn file_into(&self, album: &str, assets: &[AssetId]) {
        let key = self.key(album);
        let mut state = self.state();
        for id in assets {
            state.shelf.asset(id).albums.insert(key.clone());
        }
    }

    /// Gives an album another name; the library knows it by what it was called first.
    pub fn rename_album(&self, album: &str, name: &str) {
        self.state().shelf.albums.insert(album.to_owned(), name.to_owned());
    }

    /// An album vanishes, as albums of an app do while it is not installed; its pictures stay.
    pub fn remove_album(&self, album: &str) {
        self.state().shelf.albums.remove(album);
        self.empty_album(album);
    }

    /// Takes everything out of an album.
    pub fn empty_album(&self, album: &str) {
        let key = self.key(album);
        for asset in self.state().shelf.assets.values_mut() {
            asset.albums.remove(&key);
        }
    }

    /// Deletes assets from the phone.
    pub fn delete(&self, assets: &[AssetId]) {
        let mut state = self.state();
        for id in assets {
            state.shelf.remove(id);
        }
    }

    /// Edits an asset in place, as on Android: other bytes, a later modification, and what it was before is gone.
    pub fn edit(&self, asset: &AssetId, bytes: usize) {
        let mut state = self.state();
        state.now += SECOND;
        let now = state.now;
        state.shelf.edit(asset, bytes, now);
    }

    /// A Live Photo whose video the library will deliver by then; it is not there yet.
    pub fn record_live(&self, bytes: usize, promised: i64) -> AssetId {
        let id = self.record(AssetKind::LivePhoto, bytes);
        let until = self.state().now + promised;
        self.state().shelf.asset(&id).motion = Motion::Promised { until };
        id
    }

    /// The library has the video of a Live Photo no longer.
    pub fn lose_motion(&self, asset: &AssetId) {
        self.state().shelf.asset(asset).motion = Motion::Promised { until: 0 };
    }

    /// The library delivers the video of a Live Photo.
    pub fn deliver_motion(&self, asset: &AssetId) {
        self.state().shelf.asset(asset).motion = Motion::Here;
    }

    /// Marks an asset as a favourite.
    pub fn favour(&self, asset: &AssetId) {
        self.state().shelf.asset(asset).favourite = true;
    }

    /// What the owner is asked about, to free space.
    pub async fn may_be_freed(&self, rule: FreeUpRule) -> Vec<AssetId> {
        let explained = self.explanations().await;
        let events = Events::silent();
        let library = self.library.id();
        plan_free_up_library(&self.session, &self.catalog, library, &explained, rule, &events).await.unwrap()
    }

    /// The owner agrees, and the system removes them.
    pub async fn free(&self, assets: &[AssetId]) {
        record_freed(&self.catalog, self.library.id(), assets).await.unwrap();
        self.delete(assets);
    }

    /// The file of an original is lost; the library does not know.
    pub fn spoil(&self, asset: &AssetId) {
        self.state().shelf.lose_file(asset);
    }

    /// Frees space: the originals of all assets are in the library's cloud from now on.
    pub fn offload(&self) {
        for asset in self.state().shelf.assets.values_mut() {
            asset.locality = Locality::Cloud;
        }
    }

    /// How often each original was fetched from the library's cloud.
    pub fn fetches(&self) -> BTreeMap<AssetId, u32> {
        self.state().shelf.fetches.clone()
    }

    /// Where the originals of these assets lie from now on.
    pub fn lies(&self, assets: &[AssetId], locality: Locality) {
        let mut state = self.state();
        for id in assets {
            state.shelf.asset(id).locality = locality;
        }
    }

    /// How often the library listed everything, and how many assets it has told of in all.
    pub fn told(&self) -> (u32, usize) {
        let state = self.state();
        (state.shelf.listings, state.shelf.assets_told)
    }

    /// The library no longer knows what it told.
    pub fn forget_changes(&self) {
        self.state().shelf.forget_changes();
    }

    /// Makes the library's cloud fail so many times.
    pub fn break_cloud(&self, times: u32) {
        self.state().shelf.cloud_failures = times;
    }

    /// Whether the library's cloud gives no videos of Live Photos from now on.
    pub fn hold_motions_back(&self, holds_back: bool) {
        self.state().shelf.holds_motions_back = holds_back;
    }

    /// The system tidies up: of Live Photos that were fetched and not sent, the copies of the videos are gone. Gives how many.
    pub fn lose_kept_motions(&self) -> usize {
        let entries = std::fs::read_dir(self.folder.path().join("cache")).unwrap().flatten();
        let paths = entries.map(|entry| entry.path());
        let motions = paths.filter(|path| path.to_string_lossy().ends_with("-motion"));
        motions.map(|path| std::fs::remove_dir_all(path).unwrap()).count()
    }

    /// The library tells whoever listens that it changed.
    pub fn tell_changes(&self) {
        self.state().news.notify_one();
    }

    // The world.

    /// Time passes.
    pub fn wait(&self, time: i64) {
        self.state().now += time;
    }

    /// The present of this phone's clock, µs since the epoch.
    pub fn now(&self) -> i64 {
        self.state().now
    }

    /// Changes the phone's surroundings.
    pub fn set(&self, change: impl FnOnce(&mut Conditions)) {
        let mut state = self.state();
        change(&mut state.conditions);
        let conditions = state.conditions;
        state.told.send_replace(conditions);
    }

    /// Another network, at so many bytes a second.
    pub fn network(&self, network: Network, rate: u64) {
        self.state().rate = rate;
        self.set(|conditions| conditions.network = network);
    }

    /// Something happens when so many more bytes have been sent.
    pub fn after_bytes(&self, bytes: u64, change: impl FnOnce(&mut Conditions) + Send + 'static) {
        let mut state = self.state();
        let at = state.sent.values().sum::<u64>() + bytes;
        state.surprises.insert(at, Box::new(move |state| change(&mut state.conditions)));
    }

    /// The process is killed when so many more bytes have been sent.
    pub fn kill_after(&self, bytes: u64) {
        let mut state = self.state();
        let at = state.sent.values().sum::<u64>() + bytes;
        state.surprises.insert(at, Box::new(State::kill));
    }

    /// The system takes back what it granted after so long, whatever it said: the process ends without a word.
    pub fn taken_back_after(&self, time: i64) {
        let mut state = self.state();
        state.ends_at = Some(state.now + time);
    }

    /// Ciphertext bytes that were handed to a network.
    pub fn sent_over(&self, network: Network) -> u64 {
        self.state().sent.get(&network).copied().unwrap_or_default()
    }

    /// Bytes of originals that a network brought from the library's cloud.
    pub fn fetched_over(&self, network: Network) -> u64 {
        self.state().fetched.get(&network).copied().unwrap_or_default()
    }

    /// What the owner was told of a full vault, each time.
    pub fn told_full(&self) -> Vec<String> {
        self.state().told_full.clone()
    }

    /// The most bytes that copies of originals ever took.
    pub fn peak_cache(&self) -> u64 {
        self.state().peak_cache
    }

    /// How many assets the last run ever worked on at once.
    pub fn most_at_once(&self) -> usize {
        self.state().most_at_once
    }

    /// Bytes that copies of originals take now.
    pub fn cache_now(&self) -> u64 {
        bytes_below(&self.folder.path().join("cache"))
    }

    /// Contents of everything that lies in an album and is neither excluded nor gone: what the vault must have in the end.
    pub fn contents(&self) -> BTreeSet<String> {
        let state = self.state();
        let ids: Vec<AssetId> = state.shelf.assets.keys().cloned().collect();
        ids.iter()
            .map(|id| state.shelf.content_hash(id, state.shelf.assets[id].motion == Motion::Here))
            .collect()
    }
}

/// The fingerprint of a library's asset.
fn print(size: u64, modified: i64, token: u64) -> Fingerprint {
    Fingerprint { size, modified_ns: modified * 1000, inode: token }
}

/// A phone in a pocket: the app is in the background, and may run until then.
fn in_background(phone: &Phone, grant: Grant) {
    phone.state().locks_at = None;
    phone.set(|conditions| {
        conditions.app = App::Background;
        conditions.grant = grant;
    });
}

/// The app is before its owner.
fn in_foreground(phone: &Phone) {
    phone.state().locks_at = None;
    phone.set(|conditions| {
        conditions.app = App::Foreground;
        conditions.grant = Grant::Unlimited;
        conditions.can_run = CanRun::Ok;
    });
}
