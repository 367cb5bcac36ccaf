//! The agent: one process a profile that keeps watch folders backed up for as long as it lives.
//!
//! One loop owns everything about watch folders: what the watchers say, what callers ask and what runs report meet here, and [`schedule`] says
//! what is next. At most one run is under way. It never deletes anything, anywhere, and it never gives up: a server that is away is a
//! normal event. Beside it, a loop of their own ([`sync`]) keeps sync folders in step, here and for the other profiles of a sync root.

mod alone;
mod attempt;
mod belonging;
mod conclude;
pub(crate) mod control;
mod folders;
mod listen;
pub(crate) mod log;
mod notices;
mod obey;
mod pause;
mod publish;
mod room;
mod schedule;
pub(crate) mod service;
mod sign_in;
mod signals;
pub(crate) mod status;
mod sync;
mod sync_root;
mod visitors;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use darkslide_client::backup::{Memory, Settings, Waiting};
use darkslide_client::catalog::{Catalog, RootCounts, WatchFolderRow};
use darkslide_client::error::causes_on;
use darkslide_client::event::{Event, Events};
use darkslide_client::library::selection::{Exclusions, Scope, Selection};
use darkslide_client::library::settle::Settling;
use darkslide_client::micros_of;
use darkslide_client::profile::{Profile, ProfileConfig};
use darkslide_client::session::Session;
use darkslide_client::watch::health::Offline;
use darkslide_client::watch::{How, Watcher};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::arguments::{General, SettlingArguments};
use crate::commands::backup;
use crate::output::Output;
use crate::pace::Pace;
use crate::profile::{self, own_folders};
use alone::be_alone;
use attempt::Attempt;
use belonging::{Anew, anew_at};
use control::{Command, Door};
use log::{Log, moment};
use notices::Notices;
use pause::Pause;
use room::{Room, Waited, in_the_way, rest};
use schedule::{Schedule, Step, Timing};
use signals::Signals;
use status::{AgentStatus, Done, Problem, RunStatus, State, Unreadable};
use visitors::Guest;

/// How long the network may fail before a run ends and the agent waits by itself.
const RUN_PATIENCE: Duration = Duration::from_mins(1);

/// How long a run may take to end when it is told to.
const ENDING: Duration = Duration::from_secs(30);

/// How long whoever replaces a folder has until it is looked whether it is there, and until it is looked again if it is not.
const LOOK_SOON: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How often it is looked whether somebody has signed in again.
const SIGN_IN_LOOK: Duration = Duration::from_secs(5);

/// How an agent works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AgentSettings {
    /// When what is looked at.
    pub(crate) timing: Timing,
    /// When files have settled.
    pub(crate) settling: Settling,
    /// How passes over sync folders are made.
    pub(crate) passes: SettlingArguments,
    /// Whether the person at the screen is told what needs them.
    pub(crate) shows_notices: bool,
}

impl AgentSettings {
    /// The defaults, with files that settle after these times.
    pub(crate) fn new(arguments: SettlingArguments, rescan: Duration, shows_notices: bool) -> Self {
        let settling = arguments.settling();
        let timing = Timing { settle: settling.photos, rescan, ..Timing::default() };
        Self { timing, settling, passes: arguments, shows_notices }
    }
}

/// Runs until it is told to stop, by a signal or by a caller. Where the profile's disk is full, or its catalog locked, it waits; it begins anew after
/// that, and where the profile has got another catalog.
pub(crate) async fn run(
    output: Output,
    general: &General,
    settings: AgentSettings,
    sync_root: Option<PathBuf>,
) -> Result<()> {
    let profile = profile::open(general)?;
    let mut room = Room::of(&profile, output);
    let pause = Pause::of(&profile);
    let mut began_anew: Option<Instant> = None;
    loop {
        let (profile, pause) = (profile.clone(), pause.clone());
        let ended = attend(output, general, profile, pause, settings, sync_root.clone()).await;
        let Err(error) = &ended else { return ended };
        if error.is::<Anew>() {
            let now = Instant::now();
            let until = anew_at(began_anew, now);
            began_anew = Some(until);
            match rest(until).await? {
                Waited::NotWanted => return Ok(()),
                Waited::ForIt | Waited::NotAtAll => continue,
            }
        }
        match room.wait(error.as_ref()).await? {
            Waited::ForIt => {}
            Waited::NotWanted => return Ok(()),
            Waited::NotAtAll => return ended,
        }
    }
}

