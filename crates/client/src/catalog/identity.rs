//! Which file a path leads to.

use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::time::SystemTime;

/// What no other file has, as long as this one is there; and hardly any later one, though systems give numbers again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    number: (u64, u64),
    created: Option<SystemTime>,
}

/// That of the file at a path.
pub(super) fn of(path: &Path) -> io::Result<Identity> {
    let metadata = path.metadata()?;
    Ok(Identity { number: number_of(&metadata), created: metadata.created().ok() })
}

/// The disk's number, and the file's on it.
#[cfg(unix)]
fn number_of(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

/// There files are known by when they were made.
#[cfg(not(unix))]
fn number_of(_metadata: &Metadata) -> (u64, u64) {
    (0, 0)
}

#[cfg(test)]
mod tests {
    use crate::catalog::Catalog;

    #[tokio::test]
    async fn a_catalog_that_is_gone_or_another_one_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let first = Catalog::open(&path).await.unwrap();
        assert!(!first.is_replaced());
        Catalog::remove(&path).await.unwrap();
        Catalog::remove(&path).await.unwrap();
        assert!(first.is_replaced() && !path.exists());
        let second = Catalog::open(&path).await.unwrap();
        assert!(first.is_replaced() && !second.is_replaced());
        Catalog::remove(&folder.path().join("none/catalog.sqlite")).await.unwrap();
    }
}
