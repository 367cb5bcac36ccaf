//! Receipts: what a server says of bytes that it has just read back from its disk.
//!
//! A receipt is the server's word, no proof against a server that lies: that takes a download. It tells damage and loss.

use crate::{FileId, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /v1/receipts`: at most 1000 files, and as many earlier versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptRequest {
    /// The files, as they are.
    #[serde(rename = "fileIDs")]
    #[schema(value_type = std::collections::BTreeSet<FileId>, max_items = 1000)]
    pub file_ids: Vec<FileId>,
    /// What edited files were before; one that is named twice counts once. A server that does not know this member says nothing of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 1000)]
    pub earlier: Vec<EarlierId>,
}

/// An earlier version of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EarlierId {
    /// The file.
    #[serde(rename = "fileID")]
    pub file_id: FileId,
    /// As it is listed among the file's earlier versions.
    pub version: Version,
}

/// The answer: an entry for each id, in the order in which they were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Receipts {
    /// One entry a file.
    pub receipts: Vec<Receipt>,
    /// One entry an earlier version; of one that is not among them nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierReceipt>,
    /// Whether some were not checked, because one call reads only so many bytes: ask again for those.
    pub more: bool,
}

/// What was found of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The file.
    #[serde(rename = "fileID")]
    pub file_id: FileId,
    /// All that was found, in one word.
    pub verdict: Verdict,
    /// Both objects, the original first; none where there is nothing to say of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ObjectReceipt>,
}

/// What was found of one earlier version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EarlierReceipt {
    /// The file.
    #[serde(rename = "fileID")]
    pub file_id: FileId,
    /// Which version of it.
    pub version: Version,
    /// All that was found, in one word. `unknown` where there is none that can be brought back.
    pub verdict: Verdict,
    /// Both objects, the original first; none where there is nothing to say of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ObjectReceipt>,
}

/// All that was found of a file, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Every byte was read back and is what was uploaded.
    Verified,
    /// At least one object is not what was uploaded.
    Damaged,
    /// The file was purged: there are no bytes any more.
    Purged,
    /// There is no such file in this account.
    Unknown,
    /// Not looked at in this call. Nothing is said of it.
    NotChecked,
    /// One that this client does not know: it vouches for nothing.
    #[serde(other)]
    Other,
}

/// Which of a file's two objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ObjectKind {
    /// The picture or video.
    Original,
    /// Its thumbnail.
    Thumbnail,
}

/// What was found of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReceipt {
    /// Which one.
    pub kind: ObjectKind,
    /// Bytes of ciphertext, as they were uploaded.
    pub size: i64,
    /// `blake3`, a space, and the base64 of the BLAKE3 of those bytes; only when they were read back and are whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// When they were read back and were whole, µs since the epoch. Absent when they were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<i64>,
    /// What is wrong with them; absent when they are whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<Damage>,
}

/// How bytes on a disk can be other than what was uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Damage {
    /// They are not there.
    Missing,
    /// Some are missing at the end.
    Shorter,
    /// There are more of them.
    Longer,
    /// They are others.
    Altered,
    /// The disk does not give them back.
    Unreadable,
    /// It is not known what they were: they cannot be vouched for.
    Unknown,
}

impl Damage {
    /// Its name, as it travels and as it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Shorter => "shorter",
            Self::Longer => "longer",
            Self::Altered => "altered",
            Self::Unreadable => "unreadable",
            Self::Unknown => "unknown",
        }
    }

    /// The damage with this name; what nobody knows is unknown.
    pub fn of_name(name: &str) -> Self {
        let all = [Self::Missing, Self::Shorter, Self::Longer, Self::Altered, Self::Unreadable];
        all.into_iter().find(|damage| damage.name() == name).unwrap_or(Self::Unknown)
    }
}
