//! An edited picture becomes a new version of its file; what it was before stays reachable for as long as the server keeps it.
//!
//! A device's library says itself that it is the same asset. In a folder, also in one that is a library, only the place is the same, and
//! cameras use names again: there a picture counts as edited only if it also says that it was taken at the same moment, and was written a
//! good while later, and nobody saw the place empty in between; a Live Photo also if it has the still that it had, and a video of the same
//! identifier, or which says that it was taken with that still, was written a good while later. Anything else is a picture of its own. But where the video of a Live Photo comes to its still, or the still to its video, both are as they were: then
//! the file that the first one is becomes the Live Photo.

use std::sync::Arc;

use darkslide_crypto::ContentHash;
use darkslide_crypto::keys::FileKey;
use darkslide_crypto::stream::{OVERHEAD, StreamEncryptor, StreamHeader, blob};
use darkslide_media::dates::{CaptureTime, DateSource};
use darkslide_media::thumbnail::PLACEHOLDER;
use darkslide_protocol::file::{File, UpdateRequest};
use darkslide_protocol::{FileId, Opaque, Version};
use serde_json::{Map, Value};

use super::albums::Album;
use super::batch::SealedObject;
use super::commit::{reference, sealed_metadata};
use super::describe;
use super::error::AssetError;
use super::identify::{Asset, Offered};
use super::packing::stored;
use super::run::Run;
use super::settle::{Job, OTHERS_FIRST_MAX, Settled};
use super::superseded::superseded;
use super::upload::StoredObject;
use crate::catalog::{AssetPlace, CatalogError, FileRow, InVault, UploadedRows, still_of};
use crate::event::Outcome;
use crate::feed;
use crate::keys::file_key;

/// How much later an edit is written than what it was made of. Pictures of one burst say the same second, and take each other's names
/// when their owner tidies up; they were written within moments.
const EDIT_DELAY_NS: i64 = 60_000_000_000;

/// How far apart the two halves of a Live Photo say that they were taken, at most, µs: the video begins before the still, and lasts three seconds.
const TAKEN_TOGETHER: i64 = 5_000_000;

/// A file that is to get new contents.
pub(super) struct Edited {
    /// A membership of it.
    before: FileRow,
    /// Its version when it was looked at.
    version: Option<Version>,
}

/// What an asset was.
struct Before {
    was: InVault,
    /// It is as it was, one half of a Live Photo, and the other half came.
    is_completed: bool,
}

impl Run {
    /// The file of which this content is a new version.
    pub(super) async fn edited(&self, job: &Job) -> Result<Option<Edited>, AssetError> {
        let asset = job.asset();
        if let Some(offered) = asset.offered {
            return self.replaced(job, offered).await;
        }
        if !asset.is_changed {
            return Ok(None);
        }
        let Some(Before { was, is_completed }) = self.what_it_was(job).await? else { return Ok(None) };
        let is_same_asset = asset.library.as_ref().is_some_and(|known| !known.is_place);
        // What was gone in between is another one where only the place is the same: what it was may be nowhere else.
        let is_another = was.was_gone && !is_same_asset && !is_completed;
        // A Live Photo whose video is not there now keeps it, and what others of this device rely on stays what it is.
        let loses_motion = was.is_live && asset.motion.is_none();
        if is_another || loses_motion || self.is_relied_on(was.file, job.halves()).await? {
            return Ok(None);
        }
        // Read first: what the feed tells between the two is then a conflict.
        let version = self.catalog.version_of(self.session.account, was.file).await?;
        let memberships = self.catalog.own_memberships(self.session.account, was.file).await?;
        let captured = &asset.probe.captured;
        let later = asset.main.fingerprint.modified_ns.saturating_sub(was.modified_ns);
        let is_told = is_told(captured);
        let is_edit = is_same_asset
            || is_completed
            || (is_told && later >= EDIT_DELAY_NS)
            || self.has_edited_video(asset, &was, job.content()).await;
        // The file must still be what this asset was: nobody else's edit is replaced.
        let is_this = |row: &FileRow| {
            (row.taken == captured.micros || is_completed)
                && row.content_hash == Some(was.content)
                && was.content != job.content()
        };
        let before = memberships.into_iter().find(|row| is_edit && is_this(row));
        Ok(before.map(|before| Edited { before, version }))
    }

