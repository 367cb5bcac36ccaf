//! How far each feed has been read. A cursor is stored in the same transaction as what it vouches for.

use darkslide_protocol::{CollectionId, Version};
use sqlx::SqliteConnection;

use super::{Catalog, CatalogError};

/// A list of changes that the server keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feed {
    /// Everything, in one order.
    Account,
    /// Collections, shared ones included.
    Collections,
    /// The trash.
    Trash,
    /// The memberships of one collection.
    Files(CollectionId),
}

impl Feed {
    fn key(self) -> String {
        match self {
            Self::Account => "account".to_owned(),
            Self::Collections => "collections".to_owned(),
            Self::Trash => "trash".to_owned(),
            Self::Files(collection) => format!("collection/{collection}"),
        }
    }
}

impl Catalog {
    /// The latest version of this feed that is in the catalog; 0 before the first page. The feed of everything vouches for each of
    /// the others too.
    pub async fn cursor(&self, feed: Feed) -> Result<Version, CatalogError> {
        let version: Option<i64> =
            sqlx::query_scalar("SELECT max(version) FROM cursors WHERE feed IN ($1, $2)")
                .bind(feed.key())
                .bind(Feed::Account.key())
                .fetch_one(&self.pool)
                .await?;
        Ok(Version(version.unwrap_or_default()))
    }

    /// Moves a cursor without rows: a collection's diff was empty, yet its version moved.
    pub async fn set_cursor(&self, feed: Feed, version: Version) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        store(&mut transaction, feed, version).await?;
        Ok(transaction.commit().await?)
    }
}

/// Writes a cursor inside the transaction of the page that it follows.
pub(super) async fn store(
    connection: &mut SqliteConnection,
    feed: Feed,
    version: Version,
) -> Result<(), CatalogError> {
    sqlx::query(
        "INSERT INTO cursors (feed, version) VALUES ($1, $2)
         ON CONFLICT (feed) DO UPDATE SET version = excluded.version",
    )
    .bind(feed.key())
    .bind(version.0)
    .execute(connection)
    .await?;
    Ok(())
}
