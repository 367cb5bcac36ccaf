//! Whether the server is there (`/ping`), alive (`/healthz`), and able to store (`/readyz`).

use crate::Shared;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use std::io;
use std::path::Path;

/// The routes of this file.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/ping", get(ping))
        .route("/healthz", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/readyz", get(ready))
}

/// Stock clients save a server's URL only after this very answer.
async fn ping() -> Json<Value> {
    Json(json!({ "message": "pong", "id": concat!("darkslide-", env!("CARGO_PKG_VERSION")) }))
}

/// Whether the database answers and the objects' folder can be written to.
async fn ready(State(server): State<Shared>) -> (StatusCode, Json<Value>) {
    let database = server.store.ping().await.is_ok();
    let folder = server.config.objects_dir();
    let objects =
        tokio::task::spawn_blocking(move || probe(&folder)).await.is_ok_and(|probed| probed.is_ok());
    let status = if database && objects { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "database": database, "objects": objects })))
}

/// Writes and removes a file.
fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".probe-{}", uuid::Uuid::new_v4()));
    std::fs::write(&path, b"probe")?;
    std::fs::remove_file(&path)
}
