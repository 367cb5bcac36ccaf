//! Accounts: sign-up, sign-in, key attributes, sessions, and what an account is told about itself.
//!
//! Spec sections in brackets refer to the account part of the API's description.

use crate::{AccountId, Opaque};
use serde::{Deserialize, Serialize};

/// `POST /users/ott`: send a one-time code [2.2].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneTimeCodeRequest {
    /// Trimmed and lower-cased before any use.
    #[serde(default)]
    pub email: String,
    /// `signup`, `login`, `change`, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
}

/// `POST /users/verify-email` [2.3]; `POST /users/change-email` has the same body [2.13].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyEmailRequest {
    /// The address that the code was sent to.
    #[serde(default)]
    pub email: String,
    /// Six digits.
    #[serde(default)]
    pub ott: String,
}

/// The account's keys, each wrapped by another, and how the password becomes the first of them [2.4].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyAttributes {
    /// Argon2id salt, 16 bytes.
    #[serde(default)]
    pub kek_salt: Opaque,
    /// Bytes.
    #[serde(default)]
    pub mem_limit: i64,
    /// Passes.
    #[serde(default)]
    pub ops_limit: i64,
    /// The master key under the password's key.
    #[serde(default)]
    pub encrypted_key: Opaque,
    /// Its nonce.
    #[serde(default)]
    pub key_decryption_nonce: Opaque,
    /// X25519.
    #[serde(default)]
    pub public_key: Opaque,
    /// The secret key under the master key.
    #[serde(default)]
    pub encrypted_secret_key: Opaque,
    /// Its nonce.
    #[serde(default)]
    pub secret_key_decryption_nonce: Opaque,
    /// The four recovery fields.
    #[serde(flatten)]
    pub recovery: RecoveryAttributes,
}

/// The master key and the recovery key, each under the other [2.4]. Empty for very old accounts only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryAttributes {
    /// The master key under the recovery key.
    #[serde(default)]
    pub master_key_encrypted_with_recovery_key: Opaque,
    /// Its nonce.
    #[serde(default)]
    pub master_key_decryption_nonce: Opaque,
    /// The recovery key under the master key.
    #[serde(default)]
    pub recovery_key_encrypted_with_master_key: Opaque,
    /// Its nonce.
    #[serde(default)]
    pub recovery_key_decryption_nonce: Opaque,
}

/// `PUT /users/attributes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetAttributesRequest {
    /// Refused when already set.
    pub key_attributes: KeyAttributes,
}

/// What a sign-in step answers [2.3].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorization {
    /// The account.
    pub id: AccountId,
    /// Absent while the account has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_attributes: Option<KeyAttributes>,
    /// The session token's 32 raw bytes, sealed to the account's public key. Absent, never empty: phones tell
    /// sign-up from sign-in by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted_token: Option<Opaque>,
    /// The plain token, only while the account has no keys to seal it to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The server's SRP proof; only from `POST /users/srp/verify-session`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srp_m2: Option<Opaque>,
}

/// `POST /users/srp/setup` [2.5].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrpSetupRequest {
    /// A UUID chosen by the client: the SRP identity, kept exactly as received.
    #[serde(rename = "srpUserID", default)]
    pub srp_user_id: String,
    /// 16 bytes.
    #[serde(rename = "srpSalt", default)]
    pub srp_salt: Opaque,
    /// A number; phones do not pad it.
    #[serde(rename = "srpVerifier", default)]
    pub srp_verifier: Opaque,
    /// A number; phones do not pad it.
    #[serde(rename = "srpA", default)]
    pub srp_a: Opaque,
}

/// What `setup` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrpSetupResponse {
    /// A UUID.
    #[serde(rename = "setupID")]
    pub setup_id: String,
    /// 512 bytes.
    #[serde(rename = "srpB")]
    pub srp_b: Opaque,
}

/// `POST /users/srp/complete`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrpCompleteRequest {
    /// From `setup`.
    #[serde(rename = "setupID", default)]
    pub setup_id: String,
    /// 32 bytes; phones do not pad it.
    #[serde(rename = "srpM1", default)]
    pub srp_m1: Opaque,
}

/// What `complete` and `update` answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrpCompleteResponse {
    /// From `setup`.
    #[serde(rename = "setupID")]
    pub setup_id: String,
    /// 32 bytes.
    #[serde(rename = "srpM2")]
    pub srp_m2: Opaque,
}

/// What a client needs before it can try a password [2.7].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SrpAttributes {
    /// The SRP identity.
    #[serde(rename = "srpUserID")]
    pub srp_user_id: String,
    /// 16 bytes.
    pub srp_salt: Opaque,
    /// Bytes; equal to the key attributes'.
    pub mem_limit: i64,
    /// Passes; equal to the key attributes'.
    pub ops_limit: i64,
    /// Equal to the key attributes'.
    pub kek_salt: Opaque,
    /// The account asks for an e-mailed code instead of SRP.
    #[serde(rename = "isEmailMFAEnabled")]
    pub is_email_mfa_enabled: bool,
}

/// `GET /users/srp/attributes?email=`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrpAttributesResponse {
    /// Only when both SRP and key attributes are set.
    pub attributes: SrpAttributes,
}

/// `POST /users/srp/create-session`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrpCreateSessionRequest {
    /// The SRP identity.
    #[serde(rename = "srpUserID", default)]
    pub srp_user_id: String,
    /// 512 bytes.
    #[serde(rename = "srpA", default)]
    pub srp_a: Opaque,
}

/// What `create-session` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrpCreateSessionResponse {
    /// A UUID.
    #[serde(rename = "sessionID")]
    pub session_id: String,
    /// 512 bytes.
    #[serde(rename = "srpB")]
    pub srp_b: Opaque,
}

