//! `darkslide status`: what is safe, what waits for what, what is not safe, and why.

mod follow;

use super::left::{Left, WithoutRoom};
use super::sync::show;
use crate::Ending;
use crate::agent::control::Line;
use crate::agent::status::{AgentStatus, FolderState, FolderStatus, RunStatus, State, Visitor};
use crate::arguments::{General, Status as StatusArguments};
use crate::output::{Output, bytes, counted, date, on_one_line};
use crate::profile;
use anyhow::Result;
use darkslide_client::backup::Named;
use darkslide_client::backup::standing::Agent;
use darkslide_client::catalog::{AssetState, Catalog, SetBack};
use darkslide_client::micros_of;
use darkslide_client::profile::Profile;
use darkslide_client::session::{AccountSummary, Session};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// How long the server may take before it is told that it is being asked.
const SILENT_MAX: Duration = Duration::from_secs(1);

/// How long it is told that the server was set back.
const SET_BACK_TOLD: Duration = Duration::from_hours(30 * 24);

/// Reasons that are told, and files that are named of those that have the same: a screen has 24 lines. `--json` names them all.
const REASONS_MAX: usize = 6;
const NAMED_MAX: usize = 3;

/// The state of one profile.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    profile: String,
    folder: String,
    server: String,
    email: String,
    /// The last time that the server turned out to have been set back to an older state, of this month.
    #[serde(skip_serializing_if = "Option::is_none")]
    set_back: Option<SetBack>,
    /// What the server says; absent when it could not be asked, and while it is.
    account: Option<AccountSummary>,
    /// Why it could not be asked.
    unreachable: Option<String>,
    /// Files on this computer, by what became of them.
    backed_up: i64,
    skipped: i64,
    not_media: i64,
    /// What could not be backed up, and why not.
    #[serde(flatten)]
    left: Left,
    /// What the agent says; absent when none is running.
    agent: Option<AgentStatus>,
    /// Why one that is running says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_problem: Option<String>,
    /// The watch folders: as the agent sees them, or as the last one left them.
    folders: Vec<FolderStatus>,
    /// The sync folders, as the last pass left each.
    sync_folders: Vec<show::Told>,
}

