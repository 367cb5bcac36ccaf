//! A hundred thousand files: the second run beside a bare walk, the whole feed into a new catalog, and a lookup of all tags.

use super::aside::set_aside;
use super::corpus::Corpus;
use super::measure::{measure, until_on_disk};
use super::probe;
use super::report::{Figures, Table};
use super::sides::{Account, Darkslide, Options, Side, walk};
use anyhow::{Context, Result};
use std::path::Path;

/// The client's name among the sides.
const OURS: &str = "darkslide";

/// Measures all of it, each time from an empty server on.
pub(crate) fn measure_many(corpus: &Corpus, work: &Path, runs: usize, figures: &mut Figures) -> Result<()> {
    let source = work.join(corpus.name);
    corpus.generate(&source)?;
    // What was never looked at is not in the kernel's caches: the first look is nobody's.
    walk(&source)?;
    for _ in 0..runs {
        let repository = work.join("repository");
        std::fs::create_dir_all(&repository)?;
        one_round(corpus, &source, &repository, figures)?;
        set_aside(&repository)?;
    }
    println!("{}", Table::new(figures, corpus));
    for work in ["third run", "feed", "lookup"] {
        let seconds = figures.median(corpus.name, OURS, work, super::report::Kind::Seconds);
        println!("{} entries, {work}: {:.2} s", corpus.files, seconds.unwrap_or(f64::NAN));
    }
    println!();
    set_aside(&source)
}

/// The run right after the first backup may have more to do than those after it, so a third is measured too.
fn one_round(corpus: &Corpus, source: &Path, repository: &Path, figures: &mut Figures) -> Result<()> {
    let mut side = Darkslide::new(Options::default());
    side.prepare(repository)?;
    let first = until_on_disk(repository, || side.backup(source).map(Some))?;
    figures.add_on_disk(corpus.name, OURS, "first backup", &first.context("it was measured")?);
    figures.add_run(corpus.name, "walk + stat", "second run", &walk(source)?);
    figures.add_run(corpus.name, OURS, "second run", &side.backup(source)?);
    figures.add_run(corpus.name, OURS, "third run", &side.backup(source)?);
    measure_feed(corpus, &side, &repository.join("another-home"), figures)?;
    if let Some(bytes) = side.finish()? {
        figures.add_server(corpus.name, OURS, bytes);
    }
    Ok(())
}

/// Another client signs in: the first list of albums brings the whole feed into its catalog. It then looks up all that is in there.
fn measure_feed(corpus: &Corpus, side: &Darkslide, home: &Path, figures: &mut Figures) -> Result<()> {
    let account = Account::sign_in(side.server()?, home)?;
    let feed = measure(account.client().args(["list", "albums"]))?;
    figures.add_run(corpus.name, OURS, "feed", &feed);
    let lookup = probe::seconds(&["lookup", &home.to_string_lossy(), &corpus.files.to_string()])?;
    figures.add_time(corpus.name, OURS, "lookup", lookup);
    Ok(())
}
