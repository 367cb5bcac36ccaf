//! What a run does with each file of an export: the plan of any backup, made over all archives at once.
//!
//! The catalog keeps the files of each archive under the archive's own path. A Live Photo whose halves are in two archives is one
//! file of the still's archive; its video is then named by its whole path.
//!
//! Sidecars stand in the catalog too, with the time of the run that first saw them as they are: a picture that was dealt with before
//! its sidecar came, or changed, is read once more.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Export, Item};
use crate::backup::plan::{self, Decision, Step, Why};
use crate::catalog::{AssetRow, AssetState, Catalog, CatalogError};
use crate::library::{Found, path_of, raw};

/// Files that are identified in one go, when a folder has more.
const IDENTIFIED_AT_ONCE: usize = 4096;

/// What is done with an export.
#[derive(Debug, Default)]
pub(crate) struct ExportPlan {
    /// What need not be read, as far as the catalog can tell.
    pub(crate) settled: Vec<Settled>,
    /// What must be read.
    pub(crate) to_read: ToRead,
    /// Bytes to be read.
    pub(crate) bytes: u64,
    /// Sidecars that the catalog does not have as they are: their places among the sources, and their paths.
    pub(crate) new_sidecars: Vec<Item>,
}

/// A file that need not be read.
#[derive(Debug)]
pub(crate) struct Settled {
    /// The archive or folder that it lies in.
    pub(crate) root: Arc<Path>,
    /// What is done, with paths as the catalog keeps them.
    pub(crate) step: Step,
    /// Should it have to be read after all: its folder, and where it stands there, with its other half.
    pub(crate) place: (PathBuf, Vec<usize>),
}

/// What must be read, by folder: places among the folder's media.
#[derive(Debug, Default)]
pub(crate) struct ToRead {
    folders: BTreeMap<PathBuf, Vec<usize>>,
    /// Paths, in their archives or folders, of what has not changed and is read again: it may be half of a Live Photo whose other half came.
    again: HashSet<PathBuf>,
}

/// Files of one folder that are identified together.
#[derive(Debug)]
pub(crate) struct FolderSteps {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// Places among its media.
    pub(crate) media: Vec<usize>,
}

impl ToRead {
    pub(crate) fn add(&mut self, (folder, media): (PathBuf, Vec<usize>)) {
        self.folders.entry(folder).or_default().extend(media);
    }

    /// How many files.
    pub(crate) fn files(&self) -> u64 {
        self.folders.values().map(|media| media.len() as u64).sum()
    }

    /// The files.
    pub(crate) fn items<'e>(&self, export: &'e Export) -> impl Iterator<Item = &'e Item> {
        let folders =
            self.folders.iter().filter_map(|(folder, media)| Some((export.folders.get(folder)?, media)));
        folders.flat_map(|(folder, media)| {
            let media: BTreeSet<usize> = media.iter().copied().collect();
            media.into_iter().filter_map(|at| folder.media.get(at))
        })
    }

    /// What has not changed and is read again.
    pub(crate) fn take_again(&mut self) -> HashSet<PathBuf> {
        mem::take(&mut self.again)
    }

    /// Groups of files, each of one folder, in the order of the folders' paths.
    pub(crate) fn groups(self) -> impl Iterator<Item = FolderSteps> {
        self.folders.into_iter().flat_map(|(folder, mut media)| {
            media.sort_unstable();
            media.dedup();
            let group = |media: &[usize]| FolderSteps { folder: folder.clone(), media: media.to_vec() };
            media.chunks(IDENTIFIED_AT_ONCE).map(group).collect::<Vec<_>>()
        })
    }
}

impl ExportPlan {
    /// Whether anything may have to be sent.
    pub(crate) fn has_work(&self) -> bool {
        let is_work = |settled: &Settled| matches!(settled.step.decision, Decision::Recheck(_));
        !self.to_read.folders.is_empty() || self.settled.iter().any(is_work)
    }
}

