//! The operator's statements: invitations, quotas, shutting out, counting, and removing what deleted accounts left.

use super::accounts::lock_active;
use super::{Store, StoreError};
use crate::operator::{ListedAccount, Standing};
use darkslide_protocol::AccountId;
use sqlx::Row;
use sqlx::any::AnyRow;

/// Sums over all accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Accounts that are not deleted.
    pub accounts: i64,
    /// Bytes of ciphertext.
    pub usage: i64,
}

impl Store {
    /// Lets an address sign up.
    pub async fn invite(&self, email: &str, quota: Option<i64>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO invitations (email, quota, created_at) VALUES ($1, $2, $3)
             ON CONFLICT (email) DO UPDATE SET quota = excluded.quota",
        )
        .bind(email)
        .bind(quota)
        .bind(self.now())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes an invitation back. False when there was none.
    pub async fn uninvite(&self, email: &str) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let removed = sqlx::query("DELETE FROM invitations WHERE email = $1")
            .bind(email)
            .execute(&mut *tx)
            .await?
            .rows_affected();
        tx.commit().await?;
        Ok(removed > 0)
    }

    /// All accounts that are not deleted and all invited addresses, by address.
    pub async fn list_accounts(&self) -> Result<Vec<ListedAccount>, StoreError> {
        let mut listed = Vec::new();
        let accounts = sqlx::query(
            "SELECT accounts.email, accounts.id, accounts.status, accounts.usage, accounts.quota, accounts.created_at,
               (SELECT COUNT(*) FROM key_attributes WHERE account_id = accounts.id) AS keys,
               (SELECT COUNT(*) FROM files WHERE owner_id = accounts.id AND is_purged = 0) AS files,
               (SELECT MAX(last_used_at) FROM sessions WHERE account_id = accounts.id) AS last_used_at
             FROM accounts WHERE email IS NOT NULL",
        )
        .fetch_all(self.reader())
        .await?;
        for row in &accounts {
            listed.push(account_from_row(row)?);
        }
        let invitations =
            sqlx::query("SELECT email, quota, created_at FROM invitations").fetch_all(self.reader()).await?;
        for row in &invitations {
            listed.push(ListedAccount {
                email: row.try_get("email")?,
                id: None,
                standing: Standing::Invited,
                usage: 0,
                quota: row.try_get("quota")?,
                files: 0,
                created_at: row.try_get("created_at")?,
                last_used_at: None,
            });
        }
        listed.sort_by(|one, other| one.email.cmp(&other.email));
        Ok(listed)
    }

    /// Gives an account or an invited address a quota. False when there is neither.
    pub async fn set_quota(&self, email: &str, quota: Option<i64>) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let mut changed = 0;
        for statement in [
            "UPDATE accounts SET quota = $1 WHERE email = $2",
            "UPDATE invitations SET quota = $1 WHERE email = $2",
        ] {
            changed +=
                sqlx::query(statement).bind(quota).bind(email).execute(&mut *tx).await?.rows_affected();
        }
        tx.commit().await?;
        Ok(changed > 0)
    }

    /// Lets an account in, or shuts it out and ends its sessions in the same step.
    pub async fn set_active(&self, account: AccountId, active: bool) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE accounts SET status = $1 WHERE id = $2 AND status <> 'deleted'")
            .bind(if active { "active" } else { "disabled" })
            .bind(account.0)
            .execute(&mut *tx)
            .await?;
        if !lock_active(&mut tx, account).await? {
            sqlx::query("DELETE FROM sessions WHERE account_id = $1")
                .bind(account.0)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Sums over all accounts.
    pub async fn totals(&self) -> Result<Totals, StoreError> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS accounts, CAST(COALESCE(SUM(usage), 0) AS BIGINT) AS usage FROM accounts
             WHERE status <> 'deleted'",
        )
        .fetch_one(self.reader())
        .await?;
        Ok(Totals { accounts: row.try_get("accounts")?, usage: row.try_get("usage")? })
    }

    /// Removes at most about `limit` rows of each table that describe deleted accounts' files. Returns how many went; 0
    /// means that none are left. Rows that others point to go last, so it can stop anywhere. What other accounts' feeds still name
    /// stays, as a tombstone.
    pub async fn remove_deleted_rows(&self, limit: i64) -> Result<u64, StoreError> {
        const DEAD: &str = "SELECT id FROM accounts WHERE status = 'deleted'";
        let dead_files = format!(
            "SELECT id FROM files WHERE owner_id IN ({DEAD})
             AND NOT EXISTS (SELECT 1 FROM memberships WHERE memberships.file_id = files.id
                             AND memberships.account_id NOT IN ({DEAD}))"
        );
        let dead_collections = format!("SELECT id FROM collections WHERE owner_id IN ({DEAD})");
        let unnamed_collections = format!(
            "{dead_collections} AND NOT EXISTS (SELECT 1 FROM shares WHERE shares.collection_id = collections.id)
             AND NOT EXISTS (SELECT 1 FROM trash WHERE trash.collection_id = collections.id)"
        );
        let dead = DEAD.to_owned();
        let stages = [
            ("shares", "account_id", &dead),
            ("shared_memberships", "account_id", &dead),
            ("shared_memberships", "collection_id", &dead_collections),
            ("memberships", "file_id", &dead_files),
            ("memberships", "collection_id", &dead_collections),
            ("trash", "account_id", &dead),
            ("file_versions", "file_id", &dead_files),
        ];
        let mut tx = self.begin().await?;
        let mut removed = 0;
        for (table, column, dead) in stages {
            let statement = format!(
                "DELETE FROM {table} WHERE {column} IN (SELECT {column} FROM {table} WHERE {column} IN ({dead}) LIMIT $1)"
            );
            removed += sqlx::query(sqlx::AssertSqlSafe(statement))
                .bind(limit)
                .execute(&mut *tx)
                .await?
                .rows_affected();
        }
        if removed == 0 {
            for (table, dead) in [("files", &dead_files), ("collections", &unnamed_collections)] {
                let statement = format!("DELETE FROM {table} WHERE id IN ({dead} LIMIT $1)");
                removed += sqlx::query(sqlx::AssertSqlSafe(statement))
                    .bind(limit)
                    .execute(&mut *tx)
                    .await?
                    .rows_affected();
            }
        }
        tx.commit().await?;
        Ok(removed)
    }
}

