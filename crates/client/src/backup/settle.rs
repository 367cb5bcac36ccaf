//! One asset from its hash to its place in the vault: linked where the vault has its content, sent where not, and
//! recorded however it ended.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use darkslide_crypto::ContentHash;
use darkslide_crypto::stream::ciphertext_len;
use darkslide_protocol::FileId;
use darkslide_protocol::collection::AddFilesRequest;
use darkslide_protocol::limits::OBJECT_BYTES_MAX;
use darkslide_protocol::trash::{RestoreItem, RestoreRequest};

use super::albums::Album;
use super::batch::Delivered;
use super::describe;
use super::encrypt::Source;
use super::error::{AssetError, BackupError};
use super::hash::{Hashed, hash, is_kept};
use super::head_start::Head;
use super::identify::Asset;
use super::mend::Mended;
use super::plan::{self, ContentDecision, decide_content, deleted_reason, of_video};
use super::run::{GONE, Run};
use crate::appearance::Appearance;
use crate::catalog::{AssetPlace, AssetRow, AssetState, CatalogError, FileRow, Fingerprint, TrashRow};
use crate::event::{Event, Outcome};
use crate::feed;
use crate::keys::{file_key, trashed_file_key, wrap_file_key};
use crate::library::device::{AssetKind, DeviceAsset};
use crate::library::{DeviceAlbum, path_of, raw};
use tokio::sync::{OwnedSemaphorePermit, SemaphorePermit};

/// An asset whose content is known.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) asset: Asset,
    pub(super) content: ContentHash,
    pub(super) source: Source,
    /// Neither the vault nor this device ever had this content.
    pub(super) is_new: bool,
    /// The room in memory that it takes.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl Job {
    /// Whether nothing has to be asked before it is sent.
    pub(super) fn is_surely_new(&self) -> bool {
        self.is_new
            && !self.asset.is_changed
            && self.asset.offered.is_none_or(|offered| offered.replaces.is_none() && !offered.mends)
    }
}

/// What is recorded of an asset, whichever way its content became known.
pub(super) struct Place<'a> {
    pub(super) root: &'a Path,
    pub(super) relative: &'a Path,
    /// Below the root, as people call it: the same, but for a library's assets.
    title: &'a Path,
    pub(super) fingerprint: Fingerprint,
    motion: Option<(&'a Path, Fingerprint)>,
    pub(super) album: &'a DeviceAlbum,
}

impl Place<'_> {
    fn appearance(&self) -> Appearance {
        describe::appearance(self.title, self.fingerprint, self.motion, self.album)
    }
}

/// How an asset was settled.
pub(super) struct Settled {
    outcome: Outcome,
    file: Option<FileId>,
    /// The catalog has it already.
    is_recorded: bool,
    /// It failed, and would fail again if it was tried soon.
    is_lasting: bool,
}

impl Settled {
    /// In the vault, or there until its owner deleted it.
    pub(super) fn in_vault(outcome: Outcome, file: FileId) -> Self {
        Self { outcome, file: Some(file), is_recorded: false, is_lasting: false }
    }

    /// In the vault, and the catalog has it.
    pub(super) fn recorded(outcome: Outcome, file: FileId) -> Self {
        Self { outcome, file: Some(file), is_recorded: true, is_lasting: false }
    }

    fn outside(outcome: Outcome) -> Self {
        Self { outcome, file: None, is_recorded: false, is_lasting: false }
    }
}

/// How far an asset has come.
enum Step {
    /// It is where it belongs, or stays outside.
    Settled(Settled),
    /// Its bytes were sent.
    Sent(Delivered),
    /// Another device was first with something else: what is to be done is asked again.
    Anew,
}

/// How often an asset is settled anew because another device was first.
pub(super) const OTHERS_FIRST_MAX: usize = 3;

impl Run {
    /// Takes one asset all the way, and with it those that turn out to have the same content.
    pub(super) async fn process(&self, asset: Asset, room: Option<OwnedSemaphorePermit>) {
        if self.halt.is_cancelled() {
            return;
        }
        let Some(asset) = self.worth_reading(asset).await else { return };
        let name = asset.name();
        self.events.send(Event::Started { name: Arc::clone(&name), bytes: asset.size() }).await;
        let (asset, hashed) = self.hashed(asset).await;
        for job in self.claimed(vec![(asset, hashed, room)]).await {
            self.see_through(job, None).await;
        }
    }

