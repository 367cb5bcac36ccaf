//! Pages of the ordered feed: rows of every kind and the cursor, in one transaction and few statements.

use super::{Catalog, CatalogError, CollectionRow, Feed, FileRow, TrashRow, albums, cursor, files, trash};
use darkslide_protocol::Version;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite};

/// Rows that one statement writes: enough that preparing and passing it on no longer count, and a full batch of uploads is a multiple of it.
pub(super) const ROWS: usize = 128;

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
    /// Records a page of the ordered feed, and its cursor with it: that of everything, or of reading everything anew.
    pub async fn apply_changes(
        &self,
        rows: &ChangedRows,
        feed: Feed,
        cursor: Version,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        albums::put_all(&mut transaction, &rows.collections).await?;
        files::put_all(&mut transaction, &rows.files).await?;
        // After the files: an entry without a name takes its file's.
        trash::put_all(&mut transaction, &rows.trash).await?;
        cursor::store(&mut transaction, feed, cursor).await?;
        Ok(transaction.commit().await?)
    }
}

/// A statement for so many rows: `before`, each row's values, `after`. It is kept prepared when it is for as many as there can be.
/// Placeholders have no numbers: SQLite looks a number up among all that it has, once for each.
pub(super) fn statement(
    before: &str,
    count: usize,
    values: &str,
    after: &str,
) -> Query<'static, Sqlite, SqliteArguments> {
    let text = format!("{before} {} {after}", vec![values; count].join(", "));
    sqlx::query(AssertSqlSafe(text)).persistent(count == ROWS)
}

/// `(?, …)`: so many placeholders.
pub(super) fn placeholders(columns: usize) -> String {
    format!("({})", vec!["?"; columns].join(","))
}
