//! Registration, sign-in and change of password by SRP: spec 2.5 to 2.7, 2.10.
//!
//! A sign-in with an identity that does not exist goes exactly like one with a wrong password. `GET srp/attributes` must
//! tell unknown addresses by 404, for clients fall back to an e-mailed code on it; but an address that was told so a
//! hundred times within an hour gets made-up attributes from then on, always the same for the same account.

use crate::Shared;
use crate::auth::one_time_code::Email;
use crate::auth::rates::Route;
use crate::auth::signer::Signer;
use crate::auth::srp::{self, ClientProof, GroupNumber, PROOF_BYTES, ServerSecret};
use crate::error::{ApiError, ApiResult};
use crate::routes::origin::address_of;
use crate::routes::request::{App, Body, Caller};
use crate::routes::sign_up::{authorize, is_strong};
use crate::store::StoreError;
use crate::store::accounts::WriteOutcome;
use crate::store::srp::{AttemptOutcome, SrpAttempt, SrpSetup};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use darkslide_protocol::Opaque;
use darkslide_protocol::account::{
    Authorization, SrpAttributes, SrpAttributesResponse, SrpCompleteRequest, SrpCompleteResponse,
    SrpCreateSessionRequest, SrpCreateSessionResponse, SrpSetupRequest, SrpSetupResponse, SrpUpdateRequest,
    SrpVerifySessionRequest,
};
use darkslide_protocol::error::code;
use serde::Deserialize;
use uuid::Uuid;

/// The longest identity string that is kept; a UUID has 36 characters.
const IDENTITY_BYTES_MAX: usize = 64;

/// What new accounts of stock clients have: 256 MiB, 16 passes. Made-up attributes have it, too.
const USUAL_MEM_LIMIT: i64 = 268_435_456;
const USUAL_OPS_LIMIT: i64 = 16;

/// The routes of this file.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/users/srp/attributes", get(attributes))
        .route("/users/srp/setup", post(setup))
        .route("/users/srp/complete", post(complete))
        .route("/users/srp/update", post(update))
        .route("/users/srp/create-session", post(create_session))
        .route("/users/srp/verify-session", post(verify_session))
}

/// `?email=`.
#[derive(Debug, Deserialize)]
pub(super) struct EmailQuery {
    /// Form-encoded: `%2B` is a plus sign.
    #[serde(default)]
    pub(super) email: String,
}

async fn attributes(
    State(server): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<EmailQuery>,
) -> ApiResult<Json<SrpAttributesResponse>> {
    let address = address_of(&headers);
    server.rates.check(Route::SrpAttributes, address)?;
    let email = Email::parse(&query.email).ok_or(ApiError::NOT_FOUND)?;
    if let Some(attributes) = server.store.srp_attributes(email.as_str()).await? {
        return Ok(Json(SrpAttributesResponse { attributes }));
    }
    if server.rates.allow_miss(address) {
        return Err(ApiError::NOT_FOUND);
    }
    Ok(Json(SrpAttributesResponse { attributes: made_up_attributes(&server.signer, &email) }))
}

/// Attributes of an account that does not exist: always the same for the same address, and like those of a real one.
fn made_up_attributes(signer: &Signer, email: &Email) -> SrpAttributes {
    let derive = |what: &str| -> [u8; 16] {
        let bytes = signer.derive_bytes("made-up account", &[what, email.as_str()]);
        *bytes.first_chunk().expect("32 bytes have a first half")
    };
    SrpAttributes {
        srp_user_id: uuid::Builder::from_random_bytes(derive("identity")).into_uuid().to_string(),
        srp_salt: Opaque::encode(derive("salt")),
        mem_limit: USUAL_MEM_LIMIT,
        ops_limit: USUAL_OPS_LIMIT,
        kek_salt: Opaque::encode(derive("key salt")),
        is_email_mfa_enabled: false,
    }
}

