//! What goes wrong with stored bytes, done on a server's disk behind its back. The server's database is SQLite.

use crate::process::ServerProcess;
use darkslide_protocol::FileId;
use darkslide_server::objects::Digest;
use std::path::PathBuf;

/// What of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// The picture or video.
    Original,
    /// Its thumbnail.
    Thumbnail,
}

/// Turns a byte in the middle of an object over; once more, and it is what it was.
pub async fn flip(server: &ServerProcess, file: FileId, object: Object) {
    let (blob, offset, length) = stretch(server, file, object).await;
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[offset + length / 2] ^= 1;
    std::fs::write(blob, bytes).unwrap();
}

/// Turns a byte of an original over, and has the server take that for what was uploaded.
pub async fn forge(server: &ServerProcess, file: FileId) {
    flip(server, file, Object::Original).await;
    let (blob, offset, length) = stretch(server, file, Object::Original).await;
    let bytes = std::fs::read(&blob).unwrap();
    let digest = Digest::of(&bytes[offset..offset + length]).to_string();
    let pool = sqlx::SqlitePool::connect(server.database_url()).await.unwrap();
    let text = "UPDATE objects SET digest = $1 WHERE key = (SELECT file_object FROM files WHERE id = $2)";
    sqlx::query(text).bind(digest).bind(file.0).execute(&pool).await.unwrap();
}

/// Removes the blob that an original lies in, with all else that does.
pub async fn lose(server: &ServerProcess, file: FileId) {
    std::fs::remove_file(stretch(server, file, Object::Original).await.0).unwrap();
}

/// Where an object lies: the blob, where in it and how long, in bytes.
async fn stretch(server: &ServerProcess, file: FileId, object: Object) -> (PathBuf, usize, usize) {
    let pool = sqlx::SqlitePool::connect(server.database_url()).await.unwrap();
    let text = match object {
        Object::Original => {
            "SELECT blob, blob_offset, length FROM objects WHERE key = (SELECT file_object FROM files WHERE id = $1)"
        }
        Object::Thumbnail => {
            "SELECT blob, blob_offset, length FROM objects WHERE key = (SELECT thumbnail_object FROM files WHERE id = $1)"
        }
    };
    let row = sqlx::query_as(text).bind(file.0).fetch_one(&pool).await.unwrap();
    let (blob, offset, length): (String, i64, i64) = row;
    let path = server.data_dir().join("objects").join(&blob[..2]).join(&blob);
    (path, usize::try_from(offset).unwrap(), usize::try_from(length).unwrap())
}
