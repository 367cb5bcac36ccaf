//! The trash: what is in it, putting files there, bringing them back, and deleting for ever.
//!
//! After each change the feed is pulled, so that the catalog shows what the server made of it.

use crate::albums::{batches, uncategorized};
use crate::catalog::{Catalog, CollectionRow, Feed, FileFilter, TrashRow};
use crate::error::VaultError;
use crate::feed;
use crate::keys::{collection_key, trashed_file_key, wrap_file_key};
use crate::session::Session;
use darkslide_crypto::stream::plaintext_len;
use darkslide_protocol::file::FileKey as WireFileKey;
use darkslide_protocol::trash::{
    EmptyTrashRequest, PurgeItem, PurgeRequest, RestoreItem, RestoreRequest, TrashRequest, TrashRequestItem,
};
use darkslide_protocol::{CollectionId, FileId, Version};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// One file in the trash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrashEntry {
    /// The file.
    pub id: FileId,
    /// Its name; none where it does not open.
    pub name: Option<String>,
    /// The album that it was trashed from.
    pub album: Option<String>,
    /// Bytes of plaintext.
    pub bytes: u64,
    /// When it was trashed, µs since the epoch.
    pub trashed_at: i64,
    /// When it will be purged, µs since the epoch.
    pub delete_by: i64,
}

/// What is in the trash, the latest first. From the catalog: pull the feed first.
pub async fn list_trash(catalog: &Catalog) -> Result<Vec<TrashEntry>, VaultError> {
    let mut entries = Vec::new();
    for row in catalog.trash().await? {
        let album = catalog.collection(row.collection).await?.map(|album| album.name);
        entries.push(TrashEntry {
            id: row.file,
            name: row.title,
            album,
            bytes: u64::try_from(row.object_size).ok().and_then(plaintext_len).unwrap_or_default(),
            trashed_at: row.trashed_at,
            delete_by: row.delete_by,
        });
    }
    Ok(entries)
}

/// Takes own files out of all their albums, into the trash.
pub async fn trash_files(session: &Session, catalog: &Catalog, files: &[FileId]) -> Result<(), VaultError> {
    let mut items = Vec::with_capacity(files.len());
    for file in files.iter().collect::<BTreeSet<_>>() {
        let own = catalog.own_memberships(session.account, *file).await?;
        let Some(row) = own.first() else { return Err(not_own(catalog, *file).await?) };
        items.push(TrashRequestItem { file_id: row.id, collection_id: row.collection, if_version: None });
    }
    for items in batches(items) {
        session.api.trash_files(&TrashRequest { items }).await?;
    }
    feed::pull(session, catalog).await.map(drop)
}

/// Why a file that is in none of the account's own albums is not changed.
pub(crate) async fn not_own(catalog: &Catalog, file: FileId) -> Result<VaultError, VaultError> {
    let filter = FileFilter { file: Some(file), ..FileFilter::default() };
    let is_there = !catalog.files(&filter).await?.is_empty();
    Ok(if is_there { VaultError::NotOwn(file) } else { VaultError::NoSuchFile(file) })
}

/// Brings files back: into `album`, or into the album that each was trashed from, or into *Uncategorized* where that
/// is gone. Returns how many came back.
pub async fn restore_from_trash(
    session: &Session,
    catalog: &Catalog,
    files: &[FileId],
    album: Option<&CollectionRow>,
) -> Result<u64, VaultError> {
    let mut there: BTreeMap<FileId, TrashRow> =
        catalog.trash().await?.into_iter().map(|row| (row.file, row)).collect();
    let mut targets: BTreeMap<CollectionId, Vec<RestoreItem>> = BTreeMap::new();
    let wanted: BTreeSet<FileId> = files.iter().copied().collect();
    for file in &wanted {
        let row = there.remove(file).ok_or(VaultError::NoSuchFile(*file))?;
        let (target, wrapped) = readied(session, catalog, &row, album).await?;
        targets.entry(target).or_default().push(RestoreItem::new(wrapped, None));
    }
    for (collection_id, files) in targets {
        for files in batches(files) {
            session.api.restore_files(&RestoreRequest { collection_id, files }).await?;
        }
    }
    feed::pull(session, catalog).await?;
    Ok(wanted.len() as u64)
}

/// Where a trashed file goes, and its key wrapped for that.
async fn readied(
    session: &Session,
    catalog: &Catalog,
    row: &TrashRow,
    album: Option<&CollectionRow>,
) -> Result<(CollectionId, WireFileKey), VaultError> {
    let origin = catalog.collection(row.collection).await?;
    let origin = origin.ok_or(VaultError::NoSuchCollection(row.collection))?;
    let key = trashed_file_key(&collection_key(&session.keys, &origin)?, row)?;
    let target = match album {
        Some(album) => album.clone(),
        None if !origin.deleted && origin.owner == session.account => origin,
        None => uncategorized(session, catalog).await?,
    };
    Ok((target.id, wrap_file_key(&collection_key(&session.keys, &target)?, row.file, &key)))
}

/// Deletes files for ever that the catalog shows in the trash, as it shows them: what another device has changed or taken out since
/// is spared, and with it all of its batch (at most 1000), by a failure whose
/// [`conflicts`](crate::api::ApiFailure::conflicts) name it.
pub async fn purge_files(session: &Session, catalog: &Catalog, files: &[FileId]) -> Result<(), VaultError> {
    let shown: BTreeMap<FileId, Version> =
        catalog.trash().await?.into_iter().map(|row| (row.file, row.version)).collect();
    let mut items = Vec::with_capacity(files.len());
    for file in files.iter().collect::<BTreeSet<_>>() {
        let if_version = *shown.get(file).ok_or(VaultError::NoSuchFile(*file))?;
        items.push(PurgeItem { file_id: *file, if_version });
    }
    for items in batches(items) {
        session.api.purge(&PurgeRequest { file_ids: Vec::new(), items }).await?;
    }
    feed::pull(session, catalog).await.map(drop)
}

/// Deletes everything that the catalog shows in the trash, for ever; what was trashed or changed since the last pull survives.
/// Returns how many files that was.
pub async fn empty_trash(session: &Session, catalog: &Catalog) -> Result<u64, VaultError> {
    let shown = catalog.trash().await?.len() as u64;
    let last_updated_at = catalog.cursor(Feed::Trash).await?;
    session.api.empty_trash(&EmptyTrashRequest { last_updated_at }).await?;
    feed::pull(session, catalog).await?;
    Ok(shown)
}
