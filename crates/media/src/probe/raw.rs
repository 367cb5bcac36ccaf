//! Raw formats that are no TIFF files: Canon CR3 and CRW, Fujifilm RAF.

use time::OffsetDateTime;

use super::exif::{self, Meaning};
use super::source::{Source, le16, le32};
use super::{Findings, iso_media, jpeg, text_of};
use crate::dates::{DateSource, Reading};

/// The `uuid` box of `moov` under which Canon keeps EXIF, in three TIFFs.
const CANON: [u8; 16] =
    [0x85, 0xC0, 0xB6, 0x87, 0x82, 0x0F, 0x11, 0xE0, 0x81, 0x11, 0xF4, 0xCE, 0x46, 0x2B, 0x6A, 0x48];

pub(super) fn read_cr3(source: &mut Source<'_>, found: &mut Findings) -> Option<()> {
    let movie = iso_media::top_level(source).into_iter().find(|item| &item.kind == b"moov")?;
    for child in movie.children(source, 0) {
        if &child.kind != b"uuid" || source.array::<16>(child.start)? != CANON {
            continue;
        }
        for part in child.children(source, 16) {
            let meaning = match &part.kind {
                b"CMT1" => Meaning::Main,
                b"CMT2" => Meaning::Exif,
                b"CMT4" => Meaning::Gps,
                _ => continue,
            };
            exif::read_as(source, part.start, meaning, found);
        }
    }
    Some(())
}

/// A JPEG preview with the whole EXIF; its place is told at byte 84. The preview's size is not the picture's.
pub(super) fn read_raf(source: &mut Source<'_>, found: &mut Findings) -> Option<()> {
    let at = source.u32_be(84)?;
    jpeg::read(source, at.into(), found);
    found.size = None;
    Some(())
}

/// CIFF: a heap whose directory is found through its last four bytes; directories nest.
pub(super) fn read_crw(source: &mut Source<'_>, found: &mut Findings) -> Option<()> {
    let start = u64::from(source.u32_le(2)?);
    let end = source.len();
    read_heap(source, start, end, 0, found)
}

fn read_heap(source: &mut Source<'_>, start: u64, end: u64, depth: u8, found: &mut Findings) -> Option<()> {
    const DEEPEST: u8 = 4;
    const MAX_RECORDS: u16 = 256;
    let directory = start.checked_add(source.u32_le(end.checked_sub(4)?)?.into())?;
    let count = le16(&source.array::<2>(directory)?, 0)?.min(MAX_RECORDS);
    let records = source.up_to(directory + 2, usize::from(count) * 10)?;
    for record in records.chunks_exact(10) {
        let (tag, len, offset) = (le16(record, 0)?, le32(record, 2)?, le32(record, 6)?);
        let at = start.saturating_add(offset.into());
        match tag {
            0x2807 | 0x300A if depth < DEEPEST => {
                read_heap(source, at, at.saturating_add(len.into()), depth + 1, found);
            }
            0x080A => drop(read_camera(source, at, len, found)),
            0x180E => drop(read_time(source, at, found)),
            0x1810 => {
                if let Some(size) = source.array::<8>(at) {
                    found.size = Some((le32(&size, 0)?, le32(&size, 4)?));
                }
            }
            _ => {}
        }
    }
    Some(())
}

/// Maker and model, each ended by NUL.
fn read_camera(source: &mut Source<'_>, at: u64, len: u32, found: &mut Findings) -> Option<()> {
    let bytes = source.bytes(at, usize::try_from(len).ok()?.min(256))?;
    let mut parts = bytes.split(|&byte| byte == 0);
    found.camera_make = parts.next().and_then(text_of);
    found.camera_model = parts.next().and_then(text_of);
    Some(())
}

/// Seconds since 1970 on the wall's clock.
fn read_time(source: &mut Source<'_>, at: u64, found: &mut Findings) -> Option<()> {
    let seconds = source.u32_le(at)?;
    let instant = OffsetDateTime::from_unix_timestamp(seconds.into()).ok()?;
    let local = time::PrimitiveDateTime::new(instant.date(), instant.time());
    found.claim(DateSource::ExifOriginal, Some(Reading::Local(local)).filter(|_| seconds != 0));
    Some(())
}
