//! The walk of a survey: what is in the vault as it is, which is nearly everything nearly always, is counted and let go of while it is
//! found. The rest goes on in portions.
//!
//! Files and assets both come in the order of their paths' bytes, so neither is ever held as a whole. Blocks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use darkslide_protocol::FileId;
use tokio::sync::mpsc;

use super::plan::{is_of_unit, is_settled};
use crate::catalog::{AlbumMark, SettledRow};
use crate::event::{Event, Events};
use crate::library::selection::Selection;
use crate::library::{AlbumRule, Found, PassedOver, folder};

/// Often enough to see it move.
const TELL_EVERY: u64 = 256;

/// Files that are not settled, of whole folders as far as they fit: what may be halves of one Live Photo is never parted.
#[derive(Debug, Default)]
pub(super) struct Portion {
    pub(super) files: Vec<Found>,
    /// Folders of which nothing more comes.
    pub(super) finished: Vec<PathBuf>,
}

/// Tells what is settled from what is not, file by file.
pub(super) struct Sift {
    pub(super) root: PathBuf,
    pub(super) rule: AlbumRule,
    pub(super) selection: Selection,
    pub(super) displaced: BTreeSet<FileId>,
    /// What the catalog knows to be settled.
    pub(super) settled: mpsc::Receiver<Vec<SettledRow>>,
    /// Where the rest goes.
    pub(super) rest: mpsc::Sender<Portion>,
    /// Files of a portion.
    pub(super) portion: usize,
}

/// What was found and is let go of.
pub(super) struct Sifted {
    /// Files that are settled.
    pub(super) unchanged: u64,
    /// Files that were seen.
    pub(super) seen: u64,
    pub(super) passed_over: Vec<PassedOver>,
}

impl Sift {
    /// Walks, after so many files that were seen elsewhere.
    pub(super) fn walk(self, path: &Path, before: u64, events: &Events) -> std::io::Result<Sifted> {
        let Self { root, rule, selection, displaced, settled, rest, portion } = self;
        let mut settled = InOrder { pages: settled, page: Vec::new().into_iter().peekable() };
        let mut rest = OpenFolders { open: Vec::new(), ready: Portion::default(), to: rest, portion };
        let mut album = None;
        let (mut seen, mut unchanged) = (before, 0);
        let passed_over = folder::walk(path, &selection, |found| {
            seen += 1;
            if seen % TELL_EVERY == 0 {
                events.send_blocking(Event::Scanned { found: seen });
            }
            let is_settled = settled.take(found.path.as_os_str().as_encoded_bytes()).is_some_and(|row| {
                is_settled(&row, &found, &displaced, album_mark(&mut album, &rule, &root, &found.path))
            });
            if is_settled {
                unchanged += 1;
            } else {
                rest.add(found);
            }
        })?;
        rest.finish();
        Ok(Sifted { unchanged, seen, passed_over })
    }
}

/// The album of a file; those of one folder are in the same one.
fn album_mark<'m>(
    last: &'m mut Option<(PathBuf, AlbumMark)>,
    rule: &AlbumRule,
    root: &Path,
    path: &Path,
) -> &'m AlbumMark {
    let folder = path.parent().unwrap_or(Path::new(""));
    if last.as_ref().is_none_or(|(known, _)| known.as_os_str() != folder.as_os_str()) {
        *last = Some((folder.to_owned(), AlbumMark::of(&rule.album_of(root, path).key)));
    }
    &last.as_ref().expect("it was just set").1
}

/// The settled assets one by one.
struct InOrder {
    pages: mpsc::Receiver<Vec<SettledRow>>,
    page: std::iter::Peekable<std::vec::IntoIter<SettledRow>>,
}

