//! One run over a device's own library: look, plan by the rules, and work in the order of the plan, as far as the moment allows.
//!
//! Whatever ends it, the next run plans again from what the catalog and the library say then; nothing is remembered in between but what
//! was done.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use darkslide_protocol::FileId;
use darkslide_protocol::server::Extension;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::error::{AssetError, BackupError};
use super::gate::Outlook;
use super::lanes::Lanes;
use super::listing::{Thoroughness, list};
use super::opening::{KeptCopies, as_kept, keys_of};
use super::rules::conditions::{Grant, Network};
use super::rules::explanation::{Explanation, Wait};
use super::rules::{Known, Work, World, explain, first_bytes, plan};
use super::run::Run;
use super::temporary::{TemporaryCache, kept_in, room_in};
use super::vault_clock::{Since, VaultClock};
use super::{BackupReport, Memory, Settings};
use crate::catalog::{AssetRow, AssetState, Catalog, CatalogError, DeviceAlbumKey};
use crate::event::{Event, Events};
use crate::feed;
use crate::library::device::{AssetId, DeviceAsset, Locality};
use crate::library::{DeviceAlbum, Library};
use crate::session::Session;

/// A grant with less time left is spent on sending first; everything else comes after, µs.
const SHORT_GRANT: i64 = 120_000_000;

/// How often a run plans anew because work led to more: pictures that were sent go into their other albums.
const PASSES: usize = 3;

/// How a device is backed up.
#[derive(Clone, Debug)]
pub struct Device {
    /// The album that everything goes to where albums are not mirrored.
    pub album: String,
    /// Server albums mirror the selected albums of the device. On for one run, it files what was sent before.
    pub mirror: bool,
    /// A folder for copies of originals that must be fetched or exported to be read. It holds nothing else.
    pub cache: PathBuf,
}

/// What a run over a library did, and why everything else is where it is.
#[derive(Clone, Debug)]
pub struct DeviceReport {
    /// What was done.
    pub report: BackupReport,
    /// What was not, as it was planned.
    pub rest: Vec<(AssetId, Explanation)>,
    /// What was begun, and what it waits for now.
    pub held: Vec<(AssetId, Wait)>,
    /// Whether everything had its turn that was allowed. What cannot be read, or waits for another moment, had it.
    pub is_complete: bool,
}

/// Backs a device's library up, as far as the moment allows.
#[expect(clippy::too_many_arguments, reason = "they are what a run is made of")]
pub async fn backup_library(
    session: Arc<Session>,
    catalog: Catalog,
    library: Arc<dyn Library>,
    device: &Device,
    outlook: Outlook,
    settings: &Settings,
    events: &Events,
    stop: &CancellationToken,
) -> Result<DeviceReport, BackupError> {
    let (known, id, conditions) = (catalog.clone(), library.id().to_vec(), outlook.conditions.clone());
    let running = run_over(session, catalog, library, device, outlook, settings, events, stop);
    let ran = Box::pin(running).await;
    let was_lost = match &ran {
        Ok((_, has_lost_server)) => Some(*has_lost_server),
        Err(error) => error.is_transient().then_some(true),
    };
    if let Some(was_lost) = was_lost {
        let has_network = conditions.borrow().network != Network::None;
        known.record_server_away(&id, was_lost && has_network).await?;
    }
    ran.map(|(report, _)| report)
}

