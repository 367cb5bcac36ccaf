//! What is known of the bytes of kept objects: what they were, when they were last read back, and what came of it. Kept are those that
//! were committed, also when their file was edited since and they are what it was.
//!
//! A check is made first and written down after it, and counts only while the object is still kept and where it was: one that was
//! purged or moved meanwhile is not missing. Nothing here is deleted or mended; what is damaged stays known until it is whole again or purged.

use super::sql::{LIST_MAX, list, statement};
use super::uploads::{ObjectAddress, parse_blob, unsigned};
use super::{Store, StoreError};
use crate::objects::{Digest, Stretch};
use darkslide_protocol::receipt::Damage;
use darkslide_protocol::{AccountId, FileId, ObjectKey};
use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;

/// A kept object, as far as reading it back needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckableObject {
    /// Its key.
    pub key: ObjectKey,
    /// Bytes, as they were uploaded.
    pub length: u64,
    /// Where they lie; or why nobody can say what they were.
    pub stretches: Result<Vec<Stretch>, Damage>,
    /// The digest of the whole object, if it is known.
    pub digest: Option<Digest>,
    /// Where its row says that it lies.
    pub place: Place,
}

/// Where a row says that an object lies: packs are rewritten, and what was found at another place says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The blob; empty for an object in parts, which never moves.
    pub blob: String,
    /// Where in it, in bytes.
    pub offset: i64,
}

/// What a reading of one object found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The object.
    pub key: ObjectKey,
    /// Where it was read.
    pub place: Place,
    /// The BLAKE3 of the whole object, or what is wrong with it.
    pub outcome: Result<Digest, Damage>,
    /// When, µs since the epoch.
    pub at: i64,
}

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is written down.
    Known,
    /// It is written down, and is the first to say that the object is damaged.
    NewDamage,
    /// The object is not kept any more, or has moved: the check says nothing.
    Gone,
}

/// Both objects of a file, as it is or as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileObjects {
    /// Whether the bytes are given up.
    pub is_purged: bool,
    /// The picture or video.
    pub original: ObjectKey,
    /// Its thumbnail.
    pub thumbnail: ObjectKey,
    /// Bytes of ciphertext of the original.
    pub original_size: i64,
    /// Bytes of ciphertext of the thumbnail.
    pub thumbnail_size: i64,
}

/// How the kept objects of a server are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectsHealth {
    /// Kept objects.
    pub objects: i64,
    /// Their bytes.
    pub bytes: i64,
    /// How many of them are what edited files were before.
    pub earlier_objects: i64,
    /// Those that were read back at least once and are not known to be damaged.
    pub verified_objects: i64,
    /// Their bytes.
    pub verified_bytes: i64,
    /// When the object that was read back least recently was, µs since the epoch; of one that never was, when it was stored. `None`
    /// when there are no objects.
    pub oldest: Option<i64>,
    /// Objects whose bytes are there and are not what was uploaded.
    pub damaged: i64,
    /// Objects whose bytes are not there.
    pub missing: i64,
}

/// Objects that wait for their commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Uncommitted {
    /// How many.
    pub objects: i64,
    /// Bytes of theirs that are stored.
    pub bytes: i64,
}

/// What the metrics show of kept objects; found by indexes alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubStanding {
    /// As in [`ObjectsHealth`].
    pub oldest: Option<i64>,
    /// As in [`ObjectsHealth`].
    pub damaged: i64,
    /// As in [`ObjectsHealth`].
    pub missing: i64,
}

/// An object that is not what was uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DamagedObject {
    /// Its key: the account, and a UUID.
    pub key: ObjectKey,
    /// The name of the blob that it lies in, alone or with others; `None` for one in parts, whose blobs' names begin with the key's UUID,
    /// and for one that has no row.
    pub blob: Option<String>,
    /// The file that it belongs to.
    #[serde(rename = "fileID")]
    pub file: Option<FileId>,
    /// Whether it is not what the file is, but what it was before it was edited.
    pub is_earlier: bool,
    /// What is wrong.
    pub damage: Damage,
    /// Since when that is known, µs since the epoch; `None` for an object that has no row to keep that in.
    pub since: Option<i64>,
}

