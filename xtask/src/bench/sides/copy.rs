//! `cp -r`: reads and writes every byte and does nothing else. It does not wait for the disk.

use super::super::measure::{Measured, measure};
use super::Side;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The floor of any copying.
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

    fn restore(&mut self, target: &Path) -> Result<Option<Measured>> {
        measure(Command::new("cp").arg("-rT").arg(&self.repository).arg(target)).map(Some)
    }

    fn finish(&mut self) -> Result<Option<u64>> {
        Ok(None)
    }
}
