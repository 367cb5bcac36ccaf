//! Objects: encrypted blobs as bytes on a disk, written once, read in ranges, removed when nothing names them.
//!
//! Nothing here knows accounts, files or the database, and nothing here can decrypt. A blob that is in its place is complete and
//! survives a power cut; it is never written to again, so a reader needs no lock.

pub(crate) mod checksum;
mod digest;
mod disk;
mod flush;
mod growing;
mod incoming;
mod pack;
mod read;
mod read_back;

pub use checksum::Announced;
pub use digest::{Digest, Hasher};
pub use disk::{Objects, SHARDS};
pub use growing::{Growing, Opening, Reached, Recovered};
pub use incoming::{Incoming, ReceiveLimits};
pub use pack::{IncomingPack, PackWriter, Packed};
pub use read::Segment;
pub use read_back::{Found, Progress, ReadBack, STEP_BYTES, Stretch};

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// Why bytes could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The disk refused: it may be full.
    #[error("could not {action} {path}")]
    Disk {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The sender broke off.
    #[error("the sender broke off")]
    BrokenOff(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The sender sent nothing for too long.
    #[error("the sender sent nothing for {0:?}")]
    Stalled(Duration),
    /// The sender sent more than was agreed.
    #[error("the sender sent more than {0} bytes")]
    TooLong(u64),
    /// Another process still writes the file.
    #[error("another server still writes {0}")]
    Locked(PathBuf),
    /// The file has not the bytes that were recorded as flushed, or others.
    #[error("{0} has lost bytes that were flushed")]
    Lost(PathBuf),
    /// The thread or task that should have done it is gone: the process is ending.
    #[error("the server is stopping")]
    Stopping,
}

impl ObjectError {
    /// Whether the same call may succeed later: room on the disk may be made, a server comes back.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Disk { source, .. } => source.kind() != io::ErrorKind::NotFound,
            Self::Stopping | Self::Locked(_) => true,
            Self::Lost(_) | Self::BrokenOff(_) | Self::Stalled(_) | Self::TooLong(_) => false,
        }
    }

    /// Whether there is no room left on the disk.
    pub fn is_disk_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Self::Disk { source, .. } if full.contains(&source.kind()))
    }

    fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { action, path: path.to_owned(), source }
    }
}

/// The name of one blob on disk: `<uuid of the object>.<part, five digits>.<eight hex digits>`, part 0 being a whole object.
///
/// The last member is drawn afresh for every body that is received: two bodies for the same part never share a file, so nothing
/// is ever overwritten, and the database decides which of them counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobName(String);

impl BlobName {
    /// A name that no blob has had.
    pub fn generate(object: Uuid, part: u32) -> Self {
        let (nonce, ..) = Uuid::new_v4().as_fields();
        Self(format!("{object}.{part:05}.{nonce:08x}"))
    }

    /// The name that a database row or a directory entry holds; `None` for what no blob is called.
    pub fn parse(text: &str) -> Option<Self> {
        let mut members = text.split('.');
        let object = members.next().filter(|text| text.len() == 36 && Uuid::try_parse(text).is_ok());
        let part = members.next().filter(|text| is_part_number(text));
        let nonce =
            members.next().filter(|text| text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit()));
        let whole = object.is_some() && part.is_some() && nonce.is_some() && members.next().is_none();
        whole.then(|| Self(text.to_owned()))
    }

    /// The text that is stored in the database.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it was made for this object, and has no other's bytes. A pack was made for none.
    pub fn is_of(&self, object: Uuid) -> bool {
        self.0.split('.').next() == Some(object.to_string().as_str())
    }

    /// The folder that it lies in, below the objects' folder: the first two hex digits.
    fn shard(&self) -> &str {
        self.0.get(..2).expect("a blob's name begins with a UUID")
    }
}

fn is_part_number(text: &str) -> bool {
    text.len() >= 5 && text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blobs_names_are_names() {
        let name = BlobName::generate(Uuid::new_v4(), 7);
        assert_eq!(BlobName::parse(name.as_str()), Some(name.clone()));
        let object = Uuid::parse_str(&name.0[..36]).unwrap();
        assert_ne!(name, BlobName::generate(object, 7));
        assert!(name.is_of(object) && !name.is_of(Uuid::new_v4()));
        for text in
            ["", "lost+found", "../../etc/passwd", "x.00001.00000000", &format!("{}.x", name.as_str())]
        {
            assert_eq!(BlobName::parse(text), None, "{text}");
        }
    }
}
