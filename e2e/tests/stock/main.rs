//! Stock clients against the real server, on both database engines: transcripts, traps, refusals.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "all of this crate is tests: an expectation that does not hold fails the test right there"
)]

mod command_line;
mod cross;
mod mobile;
mod refusals;
mod registration;
mod scene;
mod traps;
mod web;
