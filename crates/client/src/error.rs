//! What can stop work on the vault as a whole. What goes wrong with one file is told in that work's summary instead.

use crate::api::ApiFailure;
use crate::catalog::{CatalogError, full_disk};
use crate::keys::Unreadable;
use darkslide_protocol::{CollectionId, FileId, Version};
use std::path::Path;
use thiserror::Error;

/// What happened, and why, as far down as we know. Some libraries repeat their cause in their own words.
pub fn causes(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    for cause in std::iter::successors(Some(error), |&cause| cause.source()).map(ToString::to_string) {
        if !causes.iter().any(|known| known.contains(&cause)) {
            causes.push(cause);
        }
    }
    causes
}

/// The same of something that has its catalog in this folder: first of all that the disk is full, if that is why.
pub fn causes_on(error: &(dyn std::error::Error + 'static), folder: &Path) -> Vec<String> {
    let full = full_disk(error, folder).map(|full| full.to_string());
    full.into_iter().chain(causes(error)).collect()
}

/// A word that a shell reads as it is, for commands that are to be copied.
pub fn quoted(word: &str) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || "/._-+:@%".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Why something that was asked of the vault was not done.
#[derive(Debug, Error)]
pub enum VaultError {
    /// The server was not reached, or refused.
    #[error(transparent)]
    Api(#[from] ApiFailure),
    /// The catalog cannot be used.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A key or record that is needed does not open.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// No album of that name.
    #[error("there is no album named {0:?}; `darkslide list albums` shows which there are")]
    NoSuchAlbum(String),
    /// No such collection, or no longer.
    #[error("there is no album {0} (any more)")]
    NoSuchCollection(CollectionId),
    /// No such file, or no longer.
    #[error("there is no file {0} (any more)")]
    NoSuchFile(FileId),
    /// Somebody else's file, seen in an album that they share.
    #[error("file {0} is not yours: only whoever owns it can delete it or put it into other albums")]
    NotOwn(FileId),
    /// No such earlier version, or no longer; or the server keeps none.
    #[error("file {0} has no earlier version {1} (any more); `darkslide versions {0}` shows which there are")]
    NoSuchVersion(FileId, Version),
    /// The server's copy of an earlier version is not what was uploaded. The file stays as it is.
    #[error(
        "version {1} of file {0} cannot be brought back, and nothing was changed: the server's copy is damaged or missing. Whoever runs the \
         server finds it with `darkslide server status` and can bring it back from a backup; then try again"
    )]
    VersionDamaged(FileId, Version),
    /// An album of that name exists already.
    #[error("there is an album named {0:?} already")]
    AlbumExists(String),
    /// Somebody else's album, or one that every account has.
    #[error("the album {0:?} cannot be changed or deleted: it is not yours, or every account has it")]
    FixedAlbum(String),
    /// The feed does what it never may.
    #[error("the server's list of changes contradicts itself; tell whoever runs it")]
    Feed,
}

impl VaultError {
    /// Whether the same may succeed later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Api(failure) if failure.is_transient())
    }

    /// Whether the server could not be reached.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Api(failure) if failure.is_unreachable())
    }

    /// Whether the session has ended: sign in again.
    pub fn is_signed_out(&self) -> bool {
        matches!(self, Self::Api(failure) if failure.is_signed_out())
    }
}
