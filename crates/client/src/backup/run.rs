//! One run: what it holds, how plans become work, and how much work goes on at once.
//!
//! Three lanes: a big file never holds up the small ones, nor a film the photos. In each lane a few assets are in flight; hashing and
//! sealing take turns on threads that may block.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::albums::Albums;
use super::batch::{self, Counter, Courier, Parcel};
use super::claims::Lines;
use super::error::{AssetError, BackupError};
use super::gate::{Gate, Outlook};
use super::hash::{HashError, Hashed, hash_kept};
use super::head_start::Ahead;
use super::identify::{Asset, Identified, Surroundings, identify_into};
use super::in_flight::InFlight;
use super::lanes::{Lanes, large_lane, small_lane};
use super::marks::Marks;
use super::packing::{Packing, pack_together};
use super::patience::Patience;
use super::plan::{Decision, Step};
use super::report::BackupReport;
use super::request_limit::RequestLimit;
use super::rules::explanation::Wait;
use super::settle::Job;
use super::survey::Survey;
use super::thumbnails::{self, Signals};
use super::to_read::{FilesToRead, Group};
use super::upload::UrlPool;
use super::vault_clock::{Since, VaultClock};
use super::vault_room::VaultRoom;
use crate::buffers::Buffers;
use crate::catalog::{AssetRow, AssetState, Catalog, CatalogError, Failing, Fingerprint, Spans};
use crate::error::VaultError;
use crate::event::{Event, Events, Outcome};
use crate::folder::marker;
use crate::library::archive::Archives;
use crate::library::{Library, PassReason, PassedOver, raw};
use crate::session::Session;
use crate::together::Together;

/// Small originals on the network at once.
const SMALL_UPLOADS: usize = 4;

/// Large photos on the network at once, and as many large videos.
const LARGE_UPLOADS: usize = 2;

/// Assets that are hashed at once: more would only make the disk seek.
const HASHING: usize = 2;

/// Videos among them: films leave a turn to photos.
const HASHING_VIDEOS: usize = 1;

/// Groups of assets that are sealed at once.
const SEALING: usize = 2;

/// Assets of known content that are looked up at once.
pub(super) const RECHECKED_AT_ONCE: usize = 8;

/// Folders whose files are being looked at, or were, and have not all had their turn.
pub(super) const FOLDERS_IDENTIFIED_AHEAD: usize = 2;

/// What is said of a file that was there a moment ago. Nothing is recorded of it: where it is now it is found by the next look.
pub(super) const GONE: &str = "it is gone: it was moved or deleted while the backup ran";

/// Everything that the work of one run shares.
pub(super) struct Run {
    pub(super) session: Arc<Session>,
    pub(super) catalog: Catalog,
    pub(super) settings: Settings,
    pub(super) events: Events,
    pub(super) now: i64,
    pub(super) patience: Arc<Patience>,
    pub(super) albums: Albums,
    pub(super) urls: UrlPool,
    pub(super) in_flight: InFlight<Job>,
    /// Where it matters which of equal files comes first.
    pub(super) lines: Lines,
    pub(super) room_in_memory: Arc<Semaphore>,
    /// Marks of the contents that are known already.
    pub(super) marks: Mutex<Marks>,
    /// Files of which a sidecar said in this run when they were taken.
    pub(super) dated: Mutex<HashSet<darkslide_protocol::FileId>>,
    /// Where small uploads are handed in, while assets are worked on.
    counter: Mutex<Option<Counter>>,
    pub(super) hashing: Semaphore,
    pub(super) hashing_videos: Semaphore,
    pub(super) hashing_small: Together<Asset, (Asset, Result<Hashed, HashError>)>,
    pub(super) hashing_small_turn: Arc<Semaphore>,
    pub(super) sealing: Together<Packing, Parcel>,
    pub(super) sealing_turns: Arc<Semaphore>,
    pub(super) buffers: Buffers,
    pub(super) small_uploads: Semaphore,
    pub(super) large_photo_uploads: Semaphore,
    pub(super) large_video_uploads: Semaphore,
    pub(super) ahead: Ahead,
    pub(super) sent: Arc<AtomicU64>,
    /// Ends the run: the caller's stop, or a failure after which nothing can work.
    pub(super) halt: CancellationToken,
    stop: CancellationToken,
    left: AtomicU64,
    /// What is due behind the originals.
    thumbnails: Arc<Signals>,
    /// Stretches of the feed that this run has made, and knows.
    pub(super) spans: Arc<tokio::sync::Mutex<Spans>>,
    pub(super) thumbnails_left: AtomicU64,
    /// What every part passes.
    pub(super) gate: Arc<Gate>,
    /// The device's own library, if it is one that is backed up.
    pub(super) library: Option<Arc<dyn Library>>,
    /// What the moment did not allow, and what each waits for.
    held: Mutex<Vec<(PathBuf, Wait)>>,
    /// What tells since when something is here, and by which clock.
    pub(super) since: Since,
    pub(super) clock: VaultClock,
    /// When the latest file was deleted that was purged, and of which nobody knows here what it was.
    pub(super) unknown_purge: OnceLock<Option<i64>>,
    /// The archives that assets lie in.
    pub(super) archives: Arc<Archives>,
    /// What the vault still takes.
    pub(super) room: Arc<VaultRoom>,
    /// What one request may have.
    pub(super) limit: Arc<RequestLimit>,
    /// Whether the server could not be reached any more.
    pub(super) has_lost_server: AtomicBool,
    /// Whether the owner was told that there is none, in this run or in an earlier one.
    is_told_full: AtomicBool,
    report: Mutex<BackupReport>,
    fatal: Mutex<Option<BackupError>>,
}

