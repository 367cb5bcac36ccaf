//! Files and their memberships, as commits name them and as diffs list them.

use crate::upload::ObjectReference;
use crate::{AccountId, CollectionId, ContentTag, FileId, MagicMetadata, ObjectKey, Opaque, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A file's key wrapped by one collection's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileKey {
    /// The file.
    pub id: FileId,
    /// The file's key under the collection's key.
    #[serde(default)]
    pub encrypted_key: Opaque,
    /// Its nonce.
    #[serde(default)]
    pub key_decryption_nonce: Opaque,
}

/// The immutable metadata blob, which travels inline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Encrypted JSON; absent for purged files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted_data: Option<Opaque>,
    /// Its stream header; always a string, maybe empty.
    #[serde(default)]
    pub decryption_header: Opaque,
    /// Always 0: kept because readers expect a number.
    #[serde(default)]
    pub size: i64,
}

/// `POST /files`: commits two stored objects as one file in one collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommitRequest {
    /// Absent or 0; a commit with an id is an update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<FileId>,
    /// The collection that it appears in.
    #[serde(rename = "collectionID", default)]
    pub collection_id: CollectionId,
    /// The file's key under the collection's key.
    #[serde(default)]
    pub encrypted_key: Opaque,
    /// Its nonce.
    #[serde(default)]
    pub key_decryption_nonce: Opaque,
    /// The original.
    pub file: ObjectReference,
    /// The thumbnail.
    pub thumbnail: ObjectReference,
    /// Name, date, place, hash: encrypted.
    pub metadata: Metadata,
    /// Private, mutable; unused by stock clients at commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub magic_metadata: Option<MagicMetadata>,
    /// Public to everyone with access, mutable; stored with the version that it comes with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pub_magic_metadata: Option<MagicMetadata>,
    /// Not of the base API: a keyed hash of the content hash. Two live files of an account never have the same one; a commit
    /// whose tag a live file has is answered with that file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_tag: Option<ContentTag>,
}

/// `PUT /files/update`: replaces the content under the same file key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateRequest {
    /// The file, owned by the caller.
    pub id: FileId,
    /// The new original.
    pub file: ObjectReference,
    /// The new thumbnail.
    pub thumbnail: ObjectReference,
    /// The new metadata.
    pub metadata: Metadata,
    /// Not of the base API: the new contents' tag. Without it the file has none; nor has it one that another live file has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_tag: Option<ContentTag>,
    /// Not of the base API: done only if the file's version is still this one; where it is in the trash, the trash item's. Else
    /// `PUT /files/update` answers 409 with `VersionConflicts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<Version>,
}

/// What an update answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateResponse {
    /// The file.
    pub id: FileId,
    /// Its memberships' new version.
    pub updation_time: Version,
}

/// One object as a file lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileObject {
    /// Only in the answer to the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_key: Option<ObjectKey>,
    /// Its stream header; always a string, maybe empty.
    #[serde(default)]
    pub decryption_header: Opaque,
    /// 0 in diffs: `info` has the sizes.
    #[serde(default)]
    pub size: i64,
}

/// Sizes of the two objects, in bytes of ciphertext.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileInfo {
    /// The original.
    #[serde(default)]
    pub file_size: i64,
    /// The thumbnail.
    #[serde(default)]
    pub thumb_size: i64,
}

/// One membership joined with its file. The same `id` appears in every collection that the file is in, with that
/// collection's wrapping of its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// The file.
    pub id: FileId,
    /// Whose it is.
    #[serde(rename = "ownerID")]
    pub owner_id: AccountId,
    /// The collection that this membership is in.
    #[serde(rename = "collectionID")]
    pub collection_id: CollectionId,
    /// Whose collection it is; null in the trash.
    #[serde(rename = "collectionOwnerID", default)]
    pub collection_owner_id: Option<AccountId>,
    /// When the membership began, µs since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection_added_at: Option<i64>,
    /// The file's key under this collection's key.
    pub encrypted_key: Opaque,
    /// Its nonce.
    pub key_decryption_nonce: Opaque,
    /// The original.
    pub file: FileObject,
    /// The thumbnail.
    pub thumbnail: FileObject,
    /// Name, date, place, hash: encrypted.
    pub metadata: Metadata,
    /// No longer in this collection.
    #[serde(default)]
    pub is_deleted: bool,
    /// The membership's version: the cursor of the collection's diff.
    pub updation_time: Version,
    /// Shown to the file's owner only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub magic_metadata: Option<MagicMetadata>,
    /// Shown to everyone with access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pub_magic_metadata: Option<MagicMetadata>,
    /// Encrypted sizes; absent only for purged files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<FileInfo>,
}

/// A page of one collection's diff, oldest change first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileDiff {
    /// Memberships whose version is later than the cursor.
    pub diff: Vec<File>,
    /// Whether another page follows; never true on an empty page.
    pub has_more: bool,
}

/// `PUT /files/magic-metadata` and `PUT /files/public-magic-metadata`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MagicUpdateRequest {
    /// At most 1000.
    pub metadata_list: Vec<FileMagic>,
    /// Do not bump the memberships: other devices need not hear of it.
    #[serde(default)]
    pub skip_version: Option<bool>,
}

/// One file's new magic metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileMagic {
    /// The file, owned by the caller.
    pub id: FileId,
    /// With the version that the client last saw.
    pub magic_metadata: MagicMetadata,
}

/// A list of files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileIds {
    /// The files.
    #[serde(rename = "fileIDs")]
    #[schema(value_type = std::collections::BTreeSet<FileId>, max_items = 1000)]
    pub file_ids: Vec<FileId>,
}

/// `POST /files/info`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilesInfo {
    /// One entry a requested id.
    pub files_info: Vec<FilesInfoEntry>,
}

/// The sizes of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilesInfoEntry {
    /// The file.
    pub id: FileId,
    /// Its sizes; -1 where unknown.
    pub file_info: FileInfo,
}

/// `{"size":n}`: bytes of ciphertext of some originals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalSize {
    /// Bytes.
    pub size: i64,
}

/// `{"file":{…}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedFile {
    /// The file.
    pub file: File,
}
