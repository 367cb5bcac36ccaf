//! `/v1/uploads`: resumable uploads by tus 1.0, each of which becomes one object.
//!
//! An offset that was answered is durable. Names and other metadata are kept sealed, and mean nothing; uploads whose length is told
//! later, or that come in pieces side by side, are refused, and so are empty ones. Only the account that began an upload sees it.

mod headers;
mod metadata;
mod receive;

pub(crate) use headers::{announce, intended_method, is_ours};

use super::super::origin::origin_of;
use super::super::request::{StorageCaller, token_of};
use super::super::uploads::check_quota_or_damage;
use crate::auth::rates::Route;
use crate::error::{ApiError, ApiResult};
use crate::objects::{ObjectError, Recovered};
use crate::store::news;
use crate::store::resumable::{Chunk, Finished, Recorded, Upload};
use crate::store::uploads::ObjectAddress;
use crate::{Server, Shared};
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, StatusCode, request};
use axum::response::{IntoResponse, Response};
use darkslide_protocol::Opaque;
use darkslide_protocol::limits::OBJECT_BYTES_MAX;
use darkslide_protocol::problem::Problem;
use darkslide_protocol::tus::header;
use headers::{Asked, Spoken};
use receive::{Delivery, Received};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

/// The routes of this folder.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(offer, create)).routes(routes!(stand, append, terminate))
}

/// How tus is spoken here. Needs no session. The door answers it (`routes/door.rs`), as it does every `OPTIONS`; this describes it.
#[utoipa::path(
    options,
    path = "/v1/uploads",
    responses((status = 200, description = "What is offered", headers(
        ("Tus-Resumable" = String, description = "1.0.0"),
        ("Tus-Version" = String, description = "1.0.0"),
        ("Tus-Extension" = String, description = "The extensions of tus, with commas between them"),
        ("Tus-Max-Size" = u64, description = "Bytes of the largest upload"),
        ("Tus-Checksum-Algorithm" = String, description = "What `Upload-Checksum` may name"),
    )))
)]
async fn offer() -> StatusCode {
    StatusCode::OK
}

/// Begins an upload; a body is its first bytes.
///
/// `Upload-Length` is needed; `Upload-Metadata` (4096 bytes at most) is told again to this session by `HEAD`. `Darkslide-Object-Key` is what
/// a commit names the object by, once all bytes are there.
#[utoipa::path(
    post,
    path = "/v1/uploads",
    params(
        ("Tus-Resumable" = String, Header, pattern = r"^1\.0\.0$", description = "1.0.0"),
        ("Upload-Length" = u64, Header, minimum = 1, maximum = 10_737_418_240_u64,
         description = "Bytes in all"),
    ),
    request_body(
        content = Option<Vec<u8>>,
        content_type = "application/offset+octet-stream",
        description = "The first bytes, or none"
    ),
    responses(
        (status = 201, description = "It was begun", headers(
            ("Location" = String, description = "Its absolute URL"),
            ("Upload-Offset" = u64, description = "Bytes that are durable, when there was a body"),
            ("Upload-Expires" = String, description = "When it is given up, as an HTTP date"),
            ("Darkslide-Object-Key" = String, description = "What a commit names the object by"),
            ("Darkslide-Chunk-Digest" = String, description = "`blake3 <base64>` of the body"),
        )),
        (status = 400, body = Problem, description = "No length, none at all (0), or one of a kind that is not offered"),
        (status = 412, body = Problem, description = "Another version of tus"),
        (status = 413, body = Problem, description = "More bytes than an object may have"),
        (status = 415, body = Problem, description = "A body of another type"),
        (status = 426, body = Problem, description = "The account's quota is used up"),
        (status = 429, body = Problem),
        (status = 460, body = Problem, description = "The body has another hash than was announced"),
        (status = 503, body = Problem, description = "`DISK_FULL`, or the server is about to stop"),
    ),
    security(("session" = []))
)]
async fn create(
    State(server): State<Shared>,
    _: Spoken,
    caller: StorageCaller,
    request: Request,
) -> ApiResult<Response> {
    server.rates.check(Route::Begin, caller.account)?;
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let length = asked.length.ok_or(headers::malformed("Upload-Length is needed"))?;
    if length > OBJECT_BYTES_MAX {
        return Err(ApiError::TOO_LARGE);
    }
    let quota_bytes = i64::try_from(length).map_err(|_| ApiError::TOO_LARGE)?;
    let at = ObjectAddress::generate(caller.account);
    let metadata = metadata::seal(&parts.headers, &token_of(&parts).unwrap_or_default(), at.object)?;
    let mends = check_quota_or_damage(&server, caller.account, quota_bytes).await?;
    let upload = server.store.begin_upload(at, length, mends, metadata).await?;
    let location = format!("{}v1/uploads/{}", origin_of(&server, &parts.headers), upload.at.object);
    let answer = if asked.has_body {
        let received = first_bytes(&server, &upload, asked, body).await?;
        (headers::received(&received), [("upload-offset", received.offset.to_string())]).into_response()
    } else {
        headers::begun(&upload).into_response()
    };
    let named = [("location", location), ("darkslide-object-key", upload.at.key().0)];
    Ok((StatusCode::CREATED, named, answer).into_response())
}

