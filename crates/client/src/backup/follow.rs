//! While an app lives: what makes a run begin, and run after run.
//!
//! Reasons are the owner, the clock and the server, as the app is told of them; the library, when it changes; and the moment, when it gets
//! better. Several at once are one run, and what comes while one is under way leads to one more. Whatever ended a run is for the next.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::device::{Device, DeviceReport, backup_library};
use super::error::BackupError;
use super::gate::Outlook;
use super::rules::conditions::{App, Conditions, Network, Trigger};
use crate::catalog::Catalog;
use crate::event::Events;
use crate::library::Library;
use crate::session::Session;

/// What is followed, and how.
pub struct Followed {
    /// Who backs up.
    pub session: Arc<Session>,
    /// What is known.
    pub catalog: Catalog,
    /// What is backed up.
    pub library: Arc<dyn Library>,
    /// How.
    pub device: Device,
    /// Under which conditions. Each run has a trigger of its own.
    pub outlook: Outlook,
    /// The rest of how.
    pub settings: Settings,
}

/// Runs whenever there is reason to, until nobody tells reasons any more, or `stop`. Tells how each run ended.
pub async fn follow(
    followed: &Followed,
    told: mpsc::Receiver<Trigger>,
    events: &Events,
    stop: &CancellationToken,
    mut ended: impl FnMut(Result<DeviceReport, BackupError>),
) {
    let Followed { session, catalog, library, device, outlook, settings } = followed;
    let mut reasons = Reasons::new(Arc::clone(library), outlook.conditions.clone(), told);
    loop {
        let trigger = tokio::select! {
            () = stop.cancelled() => return,
            trigger = reasons.next() => trigger,
        };
        let Some(trigger) = trigger else { return };
        let outlook = Outlook { trigger, ..outlook.clone() };
        let (session, library) = (Arc::clone(session), Arc::clone(library));
        let run = backup_library(session, catalog.clone(), library, device, outlook, settings, events, stop);
        ended(Box::pin(run).await);
    }
}

/// Reasons as they come.
struct Reasons {
    library: Arc<dyn Library>,
    conditions: watch::Receiver<Conditions>,
    /// As they were when there was last a look at them.
    seen: Conditions,
    told: mpsc::Receiver<Trigger>,
}

impl Reasons {
    fn new(
        library: Arc<dyn Library>,
        mut conditions: watch::Receiver<Conditions>,
        told: mpsc::Receiver<Trigger>,
    ) -> Self {
        let seen = *conditions.borrow_and_update();
        Self { library, conditions, seen, told }
    }

    /// The next one; `None` when nobody tells any more.
    async fn next(&mut self) -> Option<Trigger> {
        loop {
            let reason = tokio::select! {
                biased;
                told = self.told.recv() => Some(self.with_those_that_wait(told?)),
                changed = self.conditions.changed() => {
                    changed.ok()?;
                    let now = *self.conditions.borrow_and_update();
                    reason(&std::mem::replace(&mut self.seen, now), &now)
                }
                () = self.library.changed() => Some(Trigger::LibraryChanged),
            };
            if reason.is_some() {
                return reason;
            }
        }
    }

    /// All that were told are one; what the owner asks for may do more than the others.
    fn with_those_that_wait(&mut self, first: Trigger) -> Trigger {
        let more: Vec<Trigger> = std::iter::from_fn(|| self.told.try_recv().ok()).collect();
        if more.contains(&Trigger::Asked) { Trigger::Asked } else { first }
    }
}

/// What a change of the moment is a reason for: only what may allow more than before.
fn reason(before: &Conditions, now: &Conditions) -> Option<Trigger> {
    if before.app == App::Background && now.app == App::Foreground {
        return Some(Trigger::Opened);
    }
    if before.network != now.network {
        match now.network {
            Network::Unmetered => return Some(Trigger::NetworkUnmetered),
            Network::Metered if before.network != Network::Unmetered => {
                return Some(Trigger::NetworkReturned);
            }
            Network::Roaming if before.network == Network::None => return Some(Trigger::NetworkReturned),
            _ => {}
        }
    }
    (now.charging && !before.charging).then_some(Trigger::ChargerConnected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_allow_more_is_a_reason() {
        let home = Conditions::HOME;
        let on = |network| Conditions { network, ..home };
        let behind = Conditions { app: App::Background, ..home };
        let unplugged = Conditions { charging: false, ..home };
        for (before, now, expected) in [
            (home, home, None),
            (behind, home, Some(Trigger::Opened)),
            (home, behind, None),
            (unplugged, home, Some(Trigger::ChargerConnected)),
            (home, unplugged, None),
            (on(Network::None), home, Some(Trigger::NetworkUnmetered)),
            (on(Network::Metered), home, Some(Trigger::NetworkUnmetered)),
            (on(Network::None), on(Network::Metered), Some(Trigger::NetworkReturned)),
            (on(Network::None), on(Network::Roaming), Some(Trigger::NetworkReturned)),
            (on(Network::Roaming), on(Network::Metered), Some(Trigger::NetworkReturned)),
            (on(Network::Metered), on(Network::Roaming), None),
            (home, on(Network::Metered), None),
            (home, on(Network::None), None),
        ] {
            assert_eq!(reason(&before, &now), expected, "{before:?} {now:?}");
        }
    }
}
