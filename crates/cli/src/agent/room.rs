//! What the agent does while the disk that its profile is on is full, or its catalog locked by another program: it waits, and says so once.

use std::time::{Duration, Instant};

use anyhow::Result;
use darkslide_client::catalog::{full_disk, is_locked};
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
    /// What was in the way may have passed.
    ForIt,
    /// Somebody wants the agent to end.
    NotWanted,
    /// It did not wait: something else is wrong.
    NotAtAll,
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

    /// Waits a while, if the agent failed for want of room, or because its catalog is locked.
    pub(super) async fn wait(&mut self, error: &(dyn std::error::Error + 'static)) -> Result<Waited> {
        let Some(what) = in_the_way(error, self.profile) else { return Ok(Waited::NotAtAll) };
        let now = Instant::now();
        if self.waited.is_none_or(|waited| now.duration_since(waited) > NEWS) {
            Log::open(self.profile.folder(), self.output.quiet).write(&moment(), &what);
        }
        let waited = rest(now + EVERY).await?;
        self.waited = Some(Instant::now());
        Ok(waited)
    }
}

/// Waits until then, unless somebody wants the agent to end.
pub(super) async fn rest(until: Instant) -> Result<Waited> {
    let mut signals = Signals::listen()?;
    service::tell_ready();
    let mut alive = service::watchdog();
    loop {
        tokio::select! {
            () = signals.next() => return Ok(Waited::NotWanted),
            () = alive.tick() => {}
            () = tokio::time::sleep_until(until.into()) => return Ok(Waited::ForIt),
        }
    }
}

/// What the agent waits for, in words for people; none where waiting is of no use.
pub(super) fn in_the_way(error: &(dyn std::error::Error + 'static), profile: &Profile) -> Option<String> {
    if let Some(full) = full_disk(error, profile.folder()) {
        return Some(format!("{full}; the agent goes on by itself when there is room"));
    }
    is_locked(error).then(|| {
        let folder = profile.folder().display();
        format!("another program keeps the catalog in {folder} locked; the agent goes on by itself when it does not")
    })
}
