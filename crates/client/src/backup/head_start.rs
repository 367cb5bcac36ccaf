//! Large new files are sent while they are hashed: one reading, and half the time.
//!
//! A key and its header must never meet two contents, and here the content is not known yet. So what may be sealed is pinned first: the hash
//! of all bytes up to there goes into the catalog, durably, and then these very bytes, which are still in memory, are sealed. A run that finds
//! a head start of an earlier one hashes the whole file before it sends more: if the file begins with what was pinned, the upload goes on as that of the
//! whole content (`resumable.rs`), and if not, its key is never used again.
//!
//! Only what is surely not in the vault has a head start: no object there has its length. Whatever fails here ends the head start and nothing else: the
//! file is hashed to its end, and sent as any other.

use std::collections::hash_map::Entry;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use darkslide_crypto::keys::{FileKey, Wraps as _};
use darkslide_crypto::stream::{
    SEALED_CHUNK_LEN, StreamEncryptor, StreamHeader, StreamPosition, ciphertext_len,
};
use darkslide_crypto::{ContentHash, ContentHasher};
use darkslide_protocol::Opaque;
use darkslide_protocol::tus::chunk_digest;
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::task::JoinHandle;

use super::error::AssetError;
use super::hash::{HashError, Hashed, Piece, hash_in_chunks};
use super::identify::Asset;
use super::run::Run;
use crate::catalog::{AssetPlace, HeadStart, ResumableRow};
use crate::event::Event;

/// Bytes from which on a file is worth it: less is hashed in a moment.
const HEAD_START_MIN: u64 = 128 << 20;

/// Chunks in one request: what a resumed run may have to make again to compare it.
const REQUEST_CHUNKS: u64 = 128;

/// A file with a head start.
pub(super) enum Head {
    /// It was begun in an earlier run.
    Before(Box<HeadStart>),
    /// It begins now.
    New(Box<Beginning>),
}

/// A key and a header that have met nothing yet.
pub(super) struct Beginning {
    start: HeadStart,
    cipher: StreamEncryptor,
    /// Kept until it is hashed.
    turn: OwnedMutexGuard<()>,
}

/// A chunk that was hashed and may be sealed once it is pinned.
struct Chunk {
    bytes: Piece,
    /// Plaintext bytes up to its end.
    end: u64,
    /// Of all of them.
    content: ContentHash,
}

/// What goes in one request.
#[derive(Clone, Copy)]
struct Stretch {
    chunks: u64,
    /// Whether the file ends with it.
    is_last: bool,
}

/// What sealing a request's chunks left behind.
struct Sealed {
    cipher: Option<StreamEncryptor>,
    /// Before the chunk that comes next, or before the last of all.
    position: StreamPosition,
    /// BLAKE3 of the ciphertext.
    digest: [u8; 32],
}

impl Run {
    /// The head start that a file had in an earlier run, or gets now; none where it is hashed first.
    pub(super) async fn head_start(&self, asset: &Asset) -> Result<Option<Head>, AssetError> {
        if asset.motion.is_some() || asset.size() < HEAD_START_MIN {
            return Ok(None);
        }
        let place = asset.catalogued();
        if let Some(start) = self.catalog.head_start(&place).await? {
            let is_ours = start.upload.server == self.session.api.server().to_string()
                && ciphertext_len(asset.size()) == Some(start.upload.length);
            if is_ours {
                return Ok(Some(Head::Before(Box::new(start))));
            }
            self.catalog.end_head_start(&place).await?;
            self.let_go(&start).await;
        }
        let Some(length) = self.may_run_ahead(asset, &place).await? else { return Ok(None) };
        let Some(turn) = self.first_of(length).await else { return Ok(None) };
        let begun = self.begin_ahead(asset, &place, length, turn).await?;
        Ok(begun.map(|begun| Head::New(Box::new(begun))))
    }

    /// The ciphertext bytes of a file that is surely new, where there is room for them and nothing to ask.
    async fn may_run_ahead(&self, asset: &Asset, place: &AssetPlace) -> Result<Option<u64>, AssetError> {
        let Some(length) = ciphertext_len(asset.size()) else { return Ok(None) };
        let is_allowed = self.settings.memory.runs_ahead && self.gate.is_open() && !self.halt.is_cancelled();
        let is_plain = !asset.is_changed && asset.offered.is_none_or(|offered| offered.replaces.is_none());
        if !is_allowed || !is_plain || !self.room.has(asset.size()) {
            return Ok(None);
        }
        let is_known = self.catalog.asset(&place.root, &place.path).await?.is_some();
        if is_known || self.catalog.has_object_of(length).await? || !self.uploads().are_resumable().await? {
            return Ok(None);
        }
        Ok(Some(length))
    }

