//! Freeing space on a device: which originals may go, because the server has just read its own copies back and found them whole.
//!
//! This lists, and records what went. Nobody is asked here and nothing is decided: the operating system or the command line asks the owner.
//! That a freed original is absent afterwards means nothing, to nobody.

mod removal;

use std::cmp::Reverse;
use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::{io, mem};

use darkslide_crypto::ContentHash;
use darkslide_protocol::FileId;
use darkslide_protocol::collection::CollectionType;
use serde::{Serialize, Serializer};

use crate::backup::rules::explanation::Explanation;
use crate::catalog::{AssetRow, Catalog, CatalogError, FileFilter, FileRow, Fingerprint};
use crate::error::VaultError;
use crate::event::Events;
use crate::feed;
use crate::folder::marker;
use crate::library::device::{AssetId, DeviceAsset};
use crate::library::folder::{self, fingerprint};
use crate::library::path_of;
use crate::receipt::receipts_of;
use crate::session::Session;
use crate::verify::subjects_of;

pub use removal::{FreeUpError, Removal, remove};

/// Which originals may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeUpRule {
    /// Taken before this, µs since the epoch.
    pub taken_before: i64,
    /// Also those that the owner marked as favourites.
    pub favourites: bool,
}

/// An original that may go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The file in the vault.
    pub file: FileId,
    /// Its components on this device, whole paths: a Live Photo has two. In JSON what of them is not UTF-8 is replaced.
    #[serde(serialize_with = "lossy")]
    pub paths: Vec<PathBuf>,
    /// Their bytes.
    pub bytes: u64,
    /// What each component was.
    #[serde(skip)]
    fingerprints: Vec<Fingerprint>,
    /// What the vault has of each.
    #[serde(skip)]
    contents: Vec<ContentHash>,
    /// What the file in the vault is, all of it.
    #[serde(skip)]
    content: ContentHash,
    /// Where the catalog has it: under several roots, if they lie in each other.
    #[serde(skip)]
    places: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What may go, and what may not although it is backed up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FreeUpPlan {
    /// Proved to be in the vault just now.
    pub candidates: Vec<Candidate>,
    /// Backed up and old enough, and not vouched for by the server: they stay.
    #[serde(serialize_with = "lossy")]
    pub not_vouched_for: Vec<PathBuf>,
    /// Backed up and old enough, and in a sync folder, from where they would go out of the vault too: they stay.
    #[serde(serialize_with = "lossy")]
    pub in_step: Vec<PathBuf>,
}

/// Paths as text, each whatever its bytes are.
fn lossy<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}

impl FreeUpPlan {
    /// What would become free.
    pub fn bytes(&self) -> u64 {
        self.candidates.iter().map(|candidate| candidate.bytes).sum()
    }
}

/// The originals below these paths that may go. Asks the server for a fresh receipt for each file. `None` when it gives none: then nothing
/// may go.
pub async fn plan_free_up(
    session: &Session,
    catalog: &Catalog,
    paths: &[PathBuf],
    rule: FreeUpRule,
    events: &Events,
) -> Result<Option<FreeUpPlan>, VaultError> {
    feed::pull(session, catalog).await?;
    let vault = Vault::of(session, catalog).await?;
    let mut candidates: BTreeMap<Vec<PathBuf>, Candidate> = BTreeMap::new();
    for root in catalog.asset_roots().await? {
        for row in catalog.assets(&root).await? {
            let Some(candidate) = candidate(row, paths, &vault, rule) else { continue };
            match candidates.entry(candidate.paths.clone()) {
                Entry::Vacant(free) => drop(free.insert(candidate)),
                Entry::Occupied(mut same) => same.get_mut().places.extend(candidate.places),
            }
        }
    }
    let in_step = InStep::of(catalog).await?;
    let (kept, candidates): (Vec<_>, Vec<_>) =
        candidates.into_values().partition(|candidate| in_step.has(candidate));
    let wanted = candidates.iter().map(|candidate| candidate.file).collect();
    let Some(vouched) = vouched_for(session, catalog, vault, &wanted, events).await? else { return Ok(None) };
    let (good, bad): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|candidate| vouched.contains(&candidate.file));
    let good = each_once(good, &bad);
    let not_vouched_for = bad.into_iter().flat_map(|candidate| candidate.paths).collect();
    let in_step = kept.into_iter().flat_map(|candidate| candidate.paths).collect();
    Ok(Some(FreeUpPlan { candidates: good, not_vouched_for, in_step }))
}

