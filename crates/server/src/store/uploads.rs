//! Objects in the database: which blobs are theirs, and what may still happen to them.
//!
//! `open → stored → committed → earlier → garbage`: a file that is edited makes its objects `earlier` ones, which come back by a restoration
//! only (`versions`); nothing else goes back, and steps may be left out. A blob is durable on disk before a row here names it; whoever is refused
//! here removes the blob that it brought.

use super::{Store, StoreError, Tx};
use crate::objects::{BlobName, Segment};
use darkslide_protocol::limits::DAY_MICROS;
use darkslide_protocol::{AccountId, ObjectKey};
use md5::{Digest as _, Md5};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

/// How long an object may wait for its commit: 14 days, twice what its URL lives.
pub const UNCOMMITTED_MICROS: i64 = 14 * DAY_MICROS;

/// Where an object belongs: its key, in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectAddress {
    /// Whose it is.
    pub account: AccountId,
    /// The rest.
    pub object: Uuid,
}

impl ObjectAddress {
    /// An address that nothing has had.
    pub fn generate(account: AccountId) -> Self {
        Self { account, object: Uuid::new_v4() }
    }

    /// The key that clients see: `<account>/<uuid>`.
    pub fn key(self) -> ObjectKey {
        ObjectKey(format!("{}/{}", self.account, self.object))
    }

    /// The address that a key names; `None` for what was never minted here.
    pub fn parse(key: &ObjectKey) -> Option<Self> {
        let (account, object) = key.0.split_once('/')?;
        let address = Self { account: account.parse().ok()?, object: Uuid::try_parse(object).ok()? };
        (address.key() == *key).then_some(address)
    }
}

/// A body that lies on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBody {
    /// Its file.
    pub blob: BlobName,
    /// Bytes.
    pub length: i64,
    /// Hex of its MD5.
    pub md5: String,
    /// `b3:` and the hex of its BLAKE3; without the prefix, hex of its BLAKE2b-256.
    pub digest: String,
}

/// What became of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It counts, instead of an earlier one, whose blob can go.
    Stored {
        /// The earlier one's blob.
        replaced: Option<BlobName>,
    },
    /// The same bytes were there already; the new blob can go.
    Already,
    /// The object is complete with other bytes, or a batch brought other ones, which lie in a pack; the new blob must go.
    Refused,
    /// The object has expired; the new blob must go.
    Gone,
}

/// What became of a list of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completed {
    /// The object is whole; this is its ETag.
    Whole(String),
    /// The list is not that of the stored parts.
    Mismatch,
    /// There is no such upload, or it has expired.
    Gone,
}

/// An object that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadableObject {
    /// Bytes.
    pub length: u64,
    /// Without quotes.
    pub etag: String,
    /// Its blobs in order.
    pub segments: Vec<Segment>,
}

/// A row of `objects`, locked until its transaction ends.
struct Locked {
    state: String,
    etag: Option<String>,
    digest: Option<String>,
    length: Option<i64>,
    blob: Option<BlobName>,
    part_count: Option<i64>,
}

impl Locked {
    /// Whether it has these bytes. Those that came in a batch have an ETag that is not their MD5.
    fn is_same(&self, body: &StoredBody) -> bool {
        let is_named = self.etag.as_ref() == Some(&body.md5) || self.digest.as_ref() == Some(&body.digest);
        is_named && self.length == Some(body.length)
    }

    /// Whether its bytes are all that is in its blob. A pack has others' too.
    fn has_a_blob_of_its_own(&self, at: ObjectAddress) -> bool {
        self.blob.as_ref().is_some_and(|blob| blob.is_of(at.object))
    }
}

impl Store {
    /// Names the body of a whole object.
    pub async fn store_whole(&self, at: ObjectAddress, body: &StoredBody) -> Result<Kept, StoreError> {
        let mut tx = self.begin().await?;
        let kept = self.store_whole_in(&mut tx, at, body).await?;
        tx.commit().await?;
        Ok(kept)
    }

    async fn store_whole_in(
        &self,
        tx: &mut Tx,
        at: ObjectAddress,
        body: &StoredBody,
    ) -> Result<Kept, StoreError> {
        let now = self.now();
        let inserted = sqlx::query(
            "INSERT INTO objects (key, account_id, state, length, etag, digest, blob, expires_at, created_at)
             VALUES ($1, $2, 'stored', $3, $4, $5, $6, $7, $8) ON CONFLICT (key) DO NOTHING",
        )
        .bind(at.key().0)
        .bind(at.account.0)
        .bind(body.length)
        .bind(&body.md5)
        .bind(&body.digest)
        .bind(body.blob.as_str())
        .bind(now + UNCOMMITTED_MICROS)
        .bind(now)
        .execute(&mut **tx)
        .await?
        .rows_affected();
        if inserted == 1 {
            return Ok(Kept::Stored { replaced: None });
        }
        let Some(old) = lock_object(tx, at).await? else { return Ok(Kept::Gone) };
        match old.state.as_str() {
            "stored" | "committed" | "earlier" if old.is_same(body) => Ok(Kept::Already),
            "stored" if old.part_count.is_none() && old.has_a_blob_of_its_own(at) => {
                replace_whole(tx, at, body).await?;
                Ok(Kept::Stored { replaced: old.blob })
            }
            "garbage" => Ok(Kept::Gone),
            _ => Ok(Kept::Refused),
        }
    }

