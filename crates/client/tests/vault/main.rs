//! The engine against the real server: accounts, albums, trash, restoring, verifying, with everything that goes wrong.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a broken expectation ends the test where it stands; test contents may wrap"
)]

mod accounts;
mod albums;
mod copies;
mod feed;
mod proof;
mod restoring;
mod set_backs;
mod sharing;
mod verifying;
mod world;