/// `status`.
pub(crate) async fn run(output: Output, general: &General, arguments: StatusArguments) -> Result<Ending> {
    let profile = profile::open(general)?;
    let session = profile::session(general, &profile).await?;
    let catalog = profile.catalog().await?;
    if arguments.watch {
        return follow::run(output, &profile, &session, &catalog).await;
    }
    let (agent, problem) = match Line::status_of(profile.folder()).await {
        Ok(agent) => (agent, None),
        // What is safe is known without it.
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let asked = patiently(output, &session).await;
    let mut status = gather(&profile, &session, &catalog, Some(asked), agent).await?;
    status.agent_problem = problem;
    output.answer(&status, |status| describe(status, Reader::Scrolls))?;
    Ok(Ending::unless(status.unreachable.is_some() || status.agent_problem.is_some()))
}

/// Asks the server, and says so where that takes long.
async fn patiently(output: Output, session: &Session) -> Asked {
    let asking = ask(session);
    tokio::pin!(asking);
    if let Ok(asked) = tokio::time::timeout(SILENT_MAX, &mut asking).await {
        return asked;
    }
    output.notice(format!("Asking {}…", session.api.server()));
    asking.await
}

/// What the server says of the account, or why it does not.
type Asked = Result<AccountSummary, String>;

async fn ask(session: &Session) -> Asked {
    session.summary().await.map_err(|error| error.to_string())
}

async fn gather(
    profile: &Profile,
    session: &Session,
    catalog: &Catalog,
    asked: Option<Asked>,
    mut agent: Option<AgentStatus>,
) -> Result<Status> {
    let counts = catalog.asset_counts().await?;
    let of =
        |state: AssetState| counts.iter().find(|(other, _)| *other == state).map_or(0, |(_, count)| *count);
    let left =
        Left::of(catalog, agent.as_mut(), asked.as_ref().and_then(|asked| asked.as_ref().ok())).await?;
    let folders = match &agent {
        Some(agent) => agent.folders.clone(),
        None => unattended(catalog).await?,
    };
    Ok(Status {
        profile: profile.name().to_string(),
        folder: profile.folder().display().to_string(),
        server: session.api.server().to_string(),
        email: session.email.to_string(),
        set_back: recent_set_back(catalog).await?,
        unreachable: asked.as_ref().and_then(|asked| asked.as_ref().err().cloned()),
        account: asked.and_then(Result::ok),
        backed_up: of(AssetState::BackedUp),
        skipped: of(AssetState::Skipped),
        not_media: of(AssetState::NotMedia),
        left,
        agent,
        agent_problem: None,
        folders,
        sync_folders: show::told(catalog).await?,
    })
}

/// What an agent says of itself, for explanations.
pub(crate) fn standing_of(agent: Option<&AgentStatus>) -> Agent {
    if let Some(problem) = agent.and_then(|agent| agent.visitor.as_ref()?.problem()) {
        return Agent::StandsBack(problem.what);
    }
    match agent {
        None => Agent::Absent,
        Some(AgentStatus { state: State::Paused, .. }) => Agent::Paused,
        Some(AgentStatus { state: State::SignedOut, .. }) => Agent::SignedOut,
        Some(AgentStatus { problem: Some(problem), .. }) => Agent::Retries(problem.what.clone()),
        Some(_) => Agent::Works,
    }
}

/// The watch folders as the last agent left them.
async fn unattended(catalog: &Catalog) -> Result<Vec<FolderStatus>> {
    let mut folders = Vec::new();
    for row in catalog.watch_folders().await? {
        let counts = catalog.root_counts(&row.path).await?;
        folders.push(FolderStatus {
            path: row.path.display().to_string(),
            state: if row.paused { FolderState::Paused } else { FolderState::Unattended },
            safe: counts.safe,
            safe_at: counts.safe_at,
            last_scan: row.last_scan,
            ..FolderStatus::default()
        });
    }
    Ok(folders)
}

/// Who reads it: one who scrolls sees the end first, and of what is shown in place again and again the end may be cut off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Scrolls,
    Watches,
}

fn describe(status: &Status, reader: Reader) -> String {
    let mut text =
        format!("{} on {} (profile {}, in {})\n", status.email, status.server, status.profile, status.folder);
    match (&status.account, &status.unreachable) {
        (Some(account), _) => {
            text += &format!(
                "In the vault: {}, {} of {}\n",
                counted(account.files, "file"),
                bytes(account.used_bytes),
                quota(account.quota_bytes)
            );
        }
        (None, Some(reason)) => text += &format!("The server could not be asked: {reason}\n"),
        (None, None) => text += "The server is being asked…\n",
    }
    text += &describe_set_back(status.set_back);
    text += &format!("On this computer: {} backed up", status.backed_up);
    for (count, what) in [
        (i64::try_from(status.left.blocked).unwrap_or(i64::MAX), "blocked"),
        (status.skipped, "skipped"),
        (status.not_media, "not pictures or videos"),
    ] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    text += "\n";
    match (&status.agent, status.folders.is_empty() && status.sync_folders.is_empty()) {
        (Some(agent), _) => {
            let needs_somebody = status.sync_folders.iter().any(show::Told::needs_somebody);
            text += &format!("\n{}", describe_agent(agent, needs_somebody, &status.left));
        }
        (None, _) if status.agent_problem.is_some() => {
            text += &format!("\nAgent: {}\n", status.agent_problem.as_deref().unwrap_or_default());
        }
        (None, false) => {
            text += "\nNo agent is running: nothing is backed up by itself. `darkslide agent install` changes that.\n";
        }
        (None, true) => {}
    }
    let mut folders = describe_folders(&status.folders, &standing_of(status.agent.as_ref()));
    if !status.sync_folders.is_empty() {
        folders += &format!("\n{}", show::stand(&status.sync_folders));
    }
    let left = describe_without_room(&status.left.without_room)
        + &status.left.describe_damaged()
        + &describe_blocked(&status.left.blocked_files);
    match reader {
        Reader::Scrolls => text + &folders + &left,
        Reader::Watches => text + &left + &folders,
    }
}

