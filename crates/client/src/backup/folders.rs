//! A folder that is renamed keeps its album: the link goes to its new path, and the mirror gets its new name unless its owner gave it another.
//!
//! A positive cause only. The old path must be gone, the folder must be the same one of the same disk, no album may be linked at
//! its new path, and a file that the catalog knows must lie in it as it did: numbers of folders are given again. Whatever else
//! happened, it is a new folder, and a new album. Nothing here deletes anything.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use super::error::AssetError;
use super::run::Run;
use crate::catalog::{CatalogError, DeviceAlbumKey, FolderId, LinkedFolder};
use crate::library::selection::{Reach, Scope};
use crate::library::{AlbumRule, DeviceAlbum, folder, path_of, raw, tree};
use crate::watch::disks;

/// A folder that has an album under its old path.
#[derive(Debug, PartialEq, Eq)]
struct Moved {
    from: PathBuf,
    to: PathBuf,
}

/// The roots that are folders and are there: absolute, links resolved.
pub(super) fn whole(roots: &[PathBuf]) -> Vec<PathBuf> {
    roots.iter().filter(|path| path.is_dir()).filter_map(|path| folder::root_of(path).ok()).collect()
}

impl Run {
    /// Moves the links of folders that were renamed below a root since the last run over it.
    pub(super) async fn follow_folders(&self, root: &Path) -> Result<(), AssetError> {
        if self.settings.albums != AlbumRule::PerFolder {
            return Ok(());
        }
        let linked = self.catalog.linked_folders(&raw(root)).await?;
        let scope = self.settings.selection.scope.clone();
        let (place, known) = (root.to_owned(), linked.clone());
        let looking = tokio::task::spawn_blocking(move || {
            let gone = gone_from(&place, &known);
            let found = find(&place, &scope, &gone);
            // Of a root that is not itself, nothing is known.
            let is_itself = known.iter().any(|linked| {
                let now = id_at(&place.join(path_of(&linked.folder))).ok().flatten();
                now.is_some() && now == linked.id
            });
            (gone, found, is_itself && scope == Scope::Everything)
        });
        let (gone, found, is_all_seen) = looking.await.expect("looking for folders does not panic");
        for (id, from) in gone {
            let to = found.get(&id).filter(|to| linked.iter().all(|other| other.folder != raw(to)));
            match to {
                Some(to) if self.has_a_file_of(root, &from, to).await? => {
                    self.follow_folder(root, Moved { from, to: to.clone() }).await?;
                }
                // It is nowhere: whatever gets its number is another one.
                _ if is_all_seen => {
                    self.catalog.identify_folder(&key_of(root, &from), None).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Remembers which folders the albums of a root are linked to.
    pub(super) async fn remember_folders(&self, root: &Path) -> Result<(), CatalogError> {
        if self.settings.albums != AlbumRule::PerFolder {
            return Ok(());
        }
        let linked = self.catalog.linked_folders(&raw(root)).await?;
        let place = root.to_owned();
        let looking = tokio::task::spawn_blocking(move || {
            let now = |linked: &LinkedFolder| id_at(&place.join(path_of(&linked.folder))).ok().flatten();
            let seen = linked.into_iter().map(|linked| (now(&linked), linked));
            seen.filter(|(now, linked)| now.is_some() && *now != linked.id).collect::<Vec<_>>()
        });
        for (now, linked) in looking.await.expect("looking at folders does not panic") {
            self.catalog.identify_folder(&key_of(root, &path_of(&linked.folder)), now).await?;
        }
        Ok(())
    }

    /// Whether a file that was backed up from a folder lies in what may be that folder, as it was.
    async fn has_a_file_of(&self, root: &Path, from: &Path, to: &Path) -> Result<bool, CatalogError> {
        let mut known = Vec::new();
        let keep = |row: crate::catalog::AssetRow| known.push((path_of(&row.path), row.fingerprint));
        self.catalog.each_asset_of(&raw(root), from, Reach::Itself, keep).await?;
        let place = root.join(to);
        let looking = tokio::task::spawn_blocking(move || {
            known.into_iter().any(|(path, print)| {
                let there = path.file_name().map(|name| place.join(name).symlink_metadata());
                matches!(there, Some(Ok(now)) if now.is_file() && folder::fingerprint(&now) == print)
            })
        });
        Ok(looking.await.expect("looking at files does not panic"))
    }

    /// The mirror's name first: once the link is moved, nothing tells any more that it was not followed.
    async fn follow_folder(&self, root: &Path, Moved { from, to }: Moved) -> Result<(), AssetError> {
        let before = album_of(root, &from);
        let now = album_of(root, &to);
        if let Err(error) = self.follow_name(&before.key, &before.name, &now.name).await {
            if error.ends_the_run() || error.is_transient() {
                return Err(error);
            }
            tracing::debug!(%error, "the mirror of a folder that was renamed keeps its name");
        }
        self.catalog.move_link(&before.key, &now.key).await?;
        tracing::info!(from = %from.display(), to = %to.display(), "a folder was renamed, and keeps its album");
        Ok(())
    }
}

fn key_of(root: &Path, folder: &Path) -> DeviceAlbumKey {
    DeviceAlbumKey { root: raw(root), folder: raw(folder) }
}

/// The album of what lies in a folder.
fn album_of(root: &Path, folder: &Path) -> DeviceAlbum {
    AlbumRule::PerFolder.album_of(root, &folder.join("any"))
}

/// The linked folders that are not at their paths any more, by what they were on the disk.
fn gone_from(root: &Path, linked: &[LinkedFolder]) -> HashMap<FolderId, PathBuf> {
    let is_gone = |folder: &Path| {
        let there = root.join(folder);
        let looked = || there.symlink_metadata();
        !disks::asked().owes(&there)
            && matches!(looked(), Err(error) if error.kind() == io::ErrorKind::NotFound)
    };
    let gone = linked.iter().filter_map(|linked| Some((linked.id?, path_of(&linked.folder))));
    gone.filter(|(_, folder)| is_gone(folder)).collect()
}

/// Where these folders are now, as paths under the root, in the part of it that is looked at. One that is found twice is found nowhere.
fn find(root: &Path, scope: &Scope, wanted: &HashMap<FolderId, PathBuf>) -> HashMap<FolderId, PathBuf> {
    let mut found = HashMap::new();
    if wanted.is_empty() {
        return found;
    }
    let mut twice = Vec::new();
    for (start, reach) in scope.starts() {
        let start = root.join(start);
        let below = Some(&start).filter(|_| reach == Reach::Below).map(|start| tree::below(start, |_| true));
        let folders = below.into_iter().flatten().filter(|entry| entry.kind.is_dir()).map(|entry| entry.path);
        for folder in std::iter::once(start.clone()).chain(folders) {
            let Ok(Some(id)) = id_at(&folder) else { continue };
            let Ok(path) = folder.strip_prefix(root) else { continue };
            if wanted.contains_key(&id) && found.insert(id, path.to_owned()).is_some() {
                twice.push(id);
            }
        }
    }
    found.retain(|id, _| !twice.contains(id));
    found
}

/// What a folder is on the disk; none where the system or the disk does not tell, or it is no folder.
#[cfg(unix)]
fn id_at(path: &Path) -> io::Result<Option<FolderId>> {
    use std::os::unix::fs::MetadataExt as _;
    if disks::asked().owes(path) {
        return Ok(None);
    }
    let metadata = path.symlink_metadata()?;
    Ok(metadata.is_dir().then(|| FolderId { device: metadata.dev(), inode: metadata.ino() }))
}

#[cfg(not(unix))]
fn id_at(_: &Path) -> io::Result<Option<FolderId>> {
    Ok(None)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn folders_are_found_under_their_new_names_and_only_where_they_are_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for path in ["2019/Paris", "2019/Rome", "Ski"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        let linked: Vec<LinkedFolder> = ["", "2019/Paris", "2019/Rome", "Ski"]
            .map(|path| LinkedFolder { folder: path.into(), id: id_at(&root.join(path)).unwrap() })
            .into();
        assert!(gone_from(&root, &linked).is_empty());
        fs::rename(root.join("2019"), root.join("2020")).unwrap();
        fs::rename(root.join("Ski"), root.join("2020/Snow")).unwrap();
        fs::create_dir_all(root.join("2019/Rome")).unwrap();
        let gone = gone_from(&root, &linked);
        let paths = |found: &HashMap<FolderId, PathBuf>| {
            let mut paths: Vec<_> = found.values().cloned().collect();
            paths.sort();
            paths
        };
        assert_eq!(
            paths(&gone),
            [Path::new("2019/Paris"), Path::new("Ski")],
            "another one is called Rome now"
        );
        let found = find(&root, &Scope::Everything, &gone);
        assert_eq!(paths(&found), [Path::new("2020/Paris"), Path::new("2020/Snow")]);
        let only = |path: &str, reach| Scope::Folders([(path.into(), reach)].into());
        assert_eq!(paths(&find(&root, &only("2020/Snow", Reach::Itself), &gone)), [Path::new("2020/Snow")]);
        assert!(find(&root, &only("2019", Reach::Below), &gone).is_empty());
        // A link to a folder is not that folder.
        fs::remove_dir(root.join("2020/Snow")).unwrap();
        std::os::unix::fs::symlink(root.join("2020/Paris"), root.join("Link")).unwrap();
        assert_eq!(paths(&find(&root, &Scope::Everything, &gone)), [Path::new("2020/Paris")]);
    }
}
