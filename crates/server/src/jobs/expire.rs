//! What expires: overdue trash, objects that nobody committed, garbage, uploads that nobody went on with, and files that no row names.
//!
//! Every function takes the time as an argument, may be run at any moment beside any request, and may be repeated.

use super::compact::{compact, compact_due};
use crate::Server;
use crate::error::ApiError;
use crate::objects::{ObjectError, SHARDS};
use crate::store::StoreError;
use crate::store::change::ChangeError;
use darkslide_protocol::limits::DAY_MICROS;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a blob may lie about before it is taken for an orphan, in microseconds: one day.
const ORPHAN_MICROS: i64 = DAY_MICROS;

/// Why a run stopped. The next one goes on where it was.
#[derive(Debug, thiserror::Error)]
pub enum ExpireError {
    /// The database failed.
    #[error("expiring failed in the database")]
    Store(#[from] StoreError),
    /// A purge failed.
    #[error("expiring failed in a purge")]
    Change(#[from] ChangeError),
    /// The disk failed.
    #[error("expiring failed on the disk")]
    Objects(#[from] ObjectError),
}

impl From<ExpireError> for ApiError {
    fn from(error: ExpireError) -> Self {
        match error {
            ExpireError::Store(error) => Self::Store(error),
            ExpireError::Change(error) => error.into(),
            ExpireError::Objects(error) => Self::Objects(error),
        }
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Files that were purged.
    pub files: usize,
    /// Objects whose bytes were removed.
    pub objects: usize,
    /// Uploads that were forgotten.
    pub uploads: usize,
    /// Blobs and uploads' files that no row named.
    pub orphans: usize,
}

/// Does all that is due at `now` (µs since the epoch), but for the sweep.
pub async fn expire(server: &Server, now: i64) -> Result<Expired, ExpireError> {
    let mut files = 0;
    loop {
        match server.store.purge_overdue(now).await? {
            0 => break,
            purged => files += purged,
        }
    }
    server.store.give_up_overdue(now).await?;
    let objects = remove_garbage(server, now).await?;
    let uploads = forget_uploads(server, now).await?;
    compact_due(server, now).await?;
    Ok(Expired { files, objects, uploads, orphans: 0 })
}

/// Forgets uploads whose time is up, and removes the bytes of those that never became objects. Returns how many.
async fn forget_uploads(server: &Server, now: i64) -> Result<usize, ExpireError> {
    let mut forgotten = 0;
    loop {
        let uploads = server.store.forget_expired_uploads(now).await?;
        if uploads.is_empty() {
            return Ok(forgotten);
        }
        forgotten += uploads.len();
        let unstored: Vec<_> = uploads.into_iter().filter(|upload| !upload.is_stored).collect();
        server.objects.remove_growing(unstored.iter().map(|upload| upload.at.object).collect()).await?;
        // A crash may have left one between its two places.
        server.objects.remove(unstored.into_iter().map(|upload| upload.blob).collect()).await?;
    }
}

/// Removes the bytes of garbage whose retention is over. Returns how many objects.
pub async fn remove_garbage(server: &Server, now: i64) -> Result<usize, ExpireError> {
    let mut removed = 0;
    loop {
        let garbage = server.store.due_garbage(now).await?;
        if garbage.keys.is_empty() {
            return Ok(removed);
        }
        server.objects.remove(garbage.blobs.clone()).await?;
        let packs = server.store.forget_garbage(&garbage).await?;
        removed += garbage.keys.len();
        compact(server, &packs, now).await?;
    }
}

/// Looks through all blobs, a shard at a time, and all uploads' files, and removes those that no row names and that are older than a
/// day.
pub async fn sweep_orphans(server: &Server, now: i64) -> Result<Expired, ExpireError> {
    let moment = moment(now - ORPHAN_MICROS);
    let mut orphans = 0;
    for shard in 0..SHARDS {
        let old = server.objects.older_than(shard, moment).await?;
        let unnamed = server.store.unnamed_blobs(&old).await?;
        orphans += unnamed.len();
        server.objects.remove(unnamed).await?;
    }
    let old = server.objects.growing_older_than(moment).await?;
    let unknown = server.store.unknown_uploads(&old).await?;
    orphans += unknown.len();
    server.objects.remove_growing(unknown).await?;
    Ok(Expired { orphans, ..Expired::default() })
}

fn moment(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
