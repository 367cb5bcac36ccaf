//! Small uploads on their way together: what is ready waits for a moment, goes in one request, and is recorded in one transaction.
//!
//! A parcel is one asset whose objects are sealed and whose commit is written. Its sender waits for its own answer, and learns
//! nothing of the others. How much goes together follows the line: a batch that is lost should cost seconds, not minutes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use darkslide_crypto::secret::fill_random;
use darkslide_protocol::batch::{
    BATCH_COMMITS_MAX, CommitAnswer, FrameKind, RECORD_HEAD_LEN, object_head, object_key, record_head,
};
use darkslide_protocol::change::Span;
use darkslide_protocol::file::{CommitRequest, File, FileInfo, FileObject};
use darkslide_protocol::upload::ObjectReference;
use darkslide_protocol::{AccountId, FileId, ObjectKey, Version};
use serde::Serialize;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use super::albums::Album;
use super::error::AssetError;
use super::gate::{Gate, Load};
use super::patience::Patience;
use super::request_limit::RequestLimit;
use super::vault_room::VaultRoom;
use crate::catalog::{AssetRow, Catalog, FileRow, Spans, UploadedRows};
use crate::event::{Event, Events};
use crate::keys::open_file;
use crate::library::device::AssetKind;
use crate::session::Session;

/// How long the first parcel of a batch waits for company.
const LINGER: Duration = Duration::from_millis(10);

/// Batches under way on a fast line: while one is received, others are flushed, recorded and answered. On a slow one they would only
/// take the line from each other.
const BATCHES_AT_ONCE: u32 = 4;

/// The most parcels in a batch.
const PARCELS_MAX: usize = 128;
const _: () = assert!(PARCELS_MAX <= BATCH_COMMITS_MAX);

/// Bytes of a batch on an unknown line.
const BYTES_AT_FIRST: u64 = 1 << 20;

/// Bytes of a batch from which on a line is fast, and below which it is slow.
const FAST_BYTES: u64 = 4 << 20;
const SLOW_BYTES: u64 = 1 << 20;

/// Bytes of a batch on the slowest line: less is not worth a round trip.
const BYTES_LEAST: u64 = 256 << 10;

/// A batch that took longer is too large for its line, and one that took less than a quarter may be larger.
const TIME_FOR_A_BATCH: Duration = Duration::from_secs(4);

/// An object that is ready to go: a client draws its id.
#[derive(Debug)]
pub struct SealedObject {
    /// Drawn for it.
    pub id: [u8; 16],
    /// Its ciphertext.
    pub bytes: Bytes,
}

impl SealedObject {
    /// These bytes under an id that is drawn here.
    pub fn new(bytes: Bytes) -> Self {
        Self { id: draw_id(), bytes }
    }

    /// What the server calls it.
    pub fn key(&self, account: AccountId) -> ObjectKey {
        object_key(account, &self.id)
    }

    /// Its frame in a batch.
    pub(super) fn frame(&self, pieces: &mut Vec<Bytes>) {
        pieces.push(Bytes::copy_from_slice(&object_head(&self.id, self.bytes.len() as u64)));
        pieces.push(self.bytes.clone());
    }
}

/// An object's id: a UUID of version 7 (RFC 9562 §5.7), 48 bits of time and 74 random ones, so that what is sent together lies together in
/// the server's indices. When it was sent, the server knows by itself.
pub(super) fn draw_id() -> [u8; 16] {
    let mut random = [0; 10];
    fill_random(&mut random);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().into_bytes()
}

/// A record's frame in a batch.
pub(super) fn append_record(kind: FrameKind, record: &impl Serialize, frames: &mut Vec<u8>) {
    let start = frames.len();
    frames.extend_from_slice(&record_head(kind, 0));
    let text = start + RECORD_HEAD_LEN;
    serde_json::to_writer(&mut *frames, record).expect("a record is JSON");
    let head = record_head(kind, (frames.len() - text) as u64);
    frames.get_mut(start..text).expect("it was just appended").copy_from_slice(&head);
}

