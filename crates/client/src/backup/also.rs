//! Remembering that content which the vault has already stands on this device under another name as well, so that it
//! comes back under every name that it had.

use darkslide_crypto::keys::{CollectionKey, FileKey};
use serde_json::Value;

use super::error::AssetError;
use super::magic::{envelope, update};
use super::run::Run;
use crate::appearance::{Appearance, appearances, first, remember};
use crate::catalog::FileRow;
use crate::keys::{file_key, open_file};

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
        let collection = self.collection_key(row.collection).await?;
        let key = file_key(&collection, row)?;
        self.change_magic(|| self.write_copy(&collection, &key, row, copy, instead)).await
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
        let (count, text) = (keys.len(), Value::Object(keys).to_string());
        let request = update(row.id, envelope(key, version, count, text.as_bytes()));
        self.session.api.set_file_magic(&request).await?;
        Ok(self.catalog.set_private_metadata(row.id, &text).await?)
    }
}
