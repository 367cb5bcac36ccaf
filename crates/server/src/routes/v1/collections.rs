//! `POST /v1/collections`: several collections in one durable step.

use super::super::request::{Body, StorageCaller};
use crate::Shared;
use crate::error::{ApiError, ApiResult};
use axum::Json;
use axum::extract::State;
use darkslide_protocol::Problem;
use darkslide_protocol::collection::{CreateCollectionsRequest, CreatedCollections};
use darkslide_protocol::limits::COLLECTIONS_MAX;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(create))
}

/// Makes collections, all or none. One whose wrapped key an own collection already has is answered with that: a key is drawn for each, so it
/// is the same call once more.
#[utoipa::path(
    post,
    path = "/v1/collections",
    request_body = CreateCollectionsRequest,
    responses(
        (status = 200, body = CreatedCollections),
        (status = 400, body = Problem, content_type = "application/problem+json",
         description = "A key or its nonce has another length, a key comes twice, or an account has only one collection of the kind"),
        (status = 413, body = Problem, content_type = "application/problem+json", description = "More than 100 collections"),
    ),
    security(("session" = []))
)]
async fn create(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<CreateCollectionsRequest>,
) -> ApiResult<Json<CreatedCollections>> {
    if request.collections.len() > COLLECTIONS_MAX {
        return Err(ApiError::TOO_LARGE);
    }
    Ok(Json(server.store.create_collections(caller.account, &request.collections).await?))
}
