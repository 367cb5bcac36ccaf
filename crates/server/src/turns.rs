//! Whose turn it is to write an upload: the newest request's. The one before it stops, flushes, records, and makes way.
//!
//! This orders the requests of one process; between processes the file's lock and the database's row decide. Kept with the turn is
//! the hash of the bytes so far; losing it costs one more reading of the file.

use crate::store::uploads::ObjectAddress;
use darkslide_protocol::AccountId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// The most uploads that are remembered while nobody writes them: some 8 MiB of hashes.
const IDLE_MAX: usize = 4096;

/// The turns of one process.
#[derive(Debug, Default)]
pub struct Turns {
    lanes: Mutex<HashMap<Uuid, Arc<Lane>>>,
    writing: TaskTracker,
    stopping: CancellationToken,
}

#[derive(Debug)]
struct Lane {
    account: AccountId,
    /// Stops the newest request.
    newest: Mutex<CancellationToken>,
    turn: Arc<tokio::sync::Mutex<Option<blake3::Hasher>>>,
}

/// One request's turn.
#[derive(Debug)]
pub struct Turn {
    /// The hash of the bytes so far, if this process wrote or read them all.
    pub running: OwnedMutexGuard<Option<blake3::Hasher>>,
    /// Ends when somebody newer has come, or the process is asked to end.
    pub stop: CancellationToken,
    _lane: Arc<Lane>,
}

impl Turns {
    /// Stops who is writing this upload, and waits until it has made way.
    pub async fn take(&self, at: ObjectAddress) -> Turn {
        let lane = self.lane(at);
        let stop = self.stopping.child_token();
        let before = std::mem::replace(&mut *locked(&lane.newest), stop.clone());
        before.cancel();
        Turn { running: Arc::clone(&lane.turn).lock_owned().await, stop, _lane: lane }
    }

    /// Stops all that write uploads of an account: whoever may goes on where they were.
    pub fn interrupt(&self, account: AccountId) {
        for lane in locked(&self.lanes).values().filter(|lane| lane.account == account) {
            locked(&lane.newest).cancel();
        }
    }

    fn lane(&self, at: ObjectAddress) -> Arc<Lane> {
        let mut lanes = locked(&self.lanes);
        if lanes.len() >= IDLE_MAX {
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
        let new = || Arc::new(Lane { account: at.account, newest: Mutex::default(), turn: Arc::default() });
        Arc::clone(lanes.entry(at.object).or_insert_with(new))
    }

    /// Forgets an upload that nobody will write again.
    pub fn forget(&self, id: Uuid) {
        locked(&self.lanes).remove(&id);
    }

    /// Runs what must reach its end although its client has gone: flushing and recording what came.
    pub fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.writing.spawn(work)
    }

    /// Whether the process was asked to end.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Stops all that write, now and from now on.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Waits until all that wrote have recorded what they had.
    pub async fn ended(&self) {
        self.writing.close();
        self.writing.wait().await;
    }
}

/// What is behind these locks is consistent at every moment.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ObjectAddress = at(7, 1);

    const fn at(account: i64, object: u128) -> ObjectAddress {
        ObjectAddress { account: AccountId(account), object: Uuid::from_u128(object) }
    }

    #[tokio::test]
    async fn the_newest_stops_the_one_before_and_waits_for_it() {
        let turns = Arc::new(Turns::default());
        let first = turns.take(ID).await;
        assert!(!first.stop.is_cancelled());
        let waiting = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { turns.take(ID).await }
        });
        first.stop.cancelled().await;
        assert!(!waiting.is_finished());
        drop(first);
        let second = waiting.await.unwrap();
        assert!(!second.stop.is_cancelled());
        drop(turns.take(at(7, 2)).await);
        assert!(!second.stop.is_cancelled(), "another upload is another turn");
        let other = turns.take(at(8, 3)).await;
        turns.interrupt(AccountId(8));
        assert!(other.stop.is_cancelled() && !second.stop.is_cancelled() && !turns.is_stopping());
        drop(other);
        assert!(!turns.take(at(8, 3)).await.stop.is_cancelled(), "who comes again has a turn again");
        turns.stop();
        assert!(second.stop.is_cancelled() && turns.is_stopping());
    }

    #[tokio::test]
    async fn only_idle_uploads_are_forgotten() {
        let turns = Turns::default();
        let kept = turns.take(ID).await;
        for id in 2..2 + IDLE_MAX as u128 {
            drop(turns.take(at(7, id)).await);
        }
        assert!(locked(&turns.lanes).len() < IDLE_MAX);
        assert!(locked(&turns.lanes).contains_key(&ID.object));
        drop(kept);
    }
}
