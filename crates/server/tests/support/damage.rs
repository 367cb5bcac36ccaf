//! What goes wrong with bytes on a disk, done on purpose.

use super::TestServer;
use darkslide_protocol::{AccountId, FileId, ObjectKey};
use darkslide_server::store::Store;
use std::path::{Path, PathBuf};

/// One kind of damage, and what it must be called.
#[derive(Clone, Copy, Debug)]
pub enum Harm {
    FlipByte,
    Truncate,
    Append,
    Remove,
}

impl Harm {
    pub const ALL: [Self; 4] = [Self::FlipByte, Self::Truncate, Self::Append, Self::Remove];

    pub fn name(self) -> &'static str {
        match self {
            Self::FlipByte => "altered",
            Self::Truncate => "shorter",
            Self::Append => "longer",
            Self::Remove => "missing",
        }
    }

    /// Does it. Each is the least of its kind: one bit, one byte, one byte, one file.
    pub fn do_to(self, path: &Path) {
        let mut bytes = std::fs::read(path).unwrap();
        match self {
            Self::FlipByte => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            Self::Truncate => drop(bytes.pop()),
            Self::Append => bytes.push(0),
            Self::Remove => return std::fs::remove_file(path).unwrap(),
        }
        std::fs::write(path, bytes).unwrap();
    }
}

/// The keys of a file's original and thumbnail.
pub async fn keys_of(store: &Store, account: AccountId, file: i64) -> [ObjectKey; 2] {
    let files = store.objects_of_files(account, &[FileId(file)]).await.unwrap();
    let objects = files[&FileId(file)].clone();
    [objects.original, objects.thumbnail]
}

/// The blobs on disk that are named after an object, in the order of their parts.
pub fn blobs_of(data: &Path, key: &ObjectKey) -> Vec<PathBuf> {
    let object = key.0.split_once('/').unwrap().1;
    let shard = data.join("objects").join(&object[..2]);
    let entries = std::fs::read_dir(shard).unwrap().map(|entry| entry.unwrap().path());
    let is_its = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(object);
    let mut blobs: Vec<PathBuf> = entries.filter(is_its).collect();
    blobs.sort();
    blobs
}

/// A statement on a server's SQLite database, behind its back.
pub async fn execute(server: &TestServer, statement: &str) {
    use sqlx::Connection as _;
    let url = Store::sqlite_url(&server.folder().join("darkslide.db"));
    let mut connection = sqlx::AnyConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
