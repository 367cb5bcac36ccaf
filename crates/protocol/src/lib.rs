#![doc = include_str!("../README.md")]

pub mod account;
pub mod batch;
pub mod change;
pub mod collection;
pub mod device;
pub mod error;
pub mod file;
pub mod ids;
pub mod limits;
pub mod lookup;
pub mod magic;
pub mod opaque;
pub mod problem;
pub mod receipt;
pub mod server;
pub mod trash;
pub mod tus;
pub mod upload;
pub mod version;

pub use error::ErrorBody;
pub use file::FileIds;
pub use ids::{AccountId, CollectionId, FileId, ObjectKey, Version};
pub use lookup::ContentTag;
pub use magic::MagicMetadata;
pub use opaque::Opaque;
pub use problem::Problem;
