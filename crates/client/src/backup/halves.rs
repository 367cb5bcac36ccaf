//! The halves of a Live Photo, of which one came or went since the vault was told. What the pair is in the vault goes by its still: where that was
//! deleted, a video that comes to it does not bring it back, and one that goes does not either; and a half that has lost the other is in the
//! vault as long as the pair is. But only Apple's identifier says for sure that two files are one: where nothing but the name does, a video
//! beside a still that was deleted is looked at by itself.

use std::sync::Arc;
use std::time::SystemTime;

use darkslide_crypto::ContentHash;

use super::claims::Claim;
use super::error::AssetError;
use super::hash::hash;
use super::identify::{Asset, Look, Surroundings, Told, look};
use super::plan::{ContentDecision, decide_content};
use super::run::Run;
use super::settle::Place;
use super::vault_clock::Since;
use crate::catalog::{Came, CatalogError, TrashRow, VideoOf, still_of, video_of};
use crate::library::settle::came;
use crate::library::{path_of, raw};

impl Run {
    /// What is to be done where its owner deleted the still of this content from the vault, alone or with a video, or the Live Photo that it is the
    /// video of, if it was here before that.
    pub(super) async fn deleted_with_other_half(
        &self,
        place: &Place<'_>,
        content: &ContentHash,
    ) -> Result<Option<ContentDecision>, CatalogError> {
        let trash = self.catalog.trashed_with_still(self.session.account, &still_of(content)).await?;
        if let Some(latest) = latest(&trash) {
            let mut seen = self.first_seen(place, content).await?;
            for pair in trash.iter().filter_map(|row| row.content_hash) {
                seen = seen.min(self.first_seen(place, &pair).await?);
            }
            return Ok(
                (seen <= latest.trashed_at).then_some(ContentDecision::Deleted { at: latest.trashed_at })
            );
        }
        let trash = self.catalog.trashed_with_video(self.session.account, content).await?;
        let Some(latest) = latest(&trash) else { return Ok(None) };
        let at = latest.trashed_at;
        let mut seen = self.first_seen(place, content).await?;
        // One that was gone was brought back after that.
        for known in self.known_as_video(place, content).await?.into_iter().filter(|known| !known.was_gone) {
            if trash.iter().any(|row| row.content_hash == Some(known.content)) {
                seen = seen.min(known.first_seen);
            }
        }
        let name = latest.title.clone().unwrap_or_else(|| "a Live Photo".to_owned());
        Ok((seen <= at).then_some(ContentDecision::DeletedWith { at, name }))
    }

    /// Of a half that was a Live Photo with the other when it was last dealt with, what is to be done with it while the vault has that.
    pub(super) async fn without_other_half(
        &self,
        place: &Place<'_>,
        content: &ContentHash,
    ) -> Result<Option<ContentDecision>, AssetError> {
        let (root, path) = (raw(place.root), raw(place.relative));
        let known = match self.catalog.asset(&root, &path).await? {
            Some(row) if row.path == path && row.content_hash.as_ref().map(still_of) == Some(*content) => {
                vec![row.file]
            }
            Some(row) if row.path == path => Vec::new(),
            _ => {
                let before = self.catalog.file_before_move(content, &place.fingerprint).await?;
                vec![before, self.catalog.pair_before_move(content, &place.fingerprint).await?]
            }
        };
        let videos = self.known_as_video(place, content).await?;
        for file in known.into_iter().chain(videos.into_iter().map(|known| known.file)).flatten() {
            let account = self.session.account;
            let now = self.catalog.own_memberships(account, file).await?;
            let is_half = |pair: &ContentHash| still_of(pair) == *content || video_of(pair) == Some(*content);
            let Some(pair) = now.iter().find_map(|row| row.content_hash.filter(is_half)) else { continue };
            let mut memberships = self.catalog.files_with_content(account, &pair).await?;
            memberships.retain(|row| row.id == file);
            let album = self.albums.existing(&self.catalog, account, place.album).await?;
            return Ok(Some(decide_content(&memberships, &[], album, self.now)));
        }
        Ok(None)
    }

