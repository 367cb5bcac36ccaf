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
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use darkslide_crypto::keys::FileKey;
use darkslide_crypto::stream::{CHUNK_LEN, SEALED_CHUNK_LEN, StreamEncryptor, StreamHeader, ciphertext_len};
use darkslide_crypto::{ContentHash, ContentHasher};
use darkslide_protocol::Opaque;
use darkslide_protocol::tus::chunk_digest;
use tokio::sync::{OwnedMutexGuard, mpsc};

use super::encrypt::{PIECE_LEN, Stretched};
use super::error::AssetError;
use super::hash::{Hashed, Piece, hash_in_chunks};
use super::identify::Asset;
use super::run::Run;
use crate::catalog::{AssetPlace, CatalogError, HeadStart, LARGE_OBJECT_MIN, ResumableRow};

/// Bytes from which on a file is worth it: less is hashed in a moment.
const HEAD_START_MIN: u64 = 128 << 20;
const _: () = assert!(HEAD_START_MIN >= LARGE_OBJECT_MIN);

/// Chunks in one request: what a resumed run may have to make again to compare it.
const REQUEST_CHUNKS: u64 = 128;

/// Bytes hashed at once of a file that was begun before; a chunk is a multiple of it.
const HASHED_AT_ONCE: usize = 256 << 10;
const _: () = assert!(CHUNK_LEN.is_multiple_of(HASHED_AT_ONCE));

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
                self.uploads().let_go(&start.upload.upload).await;
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
        let is_allowed = self.settings.memory.runs_ahead
            && self.gate.is_open()
            && self.limit.takes(SEALED_CHUNK_LEN as u64)
            && !self.halt.is_cancelled();
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
        let nothing = ContentHasher::new().finish();
        let upload = self.uploads().unsealed(nothing, &album, (begun, length), (&key, &header));
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
            self.uploads().let_go(upload).await;
        }
        Ok(())
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
            self.uploads().give_up(content, &row.upload).await?;
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
            let chunks_most = REQUEST_CHUNKS.min(self.limit.bytes() / SEALED_CHUNK_LEN as u64).max(1);
            let count = (length - checked).div_ceil(SEALED_CHUNK_LEN as u64).min(chunks_most);
            let end = length.min(checked + count * SEALED_CHUNK_LEN as u64);
            let stretch = Stretch { chunks: count, is_last: end == length };
            let (pinned, pieces) = mpsc::channel(1);
            let (body, sealing) =
                self.uploads().sealed_body(name, move |send| seal(at_start, pieces, stretch, send));
            let pinning = self.pin((place, upload), &mut chunks, count, pinned);
            let sending = self.session.api.append_upload(upload, checked, body, end - checked);
            // Whichever fails first ends the other, and with it the sealing.
            let sending = async {
                let told = self.halt.run_until_cancelled(sending).await;
                told.ok_or(())?.map_err(|failure| drop(self.limit.weigh(end - checked, failure.into())))
            };
            let sent = tokio::try_join!(pinning, sending);
            let sealed = sealing.await.expect("sealing does not panic");
            let (Ok(((), told)), Ok((next, sealed))) = (sent, sealed) else { return };
            if told != chunk_digest(&sealed.digest) {
                return;
            }
            let position = Opaque::encode(sealed.position.to_bytes());
            let advanced = self.catalog.advance_head_start(place, upload, (end, &position)).await;
            if !matches!(advanced, Ok(true)) {
                return;
            }
            (cipher, checked) = (next, end);
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
}

/// Seals a request's chunks as they are handed in. Gives the cipher, unless the file ends here, and what was sealed: at its end, where the cipher
/// stood before the last chunk. Fails where there are too few, or nobody takes them any more. Blocks.
fn seal(
    mut cipher: StreamEncryptor,
    mut chunks: mpsc::Receiver<Piece>,
    stretch: Stretch,
    send: &mut dyn FnMut(Bytes) -> bool,
) -> io::Result<(Option<StreamEncryptor>, Stretched)> {
    let mut digest = blake3::Hasher::new();
    let mut next = || chunks.blocking_recv().ok_or(io::Error::from(io::ErrorKind::BrokenPipe));
    let mut hand_on = |sealed: Vec<u8>| {
        digest.update(&sealed);
        let mut sealed = Bytes::from(sealed);
        while !sealed.is_empty() {
            if !send(sealed.split_to(sealed.len().min(PIECE_LEN))) {
                return Err(io::Error::from(io::ErrorKind::BrokenPipe));
            }
        }
        Ok(())
    };
    for _ in u64::from(stretch.is_last)..stretch.chunks {
        let (chunk, mut sealed) = (next()?, Vec::with_capacity(SEALED_CHUNK_LEN));
        cipher.encrypt_chunk(&chunk, &mut sealed).map_err(io::Error::other)?;
        drop(chunk);
        hand_on(sealed)?;
    }
    let position = cipher.position();
    let mut after = Some(cipher);
    if let Some(cipher) = after.take_if(|_| stretch.is_last) {
        let (chunk, mut sealed) = (next()?, Vec::with_capacity(SEALED_CHUNK_LEN));
        cipher.finish(&chunk, &mut sealed).map_err(io::Error::other)?;
        hand_on(sealed)?;
    }
    Ok((after, Stretched { digest: *digest.finalize().as_bytes(), position }))
}
