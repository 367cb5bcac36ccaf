//! Uploads that run ahead: they began while their file was still being hashed.
//!
//! A key meets no plaintext that is not pinned here first, by its hash. Once the whole content is known, and begins with what is pinned, it is a
//! [resumable upload](super::ResumableRow) like any other.

use darkslide_crypto::ContentHash;
use darkslide_protocol::Opaque;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{FromRow, Row, Sqlite};

use super::{Catalog, CatalogError, Fingerprint, ResumableRow, resumable};

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
        let query = sqlx::query(
            "INSERT OR REPLACE INTO head_starts (content_hash, server, collection, encrypted_key, key_nonce, header, object_key,
                 upload, length, began, checked, position, root, path, pinned, size, modified_ns, inode)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
        );
        resumable::bind(query, row)
            .bind(&place.root)
            .bind(&place.path)
            .bind(pinned.cast_signed())
            .bind(fingerprint.size.cast_signed())
            .bind(fingerprint.modified_ns)
            .bind(fingerprint.inode.cast_signed())
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
        let text = "UPDATE head_starts SET pinned = $4, content_hash = $5
                    WHERE root = $1 AND path = $2 AND upload = $3 AND pinned < $4";
        let query = this_one(text, place, upload).bind(pinned.cast_signed()).bind(content.to_string());
        Ok(query.execute(&self.pool).await?.rows_affected() == 1)
    }

    /// Records how far the server has been compared, and where the cipher stands there. False where the head start is no longer this one.
    pub async fn advance_head_start(
        &self,
        place: &AssetPlace,
        upload: &str,
        (checked, position): (u64, &Opaque),
    ) -> Result<bool, CatalogError> {
        let text = "UPDATE head_starts SET checked = $4, position = $5
                    WHERE root = $1 AND path = $2 AND upload = $3";
        let query = this_one(text, place, upload).bind(checked.cast_signed()).bind(&position.0);
        Ok(query.execute(&self.pool).await?.rows_affected() == 1)
    }

    /// Forgets a head start: its key and header are never used again. False where it is no longer this one.
    pub async fn end_head_start(&self, place: &AssetPlace, upload: &str) -> Result<bool, CatalogError> {
        Ok(this_one(END, place, upload).execute(&self.pool).await?.rows_affected() == 1)
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
        let text = "INSERT INTO resumable_uploads (content_hash, server, collection, encrypted_key, key_nonce, header, object_key,
                 upload, length, began, checked, position)
             SELECT $4, server, collection, encrypted_key, key_nonce, header, object_key, upload, length, began, checked,
                 position
             FROM head_starts WHERE root = $1 AND path = $2 AND upload = $3
                 AND NOT EXISTS (SELECT 1 FROM resumable_uploads WHERE content_hash = $4)
                 AND NOT EXISTS (SELECT 1 FROM uploads WHERE content_hash = $4)";
        let settling = this_one(text, place, upload).bind(content.to_string());
        let settled = settling.execute(&mut *transaction).await?.rows_affected() == 1;
        if settled {
            this_one(END, place, upload).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(settled)
    }

    /// Whether an object of so many bytes is in the vault, or was, or is on its way: only then may a content of that length be known already. Of
    /// what is shorter than 128 MiB, which gets no head start, it is not said.
    pub async fn has_object_of(&self, length: u64) -> Result<bool, CatalogError> {
        let query = sqlx::query_as(HAS_OBJECT_OF).bind(length.cast_signed());
        let (found,): (i64,) = query.fetch_one(&self.pool).await?;
        Ok(found != 0)
    }
}

/// The least of what [`Catalog::has_object_of`] knows of, in bytes, as the statement and the indices have it.
pub(crate) const LARGE_OBJECT_MIN: u64 = 134_217_728;

/// Of files and of the trash there may be many, of what is on its way there are few.
pub(super) const HAS_OBJECT_OF: &str = "SELECT
    EXISTS (SELECT 1 FROM files WHERE object_size = $1 AND object_size >= 134217728)
    OR EXISTS (SELECT 1 FROM trash WHERE object_size = $1 AND object_size >= 134217728)
    OR EXISTS (SELECT 1 FROM uploads WHERE length = $1)
    OR EXISTS (SELECT 1 FROM resumable_uploads WHERE length = $1)
    OR EXISTS (SELECT 1 FROM head_starts WHERE length = $1)";

const END: &str = "DELETE FROM head_starts WHERE root = $1 AND path = $2 AND upload = $3";

/// A statement about the head start of this place that is this upload, which are its first three values.
fn this_one(text: &'static str, place: &AssetPlace, upload: &str) -> Query<'static, Sqlite, SqliteArguments> {
    sqlx::query(text).bind(place.root.clone()).bind(place.path.clone()).bind(upload.to_owned())
}
