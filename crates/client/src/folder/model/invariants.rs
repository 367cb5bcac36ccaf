//! What must hold: of every plan, of every step, and of a world that has come to rest.

use std::collections::BTreeSet;
use std::fmt;

use super::world::{Content, State, World, content_of};
use crate::folder::breaker::{ALWAYS_ALLOWED, Removed, WINDOW};
use crate::folder::reconcile::{
    Action, Base, Cause, Direction, Local, Remote, Settings, Snapshot, Step, SyncPlan, Wait,
};

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    /// I1: bytes that both sides had once stay somewhere, unless people or retention destroy them.
    NothingIsLost,
    /// I2: whatever is destroyed has a cause that permits it.
    DestructionHasACause,
    /// I3: what leaves the folder is in the vault, or was purged.
    VaultHoldsIt,
    /// I4: at rest after three passes, and then nothing is done.
    ComesToRest,
    /// I5: nothing is destroyed while the root is not itself or cannot be listed.
    Unhealthy,
    /// I6: the breaker's bound.
    Bounded,
    /// I7: what was renamed, duplicated or moved into another sync folder is not trashed.
    MovesAreNoDeletions,
    /// I9: the order of independent steps does not matter.
    OrderDoesNotMatter,
    /// I10: what nobody deleted ends live, and both sides end alike.
    KeptEndsLive,
    /// I11: a lost base destroys nothing.
    LostBase,
    /// What somebody deleted, and nobody touched since, ends deleted on both sides.
    DeletedEndsDeleted,
    /// The direction holds.
    Direction,
}

/// A promise that was broken. I8 is no rule of its own: it is the others, with crashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) rule: Rule,
    pub(super) how: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.rule, self.how)
    }
}

pub(super) fn require(holds: bool, rule: Rule, how: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken { rule, how: how() }) }
}

/// Whether a plan follows from what was seen, whatever the table says.
pub(super) fn of_plan(seen: &Snapshot, plan: &SyncPlan, settings: &Settings, now: i64) -> Result<(), Broken> {
    let ranks: Vec<u8> = plan.steps.iter().map(|step| order(&step.action)).collect();
    let removals = plan.steps.iter().position(|step| step.action.is_destructive()).unwrap_or(ranks.len());
    let additions = plan.steps.iter().rposition(|step| order(&step.action) <= 2).map_or(0, |last| last + 1);
    require(additions <= removals, Rule::DestructionHasACause, || {
        "a removal comes before an addition".into()
    })?;
    let paths: BTreeSet<_> = plan.steps.iter().map(|step| &step.path).collect();
    require(paths.len() == plan.steps.len(), Rule::OrderDoesNotMatter, || "two steps at one path".into())?;
    for step in &plan.steps {
        require(goes(&step.action, settings.direction), Rule::Direction, || format!("{step:?}"))?;
        if step.action.is_destructive() {
            require(seen.is_listed, Rule::Unhealthy, || format!("not all was listed: {step:?}"))?;
            require(!seen.base.is_empty(), Rule::LostBase, || format!("{step:?}"))?;
            require(has_cause(seen, step, settings, now), Rule::DestructionHasACause, || {
                format!("{step:?}")
            })?;
        }
    }
    Ok(())
}

/// Additions before removals: what is done in which order.
pub(super) fn order(action: &Action) -> u8 {
    match action {
        Action::Agree(_) | Action::Move(_) => 0,
        Action::Send { .. } | Action::Link { .. } | Action::Restore { .. } => 1,
        Action::Materialise { .. } => 2,
        Action::Miss(_) | Action::Forget | Action::Bury(_) | Action::Detach { .. } => 3,
        Action::TrashRemote { .. } => 4,
        Action::TrashLocal { .. } => 5,
    }
}

fn goes(action: &Action, direction: Direction) -> bool {
    match action {
        Action::Send { .. } | Action::Link { .. } | Action::Restore { .. } | Action::TrashRemote { .. } => {
            direction != Direction::Down
        }
        Action::Materialise { .. } | Action::TrashLocal { .. } => direction != Direction::Up,
        _ => true,
    }
}

