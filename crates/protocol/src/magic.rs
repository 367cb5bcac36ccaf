//! The envelope of mutable encrypted metadata, and the rule by which two devices editing it do not overwrite each other.

use crate::Opaque;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Encrypted JSON that its owner may change later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MagicMetadata {
    /// In a request: the version that the client last saw. In a response: the stored one.
    #[serde(default)]
    pub version: i64,
    /// How many keys the JSON has: a client that forgot keys it should have kept is recognised by it.
    #[serde(default)]
    pub count: i64,
    /// The encrypted JSON.
    #[serde(default)]
    pub data: Opaque,
    /// The stream header of `data`.
    #[serde(default)]
    pub header: Opaque,
}

/// How many keys an update may lose before it is taken for a client that did not know them.
const MOST_KEYS_LOST: i64 = 2;

impl MagicMetadata {
    /// Whether all four members are there, as they must be when it comes with a new file.
    pub fn is_complete(&self) -> bool {
        self.version >= 1 && self.has_content()
    }

    /// Whether there is something to store. An update's version may be 0: phones send that the first time.
    pub fn has_content(&self) -> bool {
        self.count >= 1 && !self.data.is_empty() && !self.header.is_empty()
    }

    /// What is stored when this update meets what is there: one version later, or `None` for a conflict.
    pub fn succeed(self, stored: Option<&MagicMetadata>) -> Option<MagicMetadata> {
        let acceptable =
            stored.is_none_or(|old| old.version == self.version && old.count - self.count <= MOST_KEYS_LOST);
        acceptable.then(|| MagicMetadata { version: self.version + 1, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn magic(version: i64, count: i64) -> MagicMetadata {
        MagicMetadata { version, count, data: Opaque("YQ==".into()), header: Opaque("Yg==".into()) }
    }

    #[test]
    fn an_update_succeeds_only_the_version_that_its_client_saw() {
        let stored_version = |old: Option<MagicMetadata>, new: MagicMetadata| {
            new.succeed(old.as_ref()).map(|stored| stored.version)
        };
        assert_eq!(stored_version(None, magic(0, 1)), Some(1));
        assert_eq!(stored_version(None, magic(1, 1)), Some(2));
        assert_eq!(stored_version(Some(magic(2, 1)), magic(2, 1)), Some(3));
        assert_eq!(stored_version(Some(magic(2, 1)), magic(1, 1)), None);
        assert_eq!(stored_version(Some(magic(2, 4)), magic(2, 2)), Some(3));
        assert_eq!(stored_version(Some(magic(2, 4)), magic(2, 1)), None);
    }
}
