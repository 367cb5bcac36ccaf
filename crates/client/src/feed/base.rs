//! The three feeds of the base API, for servers that have no ordered one.
//!
//! Collections first, then every collection whose version moved, then the trash; a cursor for each.

use super::{FeedSummary, advanced, take_rows};
use crate::catalog::{Catalog, CollectionRow, Feed, TrashRow};
use crate::error::VaultError;
use crate::keys::{KeyRing, Opened, open_collection, open_file, open_trash_item};
use crate::session::Session;
use darkslide_protocol::file::File;
use darkslide_protocol::trash::TrashItem;

/// Brings the catalog up to date with the vault.
pub(super) async fn pull(session: &Session, catalog: &Catalog) -> Result<FeedSummary, VaultError> {
    let mut summary = FeedSummary::default();
    pull_collections(session, catalog, &mut summary).await?;
    let mut keys = KeyRing::default();
    for row in catalog.collections().await? {
        if !row.deleted && catalog.cursor(Feed::Files(row.id)).await? < row.version {
            pull_files(session, catalog, &row, &mut keys, &mut summary).await?;
        }
    }
    pull_trash(session, catalog, &mut keys, &mut summary).await?;
    Ok(summary)
}

/// The list of collections is not paged and comes in no order: its cursor is the latest version in it.
async fn pull_collections(
    session: &Session,
    catalog: &Catalog,
    summary: &mut FeedSummary,
) -> Result<(), VaultError> {
    let cursor = catalog.cursor(Feed::Collections).await?;
    let changed = session.api.collections_since(cursor).await?;
    let Some(latest) = changed.iter().map(|collection| collection.updation_time).max() else {
        return Ok(());
    };
    let opened = changed.iter().map(|collection| open_collection(&session.keys, collection)).collect();
    let rows = take_rows(opened, summary);
    summary.collections += rows.len() as u64;
    Ok(catalog.apply_collections(&rows, latest.max(cursor)).await?)
}

async fn pull_files(
    session: &Session,
    catalog: &Catalog,
    collection: &CollectionRow,
    keys: &mut KeyRing,
    summary: &mut FeedSummary,
) -> Result<(), VaultError> {
    let mut cursor = catalog.cursor(Feed::Files(collection.id)).await?;
    loop {
        let page = match session.api.collection_diff(collection.id, cursor).await {
            // Deleted since it was listed: the next pull sees its tombstone.
            Err(failure) if failure.is_missing() => return Ok(()),
            other => other?,
        };
        let Some(latest) = page.diff.iter().map(|file| file.updation_time).max() else { break };
        cursor = advanced(cursor, latest)?;
        let key = keys.key(&session.keys, collection);
        let opened = page.diff.iter().map(|file: &File| open_file(key, file)).collect();
        let rows = take_rows(opened, summary);
        summary.files += rows.len() as u64;
        catalog.apply_files(collection.id, &rows, cursor).await?;
        if !page.has_more {
            break;
        }
    }
    // The collection's version may be later than those of its rows (a rename); equal means “nothing new”.
    Ok(catalog.set_cursor(Feed::Files(collection.id), cursor.max(collection.version)).await?)
}

async fn pull_trash(
    session: &Session,
    catalog: &Catalog,
    keys: &mut KeyRing,
    summary: &mut FeedSummary,
) -> Result<(), VaultError> {
    let mut cursor = catalog.cursor(Feed::Trash).await?;
    loop {
        let page = session.api.trash_diff(cursor).await?;
        let Some(latest) = page.diff.iter().map(|item| item.updated_at).max() else { return Ok(()) };
        cursor = advanced(cursor, latest)?;
        let mut opened = Vec::with_capacity(page.diff.len());
        for item in &page.diff {
            opened.push(open_item(session, catalog, item, keys).await?);
        }
        let rows = take_rows(opened, summary);
        summary.trash += rows.len() as u64;
        catalog.apply_trash(&rows, cursor).await?;
        if !page.has_more {
            return Ok(());
        }
    }
}

async fn open_item(
    session: &Session,
    catalog: &Catalog,
    item: &TrashItem,
    keys: &mut KeyRing,
) -> Result<Opened<TrashRow>, VaultError> {
    let id = item.file.collection_id;
    let Some(collection) = catalog.collection(id).await? else {
        return Ok(open_trash_item(None, item));
    };
    Ok(open_trash_item(keys.key(&session.keys, &collection), item))
}
