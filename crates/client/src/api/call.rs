//! How one call is made: the request with its headers, the answer within bounds, the refusal explained, and the
//! repetition of calls that may be repeated.

use super::failure::REFUSAL_BYTES_MAX;
use super::told_time::ToldTime;
use super::{Api, ApiFailure, CLIENT_PACKAGE, Reason, Refusal};
use backon::{ExponentialBuilder, Retryable};
use http::{Method, StatusCode, header};
use reqwest::{RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::{Duration, Instant};

/// The largest JSON answer that is read, in bytes. A page of the feed is a few MiB; the list of collections is not
/// paged, and 100,000 of them stay below this.
const ANSWER_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Bytes a second below which a connection is no use: half of what a modem of 1998 sent, and 2 % of the slowest
/// broadband uplink.
pub(super) const SLOWEST_RATE: u64 = 2048;

/// The longest wait that a server may ask for before a repetition.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);

/// One call: what it is for people, its method and its path.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    /// “list the collections”.
    pub(super) attempt: &'static str,
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: &'a [(&'a str, &'a str)],
}

impl<'a> Call<'a> {
    pub(super) fn get(attempt: &'static str, path: &'a str) -> Self {
        Self { attempt, method: &Method::GET, path, query: &[] }
    }

    pub(super) fn post(attempt: &'static str, path: &'a str) -> Self {
        Self { attempt, method: &Method::POST, path, query: &[] }
    }

    pub(super) fn put(attempt: &'static str, path: &'a str) -> Self {
        Self { attempt, method: &Method::PUT, path, query: &[] }
    }

    pub(super) fn delete(attempt: &'static str, path: &'a str) -> Self {
        Self { attempt, method: &Method::DELETE, path, query: &[] }
    }

    pub(super) fn query(self, query: &'a [(&'a str, &'a str)]) -> Self {
        Self { query, ..self }
    }
}

/// No body.
pub(super) const NOTHING: Option<&()> = None;

