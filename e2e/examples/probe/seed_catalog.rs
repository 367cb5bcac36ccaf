//! Fills a client's catalog by SQL with what it knows after a backup of as many files as [`seed`](super::seed) made in the server's database:
//! the files of the album, and the assets that they were. The texts are as long as real ones and open to no key.
//!
//! The client must not be running.

use anyhow::{Result, ensure};
use darkslide_e2e::engine::open;
use serde_json::{Value, json};
use sqlx::{AnyPool, Row as _};

use super::seed::{FIRST_ID, NUMBERS, random};

/// Microseconds since the Unix epoch.
const TAKEN: i64 = 1_700_000_000_000_000;

/// Makes the rows, and moves the feed's cursor behind them.
pub(crate) async fn answer(catalog: &str, files: i64, collection: i64, last: i64) -> Result<Value> {
    let pool = open(catalog).await;
    sqlx::query("PRAGMA synchronous = OFF").execute(&pool).await?;
    // The content of file `n`: 88 characters of base64, the same in both tables.
    sqlx::query("CREATE TEMPORARY TABLE contents (n INTEGER PRIMARY KEY, hash TEXT NOT NULL)")
        .execute(&pool)
        .await?;
    let hash = random(84);
    for text in [
        format!("{NUMBERS} INSERT INTO contents SELECT n, {hash} || 'Ag==' FROM numbers"),
        files_text(),
        assets_text(),
    ] {
        let query = sqlx::query(sqlx::AssertSqlSafe(text.clone())).bind(1_i64).bind(files);
        let query = if text.contains("$3") { query.bind(collection).bind(last - files) } else { query };
        query.execute(&pool).await?;
    }
    sqlx::query("INSERT OR REPLACE INTO cursors (feed, version) VALUES ('account', $1)")
        .bind(last)
        .execute(&pool)
        .await?;
    for table in ["files", "assets"] {
        ensure!(count(&pool, table).await? == files, "{table} has other rows than these");
    }
    pool.close().await;
    Ok(json!({ "files": files }))
}

async fn count(pool: &AnyPool, table: &str) -> Result<i64> {
    let count = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")));
    Ok(count.fetch_one(pool).await?.try_get(0)?)
}

fn files_text() -> String {
    let (key, nonce, header) = (random(64), random(32), random(32));
    format!(
        "{NUMBERS} INSERT INTO files
             (collection, file, owner, encrypted_key, key_nonce, title, content_hash, kind, taken, modified, object_size,
              thumbnail_size, object_header, thumbnail_header, metadata, version, deleted)
         SELECT $3, {FIRST_ID} + n, 1, {key}, {nonce}, printf('IMG_%06d.jpg', n), hash, 0, {TAKEN} + n, {TAKEN} + n, 3000017,
                40017, {header}, {header}, json_object('title', printf('IMG_%06d.jpg', n), 'filler', {filler}), $4 + n, 0
         FROM numbers JOIN contents USING (n)",
        filler = random(300),
    )
}

fn assets_text() -> String {
    format!(
        "{NUMBERS} INSERT INTO assets
             (root, path, size, modified_ns, inode, album_root, album_folder, content_hash, file, state, first_seen, last_seen)
         SELECT CAST('/before' AS BLOB), CAST(printf('%04d/IMG_%06d.jpg', n / 100, n) AS BLOB), 3000000, ({TAKEN} + n) * 1000, n,
                CAST('/before' AS BLOB), CAST(printf('%04d', n / 100) AS BLOB), hash, {FIRST_ID} + n, 'backed_up', {TAKEN}, {TAKEN}
         FROM numbers JOIN contents USING (n)"
    )
}
