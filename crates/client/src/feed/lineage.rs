//! Whether the server still has what it told this device: it may have been set back to an older state, as a restored backup of its database is.
//!
//! Such a server cannot know it. Its newest version may be earlier than this device's cursor; or it has given out later ones since, and the
//! feed looks as ever. So a pull begins a little before the cursor: what was heard of last must come once more, where it was or later, and be
//! the same file, for numbers are given again too. It costs a few rows a pull, and works with every server that has the ordered feed.

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
        let mut missing = HashMap::new();
        // Of an empty catalog nothing is known. What this device made since lies behind the cursor, and would hide the loss of what lies before.
        if cursor > Version(0) {
            for until in [cursor, Version(i64::MAX)] {
                let witnesses = catalog.witnesses(session.account, until).await?;
                missing.extend(witnesses.into_iter().map(|witness| (witness.place, witness)));
            }
        }
        Ok(Self { cursor, missing, is_another: false })
    }

    /// Where to begin to read.
    pub(super) fn begin(&self) -> Version {
        let first = self.missing.values().map(|witness| Version(witness.version.0 - 1)).min();
        first.map_or(self.cursor, |first| first.clamp(Version(0), self.cursor))
    }

    /// Whether something has not come so far.
    pub(super) fn is_broken(&self) -> bool {
        self.is_another || !self.missing.is_empty()
    }

    /// Looks for it in a page, and takes out of that what the catalog has already.
    pub(super) async fn check(
        &mut self,
        session: &Session,
        catalog: &Catalog,
        page: &mut Changes,
    ) -> Result<(), VaultError> {
        for change in &page.changes {
            let (place, file) = match change {
                Change::Membership { file, .. } => (Place::Membership(file.collection_id, file.id), file),
                Change::Trash { item, .. } => (Place::Trash(item.file.id), &item.file),
                Change::Collection { .. } | Change::Unknown => continue,
            };
            let version = change.version().unwrap_or_default();
            if self.missing.get(&place).is_none_or(|witness| version < witness.version) {
                continue;
            }
            if let Some(witness) = self.missing.remove(&place) {
                self.is_another |= !is_same(session, catalog, &witness, file).await?;
            }
        }
        if !self.is_broken() {
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
