//! The rules over a folder tree of real media, as a phone's engine runs them; without the corpus generated files stand in.

use crate::tree::{Tree, settled};
use darkslide_client::backup::device::{Device, DeviceReport, backup_library, explain_library};
use darkslide_client::backup::gate::Outlook;
use darkslide_client::backup::rules::conditions::{Conditions, Network, Permissions, Trigger};
use darkslide_client::backup::rules::explanation::{Explanation, Skip, Wait};
use darkslide_client::backup::{Settings, backup};
use darkslide_client::catalog::Catalog;
use darkslide_client::event::Events;
use darkslide_client::library::device::{AlbumChoice, AssetKind, DeviceAsset};
use darkslide_client::library::{AlbumRule, Library as _, Part};
use darkslide_client::thumbnail::Thumbnailer;
use darkslide_client::versions::list_versions;
use darkslide_crypto::ContentHash;
use darkslide_e2e::phone::home::Home;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The corpus, or nothing where it is not. In CI it must be there.
fn corpus() -> Option<PathBuf> {
    let given = std::env::var_os("DARKSLIDE_CORPUS").map(PathBuf::from);
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let found = given.into_iter().chain([usual]).find(|path| path.join("MANIFEST.tsv").is_file());
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "CI needs the corpus: set DARKSLIDE_CORPUS");
    found
}

/// Fills a tree; says whether that was with the corpus.
fn fill(tree: &Tree) -> bool {
    let Some(corpus) = corpus() else {
        eprintln!("\n\nNOT TESTED: real media in a folder library, for want of the corpus.\n\n");
        for number in 0..20 {
            tree.write(&format!("corpus/jpeg/{number}.jpg"), &tree.picture());
            tree.write(&format!("corpus/burst/{number}.jpg"), &tree.picture());
        }
        return false;
    };
    let status = std::process::Command::new("cp")
        .args(["-rL", "--preserve=timestamps", "--no-preserve=mode"])
        .args([&corpus, &tree.root().join("corpus")])
        .status()
        .unwrap();
    assert!(status.success());
    true
}

/// A computer that goes from network to network, with a tree on it.
struct Laptop<'h> {
    home: &'h Home,
    tree: Tree,
    conditions: watch::Sender<Conditions>,
    sent: Arc<AtomicU64>,
}

impl<'h> Laptop<'h> {
    async fn new(home: &'h Home) -> Self {
        let (conditions, _) = watch::channel(Conditions::HOME);
        Self { home, tree: Tree::new(settled()).await, conditions, sent: Arc::default() }
    }

    fn network(&self, network: Network) {
        self.conditions.send_modify(|conditions| conditions.network = network);
    }

    fn device(&self) -> Device {
        Device { album: "Laptop".to_owned(), mirror: true, cache: self.tree.cache() }
    }

    /// `stop` is cancelled when so many more bytes have been sent.
    fn outlook(&self, stop: &CancellationToken, after: u64) -> Outlook {
        let (sent, stop) = (Arc::clone(&self.sent), stop.clone());
        let stop_at = sent.load(Ordering::Relaxed).saturating_add(after);
        Outlook {
            clock: Arc::new(|| darkslide_client::micros_of(std::time::SystemTime::now())),
            conditions: self.conditions.subscribe(),
            permissions: Permissions::default(),
            trigger: Trigger::Asked,
            before_part: Arc::new(move |_, bytes| {
                if sent.fetch_add(bytes, Ordering::Relaxed) + bytes > stop_at {
                    stop.cancel();
                }
            }),
        }
    }

    async fn choose_all(&self) {
        for album in self.tree.library.albums().await.unwrap() {
            self.choose(&album.name, AlbumChoice::Selected).await;
        }
    }

    async fn choose(&self, album: &str, choice: AlbumChoice) {
        let key = self.tree.library.album_key(Path::new(album));
        self.tree.catalog.choose_album(&key, album, Some(choice)).await.unwrap();
    }

    async fn run(&self) -> DeviceReport {
        self.run_until(u64::MAX).await
    }

    async fn run_until(&self, bytes: u64) -> DeviceReport {
        let stop = CancellationToken::new();
        let (session, catalog) = (self.home.session(), self.tree.catalog.clone());
        let library = Arc::clone(&self.tree.library);
        let (device, outlook, settings) = (self.device(), self.outlook(&stop, bytes), settings());
        let events = Events::silent();
        let run = backup_library(session, catalog, library, &device, outlook, &settings, &events, &stop);
        Box::pin(run).await.unwrap()
    }

