//! The marker of a sync folder, and the rights that keeping it in step needs.
//!
//! A disk that is not mounted leaves an empty folder behind, and nothing in it says that pictures were deleted. So the root holds a marker with the
//! folder's id: without it, or with another one, nothing is done there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use darkslide_media::names::ignored_folder;
use uuid::Uuid;

use crate::error::quoted;
use crate::library::folder::is_lost_and_found;
use crate::library::tree::{self, Entry};
use crate::restore::place::{Temporary, sync_folder};

/// The marker's name. Backups and synchronisation pass it over.
pub const NAME: &str = ".darkslide-folder";

/// Files that only see whether files can be made, and markers that are not whole. Syncthing takes them for its own, as what is on its way.
pub(super) const PROBE: Temporary = Temporary { prefix: ".syncthing.darkslide-probe-", suffix: ".tmp" };

/// The longest marker that is read.
const BYTES_MAX: u64 = 256;

/// Why a root is left alone.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// No marker: the disk is not mounted, or somebody removed it.
    #[error(
        "its marker {NAME} is missing: its disk may not be mounted. If this is the right folder, `darkslide sync readopt {}` takes it \
         over as it is, and deletes nothing", .0.display()
    )]
    Missing(PathBuf),
    /// Another folder's marker.
    #[error(
        "its marker {NAME} is that of another folder: another disk may be mounted there. If this is the right folder, `darkslide sync \
         readopt {}` takes it over as it is, and deletes nothing", .0.display()
    )]
    Other(PathBuf),
    /// It cannot be read.
    #[error("{path} cannot be read ({source}); is it there, and its disk connected and mounted?", path = path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Pictures cannot be made or removed there.
    #[error(transparent)]
    Rights(Box<Rights>),
}

/// What keeps this program from making and removing files in a folder.
#[derive(Debug, thiserror::Error)]
#[error(
    "{user} may not create and remove files in {path}, which belongs to {owner}:{group} with mode {mode:04o} ({source}). {advice}",
    path = path.display()
)]
pub struct Rights {
    /// The folder.
    pub path: PathBuf,
    /// Who this program runs as.
    pub user: String,
    /// Who owns the folder.
    pub owner: String,
    /// The folder's group.
    pub group: String,
    /// Its mode.
    pub mode: u32,
    /// What mends it.
    pub advice: String,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// A marker's text for a new folder.
pub fn new_id() -> String {
    Uuid::new_v4().to_string()
}

/// Checks that a root holds this marker.
pub fn check(root: &Path, id: &str) -> Result<(), Unhealthy> {
    match read(root) {
        Ok(Some(found)) if found == id => Ok(()),
        Ok(Some(_)) => Err(Unhealthy::Other(root.to_owned())),
        Ok(None) if root.is_dir() => Err(Unhealthy::Missing(root.to_owned())),
        Ok(None) => {
            Err(Unhealthy::Unusable { path: root.to_owned(), source: io::ErrorKind::NotFound.into() })
        }
        Err(source) => Err(Unhealthy::Unusable { path: root.to_owned(), source }),
    }
}

/// Whether a path lies in a folder that somebody keeps in step, whichever profile that is of.
pub fn is_above(path: &Path) -> bool {
    path.ancestors().skip(1).any(|folder| folder.join(NAME).symlink_metadata().is_ok())
}

/// A folder below a root that has a marker, if there is one.
pub(super) fn below(root: &Path) -> Option<PathBuf> {
    let mut markers = entries(root).filter(|entry| entry.path.file_name().is_some_and(|name| name == NAME));
    markers.find_map(|marker| marker.path.parent().filter(|folder| *folder != root).map(Path::to_owned))
}

/// The id in a root's marker, if it has one.
pub fn read(root: &Path) -> io::Result<Option<String>> {
    let file = match File::open(root.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(Some(text.lines().next().unwrap_or_default().trim().to_owned()))
}

/// Puts a marker into a root, in the place of any other.
pub fn write(root: &Path, id: &str) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(PROBE.prefix).suffix(PROBE.suffix).tempfile_in(root)?;
    #[cfg(unix)]
    file.as_file()
        .set_permissions(<fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o644))?;
    writeln!(
        file,
        "{id}\n\nDarkslide keeps this folder in step with a vault while this file is here. Do not copy it into another folder."
    )?;
    file.as_file().sync_all()?;
    file.persist(root.join(NAME)).map_err(|error| error.error)?;
    sync_folder(root)
}

/// Sees whether files can be made and removed in a root: by doing so, and by what the system says of those of others.
pub fn probe(root: &Path) -> Result<(), Unhealthy> {
    let attempt = || {
        let path = root.join(format!("{}{}{}", PROBE.prefix, Uuid::new_v4().simple(), PROBE.suffix));
        OpenOptions::new().write(true).create_new(true).open(&path)?;
        fs::remove_file(&path)?;
        may_change(root)
    };
    attempt().map_err(|source| unhealthy(root, source))
}

