//! A device's own library: what its owner chose for its albums, and when it was last through.

use std::collections::{BTreeMap, HashMap, HashSet};

use darkslide_crypto::ContentHash;
use darkslide_protocol::FileId;
use sqlx::{AssertSqlSafe, Row as _};

use super::{Catalog, CatalogError, DeviceAlbumKey};
use crate::backup::rules::ChosenAlbum;
use crate::library::device::AlbumChoice;

/// What the last run over a library found of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerSeen {
    /// It could not be reached, though there was a network.
    pub is_away: bool,
    /// Large originals go up in parts that can go on another time; `None` as long as it was not asked.
    pub resumable: Option<bool>,
}

impl AlbumChoice {
    fn as_str(self) -> &'static str {
        match self {
            Self::Selected => "selected",
            Self::Excluded => "excluded",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Selected, Self::Excluded].into_iter().find(|choice| choice.as_str() == word)
    }
}

impl Catalog {
    /// Records what the owner chose for an album; `None` takes the choice back.
    pub async fn choose_album(
        &self,
        album: &DeviceAlbumKey,
        name: &str,
        choice: Option<AlbumChoice>,
    ) -> Result<(), CatalogError> {
        let query = match choice {
            Some(choice) => sqlx::query(
                "INSERT INTO album_choices (library, folder, name, choice) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (library, folder) DO UPDATE SET name = excluded.name, choice = excluded.choice",
            )
            .bind(&album.root)
            .bind(&album.folder)
            .bind(name)
            .bind(choice.as_str()),
            None => sqlx::query("DELETE FROM album_choices WHERE library = $1 AND folder = $2")
                .bind(&album.root)
                .bind(&album.folder),
        };
        query.execute(&self.pool).await?;
        Ok(())
    }

    /// The choices for a library's albums.
    pub async fn chosen_albums(
        &self,
        library: &[u8],
    ) -> Result<BTreeMap<DeviceAlbumKey, ChosenAlbum>, CatalogError> {
        let rows = sqlx::query("SELECT folder, name, choice FROM album_choices WHERE library = $1")
            .bind(library)
            .fetch_all(&self.pool)
            .await?;
        let mut chosen = BTreeMap::new();
        for row in rows {
            let choice: String = row.try_get("choice")?;
            let choice =
                AlbumChoice::parse(&choice).ok_or(CatalogError::Damaged { what: "choice for an album" })?;
            let key = DeviceAlbumKey { root: library.to_vec(), folder: row.try_get("folder")? };
            chosen.insert(key, ChosenAlbum { name: row.try_get("name")?, choice });
        }
        Ok(chosen)
    }

    /// When the last run over a library began that got to its end, µs since the epoch; 0 before the first.
    pub async fn last_completed(&self, library: &[u8]) -> Result<i64, CatalogError> {
        let began: Option<i64> =
            sqlx::query_scalar("SELECT last_completed FROM libraries WHERE library = $1")
                .bind(library)
                .fetch_optional(&self.pool)
                .await?;
        Ok(began.unwrap_or_default())
    }

    /// Records that a run got to its end which began then.
    pub async fn complete(&self, library: &[u8], began: i64) -> Result<(), CatalogError> {
        self.note_of_library(library, "last_completed", began).await
    }

    async fn note_of_library(
        &self,
        library: &[u8],
        column: &'static str,
        value: i64,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        let known = "INSERT OR IGNORE INTO libraries (library, last_completed) VALUES ($1, 0)";
        sqlx::query(known).bind(library).execute(&mut *transaction).await?;
        let text = AssertSqlSafe(format!("UPDATE libraries SET {column} = $2 WHERE library = $1"));
        sqlx::query(text).bind(library).bind(value).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// What the last run over a library found of the server.
    pub async fn server_seen(&self, library: &[u8]) -> Result<ServerSeen, CatalogError> {
        let query = sqlx::query_as("SELECT server_away, server_resumable FROM libraries WHERE library = $1");
        let seen: Option<(bool, Option<bool>)> = query.bind(library).fetch_optional(&self.pool).await?;
        let (is_away, resumable) = seen.unwrap_or_default();
        Ok(ServerSeen { is_away, resumable })
    }

    /// Records whether the server could be reached.
    pub async fn record_server_away(&self, library: &[u8], is_away: bool) -> Result<(), CatalogError> {
        self.note_of_library(library, "server_away", is_away.into()).await
    }

    /// Records whether large originals can go on another time.
    pub async fn record_server_resumable(&self, library: &[u8], resumable: bool) -> Result<(), CatalogError> {
        self.note_of_library(library, "server_resumable", resumable.into()).await
    }

    /// How many turns a library's pictures have had in all runs.
    pub async fn turns(&self, library: &[u8]) -> Result<u64, CatalogError> {
        let query = sqlx::query_scalar("SELECT turns FROM libraries WHERE library = $1").bind(library);
        let turns: Option<i64> = query.fetch_optional(&self.pool).await?;
        Ok(turns.unwrap_or_default().cast_unsigned())
    }

    /// Records one more.
    pub async fn count_turn(&self, library: &[u8]) -> Result<(), CatalogError> {
        let count = sqlx::query("UPDATE libraries SET turns = turns + 1 WHERE library = $1");
        count.bind(library).execute(&self.pool).await?;
        Ok(())
    }

    /// Contents of which there is no live file because their owner deleted it, and when, µs since the epoch.
    pub async fn deleted_contents(&self) -> Result<HashMap<ContentHash, i64>, CatalogError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(DELETED_CONTENTS).fetch_all(&self.pool).await?;
        let parsed = rows.into_iter().map(|(hash, at)| Some((hash.parse().ok()?, at)));
        parsed.collect::<Option<_>>().ok_or(CatalogError::Damaged { what: "content hash" })
    }

