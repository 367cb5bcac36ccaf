//! Whether a watch folder is there, or only the place where its disk would be.
//!
//! An unmounted disk leaves an empty folder behind, or none, or one with other things in it. None of these says anything of the
//! pictures. Such a folder is offline: it is left alone until it is itself again.

use std::io;
use std::path::{Path, PathBuf};

use crate::catalog::{Catalog, CatalogError, WatchFolderRow};
use crate::error::quoted;
use crate::library::raw;
use crate::library::selection::Exclusions;

/// Known assets that are looked for on a disk with another number.
const SAMPLE: i64 = 64;

/// What is known of a folder from before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The disk that it was on; [`NO_DISK`](crate::catalog::NO_DISK) if that was away since.
    pub device: Option<u64>,
    /// Whether anything was ever found in it that was not removed to free space.
    pub has_assets: bool,
}

/// What is seen of it now.
#[derive(Debug)]
pub enum Seen {
    /// It is not there, is no folder, or may not be read.
    Unusable(io::Error),
    /// It is there.
    Folder {
        /// The disk that it is on.
        device: u64,
        /// Whether nothing lies in it.
        is_empty: bool,
    },
}

/// Whether a folder can be backed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It is itself, on this disk.
    Online {
        /// The disk.
        device: u64,
    },
    /// It cannot be reached.
    Offline(Offline),
}

/// What was found out of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// Whether it can be backed up.
    pub health: Health,
    /// It cannot, and the disk that it was on is not there. Systems give the same number to the next disk: whoever is told so has to
    /// forget the number ([`Catalog::watch_folder_away`]).
    pub is_away: bool,
}

/// Why a folder is offline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Offline {
    /// Not there, or not readable.
    #[error("it cannot be read ({0}); is its disk connected and mounted?")]
    Unusable(String),
    /// Empty where pictures were.
    #[error(
        "it is empty, and was not before: its disk may not be mounted. If you emptied it, all is well: the next picture in it is \
         backed up"
    )]
    Empty,
    /// On another disk, and nothing that was known is on it.
    #[error(
        "it is on another disk than before, with none of the pictures that were on that. `darkslide watch resume` says that this is \
         the right one"
    )]
    OtherDisk,
    /// What its owner wants left out of it cannot be told from the rest.
    #[error(
        "{what}. Nothing of it is sent while that is so: `darkslide watch remove {place}`, then `darkslide watch add {place}` with \
         patterns that can be read"
    )]
    Patterns {
        /// Which pattern, and why.
        what: String,
        /// The folder, as a shell reads it.
        place: String,
    },
    /// No answer for long: a network disk whose server is away.
    #[error("its disk does not answer")]
    Silent,
}

/// Decides. `is_familiar` is asked whether anything that was backed up from there is there now, only where that matters.
pub fn judge(known: Known, seen: Seen, is_familiar: impl FnOnce() -> bool) -> Health {
    let (device, is_empty) = match seen {
        Seen::Unusable(error) => return Health::Offline(Offline::Unusable(error.to_string())),
        Seen::Folder { device, is_empty } => (device, is_empty),
    };
    if !known.has_assets {
        return Health::Online { device };
    }
    if is_empty {
        return Health::Offline(Offline::Empty);
    }
    // Numbers of disks change when they are connected anew; what is on them does not.
    let is_same = known.device.is_none_or(|before| before == device);
    if is_same || is_familiar() { Health::Online { device } } else { Health::Offline(Offline::OtherDisk) }
}

/// Looks at a folder. Reads one entry of it.
pub fn look(path: &Path) -> Seen {
    let look = || {
        let device = device_of(&path.metadata()?);
        let is_empty = path.read_dir()?.next().transpose()?.is_none();
        Ok(Seen::Folder { device, is_empty })
    };
    look().unwrap_or_else(Seen::Unusable)
}