/// The bytes that came with the creation. If they are refused, nobody has heard of the upload, and it goes.
async fn first_bytes(server: &Shared, upload: &Upload, asked: Asked, body: Body) -> ApiResult<Received> {
    let delivery = Delivery { offset: 0, announced: asked.announced, declared: asked.body_length, body };
    let received = deliver(server, upload.at, delivery).await;
    if received.is_err() {
        give_up(server, upload).await?;
    }
    received
}

/// How far an upload is.
///
/// Whoever is sending to it is stopped first, so that the offset is true when it is read.
#[utoipa::path(
    head,
    path = "/v1/uploads/{id}",
    params(
        ("id" = String, Path, description = "From the upload's URL"),
        ("Tus-Resumable" = String, Header, pattern = r"^1\.0\.0$", description = "1.0.0"),
    ),
    responses(
        (status = 200, description = "How it stands", headers(
            ("Upload-Offset" = u64, description = "Bytes that are durable"),
            ("Upload-Length" = u64, description = "Bytes in all"),
            ("Upload-Expires" = String, description = "When it is given up, as an HTTP date"),
            ("Upload-Metadata" = String, description = "What the creation told of it, if it was of the same session"),
            ("Darkslide-Object-Key" = String, description = "What a commit names the object by"),
            ("Darkslide-Chunk-Offset" = u64, description = "Where the bytes of the newest request begin"),
            ("Darkslide-Chunk-Digest" = String, description = "`blake3 <base64>` of those bytes, up to the offset"),
        )),
        (status = 404, description = "No such upload of this account"),
        (status = 410, description = "It has expired, its bytes were lost, or its object was given up"),
        (status = 412, description = "Another version of tus"),
    ),
    security(("session" = []))
)]
async fn stand(
    State(server): State<Shared>,
    _: Spoken,
    caller: StorageCaller,
    Path(id): Path<String>,
    parts: request::Parts,
) -> ApiResult<Response> {
    let at = address(&caller, &id)?;
    find(&server, at).await?;
    let _turn = server.turns.take(at).await;
    server.store.still_signed_in().await?;
    let mut upload = held(&server, find(&server, at).await?).await?;
    if !upload.is_whole() {
        match recover(&server, &upload).await {
            Ok(true) => upload = find(&server, at).await?,
            Ok(false) => {}
            // A full disk, say: what is recorded is true all the same, and the rest is sent again.
            Err(error) => tracing::warn!(?error, "what a killed writer left is not recovered"),
        }
    }
    if upload.is_whole() {
        finish(&server, &upload).await?;
    }
    let mut answer = headers::standing(&upload).into_response();
    let token = token_of(&parts).unwrap_or_default();
    let told = upload.metadata.as_deref().and_then(|sealed| metadata::open(sealed, &token, at.object));
    answer.headers_mut().extend(told.map(|told| (HeaderName::from_static(header::UPLOAD_METADATA), told)));
    Ok(answer)
}