/// Every file on the disk in one candidate: a Live Photo's video may also be known as the video that it was while its still was away, and two
/// stills may share one. What stays with another candidate stays.
fn each_once(mut candidates: Vec<Candidate>, staying: &[Candidate]) -> Vec<Candidate> {
    let staying: HashSet<&Path> =
        staying.iter().flat_map(|candidate| &candidate.paths).map(PathBuf::as_path).collect();
    candidates.retain(|candidate| !candidate.paths.iter().any(|path| staying.contains(path.as_path())));
    // Of two, the one that is more goes first: it has the other in it.
    candidates.sort_by_key(|candidate| Reverse(candidate.paths.len()));
    let mut once: Vec<Candidate> = Vec::with_capacity(candidates.len());
    let mut taken: HashMap<PathBuf, usize> = HashMap::new();
    for mut candidate in candidates {
        let (paths, prints) = (mem::take(&mut candidate.paths), mem::take(&mut candidate.fingerprints));
        let contents = mem::take(&mut candidate.contents);
        let owner = paths.first().and_then(|path| taken.get(path)).copied();
        for ((path, print), content) in paths.into_iter().zip(prints).zip(contents) {
            if taken.contains_key(&path) {
                candidate.bytes -= print.size;
            } else {
                taken.insert(path.clone(), once.len());
                candidate.paths.push(path);
                candidate.fingerprints.push(print);
                candidate.contents.push(content);
            }
        }
        match owner.and_then(|owner| once.get_mut(owner)).filter(|_| candidate.paths.is_empty()) {
            Some(owner) => owner.places.extend(candidate.places),
            None => once.push(candidate),
        }
    }
    once.sort_by(|one, other| one.paths.cmp(&other.paths));
    once
}

/// The sync folders: what goes from one of them goes from the vault too.
struct InStep(Vec<PathBuf>);

impl InStep {
    async fn of(catalog: &Catalog) -> Result<Self, CatalogError> {
        Ok(Self(catalog.sync_folders().await?.into_iter().map(|row| row.folder.path).collect()))
    }

    /// Whether a part of it lies in one: of this profile, or by its marker of any other.
    fn has(&self, candidate: &Candidate) -> bool {
        let is_below = |path: &Path| self.0.iter().any(|folder| path.starts_with(folder));
        candidate.paths.iter().any(|path| is_below(path) || marker::is_above(path))
    }
}

/// What the vault has of the account's own.
struct Vault {
    files: BTreeMap<FileId, FileRow>,
    favourites: BTreeSet<FileId>,
}

impl Vault {
    async fn of(session: &Session, catalog: &Catalog) -> Result<Self, CatalogError> {
        let collections = catalog.collections().await?;
        let is_favourites = |row: &FileRow| {
            let of_row = collections.iter().find(|collection| collection.id == row.collection);
            of_row.is_some_and(|collection| collection.kind == CollectionType::Favorites)
        };
        let rows = catalog.files(&FileFilter::default()).await?;
        let own: Vec<FileRow> = rows.into_iter().filter(|row| row.owner == session.account).collect();
        let favourites = own.iter().filter(|row| is_favourites(row)).map(|row| row.id).collect();
        Ok(Self { files: own.into_iter().map(|row| (row.id, row)).collect(), favourites })
    }
}

/// An asset of a folder, if it is in the vault as it is and the rule lets it go.
fn candidate(row: AssetRow, paths: &[PathBuf], vault: &Vault, rule: FreeUpRule) -> Option<Candidate> {
    let file = row.file.filter(|_| row.is_backed_up())?;
    let stored = vault.files.get(&file)?;
    let content = row.content_hash.filter(|content| stored.content_hash == Some(*content))?;
    let may_go = stored.taken < rule.taken_before && (rule.favourites || !vault.favourites.contains(&file));
    let root = path_of(&row.root);
    let mut components = vec![(root.join(path_of(&row.path)), row.fingerprint)];
    if let Some((path, print)) = &row.motion {
        components.push((root.join(path_of(path)), *print));
    }
    let is_meant = |path: &Path| paths.iter().any(|meant| path.starts_with(meant));
    let is_here = components.iter().all(|(path, print)| is_meant(path) && is_unchanged(path, print));
    (may_go && is_here).then(|| Candidate {
        file,
        contents: contents_of(content, components.len()),
        content,
        bytes: components.iter().map(|(_, print)| print.size).sum(),
        fingerprints: components.iter().map(|(_, print)| *print).collect(),
        paths: components.into_iter().map(|(path, _)| path).collect(),
        places: vec![(row.root, row.path)],
    })
}

/// What the files of an asset have in them, of which this is the content: one of each, or each something that no file has.
fn contents_of(content: ContentHash, files: usize) -> Vec<ContentHash> {
    match content {
        ContentHash::LivePhoto { image, video } if files == 2 => {
            vec![ContentHash::Single(image), ContentHash::Single(video)]
        }
        content => vec![content; files],
    }
}

fn is_unchanged(path: &Path, expected: &Fingerprint) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && fingerprint(&metadata) == *expected)
}

/// Which of these files the server vouches for at this moment. `None` when it gives no receipts.
async fn vouched_for(
    session: &Session,
    catalog: &Catalog,
    vault: Vault,
    files: &BTreeSet<FileId>,
    events: &Events,
) -> Result<Option<BTreeSet<FileId>>, VaultError> {
    let rows = vault.files.into_values().filter(|row| files.contains(&row.id)).collect();
    let subjects = subjects_of(session, catalog, rows).await?;
    Ok(receipts_of(session, catalog, subjects, events).await?.map(|(_, vouched)| vouched))
}

