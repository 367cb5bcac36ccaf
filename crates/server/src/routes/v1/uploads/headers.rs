//! The headers of tus 1.0: what a request says, and what an answer tells.

use super::receive::Received;
use crate::error::{ApiError, ApiResult};
use crate::objects::Announced;
use crate::store::resumable::Upload;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{AppendHeaders, Response};
use darkslide_protocol::error::code;
use darkslide_protocol::limits::OBJECT_BYTES_MAX;
use darkslide_protocol::tus::{self, header};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// The path of all uploads.
const ROOT: &str = "/v1/uploads";

/// A date as HTTP writes it (RFC 9110 §5.6.7).
const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// Whether tus is spoken at a path.
pub(crate) fn is_ours(path: &str) -> bool {
    path.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The method that a request means, where its client or a proxy can only send another.
pub(crate) fn intended_method(request: &Request) -> Option<Method> {
    let said = request.headers().get(header::METHOD_OVERRIDE).filter(|_| is_ours(request.uri().path()))?;
    match said.as_bytes() {
        b"PATCH" => Some(Method::PATCH),
        b"DELETE" => Some(Method::DELETE),
        b"HEAD" => Some(Method::HEAD),
        b"POST" => Some(Method::POST),
        _ => None,
    }
}

/// Says on an answer, whichever it is, that tus is spoken; and to `OPTIONS`, how.
pub(crate) fn announce(method: &Method, response: &mut Response) {
    let is_options = method == Method::OPTIONS;
    let is_misunderstood = response.status() == StatusCode::PRECONDITION_FAILED;
    let headers = response.headers_mut();
    let mut tell = |name: &'static str, value: &'static str| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    };
    tell(header::TUS_RESUMABLE, tus::VERSION);
    if is_options || is_misunderstood {
        tell(header::TUS_VERSION, tus::VERSION);
    }
    if is_options {
        tell(header::TUS_EXTENSION, tus::EXTENSIONS);
        tell(header::TUS_CHECKSUM_ALGORITHM, tus::CHECKSUM_ALGORITHMS);
        headers.insert(HeaderName::from_static(header::TUS_MAX_SIZE), HeaderValue::from(OBJECT_BYTES_MAX));
    }
}

/// A request that speaks our version of tus; others are refused before anything else is looked at.
pub(super) struct Spoken;

impl<S: Sync> FromRequestParts<S> for Spoken {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
        let version = parts.headers.get(header::TUS_RESUMABLE);
        if version.is_some_and(|version| version.as_bytes() == tus::VERSION.as_bytes()) {
            return Ok(Self);
        }
        let status = StatusCode::PRECONDITION_FAILED;
        Err(ApiError::Coded(status, "PRECONDITION_FAILED", "Tus-Resumable must be 1.0.0"))
    }
}

/// What a request that brings bytes, or announces them, says in its headers.
#[derive(Debug)]
pub(super) struct Asked {
    /// Bytes of the whole upload.
    pub(super) length: Option<u64>,
    /// Where the body begins.
    pub(super) offset: Option<u64>,
    /// What the body must hash to.
    pub(super) announced: Option<Announced>,
    /// Whether the body is of the type that bytes must have.
    pub(super) is_offset_stream: bool,
    /// Whether there is a body.
    pub(super) has_body: bool,
    /// Bytes of the body, when it says so.
    pub(super) body_length: Option<u64>,
}

impl Asked {
    /// Refuses with 400 what contradicts tus or is of a kind that is not offered, and with 415 bytes of another type.
    pub(super) fn of(headers: &HeaderMap) -> ApiResult<Self> {
        if headers.contains_key(header::UPLOAD_DEFER_LENGTH) {
            return Err(malformed("an upload's length must be told when it is begun"));
        }
        if headers.contains_key(header::UPLOAD_CONCAT) {
            return Err(malformed("uploads in several pieces side by side are not offered"));
        }
        let body_length = number(headers, "content-length")?;
        let has_body = body_length.map_or(headers.contains_key("transfer-encoding"), |length| length > 0);
        let kind = headers.get("content-type").map_or(&b""[..], HeaderValue::as_bytes);
        let is_offset_stream = kind.eq_ignore_ascii_case(tus::CONTENT_TYPE.as_bytes());
        if has_body && !is_offset_stream {
            return Err(wrong_type());
        }
        let length = number(headers, header::UPLOAD_LENGTH)?;
        if length == Some(0) {
            // tus would let it be; what is encrypted is never empty, so no commit could name it.
            return Err(malformed("an object has at least one byte"));
        }
        Ok(Self {
            length,
            offset: number(headers, header::UPLOAD_OFFSET)?,
            announced: announced(headers)?,
            is_offset_stream,
            // HTTP/2 need not say how long a body is; then its type says that there is one.
            has_body: has_body || (is_offset_stream && body_length.is_none()),
            body_length,
        })
    }
}

