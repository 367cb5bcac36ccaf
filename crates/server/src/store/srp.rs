//! SRP in the database: the live credentials, registrations that wait for a proof, and sign-ins that wait for one.
//!
//! The state between the two calls of an exchange is here, so it survives a restart and works behind a load balancer.

use super::accounts::{WriteOutcome, lock_active};
use super::{Store, StoreError, Tx, flag};
use darkslide_protocol::account::{SrpAttributes, UpdatedKeyAttributes};
use darkslide_protocol::{AccountId, Opaque};
use sqlx::Row;

/// How long an exchange may wait for its proof, in microseconds: an hour.
pub const EXCHANGE_MICROS: i64 = 60 * 60 * 1_000_000;

/// Sign-ins of one identity that may wait for their proof at a time.
pub const UNVERIFIED_MAX: i64 = 10;

/// Proofs that may be tried in one sign-in.
pub const ATTEMPTS_MAX: i64 = 5;

/// A registration or a change of password that waits for the client's proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrpSetup {
    /// The client's identity string, as received.
    pub srp_user_id: String,
    /// As received.
    pub salt: Opaque,
    /// Padded.
    pub verifier: Opaque,
    /// A, padded.
    pub client_public: Opaque,
    /// b.
    pub server_secret: Opaque,
}

/// Live credentials that an identity names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrpCredentials {
    /// Whose they are.
    pub account: AccountId,
    /// Padded.
    pub verifier: Opaque,
    /// Whether the account asks for an e-mailed code first.
    pub email_mfa: bool,
    /// Whether the operator lets it in.
    pub is_active: bool,
}

/// A sign-in of which one more proof may be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrpAttempt {
    /// A, padded.
    pub client_public: Opaque,
    /// b.
    pub server_secret: Opaque,
}

/// Whether a proof may be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// Yes; it has been counted.
    May(SrpAttempt),
    /// There is no such sign-in, or it is too old.
    Unknown,
    /// It succeeded before.
    AlreadyVerified,
    /// Too many proofs were wrong.
    TooManyWrong,
}

