//! Which folders may be kept in step: each apart from every other one, and from watch folders, which go one way only.

use std::io;
use std::path::{Path, PathBuf};

use super::identities::Folders;
use super::marker::{self, NAME, Unhealthy};
use super::reconcile::Direction;
use super::scan::Stat;
use super::trash::TrashedFile;
use crate::catalog::{SyncFolderRow, SyncPlace, WatchFolderRow};
use crate::profile::ProfileName;

/// Why a folder is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// It is not there, or may not be read.
    #[error("{path} cannot be kept in step: {source}", path = path.display())]
    Unusable {
        /// As it was given.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file, or something else.
    #[error("{0} is not a folder")]
    NotAFolder(PathBuf),
    /// It is in the list.
    #[error("{0} is a sync folder already; `darkslide sync status` shows how it stands")]
    Already(PathBuf),
    /// It is in the list, under another path.
    #[error(
        "{path} is the sync folder {other} under another path, as where it is mounted twice: it is kept in step already", path = path.display(),
        other = other.display()
    )]
    Twice {
        /// The new one.
        path: PathBuf,
        /// What it is called in the list.
        other: PathBuf,
    },
    /// It and another one lie in each other.
    #[error(
        "{path} and the sync folder {other} lie in each other, and no picture may be in two: remove that one first with `darkslide sync remove`"
    )]
    Overlaps {
        /// The new one.
        path: PathBuf,
        /// The one that is there.
        other: PathBuf,
    },
    /// A watch folder.
    #[error(
        "{path} and the watch folder {other} lie in each other. A watch folder never deletes and a sync folder does, so it can be only one: remove \
         that one first with `darkslide watch remove`"
    )]
    Watched {
        /// The new one.
        path: PathBuf,
        /// The watch folder.
        other: PathBuf,
    },
    /// The local trash must not be synchronised.
    #[error("the local trash {0} must lie outside the folder, and outside every other sync or watch folder")]
    TrashInside(PathBuf),
    /// Another folder's local trash must not be synchronised either.
    #[error("{path} holds the local trash {trash} of another sync folder")]
    HoldsTrash {
        /// The folder.
        path: PathBuf,
        /// The trash.
        trash: PathBuf,
    },
    /// Another profile's trash.
    #[error(
        "{trash} is, or lies in, the local trash of a sync folder of the profile {profile}: take a folder of its own for this one",
        trash = trash.display()
    )]
    TrashOfAnotherProfile {
        /// What was to be the trash.
        trash: PathBuf,
        /// Whose it is.
        profile: ProfileName,
    },
    /// Another profile's.
    #[error(
        "{path} is, or lies in or around, the sync folder {other} of the profile {profile}. What one account deletes there, the other would delete as well: \
         take another folder, or end that one first with `darkslide --profile {profile} sync remove {other}`",
        path = path.display(), other = other.display()
    )]
    OfAnotherProfile {
        /// The new one.
        path: PathBuf,
        /// The one that is there.
        other: PathBuf,
        /// Whose it is.
        profile: ProfileName,
    },
    /// Somebody else's.
    #[error(
        "{path} lies in {other}, which has the marker of a sync folder that none of this user's profiles has. If nobody keeps it in step any more, \
         remove {NAME} from it", path = path.display(), other = other.display()
    )]
    OfSomebodyElse {
        /// The new one.
        path: PathBuf,
        /// The one above it.
        other: PathBuf,
    },
    /// Somebody else's, below it.
    #[error(
        "{other} lies in {path} and has the marker of a sync folder, and no picture may be in two. If nobody keeps it in step any more, remove {NAME} from it",
        path = path.display(), other = other.display()
    )]
    HoldsAnother {
        /// The new one.
        path: PathBuf,
        /// The one below it.
        other: PathBuf,
    },
    /// Files cannot be made and removed there.
    #[error(transparent)]
    Unhealthy(#[from] Unhealthy),
    /// Not in the list.
    #[error("{0} is no sync folder; `darkslide sync list` shows which there are")]
    NotInStep(PathBuf),
}

