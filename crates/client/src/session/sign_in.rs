//! Signing in: by proving the password (SRP), or by an e-mailed code and then opening the keys here.

use super::attributes::{derivation, from_wire};
use super::password::{check_server, register_verifier};
use super::{Email, Password, PasswordKey, Session, SessionError};
use crate::api::Api;
use darkslide_crypto::account::{AccountKeys, KeyAttributes};
use darkslide_crypto::kdf::derive_login_key;
use darkslide_crypto::keys::{KeyEncryptionKey, RecoveryKey};
use darkslide_crypto::srp::{SrpClient, SrpIdentity};
use darkslide_protocol::account::{
    Authorization, OneTimeCodeRequest, SrpAttributes, SrpCreateSessionRequest, SrpVerifySessionRequest,
    VerifyEmailRequest,
};
use darkslide_protocol::{AccountId, Opaque};

/// How an account may be signed in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignInMethod {
    /// The password is proved to the server.
    Password(SrpAttributes),
    /// A code goes to the address first; the password only opens the keys.
    Code,
}

/// Asks how the account may be signed in to. An address without an account is answered like one without SRP: the
/// request for a code tells the difference.
pub async fn sign_in_method(api: &Api, email: &Email) -> Result<SignInMethod, SessionError> {
    match api.srp_attributes(email.as_str()).await {
        Ok(attributes) if attributes.is_email_mfa_enabled => Ok(SignInMethod::Code),
        Ok(attributes) => Ok(SignInMethod::Password(attributes)),
        Err(failure) if failure.is_missing() => Ok(SignInMethod::Code),
        Err(failure) => Err(failure.into()),
    }
}

impl Session {
    /// Signs in with a password. Takes seconds, for the derivation.
    pub async fn sign_in(
        api: &Api,
        email: &Email,
        attributes: &SrpAttributes,
        password: &Password,
    ) -> Result<Self, SessionError> {
        let (salt, strength) = derivation(attributes)?;
        let key = PasswordKey::derive(password, salt, strength).await?;
        Self::sign_in_with_key(api, email, attributes, &key).await
    }

    /// Signs in with the key derived from a password.
    pub async fn sign_in_with_key(
        api: &Api,
        email: &Email,
        attributes: &SrpAttributes,
        key: &KeyEncryptionKey,
    ) -> Result<Self, SessionError> {
        let salt = attributes.srp_salt.decode().map_err(|_| SessionError::Answer("srpSalt"))?;
        let identity = SrpIdentity { user_id: attributes.srp_user_id.clone(), salt };
        let client = SrpClient::new(&identity, &derive_login_key(key));
        let request = SrpCreateSessionRequest {
            srp_user_id: identity.user_id.clone(),
            srp_a: Opaque::encode(client.public_key()),
        };
        let begun = api.srp_create_session(&request).await.map_err(SessionError::of_proof)?;
        let server_public = begun.srp_b.decode().map_err(|_| SessionError::Answer("srpB"))?;
        let proof = client.respond(&server_public).map_err(SessionError::ServerNotProved)?;
        let request = SrpVerifySessionRequest {
            session_id: begun.session_id,
            srp_user_id: identity.user_id,
            srp_m1: Opaque::encode(proof.client_proof()),
        };
        let answer = api.srp_verify_session(&request).await.map_err(SessionError::of_proof)?;
        let server_proof = answer.srp_m2.as_ref().ok_or(SessionError::Answer("srpM2"))?;
        check_server(&proof, server_proof)?;
        LockedSession::from_answer(api, email, answer)?.unlock(key)
    }
}

/// Signed in as far as the server is concerned; its keys are still closed.
#[derive(Debug)]
pub struct LockedSession {
    api: Api,
    account: AccountId,
    email: Email,
    attributes: KeyAttributes,
    sealed_token: Opaque,
}

impl LockedSession {
    /// Has a code sent to the address of an account that exists.
    pub async fn send_code(api: &Api, email: &Email) -> Result<(), SessionError> {
        let request =
            OneTimeCodeRequest { email: email.as_str().to_owned(), purpose: Some("login".to_owned()) };
        api.send_code(&request).await.map_err(SessionError::of_code_request)
    }

    /// Signs in with the code. After [`SessionError::WrongCode`] it may be called again.
    pub async fn with_code(api: &Api, email: &Email, code: &str) -> Result<Self, SessionError> {
        let request = VerifyEmailRequest { email: email.as_str().to_owned(), ott: code.trim().to_owned() };
        let answer = api.verify_email(&request).await.map_err(SessionError::of_code)?;
        Self::from_answer(api, email, answer)
    }

    fn from_answer(api: &Api, email: &Email, answer: Authorization) -> Result<Self, SessionError> {
        let (attributes, sealed_token) = match (answer.key_attributes, answer.encrypted_token) {
            (Some(attributes), Some(sealed_token)) => (attributes, sealed_token),
            (None, None) if answer.token.is_some() => return Err(SessionError::SignUpIncomplete),
            (None, None) => return Err(SessionError::SecondFactor),
            _ => return Err(SessionError::Answer("key attributes or session token")),
        };
        let attributes = from_wire(&attributes)?;
        let (api, email) = (api.clone(), email.clone());
        Ok(Self { api, account: answer.id, email, attributes, sealed_token })
    }

    /// Opens the keys with the password. Takes seconds, for the derivation.
    pub async fn unlock_with_password(self, password: &Password) -> Result<Session, SessionError> {
        let stored = &self.attributes.password;
        let key = PasswordKey::derive(password, stored.salt, stored.strength).await?;
        let session = self.unlock(&key)?;
        session.register_missing_verifier(&key).await?;
        Ok(session)
    }

    /// Opens the keys with the key derived from a password.
    pub fn unlock(self, key: &KeyEncryptionKey) -> Result<Session, SessionError> {
        let keys = self.attributes.unlock(key)?;
        self.open(keys)
    }

    /// Opens the keys with the recovery phrase. To be followed by [`change_password`](super::change_password).
    pub fn unlock_with_recovery(self, key: &RecoveryKey) -> Result<Session, SessionError> {
        let keys = self.attributes.unlock_with_recovery_key(key)?;
        self.open(keys)
    }

    fn open(self, keys: AccountKeys) -> Result<Session, SessionError> {
        let sealed = self.sealed_token.decode().map_err(|_| SessionError::Answer("session token"))?;
        let token = keys.key_pair.open_session_token(&sealed).map_err(SessionError::Sealed)?;
        Ok(Session::resume(&self.api, self.account, self.email, keys, token))
    }
}

impl Session {
    /// A sign-up that was cut off before its verifier was registered is completed.
    async fn register_missing_verifier(&self, key: &KeyEncryptionKey) -> Result<(), SessionError> {
        match self.api.srp_attributes(self.email.as_str()).await {
            Err(failure) if failure.is_missing() => register_verifier(&self.api, key).await,
            Ok(_) => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }
}
