//! “Why is this picture not backed up?”, answered in one sentence from the catalog, one `stat`, and a look at a file that was not seen yet.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use darkslide_media::dates::from_micros;
use darkslide_media::names::{ignored_file, ignored_folder};
use darkslide_protocol::FileId;

use super::rules::explanation::read_back;
use crate::catalog::{AssetRow, AssetState, Catalog, CatalogError, FileRow};
use crate::library::folder::fingerprint;
use crate::library::selection::Exclusions;
use crate::library::settle::{self, Settling};
use crate::library::{PassReason, path_of, raw};

/// What is said of a path at which there is nothing, and of which nothing is known.
pub const NOTHING_THERE: &str = "There is no such file, or it may not be read.";

/// The sentence. Asks no server: it tells what the last run found, and what the next one will do.
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
    let next = Next::of(catalog, &path).await?;
    // Folders above a root decide nothing: somebody chose the root.
    let mut below = path.file_name().map_or(path.as_path(), Path::new).to_owned();
    for root in catalog.asset_roots().await? {
        let Ok(relative) = path.strip_prefix(path_of(&root)) else { continue };
        relative.clone_into(&mut below);
        if let Some(row) = catalog.asset(&root, &raw(relative)).await? {
            return of_row(catalog, &path, relative, &row, &next).await;
        }
    }
    Ok(unseen(&below, &next))
}

/// What becomes of a file by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Next {
    /// The next run looks at it.
    Run,
    /// It has not settled.
    Settles(settle::Unsettled),
    /// Its folder is paused; the command that goes on.
    Paused(&'static str),
    /// A pattern of its watch folder.
    Excluded(String),
    /// Nothing: nobody looks after its folder.
    Nothing,
}

impl Next {
    async fn of(catalog: &Catalog, path: &Path) -> Result<Self, CatalogError> {
        let mut paused = None;
        for folder in catalog.watch_folders().await? {
            let Ok(below) = path.strip_prefix(&folder.path) else { continue };
            // Patterns were read when they were added.
            let exclude = Exclusions::parse(&folder.exclude).unwrap_or_default();
            if let Some(pattern) = exclude.matching(below) {
                return Ok(Self::Excluded(pattern.to_owned()));
            }
            paused = Some(folder.paused.then_some("darkslide watch resume"));
        }
        if let Some(row) = catalog.sync_folders().await?.iter().find(|row| path.starts_with(&row.folder.path))
        {
            paused = Some(row.paused.then_some("darkslide sync resume"));
        }
        Ok(match paused {
            None => Self::Nothing,
            Some(Some(resume)) => Self::Paused(resume),
            Some(None) => {
                let looked = settle::look(path, Settling::default(), SystemTime::now());
                looked.ok().flatten().map_or(Self::Run, |wait| Self::Settles(wait.reason))
            }
        })
    }

    /// Of something that is to be backed up, why it waits or what it takes; none where it goes by itself now.
    fn hindrance(&self) -> Option<String> {
        match self {
            Self::Run => None,
            Self::Settles(reason) => Some(reason.to_string()),
            Self::Paused(resume) => Some(format!("its folder is paused; `{resume}` goes on")),
            Self::Excluded(pattern) => Some(PassReason::Excluded(pattern.clone()).to_string()),
            Self::Nothing => Some("it is in no watch or sync folder; `darkslide backup` sends it".to_owned()),
        }
    }

    /// Whether it goes one day without anybody doing anything.
    fn is_under_way(&self) -> bool {
        matches!(self, Self::Run | Self::Settles(_))
    }
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
    next: &Next,
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
        AssetState::Blocked => format!("Blocked on {day}: {reason}. {}", tries_again(next)),
        AssetState::NoRoom => {
            format!("Waiting: {reason} for it; free some space in the vault, or ask its owner for more.")
        }
        _ if changed => changed_since(&day, next),
        AssetState::NotMedia => format!("Not backed up: {reason}."),
        AssetState::Skipped => format!("Skipped: {reason}."),
        AssetState::BackedUp => backed_up(catalog, row, &day).await?,
        // It came back to where it was: the next run looks what the vault has of it.
        AssetState::Freed => "Waiting: it was removed to free space, and is back.".to_owned(),
    })
}

fn tries_again(next: &Next) -> String {
    match next.hindrance() {
        Some(hindrance) if !next.is_under_way() => format!("It is not tried again: {hindrance}."),
        _ => "The next backup tries again.".to_owned(),
    }
}

fn changed_since(day: &str, next: &Next) -> String {
    match next.hindrance() {
        None => format!("Waiting: it changed since {day}; the next backup reads it again."),
        Some(hindrance) if next.is_under_way() => format!("Waiting: it changed since {day}; {hindrance}."),
        Some(hindrance) => format!("Not backed up as it is now: it changed since {day}, and {hindrance}."),
    }
}

