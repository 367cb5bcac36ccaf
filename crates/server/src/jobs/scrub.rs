//! The scrub: reads all kept objects back, over and over, the least recently verified first, so that damage is known before the
//! bytes are needed. Kept are what files are, and what edited files were as long as that can be brought back.
//!
//! Bounded by bytes a second, in small steps with pauses between them; it can be stopped anywhere, for where it was stands in the
//! objects' rows. One process at a time does it: whoever holds the lock in the data folder. It mends nothing and removes nothing.

use crate::objects::ObjectError;
use crate::store::StoreError;
use crate::store::checks::{Check, Recorded};
use crate::vouch::{self, VouchError};
use crate::{Server, Shared};
use darkslide_protocol::limits::DAY_MICROS;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long an object that was whole is left alone: 7 days.
pub const AGAIN_MICROS: i64 = 7 * DAY_MICROS;

/// How long one that was damaged is: an hour, so that one that was put back is soon known to be whole.
pub const DAMAGED_AGAIN_MICROS: i64 = DAY_MICROS / 24;

/// How far ahead of the clock an object's last reading may lie before it counts for nothing: a day, which no clock that is only set right
/// jumps back.
pub const AHEAD_MICROS: i64 = DAY_MICROS;

/// How long to wait when nothing is due, when another process scrubs, or when something failed.
const REST: Duration = Duration::from_mins(1);

/// Objects of one round.
const ROUND_OBJECTS: i64 = 64;

/// Bytes after which what was found is written down.
const RECORD_BYTES: u64 = 64 * 1024 * 1024;

/// What an object costs at least, in bytes: opening it makes a disk seek.
const OBJECT_COST: u64 = 16 * 1024;

/// How fast objects are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// So many bytes a second; at least 1.
    BytesPerSecond(u64),
    /// As fast as the disk gives them: for tests.
    Unbounded,
}

impl Pace {
    /// The pace of a configured rate; `None` when it is 0: no scrub.
    pub fn of_rate(bytes_per_second: u64) -> Option<Self> {
        (bytes_per_second > 0).then_some(Self::BytesPerSecond(bytes_per_second))
    }

    /// How long to pause after so many bytes.
    pub fn pause_after(self, bytes: u64) -> Duration {
        match self {
            Self::Unbounded => Duration::ZERO,
            Self::BytesPerSecond(rate) => {
                let micros = u128::from(bytes) * 1_000_000 / u128::from(rate.max(1));
                Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
            }
        }
    }
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Objects that were read back.
    pub objects: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Objects that were not known to be damaged, and are.
    pub newly_damaged: u64,
}

