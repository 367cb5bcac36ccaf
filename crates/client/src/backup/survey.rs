//! A root, looked at: what is there is compared with what the catalog knows while it is found, and what is in the vault as it is,
//! which is nearly everything nearly always, is counted and let go of. The plan is made of the rest.
//!
//! Files and assets both come in the order of their paths' bytes, so neither is ever held as a whole.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use darkslide_protocol::FileId;
use tokio::sync::mpsc;

use super::Settings;
use super::error::BackupError;
use super::plan::{self, BackupPlan, Kin, is_settled, kin_of};
use super::run::Run;
use crate::catalog::{AlbumMark, AssetRow, Catalog, CatalogError, Fingerprint, SettledRow};
use crate::event::{Event, Events};
use crate::library::selection::{Reach, Scope, Selection};
use crate::library::{AlbumRule, Found, PassedOver, folder, path_of, raw};

/// Settled assets that are read from the catalog at once.
const PAGE: u32 = 4000;

/// Often enough to see it move.
const TELL_EVERY: u64 = 256;

/// What a look at one root brought.
#[derive(Debug)]
pub(super) struct Survey {
    /// The root: absolute, links resolved.
    pub(super) root: PathBuf,
    /// Files that are in the vault as they are.
    pub(super) unchanged: u64,
    /// What is done with the others.
    pub(super) plan: BackupPlan,
    /// Everything else that was met.
    pub(super) passed_over: Vec<PassedOver>,
}

/// Looks at a root, or the part of it that the run's settings select. `displaced` are files that are no longer what this device has
/// of them.
pub(super) async fn survey(
    run: &Run,
    path: &Path,
    displaced: &BTreeSet<FileId>,
) -> Result<Survey, BackupError> {
    look(&run.catalog, path, &run.settings, displaced, &run.events).await
}

async fn look(
    catalog: &Catalog,
    path: &Path,
    settings: &Settings,
    displaced: &BTreeSet<FileId>,
    events: &Events,
) -> Result<Survey, BackupError> {
    let of_root = |source| BackupError::Root { path: path.to_owned(), source };
    let Settings { albums: rule, selection, .. } = settings;
    let is_all = selection.scope == Scope::Everything;
    let root = folder::root_of(path).map_err(of_root)?;
    // Of a root that is one file nothing else was looked at.
    let is_single = !path.is_dir();
    let (pages, settled) = mpsc::channel(2);
    let (rule, selection) = (rule.clone(), selection.clone());
    let sift = Sift { root: root.clone(), rule, selection, displaced: displaced.clone(), settled };
    let (walked, events) = (path.to_owned(), events.clone());
    let walking = tokio::task::spawn_blocking(move || sift.walk(&walked, &events));
    // Of some folders less is known than of all, and is asked for when it is known what is in them.
    let fed = if is_all {
        feed(catalog, &raw(&root), pages).await
    } else {
        drop(pages);
        Ok(())
    };
    let sifted = walking.await.expect("a walk does not panic").map_err(of_root)?;
    fed?;
    let Sifted { mut unchanged, mut rest, passed_over } = sifted;
    let mut known = Vec::new();
    if !is_all {
        known = catalog.assets_in(&raw(&root), &settings.selection.scope).await?;
    } else if !rest.is_empty() && catalog.has_assets(&raw(&root)).await? {
        known = known_of(catalog, &root, &rest).await?;
        let is_seen = |row: &AssetRow| {
            let relative = path_of(&row.path);
            !is_single && settings.selection.exclude.matching(&relative).is_none()
        };
        for companion in companions(catalog, &root, &rest, &known).await?.into_iter().filter(is_seen) {
            unchanged = unchanged.saturating_sub(1);
            rest.push(Found { path: path_of(&companion.path), fingerprint: companion.fingerprint });
            known.push(companion);
        }
    }
    let plan = plan::plan(&root, &rest, &known, displaced, &settings.albums);
    Ok(Survey { root, unchanged, plan, passed_over })
}

