//! What happens without us: what people do in the folder and in the vault, and what becomes of disks, clocks and databases.
//!
//! An event that cannot happen does not: shortening a history never makes it impossible.

use darkslide_protocol::FileId;

use super::world::{ABSENCE, Content, DiskFile, PATHS, State, World, Written, content_of};
use crate::folder::reconcile::{Base, RelativePath};

/// A place where something may be put: one of [`PATHS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At(pub(super) u8);

/// One of the files that are there, counted from the first path and from the beginning again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nth(pub(super) u8);

/// An event. New contents are given by their number, and those that are changed as the nth that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A new file, in the place of what is there.
    Write(At, u8, Written),
    /// Another content in the same file.
    Edit(Nth, u8),
    /// What is being written is complete.
    Settle,
    Delete(Nth),
    Rename(Nth, At),
    Copy(Nth, At),
    MoveOut(Nth),
    /// It gets a name that is passed over.
    Aside(Nth),
    /// What was put aside last gets a name again.
    FromAside(At),
    DeleteAside,
    /// What was moved out last comes back: the same file, or a copy.
    PutBack(At, bool),
    MoveToOther(Nth),
    MoveFromOther(At),
    DeleteOther,
    /// From the local trash, by hand.
    TakeBack(At),
    WebTrash(Nth),
    WebRestore(Nth),
    /// What is in the trash is deleted for good: by its owner, or as its time is over.
    WebPurge(Nth),
    Retention(Nth),
    WebUpload(u8, At, bool),
    WebDuplicate(Nth),
    /// Another content in the same file of the vault.
    WebEdit(Nth, u8),
    /// Details only, by whichever client: this one sends a thumbnail after it has noted that both sides have a picture, too.
    WebDetails(Nth),
    SaveVault,
    OldVault,
    SaveBase,
    OldBase,
    LoseBase,
    LocalTrashExpires,
    Mounted(bool),
    Listed(bool),
    /// Time goes by: shorter or longer than an absence needs.
    Wait(bool),
    ClockSetBack,
}

impl At {
    fn path(self) -> RelativePath {
        PATHS[usize::from(self.0)].as_bytes().to_vec()
    }
}

impl World {
    /// The nth file of the folder.
    fn nth(&self, nth: Nth) -> Option<RelativePath> {
        self.disk.keys().cycle().nth(usize::from(nth.0)).cloned()
    }

    /// The nth content that the vault has a file of.
    fn nth_of(&self, nth: Nth, state: State) -> Option<Content> {
        let there: Vec<_> =
            Content::all().filter(|content| self.vault.find(*content, state).next().is_some()).collect();
        there.into_iter().cycle().nth(usize::from(nth.0))
    }

    /// Lets it happen.
    pub(super) fn happen(&mut self, event: Event) {
        use Event as E;
        self.now += 1;
        match event {
            // Nobody reaches a disk that is not there.
            E::Write(..)
            | E::Edit(..)
            | E::Settle
            | E::Delete(_)
            | E::Rename(..)
            | E::Copy(..)
            | E::MoveOut(_)
            | E::Aside(_)
            | E::FromAside(_)
            | E::DeleteAside
            | E::PutBack(..)
            | E::MoveToOther(_)
            | E::MoveFromOther(_)
            | E::DeleteOther
            | E::TakeBack(_) => {
                if self.is_mounted {
                    self.happen_here(event);
                }
            }
            E::WebTrash(_)
            | E::WebRestore(_)
            | E::WebPurge(_)
            | E::Retention(_)
            | E::WebUpload(..)
            | E::WebDuplicate(_)
            | E::WebEdit(..)
            | E::WebDetails(_) => self.happen_there(event),
            E::SaveVault => self.saved_vault = Some(self.vault.clone()),
            E::OldVault => self.old_vault(),
            E::SaveBase => {
                let detached = (self.detached.clone(), self.detached_files.clone());
                self.saved_base = Some((self.base.clone(), detached.0, detached.1));
            }
            E::OldBase => self.old_base(),
            E::LoseBase => self.lose_base(),
            E::LocalTrashExpires => self.local_trash.clear(),
            E::Mounted(is_mounted) => self.is_mounted = is_mounted,
            E::Listed(is_listed) => self.is_listed = is_listed,
            E::Wait(is_long) => self.now += if is_long { ABSENCE } else { ABSENCE / 3 },
            E::ClockSetBack => self.now -= 3 * ABSENCE,
        }
    }

