//! When which device is woken: a pure state, moved by changes, by what came of a wake, and by the time that it is told.
//!
//! A device is woken at once, then at most once in [`Pace::apart`], and always once after the last change. One that fails is tried again
//! ever more slowly, and given up until the next change after [`ATTEMPTS_MAX`]. How many are woken at once is
//! bounded, for one account more tightly, so that slow endpoints of one hold up nobody else.

use super::Pace;
use darkslide_protocol::AccountId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::Instant;

/// Devices that are woken at once.
pub const AT_ONCE_MAX: usize = 32;

/// Devices of one account that are woken at once.
pub const AT_ONCE_EACH_MAX: usize = 4;

/// How often one wake is tried.
pub const ATTEMPTS_MAX: u32 = 8;

/// The longest that a failure, or a push service's `Retry-After`, puts a wake off.
pub const PAUSE_MAX: Duration = Duration::from_hours(1);

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Whose it is.
    pub account: AccountId,
    /// Its id.
    pub device: String,
    /// BLAKE3 of its endpoint as it is stored: what became of an old one is nothing to a new one.
    pub endpoint: [u8; 32],
}

/// What came of a wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The push service took it.
    Woken,
    /// There is no such endpoint, for good.
    Gone,
    /// It may work later, and not before the push service says.
    Later(Option<Duration>),
    /// It was refused, and will be again.
    Refused,
}

/// What is known of a device.
#[derive(Debug)]
struct State {
    not_before: Instant,
    is_wanted: bool,
    is_under_way: bool,
    failures: u32,
}

/// All devices that are to be woken, or were a short while ago.
#[derive(Debug)]
pub struct Schedule {
    pace: Pace,
    known: HashMap<Target, State>,
    /// Those that are wanted and not under way, by when they may be.
    queue: BTreeSet<(Instant, Target)>,
    under_way: BTreeMap<AccountId, usize>,
}

impl Schedule {
    /// One without any device.
    pub fn new(pace: Pace) -> Self {
        Self { pace, known: HashMap::new(), queue: BTreeSet::new(), under_way: BTreeMap::new() }
    }

    /// Something changed that the device is to know of.
    pub fn want(&mut self, target: Target, now: Instant) {
        let state = self.known.entry(target.clone()).or_insert(State {
            not_before: now,
            is_wanted: false,
            is_under_way: false,
            failures: 0,
        });
        state.is_wanted = true;
        if !state.is_under_way {
            self.queue.insert((state.not_before, target));
        }
    }

    /// The devices to wake now. Each is under way until [`Self::finish`].
    pub fn start(&mut self, now: Instant) -> Vec<Target> {
        let mut room = AT_ONCE_MAX.saturating_sub(self.under_way.values().sum());
        let mut started = Vec::new();
        for (_, target) in self.queue.iter().take_while(|(at, _)| *at <= now) {
            if room == 0 {
                break;
            }
            let of_account = self.under_way.entry(target.account).or_default();
            if *of_account < AT_ONCE_EACH_MAX {
                *of_account += 1;
                room -= 1;
                started.push(target.clone());
            }
        }
        for target in &started {
            if let Some(state) = self.known.get_mut(target) {
                self.queue.remove(&(state.not_before, target.clone()));
                state.is_wanted = false;
                state.is_under_way = true;
                state.not_before = now + self.pace.apart;
            }
        }
        started
    }

    /// When the next device is due that is not yet. Those that are due and not started wait for others to finish.
    pub fn next_after(&self, now: Instant) -> Option<Instant> {
        self.queue.iter().map(|(at, _)| *at).find(|at| *at > now)
    }

    /// What came of waking a device that was under way.
    pub fn finish(&mut self, target: &Target, outcome: Outcome, now: Instant) {
        if let Some(of_account) = self.under_way.get_mut(&target.account) {
            *of_account -= 1;
            if *of_account == 0 {
                self.under_way.remove(&target.account);
            }
        }
        let Some(state) = self.known.get_mut(target) else { return };
        state.is_under_way = false;
        match outcome {
            Outcome::Woken => state.failures = 0,
            Outcome::Gone => {
                self.known.remove(target);
                return;
            }
            Outcome::Later(_) | Outcome::Refused => {
                let asked = if let Outcome::Later(Some(asked)) = outcome { asked } else { Duration::ZERO };
                let pause = self.pace.retry.saturating_mul(1 << state.failures.min(16)).max(asked);
                state.failures += 1;
                state.not_before = state.not_before.max(now + pause.min(PAUSE_MAX));
                state.is_wanted |= outcome != Outcome::Refused && state.failures < ATTEMPTS_MAX;
            }
        }
        if state.is_wanted {
            self.queue.insert((state.not_before, target.clone()));
        }
    }

