//! What a run did, for people and for scripts: every file is counted in exactly one place, and every file that is
//! not in the vault is named with its reason. Those that only lack room have the same one, which is told once.

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

/// Files that are neither pictures nor videos. There may be many: the catalog knows each, and some are named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OtherFiles {
    /// How many.
    #[serde(rename = "notMediaFiles")]
    pub files: u64,
    /// Some of them.
    #[serde(rename = "notMedia")]
    pub some: Vec<Named>,
}

impl OtherFiles {
    /// Files that are named.
    pub const NAMED_MAX: usize = 1000;

    pub(super) fn count(&mut self, path: &Path, reason: &str) {
        self.files += 1;
        if self.some.len() < Self::NAMED_MAX {
            self.some.push(named(path, reason));
        }
    }

    pub(super) fn add(&mut self, more: Self) {
        self.files += more.files;
        self.some.extend(more.some);
        self.some.truncate(Self::NAMED_MAX);
    }
}

fn named(path: &Path, reason: &str) -> Named {
    Named { path: path.display().to_string(), reason: reason.to_owned() }
}

/// The summary of one run. Live Photos count as one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupReport {
    /// Sent and committed.
    pub uploaded: u64,
    /// Of these, those of which the server's copy was damaged, and which were sent again.
    pub mended: u64,
    /// In the vault already, from elsewhere or another folder; nothing was sent.
    pub linked: u64,
    /// Taken out of the vault's trash; nothing was sent.
    pub untrashed: u64,
    /// Left as they are: the vault has changed since somebody decided to [`offer`](super::offer) them.
    #[serde(skip)]
    pub overtaken: u64,
    /// As the last run left them.
    pub unchanged: u64,
    /// Left alone by a rule.
    pub skipped: Vec<Named>,
    /// Neither pictures nor videos.
    #[serde(flatten)]
    pub not_media: OtherFiles,
    /// What arrived or changed a moment ago, or is not complete so far.
    pub waiting: Vec<Waiting>,
    /// Found no room in the vault; what is to be done about that is told once, in `storage_full`.
    pub without_room: u64,
    /// What did not work. The next run tries again.
    pub failed: Vec<Named>,
    /// Of these, the folders and files that the scan could not look into.
    #[serde(skip)]
    pub unreadable: Vec<Named>,
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

    pub(super) fn note_unreadable(&mut self, path: &Path, reason: &str) {
        self.unreadable.push(named(path, reason));
    }

    /// Counts how one file ended.
    pub(super) fn count(&mut self, path: &Path, outcome: &Outcome) {
        match outcome {
            Outcome::Uploaded => self.uploaded += 1,
            Outcome::Linked => self.linked += 1,
            Outcome::Untrashed => self.untrashed += 1,
            Outcome::Skipped(reason) => self.skipped.push(named(path, reason)),
            Outcome::NotMedia(reason) => self.not_media.count(path, reason),
            Outcome::NoRoom => self.without_room += 1,
            Outcome::Failed(reason) => self.failed.push(named(path, reason)),
            // Not what a backup does.
            Outcome::Downloaded | Outcome::Verified => {}
        }
    }

    /// Puts the lists into the order of their paths: files end in no order.
    pub(super) fn sort(&mut self) {
        for list in [&mut self.skipped, &mut self.not_media.some, &mut self.failed] {
            list.sort_by(|a, b| a.path.cmp(&b.path));
        }
    }
}

fn as_millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_that_are_no_media_some_are_named() {
        let mut report = BackupReport::default();
        let count = |not_media: &mut OtherFiles, files: usize| {
            (0..files).for_each(|file| not_media.count(Path::new(&format!("/p/{file}.xmp")), "a sidecar"));
        };
        count(&mut report.not_media, OtherFiles::NAMED_MAX - 1);
        report.count(Path::new("/p/a.txt"), &Outcome::NotMedia("plain text".to_owned()));
        report.count(Path::new("/p/b.txt"), &Outcome::NotMedia("plain text".to_owned()));
        let mut more = OtherFiles::default();
        count(&mut more, 3);
        report.not_media.add(more.clone());
        assert_eq!(report.not_media.files, OtherFiles::NAMED_MAX as u64 + 4);
        assert_eq!(report.not_media.some.len(), OtherFiles::NAMED_MAX);
        assert_eq!(report.not_media.some.last().unwrap().path, "/p/a.txt");
        more.add(OtherFiles { files: 1, some: vec![named(Path::new("/q"), "a sidecar")] });
        assert_eq!((more.files, more.some.len()), (4, 4));
        let text = serde_json::to_value(BackupReport { not_media: more, ..BackupReport::default() }).unwrap();
        assert_eq!(
            (text["notMediaFiles"].as_u64(), text["notMedia"].as_array().unwrap().len()),
            (Some(4), 4)
        );
    }
}
