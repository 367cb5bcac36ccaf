//! Content tags, and what an account has of them: `POST /v1/lookup`.
//!
//! A tag is a keyed hash of a content hash, under a key that only the account has: the server sees which of an account's
//! files are equal, and nothing else.

use crate::opaque::{NotBase64, Opaque};
use crate::{FileId, Version};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// Length of a tag in bytes.
pub const TAG_BYTES: usize = 32;

/// A tag: standard base64 of 32 bytes, always in its one canonical form, so that equal tags are equal texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(
    value_type = String,
    pattern = "^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$",
    example = "jgaFOEVOUc6Mxcx0w829dNNhkRrTK4IKIHnocqWIGUs="
)]
pub struct ContentTag(String);

impl ContentTag {
    /// Writes a tag as the API wants it.
    pub fn encode(bytes: [u8; TAG_BYTES]) -> Self {
        Self(Opaque::encode(bytes).0)
    }

    /// Reads the text form. Anything but the canonical base64 of 32 bytes is refused.
    pub fn parse(text: String) -> Result<Self, NotBase64> {
        let text = Opaque(text);
        text.decode_array::<TAG_BYTES>()?;
        Ok(Self(text.0))
    }

    /// The text form: 44 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContentTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ContentTag {
    type Error = NotBase64;

    fn try_from(text: String) -> Result<Self, NotBase64> {
        Self::parse(text)
    }
}

impl From<ContentTag> for String {
    fn from(tag: ContentTag) -> Self {
        tag.0
    }
}

/// `POST /v1/lookup`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LookupRequest {
    /// At most 10,000; one that is named twice is looked up once.
    #[schema(max_items = 10000)]
    pub tags: Vec<ContentTag>,
}

/// What the account has of the tags that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LookupResponse {
    /// One entry a tag that any file has, or had when it was purged, in no particular order. The account has nothing of the others.
    pub found: Vec<FoundTag>,
}

/// The file that a tag belongs to. Of several the one that is most alive, and of these the one that changed last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FoundTag {
    /// The tag.
    pub tag: ContentTag,
    /// Where the file is.
    pub state: TagState,
    /// The file.
    #[serde(rename = "fileID")]
    pub file_id: FileId,
    /// What `ifVersion` compares: of a live file its newest membership's `updationTime`, of one in the trash or purged the trash
    /// item's `updatedAt`.
    pub version: Version,
    /// When it was trashed, µs since the epoch; absent while it is live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trashed_at: Option<i64>,
}

/// Where a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TagState {
    /// In at least one collection.
    Live,
    /// In the trash: it can be restored.
    Trash,
    /// Gone for good, by its owner's wish or because its time in the trash was up.
    Purged,
}

#[cfg(test)]
mod tests {
    use super::ContentTag;

    #[test]
    fn a_tag_is_the_canonical_base64_of_32_bytes() {
        let tag = ContentTag::encode([7; 32]);
        assert_eq!(ContentTag::parse(tag.as_str().to_owned()), Ok(tag.clone()));
        let unpadded = tag.as_str().trim_end_matches('=').to_owned();
        // The last character carries four bits: others in it are another text for the same bytes.
        let spare_bits = tag.as_str().replace("c=", "d=");
        assert_ne!(spare_bits, tag.as_str());
        for text in [String::new(), unpadded, spare_bits, "AAAA".repeat(11), "AAAA".repeat(10)] {
            assert!(ContentTag::parse(text.clone()).is_err(), "{text:?}");
            assert!(serde_json::from_str::<ContentTag>(&format!("{text:?}")).is_err(), "{text:?}");
        }
    }
}
