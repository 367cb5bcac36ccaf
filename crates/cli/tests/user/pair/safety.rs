//! What must not be taken for a deletion, and what is asked about before it happens.

use super::world::{Hands as _, World, files};
use std::fs;

/// The phone removes the marker, and pictures with it: without a marker nothing that is missing was deleted.
#[test]
fn without_its_marker_nothing_is_deleted() {
    let world = World::new();
    let (phone, home) = (&world.pair.phone, &world.pair.home);
    for number in 1..=3 {
        phone.put(&format!("{number}.jpg"), number);
    }
    world.comes_to("three pictures", &files(&[("1.jpg", 1), ("2.jpg", 2), ("3.jpg", 3)]));
    world.pair.in_step();
    phone.delete(".darkslide-folder");
    phone.delete("1.jpg");
    phone.put("4.jpg", 4);
    world.pair.in_step();
    assert!(!home.folder().join(".darkslide-folder").exists());
    world.until_status("it says that its marker is missing", |status| {
        status.to_string().contains(".darkslide-folder is missing")
    });
    world.web_deletes(2);
    // Neither direction: the folder keeps 2, the vault keeps 1.
    world.until_status("it still says so", |status| {
        status.to_string().contains(".darkslide-folder is missing")
    });
    assert!(home.folder().join("2.jpg").exists());
    let path = world.folder();
    world.machine.says(&["sync", "readopt", path.to_str().unwrap()]);
    // Merged: both sides have all that either had.
    world.comes_to("all of it", &files(&[("1.jpg", 1), ("2.jpg", 2), ("3.jpg", 3), ("4.jpg", 4)]));
    world.ends();
}

/// The disk is not mounted: an empty folder is there.
#[test]
fn an_empty_folder_in_its_place_is_no_deletion() {
    let mut world = World::new();
    for number in 1..=3 {
        world.pair.phone.put(&format!("{number}.jpg"), number);
    }
    let three = files(&[("1.jpg", 1), ("2.jpg", 2), ("3.jpg", 3)]);
    world.comes_to("three pictures", &three);
    world.pair.home.stop();
    let (folder, disk) = (world.folder(), world.machine.path("disk"));
    fs::rename(&folder, &disk).unwrap();
    fs::create_dir(&folder).unwrap();
    world.machine.says(&["agent", "scan"]);
    world.until_status("it says so", |status| status.to_string().contains(".darkslide-folder is missing"));
    fs::remove_dir(&folder).unwrap();
    fs::rename(&disk, &folder).unwrap();
    world.machine.says(&["agent", "scan"]);
    world.pair.start_home();
    world.pair.phone.put("4.jpg", 4);
    world.comes_to("it goes on by itself", &files(&[("1.jpg", 1), ("2.jpg", 2), ("3.jpg", 3), ("4.jpg", 4)]));
    world.ends();
}

/// Shows S6.
#[test]
fn many_deletions_wait_for_a_word() {
    let world = World::new();
    let phone = &world.pair.phone;
    let names: Vec<String> = (0..30).map(|number| format!("{number}.jpg")).collect();
    let all: Vec<(&str, i64)> = names.iter().map(String::as_str).zip(0..).collect();
    for (name, number) in &all {
        phone.put(name, *number);
    }
    world.comes_to("thirty pictures", &files(&all));
    // All at once, as far as the agent can see.
    world.stop_agent();
    for (name, _) in &all[..25] {
        phone.delete(name);
    }
    phone.put("new.jpg", 100);
    world.pair.in_step();
    world.start_agent();
    let left: Vec<(&str, i64)> = all[25..].iter().copied().chain([("new.jpg", 100)]).collect();
    // What is new goes up meanwhile.
    world.comes_to("nothing is deleted", &files(&left).vault_alone(0..25));
    world.until_status("it asks", |status| status.to_string().contains("\"hold\":{"));
    let path = world.folder();
    world.machine.says(&["sync", "approve", path.to_str().unwrap(), "--yes"]);
    world.comes_to("it was meant", &files(&left).trash(0..25));
    world.ends();
}

