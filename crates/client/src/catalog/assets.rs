//! The assets of the folder libraries: what each was when it was last dealt with, and how that ended.

use darkslide_crypto::ContentHash;
use darkslide_media::probe::micros_of;
use darkslide_protocol::{FileId, Opaque};
use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, FromRow, Row, SqliteConnection, sqlite::SqliteRow};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::slice;
use std::time::SystemTime;

#[cfg(test)]
use super::absent::{FIRST_SEEN, HOLDERS};
use super::changes::{ROWS, placeholders, statement};
use super::files::{self, content_hash_of};
use super::{Catalog, CatalogError, DeviceAlbumKey, FileRow, Spans, cursor, thumbnails};
use crate::library::selection::Reach;
use crate::library::{path_of, raw};

/// What tells, at the price of one `stat`, that a file's bytes are what they were. The change time is not in it:
/// it moves with every rename and change of rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the epoch.
    pub modified_ns: i64,
    /// The disk's own number for it; 0 where there is none.
    pub inode: u64,
}

/// The modification time of no file.
const NEVER_NS: i64 = i64::MIN + 1;

/// How the last run left an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AssetState {
    /// Its content is in the vault, in the file that the row names.
    BackedUp,
    /// Left alone by a rule of the backup.
    Skipped,
    /// Neither a picture nor a video.
    NotMedia,
    /// It did not work. Tried again in every run, or [after a pause](crate::backup::again).
    Blocked,
    /// The vault had no room for it. Tried again when there is some.
    NoRoom,
    /// In the vault, and removed from the device to free space.
    Freed,
}

impl AssetState {
    fn as_str(self) -> &'static str {
        match self {
            Self::BackedUp => "backed_up",
            Self::Skipped => "skipped",
            Self::NotMedia => "not_media",
            Self::Blocked => "blocked",
            Self::NoRoom => "no_room",
            Self::Freed => "freed",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::BackedUp, Self::Skipped, Self::NotMedia, Self::Blocked, Self::NoRoom, Self::Freed]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// Something that fails as it is. Moments are of the device's own clock, µs since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Failing {
    /// When it failed first.
    pub since: i64,
    /// When it failed last.
    pub last: i64,
}

/// One asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetRow {
    /// The library's root, raw bytes.
    pub root: Vec<u8>,
    /// The path under the root, raw bytes: of the still, where the asset is a Live Photo.
    pub path: Vec<u8>,
    /// What the file was.
    pub fingerprint: Fingerprint,
    /// A Live Photo's video: its path under the root, and what it was.
    pub motion: Option<(Vec<u8>, Fingerprint)>,
    /// The device album that it was in.
    pub album: DeviceAlbumKey,
    /// The content that was seen; none when it could not be read.
    pub content_hash: Option<ContentHash>,
    /// The file in the vault.
    pub file: Option<FileId>,
    /// How it ended.
    pub state: AssetState,
    /// Why, for people; none when it is backed up and nothing [is owed](Self::is_owed_more) to it.
    pub reason: Option<String>,
    /// When this content was first seen at this path, µs since the epoch.
    pub first_seen: i64,
    /// When a run last dealt with it, µs since the epoch.
    pub last_seen: i64,
    /// Of what is blocked and not worth trying in every run, since when. What is written as the beginning counts only where it did not fail as it
    /// is before.
    pub failing: Option<Failing>,
}

/// Files that were just made, and what they were made of, in the same order.
#[derive(Clone, Debug, Default)]
pub struct UploadedRows {
    /// The files.
    pub files: Vec<FileRow>,
    /// The assets.
    pub assets: Vec<AssetRow>,
    /// Those of the files whose thumbnails are still to be made, and the stream headers of the originals that these are to be of.
    pub thumbnails_due: HashMap<FileId, Opaque>,
}

impl AssetRow {
    /// Whether it is in the vault and on the device.
    pub fn is_backed_up(&self) -> bool {
        self.state == AssetState::BackedUp
    }

    /// Whether it is in the vault, and what its sidecar says is not passed on yet.
    pub fn is_owed_more(&self) -> bool {
        self.is_backed_up() && self.reason.is_some()
    }

