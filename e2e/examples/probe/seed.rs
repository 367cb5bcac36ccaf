//! Fills an account by SQL with what a backup of so many files leaves in the server's database: files, memberships and objects, as
//! long as real ones. The texts are random and open to no key; there are no blobs. Usage is counted, so that quotas still hold.
//!
//! The account is the database's only one, with one album. The server must not be running.

use anyhow::{Context, Result, ensure};
use darkslide_e2e::engine::open;
use serde_json::{Value, json};
use sqlx::{AnyPool, Row as _};

/// Rows that one statement makes.
const ROWS: i64 = 50_000;

/// Ids that no server has given away yet.
pub(crate) const FIRST_ID: i64 = 1_000_000_000;

/// Ciphertext bytes of each original and of each thumbnail.
const BYTES: [i64; 2] = [3_000_017, 40_017];

/// The numbers from `$1` to `$2`.
pub(crate) const NUMBERS: &str =
    "WITH RECURSIVE numbers (n) AS (SELECT $1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $2)";

/// The key of an object of file `n`: a UUID in no order, as real ones are. `kind` is 1 for originals, 2 for thumbnails.
fn object_key(kind: i64) -> String {
    format!("$3 || '/' || printf('%08x-0000-4000-8000-%04x%08x', (n * 2654435761) % 4294967296, {kind}, n)")
}

/// Base64 of random bytes, `chars` characters of it: hexadecimal digits are also that. A multiple of 4 has no padding.
pub(crate) fn random(chars: usize) -> String {
    format!("hex(randomblob({}))", chars / 2)
}

/// Makes the files; tells which versions they have, and their collection.
pub(crate) async fn answer(database: &str, files: i64) -> Result<Value> {
    let pool = open(database).await;
    // It is measured, not kept.
    sqlx::query("PRAGMA synchronous = OFF").execute(&pool).await?;
    let row = sqlx::query(
        "SELECT collections.id, accounts.id, accounts.version FROM collections
         JOIN accounts ON accounts.id = collections.owner_id WHERE collections.kind = 'album'",
    )
    .fetch_one(&pool)
    .await
    .context("an account with an album is needed")?;
    let place = Place { collection: row.try_get(0)?, account: row.try_get(1)?, version: row.try_get(2)? };
    for first in (1..=files).step_by(usize::try_from(ROWS)?) {
        place.fill(&pool, first, (first + ROWS - 1).min(files)).await?;
    }
    place.finish(&pool, files).await?;
    pool.close().await;
    let version = |part: i64| place.version + files * part / 10;
    Ok(
        json!({ "collection": place.collection, "first": place.version, "middle": version(5), "end": version(9),
                "last": version(10) }),
    )
}

/// Where the files go, and the version before theirs.
struct Place {
    collection: i64,
    account: i64,
    version: i64,
}

impl Place {
    async fn fill(&self, pool: &AnyPool, first: i64, last: i64) -> Result<()> {
        for text in [files_text(), memberships_text(), objects_text(1), objects_text(2)] {
            sqlx::query(sqlx::AssertSqlSafe(text))
                .bind(first)
                .bind(last)
                .bind(self.account)
                .bind(self.version)
                .bind(self.collection)
                .execute(pool)
                .await?;
        }
        Ok(())
    }

    async fn finish(&self, pool: &AnyPool, files: i64) -> Result<()> {
        sqlx::query("UPDATE accounts SET version = $1, usage = usage + $2 WHERE id = $3")
            .bind(self.version + files)
            .bind(files * BYTES.iter().sum::<i64>())
            .bind(self.account)
            .execute(pool)
            .await?;
        sqlx::query("UPDATE id_blocks SET next = $1 WHERE name = 'all'")
            .bind(FIRST_ID + files + 1)
            .execute(pool)
            .await?;
        for (table, rows) in [("files", files), ("memberships", files), ("objects", 2 * files)] {
            let count = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")));
            let count: i64 = count.fetch_one(pool).await?.try_get(0)?;
            ensure!(count == rows, "{table} has {count} rows, not {rows}");
        }
        Ok(())
    }
}

fn files_text() -> String {
    let [original, thumbnail] = BYTES;
    let (header, metadata) = (random(32), random(400));
    let (file_object, thumbnail_object) = (object_key(1), object_key(2));
    // 42 characters, one that has no bits to spare, and the padding of 32 bytes.
    let tag = format!("{} || 'A='", random(42));
    format!(
        "{NUMBERS} INSERT INTO files
             (id, owner_id, file_object, file_header, file_size, thumbnail_object, thumbnail_header, thumbnail_size, metadata,
              metadata_header, is_purged, version, created_at, content_tag)
         SELECT {FIRST_ID} + n, $3, {file_object}, {header}, {original}, {thumbnail_object}, {header}, {thumbnail}, {metadata},
                {header}, 0, $4 + n, $4 + n, {tag}
         FROM numbers"
    )
}

fn memberships_text() -> String {
    let (key, nonce) = (random(64), random(32));
    format!(
        "{NUMBERS} INSERT INTO memberships
             (collection_id, file_id, account_id, encrypted_key, key_decryption_nonce, is_deleted, added_at, version)
         SELECT $5, {FIRST_ID} + n, $3, {key}, {nonce}, 0, $4 + n, $4 + n FROM numbers"
    )
}

fn objects_text(kind: i64) -> String {
    let bytes = if kind == 1 { BYTES[0] } else { BYTES[1] };
    let (object, etag, digest) = (object_key(kind), random(32), random(64));
    format!(
        "{NUMBERS} INSERT INTO objects
             (key, account_id, state, length, etag, digest, blob, file_id, expires_at, created_at)
         SELECT {object}, $3, 'committed', {bytes}, {etag}, {digest}, substr({object}, length($3) + 2) || '.00000.00000000',
                {FIRST_ID} + n, $4 + 10000000000000, $4 + n
         FROM numbers"
    )
}
