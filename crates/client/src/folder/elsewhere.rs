//! What the account's other sync folders have on their disks, whatever was agreed on there: a picture that was moved into one is not deleted, whether
//! that one is paused, goes one way, or had no turn since.
//!
//! It is looked for only when something is about to be taken for deleted, and then only files that are as long are read. A folder whose disk is
//! not there is not asked: otherwise nothing would be deleted as long as some disk lies in a drawer.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::Path;

use darkslide_crypto::ContentHash;
use tokio_util::sync::CancellationToken;

use super::marker::Unhealthy;
use super::reading::content_while;
use super::reconcile::{Base, Others, RelativePath, Snapshot, Synced};
use super::scan::Stat;
use super::{SyncError, marker};
use crate::catalog::{BaseRow, Catalog, SyncFolderRow};
use crate::download::blocking;
use crate::library::folder::walk_files;
use crate::library::raw;
use crate::library::selection::{Exclusions, Selection};
use crate::watch::disks;

/// Bytes that are read in one folder for one look. Beyond that a file is unknown, and what is as long waits.
const READ_MAX: u64 = 8 << 30;

/// Contents that a folder misses, by their lengths.
type Missed = HashMap<u64, HashSet<ContentHash>>;

/// What was found of them.
#[derive(Default)]
struct Found {
    others: Others,
    /// Reading was cut short: what was not read is unknown.
    is_cut: bool,
}

/// Adds what other sync folders have of what this one misses. Says whether reading was cut short, as it is once it is `enough`: what others have trashed does not
/// wait for it.
pub(super) async fn look_elsewhere(
    catalog: &Catalog,
    row: &SyncFolderRow,
    snapshot: &mut Snapshot,
    is_missed: impl Fn(&Synced) -> bool,
    enough: &CancellationToken,
) -> Result<bool, SyncError> {
    let (missed, mut is_cut) = (missed(snapshot, is_missed), false);
    // Nothing counts as deleted anyway.
    if missed.is_empty() || !snapshot.is_listed {
        return Ok(false);
    }
    for other in catalog.sync_folders().await?.into_iter().filter(|other| other.id != row.id) {
        let base = catalog.sync_base(other.id).await?;
        let (root, id, missed) = (other.folder.path, other.folder.marker, missed.clone());
        if disks::asked().silent_at(&root, disks::TO_READ).await.is_some() {
            snapshot.others.unsettled.extend(unknown(&missed).unsettled);
            continue;
        }
        disks::asked().silent_below(&root, disks::TO_READ).await;
        let enough = enough.clone();
        let found = blocking(move || found_in(&root, &id, &base, &missed, &|| !enough.is_cancelled())).await;
        snapshot.others.present.extend(found.others.present);
        snapshot.others.unsettled.extend(found.others.unsettled);
        is_cut |= found.is_cut;
    }
    Ok(is_cut)
}

/// What was agreed on in other sync folders, of what this one has lost sight of. A disk that is away has its pictures still; but where the file
/// there was the one that is gone here, and that folder is not at its place any more, it is this one under the name that it had.
pub(super) async fn agreed_elsewhere(
    catalog: &Catalog,
    row: &SyncFolderRow,
) -> Result<HashSet<ContentHash>, SyncError> {
    let mut copies = catalog.in_other_sync_folders(row.id).await?;
    if copies.iter().any(|copy| copy.is_same_file) {
        let mut gone = HashSet::new();
        for SyncFolderRow { id, folder, .. } in catalog.sync_folders().await? {
            let is_silent = disks::asked().silent_at(&folder.path, disks::TO_READ).await.is_some();
            if !is_silent && blocking(move || is_there(&folder.path, &folder.marker) == Some(false)).await {
                gone.insert(id);
            }
        }
        copies.retain(|copy| !(copy.is_same_file && gone.contains(&copy.folder)));
    }
    Ok(copies.into_iter().map(|copy| copy.content).collect())
}

/// Whether a root is at its place. None where that cannot be told.
fn is_there(root: &Path, id: &str) -> Option<bool> {
    match marker::check(root, id) {
        Ok(()) => Some(true),
        Err(Unhealthy::Unusable { source, .. }) if source.kind() != io::ErrorKind::NotFound => None,
        Err(_) => Some(false),
    }
}

/// What is missed, and was long enough.
fn missed(snapshot: &Snapshot, is_missed: impl Fn(&Synced) -> bool) -> Missed {
    let mut missed = Missed::new();
    for (path, base) in &snapshot.base {
        if let Base::Synced(agreed) = base
            && is_missed(agreed)
            && !snapshot.local.contains_key(path)
        {
            missed.entry(agreed.size).or_default().insert(agreed.content);
        }
    }
    missed
}

/// What another folder has of it. Nothing is concluded from what cannot be looked at.
fn found_in(
    root: &Path,
    id: &str,
    base: &BTreeMap<RelativePath, BaseRow>,
    missed: &Missed,
    goes_on: &dyn Fn() -> bool,
) -> Found {
    match is_there(root, id) {
        Some(true) => {}
        Some(false) => return Found::default(),
        None => return Found { others: unknown(missed), is_cut: false },
    }
    let mut found = found_below(root, base, missed, READ_MAX, goes_on);
    // It may have gone in the middle.
    if marker::check(root, id).is_err() {
        found.others.unsettled.extend(unknown(missed).unsettled);
    }
    found
}

/// Any of it may be there.
fn unknown(missed: &Missed) -> Others {
    Others { unsettled: missed.keys().map(|size| (*size, false)).collect(), ..Others::default() }
}

