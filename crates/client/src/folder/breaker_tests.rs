//! The bound, as a table and over random plans.

use darkslide_crypto::ContentHash;
use darkslide_protocol::{FileId, Version};
use proptest::prelude::*;

use super::super::reconcile::{Action, Cause, Deleted, DiskId, Step};
use super::*;

/// A plan that removes so many, brings so many back, and adds one.
fn plan(local: usize, remote: usize, back: usize) -> SyncPlan {
    let content = ContentHash::of(b"h");
    let buried = Deleted { content, size: 1, file: FileId(1), version: Version(1) };
    let trash_local = Action::TrashLocal { content, disk: DiskId::default(), buried };
    let trash_remote = Action::TrashRemote { file: FileId(1), version: Version(1), buried };
    let restore = Action::Restore { content, file: FileId(1), version: Version(1) };
    let send = Action::Send { content, replaces: None };
    let steps = [
        (1, send, Cause::New),
        (back, restore, Cause::Reappeared),
        (local, trash_local, Cause::DeletedThere),
        (remote, trash_remote, Cause::DeletedHere),
    ];
    let steps = steps.into_iter().flat_map(|(count, action, cause)| {
        (0..count).map(move |number| {
            let path = format!("{cause:?} {number}").into_bytes();
            Step { path, from: None, action, cause, lets_go: None }
        })
    });
    SyncPlan { steps: steps.collect(), waiting: Vec::new() }
}

/// What an owner approves who is shown such a plan.
fn shown((local, remote, back): (usize, usize, usize)) -> HeldList {
    HeldList::of(plan(local, remote, back).steps.iter())
}

/// A folder from which nothing was removed for long.
fn with(agreed: usize) -> Standing {
    Standing::of(agreed, &[], 0)
}

fn hold_of(held: Option<Held>) -> Option<Hold> {
    held.map(|held| held.hold)
}

fn counts(plan: &SyncPlan) -> (usize, usize, usize, usize) {
    let count = |is: fn(&Step) -> bool| plan.steps.iter().filter(|step| is(step)).count();
    (
        count(|step| matches!(step.action, Action::TrashLocal { .. })),
        count(|step| matches!(step.action, Action::TrashRemote { .. })),
        count(Step::is_reappearance),
        count(|step| step.cause == Cause::New),
    )
}

fn check((local, remote, back): (usize, usize, usize), agreed: usize, expected: Option<Hold>) {
    let mut plan = plan(local, remote, back);
    assert_eq!(
        hold_of(judge(&mut plan, with(agreed), None, None)),
        expected,
        "{local} {remote} {back} of {agreed}"
    );
    let is_back_held = matches!(expected, Some(Hold::Reappearances { .. }));
    let removed = if expected.is_some() { (0, 0) } else { (local, remote) };
    let kept = (removed.0, removed.1, if is_back_held { 0 } else { back }, 1);
    assert_eq!(counts(&plan), kept, "{local} {remote} {back} of {agreed}");
}

#[test]
fn removals() {
    let held = |local, remote, allowed| Some(Hold::Removals { local, remote, allowed, lately: 0 });
    check((10, 10, 0), 100, None);
    check((11, 10, 0), 100, held(11, 10, 20));
    check((10, 10, 0), 199, None);
    check((15, 10, 0), 250, None);
    check((16, 10, 0), 250, held(16, 10, 25));
    check((16, 10, 0), 260, None);
}

#[test]
fn everything() {
    let held = |local, remote| Some(Hold::Everything { local, remote });
    check((1, 0, 0), 1, held(1, 0));
    check((0, 1, 0), 1, held(0, 1));
    check((1, 0, 0), 2, None);
    check((0, 2, 0), 2, held(0, 2));
    check((1, 2, 0), 3, held(1, 2));
    check((1, 2, 0), 2, held(1, 2));
    check((1, 2, 0), 4, None);
    check((30, 0, 0), 30, held(30, 0));
    check((0, 0, 0), 0, None);
}

