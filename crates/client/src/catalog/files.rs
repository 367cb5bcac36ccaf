//! The vault's files as the feed listed them: one row a membership, opened.

use darkslide_crypto::ContentHash;
use darkslide_protocol::{AccountId, CollectionId, FileId, Opaque, Version};
use futures_util::TryStreamExt as _;
use sqlx::{FromRow, Row, SqliteConnection, sqlite::SqliteRow};
use std::slice;

use super::changes::{ROWS, placeholders, statement};
use super::{Catalog, CatalogError, Feed, cursor};

/// One membership with its metadata opened. The file's key stays wrapped by the collection's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRow {
    /// The file.
    pub id: FileId,
    /// The collection of this membership.
    pub collection: CollectionId,
    /// Whose file it is.
    pub owner: AccountId,
    /// The file's key under the collection's.
    pub encrypted_key: Opaque,
    /// Its nonce.
    pub key_nonce: Opaque,
    /// The name; none where the metadata are gone or do not open.
    pub title: Option<String>,
    /// None on ancient files, and where the metadata are gone or do not open.
    pub content_hash: Option<ContentHash>,
    /// As on the wire: 0 image, 1 video, 2 Live Photo, 3 other.
    pub kind: i64,
    /// When it was taken, µs since the epoch.
    pub taken: i64,
    /// When it was modified, µs since the epoch.
    pub modified: i64,
    /// Ciphertext bytes of the original.
    pub object_size: i64,
    /// Ciphertext bytes of the thumbnail.
    pub thumbnail_size: i64,
    /// The original's stream header.
    pub object_header: Opaque,
    /// The thumbnail's.
    pub thumbnail_header: Opaque,
    /// The opened metadata, as JSON text with every key that they had.
    pub metadata: Option<String>,
    /// The opened public magic metadata, likewise.
    pub public_metadata: Option<String>,
    /// The opened private magic metadata, likewise; only of the account's own files.
    pub private_metadata: Option<String>,
    /// The membership's version.
    pub version: Version,
    /// No longer in this collection.
    pub deleted: bool,
}

/// Which files a listing wants. Tombstones are never listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileFilter {
    /// Only this collection's.
    pub collection: Option<CollectionId>,
    /// Only this file's memberships.
    pub file: Option<FileId>,
    /// Taken at this time or later, µs since the epoch.
    pub taken_from: Option<i64>,
    /// Taken before this time, µs since the epoch.
    pub taken_until: Option<i64>,
    /// Whose title has this in it, letter case aside (ASCII letters only).
    pub title_contains: Option<String>,
}

impl FromRow<'_, SqliteRow> for FileRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: FileId(row.try_get("file")?),
            collection: CollectionId(row.try_get("collection")?),
            owner: AccountId(row.try_get("owner")?),
            encrypted_key: Opaque(row.try_get("encrypted_key")?),
            key_nonce: Opaque(row.try_get("key_nonce")?),
            title: row.try_get("title")?,
            content_hash: content_hash_of(row)?,
            kind: row.try_get("kind")?,
            taken: row.try_get("taken")?,
            modified: row.try_get("modified")?,
            object_size: row.try_get("object_size")?,
            thumbnail_size: row.try_get("thumbnail_size")?,
            object_header: Opaque(row.try_get("object_header")?),
            thumbnail_header: Opaque(row.try_get("thumbnail_header")?),
            metadata: row.try_get("metadata")?,
            public_metadata: row.try_get("public_metadata")?,
            private_metadata: row.try_get("private_metadata")?,
            version: Version(row.try_get("version")?),
            deleted: row.try_get("deleted")?,
        })
    }
}

/// Reads the `content_hash` column, which the feed may have left empty.
pub(super) fn content_hash_of(row: &SqliteRow) -> sqlx::Result<Option<ContentHash>> {
    let text: Option<String> = row.try_get("content_hash")?;
    let decode = |source| sqlx::Error::ColumnDecode { index: "content_hash".to_owned(), source };
    text.map(|text| text.parse().map_err(|error| decode(Box::new(error)))).transpose()
}

