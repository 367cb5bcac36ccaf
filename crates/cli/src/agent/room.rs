//! What the agent does while the disk that its profile is on is full: it waits, and says so once.

use std::time::{Duration, Instant};

use anyhow::Result;
use darkslide_client::catalog::full_disk;
use darkslide_client::profile::Profile;

use super::log::{Log, moment};
use super::service;
use super::signals::Signals;
use crate::output::Output;

/// How often it is tried.
const EVERY: Duration = Duration::from_secs(10);

/// An agent that has worked for so long since it last waited says anew that it waits.
const NEWS: Duration = Duration::from_mins(1);

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// There may be room now.
    ForRoom,
    /// Somebody wants the agent to end.
    NotWanted,
    /// It did not wait: something else is wrong.
    NotForRoom,
}

/// The room of one profile.
#[derive(Debug)]
pub(super) struct Room<'a> {
    profile: &'a Profile,
    output: Output,
    /// When it last waited.
    waited: Option<Instant>,
}

impl<'a> Room<'a> {
    pub(super) fn of(profile: &'a Profile, output: Output) -> Self {
        Self { profile, output, waited: None }
    }

    /// Waits for room, if it is for want of that that the agent failed.
    pub(super) async fn wait(&mut self, error: &(dyn std::error::Error + 'static)) -> Result<Waited> {
        let Some(full) = full_disk(error, self.profile.folder()) else { return Ok(Waited::NotForRoom) };
        let now = Instant::now();
        if self.waited.is_none_or(|waited| now.duration_since(waited) > NEWS) {
            let text = format!("{full}; the agent goes on by itself when there is room");
            Log::open(self.profile.folder(), self.output.quiet).write(&moment(), &text);
        }
        let mut signals = Signals::listen()?;
        service::tell_ready();
        let mut alive = service::watchdog();
        let waited = loop {
            tokio::select! {
                () = signals.next() => break Waited::NotWanted,
                () = alive.tick() => {}
                () = tokio::time::sleep_until((now + EVERY).into()) => break Waited::ForRoom,
            }
        };
        self.waited = Some(Instant::now());
        Ok(waited)
    }
}