/// Whether the system says so of a root and of every folder below it. Changes nothing.
pub(super) fn may_change_all(root: &Path) -> Result<(), Unhealthy> {
    closed(root).into_iter().try_for_each(|folder| may_be_changed(&folder))
}

/// A root and the folders below it of which the system says that files cannot be made and removed there.
pub(super) fn closed(root: &Path) -> Vec<PathBuf> {
    folders(root).filter(|folder| may_be_changed(folder).is_err()).collect()
}

/// How somebody who may write to a root gives it this marker. Of a folder that only goes up nothing else is ever written.
pub fn by_hand(root: &Path, id: &str) -> String {
    let path = quoted(&root.join(NAME).display().to_string());
    format!("`echo {id} | sudo tee {path}` (if it is mounted read-only, while it is not)")
}

/// All that is in a root and in the folders below it that a pass looks into. What cannot be listed is told by the scan.
pub(super) fn entries(root: &Path) -> impl Iterator<Item = Entry> {
    tree::below(root, |folder| {
        folder.file_name().is_none_or(|name| ignored_folder(name).is_none()) && !is_lost_and_found(folder)
    })
}

/// A root and these folders.
pub(super) fn folders(root: &Path) -> impl Iterator<Item = PathBuf> {
    let below = entries(root).filter(|entry| entry.kind.is_dir()).map(|entry| entry.path);
    std::iter::once(root.to_owned()).chain(below)
}

/// Sees whether files can be made and removed in one folder, as far as the system says. One that is gone says nothing.
pub(super) fn may_be_changed(folder: &Path) -> Result<(), Unhealthy> {
    match may_change(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(unhealthy(folder, source)),
        _ => Ok(()),
    }
}

/// What kept something from being done in a folder, as its owner should hear it.
pub fn unhealthy(folder: &Path, source: io::Error) -> Unhealthy {
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Unhealthy::Rights(Box::new(rights(folder, source)))
        }
        _ => Unhealthy::Unusable { path: folder.to_owned(), source },
    }
}

/// What keeps a file from being read, or a folder from being listed, as its owner should hear it.
pub fn unreadable(path: &Path, error: &io::Error) -> String {
    without_rights(path, error, |_, rights| rights.advice.clone())
}

/// The same of what is only to be read.
pub fn unreadable_for_backup(path: &Path, error: &io::Error) -> String {
    without_rights(path, error, |known, Rights { user, owner, .. }| {
        let path = quoted(&known.display().to_string());
        if user == owner {
            format!("`chmod -R u+rX {path}`")
        } else {
            format!("`sudo setfacl -R -m u:{user}:rX {path}`, or leave it out of what is backed up")
        }
    })
}

fn without_rights(path: &Path, error: &io::Error, advice: impl FnOnce(&Path, &Rights) -> String) -> String {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return format!("it cannot be read: {error}");
    }
    // Of what is in a folder that may not be entered, nothing more is known.
    let known = path.ancestors().find(|path| path.metadata().is_ok()).unwrap_or(path);
    let rights = rights(known, io::ErrorKind::PermissionDenied.into());
    let advice = advice(known, &rights);
    let Rights { user, owner, group, mode, .. } = rights;
    let what = if known == path { "it".to_owned() } else { known.display().to_string() };
    format!("{user} may not read it: {what} belongs to {owner}:{group} with mode {mode:04o}. {advice}")
}

#[cfg(unix)]
fn may_change(folder: &Path) -> io::Result<()> {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    use std::os::unix::fs::MetadataExt as _;
    let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    accessat(CWD, folder, wanted, AtFlags::EACCESS)?;
    let (metadata, user) = (folder.metadata()?, nix::unistd::geteuid());
    // In a sticky folder only the owner of a file, or of the folder, may remove it.
    if metadata.mode() & STICKY != 0 && metadata.uid() != user.as_raw() && !user.is_root() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}

