//! Routes of collections and of what is in them.

use super::parameters::{Parameters, id};
use super::request::{Body, StorageCaller};
use crate::Shared;
use crate::error::{ApiError, ApiResult};
use crate::store::magic::Envelope;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use darkslide_protocol::CollectionId;
use darkslide_protocol::collection::{
    AddFilesRequest, CollectionMagicRequest, Collections, CreateCollectionRequest, MoveFilesRequest,
    RemoveFilesRequest, RenameRequest, WrappedCollection,
};
use darkslide_protocol::error::code;
use darkslide_protocol::file::{FileDiff, FileKey, WrappedFile};
use darkslide_protocol::limits::BATCH_ITEMS_MAX;
use darkslide_protocol::trash::{RestoreItem, RestoreRequest};
use serde_json::{Value, json};

/// How many collections a page of `v3` has at most.
const PAGE_MAX: i64 = 1000;

/// The routes of this file.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/collections", get(list).post(create))
        .route("/collections/v2", get(list))
        .route("/collections/v3", get(list_paged))
        .route("/collections/v3/{id}", delete(delete_collection))
        .route("/collections/v3/remove-files", post(remove_files))
        .route("/collections/v2/diff", get(diff))
        .route("/collections/{id}", get(read))
        .route("/collections/file", get(read_file))
        .route("/collections/rename", post(rename))
        .route("/collections/magic-metadata", put(private_magic))
        .route("/collections/public-magic-metadata", put(public_magic))
        .route("/collections/add-files", post(add_files))
        .route("/collections/move-files", post(move_files))
        .route("/collections/restore-files", post(restore_files))
}

/// Refuses batches with more items than clients send.
pub(crate) fn check_batch(items: usize) -> ApiResult<()> {
    if items > BATCH_ITEMS_MAX { Err(ApiError::TOO_LARGE) } else { Ok(()) }
}

async fn create(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<CreateCollectionRequest>,
) -> ApiResult<Json<WrappedCollection>> {
    let collection = server.store.create_collection(caller.account, &request).await?;
    Ok(Json(WrappedCollection { collection }))
}

async fn list(
    State(server): State<Shared>,
    caller: StorageCaller,
    parameters: Parameters,
) -> ApiResult<Json<Collections>> {
    let since = parameters.cursor("sinceTime");
    let collections = server.store.all_collections_since(caller.account, since).await?;
    Ok(Json(Collections { collections }))
}

async fn list_paged(
    State(server): State<Shared>,
    caller: StorageCaller,
    parameters: Parameters,
) -> ApiResult<Json<Value>> {
    let since = parameters.cursor("sinceTime");
    let limit = parameters.parsed("limit").unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let owned = server.store.collections_since(caller.account, since, limit).await?;
    let since = parameters.cursor("sharedSinceTime");
    let shared = server.store.shared_collections_since(caller.account, since, limit).await?;
    Ok(Json(json!({ "owned": owned, "shared": shared })))
}

async fn read(
    State(server): State<Shared>,
    caller: StorageCaller,
    Path(collection): Path<String>,
) -> ApiResult<Json<WrappedCollection>> {
    let collection =
        server.store.collection(caller.account, id(&collection)?).await?.ok_or(ApiError::NOT_FOUND)?;
    Ok(Json(WrappedCollection { collection }))
}

async fn read_file(
    State(server): State<Shared>,
    caller: StorageCaller,
    parameters: Parameters,
) -> ApiResult<Json<WrappedFile>> {
    let (collection, file) = (parameters.required("collectionID")?, parameters.required("fileID")?);
    let file = server.store.file_in_collection(caller.account, collection, file).await?;
    let absent = ApiError::Coded(
        StatusCode::NOT_FOUND,
        code::FILE_NOT_FOUND_IN_ALBUM,
        "the file is not in that collection",
    );
    Ok(Json(WrappedFile { file: file.ok_or(absent)? }))
}

async fn diff(
    State(server): State<Shared>,
    caller: StorageCaller,
    parameters: Parameters,
) -> ApiResult<Json<FileDiff>> {
    let collection = parameters.required("collectionID")?;
    let since = parameters.cursor("sinceTime");
    Ok(Json(server.store.collection_diff(caller.account, collection, since).await?))
}

async fn rename(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<RenameRequest>,
) -> ApiResult<StatusCode> {
    server.store.rename_collection(caller.account, &request).await?;
    Ok(StatusCode::OK)
}

async fn private_magic(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<CollectionMagicRequest>,
) -> ApiResult<StatusCode> {
    let CollectionMagicRequest { id, magic_metadata } = request;
    server.store.update_collection_magic(caller.account, id, Envelope::Private, &magic_metadata).await?;
    Ok(StatusCode::OK)
}

async fn public_magic(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<CollectionMagicRequest>,
) -> ApiResult<StatusCode> {
    let CollectionMagicRequest { id, magic_metadata } = request;
    server.store.update_collection_magic(caller.account, id, Envelope::Public, &magic_metadata).await?;
    Ok(StatusCode::OK)
}

async fn delete_collection(
    State(server): State<Shared>,
    caller: StorageCaller,
    Path(collection): Path<String>,
    parameters: Parameters,
) -> ApiResult<StatusCode> {
    let collection: CollectionId = id(&collection)?;
    if parameters.parsed("collectionID").is_some_and(|named: CollectionId| named != collection) {
        return Err(ApiError::BAD_REQUEST);
    }
    // Files are lost from sight without it, so it is never guessed.
    let keep_files = parameters.required("keepFiles")?;
    server.store.delete_collection(caller.account, collection, keep_files).await?;
    Ok(StatusCode::OK)
}

async fn add_files(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<AddFilesRequest>,
) -> ApiResult<StatusCode> {
    check_batch(request.files.len())?;
    server.store.add_files(caller.account, request.collection_id, &request.files).await?;
    Ok(StatusCode::OK)
}

async fn move_files(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<MoveFilesRequest>,
) -> ApiResult<StatusCode> {
    check_batch(request.files.len())?;
    let MoveFilesRequest { from_collection_id: from, to_collection_id: to, files } = request;
    server.store.move_files(caller.account, from, to, &files).await?;
    Ok(StatusCode::OK)
}

async fn restore_files(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<RestoreRequest>,
) -> ApiResult<StatusCode> {
    check_batch(request.files.len())?;
    let RestoreRequest { collection_id, files } = request;
    let conditions = files.iter().filter_map(|item| Some((item.id, item.if_version?))).collect();
    let files: Vec<FileKey> = files.into_iter().map(RestoreItem::key).collect();
    server.store.restore_files_if(caller.account, collection_id, &files, &conditions).await?;
    Ok(StatusCode::OK)
}

async fn remove_files(
    State(server): State<Shared>,
    caller: StorageCaller,
    Body(request): Body<RemoveFilesRequest>,
) -> ApiResult<StatusCode> {
    check_batch(request.file_ids.len())?;
    server.store.remove_files(caller.account, request.collection_id, &request.file_ids).await?;
    Ok(StatusCode::OK)
}
