//! What a failed call under `/v1` answers: `application/problem+json` (RFC 9457).
//!
//! Clients act on `code` and on the status, never on the texts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of a [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a call under `/v1` failed. Members that a code adds of its own stand beside these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank` (RFC 9457 §4.2.1): the code says which problem it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status, once more.
    pub status: u16,
    /// An upper-case code that stays the same for ever.
    pub code: String,
    /// The same for people, where there is more to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
