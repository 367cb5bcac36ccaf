//! The gate: whether the next part may be sent, asked of the newest conditions before each.
//!
//! A run of a computer that is always at home has no conditions, and passes.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::error::AssetError;
use super::line::Line;
use super::rules::conditions::{Conditions, Grant, Permissions, Trigger};
use super::rules::{PART_BYTES, PART_LEAST, bytes_within, may_read, may_send};
use crate::library::device::{AssetKind, DeviceAsset};

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
#[derive(Debug)]
pub(super) struct Gate {
    outlook: Option<Outlook>,
    /// Where memory is tight, whoever has it sends a part.
    turn: Arc<Semaphore>,
    resumable: bool,
    cache_room: u64,
    line: Mutex<Line>,
}

impl Default for Gate {
    /// Nothing is ever held.
    fn default() -> Self {
        let (turn, line) = (Arc::new(Semaphore::new(1)), Mutex::default());
        Self { outlook: None, turn, resumable: false, cache_room: 0, line }
    }
}

/// What goes in one request: how much, and since when, µs since the epoch. Dropped, it is under way no longer.
#[derive(Debug)]
pub(super) struct Load<'g> {
    gate: &'g Gate,
    bytes: u64,
    since: AtomicI64,
    is_tried: AtomicBool,
}

