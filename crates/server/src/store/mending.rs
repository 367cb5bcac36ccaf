//! What may be sent where the quota has no room: the content of a file again whose original is known to be damaged. It replaces bytes, and adds
//! none.
//!
//! The quota is asked when an upload begins and when its object is committed. What is let in here is as long as what it replaces, and its
//! object is marked (`only_mends` in `batch`): it becomes that, or what else its client wanted once there is room for it to begin, so no
//! account comes to more than its quota by it. Nothing is written here.

use super::uploads::ObjectAddress;
use super::{Store, StoreError};
use darkslide_protocol::batch::OBJECT_HEAD_LEN;
use darkslide_protocol::{AccountId, FileId};
use sqlx::Row as _;

/// What comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// An object of so many bytes.
    Object(i64),
    /// A batch of so many bytes, with an original and a thumbnail in it, or one of both, and nothing else.
    Batch(i64),
}

/// Damaged originals of an account's files.
const DAMAGED: &str = "
    SELECT files.id FROM objects JOIN files ON files.id = objects.file_id AND files.file_object = objects.key
    WHERE objects.account_id = $1 AND objects.damaged_at IS NOT NULL AND objects.state = 'committed'
      AND files.owner_id = $1 AND files.is_purged = 0";

impl Store {
    /// A file that this may mend; `None` where the account has lost nothing of that size.
    pub async fn mendable(
        &self,
        account: AccountId,
        incoming: Incoming,
    ) -> Result<Option<FileId>, StoreError> {
        let (sized, bytes) = match incoming {
            Incoming::Object(bytes) => ("files.file_size = $2", bytes),
            Incoming::Batch(bytes) => {
                let heads = 2 * i64::try_from(OBJECT_HEAD_LEN).unwrap_or(0);
                ("files.file_size + files.thumbnail_size >= $2", bytes - heads)
            }
        };
        let text = format!("{DAMAGED} AND {sized} ORDER BY files.id LIMIT 1");
        let query = super::sql::padded_statement(text).bind(account.0).bind(bytes);
        let row = query.fetch_optional(self.reader()).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.map(FileId))
    }

    /// Whether an object has a row that no bytes that come now would replace: they add nothing.
    pub async fn is_known_object(&self, at: ObjectAddress) -> Result<bool, StoreError> {
        let text = "SELECT 1 FROM objects WHERE key = $1 AND (state <> 'garbage' OR file_id IS NOT NULL)";
        let row = sqlx::query(text).bind(at.key().0).fetch_optional(self.reader()).await?;
        Ok(row.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_the_account_has_lost_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Store::sqlite_url(&folder.path().join("db"))).await.unwrap();
        let plan = super::super::sql::padded_statement(format!("EXPLAIN QUERY PLAN {DAMAGED}"));
        let plan = plan.bind(1_i64).fetch_all(store.reader()).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.try_get("detail").unwrap()).collect();
        let [first, second] = &plan[..] else { panic!("{plan:?}") };
        assert!(first.contains("objects USING INDEX objects_by_damage_of (account_id=?)"), "{plan:?}");
        assert!(second.starts_with("SEARCH files ") && second.ends_with("(id=?)"), "{plan:?}");
    }
}
