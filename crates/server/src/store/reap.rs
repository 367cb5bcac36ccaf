//! What is due without a request: overdue trash, objects that nobody committed, earlier contents, and garbage.
//!
//! Rows are marked first, bytes removed second, rows removed last; so a crash between any two is put right by the next run. Time
//! is an argument.

use super::change::ChangeError;
use super::packs::remember_waste;
use super::sql::{LIST_MAX, list, lock_in_order, statement};
use super::uploads::parse_blob;
use super::{Store, StoreError, flag};
use crate::objects::BlobName;
use darkslide_protocol::{AccountId, FileId, ObjectKey};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use std::collections::{BTreeMap, BTreeSet};

/// How many rows one step takes.
const STEP: i64 = 500;

/// Garbage whose bytes can be removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// The rows to forget once the bytes are gone.
    pub keys: Vec<ObjectKey>,
    /// The bytes, in order, but for those in packs that hold others too.
    pub blobs: Vec<BlobName>,
}

impl Store {
    /// Purges trash whose time is up at `now`, a step of it. Returns how many files.
    pub async fn purge_overdue(&self, now: i64) -> Result<usize, ChangeError> {
        let mut purged = 0;
        for (account, files) in self.overdue_trash(now).await? {
            purged += self.purge_files_due(account, &files, now).await?;
        }
        Ok(purged)
    }

    /// The files whose time is up at `now`, by their accounts, a step of them.
    pub async fn overdue_trash(&self, now: i64) -> Result<BTreeMap<AccountId, Vec<FileId>>, StoreError> {
        let rows = sqlx::query(
            "SELECT account_id, file_id FROM trash WHERE delete_by <= $1 AND is_restored = 0 AND is_purged = 0
             ORDER BY delete_by LIMIT $2",
        )
        .bind(now)
        .bind(STEP)
        .fetch_all(self.reader())
        .await?;
        let mut due: BTreeMap<AccountId, Vec<FileId>> = BTreeMap::new();
        for row in rows {
            due.entry(AccountId(row.try_get(0)?)).or_default().push(FileId(row.try_get(1)?));
        }
        Ok(due)
    }

    /// Gives up objects that nobody committed in time, and those of earlier contents that nobody brought back. From here on nobody can.
    pub async fn give_up_overdue(&self, now: i64) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let text = format!(
            "UPDATE objects SET state = 'garbage' WHERE key IN
                 (SELECT key FROM objects
                  WHERE state IN ('open', 'stored', 'earlier') AND state <> 'committed' AND expires_at <= $1{})",
            lock_in_order(tx.engine())
        );
        let given_up = statement(text).bind(now).execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        Ok(given_up)
    }

    /// Garbage whose retention is over, a step of it.
    pub async fn due_garbage(&self, now: i64) -> Result<Garbage, StoreError> {
        let rows = sqlx::query(
            "SELECT objects.key, objects.blob, object_parts.blob AS part_blob,
                    CASE WHEN EXISTS (SELECT 1 FROM objects AS others WHERE others.blob = objects.blob
                                      AND (others.state <> 'garbage' OR others.expires_at > $1))
                         THEN 1 ELSE 0 END AS is_shared
             FROM (SELECT key, blob FROM objects
                   WHERE state = 'garbage' AND state <> 'committed' AND expires_at <= $1
                   ORDER BY expires_at LIMIT $2) AS objects
             LEFT JOIN object_parts ON object_parts.object_key = objects.key",
        )
        .bind(now)
        .bind(STEP)
        .fetch_all(self.reader())
        .await?;
        let (mut keys, mut blobs) = (BTreeSet::new(), BTreeSet::new());
        for row in rows {
            keys.insert(row.try_get::<String, _>("key")?);
            if flag(&row, "is_shared")? {
                continue;
            }
            for column in ["blob", "part_blob"] {
                if let Some(blob) = row.try_get::<Option<String>, _>(column)? {
                    // What is no blob's name names no bytes: the row goes, and nothing else waits for it.
                    blobs.extend(parse_blob(&blob).ok());
                }
            }
        }
        Ok(Garbage { keys: keys.into_iter().map(ObjectKey).collect(), blobs: blobs.into_iter().collect() })
    }

    /// Forgets garbage whose bytes are gone, and the earlier contents that it was. Returns the packs that have lost some of their objects
    /// by it: where these lie now, which may be elsewhere than they did when they were found to be due. These packs are to be [looked
    /// at](Self::packs_to_compact) from then on, whatever becomes of this process.
    pub async fn forget_garbage(&self, garbage: &Garbage) -> Result<Vec<BlobName>, StoreError> {
        let mut packs = BTreeSet::new();
        let mut tx = self.begin().await?;
        for chunk in garbage.keys.chunks(LIST_MAX) {
            let bind = |text: String, keys: &[String]| {
                keys.iter().fold(statement(text), |query, key| query.bind(key.clone()))
            };
            let listed: Vec<String> = chunk.iter().map(|key| key.0.clone()).collect();
            // One that has come again since it was listed is somebody's by now. The others stay locked.
            let text = format!(
                "SELECT key FROM objects WHERE state = 'garbage' AND key IN ({}){}",
                list(1, listed.len()),
                lock_in_order(tx.engine())
            );
            let rows = bind(text, &listed).fetch_all(&mut *tx).await?;
            let due = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
            if due.is_empty() {
                continue;
            }
            let keys = list(1, due.len());
            for text in [
                format!("DELETE FROM file_versions WHERE file_object IN ({keys})"),
                format!("DELETE FROM file_versions WHERE thumbnail_object IN ({keys})"),
                format!("DELETE FROM object_parts WHERE object_key IN ({keys})"),
            ] {
                bind(text, &due).execute(&mut *tx).await?;
            }
            let text = format!("DELETE FROM objects WHERE key IN ({keys}) RETURNING blob");
            packs.extend(blobs_in(&bind(text, &due).fetch_all(&mut *tx).await?)?);
        }
        packs.retain(|blob| garbage.blobs.binary_search(blob).is_err());
        remember_waste(&mut tx, &packs).await?;
        tx.commit().await?;
        Ok(packs.into_iter().collect())
    }

    /// Those of the blobs that no row names.
    pub async fn unnamed_blobs(&self, blobs: &[BlobName]) -> Result<Vec<BlobName>, StoreError> {
        let mut named = BTreeSet::new();
        for chunk in blobs.chunks(LIST_MAX) {
            for table in ["objects", "object_parts", "uploads"] {
                let text = format!("SELECT blob FROM {table} WHERE blob IN ({})", list(1, chunk.len()));
                let bind = |query: sqlx::query::Query<'static, _, _>, blob: &BlobName| {
                    query.bind(blob.as_str().to_owned())
                };
                for row in chunk.iter().fold(statement(text), bind).fetch_all(self.reader()).await? {
                    named.insert(row.try_get::<String, _>(0)?);
                }
            }
        }
        Ok(blobs.iter().filter(|blob| !named.contains(blob.as_str())).cloned().collect())
    }
}

/// The blobs that rows name in their first column. What is no blob's name names no bytes.
pub(super) fn blobs_in(rows: &[AnyRow]) -> Result<Vec<BlobName>, StoreError> {
    let mut blobs = Vec::with_capacity(rows.len());
    for row in rows {
        let blob: Option<String> = row.try_get(0)?;
        blobs.extend(blob.and_then(|blob| parse_blob(&blob).ok()));
    }
    Ok(blobs)
}
