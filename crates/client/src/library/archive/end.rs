//! Where an archive ends: its directory is found from there. Bytes behind it, as some downloads put there, and a comment that looks like an end are no
//! reason to refuse it; two archives in one file are.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use super::ArchiveError;

/// Bytes of the record at an archive's end, without its comment.
const END_LEN: usize = 22;

/// Where the record of an archive's end (4.3.16) ends: of the last one whose comment goes to the end of the file, because a comment may have in
/// it what looks like one. Where there is none, something is behind the archive: then of the one behind a directory. Where there is none of these
/// either, it has no end, or far too much is behind it: then that of the file.
pub(super) fn behind_the_directory(mut file: &File) -> Result<u64, ArchiveError> {
    let len = file.metadata()?.len();
    let begin = len.saturating_sub((END_LEN + usize::from(u16::MAX)) as u64);
    file.seek(SeekFrom::Start(begin))?;
    let mut tail = Vec::new();
    file.take(len - begin).read_to_end(&mut tail)?;
    let is_end = |(at, record): &(usize, &[u8])| match record {
        [b'P', b'K', 5, 6, .., low, high] => {
            at + END_LEN + usize::from(u16::from_le_bytes([*low, *high])) == tail.len()
        }
        _ => false,
    };
    if let Some((at, _)) = tail.windows(END_LEN).enumerate().rfind(is_end) {
        return Ok(begin + (at + END_LEN) as u64);
    }
    let mut ends = Vec::new();
    for (at, record) in tail.windows(END_LEN).enumerate() {
        if let [b'P', b'K', 5, 6, fields @ ..] = record {
            ends.extend(End::behind_a_directory(file, begin + at as u64, fields)?);
        }
    }
    let Some(last) = ends.pop() else { return Ok(len) };
    if !ends.iter().all(|other| last.holds(other)) {
        return Err(ArchiveError::Damaged("another archive is behind its end".to_owned()));
    }
    Ok(last.at + END_LEN as u64)
}

/// The record of an archive's end, and what is before it.
#[derive(Debug)]
struct End {
    /// Where it stands in the file, as the others.
    at: u64,
    directory: u64,
    begin: u64,
}

impl End {
    /// The record at this place, given by the fields behind its signature, if it stands behind a directory of entries.
    fn behind_a_directory(file: &File, at: u64, fields: &[u8]) -> io::Result<Option<Self>> {
        let [_, _, _, _, _, _, count_low, count_high, directory @ .., _, _] = fields else { return Ok(None) };
        let [size @ .., a, b, c, d] = directory else { return Ok(None) };
        let Ok(size) = size.try_into().map(u32::from_le_bytes) else { return Ok(None) };
        let (count, offset) =
            (u16::from_le_bytes([*count_low, *count_high]), u32::from_le_bytes([*a, *b, *c, *d]));
        // What is too large for it stands in a record before it (4.3.15), somewhere behind the directory.
        if count == u16::MAX || size == u32::MAX || offset == u32::MAX {
            let Some(locator) = at.checked_sub(20) else { return Ok(None) };
            let is_there = signature(file, locator)? == Some(*b"PK\x06\x07");
            return Ok(is_there.then_some(Self { at, directory: locator, begin: 0 }));
        }
        let place = at.checked_sub(u64::from(size)).filter(|_| size > 0);
        let Some(directory) = place else { return Ok(None) };
        let Some(begin) = directory.checked_sub(u64::from(offset)) else { return Ok(None) };
        let is_there = signature(file, directory)? == Some(*b"PK\x01\x02");
        Ok(is_there.then_some(Self { at, directory, begin }))
    }

    /// Whether another one lies in this archive, as that of an archive in it does.
    fn holds(&self, other: &Self) -> bool {
        (self.begin..self.directory).contains(&other.at)
    }
}

/// The four bytes at a place; none where the file ends before.
fn signature(mut file: &File, at: u64) -> io::Result<Option<[u8; 4]>> {
    let mut bytes = [0; 4];
    file.seek(SeekFrom::Start(at))?;
    match file.read_exact(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        read => read.map(|()| Some(bytes)),
    }
}
