//! Why somebody is not signed in, as a person can act on it.

use crate::api::{ApiFailure, ConnectionError};
use darkslide_crypto::OpenError;
use darkslide_crypto::account::{AttributesError, UnlockError};
use darkslide_crypto::device_name::NotADeviceName;
use darkslide_crypto::kdf::KdfError;
use darkslide_crypto::srp::SrpError;
use darkslide_protocol::error::code;
use http::StatusCode;
use thiserror::Error;

/// What went wrong while signing up, in or out, or changing keys.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The server refused the proof of the password.
    #[error("the password is wrong")]
    WrongPassword,
    /// The server refused the code.
    #[error("the code is wrong; check the newest message, or have another one sent")]
    WrongCode,
    /// The code was used or is too old.
    #[error("the code has expired; have another one sent")]
    CodeExpired,
    /// No such account.
    #[error("there is no account with this address on that server; sign up first")]
    NotRegistered,
    /// The sign-up was begun and never ended.
    #[error("the sign-up of this address was never finished; sign up again")]
    SignUpIncomplete,
    /// The address is taken.
    #[error("there is an account with this address already; log in instead")]
    AlreadyRegistered,
    /// The server takes no new accounts.
    #[error("that server is not open for new accounts; ask whoever runs it for an invitation")]
    RegistrationClosed,
    /// No code is good for the address, on a server that is closed for those without an invitation.
    #[error(
        "no code is good for this address there (any more). That server is closed for sign-up, but for its first account and for \
         addresses that were invited: ask whoever runs it for an invitation, and then for a new code"
    )]
    NotInvited,
    /// The account is protected by something that this program cannot do.
    #[error("the account asks for a second factor, which this program does not support")]
    SecondFactor,
    /// The other side is not the server that this account is on.
    #[error("that server could not prove that it knows this account; is it the right address?")]
    ServerNotProved(#[source] SrpError),
    /// The server asked for the password in a form that could be guessed cheaply.
    #[error(
        "that server asks for a weaker protection of the password than any account has; signing in was stopped"
    )]
    WeakPasswordProtection,
    /// Wrong password or phrase, or altered keys.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// The server's copy of the keys cannot be read.
    #[error(transparent)]
    Attributes(#[from] AttributesError),
    /// No key could be derived from the password.
    #[error(transparent)]
    Derivation(#[from] KdfError),
    /// Something that the server sealed for this account does not open.
    #[error("what the server sealed for this account does not open with its keys")]
    Sealed(#[source] OpenError),
    /// A text that cannot name a device.
    #[error(transparent)]
    DeviceName(NotADeviceName),
    /// No device that is signed in has that id.
    #[error(
        "no device has that id (any more): it was signed out already, or there never was one. `darkslide devices` lists those that are signed in"
    )]
    NoSuchDevice,
    /// A field of the server's answer is missing or malformed.
    #[error("the server's answer lacks a usable {0}")]
    Answer(&'static str),
    /// The call did not succeed.
    #[error(transparent)]
    Api(#[from] ApiFailure),
    /// No connection could be prepared.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

impl SessionError {
    /// Whether the same may succeed later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Api(failure) if failure.is_transient())
    }

    /// Whether asking the person for the password again makes sense.
    pub fn is_wrong_password(&self) -> bool {
        matches!(self, Self::WrongPassword | Self::Unlock(UnlockError::Locked(_)))
    }

    /// Having a code sent was refused.
    pub(super) fn of_code_request(failure: ApiFailure) -> Self {
        match (failure.status(), failure.code()) {
            (_, Some(code::USER_NOT_REGISTERED)) => Self::NotRegistered,
            (_, Some(code::USER_SIGNUP_INCOMPLETE)) => Self::SignUpIncomplete,
            (_, Some(code::USER_ALREADY_REGISTERED)) => Self::AlreadyRegistered,
            (Some(StatusCode::FORBIDDEN), _) => Self::RegistrationClosed,
            _ => Self::Api(failure),
        }
    }

    /// A code was refused.
    pub(super) fn of_code(failure: ApiFailure) -> Self {
        match failure.status() {
            Some(StatusCode::UNAUTHORIZED) if failure.is_signed_out() => Self::WrongCode,
            Some(StatusCode::GONE) => Self::CodeExpired,
            Some(StatusCode::FORBIDDEN) => Self::RegistrationClosed,
            _ => Self::Api(failure),
        }
    }

    /// A proof of the password was refused.
    pub(super) fn of_proof(failure: ApiFailure) -> Self {
        if failure.is_signed_out() { Self::WrongPassword } else { Self::Api(failure) }
    }
}
