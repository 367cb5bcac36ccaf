//! When and where a picture was taken, if it says one thing and its sidecar another.
//!
//! | the picture's own date | the sidecar's | what is kept |
//! |---|---|---|
//! | none, or only its name's, its last change's, its file's | any | the sidecar's |
//! | a capture date | the same moment, whatever the zone | its own; with the zone that the sidecar implies, where it names none |
//! | a capture date | another | its own, and the sidecar's as the owner's correction |
//!
//! Google copies the capture date out of the picture, and shows another only when its owner changed it there: the picture
//! itself is not touched by that. So a sidecar that differs by more than a zone can explain is a correction, and is kept as
//! one (`editedTime`), which every client shows in place of the original and the owner can take back. A correction by whole
//! hours cannot be told from a zone; the picture's clock stays.
//!
//! Likewise places: the picture's own stays; a place that the owner moved away from it (`geoData` is not `geoDataExif`) is
//! kept as a correction (`lat`, `long`); a picture without a place gets the sidecar's.

use time::OffsetDateTime;

use crate::dates::{self, CaptureTime, Claim, DateSource, Reading, ZoneRule};
use crate::place::Place;
use crate::takeout::document::Sidecar;

/// Two places that are nearer than this, in degrees, are the same: about fifty metres.
const SAME_PLACE: f64 = 0.0005;

/// Moments that are nearer than this are the same, in µs.
pub(super) const SAME_MOMENT: u64 = 3 * 60 * 1_000_000;

/// What is kept of both.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// When it was taken.
    pub captured: CaptureTime,
    /// When its owner says it was, where that differs; µs since the epoch.
    pub edited_time: Option<i64>,
    /// Where it was taken.
    pub place: Option<Place>,
    /// Where its owner says it was, where that differs.
    pub edited_place: Option<Place>,
}

/// Decides between what a picture says of itself and what its sidecar says. `zone` is assumed for dates without one, `now` (µs
/// since the epoch) bounds what can be believed.
pub fn decide(
    captured: CaptureTime,
    place: Option<Place>,
    sidecar: &Sidecar,
    zone: &ZoneRule,
    now: i64,
) -> Verdict {
    let (captured, edited_time) = time(captured, sidecar, zone, now);
    let (place, edited_place) = match (place, sidecar.place, sidecar.exif_place) {
        (None, shown, uploaded) => (shown.or(uploaded), None),
        (Some(own), Some(shown), Some(uploaded)) if !is_near(shown, uploaded) && !is_near(shown, own) => {
            (Some(own), Some(shown))
        }
        (own, _, _) => (own, None),
    };
    Verdict { captured, edited_time, place, edited_place }
}

/// The moment that a sidecar tells, if it can be believed. `now`, µs since the epoch, bounds that.
pub fn told_moment(sidecar: &Sidecar, now: i64) -> Option<OffsetDateTime> {
    let instant = sidecar.taken.and_then(dates::from_micros)?;
    dates::is_believable(&told(instant, &dates::utc), now).then_some(instant)
}

fn told(instant: OffsetDateTime, zone: &ZoneRule) -> CaptureTime {
    let claim = Claim { source: DateSource::Sidecar, reading: Reading::Instant(instant) };
    dates::settle(claim, None, zone)
}

fn time(own: CaptureTime, sidecar: &Sidecar, zone: &ZoneRule, now: i64) -> (CaptureTime, Option<i64>) {
    let Some(instant) = told_moment(sidecar, now) else { return (own, None) };
    let told = told(instant, zone);
    if own.source > DateSource::Sidecar {
        return (told, None);
    }
    let implied = dates::offset_between(own.local, instant);
    let says_a_zone = own.offset.is_some() || matches!(own.source, DateSource::Gps | DateSource::Container);
    match implied {
        // Google takes clocks without a zone for UTC: that is no zone that somebody knew.
        Some(offset) if !says_a_zone && !offset.is_utc() => {
            let claim =
                Claim { source: own.source, reading: Reading::Zoned(own.local.assume_offset(offset)) };
            (dates::settle(claim, None, zone), None)
        }
        Some(_) => (own, None),
        None if own.micros.abs_diff(told.micros) <= SAME_MOMENT => (own, None),
        None => (own, Some(told.micros)),
    }
}

