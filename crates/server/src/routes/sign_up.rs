//! One-time codes, the first proof of an address, and an account's wrapped keys: spec 2.2 to 2.4, 2.13.
//!
//! Who has an account is told only where the API says so.

use crate::Shared;
use crate::auth::one_time_code::{self, Email};
use crate::auth::rates::Route;
use crate::auth::session::{self, Device, Token};
use crate::auth::token;
use crate::config::Registration;
use crate::error::{ApiError, ApiResult};
use crate::routes::origin::address_of;
use crate::routes::request::{App, Body, Caller};
use crate::store::accounts::{Admission, WriteOutcome};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{post, put};
use axum::{Json, Router};
use darkslide_protocol::account::{
    Authorization, KeyAttributes, OneTimeCodeRequest, RecoveryAttributes, SetAttributesRequest,
    VerifyEmailRequest,
};
use darkslide_protocol::error::code;
use darkslide_protocol::limits::{KDF_MEMORY_MIN, KDF_STRENGTH};
use darkslide_protocol::{AccountId, Opaque};

/// The routes of this file.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/users/ott", post(send_code))
        .route("/users/verify-email", post(verify_email))
        .route("/users/change-email", post(change_email))
        .route("/users/attributes", put(set_attributes))
        .route("/users/recovery-key", put(set_recovery))
}

async fn send_code(
    State(server): State<Shared>,
    app: App,
    headers: HeaderMap,
    Body(request): Body<OneTimeCodeRequest>,
) -> ApiResult<StatusCode> {
    server.rates.check(Route::OneTimeCode, address_of(&headers))?;
    let email = Email::parse(&request.email).ok_or(ApiError::BAD_REQUEST)?;
    if wants_code(&server, &email, request.purpose.as_deref().unwrap_or("")).await? {
        one_time_code::send(&server, &email, app).await?;
    }
    Ok(StatusCode::OK)
}

/// Whether an address gets a code for this purpose. Without a purpose the answer is always 200, but no mail goes to an
/// address that could do nothing with it.
async fn wants_code(server: &Shared, email: &Email, purpose: &str) -> ApiResult<bool> {
    let known = server.store.account_by_email(email.as_str()).await?;
    match (purpose, known) {
        ("signup", Some(account)) if account.has_keys => Err(ApiError::Coded(
            StatusCode::CONFLICT,
            code::USER_ALREADY_REGISTERED,
            "this address has an account",
        )),
        ("signup", None) if !admits(server, email).await? => Err(ApiError::FORBIDDEN),
        ("login", None) => Err(ApiError::Coded(
            StatusCode::NOT_FOUND,
            code::USER_NOT_REGISTERED,
            "this address has no account",
        )),
        ("login", Some(account)) if !account.has_keys => Err(ApiError::Coded(
            StatusCode::NOT_FOUND,
            code::USER_SIGNUP_INCOMPLETE,
            "this account's sign-up was not finished",
        )),
        ("change", Some(_)) => Err(ApiError::FORBIDDEN),
        ("signup" | "login" | "change", _) | (_, Some(_)) => Ok(true),
        (_, None) => admits(server, email).await,
    }
}

async fn admits(server: &Shared, email: &Email) -> ApiResult<bool> {
    Ok(server.store.admits(email.as_str(), is_open(server)).await?)
}

pub(super) fn is_open(server: &Shared) -> bool {
    server.config.registration == Registration::Open
}

async fn verify_email(
    State(server): State<Shared>,
    app: App,
    headers: HeaderMap,
    Body(request): Body<VerifyEmailRequest>,
) -> ApiResult<Json<Authorization>> {
    server.rates.check(Route::VerifyEmail, address_of(&headers))?;
    let email = Email::parse(&request.email).ok_or(ApiError::BAD_REQUEST)?;
    one_time_code::redeem(&server, &email, app, &request.ott).await?;
    match server.store.admit(email.as_str(), is_open(&server)).await? {
        Admission::Account(account) => Ok(Json(authorize(&server, account, app, &headers).await?)),
        Admission::Disabled | Admission::Closed => Err(ApiError::FORBIDDEN),
    }
}

