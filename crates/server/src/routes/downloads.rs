//! Bytes on their way out: a redirect to a signed URL, and ranges at that URL.
//!
//! The redirect is not a detail: phones accept nothing else for large files, and ask that URL for ranges without a session.

use super::grant::{Grant, Purpose};
use super::origin::origin_of;
use super::parameters::id;
use super::request::StorageCaller;
use crate::error::{ApiError, ApiResult};
use crate::objects::ObjectError;
use crate::store::files::Which;
use crate::store::uploads::{ObjectAddress, ReadableObject};
use crate::store::{StoreError, news};
use crate::{Server, Shared};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::ops::Range;

/// The routes of this file.
pub(crate) fn routes() -> Router<Shared> {
    Router::new().route("/files/download/{id}", get(download)).route("/files/preview/{id}", get(preview))
}

async fn download(
    State(server): State<Shared>,
    caller: StorageCaller,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    redirect(&server, &caller, &file, Which::Original, &headers).await
}

async fn preview(
    State(server): State<Shared>,
    caller: StorageCaller,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    redirect(&server, &caller, &file, Which::Thumbnail, &headers).await
}

/// Objects up to so many bytes are sent at once to clients that would rather have them than their URL.
const SENT_AT_ONCE_MAX: u64 = 16 << 20;

/// Whether a client asked for the bytes themselves (RFC 7240 §4.2). It gets them or a redirect.
fn prefers_bytes(headers: &HeaderMap) -> bool {
    let mut prefers = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    prefers.any(|value| value.split(',').any(|one| one.trim().eq_ignore_ascii_case("return=representation")))
}

async fn redirect(
    server: &Server,
    caller: &StorageCaller,
    file: &str,
    which: Which,
    headers: &HeaderMap,
) -> ApiResult<Response> {
    let address =
        server.store.object_of_file(caller.account, id(file)?, which).await?.ok_or(ApiError::NOT_FOUND)?;
    if prefers_bytes(headers) {
        let object = server.store.readable_object(address, server.store.now()).await?;
        if let Some(object) = object.filter(|object| object.length <= SENT_AT_ONCE_MAX)
            && let Ok(mut response) = send(server, &object, &Method::GET, headers).await
        {
            let applied = HeaderValue::from_static("return=representation");
            response.headers_mut().insert("preference-applied", applied);
            return Ok(response);
        }
    }
    Ok(redirect_to(server, address, headers))
}

/// Sends a caller who may have an object to its signed URL, which ends with the caller's session.
pub(super) fn redirect_to(server: &Server, address: ObjectAddress, headers: &HeaderMap) -> Response {
    let session = news::session();
    let grant = Grant { session, ..Grant::new(address, Purpose::Download, server.store.now()) };
    let location = grant.url(&server.signer, &origin_of(server, headers));
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response()
}

/// `GET` and `HEAD` of a signed URL.
pub(crate) async fn get_blob(
    State(server): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let now = server.store.now();
    let grant = Grant::parse(&server.signer, &method, uri.path(), uri.query().unwrap_or(""), now);
    match read_granted(&server, grant, now, &method, &headers).await {
        Ok(Some(response)) => response,
        Ok(None) => super::blobs::no_such_upload().into_response(),
        Err(error) => error.into_response(),
    }
}

/// The answer to a good URL.
async fn read_granted(
    server: &Server,
    grant: Option<Grant>,
    now: i64,
    method: &Method,
    headers: &HeaderMap,
) -> ApiResult<Option<Response>> {
    let Some(grant) = grant else { return Ok(None) };
    match news::in_session(grant.session.clone(), server.store.still_signed_in()).await {
        Err(StoreError::SessionEnded) => return Ok(None),
        asked => asked?,
    }
    let Some(object) = server.store.readable_object(grant.at, now).await? else { return Ok(None) };
    send_or_ask_again(server, grant.at, object, method, headers).await.map(Some)
}

/// Sends an object from where it lay a moment ago. A pack may be rewritten between the moment when a place is looked up and that when
/// it is opened: then the object has another place, and is looked for there. What is missing where it still should be is lost.
async fn send_or_ask_again(
    server: &Server,
    at: ObjectAddress,
    object: ReadableObject,
    method: &Method,
    headers: &HeaderMap,
) -> ApiResult<Response> {
    let mut place = object;
    loop {
        let error = match send(server, &place, method, headers).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        match server.store.readable_object(at, server.store.now()).await? {
            Some(moved) if moved != place => place = moved,
            _ => return Err(lost(error)),
        }
    }
}

async fn send(
    server: &Server,
    object: &ReadableObject,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, ObjectError> {
    let etag = format!("\"{}\"", object.etag);
    let (status, range) = match requested(headers, &etag, object.length) {
        Requested::All => (StatusCode::OK, 0..object.length),
        Requested::Some(range) => (StatusCode::PARTIAL_CONTENT, range),
        Requested::Nothing => return Ok(unsatisfiable(object.length)),
    };
    let mut response = if method == Method::HEAD {
        Body::empty().into_response()
    } else {
        let stream = server.objects.read(&object.segments, range.clone()).await?;
        metrics::counter!("darkslide_blob_bytes_sent_total").increment(range.end - range.start);
        Body::from_stream(stream).into_response()
    };
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    headers.insert(header::ETAG, value(&etag));
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {}-{}/{}", range.start, range.end - 1, object.length);
        headers.insert(header::CONTENT_RANGE, value(&text));
    }
    Ok(response)
}

