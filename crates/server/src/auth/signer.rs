//! Signatures by which the server recognises what it said itself: upload and download URLs, deletion challenges, and
//! the digests of one-time codes.
//!
//! HMAC-SHA-256 over a purpose and fields, each preceded by its length, so that no two lists of fields have the same
//! text. It refuses to sign without a purpose: a signature for one is no good for another.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

/// Signs with a key that never leaves the server.
pub struct Signer {
    key: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// A signer with this key.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key: Zeroizing::new(key) }
    }

    /// The 32 bytes of the code, for what needs bytes: fake salts of accounts that do not exist.
    pub(crate) fn derive_bytes(&self, purpose: &str, fields: &[&str]) -> [u8; 32] {
        self.mac(purpose, fields).finalize().into_bytes().into()
    }

    /// The signature, in URL-safe base64 without padding: 43 characters.
    pub fn sign(&self, purpose: &str, fields: &[&str]) -> String {
        URL_SAFE_NO_PAD.encode(self.derive_bytes(purpose, fields))
    }

    /// Whether `signature` is that of these fields. Takes the same time however wrong it is.
    pub fn verify(&self, purpose: &str, fields: &[&str], signature: &str) -> bool {
        URL_SAFE_NO_PAD
            .decode(signature)
            .is_ok_and(|signature| self.mac(purpose, fields).verify_slice(&signature).is_ok())
    }

    fn mac(&self, purpose: &str, fields: &[&str]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.key.as_slice()).expect("HMAC takes keys of any length");
        for field in std::iter::once(&purpose).chain(fields) {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field.as_bytes());
        }
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_fits_its_purpose_and_fields_and_nothing_else() {
        let signer = Signer::new([1; 32]);
        let signature = signer.sign("get", &["ab", "c"]);
        assert_eq!(signature.len(), 43);
        assert!(signer.verify("get", &["ab", "c"], &signature));
        assert!(!signer.verify("put", &["ab", "c"], &signature));
        assert!(!signer.verify("get", &["a", "bc"], &signature), "fields must not run into each other");
        assert!(!signer.verify("get", &["ab", "c", ""], &signature));
        assert!(!signer.verify("get", &["ab", "c"], &signature[1..]));
        assert!(!signer.verify("get", &["ab", "c"], ""));
        assert!(!Signer::new([2; 32]).verify("get", &["ab", "c"], &signature));
    }
}