    /// Whether it is the Live Photo that it was by its still, and its video was written a good while later. Where only their names make them one, and not
    /// Apple's identifier, the video must say that it was taken with that still: cameras use names again.
    async fn has_edited_video(&self, asset: &Asset, was: &InVault, content: ContentHash) -> bool {
        let (Some(video), Some(before)) = (&asset.motion, was.motion_modified_ns) else { return false };
        let is_later = video.fingerprint.modified_ns.saturating_sub(before) >= EDIT_DELAY_NS;
        if !is_later || still_of(&was.content) != still_of(&content) {
            return false;
        }
        if asset.probe.live_identifier.is_some() {
            return true;
        }
        let still = &asset.probe.captured;
        let alone = self.video_alone(asset).await;
        alone.map(|video| video.probe.captured).is_some_and(|video| {
            let apart = video.micros.saturating_sub(still.micros).saturating_abs();
            is_told(still) && is_told(&video) && apart <= TAKEN_TOGETHER
        })
    }

    /// What was in the vault at this place, or of a Live Photo whose still is new, what its video was.
    async fn what_it_was(&self, job: &Job) -> Result<Option<Before>, CatalogError> {
        let asset = job.asset();
        let AssetPlace { root, path } = job.asset().catalogued();
        let halves = match job.content() {
            ContentHash::LivePhoto { image, video } => {
                Some([image, video].map(ContentHash::Single)).filter(|_| asset.motion.is_some())
            }
            ContentHash::Single(_) => None,
        };
        if let Some(was) = self.catalog.in_vault(&root, &path).await? {
            let is_completed = halves.is_some_and(|[still, _]| was.content == still);
            return Ok(Some(Before { was, is_completed }));
        }
        let Some([_, motion]) = halves.filter(|_| asset.library.is_none()) else { return Ok(None) };
        let Some(AssetPlace { root, path }) = asset.motion_catalogued() else { return Ok(None) };
        let video = self.catalog.in_vault(&root, &path).await?;
        let video = video.filter(|was| was.content == motion);
        Ok(video.map(|was| Before { was, is_completed: true }))
    }

    /// The file that an offer replaces, if it still is what it is replaced as, and no other asset of this device relies on that.
    async fn replaced(&self, job: &Job, offered: Offered) -> Result<Option<Edited>, AssetError> {
        let Some((file, content)) = offered.replaces else { return Ok(None) };
        if content == job.content() || self.is_relied_on(file, job.halves()).await? {
            return Ok(None);
        }
        let version = self.catalog.version_of(self.session.account, file).await?;
        let memberships = self.catalog.own_memberships(self.session.account, file).await?;
        let before = memberships.into_iter().find(|row| row.content_hash == Some(content));
        Ok(before.map(|before| Edited { before, version }))
    }

    /// Sends it, and makes it what the file is; `None` where another device made it something else meanwhile.
    pub(super) async fn update(&self, job: &Job, edited: Edited) -> Result<Option<Settled>, AssetError> {
        self.room.take(job.len())?;
        let updated = self.update_in_room(job, edited).await;
        if !matches!(updated, Ok(Some(_))) {
            self.room.give_back(job.len());
        }
        updated
    }

    async fn update_in_room(&self, job: &Job, edited: Edited) -> Result<Option<Settled>, AssetError> {
        let before = &edited.before;
        let collection = self.collection_key(before.collection).await?;
        let key = Arc::new(file_key(&collection, before)?);
        let thumbnail_is_due = self.settings.thumbnailer.may_make(&job.asset().subject());
        let album = Album { id: before.collection, key: collection };
        let [original, thumbnail] = self.send_contents(job, &album, &key, PLACEHOLDER).await?;
        let supersedes = superseded(job, before).await;
        let objects = [&original, &thumbnail];
        let request = self.update_request(job, &edited, &key, objects, !thumbnail_is_due, supersedes);
        let is_updated = self.update_as_seen(job, request).await?;
        // Committed, or never to be: this key and header are not used again.
        self.catalog.end_upload(&job.content()).await?;
        if !is_updated {
            return Ok(None);
        }
        let asset = self.uploaded_row(job, Some(before.id)).await?;
        let sent = Opaque::encode(original.header.as_bytes());
        let thumbnails_due = thumbnail_is_due.then_some((before.id, sent)).into_iter().collect();
        let rows = UploadedRows { files: Vec::new(), assets: vec![asset], thumbnails_due };
        self.catalog.record_uploads(&rows, &mut *self.spans.lock().await).await?;
        if let [still, video] = job.halves().as_slice() {
            // It was an asset of its own before.
            self.catalog.forget_half(video, still).await?;
        }
        if let Err(error) = self.say_anew(job, before.id, !thumbnail_is_due).await {
            // It is safe; how large it is in pixels can be told another time.
            tracing::debug!(%error, file = %before.id, "what is said of an edited picture stays as it was");
        }
        if let Err(error) = feed::pull(&self.session, &self.catalog).await {
            // It is safe; the next run reads what the feed says of it.
            tracing::debug!(%error, file = %before.id, "the catalog hears of an edited picture later");
        }
        // Behind what is said anew, which would take back that there is none.
        self.thumbnails_are_due();
        Ok(Some(Settled::recorded(Outcome::Uploaded, before.id)))
    }

