//! Whole processes and stock clients, played against each other: the ground that the tests in `tests/` stand on.
//!
//! [`process`] runs the real server as a process that can be killed; [`stock`] plays the clients that people already
//! have, byte for byte as they speak; [`vault`] does their cryptography; [`fields`] is the strict reader that all of
//! them share. Nothing here is used outside tests: a broken expectation ends the test where it stands.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    reason = "this crate is the tests' own: an expectation that does not hold fails the test right there"
)]

pub mod engine;
pub mod fields;
pub mod http;
pub mod process;
pub mod stock;
pub mod vault;
