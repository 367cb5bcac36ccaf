//! Files of the account's own of which the server's copy is known to be damaged or lost: remembered until it is found whole, or other bytes are in
//! its place, so that the next backup sends the original again.
//!
//! It is written where somebody looked and had a reason: a receipt, or a download that does not open. What could not be looked at is not in here.

use darkslide_crypto::ContentHash;
use darkslide_protocol::{AccountId, FileId, Opaque, Version};
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _, SqliteConnection};
use std::collections::HashSet;

use super::{AssetPlace, Catalog, CatalogError, FileRow};
use crate::folder::reconcile::RelativePath;

/// The word for damage that the server itself told. It takes that back by itself; what a download found it does not.
pub const SAID_BY_THE_SERVER: &str = "damaged";

/// What of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// The picture or video.
    Original,
    /// Its thumbnail, while the original is whole.
    Thumbnail,
}

/// What somebody found who looked at the server's copy of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookedAt {
    /// The file.
    pub file: FileId,
    /// The stream header of the original that was looked at.
    pub object_header: Opaque,
    /// The thumbnail's.
    pub thumbnail_header: Opaque,
    /// What is damaged, and in a word how; none where all is whole.
    pub damage: Option<(Part, &'static str)>,
}

/// A file whose copy on the server is damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DamagedFile {
    /// The file.
    pub file: FileId,
    /// Its name, if that opens.
    pub name: Option<String>,
    /// What is damaged.
    pub part: Part,
    /// In a word, as a verification says it.
    pub problem: String,
    /// When that was found, µs since the epoch.
    pub found: i64,
    /// Whether it is on this device, as far as is known: then the next backup sends it again.
    pub is_here: bool,
}

impl FromRow<'_, SqliteRow> for DamagedFile {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let part: String = row.try_get("part")?;
        Ok(Self {
            file: FileId(row.try_get("file")?),
            name: row.try_get("title")?,
            part: if part == "thumbnail" { Part::Thumbnail } else { Part::Original },
            problem: row.try_get("what")?,
            found: row.try_get("found")?,
            is_here: row.try_get("is_here")?,
        })
    }
}

impl Catalog {
    /// Records what was found of the server's copies, at `now` (µs since the epoch).
    pub async fn record_looked_at(&self, looked: &[LookedAt], now: i64) -> Result<(), CatalogError> {
        self.record_damage(looked, now, false).await
    }

    /// The same of what the server itself says: what a download found stays, however whole the server says that it is.
    pub async fn record_said_by_server(&self, looked: &[LookedAt], now: i64) -> Result<(), CatalogError> {
        self.record_damage(looked, now, true).await
    }

