//! When what is looked at: a pure table of watch folders, what is dirty in them, and until when nothing is tried.
//!
//! It sleeps nowhere and reads no clock: time and chance are arguments.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use darkslide_client::library::selection::{Reach, Scope};
use darkslide_client::watch::Dirty;

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// From a change to the look at it: nothing settles sooner.
    pub(crate) settle: Duration,
    /// From one look at everything to the next.
    pub(crate) rescan: Duration,
    /// The same where changes are not told.
    pub(crate) poll: Duration,
    /// From one look at whether a folder is there to the next.
    pub(crate) look: Duration,
    /// The first pause after a failure; each further one is twice as long.
    pub(crate) retry_first: Duration,
    /// The longest pause.
    pub(crate) retry_last: Duration,
    /// The same where nothing but the server was missing, or another process was at work: asking for that costs nothing.
    pub(crate) reach_last: Duration,
}

/// What a run failed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The server could not be reached, and nothing else was tried.
    Unreachable,
    /// Another process is at work, and nothing was tried.
    Busy,
    /// Anything else.
    Other,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            settle: Duration::from_secs(10),
            rescan: Duration::from_hours(1),
            poll: Duration::from_mins(5),
            look: Duration::from_mins(1),
            retry_first: Duration::from_secs(5),
            retry_last: Duration::from_mins(15),
            reach_last: Duration::from_secs(30),
        }
    }
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Back part of a folder up.
    Run {
        /// Which folder.
        folder: i64,
        /// Which part of it.
        scope: Scope,
    },
    /// See whether a folder is there.
    Look {
        /// Which.
        folder: i64,
    },
    /// Nothing is due before then.
    Wait(Instant),
}

/// One watch folder's part.
#[derive(Debug)]
struct Lane {
    dirty: Dirty,
    due: Option<Instant>,
    everything_due: Instant,
    look_due: Instant,
    is_polled: bool,
    is_paused: bool,
    is_offline: bool,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Schedule {
    timing: Timing,
    lanes: BTreeMap<i64, Lane>,
    failures: u32,
    not_before: Option<Instant>,
}

impl Schedule {
    /// An empty table.
    pub(crate) fn new(timing: Timing) -> Self {
        Self { timing, lanes: BTreeMap::new(), failures: 0, not_before: None }
    }

    /// Takes over which folders there are, and which of them are paused. A new one is looked at in full, and so is one that
    /// goes on.
    pub(crate) fn set_folders(&mut self, folders: &[(i64, bool)], now: Instant) {
        self.lanes.retain(|id, _| folders.iter().any(|(other, _)| other == id));
        for &(id, is_paused) in folders {
            let lane = self.lanes.entry(id).or_insert_with(|| Lane {
                dirty: Dirty::default(),
                due: None,
                everything_due: now,
                look_due: now,
                is_polled: false,
                is_paused,
                is_offline: false,
            });
            if lane.is_paused && !is_paused {
                (lane.everything_due, lane.look_due, lane.is_offline) = (now, now, false);
            }
            lane.is_paused = is_paused;
        }
    }

    /// Something has changed.
    pub(crate) fn mark(&mut self, folder: i64, dirty: Dirty, now: Instant) {
        self.mark_due(folder, dirty, now + self.timing.settle);
    }

    /// A file in a folder under the root is to be looked at then.
    pub(crate) fn come_back(&mut self, folder: i64, below: &Path, at: Instant) {
        self.mark_due(folder, Dirty::folder(below.to_owned(), Reach::Itself), at);
    }

