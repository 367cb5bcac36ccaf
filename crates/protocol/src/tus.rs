//! Resumable uploads: the headers of tus 1.0 and of what this server adds to it.
//!
//! There are no bodies but the bytes themselves; failures are problems as everywhere under `/v1`.

use crate::Opaque;

/// The version of tus that is spoken, in `Tus-Resumable` and `Tus-Version`.
pub const VERSION: &str = "1.0.0";

/// The extensions of tus that are offered, in `Tus-Extension`.
pub const EXTENSIONS: &str = "creation,creation-with-upload,checksum,expiration,termination";

/// The algorithms that `Upload-Checksum` may name, in `Tus-Checksum-Algorithm`.
pub const CHECKSUM_ALGORITHMS: &str = "sha1,sha256,md5,blake3";

/// The media type of bytes on their way up.
pub const CONTENT_TYPE: &str = "application/offset+octet-stream";

/// Names of headers, as they are written in HTTP/2.
pub mod header {
    /// The version of tus; on every request and every answer.
    pub const TUS_RESUMABLE: &str = "tus-resumable";
    /// The versions that a server speaks.
    pub const TUS_VERSION: &str = "tus-version";
    /// The extensions that a server has.
    pub const TUS_EXTENSION: &str = "tus-extension";
    /// The largest upload, in bytes.
    pub const TUS_MAX_SIZE: &str = "tus-max-size";
    /// The algorithms that a server can check.
    pub const TUS_CHECKSUM_ALGORITHM: &str = "tus-checksum-algorithm";
    /// Bytes of the whole upload.
    pub const UPLOAD_LENGTH: &str = "upload-length";
    /// Bytes that the server has, durably.
    pub const UPLOAD_OFFSET: &str = "upload-offset";
    /// When the upload is given up if nothing more comes, as an HTTP date.
    pub const UPLOAD_EXPIRES: &str = "upload-expires";
    /// What the body must hash to: `<algorithm> <base64>`.
    pub const UPLOAD_CHECKSUM: &str = "upload-checksum";
    /// What the client tells of the upload, and is told again.
    pub const UPLOAD_METADATA: &str = "upload-metadata";
    /// Lengths that are told later; refused.
    pub const UPLOAD_DEFER_LENGTH: &str = "upload-defer-length";
    /// Uploads in several pieces side by side; refused.
    pub const UPLOAD_CONCAT: &str = "upload-concat";
    /// The method that is meant, where a client or proxy can only `POST`.
    pub const METHOD_OVERRIDE: &str = "x-http-method-override";
    /// The key that a commit names the object by.
    pub const OBJECT_KEY: &str = "darkslide-object-key";
    /// Where the newest chunk began: the chunk is what one request brought, or as much of it as came.
    pub const CHUNK_OFFSET: &str = "darkslide-chunk-offset";
    /// `blake3 <base64>` of the newest chunk's bytes.
    pub const CHUNK_DIGEST: &str = "darkslide-chunk-digest";
}

/// A chunk's digest as [`header::CHUNK_DIGEST`] tells it.
pub fn chunk_digest(blake3: &[u8; 32]) -> String {
    format!("blake3 {}", Opaque::encode(blake3).0)
}
