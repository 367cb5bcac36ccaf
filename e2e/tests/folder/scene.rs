//! A server, an account, a sync folder, and the same account on another device.

use darkslide_client::FileId;
use darkslide_client::api::{Api, Limits, ServerUrl};
use darkslide_client::backup;
use darkslide_client::catalog::{Catalog, FileFilter, NewSyncFolder, SyncFolderRow};
use darkslide_client::event::Events;
use darkslide_client::feed;
use darkslide_client::folder::reconcile::Direction;
use darkslide_client::folder::report::PassReport;
use darkslide_client::folder::{Memories, PassSettings, Share, SyncError, choose, pass, trash};
use darkslide_client::library::settle::Settling;
use darkslide_client::session::Session;
use darkslide_client::thumbnail::Thumbnailer;
use darkslide_client::trash::trash_files;
use darkslide_e2e::engine::Engine;
use darkslide_e2e::owner;
use darkslide_e2e::process::ServerProcess;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// One device with sync folders, and another one.
pub(crate) struct Scene {
    pub(crate) server: ServerProcess,
    pub(crate) session: Arc<Session>,
    pub(crate) catalog: Catalog,
    pub(crate) memories: Memories,
    pub(crate) settings: PassSettings,
    folder: TempDir,
    elsewhere: Catalog,
}

impl Scene {
    /// With one folder, `Phone`.
    pub(crate) async fn new() -> Self {
        let scene = Self::bare().await;
        scene.add("Phone", Direction::Both, None).await;
        scene
    }

