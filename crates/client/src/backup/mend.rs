//! What is known to be damaged on the server is sent again by whoever has it: an asset whose content is exactly that of the file becomes what the file
//! is, under the same number and content tag, in the same albums, with the same name and dates.
//!
//! The server is asked first whether it still is so, and where it knows of no damage, what a download found is looked for by another one: the line, or
//! what stands on it, may have made that of the bytes. Only an original that was read whole and hashed goes; files of others are theirs to mend.

use std::sync::Arc;
use std::time::Duration;

use darkslide_crypto::keys::FileKey;
use darkslide_media::thumbnail::PLACEHOLDER;
use darkslide_protocol::file::UpdateRequest;
use darkslide_protocol::{FileId, Opaque, Version};

use super::albums::Album;
use super::commit::{reference, sealed_metadata};
use super::error::AssetError;
use super::run::Run;
use super::settle::{Job, OTHERS_FIRST_MAX};
use super::upload::StoredObject;
use crate::catalog::FileRow;
use crate::download::{Source, download_thumbnail};
use crate::event::Events;
use crate::feed;
use crate::keys::{file_key, stream_header};
use crate::receipt::receipts_of;
use crate::verify::{look_again, subjects_of};

/// How long the thumbnail that a file has is waited for: where it does not come, one is made.
const THUMBNAIL_AT_MOST: Duration = Duration::from_secs(20);

/// A file that was mended.
pub(super) struct Mended {
    /// Which.
    pub(super) file: FileId,
    /// Its thumbnail was damaged too, and has to be made.
    pub(super) needs_thumbnail: bool,
}

/// A file whose original is damaged.
struct Damaged {
    /// A membership of it.
    row: FileRow,
    /// Its version when it was looked at.
    version: Option<Version>,
}

impl Run {
    /// Sends an original again whose copy on the server is damaged. Where it is not any more, or others are faster, nothing is done; either way it
    /// is settled as any other then.
    pub(super) async fn mend(&self, job: &Job) -> Result<Option<Mended>, AssetError> {
        let Some(damaged) = self.damaged(job).await? else { return Ok(None) };
        if !self.says_damaged(&damaged.row).await? {
            self.look_again(&damaged.row).await?;
        }
        let Some(damaged) = self.damaged(job).await? else { return Ok(None) };
        let row = &damaged.row;
        let collection = self.collection_key(row.collection).await?;
        let key = Arc::new(file_key(&collection, row)?);
        let album = Album { id: row.collection, key: collection };
        let thumbnail = self.thumbnail_of(row, &key).await;
        let jpeg = thumbnail.as_deref().unwrap_or(PLACEHOLDER);
        let [original, small] = self.send_contents(job, &album, &key, jpeg).await?;
        let request = self.mending(job, &damaged, &key, [&original, &small]);
        if request.file.decryption_header == row.object_header {
            // An upload that had become what is damaged, by a run that was killed before it noted that.
            self.catalog.end_upload(&job.content()).await?;
            return Ok(None);
        }
        let needs_thumbnail = thumbnail.is_none();
        if needs_thumbnail {
            // Before it is: whoever is killed behind the commit leaves it to the next run.
            self.catalog.make_thumbnail_again(row.id, &job.asset().catalogued()).await?;
        }
        let thumbnail = Some(&row.thumbnail_header).filter(|_| !needs_thumbnail);
        let mended = self.mend_as_seen(job, request, thumbnail).await?;
        // Committed, or never to be: this key and header are not used again.
        self.catalog.end_upload(&job.content()).await?;
        let Some(versions) = mended else { return Ok(None) };
        if let (Some(before), after) = versions {
            self.catalog.follow_mending(row.id, &job.content(), (before, after)).await?;
        }
        self.catalog.forget_damage(row.id).await?;
        if let Err(error) = feed::pull(&self.session, &self.catalog).await {
            // It is safe; the next run reads what the feed says of it.
            tracing::debug!(%error, file = %row.id, "the catalog hears of a mended picture later");
        }
        self.tally().mended += 1;
        Ok(Some(Mended { file: row.id, needs_thumbnail }))
    }

