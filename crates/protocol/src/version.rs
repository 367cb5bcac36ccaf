//! Earlier contents of a file that was edited, as they are listed and brought back.

use crate::file::{FileObject, Metadata};
use crate::{FileId, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /v1/files/{id}/versions`: what the file was before, the latest first. What it is now is not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EarlierVersions {
    /// The file.
    #[serde(rename = "fileID")]
    pub file_id: FileId,
    /// Those that can be brought back.
    pub versions: Vec<EarlierVersion>,
}

/// What a file was for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EarlierVersion {
    /// The file's version while it was that: what `restore` names.
    pub version: Version,
    /// The original of that time, under the file's key.
    pub file: FileObject,
    /// The thumbnail of that time.
    pub thumbnail: FileObject,
    /// The metadata of that time.
    pub metadata: Metadata,
    /// When it was replaced, µs since the epoch.
    pub replaced_at: i64,
    /// Until when it can be brought back, µs since the epoch.
    pub expires_at: i64,
}
