//! Names that mean something to Android or to Syncthing.

use crate::{remove, rename, tree, until_there, write};
use darkslide_e2e::syncthing::{Pair, so};

/// Android keeps what was deleted for 30 days under such a name: to Syncthing that is a rename like any other.
#[test]
fn what_android_trashes_comes_home_under_its_trashed_name() {
    let pair = Pair::start();
    let Pair { phone, home, .. } = &pair;
    write(phone, "a.jpg", "one");
    until_there(&pair, home, &[("a.jpg", "one")]);
    rename(phone, "a.jpg", ".trashed-1798495200-a.jpg");
    until_there(&pair, home, &[(".trashed-1798495200-a.jpg", "one")]);
    rename(phone, ".trashed-1798495200-a.jpg", "a.jpg");
    until_there(&pair, home, &[("a.jpg", "one")]);
}

#[test]
fn what_syncthing_keeps_for_itself_stays_where_it_is() {
    let pair = Pair::start();
    let Pair { phone, home, .. } = &pair;
    assert!(home.folder().join(".stfolder").is_dir(), "the marker of Syncthing");
    write(phone, ".syncthing.old.jpg.tmp", "left behind");
    write(phone, "~syncthing~old.jpg.tmp", "left behind");
    write(phone, ".stversions/old.jpg", "kept");
    write(phone, "a.jpg", "one");
    until_there(&pair, home, &[("a.jpg", "one")]);
    pair.in_step();
    assert_eq!(tree(home).len(), 1);
    // What the other side deletes or replaces can be kept, in the folder itself.
    home.keep_versions();
    write(phone, "a.jpg", "two");
    until_there(&pair, home, &[("a.jpg", "two"), (".stversions/a.jpg", "one")]);
    remove(phone, "a.jpg");
    until_there(&pair, home, &[(".stversions/a.jpg", "two")]);
}

/// The connection breaks in the middle of a picture: what has arrived lies at home, under a name that nobody should take for one.
#[test]
fn what_has_arrived_in_part_has_a_temporary_name() {
    let mut pair = Pair::start();
    pair.phone.send_slowly(256);
    let large: Vec<u8> = (0..500_000).flat_map(u32::to_le_bytes).collect();
    write(&pair.phone, "a.jpg", &large);
    pair.phone.scan();
    pair.until("a part is at home", || so(tree(&pair.home).contains_key(".syncthing.a.jpg.tmp")));
    pair.phone.stop();
    pair.home.scan();
    let names: Vec<_> = tree(&pair.home).into_keys().collect();
    assert_eq!(names, [".syncthing.a.jpg.tmp"]);
    pair.start_phone();
    pair.phone.send_slowly(0);
    pair.until("all of it is at home", || so(tree(&pair.home).get("a.jpg") == Some(&large)));
    pair.in_step();
    assert_eq!(tree(&pair.home).len(), 1);
}
