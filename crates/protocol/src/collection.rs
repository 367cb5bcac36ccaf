//! Collections: albums on the server.

use crate::change::Span;
use crate::file::FileKey;
use crate::{AccountId, CollectionId, FileId, MagicMetadata, Opaque, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a collection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CollectionType {
    /// Made by a person.
    #[serde(alias = "CollectionType.album")]
    Album,
    /// Made from a device album.
    #[serde(alias = "CollectionType.folder")]
    Folder,
    /// The one for favourites; at most one an account.
    #[serde(alias = "CollectionType.favorites")]
    Favorites,
    /// The one for files that are in no album; at most one an account.
    #[serde(alias = "CollectionType.uncategorized")]
    Uncategorized,
}

impl CollectionType {
    /// The word on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Album => "album",
            Self::Folder => "folder",
            Self::Favorites => "favorites",
            Self::Uncategorized => "uncategorized",
        }
    }

    /// The type that a stored word names.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Album, Self::Folder, Self::Favorites, Self::Uncategorized]
            .into_iter()
            .find(|candidate| candidate.as_str() == word)
    }

    /// Whether an account has at most one of them, which cannot be deleted.
    pub fn is_singular(self) -> bool {
        matches!(self, Self::Favorites | Self::Uncategorized)
    }
}

/// A person, as far as a collection mentions one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Person {
    /// The account.
    pub id: AccountId,
    /// Never null; empty for the caller's own collections.
    #[serde(default)]
    pub email: String,
    /// Always empty.
    #[serde(default)]
    pub name: String,
    /// `OWNER`, `VIEWER`, `COLLABORATOR`, `ADMIN`, or empty.
    #[serde(default)]
    pub role: String,
}

/// Where on a device a folder collection comes from. Never null in answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attributes {
    /// The encrypted device path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted_path: Option<Opaque>,
    /// Its nonce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_decryption_nonce: Option<Opaque>,
    /// 0 without a path, 1 with one.
    #[serde(default)]
    pub version: i64,
}

/// `POST /collections`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateCollectionRequest {
    /// The collection's key under the master key: 48 bytes.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9+/]{64}$")]
    pub encrypted_key: Opaque,
    /// Its nonce: 24 bytes.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9+/]{32}$")]
    pub key_decryption_nonce: Opaque,
    /// The name under the collection's key.
    #[serde(default)]
    pub encrypted_name: Opaque,
    /// Its nonce.
    #[serde(default)]
    pub name_decryption_nonce: Opaque,
    /// What it is for.
    #[serde(rename = "type")]
    #[schema(value_type = String, pattern = "^(album|folder)$")]
    pub kind: CollectionType,
    /// Absent from web, and of no use to clients that know the extensions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub attributes: Option<Attributes>,
    /// Private, mutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub magic_metadata: Option<MagicMetadata>,
    /// Visible to all with access, mutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pub_magic_metadata: Option<MagicMetadata>,
}

/// `POST /v1/collections`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateCollectionsRequest {
    /// Of the kinds of which an account may have several.
    pub collections: Vec<CreateCollectionRequest>,
}

/// What `POST /v1/collections` made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedCollections {
    /// One for each that was asked for, in their order.
    pub collections: Vec<Collection>,
    /// What the account's feed says of them; absent where one was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
}

/// A collection as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Collection {
    /// The collection.
    pub id: CollectionId,
    /// Whose it is.
    pub owner: Person,
    /// Its key: under the master key for its owner, sealed to the public key for whom it is shared with.
    pub encrypted_key: Opaque,
    /// Its nonce; absent for sharees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_decryption_nonce: Option<Opaque>,
    /// Always empty: names are encrypted.
    #[serde(default)]
    pub name: String,
    /// The name under the collection's key.
    #[serde(default)]
    pub encrypted_name: Opaque,
    /// Its nonce.
    #[serde(default)]
    pub name_decryption_nonce: Opaque,
    /// What it is for.
    #[serde(rename = "type")]
    pub kind: CollectionType,
    /// Never null.
    #[serde(default)]
    pub attributes: Attributes,
    /// Who else sees it.
    #[serde(default, deserialize_with = "null_as_default")]
    pub sharees: Vec<Person>,
    /// Its public links: none on this server.
    #[serde(rename = "publicURLs", default, deserialize_with = "null_as_default")]
    #[schema(value_type = Vec<Object>)]
    pub public_urls: Vec<serde_json::Value>,
    /// Later than, or equal to, that of every membership in it.
    pub updation_time: Version,
    /// Since when it is shared with the caller, µs since the epoch; absent for its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_at: Option<i64>,
    /// A tombstone: listed for ever, with its keys, since the trash needs them.
    #[serde(default)]
    pub is_deleted: bool,
    /// Private, mutable; its owner's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub magic_metadata: Option<MagicMetadata>,
    /// Visible to all with access, mutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pub_magic_metadata: Option<MagicMetadata>,
    /// What the caller, with whom it is shared, keeps about it for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_magic_metadata: Option<MagicMetadata>,
    /// Always `photos`.
    #[serde(default)]
    pub app: String,
}

/// `{"collection":{…}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedCollection {
    /// The collection.
    pub collection: Collection,
}

/// `GET /collections/v2`: all that changed after the cursor, tombstones included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collections {
    /// In no order.
    pub collections: Vec<Collection>,
}

/// `POST /collections/rename`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RenameRequest {
    /// Owned by the caller.
    #[serde(rename = "collectionID")]
    pub collection_id: CollectionId,
    /// The new name under the collection's key.
    pub encrypted_name: Opaque,
    /// Its nonce.
    pub name_decryption_nonce: Opaque,
}

/// `PUT /collections/magic-metadata` and `PUT /collections/public-magic-metadata`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CollectionMagicRequest {
    /// Owned by the caller.
    pub id: CollectionId,
    /// Stored one version later; collections have no version check.
    pub magic_metadata: MagicMetadata,
}

/// `POST /collections/share`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShareRequest {
    /// The collection.
    #[serde(rename = "collectionID")]
    pub collection_id: CollectionId,
    /// With whom.
    pub email: String,
    /// The collection's key sealed to their public key: 80 bytes.
    pub encrypted_key: Opaque,
    /// `VIEWER` when absent, `COLLABORATOR` or `ADMIN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// `POST /collections/unshare`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnshareRequest {
    /// The collection.
    #[serde(rename = "collectionID")]
    pub collection_id: CollectionId,
    /// With whom no longer.
    pub email: String,
}

/// Who else sees a collection: what sharing it is answered with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sharees {
    /// In the order in which they came.
    #[serde(default, deserialize_with = "null_as_default")]
    pub sharees: Vec<Person>,
}

/// `POST /collections/add-files`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddFilesRequest {
    /// The collection.
    #[serde(rename = "collectionID")]
    pub collection_id: CollectionId,
    /// At most 1000, owned by the caller, no file twice.
    pub files: Vec<FileKey>,
}

/// `POST /collections/move-files`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveFilesRequest {
    /// Where they leave.
    #[serde(rename = "fromCollectionID")]
    pub from_collection_id: CollectionId,
    /// Where they go.
    #[serde(rename = "toCollectionID")]
    pub to_collection_id: CollectionId,
    /// At most 1000, each with its key wrapped for the new collection.
    pub files: Vec<FileKey>,
}

/// `POST /collections/v3/remove-files`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveFilesRequest {
    /// The collection.
    #[serde(rename = "collectionID")]
    pub collection_id: CollectionId,
    /// At most 1000.
    #[serde(rename = "fileIDs")]
    pub file_ids: Vec<FileId>,
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
