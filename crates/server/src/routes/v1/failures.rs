//! The failures that every call can meet before its handler is asked, or while it works: declared here once for all.
//!
//! What a call declares itself stays, but for its media type: every failure is a problem ([`problem`](super::problem)).

use super::problem::problem;
use axum::http::StatusCode;
use darkslide_protocol::Problem;
use darkslide_protocol::problem::PROBLEM_JSON;
use utoipa::PartialSchema as _;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};

/// Those of every call: the server has a fault, or its database is away.
const ALWAYS: [StatusCode; 2] = [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE];

/// Those of calls that need a session: there is none, or it is one of an app that stores no pictures.
const SIGNED_IN: [StatusCode; 2] = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];

/// Those of calls with parameters.
const WITH_PARAMETERS: [StatusCode; 1] = [StatusCode::BAD_REQUEST];

/// Those of calls with a body: it is not what it should be, too slow, or too large.
const WITH_BODY: [StatusCode; 3] =
    [StatusCode::BAD_REQUEST, StatusCode::REQUEST_TIMEOUT, StatusCode::PAYLOAD_TOO_LARGE];

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
    let PathItem { get, put, post, delete, head, patch, .. } = path;
    [get, put, post, delete, head, patch].into_iter().flatten()
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
    for status in statuses {
        let answers = &mut operation.responses.responses;
        answers.entry(status.as_str().to_owned()).or_insert_with(|| RefOr::T(failure(status)));
    }
}

/// A failure that was declared without a media type was taken for plain JSON.
fn dress(answer: &mut Response) {
    if let Some(content) = answer.content.shift_remove("application/json") {
        answer.content.insert(PROBLEM_JSON.to_owned(), content);
    }
}

fn failure(status: StatusCode) -> Response {
    let schema = Some(Ref::from_schema_name("Problem"));
    ResponseBuilder::new()
        .description(problem(status).title)
        .content(PROBLEM_JSON, ContentBuilder::new().schema(schema).build())
        .build()
}
