//! What a server says of itself before anybody has signed in: `GET /v1/server`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// In every answer: the present by the clock that deletions are told by, µs since the epoch. `Date` is written by whoever passes an answer on.
pub const TIME_HEADER: &str = "darkslide-time";

/// `GET /v1/server`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerInfo {
    /// Always `darkslide`.
    pub name: String,
    /// The server's own version.
    pub version: String,
    /// The extensions that it has. A client uses what it finds here, and the base API for the rest.
    pub extensions: Vec<Extension>,
    /// The bounds that it keeps.
    pub limits: ServerLimits,
    /// Whether anybody may sign up.
    pub sign_up_open: bool,
    /// The public key of the server's wakes (VAPID, RFC 8292), an uncompressed point in base64url without padding: what a
    /// browser or a UnifiedPush distributor is subscribed with. Absent when it wakes nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vapid_public_key: Option<String>,
}

/// One extension of the base API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Extension {
    /// `GET /v1/changes` and `GET /v1/changes/live`.
    Changes,
    /// `/v1/uploads`: tus 1.0.
    Uploads,
    /// `POST /v1/batch`.
    Batch,
    /// `POST /v1/collections`.
    Collections,
    /// `ifVersion` in what trashes, purges and restores.
    Conditions,
    /// `POST /v1/lookup`, and content tags in commits.
    Lookup,
    /// `POST /v1/receipts`.
    Receipts,
    /// `/v1/devices`.
    Devices,
    /// `/v1/files/{id}/versions`.
    Versions,
    /// One that this client does not know.
    #[serde(other)]
    Unknown,
}

/// Bounds, each with its unit in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerLimits {
    /// The largest object, in bytes of ciphertext.
    pub object_bytes_max: u64,
    /// The most items in the body of one call that takes a list, where nothing else is said here.
    pub items_max: u64,
    /// The most bytes of a batch's body.
    pub batch_bytes_max: u64,
    /// The most objects in a batch.
    pub batch_objects_max: u64,
    /// The most commits in a batch, and the most thumbnails.
    pub batch_commits_max: u64,
    /// The most collections that one call makes.
    pub collections_max: u64,
    /// The most tags in one look-up.
    pub lookup_tags_max: u64,
    /// The most changes on a page of the feed.
    pub changes_max: u64,
    /// How long an upload that nobody goes on with is kept, in microseconds.
    pub upload_lifetime_micros: i64,
    /// How long a trashed file stays, in microseconds.
    pub trash_retention_micros: i64,
}
