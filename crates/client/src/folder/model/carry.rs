//! Carrying a plan out in the model: each step asks again for what it relies on, has its effect, and is noted.
//!
//! It is a second telling of what the engine does to a real disk and a real server, a step at a time, so that anything may happen in between.

use std::collections::BTreeSet;

use darkslide_crypto::ContentHash;
use darkslide_protocol::{FileId, Version};

use super::mutants::Mutant;
use super::world::{Content, DiskFile, State, World, Written};
use crate::folder::apply::as_agreed;
use crate::folder::reconcile::{
    Action, Base, Cause, Deleted, DiskId, Local, RelativePath, Remote, Snapshot, Step, SyncPlan, Synced,
};

/// How far a step gets before a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It is done and noted.
    Noted,
    /// It has its effect, and nobody knows.
    Effect,
}

/// A plan that is carried out.
pub(super) struct Carrying<'p> {
    plan: &'p SyncPlan,
    seen: &'p Snapshot,
    mutant: Option<Mutant>,
    /// What this plan has put into the vault's trash.
    trashed: BTreeSet<FileId>,
    /// What was sent or brought, and is not noted yet, where that is done in the end.
    late: Option<Vec<(Step, Synced)>>,
}

impl<'p> Carrying<'p> {
    pub(super) fn new(plan: &'p SyncPlan, seen: &'p Snapshot, mutant: Option<Mutant>) -> Self {
        Self { plan, seen, mutant, trashed: BTreeSet::new(), late: None }
    }

    /// Whether what is sent or brought is noted in the end.
    pub(super) fn noting_late(self, is_late: bool) -> Self {
        Self { late: is_late.then(Vec::new), ..self }
    }

    /// Notes what is not noted yet, as what the vault has by then; unless the pass was killed.
    pub(super) fn finish(self, world: &mut World, is_killed: bool) {
        world.arrived.clear();
        // Asked before any of it is noted.
        let there = |(step, agreed): (Step, Synced)| {
            let remote = world.remote(Content::of(agreed.content));
            (step, agreed, remote)
        };
        let late: Vec<_> = self.late.into_iter().flatten().map(there).collect();
        for (step, agreed, remote) in late {
            let content = Content::of(agreed.content);
            if is_killed || !world.is_mounted {
                // Nobody knows that both sides had it.
                world.touch(content);
                continue;
            }
            let (file, version) = as_agreed(remote.as_ref(), agreed.file);
            world.note(&step.path, Base::Synced(Synced { file, version, ..agreed }), step.lets_go);
        }
    }

    fn arrived(&mut self, world: &mut World, step: &Step, agreed: Synced, reach: Reach) {
        match &mut self.late {
            _ if reach == Reach::Effect => {}
            Some(late) => {
                late.push((step.clone(), agreed));
                world.arrived.insert(step.path.clone(), agreed);
            }
            None => world.note(&step.path, Base::Synced(agreed), step.lets_go),
        }
    }

    /// Takes a step as far as it holds. Says whether it had an effect.
    pub(super) fn take(&mut self, world: &mut World, step: &Step, reach: Reach) -> bool {
        let asks = self.mutant != Some(Mutant::NoRecheck);
        // The marker.
        if !world.is_mounted && asks {
            return false;
        }
        let path = &step.path;
        let note = |world: &mut World, base: Base| {
            if reach == Reach::Noted {
                world.note(path, base, step.lets_go);
            }
        };
        let is_absent = world.at(path).is_none();
        match step.action {
            Action::Agree(agreed) if asks && !world.both_have(path, &agreed) => return false,
            Action::Agree(agreed) => note(world, Base::Synced(agreed)),
            Action::Move(agreed) => {
                if reach == Reach::Noted {
                    world.base.retain(|path, _| Some(path) != step.from.as_ref());
                }
                note(world, Base::Synced(agreed));
            }
            Action::Miss(_) | Action::Forget | Action::Bury(_) | Action::Detach { .. }
                if !is_absent && asks =>
            {
                return false;
            }
            Action::Miss(missed) => note(world, Base::Synced(missed)),
            Action::Bury(buried) => note(world, Base::Deleted(buried)),
            Action::Forget | Action::Detach { .. } => {
                if reach == Reach::Noted {
                    let before = world.base.remove(path);
                    if let Action::Detach { content } = step.action {
                        if let Some(Base::Synced(agreed)) = before {
                            world.detached_files.insert(agreed.file);
                        }
                        world.detached.insert(Content::of(content));
                    }
                }
            }
            Action::Send { content, .. } | Action::Link { content } | Action::Restore { content, .. } => {
                let Some(agreed) = self.offer(world, step, content, asks) else { return false };
                self.arrived(world, step, agreed, reach);
            }
            Action::Materialise { content, file } => {
                let Some(agreed) = materialise(world, path, Content::of(content), file, asks) else {
                    return false;
                };
                self.arrived(world, step, agreed, reach);
            }
            Action::TrashLocal { content, disk, buried } => {
                let edited = (step.cause == Cause::EditedThere).then_some(buried);
                if !trash_local(world, path, Content::of(content), (disk, edited), asks) {
                    return false;
                }
                note(world, Base::Deleted(buried));
            }
            Action::TrashRemote { file, version, buried } => {
                if !self.trash_remote(world, (file, version), buried, asks) {
                    return false;
                }
                note(world, Base::Deleted(buried));
            }
        }
        true
    }

