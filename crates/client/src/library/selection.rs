//! Which part of a root a scan looks at: some of its folders, and not what its owner excluded.
//!
//! It is a question to the walk and decides about no single picture's backup.

mod classes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use darkslide_media::names::comparison_key;
use globset::GlobBuilder;
use regex::bytes::RegexSet;

use crate::watch::disks;
use classes::Classes;

/// Part of a root; all of it by default.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Which folders.
    pub scope: Scope,
    /// What is left out of them.
    pub exclude: Exclusions,
}

/// Folders of a root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All.
    #[default]
    Everything,
    /// These, by their paths under the root; the root itself is the empty path.
    Folders(BTreeMap<PathBuf, Reach>),
}

/// How far down from a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The files that lie in it.
    Itself,
    /// All that is below it.
    Below,
}

impl Scope {
    /// Where walks begin, and how far they go: no folder is in two of them.
    pub fn starts(&self) -> Vec<(&Path, Reach)> {
        let Self::Folders(folders) = self else { return vec![(Path::new(""), Reach::Below)] };
        let mut starts: Vec<(&Path, Reach)> = Vec::with_capacity(folders.len());
        let is_covered =
            |folder: &Path| folder.ancestors().skip(1).any(|above| folders.get(above) == Some(&Reach::Below));
        starts.extend(
            folders
                .iter()
                .filter(|(folder, _)| !is_covered(folder))
                .map(|(folder, reach)| (folder.as_path(), *reach)),
        );
        starts
    }
}

/// Patterns of what is not backed up.
///
/// A pattern without a slash stands for files and folders of that name wherever they are; one with a slash for paths under the
/// root. `*` and `?` stop at slashes, `**` does not; neither case nor how accents are written matters. Whatever lies in an excluded folder
/// is excluded.
#[derive(Clone, Debug, Default)]
pub struct Exclusions {
    // Each part of a root that is walked has them.
    patterns: Arc<[String]>,
    set: RegexSet,
    own: Arc<[PathBuf]>,
    silent: Arc<[PathBuf]>,
}

/// A pattern that is none.
#[derive(Debug, thiserror::Error)]
#[error("{pattern:?} is not a pattern: {reason}")]
pub struct NotAPattern {
    pattern: String,
    reason: String,
}

impl Exclusions {
    /// Reads patterns.
    pub fn parse(patterns: &[String]) -> Result<Self, NotAPattern> {
        let not_a_pattern =
            |pattern: &str, reason: String| NotAPattern { pattern: pattern.to_owned(), reason };
        let mut set = Vec::with_capacity(patterns.len());
        for pattern in patterns {
            let inner = pattern.trim_matches('/');
            if inner.is_empty() {
                return Err(not_a_pattern(pattern, "there is nothing in it".to_owned()));
            }
            let mut classes = Classes::default();
            let inner =
                classes.take_out(inner).map_err(|reason| not_a_pattern(pattern, reason.to_owned()))?;
            let is_path = pattern.trim_end_matches('/').contains('/');
            let whole =
                if is_path { comparison_key(&inner) } else { format!("**/{}", comparison_key(&inner)) };
            let glob = GlobBuilder::new(&whole).literal_separator(true).build();
            let glob = glob.map_err(|error| not_a_pattern(pattern, error.kind().to_string()))?;
            // Its one character is one byte there.
            set.push(classes.put_into(glob.regex().replace("[^/]", "(?u:[^/])")));
        }
        let set = RegexSet::new(set).map_err(|error| not_a_pattern("", error.to_string()))?;
        Ok(Self { patterns: patterns.into(), set, ..Self::default() })
    }

    /// The same, and whatever lies in these folders of ours: whole paths, links resolved.
    pub fn and_own(self, own: Vec<PathBuf>) -> Self {
        Self { own: own.into(), ..self }
    }

    /// Folders of ours.
    pub fn own(&self) -> &[PathBuf] {
        &self.own
    }

    /// Whether this whole path is one of them, or lies in one.
    pub fn is_own(&self, path: &Path) -> bool {
        self.own.iter().any(|own| path.starts_with(own))
    }

    /// The same, and whatever lies on these disks, which do not answer: whole paths.
    pub fn and_silent(self, silent: Vec<PathBuf>) -> Self {
        Self { silent: silent.into(), ..self }
    }

    /// What lies on the network disks below a root that have not answered when they were asked.
    pub fn silent_below(root: &Path) -> Self {
        Self::default().and_silent(disks::asked().owing_below(root))
    }

