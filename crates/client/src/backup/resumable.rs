//! Large objects on their way to a server that speaks tus: sent on from any byte, and compared as they are acknowledged.
//!
//! The server answers the digest of what it took, so nothing is hashed beforehand. After a cut it is asked how far it is, and the
//! bytes that came before the cut are made again and compared, without being sent. A difference ends the upload: the content begins
//! anew under another key and header, as everything does that is not known to be the same.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use darkslide_crypto::ContentHash;
use darkslide_crypto::keys::{FileKey, Wraps as _};
use darkslide_crypto::stream::{StreamHeader, StreamPosition};
use darkslide_protocol::Opaque;
use darkslide_protocol::tus::chunk_digest;
use tokio::sync::Mutex;

use super::albums::Album;
use super::encrypt::{Seal, Stretched};
use super::error::AssetError;
use super::request_limit::is_divisible;
use super::upload::{Original, SESSIONS_MAX, StoredObject, Uploads, outcome};
use crate::api::{BegunUpload, Standing};
use crate::catalog::{CatalogError, ResumableRow};

/// The most bytes in one request: what a resumed run may have to make again to compare it.
const REQUEST_BYTES_MAX: u64 = 512 << 20;

/// How often in a row another request may take the upload over before that is a failure.
const CONFLICTS_MAX: u32 = 8;

/// An upload that is under way.
#[derive(Debug)]
struct Upload {
    seal: Arc<Seal>,
    row: ResumableRow,
    /// Before the chunk that the next byte belongs to.
    position: StreamPosition,
    /// Whether the server must be asked how far it is.
    is_unsure: bool,
    conflicts: u32,
    /// Whether something of it was sent in this run.
    has_moved: bool,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// There is more to do.
    Forward,
    /// The server has every byte.
    Whole,
    /// The server has other bytes than were sent.
    Spoilt,
}

