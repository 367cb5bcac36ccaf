//! `GET /v1/changes`: the ordered feed of the whole account; `GET /v1/changes/live`: the news that there is more of it.
//!
//! A stream of news holds nothing but a place among those who wait: no database connection, no lock. It asks at every heartbeat
//! whether its session is still good, and ends when that is over or the server stops.

use super::super::parameters::Parameters;
use super::super::request::{App, Caller, StorageCaller};
use crate::Shared;
use crate::auth::session::is_good;
use crate::error::{ApiError, ApiResult};
use crate::store::StoreError;
use crate::store::watch::{Watch, WatchRefused};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use darkslide_protocol::change::{CHANGES_DEFAULT, CHANGES_MAX, Changes, Newest, NewestEvent};
use darkslide_protocol::{Problem, Version};
use futures_util::stream;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The longest that a stream says nothing: shorter than what proxies and phone networks take for the end.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// Asks proxies not to collect events before they pass them on.
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(changes)).routes(routes!(live))
}

/// What changed in the whole account, in order: collections, files in them, and trash.
///
/// Read from 0 to the first page without `hasMore`, it makes a complete mirror of the account; then it goes on from `next`. A page that
/// becomes larger than some 8 MB ends there, with fewer changes than were asked for; it has one at least.
#[utoipa::path(
    get,
    path = "/v1/changes",
    params(
        ("after" = Option<Version>, Query, description = "The cursor: `next` of the page before. Absent: from the beginning."),
        // No `int64`: it may be larger than that.
        ("limit" = Option<i64>, Query, minimum = 1, format = "count", description = "The most changes in the page: 2500 when absent; more than 5000 are 5000."),
    ),
    responses(
        (status = 200, body = Changes),
        (status = 400, body = Problem, description = "`after` or `limit` is not a number"),
        (status = 503, body = Problem, description = "The database is away"),
    ),
    security(("session" = []))
)]
async fn changes(
    State(server): State<Shared>,
    caller: StorageCaller,
    parameters: Parameters,
) -> ApiResult<Json<Changes>> {
    let after = match parameters.get("after") {
        None => Version(0),
        Some(_) => parameters.required("after")?,
    };
    let limit = limit_of(&parameters)?;
    Ok(Json(server.store.changes(caller.account, after, limit).await?))
}

fn limit_of(parameters: &Parameters) -> ApiResult<u16> {
    if parameters.get("limit").is_none() {
        return Ok(CHANGES_DEFAULT);
    }
    let asked = parameters.number("limit").ok_or(ApiError::BAD_REQUEST)?;
    let limit = asked.min(CHANGES_MAX.into());
    u16::try_from(limit).ok().filter(|limit| *limit > 0).ok_or(ApiError::BAD_REQUEST)
}

/// The newest version of the account as server-sent events: at once, and after every change.
///
/// Each event's data is a `Newest`. Several changes may come as one event. A comment comes every 20 seconds, or more often. The
/// stream ends when the session does and when the server stops.
#[utoipa::path(
    get,
    path = "/v1/changes/live",
    responses(
        (status = 200, body = NewestEvent, content_type = "text/event-stream"),
        (status = 429, body = Problem, description = "The account has 16 streams already"),
        (status = 503, body = Problem, description = "The database is away, or the server is stopping"),
    ),
    security(("session" = []))
)]
async fn live(State(server): State<Shared>, caller: Caller) -> ApiResult<impl IntoResponse> {
    if caller.app == App::Auth {
        return Err(ApiError::FORBIDDEN);
    }
    // It waits before it looks, so that no change falls between.
    let watch = server.store.watch(caller.account).map_err(refused)?;
    let seen = server.store.version_of(caller.account).await?;
    // A third of the silence that this server itself puts up with, where that is less.
    let heartbeat = HEARTBEAT.min(server.config.limits.idle_timeout / 3);
    let news = News { next_beat: Instant::now() + heartbeat, server, caller, watch, seen, heartbeat };
    let first = stream::once(async move { Ok(newest(seen)) });
    let rest = stream::unfold(news, |mut news| async move {
        let event = news.next().await?;
        Some((Ok::<_, Infallible>(event), news))
    });
    Ok(([UNBUFFERED], Sse::new(stream::StreamExt::chain(first, rest))))
}

fn refused(refused: WatchRefused) -> ApiError {
    match refused {
        WatchRefused::TooMany => {
            ApiError::Gate(StatusCode::TOO_MANY_REQUESTS, "too many streams of this account are open")
        }
        WatchRefused::Closed => ApiError::Status(StatusCode::SERVICE_UNAVAILABLE),
    }
}

fn newest(version: Version) -> Event {
    Event::default().json_data(Newest { version }).expect("a number is JSON on one line")
}

/// One stream of news.
struct News {
    server: Shared,
    caller: Caller,
    watch: Watch,
    seen: Version,
    heartbeat: Duration,
    next_beat: Instant,
}

impl News {
    /// The next event; `None` at the stream's end. Nothing is told before it is sure that the session has not ended.
    async fn next(&mut self) -> Option<Event> {
        let version = tokio::select! {
            biased;
            () = sleep_until(self.next_beat) => self.look().await?,
            told = self.watch.later_than(self.seen) => {
                told?;
                self.look().await?
            }
        };
        if version <= self.seen {
            return Some(Event::default().comment("still here"));
        }
        self.seen = version;
        Some(newest(version))
    }

    /// Asks the database whether the session is good, and for the account's version, in case news of it was lost.
    async fn look(&mut self) -> Option<Version> {
        self.next_beat = Instant::now() + self.heartbeat;
        match self.look_once().await {
            Ok(version) => version,
            Err(error) => {
                tracing::warn!(error = %error, "a stream of news ends: the database cannot be asked");
                None
            }
        }
    }

    async fn look_once(&self) -> Result<Option<Version>, StoreError> {
        if is_good(&self.server, &self.caller).await? {
            self.server.store.version_of(self.caller.account).await.map(Some)
        } else {
            Ok(None)
        }
    }
}
