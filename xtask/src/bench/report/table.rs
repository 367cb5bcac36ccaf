//! The table of one corpus: medians, and how each side relates to ours.

use super::super::corpus::Corpus;
use super::{Figures, Kind};
use std::fmt;

/// Whose figures the ratios relate to.
const OURS: &str = "darkslide";

/// What has a column of its own, and whether it leaves something to be written.
const WORKS: [(&str, bool); 3] = [("first backup", true), ("second run", false), ("restore", true)];

/// All measurements over one corpus.
pub(crate) struct Table<'a> {
    figures: &'a Figures,
    corpus: &'a Corpus,
}

impl<'a> Table<'a> {
    /// What the figures say of a corpus.
    pub(crate) fn new(figures: &'a Figures, corpus: &'a Corpus) -> Self {
        Self { figures, corpus }
    }

    /// Who did none of these works is not in this table.
    fn has_row(&self, side: &str) -> bool {
        let did = |work| self.figures.median(self.corpus.name, side, work, Kind::Seconds).is_some();
        WORKS.iter().any(|(work, _)| did(work))
    }

    fn cell(&self, side: &str, work: &str, kind: Kind) -> String {
        let median = |side| self.figures.median(self.corpus.name, side, work, kind);
        match (median(side), median(OURS)) {
            (Some(seconds), Some(ours)) if side != OURS => {
                format!("{seconds:.2} s (× {:.2})", seconds / ours)
            }
            (Some(seconds), _) => format!("{seconds:.2} s"),
            (None, _) => "–".to_owned(),
        }
    }

    fn memory(&self, side: &str, kind: Kind) -> String {
        let most = self.figures.most(self.corpus.name, side, kind);
        most.map_or_else(|| "–".to_owned(), |bytes| format!("{:.0} MB", bytes / 1e6))
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "**{}** ({} MB; median of {}; × is that side's time over ours; “on disk” includes a last `syncfs`)\n",
            self.corpus.title,
            self.corpus.total() / 1_000_000,
            self.figures.runs(self.corpus.name),
        )?;
        writeln!(
            out,
            "| | first backup | on disk | second run | restore | on disk | client memory | server memory |"
        )?;
        writeln!(out, "|---|---|---|---|---|---|---|---|")?;
        for side in self.figures.sides(self.corpus.name).filter(|side| self.has_row(side)) {
            write!(out, "| {side} |")?;
            for (work, writes) in WORKS {
                write!(out, " {} |", self.cell(side, work, Kind::Seconds))?;
                if writes {
                    write!(out, " {} |", self.cell(side, work, Kind::SecondsOnDisk))?;
                }
            }
            let (client, server) = (self.memory(side, Kind::Memory), self.memory(side, Kind::ServerMemory));
            writeln!(out, " {client} | {server} |")?;
        }
        Ok(())
    }
}
