//! What a Google Takeout export says beside its pictures, and which of it belongs to which.
//!
//! Google puts a small JSON file, the *sidecar*, beside every picture, and a `metadata.json` into the folder of every
//! album. Names are mangled on the way: [`names`] finds the pairs again, [`live`] the halves of Live Photos, [`folders`]
//! tells years from albums, [`document`] reads the JSON, and [`verdict`] decides between what a picture says of itself
//! and what its sidecar says. `docs/takeout.md` gives the rules. Pure: nothing here reads a file or a clock.

pub mod document;
pub mod folders;
pub mod live;
pub mod names;
pub mod verdict;
