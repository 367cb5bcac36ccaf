//! Two-way folders.
pub mod breaker;
mod names;
pub mod reconcile;
