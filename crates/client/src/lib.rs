#![doc = include_str!("../README.md")]

pub mod api;
pub mod catalog;
pub mod error;
pub mod event;
pub mod feed;
pub mod keys;
pub mod session;