    async fn record_damage(
        &self,
        looked: &[LookedAt],
        now: i64,
        is_said_by_server: bool,
    ) -> Result<(), CatalogError> {
        if looked.is_empty() {
            return Ok(());
        }
        let mut transaction = self.write().await?;
        let text = "SELECT file FROM damaged_files";
        let known: Vec<i64> = sqlx::query_scalar(text).fetch_all(&mut *transaction).await?;
        let known: HashSet<i64> = known.into_iter().collect();
        // Nearly always all is whole, and nothing to be written.
        for one in looked.iter().filter(|one| one.damage.is_some() || known.contains(&one.file.0)) {
            record(&mut transaction, one, now, is_said_by_server).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// What is known to be damaged now, the earliest found first.
    pub async fn damaged_files(&self) -> Result<Vec<DamagedFile>, CatalogError> {
        Ok(sqlx::query_as(KNOWN).bind(None::<i64>).fetch_all(&self.pool).await?)
    }

    /// The same of one file.
    pub async fn damage_of(&self, file: FileId) -> Result<Option<DamagedFile>, CatalogError> {
        Ok(sqlx::query_as(KNOWN).bind(Some(file.0)).fetch_optional(&self.pool).await?)
    }

    /// A membership, in a collection of the account's own, of a file of its own that has this content and whose original is damaged.
    pub async fn damaged_with_content(
        &self,
        owner: AccountId,
        content: &ContentHash,
    ) -> Result<Option<FileRow>, CatalogError> {
        let query = sqlx::query_as(WITH_CONTENT).bind(content.to_string()).bind(owner.0);
        Ok(query.fetch_optional(&self.pool).await?)
    }

    /// The paths at which a sync folder has what is damaged, as far as is known.
    pub async fn damaged_in_folder(&self, folder: i64) -> Result<Vec<RelativePath>, CatalogError> {
        Ok(sqlx::query_scalar(IN_FOLDER).bind(folder).fetch_all(&self.pool).await?)
    }

    /// Has the thumbnail of a file made anew from the asset at this place, if that is what was backed up as it; whatever was made of it before settles
    /// nothing.
    pub async fn make_thumbnail_again(&self, file: FileId, place: &AssetPlace) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT OR REPLACE INTO thumbnails_due (file, root, path)
             SELECT file, root, path FROM assets WHERE root = $1 AND path = $2 AND file = $3 AND state = 'backed_up'",
        )
        .bind(&place.root)
        .bind(&place.path)
        .bind(file.0)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Sync folders that had a file at the version `before` have it at the one that it has for being sent again: nobody else did anything to it in between.
    /// Whoever deletes it there right after that would otherwise seem not to have seen it.
    pub async fn follow_mending(
        &self,
        file: FileId,
        content: &ContentHash,
        (before, after): (Version, Version),
    ) -> Result<(), CatalogError> {
        let text = "UPDATE sync_base SET version = $4
             WHERE file = $1 AND content = $2 AND state = 'synced' AND version = $3";
        let query = sqlx::query(text).bind(file.0).bind(content.to_string()).bind(before.0).bind(after.0);
        query.execute(&self.pool).await?;
        Ok(())
    }

    /// Forgets it: other bytes are in their place.
    pub async fn forget_damage(&self, file: FileId) -> Result<(), CatalogError> {
        let text = "DELETE FROM damaged_files WHERE file = $1";
        sqlx::query(text).bind(file.0).execute(&self.pool).await?;
        Ok(())
    }
}

async fn record(
    connection: &mut SqliteConnection,
    looked: &LookedAt,
    now: i64,
    is_said_by_server: bool,
) -> Result<(), CatalogError> {
    let LookedAt { file, object_header, thumbnail_header, damage } = looked;
    if is_said_by_server {
        let known = sqlx::query(FOUND_BY_A_DOWNLOAD).bind(file.0).bind(&object_header.0);
        if known.bind(SAID_BY_THE_SERVER).fetch_optional(&mut *connection).await?.is_some() {
            return Ok(());
        }
    }
    let Some((part, what)) = damage else {
        let text = "DELETE FROM damaged_files WHERE file = $1";
        sqlx::query(text).bind(file.0).execute(connection).await?;
        return Ok(());
    };
    let (part, header) = match part {
        Part::Original => ("original", object_header),
        Part::Thumbnail => ("thumbnail", thumbnail_header),
    };
    sqlx::query(PUT)
        .bind(file.0)
        .bind(part)
        .bind(&header.0)
        .bind(what)
        .bind(now)
        .execute(&mut *connection)
        .await?;
    if part == "thumbnail" {
        sqlx::query(MAKE_AGAIN).bind(file.0).bind(&header.0).execute(connection).await?;
    }
    Ok(())
}

const FOUND_BY_A_DOWNLOAD: &str =
    "SELECT 1 FROM damaged_files WHERE file = $1 AND part = 'original' AND header = $2 AND what <> $3";

/// What is known of the same bytes is known since then.
const PUT: &str = "INSERT INTO damaged_files (file, part, header, what, found) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (file) DO UPDATE SET part = excluded.part, header = excluded.header, what = excluded.what, found = excluded.found
     WHERE damaged_files.part <> excluded.part OR damaged_files.header <> excluded.header";

/// A thumbnail is due where the picture is here. One that is due already keeps its place.
const MAKE_AGAIN: &str = "INSERT OR IGNORE INTO thumbnails_due (file, root, path)
     SELECT assets.file, assets.root, assets.path FROM assets JOIN files ON files.file = assets.file
     WHERE assets.file = $1 AND files.thumbnail_header = $2 AND files.deleted = 0
       AND assets.state = 'backed_up' AND assets.absent_since IS NULL AND assets.content_hash = files.content_hash
     LIMIT 1";

/// Hardly anything is damaged: what is goes first in each of these (`CROSS JOIN` keeps SQLite from another order), for they are asked of every
/// file of a run, and of every run.
const WITH_CONTENT: &str =
    "SELECT files.* FROM damaged_files CROSS JOIN files ON files.file = damaged_files.file
     CROSS JOIN collections ON collections.id = files.collection
     WHERE damaged_files.part = 'original' AND files.object_header = damaged_files.header
       AND files.content_hash = $1 AND files.owner = $2 AND collections.owner = $2
       AND files.deleted = 0 AND collections.deleted = 0
     ORDER BY files.file, files.collection LIMIT 1";

const IN_FOLDER: &str = "SELECT DISTINCT sync_base.path FROM damaged_files
     CROSS JOIN files ON files.file = damaged_files.file AND files.object_header = damaged_files.header AND files.deleted = 0
     CROSS JOIN collections ON collections.id = files.collection AND collections.deleted = 0
     CROSS JOIN sync_base INDEXED BY sync_base_by_content
         ON sync_base.folder = $1 AND sync_base.content = files.content_hash AND sync_base.file = files.file
     WHERE damaged_files.part = 'original' AND sync_base.state = 'synced' AND sync_base.absent_since IS NULL
     ORDER BY sync_base.path";

const KNOWN: &str = "SELECT damaged_files.*, files.title, EXISTS (
         SELECT 1 FROM assets WHERE assets.file = files.file AND assets.content_hash = files.content_hash
             AND assets.state = 'backed_up' AND assets.absent_since IS NULL)
         OR EXISTS (SELECT 1 FROM sync_folders CROSS JOIN sync_base INDEXED BY sync_base_by_content
             ON sync_base.folder = sync_folders.id AND sync_base.content = files.content_hash
             WHERE sync_base.file = files.file AND sync_base.state = 'synced' AND sync_base.absent_since IS NULL) AS is_here
     FROM damaged_files CROSS JOIN files ON files.file = damaged_files.file AND files.deleted = 0
         AND damaged_files.header
             = CASE damaged_files.part WHEN 'original' THEN files.object_header ELSE files.thumbnail_header END
     WHERE $1 IS NULL OR damaged_files.file = $1
     GROUP BY damaged_files.file ORDER BY damaged_files.found, damaged_files.file";

