//! The ordered feed of a whole account: `GET /v1/changes`, and the news that there is more to read.

use crate::Version;
use crate::collection::Collection;
use crate::file::File;
use crate::trash::TrashItem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How many changes a page has when the client does not say.
pub const CHANGES_DEFAULT: u16 = 2500;

/// The most changes that a client may ask for at once.
pub const CHANGES_MAX: u16 = 5000;

/// A stretch of an account's feed: the changes later than `after` and not later than `until`. All of them were made by the request
/// that is answered, so a client that has read up to `after`, or further, and has kept the answer need not read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Span {
    /// The account's version before.
    pub after: Version,
    /// The account's version behind it.
    pub until: Version,
}

/// One row as it is now, at the place in the order where it last changed. Earlier states of it are not in the feed any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Change {
    /// A collection, or the tombstone of one.
    Collection {
        /// Its place in the order.
        version: Version,
        /// As `GET /collections/v2` lists it.
        collection: Collection,
    },
    /// A file in a collection, or the tombstone of one that was there. It comes before its collection, which is always later.
    Membership {
        /// Its place in the order.
        version: Version,
        /// As the collection's diff lists it.
        file: File,
    },
    /// A file that is or was in the trash, or was purged from it.
    Trash {
        /// Its place in the order.
        version: Version,
        /// As `GET /trash/v2/diff` lists it.
        item: TrashItem,
    },
    /// Of a kind that this client does not know.
    #[serde(other)]
    Unknown,
}

impl Change {
    /// Its place in the order; `None` of an unknown one.
    pub fn version(&self) -> Option<Version> {
        match self {
            Self::Collection { version, .. }
            | Self::Membership { version, .. }
            | Self::Trash { version, .. } => Some(*version),
            Self::Unknown => None,
        }
    }
}

/// `GET /v1/changes`: a page of the feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// What changed after the cursor, oldest change first.
    pub changes: Vec<Change>,
    /// The collections, as they are now, of files in this page whose own place in the order is behind it: a reader needs their
    /// keys already.
    #[serde(default)]
    pub ahead: Vec<Collection>,
    /// The cursor for the next page: everything up to it was in this page or before.
    pub next: Version,
    /// Whether another page follows; never true on an empty page.
    pub has_more: bool,
}

/// One event in the stream of `GET /v1/changes/live`, as a reader of server-sent events gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewestEvent {
    /// A [`Newest`] as JSON: `{"version":n}`.
    #[schema(pattern = r#"^\{"version":[0-9]+\}$"#)]
    pub data: String,
}

/// The data of one event of `GET /v1/changes/live`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Newest {
    /// The newest version that the account can see.
    pub version: Version,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_a_kind_that_came_later_stops_nobody() {
        let text = r#"{"changes":[{"kind":"share","version":4,"share":{}}],"next":4,"hasMore":false}"#;
        let page: Changes = serde_json::from_str(text).unwrap();
        assert_eq!((page.changes, page.next), (vec![Change::Unknown], Version(4)));
    }
}
