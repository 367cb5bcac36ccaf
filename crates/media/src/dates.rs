//! When a picture was taken: many claims, one answer, and where the answer came from.
//!
//! A file may claim several dates. They are tried in the order of [`DateSource`]; the first that is not absurd
//! (after tomorrow, before 1826, or the zero of some clock) is taken, the file's modification time last.
//! A claim without a zone is given the zone of another claim that shows the same clock, or the one that the file's
//! own GPS clock implies, and otherwise the zone that the caller names ([`utc`] if it has no opinion). The zone is
//! not looked up from the place. Nothing here reads a clock or a file.

mod file_name;

use time::{Date, Duration, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

pub use file_name::claim_of_name;

/// Where a date was found; earlier ones are believed before later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DateSource {
    /// EXIF `DateTimeOriginal` (0x9003).
    ExifOriginal,
    /// EXIF `DateTimeDigitized`, also called CreateDate (0x9004).
    ExifDigitized,
    /// QuickTime `com.apple.quicktime.creationdate`, which carries its zone.
    QuickTimeCreationDate,
    /// XMP `exif:DateTimeOriginal` or `photoshop:DateCreated`.
    XmpOriginal,
    /// EXIF GPS date and time, in UTC, both present.
    Gps,
    /// `mvhd` of a movie or `DateUTC` of Matroska, in UTC.
    Container,
    /// XMP `xmp:CreateDate`.
    XmpCreated,
    /// What an exporter wrote beside the file, in UTC.
    Sidecar,
    /// The file's name.
    FileName,
    /// EXIF `DateTime` (0x0132): when the file was last changed by a program that keeps EXIF.
    ExifModified,
    /// The file system's modification time.
    FileModified,
}

/// What a claim says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// A clock on a wall, whose zone is not said.
    Local(PrimitiveDateTime),
    /// A clock on a wall and its distance from UTC.
    Zoned(OffsetDateTime),
    /// An instant in UTC that says nothing of the wall's clock.
    Instant(OffsetDateTime),
}

/// One date that a file carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Where it was found.
    pub source: DateSource,
    /// What it says.
    pub reading: Reading,
}

/// Which offset from UTC the wall's clock of the owner has at a local time.
pub type ZoneRule = dyn Fn(PrimitiveDateTime) -> UtcOffset + Send + Sync;

/// The zone rule of somebody who says nothing: UTC.
pub fn utc(_: PrimitiveDateTime) -> UtcOffset {
    UtcOffset::UTC
}

/// What is known of a file beside its content.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    /// The file's name, the last part of its path.
    pub name: &'a str,
    /// Its modification time, microseconds since 1970.
    pub modified: i64,
    /// The present, microseconds since 1970: what lies more than a day after it is absurd.
    pub now: i64,
    /// The zone for dates that have none.
    pub zone: &'a ZoneRule,
}

/// When a picture was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaptureTime {
    /// Microseconds since 1970, negative before.
    pub micros: i64,
    /// What the wall's clock showed.
    pub local: PrimitiveDateTime,
    /// That clock's offset from UTC, if the file itself tells; `None` if the caller's zone was assumed.
    pub offset: Option<UtcOffset>,
    /// Where this was found.
    pub source: DateSource,
}

impl CaptureTime {
    /// `dateTime` of the public magic metadata: ISO 8601 local time without zone, milliseconds only if there are.
    pub fn date_time(&self) -> String {
        let (date, time) = (self.local.date(), self.local.time());
        let millis = match time.millisecond() {
            0 => String::new(),
            millis => format!(".{millis:03}"),
        };
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{millis}",
            date.year(),
            u8::from(date.month()),
            date.day(),
            time.hour(),
            time.minute(),
            time.second()
        )
    }

    /// `offsetTime` of the public magic metadata: `±HH:mm`, only if the file tells.
    pub fn offset_time(&self) -> Option<String> {
        let offset = self.offset?;
        let sign = if offset.is_negative() { '-' } else { '+' };
        let (hours, minutes, _) = offset.as_hms();
        Some(format!("{sign}{:02}:{:02}", hours.unsigned_abs(), minutes.unsigned_abs()))
    }
}

