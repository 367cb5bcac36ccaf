//! Bringing a picture of a local trash back by hand to where it was: under the folder's own marker and on its own disk, or not at all.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use super::marker::{self, Unhealthy};
use super::mounts::{self, Mounts};
use super::reconcile::RelativePath;
use super::trash;
use super::trash::TrashedFile;
use super::within::{NoWay, make_folders};
use crate::catalog::{Catalog, CatalogError, SyncFolderRow};
use crate::error::quoted;
use crate::library::{path_of, raw};

/// Why a picture was not brought back. It is still in the local trash.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The root is not what it should be.
    #[error(transparent)]
    Unhealthy(#[from] Unhealthy),
    /// The disk that it was on is not there, or another lies over it.
    #[error(
        "it belongs on the disk of {place}, and what is mounted there is not what was: connect that disk, mount it there, and ask again. If it is \
         to stay so, `darkslide sync readopt {root}` takes over what is there", place = place.display()
    )]
    Away {
        /// Where the disk belongs.
        place: PathBuf,
        /// The folder, as a shell takes it.
        root: String,
    },
    /// It is not what was moved into the trash.
    #[error("{0} is not what was moved into the trash; copy it yourself if you want it")]
    Changed(PathBuf),
    /// What was agreed on cannot be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// What is on the way to its place.
    #[error(transparent)]
    NoWay(#[from] NoWay),
    /// It cannot be moved; its place may be taken.
    #[error(transparent)]
    Refused(#[from] io::Error),
}

/// Brings a picture of a folder's local trash back to where it was. None if there is no such entry. The next pass restores it in the vault.
pub async fn restore_from_trash(
    catalog: &Catalog,
    row: &SyncFolderRow,
    id: &str,
) -> Result<Option<PathBuf>, RecoveryError> {
    let listed = trash::list(&row.folder.trash)?;
    let Some(trashed) = listed.into_iter().find(|trashed| trashed.id == id) else { return Ok(None) };
    marker::check(&row.folder.path, &row.folder.marker)?;
    let known = catalog.sync_mounts(row.id).await?;
    let now = mounts::below(&row.folder.path);
    let mounts = if known == now {
        Mounts::default()
    } else {
        Mounts::among(&known, &now, &catalog.sync_base(row.id).await?)
    };
    give_back(row, &trashed, &mounts.changed).map(Some)
}

fn give_back(
    row: &SyncFolderRow,
    trashed: &TrashedFile,
    changed: &BTreeSet<RelativePath>,
) -> Result<PathBuf, RecoveryError> {
    let root = &row.folder.path;
    let path = raw(&trashed.path);
    if let Some(place) = changed.iter().find(|place| mounts::is_below(&path, place)) {
        let (place, root) = (root.join(path_of(place)), quoted(&root.display().to_string()));
        return Err(RecoveryError::Away { place, root });
    }
    let target = root.join(&trashed.path);
    let entered = make_folders(root, target.parent().unwrap_or(root))?;
    match trash::take(trashed, &entered, target.file_name().unwrap_or_default())? {
        Some(_) => Ok(target),
        None => Err(RecoveryError::Changed(trashed.file.clone())),
    }
}
