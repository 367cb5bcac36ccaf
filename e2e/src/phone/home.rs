//! Where phones come home to: a real server with one account, and what its vault has.

use crate::engine::Engine;
use crate::owner;
use crate::process::ServerProcess;
use darkslide_client::api::{Api, Limits, ServerUrl};
use darkslide_client::catalog::{Catalog, FileFilter, FileRow};
use darkslide_client::session::Session;
use darkslide_client::{feed, trash};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The server at home.
pub struct Home {
    /// Its process.
    pub server: ServerProcess,
    session: Arc<Session>,
    /// What another device of the account knows.
    elsewhere: Catalog,
    has_quota: AtomicBool,
    _folder: tempfile::TempDir,
}

impl Home {
    /// A server with a new account.
    pub async fn new() -> Self {
        let server = ServerProcess::start(&Engine::Sqlite).await;
        // A busy machine takes its time for that.
        let patient = Api::new(ServerUrl::parse(&server.base()).unwrap(), None, Limits::default()).unwrap();
        let session = Arc::new(owner::sign_up(&server, &patient).await);
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = Catalog::open(&folder.path().join("catalog.db")).await.unwrap();
        Self { server, session, elsewhere, has_quota: AtomicBool::new(false), _folder: folder }
    }

    /// The present, µs since the epoch. Simulated clocks begin with it: the server's has to make sense to them.
    pub fn now(&self) -> i64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        i64::try_from(now.as_micros()).unwrap()
    }

    /// A session of a device of its own.
    pub fn session(&self) -> Arc<Session> {
        owner::again(&self.session, &api(&self.server.base()))
    }

    /// What the vault has: every live membership.
    pub async fn files(&self) -> Vec<FileRow> {
        let summary = feed::pull(&self.session, &self.elsewhere).await.unwrap();
        assert_eq!(summary.damaged, []);
        self.elsewhere.files(&FileFilter::default()).await.unwrap()
    }

    /// Content hashes of what the vault has.
    pub async fn contents(&self) -> BTreeSet<String> {
        let files = self.files().await;
        files.iter().filter_map(|row| row.content_hash).map(|hash| hash.to_string()).collect()
    }

    /// The names of the albums, and how many live files each has.
    pub async fn albums(&self) -> Vec<(String, usize)> {
        let files = self.files().await;
        let mut albums = Vec::new();
        for row in self.elsewhere.collections().await.unwrap() {
            let count = files.iter().filter(|file| file.collection == row.id).count();
            albums.push((row.name, count));
        }
        albums.retain(|(_, count)| *count > 0);
        albums.sort();
        albums
    }

    /// The owner deletes files from the vault, on another device.
    pub async fn trash(&self, files: &[FileRow]) {
        let ids: Vec<_> = files.iter().map(|row| row.id).collect();
        trash::trash_files(&self.session, &self.elsewhere, &ids).await.unwrap();
    }

    /// The owner takes a file out of an album, on another device.
    pub async fn take_out(&self, file: &FileRow) {
        let album = self.elsewhere.collection(file.collection).await.unwrap().unwrap();
        darkslide_client::albums::remove_from_album(&self.session, &self.elsewhere, &album, &[file.id])
            .await
            .unwrap();
    }

    /// The owner gives an album another name, on another device.
    pub async fn rename_album(&self, album: &str, name: &str) {
        self.files().await;
        let albums = darkslide_client::albums::find_album(&self.session, &self.elsewhere, album).await;
        darkslide_client::albums::rename_album(&self.session, &self.elsewhere, &albums.unwrap(), name)
            .await
            .unwrap();
    }

    /// The other device's view, for what this does not offer.
    pub fn elsewhere(&self) -> (&Session, &Catalog) {
        (&self.session, &self.elsewhere)
    }

    /// The operator grants so many bytes; none for no limit.
    pub async fn set_quota(&self, bytes: Option<u64>) {
        self.has_quota.store(bytes.is_some(), Ordering::Relaxed);
        owner::set_quota(&self.server, bytes).await;
    }

    /// Whether the vault may be full.
    pub fn has_quota(&self) -> bool {
        self.has_quota.load(Ordering::Relaxed)
    }

    /// Downloads and decrypts everything, and compares it with its content hash.
    pub async fn verify(&self, files: u64) {
        use darkslide_client::event::Events;
        use darkslide_client::verify::{VerifyScope, verify};
        self.files().await;
        let everything = VerifyScope::Everything;
        let summary = verify(&self.session, &self.elsewhere, everything, &Events::silent()).await.unwrap();
        assert!(summary.failed.is_empty(), "{:?}", summary.failed);
        assert_eq!(summary.intact, files);
    }
}

fn api(base: &str) -> Api {
    let limits = Limits {
        retries: 1,
        first_delay: Duration::from_millis(5),
        longest_delay: Duration::from_millis(20),
        // The socket of a server that was killed still takes connections, which then fall silent.
        read_idle: Duration::from_secs(2),
        ..Limits::default()
    };
    Api::new(ServerUrl::parse(base).unwrap(), None, limits).unwrap()
}
