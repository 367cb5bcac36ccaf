//! What is or was in the trash. Purged rows stay: a picture that its owner deleted must not come back by itself.

use darkslide_crypto::ContentHash;
use darkslide_protocol::{AccountId, CollectionId, FileId, Opaque, Version};
use sqlx::{FromRow, QueryBuilder, Row, SqliteConnection, sqlite::SqliteRow};
use std::collections::BTreeSet;

use super::changes::{ROWS, statement};
use super::damaged::TO_BE_MENDED;
use super::{Catalog, CatalogError, Feed, cursor, files::content_hash_of};

/// One entry of the trash feed, opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrashRow {
    /// The file.
    pub file: FileId,
    /// The collection that it was trashed from, whose key wraps the file's.
    pub collection: CollectionId,
    /// The file's key under that collection's.
    pub encrypted_key: Opaque,
    /// Its nonce.
    pub key_nonce: Opaque,
    /// The name; none for purged files.
    pub title: Option<String>,
    /// None for purged files that were never seen unpurged.
    pub content_hash: Option<ContentHash>,
    /// Ciphertext bytes of the original; 0 where unknown.
    pub object_size: i64,
    /// When it was trashed, µs since the epoch.
    pub trashed_at: i64,
    /// When it will be purged, µs since the epoch.
    pub delete_by: i64,
    /// Taken out again.
    pub restored: bool,
    /// Gone for good.
    pub purged: bool,
    /// The trash feed's version of it.
    pub version: Version,
}

impl FromRow<'_, SqliteRow> for TrashRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            file: FileId(row.try_get("file")?),
            collection: CollectionId(row.try_get("collection")?),
            encrypted_key: Opaque(row.try_get("encrypted_key")?),
            key_nonce: Opaque(row.try_get("key_nonce")?),
            title: row.try_get("title")?,
            content_hash: content_hash_of(row)?,
            object_size: row.try_get("object_size")?,
            trashed_at: row.try_get("trashed_at")?,
            delete_by: row.try_get("delete_by")?,
            restored: row.try_get("restored")?,
            purged: row.try_get("purged")?,
            version: Version(row.try_get("version")?),
        })
    }
}

