//! Pictures that come, change, move and go while everything runs.

use super::world::{Hands as _, World, files};

/// Shows S1, S2, S4, S6.
#[test]
fn what_is_done_on_the_phone_is_done_everywhere() {
    let world = World::new();
    let phone = &world.pair.phone;
    phone.put("a.jpg", 1);
    phone.put("2024/b.jpg", 2);
    world.comes_to("new pictures", &files(&[("a.jpg", 1), ("2024/b.jpg", 2)]));
    // Edited: the same file of the vault, which keeps what it was.
    let file = world.file_of(1);
    phone.put("a.jpg", 3);
    world.comes_to("an edit", &files(&[("a.jpg", 3), ("2024/b.jpg", 2)]));
    assert_eq!(world.file_of(3), file);
    let versions = world.web(&["versions", &file.to_string()]);
    assert_eq!(versions["versions"].as_array().unwrap().len(), 1, "{versions}");
    // Renamed and moved: nothing is trashed, and it is the same file.
    phone.rename("a.jpg", "2024/c.jpg");
    world.comes_to("a rename", &files(&[("2024/c.jpg", 3), ("2024/b.jpg", 2)]));
    assert_eq!(world.file_of(3), file);
    // Copied; then one of the two is deleted, and then the other.
    phone.put("copy.jpg", 3);
    world.comes_to("a copy", &files(&[("2024/c.jpg", 3), ("2024/b.jpg", 2), ("copy.jpg", 3)]));
    phone.delete("2024/c.jpg");
    world.comes_to("one copy less", &files(&[("2024/b.jpg", 2), ("copy.jpg", 3)]));
    phone.delete("copy.jpg");
    world.comes_to("no copy", &files(&[("2024/b.jpg", 2)]).trash([3]));
    world.ends();
}

/// Shows S1, S2, S4.
#[test]
fn what_is_done_at_home_is_done_everywhere() {
    let world = World::new();
    let home = &world.pair.home;
    home.put("a.jpg", 1);
    home.put("b.jpg", 2);
    world.comes_to("new pictures", &files(&[("a.jpg", 1), ("b.jpg", 2)]));
    home.put("a.jpg", 3);
    home.rename("b.jpg", "2024/b.jpg");
    world.comes_to("an edit and a rename", &files(&[("a.jpg", 3), ("2024/b.jpg", 2)]));
    home.delete("2024/b.jpg");
    world.comes_to("a deletion", &files(&[("a.jpg", 3)]).trash([2]));
    world.ends();
}

/// Shows S3.
#[test]
fn what_is_done_on_the_web_is_done_in_the_folders() {
    let world = World::before_sync();
    let local_trash = world.machine.path("local trash");
    world.add_folder(&["--local-trash", local_trash.to_str().unwrap()]);
    world.start_agent();
    let phone = &world.pair.phone;
    for number in 1..=3 {
        phone.put(&format!("{number}.jpg"), number);
    }
    world.comes_to("new pictures", &files(&[("1.jpg", 1), ("2.jpg", 2), ("3.jpg", 3)]));
    world.web_deletes(1);
    world.comes_to("deleted on the web", &files(&[("2.jpg", 2), ("3.jpg", 3)]).trash([1]));
    assert_eq!(world.local_trash(), [1].into(), "what was deleted elsewhere can still be had here");
    world.web_restores(1);
    world.comes_to("restored on the web", &files(&[("1.jpg", 1), ("2.jpg", 2), ("3.jpg", 3)]));
    // Again, and this time the bytes have to come from the vault.
    world.web_deletes(1);
    world.comes_to("deleted again", &files(&[("2.jpg", 2), ("3.jpg", 3)]).trash([1]));
    std::fs::remove_dir_all(&local_trash).unwrap();
    world.web_restores(1);
    world.comes_to("restored again", &files(&[("1.jpg", 1), ("2.jpg", 2), ("3.jpg", 3)]));
    // Deleted on the phone, restored on the web.
    phone.delete("2.jpg");
    world.comes_to("deleted on the phone", &files(&[("1.jpg", 1), ("3.jpg", 3)]).trash([2]));
    world.web_restores(2);
    world.comes_to("back on the phone", &files(&[("1.jpg", 1), ("2.jpg", 2), ("3.jpg", 3)]));
    world.ends();
}

/// Everything at once, on every side, several times: it comes to rest, and at the right place.
#[test]
fn a_busy_day_comes_to_rest() {
    let world = World::new();
    let (phone, home) = (&world.pair.phone, &world.pair.home);
    for number in 0..12 {
        phone.put(&format!("p{number}.jpg"), number);
        home.put(&format!("h{number}.jpg"), 100 + number);
    }
    let all: Vec<(String, i64)> = (0..12)
        .flat_map(|number| [(format!("p{number}.jpg"), number), (format!("h{number}.jpg"), 100 + number)])
        .collect();
    let all: Vec<(&str, i64)> = all.iter().map(|(name, number)| (name.as_str(), *number)).collect();
    world.comes_to("two dozen pictures", &files(&all));
    phone.delete("h0.jpg");
    home.delete("p1.jpg");
    world.web_deletes(2);
    phone.put("p3.jpg", 203);
    home.put("h4.jpg", 304);
    phone.rename("h5.jpg", "phone/h5.jpg");
    home.rename("p6.jpg", "home/p6.jpg");
    phone.put("p2000.jpg", 400);
    world.web_deletes(107);
    let gone = ["h0.jpg", "p1.jpg", "p2.jpg", "h7.jpg"];
    let after: Vec<(&str, i64)> = all
        .iter()
        .filter(|(name, _)| !gone.contains(name))
        .map(|&(name, number)| match name {
            "p3.jpg" => (name, 203),
            "h4.jpg" => (name, 304),
            "h5.jpg" => ("phone/h5.jpg", number),
            "p6.jpg" => ("home/p6.jpg", number),
            _ => (name, number),
        })
        .chain([("p2000.jpg", 400)])
        .collect();
    world.comes_to("a busy day", &files(&after).trash([100, 1, 2, 107]));
    world.ends();
}
