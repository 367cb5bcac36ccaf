//! Looking for what other processes wrote to the same database, for those who wait for it here.

use crate::Shared;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How late news from another process may be.
const PAUSE: Duration = Duration::from_secs(1);

/// Looks again and again until it is dropped; returns at once where nobody else can write.
pub async fn run(server: Shared) {
    if !server.store.has_other_writers() {
        return;
    }
    let mut rounds = interval(PAUSE);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        if let Err(error) = server.store.look_for_changes().await {
            tracing::warn!(error = %error, "changes cannot be looked for");
        }
    }
}
