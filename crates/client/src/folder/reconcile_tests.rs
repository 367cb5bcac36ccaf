//! The table, a row a line: what is agreed on, what the folder has, what the vault has, and what is done. [`super::super::model`] proves it;
//! this is for reading.

use super::*;

const NOW: i64 = 1_000;
const ABSENCE: i64 = 100;
const OLD: i64 = 500;
const H: &[u8] = b"h";
const EDITED: &[u8] = b"edited";
const FILE: FileId = FileId(1);

fn hash(bytes: &[u8]) -> ContentHash {
    ContentHash::of(bytes)
}

fn file(inode: u64, content: &[u8]) -> Local {
    let (content, disk, size) = (hash(content), DiskId { inode, born_ns: 1 }, content.len() as u64);
    Local::Present(Present { content, disk, size })
}

fn synced(inode: u64, version: i64) -> Synced {
    Synced {
        content: hash(H),
        disk: DiskId { inode, born_ns: 1 },
        size: 1,
        file: FILE,
        version: Version(version),
        absent_since: None,
    }
}

fn missed(version: i64, since: i64) -> Base {
    Base::Synced(Synced { absent_since: Some(since), ..synced(1, version) })
}

fn buried(version: i64) -> Deleted {
    Deleted { content: hash(H), size: 1, file: FILE, version: Version(version) }
}

fn live(version: i64) -> Remote {
    Remote::Live { file: FILE, version: Version(version), taken: NOW - OLD - 1 }
}

/// A world of which the vault was read up to version 9.
#[derive(Default)]
struct World {
    snapshot: Snapshot,
    settings: Settings,
}

fn world() -> World {
    let snapshot = Snapshot { is_listed: true, vault: Version(9), ..Snapshot::default() };
    World { snapshot, settings: Settings { absence: ABSENCE, ..Settings::default() } }
}

impl World {
    fn base(mut self, path: &str, base: Base) -> Self {
        self.snapshot.base.insert(path.into(), base);
        self
    }

    fn local(mut self, path: &str, local: Local) -> Self {
        self.snapshot.local.insert(path.into(), local);
        self
    }

    fn remote(mut self, content: &[u8], remote: Remote) -> Self {
        self.snapshot.remote.insert(hash(content), remote);
        self
    }

    fn goes(mut self, direction: Direction) -> Self {
        self.settings.direction = direction;
        self
    }

    fn keeps_old(mut self, age: i64) -> Self {
        self.settings.keep_older_than = Some(age);
        self
    }

    fn plan(&self) -> SyncPlan {
        reconcile(&self.snapshot, &self.settings, NOW)
    }

    /// What is done at `p`, why, and what is let go of.
    #[track_caller]
    #[expect(clippy::large_types_passed_by_value, reason = "it is made for the call")]
    fn check(&self, action: Action, cause: Cause) -> Option<ContentHash> {
        let plan = self.plan();
        assert!(plan.waiting.is_empty(), "{plan:?}");
        assert_eq!(plan.steps.len(), 1, "{plan:?}");
        assert_eq!(
            (plan.steps[0].path.as_slice(), plan.steps[0].action, plan.steps[0].cause),
            (&b"p"[..], action, cause)
        );
        plan.steps[0].lets_go
    }

    #[track_caller]
    fn waits(&self, path: &str, wait: Wait) {
        let plan = self.plan();
        assert!(plan.steps.iter().all(|step| step.path != path.as_bytes()), "{plan:?}");
        assert!(plan.waiting.contains(&(path.into(), wait)), "{plan:?}");
    }

    #[track_caller]
    fn does_nothing(&self) {
        assert_eq!(self.plan(), SyncPlan::default());
    }
}

const CONTENT: fn() -> ContentHash = || hash(H);

fn send(content: &[u8]) -> Action {
    Action::Send { content: hash(content), replaces: None }
}

fn trashed(file: FileId) -> Remote {
    Remote::Trash { file, version: Version(7) }
}

fn restore() -> Action {
    Action::Restore { content: CONTENT(), file: FILE, version: Version(7) }
}

fn materialise() -> Action {
    Action::Materialise { content: CONTENT(), file: FILE }
}

fn trash_remote(version: i64) -> Action {
    Action::TrashRemote { file: FILE, version: Version(version), buried: buried(9) }
}

fn trash_local() -> Action {
    Action::TrashLocal { content: CONTENT(), disk: DiskId { inode: 1, born_ns: 1 }, buried: buried(9) }
}

