//! Whether a file's container has arrived whole, told from the container itself.
//!
//! A file that is still being copied, downloaded or recorded looks like any other, for a while even by its times. Most
//! containers say where they end: a JPEG by its end marker, a PNG by its last chunk, ISO media and RIFF by their lengths.
//! This module compares that with the bytes that are there. It decodes nothing, and what says nothing of its end counts as
//! whole: only a pause in the writing can tell then.

use std::io::{self, BufRead as _, BufReader, Read, Seek, SeekFrom};

use crate::file_type::Format;

/// Pictures behind each other in one JPEG (ISO 24500 calls it multi-picture) that are followed.
const PICTURES_MAX: u32 = 8;

/// Boxes beside each other that are looked at. Fragmented films have thousands, at 8 bytes read for each.
const BOXES_MAX: u32 = 100_000;

/// Whether all bytes of the file are there that its container speaks of. An empty file is not whole; one that is damaged is
/// whole if it ends as one of its format does.
pub fn is_complete<R: Read + Seek>(format: Format, file: &mut R) -> io::Result<bool> {
    let length = file.seek(SeekFrom::End(0))?;
    if length == 0 {
        return Ok(false);
    }
    let mut bytes = Bytes { file: BufReader::new(file), length };
    match format {
        Format::Jpeg => jpeg(&mut bytes, 0, 0),
        Format::Png => png(&mut bytes),
        Format::Mp4 | Format::Mov | Format::ThreeGp | Format::Cr3 => iso_media(&mut bytes, 0, *b"moov"),
        Format::Heif | Format::Avif => iso_media(&mut bytes, 0, *b"meta"),
        Format::Webp | Format::Avi => riff(&mut bytes),
        _ => Ok(true),
    }
}

/// A file and its length.
struct Bytes<'a, R> {
    file: BufReader<&'a mut R>,
    length: u64,
}

impl<R: Read + Seek> Bytes<'_, R> {
    /// `N` bytes at a place, as far as they are there.
    fn at<const N: usize>(&mut self, place: u64) -> io::Result<Option<[u8; N]>> {
        if place.saturating_add(N as u64) > self.length {
            return Ok(None);
        }
        self.go_to(place)?;
        self.next()
    }

    fn go_to(&mut self, place: u64) -> io::Result<()> {
        // Short steps stay within what was read already.
        let here = self.file.stream_position()?;
        let step = i64::try_from(place).unwrap_or(i64::MAX) - i64::try_from(here).unwrap_or(i64::MAX);
        self.file.seek_relative(step)
    }

    fn next<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        match self.file.read_exact(&mut bytes) {
            Ok(()) => Ok(Some(bytes)),
            // It became shorter while it was read.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn ends_with<const N: usize>(&mut self, tail: [u8; N]) -> io::Result<bool> {
        let Some(place) = self.length.checked_sub(N as u64) else { return Ok(false) };
        Ok(self.at(place)? == Some(tail))
    }
}

/// The end-of-image marker (ITU-T T.81 §B.1.1.3).
const EOI: [u8; 2] = [0xff, 0xd9];

/// `SOI, segments, SOS, coded data, EOI`, and behind it whatever the maker likes: more pictures, or a film.
fn jpeg<R: Read + Seek>(bytes: &mut Bytes<'_, R>, start: u64, depth: u32) -> io::Result<bool> {
    let coded = match first_scan(bytes, start)? {
        Segments::Scan(coded) => coded,
        Segments::CutOff => return Ok(false),
        // Damaged: its last bytes are all there is to go by.
        Segments::Senseless => return bytes.ends_with(EOI),
    };
    // Not in a segment, where a thumbnail has an end of its own, and in coded data every FF is followed by something else.
    if bytes.length >= coded + 2 && bytes.ends_with(EOI)? {
        return Ok(true);
    }
    match end_of_image(bytes, coded)? {
        None => Ok(false),
        Some(end) if end >= bytes.length => Ok(true),
        Some(end) => trailer(bytes, end, depth),
    }
}

