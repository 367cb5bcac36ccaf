//! Whether the catalog failed because its disk is full. SQLite says so where a page of the database found no room. Where a file beside it could not
//! be laid out, it says "disk I/O error": then the disk is asked, because one that fails looks the same, and needs something else.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk_space::Space;
use sqlx::migrate::MigrateError;

/// SQLite's primary result codes, the lowest bytes of the extended ones (<https://www.sqlite.org/rescode.html>): an operation of the disk failed, the
/// disk is full, a file cannot be opened; and another process, or another connection, has it locked.
const IO_ERROR: u32 = 10;
const FULL: u32 = 13;
const CANNOT_OPEN: u32 = 14;
const BUSY: u32 = 5;
const LOCKED: u32 = 6;

/// Bytes without which nothing goes on: the index of SQLite's log takes 32 KiB, and a batch of files some hundred more.
const BYTES_LEAST: u64 = 1 << 20;

/// What SQLite said.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SqlFailure(pub(super) sqlx::Error);

/// A disk without room for a catalog. Its text says what is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullDisk {
    /// The catalog's folder.
    folder: PathBuf,
    space: Option<Space>,
}

/// What a failure says of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// It is full.
    Full,
    /// It failed, for whatever reason.
    Failed,
}

impl fmt::Display for FullDisk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the disk that {} is on is full", self.folder.display())?;
        match self.space {
            Some(Space { takes_files: false, .. }) => formatter.write_str(" (it takes no more files)")?,
            Some(Space { bytes, .. }) => write!(formatter, " ({} kB are left)", bytes / 1000)?,
            None => {}
        }
        formatter.write_str(": free some space on it and try again")
    }
}

/// The full disk behind a failure of something that has its catalog in this folder; none where that is not why, or cannot be told.
pub fn full_disk(error: &(dyn Error + 'static), folder: &Path) -> Option<FullDisk> {
    let said = std::iter::successors(Some(error), |&cause| cause.source()).find_map(said_by)?;
    judge(said, Space::around(folder), folder)
}

/// Whether somebody else had the catalog locked for longer than is waited for it: sooner or later it is free again.
pub fn is_locked(error: &(dyn Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |&cause| cause.source());
    causes.any(|cause| match (cause.downcast_ref(), cause.downcast_ref()) {
        (Some(SqlFailure(error)), _)
        | (_, Some(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _))) => {
            // Whoever waits for it has a connection, and leaves none to others.
            matches!(error, sqlx::Error::PoolTimedOut) || matches!(code_of(error), Some(BUSY | LOCKED))
        }
        _ => false,
    })
}

fn judge(said: Said, space: Option<Space>, folder: &Path) -> Option<FullDisk> {
    let is_full = |space: Space| space.bytes < BYTES_LEAST || !space.takes_files;
    let is_why = said == Said::Full || space.is_some_and(is_full);
    is_why.then(|| FullDisk { folder: folder.to_owned(), space })
}

fn said_by(cause: &(dyn Error + 'static)) -> Option<Said> {
    if let Some(SqlFailure(error)) = cause.downcast_ref() {
        return said_by_sqlite(error);
    }
    if let Some(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) =
        cause.downcast_ref()
    {
        return said_by_sqlite(error);
    }
    // It may be any disk: the catalog's is asked.
    let error: &io::Error = cause.downcast_ref()?;
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded).then_some(Said::Failed)
}

fn said_by_sqlite(error: &sqlx::Error) -> Option<Said> {
    match code_of(error)? {
        FULL => Some(Said::Full),
        IO_ERROR | CANNOT_OPEN => Some(Said::Failed),
        _ => None,
    }
}

/// SQLite's primary result code.
fn code_of(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::{AssetError, BackupError};
    use crate::catalog::{Catalog, CatalogError};
    use crate::error::causes_on;

    /// SQLite's own failure, however deep it is wrapped.
    #[tokio::test]
    async fn a_full_disk_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("catalog.sqlite")).await.unwrap();
        let mut connection = catalog.pool.acquire().await.unwrap();
        sqlx::query("PRAGMA max_page_count = 1").execute(&mut *connection).await.unwrap();
        let fill = "CREATE TABLE more AS SELECT randomblob(100000)";
        let full = async |connection: &mut sqlx::SqliteConnection| {
            CatalogError::from(sqlx::query(fill).execute(connection).await.unwrap_err())
        };
        let wrapped = [
            BackupError::from(full(&mut connection).await),
            BackupError::Asset(AssetError::Catalog(full(&mut connection).await)),
        ];
        for error in wrapped {
            let told = causes_on(&error, folder.path());
            let place = folder.path().display().to_string();
            assert!(told[0].contains(&place) && told[0].contains("free some space"), "{told:?}");
            assert!(told.iter().any(|line| line.contains("database or disk is full")), "{told:?}");
        }
        let other = CatalogError::Damaged { what: "path" };
        assert_eq!(causes_on(&other, folder.path()), ["the catalog holds an unreadable path"]);
    }

    #[tokio::test]
    async fn a_catalog_that_is_locked_is_no_full_disk() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("catalog.sqlite")).await.unwrap();
        let holds = catalog.write().await.unwrap();
        let mut other = catalog.pool.acquire().await.unwrap();
        sqlx::query("PRAGMA busy_timeout = 0").execute(&mut *other).await.unwrap();
        let write = "DELETE FROM watch_folders";
        let refused = CatalogError::from(sqlx::query(write).execute(&mut *other).await.unwrap_err());
        let refused = BackupError::Asset(AssetError::Catalog(refused));
        assert!(is_locked(&refused) && full_disk(&refused, folder.path()).is_none(), "{refused:?}");
        drop(holds);
        assert!(!is_locked(&CatalogError::Damaged { what: "path" }));
        assert!(is_locked(&CatalogError::from(sqlx::Error::PoolTimedOut)));
    }

    #[test]
    fn a_disk_that_fails_is_told_from_one_that_is_full() {
        let (folder, roomy) = (Path::new("/home/me"), Space { bytes: 1 << 30, takes_files: true });
        let told = |said, space| judge(said, space, folder).map(|full| full.to_string());
        assert_eq!(told(Said::Failed, Some(roomy)), None);
        assert_eq!(told(Said::Failed, None), None);
        for (said, space, expected) in [
            (Said::Full, None, ""),
            (Said::Full, Some(roomy), " (1073741 kB are left)"),
            (Said::Failed, Some(Space { bytes: 12_288, ..roomy }), " (12 kB are left)"),
            (Said::Failed, Some(Space { takes_files: false, ..roomy }), " (it takes no more files)"),
        ] {
            let sentence = format!(
                "the disk that /home/me is on is full{expected}: free some space on it and try again"
            );
            assert_eq!(told(said, space), Some(sentence));
        }
        assert!(Space::around(Path::new("/")).is_none_or(|space| space.takes_files || space.bytes > 0));
    }
}