/// Of a file that is not there it may be known why, and what the vault has of it: also where its whole disk is away.
async fn absent(catalog: &Catalog, path: &Path) -> Result<String, CatalogError> {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    let real = folder.zip(path.file_name()).map(|(folder, name)| folder.join(name));
    let Some(path) = real.or_else(|| std::path::absolute(path).ok()) else {
        return Ok(NOTHING_THERE.to_owned());
    };
    for root in catalog.asset_roots().await? {
        let Ok(relative) = path.strip_prefix(path_of(&root)) else { continue };
        let Some(row) = catalog.asset(&root, &raw(relative)).await? else { continue };
        let day = from_micros(row.last_seen).map(|instant| instant.date().to_string()).unwrap_or_default();
        let why = match row.state {
            AssetState::Freed => "Removed from this device to free space.",
            AssetState::BackedUp if path_of(&root).exists() => "It is not on this device any more.",
            AssetState::BackedUp => "Its folder cannot be reached now.",
            _ => continue,
        };
        return Ok(format!("{why} {}", backed_up(catalog, &row, &day).await?));
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

fn unseen(path: &Path, next: &Next) -> String {
    let folders = path.ancestors().skip(1).filter_map(Path::file_name);
    let ignored =
        path.file_name().and_then(ignored_file).or_else(|| folders.into_iter().find_map(ignored_folder));
    match (ignored, next.hindrance()) {
        (Some(reason), _) => format!("Not backed up: {reason}."),
        (None, None) => "Waiting: no backup has seen it yet.".to_owned(),
        (None, Some(hindrance)) if next.is_under_way() => format!("Waiting: {hindrance}."),
        (None, Some(hindrance)) => format!("Not backed up: {hindrance}."),
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
        assert_eq!(
            sentence,
            "Blocked on 1970-01-01: permission denied. It is not tried again: it is in no watch or sync folder; `darkslide backup` sends it."
        );
        assert!(explain(&catalog, &root).await.unwrap().contains("folder"));
    }

    /// What is said of a file that no backup has seen, and of one that changed, is what will become of it.
    #[test]
    fn nothing_is_promised_that_will_not_happen() {
        let path = Path::new("a.jpg");
        for (next, unseen_is, changed_is) in [
            (
                Next::Run,
                "Waiting: no backup has seen it yet.",
                "Waiting: it changed since then; the next backup reads it again.",
            ),
            (
                Next::Settles(settle::Unsettled::Incomplete),
                "Waiting: it is not complete: its last part is missing so far.",
                "Waiting: it changed since then; it is not complete: its last part is missing so far.",
            ),
            (
                Next::Paused("darkslide watch resume"),
                "Not backed up: its folder is paused; `darkslide watch resume` goes on.",
                "Not backed up as it is now: it changed since then, and its folder is paused; `darkslide watch resume` goes on.",
            ),
            (
                Next::Nothing,
                "Not backed up: it is in no watch or sync folder; `darkslide backup` sends it.",
                "Not backed up as it is now: it changed since then, and it is in no watch or sync folder; `darkslide backup` sends it.",
            ),
        ] {
            assert_eq!(unseen(path, &next), unseen_is);
            assert_eq!(changed_since("then", &next), changed_is);
        }
        assert!(unseen(Path::new(".hidden/a.jpg"), &Next::Run).starts_with("Not backed up: "));
        let excluded = Next::Excluded("*.jpg".to_owned());
        assert!(unseen(path, &excluded).contains("*.jpg"), "{}", unseen(path, &excluded));
    }

    #[tokio::test]
    async fn the_folder_that_looks_after_a_file_decides() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let catalog = Catalog::open(&root.join("catalog")).await.unwrap();
        let watched = root.join("watched");
        std::fs::create_dir(&watched).unwrap();
        for path in ["beside.jpg", "watched/a.jpg", "watched/half.jpg", "watched/b.png"] {
            std::fs::write(root.join(path), b"\xff\xd8\xff\xe0 and no end").unwrap();
        }
        let (albums, exclude) = (crate::library::AlbumRule::PerRoot, vec!["*.png".to_owned()]);
        let new = crate::catalog::NewWatchFolder { path: watched, albums, exclude };
        catalog.add_watch_folder(&new, 0).await.unwrap();
        let id = catalog.watch_folders().await.unwrap()[0].id;
        let next = async |path: &str| Next::of(&catalog, &root.join(path)).await.unwrap();
        assert_eq!(next("beside.jpg").await, Next::Nothing);
        assert!(matches!(next("watched/half.jpg").await, Next::Settles(_)));
        assert_eq!(next("watched/b.png").await, Next::Excluded("*.png".to_owned()));
        catalog.pause_watch_folder(id, true).await.unwrap();
        assert_eq!(next("watched/a.jpg").await, Next::Paused("darkslide watch resume"));
    }
}
