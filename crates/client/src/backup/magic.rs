//! Changing what a file's magic metadata say, although other devices may do the same at the same time.
//!
//! What is said there now is read, changed and written whole; who was second begins anew. It decides nothing about what is said.

use darkslide_crypto::keys::{CollectionKey, FileKey};
use darkslide_crypto::stream::blob::{self, Blob};
use darkslide_protocol::file::{FileMagic, MagicUpdateRequest};
use darkslide_protocol::{CollectionId, FileId, MagicMetadata, Opaque};

use super::error::AssetError;
use super::run::Run;
use crate::keys::{self, Unreadable};

/// How often another device may be first with a change of the same file's settings.
const CONFLICTS_MAX: usize = 5;

impl Run {
    /// A collection's key, opened.
    pub(super) async fn collection_key(&self, id: CollectionId) -> Result<CollectionKey, AssetError> {
        let collection = self.catalog.collection(id).await?.ok_or(Unreadable::CollectionKey(id))?;
        Ok(keys::collection_key(&self.session.keys, &collection)?)
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