/// The health of one watch folder, by what the catalog knows of it.
pub async fn examine(catalog: &Catalog, folder: &WatchFolderRow) -> Result<Examined, CatalogError> {
    let root = raw(&folder.path);
    let known = Known { device: folder.device, has_assets: catalog.expects_assets(&root).await? };
    let path = folder.path.clone();
    let looking = tokio::task::spawn_blocking(move || {
        let seen = look(&path);
        let device = match &seen {
            Seen::Folder { device, .. } => Some(*device),
            Seen::Unusable(_) => device_left(&path),
        };
        (seen, device)
    });
    let (seen, device) = looking.await.expect("a look does not panic");
    let is_elsewhere = device.is_some() && known.device.is_some_and(|before| Some(before) != device);
    let sample = if is_elsewhere { catalog.some_assets(&root, SAMPLE).await? } else { Vec::new() };
    let paths: Vec<(PathBuf, u64)> =
        sample.iter().map(|row| (row.whole_path(), row.fingerprint.size)).collect();
    let is_familiar =
        move || paths.iter().any(|(path, size)| path.metadata().is_ok_and(|now| now.len() == *size));
    let judging = tokio::task::spawn_blocking(move || judge(known, seen, is_familiar));
    let health = judging.await.expect("a judgement does not panic");
    let is_away = is_elsewhere && matches!(health, Health::Offline(_));
    Ok(Examined { health: health_by_patterns(health, folder), is_away })
}

/// Patterns may be of a version that read them otherwise: what they may leave out is not sent.
fn health_by_patterns(health: Health, folder: &WatchFolderRow) -> Health {
    match (&health, Exclusions::parse(&folder.exclude)) {
        (Health::Online { .. }, Err(why)) => Health::Offline(Offline::Patterns {
            what: why.to_string(),
            place: quoted(&folder.path.display().to_string()),
        }),
        _ => health,
    }
}

/// The disk that a folder would be on which is not there: that of the nearest one around it.
fn device_left(path: &Path) -> Option<u64> {
    path.ancestors().find_map(|around| around.metadata().ok()).map(|metadata| device_of(&metadata))
}

#[cfg(unix)]
fn device_of(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::dev(metadata)
}

