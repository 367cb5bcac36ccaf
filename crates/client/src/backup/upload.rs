//! Large originals on their way to the server: whole, or so that they go on where they were.
//!
//! What is small goes in batches (`batch.rs`). Everything else comes here, and is sealed while it is sent: resumably where the
//! server can (`resumable.rs`), in parts where it cannot. What the server says that it took must then be what was sent. Nothing is
//! committed here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use darkslide_crypto::ContentHash;
use darkslide_crypto::keys::{FileKey, Wraps as _};
use darkslide_crypto::stream::{CHUNK_LEN, SEALED_CHUNK_LEN, StreamHeader, StreamPosition};
use darkslide_protocol::limits::{MINT_COUNT_MAX, OBJECT_BYTES_MAX};
use darkslide_protocol::upload::UploadUrl;
use darkslide_protocol::{ObjectKey, Opaque};
use tokio::sync::{OnceCell, Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::albums::Album;
use super::encrypt::{Seal, Sealed, Source};
use super::error::AssetError;
use super::gate::Gate;
use super::patience::Patience;
use super::request_limit::RequestLimit;
use crate::api::{AcknowledgedPart, Api, ApiFailure, ETag};
use crate::catalog::{Catalog, CollectionRow, PartRow, UploadRow};
use crate::event::{Event, Events};
use crate::keys::{collection_key, stream_header, wrapped_key};
use crate::library::device::AssetKind;
use crate::session::Session;

/// Ciphertext bytes up to which an object is put whole: below this a lost connection costs little.
pub const WHOLE_OBJECT_MAX: u64 = 16 << 20;

/// Plaintext bytes from which an object goes up resumably, where the server can: one chunk.
pub const RESUMABLE_MIN: u64 = CHUNK_LEN as u64;

/// Chunks in a part: 20,971,605 bytes of ciphertext, as stock clients cut them.
const PART_CHUNKS: u64 = 5;

/// Pieces that may wait between the cipher and the network.
const PIECES_WAITING_MAX: usize = 4;

/// How long minted URLs are kept in the pool. They are good for seven days.
const POOLED_URL_AGE_MAX: Duration = Duration::from_hours(24);

/// How old an upload in parts may be when it is gone on with, in microseconds: a day less than its URLs are good for.
const RESUMABLE_AGE_MAX: i64 = 6 * 24 * 60 * 60 * 1_000_000;

/// How often an upload whose session the server forgot is begun anew.
pub(super) const SESSIONS_MAX: usize = 3;

/// Upload URLs, minted many at a time so that small files cost few round trips.
#[derive(Debug)]
pub struct UrlPool {
    urls: Mutex<Vec<(Instant, UploadUrl)>>,
    minting: Semaphore,
    /// Whether the server takes uploads that can be resumed, asked once a run.
    resumable: OnceCell<bool>,
}

impl UrlPool {
    /// Empty.
    pub fn new() -> Self {
        Self { urls: Mutex::default(), minting: Semaphore::new(1), resumable: OnceCell::new() }
    }

    fn pop(&self) -> Option<UploadUrl> {
        let mut urls = self.urls.lock().unwrap_or_else(PoisonError::into_inner);
        urls.retain(|(minted, _)| minted.elapsed() < POOLED_URL_AGE_MAX);
        urls.pop().map(|(_, url)| url)
    }

    /// One URL; mints up to `expected` more when there is none left.
    async fn take(&self, api: &Api, expected: u64) -> Result<UploadUrl, AssetError> {
        let _minting = self.minting.acquire().await.expect("the semaphore is never closed");
        if let Some(url) = self.pop() {
            return Ok(url);
        }
        let count = u32::try_from(expected).unwrap_or(u32::MAX).clamp(1, MINT_COUNT_MAX);
        let minted = api.upload_urls(count).await?;
        let now = Instant::now();
        let mut urls = self.urls.lock().unwrap_or_else(PoisonError::into_inner);
        urls.extend(minted.into_iter().map(|url| (now, url)));
        // A server that mints nothing does not keep the API.
        urls.pop().map(|(_, url)| url).ok_or(AssetError::Damaged)
    }
}

impl Default for UrlPool {
    fn default() -> Self {
        Self::new()
    }
}

/// An object that the server has, not yet committed.
#[derive(Debug)]
pub struct StoredObject {
    /// What the commit names it by.
    pub object_key: ObjectKey,
    /// Its stream header.
    pub header: StreamHeader,
    /// Ciphertext bytes.
    pub size: u64,
}

/// What sending needs.
#[derive(Clone, Copy, Debug)]
pub struct Uploads<'a> {
    /// The account.
    pub session: &'a Session,
    /// Where parts are recorded.
    pub catalog: &'a Catalog,
    /// How long failures are borne.
    pub patience: &'a Patience,
    /// Where URLs come from.
    pub urls: &'a UrlPool,
    /// Objects that are still to be sent in this run, roughly.
    pub expected: u64,
    /// Ciphertext bytes that were handed to the network.
    pub sent: &'a Arc<AtomicU64>,
    /// Who hears of progress.
    pub events: &'a Events,
    /// The present, µs since the epoch.
    pub now: i64,
    /// What every part passes.
    pub(super) gate: &'a Gate,
    /// What one request may have.
    pub(super) limit: &'a RequestLimit,
    /// The device's own library, if it is one that is backed up.
    pub(super) library: Option<&'a [u8]>,
}