/// I2, as a plan shows it.
fn has_cause(seen: &Snapshot, step: &Step, settings: &Settings, now: i64) -> bool {
    let Some(Base::Synced(agreed)) = seen.base.get(&step.path) else { return false };
    let local = seen.local.get(&step.path);
    let remote = seen.remote.get(&agreed.content);
    match (&step.action, step.cause) {
        (Action::TrashRemote { file, version, .. }, Cause::DeletedHere) => {
            let is_missed_twice =
                agreed.absent_since.is_some_and(|since| since <= now && now - since >= settings.absence);
            let is_there = matches!(remote, Some(Remote::Live { file: there, version: now, .. })
                if there == file && now == version);
            // This path or another one has seen that version, or one that differs from it by details.
            let is_as_agreed = seen.details.contains(file)
                || seen.base.values().any(|base| {
                    matches!(base, Base::Synced(other)
                if other.content == agreed.content && other.file == *file && other.version == *version)
                });
            local.is_none() && is_missed_twice && is_there && is_as_agreed
        }
        (
            Action::TrashLocal { content, disk, buried },
            Cause::DeletedThere | Cause::PurgedThere | Cause::EditedThere,
        ) => {
            let is_there = match step.cause {
                Cause::EditedThere => {
                    remote.is_none()
                        && seen.edited.get(&agreed.file) == Some(&buried.content)
                        && buried.file == agreed.file
                }
                Cause::DeletedThere => matches!(remote, Some(Remote::Trash { .. })),
                _ => matches!(remote, Some(Remote::Purged)),
            };
            let is_the_file = matches!(local, Some(Local::Present(here))
                if here.content == *content && here.disk == *disk && here.disk == agreed.disk && agreed.absent_since.is_none());
            // Or both sides had it again after that.
            let is_later = step.cause == Cause::EditedThere
                || seen.deletions.get(content).is_none_or(|deleted| *deleted > agreed.version);
            *content == agreed.content && is_the_file && is_there && is_later
        }
        _ => false,
    }
}

/// What a plan must not do to a world that is known better than it can be seen.
pub(super) fn of_plan_in(world: &World, plan: &SyncPlan) -> Result<(), Broken> {
    for step in &plan.steps {
        if let Action::TrashRemote { buried, .. } = step.action {
            let content = Content::of(buried.content);
            require(!world.is_in_folders(content), Rule::MovesAreNoDeletions, || {
                format!("a folder has it, or is about to: {step:?}")
            })?;
        }
    }
    Ok(())
}

/// What must hold of a step that destroys something: just before it, in `world`, and of what it changes, to `after`.
pub(super) fn of_removal(world: &World, after: &World, step: &Step) -> Result<(), Broken> {
    require(world.is_mounted, Rule::Unhealthy, || format!("the root is not itself: {step:?}"))?;
    match step.action {
        Action::TrashLocal { content, buried, .. } => {
            let content = Content::of(content);
            let there = world.at(&step.path).map(|file| file.content);
            require(there == Some(content), Rule::DestructionHasACause, || {
                format!("another file: {step:?}")
            })?;
            let was_edited = step.cause == Cause::EditedThere
                && world.vault.files.get(&buried.file).is_some_and(|file| file.earlier.contains(&content));
            let was_removed = world.ledger.removed_there.contains(&content);
            require(was_removed || was_edited, Rule::DestructionHasACause, || {
                format!("nobody deleted it in the vault, or edited it: {step:?}")
            })?;
            let is_purged = world.vault.find(content, State::Purged).next().is_some();
            require(world.vault.holds(content) || is_purged, Rule::VaultHoldsIt, || format!("{step:?}"))
        }
        Action::TrashRemote { file, buried, .. } => {
            let content = Content::of(buried.content);
            let removed = (step.path.clone(), content);
            require(world.ledger.removed_here.contains(&removed), Rule::DestructionHasACause, || {
                format!("nobody deleted it in the folder: {step:?}")
            })?;
            let is_the_picture = world.vault.files.get(&file).is_some_and(|file| file.content == content);
            require(is_the_picture, Rule::DestructionHasACause, || format!("another picture: {step:?}"))?;
            // Unless another path's step has trashed it just now: then this one only notes that, whoever has restored it in between.
            let is_live = |world: &World| world.vault.files[&file].state == State::Live;
            let is_trashed = is_live(world) && !is_live(after);
            require(!is_trashed || world.has_seen(content, file), Rule::DestructionHasACause, || {
                format!("it was restored, or edited, since: {step:?}")
            })
        }
        _ => Ok(()),
    }
}

