//! Removing originals, a few at a time: each is read once more, then the vault proves once more that it has them, and only then they go.
//!
//! Between the list and the removal its owner is asked, which may take an evening, and reading takes its time too. Meanwhile another device
//! may delete in the vault what is to go here. So nothing goes upon a proof that is older than the few that go together.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::slice::Iter;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use darkslide_crypto::ContentHash;
use darkslide_protocol::FileId;

use super::{Candidate, InStep, is_unchanged};
use crate::catalog::{Catalog, CatalogError, FileRow};
use crate::download::blocking;
use crate::error::VaultError;
use crate::event::{Event, Events, Outcome};
use crate::feed;
use crate::folder::reading::content_of;
use crate::library::folder::fingerprint;
use crate::library::settle::changed_on_this_disk;
use crate::receipt::receipts_of;
use crate::session::Session;
use crate::verify::subjects_of;

/// Originals that go upon one proof.
const AT_ONCE: usize = 50;

/// Their bytes, the last one's aside: the server reads them back too.
const BYTES_AT_ONCE: u64 = 1 << 30;

/// How long originals are read before those that were read so far are proved and go.
const READING: Duration = Duration::from_secs(30);

/// What came of a removal.
#[derive(Debug, Default)]
pub struct Removal {
    /// Originals that went.
    pub removed: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Why others stayed.
    pub kept: Vec<FreeUpError>,
}

/// Why an original was not removed.
#[derive(Debug, thiserror::Error)]
pub enum FreeUpError {
    /// It is not what it was a moment ago.
    #[error("{0} changed meanwhile, and stays")]
    Changed(PathBuf),
    /// It looks as it did from outside, and something else is in it.
    #[error("{0} changed since its backup, and stays; `darkslide backup` sends it")]
    Edited(PathBuf),
    /// It cannot be read, so nobody knows whether the vault has what is in it.
    #[error("{path} cannot be read, and stays: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is kept in step with the vault by now.
    #[error("{0} lies in a sync folder, from where it would go out of the vault too, and stays")]
    InStep(PathBuf),
    /// The system refused.
    #[error("{path} cannot be removed: {source}")]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was proved to be in the vault a while ago, and is not any more: it was deleted or replaced there, or is damaged.
    #[error("{0} is not proved to be in the vault any more, and stays")]
    Unproven(PathBuf),
    /// The vault could not be asked any more.
    #[error(
        "{count} originals stay, for it cannot be asked once more whether they are in the vault: {source}"
    )]
    Unasked {
        /// How many stay.
        count: usize,
        /// Why.
        source: Box<VaultError>,
    },
    /// The catalog cannot be written.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Removes the originals of these candidates from this device, and records that they were freed. What is not what it was when it was listed stays,
/// here or in the vault, and so does all that is left when the vault cannot be asked.
pub async fn remove(
    session: &Session,
    catalog: &Catalog,
    candidates: &[Candidate],
    events: &Events,
) -> Removal {
    let mut removal = Removal::default();
    let mut left = candidates.iter();
    while !left.as_slice().is_empty() {
        let ready = read_some(catalog, &mut left, &mut removal, events).await;
        let proved = match proved(session, catalog, &ready).await {
            Ok(proved) => proved,
            Err(source) => {
                let count = ready.len() + left.as_slice().len();
                removal.kept.push(FreeUpError::Unasked { count, source: source.into() });
                break;
            }
        };
        for ready in ready {
            let went = if proved.contains_key(&ready.candidate.file) {
                take(catalog, &ready).await
            } else {
                Err(FreeUpError::Unproven(ready.candidate.first()))
            };
            match went {
                Ok(()) => {
                    removal.removed += 1;
                    removal.bytes += ready.candidate.bytes;
                }
                Err(error) => removal.kept.push(error),
            }
        }
    }
    removal
}

/// A candidate whose files were read, and have in them what the vault has.
struct Ready<'a> {
    candidate: &'a Candidate,
    /// When each last changed on this disk.
    changed: Vec<SystemTime>,
}

