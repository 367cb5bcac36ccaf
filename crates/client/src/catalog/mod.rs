//! The catalog: one SQLite database a profile, holding what this device knows.
//!
//! Two halves meet here. The *mirror* (`collections`, `files`, `trash`, `cursors`) is what the change feed said of
//! the vault. The *library* (`assets`, `device_albums`, `uploads`, `thumbnails_due`) is what was done with the folders on this
//! device, what its own library told (`library_assets`), and what is to be done (`watch_folders`, `sync_folders`). But for that, and
//! `first_seen`, it is a cache: losing it costs time, never pictures.
//!
//! Rows are written after the effect that they record. It holds names, dates and content hashes in the clear and
//! no usable key, so it belongs on the owner's device only. It never talks to the network.

mod absent;
mod albums;
mod assets;
mod changes;
mod contents;
mod cursor;
mod damaged;
mod files;
mod full_disk;
mod head_starts;
mod identity;
mod in_vault;
mod libraries;
mod library_assets;
mod receipts;
mod resumable;
mod run_lock;
mod set_backs;
mod sync_base;
mod sync_folders;
mod thumbnails;
mod trash;
mod uploads;
mod watch_folders;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use darkslide_crypto::keys::PublicKey;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqlitePool};

use crate::machine::Machine;
use identity::Identity;

pub use absent::{Came, Holder};
pub use albums::{CollectionRow, DeviceAlbumKey, FolderId, LinkedFolder};
pub use assets::{AlbumMark, AssetRow, AssetState, Failing, Fingerprint, SettledRow, UploadedRows};
pub use changes::ChangedRows;
pub use contents::{content_mark, still_of, video_of};
pub use cursor::{Feed, Spans};
pub use damaged::{DamagedFile, LookedAt, Part, SAID_BY_THE_SERVER};
pub use files::{FileFilter, FileRow};
pub use full_disk::{FullDisk, SqlFailure, full_disk, is_locked};
pub(crate) use head_starts::LARGE_OBJECT_MIN;
pub use head_starts::{AssetPlace, HeadStart};
pub use in_vault::{InVault, VideoOf};
pub use libraries::ServerSeen;
pub use library_assets::LibraryToken;
pub use receipts::GivenReceipt;
pub use resumable::ResumableRow;
pub(crate) use run_lock::Locked;
pub use run_lock::{Owner, RunLock};
pub use set_backs::{Place, SetBack, Witness};
pub use sync_base::{Arrival, BaseChanges, BaseRow, CopyElsewhere};
pub use sync_folders::{NewSyncFolder, SyncFolderRow, SyncPlace, sync_places};
pub use thumbnails::{DueRow, DueThumbnail, SentThumbnail};
pub use trash::TrashRow;
pub use uploads::{PartRow, UploadRow};
pub use watch_folders::{NO_DISK, NewWatchFolder, RootCounts, WatchFolderRow};

/// Readers beside the one writer that SQLite allows.
const CONNECTIONS_MAX: u32 = 4;

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// What can go wrong with the catalog. None of it is the network's fault, so none of it is transient.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// SQLite refused.
    #[error("the catalog cannot be read or written")]
    Sql(#[source] SqlFailure),
    /// The file is of a later version, or is no catalog.
    #[error("the catalog at {path} cannot be brought up to date")]
    Migrate {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// Its folder or its lock cannot be used.
    #[error("{path} cannot be used")]
    Io {
        /// The folder or the lock.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A row holds what this program never writes.
    #[error("the catalog holds an unreadable {what}")]
    Damaged {
        /// The column.
        what: &'static str,
    },
    /// Another process is backing this profile up.
    #[error("another backup of this profile is running{}", run_lock::described(.0))]
    Busy(Owner),
    /// Another process makes a pass over a sync folder.
    #[error("another program keeps this sync folder in step just now{}", run_lock::described(.0))]
    BusyPassing(Owner),
    /// Another process is backing the account up, with another profile.
    #[error("another program backs this account up{}", run_lock::described(.0))]
    BusyElsewhere(Owner),
}

impl From<sqlx::Error> for CatalogError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(SqlFailure(error))
    }
}

/// The open database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Catalog {
    pool: SqlitePool,
    path: PathBuf,
    machine: Machine,
    /// Which file was opened, where the system tells.
    identity: Option<Identity>,
}

