//! What archives and folders an export consists of, and the files in them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Item, Source};
use crate::event::{Event, Events};
use crate::library::archive::Archive;
use crate::library::{Found, folder, ours};

/// Everything that was listed.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) sources: Vec<Source>,
    pub(super) items: Vec<Item>,
    pub(super) unreadable: Vec<(PathBuf, String)>,
    pub(super) left_out: Vec<(PathBuf, String)>,
}

impl Listed {
    /// Adds an archive, or a folder and the archives in it. One that was named already is not added again.
    pub(super) fn add(&mut self, path: &Path, events: &Events) {
        match path.canonicalize().and_then(|root| Ok((root.metadata()?.file_type(), root))) {
            Ok((kind, root)) if kind.is_dir() => self.add_folder(&root),
            // Whoever opens a pipe waits for somebody at its other end.
            Ok((kind, root)) if !kind.is_file() => {
                self.unreadable.push((root, "it is neither a file nor a folder".to_owned()));
            }
            Ok((_, root)) => match ours::own_file(&root) {
                Some(reason) => self.left_out.push((root, reason.to_string())),
                None => self.add_archive(&root),
            },
            Err(error) => self.unreadable.push((path.to_owned(), cannot_be_read(&error))),
        }
        events.send_blocking(Event::Scanned { found: self.items.len() as u64 });
    }

    fn is_known(&self, root: &Path) -> bool {
        self.sources.iter().any(|source| &*source.root == root)
    }

    fn add_archive(&mut self, root: &Path) {
        if self.is_known(root) {
            return;
        }
        match Archive::open(root) {
            Ok(archive) => {
                let archive = Arc::new(archive);
                let source = self.sources.len();
                let item = |(path, entry): (&Path, &crate::library::archive::Entry)| Item {
                    source,
                    path: path.to_owned(),
                    fingerprint: entry.fingerprint(),
                    entry: Some(entry.clone()),
                };
                self.items.extend(archive.entries().map(item));
                let unreadable = archive.unreadable.iter();
                self.unreadable.extend(unreadable.map(|one| (root.join(&one.path), one.reason.to_owned())));
                self.sources.push(Source { root: root.into(), archive: Some(archive) });
            }
            Err(error) => self.unreadable.push((root.to_owned(), error.to_string())),
        }
    }

    fn add_folder(&mut self, root: &Path) {
        if self.is_known(root) {
            return;
        }
        let scan = match folder::scan(root, |_| ()) {
            Ok(scan) => scan,
            Err(error) => return self.unreadable.push((root.to_owned(), cannot_be_read(&error))),
        };
        for passed in scan.passed_over {
            let list = if passed.reason.is_failure() { &mut self.unreadable } else { &mut self.left_out };
            list.push((passed.path, passed.reason.to_string()));
        }
        let (archives, files): (Vec<Found>, Vec<Found>) =
            scan.files.into_iter().partition(|file| is_archive(&file.path));
        let source = self.sources.len();
        self.sources.push(Source { root: root.into(), archive: None });
        let item = |Found { path, fingerprint }| Item { source, path, fingerprint, entry: None };
        self.items.extend(files.into_iter().map(item));
        for archive in archives {
            self.add_archive(&root.join(archive.path));
        }
    }
}

fn is_archive(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip"))
}

fn cannot_be_read(error: &io::Error) -> String {
    format!("it cannot be read: {error}")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Once, the import waited for ever.
    #[test]
    fn a_pipe_is_no_archive() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().canonicalize().unwrap().join("fifo.zip");
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from(0o600));
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
        let mut listed = Listed::default();
        listed.add(&pipe, &Events::silent());
        assert_eq!(listed.unreadable, [(pipe, "it is neither a file nor a folder".to_owned())]);
        assert!(listed.sources.is_empty() && listed.items.is_empty());
    }
}
