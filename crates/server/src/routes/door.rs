//! What every request passes on its way in and every answer on its way out: the path made plain, the caller's address,
//! a request id, one line in the log, CORS, and a body that is a JSON object whatever went wrong.
//!
//! The log has the route's template and never the path or the query, in which tokens travel.

use crate::Shared;
use crate::routes::origin;
use crate::routes::v1::{problem, uploads};
use crate::store::news;
use axum::body::Body;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL,
    CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use darkslide_protocol::problem::PROBLEM_JSON;
use darkslide_protocol::server::TIME_HEADER;
use std::net::SocketAddr;
use std::time::Instant;

const ALLOW_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

const ALLOW_HEADERS: &str = "Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, X-Auth-Token, \
    X-Auth-Access-Token, X-Auth-Access-Token-JWT, X-Auth-Link-Device-Token, X-Cast-Access-Token, X-Client-Package, \
    X-Client-Version, X-Paste-Consume, X-Request-Id, Authorization, Accept, Origin, Cache-Control, X-Requested-With, \
    Upgrade-Insecure-Requests, Range, Content-MD5, UPLOAD-URL, Tus-Resumable, Upload-Length, Upload-Offset, \
    Upload-Metadata, Upload-Checksum, Upload-Defer-Length, Upload-Concat, X-HTTP-Method-Override";

const EXPOSE_HEADERS: &str = "X-Request-Id, X-Ente-Link-Device-Token, ETag, Content-Length, Content-Range, \
    Accept-Ranges, Location, Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm, \
    Upload-Length, Upload-Offset, Upload-Expires, Upload-Metadata, Darkslide-Object-Key, Darkslide-Chunk-Offset, Darkslide-Chunk-Digest, \
    Darkslide-Time";

/// How long browsers may remember the answer to a preflight, in seconds: 20 days.
const MAX_AGE: &str = "1728000";

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id that is taken over from a client.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Before routing: one `/` where clients send several, none at the end, and the caller's address at hand. Last of all, the server's time.
pub(super) async fn enter(State(server): State<Shared>, mut request: Request, next: Next) -> Response {
    if let Some(plain) = plain_uri(request.uri()) {
        *request.uri_mut() = plain;
    }
    if let Some(method) = uploads::intended_method(&request) {
        *request.method_mut() = method;
    }
    let socket =
        request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
    // HTTP/2 has the host in the URI.
    let authority = request.uri().authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    let headers = request.headers_mut();
    if let (false, Some(authority)) = (headers.contains_key(HOST), authority) {
        headers.insert(HOST, authority);
    }
    origin::stamp(headers, socket, server.config.trust_proxy);
    let mut response = next.run(request).await;
    // Not `Date`, which proxies write by clocks of their own.
    response.headers_mut().insert(TIME_HEADER, server.store.now().into());
    response
}

/// The URI with a plain path; `None` when it has one already.
fn plain_uri(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    if path == "/" || (!path.contains("//") && !path.ends_with('/')) {
        return None;
    }
    let mut plain = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !part.is_empty()) {
        plain.push('/');
        plain.push_str(part);
    }
    if plain.is_empty() {
        plain.push('/');
    }
    if let Some(query) = uri.query() {
        plain.push('?');
        plain.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = plain.parse().ok();
    Uri::from_parts(parts).ok()
}

/// After routing: everything else.
pub(super) async fn pass(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let origin = request.headers().get(ORIGIN).cloned();
    let method = request.method().clone();
    let is_extension = problem::is_ours(request.uri().path());
    let is_upload = uploads::is_ours(request.uri().path());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    request.headers_mut().insert(REQUEST_ID.clone(), id.clone());
    let response = if method == Method::OPTIONS {
        // 200 and not 204, which breaks Safari now and then.
        StatusCode::OK.into_response()
    } else {
        news::in_request(next.run(request)).await
    };
    let mut response = if is_extension { problem::dress(response).await } else { response };
    if is_upload {
        uploads::announce(&method, &mut response);
    }
    let response = finish(response, &method, origin, id.clone());
    observe(&method, &route, response.status(), started, &id);
    response
}

/// The client's request id, or a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    headers
        .get(&REQUEST_ID)
        .filter(|id| {
            (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().copied().all(is_plain)
        })
        .cloned()
        .unwrap_or_else(|| {
            HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()).expect("a UUID is a header value")
        })
}

/// Whether a header's value is JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let is = |kind: &HeaderValue, name: &str| kind.as_bytes().starts_with(name.as_bytes());
    headers.get(CONTENT_TYPE).is_some_and(|kind| is(kind, "application/json") || is(kind, PROBLEM_JSON))
}

/// Adds what every answer has, and replaces an error's body that is no JSON object: phones index into it.
fn finish(response: Response, method: &Method, origin: Option<HeaderValue>, id: HeaderValue) -> Response {
    let (mut parts, mut body) = response.into_parts();
    let failed = parts.status.is_client_error() || parts.status.is_server_error();
    if failed && !is_json(&parts.headers) {
        parts.headers.remove(CONTENT_LENGTH);
        parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        body = if method == Method::HEAD { Body::empty() } else { Body::from("{}") };
    }
    let headers = &mut parts.headers;
    // Bodies without a type are empty ones; blobs have a type, and redirects to them may be kept.
    let says_nothing = parts.status.is_success() && !headers.contains_key(CONTENT_TYPE);
    if method == Method::GET && (is_json(headers) || says_nothing) && !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    headers.insert(REQUEST_ID.clone(), id);
    allow_origin(headers, origin);
    Response::from_parts(parts, body)
}

/// CORS: any origin may call, for nothing is authorised by cookies.
fn allow_origin(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    headers.append(VARY, HeaderValue::from_static("Origin"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.unwrap_or(HeaderValue::from_static("*")));
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(ALLOW_METHODS));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOW_HEADERS));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSE_HEADERS));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
}

/// One line in the log and one count for every request.
fn observe(method: &Method, route: &str, status: StatusCode, started: Instant, id: &HeaderValue) {
    let elapsed = started.elapsed();
    let id = id.to_str().unwrap_or("");
    tracing::info!(
        request_id = id,
        method = method.as_str(),
        route,
        status = status.as_u16(),
        duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        "request"
    );
    // A closed set of names: what strangers make up must not become labels.
    let method = match *method {
        Method::GET | Method::HEAD => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    let labels =
        [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.as_str().to_owned())];
    metrics::counter!("darkslide_requests_total", &labels).increment(1);
    metrics::histogram!("darkslide_request_seconds", "route" => route.to_owned())
        .record(elapsed.as_secs_f64());
}

/// The answer of a handler that panicked. The panic's text is in the log.
pub(super) fn after_panic(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_plain() {
        let check = |uri: &str, plain: &str| {
            let uri: Uri = uri.parse().unwrap();
            assert_eq!(plain_uri(&uri).unwrap_or(uri).to_string(), plain);
        };
        check("/ping", "/ping");
        check("/", "/");
        check("//", "/");
        check("//ping", "/ping");
        check("/billing/user-plans/", "/billing/user-plans");
        check("/a//b/?c=d//", "/a/b?c=d//");
        check("http://host/a/", "http://host/a");
    }
}