impl Uploads<'_> {
    /// Sends an object, or the rest of it; gives the file key that was made or gone on with.
    pub(super) async fn send_resumable(
        self,
        original: &Original,
        album: &Album,
        len: u64,
    ) -> Result<(FileKey, StoredObject), AssetError> {
        for _ in 0..SESSIONS_MAX {
            let upload = match self.taken_up(original, len).await? {
                Some(upload) => upload,
                None => self.begun_resumable(original, album, len).await?,
            };
            let name = upload.row.upload.clone();
            match self.send_to_the_end(original, upload).await {
                Err(error) if error.is_missing() => self.catalog.end_upload(&original.content).await?,
                Err(AssetError::Damaged) => self.give_up(&original.content, &name).await?,
                Err(AssetError::Changed) => {
                    self.give_up(&original.content, &name).await?;
                    return Err(AssetError::Changed);
                }
                other => return other,
            }
        }
        Err(AssetError::Damaged)
    }

    /// Its key and header are never used again, whether or not the server hears of it.
    pub(super) async fn give_up(self, content: &ContentHash, upload: &str) -> Result<(), CatalogError> {
        self.catalog.end_upload(content).await?;
        self.let_go(upload).await;
        Ok(())
    }

    /// Tells the server that nobody goes on with an upload.
    pub(super) async fn let_go(self, upload: &str) {
        if let Err(failure) = self.session.api.terminate_upload(upload).await {
            tracing::debug!(%failure, "an upload that is given up will expire by itself");
        }
    }

    /// The upload of this very content that was begun before, if its key still opens.
    async fn taken_up(self, original: &Original, len: u64) -> Result<Option<Upload>, AssetError> {
        let Some(row) = self.catalog.resumable_upload(&original.content).await? else { return Ok(None) };
        let fits = row.length == len && row.server == self.session.api.server().to_string();
        let collection = self.catalog.collection(row.collection).await?.filter(|_| fits);
        Ok(collection.and_then(|collection| {
            let wrapped = (&row.encrypted_key, &row.key_nonce);
            let seal = Arc::new(self.seal(original, &collection, wrapped, &row.header)?);
            let position = StreamPosition::from_slice(&row.position.decode().ok()?).ok()?;
            let usable = position.ciphertext_offset() <= row.checked && row.checked <= len;
            usable.then_some(Upload { seal, row, position, is_unsure: true, conflicts: 0, has_moved: false })
        }))
    }

    /// A new upload under a new key and header, pinned to the content before the first byte is sent.
    async fn begun_resumable(
        self,
        original: &Original,
        album: &Album,
        len: u64,
    ) -> Result<Upload, AssetError> {
        let begin = || async { Ok(self.session.api.begin_upload(len).await?) };
        let begun = self.patience.persist(begin).await?;
        let (key, header) = (original.new_key(), StreamHeader::generate());
        let position = StreamPosition::start(&header);
        let row = self.unsealed(original.content, album, (begun, len), (&key, &header));
        self.catalog.begin_resumable_upload(&row).await?;
        let seal = Arc::new(Seal { source: original.source.clone(), key, header });
        Ok(Upload { seal, row, position, is_unsure: false, conflicts: 0, has_moved: false })
    }

    /// The record of an upload whose key and header have met nothing yet.
    pub(super) fn unsealed(
        self,
        content_hash: ContentHash,
        album: &Album,
        (begun, length): (BegunUpload, u64),
        (key, header): (&FileKey, &StreamHeader),
    ) -> ResumableRow {
        let wrapped = album.key.wrap_key(key);
        ResumableRow {
            content_hash,
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
            position: Opaque::encode(StreamPosition::start(header).to_bytes()),
        }
    }

    async fn send_to_the_end(
        self,
        original: &Original,
        upload: Upload,
    ) -> Result<(FileKey, StoredObject), AssetError> {
        let upload = Mutex::new(upload);
        let step = || async { self.step(original, &mut *upload.lock().await).await };
        loop {
            match self.patience.persist(step).await? {
                Step::Forward => {}
                Step::Whole => break,
                Step::Spoilt => return Err(AssetError::Damaged),
            }
        }
        let Upload { seal, row, .. } = upload.into_inner();
        if !seal.source.is_unchanged() {
            return Err(AssetError::Changed);
        }
        let Seal { key, header, .. } = Arc::into_inner(seal).expect("the sealing threads have ended");
        Ok((key, StoredObject { object_key: row.object_key, header, size: row.length }))
    }

    /// Asks how far the server is, if that is not known, and sends on from there.
    async fn step(self, original: &Original, upload: &mut Upload) -> Result<Step, AssetError> {
        if upload.is_unsure {
            let standing = self.session.api.standing(&upload.row.upload).await?;
            let before = upload.row.checked;
            if !self.has_caught_up(upload, &standing).await? {
                return Ok(Step::Spoilt);
            }
            upload.is_unsure = false;
            // A line that breaks again and again, but carries something each time, is borne for as long as it takes.
            if upload.row.checked > before {
                return Ok(Step::Forward);
            }
        }
        let row = &upload.row;
        if row.checked == row.length {
            return Ok(Step::Whole);
        }
        let _turn = self.gate.turn().await;
        let most = self.gate.part_bytes(REQUEST_BYTES_MAX).min(self.limit.bytes());
        let stretch = row.checked..row.length.min(row.checked + most);
        let load = self.gate.pass(original.kind, stretch.end - stretch.start)?;
        // Until its answer is there, nobody knows how much of it came.
        upload.is_unsure = true;
        match self.send_stretch(&original.name, upload, stretch.clone()).await {
            Ok((told, sealed)) if told == chunk_digest(&sealed.digest) => {
                load.arrived();
                self.advance(upload, stretch.end, sealed.position).await?;
                upload.is_unsure = false;
                // One that goes on in another run has had its turn in this one.
                let is_cut_off = stretch.end < upload.row.length;
                if let Some(library) = self.library.filter(|_| is_cut_off && !upload.has_moved) {
                    self.catalog.count_turn(library).await?;
                }
                upload.has_moved = true;
                Ok(Step::Forward)
            }
            Ok(_) => Ok(Step::Spoilt),
            Err(AssetError::Api(failure)) if failure.is_conflict() && upload.conflicts < CONFLICTS_MAX => {
                upload.conflicts += 1;
                Ok(Step::Forward)
            }
            Err(error) => {
                let bytes = stretch.end - stretch.start;
                match self.limit.weigh(bytes, error) {
                    AssetError::RequestTooLarge { .. } if is_divisible(bytes) => Ok(Step::Forward),
                    error => Err(error),
                }
            }
        }
    }

    /// Compares what the server has beyond what was compared before. False when it is not what was sent.
    async fn has_caught_up(self, upload: &mut Upload, standing: &Standing) -> Result<bool, AssetError> {
        let checked = upload.row.checked;
        if standing.length != upload.row.length || standing.offset < checked {
            return Ok(false);
        }
        if standing.offset == checked {
            return Ok(true);
        }
        // Every request of ours begins where the one before was compared to.
        let Some(chunk) = standing.chunk.as_ref().filter(|chunk| chunk.offset == checked) else {
            return Ok(false);
        };
        let (seal, position, stretch) = (Arc::clone(&upload.seal), upload.position, checked..standing.offset);
        let sealing = tokio::task::spawn_blocking(move || seal.seal_stretch(position, stretch, |_| true));
        let sealed = sealing.await.expect("sealing does not panic").map_err(AssetError::reading)?;
        if chunk.digest != chunk_digest(&sealed.digest) {
            return Ok(false);
        }
        self.advance(upload, standing.offset, sealed.position).await?;
        Ok(true)
    }

    async fn advance(
        self,
        upload: &mut Upload,
        checked: u64,
        position: StreamPosition,
    ) -> Result<(), AssetError> {
        let text = Opaque::encode(position.to_bytes());
        self.catalog.advance_resumable_upload(&upload.row.content_hash, checked, &text).await?;
        (upload.row.checked, upload.row.position, upload.position) = (checked, text, position);
        upload.conflicts = 0;
        Ok(())
    }

    /// Seals and sends one stretch at once: the cipher on a thread of its own, a few pieces ahead of the network. Gives the digest that
    /// the server told, and what was sealed.
    async fn send_stretch(
        self,
        name: &Arc<Path>,
        upload: &Upload,
        stretch: Range<u64>,
    ) -> Result<(String, Stretched), AssetError> {
        let (seal, position) = (Arc::clone(&upload.seal), upload.position);
        let (offset, len) = (stretch.start, stretch.end - stretch.start);
        let (body, sealing) = self.sealed_body(name, move |send| seal.seal_stretch(position, stretch, send));
        let told = self.session.api.append_upload(&upload.row.upload, offset, body, len).await;
        outcome(told, sealing.await.expect("sealing does not panic"))
    }
}