    fn happen_here(&mut self, event: Event) {
        use Event as E;
        match event {
            E::Write(at, content, written) => {
                let (content, disk) = (Content(content), self.new_disk());
                self.place(&at.path(), DiskFile { content, disk, written, is_wanted: true });
            }
            E::Settle => self.disk.values_mut().for_each(|file| file.written = Written::Whole),
            E::PutBack(at, is_same) => {
                if let Some(file) = self.elsewhere.pop() {
                    let disk = if is_same { file.disk } else { self.new_disk() };
                    self.place(&at.path(), DiskFile { disk, is_wanted: file.is_wanted || !is_same, ..file });
                }
            }
            E::FromAside(at) => {
                if let Some((from, file)) = self.aside.pop() {
                    if from != at.path() {
                        self.left_aside(&from, file.content);
                    }
                    self.place(&at.path(), file);
                }
            }
            E::DeleteAside => {
                if let Some((from, file)) = self.aside.pop() {
                    self.left_aside(&from, file.content);
                }
            }
            E::MoveFromOther(at) => {
                if let Some(file) = self.others.pop() {
                    self.place(&at.path(), file);
                }
            }
            E::DeleteOther => {
                if let Some(file) = self.others.pop() {
                    self.touch(file.content);
                    self.lost(file.content);
                }
            }
            E::TakeBack(at) => {
                if let Some(file) = self.local_trash.pop() {
                    let is_wanted = !self.is_unnoted(&file);
                    self.place(&at.path(), DiskFile { is_wanted, ..file });
                }
            }
            E::Edit(nth, _)
            | E::Delete(nth)
            | E::Rename(nth, _)
            | E::Copy(nth, _)
            | E::MoveOut(nth)
            | E::Aside(nth)
            | E::MoveToOther(nth) => {
                if let Some(path) = self.nth(nth) {
                    self.happen_to(&path, event);
                }
            }
            _ => {}
        }
    }

    /// To a file that is there.
    fn happen_to(&mut self, path: &RelativePath, event: Event) {
        use Event as E;
        let before = self.disk[path];
        match event {
            E::Edit(_, content) => {
                let content = Content(content);
                let is_wanted = before.is_wanted || content != before.content;
                self.place(path, DiskFile { content, is_wanted, ..before });
            }
            E::Delete(_) => drop(self.delete(path)),
            E::Rename(_, to) => {
                let to = to.path();
                if *path != to {
                    self.remove(&to);
                    self.remove(path);
                    self.place(&to, before);
                }
            }
            E::Copy(_, to) => {
                let (to, disk) = (to.path(), self.new_disk());
                if *path != to {
                    self.place(&to, DiskFile { disk, is_wanted: true, ..before });
                }
            }
            E::MoveOut(_) => {
                let file = self.delete(path);
                self.elsewhere.extend(file);
            }
            E::Aside(_) => self.put_aside(path, before),
            E::MoveToOther(_) => {
                self.disk.remove(path);
                // What the vault has no live file of is the other folder's to send.
                let is_wanted = before.is_wanted && self.vault.live(before.content).is_some();
                self.others.push(DiskFile { is_wanted, ..before });
                self.gone_from(path, before.content);
            }
            _ => {}
        }
    }

    /// Gives a file a name that is passed over. One that is not noted where it is may not be known again: that one stays.
    fn put_aside(&mut self, path: &RelativePath, file: DiskFile) {
        let is_it = |base: &Base| matches!(base, Base::Synced(agreed) if agreed.disk == file.disk);
        if !self.base.get(path).is_some_and(is_it) {
            return;
        }
        let noted: Vec<Content> = self.base.values().filter(|base| is_it(base)).map(content_of).collect();
        self.disk.remove(path);
        self.aside.push((path.clone(), file));
        noted.into_iter().chain([file.content]).for_each(|content| self.touch(content));
    }

