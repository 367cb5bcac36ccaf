//! Looking at a folder and at the vault, and what follows from it: a plan.
//!
//! It is done on a thread that does nothing else. What is seen of a large folder is gone when the pass is over, and what is freed goes to the next
//! look: C libraries keep memory for the thread that had it, and each look would otherwise leave its own to some other thread.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::SystemTime;

use darkslide_crypto::ContentHash;
use darkslide_crypto::stream::plaintext_len;
use darkslide_media::names::{Rules, restored};
use darkslide_media::probe::micros_of;
use darkslide_protocol::{FileId, Version};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::details::only_details;
use super::elsewhere::{agreed_elsewhere, look_elsewhere};
use super::marker::Unhealthy;
use super::mounts::Mounts;
use super::news::News;
use super::reconcile::{
    self, Base, Deleted, Direction, Local, Others, RelativePath, Remote, Snapshot, SyncPlan, Synced,
    reconcile,
};
use super::scan::{self, Scan, scan};
use super::{Memories, PassSettings, SyncError, marker, mounts, names, waiting};
use crate::backup::albums::Albums;
use crate::catalog::{Arrival, BaseRow, Catalog, Feed, Fingerprint, SyncFolderRow};
use crate::download::{NO_PANIC, blocking};
use crate::event::{Event, Events};
use crate::feed;
use crate::library::folder::fingerprint;
use crate::library::{AlbumRule, raw};
use crate::session::Session;
use crate::versions::has_version;
use crate::watch::disks;

/// Everything that a plan is made of.
pub(super) struct Looked {
    pub(super) scan: Scan,
    pub(super) plan: SyncPlan,
    pub(super) agreed: usize,
    pub(super) vault: Version,
    /// Places where something is mounted now: to be remembered before anything is agreed on there.
    pub(super) mounts: BTreeSet<RelativePath>,
    /// Why each path of the plan waits.
    pub(super) reasons: BTreeMap<RelativePath, waiting::Reason>,
}

/// What was agreed on.
type Agreed = BTreeMap<RelativePath, BaseRow>;

/// What was agreed on, what the folder has, and where something is mounted.
type Seen = (Agreed, Scan, BTreeSet<RelativePath>);

/// A thread that looks, one folder after the other; it ends with this.
#[derive(Debug)]
pub(super) struct Looker(mpsc::Sender<Look>);

/// A look, without what is needed to begin it.
type Look = Box<dyn FnOnce() + Send>;

impl Looker {
    pub(super) fn begin() -> Self {
        let (sender, looks) = mpsc::channel::<Look>();
        let thread = std::thread::Builder::new().name("folder".to_owned());
        let looking = thread.spawn(move || looks.into_iter().for_each(|look| look()));
        looking.expect("the system has a thread to spare");
        Self(sender)
    }

    /// Runs one there. It is given up where nobody waits for it any more.
    async fn run<T: Send + 'static>(&self, look: impl FnOnce(&Waiting) -> Option<T> + Send + 'static) -> T {
        let (done, outcome) = oneshot::channel();
        let waiting = Waiting { runtime: Handle::current(), given_up: CancellationToken::new() };
        let _given_up = waiting.given_up.clone().drop_guard();
        let look = Box::new(move || {
            if let Some(looked) = look(&waiting) {
                let _told = done.send(looked);
            }
        });
        self.0.send(look).expect(NO_PANIC);
        outcome.await.expect(NO_PANIC)
    }
}

/// How that thread waits for what others do.
struct Waiting {
    runtime: Handle,
    given_up: CancellationToken,
}

impl Waiting {
    /// What comes of it; none where the look is given up.
    fn until<T>(&self, done: impl Future<Output = T>) -> Option<T> {
        self.runtime.block_on(self.given_up.run_until_cancelled(done))
    }
}

/// How long a look may read.
#[derive(Clone, Debug)]
pub(super) enum Patience {
    /// Until others trash something, or this is cancelled. What is not read by then is for the next look: of that nothing is known.
    Short(CancellationToken),
    /// All there is.
    Long,
}

/// What one look is about.
struct Sight {
    session: Arc<Session>,
    catalog: Catalog,
    row: SyncFolderRow,
    settings: PassSettings,
    events: Events,
    /// Files of other folders of which nothing was known at their last look.
    unsettled_elsewhere: Vec<(u64, bool)>,
    /// What cuts reading short; nothing where all is read.
    news: Option<News>,
    /// Reading is cut short.
    enough: CancellationToken,
}

/// What a look leaves to the next one, however it ends.
struct Left {
    seen: scan::Memory,
    /// Files of which nothing is known; none where that was not found out.
    unsettled: Option<Vec<(u64, bool)>>,
    /// Reading was cut short.
    is_cut: bool,
}