impl Catalog {
    /// A file's version, which moves with whatever is done to it: the newest of its memberships, tombstones included, in its owner's
    /// collections that are not deleted.
    pub async fn version_of(&self, owner: AccountId, file: FileId) -> Result<Option<Version>, CatalogError> {
        let version: Option<i64> = sqlx::query_scalar(
            "SELECT max(files.version) FROM files JOIN collections ON collections.id = files.collection
             WHERE files.file = $1 AND collections.owner = $2 AND collections.deleted = 0",
        )
        .bind(file.0)
        .bind(owner.0)
        .fetch_one(&self.pool)
        .await?;
        Ok(version.map(Version))
    }

    /// Records a page of one collection's diff, and its cursor with it.
    pub async fn apply_files(
        &self,
        collection: CollectionId,
        rows: &[FileRow],
        cursor: Version,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        put_all(&mut transaction, rows).await?;
        cursor::store(&mut transaction, Feed::Files(collection), cursor).await?;
        Ok(transaction.commit().await?)
    }

    /// Records one membership that this client just made, ahead of the feed.
    pub async fn put_file(&self, row: &FileRow) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        put_all(&mut transaction, slice::from_ref(row)).await?;
        Ok(transaction.commit().await?)
    }

    /// Records private magic metadata that this client just wrote, ahead of the feed.
    pub async fn set_private_metadata(&self, file: FileId, text: &str) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        sqlx::query("UPDATE files SET private_metadata = $2 WHERE file = $1")
            .bind(file.0)
            .bind(text)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// The live memberships that a filter lets through, oldest picture first.
    pub async fn files(&self, filter: &FileFilter) -> Result<Vec<FileRow>, CatalogError> {
        let mut rows = Vec::new();
        self.each_file(filter, |row| rows.push(row)).await?;
        Ok(rows)
    }

    /// The same, one at a time: there may be more than should be in memory at once.
    pub async fn each_file(
        &self,
        filter: &FileFilter,
        mut each: impl FnMut(FileRow),
    ) -> Result<(), CatalogError> {
        let mut rows = sqlx::query_as::<_, FileRow>(
            "SELECT files.* FROM files JOIN collections ON collections.id = files.collection
             WHERE files.deleted = 0 AND collections.deleted = 0
               AND ($1 IS NULL OR files.collection = $1) AND ($2 IS NULL OR files.file = $2)
               AND ($3 IS NULL OR files.taken >= $3) AND ($4 IS NULL OR files.taken < $4)
               AND ($5 IS NULL OR instr(lower(coalesce(files.title, '')), lower($5)) > 0)
             ORDER BY files.taken, files.file, files.collection",
        )
        .bind(filter.collection.map(|id| id.0))
        .bind(filter.file.map(|id| id.0))
        .bind(filter.taken_from)
        .bind(filter.taken_until)
        .bind(filter.title_contains.as_deref())
        .fetch(&self.pool);
        while let Some(row) = rows.try_next().await? {
            each(row);
        }
        Ok(())
    }

    /// Of each live membership, its collection and the bytes of the file's object.
    pub async fn each_size(&self, mut each: impl FnMut(CollectionId, i64)) -> Result<(), CatalogError> {
        let mut rows = sqlx::query_as::<_, (i64, i64)>(
            "SELECT files.collection, files.object_size FROM files JOIN collections ON collections.id = files.collection
             WHERE files.deleted = 0 AND collections.deleted = 0",
        )
        .fetch(&self.pool);
        while let Some((collection, size)) = rows.try_next().await? {
            each(CollectionId(collection), size);
        }
        Ok(())
    }

    /// Every membership of one file, tombstones included.
    pub async fn memberships(&self, file: FileId) -> Result<Vec<FileRow>, CatalogError> {
        Ok(sqlx::query_as("SELECT * FROM files WHERE file = $1 ORDER BY collection")
            .bind(file.0)
            .fetch_all(&self.pool)
            .await?)
    }

    /// The live memberships of one file in live collections of its owner's. Where else it is, in albums of others, is theirs to say.
    pub async fn own_memberships(
        &self,
        owner: AccountId,
        file: FileId,
    ) -> Result<Vec<FileRow>, CatalogError> {
        Ok(sqlx::query_as(
            "SELECT files.* FROM files JOIN collections ON collections.id = files.collection
             WHERE files.file = $1 AND files.owner = $2 AND collections.owner = $2
               AND files.deleted = 0 AND collections.deleted = 0
             ORDER BY files.collection",
        )
        .bind(file.0)
        .bind(owner.0)
        .fetch_all(&self.pool)
        .await?)
    }

    /// Every membership of the account's own files that hold this content, in collections of its own. Those of deleted
    /// collections count as tombstones: the feed does not list them any more.
    pub async fn files_with_content(
        &self,
        owner: AccountId,
        content: &ContentHash,
    ) -> Result<Vec<FileRow>, CatalogError> {
        let query = sqlx::query(WITH_CONTENT).bind(content.to_string()).bind(owner.0);
        let rows = query.fetch_all(&self.pool).await?;
        let membership = |row: &SqliteRow| {
            let mut membership = FileRow::from_row(row)?;
            membership.deleted |= row.try_get::<bool, _>("collection_deleted")?;
            Ok(membership)
        };
        rows.iter().map(membership).collect::<sqlx::Result<_>>().map_err(CatalogError::from)
    }
}

