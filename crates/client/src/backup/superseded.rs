//! Edits that only go on: part of a file was sent because it looked whole, and the rest of it came later, as slow writers and synchronisers do. What
//! was sent first is the beginning of what the file is now, so that nobody wants it back.
//!
//! This only finds that out. Nothing is removed for it: the metadata of the whole file say what they supersede
//! ([`describe`](super::describe)), and whoever lists earlier versions passes that over.

use std::io::{self, Read as _};

use darkslide_crypto::stream::plaintext_len;
use darkslide_crypto::{ContentHash, ContentHasher};

use super::identify::Component;
use super::settle::Job;
use crate::catalog::FileRow;
use crate::library::opened::Opened;

/// Bytes read at once.
const READ_LEN: usize = 256 * 1024;

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

/// The first bytes of a file on disk.
fn beginning(component: &Component, length: u64) -> io::Result<ContentHash> {
    let mut file = Opened::open(&component.path, component.entry.as_ref())?.take(length);
    let (mut hasher, mut buffer) = (ContentHasher::new(), vec![0; READ_LEN]);
    loop {
        match file.read(&mut buffer) {
            // What was sent is what was there before: another file says nothing of that.
            Ok(0) if file.get_ref().fingerprint()? == component.fingerprint => return Ok(hasher.finish()),
            Ok(0) => return Err(io::ErrorKind::StaleNetworkFileHandle.into()),
            Ok(count) => {
                hasher.update(buffer.get(..count).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