/// Looks at everything that a plan is made of, and makes it.
pub(super) async fn look(
    session: &Arc<Session>,
    catalog: &Catalog,
    row: &SyncFolderRow,
    memories: &mut Memories,
    settings: &PassSettings,
    events: &Events,
    patience: Patience,
) -> Result<Looked, SyncError> {
    let since = last_planned(catalog, row, memories).await?;
    // Whatever is wrong with what is said to be trashed, reading goes on once it was cut short for that and no plan came of it.
    let was_cut = memories.folders.get(&row.id).and_then(|memory| memory.cut) == Some(since);
    let news =
        || News { session: Arc::clone(session), catalog: catalog.clone(), since, every: settings.share.news };
    let (stop, news) = match patience {
        Patience::Short(stop) => (stop, (!was_cut).then(news)),
        Patience::Long => (CancellationToken::new(), None),
    };
    let sight = Sight {
        session: Arc::clone(session),
        catalog: catalog.clone(),
        row: row.clone(),
        settings: settings.clone(),
        events: events.clone(),
        unsettled_elsewhere: memories.unsettled_elsewhere(catalog, row.id).await?,
        news,
        enough: stop.child_token(),
    };
    let looker = memories.looker.get_or_insert_with(Looker::begin);
    let memory = memories.folders.entry(row.id).or_default();
    let seen = std::mem::take(&mut memory.seen);
    let (left, looked) = looker.run(move |waiting| sight.look(waiting, seen)).await;
    memory.seen = left.seen;
    if let Some(unsettled) = left.unsettled {
        memory.unsettled = unsettled;
    }
    // For what others have trashed, that is.
    memory.cut = (left.is_cut && !stop.is_cancelled()).then_some(since);
    if let Ok(looked) = &looked {
        memory.planned = Some(looked.vault);
    }
    looked
}

/// How far the vault was read for the last plan of a folder; where there was none, how far it was read by now.
async fn last_planned(
    catalog: &Catalog,
    row: &SyncFolderRow,
    memories: &Memories,
) -> Result<Version, SyncError> {
    let told = row.last_pass.as_ref().map(|pass| Version(pass.vault));
    match memories.folders.get(&row.id).and_then(|memory| memory.planned).or(told) {
        Some(planned) if planned > Version(0) => Ok(planned),
        _ => Ok(catalog.cursor(Feed::Account).await?),
    }
}

impl Sight {
    fn look(self, waiting: &Waiting, seen: scan::Memory) -> Option<(Left, Result<Looked, SyncError>)> {
        let (catalog, folder) = (&self.catalog, self.row.id);
        let agreed = async { Ok((catalog.sync_base(folder).await?, catalog.sync_mounts(folder).await?)) };
        let mut left = Left { seen, unsettled: None, is_cut: false };
        let (enough, mut asking) = (self.enough.clone(), JoinSet::new());
        if let Some(news) = self.news.clone() {
            // Whoever heard of it may have woken this look.
            if waiting.until(news.is_trashed())?.unwrap_or(false) {
                enough.cancel();
            }
            let enough = enough.clone();
            let trashed = async move {
                news.trashed().await;
                enough.cancel();
            };
            asking.spawn_on(trashed, &waiting.runtime);
        }
        let looked = match waiting.until(agreed)? {
            Ok((base, known)) => match self.see(base, &known, &mut left, &enough) {
                Ok((base, scan, mounts)) => waiting.until(self.plan(base, scan, mounts))?,
                Err(unhealthy) => Err(unhealthy.into()),
            },
            Err(error) => Err(error),
        };
        left.is_cut |= looked.as_ref().is_ok_and(|looked| looked.scan.is_cut);
        Some((left, looked))
    }

    fn see(
        &self,
        base: Agreed,
        known: &BTreeSet<RelativePath>,
        left: &mut Left,
        enough: &CancellationToken,
    ) -> Result<Seen, Unhealthy> {
        let root = &self.row.folder.path;
        let goes_on = |path: &Path, bytes: u64| {
            self.events.send_blocking(Event::Moved { name: Arc::from(path), bytes });
            !enough.is_cancelled()
        };
        let mounts = Mounts::among(known, &mounts::below(root), &base);
        let settling = self.settings.settling;
        let scanned = scan(root, &base, &mut left.seen, &mounts, settling, SystemTime::now(), goes_on);
        let scan = scanned.map_err(|error| marker::unhealthy(root, error))?;
        let unknown = scan.local.values().filter_map(|local| match local {
            Local::Unknown { size, grows } => Some((*size, *grows)),
            Local::Present(_) | Local::Aside => None,
        });
        left.unsettled = Some(unknown.collect());
        left.is_cut = scan.is_cut;
        Ok((base, scan, mounts.new))
    }