/// What is sent, and under which name its progress is told.
#[derive(Clone, Debug)]
pub struct Original {
    /// How people call it.
    pub name: Arc<std::path::Path>,
    /// What it is.
    pub kind: AssetKind,
    /// Its name by content.
    pub content: ContentHash,
    /// Its plaintext.
    pub source: Source,
    /// The key of the file that it becomes a new version of; that of a new file is drawn when it is needed.
    pub key: Option<Arc<FileKey>>,
}

impl Original {
    /// A key for another stream.
    pub(super) fn new_key(&self) -> FileKey {
        self.key.as_ref().map_or_else(FileKey::generate, |key| FileKey::take(*key.expose()))
    }

    /// Whether what was begun under a key can be gone on with.
    fn fits(&self, key: &FileKey) -> bool {
        self.key.as_deref().is_none_or(|own| own == key)
    }
}

impl Uploads<'_> {
    /// Sends an original whichever way suits its size; gives the file key that was made or gone on with.
    pub async fn send_original(
        self,
        original: &Original,
        album: &Album,
    ) -> Result<(FileKey, StoredObject), AssetError> {
        let len = original.source.sealed_len().filter(|len| *len <= OBJECT_BYTES_MAX);
        let len = len.ok_or(AssetError::TooLarge)?;
        let is_divided = original.source.len() >= RESUMABLE_MIN || !self.limit.takes(len);
        if is_divided && self.are_resumable().await? {
            return self.send_resumable(original, album, len).await;
        }
        if len <= WHOLE_OBJECT_MAX {
            let sent = self.patience.persist(|| self.send_whole(original, len)).await;
            return sent.map_err(|error| self.limit.weigh(len, error));
        }
        self.send_parts(original, album, len).await
    }

    /// Whether the server takes uploads that can be gone on with.
    pub(super) async fn are_resumable(self) -> Result<bool, AssetError> {
        let ask = || async { Ok(self.session.api.takes_resumable_uploads().await?) };
        self.urls.resumable.get_or_try_init(|| self.patience.persist(ask)).await.copied()
    }

    /// Every attempt has a key, a header and an URL of its own: there is nothing to go on with.
    async fn send_whole(self, original: &Original, len: u64) -> Result<(FileKey, StoredObject), AssetError> {
        let _turn = self.gate.turn().await;
        let load = self.gate.pass(original.kind, len)?;
        let url = self.urls.take(&self.session.api, self.expected).await?;
        let (key, header) = (original.new_key(), StreamHeader::generate());
        let seal = Arc::new(Seal { source: original.source.clone(), key, header });
        self.send_range(&original.name, &url.url, &seal, StreamPosition::start(&header), len).await?;
        load.arrived();
        if !seal.source.is_unchanged() {
            return Err(AssetError::Changed);
        }
        let key = Arc::into_inner(seal).expect("the sealing thread has ended").key;
        Ok((key, StoredObject { object_key: url.object_key, header, size: len }))
    }

    async fn send_parts(
        self,
        original: &Original,
        album: &Album,
        len: u64,
    ) -> Result<(FileKey, StoredObject), AssetError> {
        for _ in 0..SESSIONS_MAX {
            let upload = match self.resumed(original, len).await? {
                Some(upload) => upload,
                None => self.begun(original, album, len).await?,
            };
            match self.send_rest(original, upload).await {
                Err(error) if error.is_missing() => self.catalog.end_upload(&original.content).await?,
                Err(AssetError::Changed) => {
                    self.catalog.end_upload(&original.content).await?;
                    return Err(AssetError::Changed);
                }
                other => return other,
            }
        }
        Err(AssetError::Damaged)
    }

    /// The upload of this very content that was begun before, if its key still opens and its URLs are still good.
    async fn resumed(self, original: &Original, len: u64) -> Result<Option<Upload>, AssetError> {
        let Some((row, parts)) = self.catalog.upload(&original.content).await? else { return Ok(None) };
        let reachable = row.server == self.session.api.server().to_string();
        let fresh = self.now.saturating_sub(row.began) < RESUMABLE_AGE_MAX && row.length == len && reachable;
        let collection = self.catalog.collection(row.collection).await?.filter(|_| fresh);
        let wrapped = (&row.encrypted_key, &row.key_nonce);
        let opened = collection.and_then(|collection| self.seal(original, &collection, wrapped, &row.header));
        Ok(opened.and_then(|seal| Upload::at_last_part(seal, row, parts)))
    }

    /// The key and header that a record pinned to this very content; `None` if they do not open.
    pub(super) fn seal(
        self,
        original: &Original,
        collection: &CollectionRow,
        (encrypted_key, key_nonce): (&Opaque, &Opaque),
        header: &Opaque,
    ) -> Option<Seal> {
        let collection = collection_key(&self.session.keys, collection).ok()?;
        let key = collection.unwrap_key(&wrapped_key(encrypted_key, key_nonce)?).ok()?;
        original.fits(&key).then_some(())?;
        Some(Seal { source: original.source.clone(), key, header: stream_header(header)? })
    }

    /// A new session under a new key and header, pinned to the content before the first byte is sent.
    async fn begun(self, original: &Original, album: &Album, len: u64) -> Result<Upload, AssetError> {
        let part_len = PART_CHUNKS * SEALED_CHUNK_LEN as u64;
        let count = u32::try_from(len.div_ceil(part_len)).map_err(|_| AssetError::TooLarge)?;
        let mint = || async { Ok(self.session.api.multipart_upload_urls(count).await?) };
        let urls = self.patience.persist(mint).await?;
        if urls.part_urls.len() != count as usize {
            return Err(AssetError::Damaged);
        }
        let (key, header) = (original.new_key(), StreamHeader::generate());
        let wrapped = album.key.wrap_key(&key);
        let row = UploadRow {
            content_hash: original.content,
            server: self.session.api.server().to_string(),
            collection: album.id,
            encrypted_key: Opaque::encode(wrapped.ciphertext),
            key_nonce: Opaque::encode(wrapped.nonce.as_bytes()),
            header: Opaque::encode(header.as_bytes()),
            object_key: urls.object_key,
            part_urls: urls.part_urls,
            complete_url: urls.complete_url,
            part_chunks: PART_CHUNKS,
            length: len,
            began: self.now,
        };
        self.catalog.begin_upload(&row).await?;
        let seal = Seal { source: original.source.clone(), key, header };
        Ok(Upload {
            position: Some(StreamPosition::start(&header)),
            seal: Arc::new(seal),
            row,
            done: Vec::new(),
        })
    }

    async fn send_rest(
        self,
        original: &Original,
        mut upload: Upload,
    ) -> Result<(FileKey, StoredObject), AssetError> {
        while let Some(position) = upload.position {
            let part = upload.next_part().ok_or(AssetError::Damaged)?;
            let attempt = || async {
                let _turn = self.gate.turn().await;
                let load = self.gate.pass(original.kind, part.len)?;
                let sent =
                    self.send_range(&original.name, part.url, &upload.seal, position, part.len).await?;
                load.arrived();
                Ok(sent)
            };
            let sent = self.patience.persist(attempt).await;
            let (etag, sealed) = sent.map_err(|error| self.limit.weigh(part.len, error))?;
            let acknowledged = PartRow {
                number: part.number,
                etag: etag.0,
                position: sealed.after.map(|after| Opaque::encode(after.to_bytes()).0).unwrap_or_default(),
            };
            self.catalog.acknowledge_part(&original.content, &acknowledged).await?;
            upload.done.push(acknowledged);
            upload.position = sealed.after;
        }
        let parts = upload.parts();
        let complete = || async { Ok(self.session.api.complete(&upload.row.complete_url, &parts).await?) };
        self.patience.persist(complete).await?;
        if !upload.seal.source.is_unchanged() {
            return Err(AssetError::Changed);
        }
        let seal = Arc::into_inner(upload.seal).expect("the sealing threads have ended");
        let Seal { key, header, .. } = seal;
        Ok((key, StoredObject { object_key: upload.row.object_key, header, size: upload.row.length }))
    }

    /// Seals and sends one range at once: the cipher on a thread of its own, a few pieces ahead of the network.
    async fn send_range(
        self,
        name: &Arc<std::path::Path>,
        url: &str,
        seal: &Arc<Seal>,
        position: StreamPosition,
        len: u64,
    ) -> Result<(ETag, Sealed), AssetError> {
        let seal = Arc::clone(seal);
        let (body, sealing) = self.sealed_body(name, move |send| seal.seal_range(position, len, send));
        let put = self.session.api.put_part(url, body, len, None).await;
        match outcome(put, sealing.await.expect("sealing does not panic"))? {
            (etag, sealed) if is_md5(&etag, &sealed.md5) => Ok((etag, sealed)),
            _ => Err(AssetError::Damaged),
        }
    }

    /// A body that is sealed while it is sent, on a thread of its own, a few pieces ahead of the network; and what sealing comes to.
    pub(super) fn sealed_body<T: Send + 'static>(
        self,
        name: &Arc<std::path::Path>,
        seal: impl FnOnce(&mut dyn FnMut(Bytes) -> bool) -> std::io::Result<T> + Send + 'static,
    ) -> (reqwest::Body, JoinHandle<std::io::Result<T>>) {
        let (pieces, mut waiting) = mpsc::channel::<std::io::Result<Bytes>>(PIECES_WAITING_MAX);
        let (events, sent, name) = (self.events.clone(), Arc::clone(self.sent), Arc::clone(name));
        let sealing = tokio::task::spawn_blocking(move || {
            let mut send = |piece: Bytes| {
                let bytes = piece.len() as u64;
                let taken = pieces.blocking_send(Ok(piece)).is_ok();
                if taken {
                    sent.fetch_add(bytes, Ordering::Relaxed);
                    events.send_blocking(Event::Moved { name: Arc::clone(&name), bytes });
                }
                taken
            };
            let sealed = seal(&mut send);
            if sealed.is_err() {
                // Breaks the request off: it must not look like one that ended early by itself.
                let _ = pieces.blocking_send(Err(std::io::ErrorKind::InvalidData.into()));
            }
            sealed
        });
        let body = futures_util::stream::poll_fn(move |context| waiting.poll_recv(context));
        (reqwest::Body::wrap_stream(body), sealing)
    }
}

