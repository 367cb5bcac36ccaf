//! The sessions of an account: whether one is good, which there are, ending them. Spec 2.11.

use crate::Shared;
use crate::auth::session::{IDLE_MICROS_MAX, hash_of};
use crate::error::ApiResult;
use crate::routes::request::{Caller, token_of};
use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use darkslide_protocol::account::{Session, SessionValidity, Sessions};
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;

/// The routes of this file.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/users/session-validity/v2", get(validity))
        .route("/users/logout", post(logout))
        .route("/users/sessions", get(list))
        .route("/users/session", delete(end))
}

async fn validity(State(server): State<Shared>, caller: Caller) -> ApiResult<Json<SessionValidity>> {
    let key_attributes = server.store.key_attributes(caller.account).await?;
    Ok(Json(SessionValidity { has_set_keys: key_attributes.is_some(), key_attributes }))
}

async fn logout(State(server): State<Shared>, caller: Caller) -> ApiResult<Json<Value>> {
    server.store.delete_session(caller.account, caller.app.as_str(), &caller.token_hash, "").await?;
    server.sessions_ended(caller.account);
    Ok(Json(json!({})))
}

/// The caller's own token as it was sent: the list must show it, and the database does not have it.
struct OwnToken(String);

impl<S: Sync> FromRequestParts<S> for OwnToken {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(token_of(parts).unwrap_or_default()))
    }
}

async fn list(
    State(server): State<Shared>,
    caller: Caller,
    OwnToken(own): OwnToken,
) -> ApiResult<Json<Sessions>> {
    let used_since = server.store.now() - IDLE_MICROS_MAX;
    let rows = server.store.list_sessions(caller.account, caller.app.as_str(), used_since).await?;
    let sessions = rows
        .into_iter()
        .map(|row| Session {
            token: if row.token_hash == caller.token_hash { own.clone() } else { row.id },
            creation_time: row.created_at,
            ip: row.device.ip,
            pretty_ua: name_of(&row.device.user_agent),
            ua: row.device.user_agent,
            last_used_time: row.last_used_at,
        })
        .collect();
    Ok(Json(Sessions { sessions }))
}

/// `?token=`: a session to end, never one to sign in with.
#[derive(Debug, Deserialize)]
struct TargetQuery {
    #[serde(default)]
    token: String,
}

async fn end(
    State(server): State<Shared>,
    caller: Caller,
    Query(target): Query<TargetQuery>,
) -> ApiResult<Json<Value>> {
    let hash = hash_of(&target.token);
    server.store.delete_session(caller.account, caller.app.as_str(), &hash, &target.token).await?;
    server.sessions_ended(caller.account);
    Ok(Json(json!({})))
}

/// A device's name for people, from its `User-Agent`: “Firefox on Linux”, “Android”, or the product's own name.
pub(super) fn name_of(user_agent: &str) -> String {
    let first = |names: &[(&str, &'static str)]| {
        names.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
    };
    let system = first(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "Mac"),
        ("Linux", "Linux"),
    ]);
    let program = first(&[
        ("ente/", "Ente"),
        ("darkslide/", "Darkslide"),
        ("Edg/", "Edge"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    match (program, system) {
        (Some(program), Some(system)) => format!("{program} on {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => user_agent.split(['/', ' ']).next().unwrap_or("").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn devices_have_names_for_people() {
        let check = |agent: &str, name: &str| assert_eq!(name_of(agent), name);
        check("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux");
        check("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Safari/604.1", "Safari on iPhone");
        check("Dart/3.9 (dart:io) Android", "Android");
        check("darkslide/0.1.0", "Darkslide");
        check("curl/8.0", "curl");
        check("", "");
    }
}
