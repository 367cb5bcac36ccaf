#![doc = include_str!("../README.md")]

pub mod api;
pub mod backup;
pub mod catalog;
pub mod download;
pub mod error;
pub mod event;
pub mod feed;
pub mod keys;
pub mod library;
pub mod session;
pub mod thumbnail;
pub mod verify;
