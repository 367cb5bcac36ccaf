//! A file's bytes out of the vault: streamed, opened chunk by chunk, checked; interrupted, they go on where they were.
//!
//! Memory is bounded by two chunks (8 MiB) of ciphertext and two of plaintext a file. What was written when an error is
//! returned is a beginning, authentic but to be thrown away.

use crate::api::{Api, ApiFailure, Located, ObjectBody, ObjectKind};
use crate::buffers::{Buffer, Buffers};
use crate::catalog::Part;
use crate::event::{Event, Events};
use crate::keys::Unreadable;
use backon::BackoffBuilder as _;
use bytes::Bytes;
use darkslide_crypto::keys::FileKey;
use darkslide_crypto::stream::{SEALED_CHUNK_LEN, StreamDecryptor, StreamError, StreamHeader, blob};
use darkslide_crypto::{ContentHash, ContentHasher};
use darkslide_media::live_container::{self, ExtractError};
use darkslide_protocol::FileId;
use darkslide_protocol::limits::OBJECT_BYTES_MAX;
use http::StatusCode;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::mpsc;
use url::Url;

/// The largest thumbnail that is read, in bytes of ciphertext; stock clients aim at 100 KiB.
const THUMBNAIL_BYTES_MAX: usize = 32 * 1024 * 1024;

pub(crate) const NO_PANIC: &str = "file work does not panic and is not aborted";

/// What is wrong with a file of the vault, or kept its bytes from arriving.
#[derive(Debug, Error)]
pub enum ContentError {
    /// Its key or metadata do not open.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The server does not have its bytes, or fails on them and on nothing else.
    #[error(
        "the server no longer has all its bytes, or cannot read them; `darkslide server status` there names what is lost, for whoever runs it to bring back from a backup"
    )]
    Missing,
    /// The stream's header, without which nothing opens, is not one.
    #[error("its header is damaged")]
    Header,
    /// The bytes end too early, go on too long, or do not open.
    #[error("its stored bytes are damaged: {0}")]
    Stream(#[from] StreamError),
    /// The thumbnail does not open.
    #[error("its thumbnail is damaged")]
    Thumbnail,
    /// The bytes open and are another picture's.
    #[error("its bytes are not those that were backed up: their content hash differs")]
    HashMismatch,
    /// The Live Photo cannot be taken apart.
    #[error(transparent)]
    Container(#[from] ExtractError),
    /// The server was not reached or refused.
    #[error(transparent)]
    Api(#[from] ApiFailure),
    /// The bytes could not be written, or read back, on this device.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

impl ContentError {
    /// A word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::Missing => "missing",
            Self::Header => "header",
            Self::Stream(StreamError::Truncated) => "truncated",
            Self::Stream(StreamError::TrailingData) => "trailingData",
            Self::Stream(_) => "altered",
            Self::Thumbnail => "thumbnail",
            Self::HashMismatch => "hashMismatch",
            Self::Container(_) => "container",
            Self::Api(_) => "server",
            Self::Write(_) => "write",
        }
    }

    /// Whether the vault's copy is at fault, rather than the network or this device.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Api(_) | Self::Write(_))
    }

    /// What of the vault's copy would be whole if it was sent again. Not what no key opens, nor what was put in as it is.
    pub(crate) fn damaged_part(&self) -> Option<Part> {
        match self {
            Self::Missing | Self::Header | Self::Stream(_) | Self::HashMismatch => Some(Part::Original),
            Self::Thumbnail => Some(Part::Thumbnail),
            Self::Unreadable(_) | Self::Container(_) | Self::Api(_) | Self::Write(_) => None,
        }
    }
}

/// Which file's bytes, and what opens them.
#[derive(Debug)]
pub struct Source<'a> {
    /// The file.
    pub file: FileId,
    /// Its key.
    pub key: &'a FileKey,
    /// The stream header of the object that is read.
    pub header: StreamHeader,
}

/// Tells the listener how many bytes of one file have arrived.
#[derive(Clone, Debug)]
pub struct Progress<'a> {
    /// Where events go.
    pub events: &'a Events,
    /// The file, as the events name it.
    pub name: Arc<Path>,
}

impl Progress<'_> {
    async fn moved(&self, bytes: usize) {
        let name = Arc::clone(&self.name);
        self.events.send(Event::Moved { name, bytes: bytes as u64 }).await;
    }
}

/// Writes a file's plaintext to `writer`, and gives the writer back when all of it is there and authentic. One chunk arrives while the
/// one before is opened, and the one before that is written.
pub async fn download<W: Write + Send + 'static>(
    api: &Api,
    source: &Source<'_>,
    writer: W,
    progress: &Progress<'_>,
) -> Result<W, ContentError> {
    let (mut arriving, sealed) = belt();
    let (opening, opened) = belt();
    let decryptor = StreamDecryptor::new(source.key, &source.header);
    let opened_all = tokio::task::spawn_blocking(move || open_all(sealed, decryptor, opening));
    let written_all = tokio::task::spawn_blocking(move || write_all(opened, writer));
    receive(&mut Incoming::new(api, source.file, ObjectKind::Original), &mut arriving, progress).await?;
    drop(arriving);
    // A writer that failed is why nothing more was opened.
    let written = written_all.await.expect(NO_PANIC)?;
    opened_all.await.expect(NO_PANIC)?;
    Ok(written)
}

