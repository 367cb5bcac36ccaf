//! The store: accounts, collections, files, memberships and trash in one SQL database.
//!
//! One SQL text serves SQLite and PostgreSQL; what differs between the engines is in this file and nowhere else. Every public
//! method of the submodules is a whole transaction. Nothing here touches object bytes, and nothing here can decrypt.
//!
//! **Versions.** A change carries a version from the clock of every account that can see it: `max(now, last + 1)`, allocated
//! inside the committing transaction while the rows of all those accounts are locked (`clocks`). So versions become visible in their
//! own order, and a client whose cursor is at `v` has seen everything up to `v`.

pub mod accounts;
pub mod batch;
pub mod change;
pub mod changes;
pub mod checks;
mod clocks;
pub mod codes;
pub mod collections;
pub mod commit;
pub mod conditions;
pub mod devices;
pub mod files;
pub mod lookup;
mod lost;
pub mod magic;
pub mod memberships;
pub mod mending;
pub mod news;
pub mod operator;
pub mod packs;
pub mod reap;
pub mod resumable;
pub mod sessions;
pub mod settings;
pub mod shares;
mod sql;
pub mod srp;
pub mod thumbnails;
mod transaction;
pub mod trash;
pub mod uploads;
pub mod versions;
pub mod watch;

use darkslide_protocol::AccountId;
use news::News;
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::{Any, AnyConnection, AnyPool, Connection as _, Row, Transaction};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Mutex;
pub(crate) use transaction::Tx;
use watch::{Watch, WatchRefused, Watches};

/// How many ids are taken from the database at a time; those not used before a restart are lost, which is harmless.
const ID_BLOCK: i64 = 256;

/// Connections that read, on SQLite; and all connections on PostgreSQL.
const READERS: u32 = 8;

/// Pages of the database that the connection that writes keeps, in KiB.
const WRITER_CACHE_KIB: u32 = 8192;

/// The same of each that reads. The system's page cache has them all once more.
const READER_CACHE_KIB: u32 = 2048;

/// How long a request waits for a connection to PostgreSQL, and the server at its start, for both may have been started at once.
const POSTGRES_PATIENCE: Duration = Duration::from_secs(30);

/// What a database says when the same statement may succeed later: SQLite's BUSY, LOCKED and BUSY_SNAPSHOT; PostgreSQL's
/// serialization failure, deadlock, too many connections, shutdown, crash and start-up.
const TRANSIENT_CODES: [&str; 9] = ["5", "6", "517", "40001", "40P01", "53300", "57P01", "57P02", "57P03"];

/// What a database says when its disk is full: SQLite's FULL, PostgreSQL's disk_full.
const FULL_CODES: [&str; 2] = ["13", "53100"];

/// Which SQL engine is behind the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// A file beside the server. One writer at a time, queued.
    Sqlite,
    /// A server of its own.
    Postgres,
}

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database could not be reached, or refused the statement.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The database's tables could not be brought up to date.
    #[error("the database could not be migrated")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Neither `sqlite:` nor `postgres:`.
    #[error("the database URL must begin with sqlite: or postgres:, not {0:?}")]
    UnknownEngine(String),
    /// The session of the request that this is for has ended since it was let in. Nothing was written.
    #[error("the session has ended")]
    SessionEnded,
    /// A row holds what this version of the server never writes.
    #[error("the database holds a malformed {0}")]
    Malformed(&'static str),
}

impl StoreError {
    /// Whether the same call may succeed later: the database is away, busy, or out of connections.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) => true,
            Self::Database(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| TRANSIENT_CODES.contains(&code.as_ref()))
            }
            _ => false,
        }
    }

    /// Whether the database finds no room on its disk.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error))
            if error.code().is_some_and(|code| FULL_CODES.contains(&code.as_ref())))
    }

    /// Whether the failure is a unique constraint: somebody else was first.
    pub(crate) fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.is_unique_violation())
    }
}

/// The database, open and migrated.
#[derive(Debug)]
pub struct Store {
    engine: Engine,
    read: AnyPool,
    write: AnyPool,
    ids: Mutex<std::ops::Range<i64>>,
    last_time: AtomicI64,
    watches: Arc<Watches>,
    news: Arc<News>,
}

/// Where SQLite keeps what would undo a statement half-way: as much as the statement changes.
#[derive(Clone, Copy, Debug)]
enum Undo {
    /// In a file that is made and removed for each statement of many rows.
    OnDisk,
    /// In memory. For statements of a bounded number of rows.
    InMemory,
}