    /// The turn of the first file of this length; none for others, which wait until that one is hashed.
    async fn first_of(&self, length: u64) -> Option<OwnedMutexGuard<()>> {
        let first = {
            let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
            match ahead.entry(length) {
                Entry::Occupied(first) => Arc::clone(first.get()),
                Entry::Vacant(place) => {
                    let turn = Arc::clone(place.insert(Arc::default()));
                    return turn.try_lock_owned().ok();
                }
            }
        };
        drop(first.lock().await);
        None
    }

    async fn begin_ahead(
        &self,
        asset: &Asset,
        place: &AssetPlace,
        length: u64,
        turn: OwnedMutexGuard<()>,
    ) -> Result<Option<Beginning>, AssetError> {
        let album = self.resolve(&asset.album).await?;
        // What is wrong is found out once more when the file is sent.
        let Ok(begun) = self.session.api.begin_upload(length).await else { return Ok(None) };
        let (key, header) = (FileKey::generate(), StreamHeader::generate());
        let wrapped = album.key.wrap_key(&key);
        let upload = ResumableRow {
            content_hash: ContentHasher::new().finish(),
            server: self.session.api.server().to_string(),
            collection: album.id,
            encrypted_key: Opaque::encode(wrapped.ciphertext),
            key_nonce: Opaque::encode(wrapped.nonce.as_bytes()),
            header: Opaque::encode(header.as_bytes()),
            object_key: begun.object_key,
            upload: begun.upload,
            length,
            began: self.now,
            checked: 0,
            position: Opaque::encode(StreamPosition::start(&header).to_bytes()),
        };
        let start = HeadStart { pinned: 0, upload };
        self.catalog.begin_head_start(place, &start).await?;
        Ok(Some(Beginning { start, cipher: StreamEncryptor::new(&key, &header), turn }))
    }

    /// Hashes a file that has a head start. Where that leads to its content, it is a resumable upload from now on.
    pub(super) async fn hashed_ahead(&self, asset: Asset, head: Head) -> (Asset, Result<Hashed, AssetError>) {
        let place = asset.catalogued();
        let (asset, hashed, start, fits) = match head {
            Head::Before(start) => {
                let (pinned, expected) = (start.pinned, start.upload.content_hash);
                let mut fits = pinned == 0;
                let halt = self.halt.clone();
                let hashing = tokio::task::spawn_blocking(move || {
                    let hashed = hash_in_chunks(&asset, |_, end, content| {
                        fits |= end == pinned && content == expected;
                        !halt.is_cancelled()
                    });
                    (asset, hashed, fits)
                });
                let (asset, hashed, fits) = hashing.await.expect("hashing does not panic");
                (asset, hashed, *start, fits)
            }
            Head::New(beginning) => {
                let Beginning { start, cipher, turn } = *beginning;
                let (chunks, hashed_chunks) = mpsc::channel(1);
                let name = asset.name();
                let hashing = self.hash_and_hand_on(asset, chunks);
                let sending = self.run_ahead(&place, &name, (&start.upload, cipher), hashed_chunks);
                let ((), hashing) = tokio::join!(sending, hashing);
                drop(turn);
                let (asset, hashed) = hashing.expect("hashing does not panic");
                (asset, hashed, start, true)
            }
        };
        let settled = self.settle_head_start(&place, &start, hashed.as_ref().ok().filter(|_| fits)).await;
        let hashed = match (settled, hashed) {
            (Err(error), _) => Err(error),
            (Ok(()), hashed) => hashed.map_err(AssetError::from),
        };
        (asset, hashed)
    }

    /// Hashes a file on a thread of its own; its chunks are handed on for as long as somebody takes them.
    fn hash_and_hand_on(
        &self,
        asset: Asset,
        chunks: mpsc::Sender<Chunk>,
    ) -> JoinHandle<(Asset, Result<Hashed, HashError>)> {
        let halt = self.halt.clone();
        tokio::task::spawn_blocking(move || {
            let hashed = hash_in_chunks(&asset, |bytes, end, content| {
                let _nobody_sends_any_more = chunks.blocking_send(Chunk { bytes, end, content });
                !halt.is_cancelled()
            });
            (asset, hashed)
        })
    }

    /// Makes a head start the upload of a content that begins with it, or lets it go. One that was stopped stays for the next run.
    async fn settle_head_start(
        &self,
        place: &AssetPlace,
        start: &HeadStart,
        hashed: Option<&Hashed>,
    ) -> Result<(), AssetError> {
        match hashed {
            Some(hashed) if self.catalog.settle_head_start(place, &hashed.content).await? => Ok(()),
            None if self.halt.is_cancelled() => Err(AssetError::Stopped),
            _ => {
                self.catalog.end_head_start(place).await?;
                self.let_go(start).await;
                Ok(())
            }
        }
    }

    async fn let_go(&self, start: &HeadStart) {
        if let Err(failure) = self.session.api.terminate_upload(&start.upload.upload).await {
            tracing::debug!(%failure, "a head start that is let go of will expire by itself");
        }
    }

