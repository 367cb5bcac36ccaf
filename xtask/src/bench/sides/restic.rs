//! restic, which also encrypts, into a local repository and through `rclone serve restic`.

use super::super::background::Background;
use super::super::measure::{Measured, measure};
use super::Side;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// restic, with its own defaults.
pub(crate) struct Restic {
    served: bool,
    repository: String,
    cache: PathBuf,
    server: Option<Background>,
}

impl Restic {
    /// Into a folder.
    pub(crate) fn local() -> Self {
        Self { served: false, repository: String::new(), cache: PathBuf::new(), server: None }
    }

    /// Over HTTP on 127.0.0.1, into a folder.
    pub(crate) fn over_rclone() -> Self {
        Self { served: true, ..Self::local() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("restic");
        command.args(["--repo", &self.repository, "--quiet"]).args(arguments);
        command.env("RESTIC_PASSWORD", "bench").env("RESTIC_CACHE_DIR", &self.cache);
        command
    }
}

impl Side for Restic {
    fn name(&self) -> String {
        if self.served { "restic, rclone" } else { "restic, local" }.to_owned()
    }

    fn prepare(&mut self, work: &Path) -> Result<()> {
        let folder = work.join("restic");
        std::fs::create_dir_all(&folder)?;
        self.cache = work.join("restic-cache");
        self.repository = folder.to_string_lossy().into_owned();
        if self.served {
            let rclone = Background::listen(|port| {
                let mut rclone = Command::new("rclone");
                rclone.args(["serve", "restic", "--addr", &format!("127.0.0.1:{port}")]).arg(&folder);
                rclone
            })
            .context("rclone is needed: apt-get install rclone")?;
            self.repository = format!("rest:http://127.0.0.1:{}/", rclone.port);
            self.server = Some(rclone);
        }
        measure(&mut self.command(&["init"])).context("restic is needed: apt-get install restic").map(drop)
    }

    fn backup(&mut self, corpus: &Path) -> Result<Measured> {
        measure(self.command(&["backup", "."]).current_dir(corpus))
    }

    fn restore(&mut self, target: &Path) -> Result<Option<Measured>> {
        measure(&mut self.command(&["restore", "latest", "--target", &target.to_string_lossy()])).map(Some)
    }

    fn finish(&mut self) -> Result<Option<u64>> {
        Ok(self.server.take().and_then(|server| server.memory()))
    }
}
