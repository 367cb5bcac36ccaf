//! A real Syncthing on a phone and another one at home, which keep a folder alike: Debian's package, two processes, loopback only.
//!
//! Nothing here is ever guessed: what is waited for is asked of the REST API, at every event that it tells of, and every wait has an
//! end that says what it waited for. Ports are the system's choice; a side that was started again is found under its new one.

mod config;
mod instance;
mod rest;

pub use instance::Instance;

use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long the two may take to come to what a test waits for.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Looked at again at least so often: not all that is waited for is Syncthing's to tell.
const PULSE: Duration = Duration::from_millis(200);

/// The two sides.
pub struct Pair {
    /// The side where pictures are taken.
    pub phone: Instance,
    /// The side where something else may look after the folder, too.
    pub home: Instance,
    runtime: Rc<tokio::runtime::Runtime>,
    _folders: TempDir,
}

impl Pair {
    /// Starts both with an empty folder each, and waits until they have found each other.
    pub fn start() -> Self {
        let folders = tempfile::tempdir().unwrap();
        let home = folders.path().join("home/Camera");
        Self::start_in(folders, &home)
    }

    /// The same with a folder of the caller's at home, which may hold something.
    pub fn start_at(home: &Path) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), home)
    }

    fn start_in(folders: TempDir, home: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let runtime = Rc::new(runtime);
        let phone = Instance::generate("phone", &folders.path().join("phone/DCIM/Camera"), &runtime);
        let home = Instance::generate("home", home, &runtime);
        phone.configure(&home);
        home.configure(&phone);
        let mut pair = Self { phone, home, runtime, _folders: folders };
        pair.start_home();
        pair.start_phone();
        pair
    }

    /// Starts the phone's side, after it was stopped.
    pub fn start_phone(&mut self) {
        self.phone.start();
        self.meet();
    }

    /// Starts home's side, after it was stopped.
    pub fn start_home(&mut self) {
        self.home.start();
        self.meet();
    }

    /// Tells both where the other is, and waits until they are connected; when only one of them runs, it stays alone.
    fn meet(&self) {
        let Self { phone, home, .. } = self;
        if phone.is_running() && home.is_running() {
            phone.call_at(home, &home.address());
            home.call_at(phone, &phone.address());
            self.until_connected();
        }
    }

    /// Takes the phone out of the house: both run, and do not reach each other.
    pub fn part(&self) {
        self.phone.set_apart(&self.home, true);
        self.until("they are apart", || so(!self.home.is_connected(&self.phone)));
    }

    /// Brings it back.
    pub fn reunite(&self) {
        self.phone.set_apart(&self.home, false);
        self.until_connected();
    }

    fn until_connected(&self) {
        self.until("they are connected", || {
            let Self { phone, home, .. } = self;
            so(phone.is_connected(home) && home.is_connected(phone))
        });
    }

    /// Has both look at their folders, and waits until each has all that the other has and knows it.
    pub fn in_step(&self) {
        self.phone.scan();
        self.home.scan();
        self.until("both sides have the same", || {
            let Self { phone, home, .. } = self;
            let left = phone.what_is_left(home).or_else(|| home.what_is_left(phone));
            left.map_or(Ok(()), Err)
        });
    }

    /// Waits until `look` finds what it looks for. It is asked at every event on either side; what it says instead is told when the
    /// wait ends without it.
    pub fn until<T>(&self, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
        let begin = Instant::now();
        loop {
            match look() {
                Ok(found) => return found,
                Err(instead) => {
                    assert!(begin.elapsed() < PATIENCE, "\"{what}\" did not come in {PATIENCE:?}: {instead}");
                }
            }
            self.runtime.block_on(async {
                tokio::select! {
                    () = self.phone.news() => {}
                    () = self.home.news() => {}
                    () = tokio::time::sleep(PULSE) => {}
                }
            });
        }
    }
}

/// What is or is not so, for [`Pair::until`].
pub fn so(is_so: bool) -> Result<(), String> {
    is_so.then_some(()).ok_or_else(|| "it is not so".to_owned())
}
