//! The corpus of real media, and hostile variations of it.
//!
//! It is at `$DARKSLIDE_CORPUS`, by default `../../../shared/corpus` beside the repository. Where it is absent the
//! tests of this file run over media that they make themselves; in CI its absence is a failure.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod hostile;
mod probes;
mod thumbnails;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use darkslide_media::file_type::{FileType, HEAD_LEN, classify};

/// 2030-01-01: the tables must not change with the day they are made on.
const NOW: Duration = Duration::from_hours(525_960);

fn corpus() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let path = std::env::var_os("DARKSLIDE_CORPUS").map_or(default, PathBuf::from);
    if path.join("MANIFEST.tsv").is_file() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "the corpus is not at {}", path.display());
    None
}

fn type_of(path: &Path) -> FileType {
    let mut head = Vec::new();
    fs::File::open(path).unwrap().take(HEAD_LEN as u64).read_to_end(&mut head).unwrap();
    classify(path.as_os_str(), &head)
}
