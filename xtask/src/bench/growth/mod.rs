//! Whether the server's start, a page of the feed and a page of a collection's diff cost more in a large account.
//!
//! The accounts are filled by SQL: a million uploads would take hours, and what is measured reads rows only. Every row that a file has
//! after a backup is there (files, memberships, two objects each), the texts as long as real ones; blobs are not.

use super::probe;
use super::report::{Figures, Kind};
use super::sides::{Account, Server};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;
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
        std::fs::remove_dir_all(&folder)?;
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
    Ok(())
}

fn measure_account(
    folder: &Path,
    side: &str,
    files: usize,
    runs: usize,
    figures: &mut Figures,
) -> Result<()> {
    let (data, home) = (folder.join("server"), folder.join("home"));
    let port = {
        let server = Server::start(&data, false, &WITHOUT_SCRUB)?;
        let account = Account::sign_up(&server, &home)?;
        super::measure::measure(account.client().args(["album", "create", "Growth"]))?;
        server.port()
    };
    let database = format!("sqlite:{}", data.join("darkslide.db").display());
    let seeded = probe::answer(&["seed", &database, &files.to_string()])?;
    for _ in 0..runs {
        let begin = Instant::now();
        // At the same address, which is where the client was signed in.
        let server = Server::start_at(port, &data, &WITHOUT_SCRUB)?;
        figures.add_time("growth", side, "cold start", begin.elapsed());
        measure_pages(&home, side, &seeded, figures)?;
        if let Some(bytes) = server.memory() {
            figures.add_server("growth", side, bytes);
        }
    }
    Ok(())
}

fn measure_pages(home: &Path, side: &str, seeded: &Value, figures: &mut Figures) -> Result<()> {
    let number = |name: &str| {
        let value = seeded.get(name).and_then(Value::as_i64);
        value.map(|value| value.to_string()).with_context(|| format!("the seed names {name}"))
    };
    let (first, middle, end) = (number("first")?, number("middle")?, number("end")?);
    let collection = number("collection")?;
    let home = home.to_string_lossy();
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
