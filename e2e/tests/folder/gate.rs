//! A server in between that does something odd with calls of one path: what lines, proxies and other clients do to them now and then.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{Response, StatusCode};
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What is done with calls of the path.
pub(crate) enum Oddity {
    /// Something else happens just before one of them, counted from 0.
    Before(u64, Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>),
    /// The server answers so many of them, and nobody hears it.
    LostAnswers(u64),
    /// The server gets each of them twice; the second answer counts.
    Twice,
    /// The answer to the first comes after that to the second.
    Swapped,
    /// Each answer is kept back until they are [released](Gate::release).
    Held,
    /// Once the server has answered so many of them, it is away, for every path.
    AwayAfter(u64),
    /// From this call on, counted from 0, the server is away for this path.
    AwayFrom(u64),
    /// The server is an older one, that does not know this member of what it is asked.
    Without(&'static str),
}

/// Ends with its owner.
pub(crate) struct Gate {
    address: SocketAddr,
    calls: Arc<AtomicU64>,
    first: Arc<Notify>,
    released: CancellationToken,
    _task: JoinSet<()>,
}

struct Shared {
    base: String,
    path: String,
    oddity: Oddity,
    calls: Arc<AtomicU64>,
    answered: AtomicU64,
    released: CancellationToken,
    /// The server has answered the first call.
    first: Arc<Notify>,
    second: Notify,
    http: reqwest::Client,
}

impl Gate {
    /// In front of the server at `base`, for calls of a path, or of all below one that ends with a slash.
    pub(crate) async fn start(base: &str, path: impl Into<String>, oddity: Oddity) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, calls) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        let http = http.build().unwrap();
        let (counted, first, second) = (Arc::clone(&calls), Arc::<Notify>::default(), Notify::new());
        let (base, told, released) = (base.to_owned(), Arc::clone(&first), CancellationToken::new());
        let shared = Arc::new(Shared {
            base,
            path: path.into(),
            oddity,
            calls: counted,
            answered: AtomicU64::new(0),
            released: released.clone(),
            first: told,
            second,
            http,
        });
        let app = axum::Router::new().fallback(move |request: Request| pass_on(Arc::clone(&shared), request));
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, calls, first, released, _task: task }
    }

    /// Where clients find it.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until the server has answered the first of [swapped](Oddity::Swapped) or [held](Oddity::Held) calls, which nobody has heard yet.
    pub(crate) async fn first_was_answered(&self) {
        self.first.notified().await;
    }

    /// Lets [held](Oddity::Held) answers go.
    pub(crate) fn release(&self) {
        self.released.cancel();
    }

    /// How many calls of the path came.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

async fn pass_on(shared: Arc<Shared>, request: Request) -> Response<Body> {
    let (asked, path) = (request.uri().path(), &*shared.path);
    let is_odd = asked == path || (path.ends_with('/') && asked.starts_with(path));
    let is_away = |most: &u64| shared.answered.load(Ordering::SeqCst) >= *most;
    if matches!(&shared.oddity, Oddity::AwayAfter(most) if is_away(most)) {
        return Response::builder().status(StatusCode::BAD_GATEWAY).body(Body::empty()).unwrap();
    }
    let (mut head, body) = request.into_parts();
    let mut body = to_bytes(body, usize::MAX).await.unwrap();
    if let (true, Oddity::Without(member)) = (is_odd, &shared.oddity) {
        let mut asked: serde_json::Value = serde_json::from_slice(&body).unwrap();
        asked.as_object_mut().unwrap().remove(*member);
        body = asked.to_string().into();
        head.headers.remove(CONTENT_LENGTH);
    }
    let forward = async || {
        let url = format!("{}{}", shared.base, head.uri);
        let request = shared.http.request(head.method.clone(), url).headers(head.headers.clone());
        request.body(body.clone()).send().await.unwrap()
    };
    if !is_odd {
        return answer(forward().await);
    }
    let number = shared.calls.fetch_add(1, Ordering::SeqCst);
    match &shared.oddity {
        Oddity::Before(turn, happens) if number == *turn => {
            happens().await;
            answer(forward().await)
        }
        Oddity::LostAnswers(lost) if number < *lost => {
            forward().await.bytes().await.unwrap();
            Response::builder().status(StatusCode::BAD_GATEWAY).body(Body::empty()).unwrap()
        }
        Oddity::AwayFrom(turn) if number >= *turn => {
            Response::builder().status(StatusCode::BAD_GATEWAY).body(Body::empty()).unwrap()
        }
        Oddity::Twice => {
            forward().await.bytes().await.unwrap();
            answer(forward().await)
        }
        Oddity::Held => {
            let from = forward().await;
            let mut answer = Response::builder().status(from.status());
            answer.headers_mut().unwrap().extend(from.headers().clone());
            let answer = answer.body(from.bytes().await.unwrap().into()).unwrap();
            shared.first.notify_one();
            shared.released.cancelled().await;
            answer
        }
        Oddity::AwayAfter(_) => {
            let answer = answer(forward().await);
            shared.answered.fetch_add(1, Ordering::SeqCst);
            answer
        }
        Oddity::Swapped if number == 0 => {
            let first = forward().await;
            shared.first.notify_one();
            shared.second.notified().await;
            answer(first)
        }
        Oddity::Swapped if number == 1 => {
            let second = forward().await;
            shared.second.notify_one();
            answer(second)
        }
        _ => answer(forward().await),
    }
}

fn answer(from: reqwest::Response) -> Response<Body> {
    let mut answer = Response::builder().status(from.status());
    answer.headers_mut().unwrap().extend(from.headers().clone());
    answer.body(Body::from_stream(from.bytes_stream())).unwrap()
}
