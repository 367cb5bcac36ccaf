//! A server that was set back to an older state, as a restored backup of its database is: what shows it, and what becomes of the mirror then.
//!
//! A server never takes back what it told: rows of the feed only ever move to later versions. So what this device heard of last must still be
//! there ([`Witness`]). Where it is not, the mirror is put aside and read anew from the beginning. At the end both are compared: what the server
//! no longer has is forgotten, so that it is sent again. What its owner had deleted for good stays known as that, under a number that is
//! no file's: numbers are given again by a server that was set back, so that nothing here relies on them alone.

use darkslide_protocol::{AccountId, CollectionId, FileId, Opaque, Version};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _, SqliteConnection};

use super::{Catalog, CatalogError, Feed, cursor};

/// How much of what was heard of last is asked for again: it would all have to be done again elsewhere for a loss to be overlooked.
const WITNESSES: i64 = 4;

/// How many memberships may lie behind a witness, most of them in albums of others, before it is asked for by itself.
const LOOKED_THROUGH: i64 = 64;

/// What is said of a file that is to be sent again.
const LOST: &str =
    "the server lost it when it was set back to an older state; the next backup sends it again";

/// A server that was set back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, FromRow)]
#[serde(rename_all = "camelCase")]
pub struct SetBack {
    /// When that was noticed, µs since the epoch.
    pub noticed: i64,
    /// Pictures that it had and does not have any more.
    pub lost: i64,
    /// Of these, those that were on this computer when they were last looked at.
    pub here: i64,
    /// Pictures that had been deleted since, and are there again.
    pub undone: i64,
}

impl std::fmt::Display for SetBack {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { lost, here, undone, .. } = *self;
        let pictures = |count| if count == 1 { "1 picture".to_owned() } else { format!("{count} pictures") };
        let again = |formatter: &mut std::fmt::Formatter<'_>, before: &str| {
            let are = if undone == 1 { "is" } else { "are" };
            write!(formatter, "{before}{} that you had deleted {are} there again", pictures(undone))
        };
        formatter.write_str("the server was set back to an older state")?;
        if lost == 0 {
            return again(formatter, ": ");
        }
        write!(formatter, " and lost {} that it had; ", pictures(lost))?;
        match lost - here {
            0 => formatter.write_str("all of that is on this computer, and is sent again")?,
            _ => write!(
                formatter,
                "{here} of that on this computer, to be sent again: let your other devices back up, too"
            )?,
        }
        if undone > 0 { again(formatter, "; ") } else { Ok(()) }
    }
}

/// Where the server keeps a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A file in a collection.
    Membership(CollectionId, FileId),
    /// A file in the trash, or one that was there.
    Trash(FileId),
    /// A collection.
    Collection(CollectionId),
}

/// A row that the server told, and must still have, at this version or a later one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Which.
    pub place: Place,
    /// The collection whose key wraps the file's; or the collection itself.
    pub collection: CollectionId,
    /// The file's key, or the collection's.
    pub encrypted_key: Opaque,
    /// Its nonce.
    pub key_nonce: Opaque,
    /// Its version.
    pub version: Version,
}

impl FromRow<'_, SqliteRow> for Witness {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let (collection, file) = (CollectionId(row.try_get("collection")?), FileId(row.try_get("file")?));
        let kind: i64 = row.try_get("kind")?;
        Ok(Self {
            place: match kind {
                0 => Place::Membership(collection, file),
                1 => Place::Trash(file),
                _ => Place::Collection(collection),
            },
            collection,
            encrypted_key: Opaque(row.try_get("encrypted_key")?),
            key_nonce: Opaque(row.try_get("key_nonce")?),
            version: Version(row.try_get("version")?),
        })
    }
}

impl Catalog {
    /// What was heard of last, up to a version, of the account's own files in its own collections; the newest first. There is some wherever
    /// the mirror has any.
    pub async fn witnesses(&self, owner: AccountId, until: Version) -> Result<Vec<Witness>, CatalogError> {
        Ok(sqlx::query_as(NEWEST).bind(owner.0).bind(until.0).bind(WITNESSES).fetch_all(&self.pool).await?)
    }