/// One asset that is ready to go.
#[derive(Debug)]
pub struct Parcel {
    /// The objects that the server does not have yet, and the commit, as frames of a batch.
    pub frames: Bytes,
    /// Ciphertext bytes of these objects.
    pub bytes: u64,
    /// What makes a file of them.
    pub commit: CommitRequest,
    /// What it is.
    pub kind: AssetKind,
    /// Where it goes.
    pub album: Arc<Album>,
    /// What the catalog will hold of the asset, but for the file's id.
    pub row: AssetRow,
    /// Whether its thumbnail is still to be made, and the placeholder goes for now.
    pub thumbnail_is_due: bool,
    /// The room in memory that it takes, if it takes any.
    pub room: Option<OwnedSemaphorePermit>,
}

/// What became of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It is in the vault, and in the catalog.
    Created(FileId),
    /// Another device was first: the vault has a live file of this content, which the feed will tell of.
    Existing,
}

type Answer = oneshot::Sender<Result<Delivered, AssetError>>;

/// Where parcels are handed in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Counter(mpsc::Sender<(Parcel, Answer)>);

impl Counter {
    /// Hands a parcel in and waits for what becomes of it.
    pub async fn deliver(&self, parcel: Parcel) -> Result<Delivered, AssetError> {
        self.hand_in(parcel).await?.wait().await
    }

    /// Hands a parcel in.
    pub async fn hand_in(&self, parcel: Parcel) -> Result<OnItsWay, AssetError> {
        let (answer, answered) = oneshot::channel();
        self.0.send((parcel, answer)).await.map_err(|_| AssetError::Stopped)?;
        Ok(OnItsWay(answered))
    }
}

/// A parcel that was handed in.
#[derive(Debug)]
pub struct OnItsWay(oneshot::Receiver<Result<Delivered, AssetError>>);

impl OnItsWay {
    /// What becomes of it.
    pub async fn wait(self) -> Result<Delivered, AssetError> {
        self.0.await.map_err(|_| AssetError::Stopped)?
    }
}

/// What sending needs.
#[derive(Clone, Debug)]
pub struct Courier {
    /// The account.
    pub session: Arc<Session>,
    /// Where files and assets are recorded.
    pub catalog: Catalog,
    /// How long failures are borne.
    pub patience: Arc<Patience>,
    /// Who hears of progress.
    pub events: Events,
    /// Ciphertext bytes that were handed to the network.
    pub sent: Arc<AtomicU64>,
    /// Told when thumbnails became due.
    pub thumbnails_due: Arc<Notify>,
    /// What the feed need not tell. Whoever has it records.
    pub spans: Arc<tokio::sync::Mutex<Spans>>,
    /// What every part passes.
    pub(super) gate: Arc<Gate>,
    /// What the vault still takes.
    pub(super) room: Arc<VaultRoom>,
    /// What one request may have.
    pub(super) limit: Arc<RequestLimit>,
    /// Bytes of a batch on the fastest line.
    pub most: u64,
}

/// What became of a batch.
enum Sent {
    /// It was answered.
    Answered(Vec<Result<Delivered, AssetError>>),
    /// It was more than goes in one request. Nothing of it happened, and the parcels are as they were.
    TooMuch(Vec<Parcel>),
}

/// Where parcels are handed in, and the work that sends them, which ends when every counter is gone.
pub fn open(courier: Courier) -> (Counter, impl Future<Output = ()> + Send) {
    let (sender, waiting) = mpsc::channel(PARCELS_MAX);
    (Counter(sender), run(Arc::new(courier), waiting))
}

async fn run(courier: Arc<Courier>, mut waiting: mpsc::Receiver<(Parcel, Answer)>) {
    let turns = Arc::new(Semaphore::new(BATCHES_AT_ONCE as usize));
    let most = Arc::new(AtomicU64::new(BYTES_AT_FIRST.min(courier.most)));
    let mut under_way = JoinSet::new();
    let mut left_over = None;
    loop {
        // Parcels gather while the batches before are under way.
        let share = BATCHES_AT_ONCE / batches_at_once(most.load(Ordering::Relaxed));
        let turn = Arc::clone(&turns).acquire_many_owned(share).await.expect("the semaphore is never closed");
        let (batch, next) = gather(&mut waiting, left_over.take(), &courier, &most).await;
        left_over = next;
        if batch.is_empty() {
            break;
        }
        let (courier, most) = (Arc::clone(&courier), Arc::clone(&most));
        under_way.spawn(async move {
            courier.send(batch, &most).await;
            drop(turn);
        });
        while under_way.try_join_next().is_some() {}
    }
    under_way.join_all().await;
}

