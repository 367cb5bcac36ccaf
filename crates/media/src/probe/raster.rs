//! PNG, GIF, WebP, BMP, PSD, JPEG XL and AVI: a size in a header, and EXIF and XMP in chunks.

use std::io::Cursor;

use super::source::{Source, be32, le16, le32};
use super::{Findings, exif, iso_media, xmp};

/// A large PNG is some thousands of small chunks.
const MAX_CHUNKS: usize = 16 << 10;

/// PNG (W3C, third edition): length, type, data, CRC.
pub(super) fn read_png(source: &mut Source<'_>, found: &mut Findings) -> Option<()> {
    let mut at = 8;
    for _ in 0..MAX_CHUNKS {
        let head: [u8; 8] = source.array(at)?;
        let (len, data) = (be32(&head, 0)?, at + 8);
        match head.last_chunk::<4>()? {
            b"IHDR" => {
                let size: [u8; 8] = source.array(data)?;
                found.size = Some((be32(&size, 0)?, be32(&size, 4)?));
            }
            b"eXIf" => drop(exif::read(source, data, found)),
            b"iTXt" => drop(read_png_text(source, data, len, found)),
            b"IEND" => return Some(()),
            _ => {}
        }
        at = data.checked_add(u64::from(len) + 4)?;
    }
    Some(())
}

/// Keyword, compression flag and method, language, translated keyword, text.
fn read_png_text(source: &mut Source<'_>, at: u64, len: u32, found: &mut Findings) -> Option<()> {
    const KEYWORD: &[u8] = b"XML:com.adobe.xmp\0\0\0";
    let len = usize::try_from(len).ok()?.min(xmp::MAX_PACKET_LEN);
    if len > KEYWORD.len() && source.bytes(at, KEYWORD.len())? == KEYWORD {
        xmp::read(&source.up_to(at, len)?, found);
    }
    Some(())
}

pub(super) fn read_gif(source: &mut Source<'_>, found: &mut Findings) -> Option<()> {
    let screen: [u8; 4] = source.array(6)?;
    found.size = Some((le16(&screen, 0)?.into(), le16(&screen, 2)?.into()));
    Some(())
}

/// RFC 9649.
pub(super) fn read_webp(source: &mut Source<'_>, found: &mut Findings) -> Option<()> {
    let mut at = 12;
    for _ in 0..MAX_CHUNKS {
        let head: [u8; 8] = source.array(at)?;
        let (len, data) = (le32(&head, 4)?, at + 8);
        match head.first_chunk::<4>()? {
            b"VP8X" => {
                let canvas: [u8; 10] = source.array(data)?;
                let less_one = |at| Some((le32(&canvas, at)? & 0x00FF_FFFF) + 1);
                let width = less_one(4)?;
                // The last three bytes; the fourth below them belongs to the width.
                found.size = Some((width, (le32(&canvas, 6)? >> 8) + 1));
            }
            b"VP8 " if found.size.is_none() => {
                let frame: [u8; 10] = source.array(data)?;
                found.size =
                    Some((u32::from(le16(&frame, 6)? & 0x3FFF), u32::from(le16(&frame, 8)? & 0x3FFF)));
            }
            b"VP8L" if found.size.is_none() => {
                let bits = le32(&source.array::<5>(data)?, 1)?;
                found.size = Some(((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1));
            }
            b"EXIF" => {
                // Some writers keep JPEG's prefix.
                let prefixed = source.array::<6>(data)? == *b"Exif\0\0";
                exif::read(source, if prefixed { data + 6 } else { data }, found);
            }
            b"XMP " => {
                let len = usize::try_from(len).ok()?.min(xmp::MAX_PACKET_LEN);
                xmp::read(&source.up_to(data, len)?, found);
            }
            _ => {}
        }
        at = data + u64::from(len) + u64::from(len & 1);
    }
    Some(())
}

/// The height is negative where rows go from top to bottom.
pub(super) fn read_bmp(source: &mut Source<'_>, found: &mut Findings) -> Option<()> {
    let header: [u8; 12] = source.array(14)?;
    found.size = Some(if le32(&header, 0)? == 12 {
        (le16(&header, 4)?.into(), le16(&header, 6)?.into())
    } else {
        let signed = i32::from_le_bytes(*header.last_chunk()?);
        (le32(&header, 4)?, signed.unsigned_abs())
    });
    Some(())
}

pub(super) fn read_psd(source: &mut Source<'_>, found: &mut Findings) -> Option<()> {
    let size: [u8; 8] = source.array(14)?;
    found.size = Some((be32(&size, 4)?, be32(&size, 0)?));
    Some(())
}

/// The main header `avih` is the first chunk of the first list: RIFF, AVI, LIST, hdrl, avih.
pub(super) fn read_avi(source: &mut Source<'_>, found: &mut Findings) -> Option<()> {
    let head: [u8; 72] = source.array(0)?;
    if head.get(24..28)? != b"avih" {
        return None;
    }
    let (micros, frames) = (u64::from(le32(&head, 32)?), u64::from(le32(&head, 48)?));
    found.duration_millis = Some(micros * frames / 1000).filter(|&millis| millis > 0);
    found.size = Some((le32(&head, 64)?, le32(&head, 68)?));
    Some(())
}

/// ISO/IEC 18181-2: naked, or boxes with EXIF (after four bytes of offset) and XMP. Compressed ones (`brob`) are
/// not read.
pub(super) fn read_jxl(source: &mut Source<'_>, found: &mut Findings) -> Option<()> {
    let head = source.up_to(0, 64 << 10)?;
    if let Ok(size) = imagesize::reader_size(Cursor::new(&head)) {
        found.size = Some((u32::try_from(size.width).ok()?, u32::try_from(size.height).ok()?));
    }
    if head.starts_with(&[0xFF, 0x0A]) {
        return Some(());
    }
    // The codestream's header turns the pixels itself; EXIF's orientation is ignored, as the standard says.
    found.container_orientation = Some(1);
    for part in iso_media::top_level(source) {
        match &part.kind {
            b"Exif" => {
                let Some(skip) = source.u32_be(part.start) else { continue };
                exif::read(source, part.start.saturating_add(4).saturating_add(skip.into()), found);
            }
            b"xml " => {
                if let Some(packet) = part.head(source, xmp::MAX_PACKET_LEN) {
                    xmp::read(&packet, found);
                }
            }
            _ => {}
        }
    }
    Some(())
}
