//! The loop that keeps the sync folders of one profile in step: a pass over a folder when something has changed in it, when the vault has
//! changed, when something has settled, and now and then.
//!
//! At most one pass is under way. It knows no picture by itself: everything that matters is in the catalog, and a process that is killed goes on
//! from there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use darkslide_client::catalog::{Catalog, Feed, SyncFolderRow};
use darkslide_client::error::{causes_on, quoted};
use darkslide_client::event::Events;
use darkslide_client::folder::report::PassReport;
use darkslide_client::folder::{Memories, PassSettings, SyncError, pass, signed_out};
use darkslide_client::library::selection::Exclusions;
use darkslide_client::micros_of;
use darkslide_client::session::Session;
use darkslide_client::watch::{How, Removals, Watcher, Why, disks};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::AgentSettings;
use super::attempt::is_replaced;
use super::control::{Command, Request};
use super::log::{Log, moment};
use super::notices::{Cause, Notices};
use super::schedule::{backoff, chance};
use super::sign_in::SignIn;
use crate::commands::sync::pass_settings;
use crate::commands::sync::show::{done, sentence};
use crate::output::counted;
use crate::profile::own_folders;

/// From a change to the pass over it: changes come in flocks.
const FLOCK: Duration = Duration::from_millis(250);

/// The first pause after a failure, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));

/// How soon a pass is tried again while another process of this profile is sending.
const BUSY: Duration = Duration::from_secs(2);

/// How often the list is read where nobody tells that it has changed.
const LIST_LOOK: Duration = Duration::from_secs(5);

/// How long the agent may take to give its turn.
const TURN: Duration = Duration::from_mins(1);

/// What the loop shares with whoever runs it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    /// Who is signed in. Set by whoever finds that the session has ended, too.
    pub(crate) sign_in: Arc<watch::Sender<SignIn>>,
    /// Whether nothing is to be done.
    pub(crate) paused: Arc<watch::Sender<bool>>,
    /// Rung when the vault has changed.
    pub(crate) vault: Arc<Notify>,
    /// Rung when everything is to be looked at, the list of folders first.
    pub(crate) look: Arc<Notify>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            sign_in: Arc::new(watch::channel(SignIn::Unknown).0),
            paused: Arc::new(watch::channel(false).0),
            vault: Arc::default(),
            look: Arc::default(),
        }
    }
}

/// The loop of one profile.
pub(crate) struct Keeper {
    /// Where it says what it does.
    pub(crate) log: Log,
    /// How it works.
    pub(crate) settings: AgentSettings,
    /// What it shares.
    pub(crate) shared: Shared,
    /// Asked to stand back while something is sent, if there is somebody to ask.
    pub(crate) turns: Option<mpsc::Sender<Command>>,
    /// Ends it.
    pub(crate) stop: CancellationToken,
}

/// One folder.
struct InStep {
    row: SyncFolderRow,
    watcher: Option<Watcher>,
    due: Instant,
    /// When it is seen whether what is watched is still what lies there.
    look_due: Instant,
    failures: u32,
    /// Until when what failed is not tried again where somebody would have to stand back for it: whatever wakes the loop, nobody is interrupted
    /// for the same failure again and again.
    not_before: Instant,
    /// What was last said of it.
    said: Option<String>,
    /// Why the system does not tell what changes in it, as that was last said.
    polled: Option<String>,
    /// How far the vault was read for the last plan.
    looked_at: i64,
}

impl InStep {
    fn new(row: SyncFolderRow) -> Self {
        let now = Instant::now();
        Self {
            row,
            watcher: None,
            due: now,
            look_due: now,
            failures: 0,
            not_before: now,
            said: None,
            polled: None,
            looked_at: 0,
        }
    }