    /// The account's own collections that were heard of last, from one version up to another. The server may have moved one of them since with
    /// what this device did, and that need not have come here: so it comes at this version or any later one.
    pub async fn collection_witnesses(
        &self,
        owner: AccountId,
        from: Version,
        until: Version,
    ) -> Result<Vec<Witness>, CatalogError> {
        Ok(sqlx::query_as(NEWEST_COLLECTIONS)
            .bind(owner.0)
            .bind(from.0)
            .bind(until.0)
            .bind(WITNESSES)
            .fetch_all(&self.pool)
            .await?)
    }

    /// Whether more memberships lie from one version up to another, whosever they are, than should come again with every pull.
    pub async fn lies_far_back(&self, from: Version, until: Version) -> Result<bool, CatalogError> {
        let between: i64 = sqlx::query_scalar(BETWEEN)
            .bind(from.0)
            .bind(until.0)
            .bind(LOOKED_THROUGH + 1)
            .fetch_one(&self.pool)
            .await?;
        Ok(between > LOOKED_THROUGH)
    }

    /// How far the mirror was read anew, where that is under way.
    pub async fn read_anew_to(&self) -> Result<Option<Version>, CatalogError> {
        let text = "SELECT version FROM cursors WHERE feed = $1";
        let version = sqlx::query_scalar(text).bind(Feed::Anew.key()).fetch_optional(&self.pool).await?;
        Ok(version.map(Version))
    }

    /// Puts the mirror aside: from here on it is read anew. Nothing happens where that is under way already.
    pub async fn begin_anew(&self) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        let text = "INSERT OR IGNORE INTO cursors (feed, version) VALUES ($1, 0)";
        let begun = sqlx::query(text).bind(Feed::Anew.key()).execute(&mut *transaction).await?;
        if begun.rows_affected() > 0 {
            for text in PUT_ASIDE {
                sqlx::query(text).execute(&mut *transaction).await?;
            }
        }
        Ok(transaction.commit().await?)
    }

    /// Ends what [`begin_anew`](Self::begin_anew) began: the mirror is whole up to this version. Says what was lost; `None` where nothing was,
    /// or another process was faster. `now` in µs since the epoch.
    pub async fn end_anew(
        &self,
        owner: AccountId,
        reached: Version,
        now: i64,
    ) -> Result<Option<SetBack>, CatalogError> {
        let mut transaction = self.write().await?;
        let text = "DELETE FROM cursors WHERE feed = $1";
        let ended = sqlx::query(text).bind(Feed::Anew.key()).execute(&mut *transaction).await?;
        if ended.rows_affected() == 0 {
            return Ok(None);
        }
        let set_back = compare(&mut transaction, owner, now).await?;
        cursor::store(&mut transaction, Feed::Account, reached).await?;
        transaction.commit().await?;
        Ok((set_back.lost > 0 || set_back.undone > 0).then_some(set_back))
    }

    /// The last time that the server was set back, if that was noticed at this time or later, µs since the epoch.
    pub async fn last_set_back(&self, since: i64) -> Result<Option<SetBack>, CatalogError> {
        let text = "SELECT * FROM set_backs WHERE noticed >= $1 ORDER BY noticed DESC LIMIT 1";
        Ok(sqlx::query_as(text).bind(since).fetch_optional(&self.pool).await?)
    }
}