/// Hands the settled assets of a root on, until nobody wants more.
async fn feed(
    catalog: &Catalog,
    root: &[u8],
    pages: mpsc::Sender<Vec<SettledRow>>,
) -> Result<(), CatalogError> {
    let mut after = Vec::new();
    loop {
        let page = catalog.settled_assets(root, &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after.clone_from(&last.path);
        if pages.send(page).await.is_err() {
            return Ok(());
        }
    }
}

/// Tells what is settled from what is not, file by file.
struct Sift {
    root: PathBuf,
    rule: AlbumRule,
    selection: Selection,
    displaced: BTreeSet<FileId>,
    settled: mpsc::Receiver<Vec<SettledRow>>,
}

struct Sifted {
    unchanged: u64,
    rest: Vec<Found>,
    passed_over: Vec<PassedOver>,
}

impl Sift {
    /// Blocks.
    fn walk(self, path: &Path, events: &Events) -> std::io::Result<Sifted> {
        let Self { root, rule, selection, displaced, settled } = self;
        let mut settled = InOrder { pages: settled, page: Vec::new().into_iter().peekable() };
        let mut album = None;
        let (mut seen, mut unchanged, mut rest) = (0, 0, Vec::new());
        let passed_over = folder::walk(path, &selection, |found| {
            seen += 1;
            if seen % TELL_EVERY == 0 {
                events.send_blocking(Event::Scanned { found: seen });
            }
            let is_settled = settled.take(found.path.as_os_str().as_encoded_bytes()).is_some_and(|row| {
                is_settled(&row, &found, &displaced, album_mark(&mut album, &rule, &root, &found.path))
            });
            if is_settled {
                unchanged += 1;
            } else {
                rest.push(found);
            }
        })?;
        Ok(Sifted { unchanged, rest, passed_over })
    }
}

/// The album of a file; those of one folder are in the same one.
fn album_mark<'m>(
    last: &'m mut Option<(PathBuf, AlbumMark)>,
    rule: &AlbumRule,
    root: &Path,
    path: &Path,
) -> &'m AlbumMark {
    let folder = path.parent().unwrap_or(Path::new(""));
    if last.as_ref().is_none_or(|(known, _)| known.as_os_str() != folder.as_os_str()) {
        *last = Some((folder.to_owned(), AlbumMark::of(&rule.album_of(root, path).key)));
    }
    &last.as_ref().expect("it was just set").1
}

/// The settled assets one by one.
struct InOrder {
    pages: mpsc::Receiver<Vec<SettledRow>>,
    page: std::iter::Peekable<std::vec::IntoIter<SettledRow>>,
}

impl InOrder {
    /// The asset at this path, which lies behind all that were asked for before. Those in between are gone from the disk.
    fn take(&mut self, path: &[u8]) -> Option<SettledRow> {
        loop {
            match self.page.peek() {
                Some(row) if row.path.as_slice() < path => drop(self.page.next()),
                Some(row) if row.path == path => return self.page.next(),
                Some(_) => return None,
                None => self.page = self.pages.blocking_recv()?.into_iter().peekable(),
            }
        }
    }
}

/// What the catalog knows of files that are not settled.
async fn known_of(catalog: &Catalog, root: &Path, rest: &[Found]) -> Result<Vec<AssetRow>, CatalogError> {
    let root = raw(root);
    let mut known = catalog.unsettled_assets(&root).await?;
    let already: HashSet<&[u8]> = known.iter().map(|row| row.path.as_slice()).collect();
    let paths = rest.iter().map(|found| raw(&found.path)).filter(|path| !already.contains(path.as_slice()));
    let paths: Vec<Vec<u8>> = paths.collect();
    known.extend(catalog.assets_at(&root, &paths).await?);
    Ok(known)
}

