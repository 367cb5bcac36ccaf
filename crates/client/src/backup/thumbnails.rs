//! Thumbnails follow: a picture goes into the vault with the placeholder, so as to be safe early, and its thumbnail comes after it.
//!
//! What is due stands in the catalog, so that a run that was killed leaves nothing behind that the next one does not do. Thumbnails
//! are made from the file on this device while it is the one that was sent, wherever it was moved to; where that is over, or no decoder reads it, the
//! file is marked as having none. Nothing here stops a backup.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use darkslide_crypto::keys::{CollectionKey, FileKey};
use darkslide_crypto::stream::blob;
use darkslide_protocol::batch::{FrameKind, ThumbnailAnswer, ThumbnailRequest};
use darkslide_protocol::file::File;
use darkslide_protocol::upload::ObjectReference;
use darkslide_protocol::{CollectionId, FileId, Opaque};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::{Map, Value};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::batch::{SealedObject, append_record};
use super::error::AssetError;
use super::identify::{Surroundings, subject_of};
use super::run::Run;
use crate::catalog::{AssetState, CatalogError, DueRow, DueThumbnail, FileRow, SentThumbnail};
use crate::event::Event;
use crate::keys::file_key;
use crate::library::device::{AssetId, AssetKind};
use crate::library::{folder, path_of};
use crate::watch::disks;

/// Thumbnails that go together: what a request costs beside its bytes is shared by all of them.
const TOGETHER: usize = 128;

/// Bytes of them, from which on no more go with them.
const TOGETHER_BYTES: u64 = 1 << 20;

/// Thumbnails that wait made, while those before them are being sent, and that are looked up at once.
const AHEAD: usize = 32;

/// Thumbnails that are made at once: the thumbnailer has two turns of its own, for which the next is looked up meanwhile.
const MADE_AT_ONCE: usize = 3;

/// When there is something to do, and when no more will come.
#[derive(Debug)]
pub(super) struct Signals {
    /// Told when thumbnails became due.
    pub(super) due: Arc<Notify>,
    /// All originals are where they will be.
    last: CancellationToken,
    /// One until then: what decodes takes memory and its way to the processor from what makes pictures safe.
    turns: Semaphore,
}

impl Default for Signals {
    fn default() -> Self {
        Self { due: Arc::default(), last: CancellationToken::new(), turns: Semaphore::new(1) }
    }
}

impl Signals {
    /// No more originals will come.
    pub(super) fn originals_are_done(&self) {
        self.last.cancel();
        self.turns.add_permits(MADE_AT_ONCE - 1);
    }
}

/// What came of trying to make one.
enum Made {
    /// A JPEG, and what seals it.
    Jpeg(Vec<u8>, FileKey),
    /// There will never be one.
    Never,
    /// What it is to be made of is not where it was: it was moved, deleted, or is something else by now.
    Gone,
    /// The file is not what it was to be a thumbnail of any more, or is gone: another device, or another thumbnail, has the say.
    Over,
    /// The file is in the trash, or cannot be looked at: it, or its disk, may be back in another run.
    NotNow,
}

/// Makes what is due until no more will come.
pub(super) async fn follow(run: Arc<Run>, signals: Arc<Signals>) {
    if !run.settings.thumbnailer.is_on() {
        return;
    }
    // What earlier runs left has its turn behind all originals of this one.
    let (mut after, mut has_left_over) = match run.catalog.last_thumbnail_due().await {
        Ok(last) => (last, last > 0),
        Err(error) => return run.fail(error),
    };
    // A full vault has none for them either.
    while !run.halt.is_cancelled() && !run.room.is_full() {
        // Asked before looking: what comes due behind the look is told again.
        let is_last = signals.last.is_cancelled();
        if is_last && std::mem::take(&mut has_left_over) {
            after = 0;
        }
        match all_behind(&run, &signals, after).await {
            Ok(Some(reached)) => after = reached,
            Ok(None) if is_last && !has_left_over => return,
            Ok(None) if is_last => {}
            Ok(None) => tokio::select! {
                () = run.halt.cancelled() => return,
                () = signals.last.cancelled() => {}
                () = signals.due.notified() => {}
            },
            Err(AssetError::Stopped | AssetError::Held(_)) => return,
            Err(AssetError::Catalog(error)) => return run.fail(error),
            Err(error) => {
                if error.is_refused_for_room() {
                    run.room.refused();
                }
                // The pictures are safe; the next run makes what is left.
                tracing::debug!(%error, "thumbnails wait for the next run");
                return;
            }
        }
    }
}

