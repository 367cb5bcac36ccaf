#![doc = include_str!("../README.md")]

pub mod api;
pub mod catalog;
pub mod event;
pub mod session;
