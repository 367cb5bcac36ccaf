//! What handlers take from a request: the caller, the app, the body.
//!
//! Bodies are parsed by route and never by header, for browsers send JSON as `text/plain`.

use crate::Server;
use crate::error::{ApiError, ApiResult};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, StatusCode, request::Parts};
use axum::response::IntoResponse;
use darkslide_protocol::AccountId;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::sync::Arc;

/// A JSON body, whatever its `Content-Type`. An empty body is `{}`. It may take minutes to come, so a caller who was let in before it is
/// asked for the session again: one that has ended meanwhile is 401.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Server>> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Arc<Server>) -> ApiResult<Self> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| ApiError::Status(status_of(rejection)))?;
        state.store.still_signed_in().await?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(text).map(Self).map_err(|_| ApiError::BAD_REQUEST)
    }
}

/// The status of a body that could not be read: too large, too slow, or broken off.
fn status_of(rejection: BytesRejection) -> StatusCode {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&rejection);
    let mut stalled = false;
    while let Some(error) = cause {
        stalled |= error.is::<tower_http::timeout::TimeoutError>();
        cause = error.source();
    }
    if stalled { StatusCode::REQUEST_TIMEOUT } else { rejection.into_response().status() }
}

/// Which of the apps of one account is calling: tokens and codes of one are no good to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// Everything that is not one of the others.
    Photos,
    /// The authenticator.
    Auth,
    /// The document locker.
    Locker,
}

impl App {
    /// From `X-Client-Package`.
    pub fn of(headers: &HeaderMap) -> Self {
        let package = headers.get("x-client-package").and_then(|value| value.to_str().ok()).unwrap_or("");
        if package.starts_with("io.ente.auth") {
            Self::Auth
        } else if package.starts_with("io.ente.locker") {
            Self::Locker
        } else {
            Self::Photos
        }
    }

    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Photos => "photos",
            Self::Auth => "auth",
            Self::Locker => "locker",
        }
    }
}

impl<S: Sync> FromRequestParts<S> for App {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(&parts.headers))
    }
}

/// A signed-in caller.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whose session it is.
    pub account: AccountId,
    /// Which app it belongs to.
    pub app: App,
    /// The session's row: the SHA-256 of its token, in hex.
    pub token_hash: String,
}

impl FromRequestParts<Arc<Server>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> ApiResult<Self> {
        let token = token_of(parts).ok_or(ApiError::Gate(StatusCode::UNAUTHORIZED, "missing token"))?;
        crate::auth::session::authenticate(server, &token, App::of(&parts.headers), &parts.headers).await
    }
}

/// A signed-in caller on a route that stores pictures: the authenticator's tokens are refused.
#[derive(Clone, Debug)]
pub struct StorageCaller {
    /// Whose session it is.
    pub account: AccountId,
}

impl FromRequestParts<Arc<Server>> for StorageCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> ApiResult<Self> {
        let caller = Caller::from_request_parts(parts, server).await?;
        if caller.app == App::Auth {
            return Err(ApiError::FORBIDDEN);
        }
        Ok(Self { account: caller.account })
    }
}

/// The session token: `X-Auth-Token`, or else `?token=`, which browsers use for downloads. The header wins.
pub(crate) fn token_of(parts: &Parts) -> Option<String> {
    if let Some(value) = parts.headers.get("x-auth-token") {
        return value.to_str().ok().map(str::to_owned);
    }
    let query = parts.uri.query()?;
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "token")
        .map(|(_, value)| value.into_owned())
}