    /// The vault gets what is at the path, if that is what was seen: linked, restored or sent.
    fn offer(&self, world: &mut World, step: &Step, content: ContentHash, asks: bool) -> Option<Synced> {
        let here = *world.at(&step.path)?;
        let was_seen = self.seen.local.get(&step.path) == Some(&here.seen());
        let is_whole = here.written == Written::Whole;
        if asks && !(was_seen && is_whole && here.content.hash() == content) {
            return None;
        }
        let content = here.content;
        let file = match (world.remote(content), step.action) {
            (Some(Remote::Live { file, .. }), _) => {
                // Of several the one that was seen: what is noted of others meanwhile does not make it another.
                let seen = match self.seen.remote.get(&content.hash()) {
                    Some(Remote::Live { file, .. }) if world.still_is(*file, content.hash()) => Some(*file),
                    _ => None,
                };
                let file = seen.unwrap_or(file);
                world.vault.files.get_mut(&file)?.is_in_album = true;
                file
            }
            // It was trashed, restored or purged since: the next pass sees.
            (now, _) if asks && kind(now.as_ref()) != kind(self.seen.remote.get(&content.hash())) => {
                return None;
            }
            // Deleted again: so is that.
            (Some(Remote::Trash { version: now, .. }), Action::Restore { version, .. })
                if asks && now != version =>
            {
                return None;
            }
            (Some(Remote::Trash { file, .. }), _) => {
                world.change(file, |file| {
                    file.state = State::Live;
                    file.is_in_album = true;
                });
                world.ledger.removed_there.remove(&content);
                file
            }
            (_, Action::Send { replaces: Some(file), .. })
                if step.lets_go.is_some_and(|old| world.still_is(file, old) || !asks) =>
            {
                let old = step.lets_go.map(Content::of)?;
                world.change(file, |file| {
                    file.earlier.insert(file.content);
                    file.content = content;
                });
                // It was edited, and others who have it see to themselves.
                world.leave_to_others(old);
                world.believe(old);
                world.ledger.wanted_there.remove(&old);
                file
            }
            _ => world.upload(content, &step.path, true),
        };
        world.ledger.removed_there.remove(&content);
        Some(world.agreed(&here, file))
    }

    /// If all its paths still are absent and it is at the version that was seen. They go in one call: what is noted of each is what was planned, whatever
    /// others did since.
    fn trash_remote(
        &mut self,
        world: &mut World,
        (file, version): (FileId, Version),
        buried: Deleted,
        asks: bool,
    ) -> bool {
        let of_file =
            |step: &&Step| matches!(step.action, Action::TrashRemote { file: other, .. } if other == file);
        let mut paths = self.plan.steps.iter().filter(of_file).map(|step| &step.path);
        if asks && paths.any(|path| world.at(path).is_some()) {
            return false;
        }
        if self.trashed.contains(&file) {
            return true;
        }
        let Some(there) = world.vault.files.get(&file) else { return false };
        let is_as_seen =
            there.version == version && world.is_remote(Content::of(buried.content), file, version);
        if there.state != State::Live || (asks && !is_as_seen) {
            return false;
        }
        world.change(file, |file| file.state = State::Trash);
        // What another folder has got since it was looked for there, that one's own pass restores.
        let content = Content::of(buried.content);
        if world.vault.live(content).is_none() {
            world.leave_to_others(content);
        }
        self.trashed.insert(file);
        true
    }
}

fn kind(remote: Option<&Remote>) -> Option<std::mem::Discriminant<Remote>> {
    remote.map(std::mem::discriminant)
}

