//! What has moved the versions of files that were agreed on: whoever restored or edited one wants it, and whoever changed what is said of it says
//! nothing about that. This client does so itself, as thumbnails follow their pictures.
//!
//! A version alone does not tell the one from the other. That a file was in the trash does, and so do the versions that it had before. It claims
//! nothing where the server cannot be asked for those.

use std::collections::{HashMap, HashSet};

use darkslide_crypto::ContentHash;
use darkslide_protocol::server::Extension;
use darkslide_protocol::{FileId, Version};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::SyncError;
use super::reconcile::{Base, Remote, Snapshot, Synced};
use crate::catalog::Catalog;
use crate::error::VaultError;
use crate::session::Session;

/// Files that are asked for at once.
const ASKED_AT_ONCE: usize = 8;

/// Of the files that are gone from the folder, as `is_gone` says of what was agreed on, those of which only details have changed in the vault since.
pub(super) async fn only_details(
    session: &Session,
    catalog: &Catalog,
    snapshot: &Snapshot,
    is_gone: impl Fn(&Synced) -> bool,
) -> Result<HashSet<FileId>, SyncError> {
    let mut moved = moved(snapshot, is_gone);
    if moved.is_empty() || !session.api.offers(Extension::Versions).await.map_err(VaultError::from)? {
        return Ok(HashSet::new());
    }
    let files: Vec<FileId> = moved.keys().copied().collect();
    for (file, restored) in catalog.restored(&files).await? {
        if moved.get(&file).is_some_and(|seen| restored > *seen) {
            moved.remove(&file);
        }
    }
    let asking = moved.into_iter().map(|(file, seen)| async move {
        let is_edited = is_edited_since(session, file, seen).await?;
        Ok::<_, VaultError>((!is_edited).then_some(file))
    });
    let asking = futures_util::stream::iter(asking).buffer_unordered(ASKED_AT_ONCE);
    Ok(asking.try_filter_map(async |file| Ok(file)).try_collect().await?)
}

/// Files of which a path is gone, and that no path has seen at the version that they have now: each with the last one that a path has seen.
fn moved(snapshot: &Snapshot, is_gone: impl Fn(&Synced) -> bool) -> HashMap<FileId, Version> {
    let synced = || {
        snapshot.base.iter().filter_map(|(path, base)| match base {
            Base::Synced(agreed) => Some((path, agreed)),
            Base::Deleted(_) => None,
        })
    };
    let gone = synced().filter(|(path, agreed)| !snapshot.local.contains_key(*path) && is_gone(agreed));
    let live = |content: &ContentHash| match snapshot.remote.get(content) {
        Some(Remote::Live { file, version, .. }) => Some((*file, *version)),
        _ => None,
    };
    let gone: HashMap<FileId, (ContentHash, Version)> = gone
        .filter_map(|(_, agreed)| live(&agreed.content).map(|(file, now)| (file, (agreed.content, now))))
        .collect();
    let mut seen: HashMap<FileId, Version> = HashMap::new();
    if !gone.is_empty() {
        for (_, agreed) in synced() {
            if gone.get(&agreed.file).is_some_and(|(content, _)| *content == agreed.content) {
                let last = seen.entry(agreed.file).or_insert(agreed.version);
                *last = agreed.version.max(*last);
            }
        }
    }
    // What was agreed on without one was changed before anybody saw it.
    seen.retain(|file, last| *last > Version(0) && gone.get(file).is_some_and(|(_, now)| now != last));
    seen
}

/// Whether a file was something else after a version of it that was seen, whatever it is now.
async fn is_edited_since(session: &Session, file: FileId, seen: Version) -> Result<bool, VaultError> {
    match session.api.earlier_versions(file).await {
        Ok(earlier) => Ok(earlier.versions.iter().any(|earlier| earlier.version >= seen)),
        // It was purged since, and the next look sees that.
        Err(failure) if failure.is_missing() => Ok(true),
        Err(failure) => Err(failure.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::reconcile::DiskId;

    #[test]
    fn files_are_asked_for_that_are_gone_and_were_seen_at_another_version() {
        let content = ContentHash::of(b"h");
        let row = |path: &str, (file, version), absent_since| {
            let (disk, file, version) = (DiskId::default(), FileId(file), Version(version));
            let agreed = Synced { content, disk, size: 1, file, version, absent_since };
            (path.as_bytes().to_vec(), Base::Synced(agreed))
        };
        let ask = |rows: &[(Vec<u8>, Base)], remote| {
            let mut snapshot = Snapshot { base: rows.iter().cloned().collect(), ..Snapshot::default() };
            snapshot.remote.insert(content, remote);
            let moved = moved(&snapshot, |agreed| agreed.absent_since.is_some());
            moved.into_iter().map(|(file, seen)| (file.0, seen.0)).collect::<Vec<_>>()
        };
        let live = |version| Remote::Live { file: FileId(1), version: Version(version), taken: 0 };
        let gone = row("a", (1, 5), Some(0));
        assert_eq!(ask(std::slice::from_ref(&gone), live(9)), [(1, 5)]);
        assert_eq!(ask(std::slice::from_ref(&gone), live(5)), [], "it is as it was seen");
        assert_eq!(ask(&[gone.clone(), row("b", (1, 7), None)], live(9)), [(1, 7)], "seen by another path");
        assert_eq!(ask(&[gone.clone(), row("b", (1, 9), None)], live(9)), []);
        assert_eq!(ask(&[row("a", (1, 5), None)], live(9)), [], "it is not gone");
        assert_eq!(ask(&[row("a", (1, 0), Some(0))], live(9)), [], "it was never seen as it was");
        assert_eq!(ask(&[row("a", (2, 5), Some(0))], live(9)), [], "another file has the content");
        assert_eq!(ask(&[gone], Remote::Trash { file: FileId(1), version: Version(9) }), []);
    }
}
