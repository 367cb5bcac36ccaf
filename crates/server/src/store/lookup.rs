//! Content tags in the database: what an account has of them, and the rule that no two of its live files have the same one.
//!
//! A live file is one that is neither in the trash nor purged. In the trash a tag may be there many times, and a purged file keeps
//! its tag, so that a client is told what its owner deleted. The rule is kept under the account's lock.

use super::change::ChangeError;
use super::conditions::FILE_VERSION;
use super::sql::{LIST_MAX, list, long_statement, statement};
use super::{Store, StoreError, Tx};
use darkslide_protocol::lookup::{FoundTag, TagState};
use darkslide_protocol::{AccountId, ContentTag, FileId, Version};
use sqlx::Row as _;
use std::collections::{HashMap, HashSet};

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
        let mut best: HashMap<ContentTag, FoundTag> = HashMap::with_capacity(tags.len());
        let asked: HashSet<&str> = tags.iter().map(ContentTag::as_str).collect();
        let mut snapshot = self.begin_snapshot().await?;
        for chunk in tags.chunks(LIST_MAX) {
            let text = look_up_text(chunk.len());
            let query = long_statement(self.engine(), text, chunk.len() == LIST_MAX).bind(account.0);
            let query = chunk.iter().fold(query, |query, tag| query.bind(tag_start(tag.as_str()).to_owned()));
            let lines: Option<String> = query.fetch_one(&mut *snapshot).await?.try_get(0)?;
            for line in lines.iter().flat_map(|lines| lines.split(',')) {
                let found = found(line).ok_or(StoreError::Malformed("content tag"))?;
                if asked.contains(found.tag.as_str()) {
                    keep_best(&mut best, found);
                }
            }
        }
        snapshot.commit().await?;
        Ok(best.into_values().collect())
    }
}

/// The statement that finds what there is of so many tags. It gives one row of text: handing over a row of its own for each tag costs more
/// than finding it.
fn look_up_text(tags: usize) -> String {
    format!(
        "SELECT string_agg(line, ',') FROM (
             SELECT files.content_tag || ' ' || files.id || ' ' || files.is_purged || ' ' || files.version
                    || ' ' || coalesce(trash.is_restored, -1) || ' ' || coalesce(trash.created_at, -1)
                    || ' ' || coalesce(trash.version, -1) || ' ' ||
                    coalesce((SELECT {FILE_VERSION} FROM memberships
                              JOIN collections ON collections.id = memberships.collection_id
                              WHERE memberships.file_id = files.id
                                AND +collections.owner_id = files.owner_id), -1) AS line
             FROM files LEFT JOIN trash ON trash.file_id = files.id
             WHERE files.owner_id = $1 AND substr(files.content_tag, 1, {TAG_START}) IN ({})) AS lines",
        list(2, tags)
    )
}

/// How many letters of a tag the index has: 48 bits of it.
pub(super) const TAG_START: usize = 8;

/// Those letters.
pub(super) fn tag_start(tag: &str) -> &str {
    tag.get(..TAG_START).unwrap_or(tag)
}

fn keep_best(best: &mut HashMap<ContentTag, FoundTag>, found: FoundTag) {
    let rank = |found: &FoundTag| (std::cmp::Reverse(found.state), found.version);
    match best.get_mut(&found.tag) {
        Some(other) if rank(other) >= rank(&found) => {}
        Some(other) => *other = found,
        None => drop(best.insert(found.tag.clone(), found)),
    }
}

/// Reads a line of what was found: the tag, the file, whether it is purged, its content's version, the trash's word on it (restored,
/// since when, version) and its own version. What there is none of is -1.
fn found(line: &str) -> Option<FoundTag> {
    let (tag, numbers) = line.split_once(' ')?;
    let numbers: Vec<i64> =
        numbers.split(' ').map(|number| number.parse().ok()).collect::<Option<Vec<i64>>>()?;
    let &[id, is_purged, content_version, is_restored, trashed_at, trash_version, version] =
        numbers.as_slice()
    else {
        return None;
    };
    let state = match (is_purged != 0, is_restored == 0) {
        (true, _) => TagState::Purged,
        (false, true) => TagState::Trash,
        (false, false) => TagState::Live,
    };
    let some = |number: i64| (number >= 0).then_some(number);
    let changed = some(if state == TagState::Live { version } else { trash_version });
    Some(FoundTag {
        tag: ContentTag::parse(tag.to_owned()).ok()?,
        state,
        file_id: FileId(id),
        version: Version(changed.unwrap_or(content_version)),
        trashed_at: if state == TagState::Live { None } else { some(trashed_at) },
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
                      AND substr(other.content_tag, 1, {TAG_START}) = substr(files.content_tag, 1, {TAG_START})
                      AND other.id <> files.id AND (other.id < files.id OR other.id NOT IN ({ids}))
                      AND {OTHER_IS_LIVE})"
        );
        let query = chunk.iter().fold(statement(text), |query, file| query.bind(file.0));
        query.execute(&mut **tx).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::conditions::file_versions_text;
    use super::super::files::any_membership_text;
    use super::*;

    /// An account that mirrors its folders has thousands of collections.
    #[tokio::test]
    async fn a_file_is_found_without_looking_through_all_collections_of_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Store::sqlite_url(&folder.path().join("db"))).await.unwrap();
        for text in [look_up_text(2), file_versions_text(3), any_membership_text()] {
            let plan = statement(format!("EXPLAIN QUERY PLAN {text}"));
            let plan = plan.bind(1_i64).bind("two").bind("three").fetch_all(store.reader()).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.try_get("detail").unwrap()).collect();
            let of = |table: &str| plan.iter().find(|step| step.contains(table)).unwrap().as_str();
            assert!(of(" collections ").ends_with("(id=?)"), "{plan:?} of {text}");
            assert!(of(" memberships ").ends_with("memberships_by_file (file_id=?)"), "{plan:?} of {text}");
        }
    }
}