/// Reads the next few.
async fn read_some<'a>(
    catalog: &Catalog,
    left: &mut Iter<'a, Candidate>,
    removal: &mut Removal,
    events: &Events,
) -> Vec<Ready<'a>> {
    let (began, mut bytes, mut ready) = (Instant::now(), 0, Vec::new());
    while ready.len() < AT_ONCE && bytes < BYTES_AT_ONCE && began.elapsed() < READING {
        let Some(candidate) = left.next() else { break };
        bytes += candidate.bytes;
        match read(catalog, candidate, events).await {
            Ok(read) => ready.push(read),
            Err(error) => removal.kept.push(error),
        }
    }
    ready
}

/// Reads the files of a candidate: what was edited in place may look as it did from outside, and what is in it is then nowhere else. The next run
/// reads it again.
async fn read<'a>(
    catalog: &Catalog,
    candidate: &'a Candidate,
    events: &Events,
) -> Result<Ready<'a>, FreeUpError> {
    let name: Arc<Path> = candidate.first().into();
    events.send(Event::Started { name: Arc::clone(&name), bytes: candidate.bytes }).await;
    let reading = (candidate.clone(), events.clone());
    let found = blocking(move || reading.0.read(&reading.1)).await;
    // Who asked for it says why it stays.
    events.send(Event::Finished { name, outcome: Outcome::Verified }).await;
    let (contents, changed): (Vec<_>, Vec<_>) = found?.into_iter().unzip();
    if contents == candidate.contents {
        return Ok(Ready { candidate, changed });
    }
    for (root, path) in &candidate.places {
        catalog.doubt(root, path).await?;
    }
    Err(FreeUpError::Edited(candidate.first()))
}

