//! A root, looked at: what is in the vault as it is is let go of while it is found ([`sift`](super::sift)), and the rest is planned in
//! portions. Of a portion stays what is to be done with it, in little memory where it is much: a root may have hundreds of thousands of
//! files that are new.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use darkslide_media::probe::micros_of;
use darkslide_protocol::FileId;
use tokio::sync::mpsc;

use super::Settings;
use super::again::leave_for_later;
use super::companions::{Arrivals, Arrived, other_halves};
use super::error::BackupError;
use super::hold::hold_back;
use super::plan::{self, Decision, Step, Why};
use super::portions::Portion;
use super::report::{OtherFiles, Waiting};
use super::run::Run;
use super::sift::{self, Sift, Walked, gone_of};
use super::to_read::FilesToRead;
use crate::catalog::{AssetRow, Catalog, CatalogError, SettledRow};
use crate::event::Events;
use crate::library::selection::{Exclusions, Reach, Scope, Selection};
use crate::library::{Found, PassedOver, folder, ours, path_of, raw};

/// Settled assets that are read from the catalog at once.
const PAGE: u32 = 4000;

/// Handfuls of files that are found ahead of who tells the settled ones.
const FOUND_AHEAD: usize = 4;

/// Files that are planned at once, as far as no folder has to be cut between the halves of a Live Photo.
const PORTION: usize = 4096;

/// What a look at one root brought.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The root: absolute, links resolved.
    pub(super) root: PathBuf,
    /// Files that are in the vault as they are.
    pub(super) unchanged: u64,
    /// What must be read.
    pub(super) to_read: FilesToRead,
    /// What is looked up in the vault.
    pub(super) steps: Vec<Step>,
    /// What was looked at before, and is neither a picture nor a video.
    pub(super) not_media: OtherFiles,
    /// What failed, and has its pause.
    pub(super) resting: u64,
    /// What has not settled.
    pub(super) waiting: Vec<Waiting>,
    /// Everything else that was met.
    pub(super) passed_over: Vec<PassedOver>,
}

impl Survey {
    /// Whether anything may have to be sent.
    pub(super) fn has_work(&self) -> bool {
        self.to_read.total().0 > 0 || !self.steps.is_empty()
    }

    /// Whether all that there is was passed over.
    pub(super) fn found_nothing(&self) -> bool {
        let is_known = self.unchanged + self.not_media.files + self.resting > 0;
        !self.passed_over.is_empty() && !is_known && self.waiting.is_empty() && !self.has_work()
    }

    fn take(&mut self, step: Step) {
        match &step.decision {
            Decision::Unchanged => self.unchanged += 1,
            Decision::Read(_) => self.to_read.add(&step),
            Decision::Recheck(_) => self.steps.push(step),
            Decision::NotMedia(reason) => self.not_media.count(&self.root.join(&step.path), reason),
        }
    }
}

/// Looks at a root, or the part of it that the run's settings select.
pub(super) async fn survey(run: &Run, path: &Path) -> Result<Survey, BackupError> {
    let root = folder::root_of(path).map_err(|source| of_root(path, source))?;
    let displaced = run.catalog.displaced_files(&raw(&root)).await?;
    let sought = Sought { path, root, displaced };
    look(&run.catalog, sought, &run.settings, &run.events, PORTION, run.now).await
}

/// What is looked at.
struct Sought<'p> {
    /// As it was named.
    path: &'p Path,
    root: PathBuf,
    /// Files that are no longer what this device has of them.
    displaced: BTreeSet<FileId>,
}

fn of_root(path: &Path, source: io::Error) -> BackupError {
    BackupError::Root { path: path.to_owned(), source }
}

