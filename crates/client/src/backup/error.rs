//! Why one asset is not in the vault, and why a whole run ended. One bad file never stops the others.

use std::io;
use std::sync::Arc;

use darkslide_media::probe::ProbeError;

use crate::api::ApiFailure;
use crate::catalog::CatalogError;
use crate::error::VaultError;
use crate::keys::Unreadable;
use crate::library::LibraryError;

use super::encrypt::is_change;
use super::hash::HashError;
use super::identify::IdentifyError;
use super::rules::explanation::Wait;

/// What went wrong with one asset. Its text is what the owner reads.
#[derive(Debug, thiserror::Error)]
pub enum AssetError {
    /// It could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// It was written to while it was sent; nothing was committed.
    #[error("it changed while it was sent; the next run takes it up again")]
    Changed,
    /// What was decided of it does not go for what the vault has now: whoever decided it asks again.
    #[error("another client was first; it is decided anew")]
    Overtaken,
    /// The disk failed while it was sent.
    #[error("it cannot be read: {0}")]
    Read(#[source] io::Error),
    /// No server takes objects of this size.
    #[error("it is too large: encrypted, a file may have 10 GiB at most")]
    TooLarge,
    /// The server was not reached, or refused.
    #[error(transparent)]
    Api(#[from] ApiFailure),
    /// What carries requests to the server takes none of this size.
    #[error("a proxy in front of the server refused a request of {} KiB as too large", bytes.div_ceil(1024))]
    RequestTooLarge {
        /// Bytes of the request's body.
        bytes: u64,
    },
    /// What the server stored is not what was sent.
    #[error("it was damaged on its way to the server")]
    Damaged,
    /// The vault has no room for it. What is to be done about that is told once for all.
    #[error("there is no room left in the vault")]
    NoRoom,
    /// A key that is needed does not open.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The catalog cannot be used: the run ends.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The vault as a whole cannot be read.
    #[error(transparent)]
    Vault(VaultError),
    /// It went with others, and all of them failed.
    #[error(transparent)]
    Batch(Arc<AssetError>),
    /// The moment does not allow it to be sent: it waits, and nothing went wrong.
    #[error("it waits: {0}")]
    Held(Wait),
    /// The device's own library does not give it.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// What it is cannot be told.
    #[error(transparent)]
    Identify(#[from] IdentifyError),
    /// Somebody asked the run to stop.
    #[error("the backup was stopped before it was done")]
    Stopped,
}

impl From<VaultError> for AssetError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Api(failure) => Self::Api(failure),
            VaultError::Catalog(error) => Self::Catalog(error),
            other => Self::Vault(other),
        }
    }
}

impl AssetError {
    /// From reading plaintext while sending.
    pub(super) fn reading(error: io::Error) -> Self {
        if is_change(&error) { Self::Changed } else { Self::Read(error) }
    }

    /// What happened, and what its owner can do about it. It is what the catalog keeps of what is blocked.
    pub(super) fn told(&self) -> String {
        self.advice().map_or_else(|| self.to_string(), |advice| format!("{self}: {advice}"))
    }

