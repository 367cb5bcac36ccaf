//! Other commands that use the profile, for which the agent stands back, and whether they are alive. One that is suspended or hangs is not overtaken:
//! two engines at once are worse than one that waits. But its owner has to know.

use std::time::{Duration, Instant, SystemTime};

use darkslide_client::micros_of;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Agent;
use super::control::Command;
use super::notices::Cause;
use super::status::{Problem, Visitor};

/// How long a heart may stand still: it beats every ten seconds.
const SILENCE: Duration = Duration::from_mins(1);

/// Somebody who uses the profile meanwhile.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) line: CancellationToken,
    /// It is a pass of the agent's own over a sync folder.
    pub(super) is_own: bool,
    /// Told when nothing is under way any more.
    pub(super) waits: Option<oneshot::Sender<()>>,
    process: Option<u32>,
    /// Since when it is here, µs since the epoch.
    since: i64,
    pulse: Pulse,
}

/// The heartbeat of a process, as it was seen. Times are of a clock that stands still while the machine sleeps, as hearts do then.
#[derive(Debug, Default)]
struct Pulse {
    /// The last beat, and when it was first seen.
    last: Option<(SystemTime, Instant)>,
}

impl Pulse {
    /// Takes it; none where nobody's heart beats there.
    fn take(&mut self, beat: Option<SystemTime>, now: Instant) {
        self.last = beat.map(|beat| match self.last {
            Some((known, seen)) if known == beat => (known, seen),
            _ => (beat, now),
        });
    }

    /// How long the heart has stood still, if that is worth a word.
    fn silent_for(&self, now: Instant) -> Option<Duration> {
        let (_, seen) = self.last?;
        Some(now.saturating_duration_since(seen)).filter(|silent| *silent >= SILENCE)
    }
}

impl Guest {
    pub(super) fn new(command: Command, is_own: bool) -> Self {
        Self {
            line: command.line,
            is_own,
            waits: Some(command.done),
            process: command.caller,
            since: micros_of(SystemTime::now()),
            pulse: Pulse::default(),
        }
    }

    fn shown(&self, now: Instant) -> Visitor {
        Visitor {
            process: self.process,
            since: self.since,
            silent_seconds: self.pulse.silent_for(now).map(|silent| silent.as_secs()),
        }
    }
}

impl Agent {
    /// Whether another command is using the profile.
    pub(super) fn has_visitors(&self) -> bool {
        self.guests.iter().any(|guest| !guest.is_own)
    }

    /// The command that the agent stands back for; of several, one that is silent.
    pub(super) fn visitor(&self, now: Instant) -> Option<Visitor> {
        let visitors = self.guests.iter().filter(|guest| !guest.is_own).map(|guest| guest.shown(now));
        visitors.max_by_key(|visitor| visitor.silent_seconds)
    }

    /// Sees whether those who use the profile are alive, and has their owner told where one is not.
    pub(super) fn look_at_visitors(&mut self, now: Instant) {
        let beat = if self.has_visitors() { self.catalog.sign_of_life() } else { None };
        for guest in &mut self.guests {
            let own = beat.filter(|(process, _)| guest.process == Some(*process));
            guest.pulse.take(own.map(|(_, beat)| beat), now);
        }
        match self.visitor(now).and_then(|visitor| visitor.problem()) {
            None => self.notices.forget(Cause::Silent),
            Some(Problem { what, advice, .. }) => {
                let advice = advice.map(|advice| format!("; {advice}")).unwrap_or_default();
                let text = format!("Pictures are not backed up meanwhile: {what}{advice}");
                if self.notices.tell(Cause::Silent, &text) {
                    self.say(text);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heart_that_stands_still_is_noticed_and_one_that_nobody_hears_is_not() {
        let (begin, beat) = (Instant::now(), SystemTime::UNIX_EPOCH);
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut pulse = Pulse::default();
        pulse.take(Some(beat), at(0));
        pulse.take(Some(beat), at(59));
        assert_eq!(pulse.silent_for(at(59)), None);
        pulse.take(Some(beat), at(200));
        assert_eq!(pulse.silent_for(at(200)), Some(Duration::from_secs(200)));
        // Wherever the clock is set to, it beats.
        pulse.take(Some(beat - Duration::from_mins(150)), at(210));
        assert_eq!(pulse.silent_for(at(210)), None);
        pulse.take(None, at(300));
        assert_eq!(pulse.silent_for(at(900)), None);
    }

    #[test]
    fn a_silent_visitor_is_named_with_what_to_do() {
        let visitor = Visitor { process: Some(7), since: 0, silent_seconds: Some(190) };
        let Problem { what, advice, next_try } = visitor.problem().unwrap();
        assert_eq!(
            what,
            "another command (process 7) has the profile, and has shown no sign of life for 3 min: it is suspended, or hangs"
        );
        assert_eq!(
            advice.unwrap(),
            "`fg` in its terminal, or `kill -CONT 7`, lets it go on; `kill 7; kill -CONT 7` ends it"
        );
        assert_eq!(next_try, None);
        assert_eq!(Visitor { silent_seconds: None, ..visitor }.problem(), None);
    }
}
