//! Failures under `/v1` as problems (RFC 9457), made from the base API's shape.
//!
//! Handlers and extractors fail as everywhere else; here the answer gets its other clothes. One that is a problem already, with
//! members of its own, passes as it is.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use darkslide_protocol::ErrorBody;
use darkslide_protocol::problem::{PROBLEM_JSON, Problem};

/// More than any failure says.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Whether a path's failures are problems.
pub(crate) fn is_ours(path: &str) -> bool {
    path.strip_prefix("/v1").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Turns a failure into a problem; anything else passes.
pub(crate) async fn dress(response: Response) -> Response {
    let status = response.status();
    let is_problem = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(PROBLEM_JSON.as_bytes()));
    if !(status.is_client_error() || status.is_server_error()) || is_problem {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    let said: ErrorBody = serde_json::from_slice(&bytes).unwrap_or_default();
    let problem = Problem {
        code: said.code.unwrap_or_else(|| code_of(status).to_owned()),
        detail: said.message.or(said.error),
        ..problem(status)
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    let text = serde_json::to_string(&problem).expect("a problem is JSON");
    Response::from_parts(parts, Body::from(text))
}

/// The problem that a status alone tells.
pub(crate) fn problem(status: StatusCode) -> Problem {
    Problem {
        kind: "about:blank".to_owned(),
        title: status.canonical_reason().unwrap_or("Failure").to_owned(),
        status: status.as_u16(),
        code: code_of(status).to_owned(),
        detail: None,
    }
}

/// The code of a failure that has none of its own.
fn code_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "BAD_REQUEST",
        401 => "UNAUTHORIZED",
        403 => "FORBIDDEN",
        404 => "NOT_FOUND",
        405 => "METHOD_NOT_ALLOWED",
        408 => "REQUEST_TIMEOUT",
        409 => "CONFLICT",
        410 => "GONE",
        412 => "PRECONDITION_FAILED",
        413 => "TOO_LARGE",
        415 => "UNSUPPORTED_MEDIA_TYPE",
        423 => "LOCKED",
        426 => "QUOTA_EXCEEDED",
        429 => "RATE_LIMITED",
        460 => "CHECKSUM_MISMATCH",
        501 => "NOT_OFFERED",
        503 => "UNAVAILABLE",
        _ if status.is_client_error() => "REFUSED",
        _ => "INTERNAL",
    }
}