/// Chooses among the claims. The file's name and modification time are added here.
pub fn decide(claims: &[Claim], around: &Circumstances<'_>) -> CaptureTime {
    let gps = claims.iter().find_map(|claim| match (claim.source, claim.reading) {
        (DateSource::Gps, Reading::Instant(instant)) => Some(instant),
        _ => None,
    });
    let mut ordered: Vec<Claim> = claims.iter().copied().chain(claim_of_name(around.name)).collect();
    ordered.sort_by_key(|claim| claim.source);
    ordered
        .iter()
        .filter(|claim| !is_zero_of_a_clock(claim.reading))
        .map(|claim| {
            settle(*claim, zone_of_twin(*claim, &ordered).or_else(|| zone_of_gps(*claim, gps)), around.zone)
        })
        .find(|capture| is_believable(capture, around.now))
        .unwrap_or_else(|| modified(around))
}

/// The zone of another claim that shows the same clock to the second: XMP often repeats EXIF's date with its zone.
fn zone_of_twin(claim: Claim, all: &[Claim]) -> Option<UtcOffset> {
    let Reading::Local(local) = claim.reading else { return None };
    all.iter().find_map(|other| match other.reading {
        Reading::Zoned(zoned) if zoned.date() == local.date() && zoned.time().as_hms() == local.as_hms() => {
            Some(zoned.offset())
        }
        _ => None,
    })
}

fn zone_of_gps(claim: Claim, gps: Option<OffsetDateTime>) -> Option<UtcOffset> {
    let Reading::Local(local) = claim.reading else { return None };
    gps.and_then(|gps| offset_between(local, gps))
}

fn modified(around: &Circumstances<'_>) -> CaptureTime {
    let instant = from_micros(around.modified).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    settle(Claim { source: DateSource::FileModified, reading: Reading::Instant(instant) }, None, around.zone)
}

pub(crate) fn settle(claim: Claim, known: Option<UtcOffset>, zone: &ZoneRule) -> CaptureTime {
    let (instant, local, offset) = match claim.reading {
        Reading::Zoned(zoned) => {
            (zoned, PrimitiveDateTime::new(zoned.date(), zoned.time()), Some(zoned.offset()))
        }
        Reading::Local(local) => {
            let instant = local.assume_utc().saturating_sub(seconds_of(known.unwrap_or_else(|| zone(local))));
            (instant, local, known)
        }
        Reading::Instant(instant) => {
            let wall = PrimitiveDateTime::new(instant.date(), instant.time());
            (instant, wall.saturating_add(seconds_of(zone(wall))), None)
        }
    };
    CaptureTime { micros: to_micros(instant), local, offset, source: claim.source }
}

fn seconds_of(offset: UtcOffset) -> Duration {
    Duration::seconds(offset.whole_seconds().into())
}

/// The zone that makes a wall's clock agree with the GPS clock: a whole half hour (or one of the four zones with
/// three quarters) within three minutes. A stale GPS fix is further off and says nothing.
pub(crate) fn offset_between(local: PrimitiveDateTime, gps: OffsetDateTime) -> Option<UtcOffset> {
    const STALE: i64 = 3 * 60;
    const QUARTERS: [i64; 5] = [-345, 345, 525, 765, 825];
    let difference = (local.assume_utc() - gps).whole_seconds();
    let minutes = (difference + STALE).div_euclid(15 * 60) * 15;
    let near = (difference - minutes * 60).abs() <= STALE;
    let exists =
        (-12 * 60..=14 * 60).contains(&minutes) && (minutes % 30 == 0 || QUARTERS.contains(&minutes));
    (near && exists).then(|| UtcOffset::from_whole_seconds(i32::try_from(minutes * 60).ok()?).ok()).flatten()
}

/// 1904 (QuickTime), 1970 (Unix) and 1980 (FAT, and cameras whose battery was out), to the second.
fn is_zero_of_a_clock(reading: Reading) -> bool {
    let (date, time) = match reading {
        Reading::Local(local) => (local.date(), local.time()),
        Reading::Zoned(instant) | Reading::Instant(instant) => (instant.date(), instant.time()),
    };
    let midnight = time.hour() == 0 && time.minute() == 0 && time.second() == 0;
    midnight && date.ordinal() == 1 && matches!(date.year(), 1904 | 1970 | 1980)
}

