//! Bringing one file of the vault into a sync folder: from the local trash where that has it, otherwise from the server, checked and durable before
//! it gets its name, and never in the place of another.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use darkslide_crypto::ContentHash;
use darkslide_protocol::FileId;

use super::scan::Stat;
use super::trash::{self, TrashedFile};
use crate::catalog::Catalog;
use crate::download::{ContentError, Progress, Source, blocking, download_into};
use crate::error::VaultError;
use crate::event::Events;
use crate::keys::{Unreadable, collection_key, file_key, stream_header};
use crate::restore::place::{ARRIVING, remove_leftovers, settle, sync_folder, temporary};
use crate::restore::plan::time_of;
use crate::session::Session;

/// Why a file was not brought.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The vault's side.
    #[error(transparent)]
    Content(Box<ContentError>),
    /// The vault as a whole.
    #[error(transparent)]
    Vault(Box<VaultError>),
    /// It is not in the vault any more.
    #[error("it is no longer in the vault")]
    Gone,
    /// Its name is taken.
    #[error("there is another file or folder of its name now")]
    Taken,
    /// This side.
    #[error("it cannot be written: {0}")]
    Write(#[from] io::Error),
}

impl From<ContentError> for FetchError {
    fn from(error: ContentError) -> Self {
        Self::Content(Box::new(error))
    }
}

impl From<VaultError> for FetchError {
    fn from(error: VaultError) -> Self {
        Self::Vault(Box::new(error))
    }
}

/// Brings one file to `target`, below `root`. Says what `stat` says of it then.
pub(super) async fn fetch(
    session: &Session,
    catalog: &Catalog,
    (file, content): (FileId, ContentHash),
    root: &Path,
    target: &Path,
    trashed: Option<TrashedFile>,
    events: &Events,
) -> Result<Stat, FetchError> {
    let (path, root) = (target.to_owned(), root.to_owned());
    // Asked once more when it is named: this is for nothing to be brought that has no place.
    if blocking({
        let path = path.clone();
        move || path.symlink_metadata().is_ok()
    })
    .await
    {
        return Err(FetchError::Taken);
    }
    // Also what lies in the local trash comes back only while the vault has it.
    let memberships = catalog.own_memberships(session.account, file).await.map_err(VaultError::from)?;
    let row =
        memberships.into_iter().find(|row| row.content_hash == Some(content)).ok_or(FetchError::Gone)?;
    if let Some(trashed) = trashed {
        let (to, root) = (path.clone(), root.clone());
        let taken = blocking(move || {
            make_folders(&root, to.parent().unwrap_or(&root))?;
            match trash::take(&trashed, &to) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(FetchError::Taken),
                other => Ok(other?),
            }
        });
        if let Some(stat) = taken.await? {
            return Ok(stat);
        }
    }
    let collection =
        catalog.collection(row.collection).await.map_err(VaultError::from)?.ok_or(FetchError::Gone)?;
    let unreadable = |unreadable: Unreadable| FetchError::from(ContentError::from(unreadable));
    let key = collection_key(&session.keys, &collection).map_err(unreadable)?;
    let key = file_key(&key, &row).map_err(unreadable)?;
    let header = stream_header(&row.object_header).ok_or(ContentError::Header)?;
    let folder = path.parent().unwrap_or(&root).to_owned();
    let staging = blocking({
        let folder = folder.clone();
        move || make_folders(&root, &folder).and_then(|()| temporary(&folder, ARRIVING))
    });
    let staged = staging.await?;
    let source = Source { file, key: &key, header };
    let progress = Progress { events, name: Arc::from(path.as_path()) };
    let found = download_into(&session.api, &source, staged.as_file(), &progress).await?;
    if found != content {
        return Err(ContentError::HashMismatch.into());
    }
    let modified = time_of(row.taken, None);
    blocking(move || {
        settle(&staged, modified)?;
        let before = Stat::of(&staged.as_file().metadata()?);
        let file = match staged.persist_noclobber(&path) {
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(FetchError::Taken);
            }
            other => other.map_err(|error| error.error)?,
        };
        // Of this very file: its name may lead to another one already.
        let stat = Stat::of(&file.metadata()?);
        sync_folder(&folder)?;
        if (stat.size, stat.modified_ns) != (before.size, before.modified_ns) {
            return Err(io::Error::other("somebody wrote to it while it was brought").into());
        }
        Ok(stat)
    })
    .await
}

/// Removes what a process that was killed left of files that were on their way, in the folders of these paths. Nothing may be on its way.
pub(super) fn tidy(targets: &[PathBuf]) -> io::Result<()> {
    let folders: BTreeSet<&Path> = targets.iter().filter_map(|target| target.parent()).collect();
    folders.into_iter().try_for_each(|folder| remove_leftovers(folder, ARRIVING))
}

/// A new folder may be used by whoever may use the one that it is in, as a synchroniser's group, whatever the umask.
fn open_as(above: &Path, new: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match fs::set_permissions(new, fs::metadata(above)?.permissions()) {
        // Some file systems know of no modes.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Makes what is missing of the folders below the root, each durable in the one above; never the root itself.
pub(super) fn make_folders(root: &Path, folder: &Path) -> io::Result<()> {
    let below = folder.strip_prefix(root).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut whole = root.to_owned();
    for part in below.components() {
        let above = whole.clone();
        whole.push(part);
        match fs::create_dir(&whole) {
            Ok(()) => {
                open_as(&above, &whole)?;
                sync_folder(&above)?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// As a group that shares a folder needs it, whatever this process's umask is.
    #[test]
    fn new_folders_are_as_open_as_those_that_they_are_in() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        for wanted in [0o2775, 0o700, 0o777] {
            let root = folder.path().join(format!("{wanted:o}"));
            fs::create_dir(&root).unwrap();
            fs::set_permissions(&root, fs::Permissions::from_mode(wanted)).unwrap();
            make_folders(&root, &root.join("2024/Ski")).unwrap();
            assert_eq!([mode(&root.join("2024")), mode(&root.join("2024/Ski"))], [wanted; 2], "{wanted:o}");
        }
    }
}