    /// Takes over what the system has told, and sees now and then whether it tells it of the folder that is there: otherwise it is to be watched
    /// anew.
    async fn hear(&mut self, now: Instant, every: Duration) {
        let Some(watcher) = &mut self.watcher else { return };
        let dirty = watcher.take();
        if !dirty.is_clean() {
            self.due = self.due.min(now + FLOCK);
        }
        if dirty.is_everything() || self.look_due <= now || self.due <= now {
            self.look_due = now + every;
            // It may not have been there for a moment when it was to be watched.
            let is_refused = matches!(watcher.how(), How::Polled(Why::Refused(_)));
            if (is_refused && self.due <= now) || is_replaced(watcher.root().cloned()).await {
                self.watcher = None;
                self.due = self.due.min(now + FLOCK);
            }
        }
    }

    /// Until when to wait after one more failure.
    fn pause(&mut self, now: Instant) -> Instant {
        let pause = backoff(RETRY, self.failures, chance());
        self.failures += 1;
        now + pause
    }

    /// Looks at it now, whatever failed.
    fn begin_anew(&mut self, now: Instant) {
        (self.due, self.not_before) = (now, now);
    }
}

impl Keeper {
    /// Works until it is told to stop.
    pub(crate) async fn keep(mut self, catalog: Catalog) {
        let mut folders: BTreeMap<i64, InStep> = BTreeMap::new();
        let mut memories = Memories::default();
        let mut notices = Notices::new(self.settings.shows_notices);
        let news = Arc::new(Notify::new());
        let (mut sign_in, mut paused) = (self.shared.sign_in.subscribe(), self.shared.paused.subscribe());
        self.read(&catalog, &mut folders).await;
        // It may have been found out before anybody listened.
        self.sign_in_changed(&catalog).await;
        while !self.stop.is_cancelled() {
            let until = self.next(&catalog, &mut folders, &mut memories, &mut notices, &news).await;
            // Without an agent around it, nobody hears of what commands change.
            let until = if self.turns.is_none() { until.min(Instant::now() + LIST_LOOK) } else { until };
            let (vault, look) = (Arc::clone(&self.shared.vault), Arc::clone(&self.shared.look));
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep_until(until.into()) => {
                    if self.turns.is_none() {
                        self.read(&catalog, &mut folders).await;
                    }
                }
                () = news.notified() => {}
                () = vault.notified() => self.vault_changed(&catalog, &mut folders).await,
                () = look.notified() => {
                    self.read(&catalog, &mut folders).await;
                    let now = Instant::now();
                    for folder in folders.values_mut() {
                        folder.begin_anew(now);
                    }
                }
                changed = sign_in.changed() => {
                    if changed.is_ok() {
                        self.sign_in_changed(&catalog).await;
                        due_now(&mut folders);
                    }
                }
                changed = paused.changed() => { if changed.is_ok() { due_but_for_failures(&mut folders); } }
            }
        }
    }

    /// That nobody is signed in any more is what is to be said of every folder.
    async fn sign_in_changed(&mut self, catalog: &Catalog) {
        let sign_in = self.shared.sign_in.borrow().clone();
        if let SignIn::Out(why) = sign_in
            && let Err(error) = signed_out(catalog, micros_of(SystemTime::now()), &why).await
        {
            self.say(format!("what became of the session cannot be noted: {error}"));
        }
    }

    /// Reads the list of folders: others change it.
    async fn read(&mut self, catalog: &Catalog, folders: &mut BTreeMap<i64, InStep>) {
        match catalog.sync_folders().await {
            Ok(rows) => take_over(rows, folders),
            Err(error) => {
                let why = causes_on(&error, catalog.folder()).join(": ");
                self.say(format!("the sync folders cannot be read: {why}"));
            }
        }
    }

    /// Does what is due, and says until when there is nothing.
    async fn next(
        &mut self,
        catalog: &Catalog,
        folders: &mut BTreeMap<i64, InStep>,
        memories: &mut Memories,
        notices: &mut Notices,
        news: &Arc<Notify>,
    ) -> Instant {
        let now = Instant::now();
        let session = self.shared.sign_in.borrow().session().cloned();
        let is_idle = *self.shared.paused.borrow();
        for folder in folders.values_mut().filter(|folder| !folder.row.paused) {
            folder.hear(now, self.settings.timing.look).await;
        }
        let (Some(session), false) = (session, is_idle) else { return now + Duration::from_mins(1) };
        let watched = folders.values().filter(|folder| !folder.row.paused && folder.watcher.is_some());
        let look = watched.map(|folder| folder.look_due).min();
        let ready = folders.values_mut().filter(|folder| !folder.row.paused).min_by_key(|folder| folder.due);
        let Some(folder) = ready else { return now + self.settings.timing.rescan };
        if folder.due > now {
            return look.map_or(folder.due, |look| look.min(folder.due));
        }
        // Not before: what is watched is the folder that is there now, and it is not the right one while that is left alone.
        let path = folder.row.folder.path.clone();
        if folder.watcher.is_none() && disks::asked().silent_at(&path, disks::TO_WAKE).await.is_none() {
            let news = Arc::clone(news);
            let exclude = Exclusions::default().and_own(own_folders());
            let beginning =
                tokio::task::spawn_blocking(move || Watcher::begin(&path, Removals::Matter, exclude, news));
            folder.watcher = beginning.await.ok();
        }
        let polled = match folder.watcher.as_ref().map(Watcher::how) {
            Some(How::Polled(why)) => Some(why.to_string()),
            _ => None,
        };
        let polls = folder.watcher.is_none() || polled.is_some();
        let usual = if polls { self.settings.timing.poll } else { self.settings.timing.rescan };
        if folder.polled != polled {
            if let Some(why) = &polled {
                let path = folder.row.folder.path.display();
                self.say(format!("{path} is looked at every now and then: {why}"));
            }
            folder.polled = polled;
        }
        folder.due = now + usual;
        let passed = self.pass(catalog, &session, folder, memories).await;
        let took = now.elapsed();
        self.conclude(catalog, &session, passed, folder, took, notices);
        // Notices of what the pass itself did are not news of others.
        now
    }

    async fn pass(
        &mut self,
        catalog: &Catalog,
        session: &Arc<Session>,
        folder: &mut InStep,
        memories: &mut Memories,
    ) -> Result<PassReport, SyncError> {
        // Its owner may have approved something since.
        if let Some(row) = catalog.sync_folders().await?.into_iter().find(|row| row.id == folder.row.id) {
            folder.row = row;
        }
        let mut settings = pass_settings(self.settings.passes);
        settings.sending.patience = super::RUN_PATIENCE;
        settings.sending.memory = darkslide_client::backup::Memory::LITTLE;
        settings.polled.clone_from(&folder.polled);
        let first = self.attempt(catalog, session, &folder.row, memories, &settings).await;
        let Err(error) = &first else { return first };
        if !error.is_busy() || error.is_busy_elsewhere() || error.is_another_pass() {
            return first;
        }
        // The agent is backing watch folders up: it stands back for this, and goes on.
        if folder.not_before > Instant::now() {
            return first;
        }
        let Some(line) = self.turn().await else { return first };
        let again = self.attempt(catalog, session, &folder.row, memories, &settings).await;
        line.cancel();
        again
    }

    /// One pass, which is stopped between two steps when its folder is paused, taken over or taken off the list meanwhile, and when all is
    /// to stand back.
    async fn attempt(
        &self,
        catalog: &Catalog,
        session: &Arc<Session>,
        row: &SyncFolderRow,
        memories: &mut Memories,
        settings: &PassSettings,
    ) -> Result<PassReport, SyncError> {
        let (stop, silent) = (self.stop.child_token(), Events::silent());
        let mut passing = Box::pin(pass(session, catalog, row, memories, settings, &silent, &stop));
        let (mut was_rung, mut paused) = (false, self.shared.paused.subscribe());
        let passed = loop {
            let stands_back = async { drop(paused.wait_for(|paused| *paused).await) };
            tokio::select! {
                passed = &mut passing => break passed,
                () = stands_back, if !stop.is_cancelled() => {
                    stop.cancel();
                    continue;
                }
                () = self.shared.look.notified() => was_rung = true,
                () = tokio::time::sleep(LIST_LOOK) => {}
            }
            let Ok(rows) = catalog.sync_folders().await else { continue };
            let is_it = |known: &SyncFolderRow| {
                known.id == row.id && !known.paused && known.folder.marker == row.folder.marker
            };
            if !rows.iter().any(is_it) {
                stop.cancel();
            }
        };
        if was_rung {
            self.shared.look.notify_one();
        }
        passed
    }

    async fn turn(&self) -> Option<CancellationToken> {
        let line = CancellationToken::new();
        let (done, answer) = oneshot::channel();
        let command = Command { request: Request::Turn, caller: None, line: line.clone(), done };
        self.turns.as_ref()?.send(command).await.ok()?;
        let answer = tokio::time::timeout(TURN, answer).await;
        if !matches!(answer, Ok(Ok(()))) {
            line.cancel();
            return None;
        }
        Some(line)
    }

    fn conclude(
        &mut self,
        catalog: &Catalog,
        session: &Arc<Session>,
        passed: Result<PassReport, SyncError>,
        folder: &mut InStep,
        took: Duration,
        notices: &mut Notices,
    ) {
        let now = Instant::now();
        let path = folder.row.folder.path.display().to_string();
        let id = folder.row.id;
        let report = match passed {
            Ok(report) => report,
            Err(error) if error.is_signed_out() => {
                if !SignIn::note_end(&self.shared.sign_in, session) {
                    folder.begin_anew(now);
                }
                return;
            }
            Err(error) if error.is_busy() && !error.is_busy_elsewhere() => {
                folder.due = folder.not_before.max(now + BUSY);
                return;
            }
            Err(error) => {
                let what =
                    format!("{path}: {}; trying again", causes_on(&error, catalog.folder()).join(": "));
                if folder.said.as_ref() != Some(&what) {
                    self.say(&what);
                    folder.said = Some(what);
                }
                folder.due = folder.pause(now);
                if !error.is_unreachable() && !error.is_busy_elsewhere() {
                    // A server that is back says so, and is asked at once.
                    folder.not_before = folder.due;
                }
                return;
            }
        };
        folder.looked_at = report.vault;
        if report.did_something() {
            self.say(format!("{path}: {}", done(&report)));
        }
        for told in &report.notices {
            self.say(format!("{path}: {}", sentence(told)));
        }
        let wrong = wrong(&report);
        if wrong.is_some() && wrong != folder.said {
            self.say(format!("{path}: {}", wrong.clone().unwrap_or_default()));
        }
        folder.said = wrong;
        match &report.unhealthy {
            Some(why) => {
                notices.tell(Cause::Unhealthy(id), &format!("{path} is not kept in step: {why}"));
                // Looked at anew when it is back, by what the system tells then.
                folder.watcher = None;
                folder.due = now + self.settings.timing.look.min(Duration::from_secs(5));
            }
            None => notices.forget(Cause::Unhealthy(id)),
        }
        match &report.hold {
            Some(hold) => {
                let text = format!(
                    "{path}: {hold}. `darkslide sync approve {}` shows it and lets it happen; nothing is removed until then.",
                    quoted(&path)
                );
                notices.tell(Cause::Hold(id), &text);
            }
            None => notices.forget(Cause::Hold(id)),
        }
        if report.failed_count > 0 {
            folder.not_before = folder.pause(now);
            folder.due = folder.due.min(folder.not_before);
        } else {
            (folder.failures, folder.not_before) = (0, now);
        }
        if report.has_more || report.did_something() {
            // What was done may lead to more; a large folder is not looked at without a pause.
            folder.due = folder.due.min(now + took.min(Duration::from_secs(2)));
        }
        if let Some(at) = report.look_again {
            let wait = at.saturating_sub(micros_of(SystemTime::now()));
            let wait =
                Duration::from_micros(u64::try_from(wait).unwrap_or_default()) + Duration::from_millis(20);
            folder.due = folder.due.min(now + wait);
        }
    }

    /// Reads what has changed, or what is left of a server that was set back. Folders whose last plan knew it already need no pass: most news is of what they did themselves.
    async fn vault_changed(&mut self, catalog: &Catalog, folders: &mut BTreeMap<i64, InStep>) {
        let Some(session) = self.shared.sign_in.borrow().session().cloned() else { return };
        if darkslide_client::feed::pull(&session, catalog).await.is_err() {
            return due_now(folders);
        }
        let vault = catalog.cursor(Feed::Account).await.unwrap_or_default().0;
        let now = Instant::now();
        for folder in folders.values_mut().filter(|folder| folder.looked_at != vault) {
            folder.due = now;
        }
    }

    fn say(&mut self, text: impl AsRef<str>) {
        self.log.write(&moment(), text.as_ref());
    }
}

