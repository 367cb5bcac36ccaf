//! Sync folders: folders that are kept in step with the vault, both ways.
//!
//! A pass looks at the folder ([`mod@scan`]) and at the vault (the feed), compares both with what they agreed on last ([`mod@reconcile`], pure), asks the
//! [`breaker`], and carries the plan out (`apply.rs`). Whatever ends a pass, the next one finds the world as it is; nothing is remembered in
//! between but what was agreed on. Nothing here purges: only the vault's and the local trash's time does.

mod apply;
mod aside;
pub mod breaker;
pub mod choose;
mod details;
mod elsewhere;
mod fetch;
pub(crate) mod identities;
mod leftovers;
mod look;
pub mod marker;
#[cfg(test)]
mod model;
pub mod mounts;
mod names;
mod news;
pub(crate) mod reading;
pub mod reconcile;
mod recovery;
pub mod report;
pub mod scan;
mod still;
pub mod trash;
mod turn;
pub mod waiting;
mod within;

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use darkslide_media::probe::micros_of;
use darkslide_protocol::Version;
use tokio_util::sync::CancellationToken;

use crate::backup::{AssetError, BackupError, Settings};
use crate::catalog::{BaseChanges, BaseRow, Catalog, CatalogError, NewSyncFolder, SyncFolderRow};
use crate::download::blocking;
use crate::error::{VaultError, causes_on};
use crate::event::Events;
use crate::library::settle::Settling;
use crate::library::{AlbumRule, path_of, raw};
use crate::session::Session;
use crate::watch::disks;
use crate::watch::health::Offline;
use apply::Hands;
pub use apply::Share;
use breaker::Standing;
use look::{Looked, Looker, Patience, look};
use marker::Unhealthy;
use reconcile::{Direction, RelativePath, SyncPlan};
pub use recovery::{RecoveryError, restore_from_trash};
use report::PassReport;
use scan::{Memory, Scan};
pub use turn::{ReadoptError, readopt};
pub use within::NoWay;

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

    /// Whether the server could not be reached.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Unhealthy(_) => false,
            Self::Vault(error) => error.is_unreachable(),
            Self::Backup(error) => error.is_unreachable(),
        }
    }

    /// Whether another process is sending now what is this account's, or makes a pass over the folder.
    pub fn is_busy(&self) -> bool {
        let is_busy_sending =
            matches!(self.of_the_catalog(), Some(CatalogError::Busy(_) | CatalogError::BusyElsewhere(_)));
        is_busy_sending || self.is_another_pass()
    }

    /// Whether another pass over the folder is under way: nobody who sends something has to stand back for that.
    pub fn is_another_pass(&self) -> bool {
        matches!(self.of_the_catalog(), Some(CatalogError::BusyPassing(_)))
    }

    /// Whether that is one with another profile, which gives no turns to this one.
    pub fn is_busy_elsewhere(&self) -> bool {
        matches!(self.of_the_catalog(), Some(CatalogError::BusyElsewhere(_)))
    }

    fn of_the_catalog(&self) -> Option<&CatalogError> {
        match self {
            Self::Vault(VaultError::Catalog(error))
            | Self::Backup(BackupError::Vault(VaultError::Catalog(error))) => Some(error),
            _ => None,
        }
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
    /// How much is sent before the folder is looked at again.
    pub share: Share,
    /// Why whoever makes passes is not told by the system what changes, so that it looks now and then: the report says it.
    pub polled: Option<String>,
}