    /// Makes the new contents the file's, if it still is what this device has seen; says whether it did. What others said of it
    /// meanwhile is no reason against that.
    async fn update_as_seen(&self, job: &Job, mut request: UpdateRequest) -> Result<bool, AssetError> {
        for _ in 0..OTHERS_FIRST_MAX {
            let updated =
                self.patience.persist(|| async { Ok(self.session.api.update_file(&request).await?) }).await;
            match updated {
                Err(AssetError::Api(failure)) if failure.is_conflict() => {}
                updated => return updated.map(|_| true),
            }
            self.patience.persist(|| async { Ok(feed::pull(&self.session, &self.catalog).await?) }).await?;
            match self.edited(job).await? {
                Some(Edited { before, version }) if before.id == request.id => request.if_version = version,
                _ => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Sends the original under its file's key, and a thumbnail: together where one request takes both.
    pub(super) async fn send_contents(
        &self,
        job: &Job,
        album: &Album,
        key: &Arc<FileKey>,
        jpeg: &[u8],
    ) -> Result<[StoredObject; 2], AssetError> {
        loop {
            let mut objects = Vec::with_capacity(2);
            let together = job.in_memory().filter(|_| self.limit.takes(job.len()));
            let may_be_divided = together.is_some();
            let original = match together {
                Some(plain) => {
                    let header = StreamHeader::generate();
                    let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
                    StreamEncryptor::new(key, &header)
                        .finish(&plain, &mut sealed)
                        .expect("what is kept in memory is at most one chunk");
                    stored(self.session.account, header, sealed.into(), &mut objects)
                }
                None => self.send_original(job, album, Some(Arc::clone(key))).await?.1,
            };
            let thumbnail = blob::seal(&**key, jpeg);
            let (header, bytes) = (thumbnail.header, thumbnail.ciphertext.into());
            let thumbnail = stored(self.session.account, header, bytes, &mut objects);
            match self.send_objects(job, &objects).await {
                Err(error)
                    if may_be_divided && error.is_too_large_a_request() && !self.limit.takes(job.len()) => {}
                sent => return sent.map(|()| [original, thumbnail]),
            }
        }
    }

    async fn send_objects(&self, job: &Job, objects: &[SealedObject]) -> Result<(), AssetError> {
        let mut pieces = Vec::with_capacity(objects.len() * 2);
        for object in objects {
            object.frame(&mut pieces);
        }
        let bytes = objects.iter().map(|object| object.bytes.len() as u64).sum();
        let send = || async {
            let _under_way = self.gate.pass(job.asset().kind(), bytes)?;
            Ok(self.session.api.batch(pieces.clone(), &self.sent).await?)
        };
        let sent = self.patience.persist(send).await;
        sent.map(drop).map_err(|error| self.limit.weigh(bytes, error))
    }

    fn update_request(
        &self,
        job: &Job,
        edited: &Edited,
        key: &FileKey,
        [original, thumbnail]: [&StoredObject; 2],
        is_placeholder: bool,
        supersedes: Option<ContentHash>,
    ) -> UpdateRequest {
        let mut metadata = describe::metadata(job.asset(), &job.content(), is_placeholder);
        if let Some(before) = supersedes {
            describe::supersede(&mut metadata, &before);
        }
        UpdateRequest {
            id: edited.before.id,
            file: reference(original),
            thumbnail: reference(thumbnail),
            metadata: sealed_metadata(key, &metadata.to_json()),
            content_tag: Some(self.session.content_tag(&job.content())),
            if_version: edited.version,
        }
    }

    /// What everybody sees of it, such as its size in pixels, follows; what others wrote there stays.
    async fn say_anew(&self, job: &Job, file: FileId, is_placeholder: bool) -> Result<(), AssetError> {
        let public = describe::public_metadata(job.asset(), is_placeholder).to_json();
        let public: Map<String, Value> = serde_json::from_slice(&public).expect("metadata are a JSON object");
        let change = |_: &File, keys: &mut Map<String, Value>| {
            let before = keys.clone();
            keys.remove("noThumb");
            keys.extend(public.clone());
            *keys != before && !keys.is_empty()
        };
        self.change_public(file, change).await
    }
}

/// Whether it says itself when it was taken.
fn is_told(captured: &CaptureTime) -> bool {
    use DateSource::{ExifModified, FileModified, FileName};
    !matches!(captured.source, FileName | ExifModified | FileModified)
}
