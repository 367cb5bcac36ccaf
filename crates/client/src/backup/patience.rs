//! How long a run bears with a network or server that fails: back off, go on, and give up only when nothing at all
//! has worked for a long time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::error::AssetError;
use super::rules::conditions::{Conditions, Network};
use crate::event::{Event, Events};

/// The first pause; each further one is twice as long, with jitter.
const FIRST_DELAY: Duration = Duration::from_millis(500);

/// The longest pause.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// Shared by everything in a run that talks to the server.
#[derive(Debug)]
pub struct Patience {
    limit: Duration,
    halt: CancellationToken,
    events: Events,
    /// The device's conditions, where they are known.
    conditions: Option<watch::Receiver<Conditions>>,
    /// Since when nothing has worked.
    failing_since: Mutex<Option<Instant>>,
}

impl Patience {
    /// Bears failures for `limit` after the last success; `halt` ends every wait.
    pub fn new(limit: Duration, halt: CancellationToken, events: Events) -> Self {
        Self { limit, halt, events, conditions: None, failing_since: Mutex::new(None) }
    }

    /// The same under conditions that change: when the network returns, it is tried at once.
    pub(super) fn under(self, conditions: watch::Receiver<Conditions>) -> Self {
        Self { conditions: Some(conditions), ..self }
    }

    /// Repeats `attempt` until it succeeds, fails for good, or patience is over; ends at once when the run halts.
    pub async fn persist<T, F, Fut>(&self, mut attempt: F) -> Result<T, AssetError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, AssetError>>,
    {
        let mut delays = ExponentialBuilder::default()
            .with_min_delay(FIRST_DELAY.min(self.limit))
            .with_max_delay(LONGEST_DELAY)
            .without_max_times()
            .with_jitter()
            .build();
        loop {
            let outcome = tokio::select! {
                () = self.halt.cancelled() => Err(AssetError::Stopped),
                outcome = attempt() => outcome,
            };
            let error = match outcome {
                Ok(value) => {
                    self.set_failing_since(None);
                    return Ok(value);
                }
                Err(error) if error.is_transient() && !self.is_over() => error,
                Err(error) => return Err(error),
            };
            let delay = delays.next().unwrap_or(LONGEST_DELAY);
            self.events.send(Event::Waiting { reason: error.to_string(), delay }).await;
            tokio::select! {
                () = self.halt.cancelled() => return Err(AssetError::Stopped),
                () = tokio::time::sleep(delay) => {}
                () = self.network_returned() => {}
            }
        }
    }

    /// Waits until there is a network after there was none, or another one: the request may have failed before that was told.
    async fn network_returned(&self) {
        let Some(mut conditions) = self.conditions.clone() else { return std::future::pending().await };
        let mut before = conditions.borrow_and_update().network;
        let mut is_new = |conditions: &Conditions| {
            let earlier = std::mem::replace(&mut before, conditions.network);
            ![earlier, Network::None].contains(&conditions.network)
        };
        if conditions.wait_for(&mut is_new).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether nothing has worked for longer than the limit. The first failure starts the clock.
    fn is_over(&self) -> bool {
        let mut since = self.failing_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.get_or_insert_with(Instant::now).elapsed() >= self.limit
    }

    fn set_failing_since(&self, since: Option<Instant>) {
        *self.failing_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn patience(limit: Duration, halt: &CancellationToken) -> Patience {
        Patience::new(limit, halt.clone(), Events::silent())
    }

    #[tokio::test(start_paused = true)]
    async fn failures_that_pass_are_borne() {
        let tries = AtomicU32::new(0);
        let attempt = || async {
            if tries.fetch_add(1, Ordering::Relaxed) < 3 { Err(AssetError::Damaged) } else { Ok(7) }
        };
        let patience = patience(Duration::from_mins(10), &CancellationToken::new());
        assert_eq!(patience.persist(attempt).await.unwrap(), 7);
        assert_eq!(tries.into_inner(), 4);
    }

    #[tokio::test]
    async fn failures_for_good_are_told_at_once_and_patience_ends() {
        let tries = AtomicU32::new(0);
        let attempt = |error: fn() -> AssetError| {
            tries.fetch_add(1, Ordering::Relaxed);
            async move { Err::<(), _>(error()) }
        };
        let none = patience(Duration::ZERO, &CancellationToken::new());
        assert!(none.persist(|| attempt(|| AssetError::Damaged)).await.is_err());
        let some = patience(Duration::from_mins(10), &CancellationToken::new());
        assert!(some.persist(|| attempt(|| AssetError::TooLarge)).await.is_err());
        assert_eq!(tries.into_inner(), 2);
    }

    /// The clock stands still: only the network can end the pause. Once, the one of before did not: a request mostly fails before its network is
    /// said to be gone.
    #[tokio::test]
    async fn a_network_that_returns_ends_the_wait() {
        let (none, home) = (Network::None, Conditions::HOME.network);
        for (at_first, then) in [
            (none, vec![home]),
            (home, vec![none, home]),
            (home, vec![none, Network::Metered]),
            (home, vec![Network::Metered]),
        ] {
            a_wait_ends(at_first, &then).await;
        }
    }

    async fn a_wait_ends(at_first: Network, then: &[Network]) {
        let (told, conditions) = watch::channel(Conditions { network: at_first, ..Conditions::HOME });
        let halt = CancellationToken::new();
        let patience = patience(Duration::from_mins(10), &halt).under(conditions);
        tokio::time::pause();
        let tries = AtomicU32::new(0);
        let attempt = || async {
            let tried = tries.fetch_add(1, Ordering::Relaxed);
            if tried == 0 { Err(AssetError::Damaged) } else { Ok(tried) }
        };
        let began = tokio::time::Instant::now();
        let returning = async {
            for network in then {
                tokio::task::yield_now().await;
                told.send_replace(Conditions { network: *network, ..Conditions::HOME });
                tokio::task::yield_now().await;
                told.send_modify(|conditions| conditions.charging = !conditions.charging);
            }
        };
        let (tried, ()) = tokio::join!(patience.persist(attempt), returning);
        assert_eq!((tried.unwrap(), began.elapsed()), (1, Duration::ZERO), "{at_first:?} {then:?}");
        tokio::time::resume();
    }

    #[tokio::test]
    async fn a_halt_ends_the_wait() {
        let halt = CancellationToken::new();
        let patience = patience(Duration::from_mins(10), &halt);
        let attempt = || async {
            halt.cancel();
            Err::<(), _>(AssetError::Damaged)
        };
        assert!(matches!(patience.persist(attempt).await, Err(AssetError::Stopped)));
    }
}
