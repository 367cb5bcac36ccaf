//! Collections as the feed listed them, and which of them mirrors which device album.

use darkslide_protocol::collection::CollectionType;
use darkslide_protocol::{AccountId, CollectionId, Opaque, Version};
use sqlx::{FromRow, Row, SqliteConnection, sqlite::SqliteRow};
use std::slice;

use super::changes::{ROWS, placeholders, statement};
use super::{Catalog, CatalogError, Feed, Spans, cursor};

/// A collection with its name opened. Its key stays wrapped: it is opened when needed, under the account's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionRow {
    /// The collection.
    pub id: CollectionId,
    /// Whose it is.
    pub owner: AccountId,
    /// The name, in the clear.
    pub name: String,
    /// What it is for.
    pub kind: CollectionType,
    /// Its key, boxed under the master key or sealed to the account.
    pub encrypted_key: Opaque,
    /// The box's nonce; absent where it is sealed.
    pub key_nonce: Option<Opaque>,
    /// The feed's version of it.
    pub version: Version,
    /// A tombstone.
    pub deleted: bool,
}

/// What identifies a device album: the folder library's root and the folder under it, as raw bytes. An album that
/// was named by hand has no root, and its name for a folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceAlbumKey {
    /// The library's root; empty for an album named by hand.
    pub root: Vec<u8>,
    /// The folder relative to the root, or the name given by hand.
    pub folder: Vec<u8>,
}

/// A folder as its disk knows it, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FolderId {
    /// The disk's number.
    pub device: u64,
    /// The folder's number on it.
    pub inode: u64,
}

/// A folder whose album is linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedFolder {
    /// Its path under the root, raw bytes.
    pub folder: Vec<u8>,
    /// What it was when it was last seen there.
    pub id: Option<FolderId>,
}

impl FromRow<'_, SqliteRow> for CollectionRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let kind: String = row.try_get("type")?;
        Ok(Self {
            id: CollectionId(row.try_get("id")?),
            owner: AccountId(row.try_get("owner")?),
            name: row.try_get("name")?,
            kind: CollectionType::parse(&kind).unwrap_or(CollectionType::Album),
            encrypted_key: Opaque(row.try_get("encrypted_key")?),
            key_nonce: row.try_get::<Option<String>, _>("key_nonce")?.map(Opaque),
            version: Version(row.try_get("version")?),
            deleted: row.try_get("deleted")?,
        })
    }
}

impl Catalog {
    /// Records a page of the collections feed, and its cursor with it.
    pub async fn apply_collections(
        &self,
        rows: &[CollectionRow],
        cursor: Version,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        put_all(&mut transaction, rows).await?;
        cursor::store(&mut transaction, Feed::Collections, cursor).await?;
        Ok(transaction.commit().await?)
    }