/// Sends bytes from the offset on.
///
/// However the request ends, what came is kept; only a body with an `Upload-Checksum` counts as a whole or not at all. When the last
/// byte is there, the object is.
#[utoipa::path(
    patch,
    path = "/v1/uploads/{id}",
    params(
        ("id" = String, Path, description = "From the upload's URL"),
        ("Tus-Resumable" = String, Header, pattern = r"^1\.0\.0$", description = "1.0.0"),
        ("Upload-Offset" = u64, Header, description = "Where the body begins: what `HEAD` told"),
        ("Upload-Checksum" = Option<String>, Header, description = "`<algorithm> <base64>` of the body"),
    ),
    request_body(content = Vec<u8>, content_type = "application/offset+octet-stream"),
    responses(
        (status = 204, description = "The body is durable", headers(
            ("Upload-Offset" = u64, description = "Bytes that are durable"),
            ("Upload-Expires" = String, description = "When it is given up, as an HTTP date"),
            ("Darkslide-Chunk-Digest" = String, description = "`blake3 <base64>` of the body"),
        )),
        (status = 400, body = Problem, description = "No offset, no usable checksum, or the body broke off"),
        (status = 404, body = Problem, description = "No such upload of this account"),
        (status = 408, body = Problem, description = "The body stood still for too long"),
        (status = 409, body = Problem, description = "Another offset, or a newer request took over"),
        (status = 410, body = Problem, description = "It has expired, its bytes were lost, or its object was given up"),
        (status = 412, body = Problem, description = "Another version of tus"),
        (status = 413, body = Problem, description = "More bytes than are missing"),
        (status = 415, body = Problem, description = "Not `application/offset+octet-stream`"),
        (status = 423, body = Problem, description = "Another process still writes it"),
        (status = 460, body = Problem, description = "The body has another hash than was announced"),
        (status = 503, body = Problem, description = "`DISK_FULL`, or the server is about to stop"),
    ),
    security(("session" = []))
)]
async fn append(
    State(server): State<Shared>,
    _: Spoken,
    caller: StorageCaller,
    Path(id): Path<String>,
    request: Request,
) -> ApiResult<Response> {
    let (parts, body) = request.into_parts();
    let received = match delivery_of(&caller, &id, &parts) {
        Ok((at, asked, offset)) => {
            let delivery = Delivery { offset, announced: asked.announced, declared: asked.body_length, body };
            deliver(&server, at, delivery).await
        }
        Err(refusal) => {
            receive::drain(&server, body).await;
            Err(refusal)
        }
    };
    match received {
        Ok(received) => {
            let offset = [("upload-offset", received.offset.to_string())];
            Ok((StatusCode::NO_CONTENT, offset, headers::received(&received)).into_response())
        }
        Err(refusal) => Ok(refused(&server, &caller, &id, refusal).await),
    }
}

/// A refused `PATCH` is told until when the upload lives, as every other (tus, expiration); whoever may not see it is not.
async fn refused(server: &Server, caller: &StorageCaller, id: &str, refusal: ApiError) -> Response {
    let upload = async {
        server.store.still_signed_in().await?;
        find(server, address(caller, id)?).await
    };
    match upload.await {
        Ok(upload) => (headers::begun(&upload), refusal).into_response(),
        Err(_) => refusal.into_response(),
    }
}

