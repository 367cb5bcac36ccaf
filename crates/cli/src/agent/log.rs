//! The agent's own log: a file in the profile's folder, of bounded size, and standard error for whoever keeps that.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use crate::output::printable;

/// A log that has grown to this is put aside, in place of the one that was put aside before.
const BYTES_MAX: u64 = 1 << 20;

const NAME: &str = "agent.log";

const ASIDE: &str = "agent.log.1";

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    file: Option<File>,
    bytes: u64,
    is_quiet: bool,
}

impl Log {
    /// Goes on with the log in this folder. A log that cannot be written stops no backup.
    pub(crate) fn open(folder: &Path, is_quiet: bool) -> Self {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(folder.join(NAME)).ok();
        let bytes = file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |metadata| metadata.len());
        Self { folder: folder.to_owned(), file, bytes, is_quiet }
    }

    /// Writes one line at a moment, which is text for people.
    pub(crate) fn write(&mut self, moment: &str, text: &str) {
        let line = format!("{moment} {}\n", printable(&text.replace('\n', " ")));
        if !self.is_quiet {
            eprint!("{line}");
        }
        if self.bytes + line.len() as u64 > BYTES_MAX {
            let _put_aside = fs::rename(self.folder.join(NAME), self.folder.join(ASIDE));
            *self = Self::open(&self.folder, self.is_quiet);
        }
        if let Some(file) = &mut self.file
            && file.write_all(line.as_bytes()).is_ok()
        {
            self.bytes += line.len() as u64;
        }
    }
}

/// The last lines of the log in this folder.
pub(crate) fn tail(folder: &Path, most: usize) -> io::Result<Vec<String>> {
    let mut lines = VecDeque::new();
    for name in [ASIDE, NAME] {
        let file = match File::open(folder.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        // On a full disk a line may have been cut in the middle of a character.
        for line in BufReader::new(file).split(b'\n') {
            if lines.len() >= most {
                lines.pop_front();
            }
            lines.push_back(String::from_utf8_lossy(&line?).into_owned());
        }
    }
    Ok(lines.into())
}

/// Now, for the log, in the zone of this machine.
pub(super) fn moment() -> String {
    jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Once, nothing of the log was shown any more.
    #[test]
    fn a_line_that_was_cut_in_a_character_is_shown_as_far_as_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), b"1 caf\xc3\n2 b\n").unwrap();
        assert_eq!(tail(folder.path(), 3).unwrap(), ["1 caf\u{fffd}", "2 b"]);
    }

    #[test]
    fn the_log_is_bounded_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        assert!(tail(folder.path(), 3).unwrap().is_empty());
        let text = "x".repeat(1000);
        let mut log = Log::open(folder.path(), true);
        for number in 0..2500 {
            log.write(&number.to_string(), &text);
        }
        let size = |name: &str| fs::metadata(folder.path().join(name)).unwrap().len();
        assert!(size(NAME) <= BYTES_MAX && size(ASIDE) <= BYTES_MAX);
        Log::open(folder.path(), true).write("2500", "a\nb\u{1b}[31m");
        let lines = tail(folder.path(), 3).unwrap();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].starts_with("2499 ") && lines[2] == "2500 a b\u{fffd}[31m");
    }
}
