//! What the operator is told of a server: how much it holds, on what, and whether all of it is still what was uploaded.
//!
//! Read from the database and the file system, so it answers whether or not the server runs. It says nothing of what is stored but
//! its size.

use crate::config::Config;
use crate::store::checks::{DamagedObject, ObjectsHealth, Uncommitted};
use crate::store::{Engine, Store, StoreError};
use serde::Serialize;
use std::path::Path;

/// The most damaged objects of a kind that are listed; the count tells how many there are.
const LISTED_MAX: i64 = 1000;

/// All that is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerStatus {
    /// The version of this program.
    pub version: String,
    /// What the database is.
    pub database: Engine,
    /// Accounts that are not deleted.
    pub accounts: i64,
    /// Files, trash included.
    pub files: i64,
    /// Bytes of ciphertext that accounts have stored, trash included.
    pub stored_bytes: i64,
    /// The disk that the objects lie on; absent where it cannot be asked.
    pub disk: Option<DiskSpace>,
    /// Objects that wait for their commit.
    pub uncommitted: Uncommitted,
    /// Objects that are kept, and how much of them was read back. Those that files name and the database does not know are missing, too.
    pub objects: ObjectsHealth,
    /// Those that are not what was uploaded, the longest known first, then those that the database does not know; at most 1000 of each.
    pub not_whole: Vec<DamagedObject>,
}

/// Room on a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiskSpace {
    /// What this user may still write.
    pub free_bytes: u64,
    /// All of it.
    pub total_bytes: u64,
}

impl ServerStatus {
    /// Looks at everything.
    pub async fn read(store: &Store, config: &Config) -> Result<Self, StoreError> {
        let totals = store.totals().await?;
        let mut objects = store.objects_health().await?;
        objects.missing += store.count_lost().await?;
        let mut not_whole = store.damaged_objects(LISTED_MAX).await?;
        not_whole.extend(store.lost_objects(LISTED_MAX).await?);
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            database: store.engine(),
            accounts: totals.accounts,
            files: store.count_files().await?,
            stored_bytes: totals.usage,
            disk: DiskSpace::of(&config.data_dir),
            uncommitted: store.uncommitted().await?,
            objects,
            not_whole,
        })
    }

    /// Whether every object is what was uploaded, as far as is known.
    pub fn is_whole(&self) -> bool {
        self.objects.damaged == 0 && self.objects.missing == 0
    }
}

impl DiskSpace {
    /// The disk that a path is on; `None` where it cannot be asked.
    #[cfg(unix)]
    pub fn of(path: &Path) -> Option<Self> {
        let space = rustix::fs::statvfs(path).ok()?;
        Some(Self {
            free_bytes: space.f_bavail.saturating_mul(space.f_frsize),
            total_bytes: space.f_blocks.saturating_mul(space.f_frsize),
        })
    }

    /// The disk that a path is on; `None` where it cannot be asked.
    #[cfg(not(unix))]
    pub fn of(_: &Path) -> Option<Self> {
        None
    }
}