async fn look(
    catalog: &Catalog,
    Sought { path, root, displaced }: Sought<'_>,
    settings: &Settings,
    events: &Events,
    portion: usize,
    now: i64,
) -> Result<Survey, BackupError> {
    let displaced = &displaced;
    // Of a root that is one file nothing else was looked at.
    let is_single = !path.is_dir();
    let has_rows = catalog.has_assets(&raw(&root)).await?;
    let survey = Survey { root, ..Survey::default() };
    let arrivals = Arrivals::default();
    let mut planner =
        Planner { catalog, settings, displaced, has_rows, is_single, now, arrivals, companions: 0, survey };
    let mut seen = 0;
    for (folder, reach) in settings.selection.scope.starts() {
        let (pages, settled) = mpsc::channel(2);
        let (rest, portions) = mpsc::channel(1);
        let (gone, absent) = mpsc::channel(1);
        let (found, met) = mpsc::channel(FOUND_AHEAD);
        let selection = Selection { scope: only(folder, reach), exclude: settings.selection.exclude.clone() };
        let sift = Sift {
            root: planner.survey.root.clone(),
            rule: settings.albums.clone(),
            exclude: settings.selection.exclude.clone(),
            displaced: displaced.clone(),
            settled,
            met,
            rest,
            gone,
            is_all: !is_single,
            portion,
        };
        let (walked, events) = (path.to_owned(), events.clone());
        let walking =
            tokio::task::spawn_blocking(move || sift::walk(&walked, &selection, seen, &events, &found));
        let sifting = tokio::task::spawn_blocking(move || sift.take_all());
        let root = raw(&planner.survey.root);
        let feeding = feed(catalog, &root, (folder, reach), pages);
        let marking = mark_all(catalog, &root, absent);
        let (fed, planned, marked) = tokio::join!(feeding, planner.plan_all(portions), marking);
        let walked = walking.await.expect("a walk does not panic").map_err(|source| of_root(path, source))?;
        let unchanged = sifting.await.expect("sifting does not panic");
        fed?;
        planned?;
        marked?;
        if has_rows && !is_single {
            mark_unsettled(catalog, &planner.survey.root, &settings.selection.exclude, (folder, reach))
                .await?;
        }
        planner.survey.unchanged += unchanged;
        let Walked { passed_over, seen: seen_so_far } = walked;
        planner.survey.passed_over.extend(passed_over);
        seen = seen_so_far;
    }
    let Planner { mut survey, companions, .. } = planner;
    survey.unchanged = survey.unchanged.saturating_sub(companions);
    Ok(survey)
}

fn only(folder: &Path, reach: Reach) -> Scope {
    if folder.as_os_str().is_empty() && reach == Reach::Below {
        Scope::Everything
    } else {
        Scope::Folders([(folder.to_owned(), reach)].into())
    }
}

/// By this device's own clock, as the times of its files are.
fn here_now() -> i64 {
    micros_of(SystemTime::now())
}

/// Marks what a walk finds to be gone.
async fn mark_all(
    catalog: &Catalog,
    root: &[u8],
    mut gone: mpsc::Receiver<Vec<Vec<u8>>>,
) -> Result<(), CatalogError> {
    while let Some(paths) = gone.recv().await {
        catalog.mark_absent(root, &paths, here_now()).await?;
    }
    Ok(())
}

/// Marks what is gone of the assets of a part of a root that were not settled, which no walk is compared with.
async fn mark_unsettled(
    catalog: &Catalog,
    root: &Path,
    exclude: &Exclusions,
    (folder, reach): (&Path, Reach),
) -> Result<(), CatalogError> {
    let (place, mut after) = (raw(root), Vec::new());
    loop {
        let paths = catalog.unsettled_paths(&place, (folder, reach), &after, PAGE).await?;
        let Some(last) = paths.last() else { return Ok(()) };
        after.clone_from(last);
        let (root, exclude) = (root.to_owned(), exclude.clone());
        let looking = tokio::task::spawn_blocking(move || gone_of(&root, &exclude, paths));
        let gone = looking.await.expect("looking at files does not panic");
        if !gone.is_empty() {
            catalog.mark_absent(&place, &gone, here_now()).await?;
        }
    }
}

/// Hands the settled assets of a part of a root on, until nobody wants more.
async fn feed(
    catalog: &Catalog,
    root: &[u8],
    (folder, reach): (&Path, Reach),
    pages: mpsc::Sender<Vec<SettledRow>>,
) -> Result<(), CatalogError> {
    let mut after = Vec::new();
    loop {
        let page = catalog.settled_assets(root, (folder, reach), &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after.clone_from(&last.path);
        if pages.send(page).await.is_err() {
            return Ok(());
        }
    }
}

/// Plans what is not settled.
struct Planner<'a> {
    catalog: &'a Catalog,
    settings: &'a Settings,
    displaced: &'a BTreeSet<FileId>,
    /// Whether anything was ever seen under the root.
    has_rows: bool,
    is_single: bool,
    /// The present, µs since the epoch.
    now: i64,
    arrivals: Arrivals,
    /// Settled files that are read all the same.
    companions: u64,
    survey: Survey,
}

