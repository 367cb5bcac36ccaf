//! EXIF: a TIFF (TIFF 6.0, EXIF 2.32) at some place in a file, read by seeking.
//!
//! Only the directories that EXIF prescribes are visited, each once: IFD0, its Exif and GPS directories, the
//! sub-directories of raw formats, the thumbnail's IFD1. A directory cannot name itself here, so that a file cannot
//! make this run in circles.

use time::{Date, Month, PrimitiveDateTime, Time};

use super::source::Source;
use super::{Findings, text_of};
use crate::dates::{self, DateSource, Reading};
use crate::place::Place;

/// No camera writes more entries than this in one directory.
const MAX_ENTRIES: u16 = 512;
/// No value that is of use here is longer.
const MAX_VALUE_LEN: usize = 128 << 10;

/// A TIFF inside a file: where it begins and which byte order it has.
#[derive(Clone, Copy)]
struct Tiff {
    base: u64,
    little: bool,
}

/// One entry of a directory: 12 bytes.
#[derive(Clone, Copy)]
struct Entry {
    tag: u16,
    kind: u16,
    count: u32,
    value: [u8; 4],
}

struct Directory {
    entries: Vec<Entry>,
    next: u32,
}

/// Which meaning the tags of a lone directory have (Canon CR3 keeps each in a TIFF of its own).
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    Main,
    Exif,
    Gps,
}

/// A whole file that is a TIFF: TIFF itself and most raw formats.
pub(super) fn read_tiff(source: &mut Source<'_>, found: &mut Findings) -> Option<()> {
    read(source, 0, found)
}

/// EXIF whose TIFF header stands at `base`.
pub(super) fn read(source: &mut Source<'_>, base: u64, found: &mut Findings) -> Option<()> {
    let (tiff, first) = Tiff::open(source, base)?;
    let main = tiff.directory(source, first)?;
    read_main(source, tiff, &main, found);
    if let Some(exif) = tiff.linked(source, &main, 0x8769) {
        read_exif(source, tiff, &exif, found);
    }
    if let Some(gps) = tiff.linked(source, &main, 0x8825) {
        read_gps(source, tiff, &gps, found);
    }
    read_sub_images(source, tiff, &main, found);
    read_thumbnail(source, tiff, main.next, found)
}

/// A TIFF whose only directory has the given meaning.
pub(super) fn read_as(
    source: &mut Source<'_>,
    base: u64,
    meaning: Meaning,
    found: &mut Findings,
) -> Option<()> {
    let (tiff, first) = Tiff::open(source, base)?;
    let directory = tiff.directory(source, first)?;
    match meaning {
        Meaning::Main => read_main(source, tiff, &directory, found),
        Meaning::Exif => read_exif(source, tiff, &directory, found),
        Meaning::Gps => read_gps(source, tiff, &directory, found),
    }
    Some(())
}

fn read_main(source: &mut Source<'_>, tiff: Tiff, main: &Directory, found: &mut Findings) {
    found.camera_make = tiff.text(source, main, 0x010F).or(found.camera_make.take());
    found.camera_model = tiff.text(source, main, 0x0110).or(found.camera_model.take());
    let orientation = tiff.number(main, 0x0112).and_then(|value| u8::try_from(value).ok());
    found.orientation = orientation.filter(|value| (1..=8).contains(value)).or(found.orientation);
    read_size(tiff, main, [0x0100, 0x0101], found);
    let modified = tiff.date(source, main, 0x0132, None, None);
    found.claim(DateSource::ExifModified, modified);
    // Some programs put the tag of the Exif directory here.
    let original = tiff.date(source, main, 0x9003, Some(0x9291), Some(0x9011));
    found.claim(DateSource::ExifOriginal, original);
}

fn read_exif(source: &mut Source<'_>, tiff: Tiff, exif: &Directory, found: &mut Findings) {
    let original = tiff.date(source, exif, 0x9003, Some(0x9291), Some(0x9011));
    found.claim(DateSource::ExifOriginal, original);
    let digitized = tiff.date(source, exif, 0x9004, Some(0x9292), Some(0x9012));
    found.claim(DateSource::ExifDigitized, digitized);
    read_size(tiff, exif, [0xA002, 0xA003], found);
    if let Some(note) = exif.get(0x927C).and_then(|entry| tiff.place_of(source, entry)) {
        read_apple_note(source, note, found);
    }
}

fn read_size(tiff: Tiff, directory: &Directory, [width, height]: [u16; 2], found: &mut Findings) {
    if let (Some(width), Some(height)) = (tiff.number(directory, width), tiff.number(directory, height)) {
        found.grow_exif_size(width, height);
    }
}