impl Store {
    /// Opens the database that `url` names (`sqlite:PATH` or `postgres://…`), creating a SQLite file that is not there, and
    /// brings its tables up to date.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let (engine, read, write) = if url.starts_with("sqlite:") {
            let (read, write) = open_sqlite(url).await?;
            (Engine::Sqlite, read, write)
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let pool = open_postgres(url, POSTGRES_PATIENCE).await?;
            (Engine::Postgres, pool.clone(), pool)
        } else {
            // Only the scheme: the rest may hold a password.
            let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
            return Err(StoreError::UnknownEngine(scheme.to_owned()));
        };
        // SQLite itself keeps no two processes from migrating at once.
        let lock = if engine == Engine::Sqlite { lock_migrations(url).await } else { None };
        sqlx::migrate!("./migrations").run(&write).await?;
        drop(lock);
        let store = Self {
            engine,
            read,
            write,
            ids: Mutex::new(0..0),
            last_time: AtomicI64::new(0),
            watches: Arc::default(),
            news: Arc::default(),
        };
        Ok(store)
    }

    /// The URL of a SQLite database in a file.
    pub fn sqlite_url(path: &Path) -> String {
        format!("sqlite:{}", path.display())
    }

    /// The file that such a URL names; `None` for a database elsewhere, or in memory.
    pub fn sqlite_path(url: &str) -> Option<PathBuf> {
        let path = url.strip_prefix("sqlite:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        (!path.is_empty() && path != ":memory:").then(|| PathBuf::from(path))
    }

    /// Which engine is behind it.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Whether the database answers, and takes writes.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").fetch_one(&self.read).await?;
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE id_blocks SET next = next").execute(&mut *tx).await?;
        Ok(tx.undo().await?)
    }

    /// Closes all connections; on SQLite the log is folded into the file.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }

    /// Connections for statements that only read.
    pub(crate) fn reader(&self) -> &AnyPool {
        &self.read
    }

    /// Begins a transaction that writes. On SQLite it holds the one write lock from here to its end, so it must be short,
    /// and must not wait for another of its kind.
    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        self.begin_with(Undo::OnDisk).await
    }

    async fn begin_with(&self, undo: Undo) -> Result<Tx, StoreError> {
        let transaction = match (self.engine, undo) {
            (Engine::Sqlite, Undo::OnDisk) => {
                self.write.begin_with("PRAGMA temp_store = FILE; BEGIN IMMEDIATE").await?
            }
            (Engine::Sqlite, Undo::InMemory) => {
                self.write.begin_with("PRAGMA temp_store = MEMORY; BEGIN IMMEDIATE").await?
            }
            (Engine::Postgres, _) => self.write.begin().await?,
        };
        Ok(Tx::new(transaction, self.engine, self.watches.clone(), self.news.clone()))
    }

    /// Begins a transaction that only reads, and sees one moment of the database however many statements it reads with.
    pub(crate) async fn begin_snapshot(&self) -> Result<Transaction<'static, Any>, StoreError> {
        Ok(match self.engine {
            Engine::Sqlite => self.read.begin().await?,
            Engine::Postgres => {
                self.read.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?
            }
        })
    }

    /// An id that nothing else has. Not to be called inside a transaction: it may need one of its own.
    pub(crate) async fn next_id(&self) -> Result<i64, StoreError> {
        let mut block = self.ids.lock().await;
        if block.is_empty() {
            let next: i64 =
                sqlx::query("UPDATE id_blocks SET next = next + $1 WHERE name = 'all' RETURNING next")
                    .bind(ID_BLOCK)
                    .fetch_one(&self.write)
                    .await?
                    .try_get(0)?;
            *block = next - ID_BLOCK..next;
        }
        let id = block.start;
        block.start += 1;
        Ok(id)
    }

    /// As many ids as are asked for, which nothing else has, in order. Not inside a transaction: on SQLite nobody else can write then.
    pub(crate) async fn next_ids(&self, count: usize) -> Result<Vec<i64>, StoreError> {
        self.next_ids_after(0, count).await
    }

    /// The same, all of them later than one that was given out, whoever drew that.
    pub(crate) async fn next_ids_after(&self, after: i64, count: usize) -> Result<Vec<i64>, StoreError> {
        let mut ids = Vec::with_capacity(count);
        while ids.len() < count {
            ids.extend(Some(self.next_id().await?).filter(|id| *id > after));
        }
        Ok(ids)
    }

    /// Now, in microseconds since the epoch; within this process it never goes back.
    pub(crate) fn now(&self) -> i64 {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
        self.last_time.fetch_max(wall, Ordering::Relaxed).max(wall)
    }

    /// Begins to wait for an account's changes. Waiting ends when the store is told to stop.
    pub fn watch(&self, account: AccountId) -> Result<Watch, WatchRefused> {
        self.watches.watch(account)
    }

    /// Has those who wait for an account's changes look whether they still may.
    pub fn ring(&self, account: AccountId) {
        self.watches.ring(account);
    }

    /// The accounts that this process changes from now on. For one listener.
    pub fn news(&self) -> &News {
        self.news.listen();
        &self.news
    }

    /// Ends all waiting for changes: the server stops.
    pub fn end_watches(&self) {
        self.watches.close();
    }
}

