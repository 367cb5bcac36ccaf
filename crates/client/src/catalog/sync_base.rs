//! What a sync folder and the vault agreed on last, and what the vault has of given contents.
//!
//! Rows are written after the effect that they record, those of one step in one transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use darkslide_crypto::ContentHash;
use darkslide_protocol::{AccountId, CollectionId, FileId, Version};
use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Row, SqliteConnection, sqlite::SqliteRow};

use super::files::content_hash_of;
use super::{AssetPlace, Catalog, CatalogError, Fingerprint, thumbnails};
use crate::folder::reconcile::{Base, Deleted, DiskId, RelativePath, Remote, Synced};
use crate::folder::scan::Stat;
use crate::library::path_of;

/// Contents that are asked for at once.
const CONTENTS: usize = 400;

/// Rows that are written at once.
const ROWS: usize = 60;

/// What is agreed on about one path, and the file on disk as it was then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseRow {
    /// What is agreed on.
    pub base: Base,
    /// The file; nothing in tombstones.
    pub stat: Stat,
}

/// A file of the folder's album that the folder knows nothing of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The file.
    pub file: FileId,
    /// Its content.
    pub content: ContentHash,
    /// Its name.
    pub title: String,
    /// Ciphertext bytes.
    pub object_size: i64,
}

/// What another sync folder has of a content that one has lost sight of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyElsewhere {
    /// The content.
    pub content: ContentHash,
    /// The number of the other folder.
    pub folder: i64,
    /// Whether it was agreed on there as the very file on disk that it is, or was, in this one: a folder that was renamed and added again is
    /// two in the list.
    pub is_same_file: bool,
}

/// What is written down after a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseChanges {
    /// Rows that are new, or new as they are.
    pub put: BTreeMap<RelativePath, BaseRow>,
    /// Paths about which nothing is agreed on any more.
    pub dropped: BTreeSet<RelativePath>,
    /// Contents that do not come back into the folder by themselves.
    pub detached: BTreeSet<ContentHash>,
    /// Files that do not, whatever they are edited to, until the folder has them again; each with what it was there. One that the folder has at another path
    /// stays.
    pub detached_files: BTreeMap<FileId, ContentHash>,
    /// Paths that files have moved from, by those that they have now.
    pub moved: BTreeMap<RelativePath, RelativePath>,
}

impl BaseChanges {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.put.is_empty()
            && self.dropped.is_empty()
            && self.detached.is_empty()
            && self.detached_files.is_empty()
    }
}

fn row_of(row: &SqliteRow) -> sqlx::Result<(RelativePath, BaseRow)> {
    let text: String = row.try_get("content")?;
    let decode = |error| sqlx::Error::ColumnDecode { index: "content".to_owned(), source: Box::new(error) };
    let content: ContentHash = text.parse().map_err(decode)?;
    let size = row.try_get::<i64, _>("size")?.cast_unsigned();
    let (file, version) = (FileId(row.try_get("file")?), Version(row.try_get("version")?));
    let inode = row.try_get::<i64, _>("inode")?.cast_unsigned();
    let disk = DiskId { inode, born_ns: row.try_get("born_ns")? };
    let (modified_ns, changed_ns) = (row.try_get("modified_ns")?, row.try_get("changed_ns")?);
    let base = if row.try_get::<String, _>("state")? == "synced" {
        Base::Synced(Synced {
            content,
            disk,
            size,
            file,
            version,
            absent_since: row.try_get("absent_since")?,
        })
    } else {
        Base::Deleted(Deleted { content, size, file, version })
    };
    Ok((row.try_get("path")?, BaseRow { base, stat: Stat { size, disk, modified_ns, changed_ns } }))
}

impl Catalog {
    /// What a folder and the vault agreed on last.
    pub async fn sync_base(&self, folder: i64) -> Result<BTreeMap<RelativePath, BaseRow>, CatalogError> {
        let text = "SELECT * FROM sync_base WHERE folder = $1 ORDER BY path";
        let mut rows = sqlx::query(text).bind(folder).fetch(&self.pool);
        let mut base = BTreeMap::new();
        while let Some(row) = rows.try_next().await? {
            base.extend([row_of(&row)?]);
        }
        Ok(base)
    }

