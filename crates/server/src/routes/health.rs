//! Whether the server is there (`/ping`), alive (`/healthz`), and able to store (`/readyz`).

use crate::Shared;
use crate::config::Config;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};

/// The most free space that is asked for unless the operator says otherwise, in bytes: 256 MiB, a few videos' worth.
const FLOOR_BYTES_MAX: u64 = 256 << 20;

/// The share of a disk that must be free unless the operator says otherwise: one part in so many. It matters on disks below
/// 25 GiB only.
const FLOOR_SHARE: u64 = 100;

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

/// Whether the database answers, the objects' folder can be written to, and there is room where both lie.
async fn ready(State(server): State<Shared>) -> (StatusCode, Json<Value>) {
    let database = server.store.ping().await.is_ok();
    let shared = server.clone();
    let disk = tokio::task::spawn_blocking(move || {
        (probe(&shared.config.objects_dir()).is_ok(), has_room(&shared.config))
    });
    let (objects, space) = disk.await.unwrap_or((false, false));
    let status = if database && objects && space { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "database": database, "objects": objects, "space": space })))
}

/// Writes and removes a file. On a full disk it is made, and cannot be written: it goes all the same.
fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".probe-{}", uuid::Uuid::new_v4()));
    let written = std::fs::write(&path, b"probe");
    let removed = std::fs::remove_file(&path);
    written.and(removed)
}

/// Whether every disk that the server writes to has at least the floor free. One that does not say has not.
fn has_room(config: &Config) -> bool {
    let enough = |space: Space| space.free >= config.free_space_floor.unwrap_or_else(|| space.floor());
    folders(config).iter().all(|folder| Space::of(folder).is_ok_and(enough))
}

/// Where the server writes: the data folder, and where a SQLite database lies.
fn folders(config: &Config) -> Vec<PathBuf> {
    let database = config.sqlite_file();
    let beside = database.as_deref().and_then(Path::parent);
    let beside = beside.map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    [Some(config.data_dir.as_path()), beside].into_iter().flatten().map(Path::to_owned).collect()
}

/// Bytes of a disk.
#[derive(Clone, Copy)]
struct Space {
    whole: u64,
    /// What this process may still write.
    free: u64,
}

impl Space {
    #[cfg(unix)]
    fn of(folder: &Path) -> io::Result<Self> {
        let found = rustix::fs::statvfs(folder)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Self { whole: bytes(found.f_blocks), free: bytes(found.f_bavail) })
    }

    /// Not known here: only a disk that refuses the probe is found full.
    #[cfg(not(unix))]
    fn of(_: &Path) -> io::Result<Self> {
        Ok(Self { whole: 0, free: u64::MAX })
    }

    /// What must be free unless the operator says otherwise.
    fn floor(self) -> u64 {
        FLOOR_BYTES_MAX.min(self.whole / FLOOR_SHARE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_small_on_small_disks_and_bounded_on_large_ones() {
        let floor = |whole| Space { whole, free: 0 }.floor();
        assert_eq!(floor(100 << 20), 1 << 20);
        assert_eq!(floor(1 << 40), FLOOR_BYTES_MAX);
    }

    #[test]
    fn the_databases_disk_counts_too() {
        let config = |url: &str| Config {
            database_url: Some(crate::config::SecretText::new(url)),
            ..Config::for_folder(Path::new("/data"))
        };
        assert_eq!(folders(&config("sqlite:/db/x.db")), [Path::new("/data"), Path::new("/db")]);
        assert_eq!(folders(&config("sqlite:x.db")), [Path::new("/data"), Path::new(".")]);
        assert_eq!(folders(&config("postgres://h/d")), [Path::new("/data")]);
    }
}