impl Store {
    /// What a client needs to try a password. `None` unless both SRP and keys are set.
    pub async fn srp_attributes(&self, email: &str) -> Result<Option<SrpAttributes>, StoreError> {
        let row = sqlx::query(
            "SELECT srp_user_id, salt, mem_limit, ops_limit, kek_salt, email_mfa FROM accounts
             JOIN srp_credentials ON srp_credentials.account_id = accounts.id
             JOIN key_attributes ON key_attributes.account_id = accounts.id WHERE accounts.email = $1",
        )
        .bind(email)
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| {
            Ok(SrpAttributes {
                srp_user_id: row.try_get("srp_user_id")?,
                srp_salt: Opaque(row.try_get("salt")?),
                mem_limit: row.try_get("mem_limit")?,
                ops_limit: row.try_get("ops_limit")?,
                kek_salt: Opaque(row.try_get("kek_salt")?),
                is_email_mfa_enabled: flag(&row, "email_mfa")?,
            })
        })
        .transpose()
    }

    /// The live credentials of an identity.
    pub async fn srp_credentials(&self, srp_user_id: &str) -> Result<Option<SrpCredentials>, StoreError> {
        let row = sqlx::query(
            "SELECT account_id, verifier, email_mfa, status FROM srp_credentials
             JOIN accounts ON accounts.id = srp_credentials.account_id WHERE srp_user_id = $1",
        )
        .bind(srp_user_id)
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| {
            Ok(SrpCredentials {
                account: AccountId(row.try_get("account_id")?),
                verifier: Opaque(row.try_get("verifier")?),
                email_mfa: flag(&row, "email_mfa")?,
                is_active: row.try_get::<String, _>("status")? == "active",
            })
        })
        .transpose()
    }

    /// Begins a registration or a change of password. Earlier ones of the account stay until one of them is completed.
    pub async fn insert_srp_setup(
        &self,
        account: AccountId,
        id: &str,
        setup: &SrpSetup,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_quietly_for(account).await?;
        sqlx::query(
            "INSERT INTO srp_setups (id, account_id, srp_user_id, salt, verifier, client_public, server_secret,
               created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(id)
        .bind(account.0)
        .bind(&setup.srp_user_id)
        .bind(&setup.salt.0)
        .bind(&setup.verifier.0)
        .bind(&setup.client_public.0)
        .bind(&setup.server_secret.0)
        .bind(self.now())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// A registration or a change of password of this account that waits for its proof.
    pub async fn srp_setup(&self, account: AccountId, id: &str) -> Result<Option<SrpSetup>, StoreError> {
        let row = sqlx::query(
            "SELECT srp_user_id, salt, verifier, client_public, server_secret FROM srp_setups
             WHERE id = $1 AND account_id = $2 AND created_at > $3",
        )
        .bind(id)
        .bind(account.0)
        .bind(self.now() - EXCHANGE_MICROS)
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| {
            Ok(SrpSetup {
                srp_user_id: row.try_get("srp_user_id")?,
                salt: Opaque(row.try_get("salt")?),
                verifier: Opaque(row.try_get("verifier")?),
                client_public: Opaque(row.try_get("client_public")?),
                server_secret: Opaque(row.try_get("server_secret")?),
            })
        })
        .transpose()
    }

    /// Makes a proved registration the account's live credentials. Refused when it has some and its sign-up is
    /// finished; before that, a client that lost its way may register again.
    pub async fn complete_srp_setup(
        &self,
        account: AccountId,
        setup: &SrpSetup,
    ) -> Result<WriteOutcome, StoreError> {
        let mut tx = self.begin_quietly_for(account).await?;
        let finished: i64 = if lock_active(&mut tx, account).await? {
            sqlx::query(
                "SELECT COUNT(*) FROM srp_credentials JOIN key_attributes
                   ON key_attributes.account_id = srp_credentials.account_id WHERE srp_credentials.account_id = $1",
            )
            .bind(account.0)
            .fetch_one(&mut *tx)
            .await?
            .try_get(0)?
        } else {
            return Ok(WriteOutcome::Refused);
        };
        if finished > 0 {
            return Ok(WriteOutcome::Refused);
        }
        match replace_credentials(&mut tx, account, setup).await {
            Ok(()) => tx.commit().await?,
            Err(error) if error.is_unique_violation() => return Ok(WriteOutcome::Refused),
            Err(error) => return Err(error),
        }
        Ok(WriteOutcome::Done)
    }

    /// Makes a proved change of password live, with the key attributes that go with it, in one step. `keep_only` ends all
    /// sessions but the one with that token hash. Refused when the account's sign-up is not finished.
    pub async fn change_password(
        &self,
        account: AccountId,
        setup: &SrpSetup,
        keys: &UpdatedKeyAttributes,
        keep_only: Option<&str>,
    ) -> Result<WriteOutcome, StoreError> {
        let mut tx = self.begin_quietly_for(account).await?;
        if !lock_active(&mut tx, account).await? {
            return Ok(WriteOutcome::Refused);
        }
        let updated = sqlx::query(
            "UPDATE key_attributes SET kek_salt = $1, encrypted_key = $2, key_decryption_nonce = $3, mem_limit = $4,
               ops_limit = $5 WHERE account_id = $6",
        )
        .bind(&keys.kek_salt.0)
        .bind(&keys.encrypted_key.0)
        .bind(&keys.key_decryption_nonce.0)
        .bind(keys.mem_limit)
        .bind(keys.ops_limit)
        .bind(account.0)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if updated == 0 {
            return Ok(WriteOutcome::Refused);
        }
        match replace_credentials(&mut tx, account, setup).await {
            Err(error) if error.is_unique_violation() => return Ok(WriteOutcome::Refused),
            other => other?,
        }
        if let Some(token_hash) = keep_only {
            sqlx::query("DELETE FROM sessions WHERE account_id = $1 AND token_hash <> $2")
                .bind(account.0)
                .bind(token_hash)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(WriteOutcome::Done)
    }

    /// Begins a sign-in. False when too many of the identity already wait for their proof.
    pub async fn insert_srp_session(
        &self,
        id: &str,
        srp_user_id: &str,
        attempt: &SrpAttempt,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let mut tx = self.begin().await?;
        // Sign-ins of one identity queue here, so that they are counted right.
        sqlx::query("UPDATE srp_credentials SET salt = salt WHERE srp_user_id = $1")
            .bind(srp_user_id)
            .execute(&mut *tx)
            .await?;
        let waiting: i64 = sqlx::query(
            "SELECT COUNT(*) FROM srp_sessions WHERE srp_user_id = $1 AND verified = 0 AND created_at > $2",
        )
        .bind(srp_user_id)
        .bind(now - EXCHANGE_MICROS)
        .fetch_one(&mut *tx)
        .await?
        .try_get(0)?;
        if waiting >= UNVERIFIED_MAX {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO srp_sessions (id, srp_user_id, client_public, server_secret, attempts, verified, created_at)
             VALUES ($1, $2, $3, $4, 0, 0, $5)",
        )
        .bind(id)
        .bind(srp_user_id)
        .bind(&attempt.client_public.0)
        .bind(&attempt.server_secret.0)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Counts one try of a sign-in's proof, before it is checked: what is tried in parallel is counted, too.
    pub async fn count_srp_attempt(&self, id: &str, srp_user_id: &str) -> Result<AttemptOutcome, StoreError> {
        let mut tx = self.begin().await?;
        let row = sqlx::query(
            "UPDATE srp_sessions SET attempts = attempts + 1 WHERE id = $1 AND srp_user_id = $2 AND created_at > $3
             RETURNING client_public, server_secret, attempts, verified",
        )
        .bind(id)
        .bind(srp_user_id)
        .bind(self.now() - EXCHANGE_MICROS)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(AttemptOutcome::Unknown) };
        tx.commit().await?;
        if flag(&row, "verified")? {
            return Ok(AttemptOutcome::AlreadyVerified);
        }
        if row.try_get::<i64, _>("attempts")? > ATTEMPTS_MAX {
            return Ok(AttemptOutcome::TooManyWrong);
        }
        Ok(AttemptOutcome::May(SrpAttempt {
            client_public: Opaque(row.try_get("client_public")?),
            server_secret: Opaque(row.try_get("server_secret")?),
        }))
    }

    /// Marks a sign-in as succeeded and forgets its secret. False when another proof was faster.
    pub async fn verify_srp_session(&self, id: &str) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let verified = sqlx::query(
            "UPDATE srp_sessions SET verified = 1, server_secret = '' WHERE id = $1 AND verified = 0",
        )
        .bind(id)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(verified == 1)
    }

    /// Forgets exchanges that can be neither completed nor counted any more. Returns how many.
    pub async fn expire_srp(&self) -> Result<u64, StoreError> {
        let limit = self.now() - EXCHANGE_MICROS;
        let mut tx = self.begin().await?;
        let mut gone = 0;
        for statement in [
            "DELETE FROM srp_sessions WHERE created_at <= $1",
            "DELETE FROM srp_setups WHERE created_at <= $1",
        ] {
            gone += sqlx::query(statement).bind(limit).execute(&mut *tx).await?.rows_affected();
        }
        tx.commit().await?;
        Ok(gone)
    }
}

/// Replaces the account's live credentials and ends what else waited for a proof.
async fn replace_credentials(tx: &mut Tx, account: AccountId, setup: &SrpSetup) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO srp_credentials (account_id, srp_user_id, salt, verifier) VALUES ($1, $2, $3, $4)
         ON CONFLICT (account_id) DO UPDATE SET srp_user_id = excluded.srp_user_id, salt = excluded.salt,
           verifier = excluded.verifier",
    )
    .bind(account.0)
    .bind(&setup.srp_user_id)
    .bind(&setup.salt.0)
    .bind(&setup.verifier.0)
    .execute(&mut **tx)
    .await?;
    sqlx::query("DELETE FROM srp_setups WHERE account_id = $1").bind(account.0).execute(&mut **tx).await?;
    Ok(())
}
