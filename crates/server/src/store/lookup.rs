//! Content tags in the database: what an account has of them, and the rule that no two of its live files have the same one.
//!
//! A live file is one that is neither in the trash nor purged. In the trash a tag may be there many times, and a purged file keeps
//! its tag, so that a client is told what its owner deleted. The rule is kept under the account's lock.

use super::change::ChangeError;
use super::conditions::FILE_VERSION;
use super::sql::{LIST_MAX, list, long_statement, statement};
use super::{Store, StoreError, Tx, flag};
use darkslide_protocol::lookup::{FoundTag, TagState};
use darkslide_protocol::{AccountId, ContentTag, FileId, Version};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use std::collections::HashMap;

/// Whether the file of this row of `other` is live.
const OTHER_IS_LIVE: &str = "other.is_purged = 0 AND NOT EXISTS
    (SELECT 1 FROM trash WHERE trash.file_id = other.id AND trash.is_restored = 0)";

impl Store {
    /// What the account has of these tags, in one snapshot: for each that any file has, the most alive file, and of several such the one
    /// that changed last.
    pub async fn look_up(
        &self,
        account: AccountId,
        tags: &[ContentTag],
    ) -> Result<Vec<FoundTag>, StoreError> {
        let mut best: HashMap<ContentTag, FoundTag> = HashMap::new();
        let mut snapshot = self.begin_snapshot().await?;
        for chunk in tags.chunks(LIST_MAX) {
            let text = format!(
                "SELECT files.content_tag, files.id, files.is_purged, files.version AS content_version,
                        trash.is_restored, trash.created_at AS trashed_at, trash.version AS trash_version,
                        (SELECT {FILE_VERSION} FROM memberships
                         JOIN collections ON collections.id = memberships.collection_id
                         WHERE memberships.file_id = files.id
                           AND collections.owner_id = files.owner_id) AS version
                 FROM files LEFT JOIN trash ON trash.file_id = files.id
                 WHERE files.owner_id = $1 AND files.content_tag IN ({})",
                list(2, chunk.len())
            );
            let query = long_statement(self.engine(), text, chunk.len() == LIST_MAX).bind(account.0);
            let query = chunk.iter().fold(query, |query, tag| query.bind(tag.to_string()));
            for row in query.fetch_all(&mut *snapshot).await? {
                keep_best(&mut best, found(&row)?);
            }
        }
        snapshot.commit().await?;
        Ok(best.into_values().collect())
    }
}

fn keep_best(best: &mut HashMap<ContentTag, FoundTag>, found: FoundTag) {
    let rank = |found: &FoundTag| (std::cmp::Reverse(found.state), found.version);
    match best.get_mut(&found.tag) {
        Some(other) if rank(other) >= rank(&found) => {}
        Some(other) => *other = found,
        None => drop(best.insert(found.tag.clone(), found)),
    }
}

fn found(row: &AnyRow) -> Result<FoundTag, StoreError> {
    let number = |column| row.try_get::<Option<i64>, _>(column);
    let in_trash = number("is_restored")? == Some(0);
    let state = match (flag(row, "is_purged")?, in_trash) {
        (true, _) => TagState::Purged,
        (false, true) => TagState::Trash,
        (false, false) => TagState::Live,
    };
    let version = number(if state == TagState::Live { "version" } else { "trash_version" })?;
    let version = version.map_or_else(|| row.try_get("content_version"), Ok)?;
    let tag =
        ContentTag::parse(row.try_get("content_tag")?).map_err(|_| StoreError::Malformed("content tag"))?;
    Ok(FoundTag {
        tag,
        state,
        file_id: FileId(row.try_get("id")?),
        version: Version(version),
        trashed_at: if state == TagState::Live { None } else { number("trashed_at")? },
    })
}

/// Takes the tags of files that have just become live again, where another live file has them. Of several such with one tag the oldest
/// keeps it.
pub(super) async fn yield_tags(tx: &mut Tx, restored: &[FileId]) -> Result<(), ChangeError> {
    for chunk in restored.chunks(LIST_MAX) {
        let ids = list(1, chunk.len());
        let text = format!(
            "UPDATE files SET content_tag = NULL
             WHERE id IN ({ids}) AND content_tag IS NOT NULL AND EXISTS
                   (SELECT 1 FROM files AS other
                    WHERE other.owner_id = files.owner_id AND other.content_tag = files.content_tag
                      AND other.id <> files.id AND (other.id < files.id OR other.id NOT IN ({ids}))
                      AND {OTHER_IS_LIVE})"
        );
        let query = chunk.iter().fold(statement(text), |query, file| query.bind(file.0));
        query.execute(&mut **tx).await?;
    }
    Ok(())
}
