//! A hostile picture or video, told apart by its own bytes or, by the first byte, by its name.
#![no_main]

use std::ffi::OsStr;
use std::io::Cursor;

use darkslide_media::dates::{Circumstances, utc};
use darkslide_media::file_type::classify;
use darkslide_media::probe::probe_reader;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 20] = [
    "a", "a.jpg", "a.heic", "a.avif", "a.mp4", "a.mov", "a.3gp", "a.mkv", "a.png", "a.gif", "a.webp", "a.bmp", "a.psd",
    "a.avi", "a.jxl", "a.cr3", "a.crw", "a.raf", "a.dng", "PXL_20230330_184138390.jpg",
];

fuzz_target!(|input: &[u8]| {
    let Some((which, bytes)) = input.split_first() else { return };
    let name = NAMES[usize::from(*which) % NAMES.len()];
    let Some(media) = classify(OsStr::new(name), bytes).media() else { return };
    let around = Circumstances { name, modified: 0, now: 1 << 51, zone: &utc };
    let found = probe_reader(&mut Cursor::new(bytes), media, &around).expect("memory can always be read");
    assert!((1..=8).contains(&found.orientation));
    assert!(found.captured.micros <= around.now + 86_400_000_000);
    if let Some((at, len)) = found.embedded_thumbnail {
        assert!(at + len <= bytes.len() as u64);
    }
});