enum Segments {
    /// Where the coded data of the first scan begin.
    Scan(u64),
    CutOff,
    Senseless,
}

fn first_scan<R: Read + Seek>(bytes: &mut Bytes<'_, R>, start: u64) -> io::Result<Segments> {
    let Some([0xff, 0xd8]) = bytes.at(start)? else {
        return Ok(if start + 2 > bytes.length { Segments::CutOff } else { Segments::Senseless });
    };
    let mut place = start + 2;
    loop {
        let Some([0xff, marker]) = bytes.at(place)? else {
            return Ok(if place + 2 > bytes.length { Segments::CutOff } else { Segments::Senseless });
        };
        // Fill bytes may stand before any marker.
        if marker == 0xff {
            place += 1;
            continue;
        }
        let Some(length) = bytes.at(place + 2)?.map(u16::from_be_bytes) else { return Ok(Segments::CutOff) };
        place += 2 + u64::from(length.max(2));
        if place > bytes.length {
            return Ok(Segments::CutOff);
        }
        if marker == 0xda {
            return Ok(Segments::Scan(place));
        }
    }
}

/// The place behind the end marker, for coded data that begin at `place`. Segments between scans are stepped over.
fn end_of_image<R: Read + Seek>(bytes: &mut Bytes<'_, R>, mut place: u64) -> io::Result<Option<u64>> {
    loop {
        bytes.go_to(place)?;
        let skipped = bytes.file.skip_until(0xff)?;
        place += skipped as u64;
        let Some([marker]) = bytes.at(place)? else { return Ok(None) };
        match marker {
            0xd9 => return Ok(Some(place + 1)),
            // The same FF may begin a marker yet.
            0xff => {}
            // A stuffed byte, or a restart.
            0x00 | 0x01 | 0xd0..=0xd7 => place += 1,
            _ => {
                let Some(length) = bytes.at(place + 1)?.map(u16::from_be_bytes) else { return Ok(None) };
                place += 1 + u64::from(length.max(2));
            }
        }
    }
}

/// What follows the picture: another one and a film must be whole too; anything else is the maker's business.
fn trailer<R: Read + Seek>(bytes: &mut Bytes<'_, R>, place: u64, depth: u32) -> io::Result<bool> {
    if depth < PICTURES_MAX && bytes.at(place)? == Some([0xff, 0xd8, 0xff]) {
        return jpeg(bytes, place, depth + 1);
    }
    if bytes.at(place + 4)? == Some(*b"ftyp") {
        return iso_media(bytes, place, *b"moov");
    }
    Ok(true)
}

/// Signature, then chunks of `length, type, data, check`, the last of them `IEND` (PNG §5).
fn png<R: Read + Seek>(bytes: &mut Bytes<'_, R>) -> io::Result<bool> {
    let mut place = 8;
    loop {
        let Some([l0, l1, l2, l3, kind @ ..]) = bytes.at::<8>(place)? else { return Ok(false) };
        place += 12 + u64::from(u32::from_be_bytes([l0, l1, l2, l3]));
        if place > bytes.length {
            return Ok(false);
        }
        if kind == *b"IEND" {
            return Ok(true);
        }
    }
}

