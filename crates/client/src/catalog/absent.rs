//! Assets that are gone from where they were, as somebody saw, and who has a file besides.
//!
//! It tells, and decides nothing.

use darkslide_crypto::ContentHash;
use darkslide_protocol::FileId;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, FromRow, Row as _, SqliteConnection};
use std::path::Path;

use super::assets::Part;
use super::changes::{ROWS, placeholders};
use super::{AssetPlace, AssetRow, Catalog, CatalogError, Fingerprint};
use crate::library::selection::Reach;
use crate::library::settle::COARSE;

/// Since when a file is on this disk, µs since the epoch by this device's own clock: none where that cannot be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Came {
    /// Since when it lies where it does, at the latest.
    pub here: Option<i64>,
    /// When it was made, whatever it was called since.
    pub made: Option<i64>,
}

/// An asset that is, or was, in the vault as some file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The asset.
    pub asset: AssetRow,
    /// Whether it was seen to be gone.
    pub is_absent: bool,
    /// Of an asset of a device's own library, whether that still tells of it.
    pub is_listed: Option<bool>,
}

impl FromRow<'_, SqliteRow> for Holder {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            asset: AssetRow::from_row(row)?,
            is_absent: row.try_get("is_absent")?,
            is_listed: row.try_get("is_listed")?,
        })
    }
}

impl Catalog {
    /// When this content was first seen at this path, or in this very file before it was moved here. `None` where
    /// it never was, or what was seen was gone before this file came: a disk gives numbers of what is gone to what comes.
    pub async fn first_seen(
        &self,
        content: &ContentHash,
        root: &[u8],
        path: &[u8],
        fingerprint: &Fingerprint,
        came: Came,
    ) -> Result<Option<i64>, CatalogError> {
        Ok(sqlx::query_scalar(FIRST_SEEN)
            .bind(content.to_string())
            .bind(root)
            .bind(path)
            .bind(fingerprint.inode.cast_signed())
            .bind(fingerprint.size.cast_signed())
            .bind(fingerprint.modified_ns)
            .bind(came.here)
            .bind(came.made)
            .bind(came.made.map(|made| made.saturating_sub(COARSE)))
            .fetch_one(&self.pool)
            .await?)
    }

    /// Whoever of this device is or was in the vault as this file.
    pub async fn holders(&self, file: FileId) -> Result<Vec<Holder>, CatalogError> {
        Ok(sqlx::query_as(HOLDERS).bind(file.0).fetch_all(&self.pool).await?)
    }

    /// The places from which this file was removed to free space and where it is not again, whatever lies there since.
    pub async fn freed_places(&self, file: FileId) -> Result<Vec<AssetPlace>, CatalogError> {
        let text = "SELECT root, path FROM freed_files WHERE file = $1";
        let rows: Vec<(Vec<u8>, Vec<u8>)> = sqlx::query_as(text).bind(file.0).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|(root, path)| AssetPlace { root, path }).collect())
    }

    /// The paths of the next assets of a part of a root that are not [settled](super::SettledRow), in their order, and at most so many. What is no
    /// media, and what was seen to be gone, is left out.
    pub async fn unsettled_paths(
        &self,
        root: &[u8],
        (folder, reach): (&Path, Reach),
        after: &[u8],
        limit: u32,
    ) -> Result<Vec<Vec<u8>>, CatalogError> {
        let part = Part::of(folder);
        let query =
            sqlx::query_scalar(UNSETTLED).bind(root).bind(part.from.as_slice().max(after)).bind(limit);
        let query = query.bind(part.to).bind(reach == Reach::Below).bind(part.names_at).bind(part.separator);
        Ok(query.fetch_all(&self.pool).await?)
    }

    /// Records that nothing lies at these paths under a root now, µs since the epoch. What was gone before is so since then.
    pub async fn mark_absent(&self, root: &[u8], paths: &[Vec<u8>], now: i64) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        for path in paths {
            mark(&mut transaction, root, path, now).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Records that the assets at these paths under a root, which are as they were, are there again.
    pub async fn mark_present(&self, root: &[u8], paths: &[Vec<u8>]) -> Result<(), CatalogError> {
        for chunk in paths.chunks(ROWS) {
            let which =
                format!("root = ? AND absent_since IS NOT NULL AND path IN {}", placeholders(chunk.len()));
            // Hardly anything ever comes back as it was: mostly there is nothing to write.
            let text = format!("SELECT EXISTS (SELECT 1 FROM assets WHERE {which})");
            let query = sqlx::query_scalar(AssertSqlSafe(text)).persistent(chunk.len() == ROWS).bind(root);
            let query = chunk.iter().fold(query, |query, path| query.bind(path.clone()));
            let is_back: bool = query.fetch_one(&self.pool).await?;
            if is_back {
                let text = format!("UPDATE assets SET absent_since = NULL WHERE {which}");
                let query = sqlx::query(AssertSqlSafe(text)).bind(root);
                chunk.iter().fold(query, |query, path| query.bind(path.clone())).execute(&self.pool).await?;
            }
        }
        Ok(())
    }
}

