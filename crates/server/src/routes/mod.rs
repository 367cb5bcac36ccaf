//! The API: which path goes to which handler, and what every request passes on its way there and back.

pub mod blobs;
pub mod collections;
pub mod downloads;
pub mod files;
pub mod origin;
pub mod request;
pub mod trash;
pub mod uploads;

use crate::Shared;
use axum::Router;

/// Every route of the server.
pub fn router(server: Shared) -> Router {
    Router::new()
        .merge(collections::routes())
        .merge(files::routes())
        .merge(uploads::routes())
        .merge(blobs::routes())
        .merge(trash::routes())
        .merge(downloads::routes())
        .with_state(server)
}
