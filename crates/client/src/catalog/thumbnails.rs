//! Thumbnails that are still to be made: of files that went into the vault with the placeholder, so as to be safe earlier.
//!
//! A row is written with the file's own, and goes when its thumbnail is in the vault or can never be.

use std::collections::HashMap;

use darkslide_protocol::{AccountId, CollectionId, FileId, Opaque, Version};
use sqlx::{FromRow, QueryBuilder, Row, SqliteConnection, sqlite::SqliteRow};

use super::changes::ROWS;
use super::{AssetRow, BaseChanges, Catalog, CatalogError, FileRow, Spans, cursor};

/// One thumbnail that is still to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueRow {
    /// Its place in the order in which they became due.
    pub number: i64,
    /// The file that waits for it.
    pub file: FileId,
    /// The library's root, raw bytes.
    pub root: Vec<u8>,
    /// The path of the picture or video under the root, raw bytes.
    pub path: Vec<u8>,
    /// What it is to be a thumbnail of: the stream header of the original that this device sent; `None` in rows of earlier releases.
    pub original: Option<Opaque>,
}

/// One thumbnail that is to be made, and what is known of the file that waits for it.
#[derive(Clone, Debug)]
pub struct DueThumbnail {
    /// Which.
    pub row: DueRow,
    /// The file's live memberships in the account's own collections.
    pub memberships: Vec<FileRow>,
    /// What lies at its path.
    pub asset: Option<AssetRow>,
}

/// A thumbnail that a file has got, or that it is no longer waiting for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentThumbnail {
    /// What was due.
    pub row: DueRow,
    /// Its stream header.
    pub header: Opaque,
    /// Ciphertext bytes.
    pub size: i64,
    /// The file's only membership, and its version with it; `None` where the feed has to tell.
    pub membership: Option<(CollectionId, Version)>,
}

const DUE: &str = "SELECT * FROM thumbnails_due WHERE number > $1 ORDER BY number LIMIT $2";

/// From what is due to its files, and to their albums: in no other order, for there may be thousands of albums and a million files.
pub(super) const MEMBERSHIPS_OF_DUE: &str = "SELECT files.* FROM thumbnails_due
     CROSS JOIN files ON files.file = thumbnails_due.file
     CROSS JOIN collections ON collections.id = files.collection
     WHERE thumbnails_due.number > $1 AND thumbnails_due.number <= $2
       AND files.owner = $3 AND collections.owner = $3 AND files.deleted = 0 AND collections.deleted = 0
     ORDER BY files.collection";

impl FromRow<'_, SqliteRow> for DueRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            number: row.try_get("number")?,
            file: FileId(row.try_get("file")?),
            root: row.try_get("root")?,
            path: row.try_get("path")?,
            original: row.try_get::<Option<String>, _>("original")?.map(Opaque),
        })
    }
}

impl Catalog {
    /// The next thumbnails to be made, behind the given place in the order.
    pub async fn thumbnails_due(&self, after: i64, limit: u32) -> Result<Vec<DueRow>, CatalogError> {
        Ok(sqlx::query_as(DUE).bind(after).bind(limit).fetch_all(&self.pool).await?)
    }