/// Compares the mirror with the one that was put aside, and lets go of that.
async fn compare(
    connection: &mut SqliteConnection,
    owner: AccountId,
    now: i64,
) -> Result<SetBack, CatalogError> {
    for text in REMEMBER {
        sqlx::query(text).execute(&mut *connection).await?;
    }
    sqlx::query(LOSSES).bind(owner.0).execute(&mut *connection).await?;
    let (lost, here): (i64, i64) = sqlx::query_as(COUNTS).fetch_one(&mut *connection).await?;
    let undone: i64 = sqlx::query_scalar(UNDONE).bind(owner.0).fetch_one(&mut *connection).await?;
    sqlx::query(TO_BE_SENT).bind(LOST).execute(&mut *connection).await?;
    for text in LET_GO {
        sqlx::query(text).execute(&mut *connection).await?;
    }
    if lost == 0 && undone == 0 {
        return Ok(SetBack::default());
    }
    // Twice in a microsecond is once.
    sqlx::query("INSERT OR REPLACE INTO set_backs (noticed, lost, here, undone) VALUES ($1, $2, $3, $4)")
        .bind(now)
        .bind(lost)
        .bind(here)
        .bind(undone)
        .execute(connection)
        .await?;
    Ok(SetBack { noticed: now, lost, here, undone })
}

/// Numbers below 0 are no file's. The index is gone through from the newest on, and says of each whose it is: what others have shared is not read.
pub(super) const NEWEST: &str = "SELECT * FROM (
         SELECT * FROM (
             SELECT 0 AS kind, files.collection, files.file, files.encrypted_key, files.key_nonce, files.version
             FROM files INDEXED BY files_by_version CROSS JOIN collections ON collections.id = files.collection
             WHERE files.owner = $1 AND files.version <= $2 AND collections.owner = $1
             ORDER BY files.version DESC LIMIT $3)
         UNION ALL SELECT * FROM (
             SELECT 1 AS kind, collection, file, encrypted_key, key_nonce, version FROM trash
             WHERE version <= $2 AND file > 0
             ORDER BY version DESC LIMIT $3))
     ORDER BY version DESC LIMIT $3";

const NEWEST_COLLECTIONS: &str =
    "SELECT 2 AS kind, id AS collection, 0 AS file, encrypted_key, coalesce(key_nonce, '') AS key_nonce, version
     FROM collections WHERE owner = $1 AND version >= $2 AND version <= $3
     ORDER BY version DESC LIMIT $4";

pub(super) const BETWEEN: &str =
    "SELECT count(*) FROM (SELECT 1 FROM files WHERE version > $1 AND version <= $2 LIMIT $3)";

const PUT_ASIDE: [&str; 9] = [
    "CREATE TABLE files_before AS SELECT * FROM files",
    "CREATE INDEX files_before_by_file ON files_before (file)",
    "CREATE TABLE trash_before AS SELECT * FROM trash",
    "CREATE TABLE collections_before AS SELECT * FROM collections",
    "CREATE INDEX collections_before_by_id ON collections_before (id)",
    "DELETE FROM files",
    "DELETE FROM trash",
    "DELETE FROM collections",
    "DELETE FROM cursors WHERE feed <> 'anew'",
];

/// What tombstones no longer say, where they are the same; and what was deleted for good, if only this device still knows.
const REMEMBER: [&str; 3] = [
    "UPDATE files SET title = coalesce(files.title, before.title),
         content_hash = coalesce(files.content_hash, before.content_hash),
         metadata = coalesce(files.metadata, before.metadata),
         public_metadata = coalesce(files.public_metadata, before.public_metadata),
         private_metadata = coalesce(files.private_metadata, before.private_metadata)
     FROM files_before AS before
     WHERE files.deleted = 1 AND before.file = files.file AND before.collection = files.collection
         AND before.version = files.version",
    "UPDATE trash SET title = coalesce(trash.title, before.title),
         content_hash = coalesce(trash.content_hash, before.content_hash)
     FROM trash_before AS before WHERE before.file = trash.file AND before.version = trash.version",
    "INSERT OR IGNORE INTO trash SELECT -abs(before.file), before.collection, before.encrypted_key, before.key_nonce,
         before.title, before.content_hash, before.object_size, before.trashed_at, before.delete_by, 0, 1, before.version
     FROM trash_before AS before
     WHERE before.purged = 1 AND before.restored = 0 AND before.content_hash IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM trash WHERE trash.file = before.file AND trash.version = before.version)",
];

