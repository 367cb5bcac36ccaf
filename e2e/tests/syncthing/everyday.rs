//! Pictures that come, change, move and go while both sides are there; nobody asks for a scan.

use crate::{remove, rename, tree, until_there, write};
use darkslide_e2e::syncthing::Pair;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;

#[test]
fn what_is_done_on_the_phone_is_done_at_home() {
    let pair = Pair::start();
    let Pair { phone, home, .. } = &pair;
    write(phone, "a.jpg", "one");
    write(phone, "2024/b.jpg", "two");
    until_there(&pair, home, &[("a.jpg", "one"), ("2024/b.jpg", "two")]);
    write(phone, "a.jpg", "one, edited");
    until_there(&pair, home, &[("a.jpg", "one, edited"), ("2024/b.jpg", "two")]);
    rename(phone, "a.jpg", "2024/c.jpg");
    until_there(&pair, home, &[("2024/c.jpg", "one, edited"), ("2024/b.jpg", "two")]);
    remove(phone, "2024/b.jpg");
    until_there(&pair, home, &[("2024/c.jpg", "one, edited")]);
    pair.in_step();
}

#[test]
fn what_is_done_at_home_is_done_on_the_phone() {
    let pair = Pair::start();
    let Pair { phone, home, .. } = &pair;
    write(home, "a.jpg", "one");
    write(home, "b.jpg", "two");
    until_there(&pair, phone, &[("a.jpg", "one"), ("b.jpg", "two")]);
    write(home, "b.jpg", "two, edited");
    rename(home, "a.jpg", "c.jpg");
    until_there(&pair, phone, &[("b.jpg", "two, edited"), ("c.jpg", "one")]);
    remove(home, "c.jpg");
    until_there(&pair, phone, &[("b.jpg", "two, edited")]);
}

/// What an edit and a rename look like to whoever looks after the folder at home: the former is another file on the disk, the latter
/// is the same.
#[test]
fn an_edit_is_another_file_on_the_disk_and_a_rename_is_the_same() {
    let pair = Pair::start();
    let Pair { phone, home, .. } = &pair;
    let disk_file = |name: &str| fs::metadata(home.folder().join(name)).unwrap().ino();
    write(phone, "a.jpg", "one");
    until_there(&pair, home, &[("a.jpg", "one")]);
    let first = disk_file("a.jpg");
    rename(phone, "a.jpg", "b.jpg");
    until_there(&pair, home, &[("b.jpg", "one")]);
    assert_eq!(disk_file("b.jpg"), first);
    write(phone, "b.jpg", "two");
    until_there(&pair, home, &[("b.jpg", "two")]);
    assert_ne!(disk_file("b.jpg"), first);
}

/// A camera writes for longer than Syncthing waits: what arrives at home is whole to Syncthing, and is not to anybody else.
#[test]
fn a_slow_writer_is_seen_at_home_in_every_state_that_syncthing_looked_at() {
    let pair = Pair::start();
    let Pair { phone, home, .. } = &pair;
    let mut file = OpenOptions::new().create(true).append(true).open(phone.folder().join("a.mp4")).unwrap();
    let mut whole = String::new();
    for step in ["begin ", "go on ", "and on ", "end"] {
        whole.push_str(step);
        file.write_all(step.as_bytes()).unwrap();
        phone.scan();
        until_there(&pair, home, &[("a.mp4", &whole)]);
    }
    pair.in_step();
    assert_eq!(tree(home), tree(phone));
}