impl Store {
    /// The objects of an account's files; of others' files, and of those that never were, nothing.
    pub async fn objects_of_files(
        &self,
        account: AccountId,
        files: &[FileId],
    ) -> Result<BTreeMap<FileId, FileObjects>, StoreError> {
        let mut known = BTreeMap::new();
        for chunk in files.chunks(LIST_MAX - 1) {
            let text = format!(
                "SELECT id, is_purged, file_object, thumbnail_object, file_size, thumbnail_size FROM files
                 WHERE owner_id = $1 AND id IN ({})",
                list(2, chunk.len())
            );
            let query = chunk.iter().fold(statement(text).bind(account.0), |query, file| query.bind(file.0));
            for row in query.fetch_all(self.reader()).await? {
                known.insert(FileId(row.try_get("id")?), file_objects(&row)?);
            }
        }
        Ok(known)
    }

    /// A kept object; `None` for one that is in any other state, or has no row. What makes no sense in its row is damage of that object,
    /// and no failure: whoever reads many objects back goes on with the next.
    pub async fn checkable_object(&self, key: &ObjectKey) -> Result<Option<CheckableObject>, StoreError> {
        let row = sqlx::query(
            "SELECT length, digest, blob, blob_offset,
                    (SELECT count(*) FROM objects AS others WHERE others.blob = objects.blob) AS sharing
             FROM objects WHERE key = $1 AND state IN ('committed', 'earlier')",
        )
        .bind(&key.0)
        .fetch_optional(self.reader())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let length = unsigned(row.try_get::<Option<i64>, _>("length")?.unwrap_or(0)).ok();
        let digest = row.try_get::<Option<String>, _>("digest")?.as_deref().and_then(Digest::parse);
        let blob: Option<String> = row.try_get("blob")?;
        let stretches = match (length, &blob) {
            (None, _) => Err(Damage::Unknown),
            (Some(length), Some(blob)) => whole_stretch(key, &row, blob, length, digest)?,
            (Some(length), None) => self.stretches_of_parts(key, length).await?,
        };
        let length = length.unwrap_or(0);
        let place = Place { blob: blob.unwrap_or_default(), offset: row.try_get("blob_offset")? };
        Ok(Some(CheckableObject { key: key.clone(), length, stretches, digest, place }))
    }

    async fn stretches_of_parts(
        &self,
        key: &ObjectKey,
        length: u64,
    ) -> Result<Result<Vec<Stretch>, Damage>, StoreError> {
        let rows = sqlx::query(
            "SELECT blob, length, digest FROM object_parts WHERE object_key = $1 ORDER BY part_number",
        )
        .bind(&key.0)
        .fetch_all(self.reader())
        .await?;
        let mut stretches = Vec::with_capacity(rows.len());
        for row in &rows {
            let digest = Digest::parse(&row.try_get::<String, _>("digest")?);
            let name = parse_blob(&row.try_get::<String, _>("blob")?).ok();
            let length = unsigned(row.try_get("length")?).ok();
            let (Some(digest), Some(name), Some(length)) = (digest, name, length) else {
                return Ok(Err(Damage::Unknown));
            };
            stretches.push(Stretch { name, offset: 0, length, digest, is_alone: true });
        }
        let sum = stretches.iter().fold(0_u64, |sum, stretch| sum.saturating_add(stretch.length));
        Ok(if sum == length && !stretches.is_empty() { Ok(stretches) } else { Err(Damage::Unknown) })
    }