/// Writes a file's plaintext into a new file, and tells the hash of what it wrote. It is not flushed.
pub async fn download_into(
    api: &Api,
    source: &Source<'_>,
    file: &File,
    progress: &Progress<'_>,
) -> Result<ContentHash, ContentError> {
    let writer = darkslide_disk::Writer::new(file.try_clone()?, 0);
    let (mut writer, content) = download(api, source, Hashed::new(writer), progress).await?.finish();
    blocking(move || writer.end::<&[u8]>(&[], |_| ())).await?;
    Ok(content)
}

/// Puts what arrives on the belt, a chunk at a time, for as long as somebody takes it.
async fn receive(
    incoming: &mut Incoming<'_>,
    belt: &mut Loading,
    progress: &Progress<'_>,
) -> Result<(), ContentError> {
    let Some(mut sealed) = belt.empty.recv().await else { return Ok(()) };
    while let Some(mut piece) = incoming.next().await? {
        progress.moved(piece.len()).await;
        while !piece.is_empty() {
            let room = SEALED_CHUNK_LEN - sealed.len();
            sealed.extend_from_slice(&piece.split_to(room.min(piece.len())));
            if sealed.len() == SEALED_CHUNK_LEN {
                if belt.full.send(sealed).await.is_err() {
                    return Ok(());
                }
                let Some(emptied) = belt.empty.recv().await else { return Ok(()) };
                sealed = emptied;
            }
        }
    }
    if !sealed.is_empty() {
        // If nobody takes it, whoever should have says why.
        let _ = belt.full.send(sealed).await;
    }
    Ok(())
}

/// Opens chunks until there are no more. Blocks.
fn open_all(
    mut sealed: Unloading,
    mut decryptor: StreamDecryptor,
    mut opened: Loading,
) -> Result<(), ContentError> {
    while let Some(chunk) = sealed.full.blocking_recv() {
        let Some(mut plain) = opened.empty.blocking_recv() else { return Ok(()) };
        decryptor.decrypt_chunk(&chunk, &mut plain)?;
        sealed.give_back(chunk);
        if opened.full.blocking_send(plain).is_err() {
            return Ok(());
        }
    }
    Ok(decryptor.finish()?)
}

/// Writes chunks until there are no more. Blocks.
fn write_all<W: Write>(mut opened: Unloading, mut writer: W) -> Result<W, ContentError> {
    while let Some(plain) = opened.full.blocking_recv() {
        writer.write_all(&plain)?;
        opened.give_back(plain);
    }
    Ok(writer)
}

/// Buffers between two stages: while one is filled, the other is emptied, and there is no third.
const BUFFERS_ON_A_BELT: usize = 2;

/// Where a stage gets empty buffers and puts full ones.
struct Loading {
    empty: mpsc::Receiver<Vec<u8>>,
    full: mpsc::Sender<Vec<u8>>,
}

/// Where the next stage gets full buffers and gives them back.
struct Unloading {
    full: mpsc::Receiver<Vec<u8>>,
    empty: mpsc::Sender<Vec<u8>>,
}

impl Unloading {
    fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        // There is room for all that there are, and if nobody fills them any more, nobody needs them.
        let _ = self.empty.try_send(buffer);
    }
}

fn belt() -> (Loading, Unloading) {
    let (full, to_empty) = mpsc::channel(BUFFERS_ON_A_BELT);
    let (empty, to_fill) = mpsc::channel(BUFFERS_ON_A_BELT);
    let unloading = Unloading { full: to_empty, empty };
    for _ in 0..BUFFERS_ON_A_BELT {
        unloading.give_back(Vec::new());
    }
    (Loading { empty: to_fill, full }, unloading)
}

/// A file's ciphertext as it lies in the vault, which is expected to have so many bytes; none if it has more than `most`.
pub(crate) async fn download_sealed(
    api: &Api,
    source: &Source<'_>,
    (expected, most): (usize, usize),
    buffers: &Buffers,
    progress: &Progress<'_>,
) -> Result<Option<Buffer>, ContentError> {
    let mut incoming = Incoming::new(api, source.file, ObjectKind::Original);
    let mut sealed = buffers.take(expected.min(most));
    while let Some(piece) = incoming.next().await? {
        if sealed.len() + piece.len() > most {
            return Ok(None);
        }
        sealed.extend_from_slice(&piece);
    }
    progress.moved(sealed.len()).await;
    Ok(Some(sealed))
}