/// Which of these are in the vault as they are here, live and whole, by what the server says now.
async fn proved(
    session: &Session,
    catalog: &Catalog,
    ready: &[Ready<'_>],
) -> Result<BTreeMap<FileId, FileRow>, VaultError> {
    if ready.is_empty() {
        return Ok(BTreeMap::new());
    }
    feed::pull(session, catalog).await?;
    let rows = live(session, catalog, ready).await?;
    let subjects = subjects_of(session, catalog, rows.values().cloned().collect()).await?;
    let Some((_, vouched)) = receipts_of(session, catalog, subjects, &Events::silent()).await? else {
        return Ok(BTreeMap::new());
    };
    // A receipt is given of what is in the trash as well, and reading back takes its time.
    feed::pull(session, catalog).await?;
    let mut proved = live(session, catalog, ready).await?;
    proved.retain(|file, row| {
        let is_same = rows.get(file).is_some_and(|before| before.object_header == row.object_header);
        is_same && vouched.contains(file)
    });
    Ok(proved)
}

/// Those that are among the account's own files, and not in the trash, with the content that they have here.
async fn live(
    session: &Session,
    catalog: &Catalog,
    ready: &[Ready<'_>],
) -> Result<BTreeMap<FileId, FileRow>, CatalogError> {
    let mut live = BTreeMap::new();
    for Ready { candidate, .. } in ready {
        let memberships = catalog.own_memberships(session.account, candidate.file).await?;
        let row = memberships.into_iter().next().filter(|row| row.content_hash == Some(candidate.content));
        live.extend(row.map(|row| (candidate.file, row)));
    }
    Ok(live)
}

/// Removes the files of a candidate that was read and proved. What is recorded first is what a crash in between leaves: an original that is there
/// although it was said to be freed is only looked at again.
async fn take(catalog: &Catalog, ready: &Ready<'_>) -> Result<(), FreeUpError> {
    let candidate = ready.candidate;
    if InStep::of(catalog).await?.has(candidate) {
        return Err(FreeUpError::InStep(candidate.first()));
    }
    let is_as_read = |(path, changed): (&PathBuf, &SystemTime)| {
        path.metadata().is_ok_and(|metadata| changed_on_this_disk(&metadata) == *changed)
    };
    // Another name of the same file may have gone before it; or it was written to, and its times were put back.
    if !candidate.paths.iter().zip(&ready.changed).all(is_as_read) {
        read(catalog, candidate, &Events::silent()).await?;
    }
    if let Some((path, _)) = candidate.components().find(|(path, print)| !is_unchanged(path, print)) {
        return Err(FreeUpError::Changed(path.to_owned()));
    }
    for (root, path) in &candidate.places {
        catalog.mark_freed(root, std::slice::from_ref(path)).await?;
    }
    for (number, path) in candidate.paths.iter().enumerate() {
        if let Err(source) = std::fs::remove_file(path) {
            // Of a Live Photo of which one half is gone, that is what is noted.
            for (root, path) in candidate.places.iter().filter(|_| number == 0) {
                catalog.mark_not_freed(root, std::slice::from_ref(path)).await?;
            }
            return Err(FreeUpError::Remove { path: path.clone(), source });
        }
    }
    Ok(())
}

impl Candidate {
    /// What is in its files at this moment, and when each last changed on this disk. Blocks.
    fn read(&self, events: &Events) -> Result<Vec<(ContentHash, SystemTime)>, FreeUpError> {
        let name: Arc<Path> = self.first().into();
        let mut contents = Vec::with_capacity(self.paths.len());
        for (path, print) in self.components() {
            let read = |source| FreeUpError::Read { path: path.to_owned(), source };
            let mut file = File::open(path).map_err(read)?;
            let before = file.metadata().map_err(read)?;
            let tell = |bytes| events.send_blocking(Event::Moved { name: Arc::clone(&name), bytes });
            let changed = || FreeUpError::Changed(path.to_owned());
            if fingerprint(&before) != *print {
                return Err(changed());
            }
            let content = content_of(&mut file, &before, tell).map_err(read)?.ok_or_else(changed)?;
            contents.push((content, changed_on_this_disk(&before)));
        }
        Ok(contents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::free_up::contents_of;
    use std::fs;

    fn content(bytes: &[u8]) -> ContentHash {
        let mut hasher = darkslide_crypto::ContentHasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Writes over a file in place, so that it looks as it did from outside.
    fn edit(path: &Path, bytes: &[u8]) {
        let before = path.metadata().unwrap();
        let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
        io::Write::write_all(&mut file, bytes).unwrap();
        file.set_modified(before.modified().unwrap()).unwrap();
        assert_eq!(fingerprint(&path.metadata().unwrap()), fingerprint(&before));
    }

    #[tokio::test]
    async fn what_was_edited_in_place_stays_whichever_half_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let catalog = Catalog::open(&root.join("catalog")).await.unwrap();
        let (still, video) = (root.join("a.heic"), root.join("a.mov"));
        let events = Events::silent();
        for (paths, edited) in [
            (vec![&still], Some(&still)),
            (vec![&still, &video], Some(&still)),
            (vec![&still, &video], Some(&video)),
            (vec![&still, &video], None),
            (vec![&still], None),
        ] {
            fs::write(&still, b"still").unwrap();
            fs::write(&video, b"video").unwrap();
            let live = ContentHash::live_photo(content(b"still"), content(b"video")).unwrap();
            let whole = if paths.len() == 2 { live } else { content(b"still") };
            let candidate = Candidate {
                file: FileId(1),
                paths: paths.iter().map(|path| (*path).clone()).collect(),
                bytes: 5 * paths.len() as u64,
                fingerprints: paths.iter().map(|path| fingerprint(&path.metadata().unwrap())).collect(),
                contents: contents_of(whole, paths.len()),
                content: whole,
                places: Vec::new(),
            };
            if let Some(path) = edited {
                edit(path, b"EDITS");
            }
            let freed = match read(&catalog, &candidate, &events).await {
                Ok(ready) => take(&catalog, &ready).await,
                Err(error) => Err(error),
            };
            assert_eq!(matches!(freed, Err(FreeUpError::Edited(_))), edited.is_some(), "{freed:?}");
            assert!(paths.iter().all(|path| path.exists() == edited.is_some()));
        }
    }
}
