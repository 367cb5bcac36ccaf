//! Small things that belong to an account or to the server: settings that clients share, entity keys, secrets.

use super::accounts::{WriteOutcome, outcome};
use super::{Store, StoreError};
use crate::auth::signer::Signer;
use crate::push::vapid::Vapid;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use darkslide_protocol::account::EntityKey;
use darkslide_protocol::{AccountId, Opaque};
use sqlx::Row;
use std::collections::BTreeMap;

impl Store {
    /// Sets one of an account's settings.
    pub async fn set_setting(&self, account: AccountId, name: &str, value: &str) -> Result<(), StoreError> {
        let mut tx = self.begin_quietly_for(account).await?;
        sqlx::query(
            "INSERT INTO remote_settings (account_id, name, value) VALUES ($1, $2, $3)
             ON CONFLICT (account_id, name) DO UPDATE SET value = excluded.value",
        )
        .bind(account.0)
        .bind(name)
        .bind(value)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Removes one of an account's settings.
    pub async fn delete_setting(&self, account: AccountId, name: &str) -> Result<(), StoreError> {
        let mut tx = self.begin_quietly_for(account).await?;
        sqlx::query("DELETE FROM remote_settings WHERE account_id = $1 AND name = $2")
            .bind(account.0)
            .bind(name)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// All of an account's settings.
    pub async fn settings(&self, account: AccountId) -> Result<BTreeMap<String, String>, StoreError> {
        sqlx::query("SELECT name, value FROM remote_settings WHERE account_id = $1")
            .bind(account.0)
            .fetch_all(self.reader())
            .await?
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }

    /// Stores an entity key. The same key again is fine; a different one is refused.
    pub async fn insert_entity_key(
        &self,
        account: AccountId,
        key: &EntityKey,
    ) -> Result<WriteOutcome, StoreError> {
        let mut tx = self.begin_quietly_for(account).await?;
        // The update changes nothing; it tells an equal row, which counts, from a different one, which does not.
        let rows = sqlx::query(
            "INSERT INTO entity_keys (account_id, kind, encrypted_key, header, created_at)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (account_id, kind) DO UPDATE SET kind = excluded.kind
             WHERE entity_keys.encrypted_key = excluded.encrypted_key AND entity_keys.header = excluded.header",
        )
        .bind(account.0)
        .bind(&key.kind)
        .bind(&key.encrypted_key.0)
        .bind(&key.header.0)
        .bind(self.now())
        .execute(&mut *tx)
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(outcome(rows))
    }

    /// An account's key for one kind of entity.
    pub async fn entity_key(&self, account: AccountId, kind: &str) -> Result<Option<EntityKey>, StoreError> {
        let row = sqlx::query(
            "SELECT encrypted_key, header, created_at FROM entity_keys WHERE account_id = $1 AND kind = $2",
        )
        .bind(account.0)
        .bind(kind)
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| {
            Ok(EntityKey {
                user_id: account,
                kind: kind.to_owned(),
                encrypted_key: Opaque(row.try_get(0)?),
                header: Opaque(row.try_get(1)?),
                created_at: row.try_get(2)?,
            })
        })
        .transpose()
    }

    /// The signer whose key every process on this database has.
    pub async fn signer(&self) -> Result<Signer, StoreError> {
        Ok(Signer::new(self.server_secret("signer").await?))
    }

    /// The key pair by which push services know every process on this database. `contact` is how they reach who runs it.
    pub async fn vapid(&self, contact: Option<String>) -> Result<Vapid, StoreError> {
        Ok(Vapid::new(self.server_secret("vapid").await?, contact))
    }

    /// A secret of the server's own: 32 bytes, made at the first call for all times and all processes.
    pub async fn server_secret(&self, name: &str) -> Result<[u8; 32], StoreError> {
        let fresh: [u8; 32] = crate::auth::random_bytes();
        let mut tx = self.begin().await?;
        let value: String = sqlx::query(
            "INSERT INTO server_secrets (name, value) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET value = server_secrets.value RETURNING value",
        )
        .bind(name)
        .bind(STANDARD.encode(fresh))
        .fetch_one(&mut *tx)
        .await?
        .try_get(0)?;
        tx.commit().await?;
        let bytes = STANDARD.decode(value).map_err(|_| StoreError::Malformed("server secret"))?;
        bytes.try_into().map_err(|_| StoreError::Malformed("server secret"))
    }
}
