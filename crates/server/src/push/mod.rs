//! Waking devices: after an account changed, its other devices are told by Web Push (RFC 8030) that there is news, and nothing else.
//!
//! changes → which devices → when (pure, [`schedule`]) → one POST each. It says neither what changed nor how much, never holds
//! a request up, and keeps nothing: what was to be woken when the server stopped is woken by the next change. Of several
//! servers on one database each wakes for the changes that it made itself.

pub mod address;
mod deliver;
pub mod message;
pub mod schedule;
pub mod vapid;

use crate::Shared;
use crate::store::StoreError;
use crate::store::devices::stored_endpoint;
use crate::store::news::News;
use deliver::Sender;
use schedule::{Outcome, Schedule, Target};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// How often one device is woken at most. What changes in between is followed by one wake at the end.
pub const WAKES_APART: Duration = Duration::from_mins(1);

/// How long changes are gathered before the database is asked whose devices they concern.
const GATHER: Duration = Duration::from_secs(1);

/// How long a push service that failed is left alone, at first.
const RETRY_FIRST: Duration = Duration::from_mins(1);

/// How often devices are forgotten that there is nothing more to know of.
const TIDY: Duration = Duration::from_mins(1);

/// How fast all this goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The least time between two wakes of a device.
    pub apart: Duration,
    /// How long changes are gathered.
    pub gather: Duration,
    /// The pause after a first failure; it doubles with each.
    pub retry: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { apart: WAKES_APART, gather: GATHER, retry: RETRY_FIRST }
    }
}

/// Wakes devices until it is dropped.
pub async fn run(server: Shared) {
    let sender = match Sender::new(&server).await {
        Ok(sender) => sender,
        Err(error) => {
            tracing::error!(error = %error, cause = ?std::error::Error::source(&error), "no device can be woken");
            return;
        }
    };
    let news = server.store.news();
    let mut schedule = Schedule::new(server.pace);
    let mut under_way = JoinSet::new();
    let mut tidy = interval(TIDY);
    tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look_at = Instant::now();
    loop {
        for target in schedule.start(Instant::now()) {
            let (server, sender) = (server.clone(), sender.clone());
            under_way.spawn(async move {
                let outcome = wake(&server, &sender, &target).await;
                (target, outcome)
            });
        }
        let next = schedule.next_after(Instant::now());
        tokio::select! {
            () = news.heard(look_at) => {
                look_at = Instant::now() + server.pace.gather;
                if let Err(error) = plan(&server, news, &mut schedule).await {
                    tracing::warn!(error = %error, "devices to wake cannot be looked up");
                }
            }
            Some(woken) = under_way.join_next() => {
                if let Ok((target, outcome)) = woken {
                    schedule.finish(&target, outcome, Instant::now());
                }
            }
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            _ = tidy.tick() => schedule.forget_idle(Instant::now()),
        }
    }
}

/// Puts the devices that changes concern on the schedule. What cannot be looked up is noted again.
async fn plan(server: &Shared, news: &News, schedule: &mut Schedule) -> Result<(), StoreError> {
    let mut changed = news.take();
    while let Some((account, by)) = changed.pop_first() {
        match server.store.devices_to_wake(account, by.only()).await {
            Ok(devices) => {
                for (device, endpoint) in devices {
                    let endpoint = *blake3::hash(endpoint.as_bytes()).as_bytes();
                    schedule.want(Target { account, device, endpoint }, Instant::now());
                }
            }
            Err(error) => {
                news.put_back(account, by);
                for (account, by) in changed {
                    news.put_back(account, by);
                }
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Wakes one device, at the endpoint that it has now.
async fn wake(server: &Shared, sender: &Sender, target: &Target) -> Outcome {
    match wake_stored(server, sender, target).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::warn!(error = %error, "a device cannot be looked up");
            Outcome::Later(None)
        }
    }
}

async fn wake_stored(server: &Shared, sender: &Sender, target: &Target) -> Result<Outcome, StoreError> {
    let Some(push) = server.store.push_endpoint(target.account, &target.device).await? else {
        return Ok(Outcome::Gone);
    };
    // It has another one since, which has a place of its own on the schedule.
    if *blake3::hash(stored_endpoint(&push).as_bytes()).as_bytes() != target.endpoint {
        return Ok(Outcome::Gone);
    }
    let outcome = sender.wake(&push).await;
    if outcome == Outcome::Gone {
        server.store.forget_push_endpoint(target.account, &target.device, &push).await?;
    }
    Ok(outcome)
}
