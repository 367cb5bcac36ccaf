//! Reading a file to know what is in it, as long as nobody writes to it.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};

use darkslide_crypto::{ContentHash, ContentHasher};

use super::scan::Stat;

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;

/// What a file has from here on; none if it was written to since `before`.
pub(crate) fn content_of(
    file: &mut File,
    before: &Metadata,
    mut progress: impl FnMut(u64),
) -> io::Result<Option<ContentHash>> {
    content_while(file, before, |bytes| {
        progress(bytes);
        true
    })
}

/// The same; none also where it was not to go on.
pub(super) fn content_while(
    file: &mut File,
    before: &Metadata,
    mut goes_on: impl FnMut(u64) -> bool,
) -> io::Result<Option<ContentHash>> {
    let mut hasher = ContentHasher::new();
    let mut buffer = vec![0; READ_BYTES.min(usize::try_from(before.len()).unwrap_or(READ_BYTES)).max(1)];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                hasher.update(buffer.get(..count).unwrap_or_default());
                if !goes_on(count as u64) {
                    return Ok(None);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let is_what_it_was = Stat::of(&file.metadata()?) == Stat::of(before);
    Ok(is_what_it_was.then(|| hasher.finish()))
}
