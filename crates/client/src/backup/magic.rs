//! Changing what a file's magic metadata say, although other devices may do the same at the same time.
//!
//! What is said there now is read, changed and written whole; who was second begins anew. It decides nothing about what is said.

use darkslide_crypto::keys::{CollectionKey, FileKey};
use darkslide_crypto::stream::blob::{self, Blob};
use darkslide_protocol::file::{File, FileMagic, MagicUpdateRequest};
use darkslide_protocol::{CollectionId, FileId, MagicMetadata, Opaque};
use futures_util::{StreamExt as _, TryStreamExt as _};

use serde_json::{Map, Value};

use super::error::AssetError;
use super::run::Run;
use crate::keys::{self, Unreadable, file_key, open_file};

/// How often another device may be first with a change of the same file's settings.
const CONFLICTS_MAX: usize = 5;

/// Files that are asked about at once.
const READ_AT_ONCE: usize = 4;

impl Run {
    /// A collection's key, opened.
    pub(super) async fn collection_key(&self, id: CollectionId) -> Result<CollectionKey, AssetError> {
        let collection = self.catalog.collection(id).await?.ok_or(Unreadable::CollectionKey(id))?;
        Ok(keys::collection_key(&self.session.keys, &collection)?)
    }

    /// Changes the public metadata of a file of the account's own, as the vault has it now, if `change` says that it did, and whatever other
    /// devices do at the same time. A file that is no longer there is left alone, and so is what does not open.
    pub(super) async fn change_public(
        &self,
        file: FileId,
        change: impl Fn(&File, &mut Map<String, Value>) -> bool,
    ) -> Result<(), AssetError> {
        let change = &change;
        match self.change_magic(|| self.try_change_public(file, change)).await {
            Err(AssetError::Api(failure)) if failure.is_missing() => Ok(()),
            Err(AssetError::Unreadable(_)) => Ok(()),
            other => other,
        }
    }

    /// The same of several files with one call, which changes all of them or none. Says whether it did; where it did not, each is to be
    /// changed by itself.
    pub(super) async fn change_public_of_all(
        &self,
        files: &[FileId],
        change: impl Fn(&File, &mut Map<String, Value>) -> bool,
    ) -> Result<bool, AssetError> {
        let change = &change;
        let changed = futures_util::stream::iter(files.to_vec())
            .map(|file| self.patience.persist(move || self.changed_public(file, change)))
            .buffered(READ_AT_ONCE);
        let changed: Vec<Option<FileMagic>> = match changed.try_collect().await {
            Err(AssetError::Api(failure)) if failure.is_missing() => return Ok(false),
            Err(AssetError::Unreadable(_)) => return Ok(false),
            other => other?,
        };
        let metadata_list: Vec<FileMagic> = changed.into_iter().flatten().collect();
        if metadata_list.is_empty() {
            return Ok(true);
        }
        let request = MagicUpdateRequest { metadata_list, skip_version: None };
        let set = || async { Ok(self.session.api.set_file_public_magic(&request).await?) };
        match self.patience.persist(set).await {
            Err(AssetError::Api(failure)) if failure.is_conflict() || failure.is_missing() => Ok(false),
            other => other.map(|()| true),
        }
    }

    async fn try_change_public(
        &self,
        file: FileId,
        change: &impl Fn(&File, &mut Map<String, Value>) -> bool,
    ) -> Result<(), AssetError> {
        let Some(changed) = self.changed_public(file, change).await? else { return Ok(()) };
        let request = MagicUpdateRequest { metadata_list: vec![changed], skip_version: None };
        Ok(self.session.api.set_file_public_magic(&request).await?)
    }

    /// What a file's public metadata are to be; none where they stay.
    async fn changed_public(
        &self,
        file: FileId,
        change: &impl Fn(&File, &mut Map<String, Value>) -> bool,
    ) -> Result<Option<FileMagic>, AssetError> {
        let memberships = self.catalog.own_memberships(self.session.account, file).await?;
        let Some(membership) = memberships.first() else {
            return Ok(None);
        };
        let collection = self.collection_key(membership.collection).await?;
        let key = file_key(&collection, membership)?;
        let file = self.session.api.file_in(membership.collection, file).await?;
        let known = open_file(Some(&collection), &file).row.public_metadata;
        if known.is_none() && file.pub_magic_metadata.is_some() {
            // What does not open is not overwritten.
            return Ok(None);
        }
        let known = known.and_then(|text| serde_json::from_str::<Map<String, Value>>(&text).ok());
        let mut keys = known.unwrap_or_default();
        if !change(&file, &mut keys) {
            return Ok(None);
        }
        let version = file.pub_magic_metadata.map_or(1, |magic| magic.version);
        let (count, text) = (keys.len(), Value::Object(keys).to_string());
        let magic_metadata = envelope(&key, version, count, text.as_bytes());
        Ok(Some(FileMagic { id: file.id, magic_metadata }))
    }

    /// Repeats a change for as long as another device was first. Whoever keeps changing the file has the better claim in the end.
    pub(super) async fn change_magic<F>(&self, mut change: impl FnMut() -> F) -> Result<(), AssetError>
    where
        F: Future<Output = Result<(), AssetError>>,
    {
        for _ in 0..CONFLICTS_MAX {
            match self.patience.persist(&mut change).await {
                Err(AssetError::Api(failure)) if failure.is_conflict() => {}
                other => return other,
            }
        }
        Ok(())
    }
}

/// `json`, an object with so many keys, as an envelope of this version (`docs/format.md`, 5.5).
pub(super) fn envelope(key: &FileKey, version: i64, count: usize, json: &[u8]) -> MagicMetadata {
    let Blob { ciphertext, header } = blob::seal(key, json);
    MagicMetadata {
        version,
        count: i64::try_from(count).expect("few keys"),
        data: Opaque::encode(ciphertext),
        header: Opaque::encode(header.as_bytes()),
    }
}

/// The request that gives one file this envelope.
pub(super) fn update(id: FileId, magic_metadata: MagicMetadata) -> MagicUpdateRequest {
    MagicUpdateRequest { metadata_list: vec![FileMagic { id, magic_metadata }], skip_version: None }
}