#[test]
fn nothing_agreed_and_a_file() {
    let new = || world().local("p", file(1, H));
    new().check(send(H), Cause::New);
    new().remote(H, live(5)).check(Action::Link { content: CONTENT() }, Cause::Known);
    new().remote(H, trashed(FILE)).check(restore(), Cause::Reappeared);
    new().remote(H, Remote::Purged).check(send(H), Cause::Reappeared);
}

#[test]
fn agreed_and_the_same_file() {
    let same = || world().base("p", Base::Synced(synced(1, 5))).local("p", file(1, H));
    same().remote(H, live(5)).does_nothing();
    same().remote(H, live(6)).check(Action::Agree(synced(1, 6)), Cause::Same);
    same().check(send(H), Cause::NoRecord);
}

#[test]
fn deleted_in_the_vault() {
    let same = || world().base("p", Base::Synced(synced(1, 5))).local("p", file(1, H));
    same().remote(H, trashed(FILE)).check(trash_local(), Cause::DeletedThere);
    same().remote(H, Remote::Purged).check(trash_local(), Cause::PurgedThere);
    let mut unlisted = same().remote(H, trashed(FILE));
    unlisted.snapshot.is_listed = false;
    unlisted.waits("p", Wait::NotListed);
}

/// Of what was put back after its last deletion, a server that was set back in between only knows the deletion. That destroys nothing.
#[test]
fn deleted_in_the_vault_before_it_was_agreed_on() {
    let deleted = |mut world: World, version| {
        world.snapshot.deletions.insert(CONTENT(), Version(version));
        world
    };
    let same = || world().base("p", Base::Synced(synced(1, 5))).local("p", file(1, H));
    let (trash, purged) = (trashed(FILE), Remote::Purged);
    deleted(same().remote(H, trash), 6).check(trash_local(), Cause::DeletedThere);
    deleted(same().remote(H, trash), 4).check(restore(), Cause::PutBack);
    deleted(same().remote(H, purged), 6).check(trash_local(), Cause::PurgedThere);
    deleted(same().remote(H, purged), 4).check(send(H), Cause::PutBack);
    for (direction, remote) in [(Direction::Down, trash), (Direction::Down, purged)] {
        deleted(same().remote(H, remote).goes(direction), 4).waits("p", Wait::Direction);
    }
    let gone = || world().base("p", missed(5, 0));
    deleted(gone().remote(H, trash), 4).check(Action::Bury(buried(9)), Cause::DeletedBoth);
    deleted(gone().remote(H, purged), 6).check(Action::Bury(buried(9)), Cause::DeletedBoth);
    deleted(gone().remote(H, purged), 4).check(Action::Bury(buried(9)), Cause::Lost);
}

#[test]
fn put_back_after_it_was_deleted_in_the_vault() {
    let other = || world().base("p", Base::Synced(synced(1, 5))).local("p", file(2, H));
    other().remote(H, live(5)).check(Action::Agree(synced(2, 5)), Cause::Same);
    other().remote(H, trashed(FILE)).check(restore(), Cause::PutBack);
    other().remote(H, Remote::Purged).check(send(H), Cause::PutBack);
    other().check(send(H), Cause::NoRecord);
    let back = world().base("p", missed(5, 0)).local("p", file(1, H));
    back.remote(H, trashed(FILE)).check(restore(), Cause::PutBack);
}

#[test]
fn absent_observed_once() {
    let gone = |base| world().base("p", base).remote(H, live(5));
    let noted = Synced { absent_since: Some(NOW), ..synced(1, 5) };
    gone(Base::Synced(synced(1, 5))).check(Action::Miss(noted), Cause::Missing);
    gone(missed(5, NOW - ABSENCE + 1)).waits("p", Wait::Missing);
    gone(missed(5, NOW)).waits("p", Wait::Missing);
    // The clock was set back.
    gone(missed(5, NOW + 1)).check(Action::Miss(noted), Cause::Missing);
    let mut unlisted = gone(missed(5, 0));
    unlisted.snapshot.is_listed = false;
    unlisted.waits("p", Wait::NotListed);
}

#[test]
fn absent_observed_twice() {
    let gone = || world().base("p", missed(5, NOW - ABSENCE));
    gone().remote(H, live(5)).check(trash_remote(5), Cause::DeletedHere);
    gone().remote(H, live(6)).check(materialise(), Cause::RestoredThere);
    gone().remote(H, trashed(FILE)).check(Action::Bury(buried(9)), Cause::DeletedBoth);
    gone().remote(H, Remote::Purged).check(Action::Bury(buried(9)), Cause::DeletedBoth);
    gone().check(Action::Bury(buried(9)), Cause::Lost);
}

