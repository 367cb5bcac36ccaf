//! Every figure of a run of the bench: by part, side and work, all its values.

use super::super::measure::{Measured, OnDisk};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Wall time in seconds.
    Seconds,
    /// The same until everything is on the disk.
    SecondsOnDisk,
    /// Bytes of resident memory at most, of who works.
    Memory,
    /// The same of its server.
    ServerMemory,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::SecondsOnDisk => "seconds until on disk",
            Self::Memory => "bytes of memory",
            Self::ServerMemory => "bytes of the server's memory",
        }
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    part: &'static str,
    side: String,
    work: String,
    kind: Kind,
}

/// All values.
#[derive(Default)]
pub(crate) struct Figures {
    values: BTreeMap<Key, Vec<f64>>,
    /// In the order of their first value.
    sides: Vec<(&'static str, String)>,
}

impl Figures {
    /// Wall time and memory of a run.
    pub(crate) fn add_run(&mut self, part: &'static str, side: &str, work: &str, run: &Measured) {
        self.add_time(part, side, work, run.time);
        self.add(part, side, work, Kind::Memory, as_figure(run.memory));
    }

    /// The same of one that wrote something.
    pub(crate) fn add_on_disk(&mut self, part: &'static str, side: &str, work: &str, run: &OnDisk) {
        self.add_run(part, side, work, &run.measured);
        self.add(part, side, work, Kind::SecondsOnDisk, run.time.as_secs_f64());
    }

    /// A server's memory, in bytes.
    pub(crate) fn add_server(&mut self, part: &'static str, side: &str, bytes: u64) {
        self.add(part, side, "server", Kind::ServerMemory, as_figure(bytes));
    }

    /// Wall time alone.
    pub(crate) fn add_time(&mut self, part: &'static str, side: &str, work: &str, time: Duration) {
        eprintln!("  {part}: {side}: {work}: {:.4} s", time.as_secs_f64());
        self.add(part, side, work, Kind::Seconds, time.as_secs_f64());
    }

    fn add(&mut self, part: &'static str, side: &str, work: &str, kind: Kind, value: f64) {
        if !self.sides.iter().any(|known| (known.0, known.1.as_str()) == (part, side)) {
            self.sides.push((part, side.to_owned()));
        }
        let key = Key { part, side: side.to_owned(), work: work.to_owned(), kind };
        self.values.entry(key).or_default().push(value);
    }

    /// The middle value.
    pub(crate) fn median(&self, part: &'static str, side: &str, work: &str, kind: Kind) -> Option<f64> {
        let key = Key { part, side: side.to_owned(), work: work.to_owned(), kind };
        middle(self.values.get(&key)?)
    }

    /// The highest value of a side, over all its work.
    pub(crate) fn most(&self, part: &'static str, side: &str, kind: Kind) -> Option<f64> {
        let of_side = |key: &Key| (key.part, key.side.as_str(), key.kind) == (part, side, kind);
        let values = self.values.iter().filter(|(key, _)| of_side(key)).flat_map(|(_, values)| values);
        values.copied().max_by(f64::total_cmp)
    }

    /// Who took part, in the order in which they did.
    pub(crate) fn sides(&self, part: &'static str) -> impl Iterator<Item = &str> {
        self.sides.iter().filter(move |side| side.0 == part).map(|side| side.1.as_str())
    }

    /// How often one thing was measured.
    pub(crate) fn runs(&self, part: &'static str) -> usize {
        self.values
            .iter()
            .filter(|(key, _)| key.part == part)
            .map(|(_, values)| values.len())
            .max()
            .unwrap_or(0)
    }

    /// All of them, for programs.
    pub(crate) fn to_json(&self) -> Value {
        let figure = |(key, values): (&Key, &Vec<f64>)| {
            json!({ "part": key.part, "side": key.side, "work": key.work, "kind": key.kind.name(),
                    "median": middle(values), "values": values })
        };
        self.values.iter().map(figure).collect()
    }
}

fn middle(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn as_figure(bytes: u64) -> f64 {
    bytes as f64
}
