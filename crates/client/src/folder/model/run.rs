//! A history: events and passes, one after the other, every promise checked on the way; in the end all comes to rest.

use std::collections::BTreeMap;

use super::carry::{Carrying, Reach};
use super::events::Event;
use super::invariants::{self, Broken, Rule, require};
use super::mutants::{self, Mutant};
use super::world::{ABSENCE, Content, State, World, Written, content_of};
use crate::folder::breaker::{Fate, Held, HeldList, Hold, Removed, Standing, judge};
use crate::folder::reconcile::{Base, Cause, Direction, RelativePath, Step, SyncPlan};

/// The first order of a pass in which removals come before what is sent and brought.
const REMOVALS_FIRST: u8 = 128;

/// A pass over the folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pass {
    /// What happens between the look and a step, or after the last one.
    pub(super) during: [Option<(u8, Event)>; 2],
    /// The step at which it is killed, and whether that step has had its effect.
    pub(super) crash: Option<(u8, bool)>,
    /// Steps that fail, one a bit: no room, no network, too many at once. The others are taken all the same.
    pub(super) fails: u8,
    /// What is sent or brought is noted when all of it is: what happens to it until then, and who is killed before, finds many a thing that is done and
    /// that nobody knows of.
    pub(super) is_noted_late: bool,
    /// In which order independent steps are taken. From [`REMOVALS_FIRST`] on it begins with what the pass before has put off.
    pub(super) order: u8,
    /// Whether the owner approves what the breaker holds.
    pub(super) is_approved: bool,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Event(Event),
    Pass(Pass),
    /// Everything is whole, healthy and approved, until nothing is left to do.
    Rest,
}

/// A history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct History {
    pub(super) direction: Direction,
    /// Whether old pictures stay in the vault when they are deleted in the folder.
    pub(super) keeps_old: bool,
    /// Whether the file system gives a number to another file once it is free, and does not tell when files came to be.
    pub(super) reuses_numbers: bool,
    pub(super) nexts: Vec<Next>,
}

/// What runs came to, for it to be seen that they came to something.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) runs: u64,
    pub(super) passes: u64,
    pub(super) steps: u64,
    pub(super) removals: u64,
    pub(super) holds: u64,
    pub(super) most_passes: u64,
}

impl Tally {
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            runs: self.runs + other.runs,
            passes: self.passes + other.passes,
            steps: self.steps + other.steps,
            removals: self.removals + other.removals,
            holds: self.holds + other.holds,
            most_passes: self.most_passes.max(other.most_passes),
        }
    }
}

impl History {
    /// Runs it to its end.
    pub(super) fn run(&self, mutant: Option<Mutant>) -> Result<Tally, Broken> {
        let world = World::new(self.direction, self.keeps_old, self.reuses_numbers);
        let mut run = Run { world, mutant, hold: None, removed: Vec::new(), tally: Tally::default() };
        for next in self.nexts.iter().chain([&Next::Rest]) {
            match next {
                Next::Event(event) => run.world.happen(*event),
                Next::Pass(pass) => drop(run.pass(*pass)?),
                Next::Rest => run.rest()?,
            }
            invariants::of_history(&run.world)?;
        }
        run.tally.runs = 1;
        Ok(run.tally)
    }
}

struct Run {
    world: World,
    mutant: Option<Mutant>,
    /// What the pass before held.
    hold: Option<Hold>,
    /// What passes removed without being asked.
    removed: Vec<Removed>,
    tally: Tally,
}

impl Run {
    /// Looks, plans and carries out. The plan that is returned has what was tried.
    fn pass(&mut self, pass: Pass) -> Result<SyncPlan, Broken> {
        self.world.now += 1;
        // The marker is not there: no plan is made at all.
        if !self.world.is_mounted {
            return Ok(SyncPlan::default());
        }
        self.tally.passes += 1;
        let seen = self.world.look();
        let mut plan = mutants::plan(&seen, &self.world.settings, self.world.now, self.mutant);
        invariants::of_plan(&seen, &plan, &self.world.settings, self.world.now)?;
        invariants::of_plan_in(&self.world, &plan)?;
        let agreed = self.world.base.values().filter(|base| matches!(base, Base::Synced(_))).count();
        let standing = Standing::of(agreed, &self.removed, self.world.now);
        let asked = plan.clone();
        let before = self.hold.take();
        if let Some(Held { hold, list }) = judge(&mut plan, standing, before, None) {
            self.tally.holds += 1;
            let all_but_one: HeldList = list.pictures().skip(1).cloned().collect();
            let mut other = asked.clone();
            let is_held = judge(&mut other, standing, Some(hold), Some(&all_but_one)).is_some();
            let is_first_kept = list.pictures().next().is_none_or(|first| first.fate == Fate::Kept);
            require(is_held || is_first_kept, Rule::Bounded, || "another list was approved".into())?;
            if pass.is_approved {
                plan = asked;
                require(
                    judge(&mut plan, standing, Some(hold), Some(&list)).is_none(),
                    Rule::Bounded,
                    || "what was approved is held".into(),
                )?;
            } else {
                self.hold = Some(hold);
            }
        }
        let removals = || plan.steps.iter().filter(|step| step.action.is_destructive());
        let (count, edited) =
            (removals().count(), removals().filter(|step| step.cause == Cause::EditedThere).count());
        if pass.is_approved {
            self.removed.clear();
        } else {
            require(before.is_none() || count == 0, Rule::Bounded, || "a hold ended by itself".into())?;
            self.removed.push(Removed { at: self.world.now, count: count - edited, agreed });
            invariants::of_breaker(&self.removed, self.world.now)?;
        }
        self.order_does_not_matter(&plan, &seen, pass.order)?;
        shuffle(&mut plan.steps, pass.order);
        if pass.order >= REMOVALS_FIRST {
            plan.steps.sort_by_key(|step| match invariants::order(&step.action) {
                0 => 0,
                _ => 2 - u8::from(step.action.is_destructive()),
            });
        }
        self.carry_out(&plan, &seen, pass)?;
        Ok(plan)
    }