/// Contents that the account had live files of, and that are in none now, nor in the trash.
const LOSSES: &str = "CREATE TEMP TABLE losses AS
     SELECT DISTINCT before.content_hash AS content FROM files_before AS before
     JOIN collections_before ON collections_before.id = before.collection
     WHERE before.owner = $1 AND collections_before.owner = $1 AND before.deleted = 0 AND collections_before.deleted = 0
         AND before.content_hash IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM files JOIN collections ON collections.id = files.collection
             WHERE substr(files.content_hash, 1, 8) = substr(before.content_hash, 1, 8)
                 AND files.content_hash = before.content_hash AND files.deleted = 0 AND collections.deleted = 0)
         AND NOT EXISTS (SELECT 1 FROM trash WHERE trash.content_hash = before.content_hash
             AND trash.restored = 0 AND trash.purged = 0)";

const COUNTS: &str = "SELECT count(*), coalesce(sum(EXISTS (
         SELECT 1 FROM assets WHERE substr(assets.content_hash, 1, 8) = substr(content, 1, 8)
             AND assets.content_hash = content AND assets.state = 'backed_up')), 0)
     FROM losses";

/// Contents that the account had deleted, and has live files of now.
const UNDONE: &str = "SELECT count(DISTINCT before.content_hash) FROM trash_before AS before
     WHERE before.restored = 0 AND before.content_hash IS NOT NULL
         AND before.content_hash NOT IN (
             SELECT content_hash FROM files_before WHERE deleted = 0 AND content_hash IS NOT NULL)
         AND EXISTS (SELECT 1 FROM files JOIN collections ON collections.id = files.collection
             WHERE substr(files.content_hash, 1, 8) = substr(before.content_hash, 1, 8)
                 AND files.content_hash = before.content_hash AND files.owner = $1
                 AND files.deleted = 0 AND collections.deleted = 0)";

/// Assets whose content was lost, and those whose file is not there any more, or is another one with its number.
const TO_BE_SENT: &str = "UPDATE assets SET state = 'blocked', reason = $1, file = NULL
     WHERE state = 'backed_up' AND (content_hash IN (SELECT content FROM losses)
         OR NOT EXISTS (SELECT 1 FROM files LEFT JOIN files_before AS before
             ON before.file = files.file AND before.collection = files.collection
                 AND before.encrypted_key = files.encrypted_key
             WHERE files.file = assets.file
                 AND (files.content_hash = assets.content_hash OR before.file IS NOT NULL)))";

/// What is only of use with what is not there any more.
const LET_GO: [&str; 12] = [
    "DELETE FROM thumbnails_due WHERE NOT EXISTS (SELECT 1 FROM files JOIN files_before AS before
         ON before.file = files.file AND before.collection = files.collection
             AND before.encrypted_key = files.encrypted_key
         WHERE files.file = thumbnails_due.file)",
    "DELETE FROM sync_detached_files WHERE NOT EXISTS (SELECT 1 FROM files JOIN files_before AS before
         ON before.file = files.file AND before.collection = files.collection
             AND before.encrypted_key = files.encrypted_key
         WHERE files.file = sync_detached_files.file)",
    "DELETE FROM receipts WHERE file NOT IN (SELECT file FROM files)",
    "DELETE FROM damaged_files WHERE file NOT IN (SELECT file FROM files)",
    "DELETE FROM device_albums WHERE NOT EXISTS (SELECT 1 FROM collections JOIN collections_before AS before
         ON before.id = collections.id AND before.encrypted_key = collections.encrypted_key
         WHERE collections.id = device_albums.collection)",
    "DELETE FROM uploads",
    "DELETE FROM resumable_uploads",
    "DELETE FROM head_starts",
    "DROP TABLE temp.losses",
    "DROP TABLE files_before",
    "DROP TABLE trash_before",
    "DROP TABLE collections_before",
];
