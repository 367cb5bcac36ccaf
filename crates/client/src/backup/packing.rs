//! An asset becomes a parcel: what is in memory is sealed, everything gets its key, and the commit is written. It blocks for as long as the
//! cipher takes, and is done for several at once.

use std::sync::Arc;

use bytes::Bytes;
use darkslide_crypto::ContentHash;
use darkslide_crypto::keys::FileKey;
use darkslide_crypto::secret::drawn_at_once;
use darkslide_crypto::stream::{OVERHEAD, StreamHeader, blob, seal_whole};
use darkslide_media::thumbnail::PLACEHOLDER;
use darkslide_protocol::batch::{FrameKind, object_head, object_key};
use darkslide_protocol::{AccountId, ContentTag};
use tokio::sync::OwnedSemaphorePermit;

use super::albums::Album;
use super::batch::{Parcel, SealedObject, append_record, draw_id};
use super::commit::{self, Commit};
use super::identify::Asset;
use super::upload::StoredObject;
use crate::buffers::{Buffers, Slate};
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

/// Parcels of small files share a buffer of about this size.
const BUFFER_BYTES: usize = 1 << 20;

/// Bytes of a parcel beside its original: the placeholder, the commit, and their frames. It is a guess, and may be too low.
const BESIDE_BYTES: usize = 6 << 10;

/// Random bytes that a parcel takes: a key, three headers, the nonce of the wrapped key, and two ids.
const RANDOM_BYTES: usize = 32 + 3 * 24 + 24 + 2 * 10;

/// Seals what is not sealed yet.
pub(super) fn pack_together(packings: Vec<Packing>, buffers: &Buffers) -> Vec<Parcel> {
    let mut parcels = Vec::with_capacity(packings.len());
    let mut packings = packings.into_iter().peekable();
    while let Some(first) = packings.next() {
        let mut bytes = first.bytes();
        let mut group = vec![first];
        while let Some(next) = packings.next_if(|next| bytes + next.bytes() <= BUFFER_BYTES) {
            bytes += next.bytes();
            group.push(next);
        }
        let (mut frames, mut record) = (buffers.take_slate(bytes), Vec::new());
        let packed: Vec<_> = drawn_at_once(group.len() * RANDOM_BYTES, || {
            let pack = |packing: Packing| {
                let start = frames.end();
                let parcel = packing.pack(&mut frames, &mut record);
                (parcel, start..frames.end())
            };
            group.into_iter().map(pack).collect()
        });
        let all = Bytes::from(frames);
        parcels
            .extend(packed.into_iter().map(|(parcel, place)| Parcel { frames: all.slice(place), ..parcel }));
    }
    parcels
}

impl Packing {
    /// About as many as its frames will have.
    fn bytes(&self) -> usize {
        self.plain.as_ref().map_or(0, Bytes::len) + BESIDE_BYTES
    }

    /// Appends its frames, of which the parcel itself has none yet. The plaintext is dropped. `record` is memory for the commit.
    fn pack(self, frames: &mut Slate, record: &mut Vec<u8>) -> Parcel {
        let mut bytes = 0;
        let plain = self.plain.unwrap_or_default();
        let (key, original) = self.original.unwrap_or_else(|| {
            let (key, header) = (FileKey::generate(), StreamHeader::generate());
            let size = plain.len() + OVERHEAD;
            let original = begin(self.account, header, size, frames);
            seal_whole(&key, &header, &plain, frames.next(size))
                .expect("what is kept in memory is at most one chunk");
            bytes += original.size;
            (key, original)
        });
        drop(plain);
        let placeholder = blob::seal(&key, PLACEHOLDER);
        let thumbnail = begin(self.account, placeholder.header, placeholder.ciphertext.len(), frames);
        frames.append(&placeholder.ciphertext);
        bytes += thumbnail.size;
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
        record.clear();
        append_record(FrameKind::Commit, &commit, record);
        frames.append(record);
        let Self { album, row, thumbnail_is_due, room, .. } = self;
        let kind = self.asset.kind();
        Parcel { frames: Bytes::new(), bytes, commit, kind, album, row, thumbnail_is_due, room }
    }
}

/// The head of an object whose ciphertext comes next, under an id that is drawn here.
fn begin(account: AccountId, header: StreamHeader, size: usize, frames: &mut Slate) -> StoredObject {
    let (id, size) = (draw_id(), size as u64);
    frames.append(&object_head(&id, size));
    StoredObject { object_key: object_key(account, &id), header, size }
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
