//! Uploads that run ahead: they began while their file was still being hashed.
//!
//! A key meets no plaintext that is not pinned here first, by its hash. Once the whole content is known, and begins with what is pinned, it is a
//! [resumable upload](super::ResumableRow) like any other.

use darkslide_crypto::ContentHash;
use darkslide_protocol::Opaque;
use sqlx::{FromRow, Row, Sqlite, Transaction, sqlite::SqliteRow};

use super::{Catalog, CatalogError, Fingerprint, ResumableRow};

/// Where an asset is, as the catalog writes it: the root (or library) and the path (or id).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetPlace {
    /// Of the root.
    pub root: Vec<u8>,
    /// Below it.
    pub path: Vec<u8>,
}

/// How old a head start is when nobody goes on with it any more, in microseconds: the server has let go of it by then.
const AGE_MAX: i64 = 8 * 24 * 60 * 60 * 1_000_000;

/// One upload that runs ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadStart {
    /// Plaintext bytes from the beginning that its key may have met.
    pub pinned: u64,
    /// What the file was.
    pub fingerprint: Fingerprint,
    /// The upload; its content hash is that of these bytes.
    pub upload: ResumableRow,
}

impl FromRow<'_, SqliteRow> for HeadStart {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let pinned = row.try_get::<i64, _>("pinned")?.cast_unsigned();
        let fingerprint = Fingerprint {
            size: row.try_get::<i64, _>("size")?.cast_unsigned(),
            modified_ns: row.try_get("modified_ns")?,
            inode: row.try_get::<i64, _>("inode")?.cast_unsigned(),
        };
        Ok(Self { pinned, fingerprint, upload: ResumableRow::from_row(row)? })
    }
}

impl Catalog {
    /// The head start that an asset had.
    pub async fn head_start(&self, place: &AssetPlace) -> Result<Option<HeadStart>, CatalogError> {
        let row = sqlx::query_as("SELECT * FROM head_starts WHERE root = $1 AND path = $2")
            .bind(&place.root)
            .bind(&place.path)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row)
    }

    /// Files its key and header, before they meet a byte. Forgets those that are too old.
    pub async fn begin_head_start(&self, place: &AssetPlace, start: &HeadStart) -> Result<(), CatalogError> {
        let HeadStart { pinned, fingerprint, upload: row } = start;
        let mut transaction = self.write().await?;
        sqlx::query("DELETE FROM head_starts WHERE began < $1")
            .bind(row.began.saturating_sub(AGE_MAX))
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT OR REPLACE INTO head_starts (root, path, pinned, size, modified_ns, inode, content_hash, server, collection,
                 encrypted_key, key_nonce, header, object_key, upload, length, began, checked, position)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
        )
        .bind(&place.root)
        .bind(&place.path)
        .bind(pinned.cast_signed())
        .bind(fingerprint.size.cast_signed())
        .bind(fingerprint.modified_ns)
        .bind(fingerprint.inode.cast_signed())
        .bind(row.content_hash.to_string())
        .bind(&row.server)
        .bind(row.collection.0)
        .bind(&row.encrypted_key.0)
        .bind(&row.key_nonce.0)
        .bind(&row.header.0)
        .bind(&row.object_key.0)
        .bind(&row.upload)
        .bind(row.length.cast_signed())
        .bind(row.began)
        .bind(row.checked.cast_signed())
        .bind(&row.position.0)
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// Pins so many bytes, of this content hash: once it has returned true, they may be sealed. False where the head start is no longer this one.
    pub async fn pin_head_start(
        &self,
        place: &AssetPlace,
        upload: &str,
        (pinned, content): (u64, &ContentHash),
    ) -> Result<bool, CatalogError> {
        let text = "UPDATE head_starts SET pinned = $1, content_hash = $2
                    WHERE root = $3 AND path = $4 AND upload = $5 AND pinned < $1";
        let done = sqlx::query(text)
            .bind(pinned.cast_signed())
            .bind(content.to_string())
            .bind(&place.root)
            .bind(&place.path)
            .bind(upload)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Records how far the server has been compared, and where the cipher stands there. False where the head start is no longer this one.
    pub async fn advance_head_start(
        &self,
        place: &AssetPlace,
        upload: &str,
        (checked, position): (u64, &Opaque),
    ) -> Result<bool, CatalogError> {
        let text = "UPDATE head_starts SET checked = $1, position = $2
                    WHERE root = $3 AND path = $4 AND upload = $5";
        let done = sqlx::query(text)
            .bind(checked.cast_signed())
            .bind(&position.0)
            .bind(&place.root)
            .bind(&place.path)
            .bind(upload)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Forgets a head start: its key and header are never used again. False where it is no longer this one.
    pub async fn end_head_start(&self, place: &AssetPlace, upload: &str) -> Result<bool, CatalogError> {
        let mut transaction = self.write().await?;
        let ended = delete(&mut transaction, place, upload).await?;
        transaction.commit().await?;
        Ok(ended)
    }

    /// Makes a head start the resumable upload of the whole content that it turned out to begin. False where that has an upload already, or the
    /// head start is no longer this one.
    pub async fn settle_head_start(
        &self,
        place: &AssetPlace,
        upload: &str,
        content: &ContentHash,
    ) -> Result<bool, CatalogError> {
        let mut transaction = self.write().await?;
        let settled = sqlx::query(
            "INSERT INTO resumable_uploads (content_hash, server, collection, encrypted_key, key_nonce, header, object_key,
                 upload, length, began, checked, position)
             SELECT $1, server, collection, encrypted_key, key_nonce, header, object_key, upload, length, began, checked,
                 position
             FROM head_starts WHERE root = $2 AND path = $3 AND upload = $4
                 AND NOT EXISTS (SELECT 1 FROM resumable_uploads WHERE content_hash = $1)
                 AND NOT EXISTS (SELECT 1 FROM uploads WHERE content_hash = $1)",
        )
        .bind(content.to_string())
        .bind(&place.root)
        .bind(&place.path)
        .bind(upload)
        .execute(&mut *transaction)
        .await?;
        let settled = settled.rows_affected() == 1;
        if settled {
            delete(&mut transaction, place, upload).await?;
        }
        transaction.commit().await?;
        Ok(settled)
    }

    /// Whether an object of so many bytes is in the vault, or was, or is on its way: only then may a content of that length be known already.
    pub async fn has_object_of(&self, length: u64) -> Result<bool, CatalogError> {
        let (found,): (i64,) = sqlx::query_as(
            "SELECT EXISTS (SELECT 1 FROM files WHERE object_size = $1)
                 OR EXISTS (SELECT 1 FROM trash WHERE object_size = $1)
                 OR EXISTS (SELECT 1 FROM uploads WHERE length = $1)
                 OR EXISTS (SELECT 1 FROM resumable_uploads WHERE length = $1)
                 OR EXISTS (SELECT 1 FROM head_starts WHERE length = $1)",
        )
        .bind(length.cast_signed())
        .fetch_one(&self.pool)
        .await?;
        Ok(found != 0)
    }
}

async fn delete(
    transaction: &mut Transaction<'_, Sqlite>,
    place: &AssetPlace,
    upload: &str,
) -> Result<bool, CatalogError> {
    let done = sqlx::query("DELETE FROM head_starts WHERE root = $1 AND path = $2 AND upload = $3")
        .bind(&place.root)
        .bind(&place.path)
        .bind(upload)
        .execute(&mut **transaction)
        .await?;
    Ok(done.rows_affected() == 1)
}
