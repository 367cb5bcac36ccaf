//! What callers ask of the agent, and what it does about that.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;

use super::Agent;
use super::control::{Command, Request};
use super::visitors::Guest;

impl Agent {
    /// Does it, and says so.
    pub(super) async fn obey(&mut self, command: Command) -> Result<()> {
        match command.request {
            Request::Pause => {
                let recorded = self.pause.set(true);
                self.interrupt();
                self.say("paused");
                self.record_pause(recorded);
            }
            Request::Resume => {
                let recorded = self.pause.set(false);
                self.tried = None;
                self.say("resumed");
                self.record_pause(recorded);
            }
            Request::Scan => {
                self.tried = None;
                self.folders.values_mut().for_each(|folder| folder.is_asked = true);
                self.schedule.everything_now(Instant::now());
                self.sync.look.notify_one();
            }
            Request::Reload => {
                if let Err(error) = self.check_account() {
                    // Where it begins anew, that is the list it reads.
                    let _told = command.done.send(());
                    return Err(error);
                }
                self.read_folders().await?;
                self.sync.look.notify_one();
            }
            Request::Stop => self.is_ending = true,
            Request::Yield | Request::Turn => {
                self.interrupt();
                let (line, news) = (command.line.clone(), Arc::clone(&self.news));
                tokio::spawn(async move {
                    line.cancelled().await;
                    news.notify_one();
                });
                let is_own = command.request == Request::Turn;
                self.guests.push(Guest::new(command, is_own));
                return Ok(());
            }
            // Answered where they came in.
            Request::Status | Request::Follow => {}
        }
        self.publish_now(Instant::now());
        // Whoever hung up has no use for it.
        let _told = command.done.send(());
        Ok(())
    }

    /// What cannot be written down is lost with this process.
    pub(super) fn record_pause(&mut self, recorded: std::io::Result<()>) {
        if let Err(error) = recorded {
            let state = if self.pause.is_set() { "is" } else { "is not" };
            self.say(format!("that it {state} paused holds until it is started anew: {error}"));
        }
    }

    /// Stops what is under way.
    pub(super) fn interrupt(&self) {
        if let Some(running) = &self.running {
            running.stop.cancel();
        }
    }
}
