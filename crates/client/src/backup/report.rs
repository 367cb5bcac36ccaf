//! What a run did, for people and for scripts: every file is counted in exactly one place, and every file that is
//! not in the vault is named with its reason.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use crate::catalog::SetBack;
use crate::event::Outcome;

/// A file and what is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// The whole path; bytes that are no UTF-8 are replaced.
    pub path: String,
    /// The reason.
    pub reason: String,
}

/// Files of one folder that are still being written, as far as anybody can tell. There may be many: some are named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// The folder, under its root.
    #[serde(skip)]
    pub folder: PathBuf,
    /// How many.
    pub files: usize,
    /// Some of them, and what they wait for.
    pub some: Vec<Named>,
    /// When to look again.
    #[serde(skip)]
    pub until: SystemTime,
}

/// The summary of one run. Live Photos count as one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupReport {
    /// Sent and committed.
    pub uploaded: u64,
    /// In the vault already, from elsewhere or another folder; nothing was sent.
    pub linked: u64,
    /// Taken out of the vault's trash; nothing was sent.
    pub untrashed: u64,
    /// As the last run left them.
    pub unchanged: u64,
    /// Left alone by a rule.
    pub skipped: Vec<Named>,
    /// Neither pictures nor videos.
    pub not_media: Vec<Named>,
    /// What arrived or changed a moment ago, or is not complete so far.
    pub waiting: Vec<Waiting>,
    /// What did not work. The next run tries again.
    pub failed: Vec<Named>,
    /// Files of which this run found that they have no thumbnail but the placeholder.
    pub placeholders: u64,
    /// Files in the vault whose thumbnail the next run makes.
    pub thumbnails_left: u64,
    /// Ciphertext bytes that were sent, thumbnails and repetitions included.
    pub bytes_sent: u64,
    /// Plaintext bytes that were read to be hashed.
    pub bytes_hashed: u64,
    /// How long it took, in milliseconds.
    #[serde(rename = "durationMillis", serialize_with = "as_millis")]
    pub duration: Duration,
    /// Why nothing more was sent, when the storage is used up.
    pub storage_full: Option<String>,
    /// Why the run ended before it was through.
    pub interrupted: Option<String>,
    /// The server turned out to have been set back to an older state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_back: Option<SetBack>,
}

impl BackupReport {
    /// Whether everything that should be in the vault is there.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.interrupted.is_none() && self.storage_full.is_none()
    }

    /// Counts how one file ended.
    pub(super) fn count(&mut self, path: &Path, outcome: &Outcome) {
        let named = |reason: &str| Named { path: path.display().to_string(), reason: reason.to_owned() };
        match outcome {
            Outcome::Uploaded => self.uploaded += 1,
            Outcome::Linked => self.linked += 1,
            Outcome::Untrashed => self.untrashed += 1,
            Outcome::Skipped(reason) => self.skipped.push(named(reason)),
            Outcome::NotMedia(reason) => self.not_media.push(named(reason)),
            Outcome::Failed(reason) => self.failed.push(named(reason)),
            // Not what a backup does.
            Outcome::Downloaded | Outcome::Verified => {}
        }
    }

    /// Puts the lists into the order of their paths: files end in no order.
    pub(super) fn sort(&mut self) {
        for list in [&mut self.skipped, &mut self.not_media, &mut self.failed] {
            list.sort_by(|a, b| a.path.cmp(&b.path));
        }
    }
}

fn as_millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