    /// Takes a job to its end, and then those with the same content. `sent` is what became of it, if it was sent already.
    pub(super) async fn see_through(&self, job: Job, mut sent: Option<Result<Delivered, AssetError>>) {
        let content = job.content;
        let mut next = Some(job);
        while let Some(mut job) = next {
            let settled = self.settle(&mut job, sent.take()).await;
            self.conclude(&job.asset, Some(content), settled).await;
            drop(job);
            next = self.in_flight.next(&content);
        }
    }

    /// Concludes what need not be read, and gives everything else back. What no server takes is not read to find that out; nor is, run after
    /// run, what there was no room for and is none now.
    pub(super) async fn worth_reading(&self, asset: Asset) -> Option<Asset> {
        match self.not_worth_reading(&asset).await {
            Ok(None) => return Some(asset),
            Ok(Some((content, error))) => self.conclude(&asset, content, Err(error)).await,
            Err(error) => self.fail(error),
        }
        None
    }

    async fn not_worth_reading(
        &self,
        asset: &Asset,
    ) -> Result<Option<(Option<ContentHash>, AssetError)>, CatalogError> {
        if ciphertext_len(asset.size()).is_none_or(|length| length > OBJECT_BYTES_MAX) {
            return Ok(Some((None, AssetError::TooLarge)));
        }
        if self.room.has(asset.size()) {
            return Ok(None);
        }
        let place = asset.place();
        let known = self.catalog.asset(&raw(place.root), &raw(place.relative)).await?;
        let was_hashed = |row: &AssetRow| {
            row.state == AssetState::NoRoom
                && row.fingerprint == place.fingerprint
                && row.content_hash.is_some()
        };
        let Some(row) = known.filter(was_hashed) else { return Ok(None) };
        // What mends a file takes no room.
        if let Some(content) = &row.content_hash
            && self.catalog.damaged_with_content(self.session.account, content).await?.is_some()
        {
            return Ok(None);
        }
        Ok(Some((row.content_hash, AssetError::NoRoom)))
    }

    async fn hashed(&self, mut asset: Asset) -> (Asset, Result<Hashed, AssetError>) {
        if is_kept(&asset) {
            let bytes = asset.size();
            let (asset, hashed) = self.hashing_small.ask(asset, bytes).await;
            return (asset, hashed.map_err(AssetError::from));
        }
        let before = match self.head_start(&asset).await {
            // It takes as long as the line does, and is the only one: it needs no turn.
            Ok(Some(Head::New(beginning))) => return self.hashed_ahead(asset, *beginning).await,
            Ok(Some(Head::Before(start))) => Some(*start),
            Ok(None) => None,
            Err(error) => return (asset, Err(error.into())),
        };
        let _turns = self.turns_to_hash(asset.kind()).await;
        if let Some(start) = before {
            return self.hashed_after(asset, start).await;
        }
        let hashing = tokio::task::spawn_blocking(move || {
            let hashed = hash(&mut asset);
            (asset, hashed)
        });
        let (asset, hashed) = hashing.await.expect("hashing does not panic");
        (asset, hashed.map_err(AssetError::from))
    }

    async fn turns_to_hash(&self, kind: AssetKind) -> (Option<SemaphorePermit<'_>>, SemaphorePermit<'_>) {
        const NEVER: &str = "the semaphore is never closed";
        let among_videos = match kind {
            AssetKind::Video => Some(self.hashing_videos.acquire().await.expect(NEVER)),
            AssetKind::Photo | AssetKind::LivePhoto => None,
        };
        (among_videos, self.hashing.acquire().await.expect(NEVER))
    }