fn is_near(a: Place, b: Place) -> bool {
    (a.latitude() - b.latitude()).abs() < SAME_PLACE && (a.longitude() - b.longitude()).abs() < SAME_PLACE
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::UtcOffset;
    use time::macros::{datetime, offset};

    const NOW: i64 = 1_800_000_000_000_000;

    fn berlin(_: time::PrimitiveDateTime) -> UtcOffset {
        offset!(+1)
    }

    fn captured(source: DateSource, reading: Reading) -> CaptureTime {
        dates::settle(Claim { source, reading }, None, &berlin)
    }

    fn sidecar(seconds: i64) -> Sidecar {
        Sidecar { taken: Some(seconds * 1_000_000), ..Sidecar::default() }
    }

    /// Source, seconds since the epoch, offset in hours, and the correction in seconds.
    type Kept = (DateSource, i64, Option<i8>, Option<i64>);

    fn check(own: CaptureTime, told: i64, expected: Kept) {
        let verdict = decide(own, None, &sidecar(told), &berlin, NOW);
        let kept = verdict.captured;
        let offset = kept.offset.map(UtcOffset::whole_hours);
        let edited = verdict.edited_time.map(|micros| micros / 1_000_000);
        assert_eq!((kept.source, kept.micros / 1_000_000, offset, edited), expected, "{own:?} and {told}");
    }

    #[test]
    fn dates_of_pictures_and_sidecars() {
        use DateSource::{
            Container, ExifModified, ExifOriginal, FileModified, FileName, QuickTimeCreationDate, Sidecar,
        };
        let noon = datetime!(2023-04-05 12:00);
        let at = noon.assume_utc().unix_timestamp();
        let hour = 3600;
        let local = |source| captured(source, Reading::Local(noon));
        let utc = captured(Container, Reading::Instant(noon.assume_utc()));
        let zoned = captured(QuickTimeCreationDate, Reading::Zoned(noon.assume_offset(offset!(+2))));
        for (own, told, expected) in [
            // Nothing of its own that could be believed.
            (local(FileName), at, (Sidecar, at, None, None)),
            (local(ExifModified), at - 7, (Sidecar, at - 7, None, None)),
            (local(FileModified), -466_300_800, (Sidecar, -466_300_800, None, None)),
            // The same clock, in a zone that the sidecar gives away; and taken for UTC, which gives nothing away.
            (local(ExifOriginal), at - 2 * hour, (ExifOriginal, at - 2 * hour, Some(2), None)),
            (local(ExifOriginal), at + 5 * hour, (ExifOriginal, at + 5 * hour, Some(-5), None)),
            (local(ExifOriginal), at, (ExifOriginal, at - hour, None, None)),
            (zoned, at - 2 * hour, (QuickTimeCreationDate, at - 2 * hour, Some(2), None)),
            (zoned, at, (QuickTimeCreationDate, at - 2 * hour, Some(2), None)),
            (utc, at + 1, (Container, at, None, None)),
            // Another date: its owner's.
            (local(ExifOriginal), at - 86_400, (ExifOriginal, at - hour, None, Some(at - 86_400))),
            (local(ExifOriginal), at + 600, (ExifOriginal, at - hour, None, Some(at + 600))),
            (zoned, 5, (QuickTimeCreationDate, at - 2 * hour, Some(2), Some(5))),
            // No date at all.
            (local(ExifOriginal), NOW / 1_000_000 + 100_000, (ExifOriginal, at - hour, None, None)),
            (local(FileName), -5_000_000_000, (FileName, at - hour, None, None)),
        ] {
            check(own, told, expected);
        }
    }

    #[test]
    fn places_of_pictures_and_sidecars() {
        let (here, near, there) = (Place::new(48.0, 2.0), Place::new(48.0001, 2.0), Place::new(50.0, 8.0));
        let own = captured(DateSource::FileName, Reading::Local(datetime!(2023-04-05 12:00)));
        for (place, shown, uploaded, expected) in [
            (None, None, None, (None, None)),
            (None, here, None, (here, None)),
            (None, here, there, (here, None)),
            (None, None, there, (there, None)),
            (here, None, None, (here, None)),
            (here, there, None, (here, None)),
            (here, near, here, (here, None)),
            (here, there, here, (here, there)),
            (here, here, there, (here, None)),
        ] {
            let sidecar = Sidecar { place: shown, exif_place: uploaded, ..Sidecar::default() };
            let verdict = decide(own, place, &sidecar, &berlin, NOW);
            assert_eq!((verdict.place, verdict.edited_place), expected, "{place:?} {shown:?} {uploaded:?}");
        }
    }
}
