//! One-time codes in the database: their hashes, and how often somebody guessed wrong.

use super::{Store, StoreError, Tx};
use crate::auth::one_time_code::{LIFETIME_MICROS, LIVE_MAX, WRONG_MAX};
use sqlx::Row;
use subtle::ConstantTimeEq;

/// What came of trying a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeOutcome {
    /// It was right, and is used up.
    Accepted,
    /// It was wrong.
    Wrong,
    /// The address has no code that is still good.
    NoneLive,
    /// So many were wrong that none is accepted any more.
    TooManyWrong,
}

impl Store {
    /// Adds a code for an address. False when it has too many live ones already.
    pub async fn insert_code(&self, email: &str, app: &str, code_hash: &str) -> Result<bool, StoreError> {
        let now = self.now();
        let mut tx = self.begin().await?;
        let live: i64 = sqlx::query(
            "SELECT COUNT(*) FROM one_time_codes WHERE email = $1 AND app = $2 AND expires_at > $3",
        )
        .bind(email)
        .bind(app)
        .bind(now)
        .fetch_one(&mut *tx)
        .await?
        .try_get(0)?;
        if live >= LIVE_MAX {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO one_time_codes (id, email, app, code_hash, wrong_attempts, expires_at, created_at)
             VALUES ($1, $2, $3, $4, 0, $5, $6)",
        )
        .bind(uuid::Uuid::new_v4().to_string())
        .bind(email)
        .bind(app)
        .bind(code_hash)
        .bind(now + LIFETIME_MICROS)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Tries a code. A right one is used up; a wrong one counts against all of the address's codes.
    pub async fn redeem_code(
        &self,
        email: &str,
        app: &str,
        code_hash: &str,
    ) -> Result<CodeOutcome, StoreError> {
        let mut tx = self.begin().await?;
        // Counting first also locks the rows, so that guesses made at the same moment are counted one by one.
        let rows = sqlx::query(
            "UPDATE one_time_codes SET wrong_attempts = wrong_attempts + 1
             WHERE email = $1 AND app = $2 AND expires_at > $3 RETURNING id, code_hash, wrong_attempts",
        )
        .bind(email)
        .bind(app)
        .bind(self.now())
        .fetch_all(&mut *tx)
        .await?;
        let mut found = None;
        let mut attempts = 0;
        for row in &rows {
            attempts = attempts.max(row.try_get::<i64, _>("wrong_attempts")?);
            let stored: String = row.try_get("code_hash")?;
            if bool::from(stored.as_bytes().ct_eq(code_hash.as_bytes())) {
                found = Some(row.try_get::<String, _>("id")?);
            }
        }
        let outcome = match found {
            _ if rows.is_empty() => CodeOutcome::NoneLive,
            _ if attempts > WRONG_MAX => CodeOutcome::TooManyWrong,
            None => CodeOutcome::Wrong,
            Some(id) => {
                use_up(&mut tx, email, app, &id).await?;
                CodeOutcome::Accepted
            }
        };
        tx.commit().await?;
        Ok(outcome)
    }

    /// Forgets codes that have expired. Returns how many.
    pub async fn expire_codes(&self) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let gone = sqlx::query("DELETE FROM one_time_codes WHERE expires_at <= $1")
            .bind(self.now())
            .execute(&mut *tx)
            .await?
            .rows_affected();
        tx.commit().await?;
        Ok(gone)
    }
}

/// Deletes the code that was right, and takes back the wrong try that its redemption was counted as.
async fn use_up(tx: &mut Tx, email: &str, app: &str, id: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM one_time_codes WHERE id = $1").bind(id).execute(&mut **tx).await?;
    sqlx::query(
        "UPDATE one_time_codes SET wrong_attempts = wrong_attempts - 1 WHERE email = $1 AND app = $2",
    )
    .bind(email)
    .bind(app)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
