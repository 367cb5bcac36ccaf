//! Whole processes: killed at any moment, out of room, beset by silent clients, watched for memory and for leaks.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "all of this crate is tests: an expectation that does not hold fails the test right there"
)]

mod crash;
mod disk_full;
mod failing_flush;
mod leaks;
mod memory;
mod order;
mod remains;
mod stalls;
mod tus_client;
mod workers;
