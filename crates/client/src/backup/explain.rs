//! “Why is this picture not backed up?”, answered in one sentence from the catalog and one `stat`.

use std::path::{Path, PathBuf};

use darkslide_media::dates::from_micros;
use darkslide_media::names::{ignored_file, ignored_folder};
use darkslide_protocol::FileId;

use super::rules::explanation::read_back;
use crate::catalog::{AssetRow, AssetState, Catalog, CatalogError, FileRow};
use crate::library::folder::fingerprint;
use crate::library::selection::Exclusions;
use crate::library::{PassReason, path_of, raw};

/// What is said of a path at which there is nothing, and of which nothing is known.
pub const NOTHING_THERE: &str = "There is no such file, or it may not be read.";

/// The sentence. Asks no server: it tells what the last run found.
pub async fn explain(catalog: &Catalog, path: &Path) -> Result<String, CatalogError> {
    let Some(path) = located(path) else {
        return absent(catalog, path).await;
    };
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            return Ok("It is a folder: name a picture in it.".to_owned());
        }
        Ok(metadata) if !metadata.is_file() => return Ok("Not backed up: it is not a file.".to_owned()),
        // One that may not be looked at may still be known.
        _ => {}
    }
    // Folders above a root decide nothing: somebody chose the root.
    let mut below = path.file_name().map_or(path.as_path(), Path::new).to_owned();
    for root in catalog.asset_roots().await? {
        let Ok(relative) = path.strip_prefix(path_of(&root)) else { continue };
        relative.clone_into(&mut below);
        if let Some(row) = catalog.asset(&root, &raw(relative)).await? {
            return of_row(catalog, &path, relative, &row).await;
        }
    }
    Ok(match excluded(catalog, &path).await? {
        Some(pattern) => format!("Not backed up: {}.", PassReason::Excluded(pattern)),
        None => unseen(&below),
    })
}

/// The same for a file of the vault, by its number. `None` where the catalog knows none.
pub async fn explain_file(catalog: &Catalog, file: FileId) -> Result<Option<String>, CatalogError> {
    let memberships = catalog.memberships(file).await?;
    let Some(first) = memberships.first() else { return Ok(None) };
    let title = first.title.as_deref().unwrap_or("a file without a name");
    let albums = albums_of(catalog, &memberships).await?;
    let place = if albums.is_empty() {
        let day = catalog.deleted_at(file).await?.and_then(from_micros).map(time::OffsetDateTime::date);
        day.map_or_else(
            || "deleted from the vault".to_owned(),
            |day| format!("deleted from the vault on {day}"),
        )
    } else {
        format!("in the vault, in {}", albums.join(", "))
    };
    let here = catalog.assets_of_file(file).await?;
    let paths: Vec<String> = here.iter().map(|row| row.whole_path().display().to_string()).collect();
    let here = if paths.is_empty() {
        "No copy of it is known on this device".to_owned()
    } else {
        format!("On this device: {}", paths.join(", "))
    };
    Ok(Some(format!("{title}: {place}. {here}.")))
}

/// The names of the live albums that a file is in.
async fn albums_of(catalog: &Catalog, memberships: &[FileRow]) -> Result<Vec<String>, CatalogError> {
    let mut albums = Vec::new();
    for membership in memberships.iter().filter(|membership| !membership.deleted) {
        let collection = catalog.collection(membership.collection).await?;
        albums.extend(collection.filter(|collection| !collection.deleted).map(|collection| collection.name));
    }
    Ok(albums)
}

/// The pattern of a watch folder that leaves this file alone.
async fn excluded(catalog: &Catalog, path: &Path) -> Result<Option<String>, CatalogError> {
    for folder in catalog.watch_folders().await? {
        let Ok(below) = path.strip_prefix(&folder.path) else { continue };
        // Patterns were read when they were added.
        let exclude = Exclusions::parse(&folder.exclude).unwrap_or_default();
        return Ok(exclude.matching(below).map(str::to_owned));
    }
    Ok(None)
}

/// The path without links; of what lies in an archive, the archive's, and that in the archive.
pub fn located(path: &Path) -> Option<PathBuf> {
    let in_archive = || {
        let archive = path.ancestors().skip(1).find(|above| above.is_file())?;
        Some(archive.canonicalize().ok()?.join(path.strip_prefix(archive).ok()?))
    };
    path.canonicalize().ok().or_else(in_archive)
}