async fn setup(
    State(server): State<Shared>,
    caller: Caller,
    Body(request): Body<SrpSetupRequest>,
) -> ApiResult<Json<SrpSetupResponse>> {
    server.rates.check(Route::SrpSetup, caller.account)?;
    let verifier = GroupNumber::parse(&request.srp_verifier).ok_or(ApiError::BAD_REQUEST)?;
    let client_public = GroupNumber::parse(&request.srp_a).ok_or(ApiError::BAD_REQUEST)?;
    let identity_fits = (1..=IDENTITY_BYTES_MAX).contains(&request.srp_user_id.len());
    if !identity_fits || request.srp_salt.decode().map_or(true, |salt| salt.is_empty()) {
        return Err(ApiError::BAD_REQUEST);
    }
    let setup_id = Uuid::new_v4().to_string();
    let secret = ServerSecret::generate();
    let setup = SrpSetup {
        srp_user_id: request.srp_user_id,
        salt: request.srp_salt,
        verifier: verifier.to_opaque(),
        client_public: client_public.to_opaque(),
        server_secret: secret.to_opaque(),
    };
    server.store.insert_srp_setup(caller.account, &setup_id, &setup).await?;
    let srp_b = compute(move || srp::server_public(&verifier, &secret)).await?.to_opaque();
    Ok(Json(SrpSetupResponse { setup_id, srp_b }))
}

async fn complete(
    State(server): State<Shared>,
    caller: Caller,
    Body(request): Body<SrpCompleteRequest>,
) -> ApiResult<Json<SrpCompleteResponse>> {
    server.rates.check(Route::SrpComplete, caller.account)?;
    let (setup, srp_m2) = prove_setup(&server, &caller, &request.setup_id, &request.srp_m1).await?;
    match server.store.complete_srp_setup(caller.account, &setup).await? {
        WriteOutcome::Done => Ok(Json(SrpCompleteResponse { setup_id: request.setup_id, srp_m2 })),
        WriteOutcome::Refused => Err(ApiError::BAD_REQUEST),
    }
}

async fn update(
    State(server): State<Shared>,
    caller: Caller,
    Body(request): Body<SrpUpdateRequest>,
) -> ApiResult<Json<SrpCompleteResponse>> {
    server.rates.check(Route::SrpUpdate, caller.account)?;
    let keys = &request.updated_key_attributes;
    let complete = [&keys.kek_salt, &keys.encrypted_key, &keys.key_decryption_nonce];
    if complete.into_iter().any(Opaque::is_empty) || !is_strong(keys.mem_limit, keys.ops_limit) {
        return Err(ApiError::Coded(
            StatusCode::BAD_REQUEST,
            code::BAD_REQUEST,
            "the key attributes are incomplete or too weak",
        ));
    }
    let (setup, srp_m2) = prove_setup(&server, &caller, &request.setup_id, &request.srp_m1).await?;
    let keep_only = request.log_out_other_devices.unwrap_or(true).then_some(caller.token_hash.as_str());
    match server.store.change_password(caller.account, &setup, keys, keep_only).await? {
        WriteOutcome::Done => {
            server.sessions_ended(caller.account);
            Ok(Json(SrpCompleteResponse { setup_id: request.setup_id, srp_m2 }))
        }
        WriteOutcome::Refused => Err(ApiError::BAD_REQUEST),
    }
}

/// Checks the proof of a pending registration or change of password. Returns it with M2.
async fn prove_setup(
    server: &Shared,
    caller: &Caller,
    setup_id: &str,
    proof: &Opaque,
) -> ApiResult<(SrpSetup, Opaque)> {
    let proof = ClientProof::parse(proof).ok_or(ApiError::BAD_REQUEST)?;
    let setup = server.store.srp_setup(caller.account, setup_id).await?.ok_or(ApiError::NOT_FOUND)?;
    let verifier = stored_number(&setup.verifier)?;
    let exchange =
        SrpAttempt { client_public: setup.client_public.clone(), server_secret: setup.server_secret.clone() };
    let m2 =
        check_proof(verifier, &exchange, proof).await?.ok_or(ApiError::Status(StatusCode::UNAUTHORIZED))?;
    Ok((setup, Opaque::encode(m2)))
}

