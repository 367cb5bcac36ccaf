//! One wake: a POST to a push service (RFC 8030), and what its answer means.
//!
//! It follows no redirect, uses no proxy, reads no body and no more than the head of an answer, and gives up soon.

use super::address::{NotPublic, PublicOnly, may_be_public};
use super::message::{Keys, WAKE};
use super::schedule::Outcome;
use super::vapid::Vapid;
use crate::Shared;
use darkslide_protocol::device::PushEndpoint;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use url::Url;

/// How long connecting may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// How long a wake may take in all.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a push service keeps a wake for a device that it cannot reach, in seconds: a day. It asks for the feed by itself then.
const TTL: &str = "86400";

/// Not for a battery that is nearly empty, but neither for Wi-Fi only.
const URGENCY: &str = "normal";

/// A wake replaces an earlier one that was not delivered.
const TOPIC: &str = "darkslide";

/// Why no wake can be sent at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum SenderError {
    /// The machine has no usable certificates, for one.
    #[error("no client for push services can be made")]
    Client(#[from] reqwest::Error),
}

/// Sends wakes.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    http: Client,
    vapid: Arc<Vapid>,
    allow_private: bool,
}

impl Sender {
    pub(super) async fn new(server: &Shared) -> Result<Self, SenderError> {
        let allow_private = server.config.push_allow_private;
        // Building reads the system's certificates.
        let building = tokio::task::spawn_blocking(move || {
            let client = Client::builder()
                .user_agent(concat!("darkslide/", env!("CARGO_PKG_VERSION")))
                .redirect(Policy::none())
                .no_proxy()
                .https_only(!allow_private)
                .connect_timeout(CONNECT_PATIENCE)
                .timeout(PATIENCE);
            if allow_private { client } else { client.dns_resolver(PublicOnly) }.build()
        });
        let http = building.await.expect("building a client does not panic")?;
        Ok(Self { http, vapid: server.vapid.clone(), allow_private })
    }

    /// Wakes the device behind an endpoint.
    pub(super) async fn wake(&self, push: &PushEndpoint) -> Outcome {
        let (outcome, word) = self.post(push).await;
        metrics::counter!("darkslide_wakes_total", "outcome" => word).increment(1);
        tracing::debug!(outcome = word, "a device was to be woken");
        outcome
    }

    /// What came of it, and the metric's word for that.
    async fn post(&self, push: &PushEndpoint) -> (Outcome, &'static str) {
        let (Ok(url), Ok(keys)) = (Url::parse(&push.endpoint), Keys::of(push)) else {
            return (Outcome::Gone, "unusable");
        };
        if !self.allow_private && (url.scheme() != "https" || !may_be_public(&url)) {
            return (Outcome::Refused, "forbidden");
        }
        let authorization = self.vapid.authorization(&url, OffsetDateTime::now_utc().unix_timestamp());
        let request = self
            .http
            .post(url)
            .header("TTL", TTL)
            .header("Urgency", URGENCY)
            .header("Topic", TOPIC)
            .header(AUTHORIZATION, authorization);
        let request = match keys.map(|keys| keys.seal(WAKE)) {
            None => request.header(CONTENT_LENGTH, 0),
            Some(Ok(sealed)) => request
                .header(CONTENT_ENCODING, "aes128gcm")
                .header(CONTENT_TYPE, "application/octet-stream")
                .body(sealed),
            Some(Err(_)) => return (Outcome::Gone, "unusable"),
        };
        match request.send().await {
            Ok(response) => outcome_of(&response),
            Err(error) if is_forbidden(&error) => (Outcome::Refused, "forbidden"),
            // The URL is a secret of the device's.
            Err(error) => {
                tracing::debug!(error = ?error.without_url(), "a push service cannot be reached");
                (Outcome::Later(None), "unreachable")
            }
        }
    }
}

/// Whether a connection was not even tried.
fn is_forbidden(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<NotPublic>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn outcome_of(response: &Response) -> (Outcome, &'static str) {
    match response.status() {
        status if status.is_success() => (Outcome::Woken, "sent"),
        StatusCode::NOT_FOUND | StatusCode::GONE => (Outcome::Gone, "gone"),
        status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            (Outcome::Later(asked.and_then(|text| pause_of(text, OffsetDateTime::now_utc()))), "later")
        }
        status => {
            tracing::debug!(status = status.as_u16(), "a push service refused a wake");
            (Outcome::Refused, "refused")
        }
    }
}

/// How long a `Retry-After` asks to wait: seconds, or a date.
fn pause_of(text: &str, now: OffsetDateTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    Some(Duration::try_from(at - now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = datetime!(2026-11-29 08:00:00 UTC);
        let check = |text: &str, seconds: Option<u64>| {
            assert_eq!(pause_of(text, now), seconds.map(Duration::from_secs), "{text}");
        };
        check("120", Some(120));
        check("Sun, 29 Nov 2026 08:02:00 GMT", Some(120));
        check("Sun, 29 Nov 2026 07:02:00 GMT", Some(0));
        check("-1", None);
        check("soon", None);
    }
}
