//! Bytes on their way out: a range over the blobs that make up one object.
//!
//! One buffer a reader, and one on its way; the network's pace is the disk's.

use super::incoming::blocking;
use super::{BlobName, ObjectError, Objects};
use bytes::Bytes;
use darkslide_disk::Reader;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use std::fs::{self, File, Metadata};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use tokio::task::JoinHandle;

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
    /// The bytes of a range (end exclusive) of the object that the segments make up. All its blobs are looked at before this returns, so
    /// that what is missing, or [lost](ObjectError::Lost) because a blob is too short, is an error and not a broken answer.
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
        let further = wanted.as_slice().to_vec();
        if !further.is_empty() {
            blocking(move || {
                further.iter().try_for_each(|(path, within)| must_hold(path, within, fs::metadata(path)))
            })
            .await??;
        }
        let rest = stream::iter(wanted).then(|(path, within)| open(path, within)).try_flatten();
        Ok(stream::iter(first).flatten().chain(rest))
    }

    /// Which bytes of which files.
    fn wanted(&self, segments: &[Segment], range: Range<u64>) -> Vec<(PathBuf, Range<u64>)> {
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

/// What one read came to.
struct Step {
    bytes: Bytes,
    /// None at the end.
    rest: Option<(Reader, PathBuf)>,
}

/// A read that is over, or under way.
enum Reading {
    Done(Step),
    Begun(JoinHandle<Result<Step, ObjectError>>),
}

/// While one piece is sent, the next is read.
async fn open(
    path: PathBuf,
    within: Range<u64>,
) -> Result<impl Stream<Item = Result<Bytes, ObjectError>> + Send, ObjectError> {
    let first = blocking(move || {
        let file = File::open(&path).map_err(ObjectError::disk("open", &path))?;
        must_hold(&path, &within, file.metadata())?;
        read(Reader::new(file, within), path)
    });
    let first = Reading::Done(first.await??);
    Ok(stream::try_unfold(Some(first), async |reading| {
        let step = match reading {
            None => return Ok(None),
            Some(Reading::Done(step)) => step,
            Some(Reading::Begun(step)) => step.await.map_err(|_| ObjectError::Stopping)??,
        };
        let begin = |(reader, path)| Reading::Begun(tokio::task::spawn_blocking(move || read(reader, path)));
        Ok(Some((step.bytes, step.rest.map(begin))))
    }))
}

/// Fails when a blob ends before the bytes that are wanted of it do.
fn must_hold(path: &Path, within: &Range<u64>, metadata: io::Result<Metadata>) -> Result<(), ObjectError> {
    let length = metadata.map_err(ObjectError::disk("look at", path))?.len();
    if length < within.end { Err(ObjectError::Lost(path.to_owned())) } else { Ok(()) }
}

fn read(mut reader: Reader, path: PathBuf) -> Result<Step, ObjectError> {
    let piece = reader.next_piece().map_err(ObjectError::disk("read", &path))?;
    let bytes = piece.map(Bytes::from_owner).unwrap_or_default();
    if bytes.is_empty() && !reader.is_over() {
        return Err(ObjectError::disk("read", &path)(io::ErrorKind::UnexpectedEof.into()));
    }
    let rest = (!reader.is_over()).then_some((reader, path));
    Ok(Step { bytes, rest })
}