#[test]
fn reappearances() {
    check((0, 0, 20), 100, None);
    check((0, 0, 21), 100, Some(Hold::Reappearances { back: 21, local: 0, remote: 0 }));
    check((2, 1, 21), 100, Some(Hold::Reappearances { back: 21, local: 2, remote: 1 }));
    check((30, 0, 20), 100, Some(Hold::Removals { local: 30, remote: 0, allowed: 20, lately: 0 }));
}

/// What was approved is done, or as much of it as is left.
#[test]
fn approvals() {
    let approve = |(local, remote, back), approval: &HeldList| {
        let mut plan = plan(local, remote, back);
        judge(&mut plan, with(100), None, Some(approval)).is_some()
    };
    let list = shown((15, 10, 0));
    for (counts, is_held) in [
        ((15, 10, 0), false),
        ((14, 10, 3), false),
        ((16, 10, 0), true),
        ((15, 11, 0), true),
        ((15, 10, 21), true),
    ] {
        assert_eq!(approve(counts, &list), is_held, "{counts:?}");
    }
    let list = shown((0, 0, 25));
    for (counts, is_held) in
        [((0, 0, 25), false), ((0, 0, 26), true), ((3, 0, 25), false), ((25, 0, 25), true)]
    {
        assert_eq!(approve(counts, &list), is_held, "{counts:?}");
    }
}

/// As many others are not what was approved: at another place, of another content, or with another fate.
#[test]
fn an_approval_is_of_these_pictures_and_no_others() {
    let list = shown((15, 10, 0));
    let judged = |change: fn(&mut Step)| {
        let mut plan = plan(15, 10, 0);
        change(plan.steps.iter_mut().find(|step| step.action.is_destructive()).unwrap());
        let held = judge(&mut plan, with(100), None, Some(&list))?;
        assert_eq!(counts(&plan), (0, 0, 0, 1), "and all of it waits");
        assert_ne!(held.list.name(), list.name());
        Some(held.list.pictures().count())
    };
    assert_eq!(judged(|_| {}), None);
    assert_eq!(judged(|step| step.path = b"another".to_vec()), Some(25));
    assert_eq!(
        judged(|step| {
            let Action::TrashLocal { content, .. } = &mut step.action else { panic!("{step:?}") };
            *content = ContentHash::of(b"another");
        }),
        Some(25)
    );
    assert_eq!(
        judged(|step| {
            let Action::TrashLocal { buried, .. } = step.action else { panic!("{step:?}") };
            step.action = Action::TrashRemote { file: FileId(1), version: Version(1), buried };
        }),
        Some(25)
    );
}

/// What stays in the vault for its age is in the list as well: it is gone from the folder.
#[test]
fn a_list_has_everything_that_waits() {
    let mut plan = plan(2, 3, 21);
    let content = ContentHash::of(b"old");
    let (action, cause) = (Action::Detach { content }, Cause::DeletedOld);
    plan.steps.push(Step { path: b"old".to_vec(), from: None, action, cause, lets_go: None });
    let held = judge(&mut plan, with(500), None, None).unwrap();
    let of = |fate| held.list.pictures().filter(|picture| picture.fate == fate).count();
    assert_eq!(Fate::ALL.map(of), [2, 3, 1, 21]);
    assert_eq!(counts(&plan), (0, 0, 0, 1));
    for fate in Fate::ALL {
        assert_eq!(Fate::parse(fate.as_str()), Some(fate));
    }
    assert_eq!(held.list, held.list.pictures().cloned().collect(), "a list is what is in it");
    // A path that ends as another begins is another list.
    let one = |path: &[u8]| {
        HeldList::from_iter([HeldPicture { path: path.to_vec(), content, fate: Fate::Local }]).name()
    };
    assert_ne!(one(b"a"), one(b"b"));
    assert_eq!(one(b"a").len(), 12);
}

