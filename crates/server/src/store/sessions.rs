//! Sessions in the database: looked up by the hash of their token, deleted at once.

use super::{Store, StoreError, Tx, news};
use crate::auth::session::Device;
use darkslide_protocol::AccountId;
use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row};

/// A session that is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveSession {
    /// Whose it is.
    pub account: AccountId,
    /// When it was last used, µs since the epoch, to the minute.
    pub last_used_at: i64,
}

/// A session as its account may see it in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSession {
    /// The SHA-256 of its token.
    pub token_hash: String,
    /// By which it can be deleted.
    pub id: String,
    /// Where it was last used from.
    pub device: Device,
    /// µs since the epoch.
    pub created_at: i64,
    /// µs since the epoch.
    pub last_used_at: i64,
}

impl ListedSession {
    fn from_row(row: &AnyRow) -> Result<Self, StoreError> {
        Ok(Self {
            token_hash: row.try_get("token_hash")?,
            id: row.try_get("id")?,
            device: Device { ip: row.try_get("ip")?, user_agent: row.try_get("user_agent")? },
            created_at: row.try_get("created_at")?,
            last_used_at: row.try_get("last_used_at")?,
        })
    }
}

impl Store {
    /// The session with this token hash and app, when its account is active and it was used since `used_since`.
    pub async fn session(
        &self,
        token_hash: &str,
        app: &str,
        used_since: i64,
    ) -> Result<Option<LiveSession>, StoreError> {
        let row = sqlx::query(
            "SELECT sessions.account_id, sessions.last_used_at FROM sessions
             JOIN accounts ON accounts.id = sessions.account_id
             WHERE sessions.token_hash = $1 AND sessions.app = $2 AND sessions.last_used_at >= $3
               AND accounts.status = 'active'",
        )
        .bind(token_hash)
        .bind(app)
        .bind(used_since)
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| Ok(LiveSession { account: AccountId(row.try_get(0)?), last_used_at: row.try_get(1)? }))
            .transpose()
    }

    /// Writes down that a session was used. Nothing happens when it is gone meanwhile.
    pub async fn touch_session(&self, token_hash: &str, device: &Device, now: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "UPDATE sessions SET last_used_at = $1, ip = $2, user_agent = $3
             WHERE token_hash = $4 AND last_used_at < $1",
        )
        .bind(now)
        .bind(&device.ip)
        .bind(&device.user_agent)
        .bind(token_hash)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Starts a session. False when the account is not active any more.
    pub async fn insert_session(
        &self,
        account: AccountId,
        app: &str,
        token_hash: &str,
        device: &Device,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let mut tx = self.begin().await?;
        let inserted = sqlx::query(
            "INSERT INTO sessions (token_hash, id, account_id, app, ip, user_agent, created_at, last_used_at)
             SELECT $1, $2, id, $4, $5, $6, $7, $7 FROM accounts WHERE id = $3 AND status = 'active'",
        )
        .bind(token_hash)
        .bind(uuid::Uuid::new_v4().to_string())
        .bind(account.0)
        .bind(app)
        .bind(&device.ip)
        .bind(&device.user_agent)
        .bind(now)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(inserted == 1)
    }

    /// An account's sessions of one app, the most recently used first.
    pub async fn list_sessions(
        &self,
        account: AccountId,
        app: &str,
        used_since: i64,
    ) -> Result<Vec<ListedSession>, StoreError> {
        let rows = sqlx::query(
            "SELECT token_hash, id, ip, user_agent, created_at, last_used_at FROM sessions
             WHERE account_id = $1 AND app = $2 AND last_used_at >= $3 ORDER BY last_used_at DESC, id",
        )
        .bind(account.0)
        .bind(app)
        .bind(used_since)
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(ListedSession::from_row).collect()
    }

    /// Ends those of an account's sessions of one app whose token hash or id is given. What they write is written before, or not at all.
    pub async fn delete_session(
        &self,
        account: AccountId,
        app: &str,
        token_hash: &str,
        id: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.lock(account).await?;
        sqlx::query(
            "DELETE FROM sessions WHERE account_id = $1 AND app = $2 AND (token_hash = $3 OR id = $4)",
        )
        .bind(account.0)
        .bind(app)
        .bind(token_hash)
        .bind(id)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Refuses with [`StoreError::SessionEnded`] when the request that this task answers has no session any more. It may end at any moment
    /// after this: what writes asks in its transaction.
    pub(crate) async fn still_signed_in(&self) -> Result<(), StoreError> {
        is_signed_in(self.reader()).await
    }

    /// Ends the sessions that nobody used since `used_since`. Returns how many.
    pub async fn expire_sessions(&self, used_since: i64) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let ended = sqlx::query("DELETE FROM sessions WHERE last_used_at < $1")
            .bind(used_since)
            .execute(&mut *tx)
            .await?
            .rows_affected();
        tx.commit().await?;
        Ok(ended)
    }
}

