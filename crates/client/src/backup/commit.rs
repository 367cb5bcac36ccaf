//! The commit: what makes one file of one collection of two objects.

use darkslide_crypto::ContentHash;
use darkslide_crypto::keys::{FileKey, Wraps as _};
use darkslide_crypto::stream::blob;
use darkslide_protocol::file::{CommitRequest, Metadata};
use darkslide_protocol::upload::ObjectReference;
use darkslide_protocol::{ContentTag, MagicMetadata, Opaque};

use super::albums::Album;
use super::describe;
use super::identify::Asset;
use super::magic::envelope;
use super::upload::StoredObject;

/// What is committed.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// The picture or video.
    pub asset: &'a Asset,
    /// Its name by content.
    pub content: &'a ContentHash,
    /// What the server may compare of that.
    pub tag: &'a ContentTag,
    /// Where it goes.
    pub album: &'a Album,
    /// Its key.
    pub key: &'a FileKey,
    /// The original.
    pub original: &'a StoredObject,
    /// The thumbnail.
    pub thumbnail: &'a StoredObject,
    /// Whether that is the placeholder for good.
    pub is_placeholder: bool,
}

/// What makes a file of the two objects.
pub(super) fn request(commit: Commit<'_>) -> CommitRequest {
    let wrapped = commit.album.key.wrap_key(commit.key);
    let metadata = describe::metadata(commit.asset, commit.content, commit.is_placeholder);
    let public = describe::public_metadata(commit.asset, commit.is_placeholder);
    CommitRequest {
        id: None,
        collection_id: commit.album.id,
        encrypted_key: Opaque::encode(wrapped.ciphertext),
        key_decryption_nonce: Opaque::encode(wrapped.nonce.as_bytes()),
        file: reference(commit.original),
        thumbnail: reference(commit.thumbnail),
        metadata: sealed_metadata(commit.key, &metadata.to_json()),
        magic_metadata: magic(commit.key, &describe::private_metadata(commit.asset).to_json()),
        pub_magic_metadata: magic(commit.key, &public.to_json()),
        content_tag: Some(commit.tag.clone()),
    }
}

pub(super) fn reference(object: &StoredObject) -> ObjectReference {
    ObjectReference {
        object_key: object.object_key.clone(),
        decryption_header: Opaque::encode(object.header.as_bytes()),
        size: i64::try_from(object.size).ok(),
    }
}

/// What is said of a file, under its key.
pub(super) fn sealed_metadata(key: &FileKey, json: &[u8]) -> Metadata {
    let metadata = blob::seal(key, json);
    Metadata {
        encrypted_data: Some(Opaque::encode(&metadata.ciphertext)),
        decryption_header: Opaque::encode(metadata.header.as_bytes()),
        size: 0,
    }
}

/// The envelope of magic metadata in its first version; none where there is nothing to say, as an empty one is
/// refused.
fn magic(key: &FileKey, json: &[u8]) -> Option<MagicMetadata> {
    let keys: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(json).expect("metadata are a JSON object");
    (!keys.is_empty()).then(|| envelope(key, 1, keys.len(), json))
}