    /// Whether all that [`SettledRow`] says is true of it.
    pub fn is_settled(&self) -> bool {
        let AssetRow { state, motion, content_hash, file, .. } = self;
        *state == AssetState::BackedUp && motion.is_none() && content_hash.is_some() && file.is_some()
    }

    /// The whole path of the file, or of the still.
    pub fn whole_path(&self) -> PathBuf {
        path_of(&self.root).join(path_of(&self.path))
    }
}

/// The little that must be known of an asset that is one file, is in the vault and is in its album: if the file is what it was, there is
/// nothing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledRow {
    /// The path under the root, raw bytes.
    pub path: Vec<u8>,
    /// What the file was.
    pub fingerprint: Fingerprint,
    /// The device album that it was in.
    pub album: AlbumMark,
    /// The file in the vault.
    pub file: FileId,
}

/// A device album's key as one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlbumMark(String);

impl AlbumMark {
    /// Of this key.
    pub fn of(key: &DeviceAlbumKey) -> Self {
        Self(format!("{}/{}", hex(&key.root), hex(&key.folder)))
    }
}

/// As SQLite's `hex` writes it.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0').to_ascii_uppercase();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

pub(super) fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

impl FromRow<'_, SqliteRow> for AssetRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let state: String = row.try_get("state")?;
        let unknown =
            || sqlx::Error::ColumnDecode { index: "state".to_owned(), source: state.clone().into() };
        Ok(Self {
            root: row.try_get("root")?,
            path: row.try_get("path")?,
            fingerprint: Fingerprint {
                size: row.try_get::<i64, _>("size")?.cast_unsigned(),
                modified_ns: row.try_get("modified_ns")?,
                inode: row.try_get::<i64, _>("inode")?.cast_unsigned(),
            },
            motion: motion_of(row)?,
            album: DeviceAlbumKey { root: row.try_get("album_root")?, folder: row.try_get("album_folder")? },
            content_hash: content_hash_of(row)?,
            file: row.try_get::<Option<i64>, _>("file")?.map(FileId),
            state: AssetState::parse(&state).ok_or_else(unknown)?,
            reason: row.try_get("reason")?,
            first_seen: row.try_get("first_seen")?,
            last_seen: row.try_get("last_seen")?,
            failing: failing_of(row)?,
        })
    }
}

fn failing_of(row: &SqliteRow) -> sqlx::Result<Option<Failing>> {
    let Some(since) = row.try_get("fails_since")? else { return Ok(None) };
    Ok(Some(Failing { since, last: row.try_get("failed_last")? }))
}

fn motion_of(row: &SqliteRow) -> sqlx::Result<Option<(Vec<u8>, Fingerprint)>> {
    let Some(path) = row.try_get("motion_path")? else { return Ok(None) };
    let fingerprint = Fingerprint {
        size: row.try_get::<i64, _>("motion_size")?.cast_unsigned(),
        modified_ns: row.try_get("motion_modified_ns")?,
        inode: row.try_get::<i64, _>("motion_inode")?.cast_unsigned(),
    };
    Ok(Some((path, fingerprint)))
}

impl Catalog {
    /// Every asset of one root.
    pub async fn assets(&self, root: &[u8]) -> Result<Vec<AssetRow>, CatalogError> {
        Ok(sqlx::query_as("SELECT * FROM assets WHERE root = $1").bind(root).fetch_all(&self.pool).await?)
    }

    /// The next assets of a part of a root that are [settled](SettledRow) and no other's video, in the order of their paths, and at most so
    /// many.
    pub async fn settled_assets(
        &self,
        root: &[u8],
        (folder, reach): (&Path, Reach),
        after: &[u8],
        limit: u32,
    ) -> Result<Vec<SettledRow>, CatalogError> {
        let part = Part::of(folder);
        let query = sqlx::query_scalar(SETTLED).bind(root).bind(part.from.as_slice().max(after)).bind(limit);
        let query = query.bind(part.to).bind(reach == Reach::Below).bind(part.names_at).bind(part.separator);
        let text: String = query.fetch_one(&self.pool).await?;
        let damaged = || CatalogError::Damaged { what: "list of assets" };
        let rows: Vec<(&str, u64, i64, i64, String, i64)> =
            serde_json::from_str(&text).map_err(|_| damaged())?;
        let row = |(path, size, modified_ns, inode, album, file): (&str, u64, i64, i64, String, i64)| {
            Some(SettledRow {
                path: bytes_of_hex(path)?,
                fingerprint: Fingerprint { size, modified_ns, inode: inode.cast_unsigned() },
                album: AlbumMark(album),
                file: FileId(file),
            })
        };
        rows.into_iter().map(row).collect::<Option<_>>().ok_or_else(damaged)
    }

