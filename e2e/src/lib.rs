#![doc = include_str!("../README.md")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    reason = "this crate is the tests' own: an expectation that does not hold fails the test right there"
)]

pub mod absent;
pub mod bitmap;
pub mod damage;
pub mod engine;
pub mod fields;
pub mod http;
pub mod narrow;
pub mod owner;
pub mod phone;
pub mod process;
pub mod proxy;
pub mod stock;
pub mod strace;
pub mod syncthing;
pub mod vault;
