//! Devices in the database. A device is there as long as its session is: with that it is forgotten, and its push endpoint with it.
//!
//! A session says once which device it is on, and is on that one for good: whoever is revoked cannot have become another device meanwhile. A device has one
//! session, the last that said its id: those that said it before end, so nobody is hidden behind another's entry.
//!
//! Whatever changes an account's devices holds the lock of its row, so a device cannot be revoked and registered at once. Names are
//! sealed.

use super::{Store, StoreError, Tx};
use darkslide_protocol::device::{PushEndpoint, RegisterDevice};
use darkslide_protocol::{AccountId, Opaque};
use sqlx::Row as _;
use sqlx::any::AnyRow;

/// A session, and the device that it is on when it said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSession {
    /// The session's id.
    pub session: String,
    /// The SHA-256 of its token, in hex.
    pub token_hash: String,
    /// The device that it is on.
    pub device: Option<StoredDevice>,
    /// The address that it was last used from.
    pub ip: String,
    /// What it called itself then.
    pub user_agent: String,
    /// µs since the epoch.
    pub created_at: i64,
    /// µs since the epoch, to the minute.
    pub last_used_at: i64,
}

/// A device that has said which it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDevice {
    /// The id that it chose.
    pub id: String,
    /// Its name, sealed.
    pub sealed_name: Opaque,
    /// Its platform.
    pub platform: String,
    /// Whether it has a push endpoint.
    pub can_be_woken: bool,
    /// When it was first registered, µs since the epoch.
    pub created_at: i64,
}

/// What became of a session that says which device it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// It is on it.
    Known {
        /// Sessions that were on it before, and have ended.
        ended: u64,
    },
    /// It is on another device, or the id is that of a session.
    Refused,
    /// There is no such session.
    SignedOut,
}

impl Store {
    /// Says which device a session is on, and what it is. Other sessions on that device end.
    pub async fn register_device(
        &self,
        account: AccountId,
        token_hash: &str,
        device: &RegisterDevice,
    ) -> Result<Registered, StoreError> {
        let mut tx = self.begin().await?;
        tx.lock(account).await?;
        let row = sqlx::query("SELECT device_id FROM sessions WHERE token_hash = $1 AND account_id = $2")
            .bind(token_hash)
            .bind(account.0)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(row) = row else { return Ok(Registered::SignedOut) };
        let is_on: Option<String> = row.try_get(0)?;
        if is_on.is_some_and(|id| id != device.id) || is_a_session(&mut tx, account, &device.id).await? {
            return Ok(Registered::Refused);
        }
        sqlx::query("UPDATE sessions SET device_id = $1 WHERE token_hash = $2")
            .bind(&device.id)
            .bind(token_hash)
            .execute(&mut *tx)
            .await?;
        let ended =
            sqlx::query("DELETE FROM sessions WHERE account_id = $1 AND device_id = $2 AND token_hash <> $3")
                .bind(account.0)
                .bind(&device.id)
                .bind(token_hash)
                .execute(&mut *tx)
                .await?
                .rows_affected();
        self.upsert_device(&mut tx, account, device).await?;
        tx.commit().await?;
        Ok(Registered::Known { ended })
    }

