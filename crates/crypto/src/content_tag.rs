//! What a server may compare of a content hash: the same hash under a key that only the account has.
//!
//! ```text
//! tag key = crypto_kdf(32 bytes, id 1, context "drkslide", master key)
//! tag     = BLAKE2b-256(key = tag key, message = the content hash as text)
//! ```
//!
//! Equal contents of one account have equal tags; those of two accounts have nothing in common, and whoever has a copy of a
//! picture but not the key cannot tell whether an account holds it. The hash itself stays with the client.

use dryoc::classic::crypto_generichash::crypto_generichash;
use dryoc::classic::crypto_kdf::crypto_kdf_derive_from_key;

use crate::account::AccountKeys;
use crate::content_hash::ContentHash;
use crate::keys::{ContentTagKey, MasterKey};
use crate::secret::Secret;

/// Length of a tag in bytes.
pub const TAG_LEN: usize = 32;

/// The sub-key's number and context in `crypto_kdf`.
const SUBKEY_ID: u64 = 1;
const CONTEXT: [u8; 8] = *b"drkslide";

/// The key of an account's content tags, the same for the account's whole life as the master key is.
pub fn derive_content_tag_key(master_key: &MasterKey) -> ContentTagKey {
    let mut key = Secret::<32>::zeroed();
    crypto_kdf_derive_from_key(key.expose_mut(), SUBKEY_ID, &CONTEXT, master_key.expose())
        .expect("32 bytes are a valid sub-key length");
    ContentTagKey::from_secret(key)
}

impl ContentTagKey {
    /// The tag of a content, which a server may see. Of a Live Photo: of its two hashes joined by a colon.
    pub fn tag(&self, content: &ContentHash) -> [u8; TAG_LEN] {
        let mut tag = [0; TAG_LEN];
        crypto_generichash(&mut tag, content.to_string().as_bytes(), Some(self.expose()))
            .expect("32 bytes are a valid length for digest and key");
        tag
    }
}

impl AccountKeys {
    /// The key of this account's content tags. Derived anew each time, for the price of one hash.
    pub fn content_tag_key(&self) -> ContentTagKey {
        derive_content_tag_key(&self.master_key)
    }
}
