//! The API: which path goes to which handler, and what every request passes on its way there and back.
//!
//! A path that nothing is behind is answered 404 `{}`, with CORS, like every other failure.

mod accounts;
pub mod blobs;
pub mod collections;
mod door;
pub mod downloads;
pub mod files;
mod grant;
mod health;
pub mod origin;
mod parameters;
pub mod part_list;
pub mod request;
mod sessions;
mod settings;
mod sharing;
mod sign_up;
mod srp;
mod stubs;
pub mod trash;
pub mod uploads;
mod v1;

pub(crate) use v1::problem::problem;

use crate::Shared;
use crate::config::JSON_BODY_BYTES_MAX;
use crate::error::ApiError;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;

/// Every route of the server.
pub fn router(server: Shared) -> Router {
    let routes =
        account_routes().merge(file_routes()).merge(v1::routes()).fallback(|| async { ApiError::NOT_FOUND });
    with_door(routes.with_state(server.clone()), server)
}

/// Routes behind the door that every request passes.
pub fn with_door(routes: Router, server: Shared) -> Router {
    let routes = routes
        .layer(CatchPanicLayer::custom(door::after_panic))
        .layer(DefaultBodyLimit::max(JSON_BODY_BYTES_MAX))
        .layer(RequestBodyTimeoutLayer::new(server.config.limits.idle_timeout))
        .layer(from_fn(door::pass));
    // The path is made plain out here, where no route has been chosen yet.
    Router::new().fallback_service(routes).layer(from_fn_with_state(server, door::enter))
}

/// Accounts, their settings, and what is only answered.
fn account_routes() -> Router<Shared> {
    Router::new()
        .merge(health::routes())
        .merge(sign_up::routes())
        .merge(srp::routes())
        .merge(sessions::routes())
        .merge(accounts::routes())
        .merge(settings::routes())
        .merge(stubs::routes())
}

/// Collections, files and their bytes.
fn file_routes() -> Router<Shared> {
    Router::new()
        .merge(collections::routes())
        .merge(files::routes())
        .merge(uploads::routes())
        .merge(blobs::routes())
        .merge(trash::routes())
        .merge(sharing::routes())
        .merge(downloads::routes())
}
