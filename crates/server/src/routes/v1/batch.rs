//! `POST /v1/batch`: many small objects and the commits that name them, with one durable flush.
//!
//! The body is read as it comes: objects go straight into one file, records are kept until the end. Nothing is recorded before
//! all of it has arrived, so a batch that breaks off has not happened. The quota is asked of what is new in it only: at a full one, what is repeated is
//! answered as ever.

use super::super::blobs::drain;
use super::super::request::StorageCaller;
use super::super::uploads::{default_quota, room_for};
use super::problem::problem;
use crate::error::{ApiError, ApiResult};
use crate::objects::{BlobName, Digest, Hasher, PackWriter, Packed};
use crate::store::StoreError;
use crate::store::batch::{BatchOutcome, BatchRequest, Committed, NewObject};
use crate::store::change::ChangeError;
use crate::store::mending::Incoming;
use crate::store::uploads::ObjectAddress;
use crate::{Server, Shared};
use axum::Json;
use axum::body::{BodyDataStream, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use darkslide_protocol::batch::{
    BATCH, BATCH_BYTES_MAX, BATCH_COMMITS_MAX, BATCH_OBJECTS_MAX, BATCH_RECORD_BYTES_MAX,
    BATCH_RECORDS_BYTES_MAX, BatchAnswer, CommitAnswer, FrameKind, ThumbnailAnswer, ThumbnailRequest,
};
use darkslide_protocol::file::CommitRequest;
use darkslide_protocol::{AccountId, FileId, ObjectKey, Problem};
use futures_util::{Stream, StreamExt as _};
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(batch))
}

/// Stores small objects and commits what they make up, in one durable step: each commit all or nothing, an answer for each.
#[utoipa::path(
    post,
    path = "/v1/batch",
    request_body(content_type = "application/vnd.darkslide.batch", content = Vec<u8>,
                 description = "Frames: see `docs/api.md`."),
    security(("session" = [])),
    responses(
        (status = 200, body = BatchAnswer),
        (status = 400, body = Problem),
        (status = 408, body = Problem),
        (status = 413, body = Problem),
        (status = 415, body = Problem),
        (status = 426, body = Problem),
        (status = 503, body = Problem),
    )
)]
async fn batch(
    State(server): State<Shared>,
    caller: StorageCaller,
    request: Request,
) -> ApiResult<Json<BatchAnswer>> {
    let (parts, body) = request.into_parts();
    let mut frames = Frames::new(body.into_data_stream(), server.config.limits.idle_timeout);
    let admitted = admit(&server, caller.account, &parts.headers).await;
    let received = match admitted {
        Ok(intake) => receive(&mut frames, intake).await,
        Err(refusal) => Err(refusal),
    };
    // Whoever waits for leave to send is not asked to.
    if received.is_err() && !parts.headers.contains_key(header::EXPECT) {
        drain(&server, frames.stream, DRAIN_BYTES_MAX).await;
    }
    let received = received?;
    let outcome = record(&server, caller.account, &received).await?;
    answer(&server, caller.account, outcome).await.map(Json)
}

/// Refuses what can be refused before a byte of it is read, and says how much of the rest there is room for. What is in a batch shows as it comes:
/// at a full quota it may all be a repetition.
async fn admit<'s>(server: &'s Server, account: AccountId, headers: &HeaderMap) -> ApiResult<Intake<'s>> {
    if headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind.as_bytes() != BATCH.as_bytes()) {
        return Err(ApiError::Status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let said =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<i64>().ok());
    let most = BATCH_BYTES_MAX.cast_signed();
    if said.is_some_and(|said| said > most) {
        return Err(ApiError::TOO_LARGE);
    }
    let room = room_for(server, account, said.unwrap_or(most)).await?;
    let mends = match (room, said) {
        (Some(_), Some(said)) => server.store.mendable(account, Incoming::Batch(said)).await?,
        _ => None,
    };
    Ok(Intake {
        server,
        account,
        room,
        mends,
        pack: server.objects.pack(),
        ids: HashSet::new(),
        passed: Vec::new(),
        roomless: HashSet::new(),
        only_mend: HashSet::new(),
    })
}

