//! Whether the vault gives back what was put in: every byte fetched, opened and compared with its content hash.
//!
//! It changes nothing in the vault. What it finds to be damaged there is remembered, so that the next backup of whoever has the original sends it
//! again.

use crate::api::ApiFailure;
use crate::catalog::{Catalog, CatalogError, CollectionRow, FileFilter, FileRow, LookedAt, Part};
use crate::download::{
    ContentError, Hashed, Progress, Source, blocking, download, download_thumbnail, split_live_photo,
};
use crate::error::VaultError;
use crate::event::{Event, Events, Outcome};
use crate::keys::{KeyRing, Unreadable, file_key, stream_header};
use crate::session::Session;
use darkslide_crypto::ContentHash;
use darkslide_crypto::keys::FileKey;
use darkslide_crypto::stream::plaintext_len;
use darkslide_media::metadata::FileKind;
use darkslide_media::probe::micros_of;
use darkslide_protocol::{CollectionId, FileId};
use futures_util::StreamExt as _;
use http::StatusCode;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// Files that are checked at the same time; each holds two chunks (8 MiB) at most.
const FILES_AT_ONCE: usize = 4;

/// Consecutive files for which the server was not reached after which the rest is not tried.
const UNREACHED_MAX: usize = 8;

/// Which files to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyScope {
    /// All of them.
    Everything,
    /// This many, drawn at random.
    Sample(usize),
    /// Those of one collection.
    Collection(CollectionId),
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifySummary {
    /// Files that were checked and are whole.
    pub intact: u64,
    /// Bytes of their plaintext.
    pub bytes: u64,
    /// Files without a content hash (very old ones): their bytes open, and cannot be compared.
    pub without_hash: u64,
    /// Files that are not whole, or could not be checked.
    pub failed: Vec<VerifyFailure>,
}

/// One file that is not whole, or could not be checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyFailure {
    /// The file.
    pub file: FileId,
    /// Its name, if that opens.
    pub name: Option<String>,
    /// The album that it was looked up in.
    pub album: String,
    /// What is wrong: `missing`, `truncated`, `trailingData`, `altered`, `header`, `hashMismatch`, `thumbnail`,
    /// `container`, `unreadable`, and `damaged` of a receipt; or `server` and `write` where it could not be checked.
    pub problem: &'static str,
    /// The same for people.
    pub reason: String,
    /// Whether the vault's copy is at fault, rather than the network or this device.
    pub damaged: bool,
}

/// Fetches files and their thumbnails and compares them with their content hashes. The catalog says which files there
/// are: pull the feed first.
pub async fn verify(
    session: &Session,
    catalog: &Catalog,
    scope: VerifyScope,
    events: &Events,
) -> Result<VerifySummary, VaultError> {
    let subjects = subjects(session, catalog, scope).await?;
    let bytes = subjects.iter().map(Subject::plain_len).sum();
    events.send(Event::Planned { assets: subjects.len() as u64, bytes }).await;
    let mut checks = futures_util::stream::iter(subjects)
        .map(|subject| async move {
            let result = check(session, &subject, events).await;
            (subject, result)
        })
        .buffer_unordered(FILES_AT_ONCE);
    let mut summary = VerifySummary::default();
    let mut unreached = Unreached::default();
    let known = catalog.damaged_files().await?.into_iter().map(|damaged| damaged.file).collect();
    while let Some((subject, result)) = checks.next().await {
        events.send(Event::Finished { name: subject.name(), outcome: outcome(&result) }).await;
        remember(session, catalog, &known, &subject, &result).await?;
        match unreached.pass(result)? {
            Ok(()) => summary.count(&subject),
            Err(error) => summary.failed.push(subject.failure(&error)),
        }
    }
    Ok(summary)
}

/// Remembers what is damaged, and forgets what is whole again: of the account's own, for nobody else's is mended here.
async fn remember(
    session: &Session,
    catalog: &Catalog,
    known: &BTreeSet<FileId>,
    subject: &Subject,
    result: &Result<(), ContentError>,
) -> Result<(), CatalogError> {
    let damage = match result {
        Ok(()) if known.contains(&subject.row.id) => None,
        Ok(()) => return Ok(()),
        Err(error) => match error.damaged_part() {
            Some(part) => Some((part, error.code())),
            None => return Ok(()),
        },
    };
    if subject.row.owner != session.account {
        return Ok(());
    }
    catalog.record_looked_at(&[subject.looked_at(damage)], micros_of(SystemTime::now())).await
}

