//! What people did and want, which the planner is never told: what the invariants are measured against.
//!
//! It errs on one side: where it cannot be sure that somebody still wants a picture, or that a deletion must arrive, it claims nothing.

use std::collections::BTreeSet;

use super::world::{Content, State, World, Written};
use crate::folder::reconcile::{Base, Direction, RelativePath, Synced};

/// The ledger.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    /// What people removed from a path, whichever way, and did not put there again.
    pub(super) removed_here: BTreeSet<(RelativePath, Content)>,
    /// What people deleted in the vault, and did not restore.
    pub(super) removed_there: BTreeSet<Content>,
    /// What people put into the vault, or restored there, and deleted nowhere since.
    pub(super) wanted_there: BTreeSet<Content>,
    /// Deletions in the folder, of what both sides had, that nothing has crossed since: they must arrive in the vault.
    pub(super) doomed_there: BTreeSet<Content>,
    /// Deletions in the vault that nothing has crossed since: they must arrive in the folder.
    pub(super) doomed_here: BTreeSet<Content>,
    /// What both sides had once, and nobody purged.
    pub(super) acknowledged: BTreeSet<Content>,
    /// The vault had two files of one content, or an old database: a tombstone may be later than what is live.
    pub(super) is_tangled: bool,
}

impl World {
    /// Something happened to a content: no deletion of it must arrive any more.
    pub(super) fn touch(&mut self, content: Content) {
        self.ledger.doomed_here.remove(&content);
        self.ledger.doomed_there.remove(&content);
    }

    /// A copy was removed by its owner.
    pub(super) fn gone_from(&mut self, path: &[u8], content: Content) {
        self.ledger.removed_here.insert((path.to_vec(), content));
        self.touch(content);
        self.lost(content);
    }

    /// If nobody wants another copy, the vault's is not wanted either.
    pub(super) fn lost(&mut self, content: Content) {
        let is_wanted = |file: &super::world::DiskFile| file.content == content && file.is_wanted;
        if !self.disk.values().chain(&self.others).any(is_wanted) {
            self.ledger.wanted_there.remove(&content);
        }
    }

    /// Says of every copy whether it is wanted.
    pub(super) fn want(&mut self, content: Content, is_wanted: bool) {
        self.copies(content).for_each(|file| file.is_wanted = is_wanted);
    }

    /// Somebody deleted a content in the vault.
    pub(super) fn deleted_there(&mut self, content: Content) {
        self.touch(content);
        self.ledger.wanted_there.remove(&content);
        self.want(content, false);
        if self.vault.live(content).is_none() {
            self.ledger.removed_there.insert(content);
            let here = || self.disk.iter().filter(|(_, file)| file.content == content);
            let goes_down = self.settings.direction == Direction::Both;
            if goes_down && here().all(|(path, _)| self.is_noted(path)) && !self.is_moving(content) {
                self.ledger.doomed_here.insert(content);
            }
        }
    }

    /// Somebody put a content into the vault.
    pub(super) fn given_there(&mut self, content: Content) {
        self.touch(content);
        self.ledger.wanted_there.insert(content);
        self.ledger.removed_there.remove(&content);
        self.want(content, true);
    }

    /// What is agreed on at a path, or will be once it is noted.
    fn agreed_at(&self, path: &[u8]) -> Option<&Synced> {
        match self.base.get(path) {
            Some(Base::Synced(agreed)) => Some(agreed),
            _ => self.arrived.get(path),
        }
    }

    /// Whether the row of a path says what is there, or is about to.
    fn is_noted(&self, path: &[u8]) -> bool {
        match (self.agreed_at(path), self.disk.get(path)) {
            (Some(agreed), Some(file)) => {
                agreed.content == file.content.hash()
                    && agreed.disk == file.disk
                    && agreed.absent_since.is_none()
                    && file.written == Written::Whole
            }
            _ => false,
        }
    }

    /// Whether a row of a content, or one that is still to be noted, is of a path where it is not, or somebody is writing it.
    fn is_moving(&self, content: Content) -> bool {
        let is_moving = self.base.iter().any(|(path, base)| match base {
            Base::Synced(agreed) => agreed.content == content.hash() && !self.is_noted(path),
            Base::Deleted(_) => false,
        });
        let is_there = |path: &RelativePath, agreed: &Synced| {
            self.disk.get(path).is_some_and(|file| file.disk == agreed.disk && file.content == content)
        };
        let mut arrived = self.arrived.iter().filter(|(_, agreed)| agreed.content == content.hash());
        is_moving || arrived.any(|(path, agreed)| !is_there(path, agreed))
    }

    /// Whether a deletion of this path must arrive, if it was the last copy.
    pub(super) fn is_in_step(&self, path: &[u8]) -> bool {
        let Some(agreed) = self.agreed_at(path) else { return false };
        let content = Content::of(agreed.content);
        let is_live_once = self.vault.find(content, State::Live).eq([agreed.file]);
        let keeps_old = self.settings.keep_older_than.is_some() && content.taken() == 0;
        self.is_noted(path)
            && !self.is_moving(content)
            && is_live_once
            && self.vault.files[&agreed.file].renewed <= agreed.version
            && !keeps_old
            && self.settings.direction == Direction::Both
    }
}
