//! Requests as one kind of client sends them, and the rules that every answer keeps whatever it is about.
//!
//! A browser asks before it calls: every call with an origin is preceded by the preflight that the browser would
//! make, and its answer must be readable across origins. Redirects are never followed here: clients do that.

use crate::fields::Fields;
use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;
use uuid::Uuid;

/// What tells one kind of client from another on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// `X-Client-Package`.
    pub package: Option<&'static str>,
    /// `X-Client-Version`.
    pub version: Option<&'static str>,
    /// `User-Agent`.
    pub user_agent: &'static str,
    /// The origin of the page, for clients that are browsers.
    pub origin: Option<&'static str>,
    /// `Content-Type` of JSON bodies.
    pub json_type: Option<&'static str>,
    /// How the request ids begin, for clients that send them.
    pub request_ids: Option<&'static str>,
}

/// One request, complete.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// Absolute.
    pub url: String,
    /// All headers but those that the transport adds.
    pub headers: Vec<(&'static str, String)>,
    /// The body; `None` sends none at all.
    pub body: Option<Bytes>,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The request in short, for messages.
    pub what: String,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// One client's connection to one server.
#[derive(Debug)]
pub struct Http {
    client: Client,
    /// The server's URL without a slash at its end.
    pub base: String,
    /// Who is speaking.
    pub manners: Manners,
    /// The session token in its text form.
    pub token: Option<String>,
    preflights: Mutex<BTreeSet<String>>,
}

impl Http {
    /// A client that has spoken to nobody yet.
    pub fn new(base: &str, manners: Manners) -> Self {
        let client = new_client(manners);
        Self { client, base: base.to_owned(), manners, token: None, preflights: Mutex::default() }
    }

    /// Forgets connections that are open: the app was started again.
    pub fn reconnect(&mut self) {
        self.client = new_client(self.manners);
    }

    /// An API call with the session token, if there is one. `path` begins with a slash and may have a query.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.try_call(method, path, body).await.unwrap()
    }

    /// The same, where the server may die meanwhile.
    pub async fn try_call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let request = self.api_request(method, path, body);
        if self.manners.origin.is_some() {
            self.preflight(&request).await?;
        }
        let sent_id = request.headers.iter().find(|(name, _)| *name == "x-request-id").cloned();
        let is_blob_route = path.starts_with("/files/download/") || path.starts_with("/files/preview/");
        let is_get = request.method == Method::GET;
        let answer = self.send(request).await?;
        check_api_answer(&answer, is_get && !is_blob_route);
        if let Some((_, id)) = sent_id {
            assert!(!id.is_empty() && answer.header("x-request-id").is_some(), "{answer:?}");
        }
        Ok(answer)
    }

    /// The request that [`call`](Self::call) sends.
    pub fn api_request(&self, method: Method, path: &str, body: Option<&Value>) -> Outgoing {
        let mut headers = self.usual_headers();
        if let Some(token) = &self.token {
            headers.push(("x-auth-token", token.clone()));
        }
        if let (Some(_), Some(kind)) = (body, self.manners.json_type) {
            headers.push(("content-type", kind.to_owned()));
        }
        if let Some(prefix) = self.manners.request_ids {
            headers.push(("x-request-id", format!("{prefix}{}", Uuid::new_v4())));
        }
        let body = body.map(|value| Bytes::from(serde_json::to_vec(value).unwrap()));
        Outgoing { method, url: format!("{}{path}", self.base), headers, body }
    }

    /// The headers that go with every request of this client, blobs included.
    pub fn usual_headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        let mut add = |name, value: Option<&'static str>| {
            if let Some(value) = value {
                headers.push((name, value.to_owned()));
            }
        };
        add("x-client-package", self.manners.package);
        add("x-client-version", self.manners.version);
        add("origin", self.manners.origin);
        headers
    }

    /// A request to a URL that the server gave out, with nothing added to it.
    pub async fn send(&self, request: Outgoing) -> reqwest::Result<Answer> {
        let what = format!("{} {}", request.method, request.url);
        let mut builder = self.client.request(request.method, &request.url);
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let response = builder.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let answer = Answer { what, status, headers, body: response.bytes().await? };
        self.check_readable(&answer);
        Ok(answer)
    }

    /// Asks as a browser does before a request that is not simple; asked once for each kind of request.
    pub async fn preflight(&self, request: &Outgoing) -> reqwest::Result<()> {
        let path = request.url.split('?').next().unwrap_or_default();
        let wanted = asked_headers(&request.headers);
        let question = format!("{} {path} {wanted}", request.method);
        if !self.preflights.lock().unwrap().insert(question) {
            return Ok(());
        }
        let headers = vec![
            ("origin", self.manners.origin.unwrap().to_owned()),
            ("access-control-request-method", request.method.to_string()),
            ("access-control-request-headers", wanted.clone()),
        ];
        let question = Outgoing { method: Method::OPTIONS, url: request.url.clone(), headers, body: None };
        let answer = self.send(question).await?;
        check_preflight(&answer, &request.method, &wanted);
        Ok(())
    }

    /// What a page may read of an answer from another origin.
    fn check_readable(&self, answer: &Answer) {
        let Some(origin) = self.manners.origin else { return };
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"), "{answer:?}");
    }
}