    /// The assets that lie at these paths under a root.
    pub async fn assets_at(&self, root: &[u8], paths: &[Vec<u8>]) -> Result<Vec<AssetRow>, CatalogError> {
        let mut rows = Vec::new();
        for chunk in paths.chunks(ROWS) {
            let text =
                format!("SELECT * FROM assets WHERE root = ? AND path IN {}", placeholders(chunk.len()));
            let query =
                sqlx::query_as(AssertSqlSafe(text)).persistent(chunk.len() == ROWS).bind(root.to_vec());
            let query = chunk.iter().fold(query, |query, path| query.bind(path.clone()));
            rows.extend(query.fetch_all(&self.pool).await?);
        }
        Ok(rows)
    }

    /// Where the assets lie whose videos lie at these paths under a root.
    pub async fn stills_of(&self, root: &[u8], videos: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, CatalogError> {
        let mut stills = Vec::new();
        for chunk in videos.chunks(ROWS) {
            let text = format!("{STILLS_OF}{}", placeholders(chunk.len()));
            let query = sqlx::query_scalar(AssertSqlSafe(text)).persistent(chunk.len() == ROWS);
            let query = chunk.iter().fold(query.bind(root.to_vec()), |query, path| query.bind(path.clone()));
            stills.extend(query.fetch_all(&self.pool).await?);
        }
        Ok(stills)
    }

    /// Calls `each` with the assets of one folder under a root.
    pub async fn each_asset_of(
        &self,
        root: &[u8],
        folder: &Path,
        reach: Reach,
        mut each: impl FnMut(AssetRow),
    ) -> Result<(), CatalogError> {
        let part = Part::of(folder);
        let mut rows = sqlx::query_as::<_, AssetRow>(
            "SELECT * FROM assets WHERE root = $1 AND path >= $2 AND path < $3
                 AND ($4 OR instr(substr(path, $5), $6) = 0)",
        )
        .bind(root)
        .bind(part.from)
        .bind(part.to)
        .bind(reach == Reach::Below)
        .bind(part.names_at)
        .bind(part.separator)
        .fetch(&self.pool);
        while let Some(row) = rows.try_next().await? {
            each(row);
        }
        Ok(())
    }

    /// Some assets of a root that are in the vault, chosen at random.
    pub async fn some_assets(&self, root: &[u8], most: i64) -> Result<Vec<AssetRow>, CatalogError> {
        Ok(sqlx::query_as(
            "SELECT * FROM assets WHERE root = $1 AND state = 'backed_up' ORDER BY random() LIMIT $2",
        )
        .bind(root)
        .bind(most)
        .fetch_all(&self.pool)
        .await?)
    }

    /// Whether anything was ever seen under a root.
    pub async fn has_assets(&self, root: &[u8]) -> Result<bool, CatalogError> {
        Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM assets WHERE root = $1)")
            .bind(root)
            .fetch_one(&self.pool)
            .await?)
    }

    /// Whether anything should lie under a root: it was seen there, and not removed to free space.
    pub async fn expects_assets(&self, root: &[u8]) -> Result<bool, CatalogError> {
        Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM assets WHERE root = $1 AND state <> 'freed')")
            .bind(root)
            .fetch_one(&self.pool)
            .await?)
    }

    /// Whether there are assets for which the vault had no room, and which are still there as far as anybody has looked.
    pub async fn has_assets_without_room(&self) -> Result<bool, CatalogError> {
        Ok(sqlx::query_scalar(HAS_NO_ROOM).fetch_one(&self.pool).await?)
    }

    /// The assets that could not be backed up, of all roots; not those of folders that were taken off their lists since.
    pub async fn blocked_assets(&self) -> Result<Vec<AssetRow>, CatalogError> {
        Ok(sqlx::query_as(IN_TROUBLE).fetch_all(&self.pool).await?)
    }

    /// The asset that this file is, or is the video of.
    pub async fn asset(&self, root: &[u8], path: &[u8]) -> Result<Option<AssetRow>, CatalogError> {
        Ok(sqlx::query_as(AT_PATH).bind(root).bind(path).fetch_optional(&self.pool).await?)
    }

    /// The roots that assets were ever seen under, in their order.
    pub async fn asset_roots(&self) -> Result<Vec<Vec<u8>>, CatalogError> {
        Ok(sqlx::query_scalar(ROOTS).fetch_all(&self.pool).await?)
    }

    /// How many assets are in each state; of what is backed up, how many files it is, under however many names it is met. What its owner
    /// deleted from the vault counts as left alone, and what was seen to be gone from this device does not count.
    pub async fn asset_counts(&self) -> Result<Vec<(AssetState, i64)>, CatalogError> {
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT CASE WHEN state = 'backed_up' AND file IN (SELECT file FROM trash WHERE restored = 0)
                     THEN 'skipped' ELSE state END AS now, count(*), count(DISTINCT file)
                 FROM assets WHERE absent_since IS NULL GROUP BY now",
        )
        .fetch_all(&self.pool)
        .await?;
        let count_of = |(state, assets, files): (String, _, _)| {
            let state = AssetState::parse(&state)?;
            Some((state, if state == AssetState::BackedUp { files } else { assets }))
        };
        rows.into_iter()
            .map(count_of)
            .collect::<Option<_>>()
            .ok_or(CatalogError::Damaged { what: "asset state" })
    }

    /// Records files that were just made, ahead of the feed, and the assets that they were made of. Of the feed, what these files are
    /// the last to be known of need not be read.
    pub async fn record_uploads(
        &self,
        uploaded: &UploadedRows,
        spans: &mut Spans,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write_rows().await?;
        files::put_all(&mut transaction, &uploaded.files).await?;
        put_all(&mut transaction, &uploaded.assets).await?;
        for asset in &uploaded.assets {
            let due = asset.file.and_then(|file| Some((file, uploaded.thumbnails_due.get(&file)?)));
            if let Some((file, original)) = due {
                thumbnails::put(&mut transaction, file, original, asset).await?;
            }
        }
        cursor::advance(&mut transaction, spans).await?;
        Ok(transaction.commit().await?)
    }

    /// Records that assets that are in the vault were removed from the device to free space.
    pub async fn mark_freed(&self, root: &[u8], paths: &[Vec<u8>]) -> Result<(), CatalogError> {
        self.pass_on(root, paths, (AssetState::BackedUp, AssetState::Freed)).await
    }

    /// Takes that back: the originals are still there.
    pub async fn mark_not_freed(&self, root: &[u8], paths: &[Vec<u8>]) -> Result<(), CatalogError> {
        self.pass_on(root, paths, (AssetState::Freed, AssetState::BackedUp)).await
    }

    /// Has the next run read an asset again, although it looks as it did from outside: something else is in it.
    pub async fn doubt(&self, root: &[u8], path: &[u8]) -> Result<(), CatalogError> {
        let mut connection = self.pool.acquire().await?;
        let query = sqlx::query("UPDATE assets SET modified_ns = $3 WHERE root = $1 AND path = $2");
        query.bind(root).bind(path).bind(NEVER_NS).execute(&mut *connection).await?;
        Ok(())
    }

    async fn pass_on(
        &self,
        root: &[u8],
        paths: &[Vec<u8>],
        (from, to): (AssetState, AssetState),
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        for path in paths {
            let text = "UPDATE assets SET state = $4 WHERE root = $1 AND path = $2 AND state = $3";
            let query = sqlx::query(text).bind(root).bind(path).bind(from.as_str()).bind(to.as_str());
            query.execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Records how an asset was dealt with.
    pub async fn put_asset(&self, row: &AssetRow) -> Result<(), CatalogError> {
        let mut connection = self.pool.acquire().await?;
        put_all(&mut connection, slice::from_ref(row)).await
    }

    /// Records how some assets were dealt with, all or none.
    pub async fn put_assets(&self, rows: &[AssetRow]) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        put_all(&mut transaction, rows).await?;
        Ok(transaction.commit().await?)
    }
}