/// Boxes of `size, type, content` (ISO/IEC 14496-12 §4.2): all of them must be there up to their ends, and among them the one
/// that describes the media, and the media: one of the two is written last. A size of 0 means “to the end”.
fn iso_media<R: Read + Seek>(bytes: &mut Bytes<'_, R>, start: u64, description: [u8; 4]) -> io::Result<bool> {
    let (mut place, mut is_described, mut has_media) = (start, false, false);
    for _ in 0..BOXES_MAX {
        if place >= bytes.length {
            break;
        }
        let Some([s0, s1, s2, s3, kind @ ..]) = bytes.at::<8>(place)? else {
            // Less than a header: padding, if everything has been seen.
            return Ok(is_described && has_media);
        };
        if !kind.iter().all(|letter| letter.is_ascii_graphic() || *letter == b' ' || *letter >= 0x80) {
            // No box: a trailer of the maker's, or zeros that a copy has reserved and not yet filled.
            return Ok(is_described && has_media);
        }
        is_described |= kind == description;
        has_media |= kind == *b"mdat" || kind == *b"moof" || kind == *b"idat";
        place = match u32::from_be_bytes([s0, s1, s2, s3]) {
            0 => bytes.length,
            1 => match bytes.at(place + 8)?.map(u64::from_be_bytes) {
                Some(size) if size >= 16 => place.saturating_add(size),
                _ => return Ok(false),
            },
            size if size >= 8 => place + u64::from(size),
            _ => return Ok(false),
        };
        if place > bytes.length {
            return Ok(false);
        }
    }
    Ok(is_described && has_media)
}

