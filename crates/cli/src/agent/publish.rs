//! What the agent shows of itself, put together from what it knows.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use darkslide_client::event::Event;
use darkslide_client::watch::How;

use super::status::{AgentStatus, FolderState, FolderStatus, RunStatus, State, Visitor};
use super::{Agent, Running, Watched};
use crate::output::on_one_line;
use crate::pace::Pace;

/// While a run is under way the status is put together no more often than this.
const PUBLISH_EVERY: Duration = Duration::from_millis(200);

/// Names that are shown of what may be many.
const NAMED_MAX: usize = 5;

impl Agent {
    /// Publishes the status if that is due, and says when it is the next time.
    pub(super) fn publish(&mut self, now: Instant) -> Instant {
        let due = self.published + PUBLISH_EVERY;
        if self.running.as_ref().is_some_and(|running| running.scope.is_some()) && due > now {
            return due;
        }
        self.publish_now(now);
        now + self.settings.timing.look
    }

    /// Publishes the status; callers who follow are told if it is another one.
    pub(super) fn publish_now(&mut self, now: Instant) {
        self.published = now;
        let status = self.describe(now);
        self.status.send_if_modified(|known| {
            let is_other = *known != status;
            *known = status;
            is_other
        });
    }

    fn describe(&self, now: Instant) -> AgentStatus {
        let run = self.running.as_ref().filter(|running| running.scope.is_some());
        let visitor = self.visitor(now);
        AgentStatus {
            process: std::process::id(),
            since: self.since,
            state: self.state(now),
            problem: visitor.as_ref().and_then(Visitor::problem).or_else(|| self.problem.clone()),
            visitor,
            run: run.map(|running| running.describe(now)),
            folders: self
                .folders
                .iter()
                .map(|(id, folder)| folder.describe(self.waits_in(*id, now)))
                .collect(),
            done: self.done,
        }
    }

    /// How much of a folder waits to be looked at. What is tried again after a failure waits until something of it is on its way.
    fn waits_in(&self, folder: i64, now: Instant) -> Option<usize> {
        let retried = self.running.as_ref().filter(|running| {
            self.problem.is_some() && running.folder == folder && running.sending_since.is_none()
        });
        match retried.and_then(|running| running.scope.as_ref()) {
            Some(scope) => self.schedule.dirty_with(folder, scope, now),
            None => self.schedule.dirty(folder, now),
        }
    }

    fn state(&self, now: Instant) -> State {
        let is_at_rest = |(id, folder): (&i64, &Watched)| {
            let can_run = !folder.row.paused && folder.offline.is_none();
            !can_run || (folder.waiting.is_empty() && self.schedule.dirty(*id, now) == Some(0))
        };
        if self.has_visitors() {
            State::Yielding
        } else if self.pause.is_set() {
            State::Paused
        } else if self.session.is_none() {
            State::SignedOut
        } else if self.running.as_ref().is_some_and(|running| running.scope.is_some()) {
            State::BackingUp
        } else if !self.folders.is_empty() && self.folders.values().all(|folder| folder.row.paused) {
            State::AllPaused
        } else if self.schedule.not_before(now).is_some() {
            State::Retrying
        } else if self.folders.iter().all(is_at_rest) {
            State::Idle
        } else {
            State::Waiting
        }
    }
}

impl Running {
    /// Takes over how far it is.
    pub(super) fn follow(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Planned { assets, bytes } => self.pace.plan(*assets, *bytes),
            Event::Started { name, bytes } => self.pace.start(Arc::clone(name), *bytes, now),
            Event::Moved { name, bytes } => {
                self.sending_since.get_or_insert(now);
                self.pace.advance(name, *bytes);
            }
            Event::Finished { name, .. } => {
                self.pace.finish(name);
            }
            _ => {}
        }
    }

    fn describe(&self, now: Instant) -> RunStatus {
        let millis = self.sending_since.map_or(0, |since| now.saturating_duration_since(since).as_millis());
        let sent = u128::from(self.shown.bytes_sent) * 1000;
        let bytes_per_second =
            sent.checked_div(millis).and_then(|rate| u64::try_from(rate).ok()).unwrap_or(0);
        let Pace { files, files_done, bytes, bytes_done, .. } = self.pace;
        let seconds_left = self.pace.left(now).map(|left| left.as_secs());
        RunStatus {
            files,
            files_done,
            bytes,
            bytes_done,
            seconds_left,
            bytes_per_second,
            ..self.shown.clone()
        }
    }
}

impl Watched {
    fn describe(&self, changed_folders: Option<usize>) -> FolderStatus {
        let (state, because) = match (&self.offline, self.watcher.as_ref().map(super::Watcher::how)) {
            _ if self.row.paused => (FolderState::Paused, None),
            (Some(why), _) => (FolderState::Offline, Some(why.to_string())),
            (None, Some(How::Polled(why))) => (FolderState::Polled, Some(why.to_string())),
            (None, _) => (FolderState::Watched, None),
        };
        let named = |named: &darkslide_client::backup::Named| {
            format!("{}: {}", on_one_line(&named.path), named.reason)
        };
        let some = self.waiting.iter().flat_map(|waiting| &waiting.some);
        FolderStatus {
            path: self.row.path.display().to_string(),
            state,
            because,
            safe: self.counts.safe,
            safe_at: self.counts.safe_at,
            changed_folders,
            waiting: self.waiting.iter().map(|waiting| waiting.files).sum(),
            waiting_for: some.take(NAMED_MAX).map(named).collect(),
            skipped: self.skipped,
            unreadable: self.unreadable.clone(),
            last_scan: self.row.last_scan,
        }
    }
}

impl RunStatus {
    /// Takes over what has just happened.
    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::Scanned { found } => self.found = found,
            Event::Started { name, .. } => {
                if self.current.len() < NAMED_MAX {
                    self.current.push(shown(&name));
                }
            }
            Event::Moved { bytes, .. } => {
                self.bytes_sent += bytes;
                self.waiting = None;
            }
            Event::Finished { name, .. } => {
                let name = shown(&name);
                self.current.retain(|other| *other != name);
            }
            Event::Waiting { reason, .. } | Event::StorageFull { reason } => self.waiting = Some(reason),
            Event::OriginalsDone => self.originals_done = true,
            // In the pace; of phones; in the report; in the schedule.
            Event::Planned { .. }
            | Event::ScreenStaysOn(_)
            | Event::Unreadable { .. }
            | Event::Unsettled(_) => {}
            Event::ThumbnailsLeft { left } => self.thumbnails_left = left,
        }
    }
}

fn shown(name: &Arc<Path>) -> String {
    on_one_line(&name.to_string_lossy())
}
