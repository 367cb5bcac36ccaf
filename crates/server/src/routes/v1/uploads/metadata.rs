//! `Upload-Metadata`: what a client tells of an upload that it begins, and is told again whenever it asks for it (tus, creation).
//!
//! It may hold names, which nobody here is to learn. So it is kept sealed with the token of the session that sent it, of which the server
//! keeps only the hash: it can be read while that session asks for it, and at no other time, in no database and no copy of one. It is not
//! looked at, and means nothing.

use super::headers::malformed;
use crate::error::ApiResult;
use axum::http::{HeaderMap, HeaderValue};
use darkslide_protocol::Opaque;
use darkslide_protocol::tus::header;
use dryoc::classic::crypto_secretbox::{crypto_secretbox_easy, crypto_secretbox_open_easy};
use uuid::Uuid;
use zeroize::Zeroizing;

/// The longest that is kept, in bytes.
const BYTES_MAX: usize = 4096;

/// What a secret box adds to its message, in bytes.
const OVERHEAD: usize = 16;

/// Seals what the headers of a creation tell, if they do; 400 when it is too much.
pub(super) fn seal(headers: &HeaderMap, token: &str, id: Uuid) -> ApiResult<Option<String>> {
    let Some(told) = headers.get(header::UPLOAD_METADATA).map(HeaderValue::as_bytes) else {
        return Ok(None);
    };
    if told.len() > BYTES_MAX {
        return Err(malformed("Upload-Metadata has more than 4096 bytes"));
    }
    let mut sealed = vec![0; told.len() + OVERHEAD];
    let (nonce, key) = (nonce_of(id), key_of(token));
    crypto_secretbox_easy(&mut sealed, told, &nonce, &key).map_err(|_| malformed("Upload-Metadata"))?;
    Ok(Some(Opaque::encode(sealed).0))
}

/// What was told of an upload, if it was by this session.
pub(super) fn open(sealed: &str, token: &str, id: Uuid) -> Option<HeaderValue> {
    let sealed = Opaque(sealed.to_owned()).decode().ok()?;
    let mut told = vec![0; sealed.len().checked_sub(OVERHEAD)?];
    crypto_secretbox_open_easy(&mut told, &sealed, &nonce_of(id), &key_of(token)).ok()?;
    HeaderValue::from_bytes(&told).ok()
}

/// An upload's id is drawn at random, and one thing is sealed for it.
fn nonce_of(id: Uuid) -> [u8; 24] {
    let mut nonce = [0; 24];
    let (head, _) = nonce.split_at_mut(16);
    head.copy_from_slice(id.as_bytes());
    nonce
}

fn key_of(token: &str) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(blake3::derive_key("darkslide 2026-11-30 Upload-Metadata of a session", token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_told_again_to_the_same_session_and_nobody_else() {
        let (id, other) = (Uuid::from_u128(7), Uuid::from_u128(8));
        let mut headers = HeaderMap::new();
        assert_eq!(seal(&headers, "token", id).unwrap(), None);
        for told in ["filename c2VjcmV0LmpwZw==,is_confidential", ""] {
            let told = HeaderValue::from_static(told);
            headers.insert(header::UPLOAD_METADATA, told.clone());
            let sealed = seal(&headers, "token", id).unwrap().unwrap();
            assert!(!sealed.contains("c2VjcmV0"));
            assert_eq!(open(&sealed, "token", id), Some(told));
            assert_eq!(open(&sealed, "another", id), None);
            assert_eq!(open(&sealed, "token", other), None);
        }
        assert_eq!(open("no base64!", "token", id), None);
        assert_eq!(open("AAAA", "token", id), None);
        headers.insert(header::UPLOAD_METADATA, HeaderValue::from_bytes(&[b'x'; BYTES_MAX + 1]).unwrap());
        assert!(seal(&headers, "token", id).is_err());
    }
}
