//! Bringing pictures back: into a folder, under the names and with the times that they had.
//!
//! It never replaces a file: the same content that is there already is left alone, a different file of the same name
//! makes the restored one `name (1).ext`. Each file is checked against its content hash before it gets its name. A
//! run that was killed is completed by the next one.

mod flush;
pub(crate) mod place;
pub(crate) mod plan;

use crate::buffers::{Buffer, Buffers};
use crate::catalog::{Catalog, CollectionRow, FileFilter, FileRow};
use crate::download::{
    ContentError, Progress, Source, blocking, download, download_into, download_sealed, split_live_photo,
};
use crate::error::VaultError;
use crate::event::{Event, Events, Outcome};
use crate::keys::{KeyRing, Unreadable, file_key, stream_header};
use crate::session::Session;
use crate::together::{Most, Together};
use crate::verify::Unreached;
use darkslide_crypto::ContentHash;
use darkslide_crypto::keys::FileKey;
use darkslide_crypto::stream::{SEALED_CHUNK_LEN, StreamDecryptor, plaintext_len};
use darkslide_disk::write_whole;
use darkslide_protocol::{CollectionId, FileId};
use futures_util::StreamExt as _;
use place::{ExpectedPart, Placed, Spot, expected_parts};
use plan::{Place, PlannedFile};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::NamedTempFile;
use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Files that are fetched at the same time, as far as there is room: what a small one takes is waiting.
const FILES_AT_ONCE: usize = 16;

/// Room in memory is shared out in units of 64 KiB; a chunk (4 MiB) has 64 of them.
const ROOM_UNIT: usize = 64 << 10;
const UNITS_OF_A_CHUNK: u32 = 64;

/// What the files being fetched hold in memory, as ciphertext and as plaintext: two chunks of a file of one, four of any other.
const ROOM_UNITS: usize = 12 * UNITS_OF_A_CHUNK as usize;

/// Files up to here take the room that they need; of larger ones there are few at once, and their buffers are kept.
const SMALL_BYTES_MAX: usize = 1 << 20;

/// Groups of small files that are opened at once: while one is written, the next is hashed.
const OPENING: usize = 2;

/// Small files that are opened and hashed side by side.
const OPENED_TOGETHER: Most = Most { count: 8, bytes: 12 << 20 };

/// Files that are made durable in one go, and how many may be waiting for that. Each is open, a Live Photo twice, and some systems let a program
/// have no more than 256 files open.
const PLACED_TOGETHER: Most = Most { count: 64, bytes: 128 << 20 };
const PLACED_AT_ONCE: usize = 96;

/// Which files to restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreScope {
    /// All, each album into a folder of its name.
    Everything,
    /// Those of these collections, each into a folder of its name.
    Collections(Vec<CollectionId>),
    /// These files, into the folder itself.
    Files(Vec<FileId>),
}

/// What came of a restore. A file that is in two albums is counted twice, for it goes to two places.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreSummary {
    /// Files that were written.
    pub restored: u64,
    /// Bytes that were fetched, as plaintext.
    pub bytes: u64,
    /// Files that were there already with the same content.
    pub already_there: u64,
    /// Files that have another name now, because theirs was taken or cannot be written on this machine.
    pub renamed: Vec<Renamed>,
    /// Files that are not there.
    pub failed: Vec<RestoreFailure>,
}

/// A file that has another name now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Renamed {
    /// The file.
    pub file: FileId,
    /// The name that it had.
    pub name: String,
    /// Where it is now.
    pub path: PathBuf,
}

/// A file that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreFailure {
    /// The file.
    pub file: FileId,
    /// Its name, if that opens.
    pub name: Option<String>,
    /// A word for programs: see [`ContentError::code`].
    pub problem: &'static str,
    /// What is wrong, for people.
    pub reason: String,
}

/// Why nothing (more) is restored.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The vault or the catalog.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The folder that is restored into.
    #[error("cannot restore into {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Two restores into one folder would remove each other's temporary files.
    #[error("another restore into {0} is running")]
    Busy(PathBuf),
}

