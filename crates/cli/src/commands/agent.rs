//! `darkslide agent`: running it, installing it as a service, and talking to it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use darkslide_client::catalog::SetBack;
use darkslide_client::profile::Profile;
use serde::Serialize;

use crate::Ending;
use crate::agent::control::{Line, Request};
use crate::agent::service::{self, Service};
use crate::agent::status::AgentStatus;
use crate::agent::{self, AgentSettings, log};
use crate::arguments::{AgentAction, AgentRun, General, SyncAction};
use crate::commands::left::Left;
use crate::commands::status::{
    describe_agent, describe_folders, describe_set_back, recent_set_back, standing_of,
};
use crate::commands::sync::show;
use crate::output::Output;
use crate::profile;
use crate::screen::Screen;

const NO_AGENT: &str =
    "no agent is running; start it with `darkslide agent run` or `darkslide agent install`";

/// Variables that the service needs as they are now, because its manager knows nothing of this shell's.
const VARIABLES: [&str; 4] = ["DARKSLIDE_HOME", "XDG_DATA_HOME", "DARKSLIDE_CA_FILE", "RUST_LOG"];

/// The service, and what the agent says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    /// What the system's service manager says.
    service: String,
    /// What the agent says; absent when none is running.
    agent: Option<AgentStatus>,
    /// The last time that the server turned out to have been set back to an older state, of this month.
    #[serde(skip_serializing_if = "Option::is_none")]
    set_back: Option<SetBack>,
    /// What could not be backed up: how many files, when they are tried next, and which.
    #[serde(flatten)]
    left: Left,
    /// The sync folders, as the last pass left each.
    sync_folders: Vec<show::Told>,
}

/// What the agent is doing, after it was told something.
#[derive(Debug, Serialize)]
struct Now<T> {
    state: T,
}

/// How the service stands, after it was changed.
#[derive(Debug, Serialize)]
struct Changed {
    service: &'static str,
}

/// Does one action.
pub(crate) async fn run(output: Output, general: &General, action: AgentAction) -> Result<Ending> {
    let profile = profile::open(general)?;
    match action {
        AgentAction::Run(arguments) => {
            let settings = settings(&arguments);
            agent::run(output, general, settings, arguments.sync_root).await?;
        }
        AgentAction::Install => install(output, general, &profile)?,
        AgentAction::Uninstall => {
            service::uninstall(profile.name())?;
            output.answer(&Changed { service: "not installed" }, silence)?;
            output.notice(
                "The service is gone; watch folders and what was backed up of them stay as they are.",
            );
        }
        AgentAction::Status(arguments) if arguments.watch => return follow(output, &profile).await,
        AgentAction::Status(_) => return status(output, &profile).await,
        AgentAction::Logs { lines } => {
            let lines = log::tail(profile.folder(), lines).context("the agent's log cannot be read")?;
            output.answer(&lines, |lines| lines.join("\n"))?;
        }
        AgentAction::Pause => ask(output, &profile, Request::Pause).await?,
        AgentAction::Resume => ask(output, &profile, Request::Resume).await?,
        AgentAction::Scan => ask(output, &profile, Request::Scan).await?,
        AgentAction::Approve(approve) => {
            return Box::pin(super::sync::run(output, general, SyncAction::Approve(approve))).await;
        }
        AgentAction::Stop => {
            Line::call(profile.folder()).await?.context(NO_AGENT)?.stop().await?;
            output.answer(&Now { state: "ended" }, silence)?;
        }
    }
    Ok(Ending::Done)
}

fn settings(arguments: &AgentRun) -> AgentSettings {
    AgentSettings::new(
        arguments.settling,
        Duration::from_millis(arguments.rescan),
        !arguments.no_notifications,
    )
}

