//! Base64 as the formats write it: always with padding. Anything else is refused, not repaired.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use thiserror::Error;
use zeroize::Zeroizing;

/// Text that is not base64 in the one form that its place allows (canonical, padded).
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not padded base64")]
pub struct EncodingError;

/// Standard alphabet (`+/`) with padding: every binary JSON field.
pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads what [`to_base64`] writes. Missing padding, white space and non-zero spare bits are errors.
pub fn from_base64(text: &str) -> Result<Vec<u8>, EncodingError> {
    STANDARD.decode(text).map_err(|_| EncodingError)
}

/// URL-safe alphabet (`-_`) with padding: session tokens. Wiped when dropped.
pub fn to_base64url(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(URL_SAFE.encode(bytes))
}

/// Reads what [`to_base64url`] writes. Wiped when dropped.
pub fn from_base64url(text: &str) -> Result<Zeroizing<Vec<u8>>, EncodingError> {
    URL_SAFE.decode(text).map(Zeroizing::new).map_err(|_| EncodingError)
}