/// What a request and the sealing of its body came to together.
pub(super) fn outcome<A, S>(
    answered: Result<A, ApiFailure>,
    sealed: std::io::Result<S>,
) -> Result<(A, S), AssetError> {
    match (answered, sealed) {
        (Ok(answered), Ok(sealed)) => Ok((answered, sealed)),
        // The thread only noticed that nobody was listening any more.
        (Err(failure), Err(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(failure.into()),
        (_, Err(error)) => Err(AssetError::reading(error)),
        (Err(failure), Ok(_)) => Err(failure.into()),
    }
}

/// Whether the server's tag is the MD5 of what was sent, quotes and letter case aside.
fn is_md5(etag: &ETag, md5: &[u8; 16]) -> bool {
    let hex = format!("{:032x}", u128::from_be_bytes(*md5));
    etag.0.trim_matches('"').eq_ignore_ascii_case(&hex)
}

/// An upload in parts, and how far it is.
#[derive(Debug)]
struct Upload {
    seal: Arc<Seal>,
    row: UploadRow,
    done: Vec<PartRow>,
    /// Before the next part; none when all are there.
    position: Option<StreamPosition>,
}

struct NextPart<'a> {
    number: u64,
    url: &'a str,
    len: u64,
}

impl Upload {
    /// Takes up the parts that were acknowledged, as far as they have no gap. `None` if the records contradict
    /// themselves.
    fn at_last_part(seal: Seal, row: UploadRow, parts: Vec<PartRow>) -> Option<Self> {
        let in_turn = parts.into_iter().zip(1..).take_while(|(part, number)| part.number == *number);
        let done: Vec<PartRow> = in_turn.map(|(part, _)| part).collect();
        let position = match done.last() {
            None => Some(StreamPosition::start(&seal.header)),
            Some(_) if done.len() == row.part_urls.len() => None,
            Some(last) => {
                let bytes = Opaque(last.position.clone()).decode().ok()?;
                let position = StreamPosition::from_slice(&bytes).ok()?;
                let expected = done.len() as u64 * row.part_chunks;
                Some(position).filter(|position| u64::from(position.chunk_index()) == expected)?.into()
            }
        };
        Some(Self { seal: Arc::new(seal), row, done, position })
    }

    fn next_part(&self) -> Option<NextPart<'_>> {
        let part_len = self.row.part_chunks * SEALED_CHUNK_LEN as u64;
        let url = self.row.part_urls.get(self.done.len())?;
        let before = self.done.len() as u64 * part_len;
        let len = self.row.length.checked_sub(before)?.min(part_len);
        Some(NextPart { number: self.done.len() as u64 + 1, url, len })
    }

    fn parts(&self) -> Vec<AcknowledgedPart> {
        let part = |part: &PartRow| AcknowledgedPart {
            number: u32::try_from(part.number).unwrap_or(u32::MAX),
            etag: ETag(part.etag.clone()),
        };
        self.done.iter().map(part).collect()
    }
}