    /// Kept objects that were last read back before `before` (µs since the epoch), or are damaged and were before
    /// `damaged_before`: at most `count`, the least recent first. Before them those that were read after `ahead`, by a clock that
    /// was wrong: when that was, nobody knows.
    pub async fn due_for_check(
        &self,
        before: i64,
        damaged_before: i64,
        ahead: i64,
        count: i64,
    ) -> Result<Vec<ObjectKey>, StoreError> {
        let damaged =
            "SELECT checked_at, created_at, key FROM objects WHERE damaged_at IS NOT NULL AND checked_at < $1
             AND state IN ('committed', 'earlier') ORDER BY checked_at LIMIT $2";
        // One after the other: each has an index of its own that gives them in their order.
        let current =
            "SELECT checked_at, created_at, key FROM objects WHERE state = 'committed' AND checked_at < $1
                       ORDER BY checked_at, created_at LIMIT $2";
        let earlier =
            "SELECT checked_at, created_at, key FROM objects WHERE state = 'earlier' AND checked_at < $1
                       ORDER BY checked_at, created_at LIMIT $2";
        let ahead_current =
            "SELECT checked_at, created_at, key FROM objects WHERE state = 'committed' AND checked_at > $1
                       ORDER BY checked_at, created_at LIMIT $2";
        let ahead_earlier =
            "SELECT checked_at, created_at, key FROM objects WHERE state = 'earlier' AND checked_at > $1
                       ORDER BY checked_at, created_at LIMIT $2";
        let mut keys: Vec<ObjectKey> = Vec::new();
        for (texts, bound) in [
            (&[damaged][..], damaged_before),
            (&[ahead_current, ahead_earlier][..], ahead),
            (&[current, earlier][..], before),
        ] {
            let mut due: Vec<(i64, i64, String)> = Vec::new();
            for text in texts {
                for row in sqlx::query(*text).bind(bound).bind(count).fetch_all(self.reader()).await? {
                    due.push((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
                }
            }
            due.sort_unstable();
            for (.., key) in due {
                let key = ObjectKey(key);
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        keys.truncate(usize::try_from(count).unwrap_or(0));
        Ok(keys)
    }

    /// Writes checks down, and says what became of each, in their order.
    pub async fn record_checks(&self, checks: &[Check]) -> Result<Vec<Recorded>, StoreError> {
        if checks.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.begin().await?;
        // In the order of the keys, so that two who write checks down never wait for each other.
        let mut order: Vec<usize> = (0..checks.len()).collect();
        order.sort_by_key(|&index| checks.get(index).map(|check| &check.key));
        let mut recorded = vec![Recorded::Gone; checks.len()];
        for index in order {
            if let (Some(check), Some(slot)) = (checks.get(index), recorded.get_mut(index)) {
                *slot = record(&mut tx, check).await?;
            }
        }
        tx.commit().await?;
        Ok(recorded)
    }

    /// How the kept objects are. Reads all their rows.
    pub async fn objects_health(&self) -> Result<ObjectsHealth, StoreError> {
        let row = sqlx::query(
            "SELECT count(*) AS objects, CAST(COALESCE(SUM(length), 0) AS BIGINT) AS bytes,
                    CAST(COALESCE(SUM(CASE WHEN state = 'earlier' THEN 1 ELSE 0 END), 0) AS BIGINT) AS earlier_objects,
                    CAST(COALESCE(SUM(CASE WHEN verified_at IS NOT NULL AND damaged_at IS NULL THEN 1 ELSE 0 END), 0)
                         AS BIGINT) AS verified_objects,
                    CAST(COALESCE(SUM(CASE WHEN verified_at IS NOT NULL AND damaged_at IS NULL THEN length ELSE 0 END), 0)
                         AS BIGINT) AS verified_bytes,
                    MIN(CASE WHEN checked_at = 0 THEN created_at ELSE checked_at END) AS oldest,
                    CAST(COALESCE(SUM(CASE WHEN damage = 'missing' THEN 1 ELSE 0 END), 0) AS BIGINT) AS missing,
                    CAST(COALESCE(SUM(CASE WHEN damage <> 'missing' THEN 1 ELSE 0 END), 0) AS BIGINT) AS damaged
             FROM objects WHERE state IN ('committed', 'earlier')",
        )
        .fetch_one(self.reader())
        .await?;
        Ok(ObjectsHealth {
            objects: row.try_get("objects")?,
            bytes: row.try_get("bytes")?,
            earlier_objects: row.try_get("earlier_objects")?,
            verified_objects: row.try_get("verified_objects")?,
            verified_bytes: row.try_get("verified_bytes")?,
            oldest: row.try_get("oldest")?,
            damaged: row.try_get("damaged")?,
            missing: row.try_get("missing")?,
        })
    }

    /// Objects that wait for their commit, those of which parts are missing included.
    pub async fn uncommitted(&self) -> Result<Uncommitted, StoreError> {
        let row = sqlx::query(
            "SELECT count(*), CAST(COALESCE(SUM(COALESCE(length, (SELECT SUM(object_parts.length) FROM object_parts
                                                             WHERE object_key = key))), 0) AS BIGINT)
             FROM objects WHERE state IN ('open', 'stored') AND state <> 'committed'",
        )
        .fetch_one(self.reader())
        .await?;
        Ok(Uncommitted { objects: row.try_get(0)?, bytes: row.try_get(1)? })
    }

    /// What the metrics show: cheap however many objects there are.
    pub async fn scrub_standing(&self) -> Result<ScrubStanding, StoreError> {
        let damaged = sqlx::query(
            "SELECT CAST(COALESCE(SUM(CASE WHEN damage = 'missing' THEN 1 ELSE 0 END), 0) AS BIGINT) AS missing, count(*)
             FROM objects WHERE damaged_at IS NOT NULL AND state IN ('committed', 'earlier')",
        )
        .fetch_one(self.reader())
        .await?;
        let mut oldest: Option<(i64, i64)> = None;
        for text in [
            "SELECT checked_at, created_at FROM objects WHERE state = 'committed' ORDER BY checked_at, created_at LIMIT 1",
            "SELECT checked_at, created_at FROM objects WHERE state = 'earlier' ORDER BY checked_at, created_at LIMIT 1",
        ] {
            if let Some(row) = sqlx::query(text).fetch_optional(self.reader()).await? {
                let found = (row.try_get(0)?, row.try_get(1)?);
                oldest = Some(oldest.map_or(found, |oldest| oldest.min(found)));
            }
        }
        let missing: i64 = damaged.try_get(0)?;
        Ok(ScrubStanding {
            oldest: oldest.map(|(checked, created)| if checked == 0 { created } else { checked }),
            damaged: damaged.try_get::<i64, _>(1)? - missing,
            missing,
        })
    }

    /// Kept objects that are not what was uploaded, the longest known first, at most `count`.
    pub async fn damaged_objects(&self, count: i64) -> Result<Vec<DamagedObject>, StoreError> {
        let rows = sqlx::query(
            "SELECT key, blob, file_id, state, damage, damaged_at FROM objects
             WHERE damaged_at IS NOT NULL AND state IN ('committed', 'earlier') ORDER BY damaged_at, key LIMIT $1",
        )
        .bind(count)
        .fetch_all(self.reader())
        .await?;
        let damaged = |row: &AnyRow| {
            Ok(DamagedObject {
                key: ObjectKey(row.try_get("key")?),
                blob: row.try_get("blob")?,
                file: row.try_get::<Option<i64>, _>("file_id")?.map(FileId),
                is_earlier: row.try_get::<String, _>("state")? == "earlier",
                damage: Damage::of_name(&row.try_get::<String, _>("damage")?),
                since: Some(row.try_get("damaged_at")?),
            })
        };
        rows.iter().map(damaged).collect()
    }
}

