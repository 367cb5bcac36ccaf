//! Objects that files name and that have no row: nothing says where their bytes are, or what they were.
//!
//! It never comes of what the server does, for rows of files and of their objects are written together; it comes of a database that was
//! put together by hand, or of a fault. Nothing is mended here.

use super::checks::DamagedObject;
use super::{Store, StoreError};
use darkslide_protocol::receipt::Damage;
use darkslide_protocol::{FileId, ObjectKey};
use sqlx::Row as _;

/// All of them, those of earlier contents included. What is purged, or a deleted account's, needs none.
const LOST: &str = "
    SELECT files.id AS file_id, files.file_object AS lost, 0 AS is_earlier
    FROM files JOIN accounts ON accounts.id = files.owner_id
    WHERE files.is_purged = 0 AND accounts.status <> 'deleted' AND NOT EXISTS
        (SELECT 1 FROM objects WHERE objects.key = files.file_object AND objects.state = 'committed')
    UNION ALL
    SELECT files.id, files.thumbnail_object, 0 FROM files JOIN accounts ON accounts.id = files.owner_id
    WHERE files.is_purged = 0 AND accounts.status <> 'deleted' AND NOT EXISTS
        (SELECT 1 FROM objects WHERE objects.key = files.thumbnail_object AND objects.state = 'committed')
    UNION ALL
    SELECT files.id, earlier.file_object, 1 FROM file_versions AS earlier
    JOIN files ON files.id = earlier.file_id JOIN accounts ON accounts.id = files.owner_id
    WHERE earlier.restored_as IS NULL AND files.is_purged = 0 AND accounts.status <> 'deleted'
        AND NOT EXISTS (SELECT 1 FROM objects WHERE objects.key = earlier.file_object)
    UNION ALL
    SELECT files.id, earlier.thumbnail_object, 1 FROM file_versions AS earlier
    JOIN files ON files.id = earlier.file_id JOIN accounts ON accounts.id = files.owner_id
    WHERE earlier.restored_as IS NULL AND files.is_purged = 0 AND accounts.status <> 'deleted'
        AND NOT EXISTS (SELECT 1 FROM objects WHERE objects.key = earlier.thumbnail_object)";

impl Store {
    /// How many there are. Reads all files' rows.
    pub async fn count_lost(&self) -> Result<i64, StoreError> {
        let text = format!("SELECT count(*) FROM ({LOST}) AS named");
        Ok(super::sql::padded_statement(text).fetch_one(self.reader()).await?.try_get(0)?)
    }

    /// At most `count` of them, by their files. Reads all files' rows.
    pub async fn lost_objects(&self, count: i64) -> Result<Vec<DamagedObject>, StoreError> {
        let text = format!("SELECT * FROM ({LOST}) AS named ORDER BY file_id, lost LIMIT $1");
        let rows = super::sql::padded_statement(text).bind(count).fetch_all(self.reader()).await?;
        let lost = |row: &sqlx::any::AnyRow| {
            Ok(DamagedObject {
                key: ObjectKey(row.try_get("lost")?),
                blob: None,
                file: Some(FileId(row.try_get("file_id")?)),
                is_earlier: super::flag(row, "is_earlier")?,
                damage: Damage::Missing,
                since: None,
            })
        };
        rows.iter().map(lost).collect()
    }
}