/// What of a batch's objects is kept: all, where the quota has room for the whole batch, whatever it is. Otherwise the bytes of what is known already,
/// and of what has no room, are digested and go no further.
struct Intake<'s> {
    server: &'s Server,
    account: AccountId,
    /// Bytes of new objects that there is room for; `None` where all of the batch fits.
    room: Option<i64>,
    /// The damaged file for which alone what has no room is let in.
    mends: Option<FileId>,
    pack: PackWriter<'s>,
    /// Of all that came.
    ids: HashSet<Uuid>,
    /// What is not kept.
    passed: Vec<Packed>,
    /// Those of it that are new.
    roomless: HashSet<Uuid>,
    /// What is kept for the damaged file and for nothing else.
    only_mend: HashSet<Uuid>,
}

impl Intake<'_> {
    /// Takes an object in.
    async fn take<S, E>(&mut self, frames: &mut Frames<S>) -> ApiResult<()>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        let id = Uuid::from_bytes(frames.array().await?);
        let length = u64::from_le_bytes(frames.array().await?);
        if !self.ids.insert(id) {
            return Err(ApiError::BAD_REQUEST);
        }
        within(self.ids.len(), BATCH_OBJECTS_MAX)?;
        if self.keeps(id, length).await? {
            return keep(frames, &mut self.pack, id, length).await;
        }
        let digest = digest(frames, length).await?;
        self.passed.push(Packed { id, offset: 0, length, digest });
        Ok(())
    }

    async fn keeps(&mut self, id: Uuid, length: u64) -> ApiResult<bool> {
        let Some(room) = self.room else { return Ok(true) };
        let at = ObjectAddress { account: self.account, object: id };
        if self.server.store.is_known_object(at).await? {
            return Ok(false);
        }
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        if room > 0 && length <= room {
            self.room = Some(room - length);
            return Ok(true);
        }
        // An original and a thumbnail, and nothing else.
        let is_kept = self.mends.is_some() && self.ids.len() <= 2;
        if is_kept {
            self.only_mend.insert(id)
        } else {
            self.roomless.insert(id)
        };
        Ok(is_kept)
    }

    /// Makes what is kept durable. What may only mend comes with no record: beside one there is no room for it.
    async fn finish(mut self, records: Records) -> ApiResult<Received> {
        let blob = BlobName::generate(Uuid::new_v4(), 0);
        let mut kept = Vec::new();
        if self.ids.len() > self.passed.len() {
            let mut pack = self.pack.finish().await?;
            kept = std::mem::take(&mut pack.objects);
            if !records.is_empty() {
                let (mending, fitting): (Vec<_>, Vec<_>) =
                    kept.into_iter().partition(|object| self.only_mend.contains(&object.id));
                self.roomless.extend(mending.iter().map(|object| object.id));
                self.passed.extend(mending);
                kept = fitting;
            }
            if !kept.is_empty() {
                self.server.objects.place_pack(pack, &blob).await?;
            }
        }
        let new = |object: &Packed| {
            let at = ObjectAddress { account: self.account, object: object.id };
            NewObject::packed(at, &blob, object)
        };
        let kept = kept.iter().map(|object| NewObject {
            mends: self.mends.filter(|_| self.only_mend.contains(&object.id)),
            ..new(object)
        });
        let passed = self.passed.iter().map(|object| NewObject { is_kept: false, ..new(object) });
        let objects: Vec<NewObject> = kept.chain(passed).collect();
        Ok(Received { blob, objects, records, roomless: self.roomless })
    }
}

/// A batch whose bytes are durable, where they are kept.
struct Received {
    blob: BlobName,
    objects: Vec<NewObject>,
    records: Records,
    /// New objects for which there was no room.
    roomless: HashSet<Uuid>,
}

/// What a batch asks for.
#[derive(Default)]
struct Records {
    commits: Vec<CommitRequest>,
    thumbnails: Vec<ThumbnailRequest>,
}

