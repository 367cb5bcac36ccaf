//! The table that people look at: medians, and how each side relates to ours.

use super::corpus::Corpus;
use super::measure::{Measured, median};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Whose figures the ratios relate to.
const OURS: &str = "darkslide";

/// All measurements over one corpus.
pub(crate) struct Table {
    title: String,
    total: u64,
    sides: Vec<String>,
    runs: BTreeMap<(String, &'static str), Vec<Measured>>,
    servers: BTreeMap<String, u64>,
}

impl Table {
    /// An empty one.
    pub(crate) fn new(corpus: &Corpus) -> Self {
        Self {
            title: corpus.title.clone(),
            total: corpus.total(),
            sides: Vec::new(),
            runs: BTreeMap::new(),
            servers: BTreeMap::new(),
        }
    }

    /// One run of one side.
    pub(crate) fn add(&mut self, side: &str, work: &'static str, measured: &Measured) {
        eprintln!("  {side}: {work}: {:.2} s", measured.time.as_secs_f64());
        if !self.sides.iter().any(|known| known == side) {
            self.sides.push(side.to_owned());
        }
        self.runs.entry((side.to_owned(), work)).or_default().push(*measured);
    }

    /// The peak memory of a side's server, in bytes; the highest of all runs counts.
    pub(crate) fn server_memory(&mut self, side: &str, bytes: u64) {
        let peak = self.servers.entry(side.to_owned()).or_default();
        *peak = bytes.max(*peak);
    }

    fn time(&self, side: &str, work: &'static str) -> Option<Duration> {
        let times: Vec<Duration> =
            self.runs.get(&(side.to_owned(), work))?.iter().map(|run| run.time).collect();
        median(&times)
    }

    fn memory(&self, side: &str) -> u64 {
        let of_side = self.runs.iter().filter(|((name, _), _)| name == side);
        of_side.flat_map(|(_, runs)| runs).map(|run| run.memory).max().unwrap_or(0)
    }

    fn cell(&self, side: &str, work: &'static str) -> String {
        let (Some(time), Some(ours)) = (self.time(side, work), self.time(OURS, work)) else {
            return "–".to_owned();
        };
        let seconds = time.as_secs_f64();
        if side == OURS {
            format!("{seconds:.2} s")
        } else {
            format!("{seconds:.2} s (× {:.2})", seconds / ours.as_secs_f64())
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.runs.values().map(Vec::len).max().unwrap_or(0);
        writeln!(
            out,
            "**{}** ({} MB; median of {runs}; × is that side's time over ours)\n",
            self.title,
            self.total / 1_000_000
        )?;
        writeln!(out, "| | first backup | second run | restore | client memory | server memory |")?;
        writeln!(out, "|---|---|---|---|---|---|")?;
        for side in &self.sides {
            let server = self.servers.get(side).map_or_else(|| "–".to_owned(), |&bytes| megabytes(bytes));
            writeln!(
                out,
                "| {side} | {} | {} | {} | {} | {server} |",
                self.cell(side, "first backup"),
                self.cell(side, "second run"),
                self.cell(side, "restore"),
                megabytes(self.memory(side)),
            )?;
        }
        Ok(())
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes / 1_000_000)
}

/// The machine in one line, so that a table can be judged.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split(':').nth(1)?.trim().to_owned())
        })
        .unwrap_or_else(|| "unknown processor".to_owned());
    format!("{cores} cores, {model}\n")
}