async fn create_session(
    State(server): State<Shared>,
    headers: HeaderMap,
    Body(request): Body<SrpCreateSessionRequest>,
) -> ApiResult<Json<SrpCreateSessionResponse>> {
    server.rates.check(Route::SrpCreateSession, address_of(&headers))?;
    let client_public = GroupNumber::parse(&request.srp_a).ok_or(ApiError::BAD_REQUEST)?;
    if !(1..=IDENTITY_BYTES_MAX).contains(&request.srp_user_id.len()) {
        return Err(ApiError::BAD_REQUEST);
    }
    let credentials = server.store.srp_credentials(&request.srp_user_id).await?;
    if credentials.as_ref().is_some_and(|credentials| credentials.email_mfa) {
        return Err(email_mfa());
    }
    let verifier = match &credentials {
        Some(credentials) => stored_number(&credentials.verifier)?,
        None => made_up_verifier(&server.signer, &request.srp_user_id),
    };
    let secret = ServerSecret::generate();
    let attempt = SrpAttempt { client_public: client_public.to_opaque(), server_secret: secret.to_opaque() };
    let session_id = Uuid::new_v4().to_string();
    if !server.store.insert_srp_session(&session_id, &request.srp_user_id, &attempt).await? {
        return Err(ApiError::Coded(
            StatusCode::TOO_MANY_REQUESTS,
            code::TOO_MANY_UNVERIFIED_SESSIONS,
            "too many sign-ins were begun and not finished",
        ));
    }
    let srp_b = compute(move || srp::server_public(&verifier, &secret)).await?.to_opaque();
    Ok(Json(SrpCreateSessionResponse { session_id, srp_b }))
}

async fn verify_session(
    State(server): State<Shared>,
    app: App,
    headers: HeaderMap,
    Body(request): Body<SrpVerifySessionRequest>,
) -> ApiResult<Json<Authorization>> {
    server.rates.check(Route::SrpVerifySession, address_of(&headers))?;
    let proof = ClientProof::parse(&request.srp_m1).ok_or(ApiError::BAD_REQUEST)?;
    let attempt = match server.store.count_srp_attempt(&request.session_id, &request.srp_user_id).await? {
        AttemptOutcome::May(attempt) => attempt,
        AttemptOutcome::Unknown => return Err(ApiError::Status(StatusCode::UNAUTHORIZED)),
        AttemptOutcome::AlreadyVerified => return Err(already_verified()),
        AttemptOutcome::TooManyWrong => {
            return Err(ApiError::Coded(
                StatusCode::GONE,
                code::TOO_MANY_WRONG_ATTEMPTS,
                "too many wrong passwords; begin again",
            ));
        }
    };
    let credentials = server.store.srp_credentials(&request.srp_user_id).await?;
    let verifier = match &credentials {
        Some(credentials) => stored_number(&credentials.verifier)?,
        None => made_up_verifier(&server.signer, &request.srp_user_id),
    };
    let m2 = check_proof(verifier, &attempt, proof).await?;
    let (Some(m2), Some(credentials)) = (m2, credentials) else {
        return Err(ApiError::Status(StatusCode::UNAUTHORIZED));
    };
    if !server.store.verify_srp_session(&request.session_id).await? {
        return Err(already_verified());
    }
    if !credentials.is_active {
        return Err(ApiError::FORBIDDEN);
    }
    if credentials.email_mfa {
        return Err(email_mfa());
    }
    let authorization = authorize(&server, credentials.account, app, &headers).await?;
    Ok(Json(Authorization { srp_m2: Some(Opaque::encode(m2)), ..authorization }))
}

/// The verifier of an identity that does not exist: nobody's password fits it.
fn made_up_verifier(signer: &Signer, srp_user_id: &str) -> GroupNumber {
    GroupNumber::from_seed(|index| {
        signer.derive_bytes("made-up verifier", &[srp_user_id, &index.to_string()])
    })
}

async fn check_proof(
    verifier: GroupNumber,
    attempt: &SrpAttempt,
    proof: ClientProof,
) -> ApiResult<Option<[u8; PROOF_BYTES]>> {
    let client_public = stored_number(&attempt.client_public)?;
    let secret = ServerSecret::parse(&attempt.server_secret)
        .ok_or(ApiError::Store(StoreError::Malformed("SRP secret")))?;
    compute(move || srp::verify(&verifier, &secret, &client_public, proof)).await
}

fn stored_number(text: &Opaque) -> ApiResult<GroupNumber> {
    GroupNumber::parse(text).ok_or(ApiError::Store(StoreError::Malformed("SRP number")))
}

/// Big-number arithmetic takes milliseconds: it must not hold up the requests that share this thread.
async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> ApiResult<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::Internal(error.to_string()))
}

fn email_mfa() -> ApiError {
    ApiError::Coded(
        StatusCode::CONFLICT,
        code::EMAIL_MFA_ENABLED,
        "this account asks for an e-mailed code before the password",
    )
}

fn already_verified() -> ApiError {
    ApiError::Coded(StatusCode::GONE, code::SESSION_ALREADY_VERIFIED, "this sign-in has succeeded before")
}
