//! The error body of the base API, and its codes.
//!
//! It is always a JSON object, for stock phones index into it: `{"code","message"}` where a client acts on the
//! code, `{}` where the status says it all.

use crate::{FileId, Problem, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a failed call answers. Both fields absent is the common case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// An upper-case code that clients may act on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Set instead of the two others by authentication and rate limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a conditional call answers, with 409, when something is not as the client has seen it: a problem (RFC 9457), though the call
/// is one of the base API. Nothing of the call was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionConflicts {
    /// Its code is `VERSION_CONFLICT`.
    #[serde(flatten)]
    pub problem: Problem,
    /// Every file of the call that is not at the version that was named.
    pub conflicts: Vec<VersionConflict>,
}

/// A file that has changed since the client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionConflict {
    /// The file.
    #[serde(rename = "fileID")]
    pub file_id: FileId,
    /// Its version now. A client reads what has changed before it names this one.
    pub version: Version,
}

/// The codes that clients act on.
pub mod code {
    /// A request that cannot be carried out as it is.
    pub const BAD_REQUEST: &str = "BAD_REQUEST";
    /// Sign-in with an address that has no account.
    pub const USER_NOT_REGISTERED: &str = "USER_NOT_REGISTERED";
    /// Sign-in with an address whose sign-up was not finished.
    pub const USER_SIGNUP_INCOMPLETE: &str = "USER_SIGNUP_INCOMPLETE";
    /// Sign-up with an address that has an account.
    pub const USER_ALREADY_REGISTERED: &str = "USER_ALREADY_REGISTERED";
    /// The account asks for an e-mailed code before the password.
    pub const EMAIL_MFA_ENABLED: &str = "EMAIL_MFA_ENABLED";
    /// The change does not fit what is there.
    pub const CONFLICT: &str = "CONFLICT";
    /// A sign-in attempt that already succeeded once.
    pub const SESSION_ALREADY_VERIFIED: &str = "SESSION_ALREADY_VERIFIED";
    /// A sign-in attempt that was tried too often.
    pub const TOO_MANY_WRONG_ATTEMPTS: &str = "TOO_MANY_WRONG_ATTEMPTS";
    /// Too many sign-in attempts of one account that were never finished.
    pub const TOO_MANY_UNVERIFIED_SESSIONS: &str = "TOO_MANY_UNVERIFIED_SESSIONS";
    /// A different value is already stored.
    pub const ALREADY_EXISTS: &str = "ALREADY_EXISTS";
    /// The collection is a tombstone.
    pub const COLLECTION_DELETED: &str = "COLLECTION_DELETED";
    /// The collection still has files that the caller asked to keep.
    pub const COLLECTION_NOT_EMPTY: &str = "COLLECTION_NOT_EMPTY";
    /// The file is in the trash, or was purged from it.
    pub const FILE_IN_TRASH: &str = "FILE_IN_TRASH";
    /// The file is not in that collection.
    pub const FILE_NOT_FOUND_IN_ALBUM: &str = "FILE_NOT_FOUND_IN_ALBUM";
    /// No device that is signed in has that id.
    pub const DEVICE_NOT_FOUND: &str = "DEVICE_NOT_FOUND";
    /// An object that a commit names is not stored.
    pub const OBJECT_SIZE_FETCH_FAILED: &str = "OBJECT_SIZE_FETCH_FAILED";
    /// The server's own disk is full: not a stock code; stock clients act on its status, 503.
    pub const DISK_FULL: &str = "DISK_FULL";
    /// Something is not as the client of a conditional call has seen it.
    pub const VERSION_CONFLICT: &str = "VERSION_CONFLICT";
    /// An earlier version is not brought back: its bytes are missing or damaged on the server's disk.
    pub const VERSION_DAMAGED: &str = "VERSION_DAMAGED";
    /// There is no such thing.
    pub const NOT_FOUND: &str = "NOT_FOUND";
}