    /// Without a folder.
    pub(crate) async fn bare() -> Self {
        let server = ServerProcess::start(&Engine::Sqlite).await;
        let session = Arc::new(owner::sign_up(&server, &api(&server.base())).await);
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("catalog.db")).await.unwrap();
        let elsewhere = Catalog::open(&folder.path().join("elsewhere.db")).await.unwrap();
        let settings = PassSettings {
            sending: backup::Settings { thumbnailer: Thumbnailer::off(), ..backup::Settings::default() },
            settling: Settling { photos: Duration::ZERO, videos: Duration::ZERO, incomplete: Duration::ZERO },
            absence: Duration::ZERO,
            // The calls that a pass makes are counted.
            share: Share { news: Duration::from_hours(1), ..Share::default() },
            polled: None,
        };
        Self { server, session, catalog, memories: Memories::default(), settings, folder, elsewhere }
    }

    /// Adds a folder, whose album has its name.
    pub(crate) async fn add(
        &self,
        name: &str,
        direction: Direction,
        keep: Option<Duration>,
    ) -> SyncFolderRow {
        self.add_new(name, name, direction, keep).await
    }

    /// Adds a folder for another one's album.
    pub(crate) async fn add_to(&self, name: &str, album: &str) -> SyncFolderRow {
        self.add_new(name, album, Direction::Both, None).await
    }

    async fn add_new(
        &self,
        name: &str,
        album: &str,
        direction: Direction,
        keep: Option<Duration>,
    ) -> SyncFolderRow {
        let path = self.folder.path().canonicalize().unwrap().join(name);
        fs::create_dir_all(&path).unwrap();
        let trash = self.folder.path().join(format!("trash-{name}"));
        let rows = self.catalog.sync_folders().await.unwrap();
        let path = choose::admit(&path, &trash, direction, &rows, &[]).unwrap();
        let taken: Vec<_> = rows.into_iter().map(|row| row.folder.marker).collect();
        let marker = choose::mark(&path, &taken).unwrap();
        let keep_older_than = keep.map(|keep| keep.as_micros().try_into().unwrap());
        let new = NewSyncFolder { path, marker, album: album.to_owned(), direction, keep_older_than, trash };
        self.catalog.add_sync_folder(&new, 0).await.unwrap();
        self.row(name).await
    }

    pub(crate) async fn row(&self, name: &str) -> SyncFolderRow {
        let rows = self.catalog.sync_folders().await.unwrap();
        rows.into_iter().find(|row| row.folder.path.ends_with(name)).unwrap()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(path)
    }

    /// Writes a picture; its content is that of the number.
    pub(crate) fn write(&self, path: &str, number: u8) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, picture(number)).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        let to = self.path(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::rename(self.path(from), to).unwrap();
    }

    /// One pass over one folder.
    pub(crate) async fn pass_over(&mut self, name: &str) -> Result<PassReport, SyncError> {
        let session = Arc::clone(&self.session);
        self.pass_with(&session, name).await
    }

    /// The same through another connection.
    pub(crate) async fn pass_with(
        &mut self,
        session: &Arc<Session>,
        name: &str,
    ) -> Result<PassReport, SyncError> {
        let row = self.row(name).await;
        let (events, stop) = (Events::silent(), CancellationToken::new());
        pass(session, &self.catalog, &row, &mut self.memories, &self.settings, &events, &stop).await
    }

    /// Passes over `Phone` until one does nothing, and at least the two looks that an absence needs; what they did together.
    pub(crate) async fn settle(&mut self) -> PassReport {
        self.settle_over("Phone").await
    }

    pub(crate) async fn settle_over(&mut self, name: &str) -> PassReport {
        let mut whole = PassReport::default();
        for turn in 0..8 {
            let report = self.pass_over(name).await.unwrap();
            let is_quiet = !report.did_something() && !report.has_more && report.look_again.is_none();
            whole = whole.then(report);
            if is_quiet && turn > 0 {
                return whole;
            }
        }
        panic!("it does not come to rest: {whole:?}");
    }

    /// Titles of the live files, in order, as the other device sees them.
    pub(crate) async fn vault(&self) -> Vec<String> {
        feed::pull(&self.session, &self.elsewhere).await.unwrap();
        let rows = self.elsewhere.files(&FileFilter::default()).await.unwrap();
        let files: BTreeMap<FileId, String> =
            rows.into_iter().map(|row| (row.id, row.title.unwrap_or_default())).collect();
        let mut titles: Vec<_> = files.into_values().collect();
        titles.sort();
        titles
    }

    pub(crate) async fn file(&self, title: &str) -> FileId {
        feed::pull(&self.session, &self.elsewhere).await.unwrap();
        let rows = self.elsewhere.files(&FileFilter::default()).await.unwrap();
        rows.into_iter().find(|row| row.title.as_deref() == Some(title)).expect("it is in the vault").id
    }

    /// The other device trashes a file, and says which it was.
    pub(crate) async fn trash_elsewhere(&self, title: &str) -> FileId {
        let file = self.file(title).await;
        darkslide_client::trash::trash_files(&self.session, &self.elsewhere, &[file]).await.unwrap();
        file
    }

    /// What the other device knows.
    pub(crate) fn elsewhere(&self) -> Catalog {
        self.elsewhere.clone()
    }

    /// Trashes a file elsewhere, while something else is under way, and waits until the folder has heard of it.
    pub(crate) fn trashes(&self, file: FileId) -> Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync> {
        let (session, elsewhere, here) = (Arc::clone(&self.session), self.elsewhere(), self.catalog.clone());
        Box::new(move || {
            let (session, elsewhere, here) = (Arc::clone(&session), elsewhere.clone(), here.clone());
            let trashed = async move {
                trash_files(&session, &elsewhere, &[file]).await.unwrap();
                while here.trash().await.unwrap().iter().all(|row| row.file != file) {
                    tokio::task::yield_now().await;
                }
            };
            trashed.boxed()
        })
    }

    pub(crate) async fn restore_elsewhere(&self, file: FileId) {
        feed::pull(&self.session, &self.elsewhere).await.unwrap();
        darkslide_client::trash::restore_from_trash(&self.session, &self.elsewhere, &[file], None)
            .await
            .unwrap();
    }

    pub(crate) async fn purge_elsewhere(&self, file: FileId) {
        feed::pull(&self.session, &self.elsewhere).await.unwrap();
        darkslide_client::trash::purge_files(&self.session, &self.elsewhere, &[file]).await.unwrap();
    }

    /// Titles in the vault's trash, in order.
    pub(crate) async fn vault_trash(&self) -> Vec<String> {
        feed::pull(&self.session, &self.elsewhere).await.unwrap();
        let rows = self.elsewhere.trash().await.unwrap();
        let mut titles: Vec<_> = rows.into_iter().filter_map(|row| row.title).collect();
        titles.sort();
        titles
    }

    /// What lies in a folder, by its paths below it, markers aside; of each file the number that it holds.
    pub(crate) fn tree(&self, name: &str) -> BTreeMap<String, u8> {
        let root = self.path(name);
        let mut tree = BTreeMap::new();
        read_tree(&root, &root, &mut tree);
        tree
    }

    pub(crate) async fn local_trash(&self, name: &str) -> Vec<trash::TrashedFile> {
        trash::list(&self.row(name).await.folder.trash).unwrap()
    }

    /// The same session over another address of the server.
    pub(crate) fn through(&self, base: &str) -> Arc<Session> {
        owner::again(&self.session, &api(base))
    }
}