/// Restores files into `target`, which is made if it is not there. The catalog says which files there are: pull the
/// feed first.
pub async fn restore(
    session: &Session,
    catalog: &Catalog,
    scope: &RestoreScope,
    target: &Path,
    events: &Events,
) -> Result<RestoreSummary, RestoreError> {
    let jobs = jobs(session, catalog, scope, target).await?;
    let _lock = prepare(target, &jobs).await?;
    let bytes = jobs.iter().map(Job::plain_len).sum();
    events.send(Event::Planned { assets: jobs.len() as u64, bytes }).await;
    let buffers = Buffers::default();
    let for_opening = buffers.clone();
    let opening = Together::new(OPENED_TOGETHER, Arc::new(Semaphore::new(OPENING)), move |files| {
        open_together(files, &for_opening)
    });
    let placing = Together::new(PLACED_TOGETHER, Arc::new(Semaphore::new(1)), place_together);
    let room = Semaphore::new(ROOM_UNITS);
    let restoring =
        Restoring { session, opening: &opening, placing: &placing, buffers: &buffers, room: &room, events };
    let mut running = futures_util::stream::iter(&jobs)
        .map(|job| async move { (job, restoring.bring(job).await) })
        .buffer_unordered(FILES_AT_ONCE)
        .map(|(job, brought)| async move {
            let placed = match brought {
                Ok(brought) => restoring.place(brought, job.plain_len()).await,
                Err(error) => Err(error),
            };
            (job, placed)
        })
        .buffer_unordered(PLACED_AT_ONCE);
    let mut summary = RestoreSummary::default();
    let mut unreached = Unreached::default();
    while let Some((job, result)) = running.next().await {
        events.send(Event::Finished { name: job.name(), outcome: outcome(&result) }).await;
        match unreached.pass(result).map_err(VaultError::from)? {
            Ok(done) => summary.count(job, done),
            Err(error) => summary.failed.push(job.failure(&error)),
        }
    }
    sync_folders(target, jobs.iter().flat_map(|job| &job.places).map(|place| &place.folder)).await?;
    Ok(summary)
}

/// One planned file with its key and with the folders of its places.
struct Job {
    planned: PlannedFile,
    key: Result<FileKey, Unreadable>,
    /// The same places, their folders absolute.
    places: Vec<Place>,
}

/// What came of one file: one entry a place, and how many bytes were fetched.
#[derive(Default)]
struct Done {
    places: Vec<Placed>,
    fetched: u64,
}

impl RestoreSummary {
    fn count(&mut self, job: &Job, done: Done) {
        self.bytes += done.fetched;
        for placed in done.places {
            self.already_there += u64::from(placed.already_there);
            self.restored += u64::from(!placed.already_there);
            if placed.renamed && !placed.already_there {
                let (file, name) = (job.planned.row.id, job.title());
                self.renamed.push(Renamed { file, name, path: placed.path });
            }
        }
    }
}

