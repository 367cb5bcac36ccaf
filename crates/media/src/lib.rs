#![doc = include_str!("../README.md")]

pub mod complete;
pub mod dates;
pub mod file_type;
pub mod live_container;
pub mod metadata;
pub mod names;
pub mod pairing;
pub mod place;
pub mod probe;
pub mod takeout;
pub mod thumbnail;
