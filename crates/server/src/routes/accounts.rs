//! What an account is told about itself and others, and its end: spec 2.9, 2.14, 2.17, 4.2, 4.5.

use crate::Shared;
use crate::auth::one_time_code::Email;
use crate::auth::rates::Route;
use crate::auth::token;
use crate::error::{ApiError, ApiResult};
use crate::routes::request::{Body, Caller};
use crate::routes::srp::EmailQuery;
use crate::store::accounts::{AccountRow, WriteOutcome};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use darkslide_protocol::AccountId;
use darkslide_protocol::account::{
    AccountDetails, DeleteAccountRequest, DeleteAccountResponse, DeleteChallenge, ProfileData, Subscription,
};
use darkslide_protocol::error::code;
use darkslide_protocol::limits::DAY_MICROS;
use serde::Deserialize;
use serde_json::{Value, json};

/// When every plan ends: the year 2100. A constant, for browsers draw the page again when it differs between two calls.
const EXPIRY_MICROS: i64 = 4_102_444_800_000_000;

/// What a deletion challenge is signed for.
const DELETION: &str = "delete account";

/// The routes of this file.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/users/details/v2", get(details))
        .route("/users/public-key", get(public_key))
        .route("/users/email-mfa", put(set_email_mfa))
        .route("/users/delete-challenge", get(delete_challenge))
        .route("/users/delete", delete(delete_account))
        .route("/users/deletion-summary", get(deletion_summary))
        .route("/billing/subscription", get(subscription))
        .route("/billing/verify-subscription", post(verify_subscription))
        .route("/billing/user-plans", get(plans_of_caller))
        .route("/billing/plans/v2", get(plans))
}

/// `?memoryCount=`.
#[derive(Debug, Deserialize)]
struct DetailsQuery {
    #[serde(rename = "memoryCount", default)]
    memory_count: Option<String>,
}

async fn details(
    State(server): State<Shared>,
    caller: Caller,
    Query(query): Query<DetailsQuery>,
) -> ApiResult<Json<AccountDetails>> {
    let row = own_row(&server, &caller).await?;
    let file_count = match query.memory_count.as_deref() {
        Some("false") => None,
        _ => Some(server.store.count_files_of(caller.account).await?),
    };
    Ok(Json(AccountDetails {
        subscription: subscription_of(&server, caller.account, &row),
        email: row.email,
        usage: row.usage,
        file_count,
        profile_data: ProfileData {
            can_disable_email_mfa: row.has_srp,
            is_email_mfa_enabled: row.email_mfa,
            ..ProfileData::default()
        },
        ..AccountDetails::default()
    }))
}

async fn own_row(server: &Shared, caller: &Caller) -> ApiResult<AccountRow> {
    server.store.account(caller.account).await?.ok_or(ApiError::NOT_FOUND)
}

/// The quota in the shape of a plan.
fn subscription_of(server: &Shared, account: AccountId, row: &AccountRow) -> Subscription {
    let default = super::uploads::default_quota(server);
    Subscription {
        id: account.0,
        user_id: account,
        product_id: "free".to_owned(),
        storage: row.quota.unwrap_or(default),
        original_transaction_id: "none".to_owned(),
        expiry_time: EXPIRY_MICROS,
        ..Subscription::default()
    }
}

async fn subscription(State(server): State<Shared>, caller: Caller) -> ApiResult<Json<Value>> {
    let row = own_row(&server, &caller).await?;
    Ok(Json(json!({ "subscription": subscription_of(&server, caller.account, &row) })))
}

/// What a phone sends when its owner takes the free plan.
#[derive(Debug, Deserialize)]
struct VerifySubscriptionRequest {
    #[serde(rename = "productID", default)]
    product_id: String,
}

async fn verify_subscription(
    State(server): State<Shared>,
    caller: Caller,
    Body(request): Body<VerifySubscriptionRequest>,
) -> ApiResult<Json<Value>> {
    if request.product_id != "free" {
        return Err(ApiError::BAD_REQUEST);
    }
    subscription(State(server), caller).await
}

async fn plans_of_caller(state: State<Shared>, _: Caller) -> Json<Value> {
    plans(state).await
}

/// Nothing is for sale. The free plan is the default quota.
async fn plans(State(server): State<Shared>) -> Json<Value> {
    let free = json!({ "storage": server.config.default_quota, "duration": 100, "period": "year" });
    Json(json!({ "plans": [], "freePlan": free }))
}

async fn public_key(
    State(server): State<Shared>,
    caller: Caller,
    Query(query): Query<EmailQuery>,
) -> ApiResult<Json<Value>> {
    server.rates.check(Route::PublicKey, caller.account)?;
    let email = Email::parse(&query.email).ok_or(ApiError::NOT_FOUND)?;
    let key = server.store.public_key_of(email.as_str()).await?.ok_or(ApiError::NOT_FOUND)?;
    Ok(Json(json!({ "publicKey": key })))
}

/// `{"isEnabled":bool}`.
#[derive(Debug, Deserialize)]
struct EmailMfaRequest {
    #[serde(rename = "isEnabled")]
    is_enabled: bool,
}

async fn set_email_mfa(
    State(server): State<Shared>,
    caller: Caller,
    Body(request): Body<EmailMfaRequest>,
) -> ApiResult<StatusCode> {
    match server.store.set_email_mfa(caller.account, request.is_enabled).await? {
        WriteOutcome::Done => Ok(StatusCode::OK),
        WriteOutcome::Refused => Err(ApiError::Coded(
            StatusCode::CONFLICT,
            code::CONFLICT,
            "this account has no password to ask for instead",
        )),
    }
}

/// A challenge that only the holder of the account's keys can read: `<account>.<good until>.<signature>`.
async fn delete_challenge(State(server): State<Shared>, caller: Caller) -> ApiResult<Json<DeleteChallenge>> {
    let keys = server.store.key_attributes(caller.account).await?.ok_or(ApiError::NOT_FOUND)?;
    let (account, until) = (caller.account.to_string(), (server.store.now() + DAY_MICROS).to_string());
    let signature = server.signer.sign(DELETION, &[&account, &until]);
    let encrypted_challenge =
        token::seal(format!("{account}.{until}.{signature}").as_bytes(), &keys.public_key)
            .map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(Json(DeleteChallenge { allow_delete: true, encrypted_challenge, apps: vec!["photos".to_owned()] }))
}

async fn delete_account(
    State(server): State<Shared>,
    caller: Caller,
    Body(request): Body<DeleteAccountRequest>,
) -> ApiResult<Json<DeleteAccountResponse>> {
    if !answers_challenge(&server, caller.account, &request.challenge) {
        return Err(ApiError::FORBIDDEN);
    }
    server.store.delete_account(caller.account).await?;
    server.sessions_ended(caller.account);
    Ok(Json(DeleteAccountResponse { is_subscription_cancelled: true, user_id: caller.account }))
}

fn answers_challenge(server: &Shared, account: AccountId, challenge: &str) -> bool {
    let mut parts = challenge.splitn(3, '.');
    let (Some(owner), Some(until), Some(signature)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let is_live = until.parse::<i64>().is_ok_and(|until| until > server.store.now());
    is_live && owner == account.to_string() && server.signer.verify(DELETION, &[owner, until], signature)
}

async fn deletion_summary(State(server): State<Shared>, caller: Caller) -> ApiResult<Json<Value>> {
    own_row(&server, &caller).await?;
    Ok(Json(json!({
        "photosAndVideosCount": server.store.count_files_of(caller.account).await?,
        "authenticatorCodesCount": 0,
        "lockerRecordsCount": 0,
    })))
}