    async fn upsert_device(
        &self,
        tx: &mut Tx,
        account: AccountId,
        device: &RegisterDevice,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO devices (account_id, id, sealed_name, platform, push, created_at)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account_id, id)
             DO UPDATE SET sealed_name = excluded.sealed_name, platform = excluded.platform, push = excluded.push",
        )
        .bind(account.0)
        .bind(&device.id)
        .bind(&device.sealed_name.0)
        .bind(&device.platform)
        .bind(device.push.as_ref().map(stored_endpoint))
        .bind(self.now())
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Ends all sessions on a device, or the session with that id, and forgets the device with its push endpoint. False when there is neither.
    /// A session's own id is good for it even after it has said which device it is on: that is how it was listed before.
    pub async fn revoke_device(&self, account: AccountId, id: &str) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        tx.lock(account).await?;
        let ended = sqlx::query("DELETE FROM sessions WHERE account_id = $1 AND (device_id = $2 OR id = $2)")
            .bind(account.0)
            .bind(id)
            .execute(&mut *tx)
            .await?
            .rows_affected();
        forget_unused(&mut tx, account).await?;
        tx.commit().await?;
        Ok(ended > 0)
    }

    /// The account's sessions that were used since `used_since`, with their devices, the most recently used first.
    pub async fn device_sessions(
        &self,
        account: AccountId,
        used_since: i64,
    ) -> Result<Vec<DeviceSession>, StoreError> {
        let rows = sqlx::query(
            "SELECT sessions.id AS session, sessions.token_hash, sessions.ip, sessions.user_agent,
                    sessions.created_at, sessions.last_used_at, devices.id AS device, devices.sealed_name,
                    devices.platform, devices.created_at AS device_created_at,
                    CASE WHEN devices.push IS NULL THEN 0 ELSE 1 END AS can_be_woken
             FROM sessions
             LEFT JOIN devices ON devices.account_id = sessions.account_id AND devices.id = sessions.device_id
             WHERE sessions.account_id = $1 AND sessions.last_used_at >= $2
             ORDER BY sessions.last_used_at DESC, sessions.id",
        )
        .bind(account.0)
        .bind(used_since)
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(device_session).collect()
    }

    /// The ids of the devices that can be woken, and the endpoint of each as it is stored, without the one that the session `by` is on.
    pub async fn devices_to_wake(
        &self,
        account: AccountId,
        by: Option<&str>,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, push FROM devices WHERE account_id = $1 AND push IS NOT NULL AND NOT EXISTS
               (SELECT 1 FROM sessions WHERE sessions.account_id = devices.account_id
                AND device_id = devices.id AND token_hash = $2)
             ORDER BY id",
        )
        .bind(account.0)
        .bind(by.unwrap_or(""))
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Where a device can be woken now; nowhere, once no session is on it.
    pub async fn push_endpoint(
        &self,
        account: AccountId,
        device: &str,
    ) -> Result<Option<PushEndpoint>, StoreError> {
        let row = sqlx::query(
            "SELECT push FROM devices WHERE account_id = $1 AND id = $2 AND EXISTS
               (SELECT 1 FROM sessions
                WHERE sessions.account_id = devices.account_id AND device_id = devices.id)",
        )
        .bind(account.0)
        .bind(device)
        .fetch_optional(self.reader())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let stored: Option<String> = row.try_get(0)?;
        let endpoint = stored.map(|text| serde_json::from_str(&text)).transpose();
        endpoint.map_err(|_| StoreError::Malformed("push endpoint"))
    }

    /// Forgets where a device could be woken, unless it has said something else since.
    pub async fn forget_push_endpoint(
        &self,
        account: AccountId,
        device: &str,
        endpoint: &PushEndpoint,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE devices SET push = NULL WHERE account_id = $1 AND id = $2 AND push = $3")
            .bind(account.0)
            .bind(device)
            .bind(stored_endpoint(endpoint))
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Forgets devices whose last session has ended. Returns how many.
    pub async fn forget_unused_devices(&self) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let forgotten = sqlx::query(
            "DELETE FROM devices WHERE NOT EXISTS
               (SELECT 1 FROM sessions WHERE sessions.account_id = devices.account_id AND device_id = devices.id)",
        )
        .execute(&mut *tx)
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(forgotten)
    }
}

/// Whether one of the account's sessions is listed by that id: a device must not be taken for it.
async fn is_a_session(tx: &mut Tx, account: AccountId, id: &str) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT 1 FROM sessions WHERE account_id = $1 AND id = $2")
        .bind(account.0)
        .bind(id)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.is_some())
}

/// Forgets an account's devices on which no session is.
async fn forget_unused(tx: &mut Tx, account: AccountId) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM devices WHERE account_id = $1 AND NOT EXISTS
           (SELECT 1 FROM sessions WHERE sessions.account_id = devices.account_id AND device_id = devices.id)",
    )
    .bind(account.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(crate) fn stored_endpoint(push: &PushEndpoint) -> String {
    serde_json::to_string(push).expect("an endpoint is JSON")
}

fn device_session(row: &AnyRow) -> Result<DeviceSession, StoreError> {
    let device = match row.try_get::<Option<String>, _>("device")? {
        None => None,
        Some(id) => Some(StoredDevice {
            id,
            sealed_name: Opaque(row.try_get("sealed_name")?),
            platform: row.try_get("platform")?,
            can_be_woken: row.try_get::<i64, _>("can_be_woken")? != 0,
            created_at: row.try_get("device_created_at")?,
        }),
    };
    Ok(DeviceSession {
        session: row.try_get("session")?,
        token_hash: row.try_get("token_hash")?,
        device,
        ip: row.try_get("ip")?,
        user_agent: row.try_get("user_agent")?,
        created_at: row.try_get("created_at")?,
        last_used_at: row.try_get("last_used_at")?,
    })
}
