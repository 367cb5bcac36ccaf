//! What an account is told about itself: usage, quota, signed-in devices; and its end.

use super::attributes::from_wire;
use super::{Session, SessionError};
use darkslide_crypto::keys::DeviceNameKey;
use darkslide_crypto::{recovery, sealed_box};
use darkslide_protocol::account::{DeleteAccountRequest, Session as WireSession};
use darkslide_protocol::device::{Device as WireDevice, RegisterDevice};
use darkslide_protocol::error::code;
use darkslide_protocol::{AccountId, Opaque};
use http::StatusCode;
use serde::Serialize;
use uuid::Uuid;
use zeroize::Zeroizing;

/// Who is signed in, and how full the account is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountSummary {
    /// The server's address.
    pub server: String,
    /// The account on it.
    pub account: AccountId,
    /// Its address.
    pub email: String,
    /// Bytes stored, trash included, as ciphertext.
    pub used_bytes: u64,
    /// Bytes that may be stored.
    pub quota_bytes: u64,
    /// Files, trash not included.
    pub files: u64,
}

/// One signed-in device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// What [`Session::end_device`] takes; absent for this device, whose id would be its token.
    pub id: Option<String>,
    /// Whether it is the one that asks.
    pub is_this: bool,
    /// Its name, where it has said one and the server did not exchange it.
    pub name: Option<String>,
    /// Its platform, where it has said one.
    pub platform: Option<String>,
    /// Program and system, as far as the server could tell.
    pub program: String,
    /// The address that it was last used from.
    pub address: String,
    /// µs since the epoch.
    pub signed_in_at: i64,
    /// µs since the epoch.
    pub last_used_at: i64,
}

impl Session {
    /// Usage and quota; shows at the same time whether the session still holds.
    pub async fn summary(&self) -> Result<AccountSummary, SessionError> {
        let details = self.api.account_details(true).await?;
        Ok(AccountSummary {
            server: self.api.server().to_string(),
            account: self.account,
            email: details.email,
            used_bytes: count(details.usage),
            quota_bytes: count(details.subscription.storage),
            files: count(details.file_count.unwrap_or_default()),
        })
    }

    /// All signed-in devices, this one first, then the most recently used. A server that knows only sessions lists those.
    pub async fn devices(&self) -> Result<Vec<Device>, SessionError> {
        let mut devices = match self.api.devices().await {
            Err(failure) if failure.status() == Some(StatusCode::NOT_FOUND) => {
                self.sessions_as_devices().await?
            }
            listed => {
                let key = self.keys.device_name_key();
                listed?.devices.into_iter().map(|device| opened(device, &key)).collect()
            }
        };
        devices.sort_by_key(|device| (!device.is_this, std::cmp::Reverse(device.last_used_at)));
        Ok(devices)
    }

    async fn sessions_as_devices(&self) -> Result<Vec<Device>, SessionError> {
        let own = self.token.to_header_value();
        let sessions = self.api.sessions().await?.sessions;
        Ok(sessions.into_iter().map(|session| device(session, &own)).collect())
    }

    /// Says that this session is on the device with this id (a UUID that it keeps), and gives that a name. Tells which id it has: a session
    /// stays on the device that it first was on, so where its id was lost here, it is found again.
    pub async fn name_device(&self, id: Uuid, name: &str) -> Result<Uuid, SessionError> {
        match self.say_device(id, name).await {
            Err(SessionError::Api(failure)) if failure.is_conflict() => {
                let Some(own) = self.own_device().await?.filter(|own| *own != id) else {
                    return Err(failure.into());
                };
                self.say_device(own, name).await.map(|()| own)
            }
            said => said.map(|()| id),
        }
    }

    async fn say_device(&self, id: Uuid, name: &str) -> Result<(), SessionError> {
        let sealed =
            self.keys.device_name_key().seal(id.as_bytes(), name).map_err(SessionError::DeviceName)?;
        let device = RegisterDevice {
            id: id.to_string(),
            sealed_name: Opaque::encode(sealed),
            platform: std::env::consts::OS.to_owned(),
            push: None,
        };
        Ok(self.api.register_device(&device).await?)
    }

    /// The device that this session has said it is on.
    async fn own_device(&self) -> Result<Option<Uuid>, SessionError> {
        let devices = self.api.devices().await?.devices;
        let own = devices.into_iter().find(|device| device.is_this && device.sealed_name.is_some());
        Ok(own.and_then(|device| Uuid::try_parse(&device.id).ok()))
    }

    /// Signs another device out: its session ends, and nothing wakes it any more.
    pub async fn end_device(&self, id: &str) -> Result<(), SessionError> {
        match self.api.revoke_device(id).await {
            Err(failure) if failure.code() == Some(code::DEVICE_NOT_FOUND) => Err(SessionError::NoSuchDevice),
            Err(failure) if failure.status() == Some(StatusCode::NOT_FOUND) => self.end_listed(id).await,
            answer => Ok(answer?),
        }
    }

    /// The same on a server that knows only sessions, and says of any that it has ended.
    async fn end_listed(&self, id: &str) -> Result<(), SessionError> {
        let mut listed = self.sessions_as_devices().await?.into_iter();
        if !listed.any(|device| device.id.as_deref() == Some(id)) {
            return Err(SessionError::NoSuchDevice);
        }
        Ok(self.api.end_session(id).await?)
    }

    /// The 24 words once more, from the server's copy and the master key.
    pub async fn recovery_phrase(&self) -> Result<Zeroizing<String>, SessionError> {
        let validity = self.api.session_validity().await?;
        let attributes = validity.key_attributes.ok_or(SessionError::SignUpIncomplete)?;
        let key = self.keys.recovery_key(&from_wire(&attributes)?)?;
        Ok(recovery::to_phrase(&key))
    }

    /// Deletes the account and everything in it, for ever. Only who holds the keys can: the server seals a text that
    /// must be given back.
    pub async fn delete_account(self) -> Result<(), SessionError> {
        let challenge = self.api.delete_challenge().await?;
        let sealed = challenge.encrypted_challenge.decode().map_err(|_| SessionError::Answer("challenge"))?;
        let opened = sealed_box::open(&self.keys.key_pair, &sealed).map_err(SessionError::Sealed)?;
        let text = str::from_utf8(&opened).map_err(|_| SessionError::Answer("challenge"))?;
        self.api.delete_account(&DeleteAccountRequest { challenge: text.to_owned() }).await?;
        Ok(())
    }
}

/// A listed device with its name. A name that does not open is none: what the server says is not taken for the device's word.
fn opened(device: WireDevice, key: &DeviceNameKey) -> Device {
    let name = device.sealed_name.as_ref().and_then(|sealed| {
        let id = Uuid::try_parse(&device.id).ok()?;
        key.open(id.as_bytes(), &sealed.decode().ok()?).ok()
    });
    Device {
        id: (!device.is_this).then_some(device.id),
        is_this: device.is_this,
        name,
        platform: device.platform,
        program: device.program,
        address: device.address,
        signed_in_at: device.created_at,
        last_used_at: device.last_seen_at,
    }
}

fn device(session: WireSession, own: &str) -> Device {
    let is_this = session.token == own;
    let program = if session.pretty_ua.is_empty() { session.ua } else { session.pretty_ua };
    Device {
        id: (!is_this).then_some(session.token),
        is_this,
        name: None,
        platform: None,
        program,
        address: session.ip,
        signed_in_at: session.creation_time,
        last_used_at: session.last_used_time,
    }
}

/// Counts are never negative; a server that says so means none.
fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