pub(super) async fn mark(
    connection: &mut SqliteConnection,
    root: &[u8],
    path: &[u8],
    now: i64,
) -> Result<(), CatalogError> {
    let text = "UPDATE assets SET absent_since = $3 WHERE root = $1 AND path = $2 AND absent_since IS NULL";
    sqlx::query(text).bind(root).bind(path).bind(now).execute(connection).await?;
    Ok(())
}

pub(super) const FIRST_SEEN: &str = "SELECT min(first_seen) FROM assets
     WHERE substr(content_hash, 1, 8) = substr($1, 1, 8) AND content_hash = $1
       AND ((root = $2 AND path = $3 AND ($7 IS NULL OR absent_since IS NULL OR absent_since >= $7))
         OR (inode = $4 AND size = $5 AND modified_ns = $6 AND inode <> 0
             AND ($8 IS NULL OR absent_since IS NULL OR absent_since >= $8)
             AND ($9 IS NULL OR recorded_at IS NULL OR recorded_at >= $9)))";

pub(super) const HOLDERS: &str = "SELECT assets.*, absent_since IS NOT NULL AS is_absent,
       CASE WHEN EXISTS (SELECT 1 FROM libraries WHERE library = assets.root) THEN
           EXISTS (SELECT 1 FROM library_assets WHERE library = assets.root AND id = assets.path) END AS is_listed
     FROM assets WHERE file = $1";

