//! The ordered feed of an account: collections and memberships, its own and those that are shared with it, and trash, merged by version.
//!
//! A page is read from one snapshot, so nothing can be committed between its statements that one of them has passed already. It is
//! cut at a version and then read up to it, so that no version is ever split. Its cost is that of its own length: each table has
//! an index that gives an account's rows in version order, and reading stops where a page has become too large.

use super::collections::{COLUMNS, collection_of};
use super::files::{FILE_COLUMNS, file_of};
use super::shares::{fill_sharees, shared_collection_of, shared_text};
use super::sql::{LIST_MAX, list, statement};
use super::trash::{item_of, trash_items};
use super::{Engine, Store, StoreError};
use darkslide_protocol::change::{Change, Changes};
use darkslide_protocol::collection::Collection;
use darkslide_protocol::file::File;
use darkslide_protocol::{AccountId, CollectionId, MagicMetadata, Version};
use futures_util::TryStreamExt as _;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use std::collections::BTreeSet;

/// A page ends with the change that makes it this large, about as it goes over the line: what a request takes of memory is a few times that.
/// Pages of files as clients describe them are smaller, however many changes they may have.
pub const CHANGES_BYTES: usize = 8 * 1024 * 1024;

/// What a change takes beside those of its texts that may be of any length, about, in bytes.
const CHANGE_BYTES: usize = 700;

/// Makes a change of a row of its table, as an account may see it.
type MakeChange = fn(&AnyRow, AccountId) -> Result<Change, StoreError>;

/// Where a page ends.
#[derive(Clone, Copy)]
struct Bound {
    until: Version,
    has_more: bool,
}

impl Store {
    /// What changed of an account after `after`, oldest change first: `limit` (at least 1) changes, or fewer at the end and where they
    /// are large ([`CHANGES_BYTES`]).
    pub async fn changes(
        &self,
        account: AccountId,
        after: Version,
        limit: u16,
    ) -> Result<Changes, StoreError> {
        self.changes_within(account, after, limit, CHANGES_BYTES).await
    }

    /// The same with pages of another size, in bytes.
    pub async fn changes_within(
        &self,
        account: AccountId,
        after: Version,
        limit: u16,
        bytes: usize,
    ) -> Result<Changes, StoreError> {
        let mut snapshot = self.begin_snapshot().await?;
        let mut bound = bound_of(&mut snapshot, account, after, limit).await?;
        let mut changes = Vec::new();
        // What may be large comes first: where it ends the page, the rest is read no further.
        for (text, change) in [
            (memberships_text(), membership_change as MakeChange),
            (shared_memberships_text(), membership_change),
            (trash_text(), trash_change),
            (collections_text(), collection_change),
            (shared_collections_text(), shared_collection_change),
        ] {
            let query = statement(text).bind(account.0).bind(after.0).bind(bound.until.0);
            let mut rows = query.fetch(&mut *snapshot);
            let mut room = Room { bytes, last: None };
            while let Some(row) = rows.try_next().await? {
                let change = change(&row, account)?;
                if let Some(until) = room.ends_before(&change) {
                    bound = Bound { until, has_more: true };
                    break;
                }
                room.take(&change);
                changes.push(change);
            }
        }
        changes.sort_by_key(Change::version);
        bound = cut(&mut changes, bound, bytes);
        add_sharees(&mut snapshot, &mut changes).await?;
        let ahead = collections_ahead(&mut snapshot, account, &changes, bound.until).await?;
        snapshot.commit().await?;
        Ok(Changes { changes, ahead, next: bound.until, has_more: bound.has_more })
    }

    /// The newest version that an account can see.
    pub async fn version_of(&self, account: AccountId) -> Result<Version, StoreError> {
        version_of(&mut *self.reader().acquire().await?, account).await
    }

    /// Whether other processes may write to the same database, so that their changes have to be looked for.
    pub fn has_other_writers(&self) -> bool {
        self.engine() == Engine::Postgres
    }

    /// Looks at every account that somebody waits for, and passes on what is new.
    pub async fn look_for_changes(&self) -> Result<(), StoreError> {
        for chunk in self.watches.accounts().chunks(LIST_MAX) {
            let text = format!("SELECT id, version FROM accounts WHERE id IN ({})", list(1, chunk.len()));
            let query = chunk.iter().fold(statement(text), |query, account| query.bind(account.0));
            for row in query.fetch_all(self.reader()).await? {
                self.watches.announce(AccountId(row.try_get(0)?), Version(row.try_get(1)?));
            }
        }
        Ok(())
    }
}