    /// Compares every explanation with the vault and with how things are; gives them by path.
    async fn explained(&self) -> BTreeMap<String, Explanation> {
        let outlook = self.outlook(&CancellationToken::new(), u64::MAX);
        let (catalog, library) = (&self.tree.catalog, &*self.tree.library);
        let all = explain_library(catalog, library, &self.device(), &outlook).await.unwrap();
        let vault = self.home.contents().await;
        let network = self.conditions.borrow().network;
        let mut explained = BTreeMap::new();
        for (asset, told) in all {
            let folder = asset.albums.first().unwrap().folder.clone();
            let is_there = vault.contains(&self.content(&asset).await);
            let is_true = match &told {
                Explanation::BackedUp { is_whole, .. } => is_there && *is_whole,
                Explanation::Skipped(Skip::Excluded(album)) => album.as_bytes() == folder,
                Explanation::Waiting(Wait::Unmetered(kind)) => {
                    !is_there && *kind == asset.kind && network == Network::Metered
                }
                Explanation::Waiting(Wait::Turn) => network == Network::Unmetered,
                _ => false,
            };
            let path = String::from_utf8(asset.id.0).unwrap();
            assert!(is_true, "of {path} it is said: {told} (vault: {is_there})");
            explained.insert(path, told);
        }
        explained
    }

    async fn content(&self, asset: &DeviceAsset) -> String {
        let read = async |part| {
            let path = self.tree.library.open(&asset.id, part, Path::new("")).await.unwrap().unwrap();
            ContentHash::of(&fs::read(path).unwrap())
        };
        let main = read(Part::Main).await;
        if asset.kind == AssetKind::LivePhoto {
            return ContentHash::live_photo(main, read(Part::Motion).await).unwrap().to_string();
        }
        main.to_string()
    }
}

fn settings() -> Settings {
    Settings {
        patience: Duration::from_mins(1),
        thumbnailer: Thumbnailer::without_tools(),
        ..Settings::default()
    }
}

/// An album is excluded, the network is metered, then it is not; the run is stopped in the middle and the program begins anew.
#[tokio::test(flavor = "multi_thread")]
async fn the_rules_are_obeyed_in_a_folder() {
    let home = Home::new().await;
    let mut laptop = Laptop::new(&home).await;
    let is_real = fill(&laptop.tree);
    laptop.choose_all().await;
    laptop.choose("corpus/burst", AlbumChoice::Excluded).await;
    laptop.network(Network::Metered);
    laptop.run().await;
    assert_eq!((home.files().await.len(), laptop.sent.load(Ordering::Relaxed)), (0, 0));
    let explained = laptop.explained().await;
    let count = |explained: &BTreeMap<String, Explanation>, is: fn(&Explanation) -> bool| {
        explained.values().filter(|told| is(told)).count()
    };
    let excluded = count(&explained, |told| matches!(told, Explanation::Skipped(_)));
    assert!(excluded >= 6 && explained.len() >= 40, "{explained:#?}");

    laptop.network(Network::Unmetered);
    let total = bytes_below(&laptop.tree.root());
    let cut = laptop.run_until(total / 4).await;
    assert!(cut.report.interrupted.is_some() && !cut.is_complete, "{:?}", cut.report);
    laptop.explained().await;
    laptop.tree.restart(settled());
    let ran = laptop.run().await;
    assert!(ran.is_complete && ran.report.failed.is_empty(), "{:?}", ran.report);
    let sent = laptop.sent.load(Ordering::Relaxed);
    // What was acknowledged is not sent again; what was on its way, at most.
    assert!(sent < total + total / 4 + 8_000_000, "{sent} of {total}");
    let explained = laptop.explained().await;
    let safe = count(&explained, |told| matches!(told, Explanation::BackedUp { .. }));
    assert_eq!(safe + excluded, explained.len(), "{explained:#?}");
    let albums: Vec<_> = home.albums().await.into_iter().map(|(name, _)| name).collect();
    assert!(!albums.contains(&"corpus/burst".to_owned()), "{albums:?}");
    if is_real {
        is_one_file_each(&home).await;
    }
    let again = laptop.run().await;
    assert_eq!((again.report.bytes_sent, again.report.bytes_hashed), (0, 0), "{:?}", again.report);
}

fn bytes_below(folder: &Path) -> u64 {
    let size = |path: &Path| if path.is_dir() { bytes_below(path) } else { path.metadata().unwrap().len() };
    fs::read_dir(folder).unwrap().map(|entry| size(&entry.unwrap().path())).sum()
}

