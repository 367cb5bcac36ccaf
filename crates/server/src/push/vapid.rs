//! Who it is that sends wakes: VAPID (RFC 8292), a signed token that names the push service and ends in hours.
//!
//! The key pair is derived from a secret of the server's in its database, so it is the same for all processes and all times:
//! browsers tie subscriptions to it.

use crate::auth::signer::Signer;
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use std::fmt;
use url::Url;
use zeroize::Zeroizing;

/// How long a token is good, in seconds: half of what RFC 8292 allows.
const TOKEN_SECONDS: i64 = 12 * 3600;

/// Signs tokens.
pub struct Vapid {
    pair: EcdsaKeyPair,
    public: String,
    contact: Option<String>,
}

impl fmt::Debug for Vapid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vapid").field("public", &self.public).finish_non_exhaustive()
    }
}

impl Vapid {
    /// The key pair of a secret. `contact` is a `https:` or `mailto:` URL by which push services reach who runs the server.
    pub fn new(secret: [u8; 32], contact: Option<String>) -> Self {
        let signer = Signer::new(secret);
        // Of all 32-byte strings one in 2^32 is no private key of P-256; then the next is taken.
        let (pair, public) = (0_u32..)
            .find_map(|number| pair_of(&Zeroizing::new(signer.derive_bytes("vapid", &[&number.to_string()]))))
            .expect("nearly every string of 32 bytes is a private key");
        Self { pair, public: URL_SAFE_NO_PAD.encode(public), contact }
    }

    /// The public key: an uncompressed point in base64url without padding, as browsers want it in `applicationServerKey`.
    pub fn public_key(&self) -> &str {
        &self.public
    }

    /// The `Authorization` header of a push to this endpoint, `now` in seconds since the epoch.
    pub fn authorization(&self, endpoint: &Url, now: i64) -> String {
        let mut claims = serde_json::json!({
            "aud": endpoint.origin().ascii_serialization(),
            "exp": now + TOKEN_SECONDS,
        });
        if let (Some(contact), Some(claims)) = (&self.contact, claims.as_object_mut()) {
            claims.insert("sub".to_owned(), contact.clone().into());
        }
        let said = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"ES256"}"#),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature =
            self.pair.sign(&SystemRandom::new(), said.as_bytes()).expect("a valid key signs anything");
        format!("vapid t={said}.{}, k={}", URL_SAFE_NO_PAD.encode(signature), self.public)
    }
}

fn pair_of(private: &[u8; 32]) -> Option<(EcdsaKeyPair, Vec<u8>)> {
    let public = PrivateKey::from_private_key(&ECDH_P256, private).ok()?.compute_public_key().ok()?;
    let public = public.as_ref().to_vec();
    let pair =
        EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, private, &public);
    Some((pair.ok()?, public))
}