pub(super) const UNSETTLED: &str = "SELECT path FROM assets
     WHERE root = $1 AND path > $2 AND path < $4 AND ($5 OR instr(substr(path, $6), $7) = 0)
       AND absent_since IS NULL AND state <> 'not_media'
       AND (state <> 'backed_up' OR motion_path IS NOT NULL OR content_hash IS NULL OR file IS NULL)
     ORDER BY path LIMIT $3";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{AssetState, DeviceAlbumKey, Failing, NewSyncFolder, NewWatchFolder};
    use crate::folder::reconcile::Direction;
    use crate::library::device::{AssetId, AssetKind, DeviceAsset, Locality, Motion};
    use crate::library::{AlbumRule, LibraryChanges};
    use std::collections::BTreeSet;

    const ROOT: &[u8] = b"/pictures";

    fn row(path: &str, seed: &[u8], state: AssetState, seen: i64) -> AssetRow {
        AssetRow {
            root: ROOT.to_vec(),
            path: path.into(),
            fingerprint: Fingerprint { size: 1, modified_ns: 2, inode: 3 },
            motion: None,
            album: DeviceAlbumKey { root: ROOT.to_vec(), folder: Vec::new() },
            content_hash: Some(ContentHash::of(seed)),
            file: Some(FileId(7)).filter(|_| state != AssetState::Blocked),
            state,
            reason: None,
            first_seen: seen,
            last_seen: seen,
            failing: Some(Failing { since: 1, last: 1 }).filter(|_| state == AssetState::Blocked),
        }
    }

    async fn catalog() -> (tempfile::TempDir, Catalog) {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("catalog.db")).await.unwrap();
        (folder, catalog)
    }

    async fn was_gone(catalog: &Catalog) -> Option<bool> {
        catalog.in_vault(ROOT, b"a.jpg").await.unwrap().map(|was| was.was_gone)
    }

    /// What was gone stays so until something else is in the vault from there, however often that does not work.
    #[tokio::test]
    async fn what_was_gone_is_remembered_until_its_place_is_taken() {
        for is_freed in [false, true] {
            let (_folder, catalog) = catalog().await;
            let paths = [b"a.jpg".to_vec()];
            catalog.put_asset(&row("a.jpg", b"a", AssetState::BackedUp, 10)).await.unwrap();
            assert_eq!(was_gone(&catalog).await, Some(false));
            if is_freed {
                catalog.mark_freed(ROOT, &paths).await.unwrap();
            } else {
                catalog.mark_absent(ROOT, &paths, 20).await.unwrap();
                assert!(catalog.holders(FileId(7)).await.unwrap()[0].is_absent);
                catalog.mark_present(ROOT, &paths).await.unwrap();
                assert_eq!(was_gone(&catalog).await, Some(false));
                catalog.mark_absent(ROOT, &paths, 30).await.unwrap();
            }
            assert_eq!(was_gone(&catalog).await, Some(true));
            for _ in 0..2 {
                catalog.put_asset(&row("a.jpg", b"b", AssetState::Blocked, 40)).await.unwrap();
                assert_eq!(was_gone(&catalog).await, Some(true));
            }
            catalog.put_asset(&row("a.jpg", b"b", AssetState::BackedUp, 50)).await.unwrap();
            assert_eq!(was_gone(&catalog).await, Some(false));
        }
    }

    /// Only a file that came after the place was seen empty is a new one; one that was moved away and back is not.
    #[tokio::test]
    async fn what_came_after_the_place_was_empty_was_not_seen_before() {
        let (_folder, catalog) = catalog().await;
        let known = row("a.jpg", b"a", AssetState::BackedUp, 10);
        catalog.put_asset(&known).await.unwrap();
        catalog.mark_absent(ROOT, &[b"a.jpg".to_vec()], 20).await.unwrap();
        let seen = async |inode, came| {
            let print = Fingerprint { inode, ..known.fingerprint };
            catalog.first_seen(&ContentHash::of(b"a"), ROOT, b"a.jpg", &print, came).await.unwrap()
        };
        let at = |moment| Came { here: Some(moment), made: Some(moment) };
        let by_change = |moment| Came { here: Some(moment), made: None };
        for (inode, came, expected) in [
            (3, at(30), None),
            (4, at(30), None),
            (3, at(5), Some(10)),
            (4, at(5), Some(10)),
            (3, by_change(30), Some(10)),
            (4, by_change(30), None),
            (4, Came::default(), Some(10)),
        ] {
            assert_eq!(seen(inode, came).await, expected, "{inode} {came:?}");
        }
    }

    /// Once, a copy that its owner saved as told stayed out for ever: the disk gave it the number of what was removed a moment before.
    #[tokio::test]
    async fn what_was_made_after_a_file_was_seen_is_not_that_file() {
        let (_folder, catalog) = catalog().await;
        let known = row("a.jpg", b"a", AssetState::BackedUp, 10);
        catalog.put_asset(&known).await.unwrap();
        let now = darkslide_media::probe::micros_of(std::time::SystemTime::now());
        for (made, expected) in
            [(None, Some(10)), (Some(now - 60_000_000), Some(10)), (Some(now + 60_000_000), None)]
        {
            let (content, came) = (ContentHash::of(b"a"), Came { here: made, made });
            let seen = catalog.first_seen(&content, ROOT, b"b.jpg", &known.fingerprint, came).await.unwrap();
            assert_eq!(seen, expected, "{made:?}");
        }
    }

    /// What was freed is only in the vault, whatever takes its place here.
    #[tokio::test]
    async fn what_was_freed_is_remembered_until_it_is_back() {
        let (_folder, catalog) = catalog().await;
        let (known, paths) = (row("a.jpg", b"a", AssetState::BackedUp, 10), [b"a.jpg".to_vec()]);
        let are_freed = async || catalog.freed_places(FileId(7)).await.unwrap().len();
        catalog.put_asset(&known).await.unwrap();
        catalog.mark_freed(ROOT, &paths).await.unwrap();
        assert_eq!(are_freed().await, 1);
        catalog.mark_not_freed(ROOT, &paths).await.unwrap();
        assert_eq!(are_freed().await, 0);
        catalog.mark_freed(ROOT, &paths).await.unwrap();
        for state in [AssetState::Blocked, AssetState::BackedUp] {
            let another = AssetRow { file: Some(FileId(8)), ..row("a.jpg", b"b", state, 20) };
            catalog.put_asset(&another).await.unwrap();
            assert_eq!(are_freed().await, 1);
        }
        catalog.put_asset(&known).await.unwrap();
        assert_eq!(are_freed().await, 0);
    }

    /// Once, for a file that found no room and was gone since nobody was ever told again that the vault is full.
    #[tokio::test]
    async fn what_is_gone_lacks_no_room() {
        let (_folder, catalog) = catalog().await;
        let lacks = async || catalog.has_assets_without_room().await.unwrap();
        let (known, paths) = (row("a.jpg", b"a", AssetState::NoRoom, 10), [b"a.jpg".to_vec()]);
        catalog.put_asset(&known).await.unwrap();
        assert!(lacks().await);
        catalog.mark_absent(ROOT, &paths, 20).await.unwrap();
        assert!(!lacks().await);
        // What was in the vault before and was gone in between is there again.
        let paths = [b"b.jpg".to_vec()];
        catalog.put_asset(&row("b.jpg", b"b", AssetState::BackedUp, 10)).await.unwrap();
        catalog.mark_absent(ROOT, &paths, 20).await.unwrap();
        catalog.put_asset(&row("b.jpg", b"c", AssetState::NoRoom, 30)).await.unwrap();
        assert!(lacks().await);
        // A library says itself what it has.
        let told =
            |changed| LibraryChanges { changed, gone: Vec::new(), is_everything: true, token: Vec::new() };
        let asset = DeviceAsset {
            id: AssetId::new("b.jpg"),
            name: "b.jpg".to_owned(),
            kind: AssetKind::Photo,
            fingerprint: known.fingerprint,
            taken: 0,
            albums: BTreeSet::new(),
            favourite: false,
            locality: Locality::Here,
            motion: Motion::None,
        };
        for (changed, expected) in [(vec![asset.clone()], true), (Vec::new(), false), (vec![asset], true)] {
            catalog.record_library(ROOT, &told(changed), 40, 40).await.unwrap();
            assert_eq!(lacks().await, expected);
        }
    }

    /// Once, whoever took a folder off its list was told for ever that its files find no room.
    #[tokio::test]
    async fn what_was_let_go_lacks_no_room() {
        let (_folder, catalog) = catalog().await;
        let path = crate::library::path_of(ROOT);
        let by_hand = AssetRow { root: b"/by/hand".to_vec(), ..row("c.jpg", b"c", AssetState::Blocked, 10) };
        for row in
            [row("a.jpg", b"a", AssetState::NoRoom, 10), row("b.jpg", b"b", AssetState::Blocked, 10), by_hand]
        {
            catalog.put_asset(&row).await.unwrap();
        }
        let told = async || {
            let lacks_room = catalog.has_assets_without_room().await.unwrap();
            (catalog.blocked_assets().await.unwrap().len(), lacks_room)
        };
        let watched = NewWatchFolder { path: path.clone(), albums: AlbumRule::PerRoot, exclude: Vec::new() };
        for _ in 0..2 {
            catalog.add_watch_folder(&watched, 0).await.unwrap();
            assert_eq!(told().await, (3, true));
            let id = catalog.watch_folders().await.unwrap()[0].id;
            catalog.remove_watch_folder(id).await.unwrap();
            assert_eq!(told().await, (1, false), "what was asked for by hand is still told of");
        }
        let in_step = NewSyncFolder {
            path,
            marker: "marker".to_owned(),
            album: "Album".to_owned(),
            direction: Direction::Both,
            keep_older_than: None,
            trash: "/trash".into(),
        };
        let id = catalog.add_sync_folder(&in_step, 0).await.unwrap();
        assert_eq!(told().await, (3, true));
        catalog.remove_sync_folder(id).await.unwrap();
        assert_eq!(told().await, (1, false));
        // Somebody asks for it by hand, and it finds no room again.
        catalog.put_asset(&row("a.jpg", b"a", AssetState::NoRoom, 20)).await.unwrap();
        assert_eq!(told().await, (2, true));
    }

    #[tokio::test]
    async fn what_no_walk_is_compared_with_is_listed() {
        let (_folder, catalog) = catalog().await;
        let motion = Some((b"d.mov".to_vec(), Fingerprint { size: 1, modified_ns: 2, inode: 4 }));
        for row in [
            row("a.jpg", b"a", AssetState::BackedUp, 1),
            row("b.txt", b"b", AssetState::NotMedia, 1),
            row("c.jpg", b"c", AssetState::Skipped, 1),
            AssetRow { motion, ..row("d.jpg", b"d", AssetState::BackedUp, 1) },
            row("x/e.jpg", b"e", AssetState::Freed, 1),
            row("y/f.jpg", b"f", AssetState::Freed, 1),
        ] {
            catalog.put_asset(&row).await.unwrap();
        }
        catalog.mark_absent(ROOT, &[b"y/f.jpg".to_vec()], 1).await.unwrap();
        let list = async |folder: &str, reach, after: &[u8]| {
            let paths = catalog.unsettled_paths(ROOT, (Path::new(folder), reach), after, 2).await.unwrap();
            paths.into_iter().map(|path| String::from_utf8(path).unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(list("", Reach::Below, b"").await, "c.jpg d.jpg");
        assert_eq!(list("", Reach::Below, b"d.jpg").await, "x/e.jpg");
        assert_eq!(list("", Reach::Itself, b"d.jpg").await, "");
        assert_eq!(list("x", Reach::Itself, b"").await, "x/e.jpg");
    }
}