/// Its file is another picture in the vault now. Where another path has that, or has lost it, that one decides.
#[test]
fn absent_and_edited_in_the_vault() {
    let gone = || {
        let mut world = world().base("p", missed(5, 0)).remote(EDITED, live(7));
        world.snapshot.edited.insert(FILE, hash(EDITED));
        world
    };
    let comes = Action::Materialise { content: hash(EDITED), file: FILE };
    gone().check(comes, Cause::RestoredThere);
    gone().goes(Direction::Up).check(Action::Bury(buried(9)), Cause::Lost);
    let other = Base::Synced(Synced { content: hash(EDITED), ..synced(2, 7) });
    for world in [gone().local("q", file(2, EDITED)), gone().base("q", other)] {
        let plan = world.plan();
        let step = plan.steps.iter().find(|step| step.path == b"p").unwrap();
        assert_eq!((step.action, step.cause), (Action::Forget, Cause::Elsewhere), "{plan:?}");
    }
}

#[test]
fn what_is_older_than_deletions_go_for_stays_in_the_vault() {
    let gone = |age| world().base("p", missed(5, 0)).remote(H, live(5)).keeps_old(age);
    gone(OLD).check(Action::Detach { content: CONTENT() }, Cause::DeletedOld);
    gone(OLD + 1).check(trash_remote(5), Cause::DeletedHere);
}

#[test]
fn renamed_duplicated_or_moved_away_is_not_deleted() {
    let gone = || world().base("p", missed(5, 0)).remote(H, live(5));
    gone().local("q", file(2, H)).plan().steps.iter().for_each(|step| match step.path.as_slice() {
        b"p" => assert_eq!((step.action, step.cause), (Action::Forget, Cause::Elsewhere)),
        _ => assert_eq!((step.action, step.cause), (Action::Link { content: CONTENT() }, Cause::Known)),
    });
    let plan = gone().local("q", file(1, H)).plan();
    assert_eq!(plan.steps.len(), 1, "{plan:?}");
    assert_eq!(
        (plan.steps[0].action, plan.steps[0].from.as_deref()),
        (Action::Move(Synced { absent_since: Some(Synced::SEEN_ASIDE), ..synced(1, 5) }), Some(&b"p"[..]))
    );
    let mut elsewhere = gone();
    elsewhere.snapshot.others.present.insert(CONTENT());
    elsewhere.check(Action::Detach { content: CONTENT() }, Cause::Elsewhere);
}

#[test]
fn what_may_have_moved_is_not_deleted() {
    let gone = || world().base("p", missed(5, 0)).remote(H, live(5));
    gone().local("q", Local::Unknown { size: 1, grows: false }).waits("p", Wait::MayHaveMoved);
    gone().local("q", Local::Unknown { size: 0, grows: true }).waits("p", Wait::MayHaveMoved);
    gone().base("q", missed(5, NOW)).waits("p", Wait::MayHaveMoved);
    gone().base("q", Base::Synced(synced(2, 5))).waits("p", Wait::MayHaveMoved);
    let mut moving = gone();
    moving.snapshot.others.unsettled.push((1, false));
    moving.waits("p", Wait::MayHaveMoved);
    let mut longer = gone();
    longer.snapshot.others.unsettled.extend([(0, false), (2, true)]);
    longer.check(trash_remote(5), Cause::DeletedHere);
}

/// Nor is the picture itself; another one is, though it is as long, and a file may have the name that this one had but for case.
#[test]
fn what_has_a_name_that_is_passed_over_is_not_deleted() {
    let aside = |base| world().base("p", base).local("p", Local::Aside);
    for remote in [live(5), live(6), trashed(FILE), Remote::Purged] {
        aside(Base::Synced(synced(1, 5))).remote(H, remote).waits("p", Wait::Aside);
    }
    let other = Base::Synced(Synced { content: hash(b"o"), ..synced(2, 5) });
    let gone = |base| world().base("p", missed(5, 0)).remote(H, live(5)).base("q", base);
    let plan = gone(other).local("q", Local::Aside).plan();
    assert_eq!((plan.steps[0].path.as_slice(), plan.steps[0].action), (&b"p"[..], trash_remote(5)));
    gone(Base::Synced(synced(2, 5))).local("q", Local::Aside).waits("p", Wait::MayHaveMoved);
    let named = aside(Base::Synced(synced(1, 5))).remote(H, live(5)).local("P", file(2, EDITED));
    let plan = named.plan();
    assert_eq!((plan.steps[0].path.as_slice(), plan.steps[0].action), (&b"P"[..], send(EDITED)));
    named.waits("p", Wait::Aside);
}