/// Settled files beside which something arrived that may be the other half of a Live Photo.
async fn companions(
    catalog: &Catalog,
    root: &Path,
    rest: &[Found],
    known: &[AssetRow],
) -> Result<Vec<AssetRow>, CatalogError> {
    let bytes = |found: &'_ Found| raw(&found.path);
    let here: HashMap<Vec<u8>, Fingerprint> =
        rest.iter().map(|found| (bytes(found), found.fingerprint)).collect();
    let prints: HashMap<&[u8], Fingerprint> = known
        .iter()
        .flat_map(|row| {
            // The video of a still that is gone, or another now, is as new as any.
            let is_intact = here.get(&row.path) == Some(&row.fingerprint);
            let motion = row.motion.as_ref().filter(|_| is_intact);
            let motion = motion.map(|(path, print)| (path.as_slice(), *print));
            std::iter::once((row.path.as_slice(), row.fingerprint)).chain(motion)
        })
        .collect();
    let arrived = rest.iter().filter(|found| prints.get(bytes(found).as_slice()) != Some(&found.fingerprint));
    let wanted: HashSet<Kin> = arrived.filter_map(|found| kin_of(&found.path)).map(Kin::other_half).collect();
    let folders: BTreeSet<&Path> = wanted.iter().map(|kin| kin.folder.as_path()).collect();
    let mut companions = Vec::new();
    for folder in folders {
        let is_one = |row: &AssetRow| {
            row.is_settled()
                && !here.contains_key(&row.path)
                && kin_of(&path_of(&row.path)).is_some_and(|kin| wanted.contains(&kin))
        };
        let keep = |row: AssetRow| companions.extend(Some(row).filter(is_one));
        catalog.each_asset_of(&raw(root), folder, Reach::Itself, keep).await?;
    }
    // What is known and gone is nobody's companion.
    companions.retain(|row| {
        let metadata = root.join(path_of(&row.path)).metadata();
        metadata.is_ok_and(|metadata| folder::fingerprint(&metadata) == row.fingerprint)
    });
    Ok(companions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::plan::Decision;
    use crate::catalog::{AssetState, DeviceAlbumKey};
    use darkslide_crypto::ContentHash;
    use proptest::prelude::*;
    use std::fs;

    /// What is on the disk at one path, and what the catalog says of it.
    #[derive(Clone, Debug)]
    struct Case {
        path: String,
        is_there: bool,
        known: Option<(AssetState, bool, bool, i64)>,
    }

    fn cases() -> impl Strategy<Value = Vec<Case>> {
        let folder = prop::sample::select(vec!["", "a/", "a b/", "a/b/", "c/"]);
        let name = prop::sample::select(vec!["1.jpg", "1.mov", "2.jpg", "2.heic", "2.mov", "n.txt"]);
        let state = prop::sample::select(vec![
            AssetState::BackedUp,
            AssetState::BackedUp,
            AssetState::BackedUp,
            AssetState::Skipped,
            AssetState::Blocked,
            AssetState::NotMedia,
        ]);
        let known = prop::option::weighted(0.7, (state, prop::bool::weighted(0.8), any::<bool>(), 1_i64..6));
        let case =
            (folder, name, prop::bool::weighted(0.9), known).prop_map(|(folder, name, is_there, known)| {
                Case { path: format!("{folder}{name}"), is_there, known }
            });
        prop::collection::vec(case, 1..16).prop_map(|mut cases| {
            cases.sort_by(|one, other| one.path.cmp(&other.path));
            cases.dedup_by(|one, other| one.path == other.path);
            cases
        })
    }

    /// The rows of what the catalog is to know; files that are there are written.
    fn rows(root: &Path, cases: &[Case]) -> Vec<AssetRow> {
        for case in cases.iter().filter(|case| case.is_there) {
            let path = root.join(&case.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, case.path.as_bytes()).unwrap();
        }
        let print = |path: &str| match root.join(path).metadata() {
            Ok(metadata) => folder::fingerprint(&metadata),
            Err(_) => Fingerprint { size: 1, modified_ns: 1, inode: 1 },
        };
        let row = |case: &Case| {
            let (state, is_same, has_motion, file) = case.known?;
            let mut fingerprint = print(&case.path);
            fingerprint.size += u64::from(!is_same);
            let video = case.path.replace(".jpg", ".mov").replace(".heic", ".mov");
            let motion = Some((video.clone().into_bytes(), print(&video)));
            Some(AssetRow {
                root: raw(root),
                path: case.path.clone().into_bytes(),
                fingerprint,
                motion: motion.filter(|_| has_motion && video != case.path),
                album: AlbumRule::PerFolder.album_of(root, Path::new(&case.path)).key,
                content_hash: Some(ContentHash::of(case.path.as_bytes())),
                file: Some(FileId(file)),
                state,
                reason: None,
                first_seen: 1,
                last_seen: 1,
            })
        };
        cases.iter().filter_map(row).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        /// What is let go of early is exactly what a plan of everything would leave alone.
        #[test]
        fn the_rest_is_planned_as_if_all_were(cases in cases()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let home = tempfile::tempdir().unwrap();
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().canonicalize().unwrap();
            let known = rows(&root, &cases);
            let displaced = BTreeSet::from([FileId(1)]);
            let rule = AlbumRule::PerFolder;
            let surveyed = runtime.block_on(async {
                let catalog = Catalog::open(&home.path().join("catalog")).await.unwrap();
                for row in &known {
                    catalog.put_asset(row).await.unwrap();
                }
                let settings = Settings { albums: rule.clone(), ..Settings::default() };
                look(&catalog, &root, &settings, &displaced, &Events::silent()).await.unwrap()
            });
            let scan = folder::scan(&root, |_| ()).unwrap();
            let whole = plan::plan(&root, &scan.files, &known, &displaced, &rule);
            let work = |plan: BackupPlan| {
                plan.steps.into_iter().filter(|step| step.decision != Decision::Unchanged).collect::<Vec<_>>()
            };
            let unchanged = |plan: &BackupPlan| {
                plan.steps.iter().filter(|step| step.decision == Decision::Unchanged).count() as u64
            };
            prop_assert_eq!(surveyed.unchanged + unchanged(&surveyed.plan), unchanged(&whole));
            prop_assert_eq!(work(surveyed.plan), work(whole));
        }
    }

    #[test]
    fn marks_are_those_that_the_catalog_makes() {
        let key = DeviceAlbumKey { root: b"/a\xff".to_vec(), folder: Vec::new() };
        assert_eq!(AlbumMark::of(&key), AlbumMark::of(&key.clone()));
        assert_ne!(
            AlbumMark::of(&key),
            AlbumMark::of(&DeviceAlbumKey { root: Vec::new(), folder: b"/a\xff".to_vec() })
        );
    }
}
