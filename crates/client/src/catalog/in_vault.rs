//! What an asset was when it was last in the vault: what a new version of its file is decided by.
//!
//! It tells, and decides nothing.

use darkslide_crypto::ContentHash;
use darkslide_protocol::FileId;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::files::content_hash_of;
use super::head_starts::AssetPlace;
use super::{Came, Catalog, CatalogError, Fingerprint};
use crate::library::settle::COARSE;

/// What an asset was when it was last in the vault, whatever has become of it since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InVault {
    /// The file that it was.
    pub file: FileId,
    /// Its content, both halves of a Live Photo together.
    pub content: ContentHash,
    /// Bytes of the file, or of the still.
    pub size: u64,
    /// When that was written, ns since the epoch.
    pub modified_ns: i64,
    /// When a Live Photo's video was written, ns since the epoch; none where that is not kept.
    pub motion_modified_ns: Option<i64>,
    /// Whether it was removed to free space, or seen to be gone, after that.
    pub was_gone: bool,
    /// Whether it was a Live Photo with its video.
    pub is_live: bool,
}

/// A Live Photo of which something was the video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoOf {
    /// Its content.
    pub content: ContentHash,
    /// The file that it was.
    pub file: Option<FileId>,
    /// When it was first seen, µs since the epoch by the vault's clock.
    pub first_seen: i64,
    /// Whether it was seen to be gone before the file that is asked about came.
    pub was_gone: bool,
}

impl Catalog {
    /// What the asset at this path was when it was last in the vault; none where it never was.
    pub async fn in_vault(&self, root: &[u8], path: &[u8]) -> Result<Option<InVault>, CatalogError> {
        let row: Option<SqliteRow> =
            sqlx::query(IN_VAULT).bind(root).bind(path).fetch_optional(&self.pool).await?;
        let Some(row) = row else { return Ok(None) };
        let (file, content) = (row.try_get::<Option<i64>, _>("file")?, content_hash_of(&row)?);
        let (Some(file), Some(content)) = (file, content) else { return Ok(None) };
        Ok(Some(InVault {
            file: FileId(file),
            content,
            size: row.try_get::<i64, _>("size")?.cast_unsigned(),
            modified_ns: row.try_get("modified_ns")?,
            motion_modified_ns: row.try_get("motion_modified_ns")?,
            was_gone: row.try_get("was_gone")?,
            is_live: row.try_get("is_live")?,
        }))
    }

    /// The file of the vault as which this very file, with this content, was backed up before it was moved or renamed. `None` where it never was,
    /// or the disk does not tell files apart.
    pub async fn file_before_move(
        &self,
        content: &ContentHash,
        fingerprint: &Fingerprint,
    ) -> Result<Option<FileId>, CatalogError> {
        self.before_move(BEFORE_MOVE, content, fingerprint).await
    }

    /// The same of a still that was a Live Photo with its video.
    pub async fn pair_before_move(
        &self,
        still: &ContentHash,
        fingerprint: &Fingerprint,
    ) -> Result<Option<FileId>, CatalogError> {
        self.before_move(PAIR_BEFORE_MOVE, still, fingerprint).await
    }

    async fn before_move(
        &self,
        question: &'static str,
        content: &ContentHash,
        fingerprint: &Fingerprint,
    ) -> Result<Option<FileId>, CatalogError> {
        let file: Option<i64> = sqlx::query_scalar(question)
            .bind(content.to_string())
            .bind(fingerprint.inode.cast_signed())
            .bind(fingerprint.size.cast_signed())
            .bind(fingerprint.modified_ns)
            .fetch_optional(&self.pool)
            .await?;
        Ok(file.map(FileId))
    }