/// One look that found nothing was before that, and the next one after it was taken for the second.
#[test]
fn what_lay_aside_in_between_was_not_missed_twice() {
    let seen = missed(5, Synced::SEEN_ASIDE);
    let noted = |base| match base {
        Base::Synced(agreed) => Action::Miss(agreed),
        Base::Deleted(_) => unreachable!("it is a row of what is missed"),
    };
    for remote in [live(5), live(6), trashed(FILE), Remote::Purged] {
        let with = |base| world().base("p", base).remote(H, remote);
        for since in [0, NOW - ABSENCE, NOW, NOW + 1] {
            with(missed(5, since)).local("p", Local::Aside).check(noted(seen), Cause::Aside);
        }
        with(seen).local("p", Local::Aside).waits("p", Wait::Aside);
        with(seen).check(noted(missed(5, NOW)), Cause::Missing);
    }
    // It was missed all the same: what was trashed since may have been by us.
    let back = world().base("p", seen).local("p", file(1, H));
    back.remote(H, trashed(FILE)).check(restore(), Cause::PutBack);
}

#[test]
fn an_edit_beats_a_deletion() {
    let edit = || world().base("p", Base::Synced(synced(1, 5))).local("p", file(1, EDITED));
    let replaces = Action::Send { content: hash(EDITED), replaces: Some(FILE) };
    let plans = [
        (edit().remote(H, live(5)), replaces),
        (edit().remote(H, live(6)), replaces),
        (edit().remote(H, trashed(FILE)), send(EDITED)),
        (edit(), send(EDITED)),
        (edit().remote(EDITED, live(5)), Action::Link { content: hash(EDITED) }),
        (
            edit().remote(EDITED, trashed(FileId(2))),
            Action::Restore { content: hash(EDITED), file: FileId(2), version: Version(7) },
        ),
        (edit().remote(EDITED, Remote::Purged), send(EDITED)),
    ];
    for (world, action) in plans {
        assert_eq!(world.check(action, Cause::Edited), Some(CONTENT()), "{action:?}");
    }
}

/// Another file of that content, another path that has or had it, or another path that became the same.
#[test]
fn an_edit_replaces_what_is_its_own_alone() {
    let edit =
        || world().base("p", Base::Synced(synced(1, 5))).local("p", file(1, EDITED)).remote(H, live(5));
    let other = Remote::Live { file: FileId(2), version: Version(5), taken: 0 };
    edit().remote(H, other).check(send(EDITED), Cause::Edited);
    for world in [
        edit().local("q", file(2, H)),
        edit().base("q", Base::Synced(synced(2, 5))).local("q", file(2, b"other")),
        edit().local("q", file(2, EDITED)),
    ] {
        let plan = world.plan();
        let step = plan.steps.iter().find(|step| step.path == b"p").unwrap();
        assert_eq!(step.action, send(EDITED), "{plan:?}");
    }
}

/// What a file has become in the vault comes to where it is or was, and there alone; where that is nothing of its own, it arrives like anything
/// new.
#[test]
fn what_was_edited_in_the_vault_has_a_place() {
    let arrives = |mut world: World, version| {
        world.snapshot.edited.insert(FILE, hash(EDITED));
        let coming = Deleted { content: hash(EDITED), ..buried(version) };
        let plan = world.base("arrives", Base::Deleted(coming)).remote(EDITED, live(7)).plan();
        plan.steps.iter().any(|step| {
            step.path == b"arrives"
                && matches!(step.action, Action::Materialise { content, .. } if content == hash(EDITED))
        })
    };
    let was = || world().base("p", Base::Synced(synced(1, 5)));
    let other = || file(7, b"other");
    for (name, world, expected) in [
        ("it is there", was().local("p", file(1, H)), false),
        ("it was there", was(), false),
        ("it was renamed", was().local("P", file(1, H)), false),
        ("its name is taken", was().local("P", other()), true),
        ("it was put back", was().local("p", file(2, H)), true),
        ("it was missed in between", world().base("p", missed(5, 0)).local("p", file(1, H)), true),
        ("it was edited", was().local("p", file(1, b"mine")), true),
        ("it has a copy", was().local("p", file(1, H)).local("q", file(2, H)), true),
        ("its name is suspended", was().local("p", file(1, H)).local("P", other()), true),
        ("it is unknown", was().local("p", Local::Unknown { size: 9, grows: false }), true),
        ("it lies aside", was().local("p", Local::Aside), true),
        ("its copy was edited", was().base("q", Base::Synced(synced(2, 5))).local("q", other()), false),
        (
            "its copy was edited, and is suspended",
            was().base("q", Base::Synced(synced(2, 5))).local("q", other()).local("Q", file(8, b"others")),
            true,
        ),
        ("its copy lies aside", was().base("q", Base::Synced(synced(2, 5))).local("q", Local::Aside), true),
        (
            "it was another file",
            world().base("p", Base::Synced(Synced { file: FileId(2), ..synced(1, 5) })),
            true,
        ),
    ] {
        assert_eq!(arrives(world, 0), expected, "{name}");
    }
    assert!(arrives(was().local("p", file(1, H)), 5), "a tombstone is a place of its own");
}