async fn attend(
    output: Output,
    general: &General,
    profile: Profile,
    pause: Pause,
    settings: AgentSettings,
    sync_root: Option<PathBuf>,
) -> Result<()> {
    let _alone = be_alone(&profile)?;
    let door = Door::open(profile.folder())?;
    let is_walled_up = door.is_walled_up();
    // Whoever asks before anything was looked at is not told that all is well.
    let status = AgentStatus {
        process: std::process::id(),
        since: micros_of(SystemTime::now()),
        state: State::Starting,
        ..AgentStatus::default()
    };
    let (status, told) = watch::channel(status);
    let calls = channel(16);
    let mut serving = JoinSet::new();
    serving.spawn(door.serve(told, calls.0.clone()));
    let agent = Agent::new(output, general, profile, pause, settings, status).await;
    let ended = match agent {
        Ok(agent) => work(agent, calls, is_walled_up, output, sync_root).await,
        Err(error) => Err(error),
    };
    // The socket goes before this function ends: whoever begins anew opens one at the same place.
    serving.shutdown().await;
    ended
}

/// What an agent does from its start to its end.
async fn work(
    mut agent: Agent,
    (sender, commands): (Sender<Command>, Receiver<Command>),
    is_walled_up: bool,
    output: Output,
    sync_root: Option<PathBuf>,
) -> Result<()> {
    let settings = agent.settings;
    agent.serves_others = sync_root.is_some();
    agent.say(if agent.pause.is_set() {
        "the agent has started, and is paused"
    } else {
        "the agent has started"
    });
    if is_walled_up {
        agent.say("no other command can talk to it: the profile's path is too long for a socket; DARKSLIDE_HOME chooses another");
    }
    let stop = CancellationToken::new();
    let own = sync::Keeper {
        log: Log::open(agent.profile.folder(), output.quiet),
        settings,
        shared: agent.sync.clone(),
        turns: Some(sender),
        stop: stop.clone(),
    };
    let mut keeping = JoinSet::new();
    keeping.spawn(own.keep(agent.catalog.clone()));
    if let Some(root) = sync_root {
        let own = sync_root::Own {
            profile: agent.profile.clone(),
            catalog: agent.catalog.clone(),
            shared: agent.sync.clone(),
        };
        keeping.spawn(sync_root::keep(root, own, agent.general.clone(), output, settings, stop.clone()));
    }
    let ended = agent.live(commands).await;
    stop.cancel();
    let _in_time = tokio::time::timeout(ENDING, async { while keeping.join_next().await.is_some() {} }).await;
    let folder = agent.profile.folder();
    let told = match &ended {
        Ok(()) => Some("the agent has ended".to_owned()),
        // It waits, and says so.
        Err(error) if in_the_way(error.as_ref(), &agent.profile).is_some() => None,
        Err(error) if error.is::<Anew>() => Some(error.to_string()),
        Err(error) => Some(format!("the agent has ended: {}", causes_on(error.as_ref(), folder).join(": "))),
    };
    if let Some(told) = told {
        agent.say(told);
    }
    ended
}

/// One watch folder, as the agent knows it.
#[derive(Debug)]
struct Watched {
    row: WatchFolderRow,
    watcher: Option<Watcher>,
    offline: Option<Offline>,
    counts: RootCounts,
    waiting: Vec<Waiting>,
    skipped: usize,
    unreadable: Vec<Unreadable>,
    /// Whether somebody asked for its next run.
    is_asked: bool,
}

/// What is under way.
#[derive(Debug)]
struct Running {
    folder: i64,
    /// What of it is backed up; none when it is only looked at.
    scope: Option<Scope>,
    stop: CancellationToken,
    task: JoinHandle<Attempt>,
    events: Option<Receiver<Event>>,
    shown: RunStatus,
    pace: Pace,
    /// When the first bytes were sent.
    sending_since: Option<Instant>,
    /// Its originals are safe, and it was stopped because others are not.
    is_overtaken: bool,
    /// When what is safe is counted anew.
    counts_due: Instant,
}

#[derive(Debug)]
struct Agent {
    general: General,
    profile: Profile,
    catalog: Catalog,
    settings: AgentSettings,
    log: Log,
    notices: Notices,
    schedule: Schedule,
    folders: BTreeMap<i64, Watched>,
    session: Option<Arc<Session>>,
    /// Whose catalog this is: nobody else's session goes with it.
    owner: Option<ProfileConfig>,
    /// When the profile's configuration was last written, as far as it was tried.
    tried: Option<SystemTime>,
    /// When the keys are asked for again that could not be read.
    keys_look: Option<Instant>,
    /// Rung by watchers and by callers who hang up.
    news: Arc<Notify>,
    /// Rung when the server says that the vault has changed, which it also says when it is back.
    vault_news: Arc<Notify>,
    listening: JoinSet<()>,
    running: Option<Running>,
    guests: Vec<Guest>,
    /// For them nobody has to be signed in here.
    serves_others: bool,
    pause: Pause,
    is_ending: bool,
    problem: Option<Problem>,
    done: Done,
    since: i64,
    status: watch::Sender<AgentStatus>,
    published: Instant,
    /// What the loop that keeps sync folders in step must know.
    sync: sync::Shared,
}

