//! One-time codes: six digits, sent to an address, good for an hour, once.
//!
//! Kept as an HMAC, since six digits would be guessed from a plain hash. At most 10 are live for an address; after 20
//! wrong tries none is accepted until they expire.

use crate::Server;
use crate::auth::signer::Signer;
use crate::error::{ApiError, ApiResult};
use crate::routes::request::App;
use crate::store::codes::CodeOutcome;
use axum::http::StatusCode;
use std::fmt;
use zeroize::Zeroizing;

/// How long a code is good, in microseconds.
pub const LIFETIME_MICROS: i64 = 60 * 60 * 1_000_000;

/// How many codes an address may have at a time.
pub const LIVE_MAX: i64 = 10;

/// Wrong tries after which no code of the address is accepted any more.
pub const WRONG_MAX: i64 = 20;

/// Codes are drawn from `0..COUNT`.
const COUNT: u32 = 1_000_000;

/// The longest address that a mail can go to (RFC 5321, and some).
const EMAIL_BYTES_MAX: usize = 254;

/// A mail address as accounts are found by: trimmed and lower-cased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// `None` when it is none: no `@` between two parts, white space, control characters, or too long.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_lowercase();
        let (name, host) = text.rsplit_once('@')?;
        let fits = !name.is_empty()
            && !host.is_empty()
            && text.len() <= EMAIL_BYTES_MAX
            && !text.chars().any(|char| char.is_whitespace() || char.is_control());
        fits.then_some(Self(text))
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Six digits.
pub struct Code(Zeroizing<String>);

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code")
    }
}

impl Code {
    /// A new one from the system's randomness, each of the million as likely as the others.
    pub fn generate() -> Self {
        let limit = u32::MAX - u32::MAX % COUNT;
        let number = std::iter::repeat_with(|| u32::from_be_bytes(crate::auth::random_bytes()))
            .find(|number| *number < limit)
            .expect("the iterator does not end");
        Self(Zeroizing::new(format!("{:06}", number % COUNT)))
    }

    /// The digits.
    pub fn digits(&self) -> &str {
        &self.0
    }

    /// What the database keeps of it.
    pub fn hash(&self, signer: &Signer, email: &Email, app: App) -> String {
        hash(signer, email, app, &self.0)
    }
}

/// What the database keeps of a code: an HMAC with the address and the app that it is good for.
fn hash(signer: &Signer, email: &Email, app: App, digits: &str) -> String {
    signer.sign("one-time code", &[email.as_str(), app.as_str(), digits])
}

/// Makes a code for an address and sends it. 429 when it has too many.
pub async fn send(server: &Server, email: &Email, app: App) -> ApiResult<()> {
    let code = Code::generate();
    let hash = code.hash(&server.signer, email, app);
    if !server.store.insert_code(email.as_str(), app.as_str(), &hash).await? {
        return Err(too_many());
    }
    server.mail.send_code(email.as_str(), code.digits()).await.map_err(|error| {
        tracing::error!(error = %error, cause = ?std::error::Error::source(&error), "a one-time code was not sent");
        ApiError::Status(StatusCode::SERVICE_UNAVAILABLE)
    })
}

/// Uses a code up. 401 when it is wrong, 410 when the address has none, 429 after too many wrong ones.
pub async fn redeem(server: &Server, email: &Email, app: App, digits: &str) -> ApiResult<()> {
    let hash = hash(&server.signer, email, app, digits.trim());
    match server.store.redeem_code(email.as_str(), app.as_str(), &hash).await? {
        CodeOutcome::Accepted => Ok(()),
        CodeOutcome::Wrong => Err(ApiError::Status(StatusCode::UNAUTHORIZED)),
        CodeOutcome::NoneLive => Err(ApiError::Status(StatusCode::GONE)),
        CodeOutcome::TooManyWrong => Err(too_many()),
    }
}

fn too_many() -> ApiError {
    ApiError::Gate(StatusCode::TOO_MANY_REQUESTS, "too many codes, try later")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_trimmed_and_lower_cased() {
        let check = |text: &str, email: Option<&str>| {
            assert_eq!(Email::parse(text).as_ref().map(Email::as_str), email, "{text:?}");
        };
        check(" Anna+Photos@Example.ORG ", Some("anna+photos@example.org"));
        check("ä@b", Some("ä@b"));
        check("", None);
        check("a", None);
        check("@b", None);
        check("a@", None);
        check("a b@c", None);
        check("a@b\nBcc: c@d", None);
        check(&format!("{}@b", "a".repeat(253)), None);
    }

    #[test]
    fn a_code_is_six_digits_and_its_hash_is_bound_to_its_use() {
        let (signer, email) = (Signer::new([3; 32]), Email::parse("a@b.c").unwrap());
        let code = Code::generate();
        assert!(code.digits().len() == 6 && code.digits().bytes().all(|byte| byte.is_ascii_digit()));
        let hash = code.hash(&signer, &email, App::Photos);
        assert_ne!(hash, code.hash(&signer, &email, App::Auth));
        assert_ne!(hash, code.hash(&signer, &Email::parse("b@b.c").unwrap(), App::Photos));
    }
}
