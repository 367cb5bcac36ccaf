//! MP4, QuickTime and 3GPP: the movie header, the first video track, and the metadata that phones add.

use time::OffsetDateTime;

use super::iso_media::{self, MediaBox};
use super::source::{Source, be16, be32, be64};
use super::{Findings, text_of};
use crate::dates::{self, DateSource, Reading};
use crate::place::Place;

/// Seconds from 1904-01-01, where QuickTime counts from, to 1970-01-01.
const EPOCH_1904: i64 = 2_082_844_800;
const MAX_TEXT_LEN: usize = 4096;
const MAX_KEYS_LEN: usize = 64 << 10;

pub(super) fn read(source: &mut Source<'_>, found: &mut Findings) -> Option<()> {
    let movie = iso_media::top_level(source).into_iter().find(|item| &item.kind == b"moov")?;
    for child in movie.children(source, 0) {
        match &child.kind {
            b"mvhd" => drop(read_header(source, child, found)),
            b"trak" if found.size.is_none() => drop(read_track(source, child, found)),
            b"mvex" if found.duration_millis.is_none_or(|millis| millis == 0) => {
                read_fragment_duration(source, child, movie, found);
            }
            b"udta" => read_user_data(source, child, found),
            b"meta" => drop(read_meta(source, child, found)),
            _ => {}
        }
    }
    Some(())
}

/// Only the date of the movie header, for image sequences.
pub(super) fn read_header_date(source: &mut Source<'_>, movie: MediaBox, found: &mut Findings) -> Option<()> {
    let header = movie.child(source, *b"mvhd")?;
    read_header(source, header, found);
    found.duration_millis = None;
    Some(())
}

/// Creation time, time scale and duration, each as wide as the version says.
fn read_header(source: &mut Source<'_>, mvhd: MediaBox, found: &mut Findings) -> Option<()> {
    let (created, scale, duration) = header_fields(&mvhd.head(source, 32)?)?;
    let since_1970 = i64::try_from(created).ok()?.checked_sub(EPOCH_1904)?;
    let instant = OffsetDateTime::from_unix_timestamp(since_1970).ok();
    // Zero is 1904: the writer had no clock.
    found.claim(DateSource::Container, instant.filter(|_| created != 0).map(Reading::Instant));
    found.duration_millis = millis(duration, scale);
    Some(())
}

fn header_fields(bytes: &[u8]) -> Option<(u64, u32, u64)> {
    if bytes.first()? == &1 {
        return Some((be64(bytes, 4)?, be32(bytes, 20)?, be64(bytes, 24)?));
    }
    // All ones mean “not known”.
    let duration = be32(bytes, 16).filter(|&duration| duration != u32::MAX).unwrap_or(0);
    Some((be32(bytes, 4)?.into(), be32(bytes, 12)?, duration.into()))
}

/// Nothing lasts a hundred years.
fn millis(duration: u64, scale: u32) -> Option<u64> {
    const CENTURY: u128 = 100 * 366 * 86_400 * 1000;
    let millis = (u128::from(duration) * 1000).checked_div(scale.into())?;
    u64::try_from(millis).ok().filter(|&millis| millis > 0 && u128::from(millis) < CENTURY)
}

/// A fragmented movie says its length in `mehd`, in the movie's time scale.
fn read_fragment_duration(
    source: &mut Source<'_>,
    mvex: MediaBox,
    movie: MediaBox,
    found: &mut Findings,
) -> Option<()> {
    let mehd = mvex.child(source, *b"mehd")?.head(source, 12)?;
    let duration = if mehd.first()? == &1 { be64(&mehd, 4)? } else { be32(&mehd, 4)?.into() };
    let (_, scale, _) = header_fields(&movie.child(source, *b"mvhd")?.head(source, 32)?)?;
    found.duration_millis = millis(duration, scale);
    Some(())
}

/// Size and rotation of a track, if it is video.
fn read_track(source: &mut Source<'_>, trak: MediaBox, found: &mut Findings) -> Option<()> {
    let handler = trak.child(source, *b"mdia")?.child(source, *b"hdlr")?.head(source, 12)?;
    if handler.get(8..12)? != b"vide" {
        return None;
    }
    let bytes = trak.child(source, *b"tkhd")?.head(source, 96)?;
    let at = if bytes.first()? == &1 { 52 } else { 40 };
    // Fixed point 16.16.
    let size = (be32(&bytes, at + 36)? >> 16, be32(&bytes, at + 40)? >> 16);
    let matrix = [be32(&bytes, at)?, be32(&bytes, at + 4)?, be32(&bytes, at + 12)?, be32(&bytes, at + 16)?];
    if size.0 > 0 && size.1 > 0 {
        found.size = Some(size);
        found.container_orientation = Some(orientation_of(matrix));
    }
    Some(())
}

