//! Contents as they become known: of several files with the same bytes one is dealt with, and the others wait for it.
//!
//! Where it matters which is the first, files of one length have a line: each claims its content after those that were dispatched before it, whichever was hashed first. A
//! file never waits for one that is dispatched later, so nothing stands still.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use darkslide_crypto::ContentHash;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::error::AssetError;
use super::hash::Hashed;
use super::identify::Asset;
use super::run::Run;
use super::settle::Job;
use crate::catalog::CatalogError;
use crate::library::device::AssetKind;

/// An asset, its hash, and its room in memory.
pub(super) type Claim = (Asset, Result<Hashed, AssetError>, Option<OwnedSemaphorePermit>);

type Whole = (Asset, Hashed, Option<OwnedSemaphorePermit>);

impl Run {
    /// The jobs of assets that were hashed. None of one where that failed, or where the same content is being dealt with: whoever does takes
    /// it over.
    pub(super) async fn claimed(&self, hashed: Vec<Claim>) -> Vec<Job> {
        let hashed = match self.parted(hashed).await {
            Ok(hashed) => hashed,
            Err(error) => {
                self.fail(error);
                return Vec::new();
            }
        };
        let (mut free, mut in_line) = (Vec::with_capacity(hashed.len()), Vec::new());
        for (asset, hashed, room) in hashed {
            match hashed {
                Ok(hashed) => {
                    self.tally().bytes_hashed += asset.size();
                    let is_free = asset.ticket.is_none();
                    if is_free { &mut free } else { &mut in_line }.push((asset, hashed, room));
                }
                Err(error) => self.conclude(&asset, None, Err(error)).await,
            }
        }
        match self.claim_all(free, in_line).await {
            Ok(jobs) => jobs,
            Err(error) => {
                self.fail(error);
                Vec::new()
            }
        }
    }

    async fn claim_all(&self, free: Vec<Whole>, in_line: Vec<Whole>) -> Result<Vec<Job>, CatalogError> {
        let contents: Vec<ContentHash> = free.iter().map(|(_, hashed, _)| hashed.content).collect();
        let are_new = self.are_new(&contents).await?;
        // Also of what is not new: it may have been met a moment ago, and be asked for at this moment.
        let all: Vec<_> = free.iter().map(|(asset, hashed, _)| (asset, hashed.content)).collect();
        let purged = self.were_purged(&all).await?;
        let free = free.into_iter().zip(are_new).map(|(whole, is_new)| {
            let is_new = is_new && !purged.contains(&whole.1.content);
            (whole, is_new)
        });
        let mut jobs: Vec<Job> = free.filter_map(|(whole, is_new)| self.claim(whole, is_new)).collect();
        for mut whole in in_line {
            let ticket = whole.0.ticket.take();
            if let Some(ticket) = &ticket {
                ticket.turn().await;
            }
            let content = whole.1.content;
            let is_new = self.are_new(&[content]).await? == [true];
            let is_new = self.were_purged(&[(&whole.0, content)]).await?.is_empty() && is_new;
            jobs.extend(self.claim(whole, is_new));
            drop(ticket);
        }
        Ok(jobs)
    }

    fn claim(&self, (asset, Hashed { content, source }, room): Whole, is_new: bool) -> Option<Job> {
        self.in_flight.claim(content, Job { asset, content, source, is_new, room })
    }
}

/// What can be equal: files of one length that go the same way.
type Key = (u64, bool);

/// The lines of a run. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(Arc<Mutex<All>>);

#[derive(Debug, Default)]
struct All {
    /// Lengths that several files have.
    shared: HashSet<u64>,
    /// Where somebody is.
    lines: HashMap<Key, Line>,
}

/// Files of one length.
#[derive(Debug, Default)]
struct Line {
    issued: u64,
    /// Whose turn it is.
    turn: watch::Sender<u64>,
    /// Who is done before their turn.
    done: BTreeSet<u64>,
}

/// A place in a line, until it is dropped.
#[derive(Debug)]
pub struct Ticket {
    lines: Lines,
    key: Key,
    number: u64,
    turn: watch::Receiver<u64>,
}

impl Lines {
    /// Learns how many bytes the files have that are to come.
    pub(super) fn expect(&self, lengths: impl Iterator<Item = u64>) {
        let mut seen = HashSet::new();
        self.all().shared = lengths.filter(|length| !seen.insert(*length)).collect();
    }

    /// The next place in an asset's line; none where nothing can be equal to it.
    pub(super) fn ticket(&self, asset: &Asset) -> Option<Arc<Ticket>> {
        self.next((asset.main.fingerprint.size, asset.kind() == AssetKind::Video)).map(Arc::new)
    }

    fn next(&self, key: Key) -> Option<Ticket> {
        let mut all = self.all();
        if !all.shared.contains(&key.0) {
            return None;
        }
        let line = all.lines.entry(key).or_default();
        let number = line.issued;
        line.issued += 1;
        Some(Ticket { lines: self.clone(), key, number, turn: line.turn.subscribe() })
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Waits until everybody before is done.
    async fn turn(&self) {
        // The line is there for as long as somebody is in it.
        let _ = self.turn.clone().wait_for(|turn| *turn >= self.number).await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut all = self.lines.all();
        let Some(line) = all.lines.get_mut(&self.key) else { return };
        line.done.insert(self.number);
        let mut turn = *line.turn.borrow();
        while line.done.remove(&turn) {
            turn += 1;
        }
        line.turn.send_replace(turn);
        if turn == line.issued {
            all.lines.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn each_has_its_turn_after_those_before_it() {
        let lines = Lines::default();
        lines.expect([7, 7, 7, 7, 8].into_iter());
        assert!(lines.next((8, false)).is_none() && lines.next((9, false)).is_none(), "nothing equals them");
        let mut tickets: Vec<_> = (0..4).map(|_| lines.next((7, false))).collect();
        let other = lines.next((7, true)).unwrap();
        assert!(other.turn().now_or_never().is_some(), "another line");
        let is_next = |tickets: &[Option<Ticket>], at: usize| {
            tickets[at].as_ref().unwrap().turn().now_or_never().is_some()
        };
        assert_eq!([0, 1, 2, 3].map(|at| is_next(&tickets, at)), [true, false, false, false]);
        // One that is not there any more holds nobody up.
        tickets[1] = None;
        assert!(!is_next(&tickets, 2));
        tickets[0] = None;
        assert!(is_next(&tickets, 2) && !is_next(&tickets, 3));
        tickets[2] = None;
        assert!(is_next(&tickets, 3));
        drop((tickets, other));
        assert!(lines.all().lines.is_empty());
        assert!(lines.next((7, false)).unwrap().turn().now_or_never().is_some(), "it begins anew");
    }
}
