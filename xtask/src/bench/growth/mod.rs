//! Whether the server's start, a page of the feed, a page of a collection's diff and a backup of new files cost more in a large account.
//!
//! The accounts are filled by SQL: a million uploads would take hours, and what is measured reads rows only. Every row that a file has
//! after a backup is there (files, memberships, two objects each), the texts as long as real ones; blobs are not.

mod newcomers;

pub(super) use newcomers::{BESIDE_FEW, BESIDE_MANY, WORK as NEWCOMERS};

use super::aside::set_aside;
use super::probe;
use super::report::{Figures, Kind};
use super::sides::{Account, Server};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Files of the small account: enough that every page is a whole one, so it is never divided.
const SMALL: usize = 10_000;

/// Files of the large one.
const LARGE: usize = 1_000_000;

/// There is nothing on the disk for the scrub to read: it would only report every file as missing.
const WITHOUT_SCRUB: [&str; 2] = ["--scrub-rate", "0"];

/// What is measured of an account, in this order.
const WORKS: [&str; 5] = ["cold start", "feed, beginning", "feed, middle", "feed, end", "diff, middle"];

/// Fills two accounts and measures both; prints how they compare.
pub(crate) fn measure_growth(work: &Path, divide: usize, runs: usize, figures: &mut Figures) -> Result<()> {
    for (side, files) in [("small account", SMALL), ("large account", LARGE / divide)] {
        let folder = work.join("growth");
        measure_account(&folder, side, files, runs, figures)?;
        set_aside(&folder)?;
    }
    println!("**{} and {} files in an account**\n", SMALL, LARGE / divide);
    println!("| | small | large | large / small |\n|---|---|---|---|");
    for work in WORKS {
        let millis =
            |side| figures.median("growth", side, work, Kind::Seconds).map_or(f64::NAN, |value| value * 1e3);
        let (small, large) = (millis("small account"), millis("large account"));
        println!("| {work} | {small:.1} ms | {large:.1} ms | × {:.2} |", large / small);
    }
    println!();
    newcomers::measure_newcomers(work, divide, runs, figures)
}

/// An account that was filled; its server does not run.
struct Filled {
    folder: PathBuf,
    /// Where its server has to listen: the client was signed in there.
    port: u16,
    account: Account,
    /// Where the files are among the account's versions.
    places: Value,
}

impl Filled {
    /// Makes an account with so many files in one album.
    fn new(folder: &Path, files: usize) -> Result<Self> {
        let (data, home) = (folder.join("server"), folder.join("home"));
        let server = Server::start(&data, false, &WITHOUT_SCRUB)?;
        let account = Account::sign_up(&server, &home)?;
        super::measure::measure(account.client().args(["album", "create", "Growth"]))?;
        let port = server.port();
        drop(server);
        let database = format!("sqlite:{}", data.join("darkslide.db").display());
        let places = probe::answer(&["seed", &database, &files.to_string()])?;
        Ok(Self { folder: folder.to_path_buf(), port, account, places })
    }

    /// Where the server keeps its data.
    fn data(&self) -> PathBuf {
        self.folder.join("server")
    }

    /// Gives the client's catalog the same files, as if it had read of them and backed them up.
    fn fill_catalog(&self, files: usize) -> Result<()> {
        let catalog = self.account.home.join("default/catalog.sqlite");
        let catalog = format!("sqlite:{}", catalog.display());
        let place = |name| self.place(name);
        probe::answer(&["seed-catalog", &catalog, &files.to_string(), &place("collection")?, &place("last")?])
            .map(drop)
    }

    fn place(&self, name: &str) -> Result<String> {
        let value = self.places.get(name).and_then(Value::as_i64);
        value.map(|value| value.to_string()).with_context(|| format!("the seed names {name}"))
    }
}

fn measure_account(
    folder: &Path,
    side: &str,
    files: usize,
    runs: usize,
    figures: &mut Figures,
) -> Result<()> {
    let filled = Filled::new(folder, files)?;
    for _ in 0..runs {
        let begin = Instant::now();
        let server = Server::start_at(filled.port, &filled.data(), &WITHOUT_SCRUB)?;
        figures.add_time("growth", side, "cold start", begin.elapsed());
        measure_pages(&filled, side, figures)?;
        if let Some(bytes) = server.memory() {
            figures.add_server("growth", side, bytes);
        }
    }
    Ok(())
}

fn measure_pages(filled: &Filled, side: &str, figures: &mut Figures) -> Result<()> {
    let (first, middle, end) = (filled.place("first")?, filled.place("middle")?, filled.place("end")?);
    let collection = filled.place("collection")?;
    let home = filled.account.home.to_string_lossy();
    let mut page = |work: &str, words: &[&str]| -> Result<()> {
        let seconds: Duration = probe::seconds(words)?;
        figures.add_time("growth", side, work, seconds);
        Ok(())
    };
    page("feed, beginning", &["feed", &home, &first])?;
    page("feed, middle", &["feed", &home, &middle])?;
    page("feed, end", &["feed", &home, &end])?;
    page("diff, middle", &["diff", &home, &middle, &collection])
}