    async fn settle(
        &self,
        job: &mut Job,
        mut sent: Option<Result<Delivered, AssetError>>,
    ) -> Result<Settled, AssetError> {
        for _ in 0..OTHERS_FIRST_MAX {
            let step = match sent.take() {
                Some(delivered) => Step::Sent(delivered?),
                None => self.settle_or_send(job).await?,
            };
            if let Step::Settled(settled) = step {
                return Ok(settled);
            }
            if let Step::Sent(Delivered::Created(file)) = step {
                self.pass_on(&job.asset, Some(file), true).await?;
                return Ok(job.asset.uploaded_as(file));
            }
            // Another device sent or edited the same picture meanwhile: the feed tells which file it is, or what it is now.
            job.is_new = false;
            feed::pull(&self.session, &self.catalog).await?;
        }
        Err(AssetError::Changed)
    }

    async fn settle_or_send(&self, job: &mut Job) -> Result<Step, AssetError> {
        if self.halt.is_cancelled() {
            return Err(AssetError::Stopped);
        }
        if !job.is_new || job.asset().offered.is_some_and(|offered| offered.mends) {
            let mended = self.mend(job).await?;
            let place = job.place();
            let settled = match self.settle_job(job, &place).await {
                Err(AssetError::Api(failure)) if !failure.conflicts().is_empty() => return Ok(Step::Anew),
                settled => settled?,
            };
            if let Some(settled) = settled {
                let settled = self.settled_as_mended(job, settled, mended).await?;
                self.forget_head_start(&job.asset, &job.content).await?;
                self.pass_on(&job.asset, settled.file, false).await?;
                return Ok(Step::Settled(settled));
            }
        }
        if let Some(edited) = self.edited(job).await? {
            let updated = self.update(job, edited).await?;
            return Ok(updated.map_or(Step::Anew, Step::Settled));
        }
        self.send(job).await.map(Step::Sent)
    }

    /// What was mended was sent, wherever else it went. What its thumbnail is made of stands in the catalog before that is due.
    async fn settled_as_mended(
        &self,
        job: &Job,
        settled: Settled,
        mended: Option<Mended>,
    ) -> Result<Settled, AssetError> {
        let Some(Mended { file, needs_thumbnail }) = mended else { return Ok(settled) };
        let settled = Settled { outcome: Outcome::Uploaded, ..settled };
        if needs_thumbnail {
            self.record(&job.place(), Some(job.content), &settled).await?;
            self.catalog.make_thumbnail_again(file, &job.asset.catalogued()).await?;
            self.thumbnails_are_due();
        }
        Ok(settled)
    }

    pub(super) async fn decide(
        &self,
        place: &Place<'_>,
        content: &ContentHash,
        is_offered: bool,
    ) -> Result<ContentDecision, CatalogError> {
        let account = self.session.account;
        let memberships = self.catalog.files_with_content(account, content).await?;
        let trash = self.catalog.trashed_with_content(content).await?;
        let album = self.albums.existing(&self.catalog, account, place.album).await?;
        // What is offered comes after every deletion: that was decided by whoever offers it.
        let first_seen = if is_offered { i64::MAX } else { self.first_seen(place, content).await? };
        let decision = decide_content(&memberships, &trash, album, first_seen);
        if decision == ContentDecision::Send
            && !is_offered
            && let Some(deleted) = self.deleted_with_other_half(place, content).await?
        {
            return Ok(deleted);
        }
        Ok(decision)
    }

    /// Everything but sending, for which it says `None`.
    pub(super) async fn settle_unsent(
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
            ContentDecision::Deleted { at } => Settled::outside(Outcome::Skipped(deleted_reason(at))),
            ContentDecision::DeletedWith { at, name } => {
                Settled::outside(Outcome::Skipped(of_video(&deleted_reason(at), &name)))
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
            Some(row) => {
                let before = self.catalog.asset(&raw(place.root), &raw(place.relative)).await?;
                let renewed = before.is_some_and(|before| before.file == Some(file));
                self.remember_copy(row, &place.appearance(), false, renewed).await
            }
            None => Ok(()),
        }
    }

    /// The vault has the content: its key, wrapped for the album, is all that is sent.
    async fn link(&self, place: &Place<'_>, row: &FileRow) -> Result<Settled, AssetError> {
        let linked = self.link_into(place.album, row).await?;
        self.remember_copy(&linked, &place.appearance(), true, false).await?;
        Ok(Settled::in_vault(Outcome::Linked, row.id))
    }

