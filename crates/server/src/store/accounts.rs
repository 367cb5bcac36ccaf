//! Accounts and their wrapped keys in the database.
//!
//! An address belongs to at most one account that is not deleted. Deleting frees it, ends every session and every share and gives
//! the objects up in the same transaction; the rows that describe files are removed later, in pieces.

use super::clocks::Reach;
use super::{Store, StoreError, Tx, flag};
use darkslide_protocol::account::{KeyAttributes, RecoveryAttributes};
use darkslide_protocol::{AccountId, Opaque};
use sqlx::Row;
use sqlx::any::AnyRow;

/// An account as sign-up and sign-in see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownAccount {
    /// Its id.
    pub id: AccountId,
    /// Whether the operator lets it in.
    pub is_active: bool,
    /// Whether its sign-up was finished.
    pub has_keys: bool,
}

/// What came of asking for an account by a proved address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The account that has this address, new or not.
    Account(AccountId),
    /// The operator has disabled it.
    Disabled,
    /// There is none, and none may be made.
    Closed,
}

/// What came of a write that may be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// Done.
    Done,
    /// Something else is there already.
    Refused,
}

/// What an account is told about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Its address.
    pub email: String,
    /// Bytes of ciphertext.
    pub usage: i64,
    /// Bytes; `None` is the server's default.
    pub quota: Option<i64>,
    /// Whether it asks for an e-mailed code.
    pub email_mfa: bool,
    /// Whether it can sign in with a password.
    pub has_srp: bool,
}

