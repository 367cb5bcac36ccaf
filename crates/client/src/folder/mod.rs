//! Sync folders: folders that are kept in step with the vault, both ways.
//!
//! A pass looks at the folder ([`mod@scan`]) and at the vault (the feed), compares both with what they agreed on last ([`mod@reconcile`], pure), asks the
//! [`breaker`], and carries the plan out (`apply.rs`). Whatever ends a pass, the next one finds the world as it is; nothing is remembered in
//! between but what was agreed on. Nothing here purges: only the vault's and the local trash's time does.

mod apply;
mod aside;
pub mod breaker;
pub mod choose;
mod elsewhere;
mod fetch;
pub mod marker;
#[cfg(test)]
mod model;
pub mod mounts;
mod names;
pub mod reconcile;
pub mod report;
pub mod scan;
pub mod trash;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use darkslide_crypto::ContentHash;
use darkslide_crypto::stream::plaintext_len;
use darkslide_media::names::{Rules, restored};
use darkslide_media::probe::micros_of;
use darkslide_protocol::{FileId, Version};
use tokio_util::sync::CancellationToken;

use crate::backup::albums::Albums;
use crate::backup::{AssetError, BackupError, Settings};
use crate::catalog::{BaseChanges, BaseRow, Catalog, CatalogError, Feed, Fingerprint, SyncFolderRow};
use crate::download::blocking;
use crate::error::{VaultError, causes_on};
use crate::event::Events;
use crate::feed;
use crate::library::folder::fingerprint;
use crate::library::settle::Settling;
use crate::library::{AlbumRule, path_of, raw};
use crate::session::Session;
use crate::versions::has_version;
use apply::Hands;
use breaker::Standing;
use elsewhere::look_elsewhere;
use marker::Unhealthy;
use mounts::Mounts;
use reconcile::{
    Base, Deleted, Direction, Local, Others, RelativePath, Remote, Snapshot, SyncPlan, reconcile,
};
use report::PassReport;
use scan::{Memory, Scan, scan};