/// Bytes that the database names and the disk does not have, all or some, are 404 to clients, who would otherwise ask for ever; and an
/// error to whoever reads the log.
fn lost(error: ObjectError) -> ApiError {
    match &error {
        ObjectError::Lost(path) => {
            tracing::error!(path = %path.display(), "a blob is shorter than the database says: bring it back from your backup");
            metrics::counter!("darkslide_blobs_lost_total").increment(1);
            super::blobs::no_such_upload()
        }
        ObjectError::Disk { path, source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            tracing::error!(path = %path.display(), "a blob that the database names is not on the disk: bring it back from your backup");
            metrics::counter!("darkslide_blobs_lost_total").increment(1);
            super::blobs::no_such_upload()
        }
        _ => error.into(),
    }
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits and punctuation make a header")
}

fn unsatisfiable(length: u64) -> Response {
    let range = value(&format!("bytes */{length}"));
    (StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, range)]).into_response()
}

/// What of an object is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Requested {
    All,
    Some(Range<u64>),
    /// A range that lies behind the end.
    Nothing,
}

/// Reads `Range` (RFC 9110 §14): one range in bytes. Several, other units and nonsense mean all, as the RFC allows; so does a
/// range whose `If-Range` names other contents.
fn requested(headers: &HeaderMap, etag: &str, length: u64) -> Requested {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_RANGE).is_some_and(|expected| expected != etag) {
        return Requested::All;
    }
    match text(header::RANGE) {
        Some(range) => parse_range(range, length),
        None => Requested::All,
    }
}

fn parse_range(text: &str, length: u64) -> Requested {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Requested::All;
    };
    let (first, last) = (first.trim(), last.trim());
    let number =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Some(first), None) if last.is_empty() => first..length,
        (None, Some(count)) if first.is_empty() => length.saturating_sub(count)..length,
        _ => return Requested::All,
    };
    if range.start < range.end { Requested::Some(range) } else { Requested::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, RawConfig};
    use crate::objects::{BlobName, ReceiveLimits};
    use crate::store::accounts::Admission;
    use crate::store::uploads::StoredBody;
    use futures_util::stream;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use std::convert::Infallible;
    use std::time::Duration;

    /// Places a blob, and says what an upload would store of it.
    async fn body(server: &Server, bytes: &'static [u8]) -> StoredBody {
        let stream = stream::iter([Ok::<_, Infallible>(axum::body::Bytes::from_static(bytes))]);
        let limits = ReceiveLimits { longest: 100, idle: Duration::from_secs(5) };
        let incoming = server.objects.receive(stream, limits).await.unwrap();
        let blob = BlobName::generate(uuid::Uuid::new_v4(), 0);
        let digest = incoming.digest.to_string();
        server.objects.place(incoming, &blob).await.unwrap();
        StoredBody { blob, length: i64::try_from(bytes.len()).unwrap(), md5: "0".repeat(32), digest }
    }

    /// It was counted, and an alarm was logged, although the pack had only been written anew.
    #[tokio::test]
    async fn what_has_moved_is_not_lost() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _recording = metrics::set_default_local_recorder(&recorder);
        let lost = || recorder.handle().render().contains("darkslide_blobs_lost_total");
        let folder = tempfile::tempdir().unwrap();
        let raw = RawConfig { data_dir: Some(folder.path().to_owned()), ..RawConfig::default() };
        let config = Config::from_layers(raw, RawConfig::default(), RawConfig::default()).unwrap();
        let server = Server::open(config).await.unwrap();
        let Admission::Account(account) = server.store.admit("anna@example.org", true).await.unwrap() else {
            panic!("refused")
        };
        let at = ObjectAddress::generate(account);
        let (here, there) = (body(&server, b"here").await, body(&server, b"here").await);
        server.store.store_whole(at, &here).await.unwrap();
        let place = async || server.store.readable_object(at, 0).await.unwrap().unwrap();
        let ask = async |place| {
            send_or_ask_again(&server, at, place, &Method::GET, &HeaderMap::new()).await.map(|_| ())
        };
        let before = place().await;
        let objects = server.store.objects_in(&here.blob).await.unwrap();
        let digest = crate::objects::Digest::of(b"here");
        let moved = crate::objects::Packed { id: uuid::Uuid::nil(), offset: 0, length: 4, digest };
        assert_eq!(server.store.move_objects(&here.blob, &there.blob, &objects, &[moved]).await.unwrap(), 1);
        server.objects.remove(vec![here.blob]).await.unwrap();
        ask(before).await.unwrap();
        assert!(!lost());
        server.objects.remove(vec![there.blob]).await.unwrap();
        ask(place().await).await.unwrap_err();
        assert!(lost());
    }

    #[test]
    fn ranges() {
        let check = |text, expected| assert_eq!(parse_range(text, 100), expected, "{text}");
        check("bytes=0-0", Requested::Some(0..1));
        check("bytes=0-99", Requested::Some(0..100));
        check("bytes=10-", Requested::Some(10..100));
        check("bytes=-10", Requested::Some(90..100));
        check("bytes=-1000", Requested::Some(0..100));
        check("bytes=90-1000", Requested::Some(90..100));
        check("bytes=0-18446744073709551615", Requested::Some(0..100));
        check("bytes=100-", Requested::Nothing);
        check("bytes=100-200", Requested::Nothing);
        check("bytes=-0", Requested::Nothing);
        for all in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-4",
            "bytes=0-1,5-6",
            "items=0-1",
            "bytes=a-b",
            "bytes=+1-2",
        ] {
            check(all, Requested::All);
        }
    }
}
