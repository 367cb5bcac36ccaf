//! Text that the server stores and returns byte for byte, and never looks into.
//!
//! It refuses to re-encode: what a client sent is what every client gets.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Standard base64 with padding, as the client wrote it: ciphertext, a nonce, a header, a salt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Opaque(pub String);

/// The text is not standard base64 with padding, or decodes to another length than the format has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not base64 of the expected length")]
pub struct NotBase64;

impl Opaque {
    /// Encodes bytes as the API wants them.
    pub fn encode(bytes: impl AsRef<[u8]>) -> Self {
        Self(STANDARD.encode(bytes))
    }

    /// The bytes behind the text.
    pub fn decode(&self) -> Result<Vec<u8>, NotBase64> {
        STANDARD.decode(&self.0).map_err(|_| NotBase64)
    }

    /// The bytes behind the text, when there must be exactly `N`.
    pub fn decode_array<const N: usize>(&self) -> Result<[u8; N], NotBase64> {
        self.decode()?.try_into().map_err(|_| NotBase64)
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_it_encodes_and_refuses_other_lengths() {
        let text = Opaque::encode([7u8; 24]);
        assert_eq!(text.decode_array::<24>(), Ok([7; 24]));
        assert_eq!(text.decode_array::<32>(), Err(NotBase64));
        assert_eq!(Opaque("a+b".into()).decode(), Err(NotBase64));
    }
}
