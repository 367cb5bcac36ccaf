//! Albums: making, renaming and deleting them, and what is in them.
//!
//! A file is always in at least one collection: taken out of its last album it goes to *Uncategorized*, as stock
//! clients do. After each change the feed is pulled, so that the catalog shows what the server made of it.

use crate::catalog::{Catalog, CollectionRow, FileFilter, FileRow};
use crate::error::VaultError;
use crate::feed;
use crate::keys::{collection_key, file_key, new_collection, open_collection, rename_request, wrap_file_key};
use crate::session::Session;
use crate::trash::not_own;
use darkslide_crypto::keys::{CollectionKey, FileKey};
use darkslide_protocol::collection::{AddFilesRequest, CollectionType, MoveFilesRequest, RemoveFilesRequest};
use darkslide_protocol::file::FileKey as WireFileKey;
use darkslide_protocol::limits::BATCH_ITEMS_MAX;
use darkslide_protocol::{CollectionId, FileId};
use std::collections::{BTreeMap, BTreeSet};

/// The name of the collection for files that are in no album. Clients show their own word for it.
const UNCATEGORIZED: &str = "Uncategorized";

/// What happens to the files of an album that is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilesOfDeleted {
    /// They stay in the vault: in their other albums, or in *Uncategorized*.
    Keep,
    /// They go to the trash, out of all their albums.
    Trash,
}

/// Finds an album by its name, exactly, or by its number where no album has that name. Own albums come first.
pub async fn find_album(
    session: &Session,
    catalog: &Catalog,
    name: &str,
) -> Result<CollectionRow, VaultError> {
    let rows = catalog.collections().await?;
    let live = || rows.iter().filter(|row| !row.deleted);
    let named = live().filter(|row| row.name == name);
    let by_name = named.min_by_key(|row| (row.owner != session.account, row.id));
    let by_number = || live().find(|row| name.parse() == Ok(row.id));
    by_name.or_else(by_number).cloned().ok_or_else(|| VaultError::NoSuchAlbum(name.to_owned()))
}

/// Makes an album.
pub async fn create_album(
    session: &Session,
    catalog: &Catalog,
    name: &str,
) -> Result<CollectionRow, VaultError> {
    if catalog.collection_named(session.account, name).await?.is_some() {
        return Err(VaultError::AlbumExists(name.to_owned()));
    }
    create(session, catalog, name, CollectionType::Album).await
}

async fn create(
    session: &Session,
    catalog: &Catalog,
    name: &str,
    kind: CollectionType,
) -> Result<CollectionRow, VaultError> {
    let (_, request) = new_collection(&session.keys, name, kind);
    let created = session.api.create_collection(&request).await?;
    let opened = open_collection(&session.keys, &created);
    if let Some(damage) = opened.damage {
        return Err(damage.into());
    }
    catalog.put_collection(&opened.row).await?;
    Ok(opened.row)
}

/// The collection for files that are in no album; made when it is needed first.
pub async fn uncategorized(session: &Session, catalog: &Catalog) -> Result<CollectionRow, VaultError> {
    let rows = catalog.collections().await?;
    let own = rows.into_iter().find(|row| {
        row.kind == CollectionType::Uncategorized && row.owner == session.account && !row.deleted
    });
    match own {
        Some(row) => Ok(row),
        None => create(session, catalog, UNCATEGORIZED, CollectionType::Uncategorized).await,
    }
}

/// Gives an album another name.
pub async fn rename_album(
    session: &Session,
    catalog: &Catalog,
    album: &CollectionRow,
    name: &str,
) -> Result<(), VaultError> {
    let key = changeable(session, album)?;
    session.api.rename_collection(&rename_request(album.id, &key, name)).await?;
    feed::pull(session, catalog).await.map(drop)
}

/// Deletes an album. Files in it that belong to others only leave it.
pub async fn delete_album(
    session: &Session,
    catalog: &Catalog,
    album: &CollectionRow,
    files: FilesOfDeleted,
) -> Result<(), VaultError> {
    changeable(session, album)?;
    if files == FilesOfDeleted::Keep {
        let all = ids_in(catalog, album.id).await?;
        remove_from_album(session, catalog, album, &all).await?;
    }
    session.api.delete_collection(album.id, files == FilesOfDeleted::Keep).await?;
    feed::pull(session, catalog).await.map(drop)
}

/// Puts own files into an album, besides those that they are in. Those that are there already stay.
pub async fn add_to_album(
    session: &Session,
    catalog: &Catalog,
    album: &CollectionRow,
    files: &[FileId],
) -> Result<(), VaultError> {
    let target = collection_key(&session.keys, album)?;
    let mut wrapped = Vec::with_capacity(files.len());
    for file in files.iter().collect::<BTreeSet<_>>() {
        wrapped.push(rewrapped(session, catalog, *file, &target).await?);
    }
    for files in batches(wrapped) {
        session.api.add_files(&AddFilesRequest { collection_id: album.id, files }).await?;
    }
    feed::pull(session, catalog).await.map(drop)
}

