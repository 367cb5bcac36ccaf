//! Routes of files.

use crate::Shared;
use axum::Router;

/// The routes of this file.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
}