impl Load<'_> {
    /// Asks for all of it in the moment in which it goes, and again each time it is sent again: then it needs all its time once more.
    pub(super) fn goes(&self, kinds: &[AssetKind]) -> Result<(), AssetError> {
        let is_again = self.is_tried.swap(true, Ordering::Relaxed);
        let bytes = if is_again { self.bytes } else { 0 };
        kinds.iter().try_for_each(|kind| self.gate.ask(*kind, bytes))?;
        if is_again {
            self.since.store(self.gate.now(), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Passes a part of something of this kind into it, or says what that waits for.
    pub(super) fn take(&mut self, kind: AssetKind, bytes: u64) -> Result<(), AssetError> {
        let Some(outlook) = &self.gate.outlook else { return Ok(()) };
        self.gate.begin(outlook, kind, bytes)?;
        self.bytes = self.bytes.saturating_add(bytes);
        (outlook.before_part)(kind, bytes);
        Ok(())
    }

    /// It was answered: the line is measured by that.
    pub(super) fn arrived(self) {
        if let Some(outlook) = &self.gate.outlook {
            let network = outlook.conditions.borrow().network;
            let since = self.since.load(Ordering::Relaxed);
            self.gate.line().arrived(network, self.bytes, since, (outlook.clock)());
        }
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.gate.line().ended(self.bytes, self.gate.now());
    }
}

impl Gate {
    pub(super) fn new(outlook: Outlook, resumable: bool, cache_room: u64) -> Self {
        Self { outlook: Some(outlook), resumable, cache_room, ..Self::default() }
    }

    /// Whether the system told that memory is tight.
    pub(super) fn memory_is_tight(&self) -> bool {
        self.outlook.as_ref().is_some_and(|outlook| outlook.conditions.borrow().memory_is_tight)
    }

    /// Waits for the turn of a part where memory is tight: there one goes at a time. Held until it is answered.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        if !self.memory_is_tight() {
            return None;
        }
        Arc::clone(&self.turn).acquire_owned().await.ok()
    }

    /// Passes a part of something of this kind that goes in a request of its own, or says what it waits for.
    pub(super) fn pass(&self, kind: AssetKind, bytes: u64) -> Result<Load<'_>, AssetError> {
        let mut load = self.load();
        load.take(kind, bytes)?;
        Ok(load)
    }

    /// A request in which nothing goes yet.
    pub(super) fn load(&self) -> Load<'_> {
        Load { gate: self, bytes: 0, since: self.now().into(), is_tried: AtomicBool::default() }
    }

    /// Asks for a part, and lets it begin in the same moment: two that fit one by one may not fit together.
    fn begin(&self, outlook: &Outlook, kind: AssetKind, bytes: u64) -> Result<(), AssetError> {
        let (now, network) = ((outlook.clock)(), outlook.conditions.borrow().network);
        let mut line = self.line();
        self.judge(outlook, kind, line.takes(network, bytes, now), now)?;
        line.begun(network, bytes, now);
        Ok(())
    }

    /// Whether a part of so many bytes would pass.
    pub(super) fn ask(&self, kind: AssetKind, bytes: u64) -> Result<(), AssetError> {
        let Some(outlook) = &self.outlook else { return Ok(()) };
        let (now, network) = ((outlook.clock)(), outlook.conditions.borrow().network);
        let takes = self.line().takes(network, bytes, now);
        self.judge(outlook, kind, takes, now)
    }

    fn judge(
        &self,
        outlook: &Outlook,
        kind: AssetKind,
        takes: Option<i64>,
        now: i64,
    ) -> Result<(), AssetError> {
        let Outlook { conditions, permissions, trigger, .. } = outlook;
        let conditions = *conditions.borrow();
        may_send(kind, &conditions, permissions, *trigger, self.resumable, takes, now)
            .map_err(AssetError::Held)
    }

    /// Bytes a second that the network carried last; none where nothing was measured.
    pub(super) fn rate(&self) -> Option<u64> {
        let network = self.outlook.as_ref()?.conditions.borrow().network;
        self.line().rate(network)
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        self.moment().unwrap_or(0)
    }

    /// The present, µs since the epoch, by the device's own clock, where there are conditions.
    pub(super) fn moment(&self) -> Option<i64> {
        self.outlook.as_ref().map(|outlook| (outlook.clock)())
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

    /// Ciphertext bytes that may go in one request, where conditions say how many: in a grant that ends, what the line carries in most of what
    /// is left of it.
    pub(super) fn part_bytes(&self, usual: u64) -> u64 {
        let Some(outlook) = &self.outlook else { return usual };
        let (now, conditions) = ((outlook.clock)(), *outlook.conditions.borrow());
        let Grant::Until(until) = conditions.grant else { return PART_BYTES };
        let line = self.line();
        let (Some(rate), Some(queue)) =
            (line.rate(conditions.network), line.takes(conditions.network, 0, now))
        else {
            return PART_LEAST;
        };
        let left = until.saturating_sub(now).saturating_sub(queue).max(0);
        bytes_within(left / 5 * 4, rate).clamp(PART_LEAST, PART_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::conditions::App;
    use super::super::rules::explanation::Wait;
    use super::*;

    const SECOND: i64 = 1_000_000;

    /// The gate of an app in the background, and its clock, which begins at 0.
    fn gate(grant: Grant) -> (Gate, Arc<AtomicI64>) {
        let now = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&now);
        let conditions = Conditions { app: App::Background, grant, ..Conditions::HOME };
        let outlook = Outlook {
            clock: Arc::new(move || clock.load(Ordering::Relaxed)),
            conditions: watch::channel(conditions).1,
            permissions: Permissions::default(),
            trigger: Trigger::Pushed,
            before_part: Arc::new(|_, _| {}),
        };
        (Gate::new(outlook, true, 0), now)
    }

    fn is_held(asked: &Result<(), AssetError>) -> bool {
        matches!(asked, Err(AssetError::Held(Wait::Grant)))
    }

    #[test]
    fn what_goes_at_once_must_be_done_at_once() {
        let (gate, now) = gate(Grant::Until(30 * SECOND));
        assert!(gate.ask(AssetKind::Video, u64::MAX).is_ok(), "nothing was measured");
        let load = gate.pass(AssetKind::Video, 1_000_000).unwrap();
        now.store(10 * SECOND, Ordering::Relaxed);
        load.arrived();
        assert_eq!(gate.rate(), Some(100_000));
        assert!(gate.ask(AssetKind::Video, 2_000_000).is_ok());
        assert!(is_held(&gate.ask(AssetKind::Video, 2_000_001)));
        let mut load = gate.load();
        assert!(load.take(AssetKind::Photo, 1_500_000).is_ok());
        assert!(is_held(&load.take(AssetKind::Photo, 500_001)));
        let other = gate.pass(AssetKind::Photo, 400_000).unwrap();
        assert!(is_held(&gate.pass(AssetKind::Photo, 100_001).map(drop)));
        drop(other);
        assert!(load.take(AssetKind::Photo, 500_000).is_ok(), "the other one failed");
        drop(load);
        now.store(29 * SECOND, Ordering::Relaxed);
        assert!(is_held(&gate.pass(AssetKind::Photo, 100_001).map(drop)));
        assert!(gate.pass(AssetKind::Photo, 100_000).is_ok());
    }

    #[tokio::test]
    async fn where_memory_is_tight_one_part_goes_at_a_time() {
        let (told, conditions) = watch::channel(Conditions::HOME);
        let outlook = Outlook { conditions, ..gate(Grant::Unlimited).0.outlook.unwrap() };
        let gate = Gate::new(outlook, true, 0);
        assert!(!gate.memory_is_tight() && gate.turn().await.is_none());
        told.send_replace(Conditions { memory_is_tight: true, ..Conditions::HOME });
        let first = gate.turn().await.unwrap();
        let mut second = std::pin::pin!(gate.turn());
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        drop(first);
        assert!(second.await.is_some() && gate.memory_is_tight());
        assert!(!Gate::default().memory_is_tight() && Gate::default().turn().await.is_none());
    }

    /// The line is not slow because it was away, and what goes once more needs its time once more.
    #[test]
    fn what_is_sent_again_begins_again() {
        let (gate, now) = gate(Grant::Until(100 * SECOND));
        let load = gate.pass(AssetKind::Photo, 1_000_000).unwrap();
        load.goes(&[AssetKind::Photo]).unwrap();
        now.store(60 * SECOND, Ordering::Relaxed);
        load.goes(&[AssetKind::Photo]).unwrap();
        now.store(62 * SECOND, Ordering::Relaxed);
        load.arrived();
        assert_eq!(gate.rate(), Some(500_000));
        let load = gate.pass(AssetKind::Photo, 1_000_000).unwrap();
        load.goes(&[AssetKind::Photo]).unwrap();
        now.store(99 * SECOND, Ordering::Relaxed);
        assert!(is_held(&load.goes(&[AssetKind::Photo])));
    }

    #[test]
    fn only_a_grant_that_ends_begins_with_a_small_part() {
        let (ending, now) = gate(Grant::Until(30 * SECOND));
        assert_eq!(ending.part_bytes(7), PART_LEAST);
        let load = ending.pass(AssetKind::Video, PART_LEAST).unwrap();
        now.store(SECOND, Ordering::Relaxed);
        load.arrived();
        assert_eq!(ending.part_bytes(7), PART_BYTES);
        // A quarter of a megabyte a second: four fifths of what is left of the grant.
        now.store(20 * SECOND, Ordering::Relaxed);
        assert_eq!(ending.part_bytes(7), 8 * PART_LEAST);
        now.store(29 * SECOND, Ordering::Relaxed);
        assert_eq!(ending.part_bytes(7), PART_LEAST);
        assert_eq!(gate(Grant::Unlimited).0.part_bytes(7), PART_BYTES);
        assert_eq!(Gate::default().part_bytes(7), 7);
    }
}