/// A device that keeps a folder of its own in step.
pub(crate) struct Device {
    catalog: Catalog,
    memories: Memories,
}

impl Scene {
    /// Two pictures, in the folder and on another device of the account.
    pub(crate) async fn with_two_on_both() -> (Self, Device) {
        let mut scene = Self::new().await;
        for (path, number) in [("Phone/a.jpg", 1), ("Phone/b.jpg", 2)] {
            scene.write(path, number);
        }
        scene.settle().await;
        let mut tablet = scene.second_device("Tablet", "Phone").await;
        tablet.settle(&scene).await;
        (scene, tablet)
    }

    /// Another device of the account, with a folder for this album.
    pub(crate) async fn second_device(&self, name: &str, album: &str) -> Device {
        self.second_device_with_trash(name, album, &format!("trash-{name}")).await
    }

    pub(crate) async fn second_device_with_trash(&self, name: &str, album: &str, trash: &str) -> Device {
        let catalog = Catalog::open(&self.path(&format!("{name}.db"))).await.unwrap();
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        let (marker, trash) = (choose::mark(&path, &[]).unwrap(), self.path(trash));
        let (album, direction) = (album.to_owned(), Direction::Both);
        let new = NewSyncFolder { path, marker, album, direction, keep_older_than: None, trash };
        catalog.add_sync_folder(&new, 0).await.unwrap();
        Device { catalog, memories: Memories::default() }
    }
}

impl Device {
    /// The same device, as another program on it finds it.
    pub(crate) fn again(&self) -> Self {
        Self { catalog: self.catalog.clone(), memories: Memories::default() }
    }

    /// What it knows.
    pub(crate) fn catalog(&self) -> Catalog {
        self.catalog.clone()
    }

    /// One pass.
    pub(crate) async fn pass_with(
        &mut self,
        session: &Arc<Session>,
        settings: &PassSettings,
    ) -> Result<PassReport, SyncError> {
        let row = self.catalog.sync_folders().await.unwrap().remove(0);
        let (events, stop) = (Events::silent(), CancellationToken::new());
        pass(session, &self.catalog, &row, &mut self.memories, settings, &events, &stop).await
    }

    /// Passes until one does nothing.
    pub(crate) async fn settle(&mut self, scene: &Scene) {
        for turn in 0..8 {
            let report = self.pass_with(&scene.session, &scene.settings).await.unwrap();
            if turn > 0 && !report.did_something() && report.look_again.is_none() {
                return;
            }
        }
        panic!("it does not come to rest");
    }
}

fn read_tree(root: &Path, folder: &Path, tree: &mut BTreeMap<String, u8>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_tree(root, &path, tree);
        } else if !path.ends_with(darkslide_client::folder::marker::NAME) {
            let below = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            tree.insert(below, number_of(&fs::read(path).unwrap()));
        }
    }
}

pub(crate) fn tree_of<const N: usize>(files: [(&str, u8); N]) -> BTreeMap<String, u8> {
    files.map(|(path, number)| (path.to_owned(), number)).into()
}

/// A small picture that is whole for whoever looks for its end.
pub(crate) fn picture(number: u8) -> Vec<u8> {
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xe0, 0, 16];
    bytes.extend_from_slice(b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    bytes.extend_from_slice(&[0xff, 0xfe, 0, 3, number]);
    bytes.extend_from_slice(&[0xff, 0xd9]);
    bytes
}

fn number_of(bytes: &[u8]) -> u8 {
    assert_eq!(bytes.get(..4), Some(&[0xff, 0xd8, 0xff, 0xe0][..]));
    bytes[bytes.len() - 3]
}

fn api(base: &str) -> Api {
    let limits = Limits {
        retries: 1,
        first_delay: Duration::from_millis(5),
        longest_delay: Duration::from_millis(20),
        ..Limits::default()
    };
    Api::new(ServerUrl::parse(base).unwrap(), None, limits).unwrap()
}