pub(super) async fn version_of(
    connection: &mut AnyConnection,
    account: AccountId,
) -> Result<Version, StoreError> {
    let row = sqlx::query("SELECT version FROM accounts WHERE id = $1")
        .bind(account.0)
        .fetch_one(connection)
        .await?;
    Ok(Version(row.try_get(0)?))
}

/// What a page may still take, and the version that it was last given.
struct Room {
    bytes: usize,
    last: Option<Version>,
}

impl Room {
    /// Where the page ends if this change, the next in the order, is not in it any more. A version is not split, and the first change
    /// always has room.
    fn ends_before(&self, change: &Change) -> Option<Version> {
        self.last.filter(|last| self.bytes == 0 && change.version() != Some(*last))
    }

    fn take(&mut self, change: &Change) {
        self.bytes = self.bytes.saturating_sub(size_of(change));
        self.last = change.version();
    }
}

/// Ends a page of all tables where it becomes too large.
fn cut(changes: &mut Vec<Change>, bound: Bound, bytes: usize) -> Bound {
    changes.retain(|change| change.version() <= Some(bound.until));
    let mut room = Room { bytes, last: None };
    for (index, change) in changes.iter().enumerate() {
        if let Some(until) = room.ends_before(change) {
            changes.truncate(index);
            return Bound { until, has_more: true };
        }
        room.take(change);
    }
    bound
}

/// How large a change is, about, in bytes.
fn size_of(change: &Change) -> usize {
    let magic = |magic: Option<&MagicMetadata>| magic.map_or(0, |magic| magic.data.0.len());
    let file = |file: &File| {
        let metadata = file.metadata.encrypted_data.as_ref().map_or(0, |data| data.0.len());
        metadata + magic(file.magic_metadata.as_ref()) + magic(file.pub_magic_metadata.as_ref())
    };
    CHANGE_BYTES
        + match change {
            Change::Collection { collection, .. } => {
                collection.encrypted_name.0.len()
                    + magic(collection.magic_metadata.as_ref())
                    + magic(collection.pub_magic_metadata.as_ref())
            }
            Change::Membership { file: one, .. } => file(one),
            Change::Trash { item, .. } => file(&item.file),
            Change::Unknown => 0,
        }
}

/// The last page ends at the account's own version, so that who has read everything does not read its end again.
async fn bound_of(
    connection: &mut AnyConnection,
    account: AccountId,
    after: Version,
    limit: u16,
) -> Result<Bound, StoreError> {
    let limit = i64::from(limit.max(1));
    let query = statement(bound_text()).bind(account.0).bind(after.0).bind(limit + 1).bind(limit - 1);
    let rows = query.fetch_all(&mut *connection).await?;
    match rows.as_slice() {
        [last, _] => Ok(Bound { until: Version(last.try_get(0)?), has_more: true }),
        _ => Ok(Bound { until: version_of(connection, account).await?.max(after), has_more: false }),
    }
}

/// The version of the last change of a full page, and that of the first change of the next. `$3` is one more than the page has, `$4`
/// one less.
fn bound_text() -> String {
    let of = |table: &str, owner: &str| {
        format!(
            "SELECT version FROM (SELECT version FROM {table} WHERE {owner} = $1 AND version > $2
                                  ORDER BY version LIMIT $3) AS {table}_after"
        )
    };
    format!(
        "SELECT version FROM ({} UNION ALL {} UNION ALL {} UNION ALL {} UNION ALL {}) AS versions
         ORDER BY version LIMIT 2 OFFSET $4",
        of("collections", "owner_id"),
        of("shares", "account_id"),
        of("memberships", "account_id"),
        of("shared_memberships", "account_id"),
        of("trash", "account_id"),
    )
}

fn collections_text() -> String {
    format!(
        "SELECT {COLUMNS} FROM collections WHERE owner_id = $1 AND version > $2 AND version <= $3
         ORDER BY version"
    )
}

fn collection_change(row: &AnyRow, _: AccountId) -> Result<Change, StoreError> {
    let collection = collection_of(row, String::new())?;
    Ok(Change::Collection { version: collection.updation_time, collection })
}

fn shared_collections_text() -> String {
    format!("{} AND shares.version > $2 AND shares.version <= $3 ORDER BY shares.version", shared_text())
}

fn shared_collection_change(row: &AnyRow, _: AccountId) -> Result<Change, StoreError> {
    let collection = shared_collection_of(row)?;
    Ok(Change::Collection { version: collection.updation_time, collection })
}

fn memberships_text() -> String {
    format!(
        "SELECT {FILE_COLUMNS} FROM memberships
         JOIN files ON files.id = memberships.file_id
         JOIN collections ON collections.id = memberships.collection_id
         WHERE memberships.account_id = $1 AND memberships.version > $2 AND memberships.version <= $3
         ORDER BY memberships.version"
    )
}

