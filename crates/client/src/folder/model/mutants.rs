//! Planners without one of their rules, each of which the model must catch: what proves that it looks.
//!
//! They are made around the real ones, by what these are shown or by what becomes of their plans; nothing of them is in the engine.

use std::collections::HashSet;

use super::invariants::Rule;
use super::random::search;
use crate::folder::reconcile::{
    Action, Base, Cause, Local, Others, Remote, Settings, Snapshot, SyncPlan, reconcile,
};

/// How many histories may be needed: some are only caught by what follows several events.
const RUNS: u32 = 20_000;

/// A rule that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutant {
    /// A picture that is missed is deleted, though it is at another path.
    NoDuplicateCheck,
    /// Nothing is taken out of the vault's trash.
    NoRestore,
    /// What the vault has no record of was deleted there.
    AbsenceIsDelete,
    /// A deletion goes for whatever version the vault has.
    NoRevision,
    /// Whatever moves a version restores what it is of, were it a thumbnail that this client sends.
    NoDetails,
    /// A file is the one that it was, whatever its id.
    NoFileId,
    /// What has a name that is passed over is gone.
    NoAside,
    /// A step is taken because it was planned.
    NoRecheck,
}

/// What the planner, or one without a rule, plans.
pub(super) fn plan(seen: &Snapshot, settings: &Settings, now: i64, mutant: Option<Mutant>) -> SyncPlan {
    match mutant {
        None | Some(Mutant::NoRecheck) => reconcile(seen, settings, now),
        Some(Mutant::NoDuplicateCheck) => without_duplicate_check(seen, settings, now),
        Some(Mutant::NoRestore) => {
            let mut plan = reconcile(seen, settings, now);
            plan.steps.retain(|step| !matches!(step.action, Action::Restore { .. }));
            plan
        }
        Some(Mutant::AbsenceIsDelete) => {
            let mut seen = seen.clone();
            for base in seen.base.values() {
                if let Base::Synced(agreed) = base {
                    seen.remote.entry(agreed.content).or_insert(Remote::Purged);
                }
            }
            reconcile(&seen, settings, now)
        }
        Some(Mutant::NoAside) => {
            let mut seen = seen.clone();
            seen.local.retain(|_, local| *local != Local::Aside);
            reconcile(&seen, settings, now)
        }
        Some(Mutant::NoRevision) => {
            let mut seen = seen.clone();
            for base in seen.base.values_mut() {
                if let Base::Synced(agreed) = base
                    && let Some(Remote::Live { version, .. }) = seen.remote.get(&agreed.content)
                {
                    agreed.version = *version;
                }
            }
            reconcile(&seen, settings, now)
        }
        Some(Mutant::NoDetails) => {
            let seen = Snapshot { details: HashSet::new(), ..seen.clone() };
            reconcile(&seen, settings, now)
        }
        Some(Mutant::NoFileId) => {
            let mut seen = seen.clone();
            for (path, base) in &mut seen.base {
                if let (Base::Synced(agreed), Some(Local::Present(here))) = (base, seen.local.get(path))
                    && !matches!(seen.remote.get(&agreed.content), Some(Remote::Live { .. }))
                {
                    agreed.disk = here.disk;
                }
            }
            reconcile(&seen, settings, now)
        }
    }
}

/// What is forgotten because it is elsewhere is planned once more as if it were nowhere.
fn without_duplicate_check(seen: &Snapshot, settings: &Settings, now: i64) -> SyncPlan {
    let mut plan = reconcile(seen, settings, now);
    for step in &mut plan.steps {
        if step.cause == Cause::Elsewhere {
            let mut alone = seen.clone();
            alone.local.clear();
            alone.others = Others::default();
            alone.base.retain(|path, _| *path == step.path);
            let again = reconcile(&alone, settings, now);
            if let Some(again) = again.steps.into_iter().next() {
                *step = again;
            }
        }
    }
    plan.steps.sort_by_key(|step| super::invariants::order(&step.action));
    plan
}

/// Whether the promise that breaks first is one of those that the rule is there for.
fn check(mutant: Mutant, rules: &[Rule]) {
    let (history, broken) = search(RUNS, 7, Some(mutant)).expect_err("it was not caught");
    assert!(rules.contains(&broken.rule), "{mutant:?} breaks {broken}\n{history:?}");
}

/// Shows that the model looks: histories are made up until the one without a rule breaks a promise.
#[test]
fn a_planner_without_one_of_its_rules_is_caught() {
    use Rule::{DeletedEndsDeleted, DestructionHasACause, KeptEndsLive, MovesAreNoDeletions, NothingIsLost};
    check(Mutant::NoDuplicateCheck, &[MovesAreNoDeletions]);
    check(Mutant::NoRestore, &[KeptEndsLive]);
    check(Mutant::AbsenceIsDelete, &[DestructionHasACause]);
    check(Mutant::NoRevision, &[DestructionHasACause, KeptEndsLive]);
    check(Mutant::NoDetails, &[DeletedEndsDeleted]);
    check(Mutant::NoFileId, &[DestructionHasACause, KeptEndsLive]);
    check(Mutant::NoAside, &[DestructionHasACause]);
    check(Mutant::NoRecheck, &[DestructionHasACause, NothingIsLost, KeptEndsLive]);
}