/// Makes and sends all that is due behind `after`; says how far it came, or that there was nothing.
async fn all_behind(run: &Run, signals: &Signals, after: i64) -> Result<Option<i64>, AssetError> {
    let (out, made) = mpsc::channel(AHEAD);
    let (reached, sent) = tokio::join!(make_all(run, signals, after, out), send_all(run, made));
    sent.and(reached)
}

/// Makes all that is due behind `after`, for as long as somebody takes it; says how far it came, or that there was nothing.
async fn make_all(
    run: &Run,
    signals: &Signals,
    after: i64,
    out: mpsc::Sender<(Made, DueRow)>,
) -> Result<Option<i64>, AssetError> {
    let (mut waiting, mut making) = (VecDeque::new(), FuturesUnordered::new());
    let (mut looked_up, mut reached) = (Some(after), None);
    loop {
        while making.len() < MADE_AT_ONCE {
            if let (true, Some(after)) = (waiting.is_empty(), looked_up) {
                waiting = page_behind(run, after).await?;
                looked_up = waiting.back().map(|(due, _)| due.row.number);
            }
            let Some(due) = waiting.pop_front() else { break };
            making.push(make_in_turn(run, signals, due));
        }
        let next = tokio::select! {
            () = run.halt.cancelled() => return Err(AssetError::Stopped),
            // Where nothing is sent any more nothing is made.
            () = out.closed() => return Ok(reached),
            next = making.next() => next,
        };
        let Some(made) = next else { return Ok(reached) };
        let (made, row) = made?;
        reached = reached.max(Some(row.number));
        // Nobody takes it only where sending has failed, which is what is told then.
        let _sent = out.send((made, row)).await;
    }
}

/// One that is due, and the keys of the albums of its page.
type Due = (DueThumbnail, Arc<HashMap<CollectionId, CollectionKey>>);

/// The next ones.
async fn page_behind(run: &Run, after: i64) -> Result<VecDeque<Due>, AssetError> {
    let due = run.catalog.thumbnails_to_make(run.session.account, after, AHEAD).await?;
    let keys = Arc::new(album_keys(run, &due).await?);
    Ok(due.into_iter().map(|due| (due, Arc::clone(&keys))).collect())
}

async fn make_in_turn(
    run: &Run,
    signals: &Signals,
    (mut due, keys): Due,
) -> Result<(Made, DueRow), AssetError> {
    let _turn = signals.turns.acquire().await.expect("the semaphore is never closed");
    if let Some(original) = original_of(&due) {
        due.row.original = Some(original);
    }
    match make(run, &due, &keys).await? {
        here @ (Made::Gone | Made::NotNow) if !due.memberships.is_empty() => {
            make_elsewhere(run, due, &keys, matches!(here, Made::NotNow)).await
        }
        made => Ok((made, due.row)),
    }
}

/// Makes it of another copy that this device has: most often the picture was moved since. `may_return` is whether what was looked for may be back in
/// another run.
async fn make_elsewhere(
    run: &Run,
    due: DueThumbnail,
    keys: &HashMap<CollectionId, CollectionKey>,
    mut may_return: bool,
) -> Result<(Made, DueRow), AssetError> {
    let place = (&due.row.root, &due.row.path);
    for holder in run.catalog.holders(due.row.file).await? {
        let asset = holder.asset;
        let is_there =
            asset.state == AssetState::BackedUp && !holder.is_absent && holder.is_listed != Some(false);
        if !is_there || (&asset.root, &asset.path) == place {
            continue;
        }
        let row = DueRow { root: asset.root.clone(), path: asset.path.clone(), ..due.row.clone() };
        let mut there = DueThumbnail { row, memberships: due.memberships.clone(), asset: Some(asset) };
        there.row.original = original_of(&there).or(there.row.original);
        match make(run, &there, keys).await? {
            Made::Gone => {}
            Made::NotNow => may_return = true,
            made => return Ok((made, there.row)),
        }
    }
    Ok((if may_return { Made::NotNow } else { Made::Never }, due.row))
}

