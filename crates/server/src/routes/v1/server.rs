//! `GET /v1/server`: what this server is and can.

use super::super::sign_up::is_open;
use crate::Shared;
use crate::store::resumable::UPLOAD_LIFETIME_MICROS;
use axum::Json;
use axum::extract::State;
use darkslide_protocol::batch::{BATCH_BYTES_MAX, BATCH_COMMITS_MAX, BATCH_OBJECTS_MAX};
use darkslide_protocol::change::CHANGES_MAX;
use darkslide_protocol::limits::{
    BATCH_ITEMS_MAX, COLLECTIONS_MAX, LOOKUP_TAGS_MAX, OBJECT_BYTES_MAX, TRASH_RETENTION_MICROS,
};
use darkslide_protocol::server::{Extension, ServerInfo, ServerLimits};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What this version has.
const EXTENSIONS: &[Extension] = &[
    Extension::Changes,
    Extension::Uploads,
    Extension::Batch,
    Extension::Collections,
    Extension::Conditions,
    Extension::Lookup,
    Extension::Receipts,
    Extension::Devices,
    Extension::Versions,
];

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(describe))
}

/// What this server is and can; asked before signing in.
#[utoipa::path(get, path = "/v1/server", responses((status = 200, body = ServerInfo)))]
async fn describe(State(server): State<Shared>) -> Json<ServerInfo> {
    Json(ServerInfo {
        name: "darkslide".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        extensions: EXTENSIONS.to_vec(),
        limits: ServerLimits {
            object_bytes_max: OBJECT_BYTES_MAX,
            items_max: BATCH_ITEMS_MAX as u64,
            batch_bytes_max: BATCH_BYTES_MAX,
            batch_objects_max: BATCH_OBJECTS_MAX as u64,
            batch_commits_max: BATCH_COMMITS_MAX as u64,
            collections_max: COLLECTIONS_MAX as u64,
            lookup_tags_max: LOOKUP_TAGS_MAX as u64,
            changes_max: CHANGES_MAX.into(),
            upload_lifetime_micros: UPLOAD_LIFETIME_MICROS,
            trash_retention_micros: TRASH_RETENTION_MICROS,
        },
        sign_up_open: is_open(&server),
        vapid_public_key: Some(server.vapid.public_key().to_owned()),
    })
}