/// Drives have letters there, and a path that is on another one is another path.
#[cfg(not(unix))]
fn device_of(_metadata: &std::fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{AssetRow, AssetState, DeviceAlbumKey, Fingerprint, NO_DISK, NewWatchFolder};
    use crate::library::AlbumRule;

    #[test]
    fn a_folder_that_is_not_itself_is_offline() {
        let online = |device| Health::Online { device };
        let offline = Health::Offline;
        let on = |device, is_empty| Seen::Folder { device, is_empty };
        let never = Known { device: None, has_assets: false };
        let before = Known { device: Some(1), has_assets: true };
        let away = Known { device: Some(NO_DISK), has_assets: true };
        let resumed = Known { device: None, has_assets: true };
        for (known, seen, is_familiar, expected) in [
            (never, on(1, true), false, online(1)),
            (never, on(1, false), false, online(1)),
            (before, on(1, false), false, online(1)),
            (before, on(1, true), false, offline(Offline::Empty)),
            (before, on(2, true), true, offline(Offline::Empty)),
            (before, on(2, false), false, offline(Offline::OtherDisk)),
            (before, on(2, false), true, online(2)),
            (away, on(1, false), false, offline(Offline::OtherDisk)),
            (away, on(1, false), true, online(1)),
            (resumed, on(2, false), false, online(2)),
            (Known { device: Some(1), has_assets: false }, on(2, true), false, online(2)),
        ] {
            let case = format!("{known:?} {seen:?} {is_familiar}");
            assert_eq!(judge(known, seen, || is_familiar), expected, "{case}");
        }
        let gone = Seen::Unusable(io::ErrorKind::NotFound.into());
        assert!(matches!(judge(never, gone, || true), Health::Offline(Offline::Unusable(_))));
    }

    /// A catalog that watches this folder, from which these files of no bytes were backed up.
    async fn watching(home: &Path, root: &Path, paths: &[&str]) -> (Catalog, WatchFolderRow) {
        let catalog = Catalog::open(&home.join("catalog")).await.unwrap();
        let new = NewWatchFolder { path: root.to_owned(), albums: AlbumRule::PerRoot, exclude: Vec::new() };
        catalog.add_watch_folder(&new, 0).await.unwrap();
        let row = catalog.watch_folders().await.unwrap().remove(0);
        for path in paths {
            let asset = AssetRow {
                root: raw(root),
                path: raw(Path::new(path)),
                fingerprint: Fingerprint { size: 0, modified_ns: 0, inode: 0 },
                motion: None,
                album: DeviceAlbumKey { root: raw(root), folder: Vec::new() },
                content_hash: None,
                file: None,
                state: AssetState::BackedUp,
                reason: None,
                first_seen: 0,
                last_seen: 0,
                failing: None,
            };
            catalog.put_asset(&asset).await.unwrap();
        }
        (catalog, row)
    }

    /// The next disk at the same place was taken for the first one, since the system gave it the same number.
    #[cfg(unix)]
    #[tokio::test]
    async fn a_disk_that_was_away_is_known_by_what_is_on_it() {
        let (folder, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = folder.path().canonicalize().unwrap().join("disk");
        let (catalog, row) = watching(home.path(), &root, &["a.jpg"]).await;
        let number = device_of(&folder.path().metadata().unwrap());
        let examined = async || {
            let row = catalog.watch_folders().await.unwrap().remove(0);
            examine(&catalog, &row).await.unwrap()
        };
        // The folder is gone, and its disk is not: what comes there is on the same disk.
        catalog.watch_folder_online(row.id, number).await.unwrap();
        let gone = examined().await;
        assert!(matches!(gone.health, Health::Offline(Offline::Unusable(_))) && !gone.is_away);
        // What is left is on another disk.
        catalog.watch_folder_online(row.id, number + 1).await.unwrap();
        assert!(examined().await.is_away);
        catalog.watch_folder_away(row.id).await.unwrap();
        std::fs::create_dir(&root).unwrap();
        assert_eq!(examined().await, Examined { health: Health::Offline(Offline::Empty), is_away: true });
        std::fs::write(root.join("other.jpg"), b"").unwrap();
        assert_eq!(examined().await.health, Health::Offline(Offline::OtherDisk));
        std::fs::write(root.join("a.jpg"), b"").unwrap();
        assert_eq!(examined().await, Examined { health: Health::Online { device: number }, is_away: false });
    }

    /// Its owner had its originals removed: that it is empty is no sign of a disk that is away.
    #[tokio::test]
    async fn a_folder_that_was_emptied_to_free_space_is_itself() {
        let (folder, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = folder.path().canonicalize().unwrap();
        let (catalog, row) = watching(home.path(), &root, &["a.jpg", "b.jpg"]).await;
        let freed = async |path: &str| {
            catalog.mark_freed(&raw(&root), &[raw(Path::new(path))]).await.unwrap();
            examine(&catalog, &row).await.unwrap().health
        };
        assert_eq!(freed("a.jpg").await, Health::Offline(Offline::Empty), "the other one should be there");
        assert!(matches!(freed("b.jpg").await, Health::Online { .. }));
    }

    /// What an earlier version took for a pattern may leave anything out.
    #[tokio::test]
    async fn a_folder_whose_patterns_cannot_be_read_is_left_alone() {
        let (folder, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = folder.path().canonicalize().unwrap();
        let (catalog, row) = watching(home.path(), &root, &[]).await;
        let health = async |pattern: &str| {
            let row = WatchFolderRow { exclude: vec![pattern.to_owned()], ..row.clone() };
            examine(&catalog, &row).await.unwrap().health
        };
        assert!(matches!(health("[äö]*.jpg").await, Health::Online { .. }));
        let Health::Offline(why) = health("[ä").await else { panic!("it is looked at") };
        let told = why.to_string();
        assert!(told.contains("[ä") && told.contains("darkslide watch remove"), "{told}");
    }

    #[test]
    fn looking_tells_empty_from_gone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(look(folder.path()), Seen::Folder { is_empty: true, .. }));
        std::fs::write(folder.path().join("a"), b"").unwrap();
        assert!(matches!(look(folder.path()), Seen::Folder { is_empty: false, .. }));
        assert!(matches!(look(&folder.path().join("a")), Seen::Unusable(_)));
        assert!(matches!(look(&folder.path().join("gone")), Seen::Unusable(_)));
    }
}
