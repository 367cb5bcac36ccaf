//! `POST /v1/lookup`: which contents the account has, by their tags.

use super::super::request::{Body, StorageCaller};
use crate::Shared;
use crate::error::{ApiError, ApiResult};
use axum::Json;
use axum::extract::State;
use darkslide_protocol::Problem;
use darkslide_protocol::limits::LOOKUP_TAGS_MAX;
use darkslide_protocol::lookup::{LookupRequest, LookupResponse};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(look_up))
}

/// What the account has of some contents: each live, in the trash, or purged. Those that are not in the answer it never had.
#[utoipa::path(
    post,
    path = "/v1/lookup",
    request_body = LookupRequest,
    responses(
        (status = 200, body = LookupResponse),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "Something is not a tag"),
        (status = 413, body = Problem, content_type = "application/problem+json", description = "More than 10,000 tags"),
    ),
    security(("session" = []))
)]
async fn look_up(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<LookupRequest>,
) -> ApiResult<Json<LookupResponse>> {
    if request.tags.len() > LOOKUP_TAGS_MAX {
        return Err(ApiError::TOO_LARGE);
    }
    Ok(Json(LookupResponse { found: server.store.look_up(caller.account, &request.tags).await? }))
}
