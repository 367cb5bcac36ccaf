//! “Why is this picture not backed up?”, answered from the catalog, one `stat`, what the agent says of itself, and a look at a file that was
//! not seen yet. The answer is a [value](Standing).

mod file;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use darkslide_media::file_type::{FileType, HEAD_LEN, NotMedia, classify};
use darkslide_media::names::{ignored_file, ignored_folder};
use darkslide_media::probe::micros_of;
use darkslide_protocol::FileId;

pub use file::explain_file;

use super::again::row_paused_until;
use super::plan::of_video;
use super::standing::{Absence, Agent, Cause, Kept, KeptAs, Next, Standing};
use crate::catalog::{
    AssetRow, AssetState, Catalog, CatalogError, FileRow, Part, SyncFolderRow, WatchFolderRow, still_of,
    video_of,
};
use crate::folder::marker;
use crate::library::folder::fingerprint;
use crate::library::selection::Exclusions;
use crate::library::settle::{self, Settling};
use crate::library::{ours, path_of, raw, text_of};
use crate::watch::disks;
use crate::watch::health::{Health, Offline, examine};

/// How a file stands. Asks no server: it tells what the last run found, and what will become of the file with the agent as it is.
pub async fn explain(catalog: &Catalog, asked: &Path, agent: &Agent) -> Result<Standing, CatalogError> {
    if let Some(path) = on_silent_disk(asked).await {
        return out_of_sight(catalog, &path).await;
    }
    let mut keepers = Keepers::read(catalog, agent).await?;
    let Some(path) = located(asked) else {
        return absent(&mut keepers, asked).await;
    };
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => return Ok(Standing::Folder),
        Ok(metadata) if !metadata.is_file() => return Ok(Standing::left_alone("it is not a file")),
        // One that may not be looked at may still be known.
        _ => {}
    }
    // Before anything else: it is not even opened.
    if let Some(reason) = ours::own_file(&path) {
        return Ok(Standing::left_alone(reason.to_string()));
    }
    let next = keepers.next(&path).await?;
    // Folders above a root decide nothing: somebody chose the root.
    let mut below = path.file_name().map_or(path.as_path(), Path::new).to_owned();
    for (relative, row) in known_at(catalog, &path).await? {
        if let Some(row) = row {
            return of_row(catalog, &path, &relative, &row, next).await;
        }
        below = relative;
    }
    if next == Next::Nothing && keepers.is_link_in_a_folder(asked) {
        return Ok(Standing::left_alone("it is a link, and links are not followed"));
    }
    Ok(unseen(&path, &below, next))
}

/// The file of the vault that was backed up from a path, whether it still lies there or not.
pub async fn file_at(catalog: &Catalog, path: &Path) -> Result<Option<FileId>, CatalogError> {
    let whole = || located(path).or_else(|| std::path::absolute(path).ok());
    let Some(path) = on_silent_disk(path).await.or_else(whole) else { return Ok(None) };
    let known = known_at(catalog, &path).await?;
    Ok(known.into_iter().find_map(|(_, row)| row).and_then(|row| row.file))
}

/// How what could not be backed up stands, in the order of the paths. What is gone since is left out.
pub async fn explain_blocked(
    catalog: &Catalog,
    agent: &Agent,
) -> Result<Vec<(PathBuf, Standing)>, CatalogError> {
    let mut keepers = Keepers::read(catalog, agent).await?;
    let mut told = Vec::new();
    for row in catalog.blocked_assets().await? {
        let path = row.whole_path();
        if on_silent_disk(&path).await.is_some() {
            let (reason, next) = (Offline::Silent.to_string(), Next::Offline(Offline::Silent.to_string()));
            told.push((path, Standing::Blocked { at: row.last_seen, reason, until: None, next }));
            continue;
        }
        if path.symlink_metadata().is_ok() {
            let next = keepers.next(&path).await?;
            let standing = of_row(catalog, &path, &path_of(&row.path), &row, next).await?;
            told.push((path, standing));
        }
    }
    Ok(told)
}

/// Where a path leads that is on a network disk that does not answer.
async fn on_silent_disk(asked: &Path) -> Option<PathBuf> {
    disks::asked().silent_at(asked, disks::TO_TELL).await.map(|silent| silent.path)
}

