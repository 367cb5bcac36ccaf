//! The engine against the real server: accounts, albums, trash, restoring, verifying, with everything that goes wrong.

mod accounts;
mod albums;
mod restoring;
mod verifying;
mod world;