fn account_from_row(row: &AnyRow) -> Result<ListedAccount, StoreError> {
    let standing = match row.try_get::<String, _>("status")?.as_str() {
        "disabled" => Standing::Disabled,
        _ if row.try_get::<i64, _>("keys")? == 0 => Standing::Incomplete,
        _ => Standing::Active,
    };
    Ok(ListedAccount {
        email: row.try_get("email")?,
        id: Some(AccountId(row.try_get("id")?)),
        standing,
        usage: row.try_get("usage")?,
        quota: row.try_get("quota")?,
        files: row.try_get("files")?,
        created_at: row.try_get("created_at")?,
        last_used_at: row.try_get("last_used_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::accounts::Admission;

    async fn rows(store: &Store) -> i64 {
        let mut sum = 0;
        for table in ["collections", "files", "memberships", "trash", "file_versions"] {
            let statement = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
            sum +=
                sqlx::query(statement).fetch_one(store.reader()).await.unwrap().try_get::<i64, _>(0).unwrap();
        }
        sum
    }

    async fn fill(store: &Store, email: &str) -> AccountId {
        let Admission::Account(account) = store.admit(email, true).await.unwrap() else { panic!() };
        let (collection, file) = (store.next_id().await.unwrap(), store.next_id().await.unwrap());
        for statement in [
            "INSERT INTO collections (id, owner_id, kind, encrypted_key, key_decryption_nonce, encrypted_name,
               name_decryption_nonce, attributes_version, is_deleted, version, created_at)
             SELECT $1, $2, 'album', '', '', '', '', $3 - $3, 0, 0, 0",
            "INSERT INTO files (id, owner_id, file_object, file_header, file_size, thumbnail_object, thumbnail_header,
               thumbnail_size, metadata, metadata_header, is_purged, version, created_at)
             SELECT $3, $2, '', '', 0, '', '', 0, '', '', 0, $1 - $1, 0",
            "INSERT INTO memberships (collection_id, file_id, account_id, encrypted_key, key_decryption_nonce,
               is_deleted, added_at, version) SELECT $1, $3, $2, '', '', 0, 0, 0",
            "INSERT INTO trash (file_id, account_id, collection_id, is_restored, is_purged, delete_by, created_at,
               version) SELECT $3, $2, $1, 0, 0, 0, 0, 0",
        ] {
            let mut tx = store.begin().await.unwrap();
            sqlx::query(statement)
                .bind(collection)
                .bind(account.0)
                .bind(file)
                .execute(&mut *tx)
                .await
                .unwrap();
            tx.commit().await.unwrap();
        }
        account
    }

    #[tokio::test]
    async fn what_a_deleted_account_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Store::sqlite_url(&folder.path().join("db"))).await.unwrap();
        let gone = fill(&store, "gone@example.org").await;
        fill(&store, "stays@example.org").await;
        assert_eq!(store.remove_deleted_rows(1).await.unwrap(), 0);
        store.delete_account(gone).await.unwrap();
        let mut removed = 0;
        loop {
            match store.remove_deleted_rows(1).await.unwrap() {
                0 => break,
                some => removed += some,
            }
        }
        assert_eq!((removed, rows(&store).await), (4, 4));
    }
}
