//! Uploads in parts that are under way, so that a killed run goes on from the last acknowledged part.
//!
//! No ciphertext is kept. The same file key, stream header and plaintext make the same ciphertext again, from any
//! chunk; that is safe only while key and header meet no other plaintext, so they are filed under the content hash
//! and dropped with it.

use darkslide_crypto::ContentHash;
use darkslide_protocol::{CollectionId, ObjectKey, Opaque};
use sqlx::{FromRow, Row, sqlite::SqliteRow};

use super::{Catalog, CatalogError};

/// One upload in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRow {
    /// What is being sent.
    pub content_hash: ContentHash,
    /// The server's address when the URLs were minted.
    pub server: String,
    /// The collection whose key wraps the file's.
    pub collection: CollectionId,
    /// The file's key under the collection's.
    pub encrypted_key: Opaque,
    /// Its nonce.
    pub key_nonce: Opaque,
    /// The original's stream header.
    pub header: Opaque,
    /// The object that the parts become.
    pub object_key: ObjectKey,
    /// Where each part goes, in order.
    pub part_urls: Vec<String>,
    /// Where the list of parts goes.
    pub complete_url: String,
    /// Chunks in every part but the last.
    pub part_chunks: u64,
    /// Ciphertext bytes in all.
    pub length: u64,
    /// When the URLs were minted, µs since the epoch.
    pub began: i64,
}

/// A part that the server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartRow {
    /// From 1.
    pub number: u64,
    /// The server's tag, without quotes.
    pub etag: String,
    /// Where the cipher stands behind this part, as its own text form.
    pub position: String,
}

impl FromRow<'_, SqliteRow> for UploadRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let decode = |index: &str, source| sqlx::Error::ColumnDecode { index: index.to_owned(), source };
        let content_hash: String = row.try_get("content_hash")?;
        let part_urls: String = row.try_get("part_urls")?;
        Ok(Self {
            content_hash: content_hash.parse().map_err(|error| decode("content_hash", Box::new(error)))?,
            server: row.try_get("server")?,
            collection: CollectionId(row.try_get("collection")?),
            encrypted_key: Opaque(row.try_get("encrypted_key")?),
            key_nonce: Opaque(row.try_get("key_nonce")?),
            header: Opaque(row.try_get("header")?),
            object_key: ObjectKey(row.try_get("object_key")?),
            part_urls: serde_json::from_str(&part_urls)
                .map_err(|error| decode("part_urls", Box::new(error)))?,
            complete_url: row.try_get("complete_url")?,
            part_chunks: row.try_get::<i64, _>("part_chunks")?.cast_unsigned(),
            length: row.try_get::<i64, _>("length")?.cast_unsigned(),
            began: row.try_get("began")?,
        })
    }
}

impl Catalog {
    /// The upload of this content that was begun, with its acknowledged parts in order.
    pub async fn upload(
        &self,
        content: &ContentHash,
    ) -> Result<Option<(UploadRow, Vec<PartRow>)>, CatalogError> {
        let hash = content.to_string();
        let row: Option<UploadRow> = sqlx::query_as("SELECT * FROM uploads WHERE content_hash = $1")
            .bind(&hash)
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let parts: Vec<(i64, String, String)> = sqlx::query_as(
            "SELECT number, etag, position FROM upload_parts WHERE content_hash = $1 ORDER BY number",
        )
        .bind(&hash)
        .fetch_all(&self.pool)
        .await?;
        let part = |(number, etag, position): (i64, String, String)| PartRow {
            number: number.cast_unsigned(),
            etag,
            position,
        };
        Ok(Some((row, parts.into_iter().map(part).collect())))
    }

    /// Pins an upload's key, header and URLs to its content. Replaces an earlier upload of it, parts and all.
    pub async fn begin_upload(&self, row: &UploadRow) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        let hash = row.content_hash.to_string();
        sqlx::query("DELETE FROM uploads WHERE content_hash = $1")
            .bind(&hash)
            .execute(&mut *transaction)
            .await?;
        let part_urls = serde_json::Value::from(row.part_urls.clone()).to_string();
        sqlx::query(
            "INSERT INTO uploads (content_hash, server, collection, encrypted_key, key_nonce, header, object_key,
                 part_urls, complete_url, part_chunks, length, began)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(&hash)
        .bind(&row.server)
        .bind(row.collection.0)
        .bind(&row.encrypted_key.0)
        .bind(&row.key_nonce.0)
        .bind(&row.header.0)
        .bind(&row.object_key.0)
        .bind(part_urls)
        .bind(&row.complete_url)
        .bind(row.part_chunks.cast_signed())
        .bind(row.length.cast_signed())
        .bind(row.began)
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// Records a part that the server acknowledged.
    pub async fn acknowledge_part(&self, content: &ContentHash, part: &PartRow) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT OR REPLACE INTO upload_parts (content_hash, number, etag, position)
             VALUES ($1, $2, $3, $4)",
        )
        .bind(content.to_string())
        .bind(part.number.cast_signed())
        .bind(&part.etag)
        .bind(&part.position)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets an upload, of whichever kind: it was committed, or its session is gone. Its key and header are never used again.
    pub async fn end_upload(&self, content: &ContentHash) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        for table in [
            "DELETE FROM uploads WHERE content_hash = $1",
            "DELETE FROM resumable_uploads WHERE content_hash = $1",
        ] {
            sqlx::query(table).bind(content.to_string()).execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }
}