/// The run, and whether it ended because the server could not be reached any more.
#[expect(clippy::too_many_arguments, reason = "they are what a run is made of")]
async fn run_over(
    session: Arc<Session>,
    catalog: Catalog,
    library: Arc<dyn Library>,
    device: &Device,
    outlook: Outlook,
    settings: &Settings,
    events: &Events,
    stop: &CancellationToken,
) -> Result<(DeviceReport, bool), BackupError> {
    let began = Instant::now();
    let _lock = catalog.lock_run(session.keys.key_pair.public_key())?;
    let conditions = *outlook.conditions.borrow();
    let cache_room = room_in(&device.cache, conditions.free_bytes);
    let cache = TemporaryCache::open(&device.cache, cache_room)
        .map_err(|source| BackupError::Root { path: device.cache.clone(), source })?;
    let started = (outlook.clock)();
    let is_short = matches!(conditions.grant, Grant::Until(until) if until - started < SHORT_GRANT);
    if !is_short {
        feed::pull(&session, &catalog).await?;
    }
    // What is not known for want of a network decides nothing: no video begins.
    let offered = session.api.offers(Extension::Uploads).await.ok();
    if let Some(resumable) = offered {
        catalog.record_server_resumable(library.id(), resumable).await?;
    }
    let resumable = offered.unwrap_or(false);
    // By the vault's clock: the device's own may be wrong.
    let clock = VaultClock::read(&session, &catalog, (outlook.clock)()).await?;
    let settings = Settings { memory: Memory::LITTLE, ..settings.clone() };
    let run = Run::new(session, catalog, settings, events.clone(), stop, clock.now);
    let run = Arc::new(run.by(clock, Since::Listing).of_library(
        Arc::clone(&library),
        outlook.clone(),
        resumable,
        cache_room,
    ));
    let hands = Hands { run: &run, library: &*library, cache: &cache, device };
    let last_completed = run.catalog.last_completed(library.id()).await?;
    let thoroughness = if is_short { Thoroughness::OnlyChanges } else { Thoroughness::Usual };
    let screen = keep_screen_on(&outlook, last_completed == 0, events);
    let rest = tokio::select! {
        rest = hands.work_in_passes(&outlook, thoroughness, resumable) => rest?,
        never = screen => match never {},
    };
    if outlook.permissions.keep_awake {
        events.send(Event::ScreenStaysOn(false)).await;
    }
    if is_short && !run.is_halted() {
        feed::pull(&run.session, &run.catalog).await?;
    }
    if device.mirror
        && !run.is_halted()
        && let Err(error) = run.follow_names(&*library).await
    {
        tracing::debug!(%error, "renamed albums are renamed in the vault by a later run");
    }
    let held: Vec<_> =
        run.held().into_iter().map(|(id, wait)| (AssetId(crate::library::raw(&id)), wait)).collect();
    let report = run.report(began.elapsed());
    let is_complete = is_through(&report, &rest, &held);
    if is_complete {
        cache.keep_halves_only();
        run.catalog.complete(library.id(), started).await?;
    }
    let has_lost_server = run.has_lost_server.load(Ordering::Relaxed);
    Ok((DeviceReport { report, rest, held, is_complete }, has_lost_server))
}

/// Whether a run got to its end: nothing ended it before all that it was allowed to do had its turn.
fn is_through(report: &BackupReport, rest: &[(AssetId, Explanation)], held: &[(AssetId, Wait)]) -> bool {
    let is_cut_off =
        |why: &Explanation| matches!(why, Explanation::Waiting(wait) if wait.is_of_the_whole_run());
    // What was begun was allowed then: it was cut off, unless it waits for what is its own.
    let was_cut_off = |wait: &Wait| !wait.is_of_the_original();
    report.interrupted.is_none()
        && report.storage_full.is_none()
        && !rest.iter().any(|(_, why)| is_cut_off(why))
        && !held.iter().any(|(_, wait)| was_cut_off(wait))
}