/// A hold does not end because something was added, or because a part of it was put back: only an approval ends it, or that nothing is left.
#[test]
fn a_hold_lasts() {
    let judged = |(local, remote, back), agreed, before, approved| {
        let mut plan = plan(local, remote, back);
        let held = judge(&mut plan, with(agreed), before, approved);
        assert_eq!(counts(&plan).3, 1, "what adds goes on");
        hold_of(held)
    };
    let everything = judged((0, 6, 0), 6, None, None);
    assert_eq!(everything, Some(Hold::Everything { local: 0, remote: 6 }));
    assert_eq!(judged((0, 6, 0), 7, everything, None), everything);
    assert_eq!(judged((0, 1, 0), 700, everything, None), Some(Hold::Everything { local: 0, remote: 1 }));
    assert_eq!(judged((0, 0, 0), 7, everything, None), None);
    let (all, fewer) = (shown((0, 6, 0)), shown((0, 5, 0)));
    assert_eq!(judged((0, 6, 0), 7, everything, Some(&all)), None);
    assert_eq!(judged((0, 6, 0), 7, everything, Some(&fewer)), everything);
    let back = judged((0, 0, 21), 100, None, None);
    assert_eq!(
        judged((0, 0, 20), 100, back, None),
        Some(Hold::Reappearances { back: 20, local: 0, remote: 0 })
    );
    assert_eq!(
        judged((3, 0, 0), 100, back, None),
        Some(Hold::Removals { local: 3, remote: 0, allowed: 20, lately: 0 })
    );
    assert_eq!(judged((0, 0, 5), 100, everything, None), None);
}