    /// Whether this whole path is on a disk that does not answer: nobody can say what is there.
    pub fn is_silent(&self, path: &Path) -> bool {
        self.silent.iter().any(|disk| path.starts_with(disk))
    }

    /// The patterns as they were given.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// The pattern that excludes this path under the root, or a folder that it lies in.
    pub fn matching(&self, path: &Path) -> Option<&str> {
        if self.patterns.is_empty() {
            return None;
        }
        let folders = path.ancestors().filter(|folder| !folder.as_os_str().is_empty());
        let mut first = folders.filter_map(|folder| {
            self.set.matches(comparison_key(&folder.to_string_lossy()).as_bytes()).iter().next()
        });
        first.next().and_then(|at| self.patterns.get(at)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_exclude_what_they_say() {
        let exclusions = |pattern: &str| Exclusions::parse(&[pattern.to_owned()]).unwrap();
        for (pattern, path, is_excluded) in [
            ("*.png", "a.png", true),
            ("*.png", "trip/b.PNG", true),
            ("*.png", "a.png.jpg", false),
            ("Screenshots", "2024/Screenshots/a.jpg", true),
            ("Screenshots/", "2024/Screenshots/a.jpg", true),
            ("/Screenshots", "2024/Screenshots/a.jpg", false),
            ("/Screenshots", "Screenshots/deep/a.jpg", true),
            ("2024/*.jpg", "2024/a.jpg", true),
            ("2024/*.jpg", "2024/deep/a.jpg", false),
            ("2024/**/*.jpg", "2024/deep/a.jpg", true),
            ("IMG_????.jpg", "IMG_0001.jpg", true),
            ("IMG_????.jpg", "IMG_001.jpg", false),
            ("IMG_[0-4]*", "img_31.jpg", true),
            ("ÜBUNG", "übung/c.jpg", true),
            ("Café", "Cafe\u{301}/e.jpg", true),
            ("Cafe\u{301}", "CAFÉ/e.jpg", true),
            ("IMG_?.jpg", "IMG_é.jpg", true),
            ("IMG_?.jpg", "IMG_e\u{301}.jpg", true),
            ("IMG_?.jpg", "IMG_éé.jpg", false),
            ("{ä,ö}.jpg", "Ö.jpg", true),
            ("a?c", "a/c", false),
            ("[äö]*.jpg", "trip/Äpfel.jpg", true),
            ("[äö]*.jpg", "a\u{308}pfel.jpg", true),
            ("[a\u{308}ö]*.jpg", "ÄPFEL.JPG", true),
            ("[äö]*.jpg", "apfel.jpg", false),
            ("[äö]*.jpg", "ü.jpg", false),
            ("[À-ÿ].jpg", "é.jpg", true),
            ("[À-ÿ].jpg", "ß.jpg", true),
            ("[à-ü0-9_].jpg", "7.jpg", true),
            ("[à-ü].jpg", "7.jpg", false),
            ("[ß].jpg", "ẞ.jpg", true),
            ("[ß].jpg", "s.jpg", false),
            ("[!ä].jpg", "b.jpg", true),
            ("[!ä].jpg", "é.jpg", true),
            ("[^ä].jpg", "Ä.jpg", false),
            ("a[!ä]c", "a/c", false),
            ("[]ä].jpg", "].jpg", true),
            ("[ä-].jpg", "-.jpg", true),
            ("x{[ä],[ö]}[é]", "xÖÉ", true),
            ("x{[ä],[ö]}[é]", "xé", false),
        ] {
            let found = exclusions(pattern).matching(Path::new(path)).is_some();
            assert_eq!(found, is_excluded, "{pattern} and {path}");
        }
        assert!(Exclusions::default().matching(Path::new("a")).is_none());
        for bad in ["", "/", "[", "a{", "[ä", "[ö-ä]", "[ä[:digit:]]", "[ä]\u{100001}"] {
            assert!(Exclusions::parse(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_folder_is_walked_twice() {
        let folders =
            [("a", Reach::Below), ("a/b", Reach::Itself), ("ab", Reach::Itself), ("c/d", Reach::Below)];
        let scope = Scope::Folders(folders.map(|(path, reach)| (PathBuf::from(path), reach)).into());
        let starts: Vec<_> = scope.starts().iter().map(|(path, _)| path.to_str().unwrap()).collect();
        assert_eq!(starts, ["a", "ab", "c/d"]);
        assert_eq!(Scope::Everything.starts(), [(Path::new(""), Reach::Below)]);
    }
}
