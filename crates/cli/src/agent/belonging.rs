//! Whose catalog the agent has: logins may give the profile to another account, or the same account another server, while it works.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use darkslide_client::profile::ProfileConfig;

use super::Agent;

/// How often an agent begins anew at most: on a disk that gives the catalog another number each time it would do nothing else.
const ANEW_EVERY: Duration = Duration::from_secs(5);

/// When an agent begins anew that last did so then, if it ever did.
pub(super) fn anew_at(last: Option<Instant>, now: Instant) -> Instant {
    last.map_or(now, |last| now.max(last + ANEW_EVERY))
}

/// The profile has another catalog than the one that was opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anew;

impl fmt::Display for Anew {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "the profile has another account or another catalog now: the agent begins anew with that",
        )
    }
}

impl std::error::Error for Anew {}

impl Agent {
    /// Fails with [`Anew`] where the profile has another catalog; where its server has another address, the session that goes with that is to be
    /// taken.
    pub(super) fn check_account(&mut self) -> Result<()> {
        // What cannot be read is told where it is needed.
        let Ok(Some(config)) = self.profile.config() else { return Ok(()) };
        self.must_belong_to(&config)?;
        if self.session.as_ref().is_some_and(|session| *session.api.server() != config.server) {
            self.session = None;
            self.tried = None;
        }
        Ok(())
    }

    /// Fails unless this is whose catalog the agent has.
    pub(super) fn must_belong_to(&mut self, config: &ProfileConfig) -> Result<()> {
        let is_of_another = self.owner.as_ref().is_some_and(|owner| !owner.is_of(config));
        if is_of_another || self.catalog.is_replaced() {
            return Err(Anew.into());
        }
        self.owner = Some(config.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_begins_anew_at_once_and_not_all_the_time() {
        let last = Instant::now();
        let seconds = Duration::from_secs;
        assert_eq!(anew_at(None, last), last);
        for (passed, waits) in [(0, 5), (1, 4), (5, 0), (6, 0)] {
            let now = last + seconds(passed);
            assert_eq!(anew_at(Some(last), now), now + seconds(waits), "{passed}");
        }
    }
}
