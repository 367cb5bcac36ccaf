//! `POST /v1/batch`: many small objects, and the commits that name them, in one request with one durable flush.
//!
//! The body is a sequence of frames, in any order but that an object comes before the commit that names it:
//!
//! ```text
//! object    01 ‖ id (16, a UUID) ‖ length (LE64) ‖ the object's bytes
//! commit    02 ‖ length (LE64) ‖ a `CommitRequest` as JSON
//! thumbnail 03 ‖ length (LE64) ‖ a `ThumbnailRequest` as JSON
//! ```
//!
//! The client draws an object's id, so that a batch whose answer was lost can be sent again: its key is `<account>/<id>`. An
//! object that no commit of the batch names waits for one as any upload does. Nothing here is encrypted or opened.

use crate::change::Span;
use crate::file::File;
use crate::upload::ObjectReference;
use crate::{AccountId, CollectionId, FileId, ObjectKey, Opaque, Problem, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of a batch.
pub const BATCH: &str = "application/vnd.darkslide.batch";

/// The most bytes that a batch may have: what a lost connection costs at most.
pub const BATCH_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The most objects in a batch.
pub const BATCH_OBJECTS_MAX: usize = 2000;

/// The most commits, and the most thumbnails, in a batch.
pub const BATCH_COMMITS_MAX: usize = 1000;

/// The longest JSON of one frame, in bytes.
pub const BATCH_RECORD_BYTES_MAX: u64 = 1024 * 1024;

/// The longest JSON of all frames together, in bytes: it is held in memory.
pub const BATCH_RECORDS_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Bytes of a frame that come before an object's own.
pub const OBJECT_HEAD_LEN: usize = 25;

/// Bytes of a frame that come before its JSON.
pub const RECORD_HEAD_LEN: usize = 9;

/// What a frame holds: its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// An object's bytes.
    Object,
    /// A commit.
    Commit,
    /// A file's new thumbnail.
    Thumbnail,
}

impl FrameKind {
    /// The byte on the wire.
    pub fn byte(self) -> u8 {
        match self {
            Self::Object => 1,
            Self::Commit => 2,
            Self::Thumbnail => 3,
        }
    }

    /// What a byte on the wire means.
    pub fn of(byte: u8) -> Option<Self> {
        [Self::Object, Self::Commit, Self::Thumbnail].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// What stands before an object of `length` bytes.
pub fn object_head(id: &[u8; 16], length: u64) -> [u8; OBJECT_HEAD_LEN] {
    let mut head = [0; OBJECT_HEAD_LEN];
    let (kind, rest) = head.split_at_mut(1);
    kind.fill(FrameKind::Object.byte());
    let (name, size) = rest.split_at_mut(16);
    name.copy_from_slice(id);
    size.copy_from_slice(&length.to_le_bytes());
    head
}

/// What stands before a record of `length` bytes of JSON.
pub fn record_head(kind: FrameKind, length: u64) -> [u8; RECORD_HEAD_LEN] {
    let mut head = [0; RECORD_HEAD_LEN];
    let (first, size) = head.split_at_mut(1);
    first.fill(kind.byte());
    size.copy_from_slice(&length.to_le_bytes());
    head
}

/// The key of an object whose id a client drew, in lower-case hexadecimal with hyphens (RFC 9562 §4).
pub fn object_key(account: AccountId, id: &[u8; 16]) -> ObjectKey {
    let hex = format!("{:032x}", u128::from_be_bytes(*id));
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32];
    let uuid: Vec<&str> = groups.into_iter().filter_map(|group| hex.get(group)).collect();
    ObjectKey(format!("{account}/{}", uuid.join("-")))
}

/// A file's new thumbnail: `PUT /files/thumbnail`, and frame 03.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ThumbnailRequest {
    /// The file, owned by the caller.
    #[serde(rename = "fileID")]
    pub file_id: FileId,
    /// The new thumbnail.
    pub thumbnail: ObjectReference,
    /// What it is a thumbnail of: the `decryptionHeader` of the file's original. Refused (409) where the file has another one by now.
    #[serde(rename = "ifOriginal", default, skip_serializing_if = "Option::is_none")]
    pub if_original: Option<Opaque>,
}

/// What a batch answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchAnswer {
    /// One for each commit, in their order.
    pub commits: Vec<CommitAnswer>,
    /// One for each thumbnail, in their order.
    pub thumbnails: Vec<ThumbnailAnswer>,
    /// What the account's feed says of this batch; missing where that is nothing, or more than the answers tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
}

/// What became of one commit. All or nothing each; none depends on another, except that of two with the same content tag the
/// second is answered with the first's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum CommitAnswer {
    /// It is a file now; a repeated commit is answered as the first time, whatever was done to the file since.
    #[serde(rename_all = "camelCase")]
    Created {
        /// The file.
        id: FileId,
        /// Its membership's version as the commit made it, or an earlier one: never that of something that was done to it since.
        updation_time: Version,
    },
    /// The account has a live file with this content tag; nothing was made, and the objects are not needed.
    Existing {
        /// One of its memberships.
        file: Box<File>,
    },
    /// It could not be made.
    Refused {
        /// Why, as the commit alone would have been answered.
        problem: Problem,
    },
}

/// What became of one thumbnail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum ThumbnailAnswer {
    /// The file has it, now or since before.
    #[serde(rename_all = "camelCase")]
    Replaced {
        /// The version of the file's membership, where it has one and no more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        updation_time: Option<Version>,
        /// The collection of that membership.
        #[serde(rename = "collectionID", default, skip_serializing_if = "Option::is_none")]
        collection_id: Option<CollectionId>,
    },
    /// It could not be replaced.
    Refused {
        /// Why.
        problem: Problem,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_uuids() {
        let id: [u8; 16] = std::array::from_fn(|at| u8::try_from(at * 17).unwrap());
        assert_eq!(object_key(AccountId(7), &id).0, "7/00112233-4455-6677-8899-aabbccddeeff");
    }

    #[test]
    fn heads_are_as_the_format_says() {
        assert_eq!(
            object_head(&[9; 16], 0x0102)[..],
            [&[1][..], &[9; 16], &[2, 1, 0, 0, 0, 0, 0, 0]].concat()
        );
        assert_eq!(record_head(FrameKind::Commit, 3), [2, 3, 0, 0, 0, 0, 0, 0, 0]);
        for byte in 0..=255 {
            assert_eq!(FrameKind::of(byte).map(FrameKind::byte), (1..=3).contains(&byte).then_some(byte));
        }
    }
}