fn due_now(folders: &mut BTreeMap<i64, InStep>) {
    let now = Instant::now();
    for folder in folders.values_mut() {
        folder.due = now;
    }
}

/// The same, but what failed keeps its pause: that somebody came and went mends nothing.
fn due_but_for_failures(folders: &mut BTreeMap<i64, InStep>) {
    let now = Instant::now();
    for folder in folders.values_mut() {
        folder.due = folder.due.min(folder.not_before.max(now));
    }
}

/// Takes a list of folders over. What its owner has changed of one is looked at.
fn take_over(rows: Vec<SyncFolderRow>, folders: &mut BTreeMap<i64, InStep>) {
    folders.retain(|id, _| rows.iter().any(|row| row.id == *id));
    for row in rows {
        match folders.get_mut(&row.id) {
            Some(known) => {
                let chosen = |row: &SyncFolderRow| (row.folder.clone(), row.paused, row.approval.clone());
                if chosen(&known.row) != chosen(&row) {
                    known.begin_anew(Instant::now());
                }
                known.row = row;
            }
            None => {
                let new = InStep::new(row);
                folders.insert(new.row.id, new);
            }
        }
    }
}

/// What somebody should know, in a line.
fn wrong(report: &PassReport) -> Option<String> {
    if let Some(why) = &report.unhealthy {
        return Some(format!("left alone: {why}"));
    }
    if let Some(hold) = &report.hold {
        return Some(format!("on hold: {hold}"));
    }
    let first = report.failed.first()?;
    Some(format!("{} failed; {}", counted(report.failed_count, "file"), sentence(first)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkslide_client::catalog::NewSyncFolder;
    use darkslide_client::folder::reconcile::Direction;

    fn row() -> SyncFolderRow {
        let folder = NewSyncFolder {
            path: "/synced".into(),
            marker: "m".to_owned(),
            album: "synced".to_owned(),
            direction: Direction::Both,
            keep_older_than: None,
            trash: "/trash".into(),
        };
        SyncFolderRow {
            id: 1,
            folder,
            paused: false,
            added: 0,
            hold: None,
            held: None,
            approval: None,
            last_pass: None,
        }
    }

    /// Once, whoever had stood back for a folder woke it as that was over, and it asked for the next turn at once.
    #[test]
    fn what_failed_keeps_its_pause_when_somebody_has_come_and_gone() {
        let now = Instant::now();
        let mut folders: BTreeMap<i64, InStep> = [(1, InStep::new(row()))].into();
        let folder = folders.get_mut(&1).unwrap();
        folder.not_before = now + Duration::from_mins(1);
        folder.due = folder.not_before;
        due_but_for_failures(&mut folders);
        assert_eq!(folders[&1].due, now + Duration::from_mins(1));
        // Nothing failed.
        let folder = folders.get_mut(&1).unwrap();
        folder.not_before = now;
        due_but_for_failures(&mut folders);
        assert!(folders[&1].due <= Instant::now());
        let folder = folders.get_mut(&1).unwrap();
        folder.not_before = now + Duration::from_mins(1);
        folder.begin_anew(now);
        assert_eq!((folder.due, folder.not_before), (now, now));
    }
}
