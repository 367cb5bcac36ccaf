//! One side is away for a while, or forgets.

use crate::{remove, rename, tree, until_there, write};
use darkslide_e2e::syncthing::Pair;

#[test]
fn what_was_done_while_one_side_was_off_is_done_later() {
    let mut pair = Pair::start();
    write(&pair.phone, "a.jpg", "one");
    write(&pair.phone, "b.jpg", "two");
    write(&pair.phone, "c.jpg", "three");
    until_there(&pair, &pair.home, &[("a.jpg", "one"), ("b.jpg", "two"), ("c.jpg", "three")]);
    // Home is off.
    pair.home.stop();
    remove(&pair.phone, "a.jpg");
    rename(&pair.phone, "b.jpg", "d.jpg");
    pair.phone.scan();
    pair.start_home();
    until_there(&pair, &pair.home, &[("c.jpg", "three"), ("d.jpg", "two")]);
    // The phone is off.
    pair.in_step();
    pair.phone.stop();
    remove(&pair.home, "c.jpg");
    write(&pair.home, "e.jpg", "five");
    pair.home.scan();
    pair.start_phone();
    until_there(&pair, &pair.phone, &[("d.jpg", "two"), ("e.jpg", "five")]);
    // Both are on, and out of reach.
    pair.in_step();
    pair.part();
    remove(&pair.phone, "d.jpg");
    write(&pair.home, "f.jpg", "six");
    pair.reunite();
    until_there(&pair, &pair.phone, &[("e.jpg", "five"), ("f.jpg", "six")]);
    until_there(&pair, &pair.home, &[("e.jpg", "five"), ("f.jpg", "six")]);
    // One does not look for a while.
    pair.in_step();
    pair.home.pause();
    remove(&pair.phone, "f.jpg");
    pair.phone.scan();
    assert!(tree(&pair.home).contains_key("f.jpg"));
    pair.home.resume();
    until_there(&pair, &pair.home, &[("e.jpg", "five")]);
}

#[test]
fn two_edits_apart_are_both_kept() {
    let pair = Pair::start();
    let Pair { phone, home, .. } = &pair;
    write(phone, "a.jpg", "one");
    until_there(&pair, home, &[("a.jpg", "one")]);
    pair.in_step();
    pair.part();
    write(phone, "a.jpg", "edited on the phone");
    write(home, "a.jpg", "edited at home, and longer");
    phone.scan();
    home.scan();
    pair.reunite();
    pair.in_step();
    assert_eq!(tree(home), tree(phone));
    let names: Vec<_> = tree(home).into_keys().collect();
    assert!(names.len() == 2 && names[1].starts_with("a.sync-conflict-"), "{names:?}");
}

/// A side that forgot what it knew does not know any more what was deleted: what it still has comes back on the other side.
#[test]
fn what_was_deleted_comes_back_from_a_side_that_forgot() {
    let mut pair = Pair::start();
    write(&pair.phone, "a.jpg", "one");
    write(&pair.phone, "b.jpg", "two");
    until_there(&pair, &pair.home, &[("a.jpg", "one"), ("b.jpg", "two")]);
    pair.in_step();
    pair.phone.stop();
    remove(&pair.home, "a.jpg");
    pair.home.scan();
    pair.phone.lose_database();
    pair.start_phone();
    until_there(&pair, &pair.home, &[("a.jpg", "one"), ("b.jpg", "two")]);
    pair.in_step();
    assert_eq!(tree(&pair.home), tree(&pair.phone));
}