    /// The Live Photos of which the file at this path was the video here, or this very file before it was moved, the latest first.
    pub async fn known_as_video(
        &self,
        video: &ContentHash,
        root: &[u8],
        path: &[u8],
        fingerprint: &Fingerprint,
        came: Came,
    ) -> Result<Vec<VideoOf>, CatalogError> {
        let rows: Vec<SqliteRow> = sqlx::query(AS_VIDEO)
            .bind(video.to_string())
            .bind(root)
            .bind(path)
            .bind(fingerprint.inode.cast_signed())
            .bind(fingerprint.size.cast_signed())
            .bind(fingerprint.modified_ns)
            .bind(came.made.map(|made| made.saturating_sub(COARSE)))
            .bind(came.here)
            .fetch_all(&self.pool)
            .await?;
        let mut known = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(content) = content_hash_of(&row)? else { continue };
            let file = row.try_get::<Option<i64>, _>("file")?.map(FileId);
            let (first_seen, was_gone) = (row.try_get("first_seen")?, row.try_get("was_gone")?);
            known.push(VideoOf { content, file, first_seen, was_gone });
        }
        Ok(known)
    }

    /// Forgets that a Live Photo's video was an asset of its own, which the Live Photo's file was.
    pub async fn forget_half(&self, video: &AssetPlace, still: &AssetPlace) -> Result<(), CatalogError> {
        sqlx::query(
            "DELETE FROM assets WHERE root = $1 AND path = $2
             AND file = (SELECT file FROM assets WHERE root = $3 AND path = $4 AND motion_path IS NOT NULL)",
        )
        .bind(&video.root)
        .bind(&video.path)
        .bind(&still.root)
        .bind(&still.path)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

pub(super) const BEFORE_MOVE: &str = "SELECT file FROM assets
     WHERE substr(content_hash, 1, 8) = substr($1, 1, 8) AND content_hash = $1
       AND inode = $2 AND size = $3 AND modified_ns = $4 AND inode <> 0
       AND file IS NOT NULL AND state IN ('backed_up', 'skipped')
     ORDER BY last_seen DESC LIMIT 1";

pub(super) const PAIR_BEFORE_MOVE: &str = "SELECT file FROM assets
     WHERE substr(content_hash, 1, 8) = substr($1, 1, 8) AND substr(content_hash, 1, 89) = $1 || ':'
       AND inode = $2 AND size = $3 AND modified_ns = $4 AND inode <> 0
       AND file IS NOT NULL AND state IN ('backed_up', 'skipped')
     ORDER BY last_seen DESC LIMIT 1";

pub(super) const AS_VIDEO: &str = "SELECT content_hash, file, first_seen, coalesce(absent_since < $8, 0) AS was_gone FROM (
         SELECT root, motion_path, motion_size, motion_modified_ns, motion_inode, content_hash, file, first_seen,
             last_seen, recorded_at, absent_since
         FROM assets WHERE length(content_hash) > 88 AND substr(content_hash, 90, 8) = substr($1, 1, 8)
             AND substr(content_hash, 90) = $1
         UNION ALL
         SELECT root, motion_path, motion_size, motion_modified_ns, motion_inode, content_hash, file, first_seen,
             last_seen, recorded_at, (SELECT own.absent_since FROM assets AS own
                 WHERE own.root = parted_videos.root AND own.path = parted_videos.motion_path)
         FROM parted_videos WHERE length(content_hash) > 88 AND substr(content_hash, 90, 8) = substr($1, 1, 8)
             AND substr(content_hash, 90) = $1)
     WHERE (root = $2 AND motion_path = $3)
        OR (motion_inode = $4 AND motion_size = $5 AND motion_modified_ns = $6 AND motion_inode <> 0
            AND ($7 IS NULL OR recorded_at IS NULL OR recorded_at >= $7))
     ORDER BY last_seen DESC";

const IN_VAULT: &str = "SELECT file,
       CASE WHEN state IN ('blocked', 'no_room') THEN vault_content ELSE content_hash END AS content_hash,
       CASE WHEN state IN ('blocked', 'no_room') THEN vault_size ELSE size END AS size,
       CASE WHEN state IN ('blocked', 'no_room') THEN vault_modified_ns ELSE modified_ns END AS modified_ns,
       CASE WHEN state NOT IN ('blocked', 'no_room') THEN motion_modified_ns END AS motion_modified_ns,
       CASE WHEN state IN ('blocked', 'no_room') THEN vault_is_live ELSE motion_path IS NOT NULL END AS is_live,
       state = 'freed' OR absent_since IS NOT NULL AS was_gone
     FROM assets WHERE root = $1 AND path = $2";
