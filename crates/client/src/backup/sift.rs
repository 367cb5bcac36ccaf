//! The walk of a survey: what is in the vault as it is, which is nearly everything nearly always, is counted and let go of while it is
//! found ([`settled`](super::settled)). The rest goes on in portions ([`portions`](super::portions)). Blocks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use darkslide_protocol::FileId;
use tokio::sync::mpsc;

use super::portions::{Portion, Portions};
use super::settled::Settled;
use crate::catalog::SettledRow;
use crate::event::{Event, Events};
use crate::library::selection::Selection;
use crate::library::{AlbumRule, PassedOver, folder};

/// Often enough to see it move.
const TELL_EVERY: u64 = 256;

/// Tells what is settled from what is not, file by file.
pub(super) struct Sift {
    pub(super) root: PathBuf,
    pub(super) rule: AlbumRule,
    pub(super) selection: Selection,
    pub(super) displaced: BTreeSet<FileId>,
    /// What the catalog knows to be settled.
    pub(super) settled: mpsc::Receiver<Vec<SettledRow>>,
    /// Where the rest goes.
    pub(super) rest: mpsc::Sender<Portion>,
    /// Files of a portion.
    pub(super) portion: usize,
}

/// What was found and is let go of.
pub(super) struct Sifted {
    /// Files that are settled.
    pub(super) unchanged: u64,
    /// Files that were seen.
    pub(super) seen: u64,
    pub(super) passed_over: Vec<PassedOver>,
}

impl Sift {
    /// Walks, after so many files that were seen elsewhere.
    pub(super) fn walk(self, path: &Path, before: u64, events: &Events) -> std::io::Result<Sifted> {
        let Self { root, rule, selection, displaced, settled: mut pages, rest, portion } = self;
        let mut settled = Settled::new(std::iter::from_fn(|| pages.blocking_recv()), root, rule, displaced);
        let mut portions = Portions::of(portion);
        // Whoever does not want them any more has a reason of its own to tell.
        let mut hand_on = |portion| drop(rest.blocking_send(portion));
        let (mut seen, mut unchanged) = (before, 0);
        let passed_over = folder::walk(path, &selection, |found| {
            seen += 1;
            if seen % TELL_EVERY == 0 {
                events.send_blocking(Event::Scanned { found: seen });
            }
            if settled.has(&found) {
                unchanged += 1;
            } else {
                portions.add(found, &mut hand_on);
            }
        })?;
        portions.finish(&mut hand_on);
        Ok(Sifted { unchanged, seen, passed_over })
    }
}
