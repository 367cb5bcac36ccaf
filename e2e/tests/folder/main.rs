//! Sync folders of the engine against the real server: every row of the table that a folder, a vault and a second device can make, and what goes
//! wrong on the way.

mod faults;
mod names;
mod passes;
#[path = "../backup/proxy.rs"]
mod proxy;
mod scene;