/// I6: what passes removed, the last one now, and nobody was asked; without what was edited elsewhere, and comes back.
pub(super) fn of_breaker(removed: &[Removed], now: i64) -> Result<(), Broken> {
    let lately: Vec<&Removed> = removed.iter().filter(|removed| now - removed.at < WINDOW).collect();
    let (Some(first), Some(last)) = (lately.first(), lately.last()) else { return Ok(()) };
    let sum: usize = lately.iter().map(|removed| removed.count).sum();
    let is_within = last.count == 0 || sum <= ALWAYS_ALLOWED.max(first.agreed / 10);
    let is_everything = last.count > 0 && last.count >= last.agreed;
    require(is_within && !is_everything, Rule::Bounded, || format!("{lately:?}"))
}

/// I1: nothing that a step of ours does makes bytes disappear.
pub(super) fn of_bytes(before: &BTreeSet<Content>, world: &World, step: &Step) -> Result<(), Broken> {
    let after = world.held();
    require(before.is_subset(&after), Rule::NothingIsLost, || format!("{step:?}"))
}

/// I1: nothing at all makes bytes disappear that both sides had, but people and retention.
pub(super) fn of_history(world: &World) -> Result<(), Broken> {
    let held = world.held();
    require(world.ledger.acknowledged.is_subset(&held), Rule::NothingIsLost, || {
        format!("{:?} of {:?}", held, world.ledger.acknowledged)
    })
}

/// What must hold at rest. `plan` is the last one, which has nothing to do.
pub(super) fn of_rest(world: &World, plan: &SyncPlan) -> Result<(), Broken> {
    let is_waiting = |path: &[u8]| plan.waiting.iter().any(|(other, _)| other == path);
    for (path, file) in &world.disk {
        if is_waiting(path) {
            continue;
        }
        let is_agreed = matches!(world.base.get(path), Some(Base::Synced(agreed))
            if agreed.content == file.content.hash() && agreed.disk == file.disk && agreed.absent_since.is_none());
        require(is_agreed, Rule::KeptEndsLive, || format!("nothing is agreed on at {}", show(path)))?;
        require(world.vault.live(file.content).is_some(), Rule::KeptEndsLive, || {
            format!("{:?} is at {}, and not live", file.content, show(path))
        })?;
    }
    // One way alone, the two sides may well differ.
    if world.settings.direction == Direction::Both {
        Content::all().try_for_each(|content| of_content(world, plan, content))?;
    }
    Ok(())
}

fn of_content(world: &World, plan: &SyncPlan, content: Content) -> Result<(), Broken> {
    let copies = || world.disk.iter().filter(|(_, file)| file.content == content);
    let is_suspended =
        |path: &[u8]| plan.waiting.iter().any(|(other, why)| other == path && *why == Wait::Collides);
    let is_here = copies().next().is_some();
    let is_live = world.vault.live(content).is_some();
    let is_wanted = copies().any(|(path, file)| file.is_wanted && !is_suspended(path))
        || world.others.iter().any(|file| {
            file.content == content && file.is_wanted && world.ledger.acknowledged.contains(&content)
        })
        || world.ledger.wanted_there.contains(&content);
    require(is_live || !is_wanted, Rule::KeptEndsLive, || format!("{content:?} is wanted, and not live"))?;
    require(!is_live || !world.ledger.doomed_there.contains(&content), Rule::DeletedEndsDeleted, || {
        format!("{content:?} was deleted in the folder, and is live")
    })?;
    let is_free = copies().any(|(path, _)| !is_suspended(path));
    require(!is_free || !world.ledger.doomed_here.contains(&content), Rule::DeletedEndsDeleted, || {
        format!("{content:?} was deleted in the vault, and is in the folder")
    })?;
    // A tombstone may be later than what is live, and its path may be taken.
    let is_expected =
        world.vault.find(content, State::Live).next().is_some_and(|file| {
            world.vault.files[&file].is_in_album && !world.detached_files.contains(&file)
        }) && !world.detached.contains(&content)
            && !world.ledger.is_tangled
            && !plan
                .waiting
                .iter()
                .any(|(path, _)| world.base.get(path).is_some_and(|base| content_of(base) == content));
    require(is_here || !is_expected, Rule::KeptEndsLive, || {
        format!("{content:?} is live, and not in the folder")
    })
}

fn show(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
