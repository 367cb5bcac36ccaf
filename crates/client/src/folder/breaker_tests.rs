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
    let restore = Action::Restore { content, file: FileId(1) };
    let send = Action::Send { content, replaces: None };
    let steps = [
        (1, send, Cause::New),
        (back, restore, Cause::Reappeared),
        (local, trash_local, Cause::DeletedThere),
        (remote, trash_remote, Cause::DeletedHere),
    ];
    let steps = steps.into_iter().flat_map(|(count, action, cause)| {
        (0..count).map(move |_| Step { path: b"p".to_vec(), from: None, action, cause, lets_go: None })
    });
    SyncPlan { steps: steps.collect(), waiting: Vec::new() }
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
    assert_eq!(judge(&mut plan, agreed, None, None), expected, "{local} {remote} {back} of {agreed}");
    let is_back_held = matches!(expected, Some(Hold::Reappearances { .. }));
    let removed = if expected.is_some() { (0, 0) } else { (local, remote) };
    let kept = (removed.0, removed.1, if is_back_held { 0 } else { back }, 1);
    assert_eq!(counts(&plan), kept, "{local} {remote} {back} of {agreed}");
}

#[test]
fn removals() {
    let held = |local, remote, allowed| Some(Hold::Removals { local, remote, allowed });
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
    check((1, 0, 0), 1, None);
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
    check((30, 0, 20), 100, Some(Hold::Removals { local: 30, remote: 0, allowed: 20 }));
}

/// What was approved is done, as much of it and no more.
#[test]
fn approvals() {
    let approve = |(local, remote, back), approval: Approval| {
        let mut plan = plan(local, remote, back);
        judge(&mut plan, 100, None, Some(approval)).is_some()
    };
    let shown = Approval { local: 15, remote: 10, back: 0 };
    for (counts, is_held) in [
        ((15, 10, 0), false),
        ((14, 10, 3), false),
        ((16, 10, 0), true),
        ((15, 11, 0), true),
        ((15, 10, 21), true),
    ] {
        assert_eq!(approve(counts, shown), is_held, "{counts:?}");
    }
    let back = Approval { local: 0, remote: 0, back: 25 };
    for (counts, is_held) in
        [((0, 0, 25), false), ((0, 0, 26), true), ((3, 0, 25), false), ((25, 0, 25), true)]
    {
        assert_eq!(approve(counts, back), is_held, "{counts:?}");
    }
}

/// A hold does not end because something was added, or because a part of it was put back: only an approval ends it, or that nothing is left.
#[test]
fn a_hold_lasts() {
    let judged = |(local, remote, back), agreed, before, approved| {
        let mut plan = plan(local, remote, back);
        let hold = judge(&mut plan, agreed, before, approved);
        assert_eq!(counts(&plan).3, 1, "what adds goes on");
        hold
    };
    let everything = judged((0, 6, 0), 6, None, None);
    assert_eq!(everything, Some(Hold::Everything { local: 0, remote: 6 }));
    assert_eq!(judged((0, 6, 0), 7, everything, None), everything);
    assert_eq!(judged((0, 1, 0), 700, everything, None), Some(Hold::Everything { local: 0, remote: 1 }));
    assert_eq!(judged((0, 0, 0), 7, everything, None), None);
    let approval = Some(Approval { local: 0, remote: 6, back: 0 });
    assert_eq!(judged((0, 6, 0), 7, everything, approval), None);
    let back = judged((0, 0, 21), 100, None, None);
    assert_eq!(
        judged((0, 0, 20), 100, back, None),
        Some(Hold::Reappearances { back: 20, local: 0, remote: 0 })
    );
    assert_eq!(judged((3, 0, 0), 100, back, None), Some(Hold::Removals { local: 3, remote: 0, allowed: 20 }));
    assert_eq!(judged((0, 0, 5), 100, everything, None), None);
}

#[test]
fn a_hold_says_what_it_holds() {
    let holds = [
        Hold::Removals { local: 3, remote: 40, allowed: 20 },
        Hold::Everything { local: 3, remote: 40 },
        Hold::Reappearances { back: 21, local: 3, remote: 40 },
    ];
    let asked = holds.map(|hold| hold.asks_for());
    assert_eq!(asked[0], Approval { local: 3, remote: 40, back: 0 });
    assert_eq!(asked[1], asked[0]);
    assert_eq!(asked[2], Approval { back: 21, ..asked[0] });
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
            Hold::Removals { local: 30, remote: 0, allowed: 20 },
            Hold::Everything { local: 1, remote: 1 },
            Hold::Reappearances { back: 21, local: 0, remote: 0 },
        ])),
    ) {
        let approved = approved.map(|(local, remote, back)| Approval { local, remote, back });
        let mut judged = plan(planned.0, planned.1, planned.2);
        let hold = judge(&mut judged, agreed, before, approved);
        let (local, remote, back, new) = counts(&judged);
        prop_assert_eq!(new, 1);
        let approved = approved.unwrap_or_default();
        if local > approved.local || remote > approved.remote {
            prop_assert!(local + remote <= ALWAYS_ALLOWED.max(agreed / 10));
            prop_assert!(local + remote <= 1 || local + remote < agreed);
            prop_assert!(before.is_none() || local + remote == 0, "a hold lasts");
        }
        prop_assert!(back <= REAPPEARANCES_MAX.max(approved.back));
        if let Some(hold) = hold {
            prop_assert_eq!(local + remote, 0);
            let mut again = plan(planned.0, planned.1, planned.2);
            prop_assert_eq!(judge(&mut again, agreed, Some(hold), Some(hold.asks_for())), None);
            prop_assert_eq!(counts(&again), (planned.0, planned.1, planned.2, 1));
        } else {
            prop_assert_eq!((local, remote, back), planned);
        }
    }
}
