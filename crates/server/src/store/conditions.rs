//! Conditional calls: done only to what the client has seen, all of a request or nothing of it.
//!
//! **A file's version** is the newest `updationTime` of its memberships, those that are tombstones included, in collections of its
//! owner that are not deleted: what a client knows that has read all its own collections, whoever else has the file in theirs. Every edit, move and restoration moves it. In the trash it is
//! the trash item's `updatedAt`, which every edit there and every further trashing moves. A change of magic metadata that asks not to
//! be told to other devices (`skipVersion`) moves neither.
//!
//! A request that is repeated, because its answer was lost, is known by the version that it was done from: that is written down
//! beside what was done. It refuses to guess: what was trashed or restored from any other version is a conflict.

use super::change::ChangeError;
use super::sql::{LIST_MAX, list, statement};
use super::{StoreError, Tx};
use darkslide_protocol::error::VersionConflict;
use darkslide_protocol::{CollectionId, FileId, Version};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;

/// The version that a client has seen of each file that it sets a condition for.
pub type Conditions = BTreeMap<FileId, Version>;

/// A file's row in the trash, past ones included.
struct TrashState {
    version: Version,
    is_restored: bool,
    is_purged: bool,
    trashed_from: Option<Version>,
    restored_from: Option<Version>,
}

impl TrashState {
    fn of(row: &AnyRow) -> Result<Self, StoreError> {
        let version = |column| Ok::<_, StoreError>(row.try_get::<Option<i64>, _>(column)?.map(Version));
        Ok(Self {
            version: Version(row.try_get("version")?),
            is_restored: super::flag(row, "is_restored")?,
            is_purged: super::flag(row, "is_purged")?,
            trashed_from: version("trashed_from")?,
            restored_from: version("restored_from")?,
        })
    }

    /// Whether the file waits in the trash.
    fn waits(&self) -> bool {
        !self.is_restored && !self.is_purged
    }
}

/// What becomes of one file of a conditional request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is as the client has seen it.
    Due,
    /// The same was done from that version before.
    Done,
    /// It is not as the client has seen it.
    Conflict,
}

/// The versions of files and their rows in the trash, inside the transaction that acts on them and under the account's lock.
struct Current {
    versions: BTreeMap<FileId, Version>,
    trash: BTreeMap<FileId, TrashState>,
}

impl Current {
    async fn read(tx: &mut Tx, conditions: &Conditions) -> Result<Self, ChangeError> {
        let files: Vec<FileId> = conditions.keys().copied().collect();
        Ok(Self { versions: file_versions(tx, &files).await?, trash: trash_states(tx, &files).await? })
    }

    fn version_of(&self, file: FileId) -> Version {
        self.versions.get(&file).copied().unwrap_or_default()
    }

    /// The version of a file where it is: in the trash the trash item's.
    fn version_in_place(&self, file: FileId) -> Version {
        match self.trash.get(&file) {
            Some(row) if !row.is_restored => row.version,
            _ => self.version_of(file),
        }
    }

    fn trash_verdict(&self, file: FileId, seen: Version) -> Verdict {
        let trashed = self.trash.get(&file).filter(|row| !row.is_restored);
        if self.version_in_place(file) == seen {
            Verdict::Due
        } else if trashed.is_some_and(|row| row.trashed_from == Some(seen)) {
            Verdict::Done
        } else {
            Verdict::Conflict
        }
    }

    fn purge_verdict(&self, file: FileId, seen: Version) -> Verdict {
        match self.trash.get(&file) {
            Some(row) if row.is_purged => Verdict::Done,
            Some(row) if row.waits() && row.version == seen => Verdict::Due,
            _ => Verdict::Conflict,
        }
    }

    fn restore_verdict(&self, file: FileId, seen: Version, is_there: bool) -> Verdict {
        match self.trash.get(&file) {
            Some(row) if row.waits() && row.version == seen => Verdict::Due,
            Some(row) if row.is_restored && row.restored_from == Some(seen) && is_there => Verdict::Done,
            _ => Verdict::Conflict,
        }
    }
}

/// Those of the conditional files that are still to be trashed. Refuses, with all conflicts, when there is one.
pub(super) async fn due_for_trash(tx: &mut Tx, conditions: &Conditions) -> Result<Vec<FileId>, ChangeError> {
    if conditions.is_empty() {
        return Ok(Vec::new());
    }
    let current = Current::read(tx, conditions).await?;
    let verdict = |file, seen| current.trash_verdict(file, seen);
    judge(conditions, verdict, |file| current.version_in_place(file))
}

/// Those of the conditional files that are still to be purged. Refuses, with all conflicts, when there is one.
pub(super) async fn due_for_purge(tx: &mut Tx, conditions: &Conditions) -> Result<Vec<FileId>, ChangeError> {
    if conditions.is_empty() {
        return Ok(Vec::new());
    }
    let current = Current::read(tx, conditions).await?;
    let verdict = |file, seen| current.purge_verdict(file, seen);
    judge(conditions, verdict, |file| current.version_in_place(file))
}

