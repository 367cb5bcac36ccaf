//! Pages of the ordered feed: rows of every kind and the cursor, in one transaction and few statements.

use super::{Catalog, CatalogError, CollectionRow, Feed, FileRow, TrashRow, albums, cursor, files, trash};
use darkslide_protocol::Version;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite};
use std::fmt::Write as _;

/// Rows that one statement writes: enough that preparing and passing it on no longer count.
pub(super) const ROWS: usize = 100;

/// What a page changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangedRows {
    /// Collections.
    pub collections: Vec<CollectionRow>,
    /// Memberships.
    pub files: Vec<FileRow>,
    /// Entries of the trash.
    pub trash: Vec<TrashRow>,
}

impl Catalog {
    /// Records a page of the ordered feed, and its cursor with it.
    pub async fn apply_changes(&self, rows: &ChangedRows, cursor: Version) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        albums::put_all(&mut transaction, &rows.collections).await?;
        files::put_all(&mut transaction, &rows.files).await?;
        // After the files: an entry without a name takes its file's.
        trash::put_all(&mut transaction, &rows.trash).await?;
        cursor::store(&mut transaction, Feed::Account, cursor).await?;
        Ok(transaction.commit().await?)
    }
}

/// A statement for so many rows: `before`, each row's values as `row` writes them from its first placeholder's number on, `after`.
/// It is kept prepared when it is for as many as there can be.
pub(super) fn statement(
    before: &str,
    count: usize,
    columns: usize,
    row: impl Fn(&mut String, usize),
    after: &str,
) -> Query<'static, Sqlite, SqliteArguments> {
    let mut text = String::with_capacity(before.len() + after.len() + count * columns * 6);
    text.push_str(before);
    for index in 0..count {
        text.push_str(if index == 0 { " " } else { ", " });
        row(&mut text, 1 + index * columns);
    }
    text.push(' ');
    text.push_str(after);
    sqlx::query(AssertSqlSafe(text)).persistent(count == ROWS)
}

/// `($first, …)`: so many placeholders.
pub(super) fn placeholders(text: &mut String, first: usize, columns: usize) {
    for number in first..first + columns {
        let before = if number == first { '(' } else { ',' };
        write!(text, "{before}${number}").expect("a string takes any text");
    }
    text.push(')');
}