/// What the file is, if that is what this device has: also where it was sent anew since, and where nobody wrote down what was sent.
fn original_of(due: &DueThumbnail) -> Option<Opaque> {
    let (membership, asset) = (due.memberships.first()?, due.asset.as_ref()?);
    let is_it = asset.content_hash.is_some() && asset.content_hash == membership.content_hash;
    is_it.then(|| membership.object_header.clone())
}

/// Sends what was made, until no more comes.
async fn send_all(run: &Run, mut made: mpsc::Receiver<(Made, DueRow)>) -> Result<(), AssetError> {
    loop {
        let mut ready = Ready::default();
        while ready.count() < TOGETHER
            && ready.bytes() < TOGETHER_BYTES
            && let Some((made, row)) = made.recv().await
        {
            match made {
                Made::Jpeg(jpeg, key) => ready.sealed.push(Sealed::new(row, &jpeg, &key)),
                Made::Never | Made::Gone => ready.never.push(row),
                Made::Over => ready.over.push(row),
                Made::NotNow => {}
            }
        }
        if ready.count() == 0 {
            return Ok(());
        }
        run.deliver(ready).await?;
    }
}

/// What was made, and goes together.
#[derive(Default)]
struct Ready {
    sealed: Vec<Sealed>,
    never: Vec<DueRow>,
    over: Vec<DueRow>,
}

impl Ready {
    fn count(&self) -> usize {
        self.sealed.len() + self.never.len() + self.over.len()
    }

    fn bytes(&self) -> u64 {
        self.sealed.iter().map(Sealed::bytes).sum()
    }
}

/// The keys of the albums that the files are in. One that does not open now opens for nobody, and stops no other.
async fn album_keys(
    run: &Run,
    due: &[DueThumbnail],
) -> Result<HashMap<CollectionId, CollectionKey>, AssetError> {
    let albums: BTreeSet<CollectionId> =
        due.iter().filter_map(|due| Some(due.memberships.first()?.collection)).collect();
    let mut keys = HashMap::new();
    for album in albums {
        match run.collection_key(album).await {
            Err(AssetError::Unreadable(_)) => {}
            key => {
                keys.insert(album, key?);
            }
        }
    }
    Ok(keys)
}