impl InOrder {
    /// The asset at this path, which lies behind all that were asked for before. Those in between are gone from the disk.
    fn take(&mut self, path: &[u8]) -> Option<SettledRow> {
        loop {
            match self.page.peek() {
                Some(row) if row.path.as_slice() < path => drop(self.page.next()),
                Some(row) if row.path == path => return self.page.next(),
                Some(_) => return None,
                None => self.page = self.pages.blocking_recv()?.into_iter().peekable(),
            }
        }
    }
}

/// The folders that the walk is in. Of each, what is not settled is kept until the walk has left it, or there is a portion of it.
struct OpenFolders {
    /// Each lies in the one before it. With where the newest unit begins in what is kept of it.
    open: Vec<(PathBuf, Vec<Found>, usize)>,
    ready: Portion,
    to: mpsc::Sender<Portion>,
    portion: usize,
}

impl OpenFolders {
    fn add(&mut self, found: Found) {
        let folder = found.path.parent().unwrap_or(Path::new("")).to_owned();
        while self.open.last().is_some_and(|(last, ..)| !folder.starts_with(last)) {
            self.close();
        }
        if self.open.last().is_none_or(|(last, ..)| *last != folder) {
            self.open.push((folder, Vec::new(), 0));
        }
        let (_, files, unit) = self.open.last_mut().expect("it was just opened");
        let is_another = files.get(*unit).is_some_and(|first| !is_of_unit(&first.path, &found.path));
        let full = (is_another && files.len() >= self.portion).then(|| std::mem::take(files));
        if is_another {
            *unit = files.len();
        }
        files.push(found);
        if let Some(files) = full {
            self.send(Portion { files, finished: Vec::new() });
        }
    }

    fn close(&mut self) {
        let Some((folder, files, _)) = self.open.pop() else { return };
        self.ready.files.extend(files);
        self.ready.finished.push(folder);
        if self.ready.files.len() >= self.portion {
            let ready = std::mem::take(&mut self.ready);
            self.send(ready);
        }
    }

    fn finish(mut self) {
        while !self.open.is_empty() {
            self.close();
        }
        let ready = std::mem::take(&mut self.ready);
        self.send(ready);
    }

    /// Whoever does not want it any more has a reason of its own to tell.
    fn send(&self, portion: Portion) {
        if !portion.finished.is_empty() || !portion.files.is_empty() {
            let _ = self.to.blocking_send(portion);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Fingerprint;

    #[test]
    fn portions_are_of_whole_folders_and_large_ones_are_cut_beside_pairs() {
        let (to, mut portions) = mpsc::channel(16);
        let mut folders = OpenFolders { open: Vec::new(), ready: Portion::default(), to, portion: 3 };
        for path in [
            "0.jpg",
            "a/1.jpg",
            "a/2.jpg",
            "a/b/3.jpg",
            "a/b/4.jpg",
            "a/b/5.heic",
            "a/b/5.heic.xmp",
            "a/b/5.mov",
            "a/b/6.jpg",
            "a/z.jpg",
            "c/7.jpg",
            "d.jpg",
        ] {
            let fingerprint = Fingerprint { size: 1, modified_ns: 1, inode: 1 };
            folders.add(Found { path: path.into(), fingerprint });
        }
        folders.finish();
        let mut told = Vec::new();
        while let Ok(Portion { files, finished }) = portions.try_recv() {
            let files: Vec<_> = files.iter().map(|found| found.path.to_str().unwrap().to_owned()).collect();
            let finished: Vec<_> = finished.iter().map(|path| path.to_str().unwrap().to_owned()).collect();
            told.push((files.join(" "), finished.join(" ")));
        }
        let expected = [
            ("a/b/3.jpg a/b/4.jpg a/b/5.heic a/b/5.heic.xmp a/b/5.mov", ""),
            ("a/b/6.jpg a/1.jpg a/2.jpg a/z.jpg", "a/b a"),
            ("c/7.jpg 0.jpg d.jpg", "c "),
        ];
        assert_eq!(told, expected.map(|(files, finished)| (files.to_owned(), finished.to_owned())));
    }
}
