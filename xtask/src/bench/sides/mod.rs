//! Those who back up, run again and restore: ourselves, the peers, and the floors below all of them.

mod copy;
mod darkslide;
mod floor;
mod restic;
mod rustic;

pub(crate) use copy::Copy;
pub(crate) use darkslide::{Account, Darkslide, Options, Server};
pub(crate) use floor::{Floor, walk};
pub(crate) use restic::Restic;
pub(crate) use rustic::Rustic;

use super::measure::Measured;
use anyhow::Result;
use std::path::Path;

/// One who backs up. What a side does not do it answers with `None`.
pub(crate) trait Side {
    /// Its name in the table.
    fn name(&self) -> String;
    /// Makes everything ready for a first backup: an empty repository, a running server.
    fn prepare(&mut self, work: &Path) -> Result<()>;
    /// Backs the corpus up for the first time.
    fn backup(&mut self, corpus: &Path) -> Result<Measured>;
    /// Does so again: nothing has changed.
    fn backup_again(&mut self, corpus: &Path) -> Result<Option<Measured>> {
        self.backup(corpus).map(Some)
    }
    /// Brings all of it back into an empty folder.
    fn restore(&mut self, target: &Path) -> Result<Option<Measured>>;
    /// Stops what runs; answers the server's peak memory in bytes, if there was a server.
    fn finish(&mut self) -> Result<Option<u64>>;
}