    /// The same of some paths.
    pub async fn sync_base_at(
        &self,
        folder: i64,
        paths: &[RelativePath],
    ) -> Result<BTreeMap<RelativePath, BaseRow>, CatalogError> {
        let mut rows = BTreeMap::new();
        for chunk in paths.chunks(CONTENTS) {
            let marks = vec!["?"; chunk.len()].join(", ");
            let text = format!("SELECT * FROM sync_base WHERE folder = ? AND path IN ({marks})");
            let mut query = sqlx::query(AssertSqlSafe(text)).bind(folder);
            for path in chunk {
                query = query.bind(path.clone());
            }
            for row in query.fetch_all(&self.pool).await? {
                rows.extend([row_of(&row)?]);
            }
        }
        Ok(rows)
    }

    /// What other sync folders of the account have, of the contents that this one has lost sight of.
    pub async fn in_other_sync_folders(&self, folder: i64) -> Result<Vec<CopyElsewhere>, CatalogError> {
        let text = "SELECT DISTINCT missed.content AS content_hash, other.folder, EXISTS (
                 SELECT 1 FROM sync_base AS here INDEXED BY sync_base_by_content
                 WHERE here.folder = $1 AND here.content = other.content AND here.state = 'synced'
                     AND here.inode = other.inode AND here.born_ns = other.born_ns AND here.inode <> 0) AS is_same
             FROM sync_base AS missed
             JOIN sync_base AS other ON other.content = missed.content
                 AND other.folder IN (SELECT id FROM sync_folders WHERE id <> $1)
             WHERE missed.folder = $1 AND missed.absent_since IS NOT NULL
               AND other.state = 'synced' AND other.absent_since IS NULL";
        let mut copies = Vec::new();
        for row in sqlx::query(text).bind(folder).fetch_all(&self.pool).await? {
            let Some(content) = content_hash_of(&row)? else { continue };
            let (folder, is_same_file) = (row.try_get("folder")?, row.try_get("is_same")?);
            copies.push(CopyElsewhere { content, folder, is_same_file });
        }
        Ok(copies)
    }

    /// The places at which sync folders have what a file of the vault is, as far as is known.
    pub async fn synced_places(&self, file: FileId) -> Result<Vec<AssetPlace>, CatalogError> {
        let text = "SELECT DISTINCT sync_folders.path AS root, sync_base.path AS path FROM files
             CROSS JOIN sync_folders CROSS JOIN sync_base INDEXED BY sync_base_by_content
                 ON sync_base.folder = sync_folders.id AND sync_base.content = files.content_hash
             WHERE files.file = $1 AND files.deleted = 0 AND sync_base.file = files.file
               AND sync_base.state = 'synced' AND sync_base.absent_since IS NULL";
        let rows: Vec<(Vec<u8>, Vec<u8>)> = sqlx::query_as(text).bind(file.0).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|(root, path)| AssetPlace { root, path }).collect())
    }

    /// Whether something that is to leave a sync folder went into the vault's trash, or was purged, after a version of the vault: one that is agreed on in a
    /// folder that is kept in step, and not only upwards.
    pub async fn is_agreed_trashed_since(&self, vault: Version) -> Result<bool, CatalogError> {
        let text = "SELECT EXISTS (SELECT 1 FROM trash CROSS JOIN sync_folders
                 CROSS JOIN sync_base INDEXED BY sync_base_by_content ON sync_base.folder = sync_folders.id
                     AND sync_base.content = trash.content_hash AND sync_base.file = trash.file
             WHERE sync_folders.paused = 0 AND sync_folders.direction <> 'up'
               AND trash.version > $1 AND trash.restored = 0
               AND sync_base.state = 'synced' AND sync_base.absent_since IS NULL)";
        Ok(sqlx::query_scalar(text).bind(vault.0).fetch_one(&self.pool).await?)
    }

    /// Assets outside of a folder that were backed up with contents that it has lost sight of: where they were, and what they were.
    pub async fn copies_outside(
        &self,
        folder: i64,
        root: &[u8],
    ) -> Result<Vec<(PathBuf, Fingerprint, ContentHash)>, CatalogError> {
        let text = "SELECT assets.root, assets.path, assets.size, assets.modified_ns, assets.inode, assets.content_hash
             FROM sync_base AS missed
             JOIN assets ON substr(assets.content_hash, 1, 8) = substr(missed.content, 1, 8)
                 AND assets.content_hash = missed.content
             WHERE missed.folder = $1 AND missed.absent_since IS NOT NULL
               AND assets.root <> $2 AND assets.state = 'backed_up' AND assets.motion_path IS NULL";
        let mut copies = Vec::new();
        for row in sqlx::query(text).bind(folder).bind(root).fetch_all(&self.pool).await? {
            let Some(content) = content_hash_of(&row)? else { continue };
            let bytes = |index: &str| row.try_get::<Vec<u8>, _>(index);
            let number = |index: &str| row.try_get::<i64, _>(index);
            let path = path_of(&bytes("root")?).join(path_of(&bytes("path")?));
            let fingerprint = Fingerprint {
                size: number("size")?.cast_unsigned(),
                modified_ns: number("modified_ns")?,
                inode: number("inode")?.cast_unsigned(),
            };
            copies.push((path, fingerprint, content));
        }
        Ok(copies)
    }

    /// Where disks were mounted below a folder when something was agreed on.
    pub async fn sync_mounts(&self, folder: i64) -> Result<BTreeSet<RelativePath>, CatalogError> {
        let query = sqlx::query_scalar("SELECT path FROM sync_mounts WHERE folder = $1").bind(folder);
        Ok(query.fetch_all(&self.pool).await?.into_iter().collect())
    }

    /// Remembers where disks are mounted.
    pub async fn add_sync_mounts(
        &self,
        folder: i64,
        places: &BTreeSet<RelativePath>,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        for place in places {
            let text = "INSERT OR IGNORE INTO sync_mounts (folder, path) VALUES ($1, $2)";
            sqlx::query(text).bind(folder).bind(place).execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// How many pictures a folder and the vault have in common, and how many tombstones there are.
    pub async fn sync_counts(&self, folder: i64) -> Result<(i64, i64), CatalogError> {
        let text = "SELECT coalesce(sum(state = 'synced'), 0), coalesce(sum(state = 'deleted'), 0)
            FROM sync_base WHERE folder = $1";
        Ok(sqlx::query_as(text).bind(folder).fetch_one(&self.pool).await?)
    }

    /// Writes down what a step came to, unless the folder was taken over under another marker since that was read of it: then what both sides had is
    /// nothing that they have. What is known of the assets below the root goes along: nobody relies on a path that leads nowhere.
    pub async fn record_sync(
        &self,
        (folder, marker): (i64, &str),
        root: &[u8],
        changes: &BaseChanges,
    ) -> Result<(), CatalogError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut transaction = self.write().await?;
        let text = "SELECT EXISTS (SELECT 1 FROM sync_folders WHERE id = $1 AND marker = $2)";
        if !sqlx::query_scalar::<_, bool>(text).bind(folder).bind(marker).fetch_one(&mut *transaction).await?
        {
            return Ok(());
        }
        for (path, from) in &changes.moved {
            let text = "UPDATE OR REPLACE assets SET path = $3 WHERE root = $1 AND path = $2";
            sqlx::query(text).bind(root).bind(from).bind(path).execute(&mut *transaction).await?;
        }
        let buried = changes.put.iter().filter(|(_, row)| matches!(row.base, Base::Deleted(_)));
        for path in buried.map(|(path, _)| path).chain(&changes.dropped) {
            let text = "DELETE FROM assets WHERE root = $1 AND path = $2";
            sqlx::query(text).bind(root).bind(path).execute(&mut *transaction).await?;
        }
        for path in &changes.dropped {
            let text = "DELETE FROM sync_base WHERE folder = $1 AND path = $2";
            sqlx::query(text).bind(folder).bind(path).execute(&mut *transaction).await?;
        }
        let rows: Vec<_> = changes.put.iter().collect();
        for rows in rows.chunks(ROWS) {
            let values = vec!["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"; rows.len()].join(", ");
            let text = format!(
                "INSERT OR REPLACE INTO sync_base (folder, path, state, content, size, file, version, inode, born_ns,
                    modified_ns, changed_ns, absent_since) VALUES {values}"
            );
            let mut query = sqlx::query(AssertSqlSafe(text));
            for (path, row) in rows {
                let (state, content, file, version, absent_since) = match row.base {
                    Base::Synced(agreed) => {
                        ("synced", agreed.content, agreed.file, agreed.version, agreed.absent_since)
                    }
                    Base::Deleted(buried) => ("deleted", buried.content, buried.file, buried.version, None),
                };
                query = query
                    .bind(folder)
                    .bind((*path).clone())
                    .bind(state)
                    .bind(content.to_string())
                    .bind(row.stat.size.cast_signed())
                    .bind(file.0)
                    .bind(version.0)
                    .bind(row.stat.disk.inode.cast_signed())
                    .bind(row.stat.disk.born_ns)
                    .bind(row.stat.modified_ns)
                    .bind(row.stat.changed_ns)
                    .bind(absent_since);
            }
            query.execute(&mut *transaction).await?;
        }
        thumbnails::follow(&mut transaction, root, changes).await?;
        record_detached(&mut transaction, folder, changes).await?;
        Ok(transaction.commit().await?)
    }

    /// What the vault has of these contents. A file's version is what conditions on it are compared with. Where several live files have one
    /// content, it is the one that the folder has agreed on, or has a tombstone of; else the first.
    pub async fn remotes(
        &self,
        owner: AccountId,
        folder: i64,
        contents: impl IntoIterator<Item = ContentHash>,
    ) -> Result<HashMap<ContentHash, Remote>, CatalogError> {
        let contents: Vec<ContentHash> = contents.into_iter().collect();
        let mut remotes = HashMap::with_capacity(contents.len());
        for chunk in contents.chunks(CONTENTS) {
            self.deleted_remotes(chunk, &mut remotes).await?;
            self.live_remotes((owner, folder), chunk, &mut remotes).await?;
        }
        Ok(remotes)
    }

    /// What these files are in the vault now, of those that are live.
    pub async fn contents_of_files(
        &self,
        owner: AccountId,
        files: &[FileId],
    ) -> Result<HashMap<FileId, ContentHash>, CatalogError> {
        let mut contents = HashMap::new();
        for chunk in files.chunks(CONTENTS) {
            let marks = vec!["?"; chunk.len()].join(", ");
            let text = format!(
                "SELECT files.file, files.content_hash FROM files JOIN collections ON collections.id = files.collection
                 WHERE files.owner = ? AND collections.owner = files.owner AND files.deleted = 0 AND collections.deleted = 0
                   AND files.file IN ({marks})"
            );
            let mut query = sqlx::query(AssertSqlSafe(text)).bind(owner.0);
            for file in chunk {
                query = query.bind(file.0);
            }
            for row in query.fetch_all(&self.pool).await? {
                let Some(content) = content_hash_of(&row)? else { continue };
                contents.insert(FileId(row.try_get("file")?), content);
            }
        }
        Ok(contents)
    }

    async fn deleted_remotes(
        &self,
        contents: &[ContentHash],
        remotes: &mut HashMap<ContentHash, Remote>,
    ) -> Result<(), CatalogError> {
        let marks = vec!["?"; contents.len()].join(", ");
        // What can still be restored comes last, and wins.
        let text = format!(
            "SELECT content_hash, file, purged, version FROM trash WHERE restored = 0 AND content_hash IN ({marks})
             ORDER BY purged DESC, trashed_at, file"
        );
        let mut query = sqlx::query(AssertSqlSafe(text));
        for content in contents {
            query = query.bind(content.to_string());
        }
        for row in query.fetch_all(&self.pool).await? {
            let Some(content) = content_hash_of(&row)? else { continue };
            let remote = if row.try_get("purged")? {
                Remote::Purged
            } else {
                Remote::Trash {
                    file: FileId(row.try_get("file")?),
                    version: Version(row.try_get("version")?),
                }
            };
            remotes.insert(content, remote);
        }
        Ok(())
    }

    /// The version at which the last deletion of each of these contents was recorded. That of a purge when the trash's time was
    /// up is nobody's decision: there it is the time of the deletion, by the same clock of the server's.
    pub async fn deletions(
        &self,
        contents: impl IntoIterator<Item = ContentHash>,
    ) -> Result<HashMap<ContentHash, Version>, CatalogError> {
        let contents: Vec<ContentHash> = contents.into_iter().collect();
        let mut deletions = HashMap::new();
        for chunk in contents.chunks(CONTENTS) {
            let marks = vec!["?"; chunk.len()].join(", ");
            let text = format!(
                "SELECT content_hash, max(CASE WHEN purged AND version >= delete_by
                     THEN min(trashed_at, version) ELSE version END) AS version FROM trash
                 WHERE restored = 0 AND content_hash IN ({marks}) GROUP BY content_hash"
            );
            let mut query = sqlx::query(AssertSqlSafe(text));
            for content in chunk {
                query = query.bind(content.to_string());
            }
            for row in query.fetch_all(&self.pool).await? {
                let Some(content) = content_hash_of(&row)? else { continue };
                deletions.insert(content, Version(row.try_get("version")?));
            }
        }
        Ok(deletions)
    }

    async fn live_remotes(
        &self,
        (owner, folder): (AccountId, i64),
        contents: &[ContentHash],
        remotes: &mut HashMap<ContentHash, Remote>,
    ) -> Result<(), CatalogError> {
        let text = live_text(contents.len());
        let mut query = sqlx::query(AssertSqlSafe(text)).bind(folder).bind(owner.0);
        let contents: Vec<String> = contents.iter().map(ToString::to_string).collect();
        for content in &contents {
            query = query.bind(content.chars().take(8).collect::<String>());
        }
        for content in contents {
            query = query.bind(content);
        }
        for row in query.fetch_all(&self.pool).await? {
            let Some(content) = content_hash_of(&row)? else { continue };
            let live = Remote::Live {
                file: FileId(row.try_get("file")?),
                version: Version(row.try_get("version")?),
                taken: row.try_get("taken")?,
            };
            remotes.insert(content, live);
        }
        Ok(())
    }

    /// Files of an album of which a folder knows nothing. Live Photos are two files each, and are not among them.
    pub async fn sync_arrivals(
        &self,
        folder: i64,
        owner: AccountId,
        album: CollectionId,
    ) -> Result<Vec<Arrival>, CatalogError> {
        let text = "SELECT content_hash, file, title, object_size FROM files
             WHERE collection = $1 AND owner = $2 AND deleted = 0 AND title IS NOT NULL AND kind <> 2
               AND content_hash IS NOT NULL AND instr(content_hash, ':') = 0
               AND NOT EXISTS (SELECT 1 FROM sync_base WHERE folder = $3 AND content = content_hash)
               AND NOT EXISTS (SELECT 1 FROM sync_detached WHERE folder = $3 AND content = content_hash)
               AND NOT EXISTS (SELECT 1 FROM sync_detached_files AS detached
                   WHERE detached.folder = $3 AND detached.file = files.file)
             ORDER BY file";
        let rows = sqlx::query(text).bind(album.0).bind(owner.0).bind(folder).fetch_all(&self.pool).await?;
        let mut arrivals = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(content) = content_hash_of(&row)? else { continue };
            let file = FileId(row.try_get("file")?);
            let (title, object_size) = (row.try_get("title")?, row.try_get("object_size")?);
            arrivals.push(Arrival { file, content, title, object_size });
        }
        Ok(arrivals)
    }
}

