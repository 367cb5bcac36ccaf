//! Why a call to the server did not succeed, in words that name the server and what to do next.
//!
//! It refuses to carry URLs: those of objects are signed, and would let a reader of a log fetch them.

use darkslide_protocol::error::code::DISK_FULL;
use darkslide_protocol::error::{VersionConflict, VersionConflicts};
use darkslide_protocol::{ErrorBody, Problem};
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use std::time::Duration;
use thiserror::Error;

/// The most bytes of a refusal that are read: as many conflicts as the largest call can have.
pub(super) const REFUSAL_BYTES_MAX: usize = 256 * 1024;

/// The longest piece of an answer that is not JSON which is kept to explain a refusal, in bytes.
pub(super) const MESSAGE_BYTES_MAX: usize = 512;

/// One failed call: to whom, what was tried, and what happened.
#[derive(Debug, Error)]
#[error("{server}: could not {attempt}: {reason}")]
pub struct ApiFailure {
    /// Host and port of the server.
    pub server: String,
    /// What was tried, as a verb and its object: “list the collections”.
    pub attempt: &'static str,
    /// What happened.
    #[source]
    pub reason: Reason,
}

/// What happened to a call.
#[derive(Debug, Error)]
pub enum Reason {
    /// No complete answer came: name resolution, connection, TLS, or a time limit.
    #[error("{}", no_answer(.0))]
    Unreachable(#[source] reqwest::Error),
    /// The server answered with a refusal.
    #[error("{}", explain(refusal))]
    Refused {
        /// Status, code and text of the answer.
        refusal: Refusal,
    },
    /// The answer was not what the API says.
    #[error("it gave an answer that is not understood; is a Darkslide server at this address?")]
    NotUnderstood(#[source] serde_json::Error),
    /// A header that the API promises is missing or wrong.
    #[error("its answer has no usable {0} header; a proxy in between may have removed it")]
    Header(&'static str),
    /// The answer is larger than any that the API can give.
    #[error("its answer is too long to be one")]
    TooLong,
    /// An URL in the answer cannot be used.
    #[error("it named an address that is not one")]
    Address(#[source] url::ParseError),
}

/// A refusal as the server told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: StatusCode,
    /// The stock error code, where there is one.
    pub code: Option<String>,
    /// The server's own words, shortened.
    pub message: Option<String>,
    /// Whether it is said as servers of this API say it. Otherwise something on the way to the server refused, such as a proxy or the
    /// sign-in page of a hotel.
    pub is_own: bool,
    /// Whether the server itself would have told its time with it, as it does with every answer, and nothing else says that it is the server's.
    pub lacks_time: bool,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
    /// What is not as this client has seen it, when the call was conditional.
    pub conflicts: Option<Box<VersionConflicts>>,
}

impl Refusal {
    /// Reads the body of a refusal: the API's JSON object, or any text.
    pub(super) fn read(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        retry_after: Option<Duration>,
        lacks_time: bool,
    ) -> Self {
        let parsed = serde_json::from_slice::<ErrorBody>(body).ok();
        let (code, message) = match parsed {
            Some(ErrorBody { code, message, error }) => (code, message.or(error).or_else(|| detail(body))),
            None => (None, clipped_text(body)),
        };
        let conflicts = serde_json::from_slice(body).ok();
        Self { status, code, message, is_own: is_own(headers, body), lacks_time, retry_after, conflicts }
    }
}

/// Whether a refusal is JSON of the shapes that the API has: nothing in it, a code, or an error in words. The answer to a HEAD has no body.
fn is_own(headers: &HeaderMap, body: &[u8]) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_shaped = || match serde_json::from_slice(body) {
        Ok(Value::Object(said)) => {
            said.is_empty()
                || ["code", "error"].iter().any(|name| said.get(*name).is_some_and(Value::is_string))
        }
        _ => body.is_empty(),
    };
    kind.is_some_and(|kind| kind.contains("json")) && is_shaped()
}

impl Refusal {
    /// Whether something on the way to the server answered in its place, which was not reached: it wants a sign-in (401), has lost the way to
    /// a server that is started anew (404, 410), or shows a page instead of what was asked for. It says nothing of the session, nor of what
    /// the server has.
    fn is_by_another(&self) -> bool {
        let is_elsewhere = match self.status {
            StatusCode::UNAUTHORIZED => true,
            StatusCode::NOT_FOUND | StatusCode::GONE => self.lacks_time,
            status => self.lacks_time && status.is_success(),
        };
        is_elsewhere && !self.is_own
    }

    /// Whether it may be the server's all the same, written anew by something on the way.
    pub(super) fn may_be_rewritten(&self) -> bool {
        matches!(self.status, StatusCode::NOT_FOUND | StatusCode::GONE) && self.is_by_another()
    }

    /// Whether the server could not store because its own disk is full.
    fn is_disk_full(&self) -> bool {
        self.code.as_deref() == Some(DISK_FULL)
    }
}

/// What a problem (RFC 9457) says for people.
fn detail(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Problem>(body).ok()?.detail
}

fn clipped_text(body: &[u8]) -> Option<String> {
    let clipped = body.get(..MESSAGE_BYTES_MAX).unwrap_or(body);
    let text = String::from_utf8_lossy(clipped).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// What to do about a connection that failed, by how far it came.
fn no_answer(error: &reqwest::Error) -> &'static str {
    let causes = std::iter::successors(std::error::Error::source(error), |&cause| cause.source());
    if let Some(advice) = causes.map(ToString::to_string).find_map(|cause| bad_certificate(&cause)) {
        advice
    } else if error.is_body() || error.is_decode() {
        "it broke off before the end of its answer; what it stores may be damaged, or the line is bad"
    } else {
        "it does not answer; check that it is running and that its address is right"
    }
}

/// What to do about a certificate that was refused; `None` when the cause is no such thing. The words are those of rustls: it
/// tells the reason, but reqwest has no type for it.
fn bad_certificate(cause: &str) -> Option<&'static str> {
    if !cause.contains("certificate") {
        None
    } else if cause.contains("CaUsedAsEndEntity") {
        Some(
            "its certificate says that it is an authority (CA:TRUE), and such a one may not be a server's own; whoever runs it \
             must make another with `basicConstraints=critical,CA:FALSE`, as docs/operations.md shows",
        )
    } else if cause.contains("not valid for name") {
        Some("its certificate is for another name or address; reach it by the one that the certificate has")
    } else if cause.contains("expired") {
        Some("its certificate has expired, or this computer's clock is wrong; tell whoever runs it")
    } else {
        Some(
            "its certificate is not trusted; for a server that made its own, give its authority with --ca-file",
        )
    }
}

fn explain(refusal: &Refusal) -> String {
    let advice = match refusal.status.as_u16() {
        401 if refusal.is_by_another() => {
            "something on the way to it wants a sign-in of its own, such as a proxy or the page of a hotel; this goes on by itself when the \
             server answers"
        }
        _ if refusal.is_by_another() => {
            "something on the way to it answered in its place, such as a proxy whose server is being started, or the page of a hotel; this \
             goes on by itself when the server answers"
        }
        401 => "you are not signed in there (any more), or the password or code is wrong",
        402 => "the account has no plan with that server",
        403 => "this account may not do that",
        404 => "there is no such thing there",
        409 => "it was changed by another device in the meantime",
        410 => "it has expired; begin again",
        413 => "it is larger than that server accepts",
        426 => "the account's storage is full; free some, or ask whoever runs the server for more",
        429 => "too many attempts; wait a little and try again",
        _ if refusal.is_disk_full() => "the server's disk is full; tell whoever runs it",
        500..=599 => "the server has a fault; try again later, and tell whoever runs it",
        _ => "the server refused",
    };
    let status = refusal.status.as_u16();
    match refusal.code.as_deref().or(refusal.message.as_deref()) {
        Some(detail) => format!("{advice} (status {status}: {detail})"),
        None => format!("{advice} (status {status})"),
    }
}

impl ApiFailure {
    /// The status of the server's refusal; `None` when there was no answer of its own, or an unusable one.
    pub fn status(&self) -> Option<StatusCode> {
        self.refusal().filter(|refusal| !refusal.is_by_another()).map(|refusal| refusal.status)
    }

