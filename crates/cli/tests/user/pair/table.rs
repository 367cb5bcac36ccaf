//! Rows of the decision table that need the agent to be away, or somebody to change their mind.

use super::world::{Hands as _, World, files, picture};

fn with_pictures(count: i64) -> (World, Vec<(String, i64)>) {
    let world = World::new();
    let list: Vec<(String, i64)> = (1..=count).map(|number| (format!("{number}.jpg"), number)).collect();
    for (name, number) in &list {
        world.pair.phone.put(name, *number);
    }
    world.comes_to("pictures", &files(&borrowed(&list)));
    (world, list)
}

fn borrowed(list: &[(String, i64)]) -> Vec<(&str, i64)> {
    list.iter().map(|(name, number)| (name.as_str(), *number)).collect()
}

/// While the agent was away: deleted on both sides; deleted here and restored there; deleted here and purged there; edited here
/// and deleted there; put back here after it was deleted there; renamed here.
#[test]
fn both_sides_were_changed_while_the_agent_was_away() {
    let (world, _) = with_pictures(7);
    let (phone, home) = (&world.pair.phone, &world.pair.home);
    world.stop_agent();
    // 1: deleted on both sides.
    phone.delete("1.jpg");
    world.web_deletes(1);
    // 2: deleted on the phone; trashed on the web, and restored there.
    phone.delete("2.jpg");
    world.web_deletes(2);
    world.web_restores(2);
    // 3: edited on the phone, deleted on the web.
    phone.put("3.jpg", 30);
    world.web_deletes(3);
    // 4: deleted on the web, deleted on the phone, and put back there: another file on the disk.
    world.web_deletes(4);
    phone.delete("4.jpg");
    world.pair.in_step();
    assert!(!home.folder().join("4.jpg").exists());
    phone.put("4.jpg", 4);
    // 5: renamed on the phone. Were it deleted on the web, too, it would depend on whether the new name had settled at the first look.
    phone.rename("5.jpg", "five.jpg");
    // 6: copied on the phone under another name.
    phone.put("six.jpg", 6);
    world.pair.in_step();
    world.start_agent();
    world.comes_to(
        "what was meant",
        &files(&[
            ("2.jpg", 2),
            ("3.jpg", 30),
            ("4.jpg", 4),
            ("five.jpg", 5),
            ("6.jpg", 6),
            ("six.jpg", 6),
            ("7.jpg", 7),
        ])
        .trash([1, 3]),
    );
    world.ends();
}

/// The web is faster than the agent can write down what it has sent.
#[test]
fn what_is_deleted_on_the_web_the_moment_it_was_sent_stays_deleted() {
    let world = World::new();
    let names: Vec<String> = (0..40).map(|number| format!("{number}.jpg")).collect();
    let all: Vec<(&str, i64)> = names.iter().map(String::as_str).zip(0..).collect();
    for (name, number) in &all {
        world.pair.phone.put(name, *number);
    }
    let first = world.pair.until("one is in the vault", || {
        world.vault().0.into_iter().next().ok_or_else(|| "none is".to_owned())
    });
    world.web_deletes(first);
    let left: Vec<(&str, i64)> = all.into_iter().filter(|(_, number)| *number != first).collect();
    world.comes_to("the others", &files(&left).trash([first]));
    world.ends();
}

/// Deleted everywhere, and then it is there again.
#[test]
fn what_comes_back_is_welcome() {
    let (world, _) = with_pictures(3);
    let phone = &world.pair.phone;
    phone.delete("1.jpg");
    world.web_deletes(2);
    world.comes_to("two deletions", &files(&[("3.jpg", 3)]).trash([1, 2]));
    phone.put("1.jpg", 1);
    phone.put("elsewhere/2.jpg", 2);
    world.comes_to("both are back", &files(&[("1.jpg", 1), ("elsewhere/2.jpg", 2), ("3.jpg", 3)]));
    world.ends();
}