/// Parcels that go together, and one that is left over because it would have been too much. None at the end of all. In a grant that ends they
/// are no more than a part: all that is staked on a line that is not known.
async fn gather(
    waiting: &mut mpsc::Receiver<(Parcel, Answer)>,
    first: Option<(Parcel, Answer)>,
    courier: &Courier,
    most: &AtomicU64,
) -> (Vec<(Parcel, Answer)>, Option<(Parcel, Answer)>) {
    let first = match first {
        Some(first) => first,
        None => match waiting.recv().await {
            Some(first) => first,
            None => return (Vec::new(), None),
        },
    };
    let deadline = tokio::time::Instant::now() + LINGER;
    let most = most.load(Ordering::Relaxed);
    let most = most.min(courier.gate.part_bytes(most)).min(courier.limit.bytes());
    let mut bytes = first.0.frames.len() as u64;
    let mut batch = vec![first];
    while bytes < most && batch.len() < PARCELS_MAX {
        let next = match waiting.try_recv() {
            Ok(next) => next,
            Err(_) => match tokio::time::timeout_at(deadline, waiting.recv()).await {
                Ok(Some(next)) => next,
                Ok(None) | Err(_) => break,
            },
        };
        bytes += next.0.frames.len() as u64;
        if bytes > most {
            return (batch, Some(next));
        }
        batch.push(next);
    }
    (batch, None)
}

impl Courier {
    /// Whether a parcel may go now. What the server refused before it does not get another time in the same run.
    fn may_go(&self, parcel: &Parcel, load: &mut Load<'_>) -> Result<(), AssetError> {
        if self.room.is_refused() {
            return Err(AssetError::NoRoom);
        }
        load.take(parcel.kind, parcel.bytes)
    }

    /// Sends a batch, in smaller ones where it is more than goes in one request.
    async fn send(&self, batch: Vec<(Parcel, Answer)>, most: &AtomicU64) {
        let mut waiting = vec![batch];
        while let Some(batch) = waiting.pop() {
            let bytes = batch.iter().map(|(parcel, _)| parcel.frames.len() as u64).sum();
            let left = if self.limit.takes(bytes) || batch.len() == 1 {
                self.send_together(batch, most).await
            } else {
                Some(batch)
            };
            if let Some(mut batch) = left {
                let second = batch.split_off(batch.len() / 2);
                waiting.extend([second, batch]);
            }
        }
    }

