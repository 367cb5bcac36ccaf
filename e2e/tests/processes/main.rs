//! Whole processes: killed at any moment, out of room, beset by silent clients, watched for memory and for leaks.

mod crash;
mod remains;
mod workers;
