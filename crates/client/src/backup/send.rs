//! An asset that the vault does not have, on its way into it: room is set aside, it becomes a parcel, and is handed in. What is large goes
//! ahead of its parcel.

use std::sync::Arc;

use darkslide_crypto::keys::FileKey;

use super::albums::Album;
use super::batch::Delivered;
use super::error::AssetError;
use super::hash::on_disk;
use super::packing::Packing;
use super::run::Run;
use super::settle::Job;
use super::told::IS_OWED;
use super::upload::{Original, StoredObject, Uploads, WHOLE_OBJECT_MAX};
use crate::library::device::AssetKind;

impl Run {
    /// Seals what is small, sends what is large, and hands in what makes a file of it.
    pub(super) async fn send(&self, job: &mut Job) -> Result<Delivered, AssetError> {
        self.room.take(job.source.len())?;
        let album = self.resolve(&job.asset.album).await?;
        let (mut delivered, mut thumbnail_is_due) = (Err(AssetError::Stopped), false);
        for goes_ahead in [job.source.in_memory().is_none() || !self.limit.takes(job.len()), true] {
            (delivered, thumbnail_is_due) = self.send_once(job, &album, goes_ahead).await?;
            // What was too much for one request goes once more, in pieces.
            if goes_ahead || !delivered.as_ref().is_err_and(AssetError::is_too_large_a_request) {
                break;
            }
        }
        self.account_for(job, &delivered, thumbnail_is_due);
        delivered
    }

    /// Sends it once, its original ahead or with it; says whether its thumbnail is due.
    async fn send_once(
        &self,
        job: &mut Job,
        album: &Arc<Album>,
        goes_ahead: bool,
    ) -> Result<(Result<Delivered, AssetError>, bool), AssetError> {
        let original = if goes_ahead { Some(self.send_original(job, album, None).await?) } else { None };
        let packing = self.packing(job, Arc::clone(album), original).await?;
        let thumbnail_is_due = packing.thumbnail_is_due;
        let bytes = packing.plain.as_ref().map_or(0, |plain| plain.len() as u64);
        let parcel = self.sealing.ask(packing, bytes).await;
        let delivered = self.counter().deliver(parcel).await;
        let refused =
            |error: &AssetError| matches!(error.root(), AssetError::Api(_)) && !error.is_transient();
        if goes_ahead && delivered.as_ref().map_or_else(refused, |_| true) {
            // Committed, or refused for good: either way this key and header are not used again.
            self.catalog.end_upload(&job.content).await?;
        }
        Ok((delivered, thumbnail_is_due))
    }

    /// What becomes the parcel of an asset that is surely new.
    pub(super) async fn packing_of(&self, job: &mut Job) -> Result<Packing, AssetError> {
        if self.halt.is_cancelled() {
            return Err(AssetError::Stopped);
        }
        self.room.take(job.source.len())?;
        let album = self.resolve(&job.asset.album).await?;
        self.packing(job, album, None).await
    }

    /// Counts what was delivered, and gives the room back that was set aside for what was not.
    pub(super) fn account_for(
        &self,
        job: &Job,
        delivered: &Result<Delivered, AssetError>,
        thumbnail_is_due: bool,
    ) {
        if matches!(delivered, Ok(Delivered::Created(_))) {
            self.tally().placeholders += u64::from(!thumbnail_is_due);
        } else {
            self.room.give_back(job.source.len());
        }
    }

    /// What becomes a parcel. From here on the job has no bytes in memory, and takes no room there.
    async fn packing(
        &self,
        job: &mut Job,
        album: Arc<Album>,
        original: Option<(FileKey, StoredObject)>,
    ) -> Result<Packing, AssetError> {
        let mut row = self.uploaded_row(job, None).await?;
        row.reason = job.asset.is_owed_more().then(|| IS_OWED.to_owned());
        // The job does not keep what is sealed now: whoever must seal it again reads it again.
        let plain = job.source.in_memory().cloned();
        if plain.is_some() {
            job.source = on_disk(&job.asset.main, job.content);
        }
        Ok(Packing {
            asset: job.asset.clone(),
            content: job.content,
            tag: self.session.content_tag(&job.content),
            plain,
            original,
            thumbnail_is_due: self.settings.thumbnailer.may_make(&job.asset.subject()),
            album,
            row,
            account: self.session.account,
            room: job.room.take(),
        })
    }

    /// Under the given key, or a new one.
    pub(super) async fn send_original(
        &self,
        job: &Job,
        album: &Album,
        key: Option<Arc<FileKey>>,
    ) -> Result<(FileKey, StoredObject), AssetError> {
        let lane = match job.asset.kind() {
            _ if job.source.len() <= WHOLE_OBJECT_MAX => &self.small_uploads,
            AssetKind::Video => &self.large_video_uploads,
            AssetKind::Photo | AssetKind::LivePhoto => &self.large_photo_uploads,
        };
        let _turn = lane.acquire().await.expect("the semaphore is never closed");
        let original = Original {
            name: job.asset.name(),
            kind: job.asset.kind(),
            content: job.content,
            source: job.source.clone(),
            key,
        };
        self.uploads().send_original(&original, album).await
    }

    pub(super) fn uploads(&self) -> Uploads<'_> {
        Uploads {
            session: &self.session,
            catalog: &self.catalog,
            patience: &self.patience,
            urls: &self.urls,
            expected: self.objects_expected(),
            sent: &self.sent,
            events: &self.events,
            now: self.now,
            gate: &self.gate,
            limit: &self.limit,
            library: self.library.as_ref().map(|library| library.id()),
        }
    }
}