fn shared_memberships_text() -> String {
    format!(
        "SELECT {FILE_COLUMNS} FROM shared_memberships AS seen
         JOIN memberships ON memberships.collection_id = seen.collection_id AND memberships.file_id = seen.file_id
         JOIN files ON files.id = seen.file_id
         JOIN collections ON collections.id = seen.collection_id
         WHERE seen.account_id = $1 AND seen.version > $2 AND seen.version <= $3
         ORDER BY seen.version"
    )
}

fn membership_change(row: &AnyRow, account: AccountId) -> Result<Change, StoreError> {
    let file = file_of(row, account)?;
    Ok(Change::Membership { version: file.updation_time, file })
}

fn trash_text() -> String {
    let items = trash_items();
    format!(
        "{items} WHERE trash.account_id = $1 AND trash.version > $2 AND trash.version <= $3
         ORDER BY trash.version"
    )
}

fn trash_change(row: &AnyRow, account: AccountId) -> Result<Change, StoreError> {
    let item = item_of(row, account, true)?;
    Ok(Change::Trash { version: item.updated_at, item })
}

/// Says of each collection that has changed who else sees it.
async fn add_sharees(connection: &mut AnyConnection, changes: &mut [Change]) -> Result<(), StoreError> {
    let mut collections: Vec<Collection> = Vec::new();
    for change in changes.iter() {
        if let Change::Collection { collection, .. } = change {
            collections.push(collection.clone());
        }
    }
    fill_sharees(connection, &mut collections).await?;
    let mut filled = collections.into_iter();
    for change in changes {
        if let Change::Collection { collection, .. } = change {
            *collection = filled.next().expect("one was taken of each");
        }
    }
    Ok(())
}

/// The collections that the changes mention and that come later than all of them.
async fn collections_ahead(
    connection: &mut AnyConnection,
    account: AccountId,
    changes: &[Change],
    until: Version,
) -> Result<Vec<Collection>, StoreError> {
    let mentioned: BTreeSet<CollectionId> = changes.iter().filter_map(mentioned_by).collect();
    let mentioned: Vec<CollectionId> = mentioned.into_iter().collect();
    let mut ahead = Vec::new();
    for chunk in mentioned.chunks(LIST_MAX) {
        let ids = list(3, chunk.len());
        let own = format!(
            "SELECT {COLUMNS} FROM collections WHERE owner_id = $1 AND version > $2 AND id IN ({ids})"
        );
        let shared = format!("{} AND shares.version > $2 AND shares.collection_id IN ({ids})", shared_text());
        let bind = |text| {
            let query = statement(text).bind(account.0).bind(until.0);
            chunk.iter().fold(query, |query, id| query.bind(id.0))
        };
        for row in bind(own).fetch_all(&mut *connection).await? {
            ahead.push(collection_of(&row, String::new())?);
        }
        for row in bind(shared).fetch_all(&mut *connection).await? {
            ahead.push(shared_collection_of(&row)?);
        }
    }
    fill_sharees(connection, &mut ahead).await?;
    ahead.sort_by_key(|collection| collection.id);
    Ok(ahead)
}

fn mentioned_by(change: &Change) -> Option<CollectionId> {
    match change {
        Change::Membership { file, .. } => Some(file.collection_id),
        Change::Trash { item, .. } => Some(item.file.collection_id),
        Change::Collection { .. } | Change::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: [&str; 8] =
        ["collections", "memberships", "trash", "files", "shares", "shared_memberships", "seen", "accounts"];

    /// How SQLite reads each table that a statement names.
    async fn plan_of(store: &Store, text: &str) -> Vec<String> {
        let plan = statement(format!("EXPLAIN QUERY PLAN {text}"));
        let rows =
            plan.bind(1_i64).bind(2_i64).bind(3_i64).bind(4_i64).fetch_all(store.reader()).await.unwrap();
        let steps = rows.iter().map(|row| row.try_get::<String, _>("detail").unwrap());
        steps.filter(|step| step.split(' ').nth(1).is_some_and(|table| TABLES.contains(&table))).collect()
    }

    #[tokio::test]
    async fn a_page_costs_its_own_length_and_not_the_account_s() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Store::sqlite_url(&folder.path().join("db"))).await.unwrap();
        for text in [
            bound_text(),
            collections_text(),
            shared_collections_text(),
            memberships_text(),
            shared_memberships_text(),
            trash_text(),
        ] {
            let plan = plan_of(&store, &text).await;
            assert!(!plan.is_empty());
            for step in plan {
                let is_bounded =
                    step.contains("version>?") || step.ends_with("(id=?)") || step.contains("file_id=?");
                assert!(step.starts_with("SEARCH") && is_bounded, "{step} in {text}");
            }
        }
    }
}