async fn make(
    run: &Run,
    due: &DueThumbnail,
    keys: &HashMap<CollectionId, CollectionKey>,
) -> Result<Made, AssetError> {
    let DueThumbnail { row, memberships, asset } = due;
    let Some(membership) = memberships.first() else {
        let may_return = run.catalog.is_in_trash(row.file).await?;
        return Ok(if may_return { Made::NotNow } else { Made::Over });
    };
    let Some(original) = &row.original else { return Ok(Made::Over) };
    let Some(asset) = asset.clone().filter(|asset| asset.file == Some(row.file)) else {
        return Ok(Made::Gone);
    };
    if *original != membership.object_header {
        // This device's own edit, which the feed has not told yet, or another's: the vault knows.
        match run.original_in(membership).await? {
            None => return Ok(Made::NotNow),
            Some(now) if now != *original => return Ok(Made::Over),
            Some(_) => {}
        }
    } else if asset.content_hash != membership.content_hash {
        return Ok(Made::Gone);
    }
    let Some(album) = keys.get(&membership.collection) else { return Ok(Made::NotNow) };
    let Ok(key) = file_key(album, membership) else { return Ok(Made::NotNow) };
    if let Some(library) = run.library.as_ref().filter(|library| library.id() == row.root) {
        // The system has small pictures of all that its library holds, also where the original is elsewhere.
        let made = library.thumbnail(&AssetId(row.path.clone())).await;
        return Ok(made.map_or(Made::Never, |jpeg| Made::Jpeg(jpeg, key)));
    }
    let fingerprint = asset.fingerprint;
    let root: Arc<Path> = path_of(&row.root).into();
    // It may be of another folder than those of this run.
    if disks::asked().silent_at(&root.join(path_of(&row.path)), disks::TO_READ).await.is_some() {
        return Ok(Made::NotNow);
    }
    let (zone, now, archives) = (Arc::clone(&run.settings.zone), run.now, Arc::clone(&run.archives));
    let looking = tokio::task::spawn_blocking(move || {
        let around = Surroundings { root: &root, zone: &*zone, now };
        let relative = path_of(&asset.path);
        let subject = subject_of(around, &archives, &relative, &asset.fingerprint);
        // A file that is gone from its folder was deleted. Anything else may pass: a disk that is not there, a right that is missing.
        let folder = root.join(relative).parent().map(Path::to_owned).unwrap_or_default();
        let is_in_use = || std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
        let is_gone = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound && is_in_use();
        let may_return = subject.as_ref().is_err_and(|error| !is_gone(error));
        (subject, may_return)
    });
    let subject = match looking.await.expect("looking at a file does not panic") {
        (Ok(Some(subject)), _) => subject,
        (Err(_), true) => return Ok(Made::NotNow),
        // Renamed, or deleted: the folder's next pass tells.
        (Err(_), false) if run.catalog.is_agreed_on(&row.root, &row.path).await? => return Ok(Made::NotNow),
        _ => return Ok(Made::Gone),
    };
    let (path, entry) = (subject.path.clone(), subject.entry.clone());
    let Some(jpeg) = run.settings.thumbnailer.make(subject).await else { return Ok(Made::Never) };
    let is_unchanged = match entry {
        Some(entry) => entry.is_unchanged(),
        None => path.metadata().is_ok_and(|now| folder::fingerprint(&now) == fingerprint),
    };
    Ok(if is_unchanged { Made::Jpeg(jpeg, key) } else { Made::NotNow })
}

/// A thumbnail that is ready to go.
struct Sealed {
    row: DueRow,
    object: SealedObject,
    header: Opaque,
}

impl Sealed {
    fn new(row: DueRow, jpeg: &[u8], key: &FileKey) -> Self {
        let sealed = blob::seal(key, jpeg);
        let header = Opaque::encode(sealed.header.as_bytes());
        Self { row, object: SealedObject::new(sealed.ciphertext.into()), header }
    }

    /// Bytes of its ciphertext.
    fn bytes(&self) -> u64 {
        self.object.bytes.len() as u64
    }

    fn frames(&self, run: &Run, pieces: &mut Vec<Bytes>) {
        let request = ThumbnailRequest {
            file_id: self.row.file,
            thumbnail: ObjectReference {
                object_key: self.object.key(run.session.account),
                decryption_header: self.header.clone(),
                size: i64::try_from(self.object.bytes.len()).ok(),
            },
            if_original: self.row.original.clone(),
        };
        self.object.frame(pieces);
        let mut frame = Vec::new();
        append_record(FrameKind::Thumbnail, &request, &mut frame);
        pieces.push(frame.into());
    }
}

impl Run {
    /// Sends what is ready.
    async fn deliver(&self, ready: Ready) -> Result<(), AssetError> {
        let mut waiting = vec![ready.sealed];
        while let Some(sealed) = waiting.pop() {
            let bytes = sealed.iter().map(Sealed::bytes).sum();
            let left = if self.limit.takes(bytes) || sealed.len() == 1 {
                self.send_thumbnails(sealed).await?
            } else {
                Some(sealed)
            };
            if let Some(mut sealed) = left {
                let second = sealed.split_off(sealed.len() / 2);
                waiting.extend([second, sealed]);
            }
        }
        self.give_up(&ready.never).await?;
        if !ready.over.is_empty() {
            self.catalog.end_thumbnails_due(&ready.over).await?;
        }
        Ok(self.tell_thumbnails_left().await?)
    }