    /// Records one collection that this client just made or changed, ahead of the feed.
    pub async fn put_collection(&self, row: &CollectionRow) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        put_all(&mut transaction, slice::from_ref(row)).await?;
        Ok(transaction.commit().await?)
    }

    /// Records collections that were made for device albums, ahead of the feed. Of that, what these are the last to be known of need not be read.
    pub async fn record_albums(
        &self,
        rows: &[CollectionRow],
        links: &[(DeviceAlbumKey, CollectionId)],
        spans: &mut Spans,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        put_all(&mut transaction, rows).await?;
        for (album, collection) in links {
            link(&mut transaction, album, *collection).await?;
        }
        cursor::advance(&mut transaction, spans).await?;
        Ok(transaction.commit().await?)
    }

    /// Every collection, tombstones included, by name.
    pub async fn collections(&self) -> Result<Vec<CollectionRow>, CatalogError> {
        Ok(sqlx::query_as("SELECT * FROM collections ORDER BY name, id").fetch_all(&self.pool).await?)
    }

    /// One collection, tombstone or not.
    pub async fn collection(&self, id: CollectionId) -> Result<Option<CollectionRow>, CatalogError> {
        Ok(sqlx::query_as("SELECT * FROM collections WHERE id = $1")
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await?)
    }

    /// The account's own live album of this name; the oldest where there are several. Favourites and
    /// uncategorized are no albums.
    pub async fn collection_named(
        &self,
        owner: AccountId,
        name: &str,
    ) -> Result<Option<CollectionRow>, CatalogError> {
        Ok(sqlx::query_as(NAMED).bind(owner.0).bind(name).fetch_optional(&self.pool).await?)
    }

    /// The collection that a device album was linked to, tombstone or not.
    pub async fn linked_collection(
        &self,
        album: &DeviceAlbumKey,
    ) -> Result<Option<CollectionRow>, CatalogError> {
        Ok(sqlx::query_as(
            "SELECT collections.* FROM device_albums JOIN collections ON collections.id = collection
             WHERE root = $1 AND folder = $2",
        )
        .bind(&album.root)
        .bind(&album.folder)
        .fetch_optional(&self.pool)
        .await?)
    }

    /// The folders below a root whose albums are linked.
    pub async fn linked_folders(&self, root: &[u8]) -> Result<Vec<LinkedFolder>, CatalogError> {
        let text = "SELECT folder, device, inode FROM device_albums WHERE root = $1 ORDER BY folder";
        let rows: Vec<(Vec<u8>, Option<i64>, Option<i64>)> =
            sqlx::query_as(text).bind(root).fetch_all(&self.pool).await?;
        let linked = rows.into_iter().map(|(folder, device, inode)| {
            let id = device.zip(inode);
            let id = id.map(|(device, inode)| FolderId {
                device: device.cast_unsigned(),
                inode: inode.cast_unsigned(),
            });
            LinkedFolder { folder, id }
        });
        Ok(linked.collect())
    }

    /// Says which folder of the disk an album is linked to.
    pub async fn identify_folder(
        &self,
        album: &DeviceAlbumKey,
        id: Option<FolderId>,
    ) -> Result<(), CatalogError> {
        sqlx::query("UPDATE device_albums SET device = $3, inode = $4 WHERE root = $1 AND folder = $2")
            .bind(&album.root)
            .bind(&album.folder)
            .bind(id.map(|id| id.device.cast_signed()))
            .bind(id.map(|id| id.inode.cast_signed()))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// What was linked as one album is linked as another from now on, which is not linked yet.
    pub async fn move_link(&self, from: &DeviceAlbumKey, to: &DeviceAlbumKey) -> Result<(), CatalogError> {
        sqlx::query(
            "UPDATE OR IGNORE device_albums SET root = $3, folder = $4 WHERE root = $1 AND folder = $2",
        )
        .bind(&from.root)
        .bind(&from.folder)
        .bind(&to.root)
        .bind(&to.folder)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Links a device album to its collection, instead of whatever it was linked to.
    pub async fn link_album(
        &self,
        album: &DeviceAlbumKey,
        collection: CollectionId,
    ) -> Result<(), CatalogError> {
        link(&mut *self.pool.acquire().await?, album, collection).await
    }
}

async fn link(
    connection: &mut SqliteConnection,
    album: &DeviceAlbumKey,
    collection: CollectionId,
) -> Result<(), CatalogError> {
    sqlx::query(
        "INSERT INTO device_albums (root, folder, collection) VALUES ($1, $2, $3)
         ON CONFLICT (root, folder) DO UPDATE SET collection = excluded.collection",
    )
    .bind(&album.root)
    .bind(&album.folder)
    .bind(collection.0)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) const NAMED: &str = "SELECT * FROM collections
     WHERE owner = $1 AND name = $2 AND deleted = 0 AND type IN ('album', 'folder')
     ORDER BY id LIMIT 1";

/// The columns that are written.
const COLUMNS: usize = 8;

const INSERT: &str =
    "INSERT INTO collections (id, owner, name, type, encrypted_key, key_nonce, version, deleted) VALUES";

/// A later version replaces an earlier one.
const OR_UPDATE: &str =
    "ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, name = excluded.name, type = excluded.type,
    encrypted_key = excluded.encrypted_key, key_nonce = excluded.key_nonce,
    version = excluded.version, deleted = excluded.deleted
    WHERE excluded.version >= collections.version";

pub(super) async fn put_all(
    connection: &mut SqliteConnection,
    rows: &[CollectionRow],
) -> Result<(), CatalogError> {
    for chunk in rows.chunks(ROWS) {
        let mut query = statement(INSERT, chunk.len(), &placeholders(COLUMNS), OR_UPDATE);
        for row in chunk {
            query = query
                .bind(row.id.0)
                .bind(row.owner.0)
                .bind(row.name.clone())
                .bind(row.kind.as_str())
                .bind(row.encrypted_key.0.clone())
                .bind(row.key_nonce.as_ref().map(|nonce| nonce.0.clone()))
                .bind(row.version.0)
                .bind(row.deleted);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
