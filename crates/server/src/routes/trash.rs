//! Routes of the trash.

use super::collections::check_batch;
use super::parameters::Parameters;
use super::request::{Body, StorageCaller};
use crate::Shared;
use crate::error::{ApiError, ApiResult};
use crate::jobs::expire;
use crate::store::conditions::Conditions;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use darkslide_protocol::limits::PURGE_ITEMS_MAX;
use darkslide_protocol::trash::{EmptyTrashRequest, PurgeRequest, TrashDiff, TrashRequest};

/// The routes of this file.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/files/trash", post(trash))
        .route("/trash/v2/diff", get(diff))
        .route("/trash/diff", get(diff_unstripped))
        .route("/trash/delete", post(purge))
        .route("/trash/empty", post(empty))
}

async fn trash(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<TrashRequest>,
) -> ApiResult<StatusCode> {
    check_batch(request.items.len())?;
    let items: Vec<_> = request.items.iter().map(|item| (item.file_id, item.collection_id)).collect();
    let conditions = request.items.iter().filter_map(|item| Some((item.file_id, item.if_version?))).collect();
    server.store.trash_files_if(caller.account, &items, &conditions).await?;
    Ok(StatusCode::OK)
}

async fn diff(
    State(server): State<Shared>,
    caller: StorageCaller,
    parameters: Parameters,
) -> ApiResult<Json<TrashDiff>> {
    Ok(Json(server.store.trash_diff(caller.account, parameters.cursor("sinceTime"), true).await?))
}

async fn diff_unstripped(
    State(server): State<Shared>,
    caller: StorageCaller,
    parameters: Parameters,
) -> ApiResult<Json<TrashDiff>> {
    Ok(Json(server.store.trash_diff(caller.account, parameters.cursor("sinceTime"), false).await?))
}

async fn purge(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<PurgeRequest>,
) -> ApiResult<StatusCode> {
    if request.file_ids.len() + request.items.len() > PURGE_ITEMS_MAX {
        return Err(ApiError::TOO_LARGE);
    }
    let conditions: Conditions = request.items.iter().map(|item| (item.file_id, item.if_version)).collect();
    if conditions.len() < request.items.len() {
        return Err(ApiError::BAD_REQUEST);
    }
    server.store.purge_files_if(caller.account, &request.file_ids, &conditions).await?;
    remove_bytes(&server).await
}

async fn empty(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<EmptyTrashRequest>,
) -> ApiResult<StatusCode> {
    server.store.empty_trash(caller.account, request.last_updated_at).await?;
    remove_bytes(&server).await
}

/// Frees the disk now. When it fails the purge has happened all the same, and the next run of the job frees it.
async fn remove_bytes(server: &Shared) -> ApiResult<StatusCode> {
    if let Err(error) = expire::remove_garbage(server, server.store.now()).await {
        tracing::warn!(error = %error, "purged bytes stay until the next run");
    }
    Ok(StatusCode::OK)
}
