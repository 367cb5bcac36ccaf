//! The walk of a survey: what is in the vault as it is, which is nearly everything nearly always, is counted and let go of while it is
//! found ([`settled`](super::settled)). The rest goes on in portions ([`portions`](super::portions)), and what was not found is looked at once
//! more: whether it is gone. One thread walks and another sifts. Both block.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use darkslide_protocol::FileId;
use tokio::sync::mpsc;

use super::portions::{Portion, Portions};
use super::settled::Settled;
use crate::catalog::SettledRow;
use crate::event::{Event, Events};
use crate::library::selection::{Exclusions, Selection};
use crate::library::{AlbumRule, Found, PassedOver, folder, path_of};

/// Often enough to see it move.
const TELL_EVERY: u64 = 256;

/// Files that the one who walks hands on together.
const MET_AT_ONCE: usize = 256;

/// Paths that are looked at once more together, when no file was found there.
const GONE_AT_ONCE: usize = 4096;

/// What a walk hands on.
pub(super) enum Met {
    /// Files, in the order of the paths' bytes.
    Files(Vec<Found>),
    /// It has come to its end. Without this it has failed, and what was not found is not known to be gone.
    End,
}

/// What a walk tells in the end.
pub(super) struct Walked {
    /// Files that were seen.
    pub(super) seen: u64,
    pub(super) passed_over: Vec<PassedOver>,
}

/// Walks, after so many files that were seen elsewhere.
pub(super) fn walk(
    path: &Path,
    selection: &Selection,
    before: u64,
    events: &Events,
    met: &mpsc::Sender<Met>,
) -> std::io::Result<Walked> {
    let mut seen = before;
    let mut files = Vec::with_capacity(MET_AT_ONCE);
    // Whoever does not want them any more has a reason of its own to tell.
    let hand_on = |met_now| drop(met.blocking_send(met_now));
    let passed_over = folder::walk(path, selection, |found| {
        seen += 1;
        if seen.is_multiple_of(TELL_EVERY) {
            events.send_blocking(Event::Scanned { found: seen });
        }
        files.push(found);
        if files.len() == MET_AT_ONCE {
            hand_on(Met::Files(std::mem::replace(&mut files, Vec::with_capacity(MET_AT_ONCE))));
        }
    })?;
    hand_on(Met::Files(files));
    hand_on(Met::End);
    Ok(Walked { seen, passed_over })
}

/// Tells what is settled from what is not, file by file.
pub(super) struct Sift {
    pub(super) root: PathBuf,
    pub(super) rule: AlbumRule,
    /// Also what is not asked for, since it does not answer.
    pub(super) exclude: Exclusions,
    pub(super) displaced: BTreeSet<FileId>,
    /// What the catalog knows to be settled.
    pub(super) settled: mpsc::Receiver<Vec<SettledRow>>,
    /// What the walk finds.
    pub(super) met: mpsc::Receiver<Met>,
    /// Where the rest goes.
    pub(super) rest: mpsc::Sender<Portion>,
    /// Where the paths go of what was settled and is gone.
    pub(super) gone: mpsc::Sender<Vec<Vec<u8>>>,
    /// Whether all that lies there is met; of a root that is one file nothing else is.
    pub(super) is_all: bool,
    /// Files of a portion.
    pub(super) portion: usize,
}

impl Sift {
    /// Takes all that the walk finds; says how many files of it are settled.
    pub(super) fn take_all(self) -> u64 {
        let Self { root, rule, exclude, displaced, settled: mut pages, mut met, rest, gone, is_all, portion } =
            self;
        let place = root.clone();
        let mut settled = Settled::new(std::iter::from_fn(|| pages.blocking_recv()), root, rule, displaced);
        let tell_gone = |paths: Vec<Vec<u8>>| {
            let gone_ones = gone_of(&place, &exclude, paths);
            if is_all && !gone_ones.is_empty() {
                drop(gone.blocking_send(gone_ones));
            }
        };
        let mut portions = Portions::of(portion);
        // Whoever does not want them any more has a reason of its own to tell.
        let mut hand_on = |portion| drop(rest.blocking_send(portion));
        let mut unchanged = 0;
        loop {
            match met.blocking_recv() {
                None => return unchanged,
                Some(Met::End) => break,
                Some(Met::Files(files)) => {
                    for found in files {
                        if settled.has(&found) {
                            unchanged += 1;
                        } else {
                            portions.add(found, &mut hand_on);
                        }
                    }
                }
            }
            if settled.unfound() >= GONE_AT_ONCE {
                tell_gone(settled.take_unfound());
            }
        }
        portions.finish(&mut hand_on);
        let mut unfound = settled.take_unfound();
        while let Some(path) = settled.next_unfound() {
            unfound.push(path);
            if unfound.len() >= GONE_AT_ONCE {
                tell_gone(std::mem::take(&mut unfound));
            }
        }
        tell_gone(unfound);
        unchanged
    }
}

/// Those of some paths below a root at which nothing lies. What a walk does not come to may be there all the same, and what is on a disk that does not
/// answer is not asked for. Blocks.
pub(super) fn gone_of(root: &Path, exclude: &Exclusions, mut paths: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    paths.retain(|path| {
        let path = root.join(path_of(path));
        !exclude.is_silent(&path) && is_gone(&path)
    });
    paths
}

/// Whether nothing lies at a path, for sure. Blocks.
fn is_gone(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}