/// Gives an upload up, and the object that it has become, unless a commit has named that.
#[utoipa::path(
    delete,
    path = "/v1/uploads/{id}",
    params(
        ("id" = String, Path, description = "From the upload's URL"),
        ("Tus-Resumable" = String, Header, pattern = r"^1\.0\.0$", description = "1.0.0"),
    ),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, body = Problem, description = "No such upload of this account"),
        (status = 410, body = Problem, description = "It has expired, or its object was given up"),
        (status = 412, body = Problem, description = "Another version of tus"),
    ),
    security(("session" = []))
)]
async fn terminate(
    State(server): State<Shared>,
    _: Spoken,
    caller: StorageCaller,
    Path(id): Path<String>,
) -> ApiResult<StatusCode> {
    let at = address(&caller, &id)?;
    find(&server, at).await?;
    let _turn = server.turns.take(at).await;
    let upload = find(&server, at).await?;
    if upload.is_stored || !give_up(&server, &upload).await? {
        if !server.store.keeps_object(at).await? {
            return Err(gone());
        }
        server.store.terminate_stored_upload(at).await?;
        server.turns.forget(at.object);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// What a `PATCH` wants, before its body is touched.
fn delivery_of(
    caller: &StorageCaller,
    id: &str,
    parts: &request::Parts,
) -> ApiResult<(ObjectAddress, Asked, u64)> {
    let at = address(caller, id)?;
    let asked = Asked::of(&parts.headers)?;
    if !asked.is_offset_stream {
        return Err(headers::wrong_type());
    }
    let offset = asked.offset.ok_or(headers::malformed("Upload-Offset is needed"))?;
    Ok((at, asked, offset))
}

/// Takes a body in, on a task of its own that outlives the request. The end of its session stops it: [`Server::sessions_ended`].
async fn deliver(server: &Shared, at: ObjectAddress, delivery: Delivery) -> ApiResult<Received> {
    let shared = Shared::clone(server);
    let receiving = async move { Box::pin(receive::receive(&shared, at, delivery)).await };
    let work = server.turns.spawn(news::in_session(news::session(), receiving));
    work.await.map_err(|error| ApiError::Internal(format!("an upload's task ended: {error}")))?
}

/// Records what a writer who was killed had written and not recorded yet, if there is any: it need not be sent again.
async fn recover(server: &Server, upload: &Upload) -> ApiResult<bool> {
    let Upload { at, offset, length, .. } = *upload;
    let Some(recovered) = server.objects.recover_growing(at.object, offset, length).await? else {
        return Ok(false);
    };
    let writer = Uuid::new_v4();
    if server.store.take_upload(at, offset, writer).await? == Recorded::Superseded {
        return Ok(false);
    }
    let Recovered { from, to, chunk_digest, digest, .. } = &recovered;
    let chunk = Chunk { offset: *from, digest: Opaque::encode(chunk_digest).0 };
    let recorded = server.store.record_upload(at, writer, offset, *to, digest, &chunk).await?;
    Ok(recorded != Recorded::Superseded)
}

/// Makes the object of an upload that has all its bytes. May be repeated, as long as nobody has given the object up: then it is 410.
async fn finish(server: &Server, upload: &Upload) -> ApiResult<()> {
    if upload.is_stored {
        return if server.store.keeps_object(upload.at).await? { Ok(()) } else { Err(gone()) };
    }
    let Upload { at, length, digest, ref blob, .. } = *upload;
    let digest = match server.objects.place_growing(at.object, length, digest, blob).await {
        Err(ObjectError::Lost(path)) => return Err(lost(server, upload, &path).await),
        other => other?,
    };
    let finished = server.store.finish_upload(upload, &digest).await?;
    server.turns.forget(upload.at.object);
    if finished == Finished::Gone {
        // It may have become an object meanwhile, been committed, and then been terminated by another server.
        let unnamed = server.store.unnamed_blobs(std::slice::from_ref(&upload.blob)).await?;
        server.objects.remove(unnamed).await?;
        return Err(gone());
    }
    Ok(())
}

/// Forgets an upload and its bytes; false when it has become an object.
async fn give_up(server: &Server, upload: &Upload) -> ApiResult<bool> {
    let forgotten = match server.store.forget_upload(upload.at).await {
        Err(error) if error.is_disk_full() && !upload.is_stored => {
            forget_on_full_disk(server, upload).await?
        }
        other => other?,
    };
    if !forgotten {
        return Ok(false);
    }
    server.turns.forget(upload.at.object);
    server.objects.remove_growing(vec![upload.at.object]).await?;
    // A crash may have left it between its two places.
    server.objects.remove(vec![upload.blob.clone()]).await?;
    Ok(true)
}

/// The database needs room to forget anything, so the bytes go first. When that is still not enough, what is left is a row that says
/// what the disk has not: `HEAD` answers it with 410, and it goes when its time is up.
async fn forget_on_full_disk(server: &Server, upload: &Upload) -> ApiResult<bool> {
    server.store.still_signed_in().await?;
    server.objects.remove_growing(vec![upload.at.object]).await?;
    match server.store.forget_upload(upload.at).await {
        Err(error) if error.is_disk_full() && upload.offset > 0 && !upload.is_whole() => {
            tracing::warn!("the disk is full: an upload's bytes are removed, its row stays until it expires");
            Ok(true)
        }
        other => Ok(other?),
    }
}

/// The disk has not what it acknowledged: told loudly, and begun anew by the client.
async fn lost(server: &Server, upload: &Upload, path: &std::path::Path) -> ApiError {
    tracing::error!(path = %path.display(), "an upload's flushed bytes are lost");
    metrics::counter!("darkslide_blobs_lost_total").increment(1);
    match give_up(server, upload).await {
        Ok(_) => gone(),
        Err(error) => error,
    }
}

/// The upload as it stands; 404 when there is none, 410 when its time is up.
async fn find(server: &Server, at: ObjectAddress) -> ApiResult<Upload> {
    let upload = server.store.upload(at).await?.ok_or(ApiError::NOT_FOUND)?;
    if upload.is_expired(server.store.now()) { Err(gone()) } else { Ok(upload) }
}

/// The upload, when its file holds what was acknowledged; else 410, and it is given up.
async fn held(server: &Server, upload: Upload) -> ApiResult<Upload> {
    if upload.is_whole() {
        // It may be in its other place: `finish` looks.
        return Ok(upload);
    }
    let Some(path) = server.objects.lost_growing(upload.at.object, upload.offset).await? else {
        return Ok(upload);
    };
    // Another process may have taken the rest in, and moved the file to its place, since the row was read.
    let now = find(server, upload.at).await?;
    if now.offset == upload.offset { Err(lost(server, &upload, &path).await) } else { Ok(now) }
}

fn address(caller: &StorageCaller, id: &str) -> ApiResult<ObjectAddress> {
    let object = Uuid::try_parse(id).map_err(|_| ApiError::NOT_FOUND)?;
    Ok(ObjectAddress { account: caller.account, object })
}

fn gone() -> ApiError {
    ApiError::Status(StatusCode::GONE)
}