    /// Pins chunks as they come, seals and sends them, until that fails, there are no more, or the run ends.
    async fn run_ahead(
        &self,
        place: &AssetPlace,
        name: &Arc<Path>,
        (row, cipher): (&ResumableRow, StreamEncryptor),
        mut chunks: mpsc::Receiver<Chunk>,
    ) {
        let (upload, length) = (row.upload.as_str(), row.length);
        let (mut cipher, mut checked) = (Some(cipher), 0);
        while let Some(at_start) = cipher.take() {
            let count = (length - checked).div_ceil(SEALED_CHUNK_LEN as u64).min(REQUEST_CHUNKS);
            let end = length.min(checked + count * SEALED_CHUNK_LEN as u64);
            let stretch = Stretch { chunks: count, is_last: end == length };
            let (pinned, body, sealing) = self.seal_pinned(name, at_start, stretch);
            let pinning = self.pin(place, &mut chunks, count, pinned);
            let sending = self.session.api.append_upload(upload, checked, body, end - checked);
            let (pinning, told, sealed) = tokio::join!(pinning, sending, sealing);
            let (Ok(()), Ok(told), Some(sealed)) = (pinning, told, sealed.expect("sealing does not panic"))
            else {
                return;
            };
            let position = Opaque::encode(sealed.position.to_bytes());
            let is_sound = told == chunk_digest(&sealed.digest);
            if !is_sound || self.catalog.advance_head_start(place, end, &position).await.is_err() {
                return;
            }
            (cipher, checked) = (sealed.cipher, end);
        }
    }

    /// Pins so many chunks, each before it may be sealed.
    async fn pin(
        &self,
        place: &AssetPlace,
        chunks: &mut mpsc::Receiver<Chunk>,
        count: u64,
        pinned: mpsc::Sender<Piece>,
    ) -> Result<(), ()> {
        for _ in 0..count {
            let Chunk { bytes, end, content } = tokio::select! {
                () = self.halt.cancelled() => return Err(()),
                chunk = chunks.recv() => chunk.ok_or(())?,
            };
            self.catalog.pin_head_start(place, end, &content).await.map_err(drop)?;
            pinned.send(bytes).await.map_err(drop)?;
        }
        Ok(())
    }

    /// A request's body, made of the chunks that are handed in, on a thread of its own; and what sealing them comes to, which is nothing
    /// where it broke off.
    fn seal_pinned(
        &self,
        name: &Arc<Path>,
        cipher: StreamEncryptor,
        stretch: Stretch,
    ) -> (mpsc::Sender<Piece>, reqwest::Body, JoinHandle<Option<Sealed>>) {
        let (pinned, chunks) = mpsc::channel::<Piece>(1);
        let (pieces, mut waiting) = mpsc::channel::<io::Result<Bytes>>(1);
        let (events, sent, name) = (self.events.clone(), Arc::clone(&self.sent), Arc::clone(name));
        let sealing = tokio::task::spawn_blocking(move || {
            let sealed = seal(cipher, chunks, stretch, |piece| {
                let bytes = piece.len() as u64;
                let taken = pieces.blocking_send(Ok(piece)).is_ok();
                if taken {
                    sent.fetch_add(bytes, Ordering::Relaxed);
                    events.send_blocking(Event::Moved { name: Arc::clone(&name), bytes });
                }
                taken
            });
            if sealed.is_none() {
                // Breaks the request off: it must not look like one that ended early by itself.
                let _ = pieces.blocking_send(Err(io::ErrorKind::InvalidData.into()));
            }
            sealed
        });
        let body = futures_util::stream::poll_fn(move |context| waiting.poll_recv(context));
        (pinned, reqwest::Body::wrap_stream(body), sealing)
    }
}

/// Seals a request's chunks as they are handed in; none where there are too few, or nobody takes them any more. Blocks.
fn seal(
    mut cipher: StreamEncryptor,
    mut chunks: mpsc::Receiver<Piece>,
    stretch: Stretch,
    mut send: impl FnMut(Bytes) -> bool,
) -> Option<Sealed> {
    let mut digest = blake3::Hasher::new();
    for left in (0..stretch.chunks).rev() {
        let chunk = chunks.blocking_recv()?;
        let mut piece = Vec::with_capacity(SEALED_CHUNK_LEN);
        let position = cipher.position();
        let after = if left == 0 && stretch.is_last {
            cipher.finish(&chunk, &mut piece).ok()?;
            None
        } else {
            cipher.encrypt_chunk(&chunk, &mut piece).ok()?;
            Some(cipher)
        };
        drop(chunk);
        digest.update(&piece);
        if !send(piece.into()) {
            return None;
        }
        match after {
            Some(next) => cipher = next,
            None => {
                let digest = *digest.finalize().as_bytes();
                return Some(Sealed { cipher: None, position, digest });
            }
        }
    }
    let (position, digest) = (cipher.position(), *digest.finalize().as_bytes());
    Some(Sealed { cipher: Some(cipher), position, digest })
}
