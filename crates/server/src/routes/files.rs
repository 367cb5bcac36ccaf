//! Routes of files: commits, updates, magic metadata, and what is asked about them.

use super::collections::check_batch;
use super::parameters::Parameters;
use super::request::{Body, StorageCaller};
use super::uploads::default_quota;
use crate::Shared;
use crate::error::{ApiError, ApiResult};
use crate::store::magic::Envelope;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use darkslide_protocol::batch::ThumbnailRequest;
use darkslide_protocol::file::{
    CommitRequest, FileIds, FilesInfo, MagicUpdateRequest, TotalSize, UpdateRequest, UpdateResponse,
};
use serde_json::{Value, json};

/// The routes of this file.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/files", post(commit))
        .route("/files/update", put(update))
        .route("/files/thumbnail", put(update_thumbnail))
        .route("/files/magic-metadata", put(private_magic))
        .route("/files/public-magic-metadata", put(public_magic))
        .route("/files/info", post(info))
        .route("/files/size", post(size))
        .route("/files/count", get(count))
        .route("/files/duplicates", get(duplicates))
        .route("/files/large-thumbnails", get(large_thumbnails))
}

async fn commit(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<CommitRequest>,
) -> ApiResult<Response> {
    let quota = default_quota(&server);
    match request.id.filter(|id| id.0 != 0) {
        None => {
            let file = server.store.commit_file(caller.account, &request, quota).await?;
            Ok(Json(file).into_response())
        }
        Some(id) => {
            let CommitRequest { file, thumbnail, metadata, content_tag, .. } = request;
            let update = UpdateRequest { id, file, thumbnail, metadata, content_tag, if_version: None };
            Ok(Json(server.store.update_file(caller.account, &update, quota).await?).into_response())
        }
    }
}

async fn update(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<UpdateRequest>,
) -> ApiResult<Json<UpdateResponse>> {
    let quota = default_quota(&server);
    Ok(Json(server.store.update_file(caller.account, &request, quota).await?))
}

async fn update_thumbnail(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<ThumbnailRequest>,
) -> ApiResult<StatusCode> {
    server.store.update_thumbnail(caller.account, &request, default_quota(&server)).await?;
    Ok(StatusCode::OK)
}

async fn private_magic(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<MagicUpdateRequest>,
) -> ApiResult<StatusCode> {
    update_magic(&server, &caller, Envelope::Private, &request).await
}

async fn public_magic(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<MagicUpdateRequest>,
) -> ApiResult<StatusCode> {
    update_magic(&server, &caller, Envelope::Public, &request).await
}

async fn update_magic(
    server: &Shared,
    caller: &StorageCaller,
    envelope: Envelope,
    request: &MagicUpdateRequest,
) -> ApiResult<StatusCode> {
    check_batch(request.metadata_list.len())?;
    let bump = request.skip_version != Some(true);
    server.store.update_magic(caller.account, envelope, &request.metadata_list, bump).await?;
    Ok(StatusCode::OK)
}

async fn info(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<FileIds>,
) -> ApiResult<Json<FilesInfo>> {
    check_batch(request.file_ids.len())?;
    let files_info = server.store.files_info(caller.account, &request.file_ids).await?;
    Ok(Json(FilesInfo { files_info }))
}

async fn size(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<FileIds>,
) -> ApiResult<Json<TotalSize>> {
    check_batch(request.file_ids.len())?;
    let infos = server.store.files_info(caller.account, &request.file_ids).await?;
    Ok(Json(TotalSize { size: infos.iter().map(|entry| entry.file_info.file_size.max(0)).sum() }))
}

async fn count(State(server): State<Shared>) -> ApiResult<Json<Value>> {
    Ok(Json(json!({ "count": server.store.count_files().await? })))
}

async fn duplicates(State(server): State<Shared>, caller: StorageCaller) -> ApiResult<Json<Value>> {
    let groups = server.store.same_size_groups(caller.account).await?;
    let entries: Vec<Value> =
        groups.iter().map(|(size, files)| json!({ "fileIDs": files, "size": size })).collect();
    Ok(Json(json!({ "duplicates": entries })))
}

async fn large_thumbnails(
    State(server): State<Shared>,
    caller: StorageCaller,
    parameters: Parameters,
) -> ApiResult<Json<Value>> {
    let threshold: i64 = parameters.parsed("threshold").ok_or(ApiError::BAD_REQUEST)?;
    let files = server.store.large_thumbnails(caller.account, threshold).await?;
    Ok(Json(json!({ "largeThumbnailFiles": files })))
}
