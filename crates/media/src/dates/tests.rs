//! Tables of dates: as written in tags and names, and as chosen among several.

use proptest::prelude::*;
use time::macros::{datetime, offset};

use super::*;

fn around(name: &str) -> Circumstances<'_> {
    Circumstances { name, modified: 1_600_000_000_000_000, now: 1_800_000_000_000_000, zone: &utc }
}

#[test]
fn written_dates() {
    for (text, expected) in [
        ("2023:02:02 02:00:00", Some(Reading::Local(datetime!(2023-02-02 2:00)))),
        ("2023:02:02 02:00:00\0", Some(Reading::Local(datetime!(2023-02-02 2:00)))),
        ("2023-02-02T02:00:00Z", Some(Reading::Zoned(datetime!(2023-02-02 2:00 UTC)))),
        ("2019-02-12T15:27:12+0800", Some(Reading::Zoned(datetime!(2019-02-12 15:27:12 +8)))),
        ("2025-11-03T00:31:13.25+05:45", Some(Reading::Zoned(datetime!(2025-11-03 0:31:13.25 +5:45)))),
        ("2023-02-02T02:00", Some(Reading::Local(datetime!(2023-02-02 2:00)))),
        ("2016:12:31 23:59:60", Some(Reading::Local(datetime!(2016-12-31 23:59:59)))),
        ("2023:02:02 2:00:00", None),
        ("2023:02:02", None),
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("2023:13:02 02:00:00", None),
        ("", None),
    ] {
        assert_eq!(parse(text), expected, "{text}");
    }
}

#[test]
fn written_offsets() {
    for (text, expected) in [
        ("+02:00", Some(offset!(+2))),
        ("-0330", Some(offset!(-3:30))),
        ("+13", Some(offset!(+13))),
        ("Z", Some(offset!(UTC))),
        ("", None),
        ("+", None),
        ("+15:00", None),
        ("+02:60", None),
        ("  :  ", None),
    ] {
        assert_eq!(parse_offset(text), expected, "{text}");
    }
}

#[test]
fn names_with_dates() {
    let local = |at| Some(Reading::Local(at));
    for (name, expected) in [
        ("IMG_20180725_163423.jpg", local(datetime!(2018-07-25 16:34:23))),
        ("PXL_20230330_184138390.jpg", Some(Reading::Instant(datetime!(2023-03-30 18:41:38.39 UTC)))),
        (
            "PXL_20230330_184138390.MOTION-01.COVER.jpg",
            Some(Reading::Instant(datetime!(2023-03-30 18:41:38.39 UTC))),
        ),
        ("20231207_101605_001.jpg", local(datetime!(2023-12-07 10:16:05))),
        ("IMG-20210101-WA0001.jpg", local(datetime!(2021-01-01 12:00))),
        ("Screenshot_2021-02-03-10-11-12-345_com.app.png", local(datetime!(2021-02-03 10:11:12))),
        ("Screenshot_2021-02-03.png", local(datetime!(2021-02-03 12:00))),
        ("Screenshot_20210203-101112.png", local(datetime!(2021-02-03 10:11:12))),
        ("00001IMG_00001_BURST20171111030039469.jpg", local(datetime!(2017-11-11 3:00:39.469))),
        ("WhatsApp Image 2021-01-01 at 12.30.45.jpeg", local(datetime!(2021-01-01 12:30:45))),
        ("signal-2021-01-01-123045.jpg", local(datetime!(2021-01-01 12:30:45))),
        ("FB_IMG_1523456789012.jpg", Some(Reading::Instant(datetime!(2018-04-11 14:26:29.012 UTC)))),
        ("VID_20180725_163423.mp4", local(datetime!(2018-07-25 16:34:23))),
        ("IMG_0001.jpg", None),
        ("DSC12345678.jpg", None),
        ("20211301_101112.jpg", None),
        ("year-2216.jpg", None),
        ("9781523456789012.jpg", None),
    ] {
        assert_eq!(claim_of_name(name).map(|claim| claim.reading), expected, "{name}");
    }
}

#[test]
fn the_first_believable_claim_wins() {
    let local = |source, at| Claim { source, reading: Reading::Local(at) };
    let gps =
        Claim { source: DateSource::Gps, reading: Reading::Instant(datetime!(2018-07-25 14:34:23 UTC)) };
    let original = local(DateSource::ExifOriginal, datetime!(2018-07-25 16:34:23));
    let digitized = local(DateSource::ExifDigitized, datetime!(2019-01-01 1:00));
    let future = local(DateSource::ExifOriginal, datetime!(2216-11-15 11:46:51));
    let epoch =
        Claim { source: DateSource::Container, reading: Reading::Instant(datetime!(1904-01-01 0:00 UTC)) };

    let chosen = decide(&[gps, digitized, original], &around("a.jpg"));
    assert_eq!((chosen.source, chosen.offset), (DateSource::ExifOriginal, Some(offset!(+2))));
    assert_eq!(chosen.micros, datetime!(2018-07-25 14:34:23 UTC).unix_timestamp() * 1_000_000);
    assert_eq!(chosen.date_time(), "2018-07-25T16:34:23");
    assert_eq!(chosen.offset_time().as_deref(), Some("+02:00"));

    assert_eq!(decide(&[gps], &around("a.jpg")).source, DateSource::Gps);
    assert_eq!(decide(&[future, digitized], &around("a.jpg")).source, DateSource::ExifDigitized);
    assert_eq!(decide(&[future], &around("IMG_20180725_163423.jpg")).source, DateSource::FileName);
    assert_eq!(decide(&[epoch], &around("a.mp4")).source, DateSource::FileModified);
    assert_eq!(decide(&[], &around("a.mp4")).micros, 1_600_000_000_000_000);
}

#[test]
fn the_callers_zone_is_assumed_where_the_file_names_none() {
    let zone = |_: PrimitiveDateTime| offset!(-5);
    let around = Circumstances { zone: &zone, ..around("a.jpg") };
    let claim =
        Claim { source: DateSource::ExifOriginal, reading: Reading::Local(datetime!(2019-03-21 11:04:22)) };
    let chosen = decide(&[claim], &around);
    assert_eq!(chosen.micros, datetime!(2019-03-21 16:04:22 UTC).unix_timestamp() * 1_000_000);
    assert_eq!((chosen.date_time().as_str(), chosen.offset), ("2019-03-21T11:04:22", None));
    let instant = decide(&[], &around);
    assert_eq!(instant.date_time(), "2020-09-13T07:26:40");
}

#[test]
fn a_stale_gps_clock_names_no_zone() {
    let wall = datetime!(2025-09-06 20:24:47);
    for (gps, expected) in [
        (datetime!(2025-09-07 4:24:40 UTC), Some(offset!(-8))),
        (datetime!(2025-09-07 4:19:17 UTC), None),
        (datetime!(2025-09-06 14:39:47 UTC), Some(offset!(+5:45))),
        (datetime!(2025-09-06 20:09:47 UTC), None),
        (datetime!(2025-09-08 4:24:47 UTC), None),
    ] {
        assert_eq!(offset_between(wall, gps), expected, "{gps}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in any::<String>()) {
        let _ = (parse(&text), parse_offset(&text), claim_of_name(&text), nanos_of_fraction(&text));
    }

    #[test]
    fn any_modification_time_gives_an_answer(modified in any::<i64>(), now in any::<i64>(), name in "[0-9_.-]{0,30}") {
        let chosen = decide(&[], &Circumstances { name: &name, modified, now, zone: &|_| offset!(+14) });
        prop_assert!(!chosen.date_time().is_empty());
    }
}
