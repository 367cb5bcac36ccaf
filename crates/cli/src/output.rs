//! Where answers go: for people, or as one JSON value with `--json`.
//!
//! Answers go to standard output and nothing else does. Notices go to standard error, and not at all with `--quiet`.

use anyhow::Result;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use std::io::Write;

/// How this run talks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// One JSON value instead of text.
    pub(crate) json: bool,
    /// No notices and no progress.
    pub(crate) quiet: bool,
}

impl Output {
    /// The answer of a command: as JSON, or as the text that `human` makes of it.
    pub(crate) fn answer<T: Serialize>(self, value: &T, human: impl FnOnce(&T) -> String) -> Result<()> {
        let mut text =
            if self.json { serde_json::to_string_pretty(value)? } else { printable(&human(value)) };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // Whoever reads us (`head`, a pager) has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }

    /// One of many answers, as JSON on a line of its own.
    #[expect(clippy::unused_self, reason = "reads as the sentence it is")]
    pub(crate) fn line<T: Serialize>(self, value: &T) -> Result<()> {
        let mut text = serde_json::to_vec(value)?;
        text.push(b'\n');
        let mut out = std::io::stdout().lock();
        Ok(out.write_all(&text).and_then(|()| out.flush())?)
    }

    /// Something to know that is not the answer.
    pub(crate) fn notice(self, text: impl AsRef<str>) {
        if !self.quiet {
            eprintln!("{}", printable(text.as_ref()));
        }
    }

    /// Something to know even in silence.
    #[expect(clippy::unused_self, reason = "reads as the sentence it is")]
    pub(crate) fn warn(self, text: impl AsRef<str>) {
        eprintln!("{}", printable(text.as_ref()));
    }

    /// Whether progress is shown: to a person at a terminal only.
    pub(crate) fn shows_progress(self) -> bool {
        !self.quiet && std::io::IsTerminal::is_terminal(&std::io::stderr())
    }
}

/// Bytes for people: `1.4 GB`.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::DecimalBytes(count).to_string()
}

/// A number with its noun: `1 file`, `2 files`.
pub(crate) fn counted(count: impl Into<u64>, noun: &str) -> String {
    let count = count.into();
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

/// Microseconds since the epoch as a date for people, in the zone of this machine.
pub(crate) fn date(micros: i64) -> String {
    // Tests say the same on every machine.
    date_in(micros, if cfg!(test) { TimeZone::UTC } else { TimeZone::system() })
}

fn date_in(micros: i64, zone: TimeZone) -> String {
    let moment = Timestamp::from_microsecond(micros).ok();
    let text = moment.map(|moment| moment.to_zoned(zone).strftime("%Y-%m-%d %H:%M").to_string());
    text.unwrap_or_else(|| "an unknown date".to_owned())
}

/// Text without what would move a terminal's cursor or change its colours: names come from other devices, and from others.
/// Line ends stay.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() && letter != '\n' { '\u{fffd}' } else { letter })
        .collect()
}

/// The same for what has one line: a name with a line end in it must not look like two answers.
pub(crate) fn on_one_line(text: &str) -> String {
    printable(&text.replace('\n', "\u{fffd}"))
}

/// The widest that a column is made for one cell: a longer one sticks out instead of pushing all others away.
const COLUMN_CHARACTERS: usize = 40;

/// A table for people: columns as wide as their widest cell, the last one free.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| on_one_line(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).min(COLUMN_CHARACTERS)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_by_characters() {
        let rows = vec![vec!["é".to_owned(), "x".to_owned()], vec!["ab".to_owned(), "y".to_owned()]];
        assert_eq!(table(&rows), "é   x\nab  y\n");
        let hostile = vec![vec!["a\nb\u{1b}[31m".to_owned(), "x".to_owned()]];
        assert_eq!(table(&hostile), "a\u{fffd}b\u{fffd}[31m  x\n");
    }

    #[test]
    fn dates_and_counts_read_well() {
        assert_eq!(date(1_700_000_000_000_000), "2023-11-14 22:13");
        assert_eq!(date(i64::MAX), "an unknown date");
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(date_in(1_700_000_000_000_000, zone), "2023-11-15 00:13");
        assert_eq!(counted(1u64, "file"), "1 file");
        assert_eq!(counted(0u64, "file"), "0 files");
    }
}
