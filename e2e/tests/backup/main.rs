//! Whole backups against the real server: what is sent, what is not sent again, and what survives an interruption.

mod corpus;
mod dedup;
mod interrupted;
mod proxy;
mod scene;
