//! Thumbnails that are still to be made: of files that went into the vault with the placeholder, so as to be safe earlier.
//!
//! A row is written with the file's own, and goes when its thumbnail is in the vault or can never be.

use darkslide_protocol::{FileId, Opaque, Version};
use sqlx::{FromRow, Row, SqliteConnection, sqlite::SqliteRow};

use super::{AssetRow, Catalog, CatalogError, Spans, cursor};

/// One thumbnail that is still to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueRow {
    /// Its place in the order in which they became due.
    pub number: i64,
    /// The file that waits for it.
    pub file: FileId,
    /// The library's root, raw bytes.
    pub root: Vec<u8>,
    /// The path of the picture or video under the root, raw bytes.
    pub path: Vec<u8>,
}

/// A thumbnail that a file has got, or that it is no longer waiting for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentThumbnail {
    /// What was due.
    pub row: DueRow,
    /// Its stream header.
    pub header: Opaque,
    /// Ciphertext bytes.
    pub size: i64,
    /// The file's only membership's version with it; `None` where the feed has to tell.
    pub version: Option<Version>,
}

impl FromRow<'_, SqliteRow> for DueRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            number: row.try_get("number")?,
            file: FileId(row.try_get("file")?),
            root: row.try_get("root")?,
            path: row.try_get("path")?,
        })
    }
}

impl Catalog {
    /// The next thumbnails to be made, behind the given place in the order.
    pub async fn thumbnails_due(&self, after: i64, limit: u32) -> Result<Vec<DueRow>, CatalogError> {
        Ok(sqlx::query_as("SELECT * FROM thumbnails_due WHERE number > $1 ORDER BY number LIMIT $2")
            .bind(after)
            .bind(limit)
            .fetch_all(&self.pool)
            .await?)
    }

    /// The place of the one that became due last; 0 if none is.
    pub async fn last_thumbnail_due(&self) -> Result<i64, CatalogError> {
        let last = sqlx::query_scalar("SELECT coalesce(max(number), 0) FROM thumbnails_due");
        Ok(last.fetch_one(&self.pool).await?)
    }

    /// How many thumbnails are still to be made.
    pub async fn count_thumbnails_due(&self) -> Result<u64, CatalogError> {
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM thumbnails_due").fetch_one(&self.pool).await?;
        Ok(count.cast_unsigned())
    }

    /// Records thumbnails that are in the vault now, ahead of the feed.
    pub async fn record_thumbnails(
        &self,
        sent: &[SentThumbnail],
        spans: &mut Spans,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        for thumbnail in sent {
            sqlx::query("DELETE FROM thumbnails_due WHERE number = $1")
                .bind(thumbnail.row.number)
                .execute(&mut *transaction)
                .await?;
            let Some(version) = thumbnail.version else { continue };
            sqlx::query(
                "UPDATE files SET thumbnail_header = $3, thumbnail_size = $4, version = $2
                 WHERE file = $1 AND deleted = 0 AND version < $2",
            )
            .bind(thumbnail.row.file.0)
            .bind(version.0)
            .bind(&thumbnail.header.0)
            .bind(thumbnail.size)
            .execute(&mut *transaction)
            .await?;
        }
        cursor::advance(&mut transaction, spans).await?;
        Ok(transaction.commit().await?)
    }

    /// Forgets thumbnails that can never be made.
    pub async fn end_thumbnails_due(&self, rows: &[DueRow]) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        for row in rows {
            sqlx::query("DELETE FROM thumbnails_due WHERE number = $1")
                .bind(row.number)
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }
}

pub(super) async fn put(
    connection: &mut SqliteConnection,
    file: FileId,
    asset: &AssetRow,
) -> Result<(), CatalogError> {
    sqlx::query(
        // Under a new number: the thumbnail of what the file was before, if it is on its way, settles nothing.
        "INSERT OR REPLACE INTO thumbnails_due (file, root, path) VALUES ($1, $2, $3)",
    )
    .bind(file.0)
    .bind(&asset.root)
    .bind(&asset.path)
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{AssetState, DeviceAlbumKey, Fingerprint, UploadedRows};

    /// A picture is edited while its thumbnail is on its way: what was made of the earlier content must not settle the later one's.
    #[tokio::test]
    async fn a_thumbnail_of_what_a_file_was_settles_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("catalog.db")).await.unwrap();
        let asset = AssetRow {
            root: b"/r".to_vec(),
            path: b"a.jpg".to_vec(),
            fingerprint: Fingerprint { size: 1, modified_ns: 1, inode: 1 },
            motion: None,
            album: DeviceAlbumKey { root: b"/r".to_vec(), folder: Vec::new() },
            content_hash: None,
            file: Some(FileId(7)),
            state: AssetState::BackedUp,
            reason: None,
            first_seen: 1,
            last_seen: 1,
            failing: None,
        };
        let due = async || {
            let rows = UploadedRows {
                files: Vec::new(),
                assets: vec![asset.clone()],
                thumbnails_due: [FileId(7)].into(),
            };
            catalog.record_uploads(&rows, &mut Spans::default()).await.unwrap();
            let [row] = catalog.thumbnails_due(0, 9).await.unwrap().try_into().unwrap();
            row
        };
        let first = due().await;
        let later = due().await;
        let sent = SentThumbnail { row: first, header: Opaque("header".into()), size: 1, version: None };
        catalog.record_thumbnails(&[sent], &mut Spans::default()).await.unwrap();
        assert_eq!(catalog.thumbnails_due(0, 9).await.unwrap(), [later]);
    }
}
