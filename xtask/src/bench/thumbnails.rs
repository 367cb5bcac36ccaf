//! First backup with thumbnails: how soon the originals are safe, and how long all of it takes, beside the same files without
//! thumbnails, and beside the codec alone.

use super::aside::set_aside;
use super::corpus::Corpus;
use super::measure::{measure_while, until_on_disk};
use super::probe;
use super::report::{Figures, Table};
use super::sides::{Darkslide, Options, Side};
use anyhow::{Context, Result};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the operator's list is asked whether all files are there. Asking costs a process, so not more often.
const ASK: Duration = Duration::from_millis(200);

/// Measures both ways over a corpus that can be decoded.
pub(crate) fn measure_thumbnails(
    corpus: &Corpus,
    work: &Path,
    runs: usize,
    figures: &mut Figures,
) -> Result<()> {
    let source = work.join(corpus.name);
    corpus.generate(&source)?;
    for _ in 0..runs {
        for thumbnails in [false, true] {
            let repository = work.join("repository");
            std::fs::create_dir_all(&repository)?;
            one_round(corpus, thumbnails, &source, &repository, figures)?;
            set_aside(&repository)?;
        }
        let codec = probe::seconds(&["codec", &source.to_string_lossy()])?;
        figures.add_time(corpus.name, "codec alone", "all thumbnails", codec);
    }
    println!("{}", Table::new(figures, corpus));
    for (side, work) in [("darkslide, thumbnails", "originals safe"), ("codec alone", "all thumbnails")] {
        let seconds = figures.median(corpus.name, side, work, super::report::Kind::Seconds);
        println!("{side}: {work} after {:.2} s", seconds.unwrap_or(f64::NAN));
    }
    println!();
    set_aside(&source)
}

fn one_round(
    corpus: &Corpus,
    thumbnails: bool,
    source: &Path,
    repository: &Path,
    figures: &mut Figures,
) -> Result<()> {
    let mut side = Darkslide::new(Options { thumbnails, ..Options::default() });
    side.prepare(repository)?;
    let mut safe = None;
    let first = until_on_disk(repository, || {
        if !thumbnails {
            return side.backup(source).map(Some);
        }
        let begin = Instant::now();
        let mut asked = begin;
        let look = || {
            if safe.is_none() && asked.elapsed() >= ASK {
                asked = Instant::now();
                let at = begin.elapsed();
                safe = (side.server()?.files()? >= corpus.files as u64).then_some(at);
            }
            Ok(())
        };
        measure_while(&mut side.backup_command(source)?, look).map(Some)
    })?
    .context("it was measured")?;
    let name = side.name();
    if thumbnails {
        // Who was never seen with all files had them at the end.
        figures.add_time(corpus.name, &name, "originals safe", safe.unwrap_or(first.measured.time));
    }
    figures.add_on_disk(corpus.name, &name, "first backup", &first);
    if let Some(bytes) = side.finish()? {
        figures.add_server(corpus.name, &name, bytes);
    }
    Ok(())
}