    fn mark_due(&mut self, folder: i64, dirty: Dirty, due: Instant) {
        let Some(lane) = self.lanes.get_mut(&folder).filter(|_| !dirty.is_clean()) else { return };
        lane.dirty.merge(dirty);
        lane.due = Some(lane.due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Whether changes of a folder are not told.
    pub(crate) fn set_polled(&mut self, folder: i64, is_polled: bool, now: Instant) {
        let Some(lane) = self.lanes.get_mut(&folder) else { return };
        lane.is_polled = is_polled;
        if is_polled {
            lane.everything_due = lane.everything_due.min(now + self.timing.poll);
        }
    }

    /// Everything is to be looked at, now.
    pub(crate) fn everything_now(&mut self, now: Instant) {
        for lane in self.lanes.values_mut() {
            lane.everything_due = now;
            lane.look_due = now;
        }
        self.not_before = None;
    }

    /// It may be another folder by now, or not be there: that is seen then, if not sooner.
    pub(crate) fn look_by(&mut self, folder: i64, at: Instant) {
        if let Some(lane) = self.lanes.get_mut(&folder) {
            lane.look_due = lane.look_due.min(at);
        }
    }

    /// The server has given a sign: whatever waits for it is tried.
    pub(crate) fn retry_now(&mut self) {
        self.not_before = None;
    }

    /// Until when nothing is sent, if so.
    pub(crate) fn not_before(&self, now: Instant) -> Option<Instant> {
        self.not_before.filter(|until| *until > now)
    }

    /// Whether a run would begin now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.not_before(now).is_none() && self.due().is_some_and(|due| due <= now)
    }

    /// When the next run is due that is not due yet, or it is seen whether all folders are there.
    pub(crate) fn due_after(&self, now: Instant) -> Instant {
        let look = now + self.timing.look;
        self.due().filter(|due| *due > now).map_or(look, |due| due.min(look))
    }

    fn due(&self) -> Option<Instant> {
        let lanes = self.lanes.values().filter(|lane| !lane.is_paused && !lane.is_offline);
        lanes.map(Lane::run_due).min()
    }

    /// How much of a folder is dirty: folders, none meaning everything.
    pub(crate) fn dirty(&self, folder: i64, now: Instant) -> Option<usize> {
        let lane = self.lanes.get(&folder)?;
        if lane.everything_due <= now { None } else { lane.dirty.folders() }
    }

    /// The same, with a part of it that is being tried: it is not done yet.
    pub(crate) fn dirty_with(&self, folder: i64, tried: &Scope, now: Instant) -> Option<usize> {
        self.dirty(folder, now)?;
        let mut dirty = self.lanes.get(&folder)?.dirty.clone();
        dirty.merge(tried.clone().into());
        dirty.folders()
    }

    /// The next thing to do. What is returned to be done is no longer dirty.
    pub(crate) fn next(&mut self, now: Instant) -> Step {
        let looks =
            self.lanes.iter().filter(|(_, lane)| !lane.is_paused).map(|(id, lane)| (lane.look_due, *id));
        let look = looks.min();
        if let Some((_, folder)) = look.filter(|(due, _)| *due <= now) {
            if let Some(lane) = self.lanes.get_mut(&folder) {
                lane.look_due = now + self.timing.look;
            }
            return Step::Look { folder };
        }
        let runs = self.lanes.iter().filter(|(_, lane)| !lane.is_paused && !lane.is_offline);
        let run = runs.map(|(id, lane)| (lane.run_due(), *id)).min();
        let blocked_until = self.not_before(now);
        match run {
            Some((due, folder)) if due <= now && blocked_until.is_none() => {
                let scope = self.lanes.get_mut(&folder).and_then(|lane| lane.take(now, self.timing));
                Step::Run { folder, scope: scope.unwrap_or_default() }
            }
            _ => {
                let run = run.map(|(due, _)| blocked_until.map_or(due, |until| due.max(until)));
                let next = run.into_iter().chain(look.map(|(due, _)| due)).min();
                Step::Wait(next.unwrap_or(now + self.timing.rescan))
            }
        }
    }

    /// A folder cannot be reached; it is not backed up until it can.
    pub(crate) fn offline(&mut self, folder: i64) {
        if let Some(lane) = self.lanes.get_mut(&folder) {
            lane.is_offline = true;
        }
    }

    /// A folder can be reached; it is looked at in full if it could not before, or is another one.
    pub(crate) fn online(&mut self, folder: i64, is_new: bool, now: Instant) {
        if let Some(lane) = self.lanes.get_mut(&folder).filter(|lane| is_new || lane.is_offline) {
            lane.is_offline = false;
            lane.everything_due = now;
        }
    }

    /// A run went through.
    pub(crate) fn succeeded(&mut self) {
        (self.failures, self.not_before) = (0, None);
    }

    /// A run was stopped: what it was to do is still to be done.
    pub(crate) fn stopped(&mut self, folder: i64, scope: Scope, now: Instant) {
        self.mark_due(folder, scope.into(), now);
    }

    /// A run failed: it is tried again after a pause. `chance` between 0 and 1 spreads the pauses of many agents.
    pub(crate) fn failed(&mut self, folder: i64, scope: Scope, failure: Failure, chance: f64, now: Instant) {
        self.stopped(folder, scope, now);
        self.not_before = Some(now + pause(self.timing, failure, self.failures, chance));
        self.failures = self.failures.saturating_add(1);
    }
}

impl Lane {
    fn run_due(&self) -> Instant {
        self.due.map_or(self.everything_due, |due| due.min(self.everything_due))
    }

