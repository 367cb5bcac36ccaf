//! Resumable uploads in the database: how far each has come, who may write it, and the object that it becomes.
//!
//! The bytes are flushed before an offset is recorded here. A record is refused unless its writer is the newest and the offset is
//! the one that the writer left: of two processes that write one upload, at most one gets on.

use super::sessions::must_be_signed_in;
use super::uploads::{ObjectAddress, UNCOMMITTED_MICROS, parse_blob};
use super::{Store, StoreError, Tx};
use crate::objects::{BlobName, Digest};
use darkslide_protocol::limits::DAY_MICROS;
use darkslide_protocol::{AccountId, FileId, Opaque};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

/// How long an upload is kept after its last byte, and an answered one after it was whole: 7 days.
pub const UPLOAD_LIFETIME_MICROS: i64 = 7 * DAY_MICROS;

/// How many uploads one step of expiring takes.
const STEP: i64 = 500;

/// The columns of an [`Upload`].
const COLUMNS: &str = "id, account_id, state, length, durable_offset, digest, chunk_offset, chunk_digest, blob, expires_at, metadata";

/// One upload as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The object that it becomes; the UUID is the upload's id.
    pub at: ObjectAddress,
    /// Whether the object is there.
    pub is_stored: bool,
    /// Bytes in all.
    pub length: u64,
    /// Bytes that are flushed.
    pub offset: u64,
    /// BLAKE3 of these bytes, as they were sent. `None` at 0, and where an earlier version of the server recorded without one: such
    /// bytes cannot be told from others, and count as lost.
    pub digest: Option<[u8; 32]>,
    /// What the newest request brought.
    pub chunk: Option<Chunk>,
    /// The blob's name, once it is whole.
    pub blob: BlobName,
    /// µs since the epoch.
    pub expires_at: i64,
    /// What its client told of it, sealed.
    pub metadata: Option<String>,
}

/// What one request brought, as far as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Base64 of the BLAKE3 of its bytes.
    pub digest: String,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It counts; the upload now lives until then (µs since the epoch).
    Until(i64),
    /// Another writer has taken over, or the upload is gone.
    Superseded,
}

/// What became of a whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// The object is stored, now or before.
    Stored,
    /// There is no such upload any more; the blob must go.
    Gone,
}

impl Upload {
    /// Whether its time is up at `now` (µs since the epoch).
    pub fn is_expired(&self, now: i64) -> bool {
        self.expires_at <= now
    }

    /// Whether all its bytes are there.
    pub fn is_whole(&self) -> bool {
        self.offset == self.length
    }
}