    /// Which assets of a library were left alone since their owner deleted from the vault the file that they were, their still or the Live Photo that
    /// they are the video of, and when, µs since the epoch. Nothing of what the vault has in another file.
    pub async fn deleted_assets(&self, library: &[u8]) -> Result<HashMap<Vec<u8>, i64>, CatalogError> {
        let rows: Vec<(Vec<u8>, i64)> =
            sqlx::query_as(DELETED_ASSETS).bind(library).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().collect())
    }

    /// The files that are, or ever were, in the collection of a device album.
    pub async fn placed(&self, album: &DeviceAlbumKey) -> Result<HashSet<FileId>, CatalogError> {
        let Some(collection) = self.linked_collection(album).await? else { return Ok(HashSet::new()) };
        let files: Vec<i64> = sqlx::query_scalar("SELECT file FROM files WHERE collection = $1")
            .bind(collection.id.0)
            .fetch_all(&self.pool)
            .await?;
        Ok(files.into_iter().map(FileId).collect())
    }
}

pub(super) const DELETED_CONTENTS: &str = "SELECT content_hash, max(trashed_at) FROM trash
     WHERE restored = 0 AND content_hash IS NOT NULL AND NOT EXISTS (
         SELECT 1 FROM files JOIN collections ON collections.id = files.collection
         WHERE substr(files.content_hash, 1, 8) = substr(trash.content_hash, 1, 8)
           AND files.content_hash = trash.content_hash AND files.deleted = 0 AND collections.deleted = 0)
     GROUP BY content_hash";

/// By the file, by the still and by the video.
const DELETED_ASSETS: &str = "SELECT path, max(trashed_at) FROM (
         SELECT assets.path, assets.content_hash, trash.trashed_at
         FROM assets JOIN trash ON trash.file = assets.file
         WHERE assets.root = $1 AND assets.state = 'skipped' AND trash.restored = 0
         UNION ALL
         SELECT assets.path, assets.content_hash, trash.trashed_at
         FROM assets JOIN trash ON trash.content_hash >= substr(assets.content_hash, 1, 88)
             AND trash.content_hash < substr(assets.content_hash, 1, 88) || ';'
         WHERE assets.root = $1 AND assets.state = 'skipped' AND trash.restored = 0 AND NOT EXISTS (
             SELECT 1 FROM files JOIN collections ON collections.id = files.collection
             WHERE substr(files.content_hash, 1, 8) = substr(assets.content_hash, 1, 8)
               AND substr(files.content_hash, 1, 88) = substr(assets.content_hash, 1, 88)
               AND files.deleted = 0 AND collections.deleted = 0)
         UNION ALL
         SELECT assets.path, assets.content_hash, trash.trashed_at
         FROM assets JOIN trash ON length(trash.content_hash) > 88
             AND substr(trash.content_hash, 90, 8) = substr(assets.content_hash, 1, 8)
             AND substr(trash.content_hash, 90) = assets.content_hash
         WHERE assets.root = $1 AND assets.state = 'skipped' AND trash.restored = 0 AND NOT EXISTS (
             SELECT 1 FROM files JOIN collections ON collections.id = files.collection
             WHERE length(files.content_hash) > 88
               AND substr(files.content_hash, 90, 8) = substr(assets.content_hash, 1, 8)
               AND substr(files.content_hash, 90) = assets.content_hash
               AND files.deleted = 0 AND collections.deleted = 0)) AS gone
     WHERE NOT EXISTS (
         SELECT 1 FROM files JOIN collections ON collections.id = files.collection
         WHERE substr(files.content_hash, 1, 8) = substr(gone.content_hash, 1, 8)
           AND files.content_hash = gone.content_hash AND files.deleted = 0 AND collections.deleted = 0)
     GROUP BY path";