/// Tells whether the screen is to stay on, as conditions come. Ends with whoever asked for it.
async fn keep_screen_on(outlook: &Outlook, is_first_backup: bool, events: &Events) -> Infallible {
    let mut conditions = outlook.conditions.clone();
    let mut told = false;
    loop {
        let now = *conditions.borrow_and_update();
        let stays_on = outlook.permissions.keeps_screen_on(&now, is_first_backup);
        if stays_on != told {
            told = stays_on;
            events.send(Event::ScreenStaysOn(stays_on)).await;
        }
        if conditions.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Why every asset of a library is where it is, as a run that began now would see it.
pub async fn explain_library(
    catalog: &Catalog,
    library: &dyn Library,
    device: &Device,
    outlook: &Outlook,
) -> Result<Vec<(DeviceAsset, Explanation)>, BackupError> {
    let cache_room = room_in(&device.cache, outlook.conditions.borrow().free_bytes);
    // What was never asked is as it is with our own server.
    let resumable = catalog.server_seen(library.id()).await?.resumable.unwrap_or(true);
    let world = world(catalog, library, device, outlook, resumable, cache_room).await?;
    let listing = list(catalog, library, Thoroughness::OnlyChanges, world.now).await?;
    let kept = kept_in(&device.cache);
    Ok(listing
        .assets
        .into_iter()
        .map(|asset| {
            let as_it_is_read = as_kept(library.id(), asset.clone(), |key| kept.contains(key));
            (asset, explain(&as_it_is_read, &world))
        })
        .collect())
}

/// Gathers what the rules look at, for a run in which nobody has sent anything yet.
async fn world(
    catalog: &Catalog,
    library: &dyn Library,
    device: &Device,
    outlook: &Outlook,
    resumable: bool,
    cache_room: u64,
) -> Result<World, CatalogError> {
    let mut albums = catalog.chosen_albums(library.id()).await?;
    // As they are called now. One that is not there keeps its name, as it keeps its choice.
    for DeviceAlbum { key, name } in library.albums().await.unwrap_or_default() {
        albums.entry(key).and_modify(|album| album.name = name);
    }
    let mut placed = HashMap::new();
    if device.mirror {
        for album in albums.keys() {
            placed.insert(album.clone(), catalog.placed(album).await?);
        }
    }
    let known = catalog.assets(library.id()).await?;
    let receipts = catalog.receipts().await?;
    let deleted = catalog.deleted_assets(library.id()).await?;
    let conditions = *outlook.conditions.borrow();
    Ok(World {
        albums,
        known: known
            .into_iter()
            .map(|row| {
                let deleted = deleted.get(&row.path).copied();
                (AssetId(row.path.clone()), Known { deleted, ..known_of(row, &receipts) })
            })
            .collect(),
        // What is told of now is recorded before anything is planned.
        waiting: HashMap::new(),
        displaced: catalog.displaced_files(library.id()).await?,
        deleted_contents: catalog.deleted_contents().await?,
        placed,
        mirror: device.mirror,
        permissions: outlook.permissions,
        conditions,
        trigger: outlook.trigger,
        resumable,
        is_server_away: catalog.server_seen(library.id()).await?.is_away,
        cache_room,
        last_completed: catalog.last_completed(library.id()).await?,
        rate: None,
        turns: catalog.turns(library.id()).await?,
        now: (outlook.clock)(),
    })
}

fn known_of(row: AssetRow, receipts: &HashMap<FileId, i64>) -> Known {
    Known {
        fingerprint: row.fingerprint,
        content: row.content_hash,
        file: row.file,
        state: row.state,
        reason: row.reason,
        receipt: row.file.and_then(|file| receipts.get(&file).copied()),
        // Of what is no Live Photo nothing is missing, and nobody asks.
        is_whole: row.motion.is_some(),
        first_seen: row.first_seen,
        last_seen: row.last_seen,
        deleted: None,
        failing: row.failing,
    }
}

/// What carries a plan out.
#[derive(Clone, Copy)]
pub(super) struct Hands<'h> {
    pub(super) run: &'h Arc<Run>,
    pub(super) library: &'h dyn Library,
    pub(super) cache: &'h TemporaryCache,
    device: &'h Device,
}

impl Hands<'_> {
    /// Plans and works, and once more if that led to more. Gives what rests, and why.
    async fn work_in_passes(
        self,
        outlook: &Outlook,
        thoroughness: Thoroughness,
        resumable: bool,
    ) -> Result<Vec<(AssetId, Explanation)>, BackupError> {
        let Self { run, library, device, .. } = self;
        let mut rest = Vec::new();
        // Without a mirror no work leads to more.
        let passes = if device.mirror { PASSES } else { 1 };
        for pass in 0..passes {
            let world = world(&run.catalog, library, device, outlook, resumable, self.cache.bytes()).await?;
            let listing = list(&run.catalog, library, thoroughness, world.now).await?;
            run.catalog.record_library(library.id(), &listing.told, world.now, run.now).await?;
            let waiting = run.catalog.waiting_assets(library.id()).await?;
            let world = World { rate: run.gate.rate(), waiting, ..world };
            let assets = self.with_what_is_kept(listing.assets);
            let mut planned = plan(assets, &world);
            rest = planned.rest;
            if pass > 0 {
                // What did not work is for the next run.
                planned.work.retain(|(_, work)| matches!(work, Work::Place(..)));
            }
            if planned.work.is_empty() {
                break;
            }
            let bytes = planned.work.iter().map(|(asset, _)| asset.fingerprint.size).sum();
            run.events.send(Event::Planned { assets: planned.work.len() as u64, bytes }).await;
            run.prepare_to_send().await?;
            let work = run.work(async |lanes| Box::pin(self.feed(lanes, planned.work, &world)).await);
            Box::pin(work).await?;
            if !run.held().is_empty() || run.is_halted() {
                break;
            }
        }
        Ok(rest)
    }

    /// What is kept of originals is as good as here, and goes if it is of nothing that there is.
    fn with_what_is_kept(self, assets: Vec<DeviceAsset>) -> Vec<DeviceAsset> {
        let library = self.library.id();
        let keys: HashSet<String> = assets.iter().flat_map(|asset| keys_of(library, asset)).collect();
        self.cache.keep_only(|key| keys.contains(key));
        assets.into_iter().map(|asset| as_kept(library, asset, |key| self.cache.has(key))).collect()
    }

    /// Begins one. True where that was all.
    pub(super) async fn begin(
        self,
        lanes: &Lanes,
        asset: &DeviceAsset,
        work: Work,
        world: &World,
        busy: &mpsc::Sender<()>,
    ) -> Result<bool, AssetError> {
        self.run.gate.ask(asset.kind, 0)?;
        match work {
            Work::Place(file, albums) => {
                self.place(asset, file, &albums, world).await?;
                return Ok(true);
            }
            Work::Recheck(content) => {
                let album = self.album_of(asset, world);
                if self.run.recheck_in_library(self.library.id(), asset, &album, &content).await? {
                    return Ok(true);
                }
            }
            // What could not be sent for want of room is not read again until there is some.
            Work::Retry if found_no_room(asset, world) && !self.run.room.has(asset.fingerprint.size) => {
                return Err(AssetError::Held(Wait::Storage));
            }
            Work::New | Work::Changed | Work::Complete | Work::Retry => {}
        }
        let (asset, kept) = &mut self.as_it_lies(asset).await?;
        if let Err(wait) = self.may_be_opened(asset, world).await {
            for (_, copy) in kept.drain(..) {
                self.cache.put_back(copy);
            }
            return Err(wait);
        }
        let opened =
            self.open(asset, std::mem::take(kept), self.album_of(asset, world), busy.clone()).await?;
        lanes.send_all(vec![opened], &self.run.settings.memory, &self.run.halt).await;
        Ok(false)
    }

    async fn may_be_opened(self, asset: &DeviceAsset, world: &World) -> Result<(), AssetError> {
        self.run.gate.ask_to_read(asset)?;
        self.run.gate.ask(asset.kind, first_bytes(asset))?;
        // Nothing is fetched to find out that there is no room for it.
        if asset.locality == Locality::Cloud && !self.run.room.has(asset.fingerprint.size) {
            if !world.known.contains_key(&asset.id) {
                self.run.record_without_room(self.library.id(), asset).await?;
            }
            return Err(AssetError::Held(Wait::Storage));
        }
        Ok(())
    }

    /// Where an original lies need not be told when it changes, and decides whether it may be read. What is kept of it is taken here, so that
    /// nobody else makes room of it meanwhile.
    async fn as_it_lies(self, asset: &DeviceAsset) -> Result<(DeviceAsset, KeptCopies), AssetError> {
        let locality = self.library.locality(&asset.id).await?;
        if locality != asset.locality {
            self.run.catalog.record_locality(self.library.id(), &asset.id, locality).await?;
        }
        let asset = DeviceAsset { locality, ..asset.clone() };
        let is_kept = as_kept(self.library.id(), asset.clone(), |key| self.cache.has(key));
        let kept = self.kept(&asset);
        Ok((is_kept, kept))
    }

    /// A file of the vault goes into further albums.
    async fn place(
        self,
        asset: &DeviceAsset,
        file: FileId,
        albums: &[DeviceAlbumKey],
        world: &World,
    ) -> Result<(), AssetError> {
        let memberships = self.run.catalog.own_memberships(self.run.session.account, file).await?;
        let Some(row) = memberships.first() else { return Ok(()) };
        for key in albums {
            let Some(chosen) = world.albums.get(key) else { continue };
            self.run.gate.pass(asset.kind, 0)?;
            self.run.link_into(&DeviceAlbum { key: key.clone(), name: chosen.name.clone() }, row).await?;
        }
        Ok(())
    }

    /// The album that an asset goes to first.
    fn album_of(self, asset: &DeviceAsset, world: &World) -> DeviceAlbum {
        let mirrored = world.selected(asset).next().filter(|_| self.device.mirror);
        match mirrored.and_then(|key| Some((key, world.albums.get(key)?))) {
            Some((key, chosen)) => DeviceAlbum { key: key.clone(), name: chosen.name.clone() },
            None => DeviceAlbum {
                key: DeviceAlbumKey { root: Vec::new(), folder: self.device.album.clone().into_bytes() },
                name: self.device.album.clone(),
            },
        }
    }
}