    fn take(&mut self, now: Instant, timing: Timing) -> Option<Scope> {
        self.due = None;
        if self.everything_due <= now {
            self.dirty = Dirty::everything();
        }
        let scope = self.dirty.take();
        if scope == Some(Scope::Everything) {
            self.everything_due = now + if self.is_polled { timing.poll } else { timing.rescan };
        }
        scope
    }
}

fn pause(timing: Timing, failure: Failure, failures: u32, chance: f64) -> Duration {
    let last = match failure {
        Failure::Unreachable | Failure::Busy => timing.reach_last,
        Failure::Other => timing.retry_last,
    };
    backoff((timing.retry_first.min(last), last), failures, chance)
}

/// The pause after so many failures, between the first and the longest: half of it fixed, half by chance.
pub(super) fn backoff((first, longest): (Duration, Duration), failures: u32, chance: f64) -> Duration {
    let whole = first.saturating_mul(2u32.saturating_pow(failures.min(20))).min(longest);
    whole.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

/// A number between 0 and 1; where the system has no chance to offer, the middle.
pub(super) fn chance() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn schedule(now: Instant) -> Schedule {
        let mut schedule = Schedule::new(Timing::default());
        schedule.set_folders(&[(1, false), (2, false)], now);
        schedule
    }

    /// The runs that are due at once.
    fn runs(schedule: &mut Schedule, now: Instant) -> Vec<(i64, Scope)> {
        let mut runs = Vec::new();
        loop {
            match schedule.next(now) {
                Step::Run { folder, scope } => runs.push((folder, scope)),
                Step::Look { .. } => {}
                Step::Wait(until) => {
                    assert!(until > now, "it never waits for the past");
                    return runs;
                }
            }
        }
    }

    fn folder(path: &str) -> Scope {
        Scope::Folders(BTreeMap::from([(path.into(), Reach::Itself)]))
    }

    #[test]
    fn what_is_being_tried_is_still_dirty() {
        let now = Instant::now();
        let mut schedule = schedule(now);
        runs(&mut schedule, now);
        let dirty = |path: &str| Dirty::folder(path.into(), Reach::Itself);
        schedule.mark(1, dirty("a"), now);
        let due = now + Timing::default().settle;
        assert_eq!(runs(&mut schedule, due), [(1, folder("a"))]);
        assert_eq!(schedule.dirty(1, due), Some(0));
        assert_eq!(schedule.dirty_with(1, &folder("a"), due), Some(1));
        schedule.mark(1, dirty("b"), due);
        assert_eq!(schedule.dirty_with(1, &folder("a"), due), Some(2));
        assert_eq!(schedule.dirty_with(1, &Scope::Everything, due), None);
        assert_eq!(schedule.dirty_with(1, &folder("a"), now + Timing::default().rescan), None);
    }

    #[test]
    fn everything_is_looked_at_first_and_every_hour() {
        let begin = Instant::now();
        let mut schedule = schedule(begin);
        let all = vec![(1, Scope::Everything), (2, Scope::Everything)];
        assert_eq!(runs(&mut schedule, begin), all);
        assert_eq!(runs(&mut schedule, begin + SECOND * 3599), []);
        assert_eq!(runs(&mut schedule, begin + SECOND * 3600), all);
        schedule.set_polled(2, true, begin + SECOND * 3600);
        assert_eq!(runs(&mut schedule, begin + SECOND * 3900), [(2, Scope::Everything)]);
        schedule.everything_now(begin + SECOND * 3950);
        assert_eq!(runs(&mut schedule, begin + SECOND * 3950), all);
    }

    #[test]
    fn changes_are_looked_at_when_the_first_can_have_settled() {
        let begin = Instant::now();
        let mut schedule = schedule(begin);
        runs(&mut schedule, begin);
        for second in 1..10 {
            schedule.mark(1, Dirty::folder("a".into(), Reach::Itself), begin + SECOND * second);
        }
        assert_eq!(schedule.dirty(1, begin + SECOND * 10), Some(1));
        assert_eq!(runs(&mut schedule, begin + SECOND * 10), []);
        assert_eq!([10, 11].map(|second| schedule.is_due(begin + SECOND * second)), [false, true]);
        let due_after = |second| schedule.due_after(begin + SECOND * second);
        assert_eq!([10, 11].map(due_after), [11, 71].map(|second| begin + SECOND * second));
        assert_eq!(runs(&mut schedule, begin + SECOND * 11), [(1, folder("a"))]);
        // A video waits longer, and does not make others wait.
        schedule.come_back(1, Path::new("videos"), begin + SECOND * 90);
        schedule.mark(2, Dirty::folder("b".into(), Reach::Itself), begin + SECOND * 20);
        assert_eq!(runs(&mut schedule, begin + SECOND * 30), [(2, folder("b"))]);
        assert_eq!(runs(&mut schedule, begin + SECOND * 90), [(1, folder("videos"))]);
    }

    #[test]
    fn failures_are_tried_again_for_ever_with_growing_pauses() {
        let mut now = Instant::now();
        let mut schedule = schedule(now);
        let mut pauses = Vec::new();
        let next_run = |schedule: &mut Schedule, now| loop {
            match schedule.next(now) {
                Step::Run { folder, scope } => return (folder, scope),
                Step::Look { .. } => {}
                Step::Wait(_) => panic!("a run is due"),
            }
        };
        for _ in 0..40 {
            let (folder, scope) = next_run(&mut schedule, now);
            schedule.failed(folder, scope, Failure::Other, 1.0, now);
            let until = schedule.not_before(now).unwrap();
            pauses.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(pauses[..9], [5, 10, 20, 40, 80, 160, 320, 640, 900]);
        assert!(pauses[9..].iter().all(|pause| *pause == 900));
        assert_eq!(pause(Timing::default(), Failure::Other, 3, 0.0), SECOND * 20);
        // Nothing but the server is missing.
        for failure in [Failure::Unreachable, Failure::Busy] {
            let away = |failures| pause(Timing::default(), failure, failures, 1.0).as_secs();
            assert_eq!([0, 1, 2, 3, 4, 50].map(away), [5, 10, 20, 30, 30, 30]);
        }
        // The server is back: at once, and all of it.
        schedule.failed(1, Scope::Everything, Failure::Other, 1.0, now);
        assert_eq!(runs(&mut schedule, now), []);
        schedule.retry_now();
        assert_eq!(runs(&mut schedule, now).len(), 2);
        schedule.succeeded();
        schedule.failed(1, folder("a"), Failure::Other, 1.0, now);
        assert_eq!(schedule.not_before(now), Some(now + SECOND * 5), "after a success the pauses begin anew");
    }

    #[test]
    fn paused_and_offline_folders_wait() {
        let begin = Instant::now();
        let mut schedule = schedule(begin);
        runs(&mut schedule, begin);
        schedule.set_folders(&[(1, true), (2, false)], begin);
        schedule.mark(1, Dirty::folder("a".into(), Reach::Itself), begin);
        schedule.offline(2);
        schedule.mark(2, Dirty::everything(), begin);
        let later = begin + SECOND * 60;
        assert_eq!(
            schedule.next(later),
            Step::Look { folder: 2 },
            "an offline folder is looked at, a paused one is not"
        );
        assert_eq!(runs(&mut schedule, later), []);
        schedule.online(2, false, later);
        assert_eq!(runs(&mut schedule, later), [(2, Scope::Everything)]);
        schedule.set_folders(&[(1, false)], later);
        assert_eq!(runs(&mut schedule, later), [(1, Scope::Everything)]);
        assert_eq!(schedule.dirty(2, later), None);
    }
}
