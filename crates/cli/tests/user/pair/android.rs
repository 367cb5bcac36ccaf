//! What Android does with names: `.trashed-*` is a deletion that can be taken back, `.pending-*` is no picture yet.

use super::world::{Hands as _, World, files};

/// Shows S2.
#[test]
fn what_is_trashed_on_the_phone_is_trashed_and_comes_back_from_there() {
    let world = World::new();
    let phone = &world.pair.phone;
    phone.put("a.jpg", 1);
    phone.put("b.jpg", 2);
    world.comes_to("new pictures", &files(&[("a.jpg", 1), ("b.jpg", 2)]));
    let trashed = ".trashed-1798495200-a.jpg";
    phone.rename("a.jpg", trashed);
    world.comes_to("trashed", &files(&[(trashed, 1), ("b.jpg", 2)]).trash([1]));
    phone.rename(trashed, "a.jpg");
    world.comes_to("taken out of the trash", &files(&[("a.jpg", 1), ("b.jpg", 2)]));
    // And when the time is over, it stays in the vault's trash.
    phone.rename("a.jpg", trashed);
    world.comes_to("trashed again", &files(&[(trashed, 1), ("b.jpg", 2)]).trash([1]));
    phone.delete(trashed);
    world.comes_to("expired", &files(&[("b.jpg", 2)]).trash([1]));
    world.ends();
}

#[test]
fn what_the_camera_has_not_finished_waits() {
    let world = World::new();
    let phone = &world.pair.phone;
    let pending = ".pending-1798495200-a.jpg";
    phone.put(pending, 1);
    phone.put("b.jpg", 2);
    world.comes_to("a pending picture", &files(&[(pending, 1), ("b.jpg", 2)]));
    phone.rename(pending, "a.jpg");
    world.comes_to("a finished one", &files(&[("a.jpg", 1), ("b.jpg", 2)]));
    world.ends();
}