fn file_objects(row: &AnyRow) -> Result<FileObjects, StoreError> {
    Ok(FileObjects {
        is_purged: row.try_get::<i64, _>("is_purged")? != 0,
        original: ObjectKey(row.try_get("file_object")?),
        thumbnail: ObjectKey(row.try_get("thumbnail_object")?),
        original_size: row.try_get("file_size")?,
        thumbnail_size: row.try_get("thumbnail_size")?,
    })
}

/// The one stretch of an object that is not in parts. A blob that is named after its object was made for it alone; what follows the
/// object in any other is somebody else's.
fn whole_stretch(
    key: &ObjectKey,
    row: &AnyRow,
    blob: &str,
    length: u64,
    digest: Option<Digest>,
) -> Result<Result<Vec<Stretch>, Damage>, StoreError> {
    let (name, offset) = (parse_blob(blob).ok(), unsigned(row.try_get("blob_offset")?).ok());
    let (Some(name), Some(offset), Some(digest)) = (name, offset, digest) else {
        return Ok(Err(Damage::Unknown));
    };
    let is_named_after_it =
        ObjectAddress::parse(key).is_some_and(|address| blob.starts_with(&address.object.to_string()));
    let is_alone = offset == 0 && is_named_after_it && row.try_get::<i64, _>("sharing")? == 1;
    Ok(Ok(vec![Stretch { name, offset, length, digest, is_alone }]))
}

async fn record(tx: &mut super::Tx, check: &Check) -> Result<Recorded, StoreError> {
    let query = match check.outcome {
        Ok(digest) => sqlx::query(
            "UPDATE objects SET verified_at = $1, checked_at = $1, damaged_at = NULL, damage = NULL, digest = $2
             WHERE key = $3 AND state IN ('committed', 'earlier') AND COALESCE(blob, '') = $4 AND blob_offset = $5
             RETURNING damaged_at",
        )
        .bind(check.at)
        .bind(digest.to_string()),
        Err(damage) => sqlx::query(
            "UPDATE objects SET checked_at = $1, damaged_at = COALESCE(damaged_at, $1), damage = $2
             WHERE key = $3 AND state IN ('committed', 'earlier') AND COALESCE(blob, '') = $4 AND blob_offset = $5
             RETURNING damaged_at",
        )
        .bind(check.at)
        .bind(damage.name()),
    };
    let query = query.bind(&check.key.0).bind(&check.place.blob).bind(check.place.offset);
    let Some(row) = query.fetch_optional(&mut **tx).await? else {
        return Ok(Recorded::Gone);
    };
    let since: Option<i64> = row.try_get(0)?;
    Ok(if since == Some(check.at) { Recorded::NewDamage } else { Recorded::Known })
}
