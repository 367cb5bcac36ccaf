//! One asset from its hash to its place in the vault: linked where the vault has its content, sent where not, and
//! recorded however it ended.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use darkslide_crypto::ContentHash;
use darkslide_crypto::keys::FileKey;
use darkslide_crypto::stream::blob;
use darkslide_protocol::FileId;
use darkslide_protocol::collection::AddFilesRequest;
use darkslide_protocol::trash::RestoreRequest;

use super::albums::Album;
use super::commit::{self, Commit};
use super::describe;
use super::encrypt::Source;
use super::error::{AssetError, BackupError};
use super::hash::{Hashed, hash};
use super::identify::Asset;
use super::plan::{ContentDecision, Step, decide_content, deleted_reason};
use super::run::Run;
use super::upload::{Original, StoredObject, Uploads, WHOLE_OBJECT_MAX};
use crate::appearance::Appearance;
use crate::catalog::{AssetRow, AssetState, CatalogError, FileRow, Fingerprint, TrashRow};
use crate::event::{Event, Outcome};
use crate::feed;
use crate::keys::{collection_key, file_key, trashed_file_key, wrap_file_key};
use crate::library::{DeviceAlbum, raw};
use crate::thumbnail::Subject;

/// An asset whose content is known.
#[derive(Debug)]
pub(super) struct Job {
    asset: Asset,
    content: ContentHash,
    source: Source,
}

/// What is recorded of an asset, whichever way its content became known.
struct Place<'a> {
    root: &'a Path,
    relative: &'a Path,
    fingerprint: Fingerprint,
    motion: Option<(&'a Path, Fingerprint)>,
    album: &'a DeviceAlbum,
}

impl Place<'_> {
    fn appearance(&self) -> Appearance {
        describe::appearance(self.relative, self.fingerprint, self.motion, self.album)
    }
}

/// How an asset was settled.
struct Settled {
    outcome: Outcome,
    file: Option<FileId>,
}

impl Settled {
    fn in_vault(outcome: Outcome, file: FileId) -> Self {
        Self { outcome, file: Some(file) }
    }
}

impl Run {
    /// Takes one asset all the way, and with it those that turn out to have the same content.
    pub(super) async fn process(&self, asset: Asset) {
        if self.halt.is_cancelled() {
            return;
        }
        let name = asset.name();
        self.events.send(Event::Started { name: Arc::clone(&name), bytes: asset.size() }).await;
        let (asset, hashed) = self.hashed(asset).await;
        let Hashed { content, source } = match hashed {
            Ok(hashed) => hashed,
            Err(error) => return self.conclude(&asset, None, Err(error)).await,
        };
        self.tally().bytes_hashed += asset.size();
        let mut next = self.in_flight.claim(content, Job { asset, content, source });
        while let Some(job) = next {
            let settled = self.settle(&job).await;
            self.conclude(&job.asset, Some(content), settled).await;
            drop(job);
            next = self.in_flight.next(&content);
        }
    }

    async fn hashed(&self, asset: Asset) -> (Asset, Result<Hashed, AssetError>) {
        let _turn = self.hashing.acquire().await.expect("the semaphore is never closed");
        let hashing = tokio::task::spawn_blocking(move || {
            let hashed = hash(&asset);
            (asset, hashed)
        });
        let (asset, hashed) = hashing.await.expect("hashing does not panic");
        (asset, hashed.map_err(AssetError::from))
    }

    async fn settle(&self, job: &Job) -> Result<Settled, AssetError> {
        if self.halt.is_cancelled() {
            return Err(AssetError::Stopped);
        }
        let place = job.place();
        let decision = self.decide(&place, &job.content).await?;
        match self.settle_unsent(&place, decision).await? {
            Some(settled) => Ok(settled),
            None => self.send(job).await,
        }
    }

    async fn decide(
        &self,
        place: &Place<'_>,
        content: &ContentHash,
    ) -> Result<ContentDecision, CatalogError> {
        let account = self.session.account;
        let memberships = self.catalog.files_with_content(account, content).await?;
        let trash = self.catalog.trashed_with_content(content).await?;
        let album = self.albums.existing(&self.catalog, account, place.album).await?;
        let first_seen = self.first_seen(place, content).await?;
        Ok(decide_content(&memberships, &trash, album, first_seen))
    }

    async fn first_seen(&self, place: &Place<'_>, content: &ContentHash) -> Result<i64, CatalogError> {
        let (root, path) = (raw(place.root), raw(place.relative));
        let known = self.catalog.first_seen(content, &root, &path, &place.fingerprint).await?;
        Ok(known.unwrap_or(self.now))
    }

