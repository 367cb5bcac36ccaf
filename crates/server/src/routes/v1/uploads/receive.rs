//! A request's bytes on their way into an upload's file: written as they come, flushed and recorded behind that, and at the end.
//!
//! Memory stays at two batches a request. However it ends (whole, cut, silent, overtaken, the disk full, the server stopping), what was
//! written is recorded, unless a hash was announced that it cannot have.

use super::super::super::blobs;
use super::{ApiError, ApiResult, find, finish, lost};
use crate::objects::{Announced, Growing, ObjectError, Opening, Reached};
use crate::store::resumable::{Chunk, Recorded, Upload};
use crate::store::uploads::ObjectAddress;
use crate::turns::Turn;
use crate::{Server, Shared};
use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::StatusCode;
use darkslide_protocol::Opaque;
use futures_util::StreamExt as _;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How many bytes are gathered before they are written.
const BATCH_BYTES: usize = 512 * 1024;

/// How many bytes are worth being recorded, while nothing else is: what a power cut costs, and what comes in during a flush. A kill costs
/// what was not written yet, a batch or two: see [`Growing`].
const CHECKPOINT_BYTES: u64 = 1024 * 1024;

/// How long it is left at least from one record to the next flush: a disk that is flushed all the time does little else.
const CHECKPOINT_PAUSE: Duration = Duration::from_millis(20);

/// How many bytes may be written that are not recorded yet: a sender who is faster than the disk waits for it.
const UNRECORDED_MAX: u64 = 32 * 1024 * 1024;

/// How long fewer may wait, also where no more of them come. Nothing but what a power cut costs depends on it.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);

/// How long a stopped body may fall silent before it is left: what is on its way from a connection that was cut still comes.
const LATE_SILENCE: Duration = Duration::from_millis(100);

/// How long a stopped body that goes on coming is still taken, in all: whoever asked for the turn waits for that.
const LATE_AT_MOST: Duration = Duration::from_secs(1);

/// How much of a stopped body is still taken.
const LATE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How much of a refused body is read before the refusal is told: a client that is still sending never hears it.
const DRAIN_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What a request brings.
pub(super) struct Delivery {
    /// Where it begins.
    pub(super) offset: u64,
    /// What it must hash to.
    pub(super) announced: Option<Announced>,
    /// How many bytes it says that it has.
    pub(super) declared: Option<u64>,
    pub(super) body: Body,
}

/// What was taken of it: all.
#[derive(Debug)]
pub(super) struct Received {
    /// Bytes of the whole upload that are durable.
    pub(super) offset: u64,
    /// BLAKE3 of these, where it is known.
    pub(super) digest: Option<[u8; 32]>,
    /// BLAKE3 of the body.
    pub(super) chunk_digest: [u8; 32],
    /// µs since the epoch.
    pub(super) expires_at: i64,
}

/// How a body ended.
#[derive(Debug)]
enum Ending {
    /// By itself.
    Whole,
    /// A newer request came, or the server stops.
    Stopped,
    /// It has more bytes than are missing.
    TooLong,
    /// The sender broke off or fell silent.
    Cut(ObjectError),
    /// We could not go on.
    Ours(ApiError),
}

/// Takes a body in, and makes the object when it was the last.
pub(super) async fn receive(server: &Shared, at: ObjectAddress, delivery: Delivery) -> ApiResult<Received> {
    let Delivery { offset, announced, declared, body } = delivery;
    let (upload, mut turn) = match admit(server, at, offset, declared).await {
        Ok(admitted) => admitted,
        Err(refusal) => {
            drain(server, body).await;
            return Err(refusal);
        }
    };
    if upload.is_whole() {
        return repeat_the_end(server, &upload, announced, body, &turn.stop).await;
    }
    let mut inflow = match Inflow::open(server, &upload, &mut turn, announced).await {
        Err(ApiError::Objects(ObjectError::Lost(path))) => {
            let refusal = lost(server, &upload, &path).await;
            drop(turn);
            drain(server, body).await;
            return Err(refusal);
        }
        other => other?,
    };
    let ending = inflow.pump(body.into_data_stream(), &turn.stop).await;
    let received = Box::pin(inflow.settle(ending, &mut turn)).await;
    // The body may have taken minutes, and its device may be revoked since: then that is the answer, however the body ended.
    server.store.still_signed_in().await?;
    let received = received?;
    if received.offset == upload.length {
        let upload = Upload { offset: received.offset, digest: received.digest, ..upload };
        finish(server, &upload).await?;
    }
    Ok(received)
}