/// `POST /users/srp/verify-session`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrpVerifySessionRequest {
    /// From `create-session`.
    #[serde(rename = "sessionID", default)]
    pub session_id: String,
    /// The SRP identity.
    #[serde(rename = "srpUserID", default)]
    pub srp_user_id: String,
    /// 32 bytes.
    #[serde(rename = "srpM1", default)]
    pub srp_m1: Opaque,
}

/// The five key attributes that a new password changes [2.10].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdatedKeyAttributes {
    /// Argon2id salt.
    #[serde(default)]
    pub kek_salt: Opaque,
    /// The master key under the new password's key.
    #[serde(default)]
    pub encrypted_key: Opaque,
    /// Its nonce.
    #[serde(default)]
    pub key_decryption_nonce: Opaque,
    /// Bytes.
    #[serde(default)]
    pub mem_limit: i64,
    /// Passes.
    #[serde(default)]
    pub ops_limit: i64,
}

/// `POST /users/srp/update`: a new password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrpUpdateRequest {
    /// From `setup`.
    #[serde(rename = "setupID", default)]
    pub setup_id: String,
    /// 32 bytes; phones do not pad it.
    #[serde(rename = "srpM1", default)]
    pub srp_m1: Opaque,
    /// The five fields.
    #[serde(rename = "updatedKeyAttr")]
    pub updated_key_attributes: UpdatedKeyAttributes,
    /// Absent means true.
    #[serde(rename = "logOutOtherDevices", default, skip_serializing_if = "Option::is_none")]
    pub log_out_other_devices: Option<bool>,
}

/// `GET /users/session-validity/v2` [2.11].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionValidity {
    /// Whether the account's sign-up is complete.
    pub has_set_keys: bool,
    /// Present when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_attributes: Option<KeyAttributes>,
}

/// One signed-in device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// The caller's own token; for other sessions an id that `DELETE /users/session` accepts.
    pub token: String,
    /// µs since the epoch.
    pub creation_time: i64,
    /// The address that it was last used from.
    pub ip: String,
    /// Its `User-Agent`.
    pub ua: String,
    /// The same, for people.
    #[serde(rename = "prettyUA")]
    pub pretty_ua: String,
    /// µs since the epoch.
    pub last_used_time: i64,
}

/// `GET /users/sessions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// Those of the same app.
    pub sessions: Vec<Session>,
}

/// `GET /users/delete-challenge` [2.14].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteChallenge {
    /// Always true here.
    pub allow_delete: bool,
    /// Text sealed to the account's public key: only who holds the keys can answer.
    pub encrypted_challenge: Opaque,
    /// Which apps have data.
    #[serde(default)]
    pub apps: Vec<String>,
}

/// `DELETE /users/delete`, with a body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteAccountRequest {
    /// The opened challenge.
    #[serde(default)]
    pub challenge: String,
}

/// What deleting an account answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteAccountResponse {
    /// Always true: there is nothing to cancel.
    #[serde(rename = "isSubscriptionCancelled")]
    pub is_subscription_cancelled: bool,
    /// The account.
    #[serde(rename = "userID")]
    pub user_id: AccountId,
}

/// `GET /users/details/v2` [4.2].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountDetails {
    /// The account's address.
    pub email: String,
    /// Bytes of ciphertext stored, trash included.
    pub usage: i64,
    /// Absent when the caller said `memoryCount=false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_count: Option<i64>,
    /// Always 0 here.
    pub shared_collections_count: i64,
    /// Always 0 here.
    pub storage_bonus: i64,
    /// The quota, told as a plan.
    pub subscription: Subscription,
    /// Second factors.
    pub profile_data: ProfileData,
    /// Always empty.
    pub bonus_data: BonusData,
}

/// A quota in the shape of a plan. No member is null; `expiry_time` is the same in every answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// The plan's row.
    pub id: i64,
    /// The account.
    #[serde(rename = "userID")]
    pub user_id: AccountId,
    /// The plan's name.
    #[serde(rename = "productID")]
    pub product_id: String,
    /// The quota in bytes.
    pub storage: i64,
    /// `none`.
    #[serde(rename = "originalTransactionID")]
    pub original_transaction_id: String,
    /// µs since the epoch, in the far future.
    pub expiry_time: i64,
    /// Empty.
    pub payment_provider: String,
    /// Empty.
    pub attributes: serde_json::Map<String, serde_json::Value>,
    /// Empty.
    pub price: String,
    /// Empty.
    pub period: String,
}

/// Which second factors an account has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileData {
    /// Whether SRP is set, without which the e-mailed code cannot be switched off.
    #[serde(rename = "canDisableEmailMFA")]
    pub can_disable_email_mfa: bool,
    /// The account asks for an e-mailed code.
    #[serde(rename = "isEmailMFAEnabled")]
    pub is_email_mfa_enabled: bool,
    /// Always false here.
    #[serde(rename = "isTwoFactorEnabled")]
    pub is_two_factor_enabled: bool,
    /// Always 0 here.
    #[serde(rename = "passkeyCount")]
    pub passkey_count: i64,
}

/// Always empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BonusData {
    /// None.
    pub storage_bonuses: Vec<serde_json::Value>,
}

/// `GET` and `POST /user-entity/key` [4.4].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntityKey {
    /// Set by the server.
    #[serde(rename = "userID", default)]
    pub user_id: AccountId,
    /// `location`, `person`, `cgroup`, `smart_album`, `memory`, `contact`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The entity key under the master key.
    #[serde(default)]
    pub encrypted_key: Opaque,
    /// Its nonce.
    #[serde(default)]
    pub header: Opaque,
    /// Set by the server, µs since the epoch.
    #[serde(default)]
    pub created_at: i64,
}