impl Run {
    pub(super) fn new(
        session: Arc<Session>,
        catalog: Catalog,
        settings: Settings,
        events: Events,
        stop: &CancellationToken,
        now: i64,
    ) -> Self {
        let memory = settings.memory;
        let halt = stop.child_token();
        let buffers = Buffers::default();
        let (for_hashing, for_sealing) = (buffers.clone(), buffers.clone());
        let (hashing_small_turn, sealing_turns) =
            (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(SEALING)));
        Self {
            session,
            catalog,
            now,
            patience: Arc::new(Patience::new(settings.patience, halt.clone(), events.clone())),
            settings,
            events,
            albums: Albums::new(),
            urls: UrlPool::new(),
            in_flight: InFlight::new(),
            lines: Lines::default(),
            room_in_memory: Arc::new(Semaphore::new(memory.room_units as usize)),
            marks: Mutex::default(),
            dated: Mutex::default(),
            counter: Mutex::default(),
            hashing_small: Together::in_company(
                memory.hashed_together,
                memory.hashed_in_company,
                Arc::clone(&hashing_small_turn),
                move |assets| hash_together(assets, &for_hashing),
            ),
            hashing_small_turn,
            hashing: Semaphore::new(HASHING),
            hashing_videos: Semaphore::new(HASHING_VIDEOS),
            sealing: Together::new(memory.sealed_together, Arc::clone(&sealing_turns), move |packings| {
                pack_together(packings, &for_sealing)
            }),
            sealing_turns,
            buffers,
            small_uploads: Semaphore::new(SMALL_UPLOADS),
            large_photo_uploads: Semaphore::new(LARGE_UPLOADS),
            large_video_uploads: Semaphore::new(LARGE_UPLOADS),
            ahead: Ahead::default(),
            sent: Arc::default(),
            halt,
            stop: stop.clone(),
            left: AtomicU64::new(0),
            thumbnails: Arc::default(),
            spans: Arc::default(),
            thumbnails_left: AtomicU64::new(0),
            gate: Arc::default(),
            library: None,
            held: Mutex::default(),
            since: Since::Seen,
            unknown_purge: OnceLock::new(),
            clock: VaultClock::unasked(now),
            archives: Arc::default(),
            room: Arc::default(),
            limit: Arc::default(),
            has_lost_server: AtomicBool::new(false),
            is_told_full: AtomicBool::new(false),
            report: Mutex::default(),
            fatal: Mutex::new(None),
        }
    }

    /// Learns what sending needs to know, which a run that sends nothing is spared.
    pub(super) async fn prepare_to_send(&self) -> Result<(), BackupError> {
        self.measure_room().await;
        let is_told = self.catalog.has_assets_without_room().await?;
        self.is_told_full.store(is_told, Ordering::Relaxed);
        self.read_marks().await?;
        let unknown = self.catalog.latest_unknown_purge().await?;
        self.unknown_purge.get_or_init(|| unknown);
        Ok(())
    }

    /// Files that will be read, so that URLs are minted for about as many.
    pub(super) fn expect_files(&self, files: u64) {
        self.left.store(files, Ordering::Relaxed);
    }

    /// Objects still to come: an original and a thumbnail each.
    pub(super) fn objects_expected(&self) -> u64 {
        self.left.load(Ordering::Relaxed).saturating_mul(2).max(2)
    }

    /// Where small uploads are handed in.
    pub(super) fn counter(&self) -> Counter {
        let counter = self.counter.lock().unwrap_or_else(PoisonError::into_inner).clone();
        counter.expect("it is open while assets are worked on")
    }

    pub(super) fn tally(&self) -> MutexGuard<'_, BackupReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the scan passed over goes into the report.
    pub(super) async fn pass_over(&self, passed_over: &[PassedOver]) {
        for PassedOver { path, reason } in passed_over {
            if let PassReason::Unreadable(error) = reason {
                let text = marker::unreadable_for_backup(path, error);
                if error.kind() != std::io::ErrorKind::NotFound {
                    self.tally().note_unreadable(path, &text);
                }
                self.cannot_read(path, text).await;
            } else {
                self.tally().count(path, &Outcome::Skipped(reason.to_string()));
            }
        }
    }

    /// Counts and tells what cannot be read, before any work begins.
    pub(super) async fn cannot_read(&self, path: &Path, reason: String) {
        self.tally().count(path, &Outcome::Failed(reason.clone()));
        self.events.send(Event::Unreadable { name: path.into(), reason }).await;
    }

    /// Makes it tell in this way since when something is here.
    pub(super) fn by(self, clock: VaultClock, since: Since) -> Self {
        Self { since, clock, ..self }
    }

    /// Makes it the run of a device's own library, under conditions that change.
    pub(super) fn of_library(
        self,
        library: Arc<dyn Library>,
        outlook: Outlook,
        resumable: bool,
        cache_room: u64,
    ) -> Self {
        let patience = Patience::new(self.settings.patience, self.halt.clone(), self.events.clone());
        let patience = Arc::new(patience.under(outlook.conditions.clone()));
        Self {
            patience,
            gate: Arc::new(Gate::new(outlook, resumable, cache_room)),
            library: Some(library),
            ..self
        }
    }

    /// Does what the surveys brought to be done.
    pub(super) async fn carry_out(self: &Arc<Self>, surveys: Vec<Survey>) -> Result<(), BackupError> {
        let feed = async |lanes: &Lanes| {
            for Survey { root, steps, to_read, .. } in surveys {
                self.feed_lanes(lanes, &root.into(), steps, to_read).await?;
                if self.halt.is_cancelled() {
                    break;
                }
            }
            Ok(())
        };
        self.work(feed).await
    }

    /// Opens the lanes, lets `feed` fill them, and waits until all that went in has come out.
    pub(super) async fn work(
        self: &Arc<Self>,
        feed: impl AsyncFnOnce(&Lanes) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        let (small, small_waiting) = mpsc::channel(1);
        // Descriptions only: their bytes are read when their turn comes.
        let (large_photos, photos_waiting) = mpsc::unbounded_channel();
        let (large_videos, videos_waiting) = mpsc::unbounded_channel();
        let (counter, courier) = batch::open(self.courier());
        *self.counter.lock().unwrap_or_else(PoisonError::into_inner) = Some(counter);
        // Owned here: a caller that drops this future ends the lanes with it.
        let mut tasks = JoinSet::new();
        let mut sending = JoinSet::new();
        sending.spawn(courier);
        let mut following = JoinSet::new();
        following.spawn(thumbnails::follow(Arc::clone(self), Arc::clone(&self.thumbnails)));
        tasks.spawn(small_lane(Arc::clone(self), small_waiting));
        tasks.spawn(large_lane(Arc::clone(self), photos_waiting));
        tasks.spawn(large_lane(Arc::clone(self), videos_waiting));
        let lanes = Lanes { small, large_photos, large_videos };
        let fed = feed(&lanes).await;
        drop(lanes);
        tasks.join_all().await;
        drop(self.counter.lock().unwrap_or_else(PoisonError::into_inner).take());
        sending.join_all().await;
        self.events.send(Event::OriginalsDone).await;
        self.thumbnails.originals_are_done();
        self.tell_thumbnails_left().await?;
        following.join_all().await;
        self.tell_thumbnails_left().await?;
        fed?;
        let fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner).take();
        fatal.map_or(Ok(()), Err)
    }

    fn courier(&self) -> Courier {
        Courier {
            session: Arc::clone(&self.session),
            catalog: self.catalog.clone(),
            patience: Arc::clone(&self.patience),
            events: self.events.clone(),
            sent: Arc::clone(&self.sent),
            thumbnails_due: Arc::clone(&self.thumbnails.due),
            spans: Arc::clone(&self.spans),
            gate: Arc::clone(&self.gate),
            room: Arc::clone(&self.room),
            limit: Arc::clone(&self.limit),
            most: self.settings.memory.batch_bytes,
        }
    }

    async fn feed_lanes(
        &self,
        lanes: &Lanes,
        root: &Arc<Path>,
        steps: Vec<Step>,
        mut to_read: FilesToRead,
    ) -> Result<(), BackupError> {
        // Steps that need no reading mostly cost nothing, or one short call each.
        let mut steps = futures_util::stream::iter(steps)
            .map(|step| async { self.is_dealt_with(root, &step).await.map(|done| (done, step)) })
            .buffer_unordered(RECHECKED_AT_ONCE);
        while let Some(dealt_with) = steps.next().await {
            let (done, step) = dealt_with?;
            if self.halt.is_cancelled() {
                return Ok(());
            }
            if !done {
                to_read.add(&step);
            }
        }
        drop(steps);
        // The next folder is looked at while this one's files are sent.
        let mut identified = futures_util::stream::iter(to_read.groups())
            .map(|group| self.identified(root, group))
            .buffered(FOLDERS_IDENTIFIED_AHEAD);
        while let Some((group, changed)) = identified.next().await {
            let group = group.into_iter().map(|one| (Arc::clone(root), one)).collect();
            if !self.dispatch(lanes, group, &changed).await? {
                break;
            }
        }
        Ok(())
    }

    /// Does what a step needs if nothing must be read for it.
    pub(super) async fn is_dealt_with(&self, root: &Arc<Path>, step: &Step) -> Result<bool, BackupError> {
        match &step.decision {
            Decision::Read(_) => Ok(false),
            Decision::Unchanged => {
                self.tally().unchanged += 1;
                Ok(true)
            }
            Decision::NotMedia(reason) => {
                self.tally().count(&root.join(&step.path), &Outcome::NotMedia(reason.clone()));
                Ok(true)
            }
            Decision::Recheck(content) => self.recheck(root, step, content).await,
        }
    }

    async fn identified(&self, root: &Arc<Path>, group: Group) -> (Vec<Identified>, HashSet<PathBuf>) {
        let Group { paths, changed } = group;
        let (root, settings, now) = (Arc::clone(root), self.settings.clone(), self.now);
        let buffers = self.buffers.clone();
        let identifying = tokio::task::spawn_blocking(move || {
            let around = Surroundings { root: &root, zone: &*settings.zone, now };
            identify_into(&buffers, around, &paths, |path| settings.albums.album_of(&root, path))
        });
        (identifying.await.expect("identification does not panic"), changed)
    }

    /// Sends assets on their way; what became none is recorded. Tells whether there can be more.
    pub(super) async fn dispatch(
        &self,
        lanes: &Lanes,
        group: Vec<(Arc<Path>, Identified)>,
        changed: &HashSet<PathBuf>,
    ) -> Result<bool, BackupError> {
        let mut assets = Vec::with_capacity(group.len());
        for (root, identified) in group {
            if self.halt.is_cancelled() {
                return Ok(false);
            }
            match identified {
                Identified::Asset(mut asset) => {
                    let halves = std::iter::once(&asset.main).chain(&asset.motion);
                    asset.is_changed = halves.into_iter().any(|half| changed.contains(&half.relative));
                    asset.ticket = self.lines.ticket(&asset);
                    assets.push(*asset);
                }
                other => self.leave_alone(&root, other).await?,
            }
        }
        lanes.send_all(assets, &self.settings.memory, &self.halt).await;
        Ok(!self.halt.is_cancelled())
    }

    /// Records what became no asset.
    async fn leave_alone(&self, root: &Arc<Path>, identified: Identified) -> Result<(), BackupError> {
        match identified {
            Identified::Asset(_) => {}
            Identified::NotMedia { relative, fingerprint, reason } => {
                let reason = reason.to_string();
                self.record_other(root, &relative, fingerprint, (AssetState::NotMedia, false), &reason)
                    .await?;
                self.finished(&root.join(relative).into(), Outcome::NotMedia(reason)).await;
            }
            Identified::LeftAlone { relative, fingerprint, reason } => {
                self.record_other(root, &relative, fingerprint, (AssetState::Skipped, false), &reason)
                    .await?;
                self.finished(&root.join(relative).into(), Outcome::Skipped(reason)).await;
            }
            Identified::Unreadable { relative, fingerprint, error } => {
                let error = AssetError::Identify(error);
                if error.is_gone() {
                    self.finished(&root.join(relative).into(), Outcome::Skipped(GONE.to_owned())).await;
                    return Ok(());
                }
                let (reason, ended) = (error.told(), (AssetState::Blocked, error.is_lasting()));
                self.record_other(root, &relative, fingerprint, ended, &reason).await?;
                self.finished(&root.join(relative).into(), Outcome::Failed(reason)).await;
            }
        }
        Ok(())
    }

    /// Records a file that became no asset, and whether it would fail again if it was tried soon.
    pub(super) async fn record_other(
        &self,
        root: &Path,
        relative: &Path,
        fingerprint: Fingerprint,
        (state, is_lasting): (AssetState, bool),
        reason: &str,
    ) -> Result<(), CatalogError> {
        let row = AssetRow {
            root: raw(root),
            path: raw(relative),
            fingerprint,
            motion: None,
            album: self.settings.albums.album_of(root, relative).key,
            content_hash: None,
            file: None,
            state,
            reason: Some(reason.to_owned()),
            first_seen: self.now,
            last_seen: self.now,
            failing: self.failing(is_lasting),
        };
        self.catalog.put_asset(&row).await
    }

    /// What is recorded of what failed, if it would fail again.
    pub(super) fn failing(&self, is_lasting: bool) -> Option<Failing> {
        let now = self.gate.moment().unwrap_or(self.now);
        is_lasting.then_some(Failing { since: now, last: now })
    }

    /// Counts and tells how a file ended.
    pub(super) async fn finished(&self, name: &Arc<Path>, outcome: Outcome) {
        self.tally().count(name, &outcome);
        // Saturating: files that were paired were expected twice.
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        self.events.send(Event::Finished { name: Arc::clone(name), outcome }).await;
    }

    /// Tells that there is something to make.
    pub(super) fn thumbnails_are_due(&self) {
        self.thumbnails.due.notify_one();
    }

    /// Remembers that something waits for a better moment. It is planned again in the next run.
    pub(super) fn hold(&self, asset: &Asset, wait: Wait) {
        let place = asset.library.as_ref().map_or_else(|| asset.main.path.clone(), |known| known.id.clone());
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push((place, wait));
    }

    /// The same, of something that was not opened yet.
    pub(super) fn hold_id(&self, id: PathBuf, wait: Wait) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push((id, wait));
    }

    /// Whether nothing more is begun.
    pub(super) fn is_halted(&self) -> bool {
        self.halt.is_cancelled()
    }

    /// What waits for a better moment, and what for.
    pub(super) fn held(&self) -> Vec<(PathBuf, Wait)> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks whether a failure of one asset is one of the whole run.
    pub(super) async fn weigh(&self, error: &AssetError) {
        if error.is_storage_full() {
            if error.is_refused_for_room() {
                self.room.refused();
            }
            let reason = error.disk_is_full().unwrap_or_else(|| self.room.reason());
            self.tally().storage_full.get_or_insert_with(|| reason.clone());
            if !self.is_told_full.swap(true, Ordering::Relaxed) {
                self.events.send(Event::StorageFull { reason }).await;
            }
        } else if error.is_transient() {
            let is_of_the_server = matches!(error.root(), AssetError::Api(_));
            self.has_lost_server.fetch_or(is_of_the_server, Ordering::Relaxed);
            // Patience is over: the next asset would fare no better.
            self.interrupt(error.to_string());
        }
    }

    /// Ends the run with a report.
    pub(super) fn interrupt(&self, reason: String) {
        self.tally().interrupted.get_or_insert(reason);
        self.halt.cancel();
    }

    /// Ends the run without one.
    pub(super) fn fail(&self, error: impl Into<VaultError>) {
        let error = BackupError::Vault(error.into());
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.halt.cancel();
    }

    /// Ends the run because of what one asset met.
    pub(super) fn fail_with(&self, error: AssetError) {
        match error {
            AssetError::Catalog(error) => self.fail(error),
            AssetError::Api(failure) => self.fail(failure),
            error => {
                self.fatal
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(BackupError::Asset(error));
                self.halt.cancel();
            }
        }
    }

    /// The report, when everything is over.
    pub(super) fn report(&self, duration: Duration) -> BackupReport {
        if self.stop.is_cancelled() {
            self.tally().interrupted.get_or_insert_with(|| AssetError::Stopped.to_string());
        }
        let mut report = std::mem::take(&mut *self.tally());
        report.bytes_sent = self.sent.load(Ordering::Relaxed);
        report.thumbnails_left = self.thumbnails_left.load(Ordering::Relaxed);
        report.duration = duration;
        report.sort();
        report
    }
}

fn hash_together(mut assets: Vec<Asset>, buffers: &Buffers) -> Vec<(Asset, Result<Hashed, HashError>)> {
    let hashed = hash_kept(&mut assets, buffers);
    assets.into_iter().zip(hashed).collect()
}
