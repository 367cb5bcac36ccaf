//! Resumable uploads that are under way, so that a killed run goes on from the last byte that the server acknowledged.
//!
//! As with uploads in parts no ciphertext is kept: key and header are filed under the content hash, meet no other plaintext,
//! and are dropped with it.

use darkslide_crypto::ContentHash;
use darkslide_protocol::{CollectionId, ObjectKey, Opaque};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{FromRow, Row, Sqlite};

use super::{Catalog, CatalogError};

/// One resumable upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumableRow {
    /// What is being sent.
    pub content_hash: ContentHash,
    /// The server's address when it was begun.
    pub server: String,
    /// The collection whose key wraps the file's.
    pub collection: CollectionId,
    /// The file's key under the collection's.
    pub encrypted_key: Opaque,
    /// Its nonce.
    pub key_nonce: Opaque,
    /// The original's stream header.
    pub header: Opaque,
    /// The object that the upload becomes.
    pub object_key: ObjectKey,
    /// The server's name of the upload.
    pub upload: String,
    /// Ciphertext bytes in all.
    pub length: u64,
    /// When it was begun, µs since the epoch.
    pub began: i64,
    /// Ciphertext bytes that the server has and that were compared.
    pub checked: u64,
    /// Where the cipher stands before the chunk that the next byte belongs to, as its own text form.
    pub position: Opaque,
}

impl FromRow<'_, SqliteRow> for ResumableRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let content_hash: String = row.try_get("content_hash")?;
        let decode = |error| sqlx::Error::ColumnDecode { index: "content_hash".to_owned(), source: error };
        Ok(Self {
            content_hash: content_hash.parse().map_err(|error| decode(Box::new(error)))?,
            server: row.try_get("server")?,
            collection: CollectionId(row.try_get("collection")?),
            encrypted_key: Opaque(row.try_get("encrypted_key")?),
            key_nonce: Opaque(row.try_get("key_nonce")?),
            header: Opaque(row.try_get("header")?),
            object_key: ObjectKey(row.try_get("object_key")?),
            upload: row.try_get("upload")?,
            length: row.try_get::<i64, _>("length")?.cast_unsigned(),
            began: row.try_get("began")?,
            checked: row.try_get::<i64, _>("checked")?.cast_unsigned(),
            position: Opaque(row.try_get("position")?),
        })
    }
}

/// Binds all of a row, in the order of its members.
pub(super) fn bind<'q>(query: UploadQuery<'q>, row: &ResumableRow) -> UploadQuery<'q> {
    query
        .bind(row.content_hash.to_string())
        .bind(row.server.clone())
        .bind(row.collection.0)
        .bind(row.encrypted_key.0.clone())
        .bind(row.key_nonce.0.clone())
        .bind(row.header.0.clone())
        .bind(row.object_key.0.clone())
        .bind(row.upload.clone())
        .bind(row.length.cast_signed())
        .bind(row.began)
        .bind(row.checked.cast_signed())
        .bind(row.position.0.clone())
}

type UploadQuery<'q> = Query<'q, Sqlite, SqliteArguments>;

impl Catalog {
    /// The resumable upload of this content that was begun.
    pub async fn resumable_upload(
        &self,
        content: &ContentHash,
    ) -> Result<Option<ResumableRow>, CatalogError> {
        let row = sqlx::query_as("SELECT * FROM resumable_uploads WHERE content_hash = $1")
            .bind(content.to_string())
            .fetch_optional(&self.pool)
            .await?;
        Ok(row)
    }

    /// Pins an upload's key and header to its content. Replaces an earlier upload of it, of whichever kind.
    pub async fn begin_resumable_upload(&self, row: &ResumableRow) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        let hash = row.content_hash.to_string();
        sqlx::query("DELETE FROM uploads WHERE content_hash = $1")
            .bind(&hash)
            .execute(&mut *transaction)
            .await?;
        let query = sqlx::query(
            "INSERT OR REPLACE INTO resumable_uploads (content_hash, server, collection, encrypted_key, key_nonce,
                 header, object_key, upload, length, began, checked, position)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        );
        bind(query, row).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Records how far the server has been compared, and where the cipher stands there.
    pub async fn advance_resumable_upload(
        &self,
        content: &ContentHash,
        checked: u64,
        position: &Opaque,
    ) -> Result<(), CatalogError> {
        sqlx::query("UPDATE resumable_uploads SET checked = $1, position = $2 WHERE content_hash = $3")
            .bind(checked.cast_signed())
            .bind(&position.0)
            .bind(content.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
