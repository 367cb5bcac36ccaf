//! What a profile's folder says in the clear: whose it is, and which device this is.

use crate::api::ServerUrl;
use crate::session::Email;
use darkslide_protocol::AccountId;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use uuid::Uuid;

/// What a profile remembers in the clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileConfig {
    /// The server's address.
    pub server: ServerUrl,
    /// The account's address.
    pub email: Email,
    /// The account on that server.
    pub account: AccountId,
    /// The account's public key in base64: by it the account is known where its server has another address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// Where the keys rest.
    pub keychain: KeychainKind,
    /// Certificate authorities to trust besides the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authorities: Option<PathBuf>,
}

impl ProfileConfig {
    /// Whether it is of the same account on the same server. Addresses change, and a server that begins anew gives the numbers of before
    /// again; nobody else has the account's key pair. Without one that was written down, the address counts.
    pub fn is_of(&self, other: &Self) -> bool {
        let is_same_key = match &self.public_key {
            Some(known) => Some(known) == other.public_key.as_ref(),
            None => self.server == other.server,
        };
        is_same_key && self.account == other.account
    }
}

/// Which device this is to the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceIdentity {
    /// Chosen once.
    #[serde(with = "uuid_text")]
    pub id: Uuid,
    /// What its owner calls it.
    pub name: String,
}

/// An id for a device that has none yet.
pub fn new_device_id() -> Uuid {
    Uuid::new_v4()
}

/// A UUID as text.
mod uuid_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use uuid::Uuid;

    pub(super) fn serialize<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        Uuid::try_parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A kind of keychain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeychainKind {
    /// The system's keyring.
    System,
    /// An encrypted file in the profile's folder.
    File,
}