/// The oldest photograph that is kept was taken in 1826 or 1827.
pub(crate) fn is_believable(capture: &CaptureTime, now: i64) -> bool {
    const DAY: i64 = 24 * 60 * 60 * 1_000_000;
    capture.local.year() >= 1826 && capture.micros <= now.saturating_add(DAY)
}

/// Microseconds since 1970 to an instant, if there is one within the years that `time` knows.
pub fn from_micros(micros: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).ok()
}

fn to_micros(instant: OffsetDateTime) -> i64 {
    i64::try_from(instant.unix_timestamp_nanos().div_euclid(1000)).unwrap_or(i64::MAX)
}

/// Reads `YYYY-MM-DD[T ]HH:MM[:SS[.fraction]][Z|±HH[:MM]]`, with any punctuation between the numbers of the date:
/// EXIF writes colons, XMP and QuickTime write ISO 8601. A date without a time of day is `None`.
pub fn parse(text: &str) -> Option<Reading> {
    let mut rest = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    let year = number(&mut rest, 4)?;
    let month = after(&mut rest, &['-', ':', '/', '.'])?;
    let day = after(&mut rest, &['-', ':', '/', '.'])?;
    let hour = after(&mut rest, &['T', ' ', 't'])?;
    let minute = after(&mut rest, &[':', '.'])?;
    let second = after(&mut rest, &[':']).unwrap_or(0);
    let nanos = fraction(&mut rest);
    let local = local(year, [month, day, hour, minute, second], nanos)?;
    match parse_offset(rest) {
        Some(offset) => Some(Reading::Zoned(local.assume_offset(offset))),
        None => Some(Reading::Local(local)),
    }
}

/// `Z`, `±HH:MM`, `±HHMM` or `±HH`.
pub fn parse_offset(text: &str) -> Option<UtcOffset> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    if text.eq_ignore_ascii_case("z") {
        return Some(UtcOffset::UTC);
    }
    let negative = text.starts_with(['-', '−']);
    let mut rest = text.strip_prefix(['+', '-', '−'])?;
    let hours = number(&mut rest, 2)?;
    let minutes = if rest.is_empty() { 0 } else { number(&mut rest.trim_start_matches(':'), 2)? };
    let seconds = i32::try_from((hours * 60 + minutes) * 60).ok()?;
    let believable = hours <= 14 && minutes < 60;
    believable
        .then(|| UtcOffset::from_whole_seconds(if negative { -seconds } else { seconds }).ok())
        .flatten()
}

fn after(rest: &mut &str, separators: &[char]) -> Option<u32> {
    let mut tail = rest.strip_prefix(separators)?;
    let value = number(&mut tail, 2)?;
    *rest = tail;
    Some(value)
}

/// Exactly `width` digits. Some cameras pad with blanks; these are taken for zeros.
fn number(rest: &mut &str, width: usize) -> Option<u32> {
    let (digits, tail) = rest.split_at_checked(width)?;
    let value = digits.trim_start().parse().ok().filter(|_| !digits.contains(['+', '-']))?;
    *rest = tail;
    Some(value)
}

/// `.` and digits, as nanoseconds; zero if there are none.
fn fraction(rest: &mut &str) -> u32 {
    let Some(tail) = rest.strip_prefix(['.', ',']) else { return 0 };
    let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
    let (digits, after) = tail.split_at(end);
    *rest = after;
    nanos_of_fraction(digits)
}

/// The digits after a decimal point, as nanoseconds: EXIF keeps them in a tag of their own.
pub fn nanos_of_fraction(digits: &str) -> u32 {
    let digits = digits.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    let padded: String = digits.chars().chain(std::iter::repeat('0')).take(9).collect();
    padded.parse().unwrap_or(0)
}

/// A local time from its numbers; a leap second becomes the last whole second.
pub(crate) fn local(
    year: u32,
    [month, day, hour, minute, second]: [u32; 5],
    nanos: u32,
) -> Option<PrimitiveDateTime> {
    let small = |value: u32| u8::try_from(value).ok();
    let month = Month::try_from(small(month)?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, small(day)?).ok()?;
    let time = Time::from_hms_nano(small(hour)?, small(minute)?, small(second)?.min(59), nanos).ok()?;
    Some(PrimitiveDateTime::new(date, time))
}

#[cfg(test)]
mod tests;
