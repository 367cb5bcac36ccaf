//! Sync folders: which folders are kept in step with the vault, and how each stands.
//!
//! Not a cache: nobody but their owner could write them again.

use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{Connection as _, FromRow, Row, SqliteConnection};

use super::{BUSY_TIMEOUT, Catalog, CatalogError};
use crate::folder::breaker::{Fate, Held, HeldList, HeldPicture, Hold, Removed, WINDOW};
use crate::folder::reconcile::Direction;
use crate::folder::report::PassReport;
use crate::library::{path_of, raw};

/// One sync folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncFolderRow {
    /// Its number, never given to another.
    pub id: i64,
    /// What its owner chose.
    pub folder: NewSyncFolder,
    /// Left alone until its owner says otherwise.
    pub paused: bool,
    /// When it was added, µs since the epoch.
    pub added: i64,
    /// What waits for its owner.
    pub hold: Option<Hold>,
    /// What the list of it is called.
    pub held: Option<String>,
    /// The list that its owner approved, until that is done.
    pub approval: Option<String>,
    /// How the last pass went.
    pub last_pass: Option<PassReport>,
}

/// What is recorded of a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSyncFolder {
    /// Where it is: absolute, links resolved.
    pub path: PathBuf,
    /// What its marker says.
    pub marker: String,
    /// The album that its pictures are in.
    pub album: String,
    /// Which way changes go.
    pub direction: Direction,
    /// How old a picture must be, in µs since it was taken, to stay in the vault when it is deleted in the folder.
    pub keep_older_than: Option<i64>,
    /// Where its local trash is.
    pub trash: PathBuf,
}

/// What others must know of a sync folder, to stay away from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncPlace {
    /// Where it is: absolute, links resolved.
    pub path: PathBuf,
    /// What its marker says.
    pub marker: String,
    /// Where its local trash is.
    pub trash: PathBuf,
}

impl FromRow<'_, SqliteRow> for SyncFolderRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let damaged =
            |index: &str| sqlx::Error::ColumnDecode { index: index.to_owned(), source: "not known".into() };
        let direction = match row.try_get::<String, _>("direction")?.as_str() {
            "both" => Direction::Both,
            "up" => Direction::Up,
            "down" => Direction::Down,
            _ => return Err(damaged("direction")),
        };
        Ok(Self {
            id: row.try_get("id")?,
            folder: NewSyncFolder {
                path: path_of(&row.try_get::<Vec<u8>, _>("path")?),
                marker: row.try_get("marker")?,
                album: row.try_get("album")?,
                direction,
                keep_older_than: row.try_get("keep_older_than")?,
                trash: path_of(&row.try_get::<Vec<u8>, _>("trash")?),
            },
            paused: row.try_get("paused")?,
            added: row.try_get("added")?,
            hold: json(row, "hold")?,
            held: row.try_get("held")?,
            approval: row.try_get("approval")?,
            // One that an earlier version wrote says nothing any more.
            last_pass: json(row, "last_pass").unwrap_or_default(),
        })
    }
}

fn json<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: &'static str) -> sqlx::Result<Option<T>> {
    let text: Option<String> = row.try_get(column)?;
    let decode = |error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(error) };
    text.map(|text| serde_json::from_str(&text).map_err(decode)).transpose()
}

fn text<T: serde::Serialize>(value: Option<&T>) -> Option<String> {
    value.map(|value| serde_json::to_string(value).expect("numbers and text are JSON"))
}

/// Lists that are of no use any more.
const FORGET_LISTS: &str = "DELETE FROM sync_held WHERE folder = $1 AND NOT EXISTS (
         SELECT 1 FROM sync_folders WHERE id = $1 AND list IN (coalesce(held, ''), coalesce(approval, '')))";

/// Where the sync folders of a catalog are that is somebody else's to open: of whatever version it is, it stays so, and nothing is written. None
/// where there is no catalog yet.
pub async fn sync_places(catalog: &Path) -> Result<Vec<SyncPlace>, CatalogError> {
    match catalog.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        _ => {}
    }
    // Whoever may only read leaves files beside it.
    let options = SqliteConnectOptions::new().filename(catalog).busy_timeout(BUSY_TIMEOUT);
    let options = options.pragma("query_only", "true");
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let text = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'sync_folders'";
    // One of a version that knew of no sync folders has none.
    let rows: Vec<(Vec<u8>, String, Vec<u8>)> =
        match sqlx::query_scalar::<_, i64>(text).fetch_one(&mut connection).await? {
            0 => Vec::new(),
            _ => {
                let text = "SELECT path, marker, trash FROM sync_folders ORDER BY id";
                sqlx::query_as(text).fetch_all(&mut connection).await?
            }
        };
    connection.close().await?;
    let place = |(path, marker, trash): (Vec<u8>, String, Vec<u8>)| SyncPlace {
        path: path_of(&path),
        marker,
        trash: path_of(&trash),
    };
    Ok(rows.into_iter().map(place).collect())
}

