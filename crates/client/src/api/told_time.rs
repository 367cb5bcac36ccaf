//! What the server's clock says, as its answers tell.
//!
//! By it is decided whether something was deleted before or after it was seen here, so only what the server itself says counts for that: the `Date` of
//! an answer is written by whoever passes it on, a proxy with another clock or a page that asks for a password. Where the server does not say it,
//! nothing is told. And what was told long ago, or before this device slept or its clock was set, is told no more.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant, SystemTime};

use darkslide_protocol::server::TIME_HEADER;
use http::header;
use reqwest::Response;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::micros_since;

/// For how long a time is good that was told once: a clock that runs wrong, runs wrong by less than a second in it.
const AGE_MAX: Duration = Duration::from_mins(10);

/// How far the two clocks of this device may differ over that time, if it has not slept.
const SLEEP_MIN: Duration = Duration::from_secs(1);

/// What a clock said in an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct ToldTime {
    /// µs since the epoch.
    pub(super) time: i64,
    /// Whether the server itself says so.
    is_own: bool,
    /// When it was asked.
    asked: Instant,
    /// When it had answered.
    answered: Instant,
    /// The same by the clock that goes on while this device sleeps.
    answered_at: SystemTime,
}

impl ToldTime {
    /// Of an answer to a question that was asked then.
    pub(super) fn of(response: &Response, asked: Instant) -> Option<Self> {
        let headers = response.headers();
        let own = headers.get(TIME_HEADER).and_then(|time| time.to_str().ok()?.parse().ok());
        let date = || micros_of_date(headers.get(header::DATE)?.to_str().ok()?);
        let (answered, answered_at) = (Instant::now(), SystemTime::now());
        Some(Self { time: own.or_else(date)?, is_own: own.is_some(), asked, answered, answered_at })
    }

    /// Whether the server itself says so.
    pub(super) fn is_own(&self) -> bool {
        self.is_own
    }

    /// The one of the two that is to be remembered: the later, but for one that is not the server's own.
    pub(super) fn after(self, before: Option<Self>) -> Self {
        before.filter(|before| before.is_own && !self.is_own).unwrap_or(self)
    }

    /// Between which times the present lies by the server's clock, µs since the epoch.
    pub(super) fn present(&self) -> Option<RangeInclusive<i64>> {
        let slept = SystemTime::now().duration_since(self.answered_at).ok();
        self.is_good(self.answered.elapsed(), slept).then(|| {
            let later = |since: Instant| self.time.saturating_add_unsigned(micros_since(since));
            later(self.answered)..=later(self.asked)
        })
    }

    /// Whether it says something of the present, so long after it was told, by this device's two clocks.
    fn is_good(&self, passed: Duration, by_wall: Option<Duration>) -> bool {
        let is_awake = by_wall.is_some_and(|by_wall| by_wall.abs_diff(passed) < SLEEP_MIN);
        self.is_own && passed < AGE_MAX && is_awake
    }
}

fn micros_of_date(text: &str) -> Option<i64> {
    let date = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    date.unix_timestamp().checked_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_s_date_is_read() {
        for (text, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777_000_000)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(micros_of_date(text), expected, "{text:?}");
        }
    }

    /// Once, a proxy's date undid deletions, and so did what was told before a phone slept.
    #[test]
    fn only_what_the_server_itself_said_just_now_tells_the_present() {
        let told = |is_own| ToldTime {
            time: 7,
            is_own,
            asked: Instant::now(),
            answered: Instant::now(),
            answered_at: SystemTime::now(),
        };
        let seconds = Duration::from_secs;
        for (is_own, passed, by_wall, expected) in [
            (true, seconds(0), Some(seconds(0)), true),
            (true, seconds(599), Some(seconds(599)), true),
            (true, seconds(600), Some(seconds(600)), false),
            (true, seconds(1), Some(seconds(3600)), false),
            (true, seconds(60), Some(seconds(0)), false),
            (true, seconds(0), None, false),
            (false, seconds(0), Some(seconds(0)), false),
        ] {
            assert_eq!(told(is_own).is_good(passed, by_wall), expected, "{is_own} {passed:?} {by_wall:?}");
        }
        assert!(told(true).after(Some(told(false))).is_own);
        assert!(told(false).after(Some(told(true))).is_own);
        assert!(!told(false).after(Some(told(false))).is_own);
    }
}