impl Export {
    /// Plans a run by what the catalog knows.
    pub(crate) async fn plan(&mut self, catalog: &Catalog) -> Result<ExportPlan, CatalogError> {
        let (mut known, mut displaced) = (Vec::new(), BTreeSet::new());
        for source in &self.sources {
            displaced.extend(catalog.displaced_files(&raw(&source.root)).await?);
            known.extend(catalog.assets(&raw(&source.root)).await?.into_iter().map(with_whole_paths));
        }
        let rows: HashMap<&[u8], &AssetRow> = known.iter().map(|row| (row.path.as_slice(), row)).collect();
        self.choose_copies(&known, &rows);
        let (mut found, mut places) = (Vec::new(), HashMap::new());
        for (folder, media, item) in self.media() {
            let path = self.whole_path(item);
            places.insert(path.clone(), (folder, media, item));
            found.push(Found { path, fingerprint: item.fingerprint });
        }
        let mut planned = plan::plan(Path::new(""), &found, &known, &displaced, &self.rule());
        // The halves of a Live Photo may lie in different archives.
        plan::read_companions(&mut planned.steps, |step| {
            let (folder, _, _) = places.get(&step.path)?;
            plan::kin_of(&folder.join(step.path.file_name()?))
        });
        let mut result = ExportPlan { new_sidecars: self.new_sidecars(&rows), ..ExportPlan::default() };
        for step in planned.steps {
            let Some((folder, media, item)) = places.get(&step.path).copied() else { continue };
            let motion = step.motion.as_ref().and_then(|(path, _)| places.get(path));
            let halves = std::iter::once(media).chain(motion.map(|(_, media, _)| *media));
            let place: (PathBuf, Vec<usize>) = (folder.to_owned(), halves.collect());
            let is_read = matches!(step.decision, Decision::Read(_));
            if is_read || self.has_later_sidecar(&rows, &place, &step) {
                result.bytes += step.fingerprint.size;
                if matches!(step.decision, Decision::Read(Why::Retry | Why::Companion)) {
                    // As the half of its own archive, and as that of another.
                    result.to_read.again.extend([item.path.clone(), self.whole_path(item)]);
                }
                result.to_read.add(place);
            } else {
                let root = Arc::clone(&self.source(item).root);
                result.settled.push(Settled { root, step: self.within_source(item, step), place });
            }
        }
        Ok(result)
    }

    /// Of what is there twice, takes the copy that was dealt with, and the one that failed last.
    fn choose_copies(&mut self, known: &[AssetRow], rows: &HashMap<&[u8], &AssetRow>) {
        let halves = known.iter().filter(|row| row.state != AssetState::Blocked);
        let halves: HashSet<&[u8]> =
            halves.filter_map(|row| Some(row.motion.as_ref()?.0.as_slice())).collect();
        let sources = &self.sources;
        let rank = |item: &Item| {
            let root = sources.get(item.source).map_or(Path::new(""), |source| &*source.root);
            let path = raw(&root.join(&item.path));
            match rows.get(path.as_slice()) {
                Some(row) if row.state == AssetState::Blocked => 2,
                Some(row) if row.fingerprint == item.fingerprint => 0,
                _ if halves.contains(path.as_slice()) => 0,
                _ => 1,
            }
        };
        for folder in self.folders.values_mut() {
            for (item, copies) in folder.media.iter_mut().zip(&mut folder.media_copies) {
                if let Some(best) = copies.iter_mut().min_by_key(|copy| rank(copy))
                    && rank(best) < rank(item)
                {
                    std::mem::swap(item, best);
                }
            }
        }
    }

    /// Whether a picture was dealt with before its sidecar was what it is, or was not dealt with to the end.
    fn has_later_sidecar(
        &self,
        rows: &HashMap<&[u8], &AssetRow>,
        (folder, halves): &(PathBuf, Vec<usize>),
        step: &Step,
    ) -> bool {
        let Some(folder) = self.folders.get(folder) else { return false };
        let row = |path: &Path| rows.get(raw(path).as_slice()).copied();
        let Some(picture) = row(&step.path) else { return false };
        let is_later = |(sidecar, _): (&Item, _)| {
            let seen = row(&self.whole_path(sidecar)).filter(|row| row.fingerprint == sidecar.fingerprint);
            picture.is_owed_more() || seen.is_none_or(|seen| seen.first_seen > picture.last_seen)
        };
        halves.iter().filter_map(|half| folder.sidecar_of(*half)).any(is_later)
    }

    fn new_sidecars(&self, rows: &HashMap<&[u8], &AssetRow>) -> Vec<Item> {
        let is_known = |item: &Item| {
            rows.get(raw(&self.whole_path(item)).as_slice())
                .is_some_and(|row| row.fingerprint == item.fingerprint)
        };
        let used = self.folders.values().flat_map(|folder| {
            let used: BTreeSet<usize> = folder.matches.iter().flatten().map(|found| found.sidecar).collect();
            used.into_iter().filter_map(|at| folder.sidecars.get(at))
        });
        used.filter(|item| !is_known(item)).cloned().collect()
    }

    /// Every file that is no JSON, with its folder and its place in there.
    pub(crate) fn media(&self) -> impl Iterator<Item = (&Path, usize, &Item)> {
        self.folders.iter().flat_map(|(path, folder)| {
            folder.media.iter().enumerate().map(move |(at, item)| (path.as_path(), at, item))
        })
    }

    /// A step with paths as the catalog keeps them.
    fn within_source(&self, item: &Item, step: Step) -> Step {
        let root = &self.source(item).root;
        let relative = |path: PathBuf| path.strip_prefix(root).map(Path::to_owned).unwrap_or(path);
        let motion = step.motion.map(|(path, fingerprint)| (relative(path), fingerprint));
        Step { path: item.path.clone(), motion, ..step }
    }
}

fn with_whole_paths(row: AssetRow) -> AssetRow {
    let root = path_of(&row.root);
    let whole = |path: &[u8]| raw(&root.join(path_of(path)));
    let motion = row.motion.as_ref().map(|(path, fingerprint)| (whole(path), *fingerprint));
    AssetRow { path: whole(&row.path), motion, ..row }
}
