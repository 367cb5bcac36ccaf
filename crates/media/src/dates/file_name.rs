//! Dates that cameras and messengers put into file names.
//!
//! `IMG_20180725_163423`, `PXL_20230330_184138390` (whose clock is UTC), `20231207_101605_001`,
//! `IMG-20210101-WA0001`, `Screenshot_2021-02-03-10-11-12`, `BURST20171111030039469`,
//! `WhatsApp Image 2021-01-01 at 12.30.45`, `FB_IMG_1523456789012` (milliseconds since 1970). Numbers that make
//! no date are passed over.

use time::{OffsetDateTime, PrimitiveDateTime};

use super::{Claim, DateSource, Reading, local};

/// The date in a file's name, if there is one. A name with a day but no time of day is taken for noon, which is
/// the right day in nearly every zone.
pub fn claim_of_name(name: &str) -> Option<Claim> {
    let runs = digit_runs(name);
    let found = (0..runs.len()).find_map(|at| date_at(runs.get(at..)?))?;
    let reading = match found {
        Reading::Local(wall) if name.starts_with("PXL_") => Reading::Instant(wall.assume_utc()),
        other => other,
    };
    Some(Claim { source: DateSource::FileName, reading })
}

/// A run of digits and what stands before it.
#[derive(Clone, Copy)]
struct Run<'a> {
    gap: &'a str,
    digits: &'a str,
}

fn digit_runs(name: &str) -> Vec<Run<'_>> {
    let mut runs = Vec::new();
    let mut rest = name;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (gap, tail) = rest.split_at(start);
        let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let (digits, after) = tail.split_at(end);
        runs.push(Run { gap, digits });
        rest = after;
    }
    runs
}

fn date_at(runs: &[Run<'_>]) -> Option<Reading> {
    let first = runs.first()?;
    match first.digits.len() {
        8 => with_time(first.digits, runs.get(1..)?),
        14..=17 => {
            let (day, time) = first.digits.split_at(8);
            compact(day, time).map(Reading::Local)
        }
        13 => milliseconds(first.digits),
        4 => {
            let [_, month, day, ..] = runs else { return None };
            let separated = |run: &Run<'_>| run.digits.len() == 2 && matches!(run.gap, "-" | "_" | "." | " ");
            if !separated(month) || !separated(day) {
                return None;
            }
            with_time(&format!("{}{}{}", first.digits, month.digits, day.digits), runs.get(3..)?)
        }
        _ => None,
    }
}

/// A day of eight digits, and the time of day in the runs that follow: one of six to nine digits or three of two.
fn with_time(day: &str, rest: &[Run<'_>]) -> Option<Reading> {
    let near = |run: &Run<'_>| matches!(run.gap, "_" | "-" | " " | "T" | "." | " at " | "_at_");
    let separated = |run: &Run<'_>| run.digits.len() == 2 && matches!(run.gap, "-" | "_" | "." | ":" | " ");
    let timed = match rest {
        [time, ..] if near(time) && (6..=9).contains(&time.digits.len()) => compact(day, time.digits),
        [hour, minute, second, ..]
            if near(hour) && hour.digits.len() == 2 && separated(minute) && separated(second) =>
        {
            compact(day, &format!("{}{}{}", hour.digits, minute.digits, second.digits))
        }
        _ => None,
    };
    timed.or_else(|| compact(day, "120000")).map(Reading::Local)
}

/// `YYYYMMDD` and `HHMMSS[mmm]`, between 1990 and 2100: other numbers of eight digits are more often counters.
fn compact(day: &str, time: &str) -> Option<PrimitiveDateTime> {
    let number = |text: &str, from: usize, to: usize| text.get(from..to)?.parse::<u32>().ok();
    let two = |text: &str, at: usize| number(text, at, at + 2);
    let year = number(day, 0, 4).filter(|year| (1990..2100).contains(year))?;
    let millis = super::nanos_of_fraction(time.get(6..)?);
    local(year, [two(day, 4)?, two(day, 6)?, two(time, 0)?, two(time, 2)?, two(time, 4)?], millis)
}

/// Thirteen digits that begin with 1 are milliseconds between 2001 and 2033.
fn milliseconds(digits: &str) -> Option<Reading> {
    let millis: i128 = digits.parse().ok().filter(|_| digits.starts_with('1'))?;
    OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000).ok().map(Reading::Instant)
}
