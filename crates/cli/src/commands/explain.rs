//! `darkslide explain`: why a picture is, or is not, backed up. Asks no server.

use super::status::standing_of;
use crate::Ending;
use crate::agent::control::Line;
use crate::arguments::{Explain, General};
use crate::output::{Output, on_one_line};
use crate::profile;
use anyhow::Result;
use darkslide_client::FileId;
use darkslide_client::backup::explain::{explain, explain_file};
use darkslide_client::backup::standing::{Agent, Next, Standing};
use darkslide_client::catalog::Catalog;
use darkslide_client::library::PassReason;
use darkslide_client::library::selection::Exclusions;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// How long the agent may be silent: what it does is only part of the answer.
const AGENT_PATIENCE: Duration = Duration::from_secs(3);

/// One path and its sentence.
#[derive(Debug, Serialize)]
struct Explained {
    /// As text: what of it is not UTF-8 is replaced.
    path: String,
    explanation: String,
}

fn is_own(path: &Path) -> bool {
    let own = Exclusions::default().and_own(profile::own_folders());
    path.canonicalize().is_ok_and(|whole| own.is_own(&whole))
}

/// Says of each path how it stands.
pub(crate) async fn run(output: Output, general: &General, arguments: Explain) -> Result<Ending> {
    let profile = profile::open(general)?;
    let catalog: Catalog = profile.catalog().await?;
    let agent = match Line::status_within(profile.folder(), AGENT_PATIENCE).await {
        Ok(agent) => standing_of(agent.as_ref()),
        Err(error) => {
            output.warn(format!("warning: {error:#}"));
            Agent::Silent
        }
    };
    let mut answers = Vec::with_capacity(arguments.paths.len());
    let mut all_there = true;
    for path in arguments.paths {
        let number = path.to_str().and_then(|text| text.parse().ok()).filter(|_| !path.exists());
        let of_file = match number {
            Some(number) => explain_file(&catalog, FileId(number)).await?,
            None => None,
        };
        let explanation = match of_file {
            Some(told) => told,
            None => {
                let standing = match explain(&catalog, &path, &agent).await? {
                    // What does not answer is asked no more.
                    Standing::Pending { ref next, .. }
                        if !matches!(next, Next::Offline(_)) && is_own(&path) =>
                    {
                        Standing::LeftAlone(PassReason::Own.to_string())
                    }
                    standing => standing,
                };
                all_there &= standing != Standing::NothingThere;
                standing.to_string()
            }
        };
        answers.push(Explained { path: path.display().to_string(), explanation });
    }
    output.answer(&answers, |answers| {
        let line = |answer: &Explained| format!("{}: {}", on_one_line(&answer.path), answer.explanation);
        answers.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    Ok(Ending::unless(!all_there))
}