/// What another client has put into the vault already is not sent again; what it deleted for good is.
#[test]
fn the_vault_has_it_already_or_had_it_once() {
    let world = World::new();
    let phone = &world.pair.phone;
    let elsewhere = world.machine.path("elsewhere");
    std::fs::create_dir_all(&elsewhere).unwrap();
    for number in [1, 2] {
        std::fs::write(elsewhere.join(format!("{number}.jpg")), picture(number)).unwrap();
    }
    world.web(&["backup", elsewhere.to_str().unwrap()]);
    let known = world.file_of(1);
    phone.put("one.jpg", 1);
    world.comes_to("linked", &files(&[("one.jpg", 1)]).vault_alone([2]));
    assert_eq!(world.file_of(1), known);
    // Purged by its owner, and then it is on the phone.
    world.web_deletes(2);
    world.purge_trash();
    phone.put("two.jpg", 2);
    world.comes_to("sent again", &files(&[("one.jpg", 1), ("two.jpg", 2)]));
    // Purged by its owner while it is in the folder: that is a deletion, and the local trash has it.
    world.web_deletes(1);
    world.purge_trash();
    world.comes_to("gone for good", &files(&[("two.jpg", 2)]));
    assert_eq!(world.local_trash(), [1].into());
    world.ends();
}

/// Purged while the agent is away: it never saw it in the trash.
#[test]
fn what_is_purged_while_nobody_looks_is_in_the_local_trash() {
    let (world, _) = with_pictures(2);
    world.stop_agent();
    world.web_deletes(1);
    world.purge_trash();
    world.start_agent();
    world.comes_to("gone for good", &files(&[("2.jpg", 2)]));
    assert_eq!(world.local_trash(), [1].into());
    world.ends();
}

/// Old pictures are deleted on phones to make room: the vault keeps them.
#[test]
fn old_pictures_may_be_deleted_on_the_phone_alone() {
    let world = World::with(&["--keep-deleted-older-than", "1y"]);
    let phone = &world.pair.phone;
    phone.put("new.jpg", 2);
    phone.put("other.jpg", 3);
    // It is as old as it says from its first moment there.
    let made = world.machine.path("old.jpg");
    std::fs::write(&made, picture(1)).unwrap();
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_hours(400_000);
    std::fs::File::options().write(true).open(&made).unwrap().set_modified(old).unwrap();
    std::fs::rename(&made, phone.folder().join("old.jpg")).unwrap();
    world.comes_to("three pictures", &files(&[("old.jpg", 1), ("new.jpg", 2), ("other.jpg", 3)]));
    phone.delete("old.jpg");
    phone.delete("new.jpg");
    world.comes_to("room on the phone", &files(&[("other.jpg", 3)]).vault_alone([1]).trash([2]));
    world.ends();
}

/// One way up: what is deleted in the vault stays in the folder. One way down: what is in the folder stays out of the vault.
#[test]
fn one_way_is_one_way() {
    let world = World::with(&["--direction", "up"]);
    let phone = &world.pair.phone;
    for number in 1..=3 {
        phone.put(&format!("{number}.jpg"), number);
    }
    world.comes_to("three pictures", &files(&[("1.jpg", 1), ("2.jpg", 2), ("3.jpg", 3)]));
    world.web_deletes(1);
    phone.delete("2.jpg");
    world.comes_to(
        "the folder decides",
        &files(&[("1.jpg", 1), ("3.jpg", 3)]).folders_alone([1]).trash([1, 2]),
    );
    world.ends();
}

/// Another client puts a picture into the folder's album.
#[test]
fn what_is_new_in_the_album_comes_to_the_phone() {
    let world = World::with(&["--album", "Camera"]);
    world.pair.phone.put("1.jpg", 1);
    world.comes_to("a picture", &files(&[("1.jpg", 1)]));
    let elsewhere = world.machine.path("elsewhere");
    std::fs::create_dir_all(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("2.jpg"), picture(2)).unwrap();
    world.web(&["backup", elsewhere.to_str().unwrap(), "--album", "Camera"]);
    world.comes_to("it is everywhere", &files(&[("1.jpg", 1), ("2.jpg", 2)]));
    world.pair.phone.delete("2.jpg");
    world.comes_to("and is deleted everywhere", &files(&[("1.jpg", 1)]).trash([2]));
    world.ends();
}
