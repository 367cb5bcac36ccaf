//! `cargo xtask bench`: what we promise of speed and memory, each beside a floor or peers that do the same work in the same run.
//!
//! What it prints are ratios of medians, with the seconds behind them, and at the end every goal with what came of it. Nothing here
//! passes or fails: a figure is looked at by people. Everything runs on 127.0.0.1 and in a folder of its own, which is removed at the
//! end (`aside.rs` says why not before).

mod aside;
mod background;
pub(crate) mod corpus;
mod growth;
mod many;
pub(crate) mod measure;
mod probe;
mod report;
mod rounds;
pub(crate) mod sides;
mod thumbnails;
mod uploads;

use crate::shell::{cargo, execute, root};
use anyhow::Result;
use corpus::Corpus;
use report::{Figures, Goals};
use sides::{Copy, Darkslide, Floor, Options, Restic, Rustic, Server, Side};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What to measure, and how often.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How often each thing is measured; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Where the corpora and repositories go (some 25 GB for the full set)
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Only these parts
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Part>,
    /// Divide the number of files, or the size of the huge one, by this: for a quick look
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    divide: u16,
    /// Peers that are measured only where they are asked for
    #[arg(long, value_delimiter = ',', value_enum)]
    with: Vec<Peer>,
    /// Write all figures into this file too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What is measured by itself.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// 1,000 × 3 MB, on all sides
    Photos,
    /// 20,000 × 40 KB, on all sides
    Small,
    /// One file of 4 GB, on all sides
    Huge,
    /// 100,000 files: second run, feed and lookup
    Many,
    /// 1,000 × 3 MB with thumbnails and without
    Pictures,
    /// 20,000 × 40 KB with thumbnails and without
    SmallPictures,
    /// The server at 64 concurrent uploads
    Uploads,
    /// The server with 10,000 and with 1,000,000 files in an account
    Growth,
}

/// Peers that are not in every distribution.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Peer {
    /// rustic, into a local repository
    Rustic,
}

/// Builds the release binaries, measures everything, prints tables and goals.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    build()?;
    let folder = arguments.folder.clone().unwrap_or_else(|| root().join("target/bench"));
    std::fs::create_dir_all(&folder)?;
    let work = tempfile::Builder::new().prefix("run-").tempdir_in(&folder)?;
    println!("\n{}\n", report::machine());
    if !arguments.with.contains(&Peer::Rustic) {
        println!("rustic is not measured: `--with rustic` does, where it is installed\n");
    }
    let mut figures = Figures::default();
    cold_start(work.path(), arguments.runs.into(), &mut figures)?;
    for part in <Part as clap::ValueEnum>::value_variants() {
        if arguments.only.is_empty() || arguments.only.contains(part) {
            measure_part(*part, arguments, work.path(), &mut figures)?;
        }
    }
    let goals = Goals::of(&figures);
    if arguments.divide > 1 {
        println!("Everything was divided by {}: these are not the goals' sizes.\n", arguments.divide);
    }
    println!("{goals}");
    match &arguments.json {
        Some(file) => write_json(file, arguments, &figures, &goals),
        None => Ok(()),
    }
}

/// The floor and the probe in commands of their own: together with ours they might be built with other features of what they share.
fn build() -> Result<()> {
    for words in [
        ["-p", "darkslide", "--bin", "darkslide"],
        ["-p", "xtask", "--bin", "floor"],
        ["-p", "darkslide-e2e", "--example", "probe"],
    ] {
        execute(cargo(&["build", "--release", "--locked"]).args(words))?;
    }
    Ok(())
}

fn measure_part(part: Part, arguments: &Arguments, work: &Path, figures: &mut Figures) -> Result<()> {
    let (runs, divide) = (arguments.runs.into(), arguments.divide.into());
    match part {
        Part::Photos => {
            rounds::measure_corpus(&Corpus::photos(divide), sides(arguments)?, work, runs, figures)
        }
        Part::Small => rounds::measure_corpus(&Corpus::small(divide), sides(arguments)?, work, runs, figures),
        Part::Huge => rounds::measure_corpus(&Corpus::huge(divide), sides(arguments)?, work, runs, figures),
        Part::Many => many::measure_many(&Corpus::many(divide), work, runs, figures),
        Part::Pictures => thumbnails::measure_thumbnails(&Corpus::pictures(divide), work, runs, figures),
        Part::SmallPictures => {
            thumbnails::measure_thumbnails(&Corpus::small_pictures(divide), work, runs, figures)
        }
        Part::Uploads => uploads::measure_uploads(work, divide, runs, figures),
        Part::Growth => growth::measure_growth(work, divide, runs, figures),
    }
}

/// Ours first; the corpora are noise, so without thumbnails.
fn sides(arguments: &Arguments) -> Result<Vec<Box<dyn Side>>> {
    let mut sides: Vec<Box<dyn Side>> = vec![
        Box::new(Darkslide::new(Options::default())),
        Box::new(Darkslide::new(Options { tls: true, ..Options::default() })),
        Box::new(Floor::default()),
        Box::new(Copy::default()),
        Box::new(Restic::local()),
        Box::new(Restic::over_rclone()),
    ];
    if arguments.with.contains(&Peer::Rustic) {
        sides.push(Box::new(Rustic::find()?));
    }
    Ok(sides)
}

/// From starting the process on an empty folder to its first answer.
fn cold_start(work: &Path, runs: usize, figures: &mut Figures) -> Result<()> {
    for run in 0..runs {
        let begin = Instant::now();
        let _server = Server::start(&work.join(format!("cold-{run}")), false, &[])?;
        figures.add_time("start", "darkslide", "cold start", begin.elapsed());
    }
    let median = figures.median("start", "darkslide", "cold start", report::Kind::Seconds);
    println!("cold start to first answer: {:.0} ms (median of {runs})\n", median.unwrap_or(f64::NAN) * 1e3);
    Ok(())
}

fn write_json(file: &Path, arguments: &Arguments, figures: &Figures, goals: &Goals) -> Result<()> {
    let all = serde_json::json!({
        "machine": report::machine(),
        "runs": arguments.runs,
        "divide": arguments.divide,
        "goals": goals.to_json(),
        "figures": figures.to_json(),
    });
    Ok(std::fs::write(file, serde_json::to_string_pretty(&all)? + "\n")?)
}