#[test]
fn what_comes_back_is_told_from_what_is_new() {
    let is_back = |action, cause| {
        Step { path: b"p".to_vec(), from: None, action, cause, lets_go: None }.is_reappearance()
    };
    assert!(is_back(restore(), Cause::Reappeared) && is_back(send(H), Cause::PutBack));
    assert!(!is_back(send(H), Cause::New) && !is_back(restore(), Cause::Edited));
    assert!(!is_back(materialise(), Cause::Reappeared));
}

#[test]
fn only_what_is_whole_is_known() {
    let unknown = Local::Unknown { size: 1, grows: false };
    assert_eq!(
        [file(1, H), unknown, Local::Aside].map(|local| local.content()),
        [Some(CONTENT()), None, None]
    );
}

#[test]
fn tombstones() {
    let dead = |version| world().base("p", Base::Deleted(buried(version)));
    dead(5).does_nothing();
    dead(5).remote(H, trashed(FILE)).does_nothing();
    dead(5).remote(H, Remote::Purged).does_nothing();
    dead(5).remote(H, live(7)).check(materialise(), Cause::RestoredThere);
    dead(0).remote(H, live(7)).check(materialise(), Cause::NewThere);
    dead(5).local("p", file(1, H)).remote(H, trashed(FILE)).check(restore(), Cause::Reappeared);
    dead(5)
        .remote(H, live(7))
        .local("q", Local::Unknown { size: 1, grows: false })
        .waits("p", Wait::MayHaveMoved);
    dead(5).remote(H, live(7)).base("q", missed(7, 0)).plan().steps.iter().for_each(|step| {
        match step.path.as_slice() {
            b"p" => assert_eq!((step.action, step.cause), (Action::Forget, Cause::Elsewhere)),
            _ => assert_eq!(step.action, trash_remote(7)),
        }
    });
}

/// A copy that was in the vault all along is none.
#[test]
fn another_file_of_the_vault_comes_back_only_if_it_is_later() {
    let other = |version| Remote::Live { file: FileId(2), version: Version(version), taken: 0 };
    let dead = || world().base("p", Base::Deleted(buried(5)));
    dead().remote(H, other(5)).does_nothing();
    let materialise = Action::Materialise { content: CONTENT(), file: FileId(2) };
    dead().remote(H, other(6)).check(materialise, Cause::RestoredThere);
}

#[test]
fn one_copy_comes_back() {
    let dead = || Base::Deleted(buried(5));
    let plan = world().base("p", dead()).base("q", dead()).remote(H, live(7)).plan();
    assert_eq!(plan.steps.len(), 1, "{plan:?}");
    assert_eq!(plan.steps[0].path, b"p");
}

#[test]
fn up_touches_nothing_in_the_folder() {
    let up = || world().goes(Direction::Up);
    let here = || up().base("p", Base::Synced(synced(1, 5))).local("p", file(1, H));
    here().remote(H, trashed(FILE)).waits("p", Wait::Direction);
    here().remote(H, Remote::Purged).waits("p", Wait::Direction);
    up().base("p", Base::Deleted(buried(5))).remote(H, live(7)).does_nothing();
    let gone = || up().base("p", missed(5, 0));
    gone().remote(H, live(6)).check(Action::Detach { content: CONTENT() }, Cause::RestoredThere);
    gone().remote(H, live(5)).check(trash_remote(5), Cause::DeletedHere);
}