    /// Sends some in one request; gives them back if there are several and it was too much for one.
    async fn send_thumbnails(&self, sealed: Vec<Sealed>) -> Result<Option<Vec<Sealed>>, AssetError> {
        if sealed.is_empty() {
            return Ok(None);
        }
        let mut pieces = Vec::with_capacity(sealed.len() * 4);
        for thumbnail in &sealed {
            thumbnail.frames(self, &mut pieces);
        }
        let bytes = sealed.iter().map(Sealed::bytes).sum();
        let send = || async {
            let _under_way = self.gate.pass(AssetKind::Photo, bytes)?;
            Ok(self.session.api.batch(pieces.clone(), &self.sent).await?)
        };
        let sent = self.patience.persist(send).await;
        let answer = match sent.map_err(|error| self.limit.weigh(bytes, error)) {
            Err(error) if error.is_too_large_a_request() && sealed.len() > 1 => return Ok(Some(sealed)),
            answer => answer?,
        };
        if answer.thumbnails.len() != sealed.len() {
            return Err(AssetError::Damaged);
        }
        // A server of an earlier release does not say whose the versions are: then the feed has to tell.
        let is_told = |answer: &ThumbnailAnswer| {
            matches!(
                answer,
                ThumbnailAnswer::Refused { .. } | ThumbnailAnswer::Replaced { collection_id: Some(_), .. }
            )
        };
        let span = answer.span.filter(|_| answer.thumbnails.iter().all(is_told));
        let sent = sealed.into_iter().zip(answer.thumbnails).filter_map(|(sealed, answer)| {
            let Sealed { row, object, header } = sealed;
            let membership = match answer {
                ThumbnailAnswer::Replaced { updation_time, collection_id } => {
                    collection_id.zip(updation_time)
                }
                ThumbnailAnswer::Refused { problem } => {
                    tracing::debug!(file = %row.file, code = %problem.code, "a thumbnail was refused");
                    // Deleted meanwhile, something else, or somebody else's: it is nobody's any more. Anything else may pass.
                    let is_over = matches!(problem.status, 403 | 404 | 409 | 410);
                    is_over.then_some(())?;
                    None
                }
            };
            let size = i64::try_from(object.bytes.len()).unwrap_or(i64::MAX);
            Some(SentThumbnail { row, header, size, membership })
        });
        let sent: Vec<SentThumbnail> = sent.collect();
        let mut spans = self.spans.lock().await;
        spans.extend(span);
        self.catalog.record_thumbnails(&sent, &mut spans).await.inspect_err(|_| spans.clear())?;
        Ok(None)
    }

    /// The stream header of what the file is in the vault now; `None` where it is not in this album any more.
    async fn original_in(&self, membership: &FileRow) -> Result<Option<Opaque>, AssetError> {
        let ask = || async { Ok(self.session.api.file_in(membership.collection, membership.id).await?) };
        match self.patience.persist(ask).await {
            Ok(file) => Ok(Some(file.file.decryption_header)),
            Err(AssetError::Api(failure)) if failure.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Marks files as having no thumbnail, as stock clients mark theirs; not those that are something else by now.
    async fn give_up(&self, rows: &[DueRow]) -> Result<(), AssetError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.tally().placeholders += rows.len() as u64;
        let originals: HashMap<FileId, &Opaque> =
            rows.iter().filter_map(|row| Some((row.file, row.original.as_ref()?))).collect();
        let mark = |file: &File, keys: &mut Map<String, Value>| {
            originals.get(&file.id).is_some_and(|original| file.file.decryption_header == **original)
                && keys.insert("noThumb".to_owned(), true.into()) != Some(true.into())
        };
        let files: Vec<FileId> = rows.iter().map(|row| row.file).collect();
        if !self.change_public_of_all(&files, mark).await? {
            for file in files {
                self.change_public(file, mark).await?;
            }
        }
        Ok(self.catalog.end_thumbnails_due(rows).await?)
    }

    pub(super) async fn tell_thumbnails_left(&self) -> Result<(), CatalogError> {
        let left = self.catalog.count_thumbnails_due().await?;
        self.thumbnails_left.store(left, Ordering::Relaxed);
        self.events.send(Event::ThumbnailsLeft { left }).await;
        Ok(())
    }
}