/// The path under which a new folder is kept in step: there, writable with all that is below it unless it only goes up, and apart from all others.
/// Changes nothing.
pub fn admit(
    path: &Path,
    trash: &Path,
    direction: Direction,
    in_step: &[SyncFolderRow],
    watched: &[WatchFolderRow],
) -> Result<PathBuf, ChooseError> {
    let unusable = |source| ChooseError::Unusable { path: path.to_owned(), source };
    let whole = path.canonicalize().map_err(unusable)?;
    if !whole.is_dir() {
        return Err(ChooseError::NotAFolder(path.to_owned()));
    }
    whole.read_dir().map_err(unusable)?;
    let overlaps = |other: &Path| whole.starts_with(other) || other.starts_with(&whole);
    for other in in_step.iter().map(|row| &row.folder.path) {
        if *other == whole {
            return Err(ChooseError::Already(whole));
        }
        if overlaps(other) {
            return Err(ChooseError::Overlaps { path: whole, other: other.clone() });
        }
    }
    // The marker goes wherever the folder is mounted; a copy of it is another file.
    let marker = marker::read(&whole).ok().flatten();
    let is_it = |row: &&SyncFolderRow| {
        marker.as_ref() == Some(&row.folder.marker) && is_same_folder(&whole, &row.folder.path)
    };
    if let Some(row) = in_step.iter().find(is_it) {
        return Err(ChooseError::Twice { path: whole, other: row.folder.path.clone() });
    }
    // What is mounted at a second place has a path there that says nothing.
    let is_entwined = |folders: &Folders, row: &&SyncFolderRow| folders.meet(&Folders::of(&row.folder.path));
    let is_first = in_step.is_empty() && watched.is_empty();
    let folders = if is_first { Folders::default() } else { Folders::of(&whole) };
    if let Some(row) = in_step.iter().find(|row| is_entwined(&folders, row)) {
        return Err(ChooseError::Overlaps { path: whole, other: row.folder.path.clone() });
    }
    let is_watched = |other: &&PathBuf| overlaps(other) || folders.meet(&Folders::of(other));
    if let Some(other) = watched.iter().map(|row| &row.path).find(is_watched) {
        return Err(ChooseError::Watched { path: whole, other: other.clone() });
    }
    let others = in_step.iter().map(|row| &row.folder.path).chain(watched.iter().map(|row| &row.path));
    if others.chain([&whole]).any(|folder| is_inside(trash, folder)) {
        return Err(ChooseError::TrashInside(trash.to_owned()));
    }
    if let Some(row) = in_step.iter().find(|row| is_inside(&row.folder.trash, &whole)) {
        return Err(ChooseError::HoldsTrash { path: whole, trash: row.folder.trash.clone() });
    }
    if direction != Direction::Up {
        marker::may_change_all(&whole)?;
    }
    Ok(whole)
}

