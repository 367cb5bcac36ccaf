//! Bytes on their way out: a range over the blobs that make up one object.
//!
//! One buffer a reader; the network's pace is the disk's.

use super::incoming::blocking;
use super::{BlobName, ObjectError, Objects};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::ops::Range;
use std::path::Path;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

/// How many bytes are read at a time.
const READ_BYTES: usize = 256 * 1024;

/// One blob of an object, in the object's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it lies.
    pub name: BlobName,
    /// Where in the blob it begins, in bytes: not 0 in a pack.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

impl Objects {
    /// The bytes of a range (end exclusive) of the object that the segments make up. The first blob is opened before this returns,
    /// so that what is missing is an error and not a broken answer.
    pub async fn read(
        &self,
        segments: &[Segment],
        range: Range<u64>,
    ) -> Result<impl Stream<Item = Result<Bytes, ObjectError>> + Send + use<>, ObjectError> {
        let mut wanted = self.wanted(segments, range).into_iter();
        let first = match wanted.next() {
            Some((path, within)) => Some(open(path, within).await?),
            None => None,
        };
        let rest = stream::iter(wanted).then(|(path, within)| open(path, within)).try_flatten();
        Ok(stream::iter(first).flatten().chain(rest))
    }

    /// Which bytes of which files.
    fn wanted(&self, segments: &[Segment], range: Range<u64>) -> Vec<(std::path::PathBuf, Range<u64>)> {
        let mut start = 0;
        let mut wanted = Vec::new();
        for segment in segments {
            let end = start + segment.length;
            let from = range.start.max(start);
            let to = range.end.min(end);
            if from < to {
                let offset = segment.offset;
                wanted.push((self.path_of(&segment.name), offset + from - start..offset + to - start));
            }
            start = end;
        }
        wanted
    }
}

async fn open(
    path: std::path::PathBuf,
    within: Range<u64>,
) -> Result<impl Stream<Item = Result<Bytes, ObjectError>> + Send, ObjectError> {
    let length = within.end - within.start;
    let (file, path) = blocking(move || open_at(&path, within.start).map(|file| (file, path))).await??;
    let mut file = tokio::fs::File::from_std(file);
    file.set_max_buf_size(READ_BYTES);
    let buffer = usize::try_from(length).map_or(READ_BYTES, |length| length.clamp(1, READ_BYTES));
    let stream = ReaderStream::with_capacity(file.take(length), buffer);
    Ok(stream.map_err(move |error| ObjectError::disk("read", &path)(error)))
}

fn open_at(path: &Path, start: u64) -> Result<File, ObjectError> {
    let mut file = File::open(path).map_err(ObjectError::disk("open", path))?;
    if start > 0 {
        file.seek(SeekFrom::Start(start)).map_err(ObjectError::disk("seek in", path))?;
    }
    Ok(file)
}
