//! What an account that shares nothing is told about sharing; the calls that would share answer 501.
//!
//! Clients ask some of these on every start and go on whatever they are told, but they must be told something.

use super::parameters::Parameters;
use super::request::StorageCaller;
use crate::Shared;
use crate::error::{ApiError, ApiResult};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{any, get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};

/// The routes of this file.
pub(crate) fn routes() -> Router<Shared> {
    let account_routes = [
        "/collections/share",
        "/collections/unshare",
        "/collections/leave/{id}",
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
        .route("/collections/sharees", get(sharees))
        .route("/collections/sharee-magic-metadata", put(not_offered))
        .route("/collections/suggest-delete", post(nothing_to_do))
        .route("/collection-actions/pending-remove", get(no_actions))
        .route("/collection-actions/delete-suggestions", get(no_actions))
        .route("/collection-actions/reject-delete-suggestions", post(nothing_to_do));
    let router = account_routes.into_iter().fold(router, |router, path| router.route(path, any(not_offered)));
    public_routes.into_iter().fold(router, |router, path| router.route(path, any(not_offered_to_anybody)))
}

async fn sharees(
    State(server): State<Shared>,
    caller: StorageCaller,
    parameters: Parameters,
) -> ApiResult<Json<Value>> {
    let collection = parameters.required("collectionID")?;
    server.store.collection(caller.account, collection).await?.ok_or(ApiError::NOT_FOUND)?;
    Ok(Json(json!({ "sharees": [] })))
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