impl Store {
    /// Begins an upload of `length` bytes, perhaps for a damaged file and for nothing else. `metadata` is sealed.
    pub async fn begin_upload(
        &self,
        at: ObjectAddress,
        length: u64,
        mends: Option<FileId>,
        metadata: Option<String>,
    ) -> Result<Upload, StoreError> {
        let now = self.now();
        let upload = Upload {
            at,
            is_stored: false,
            length,
            offset: 0,
            digest: None,
            chunk: None,
            blob: BlobName::generate(at.object, 0),
            expires_at: now + UPLOAD_LIFETIME_MICROS,
            metadata,
        };
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO uploads (id, account_id, state, length, durable_offset, chunk_offset, blob, expires_at, created_at,
                                  mends, metadata)
             VALUES ($1, $2, 'open', $3, 0, 0, $4, $5, $6, $7, $8)",
        )
        .bind(at.object.to_string())
        .bind(at.account.0)
        .bind(signed(length)?)
        .bind(upload.blob.as_str())
        .bind(upload.expires_at)
        .bind(now)
        .bind(mends.map(|file| file.0))
        .bind(upload.metadata.clone())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(upload)
    }

    /// One upload of an account's, expired or not.
    pub async fn upload(&self, at: ObjectAddress) -> Result<Option<Upload>, StoreError> {
        let text = format!("SELECT {COLUMNS} FROM uploads WHERE id = $1 AND account_id = $2");
        let row = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(at.object.to_string())
            .bind(at.account.0)
            .fetch_optional(self.reader())
            .await?;
        row.as_ref().map(upload_of).transpose()
    }

    /// Makes `writer` the only one that may record, if the upload still stands at `offset`. Earlier writers are refused from here on, and
    /// so is this one when its request's session has ended.
    pub async fn take_upload(
        &self,
        at: ObjectAddress,
        offset: u64,
        writer: Uuid,
    ) -> Result<Recorded, StoreError> {
        let mut tx = self.begin().await?;
        must_be_signed_in(&mut tx).await?;
        let row = sqlx::query(
            "UPDATE uploads SET writer = $1 WHERE id = $2 AND account_id = $3 AND state = 'open'
             AND durable_offset = $4 AND expires_at > $5 RETURNING expires_at",
        )
        .bind(writer.to_string())
        .bind(at.object.to_string())
        .bind(at.account.0)
        .bind(signed(offset)?)
        .bind(self.now())
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.map_or(Ok(Recorded::Superseded), |row| Ok(Recorded::Until(row.try_get(0)?)))
    }

    /// Records that the bytes up to `to` are flushed and what their BLAKE3 is; those from `chunk.offset` on are the newest request's.
    pub async fn record_upload(
        &self,
        at: ObjectAddress,
        writer: Uuid,
        from: u64,
        to: u64,
        digest: &[u8; 32],
        chunk: &Chunk,
    ) -> Result<Recorded, StoreError> {
        let now = self.now();
        let expires_at = now + UPLOAD_LIFETIME_MICROS;
        let mut tx = self.begin().await?;
        let recorded = sqlx::query(
            "UPDATE uploads SET durable_offset = $1, digest = $2, chunk_offset = $3, chunk_digest = $4, expires_at = $5
             WHERE id = $6 AND writer = $7 AND durable_offset = $8 AND state = 'open' AND expires_at > $9",
        )
        .bind(signed(to)?)
        .bind(Opaque::encode(digest).0)
        .bind(signed(chunk.offset)?)
        .bind(&chunk.digest)
        .bind(expires_at)
        .bind(at.object.to_string())
        .bind(writer.to_string())
        .bind(signed(from)?)
        .bind(now)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(if recorded == 1 { Recorded::Until(expires_at) } else { Recorded::Superseded })
    }

    /// Makes the object of an upload that is whole and whose blob is in its place. May be repeated. Refused when the session of the
    /// request that wants it has ended: then it waits for another one.
    pub async fn finish_upload(&self, upload: &Upload, digest: &[u8; 32]) -> Result<Finished, StoreError> {
        let mut tx = self.begin().await?;
        must_be_signed_in(&mut tx).await?;
        let row = sqlx::query(
            "UPDATE uploads SET writer = NULL
             WHERE id = $1 AND account_id = $2 AND durable_offset = length AND expires_at > $3 RETURNING state",
        )
        .bind(upload.at.object.to_string())
        .bind(upload.at.account.0)
        .bind(self.now())
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(Finished::Gone) };
        // Once only: an object that was made, committed and purged since must not come back.
        if row.try_get::<String, _>(0)? == "open" {
            let is_new = self.insert_object(&mut tx, upload, digest).await?;
            let text = if is_new {
                "UPDATE uploads SET state = 'stored' WHERE id = $1"
            } else {
                // A batch brought an object of its own under this key meanwhile.
                "DELETE FROM uploads WHERE id = $1"
            };
            sqlx::query(text).bind(upload.at.object.to_string()).execute(&mut *tx).await?;
            tx.commit().await?;
            return Ok(if is_new { Finished::Stored } else { Finished::Gone });
        }
        Ok(Finished::Stored)
    }

    /// Whether an upload's object is still there for a commit, or has had one.
    pub async fn keeps_object(&self, at: ObjectAddress) -> Result<bool, StoreError> {
        let row = sqlx::query("SELECT 1 FROM objects WHERE key = $1 AND state <> 'garbage'")
            .bind(at.key().0)
            .fetch_optional(self.reader())
            .await?;
        Ok(row.is_some())
    }

    /// False when there is an object of that key already.
    async fn insert_object(
        &self,
        tx: &mut Tx,
        upload: &Upload,
        digest: &[u8; 32],
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let digest = Digest::Blake3(*digest);
        let inserted = sqlx::query(
            "INSERT INTO objects (key, account_id, state, length, etag, digest, blob, expires_at, created_at, file_id)
             VALUES ($1, $2, 'stored', $3, $4, $5, $6, $7, $8, (SELECT mends FROM uploads WHERE id = $9))
             ON CONFLICT (key) DO NOTHING",
        )
        .bind(upload.at.key().0)
        .bind(upload.at.account.0)
        .bind(signed(upload.length)?)
        .bind(digest.etag())
        .bind(digest.to_string())
        .bind(upload.blob.as_str())
        .bind(now + UNCOMMITTED_MICROS)
        .bind(now)
        .bind(upload.at.object.to_string())
        .execute(&mut **tx)
        .await?;
        Ok(inserted.rows_affected() == 1)
    }

    /// Forgets an upload that is not whole yet. False when there is none: its object, if there is one, stays. Refused when the session of the
    /// request that wants it has ended.
    pub async fn forget_upload(&self, at: ObjectAddress) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        must_be_signed_in(&mut tx).await?;
        let forgotten =
            sqlx::query("DELETE FROM uploads WHERE id = $1 AND account_id = $2 AND state = 'open'")
                .bind(at.object.to_string())
                .bind(at.account.0)
                .execute(&mut *tx)
                .await?
                .rows_affected();
        tx.commit().await?;
        Ok(forgotten == 1)
    }

    /// Forgets an upload that has become an object, and gives that up where no commit has named it.
    pub async fn terminate_stored_upload(&self, at: ObjectAddress) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        must_be_signed_in(&mut tx).await?;
        sqlx::query("DELETE FROM uploads WHERE id = $1 AND account_id = $2 AND state = 'stored'")
            .bind(at.object.to_string())
            .bind(at.account.0)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "UPDATE objects SET state = 'garbage', expires_at = $1 WHERE key = $2 AND state = 'stored'",
        )
        .bind(self.now())
        .bind(at.key().0)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Forgets uploads whose time is up at `now` (µs since the epoch), a step of them, and tells which. The files of those that were
    /// not stored can go.
    pub async fn forget_expired_uploads(&self, now: i64) -> Result<Vec<Upload>, StoreError> {
        let text = format!(
            "DELETE FROM uploads WHERE expires_at <= $1 AND id IN
                 (SELECT id FROM uploads WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)
             RETURNING {COLUMNS}"
        );
        let mut tx = self.begin().await?;
        let rows = sqlx::query(sqlx::AssertSqlSafe(text)).bind(now).bind(STEP).fetch_all(&mut *tx).await?;
        let uploads = rows.iter().map(upload_of).collect::<Result<_, _>>()?;
        tx.commit().await?;
        Ok(uploads)
    }

    /// Those of the ids that no upload has.
    pub async fn unknown_uploads(&self, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        let mut unknown = Vec::new();
        for id in ids {
            let row = sqlx::query("SELECT 1 FROM uploads WHERE id = $1")
                .bind(id.to_string())
                .fetch_optional(self.reader())
                .await?;
            if row.is_none() {
                unknown.push(*id);
            }
        }
        Ok(unknown)
    }
}