/// Waits for the turn, and refuses what does not go on from where the upload stands.
async fn admit(
    server: &Server,
    at: ObjectAddress,
    offset: u64,
    declared: Option<u64>,
) -> ApiResult<(Upload, Turn)> {
    find(server, at).await?;
    let turn = server.turns.take(at).await;
    let upload = find(server, at).await?;
    if upload.offset != offset {
        return Err(conflict("the upload stands at another offset"));
    }
    if declared.is_some_and(|declared| declared > upload.length - upload.offset) {
        return Err(ApiError::TOO_LARGE);
    }
    Ok((upload, turn))
}

/// The last bytes were taken before, and the answer was lost. No more of them may come.
async fn repeat_the_end(
    server: &Server,
    upload: &Upload,
    announced: Option<Announced>,
    body: Body,
    stop: &CancellationToken,
) -> ApiResult<Received> {
    let ending = must_be_empty(server, body, stop).await;
    if !matches!(ending, Ending::Whole) || announced.is_some_and(|announced| !announced.is_met()) {
        return Err(refusal(server, ending));
    }
    finish(server, upload).await?;
    let chunk_digest = *blake3::hash(b"").as_bytes();
    Ok(Received { offset: upload.offset, digest: upload.digest, chunk_digest, expires_at: upload.expires_at })
}

/// How a body ends that must have no bytes.
async fn must_be_empty(server: &Server, body: Body, stop: &CancellationToken) -> Ending {
    let mut body = body.into_data_stream();
    let silent = tokio::time::sleep(server.config.limits.idle_timeout);
    let more = async {
        loop {
            match body.next().await {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(_)) => return Ending::TooLong,
                Some(Err(error)) => return Ending::Cut(ObjectError::BrokenOff(error.into())),
                None => return Ending::Whole,
            }
        }
    };
    let ending = tokio::select! {
        biased;
        ending = more => ending,
        () = stop.cancelled() => Ending::Stopped,
        () = silent => Ending::Cut(ObjectError::Stalled(server.config.limits.idle_timeout)),
    };
    if matches!(ending, Ending::TooLong) {
        blobs::drain(server, body, DRAIN_BYTES_MAX).await;
    }
    ending
}

/// One request's bytes and how far they are.
struct Inflow<'s> {
    server: &'s Shared,
    at: ObjectAddress,
    /// Proves to the database that this is the newest writer.
    writer: Uuid,
    /// `None` once the file was lost to a thread that died.
    growing: Option<Growing>,
    /// Where the whole upload ends.
    length: u64,
    /// Where this request began.
    began: u64,
    /// Bytes of the whole upload that are recorded.
    recorded: u64,
    recorded_at: Instant,
    expires_at: i64,
    /// What is being flushed and recorded while more is written; it ends with this.
    behind: JoinSet<ApiResult<Kept>>,
}

/// Bytes that are durable, and recorded as that.
struct Kept {
    offset: u64,
    expires_at: i64,
}