/// What is known of a path at which nobody can look.
async fn out_of_sight(catalog: &Catalog, path: &Path) -> Result<Standing, CatalogError> {
    let why = Offline::Silent.to_string();
    let known = known_at(catalog, path).await?.into_iter().filter_map(|(_, row)| row);
    for row in known.filter(AssetRow::is_backed_up) {
        if let Some(kept) = kept(catalog, &row).await? {
            return Ok(Standing::Absent { why: Absence::Offline(why), kept });
        }
    }
    Ok(Standing::Pending { cause: Cause::New, next: Next::Offline(why) })
}

/// For each root that a path lies under, the path below it, and what is known of that.
async fn known_at(catalog: &Catalog, path: &Path) -> Result<Vec<(PathBuf, Option<AssetRow>)>, CatalogError> {
    let mut known = Vec::new();
    for root in catalog.asset_roots().await? {
        if let Ok(relative) = path.strip_prefix(path_of(&root)) {
            known.push((relative.to_owned(), catalog.asset(&root, &raw(relative)).await?));
        }
    }
    Ok(known)
}

/// Who looks after files: folders and the agent, read once for all that is asked.
struct Keepers<'a> {
    catalog: &'a Catalog,
    agent: &'a Agent,
    /// With what each excludes.
    watched: Vec<(WatchFolderRow, Exclusions)>,
    synced: Vec<SyncFolderRow>,
    /// Of the watch folders that were looked at, why they are offline, if they are.
    offline: HashMap<i64, Option<Offline>>,
}

impl<'a> Keepers<'a> {
    async fn read(catalog: &'a Catalog, agent: &'a Agent) -> Result<Self, CatalogError> {
        let watched = catalog.watch_folders().await?.into_iter().map(|folder| {
            // Where they cannot be read, the folder is offline.
            let exclude = Exclusions::parse(&folder.exclude).unwrap_or_default();
            (folder, exclude)
        });
        let (watched, synced) = (watched.collect(), catalog.sync_folders().await?);
        Ok(Self { catalog, agent, watched, synced, offline: HashMap::new() })
    }

    /// What becomes of a file by itself.
    async fn next(&mut self, path: &Path) -> Result<Next, CatalogError> {
        let mut resume = None;
        for (folder, exclude) in &self.watched {
            let Ok(below) = path.strip_prefix(&folder.path) else { continue };
            if let Some(pattern) = exclude.matching(below) {
                return Ok(Next::Excluded(pattern.to_owned()));
            }
            resume = Some(folder.paused.then_some("darkslide watch resume"));
            if let Some(why) = offline(self.catalog, folder, &mut self.offline).await? {
                return Ok(Next::Offline(why.to_string()));
            }
        }
        if let Some(row) = self.synced.iter().find(|row| path.starts_with(&row.folder.path)) {
            resume = Some(row.paused.then_some("darkslide sync resume"));
        }
        Ok(match (resume, self.agent.next()) {
            (None, _) => Next::Nothing,
            (Some(Some(resume)), _) => Next::Paused(resume),
            (Some(None), next @ (Next::Run | Next::Retries(_))) => {
                let looked = settle::look(path, Settling::default(), SystemTime::now()).ok().flatten();
                looked.map_or(next, |wait| Next::Settles(wait.reason))
            }
            (Some(None), next) => next,
        })
    }

    /// Whether a path is a link that lies in a watch folder or a sync folder.
    fn is_link_in_a_folder(&self, path: &Path) -> bool {
        let (true, Some(folder)) = (path.is_symlink(), path.parent()) else { return false };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let Ok(folder) = folder.canonicalize() else { return false };
        let watched = self.watched.iter().map(|(row, _)| &row.path);
        watched.chain(self.synced.iter().map(|row| &row.folder.path)).any(|root| folder.starts_with(root))
    }

    /// Whether a whole root is away: then nothing in it is gone.
    async fn away(&mut self, root: &Path) -> Result<Option<Absence>, CatalogError> {
        for (folder, _) in self.watched.iter().filter(|(folder, _)| root.starts_with(&folder.path)) {
            if let Some(why) = offline(self.catalog, folder, &mut self.offline).await? {
                return Ok(Some(Absence::Offline(why.to_string())));
            }
        }
        Ok((!root.exists()).then_some(Absence::Unreachable))
    }
}