    /// The stock code of a refusal (`darkslide_protocol::error::code`).
    pub fn code(&self) -> Option<&str> {
        self.refusal().and_then(|refusal| refusal.code.as_deref())
    }

    /// The refusal, if it was one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match &self.reason {
            Reason::Refused { refusal } => Some(refusal),
            _ => None,
        }
    }

    /// Whether the same call may succeed later without anybody doing anything: no answer, or another's; 408, 423, 429, 5xx (but not
    /// 501, which will never be there).
    pub fn is_transient(&self) -> bool {
        match &self.reason {
            Reason::Unreachable(error) => !error.is_builder(),
            Reason::Refused { refusal } => {
                refusal.is_by_another() || (is_transient_status(refusal.status) && !refusal.is_disk_full())
            }
            Reason::NotUnderstood(error) => error.is_eof(),
            Reason::Header(_) | Reason::TooLong | Reason::Address(_) => false,
        }
    }

    /// Whether no answer of the server came at all, whoever is to blame.
    pub fn is_unreachable(&self) -> bool {
        match &self.reason {
            Reason::Unreachable(error) => !error.is_builder(),
            Reason::Refused { refusal } => refusal.is_by_another(),
            _ => false,
        }
    }

    /// Whether the session has ended (401, in the server's own words): sign in again.
    pub fn is_signed_out(&self) -> bool {
        self.has_status(StatusCode::UNAUTHORIZED) && self.refusal().is_some_and(|refusal| refusal.is_own)
    }

    /// Whether it was the size of the request that something on the way to the server refused (413), such as a proxy. The server
    /// itself gives its refusals a code where they are about sizes.
    pub fn is_too_large_on_the_way(&self) -> bool {
        self.has_status(StatusCode::PAYLOAD_TOO_LARGE) && self.code().is_none()
    }

    /// Whether the server's own disk is full: waiting a moment does not help.
    pub fn is_disk_full(&self) -> bool {
        self.refusal().is_some_and(Refusal::is_disk_full)
    }

    /// Whether the account may store no more (402, 426).
    pub fn is_over_quota(&self) -> bool {
        self.has_status(StatusCode::PAYMENT_REQUIRED) || self.has_status(StatusCode::UPGRADE_REQUIRED)
    }

    /// Whether what was named is not there (404, 410).
    pub fn is_missing(&self) -> bool {
        self.has_status(StatusCode::NOT_FOUND) || self.has_status(StatusCode::GONE)
    }

    /// Whether another device changed it first (409).
    pub fn is_conflict(&self) -> bool {
        self.has_status(StatusCode::CONFLICT)
    }

    /// The files of a conditional call that are not as this client has seen them; nothing of it was done. Read the feed first,
    /// then decide again.
    pub fn conflicts(&self) -> &[VersionConflict] {
        let said = self.refusal().and_then(|refusal| refusal.conflicts.as_ref());
        said.map_or(&[], |said| &said.conflicts)
    }

    fn has_status(&self, status: StatusCode) -> bool {
        self.status() == Some(status)
    }
}