impl Answer {
    /// The value of a header, if it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Whether a page on another origin may read that header.
    pub fn exposes(&self, name: &str) -> bool {
        let exposed = self.header("access-control-expose-headers").unwrap_or_default();
        exposed.split(',').any(|candidate| candidate.trim().eq_ignore_ascii_case(name))
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts 200 and gives the body.
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        if self.body.is_empty() { Value::Object(serde_json::Map::new()) } else { self.json() }
    }

    /// Asserts any 2xx: all that clients ask of an upload.
    pub fn accepted(&self) {
        assert!((200..300).contains(&self.status), "{self:?}");
    }

    /// Asserts a refusal with this status. The body's shape was checked when it arrived.
    pub fn refused(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
    }

    /// Asserts a refusal with this status and this code for clients to act on.
    pub fn refused_with(&self, status: u16, code: &str) {
        self.refused(status);
        let body = self.json();
        let fields = Fields::of(&self.what, &body);
        assert_eq!(fields.text("code"), code, "{self:?}");
        fields.text("message");
    }
}

/// JSON objects everywhere, errors included; never cached.
fn check_api_answer(answer: &Answer, must_not_be_stored: bool) {
    assert!(answer.header("x-request-id").is_some(), "no request id: {answer:?}");
    if !answer.body.is_empty() {
        let kind = answer.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/json"), "not JSON but {kind}: {answer:?}");
        Fields::of(&answer.what, &answer.json());
    }
    assert!(answer.status < 400 || !answer.body.is_empty(), "phones index into errors: {answer:?}");
    if must_not_be_stored && answer.status < 300 {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    }
}

fn new_client(manners: Manners) -> Client {
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(manners.user_agent)
        .timeout(Duration::from_mins(2))
        .build()
        .unwrap()
}

/// The value of `Access-Control-Request-Headers` for a request: sorted, lower case, simple ones left out.
fn asked_headers(headers: &[(&'static str, String)]) -> String {
    let simple = |name: &str, value: &str| match name {
        "origin" => true,
        "content-type" => value.starts_with("text/plain"),
        _ => false,
    };
    let names: BTreeSet<&str> =
        headers.iter().filter(|(name, value)| !simple(name, value)).map(|(name, _)| *name).collect();
    names.into_iter().collect::<Vec<_>>().join(",")
}

/// 200 and not 204 (Safari), empty, and everything allowed that was asked for.
fn check_preflight(answer: &Answer, method: &Method, wanted: &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.is_empty(), "{answer:?}");
    assert_eq!(answer.header("access-control-max-age"), Some("1728000"), "{answer:?}");
    let allows = |header: &str, wanted: &str| {
        let allowed = answer.header(header).unwrap_or_default();
        allowed.split(',').any(|candidate| candidate.trim().eq_ignore_ascii_case(wanted))
    };
    assert!(allows("access-control-allow-methods", method.as_str()), "{method}: {answer:?}");
    for name in wanted.split(',').filter(|name| !name.is_empty()) {
        assert!(allows("access-control-allow-headers", name), "{name} is not allowed: {answer:?}");
    }
}

/// A query's value in form encoding, as browsers and phones write it: `+` is a space, so a plus sign is `%2B`.
pub fn form(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect()
}