/// Why a watch folder is offline, if it is; looked at once.
async fn offline<'k>(
    catalog: &Catalog,
    folder: &WatchFolderRow,
    known: &'k mut HashMap<i64, Option<Offline>>,
) -> Result<Option<&'k Offline>, CatalogError> {
    let health = match known.entry(folder.id) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(unknown) => unknown.insert(match examine(catalog, folder).await?.health {
            Health::Offline(why) => Some(why),
            Health::Online { .. } => None,
        }),
    };
    Ok(health.as_ref())
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
    next: Next,
) -> Result<Standing, CatalogError> {
    let known = match &row.motion {
        Some((video, fingerprint)) if *video == raw(relative) => fingerprint,
        _ => &row.fingerprint,
    };
    let at = row.last_seen;
    let reason = row.reason.clone().unwrap_or_else(|| "no reason was kept".to_owned());
    let is_video = row.motion.as_ref().is_some_and(|(video, _)| *video == raw(relative));
    let changed = path.metadata().is_ok_and(|metadata| fingerprint(&metadata) != *known);
    let pending = |cause| Standing::Pending { cause, next: next.clone() };
    Ok(match row.state {
        // Of a file that could not be read there may be no fingerprint; changed or not, it is read again.
        AssetState::Blocked => {
            let now = micros_of(SystemTime::now());
            let until = row_paused_until(row, now).filter(|_| !changed);
            Standing::Blocked { at, reason, until, next }
        }
        AssetState::NoRoom => pending(Cause::NoRoom { reason, bytes: row.fingerprint.size }),
        _ if changed => pending(Cause::Changed { since: at }),
        AssetState::NotMedia => Standing::left_alone(reason),
        AssetState::Skipped if is_video => {
            let still = path_of(&row.path);
            Standing::Skipped(of_video(&reason, &text_of(still.file_name().unwrap_or_default())))
        }
        AssetState::Skipped => Standing::Skipped(reason),
        AssetState::BackedUp => match kept(catalog, row).await? {
            Some(kept @ Kept { how: KeptAs::Damaged(_), file: Some(file), .. }) => {
                match catalog.damage_of(file).await?.filter(|known| known.is_here) {
                    Some(known) => pending(Cause::Damaged { found: known.found }),
                    None => Standing::Safe { kept, next },
                }
            }
            Some(kept) => Standing::Safe { kept, next },
            None => pending(Cause::Displaced),
        },
        // It came back to where it was: the next run looks what the vault has of it.
        AssetState::Freed => pending(Cause::Back),
    })
}

/// Of a file that is not there it may be known why, and what the vault has of it: also where its whole disk is away.
async fn absent(keepers: &mut Keepers<'_>, path: &Path) -> Result<Standing, CatalogError> {
    let Some(path) = std::path::absolute(path).ok().map(|path| with_real_folders(&path)) else {
        return Ok(Standing::NothingThere);
    };
    // What the system does not let anybody look at is not gone.
    let denied = path.symlink_metadata().err().filter(|error| error.kind() == ErrorKind::PermissionDenied);
    let denied = denied.map(|error| marker::unreadable_for_backup(&path, &error));
    for row in known_at(keepers.catalog, &path).await?.into_iter().filter_map(|(_, row)| row) {
        let why = match row.state {
            AssetState::Freed => Absence::Freed,
            AssetState::BackedUp => match &denied {
                Some(why) => Absence::Unreadable(why.clone()),
                None => keepers.away(&path_of(&row.root)).await?.unwrap_or(Absence::Gone),
            },
            _ => continue,
        };
        let kept = kept(keepers.catalog, &row).await?;
        return Ok(kept.map_or(Standing::NothingThere, |kept| Standing::Absent { why, kept }));
    }
    let Some(reason) = denied else { return Ok(Standing::NothingThere) };
    let next = keepers.next(&path).await?;
    Ok(Standing::Blocked { at: micros_of(SystemTime::now()), reason, until: None, next })
}

/// A whole path with the links resolved of those of its folders that are there and may be looked at.
fn with_real_folders(path: &Path) -> PathBuf {
    let real = |folder: &Path| Some(folder.canonicalize().ok()?.join(path.strip_prefix(folder).ok()?));
    path.ancestors().skip(1).find_map(real).unwrap_or_else(|| path.to_owned())
}

