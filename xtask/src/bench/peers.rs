//! Those we are measured against: `cp -r` as the floor of any copying, and restic, which also encrypts, into a local repository and
//! through `rclone serve restic`.

use super::Side;
use super::measure::{Background, Measured, measure, wait_for_port};
use crate::postgres::free_port;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// `cp -r`: reads and writes every byte and does nothing else. It does not wait for the disk.
#[derive(Default)]
pub(crate) struct Copy {
    repository: PathBuf,
}

impl Side for Copy {
    fn name(&self) -> String {
        "cp -r".to_owned()
    }

    fn prepare(&mut self, work: &Path) -> Result<()> {
        self.repository = work.join("copy");
        Ok(())
    }

    fn backup(&mut self, corpus: &Path) -> Result<Measured> {
        measure(Command::new("cp").arg("-ruT").arg(corpus).arg(&self.repository))
    }

    fn restore(&mut self, target: &Path) -> Result<Measured> {
        measure(Command::new("cp").arg("-rT").arg(&self.repository).arg(target))
    }

    fn finish(&mut self) -> Result<Option<u64>> {
        Ok(None)
    }
}

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
            let port = free_port()?;
            let address = format!("127.0.0.1:{port}");
            let folder = self.repository.clone();
            let mut rclone = Command::new("rclone");
            rclone.args(["serve", "restic", "--addr", &address, &folder]);
            self.server =
                Some(Background::start(&mut rclone).context("rclone is needed: apt-get install rclone")?);
            wait_for_port(port)?;
            self.repository = format!("rest:http://{address}/");
        }
        measure(&mut self.command(&["init"])).context("restic is needed: apt-get install restic").map(drop)
    }

    fn backup(&mut self, corpus: &Path) -> Result<Measured> {
        measure(self.command(&["backup", "."]).current_dir(corpus))
    }

    fn restore(&mut self, target: &Path) -> Result<Measured> {
        measure(&mut self.command(&["restore", "latest", "--target", &target.to_string_lossy()]))
    }

    fn finish(&mut self) -> Result<Option<u64>> {
        Ok(self.server.take().and_then(|server| server.memory()))
    }
}
