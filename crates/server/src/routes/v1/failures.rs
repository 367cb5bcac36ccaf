//! The failures that every call can meet before its handler is asked, or while it works: declared here once for all.
//!
//! What a call declares itself stays, but for its media type: every failure is a problem ([`problem`](super::problem)).

use axum::http::StatusCode;
use darkslide_protocol::Problem;
use darkslide_protocol::problem::PROBLEM_JSON;
use utoipa::PartialSchema as _;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};

/// A status, and what it means.
type Failure = (StatusCode, &'static str);

/// Those of every call.
const ALWAYS: [Failure; 2] = [
    (StatusCode::INTERNAL_SERVER_ERROR, "The server has a fault"),
    (StatusCode::SERVICE_UNAVAILABLE, "The database or the disk is away"),
];

/// Those of calls that need a session.
const SIGNED_IN: [Failure; 2] = [
    (StatusCode::UNAUTHORIZED, "No session, or one that is over"),
    (StatusCode::FORBIDDEN, "A session of an app that stores no pictures"),
];

/// Those of calls with parameters.
const WITH_PARAMETERS: [Failure; 1] = [(StatusCode::BAD_REQUEST, "A parameter is not what it should be")];

/// Those of calls with a body.
const WITH_BODY: [Failure; 3] = [
    (StatusCode::BAD_REQUEST, "The body is not what it should be"),
    (StatusCode::REQUEST_TIMEOUT, "The body stood still for too long"),
    (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
];

/// Declares them.
pub(super) fn declare(document: &mut OpenApi) {
    document
        .components
        .get_or_insert_default()
        .schemas
        .entry("Problem".to_owned())
        .or_insert_with(Problem::schema);
    for path in document.paths.paths.values_mut() {
        operations(path).for_each(complete);
    }
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, options, head, patch, .. } = path;
    [get, put, post, delete, options, head, patch].into_iter().flatten()
}

fn complete(operation: &mut Operation) {
    for (status, answer) in &mut operation.responses.responses {
        if let (true, RefOr::T(answer)) = (status.starts_with(['4', '5']), answer) {
            dress(answer);
        }
    }
    let mut statuses = ALWAYS.to_vec();
    if operation.security.is_some() {
        statuses.extend(SIGNED_IN);
    }
    if operation.parameters.is_some() {
        statuses.extend(WITH_PARAMETERS);
    }
    if operation.request_body.is_some() {
        statuses.extend(WITH_BODY);
    }
    for (status, meaning) in statuses {
        let answers = &mut operation.responses.responses;
        answers.entry(status.as_str().to_owned()).or_insert_with(|| RefOr::T(failure(meaning)));
    }
}

/// A failure that was declared without a media type was taken for plain JSON.
fn dress(answer: &mut Response) {
    if let Some(content) = answer.content.shift_remove("application/json") {
        answer.content.insert(PROBLEM_JSON.to_owned(), content);
    }
}

fn failure(meaning: &str) -> Response {
    let schema = Some(Ref::from_schema_name("Problem"));
    ResponseBuilder::new()
        .description(meaning)
        .content(PROBLEM_JSON, ContentBuilder::new().schema(schema).build())
        .build()
}