/// Why a pass ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The root is not what it should be: nothing is done there.
    #[error(transparent)]
    Unhealthy(#[from] Unhealthy),
    /// The vault or the catalog.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Sending.
    #[error(transparent)]
    Backup(#[from] BackupError),
}

impl From<CatalogError> for SyncError {
    fn from(error: CatalogError) -> Self {
        Self::Vault(error.into())
    }
}

impl SyncError {
    /// Whether the session has ended: sign in again.
    pub fn is_signed_out(&self) -> bool {
        match self {
            Self::Vault(error) | Self::Backup(BackupError::Vault(error)) => error.is_signed_out(),
            Self::Backup(BackupError::Asset(AssetError::Api(failure))) => failure.is_signed_out(),
            _ => false,
        }
    }

    /// Whether another process of this profile is sending now.
    pub fn is_busy(&self) -> bool {
        matches!(
            self,
            Self::Backup(BackupError::Vault(VaultError::Catalog(CatalogError::Busy { .. })))
                | Self::Vault(VaultError::Catalog(CatalogError::Busy { .. }))
        )
    }
}

/// How passes are made.
#[derive(Clone, Debug)]
pub struct PassSettings {
    /// How things are sent.
    pub sending: Settings,
    /// When files have settled.
    pub settling: Settling,
    /// How long after it was first missed a path must be missed again.
    pub absence: Duration,
}

/// What a pass would do, and why.
#[derive(Debug)]
pub struct Preview {
    /// The plan.
    pub plan: SyncPlan,
    /// What of it would wait for the owner: those steps are in the plan all the same.
    pub held: Option<breaker::Held>,
    /// What was seen.
    pub unsettled: Vec<scan::Unsettled>,
    /// What could not be read.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// What several passes know.
#[derive(Debug, Default)]
pub struct Memories {
    /// Of each folder.
    folders: BTreeMap<i64, FolderMemory>,
}

#[derive(Debug, Default)]
struct FolderMemory {
    seen: Memory,
    /// Files of which nothing was known at the last look.
    unsettled: Vec<(u64, bool)>,
    /// Rights were probed.
    is_probed: bool,
}

impl Memories {
    /// Files of other folders of which nothing was known at their last look. One that has no more turns tells nothing.
    async fn unsettled_elsewhere(
        &self,
        catalog: &Catalog,
        folder: i64,
    ) -> Result<Vec<(u64, bool)>, CatalogError> {
        let mut unsettled = Vec::new();
        if self.folders.keys().any(|id| *id != folder) {
            for other in catalog.sync_folders().await?.into_iter().filter(|other| other.id != folder) {
                let memory = self.folders.get(&other.id).filter(|_| !other.paused);
                unsettled.extend(memory.iter().flat_map(|memory| &memory.unsettled));
            }
        }
        Ok(unsettled)
    }
}

/// Everything that a plan is made of.
struct Looked {
    scan: Scan,
    plan: SyncPlan,
    agreed: usize,
    vault: Version,
}

/// Makes one pass over one folder. Records how it went, also where it went nowhere because of the root.
pub async fn pass(
    session: &Arc<Session>,
    catalog: &Catalog,
    row: &SyncFolderRow,
    memories: &mut Memories,
    settings: &PassSettings,
    events: &Events,
    stop: &CancellationToken,
) -> Result<PassReport, SyncError> {
    let (began, started) = (SystemTime::now(), Instant::now());
    let passed = pass_over(session, catalog, row, memories, settings, events, stop).await;
    let mut report = match passed {
        Ok(report) => report,
        Err(SyncError::Unhealthy(why)) => {
            if let Some(memory) = memories.folders.get_mut(&row.id) {
                memory.is_probed = false;
                memory.unsettled.clear();
            }
            PassReport { unhealthy: Some(why.to_string()), hold: row.hold, ..PassReport::default() }
        }
        // Somebody else is at work: that says nothing of the folder.
        Err(error) if error.is_busy() => return Err(error),
        Err(error) if error.is_signed_out() => {
            signed_out(catalog, micros_of(began), SESSION_ENDED).await?;
            return Err(error);
        }
        Err(error) => {
            let failure = causes_on(&error, catalog.folder()).join(": ");
            catalog
                .sync_folder_passed(row.id, &failed(catalog, row, micros_of(began), failure).await?)
                .await?;
            return Err(error);
        }
    };
    report.began = micros_of(began);
    report.millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    report.in_step = catalog.sync_counts(row.id).await?.0;
    if let Some(set_back) = catalog.last_set_back(report.began).await? {
        report.notes("", &set_back);
    }
    catalog.sync_folder_passed(row.id, &report).await?;
    Ok(report)
}

/// What is said where the server knows the session no longer.
pub const SESSION_ENDED: &str = "the session has ended";

/// Records of every folder that nobody is signed in to its account, and why: none of them is kept in step until somebody is. `now` in µs since
/// the epoch.
pub async fn signed_out(catalog: &Catalog, now: i64, why: &str) -> Result<(), CatalogError> {
    // A paused one has nothing to wait for, and nothing would take that back.
    for row in catalog.sync_folders().await?.into_iter().filter(|row| !row.paused) {
        let report = failed(catalog, &row, now, why.to_owned()).await?;
        catalog.sync_folder_passed(row.id, &PassReport { signed_out: true, ..report }).await?;
    }
    Ok(())
}

/// What is reported of a pass that ended before its end.
async fn failed(
    catalog: &Catalog,
    row: &SyncFolderRow,
    began: i64,
    failure: String,
) -> Result<PassReport, CatalogError> {
    let before = row.last_pass.as_ref().and_then(|before| before.failing_since);
    Ok(PassReport {
        began,
        in_step: catalog.sync_counts(row.id).await?.0,
        hold: row.hold,
        failing_since: Some(before.unwrap_or(began)),
        failure: Some(failure),
        ..PassReport::default()
    })
}

async fn pass_over(
    session: &Arc<Session>,
    catalog: &Catalog,
    row: &SyncFolderRow,
    memories: &mut Memories,
    settings: &PassSettings,
    events: &Events,
    stop: &CancellationToken,
) -> Result<PassReport, SyncError> {
    let memory = memories.folders.entry(row.id).or_default();
    let (root, id, is_probed) = (row.folder.path.clone(), row.folder.marker.clone(), memory.is_probed);
    let trash = row.folder.trash.clone();
    blocking(move || {
        marker::check(&root, &id)?;
        if is_probed {
            return Ok(());
        }
        marker::probe(&root)?;
        trash::recover(&trash, &root).map_err(|error| marker::unhealthy(&trash, error))
    })
    .await?;
    memory.is_probed = true;
    let Looked { mut scan, mut plan, agreed, vault } =
        look(session, catalog, row, memories, settings, events).await?;
    let approved = approved(catalog, row).await?;
    let now = micros_of(SystemTime::now());
    let standing = Standing::of(agreed, &catalog.sync_removed(row.id).await?, now);
    let held = breaker::judge(&mut plan, standing, row.hold, approved.as_ref());
    let is_done_with = !approved.as_ref().is_some_and(|list| plan.steps.iter().any(|step| list.has(step)));
    let hold = held.as_ref().map(|held| held.hold);
    if (hold, held.as_ref().map(|held| held.list.name())) != (row.hold, row.held.clone()) {
        catalog.hold_sync_folder(row.id, held.as_ref()).await?;
    }
    // What waits now is something else.
    if let (Some(_), Some(list)) = (&held, &row.approval) {
        catalog.end_approval(row.id, list).await?;
    }
    let mut report = PassReport { hold, vault: vault.0, ..PassReport::default() };
    tell(&mut report, &scan, &plan, settings);
    // Sending takes long: what only the next pass needs is found again by then.
    let SyncPlan { mut steps, waiting } = plan;
    drop(waiting);
    report.has_more |= apply::cut(&mut steps);
    scan.keep_stats_of(&steps);
    let sending = Settings { albums: AlbumRule::Named(row.folder.album.clone()), ..settings.sending.clone() };
    let approved = approved.as_ref();
    let mut hands = Hands {
        session,
        catalog,
        row,
        scan: &scan,
        settings: &sending,
        events,
        stop,
        agreed,
        approved,
        report,
    };
    hands.carry_out(steps).await?;
    let report = hands.report;
    refresh(catalog, row, &scan).await?;
    if let (None, Some(list), true) = (hold, &row.approval, is_done_with || !report.has_more) {
        catalog.forget_removed(row.id).await?;
        catalog.end_approval(row.id, list).await?;
    }
    let trash = row.folder.trash.clone();
    let now = trash::Moment { here: micros_of(SystemTime::now()), there: session.api.server_time() };
    if let Err(error) = blocking(move || trash::expire(&trash, now)).await {
        tracing::warn!(%error, "old entries of a local trash cannot be removed");
    }
    Ok(report)
}

/// What a pass would do now. Changes nothing. A folder that is not in the list has no marker yet.
pub async fn preview(
    session: &Arc<Session>,
    catalog: &Catalog,
    row: &SyncFolderRow,
    settings: &PassSettings,
    is_listed: bool,
    events: &Events,
) -> Result<Preview, SyncError> {
    if is_listed {
        let (root, id) = (row.folder.path.clone(), row.folder.marker.clone());
        blocking(move || marker::check(&root, &id)).await?;
    }
    let looked = look(session, catalog, row, &mut Memories::default(), settings, events).await?;
    let approved = approved(catalog, row).await?;
    let removed = catalog.sync_removed(row.id).await?;
    let standing = Standing::of(looked.agreed, &removed, micros_of(SystemTime::now()));
    let held = breaker::judge(&mut looked.plan.clone(), standing, row.hold, approved.as_ref());
    Ok(Preview {
        plan: looked.plan,
        held,
        unsettled: looked.scan.unsettled,
        unreadable: looked.scan.unreadable,
    })
}

/// What the owner approved.
async fn approved(catalog: &Catalog, row: &SyncFolderRow) -> Result<Option<breaker::HeldList>, CatalogError> {
    match &row.approval {
        Some(list) => catalog.held_list(row.id, list).await.map(Some),
        None => Ok(None),
    }
}

async fn look(
    session: &Arc<Session>,
    catalog: &Catalog,
    row: &SyncFolderRow,
    memories: &mut Memories,
    settings: &PassSettings,
    events: &Events,
) -> Result<Looked, SyncError> {
    let memory = memories.folders.entry(row.id).or_default();
    let base = catalog.sync_base(row.id).await?;
    let known = catalog.sync_mounts(row.id).await?;
    let (root, settling, mut seen, events) =
        (row.folder.path.clone(), settings.settling, std::mem::take(&mut memory.seen), events.clone());
    let (scanned, base, seen) = blocking(move || {
        let progress = |path: &Path, bytes: u64| {
            let name = Arc::from(path);
            events.send_blocking(crate::event::Event::Moved { name, bytes });
        };
        let is_agreed = |place: &RelativePath| {
            base.range(place.clone()..)
                .take_while(|(path, _)| path.starts_with(place))
                .any(|(path, row)| matches!(row.base, Base::Synced(_)) && mounts::is_below(path, place))
        };
        let mounts = Mounts::compare(&known, &mounts::below(&root), is_agreed);
        let scanned = scan(&root, &base, &mut seen, &mounts, settling, SystemTime::now(), progress);
        (scanned.map(|scanned| (scanned, mounts)), base, seen)
    })
    .await;
    memory.seen = seen;
    let (mut scan, mounts) = scanned.map_err(|error| marker::unhealthy(&row.folder.path, error))?;
    // Before anything is agreed on there.
    if !mounts.new.is_empty() && row.id != 0 {
        catalog.add_sync_mounts(row.id, &mounts.new).await?;
    }
    let unknown = scan.local.values().filter_map(|local| match local {
        Local::Unknown { size, grows } => Some((*size, *grows)),
        Local::Present(_) | Local::Aside => None,
    });
    memory.unsettled = unknown.collect();
    // After the scan: what was looked at first may be known to the vault by now, and never the other way round.
    feed::pull(session, catalog).await?;
    // Carrying a plan out needs the plan and what `stat` said.
    let (local, is_listed) = (std::mem::take(&mut scan.local), scan.is_listed);
    let agreed = base.values().filter(|row| matches!(row.base, Base::Synced(_))).count();
    let base = base.into_iter().map(|(path, row)| (path, row.base)).collect();
    let mut snapshot = snapshot(session, catalog, row, base, (local, is_listed)).await?;
    let wanted = reconcile::Settings {
        direction: row.folder.direction,
        keep_older_than: row.folder.keep_older_than,
        absence: i64::try_from(settings.absence.as_micros()).unwrap_or(i64::MAX),
    };
    let now = micros_of(SystemTime::now());
    snapshot.others.unsettled = memories.unsettled_elsewhere(catalog, row.id).await?;
    look_elsewhere(catalog, row, &mut snapshot, |agreed| agreed.is_missed_twice(&wanted, now)).await?;
    let plan = reconcile(&snapshot, &wanted, now);
    Ok(Looked { scan, plan, agreed, vault: snapshot.vault })
}

async fn snapshot(
    session: &Session,
    catalog: &Catalog,
    row: &SyncFolderRow,
    base: BTreeMap<RelativePath, Base>,
    (local, is_listed): (BTreeMap<RelativePath, Local>, bool),
) -> Result<Snapshot, SyncError> {
    let mut snapshot = Snapshot {
        base,
        local,
        is_listed,
        vault: catalog.cursor(Feed::Account).await?,
        ..Snapshot::default()
    };
    if row.folder.direction != Direction::Up {
        arrive(session, catalog, row, &mut snapshot).await?;
    }
    let here = snapshot.local.values().filter_map(Local::content);
    let mut contents: Vec<_> = snapshot.base.values().map(Base::content).chain(here).collect();
    contents.sort_unstable();
    contents.dedup();
    snapshot.remote = catalog.remotes(session.account, row.id, contents).await?;
    let is_deleted = |(content, remote): (&ContentHash, &Remote)| {
        matches!(remote, Remote::Trash { .. } | Remote::Purged).then_some(*content)
    };
    snapshot.deletions = catalog.deletions(snapshot.remote.iter().filter_map(is_deleted)).await?;
    snapshot.edited = edited(session, catalog, &snapshot).await?;
    // While another process reads the mirror anew, what is not in it says nothing.
    snapshot.is_listed &= catalog.read_anew_to().await?.is_none();
    let mut present = catalog.in_other_sync_folders(row.id).await?;
    let copies = catalog.copies_outside(row.id, &raw(&row.folder.path)).await?;
    let folder = row.folder.path.clone();
    // Backed up from a place that has nothing to do with this folder, and still there.
    present.extend(
        blocking(move || {
            let is_there = |(path, print, _): &(PathBuf, Fingerprint, ContentHash)| {
                !path.starts_with(&folder)
                    && path.symlink_metadata().is_ok_and(|metadata| fingerprint(&metadata) == *print)
            };
            copies.into_iter().filter(is_there).map(|(_, _, content)| content).collect::<Vec<_>>()
        })
        .await,
    );
    snapshot.others = Others { present, ..Others::default() };
    Ok(snapshot)
}

/// Files of whose agreed content the vault has no record, because they have another one now: each has the agreed one as an earlier version.
/// Otherwise it may be another file with its number, of a server that was set back.
async fn edited(
    session: &Session,
    catalog: &Catalog,
    snapshot: &Snapshot,
) -> Result<HashMap<FileId, ContentHash>, SyncError> {
    let without_record = snapshot.base.values().filter_map(|base| match base {
        Base::Synced(agreed) if !snapshot.remote.contains_key(&agreed.content) => {
            Some((agreed.file, agreed.content))
        }
        _ => None,
    });
    let before: HashMap<FileId, ContentHash> = without_record.collect();
    let files: Vec<FileId> = before.keys().copied().collect();
    let mut now = catalog.contents_of_files(session.account, &files).await?;
    // A Live Photo is no file of a folder.
    now.retain(|_, content| matches!(content, ContentHash::Single(_)));
    let mut edited = HashMap::new();
    for (file, content) in now {
        let Some(before) = before.get(&file).filter(|before| **before != content) else { continue };
        if has_version(session, catalog, file, *before).await? {
            edited.insert(file, content);
        }
    }
    Ok(edited)
}

/// Files of the album that the folder knows nothing of are to come, each at a path that is free. For the table they are what neither side
/// had, and what the vault has now.
async fn arrive(
    session: &Session,
    catalog: &Catalog,
    row: &SyncFolderRow,
    snapshot: &mut Snapshot,
) -> Result<(), SyncError> {
    let album = AlbumRule::Named(row.folder.album.clone()).album_of(&row.folder.path, Path::new(""));
    let Some(album) = Albums::new().existing(catalog, session.account, &album).await? else { return Ok(()) };
    let arrivals = catalog.sync_arrivals(row.id, session.account, album).await?;
    if arrivals.is_empty() {
        return Ok(());
    }
    let here: HashSet<_> = snapshot.local.values().filter_map(Local::content).collect();
    let mut taken: HashSet<String> =
        snapshot.base.keys().chain(snapshot.local.keys()).map(|path| names::key(path)).collect();
    let mut coming = HashSet::new();
    for arrival in arrivals {
        if here.contains(&arrival.content) || !coming.insert(arrival.content) {
            continue;
        }
        let Some(path) = free_path(&arrival.title, &mut taken) else { continue };
        let size = u64::try_from(arrival.object_size).ok().and_then(plaintext_len).unwrap_or_default();
        let buried = Deleted { content: arrival.content, size, file: arrival.file, version: Version(0) };
        snapshot.base.insert(path, Base::Deleted(buried));
    }
    Ok(())
}

/// The first of `name.ext`, `name (1).ext` … that is not taken, and takes it. None if there are thousands of that name.
fn free_path(title: &str, taken: &mut HashSet<String>) -> Option<RelativePath> {
    let name = restored(title, Rules::HERE);
    let free = names::candidates(name).find(|name| taken.insert(names::key(&raw(Path::new(name)))));
    free.map(|name| raw(Path::new(&name)))
}

/// What the report says of what is not done.
fn tell(report: &mut PassReport, scan: &Scan, plan: &SyncPlan, settings: &PassSettings) {
    let now = SystemTime::now();
    for unsettled in &scan.unsettled {
        report.waits(path_of(&unsettled.path).display().to_string(), &unsettled.reason);
        report.look_by(micros_of(unsettled.until));
    }
    for (path, reason) in &scan.unreadable {
        report.fails(path.display().to_string(), reason);
    }
    let told: HashSet<_> = scan.unsettled.iter().map(|unsettled| &unsettled.path).collect();
    for (path, wait) in &plan.waiting {
        if !told.contains(path) {
            report.waits(path_of(path).display().to_string(), wait);
        }
    }
    let is_missing = plan.waiting.iter().any(|(_, wait)| *wait == reconcile::Wait::Missing);
    let is_missed = plan.steps.iter().any(|step| matches!(step.action, reconcile::Action::Miss(_)));
    if is_missing || is_missed {
        report.look_by(micros_of(now + settings.absence));
    }
}

/// Files that are what was agreed on and of which `stat` says something else all the same: so that they are not read again.
async fn refresh(catalog: &Catalog, row: &SyncFolderRow, scan: &Scan) -> Result<(), SyncError> {
    let mut changes = BaseChanges::default();
    let paths: Vec<RelativePath> = scan.touched.iter().map(|(path, _)| path.clone()).collect();
    let now = catalog.sync_base_at(row.id, &paths).await?;
    for (path, before) in &scan.touched {
        let (Some(now), Some(stat)) = (now.get(path), scan.stats.get(path)) else { continue };
        // Only what no step has written since.
        if before == now && before.stat != *stat {
            changes.put.insert(path.clone(), BaseRow { stat: *stat, ..*now });
        }
    }
    Ok(catalog.record_sync(row.id, &raw(&row.folder.path), &changes).await?)
}

/// Brings a picture of a local trash back to where it was, or says that its place is taken. The next pass restores it in the vault.
pub fn restore_from_trash(row: &SyncFolderRow, id: &str) -> std::io::Result<Option<PathBuf>> {
    let listed = trash::list(&row.folder.trash)?;
    let Some(trashed) = listed.into_iter().find(|trashed| trashed.id == id) else { return Ok(None) };
    let target = row.folder.path.join(&trashed.path);
    fetch::make_folders(&row.folder.path, target.parent().unwrap_or(&row.folder.path))?;
    match trash::take(&trashed, &target)? {
        Some(_) => Ok(Some(target)),
        None => Err(std::io::Error::other(format!(
            "{} is not what was moved into the trash; copy it yourself if you want it",
            trashed.file.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_taken_get_numbers() {
        let mut taken = HashSet::new();
        let mut free = |title: &str| String::from_utf8(free_path(title, &mut taken).unwrap()).unwrap();
        assert_eq!([free("a.jpg"), free("A.jpg"), free("a.jpg")], ["a.jpg", "A (1).jpg", "a (2).jpg"]);
        let long = format!("{}.jpg", "n".repeat(251));
        let names = [free(&long), free(&long), free(&long)];
        assert_eq!(names[0], long);
        assert!(names[1].ends_with("n (1).jpg") && names[2].ends_with("n (2).jpg"), "{names:?}");
        assert!(names.iter().all(|name| name.len() <= 255));
    }
}
