//! How what is not settled is cut into portions: whole folders as far as they fit, and a large one never between what its names call the
//! halves of one Live Photo. Pure: whoever walks adds what it finds, and is handed the portions that are ready.

use std::path::{Path, PathBuf};

use super::plan::is_of_unit;
use crate::library::Found;

/// Files that are not settled, of whole folders as far as they fit.
#[derive(Debug, Default)]
pub(super) struct Portion {
    pub(super) files: Vec<Found>,
    /// Folders of which nothing more comes.
    pub(super) finished: Vec<PathBuf>,
    /// Whether more files of one of its folders are in another portion: halves whose names have nothing in common may be parted.
    pub(super) is_cut: bool,
}

/// The folders that a walk is in. Of each, what is not settled is kept until the walk has left it, or there is a portion of it.
pub(super) struct Portions {
    /// Each lies in the one before it.
    open: Vec<OpenFolder>,
    ready: Portion,
    /// Files of a portion.
    size: usize,
}

#[derive(Default)]
struct OpenFolder {
    folder: PathBuf,
    files: Vec<Found>,
    /// Where the newest unit begins.
    unit: usize,
    is_cut: bool,
}

impl Portions {
    pub(super) fn of(size: usize) -> Self {
        Self { open: Vec::new(), ready: Portion::default(), size }
    }

    /// Adds what comes next in the order of the paths' bytes.
    pub(super) fn add(&mut self, found: Found, hand_on: &mut impl FnMut(Portion)) {
        let folder = found.path.parent().unwrap_or(Path::new("")).to_owned();
        while let Some(left) = self.open.pop_if(|last| !folder.starts_with(&last.folder)) {
            self.close(left, hand_on);
        }
        if self.open.last().is_none_or(|last| last.folder != folder) {
            self.open.push(OpenFolder { folder, ..OpenFolder::default() });
        }
        let last = self.open.last_mut().expect("it was just opened");
        if last.files.get(last.unit).is_some_and(|first| !is_of_unit(&first.path, &found.path)) {
            if last.files.len() >= self.size {
                last.is_cut = true;
                let files = std::mem::take(&mut last.files);
                hand_on(Portion { files, finished: Vec::new(), is_cut: true });
            }
            last.unit = last.files.len();
        }
        last.files.push(found);
    }

    fn close(&mut self, left: OpenFolder, hand_on: &mut impl FnMut(Portion)) {
        let OpenFolder { folder, files, is_cut, .. } = left;
        self.ready.files.extend(files);
        self.ready.finished.push(folder);
        self.ready.is_cut |= is_cut;
        if self.ready.files.len() >= self.size {
            hand_on(std::mem::take(&mut self.ready));
        }
    }

    /// Hands on what is left: nothing more comes.
    pub(super) fn finish(mut self, hand_on: &mut impl FnMut(Portion)) {
        while let Some(left) = self.open.pop() {
            self.close(left, hand_on);
        }
        if !self.ready.finished.is_empty() {
            hand_on(self.ready);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Fingerprint;

    /// Files, finished folders, and whether it is cut.
    fn portions(size: usize, paths: &[&str]) -> Vec<(String, String, bool)> {
        let mut told = Vec::new();
        let mut tell = |Portion { files, finished, is_cut }| {
            let names = |paths: Vec<PathBuf>| {
                paths.iter().map(|path| path.to_str().unwrap()).collect::<Vec<_>>().join(" ")
            };
            let files = files.into_iter().map(|found: Found| found.path).collect();
            told.push((names(files), names(finished), is_cut));
        };
        let mut portions = Portions::of(size);
        for path in paths {
            let fingerprint = Fingerprint { size: 1, modified_ns: 1, inode: 1 };
            portions.add(Found { path: path.into(), fingerprint }, &mut tell);
        }
        portions.finish(&mut tell);
        told
    }

    fn check(size: usize, paths: &[&str], expected: &[(&str, &str, bool)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(files, finished, is_cut)| ((*files).to_owned(), (*finished).to_owned(), *is_cut))
            .collect();
        assert_eq!(portions(size, paths), expected);
    }

    #[test]
    fn portions_are_of_whole_folders_and_large_ones_are_cut_beside_pairs() {
        let paths = [
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
        ];
        let expected = [
            ("a/b/3.jpg a/b/4.jpg a/b/5.heic a/b/5.heic.xmp a/b/5.mov", "", true),
            ("a/b/6.jpg a/1.jpg a/2.jpg a/z.jpg", "a/b a", true),
            ("c/7.jpg 0.jpg d.jpg", "c ", false),
        ];
        check(3, &paths, &expected);
    }

    #[test]
    fn a_folder_is_cut_where_it_has_a_portion_and_one_more() {
        check(2, &[], &[]);
        check(2, &["1.jpg"], &[("1.jpg", "", false)]);
        check(2, &["1.jpg", "2.jpg"], &[("1.jpg 2.jpg", "", false)]);
        check(2, &["1.jpg", "2.jpg", "3.jpg"], &[("1.jpg 2.jpg", "", true), ("3.jpg", "", true)]);
        let units = ["1.heic", "1.mov", "2.heic", "2.mov", "3.heic"];
        let expected = [("1.heic 1.mov", "", true), ("2.heic 2.mov", "", true), ("3.heic", "", true)];
        check(1, &units, &expected);
    }
}