    /// Puts a file, of which this is a membership, into an album as well.
    pub(super) async fn link_into(&self, album: &DeviceAlbum, row: &FileRow) -> Result<FileRow, AssetError> {
        self.add_to(&*self.resolve(album).await?, row).await
    }

    /// The same, for an album that is known.
    pub(super) async fn add_to(&self, album: &Album, row: &FileRow) -> Result<FileRow, AssetError> {
        let key = file_key(&self.collection_key(row.collection).await?, row)?;
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
        Ok(linked)
    }

    async fn untrash(&self, album: &DeviceAlbum, row: &TrashRow) -> Result<Settled, AssetError> {
        let key = trashed_file_key(&self.collection_key(row.collection).await?, row)?;
        let album = self.resolve(album).await?;
        let files = vec![RestoreItem::new(wrap_file_key(&album.key, row.file, &key), Some(row.version))];
        let request = RestoreRequest { collection_id: album.id, files };
        self.patience.persist(|| async { Ok(self.session.api.restore_files(&request).await?) }).await?;
        self.catalog.mark_untrashed(row.file).await?;
        // Another file of the same content must see that it is back.
        feed::pull(&self.session, &self.catalog).await?;
        Ok(Settled::in_vault(Outcome::Untrashed, row.file))
    }

    pub(super) async fn resolve(&self, album: &DeviceAlbum) -> Result<Arc<Album>, AssetError> {
        self.albums.resolve(&self.session, &self.catalog, &self.patience, &self.spans, album).await
    }

    /// What the catalog holds of it when it is in the vault, as this file if that is known.
    pub(super) async fn uploaded_row(
        &self,
        job: &Job,
        file: Option<FileId>,
    ) -> Result<AssetRow, CatalogError> {
        self.row(&job.place(), Some(job.content), job.is_new, &Outcome::Uploaded, file).await
    }