/// Refuses a [folder that may be kept in step](admit) if another profile does so, or somebody whose marker lies above it or below. A folder has its
/// marker wherever it is moved to, or mounted.
pub fn admit_beside(
    whole: &Path,
    trash: &Path,
    others: &[(ProfileName, SyncPlace)],
) -> Result<(), ChooseError> {
    if others.iter().any(|(_, place)| is_inside(trash, &place.path)) {
        return Err(ChooseError::TrashInside(trash.to_owned()));
    }
    if let Some((_, place)) = others.iter().find(|(_, place)| is_inside(&place.trash, whole)) {
        return Err(ChooseError::HoldsTrash { path: whole.to_owned(), trash: place.trash.clone() });
    }
    if let Some((profile, _)) = others.iter().find(|(_, place)| is_inside(trash, &place.trash)) {
        return Err(ChooseError::TrashOfAnotherProfile { trash: trash.to_owned(), profile: profile.clone() });
    }
    let marker = marker::read(whole).ok().flatten();
    let folders = if others.is_empty() { Folders::default() } else { Folders::of(whole) };
    let is_it = |place: &SyncPlace| {
        let other = &place.path;
        let is_marked = marker.as_ref() == Some(&place.marker);
        let is_copied = || marker::check(other, &place.marker).is_ok() && !is_same_folder(whole, other);
        whole.starts_with(other)
            || other.starts_with(whole)
            || (is_marked && !is_copied())
            || folders.meet(&Folders::of(other))
    };
    if let Some((profile, place)) = others.iter().find(|(_, place)| is_it(place)) {
        let (path, other) = (whole.to_owned(), place.path.clone());
        return Err(ChooseError::OfAnotherProfile { path, other, profile: profile.clone() });
    }
    let above = whole.ancestors().skip(1).find(|above| above.join(NAME).symlink_metadata().is_ok());
    if let Some(other) = above {
        return Err(ChooseError::OfSomebodyElse { path: whole.to_owned(), other: other.to_owned() });
    }
    match marker::below(whole) {
        Some(other) => Err(ChooseError::HoldsAnother { path: whole.to_owned(), other }),
        None => Ok(()),
    }
}

/// Whether two paths lead to one folder, as where it is mounted twice.
fn is_same_folder(one: &Path, other: &Path) -> bool {
    let marker = |folder: &Path| folder.join(NAME).metadata().ok().map(|metadata| Stat::of(&metadata));
    marker(one) == marker(other)
}

/// Whether a path, which need not be there, lies below a folder.
fn is_inside(path: &Path, folder: &Path) -> bool {
    let existing = path.ancestors().find_map(|above| above.canonicalize().ok());
    let whole = folder.canonicalize();
    let folders = [Some(folder), whole.as_deref().ok()];
    folders.into_iter().flatten().any(|folder| {
        path.starts_with(folder) || existing.as_ref().is_some_and(|existing| existing.starts_with(folder))
    })
}

/// Gives a root its marker: the one that it has, if it has one, for what it was before makes no difference where nothing is agreed on. A root
/// that was copied with its marker gets one of its own: `taken` are those of other folders.
pub fn mark(root: &Path, taken: &[String]) -> io::Result<String> {
    let is_free = |id: &String| !id.is_empty() && !taken.contains(id);
    if let Some(id) = marker::read(root)?.filter(is_free) {
        return Ok(id);
    }
    let id = marker::new_id();
    marker::write(root, &id)?;
    Ok(id)
}

/// Takes the marker away, if it is this folder's.
pub fn unmark(root: &Path, id: &str) -> io::Result<()> {
    if marker::read(root)?.as_deref() == Some(id) {
        std::fs::remove_file(root.join(marker::NAME))?;
    }
    Ok(())
}

/// The sync folder that somebody means by a path, which need not be there any more.
pub fn find<'a>(path: &Path, in_step: &'a [SyncFolderRow]) -> Result<&'a SyncFolderRow, ChooseError> {
    let named = |path: PathBuf| in_step.iter().find(|row| row.folder.path == path);
    // As the list has it first: its disk may not answer.
    let found = std::path::absolute(path).ok().and_then(named);
    let found = found.or_else(|| path.canonicalize().ok().and_then(named));
    found.ok_or_else(|| ChooseError::NotInStep(path.to_owned()))
}

