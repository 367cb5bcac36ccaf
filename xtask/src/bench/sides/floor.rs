//! The floor of a first backup and that of a second run: see `xtask/src/floor`.

use super::super::background::Background;
use super::super::measure::{Measured, measure};
use super::Side;
use crate::shell::root;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// Read, hash, encrypt, send over 127.0.0.1, write, flush.
#[derive(Default)]
pub(crate) struct Floor {
    receiver: Option<Background>,
}

impl Side for Floor {
    fn name(&self) -> String {
        "floor".to_owned()
    }

    fn prepare(&mut self, work: &Path) -> Result<()> {
        let folder = work.join("floor");
        self.receiver = Some(Background::listen(|port| {
            let mut command = floor();
            command.arg("receive").arg(&folder).arg(port.to_string());
            command
        })?);
        Ok(())
    }

    fn backup(&mut self, corpus: &Path) -> Result<Measured> {
        let port = self.receiver.as_ref().context("it was prepared")?.port;
        measure(floor().arg("send").arg(corpus).arg(port.to_string()))
    }

    fn backup_again(&mut self, _corpus: &Path) -> Result<Option<Measured>> {
        Ok(None)
    }

    fn restore(&mut self, _target: &Path) -> Result<Option<Measured>> {
        Ok(None)
    }

    fn finish(&mut self) -> Result<Option<u64>> {
        Ok(self.receiver.take().context("it was prepared")?.memory())
    }
}

/// Lists a tree and asks for each file's size and time, once.
pub(crate) fn walk(corpus: &Path) -> Result<Measured> {
    measure(floor().arg("walk").arg(corpus))
}

fn floor() -> Command {
    Command::new(root().join("target/release/floor"))
}
