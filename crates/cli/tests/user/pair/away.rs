//! One of them is away for a while: home with its agent, the phone, the server.

use super::world::{Hands as _, World, files};

/// Shows S6.
#[test]
fn home_was_off() {
    let mut world = World::new();
    for number in 1..=5 {
        world.pair.phone.put(&format!("{number}.jpg"), number);
    }
    let five = [("1.jpg", 1), ("2.jpg", 2), ("3.jpg", 3), ("4.jpg", 4), ("5.jpg", 5)];
    world.comes_to("five pictures", &files(&five));
    world.stop_agent();
    world.pair.home.stop();
    let phone = &world.pair.phone;
    phone.delete("1.jpg");
    phone.rename("2.jpg", "renamed.jpg");
    phone.put("3.jpg", 30);
    phone.put("6.jpg", 6);
    phone.scan();
    world.web_deletes(4);
    world.start_agent();
    world.pair.start_home();
    world.comes_to(
        "all of that",
        &files(&[("renamed.jpg", 2), ("3.jpg", 30), ("5.jpg", 5), ("6.jpg", 6)]).trash([1, 4]),
    );
    world.ends();
}

/// Shows S6.
#[test]
fn the_phone_was_off() {
    let mut world = World::new();
    for number in 1..=4 {
        world.pair.phone.put(&format!("{number}.jpg"), number);
    }
    world.comes_to("four pictures", &files(&[("1.jpg", 1), ("2.jpg", 2), ("3.jpg", 3), ("4.jpg", 4)]));
    world.pair.phone.stop();
    world.pair.home.delete("1.jpg");
    world.pair.home.put("2.jpg", 20);
    world.web_deletes(3);
    // The phone took pictures, too, and deleted one.
    world.pair.phone.put("5.jpg", 5);
    world.pair.phone.delete("4.jpg");
    world.until_live("home and the web are done", &[20, 4]);
    world.pair.start_phone();
    world.comes_to("all of that", &files(&[("2.jpg", 20), ("5.jpg", 5)]).trash([1, 3, 4]));
    world.ends();
}

/// Nothing is concluded from a server that does not answer.
#[test]
fn the_server_was_away() {
    let mut world = World::new();
    for number in 1..=3 {
        world.pair.phone.put(&format!("{number}.jpg"), number);
    }
    world.comes_to("three pictures", &files(&[("1.jpg", 1), ("2.jpg", 2), ("3.jpg", 3)]));
    world.stop_server();
    world.pair.phone.delete("1.jpg");
    world.pair.phone.put("4.jpg", 4);
    world.pair.home.put("5.jpg", 5);
    world.pair.in_step();
    world.kill_agent();
    world.start_agent();
    world.start_server();
    world.comes_to(
        "all of that",
        &files(&[("2.jpg", 2), ("3.jpg", 3), ("4.jpg", 4), ("5.jpg", 5)]).trash([1]),
    );
    world.ends();
}

/// Two edits of one picture, out of each other's reach: Syncthing keeps both, and so does the vault.
#[test]
fn both_edited_it_apart() {
    let world = World::new();
    let (phone, home) = (&world.pair.phone, &world.pair.home);
    phone.put("a.jpg", 1);
    world.comes_to("a picture", &files(&[("a.jpg", 1)]));
    world.pair.part();
    phone.put("a.jpg", 2);
    home.put("a.jpg", 3);
    phone.scan();
    home.scan();
    world.pair.reunite();
    world.pair.in_step();
    let names = world.names_at_home();
    let conflict = names.iter().find(|(name, _)| name.contains(".sync-conflict-")).expect("a second file");
    let other = names.iter().find(|(name, _)| *name == "a.jpg").unwrap();
    let numbers = [conflict.1, other.1];
    assert!(numbers == [2, 3] || numbers == [3, 2], "{names:?}");
    let expected = [(conflict.0.as_str(), conflict.1), ("a.jpg", other.1)];
    world.comes_to("both edits", &files(&expected));
    world.ends();
}
