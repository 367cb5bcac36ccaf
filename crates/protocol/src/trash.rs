//! The trash: where files wait for 30 days before they are purged.

use crate::{CollectionId, FileId, Opaque, Version, file::File, file::FileKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /files/trash`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrashRequest {
    /// At most 1000, no file twice.
    pub items: Vec<TrashRequestItem>,
}

/// One file to trash, and the collection that it is remembered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrashRequestItem {
    /// The file; it leaves all its collections.
    #[serde(rename = "fileID")]
    pub file_id: FileId,
    /// The collection whose key pair is kept with the trash item.
    #[serde(rename = "collectionID")]
    pub collection_id: CollectionId,
    /// Trash it only if this is still its version: the newest `updationTime` of its memberships, tombstones included, in
    /// collections that are not deleted. Else `POST /files/trash` answers 409 with `VersionConflicts`.
    #[serde(rename = "ifVersion", default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<Version>,
}

/// One entry of the trash feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrashItem {
    /// The file, with the key pair of the collection that it was trashed from.
    pub file: File,
    /// Purged: its bytes are gone or going, and it cannot come back.
    pub is_deleted: bool,
    /// Taken out of the trash again. Never together with `is_deleted`.
    pub is_restored: bool,
    /// When it will be purged, µs since the epoch.
    pub delete_by: i64,
    /// When it was trashed, µs since the epoch.
    pub created_at: i64,
    /// The cursor of the trash feed.
    pub updated_at: Version,
}

/// A page of the trash feed, oldest change first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrashDiff {
    /// Entries whose `updatedAt` is later than the cursor.
    pub diff: Vec<TrashItem>,
    /// Whether another page follows; never true on an empty page.
    pub has_more: bool,
}

/// `POST /trash/delete`: purge these now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurgeRequest {
    /// Those not in the trash are passed over.
    #[serde(rename = "fileIDs", default)]
    pub file_ids: Vec<FileId>,
    /// Those to purge on a condition: none of them is among the others. A server that does not know conditions passes them over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<PurgeItem>,
}

/// One file to purge if it is as the client has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurgeItem {
    /// The file.
    #[serde(rename = "fileID")]
    pub file_id: FileId,
    /// The `updatedAt` of its trash item. When that is another, `POST /trash/delete` answers 409 with `VersionConflicts`.
    #[serde(rename = "ifVersion")]
    pub if_version: Version,
}

/// `POST /trash/empty`: purge all that the client has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EmptyTrashRequest {
    /// The client's cursor: what was trashed later survives.
    #[serde(default)]
    pub last_updated_at: Version,
}

/// `POST /collections/restore-files`: back from the trash into one collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestoreRequest {
    /// Owned by the caller, not deleted.
    #[serde(rename = "collectionID")]
    pub collection_id: CollectionId,
    /// At most 1000, each with its key wrapped for that collection.
    pub files: Vec<RestoreItem>,
}

/// One file to restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreItem {
    /// The file.
    pub id: FileId,
    /// The file's key under the collection's key.
    #[serde(default)]
    pub encrypted_key: Opaque,
    /// Its nonce.
    #[serde(default)]
    pub key_decryption_nonce: Opaque,
    /// Restore it only if this is still the `updatedAt` of its trash item. Else `POST /collections/restore-files` answers 409 with
    /// `VersionConflicts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<Version>,
}

impl RestoreItem {
    /// On no condition, or on one.
    pub fn new(key: FileKey, if_version: Option<Version>) -> Self {
        let FileKey { id, encrypted_key, key_decryption_nonce } = key;
        Self { id, encrypted_key, key_decryption_nonce, if_version }
    }

    /// The file with its key.
    pub fn key(self) -> FileKey {
        let Self { id, encrypted_key, key_decryption_nonce, .. } = self;
        FileKey { id, encrypted_key, key_decryption_nonce }
    }
}

/// What a purged file's header fields hold when an old membership still mentions it.
pub fn purged_marker() -> Opaque {
    Opaque("-".to_owned())
}