/// Where in the order of paths a folder's files are, and where their names begin, counted from 1.
pub(super) struct Part {
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
    pub(super) names_at: i64,
    pub(super) separator: Vec<u8>,
}

impl Part {
    pub(super) fn of(folder: &Path) -> Self {
        let separator = u8::try_from(std::path::MAIN_SEPARATOR).unwrap_or(b'/');
        let (mut from, mut to) = (raw(folder), raw(folder));
        if from.is_empty() {
            // Behind every path that a system takes.
            to.resize(1 << 15, 0xff);
        } else {
            from.push(separator);
            to.push(separator + 1);
        }
        let names_at = i64::try_from(from.len() + 1).unwrap_or(i64::MAX);
        Self { from, to, names_at, separator: vec![separator] }
    }
}

/// One row of text: a hundred thousand rows of their own cost a second to hand over.
pub(super) const SETTLED: &str =
    "SELECT json_group_array(json_array(hex(path), size, modified_ns, inode, album, file)) FROM (
         SELECT path, size, modified_ns, inode, hex(album_root) || '/' || hex(album_folder) AS album, file
         FROM assets
         WHERE root = $1 AND path > $2 AND path < $4 AND ($5 OR instr(substr(path, $6), $7) = 0)
           AND state = 'backed_up' AND motion_path IS NULL AND content_hash IS NOT NULL AND file IS NOT NULL
           AND absent_since IS NULL
           AND NOT EXISTS (SELECT 1 FROM assets AS unit
                           WHERE unit.root = assets.root AND unit.motion_path = assets.path)
         ORDER BY path LIMIT $3)";