#[cfg(not(unix))]
fn may_change(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn rights(folder: &Path, source: io::Error) -> Rights {
    use nix::unistd::{Gid, Group, Uid, User};
    use std::os::unix::fs::MetadataExt as _;
    let user_of =
        |id: Uid| User::from_uid(id).ok().flatten().map_or_else(|| id.to_string(), |user| user.name);
    let group_of =
        |id: Gid| Group::from_gid(id).ok().flatten().map_or_else(|| id.to_string(), |group| group.name);
    let user = user_of(Uid::effective());
    let (owner, group, mode) = folder.metadata().map_or_else(
        |_| ("nobody known".to_owned(), "nobody known".to_owned(), 0),
        |metadata| {
            let (owner, group) = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
            (user_of(owner), group_of(group), metadata.mode() & 0o7777)
        },
    );
    let advice = if source.kind() == io::ErrorKind::ReadOnlyFilesystem {
        Advice::ReadOnly
    } else if owner == user {
        Advice::Own
    } else if mode & STICKY != 0 {
        Advice::Sticky
    } else if is_nobodys(&group) {
        Advice::NewGroup
    } else {
        Advice::Group
    };
    let advice = advice.for_folder(folder, &user, &group);
    Rights { path: folder.to_owned(), user, owner, group, mode, advice, source }
}

/// The bit of a folder's mode by which only owners remove files from it.
#[cfg(unix)]
const STICKY: u32 = 0o1000;

/// What keeps a user from changing a folder.
#[cfg(unix)]
#[derive(Clone, Copy, Debug)]
enum Advice {
    /// Nobody may.
    ReadOnly,
    /// The user's own folder.
    Own,
    /// Only owners may remove files.
    Sticky,
    /// The folder's group is one that nobody should be put into.
    NewGroup,
    /// The folder's group may do for both.
    Group,
}

/// Whether nobody should be put into a group.
#[cfg(unix)]
fn is_nobodys(group: &str) -> bool {
    ["root", "nogroup", "nobody", "wheel"].contains(&group)
}

#[cfg(unix)]
impl Advice {
    /// The commands that mend it.
    fn for_folder(self, folder: &Path, user: &str, group: &str) -> String {
        let quoted = quoted(&folder.display().to_string());
        let share = |group: &str| {
            format!(
                "`sudo usermod -aG {group} {user}`, sign in again, then `sudo chmod -R g+rwX {quoted} && sudo find {quoted} -type d -exec chmod \
                 g+s {{}} +`, and start whatever else writes there with umask 0002 (Syncthing makes folders with mode 0755 otherwise: \
                 `UMask=0002` in its systemd unit)"
            )
        };
        match self {
            Self::ReadOnly => format!(
                "The file system is mounted read-only: `sudo mount -o remount,rw \"$(findmnt -nT {quoted} -o TARGET)\"`, unless its disk is failing \
                 (`sudo dmesg` says)"
            ),
            Self::Own => format!("`chmod -R u+rwX {quoted}`"),
            Self::Sticky => {
                let shared = if is_nobodys(group) { Self::NewGroup } else { Self::Group };
                format!(
                    "Only the owner of a file may remove it from a sticky folder: `sudo chmod -R -t {quoted}`. {}",
                    shared.for_folder(folder, user, group)
                )
            }
            Self::NewGroup => {
                format!(
                    "Let both be in one group and the group write: `sudo groupadd photos && sudo chgrp -R photos {quoted}`, {}",
                    share("photos")
                )
            }
            Self::Group => format!("Let both be in one group and the group write: {}", share(group)),
        }
    }
}

#[cfg(not(unix))]
fn rights(folder: &Path, source: io::Error) -> Rights {
    let unknown = || "somebody".to_owned();
    let advice = "Give this user the right to modify the folder and everything in it.".to_owned();
    Rights {
        path: folder.to_owned(),
        user: unknown(),
        owner: unknown(),
        group: unknown(),
        mode: 0,
        advice,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_healthy_with_its_own_marker_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert!(matches!(check(root, "a"), Err(Unhealthy::Missing(_))));
        write(root, "a").unwrap();
        check(root, "a").unwrap();
        assert!(matches!(check(root, "b"), Err(Unhealthy::Other(_))));
        write(root, "b").unwrap();
        check(root, "b").unwrap();
        assert!(matches!(check(&root.join("gone"), "b"), Err(Unhealthy::Unusable { .. })));
        let told = check(&root.join("gone"), "b").unwrap_err().to_string();
        assert!(told.starts_with(&root.join("gone").display().to_string()), "{told}");
        assert_eq!(fs::read_dir(root).unwrap().count(), 1, "nothing else is left behind");
    }

    #[test]
    fn probing_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        probe(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(matches!(probe(&folder.path().join("gone")), Err(Unhealthy::Unusable { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_missing_is_named_with_what_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let said = |kind: io::ErrorKind| unhealthy(folder.path(), kind.into()).to_string();
        let path = folder.path().to_str().unwrap();
        for (kind, mends) in [
            (io::ErrorKind::PermissionDenied, "chmod -R u+rwX"),
            (io::ErrorKind::ReadOnlyFilesystem, "mount -o remount,rw"),
        ] {
            let said = said(kind);
            for part in [path, "with mode 07", mends] {
                assert!(said.contains(part), "{part} in {said}");
            }
        }
        let advice = |advice: Advice, group: &str| advice.for_folder(Path::new("/a b"), "anna", group);
        let group = advice(Advice::Group, "photos");
        for part in ["usermod -aG photos anna", "'/a b'", "g+s", "umask 0002"] {
            assert!(group.contains(part), "{part} in {group}");
        }
        let new = advice(Advice::NewGroup, "root");
        assert!(new.contains("groupadd photos") && !new.contains("usermod -aG root"), "{new}");
        assert!(advice(Advice::Sticky, "photos").contains("chmod -R -t"));
        let sticky = advice(Advice::Sticky, "root");
        assert!(sticky.contains("chmod -R -t") && !sticky.contains("usermod -aG root"), "{sticky}");
    }
}
