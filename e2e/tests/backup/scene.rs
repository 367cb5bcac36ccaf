//! A server, an account on it, and folders of pictures on a device.

use darkslide_client::api::{Api, Limits, ServerUrl};
use darkslide_client::backup::{BackupError, BackupReport, Settings, backup};
use darkslide_client::catalog::{Catalog, FileFilter, FileRow};
use darkslide_client::event::Events;
use darkslide_client::feed;
use darkslide_client::library::AlbumRule;
use darkslide_client::session::Session;
use darkslide_client::thumbnail::Thumbnailer;
use darkslide_client::verify::{VerifyScope, verify};
use darkslide_e2e::engine::Engine;
use darkslide_e2e::owner;
use darkslide_e2e::process::ServerProcess;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// One device with one signed-in account.
pub(crate) struct Scene {
    pub(crate) server: ServerProcess,
    pub(crate) session: Arc<Session>,
    pub(crate) catalog: Catalog,
    folder: TempDir,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let server = ServerProcess::start(&Engine::Sqlite).await;
        let session = Arc::new(owner::sign_up(&server, &api(&server.base())).await);
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("catalog.db")).await.unwrap();
        Self { server, session, catalog, folder }
    }

    /// The folder that is backed up, made when it is not there.
    pub(crate) fn pictures(&self) -> PathBuf {
        let path = self.folder.path().join("Pictures");
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Writes one picture below [`pictures`](Self::pictures).
    pub(crate) fn write(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.pictures().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Backs the pictures up, one album a root.
    pub(crate) async fn back_up(&self) -> BackupReport {
        self.back_up_with(&settings(AlbumRule::PerRoot)).await.unwrap()
    }

    pub(crate) async fn back_up_with(&self, settings: &Settings) -> Result<BackupReport, BackupError> {
        self.run(settings, &Events::silent(), &CancellationToken::new()).await
    }

    pub(crate) async fn run(
        &self,
        settings: &Settings,
        events: &Events,
        stop: &CancellationToken,
    ) -> Result<BackupReport, BackupError> {
        let roots = [self.pictures()];
        backup(Arc::clone(&self.session), self.catalog.clone(), &roots, settings, events, stop).await
    }

    /// The same account seen through another address of the server.
    pub(crate) fn through(&self, base: &str) -> Arc<Session> {
        owner::again(&self.session, &api(base))
    }

    /// What the vault has, as a device sees it that was never here: nothing of the catalog is believed.
    pub(crate) async fn vault(&self) -> Vec<FileRow> {
        let elsewhere = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&elsewhere.path().join("catalog.db")).await.unwrap();
        let summary = feed::pull(&self.session, &catalog).await.unwrap();
        assert_eq!(summary.damaged, []);
        catalog.files(&FileFilter::default()).await.unwrap()
    }

    /// Names of what the vault has, in order.
    pub(crate) async fn titles(&self) -> Vec<String> {
        let mut titles: Vec<_> = self.vault().await.into_iter().map(|row| row.title.unwrap()).collect();
        titles.sort();
        titles
    }

    /// Downloads and decrypts everything, and compares it with its content hash.
    pub(crate) async fn verify_all(&self, files: u64) {
        feed::pull(&self.session, &self.catalog).await.unwrap();
        let scope = VerifyScope::Everything;
        let summary = verify(&self.session, &self.catalog, scope, &Events::silent()).await.unwrap();
        assert!(summary.failed.is_empty(), "{:?}", summary.failed);
        assert_eq!(summary.intact, files);
    }

    /// What the operator grants, in bytes.
    pub(crate) async fn set_quota(&self, bytes: u64) {
        owner::set_quota(&self.server, Some(bytes)).await;
    }

    /// Another device, or the same one after its catalog was lost.
    pub(crate) async fn forget(&mut self) {
        let folder = tempfile::tempdir().unwrap();
        self.catalog =
            Catalog::open(&self.folder.path().join(folder.path().file_name().unwrap())).await.unwrap();
    }
}

pub(crate) fn api(base: &str) -> Api {
    Api::new(ServerUrl::parse(base).unwrap(), None, limits()).unwrap()
}

/// Impatient: tests break connections on purpose.
fn limits() -> Limits {
    Limits {
        retries: 1,
        first_delay: Duration::from_millis(5),
        longest_delay: Duration::from_millis(20),
        ..Limits::default()
    }
}

pub(crate) fn settings(albums: AlbumRule) -> Settings {
    Settings {
        albums,
        patience: Duration::from_mins(1),
        thumbnailer: Thumbnailer::without_tools(),
        ..Settings::default()
    }
}

/// Bytes that begin like a JPEG and are unlike those of any other seed.
pub(crate) fn picture(seed: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xe0];
    let mut state = u64::from(seed) + 1;
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 16).to_le_bytes()[..6]);
    }
    bytes.truncate(length);
    bytes
}

/// A QuickTime film of two seconds, unlike those of any other seed, which says nothing of a picture that it belongs to.
pub(crate) fn clip(seed: u8) -> Vec<u8> {
    clip_of(3_600_000_000, seed)
}

/// One that says that it was made then, in seconds since 1904.
pub(crate) fn clip_of(made: u32, seed: u8) -> Vec<u8> {
    let boxed = |kind: &[u8; 4], body: &[u8]| {
        let length = u32::try_from(body.len() + 8).unwrap();
        [&length.to_be_bytes(), &kind[..], body].concat()
    };
    // Version and flags, made, modified, units in a second, length; then what every film has alike.
    let mut header: Vec<u8> = [0_u32, made, made, 1000, 2000].map(u32::to_be_bytes).concat();
    header.resize(100, 0);
    let media = boxed(b"mdat", &picture(seed, 3000));
    [boxed(b"ftyp", b"qt  \0\0\x02\0qt  "), boxed(b"moov", &boxed(b"mvhd", &header)), media].concat()
}

/// Copies a tree with its modification times.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}