impl<'s> Inflow<'s> {
    async fn open(
        server: &'s Shared,
        upload: &Upload,
        turn: &mut Turn,
        announced: Option<Announced>,
    ) -> ApiResult<Self> {
        let writer = Uuid::new_v4();
        let taken = server.store.take_upload(upload.at, upload.offset, writer).await?;
        let Recorded::Until(expires_at) = taken else { return Err(overtaken()) };
        let running = turn.running.clone();
        let reached = Reached { offset: upload.offset, digest: upload.digest, running };
        let opened = server.objects.open_growing(upload.at.object, reached, announced, &turn.stop).await;
        let growing = match opened {
            Err(ObjectError::Locked(_)) => return Err(locked()),
            Ok(Opening::Stopped(part)) => {
                *turn.running = Some(*part);
                return Err(stopped(server));
            }
            Ok(Opening::Open(growing)) => growing,
            Err(error) => return Err(error.into()),
        };
        // Before the file was locked, another process may have recorded what a killed one left in it.
        if server.store.upload(upload.at).await?.is_none_or(|now| now.offset != upload.offset) {
            return Err(overtaken());
        }
        let growing = growing.cut().await?;
        Ok(Self {
            server,
            at: upload.at,
            writer,
            growing: Some(growing),
            length: upload.length,
            began: upload.offset,
            recorded: upload.offset,
            recorded_at: Instant::now(),
            expires_at,
            behind: JoinSet::new(),
        })
    }

    /// Writes a body as it comes: one batch to the disk while the next is read from the network.
    async fn pump(&mut self, mut body: BodyDataStream, stop: &CancellationToken) -> Ending {
        let idle = self.server.config.limits.idle_timeout;
        let mut room = Room { left: self.length - self.began, late: LATE_BYTES_MAX, heard: Instant::now() };
        let mut batch = Vec::new();
        let mut over = pin!(async {
            stop.cancelled().await;
            tokio::time::sleep(LATE_AT_MOST).await;
        });
        loop {
            let gathering = gather(&mut body, stop, over.as_mut(), self.next_look(), idle, &mut room);
            let ((next, gathered), written) =
                tokio::join!(gathering, self.write(std::mem::take(&mut batch), false));
            if let Err(error) = written {
                return Ending::Ours(error);
            }
            let kept = match gathered {
                Gathered::Over(ending) => {
                    return match self.write(next, true).await {
                        Ok(()) => ending,
                        Err(error) => Ending::Ours(error),
                    };
                }
                Gathered::Full => {
                    batch = next;
                    Ok(())
                }
                // Whether the rest of it ever comes, nobody knows.
                Gathered::Due => self.write(next, false).await,
            };
            if let Err(error) = kept.and(self.checkpoint().await) {
                return Ending::Ours(error);
            }
        }
    }

    async fn write(&mut self, batch: Vec<Bytes>, is_last: bool) -> ApiResult<()> {
        let growing = self.growing.take().ok_or(ObjectError::Stopping)?;
        let (growing, written) = growing.append_batch(batch, is_last).await?;
        self.growing = Some(growing);
        Ok(written?)
    }

    /// Records what was written while more is, when it is worth it. With a hash announced, bytes count only together.
    async fn checkpoint(&mut self) -> ApiResult<()> {
        if let Some(kept) = self.behind.try_join_next() {
            self.keep(kept)?;
        }
        if self.unrecorded() > UNRECORDED_MAX {
            self.catch_up().await?;
        }
        let unrecorded = self.unrecorded();
        let Some(growing) = &self.growing else { return Ok(()) };
        let since = self.recorded_at.elapsed();
        let is_worth_it = unrecorded >= CHECKPOINT_BYTES && since >= CHECKPOINT_PAUSE;
        let is_due = is_worth_it || since >= CHECKPOINT_INTERVAL;
        if is_due && unrecorded > 0 && self.behind.is_empty() && !growing.is_announced() {
            let (flush, record) = (growing.flush_behind(), self.record_of(growing));
            let server = Arc::clone(self.server);
            self.behind.spawn(async move {
                server.objects.flush_behind(flush).await?;
                record.put(&server).await
            });
        }
        Ok(())
    }

    /// When to see to what has come, although no batch is full.
    fn next_look(&self) -> Instant {
        let pause = match self.unrecorded() {
            0 => return Instant::now() + CHECKPOINT_INTERVAL,
            CHECKPOINT_BYTES.. if self.behind.is_empty() => CHECKPOINT_PAUSE,
            _ => CHECKPOINT_INTERVAL,
        };
        (self.recorded_at + pause).max(Instant::now() + CHECKPOINT_PAUSE)
    }