/// What a folder let go of, and what it has again of that.
async fn record_detached(
    connection: &mut SqliteConnection,
    folder: i64,
    changes: &BaseChanges,
) -> Result<(), CatalogError> {
    let text = "SELECT file FROM sync_detached_files WHERE folder = $1";
    let detached: Vec<i64> = sqlx::query_scalar(text).bind(folder).fetch_all(&mut *connection).await?;
    let detached: BTreeSet<i64> = detached.into_iter().collect();
    let has = |row: &BaseRow| match row.base {
        Base::Synced(agreed) if agreed.absent_since.is_none() => Some(agreed.file.0),
        _ => None,
    };
    for file in changes.put.values().filter_map(has).filter(|file| detached.contains(file)) {
        let text = "DELETE FROM sync_detached_files WHERE folder = $1 AND file = $2";
        sqlx::query(text).bind(folder).bind(file).execute(&mut *connection).await?;
    }
    for (file, content) in &changes.detached_files {
        let text = "INSERT OR IGNORE INTO sync_detached_files (folder, file) SELECT $1, $2 WHERE NOT EXISTS (
                 SELECT 1 FROM sync_base INDEXED BY sync_base_by_content
                 WHERE folder = $1 AND content = $3 AND file = $2 AND state = 'synced')";
        let query = sqlx::query(text).bind(folder).bind(file.0).bind(content.to_string());
        query.execute(&mut *connection).await?;
    }
    for content in &changes.detached {
        let text = "INSERT OR IGNORE INTO sync_detached (folder, content) VALUES ($1, $2)";
        sqlx::query(text).bind(folder).bind(content.to_string()).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Live files with one of so many contents, and whether a folder has agreed on them. The planner takes the folder's whole base for a short way where
/// it is not told which index to use.
pub(super) fn live_text(contents: usize) -> String {
    let marks = vec!["?"; contents].join(", ");
    // What comes last wins: 'synced' comes after 'deleted', and both after nothing.
    format!(
        "SELECT files.content_hash, files.file, min(files.taken) AS taken,
             (SELECT max(state) FROM sync_base INDEXED BY sync_base_by_content
              WHERE folder = ? AND content = files.content_hash AND file = files.file) AS agreed,
             (SELECT max(every.version) FROM files AS every JOIN collections AS live ON live.id = every.collection
              WHERE every.file = files.file AND live.deleted = 0) AS version
         FROM files JOIN collections ON collections.id = files.collection
         WHERE files.owner = ? AND collections.owner = files.owner AND files.deleted = 0 AND collections.deleted = 0
           AND substr(files.content_hash, 1, 8) IN ({marks}) AND files.content_hash IN ({marks})
         GROUP BY files.file ORDER BY agreed, files.file DESC"
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::{catalog, collection, file};
    use super::super::{ChangedRows, Feed, FileRow};
    use super::*;

    /// An earlier release wrote contents down, and not which files they are of.
    #[tokio::test]
    async fn what_was_let_go_of_before_the_upgrade_is_known_by_its_file() {
        let (_folder, catalog) = catalog().await;
        let [gone, here, other] = [&b"gone"[..], b"here", b"other"].map(ContentHash::of);
        let of = |id, content| FileRow { content_hash: Some(content), ..file(id, 1, 4) };
        let ended = FileRow { deleted: true, ..of(4, gone) };
        let files = vec![of(1, gone), of(2, here), of(3, other), ended];
        let collections = vec![collection(1, "Phone", 3)];
        let rows = ChangedRows { collections, files, trash: Vec::new() };
        catalog.apply_changes(&rows, Feed::Account, Version(4)).await.unwrap();
        let before = format!(
            "INSERT INTO sync_folders (id, path, marker, album, direction, trash, paused, added)
                 VALUES (1, CAST('/p' AS BLOB), 'm', 'a', 'both', CAST('/t' AS BLOB), 0, 0);
             INSERT INTO sync_detached (folder, content) VALUES (1, '{gone}'), (1, '{here}');
             INSERT INTO sync_base (folder, path, state, content, size, file, version, inode, born_ns, modified_ns, changed_ns)
                 VALUES (1, CAST('again.jpg' AS BLOB), 'synced', '{here}', 1, 2, 4, 1, 1, 1, 1)"
        );
        let upgrade = include_str!("../../migrations/0030_files_of_what_was_let_go.sql");
        for text in [before, upgrade.to_owned()] {
            sqlx::raw_sql(AssertSqlSafe(text)).execute(&catalog.pool).await.unwrap();
        }
        let query = sqlx::query_as("SELECT folder, file FROM sync_detached_files");
        let known: Vec<(i64, i64)> = query.fetch_all(&catalog.pool).await.unwrap();
        assert_eq!(known, [(1, 1)]);
    }
}