/// Opens a SQLite file with many readers and one writer: a queue instead of “database is locked”.
async fn open_sqlite(url: &str) -> Result<(AnyPool, AnyPool), StoreError> {
    let url = if url.contains('?') { url.to_owned() } else { format!("{url}?mode=rwc") };
    let pool = |connections, cache_kib: u32| {
        // A file's connection does not break while it waits, so it is not asked whether it did.
        let options = AnyPoolOptions::new().max_connections(connections).test_before_acquire(false);
        // A full disk makes SQLite roll back by itself; the connection then takes itself for inside a transaction, and is of no more use.
        let options = options
            .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }));
        options.after_connect(move |connection, _| {
            Box::pin(async move {
                // The patience comes first: switching to WAL wants the database for itself, and a process that was
                // killed may be a moment away from letting go. FULL: a committed transaction survives a power cut. A log of
                // 16 MiB folds a page that many transactions changed into the file once.
                let pragmas = format!(
                    "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                     PRAGMA foreign_keys = ON; PRAGMA cache_size = -{cache_kib};
                     PRAGMA wal_autocheckpoint = 4096;"
                );
                sqlx::raw_sql(sqlx::AssertSqlSafe(pragmas)).execute(connection).await?;
                Ok(())
            })
        })
    };
    let write = pool(1, WRITER_CACHE_KIB).connect(&url).await?;
    let read = pool(READERS, READER_CACHE_KIB).connect(&url).await?;
    Ok((read, write))
}

/// Waits until no other process brings the tables up to date; the lock ends with its file, or its process. None where there is no file to
/// lock, or no way to.
async fn lock_migrations(url: &str) -> Option<std::fs::File> {
    let mut path = Store::sqlite_path(url)?.into_os_string();
    path.push("-migrate");
    let locking = tokio::task::spawn_blocking(move || {
        let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(path).ok()?;
        file.lock().ok()?;
        Some(file)
    });
    locking.await.ok().flatten()
}

/// Opens a pool of connections to PostgreSQL. A server that is not there yet gets some time to come.
async fn open_postgres(url: &str, patience: Duration) -> Result<AnyPool, sqlx::Error> {
    let options = AnyPoolOptions::new().max_connections(READERS * 2).acquire_timeout(patience);
    match options.clone().connect(url).await {
        Err(sqlx::Error::PoolTimedOut) => {
            // All that the pool says is that time is up; one more try says why.
            AnyConnection::connect(url).await?.close().await?;
            options.connect(url).await
        }
        other => other,
    }
}

/// A flag column.
pub(crate) fn flag(row: &AnyRow, column: &str) -> Result<bool, StoreError> {
    Ok(row.try_get::<i64, _>(column)? != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_postgres_that_is_not_there_is_told_with_the_reason() {
        sqlx::any::install_default_drivers();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let url = format!("postgres://u:hunter2@{address}/d");
        let error = open_postgres(&url, Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, sqlx::Error::Io(_)), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_full_disk_is_over_when_there_is_room_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Store::sqlite_url(&folder.path().join("db"))).await.unwrap();
        for pages in [1, i64::MAX] {
            let mut tx = store.begin().await.unwrap();
            // As a disk without room, SQLite then answers SQLITE_FULL and rolls back by itself.
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}")))
                .execute(&mut *tx)
                .await
                .unwrap();
            let fill = "INSERT INTO server_secrets (name, value) VALUES ('filler', hex(zeroblob(1000000)))";
            let filled = sqlx::query(fill).execute(&mut *tx).await;
            assert_eq!(filled.is_err(), pages == 1);
            drop(tx);
            store.ping().await.unwrap();
        }
    }
}