pub(super) const WITH_CONTENT: &str = "SELECT files.*, coalesce(collections.deleted, 1) AS collection_deleted
     FROM files LEFT JOIN collections ON collections.id = files.collection
     WHERE substr(files.content_hash, 1, 8) = substr($1, 1, 8) AND files.content_hash = $1
       AND files.owner = $2 AND coalesce(collections.owner, $2) = $2
     ORDER BY files.deleted, files.file, files.collection";

/// The columns that are written.
const COLUMNS: usize = 19;

const INSERT: &str = "INSERT INTO files (collection, file, owner, encrypted_key, key_nonce, title, content_hash, kind, taken,
    modified, object_size, thumbnail_size, object_header, thumbnail_header, metadata, public_metadata, private_metadata,
    version, deleted) VALUES";

/// A later version replaces an earlier one; what a tombstone no longer says is kept from before. At the same version a tombstone stays: what was
/// made may be told with the version of its end, where that came first.
const OR_UPDATE: &str = "ON CONFLICT (collection, file) DO UPDATE SET owner = excluded.owner,
    encrypted_key = excluded.encrypted_key, key_nonce = excluded.key_nonce,
    title = coalesce(excluded.title, files.title),
    content_hash = coalesce(excluded.content_hash, files.content_hash),
    kind = excluded.kind, taken = excluded.taken, modified = excluded.modified,
    object_size = excluded.object_size, thumbnail_size = excluded.thumbnail_size,
    object_header = excluded.object_header, thumbnail_header = excluded.thumbnail_header,
    metadata = coalesce(excluded.metadata, files.metadata),
    public_metadata = coalesce(excluded.public_metadata, files.public_metadata),
    private_metadata = coalesce(excluded.private_metadata, files.private_metadata),
    version = excluded.version, deleted = excluded.deleted
    WHERE excluded.version > files.version
        OR (excluded.version = files.version AND excluded.deleted >= files.deleted)";

pub(super) async fn put_all(connection: &mut SqliteConnection, rows: &[FileRow]) -> Result<(), CatalogError> {
    for chunk in rows.chunks(ROWS) {
        let mut query = statement(INSERT, chunk.len(), &placeholders(COLUMNS), OR_UPDATE);
        for row in chunk {
            query = query
                .bind(row.collection.0)
                .bind(row.id.0)
                .bind(row.owner.0)
                .bind(row.encrypted_key.0.clone())
                .bind(row.key_nonce.0.clone())
                .bind(row.title.clone())
                .bind(row.content_hash.map(|hash| hash.to_string()))
                .bind(row.kind)
                .bind(row.taken)
                .bind(row.modified)
                .bind(row.object_size)
                .bind(row.thumbnail_size)
                .bind(row.object_header.0.clone())
                .bind(row.thumbnail_header.0.clone())
                .bind(row.metadata.clone())
                .bind(row.public_metadata.clone())
                .bind(row.private_metadata.clone())
                .bind(row.version.0)
                .bind(row.deleted);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
