//! Whether a content is new, or this device or the vault ever had it. A Live Photo and its halves are one here: whichever of them came first,
//! more must be asked.

use std::collections::{HashMap, HashSet};

use darkslide_crypto::ContentHash;
use futures_util::TryStreamExt as _;
use serde_json::json;

use super::{Catalog, CatalogError};

/// All tables that have contents.
const TABLES: [&str; 3] = ["files", "trash", "assets"];

impl Catalog {
    /// Marks of all contents that the vault or this device ever had, for [`content_mark`] to be looked up in: what is not among
    /// them is new. None where more than `most` files and assets have one.
    pub async fn content_marks(&self, most: i64) -> Result<Option<HashSet<u64>>, CatalogError> {
        let mut rows = 0;
        for table in TABLES {
            // No further than is needed.
            let text = format!("SELECT COUNT(*) FROM (SELECT 1 FROM {table} LIMIT $1)");
            let count = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(text)).bind(most.saturating_add(1));
            rows += count.fetch_one(&self.pool).await?;
            if rows > most {
                return Ok(None);
            }
        }
        let mut marks = HashSet::new();
        for table in TABLES {
            let text = format!("SELECT content_hash FROM {table} WHERE content_hash IS NOT NULL");
            let mut rows = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(text)).fetch(&self.pool);
            while let Some(text) = rows.try_next().await? {
                marks.extend(text.split(':').map(mark_of));
            }
        }
        Ok(Some(marks))
    }

    /// Marks of those of some contents that the vault or this device ever had.
    pub async fn known_contents(&self, contents: &[ContentHash]) -> Result<HashSet<u64>, CatalogError> {
        if contents.is_empty() {
            return Ok(HashSet::new());
        }
        let texts: Vec<_> = contents.iter().map(|content| still_of(content).to_string()).collect();
        let query = sqlx::query_scalar::<_, String>(KNOWN).bind(json!(texts).to_string());
        let known = query.fetch_all(&self.pool).await?;
        Ok(known.iter().map(|text| mark_of(text)).collect())
    }

    /// Those of some contents of which the vault has told nothing: neither as a file, nor as something that was deleted.
    pub async fn unlisted_contents(
        &self,
        contents: &[ContentHash],
    ) -> Result<HashSet<ContentHash>, CatalogError> {
        let of_text: HashMap<String, ContentHash> =
            contents.iter().map(|content| (content.to_string(), *content)).collect();
        let texts: Vec<&String> = of_text.keys().collect();
        let query = sqlx::query_scalar::<_, String>(UNLISTED).bind(json!(texts).to_string());
        let unlisted = query.fetch_all(&self.pool).await?;
        Ok(unlisted.iter().filter_map(|text| of_text.get(text).copied()).collect())
    }

    /// When a run first saw this content on this device, wherever that was, as [`first_seen`](Self::first_seen). `None` where none did.
    pub async fn first_had(&self, content: &ContentHash) -> Result<Option<i64>, CatalogError> {
        Ok(sqlx::query_scalar(FIRST_HAD).bind(content.to_string()).fetch_one(&self.pool).await?)
    }
}

const FIRST_HAD: &str = "SELECT min(first_seen) FROM assets
     WHERE substr(content_hash, 1, 8) = substr($1, 1, 8) AND content_hash = $1";

const UNLISTED: &str = "WITH given (content_hash) AS (SELECT value FROM json_each($1))
    SELECT content_hash FROM given WHERE
        NOT EXISTS (SELECT 1 FROM files WHERE substr(files.content_hash, 1, 8) = substr(given.content_hash, 1, 8)
                AND files.content_hash = given.content_hash)
        AND NOT EXISTS (SELECT 1 FROM trash WHERE trash.content_hash = given.content_hash)";

/// Each still that is given in JSON and in a table, alone or with its video, or as a video with its still, found by its first letters, as the
/// indices have them. A colon is between the two, and a semicolon comes next.
const KNOWN: &str = "WITH given (content_hash) AS (SELECT value FROM json_each($1))
    SELECT content_hash FROM given WHERE
        EXISTS (SELECT 1 FROM files WHERE substr(files.content_hash, 1, 8) = substr(given.content_hash, 1, 8)
                AND substr(files.content_hash, 1, 88) = given.content_hash)
        OR EXISTS (SELECT 1 FROM assets WHERE substr(assets.content_hash, 1, 8) = substr(given.content_hash, 1, 8)
                AND substr(assets.content_hash, 1, 88) = given.content_hash)
        OR EXISTS (SELECT 1 FROM trash
                WHERE trash.content_hash >= given.content_hash AND trash.content_hash < given.content_hash || ';')
        OR EXISTS (SELECT 1 FROM files WHERE length(files.content_hash) > 88
                AND substr(files.content_hash, 90, 8) = substr(given.content_hash, 1, 8)
                AND substr(files.content_hash, 90) = given.content_hash)
        OR EXISTS (SELECT 1 FROM assets WHERE length(assets.content_hash) > 88
                AND substr(assets.content_hash, 90, 8) = substr(given.content_hash, 1, 8)
                AND substr(assets.content_hash, 90) = given.content_hash)
        OR EXISTS (SELECT 1 FROM trash WHERE length(trash.content_hash) > 88
                AND substr(trash.content_hash, 90, 8) = substr(given.content_hash, 1, 8)
                AND substr(trash.content_hash, 90) = given.content_hash)";

/// The content of a Live Photo's still; of anything else, its own.
pub fn still_of(content: &ContentHash) -> ContentHash {
    match *content {
        ContentHash::LivePhoto { image, .. } => ContentHash::Single(image),
        single @ ContentHash::Single(_) => single,
    }
}

/// The content of a Live Photo's video.
pub fn video_of(content: &ContentHash) -> Option<ContentHash> {
    match *content {
        ContentHash::LivePhoto { video, .. } => Some(ContentHash::Single(video)),
        ContentHash::Single(_) => None,
    }
}

/// A short mark of a content: equal contents have equal marks, and so has a Live Photo with its still.
pub fn content_mark(content: &ContentHash) -> u64 {
    mark_of(&still_of(content).to_string())
}

/// FNV-1a of 64 bits, over the text as it is stored.
fn mark_of(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |mark, byte| (mark ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::super::{assets::ASKED, head_starts::HAS_OBJECT_OF, set_backs};
    use super::*;
    use sqlx::Row as _;

    /// The tables are asked for what is looked for, and never read from one end to the other.
    #[tokio::test]
    async fn what_a_run_asks_costs_no_more_in_a_large_vault() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("catalog.sqlite")).await.unwrap();
        let large = format!("object_size >= {}", super::super::LARGE_OBJECT_MIN);
        assert_eq!(HAS_OBJECT_OF.matches(&large).count(), 2);
        let others = [KNOWN, UNLISTED, FIRST_HAD, HAS_OBJECT_OF, set_backs::NEWEST, set_backs::BETWEEN];
        for text in ASKED.into_iter().chain(others) {
            let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}")));
            let plan = plan.fetch_all(&catalog.pool).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
            let of_table = |line: &&String| {
                let mut words = line.split(' ');
                TABLES.iter().any(|table| words.clone().nth(1) == Some(table)) && words.next().is_some()
            };
            let seen: Vec<_> = plan.iter().filter(of_table).collect();
            let is_bounded =
                |line: &&&String| line.starts_with("SEARCH") || line.contains("assets_in_trouble");
            assert!(!seen.is_empty() && seen.iter().all(|line| is_bounded(&line)), "{text}: {plan:?}");
        }
    }
}
