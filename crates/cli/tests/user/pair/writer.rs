//! Pictures that are written, or arrive, in several steps.

use super::world::{Hands as _, World, files, picture, tree};
use darkslide_e2e::syncthing::so;
use std::fs::OpenOptions;
use std::io::Write as _;

/// Writes a picture on the phone step by step; each is at home before the next.
fn write_slowly(world: &World, name: &str, number: i64, after_each: impl Fn(usize)) {
    let (phone, home) = (&world.pair.phone, &world.pair.home);
    let mut file = OpenOptions::new().create(true).append(true).open(phone.folder().join(name)).unwrap();
    let whole = picture(number);
    let mut written = 0;
    for end in [whole.len() / 3, whole.len() / 2, whole.len() - 1, whole.len()] {
        file.write_all(&whole[written..end]).unwrap();
        written = end;
        phone.scan();
        let path = home.folder().join(name);
        world.pair.until("the next part is at home", || {
            so(path.metadata().is_ok_and(|metadata| metadata.len() == end as u64))
        });
        if end < whole.len() {
            after_each(end);
        }
    }
}

/// Each part lies there for so long that it is taken for all that there is: a damaged picture is somebody's picture, too.
#[test]
fn parts_that_were_taken_for_pictures_are_superseded() {
    let world = World::before_sync();
    world.add_folder(&[]);
    world.start_agent_with(&["--settle-incomplete", "400"]);
    world.pair.phone.put("other.jpg", 1);
    world.comes_to("another picture", &files(&[("other.jpg", 1)]));
    write_slowly(&world, "slow.jpg", 2, |bytes| {
        let has_it = |entry: &serde_json::Value| entry["bytes"] == bytes;
        world.pair.until("the part is in the vault", || {
            so(world.web(&["list"])["files"].as_array().unwrap().iter().any(has_it))
        });
    });
    world.comes_to("one picture remains", &files(&[("other.jpg", 1), ("slow.jpg", 2)]));
    let versions = world.web(&["versions", &world.file_of(2).to_string()]);
    assert_eq!(versions["versions"].as_array().unwrap().len(), 0, "{versions}");
    world.ends();
}

#[test]
fn parts_that_are_waited_for_are_never_sent() {
    let world = World::before_sync();
    world.add_folder(&[]);
    world.start_agent_with(&["--settle-incomplete", "3600000"]);
    write_slowly(&world, "slow.jpg", 2, |_| {
        assert_eq!(world.web(&["list"])["files"].as_array().unwrap().len(), 0);
    });
    world.comes_to("the whole picture", &files(&[("slow.jpg", 2)]));
    let file = world.file_of(2);
    let versions = world.web(&["versions", &file.to_string()]);
    assert_eq!(versions["versions"].as_array().unwrap().len(), 0, "{versions}");
    world.ends();
}

/// The phone leaves in the middle of a picture: what has arrived has a temporary name, and is no picture.
#[test]
fn what_has_arrived_in_part_is_left_alone() {
    let mut world = World::new();
    world.pair.phone.put("a.jpg", 1);
    world.comes_to("a picture", &files(&[("a.jpg", 1)]));
    world.pair.phone.send_slowly(256);
    let large = 2_000_000;
    world.pair.phone.put("large.jpg", large);
    world.pair.phone.scan();
    let part = world.folder().join(".syncthing.large.jpg.tmp");
    world.pair.until("a part is at home", || so(part.exists()));
    world.pair.phone.stop();
    // Something else happens meanwhile, so that the agent looks.
    world.pair.home.put("b.jpg", 2);
    world
        .pair
        .until("the agent has looked", || so(world.web(&["list"])["files"].as_array().unwrap().len() == 2));
    assert!(part.exists());
    world.pair.start_phone();
    world.pair.phone.send_slowly(0);
    world.comes_to("all of it", &files(&[("a.jpg", 1), ("b.jpg", 2), ("large.jpg", large)]));
    world.ends();
}

/// The agent is killed while it brings a picture: Syncthing carries none of it to the phone, and the next agent clears it away.
#[test]
fn half_of_what_the_agent_brings_is_nobodys_picture() {
    let world = World::before_sync();
    let local_trash = world.machine.path("local trash");
    world.add_folder(&["--local-trash", local_trash.to_str().unwrap()]);
    world.start_agent();
    let large = 30_000_000;
    world.pair.phone.put("large.jpg", large);
    world.pair.phone.put("other.jpg", 1);
    world.comes_to("two pictures", &files(&[("large.jpg", large), ("other.jpg", 1)]));
    world.web_deletes(large);
    world.comes_to("deleted", &files(&[("other.jpg", 1)]).trash([large]));
    std::fs::remove_dir_all(&local_trash).unwrap();
    world.web_restores(large);
    let is_on_its_way = |name: &str| name.contains("darkslide-") && name != ".darkslide-folder";
    let names = || {
        std::fs::read_dir(world.folder())
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
    };
    let begin = std::time::Instant::now();
    while !names().any(|name| is_on_its_way(&name)) && !world.folder().join("large.jpg").exists() {
        assert!(begin.elapsed() < darkslide_e2e::syncthing::PATIENCE, "nothing came");
        std::thread::yield_now();
    }
    world.kill_agent();
    world.pair.in_step();
    assert!(!tree(&world.pair.phone).keys().any(|name| is_on_its_way(name)), "{:?}", tree(&world.pair.phone));
    world.start_agent();
    world.comes_to("all of it", &files(&[("large.jpg", large), ("other.jpg", 1)]));
    world.ends();
}
