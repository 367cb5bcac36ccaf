#![doc = include_str!("../README.md")]

pub mod account;
pub mod content_hash;
pub mod content_tag;
pub mod device_name;
pub mod encoding;
pub mod error;
pub mod kdf;
pub mod keys;
pub mod recovery;
pub mod sealed_box;
pub mod secret;
pub mod secret_box;
pub mod srp;
pub mod stream;

pub use content_hash::{ContentHash, ContentHasher};
pub use error::{LengthError, OpenError};