/// The last time that the server was set back, for as long as its trash would keep something.
pub(crate) async fn recent_set_back(catalog: &Catalog) -> Result<Option<SetBack>> {
    let since = micros_of(SystemTime::now() - SET_BACK_TOLD);
    Ok(catalog.last_set_back(since).await?)
}

/// One sentence, or nothing.
pub(crate) fn describe_set_back(set_back: Option<SetBack>) -> String {
    set_back.map_or_else(String::new, |set_back| {
        format!("Note: {set_back} (noticed on {}).\n", date(set_back.noticed))
    })
}

/// What the agent is doing, for people.
pub(crate) fn describe_agent(agent: &AgentStatus, needs_somebody: bool, left: &Left) -> String {
    let all_but = match agent.state {
        State::Idle => left.sentence(),
        _ => None,
    };
    let offline = agent.folders.iter().filter(|folder| folder.state == FolderState::Offline).count();
    let but_offline = format!(
        "all that can be seen is backed up; {} offline, see below",
        counted(offline as u64, "folder")
    );
    let stands_back = stands_back(agent.visitor.as_ref());
    let state = match (agent.state, &all_but) {
        (State::Idle, _) if needs_somebody => "a sync folder needs you, see below",
        (_, Some(all_but)) => all_but,
        (State::Idle, None) if offline > 0 => &but_offline,
        (State::Yielding, None) => &stands_back,
        (state, None) => state.words(),
    };
    let mut text = format!("Agent: {state} (process {}, since {})\n", agent.process, date(agent.since));
    if let Some(next) = all_but.and_then(|_| left.next_try()) {
        text += &format!("  {next}\n");
    }
    if let Some(problem) = &agent.problem {
        text += &format!("  {}\n", problem.what);
        if let Some(advice) = &problem.advice {
            text += &format!("  What to do: {advice}\n");
        }
        if let Some(next) = problem.next_try {
            text += &format!("  Next try: {}\n", date(next));
        }
    }
    if let Some(run) = &agent.run {
        text += &describe_run(run);
    }
    text
}

/// For whom.
fn stands_back(visitor: Option<&Visitor>) -> String {
    let words = State::Yielding.words();
    match visitor.and_then(|visitor| Some((visitor.process?, visitor.since))) {
        Some((process, since)) => format!("{words}, process {process}, since {}", date(since)),
        None => words.to_owned(),
    }
}

fn describe_run(run: &RunStatus) -> String {
    let folder = on_one_line(&run.folder);
    if run.files == 0 {
        return format!("  {folder}: {} looked at\n", counted(run.found, "file"));
    }
    if run.files_done >= run.files {
        return format!("  {folder}: all originals are safe; thumbnails to make: {}\n", run.thumbnails_left);
    }
    let mut text = format!(
        "  {folder}: {} of {} files, {} of {}",
        run.files_done,
        run.files,
        bytes(run.bytes_done),
        bytes(run.bytes)
    );
    if let Some(seconds) = run.seconds_left {
        let left = indicatif::HumanDuration(Duration::from_secs(seconds));
        text += &format!(", {}/s, {left:#} left", bytes(run.bytes_per_second));
    }
    text += "\n";
    for name in &run.current {
        text += &format!("    {name}\n");
    }
    if let Some(reason) = &run.waiting {
        text += &format!("  Waiting: {reason}\n");
    }
    text
}

/// The watch folders, for people.
pub(crate) fn describe_folders(folders: &[FolderStatus], agent: &Agent) -> String {
    let mut text = String::new();
    for folder in folders {
        let path = on_one_line(&folder.path);
        text += &format!(
            "\n{path}: {}, {} safe",
            folder.state.word(),
            counted(folder.safe.unsigned_abs(), "file")
        );
        if let Some(at) = folder.safe_at {
            text += &format!(" (the last one on {})", date(at));
        }
        for (count, what) in [(folder.waiting, "waiting"), (folder.skipped, "skipped")] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        text += "\n";
        if let Some(because) = &folder.because {
            text += &format!("  {because}\n");
        }
        for waiting in &folder.waiting_for {
            text += &format!("  {waiting}\n");
        }
        if let Some(why) = unseen_changes(folder, agent) {
            text += &format!("  {why}\n");
        }
    }
    text
}

