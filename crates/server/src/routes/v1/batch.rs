//! `POST /v1/batch`: many small objects and the commits that name them, with one durable flush.
//!
//! The body is read as it comes: objects go straight into one file, records are kept until the end. Nothing is recorded before
//! all of it has arrived, so a batch that breaks off has not happened.

use super::super::blobs::drain;
use super::super::request::StorageCaller;
use super::super::uploads::{check_quota, check_quota_or_damage, default_quota};
use super::problem::problem;
use crate::error::{ApiError, ApiResult};
use crate::objects::{BlobName, PackWriter, Packed};
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
use darkslide_protocol::{AccountId, FileId, Problem};
use futures_util::{Stream, StreamExt as _};
use serde::de::DeserializeOwned;
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
        Ok(mends) => receive(&server, &mut frames, mends).await,
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

/// Refuses what can be refused before a byte of it is read. Says which damaged file it may mend, where that alone lets it in.
async fn admit(server: &Server, account: AccountId, headers: &HeaderMap) -> ApiResult<Option<FileId>> {
    if headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind.as_bytes() != BATCH.as_bytes()) {
        return Err(ApiError::Status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let said =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<i64>().ok());
    let most = BATCH_BYTES_MAX.cast_signed();
    let Some(said) = said else {
        return check_quota(server, account, 0).await.map(|()| None);
    };
    let mends = check_quota_or_damage(server, account, Incoming::Batch(said.min(most))).await?;
    if said > most { Err(ApiError::TOO_LARGE) } else { Ok(mends) }
}

/// A batch whose bytes are durable.
struct Received {
    blob: BlobName,
    objects: Vec<Packed>,
    commits: Vec<CommitRequest>,
    thumbnails: Vec<ThumbnailRequest>,
    mends: Option<FileId>,
}

async fn receive(
    server: &Server,
    frames: &mut Frames<BodyDataStream>,
    mends: Option<FileId>,
) -> ApiResult<Received> {
    let mut pack = server.objects.pack();
    let (mut commits, mut thumbnails, mut objects, mut records) = (Vec::new(), Vec::new(), 0, 0);
    while let Some(kind) = frames.kind().await? {
        match kind {
            FrameKind::Commit | FrameKind::Thumbnail if mends.is_some() => return Err(ApiError::QUOTA),
            FrameKind::Object => {
                objects += 1;
                within(objects, BATCH_OBJECTS_MAX)?;
                receive_object(frames, &mut pack).await?;
            }
            FrameKind::Commit => commits.push(frames.record(&mut records).await?),
            FrameKind::Thumbnail => thumbnails.push(frames.record(&mut records).await?),
        }
        within(commits.len().max(thumbnails.len()), BATCH_COMMITS_MAX)?;
    }
    let blob = BlobName::generate(Uuid::new_v4(), 0);
    if objects == 0 {
        return Ok(Received { blob, objects: Vec::new(), commits, thumbnails, mends });
    }
    let mut pack = pack.finish().await?;
    let objects = std::mem::take(&mut pack.objects);
    let mut ids: Vec<Uuid> = objects.iter().map(|object| object.id).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() < objects.len() {
        return Err(ApiError::BAD_REQUEST);
    }
    server.objects.place_pack(pack, &blob).await?;
    Ok(Received { blob, objects, commits, thumbnails, mends })
}

fn within(count: usize, most: usize) -> ApiResult<()> {
    if count <= most { Ok(()) } else { Err(ApiError::TOO_LARGE) }
}

async fn receive_object<S, E>(frames: &mut Frames<S>, pack: &mut PackWriter<'_>) -> ApiResult<()>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let id = Uuid::from_bytes(frames.array().await?);
    let mut left = u64::from_le_bytes(frames.array().await?);
    pack.begin(id);
    while left > 0 {
        let bytes = frames.some(left).await?;
        left -= bytes.len() as u64;
        pack.write(bytes).await?;
    }
    pack.end();
    Ok(())
}

async fn record(server: &Server, account: AccountId, received: &Received) -> ApiResult<BatchOutcome> {
    let new = |object: &Packed| {
        let at = ObjectAddress { account, object: object.id };
        NewObject { mends: received.mends, ..NewObject::packed(at, &received.blob, object) }
    };
    let objects: Vec<NewObject> = received.objects.iter().map(new).collect();
    let request =
        BatchRequest { objects: &objects, commits: &received.commits, thumbnails: &received.thumbnails };
    let outcome = server.store.commit_batch(account, request, default_quota(server)).await;
    let is_unnamed = match &outcome {
        Ok(outcome) => !outcome.blob_is_named,
        Err(ChangeError::Store(StoreError::SessionEnded)) => true,
        // It may have happened all the same; if not, the sweep finds the blob.
        Err(_) => false,
    };
    if is_unnamed && !objects.is_empty() {
        server.objects.remove(vec![received.blob.clone()]).await?;
    }
    Ok(outcome?)
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