    /// Bytes that are written and not recorded.
    fn unrecorded(&self) -> u64 {
        self.growing.as_ref().map_or(0, |growing| growing.offset() - self.recorded)
    }

    /// Waits for what is being recorded.
    async fn catch_up(&mut self) -> ApiResult<()> {
        match self.behind.join_next().await {
            Some(kept) => self.keep(kept),
            None => Ok(()),
        }
    }

    fn keep(&mut self, kept: Result<ApiResult<Kept>, JoinError>) -> ApiResult<()> {
        let Kept { offset, expires_at } = kept.map_err(|_| ObjectError::Stopping)??;
        metrics::counter!("darkslide_blob_bytes_received_total").increment(offset - self.recorded);
        (self.recorded, self.recorded_at, self.expires_at) = (offset, Instant::now(), expires_at);
        Ok(())
    }

    /// Flushes what was written, and records it.
    async fn record(&mut self) -> ApiResult<()> {
        self.catch_up().await?;
        let growing = self.growing.take().ok_or(ObjectError::Stopping)?;
        if growing.offset() == self.recorded {
            self.growing = Some(growing);
            return Ok(());
        }
        let record = self.record_of(&growing);
        let (growing, flushed) = self.server.objects.flush_growing(growing).await?;
        self.growing = Some(growing);
        flushed?;
        let kept = record.put(self.server).await;
        self.keep(Ok(kept))
    }

    /// What is to be recorded once it is flushed.
    fn record_of(&self, growing: &Growing) -> Record {
        let digest = Opaque::encode(growing.chunk_digest()).0;
        Record {
            at: self.at,
            writer: self.writer,
            from: self.recorded,
            to: growing.offset(),
            digest: growing.digest(),
            chunk: Chunk { offset: self.began, digest },
        }
    }

    /// Records what counts, leaves the running hash for the next request, and says what became of the body.
    async fn settle(mut self, ending: Ending, turn: &mut Turn) -> ApiResult<Received> {
        let announced = self.growing.as_ref().is_some_and(Growing::is_announced);
        let met = self.growing.as_ref().is_some_and(Growing::is_as_announced);
        let counts = !announced || (met && matches!(ending, Ending::Whole));
        let recorded = if counts { self.record().await } else { Ok(()) };
        let growing = self.growing.take();
        match &growing {
            // Whoever comes next reads what is recorded: the sector that it ends in was written again, and may be damaged.
            Some(growing) if growing.is_doubtful() => *turn.running = None,
            Some(growing) if growing.offset() == self.recorded => *turn.running = Some(growing.running()),
            _ => {}
        }
        match ending {
            Ending::Whole if counts => {
                recorded?;
                let growing = growing.ok_or(ObjectError::Stopping)?;
                let (digest, chunk_digest) = (Some(growing.digest()), growing.chunk_digest());
                Ok(Received { offset: self.recorded, digest, chunk_digest, expires_at: self.expires_at })
            }
            other => Err(refusal(self.server, other)),
        }
    }
}

/// Why a body does not count, or not all of it. One that is whole has not the hash that was announced.
fn refusal(server: &Server, ending: Ending) -> ApiError {
    match ending {
        Ending::Whole => mismatch(),
        Ending::Stopped => stopped(server),
        Ending::TooLong => ApiError::TOO_LARGE,
        Ending::Cut(error) => cut(&error),
        Ending::Ours(error) => error,
    }
}

/// That an upload's bytes are durable up to there.
struct Record {
    at: ObjectAddress,
    writer: Uuid,
    from: u64,
    to: u64,
    digest: [u8; 32],
    chunk: Chunk,
}

impl Record {
    async fn put(self, server: &Server) -> ApiResult<Kept> {
        let Self { at, writer, from, to, digest, chunk } = self;
        match server.store.record_upload(at, writer, from, to, &digest, &chunk).await? {
            Recorded::Superseded => Err(overtaken()),
            Recorded::Until(expires_at) => Ok(Kept { offset: to, expires_at }),
        }
    }
}