    /// Names the body of part `number` (from 1) of an object of `count` parts.
    pub async fn store_part(
        &self,
        at: ObjectAddress,
        number: u32,
        count: u32,
        body: &StoredBody,
    ) -> Result<Kept, StoreError> {
        let mut tx = self.begin().await?;
        self.open_object(&mut tx, at, count).await?;
        let Some(object) = lock_object(&mut tx, at).await? else { return Ok(Kept::Gone) };
        let old = part_of(&mut tx, at, number).await?;
        let same = old.as_ref().is_some_and(|old| old.md5 == body.md5 && old.length == body.length);
        let kept = match object.state.as_str() {
            "garbage" => Kept::Gone,
            _ if same => Kept::Already,
            "open" if object.part_count == Some(i64::from(count)) => {
                upsert_part(&mut tx, at, number, body).await?;
                Kept::Stored { replaced: old.map(|old| old.blob) }
            }
            _ => Kept::Refused,
        };
        tx.commit().await?;
        Ok(kept)
    }

    async fn open_object(&self, tx: &mut Tx, at: ObjectAddress, count: u32) -> Result<(), StoreError> {
        let now = self.now();
        sqlx::query(
            "INSERT INTO objects (key, account_id, state, part_count, expires_at, created_at)
             VALUES ($1, $2, 'open', $3, $4, $5) ON CONFLICT (key) DO NOTHING",
        )
        .bind(at.key().0)
        .bind(at.account.0)
        .bind(i64::from(count))
        .bind(now + UNCOMMITTED_MICROS)
        .bind(now)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Makes parts one object. `listed` has each part's number and MD5 in hex, in the order of the numbers; it may be repeated.
    pub async fn complete(
        &self,
        at: ObjectAddress,
        listed: &[(u32, String)],
    ) -> Result<Completed, StoreError> {
        let mut tx = self.begin().await?;
        let Some(object) = lock_object(&mut tx, at).await? else { return Ok(Completed::Gone) };
        if object.state == "garbage" {
            return Ok(Completed::Gone);
        }
        let parts = parts_of(&mut tx, at).await?;
        let stored: Vec<(u32, String)> =
            parts.iter().map(|(number, part)| (*number, part.md5.clone())).collect();
        let whole = object.part_count == i64::try_from(parts.len()).ok();
        if !whole || stored != listed {
            return Ok(Completed::Mismatch);
        }
        let etag = etag_of_parts(&parts)?;
        if object.state == "open" {
            let length: i64 = parts.iter().map(|(_, part)| part.length).sum();
            sqlx::query("UPDATE objects SET state = 'stored', length = $1, etag = $2 WHERE key = $3")
                .bind(length)
                .bind(&etag)
                .bind(at.key().0)
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
        }
        Ok(Completed::Whole(etag))
    }

    /// An object whose bytes are there at `now` (µs since the epoch).
    pub async fn readable_object(
        &self,
        at: ObjectAddress,
        now: i64,
    ) -> Result<Option<ReadableObject>, StoreError> {
        let row = sqlx::query(
            "SELECT length, etag, blob, blob_offset FROM objects WHERE key = $1
             AND (state IN ('stored', 'committed', 'earlier') OR (state = 'garbage' AND expires_at > $2 AND length IS NOT NULL))",
        )
        .bind(at.key().0)
        .bind(now)
        .fetch_optional(self.reader())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let length: i64 = row.try_get("length")?;
        let segments = match row.try_get::<Option<String>, _>("blob")? {
            Some(blob) => vec![Segment {
                name: parse_blob(&blob)?,
                offset: unsigned(row.try_get("blob_offset")?)?,
                length: unsigned(length)?,
            }],
            None => self.segments_of_parts(at).await?,
        };
        Ok(Some(ReadableObject { length: unsigned(length)?, etag: row.try_get("etag")?, segments }))
    }

    async fn segments_of_parts(&self, at: ObjectAddress) -> Result<Vec<Segment>, StoreError> {
        let rows =
            sqlx::query("SELECT blob, length FROM object_parts WHERE object_key = $1 ORDER BY part_number")
                .bind(at.key().0)
                .fetch_all(self.reader())
                .await?;
        let segment = |row: &AnyRow| {
            let name = parse_blob(&row.try_get::<String, _>(0)?)?;
            Ok(Segment { name, offset: 0, length: unsigned(row.try_get(1)?)? })
        };
        rows.iter().map(segment).collect()
    }
}

async fn lock_object(tx: &mut Tx, at: ObjectAddress) -> Result<Option<Locked>, StoreError> {
    let row = sqlx::query(
        "UPDATE objects SET state = state WHERE key = $1 RETURNING state, etag, digest, length, blob, part_count",
    )
    .bind(at.key().0)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let blob: Option<String> = row.try_get("blob")?;
    Ok(Some(Locked {
        state: row.try_get("state")?,
        etag: row.try_get("etag")?,
        digest: row.try_get("digest")?,
        length: row.try_get("length")?,
        blob: blob.as_deref().map(parse_blob).transpose()?,
        part_count: row.try_get("part_count")?,
    }))
}

async fn replace_whole(tx: &mut Tx, at: ObjectAddress, body: &StoredBody) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE objects SET length = $1, etag = $2, digest = $3, blob = $4, blob_offset = 0 WHERE key = $5",
    )
    .bind(body.length)
    .bind(&body.md5)
    .bind(&body.digest)
    .bind(body.blob.as_str())
    .bind(at.key().0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn upsert_part(
    tx: &mut Tx,
    at: ObjectAddress,
    number: u32,
    body: &StoredBody,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO object_parts (object_key, part_number, length, etag, digest, blob)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (object_key, part_number)
         DO UPDATE SET length = excluded.length, etag = excluded.etag, digest = excluded.digest,
                       blob = excluded.blob",
    )
    .bind(at.key().0)
    .bind(i64::from(number))
    .bind(body.length)
    .bind(&body.md5)
    .bind(&body.digest)
    .bind(body.blob.as_str())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn part_of(tx: &mut Tx, at: ObjectAddress, number: u32) -> Result<Option<StoredBody>, StoreError> {
    let row = sqlx::query(
        "SELECT length, etag, digest, blob FROM object_parts WHERE object_key = $1 AND part_number = $2",
    )
    .bind(at.key().0)
    .bind(i64::from(number))
    .fetch_optional(&mut **tx)
    .await?;
    row.as_ref().map(body_of).transpose()
}

async fn parts_of(tx: &mut Tx, at: ObjectAddress) -> Result<Vec<(u32, StoredBody)>, StoreError> {
    let rows = sqlx::query(
        "SELECT part_number, length, etag, digest, blob FROM object_parts WHERE object_key = $1
         ORDER BY part_number",
    )
    .bind(at.key().0)
    .fetch_all(&mut **tx)
    .await?;
    let numbered = |row: &AnyRow| {
        let number = u32::try_from(row.try_get::<i64, _>("part_number")?);
        Ok((number.map_err(|_| StoreError::Malformed("part number"))?, body_of(row)?))
    };
    rows.iter().map(numbered).collect()
}

fn body_of(row: &AnyRow) -> Result<StoredBody, StoreError> {
    Ok(StoredBody {
        blob: parse_blob(&row.try_get::<String, _>("blob")?)?,
        length: row.try_get("length")?,
        md5: row.try_get("etag")?,
        digest: row.try_get("digest")?,
    })
}

pub(super) fn parse_blob(text: &str) -> Result<BlobName, StoreError> {
    BlobName::parse(text).ok_or(StoreError::Malformed("blob name"))
}

pub(super) fn unsigned(length: i64) -> Result<u64, StoreError> {
    u64::try_from(length).map_err(|_| StoreError::Malformed("length"))
}

/// The ETag of an object in parts, as S3 has it: the MD5 of the parts' MD5s, `-`, and their number.
fn etag_of_parts(parts: &[(u32, StoredBody)]) -> Result<String, StoreError> {
    let mut hash = Md5::new();
    for (_, part) in parts {
        let md5 = crate::objects::checksum::parse_hex(&part.md5).ok_or(StoreError::Malformed("MD5"))?;
        hash.update(md5);
    }
    Ok(format!("{}-{}", crate::auth::session::hex(&hash.finalize()), parts.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_were_minted_are_addresses() {
        let address = ObjectAddress::generate(AccountId(7));
        assert_eq!(ObjectAddress::parse(&address.key()), Some(address));
        for key in
            ["", "7", "7/x", "07/00000000-0000-4000-8000-000000000000", "7/00000000000040008000000000000000"]
        {
            assert_eq!(ObjectAddress::parse(&ObjectKey(key.into())), None, "{key}");
        }
    }
}