/// Refuses with [`StoreError::SessionEnded`] when the request that this transaction is for has no session any more: a body may take
/// minutes to come, and its device may be revoked meanwhile. Where sessions end the account's row is locked first, so where it is locked
/// here, too, the session lives until the transaction is over. What is not for a request with a session passes.
pub(super) async fn must_be_signed_in(tx: &mut Tx) -> Result<(), StoreError> {
    is_signed_in(&mut **tx).await
}

async fn is_signed_in<'e>(reader: impl Executor<'e, Database = Any>) -> Result<(), StoreError> {
    let Some(session) = news::session() else { return Ok(()) };
    let row = sqlx::query(
        "SELECT 1 FROM sessions JOIN accounts ON accounts.id = sessions.account_id
         WHERE sessions.token_hash = $1 AND accounts.status = 'active'",
    )
    .bind(session)
    .fetch_optional(reader)
    .await?;
    row.map(drop).ok_or(StoreError::SessionEnded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::accounts::Admission;
    use crate::store::srp::SrpSetup;
    use crate::store::uploads::ObjectAddress;
    use darkslide_protocol::Opaque;
    use darkslide_protocol::account::{EntityKey, KeyAttributes, UpdatedKeyAttributes};

    /// A password was changed, and settings were, by a session that had ended since its request was let in.
    #[tokio::test]
    async fn a_session_that_has_ended_changes_nothing_that_no_feed_tells_either() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Store::sqlite_url(&folder.path().join("db"))).await.unwrap();
        let Admission::Account(account) = store.admit("a@example.org", true).await.unwrap() else { panic!() };
        store.insert_session(account, "photos", "here", &Device::default()).await.unwrap();
        let text = || Opaque("dGV4dA==".to_owned());
        let setup = SrpSetup {
            srp_user_id: "a".to_owned(),
            salt: text(),
            verifier: text(),
            client_public: text(),
            server_secret: text(),
        };
        let key = EntityKey {
            user_id: account,
            kind: "location".to_owned(),
            encrypted_key: text(),
            header: text(),
            created_at: 0,
        };
        let keys = KeyAttributes::default();
        let upload = ObjectAddress::generate(account);
        for (session, is_refused) in [("gone", true), ("here", false)] {
            let outcomes = news::in_session(Some(session.to_owned()), async {
                [
                    store.insert_srp_setup(account, session, &setup).await,
                    store.complete_srp_setup(account, &setup).await.map(drop),
                    store.insert_key_attributes(account, &keys).await.map(drop),
                    store.set_recovery(account, &keys.recovery).await.map(drop),
                    store
                        .change_password(account, &setup, &UpdatedKeyAttributes::default(), None)
                        .await
                        .map(drop),
                    store.set_email_mfa(account, true).await.map(drop),
                    store.set_setting(account, "mapEnabled", "true").await,
                    store.delete_setting(account, "mapEnabled").await,
                    store.insert_entity_key(account, &key).await.map(drop),
                    store.forget_upload(upload).await.map(drop),
                ]
            });
            for (number, outcome) in outcomes.await.into_iter().enumerate() {
                match outcome {
                    Err(StoreError::SessionEnded) => assert!(is_refused, "{number}"),
                    other => assert!(other.is_ok() && !is_refused, "{number}: {other:?}"),
                }
            }
        }
    }
}
