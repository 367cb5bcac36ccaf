//! The bytes themselves, at signed URLs: whole objects and parts come in, ranges go out.
//!
//! No session is asked for here: the URL is the permission. An upload's refusal is answered after its body has been read (up to a
//! bound), since a client that is still sending never hears it.

use super::grant::{Grant, Purpose};
use super::part_list;
use crate::auth::session::hex;
use crate::error::ApiError;
use crate::objects::checksum::parse_md5;
use crate::objects::{BlobName, Incoming, ObjectError, ReceiveLimits};
use crate::store::uploads::{Completed, Kept, StoredBody};
use crate::{Server, Shared};
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest as _, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use axum::{Json, Router};
use darkslide_protocol::limits::{OBJECT_BYTES_MAX, PART_BYTES_MAX};
use futures_util::{Stream, StreamExt as _};

/// How much of a refused body is read before the refusal is told: more than any client's part.
const DRAIN_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// The routes of this file.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/blob/{*target}", put(put_blob).post(complete).get(super::downloads::get_blob))
        .route("/file-upload", put(put_through_proxy))
        .route("/multipart-upload", put(put_part_through_proxy))
        .route("/multipart-complete", post(complete_through_proxy))
}

/// Why an upload was refused, in the words that clients look for.
#[derive(Debug)]
enum Refusal {
    /// The URL is not ours, was altered, or has expired; or the object has.
    NoSuchUpload,
    /// The bytes have another MD5 than was announced.
    BadDigest,
    /// The announced MD5 is none.
    InvalidDigest,
    /// The body has another length than was agreed.
    IncompleteBody,
    /// The list of parts is none, or not that of the stored parts.
    InvalidPart,
    /// Other bytes are there already, for good.
    ObjectExists,
    /// The header that names the target is missing or names another server.
    InvalidTarget,
    /// The sender was silent for too long.
    RequestTimeout,
    /// Something of ours failed.
    Ours(ApiError),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let coded = |status, code, message| ApiError::Coded(status, code, message);
        let error = match self {
            Self::NoSuchUpload => no_such_upload(),
            Self::BadDigest => coded(StatusCode::BAD_REQUEST, "BadDigest", "the bytes have another MD5"),
            Self::InvalidDigest => coded(StatusCode::BAD_REQUEST, "InvalidDigest", "Content-MD5 is no MD5"),
            Self::IncompleteBody => {
                coded(StatusCode::BAD_REQUEST, "IncompleteBody", "the body has another length")
            }
            Self::InvalidPart => {
                coded(StatusCode::BAD_REQUEST, "InvalidPart", "these are not the parts that are stored")
            }
            Self::InvalidTarget => {
                coded(StatusCode::BAD_REQUEST, "InvalidTarget", "UPLOAD-URL is missing or not one of ours")
            }
            Self::ObjectExists => {
                coded(StatusCode::CONFLICT, "ObjectExists", "other bytes are there already")
            }
            Self::RequestTimeout => {
                coded(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", "the body did not arrive in time")
            }
            Self::Ours(error) => error,
        };
        error.into_response()
    }
}

/// 404, and the word by which phones give up their record of an upload.
pub(super) fn no_such_upload() -> ApiError {
    ApiError::Coded(StatusCode::NOT_FOUND, "NoSuchUpload", "the URL is unknown or has expired")
}

impl<E: Into<ApiError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        match error.into() {
            ApiError::Objects(ObjectError::Stalled(_)) => Self::RequestTimeout,
            ApiError::Objects(ObjectError::TooLong(_) | ObjectError::BrokenOff(_)) => Self::IncompleteBody,
            error => Self::Ours(error),
        }
    }
}

/// Where a request's bytes go: its own path, or what a proxy's header names.
struct Target {
    path: String,
    query: String,
}

impl Target {
    fn of_path(request: &Request) -> Self {
        let uri = request.uri();
        Self { path: uri.path().to_owned(), query: uri.query().unwrap_or("").to_owned() }
    }

