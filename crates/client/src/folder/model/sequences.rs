//! Histories that broke a promise once, as they were found. Each is run again, exactly, for ever.

use Next::{Event as E, Rest};

use super::events::{At, Event, Nth};
use super::run::{History, Next, Pass};
use super::world::Written::Whole;
use crate::folder::reconcile::Direction;

/// A pass that nothing disturbs.
const LOOK: Next = Next::Pass(QUIET);

const QUIET: Pass =
    Pass { during: [None; 2], crash: None, fails: 0, is_noted_late: false, order: 0, is_approved: false };

/// The same, in another order.
const OTHER_ORDER: Next = Next::Pass(Pass { order: 1, ..QUIET });

fn during(step: u8, event: Event) -> Next {
    Next::Pass(Pass { during: [Some((step, event)), None], ..QUIET })
}

/// What would be held is approved: here it is all that there is.
fn approved(during: [Option<(u8, Event)>; 2]) -> Next {
    Next::Pass(Pass { during, is_approved: true, ..QUIET })
}

fn check(nexts: &[Next]) {
    let (direction, nexts) = (Direction::Both, nexts.to_vec());
    let history = History { direction, keeps_old: false, reuses_numbers: false, nexts };
    if let Err(broken) = history.run(None) {
        panic!("{broken}");
    }
}

/// It was nothing that both sides had, and came back: restored in the vault, or sent again as a new picture.
#[test]
fn trashed_or_edited_elsewhere_before_it_was_noted_that_it_came_or_was_sent() {
    let late = |event| Next::Pass(Pass { during: [Some((1, event)), None], is_noted_late: true, ..QUIET });
    let write = E(Event::Write(At(2), 0, Whole));
    let upload = E(Event::WebUpload(0, At(2), true));
    let (trash, edit) = (Event::WebTrash(Nth(0)), Event::WebEdit(Nth(0), 1));
    for first in [write, upload] {
        for event in [trash, edit, Event::Delete(Nth(0)), Event::Edit(Nth(0), 1)] {
            check(&[first, late(event)]);
        }
    }
}

/// What an edit replaced hung on which of two equal pictures was sent first.
#[test]
fn an_edit_and_a_copy_of_what_it_became() {
    let write = |at, content| E(Event::Write(At(at), content, Whole));
    check(&[write(2, 0), LOOK, E(Event::Edit(Nth(0), 2)), E(Event::Copy(Nth(0), At(3))), OTHER_ORDER]);
    check(&[write(2, 0), E(Event::Copy(Nth(0), At(3))), LOOK, write(2, 1), write(3, 2), OTHER_ORDER]);
}

/// It went from the folder although a folder below could not be listed.
#[test]
fn a_deletion_in_the_vault_while_not_all_is_listed() {
    let upload = E(Event::WebUpload(1, At(0), true));
    check(&[upload, LOOK, E(Event::Listed(false)), E(Event::WebTrash(Nth(0))), LOOK]);
}

/// It came back at its first name.
#[test]
fn deleted_put_back_under_another_name_and_deleted_there() {
    let write = |at| E(Event::Write(At(at), 2, Whole));
    check(&[write(0), LOOK, E(Event::WebTrash(Nth(0))), LOOK, write(5), Rest, E(Event::Delete(Nth(0)))]);
}

/// What was approved was held again, because one picture came back in the same plan.
#[test]
fn an_approved_removal_beside_a_picture_that_comes_back() {
    let write = |at| E(Event::Write(At(at), 0, Whole));
    check(&[write(2), write(0), LOOK, E(Event::WebTrash(Nth(0))), write(3)]);
}

/// One of two copies was brought back by the plan that trashed the other.
#[test]
fn two_copies_that_were_noted_at_different_versions() {
    check(&[
        E(Event::Write(At(3), 1, Whole)),
        LOOK,
        E(Event::Copy(Nth(0), At(2))),
        E(Event::WebDetails(Nth(0))),
        E(Event::Delete(Nth(1))),
        LOOK,
        LOOK,
        E(Event::Delete(Nth(0))),
        LOOK,
    ]);
    check(&[
        during(0, Event::Write(At(1), 0, Whole)),
        E(Event::Write(At(4), 1, Whole)),
        E(Event::Copy(Nth(1), At(0))),
        LOOK,
        E(Event::Delete(Nth(2))),
        LOOK,
        E(Event::MoveOut(Nth(0))),
        during(2, Event::WebTrash(Nth(0))),
        LOOK,
        E(Event::MoveToOther(Nth(0))),
    ]);
}