fn install(output: Output, general: &General, profile: &Profile) -> Result<()> {
    if profile.wants_passphrase()? {
        bail!(
            "the keys of this profile are closed with a passphrase that a service cannot ask for; sign in again with `--keys keyring` \
             or `--keys key-file`"
        );
    }
    let service = Service {
        profile: profile.name().clone(),
        program: std::env::current_exe().context("this program cannot be found")?,
        environment: variables(general)?,
    };
    service.install()?;
    output.answer(&Changed { service: "running" }, silence)?;
    output.notice("The agent runs as a service of yours from now on; `darkslide agent status` shows it.");
    profile::tell_if_nobody_is_logged_in(output, profile)?;
    if cfg!(target_os = "linux") {
        output.notice(
            "On a machine that nobody logs in to, `loginctl enable-linger` lets it run all the same.",
        );
    }
    Ok(())
}

/// Paths are made whole: the service starts in another folder.
fn variables(general: &General) -> Result<Vec<(String, String)>> {
    let mut variables = Vec::new();
    for name in VARIABLES {
        // What was said on the command line counts more.
        let said = general.ca_file.clone().filter(|_| name == "DARKSLIDE_CA_FILE").map(Into::into);
        let Some(value) = said.or_else(|| std::env::var_os(name)) else { continue };
        let value =
            if name == "RUST_LOG" { value } else { std::path::absolute(PathBuf::from(value))?.into() };
        let value = value
            .into_string()
            .ok()
            .with_context(|| format!("{name} must be UTF-8 to be kept for a service"))?;
        variables.push((name.to_owned(), value));
    }
    Ok(variables)
}

async fn status(output: Output, profile: &Profile) -> Result<Ending> {
    let mut agent = Line::status_of(profile.folder()).await?;
    let name = profile.name().clone();
    let service = tokio::task::spawn_blocking(move || service::state(&name)).await?;
    let catalog = profile.catalog().await?;
    let (set_back, sync_folders) = (recent_set_back(&catalog).await?, show::told(&catalog).await?);
    let left = Left::of(&catalog, agent.as_mut(), None).await?;
    let answer = Answer { service, agent, set_back, left, sync_folders };
    output.answer(&answer, describe)?;
    let needs_somebody = answer.sync_folders.iter().any(show::Told::needs_somebody);
    Ok(Ending::unless(answer.agent.is_none() || needs_somebody))
}

/// The same at every change, until there is no agent any more.
async fn follow(output: Output, profile: &Profile) -> Result<Ending> {
    let name = profile.name().clone();
    let service = tokio::task::spawn_blocking(move || service::state(&name)).await?;
    let line = Line::call(profile.folder()).await?;
    let mut line = line.context(NO_AGENT)?;
    line.follow().await?;
    let catalog = profile.catalog().await?;
    let mut screen = Screen::new();
    // It ends when the agent does.
    while let Ok(mut agent) = line.news().await {
        let (set_back, sync_folders) = (recent_set_back(&catalog).await?, show::told(&catalog).await?);
        let left = Left::of(&catalog, Some(&mut agent), None).await?;
        let answer = Answer { service: service.clone(), agent: Some(agent), set_back, left, sync_folders };
        if output.json {
            output.line(&answer)?;
        } else {
            screen.show(&describe(&answer))?;
        }
    }
    Ok(Ending::Done)
}

fn describe(answer: &Answer) -> String {
    let agent = answer.agent.as_ref();
    let agent = agent.map_or_else(
        || "No agent is running.\n".to_owned(),
        |agent| {
            let needs_somebody = answer.sync_folders.iter().any(show::Told::needs_somebody);
            format!(
                "{}{}",
                describe_agent(agent, needs_somebody, &answer.left),
                describe_folders(&agent.folders, &standing_of(Some(agent)))
            )
        },
    );
    let sync_folders = if answer.sync_folders.is_empty() {
        String::new()
    } else {
        format!("\n{}", show::stand(&answer.sync_folders))
    };
    format!("Service: {}\n{}{agent}{sync_folders}", answer.service, describe_set_back(answer.set_back))
}

/// Has the agent do something, and says what it is doing then.
async fn ask(output: Output, profile: &Profile, request: Request) -> Result<()> {
    let mut line = Line::call(profile.folder()).await?.context(NO_AGENT)?;
    line.ask(request).await?;
    let state = line.status().await?.state;
    output.answer(&Now { state }, silence)
}

/// What was asked for was done: to people that is no news.
fn silence<T>(_: &T) -> String {
    String::new()
}
