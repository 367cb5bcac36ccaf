//! Disks that are mounted somewhere below a root: a card, a second disk, a folder of another machine. While one is away, an empty folder is
//! in its place, under a healthy marker; what was agreed on there is unknown, not gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::reconcile::{Base, RelativePath};
use crate::catalog::BaseRow;
use crate::library::raw;
use crate::mount_points::mount_points;
use crate::watch::disks;

/// What is known of the places below a root where something is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    /// Where something was mounted before and is not now, or the other way round: nothing is concluded from what is there.
    pub changed: BTreeSet<RelativePath>,
    /// Where something is mounted now, and nothing was agreed on before: to be remembered.
    pub new: BTreeSet<RelativePath>,
}

impl Mounts {
    /// Compares what was mounted with what is. `is_agreed` says whether anything was agreed on below a place.
    pub fn compare(
        known: &BTreeSet<RelativePath>,
        now: &BTreeSet<RelativePath>,
        is_agreed: impl Fn(&RelativePath) -> bool,
    ) -> Self {
        let gone = known.difference(now).cloned();
        let (over, new): (BTreeSet<_>, BTreeSet<_>) =
            now.difference(known).cloned().partition(|place| is_agreed(place));
        Self { changed: gone.chain(over).collect(), new }
    }

    /// The same, by what was agreed on.
    pub fn among(
        known: &BTreeSet<RelativePath>,
        now: &BTreeSet<RelativePath>,
        base: &BTreeMap<RelativePath, BaseRow>,
    ) -> Self {
        Self::compare(known, now, |place| {
            base.range(place.clone()..)
                .take_while(|(path, _)| path.starts_with(place))
                .any(|(path, row)| matches!(row.base, Base::Synced(_)) && is_below(path, place))
        })
    }

    /// Whether a path lies where that has changed.
    pub fn hides(&self, path: &[u8]) -> bool {
        !self.changed.is_empty() && self.changed.iter().any(|place| is_below(path, place))
    }
}

/// Whether a path lies below a folder.
pub fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// Where something is mounted below a root now. What does not answer is taken for a folder, as nearly all of it is.
pub fn below(root: &Path) -> BTreeSet<RelativePath> {
    let is_folder = |place: &PathBuf| disks::asked().owes(place) || place.is_dir();
    let places = mount_points().into_iter().map(|point| point.path);
    let folders = places.filter(|place| place.starts_with(root) && place != root && is_folder(place));
    folders.filter_map(|place| place.strip_prefix(root).ok().map(raw)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(paths: &[&str]) -> BTreeSet<RelativePath> {
        paths.iter().map(|path| path.as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_disk_that_is_away_hides_what_was_on_it() {
        let agreed = |place: &RelativePath| place == b"old";
        let mounts = Mounts::compare(&paths(&["DCIM", "card"]), &paths(&["card", "old", "new"]), agreed);
        assert_eq!(mounts, Mounts { changed: paths(&["DCIM", "old"]), new: paths(&["new"]) });
        for (path, hidden) in
            [("DCIM/1.jpg", true), ("old/a/1.jpg", true), ("DCIM2/1.jpg", false), ("card/1.jpg", false)]
        {
            assert_eq!(mounts.hides(path.as_bytes()), hidden, "{path}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_some() {
        assert!(below(Path::new("/")).contains(b"proc".as_slice()));
    }
}