/// A picture under a name that is passed over was trashed; and the deletion of another one that is as long had to wait for it.
#[test]
fn put_aside_and_back() {
    let (aside, delete) = (E(Event::Aside(Nth(0))), E(Event::Delete(Nth(0))));
    let write = |at, content| E(Event::Write(At(at), content, Whole));
    for back in [0, 2] {
        check(&[write(0, 0), LOOK, aside, Rest, E(Event::FromAside(At(back))), Rest, delete]);
    }
    check(&[write(0, 0), LOOK, aside, Rest, E(Event::DeleteAside)]);
    check(&[write(0, 0), write(2, 1), LOOK, aside, delete, Rest, E(Event::FromAside(At(0)))]);
    check(&[write(0, 0), LOOK, aside, E(Event::WebTrash(Nth(0))), Rest, E(Event::FromAside(At(0)))]);
}

/// That it was missed before must not count any more, and must not be forgotten either: what we trashed since, we restore.
#[test]
fn missed_put_aside_and_back() {
    let write = E(Event::Write(At(0), 0, Whole));
    let (out, back) = (E(Event::MoveOut(Nth(0))), E(Event::PutBack(At(0), true)));
    let (aside, from_aside) = (E(Event::Aside(Nth(0))), E(Event::FromAside(At(0))));
    let (long, killed) = (E(Event::Wait(true)), Next::Pass(Pass { crash: Some((0, true)), ..QUIET }));
    check(&[write, LOOK, out, LOOK, back, aside, Rest, E(Event::DeleteAside)]);
    check(&[write, LOOK, out, LOOK, back, aside, Rest, from_aside]);
    check(&[write, LOOK, out, LOOK, long, killed, back, aside, LOOK, from_aside]);
}

/// What the vault's file had become waited for a copy under a name that is passed over.
#[test]
fn one_copy_is_put_aside_the_other_deleted_and_both_edited_there() {
    check(&[
        during(0, Event::Write(At(0), 2, Whole)),
        LOOK,
        E(Event::Write(At(2), 2, Whole)),
        E(Event::Aside(Nth(0))),
        during(1, Event::Delete(Nth(0))),
        E(Event::WebEdit(Nth(0), 0)),
    ]);
    check(&[
        E(Event::WebUpload(0, At(3), true)),
        LOOK,
        E(Event::Write(At(2), 0, Whole)),
        LOOK,
        E(Event::Rename(Nth(0), At(0))),
        Next::Pass(Pass {
            during: [Some((0, Event::Delete(Nth(0)))), Some((0, Event::WebEdit(Nth(0), 1)))],
            ..QUIET
        }),
        E(Event::Aside(Nth(0))),
    ]);
}

/// The second came after its owner had deleted the first.
#[test]
fn two_copies_that_come_back_and_one_is_deleted_at_once() {
    check(&[
        E(Event::Write(At(0), 0, Whole)),
        E(Event::Copy(Nth(0), At(2))),
        LOOK,
        E(Event::Delete(Nth(0))),
        E(Event::Delete(Nth(0))),
        Rest,
        E(Event::WebRestore(Nth(0))),
        during(1, Event::Delete(Nth(0))),
        LOOK,
    ]);
}

/// A crash kept its deletion in the vault from being noted, and it was taken for somebody else's; under the same name and under another.
#[test]
fn deleted_put_back_and_killed_in_between() {
    let killed = Next::Pass(Pass { crash: Some((0, true)), ..QUIET });
    for name in [0, 2] {
        check(&[
            E(Event::Write(At(0), 0, Whole)),
            LOOK,
            E(Event::MoveOut(Nth(0))),
            LOOK,
            E(Event::Wait(true)),
            killed,
            E(Event::PutBack(At(name), true)),
        ]);
    }
}

/// The other copy was trashed while an edit of this one was not noted, and was undone at that moment.
#[test]
fn one_copy_is_deleted_and_the_edit_of_the_other_undone() {
    let edit = |step, nth, content| {
        Next::Pass(Pass { during: [Some((step, Event::Edit(Nth(nth), content))), None], ..QUIET })
    };
    check(&[
        E(Event::Write(At(3), 2, Whole)),
        E(Event::WebUpload(1, At(3), true)),
        LOOK,
        E(Event::Delete(Nth(2))),
        during(0, Event::Rename(Nth(0), At(3))),
        Next::Pass(Pass {
            during: [Some((0, Event::Wait(true))), Some((1, Event::Edit(Nth(0), 0)))],
            ..QUIET
        }),
        edit(3, 0, 1),
        E(Event::Write(At(0), 0, Whole)),
    ]);
}

/// An edit elsewhere made two files of one content in the vault. The copy here was noted as the other one of them, which was trashed in that
/// moment: its own deletion was taken for that of a picture that nobody here had.
#[test]
fn two_files_of_one_content_and_the_other_is_trashed() {
    check(&[
        E(Event::Edit(Nth(0), 0)),
        E(Event::Write(At(0), 1, Whole)),
        E(Event::SaveVault),
        E(Event::WebUpload(2, At(2), true)),
        LOOK,
        E(Event::WebEdit(Nth(1), 1)),
        Next::Pass(Pass {
            during: [Some((0, Event::WebTrash(Nth(0)))), Some((3, Event::Delete(Nth(2))))],
            ..QUIET
        }),
        LOOK,
    ]);
}

