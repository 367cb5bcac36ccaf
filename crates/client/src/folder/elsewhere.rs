//! What the account's other sync folders have on their disks of which nothing is agreed on yet: a picture that was moved there is not deleted,
//! whether that folder is paused, goes one way, or had no turn since.
//!
//! It is looked for only when something is about to be taken for deleted.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::Path;

use darkslide_crypto::ContentHash;

use super::reconcile::{Base, Others, RelativePath, Snapshot};
use super::scan::{Stat, content_of};
use super::{SyncError, marker};
use crate::catalog::{BaseRow, Catalog, SyncFolderRow};
use crate::download::blocking;
use crate::library::folder::walk_files;
use crate::library::raw;
use crate::library::selection::Selection;

/// Contents that a folder misses, by their lengths.
type Missed = HashMap<u64, HashSet<ContentHash>>;

/// Adds what other sync folders have of what this one misses.
pub(super) async fn look_elsewhere(
    catalog: &Catalog,
    row: &SyncFolderRow,
    snapshot: &mut Snapshot,
) -> Result<(), SyncError> {
    let missed = missed(snapshot);
    if missed.is_empty() {
        return Ok(());
    }
    for other in catalog.sync_folders().await?.into_iter().filter(|other| other.id != row.id) {
        let base = catalog.sync_base(other.id).await?;
        let (root, id, missed) = (other.folder.path, other.folder.marker, missed.clone());
        let found = blocking(move || {
            // Nobody moves anything to where no disk is.
            let is_there = marker::check(&root, &id).is_ok();
            if is_there { found_below(&root, &base, &missed) } else { Others::default() }
        });
        let Others { present, unsettled } = found.await;
        snapshot.others.present.extend(present);
        snapshot.others.unsettled.extend(unsettled);
    }
    Ok(())
}

/// What was missed before, and is missed again.
fn missed(snapshot: &Snapshot) -> Missed {
    let mut missed = Missed::new();
    for (path, base) in &snapshot.base {
        if let Base::Synced(agreed) = base
            && agreed.absent_since.is_some()
            && !snapshot.local.contains_key(path)
        {
            missed.entry(agreed.size).or_default().insert(agreed.content);
        }
    }
    missed
}

/// What is missed and lies below a root, where it is not what was agreed on there: only files that are as long are read. Nothing is concluded
/// from what cannot be looked at.
fn found_below(root: &Path, base: &BTreeMap<RelativePath, BaseRow>, missed: &Missed) -> Others {
    let mut found = Others::default();
    let walked = walk_files(root, &Selection::default(), |path, metadata| {
        let Some(contents) = missed.get(&metadata.len()) else { return };
        let stat = Stat::of(metadata);
        let agreed = base.get(&raw(&path));
        if agreed.is_some_and(|row| matches!(row.base, Base::Synced(_)) && row.stat == stat) {
            return;
        }
        match read(&root.join(path)) {
            Ok(Some(content)) => found.present.extend(contents.get(&content)),
            Ok(None) | Err(_) => found.unsettled.push((stat.size, false)),
        }
    });
    let is_whole = walked.is_ok_and(|passed| passed.iter().all(|passed| !passed.reason.is_failure()));
    if !is_whole {
        found.unsettled.extend(missed.keys().map(|size| (*size, false)));
    }
    found
}

/// What is in a file; none if somebody writes to it.
fn read(path: &Path) -> io::Result<Option<ContentHash>> {
    let mut file = File::open(path)?;
    let before = file.metadata()?;
    content_of(&mut file, &before, |_| {})
}