/// Takes files out of an album. Own files that are in no other go to *Uncategorized*; files of others just leave.
pub async fn remove_from_album(
    session: &Session,
    catalog: &Catalog,
    album: &CollectionRow,
    files: &[FileId],
) -> Result<(), VaultError> {
    let wanted: BTreeSet<FileId> = files.iter().copied().collect();
    let filter = FileFilter { collection: Some(album.id), ..FileFilter::default() };
    let (mut own, mut foreign) = (Vec::new(), Vec::new());
    for row in catalog.files(&filter).await?.into_iter().filter(|row| wanted.contains(&row.id)) {
        if row.owner == session.account { own.push(row) } else { foreign.push(row.id) }
    }
    if album.owner == session.account {
        move_out(session, catalog, album, own).await?;
    } else {
        foreign.extend(own.iter().map(|row| row.id));
    }
    for file_ids in batches(foreign) {
        session.api.remove_files(&RemoveFilesRequest { collection_id: album.id, file_ids }).await?;
    }
    feed::pull(session, catalog).await.map(drop)
}

/// The server does not take an owner's files out of an owner's album: they are moved, to another album that they are
/// in already or to *Uncategorized*.
async fn move_out(
    session: &Session,
    catalog: &Catalog,
    album: &CollectionRow,
    rows: Vec<FileRow>,
) -> Result<(), VaultError> {
    let source = collection_key(&session.keys, album)?;
    let mut targets: BTreeMap<CollectionId, (CollectionKey, Vec<WireFileKey>)> = BTreeMap::new();
    for row in rows {
        let key = file_key(&source, &row)?;
        let target = other_home(session, catalog, &row).await?;
        let entry = match targets.entry(target.id) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert((collection_key(&session.keys, &target)?, Vec::new()))
            }
        };
        let wrapped = wrap_file_key(&entry.0, row.id, &key);
        entry.1.push(wrapped);
    }
    for (to, (_, files)) in targets {
        for files in batches(files) {
            let request = MoveFilesRequest { from_collection_id: album.id, to_collection_id: to, files };
            session.api.move_files(&request).await?;
        }
    }
    Ok(())
}

async fn other_home(
    session: &Session,
    catalog: &Catalog,
    row: &FileRow,
) -> Result<CollectionRow, VaultError> {
    for membership in catalog.memberships(row.id).await? {
        if membership.deleted || membership.collection == row.collection {
            continue;
        }
        let other = catalog.collection(membership.collection).await?;
        if let Some(other) = other.filter(|other| !other.deleted && other.owner == session.account) {
            return Ok(other);
        }
    }
    let home = uncategorized(session, catalog).await?;
    if home.id == row.collection { Err(VaultError::FixedAlbum(home.name)) } else { Ok(home) }
}

/// An own file's key, opened by any own collection that it is in and wrapped for another.
async fn rewrapped(
    session: &Session,
    catalog: &Catalog,
    file: FileId,
    target: &CollectionKey,
) -> Result<WireFileKey, VaultError> {
    let key = key_of(session, catalog, file).await?;
    Ok(wrap_file_key(target, file, &key))
}

async fn key_of(session: &Session, catalog: &Catalog, file: FileId) -> Result<FileKey, VaultError> {
    let own = catalog.own_memberships(session.account, file).await?;
    let Some(row) = own.first() else { return Err(not_own(catalog, file).await?) };
    let collection = catalog.collection(row.collection).await?;
    let collection = collection.ok_or(VaultError::NoSuchCollection(row.collection))?;
    Ok(file_key(&collection_key(&session.keys, &collection)?, row)?)
}

async fn ids_in(catalog: &Catalog, album: CollectionId) -> Result<Vec<FileId>, VaultError> {
    let filter = FileFilter { collection: Some(album), ..FileFilter::default() };
    Ok(catalog.files(&filter).await?.into_iter().map(|row| row.id).collect())
}

/// The key of an album that may be renamed and deleted.
fn changeable(session: &Session, album: &CollectionRow) -> Result<CollectionKey, VaultError> {
    if album.owner != session.account || album.kind.is_singular() {
        return Err(VaultError::FixedAlbum(album.name.clone()));
    }
    Ok(collection_key(&session.keys, album)?)
}

/// Cuts a list into what one call may carry.
pub(crate) fn batches<T>(items: Vec<T>) -> Vec<Vec<T>> {
    let mut batches = Vec::new();
    let mut rest = items;
    while rest.len() > BATCH_ITEMS_MAX {
        let later = rest.split_off(BATCH_ITEMS_MAX);
        batches.push(std::mem::replace(&mut rest, later));
    }
    if !rest.is_empty() {
        batches.push(rest);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::batches;

    #[test]
    fn batches_hold_everything_in_order_and_no_more_than_allowed() {
        for (items, sizes) in [
            (0, vec![]),
            (1, vec![1]),
            (1000, vec![1000]),
            (1001, vec![1000, 1]),
            (2500, vec![1000, 1000, 500]),
        ] {
            let cut = batches((0..items).collect());
            assert_eq!(cut.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
            assert_eq!(cut.concat(), (0..items).collect::<Vec<_>>());
        }
    }
}