/// A header that is a number of bytes; 400 when it is something else.
fn number(headers: &HeaderMap, name: &'static str) -> ApiResult<Option<u64>> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).map(Some).ok_or(malformed("a header is no number of bytes"))
}

fn announced(headers: &HeaderMap) -> ApiResult<Option<Announced>> {
    let Some(value) = headers.get(header::UPLOAD_CHECKSUM) else { return Ok(None) };
    let announced = value.to_str().ok().and_then(Announced::parse);
    announced.map(Some).ok_or(malformed("Upload-Checksum is no hash of an algorithm that is offered"))
}

/// 400, with a word for people.
pub(super) fn malformed(what: &'static str) -> ApiError {
    ApiError::Coded(StatusCode::BAD_REQUEST, code::BAD_REQUEST, what)
}

/// 415.
pub(super) fn wrong_type() -> ApiError {
    let what = "the body must be application/offset+octet-stream";
    ApiError::Coded(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", what)
}

/// What the answer to a creation without a body tells, and one that refuses a body.
pub(super) fn begun(upload: &Upload) -> [(&'static str, String); 1] {
    [(header::UPLOAD_EXPIRES, http_date(upload.expires_at))]
}

/// What an answer tells of a body that was taken.
pub(super) fn received(received: &Received) -> [(&'static str, String); 3] {
    [
        (header::UPLOAD_OFFSET, received.offset.to_string()),
        (header::UPLOAD_EXPIRES, http_date(received.expires_at)),
        (header::CHUNK_DIGEST, tus::chunk_digest(&received.chunk_digest)),
    ]
}

/// What an answer tells of an upload as it stands.
pub(super) fn standing(upload: &Upload) -> AppendHeaders<Vec<(&'static str, String)>> {
    let mut told = vec![
        ("cache-control", "no-store".to_owned()),
        (header::UPLOAD_OFFSET, upload.offset.to_string()),
        (header::UPLOAD_LENGTH, upload.length.to_string()),
        (header::UPLOAD_EXPIRES, http_date(upload.expires_at)),
        (header::OBJECT_KEY, upload.at.key().0),
    ];
    if let Some(chunk) = &upload.chunk {
        told.push((header::CHUNK_OFFSET, chunk.offset.to_string()));
        told.push((header::CHUNK_DIGEST, format!("blake3 {}", chunk.digest)));
    }
    AppendHeaders(told)
}

/// A moment (µs since the epoch) as HTTP writes it.
fn http_date(micros: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(micros.div_euclid(1_000_000));
    moment.ok().and_then(|moment| moment.format(HTTP_DATE).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn moments_are_written_as_http_does() {
        assert_eq!(http_date(784_111_777_999_999), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn numbers_of_bytes_are_digits_and_nothing_else() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("upload-offset", HeaderValue::from_static(text));
            number(&headers, "upload-offset").ok().flatten()
        };
        assert_eq!(read("0"), Some(0));
        assert_eq!(read("18446744073709551615"), Some(u64::MAX));
        for text in ["", "-1", "+1", "1.0", "0x1", " 1", "18446744073709551616"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_headers_say_they_are_read_or_refused(
            values in proptest::collection::vec((0..8_usize, proptest::collection::vec(any::<u8>(), 0..60)), 0..8)
        ) {
            let names = [
                header::UPLOAD_LENGTH, header::UPLOAD_OFFSET, header::UPLOAD_CHECKSUM, header::UPLOAD_METADATA,
                "content-length", "content-type", "transfer-encoding", header::UPLOAD_CONCAT,
            ];
            let mut headers = HeaderMap::new();
            for (name, value) in values {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    headers.append(names[name], value);
                }
            }
            if let Ok(Some(sealed)) = super::super::metadata::seal(&headers, "token", uuid::Uuid::nil()) {
                prop_assert!(super::super::metadata::open(&sealed, "token", uuid::Uuid::nil()).is_some());
            }
            if let Ok(asked) = Asked::of(&headers) {
                prop_assert!(asked.length != Some(0));
                prop_assert!(!asked.has_body || asked.is_offset_stream);
            }
        }
    }
}
