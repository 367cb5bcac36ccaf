//! What becomes of an attempt: what it found is taken over, what it left is scheduled, and whoever is needed is told.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use darkslide_client::backup::{BackupReport, Named, Waiting};
use darkslide_client::library::selection::{Reach, Scope};
use darkslide_client::watch::health::Offline;
use darkslide_client::watch::{How, Watcher};

use super::attempt::Attempt;
use super::notices::Cause;
use super::schedule::{Failure, chance};
use super::status::{Problem, Unreadable};
use super::{Agent, LOOK_AGAIN, Running, Watched, micros_of};

/// Failed files of one run that the log names.
const FAILED_NAMED: usize = 20;

/// How often what is safe is counted while a run goes on: hundreds of thousands of files are counted in a tenth of a second.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// How long a folder may be offline before somebody is told.
const OFFLINE_LONG: Duration = Duration::from_hours(24);

impl Agent {
    /// Takes over how an attempt ended.
    pub(super) async fn conclude(&mut self, attempt: Attempt) -> Result<()> {
        let Some(Running { folder, scope, is_overtaken, stop, .. }) = self.running.take() else {
            return Ok(());
        };
        let is_stopped = stop.is_cancelled() && !is_overtaken;
        let now = Instant::now();
        self.published = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        match (attempt, scope) {
            (Attempt::Online { device, watcher }, _) => self.online(folder, device, watcher, now).await?,
            (Attempt::Offline(why), scope) => {
                self.schedule.stopped(folder, scope.unwrap_or_default(), now);
                self.offline(folder, why).await?;
            }
            (Attempt::Ran(mut report), Some(scope)) => {
                if is_overtaken {
                    // All but thumbnails was done.
                    report.interrupted = None;
                }
                self.report(folder, scope, *report, is_stopped, now).await?;
            }
            (Attempt::SignedOut, scope) => {
                self.schedule.stopped(folder, scope.unwrap_or_default(), now);
                self.session_ended();
            }
            // Whoever stopped it did not wait for it to try again.
            (Attempt::Unreachable { .. } | Attempt::Busy(_) | Attempt::Failed(_), scope) if is_stopped => {
                self.schedule.stopped(folder, scope.unwrap_or_default(), now);
            }
            (Attempt::Unreachable { what, causes }, scope) => {
                if self.is_news(&what) && !causes.is_empty() {
                    self.say(causes.join(": "));
                }
                self.retry(folder, scope, what, Failure::Unreachable, now);
            }
            (Attempt::Busy(what), scope) => self.retry(folder, scope, what, Failure::Busy, now),
            (Attempt::Failed(what), scope) => self.retry(folder, scope, what, Failure::Other, now),
            (Attempt::Ran(_), None) => {}
        }
        self.check_account()
    }

    async fn online(
        &mut self,
        folder: i64,
        device: u64,
        watcher: Option<Watcher>,
        now: Instant,
    ) -> Result<()> {
        let Some(watched) = self.folders.get_mut(&folder) else { return Ok(()) };
        let was_offline = watched.offline.take();
        let is_new = watcher.is_some();
        let path = watched.row.path.display().to_string();
        let mut said = was_offline.map(|_| format!("{path} is back"));
        if let Some(watcher) = watcher {
            if let How::Polled(why) = watcher.how() {
                said = Some(format!("{path} is looked at every now and then: {why}"));
            }
            watched.watcher = Some(watcher);
            watched.row.device = Some(device);
            watched.row.offline_since = None;
            self.catalog.watch_folder_online(folder, device).await?;
        }
        self.schedule.online(folder, is_new, now);
        self.notices.forget(Cause::Offline(folder));
        if let Some(said) = said {
            self.say(said);
        }
        Ok(())
    }

    async fn offline(&mut self, folder: i64, why: Offline) -> Result<()> {
        self.schedule.offline(folder);
        let now = micros_of(SystemTime::now());
        self.catalog.watch_folder_offline(folder, now).await?;
        let rows = self.catalog.watch_folders().await?;
        let Some(watched) = self.folders.get_mut(&folder) else { return Ok(()) };
        if let Some(row) = rows.iter().find(|row| row.id == folder) {
            // Its disk may be away.
            watched.row.device = row.device;
        }
        let since = *watched.row.offline_since.get_or_insert(now);
        let path = watched.row.path.display().to_string();
        let text = format!("{path} is offline: {why}");
        let is_news = watched.offline.replace(why).is_none();
        let is_long =
            now.saturating_sub(since) >= i64::try_from(OFFLINE_LONG.as_micros()).unwrap_or(i64::MAX);
        if is_long {
            self.notices.tell(Cause::Offline(folder), &text);
        }
        if is_news {
            self.schedule.look_by(folder, Instant::now() + LOOK_AGAIN);
            self.say(text);
        }
        Ok(())
    }

