//! First backup, second run and restore of one corpus: sides take turns, so that a slow minute of the machine hits all of them, and another begins each
//! round, so that none always comes behind whoever tires the disk most.

use super::aside::set_aside;
use super::corpus::{Corpus, same_contents};
use super::measure::until_on_disk;
use super::report::{Figures, Table};
use super::sides::Side;
use anyhow::{Context, Result};
use std::path::Path;

/// Measures all sides over a corpus and prints the table.
pub(crate) fn measure_corpus(
    corpus: &Corpus,
    mut sides: Vec<Box<dyn Side>>,
    work: &Path,
    runs: usize,
    figures: &mut Figures,
) -> Result<()> {
    let source = work.join(corpus.name);
    corpus.generate(&source)?;
    for run in 0..runs {
        for side in &mut sides {
            let mut round = Round { side: side.as_mut(), corpus: corpus.name, source: &source, figures };
            // A side that lost something once would always lose it: the first round's restore is compared.
            round.run(work, run == 0)?;
        }
        sides.rotate_left(1);
    }
    println!("{}", Table::new(figures, corpus));
    set_aside(&source)
}

/// One side's turn.
struct Round<'a> {
    side: &'a mut dyn Side,
    corpus: &'static str,
    source: &'a Path,
    figures: &'a mut Figures,
}

impl Round<'_> {
    fn run(&mut self, work: &Path, compare: bool) -> Result<()> {
        let (repository, target) = (work.join("repository"), work.join("restored"));
        std::fs::create_dir_all(&repository)?;
        std::fs::create_dir_all(&target)?;
        self.side.prepare(&repository)?;
        let name = self.side.name();
        let first = until_on_disk(&repository, || self.side.backup(self.source).map(Some))?;
        self.figures.add_on_disk(self.corpus, &name, "first backup", &first.context("it was measured")?);
        if let Some(second) = self.side.backup_again(self.source)? {
            self.figures.add_run(self.corpus, &name, "second run", &second);
        }
        if let Some(restore) = until_on_disk(&target, || self.side.restore(&target))? {
            self.figures.add_on_disk(self.corpus, &name, "restore", &restore);
            if compare {
                same_contents(self.source, &target)?;
            }
        }
        if let Some(bytes) = self.side.finish()? {
            self.figures.add_server(self.corpus, &name, bytes);
        }
        set_aside(&target)?;
        set_aside(&repository)
    }
}