    /// Everything but sending, for which it says `None`.
    async fn settle_unsent(
        &self,
        place: &Place<'_>,
        decision: ContentDecision,
    ) -> Result<Option<Settled>, AssetError> {
        let settled = match decision {
            ContentDecision::Send => return Ok(None),
            ContentDecision::Present(file) => {
                self.remember_here(place, file).await?;
                Settled::in_vault(Outcome::Linked, file)
            }
            ContentDecision::Link(row) => self.link(place, &row).await?,
            ContentDecision::Untrash(row) => {
                let settled = self.untrash(place.album, &row).await?;
                self.remember_here(place, row.file).await?;
                settled
            }
            ContentDecision::Deleted { at } => {
                Settled { outcome: Outcome::Skipped(deleted_reason(at)), file: None }
            }
        };
        Ok(Some(settled))
    }

    /// Remembers this copy of a file that is in its album already; taken out of it by its owner, there is nothing to
    /// remember.
    async fn remember_here(&self, place: &Place<'_>, file: FileId) -> Result<(), AssetError> {
        let album = self.albums.existing(&self.catalog, self.session.account, place.album).await?;
        let memberships = self.catalog.memberships(file).await?;
        let here = memberships.iter().find(|row| !row.deleted && Some(row.collection) == album);
        match here {
            Some(row) => self.remember_copy(row, &place.appearance(), false).await,
            None => Ok(()),
        }
    }

    /// The vault has the content: its key, wrapped for the album, is all that is sent.
    async fn link(&self, place: &Place<'_>, row: &FileRow) -> Result<Settled, AssetError> {
        let collection = self.catalog.collection(row.collection).await?;
        let collection = collection.ok_or(crate::keys::Unreadable::CollectionKey(row.collection))?;
        let key = file_key(&collection_key(&self.session.keys, &collection)?, row)?;
        let album = self.resolve(place.album).await?;
        let wrapped = wrap_file_key(&album.key, row.id, &key);
        let request = AddFilesRequest { collection_id: album.id, files: vec![wrapped.clone()] };
        self.patience.persist(|| async { Ok(self.session.api.add_files(&request).await?) }).await?;
        let linked = FileRow {
            collection: album.id,
            encrypted_key: wrapped.encrypted_key,
            key_nonce: wrapped.key_decryption_nonce,
            ..row.clone()
        };
        self.catalog.put_file(&linked).await?;
        self.remember_copy(&linked, &place.appearance(), true).await?;
        Ok(Settled::in_vault(Outcome::Linked, row.id))
    }

    async fn untrash(&self, album: &DeviceAlbum, row: &TrashRow) -> Result<Settled, AssetError> {
        let collection = self.catalog.collection(row.collection).await?;
        let collection = collection.ok_or(crate::keys::Unreadable::CollectionKey(row.collection))?;
        let key = trashed_file_key(&collection_key(&self.session.keys, &collection)?, row)?;
        let album = self.resolve(album).await?;
        let files = vec![wrap_file_key(&album.key, row.file, &key)];
        let request = RestoreRequest { collection_id: album.id, files };
        self.patience.persist(|| async { Ok(self.session.api.restore_files(&request).await?) }).await?;
        self.catalog.mark_untrashed(row.file).await?;
        // Another file of the same content must see that it is back.
        feed::pull(&self.session, &self.catalog).await?;
        Ok(Settled::in_vault(Outcome::Untrashed, row.file))
    }

    async fn resolve(&self, album: &DeviceAlbum) -> Result<Arc<Album>, AssetError> {
        self.albums.resolve(&self.session, &self.catalog, &self.patience, album).await
    }

    /// The original is made safe first, the thumbnail follows.
    async fn send(&self, job: &Job) -> Result<Settled, AssetError> {
        let full = self.tally().storage_full.clone();
        if let Some(reason) = full {
            return Err(AssetError::StorageFull(reason));
        }
        self.take_room(job.source.len())?;
        let album = self.resolve(&job.asset.album).await?;
        let (key, original) = self.send_original(job, &album).await?;
        let (thumbnail, is_placeholder) = self.send_thumbnail(job, &key).await?;
        let commit = Commit {
            asset: &job.asset,
            content: &job.content,
            album: &album,
            key: &key,
            original: &original,
            thumbnail: &thumbnail,
            is_placeholder,
        };
        let committed = commit::commit(&self.session, &self.catalog, &self.patience, commit).await;
        let refused = |error: &AssetError| matches!(error, AssetError::Api(_)) && !error.is_transient();
        if committed.as_ref().map_or_else(refused, |_| true) {
            // Committed, or refused for good: either way this key and header are not used again.
            self.catalog.end_upload(&job.content).await?;
        }
        let file = committed?;
        self.tally().placeholders += u64::from(is_placeholder);
        Ok(Settled::in_vault(Outcome::Uploaded, file))
    }

