//! The change feed: what changed in the vault since this device last looked, opened and written to the catalog.
//!
//! A server that has one ordered feed is read by that alone (`feed/ordered.rs`); any other by the feeds of the base API (`feed/base.rs`). A
//! cursor moves in the same transaction as the rows that it vouches for, so an interrupted pull goes on where it was. Records that
//! do not open are stored as far as they do and reported; they never stop the feed.

mod base;
mod lineage;
pub mod live;
mod ordered;

use crate::catalog::{Catalog, SetBack};
use crate::error::VaultError;
use crate::keys::{Opened, Unreadable};
use crate::session::Session;
use darkslide_protocol::Version;
use darkslide_protocol::server::Extension;
use serde::Serialize;

/// What a pull brought.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedSummary {
    /// Changed collections.
    pub collections: u64,
    /// Changed memberships.
    pub files: u64,
    /// Changed entries of the trash.
    pub trash: u64,
    /// What did not open.
    pub damaged: Vec<Unreadable>,
    /// The server turned out to have been set back to an older state: everything was read anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_back: Option<SetBack>,
}

/// Brings the catalog up to date with the vault.
pub async fn pull(session: &Session, catalog: &Catalog) -> Result<FeedSummary, VaultError> {
    if session.api.offers(Extension::Changes).await? {
        ordered::pull(session, catalog).await
    } else {
        base::pull(session, catalog).await
    }
}

/// The same, where there is one feed of everything to be read, and the cursor stands right before what just changed.
pub async fn catch_up(session: &Session, catalog: &Catalog) -> Result<(), VaultError> {
    if session.api.offers(Extension::Changes).await? {
        ordered::pull(session, catalog).await?;
    }
    Ok(())
}

/// A page that does not advance would be asked for again for ever.
fn advanced(cursor: Version, latest: Version) -> Result<Version, VaultError> {
    if latest > cursor { Ok(latest) } else { Err(VaultError::Feed) }
}

fn take_rows<Row>(opened: Vec<Opened<Row>>, summary: &mut FeedSummary) -> Vec<Row> {
    let mut rows = Vec::with_capacity(opened.len());
    for Opened { row, damage } in opened {
        summary.damaged.extend(damage);
        rows.push(row);
    }
    rows
}
