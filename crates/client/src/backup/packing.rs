//! An asset becomes a parcel: what is in memory is sealed, everything gets its key, and the commit is written. It blocks for as long as the
//! cipher takes, and is done for several at once.

use std::sync::Arc;

use bytes::Bytes;
use darkslide_crypto::ContentHash;
use darkslide_crypto::keys::FileKey;
use darkslide_crypto::stream::{OVERHEAD, StreamEncryptor, StreamHeader, blob};
use darkslide_media::thumbnail::PLACEHOLDER;
use darkslide_protocol::{AccountId, ContentTag};
use tokio::sync::OwnedSemaphorePermit;

use super::albums::Album;
use super::batch::{Parcel, SealedObject};
use super::commit::{self, Commit};
use super::identify::Asset;
use super::upload::StoredObject;
use crate::buffers::Buffers;
use crate::catalog::AssetRow;

/// All that a parcel is made of.
#[derive(Debug)]
pub(super) struct Packing {
    pub(super) asset: Asset,
    pub(super) content: ContentHash,
    pub(super) tag: ContentTag,
    /// The bytes, when all of them are in memory and nothing is sealed yet.
    pub(super) plain: Option<Bytes>,
    /// The original, when it was sent before.
    pub(super) original: Option<(FileKey, StoredObject)>,
    pub(super) thumbnail_is_due: bool,
    pub(super) album: Arc<Album>,
    /// What the catalog will hold.
    pub(super) row: AssetRow,
    pub(super) account: AccountId,
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl Packing {
    /// Seals what is not sealed yet. The plaintext is dropped.
    pub(super) fn pack(self, buffers: &Buffers) -> Parcel {
        let mut objects = Vec::with_capacity(2);
        let plain = self.plain.unwrap_or_default();
        let (key, original) = self.original.unwrap_or_else(|| {
            let (key, header) = (FileKey::generate(), StreamHeader::generate());
            let mut sealed = buffers.take(plain.len() + OVERHEAD);
            StreamEncryptor::new(&key, &header)
                .finish(&plain, &mut sealed)
                .expect("what is kept in memory is at most one chunk");
            (key, stored(self.account, header, sealed.into(), &mut objects))
        });
        drop(plain);
        let thumbnail = blob::seal(&key, PLACEHOLDER);
        let thumbnail = stored(self.account, thumbnail.header, thumbnail.ciphertext.into(), &mut objects);
        let commit = commit::request(Commit {
            asset: &self.asset,
            content: &self.content,
            tag: &self.tag,
            album: &self.album,
            key: &key,
            original: &original,
            thumbnail: &thumbnail,
            is_placeholder: !self.thumbnail_is_due,
        });
        let Self { album, row, thumbnail_is_due, room, .. } = self;
        Parcel { objects, commit, kind: self.asset.kind(), album, row, thumbnail_is_due, room }
    }
}

/// An object that goes with its commit, under an id that is drawn here.
pub(super) fn stored(
    account: AccountId,
    header: StreamHeader,
    bytes: Bytes,
    objects: &mut Vec<SealedObject>,
) -> StoredObject {
    let size = bytes.len() as u64;
    let object = SealedObject::new(bytes);
    let object_key = object.key(account);
    objects.push(object);
    StoredObject { object_key, header, size }
}