impl World {
    /// Notes what a step came to.
    fn note(&mut self, path: &RelativePath, base: Base, lets_go: Option<ContentHash>) {
        if let Base::Synced(agreed) = base {
            let content = Content::of(agreed.content);
            self.let_go(path, lets_go, agreed.file);
            if self.vault.holds(content) && agreed.absent_since.is_none() {
                self.ledger.acknowledged.insert(content);
            }
            if agreed.absent_since.is_none() {
                self.detached_files.remove(&agreed.file);
            }
        }
        self.base.insert(path.clone(), base);
        self.detached.extend(lets_go.map(Content::of));
    }

    /// The file of what was at a path before stays out of the folder, where it stays as it is in the vault and no other path has it.
    fn let_go(&mut self, path: &RelativePath, lets_go: Option<ContentHash>, now: FileId) {
        let Some(Base::Synced(before)) = self.base.get(path) else { return };
        let has_it = |(other, base): (&RelativePath, &Base)| {
            let is_it = |agreed: &Synced| (agreed.content, agreed.file) == (before.content, before.file);
            other != path && matches!(base, Base::Synced(agreed) if is_it(agreed))
        };
        let is_left = lets_go == Some(before.content)
            && before.file != now
            && self.still_is(before.file, before.content)
            && !self.base.iter().any(has_it);
        if is_left {
            self.detached_files.insert(before.file);
        }
    }

    fn agreed(&self, here: &DiskFile, file: FileId) -> Synced {
        Synced {
            content: here.content.hash(),
            disk: here.disk,
            size: here.content.size(),
            file,
            version: self.vault.files[&file].version,
            absent_since: None,
        }
    }

    /// Whether the folder still has the file that was seen, and the vault that version of its own.
    fn both_have(&self, path: &RelativePath, agreed: &Synced) -> bool {
        self.at(path).is_some_and(|here| here.disk == agreed.disk)
            && self.is_remote(Content::of(agreed.content), agreed.file, agreed.version)
    }

    fn is_remote(&self, content: Content, file: FileId, version: Version) -> bool {
        matches!(self.remote(content), Some(Remote::Live { file: live, version: now, .. })
            if (live, now) == (file, version))
    }

    /// Whether a file of the vault is live and what it was.
    fn still_is(&self, file: FileId, content: ContentHash) -> bool {
        let there = self.vault.files.get(&file);
        there.is_some_and(|there| there.state == State::Live && there.content.hash() == content)
    }
}

/// If it still is live: from the local trash where that has it, otherwise from the server; never in the place of another.
fn materialise(
    world: &mut World,
    path: &RelativePath,
    content: Content,
    file: FileId,
    asks: bool,
) -> Option<Synced> {
    if asks && (world.disk.contains_key(path) || !world.still_is(file, content.hash())) {
        return None;
    }
    let trashed = world.local_trash.iter().position(|trashed| trashed.content == content);
    let here = match trashed {
        Some(index) => world.local_trash.remove(index),
        None if world.vault.holds(content) => {
            DiskFile { content, disk: world.new_disk(), written: Written::Whole, is_wanted: true }
        }
        None => return None,
    };
    let here = DiskFile { is_wanted: true, ..here };
    world.disk.insert(path.clone(), here);
    world.ledger.removed_here.remove(&(path.clone(), content));
    Some(world.agreed(&here, file))
}

/// If the file is the one that was seen, and the vault has it in its trash, was told to purge it, or has it as an earlier version of what was
/// seen.
fn trash_local(
    world: &mut World,
    path: &RelativePath,
    content: Content,
    (disk, edited): (DiskId, Option<Deleted>),
    asks: bool,
) -> bool {
    let Some(&here) = world.at(path) else { return false };
    let is_as_seen =
        matches!(here.seen(), Local::Present(seen) if seen.content == content.hash() && seen.disk == disk);
    let is_deleted = matches!(world.remote(content), Some(Remote::Trash { .. } | Remote::Purged));
    let is_edited = edited.is_some_and(|now| {
        let was_it = world.vault.files.get(&now.file).is_some_and(|file| file.earlier.contains(&content));
        was_it && world.still_is(now.file, now.content)
    });
    let is_edited = is_edited && world.remote(content).is_none();
    if asks && !(is_as_seen && (is_deleted || is_edited)) {
        return false;
    }
    world.disk.remove(path);
    world.local_trash.push(here);
    // If that is never noted, it looks like what it is: a deletion that somebody wanted.
    world.ledger.removed_here.insert((path.clone(), content));
    true
}
