//! What a failed request answers, in the base API's three shapes: `{"code","message"}`, `{}`, and `{"error"}`.
//!
//! The detail of a failure is logged, never sent.

use crate::objects::ObjectError;
use crate::routes::problem;
use crate::store::StoreError;
use crate::store::change::ChangeError;
use crate::vouch::VouchError;
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use darkslide_protocol::error::{VersionConflict, VersionConflicts, code};
use darkslide_protocol::problem::PROBLEM_JSON;
use darkslide_protocol::receipt::Damage;
use darkslide_protocol::{ErrorBody, Problem};

/// A request that failed.
#[derive(Debug)]
pub enum ApiError {
    /// The status says it all: `{}`.
    Status(StatusCode),
    /// Clients act on the code.
    Coded(StatusCode, &'static str, &'static str),
    /// 409, and the files of a conditional call that are not as its client has seen them.
    Unseen(Vec<VersionConflict>),
    /// Refused before the route was reached: authentication, rate limits.
    Gate(StatusCode, &'static str),
    /// The database failed.
    Store(StoreError),
    /// The blobs' folder failed.
    Objects(ObjectError),
    /// Something else of ours failed; the text is for the log.
    Internal(String),
}

/// What every handler returns.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// 400 `{}`.
    pub const BAD_REQUEST: Self = Self::Status(StatusCode::BAD_REQUEST);
    /// 403 `{}`.
    pub const FORBIDDEN: Self = Self::Status(StatusCode::FORBIDDEN);
    /// 404 `{}`.
    pub const NOT_FOUND: Self = Self::Status(StatusCode::NOT_FOUND);
    /// 409 `{}`.
    pub const CONFLICT: Self = Self::Status(StatusCode::CONFLICT);
    /// 413 `{}`: this file is too large, or this batch.
    pub const TOO_LARGE: Self = Self::Status(StatusCode::PAYLOAD_TOO_LARGE);
    /// 426 `{}`: the account's quota is used up. Stock clients stop their queue on exactly this status.
    pub const QUOTA: Self = Self::Status(StatusCode::UPGRADE_REQUIRED);
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<VouchError> for ApiError {
    fn from(error: VouchError) -> Self {
        match error {
            VouchError::Store(error) => Self::Store(error),
            VouchError::Objects(error) => Self::Objects(error),
        }
    }
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Store(error) => Self::Store(error),
            ChangeError::Malformed(what) => Self::Coded(StatusCode::BAD_REQUEST, code::BAD_REQUEST, what),
            ChangeError::NotFound => Self::NOT_FOUND,
            ChangeError::CollectionDeleted => {
                Self::Coded(StatusCode::NOT_FOUND, code::COLLECTION_DELETED, "the collection is deleted")
            }
            ChangeError::NotOwner => Self::FORBIDDEN,
            ChangeError::FileInTrash => {
                Self::Coded(StatusCode::CONFLICT, code::FILE_IN_TRASH, "a file is in the trash")
            }
            ChangeError::CollectionNotEmpty => {
                Self::Coded(StatusCode::CONFLICT, code::COLLECTION_NOT_EMPTY, "the collection is not empty")
            }
            ChangeError::VersionConflict | ChangeError::OtherOriginal => Self::CONFLICT,
            ChangeError::Unseen(conflicts) => Self::Unseen(conflicts),
            ChangeError::ObjectMissing => Self::Coded(
                StatusCode::SERVICE_UNAVAILABLE,
                code::OBJECT_SIZE_FETCH_FAILED,
                "an object is not stored",
            ),
            ChangeError::VersionDamaged(damage) => {
                Self::Coded(StatusCode::CONFLICT, code::VERSION_DAMAGED, damaged_version(damage))
            }
            ChangeError::TooLarge => Self::TOO_LARGE,
            ChangeError::QuotaExceeded => Self::QUOTA,
        }
    }
}

impl From<ObjectError> for ApiError {
    fn from(error: ObjectError) -> Self {
        Self::Objects(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, body) = match self {
            Self::Status(status) => (status, ErrorBody::default()),
            Self::Unseen(conflicts) => return unseen(conflicts),
            Self::Coded(status, code, message) => (
                status,
                ErrorBody { code: Some(code.to_owned()), message: Some(message.to_owned()), error: None },
            ),
            Self::Gate(status, error) => {
                (status, ErrorBody { error: Some(error.to_owned()), ..ErrorBody::default() })
            }
            // As where the request is let in.
            Self::Store(StoreError::SessionEnded) => {
                return Self::Gate(StatusCode::UNAUTHORIZED, "invalid token").into_response();
            }
            Self::Store(error) if error.is_disk_full() => (broken(true, &error), disk_full()),
            Self::Store(error) => (broken(error.is_transient(), &error), ErrorBody::default()),
            Self::Objects(error) if error.is_disk_full() => (broken(true, &error), disk_full()),
            Self::Objects(error) => (broken(error.is_transient(), &error), ErrorBody::default()),
            Self::Internal(detail) => {
                tracing::error!(detail, "request failed");
                (StatusCode::INTERNAL_SERVER_ERROR, ErrorBody::default())
            }
        };
        (status, Json(body)).into_response()
    }
}

fn damaged_version(damage: Damage) -> &'static str {
    match damage {
        Damage::Missing => {
            "the bytes of that version are missing from the server's disk; nothing was changed. Whoever runs the server can bring them back from a backup: then ask again"
        }
        _ => {
            "the bytes of that version are damaged on the server's disk; nothing was changed. Whoever runs the server can bring them back from a backup: then ask again"
        }
    }
}

fn unseen(conflicts: Vec<VersionConflict>) -> Response {
    let detail = "files have changed since they were seen; nothing was done";
    let problem = Problem {
        code: code::VERSION_CONFLICT.to_owned(),
        detail: Some(detail.to_owned()),
        ..problem(StatusCode::CONFLICT)
    };
    let body = Json(VersionConflicts { problem, conflicts });
    (StatusCode::CONFLICT, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response()
}

fn disk_full() -> ErrorBody {
    let (code, message) = (code::DISK_FULL, "the server's disk is full");
    ErrorBody { code: Some(code.to_owned()), message: Some(message.to_owned()), error: None }
}

/// Logs a failure of ours with its causes. A transient one answers 503, never 401: that would log phones out.
fn broken(transient: bool, error: &dyn std::error::Error) -> StatusCode {
    let causes: Vec<String> =
        std::iter::successors(error.source(), |cause| cause.source()).map(ToString::to_string).collect();
    tracing::error!(error = %error, causes = causes.join(": "), "request failed");
    if transient { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR }
}
