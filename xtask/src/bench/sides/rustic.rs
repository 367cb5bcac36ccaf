//! rustic, which reads and writes restic's repositories, into a folder. It is measured only where it is asked for and installed.

use super::super::measure::{Measured, measure};
use super::Side;
use crate::shell::{root, succeeds};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What installs it where it is looked for.
const INSTALL: &str = "cargo install rustic-rs --locked --no-default-features --root target/bench/tools";

/// rustic, with its own defaults.
pub(crate) struct Rustic {
    program: PathBuf,
    work: PathBuf,
}

impl Rustic {
    /// The one that was installed for the bench, or else the one on `PATH`.
    pub(crate) fn find() -> Result<Self> {
        let candidates = [root().join("target/bench/tools/bin/rustic"), PathBuf::from("rustic")];
        match candidates.into_iter().find(|program| succeeds(Command::new(program).arg("--version"))) {
            Some(program) => Ok(Self { program, work: PathBuf::new() }),
            None => bail!("rustic is not installed: {INSTALL}"),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--repository").arg(self.work.join("rustic"));
        command.arg("--cache-dir").arg(self.work.join("rustic-cache"));
        command.args(["--no-progress", "--log-level", "warn"]).args(arguments);
        command.env("RUSTIC_PASSWORD", "bench");
        command
    }
}

impl Side for Rustic {
    fn name(&self) -> String {
        "rustic, local".to_owned()
    }

    fn prepare(&mut self, work: &Path) -> Result<()> {
        self.work = work.to_path_buf();
        measure(&mut self.command(&["init"])).map(drop)
    }

    fn backup(&mut self, corpus: &Path) -> Result<Measured> {
        measure(self.command(&["backup", "."]).current_dir(corpus))
    }

    fn restore(&mut self, target: &Path) -> Result<Option<Measured>> {
        measure(&mut self.command(&["restore", "latest", &target.to_string_lossy()])).map(Some)
    }

    fn finish(&mut self) -> Result<Option<u64>> {
        Ok(None)
    }
}