impl Planner<'_> {
    async fn plan_all(&mut self, mut portions: mpsc::Receiver<Portion>) -> Result<(), CatalogError> {
        while let Some(portion) = portions.recv().await {
            self.plan(portion).await?;
        }
        Ok(())
    }

    async fn plan(&mut self, Portion { mut files, finished, is_cut }: Portion) -> Result<(), CatalogError> {
        let (mut known, mut elsewhere) = (Vec::new(), HashSet::new());
        if self.has_rows {
            let root = raw(&self.survey.root);
            let paths: Vec<Vec<u8>> = files.iter().map(|found| raw(&found.path)).collect();
            known = self.catalog.assets_at(&root, &paths).await?;
            if is_cut {
                let stills = self.catalog.stills_of(&root, &paths).await?;
                let halves = other_halves(&paths, &known, stills);
                known.extend(self.catalog.assets_at(&root, &halves).await?);
                let halves = self.found_at(halves).await;
                elsewhere = halves.iter().map(|half| half.path.clone()).collect();
                files.extend(halves);
            }
        }
        let mut plan = plan::plan(&self.survey.root, &files, &known, self.displaced, &self.settings.albums);
        drop(files);
        // They were here to be seen. What is done with them is planned with the files that they lie among.
        plan.steps.retain(|step| !elsewhere.contains(&step.path));
        if !self.settings.is_asked {
            self.survey.resting += leave_for_later(&mut plan, &known, self.now);
        }
        if let Some(settling) = self.settings.settling {
            let (settled, waiting) = hold_back(&self.survey.root, plan, settling).await;
            plan = settled;
            self.survey.waiting.extend(waiting);
        }
        if self.has_rows && !self.is_single {
            self.arrivals.note(&plan, &known);
        }
        if self.has_rows {
            let as_they_were = plan.steps.iter().filter(|step| step.decision == Decision::Unchanged);
            let paths: Vec<Vec<u8>> = as_they_were.map(|step| raw(&step.path)).collect();
            self.catalog.mark_present(&raw(&self.survey.root), &paths).await?;
        }
        plan.steps.into_iter().for_each(|step| self.survey.take(step));
        for folder in finished {
            if let Some(arrived) = self.arrivals.take(&folder) {
                self.read_companions(&folder, &arrived).await?;
            }
        }
        Ok(())
    }

    /// What a walk of what is selected would find at these paths, which lie in a folder of it.
    async fn found_at(&self, paths: Vec<Vec<u8>>) -> Vec<Found> {
        let root = self.survey.root.clone();
        let exclude = self.settings.selection.exclude.clone();
        let looking = tokio::task::spawn_blocking(move || {
            let is_looked_for =
                |path: &PathBuf| exclude.matching(path).is_none() && ours::own_file(path).is_none();
            let paths = paths.iter().map(|path| path_of(path)).filter(is_looked_for);
            let found = |path: PathBuf| {
                let metadata = root.join(&path).symlink_metadata().ok().filter(std::fs::Metadata::is_file)?;
                Some(Found { path, fingerprint: folder::fingerprint(&metadata) })
            };
            paths.filter_map(found).collect()
        });
        looking.await.expect("looking at files does not panic")
    }

    /// Has the settled files of a folder read beside which something arrived that may be their other half.
    async fn read_companions(&mut self, folder: &Path, arrived: &Arrived) -> Result<(), CatalogError> {
        let root = &self.survey.root;
        let exclude = &self.settings.selection.exclude;
        let is_companion =
            |row: &AssetRow| arrived.is_companion(row) && exclude.matching(&path_of(&row.path)).is_none();
        let mut companions = Vec::new();
        let keep = |row: AssetRow| companions.extend(Some(row).filter(is_companion));
        self.catalog.each_asset_of(&raw(root), folder, Reach::Itself, keep).await?;
        for AssetRow { path, fingerprint, .. } in companions {
            let path = path_of(&path);
            // What is known and gone is nobody's companion.
            let metadata = root.join(&path).metadata();
            if metadata.is_ok_and(|metadata| folder::fingerprint(&metadata) == fingerprint) {
                let decision = Decision::Read(Why::Companion);
                self.survey.to_read.add(&Step { path, fingerprint, motion: None, decision });
                self.companions += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{AlbumMark, AssetState, DeviceAlbumKey, Fingerprint};
    use crate::library::AlbumRule;
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
        let name = prop::sample::select(vec![
            "0.heic", "1.jpg", "1.mov", "2.jpg", "2.heic", "2.mov", "9.mov", "n.txt",
        ]);
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
            // One of them has a video of another name.
            let video = case.path.replace("0.heic", "9.mov").replace(".jpg", ".mov").replace(".heic", ".mov");
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
                failing: None,
            })
        };
        cases.iter().filter_map(row).collect()
    }

    /// What there is to be done, in an order of its own: what is read, which of it is changed, and the other steps.
    fn work(
        to_read: FilesToRead,
        mut steps: Vec<Step>,
    ) -> ((u64, u64), BTreeSet<PathBuf>, BTreeSet<PathBuf>, Vec<Step>) {
        let total = to_read.total();
        let (mut paths, mut changed) = (BTreeSet::new(), BTreeSet::new());
        for group in to_read.groups() {
            paths.extend(group.paths);
            changed.extend(group.changed);
        }
        steps.sort_by_key(|step| raw(&step.path));
        (total, paths, changed, steps)
    }

    fn scopes() -> impl Strategy<Value = Scope> {
        let reach = prop::sample::select(vec![Reach::Itself, Reach::Below]);
        let folder = prop::sample::select(vec!["", "a", "a b", "a/b", "c"]).prop_map(PathBuf::from);
        let folders = prop::collection::btree_map(folder, reach, 1..4).prop_map(Scope::Folders);
        prop_oneof![Just(Scope::Everything), folders]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(192))]
        /// What is let go of early, and what is planned in portions, is exactly what a plan of everything would have.
        #[test]
        fn the_rest_is_planned_as_if_all_were(cases in cases(), scope in scopes(), portion in 1_usize..6) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let home = tempfile::tempdir().unwrap();
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().canonicalize().unwrap();
            let known = rows(&root, &cases);
            let displaced = BTreeSet::from([FileId(1)]);
            let albums = AlbumRule::PerFolder;
            let selection = Selection { scope, ..Selection::default() };
            let settings = Settings { albums, selection, ..Settings::default() };
            let (surveyed, known) = runtime.block_on(async {
                let catalog = Catalog::open(&home.path().join("catalog")).await.unwrap();
                for row in &known {
                    catalog.put_asset(row).await.unwrap();
                }
                let silent = Events::silent();
                let sought = Sought { path: &root, root: root.clone(), displaced: displaced.clone() };
                let surveyed = look(&catalog, sought, &settings, &silent, portion, 9).await.unwrap();
                (surveyed, catalog.assets(&raw(&root)).await.unwrap())
            });
            let mut files = Vec::new();
            folder::walk(&root, &settings.selection, |found| files.push(found)).unwrap();
            let whole = plan::plan(&root, &files, &known, &displaced, &settings.albums);
            let mut expected = Survey { root, ..Survey::default() };
            whole.steps.into_iter().for_each(|step| expected.take(step));
            prop_assert_eq!(surveyed.unchanged, expected.unchanged);
            prop_assert_eq!(surveyed.has_work(), expected.has_work());
            let not_media = |survey: &Survey| {
                let mut named: Vec<_> = survey.not_media.some.iter().map(|named| named.path.clone()).collect();
                named.sort();
                (survey.not_media.files, named)
            };
            prop_assert_eq!(not_media(&surveyed), not_media(&expected));
            prop_assert_eq!(work(surveyed.to_read, surveyed.steps), work(expected.to_read, expected.steps));
        }
    }

    /// Of a folder that is cut both halves of a Live Photo were read in every run when their names had nothing in common.
    #[tokio::test]
    async fn a_live_photo_of_two_names_is_one_where_its_folder_is_cut() {
        let home = tempfile::tempdir().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let case = |name: &str, known| Case { path: format!("a/{name}"), is_there: true, known };
        let mut cases = vec![case("0.heic", Some((AssetState::BackedUp, true, true, 2)))];
        cases.extend(["1.jpg", "2.jpg", "3.jpg", "9.mov"].map(|name| case(name, None)));
        let known = rows(&root, &cases);
        let settings = Settings { albums: AlbumRule::PerFolder, ..Settings::default() };
        let catalog = Catalog::open(&home.path().join("catalog")).await.unwrap();
        catalog.put_asset(&known[0]).await.unwrap();
        let look = async || {
            let sought = Sought { path: &root, root: root.clone(), displaced: BTreeSet::new() };
            let survey = look(&catalog, sought, &settings, &Events::silent(), 2, 9).await.unwrap();
            let read: Vec<_> = survey.to_read.groups().flat_map(|group| group.paths).collect();
            let names: Vec<_> = read.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
            (survey.unchanged, names.join(" "))
        };
        assert_eq!(look().await, (1, "1.jpg 2.jpg 3.jpg".to_owned()));
        fs::write(root.join("a/9.mov"), b"another video").unwrap();
        assert_eq!(look().await, (0, "0.heic 1.jpg 2.jpg 3.jpg 9.mov".to_owned()));
        fs::remove_file(root.join("a/9.mov")).unwrap();
        assert_eq!(look().await, (0, "0.heic 1.jpg 2.jpg 3.jpg".to_owned()));
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