impl Catalog {
    /// All sync folders, in the order in which they were added.
    pub async fn sync_folders(&self) -> Result<Vec<SyncFolderRow>, CatalogError> {
        Ok(sqlx::query_as("SELECT * FROM sync_folders ORDER BY id").fetch_all(&self.pool).await?)
    }

    /// Records a sync folder; `now` in µs since the epoch. Returns its number.
    pub async fn add_sync_folder(&self, folder: &NewSyncFolder, now: i64) -> Result<i64, CatalogError> {
        let direction = match folder.direction {
            Direction::Both => "both",
            Direction::Up => "up",
            Direction::Down => "down",
        };
        let text =
            "INSERT INTO sync_folders (path, marker, album, direction, keep_older_than, trash, paused, added)
            VALUES ($1, $2, $3, $4, $5, $6, 0, $7)";
        let added = sqlx::query(text)
            .bind(raw(&folder.path))
            .bind(&folder.marker)
            .bind(&folder.album)
            .bind(direction)
            .bind(folder.keep_older_than)
            .bind(raw(&folder.trash))
            .bind(now)
            .execute(&self.pool)
            .await?;
        Ok(added.last_insert_rowid())
    }

    /// Stops keeping a folder in step. What is in it, and in the vault, stays; of what did not get there, nobody is told any more.
    pub async fn remove_sync_folder(&self, id: i64) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM sync_folders WHERE id = $1").bind(id).execute(&self.pool).await?;
        Ok(())
    }

    /// Pauses a folder or goes on with it.
    pub async fn pause_sync_folder(&self, id: i64, paused: bool) -> Result<(), CatalogError> {
        let text = "UPDATE sync_folders SET paused = $2 WHERE id = $1";
        sqlx::query(text).bind(id).bind(paused).execute(&self.pool).await?;
        Ok(())
    }

    /// Records what waits for the owner, if anything does. Lists that are neither that nor approved are forgotten.
    pub async fn hold_sync_folder(&self, id: i64, held: Option<&Held>) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        let name = held.map(|held| held.list.name());
        sqlx::query("UPDATE sync_folders SET hold = $2, held = $3 WHERE id = $1")
            .bind(id)
            .bind(text(held.map(|held| &held.hold)))
            .bind(&name)
            .execute(&mut *transaction)
            .await?;
        for picture in held.into_iter().flat_map(|held| held.list.pictures()) {
            sqlx::query(
                "INSERT OR IGNORE INTO sync_held (folder, list, path, content, fate) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(id)
            .bind(&name)
            .bind(&picture.path)
            .bind(picture.content.to_string())
            .bind(picture.fate.as_str())
            .execute(&mut *transaction)
            .await?;
        }
        sqlx::query(FORGET_LISTS).bind(id).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// What is in a list of this name; nothing if there is none.
    pub async fn held_list(&self, id: i64, name: &str) -> Result<HeldList, CatalogError> {
        let text = "SELECT path, content, fate FROM sync_held WHERE folder = $1 AND list = $2";
        let rows: Vec<(Vec<u8>, String, String)> =
            sqlx::query_as(text).bind(id).bind(name).fetch_all(&self.pool).await?;
        let picture = |(path, content, fate): (Vec<u8>, String, String)| {
            Some(HeldPicture { path, content: content.parse().ok()?, fate: Fate::parse(&fate)? })
        };
        let damaged = CatalogError::Damaged { what: "list of what is on hold" };
        rows.into_iter().map(picture).collect::<Option<_>>().ok_or(damaged)
    }

    /// Records which list the owner approved, until that is done.
    pub async fn approve_sync_folder(&self, id: i64, list: &str) -> Result<(), CatalogError> {
        let text = "UPDATE sync_folders SET approval = $2 WHERE id = $1";
        sqlx::query(text).bind(id).bind(list).execute(&self.pool).await?;
        Ok(())
    }

    /// Ends an approval, unless another list was approved since.
    pub async fn end_approval(&self, id: i64, list: &str) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        let text = "UPDATE sync_folders SET approval = NULL WHERE id = $1 AND approval = $2";
        sqlx::query(text).bind(id).bind(list).execute(&mut *transaction).await?;
        sqlx::query(FORGET_LISTS).bind(id).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Takes pictures out of a list, which keeps its name.
    pub async fn drop_held(&self, id: i64, list: &str, gone: &HeldList) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        for picture in gone.pictures() {
            let text = "DELETE FROM sync_held
                WHERE folder = $1 AND list = $2 AND path = $3 AND content = $4 AND fate = $5";
            sqlx::query(text)
                .bind(id)
                .bind(list)
                .bind(&picture.path)
                .bind(picture.content.to_string())
                .bind(picture.fate.as_str())
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// What passes over a folder removed without being asked, as far as it was not forgotten.
    pub async fn sync_removed(&self, id: i64) -> Result<Vec<Removed>, CatalogError> {
        let text = "SELECT at, removed, agreed FROM sync_removed WHERE folder = $1 ORDER BY at";
        let rows: Vec<(i64, i64, i64)> = sqlx::query_as(text).bind(id).fetch_all(&self.pool).await?;
        let count = |count: i64| usize::try_from(count).unwrap_or_default();
        let removed = |(at, removed, agreed)| Removed { at, count: count(removed), agreed: count(agreed) };
        Ok(rows.into_iter().map(removed).collect())
    }

    /// Records what a pass removes, or in the place of that, what it did remove. What counts no more at that time is forgotten.
    pub async fn record_removed(&self, id: i64, removed: Removed) -> Result<(), CatalogError> {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let mut transaction = self.write().await?;
        let text =
            "INSERT OR REPLACE INTO sync_removed (folder, at, removed, agreed) VALUES ($1, $2, $3, $4)";
        sqlx::query(text)
            .bind(id)
            .bind(removed.at)
            .bind(number(removed.count))
            .bind(number(removed.agreed))
            .execute(&mut *transaction)
            .await?;
        let text = "DELETE FROM sync_removed WHERE folder = $1 AND (removed = 0 OR at <= $2)";
        sqlx::query(text).bind(id).bind(removed.at - WINDOW).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Forgets what was removed: its owner has been asked since.
    pub async fn forget_removed(&self, id: i64) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM sync_removed WHERE folder = $1").bind(id).execute(&self.pool).await?;
        Ok(())
    }

    /// Records how a pass went.
    pub async fn sync_folder_passed(&self, id: i64, report: &PassReport) -> Result<(), CatalogError> {
        let text_of = "UPDATE sync_folders SET last_pass = $2 WHERE id = $1";
        sqlx::query(text_of).bind(id).bind(text(Some(report))).execute(&self.pool).await?;
        Ok(())
    }

    /// Takes over a root under another marker, with nothing agreed on: what follows is a merge.
    pub async fn readopt_sync_folder(&self, id: i64, marker: &str) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        for table in
            ["sync_base", "sync_detached", "sync_detached_files", "sync_mounts", "sync_held", "sync_removed"]
        {
            let text = sqlx::AssertSqlSafe(format!("DELETE FROM {table} WHERE folder = $1"));
            sqlx::query(text).bind(id).execute(&mut *transaction).await?;
        }
        let text =
            "UPDATE sync_folders SET marker = $2, hold = NULL, held = NULL, approval = NULL WHERE id = $1";
        sqlx::query(text).bind(id).bind(marker).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::SqlitePool;

    /// A dry run of another profile's command brought it up to date, under the feet of the agent that had it open.
    #[tokio::test]
    async fn the_folders_of_another_profile_are_told_and_its_catalog_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        assert_eq!(sync_places(&path).await.unwrap(), []);
        assert!(!path.exists());
        for text in
            ["CREATE TABLE assets (id INTEGER)", include_str!("../../migrations/0007_sync_folders.sql")]
        {
            let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
            let earlier = SqlitePool::connect_with(options).await.unwrap();
            sqlx::raw_sql(text).execute(&earlier).await.unwrap();
            earlier.close().await;
            assert_eq!(sync_places(&path).await.unwrap(), []);
        }
        let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(&path)).await.unwrap();
        let text = "INSERT INTO sync_folders (path, marker, album, direction, trash, paused, added)
            VALUES (CAST('/p' AS BLOB), 'm', 'a', 'both', CAST('/t' AS BLOB), 0, 0)";
        sqlx::raw_sql(text).execute(&pool).await.unwrap();
        let place = SyncPlace { path: "/p".into(), marker: "m".into(), trash: "/t".into() };
        let place = std::slice::from_ref(&place);
        assert_eq!(sync_places(&path).await.unwrap(), place, "while somebody has it open");
        sqlx::raw_sql("PRAGMA journal_mode = WAL").execute(&pool).await.unwrap();
        pool.close().await;
        let before = std::fs::read(&path).unwrap();
        assert_eq!(sync_places(&path).await.unwrap(), place);
        assert_eq!(std::fs::read(&path).unwrap(), before);
        let names = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["catalog.sqlite"]);
        // One that is none tells nothing.
        std::fs::write(&path, "this is no catalog, and longer than what SQLite reads of a header of its own")
            .unwrap();
        sync_places(&path).await.unwrap_err();
    }
}
