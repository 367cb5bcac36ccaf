//! The failures that every construction shares. They say nothing that would help somebody who guesses.

use thiserror::Error;

/// A sealed message did not open: the key is wrong, or a byte was altered, or it was cut short.
///
/// Deliberately opaque: which of these it was is not known, and is nobody's business.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("it does not open: the key is wrong or the data were altered")]
pub struct OpenError;

/// A value that has one fixed length came with another.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{what} must be {expected} bytes, not {actual}")]
pub struct LengthError {
    /// The value, as a person would name it.
    pub what: &'static str,
    /// Its only length, in bytes.
    pub expected: usize,
    /// The length that it came with, in bytes.
    pub actual: usize,
}

/// Takes exactly `N` bytes, or says what was expected.
pub(crate) fn exactly<const N: usize>(what: &'static str, bytes: &[u8]) -> Result<[u8; N], LengthError> {
    bytes.try_into().map_err(|_| LengthError { what, expected: N, actual: bytes.len() })
}