/// Whether the vault had no room for it in an earlier run.
fn found_no_room(asset: &DeviceAsset, world: &World) -> bool {
    world.known.get(&asset.id).is_some_and(|known| known.state == AssetState::NoRoom)
}

#[cfg(test)]
mod tests {
    use super::super::rules::explanation::Skip;
    use super::*;
    use crate::backup::report::Named;
    use crate::library::device::AssetKind;

    #[test]
    fn a_run_is_through_when_all_that_was_allowed_had_its_turn() {
        let id = || AssetId::new("a");
        let waits = |wait: Wait| vec![(id(), Explanation::Waiting(wait))];
        let usual = BackupReport::default();
        let failed = vec![Named { path: "a.jpg".to_owned(), reason: "it cannot be read".to_owned() }];
        let unreadable = BackupReport { failed, ..usual.clone() };
        let stopped = BackupReport { interrupted: Some("it was stopped".to_owned()), ..usual.clone() };
        let full = BackupReport { storage_full: Some("it is full".to_owned()), ..usual.clone() };
        for (report, rest, held, expected) in [
            (&usual, vec![], None, true),
            (&unreadable, vec![], None, true),
            (&stopped, vec![], None, false),
            (&full, vec![], None, false),
            (&usual, vec![(id(), Explanation::Skipped(Skip::NotSelected))], None, true),
            (
                &usual,
                vec![(id(), Explanation::Blocked { reason: "it is broken".to_owned(), until: None })],
                None,
                true,
            ),
            (&usual, waits(Wait::Unmetered(AssetKind::Video)), None, true),
            (&usual, waits(Wait::Delay(7)), None, true),
            (&usual, waits(Wait::Charger), None, true),
            (&usual, waits(Wait::CacheRoom(7)), None, true),
            (&usual, waits(Wait::Foreground), None, true),
            (&usual, waits(Wait::Network), None, false),
            (&usual, waits(Wait::Grant), None, false),
            (&usual, waits(Wait::AppOpened), None, false),
            (&usual, vec![], Some(Wait::Fetch), true),
            (&usual, vec![], Some(Wait::CacheRoom(7)), true),
            (&usual, vec![], Some(Wait::Unmetered(AssetKind::Photo)), false),
            (&usual, vec![], Some(Wait::Foreground), false),
            (&usual, vec![], Some(Wait::Grant), false),
            (&usual, vec![], Some(Wait::Network), false),
            (&usual, vec![], Some(Wait::Storage), false),
        ] {
            let held: Vec<_> = held.into_iter().map(|wait| (id(), wait)).collect();
            assert_eq!(is_through(report, &rest, &held), expected, "{report:?} {rest:?} {held:?}");
        }
    }
}
