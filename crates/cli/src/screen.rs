//! A text that is shown again and again in the same place; one below the other where there is no terminal.

use std::io::{IsTerminal as _, Write as _};

use anyhow::Result;
use console::{Term, truncate_str};

use crate::output::printable;

/// The place.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: Term,
    is_terminal: bool,
    drawn: usize,
}

impl Screen {
    /// Standard output.
    pub(crate) fn new() -> Self {
        Self { terminal: Term::buffered_stdout(), is_terminal: std::io::stdout().is_terminal(), drawn: 0 }
    }

    /// Shows a text instead of the last one, cut to what the terminal has room for.
    pub(crate) fn show(&mut self, text: &str) -> Result<()> {
        let text = printable(text);
        if !self.is_terminal {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}\n", text.trim_end())?;
            return Ok(out.flush()?);
        }
        let (rows, columns) = self.terminal.size();
        let lines = fit(&text, usize::from(rows), usize::from(columns));
        self.terminal.clear_last_lines(self.drawn)?;
        for line in &lines {
            self.terminal.write_line(line)?;
        }
        self.drawn = lines.len();
        Ok(self.terminal.flush()?)
    }
}

/// As many lines, and as much of each, as there is room for. The last row stays free for the cursor.
fn fit(text: &str, rows: usize, columns: usize) -> Vec<String> {
    let room = rows.saturating_sub(1).max(1);
    let mut lines: Vec<String> =
        text.lines().map(|line| truncate_str(line, columns.saturating_sub(1), "…").into_owned()).collect();
    if lines.len() > room {
        let more = lines.len() - room + 1;
        lines.truncate(room - 1);
        lines.push(format!("… and {more} lines more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut() {
        assert_eq!(fit("abcdef\ng", 10, 5), ["abc…", "g"]);
        assert_eq!(fit("a\nb\nc\nd", 4, 80), ["a", "b", "… and 2 lines more"]);
        assert_eq!(fit("a\nb\nc", 4, 80), ["a", "b", "c"]);
        assert_eq!(fit("a\nb", 0, 0).len(), 1);
    }
}
