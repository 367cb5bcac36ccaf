//! Sharing collections with other accounts of this server. Public links, and copies of others' files, answer 501.
//!
//! Clients ask some of what is not offered on every start and go on whatever they are told, but they must be told something.

use super::parameters::{Parameters, id};
use super::request::{Body, StorageCaller};
use crate::Shared;
use crate::error::{ApiError, ApiResult};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{any, get, post, put};
use axum::{Json, Router};
use darkslide_protocol::collection::{CollectionMagicRequest, ShareRequest, Sharees, UnshareRequest};
use serde_json::{Value, json};

/// The routes of this file.
pub(crate) fn routes() -> Router<Shared> {
    let account_routes = [
        "/collections/join-link",
        "/collections/share-url",
        "/collections/share-url/{id}",
        "/files/copy",
        "/files/meta",
        "/files/share-url",
        "/files/share-url/{id}",
        "/files/share-urls",
        "/memory-share",
        "/memory-share/{*rest}",
    ];
    let public_routes = ["/public-collection/{*rest}", "/file-link/{*rest}", "/public-memory/{*rest}"];
    let router = Router::new()
        .route("/collections/share", post(share))
        .route("/collections/unshare", post(unshare))
        .route("/collections/leave/{id}", post(leave))
        .route("/collections/sharees", get(sharees))
        .route("/collections/sharee-magic-metadata", put(shared_magic))
        .route("/collections/suggest-delete", post(nothing_to_do))
        .route("/collection-actions/pending-remove", get(no_actions))
        .route("/collection-actions/delete-suggestions", get(no_actions))
        .route("/collection-actions/reject-delete-suggestions", post(nothing_to_do));
    let router = account_routes.into_iter().fold(router, |router, path| router.route(path, any(not_offered)));
    public_routes.into_iter().fold(router, |router, path| router.route(path, any(not_offered_to_anybody)))
}

async fn share(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<ShareRequest>,
) -> ApiResult<Json<Sharees>> {
    let sharees = server.store.share_collection(caller.account, &request).await?;
    Ok(Json(Sharees { sharees }))
}

async fn unshare(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<UnshareRequest>,
) -> ApiResult<Json<Sharees>> {
    let UnshareRequest { collection_id, email } = request;
    let sharees = server.store.unshare_collection(caller.account, collection_id, &email).await?;
    Ok(Json(Sharees { sharees }))
}

async fn leave(
    State(server): State<Shared>,
    caller: StorageCaller,
    Path(collection): Path<String>,
) -> ApiResult<StatusCode> {
    server.store.leave_collection(caller.account, id(&collection)?).await?;
    Ok(StatusCode::OK)
}

async fn sharees(
    State(server): State<Shared>,
    caller: StorageCaller,
    parameters: Parameters,
) -> ApiResult<Json<Sharees>> {
    let collection = parameters.required("collectionID")?;
    let collection = server.store.collection(caller.account, collection).await?.ok_or(ApiError::NOT_FOUND)?;
    Ok(Json(Sharees { sharees: collection.sharees }))
}

async fn shared_magic(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<CollectionMagicRequest>,
) -> ApiResult<StatusCode> {
    let CollectionMagicRequest { id, magic_metadata } = request;
    server.store.update_shared_magic(caller.account, id, &magic_metadata).await?;
    Ok(StatusCode::OK)
}

async fn no_actions(_: StorageCaller) -> Json<Value> {
    Json(json!({ "actions": [] }))
}

async fn nothing_to_do(_: StorageCaller) -> Json<Value> {
    Json(json!({}))
}

async fn not_offered(_: StorageCaller) -> ApiError {
    ApiError::Status(StatusCode::NOT_IMPLEMENTED)
}

async fn not_offered_to_anybody() -> ApiError {
    ApiError::Status(StatusCode::NOT_IMPLEMENTED)
}
