//! The extensions, under `/v1`: what the base API lacks, for clients that know it.
//!
//! Each file describes its calls with `utoipa`, so that `/v1/openapi.json` is made from the code that answers them. Failures
//! are problems (RFC 9457), whatever a handler says in the base API's shape.

mod batch;
mod changes;
mod collections;
mod devices;
mod failures;
mod lookup;
pub(super) mod problem;
mod receipts;
mod server;
pub(super) mod uploads;
mod versions;

use crate::Shared;
use axum::routing::get;
use axum::{Json, Router};
use darkslide_protocol::batch::ThumbnailRequest;
use darkslide_protocol::error::VersionConflicts;
use darkslide_protocol::file::{CommitRequest, UpdateRequest};
use darkslide_protocol::trash::{PurgeRequest, RestoreRequest, TrashRequest};
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

/// What the document says before it comes to the calls.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Darkslide",
        description = "What Darkslide's server adds to the API of the stock apps. Ids, times (microseconds since the \
                       epoch) and sizes are integers below 2^53, written without a fraction; binary members are standard base64 with padding. \
                       Schemas that no call here has are bodies of the stock apps' calls, and of the records of a batch, with what is added to them: \
                       `contentTag` and `ifVersion`; and `VersionConflicts`, which a stock call with an `ifVersion` answers with 409.",
        license(name = "MIT OR Apache-2.0")
    ),
    components(schemas(
        // Bodies of calls of the base API that have members of ours.
        CommitRequest,
        ThumbnailRequest,
        UpdateRequest,
        TrashRequest,
        PurgeRequest,
        RestoreRequest,
        // What these answer when something is at another version.
        VersionConflicts
    )),
    modifiers(&SessionToken)
)]
struct Document;

/// How calls say whose they are.
struct SessionToken;

impl utoipa::Modify for SessionToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Auth-Token")));
        document.components.get_or_insert_default().add_security_scheme("session", scheme);
    }
}

/// The routes of this folder, and the document that describes them.
fn documented() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(server::routes())
        .merge(batch::routes())
        .merge(collections::routes())
        .merge(receipts::routes())
        .merge(versions::routes())
        .merge(devices::routes())
        .merge(changes::routes())
        .merge(lookup::routes())
        .merge(uploads::routes())
}

/// The routes of this folder.
pub(crate) fn routes() -> Router<Shared> {
    let (routes, mut document) = documented().split_for_parts();
    failures::declare(&mut document);
    routes.route("/v1/openapi.json", get(async || Json(document)))
}