    /// The Live Photos of which this very file was the video here.
    async fn known_as_video(
        &self,
        place: &Place<'_>,
        content: &ContentHash,
    ) -> Result<Vec<VideoOf>, CatalogError> {
        if matches!(content, ContentHash::LivePhoto { .. }) {
            return Ok(Vec::new());
        }
        let came = match self.since {
            Since::Arrival => {
                let path = place.root.join(place.relative);
                let looking = tokio::task::spawn_blocking(move || came(&path, SystemTime::now()));
                looking.await.expect("looking at a file does not panic")
            }
            Since::Seen | Since::Listing | Since::Had => Came::default(),
        };
        let (root, path) = (raw(place.root), raw(place.relative));
        self.catalog.known_as_video(content, &root, &path, &place.fingerprint, came).await
    }

    /// Parts what only its name calls a Live Photo, where its owner deleted the still from the vault: the video may be another picture.
    pub(super) async fn parted(&self, hashed: Vec<Claim>) -> Result<Vec<Claim>, CatalogError> {
        let mut parted = Vec::with_capacity(hashed.len());
        for (asset, hashed, room) in hashed {
            let is_parted = match &hashed {
                Ok(hashed) if is_by_name(&asset) => self.is_deleted_still(&asset, &hashed.content).await?,
                _ => false,
            };
            match if is_parted { self.video_alone(&asset).await } else { None } {
                Some(video) => {
                    let still = Asset { motion: None, ..asset };
                    parted.extend([self.hashed_again(still).await, self.hashed_again(video).await]);
                }
                None => parted.push((asset, hashed, room)),
            }
        }
        Ok(parted)
    }

    async fn is_deleted_still(&self, asset: &Asset, pair: &ContentHash) -> Result<bool, CatalogError> {
        if !matches!(pair, ContentHash::LivePhoto { .. }) {
            return Ok(false);
        }
        let memberships = self.catalog.files_with_content(self.session.account, pair).await?;
        let is_known = memberships.iter().any(|row| !row.deleted)
            || !self.catalog.trashed_with_content(pair).await?.is_empty();
        Ok(!is_known && self.deleted_with_other_half(&asset.place(), pair).await?.is_some())
    }

    /// The video of a pair as an asset of its own; none where it cannot be looked at now.
    pub(super) async fn video_alone(&self, pair: &Asset) -> Option<Asset> {
        let (place, video) = (pair.motion_catalogued()?, pair.motion.clone()?);
        let (root, relative) = (Arc::from(path_of(&place.root)), path_of(&place.path));
        let (zone, now) = (Arc::clone(&self.settings.zone), self.now);
        let looking = tokio::task::spawn_blocking(move || {
            let around = Surroundings { root: &root, zone: &*zone, now };
            let looked = look(around, &relative, video.entry.as_ref(), None);
            (looked, root)
        });
        let (Ok(Look::Media(seen)), root) = looking.await.expect("looking at a file does not panic") else {
            return None;
        };
        let (main, probe) = *seen;
        let told = pair.told.as_ref().map(|told| Box::new(Told { name: None, ..(**told).clone() }));
        Some(Asset { root, main, motion: None, probe, told, ticket: None, ..pair.clone() })
    }

    async fn hashed_again(&self, mut asset: Asset) -> Claim {
        let hashing = tokio::task::spawn_blocking(move || {
            let hashed = hash(&mut asset);
            (asset, hashed)
        });
        let (asset, hashed) = hashing.await.expect("hashing does not panic");
        (asset, hashed.map_err(AssetError::from), None)
    }
}

fn latest(trash: &[TrashRow]) -> Option<&TrashRow> {
    trash.iter().max_by_key(|row| row.trashed_at)
}

/// Whether nothing but its name, and how long the video is, calls it a Live Photo.
fn is_by_name(asset: &Asset) -> bool {
    asset.motion.is_some()
        && asset.probe.live_identifier.is_none()
        && asset.library.is_none()
        && asset.offered.is_none()
}