/// Raw formats keep the full picture in a sub-directory (0x014A) and a preview in the first.
fn read_sub_images(source: &mut Source<'_>, tiff: Tiff, main: &Directory, found: &mut Findings) {
    const MOST: usize = 8;
    let Some(bytes) = main.get(0x014A).and_then(|entry| tiff.value(source, entry)) else { return };
    for offset in bytes.chunks_exact(4).take(MOST).filter_map(|chunk| tiff.u32(chunk, 0)) {
        if let Some(sub) = tiff.directory(source, offset) {
            read_size(tiff, &sub, [0x0100, 0x0101], found);
        }
    }
}

fn read_thumbnail(source: &mut Source<'_>, tiff: Tiff, at: u32, found: &mut Findings) -> Option<()> {
    let directory = tiff.directory(source, at).filter(|_| at != 0)?;
    let offset = tiff.number(&directory, 0x0201)?;
    let len = u64::from(tiff.number(&directory, 0x0202)?);
    let start = tiff.base + u64::from(offset);
    let inside = len > 0 && start.checked_add(len)? <= source.len();
    found.embedded_thumbnail = inside.then_some((start, len));
    Some(())
}

fn read_gps(source: &mut Source<'_>, tiff: Tiff, gps: &Directory, found: &mut Findings) {
    if let Some(place) = read_place(source, tiff, gps) {
        found.place = Some(place);
    }
    let reading = read_gps_time(source, tiff, gps);
    found.claim(DateSource::Gps, reading);
}

fn read_place(source: &mut Source<'_>, tiff: Tiff, gps: &Directory) -> Option<Place> {
    let mut degrees = |value: u16, reference: u16, negative: char| {
        let [degrees, minutes, seconds] = tiff.triple(source, gps, value)?;
        let sign = tiff.text(source, gps, reference)?.to_ascii_uppercase().starts_with(negative);
        let absolute = degrees + minutes / 60.0 + seconds / 3600.0;
        Some(if sign { -absolute } else { absolute })
    };
    Place::new(degrees(0x0002, 0x0001, 'S')?, degrees(0x0004, 0x0003, 'W')?)
}

/// Both the date and the time of day must be there; a date alone says nothing of when.
fn read_gps_time(source: &mut Source<'_>, tiff: Tiff, gps: &Directory) -> Option<Reading> {
    let stamp = tiff.text(source, gps, 0x001D)?;
    let mut numbers = stamp.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse::<u32>().ok());
    let (year, month, day) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()?;
    let [hours, minutes, seconds] = tiff.triple(source, gps, 0x0007)?;
    let day_seconds = hours * 3600.0 + minutes * 60.0 + seconds;
    let time = (0.0..86_400.0).contains(&day_seconds).then(|| time::Duration::seconds_f64(day_seconds))?;
    let instant = PrimitiveDateTime::new(date, Time::MIDNIGHT).assume_utc().checked_add(time)?;
    Some(Reading::Instant(instant))
}

/// Apple's MakerNote: `Apple iOS\0`, a version, a byte order, and a directory whose offsets count from the note's
/// first byte. Tag 0x11 is the content identifier that the video of a Live Photo repeats.
fn read_apple_note(source: &mut Source<'_>, note: u64, found: &mut Findings) -> Option<()> {
    let head: [u8; 14] = source.array(note)?;
    if !head.starts_with(b"Apple iOS\0") {
        return None;
    }
    let tiff = Tiff { base: note, little: head.ends_with(b"II") };
    let directory = tiff.directory(source, 14)?;
    found.live_identifier = tiff.text(source, &directory, 0x0011).filter(|identifier| identifier.len() <= 64);
    Some(())
}

impl Directory {
    fn get(&self, tag: u16) -> Option<Entry> {
        self.entries.iter().copied().find(|entry| entry.tag == tag)
    }
}

impl Tiff {
    /// The header and the offset of the first directory. Olympus and Panasonic have magics of their own.
    fn open(source: &mut Source<'_>, base: u64) -> Option<(Self, u32)> {
        let head: [u8; 8] = source.array(base)?;
        let tiff = Self { base, little: head.starts_with(b"II") };
        let known = head.starts_with(b"II") || head.starts_with(b"MM");
        let magic = tiff.u16(&head, 2)?;
        let first = tiff.u32(&head, 4)?;
        (known && matches!(magic, 42 | 0x55 | 0x4F52 | 0x5352)).then_some((tiff, first))
    }

    fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let chunk = *bytes.get(at..)?.first_chunk()?;
        Some(if self.little { u16::from_le_bytes(chunk) } else { u16::from_be_bytes(chunk) })
    }

    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let chunk = *bytes.get(at..)?.first_chunk()?;
        Some(if self.little { u32::from_le_bytes(chunk) } else { u32::from_be_bytes(chunk) })
    }

    fn at(self, offset: u32) -> u64 {
        self.base.saturating_add(offset.into())
    }

    /// A directory as far as the file goes: a truncated one gives the entries that are there.
    fn directory(self, source: &mut Source<'_>, offset: u32) -> Option<Directory> {
        let at = self.at(offset);
        let count = self.u16(&source.array::<2>(at)?, 0)?.min(MAX_ENTRIES);
        let bytes = source.up_to(at + 2, usize::from(count) * 12 + 4)?;
        let entries =
            bytes.chunks_exact(12).take(count.into()).filter_map(|chunk| self.entry(chunk)).collect();
        let next = self.u32(&bytes, usize::from(count) * 12).unwrap_or(0);
        Some(Directory { entries, next })
    }

    fn entry(self, chunk: &[u8]) -> Option<Entry> {
        Some(Entry {
            tag: self.u16(chunk, 0)?,
            kind: self.u16(chunk, 2)?,
            count: self.u32(chunk, 4)?,
            value: chunk.get(8..12)?.try_into().ok()?,
        })
    }

    fn linked(self, source: &mut Source<'_>, from: &Directory, tag: u16) -> Option<Directory> {
        let offset = self.number(from, tag)?;
        self.directory(source, offset)
    }

    fn len_of(entry: Entry) -> Option<usize> {
        let unit = match entry.kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 => 8,
            _ => return None,
        };
        usize::try_from(entry.count).ok()?.checked_mul(unit).filter(|&len| len <= MAX_VALUE_LEN)
    }

    /// Where in the file a value lies that is too long for its entry.
    fn place_of(self, source: &Source<'_>, entry: Entry) -> Option<u64> {
        let at = self.at(self.u32(&entry.value, 0)?);
        (Self::len_of(entry)? > 4 && at < source.len()).then_some(at)
    }

    fn value(self, source: &mut Source<'_>, entry: Entry) -> Option<Vec<u8>> {
        let len = Self::len_of(entry)?;
        match entry.value.get(..len) {
            Some(inline) => Some(inline.to_vec()),
            None => source.bytes(self.at(self.u32(&entry.value, 0)?), len),
        }
    }

    /// The first number of an entry of SHORT or LONG.
    fn number(self, directory: &Directory, tag: u16) -> Option<u32> {
        let entry = directory.get(tag)?;
        match entry.kind {
            3 => self.u16(&entry.value, 0).map(u32::from),
            4 | 13 => self.u32(&entry.value, 0),
            _ => None,
        }
    }

    fn text(self, source: &mut Source<'_>, directory: &Directory, tag: u16) -> Option<String> {
        // A tag may come twice, the first time blank.
        directory.entries.iter().filter(|entry| entry.tag == tag).take(2).find_map(|entry| {
            let bytes = self.value(source, *entry).filter(|bytes| bytes.len() <= 1024)?;
            text_of(&bytes)
        })
    }

    /// A date with the sub-seconds and the zone that EXIF keeps in tags of their own.
    fn date(
        self,
        source: &mut Source<'_>,
        directory: &Directory,
        tag: u16,
        sub_seconds: Option<u16>,
        offset: Option<u16>,
    ) -> Option<Reading> {
        let reading = dates::parse(&self.text(source, directory, tag)?)?;
        let Reading::Local(local) = reading else { return Some(reading) };
        let digits = sub_seconds.and_then(|tag| self.text(source, directory, tag)).unwrap_or_default();
        let nanos = dates::nanos_of_fraction(&digits);
        let local = if nanos > 0 { local.replace_nanosecond(nanos).ok()? } else { local };
        let offset = offset.and_then(|tag| dates::parse_offset(&self.text(source, directory, tag)?));
        Some(offset.map_or(Reading::Local(local), |offset| Reading::Zoned(local.assume_offset(offset))))
    }

    /// Three RATIONALs; HTC phones wrote them as text, `52,00000,50,00000,34,01180` with decimal commas.
    fn triple(self, source: &mut Source<'_>, directory: &Directory, tag: u16) -> Option<[f64; 3]> {
        let entry = directory.get(tag)?;
        let bytes = self.value(source, entry)?;
        let numbers: Vec<f64> = match entry.kind {
            5 | 10 => bytes.chunks_exact(8).map(|chunk| self.rational(chunk)).collect::<Option<_>>()?,
            2 => comma_numbers(&text_of(&bytes)?)?,
            _ => return None,
        };
        // Some programs leave trailing zeros out.
        match *numbers.as_slice() {
            [a, b, c] => Some([a, b, c]),
            [a, b] => Some([a, b, 0.0]),
            [a] => Some([a, 0.0, 0.0]),
            _ => None,
        }
    }

    /// 0/0 is how “unknown” is written, and is nothing; so is a sign where there can be none.
    fn rational(self, chunk: &[u8]) -> Option<f64> {
        let (above, below) = (self.u32(chunk, 0)?, self.u32(chunk, 4)?);
        (below != 0).then(|| f64::from(above) / f64::from(below))
    }
}

fn comma_numbers(text: &str) -> Option<Vec<f64>> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    if parts.len() != 6 {
        return parts.iter().map(|part| part.parse().ok()).collect();
    }
    parts.chunks_exact(2).map(|pair| pair.join(".").parse().ok()).collect()
}
