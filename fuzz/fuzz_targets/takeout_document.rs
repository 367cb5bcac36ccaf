//! The JSON of a Takeout export, and what is decided by it: any bytes, and sidecars with any numbers in the right places.
#![no_main]

use arbitrary::Arbitrary;
use darkslide_media::dates::{CaptureTime, DateSource, utc};
use darkslide_media::place::Place;
use darkslide_media::takeout::document::{Document, Sidecar, read};
use darkslide_media::takeout::verdict::decide;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Bytes(&'a [u8]),
    Sidecar { seconds: i64, shown: (f64, f64), uploaded: (f64, f64), title: &'a str },
}

/// 2021, in µs.
const NOW: i64 = 1_620_000_000_000_000;

fuzz_target!(|input: Input<'_>| match input {
    Input::Bytes(bytes) => {
        if let Document::Sidecar(sidecar) = read(bytes) {
            check(&sidecar);
        }
    }
    Input::Sidecar { seconds, shown, uploaded, title } => {
        let place = |(latitude, longitude): (f64, f64)| format!(r#"{{"latitude":{latitude},"longitude":{longitude}}}"#);
        let json = format!(
            r#"{{"title":{title:?},"photoTakenTime":{{"timestamp":"{seconds}"}},"geoData":{},"geoDataExif":{}}}"#,
            place(shown),
            place(uploaded)
        );
        if let Document::Sidecar(sidecar) = read(json.as_bytes()) {
            let micros = seconds.checked_mul(1_000_000).filter(|micros| *micros != 0);
            assert_eq!(sidecar.taken, micros);
            check(&sidecar);
        }
    }
});

/// Whatever it says, the date is one that can be believed, and the picture's own is not lost.
fn check(sidecar: &Sidecar) {
    let at = time::OffsetDateTime::from_unix_timestamp(1_600_000_000).expect("2020");
    let local = time::PrimitiveDateTime::new(at.date(), at.time());
    for source in [DateSource::ExifOriginal, DateSource::Container, DateSource::FileName] {
        let own = CaptureTime { micros: 1_600_000_000_000_000, local, offset: None, source };
        for place in [None, Place::new(48.0, 2.0)] {
            let verdict = decide(own, place, sidecar, &utc, NOW);
            assert!(verdict.captured.micros <= NOW + 86_400_000_000);
            assert!(verdict.captured.source == source || source > DateSource::Sidecar);
            assert!(place.is_none() || verdict.place == place);
        }
    }
}