    fn carry_out(
        &mut self,
        plan: &SyncPlan,
        seen: &crate::folder::reconcile::Snapshot,
        pass: Pass,
    ) -> Result<(), Broken> {
        let at = |index: u8| usize::from(index) % (plan.steps.len() + 1);
        let mut carrying = Carrying::new(plan, seen, self.mutant).noting_late(pass.is_noted_late);
        let mut is_ended = false;
        for (index, step) in plan.steps.iter().map(Some).chain([None]).enumerate() {
            let now = pass.during.into_iter().flatten().filter(|(when, _)| at(*when) == index);
            let events: Vec<Event> = now.map(|(_, event)| event).collect();
            for event in &events {
                self.world.happen(*event);
            }
            // Nobody takes the base away from a pass that goes on.
            if events.iter().any(|event| matches!(event, Event::LoseBase | Event::OldBase)) {
                is_ended = true;
                break;
            }
            let Some(step) = step else { break };
            if index < 8 && pass.fails & (1 << index) != 0 {
                continue;
            }
            let crash = pass.crash.filter(|(when, _)| at(*when) == index);
            is_ended |= crash.is_some();
            if matches!(crash, Some((_, false))) {
                break;
            }
            let reach = if crash.is_some() { Reach::Effect } else { Reach::Noted };
            let (before, held) = (self.world.clone(), self.world.held());
            let is_done = carrying.take(&mut self.world, step, reach);
            if is_done {
                self.tally.steps += 1;
                if step.action.is_destructive() {
                    self.tally.removals += 1;
                    invariants::of_removal(&before, &self.world, step)?;
                }
                invariants::of_bytes(&held, &self.world, step)?;
            }
            if crash.is_some() {
                break;
            }
        }
        carrying.finish(&mut self.world, is_ended);
        Ok(())
    }

    /// I9.
    fn order_does_not_matter(
        &self,
        plan: &SyncPlan,
        seen: &crate::folder::reconcile::Snapshot,
        order: u8,
    ) -> Result<(), Broken> {
        let mut shuffled = plan.clone();
        shuffle(&mut shuffled.steps, order);
        if shuffled.steps == plan.steps {
            return Ok(());
        }
        let outcome = |plan: &SyncPlan| {
            let mut world = self.world.clone();
            let mut carrying = Carrying::new(plan, seen, self.mutant);
            for step in &plan.steps {
                carrying.take(&mut world, step, Reach::Noted);
            }
            Outcome::of(&world)
        };
        let (one, other) = (outcome(plan), outcome(&shuffled));
        require(one == other, Rule::OrderDoesNotMatter, || format!("{one:?}\n{other:?}\n{plan:?}"))
    }

    /// I4: after the two looks that an absence needs there is nothing left to do after three passes.
    fn rest(&mut self) -> Result<(), Broken> {
        let world = &mut self.world;
        (world.is_mounted, world.is_listed) = (true, true);
        let files = world.disk.values_mut().chain(&mut world.others).chain(&mut world.elsewhere);
        files.for_each(|file| file.written = Written::Whole);
        let pass = Pass { is_approved: true, ..Pass::default() };
        self.pass(pass)?;
        self.world.now += ABSENCE;
        for passes in 0..=3 {
            let plan = self.pass(pass)?;
            if plan.steps.is_empty() {
                self.tally.most_passes = self.tally.most_passes.max(passes);
                return invariants::of_rest(&self.world, &plan);
            }
            require(passes < 3, Rule::ComesToRest, || format!("still to do: {:?}", plan.steps))?;
        }
        Ok(())
    }
}

/// What a world came to, apart from numbers that depend on who came first.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    disk: BTreeMap<RelativePath, Content>,
    base: BTreeMap<RelativePath, (Content, bool, bool)>,
    vault: Vec<(Content, State, Vec<Content>)>,
    local_trash: Vec<Content>,
    detached: (Vec<Content>, usize),
}

impl Outcome {
    fn of(world: &World) -> Self {
        let row = |base: &Base| match base {
            Base::Synced(agreed) => (content_of(base), true, agreed.absent_since.is_some()),
            Base::Deleted(_) => (content_of(base), false, false),
        };
        let files = world.vault.files.values();
        let mut vault: Vec<_> =
            files.map(|file| (file.content, file.state, file.earlier.iter().copied().collect())).collect();
        vault.sort_by_key(|(content, state, earlier): &(_, _, Vec<_>)| {
            (*content, *state as u8, earlier.clone())
        });
        let mut local_trash: Vec<_> = world.local_trash.iter().map(|file| file.content).collect();
        local_trash.sort_unstable();
        Self {
            disk: world.disk.iter().map(|(path, file)| (path.clone(), file.content)).collect(),
            base: world.base.iter().map(|(path, base)| (path.clone(), row(base))).collect(),
            vault,
            local_trash,
            detached: (world.detached.iter().copied().collect(), world.detached_files.len()),
        }
    }
}

/// Another order of steps that do not depend on each other.
fn shuffle(steps: &mut [Step], order: u8) {
    if order == 0 {
        return;
    }
    let key = |step: &Step| {
        let mixed = step.path.iter().fold(u32::from(order), |mixed, byte| {
            mixed.wrapping_mul(16_777_619) ^ u32::from(*byte) ^ (mixed >> 7)
        });
        (invariants::order(&step.action), mixed)
    };
    steps.sort_by_key(key);
}
