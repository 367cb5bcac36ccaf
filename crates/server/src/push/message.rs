//! What a wake says: one word, encrypted to the device (RFC 8291, in the coding `aes128gcm` of RFC 8188).
//!
//! ```text
//! salt (16) | record size, big-endian (4) | 65 | the server's public key for this message (65) |
//!     AES-128-GCM(content | 0x02) with a tag of 16
//! secret = HKDF-SHA-256(salt: auth, ikm: ECDH, info: "WebPush: info" | 0 | device's key | server's key, 32)
//! key    = HKDF-SHA-256(salt, ikm: secret, info: "Content-Encoding: aes128gcm" | 0, 16)
//! nonce  = HKDF-SHA-256(salt, ikm: secret, info: "Content-Encoding: nonce" | 0, 12)
//! ```
//!
//! It refuses to say anything of the account: a wake has always the same length, and push services see that there was one.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use darkslide_protocol::device::PushEndpoint;
use std::fmt;
use zeroize::Zeroizing;

/// All that a wake says.
pub const WAKE: &[u8] = b"wake";

/// The record size that is announced; a message is one record, and shorter.
const RECORD_SIZE: u32 = 4096;

/// Bytes of an uncompressed point.
const POINT: usize = 65;

/// Keys that no message can be encrypted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the endpoint's keys are not usable")]
pub struct BadKeys;

/// The keys of an endpoint.
pub struct Keys {
    public: [u8; POINT],
    auth: Zeroizing<[u8; 16]>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// Those that an endpoint came with; `None` when it came without.
    pub fn of(push: &PushEndpoint) -> Result<Option<Self>, BadKeys> {
        match (&push.p256dh, &push.auth) {
            (None, None) => Ok(None),
            (Some(public), Some(auth)) => Ok(Some(Self {
                public: decode(public)
                    .filter(|point: &[u8; POINT]| point.first() == Some(&4))
                    .ok_or(BadKeys)?,
                auth: Zeroizing::new(decode(auth).ok_or(BadKeys)?),
            })),
            _ => Err(BadKeys),
        }
    }

    /// Encrypts a short text, under a key pair and a salt that are used once.
    pub fn seal(&self, text: &[u8]) -> Result<Vec<u8>, BadKeys> {
        let own = PrivateKey::generate(&ECDH_P256).expect("the system has randomness");
        self.seal_with(&own, crate::auth::random_bytes(), text)
    }

    fn seal_with(&self, own: &PrivateKey, salt: [u8; 16], text: &[u8]) -> Result<Vec<u8>, BadKeys> {
        let public = own.compute_public_key().map_err(|_| BadKeys)?;
        let secret = self.shared_secret(own, public.as_ref())?;
        let secret = Salt::new(HKDF_SHA256, &salt).extract(secret.as_slice());
        let key = Zeroizing::new(derive::<16>(&secret, &[b"Content-Encoding: aes128gcm\0"]));
        let key = UnboundKey::new(&AES_128_GCM, key.as_slice()).expect("the key has 16 bytes");
        let nonce = Nonce::assume_unique_for_key(derive(&secret, &[b"Content-Encoding: nonce\0"]));
        let mut record = text.to_vec();
        record.push(2);
        LessSafeKey::new(key)
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut record)
            .expect("the text is short");
        let length = u8::try_from(POINT).expect("a point is short");
        Ok([&salt[..], &RECORD_SIZE.to_be_bytes(), &[length], public.as_ref(), &record].concat())
    }

    fn shared_secret(&self, own: &PrivateKey, public: &[u8]) -> Result<Zeroizing<[u8; 32]>, BadKeys> {
        agree(own, UnparsedPublicKey::new(&ECDH_P256, &self.public), BadKeys, |shared| {
            let secret = Salt::new(HKDF_SHA256, self.auth.as_slice()).extract(shared);
            Ok(Zeroizing::new(derive(&secret, &[b"WebPush: info\0", &self.public, public])))
        })
    }
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// How many bytes are asked for.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive<const N: usize>(secret: &Prk, info: &[&[u8]]) -> [u8; N] {
    let mut derived = [0; N];
    secret
        .expand(info, Length(N))
        .and_then(|derivation| derivation.fill(&mut derived))
        .expect("HKDF gives as many bytes as this");
    derived
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(p256dh: Option<&str>, auth: Option<&str>) -> PushEndpoint {
        PushEndpoint {
            endpoint: "https://push.example.org/".to_owned(),
            p256dh: p256dh.map(str::to_owned),
            auth: auth.map(str::to_owned),
        }
    }

    const PUBLIC: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    #[test]
    fn the_example_of_rfc_8291() {
        let keys = Keys::of(&endpoint(Some(PUBLIC), Some(AUTH))).unwrap().unwrap();
        let own: [u8; 32] = decode("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw").unwrap();
        let own = PrivateKey::from_private_key(&ECDH_P256, &own).unwrap();
        let salt = decode("DGv6ra1nlYgDCS1FRnbzlw").unwrap();
        let sealed = keys.seal_with(&own, salt, b"When I grow up, I want to be a watermelon").unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.encode(sealed),
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6Tlz\
             AC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
        );
    }

    #[test]
    fn keys_come_together_and_are_what_they_must_be() {
        let check = |p256dh, auth, usable: Result<bool, BadKeys>| {
            assert_eq!(
                Keys::of(&endpoint(p256dh, auth)).map(|keys| keys.is_some()),
                usable,
                "{p256dh:?} {auth:?}"
            );
        };
        check(None, None, Ok(false));
        check(Some(PUBLIC), Some(AUTH), Ok(true));
        check(Some(PUBLIC), None, Err(BadKeys));
        check(None, Some(AUTH), Err(BadKeys));
        check(Some(AUTH), Some(PUBLIC), Err(BadKeys));
        check(Some("cA"), Some("YQ"), Err(BadKeys));
        check(Some(PUBLIC), Some("BTBZMqHH6r4Tts7J_aSIgg=="), Err(BadKeys));
        // Well-formed, and no point of the curve.
        let off = URL_SAFE_NO_PAD.encode([4; 65]);
        let keys = Keys::of(&endpoint(Some(&off), Some(AUTH))).unwrap().unwrap();
        assert_eq!(keys.seal(WAKE).unwrap_err(), BadKeys);
    }
}