/// Fetches and opens a thumbnail: JPEG bytes.
pub async fn download_thumbnail(api: &Api, source: &Source<'_>) -> Result<Vec<u8>, ContentError> {
    let mut incoming = Incoming::new(api, source.file, ObjectKind::Thumbnail);
    let mut sealed = Vec::new();
    while let Some(piece) = incoming.next().await? {
        if sealed.len() + piece.len() > THUMBNAIL_BYTES_MAX {
            return Err(ContentError::Thumbnail);
        }
        sealed.extend_from_slice(&piece);
    }
    let opened = blob::open(source.key, &sealed, &source.header).map_err(|_| ContentError::Thumbnail)?;
    Ok(opened.to_vec())
}

/// The ciphertext of one object, which goes on after interruptions.
struct Incoming<'a> {
    api: &'a Api,
    file: FileId,
    kind: ObjectKind,
    location: Option<Url>,
    body: Option<ObjectBody>,
    position: u64,
    /// Whether the location was asked for again since bytes last arrived.
    relocated: bool,
    delays: backon::ExponentialBackoff,
}

impl<'a> Incoming<'a> {
    fn new(api: &'a Api, file: FileId, kind: ObjectKind) -> Self {
        let delays = api.patience().build();
        Self { api, file, kind, location: None, body: None, position: 0, relocated: false, delays }
    }

    /// The next piece; `None` at the end of the object.
    async fn next(&mut self) -> Result<Option<Bytes>, ContentError> {
        loop {
            match self.advance().await {
                Ok(Some(piece)) => {
                    self.position += piece.len() as u64;
                    self.relocated = false;
                    self.delays = self.api.patience().build();
                    return Ok(Some(piece));
                }
                Ok(None) => return Ok(None),
                Err(failure) => self.recover(failure).await?,
            }
        }
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, ApiFailure> {
        if self.location.is_none() && self.body.is_none() {
            match self.position {
                0 => match self.api.object(self.kind, self.file).await? {
                    Located::Here(body) => self.body = Some(body),
                    Located::There(location) => self.location = Some(location),
                },
                _ => self.location = Some(self.api.object_location(self.kind, self.file).await?),
            }
        }
        if let (None, Some(location)) = (&self.body, &self.location) {
            self.body = Some(self.api.open_object(location, self.position).await?);
        }
        match &mut self.body {
            Some(body) => body.next().await,
            None => Ok(None),
        }
    }

    /// Waits before another attempt, or gives up. A location may have expired: it is asked for once more.
    async fn recover(&mut self, failure: ApiFailure) -> Result<(), ContentError> {
        self.body = None;
        let located = self.location.take().is_some();
        if failure.is_transient() {
            let Some(delay) = self.delays.next() else {
                let broken = located && failure.status() == Some(StatusCode::INTERNAL_SERVER_ERROR);
                return Err(if broken { ContentError::Missing } else { failure.into() });
            };
            tokio::time::sleep(delay).await;
            return Ok(());
        }
        if located && !self.relocated {
            self.relocated = true;
            return Ok(());
        }
        Err(if failure.is_missing() { ContentError::Missing } else { failure.into() })
    }
}

/// Runs file work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect(NO_PANIC)
}

/// Hashes what passes through to another writer.
#[derive(Debug)]
pub struct Hashed<W> {
    inner: W,
    hasher: ContentHasher,
}

impl<W> Hashed<W> {
    /// Nothing has passed yet.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: ContentHasher::new() }
    }

    /// The writer, and the hash of all that passed.
    pub fn finish(self) -> (W, ContentHash) {
        (self.inner, self.hasher.finish())
    }
}

/// Bytes that are worth a thread of their own to hash them while they are written.
const HASHED_BESIDE_MIN: usize = 1 << 20;

impl<W: Write + Send> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() >= HASHED_BESIDE_MIN {
            self.write_all(bytes)?;
            return Ok(bytes.len());
        }
        let written = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    /// After a failure the hash is that of nothing.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Self { inner, hasher } = self;
        if bytes.len() < HASHED_BESIDE_MIN {
            hasher.update(bytes);
            return inner.write_all(bytes);
        }
        std::thread::scope(|scope| {
            scope.spawn(|| hasher.update(bytes));
            inner.write_all(bytes)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The two halves of a Live Photo, with the hash of each, and the extensions that their names had.
#[derive(Debug)]
pub struct LiveParts<W> {
    /// The still.
    pub image: (W, ContentHash),
    /// The video.
    pub video: (W, ContentHash),
    /// The video's extension, without its dot.
    pub video_extension: String,
}

/// Takes a Live Photo's container apart.
pub fn split_live_photo<W: Write + Send>(
    container: impl Read + Seek,
    image: W,
    video: W,
) -> Result<LiveParts<W>, ContentError> {
    let (mut image, mut video) = (Hashed::new(image), Hashed::new(video));
    let extracted = live_container::extract(container, OBJECT_BYTES_MAX, &mut image, &mut video)?;
    Ok(LiveParts { image: image.finish(), video: video.finish(), video_extension: extracted.video_extension })
}

impl<W> LiveParts<W> {
    /// The content hash of the Live Photo as a whole.
    pub fn content_hash(&self) -> ContentHash {
        ContentHash::live_photo(self.image.1, self.video.1).expect("the hash of each half is a single one")
    }
}