/// The four numbers of the matrix that turn, by their signs.
fn orientation_of(matrix: [u32; 4]) -> u8 {
    match matrix.map(|number| i32::from_be_bytes(number.to_be_bytes()).signum()) {
        [0, 1, -1, 0] => 6,
        [-1, 0, 0, -1] => 3,
        [0, -1, 1, 0] => 8,
        [-1, 0, 0, 1] => 2,
        [1, 0, 0, -1] => 4,
        [0, 1, 1, 0] => 5,
        [0, -1, -1, 0] => 7,
        _ => 1,
    }
}

/// QuickTime user data: `©xyz` and its like are a length, a language and a text. MP4 nests `meta` here.
fn read_user_data(source: &mut Source<'_>, udta: MediaBox, found: &mut Findings) {
    for child in udta.children(source, 0) {
        match &child.kind {
            b"meta" => drop(read_meta(source, child, found)),
            b"loci" => drop(read_3gpp_location(source, child, found)),
            [0xA9, name @ ..] => {
                let Some(bytes) = child.bytes(source, MAX_TEXT_LEN) else { continue };
                let Some(text) = user_text(&bytes) else { continue };
                match name {
                    b"xyz" => found.place = found.place.or_else(|| Place::from_iso_6709(&text)),
                    b"mak" => found.camera_make = found.camera_make.take().or(Some(text)),
                    b"mod" => found.camera_model = found.camera_model.take().or(Some(text)),
                    b"day" => found.claim(DateSource::QuickTimeCreationDate, zoned(&text)),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

fn user_text(bytes: &[u8]) -> Option<String> {
    let len = usize::from(be16(bytes, 0)?);
    text_of(bytes.get(4..4 + len).or_else(|| bytes.get(4..))?)
}

/// `©day` is often a bare year; only a date with its zone is better than the movie header.
fn zoned(text: &str) -> Option<Reading> {
    dates::parse(text).filter(|reading| matches!(reading, Reading::Zoned(_)))
}

/// 3GPP TS 26.244 §8.10: language, name, role, then longitude and latitude as fixed point 16.16.
fn read_3gpp_location(source: &mut Source<'_>, loci: MediaBox, found: &mut Findings) -> Option<()> {
    let bytes = loci.bytes(source, MAX_TEXT_LEN)?;
    let name = bytes.get(6..)?;
    let after = name.get(name.iter().position(|&byte| byte == 0)? + 2..)?;
    let degrees = |at| Some(f64::from(i32::from_be_bytes(be32(after, at)?.to_be_bytes())) / 65_536.0);
    found.place = found.place.or(Place::new(degrees(4)?, degrees(0)?));
    Some(())
}

/// `keys` names the items, `ilst` holds them by number. In QuickTime `meta` is a plain box, in MP4 it has four
/// bytes of version and flags before its children.
fn read_meta(source: &mut Source<'_>, meta: MediaBox, found: &mut Findings) -> Option<()> {
    let head = meta.head(source, 8)?;
    let skip = if head.get(4..8) == Some(b"hdlr") { 0 } else { 4 };
    let inside = meta.children(source, skip);
    let child = |kind: &[u8; 4]| inside.iter().find(|item| &item.kind == kind);
    let keys = child(b"keys")?.bytes(source, MAX_KEYS_LEN)?;
    let names = key_names(&keys);
    for item in child(b"ilst")?.children(source, 0) {
        let number = usize::try_from(u32::from_be_bytes(item.kind)).ok();
        let name = number.and_then(|number| names.get(number.checked_sub(1)?)).copied();
        let Some(name) = name.filter(|name| name.starts_with(b"com.")) else { continue };
        let data = item.child(source, *b"data").and_then(|data| data.bytes(source, MAX_TEXT_LEN));
        let Some(text) = data.and_then(|data| text_of(data.get(8..)?)) else { continue };
        take_key(name, text, found);
    }
    Some(())
}

fn take_key(name: &[u8], text: String, found: &mut Findings) {
    match name {
        b"com.apple.quicktime.content.identifier" => {
            found.live_identifier = Some(text).filter(|text| text.len() <= 64);
        }
        b"com.apple.quicktime.creationdate" => {
            found.claim(DateSource::QuickTimeCreationDate, dates::parse(&text));
        }
        b"com.apple.quicktime.location.ISO6709" => {
            found.place = Place::from_iso_6709(&text).or(found.place);
        }
        b"com.apple.quicktime.make" | b"com.android.manufacturer" => found.camera_make = Some(text),
        b"com.apple.quicktime.model" | b"com.android.model" => found.camera_model = Some(text),
        _ => {}
    }
}

/// Version and flags, a count, then for each its size, its namespace and its name.
fn key_names(keys: &[u8]) -> Vec<&[u8]> {
    let mut names = Vec::new();
    let mut rest = keys.get(8..).unwrap_or_default();
    while let Some(size) = be32(rest, 0).and_then(|size| usize::try_from(size).ok()) {
        let Some(name) = rest.get(8..size) else { break };
        names.push(name);
        rest = rest.get(size..).unwrap_or_default();
    }
    names
}
