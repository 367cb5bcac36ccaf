//! Where the programs of one user on one machine find each other, whatever homes of profiles they were told: folders that all of them
//! share, and nobody else can write to.
//!
//! ```text
//! $XDG_RUNTIME_DIR/darkslide/    or /run/user/<uid>/darkslide, where that is this user's
//! <temporary folder>/darkslide-<uid>/
//! ```
//!
//! Both, where there are both: one who logs in has the first, what the system starts may not, and it goes with the last session; what cleans
//! temporary folders may take the second. Two programs that share one of them find each other. A folder that is somebody else's, or that
//! others may write to, is not used: whoever made it could keep this user's programs waiting for ever. No program is kept from working
//! because there is none; that is told in the log.

use std::path::{Path, PathBuf};

/// The folders of one user on one machine. By default none: programs that have a catalog of their own, as on phones, have nobody to find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    places: Vec<PathBuf>,
}

impl Machine {
    /// What the user that runs this program has on this machine.
    pub fn of_this_user() -> Self {
        Self::of(candidates())
    }

    /// These folders.
    pub fn of(places: Vec<PathBuf>) -> Self {
        Self { places }
    }

    /// Those of the folders that can be trusted now; what is missing is made, for they are cleaned away.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Path> {
        self.places.iter().map(PathBuf::as_path).filter(|place| match own_folder(place) {
            Ok(()) => true,
            Err(error) => {
                let place = place.display();
                tracing::warn!(%place, %error, "programs of this user cannot find each other here");
                false
            }
        })
    }
}

#[cfg(unix)]
fn candidates() -> Vec<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let told = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    // Whoever became another user may still be told of the runtime folder of the one before.
    let runtime = [told, Some(format!("/run/user/{user}").into())];
    let runtime = runtime.into_iter().flatten().find(|folder| is_writable_by_alone(folder, user));
    let shared = runtime.map(|folder| folder.join("darkslide"));
    shared.into_iter().chain([std::env::temp_dir().join(format!("darkslide-{user}"))]).collect()
}

/// The temporary folder of Windows is the user's.
#[cfg(not(unix))]
fn candidates() -> Vec<PathBuf> {
    vec![std::env::temp_dir().join("darkslide")]
}

#[cfg(unix)]
fn is_writable_by_alone(folder: &Path, user: u32) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    folder.metadata().is_ok_and(|found| found.is_dir() && found.uid() == user && found.mode() & 0o022 == 0)
}

/// Makes the folder if it is missing, and fails unless it is this user's alone.
#[cfg(unix)]
fn own_folder(folder: &Path) -> std::io::Result<()> {
    use std::fs::DirBuilder;
    use std::io::{Error, ErrorKind};
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Of a link, its own: where it leads to is for whoever made it to say.
    let found = folder.symlink_metadata()?;
    let is_own = found.uid() == rustix::process::geteuid().as_raw();
    // Nobody else may do anything in it: six bits of rights, of the group and of all others.
    if found.is_dir() && is_own && found.mode().trailing_zeros() >= 6 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::PermissionDenied, "it is not a folder that is this user's alone"))
}

#[cfg(not(unix))]
fn own_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn a_folder_that_others_could_write_to_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let used = |name: &str| Machine::of(vec![path(name)]).places().count();
        assert_eq!((used("new"), used("new")), (1, 1));
        assert_eq!(fs::metadata(path("new")).unwrap().permissions().mode() & 0o777, 0o700);
        symlink(path("new"), path("link")).unwrap();
        fs::write(path("file"), "").unwrap();
        for name in ["link", "file", "above/below"] {
            assert_eq!(used(name), 0, "{name}");
        }
        for (mode, is_used) in [(0o770, 0), (0o707, 0), (0o1777, 0), (0o755, 0), (0o700, 1)] {
            fs::set_permissions(path("new"), Permissions::from_mode(mode)).unwrap();
            assert_eq!(used("new"), is_used, "{mode:o}");
        }
        // One place that is taken by somebody leaves the other.
        let both = Machine::of(vec![path("file"), path("new")]);
        assert_eq!(both.places().collect::<Vec<_>>(), [path("new")]);
        // What was cleaned away is made again.
        fs::remove_dir(path("new")).unwrap();
        assert_eq!((both.places().count(), path("new").is_dir()), (1, true));
    }

    #[test]
    fn the_runtime_folder_of_another_user_is_not_this_ones() {
        let folder = tempfile::tempdir().unwrap();
        let own = rustix::process::geteuid().as_raw();
        assert!(is_writable_by_alone(folder.path(), own));
        assert!(!is_writable_by_alone(folder.path(), own + 1));
        fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).unwrap();
        assert!(!is_writable_by_alone(folder.path(), own));
        assert!(!is_writable_by_alone(&folder.path().join("none"), own));
    }
}