/// Scrubs until it is dropped.
pub async fn run(server: Shared) {
    let Some(pace) = Pace::of_rate(server.config.scrub_rate) else { return };
    let mut lock = None;
    loop {
        let outcome = match take_lock(&server, &mut lock) {
            Ok(true) => round(&server, pace, server.store.now()).await,
            Ok(false) => Ok(Scrubbed::default()),
            Err(error) => Err(error.into()),
        };
        match outcome {
            Ok(Scrubbed { objects: 0, .. }) => tokio::time::sleep(REST).await,
            Ok(Scrubbed { newly_damaged: 0, .. }) => {}
            Ok(_) => report_logged(&server).await,
            Err(error) => {
                tracing::error!(error = %error, cause = ?std::error::Error::source(&error), "the scrub failed");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// Whether this process is the one that scrubs.
fn take_lock(server: &Server, lock: &mut Option<std::fs::File>) -> Result<bool, ObjectError> {
    if lock.is_none() {
        *lock = server.objects.try_scrub_lock()?;
    }
    Ok(lock.is_some())
}

/// Reads some of the objects back that are due at `now` (µs since the epoch), and writes down what was found.
pub async fn round(server: &Server, pace: Pace, now: i64) -> Result<Scrubbed, VouchError> {
    paced_round(server, pace, now, tokio::time::sleep).await
}

/// The same, by a clock of one's own: `sleep` is awaited after every step, with how long the pace makes it pause.
pub async fn paced_round<S: Future<Output = ()>>(
    server: &Server,
    pace: Pace,
    now: i64,
    sleep: impl Fn(Duration) -> S,
) -> Result<Scrubbed, VouchError> {
    let (again, damaged_again) = (now - AGAIN_MICROS, now - DAMAGED_AGAIN_MICROS);
    let due = server.store.due_for_check(again, damaged_again, now + AHEAD_MICROS, ROUND_OBJECTS).await?;
    let mut scrubbed = Scrubbed::default();
    let (mut checks, mut unrecorded) = (Vec::new(), 0);
    for key in due {
        let Some(object) = server.store.checkable_object(&key).await? else { continue };
        let found = vouch::read_back(server, &object, |bytes| sleep(pace.pause_after(bytes))).await?;
        sleep(pace.pause_after(OBJECT_COST.saturating_sub(found.read))).await;
        let at = now.max(server.store.now());
        checks.push(Check { key, place: object.place, outcome: found.outcome, at });
        scrubbed.objects += 1;
        scrubbed.bytes += found.read;
        unrecorded += found.read;
        if unrecorded >= RECORD_BYTES {
            scrubbed.newly_damaged += record(server, &mut checks).await?;
            unrecorded = 0;
        }
    }
    scrubbed.newly_damaged += record(server, &mut checks).await?;
    metrics::counter!("darkslide_scrub_objects_total").increment(scrubbed.objects);
    metrics::counter!("darkslide_scrub_bytes_total").increment(scrubbed.bytes);
    Ok(scrubbed)
}

/// Writes down what was found, and says how many objects are newly damaged.
async fn record(server: &Server, checks: &mut Vec<Check>) -> Result<u64, StoreError> {
    let recorded = vouch::record(server, checks).await?;
    checks.clear();
    Ok(recorded.iter().filter(|recorded| **recorded == Recorded::NewDamage).count() as u64)
}

/// Counts the objects that files name and the database does not know, for the metrics: no reading of what it knows finds those.
pub async fn count_lost(server: &Server) -> Result<(), StoreError> {
    let lost = server.store.count_lost().await?;
    if lost > server.lost_objects.swap(lost, Ordering::Relaxed) {
        tracing::error!(
            lost,
            "files name objects that the database does not know: see `darkslide server status`"
        );
    }
    Ok(())
}

/// The same from a job, whose failures go to the log.
pub(super) async fn count_lost_logged(server: &Server) {
    if let Err(error) = count_lost(server).await {
        tracing::error!(error = %error, "lost objects could not be counted");
    }
}

/// Shows the state of all objects in the metrics.
#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point")]
pub async fn report(server: &Server) -> Result<(), StoreError> {
    let standing = server.store.scrub_standing().await?;
    let age = standing.oldest.map_or(0, |oldest| server.store.now().saturating_sub(oldest).max(0));
    metrics::gauge!("darkslide_objects_damaged").set(standing.damaged as f64);
    let lost = server.lost_objects.load(Ordering::Relaxed);
    metrics::gauge!("darkslide_objects_missing").set((standing.missing + lost) as f64);
    metrics::gauge!("darkslide_oldest_verification_seconds").set(age as f64 / 1e6);
    Ok(())
}

/// The same from a job, whose failures go to the log.
pub(super) async fn report_logged(server: &Server) {
    if let Err(error) = report(server).await {
        tracing::error!(error = %error, "the state of the objects could not be counted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_measured_in_bytes() {
        assert_eq!(Pace::of_rate(0), None);
        let pace = Pace::of_rate(8 << 20).unwrap();
        assert_eq!(pace.pause_after(1 << 20), Duration::from_millis(125));
        assert_eq!(pace.pause_after(0), Duration::ZERO);
        assert_eq!(Pace::BytesPerSecond(1).pause_after(10 << 30), Duration::from_secs(10 << 30));
        assert_eq!(Pace::Unbounded.pause_after(10 << 30), Duration::ZERO);
    }
}