    /// What lay aside is not where it was, for good.
    fn left_aside(&mut self, from: &RelativePath, content: Content) {
        self.touch(content);
        if !self.disk.contains_key(from) {
            self.gone_from(from, content);
        }
    }

    /// Whether a file went into the local trash and a crash kept that from being noted: nobody can tell then that it is back.
    fn is_unnoted(&self, file: &DiskFile) -> bool {
        self.base.values().any(|base| match base {
            Base::Synced(agreed) => agreed.disk == file.disk && agreed.absent_since.is_none(),
            Base::Deleted(_) => false,
        })
    }

    /// Puts a file at a path, in the place of what is there.
    fn place(&mut self, path: &RelativePath, file: DiskFile) {
        let before = self.remove(path);
        // Where numbers are given away again, nobody can tell this one from what was there.
        let is_the_same = before.is_none_or(|before| before.disk != file.disk)
            && matches!(self.base.get(path), Some(Base::Synced(agreed)) if agreed.disk == file.disk && agreed.disk.born_ns == 0);
        let is_wanted = file.is_wanted && (!is_the_same || self.vault.live(file.content).is_some());
        let file = DiskFile { is_wanted, ..file };
        // What lies aside is not known again once another file has its name.
        let aside = self.aside.iter().filter(|(from, _)| from == path).map(|(_, file)| file.content);
        aside.collect::<Vec<_>>().into_iter().for_each(|content| self.gone_from(path, content));
        self.disk.insert(path.clone(), file);
        self.ledger.removed_here.remove(&(path.clone(), file.content));
        self.touch(file.content);
        // What was there before, and was deleted, was edited; so was what will have been there once that is noted.
        let noted = self.base.get(path).map(content_of);
        let arrived = self.arrived.get(path).map(|agreed| Content::of(agreed.content));
        noted.into_iter().chain(arrived).for_each(|content| self.touch(content));
    }

    fn remove(&mut self, path: &RelativePath) -> Option<DiskFile> {
        let file = self.disk.remove(path)?;
        self.gone_from(path, file.content);
        Some(file)
    }

    /// Removes a file whose deletion must arrive if it was the last copy.
    fn delete(&mut self, path: &RelativePath) -> Option<DiskFile> {
        let is_in_step = self.is_in_step(path);
        let file = self.remove(path)?;
        if is_in_step && !self.is_in_folders(file.content) {
            self.ledger.doomed_there.insert(file.content);
        }
        Some(file)
    }

    fn happen_there(&mut self, event: Event) {
        use Event as E;
        match event {
            E::WebRestore(nth) => {
                let trashed =
                    self.nth_of(nth, State::Trash).filter(|content| self.vault.live(*content).is_none());
                if let Some(content) = trashed {
                    let file = self.vault.find(content, State::Trash).last().expect("there is one");
                    self.change(file, |file| file.state = State::Live);
                    self.given_there(content);
                }
            }
            E::WebPurge(nth) => {
                if let Some(content) = self.nth_of(nth, State::Trash) {
                    self.purge(content);
                    self.deleted_there(content);
                }
            }
            E::Retention(nth) => {
                if let Some(content) = self.nth_of(nth, State::Trash) {
                    self.purge(content);
                }
            }
            E::WebUpload(content, at, is_in_album) => {
                let content = Content(content);
                if self.vault.live(content).is_none() {
                    self.upload(content, &at.path(), is_in_album);
                    self.given_there(content);
                }
            }
            E::WebTrash(nth) | E::WebDuplicate(nth) | E::WebEdit(nth, _) | E::WebDetails(nth) => {
                if let Some(content) = self.nth_of(nth, State::Live) {
                    let file = self.vault.live(content).expect("there is one");
                    self.happen_to_live(file, content, event);
                }
            }
            _ => {}
        }
    }