    async fn send_original(&self, job: &Job, album: &Album) -> Result<(FileKey, StoredObject), AssetError> {
        let lane =
            if job.source.len() > WHOLE_OBJECT_MAX { &self.large_uploads } else { &self.small_uploads };
        let _turn = lane.acquire().await.expect("the semaphore is never closed");
        let original = Original { name: job.asset.name(), content: job.content, source: job.source.clone() };
        self.uploads().send_original(&original, album).await
    }

    async fn send_thumbnail(&self, job: &Job, key: &FileKey) -> Result<(StoredObject, bool), AssetError> {
        let main = &job.asset.main;
        let subject = Subject {
            path: main.path.clone(),
            bytes: job.source.in_memory().cloned(),
            format: main.media.format,
            orientation: job.asset.probe.orientation,
            embedded: job.asset.probe.embedded_thumbnail,
        };
        let made = self.settings.thumbnailer.make(subject).await;
        let sealed = blob::seal(key, &made.jpeg);
        let size = sealed.ciphertext.len() as u64;
        let object_key = self.uploads().send_sealed(Bytes::from(sealed.ciphertext)).await?;
        Ok((StoredObject { object_key, header: sealed.header, size }, made.is_placeholder))
    }

    fn uploads(&self) -> Uploads<'_> {
        Uploads {
            session: &self.session,
            catalog: &self.catalog,
            patience: &self.patience,
            urls: &self.urls,
            expected: self.objects_expected(),
            sent: &self.sent,
            events: &self.events,
            now: self.now,
        }
    }

    /// Records, counts and tells how an asset ended. What was stopped did not end: the next run begins it again.
    async fn conclude(
        &self,
        asset: &Asset,
        content: Option<ContentHash>,
        settled: Result<Settled, AssetError>,
    ) {
        let settled = match settled {
            Ok(settled) => settled,
            Err(AssetError::Stopped) => return,
            Err(AssetError::Catalog(error)) => return self.fail(error),
            Err(AssetError::Api(failure)) if failure.is_signed_out() => return self.fail(failure),
            Err(error) => {
                self.weigh(&error).await;
                Settled { outcome: Outcome::Failed(error.to_string()), file: None }
            }
        };
        if let Err(error) = self.record(&asset.place(), content, &settled).await {
            return self.fail(error);
        }
        self.finished(&asset.name(), settled.outcome).await;
    }

    async fn record(
        &self,
        place: &Place<'_>,
        content: Option<ContentHash>,
        settled: &Settled,
    ) -> Result<(), CatalogError> {
        let (state, reason) = match &settled.outcome {
            Outcome::Skipped(reason) => (AssetState::Skipped, Some(reason.clone())),
            Outcome::NotMedia(reason) => (AssetState::NotMedia, Some(reason.clone())),
            Outcome::Failed(reason) => (AssetState::Blocked, Some(reason.clone())),
            _ => (AssetState::BackedUp, None),
        };
        let first_seen = match &content {
            Some(content) => self.first_seen(place, content).await?,
            None => self.now,
        };
        let row = AssetRow {
            root: raw(place.root),
            path: raw(place.relative),
            fingerprint: place.fingerprint,
            motion: place.motion.map(|(path, fingerprint)| (raw(path), fingerprint)),
            album: place.album.key.clone(),
            content_hash: content,
            file: settled.file,
            state,
            reason,
            first_seen,
            last_seen: self.now,
        };
        self.catalog.put_asset(&row).await
    }

    /// Settles a step whose content is known from before, unless it turns out that its bytes must be sent.
    pub(super) async fn recheck(
        &self,
        root: &Arc<Path>,
        step: &Step,
        content: &ContentHash,
    ) -> Result<bool, BackupError> {
        let album = self.settings.albums.album_of(root, &step.path);
        let place = Place {
            root,
            relative: &step.path,
            fingerprint: step.fingerprint,
            motion: step.motion.as_ref().map(|(path, fingerprint)| (path.as_path(), *fingerprint)),
            album: &album,
        };
        let decision = self.decide(&place, content).await?;
        // The long way meets the same failure, and deals with it.
        let Ok(Some(settled)) = self.settle_unsent(&place, decision).await else { return Ok(false) };
        self.record(&place, Some(*content), &settled).await?;
        self.finished(&root.join(&step.path).into(), settled.outcome).await;
        Ok(true)
    }
}

impl Asset {
    fn place(&self) -> Place<'_> {
        Place {
            root: &self.root,
            relative: &self.main.relative,
            fingerprint: self.main.fingerprint,
            motion: self.motion.as_ref().map(|motion| (motion.relative.as_path(), motion.fingerprint)),
            album: &self.album,
        }
    }
}

impl Job {
    fn place(&self) -> Place<'_> {
        self.asset.place()
    }
}
