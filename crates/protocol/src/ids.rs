//! Ids and versions as newtypes, so that a file's id can never stand where a collection's is expected.
//!
//! They carry no meaning beyond identity: nothing here looks anything up.

use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.trim().parse().map(Self)
            }
        }
    };
}

integer_id! {
    /// An account (called *user* on the wire). Positive, stable, below 2^53.
    AccountId
}
integer_id! {
    /// A collection: an album on the server. Positive, below 2^53.
    CollectionId
}
integer_id! {
    /// A file: one picture or video in the vault. Positive, below 2^53.
    FileId
}
integer_id! {
    /// A point in the order of all changes that an account can see: microseconds since the Unix epoch, strictly
    /// increasing, allocated inside the committing transaction. A client's cursor is the largest one that it saw.
    Version
}

/// The name of one encrypted blob: `<account id>/<uuid>`. Opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct ObjectKey(pub String);

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
