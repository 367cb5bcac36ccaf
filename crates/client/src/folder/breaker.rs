//! The breaker: a plan that removes too much is not carried out before its owner has said so. What it adds is. A hold lasts until it is
//! approved, or until nothing of the kind is left to be done: what comes beside it, or brings it below the bound, does not end it.

use serde::{Deserialize, Serialize};

use super::reconcile::{Action, Cause, Step, SyncPlan};

/// Removals that are never too many.
pub const ALWAYS_ALLOWED: usize = 20;

/// Pictures that were deleted and come back in one plan without anybody being asked.
pub const REAPPEARANCES_MAX: usize = 20;

/// Why removals wait for the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "reason")]
pub enum Hold {
    /// More than a tenth, and more than a few, would be removed.
    #[serde(rename_all = "camelCase")]
    Removals {
        /// Would be removed from the folder.
        local: usize,
        /// Would be put into the vault's trash.
        remote: usize,
        /// May be removed without asking.
        allowed: usize,
    },
    /// Everything is gone at once.
    #[serde(rename_all = "camelCase")]
    Everything {
        /// Would be removed from the folder.
        local: usize,
        /// Would be put into the vault's trash.
        remote: usize,
    },
    /// Many pictures that were deleted are back.
    #[serde(rename_all = "camelCase")]
    Reappearances {
        /// Would come back.
        back: usize,
        /// Would be removed from the folder.
        local: usize,
        /// Would be put into the vault's trash.
        remote: usize,
    },
}

/// What an owner allowed: as much as they were shown, and no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Removed from the folder.
    pub local: usize,
    /// Put into the vault's trash.
    pub remote: usize,
    /// Brought back.
    pub back: usize,
}

impl Hold {
    /// What would happen.
    pub fn asks_for(&self) -> Approval {
        match *self {
            Self::Removals { local, remote, .. } | Self::Everything { local, remote } => {
                Approval { local, remote, back: 0 }
            }
            Self::Reappearances { back, local, remote } => Approval { local, remote, back },
        }
    }
}

impl std::fmt::Display for Hold {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Approval { local, remote, back } = self.asks_for();
        match self {
            Self::Removals { .. } => write!(
                formatter,
                "{remote} would go into the vault's trash and {local} from the folder into the local trash: more than is done without asking"
            ),
            Self::Everything { .. } => write!(
                formatter,
                "everything would be removed at once ({remote} into the vault's trash, {local} into the local trash)"
            ),
            Self::Reappearances { .. } => {
                write!(
                    formatter,
                    "{back} pictures that were deleted are in the folder again, and would come back everywhere"
                )
            }
        }
    }
}

/// Judges a plan over so many agreed pictures, where the one before it was held or not. What is held is taken out of it: removals, and
/// pictures that come back.
pub fn judge(
    plan: &mut SyncPlan,
    agreed: usize,
    before: Option<Hold>,
    approved: Option<Approval>,
) -> Option<Hold> {
    let count = |is: fn(&Step) -> bool| plan.steps.iter().filter(|step| is(step)).count();
    let local = count(|step| matches!(step.action, Action::TrashLocal { .. }));
    let remote = count(|step| matches!(step.action, Action::TrashRemote { .. }));
    let back = count(Step::is_reappearance);
    let allowed = ALWAYS_ALLOWED.max(agreed / 10);
    let removed = local + remote;
    let approved = approved.unwrap_or_default();
    // What stays in the vault for its age has gone from the folder all the same.
    let is_old = |step: &Step| step.cause == Cause::DeletedOld;
    let gone = removed + plan.steps.iter().filter(|step| is_old(step)).count();
    let is_everything = removed > 0 && gone > 1 && gone >= agreed;
    let is_much = removed > allowed;
    let was_held = before.is_some() && removed > 0;
    // What was not asked about, because it is few, does not take back what was approved.
    let may_remove =
        !(is_everything || is_much || was_held) || (local <= approved.local && remote <= approved.remote);
    let were_back = matches!(before, Some(Hold::Reappearances { .. })) && back > 0;
    let many_are_back = back > REAPPEARANCES_MAX || were_back;
    if may_remove && (!many_are_back || back <= approved.back) {
        return None;
    }
    // The first that applies asks for all of it.
    let hold = if many_are_back {
        Hold::Reappearances { back, local, remote }
    } else if is_everything || (!is_much && matches!(before, Some(Hold::Everything { .. }))) {
        Hold::Everything { local, remote }
    } else {
        Hold::Removals { local, remote, allowed }
    };
    let is_held = |step: &Step| {
        step.action.is_destructive() || is_old(step) || (many_are_back && step.is_reappearance())
    };
    plan.steps.retain(|step| !is_held(step));
    Some(hold)
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