fn is_transient_status(status: StatusCode) -> bool {
    let waits = [StatusCode::REQUEST_TIMEOUT, StatusCode::LOCKED, StatusCode::TOO_MANY_REQUESTS];
    waits.contains(&status) || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkslide_protocol::{FileId, Version};

    fn refused(status: u16, body: &str) -> ApiFailure {
        let status = StatusCode::from_u16(status).unwrap();
        let headers = [(header::CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap())];
        let refusal = Refusal::read(status, &headers.into_iter().collect(), body.as_bytes(), None, false);
        ApiFailure {
            server: "photos.example".into(),
            attempt: "list the collections",
            reason: Reason::Refused { refusal },
        }
    }

    #[test]
    fn tells_what_is_worth_retrying() {
        for (status, transient) in [
            (400, false),
            (401, false),
            (404, false),
            (408, true),
            (423, true),
            (426, false),
            (429, true),
            (500, true),
        ]
        .into_iter()
        .chain([(501, false), (503, true)])
        {
            assert_eq!(refused(status, "{}").is_transient(), transient, "status {status}");
        }
    }

    /// Once, the page of a hotel ended the session of every agent that came by.
    #[test]
    fn only_the_server_itself_ends_a_session() {
        let said = |kind: Option<&str>, body: &str| {
            let kind = kind.map(|kind| (header::CONTENT_TYPE, kind.parse().unwrap()));
            let headers = kind.into_iter().collect();
            let refusal = Refusal::read(StatusCode::UNAUTHORIZED, &headers, body.as_bytes(), None, false);
            let reason = Reason::Refused { refusal };
            ApiFailure { server: "photos.example".into(), attempt: "list the collections", reason }
        };
        let (json, problem, html) = ("application/json", "application/problem+json", "text/html");
        for (kind, body, is_own) in [
            (Some(json), r#"{"error":"invalid token"}"#, true),
            (
                Some(problem),
                r#"{"type":"about:blank","title":"Unauthorized","status":401,"code":"UNAUTHORIZED"}"#,
                true,
            ),
            (Some(json), "{}", true),
            // A HEAD.
            (Some(json), "", true),
            (Some(html), "", false),
            (Some(html), "<html>Sign in to the hotel</html>", false),
            (Some(html), r#"{"error":"invalid token"}"#, false),
            (Some(json), r#"{"message":"Unauthorized"}"#, false),
            (Some(json), "[]", false),
            (Some(json), r#"{"error":"#, false),
            (None, "", false),
        ] {
            let failure = said(kind, body);
            let told = [failure.is_signed_out(), !failure.is_transient(), !failure.is_unreachable()];
            assert_eq!(told, [is_own; 3], "{kind:?} {body}");
        }
    }

    /// Once, an upload was begun anew, and a picture was taken for lost, upon what a proxy said whose server was just being started.
    #[test]
    fn only_the_server_itself_says_what_it_does_not_have() {
        let (json, page) = ("application/json", "text/plain; charset=utf-8");
        for (status, kind, body, lacks_time, is_missing, is_elsewhere) in [
            (404, json, "{}", true, true, false),
            (404, json, "", false, true, false),
            (404, page, "404 page not found", true, false, true),
            (410, "text/html", "<html>Gone</html>", true, false, true),
            // A server of others, or an earlier one of ours: nobody can tell.
            (404, page, "404 page not found", false, true, false),
            (200, "text/html", "<html>Welcome to the hotel</html>", true, false, true),
            (403, "text/html", "<html>Forbidden</html>", true, false, false),
            (413, "text/html", "<html>Too large</html>", true, false, false),
        ] {
            let headers = [(header::CONTENT_TYPE, kind.parse().unwrap())].into_iter().collect();
            let status_code = StatusCode::from_u16(status).unwrap();
            let refusal = Refusal::read(status_code, &headers, body.as_bytes(), None, lacks_time);
            let reason = Reason::Refused { refusal };
            let failure = ApiFailure { server: "photos.example".into(), attempt: "send a file", reason };
            let told = (failure.is_missing(), failure.is_transient(), failure.is_unreachable());
            assert_eq!(told, (is_missing, is_elsewhere, is_elsewhere), "{status} {body}");
            assert_eq!(failure.status().is_none(), is_elsewhere);
            assert_eq!(failure.to_string().contains("goes on by itself"), is_elsewhere, "{failure}");
        }
    }

    #[test]
    fn reads_every_shape_of_refusal() {
        assert_eq!(refused(409, r#"{"code":"FILE_IN_TRASH","message":"x"}"#).code(), Some("FILE_IN_TRASH"));
        assert_eq!(refused(404, "{}").code(), None);
        let conflict = r#"{"type":"about:blank","title":"Conflict","status":409,"code":"VERSION_CONFLICT","conflicts":[{"fileID":1,"version":2}]}"#;
        let conflict = refused(409, conflict);
        assert_eq!(conflict.code(), Some("VERSION_CONFLICT"));
        assert_eq!(conflict.conflicts(), [VersionConflict { file_id: FileId(1), version: Version(2) }]);
        assert_eq!(refused(409, "{}").conflicts(), []);
        let message = |body: &str| refused(400, body).refusal().unwrap().message.clone();
        assert_eq!(message(r#"{"error":"slow down"}"#).as_deref(), Some("slow down"));
        assert_eq!(message("BadDigest").as_deref(), Some("BadDigest"));
        assert_eq!(message(&"x".repeat(9000)).map(|text| text.len()), Some(MESSAGE_BYTES_MAX));
        assert_eq!(message("  "), None);
    }

    #[test]
    fn names_the_server_what_was_tried_and_what_to_do() {
        let text = refused(426, "{}").to_string();
        for part in ["photos.example", "list the collections", "storage is full", "426"] {
            assert!(text.contains(part), "{text:?} lacks {part:?}");
        }
    }
}