    /// Sends a batch; gives back what of it was too much, of which there are several.
    async fn send_together(
        &self,
        batch: Vec<(Parcel, Answer)>,
        most: &AtomicU64,
    ) -> Option<Vec<(Parcel, Answer)>> {
        let (mut let_in, mut load) = (Vec::with_capacity(batch.len()), self.gate.load());
        for (parcel, answer) in batch {
            match self.may_go(&parcel, &mut load) {
                Ok(()) => let_in.push((parcel, answer)),
                Err(why) => drop(answer.send(Err(why))),
            }
        }
        if let_in.is_empty() {
            return None;
        }
        let (parcels, answers): (Vec<Parcel>, Vec<Answer>) = let_in.into_iter().unzip();
        match self.try_send(parcels, load, most).await {
            Ok(Sent::TooMuch(parcels)) => return Some(parcels.into_iter().zip(answers).collect()),
            Ok(Sent::Answered(outcomes)) => {
                if outcomes.iter().filter_map(|one| one.as_ref().err()).any(AssetError::is_refused_for_room) {
                    self.room.refused();
                }
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    // Whoever asked has gone only when the run ends.
                    let _ = answer.send(outcome);
                }
            }
            Err(error) => {
                if error.is_refused_for_room() {
                    self.room.refused();
                }
                let error = Arc::new(error);
                for answer in answers {
                    let _ = answer.send(Err(AssetError::Batch(Arc::clone(&error))));
                }
            }
        }
        None
    }

    async fn try_send(
        &self,
        mut parcels: Vec<Parcel>,
        load: Load<'_>,
        most: &AtomicU64,
    ) -> Result<Sent, AssetError> {
        // The parcels keep none: once they are sent, the buffers go back.
        let pieces: Vec<Bytes> =
            parcels.iter_mut().map(|parcel| std::mem::take(&mut parcel.frames)).collect();
        let mut kinds: Vec<AssetKind> = parcels.iter().map(|parcel| parcel.kind).collect();
        kinds.dedup();
        let attempt = || async {
            let _turn = self.gate.turn().await;
            load.goes(&kinds)?;
            let began = Instant::now();
            let answer = self.session.api.batch(pieces.clone(), &self.sent).await?;
            Ok((answer, began.elapsed()))
        };
        let (answer, took) = match self.patience.persist(attempt).await {
            Ok(answered) => answered,
            Err(error) => {
                let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
                let error = self.limit.weigh(bytes, error);
                if !error.is_too_large_a_request() || parcels.len() == 1 {
                    return Err(error);
                }
                for (parcel, frames) in parcels.iter_mut().zip(pieces) {
                    parcel.frames = frames;
                }
                return Ok(Sent::TooMuch(parcels));
            }
        };
        load.arrived();
        adapt(most, took, self.most);
        if answer.commits.len() != parcels.len() {
            return Err(AssetError::Damaged);
        }
        // What was large is not needed any more: while this is recorded, the next may be read.
        drop(pieces);
        for parcel in &mut parcels {
            parcel.room = None;
        }
        for parcel in &parcels {
            let name: Arc<std::path::Path> = parcel.row.whole_path().into();
            self.events.send(Event::Moved { name, bytes: parcel.bytes }).await;
        }
        self.record(parcels, answer.commits, answer.span).await.map(Sent::Answered)
    }

    /// Files and assets go into the catalog together: what is half there would be looked up again in the next run, and no more.
    async fn record(
        &self,
        parcels: Vec<Parcel>,
        answers: Vec<CommitAnswer>,
        mut span: Option<Span>,
    ) -> Result<Vec<Result<Delivered, AssetError>>, AssetError> {
        let owner = self.session.account;
        let opening = tokio::task::spawn_blocking(move || {
            let read = |(parcel, answer)| read_answer(owner, parcel, answer);
            parcels.into_iter().zip(answers).map(read).collect::<Vec<_>>()
        });
        let read = opening.await.expect("reading answers does not panic");
        let mut rows = UploadedRows::default();
        let mut outcomes = Vec::with_capacity(read.len());
        for one in read {
            outcomes.push(match one {
                Read::Created(created) => {
                    let Created { file, asset, thumbnail_is_due } = *created;
                    let id = file.id;
                    if thumbnail_is_due {
                        rows.thumbnails_due.insert(id, file.object_header.clone());
                    }
                    rows.files.push(file);
                    rows.assets.push(asset);
                    Ok(Delivered::Created(id))
                }
                Read::Existing => Ok(Delivered::Existing),
                Read::Refused(problem) => Err(self.session.api.refusal(problem).into()),
                Read::Damaged(error) => {
                    // What was made is for the feed to tell.
                    span = None;
                    Err(error)
                }
            });
        }
        let mut spans = self.spans.lock().await;
        spans.extend(span);
        self.catalog.record_uploads(&rows, &mut spans).await.inspect_err(|_| spans.clear())?;
        drop(spans);
        if !rows.thumbnails_due.is_empty() {
            self.thumbnails_due.notify_one();
        }
        Ok(outcomes)
    }
}

/// What an answer means for the catalog.
enum Read {
    Created(Box<Created>),
    Existing,
    Refused(darkslide_protocol::Problem),
    Damaged(AssetError),
}

struct Created {
    file: FileRow,
    asset: AssetRow,
    thumbnail_is_due: bool,
}

