//! Large new files are sent while they are hashed: one reading, and half the time.
//!
//! A key and its header must never meet two contents, and here the content is not known yet. So what may be sealed is pinned first: the hash
//! of all bytes up to there goes into the catalog, durably, and then these very bytes, which are still in memory, are sealed. A run that finds
//! a head start of an earlier one hashes the whole file before it sends more: if the file was not written to and begins with what was pinned, the
//! upload goes on as that of the whole content (`resumable.rs`), and if not, its key is never used again.
//!
//! Only what is surely not in the vault has a head start: no object there has its length. Whatever fails here ends the head start and nothing else: the
//! file is hashed to its end, and sent as any other.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use darkslide_crypto::keys::{FileKey, Wraps as _};
use darkslide_crypto::stream::{
    CHUNK_LEN, SEALED_CHUNK_LEN, StreamEncryptor, StreamHeader, StreamPosition, ciphertext_len,
};
use darkslide_crypto::{ContentHash, ContentHasher};
use darkslide_protocol::Opaque;
use darkslide_protocol::tus::chunk_digest;
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::task::JoinHandle;

use super::error::AssetError;
use super::hash::{Hashed, Piece, hash_in_chunks};
use super::identify::Asset;
use super::run::Run;
use crate::catalog::{AssetPlace, CatalogError, HeadStart, ResumableRow};
use crate::event::Event;

/// Bytes from which on a file is worth it: less is hashed in a moment.
const HEAD_START_MIN: u64 = 128 << 20;

/// Chunks in one request: what a resumed run may have to make again to compare it.
const REQUEST_CHUNKS: u64 = 128;

/// Bytes hashed at once of a file that was begun before; a chunk is a multiple of it.
const HASHED_AT_ONCE: usize = 256 << 10;
const _: () = assert!(CHUNK_LEN.is_multiple_of(HASHED_AT_ONCE));

/// Ciphertext bytes handed to the network at once, and how many of these may wait for it.
const PIECE_LEN: usize = 256 << 10;
const PIECES_WAITING_MAX: usize = 8;

/// A file with a head start.
pub(super) enum Head {
    /// It was begun in an earlier run.
    Before(Box<HeadStart>),
    /// It begins now.
    New(Box<Beginning>),
}

/// A key and a header that have met nothing yet.
pub(super) struct Beginning {
    upload: ResumableRow,
    cipher: StreamEncryptor,
    /// Kept until it is hashed.
    turn: OwnedMutexGuard<()>,
}