/// What a pass would do, and why.
#[derive(Debug)]
pub struct Preview {
    /// The plan.
    pub plan: SyncPlan,
    /// What of it would wait for the owner: those steps are in the plan all the same.
    pub held: Option<breaker::Held>,
    /// Why each path waits.
    pub reasons: BTreeMap<RelativePath, waiting::Reason>,
    /// What could not be read.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// What several passes know.
#[derive(Debug, Default)]
pub struct Memories {
    /// Of each folder.
    folders: BTreeMap<i64, FolderMemory>,
    /// Where it is looked.
    looker: Option<Looker>,
}

#[derive(Debug, Default)]
struct FolderMemory {
    seen: Memory,
    /// Files of which nothing was known at the last look.
    unsettled: Vec<(u64, bool)>,
    /// Folders in which nothing could be made or removed when rights were probed, and what an earlier process left was removed; none before that.
    closed: Option<Vec<PathBuf>>,
    /// The last pass put removals off, and has added what it had: the next one begins with them.
    is_removal_due: bool,
    /// How far the vault was read for the last plan.
    planned: Option<Version>,
    /// Reading was cut short for what others had trashed since then.
    cut: Option<Version>,
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

/// Makes one pass over one folder. Records how it went, also where it went nowhere because of the root. Two at once would take each other's files for
/// leftovers, and remove twice what one may: while another one is under way, in whichever process, it fails as
/// [busy](SyncError::is_another_pass).
pub async fn pass(
    session: &Arc<Session>,
    catalog: &Catalog,
    row: &SyncFolderRow,
    memories: &mut Memories,
    settings: &PassSettings,
    events: &Events,
    stop: &CancellationToken,
) -> Result<PassReport, SyncError> {
    let _alone = catalog.lock_sync_folder(row.id)?;
    let (began, started) = (SystemTime::now(), Instant::now());
    let passed = pass_over(session, catalog, row, memories, settings, events, stop).await;
    let mut report = match passed {
        Ok(report) => report,
        Err(SyncError::Unhealthy(why)) => {
            if let Some(memory) = memories.folders.get_mut(&row.id) {
                memory.closed = None;
                memory.unsettled.clear();
            }
            PassReport { unhealthy: Some(why.to_string()), hold: row.hold, ..PassReport::default() }
        }
        // Somebody else is at work, and gives turns: that says nothing of the folder.
        Err(error) if error.is_busy() && !error.is_busy_elsewhere() => return Err(error),
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
    report.polled.clone_from(&settings.polled);
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
    ask_disks(row).await?;
    let closed = enter(row, memories.folders.entry(row.id).or_default()).await?;
    let began = Instant::now();
    let looking = look(session, catalog, row, memories, settings, events, Patience::Short(stop.clone()));
    let looked = while_answered(&row.folder.path, Box::pin(looking)).await;
    // The thread that looks may wait for the disk, for whoever knows how long.
    let looked = looked.inspect_err(|_| memories.looker = None)?;
    let Looked { mut scan, mut plan, agreed, vault, mounts, reasons } = looked?;
    let (looked_for, looked_at) = (began.elapsed(), Instant::now());
    if !mounts.is_empty() {
        catalog.add_sync_mounts(row.id, &mounts).await?;
    }
    let approved = approved(catalog, row).await?;
    let now = micros_of(SystemTime::now());
    let standing = Standing::of(agreed, &catalog.sync_removed(row.id).await?, now);
    let held = breaker::judge(&mut plan, standing, row.hold, approved.as_ref());
    let open = approved.as_ref().map(|list| list.open_in(&plan));
    let hold = held.as_ref().map(|held| held.hold);
    if (hold, held.as_ref().map(|held| held.list.name())) != (row.hold, row.held.clone()) {
        catalog.hold_sync_folder(row.id, held.as_ref()).await?;
    }
    // What waits now is something else.
    if let (Some(_), Some(list)) = (&held, &row.approval) {
        catalog.end_approval(row.id, list).await?;
    }
    let mut report = PassReport { hold, vault: vault.0, ..PassReport::default() };
    for (folder, why) in closed {
        // What cannot be listed either is told once.
        if scan.unreadable.iter().all(|(unreadable, _)| *unreadable != folder) {
            report.fails(folder.display().to_string(), &why);
        }
    }
    report.has_more |= scan.is_cut;
    tell(&mut report, &scan, (&plan, reasons), settings);
    if let (Some(held), Some(last)) = (&held, &row.last_pass) {
        tell_failures(&mut report, last, &held.list);
    }
    // Sending takes long: what only the next pass needs is found again by then.
    let SyncPlan { mut steps, waiting } = plan;
    drop(waiting);
    report.has_more |= apply::cut(&mut steps);
    scan.keep_stats_of(&steps);
    let sending = Settings { albums: AlbumRule::Named(row.folder.album.clone()), ..settings.sending.clone() };
    let approved = approved.as_ref();
    let memory = memories.folders.entry(row.id).or_default();
    let is_removal_due = std::mem::take(&mut memory.is_removal_due);
    let mut hands = Hands {
        session,
        catalog,
        row,
        scan: &scan,
        settings: &sending,
        events,
        stop,
        share: settings.share,
        looked_for,
        vault,
        looked_at,
        is_removal_due,
        is_put_off: false,
        has_thumbnails: false,
        agreed,
        approved,
        report,
    };
    hands.carry_out(steps).await?;
    memory.is_removal_due = hands.is_put_off;
    let report = hands.report;
    refresh(catalog, row, &scan).await?;
    if let (None, Some(approved), Some(open)) = (hold, approved, open) {
        settle_approval(catalog, row, approved, &open).await?;
    }
    let trash = row.folder.trash.clone();
    let now = trash::Moment { here: micros_of(SystemTime::now()), there: session.api.server_time() };
    if let Err(error) = blocking(move || trash::expire(&trash, now)).await {
        tracing::warn!(%error, "old entries of a local trash cannot be removed");
    }
    Ok(report)
}

/// Asks the network disks that a pass comes to. Nothing is done while that of the folder, or of its local trash, does not answer; what is on another one
/// below the root is unknown for as long.
async fn ask_disks(row: &SyncFolderRow) -> Result<(), Unhealthy> {
    for place in [&row.folder.path, &row.folder.trash] {
        if let Some(disks::Silent { path, .. }) = disks::asked().silent_at(place, disks::TO_WAKE).await {
            return Err(does_not_answer(path));
        }
    }
    disks::asked().silent_below(&row.folder.path, disks::TO_READ).await;
    Ok(())
}

fn does_not_answer(path: PathBuf) -> Unhealthy {
    Unhealthy::Unusable { path, source: io::Error::new(io::ErrorKind::TimedOut, Offline::Silent) }
}

/// Works, unless a network disk of a root, or below it, falls silent: then that ends, as if the process was killed.
async fn while_answered<T>(root: &Path, work: impl Future<Output = T>) -> Result<T, Unhealthy> {
    let (roots, known) = ([root.to_owned()], disks::asked().owing_below(root));
    tokio::select! {
        done = work => Ok(done),
        silent = disks::asked().falls_silent(&roots, &known, disks::ASKED_EVERY, disks::TO_WAKE) => {
            Err(does_not_answer(silent))
        }
    }
}

/// Sees whether a folder is the one that it should be and, once a process, what may be written of it. Says in which folders below it nothing can be made
/// or removed, and why: what is only read goes on. In one that only goes up nothing is written.
async fn enter(
    row: &SyncFolderRow,
    memory: &mut FolderMemory,
) -> Result<Vec<(PathBuf, Unhealthy)>, SyncError> {
    let NewSyncFolder { path: root, marker: id, trash, direction, .. } = row.folder.clone();
    let known = memory.closed.take();
    let (closed, told) = blocking(move || {
        marker::check(&root, &id)?;
        let closed = match known {
            Some(closed) => closed,
            None if direction == Direction::Up => Vec::new(),
            None => {
                marker::probe(&root)?;
                leftovers::remove(&root);
                trash::recover(&trash, &root).map_err(|error| marker::unhealthy(&trash, error))?;
                marker::closed(&root)
            }
        };
        let why = |folder: &PathBuf| Some((folder.clone(), marker::may_be_changed(folder).err()?));
        let told: Vec<_> = closed.iter().filter_map(why).collect();
        Ok::<_, Unhealthy>((closed, told))
    })
    .await?;
    memory.closed = Some(closed);
    Ok(told)
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
    ask_disks(row).await?;
    if is_listed {
        let (root, id) = (row.folder.path.clone(), row.folder.marker.clone());
        blocking(move || marker::check(&root, &id)).await?;
    }
    let mut memories = Memories::default();
    let looked = look(session, catalog, row, &mut memories, settings, events, Patience::Long).await?;
    let approved = approved(catalog, row).await?;
    let removed = catalog.sync_removed(row.id).await?;
    let standing = Standing::of(looked.agreed, &removed, micros_of(SystemTime::now()));
    let held = breaker::judge(&mut looked.plan.clone(), standing, row.hold, approved.as_ref());
    Ok(Preview { plan: looked.plan, held, reasons: looked.reasons, unreadable: looked.scan.unreadable })
}

/// What the owner approved.
async fn approved(catalog: &Catalog, row: &SyncFolderRow) -> Result<Option<breaker::HeldList>, CatalogError> {
    match &row.approval {
        Some(list) => catalog.held_list(row.id, list).await.map(Some),
        None => Ok(None),
    }
}

/// An approval is over for each picture that it is done to, or that has no cause any more, and as a whole once that is all of them. `open` are those
/// that had one before the pass.
async fn settle_approval(
    catalog: &Catalog,
    row: &SyncFolderRow,
    approved: &breaker::HeldList,
    open: &breaker::HeldList,
) -> Result<(), CatalogError> {
    let Some(list) = &row.approval else { return Ok(()) };
    let paths: Vec<RelativePath> = open.pictures().map(|picture| picture.path.clone()).collect();
    let base = catalog.sync_base_at(row.id, &paths).await?;
    let left = open.undone(|path| base.get(path).map(|row| &row.base));
    if left.pictures().next().is_none() {
        catalog.forget_removed(row.id).await?;
        return catalog.end_approval(row.id, list).await;
    }
    catalog.drop_held(row.id, list, &approved.without(&left)).await
}

/// What was approved before, and failed, and waits again now: nothing is tried while it does, and what was in the way may be still.
fn tell_failures(report: &mut PassReport, last: &PassReport, held: &breaker::HeldList) {
    let paths: HashSet<String> =
        held.pictures().map(|picture| path_of(&picture.path).display().to_string()).collect();
    for failed in last.failed.iter().filter(|failed| paths.contains(&failed.path)) {
        report.fails(failed.path.clone(), &failed.reason);
    }
}

/// What the report says of what is not done.
fn tell(
    report: &mut PassReport,
    scan: &Scan,
    (plan, reasons): (&SyncPlan, BTreeMap<RelativePath, waiting::Reason>),
    settings: &PassSettings,
) {
    let now = SystemTime::now();
    for unsettled in &scan.unsettled {
        report.look_by(micros_of(unsettled.until));
    }
    for (path, reason) in &scan.unreadable {
        report.fails(path.display().to_string(), reason);
    }
    for (path, waiting::Reason { text, lasts }) in reasons {
        report.waits(path_of(&path).display().to_string(), &text);
        report.lasting_count += u64::from(lasts);
    }
    let is_missing = plan.waiting.iter().any(|(_, wait)| *wait == reconcile::Wait::Missing);
    let is_missed = plan.steps.iter().any(|step| matches!(step.action, reconcile::Action::Miss(_)));
    if is_missing || is_missed || scan.is_moving {
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
    Ok(catalog.record_sync((row.id, &row.folder.marker), &raw(&row.folder.path), &changes).await?)
}