#[test]
fn down_touches_nothing_in_the_vault() {
    let down = || world().goes(Direction::Down);
    let new = || down().local("p", file(1, H));
    new().waits("p", Wait::Direction);
    new().remote(H, trashed(FILE)).waits("p", Wait::Direction);
    new().remote(H, live(5)).check(Action::Agree(synced(1, 5)), Cause::Known);
    let agreed = |inode| down().base("p", Base::Synced(synced(1, 5))).local("p", file(inode, H));
    agreed(1).waits("p", Wait::Direction);
    agreed(2).remote(H, trashed(FILE)).waits("p", Wait::Direction);
    agreed(1).remote(H, trashed(FILE)).check(trash_local(), Cause::DeletedThere);
    agreed(1).local("p", file(1, EDITED)).waits("p", Wait::Direction);
    let gone = || down().base("p", missed(5, 0));
    gone().remote(H, live(5)).check(materialise(), Cause::VaultDecides);
    gone().remote(H, live(6)).check(materialise(), Cause::VaultDecides);
}

#[test]
fn unknown_files_are_left_alone() {
    let unknown = Local::Unknown { size: 1, grows: true };
    for base in [Base::Synced(synced(1, 5)), Base::Deleted(buried(5))] {
        world().base("p", base).local("p", unknown).remote(H, Remote::Purged).waits("p", Wait::Unknown);
    }
}

#[test]
fn names_that_collide_suspend_each_other() {
    let two = world().local("p", file(1, H)).local("P", file(2, EDITED));
    two.waits("p", Wait::Collides);
    two.waits("P", Wait::Collides);
    let taken = world().base("p", Base::Deleted(buried(5))).remote(H, live(7)).local("P", file(2, EDITED));
    taken.waits("p", Wait::Collides);
    let both = world()
        .base("p", Base::Deleted(buried(0)))
        .remote(H, live(7))
        .base("P", Base::Deleted(Deleted { content: hash(EDITED), ..buried(0) }))
        .remote(EDITED, live(7));
    both.waits("p", Wait::Collides);
    // A file that is not settled, of another name, is no rename either.
    let renamed = world().base("q", missed(5, 0)).remote(H, live(5));
    renamed.local("p", file(1, H)).local("P", file(2, EDITED)).waits("p", Wait::Collides);
}

/// Only a file that is whole, that is the same one, and whose old name leads nowhere, was renamed.
#[test]
fn what_is_no_rename() {
    let agreed = || world().base("p", Base::Synced(synced(1, 5))).remote(H, live(5));
    let is_move = |world: World| world.plan().steps.iter().any(|step| matches!(step.action, Action::Move(_)));
    assert!(is_move(agreed().local("q", file(1, H))));
    assert!(is_move(agreed().local("q", file(1, H)).base("q", Base::Deleted(buried(5)))));
    assert!(!is_move(agreed().local("q", file(2, H))));
    assert!(!is_move(agreed().local("q", file(1, EDITED))));
    assert!(!is_move(agreed().local("p", file(3, H)).local("q", file(1, H))));
    assert!(!is_move(agreed().local("q", file(1, H)).base("q", Base::Synced(synced(9, 5)))));
    let mut unlisted = agreed().local("q", file(1, H));
    unlisted.snapshot.is_listed = false;
    assert!(!is_move(unlisted));
    // Two names of one file: one of them is what the old name became.
    let linked = agreed().local("q", file(1, H)).local("r", file(1, H)).plan();
    assert_eq!(linked.steps.len(), 2, "{linked:?}");
}

#[test]
fn additions_come_before_removals() {
    let third = hash(b"third");
    let plan = world()
        .base("p", missed(5, 0))
        .remote(H, live(5))
        .local("new", file(7, EDITED))
        .base("deleted there", Base::Synced(Synced { content: third, ..synced(3, 5) }))
        .local("deleted there", file(3, b"third"))
        .remote(b"third", trashed(FileId(3)))
        .base("arrives", Base::Deleted(Deleted { content: hash(b"fourth"), ..buried(0) }))
        .remote(b"fourth", live(7))
        .plan();
    let order: Vec<&str> = plan.steps.iter().map(|step| std::str::from_utf8(&step.path).unwrap()).collect();
    assert_eq!(order, ["new", "arrives", "p", "deleted there"]);
    assert!(plan.steps[2..].iter().all(|step| step.action.is_destructive()));
    assert!(!plan.steps[..2].iter().any(|step| step.action.is_destructive()));
}
