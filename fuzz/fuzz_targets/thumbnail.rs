//! A hostile picture on its way to a thumbnail. The first byte says as what it is decoded.
#![no_main]

use std::io::Cursor;

use darkslide_media::file_type::Format;
use darkslide_media::thumbnail::{LONGEST_SIDE, from_reader};
use libfuzzer_sys::fuzz_target;

const FORMATS: [Format; 6] = [Format::Jpeg, Format::Png, Format::Gif, Format::Webp, Format::Tiff, Format::Bmp];

fuzz_target!(|input: &[u8]| {
    let Some(([which, orientation, at], bytes)) = input.split_first_chunk() else { return };
    let format = FORMATS[usize::from(*which) % FORMATS.len()];
    let embedded = (at % 2 == 1).then_some((u64::from(*at), 4096));
    if let Ok(made) = from_reader(Cursor::new(bytes), format, *orientation, embedded) {
        assert!(made.width.max(made.height) <= LONGEST_SIDE);
    }
});
