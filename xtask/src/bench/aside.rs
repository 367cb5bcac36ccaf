//! What a round leaves is emptied where it lies and removed with everything else in the end.
//!
//! ext4 without a journal (mke2fs(8), `-O ^has_journal`) gives no inode to a new file for minutes after another file had it, and looks at each of
//! them first, for each new file: behind a round that removed its 20,000 files, making as many took `cp` ten times as long, and more each round.

use anyhow::{Context, Result};
use std::fs::OpenOptions;
use std::path::Path;
use walkdir::WalkDir;

/// Moves a folder out of the way, to a place beside it, and gives back the room of all its files.
pub(crate) fn set_aside(folder: &Path) -> Result<()> {
    let beside = folder.parent().context("a folder of the bench lies in its work folder")?;
    let place = tempfile::Builder::new().prefix("aside-").tempdir_in(beside)?.keep();
    // An empty folder is replaced.
    std::fs::rename(folder, &place)?;
    for entry in WalkDir::new(&place) {
        let entry = entry?;
        if entry.file_type().is_file() {
            empty(entry.path()).with_context(|| format!("could not empty {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Also where nobody may write: restic's files are so.
fn empty(path: &Path) -> Result<()> {
    let mut permissions = path.metadata()?.permissions();
    if permissions.readonly() {
        #[expect(
            clippy::permissions_set_readonly_false,
            reason = "it is removed soon, and nobody else sees it"
        )]
        permissions.set_readonly(false);
        std::fs::set_permissions(path, permissions)?;
    }
    OpenOptions::new().write(true).truncate(true).open(path)?;
    Ok(())
}