    /// The same, with what making them needs, in as many questions for all as for one.
    pub async fn thumbnails_to_make(
        &self,
        owner: AccountId,
        after: i64,
        limit: usize,
    ) -> Result<Vec<DueThumbnail>, CatalogError> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        // One look: what becomes due anew between two would seem to have neither file nor asset.
        let mut look = self.pool.begin().await?;
        let rows: Vec<DueRow> = sqlx::query_as(DUE).bind(after).bind(limit).fetch_all(&mut *look).await?;
        let Some(until) = rows.last().map(|row| row.number) else { return Ok(Vec::new()) };
        let memberships: Vec<FileRow> = sqlx::query_as(MEMBERSHIPS_OF_DUE)
            .bind(after)
            .bind(until)
            .bind(owner.0)
            .fetch_all(&mut *look)
            .await?;
        let assets: Vec<AssetRow> = sqlx::query_as(
            "SELECT assets.* FROM thumbnails_due
             JOIN assets ON assets.root = thumbnails_due.root AND assets.path = thumbnails_due.path
             WHERE number > $1 AND number <= $2",
        )
        .bind(after)
        .bind(until)
        .fetch_all(&mut *look)
        .await?;
        drop(look);
        let mut of_file: HashMap<FileId, Vec<FileRow>> = HashMap::new();
        for membership in memberships {
            of_file.entry(membership.id).or_default().push(membership);
        }
        let at: HashMap<(Vec<u8>, Vec<u8>), AssetRow> =
            assets.into_iter().map(|asset| ((asset.root.clone(), asset.path.clone()), asset)).collect();
        let known = |row: DueRow| DueThumbnail {
            memberships: of_file.remove(&row.file).unwrap_or_default(),
            // Of several that wait at one path, one is of what lies there now.
            asset: at.get(&(row.root.clone(), row.path.clone())).cloned(),
            row,
        };
        Ok(rows.into_iter().map(known).collect())
    }

    /// The place of the one that became due last; 0 if none is.
    pub async fn last_thumbnail_due(&self) -> Result<i64, CatalogError> {
        let last = sqlx::query_scalar("SELECT coalesce(max(number), 0) FROM thumbnails_due");
        Ok(last.fetch_one(&self.pool).await?)
    }

    /// How many thumbnails are still to be made.
    pub async fn count_thumbnails_due(&self) -> Result<u64, CatalogError> {
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM thumbnails_due").fetch_one(&self.pool).await?;
        Ok(count.cast_unsigned())
    }

    /// Whether pictures of a sync folder wait for thumbnails that can be made, as far as is known: neither are they missed, nor in the vault's trash.
    pub async fn are_thumbnails_due_in(&self, folder: i64, root: &[u8]) -> Result<bool, CatalogError> {
        let text = "SELECT EXISTS (SELECT 1 FROM thumbnails_due AS due WHERE due.root = $2
                 AND EXISTS (SELECT 1 FROM files JOIN collections ON collections.id = files.collection
                     WHERE files.file = due.file AND files.deleted = 0 AND collections.deleted = 0)
                 AND NOT EXISTS (SELECT 1 FROM sync_base
                     WHERE folder = $1 AND sync_base.path = due.path AND absent_since IS NOT NULL))";
        Ok(sqlx::query_scalar(text).bind(folder).bind(root).fetch_one(&self.pool).await?)
    }

    /// Whether a sync folder and the vault have agreed on a path. What is missed there may have another name, or is about to leave the vault.
    pub async fn is_agreed_on(&self, root: &[u8], path: &[u8]) -> Result<bool, CatalogError> {
        let text =
            "SELECT EXISTS (SELECT 1 FROM sync_folders JOIN sync_base ON sync_base.folder = sync_folders.id
             WHERE sync_folders.path = $1 AND sync_base.path = $2 AND state = 'synced')";
        Ok(sqlx::query_scalar(text).bind(root).bind(path).fetch_one(&self.pool).await?)
    }

    /// Records thumbnails that are in the vault now, ahead of the feed. A version is that of one membership, and no other's: another one of
    /// the file may have ended meanwhile, at an earlier version, which the feed must still be able to tell. Where the catalog has not heard yet
    /// what the file's original is, all is for the feed to tell.
    pub async fn record_thumbnails(
        &self,
        sent: &[SentThumbnail],
        spans: &mut Spans,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        for some in sent.chunks(ROWS) {
            let numbers: Vec<i64> = some.iter().map(|thumbnail| thumbnail.row.number).collect();
            end_due(&mut transaction, &numbers).await?;
            let told: Vec<(&SentThumbnail, (CollectionId, Version))> =
                some.iter().filter_map(|thumbnail| Some((thumbnail, thumbnail.membership?))).collect();
            if told.is_empty() {
                continue;
            }
            let mut query =
                QueryBuilder::new("WITH sent (collection, file, original, header, size, version) AS (");
            query.push_values(told, |mut row, (thumbnail, (collection, version))| {
                row.push_bind(collection.0)
                    .push_bind(thumbnail.row.file.0)
                    .push_bind(thumbnail.row.original.as_ref().map(|original| original.0.clone()))
                    .push_bind(thumbnail.header.0.clone())
                    .push_bind(thumbnail.size)
                    .push_bind(version.0);
            });
            query.push(
                ") UPDATE files SET thumbnail_header = sent.header, thumbnail_size = sent.size, version = sent.version
                 FROM sent WHERE files.collection = sent.collection AND files.file = sent.file
                     AND files.object_header = sent.original AND files.deleted = 0 AND files.version < sent.version",
            );
            query.build().execute(&mut *transaction).await?;
        }
        cursor::advance(&mut transaction, spans).await?;
        Ok(transaction.commit().await?)
    }

    /// Forgets thumbnails that can never be made.
    pub async fn end_thumbnails_due(&self, rows: &[DueRow]) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        for some in rows.chunks(ROWS) {
            let numbers: Vec<i64> = some.iter().map(|row| row.number).collect();
            end_due(&mut transaction, &numbers).await?;
        }
        Ok(transaction.commit().await?)
    }
}

