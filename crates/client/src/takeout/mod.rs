//! A Google Takeout export, one or several archives or unpacked folders of it, as one library.
//!
//! `sources` lists what is there, `folders` sorts it (pictures, sidecars, albums), `plan` decides what must be read, `identify`
//! reads that, and the lanes of [`backup`](crate::backup) do the rest. What the names and the JSON mean is said in
//! [`darkslide_media::takeout`]. Nothing is unpacked. What is unchanged costs the directory of its archive, and the few JSON files
//! that are nobody's sidecar.

mod copies;
mod folders;
mod identify;
mod plan;
mod preview;
mod sources;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::backup::{BackupReport, Named};
use crate::catalog::Fingerprint;
use crate::event::Events;
use crate::library::archive::{Archive, Entry};
use crate::library::{AlbumRule, FolderAlbums};

use folders::Folder;
pub use preview::{Preview, Previewed};

pub(crate) use plan::{ExportPlan, FolderSteps, Settled};

/// How an export is to be read.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// The album for pictures that are in none.
    pub album: String,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self { album: "Google Photos".to_owned() }
    }
}

/// One archive or folder of an export.
#[derive(Debug)]
pub(crate) struct Source {
    /// Absolute, links resolved.
    pub(crate) root: Arc<Path>,
    /// Where it is an archive.
    pub(crate) archive: Option<Arc<Archive>>,
}

/// One file of an export.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Its place among the sources.
    pub(crate) source: usize,
    /// Its path in there.
    pub(crate) path: PathBuf,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) entry: Option<Entry>,
}

/// An export, sorted, with nothing of its pictures read.
#[derive(Debug)]
pub struct Export {
    pub(crate) sources: Vec<Source>,
    /// By their path in the export, whichever archives they are spread over.
    pub(crate) folders: BTreeMap<PathBuf, Folder>,
    /// Which album each folder is.
    pub(crate) albums: Arc<FolderAlbums>,
    /// What could not be read, with whole paths.
    pub(crate) unreadable: Vec<(PathBuf, String)>,
    /// What was left out by its name, with whole paths.
    pub(crate) left_out: Vec<(PathBuf, String)>,
    unmatched: Unmatched,
}

/// What belongs to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unmatched {
    /// Pictures and videos that no sidecar was found for. They are imported, with what they say of themselves.
    pub without_sidecar: Vec<String>,
    /// Sidecars whose picture is in none of the archives.
    pub sidecars_without_media: Vec<String>,
    /// JSON that says nothing of a picture or an album.
    pub other_json: Vec<String>,
}

/// The summary of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// As of any backup.
    #[serde(flatten)]
    pub backup: BackupReport,
    /// What could not be matched.
    #[serde(flatten)]
    pub unmatched: Unmatched,
    /// Pictures and videos that are in the export once more with the same path and content. They count once everywhere else.
    pub there_twice: u64,
}

impl Export {
    /// Lists and sorts an export. An archive that cannot be read is told in the report and stops no other. Blocks.
    pub fn open(paths: &[PathBuf], options: &ImportOptions, events: &Events) -> Self {
        let mut listed = sources::Listed::default();
        for path in paths {
            listed.add(path, events);
        }
        folders::sort(listed, options)
    }

    /// Which album a file goes to.
    pub(crate) fn rule(&self) -> AlbumRule {
        AlbumRule::ByFolder(Arc::clone(&self.albums))
    }

    pub(crate) fn source(&self, item: &Item) -> &Source {
        self.sources.get(item.source).expect("an item lies in one of the sources")
    }

    /// The whole path of a file: the archive's, and that in the archive.
    pub(crate) fn whole_path(&self, item: &Item) -> PathBuf {
        self.source(item).root.join(&item.path)
    }

    /// Pictures and videos that are there once more than they count.
    pub fn there_twice(&self) -> u64 {
        self.folders.values().map(Folder::there_twice).sum()
    }

    /// What could not be matched.
    pub fn unmatched(&self) -> &Unmatched {
        &self.unmatched
    }

    /// What could not be read.
    pub fn unreadable(&self) -> impl Iterator<Item = Named> {
        let named = |(path, reason): &(PathBuf, String)| Named {
            path: path.display().to_string(),
            reason: reason.clone(),
        };
        self.unreadable.iter().map(named)
    }

    /// What was left out by its name.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = Named> {
        let named = |(path, reason): &(PathBuf, String)| Named {
            path: path.display().to_string(),
            reason: reason.clone(),
        };
        self.left_out.iter().map(named)
    }
}
