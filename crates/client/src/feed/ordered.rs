//! The one ordered feed of a whole account: page after page, each in one transaction with the cursor.
//!
//! While a page is opened and written the next one comes; there are never more than these two in memory. A server that was set back to an older
//! state is noticed here (`lineage.rs`), and then everything is read anew.

use super::lineage::Lineage;
use super::{FeedSummary, advanced, take_rows};
use crate::catalog::{Catalog, ChangedRows, CollectionRow, Feed, FileRow, TrashRow};
use crate::error::VaultError;
use crate::keys::{Opened, open_collection, open_file, open_trash_item};
use crate::session::Session;
use darkslide_crypto::keys::CollectionKey;
use darkslide_media::probe::micros_of;
use darkslide_protocol::change::{CHANGES_DEFAULT, Change, Changes};
use darkslide_protocol::file::File;
use darkslide_protocol::trash::TrashItem;
use darkslide_protocol::{CollectionId, Version};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::SystemTime;

/// Collections' keys as the tasks that open files share them; none where one does not open.
type Keys = HashMap<CollectionId, Option<Arc<CollectionKey>>>;

/// Brings the catalog up to date with the vault.
pub(super) async fn pull(session: &Session, catalog: &Catalog) -> Result<FeedSummary, VaultError> {
    // An earlier pull did not come to its end.
    if let Some(reached) = catalog.read_anew_to().await? {
        return read_anew(session, catalog, reached).await;
    }
    let known = catalog.cursor(Feed::Account).await?;
    let mut lineage = Lineage::of(session, catalog, known).await?;
    let mut reader = Reader { session, catalog, keys: Keys::new(), summary: FeedSummary::default() };
    let mut cursor = lineage.begin();
    let mut page = session.api.changes(cursor, CHANGES_DEFAULT).await?;
    loop {
        lineage.check(session, catalog, &mut page).await?;
        if !page.has_more {
            if lineage.is_broken() || page.next < known {
                catalog.begin_anew().await?;
                return read_anew(session, catalog, Version(0)).await;
            }
            reader.take(page, Feed::Account, known).await?;
            return Ok(reader.summary);
        }
        let next = advanced(cursor, page.next)?;
        // What is behind is not vouched for before it is known to be there.
        page.next = if lineage.is_doubtful() { known } else { next.max(known) };
        let (taken, following) = tokio::join!(
            reader.take(page, Feed::Account, known),
            session.api.changes(next, CHANGES_DEFAULT),
        );
        taken?;
        (page, cursor) = (following?, next);
    }
}

/// Reads everything from `cursor` on, into a mirror of which everything before that was read anew.
async fn read_anew(
    session: &Session,
    catalog: &Catalog,
    mut cursor: Version,
) -> Result<FeedSummary, VaultError> {
    let mut reader = Reader { session, catalog, keys: Keys::new(), summary: FeedSummary::default() };
    loop {
        let page = session.api.changes(cursor, CHANGES_DEFAULT).await?;
        let (next, has_more) = (page.next, page.has_more);
        reader.take(page, Feed::Anew, cursor).await?;
        if !has_more {
            let now = micros_of(SystemTime::now());
            reader.summary.set_back = catalog.end_anew(session.account, next, now).await?;
            return Ok(reader.summary);
        }
        cursor = advanced(cursor, next)?;
    }
}

/// What opens pages and writes them.
struct Reader<'a> {
    session: &'a Session,
    catalog: &'a Catalog,
    keys: Keys,
    summary: FeedSummary,
}

impl Reader<'_> {
    /// Opens a page that was asked for with `cursor`, and writes it.
    async fn take(&mut self, page: Changes, feed: Feed, cursor: Version) -> Result<(), VaultError> {
        if page.changes.is_empty() && page.next == cursor {
            return Ok(());
        }
        let Self { session, catalog, keys, summary } = self;
        let next = page.next;
        let Sorted { collections, files, trash } = sort(page.changes);
        let collections: Vec<_> = collections.iter().map(|one| open_collection(&session.keys, one)).collect();
        // What is wrong with one of these is told when its own turn comes.
        let ahead: Vec<CollectionRow> =
            page.ahead.iter().map(|one| open_collection(&session.keys, one).row).collect();
        let collections = take_rows(collections, summary);
        for row in collections.iter().chain(&ahead) {
            keys.entry(row.id).or_insert_with(|| open_key(session, row));
        }
        learn_keys(session, catalog, keys, &files, &trash).await?;
        let (files, trash) = open(keys, files, trash).await;
        let (files, trash) = (take_rows(files, summary), take_rows(trash, summary));
        summary.collections += collections.len() as u64;
        summary.files += files.len() as u64;
        summary.trash += trash.len() as u64;
        let rows = ChangedRows { collections: [collections, ahead].concat(), files, trash };
        Ok(catalog.apply_changes(&rows, feed, next).await?)
    }
}

/// Changes by what they are changes of. Unknown kinds are for later clients.
#[derive(Default)]
struct Sorted {
    collections: Vec<darkslide_protocol::collection::Collection>,
    files: Vec<File>,
    trash: Vec<TrashItem>,
}

fn sort(changes: Vec<Change>) -> Sorted {
    let mut sorted = Sorted::default();
    for change in changes {
        match change {
            Change::Collection { collection, .. } => sorted.collections.push(collection),
            Change::Membership { file, .. } => sorted.files.push(file),
            Change::Trash { item, .. } => sorted.trash.push(item),
            Change::Unknown => {}
        }
    }
    sorted
}

fn open_key(session: &Session, row: &CollectionRow) -> Option<Arc<CollectionKey>> {
    crate::keys::collection_key(&session.keys, row).ok().map(Arc::new)
}

/// Adds the keys of collections that came in an earlier pull.
async fn learn_keys(
    session: &Session,
    catalog: &Catalog,
    keys: &mut Keys,
    files: &[File],
    trash: &[TrashItem],
) -> Result<(), VaultError> {
    let mentioned = files.iter().map(|file| file.collection_id);
    for id in mentioned.chain(trash.iter().map(|item| item.file.collection_id)) {
        if let Entry::Vacant(entry) = keys.entry(id) {
            let known = catalog.collection(id).await?;
            entry.insert(known.and_then(|row| open_key(session, &row)));
        }
    }
    Ok(())
}

type OpenedRows = (Vec<Opened<FileRow>>, Vec<Opened<TrashRow>>);

/// Opens files' keys and metadata away from the threads that wait for the network.
async fn open(keys: &Keys, files: Vec<File>, trash: Vec<TrashItem>) -> OpenedRows {
    let key = |id| keys.get(&id).cloned().flatten();
    let files: Vec<_> = files.into_iter().map(|file| (key(file.collection_id), file)).collect();
    let trash: Vec<_> = trash.into_iter().map(|item| (key(item.file.collection_id), item)).collect();
    let opening = tokio::task::spawn_blocking(move || {
        let files = files.iter().map(|(key, file)| open_file(key.as_deref(), file)).collect();
        let trash = trash.iter().map(|(key, item)| open_trash_item(key.as_deref(), item)).collect();
        (files, trash)
    });
    opening.await.expect("opening what a server sent cannot panic")
}