/// A Live Photo is one file of the vault.
async fn is_one_file_each(home: &Home) {
    const LIVE_PHOTO: i64 = 2;
    let files = home.files().await;
    let live = files.iter().filter(|row| row.kind == LIVE_PHOTO);
    let live: BTreeSet<_> = live.filter_map(|row| row.title.as_deref()).collect();
    assert!(live.contains("train.jpg") && live.contains("IMG_7001.HEIC"), "{live:?}");
    assert!(!files.iter().any(|row| row.title.as_deref() == Some("train.mov")));
}

/// An edit is a version of its file; another picture at the same place is a picture of its own, though its library gives it the same id.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_becomes_a_version_and_another_picture_does_not() {
    let Some(corpus) = corpus() else { return };
    let home = Home::new().await;
    let laptop = Laptop::new(&home).await;
    let dated = fs::read(corpus.join("jpeg/prairie_falcon.jpg")).unwrap();
    let written = |path: &str, bytes: &[u8], later: u64| {
        laptop.tree.write(path, bytes);
        let file = fs::File::options().write(true).open(laptop.tree.root().join(path)).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.set_modified(modified + Duration::from_secs(later)).unwrap();
    };
    written("a/IMG_0001.jpg", &dated, 0);
    // A camera that begins its names again; all that speaks for the same moment is the name.
    written("a/IMG_20190720_161718.jpg", &laptop.tree.picture(), 0);
    laptop.choose_all().await;
    laptop.run().await;
    let before = home.files().await;
    assert_eq!(before.len(), 2);
    written("a/IMG_0001.jpg", &[dated.as_slice(), b"edited"].concat(), 600);
    written("a/IMG_20190720_161718.jpg", &laptop.tree.picture(), 600);
    laptop.run().await;
    let after = home.files().await;
    assert_eq!(after.len(), 3, "{after:?}");
    let (session, catalog) = home.elsewhere();
    for row in &before {
        let versions = list_versions(session, catalog, row.id).await.unwrap().len();
        assert_eq!(versions, usize::from(row.title.as_deref() == Some("IMG_0001.jpg")), "{row:?}");
    }
    laptop.explained().await;
    // The video of a Live Photo that comes later completes the file of its still.
    written("b/train.jpg", &fs::read(corpus.join("live-photo/train.jpg")).unwrap(), 0);
    laptop.tree.library.changes(None).await.unwrap();
    laptop.choose_all().await;
    laptop.run().await;
    written("b/train.mov", &fs::read(corpus.join("live-photo/train.mov")).unwrap(), 0);
    laptop.run().await;
    let whole = home.files().await;
    assert_eq!(whole.len(), 4, "{whole:?}");
    assert!(whole.iter().any(|row| row.title.as_deref() == Some("train.jpg") && row.kind == 2));
    laptop.explained().await;
    home.verify(4).await;
}

/// Which way a tree goes makes no difference to the vault: album by album, name by name and byte by byte.
#[tokio::test(flavor = "multi_thread")]
async fn the_vault_holds_what_a_backup_of_the_folder_holds() {
    let by_rules = Home::new().await;
    let laptop = Laptop::new(&by_rules).await;
    fill(&laptop.tree);
    laptop.choose_all().await;
    let ran = laptop.run().await;
    assert!(ran.is_complete, "{:?}", ran.report);

    let by_plan = Home::new().await;
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&folder.path().join("catalog.db")).await.unwrap();
    let (roots, settings) = ([laptop.tree.root()], Settings { albums: AlbumRule::PerFolder, ..settings() });
    let (events, stop) = (Events::silent(), CancellationToken::new());
    let report = backup(by_plan.session(), catalog, &roots, &settings, &events, &stop).await.unwrap();
    assert!(report.is_complete(), "{report:?}");

    let (one, other) = (held(&by_rules).await, held(&by_plan).await);
    assert!(one.len() >= 40, "{one:?}");
    assert_eq!(one, other);
    assert_eq!(by_rules.albums().await, by_plan.albums().await);
}

/// Content hashes and titles of what a vault holds. Which of several names one content has is a matter of which was first.
async fn held(home: &Home) -> BTreeMap<String, (usize, Option<String>)> {
    let mut held: BTreeMap<String, (usize, Option<String>)> = BTreeMap::new();
    for row in home.files().await {
        let (count, title) = held.entry(row.content_hash.unwrap().to_string()).or_default();
        *count += 1;
        *title = row.title.filter(|_| *count == 1);
    }
    held
}