/// What has changed in a folder and cannot be looked at now, and why.
fn unseen_changes(folder: &FolderStatus, agent: &Agent) -> Option<String> {
    let can_change = matches!(folder.state, FolderState::Watched | FolderState::Polled);
    let why = agent.next().hindrance().filter(|_| can_change)?;
    let place = match folder.changed_folders {
        Some(0) => return None,
        Some(count) => format!("in {}", counted(count as u64, "folder")),
        None => "in it".to_owned(),
    };
    Some(format!("What is new or has changed {place} waits: {why}"))
}

fn describe_without_room(without_room: &WithoutRoom) -> String {
    let WithoutRoom { files, fit_now } = *without_room;
    let told = match (files, fit_now) {
        (0, _) => return String::new(),
        (files, 0) => format!(
            "{}: there is no room left in the vault; free some space in it, or ask its owner for more",
            counted(files, "file")
        ),
        (files, fit) if files == fit => {
            format!("{}: there is room for them again; the next backup sends them", counted(files, "file"))
        }
        (files, fit) => format!(
            "{}: there is room for {fit} of them again, which the next backup sends; for all of them free some space in the vault, or ask its owner for more",
            counted(files, "file")
        ),
    };
    format!("\nWaiting for room: {told}\n")
}

fn describe_blocked(blocked: &[Named]) -> String {
    if blocked.is_empty() {
        return String::new();
    }
    let mut text = "\nBlocked:\n".to_owned();
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for file in blocked {
        reasons.entry(&file.reason).or_default().push(&file.path);
    }
    // What holds up most comes first.
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, paths)| Reverse(paths.len()));
    for (reason, paths) in reasons.iter().take(REASONS_MAX) {
        if let [path] = paths.as_slice() {
            text += &format!("  {}: {reason}\n", on_one_line(path));
            continue;
        }
        text += &format!("  {}: {reason}\n", counted(paths.len() as u64, "file"));
        for path in paths.iter().take(NAMED_MAX) {
            text += &format!("    {}\n", on_one_line(path));
        }
        if let Some(more) = paths.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
            text += &format!("    … and {more} more; --json names them all\n");
        }
    }
    if let Some(more) = reasons.len().checked_sub(REASONS_MAX).filter(|more| *more > 0) {
        text += &format!("  … and {} more; --json names them all\n", counted(more as u64, "reason"));
    }
    text
}