/// Before a list of paths.
pub(super) const STILLS_OF: &str = "SELECT path FROM assets WHERE root = ? AND motion_path IN ";

pub(super) const AT_PATH: &str = "SELECT * FROM (
         SELECT * FROM assets WHERE root = $1 AND path = $2
         UNION ALL SELECT * FROM assets WHERE root = $1 AND motion_path = $2)
     ORDER BY last_seen DESC LIMIT 1";

/// What was in the vault before may have been gone in between, and be there again.
const HAS_NO_ROOM: &str =
    "SELECT EXISTS (SELECT 1 FROM assets WHERE state IN ('blocked', 'no_room') AND state = 'no_room' AND is_let_go = 0
         AND CASE WHEN EXISTS (SELECT 1 FROM libraries WHERE library = assets.root)
             THEN EXISTS (SELECT 1 FROM library_assets WHERE library = assets.root AND id = assets.path)
             ELSE absent_since IS NULL OR vault_content IS NOT NULL END)";

const IN_TROUBLE: &str =
    "SELECT * FROM assets WHERE state IN ('blocked', 'no_room') AND is_let_go = 0 ORDER BY root, path";

/// What is asked again and again, however much there is: none of it reads a table from one end to the other.
#[cfg(test)]
pub(super) const ASKED: [&str; 11] = [
    HAS_NO_ROOM,
    IN_TROUBLE,
    ROOTS,
    AT_PATH,
    FIRST_SEEN,
    HOLDERS,
    super::in_vault::BEFORE_MOVE,
    super::in_vault::PAIR_BEFORE_MOVE,
    super::in_vault::AS_VIDEO,
    super::trash::WITH_STILL,
    super::trash::WITH_VIDEO,
];

/// One look for each root, however many assets it has.
const ROOTS: &str = "WITH RECURSIVE roots (root) AS (
    SELECT min(root) FROM assets
    UNION ALL SELECT (SELECT min(root) FROM assets WHERE assets.root > roots.root) FROM roots WHERE roots.root IS NOT NULL)
    SELECT root FROM roots WHERE root IS NOT NULL";

const COLUMNS: usize = 20;

const INSERT: &str =
    "INSERT INTO assets (root, path, size, modified_ns, inode, motion_path, motion_size, motion_modified_ns,
    motion_inode, album_root, album_folder, content_hash, file, state, reason, first_seen, last_seen,
    fails_since, failed_last, recorded_at) VALUES";