    /// Records, counts and tells how an asset ended. What was stopped did not end: the next run begins it again.
    pub(super) async fn conclude(
        &self,
        asset: &Asset,
        content: Option<ContentHash>,
        settled: Result<Settled, AssetError>,
    ) {
        if !settled.as_ref().is_err_and(AssetError::is_cut_off) {
            asset.let_go_of_copies();
        }
        let settled = match settled {
            Ok(settled) => settled,
            Err(error) if matches!(error.root(), AssetError::Stopped) => return,
            Err(error) if matches!(error.root(), AssetError::Held(_)) => {
                if let AssetError::Held(wait) = error.root() {
                    self.hold(asset, wait.clone());
                }
                return;
            }
            Err(error) if matches!(error.root(), AssetError::Overtaken) => {
                self.tally().overtaken += 1;
                return;
            }
            Err(error) if error.ends_the_run() => return self.fail_with(error),
            Err(error) if error.is_gone() && asset.library.is_none() => {
                return self.finished(&asset.name(), Outcome::Skipped(GONE.to_owned())).await;
            }
            Err(error) => {
                self.weigh(&error).await;
                let failed = || Outcome::Failed(error.told());
                let outcome = if error.is_storage_full() { Outcome::NoRoom } else { failed() };
                // Of what is offered, whoever offers it decides when that is.
                let is_lasting = error.is_lasting() && asset.offered.is_none();
                Settled { is_lasting, ..Settled::outside(outcome) }
            }
        };
        if !settled.is_recorded
            && let Err(error) = self.record(&asset.place(), content, &settled).await
        {
            return self.fail(error);
        }
        if let Err(error) = self.count_turn().await {
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
        let row = self.row(place, content, false, &settled.outcome, settled.file).await?;
        self.catalog.put_asset(&AssetRow { failing: self.failing(settled.is_lasting), ..row }).await
    }

    /// What the catalog holds of an asset that ended so.
    async fn row(
        &self,
        place: &Place<'_>,
        content: Option<ContentHash>,
        is_new: bool,
        outcome: &Outcome,
        file: Option<FileId>,
    ) -> Result<AssetRow, CatalogError> {
        let (state, reason) = match outcome {
            Outcome::Skipped(reason) => (AssetState::Skipped, Some(reason.clone())),
            Outcome::NotMedia(reason) => (AssetState::NotMedia, Some(reason.clone())),
            Outcome::NoRoom => (AssetState::NoRoom, Some(AssetError::NoRoom.to_string())),
            Outcome::Failed(reason) => (AssetState::Blocked, Some(reason.clone())),
            _ => (AssetState::BackedUp, None),
        };
        let first_seen = match &content {
            Some(content) if !is_new => self.first_seen(place, content).await?,
            _ => self.clock.now,
        };
        Ok(AssetRow {
            root: raw(place.root),
            path: raw(place.relative),
            fingerprint: place.fingerprint,
            motion: place.motion.map(|(path, fingerprint)| (raw(path), fingerprint)),
            album: place.album.key.clone(),
            content_hash: content,
            file,
            state,
            reason,
            first_seen,
            last_seen: self.now,
            failing: None,
        })
    }

    /// Settles a step whose content is known from before, unless it turns out that its bytes must be sent.
    pub(super) async fn recheck(
        &self,
        root: &Arc<Path>,
        step: &plan::Step,
        content: &ContentHash,
    ) -> Result<bool, BackupError> {
        let album = self.settings.albums.album_of(root, &step.path);
        let place = Place {
            root,
            relative: &step.path,
            title: &step.path,
            fingerprint: step.fingerprint,
            motion: step.motion.as_ref().map(|(path, fingerprint)| (path.as_path(), *fingerprint)),
            album: &album,
        };
        // The long way meets the same failure, and deals with it.
        let Ok(Some(settled)) = self.settle_known(&place, content).await else { return Ok(false) };
        self.record(&place, Some(*content), &settled).await?;
        self.finished(&root.join(&step.path).into(), settled.outcome).await;
        Ok(true)
    }

    /// The same for an asset of a device's own library.
    pub(super) async fn recheck_in_library(
        &self,
        library: &[u8],
        asset: &DeviceAsset,
        album: &DeviceAlbum,
        content: &ContentHash,
    ) -> Result<bool, AssetError> {
        let (root, id, name) = (path_of(library), path_of(&asset.id.0), PathBuf::from(&asset.name));
        let before = self.catalog.asset(library, &asset.id.0).await?;
        let motion = before.and_then(|row| row.motion);
        let motion = motion.map(|(path, fingerprint)| (path_of(&path), fingerprint));
        let place = Place {
            root: &root,
            relative: &id,
            title: &name,
            fingerprint: asset.fingerprint,
            motion: motion.as_ref().map(|(path, fingerprint)| (path.as_path(), *fingerprint)),
            album,
        };
        let Some(settled) = self.settle_known(&place, content).await? else { return Ok(false) };
        self.record(&place, Some(*content), &settled).await?;
        self.finished(&name.as_path().into(), settled.outcome).await;
        Ok(true)
    }
}

impl Asset {
    pub(super) fn place(&self) -> Place<'_> {
        let known = self.library.as_deref();
        Place {
            root: known.map_or(&*self.root, |known| &known.library),
            relative: known.map_or(&self.main.relative, |known| &known.id),
            title: &self.main.relative,
            fingerprint: known.map_or(self.main.fingerprint, |known| known.fingerprint),
            motion: self.motion.as_ref().map(|motion| (motion.relative.as_path(), motion.fingerprint)),
            album: &self.album,
        }
    }
}

impl Job {
    fn place(&self) -> Place<'_> {
        self.asset.place()
    }

    pub(super) fn asset(&self) -> &Asset {
        &self.asset
    }

    pub(super) fn content(&self) -> ContentHash {
        self.content
    }

    /// The bytes, when all of them are in memory.
    pub(super) fn in_memory(&self) -> Option<Bytes> {
        self.source.in_memory().cloned()
    }

    /// Plaintext bytes.
    pub(super) fn len(&self) -> u64 {
        self.source.len()
    }

    /// Where the catalog has what it is made of: itself, and a Live Photo's video if that was an asset before.
    pub(super) fn halves(&self) -> Vec<AssetPlace> {
        std::iter::once(self.asset.catalogued()).chain(self.asset.motion_catalogued()).collect()
    }
}
