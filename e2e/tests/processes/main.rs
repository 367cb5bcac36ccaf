//! Whole processes: killed at any moment, out of room, beset by silent clients, watched for memory and for leaks.

mod crash;
mod disk_full;
mod leaks;
mod memory;
mod order;
mod remains;
mod stalls;
mod workers;
