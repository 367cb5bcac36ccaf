//! Sessions: a token of 32 random bytes that a signed-in device shows with every request.
//!
//! The database has only its SHA-256. Every request asks the database, so a deleted session is refused at once.

use crate::Server;
use crate::error::{ApiError, ApiResult};
use crate::routes::origin;
use crate::routes::request::{App, Caller};
use crate::store::{StoreError, news};
use axum::http::{HeaderMap, StatusCode};
use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// How long a session lives without being used: 365 days, in microseconds.
pub const IDLE_MICROS_MAX: i64 = 365 * darkslide_protocol::limits::DAY_MICROS;

/// How often the time of last use is written down, in microseconds: once a minute.
const TOUCH_MICROS: i64 = 60 * 1_000_000;

/// How much of a `User-Agent` is kept, in characters.
const USER_AGENT_CHARS_MAX: usize = 255;

/// A session token before it is handed out. Clients see it as URL-safe base64 with padding, 44 characters.
pub struct Token(Zeroizing<[u8; 32]>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// A new one from the system's randomness.
    pub fn generate() -> Self {
        Self(Zeroizing::new(crate::auth::random_bytes()))
    }

    /// The 32 raw bytes: what is sealed to an account's public key.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The text that clients send.
    pub fn text(&self) -> String {
        URL_SAFE.encode(self.0.as_slice())
    }
}

/// What the database keeps of a token: the SHA-256 of its text, in hex.
pub fn hash_of(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

/// Where a request came from, as a session remembers it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The address, in text.
    pub ip: String,
    /// Its `User-Agent`, cut to a sane length.
    pub user_agent: String,
}

impl Device {
    /// From a request's headers, to which the server has added the peer's address.
    pub fn of(headers: &HeaderMap) -> Self {
        let agent = headers.get("user-agent").and_then(|value| value.to_str().ok()).unwrap_or("");
        Self {
            ip: origin::address_of(headers).to_string(),
            user_agent: agent.chars().take(USER_AGENT_CHARS_MAX).collect(),
        }
    }
}

/// Whose token it is. 401 only when the token is truly not good: phones forget everything at a 401.
pub async fn authenticate(
    server: &Arc<Server>,
    token: &str,
    app: App,
    headers: &HeaderMap,
) -> ApiResult<Caller> {
    let token_hash = hash_of(token);
    let now = server.store.now();
    let session = server
        .store
        .session(&token_hash, app.as_str(), now - IDLE_MICROS_MAX)
        .await?
        .ok_or(ApiError::Gate(StatusCode::UNAUTHORIZED, "invalid token"))?;
    if session.last_used_at < now - TOUCH_MICROS {
        match server.store.touch_session(&token_hash, &Device::of(headers), now).await {
            // What only reads, or makes room, is done on a full disk too.
            Err(error) if error.is_disk_full() => tracing::warn!(%error, "the use of a session is not noted"),
            other => other?,
        }
    }
    news::is_by(&token_hash);
    Ok(Caller { account: session.account, app, token_hash })
}

/// Whether a caller who was let in before would still be. Does not count as a use of the session.
pub async fn is_good(server: &Server, caller: &Caller) -> Result<bool, StoreError> {
    let used_since = server.store.now() - IDLE_MICROS_MAX;
    Ok(server.store.session(&caller.token_hash, caller.app.as_str(), used_since).await?.is_some())
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).expect("half a byte is one digit");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_padded_url_safe_text_and_never_debugged() {
        let token = Token([0xfb; 32].into());
        assert_eq!(token.text(), "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s=");
        assert_eq!(format!("{token:?}"), "Token");
        assert_eq!(hash_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