/// The sync folder that an entry of a local trash belongs to. None where that is one of another profile, or where several have that trash and it
/// was not written down.
pub fn home<'a>(
    entry: &TrashedFile,
    trash: &Path,
    in_step: &'a [SyncFolderRow],
) -> Option<&'a SyncFolderRow> {
    let mut sharing = in_step.iter().filter(|row| row.folder.trash == trash);
    if let Some(root) = &entry.root {
        if let Some(row) = sharing.clone().find(|row| row.folder.path == *root) {
            return Some(row);
        }
        if root.join(NAME).symlink_metadata().is_ok() {
            return None;
        }
    }
    // It may have had another name.
    sharing.next().filter(|_| sharing.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::NewSyncFolder;

    #[test]
    fn a_folder_keeps_its_marker_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let id = mark(root, &[]).unwrap();
        assert_eq!(mark(root, &[]).unwrap(), id);
        unmark(root, "another").unwrap();
        assert!(root.join(marker::NAME).exists());
        unmark(root, &id).unwrap();
        assert!(!root.join(marker::NAME).exists());
    }

    /// Whoever keeps it in step: it may be there through a mount, or be another user's.
    #[test]
    fn no_folder_is_above_one_that_has_a_marker() {
        let folder = tempfile::tempdir().unwrap();
        let (root, trash) = (folder.path().join("root"), folder.path().join("trash"));
        std::fs::create_dir_all(root.join("2024/Phone")).unwrap();
        marker::write(&root, "own").unwrap();
        admit_beside(&root, &trash, &[]).unwrap();
        marker::write(&root.join("2024/Phone"), "another").unwrap();
        let refused = admit_beside(&root, &trash, &[]).unwrap_err();
        assert!(matches!(&refused, ChooseError::HoldsAnother { other, .. } if other.ends_with("2024/Phone")));
    }

    #[test]
    fn the_trash_lies_outside() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let admit = |trash: &Path| admit(&root, trash, Direction::Both, &[], &[]);
        assert!(matches!(admit(&root.join("trash/deep")), Err(ChooseError::TrashInside(_))));
        assert_eq!(admit(&root.with_extension("trash")).unwrap(), root);
    }

    /// Its marker is that very file, as it is where the folder is mounted once more.
    #[test]
    fn a_folder_is_in_the_list_once_by_whatever_path() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] =
            ["first", "second"].map(|name| folder.path().canonicalize().unwrap().join(name));
        for path in [&first, &second] {
            std::fs::create_dir(path).unwrap();
        }
        let marker = mark(&first, &[]).unwrap();
        let row = SyncFolderRow {
            id: 1,
            folder: NewSyncFolder {
                path: first.clone(),
                marker: marker.clone(),
                album: "First".to_owned(),
                direction: Direction::Both,
                keep_older_than: None,
                trash: folder.path().join("trash-1"),
            },
            paused: false,
            added: 0,
            hold: None,
            held: None,
            approval: None,
            last_pass: None,
        };
        let trash = folder.path().join("trash-2");
        let admit = |path: &Path| admit(path, &trash, Direction::Both, std::slice::from_ref(&row), &[]);
        std::fs::hard_link(first.join(NAME), second.join(NAME)).unwrap();
        assert!(matches!(admit(&second), Err(ChooseError::Twice { other, .. }) if other == first));
        assert_eq!(marker::read(&first).unwrap(), Some(marker.clone()));
        // What was copied is another folder.
        std::fs::remove_file(second.join(NAME)).unwrap();
        marker::write(&second, &marker).unwrap();
        assert_eq!(admit(&second).unwrap(), second);
    }

    #[test]
    fn the_trash_is_no_other_profiles() {
        let folder = tempfile::tempdir().unwrap();
        let (root, trash) = (folder.path().join("Bernd"), folder.path().join("trash"));
        std::fs::create_dir_all(&trash).unwrap();
        let place = SyncPlace { path: folder.path().join("Anna"), marker: "anna".to_owned(), trash };
        let others = [(ProfileName::parse("anna").unwrap(), place)];
        for (name, is_taken) in [("trash", true), ("trash/deep", true), ("trash2", false)] {
            let admitted = admit_beside(&root, &folder.path().join(name), &others);
            let is_refused = matches!(admitted, Err(ChooseError::TrashOfAnotherProfile { .. }));
            assert_eq!((is_refused, admitted.is_ok()), (is_taken, !is_taken), "{name}");
        }
    }
}
