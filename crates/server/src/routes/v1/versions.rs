//! `/v1/files/{id}/versions`: what an edited file was before, and bringing it back.
//!
//! Earlier contents are kept for 30 days after they were replaced; nothing here prolongs or shortens that.

use super::super::downloads::redirect_to;
use super::super::request::StorageCaller;
use super::super::uploads::default_quota;
use crate::error::ApiResult;
use crate::store::change::ChangeError;
use crate::store::files::Which;
use crate::{Server, Shared, vouch};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use darkslide_protocol::file::UpdateResponse;
use darkslide_protocol::version::EarlierVersions;
use darkslide_protocol::{FileId, Problem, Version};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(original))
        .routes(routes!(thumbnail))
        .routes(routes!(restore))
}

/// Lists what an edited file was before, the latest first, as long as it can be brought back.
#[utoipa::path(
    get, path = "/v1/files/{id}/versions", security(("session" = [])),
    params(("id" = FileId, Path, description = "The file")),
    responses(
        (status = 200, body = EarlierVersions),
        (status = 400, body = Problem, description = "Not an id"),
        (status = 404, body = Problem, description = "No such file, purged, or somebody else's")
    )
)]
async fn list(
    State(server): State<Shared>,
    caller: StorageCaller,
    Path(file): Path<i64>,
) -> ApiResult<Json<EarlierVersions>> {
    Ok(Json(server.store.earlier_versions(caller.account, FileId(file)).await?))
}

/// Redirects to the bytes of an earlier original.
#[utoipa::path(
    get, path = "/v1/files/{id}/versions/{version}/original", security(("session" = [])),
    params(("id" = FileId, Path, description = "The file"), ("version" = Version, Path, description = "As listed")),
    responses(
        (status = 307, description = "`Location` is a signed URL, as of a download"),
        (status = 400, body = Problem, description = "Not an id"),
        (status = 404, body = Problem, description = "There is no such version")
    )
)]
async fn original(
    State(server): State<Shared>,
    caller: StorageCaller,
    Path(path): Path<(i64, i64)>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    redirect(&server, &caller, path, Which::Original, &headers).await
}

/// Redirects to the bytes of an earlier thumbnail.
#[utoipa::path(
    get, path = "/v1/files/{id}/versions/{version}/thumbnail", security(("session" = [])),
    params(("id" = FileId, Path, description = "The file"), ("version" = Version, Path, description = "As listed")),
    responses(
        (status = 307, description = "`Location` is a signed URL, as of a download"),
        (status = 400, body = Problem, description = "Not an id"),
        (status = 404, body = Problem, description = "There is no such version")
    )
)]
async fn thumbnail(
    State(server): State<Shared>,
    caller: StorageCaller,
    Path(path): Path<(i64, i64)>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    redirect(&server, &caller, path, Which::Thumbnail, &headers).await
}

async fn redirect(
    server: &Server,
    caller: &StorageCaller,
    (file, version): (i64, i64),
    which: Which,
    headers: &HeaderMap,
) -> ApiResult<Response> {
    let at = server.store.object_of_version(caller.account, FileId(file), Version(version), which).await?;
    Ok(redirect_to(server, at, headers))
}

/// Makes an earlier version of a file what the file is; what it is now becomes an earlier version.
///
/// The bytes are read back first (of objects above 512 MiB only their lengths are looked at), and nothing is changed when they are not
/// what was uploaded. Answered as the first time when it is repeated; then nothing changes.
#[utoipa::path(
    post, path = "/v1/files/{id}/versions/{version}/restore", security(("session" = [])),
    params(("id" = FileId, Path, description = "The file"), ("version" = Version, Path, description = "As listed")),
    responses(
        (status = 200, body = UpdateResponse),
        (status = 400, body = Problem, description = "Not an id"),
        (status = 404, body = Problem, description = "There is no such version"),
        (status = 409, body = Problem, description = "`VERSION_DAMAGED`: its bytes are missing or damaged on the server's disk"),
        (status = 426, body = Problem, description = "The quota has no room for what it has more")
    )
)]
async fn restore(
    State(server): State<Shared>,
    caller: StorageCaller,
    Path((file, version)): Path<(i64, i64)>,
) -> ApiResult<Json<UpdateResponse>> {
    let quota = default_quota(&server);
    let (file, version) = (FileId(file), Version(version));
    let objects = server.store.objects_to_restore(caller.account, file, version).await?;
    if let Some(damage) = vouch::damage_among(&server, &objects).await? {
        return Err(ChangeError::VersionDamaged(damage).into());
    }
    Ok(Json(server.store.restore_version(caller.account, file, version, quota).await?))
}
