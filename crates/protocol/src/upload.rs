//! Upload sessions: minting URLs for objects, whole or in parts, and completing them.

use crate::{ObjectKey, Opaque};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /files/upload-url`: an URL for one object of known size and MD5.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MintRequest {
    /// Bytes of ciphertext, at least 1.
    pub content_length: i64,
    /// MD5 of the ciphertext, base64 or hex.
    #[serde(rename = "contentMD5", default)]
    pub content_md5: String,
}

/// Where one object may be put, with a whole-object `PUT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadUrl {
    /// The object's key, to be named by a commit.
    pub object_key: ObjectKey,
    /// Absolute; authorised by its own signature.
    pub url: String,
}

/// `GET /files/upload-urls?count=N`: the form without sizes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadUrls {
    /// At most 50.
    pub urls: Vec<UploadUrl>,
}

/// `POST /files/multipart-upload-url`: URLs for one object in parts of equal length (the last may be shorter).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MintPartsRequest {
    /// Bytes of ciphertext in all.
    pub content_length: i64,
    /// Bytes of every part but the last.
    pub part_length: i64,
    /// MD5 of every part, in order, base64 or hex.
    #[serde(default)]
    pub part_md5s: Vec<String>,
}

/// Where one object may be put in parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartUrls {
    /// The object's key, to be named by a commit.
    pub object_key: ObjectKey,
    /// One absolute URL a part, in order.
    #[serde(rename = "partURLs")]
    pub part_urls: Vec<String>,
    /// Where the list of parts is posted when all are there.
    #[serde(rename = "completeURL")]
    pub complete_url: String,
}

/// `GET /files/multipart-upload-urls?count=N`: the form without sizes, wrapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedPartUrls {
    /// The same as the bare form.
    pub urls: PartUrls,
}

/// One object as a commit or an update names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// The key that was minted.
    pub object_key: ObjectKey,
    /// The stream header of the ciphertext.
    #[serde(default)]
    pub decryption_header: Opaque,
    /// Bytes of ciphertext; 0 or absent means “do not check”.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
}
