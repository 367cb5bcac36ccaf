//! What is recorded of assets of a device's own library that were not opened, or could not be.

use std::path::Path;

use super::error::AssetError;
use super::identify::IdentifyError;
use super::run::Run;
use crate::catalog::{AssetState, CatalogError};
use crate::event::Outcome;
use crate::library::device::DeviceAsset;
use crate::library::{LibraryError, path_of};

impl Run {
    /// Records an asset of a device's own library that was not read, for which the vault has no room.
    pub(super) async fn record_without_room(
        &self,
        library: &[u8],
        asset: &DeviceAsset,
    ) -> Result<(), CatalogError> {
        let (root, id, reason) = (path_of(library), path_of(&asset.id.0), AssetError::NoRoom.to_string());
        self.record_other(&root, &id, asset.fingerprint, (AssetState::NoRoom, false), &reason).await
    }

    /// Records why an asset of a device's own library could not be opened, counts it and tells it. What passes by itself, and what is in the
    /// vault all the same, leaves nothing to remember.
    pub(super) async fn block(
        &self,
        library: &[u8],
        asset: &DeviceAsset,
        error: &AssetError,
        is_in_vault: bool,
    ) -> Result<(), CatalogError> {
        if matches!(error, AssetError::Stopped) {
            return Ok(());
        }
        let is_unavailable = matches!(error, AssetError::Library(LibraryError::Unavailable(_)));
        let passes = is_unavailable || error.is_transient() || error.is_storage_full();
        let reason = error.told();
        let (state, outcome) = match error {
            AssetError::Identify(IdentifyError::NotMedia(_)) => {
                (AssetState::NotMedia, Outcome::NotMedia(reason.clone()))
            }
            _ if error.is_storage_full() => (AssetState::NoRoom, Outcome::NoRoom),
            _ => (AssetState::Blocked, Outcome::Failed(reason.clone())),
        };
        if !passes && !is_in_vault {
            let (root, id) = (path_of(library), path_of(&asset.id.0));
            self.record_other(&root, &id, asset.fingerprint, (state, error.is_lasting()), &reason).await?;
        }
        self.finished(&Path::new(&asset.name).into(), outcome).await;
        Ok(())
    }
}
