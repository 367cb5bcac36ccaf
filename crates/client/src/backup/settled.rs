//! What is in the vault as it is, told while it is found. Pure.
//!
//! Files and assets both come in the order of their paths' bytes, so neither is ever held as a whole.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::vec;

use darkslide_protocol::FileId;

use super::plan::is_settled;
use crate::catalog::{AlbumMark, SettledRow};
use crate::library::{AlbumRule, Found};

/// The assets that the catalog knows to be settled, beside the files of a walk.
pub(super) struct Settled<P> {
    pages: P,
    page: Peekable<vec::IntoIter<SettledRow>>,
    root: PathBuf,
    rule: AlbumRule,
    displaced: BTreeSet<FileId>,
    /// A folder, and the album of what lies in it.
    album: Option<(PathBuf, AlbumMark)>,
    /// Paths at which no file was found, that nobody asked for yet.
    unfound: Vec<Vec<u8>>,
}

impl<P: Iterator<Item = Vec<SettledRow>>> Settled<P> {
    pub(super) fn new(pages: P, root: PathBuf, rule: AlbumRule, displaced: BTreeSet<FileId>) -> Self {
        Self {
            pages,
            page: Vec::new().into_iter().peekable(),
            root,
            rule,
            displaced,
            album: None,
            unfound: Vec::new(),
        }
    }

    /// Whether a file, which lies behind all that were asked for before, is in the vault as it is.
    pub(super) fn has(&mut self, found: &Found) -> bool {
        self.take(found.path.as_os_str().as_encoded_bytes()).is_some_and(|row| {
            let (album, displaced) =
                (album_mark(&mut self.album, &self.rule, &self.root, &found.path), &self.displaced);
            is_settled(&row, found, displaced, album)
        })
    }

    /// How many paths there are at which no file was found, and that nobody asked for.
    pub(super) fn unfound(&self) -> usize {
        self.unfound.len()
    }

    /// Those paths.
    pub(super) fn take_unfound(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.unfound)
    }

    /// The next path behind all files that is one of those.
    pub(super) fn next_unfound(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.page.next() {
                Some(row) => return Some(row.path),
                None => self.page = self.pages.next()?.into_iter().peekable(),
            }
        }
    }

    /// The asset at this path. Those in between were not found.
    fn take(&mut self, path: &[u8]) -> Option<SettledRow> {
        loop {
            match self.page.peek() {
                Some(row) if row.path.as_slice() < path => {
                    self.unfound.extend(self.page.next().map(|row| row.path));
                }
                Some(row) if row.path == path => return self.page.next(),
                Some(_) => return None,
                None => self.page = self.pages.next()?.into_iter().peekable(),
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Fingerprint;

    const ROOT: &str = "/pictures";

    fn fingerprint(size: u64) -> Fingerprint {
        Fingerprint { size, modified_ns: 1, inode: 1 }
    }

    fn row(path: &str, file: i64) -> SettledRow {
        let album = AlbumRule::PerFolder.album_of(Path::new(ROOT), Path::new(path));
        SettledRow {
            path: path.as_bytes().to_vec(),
            fingerprint: fingerprint(1),
            album: AlbumMark::of(&album.key),
            file: FileId(file),
        }
    }

    #[test]
    fn assets_are_told_beside_the_files_page_by_page() {
        let pages = [
            vec![row("a.jpg", 1), row("b/gone.jpg", 2), row("b/one.jpg", 3)],
            vec![row("b/other.jpg", 4), row("c/moved.jpg", 5)],
            vec![row("d/e/f.jpg", 6), row("d/g.jpg", 7), row("d/h.jpg", 8)],
            vec![row("f.jpg", 9)],
        ];
        let displaced = BTreeSet::from([FileId(7)]);
        let mut settled = Settled::new(pages.into_iter(), ROOT.into(), AlbumRule::PerFolder, displaced);
        for (path, size, expected) in [
            ("a.jpg", 1, true),
            ("a.new.jpg", 1, false),
            ("b/new.jpg", 1, false),
            ("b/one.jpg", 1, true),
            ("b/other.jpg", 2, false),
            ("c/new.jpg", 1, false),
            ("d/e/f.jpg", 1, true),
            ("d/g.jpg", 1, false),
            ("d/h.jpg", 1, true),
            ("e.jpg", 1, false),
        ] {
            let found = Found { path: path.into(), fingerprint: fingerprint(size) };
            assert_eq!(settled.has(&found), expected, "{path}");
        }
        let mut unfound = settled.take_unfound();
        assert_eq!(settled.unfound(), 0);
        unfound.extend(std::iter::from_fn(|| settled.next_unfound()));
        assert_eq!(unfound, [&b"b/gone.jpg"[..], b"c/moved.jpg", b"f.jpg"]);
    }

    #[test]
    fn what_is_now_for_another_album_is_not_settled() {
        let here = Found { path: "a/b.jpg".into(), fingerprint: fingerprint(1) };
        for (rule, expected) in [(AlbumRule::PerFolder, true), (AlbumRule::PerRoot, false)] {
            let pages = std::iter::once(vec![row("a/b.jpg", 1)]);
            assert_eq!(Settled::new(pages, ROOT.into(), rule, BTreeSet::new()).has(&here), expected);
        }
    }
}
