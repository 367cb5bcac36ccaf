//! `/v1/devices`: which devices are signed in, and signing one out.
//!
//! Push endpoints are kept and never shown; `push` wakes devices by them.

use super::super::request::{Body, Caller};
use super::super::sessions::name_of;
use crate::Shared;
use crate::auth::session::IDLE_MICROS_MAX;
use crate::error::{ApiError, ApiResult};
use crate::push::message::Keys;
use crate::routes::request::App;
use crate::store::devices::{DeviceSession, Registered};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use darkslide_protocol::Problem;
use darkslide_protocol::device::{
    Device, Devices, PLATFORM_MAX, PUSH_ENDPOINT_MAX, PushEndpoint, RegisterDevice, SEALED_NAME_MAX,
};
use darkslide_protocol::error::code;
use url::Url;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

/// What is said to a session that would be another device than it is.
const ANOTHER_DEVICE: &str =
    "a session is on one device for good, under an id of its own: sign in anew to be on another one";

/// What is said of an id that nothing has.
const NO_DEVICE: &str =
    "no device that is signed in has that id: it was signed out already, or there never was one";

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(register)).routes(routes!(revoke))
}

/// Lists the devices that are signed in, the one that was seen last first.
#[utoipa::path(
    get, path = "/v1/devices", security(("session" = [])),
    responses(
        (status = 200, body = Devices),
    )
)]
async fn list(State(server): State<Shared>, caller: Caller) -> ApiResult<Json<Devices>> {
    let caller = of_storage(caller)?;
    let used_since = server.store.now() - IDLE_MICROS_MAX;
    let sessions = server.store.device_sessions(caller.account, used_since).await?;
    Ok(Json(Devices { devices: together(sessions, &caller.token_hash) }))
}

/// Says which device the caller's session is on, its sealed name, its platform and where it can be woken.
///
/// Said again, it replaces what was said before, but for the id: a session is on one device for good. Without `push` the device cannot be woken any
/// more. A device has one session: another one that said the same id before ends.
#[utoipa::path(
    put, path = "/v1/devices/self", request_body = RegisterDevice, security(("session" = [])),
    responses(
        (status = 204, description = "Known now"),
        (status = 400, body = Problem, description = "No UUID in lower case, no sealed name, no such platform or endpoint"),
        (status = 409, body = Problem, description = "The session is on another device, or the id is a session's"),
    )
)]
async fn register(
    State(server): State<Shared>,
    caller: Caller,
    Body(device): Body<RegisterDevice>,
) -> ApiResult<StatusCode> {
    let caller = of_storage(caller)?;
    if !is_well_formed(&device, server.config.push_allow_private) {
        return Err(ApiError::BAD_REQUEST);
    }
    match server.store.register_device(caller.account, &caller.token_hash, &device).await? {
        Registered::Known { ended } => {
            if ended > 0 {
                server.sessions_ended(caller.account);
            }
            Ok(StatusCode::NO_CONTENT)
        }
        Registered::Refused => Err(ApiError::Coded(StatusCode::CONFLICT, code::CONFLICT, ANOTHER_DEVICE)),
        Registered::SignedOut => Err(ApiError::Gate(StatusCode::UNAUTHORIZED, "invalid token")),
    }
}

/// Signs a device out: its session ends and its push endpoint is forgotten, at once.
///
/// Asked again, it is 404: there is no such device any more.
#[utoipa::path(
    delete, path = "/v1/devices/{id}", security(("session" = [])),
    params(("id" = String, Path, description = "As listed")),
    responses(
        (status = 204, description = "Signed out"),
        (status = 404, body = Problem, description = "`DEVICE_NOT_FOUND`: no device that is signed in has that id"),
    )
)]
async fn revoke(
    State(server): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<StatusCode> {
    let caller = of_storage(caller)?;
    if !server.store.revoke_device(caller.account, &id).await? {
        return Err(ApiError::Coded(StatusCode::NOT_FOUND, code::DEVICE_NOT_FOUND, NO_DEVICE));
    }
    server.sessions_ended(caller.account);
    Ok(StatusCode::NO_CONTENT)
}

/// Refuses the authenticator's sessions, which have nothing to do with pictures.
fn of_storage(caller: Caller) -> ApiResult<Caller> {
    if caller.app == App::Auth { Err(ApiError::FORBIDDEN) } else { Ok(caller) }
}

/// One entry a device, at the place of its most recently used session.
fn together(sessions: Vec<DeviceSession>, own: &str) -> Vec<Device> {
    let mut devices: Vec<Device> = Vec::new();
    for session in sessions {
        let is_this = session.token_hash == own;
        let id = session.device.as_ref().map_or(&session.session, |device| &device.id);
        match devices.iter_mut().find(|device| device.id == *id) {
            Some(device) => device.is_this |= is_this,
            None => devices.push(device_of(session, is_this)),
        }
    }
    devices
}

fn device_of(session: DeviceSession, is_this: bool) -> Device {
    let program = name_of(&session.user_agent);
    let (address, last_seen_at) = (session.ip, session.last_used_at);
    match session.device {
        Some(device) => Device {
            id: device.id,
            is_this,
            sealed_name: Some(device.sealed_name),
            platform: Some(device.platform),
            program,
            address,
            created_at: device.created_at,
            last_seen_at,
            can_be_woken: device.can_be_woken,
        },
        None => Device {
            id: session.session,
            is_this,
            sealed_name: None,
            platform: None,
            program,
            address,
            created_at: session.created_at,
            last_seen_at,
            can_be_woken: false,
        },
    }
}

fn is_well_formed(device: &RegisterDevice, allow_private: bool) -> bool {
    let is_id = Uuid::try_parse(&device.id).is_ok_and(|id| id.to_string() == device.id);
    let name = &device.sealed_name;
    let is_name = name.0.len() <= SEALED_NAME_MAX && name.decode().is_ok_and(|bytes| !bytes.is_empty());
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_platform =
        (1..=PLATFORM_MAX).contains(&device.platform.len()) && device.platform.bytes().all(is_word);
    is_id
        && is_name
        && is_platform
        && device.push.as_ref().is_none_or(|push| is_endpoint(push, allow_private))
}

/// Whether an endpoint may be kept. Where it leads is judged when it is used: `push::address`.
fn is_endpoint(push: &PushEndpoint, allow_http: bool) -> bool {
    push.endpoint.len() <= PUSH_ENDPOINT_MAX
        && Keys::of(push).is_ok()
        && Url::parse(&push.endpoint).is_ok_and(|url| {
            let is_scheme = url.scheme() == "https" || (allow_http && url.scheme() == "http");
            is_scheme && url.has_host() && url.username().is_empty() && url.password().is_none()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_https_urls_without_credentials() {
        let check = |endpoint: &str, fits| {
            let push = PushEndpoint { endpoint: endpoint.to_owned(), p256dh: None, auth: None };
            assert_eq!(is_endpoint(&push, false), fits, "{endpoint}");
            let is_http = endpoint.starts_with("http://");
            assert_eq!(is_endpoint(&push, true), fits || is_http, "{endpoint}");
        };
        check("https://push.example.org/abc?token=1", true);
        check("https://[2001:db8::1]:8443/x", true);
        check("http://push.example.org/abc", false);
        check("https://user:secret@push.example.org/", false);
        check("file:///etc/passwd", false);
        check("push.example.org", false);
        check("", false);
        check(&format!("https://h/{}", "x".repeat(PUSH_ENDPOINT_MAX)), false);
    }
}