/// The file is read as the feed would tell of it: what went in is what will come back.
fn read_answer(owner: AccountId, parcel: Parcel, answer: CommitAnswer) -> Read {
    let (id, version) = match answer {
        CommitAnswer::Created { id, updation_time } => (id, updation_time),
        CommitAnswer::Existing { .. } => return Read::Existing,
        CommitAnswer::Refused { problem } => return Read::Refused(problem),
    };
    let opened = open_file(Some(&parcel.album.key), &as_listed(owner, parcel.commit, id, version));
    match opened.damage {
        Some(damage) => Read::Damaged(damage.into()),
        None => Read::Created(Box::new(Created {
            file: opened.row,
            asset: AssetRow { file: Some(id), ..parcel.row },
            thumbnail_is_due: parcel.thumbnail_is_due,
        })),
    }
}

fn as_listed(owner: AccountId, commit: CommitRequest, id: FileId, version: Version) -> File {
    let size = |reference: &ObjectReference| reference.size.unwrap_or_default();
    let object = |reference: &ObjectReference| FileObject {
        object_key: None,
        decryption_header: reference.decryption_header.clone(),
        size: 0,
    };
    File {
        id,
        owner_id: owner,
        collection_id: commit.collection_id,
        collection_owner_id: Some(owner),
        collection_added_at: None,
        file: object(&commit.file),
        thumbnail: object(&commit.thumbnail),
        is_deleted: false,
        updation_time: version,
        info: Some(FileInfo { file_size: size(&commit.file), thumb_size: size(&commit.thumbnail) }),
        encrypted_key: commit.encrypted_key,
        key_decryption_nonce: commit.key_decryption_nonce,
        metadata: commit.metadata,
        magic_metadata: commit.magic_metadata,
        pub_magic_metadata: commit.pub_magic_metadata,
    }
}

/// How many batches of so many bytes go at once.
fn batches_at_once(most: u64) -> u32 {
    match most {
        FAST_BYTES.. => BATCHES_AT_ONCE,
        SLOW_BYTES..FAST_BYTES => BATCHES_AT_ONCE / 2,
        ..SLOW_BYTES => 1,
    }
}

/// Follows the line.
fn adapt(most: &AtomicU64, took: Duration, bytes_most: u64) {
    let now = most.load(Ordering::Relaxed);
    let next = if took > TIME_FOR_A_BATCH {
        now / 2
    } else if took < TIME_FOR_A_BATCH / 4 {
        now.saturating_mul(2)
    } else {
        now
    };
    most.store(next.clamp(BYTES_LEAST, bytes_most), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_their_own_and_those_of_one_moment_lie_together() {
        let ids: Vec<[u8; 16]> = (0..100).map(|_| draw_id()).collect();
        let different: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(different.len(), ids.len());
        let moment = |id: &[u8; 16]| u64::from_be_bytes(id[..8].try_into().unwrap()) >> 16;
        assert!(moment(&ids[99]) - moment(&ids[0]) < 10_000, "milliseconds come first");
        assert_eq!(uuid::Uuid::from_bytes(ids[0]).get_version_num(), 7);
    }

    #[test]
    fn batches_follow_the_line() {
        const BYTES_MOST: u64 = 16 << 20;
        let most = AtomicU64::new(BYTES_AT_FIRST);
        let after = |seconds: u64| {
            adapt(&most, Duration::from_secs(seconds), BYTES_MOST);
            most.load(Ordering::Relaxed)
        };
        assert_eq!(after(0), 2 * BYTES_AT_FIRST);
        for _ in 0..4 {
            after(0);
        }
        assert_eq!(after(2), BYTES_MOST);
        assert_eq!(after(5), BYTES_MOST / 2);
        for _ in 0..20 {
            after(100);
        }
        assert_eq!(after(100), BYTES_LEAST);
    }

    #[test]
    fn a_slow_line_is_not_shared() {
        assert_eq!(batches_at_once(BYTES_LEAST), 1);
        assert_eq!(batches_at_once(BYTES_AT_FIRST), 2);
        for bytes in [BYTES_LEAST, BYTES_AT_FIRST, 3 << 20, 8 << 20] {
            assert_eq!(BATCHES_AT_ONCE % batches_at_once(bytes), 0, "all turns are given out");
        }
        assert_eq!(batches_at_once(8 << 20), BATCHES_AT_ONCE);
    }
}