    /// Forgets the devices that nothing holds back any more, and that nobody wants to wake.
    pub fn forget_idle(&mut self, now: Instant) {
        self.known.retain(|_, state| state.is_wanted || state.is_under_way || state.not_before > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn device(account: i64, device: &str) -> Target {
        Target { account: AccountId(account), device: device.to_owned(), endpoint: [0; 32] }
    }

    /// A schedule, and the time at which it begins.
    fn schedule() -> (Schedule, Instant) {
        (Schedule::new(Pace::default()), Instant::now())
    }

    #[test]
    fn a_device_is_woken_at_once_then_once_a_minute_and_after_the_last_change() {
        let (mut schedule, begin) = schedule();
        let phone = device(1, "phone");
        let mut woken = Vec::new();
        // A change every second for 100 seconds, and then none; each wake takes half a second.
        for second in 0..300 {
            let now = begin + SECOND * second;
            if second < 100 {
                schedule.want(phone.clone(), now);
            }
            for target in schedule.start(now) {
                schedule.finish(&target, Outcome::Woken, now + SECOND / 2);
                woken.push(second);
            }
        }
        assert_eq!(woken, [0, 60, 120], "the last comes after the last change, and nothing after it");
        schedule.forget_idle(begin + SECOND * 300);
        assert!(schedule.known.is_empty());
    }

    #[test]
    fn a_change_while_a_device_is_woken_is_followed_by_another_wake() {
        let (mut schedule, begin) = schedule();
        let phone = device(1, "phone");
        schedule.want(phone.clone(), begin);
        assert_eq!(schedule.start(begin), std::slice::from_ref(&phone));
        schedule.want(phone.clone(), begin + SECOND);
        assert_eq!(schedule.start(begin + SECOND), [], "it is under way");
        schedule.finish(&phone, Outcome::Woken, begin + SECOND * 2);
        assert_eq!(schedule.next_after(begin + SECOND * 2), Some(begin + WAKE));
        assert_eq!(schedule.start(begin + WAKE), [phone]);
    }

    const WAKE: Duration = super::super::WAKES_APART;

    #[test]
    fn failures_are_tried_again_ever_more_slowly_and_given_up() {
        let (mut schedule, begin) = schedule();
        let phone = device(1, "phone");
        schedule.want(phone.clone(), begin);
        let (mut now, mut pauses) = (begin, Vec::new());
        while let [target] = schedule.start(now).as_slice() {
            schedule.finish(target, Outcome::Later(None), now);
            let Some(next) = schedule.next_after(now) else { break };
            pauses.push((next - now).as_secs() / 60);
            now = next;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60], "in minutes; an hour at most, and then it is given up");
        schedule.want(phone.clone(), now);
        assert_eq!(schedule.next_after(now), Some(now + PAUSE_MAX), "the next change tries again, no sooner");
    }

    #[test]
    fn a_push_service_is_left_alone_as_long_as_it_asks_within_bounds() {
        let check = |outcome, pause: Option<Duration>| {
            let (mut schedule, begin) = schedule();
            schedule.want(device(1, "phone"), begin);
            let started = schedule.start(begin);
            schedule.finish(&started[0], outcome, begin);
            assert_eq!(schedule.next_after(begin).map(|next| next - begin), pause, "{outcome:?}");
        };
        check(Outcome::Later(Some(SECOND)), Some(WAKE));
        check(Outcome::Later(Some(SECOND * 600)), Some(SECOND * 600));
        check(Outcome::Later(Some(SECOND * 1_000_000)), Some(PAUSE_MAX));
        check(Outcome::Refused, None);
        check(Outcome::Gone, None);
        check(Outcome::Woken, None);
    }

    #[test]
    fn one_account_leaves_room_for_others() {
        let (mut schedule, begin) = schedule();
        for number in 0..100 {
            schedule.want(device(1, &format!("{number:03}")), begin);
        }
        schedule.want(device(2, "phone"), begin + SECOND);
        let started = schedule.start(begin + SECOND);
        assert_eq!(started.len(), AT_ONCE_EACH_MAX + 1);
        assert!(started.contains(&device(2, "phone")));
        assert_eq!(schedule.start(begin + SECOND), []);
        assert_eq!(schedule.next_after(begin + SECOND), None, "the others wait for these, not for a time");
        schedule.finish(&started[0], Outcome::Woken, begin + SECOND);
        assert_eq!(schedule.start(begin + SECOND).len(), 1);
        for account in 10..100 {
            schedule.want(device(account, "phone"), begin);
        }
        schedule.start(begin + SECOND);
        assert_eq!(schedule.under_way.values().sum::<usize>(), AT_ONCE_MAX);
    }
}