    /// A file of this very content whose original is damaged, as far as is known.
    async fn damaged(&self, job: &Job) -> Result<Option<Damaged>, AssetError> {
        let account = self.session.account;
        let Some(row) = self.catalog.damaged_with_content(account, &job.content()).await? else {
            return Ok(None);
        };
        // Read first, as for an edit: what the feed tells between the two is then a conflict.
        let version = self.catalog.version_of(account, row.id).await?;
        let row = self.catalog.damaged_with_content(account, &job.content()).await?;
        Ok(row.map(|row| Damaged { row, version }))
    }

    /// Has the server look at its copy once more, and tells whether it says that it is damaged: whoever runs it may have brought it back. It is also how
    /// it learns of what a download found.
    async fn says_damaged(&self, row: &FileRow) -> Result<bool, AssetError> {
        let ask = || async {
            let subjects = subjects_of(&self.session, &self.catalog, vec![row.clone()]).await?;
            Ok(receipts_of(&self.session, &self.catalog, subjects, &Events::silent()).await?)
        };
        let said = self.patience.persist(ask).await?;
        Ok(said.is_some_and(|(said, _)| said.failed.iter().any(|failed| failed.damaged)))
    }

    /// Downloads what is still known to be damaged once more. A video of gigabytes takes its time; sending it again takes more.
    async fn look_again(&self, row: &FileRow) -> Result<(), AssetError> {
        if self.catalog.damage_of(row.id).await?.is_none() {
            return Ok(());
        }
        let look = || async { Ok(look_again(&self.session, &self.catalog, row.clone()).await?) };
        self.patience.persist(look).await
    }

    /// The thumbnail that the file has, if it is whole and comes soon.
    async fn thumbnail_of(&self, row: &FileRow, key: &FileKey) -> Option<Vec<u8>> {
        let header = stream_header(&row.thumbnail_header)?;
        let source = Source { file: row.id, key, header };
        let fetching = download_thumbnail(&self.session.api, &source);
        tokio::time::timeout(THUMBNAIL_AT_MOST, fetching).await.ok()?.ok()
    }

    /// The same file with new bytes: what is said of it is what was said of it.
    fn mending(
        &self,
        job: &Job,
        damaged: &Damaged,
        key: &FileKey,
        [original, thumbnail]: [&StoredObject; 2],
    ) -> UpdateRequest {
        let metadata = damaged.row.metadata.as_deref().expect("a content hash is known from metadata");
        UpdateRequest {
            id: damaged.row.id,
            file: reference(original),
            thumbnail: reference(thumbnail),
            metadata: sealed_metadata(key, metadata.as_bytes()),
            content_tag: Some(self.session.content_tag(&job.content())),
            if_version: damaged.version,
        }
    }

    /// Makes the new bytes the file's, if it still has those that are damaged. Gives its version right before, where that was asked for, and the one that
    /// it has for this; none where it did not. What others said of it meanwhile is no reason against that, but another thumbnail than the one that goes along is:
    /// the next run takes it along.
    async fn mend_as_seen(
        &self,
        job: &Job,
        mut request: UpdateRequest,
        thumbnail: Option<&Opaque>,
    ) -> Result<Option<(Option<Version>, Version)>, AssetError> {
        for _ in 0..OTHERS_FIRST_MAX {
            let updated =
                self.patience.persist(|| async { Ok(self.session.api.update_file(&request).await?) }).await;
            match updated {
                Err(AssetError::Api(failure)) if failure.is_conflict() || failure.is_missing() => {}
                updated => return updated.map(|now| Some((request.if_version, now.updation_time))),
            }
            self.patience.persist(|| async { Ok(feed::pull(&self.session, &self.catalog).await?) }).await?;
            match self.damaged(job).await? {
                Some(Damaged { row, version })
                    if row.id == request.id
                        && thumbnail.is_none_or(|header| *header == row.thumbnail_header) =>
                {
                    request.if_version = version;
                }
                _ => return Ok(None),
            }
        }
        Ok(None)
    }
}