/// An asset whose content could not be read this time keeps the content that was seen last, and since when: what its owner deleted
/// from the vault must not come back because of a bad moment of the disk's. One that does not get into the vault keeps what it was there, and
/// whether that was gone in between.
const OR_UPDATE: &str = "ON CONFLICT (root, path) DO UPDATE SET
    size = excluded.size, modified_ns = excluded.modified_ns, inode = excluded.inode,
    motion_path = excluded.motion_path, motion_size = excluded.motion_size,
    motion_modified_ns = excluded.motion_modified_ns, motion_inode = excluded.motion_inode,
    album_root = excluded.album_root, album_folder = excluded.album_folder,
    content_hash = CASE WHEN excluded.state IN ('blocked', 'no_room')
        THEN coalesce(excluded.content_hash, assets.content_hash) ELSE excluded.content_hash END,
    file = CASE WHEN excluded.state IN ('blocked', 'no_room')
        THEN coalesce(excluded.file, assets.file) ELSE excluded.file END,
    vault_content = CASE WHEN excluded.state NOT IN ('blocked', 'no_room') THEN NULL
        WHEN assets.state IN ('blocked', 'no_room') THEN assets.vault_content ELSE assets.content_hash END,
    vault_size = CASE WHEN assets.state IN ('blocked', 'no_room') THEN assets.vault_size ELSE assets.size END,
    vault_modified_ns = CASE WHEN assets.state IN ('blocked', 'no_room')
        THEN assets.vault_modified_ns ELSE assets.modified_ns END,
    vault_is_live = CASE WHEN assets.state IN ('blocked', 'no_room')
        THEN assets.vault_is_live ELSE assets.motion_path IS NOT NULL END,
    state = excluded.state, reason = excluded.reason,
    first_seen = CASE WHEN excluded.state IN ('blocked', 'no_room') AND excluded.content_hash IS NULL
        THEN assets.first_seen ELSE excluded.first_seen END,
    fails_since = CASE WHEN excluded.fails_since IS NOT NULL
            AND assets.size = excluded.size AND assets.modified_ns = excluded.modified_ns AND assets.inode = excluded.inode
        THEN coalesce(assets.fails_since, excluded.fails_since) ELSE excluded.fails_since END,
    failed_last = excluded.failed_last,
    absent_since = CASE WHEN excluded.state NOT IN ('blocked', 'no_room') THEN NULL
        WHEN assets.state = 'freed' THEN coalesce(assets.absent_since, assets.last_seen) ELSE assets.absent_since END,
    last_seen = excluded.last_seen, recorded_at = excluded.recorded_at, is_let_go = 0";

async fn put_all(connection: &mut SqliteConnection, rows: &[AssetRow]) -> Result<(), CatalogError> {
    let values = placeholders(COLUMNS);
    for chunk in rows.chunks(ROWS) {
        // Bound and not asked of SQLite, which is slow to prepare rows that are more than values.
        let recorded_at = micros_of(SystemTime::now());
        let mut query = statement(INSERT, chunk.len(), &values, OR_UPDATE);
        for row in chunk {
            let (motion_path, motion) = match &row.motion {
                Some((path, fingerprint)) => (Some(path.clone()), Some(fingerprint)),
                None => (None, None),
            };
            query = query
                .bind(row.root.clone())
                .bind(row.path.clone())
                .bind(row.fingerprint.size.cast_signed())
                .bind(row.fingerprint.modified_ns)
                .bind(row.fingerprint.inode.cast_signed())
                .bind(motion_path)
                .bind(motion.map(|motion| motion.size.cast_signed()))
                .bind(motion.map(|motion| motion.modified_ns))
                .bind(motion.map(|motion| motion.inode.cast_signed()))
                .bind(row.album.root.clone())
                .bind(row.album.folder.clone())
                .bind(row.content_hash.map(|hash| hash.to_string()))
                .bind(row.file.map(|file| file.0))
                .bind(row.state.as_str())
                .bind(row.reason.clone())
                .bind(row.first_seen)
                .bind(row.last_seen)
                .bind(row.failing.map(|failing| failing.since))
                .bind(row.failing.map(|failing| failing.last))
                .bind(recorded_at);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
