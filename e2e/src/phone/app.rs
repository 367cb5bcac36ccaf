//! The app on a phone: how the engine runs there, and what is left of it when its process is killed.

use super::Phone;
use super::library::SimulatedLibrary;
use darkslide_client::backup::device::{Device, DeviceReport, backup_library, explain_library};
use darkslide_client::backup::follow::{Followed, follow};
use darkslide_client::backup::gate::Outlook;
use darkslide_client::backup::rules::conditions::{Network, Trigger};
use darkslide_client::backup::rules::explanation::Explanation;
use darkslide_client::backup::{BackupError, Settings};
use darkslide_client::event::{Event, Events};
use darkslide_client::library::Library;
use darkslide_client::library::device::{AssetId, DeviceAsset};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How a run ended.
#[derive(Debug)]
pub enum Ran {
    /// By itself.
    Through(Box<DeviceReport>),
    /// It could not begin, or broke off: the words of the error.
    Failed(String),
    /// The process was killed.
    Killed,
}

impl Ran {
    /// The report of a run that ended by itself.
    pub fn report(self) -> DeviceReport {
        match self {
            Self::Through(report) => *report,
            other => panic!("the run ended as {other:?}"),
        }
    }
}

impl Phone {
    fn device(&self) -> Device {
        Device { album: "Phone".to_owned(), mirror: self.mirror, cache: self.folder.path().join("cache") }
    }

    fn outlook(&self, trigger: Trigger) -> Outlook {
        let state = self.state();
        let (clock, parts) = (Arc::clone(&self.state), Arc::clone(&self.state));
        Outlook {
            clock: Arc::new(move || clock.lock().unwrap().now),
            conditions: state.told.subscribe(),
            permissions: state.permissions,
            trigger,
            before_part: Arc::new(move |_, bytes| parts.lock().unwrap().part(bytes)),
        }
    }

    /// The engine runs once, for this reason, until it is done, held up, or killed.
    pub async fn run(&self, trigger: Trigger) -> Ran {
        self.run_as(trigger, &self.device()).await
    }

    /// Files what was sent before into the albums of the phone, once.
    pub async fn reorganise(&self) -> Ran {
        self.run_as(Trigger::Asked, &Device { mirror: true, ..self.device() }).await
    }

    /// The app stays alive, and is told reasons to run; gives how each run ends.
    pub fn follow(&self) -> (mpsc::Sender<Trigger>, mpsc::UnboundedReceiver<Ran>, JoinHandle<()>) {
        let followed = Followed {
            session: Arc::clone(&self.session),
            catalog: self.catalog.clone(),
            library: Arc::clone(&self.library) as Arc<dyn Library>,
            device: self.device(),
            outlook: self.outlook(Trigger::Opened),
            settings: Settings { patience: Duration::from_millis(200), ..Settings::default() },
        };
        let (tell, told) = mpsc::channel(8);
        let (ends, ended) = mpsc::unbounded_channel();
        let following = tokio::spawn(async move {
            let end = move |ran: Result<DeviceReport, BackupError>| {
                let ran = ran
                    .map_or_else(|error| Ran::Failed(error.to_string()), |ran| Ran::Through(Box::new(ran)));
                ends.send(ran).unwrap();
            };
            follow(&followed, told, &Events::silent(), &CancellationToken::new(), end).await;
        });
        (tell, ended, following)
    }

    async fn run_as(&self, trigger: Trigger, device: &Device) -> Ran {
        let killed = {
            let mut state = self.state();
            state.killed = CancellationToken::new();
            (state.under_way, state.most_at_once) = (0, 0);
            let conditions = state.conditions;
            state.told.send_replace(conditions);
            state.killed.clone()
        };
        let settings = Settings { patience: Duration::from_millis(200), ..Settings::default() };
        let ((events, mut told), stop) = (Events::channel(), CancellationToken::new());
        let listening = async {
            while let Some(event) = told.recv().await {
                match event {
                    Event::ScreenStaysOn(stays_on) => self.state().screen_stays_on = stays_on,
                    Event::Started { .. } => self.state().begun(),
                    Event::Finished { .. } => self.state().ended(),
                    Event::StorageFull { reason } => self.state().told_full.push(reason),
                    _ => {}
                }
            }
        };
        let library: Arc<SimulatedLibrary> = Arc::clone(&self.library);
        let mut run = Box::pin(backup_library(
            Arc::clone(&self.session),
            self.catalog.clone(),
            library,
            device,
            self.outlook(trigger),
            &settings,
            &events,
            &stop,
        ));
        let ran = tokio::select! {
            () = killed.cancelled() => {
                // Before the run is dropped, and cleans up what nobody cleans up after a kill.
                leave_behind(&device.cache);
                return Ran::Killed;
            }
            () = listening => unreachable!("the run has the other end"),
            ran = &mut run => ran,
        };
        let answered =
            ran.as_ref().map_or_else(|error| !error.is_transient(), |ran| ran.report.interrupted.is_none());
        let has_network = self.state().conditions.network != Network::None;
        self.state().server_answered = answered || !has_network;
        ran.map_or_else(|error| Ran::Failed(error.to_string()), |ran| Ran::Through(Box::new(ran)))
    }

    /// Why every asset is where it is.
    pub async fn explanations(&self) -> Vec<(DeviceAsset, Explanation)> {
        let outlook = self.outlook(Trigger::Periodic);
        explain_library(&self.catalog, &*self.library, &self.device(), &outlook).await.unwrap()
    }

    /// Why one asset is where it is.
    pub async fn explain(&self, asset: &AssetId) -> Explanation {
        let all = self.explanations().await;
        all.into_iter().find(|(known, _)| known.id == *asset).map(|(_, told)| told).unwrap()
    }
}

/// What a killed process had in its cache stays there, where its destructors, which run here all the same, do not find it.
fn leave_behind(cache: &Path) {
    for copies in std::fs::read_dir(cache).into_iter().flatten().flatten() {
        // One that was removed just now is not left.
        let _ = std::fs::rename(copies.path(), copies.path().with_extension("left"));
    }
}