    /// `None` when there is no such header, or it names what is no blob of any server like this.
    fn of_header(headers: &HeaderMap) -> Option<Self> {
        let url = url::Url::parse(headers.get("upload-url")?.to_str().ok()?).ok()?;
        let is_blob = url.path().contains("/blob/");
        is_blob.then(|| Self { path: url.path().to_owned(), query: url.query().unwrap_or("").to_owned() })
    }

    fn grant(&self, server: &Server, method: &Method) -> Result<Grant, Refusal> {
        Grant::parse(&server.signer, method, &self.path, &self.query, server.store.now())
            .ok_or(Refusal::NoSuchUpload)
    }
}

async fn put_blob(State(server): State<Shared>, request: Request) -> Response {
    let target = Target::of_path(&request);
    match put_to(&server, Some(&target), request).await {
        Ok(etag) => ([(header::ETAG, etag)], ()).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn put_through_proxy(State(server): State<Shared>, request: Request) -> Response {
    match put_through(&server, request).await {
        Ok(etag) => ([(header::ETAG, etag)], ()).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn put_part_through_proxy(State(server): State<Shared>, request: Request) -> Response {
    match put_through(&server, request).await {
        Ok(etag) => {
            let body = Json(serde_json::json!({ "etag": etag }));
            ([(header::ETAG, etag)], body).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn put_through(server: &Server, request: Request) -> Result<String, Refusal> {
    let target = Target::of_header(request.headers());
    put_to(server, target.as_ref(), request).await
}

/// Receives a body, and answers its quoted ETag. A refused body is read to its end first.
async fn put_to(server: &Server, target: Option<&Target>, request: Request) -> Result<String, Refusal> {
    let (parts, body) = request.into_parts();
    let granted = target.ok_or(Refusal::InvalidTarget).and_then(|target| target.grant(server, &parts.method));
    let announced = granted.and_then(|grant| {
        let announced = Announced::check(&parts.headers, &grant)?;
        Ok((grant, announced))
    });
    match announced {
        Ok((grant, announced)) => receive(server, &grant, &announced, body).await,
        Err(refusal) => {
            if !parts.headers.contains_key(header::EXPECT) {
                drain(server, body.into_data_stream(), DRAIN_BYTES_MAX).await;
            }
            Err(refusal)
        }
    }
}

/// What the body must be, by its URL and its headers.
struct Announced {
    length: Option<u64>,
    md5: Option<[u8; 16]>,
}

impl Announced {
    fn check(headers: &HeaderMap, grant: &Grant) -> Result<Self, Refusal> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let length = text("content-length").and_then(|value| value.parse().ok());
        let longest = if grant.count.is_some() { PART_BYTES_MAX } else { OBJECT_BYTES_MAX };
        let wrong = length.is_some_and(|length| grant.length.unwrap_or(length) != length || length > longest);
        if wrong {
            return Err(Refusal::IncompleteBody);
        }
        let md5 = match headers.get("content-md5") {
            None => None,
            Some(value) => {
                let md5 = value.to_str().ok().and_then(parse_md5).ok_or(Refusal::InvalidDigest)?;
                Some(md5)
            }
        };
        if matches!((md5, grant.md5), (Some(sent), Some(agreed)) if sent != agreed) {
            return Err(Refusal::BadDigest);
        }
        Ok(Self { length: grant.length.or(length), md5: grant.md5.or(md5) })
    }

    fn verify(&self, incoming: &Incoming) -> Result<(), Refusal> {
        if incoming.length == 0 || self.length.is_some_and(|length| length != incoming.length) {
            return Err(Refusal::IncompleteBody);
        }
        if self.md5.is_some_and(|md5| md5 != incoming.md5) { Err(Refusal::BadDigest) } else { Ok(()) }
    }
}

async fn receive(
    server: &Server,
    grant: &Grant,
    announced: &Announced,
    body: Body,
) -> Result<String, Refusal> {
    let limits = ReceiveLimits {
        longest: announced.length.unwrap_or(OBJECT_BYTES_MAX),
        idle: server.config.limits.idle_timeout,
    };
    let incoming = server.objects.receive(body.into_data_stream(), limits).await?;
    announced.verify(&incoming)?;
    metrics::counter!("darkslide_blob_bytes_received_total").increment(incoming.length);
    let etag = format!("\"{}\"", hex(&incoming.md5));
    keep(server, grant, incoming).await?;
    Ok(etag)
}

/// Gives a body its place, and then its name. Whatever is not kept is removed.
async fn keep(server: &Server, grant: &Grant, incoming: Incoming) -> Result<(), Refusal> {
    let number = match grant.purpose {
        Purpose::Part(number) => number,
        Purpose::Whole | Purpose::Complete | Purpose::Download => 0,
    };
    let body = StoredBody {
        blob: BlobName::generate(grant.at.object, number),
        length: i64::try_from(incoming.length).map_err(|_| Refusal::IncompleteBody)?,
        md5: hex(&incoming.md5),
        digest: incoming.digest.to_string(),
    };
    server.objects.place(incoming, &body.blob).await?;
    let kept = match grant.count {
        Some(count) => server.store.store_part(grant.at, number, count, &body).await,
        None => server.store.store_whole(grant.at, &body).await,
    };
    let (unneeded, result) = match kept {
        Ok(Kept::Stored { replaced }) => (replaced, Ok(())),
        Ok(Kept::Already) => (Some(body.blob), Ok(())),
        Ok(Kept::Refused) => (Some(body.blob), Err(Refusal::ObjectExists)),
        Ok(Kept::Gone) => (Some(body.blob), Err(Refusal::NoSuchUpload)),
        // It may have been committed all the same; if not, the sweep finds the blob.
        Err(error) => (None, Err(error.into())),
    };
    if let Some(blob) = unneeded {
        server.objects.remove(vec![blob]).await?;
    }
    result
}

/// Reads a refused body, or the rest of it, and forgets it: up to `most` bytes, and for as long as a silence may last, for nobody is heard
/// out who is refused.
pub(super) async fn drain<S, E>(server: &Server, mut body: S, most: u64)
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let reading = async {
        let mut read = 0;
        while let Some(Ok(bytes)) = body.next().await {
            read += bytes.len() as u64;
            if read > most {
                return;
            }
        }
    };
    // Whoever is slower than that hears of the refusal when the connection is closed, or not at all.
    let _ = tokio::time::timeout(server.config.limits.idle_timeout, reading).await;
}

async fn complete(State(server): State<Shared>, request: Request) -> Response {
    let target = Target::of_path(&request);
    complete_at(&server, Some(&target), request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn complete_through_proxy(State(server): State<Shared>, request: Request) -> Response {
    let target = Target::of_header(request.headers());
    complete_at(&server, target.as_ref(), request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn complete_at(
    server: &Server,
    target: Option<&Target>,
    request: Request,
) -> Result<Response, Refusal> {
    let method = request.method().clone();
    let body = Bytes::from_request(request, &()).await.map_err(|_| Refusal::IncompleteBody)?;
    let grant = target.ok_or(Refusal::InvalidTarget)?.grant(server, &method)?;
    let text = std::str::from_utf8(&body).map_err(|_| Refusal::InvalidPart)?;
    let listed = part_list::parse(text).ok_or(Refusal::InvalidPart)?;
    match server.store.complete(grant.at, &listed).await? {
        Completed::Whole(etag) => {
            let quoted = HeaderValue::try_from(format!("\"{etag}\"")).expect("an ETag is hex digits");
            Ok(([(header::ETAG, quoted)], ()).into_response())
        }
        Completed::Mismatch => Err(Refusal::InvalidPart),
        Completed::Gone => Err(Refusal::NoSuchUpload),
    }
}
