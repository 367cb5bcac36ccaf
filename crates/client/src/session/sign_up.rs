//! Signing up: a code proves the address, then keys are made here and stored there, wrapped.

use super::attributes::to_wire;
use super::password::register_verifier;
use super::{Email, PasswordKey, Session, SessionError};
use crate::api::Api;
use darkslide_crypto::account::{AccountKeys, NewAccount};
use darkslide_crypto::keys::SessionToken;
use darkslide_crypto::recovery;
use darkslide_protocol::account::{OneTimeCodeRequest, SetAttributesRequest, VerifyEmailRequest};
use std::fmt;
use zeroize::Zeroizing;

/// A sign-up whose code is on its way.
#[derive(Debug)]
pub struct PendingSignUp {
    api: Api,
    email: Email,
}

/// A new account, signed in.
pub struct NewSession {
    /// Ready for use.
    pub session: Session,
    /// 24 words, to be shown once and written down: without password and phrase, nobody can open the account.
    pub recovery_phrase: Zeroizing<String>,
}

impl fmt::Debug for NewSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NewSession").field("session", &self.session).finish_non_exhaustive()
    }
}

impl PendingSignUp {
    /// Has a code sent to the address. Once more is no harm: an unfinished sign-up begins again.
    pub async fn begin(api: &Api, email: &Email) -> Result<Self, SessionError> {
        let request =
            OneTimeCodeRequest { email: email.as_str().to_owned(), purpose: Some("signup".to_owned()) };
        api.send_code(&request).await.map_err(SessionError::of_code_request)?;
        Ok(Self { api: api.clone(), email: email.clone() })
    }

    /// For who has a code already, from the operator of the server.
    pub fn expecting(api: &Api, email: &Email) -> Self {
        Self { api: api.clone(), email: email.clone() }
    }

    /// Proves the address and makes the account. After [`SessionError::WrongCode`] it may be called again.
    pub async fn finish(&self, code: &str, password: &PasswordKey) -> Result<NewSession, SessionError> {
        let request =
            VerifyEmailRequest { email: self.email.as_str().to_owned(), ott: code.trim().to_owned() };
        let answer = match self.api.verify_email(&request).await.map_err(SessionError::of_code) {
            Err(SessionError::CodeExpired) => return Err(self.without_a_good_code().await),
            other => other?,
        };
        let token = answer.token.ok_or(SessionError::AlreadyRegistered)?;
        let token =
            SessionToken::from_header_value(&token).map_err(|_| SessionError::Answer("session token"))?;
        let api = self.api.with_token(&token);
        let NewAccount { keys, attributes, recovery_key, login_key: _ } =
            AccountKeys::generate_under(&password.key, password.salt, password.strength);
        api.set_attributes(&SetAttributesRequest { key_attributes: to_wire(&attributes) }).await?;
        register_verifier(&api, &password.key).await?;
        let session = Session { api, account: answer.id, email: self.email.clone(), keys, token };
        Ok(NewSession { session, recovery_phrase: recovery::to_phrase(&recovery_key) })
    }

    /// Why no code is good. The server answers alike for one that is too old and for an address that it never sent one, so what
    /// it tells everybody decides: whether it is open at all.
    async fn without_a_good_code(&self) -> SessionError {
        match self.api.sign_up_open().await {
            Ok(false) => SessionError::NotInvited,
            Ok(true) | Err(_) => SessionError::CodeExpired,
        }
    }
}