/// Files of which an asset below a root has the content that is damaged: whoever looks at it is to send it again.
pub(super) const TO_BE_MENDED: &str = "SELECT damaged_files.file FROM damaged_files
     CROSS JOIN files ON files.file = damaged_files.file AND files.object_header = damaged_files.header AND files.deleted = 0
     CROSS JOIN assets ON assets.file = files.file AND assets.content_hash = files.content_hash
     WHERE damaged_files.part = 'original' AND assets.root = $1 AND assets.state = 'backed_up'";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{self, OWNER, collection};
    use crate::catalog::watch_folders::SAFE_IN_ROOT;
    use darkslide_protocol::Version;

    fn file(header: &str) -> FileRow {
        FileRow {
            object_header: Opaque(header.into()),
            thumbnail_header: Opaque("small".into()),
            ..tests::file(1, 1, 1)
        }
    }

    /// Each looks from what is damaged at what belongs to that, and at nothing else of the vault and the device.
    #[tokio::test]
    async fn where_nothing_is_damaged_nothing_is_looked_at() {
        let (_folder, catalog) = tests::catalog().await;
        for text in [WITH_CONTENT, IN_FOLDER, KNOWN, TO_BE_MENDED, SAFE_IN_ROOT] {
            let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}")));
            let plan = plan.fetch_all(&catalog.pool).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
            let scans = |table: &str| plan.iter().any(|line| line.starts_with(&format!("SCAN {table}")));
            assert!(scans("damaged_files"), "{plan:?}");
            let others = ["files", "assets", "collections", "sync_base"];
            assert!(others.iter().all(|table| !scans(table)), "{text}: {plan:?}");
        }
    }

    /// What is known says something of the bytes that were looked at, of no others, and of nobody else's files.
    #[tokio::test]
    async fn damage_is_known_of_the_bytes_that_were_looked_at() {
        let (_folder, catalog) = tests::catalog().await;
        catalog.apply_collections(&[collection(1, "Trip", 1)], Version(1)).await.unwrap();
        catalog.put_file(&file("one")).await.unwrap();
        let looked = |header: &str, damage| LookedAt {
            file: FileId(1),
            object_header: Opaque(header.into()),
            thumbnail_header: Opaque("small".into()),
            damage,
        };
        let known = async || {
            let known = catalog.damage_of(FileId(1)).await.unwrap();
            known.map(|known| (known.part, known.problem, known.found))
        };
        let is_due = async |owner| {
            catalog.damaged_with_content(owner, &ContentHash::of(b"a")).await.unwrap().is_some()
        };
        let said = Some((Part::Original, SAID_BY_THE_SERVER));
        catalog.record_said_by_server(&[looked("one", said)], 5).await.unwrap();
        catalog.record_said_by_server(&[looked("one", said)], 9).await.unwrap();
        assert_eq!(
            known().await,
            Some((Part::Original, "damaged".to_owned(), 5)),
            "known since the first time"
        );
        assert!(is_due(OWNER).await && !is_due(AccountId(8)).await);
        // The server takes back what it said, and not what a download found.
        catalog.record_said_by_server(&[looked("one", None)], 10).await.unwrap();
        assert_eq!(known().await, None);
        let found = Some((Part::Original, "altered"));
        catalog.record_looked_at(&[looked("one", found)], 11).await.unwrap();
        for said in [None, Some((Part::Thumbnail, SAID_BY_THE_SERVER)), said] {
            catalog.record_said_by_server(&[looked("one", said)], 12).await.unwrap();
            assert_eq!(known().await, Some((Part::Original, "altered".to_owned(), 11)));
        }
        // Other bytes are in their place.
        catalog.put_file(&FileRow { version: Version(2), ..file("two") }).await.unwrap();
        assert_eq!((known().await, is_due(OWNER).await), (None, false));
        let thumbnail = Some((Part::Thumbnail, "thumbnail"));
        catalog.record_looked_at(&[looked("two", thumbnail)], 13).await.unwrap();
        assert_eq!(known().await, Some((Part::Thumbnail, "thumbnail".to_owned(), 13)));
        assert!(!is_due(OWNER).await, "the original is whole");
        catalog.record_looked_at(&[looked("two", None)], 14).await.unwrap();
        assert_eq!(catalog.damaged_files().await.unwrap(), []);
    }
}
