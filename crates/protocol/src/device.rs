//! The devices of an account: who is signed in, as the account itself sees it.
//!
//! A device's name is sealed under a key that only the account has; the server sees that there is one, and a word for the platform.

use crate::Opaque;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest sealed name, in characters of base64.
pub const SEALED_NAME_MAX: usize = 1024;

/// The longest word for a platform, in characters.
pub const PLATFORM_MAX: usize = 32;

/// The longest push endpoint, in characters.
pub const PUSH_ENDPOINT_MAX: usize = 2048;

/// `PUT /v1/devices/self`: which device the caller's session is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegisterDevice {
    /// A UUID that the device chose once, in lower case; the same whenever it signs in.
    #[schema(pattern = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    pub id: String,
    /// Its name, sealed.
    #[schema(
        value_type = String, max_length = 1024,
        pattern = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)$"
    )]
    pub sealed_name: Opaque,
    /// A short word in lower case, such as `linux` or `android`.
    #[schema(pattern = "^[a-z0-9-]{1,32}$")]
    pub platform: String,
    /// Where it can be woken; absent when it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<PushEndpoint>,
}

/// Where a device can be woken: what a UnifiedPush distributor or a browser's Push API gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushEndpoint {
    /// An `https` URL without credentials; where the server allows private ones, `http` too.
    #[schema(format = "uri", max_length = 2048)]
    pub endpoint: String,
    /// The public key that messages are encrypted to (RFC 8291), 65 bytes in base64url without padding; together with `auth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^B[A-P][A-Za-z0-9_-]{84}[AEIMQUYcgkosw048]$")]
    pub p256dh: Option<String>,
    /// The secret that authenticates them (RFC 8291), 16 bytes in base64url without padding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
    pub auth: Option<String>,
}

/// `GET /v1/devices`, the one that was seen last first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Devices {
    /// Every device that is signed in; a session that never said which device it is on counts as one.
    pub devices: Vec<Device>,
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// By which it can be revoked: the id that it chose, or its session's.
    pub id: String,
    /// Whether it is the caller's.
    pub is_this: bool,
    /// Its name, sealed; absent for one that never said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_name: Option<Opaque>,
    /// Its platform, as it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Program and system, as far as the server could tell from the last request.
    pub program: String,
    /// The address that it was last used from.
    pub address: String,
    /// When it was first seen, µs since the epoch.
    pub created_at: i64,
    /// When it was last seen, µs since the epoch, to the minute.
    pub last_seen_at: i64,
    /// Whether it can be woken.
    pub can_be_woken: bool,
}
