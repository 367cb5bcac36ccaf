//! How one pass over a sync folder went, for people and for programs.

use serde::{Deserialize, Serialize};

use super::breaker::Hold;

/// Entries of a list that a report keeps.
pub const NAMED_MAX: usize = 100;

/// A path and what is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Below the root; bytes that are no UTF-8 are replaced.
    pub path: String,
    /// What is to be said.
    pub reason: String,
}

/// The summary of one pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PassReport {
    /// When it began, µs since the epoch.
    pub began: i64,
    /// How long it took, ms.
    pub millis: u64,
    /// How far the vault was read for its plan.
    pub vault: i64,
    /// Pictures that the folder and the vault have in common at its end.
    pub in_step: i64,
    /// Sent to the vault.
    pub uploaded: u64,
    /// In the vault already.
    pub linked: u64,
    /// Taken out of the vault's trash, for they are in the folder again.
    pub restored: u64,
    /// Brought into the folder.
    pub materialised: u64,
    /// Moved into the local trash.
    pub trashed_local: u64,
    /// Put into the vault's trash.
    pub trashed_remote: u64,
    /// Renamed in the folder.
    pub renamed: u64,
    /// What waits, at most the first hundred.
    pub waiting: Vec<Told>,
    /// How much waits in all.
    pub waiting_count: u64,
    /// How much of that waits until somebody does something, or for ever.
    pub lasting_count: u64,
    /// What did not work; the next pass tries again.
    pub failed: Vec<Told>,
    /// How much did not work in all.
    pub failed_count: u64,
    /// Pictures that were deleted and came back, and other things that its owner may want to know.
    pub notices: Vec<Told>,
    /// What waits for the owner.
    pub hold: Option<Hold>,
    /// Why nothing was done at all.
    pub unhealthy: Option<String>,
    /// Why it ended before its end: the server, the line, the session, this device's records.
    pub failure: Option<String>,
    /// Whether that was the session: nothing is done before somebody signs in again.
    pub signed_out: bool,
    /// When the first of the passes began that ended so, one after the other; µs since the epoch.
    pub failing_since: Option<i64>,
    /// Why its changes are not told by the system: it is looked at every few minutes.
    pub polled: Option<String>,
    /// Ended before everything was done: another pass goes on.
    pub has_more: bool,
    /// When to look again, µs since the epoch, if sooner than usual.
    pub look_again: Option<i64>,
}

impl PassReport {
    /// Whether anything was changed anywhere.
    pub fn did_something(&self) -> bool {
        self.uploaded
            + self.linked
            + self.restored
            + self.materialised
            + self.trashed_local
            + self.trashed_remote
            + self.renamed
            > 0
    }

    /// Whether folder and vault are in step, with nothing left to do.
    pub fn is_in_step(&self) -> bool {
        self.unhealthy.is_none()
            && self.failure.is_none()
            && self.hold.is_none()
            && self.failed_count == 0
            && self.waiting_count == 0
            && !self.has_more
    }

    /// Whether somebody should look at it.
    pub fn is_in_trouble(&self) -> bool {
        self.unhealthy.is_some() || self.failure.is_some() || self.failed_count > 0
    }

    /// What this pass and the next one did together, and how the next one left things.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        let mut notices = self.notices;
        notices.extend(next.notices);
        Self {
            began: if self.began == 0 { next.began } else { self.began },
            millis: self.millis + next.millis,
            uploaded: self.uploaded + next.uploaded,
            linked: self.linked + next.linked,
            restored: self.restored + next.restored,
            materialised: self.materialised + next.materialised,
            trashed_local: self.trashed_local + next.trashed_local,
            trashed_remote: self.trashed_remote + next.trashed_remote,
            renamed: self.renamed + next.renamed,
            notices,
            ..next
        }
    }

    pub(super) fn waits(&mut self, path: impl Into<String>, reason: &impl ToString) {
        self.waiting_count += 1;
        push(&mut self.waiting, path, reason);
    }

    pub(super) fn fails(&mut self, path: impl Into<String>, reason: &impl ToString) {
        self.failed_count += 1;
        push(&mut self.failed, path, reason);
    }

    pub(super) fn notes(&mut self, path: impl Into<String>, reason: &impl ToString) {
        push(&mut self.notices, path, reason);
    }

    /// Another look is due by then, µs since the epoch.
    pub(super) fn look_by(&mut self, at: i64) {
        self.look_again = Some(self.look_again.map_or(at, |earlier| earlier.min(at)));
    }
}

fn push(list: &mut Vec<Told>, path: impl Into<String>, reason: &impl ToString) {
    if list.len() < NAMED_MAX {
        list.push(Told { path: path.into(), reason: reason.to_string() });
    }
}