/// Refuses, with all conflicts, unless the conditional files can be restored to the collection, or were from those versions.
pub(super) async fn must_be_restorable(
    tx: &mut Tx,
    conditions: &Conditions,
    collection: CollectionId,
) -> Result<(), ChangeError> {
    if conditions.is_empty() {
        return Ok(());
    }
    let current = Current::read(tx, conditions).await?;
    let files: Vec<FileId> = conditions.keys().copied().collect();
    let there = live_in(tx, collection, &files).await?;
    let verdict = |file, seen| current.restore_verdict(file, seen, there.contains(&file));
    judge(conditions, verdict, |file| current.version_in_place(file)).map(drop)
}

/// Refuses unless a file is at this version. That the same was done before shows in the file itself.
pub(super) async fn must_be_as_seen(tx: &mut Tx, file: FileId, seen: Version) -> Result<(), ChangeError> {
    let version = Current::read(tx, &Conditions::from([(file, seen)])).await?.version_in_place(file);
    if version == seen {
        return Ok(());
    }
    Err(ChangeError::Unseen(vec![VersionConflict { file_id: file, version }]))
}

/// The files that are due, or all conflicts. What is as the client has seen it and still cannot be done is no conflict: reading anew would tell
/// the client nothing new.
fn judge(
    conditions: &Conditions,
    verdict: impl Fn(FileId, Version) -> Verdict,
    version: impl Fn(FileId) -> Version,
) -> Result<Vec<FileId>, ChangeError> {
    let (mut due, mut conflicts, mut is_elsewhere) = (Vec::new(), Vec::new(), false);
    for (file, seen) in conditions {
        match verdict(*file, *seen) {
            Verdict::Due => due.push(*file),
            Verdict::Done => {}
            Verdict::Conflict if version(*file) == *seen => is_elsewhere = true,
            Verdict::Conflict => conflicts.push(VersionConflict { file_id: *file, version: version(*file) }),
        }
    }
    if !conflicts.is_empty() {
        return Err(ChangeError::Unseen(conflicts));
    }
    if is_elsewhere { Err(ChangeError::Malformed("a file is not in the trash")) } else { Ok(due) }
}

/// The version of each of the files, which all have a membership. Where all its collections are deleted it is the newest in those.
pub(super) async fn file_versions(
    tx: &mut Tx,
    files: &[FileId],
) -> Result<BTreeMap<FileId, Version>, ChangeError> {
    let mut versions = BTreeMap::new();
    for chunk in files.chunks(LIST_MAX) {
        let text = file_versions_text(chunk.len());
        let query = chunk.iter().fold(statement(text), |query, file| query.bind(file.0));
        for row in query.fetch_all(&mut **tx).await? {
            versions.insert(FileId(row.try_get(0)?), Version(row.try_get(1)?));
        }
    }
    Ok(versions)
}

/// The statement that reads the versions of so many files. In it, as wherever the collections of files are joined, a `+` keeps their owner from
/// being what they are looked up by: he may have thousands.
pub(super) fn file_versions_text(files: usize) -> String {
    format!(
        "SELECT memberships.file_id, {FILE_VERSION}
         FROM memberships JOIN collections ON collections.id = memberships.collection_id
         JOIN files ON files.id = memberships.file_id AND files.owner_id = +collections.owner_id
         WHERE memberships.file_id IN ({}) GROUP BY memberships.file_id",
        list(1, files)
    )
}

/// A file's version, of its memberships joined with those of their collections that are its owner's.
pub(super) const FILE_VERSION: &str = "coalesce(max(CASE WHEN collections.is_deleted = 0 THEN memberships.version END), max(memberships.version))";

async fn trash_states(tx: &mut Tx, files: &[FileId]) -> Result<BTreeMap<FileId, TrashState>, ChangeError> {
    let mut states = BTreeMap::new();
    for chunk in files.chunks(LIST_MAX) {
        let text = format!("SELECT * FROM trash WHERE file_id IN ({})", list(1, chunk.len()));
        let query = chunk.iter().fold(statement(text), |query, file| query.bind(file.0));
        for row in query.fetch_all(&mut **tx).await? {
            states.insert(FileId(row.try_get("file_id")?), TrashState::of(&row)?);
        }
    }
    Ok(states)
}

/// Those of the files that are in the collection.
async fn live_in(
    tx: &mut Tx,
    collection: CollectionId,
    files: &[FileId],
) -> Result<std::collections::BTreeSet<FileId>, ChangeError> {
    let mut live = std::collections::BTreeSet::new();
    for chunk in files.chunks(LIST_MAX) {
        let text = format!(
            "SELECT file_id FROM memberships WHERE collection_id = $1 AND is_deleted = 0 AND file_id IN ({})",
            list(2, chunk.len())
        );
        let query = chunk.iter().fold(statement(text).bind(collection.0), |query, file| query.bind(file.0));
        for row in query.fetch_all(&mut **tx).await? {
            live.insert(FileId(row.try_get(0)?));
        }
    }
    Ok(live)
}
