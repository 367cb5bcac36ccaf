//! What must be looked at again: a bounded set of folders, or everything.
//!
//! It holds folders and never files, and past a bound it says “everything”, so that it stays small whatever happens on the disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::library::selection::{Reach, Scope};

/// Folders that are remembered one by one; with more, one walk over everything is cheaper.
const FOLDERS_MAX: usize = 1024;

/// What has changed in one watch folder since it was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dirty(Option<Scope>);

impl Dirty {
    /// All of it.
    pub fn everything() -> Self {
        Self(Some(Scope::Everything))
    }

    /// One folder of it.
    pub fn folder(path: PathBuf, reach: Reach) -> Self {
        Self(Some(Scope::Folders(BTreeMap::from([(path, reach)]))))
    }

    /// Nothing has.
    pub fn is_clean(&self) -> bool {
        self.0.is_none()
    }

    /// Whether all of it must be looked at.
    pub fn is_everything(&self) -> bool {
        self.0 == Some(Scope::Everything)
    }

    /// How many folders are known to have changed; none when everything must be looked at.
    pub fn folders(&self) -> Option<usize> {
        match &self.0 {
            None => Some(0),
            Some(Scope::Folders(folders)) => Some(folders.len()),
            Some(Scope::Everything) => None,
        }
    }

    /// Adds a folder.
    pub fn mark(&mut self, folder: &Path, reach: Reach) {
        let folders = match &mut self.0 {
            Some(Scope::Everything) => return,
            Some(Scope::Folders(folders)) => folders,
            clean => {
                *clean = Self::folder(folder.to_owned(), reach).0;
                return;
            }
        };
        if let Some(known) = folders.get_mut(folder) {
            *known = reach.max(*known);
        } else if folders.len() < FOLDERS_MAX {
            folders.insert(folder.to_owned(), reach);
        } else {
            self.0 = Some(Scope::Everything);
        }
    }

    /// Adds all that is in another.
    pub fn merge(&mut self, other: Self) {
        match other.0 {
            None => {}
            Some(Scope::Everything) => self.0 = Some(Scope::Everything),
            Some(Scope::Folders(folders)) => {
                for (folder, reach) in folders {
                    self.mark(&folder, reach);
                }
            }
        }
    }

    /// What to look at now; nothing is left.
    pub fn take(&mut self) -> Option<Scope> {
        self.0.take()
    }
}

impl From<Scope> for Dirty {
    fn from(scope: Scope) -> Self {
        Self(Some(scope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_collected_and_many_are_everything() {
        let mut dirty = Dirty::default();
        assert!(dirty.is_clean());
        dirty.mark(Path::new("a"), Reach::Below);
        dirty.mark(Path::new("a"), Reach::Itself);
        dirty.mark(Path::new("b"), Reach::Itself);
        assert_eq!(dirty.folders(), Some(2));
        let Some(Scope::Folders(folders)) = dirty.take() else { panic!("folders") };
        assert_eq!(folders[Path::new("a")], Reach::Below, "a later, smaller mark takes nothing back");
        assert!(dirty.is_clean());
        for number in 0..=FOLDERS_MAX {
            dirty.mark(Path::new(&number.to_string()), Reach::Itself);
        }
        assert_eq!((dirty.is_everything(), dirty.folders()), (true, None));
        let mut other = Dirty::folder("x".into(), Reach::Itself);
        other.merge(dirty);
        assert!(other.is_everything());
    }
}
