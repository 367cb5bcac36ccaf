//! The breaker: a plan that removes too much, or too much with what was removed in the last hour, is not carried out before its owner has said
//! so. What it adds is. A hold lasts until it is approved, or until nothing of the kind is left to be done: what comes beside it, or brings it
//! below the bound, does not end it.
//!
//! What is approved is a list of pictures, each at its path ([`HeldList`]): as many others are not approved by it.

use std::collections::BTreeSet;

use darkslide_crypto::ContentHash;
use serde::{Deserialize, Serialize};

use super::reconcile::{Action, Base, Cause, RelativePath, Step, SyncPlan};

/// Removals that are never too many.
pub const ALWAYS_ALLOWED: usize = 20;

/// For how long what was removed counts, µs: whatever deletes a folder picture by picture is not asked about one at a time.
pub const WINDOW: i64 = 3_600_000_000;

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
        /// Were removed in the last hour, and count as well.
        #[serde(default)]
        lately: usize,
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

/// What would become of a picture that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Fate {
    /// From the folder into the local trash.
    Local,
    /// Into the vault's trash.
    Remote,
    /// It is gone from the folder, and stays in the vault for its age.
    Kept,
    /// It was deleted, is in the folder again, and would come back everywhere.
    Back,
}

impl Fate {
    const ALL: [Self; 4] = [Self::Local, Self::Remote, Self::Kept, Self::Back];

    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
            Self::Kept => "kept",
            Self::Back => "back",
        }
    }

    /// What [`as_str`](Self::as_str) gave.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fate| fate.as_str() == word)
    }

    /// Of a step that waits: a removal, a picture that stays for its age, or one that is back.
    fn of(step: &Step) -> Self {
        match step.action {
            Action::TrashLocal { .. } => Self::Local,
            Action::TrashRemote { .. } => Self::Remote,
            _ if step.cause == Cause::DeletedOld => Self::Kept,
            _ => Self::Back,
        }
    }
}

/// A picture that waits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeldPicture {
    /// Where it is, or was.
    pub path: RelativePath,
    /// What it is.
    pub content: ContentHash,
    /// What would become of it.
    pub fate: Fate,
}

impl HeldPicture {
    fn of(step: &Step) -> Option<Self> {
        let fate = Fate::of(step);
        let content = match step.action {
            Action::TrashLocal { content, .. }
            | Action::Detach { content }
            | Action::Send { content, .. }
            | Action::Restore { content, .. } => content,
            Action::TrashRemote { buried, .. } => buried.content,
            _ => return None,
        };
        Some(Self { path: step.path.clone(), content, fate })
    }
}

/// Pictures that wait, and what an owner approves: these, and no others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldList(BTreeSet<HeldPicture>);

impl HeldList {
    /// Those of some steps.
    fn of<'s>(steps: impl Iterator<Item = &'s Step>) -> Self {
        steps.filter_map(HeldPicture::of).collect()
    }

    /// By path.
    pub fn pictures(&self) -> impl Iterator<Item = &HeldPicture> {
        self.0.iter()
    }

    /// What it is called: the first 48 bits of a BLAKE3 over all that is in it. Nobody but the owner and chance makes lists.
    pub fn name(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for HeldPicture { path, content, fate } in &self.0 {
            hasher.update(&(path.len() as u64).to_le_bytes());
            hasher.update(path);
            hasher.update(format!("{content} {}\n", fate.as_str()).as_bytes());
        }
        hasher.finalize().to_hex().chars().take(12).collect()
    }

    /// Those that a plan has a cause for: it does that to them, or waits with what is at their paths, as where it is only missed so far.
    pub(super) fn open_in(&self, plan: &SyncPlan) -> Self {
        let missed = plan.steps.iter().filter(|step| matches!(step.action, Action::Miss(_)));
        let waiting = plan.waiting.iter().map(|(path, _)| path);
        let unsure: BTreeSet<_> = missed.map(|step| &step.path).chain(waiting).collect();
        let planned = Self::of(plan.steps.iter());
        let is_open = |picture: &&HeldPicture| planned.0.contains(picture) || unsure.contains(&picture.path);
        self.0.iter().filter(is_open).cloned().collect()
    }

    /// Those that are not done, by what is agreed on now at their paths.
    pub(super) fn undone<'b>(&self, base_at: impl Fn(&RelativePath) -> Option<&'b Base>) -> Self {
        let is_undone = |picture: &&HeldPicture| {
            let is_agreed = matches!(base_at(&picture.path),
                Some(Base::Synced(agreed)) if agreed.content == picture.content);
            // A picture that comes back is agreed on then, and one that goes no longer.
            is_agreed != (picture.fate == Fate::Back)
        };
        self.0.iter().filter(is_undone).cloned().collect()
    }

    /// Those that another list does not have.
    pub(super) fn without(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }

    /// Whether a step does to a picture what is in the list.
    pub(super) fn has(&self, step: &Step) -> bool {
        HeldPicture::of(step).is_some_and(|picture| self.0.contains(&picture))
    }
}

impl FromIterator<HeldPicture> for HeldList {
    fn from_iter<I: IntoIterator<Item = HeldPicture>>(pictures: I) -> Self {
        Self(pictures.into_iter().collect())
    }
}

