//! Matroska and WebM, by way of `nom-exif`.

use std::io::{self, Read, Seek, SeekFrom};

use nom_exif::{MediaParser, MediaSource, TrackInfo, TrackInfoTag};

use super::Findings;
use super::source::Source;
use crate::dates::{DateSource, Reading, from_micros};

/// What describes the tracks stands before the pictures.
const HEAD_LEN: u64 = 512 << 10;

pub(super) fn read(source: &mut Source<'_>, found: &mut Findings) -> Option<()> {
    let track = parse(source)?;
    let number = |tag| track.get(tag).and_then(nom_exif::EntryValue::as_u32);
    if let (Some(width), Some(height)) = (number(TrackInfoTag::Width), number(TrackInfoTag::Height)) {
        found.size = Some((width, height));
    }
    found.duration_millis = track.get(TrackInfoTag::DurationMs).and_then(nom_exif::EntryValue::as_u64);
    let date = track.get(TrackInfoTag::CreateDate).and_then(nom_exif::EntryValue::as_datetime);
    let instant = date.and_then(|date| from_micros(date.aware()?.timestamp_micros()));
    found.claim(DateSource::Container, instant.map(Reading::Instant));
    Some(())
}

fn parse(source: &mut Source<'_>) -> Option<TrackInfo> {
    let media = MediaSource::seekable(Head { source, at: 0 }).ok()?;
    MediaParser::new().parse_track(media).ok()
}

/// The file's head as a reader, within the budget of the source.
struct Head<'s, 'r> {
    source: &'s mut Source<'r>,
    at: u64,
}

impl Read for Head<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(HEAD_LEN.saturating_sub(self.at)).unwrap_or(0);
        let bytes = self.source.up_to(self.at, buffer.len().min(left).min(64 << 10)).unwrap_or_default();
        buffer.get_mut(..bytes.len()).unwrap_or_default().copy_from_slice(&bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
}

impl Seek for Head<'_, '_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.source.len().checked_add_signed(by),
        };
        self.at = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
