//! Edits that only go on: part of a file was sent because it looked whole, and the rest of it came later, as slow writers and synchronisers do. What
//! was sent first is the beginning of what the file is now, so that nobody wants it back.
//!
//! This only finds that out. Nothing is removed for it: the metadata of the whole file say what they supersede
//! ([`describe`](super::describe)), and whoever lists earlier versions passes that over.

use std::io::Read as _;

use darkslide_crypto::stream::plaintext_len;
use darkslide_crypto::{ContentHash, ContentHasher};

use super::hash::{HashError, open_unchanged, read_pieces};
use super::identify::Component;
use super::settle::Job;
use crate::catalog::FileRow;

/// What the file was, if what it becomes begins with all of it and is longer. What cannot be read begins with nothing.
pub(super) async fn superseded(job: &Job, before: &FileRow) -> Option<ContentHash> {
    let was = before.content_hash.filter(|was| matches!(was, ContentHash::Single(_)))?;
    let length = u64::try_from(before.object_size).ok().and_then(plaintext_len)?;
    // Elsewhere than in a sync folder an edit is an edit, whatever it does to the bytes.
    if job.asset().offered.is_none() || job.asset().motion.is_some() || job.len() <= length {
        return None;
    }
    let begins = match job.in_memory() {
        Some(plain) => ContentHash::of(plain.get(..usize::try_from(length).ok()?)?),
        None => {
            let main = job.asset().main.clone();
            let reading = tokio::task::spawn_blocking(move || beginning(&main, length));
            reading.await.expect("reading does not panic").ok()?
        }
    };
    (begins == was).then_some(was)
}

/// The first bytes of a file on disk, as long as it is the one that was sent: another says nothing of that.
fn beginning(component: &Component, length: u64) -> Result<ContentHash, HashError> {
    let mut file = open_unchanged(component)?.take(length);
    let mut hasher = ContentHasher::new();
    read_pieces(&mut file, &mut |bytes| {
        hasher.update(bytes);
        true
    })?;
    if file.get_ref().fingerprint()? != component.fingerprint {
        return Err(HashError::Changed);
    }
    Ok(hasher.finish())
}
