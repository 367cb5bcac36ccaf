//! `darkslide status --watch`: shown again at every change, until Ctrl-C.

use super::{Asked, Reader, ask, describe, gather};
use crate::Ending;
use crate::agent::control::Line;
use crate::agent::status::AgentStatus;
use crate::output::Output;
use crate::screen::Screen;
use anyhow::Result;
use darkslide_client::catalog::Catalog;
use darkslide_client::profile::Profile;
use darkslide_client::session::Session;
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;

/// How often the server is asked.
const ASK_EVERY: Duration = Duration::from_secs(30);

/// How long nothing may change before the status is put together again all the same.
const REFRESH: Duration = Duration::from_secs(2);

/// How long an agent that hung up is left alone.
const RECALL: Duration = Duration::from_secs(1);

/// Shows it until Ctrl-C. Nothing that is known here waits for the server.
pub(super) async fn run(
    output: Output,
    profile: &Profile,
    session: &Session,
    catalog: &Catalog,
) -> Result<Ending> {
    let (tell, asked) = watch::channel(None);
    let asking = async {
        loop {
            tell.send_replace(Some(ask(session).await));
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    tokio::select! {
        ended = show(output, profile, session, catalog, asked) => ended,
        never = asking => never,
    }
}

async fn show(
    output: Output,
    profile: &Profile,
    session: &Session,
    catalog: &Catalog,
    mut asked: watch::Receiver<Option<Asked>>,
) -> Result<Ending> {
    let mut screen = Screen::new();
    let mut followed = Followed::default();
    loop {
        // One that hangs may be woken up or started again.
        let problem = followed.call(profile.folder()).await.err();
        let answer = asked.borrow_and_update().clone();
        let mut status = gather(profile, session, catalog, answer, followed.agent.clone()).await?;
        status.agent_problem = problem.map(|problem| format!("{problem:#}"));
        if output.json {
            output.line(&status)?;
        } else {
            screen.show(&describe(&status, Reader::Watches))?;
        }
        tokio::select! {
            () = followed.wait() => {}
            // Whoever asks does so for as long as this is shown.
            Ok(()) = asked.changed() => {}
        }
    }
}

/// An agent that is followed for as long as it is there, and again when another one is.
#[derive(Default)]
struct Followed {
    line: Option<Line>,
    agent: Option<AgentStatus>,
}

impl Followed {
    /// Calls the agent unless it is on the line.
    async fn call(&mut self, profile: &Path) -> Result<()> {
        if self.line.is_some() {
            return Ok(());
        }
        self.line = Line::call(profile).await?;
        if let Some(line) = &mut self.line {
            self.agent = match line.follow().await {
                Ok(()) => line.news().await.ok(),
                Err(_) => None,
            };
        }
        Ok(())
    }

    /// Waits for news, and no longer than what is shown may be old. One that hung up is left alone for a moment.
    async fn wait(&mut self) {
        let Some(line) = &mut self.line else { return tokio::time::sleep(REFRESH).await };
        match tokio::time::timeout(REFRESH, line.news()).await {
            Ok(Ok(news)) => self.agent = Some(news),
            Ok(Err(_)) => {
                (self.line, self.agent) = (None, None);
                tokio::time::sleep(RECALL).await;
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Once, it was called again at once, and again, for as long as it hung up.
    #[cfg(unix)]
    #[tokio::test]
    async fn an_agent_that_hangs_up_is_left_alone_for_a_moment() {
        let folder = tempfile::tempdir().unwrap();
        let door = tokio::net::UnixListener::bind(folder.path().join("agent.sock")).unwrap();
        let mut followed = Followed::default();
        let hang_up = async {
            drop(door.accept().await.unwrap());
        };
        let (called, ()) = tokio::join!(followed.call(folder.path()), hang_up);
        called.unwrap();
        assert!(followed.line.is_some() && followed.agent.is_none());
        let begin = Instant::now();
        followed.wait().await;
        assert!(followed.line.is_none() && begin.elapsed() >= RECALL);
    }
}