/// What the vault has of a file; none where it has something else now, and nobody looked whether it still has this.
async fn kept(catalog: &Catalog, row: &AssetRow) -> Result<Option<Kept>, CatalogError> {
    let kept = |file, receipt, how| Some(Kept { at: row.last_seen, file, receipt, how });
    let Some(file) = row.file else { return Ok(kept(None, None, KeptAs::It(Vec::new()))) };
    let memberships = catalog.memberships(file).await?;
    let albums = albums_of(catalog, &memberships).await?;
    if albums.is_empty() {
        return Ok(kept(Some(file), None, KeptAs::Deleted));
    }
    let mut live = memberships.iter().filter(|membership| !membership.deleted);
    // A half that has lost the other is in the Live Photo that it was.
    let has = |stored| [Some(stored), Some(still_of(&stored)), video_of(&stored)].contains(&row.content_hash);
    if live.any(|membership| membership.content_hash.is_some_and(has)) {
        let known = catalog.damage_of(file).await?;
        if known.is_some_and(|known| known.part == Part::Original) {
            return Ok(kept(Some(file), None, KeptAs::Damaged(albums)));
        }
        return Ok(kept(Some(file), catalog.receipt(file).await?, KeptAs::It(albums)));
    }
    let Some(content) = &row.content_hash else { return Ok(None) };
    Ok(if catalog.is_replaced_content(file, content).await? {
        kept(Some(file), None, KeptAs::Replaced(albums))
    } else {
        None
    })
}

/// Of a whole path of which nothing is known, and which lies at `below` under its root.
fn unseen(path: &Path, below: &Path, next: Next) -> Standing {
    let root = path.ancestors().nth(below.components().count()).unwrap_or(path);
    let folders = below.ancestors().skip(1).filter_map(Path::file_name);
    let ignored =
        below.file_name().and_then(ignored_file).or_else(|| folders.into_iter().find_map(ignored_folder));
    let ignored = ignored.map(|ignored| ignored.to_string());
    let ours = || ours::found_at(root, below).map(|ours| ours.to_string());
    // What is being written may have no beginning yet.
    let not_media = || Some(not_media(path)?.to_string()).filter(|_| !matches!(next, Next::Settles(_)));
    match ignored.or_else(ours).or_else(not_media) {
        Some(reason) => Standing::left_alone(reason),
        None => Standing::Pending { cause: Cause::New, next },
    }
}