    /// To a live file of the vault.
    fn happen_to_live(&mut self, file: FileId, content: Content, event: Event) {
        use Event as E;
        match event {
            E::WebTrash(_) => {
                self.change(file, |file| file.state = State::Trash);
                self.deleted_there(content);
            }
            E::WebDuplicate(_) => {
                let title = self.vault.files[&file].title.clone();
                self.upload(content, &title, true);
                self.ledger.is_tangled = true;
                self.touch(content);
            }
            E::WebEdit(_, to) if Content(to) != content => {
                let to = Content(to);
                self.ledger.is_tangled |= self.vault.live(to).is_some();
                self.change(file, |file| {
                    file.earlier.insert(content);
                    file.content = to;
                });
                self.touch(content);
                self.ledger.wanted_there.remove(&content);
                self.leave_to_others(content);
                self.believe(content);
                self.given_there(to);
            }
            E::WebDetails(_) => drop(self.change_details(file)),
            _ => {}
        }
    }

    /// What another folder of the account has, its own passes send again.
    pub(super) fn leave_to_others(&mut self, content: Content) {
        self.others.iter_mut().filter(|file| file.content == content).for_each(|file| file.is_wanted = false);
    }

    /// Deletes a file of the trash for good. What it had before goes along.
    fn purge(&mut self, content: Content) {
        let file = self.vault.find(content, State::Trash).next().expect("only what is there is purged");
        self.change(file, |file| {
            file.state = State::Purged;
            file.earlier.clear();
        });
        self.touch(content);
        self.forget_what_is_gone();
    }

    /// Nobody promises what the vault was told to destroy, or has lost itself.
    fn forget_what_is_gone(&mut self) {
        let vault = &self.vault;
        self.ledger.acknowledged.retain(|content| vault.holds(*content));
    }

    /// The server goes on with an old database. What it says is deleted is taken for deleted.
    fn old_vault(&mut self) {
        let Some(vault) = self.saved_vault.clone() else { return };
        self.vault = vault;
        // Their numbers are given to others.
        self.detached_files.retain(|file| self.vault.files.contains_key(file));
        self.ledger.is_tangled = true;
        self.ledger.wanted_there.clear();
        self.forget_what_is_gone();
        for content in Content::all() {
            self.touch(content);
            self.believe(content);
            if self.vault.live(content).is_none() {
                self.leave_to_others(content);
            }
        }
    }

    /// Nothing is known any more: whatever was deleted before, on either side, is not carried over, and what is in the folder is kept.
    fn lose_base(&mut self) {
        self.base.clear();
        self.detached.clear();
        self.detached_files.clear();
        self.ledger.removed_here.clear();
        self.ledger.removed_there.clear();
        self.disk.values_mut().for_each(|file| file.is_wanted = true);
        Content::all().for_each(|content| self.touch(content));
    }

    /// This side goes on with an old base. What the vault had deleted since, it takes for deleted there.
    fn old_base(&mut self) {
        let Some(saved) = self.saved_base.clone() else { return };
        (self.base, self.detached, self.detached_files) = saved;
        self.ledger.is_tangled = true;
        // What it says was there and is not, somebody removed, even if that was forgotten with a lost base.
        let rows = self.base.iter().map(|(path, base)| (path.clone(), content_of(base)));
        let gone =
            rows.filter(|(path, content)| self.disk.get(path).is_none_or(|file| file.content != *content));
        self.ledger.removed_here.extend(gone);
        for content in Content::all() {
            self.touch(content);
            self.believe(content);
        }
    }

    /// What is deleted there and nowhere live was deleted by somebody, however long ago.
    pub(super) fn believe(&mut self, content: Content) {
        let is_there = |state| self.vault.find(content, state).next().is_some();
        if is_there(State::Live) {
            self.ledger.removed_there.remove(&content);
        } else if is_there(State::Trash) || is_there(State::Purged) {
            self.ledger.removed_there.insert(content);
            self.want(content, false);
        }
    }
}