/// The web deletes everything: that is asked about, too.
#[test]
fn many_deletions_on_the_web_wait_for_a_word() {
    let world = World::new();
    let names: Vec<String> = (0..24).map(|number| format!("{number}.jpg")).collect();
    let all: Vec<(&str, i64)> = names.iter().map(String::as_str).zip(0..).collect();
    for (name, number) in &all {
        world.pair.phone.put(name, *number);
    }
    world.comes_to("two dozen pictures", &files(&all));
    world.web_deletes_all(0..24);
    world.until_status("it asks", |status| status.to_string().contains("\"hold\":{"));
    world.comes_to("the folders keep them", &files(&all).folders_alone(0..24).trash(0..24));
    let path = world.folder();
    world.machine.says(&["sync", "approve", path.to_str().unwrap(), "--yes"]);
    world.comes_to("it was meant", &files(&[]).trash(0..24));
    assert_eq!(world.local_trash().len(), 24);
    world.ends();
}

/// The phone was set up anew and still has what was deleted meanwhile: it comes back, everywhere, rather than being lost anywhere.
#[test]
fn a_phone_that_forgot_brings_back_what_was_deleted() {
    let mut world = World::new();
    for number in 1..=3 {
        world.pair.phone.put(&format!("{number}.jpg"), number);
    }
    world.comes_to("three pictures", &files(&[("1.jpg", 1), ("2.jpg", 2), ("3.jpg", 3)]));
    world.pair.in_step();
    world.pair.phone.stop();
    world.pair.home.delete("1.jpg");
    world.web_deletes(2);
    world.until_live("both are deleted", &[3]);
    world.pair.phone.lose_database();
    world.pair.start_phone();
    world.comes_to("they are back", &files(&[("1.jpg", 1), ("2.jpg", 2), ("3.jpg", 3)]));
    world.ends();
}

/// The computer at home was set up anew: nothing is known, and nothing is deleted.
#[test]
fn an_agent_that_forgot_deletes_nothing() {
    let world = World::new();
    for number in 1..=3 {
        world.pair.phone.put(&format!("{number}.jpg"), number);
    }
    world.comes_to("three pictures", &files(&[("1.jpg", 1), ("2.jpg", 2), ("3.jpg", 3)]));
    world.stop_agent();
    fs::remove_dir_all(world.machine.path("home/default")).unwrap();
    world.pair.phone.delete("1.jpg");
    world.web_deletes(2);
    world.pair.in_step();
    world.sign_in("default");
    world.add_folder(&[]);
    world.start_agent();
    // 2 is in the folder and therefore welcome; 1 is in the vault and stays there.
    world.comes_to("all of it", &files(&[("1.jpg", 1), ("2.jpg", 2), ("3.jpg", 3)]));
    world.ends();
}

/// Shows S6.
#[test]
fn the_agent_is_killed_again_and_again() {
    let world = World::new();
    let phone = &world.pair.phone;
    for round in 0..4 {
        for number in 0..6 {
            phone.put(&format!("{round}-{number}.jpg"), round * 10 + number);
        }
        if round > 0 {
            phone.delete(&format!("{}-0.jpg", round - 1));
            phone.rename(&format!("{}-1.jpg", round - 1), &format!("renamed {round}.jpg"));
        }
        phone.scan();
        world.pair.in_step();
        world.kill_agent();
        world.start_agent();
    }
    let mut expected = Vec::new();
    for round in 0..4 {
        for number in 0..6 {
            match (round, number) {
                (0..3, 0) => {}
                (0..3, 1) => expected.push((format!("renamed {}.jpg", round + 1), round * 10 + 1)),
                _ => expected.push((format!("{round}-{number}.jpg"), round * 10 + number)),
            }
        }
    }
    let expected: Vec<(&str, i64)> = expected.iter().map(|(name, number)| (name.as_str(), *number)).collect();
    world.comes_to_but("all of it", &files(&expected), &[0, 10, 20]);
    world.ends();
}
