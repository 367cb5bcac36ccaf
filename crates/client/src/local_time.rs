//! Days and minutes as people are told them: in the zone of this machine.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// The day of a moment, µs since the epoch.
pub(crate) fn day(at: i64) -> String {
    told(at, zone(), "%Y-%m-%d").unwrap_or_else(|| "an unknown day".to_owned())
}

/// The minute.
pub(crate) fn minute(at: i64) -> String {
    told(at, zone(), "%Y-%m-%d %H:%M").unwrap_or_else(|| "an unknown time".to_owned())
}

/// Tests say the same on every machine.
fn zone() -> TimeZone {
    if cfg!(test) { TimeZone::UTC } else { TimeZone::system() }
}

fn told(at: i64, zone: TimeZone, format: &str) -> Option<String> {
    let moment = Timestamp::from_microsecond(at).ok()?;
    Some(Zoned::new(moment, zone).strftime(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_where_its_reader_is() {
        let at = 1_700_000_000_000_000;
        for (hours, expected) in [(0, "2023-11-14 22:13"), (2, "2023-11-15 00:13"), (-11, "2023-11-14 11:13")]
        {
            let zone = TimeZone::fixed(jiff::tz::offset(hours));
            assert_eq!(told(at, zone, "%Y-%m-%d %H:%M").as_deref(), Some(expected));
        }
        assert_eq!((day(at), minute(at)), ("2023-11-14".to_owned(), "2023-11-14 22:13".to_owned()));
        assert_eq!(
            (day(i64::MAX), minute(i64::MIN)),
            ("an unknown day".to_owned(), "an unknown time".to_owned())
        );
    }
}
