//! `darkslide status` and `darkslide explain`: what is safe, what is not, and why.

use crate::Ending;
use crate::arguments::{Explain, General};
use crate::output::{Output, bytes, counted, on_one_line};
use crate::profile;
use anyhow::Result;
use darkslide_client::backup::explain;
use darkslide_client::catalog::{AssetState, Catalog};
use darkslide_client::session::AccountSummary;
use serde::Serialize;
use std::path::PathBuf;

/// The state of one profile.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    profile: String,
    folder: PathBuf,
    server: String,
    email: String,
    /// What the server says; absent when it could not be asked.
    account: Option<AccountSummary>,
    /// Why it could not be asked.
    unreachable: Option<String>,
    /// Files on this computer, by what became of them.
    backed_up: i64,
    blocked: i64,
    skipped: i64,
    not_media: i64,
}

/// `status`.
pub(crate) async fn run(
    output: Output,
    general: &General,
    _arguments: crate::arguments::Status,
) -> Result<Ending> {
    let profile = profile::open(general)?;
    let session = profile::session(general, &profile).await?;
    let asked = session.summary().await;
    let catalog = profile.catalog().await?;
    let counts = catalog.asset_counts().await?;
    let of =
        |state: AssetState| counts.iter().find(|(other, _)| *other == state).map_or(0, |(_, count)| *count);
    let status = Status {
        profile: profile.name().to_string(),
        folder: profile.folder().to_path_buf(),
        server: session.api.server().to_string(),
        email: session.email.to_string(),
        unreachable: asked.as_ref().err().map(ToString::to_string),
        account: asked.ok(),
        backed_up: of(AssetState::BackedUp),
        blocked: of(AssetState::Blocked),
        skipped: of(AssetState::Skipped),
        not_media: of(AssetState::NotMedia),
    };
    output.answer(&status, describe)?;
    Ok(Ending::unless(status.unreachable.is_some()))
}

fn describe(status: &Status) -> String {
    let mut text = format!(
        "{} on {} (profile {}, in {})\n",
        status.email,
        status.server,
        status.profile,
        status.folder.display()
    );
    match (&status.account, &status.unreachable) {
        (Some(account), _) => {
            text += &format!(
                "In the vault: {}, {} of {}\n",
                counted(account.files, "file"),
                bytes(account.used_bytes),
                quota(account.quota_bytes)
            );
        }
        (None, reason) => {
            text += &format!("The server could not be asked: {}\n", reason.as_deref().unwrap_or("no reason"));
        }
    }
    text += &format!("On this computer: {} backed up", status.backed_up);
    for (count, what) in [
        (status.blocked, "blocked"),
        (status.skipped, "skipped"),
        (status.not_media, "not pictures or videos"),
    ] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    text += "\n";
    if status.blocked > 0 {
        text += "`darkslide explain FILE` says why one is blocked; the next backup tries them all again.\n";
    }
    text
}

/// What the agent is doing, for people.
pub(crate) fn describe_agent(agent: &crate::agent::status::AgentStatus) -> String {
    format!("{:?}\n", agent.state)
}

fn quota(limit: u64) -> String {
    if limit >= darkslide_server::config::QUOTA_UNLIMITED { "no limit".to_owned() } else { bytes(limit) }
}

/// One path and its sentence.
#[derive(Debug, Serialize)]
struct Explained {
    path: PathBuf,
    explanation: String,
}

/// `explain`. Asks no server.
pub(crate) async fn explain_paths(output: Output, general: &General, arguments: Explain) -> Result<Ending> {
    let catalog: Catalog = profile::open(general)?.catalog().await?;
    let mut answers = Vec::with_capacity(arguments.paths.len());
    let mut all_there = true;
    for path in arguments.paths {
        all_there &= path.exists();
        let explanation = explain(&catalog, &path).await?;
        answers.push(Explained { path, explanation });
    }
    output.answer(&answers, |answers| {
        let line = |answer: &Explained| {
            format!("{}: {}", on_one_line(&answer.path.to_string_lossy()), answer.explanation)
        };
        answers.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    Ok(Ending::unless(!all_there))
}
