//! Sync folders of the engine against the real server: every row of the table that a folder, a vault and a second device can make, and what goes
//! wrong on the way.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what a test needs and does not get fails the test")]
#![expect(clippy::indexing_slicing, reason = "a list that is too short fails the test right there")]

mod albums;
mod answers;
mod edits;
mod faults;
mod gate;
mod live;
mod mending;
mod names;
mod on_the_way;
mod passes;
mod put_off;
mod roots;
mod scene;
mod thumbnails;
mod thumbnails_elsewhere;
mod ways;
