//! What is due without a request: forgetting what has expired, and counting what there is.
//!
//! Each job can be run at any time, by any number of servers at once, and be killed half-way. A job that fails is
//! logged and tried again at the next round.

pub mod compact;
pub mod expire;
pub mod look;
pub mod scrub;

use crate::Shared;
use crate::auth::session::IDLE_MICROS_MAX;
use crate::store::StoreError;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

/// How often the jobs run.
const ROUND: Duration = Duration::from_mins(1);

/// How often all blobs are looked through for orphans.
const SWEEP: Duration = Duration::from_hours(24);

/// How long after the start what files name is looked for in the database the first time: with a million files it takes seconds, and
/// whoever starts a server waits for it.
const AFTER_START: Duration = Duration::from_mins(10);

/// Rows of a deleted account that are removed in one transaction.
const ROWS_AT_A_TIME: i64 = 500;

/// Runs all jobs, round after round, until it is dropped.
pub async fn run(server: Shared) {
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sweeps = interval(SWEEP);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut counts = interval_at(Instant::now() + AFTER_START, SWEEP);
    counts.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = rounds.tick() => run_once(&server).await,
            _ = sweeps.tick() => {
                let swept = expire::sweep_orphans(&server, server.store.now()).await;
                report_expired("sweep orphaned blobs", swept);
            }
            _ = counts.tick() => scrub::count_lost_logged(&server).await,
        }
    }
}

/// Logs what expired.
fn report_expired(job: &str, outcome: Result<expire::Expired, expire::ExpireError>) {
    match outcome {
        Ok(expired) if expired == expire::Expired::default() => {}
        Ok(expired) => tracing::info!(job, ?expired, "job done"),
        Err(error) => {
            tracing::error!(job, error = %error, cause = ?std::error::Error::source(&error), "job failed");
        }
    }
}

/// Runs every job once.
pub async fn run_once(server: &Shared) {
    server.rates.forget_idle();
    report("expire one-time codes", server.store.expire_codes().await);
    report("expire sign-ins", server.store.expire_srp().await);
    let used_since = server.store.now() - IDLE_MICROS_MAX;
    report("expire sessions", server.store.expire_sessions(used_since).await);
    report("forget devices", server.store.forget_unused_devices().await);
    report("remove deleted accounts' rows", remove_deleted_rows(server).await);
    report_expired("expire trash and objects", expire::expire(server, server.store.now()).await);
    count(server).await;
    scrub::report_logged(server).await;
    crate::meter::start().run_upkeep();
}

/// Logs what a job did.
fn report(job: &str, outcome: Result<u64, StoreError>) {
    match outcome {
        Ok(0) => {}
        Ok(count) => tracing::info!(job, count, "job done"),
        Err(error) => {
            tracing::error!(job, error = %error, cause = ?std::error::Error::source(&error), "job failed");
        }
    }
}

/// Removes what describes deleted accounts' files, in short transactions.
async fn remove_deleted_rows(server: &Shared) -> Result<u64, StoreError> {
    let mut removed = 0;
    loop {
        match server.store.remove_deleted_rows(ROWS_AT_A_TIME).await? {
            0 => return Ok(removed),
            some => removed += some,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point, and exact up to 8 PiB")]
async fn count(server: &Shared) {
    match server.store.totals().await {
        Ok(totals) => {
            metrics::gauge!("darkslide_accounts").set(totals.accounts as f64);
            metrics::gauge!("darkslide_stored_bytes").set(totals.usage as f64);
        }
        Err(error) => tracing::error!(error = %error, "the totals could not be counted"),
    }
}