/// What the loop was woken by.
enum Woken {
    Command(Command),
    Ended(Attempt),
    Event(Option<Event>),
    Signal,
    VaultNews,
    Time,
}

impl Agent {
    async fn new(
        output: Output,
        general: &General,
        profile: Profile,
        pause: Pause,
        settings: AgentSettings,
        status: watch::Sender<AgentStatus>,
    ) -> Result<Self> {
        let catalog = profile.catalog().await?;
        let mut agent = Self {
            general: general.clone(),
            log: Log::open(profile.folder(), output.quiet),
            profile,
            catalog,
            settings,
            notices: Notices::new(settings.shows_notices),
            schedule: Schedule::new(settings.timing),
            folders: BTreeMap::new(),
            session: None,
            owner: None,
            tried: None,
            keys_look: None,
            news: Arc::default(),
            vault_news: Arc::default(),
            listening: JoinSet::new(),
            running: None,
            guests: Vec::new(),
            serves_others: false,
            pause,
            is_ending: false,
            problem: None,
            done: Done::default(),
            since: micros_of(SystemTime::now()),
            status,
            published: Instant::now(),
            sync: sync::Shared::default(),
        };
        agent.record_pause(agent.pause.record());
        // Before anybody begins with sync folders.
        agent.sync.paused.send_replace(agent.pause.is_set());
        agent.read_folders().await?;
        Ok(agent)
    }

    /// Works until it is to end, or something fails; nothing is under way any more then.
    async fn live(&mut self, commands: Receiver<Command>) -> Result<()> {
        let ended = self.work(commands).await;
        if ended.is_ok() {
            service::tell_stopping();
        }
        self.end().await;
        ended
    }

    /// The loop.
    async fn work(&mut self, mut commands: Receiver<Command>) -> Result<()> {
        let mut signals = Signals::listen()?;
        service::tell_ready();
        let mut alive = service::watchdog();
        while !self.is_ending {
            let until = self.proceed().await?;
            let (news, vault_news) = (Arc::clone(&self.news), Arc::clone(&self.vault_news));
            let (ended, events) = match &mut self.running {
                Some(running) => (Some(&mut running.task), running.events.as_mut()),
                None => (None, None),
            };
            let woken = tokio::select! {
                Some(command) = commands.recv() => Woken::Command(command),
                event = maybe(events.map(Receiver::recv)) => Woken::Event(event),
                ended = maybe(ended) => Woken::Ended(ended.unwrap_or_else(|error| Attempt::Failed(error.to_string()))),
                () = signals.next() => Woken::Signal,
                () = vault_news.notified() => Woken::VaultNews,
                () = news.notified() => Woken::Time,
                () = alive.tick() => Woken::Time,
                () = tokio::time::sleep_until(until.into()) => Woken::Time,
            };
            self.take(woken).await?;
        }
        Ok(())
    }

    async fn take(&mut self, woken: Woken) -> Result<()> {
        match woken {
            Woken::Command(command) => self.obey(command).await?,
            Woken::Ended(attempt) => self.conclude(attempt).await?,
            Woken::Event(Some(Event::Unsettled(waiting))) => self.await_what_is_found(waiting),
            Woken::Event(event) => self.show(event),
            Woken::Signal => self.is_ending = true,
            Woken::VaultNews => {
                self.schedule.retry_now();
                self.sync.vault.notify_one();
            }
            Woken::Time => {}
        }
        Ok(())
    }

    /// Does what can be done now, and says until when there is nothing.
    async fn proceed(&mut self) -> Result<Instant> {
        let now = Instant::now();
        if self.session.is_some() && self.sync.sign_in.borrow().session().is_none() {
            self.session_ended();
        }
        for (id, folder) in &mut self.folders {
            let Some(watcher) = &mut folder.watcher else { continue };
            let dirty = watcher.take();
            if dirty.is_everything() {
                self.schedule.look_by(*id, now + LOOK_SOON.min(self.settings.timing.settle));
            }
            self.schedule.mark(*id, dirty, now);
            self.schedule.set_polled(*id, matches!(watcher.how(), How::Polled(_)), now);
        }
        self.guests.retain(|guest| !guest.line.is_cancelled());
        self.look_at_visitors(now);
        // A pass that is under way ends between two steps. One that has the turn is no reason for passes to stand back, or to be made anew.
        let stands_back = self.pause.is_set() || self.has_visitors();
        self.sync.paused.send_if_modified(|paused| std::mem::replace(paused, stands_back) != stands_back);
        self.overtake(now);
        self.count_on(now).await?;
        let until = match &self.running {
            Some(running) => running.counts_due.min(self.schedule.due_after(now)),
            None => self.begin(now).await?,
        };
        let next_publication = self.publish(now);
        Ok(until.min(next_publication))
    }