impl Store {
    /// The account with this address.
    pub async fn account_by_email(&self, email: &str) -> Result<Option<KnownAccount>, StoreError> {
        let row = sqlx::query(
            "SELECT accounts.id, accounts.status, key_attributes.account_id AS keyed FROM accounts
             LEFT JOIN key_attributes ON key_attributes.account_id = accounts.id WHERE accounts.email = $1",
        )
        .bind(email)
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| {
            Ok(KnownAccount {
                id: AccountId(row.try_get("id")?),
                is_active: row.try_get::<String, _>("status")? == "active",
                has_keys: row.try_get::<Option<i64>, _>("keyed")?.is_some(),
            })
        })
        .transpose()
    }

    /// Whether an address that has no account may get one: anybody when sign-up is `open`; otherwise whoever is first,
    /// and who is invited.
    pub async fn admits(&self, email: &str, open: bool) -> Result<bool, StoreError> {
        if open {
            return Ok(true);
        }
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM accounts WHERE status <> 'deleted') AS accounts,
                    (SELECT COUNT(*) FROM invitations WHERE email = $1) AS invitations",
        )
        .bind(email)
        .fetch_one(self.reader())
        .await?;
        Ok(row.try_get::<i64, _>("accounts")? == 0 || row.try_get::<i64, _>("invitations")? > 0)
    }

    /// The account of an address that its owner has proved to be theirs; makes one when there is none and one may be
    /// made. An invitation is used up, and its quota passed on.
    pub async fn admit(&self, email: &str, open: bool) -> Result<Admission, StoreError> {
        let id = self.next_id().await?;
        let mut tx = self.begin().await?;
        // Sign-ups queue here, so that two of them cannot both be the first.
        sqlx::query("UPDATE id_blocks SET next = next WHERE name = 'all'").execute(&mut *tx).await?;
        let known = sqlx::query("SELECT id, status FROM accounts WHERE email = $1")
            .bind(email)
            .fetch_optional(&mut *tx)
            .await?;
        if let Some(row) = known {
            return Ok(match row.try_get::<String, _>("status")?.as_str() {
                "active" => Admission::Account(AccountId(row.try_get("id")?)),
                _ => Admission::Disabled,
            });
        }
        let invitation = sqlx::query("DELETE FROM invitations WHERE email = $1 RETURNING quota")
            .bind(email)
            .fetch_optional(&mut *tx)
            .await?;
        let others: i64 = sqlx::query("SELECT COUNT(*) FROM accounts WHERE status <> 'deleted'")
            .fetch_one(&mut *tx)
            .await?
            .try_get(0)?;
        if !open && invitation.is_none() && others > 0 {
            return Ok(Admission::Closed);
        }
        let quota: Option<i64> = invitation.map(|row| row.try_get("quota")).transpose()?.flatten();
        sqlx::query(
            "INSERT INTO accounts (id, email, status, version, usage, quota, email_mfa, created_at)
             VALUES ($1, $2, 'active', 0, 0, $3, 0, $4)",
        )
        .bind(id)
        .bind(email)
        .bind(quota)
        .bind(self.now())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Admission::Account(AccountId(id)))
    }

    /// The account's wrapped keys, once its sign-up is finished.
    pub async fn key_attributes(&self, account: AccountId) -> Result<Option<KeyAttributes>, StoreError> {
        sqlx::query("SELECT * FROM key_attributes WHERE account_id = $1")
            .bind(account.0)
            .fetch_optional(self.reader())
            .await?
            .as_ref()
            .map(key_attributes_from_row)
            .transpose()
    }

    /// Stores the account's wrapped keys. Refused when it has some: they would lock it out of everything it stored.
    pub async fn insert_key_attributes(
        &self,
        account: AccountId,
        keys: &KeyAttributes,
    ) -> Result<WriteOutcome, StoreError> {
        let mut tx = self.begin_quietly_for(account).await?;
        let query = sqlx::query(
            "INSERT INTO key_attributes (account_id, kek_salt, mem_limit, ops_limit, encrypted_key,
               key_decryption_nonce, public_key, encrypted_secret_key, secret_key_decryption_nonce,
               master_key_encrypted_with_recovery_key, master_key_decryption_nonce,
               recovery_key_encrypted_with_master_key, recovery_key_decryption_nonce)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (account_id) DO NOTHING",
        );
        let recovery = &keys.recovery;
        let inserted = query
            .bind(account.0)
            .bind(&keys.kek_salt.0)
            .bind(keys.mem_limit)
            .bind(keys.ops_limit)
            .bind(&keys.encrypted_key.0)
            .bind(&keys.key_decryption_nonce.0)
            .bind(&keys.public_key.0)
            .bind(&keys.encrypted_secret_key.0)
            .bind(&keys.secret_key_decryption_nonce.0)
            .bind(&recovery.master_key_encrypted_with_recovery_key.0)
            .bind(&recovery.master_key_decryption_nonce.0)
            .bind(&recovery.recovery_key_encrypted_with_master_key.0)
            .bind(&recovery.recovery_key_decryption_nonce.0)
            .execute(&mut *tx)
            .await?
            .rows_affected();
        tx.commit().await?;
        Ok(outcome(inserted))
    }

    /// Stores the recovery fields of an old account that has none. Refused when it has some, or no keys at all.
    pub async fn set_recovery(
        &self,
        account: AccountId,
        recovery: &RecoveryAttributes,
    ) -> Result<WriteOutcome, StoreError> {
        let mut tx = self.begin_quietly_for(account).await?;
        let updated = sqlx::query(
            "UPDATE key_attributes SET master_key_encrypted_with_recovery_key = $1, master_key_decryption_nonce = $2,
               recovery_key_encrypted_with_master_key = $3, recovery_key_decryption_nonce = $4
             WHERE account_id = $5 AND recovery_key_encrypted_with_master_key = ''",
        )
        .bind(&recovery.master_key_encrypted_with_recovery_key.0)
        .bind(&recovery.master_key_decryption_nonce.0)
        .bind(&recovery.recovery_key_encrypted_with_master_key.0)
        .bind(&recovery.recovery_key_decryption_nonce.0)
        .bind(account.0)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(outcome(updated))
    }

    /// The public key of the account with this address.
    pub async fn public_key_of(&self, email: &str) -> Result<Option<Opaque>, StoreError> {
        let row = sqlx::query(
            "SELECT public_key FROM key_attributes JOIN accounts ON accounts.id = key_attributes.account_id
             WHERE accounts.email = $1 AND accounts.status = 'active'",
        )
        .bind(email)
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| Ok(Opaque(row.try_get(0)?))).transpose()
    }

    /// What an account is told about itself. `None` once it is deleted.
    pub async fn account(&self, account: AccountId) -> Result<Option<AccountRow>, StoreError> {
        let row = sqlx::query(
            "SELECT email, usage, quota, email_mfa,
               (SELECT COUNT(*) FROM srp_credentials WHERE account_id = accounts.id) AS credentials
             FROM accounts WHERE id = $1 AND email IS NOT NULL",
        )
        .bind(account.0)
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| {
            Ok(AccountRow {
                email: row.try_get("email")?,
                usage: row.try_get("usage")?,
                quota: row.try_get("quota")?,
                email_mfa: flag(&row, "email_mfa")?,
                has_srp: row.try_get::<i64, _>("credentials")? > 0,
            })
        })
        .transpose()
    }

    /// How many files an account has that are not purged, those in the trash included. Reads an entry of each.
    pub async fn count_files_of(&self, account: AccountId) -> Result<i64, StoreError> {
        let count = sqlx::query("SELECT COUNT(*) FROM files WHERE owner_id = $1 AND is_purged = 0");
        Ok(count.bind(account.0).fetch_one(self.reader()).await?.try_get(0)?)
    }

    /// Makes the account ask for an e-mailed code, or not. Refused to switch off when it has no password to ask for.
    pub async fn set_email_mfa(&self, account: AccountId, enabled: bool) -> Result<WriteOutcome, StoreError> {
        let mut tx = self.begin_quietly_for(account).await?;
        let updated = sqlx::query(
            "UPDATE accounts SET email_mfa = $1 WHERE id = $2
               AND ($1 = 1 OR EXISTS (SELECT 1 FROM srp_credentials WHERE account_id = accounts.id))",
        )
        .bind(i64::from(enabled))
        .bind(account.0)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(outcome(updated))
    }

    /// Gives the account another address. Refused when that has an account.
    pub async fn change_email(&self, account: AccountId, email: &str) -> Result<WriteOutcome, StoreError> {
        let reach = Reach { all_shared: true, ..Reach::default() };
        let mut tx = self.begin_for(account, reach).await?;
        let updated = sqlx::query("UPDATE accounts SET email = $1 WHERE id = $2 AND status = 'active'")
            .bind(email)
            .bind(account.0)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::from);
        match updated {
            Ok(updated) => {
                self.tell_of_address(&mut tx, account).await?;
                tx.commit().await?;
                Ok(outcome(updated.rows_affected()))
            }
            Err(error) if error.is_unique_violation() => Ok(WriteOutcome::Refused),
            Err(error) => Err(error),
        }
    }

    /// Deletes an account: its address is free, its keys and sessions are gone, its objects are garbage. False when it
    /// was gone already.
    pub async fn delete_account(&self, account: AccountId) -> Result<bool, StoreError> {
        let now = self.now();
        let mut tx = self.begin_for(account, Reach { all_shared: true, ..Reach::default() }).await?;
        self.end_all_shares(&mut tx, account).await?;
        forget_what_others_saw(&mut tx, account).await?;
        let deleted = sqlx::query(
            "UPDATE accounts SET status = 'deleted', email = NULL, usage = 0 WHERE id = $1 AND status <> 'deleted'",
        )
        .bind(account.0)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if deleted == 0 {
            return Ok(false);
        }
        for statement in [
            "DELETE FROM sessions WHERE account_id = $1",
            "DELETE FROM devices WHERE account_id = $1",
            "DELETE FROM srp_setups WHERE account_id = $1",
            "DELETE FROM srp_credentials WHERE account_id = $1",
            "DELETE FROM key_attributes WHERE account_id = $1",
            "DELETE FROM remote_settings WHERE account_id = $1",
            "DELETE FROM entity_keys WHERE account_id = $1",
        ] {
            sqlx::query(statement).bind(account.0).execute(&mut *tx).await?;
        }
        for statement in [
            // Those of its files, and those that never became one: each found through an index.
            "UPDATE objects SET state = 'garbage', expires_at = $1
             WHERE account_id = $2 AND file_id IN (SELECT id FROM files WHERE owner_id = $2)",
            "UPDATE objects SET state = 'garbage', expires_at = $1
             WHERE account_id = $2 AND state IN ('open', 'stored', 'garbage') AND state <> 'committed'",
            "UPDATE uploads SET expires_at = $1 WHERE account_id = $2",
        ] {
            sqlx::query(statement).bind(now).bind(account.0).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}

/// Others' feeds still name what they saw of the account: its collections and its files in theirs, all tombstones by now. These stay
/// when the rest is removed, so nothing is left in them.
async fn forget_what_others_saw(tx: &mut Tx, account: AccountId) -> Result<(), StoreError> {
    for statement in [
        "UPDATE collections SET encrypted_key = '-', key_decryption_nonce = '-', encrypted_name = '-',
                                name_decryption_nonce = '-', encrypted_path = NULL, path_decryption_nonce = NULL,
                                magic_metadata = NULL, pub_magic_metadata = NULL
         WHERE owner_id = $1 AND EXISTS (SELECT 1 FROM shares WHERE shares.collection_id = collections.id)",
        "UPDATE files SET is_purged = 1, metadata = '-', metadata_header = '-', file_header = '-',
                          thumbnail_header = '-', magic_metadata = NULL, pub_magic_metadata = NULL
         WHERE owner_id = $1 AND EXISTS (SELECT 1 FROM memberships WHERE memberships.file_id = files.id
                                         AND memberships.account_id <> $1)",
    ] {
        sqlx::query(statement).bind(account.0).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Whether a conditional statement changed its row.
pub(super) fn outcome(rows: u64) -> WriteOutcome {
    if rows == 0 { WriteOutcome::Refused } else { WriteOutcome::Done }
}

/// Locks the account's row and says whether it is active.
pub(super) async fn lock_active(tx: &mut Tx, account: AccountId) -> Result<bool, StoreError> {
    let locked = sqlx::query("UPDATE accounts SET version = version WHERE id = $1 AND status = 'active'")
        .bind(account.0)
        .execute(&mut **tx)
        .await?;
    Ok(locked.rows_affected() == 1)
}

fn key_attributes_from_row(row: &AnyRow) -> Result<KeyAttributes, StoreError> {
    let text = |column: &str| Ok::<_, StoreError>(Opaque(row.try_get(column)?));
    Ok(KeyAttributes {
        kek_salt: text("kek_salt")?,
        mem_limit: row.try_get("mem_limit")?,
        ops_limit: row.try_get("ops_limit")?,
        encrypted_key: text("encrypted_key")?,
        key_decryption_nonce: text("key_decryption_nonce")?,
        public_key: text("public_key")?,
        encrypted_secret_key: text("encrypted_secret_key")?,
        secret_key_decryption_nonce: text("secret_key_decryption_nonce")?,
        recovery: RecoveryAttributes {
            master_key_encrypted_with_recovery_key: text("master_key_encrypted_with_recovery_key")?,
            master_key_decryption_nonce: text("master_key_decryption_nonce")?,
            recovery_key_encrypted_with_master_key: text("recovery_key_encrypted_with_master_key")?,
            recovery_key_decryption_nonce: text("recovery_key_decryption_nonce")?,
        },
    })
}
