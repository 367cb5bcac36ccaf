//! An album that is renamed on the device is renamed in the vault, unless its owner gave it another name there.
//!
//! The name that was chosen is the one that the vault was given last: while the vault still has it, nobody else renamed it.

use super::error::AssetError;
use super::run::Run;
use crate::albums::rename_album;
use crate::catalog::{CollectionRow, DeviceAlbumKey};
use crate::library::Library;

impl Run {
    /// Gives the mirrors of a library's albums the names that these have now.
    pub(super) async fn follow_names(&self, library: &dyn Library) -> Result<(), AssetError> {
        let chosen = self.catalog.chosen_albums(library.id()).await?;
        for album in library.albums().await? {
            if let Some(known) = chosen.get(&album.key).filter(|known| known.name != album.name) {
                self.follow_name(&album.key, &known.name, &album.name).await?;
                self.catalog.choose_album(&album.key, &album.name, Some(known.choice)).await?;
            }
        }
        Ok(())
    }

    /// Gives the mirror of one album another name, if it has the one that it was given before.
    pub(super) async fn follow_name(
        &self,
        album: &DeviceAlbumKey,
        before: &str,
        now: &str,
    ) -> Result<(), AssetError> {
        let mirror = self.catalog.linked_collection(album).await?;
        let is_own = |row: &CollectionRow| row.owner == self.session.account && !row.deleted;
        let Some(mirror) = mirror.filter(|row| is_own(row) && row.name == before && before != now) else {
            return Ok(());
        };
        let rename = || async { Ok(rename_album(&self.session, &self.catalog, &mirror, now).await?) };
        self.patience.persist(rename).await
    }
}
