//! A hostile Live Photo container; and one of our own making around the same bytes, which must come back.
#![no_main]

use std::io::{Cursor, Read};

use darkslide_media::live_container::{Content, LiveContainer, extract};
use libfuzzer_sys::fuzz_target;

const LIMIT: u64 = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let (mut image, mut video) = (Vec::new(), Vec::new());
    if extract(Cursor::new(input), LIMIT, &mut image, &mut video).is_ok() {
        assert!(image.len() as u64 <= LIMIT && video.len() as u64 <= LIMIT);
    }
    let (first, second) = input.split_at(input.len() / 2);
    let content = |bytes: &[u8]| Content::of(bytes).expect("memory can always be read");
    let layout = LiveContainer::new("heic", content(first), "mov", content(second)).expect("short");
    let mut bytes = Vec::new();
    layout.stream(first, second).read_to_end(&mut bytes).expect("lengths agree");
    let (mut image, mut video) = (Vec::new(), Vec::new());
    extract(Cursor::new(bytes), LIMIT, &mut image, &mut video).expect("it was just made");
    assert_eq!((image.as_slice(), video.as_slice()), (first, second));
});
