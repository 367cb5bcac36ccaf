//! Bringing one file of the vault into a sync folder: from the local trash where that has it, otherwise from the server, checked and durable before
//! it gets its name, and never in the place of another.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use darkslide_crypto::ContentHash;
use darkslide_protocol::FileId;
use tokio_util::sync::CancellationToken;

use super::scan::Stat;
use super::trash::{self, TrashedFile};
use super::within::{self, NoWay, make_folders};
use crate::catalog::Catalog;
use crate::download::{ContentError, Progress, Source, blocking, download_into};
use crate::error::VaultError;
use crate::event::Events;
use crate::keys::{Unreadable, collection_key, file_key, stream_header};
use crate::restore::place::{ARRIVING, remove_leftovers, settle, temporary};
use crate::restore::plan::time_of;
use crate::session::Session;

/// Ciphertext bytes of the largest file that is given up on its way: what is larger takes too long to begin anew.
const GIVEN_UP_MAX: i64 = 32 << 20;

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
    /// It was enough before it had come.
    #[error("it was given up on its way, and comes later")]
    GivenUp,
    /// Its name is taken.
    #[error("there is another file or folder of its name now")]
    Taken,
    /// What is on the way to its place.
    #[error(transparent)]
    NoWay(NoWay),
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

impl From<NoWay> for FetchError {
    fn from(why: NoWay) -> Self {
        match why {
            NoWay::Refused(error) => Self::Write(error),
            why => Self::NoWay(why),
        }
    }
}

/// Brings one file to `target`, below `root`. Says what `stat` says of it then. Once it is `enough`, what is not large does not come to its end.
pub(super) async fn fetch(
    session: &Session,
    catalog: &Catalog,
    (file, content): (FileId, ContentHash),
    (root, target): (&Path, &Path),
    trashed: Option<TrashedFile>,
    events: &Events,
    enough: &CancellationToken,
) -> Result<Stat, FetchError> {
    let (path, root) = (target.to_owned(), root.to_owned());
    // Asked once more when it is named: this is for nothing to be brought that has no place.
    let looked = blocking({
        let (path, root) = (path.clone(), root.clone());
        move || {
            within::look(&root, path.parent().unwrap_or(&root))?;
            if path.symlink_metadata().is_ok() { Err(FetchError::Taken) } else { Ok(()) }
        }
    });
    looked.await?;
    // Also what lies in the local trash comes back only while the vault has it.
    let memberships = catalog.own_memberships(session.account, file).await.map_err(VaultError::from)?;
    let row =
        memberships.into_iter().find(|row| row.content_hash == Some(content)).ok_or(FetchError::Gone)?;
    if let Some(trashed) = trashed {
        let (to, root) = (path.clone(), root.clone());
        let taken = blocking(move || {
            let entered = make_folders(&root, to.parent().unwrap_or(&root))?;
            match trash::take(&trashed, &entered, to.file_name().unwrap_or_default()) {
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
    let staging = blocking(move || {
        let entered = make_folders(&root, &folder)?;
        let staged = temporary(&folder, ARRIVING)?;
        Ok::<_, FetchError>((entered, staged))
    });
    let (entered, staged) = staging.await?;
    let source = Source { file, key: &key, header };
    let progress = Progress { events, name: Arc::from(path.as_path()) };
    let downloading = download_into(&session.api, &source, staged.as_file(), &progress);
    let found = if row.object_size > GIVEN_UP_MAX {
        downloading.await?
    } else {
        enough.run_until_cancelled(downloading).await.ok_or(FetchError::GivenUp)??
    };
    if found != content {
        return Err(ContentError::HashMismatch.into());
    }
    let modified = time_of(row.taken, None);
    blocking(move || {
        settle(&staged, modified)?;
        let before = Stat::of(&staged.as_file().metadata()?);
        let file = match entered.persist(staged, path.file_name().unwrap_or_default()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(FetchError::Taken),
            other => other?,
        };
        // Of this very file: its name may lead to another one already.
        let stat = Stat::of(&file.metadata()?);
        entered.sync()?;
        if (stat.size, stat.modified_ns) != (before.size, before.modified_ns) {
            return Err(io::Error::other("somebody wrote to it while it was brought").into());
        }
        Ok(stat)
    })
    .await
}

/// Removes what a process that was killed left of files that were on their way, in the folders of these paths. Nothing may be on its way.
pub(super) fn tidy(root: &Path, targets: &[PathBuf]) -> io::Result<()> {
    let folders: BTreeSet<&Path> = targets.iter().filter_map(|target| target.parent()).collect();
    let mut within = folders.into_iter().filter(|folder| within::look(root, folder).is_ok());
    within.try_for_each(|folder| remove_leftovers(folder, ARRIVING))
}
