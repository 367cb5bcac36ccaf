//! Remembering that content which the vault has already stands on this device under another name as well, so that it
//! comes back under every name that it had.

use darkslide_crypto::keys::{CollectionKey, FileKey};
use darkslide_crypto::stream::blob;
use darkslide_protocol::file::{FileMagic, MagicUpdateRequest};
use darkslide_protocol::{MagicMetadata, Opaque};
use serde_json::{Map, Value};

use super::error::AssetError;
use super::run::Run;
use crate::appearance::{Appearance, appearances, first, remember};
use crate::catalog::FileRow;
use crate::keys::{collection_key, file_key, open_file};

/// How often another device may be first with a change of the same file's settings.
const CONFLICTS_MAX: usize = 5;

impl Run {
    /// Adds a copy to the file's list, if it is not known. `row` is the file's membership in the copy's collection;
    /// `instead`: the file came to that collection by this copy. `renewed`: this very copy was seen before, so that it says what has
    /// become of its place; another one at a place of that name says nothing about it.
    pub(super) async fn remember_copy(
        &self,
        row: &FileRow,
        copy: &Appearance,
        instead: bool,
        renewed: bool,
    ) -> Result<(), AssetError> {
        let is_known = match (instead, renewed) {
            (true, _) => first(row) == *copy,
            (false, true) => appearances(row).contains(copy),
            (false, false) => appearances(row).iter().any(|known| known.is_same_place(copy)),
        };
        let unknown = || remember(row.private_metadata.as_deref(), row.collection, copy, instead).is_some();
        if is_known || !unknown() {
            return Ok(());
        }
        let collection = self.catalog.collection(row.collection).await?;
        let collection = collection.ok_or(crate::keys::Unreadable::CollectionKey(row.collection))?;
        let collection = collection_key(&self.session.keys, &collection)?;
        let key = file_key(&collection, row)?;
        for _ in 0..CONFLICTS_MAX {
            let written =
                self.patience.persist(|| self.write_copy(&collection, &key, row, copy, instead)).await;
            match written {
                Err(AssetError::Api(failure)) if failure.is_conflict() => {}
                other => return other,
            }
        }
        // Whoever keeps changing the file has the better claim; the next run tries again.
        Ok(())
    }

    /// Reads the list as it is now and writes it with the copy in it.
    async fn write_copy(
        &self,
        collection: &CollectionKey,
        key: &FileKey,
        row: &FileRow,
        copy: &Appearance,
        instead: bool,
    ) -> Result<(), AssetError> {
        let file = self.session.api.file_in(row.collection, row.id).await?;
        let now = open_file(Some(collection), &file).row.private_metadata;
        let Some(keys) = remember(now.as_deref(), row.collection, copy, instead) else { return Ok(()) };
        let version = file.magic_metadata.map_or(1, |magic| magic.version);
        let (text, magic_metadata) = sealed(key, version, keys);
        let request = MagicUpdateRequest {
            metadata_list: vec![FileMagic { id: row.id, magic_metadata }],
            skip_version: None,
        };
        self.session.api.set_file_magic(&request).await?;
        Ok(self.catalog.set_private_metadata(row.id, &text).await?)
    }
}

fn sealed(key: &FileKey, version: i64, keys: Map<String, Value>) -> (String, MagicMetadata) {
    let count = i64::try_from(keys.len()).expect("few keys");
    let text = Value::Object(keys).to_string();
    let blob::Blob { ciphertext, header } = blob::seal(key, text.as_bytes());
    let header = Opaque::encode(header.as_bytes());
    (text, MagicMetadata { version, count, data: Opaque::encode(ciphertext), header })
}