impl Candidate {
    /// The file, or the still.
    fn first(&self) -> PathBuf {
        self.paths.first().cloned().unwrap_or_default()
    }

    fn components(&self) -> impl Iterator<Item = (&Path, &Fingerprint)> {
        self.paths.iter().map(PathBuf::as_path).zip(&self.fingerprints)
    }
}

/// The assets of a device's own library that may go: the system is told of these, and asks its owner. `explained` is what the rules say of
/// each; what is not wholly in the vault, or is there as something else by now, is not among them.
pub async fn plan_free_up_library(
    session: &Session,
    catalog: &Catalog,
    library: &[u8],
    explained: &[(DeviceAsset, Explanation)],
    rule: FreeUpRule,
    events: &Events,
) -> Result<Vec<AssetId>, VaultError> {
    feed::pull(session, catalog).await?;
    let vault = Vault::of(session, catalog).await?;
    let ids: Vec<Vec<u8>> = explained.iter().map(|(asset, _)| asset.id.0.clone()).collect();
    let known = catalog.assets_at(library, &ids).await?;
    let known: BTreeMap<&[u8], &AssetRow> = known.iter().map(|row| (row.path.as_slice(), row)).collect();
    let mut files: BTreeMap<AssetId, FileId> = BTreeMap::new();
    for (asset, told) in explained {
        let Explanation::BackedUp { file, is_whole: true, .. } = told else { continue };
        let is_favourite = asset.favourite || vault.favourites.contains(file);
        let may_go = asset.taken < rule.taken_before && (rule.favourites || !is_favourite);
        let is_same = known.get(asset.id.0.as_slice()).is_some_and(|row| {
            let stored = vault.files.get(file).and_then(|stored| stored.content_hash);
            row.is_backed_up()
                && row.fingerprint == asset.fingerprint
                && row.content_hash.is_some()
                && row.content_hash == stored
        });
        if may_go && is_same {
            files.insert(asset.id.clone(), *file);
        }
    }
    let wanted = files.values().copied().collect();
    let vouched = vouched_for(session, catalog, vault, &wanted, events).await?.unwrap_or_default();
    Ok(files.into_iter().filter(|(_, file)| vouched.contains(file)).map(|(id, _)| id).collect())
}

/// Records that the system removed these from a device's own library, because it was asked to.
pub async fn record_freed(catalog: &Catalog, library: &[u8], assets: &[AssetId]) -> Result<(), CatalogError> {
    let ids: Vec<Vec<u8>> = assets.iter().map(|id| id.0.clone()).collect();
    catalog.mark_freed(library, &ids).await
}

/// Paths as the catalog has them: absolute, links resolved.
pub fn meant(path: &Path) -> io::Result<PathBuf> {
    let root = folder::root_of(path)?;
    if path.is_dir() { Ok(root) } else { Ok(root.join(path.file_name().unwrap_or_default())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(paths: &[(&str, u64)]) -> Candidate {
        let print = |size: &u64| Fingerprint { size: *size, modified_ns: 1, inode: 1 };
        Candidate {
            file: FileId(1),
            paths: paths.iter().map(|(path, _)| PathBuf::from(path)).collect(),
            bytes: paths.iter().map(|(_, size)| size).sum(),
            fingerprints: paths.iter().map(|(_, size)| print(size)).collect(),
            contents: vec![content(b"any"); paths.len()],
            content: content(b"any"),
            places: vec![(b"/r".to_vec(), paths[0].0.as_bytes().to_vec())],
        }
    }

    /// Once, a video that was known alone and as half of a Live Photo was counted twice, and was found to have changed.
    #[test]
    fn a_file_goes_once() {
        let alone = candidate(&[("/r/1.mov", 3)]);
        let live = candidate(&[("/r/1.heic", 2), ("/r/1.mov", 3)]);
        let other = candidate(&[("/r/1.jpg", 5), ("/r/1.mov", 3)]);
        let rest = candidate(&[("/r/0.jpg", 7)]);
        let all = || vec![rest.clone(), alone.clone(), live.clone(), other.clone()];
        let once = each_once(all(), &[]);
        let told: Vec<_> = once.iter().map(|one| (one.paths.len(), one.bytes, one.places.len())).collect();
        assert_eq!(told, [(1, 7, 1), (2, 5, 2), (1, 5, 1)], "{once:#?}");
        assert!(once.iter().all(|one| one.paths.len() == one.fingerprints.len()));
        // The video of what stays is there to stay.
        assert_eq!(each_once(vec![rest.clone(), alone], &[live]), [rest]);
    }

    fn content(bytes: &[u8]) -> ContentHash {
        let mut hasher = darkslide_crypto::ContentHasher::new();
        hasher.update(bytes);
        hasher.finish()
    }
}