fn found_below(
    root: &Path,
    base: &BTreeMap<RelativePath, BaseRow>,
    missed: &Missed,
    read_max: u64,
    goes_on: &dyn Fn() -> bool,
) -> Found {
    let (mut found, mut is_cut) = (Others::default(), false);
    let mut left = read_max;
    let part = Selection { exclude: Exclusions::silent_below(root), ..Selection::default() };
    let walked = walk_files(root, &part, |path, metadata| {
        let Some(contents) = missed.get(&metadata.len()) else { return };
        if contents.iter().all(|content| found.present.contains(content)) {
            return;
        }
        let stat = Stat::of(metadata);
        let agreed = base.get(&raw(&path)).filter(|row| row.stat == stat).map(|row| row.base);
        let content = match agreed {
            Some(Base::Synced(agreed)) => Some(agreed.content),
            _ if stat.size > left => None,
            _ if is_cut => None,
            _ => {
                left -= stat.size;
                let content = read(&root.join(path), goes_on).ok().flatten();
                is_cut = content.is_none() && !goes_on();
                content
            }
        };
        match content {
            Some(content) => found.present.extend(contents.get(&content)),
            None => found.unsettled.push((stat.size, false)),
        }
    });
    let is_whole = walked.is_ok_and(|passed| passed.iter().all(|passed| !passed.reason.is_failure()));
    if !is_whole {
        found.unsettled.extend(unknown(missed).unsettled);
    }
    Found { others: found, is_cut }
}

/// What is in a file; none if somebody writes to it, or it was not to go on.
fn read(path: &Path, goes_on: &dyn Fn() -> bool) -> io::Result<Option<ContentHash>> {
    let mut file = File::open(path)?;
    let before = file.metadata()?;
    content_while(&mut file, &before, |_| goes_on())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::scan::Stat;
    use darkslide_protocol::{FileId, Version};
    use std::fs;

    const WANTED: &[u8] = b"the picture that is missed";
    const AS_LONG: &[u8] = b"another one that is as big";

    fn content(bytes: &[u8]) -> ContentHash {
        let mut hasher = darkslide_crypto::ContentHasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    fn missed() -> Missed {
        Missed::from([(WANTED.len() as u64, HashSet::from([content(WANTED)]))])
    }

    /// What was agreed on at a path below a root, as it is on the disk now.
    fn row(root: &Path, name: &str, bytes: &[u8]) -> (RelativePath, BaseRow) {
        let stat = Stat::of(&fs::metadata(root.join(name)).unwrap());
        let (file, version) = (FileId(1), Version(1));
        let synced = Synced {
            content: content(bytes),
            disk: stat.disk,
            size: stat.size,
            file,
            version,
            absent_since: None,
        };
        (raw(Path::new(name)), BaseRow { base: Base::Synced(synced), stat })
    }

    #[test]
    fn only_the_picture_itself_is_found_and_nothing_is_concluded_from_what_is_not_read() {
        assert_eq!(WANTED.len(), AS_LONG.len());
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let look = |base: &BTreeMap<_, _>, most| found_below(root, base, &missed(), most, &|| true).others;
        let nothing = BTreeMap::new();
        fs::write(root.join("other.jpg"), AS_LONG).unwrap();
        let found = look(&nothing, READ_MAX);
        assert!(found.present.is_empty() && found.unsettled.is_empty());
        // Too much to read.
        assert_eq!(look(&nothing, 1).unsettled, [(WANTED.len() as u64, false)]);
        // It was moved there, a moment ago or before.
        fs::create_dir(root.join("2024")).unwrap();
        fs::write(root.join("2024/it.jpg"), WANTED).unwrap();
        assert_eq!(look(&nothing, READ_MAX).present, HashSet::from([content(WANTED)]));
        let agreed = BTreeMap::from([row(root, "2024/it.jpg", WANTED), row(root, "other.jpg", AS_LONG)]);
        assert_eq!(look(&agreed, 0).present, HashSet::from([content(WANTED)]), "without reading");
        // Others have trashed something, which does not wait for what is to be read.
        let cut = found_below(root, &nothing, &missed(), READ_MAX, &|| false);
        assert!(cut.is_cut && cut.others.present.is_empty(), "{:?}", cut.others);
        assert_eq!(cut.others.unsettled, [(WANTED.len() as u64, false); 2]);
        let cut = found_below(root, &agreed, &missed(), READ_MAX, &|| false);
        assert!(!cut.is_cut && cut.others.unsettled.is_empty(), "nothing was to be read");
        fs::write(root.join("2024/it.jpg"), AS_LONG).unwrap();
        let written = fs::File::options().write(true).open(root.join("2024/it.jpg")).unwrap();
        written.set_modified(std::time::UNIX_EPOCH).unwrap();
        let found = look(&agreed, READ_MAX);
        assert!(found.present.is_empty() && found.unsettled.is_empty(), "it was written over");
    }

    #[test]
    fn a_folder_whose_disk_is_not_there_is_not_asked_and_one_that_cannot_be_read_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let away = found_in(&folder.path().join("away"), "id", &BTreeMap::new(), &missed(), &|| true);
        assert!(away.others.unsettled.is_empty());
        // A file where a folder should be.
        fs::write(folder.path().join("file"), b"").unwrap();
        let broken = found_in(&folder.path().join("file"), "id", &BTreeMap::new(), &missed(), &|| true);
        assert_eq!(broken.others.unsettled, [(WANTED.len() as u64, false)]);
    }
}
