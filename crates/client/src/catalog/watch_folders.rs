//! Watch folders: which folders of this device their owner wants kept backed up, and how.
//!
//! Not a cache: the one part of the catalog that only its owner could write again.

use std::path::{Path, PathBuf};

use sqlx::{FromRow, Row, sqlite::SqliteRow};

use super::{Catalog, CatalogError};
use crate::library::{AlbumRule, path_of, raw};

/// The number of no disk: where the disk that a folder was on was seen to be away, this takes the place of its number.
pub const NO_DISK: u64 = 0;

/// One watch folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchFolderRow {
    /// Its number, never given to another.
    pub id: i64,
    /// Where it is: absolute, links resolved.
    pub path: PathBuf,
    /// Which albums its files go to.
    pub albums: AlbumRule,
    /// Patterns of what is not backed up.
    pub exclude: Vec<String>,
    /// Left alone until its owner says otherwise.
    pub paused: bool,
    /// When it was added, µs since the epoch.
    pub added: i64,
    /// The disk that it was on when it was last seen whole; [`NO_DISK`] if that was away since.
    pub device: Option<u64>,
    /// Since when it cannot be reached, µs since the epoch.
    pub offline_since: Option<i64>,
    /// When all of it was last looked at, µs since the epoch.
    pub last_scan: Option<i64>,
}

/// What is recorded of a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewWatchFolder {
    /// Where it is: absolute, links resolved.
    pub path: PathBuf,
    /// Which albums its files go to.
    pub albums: AlbumRule,
    /// Patterns of what is not backed up.
    pub exclude: Vec<String>,
}

/// What became of the assets of one root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RootCounts {
    /// Files of the vault that came from there, each counted once, wherever it lay meanwhile.
    pub safe: i64,
    /// When the last of them was dealt with, µs since the epoch.
    pub safe_at: Option<i64>,
}

impl FromRow<'_, SqliteRow> for WatchFolderRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let damaged =
            |index: &str| sqlx::Error::ColumnDecode { index: index.to_owned(), source: "not known".into() };
        let (rule, album): (String, Option<String>) = (row.try_get("albums")?, row.try_get("album")?);
        let albums = match (rule.as_str(), album) {
            ("root", _) => AlbumRule::PerRoot,
            ("folder", _) => AlbumRule::PerFolder,
            ("named", Some(name)) => AlbumRule::Named(name),
            _ => return Err(damaged("albums")),
        };
        let exclude: String = row.try_get("exclude")?;
        Ok(Self {
            id: row.try_get("id")?,
            path: path_of(&row.try_get::<Vec<u8>, _>("path")?),
            albums,
            exclude: serde_json::from_str(&exclude).map_err(|_| damaged("exclude"))?,
            paused: row.try_get("paused")?,
            added: row.try_get("added")?,
            device: row.try_get::<Option<i64>, _>("device")?.map(i64::cast_unsigned),
            offline_since: row.try_get("offline_since")?,
            last_scan: row.try_get("last_scan")?,
        })
    }
}

impl Catalog {
    /// All watch folders, in the order in which they were added.
    pub async fn watch_folders(&self) -> Result<Vec<WatchFolderRow>, CatalogError> {
        Ok(sqlx::query_as("SELECT * FROM watch_folders ORDER BY id").fetch_all(&self.pool).await?)
    }

    /// Records a watch folder; `now` in µs since the epoch.
    pub async fn add_watch_folder(&self, folder: &NewWatchFolder, now: i64) -> Result<(), CatalogError> {
        let (rule, album) = match &folder.albums {
            AlbumRule::PerRoot => ("root", None),
            // The albums of an export are of no use to a folder that is watched.
            AlbumRule::PerFolder | AlbumRule::ByFolder(_) => ("folder", None),
            AlbumRule::Named(name) => ("named", Some(name.as_str())),
        };
        sqlx::query(
            "INSERT INTO watch_folders (path, albums, album, exclude, paused, added) VALUES ($1, $2, $3, $4, 0, $5)",
        )
        .bind(raw(&folder.path))
        .bind(rule)
        .bind(album)
        .bind(serde_json::Value::from(folder.exclude.clone()).to_string())
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Stops watching a folder. What was backed up of it stays in the vault, and known; of what was not, nobody is told any more.
    pub async fn remove_watch_folder(&self, id: i64) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM watch_folders WHERE id = $1").bind(id).execute(&self.pool).await?;
        Ok(())
    }

    /// Pauses a folder or goes on with it. Whoever goes on says that what is there now is the right disk.
    pub async fn pause_watch_folder(&self, id: i64, paused: bool) -> Result<(), CatalogError> {
        sqlx::query(
            "UPDATE watch_folders SET paused = $2, device = CASE WHEN $2 THEN device END WHERE id = $1",
        )
        .bind(id)
        .bind(paused)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Records the disk that a folder is on, and that it can be reached.
    pub async fn watch_folder_online(&self, id: i64, device: u64) -> Result<(), CatalogError> {
        sqlx::query("UPDATE watch_folders SET device = $2, offline_since = NULL WHERE id = $1")
            .bind(id)
            .bind(device.cast_signed())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Records that the disk that a folder was on is not there: another one may get its number.
    pub async fn watch_folder_away(&self, id: i64) -> Result<(), CatalogError> {
        sqlx::query("UPDATE watch_folders SET device = $2 WHERE id = $1 AND device IS NOT NULL")
            .bind(id)
            .bind(NO_DISK.cast_signed())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Records that a folder cannot be reached since `now`, or since when that was first recorded.
    pub async fn watch_folder_offline(&self, id: i64, now: i64) -> Result<(), CatalogError> {
        sqlx::query("UPDATE watch_folders SET offline_since = coalesce(offline_since, $2) WHERE id = $1")
            .bind(id)
            .bind(now)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Records that all of a folder was looked at.
    pub async fn watch_folder_scanned(&self, id: i64, now: i64) -> Result<(), CatalogError> {
        sqlx::query("UPDATE watch_folders SET last_scan = $2 WHERE id = $1")
            .bind(id)
            .bind(now)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// What of a root is in the vault.
    pub async fn root_counts(&self, root: &Path) -> Result<RootCounts, CatalogError> {
        let (safe, safe_at) = sqlx::query_as(SAFE_IN_ROOT).bind(raw(root)).fetch_one(&self.pool).await?;
        Ok(RootCounts { safe, safe_at })
    }
}

pub(super) const SAFE_IN_ROOT: &str =
    "SELECT count(DISTINCT file), max(last_seen) FROM assets WHERE root = $1 AND state = 'backed_up'
         AND file NOT IN (SELECT file FROM trash WHERE restored = 0)
         AND file NOT IN (SELECT damaged_files.file FROM damaged_files
             CROSS JOIN files ON files.file = damaged_files.file AND files.object_header = damaged_files.header
             WHERE damaged_files.part = 'original')";