impl Catalog {
    /// Records a page of the trash feed, and its cursor with it.
    pub async fn apply_trash(&self, rows: &[TrashRow], cursor: Version) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        put_all(&mut transaction, rows).await?;
        cursor::store(&mut transaction, Feed::Trash, cursor).await?;
        Ok(transaction.commit().await?)
    }

    /// What is in the trash now and can be restored, latest first.
    pub async fn trash(&self) -> Result<Vec<TrashRow>, CatalogError> {
        Ok(sqlx::query_as(
            "SELECT * FROM trash WHERE restored = 0 AND purged = 0 ORDER BY trashed_at DESC, file",
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// What is in the trash or was purged from it, with this content; the latest deletion first.
    pub async fn trashed_with_content(&self, content: &ContentHash) -> Result<Vec<TrashRow>, CatalogError> {
        Ok(sqlx::query_as(
            "SELECT * FROM trash WHERE content_hash = $1 AND restored = 0 ORDER BY trashed_at DESC, file",
        )
        .bind(content.to_string())
        .fetch_all(&self.pool)
        .await?)
    }

    /// What is in the trash or was purged from it and has this still, alone or with a video. Nothing if the account has it in a file besides.
    pub async fn trashed_with_still(
        &self,
        owner: AccountId,
        still: &ContentHash,
    ) -> Result<Vec<TrashRow>, CatalogError> {
        let query = sqlx::query_as(WITH_STILL).bind(still.to_string()).bind(owner.0);
        Ok(query.fetch_all(&self.pool).await?)
    }

    /// What is in the trash or was purged from it and is a Live Photo with this video. Nothing if the account has one in a file besides.
    pub async fn trashed_with_video(
        &self,
        owner: AccountId,
        video: &ContentHash,
    ) -> Result<Vec<TrashRow>, CatalogError> {
        let query = sqlx::query_as(WITH_VIDEO).bind(video.to_string()).bind(owner.0);
        Ok(query.fetch_all(&self.pool).await?)
    }

    /// The files that are no longer what this device has of them under a root: their owner deleted them, whether they can still be taken out of the trash
    /// or not, or somebody edited them since; a half is in the Live Photo that it became, and what is gone from here is not sought. What an asset holds of such a file may be nowhere else, unless its owner replaced it
    /// by an earlier version. With them come those that are what this device has, and whose copy on the server is damaged.
    pub async fn displaced_files(&self, root: &[u8]) -> Result<BTreeSet<FileId>, CatalogError> {
        let mut ids: Vec<i64> = sqlx::query_scalar(
            "SELECT file FROM trash WHERE restored = 0
             UNION SELECT assets.file FROM assets JOIN files ON files.file = assets.file
             WHERE assets.root = $1 AND assets.state = 'backed_up' AND assets.absent_since IS NULL
               AND files.deleted = 0
               AND files.content_hash <> assets.content_hash
               AND substr(files.content_hash, 1, length(assets.content_hash) + 1) <> assets.content_hash || ':'
               AND substr(files.content_hash, 90) <> assets.content_hash
               AND NOT EXISTS (SELECT 1 FROM replaced_contents WHERE replaced_contents.file = assets.file
                   AND replaced_contents.content_hash = assets.content_hash)",
        )
        .bind(root)
        .fetch_all(&self.pool)
        .await?;
        ids.extend(sqlx::query_scalar::<_, i64>(TO_BE_MENDED).bind(root).fetch_all(&self.pool).await?);
        Ok(ids.into_iter().map(FileId).collect())
    }

    /// Records that its owner replaced this content of a file by an earlier one: whoever has it here does not have another file.
    pub async fn record_replaced_content(
        &self,
        file: FileId,
        content: &ContentHash,
    ) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO replaced_contents (file, content_hash) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(file.0)
        .bind(content.to_string())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Whether its owner replaced this content of a file by an earlier one, as far as somebody looked.
    pub async fn is_replaced_content(
        &self,
        file: FileId,
        content: &ContentHash,
    ) -> Result<bool, CatalogError> {
        let text = "SELECT count(*) FROM replaced_contents WHERE file = $1 AND content_hash = $2";
        let count: i64 =
            sqlx::query_scalar(text).bind(file.0).bind(content.to_string()).fetch_one(&self.pool).await?;
        Ok(count > 0)
    }

    /// When each of these files was taken out of the trash last, as the version of that; those that never were are not among them. While the feed has
    /// not told of it, it is the version at which it was put there.
    pub async fn restored(&self, files: &[FileId]) -> Result<Vec<(FileId, Version)>, CatalogError> {
        let mut restored = Vec::new();
        for chunk in files.chunks(ROWS) {
            let mut query =
                QueryBuilder::new("SELECT file, version FROM trash WHERE restored = 1 AND file IN (");
            let mut list = query.separated(", ");
            for file in chunk {
                list.push_bind(file.0);
            }
            for row in query.push(")").build().fetch_all(&self.pool).await? {
                restored.push((FileId(row.try_get("file")?), Version(row.try_get("version")?)));
            }
        }
        Ok(restored)
    }

    /// When a file was deleted, µs since the epoch; `None` where it was not, or came back.
    pub async fn deleted_at(&self, file: FileId) -> Result<Option<i64>, CatalogError> {
        let text = "SELECT max(trashed_at) FROM trash WHERE file = $1 AND restored = 0";
        Ok(sqlx::query_scalar(text).bind(file.0).fetch_one(&self.pool).await?)
    }

    /// When the latest of those files was deleted that were purged and of which it is not known what they were, µs since the epoch.
    pub async fn latest_unknown_purge(&self) -> Result<Option<i64>, CatalogError> {
        let text =
            "SELECT max(trashed_at) FROM trash WHERE purged = 1 AND restored = 0 AND content_hash IS NULL";
        Ok(sqlx::query_scalar(text).fetch_one(&self.pool).await?)
    }

    /// Records what a file was that was purged, if it is known to have been and that is not known. Whether anything was purged with this
    /// content, as far as is known then.
    pub async fn identify_purged(&self, file: FileId, content: &ContentHash) -> Result<bool, CatalogError> {
        let text =
            "UPDATE trash SET content_hash = $2 WHERE file = $1 AND purged = 1 AND content_hash IS NULL";
        sqlx::query(text).bind(file.0).bind(content.to_string()).execute(&self.pool).await?;
        Ok(!self.trashed_with_content(content).await?.is_empty())
    }

    /// Whether a file can be taken out of the trash.
    pub async fn is_in_trash(&self, file: FileId) -> Result<bool, CatalogError> {
        let text = "SELECT count(*) FROM trash WHERE file = $1 AND restored = 0 AND purged = 0";
        let count: i64 = sqlx::query_scalar(text).bind(file.0).fetch_one(&self.pool).await?;
        Ok(count > 0)
    }

    /// Records that a file was taken out of the trash by this client, ahead of the feed.
    pub async fn mark_untrashed(&self, file: FileId) -> Result<(), CatalogError> {
        sqlx::query("UPDATE trash SET restored = 1 WHERE file = $1").bind(file.0).execute(&self.pool).await?;
        Ok(())
    }
}

/// A colon is between a still and its video, and a semicolon comes next.
pub(super) const WITH_STILL: &str = "SELECT * FROM trash
     WHERE content_hash >= $1 AND content_hash < $1 || ';' AND restored = 0 AND NOT EXISTS (
         SELECT 1 FROM files JOIN collections ON collections.id = files.collection
         WHERE substr(files.content_hash, 1, 8) = substr($1, 1, 8) AND substr(files.content_hash, 1, 88) = $1
           AND files.owner = $2 AND files.deleted = 0 AND collections.deleted = 0)";

pub(super) const WITH_VIDEO: &str = "SELECT * FROM trash
     WHERE length(content_hash) > 88 AND substr(content_hash, 90, 8) = substr($1, 1, 8)
       AND substr(content_hash, 90) = $1 AND restored = 0 AND NOT EXISTS (
         SELECT 1 FROM files JOIN collections ON collections.id = files.collection
         WHERE length(files.content_hash) > 88 AND substr(files.content_hash, 90, 8) = substr($1, 1, 8)
           AND substr(files.content_hash, 90) = $1
           AND files.owner = $2 AND files.deleted = 0 AND collections.deleted = 0)";

const INSERT: &str =
    "INSERT INTO trash (file, collection, encrypted_key, key_nonce, title, content_hash, object_size,
    trashed_at, delete_by, restored, purged, version) VALUES";

/// A later version replaces an earlier one.
const OR_UPDATE: &str = "ON CONFLICT (file) DO UPDATE SET collection = excluded.collection,
    encrypted_key = excluded.encrypted_key, key_nonce = excluded.key_nonce,
    title = coalesce(excluded.title, trash.title),
    content_hash = coalesce(excluded.content_hash, trash.content_hash),
    object_size = max(excluded.object_size, trash.object_size),
    trashed_at = excluded.trashed_at, delete_by = excluded.delete_by,
    restored = excluded.restored, purged = excluded.purged, version = excluded.version
    WHERE excluded.version >= trash.version";

/// One row's values. A purged entry no longer says what it was: name and content hash are kept from the entry before, or from the
/// file's memberships.
const VALUES: &str = "(?, ?, ?, ?,
    coalesce(?, (SELECT title FROM files WHERE file = ? AND title IS NOT NULL LIMIT 1)),
    coalesce(?, (SELECT content_hash FROM files WHERE file = ? AND content_hash IS NOT NULL LIMIT 1)),
    ?, ?, ?, ?, ?, ?)";

pub(super) async fn put_all(
    connection: &mut SqliteConnection,
    rows: &[TrashRow],
) -> Result<(), CatalogError> {
    for chunk in rows.chunks(ROWS) {
        let mut query = statement(INSERT, chunk.len(), VALUES, OR_UPDATE);
        for row in chunk {
            query = query
                .bind(row.file.0)
                .bind(row.collection.0)
                .bind(row.encrypted_key.0.clone())
                .bind(row.key_nonce.0.clone())
                .bind(row.title.clone())
                .bind(row.file.0)
                .bind(row.content_hash.map(|hash| hash.to_string()))
                .bind(row.file.0)
                .bind(row.object_size)
                .bind(row.trashed_at)
                .bind(row.delete_by)
                .bind(row.restored)
                .bind(row.purged)
                .bind(row.version.0);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