/// What is due is made of the file under the name that it has now; where a path has it no more, of another copy that this device has, if there is one.
/// The assets have been told of that already.
pub(super) async fn follow(
    connection: &mut SqliteConnection,
    root: &[u8],
    changes: &BaseChanges,
) -> Result<(), CatalogError> {
    if changes.moved.is_empty() && changes.dropped.is_empty() {
        return Ok(());
    }
    let text = "SELECT * FROM thumbnails_due WHERE root = $1";
    let due: Vec<DueRow> = sqlx::query_as(text).bind(root).fetch_all(&mut *connection).await?;
    let now: HashMap<_, _> = changes.moved.iter().map(|(path, from)| (from, path)).collect();
    for row in due {
        let place: Option<(Vec<u8>, Vec<u8>)> = match now.get(&row.path) {
            Some(path) => Some((row.root, (*path).clone())),
            None if changes.dropped.contains(&row.path) => {
                let text = "SELECT root, path FROM assets WHERE file = $1 AND state = 'backed_up' ORDER BY root <> $2 LIMIT 1";
                sqlx::query_as(text).bind(row.file.0).bind(root).fetch_optional(&mut *connection).await?
            }
            None => None,
        };
        if let Some((root, path)) = place {
            let text = "UPDATE thumbnails_due SET root = $2, path = $3 WHERE number = $1";
            sqlx::query(text).bind(row.number).bind(root).bind(path).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

async fn end_due(connection: &mut SqliteConnection, numbers: &[i64]) -> Result<(), CatalogError> {
    let mut query = QueryBuilder::new("DELETE FROM thumbnails_due WHERE number IN (");
    let mut list = query.separated(", ");
    for number in numbers {
        list.push_bind(number);
    }
    query.push(")").build().execute(connection).await?;
    Ok(())
}

pub(super) async fn put(
    connection: &mut SqliteConnection,
    file: FileId,
    original: &Opaque,
    asset: &AssetRow,
) -> Result<(), CatalogError> {
    sqlx::query(
        // Under a new number: the thumbnail of what the file was before, if it is on its way, settles nothing.
        "INSERT OR REPLACE INTO thumbnails_due (file, root, path, original) VALUES ($1, $2, $3, $4)",
    )
    .bind(file.0)
    .bind(&asset.root)
    .bind(&asset.path)
    .bind(&original.0)
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{AssetState, DeviceAlbumKey, Fingerprint, UploadedRows};

    const OWNER: AccountId = AccountId(1);

    fn asset_of(file: FileId) -> AssetRow {
        AssetRow {
            root: b"/r".to_vec(),
            path: b"a.jpg".to_vec(),
            fingerprint: Fingerprint { size: 1, modified_ns: 1, inode: 1 },
            motion: None,
            album: DeviceAlbumKey { root: b"/r".to_vec(), folder: Vec::new() },
            content_hash: None,
            file: Some(file),
            state: AssetState::BackedUp,
            reason: None,
            first_seen: 1,
            last_seen: 1,
            failing: None,
        }
    }

    async fn sent(catalog: &Catalog, file: FileId) {
        let thumbnails_due = [(file, Opaque("original".into()))].into();
        let rows = UploadedRows { files: Vec::new(), assets: vec![asset_of(file)], thumbnails_due };
        catalog.record_uploads(&rows, &mut Spans::default()).await.unwrap();
    }

    /// A picture is edited while its thumbnail is on its way: what was made of the earlier content must not settle the later one's.
    #[tokio::test]
    async fn a_thumbnail_of_what_a_file_was_settles_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("catalog.db")).await.unwrap();
        let due = async || {
            sent(&catalog, FileId(7)).await;
            let [row] = catalog.thumbnails_due(0, 9).await.unwrap().try_into().unwrap();
            row
        };
        let first = due().await;
        let later = due().await;
        let sent = SentThumbnail { row: first, header: Opaque("header".into()), size: 1, membership: None };
        catalog.record_thumbnails(&[sent], &mut Spans::default()).await.unwrap();
        assert_eq!(catalog.thumbnails_due(0, 9).await.unwrap(), [later]);
    }

    /// Another picture takes the place of one whose thumbnail is still due: it has its own all the same.
    #[tokio::test]
    async fn two_wait_at_one_path() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("catalog.db")).await.unwrap();
        for file in [7, 8] {
            sent(&catalog, FileId(file)).await;
        }
        let due = catalog.thumbnails_to_make(OWNER, 0, 9).await.unwrap();
        let lies_there = |due: &DueThumbnail| due.asset.as_ref().and_then(|asset| asset.file);
        let of: Vec<_> = due.iter().map(|due| (due.row.file, lies_there(due))).collect();
        assert_eq!(of, [(FileId(7), Some(FileId(8))), (FileId(8), Some(FileId(8)))]);
    }
}