/// Looks at a file once more, and remembers what is so of it now. Fails where nobody can tell.
pub(crate) async fn look_again(session: &Session, catalog: &Catalog, row: FileRow) -> Result<(), VaultError> {
    for subject in subjects_of(session, catalog, vec![row]).await? {
        let result = match check(session, &subject, &Events::silent()).await {
            Err(ContentError::Api(failure)) => return Err(failure.into()),
            result => result,
        };
        remember(session, catalog, &BTreeSet::from([subject.row.id]), &subject, &result).await?;
    }
    Ok(())
}

fn outcome(result: &Result<(), ContentError>) -> Outcome {
    match result {
        Ok(()) => Outcome::Verified,
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

impl VerifySummary {
    fn count(&mut self, subject: &Subject) {
        self.intact += 1;
        self.bytes += subject.plain_len();
        self.without_hash += u64::from(subject.row.content_hash.is_none());
    }
}

/// Stops a run whose server has gone away or whose session has ended, instead of failing every file.
#[derive(Debug, Default)]
pub(crate) struct Unreached(usize);

impl Unreached {
    pub(crate) fn pass<T>(
        &mut self,
        result: Result<T, ContentError>,
    ) -> Result<Result<T, ContentError>, ApiFailure> {
        match result {
            Err(ContentError::Api(failure)) if failure.is_signed_out() => return Err(failure),
            Err(ContentError::Api(failure)) if is_everywhere(&failure) => {
                self.0 += 1;
                if self.0 >= UNREACHED_MAX {
                    return Err(failure);
                }
                return Ok(Err(ContentError::Api(failure)));
            }
            _ => self.0 = 0,
        }
        Ok(result)
    }
}

/// Whether a failure has nothing to do with the file at hand.
fn is_everywhere(failure: &ApiFailure) -> bool {
    let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE];
    let refused = failure.status().is_some_and(|status| busy.contains(&status));
    refused || (failure.status().is_none() && failure.is_transient())
}

/// One file to check, with the key that opens it.
pub(crate) struct Subject {
    pub(crate) row: FileRow,
    pub(crate) album: String,
    key: Result<FileKey, Unreadable>,
}

impl Subject {
    pub(crate) fn name(&self) -> Arc<Path> {
        let title = self.row.title.clone().unwrap_or_else(|| format!("file {}", self.row.id));
        Path::new(&title).into()
    }

    /// What somebody found who looked at these bytes of it.
    pub(crate) fn looked_at(&self, damage: Option<(Part, &'static str)>) -> LookedAt {
        LookedAt {
            file: self.row.id,
            object_header: self.row.object_header.clone(),
            thumbnail_header: self.row.thumbnail_header.clone(),
            damage,
        }
    }

    fn plain_len(&self) -> u64 {
        u64::try_from(self.row.object_size).ok().and_then(plaintext_len).unwrap_or_default()
    }

    fn failure(&self, error: &ContentError) -> VerifyFailure {
        VerifyFailure {
            file: self.row.id,
            name: self.row.title.clone(),
            album: self.album.clone(),
            problem: error.code(),
            reason: error.to_string(),
            damaged: error.is_damage(),
        }
    }
}

/// Each file once, whichever of its albums comes first.
pub(crate) async fn subjects(
    session: &Session,
    catalog: &Catalog,
    scope: VerifyScope,
) -> Result<Vec<Subject>, VaultError> {
    let collection = match scope {
        VerifyScope::Collection(id) => Some(id),
        VerifyScope::Everything | VerifyScope::Sample(_) => None,
    };
    let rows = catalog.files(&FileFilter { collection, ..FileFilter::default() }).await?;
    let files: BTreeMap<FileId, FileRow> = rows.into_iter().rev().map(|row| (row.id, row)).collect();
    let mut rows: Vec<FileRow> = files.into_values().collect();
    if let VerifyScope::Sample(count) = scope {
        draw(&mut rows, count);
    }
    subjects_of(session, catalog, rows).await
}

/// These files, each by one of its memberships, with their keys.
pub(crate) async fn subjects_of(
    session: &Session,
    catalog: &Catalog,
    rows: Vec<FileRow>,
) -> Result<Vec<Subject>, VaultError> {
    let collections: HashMap<CollectionId, CollectionRow> =
        catalog.collections().await?.into_iter().map(|row| (row.id, row)).collect();
    let mut keys = KeyRing::default();
    Ok(rows.into_iter().map(|row| subject(session, row, &collections, &mut keys)).collect())
}

fn subject(
    session: &Session,
    row: FileRow,
    collections: &HashMap<CollectionId, CollectionRow>,
    keys: &mut KeyRing,
) -> Subject {
    let collection = collections.get(&row.collection);
    let key = collection
        .and_then(|collection| keys.key(&session.keys, collection))
        .ok_or(Unreadable::CollectionKey(row.collection))
        .and_then(|key| file_key(key, &row));
    let album = collection.map(|collection| collection.name.clone()).unwrap_or_default();
    Subject { row, album, key }
}

/// Keeps `count` rows, each set of them as likely as any other (Fisher and Yates).
fn draw<T>(rows: &mut Vec<T>, count: usize) {
    let count = count.min(rows.len());
    for chosen in 0..count {
        let left = (rows.len() - chosen) as u64;
        let random = getrandom::u64().unwrap_or_default();
        let offset = usize::try_from(random % left).unwrap_or_default();
        rows.swap(chosen, chosen + offset);
    }
    rows.truncate(count);
}

async fn check(session: &Session, subject: &Subject, events: &Events) -> Result<(), ContentError> {
    let name = subject.name();
    events.send(Event::Started { name: Arc::clone(&name), bytes: subject.plain_len() }).await;
    let row = &subject.row;
    let key = subject.key.as_ref().map_err(|unreadable| ContentError::Unreadable(*unreadable))?;
    if row.title.is_none() {
        return Err(Unreadable::Metadata(row.id).into());
    }
    let header = stream_header(&row.object_header).ok_or(ContentError::Header)?;
    let progress = Progress { events, name };
    let source = Source { file: row.id, key, header };
    let found = match FileKind::from_number(row.kind) {
        FileKind::LivePhoto => hash_live_photo(session, &source, &progress).await?,
        FileKind::Image | FileKind::Video | FileKind::Other(_) => {
            download(&session.api, &source, Hashed::new(io::sink()), &progress).await?.finish().1
        }
    };
    if row.content_hash.is_some_and(|expected| expected != found) {
        return Err(ContentError::HashMismatch);
    }
    let header = stream_header(&row.thumbnail_header).ok_or(ContentError::Thumbnail)?;
    let thumbnail = download_thumbnail(&session.api, &Source { file: row.id, key, header }).await;
    thumbnail.map(drop).map_err(as_thumbnail)
}

/// A thumbnail that is gone or cut short is a damaged thumbnail; the original is whole.
fn as_thumbnail(error: ContentError) -> ContentError {
    if error.is_damage() { ContentError::Thumbnail } else { error }
}

/// The container needs to be seekable: it goes through a nameless temporary file.
async fn hash_live_photo(
    session: &Session,
    source: &Source<'_>,
    progress: &Progress<'_>,
) -> Result<ContentHash, ContentError> {
    let container = blocking(tempfile::tempfile).await?;
    let container = download(&session.api, source, container, progress).await?;
    blocking(move || Ok(split_live_photo(container, io::sink(), io::sink())?.content_hash())).await
}

#[cfg(test)]
mod tests {
    use super::draw;
    use std::collections::BTreeSet;

    #[test]
    fn a_sample_has_no_file_twice_and_no_more_than_there_are() {
        for (there, wanted, drawn) in [(0, 5, 0), (3, 0, 0), (3, 5, 3), (100, 7, 7)] {
            let mut rows: Vec<u32> = (0..there).collect();
            draw(&mut rows, wanted);
            assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), drawn, "{wanted} of {there}");
            assert_eq!(rows.len(), drawn);
        }
    }
}
