//! How far each feed has been read. A cursor is stored in the same transaction as what it vouches for.
//!
//! A client that makes changes is told which stretch of the account's feed they are, and need not read it: when what is behind the
//! cursor is known without a gap, the cursor moves over it.

use std::collections::BTreeSet;

use darkslide_protocol::change::Span;
use darkslide_protocol::{CollectionId, Version};
use sqlx::SqliteConnection;

use super::{Catalog, CatalogError};

/// A list of changes that the server keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feed {
    /// Everything, in one order.
    Account,
    /// The same, read from its beginning once more.
    Anew,
    /// Collections, shared ones included.
    Collections,
    /// The trash.
    Trash,
    /// The memberships of one collection.
    Files(CollectionId),
}

impl Feed {
    pub(super) fn key(self) -> String {
        match self {
            Self::Account => "account".to_owned(),
            Self::Anew => "anew".to_owned(),
            Self::Collections => "collections".to_owned(),
            Self::Trash => "trash".to_owned(),
            Self::Files(collection) => format!("collection/{collection}"),
        }
    }
}

/// Stretches of the account's feed that the catalog has, beyond the cursor.
#[derive(Debug, Default)]
pub struct Spans(BTreeSet<Span>);

impl Spans {
    /// Adds a stretch that is about to be recorded, if the server told it.
    pub fn extend(&mut self, span: Option<Span>) {
        self.0.extend(span);
    }

    /// Lets go of all of them: some may not have been recorded. The feed tells again what they were.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// How far a cursor can move without passing anything that the catalog does not have. What is behind it is let go of. A stretch that begins
    /// before the cursor and ends behind it moves nothing: to a server that was set back, this was the whole of what is new.
    fn reach(&mut self, mut cursor: Version) -> Version {
        while let Some(first) = self.0.first().copied().filter(|first| first.after <= cursor) {
            if first.after == cursor {
                cursor = cursor.max(first.until);
            }
            self.0.remove(&first);
        }
        cursor
    }
}

impl Catalog {
    /// The latest version of this feed that is in the catalog; 0 before the first page. The feed of everything vouches for each of
    /// the others too.
    pub async fn cursor(&self, feed: Feed) -> Result<Version, CatalogError> {
        read(&mut *self.pool.acquire().await?, feed).await
    }

    /// Moves a cursor without rows: a collection's diff was empty, yet its version moved.
    pub async fn set_cursor(&self, feed: Feed, version: Version) -> Result<(), CatalogError> {
        let mut transaction = self.write().await?;
        store(&mut transaction, feed, version).await?;
        Ok(transaction.commit().await?)
    }
}

async fn read(connection: &mut SqliteConnection, feed: Feed) -> Result<Version, CatalogError> {
    let version: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM cursors WHERE feed IN ($1, $2)")
        .bind(feed.key())
        .bind(Feed::Account.key())
        .fetch_one(connection)
        .await?;
    Ok(Version(version.unwrap_or_default()))
}

/// Moves the cursor of everything over the stretches that follow it, inside the transaction that records the last of them.
pub(super) async fn advance(
    connection: &mut SqliteConnection,
    spans: &mut Spans,
) -> Result<(), CatalogError> {
    let cursor = read(connection, Feed::Account).await?;
    let reached = spans.reach(cursor);
    if reached > cursor {
        store(connection, Feed::Account, reached).await?;
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(after: i64, until: i64) -> Span {
        Span { after: Version(after), until: Version(until) }
    }

    #[test]
    fn a_cursor_waits_before_a_gap() {
        let mut spans = Spans::default();
        assert_eq!(spans.reach(Version(5)), Version(5));
        spans.extend(Some(span(7, 9)));
        assert_eq!(spans.reach(Version(5)), Version(5), "6 and 7 are somebody else's");
        spans.extend(Some(span(5, 7)));
        assert_eq!(spans.reach(Version(5)), Version(9), "in whichever order they are recorded");
        spans.extend(Some(span(9, 12)));
        assert_eq!(spans.reach(Version(20)), Version(20), "the feed has passed it");
        assert!(spans.0.is_empty());
    }

    #[test]
    fn what_a_server_that_was_set_back_calls_new_moves_no_cursor() {
        let mut spans = Spans::default();
        spans.extend(Some(span(5, 30)));
        assert_eq!(spans.reach(Version(20)), Version(20), "6 to 20 were told before, and may be gone");
        spans.extend(Some(span(30, 31)));
        assert_eq!(spans.reach(Version(20)), Version(20));
    }

    proptest! {
        /// Versions, each of which somebody made: this client, or another. A cursor never passes what is neither recorded nor read.
        #[test]
        fn nothing_is_passed(
            lengths in prop::collection::vec((1_i64..4, any::<bool>()), 1..20),
            order in prop::collection::vec(any::<prop::sample::Index>(), 20),
        ) {
            let mut next = 0;
            let mut own = Vec::new();
            let mut is_known = vec![true];
            for (length, is_own) in lengths {
                if is_own {
                    own.push(span(next, next + length));
                }
                is_known.extend((0..length).map(|_| false));
                next += length;
            }
            let (mut spans, mut cursor) = (Spans::default(), Version(0));
            for choice in order {
                if own.is_empty() {
                    break;
                }
                let taken = own.swap_remove(choice.index(own.len()));
                for version in taken.after.0 + 1..=taken.until.0 {
                    is_known[usize::try_from(version).unwrap()] = true;
                }
                spans.extend(Some(taken));
                cursor = spans.reach(cursor);
                let passed = usize::try_from(cursor.0).unwrap();
                prop_assert!(is_known[..=passed].iter().all(|known| *known));
                // And it stands before something that is not known yet, or at the end.
                prop_assert!(!is_known.get(passed + 1).copied().unwrap_or(false));
            }
        }
    }
}