/// Starts a session for an account that has proved itself. Its token is sealed to the account's public key as soon as
/// there is one: then only who knows the password, or the recovery phrase, can use it.
pub(super) async fn authorize(
    server: &Shared,
    account: AccountId,
    app: App,
    headers: &HeaderMap,
) -> ApiResult<Authorization> {
    let keys = server.store.key_attributes(account).await?;
    let token = Token::generate();
    let mut authorization = Authorization { id: account, ..Authorization::default() };
    match &keys {
        None => authorization.token = Some(token.text()),
        Some(keys) => {
            let sealed = token::seal(token.bytes(), &keys.public_key)
                .map_err(|error| ApiError::Internal(error.to_string()))?;
            authorization.encrypted_token = Some(sealed);
        }
    }
    authorization.key_attributes = keys;
    let hash = session::hash_of(&token.text());
    if !server.store.insert_session(account, app.as_str(), &hash, &Device::of(headers)).await? {
        return Err(ApiError::FORBIDDEN);
    }
    Ok(authorization)
}

async fn change_email(
    State(server): State<Shared>,
    caller: Caller,
    Body(request): Body<VerifyEmailRequest>,
) -> ApiResult<StatusCode> {
    server.rates.check(Route::ChangeEmail, caller.account)?;
    let email = Email::parse(&request.email).ok_or(ApiError::BAD_REQUEST)?;
    one_time_code::redeem(&server, &email, caller.app, &request.ott).await?;
    match server.store.change_email(caller.account, email.as_str()).await? {
        WriteOutcome::Done => Ok(StatusCode::OK),
        WriteOutcome::Refused => Err(ApiError::FORBIDDEN),
    }
}

async fn set_attributes(
    State(server): State<Shared>,
    caller: Caller,
    Body(request): Body<SetAttributesRequest>,
) -> ApiResult<StatusCode> {
    let keys = request.key_attributes;
    if !is_complete(&keys) || !is_strong(keys.mem_limit, keys.ops_limit) {
        return Err(ApiError::Coded(
            StatusCode::BAD_REQUEST,
            code::BAD_REQUEST,
            "the key attributes are incomplete or too weak",
        ));
    }
    match server.store.insert_key_attributes(caller.account, &keys).await? {
        WriteOutcome::Done => Ok(StatusCode::OK),
        WriteOutcome::Refused => Err(ApiError::FORBIDDEN),
    }
}

/// Whether everything is there that sign-in needs. The public key must be usable, or no token could be sealed to it.
fn is_complete(keys: &KeyAttributes) -> bool {
    let texts = [
        &keys.kek_salt,
        &keys.encrypted_key,
        &keys.key_decryption_nonce,
        &keys.encrypted_secret_key,
        &keys.secret_key_decryption_nonce,
    ];
    texts.into_iter().all(|text| !text.is_empty()) && token::seal(&[], &keys.public_key).is_ok()
}

/// Whether a password derivation costs what the API demands: a fixed product of memory and passes, and enough memory.
pub(super) fn is_strong(mem_limit: i64, ops_limit: i64) -> bool {
    mem_limit >= KDF_MEMORY_MIN && mem_limit.checked_mul(ops_limit) == Some(KDF_STRENGTH)
}

async fn set_recovery(
    State(server): State<Shared>,
    caller: Caller,
    Body(recovery): Body<RecoveryAttributes>,
) -> ApiResult<StatusCode> {
    let texts = [
        &recovery.master_key_encrypted_with_recovery_key,
        &recovery.master_key_decryption_nonce,
        &recovery.recovery_key_encrypted_with_master_key,
        &recovery.recovery_key_decryption_nonce,
    ];
    if texts.into_iter().any(Opaque::is_empty) {
        return Err(ApiError::BAD_REQUEST);
    }
    match server.store.set_recovery(caller.account, &recovery).await? {
        WriteOutcome::Done => Ok(StatusCode::OK),
        WriteOutcome::Refused => Err(ApiError::CONFLICT),
    }
}
