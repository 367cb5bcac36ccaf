//! The gate: whether the next part may be sent, asked of the newest conditions before each.
//!
//! A run of a computer that is always at home has no conditions, and passes.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::error::AssetError;
use super::rules::conditions::{Conditions, Permissions, Trigger};
use super::rules::{may_read, may_send};
use crate::library::device::{AssetKind, DeviceAsset};

/// Ciphertext bytes in one part where conditions may change: what is sent at most under conditions that are over.
const PART_BYTES: u64 = 4 << 20;

/// What tells the present, µs since the epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What is told of each part right before it is sent: what it is of, and its ciphertext bytes.
pub type PartListener = Arc<dyn Fn(AssetKind, u64) + Send + Sync>;

/// A device's conditions as they come, and what its owner allows.
#[derive(Clone)]
pub struct Outlook {
    /// The present.
    pub clock: Clock,
    /// The newest conditions.
    pub conditions: watch::Receiver<Conditions>,
    /// What the owner allows.
    pub permissions: Permissions,
    /// Why the run began.
    pub trigger: Trigger,
    /// Told of each part.
    pub before_part: PartListener,
}

impl fmt::Debug for Outlook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Outlook")
            .field("conditions", &*self.conditions.borrow())
            .field("permissions", &self.permissions)
            .field("trigger", &self.trigger)
            .finish_non_exhaustive()
    }
}

/// What every part passes.
#[derive(Debug, Default)]
pub(super) struct Gate {
    outlook: Option<Outlook>,
    resumable: bool,
    cache_room: u64,
}

impl Gate {
    pub(super) fn new(outlook: Outlook, resumable: bool, cache_room: u64) -> Self {
        Self { outlook: Some(outlook), resumable, cache_room }
    }

    /// Passes a part of something of this kind, or says what it waits for.
    pub(super) fn pass(&self, kind: AssetKind, bytes: u64) -> Result<(), AssetError> {
        self.ask(kind)?;
        if let Some(outlook) = &self.outlook {
            (outlook.before_part)(kind, bytes);
        }
        Ok(())
    }

    /// Whether a part would pass.
    pub(super) fn ask(&self, kind: AssetKind) -> Result<(), AssetError> {
        let Some(Outlook { clock, conditions, permissions, trigger, .. }) = &self.outlook else {
            return Ok(());
        };
        let conditions = *conditions.borrow();
        may_send(kind, &conditions, permissions, *trigger, self.resumable, clock()).map_err(AssetError::Held)
    }

    /// Whether the bytes of a library's asset may be read.
    pub(super) fn ask_to_read(&self, asset: &DeviceAsset) -> Result<(), AssetError> {
        let Some(Outlook { conditions, permissions, .. }) = &self.outlook else { return Ok(()) };
        let conditions = *conditions.borrow();
        may_read(asset, &conditions, permissions, self.cache_room).map_err(AssetError::Held)
    }

    /// Whether nothing is ever held.
    pub(super) fn is_open(&self) -> bool {
        self.outlook.is_none()
    }

    /// Ciphertext bytes that may go in one request, where conditions say how many.
    pub(super) fn part_bytes(&self, usual: u64) -> u64 {
        if self.outlook.is_some() { PART_BYTES } else { usual }
    }
}