/// `RIFF`, the length of what follows, and that.
fn riff<R: Read + Seek>(bytes: &mut Bytes<'_, R>) -> io::Result<bool> {
    let Some([b'R', b'I', b'F', b'F', size @ ..]) = bytes.at::<8>(0)? else { return Ok(bytes.length >= 8) };
    Ok(8 + u64::from(u32::from_le_bytes(size)) <= bytes.length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn complete(format: Format, bytes: &[u8]) -> bool {
        is_complete(format, &mut Cursor::new(bytes)).unwrap()
    }

    /// Whole, and at no shorter length from `least` on.
    fn check(what: &str, format: Format, bytes: &[u8], least: usize) {
        assert!(complete(format, bytes), "{what} is whole");
        for length in 0..least {
            assert!(!complete(format, &bytes[..length]), "{what} cut to {length} of {} bytes", bytes.len());
        }
    }

    fn media_box(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(content.len() + 8).unwrap();
        [&size.to_be_bytes()[..], &kind, content].concat()
    }

    fn film() -> Vec<u8> {
        [media_box(*b"ftyp", b"isom\0\0\0\0"), media_box(*b"mdat", &[7; 90]), media_box(*b"moov", &[1; 40])]
            .concat()
    }

    /// A thumbnail with an end of its own in APP1, a stuffed byte, a restart, and a second scan behind a table.
    fn picture() -> Vec<u8> {
        let thumbnail = [0xff, 0xe1, 0x00, 0x08, 0xff, 0xd8, 0xff, 0xd9, 0x00, 0x00];
        let scan = [0xff, 0xda, 0x00, 0x04, 0x00, 0x00, 0x12, 0xff, 0x00, 0xff, 0xd3, 0x34];
        let table = [0xff, 0xc4, 0x00, 0x06, 0xff, 0xd9, 0x11, 0x22];
        [&[0xff, 0xd8][..], &thumbnail, &scan, &table, &scan, &EOI].concat()
    }

    #[test]
    fn a_jpeg_is_whole_up_to_its_end_marker() {
        let picture = picture();
        // Bytes of a table between two scans that happen to read like an end are taken for one: the price of not reading it all.
        let table = picture.len() - EOI.len() - 12 - 2;
        for length in (0..picture.len()).filter(|length| *length != table) {
            assert!(!complete(Format::Jpeg, &picture[..length]), "cut to {length}");
        }
        assert!(complete(Format::Jpeg, &picture));
        assert!(complete(Format::Jpeg, &[&picture[..], b"trailer of a maker"].concat()));
        let real = image::DynamicImage::new_rgb8(33, 21);
        let mut encoded = Cursor::new(Vec::new());
        real.write_to(&mut encoded, image::ImageFormat::Jpeg).unwrap();
        let encoded = encoded.into_inner();
        check("a real JPEG", Format::Jpeg, &encoded, encoded.len());
    }

    #[test]
    fn what_follows_a_jpeg_must_be_whole_too() {
        let picture = picture();
        let pair = [&picture[..], &picture[..]].concat();
        assert!(complete(Format::Jpeg, &pair));
        // Cut right behind the thumbnail of the second it ends as a picture does; nothing short of decoding would tell.
        let thumbnail = picture.len() + 10;
        for length in (picture.len() + 3..pair.len() - 24).filter(|length| *length != thumbnail) {
            assert!(!complete(Format::Jpeg, &pair[..length]), "second picture cut, {length}");
        }
        let motion = [picture.clone(), film()].concat();
        assert!(complete(Format::Jpeg, &motion));
        for length in picture.len() + 8..motion.len() {
            assert!(!complete(Format::Jpeg, &motion[..length]), "motion photo cut to {length}");
        }
    }

    #[test]
    fn a_damaged_jpeg_is_judged_by_its_last_bytes() {
        let damaged = [&[0xff, 0xd8][..], b"nothing that makes sense", &EOI].concat();
        check("a damaged JPEG", Format::Jpeg, &damaged, damaged.len());
        assert!(!complete(Format::Jpeg, b"no picture at all"));
    }

    #[test]
    fn a_png_is_whole_up_to_its_last_chunk() {
        let mut encoded = Cursor::new(Vec::new());
        image::DynamicImage::new_rgb8(33, 21).write_to(&mut encoded, image::ImageFormat::Png).unwrap();
        let encoded = encoded.into_inner();
        check("a PNG", Format::Png, &encoded, encoded.len());
        assert!(complete(Format::Png, &[&encoded[..], b"more"].concat()));
    }

    #[test]
    fn iso_media_are_whole_with_all_their_boxes() {
        let film = film();
        check("a film", Format::Mp4, &film, film.len());
        let first =
            [media_box(*b"ftyp", b"isom"), media_box(*b"moov", &[1; 40]), media_box(*b"mdat", &[7; 90])]
                .concat();
        check("a film for the web", Format::Mov, &first, first.len());
        let padded = [&film[..], &media_box(*b"free", &[0; 30])].concat();
        check("a film with padding", Format::ThreeGp, &padded, film.len());
        let heif =
            [media_box(*b"ftyp", b"heic"), media_box(*b"meta", &[2; 60]), media_box(*b"mdat", &[7; 90])]
                .concat();
        check("a HEIF", Format::Heif, &heif, heif.len());
    }

    #[test]
    fn a_film_in_the_making_is_not_whole() {
        let recording =
            [media_box(*b"ftyp", b"isom"), [&[0, 0, 0, 0][..], b"mdat", &[7; 90]].concat()].concat();
        assert!(!complete(Format::Mp4, &recording), "it has no description yet");
        let long = [&film()[..16], &[0, 0, 0, 1][..], b"mdat", &100u64.to_be_bytes(), &[7; 84]].concat();
        assert!(!complete(Format::Mp4, &long), "the description comes after a long box");
        assert!(complete(Format::Mp4, &[&long[..], &media_box(*b"moov", &[1; 40])].concat()));
        let reserved = [&film()[..30], &[0; 200]].concat();
        assert!(!complete(Format::Mp4, &reserved), "room was made for it");
    }

    proptest::proptest! {
        #[test]
        fn nonsense_is_judged_and_ends(bytes in proptest::collection::vec(0u8.., 0..600), which in 0usize..4) {
            let heads: [&[u8]; 4] = [b"\xff\xd8\xff\xda\0\x02", b"\x89PNG\r\n\x1a\n", b"\0\0\0\x08ftyp", b"RIFF"];
            let formats = [Format::Jpeg, Format::Png, Format::Mp4, Format::Avi];
            let _judged: bool = complete(formats[which], &[heads[which], &bytes].concat());
        }
    }

    #[test]
    fn riff_says_its_length_and_others_say_nothing() {
        let webp = [&b"RIFF\x14\0\0\0WEBP"[..], &[1; 16]].concat();
        check("a WebP", Format::Webp, &webp, webp.len());
        assert!(complete(Format::Gif, b"GIF89a"));
        assert!(!complete(Format::Gif, b""));
    }
}