/// Who has a head start in a run: one file at a time, for each keeps some chunks in memory.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Lengths of those that had one: two files of one length may be copies, so the next waits for the first's hash.
    lengths: Mutex<HashSet<u64>>,
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
    pub(super) async fn head_start(&self, asset: &Asset) -> Result<Option<Head>, CatalogError> {
        let Some(length) = ciphertext_len(asset.size()).filter(|_| asset.size() >= HEAD_START_MIN) else {
            return Ok(None);
        };
        if asset.motion.is_some() {
            return Ok(None);
        }
        // Before anything is looked up: a copy of the same length must not take what is under way for something earlier.
        let turn = self.turn_of(length).await;
        let place = asset.catalogued();
        if let Some(start) = self.catalog.head_start(&place).await? {
            let is_of_here = start.upload.server == self.session.api.server().to_string();
            if is_of_here && start.upload.length == length && start.fingerprint == asset.main.fingerprint {
                return Ok(Some(Head::Before(Box::new(start))));
            }
            if self.catalog.end_head_start(&place, &start.upload.upload).await? && is_of_here {
                self.let_go(&start.upload.upload).await;
            }
        }
        let Some(turn) = turn else { return Ok(None) };
        if !self.may_run_ahead(asset, &place, length).await? {
            return Ok(None);
        }
        let begun = self.begin_ahead(asset, &place, length, turn).await?;
        Ok(begun.map(|begun| Head::New(Box::new(begun))))
    }

    /// The turn of a file that may have a head start: there is one at a time. Another of the same length waits for its end first, and has none.
    async fn turn_of(&self, length: u64) -> Option<OwnedMutexGuard<()>> {
        let same = {
            let mut lengths = self.ahead.lengths.lock().unwrap_or_else(PoisonError::into_inner);
            if !lengths.contains(&length) {
                let turn = Arc::clone(&self.ahead.turn).try_lock_owned().ok();
                lengths.extend(turn.as_ref().map(|_| length));
                return turn;
            }
            Arc::clone(&self.ahead.turn)
        };
        drop(same.lock().await);
        None
    }

    /// Whether a file is surely new, there is room for it, and nothing is to be asked before it is sent.
    async fn may_run_ahead(
        &self,
        asset: &Asset,
        place: &AssetPlace,
        length: u64,
    ) -> Result<bool, CatalogError> {
        let is_allowed = self.settings.memory.runs_ahead && self.gate.is_open() && !self.halt.is_cancelled();
        let is_plain = !asset.is_changed && asset.offered.is_none_or(|offered| offered.replaces.is_none());
        if !is_allowed || !is_plain {
            return Ok(false);
        }
        let is_known = self.catalog.asset(&place.root, &place.path).await?.is_some();
        let may_be_there = is_known || self.catalog.has_object_of(length).await?;
        Ok(!may_be_there && self.uploads().are_resumable().await.unwrap_or(false))
    }

    /// Whatever fails at the server is found out once more when the file is sent.
    async fn begin_ahead(
        &self,
        asset: &Asset,
        place: &AssetPlace,
        length: u64,
        turn: OwnedMutexGuard<()>,
    ) -> Result<Option<Beginning>, CatalogError> {
        let Ok(album) = self.resolve(&asset.album).await else { return Ok(None) };
        if self.room.take(asset.size()).is_err() {
            return Ok(None);
        }
        let Ok(begun) = self.session.api.begin_upload(length).await else {
            self.room.give_back(asset.size());
            return Ok(None);
        };
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
        let start = HeadStart { pinned: 0, fingerprint: asset.main.fingerprint, upload };
        self.catalog.begin_head_start(place, &start).await?;
        let upload = start.upload;
        Ok(Some(Beginning { upload, cipher: StreamEncryptor::new(&key, &header), turn }))
    }

    /// Hashes a file of which a part was sent in an earlier run, and takes that up if the file begins with it.
    pub(super) async fn hashed_after(
        &self,
        asset: Asset,
        start: HeadStart,
    ) -> (Asset, Result<Hashed, AssetError>) {
        let place = asset.catalogued();
        let HeadStart { pinned, upload, .. } = start;
        let expected = upload.content_hash;
        let halt = self.halt.clone();
        let hashing = tokio::task::spawn_blocking(move || {
            let mut fits = pinned == 0;
            let hashed = hash_in_chunks(&asset, HASHED_AT_ONCE, |_, end, content| {
                fits |= end == pinned && content == expected;
                !halt.is_cancelled()
            });
            (asset, hashed, fits)
        });
        let (asset, hashed, fits) = hashing.await.expect("hashing does not panic");
        let settled = self.settle_head_start(&place, &upload.upload, hashed.as_ref().ok().filter(|_| fits));
        (asset, settled.await.and(hashed.map_err(AssetError::from)))
    }

    /// Hashes a file and sends it meanwhile, as far as that goes.
    pub(super) async fn hashed_ahead(
        &self,
        asset: Asset,
        beginning: Beginning,
    ) -> (Asset, Result<Hashed, AssetError>) {
        let Beginning { upload, cipher, turn } = beginning;
        let (place, name, size) = (asset.catalogued(), asset.name(), asset.size());
        let (chunks, hashed_chunks) = mpsc::channel(1);
        let halt = self.halt.clone();
        let hashing = tokio::task::spawn_blocking(move || {
            let hashed = hash_in_chunks(&asset, CHUNK_LEN, |bytes, end, content| {
                let _nobody_sends_any_more = chunks.blocking_send(Chunk { bytes, end, content });
                !halt.is_cancelled()
            });
            (asset, hashed)
        });
        let sending = self.run_ahead(&place, &name, (&upload, cipher), hashed_chunks);
        let ((), hashing) = tokio::join!(sending, hashing);
        let (asset, hashed) = hashing.expect("hashing does not panic");
        // Set aside once more when the rest of it is sent.
        self.room.give_back(size);
        let settled = self.settle_head_start(&place, &upload.upload, hashed.as_ref().ok()).await;
        drop(turn);
        (asset, settled.and(hashed.map_err(AssetError::from)))
    }

    /// Makes a head start the upload of a content that begins with it, or lets it go. One that was stopped stays for the next run.
    async fn settle_head_start(
        &self,
        place: &AssetPlace,
        upload: &str,
        hashed: Option<&Hashed>,
    ) -> Result<(), AssetError> {
        match hashed {
            Some(hashed) if self.catalog.settle_head_start(place, upload, &hashed.content).await? => {
                return Ok(());
            }
            None if self.halt.is_cancelled() => return Err(AssetError::Stopped),
            _ => {}
        }
        if self.catalog.end_head_start(place, upload).await? {
            self.let_go(upload).await;
        }
        Ok(())
    }

    async fn let_go(&self, upload: &str) {
        if let Err(failure) = self.session.api.terminate_upload(upload).await {
            tracing::debug!(%failure, "a head start that is let go of will expire by itself");
        }
    }

    /// Forgets what was sent of a content that turned out to be in the vault, or to stay out of it.
    pub(super) async fn forget_head_start(
        &self,
        asset: &Asset,
        content: &ContentHash,
    ) -> Result<(), CatalogError> {
        if asset.size() >= HEAD_START_MIN
            && let Some(row) = self.catalog.resumable_upload(content).await?
        {
            self.catalog.end_upload(content).await?;
            self.let_go(&row.upload).await;
        }
        Ok(())
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
            let pinning = self.pin((place, upload), &mut chunks, count, pinned);
            let sending = self.session.api.append_upload(upload, checked, body, end - checked);
            // Whichever fails first ends the other, and with it the sealing.
            let sending = async {
                let told = self.halt.run_until_cancelled(sending).await;
                told.and_then(Result::ok).ok_or(())
            };
            let sent = tokio::try_join!(pinning, sending);
            let sealed = sealing.await.expect("sealing does not panic");
            let (Ok(((), told)), Some(sealed)) = (sent, sealed) else { return };
            if told != chunk_digest(&sealed.digest) {
                return;
            }
            let position = Opaque::encode(sealed.position.to_bytes());
            let advanced = self.catalog.advance_head_start(place, upload, (end, &position)).await;
            if !matches!(advanced, Ok(true)) {
                return;
            }
            (cipher, checked) = (sealed.cipher, end);
        }
    }

    /// Pins so many chunks, each before it may be sealed.
    async fn pin(
        &self,
        (place, upload): (&AssetPlace, &str),
        chunks: &mut mpsc::Receiver<Chunk>,
        count: u64,
        pinned: mpsc::Sender<Piece>,
    ) -> Result<(), ()> {
        for _ in 0..count {
            let Chunk { bytes, end, content } = tokio::select! {
                () = self.halt.cancelled() => return Err(()),
                chunk = chunks.recv() => chunk.ok_or(())?,
            };
            let is_pinned =
                self.catalog.pin_head_start(place, upload, (end, &content)).await.map_err(drop)?;
            if !is_pinned {
                return Err(());
            }
            tokio::select! {
                () = self.halt.cancelled() => return Err(()),
                handed_on = pinned.send(bytes) => handed_on.map_err(drop)?,
            }
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
        let (pieces, mut waiting) = mpsc::channel::<io::Result<Bytes>>(PIECES_WAITING_MAX);
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
        let mut piece = Bytes::from(piece);
        while !piece.is_empty() {
            if !send(piece.split_to(piece.len().min(PIECE_LEN))) {
                return None;
            }
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