fn outcome(result: &Result<Done, ContentError>) -> Outcome {
    match result {
        Ok(done) if done.places.iter().all(|placed| placed.already_there) => {
            Outcome::Skipped("already there".to_owned())
        }
        Ok(_) => Outcome::Downloaded,
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

impl Job {
    fn title(&self) -> String {
        self.planned.row.title.clone().unwrap_or_default()
    }

    fn name(&self) -> Arc<Path> {
        let place = self.planned.places.first();
        let part = place.and_then(|place| place.parts.first());
        let folder = place.map(|place| place.folder.clone()).unwrap_or_default();
        folder.join(part.map(|part| part.name.candidate(0)).unwrap_or_default()).into()
    }

    fn plain_len(&self) -> u64 {
        let length = u64::try_from(self.planned.row.object_size).ok();
        length.and_then(plaintext_len).unwrap_or_default()
    }

    fn failure(&self, error: &ContentError) -> RestoreFailure {
        RestoreFailure {
            file: self.planned.row.id,
            name: self.planned.row.title.clone(),
            problem: error.code(),
            reason: error.to_string(),
        }
    }

    /// What its parts must be, if the metadata say so. The length of a Live Photo is that of its container.
    fn expected(&self) -> Option<Vec<ExpectedPart>> {
        let hash = self.planned.row.content_hash?;
        let length = Some(self.plain_len()).filter(|length| *length > 0);
        let expected = expected_parts(&hash, length);
        let parts = self.planned.places.first().map_or(0, |place| place.parts.len());
        (expected.len() == parts).then_some(expected)
    }
}

async fn jobs(
    session: &Session,
    catalog: &Catalog,
    scope: &RestoreScope,
    target: &Path,
) -> Result<Vec<Job>, VaultError> {
    let rows = rows(catalog, scope).await?;
    let collections = catalog.collections().await?;
    let flat = matches!(scope, RestoreScope::Files(_));
    let plan = plan::plan(rows, &collections, session.account, flat);
    let collections: HashMap<CollectionId, CollectionRow> =
        collections.into_iter().map(|row| (row.id, row)).collect();
    let mut keys = KeyRing::default();
    let mut open = |row: &FileRow| {
        let collection = collections.get(&row.collection);
        let key = collection.and_then(|collection| keys.key(&session.keys, collection));
        key.ok_or(Unreadable::CollectionKey(row.collection)).and_then(|key| file_key(key, row))
    };
    let job = |planned: PlannedFile| {
        let absolute = |place: &Place| Place { folder: target.join(&place.folder), ..place.clone() };
        let places = planned.places.iter().map(absolute).collect();
        Job { key: open(&planned.row), planned, places }
    };
    Ok(plan.files.into_iter().map(job).collect())
}

async fn rows(catalog: &Catalog, scope: &RestoreScope) -> Result<Vec<FileRow>, VaultError> {
    let mut rows = Vec::new();
    match scope {
        RestoreScope::Everything => rows = catalog.files(&FileFilter::default()).await?,
        RestoreScope::Collections(ids) => {
            for id in ids {
                let filter = FileFilter { collection: Some(*id), ..FileFilter::default() };
                rows.extend(catalog.files(&filter).await?);
            }
        }
        RestoreScope::Files(ids) => {
            for id in ids.iter().collect::<BTreeSet<_>>() {
                let filter = FileFilter { file: Some(*id), ..FileFilter::default() };
                let memberships = catalog.files(&filter).await?;
                rows.push(memberships.into_iter().next().ok_or(VaultError::NoSuchFile(*id))?);
            }
        }
    }
    Ok(rows)
}

/// Makes the folders, removes what a killed run left in them, and makes sure that this is the only run. The lock is on
/// the folder itself; where folders cannot be opened (Windows) there is none. A folder below it that cannot be made, for
/// something else has its name, is told with each of its files, and stops no others.
async fn prepare(target: &Path, jobs: &[Job]) -> Result<Option<File>, RestoreError> {
    let target = target.to_owned();
    let places = jobs.iter().flat_map(|job| &job.places);
    let folders: BTreeSet<PathBuf> = places.map(|place| place.folder.clone()).collect();
    blocking(move || {
        let failed = |path: &Path, source| RestoreError::Folder { path: path.to_owned(), source };
        std::fs::create_dir_all(&target).map_err(|error| failed(&target, error))?;
        // A folder that takes nothing is told once, and not with every file.
        drop(place::temporary(&target, place::RESTORING).map_err(|error| failed(&target, error))?);
        let lock = lock(&target)?;
        for folder in folders {
            let _told_with_its_files = std::fs::create_dir_all(&folder)
                .and_then(|()| place::remove_leftovers(&folder, place::RESTORING));
        }
        Ok(lock)
    })
    .await
}

fn lock(target: &Path) -> Result<Option<File>, RestoreError> {
    if !cfg!(unix) {
        return Ok(None);
    }
    let failed = |source| RestoreError::Folder { path: target.to_owned(), source };
    let folder = File::open(target).map_err(failed)?;
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(std::fs::TryLockError::WouldBlock) => Err(RestoreError::Busy(target.to_owned())),
        // Some network file systems have no locks: better without than not at all.
        Err(std::fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(None),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

async fn sync_folders<'a>(
    target: &Path,
    folders: impl Iterator<Item = &'a PathBuf>,
) -> Result<(), RestoreError> {
    // With those in between: a folder's own name is in the one above.
    let below = |folder: &'a PathBuf| folder.ancestors().take_while(|above| above.starts_with(target));
    let mut all: BTreeSet<PathBuf> = folders.flat_map(below).map(Path::to_owned).collect();
    all.insert(target.to_owned());
    blocking(move || {
        all.into_iter().filter(|path| path.is_dir()).try_for_each(|path| {
            place::sync_folder(&path).map_err(|source| RestoreError::Folder { path, source })
        })
    })
    .await
}

/// What restoring a file needs.
#[derive(Clone, Copy)]
struct Restoring<'a> {
    session: &'a Session,
    opening: &'a Together<Unopened, Result<Fetched, ContentError>>,
    placing: &'a Together<Unplaced, Result<Vec<Placed>, ContentError>>,
    buffers: &'a Buffers,
    room: &'a Semaphore,
    events: &'a Events,
}

impl<'a> Restoring<'a> {
    /// Fetches what is missing, under temporary names.
    async fn bring(self, job: &Job) -> Result<Brought, ContentError> {
        let row = &job.planned.row;
        let key = job.key.as_ref().map_err(|unreadable| ContentError::Unreadable(*unreadable))?;
        if row.title.is_none() {
            return Err(Unreadable::Metadata(row.id).into());
        }
        let (there, missing) = look(job).await?;
        let Some(first) = missing.first() else { return Ok(Brought { there, unplaced: None }) };
        let name = job.name();
        self.events.send(Event::Started { name: Arc::clone(&name), bytes: job.plain_len() }).await;
        let header = stream_header(&row.object_header).ok_or(ContentError::Header)?;
        let source = Source { file: row.id, key, header };
        let progress = Progress { events: self.events, name };
        let said = usize::try_from(row.object_size).ok().filter(|size| *size <= SEALED_CHUNK_LEN);
        let small = match said {
            Some(size) if first.parts.len() == 1 => {
                self.fetch_small(size, &first.folder, &source, &progress).await?
            }
            _ => None,
        };
        let fetched = match small {
            Some(fetched) => fetched,
            None => {
                let _room = self.room_of(4 * UNITS_OF_A_CHUNK).await;
                fetch(self.session, first.clone(), &source, &progress).await?
            }
        };
        if row.content_hash.is_some_and(|expected| expected != fetched.content) {
            return Err(ContentError::HashMismatch);
        }
        Ok(Brought { there, unplaced: Some(Unplaced { fetched, places: missing }) })
    }

    /// Waits until there is so much room in memory.
    async fn room_of(self, units: u32) -> SemaphorePermit<'a> {
        self.room.acquire_many(units).await.expect("the semaphore is never closed")
    }

    /// Makes what was fetched durable, together with others, and gives it its names.
    async fn place(self, brought: Brought, bytes: u64) -> Result<Done, ContentError> {
        let mut places = brought.there;
        let Some(unplaced) = brought.unplaced else { return Ok(Done { places, fetched: 0 }) };
        places.extend(self.placing.ask(unplaced, bytes).await?);
        Ok(Done { places, fetched: bytes })
    }

    /// Fetches a file of one chunk, to be opened with others; none if it has more.
    async fn fetch_small(
        self,
        expected: usize,
        folder: &Path,
        source: &Source<'_>,
        progress: &Progress<'_>,
    ) -> Result<Option<Fetched>, ContentError> {
        let _room = self.room_of(units_of(expected)).await;
        let lengths = (expected, SEALED_CHUNK_LEN);
        let sealed = download_sealed(&self.session.api, source, lengths, self.buffers, progress).await?;
        let Some(sealed) = sealed else { return Ok(None) };
        let decryptor = StreamDecryptor::new(source.key, &source.header);
        let bytes = sealed.len() as u64;
        let unopened = Unopened { sealed, decryptor, folder: folder.to_owned() };
        self.opening.ask(unopened, bytes).await.map(Some)
    }
}

/// Room for a file of one chunk, twice: sealed and opened.
fn units_of(sealed: usize) -> u32 {
    if sealed > SMALL_BYTES_MAX {
        return 2 * UNITS_OF_A_CHUNK;
    }
    u32::try_from((2 * sealed).div_ceil(ROOM_UNIT)).unwrap_or(u32::MAX)
}

/// A file of which the bytes are here.
struct Brought {
    /// Where it was before.
    there: Vec<Placed>,
    /// Where it goes, if it goes anywhere.
    unplaced: Option<Unplaced>,
}

/// A file that was fetched, and where it goes.
struct Unplaced {
    fetched: Fetched,
    places: Vec<Place>,
}

/// A file in every place where it goes, under temporary names, and what each part must be.
struct Staged {
    places: Vec<(Place, Vec<NamedTempFile>)>,
    expected: Vec<ExpectedPart>,
}

/// Gives files their times, flushes all of them at once, and then gives each its names.
fn place_together(files: Vec<Unplaced>) -> Vec<Result<Vec<Placed>, ContentError>> {
    let staged: Vec<_> = files.into_iter().map(|file| file.fetched.stage(file.places)).collect();
    let all = staged.iter().flatten().flat_map(|file| file.places.iter().flat_map(|(_, files)| files));
    let flushed = flush::together(&all.map(NamedTempFile::as_file).collect::<Vec<_>>());
    // Each hears of it: none of them has a name yet.
    let failed = flushed.err().map(|error| (error.kind(), error.to_string()));
    let name = |staged: Staged| match &failed {
        Some((kind, text)) => Err(io::Error::new(*kind, text.clone()).into()),
        None => {
            let place =
                |(place, files): (Place, Vec<NamedTempFile>)| place::place(&place, files, &staged.expected);
            Ok(staged.places.into_iter().map(place).collect::<io::Result<_>>()?)
        }
    };
    staged.into_iter().map(|staged| staged.and_then(name)).collect()
}

/// A file of one chunk, as it came.
struct Unopened {
    sealed: Buffer,
    decryptor: StreamDecryptor,
    folder: PathBuf,
}

impl Unopened {
    fn open(mut self, buffers: &Buffers) -> Result<(Buffer, PathBuf), ContentError> {
        let mut plain = buffers.take(self.sealed.len());
        if !self.sealed.is_empty() {
            self.decryptor.decrypt_chunk(&self.sealed, &mut plain)?;
        }
        self.decryptor.finish()?;
        Ok((plain, self.folder))
    }
}

/// Opens files, hashes them side by side, and writes each under a temporary name.
fn open_together(files: Vec<Unopened>, buffers: &Buffers) -> Vec<Result<Fetched, ContentError>> {
    let opened: Vec<_> = files.into_iter().map(|file| file.open(buffers)).collect();
    let plain: Vec<&[u8]> = opened.iter().flatten().map(|(plain, _)| plain.as_slice()).collect();
    let mut contents = ContentHash::of_each(&plain).into_iter();
    let mut write = |(plain, folder): (Buffer, PathBuf)| {
        let content = contents.next().expect("each that was opened has a hash");
        let file = place::temporary(&folder, place::RESTORING)?;
        write_whole(file.as_file(), &plain)?;
        Ok(Fetched { staged: vec![file], content, video_extension: String::new() })
    };
    opened.into_iter().map(|opened| opened.and_then(&mut write)).collect()
}

/// Splits a file's places into those where it is already, and those where it is missing.
async fn look(job: &Job) -> io::Result<(Vec<Placed>, Vec<Place>)> {
    let places = job.places.clone();
    let Some(expected) = job.expected() else { return Ok((Vec::new(), places)) };
    blocking(move || {
        let (mut there, mut missing) = (Vec::new(), Vec::new());
        for place in places {
            match place::find_spot(&place, &expected)? {
                Spot::Taken(number) => there.push(place::placed(&place, number, true)),
                Spot::Free(..) => missing.push(place),
            }
        }
        Ok((there, missing))
    })
    .await
}

/// A file that was fetched and checked, under temporary names.
struct Fetched {
    staged: Vec<NamedTempFile>,
    content: ContentHash,
    /// Of a Live Photo's video.
    video_extension: String,
}

/// Fetches into the folder of the first place.
async fn fetch(
    session: &Session,
    first: Place,
    source: &Source<'_>,
    progress: &Progress<'_>,
) -> Result<Fetched, ContentError> {
    let folder = first.folder.clone();
    let file = blocking(move || place::temporary(&folder, place::RESTORING)).await?;
    if first.parts.len() == 1 {
        let content = download_into(&session.api, source, file.as_file(), progress).await?;
        return Ok(Fetched { staged: vec![file], content, video_extension: String::new() });
    }
    let container = download(&session.api, source, file, progress).await?;
    blocking(move || unpack(&container, &first.folder)).await
}

fn unpack(container: &NamedTempFile, folder: &Path) -> Result<Fetched, ContentError> {
    let reader = io::BufReader::new(container.reopen()?);
    let split = split_live_photo(
        reader,
        place::temporary(folder, place::RESTORING)?,
        place::temporary(folder, place::RESTORING)?,
    )?;
    let content = split.content_hash();
    let staged = vec![split.image.0, split.video.0];
    Ok(Fetched { staged, content, video_extension: split.video_extension })
}

impl Fetched {
    /// The first place gets the fetched files themselves, the others copies. Each gets its time.
    fn stage(self, mut places: Vec<Place>) -> Result<Staged, ContentError> {
        let Self { staged, content, video_extension } = self;
        let expected = expected_parts(&content, None);
        for part in places.iter_mut().flat_map(|place| &mut place.parts) {
            part.name = part.name.clone().with_extension(&video_extension);
        }
        let mut all = Vec::with_capacity(places.len());
        for place in places.iter().skip(1) {
            let copies = staged.iter().map(|file| place::copy_into(&place.folder, file));
            all.push((place.clone(), copies.collect::<io::Result<Vec<_>>>()?));
        }
        if let Some(first) = places.into_iter().next() {
            all.push((first, staged));
        }
        for (place, files) in &all {
            for (file, part) in files.iter().zip(&place.parts) {
                file.as_file().set_modified(part.modified)?;
            }
        }
        Ok(Staged { places: all, expected })
    }
}
