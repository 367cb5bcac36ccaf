//! Who is signed in where: signing up, signing in and out, recovery, changing the password.
//!
//! Passwords and recovery phrases stay here; what leaves are proofs, wrapped keys and a verifier. Every entry point
//! that takes a password has one below it that takes the key derived from it, because deriving takes seconds and a
//! quarter of a GiB. Nothing is stored: that is the [`keychain`](crate::keychain)'s.

mod attributes;
mod devices;
mod error;
mod password;
mod sign_in;
mod sign_up;

pub use darkslide_crypto::keys::RecoveryKey;
pub use darkslide_crypto::recovery::{RecoveryError, parse as parse_recovery_phrase};
pub use devices::{AccountSummary, Device};
pub use error::SessionError;
pub use password::{Password, PasswordKey, change_password};
pub use sign_in::{LockedSession, SignInMethod, sign_in_method};
pub use sign_up::{NewSession, PendingSignUp};

use crate::api::Api;
use darkslide_crypto::ContentHash;
use darkslide_crypto::account::AccountKeys;
use darkslide_crypto::keys::SessionToken;
use darkslide_protocol::{AccountId, ContentTag};
use std::fmt;

/// An account's address, as every server looks it up: trimmed and lower-cased.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email(String);

/// Text that is not an e-mail address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an e-mail address")]
pub struct NotAnEmail(String);

impl Email {
    /// Reads what a person typed. Only what no address can lack is checked: something on both sides of an `@`.
    pub fn parse(text: &str) -> Result<Self, NotAnEmail> {
        let address = text.trim().to_lowercase();
        match address.split_once('@') {
            Some((name, host)) if !name.is_empty() && !host.is_empty() => Ok(Self(address)),
            _ => Err(NotAnEmail(text.to_owned())),
        }
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::str::FromStr for Email {
    type Err = NotAnEmail;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Email {
    type Error = NotAnEmail;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}

/// A signed-in account with its keys. Not `Clone`: there is one, behind an `Arc` where several tasks need it.
#[derive(Debug)]
pub struct Session {
    /// Calls on this account's behalf.
    pub api: Api,
    /// The account on its server.
    pub account: AccountId,
    /// Its address.
    pub email: Email,
    /// Its keys, unlocked.
    pub keys: AccountKeys,
    /// What authenticates [`api`](Self::api); kept to be stored in a keychain.
    pub token: SessionToken,
}

impl Session {
    /// A session of before, from what a keychain kept. Asks nobody: whether the server still accepts the token
    /// shows with the first call.
    pub fn resume(
        api: &Api,
        account: AccountId,
        email: Email,
        keys: AccountKeys,
        token: SessionToken,
    ) -> Self {
        Self { api: api.with_token(&token), account, email, keys, token }
    }

    /// What this account's server may compare of a content.
    pub fn content_tag(&self, content: &ContentHash) -> ContentTag {
        crate::keys::content_tag(&self.keys, content)
    }

    /// Signs this device out. A session that the server has ended already counts as signed out.
    pub async fn log_out(&self) -> Result<(), SessionError> {
        match self.api.logout().await {
            Err(failure) if failure.is_signed_out() => Ok(()),
            other => Ok(other?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Email;

    #[test]
    fn addresses_are_normalised_and_checked() {
        assert_eq!(Email::parse(" Ada@Example.ORG ").unwrap().as_str(), "ada@example.org");
        for text in ["", "ada", "@example.org", "ada@", "  "] {
            assert!(Email::parse(text).is_err(), "{text:?}");
        }
    }
}