    async fn plan(
        &self,
        base: Agreed,
        mut scan: Scan,
        mounts: BTreeSet<RelativePath>,
    ) -> Result<Looked, SyncError> {
        let Self { session, catalog, row, settings, .. } = self;
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
        snapshot.others.unsettled.clone_from(&self.unsettled_elsewhere);
        let is_gone = |agreed: &Synced| agreed.is_missed_twice(&wanted, now);
        scan.is_cut |= look_elsewhere(catalog, row, &mut snapshot, is_gone, &self.enough).await?;
        snapshot.details = only_details(session, catalog, &snapshot, is_gone).await?;
        let plan = reconcile(&snapshot, &wanted, now);
        let reasons = waiting::reasons(&row.folder.path, row.folder.direction, &plan, &scan.unsettled);
        Ok(Looked { scan, plan, agreed, vault: snapshot.vault, mounts, reasons })
    }
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
    let mut present = agreed_elsewhere(catalog, row).await?;
    let copies = catalog.copies_outside(row.id, &raw(&row.folder.path)).await?;
    let folder = row.folder.path.clone();
    let silent = disks::asked().silent_of(copies.iter().map(|(path, ..)| path.as_path()), disks::TO_READ);
    let silent = silent.await;
    // Backed up from a place that has nothing to do with this folder, and still there: on a disk that does not answer it may be.
    present.extend(
        blocking(move || {
            let is_silent = |path: &PathBuf| silent.iter().any(|disk| path.starts_with(disk));
            let is_as_it_was = |path: &PathBuf, print: &Fingerprint| {
                path.symlink_metadata().is_ok_and(|metadata| fingerprint(&metadata) == *print)
            };
            let is_there = |(path, print, _): &(PathBuf, Fingerprint, ContentHash)| {
                !path.starts_with(&folder) && (is_silent(path) || is_as_it_was(path, print))
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
    let given_up = given_up(session, catalog, row, snapshot, &arrivals).await?;
    let kept = snapshot.base.keys().filter(|path| !given_up.contains(*path));
    let mut taken: HashSet<String> = kept.chain(snapshot.local.keys()).map(|path| names::key(path)).collect();
    let root = row.folder.path.clone();
    taken.extend(blocking(move || names_in(&root)).await);
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

/// Names of what is to come that only pictures have had that were deleted, and of which the vault has no live file: these come back as what is new does, if they do.
async fn given_up(
    session: &Session,
    catalog: &Catalog,
    row: &SyncFolderRow,
    snapshot: &Snapshot,
    arrivals: &[Arrival],
) -> Result<HashSet<RelativePath>, SyncError> {
    let buried = arrivals.iter().filter_map(|arrival| {
        let path = raw(Path::new(&restored(&arrival.title, Rules::HERE)));
        match snapshot.base.get(&path) {
            Some(Base::Deleted(buried)) => Some((path, buried.content)),
            _ => None,
        }
    });
    let buried: HashMap<_, _> = buried.collect();
    let remotes = catalog.remotes(session.account, row.id, buried.values().copied()).await?;
    let is_live = |content: &ContentHash| matches!(remotes.get(content), Some(Remote::Live { .. }));
    Ok(buried.into_iter().filter(|(_, content)| !is_live(content)).map(|(path, _)| path).collect())
}

/// What has a name in a folder, whatever it is: no picture goes to the place of a folder.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    entries.map(|entry| names::key(&raw(Path::new(&entry.file_name())))).collect()
}

/// The first of `name.ext`, `name (1).ext` … that is not taken, and takes it. None if there are thousands of that name.
fn free_path(title: &str, taken: &mut HashSet<String>) -> Option<RelativePath> {
    let name = restored(title, Rules::HERE);
    let free = names::candidates(name).find(|name| taken.insert(names::key(&raw(Path::new(name)))));
    free.map(|name| raw(Path::new(&name)))
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

    /// Whoever is told to stop does not wait for a line that is down, and the next look does not wait behind this one.
    #[tokio::test]
    async fn a_look_that_nobody_waits_for_is_given_up() {
        let looker = Looker::begin();
        let (begun, beginning) = oneshot::channel();
        let looking = looker.run(move |waiting| {
            begun.send(()).unwrap();
            waiting.until(std::future::pending::<()>())
        });
        tokio::select! {
            () = looking => panic!("it waits for ever"),
            begun = beginning => begun.unwrap(),
        }
        assert_eq!(looker.run(|waiting| waiting.until(async { 7 })).await, 7);
    }
}
