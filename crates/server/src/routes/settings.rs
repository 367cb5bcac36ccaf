//! Settings that an account's clients share, the flags that they start with, and entity keys: spec 4.3, 4.4.

use crate::Shared;
use crate::error::{ApiError, ApiResult};
use crate::routes::request::{Body, Caller};
use crate::store::accounts::WriteOutcome;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use darkslide_protocol::account::EntityKey;
use darkslide_protocol::error::code;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Settings that are `"true"` or `"false"`.
const SWITCHES: [&str; 4] = ["recoveryKeyVerified", "mapEnabled", "faceSearchEnabled", "passKeyEnabled"];

/// The one setting that is text, and the only one that can be deleted.
const CUSTOM_DOMAIN: &str = "customDomain";

/// The longest text of a setting: a domain name.
const VALUE_BYTES_MAX: usize = 255;

/// `serverApiFlag`: bit 1 says that the newer upload routes exist.
const API_FLAGS: i64 = 1;

/// The kinds of things that have entity keys.
const ENTITY_KINDS: [&str; 6] = ["location", "person", "cgroup", "smart_album", "memory", "contact"];

/// The most entities that one call may ask for.
const ENTITIES_MAX: i64 = 5000;

/// The routes of this file.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/remote-store", get(read))
        .route("/remote-store/update", post(write))
        .route("/remote-store/feature-flags", get(flags))
        .route("/remote-store/{key}", delete(remove))
        .route("/user-entity/key", get(entity_key).post(create_entity_key))
        .route("/user-entity/entity/diff", get(entity_diff))
}

/// Only what is on is said to be on: nothing here talks to third parties, sells, or has parts that are not built.
async fn flags(State(server): State<Shared>, caller: Caller) -> ApiResult<Json<Value>> {
    let settings = server.store.settings(caller.account).await?;
    let is_on = |name: &str| settings.get(name).is_some_and(|value| value == "true");
    Ok(Json(json!({
        "enableStripe": false,
        "disableCFWorker": true,
        "mapEnabled": is_on("mapEnabled"),
        "faceSearchEnabled": is_on("faceSearchEnabled"),
        "passKeyEnabled": is_on("passKeyEnabled"),
        "recoveryKeyVerified": is_on("recoveryKeyVerified"),
        "internalUser": false,
        "betaUser": false,
        "enableMobMultiPart": true,
        "serverApiFlag": API_FLAGS,
        "customDomain": settings.get(CUSTOM_DOMAIN),
        "customDomainCNAME": "",
    })))
}

/// `?key=&defaultValue=`.
#[derive(Debug, Deserialize)]
struct ReadQuery {
    #[serde(default)]
    key: String,
    #[serde(rename = "defaultValue")]
    default_value: Option<String>,
}

async fn read(
    State(server): State<Shared>,
    caller: Caller,
    Query(query): Query<ReadQuery>,
) -> ApiResult<Json<Value>> {
    let mut settings: BTreeMap<String, String> = server.store.settings(caller.account).await?;
    let value = settings.remove(&query.key).or(query.default_value).ok_or(ApiError::NOT_FOUND)?;
    Ok(Json(json!({ "value": value })))
}

/// `{"key","value"}`.
#[derive(Debug, Deserialize)]
struct WriteRequest {
    #[serde(default)]
    key: String,
    #[serde(default)]
    value: String,
}

async fn write(
    State(server): State<Shared>,
    caller: Caller,
    Body(request): Body<WriteRequest>,
) -> ApiResult<StatusCode> {
    let fits = if SWITCHES.contains(&request.key.as_str()) {
        matches!(request.value.as_str(), "true" | "false")
    } else {
        request.key == CUSTOM_DOMAIN && request.value.len() <= VALUE_BYTES_MAX
    };
    if !fits {
        return Err(ApiError::BAD_REQUEST);
    }
    server.store.set_setting(caller.account, &request.key, &request.value).await?;
    Ok(StatusCode::OK)
}

async fn remove(
    State(server): State<Shared>,
    caller: Caller,
    Path(key): Path<String>,
) -> ApiResult<StatusCode> {
    if key != CUSTOM_DOMAIN {
        return Err(ApiError::BAD_REQUEST);
    }
    server.store.delete_setting(caller.account, &key).await?;
    Ok(StatusCode::OK)
}

/// `?type=`, and for lists `sinceTime=&limit=`.
#[derive(Debug, Deserialize)]
struct EntityQuery {
    #[serde(rename = "type", default)]
    kind: String,
    limit: Option<String>,
}

async fn entity_key(
    State(server): State<Shared>,
    caller: Caller,
    Query(query): Query<EntityQuery>,
) -> ApiResult<Json<EntityKey>> {
    check_kind(&query.kind)?;
    Ok(Json(server.store.entity_key(caller.account, &query.kind).await?.ok_or(ApiError::NOT_FOUND)?))
}

async fn create_entity_key(
    State(server): State<Shared>,
    caller: Caller,
    Body(key): Body<EntityKey>,
) -> ApiResult<StatusCode> {
    check_kind(&key.kind)?;
    if key.encrypted_key.is_empty() || key.header.is_empty() {
        return Err(ApiError::BAD_REQUEST);
    }
    match server.store.insert_entity_key(caller.account, &key).await? {
        WriteOutcome::Done => Ok(StatusCode::OK),
        WriteOutcome::Refused => {
            Err(ApiError::Coded(StatusCode::CONFLICT, code::ALREADY_EXISTS, "another key is stored already"))
        }
    }
}

/// No entities can be stored here, so none have changed.
async fn entity_diff(_: Caller, Query(query): Query<EntityQuery>) -> ApiResult<Json<Value>> {
    check_kind(&query.kind)?;
    let limit: i64 = query.limit.as_deref().unwrap_or("1").parse().map_err(|_| ApiError::BAD_REQUEST)?;
    if !(1..=ENTITIES_MAX).contains(&limit) {
        return Err(ApiError::BAD_REQUEST);
    }
    Ok(Json(json!({ "diff": [] })))
}

fn check_kind(kind: &str) -> ApiResult<()> {
    if ENTITY_KINDS.contains(&kind) { Ok(()) } else { Err(ApiError::BAD_REQUEST) }
}