/// What waits for the owner: why, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Why.
    pub hold: Hold,
    /// What.
    pub list: HeldList,
}

impl std::fmt::Display for Hold {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Removals { local, remote, lately, .. } => {
                let few = format!(
                    "{remote} would go into the vault's trash and {local} from the folder into the local trash"
                );
                match lately {
                    0 => write!(formatter, "{few}: more than is done without asking"),
                    _ => write!(
                        formatter,
                        "{few}, and {lately} went within an hour: together more than is done without asking"
                    ),
                }
            }
            Self::Everything { local, remote } => write!(
                formatter,
                "everything would be removed at once ({remote} into the vault's trash, {local} into the local trash)"
            ),
            Self::Reappearances { back, .. } => {
                write!(
                    formatter,
                    "{back} pictures that were deleted are in the folder again, and would come back everywhere"
                )
            }
        }
    }
}

/// What one pass removed without being asked about it, or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// When, µs since the epoch.
    pub at: i64,
    /// How many pictures.
    pub count: usize,
    /// How many were agreed on before.
    pub agreed: usize,
}

/// How many pictures a folder has, and had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Agreed on now.
    pub agreed: usize,
    /// Agreed on when the window began.
    pub were: usize,
    /// Removed since then.
    pub removed: usize,
}

impl Standing {
    /// Of a folder with so many agreed pictures now, and what was removed from it, in any order.
    pub fn of(agreed: usize, removed: &[Removed], now: i64) -> Self {
        let lately = || removed.iter().filter(|removed| removed.is_recent(now));
        let were = lately().min_by_key(|removed| removed.at).map_or(agreed, |first| first.agreed);
        Self { agreed, were, removed: lately().map(|removed| removed.count).sum() }
    }

    /// How many may be removed in the window.
    fn allowed(&self) -> usize {
        ALWAYS_ALLOWED.max(self.were / 10)
    }
}

impl Removed {
    /// Whether it still counts. What a clock that was set back since takes for the future does.
    pub fn is_recent(&self, now: i64) -> bool {
        now.saturating_sub(self.at) < WINDOW
    }
}

/// Judges a plan over a folder that stands so, where the plan before it was held or not. What is held is taken out of it: removals, and
/// pictures that come back.
pub fn judge(
    plan: &mut SyncPlan,
    standing: Standing,
    before: Option<Hold>,
    approved: Option<&HeldList>,
) -> Option<Held> {
    let count = |is: fn(&Step) -> bool| plan.steps.iter().filter(|step| is(step)).count();
    let local = count(|step| matches!(step.action, Action::TrashLocal { .. }));
    let remote = count(|step| matches!(step.action, Action::TrashRemote { .. }));
    let back = count(Step::is_reappearance);
    let allowed = standing.allowed();
    let removed = local + remote;
    // Fewer than were approved are: some may have been put back.
    let is_approved = |is: fn(&Step) -> bool| {
        plan.steps.iter().filter(|step| is(step)).all(|step| approved.is_some_and(|list| list.has(step)))
    };
    let is_old = |step: &Step| step.cause == Cause::DeletedOld;
    // What stays in the vault, for its age or because another folder has it, and what is deleted there already, has gone from the folder all
    // the same.
    let left = count(|step| matches!(step.action, Action::Detach { .. } | Action::Bury(_)));
    // What was edited elsewhere comes to the same place as it is now.
    let comes_back = count(|step| step.action.is_destructive() && step.cause == Cause::EditedThere);
    let gone = removed + left - comes_back;
    let is_everything = removed > 0 && gone > 0 && gone >= standing.agreed;
    let is_much = removed > 0 && standing.removed + removed > allowed;
    let was_held = before.is_some();
    // What was not asked about, because it is few, does not take back what was approved. Where nothing is removed, that is approved.
    let may_remove =
        !(is_everything || is_much || was_held) || is_approved(|step| step.action.is_destructive());
    let were_back = matches!(before, Some(Hold::Reappearances { .. })) && back > 0;
    let many_are_back = back > REAPPEARANCES_MAX || were_back;
    if may_remove && (!many_are_back || is_approved(Step::is_reappearance)) {
        return None;
    }
    // The first that applies asks for all of it.
    let hold = if many_are_back {
        Hold::Reappearances { back, local, remote }
    } else if is_everything || (!is_much && matches!(before, Some(Hold::Everything { .. }))) {
        Hold::Everything { local, remote }
    } else {
        // A hold goes on for what it began with, although that is longer ago by now.
        let (allowed, lately) = match before {
            Some(Hold::Removals { allowed, lately, .. }) if lately > standing.removed => (allowed, lately),
            _ => (allowed, standing.removed),
        };
        Hold::Removals { local, remote, allowed, lately }
    };
    let is_held = |step: &Step| {
        step.action.is_destructive() || is_old(step) || (many_are_back && step.is_reappearance())
    };
    let list = HeldList::of(plan.steps.iter().filter(|step| is_held(step)));
    plan.steps.retain(|step| !is_held(step));
    Some(Held { hold, list })
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
