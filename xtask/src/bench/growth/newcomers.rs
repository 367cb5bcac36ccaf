//! What a backup of new files costs beside few and beside very many that are in the vault already.
//!
//! Both sides are filled by SQL: the server's database, and the catalog of the client, which otherwise would read a million entries first.
//! The new files are real, and in a folder that nobody has seen.

use super::super::aside::set_aside;
use super::super::corpus::Corpus;
use super::super::measure::{measure, until_on_disk};
use super::super::report::{Figures, Kind};
use super::super::sides::Server;
use super::{Filled, LARGE, WITHOUT_SCRUB};
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// Files of the account that is beginning.
const FEW: usize = 1000;

/// How the two accounts are named among the figures.
pub(crate) const BESIDE_FEW: &str = "beside few";
pub(crate) const BESIDE_MANY: &str = "beside many";

/// What is measured.
pub(crate) const WORK: &str = "newcomers";

/// Measures both accounts, which take turns, and prints how they compare.
pub(super) fn measure_newcomers(
    work: &Path,
    divide: usize,
    runs: usize,
    figures: &mut Figures,
) -> Result<()> {
    let folder = work.join("growth");
    let few = Side::new(&folder, BESIDE_FEW, FEW)?;
    let many = Side::new(&folder, BESIDE_MANY, LARGE / divide)?;
    for run in 0..runs {
        for side in [&few, &many] {
            side.back_up(run, figures)?;
        }
    }
    for side in [few, many] {
        if let Some(bytes) = side.server.memory() {
            figures.add_server("growth", side.name, bytes);
        }
    }
    set_aside(&folder)?;
    let seconds = |side| figures.median("growth", side, WORK, Kind::Seconds).unwrap_or(f64::NAN);
    let memory = |side| figures.median("growth", side, WORK, Kind::Memory).unwrap_or(f64::NAN) / 1e6;
    println!("**{} more files**\n", Corpus::newcomers(0).title);
    println!("| in the vault before | first backup | client memory |\n|---|---|---|");
    for (side, files) in [(BESIDE_FEW, FEW), (BESIDE_MANY, LARGE / divide)] {
        println!("| {files} | {:.2} s | {:.0} MB |", seconds(side), memory(side));
    }
    println!("\nmany / few: × {:.2}\n", seconds(BESIDE_MANY) / seconds(BESIDE_FEW));
    Ok(())
}

/// A server, and an account with files on it.
struct Side {
    name: &'static str,
    folder: PathBuf,
    filled: Filled,
    server: Server,
}

impl Side {
    fn new(folder: &Path, name: &'static str, files: usize) -> Result<Self> {
        let folder = folder.join(name);
        let filled = Filled::new(&folder, files)?;
        filled.fill_catalog(files)?;
        let server = Server::start_at(filled.port, &filled.data(), &WITHOUT_SCRUB)?;
        Ok(Self { name, folder, filled, server })
    }

    /// Backs up files that nobody has seen.
    fn back_up(&self, run: usize, figures: &mut Figures) -> Result<()> {
        let corpus = self.folder.join(format!("newcomers-{run}"));
        Corpus::newcomers(run).generate(&corpus)?;
        let mut backup = self.filled.account.client();
        backup.arg("backup").arg("--album-per-folder").arg(&corpus).arg("--no-thumbnails");
        // A million rows that nobody has flushed yet would be flushed meanwhile.
        let backed_up = until_on_disk(&self.folder, || measure(&mut backup).map(Some))?;
        let backed_up = backed_up.context("a backup is always measured")?;
        figures.add_run("growth", self.name, WORK, &backed_up.measured);
        set_aside(&corpus)
    }
}