impl Records {
    fn is_empty(&self) -> bool {
        self.commits.is_empty() && self.thumbnails.is_empty()
    }

    /// The objects that they name.
    fn named(&self) -> HashSet<&ObjectKey> {
        let of_commits = self.commits.iter().flat_map(|commit| [&commit.file, &commit.thumbnail]);
        let named = of_commits.chain(self.thumbnails.iter().map(|request| &request.thumbnail));
        named.map(|reference| &reference.object_key).collect()
    }
}

async fn receive(frames: &mut Frames<BodyDataStream>, mut intake: Intake<'_>) -> ApiResult<Received> {
    let (mut records, mut bytes) = (Records::default(), 0);
    while let Some(kind) = frames.kind().await? {
        match kind {
            FrameKind::Object => intake.take(frames).await?,
            FrameKind::Commit => records.commits.push(frames.record(&mut bytes).await?),
            FrameKind::Thumbnail => records.thumbnails.push(frames.record(&mut bytes).await?),
        }
        within(records.commits.len().max(records.thumbnails.len()), BATCH_COMMITS_MAX)?;
    }
    intake.finish(records).await
}

fn within(count: usize, most: usize) -> ApiResult<()> {
    if count <= most { Ok(()) } else { Err(ApiError::TOO_LARGE) }
}

async fn keep<S, E>(
    frames: &mut Frames<S>,
    pack: &mut PackWriter<'_>,
    id: Uuid,
    mut left: u64,
) -> ApiResult<()>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    pack.begin(id);
    while left > 0 {
        let bytes = frames.some(left).await?;
        left -= bytes.len() as u64;
        pack.write(bytes).await?;
    }
    pack.end();
    Ok(())
}

async fn digest<S, E>(frames: &mut Frames<S>, mut left: u64) -> ApiResult<Digest>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let mut hasher = Hasher::new();
    while left > 0 {
        let bytes = frames.some(left).await?;
        left -= bytes.len() as u64;
        hasher.update(&bytes);
    }
    Ok(hasher.digest())
}

async fn record(server: &Server, account: AccountId, received: &Received) -> ApiResult<BatchOutcome> {
    let Received { blob, objects, records, roomless } = received;
    let is_any_kept = objects.iter().any(|object| object.is_kept);
    let named = records.named();
    let is_named = |id: &Uuid| named.contains(&ObjectAddress { account, object: *id }.key());
    // What no record names has no answer of its own, and nobody would be told that it is not there.
    if !roomless.iter().all(is_named) {
        if is_any_kept {
            server.objects.remove(vec![blob.clone()]).await?;
        }
        return Err(ApiError::QUOTA);
    }
    let Records { commits, thumbnails } = records;
    let request = BatchRequest { objects, commits, thumbnails };
    let outcome = server.store.commit_batch(account, request, default_quota(server)).await;
    let is_unnamed = match &outcome {
        Ok(outcome) => !outcome.blob_is_named,
        Err(ChangeError::Store(StoreError::SessionEnded)) => true,
        // It may have happened all the same; if not, the sweep finds the blob.
        Err(_) => false,
    };
    if is_unnamed && is_any_kept {
        server.objects.remove(vec![blob.clone()]).await?;
    }
    let outcome = outcome?;
    // Where there was room for nothing, that is the answer, as it is to whoever asks for leave to upload.
    if !roomless.is_empty() && outcome.refuses_all_for_room() { Err(ApiError::QUOTA) } else { Ok(outcome) }
}

