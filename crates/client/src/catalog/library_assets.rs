//! What a device's own library told of its assets, and the token to ask it with for what changed since.
//!
//! Both are written in one transaction: a token without what was told before it would hide pictures from the backup.

use std::collections::{BTreeSet, HashMap, HashSet};

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, FromRow, Row as _, SqliteConnection};

use super::absent;
use super::assets::{bytes_of_hex, hex};
use super::changes::{ROWS, placeholders, statement};
use super::{Catalog, CatalogError, DeviceAlbumKey, Fingerprint};
use crate::library::LibraryChanges;
use crate::library::device::{AssetId, AssetKind, DeviceAsset, Locality, Motion};

/// How far a library has told what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryToken {
    /// What to ask with for everything that changed since.
    pub token: Vec<u8>,
    /// When it last told everything, µs since the epoch.
    pub listed: i64,
}

impl AssetKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Photo => "photo",
            Self::Video => "video",
            Self::LivePhoto => "live_photo",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Photo, Self::Video, Self::LivePhoto].into_iter().find(|kind| kind.as_str() == word)
    }
}

impl Motion {
    fn columns(self) -> (&'static str, Option<i64>) {
        match self {
            Self::None => ("none", None),
            Self::Here => ("here", None),
            Self::Promised { until } => ("promised", Some(until)),
        }
    }

    fn parse(word: &str, until: Option<i64>) -> Option<Self> {
        match (word, until) {
            ("none", None) => Some(Self::None),
            ("here", None) => Some(Self::Here),
            ("promised", Some(until)) => Some(Self::Promised { until }),
            _ => None,
        }
    }
}

impl FromRow<'_, SqliteRow> for DeviceAsset {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let damaged = |column: &str| sqlx::Error::ColumnDecode {
            index: column.to_owned(),
            source: "this program never writes it".into(),
        };
        let library: Vec<u8> = row.try_get("library")?;
        let kind: String = row.try_get("kind")?;
        let motion: String = row.try_get("motion")?;
        let albums: String = row.try_get("albums")?;
        let album = |folder: &String| {
            let folder = bytes_of_hex(folder)?;
            Some(DeviceAlbumKey { root: library.clone(), folder })
        };
        let folders: Vec<String> = serde_json::from_str(&albums).map_err(|_| damaged("albums"))?;
        let albums: Option<BTreeSet<_>> = folders.iter().map(album).collect();
        let is_in_cloud: bool = row.try_get("in_cloud")?;
        Ok(Self {
            id: AssetId(row.try_get("id")?),
            name: row.try_get("name")?,
            kind: AssetKind::parse(&kind).ok_or_else(|| damaged("kind"))?,
            fingerprint: Fingerprint {
                size: row.try_get::<i64, _>("size")?.cast_unsigned(),
                modified_ns: row.try_get("modified_ns")?,
                inode: row.try_get::<i64, _>("version")?.cast_unsigned(),
            },
            taken: row.try_get("taken")?,
            albums: albums.ok_or_else(|| damaged("albums"))?,
            favourite: row.try_get("favourite")?,
            locality: if is_in_cloud { Locality::Cloud } else { Locality::Here },
            motion: Motion::parse(&motion, row.try_get("motion_until")?).ok_or_else(|| damaged("motion"))?,
        })
    }
}