    fn advice(&self) -> Option<&'static str> {
        let error = match self.root() {
            Self::Read(error)
            | Self::Hash(HashError::Read(error))
            | Self::Identify(IdentifyError::Read(error) | IdentifyError::Probe(ProbeError::Read(error)))
            | Self::Library(LibraryError::Read(error)) => error,
            Self::RequestTooLarge { .. } => {
                return Some(
                    "whoever runs that proxy must let it take larger ones (nginx: `client_max_body_size 0;`, see docs/operations.md)",
                );
            }
            Self::TooLarge => return Some("cut it into shorter parts, or keep it somewhere else"),
            Self::Hash(HashError::Layout(_)) => {
                return Some("give the still and the video names of their own");
            }
            Self::Unreadable(_) => {
                return Some("sign in again; if that does not help, its album is damaged in the vault");
            }
            _ => return None,
        };
        Some(match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "give yourself the right to read it, and the folders that it is in"
            }
            // Of the content of an archive, which says itself what to do.
            io::ErrorKind::InvalidData => return None,
            io::ErrorKind::NotFound => "put it back, or leave it: what is gone is not looked for again",
            _ => "copy it away if you still can: its disk may be failing",
        })
    }

    /// Whether the same may succeed later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Api(failure) => failure.is_transient() && !self.is_storage_full(),
            Self::Damaged => true,
            Self::Batch(error) => error.is_transient(),
            _ => false,
        }
    }

    /// Whether it did not end: the next run goes on with it.
    pub(super) fn is_cut_off(&self) -> bool {
        self.is_transient() || matches!(self.root(), Self::Stopped | Self::Held(_))
    }

    /// Whether trying it again soon would cost what it cost now, and fail again. What opening tells costs one call; what passes by itself, or is
    /// mended by signing in, is waited for by nobody.
    pub(super) fn is_lasting(&self) -> bool {
        match self.root() {
            Self::Read(error)
            | Self::Hash(HashError::Read(error))
            | Self::Identify(
                IdentifyError::Read(error)
                | IdentifyError::Probe(ProbeError::Open(error) | ProbeError::Read(error)),
            )
            | Self::Library(LibraryError::Read(error)) => error.kind() != io::ErrorKind::PermissionDenied,
            Self::Api(failure) => !failure.is_transient() && !self.is_storage_full(),
            Self::TooLarge | Self::RequestTooLarge { .. } | Self::Hash(HashError::Layout(_)) => true,
            _ => false,
        }
    }

    /// Whether the account's storage is used up or the server's disk is full.
    pub fn is_storage_full(&self) -> bool {
        match self {
            Self::Api(failure) => {
                let insufficient = failure.status() == Some(http::StatusCode::INSUFFICIENT_STORAGE);
                failure.is_over_quota() || failure.is_disk_full() || insufficient
            }
            Self::NoRoom => true,
            Self::Batch(error) => error.is_storage_full(),
            _ => false,
        }
    }

    /// Whether it was the server that had no room for it.
    pub(super) fn is_refused_for_room(&self) -> bool {
        self.is_storage_full() && matches!(self.root(), Self::Api(_))
    }

    /// The server's words, if it is its disk that is full, which no owner of a vault can help.
    pub(super) fn disk_is_full(&self) -> Option<String> {
        match self.root() {
            Self::Api(failure) if self.is_storage_full() && !failure.is_over_quota() => {
                Some(failure.to_string())
            }
            _ => None,
        }
    }

    /// Whether the file was moved or deleted while it was worked on.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Self::Read(error)
            | Self::Hash(HashError::Read(error))
            | Self::Identify(IdentifyError::Read(error)) => error.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// Whether no other asset would fare better: the catalog cannot be used, or the session has ended.
    pub(super) fn ends_the_run(&self) -> bool {
        match self.root() {
            Self::Catalog(_) => true,
            Self::Api(failure) => failure.is_signed_out(),
            _ => false,
        }
    }

    /// Whether it was the size of the request in which it went that was refused, and not by the server.
    pub(super) fn is_too_large_a_request(&self) -> bool {
        matches!(self.root(), Self::RequestTooLarge { .. })
    }

    /// What went wrong, whether it went alone or with others.
    pub(super) fn root(&self) -> &Self {
        match self {
            Self::Batch(error) => error.root(),
            error => error,
        }
    }

    /// Whether what was named is not on the server (any more).
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Api(failure) if failure.is_missing())
    }
}

/// Why a run ended without a report.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A root is not there or may not be read.
    #[error("{path} cannot be backed up: {source}")]
    Root {
        /// As it was given.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What one asset met, and any other would.
    #[error(transparent)]
    Asset(AssetError),
    /// The feed could not be read, the session has ended, or the catalog cannot be used.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<CatalogError> for BackupError {
    fn from(error: CatalogError) -> Self {
        Self::Vault(error.into())
    }
}

impl BackupError {
    /// Whether the same may succeed later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Vault(error) => error.is_transient(),
            Self::Asset(error) => error.is_transient(),
            Self::Root { .. } => false,
        }
    }

    /// Whether the server could not be reached, so that trying it again costs no more than that.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Vault(error) => error.is_unreachable(),
            Self::Asset(error) => {
                matches!(error.root(), AssetError::Api(failure) if failure.is_unreachable())
            }
            Self::Root { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_would_cost_the_same_again_has_a_pause() {
        let read = |kind: io::ErrorKind| AssetError::Read(kind.into());
        for (error, expected) in [
            (read(io::ErrorKind::PermissionDenied), false),
            (read(io::ErrorKind::NotFound), true),
            (read(io::ErrorKind::Other), true),
            (HashError::Read(io::ErrorKind::Other.into()).into(), true),
            (HashError::Read(io::ErrorKind::PermissionDenied.into()).into(), false),
            (HashError::Changed.into(), false),
            (IdentifyError::Read(io::ErrorKind::PermissionDenied.into()).into(), false),
            (LibraryError::Read(io::ErrorKind::NotFound.into()).into(), true),
            (LibraryError::Unavailable("not now".to_owned()).into(), false),
            (LibraryError::Gone.into(), false),
            (AssetError::TooLarge, true),
            (AssetError::NoRoom, false),
            (AssetError::Changed, false),
            (AssetError::Damaged, false),
            (AssetError::Held(Wait::Grant), false),
            (AssetError::Batch(Arc::new(AssetError::TooLarge)), true),
        ] {
            assert_eq!(error.is_lasting(), expected, "{error:?}");
        }
    }

    #[test]
    fn what_is_blocked_comes_with_what_to_do() {
        let told = |kind: io::ErrorKind| AssetError::Read(kind.into()).told();
        assert!(
            told(io::ErrorKind::PermissionDenied)
                .ends_with("give yourself the right to read it, and the folders that it is in")
        );
        assert!(told(io::ErrorKind::Other).ends_with("its disk may be failing"));
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "it is damaged here; download it again");
        for error in [
            AssetError::Read(damaged()),
            HashError::Read(damaged()).into(),
            IdentifyError::from(damaged()).into(),
        ] {
            assert_eq!(error.told(), "it cannot be read: it is damaged here; download it again");
        }
        assert_eq!(
            AssetError::Changed.told(),
            AssetError::Changed.to_string(),
            "the next run does it by itself"
        );
    }
}