/// What the vault's file had become waited for a copy whose edit was suspended, because another name differed from its own by case alone.
#[test]
fn one_copy_is_deleted_the_edit_of_the_other_suspended_and_both_edited_there() {
    check(&[
        E(Event::WebUpload(0, At(0), true)),
        LOOK,
        E(Event::Write(At(2), 2, Whole)),
        during(0, Event::Rename(Nth(1), At(1))),
        E(Event::Copy(Nth(0), At(0))),
        during(0, Event::Copy(Nth(0), At(2))),
        E(Event::Edit(Nth(2), 0)),
        LOOK,
        E(Event::Delete(Nth(2))),
        E(Event::WebEdit(Nth(0), 1)),
    ]);
}

/// Their one file was trashed, and somebody restored it before that was noted of the second. It was taken for trashed again.
#[test]
fn two_copies_are_deleted_and_restored_before_both_are_noted() {
    let write = |at| E(Event::Write(At(at), 0, Whole));
    let (delete, long) = (E(Event::Delete(Nth(0))), E(Event::Wait(true)));
    let restored = approved([Some((1, Event::WebRestore(Nth(0)))), None]);
    check(&[write(2), write(3), LOOK, delete, delete, LOOK, long, restored]);
    // Of two files of one content one became something else while its path lay aside: both paths go with the other file.
    check(&[
        E(Event::WebUpload(2, At(3), true)),
        E(Event::WebDuplicate(Nth(0))),
        LOOK,
        E(Event::Aside(Nth(0))),
        E(Event::WebEdit(Nth(0), 0)),
        E(Event::Write(At(1), 2, Whole)),
        LOOK,
        E(Event::Delete(Nth(1))),
        E(Event::DeleteAside),
        LOOK,
        long,
        restored,
    ]);
}

/// What is put into another folder once it was looked for there is trashed, and that folder's own pass restores it.
#[test]
fn put_back_and_moved_into_another_folder_while_it_is_trashed() {
    let write = Event::Write(At(0), 0, Whole);
    let moved = approved([Some((0, write)), Some((0, Event::MoveToOther(Nth(0))))]);
    check(&[E(write), LOOK, E(Event::Delete(Nth(0))), LOOK, E(Event::Wait(true)), moved]);
}

/// Which of two files of one content a copy was noted as hung on whether the other path that had it was noted first, and so did what is kept out of the
/// folder.
#[test]
fn two_files_of_one_content_and_a_path_that_lets_go_of_one() {
    let write = |at, content| E(Event::Write(At(at), content, Whole));
    for order in 1..=4 {
        check(&[
            write(0, 1),
            write(5, 0),
            LOOK,
            E(Event::WebEdit(Nth(1), 0)),
            E(Event::Copy(Nth(0), At(1))),
            E(Event::Rename(Nth(2), At(2))),
            write(5, 2),
            Next::Pass(Pass { order, ..QUIET }),
        ]);
    }
}

/// What was sent and not noted yet was put aside, and its other copy deleted; or it was moved out, and another one written to its place. Neither is a deletion
/// that must arrive: the first may come back, and the second is an edit.
#[test]
fn put_aside_or_edited_before_it_was_noted_that_it_was_sent() {
    let write = |at, content| Event::Write(At(at), content, Whole);
    let late = |events: [Event; 2]| {
        let during = events.map(|event| Some((1, event)));
        Next::Pass(Pass { during, is_noted_late: true, ..QUIET })
    };
    check(&[
        E(write(0, 2)),
        E(write(2, 0)),
        E(write(3, 0)),
        LOOK,
        E(Event::Edit(Nth(4), 2)),
        late([Event::Aside(Nth(1)), Event::Delete(Nth(0))]),
    ]);
    check(&[
        E(Event::WebDuplicate(Nth(0))),
        Next::Pass(Pass { during: [Some((0, write(2, 2))), Some((0, Event::Copy(Nth(0), At(0))))], ..QUIET }),
        E(write(2, 0)),
        LOOK,
        E(write(3, 2)),
        E(write(0, 2)),
        E(Event::WebTrash(Nth(0))),
        E(Event::WebUpload(0, At(0), false)),
        E(Event::WebTrash(Nth(0))),
        E(write(3, 0)),
        E(Event::MoveOut(Nth(2))),
        LOOK,
        LOOK,
        E(write(2, 1)),
        late([Event::MoveOut(Nth(1)), write(2, 0)]),
    ]);
}