async fn answer(server: &Server, account: AccountId, outcome: BatchOutcome) -> ApiResult<BatchAnswer> {
    let mut answer = BatchAnswer { span: outcome.span, ..BatchAnswer::default() };
    for committed in outcome.commits {
        answer.commits.push(match committed {
            Ok(Committed::Created(created)) => {
                CommitAnswer::Created { id: created.id, updation_time: created.version }
            }
            Ok(Committed::Existing(file)) => match server.store.any_membership(account, file).await? {
                Some(file) => CommitAnswer::Existing { file: Box::new(file) },
                // It was trashed since.
                None => CommitAnswer::Refused { problem: problem(StatusCode::CONFLICT) },
            },
            Err(error) => CommitAnswer::Refused { problem: problem_of(error)? },
        });
    }
    for replaced in outcome.thumbnails {
        answer.thumbnails.push(match replaced {
            Ok(only) => ThumbnailAnswer::Replaced {
                updation_time: only.map(|only| only.version),
                collection_id: only.map(|only| only.collection),
            },
            Err(error) => ThumbnailAnswer::Refused { problem: problem_of(error)? },
        });
    }
    Ok(answer)
}

/// What a change that was refused would have been answered by itself. A failure of ours fails the whole request.
fn problem_of(error: ChangeError) -> ApiResult<Problem> {
    match ApiError::from(error) {
        ApiError::Status(status) => Ok(problem(status)),
        ApiError::Coded(status, code, detail) => {
            Ok(Problem { code: code.to_owned(), detail: Some(detail.to_owned()), ..problem(status) })
        }
        ours => Err(ours),
    }
}

/// Bytes of a refused body that are read all the same: who is still sending hears no answer when the line is cut.
const DRAIN_BYTES_MAX: u64 = BATCH_BYTES_MAX;

/// A body, frame by frame.
struct Frames<S> {
    stream: S,
    waiting: Bytes,
    read: u64,
    idle: Duration,
}

impl<S, E> Frames<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    fn new(stream: S, idle: Duration) -> Self {
        Self { stream, waiting: Bytes::new(), read: 0, idle }
    }

    /// What comes next; `None` at the end of the body.
    async fn kind(&mut self) -> ApiResult<Option<FrameKind>> {
        if !self.fill().await? {
            return Ok(None);
        }
        let [byte] = self.array().await?;
        FrameKind::of(byte).map(Some).ok_or(ApiError::BAD_REQUEST)
    }

    async fn array<const N: usize>(&mut self) -> ApiResult<[u8; N]> {
        let bytes = self.exactly(N as u64).await?;
        bytes.try_into().map_err(|_| ApiError::BAD_REQUEST)
    }

    /// One record's JSON; `records` counts the bytes of all.
    async fn record<T: DeserializeOwned>(&mut self, records: &mut u64) -> ApiResult<T> {
        let length = u64::from_le_bytes(self.array().await?);
        *records = records.saturating_add(length);
        if length > BATCH_RECORD_BYTES_MAX || *records > BATCH_RECORDS_BYTES_MAX {
            return Err(ApiError::TOO_LARGE);
        }
        let text = self.exactly(length).await?;
        serde_json::from_slice(&text).map_err(|_| ApiError::BAD_REQUEST)
    }

    async fn exactly(&mut self, length: u64) -> ApiResult<Vec<u8>> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < length {
            bytes.extend_from_slice(&self.some(length - bytes.len() as u64).await?);
        }
        Ok(bytes)
    }

    /// At least one byte and at most so many; a body that ends here was broken off.
    async fn some(&mut self, most: u64) -> ApiResult<Bytes> {
        if !self.fill().await? {
            return Err(ApiError::BAD_REQUEST);
        }
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(self.waiting.len());
        Ok(self.waiting.split_to(length))
    }

    /// Whether there is more.
    async fn fill(&mut self) -> ApiResult<bool> {
        while self.waiting.is_empty() {
            let next = tokio::time::timeout(self.idle, self.stream.next()).await;
            match next.map_err(|_| ApiError::Status(StatusCode::REQUEST_TIMEOUT))? {
                None => return Ok(false),
                Some(Ok(bytes)) => self.waiting = bytes,
                Some(Err(_)) => return Err(ApiError::BAD_REQUEST),
            }
            self.read += self.waiting.len() as u64;
            if self.read > BATCH_BYTES_MAX {
                return Err(ApiError::TOO_LARGE);
            }
        }
        Ok(true)
    }
}