fn upload_of(row: &AnyRow) -> Result<Upload, StoreError> {
    let id: String = row.try_get("id")?;
    let object = Uuid::try_parse(&id).map_err(|_| StoreError::Malformed("upload id"))?;
    let chunk_digest: Option<String> = row.try_get("chunk_digest")?;
    let chunk_offset = unsigned(row.try_get("chunk_offset")?)?;
    Ok(Upload {
        at: ObjectAddress { account: AccountId(row.try_get("account_id")?), object },
        is_stored: row.try_get::<String, _>("state")? == "stored",
        length: unsigned(row.try_get("length")?)?,
        offset: unsigned(row.try_get("durable_offset")?)?,
        digest: digest_of(row)?,
        chunk: chunk_digest.map(|digest| Chunk { offset: chunk_offset, digest }),
        blob: parse_blob(&row.try_get::<String, _>("blob")?)?,
        expires_at: row.try_get("expires_at")?,
        metadata: row.try_get("metadata")?,
    })
}

fn digest_of(row: &AnyRow) -> Result<Option<[u8; 32]>, StoreError> {
    let text: Option<String> = row.try_get("digest")?;
    let decoded = text.map(|text| Opaque(text).decode_array()).transpose();
    decoded.map_err(|_| StoreError::Malformed("upload digest"))
}

fn signed(bytes: u64) -> Result<i64, StoreError> {
    i64::try_from(bytes).map_err(|_| StoreError::Malformed("number of bytes"))
}

fn unsigned(bytes: i64) -> Result<u64, StoreError> {
    u64::try_from(bytes).map_err(|_| StoreError::Malformed("number of bytes"))
}
