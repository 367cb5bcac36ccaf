#![doc = include_str!("../README.md")]

pub mod albums;
pub mod api;
mod appearance;
pub mod backup;
mod buffers;
pub mod catalog;
mod disk_space;
pub mod download;
pub mod error;
pub mod event;
pub mod feed;
pub mod folder;
pub mod free_up;
pub mod keychain;
pub mod keys;
pub mod library;
pub mod list;
mod local_time;
pub mod machine;
mod mount_points;
pub mod profile;
pub mod receipt;
pub mod restore;
pub mod session;
pub mod takeout;
pub mod thumbnail;
mod together;
pub mod trash;
pub mod verify;
pub mod versions;
pub mod watch;

pub use darkslide_media::probe::micros_of;
pub use darkslide_protocol::{AccountId, CollectionId, FileId, Version};