/// Why the file at a path is no picture, if it is none; nothing of what cannot be read. Blocks.
fn not_media(path: &Path) -> Option<NotMedia> {
    let mut head = Vec::with_capacity(HEAD_LEN);
    File::open(path).ok()?.take(HEAD_LEN as u64).read_to_end(&mut head).ok()?;
    match classify(path.file_name()?, &head) {
        FileType::NotMedia(reason) => Some(reason),
        FileType::Media(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{DeviceAlbumKey, Failing, Fingerprint};

    async fn scene() -> (tempfile::TempDir, PathBuf, Catalog) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let catalog = Catalog::open(&root.join("catalog")).await.unwrap();
        (folder, root, catalog)
    }

    fn row(root: &Path, path: &str, state: AssetState) -> AssetRow {
        AssetRow {
            root: raw(root),
            path: raw(Path::new(path)),
            fingerprint: Fingerprint { size: 0, modified_ns: 0, inode: 0 },
            motion: None,
            album: DeviceAlbumKey { root: raw(root), folder: Vec::new() },
            content_hash: None,
            file: None,
            state,
            reason: Some("permission denied".to_owned()),
            first_seen: 0,
            last_seen: 0,
            failing: None,
        }
    }

    async fn watched(catalog: &Catalog, path: PathBuf) -> i64 {
        let (albums, exclude) = (crate::library::AlbumRule::PerRoot, vec!["*.png".to_owned()]);
        let new = crate::catalog::NewWatchFolder { path, albums, exclude };
        catalog.add_watch_folder(&new, 0).await.unwrap();
        catalog.watch_folders().await.unwrap()[0].id
    }

    #[tokio::test]
    async fn what_could_not_be_read_is_explained_by_that() {
        let (_folder, root, catalog) = scene().await;
        std::fs::write(root.join("a.jpg"), b"x").unwrap();
        catalog.put_asset(&row(&root, "a.jpg", AssetState::Blocked)).await.unwrap();
        let told = explain(&catalog, &root.join("a.jpg"), &Agent::Works).await.unwrap();
        assert_eq!(
            told.to_string(),
            "Blocked on 1970-01-01: permission denied. It is not tried again by itself: it is in no watch or sync folder; `darkslide backup` sends it."
        );
        // What would fail again has its pause, which a change ends.
        let now = micros_of(SystemTime::now());
        let failed = AssetRow {
            fingerprint: fingerprint(&root.join("a.jpg").metadata().unwrap()),
            failing: Some(Failing { since: now, last: now }),
            ..row(&root, "a.jpg", AssetState::Blocked)
        };
        catalog.put_asset(&failed).await.unwrap();
        let until = async || {
            let told = explain(&catalog, &root.join("a.jpg"), &Agent::Works).await.unwrap();
            let Standing::Blocked { until, .. } = told else { panic!("{told}") };
            until
        };
        assert_eq!(until().await, Some(now + 900_000_000));
        std::fs::write(root.join("a.jpg"), b"xy").unwrap();
        assert_eq!(until().await, None);
        catalog.put_asset(&row(&root, "a.jpg", AssetState::Blocked)).await.unwrap();
        // What is told of all that is blocked is the same.
        let all = explain_blocked(&catalog, &Agent::Works).await.unwrap();
        assert_eq!(all, [(root.join("a.jpg"), told)]);
        assert_eq!(explain(&catalog, &root, &Agent::Works).await.unwrap(), Standing::Folder);
    }

    /// Nobody is told to send what is left alone.
    #[tokio::test]
    async fn what_is_no_picture_is_left_alone_before_any_backup_has_seen_it() {
        let (_folder, root, catalog) = scene().await;
        for (name, bytes, is_picture) in [
            ("notes.txt", &b"words"[..], false),
            ("all.zip", b"PK\x03\x04 and so on", false),
            ("a.jpg", b"\xff\xd8\xff\xe0 and no end", true),
        ] {
            std::fs::write(root.join(name), bytes).unwrap();
            let told = explain(&catalog, &root.join(name), &Agent::Absent).await.unwrap();
            assert_eq!(matches!(told, Standing::LeftAlone(_)), !is_picture, "{name}: {told}");
        }
    }

    #[tokio::test]
    async fn the_folder_that_looks_after_a_file_decides_and_the_agent() {
        let (_folder, root, catalog) = scene().await;
        let folder = root.join("watched");
        std::fs::create_dir(&folder).unwrap();
        for path in ["beside.jpg", "watched/a.jpg", "watched/half.jpg", "watched/b.png"] {
            std::fs::write(root.join(path), b"\xff\xd8\xff\xe0 and no end").unwrap();
        }
        let id = watched(&catalog, folder).await;
        let next = async |path: &str, agent: Agent| {
            Keepers::read(&catalog, &agent).await.unwrap().next(&root.join(path)).await.unwrap()
        };
        assert_eq!(next("beside.jpg", Agent::Works).await, Next::Nothing);
        assert!(matches!(next("watched/half.jpg", Agent::Works).await, Next::Settles(_)));
        assert_eq!(next("watched/b.png", Agent::Works).await, Next::Excluded("*.png".to_owned()));
        for (agent, expected) in [
            (Agent::Absent, Next::NoAgent),
            (Agent::Paused, Next::AgentPaused),
            (Agent::SignedOut, Next::SignedOut),
        ] {
            assert_eq!(next("watched/half.jpg", agent).await, expected);
        }
        catalog.pause_watch_folder(id, true).await.unwrap();
        assert_eq!(
            next("watched/a.jpg", Agent::Absent).await,
            Next::Paused("darkslide watch resume"),
            "what nobody else can change comes first"
        );
    }

    /// What an unmounted disk leaves behind is an empty folder.
    #[tokio::test]
    async fn a_folder_that_is_offline_has_lost_nothing() {
        let (_folder, root, catalog) = scene().await;
        let folder = root.join("disk");
        std::fs::create_dir(&folder).unwrap();
        watched(&catalog, folder.clone()).await;
        catalog.put_asset(&row(&folder, "a.jpg", AssetState::BackedUp)).await.unwrap();
        let told = explain(&catalog, &folder.join("a.jpg"), &Agent::Works).await.unwrap();
        let Standing::Absent { why: Absence::Offline(why), .. } = told else { panic!("{told}") };
        assert!(why.contains("it is empty"), "{why}");
        std::fs::write(folder.join("b.jpg"), b"x").unwrap();
        let told = explain(&catalog, &folder.join("a.jpg"), &Agent::Works).await.unwrap();
        assert!(matches!(told, Standing::Absent { why: Absence::Gone, .. }), "{told}");
    }
}
