//! Receipts: when the server last read a file's objects back and found them whole. For explanations; whoever is about to rely on one asks the
//! server anew.

use std::collections::HashMap;

use darkslide_protocol::{FileId, Opaque};

use super::{Catalog, CatalogError};

/// What the server said of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenReceipt {
    /// The file.
    pub file: FileId,
    /// The stream header of the contents that were asked for.
    pub object_header: Opaque,
    /// When both objects were read back whole, µs since the epoch; `None` where they were not.
    pub verified_at: Option<i64>,
}

impl Catalog {
    /// Records what the server said of files: when each was found whole, µs since the epoch; `None` where it was not.
    pub async fn record_receipts(&self, receipts: &[GivenReceipt]) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        for GivenReceipt { file, object_header, verified_at } in receipts {
            let query = match verified_at {
                Some(at) => sqlx::query(
                    "INSERT OR REPLACE INTO receipts (file, object_header, verified_at) VALUES ($1, $2, $3)",
                )
                .bind(file.0)
                .bind(&object_header.0)
                .bind(at),
                None => sqlx::query("DELETE FROM receipts WHERE file = $1").bind(file.0),
            };
            query.execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// The files that have a receipt for what they are now, and when it was given, µs since the epoch.
    pub async fn receipts(&self) -> Result<HashMap<FileId, i64>, CatalogError> {
        let rows: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT DISTINCT receipts.file, verified_at FROM receipts
             JOIN files ON files.file = receipts.file AND files.object_header = receipts.object_header",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|(file, at)| (FileId(file), at)).collect())
    }

    /// The same for one file.
    pub async fn receipt(&self, file: FileId) -> Result<Option<i64>, CatalogError> {
        Ok(sqlx::query_scalar(
            "SELECT verified_at FROM receipts
             JOIN files ON files.file = receipts.file AND files.object_header = receipts.object_header
             WHERE receipts.file = $1 LIMIT 1",
        )
        .bind(file.0)
        .fetch_optional(&self.pool)
        .await?)
    }
}
