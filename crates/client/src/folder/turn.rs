//! Whose turn it is: a pass that removes something, or whoever takes the folder over. Who was told that nothing is deleted must not find pictures gone
//! afterwards, for a pass that looked before.
//!
//! The lock is the system's, of all sync folders of a profile, and ends with its process.

use std::io;
use std::time::Duration;

use super::marker;
use crate::catalog::{Catalog, CatalogError, Locked, SyncFolderRow};
use crate::download::blocking;

/// How often it is asked for the turn, and for how long.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSES: u32 = 40;

/// A folder was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum ReadoptError {
    /// A pass is removing something just now, which a look decided that came before: ask again when it has.
    #[error("something is being removed from a sync folder of this profile just now")]
    Busy,
    /// What was agreed on cannot be changed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The marker cannot be written. Nothing is agreed on any more, and nothing is done in the folder until it has the new marker.
    #[error("the marker cannot be written")]
    Marker(#[from] io::Error),
}

/// The turn, for as long as it is kept.
#[derive(Debug)]
pub(super) struct Turn {
    #[expect(dead_code, reason = "kept: dropping it is what ends the turn")]
    file: Locked,
}

/// Takes the turn; none where somebody else has it.
fn take(catalog: &Catalog) -> Result<Option<Turn>, CatalogError> {
    Ok(catalog.lock_removals()?.map(|file| Turn { file }))
}

/// Waits for the turn, for a moment: another folder's removals are soon done. None where they are not.
pub(super) async fn wait(catalog: &Catalog) -> Result<Option<Turn>, CatalogError> {
    for _ in 0..PAUSES {
        if let Some(turn) = take(catalog)? {
            return Ok(Some(turn));
        }
        tokio::time::sleep(PAUSE).await;
    }
    take(catalog)
}

/// Takes a folder over under a new marker, with nothing agreed on: what follows is a merge. Whatever a pass that is under way has planned, it removes nothing
/// any more.
pub async fn readopt(catalog: &Catalog, row: &SyncFolderRow, id: &str) -> Result<(), ReadoptError> {
    let Some(_turn) = take(catalog)? else { return Err(ReadoptError::Busy) };
    // Nothing is agreed on before the root says so: a crash in between leaves it unhealthy, and this is asked again.
    catalog.readopt_sync_folder(row.id, id).await?;
    let (root, id) = (row.folder.path.clone(), id.to_owned());
    Ok(blocking(move || marker::write(&root, &id)).await?)
}