    /// A run came to its end.
    async fn report(
        &mut self,
        folder: i64,
        scope: Scope,
        report: BackupReport,
        is_stopped: bool,
        now: Instant,
    ) -> Result<()> {
        self.done.uploaded += report.uploaded;
        self.done.linked += report.linked;
        self.done.bytes_sent += report.bytes_sent;
        self.note(&report);
        let Some(watched) = self.folders.get_mut(&folder) else { return Ok(()) };
        watched.counts = self.catalog.root_counts(&watched.row.path).await?;
        let is_full = scope == Scope::Everything;
        if is_full {
            watched.skipped = report.skipped.len();
        }
        watched.note_unreadable(&scope, &report);
        self.await_settling(folder, &scope, report.waiting, now);
        if let Some(reason) = report.storage_full {
            if self
                .notices
                .tell(Cause::StorageFull, &format!("Pictures are not backed up any more: {reason}"))
            {
                self.say(format!("nothing more is sent: {reason}"));
            }
            self.retry(folder, Some(scope), reason, Failure::Other, now);
            return Ok(());
        }
        if let Some(reason) = report.interrupted {
            if is_stopped {
                self.schedule.stopped(folder, scope, now);
            } else {
                self.retry(folder, Some(scope), reason, Failure::Other, now);
            }
            return Ok(());
        }
        self.done.runs += 1;
        self.schedule.succeeded();
        self.problem = None;
        self.notices.forget(Cause::StorageFull);
        if let (true, Some(watched)) = (is_full, self.folders.get_mut(&folder)) {
            self.done.full_scans += 1;
            let scanned = micros_of(SystemTime::now());
            watched.row.last_scan = Some(scanned);
            self.catalog.watch_folder_scanned(folder, scanned).await?;
        }
        Ok(())
    }

    /// A run tells what it leaves to another, as soon as it knows.
    pub(super) fn await_what_is_found(&mut self, waiting: Vec<Waiting>) {
        let Some((folder, scope)) =
            self.running.as_ref().and_then(|running| Some((running.folder, running.scope.clone()?)))
        else {
            return;
        };
        self.await_settling(folder, &scope, waiting, Instant::now());
    }

    /// Comes back for what has not settled: when it can have, whatever is under way then.
    fn await_settling(&mut self, folder: i64, scope: &Scope, waiting: Vec<Waiting>, now: Instant) {
        let Some(watched) = self.folders.get_mut(&folder) else { return };
        watched.await_settling(scope, waiting);
        let moment = SystemTime::now();
        for waiting in &watched.waiting {
            let in_a_while = waiting.until.duration_since(moment).unwrap_or_default();
            self.schedule.come_back(folder, &waiting.folder, now + in_a_while);
        }
    }

    /// Counts anew what of a folder is safe, from time to time while a run over it goes on.
    pub(super) async fn count_on(&mut self, now: Instant) -> Result<()> {
        let Some(running) = self.running.as_mut().filter(|running| running.counts_due <= now) else {
            return Ok(());
        };
        running.counts_due = now + COUNT_EVERY;
        if let (Some(watched), Some(_)) = (self.folders.get_mut(&running.folder), &running.scope) {
            watched.counts = self.catalog.root_counts(&watched.row.path).await?;
        }
        Ok(())
    }

    /// What of a run is worth a line in the log.
    fn note(&mut self, report: &BackupReport) {
        if report.uploaded + report.linked + report.untrashed > 0 {
            self.say(format!(
                "{} sent ({}), {} already in the vault",
                crate::output::counted(report.uploaded, "file"),
                crate::output::bytes(report.bytes_sent),
                report.linked + report.untrashed
            ));
        }
        for failed in report.failed.iter().take(FAILED_NAMED) {
            self.say(format!("{}: {}", failed.path, failed.reason));
        }
        if let Some(more) = report.failed.len().checked_sub(FAILED_NAMED).filter(|more| *more > 0) {
            self.say(format!("… and {more} more that failed; `darkslide status` names them"));
        }
    }

    /// Whether this is not what was in the way before.
    fn is_news(&self, what: &str) -> bool {
        self.problem.as_ref().is_none_or(|problem| problem.what != what)
    }

    /// Something failed that passes, sooner or later.
    fn retry(&mut self, folder: i64, scope: Option<Scope>, what: String, failure: Failure, now: Instant) {
        if self.is_news(&what) {
            self.say(format!("{what}; trying again"));
        }
        self.schedule.failed(folder, scope.unwrap_or_default(), failure, chance(), now);
        let pause = self.schedule.not_before(now).map(|until| until - now).unwrap_or_default();
        self.problem =
            Some(Problem { what, advice: None, next_try: Some(micros_of(SystemTime::now() + pause)) });
    }
}

impl Watched {
    /// Takes over what could not be looked into in the part that was looked at; of the rest, and of what may not have been reached, what is known
    /// stays. Whoever looks at the files of a folder alone opens none of the folders in it.
    fn note_unreadable(&mut self, scope: &Scope, report: &BackupReport) {
        let is_looked_at = |unreadable: &Unreadable| match scope {
            Scope::Everything => true,
            Scope::Folders(folders) => {
                let below = Path::new(&unreadable.path).strip_prefix(&self.row.path).ok();
                let in_one = |folder: &Path| folders.get(folder) == Some(&Reach::Below);
                below.is_none_or(|below| folders.contains_key(below) || below.ancestors().any(in_one))
            }
        };
        if report.interrupted.is_none() {
            self.unreadable.retain(|known| !is_looked_at(known));
        }
        for Named { path, reason } in &report.unreadable {
            self.unreadable.retain(|known| known.path != *path);
            self.unreadable.push(Unreadable { path: path.clone(), reason: reason.clone() });
        }
    }

    /// Takes over what has not settled in the part that was looked at; of the rest, what is known stays.
    fn await_settling(&mut self, scope: &Scope, waiting: Vec<Waiting>) {
        match scope {
            Scope::Everything => self.waiting = waiting,
            Scope::Folders(folders) => {
                let is_looked_at = |folder: &Path| {
                    folders.contains_key(folder)
                        || folder.ancestors().any(|above| folders.get(above) == Some(&Reach::Below))
                };
                self.waiting.retain(|known| !is_looked_at(&known.folder));
                self.waiting.extend(waiting);
            }
        }
    }
}
