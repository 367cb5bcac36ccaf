//! Stock clients against the real server, on both database engines: transcripts, traps, refusals.

mod command_line;
mod cross;
mod mobile;
mod refusals;
mod registration;
mod scene;
mod traps;
mod web;
