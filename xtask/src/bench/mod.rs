//! `cargo xtask bench`: first backup, second run and restore, each beside a floor and peers that do the same work in the same run.
//!
//! What it prints are ratios of medians, with the seconds behind them. Nothing here passes or fails: a figure is looked at by people.
//! Everything runs on 127.0.0.1 and in a folder of its own, which is removed at the end.

mod corpus;
mod darkslide;
mod measure;
mod peers;
mod report;

use crate::shell::{cargo, execute, root};
use anyhow::Result;
use corpus::Corpus;
use darkslide::Darkslide;
use measure::Measured;
use peers::{Copy, Restic};
use report::Table;
use std::path::{Path, PathBuf};

/// What to measure, and how often.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How often each thing is measured; the median counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Where the corpora and repositories go (some 25 GB for the full set)
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Only these corpora: photos, small, huge
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Divide the number of files, or the size of the huge one, by this: for a quick look
    #[arg(long, default_value_t = 1)]
    divide: usize,
}

/// One who backs up, runs again, and restores.
trait Side {
    /// Its name in the table.
    fn name(&self) -> String;
    /// Makes everything ready for a first backup: an empty repository, a running server.
    fn prepare(&mut self, work: &Path) -> Result<()>;
    /// Backs the corpus up. Called twice: the second time nothing has changed.
    fn backup(&mut self, corpus: &Path) -> Result<Measured>;
    /// Brings all of it back into an empty folder.
    fn restore(&mut self, target: &Path) -> Result<Measured>;
    /// Stops what runs and removes what it stored; answers the server's peak memory in bytes, if there was a server.
    fn finish(&mut self) -> Result<Option<u64>>;
}

/// Builds the release binary, measures everything, prints the tables.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    execute(&mut cargo(&["build", "--release", "--locked", "-p", "darkslide"]))?;
    let folder = arguments.folder.clone().unwrap_or_else(|| root().join("target/bench"));
    std::fs::create_dir_all(&folder)?;
    let work = tempfile::Builder::new().prefix("run-").tempdir_in(&folder)?;
    println!("{}", report::machine());
    let start = darkslide::cold_start(work.path(), arguments.runs)?;
    println!(
        "cold start to first answer: {:.0} ms (median of {})\n",
        start.as_secs_f64() * 1e3,
        arguments.runs
    );
    for corpus in Corpus::all(arguments.divide) {
        if arguments.only.is_empty() || arguments.only.iter().any(|name| name == corpus.name) {
            measure_corpus(&corpus, work.path(), arguments.runs)?;
        }
    }
    Ok(())
}

fn measure_corpus(corpus: &Corpus, work: &Path, runs: usize) -> Result<()> {
    let source = work.join(corpus.name);
    corpus.generate(&source)?;
    let mut sides: Vec<Box<dyn Side>> = vec![
        Box::new(Darkslide::without_thumbnails()),
        Box::new(Copy::default()),
        Box::new(Restic::local()),
        Box::new(Restic::over_rclone()),
    ];
    let mut table = Table::new(corpus);
    // Sides take turns, so that a slow minute of the machine hits all of them.
    for run in 0..runs {
        for side in &mut sides {
            // A side that lost something once would always lose it: the first round's restore is compared.
            one_round(side.as_mut(), &source, work, &mut table, run == 0)?;
        }
    }
    println!("{table}");
    std::fs::remove_dir_all(&source)?;
    Ok(())
}

fn one_round(
    side: &mut dyn Side,
    source: &Path,
    work: &Path,
    table: &mut Table,
    compare: bool,
) -> Result<()> {
    let repository = work.join("repository");
    let target = work.join("restored");
    std::fs::create_dir_all(&repository)?;
    side.prepare(&repository)?;
    let name = side.name();
    table.add(&name, "first backup", &side.backup(source)?);
    table.add(&name, "second run", &side.backup(source)?);
    std::fs::create_dir_all(&target)?;
    table.add(&name, "restore", &side.restore(&target)?);
    if let Some(bytes) = side.finish()? {
        table.server_memory(&name, bytes);
    }
    if compare {
        corpus::same_contents(source, &target)?;
    }
    std::fs::remove_dir_all(&target)?;
    std::fs::remove_dir_all(&repository)?;
    Ok(())
}