    /// Stops a run that only makes thumbnails any more when originals wait: the next run makes them.
    fn overtake(&mut self, now: Instant) {
        let Some(running) = &mut self.running else { return };
        let (shown, is_due) = (&running.shown, self.schedule.is_due(now));
        if is_due && shown.thumbnails_left > 0 && shown.originals_done && !running.is_overtaken {
            running.is_overtaken = true;
            running.stop.cancel();
        }
    }

    /// Begins what is due, if anything may begin.
    async fn begin(&mut self, now: Instant) -> Result<Instant> {
        for guest in &mut self.guests {
            // Whoever hung up has no use for it.
            let _told = guest.waits.take().map(|waits| waits.send(()));
        }
        if self.pause.is_set() || !self.guests.is_empty() {
            return Ok(now + self.settings.timing.look);
        }
        self.look_at_sign_in()?;
        if self.session.is_none() && !self.sign_in().await? {
            return Ok(now + SIGN_IN_LOOK);
        }
        match self.schedule.next(now) {
            Step::Wait(until) => return Ok(until),
            Step::Look { folder } => self.look(folder),
            Step::Run { folder, scope } => self.start(folder, scope),
        }
        Ok(now + self.settings.timing.look)
    }

    fn look(&mut self, folder: i64) {
        let Some(watched) = self.folders.get(&folder) else { return };
        let watcher = watched.watcher.as_ref().filter(|_| watched.offline.is_none());
        let watching = watcher
            .map(|watcher| attempt::Watching { root: watcher.root().cloned(), how: watcher.how().clone() });
        let looking =
            attempt::look(self.catalog.clone(), watched.row.clone(), watching, Arc::clone(&self.news));
        self.running = Some(Running {
            folder,
            scope: None,
            stop: CancellationToken::new(),
            task: tokio::spawn(looking),
            events: None,
            shown: RunStatus::default(),
            pace: Pace::default(),
            sending_since: None,
            is_overtaken: false,
            counts_due: Instant::now(),
        });
    }

    fn start(&mut self, folder: i64, scope: Scope) {
        let (Some(watched), Some(session)) = (self.folders.get_mut(&folder), &self.session) else { return };
        let row = watched.row.clone();
        let Ok(exclude) = Exclusions::parse(&row.exclude) else {
            // A look says why.
            self.schedule.offline(folder);
            return self.schedule.look_by(folder, Instant::now());
        };
        let settings = Settings {
            albums: row.albums.clone(),
            patience: RUN_PATIENCE,
            selection: Selection { scope: scope.clone(), exclude: exclude.and_own(own_folders()) },
            is_asked: std::mem::take(&mut watched.is_asked),
            settling: Some(self.settings.settling),
            // Nobody waits for it, and it is there all day.
            memory: Memory::LITTLE,
            ..backup::settings()
        };
        let (events, receiver) = Events::channel();
        let stop = CancellationToken::new();
        let shown = RunStatus { folder: row.path.display().to_string(), ..RunStatus::default() };
        let run =
            attempt::run(Arc::clone(session), self.catalog.clone(), row, settings, events, stop.clone());
        let task = tokio::spawn(run);
        self.running = Some(Running {
            folder,
            scope: Some(scope),
            stop,
            task,
            events: Some(receiver),
            shown,
            pace: Pace::default(),
            sending_since: None,
            is_overtaken: false,
            counts_due: Instant::now(),
        });
    }

    fn show(&mut self, event: Option<Event>) {
        let Some(running) = &mut self.running else { return };
        match event {
            Some(event) => {
                running.follow(&event, Instant::now());
                running.shown.take(event);
            }
            None => running.events = None,
        }
    }

    /// Ends what is under way.
    async fn end(&mut self) {
        self.interrupt();
        if let Some(running) = self.running.take() {
            drop(running.events);
            let mut task = running.task;
            if tokio::time::timeout(ENDING, &mut task).await.is_err() {
                task.abort();
            }
        }
        self.publish_now(Instant::now());
    }

    fn say(&mut self, text: impl AsRef<str>) {
        self.log.write(&moment(), text.as_ref());
    }
}

/// A future that may not be there: then it never comes.
async fn maybe<T>(future: Option<impl Future<Output = T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