/// What a body may still bring.
struct Room {
    /// Bytes that are missing.
    left: u64,
    /// Bytes after it was stopped.
    late: u64,
    /// When the last of it came.
    heard: Instant,
}

impl Room {
    /// Takes bytes in, or says why not.
    fn take(&mut self, bytes: u64, is_stopped: bool) -> Result<(), Ending> {
        self.heard = Instant::now();
        if is_stopped {
            self.late = self.late.checked_sub(bytes).ok_or(Ending::Stopped)?;
        }
        self.left = self.left.checked_sub(bytes).ok_or(Ending::TooLong)?;
        Ok(())
    }
}

/// Ends when a body that was last heard then has been silent for too long.
async fn silence(stop: &CancellationToken, heard: Instant, idle: Duration) -> Ending {
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(LATE_SILENCE).await;
    };
    tokio::select! {
        () = late => Ending::Stopped,
        () = sleep_until(heard + idle) => Ending::Cut(ObjectError::Stalled(idle)),
    }
}

/// Why no more was gathered.
enum Gathered {
    /// A batch is full.
    Full,
    /// What there is shall not wait for more.
    Due,
    /// The body has ended.
    Over(Ending),
}

/// Reads until a batch is full, until it is time to `look` at what has come, or until the body ends, and says which. `over` is when a
/// stopped body is left, whatever it still brings.
async fn gather(
    body: &mut BodyDataStream,
    stop: &CancellationToken,
    mut over: Pin<&mut impl Future<Output = ()>>,
    look: Instant,
    idle: Duration,
    room: &mut Room,
) -> (Vec<Bytes>, Gathered) {
    let mut look = pin!(sleep_until(look));
    let mut batch = Vec::new();
    let mut size = 0;
    while size < BATCH_BYTES {
        let next = tokio::select! {
            biased;
            () = over.as_mut() => return (batch, Gathered::Over(Ending::Stopped)),
            next = body.next() => next,
            ending = silence(stop, room.heard, idle) => return (batch, Gathered::Over(ending)),
            () = look.as_mut(), if !stop.is_cancelled() => return (batch, Gathered::Due),
        };
        let bytes = match next {
            Some(Ok(bytes)) => bytes,
            Some(Err(error)) => {
                return (batch, Gathered::Over(Ending::Cut(ObjectError::BrokenOff(error.into()))));
            }
            None => return (batch, Gathered::Over(Ending::Whole)),
        };
        if let Err(ending) = room.take(bytes.len() as u64, stop.is_cancelled()) {
            return (batch, Gathered::Over(ending));
        }
        size += bytes.len();
        batch.push(bytes);
    }
    (batch, Gathered::Full)
}

/// Reads a refused body and forgets it.
pub(super) async fn drain(server: &Server, body: Body) {
    blobs::drain(server, body.into_data_stream(), DRAIN_BYTES_MAX).await;
}

fn conflict(what: &'static str) -> ApiError {
    ApiError::Coded(StatusCode::CONFLICT, "CONFLICT", what)
}

/// 409: a newer request, here or at another process, has taken the upload over.
fn overtaken() -> ApiError {
    conflict("a newer request has taken this upload over")
}

/// Why a request was told to make way.
fn stopped(server: &Server) -> ApiError {
    if server.turns.is_stopping() { ObjectError::Stopping.into() } else { overtaken() }
}

/// 423: another process has the file still open; it lets go when its own client has gone, or at its next record.
fn locked() -> ApiError {
    ApiError::Coded(StatusCode::LOCKED, "LOCKED", "another server still writes this upload; try again")
}

/// 460, which is tus's own.
fn mismatch() -> ApiError {
    let status = StatusCode::from_u16(460).expect("460 is a status");
    ApiError::Coded(status, "CHECKSUM_MISMATCH", "the body has another hash than was announced")
}

fn cut(error: &ObjectError) -> ApiError {
    match error {
        ObjectError::Stalled(_) => ApiError::Status(StatusCode::REQUEST_TIMEOUT),
        _ => ApiError::Coded(StatusCode::BAD_REQUEST, "INCOMPLETE_BODY", "the body broke off"),
    }
}
