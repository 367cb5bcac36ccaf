//! What lies here as it was backed up, while its owner has brought an earlier version back in the vault. That choice stands: the vault has, or
//! had, these bytes as a version of the same file, so they are not sent again as another one, also when the server keeps that version no
//! longer. A rename keeps that choice. An edit of the file here is content of its own. What another device edited is no such choice: what it was before is kept here, and
//! goes into the vault as a file of its own, unless that file was deleted meanwhile.

use darkslide_crypto::ContentHash;

use super::error::AssetError;
use super::plan::{ContentDecision, deleted_reason};
use super::run::Run;
use super::settle::{Job, Place, Settled};
use crate::catalog::AssetState;
use crate::event::Outcome;
use crate::library::raw;
use crate::versions::has_chosen_earlier;

impl Run {
    /// Everything but sending, for which it says `None`: also where the server has it, and damaged.
    pub(super) async fn settle_known(
        &self,
        place: &Place<'_>,
        content: &ContentHash,
    ) -> Result<Option<Settled>, AssetError> {
        if self.catalog.damaged_with_content(self.session.account, content).await?.is_some() {
            return Ok(None);
        }
        let decision = self.decide(place, content, false).await?;
        self.settle_decided(place, content, false, decision).await
    }

    /// The same of a job, which may be offered for something.
    pub(super) async fn settle_job(
        &self,
        job: &Job,
        place: &Place<'_>,
    ) -> Result<Option<Settled>, AssetError> {
        let (content, is_offered) = (job.content(), job.asset().offered.is_some());
        let decision = self.decide(place, &content, is_offered).await?;
        let decision = self.as_offered(job, decision).await?;
        self.settle_decided(place, &content, is_offered, decision).await
    }

    async fn settle_decided(
        &self,
        place: &Place<'_>,
        content: &ContentHash,
        is_offered: bool,
        decision: ContentDecision,
    ) -> Result<Option<Settled>, AssetError> {
        if decision != ContentDecision::Send || is_offered {
            return self.settle_unsent(place, decision).await;
        }
        if let Some(decision) = self.without_other_half(place, content).await? {
            return self.settle_unsent(place, decision).await;
        }
        self.settle_replaced(place, content).await
    }

    /// Settles what is not what the file is that it was backed up as: where its owner replaced it by an earlier version, or deleted that file.
    async fn settle_replaced(
        &self,
        place: &Place<'_>,
        content: &ContentHash,
    ) -> Result<Option<Settled>, AssetError> {
        let known = self.catalog.asset(&raw(place.root), &raw(place.relative)).await?;
        // What was skipped with its file is looked at again in every run.
        let is_dealt_with = |state| matches!(state, AssetState::BackedUp | AssetState::Skipped);
        let is_new = known.is_none();
        let known = known.filter(|row| is_dealt_with(row.state) && row.content_hash == Some(*content));
        let file = match known.and_then(|row| row.file) {
            None if is_new => self.catalog.file_before_move(content, &place.fingerprint).await?,
            file => file,
        };
        let Some(file) = file else { return Ok(None) };
        let was_replaced = self.catalog.is_replaced_content(file, content).await?;
        if let Some(at) = self.catalog.deleted_at(file).await? {
            // With the file its versions are deleted, whoever made later ones, if this one was here before.
            let is_deleted = self.first_seen(place, content).await? <= at;
            return Ok(is_deleted.then(|| Settled::in_vault(Outcome::Skipped(deleted_reason(at)), file)));
        }
        if !was_replaced {
            if !has_chosen_earlier(&self.session, &self.catalog, file, *content).await? {
                return Ok(None);
            }
            self.catalog.record_replaced_content(file, content).await?;
        }
        Ok(Some(Settled::in_vault(Outcome::Linked, file)))
    }
}