fn quota(limit: u64) -> String {
    if limit >= darkslide_server::config::QUOTA_UNLIMITED { "no limit".to_owned() } else { bytes(limit) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::status::{Done, Problem};

    fn folder(path: &str) -> FolderStatus {
        FolderStatus {
            path: path.into(),
            safe: 12,
            safe_at: Some(1_700_000_000_000_000),
            ..FolderStatus::default()
        }
    }

    fn agent() -> AgentStatus {
        AgentStatus {
            process: 7,
            since: 1_700_000_000_000_000,
            state: State::BackingUp,
            run: Some(RunStatus {
                folder: "/home/me/Pictures".into(),
                found: 100,
                files: 20,
                files_done: 3,
                bytes: 90_000_000,
                bytes_done: 12_000_000,
                seconds_left: Some(39),
                bytes_sent: 12_100_000,
                bytes_per_second: 2_000_000,
                originals_done: false,
                thumbnails_left: 0,
                current: vec!["/home/me/Pictures/IMG_1.jpg".into(), "/home/me/Pictures/IMG_2.mov".into()],
                waiting: None,
            }),
            problem: None,
            visitor: None,
            folders: Vec::new(),
            done: Done::default(),
        }
    }

    #[test]
    fn the_status_explains_itself() {
        let waiting = FolderStatus {
            waiting: 1,
            waiting_for: vec!["/home/me/Pictures/IMG_3.mov: it arrived or changed a moment ago".into()],
            skipped: 2,
            ..folder("/home/me/Pictures")
        };
        let offline = FolderStatus {
            state: FolderState::Offline,
            because: Some("it is empty, and was not before".into()),
            ..folder("/mnt/card")
        };
        let status = Status {
            profile: "default".into(),
            folder: "/home/me/.local/share/darkslide/default".into(),
            server: "https://photos.example.org".into(),
            email: "me@example.org".into(),
            set_back: None,
            account: None,
            unreachable: Some("it does not answer".into()),
            backed_up: 24,
            skipped: 0,
            not_media: 3,
            left: Left {
                blocked: 1,
                blocked_next_try: None,
                blocked_files: vec![Named {
                    path: "/home/me/Pictures/x.jpg".into(),
                    reason: "it cannot be read".into(),
                }],
                without_room: WithoutRoom { files: 39, fit_now: 12 },
                unreadable: 0,
                damaged: Vec::new(),
                paused_folders: 0,
            },
            agent: Some(agent()),
            agent_problem: None,
            folders: vec![waiting, offline],
            sync_folders: Vec::new(),
        };
        insta::assert_snapshot!(describe(&status, Reader::Scrolls));
        let alone = Status {
            agent: None,
            folders: vec![FolderStatus { state: FolderState::Unattended, ..folder("/a") }],
            ..status
        };
        assert!(describe(&alone, Reader::Scrolls).contains("darkslide agent install"));
    }

    #[test]
    fn what_is_blocked_for_one_reason_is_told_together_with_the_reason_first() {
        let named = |name: String, reason: &str| Named {
            path: format!("/home/me/Pictures/A year with a long name/{name}.jpg"),
            reason: reason.to_owned(),
        };
        let mut blocked: Vec<Named> =
            (0..40).map(|at| named(format!("IMG_{at:04}"), "there is no room left in the vault")).collect();
        blocked.extend(["a", "b"].map(|name| named(name.to_owned(), "permission denied")));
        blocked.extend((0..9).map(|at| named(format!("c{at}"), &format!("reason {at}"))));
        let text = describe_blocked(&blocked);
        assert!(text.lines().count() < 20, "it fits on a screen: {text}");
        insta::assert_snapshot!(text);
        assert_eq!(describe_blocked(&[]), "");
    }

    #[test]
    fn problems_come_with_what_to_do() {
        let problem = Problem {
            what: "the storage is full".into(),
            advice: Some("free some".into()),
            next_try: Some(1_700_000_000_000_000),
        };
        let agent = AgentStatus { state: State::Retrying, problem: Some(problem), run: None, ..agent() };
        insta::assert_snapshot!(describe_agent(&agent, false, &Left::default()));
        let left = Left { blocked: 1, ..Left::default() };
        let idle = AgentStatus { state: State::Idle, problem: None, ..agent };
        let told = describe_agent(&idle, false, &left);
        assert!(
            told.starts_with("Agent: all that is there is backed up but for 1 file (process 7"),
            "{told}"
        );
        assert!(told.contains("\n  Next try: "), "{told}");
        let left = Left { paused_folders: 1, ..Left::default() };
        let told = describe_agent(&idle, false, &left);
        assert!(
            told.starts_with(
                "Agent: all that is there is backed up but for what is new in 1 paused folder (process 7"
            ),
            "{told}"
        );
        assert!(!told.contains("Next try"), "{told}");
        let visitor = Visitor { process: Some(9), since: 0, silent_seconds: Some(60) };
        let problem = visitor.problem();
        let yields = AgentStatus { state: State::Yielding, visitor: Some(visitor), problem, ..idle.clone() };
        let told = describe_agent(&yields, false, &left);
        assert!(told.starts_with("Agent: standing back for another command, process 9, since "), "{told}");
        assert!(told.contains("(process 9)") && told.contains("What to do: `fg`"), "{told}");
        assert!(matches!(standing_of(Some(&yields)), Agent::StandsBack(_)));
        let told = describe_agent(&AgentStatus { state: State::AllPaused, ..idle }, false, &left);
        assert!(told.starts_with("Agent: every watch folder is paused; `darkslide watch resume"), "{told}");
    }
}