impl Api {
    /// A call whose repetition does no harm: repeated after transient failures.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, ApiFailure> {
        let answer = self.repeat(|| self.body_of(call, body)).await?;
        self.parse(call.attempt, &answer)
    }

    /// A call that is made once: what repeats it is above.
    pub(super) async fn ask_once<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, ApiFailure> {
        let answer = self.body_of(call, body).await?;
        self.parse(call.attempt, &answer)
    }

    /// As [`ask`](Self::ask), for calls whose answer says nothing beyond having succeeded.
    pub(super) async fn tell(
        &self,
        call: Call<'_>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<(), ApiFailure> {
        self.repeat(|| self.body_of(call, body)).await.map(drop)
    }

    /// As [`ask_once`](Self::ask_once), for calls whose answer says nothing beyond having succeeded.
    pub(super) async fn tell_once(
        &self,
        call: Call<'_>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<(), ApiFailure> {
        self.body_of(call, body).await.map(drop)
    }

    /// As [`ask`](Self::ask), for calls over which the server may take as long as it needs.
    pub(super) async fn ask_patiently<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ApiFailure> {
        let attempt = || async {
            let url = self.server().at(call.path);
            let request = self.authenticated(self.0.uploads.request(call.method.clone(), url)).json(body);
            let response = self.send(call.attempt, request).await?;
            self.read_all(call.attempt, response).await
        };
        let answer = self.repeat(attempt).await?;
        self.parse(call.attempt, &answer)
    }

    /// Repeats `attempt` after transient failures, as patiently as the limits say.
    pub(super) async fn repeat<T, F, Fut>(&self, attempt: F) -> Result<T, ApiFailure>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, ApiFailure>>,
    {
        attempt
            .retry(self.patience())
            .when(ApiFailure::is_transient)
            .adjust(|failure, delay| delay.map(|delay| delay.max(asked_to_wait(failure))))
            .notify(|failure, delay| tracing::debug!(%failure, ?delay, "trying again"))
            .await
    }

    /// When to try again, and when no more.
    pub(crate) fn patience(&self) -> ExponentialBuilder {
        let limits = &self.0.limits;
        ExponentialBuilder::default()
            .with_min_delay(limits.first_delay)
            .with_max_delay(limits.longest_delay)
            .with_max_times(limits.retries)
            .with_jitter()
    }

    async fn body_of(
        &self,
        call: Call<'_>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Vec<u8>, ApiFailure> {
        let mut url = self.server().at(call.path);
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
        let mut request = self.authenticated(self.0.http.request(call.method.clone(), url));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = self.send(call.attempt, request).await?;
        self.read_all(call.attempt, response).await
    }

    /// Adds who is calling. Never used for the URLs of objects.
    pub(super) fn authenticated(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.0.token {
            Some(token) => request.header("X-Auth-Token", token.clone()),
            None => request,
        }
    }

    /// Sends, and turns every status but 2xx and 3xx into a refusal.
    pub(super) async fn send(
        &self,
        attempt: &'static str,
        request: RequestBuilder,
    ) -> Result<Response, ApiFailure> {
        let request = request
            .header("X-Client-Package", CLIENT_PACKAGE)
            .header("X-Client-Version", env!("CARGO_PKG_VERSION"));
        let asked = Instant::now();
        let response = request.send().await.map_err(|error| self.unreachable(attempt, error))?;
        let told = ToldTime::of(&response, asked);
        if let Some(told) = told {
            self.remember_time(told);
        }
        // Whoever has told its time once does so with every answer.
        let lacks_time = self.tells_its_time() && told.is_none_or(|told| !told.is_own());
        let status = response.status();
        let is_answer = status.is_success() && !(lacks_time && is_page(&response));
        if is_answer || status.is_redirection() {
            return Ok(response);
        }
        Err(self.refused(attempt, status, response, lacks_time).await)
    }

    async fn refused(
        &self,
        attempt: &'static str,
        status: StatusCode,
        mut response: Response,
        lacks_time: bool,
    ) -> ApiFailure {
        let (retry_after, headers) = (retry_after(&response), response.headers().clone());
        let mut body = Vec::new();
        // A refusal whose text is lost is still that refusal.
        while body.len() < REFUSAL_BYTES_MAX {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) | Err(_) => break,
            }
        }
        let mut refusal = Refusal::read(status, &headers, &body, retry_after, lacks_time);
        if refusal.may_be_rewritten() && self.was_said_by_server().await {
            refusal.lacks_time = false;
        }
        self.failure(attempt, Reason::Refused { refusal })
    }

    pub(super) async fn read_all(
        &self,
        attempt: &'static str,
        mut response: Response,
    ) -> Result<Vec<u8>, ApiFailure> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(attempt, error))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(self.failure(attempt, Reason::TooLong));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    pub(super) fn parse<T: DeserializeOwned>(
        &self,
        attempt: &'static str,
        body: &[u8],
    ) -> Result<T, ApiFailure> {
        serde_json::from_slice(body).map_err(|error| self.failure(attempt, Reason::NotUnderstood(error)))
    }

    /// The error without its URL, which may be signed.
    pub(super) fn unreachable(&self, attempt: &'static str, error: reqwest::Error) -> ApiFailure {
        self.failure(attempt, Reason::Unreachable(error.without_url()))
    }

    pub(super) fn failure(&self, attempt: &'static str, reason: Reason) -> ApiFailure {
        ApiFailure { server: self.server().host(), attempt, reason }
    }
}

fn asked_to_wait(failure: &ApiFailure) -> Duration {
    let asked = failure.refusal().and_then(|refusal| refusal.retry_after).unwrap_or_default();
    asked.min(RETRY_AFTER_MAX)
}

/// Whether an answer is for people, as none of the server's is.
fn is_page(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/html"))
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