impl Catalog {
    /// Opens the database, making or upgrading it as needed. Whoever backs it up looks for no other programs: [`on`](Self::on) says where.
    pub async fn open(path: &Path) -> Result<Self, CatalogError> {
        let io = |source| CatalogError::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        // One at a time: SQLite's migrations have no lock of their own, and two processes may be the first.
        let _alone = alone(&path.with_extension("migrate")).await.map_err(io)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            // A log of 16 MiB folds a page that many transactions changed into the file once.
            .pragma("wal_autocheckpoint", "4096");
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            // A file's connection does not break while it waits, so it is not asked whether it did.
            .test_before_acquire(false)
            // A full disk makes SQLite roll back by itself; the connection then takes itself for inside a transaction.
            .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .connect_with(options)
            .await?;
        sqlx::migrate!("./migrations")
            .run(&pool)
            .await
            .map_err(|source| CatalogError::Migrate { path: path.to_owned(), source })?;
        Ok(Self {
            pool,
            path: path.to_owned(),
            machine: Machine::default(),
            identity: identity::of(path).ok(),
        })
    }

    /// The same on a machine where other catalogs may be of the same account: one of them is backed up at a time.
    #[must_use]
    pub fn on(self, machine: Machine) -> Self {
        Self { machine, ..self }
    }

    /// The folder that it is in.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Removes the database at this path, if there is one. Not while somebody opens it: what SQLite keeps beside it belongs to one and the
    /// same file.
    pub async fn remove(path: &Path) -> Result<(), CatalogError> {
        let io = |source| CatalogError::Io { path: path.to_owned(), source };
        if path.parent().is_none_or(|folder| !folder.exists()) {
            return Ok(());
        }
        let _alone = alone(&path.with_extension("migrate")).await.map_err(io)?;
        for beside in ["", "-wal", "-shm"] {
            let mut path = path.as_os_str().to_owned();
            path.push(beside);
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether another file lies where it was opened, or none: nobody else sees what is written to it.
    pub fn is_replaced(&self) -> bool {
        match (self.identity, identity::of(&self.path)) {
            (Some(opened), Ok(now)) => opened != now,
            (Some(_), Err(error)) => error.kind() == std::io::ErrorKind::NotFound,
            (None, _) => false,
        }
    }

    /// Closes every connection, so that the write-ahead log is folded in.
    pub async fn close(self) {
        self.pool.close().await;
    }

    /// Makes this process the one that backs the profile up, and the account with this public key on this machine.
    pub fn lock_run(&self, account: &PublicKey) -> Result<RunLock, CatalogError> {
        run_lock::take(self.path.with_extension("lock"), &self.machine, account)
    }

    /// The process that backs the profile up, as far as it said, and when it last showed that it is alive; none where nobody does. One that was killed
    /// is told of until another begins.
    pub fn sign_of_life(&self) -> Option<(u32, SystemTime)> {
        run_lock::sign_of_life(&self.path.with_extension("lock"))
    }

    /// The lock that is held while something is removed from a sync folder, or one is taken over, until it is dropped; none where somebody else
    /// has it.
    pub(crate) fn lock_removals(&self) -> Result<Option<Locked>, CatalogError> {
        let path = self.path.with_extension("removals");
        match run_lock::locked(&path) {
            Ok(file) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(CatalogError::Io { path, source }),
        }
    }

    /// The lock of the one pass over a sync folder that is under way, until it is dropped, or its process dies.
    pub(crate) fn lock_sync_folder(&self, folder: i64) -> Result<Locked, CatalogError> {
        run_lock::take_one(&self.pass_lock(folder))
    }

    /// Whether a pass over a sync folder is under way, in whichever process.
    pub fn is_passing(&self, folder: i64) -> bool {
        run_lock::is_taken(&self.pass_lock(folder))
    }

    fn pass_lock(&self, folder: i64) -> PathBuf {
        self.path.with_extension(format!("folder-{folder}"))
    }

    /// A transaction that has the write lock from its start, so that it cannot fail half-way for want of it.
    async fn write(&self) -> Result<sqlx::Transaction<'static, sqlx::Sqlite>, CatalogError> {
        Ok(self.pool.begin_with("PRAGMA temp_store = FILE; BEGIN IMMEDIATE").await?)
    }

    /// The same for a bounded number of rows: what would undo a statement of them stays in memory, where it would go to a file that is made
    /// and removed for each.
    async fn write_rows(&self) -> Result<sqlx::Transaction<'static, sqlx::Sqlite>, CatalogError> {
        Ok(self.pool.begin_with("PRAGMA temp_store = MEMORY; BEGIN IMMEDIATE").await?)
    }
}

/// Waits until nobody else holds this lock; it is let go of with the file.
async fn alone(path: &Path) -> std::io::Result<File> {
    let path = path.to_owned();
    let waiting = tokio::task::spawn_blocking(move || {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        match file.lock() {
            // Some network file systems have no locks: better without than not at all.
            Err(error) if error.kind() != std::io::ErrorKind::Unsupported => Err(error),
            _ => Ok(file),
        }
    });
    waiting.await.expect("waiting for a lock does not panic")
}

#[cfg(test)]
mod tests;
