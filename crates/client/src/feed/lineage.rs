//! Whether the server still has what it told this device: it may have been set back to an older state, as a restored backup of its database is.
//!
//! Such a server cannot know it. Its newest version may be earlier than this device's cursor; or it has given out later ones since, and the
//! feed looks as ever. So a pull begins a little before the cursor: what was heard of last must come once more, where it was or later, and be
//! the same file, for numbers are given again too. It costs a few rows a pull, and works with every server that has the ordered feed.
//!
//! Only what the account itself has is a witness, for what others share can be taken back. Where much of that lies between a witness and the
//! cursor, the witness is asked for by itself: it is where it was, or behind the cursor.

use crate::catalog::{Catalog, Place, Witness};
use crate::error::VaultError;
use crate::keys::{collection_key, wrapped_key};
use crate::session::Session;
use darkslide_crypto::keys::{CollectionKey, FileKey, Wraps as _};
use darkslide_protocol::change::{Change, Changes};
use darkslide_protocol::file::File;
use darkslide_protocol::{CollectionId, Opaque, Version};
use std::collections::HashMap;

/// What must come.
#[derive(Debug)]
pub(super) struct Lineage {
    cursor: Version,
    begin: Version,
    missing: HashMap<Place, Witness>,
    /// Something came that is not what it was.
    is_another: bool,
}

impl Lineage {
    /// What must come in a pull from this cursor.
    pub(super) async fn of(
        session: &Session,
        catalog: &Catalog,
        cursor: Version,
    ) -> Result<Self, VaultError> {
        let mut lineage = Self { cursor, begin: cursor, missing: HashMap::new(), is_another: false };
        // Of an empty catalog nothing is known.
        if cursor > Version(0) {
            lineage.call_what_the_cursor_passed(session, catalog).await?;
            // What this device made since lies behind the cursor, and would hide the loss of what lies before.
            let own = catalog.witnesses(session.account, Version(i64::MAX)).await?;
            lineage.expect(own.into_iter().filter(|witness| witness.version > cursor));
        }
        Ok(lineage)
    }

    /// Has what lies before the cursor come with the pull, or asks for it here and now.
    async fn call_what_the_cursor_passed(
        &mut self,
        session: &Session,
        catalog: &Catalog,
    ) -> Result<(), VaultError> {
        let (owner, cursor) = (session.account, self.cursor);
        let own = catalog.witnesses(owner, cursor).await?;
        let oldest = own.last().map_or(Version(0), |witness| witness.version);
        let collections = catalog.collection_witnesses(owner, oldest, cursor).await?;
        let first = own.last().or(collections.last()).map(|witness| Version(witness.version.0 - 1));
        let Some(first) = first.map(|first| first.clamp(Version(0), cursor)) else { return Ok(()) };
        if catalog.lies_far_back(first, cursor).await? {
            self.expect(own);
            return self.ask_for_each(session, catalog).await;
        }
        self.begin = first;
        self.expect(own.into_iter().chain(collections));
        Ok(())
    }

    fn expect(&mut self, witnesses: impl IntoIterator<Item = Witness>) {
        self.missing.extend(witnesses.into_iter().map(|witness| (witness.place, witness)));
    }

    /// Looks for each witness where it was. One that is not there must come with the pull.
    async fn ask_for_each(&mut self, session: &Session, catalog: &Catalog) -> Result<(), VaultError> {
        let mut places: Vec<Version> = self.missing.values().map(|witness| witness.version).collect();
        places.sort_unstable();
        // Most often they lie side by side, and the first page has them all.
        let limit = u16::try_from(places.len()).unwrap_or(u16::MAX);
        let mut seen = Version(0);
        for version in places {
            if version <= seen {
                continue;
            }
            let mut page = session.api.changes(Version(version.0 - 1), limit).await?;
            self.check(session, catalog, &mut page).await?;
            seen = page.next;
        }
        Ok(())
    }

    /// Where to begin to read.
    pub(super) fn begin(&self) -> Version {
        self.begin
    }

    /// Whether something has not come so far.
    pub(super) fn is_broken(&self) -> bool {
        self.is_another || !self.missing.is_empty()
    }

    /// Whether that is something without which no page is vouched for. A collection moves to the end of the feed with whatever is put into it,
    /// and a long pull must be able to go on where it was interrupted.
    pub(super) fn is_doubtful(&self) -> bool {
        let is_file = |place: &Place| !matches!(place, Place::Collection(_));
        self.is_another || self.missing.keys().any(is_file)
    }

    /// Looks for it in a page, and takes out of that what the catalog has already.
    pub(super) async fn check(
        &mut self,
        session: &Session,
        catalog: &Catalog,
        page: &mut Changes,
    ) -> Result<(), VaultError> {
        for change in &page.changes {
            let place = match change {
                Change::Membership { file, .. } => Place::Membership(file.collection_id, file.id),
                Change::Trash { item, .. } => Place::Trash(item.file.id),
                Change::Collection { collection, .. } => Place::Collection(collection.id),
                Change::Unknown => continue,
            };
            let version = change.version().unwrap_or_default();
            if self.missing.get(&place).is_none_or(|witness| version < witness.version) {
                continue;
            }
            if let Some(witness) = self.missing.remove(&place) {
                let is_same = match change {
                    Change::Membership { file, .. } => is_same(session, catalog, &witness, file).await?,
                    Change::Trash { item, .. } => is_same(session, catalog, &witness, &item.file).await?,
                    // The key of one's own is boxed once and for all.
                    Change::Collection { collection, .. } => {
                        collection.encrypted_key == witness.encrypted_key
                    }
                    Change::Unknown => true,
                };
                self.is_another |= !is_same;
            }
        }
        if !self.is_doubtful() {
            let cursor = self.cursor;
            page.changes.retain(|change| change.version().is_none_or(|version| version > cursor));
        }
        Ok(())
    }
}

/// Whether what came is the file that was known. What nobody can open says nothing.
async fn is_same(
    session: &Session,
    catalog: &Catalog,
    known: &Witness,
    came: &File,
) -> Result<bool, VaultError> {
    if known.encrypted_key == came.encrypted_key {
        return Ok(true);
    }
    let Some(before) = key_of(session, catalog, known.collection).await? else { return Ok(true) };
    let Some(now) = key_of(session, catalog, came.collection_id).await? else { return Ok(true) };
    let before = open(&before, &known.encrypted_key, &known.key_nonce);
    let now = open(&now, &came.encrypted_key, &came.key_decryption_nonce);
    Ok(match (before, now) {
        (Some(before), Some(now)) => before == now,
        // The collection is another one, too.
        (Some(_), None) => false,
        (None, _) => true,
    })
}

/// A collection's key as the catalog knows it.
async fn key_of(
    session: &Session,
    catalog: &Catalog,
    id: CollectionId,
) -> Result<Option<CollectionKey>, VaultError> {
    let row = catalog.collection(id).await?;
    Ok(row.and_then(|row| collection_key(&session.keys, &row).ok()))
}

fn open(collection: &CollectionKey, encrypted: &Opaque, nonce: &Opaque) -> Option<FileKey> {
    collection.unwrap_key(&wrapped_key(encrypted, nonce)?).ok()
}