#[test]
fn a_hold_says_what_it_holds() {
    let holds = [
        Hold::Removals { local: 3, remote: 40, allowed: 20, lately: 0 },
        Hold::Everything { local: 3, remote: 40 },
        Hold::Reappearances { back: 21, local: 3, remote: 40 },
    ];
    let told = holds.map(|hold| hold.to_string());
    assert!(told[0].contains("40 would go into the vault's trash and 3 from the folder"), "{}", told[0]);
    assert!(
        told[1].contains("everything") && told[1].contains("40 into the vault's trash, 3 into"),
        "{}",
        told[1]
    );
    assert!(told[2].starts_with("21 pictures"), "{}", told[2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever is planned and was approved: unless it was approved, no more than the bound is removed, never everything, and no more than
    /// a few come back; what adds goes on; and what is asked for is enough.
    #[test]
    fn the_bound_holds(
        planned in (0..60_usize, 0..60_usize, 0..40_usize),
        agreed in 0..700_usize,
        approved in proptest::option::of((0..60_usize, 0..60_usize, 0..40_usize)),
        before in proptest::option::of(prop::sample::select(vec![
            Hold::Removals { local: 30, remote: 0, allowed: 20, lately: 0 },
            Hold::Everything { local: 1, remote: 1 },
            Hold::Reappearances { back: 21, local: 0, remote: 0 },
        ])),
    ) {
        let list = approved.map(shown);
        let mut judged = plan(planned.0, planned.1, planned.2);
        let held = judge(&mut judged, with(agreed), before, list.as_ref());
        let (local, remote, back, new) = counts(&judged);
        prop_assert_eq!(new, 1);
        let approved = approved.unwrap_or_default();
        if local > approved.0 || remote > approved.1 {
            prop_assert!(local + remote <= ALWAYS_ALLOWED.max(agreed / 10));
            prop_assert!(local + remote == 0 || local + remote < agreed);
            prop_assert!(before.is_none() || local + remote == 0, "a hold lasts");
        }
        prop_assert!(back <= REAPPEARANCES_MAX.max(approved.2));
        if let Some(Held { hold, list }) = held {
            prop_assert_eq!(local + remote, 0);
            let mut again = plan(planned.0, planned.1, planned.2);
            prop_assert_eq!(judge(&mut again, with(agreed), Some(hold), Some(&list)), None);
            prop_assert_eq!(counts(&again), (planned.0, planned.1, planned.2, 1));
        } else {
            prop_assert_eq!((local, remote, back), planned);
        }
    }
}

/// What another folder has, and what is deleted on both sides, has gone from this one like everything else.
#[test]
fn an_emptied_folder_is_held_though_a_copy_lies_elsewhere() {
    let content = ContentHash::of(b"h");
    let buried = Deleted { content, size: 1, file: FileId(1), version: Version(1) };
    for (action, cause) in [
        (Action::Detach { content }, Cause::Elsewhere),
        (Action::Bury(buried), Cause::DeletedBoth),
        (Action::Bury(buried), Cause::Lost),
    ] {
        let mut emptied = plan(0, 7, 0);
        let path = b"copied".to_vec();
        emptied.steps.push(Step { path, from: None, action, cause, lets_go: None });
        let held = hold_of(judge(&mut emptied, with(8), None, None));
        assert_eq!(held, Some(Hold::Everything { local: 0, remote: 7 }), "{cause:?}");
        assert_eq!(hold_of(judge(&mut plan(0, 7, 0), with(8), None, None)), None, "one is left");
    }
}

/// The only picture of a folder is not gone because it was edited on another client.
#[test]
fn what_is_edited_elsewhere_is_not_gone() {
    let mut edited = plan(1, 0, 0);
    for step in &mut edited.steps {
        if step.action.is_destructive() {
            step.cause = Cause::EditedThere;
        }
    }
    assert_eq!(judge(&mut edited, with(1), None, None), None);
}

/// What was removed in the last hour counts, against what the folder had then; what an hour is, is told by a clock that may be set.
#[test]
fn removals_that_trickle_in_are_held() {
    let minute = WINDOW / 60;
    let removed = |minutes: i64, count, agreed| Removed { at: minutes * minute, count, agreed };
    let standing = |agreed, removed: &[Removed], minutes| Standing::of(agreed, removed, minutes * minute);
    for (before, agreed, is_held) in [
        (vec![], 100, false),
        (vec![removed(99, 19, 119)], 100, false),
        (vec![removed(99, 20, 120)], 100, true),
        (vec![removed(41, 5, 120), removed(70, 5, 115), removed(98, 10, 110)], 100, true),
        // Over for an hour.
        (vec![removed(40, 20, 120)], 100, false),
        (vec![removed(40, 20, 140), removed(41, 19, 120)], 100, false),
        // A tenth of what there was.
        (vec![removed(99, 49, 499)], 450, true),
        (vec![removed(99, 49, 500)], 451, false),
        (vec![removed(50, 20, 500), removed(99, 29, 480)], 451, false),
        (vec![removed(50, 20, 500), removed(99, 30, 480)], 450, true),
        // Somebody set the clock back, a little or by far.
        (vec![removed(110, 20, 120)], 100, true),
        (vec![removed(1_000, 20, 120)], 100, true),
    ] {
        let mut judged = plan(1, 0, 0);
        let standing = standing(agreed, &before, 100);
        let held = hold_of(judge(&mut judged, standing, None, None));
        let (allowed, lately) = (standing.were.max(200) / 10, standing.removed);
        let expected = Hold::Removals { local: 1, remote: 0, allowed, lately };
        assert_eq!(held, is_held.then_some(expected), "{before:?}");
        assert_eq!(hold_of(judge(&mut plan(0, 0, 0), standing, None, None)), None, "nothing is removed");
        let later = Standing::of(agreed, &before, 200 * minute);
        if is_held && later.removed == 0 {
            assert_eq!(
                hold_of(judge(&mut plan(1, 0, 0), later, held, None)),
                held,
                "a hold goes on for what it began with"
            );
        }
    }
}

proptest! {
    /// Whenever removals come, and however many: of those that nobody was asked about, never more go in an hour than the bound.
    #[test]
    fn the_bound_holds_for_every_hour(
        mut agreed in 1..600_usize,
        passes in prop::collection::vec((0..30_i64, 0..60_usize, 0..30_usize), 1..80),
    ) {
        let (mut now, mut removed) = (0, Vec::new());
        for (minutes, count, added) in passes {
            now += minutes * WINDOW / 60;
            agreed += added;
            let count = count.min(agreed);
            // What is held is put back.
            if judge(&mut plan(count, 0, 0), Standing::of(agreed, &removed, now), None, None).is_none() {
                removed.push(Removed { at: now, count, agreed });
                agreed -= count;
                prop_assert!(agreed > 0 || count == 0);
            }
        }
        for last in &removed {
            let hour: Vec<_> = removed.iter().filter(|one| one.at <= last.at && last.at - one.at < WINDOW).collect();
            let sum: usize = hour.iter().map(|one| one.count).sum();
            prop_assert!(sum <= ALWAYS_ALLOWED.max(hour[0].agreed / 10), "{hour:?}");
        }
    }
}
