//! What the owner said of a picture elsewhere, passed on to the file that the vault has of it.
//!
//! A file that is made of the picture says it already. One that was there before gets what it lacks, and nothing that its owner
//! decided in the vault is touched: a description or a correction is added where there is none.

use std::sync::PoisonError;

use darkslide_media::dates::DateSource;
use darkslide_media::metadata::FileMetadata;
use darkslide_protocol::FileId;
use darkslide_protocol::file::File;
use serde_json::{Map, Value};

use super::describe::appearance;
use super::error::AssetError;
use super::identify::Asset;
use super::run::Run;
use super::settle::Settled;
use crate::appearance::{DATED, OWN, first};
use crate::catalog::FileRow;
use crate::event::Outcome;

/// Dates that are nearer than this are the same, in µs.
const SAME_MOMENT: u64 = 3 * 60 * 1_000_000;

const EDITED_TIME: &str = "editedTime";

/// What the catalog holds of a picture that was sent, until what was told of it is passed on.
pub(super) const IS_OWED: &str = "it is in the vault, and what its sidecar says is still to be passed on";

impl Asset {
    /// Whether something was told of it that no file says by being made.
    pub(super) fn is_owed_more(&self) -> bool {
        self.told.as_deref().is_some_and(|told| told.favourite)
    }

    /// Sent, and all that is owed passed on: that is still to be recorded where something was.
    pub(super) fn uploaded_as(&self, file: FileId) -> Settled {
        let settled = if self.is_owed_more() { Settled::in_vault } else { Settled::recorded };
        settled(Outcome::Uploaded, file)
    }
}

impl Run {
    /// Passes on what was told of an asset to the file that has its content. `is_new`: the file was made of it.
    pub(super) async fn pass_on(
        &self,
        asset: &Asset,
        file: Option<FileId>,
        is_new: bool,
    ) -> Result<(), AssetError> {
        let (Some(told), Some(file)) = (asset.told.as_deref(), file) else { return Ok(()) };
        if !is_new {
            self.complete(asset, file).await?;
        }
        if told.favourite {
            self.favour(file).await?;
        }
        Ok(())
    }

    async fn complete(&self, asset: &Asset, file: FileId) -> Result<(), AssetError> {
        let memberships = self.catalog.own_memberships(self.session.account, file).await?;
        let Some(row) = memberships.first() else { return Ok(()) };
        let public = row.public_metadata.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let mut lacking = lacking(asset, row);
        // Of equal pictures the first that says when they were taken is believed, also where that is what the file says itself.
        let is_first = || self.dated.lock().unwrap_or_else(PoisonError::into_inner).insert(file);
        let is_told = asset.told.as_ref().is_some_and(|told| told.dated);
        if is_told && (is_dated_by_another(row, asset) || !is_first()) {
            lacking.remove(EDITED_TIME);
        }
        lacking.retain(|key, _| {
            !public.as_ref().is_some_and(|public: &Map<String, Value>| public.contains_key(key))
        });
        if lacking.is_empty() {
            return Ok(());
        }
        let add = |_: &File, keys: &mut Map<String, Value>| {
            let before = keys.len();
            for (key, value) in &lacking {
                keys.entry(key.clone()).or_insert_with(|| value.clone());
            }
            keys.len() > before
        };
        self.change_public(file, add).await
    }

    /// Adds a file to the favourites, unless it is there, or was and was taken out.
    async fn favour(&self, file: FileId) -> Result<(), AssetError> {
        let memberships = self.catalog.memberships(file).await?;
        let favourites = self.albums.favourites(&self.session, &self.catalog, &self.patience).await?;
        let was_there = memberships.iter().any(|row| row.collection == favourites.id);
        let live = memberships.iter().find(|row| !row.deleted);
        match live.filter(|_| !was_there) {
            Some(row) => self.add_to(&favourites, row).await.map(drop),
            None => Ok(()),
        }
    }
}

/// What was told of an asset and is not said of a file.
fn lacking(asset: &Asset, row: &FileRow) -> Map<String, Value> {
    let mut keys = Map::new();
    let Some(told) = asset.told.as_deref() else { return keys };
    if let Some(caption) = &told.caption {
        keys.insert("caption".to_owned(), caption.clone().into());
    }
    let captured = asset.probe.captured;
    let by_sidecar = (captured.source == DateSource::Sidecar).then_some(captured.micros);
    if let Some(taken) = told.taken.or(by_sidecar).filter(|taken| taken.abs_diff(row.taken) > SAME_MOMENT) {
        keys.insert(EDITED_TIME.to_owned(), taken.into());
    }
    if let Some(place) = told.place.or_else(|| asset.probe.place.filter(|_| !has_place(row))) {
        keys.insert("lat".to_owned(), place.latitude().into());
        keys.insert("long".to_owned(), place.longitude().into());
    }
    keys
}

/// Whether the file was made of another picture, whose sidecar said when it was taken. What a later export says of the same picture is its owner's last word.
fn is_dated_by_another(row: &FileRow, asset: &Asset) -> bool {
    let metadata = row.metadata.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let is_dated = metadata
        .is_some_and(|metadata| metadata.pointer(&format!("/{OWN}/{DATED}")) == Some(&Value::Bool(true)));
    let main = &asset.main;
    is_dated && !first(row).is_same_place(&appearance(&main.relative, main.fingerprint, None, &asset.album))
}

fn has_place(row: &FileRow) -> bool {
    let metadata = row.metadata.as_deref().and_then(|text| FileMetadata::from_json(text.as_bytes()).ok());
    metadata.is_some_and(|metadata| metadata.place().is_some())
}