async fn of_row(
    catalog: &Catalog,
    path: &Path,
    relative: &Path,
    row: &AssetRow,
) -> Result<String, CatalogError> {
    let known = match &row.motion {
        Some((video, fingerprint)) if *video == raw(relative) => fingerprint,
        _ => &row.fingerprint,
    };
    let day = from_micros(row.last_seen).map(|instant| instant.date().to_string()).unwrap_or_default();
    let reason = row.reason.as_deref().unwrap_or("no reason was kept");
    let changed = path.metadata().is_ok_and(|metadata| fingerprint(&metadata) != *known);
    Ok(match row.state {
        // Of a file that could not be read there may be no fingerprint; changed or not, it is read again.
        AssetState::Blocked => format!("Blocked on {day}: {reason}. The next backup tries again."),
        AssetState::NoRoom => {
            format!("Waiting: {reason} for it; free some space in the vault, or ask its owner for more.")
        }
        _ if changed => format!("Waiting: it changed since {day}; the next backup reads it again."),
        AssetState::NotMedia => format!("Not backed up: {reason}."),
        AssetState::Skipped => format!("Skipped: {reason}."),
        AssetState::BackedUp => backed_up(catalog, row, &day).await?,
        // It came back to where it was: the next run looks what the vault has of it.
        AssetState::Freed => "Waiting: it was removed to free space, and is back.".to_owned(),
    })
}

/// Of a file that is not there it may be known why.
async fn absent(catalog: &Catalog, path: &Path) -> Result<String, CatalogError> {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    if let (Some(folder), Some(name)) = (folder, path.file_name()) {
        let path = folder.join(name);
        for root in catalog.asset_roots().await? {
            let Ok(relative) = path.strip_prefix(path_of(&root)) else { continue };
            let row = catalog.asset(&root, &raw(relative)).await?;
            if let Some(row) = row.filter(|row| row.state == AssetState::Freed) {
                let safe = backed_up(catalog, &row, "an earlier day").await?;
                return Ok(format!("Removed from this device to free space. {safe}"));
            }
        }
    }
    Ok(NOTHING_THERE.to_owned())
}

async fn backed_up(catalog: &Catalog, row: &AssetRow, day: &str) -> Result<String, CatalogError> {
    let Some(file) = row.file else { return Ok(format!("Backed up on {day}.")) };
    let albums = albums_of(catalog, &catalog.memberships(file).await?).await?;
    if albums.is_empty() {
        return Ok(format!("Backed up on {day} as file {file}, and deleted from the vault since."));
    }
    let receipt = read_back(catalog.receipt(file).await?);
    Ok(format!("Backed up on {day} as file {file}, in {}{receipt}.", albums.join(", ")))
}

fn unseen(path: &Path) -> String {
    let folders = path.ancestors().skip(1).filter_map(Path::file_name);
    let ignored =
        path.file_name().and_then(ignored_file).or_else(|| folders.into_iter().find_map(ignored_folder));
    match ignored {
        Some(reason) => format!("Not backed up: {reason}."),
        None => "Waiting: no backup has seen it yet.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{DeviceAlbumKey, Fingerprint};

    #[tokio::test]
    async fn what_could_not_be_read_is_explained_by_that() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::write(root.join("a.jpg"), b"x").unwrap();
        let catalog = Catalog::open(&root.join("catalog")).await.unwrap();
        let row = AssetRow {
            root: raw(&root),
            path: raw(Path::new("a.jpg")),
            fingerprint: Fingerprint { size: 0, modified_ns: 0, inode: 0 },
            motion: None,
            album: DeviceAlbumKey { root: raw(&root), folder: Vec::new() },
            content_hash: None,
            file: None,
            state: AssetState::Blocked,
            reason: Some("permission denied".to_owned()),
            first_seen: 0,
            last_seen: 0,
        };
        catalog.put_asset(&row).await.unwrap();
        let sentence = explain(&catalog, &root.join("a.jpg")).await.unwrap();
        assert_eq!(sentence, "Blocked on 1970-01-01: permission denied. The next backup tries again.");
        assert!(explain(&catalog, &root).await.unwrap().contains("folder"));
    }
}
