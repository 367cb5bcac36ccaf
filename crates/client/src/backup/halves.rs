//! The halves of a Live Photo, of which one came or went since the vault was told. What the pair is in the vault goes by its still: where that was
//! deleted, a video that comes to it does not bring it back, and one that goes does not either; and a still that has lost its video is in the
//! vault as long as the pair is.

use darkslide_crypto::ContentHash;

use super::error::AssetError;
use super::plan::{ContentDecision, decide_content};
use super::run::Run;
use super::settle::Place;
use crate::catalog::{CatalogError, still_of};
use crate::library::raw;

impl Run {
    /// When its owner deleted the still of this content from the vault, alone or with a video, if it was here before that.
    pub(super) async fn deleted_with_its_still(
        &self,
        place: &Place<'_>,
        content: &ContentHash,
    ) -> Result<Option<i64>, CatalogError> {
        let trash = self.catalog.trashed_with_still(self.session.account, &still_of(content)).await?;
        let Some(at) = trash.iter().map(|row| row.trashed_at).max() else { return Ok(None) };
        let mut seen = self.first_seen(place, content).await?;
        for half in trash.iter().filter_map(|row| row.content_hash) {
            seen = seen.min(self.first_seen(place, &half).await?);
        }
        Ok((seen <= at).then_some(at))
    }

    /// Of a still that was a Live Photo with its video when it was last dealt with, what is to be done with it while the vault has that.
    pub(super) async fn without_video(
        &self,
        place: &Place<'_>,
        content: &ContentHash,
    ) -> Result<Option<ContentDecision>, AssetError> {
        let (root, path) = (raw(place.root), raw(place.relative));
        let file = match self.catalog.asset(&root, &path).await? {
            Some(row) if row.path == path && row.content_hash.as_ref().map(still_of) == Some(*content) => {
                row.file
            }
            Some(_) => None,
            None => self.catalog.file_before_move(content, &place.fingerprint).await?,
        };
        let Some(file) = file else { return Ok(None) };
        let account = self.session.account;
        let now = self.catalog.own_memberships(account, file).await?;
        let pair = now.iter().find_map(|row| row.content_hash.filter(|stored| still_of(stored) == *content));
        let Some(pair) = pair else { return Ok(None) };
        let mut memberships = self.catalog.files_with_content(account, &pair).await?;
        memberships.retain(|row| row.id == file);
        let album = self.albums.existing(&self.catalog, account, place.album).await?;
        Ok(Some(decide_content(&memberships, &[], album, self.now)))
    }
}
