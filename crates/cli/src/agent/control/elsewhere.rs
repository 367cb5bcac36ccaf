//! The same where there is no socket to talk through: nobody comes in, and nobody is called.

use super::{AgentStatus, Command, Request};
use anyhow::{Result, bail};
use std::path::Path;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

const NOT_HERE: &str = "the agent cannot be talked to on this system yet";

/// Nothing can come in.
#[derive(Debug)]
pub(crate) struct Door;

impl Door {
    pub(crate) fn open(_folder: &Path) -> Result<Self> {
        Ok(Self)
    }

    /// Nobody expects a door here.
    pub(crate) fn is_walled_up(&self) -> bool {
        false
    }

    pub(crate) async fn serve(self, _status: watch::Receiver<AgentStatus>, _commands: mpsc::Sender<Command>) {
        std::future::pending().await
    }
}

/// Nobody can be called.
#[derive(Debug)]
pub(crate) struct Line;

impl Line {
    pub(crate) async fn call(_folder: &Path) -> Result<Option<Self>> {
        Ok(None)
    }

    pub(crate) async fn status_of(_folder: &Path) -> Result<Option<AgentStatus>> {
        Ok(None)
    }

    pub(crate) async fn status_within(_folder: &Path, _: Duration) -> Result<Option<AgentStatus>> {
        Ok(None)
    }

    pub(crate) async fn leave(_folder: &Path, _request: Request) -> Result<()> {
        bail!(NOT_HERE)
    }

    pub(crate) async fn ask(&mut self, _request: Request) -> Result<()> {
        bail!(NOT_HERE)
    }

    pub(crate) async fn stop(self) -> Result<()> {
        bail!(NOT_HERE)
    }

    pub(crate) async fn status(&mut self) -> Result<AgentStatus> {
        bail!(NOT_HERE)
    }

    pub(crate) async fn follow(&mut self) -> Result<()> {
        bail!(NOT_HERE)
    }

    pub(crate) async fn news(&mut self) -> Result<AgentStatus> {
        bail!(NOT_HERE)
    }
}
