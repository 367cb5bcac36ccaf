//! A hostile container, asked whether it has arrived whole: by any name, and with a tail that is cut off.
#![no_main]

use std::io::Cursor;

use darkslide_media::complete::is_complete;
use darkslide_media::file_type::Format;
use libfuzzer_sys::fuzz_target;

const FORMATS: [Format; 8] = [
    Format::Jpeg,
    Format::Png,
    Format::Mp4,
    Format::Heif,
    Format::Cr3,
    Format::Webp,
    Format::Avi,
    Format::Gif,
];

fuzz_target!(|input: &[u8]| {
    let Some((which, bytes)) = input.split_first() else { return };
    let format = FORMATS[usize::from(*which) % FORMATS.len()];
    is_complete(format, &mut Cursor::new(bytes)).expect("memory can always be read");
    assert!(!is_complete(format, &mut Cursor::new([])).expect("memory can always be read"));
});
