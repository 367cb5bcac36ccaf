//! Flow 1: scan, plan, hash, encrypt, upload, commit.

pub mod encrypt;
pub mod hash;
pub mod identify;
pub mod plan;