impl Catalog {
    /// How far a library has told; `None` before it first did, and of one that cannot tell what changed.
    pub async fn library_token(&self, library: &[u8]) -> Result<Option<LibraryToken>, CatalogError> {
        let row: Option<(Vec<u8>, i64)> =
            sqlx::query_as("SELECT token, listed FROM libraries WHERE library = $1 AND token IS NOT NULL")
                .bind(library)
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.map(|(token, listed)| LibraryToken { token, listed }))
    }

    /// The assets that a library has told of.
    pub async fn library_assets(&self, library: &[u8]) -> Result<Vec<DeviceAsset>, CatalogError> {
        Ok(sqlx::query_as("SELECT * FROM library_assets WHERE library = $1")
            .bind(library)
            .fetch_all(&self.pool)
            .await?)
    }

    /// When a library first told of an asset, µs since the epoch; `None` of one that is not there.
    pub async fn first_listed(&self, library: &[u8], asset: &[u8]) -> Result<Option<i64>, CatalogError> {
        let query =
            sqlx::query_scalar("SELECT first_listed FROM library_assets WHERE library = $1 AND id = $2");
        Ok(query.bind(library).bind(asset).fetch_optional(&self.pool).await?)
    }

    /// Since when each of a library's assets waits that no run has dealt with as it is, µs since the epoch.
    pub async fn waiting_assets(&self, library: &[u8]) -> Result<HashMap<AssetId, i64>, CatalogError> {
        let text =
            format!("SELECT id, waits_since FROM library_assets WHERE library = $1 AND NOT {IS_DEALT_WITH}");
        let query = sqlx::query_as(AssertSqlSafe(text));
        let rows: Vec<(Vec<u8>, i64)> = query.bind(library).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|(id, since)| (AssetId(id), since)).collect())
    }

    /// Records what a library told now, µs since the epoch, and what to ask it with the next time. `seen` is the same moment, as the vault
    /// sees it: since then are on the device those that it had not told of before.
    pub async fn record_library(
        &self,
        library: &[u8],
        changes: &LibraryChanges,
        now: i64,
        seen: i64,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        if changes.is_everything {
            let told: HashSet<&AssetId> = changes.changed.iter().map(|asset| &asset.id).collect();
            let before: Vec<Vec<u8>> = sqlx::query_scalar("SELECT id FROM library_assets WHERE library = $1")
                .bind(library)
                .fetch_all(&mut *transaction)
                .await?;
            for id in before.into_iter().map(AssetId).filter(|id| !told.contains(id)) {
                remove(&mut transaction, library, &id, now).await?;
            }
        }
        for id in &changes.gone {
            remove(&mut transaction, library, id, now).await?;
        }
        for assets in changes.changed.chunks(ROWS) {
            put(&mut transaction, library, assets, seen).await?;
        }
        let token = Some(changes.token.as_slice()).filter(|token| !token.is_empty());
        sqlx::query(
            "INSERT INTO libraries (library, last_completed, token, listed) VALUES ($1, 0, $2, $3)
             ON CONFLICT (library) DO UPDATE SET token = excluded.token,
                 listed = CASE WHEN $4 THEN excluded.listed ELSE listed END",
        )
        .bind(library)
        .bind(token)
        .bind(now)
        .bind(changes.is_everything)
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// Records where an original was found to lie.
    pub async fn record_locality(
        &self,
        library: &[u8],
        asset: &AssetId,
        locality: Locality,
    ) -> Result<(), CatalogError> {
        sqlx::query("UPDATE library_assets SET in_cloud = $3 WHERE library = $1 AND id = $2")
            .bind(library)
            .bind(&asset.0)
            .bind(locality == Locality::Cloud)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

async fn remove(
    connection: &mut SqliteConnection,
    library: &[u8],
    asset: &AssetId,
    now: i64,
) -> Result<(), CatalogError> {
    let remove = sqlx::query("DELETE FROM library_assets WHERE library = $1 AND id = $2");
    remove.bind(library).bind(&asset.0).execute(&mut *connection).await?;
    absent::mark(connection, library, &asset.0, now).await
}

const INSERT: &str = "INSERT INTO library_assets (library, id, name, kind, size, modified_ns, version, taken,
    albums, favourite, in_cloud, motion, motion_until, first_listed, waits_since) VALUES";

/// Whether a run has dealt with an asset as it was told of last.
const IS_DEALT_WITH: &str = "EXISTS (SELECT 1 FROM assets
    WHERE assets.root = library_assets.library AND assets.path = library_assets.id
      AND assets.size = library_assets.size AND assets.modified_ns = library_assets.modified_ns
      AND assets.inode = library_assets.version)";

/// Whatever became of it, it was first told of when it was. What waits goes on waiting since then, whatever else becomes of it.
const OR_UPDATE: &str = "ON CONFLICT (library, id) DO UPDATE SET
    waits_since = CASE WHEN {IS_DEALT_WITH} THEN excluded.waits_since ELSE waits_since END,
    name = excluded.name, kind = excluded.kind, size = excluded.size, modified_ns = excluded.modified_ns,
    version = excluded.version, taken = excluded.taken, albums = excluded.albums,
    favourite = excluded.favourite, in_cloud = excluded.in_cloud, motion = excluded.motion,
    motion_until = excluded.motion_until";

async fn put(
    connection: &mut SqliteConnection,
    library: &[u8],
    assets: &[DeviceAsset],
    seen: i64,
) -> Result<(), CatalogError> {
    let or_update = OR_UPDATE.replace("{IS_DEALT_WITH}", IS_DEALT_WITH);
    let mut query = statement(INSERT, assets.len(), &placeholders(15), &or_update);
    for asset in assets {
        let folders: Vec<String> = asset.albums.iter().map(|album| hex(&album.folder)).collect();
        let (motion, until) = asset.motion.columns();
        query = query
            .bind(library.to_vec())
            .bind(asset.id.0.clone())
            .bind(asset.name.clone())
            .bind(asset.kind.as_str())
            .bind(asset.fingerprint.size.cast_signed())
            .bind(asset.fingerprint.modified_ns)
            .bind(asset.fingerprint.inode.cast_signed())
            .bind(asset.taken)
            .bind(serde_json::to_string(&folders).expect("texts are JSON"))
            .bind(asset.favourite)
            .bind(asset.locality == Locality::Cloud)
            .bind(motion)
            .bind(until)
            .bind(seen)
            .bind(seen);
    }
    query.execute(connection).await?;
    Ok(())
}
